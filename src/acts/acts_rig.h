// acts_rig.h: for the tests of activities: a loop, a server in it that answers as a test says, and
// activities that remember how they ended.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_ACTS_ACTS_RIG_H
#define PLEXUS_ACTS_ACTS_RIG_H

#include "acts/acts_priv.h"
#include "loop/loop.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#pragma GCC diagnostic ignored "-Wunused-function" // not each test uses each

enum { RIG_DEADLINE_MS = 30000, RIG_ONES = 16, RIG_SEEN = 16 };

static char rig_self[4096]; // this binary: it is its own guard

struct rig;
struct one { // an activity
    struct act_req req;
    struct act_args args;
    struct rig *rig;
    struct val *with, *output, *problem;
    int status, ended;
    bool final;
    unsigned beats;
    struct val *beat; // the last
    char key[32];
};

struct seen { // a request that came to the server
    char method[16], target[1024], headers[8192];
    struct buf body;
};

struct rig {
    struct loop *loop;
    struct acts *acts;
    struct http_server *server;
    struct timer deadline;
    bool late;
    uint16_t port;
    char base[64]; // "http://127.0.0.1:PORT"
    struct one ones[RIG_ONES];
    unsigned count, left, round;
    struct seen seen[RIG_SEEN], spare;
    unsigned requests; // all, also beyond RIG_SEEN
    void (*answer)(struct rig *r, struct http_exchange *x, struct seen *s);
    void (*next)(struct rig *r, unsigned round); // when all that it began has ended
    void (*change)(struct rig *r, struct acts_args *args);
    const char *secrets[8][2];
    const char *label;
    void *user;
};

// ---- the server --------------------------------------------------------------------------------

static void rig_on_request(void *user, struct http_exchange *x)
{
    struct rig *r = user;
    const struct http_head *h = http_request(x);
    struct seen *s = r->requests < RIG_SEEN ? &r->seen[r->requests] : &r->spare;
    size_t n = 0;
    (void)snprintf(s->method, sizeof s->method, "%.*s", BYTES_FMT(h->method));
    (void)snprintf(s->target, sizeof s->target, "%.*s", BYTES_FMT(h->target));
    for (size_t i = 0; i < h->count && n < sizeof s->headers - 1; i++)
        n += (size_t)snprintf(s->headers + n, sizeof s->headers - n, "%.*s: %.*s\n",
                              BYTES_FMT(h->headers[i].name), BYTES_FMT(h->headers[i].value));
    if (!s->body.max)
        buf_init(&s->body, 1 << 20);
    buf_clear(&s->body);
    (void)buf_put(&s->body, http_body(x));
    r->requests++;
    r->answer(r, x, s);
}

static void rig_json(struct http_exchange *x, int status, const char *json)
{
    http_reply(x, status, "application/json", BYTES_NONE, bytes_of(json));
}

// Value of a header as it came, or "".
static const char *seen_header(const struct seen *s, const char *name)
{
    static char value[2048];
    const char *at = s->headers;
    size_t n = strlen(name);
    while (at && *at) {
        if (strncasecmp(at, name, n) == 0 && at[n] == ':') {
            (void)snprintf(value, sizeof value, "%.*s", (int)strcspn(at + n + 2, "\n"), at + n + 2);
            return value;
        }
        at = strchr(at, '\n');
        at = at ? at + 1 : NULL;
    }
    return "";
}

// ---- activities --------------------------------------------------------------------------------

static void rig_step(struct rig *r)
{
    r->left = 1; // not again while next begins some
    r->next(r, r->round++);
    r->left--;
}

static void one_done(struct act_req *req, int status, struct val *output, struct val *problem,
                     bool final)
{
    struct one *o = req->user;
    struct rig *r = o->rig;
    o->ended++;
    o->status = status;
    o->final = final;
    o->output = output ? val_ref(output) : NULL;
    o->problem = problem ? val_ref(problem) : NULL;
    if (--r->left == 0)
        rig_step(r);
}

