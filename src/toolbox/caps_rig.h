// caps_rig.h: for the tests of capabilities: a sandbox that does what its script says, packages,
// and a folder of their own. Included after cmocka.h. SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_TOOLBOX_CAPS_RIG_H
#define PLEXUS_TOOLBOX_CAPS_RIG_H

#include "base/file.h"
#include "tool/tool_rig.h"
#include "toolbox/caps.h"
#include "toolbox/toolbox_rig.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

// ---- a sandbox ----------------------------------------------------------------------------------

struct sandbox_mod {
    unsigned refs;
};
struct box { // what it does next, and what it saw
    struct sandbox base; // first
    struct timers *timers;
    struct bytes output; // of a call; BYTES_NONE: its input
    int status;
    enum sandbox_kind kind;
    const char *text;
    bool holds, compile_fails, no_export;
    size_t compiles, calls, mods, running, cancels;
    struct sandbox_limits limits;
    char function[64], input[256], hosts[128], dirs[256], config[256], pool[128];
    struct sandbox_call *held[8];
};
struct box_job {
    struct timer timer;
    struct box *b;
    struct sandbox_call *call;
    struct sandbox_compile *compile;
    bool cancelled;
};

static void box_end(struct timer *t)
{
    struct box_job *j = t->user;
    struct box *b = j->b;
    struct sandbox_used used = {.took_us = 7, .pages = 2};
    struct sandbox_call *c = j->call;
    if (j->compile) {
        struct sandbox_compile *k = j->compile;
        struct err e = {0};
        bool bad = b->compile_fails;
        struct sandbox_mod *m = bad ? NULL : mem_new(struct sandbox_mod);
        if (m)
            m->refs = 1;
        b->mods += !bad;
        mem_free(j);
        k->done(k, bad ? err_set(&e, E_MANIFEST, "not a module") : 0, m, bad ? &e : NULL);
        return;
    }
    b->running--;
    int status = j->cancelled ? E_CANCELLED : b->status;
    struct bytes out = b->output.p ? b->output : c->input;
    mem_free(j);
    c->done(c, status, status ? BYTES_NONE : out, b->kind, bytes_of(b->text), &used);
}

static int box_later(struct box *b, struct sandbox_call *call, struct sandbox_compile *compile)
{
    struct box_job *j = mem_new(struct box_job);
    *j = (struct box_job){.b = b, .call = call, .compile = compile};
    j->timer = (struct timer){.fn = box_end, .user = j};
    if (call)
        call->priv = j;
    return timer_start(b->timers, &j->timer, call && b->holds ? 1000000 : 1);
}

static int box_compile(struct sandbox *s, struct sandbox_compile *c, struct err *e)
{
    struct box *b = (struct box *)(void *)s;
    (void)e;
    b->compiles++;
    return box_later(b, NULL, c);
}

static int box_call(struct sandbox *s, struct sandbox_call *c, struct err *e)
{
    struct box *b = (struct box *)(void *)s;
    (void)e;
    b->calls++;
    b->running++;
    b->limits = c->limits;
    (void)snprintf(b->function, sizeof b->function, "%s", c->function);
    (void)snprintf(b->input, sizeof b->input, "%.*s", BYTES_FMT(bytes_first(c->input, 255)));
    (void)snprintf(b->pool, sizeof b->pool, "%.*s", BYTES_FMT(c->pool));
    b->hosts[0] = b->dirs[0] = b->config[0] = 0;
    for (size_t i = 0; i < c->grants.nhosts; i++)
        (void)snprintf(b->hosts + strlen(b->hosts), sizeof b->hosts - strlen(b->hosts), "%.*s ",
                       BYTES_FMT(c->grants.hosts[i]));
    for (size_t i = 0; i < c->grants.ndirs; i++)
        (void)snprintf(b->dirs + strlen(b->dirs), sizeof b->dirs - strlen(b->dirs), "%s=%s%s ",
                       c->grants.dirs[i].guest, c->grants.dirs[i].host,
                       c->grants.dirs[i].write ? " rw" : "");
    if (c->grants.config)
        (void)snprintf(b->config, sizeof b->config, "%.255s", rig_text(c->grants.config));
    if (c->log)
        c->log(c, 1, BYTES("a line"));
    return box_later(b, c, NULL);
}

static void box_cancel(struct sandbox *s, struct sandbox_call *c)
{
    struct box *b = (struct box *)(void *)s;
    struct box_job *j = c->priv;
    b->cancels++;
    j->cancelled = true;
    (void)timer_start(b->timers, &j->timer, 0);
}

static bool box_has(const struct sandbox_mod *m, const char *function)
{
    return m->refs && strcmp(function, "absent") != 0;
}

static void box_keep(struct sandbox_mod *m)
{
    m->refs++;
}

static void box_drop(struct sandbox_mod *m)
{
    if (--m->refs == 0)
        mem_free(m);
}

