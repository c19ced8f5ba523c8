// sup.h: one supervised engine: from "start" to "ready" to "gone". Pure state machine: the driver
// (app) does what the effects say and reports what happened.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_SUP_SUP_H
#define PLEXUS_SUP_SUP_H

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "port/proc.h"

enum sup_state { SUP_OFF, SUP_SPAWNING, SUP_PROBING, SUP_READY, SUP_STOPPING };

enum sup_effect {
    SUP_NOTHING = 0,
    SUP_SPAWN = 1,   // pick a port, start the child
    SUP_PROBE = 2,   // GET the health path once (report sup_probe)
    SUP_TERM = 4,    // SIGTERM
    SUP_KILL = 8,    // SIGKILL to the tree
    SUP_UP = 16,     // tell models_up
    SUP_DOWN = 32,   // tell models_down with sup_why
    SUP_MEASURE = 64 // ask for the memory figure
};

#define SUP_LINES 20        // last log lines kept
#define SUP_LINE_BYTES 400

struct sup {
    enum sup_state state;
    bool asked_to_stop, timed_out, has_exit;
    int64_t began_ms, probe_at_ms, deadline_ms, measure_at_ms;
    int64_t probe_pause_ms;
    uint32_t probes;
    int64_t load_timeout_ms, kill_after_ms;
    struct proc_exit exit;
    const char *what; // in sup_why; NULL: "the engine". Set after sup_start
    uint32_t lines; // total seen
    char line[SUP_LINES][SUP_LINE_BYTES];
};

// Each event returns a set of effects.
void sup_init(struct sup *s);
unsigned sup_start(struct sup *s, int64_t load_timeout_ms, int64_t kill_after_ms, int64_t now_ms);
unsigned sup_spawned(struct sup *s, int64_t now_ms);
unsigned sup_spawn_failed(struct sup *s, const struct err *e, int64_t now_ms);
void sup_line(struct sup *s, struct bytes line);
unsigned sup_probe(struct sup *s, bool ok,
                   int64_t now_ms); // result of a probe; ignored unless PROBING
unsigned sup_stop(struct sup *s, int64_t now_ms);           // TERM now, KILL after kill_after_ms
unsigned sup_exit(struct sup *s, const struct proc_exit *exit, int64_t now_ms);
unsigned sup_tick(struct sup *s, int64_t now_ms);
int64_t sup_next_ms(const struct sup *s);
// Why it went: exit reason and the last lines of its log (blame: index of the telling one or -1).
void sup_why(const struct sup *s, int (*blame)(const struct bytes *lines, int count),
             struct buf *out);

#endif
