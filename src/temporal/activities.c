// activities.c: activity tasks: done through port/activity.h, with signs of life to the server.
// SPDX-License-Identifier: Apache-2.0
#include "temporal/temporal_priv.h"

#include <stdio.h>
#include <string.h>

#define ANSWERS_MAX 12 // tries to bring the result to the server
#define ANSWER_PAUSE_MS 200
#define LOCAL_PAUSE_MS 100

struct activity {
    struct list link;
    struct temporal *t;
    struct val *task, *head, *args; // the poll's answer, our header, the arguments
    struct act_req req;
    char key[600];
    struct timer beat;
    int64_t beat_ms;
    struct val *detail; // of the last sign from the doer
    bool running, beating, cancelled, answered;
    struct act_args what;
    unsigned local; // tries here, before the flow is told
    bool rests; // until the next of them
    const char *method; // the answer
    struct val *answer;
    unsigned tries;
};

static void activity_free(struct activity *a)
{
    struct temporal *t = a->t;
    timer_stop(t->args.timers, &a->beat);
    list_del(&a->link);
    val_unref(a->task);
    val_unref(a->head);
    val_unref(a->args);
    val_unref(a->detail);
    val_unref(a->answer);
    mem_free(a);
    t->acts_running--;
    temporal_polls_again(t);
    temporal_quiet(t);
}

static struct val *token(const struct activity *a)
{
    return val_put_cstr(temporal_request(a->t), "taskToken",
                        val_ref(val_get_cstr(a->task, "taskToken")));
}

static void begin(struct activity *a);

// ---- the answer ---------------------------------------------------------------------------------

static void on_answered(void *user, int status, struct val *answer, const struct err *e);

static void send_answer(struct activity *a)
{
    a->tries++;
    a->answered = true;
    (void)temporal_call(a->t, a->method, val_ref(a->answer), TEMPORAL_CALL_MS, on_answered, a);
}

static void on_answered(void *user, int status, struct val *answer, const struct err *e)
{
    struct activity *a = user;
    (void)answer, (void)e;
    a->answered = false;
    bool again = status == E_UNAVAILABLE || status == E_TIMEOUT || status == E_RATE;
    if (!again || a->tries >= ANSWERS_MAX || a->t->closing) {
        activity_free(a);
        return;
    }
    (void)timer_start(a->t->args.timers, &a->beat, ANSWER_PAUSE_MS * (int64_t)a->tries);
}

// Too large for Temporal, and the like: the flow is told.
static struct val *cut(const struct val *output)
{
    return val_size(output) > (size_t)2 << 20
               ? temporal_problem_new("runtime", 413, "Output too large",
                                      "Temporal takes results of 2 MiB: keep it elsewhere and "
                                      "pass its place on")
               : NULL;
}

// What passes by itself: nobody answered, too many, a time over. The flow's own retries come after.
static bool again_here(struct activity *a, int status, const struct val *problem, bool final)
{
    struct temporal *t = a->t;
    int64_t http = val_i64(val_get_cstr(problem, "status"), 0);
    bool passes = err_info(status)->retry || http == 429 || http == 502 || http == 503;
    if (!status || final || !passes || status == E_CANCELLED || a->cancelled || t->closing ||
        a->local >= t->args.local_retries)
        return false;
    a->rests = true;
    return timer_start(t->args.timers, &a->beat, LOCAL_PAUSE_MS << (a->local++ & 7)) == 0;
}

static void on_act_done(struct act_req *r, int status, struct val *output, struct val *problem,
                        bool final)
{
    struct activity *a = r->user;
    struct temporal *t = a->t;
    a->running = false;
    if (!a->beating && again_here(a, status, problem, final))
        return;
    timer_stop(t->args.timers, &a->beat);
    AUTO(val) large = status ? NULL : cut(output);
    if (!status && !large) {
        struct val *v = output ? val_ref(output) : val_null();
        a->method = "RespondActivityTaskCompleted";
        a->answer = val_put_cstr(token(a), "result", temporal_payloads(v, NULL));
        t->stats.activities++;
    } else if (t->closing && status == E_CANCELLED) { // let go: it is started elsewhere
        AUTO(val) gone = temporal_problem_new("runtime", 503, "Worker stopped", NULL);
        a->method = "RespondActivityTaskFailed";
        a->answer = val_put_cstr(token(a), "failure", temporal_failure(gone, true));
    } else if (a->cancelled && status == E_CANCELLED) {
        a->method = "RespondActivityTaskCanceled";
        a->answer = token(a);
    } else {
        AUTO(val)
        own = problem || large ? NULL
                               : temporal_problem_new("runtime", 500, err_info(status)->text, NULL);
        a->method = "RespondActivityTaskFailed";
        a->answer = val_put_cstr(token(a), "failure",
                                 temporal_failure(large     ? large
                                                  : problem ? problem
                                                            : own,
                                                  false));
        t->stats.activity_failures++;
    }
    if (!a->beating)
        send_answer(a);
}

