// polls.c: long polls for workflow tasks (of the queue, and of this worker's sticky one) and for
// activity tasks while there is room for more.
// SPDX-License-Identifier: Apache-2.0
#include "temporal/temporal_priv.h"

#include <string.h>

#define PAUSE_MS 100
#define PAUSE_MAX_MS 5000

static void ask(struct temporal_poll *p);

bool temporal_room(const struct temporal *t)
{
    return t->acts_running < t->args.activities_max;
}

static void rest(struct temporal_poll *p)
{
    p->pause_ms = p->pause_ms ? p->pause_ms * 2 : PAUSE_MS;
    if (p->pause_ms > PAUSE_MAX_MS)
        p->pause_ms = PAUSE_MAX_MS;
    (void)timer_start(p->t->args.timers, &p->pause, p->pause_ms);
}

static void on_polled(void *user, int status, struct val *answer, const struct err *e)
{
    struct temporal_poll *p = user;
    struct temporal *t = p->t;
    (void)e;
    p->rpc = NULL;
    bool task = !status && temporal_str(answer, "taskToken").n;
    if (t->closing)
        return; // what came is given to another one when its time is over
    if (task && p->activity)
        temporal_activity(t, val_ref(answer));
    else if (task)
        temporal_task(t, val_ref(answer));
    if (status && status != E_TIMEOUT) {
        rest(p);
        return;
    }
    p->pause_ms = 0;
    ask(p);
}

void temporal_deployment(const struct temporal *t, struct val **r)
{
    if (!t->deployment)
        return;
    struct val *d = temporal_name("deploymentName", t->deployment);
    d = val_put_cstr(d, "buildId", val_cstr(t->build_id));
    d = val_put_cstr(d, "workerVersioningMode", val_cstr("WORKER_VERSIONING_MODE_VERSIONED"));
    *r = val_put_cstr(*r, "deploymentOptions", d);
}

static void ask(struct temporal_poll *p)
{
    struct temporal *t = p->t;
    if (t->closing || p->rpc || (p->activity && !temporal_room(t)))
        return;
    struct val *r = temporal_request(t);
    struct val *q = temporal_name("name", p->sticky ? t->sticky : p->queue);
    q = val_put_cstr(q, "kind",
                     val_cstr(p->sticky ? "TASK_QUEUE_KIND_STICKY" : "TASK_QUEUE_KIND_NORMAL"));
    if (p->sticky)
        q = val_put_cstr(q, "normalName", val_cstr(p->queue));
    r = val_put_cstr(r, "taskQueue", q);
    if (p->activity && p->rate > 0) // the server keeps it, for all workers of the queue
        r = val_put_cstr(r, "taskQueueMetadata",
                         val_put_cstr(val_obj(), "maxTasksPerSecond", val_num(p->rate)));
    if (t->deployment)
        temporal_deployment(t, &r);
    else
        r = val_put_cstr(r, "workerVersionCapabilities", temporal_name("buildId", t->build_id));
    p->rpc = temporal_call(t, p->activity ? "PollActivityTaskQueue" : "PollWorkflowTaskQueue", r,
                           TEMPORAL_POLL_MS, on_polled, p);
}

static void on_pause(struct timer *timer)
{
    ask(timer->user);
}

void temporal_polls_again(struct temporal *t)
{
    for (size_t i = 0; i < t->poll_count; i++)
        if (t->polls[i].activity && !t->polls[i].rpc && !t->closing)
            (void)timer_start(t->args.timers, &t->polls[i].pause, 0);
}

static void add(struct temporal *t, const char *queue, bool sticky, bool activity)
{
    struct temporal_poll *p = &t->polls[t->poll_count++];
    *p = (struct temporal_poll){.t = t, .queue = queue, .sticky = sticky, .activity = activity};
    p->pause = (struct timer){.fn = on_pause, .user = p};
    for (size_t i = 0; i < t->args.rate_count; i++)
        if (strcmp(queue, t->args.rates[i].queue) == 0)
            p->rate = t->args.rates[i].per_s;
    (void)timer_start(t->args.timers, &p->pause, 0);
}

int temporal_polls_start(struct temporal *t, struct err *e)
{
    unsigned n = t->args.pollers;
    t->polls = mem_array((size_t)n * (3 + t->queue_count), sizeof *t->polls);
    if (!t->polls)
        return err_set(e, E_NOMEM, "no memory for polls");
    for (unsigned i = 0; !t->args.activities_only && i < n; i++) {
        add(t, t->queue, false, false);
        add(t, t->queue, true, false);
    }
    for (unsigned i = 0; t->args.acts && i < n; i++) {
        add(t, t->queue, false, true);
        for (size_t q = 0; q < t->queue_count; q++)
            add(t, t->queues[q], false, true);
    }
    return 0;
}

void temporal_polls_end(struct temporal *t)
{
    for (size_t i = 0; i < t->poll_count; i++) {
        timer_stop(t->args.timers, &t->polls[i].pause);
        if (t->polls[i].rpc)
            grpc_cancel(&t->polls[i].rpc->call); // one that could not be begun has no state
    }
}
