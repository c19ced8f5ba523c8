// flow_rig.h: for tests: a small world for runs of the decider: a virtual clock, activities from a
// table, events and hands on time; it keeps the history and a trace of what happened.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_FLOW_FLOW_RIG_H
#define PLEXUS_FLOW_FLOW_RIG_H

#include "base/rng.h"
#include "flow/run_priv.h"
#include "text/yaml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define RIG_START_MS 1790000000000
#define RIG_STEPS_MAX 200000

struct rig;
// An activity: fills in output (owned) or problem (owned); neither: it never answers.
typedef void (*rig_act_fn)(struct rig *w, const struct flow_event *act, struct val **ret_output,
                           struct val **ret_problem);

struct rig {
    struct flow_plan *plan;
    struct flow_run *run;
    struct flow_out out;
    struct flow_event *history; // all entries
    size_t count, cap;
    int64_t now;
    rig_act_fn act;
    int calls; // of activities so far
    int64_t flaky; // calls of /flaky so far
    struct buf trace; // commands and notes, by words
    bool trace_commands, trace_notes;
    const char *const *events; // JSON texts, given when the run only waits; NULL ends
    struct rng *rng;  // answers in any order; NULL: in the order of ids
    bool far;         // each expression goes by eval
    int last_rc;
    struct err last;
};

static inline struct val *rig_yaml(const char *text)
{
    struct yaml *y = NULL;
    struct err e = {0};
    if (yaml_parse(&y, bytes_of(text), &e) < 0)
        fail_msg("%s in: %s", e.text, text);
    struct val *v = val_of_json(yaml_root(y));
    yaml_free(y);
    assert_non_null(v);
    return v;
}

static inline struct val *rig_json(const char *text)
{
    struct val *v = NULL;
    struct err e = {0};
    if (val_parse(&v, bytes_of(text), &e) < 0)
        fail_msg("%s in: %s", e.text, text);
    return v;
}

static inline void rig_text(const struct val *v, char *to, size_t max)
{
    struct buf b;
    buf_init(&b, (size_t)64 << 20);
    (void)val_write_sorted(&b, v);
    (void)snprintf(to, max, "%s", buf_cstr(&b));
    buf_fini(&b);
}

static inline void rig_keep(struct rig *w, const struct flow_event *ev)
{
    if (w->count == w->cap) {
        w->cap = w->cap > 0 ? w->cap * 2 : 64;
        w->history = mem_realloc(w->history, w->cap * sizeof *w->history);
        assert_non_null(w->history);
    }
    w->history[w->count] = *ev;
    (void)val_ref(ev->data);
    w->count++;
}