static void box_init(struct box *b, struct timers *timers)
{
    static const struct sandbox_ops ops = {"scripted", box_compile, box_call, box_cancel,
                                           box_has,    box_keep,    box_drop};
    *b = (struct box){.base = {&ops}, .timers = timers};
}

// ---- packages -----------------------------------------------------------------------------------

// One tool "count", as RIG_TOOL; name and version as given.
static char *pack_text(const char *name, int version, const char *more, struct bytes code)
{
    char draft[8192];
    (void)snprintf(
        draft, sizeof draft,
        "{\"plexus_capability\":1,\"urn\":\"urn:plexus:cap:text:%s:v%d\",\"description\":"
        "\"Counts.\",\"tools\":[" RIG_TOOL "]%s}",
        name, version, more);
    return rig_signed(draft, code);
}

struct world {
    struct rig_clock clock;
    struct box box;
    struct caps *caps;
    char folder[64];
    struct caps_args args;
    // of the last answer
    int done, status;
    char why[600], res[4096];
    struct val *structured;
    char text[600];
    bool is_error;
    struct tool_req call;
    struct caps_req req;
};

static int64_t world_ms(void *user)
{
    (void)user;
    return 1700000000000;
}

static void world_open(struct world *w)
{
    struct err e = {0};
    w->args.folder = w->folder;
    w->args.sandbox = &w->box.base;
    w->args.timers = &w->clock.base;
    w->args.wall_ms = world_ms;
    w->args.node = "theia";
    w->args.user = w;
    if (caps_new(&w->caps, &w->args, &e))
        fail_msg("%s", e.text);
    w->args.registry = NULL;
}

static void world_init(struct world *w)
{
    memset(w, 0, sizeof *w);
    rig_clock_init(&w->clock);
    box_init(&w->box, &w->clock.base);
    (void)snprintf(w->folder, sizeof w->folder, "/tmp/caps-test-XXXXXX");
    assert_non_null(mkdtemp(w->folder));
}

static void world_close(struct world *w)
{
    caps_free(w->caps);
    w->caps = NULL;
    rig_pass(&w->clock, 2000000);
}

static void world_fini(struct world *w)
{
    char command[128];
    world_close(w);
    val_unref(w->structured);
    w->structured = NULL;
    (void)snprintf(command, sizeof command, "rm -r %s", w->folder);
    assert_int_equal(system(command), 0);
    assert_int_equal(mem_live(), 0);
}

static void world_add(struct world *w, const char *name, int version, const char *more)
{
    struct err e = {0};
    char *text = pack_text(name, version, more, rig_code());
    struct manifest_pack p = {.manifest = bytes_of(text), .code = rig_code()};
    if (caps_add(w->caps, &p, BYTES_NONE, NULL, &e))
        fail_msg("%s", e.text);
    mem_free(text);
}

static void on_called(struct tool_req *r, int status, const struct tool_result *res,
                      const struct err *e)
{
    struct world *w = r->user;
    w->done++;
    w->status = status;
    (void)snprintf(w->why, sizeof w->why, "%.599s", e ? e->text : "");
    val_unref(w->structured);
    w->structured = res ? val_ref(res->structured) : NULL;
    w->is_error = res && res->is_error;
    (void)snprintf(w->text, sizeof w->text, "%.599s",
                   res ? val_text(val_get_cstr(val_at(res->content, 0), "text"), "") : "");
}

static int world_start(struct world *w, const char *name, const char *input, bool confirmed)
{
    struct val *v = rig_val(input);
    struct err e = {0};
    w->call = (struct tool_req){.done = on_called, .user = w};
    w->done = 0;
    int rc = tool_start(caps_tools(w->caps),
                        &(struct tool_args){.name = bytes_of(name),
                                            .input = v,
                                            .caller = {.who = BYTES("ann"), .confirmed = confirmed},
                                            .timeout_ms = TIME_NEVER},
                        &w->call, &e);
    (void)snprintf(w->why, sizeof w->why, "%.599s", e.text);
    val_unref(v);
    assert_int_equal(w->done, 0);
    return rc;
}

// A call from start to end.
static int world_call(struct world *w, const char *name, const char *input)
{
    int rc = world_start(w, name, input, false);
    if (rc)
        return rc;
    rig_pass(&w->clock, 100);
    assert_int_equal(w->done, 1);
    return w->status;
}

static void on_op(struct caps_req *r, int status, const struct val *res, const struct err *e)
{
    struct world *w = r->user;
    w->done++;
    w->status = status;
    (void)snprintf(w->why, sizeof w->why, "%.599s", e ? e->text : "");
    (void)snprintf(w->res, sizeof w->res, "%.4095s", res ? rig_text(res) : "");
}

static struct caps_req *world_req(struct world *w)
{
    w->req = (struct caps_req){.done = on_op, .user = w};
    w->done = 0;
    return &w->req;
}

#endif
