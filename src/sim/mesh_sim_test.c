// mesh_sim_test.c: plays by their seeds.
// SPDX-License-Identifier: Apache-2.0
//   mesh_sim_test                          the kept seeds, and then COUNT more, in two processes
//   mesh_sim_test many COUNT [FIRST]       COUNT seeds
//   mesh_sim_test one SEED [NODES [SECONDS]] [trace]   one, with its schedule
#include "base/alloc.h"
#include "sim/play.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifdef __SANITIZE_ADDRESS__
enum { COUNT = 200, WORKERS = 2 };
// Half of the time would go into the stacks of allocations.
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "malloc_context_size=5:quarantine_size_mb=8";
}
#else
enum { COUNT = 50, WORKERS = 2 }; // make check is a minute; make unit and make test run them all
#endif

// A seed that ends the process is told, too.
static uint64_t present;

static void on_abort(int signum)
{
    (void)signum;
    printf("seed %" PRIu64 " FAILED: it aborts\n", present); // not safe, but the last thing
    (void)fflush(stdout);
    (void)signal(SIGABRT, SIG_DFL);
}

static bool play(uint64_t seed, const struct play_args *like, bool say)
{
    struct play_args args = *like;
    struct play_report r;
    args.seed = present = seed;
    play_run(&args, &r);
    if (say)
        printf("seed %" PRIu64 ": %s: %u nodes, %u requests (%u answered, %u refused, %u broken), "
               "%u faults, %u deaths, %.1f s, %" PRIu64 " events, hash %016" PRIx64 "\n",
               seed, r.good ? "good" : "FAILED", r.nodes, r.requests, r.answered, r.refused,
               r.broken, r.faults, r.deaths, r.virtual_s, r.events, r.hash);
    if (!r.good)
        printf("seed %" PRIu64 " FAILED: %s\n", seed, r.text);
    (void)fflush(stdout);
    return r.good;
}

// Each worker takes every WORKERS-th seed; a failing one goes on with the next.
static int worker(unsigned which, uint64_t first, unsigned count)
{
    static const struct play_args usual = {0};
    int failed = 0;
    for (unsigned i = which; i < count; i += WORKERS)
        failed += !play(first + i, &usual, false);
    return failed > 100 ? 100 : failed;
}

static int many(uint64_t first, unsigned count)
{
    pid_t pids[WORKERS];
    int failed = 0;
    struct timespec from, to;
    (void)fflush(stdout);
    (void)clock_gettime(CLOCK_MONOTONIC, &from);
    for (unsigned i = 0; i < WORKERS; i++) {
        pids[i] = fork();
        if (pids[i] == 0)
            exit(worker(i, first, count)); // with its leak check
    }
    for (unsigned i = 0; i < WORKERS; i++) {
        int status = -1;
        if (waitpid(pids[i], &status, 0) != pids[i] || !WIFEXITED(status)) {
            printf("a worker died\n");
            failed += 1000;
        } else {
            failed += WEXITSTATUS(status);
        }
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &to);
    printf("%u seeds from %" PRIu64 " in %.1f s: %d failed\n", count, first,
           (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9, failed);
    return failed;
}

// Seeds that failed once: one a line, with a reason behind it.
static int kept(void)
{
    static const struct play_args usual = {0};
    FILE *f = fopen("src/sim/seeds.txt", "r");
    char line[300];
    int failed = 0;
    if (f == NULL)
        return 1;
    while (fgets(line, sizeof line, f) != NULL) {
        char *end = line;
        uint64_t seed = strtoull(line, &end, 10);
        if (end != line)
            failed += !play(seed, &usual, false);
    }
    (void)fclose(f);
    return failed;
}

// The same seed must be the same run.
static int same(void)
{
    struct play_args args = {.seed = 3};
    struct play_report a, b;
    play_run(&args, &a);
    play_run(&args, &b);
    printf("seed 3: %016" PRIx64 " and %016" PRIx64 "\n", a.hash, b.hash);
    return a.hash != b.hash;
}

static int one(int argc, char **argv)
{
    struct play_args args = {.seed = strtoull(argv[2], NULL, 10)};
    for (int i = 3; i < argc; i++) {
        if (strcmp(argv[i], "trace") == 0)
            args.trace = stderr;
        else if (i == 3)
            args.nodes = (unsigned)atoi(argv[i]);
        else if (i == 4)
            args.seconds = (unsigned)atoi(argv[i]);
    }
    play_schedule(&args, stdout);
    if (play(args.seed, &args, true))
        return 0;
    char path[64];
    (void)snprintf(path, sizeof path, "build/sim-%" PRIu64 ".trace", args.seed);
    if (args.trace == NULL && freopen(path, "w", stderr) != NULL) { // once more, to be read
        args.trace = stderr;
        (void)play(args.seed, &args, false);
        printf("its trace is in %s\n", path);
    }
    return 1;
}

int main(int argc, char **argv)
{
    if (!sim_ready())
        return 77;
    (void)signal(SIGABRT, on_abort);
    if (argc > 2 && strcmp(argv[1], "one") == 0)
        return one(argc, argv);
    if (argc > 3 && strcmp(argv[1], "join") == 0) { // nodes, link delay in ms
        uint64_t delay = strtoull(argv[3], NULL, 10) * SIM_MS;
        uint64_t ns = play_join_ns(1, (unsigned)atoi(argv[2]), delay);
        printf("sim_join_ms %.3f\n", (double)ns / 1e6);
        return ns == SIM_NEVER;
    }
    if (argc > 2 && strcmp(argv[1], "many") == 0)
        return many(argc > 3 ? strtoull(argv[3], NULL, 10) : 1, (unsigned)atoi(argv[2])) != 0;
    return kept() + same() + many(1, COUNT) != 0;
}
