// play.h: a play: nodes made of the same objects as production, on simulated hosts; engines,
// clients, faults by a seed, and checkers that are always on.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_SIM_PLAY_H
#define PLEXUS_SIM_PLAY_H

#include "sim/sim.h"

struct play_args {
    uint64_t seed;
    unsigned nodes;   // 0: by the seed, 3 to 16
    unsigned seconds; // of faults and requests, 0: by the seed
    unsigned requests; // 0: by the seed
    FILE *trace;
    bool quiet_faults; // none: what must go well without any
    bool no_deaths; // only pauses up to 0.9 s, and 5 % loss: nobody may be declared dead (issue 4's
                    // mark); also by the seed
    bool long_pauses; // only pauses of one node at a time, up to 3 s: nobody else is dead for it
};
struct play_report {
    bool good;
    char text[2048]; // why not
    uint64_t hash, events;
    unsigned nodes, requests, answered, refused, broken, faults, deaths;
    double virtual_s;
    struct sim_counts counts;
};
void play_run(const struct play_args *args, struct play_report *ret);
// How long after its join was answered each other node knows the last of so many nodes; SIM_NEVER:
// not within 2 s.
uint64_t play_join_ns(uint64_t seed, unsigned nodes, uint64_t delay_ns);
// The faults that the seed brings, a line each.
void play_schedule(const struct play_args *args, FILE *out);

#endif
