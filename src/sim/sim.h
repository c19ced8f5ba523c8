// sim.h: many machines in one process and in virtual time: one queue of events, one seed. Gives the
// ports net, dgram, clock and work of each simulated host. Only in test programs, which link it
// instead of room loop.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_SIM_SIM_H
#define PLEXUS_SIM_SIM_H

#include "base/buf.h"
#include "base/rng.h"
#include "port/clock.h"
#include "port/dgram.h"
#include "port/net.h"
#include "port/work.h"

#include <stdio.h>

struct sim; // the world; one at a time in a process (it owns base's clocks and randomness)
struct sim_host; // one machine in it

#define SIM_MS 1000000ull // times of the world are nanoseconds since its beginning
#define SIM_S (1000 * SIM_MS)
#define SIM_NEVER UINT64_MAX

// How bytes travel from one host to another: one direction.
struct sim_link {
    uint64_t delay_ns, jitter_ns; // each packet: delay + [0, jitter)
    uint32_t loss_ppm; // of packets: a lost segment of a stream comes later, a lost datagram never
    uint32_t dup_ppm; // of datagrams: comes twice
    uint32_t late_ppm; // of datagrams: overtaken by later ones
    bool cut; // nothing passes
};

struct sim_args {
    uint64_t seed;
    FILE *trace; // every event of importance, readable; NULL: none
    struct sim_link link; // until sim_link says else; delay 0: 0.2 ms
    uint32_t window_bytes; // of a stream and direction, 0: by chance, 16 to 256 KiB
};
bool sim_ready(void); // false: this build has no fault shims (PLEXUS_FAULTS), so no virtual clocks
struct sim *sim_new(const struct sim_args *args);
// All hosts are gone with it. What they made must be freed before.
void sim_free(struct sim *w);

uint64_t sim_now(const struct sim *w);
struct rng *sim_rng(struct sim *w); // for schedules and workloads
// Runs events until this time, or until sim_stop or a failure. false: stopped or failed.
bool sim_run(struct sim *w, uint64_t until);
void sim_stop(struct sim *w);
// A thing of the world itself (no host's): fn runs after so long.
int sim_after(struct sim *w, uint64_t ns, void (*fn)(struct sim *w, void *user), void *user);
// Of all that happened so far: the same for the same seed.
uint64_t sim_hash(const struct sim *w);
uint64_t sim_events(const struct sim *w);
void sim_mix(struct sim *w, uint64_t value); // counts what a program saw into it
// A line of the trace, with time and host. Also counted into the hash by its length.
void sim_say(struct sim *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool sim_traced(const struct sim *w);
// A checker found something: the first stays, the run ends.
void sim_fail(struct sim *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
const char *sim_failure(const struct sim *w); // NULL: none

// ---- hosts ------------------------------------------------------------------------------------

// address: "10.0.0.1"; its machine is on and its process runs.
struct sim_host *sim_host_new(struct sim *w, const char *name, const char *address);
const char *sim_host_name(const struct sim_host *h);
const char *sim_host_address(const struct sim_host *h);
void sim_name_add(struct sim *w, const char *name, const char *address); // for look-ups
struct net *sim_net(struct sim_host *h);
struct timers *sim_timers(struct sim_host *h);
struct work *sim_work(struct sim_host *h);
// What is called from here on runs on this host (its clocks); NULL: on none. Returns the former.
struct sim_host *sim_enter(struct sim_host *h);
struct sim_host *sim_here(void);
void sim_files_max(struct sim_host *h, uint64_t connections, uint64_t reserve);
void sim_linger(struct sim_host *h, int64_t ms); // as loop_args.linger_ms

// ---- faults -----------------------------------------------------------------------------------

void sim_link_set(struct sim *w, struct sim_host *from, struct sim_host *to,
                  const struct sim_link *l);
struct sim_link sim_link_get(struct sim *w, struct sim_host *from, struct sim_host *to);
void sim_cut(struct sim *w, struct sim_host *from, struct sim_host *to, bool cut); // one way
void sim_wall_shift(struct sim_host *h, int64_t ms); // its wall clock jumps
int64_t sim_wall_ms(struct sim_host *h);
// The process does nothing for so long; its kernel still acknowledges. Then all at once.
void sim_pause(struct sim_host *h, uint64_t ns);
void sim_freeze(struct sim_host *h, uint64_t ns); // the whole machine
uint64_t sim_paused_until(const struct sim_host *h);

// The process or the machine ends now. Nothing that its objects still do reaches anybody. Call it
// from sim_after; then free the node's objects as after loop_run, with sim_settle where their own
// ends come later; then sim_up.
enum sim_how {
    SIM_EXIT, // the process: the kernel closes its connections
    SIM_POWER, // the machine: it says nothing; unsynced files may be lost
};
void sim_down(struct sim_host *h, enum sim_how how);
void sim_settle(struct sim_host *h); // what the ended process's objects still wait for comes
void sim_up(struct sim_host *h);
bool sim_is_up(const struct sim_host *h);

// ---- disk -------------------------------------------------------------------------------------

// Whole files, as base/file.h writes them: old or new, never a part. E_NOSPACE on a full disk.
int sim_file_write(struct sim_host *h, const char *path, struct bytes content, struct err *e);
int sim_file_read(struct sim_host *h, const char *path, struct buf *ret, struct err *e);
void sim_disk_full(struct sim_host *h, bool full);

// ---- checks -----------------------------------------------------------------------------------

struct sim_counts {
    uint64_t events, segments, segments_lost, datagrams, datagrams_lost, connections, resets;
    uint64_t bytes, queue_bytes_max; // of one stream's output queue
};
void sim_counts(const struct sim *w, struct sim_counts *ret);
// How long no datagram of `from` came to the other, without the time in which that was paused.
uint64_t sim_silent_ns(const struct sim_host *from, const struct sim_host *to);
size_t sim_open_streams(const struct sim_host *h); // that were not told on_closed yet

#endif
