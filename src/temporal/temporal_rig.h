// temporal_rig.h: for tests: a real development server, a worker on a loop that goes step by step,
// activities of the decider's tests, requests that keep their answer.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_TEMPORAL_TEMPORAL_RIG_H
#define PLEXUS_TEMPORAL_TEMPORAL_RIG_H

#include "flow/run_rows_rig.h"

#include "adapters/bus_server_rig.h"
#include "base/time.h"
#include "loop/loop_priv.h"
#include "temporal/temporal_priv.h"

enum { RIG_WAIT_MS = 60000 };
#define TEMPORAL_VERSION "1.5.1" // tests/lib/temporal.py builds it

struct doing { // an activity under way
    struct list link;
    struct side *side;
    struct act_req *r;
    struct timer timer;
    struct val *data;
    bool cancelled;
};

struct side { // a worker and who asks it
    struct acts acts;
    struct expr expr;
    struct loop *loop;
    struct temporal *t;
    struct list doing;
    struct rig world; // calls of /flaky
    struct timer tick;
    int64_t act_ms; // an activity takes so long
    unsigned done, cancelled, evals, lifecycle, changes;
    const char *watched; // the run, with its children, of which these two count; NULL: none
    char first[256]; // lifecycle event's type, of that run itself
    bool closed, up;
    const char *lines;    // a file with a line for each activity that began; NULL: none
    const char *document; // that is registered, for every name
    char queue[64];
};

static struct server temporal_dev;
static const char *temporal_program;

static const char *find_temporal(void)
{
    static char path[512];
    const char *given = getenv("PLEXUS_TEMPORAL"), *cache = getenv("XDG_CACHE_HOME");
    if (given && *given)
        return given;
    if (cache && *cache)
        (void)snprintf(path, sizeof path, "%s/plexus/servers/temporal-%s/temporal", cache,
                       TEMPORAL_VERSION);
    else
        (void)snprintf(path, sizeof path, "%s/.cache/plexus/servers/temporal-%s/temporal",
                       getenv("HOME") ? getenv("HOME") : "", TEMPORAL_VERSION);
    return access(path, X_OK) == 0 ? path : NULL;
}

static void dev_start(void)
{
    static struct temporal_server made;
    static const char *argv[24];
    size_t n = 0;
    if (!temporal_dev.port) {
        server_folder(&temporal_dev);
        temporal_dev.port = server_free_port();
        temporal_server(&made, temporal_program, temporal_dev.folder, temporal_dev.port,
                        server_free_port(), NULL);
    }
    for (; made.argv[n]; n++)
        argv[n] = made.argv[n];
    argv[n++] = "--dynamic-config-value=limit.historyCount.suggestContinueAsNew=60";
    argv[n] = NULL;
    pid_t parent = getpid();
    temporal_dev.pid = fork();
    if (temporal_dev.pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        int log = open(getenv("TEMPORAL_TEST_LOG") ? getenv("TEMPORAL_TEST_LOG") : "/dev/null",
                       O_WRONLY | O_CREAT | O_APPEND, 0600);
        if (getppid() != parent || log < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0)
            _exit(1);
        (void)execv(argv[0], (char *const *)(uintptr_t)argv);
        _exit(1);
    }
    for (int i = 0; i < 3000 && !server_answers(temporal_dev.port); i++)
        (void)nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    if (!server_answers(temporal_dev.port))
        fail_msg("the development server does not come up");
}

// ---- the loop -----------------------------------------------------------------------------------

static void side_tick(struct timer *t)
{
    struct side *s = t->user;
    (void)timer_start(loop_timers(s->loop), t, 20); // so that no round waits long
}

static void side_round(struct side *s)
{
    s->loop->running = true;
    (void)uv_run(&s->loop->uv, UV_RUN_ONCE);
}