// ---- signs of life ------------------------------------------------------------------------------

static void next_beat(struct activity *a)
{
    (void)timer_start(a->t->args.timers, &a->beat, a->beat_ms);
}

static void on_beaten(void *user, int status, struct val *answer, const struct err *e)
{
    struct activity *a = user;
    (void)e;
    a->beating = false;
    if (!a->running) { // it ended meanwhile
        if (a->answer)
            send_answer(a);
        else
            activity_free(a);
        return;
    }
    // Gone there (the flow ended, or it was started elsewhere), or cancelled.
    if (status == E_NOTFOUND ||
        (!status && val_bool_of(val_get_cstr(answer, "cancelRequested"), false))) {
        a->cancelled = true;
        act_cancel(a->t->args.acts, &a->req);
        return;
    }
    next_beat(a);
}

static void on_beat(struct timer *timer)
{
    struct activity *a = timer->user;
    if (a->rests) {
        a->rests = false;
        begin(a);
        return;
    }
    if (!a->running) {
        send_answer(a);
        return;
    }
    struct val *r = token(a);
    if (a->detail)
        r = val_put_cstr(r, "details", temporal_payloads(val_ref(a->detail), NULL));
    a->beating = true;
    (void)temporal_call(a->t, "RecordActivityTaskHeartbeat", r, TEMPORAL_CALL_MS, on_beaten, a);
}

static void on_sign(struct act_req *r, struct val *detail)
{
    struct activity *a = r->user;
    val_unref(a->detail);
    a->detail = detail ? val_ref(detail) : NULL; // goes with the next sign of life
}

// ---- it begins ----------------------------------------------------------------------------------

static int64_t limit_of(const struct activity *a)
{
    int64_t ms = val_i64(val_get_cstr(a->head, "timeout_ms"), 0);
    return ms > 0 ? ms : TIME_NEVER;
}

static void start(struct activity *a)
{
    const struct val *ex = val_get_cstr(a->task, "workflowExecution");
    struct bytes run = temporal_str(a->head, "run");
    if (!run.n)
        run = temporal_str(ex, "workflowId");
    (void)snprintf(a->key, sizeof a->key, "%.*s/%s", (int)(run.n < 500 ? run.n : 500), run.p,
                   val_text(val_get_cstr(a->task, "activityId"), ""));
    a->what = (struct act_args){.kind = temporal_str(val_get_cstr(a->task, "activityType"), "name"),
                                .run = run,
                                .task = temporal_str(a->head, "task"),
                                .key = bytes_of(a->key),
                                .attempt = (uint32_t)val_i64(val_get_cstr(a->head, "attempt"), 1),
                                .timeout_ms = limit_of(a),
                                .label = temporal_str(a->head, "label"),
                                .args = a->args};
    begin(a);
}

static void begin(struct activity *a)
{
    struct err e = {0};
    a->req = (struct act_req){.done = on_act_done, .beat = on_sign, .user = a};
    a->running = true;
    next_beat(a);
    int rc = act_start(a->t->args.acts, &a->what, &a->req, &e);
    if (!rc)
        return;
    AUTO(val)
    p = temporal_problem_new(rc == E_NOTFOUND ? "configuration" : "runtime", err_info(rc)->http,
                             err_info(rc)->text, e.text);
    on_act_done(&a->req, rc, NULL, p, false);
}

void temporal_activity(struct temporal *t, struct val *answer)
{
    struct activity *a = mem_new(struct activity);
    if (!a) {
        val_unref(answer); // started again when its first sign is missed
        return;
    }
    const struct val *header = val_get_cstr(val_get_cstr(answer, "header"), "fields");
    int64_t s = 0;
    int32_t ns;
    (void)proto_duration_get(temporal_str(answer, "heartbeatTimeout"), &s, &ns);
    a->t = t;
    a->task = answer;
    a->head = temporal_unpack(val_get_cstr(header, "plexus"));
    a->args = temporal_payload_of(val_get_cstr(answer, "input"), 0);
    a->beat = (struct timer){.fn = on_beat, .user = a};
    a->beat_ms = s > 0 ? s * 1000 / 3 : t->args.heartbeat_ms / 3;
    list_add_tail(&t->acts, &a->link);
    t->acts_running++;
    start(a);
}

void temporal_activities_end(struct temporal *t)
{
    list_each_safe (it, &t->acts) {
        struct activity *a = container_of(it, struct activity, link);
        timer_stop(t->args.timers, &a->beat);
        if (a->running)
            act_cancel(t->args.acts, &a->req);
        else if (a->rests || (!a->answered && !a->beating))
            activity_free(a); // the server starts it elsewhere when its signs are missed
    }
}
