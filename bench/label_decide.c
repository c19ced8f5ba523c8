// label_decide.c: what one decision about a crossing costs: over labels and operations in no order
// that a processor could learn, most of them allowed, as in life. Prints the best of ten rounds.
// SPDX-License-Identifier: Apache-2.0
#include "trust/label.h"
#include <stdio.h>
#include <time.h>

#define CROSSINGS 4096
#define TURNS 256

static double now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

int main(void)
{
    static struct label_crossing x[CROSSINGS];
    uint64_t seed = 1;
    double best = 1e9;
    long refused = 0;
    for (int i = 0; i < CROSSINGS; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u; // Knuth's MMIX
        x[i].op = (enum label_op)(seed >> 33) % LABEL_DECLASSIFY;
        x[i].data = (struct label){(uint8_t)(seed >> 40 & 1), seed >> 50 & 7};
        x[i].clearance = (struct label){(uint8_t)(1 + (seed >> 42 & 1)), seed >> 54 & 63};
        if (seed >> 60) // 15 of 16 have all compartments
            x[i].clearance.compartments = UINT64_MAX;
    }
    for (int round = 0; round < 10; round++) {
        double from = now_ns();
        refused = 0;
        for (int turn = 0; turn < TURNS; turn++)
            for (int i = 0; i < CROSSINGS; i++)
                refused += label_decide(&x[i], NULL) != 0;
        double each = (now_ns() - from) / TURNS / CROSSINGS;
        best = each < best ? each : best;
    }
    (void)fprintf(stderr, "%ld of %d decisions were refusals\n", refused / TURNS, CROSSINGS);
    (void)printf("label_decision_ns %.2f ns\n", best);
    return 0;
}
