// toolbox_rig.h: for the tests of room toolbox: a clock that the test winds, and a source of tools
// that keeps each call until the test ends it. Included after cmocka.h.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_TOOLBOX_TOOLBOX_RIG_H
#define PLEXUS_TOOLBOX_TOOLBOX_RIG_H

#include "base/alloc.h"
#include "port/clock_rig.h"
#include "port/tool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#pragma GCC diagnostic ignored "-Wunused-function"

// ---- a clock ------------------------------------------------------------------------------------

// Fires all that is due within ms, the earliest first.
static void rig_pass(struct rig_clock *k, int64_t ms)
{
    int64_t until = k->now_ms + ms;
    while (rig_clock_round(k, until))
        ;
    k->now_ms = until;
}

// ---- values -------------------------------------------------------------------------------------

static struct val *rig_val(const char *json)
{
    struct val *v = NULL;
    struct err e = {0};
    if (json && val_parse(&v, bytes_of(json), &e) < 0)
        fail_msg("%s: %s", e.text, json);
    return v;
}

static const char *rig_text(const struct val *v)
{
    static char text[8][65536];
    static int turn;
    char *to = text[turn++ % 8];
    struct buf b;
    buf_init(&b, sizeof text[0] - 1);
    (void)val_write(&b, v);
    (void)snprintf(to, sizeof text[0], "%s", v ? buf_cstr(&b) : "nothing");
    buf_fini(&b);
    return to;
}

static struct val *rig_content(const char *text)
{
    struct val *block = val_put_cstr(val_obj(), "type", val_cstr("text"));
    return val_push(val_arr(), val_put_cstr(block, "text", val_cstr(text)));
}

// ---- a source -----------------------------------------------------------------------------------

enum { RIG_TOOLS = 8, RIG_CALLS = 64 };

struct rig_tool {
    const char *name, *description, *input, *output, *label;
    unsigned effects;
    bool granted;
    struct val *in, *out; // made of the texts
};
struct rig_call { // that came, and was not ended by the test
    struct tool_req *req;
    char name[64], args[512], who[64], key[64];
    int64_t timeout_ms;
    bool confirmed, cancelled, ended;
};
struct rig_source {
    struct tools base; // first
    const char *source;
    struct rig_tool tools[RIG_TOOLS];
    size_t tool_count;
    struct rig_call calls[RIG_CALLS];
    size_t count, most, running; // most: at once
};

static void rig_about(const struct rig_source *s, const struct rig_tool *t, struct tool_about *ret)
{
    *ret = (struct tool_about){.name = bytes_of(t->name),
                               .description = bytes_of(t->description),
                               .input = t->in,
                               .output = t->out,
                               .source = bytes_of(s->source),
                               .label = bytes_of(t->label),
                               .effects = t->effects,
                               .granted = t->granted};
}

static void rig_list(struct tools *base, const struct tool_caller *c,
                     void (*each)(void *user, const struct tool_about *a), void *user)
{
    struct rig_source *s = (struct rig_source *)(void *)base;
    (void)c;
    for (size_t i = 0; i < s->tool_count; i++) {
        struct tool_about a;
        rig_about(s, &s->tools[i], &a);
        each(user, &a);
    }
}

static bool rig_find(struct tools *base, struct bytes name, struct tool_about *ret)
{
    struct rig_source *s = (struct rig_source *)(void *)base;
    for (size_t i = 0; i < s->tool_count; i++)
        if (bytes_is(name, s->tools[i].name)) {
            rig_about(s, &s->tools[i], ret);
            return true;
        }
    return false;
}

static int rig_start(struct tools *base, const struct tool_args *args, struct tool_req *r,
                     struct err *e)
{
    struct rig_source *s = (struct rig_source *)(void *)base;
    if (bytes_is(args->name, "never"))
        return err_set(e, E_UNAVAILABLE, "it never starts");
    assert_true(s->count < RIG_CALLS);
    struct rig_call *c = &s->calls[s->count++];
    *c = (struct rig_call){
        .req = r, .timeout_ms = args->timeout_ms, .confirmed = args->caller.confirmed};
    (void)snprintf(c->name, sizeof c->name, "%.*s", BYTES_FMT(args->name));
    (void)snprintf(c->args, sizeof c->args, "%s", rig_text(args->input));
    (void)snprintf(c->who, sizeof c->who, "%.*s", BYTES_FMT(args->caller.who));
    (void)snprintf(c->key, sizeof c->key, "%.*s", BYTES_FMT(args->key));
    r->priv = c;
    s->running++;
    s->most = s->running > s->most ? s->running : s->most;
    return 0;
}

static void rig_cancel(struct tools *base, struct tool_req *r)
{
    (void)base;
    struct rig_call *c = r->priv;
    if (c)
        c->cancelled = true;
}

static void rig_source_init(struct rig_source *s, const char *name)
{
    static const struct tools_ops ops = {rig_list, rig_find, rig_start, rig_cancel};
    s->base.ops = &ops;
    s->source = name;
    for (size_t i = 0; i < s->tool_count; i++) {
        struct rig_tool *t = &s->tools[i];
        t->in = rig_val(t->input ? t->input : "{\"type\":\"object\"}");
        t->out = rig_val(t->output);
    }
}

static void rig_source_fini(struct rig_source *s)
{
    for (size_t i = 0; i < s->tool_count; i++) {
        val_unref(s->tools[i].in);
        val_unref(s->tools[i].out);
    }
    for (size_t i = 0; i < s->count; i++)
        assert_true(s->calls[i].ended);
}

// The test ends call i. structured: JSON or NULL. status 0: with this content.
static void rig_end(struct rig_source *s, size_t i, int status, const char *text,
                    const char *structured)
{
    assert_true(i < s->count);
    struct rig_call *c = &s->calls[i];
    struct err e = {.code = status};
    struct tool_result res = {.content = status < 0 ? NULL : rig_content(text),
                              .structured = rig_val(structured),
                              .is_error = status > 0};
    assert_false(c->ended);
    c->ended = true;
    s->running--;
    (void)snprintf(e.text, sizeof e.text, "%s", text);
    c->req->priv = NULL;
    c->req->done(c->req, status < 0 ? status : 0, status < 0 ? NULL : &res, status < 0 ? &e : NULL);
    val_unref(res.content);
    val_unref(res.structured);
}

#endif