#define side_until(s, condition)                                                                   \
    do {                                                                                           \
        int64_t end_ = time_mono_ms() + RIG_WAIT_MS;                                               \
        while (!(condition)) {                                                                     \
            if (time_mono_ms() > end_)                                                             \
                fail_msg("%s:%d: never came: %s", __FILE__, __LINE__, #condition);                 \
            side_round(s);                                                                         \
        }                                                                                          \
    } while (0)

// ---- activities ---------------------------------------------------------------------------------

static void doing_done(struct timer *timer)
{
    struct doing *d = timer->user;
    struct side *s = d->side;
    struct val *output = NULL, *problem = NULL;
    struct flow_event ev = {.type = FLOW_ACT, .data = d->data};
    list_del(&d->link);
    if (!d->cancelled)
        rig_acts(&s->world, &ev, &output, &problem);
    s->done++;
    s->cancelled += d->cancelled;
    d->r->done(d->r, d->cancelled ? E_CANCELLED : problem ? E_UPSTREAM : 0, output, problem, false);
    val_unref(output);
    val_unref(problem);
    val_unref(d->data);
    mem_free(d);
}

static int doing_start(struct acts *a, const struct act_args *args, struct act_req *r,
                       struct err *e)
{
    struct side *s = container_of(a, struct side, acts);
    struct doing *d = mem_new(struct doing);
    (void)e;
    d->side = s;
    d->r = r;
    r->priv = d;
    d->timer = (struct timer){.fn = doing_done, .user = d};
    d->data = val_put_cstr(val_obj(), "kind", val_str(args->kind));
    d->data = val_put_cstr(d->data, "args", val_ref((struct val *)(uintptr_t)args->args));
    list_add_tail(&s->doing, &d->link);
    FILE *f = s->lines ? fopen(s->lines, "a") : NULL;
    if (f) {
        (void)fprintf(f, "%.*s %.*s\n", BYTES_FMT(args->key), BYTES_FMT(args->kind));
        (void)fclose(f);
    }
    struct flow_event ev = {.data = d->data};
    if (!rig_silent(&ev))
        (void)timer_start(loop_timers(s->loop), &d->timer, s->act_ms);
    return 0;
}

static void doing_cancel(struct acts *a, struct act_req *r)
{
    struct doing *d = r->priv;
    struct side *s = container_of(a, struct side, acts);
    d->cancelled = true;
    (void)timer_start(loop_timers(s->loop), &d->timer, 0);
}

static const struct acts_ops doing_ops = {.start = doing_start, .cancel = doing_cancel};

// ---- expressions: as libjq would ----------------------------------------------------------------

struct evaluating {
    struct timer timer;
    struct expr_req *r;
    struct side *side;
};

static void evaluated(struct timer *timer)
{
    struct evaluating *x = timer->user;
    struct expr_req *r = x->r;
    struct val *input = NULL, *vars = NULL, *all = NULL, *value;
    struct jq_var bound[32];
    struct jq_args args = {.vars = bound, .now_ms = r->now_ms};
    struct jq *j = NULL;
    struct bytes key;
    struct err e = {0};
    int rc = val_parse(&input, r->input, &e);
    if (!rc)
        rc = val_parse(&vars, r->vars, &e);
    for (size_t at = 0; vars && val_each(vars, &at, &key, &value) && args.var_count < 32;)
        bound[args.var_count++] = (struct jq_var){.name = key, .value = value};
    args.input = input;
    if (!rc)
        rc = jq_compile(&j, r->program, &e);
    if (!rc)
        rc = jq_run(j, &args, &all, &e);
    struct buf b;
    buf_init(&b, 1 << 20);
    (void)val_write(&b, all);
    x->side->evals++;
    r->done(r, rc, buf_bytes(&b), rc ? &e : NULL);
    buf_fini(&b);
    jq_free(j);
    val_unref(all);
    val_unref(input);
    val_unref(vars);
    mem_free(x);
}

static int eval_run(struct expr *expr, struct expr_req *r, struct err *e)
{
    struct side *s = container_of(expr, struct side, expr);
    struct evaluating *x = mem_new(struct evaluating);
    (void)e;
    x->r = r;
    x->side = s;
    x->timer = (struct timer){.fn = evaluated, .user = x};
    return timer_start(loop_timers(s->loop), &x->timer, 1);
}

static const struct expr_ops eval_ops = {.run = eval_run};

// ---- a worker -----------------------------------------------------------------------------------

static int registered(void *user, struct bytes namespace, struct bytes name, struct bytes version,
                      struct buf *out, struct err *e)
{
    struct side *s = user;
    (void)namespace, (void)version;
    if (!s->document || bytes_is(name, "missing"))
        return err_set(e, E_NOTFOUND, "no document %.*s", BYTES_FMT(name));
    return buf_str(out, s->document);
}

static void side_state(void *user, int status, const struct err *e)
{
    struct side *s = user;
    (void)e;
    s->up = !status;
}

static bool is_watched(const struct side *s, struct bytes run)
{
    return s->watched && bytes_starts(run, bytes_of(s->watched));
}

static void side_event(void *user, struct bytes run, struct bytes cloudevent)
{
    struct side *s = user;
    struct val *v = NULL;
    assert_true(run.n > 0);
    if (val_parse(&v, cloudevent, NULL))
        fail_msg("%.*s", BYTES_FMT(cloudevent));
    s->lifecycle += is_watched(s, run);
    if (is_watched(s, run) && bytes_is(run, s->watched) && !*s->first)
        (void)snprintf(s->first, sizeof s->first, "%s", val_text(val_get_cstr(v, "type"), ""));
    val_unref(v);
}

static void side_changed(void *user, struct bytes run, const struct flow_note *n)
{
    struct side *s = user;
    assert_true(run.n > 0 && n->data == NULL);
    s->changes += is_watched(s, run);
}

static void side_open(struct side *s, const char *queue, const struct temporal_args *more)
{
    struct err e = {0};
    struct temporal_args a = more ? *more : (struct temporal_args){.pollers = 2};
    if (!s->loop) {
        assert_int_equal(loop_new(&s->loop, &(struct loop_args){0}, &e), 0);
        s->tick = (struct timer){.fn = side_tick, .user = s};
        side_tick(&s->tick);
    }
    list_init(&s->doing);
    s->acts.ops = &doing_ops;
    s->expr.ops = &eval_ops;
    (void)snprintf(s->queue, sizeof s->queue, "%s", queue);
    a.net = loop_net(s->loop);
    a.timers = loop_timers(s->loop);
    a.addr = (struct net_addr){.host = "127.0.0.1", .port = temporal_dev.port};
    a.queue = s->queue;
    a.node = "test";
    a.expr = &s->expr;
    a.acts = a.activities_only ? NULL : &s->acts; // then it only asks
    a.document = registered;
    a.state = side_state;
    a.event = side_event;
    a.changed = side_changed;
    a.user = s;
    s->closed = false;
    if (temporal_new(&s->t, &a, &e))
        fail_msg("%s", e.text);
}

static void side_closed(void *user)
{
    struct side *s = user;
    s->closed = true;
}

static void side_close(struct side *s)
{
    temporal_close(s->t, side_closed, s);
    side_until(s, s->closed);
    s->t = NULL;
}

static void side_free(struct side *s)
{
    if (s->t)
        side_close(s);
    timer_stop(loop_timers(s->loop), &s->tick);
    s->loop->running = false;
    loop_free(s->loop);
    s->loop = NULL;
}

// ---- requests -----------------------------------------------------------------------------------

struct asked {
    struct runs_req r;
    bool done;
    int status;
    struct val *v;
    struct err e;
};

static void asked_done(struct runs_req *r, int status, struct bytes json, const struct err *e)
{
    struct asked *a = container_of(r, struct asked, r);
    a->done = true;
    a->status = status;
    if (e)
        a->e = *e;
    if (!status && json.n && val_parse(&a->v, json, &a->e))
        fail_msg("%.*s: %s", BYTES_FMT(json), a->e.text);
}

static void asked_clear(struct asked *a)
{
    val_unref(a->v);
    *a = (struct asked){.r = {.done = asked_done}};
}

#define ask(s, a, call)                                                                            \
    do {                                                                                           \
        asked_clear(a);                                                                            \
        call;                                                                                      \
        side_until(s, (a)->done);                                                                  \
    } while (0)

static struct val *show(struct side *s, const char *id)
{
    struct asked a = {.done = false};
    ask(s, &a, temporal_show(s->t, bytes_of(id), true, &a.r));
    if (a.status && a.status != E_NOTFOUND)
        fail_msg("show %s: %s", id, a.e.text);
    return a.v; // NULL: not there (yet)
}

// Until its status is this one.
static void until_status(struct side *s, const char *id, const char *status)
{
    int64_t end = time_mono_ms() + RIG_WAIT_MS;
    for (;;) {
        AUTO(val) v = show(s, id);
        if (bytes_is(val_bytes(val_ptr(v, BYTES("/view/status"))), status))
            return;
        if (time_mono_ms() > end) {
            char text[2048];
            rig_text(v, text, sizeof text);
            fail_msg("flow %s is not %s: %s", id, status, text);
        }
        side_round(s);
    }
}

static void start(struct side *s, struct asked *a, const char *id, const char *document,
                  const char *input)
{
    struct val *v = input ? rig_yaml(input) : NULL;
    ask(s, a,
        temporal_start(s->t,
                       &(struct runs_start){.document = bytes_of(document),
                                            .id = bytes_of(id),
                                            .input = v,
                                            .by = BYTES("tester")},
                       &a->r));
    val_unref(v);
    if (a->status)
        fail_msg("%s: %s", id, a->e.text);
}

// Starts nothing: waits for the end by starting a wait through the history.
static void until_end(struct side *s, struct asked *a, const char *id)
{
    asked_clear(a);
    struct temporal_op *o = temporal_op_new(s->t, bytes_of(id), &a->r);
    temporal_op_wait(o);
    side_until(s, a->done);
    if (a->status)
        fail_msg("%s: %s", id, a->e.text);
}

#endif