static void one_beat(struct act_req *req, struct val *detail)
{
    struct one *o = req->user;
    o->beats++;
    val_unref(o->beat);
    o->beat = val_ref(detail);
}

static struct val *rig_val(const char *json)
{
    struct val *v = NULL;
    struct err e = {0};
    if (val_parse(&v, bytes_of(json), &e) < 0)
        fail_msg("%s: %s", e.text, json);
    return v;
}

// json: the arguments; each %B in it is the server's address.
static struct one *rig_do(struct rig *r, const char *kind, const char *json, int64_t timeout_ms)
{
    assert_true(r->count < RIG_ONES);
    struct one *o = &r->ones[r->count++];
    struct err e = {0};
    struct buf text;
    buf_init(&text, 1 << 20);
    for (const char *p = json; *p; p++) {
        if (p[0] == '%' && p[1] == 'B')
            (void)buf_str(&text, r->base), p++;
        else
            (void)buf_chr(&text, *p);
    }
    (void)snprintf(o->key, sizeof o->key, "run-1/%u", 6 + r->count);
    o->rig = r;
    o->with = rig_val(buf_cstr(&text));
    buf_fini(&text);
    o->req = (struct act_req){.done = one_done, .beat = one_beat, .user = o};
    o->args = (struct act_args){.kind = bytes_of(kind),
                                .run = BYTES("run-1"),
                                .task = BYTES("/do/0/task"),
                                .key = bytes_of(o->key),
                                .attempt = 1,
                                .timeout_ms = timeout_ms ? timeout_ms : TIME_NEVER,
                                .label = bytes_of(r->label),
                                .args = o->with};
    if (act_start(r->acts, &o->args, &o->req, &e) < 0)
        fail_msg("%s", e.text);
    assert_int_equal(o->ended, 0); // never from inside
    r->left++;
    return o;
}

static void one_fini(struct one *o)
{
    val_unref(o->with);
    val_unref(o->output);
    val_unref(o->problem);
    val_unref(o->beat);
}

// ---- its life ----------------------------------------------------------------------------------

static void rig_late(struct timer *t)
{
    struct rig *r = t->user;
    r->late = true;
    loop_stop(r->loop);
}

static int rig_secret(void *user, struct bytes name, struct buf *out, struct err *e)
{
    struct rig *r = user;
    for (int i = 0; i < 8 && r->secrets[i][0]; i++)
        if (bytes_is(name, r->secrets[i][0]))
            return buf_str(out, r->secrets[i][1]);
    return err_set(e, E_NOTFOUND, "it is not there: set PLEXUS_SECRET_%.*s", BYTES_FMT(name));
}

static int64_t rig_wall(void *user)
{
    (void)user;
    return 1790000000000;
}

static void rig_quiet(struct timer *t)
{
    struct rig *r = t->user;
    loop_stop(r->loop);
}

// All is done: what runs ends, and when the connections are closed the loop.
static void rig_done(struct rig *r)
{
    timer_stop(loop_timers(r->loop), &r->deadline);
    r->left += 1000; // what is cancelled now begins nothing
    acts_free(r->acts);
    r->acts = NULL;
    http_server_drain(r->server, NULL, NULL);
    http_server_abort(r->server);
    r->deadline.fn = rig_quiet;
    assert_int_equal(timer_start(loop_timers(r->loop), &r->deadline, 30), 0);
}