static inline void rig_say(struct rig *w, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static inline void rig_say(struct rig *w, const char *fmt, ...)
{
    va_list ap;
    if (w->trace.n > 0)
        (void)buf_chr(&w->trace, ' ');
    va_start(ap, fmt);
    (void)buf_vfmt(&w->trace, fmt, ap);
    va_end(ap);
}

static inline void rig_trace(struct rig *w)
{
    static const char *const notes[] = {"started", "retried",   "waiting",   "completed", "faulted",
                                        "skipped", "cancelled", "suspended", "resumed"};
    for (size_t i = 0; w->trace_notes && i < w->out.note_count; i++)
        rig_say(w, "%s:%s", notes[w->out.notes[i].kind],
                w->out.notes[i].workflow ? "*" : w->out.notes[i].name);
    for (size_t i = 0; w->trace_commands && i < w->out.command_count; i++) {
        const struct flow_event *c = &w->out.commands[i];
        const char *kind = val_text(val_get_cstr(c->data, "kind"), NULL);
        const char *why = val_text(val_get_cstr(c->data, "why"), NULL);
        const char *status = val_text(val_get_cstr(c->data, "status"), NULL);
        const char *more = kind ? kind : why ? why : status;
        if (c->type == FLOW_TIMER)
            rig_say(w, "timer:%s+%lld", why,
                    (long long)(val_i64(val_get_cstr(c->data, "due"), 0) - w->now));
        else
            rig_say(w, "%s%s%s", flow_type_name(c->type), more ? ":" : "", more ? more : "");
    }
}

// One event: stepped, and with its commands put into the history. The data goes over.
static inline int rig_event(struct rig *w, enum flow_type type, uint64_t id, struct val *takes_data)
{
    struct flow_event ev = {.type = type, .id = id, .at_ms = w->now, .data = takes_data};
    flow_out_clear(&w->out);
    w->out.want_notes = true;
    w->last = (struct err){0};
    w->last_rc = flow_step(w->run, &ev, &w->out, &w->last);
    if (w->last_rc == 0) {
        rig_keep(w, &ev);
        for (size_t i = 0; i < w->out.command_count; i++)
            rig_keep(w, &w->out.commands[i]);
        rig_trace(w);
    }
    flow_event_fini(&ev);
    return w->last_rc;
}

static inline struct val *rig_problem(const char *kind, int status, const char *title)
{
    char type[128];
    (void)snprintf(type, sizeof type, "https://serverlessworkflow.io/spec/1.0.0/errors/%s", kind);
    struct val *v = val_put_cstr(val_obj(), "type", val_cstr(type));
    v = val_put_cstr(v, "status", val_int(status));
    return val_put_cstr(v, "title", val_cstr(title));
}

// Activities for documents of tests: /echo gives its body, /bare fails and does not say how,
// /fail/503 fails, /flaky/2 fails twice
// and then gives how often it was called; a shell says its command, a child what it was given.
static inline void rig_acts(struct rig *w, const struct flow_event *ev, struct val **ret_output,
                            struct val **ret_problem)
{
    const char *kind = val_text(val_get_cstr(ev->data, "kind"), "");
    const struct val *args = val_get_cstr(ev->data, "args");
    const char *uri = val_text(val_ptr(args, BYTES("/endpoint/uri")), "");
    const char *fails = strstr(uri, "/fail/"), *flaky = strstr(uri, "/flaky/");
    if (ev->type == FLOW_CHILD) {
        bool await = val_bool_of(val_get_cstr(ev->data, "await"), true);
        *ret_output =
            await ? val_put_cstr(val_obj(), "child", val_ref(val_get_cstr(ev->data, "input")))
                  : val_put_cstr(val_obj(), "run", val_cstr("child-1"));
    } else if (strcmp(kind, "shell") == 0) {
        struct val *v = val_put_cstr(val_obj(), "code", val_int(3));
        v = val_put_cstr(v, "stdout", val_ref(val_get_cstr(args, "command")));
        *ret_output = val_put_cstr(v, "stderr", val_cstr("oops"));
    } else if (strcmp(kind, "asyncapi") == 0) {
        *ret_output = rig_json("[{\"n\":1},{\"n\":2}]");
    } else if (strcmp(kind, "http") != 0) {
        *ret_output = val_put_cstr(val_obj(), "did", val_cstr(kind));
    } else if (strstr(uri, "/bare")) {
        *ret_problem = val_obj();
    } else if (fails) {
        *ret_problem = rig_problem("communication", atoi(fails + 6), "Failed");
    } else if (flaky && w->flaky++ < atoi(flaky + 7)) {
        *ret_problem = rig_problem("communication", 503, "Unavailable");
    } else if (flaky) {
        *ret_output = val_int(w->flaky);
    } else {
        struct val *body = val_get_cstr(args, "body");
        *ret_output = body ? val_ref(body) : val_null();
    }
}

static inline void rig_open(struct rig *w, const char *document)
{
    struct err e = {0};
    struct flow_findings f = {0};
    buf_init(&w->trace, (size_t)16 << 20);
    w->now = RIG_START_MS;
    int rc = flow_plan_new(&w->plan, bytes_of(document), &f, &e);
    if (rc != 0) {
        for (size_t i = 0; i < f.count; i++)
            print_message("%u: %s: %s\n", f.at[i].line, f.at[i].pointer, f.at[i].message);
        fail_msg("%d %s in:\n%s", rc, e.text, document);
    }
    assert_int_equal(flow_run_new(&w->run, w->plan, &e), 0);
}

// Expressions that the decider runs itself are taken away, so that each goes by eval.
static inline void rig_far(struct rig *w, bool far)
{
    for (size_t i = 0; far && i < w->plan->expr_count; i++) {
        jq_free(w->plan->exprs[i]->plain);
        w->plan->exprs[i]->plain = NULL;
    }
}

static inline struct val *rig_started(const struct rig *w, struct val *takes_input)
{
    struct val *v = val_put_cstr(val_obj(), "input", takes_input);
    v = val_put_cstr(v, "run", val_cstr("run-1"));
    v = val_put_cstr(v, "namespace", val_cstr(w->plan->about.namespace));
    v = val_put_cstr(v, "name", val_cstr(w->plan->about.name));
    v = val_put_cstr(v, "version", val_cstr(w->plan->about.version));
    v = val_put_cstr(v, "plan", val_cstr(w->plan->about.hash));
    v = val_put_cstr(v, "decider", val_int(FLOW_DECIDER_VERSION));
    return val_put_cstr(v, "seed", val_int(42));
}

static inline int rig_start(struct rig *w, struct val *takes_input)
{
    return rig_event(w, FLOW_STARTED, 0, rig_started(w, takes_input));
}

// What libjq would say.
static inline void rig_eval(struct rig *w, const struct flow_event *ev)
{
    struct val *program = val_get_cstr(ev->data, "program"), *vars = val_get_cstr(ev->data, "vars");
    struct jq_var bound[32];
    struct jq_args args = {.input = val_get_cstr(ev->data, "input"),
                           .vars = bound,
                           .now_ms = val_i64(val_get_cstr(ev->data, "now"), 0)};
    struct jq *j = NULL;
    struct val *all = NULL, *value;
    struct bytes key;
    struct err e = {0};
    for (size_t at = 0; val_each(vars, &at, &key, &value) && args.var_count < 32;)
        bound[args.var_count++] = (struct jq_var){.name = key, .value = value};
    int rc = jq_compile(&j, val_bytes(program), &e);
    if (rc == 0)
        rc = jq_run(j, &args, &all, &e);
    struct val *data;
    if (rc == 0) {
        data = val_put_cstr(val_obj(), "out", all);
    } else {
        struct val *p = rig_problem("expression", 400, "Expression Error");
        p = val_put_cstr(p, "detail", val_cstr(e.text));
        data = val_put_cstr(val_obj(), "error", p);
    }
    jq_free(j);
    (void)rig_event(w, FLOW_EVALUATED, ev->id, data);
}

static inline void rig_answer(struct rig *w, const struct flow_event *borrowed)
{
    struct flow_event ev = *borrowed; // the table may move
    struct val *output = NULL, *problem = NULL;
    (void)val_ref(ev.data);
    if (ev.type == FLOW_EVAL) {
        rig_eval(w, &ev);
    } else if (ev.type == FLOW_TIMER) {
        int64_t due = val_i64(val_get_cstr(ev.data, "due"), 0);
        w->now = due > w->now ? due : w->now;
        (void)rig_event(w, FLOW_FIRED, ev.id, NULL);
    } else {
        w->calls++;
        w->act(w, &ev, &output, &problem);
        if (output)
            (void)rig_event(w, FLOW_DONE, ev.id, val_put_cstr(val_obj(), "output", output));
        else if (problem)
            (void)rig_event(w, FLOW_FAILED, ev.id, val_put_cstr(val_obj(), "error", problem));
    }
    flow_event_fini(&ev);
}

// An address with /never in it stays silent.
static inline bool rig_silent(const struct flow_event *ev)
{
    struct bytes uri = val_bytes(val_ptr(ev->data, BYTES("/args/endpoint/uri")));
    return bytes_find(uri, BYTES("/never")) >= 0;
}

// The next thing that happens by itself: an answer (by id, or by chance), else an event of the
// script, else the earliest timer. false: nothing does.
static inline bool rig_next(struct rig *w)
{
    const struct flow_event *ev, *busy = NULL, *timer = NULL;
    int64_t due = TIME_NEVER;
    uint64_t seen = 0;
    const struct flow_event *last = w->count > 0 ? &w->history[w->count - 1] : NULL;
    if (last && last->type == FLOW_ROLL) {
        struct val *data =
            val_put_cstr(val_obj(), "state", val_ref(val_get_cstr(last->data, "state")));
        return rig_event(w, FLOW_ROLLED, 0, val_put_cstr(data, "chapter", val_int(2))) == 0;
    }
    if (w->run->yielded)
        return rig_event(w, FLOW_TICK, 0, NULL) == 0;
    for (size_t at = 0; flow_run_pending(w->run, &at, &ev);) {
        if (ev->type == FLOW_TIMER) {
            int64_t mine = val_i64(val_get_cstr(ev->data, "due"), 0);
            if (mine < due) {
                due = mine;
                timer = ev;
            }
        } else if (ev->type != FLOW_LISTEN) {
            if (!rig_silent(ev) && (!busy || (w->rng && rng_below(w->rng, ++seen + 1) == 0)))
                busy = ev;
        }
    }
    if (busy) {
        rig_answer(w, busy);
        return true;
    }
    if (w->events && *w->events) {
        struct val *data = rig_json(*w->events++);
        struct val *hand = val_get_cstr(data, "action");
        if (val_get_cstr(data, "sleep"))
            w->now += val_i64(val_get_cstr(data, "sleep"), 0);
        else if (hand)
            (void)rig_event(w, FLOW_HAND, 0, val_ref(data));
        else
            (void)rig_event(w, FLOW_EVENT, 0, val_ref(data));
        val_unref(data);
        return true;
    }
    if (timer)
        rig_answer(w, timer);
    return timer != NULL;
}

static inline bool rig_over(const struct rig *w)
{
    enum flow_status s = flow_run_status(w->run);
    return s != FLOW_PENDING && s != FLOW_RUNNING && s != FLOW_WAITING && s != FLOW_SUSPENDED &&
           s != FLOW_STALLED;
}

static inline void rig_go(struct rig *w)
{
    for (int i = 0; i < RIG_STEPS_MAX; i++) {
        bool hands = w->events && *w->events;
        if ((rig_over(w) && !hands) || !rig_next(w))
            return;
    }
    fail_msg("it does not end");
}

static inline void rig_close(struct rig *w)
{
    for (size_t i = 0; i < w->count; i++)
        flow_event_fini(&w->history[i]);
    mem_free(w->history);
    flow_out_fini(&w->out);
    flow_run_free(w->run);
    flow_plan_unref(w->plan);
    buf_fini(&w->trace);
}

#endif
