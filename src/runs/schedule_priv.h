// schedule_priv.h: what the two halves of schedules share: those by time, those by events.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_RUNS_SCHEDULE_PRIV_H
#define PLEXUS_RUNS_SCHEDULE_PRIV_H

#include "runs/runs_priv.h"

struct firing { // a run that a schedule begins
    struct list link;
    struct schedule *c;
    struct plan_wait plan;
    struct ask *ask; // of the event, or NULL
    struct val *cursor, *input;
    char id[RUNS_ID_MAX + 1];
};

void runs_firing_done(struct firing *f, int status, const struct err *e);
void runs_schedule_unref(struct schedule *c);
// cursor NULL: it stays. a: is told with runs_event_taken.
void runs_schedule_fire(struct schedule *c, const char *id, struct val *takes_cursor,
                        struct val *takes_input, struct ask *a);

// schedule_on.c
int runs_schedule_filters(const struct val *on, struct val **ret, bool *ret_all, struct err *e);
void runs_schedule_next_held(struct schedule *c);
void runs_schedule_drop_held(struct schedule *c);

#endif