static void rig_run(struct rig *r, void (*next)(struct rig *r, unsigned round))
{
    struct err e = {0};
    struct net_listener *l;
    r->next = next;
    if (loop_new(&r->loop, &(struct loop_args){.self = rig_self}, &e) != 0)
        fail_msg("%s", e.text);
    struct http_server_args server = {.net = loop_net(r->loop),
                                      .timers = loop_timers(r->loop),
                                      .routes = {.on_request = rig_on_request, .user = r}};
    assert_int_equal(http_server_new(&r->server, &server, &e), 0);
    struct net_listen_args listen = {.queue_bytes_max = 1 << 20};
    (void)snprintf(listen.addr.host, sizeof listen.addr.host, "127.0.0.1");
    assert_int_equal(http_server_listen(r->server, &listen, 0, &l, &e), 0);
    r->port = net_listener_port(l);
    (void)snprintf(r->base, sizeof r->base, "http://127.0.0.1:%u", r->port);
    struct acts_args args = {.net = loop_net(r->loop),
                             .timers = loop_timers(r->loop),
                             .procs = loop_procs(r->loop),
                             .work = loop_work(r->loop),
                             .wall_ms = rig_wall,
                             .secret = rig_secret,
                             .user = r,
                             .environment = "dev",
                             .node = "n1"};
    if (r->change)
        r->change(r, &args);
    assert_int_equal(acts_new(&r->acts, &args, &e), 0);
    r->deadline.fn = rig_late;
    r->deadline.user = r;
    assert_int_equal(timer_start(args.timers, &r->deadline, RIG_DEADLINE_MS), 0);
    rig_step(r);
    assert_int_equal(loop_run(r->loop), 0);
    if (r->late)
        fail_msg("not done after %d ms, in round %u", RIG_DEADLINE_MS, r->round);
    http_server_free(r->server);
    loop_free(r->loop);
}

static void rig_fini(struct rig *r)
{
    for (unsigned i = 0; i < r->count; i++)
        one_fini(&r->ones[i]);
    for (int i = 0; i < RIG_SEEN; i++)
        buf_fini(&r->seen[i].body);
    buf_fini(&r->spare.body);
    assert_int_equal(mem_live(), 0);
    *r = (struct rig){0};
}

// ---- what came ---------------------------------------------------------------------------------

static const char *text_of_val(const struct val *v)
{
    static char text[4][65536];
    static int turn;
    struct buf b;
    char *to = text[turn++ % 4];
    buf_init(&b, sizeof text[0] - 1);
    (void)val_write(&b, v);
    (void)snprintf(to, sizeof text[0], "%s", buf_cstr(&b));
    buf_fini(&b);
    return to;
}

static void gave(const struct one *o, const char *json)
{
    AUTO(val) want = rig_val(json);
    if (o->ended != 1 || o->status != 0)
        fail_msg("ended %d times with %d: %s", o->ended, o->status, text_of_val(o->problem));
    if (!val_equal(o->output, want))
        fail_msg("gave %s, wanted %s", text_of_val(o->output), json);
}

// part: of the detail; NULL: any.
static void failed(const struct one *o, const char *type, int status, bool final, const char *part)
{
    if (o->ended != 1 || o->status == 0)
        fail_msg("ended %d times with %d: %s", o->ended, o->status, text_of_val(o->output));
    const char *got = val_text(val_get_cstr(o->problem, "type"), "");
    const char *detail = val_text(val_get_cstr(o->problem, "detail"), "");
    got = strrchr(got, '/') ? strrchr(got, '/') + 1 : got;
    if (strcmp(got, type) != 0 || val_i64(val_get_cstr(o->problem, "status"), 0) != status ||
        o->final != final || (part && !strstr(detail, part)))
        fail_msg("failed with %s (final %d), wanted %s %d (final %d) \"%s\"",
                 text_of_val(o->problem), o->final, type, status, final, part ? part : "");
}

// Of no text that came may any secret be a part.
static void hidden(const struct one *o, const char *secret)
{
    if (strstr(text_of_val(o->output), secret) || strstr(text_of_val(o->problem), secret) ||
        strstr(text_of_val(o->beat), secret))
        fail_msg("%s shows in %s %s", secret, text_of_val(o->output), text_of_val(o->problem));
}

static int rig_main(int argc, char **argv, int (*tests)(void))
{
    if (argc > 1 && strcmp(argv[1], "_guard") == 0)
        return loop_guard_main(argc, argv);
    if (realpath(argv[0], rig_self) == NULL)
        return 1;
    (void)signal(SIGPIPE, SIG_IGN);
    return tests();
}

#endif
