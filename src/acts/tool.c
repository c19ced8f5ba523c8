// tool.c: call: tool: a tool of this node, by its name. A flow is no person: what nobody granted is
// refused. SPDX-License-Identifier: Apache-2.0
#include "port/tool.h"
#include "acts/acts_priv.h"

#include <stdio.h>

struct tool_call { // lives until the tool let go of it, perhaps longer than its activity
    struct tool_req req;
    struct act *act; // NULL: nobody waits any more
    struct tools *tools;
    struct arena *words; // what the call borrows
    struct val *input;
};
struct tool {
    struct tool_call *call;
};

static void call_free(struct tool_call *c)
{
    if (!c)
        return;
    val_unref(c->input);
    arena_free(c->words);
    mem_free(c);
}

// ---- the answer --------------------------------------------------------------------------------

// The texts of all blocks, one a line. false: some block is no text.
static bool texts_of(const struct val *content, struct buf *out)
{
    bool all = true;
    for (size_t i = 0; i < val_len(content); i++) {
        const struct val *block = val_at(content, i), *text = val_get_cstr(block, "text");
        if (!val_is(text, JSON_STR)) {
            all = false;
            continue;
        }
        (void)buf_fmt(out, "%s", out->n ? "\n" : "");
        (void)buf_put(out, val_bytes(text));
    }
    return all;
}

// text: NULL: there are blocks that are none.
static struct val *output_of(struct act *a, const struct tool_result *res, const struct buf *text)
{
    struct bytes wanted = val_bytes(val_get_cstr(a->with, "output"));
    struct val *content = res->content ? val_ref(res->content) : val_arr();
    struct val *said = text ? val_str(buf_bytes(text)) : val_ref(content), *out = NULL;
    if (bytes_is(wanted, "result")) {
        out = val_put_cstr(val_obj(), "content", val_ref(content));
        out = res->structured ? val_put_cstr(out, "structured", val_ref(res->structured)) : out;
        out = text ? val_put_cstr(out, "text", val_ref(said)) : out;
    } else if (bytes_is(wanted, "text") || !res->structured) {
        out = val_ref(said);
    } else {
        out = val_ref(res->structured);
    }
    val_unref(said);
    val_unref(content);
    return out;
}

static void answered(struct act *a, const struct tool_result *res)
{
    struct buf text;
    buf_init(&text, MAX_ALLOCATION_BYTES);
    bool plain = texts_of(res->content, &text);
    if (res->is_error)
        act_fail(a, ACT_RUNTIME, 0, false, "%.*s: %s",
                 BYTES_FMT(val_bytes(val_get_cstr(a->with, "name"))),
                 text.n ? buf_cstr(&text) : "the tool says that it failed");
    else
        act_done(a, output_of(a, res, plain && !text.failed ? &text : NULL));
    buf_fini(&text);
}

static void failed(struct act *a, int status, const struct err *e)
{
    const char *why = e && e->text[0] ? e->text : err_info(status)->text;
    if (status == E_NOTFOUND)
        act_fail(a, ACT_CONFIGURATION, 404, true, "call: tool: %s", why);
    else if (status == E_MANIFEST)
        act_fail(a, ACT_RUNTIME, 502, false, "ManifestConformanceError: %s", why);
    else
        act_fail_err(a, status, e);
}

static void on_done(struct tool_req *r, int status, const struct tool_result *res,
                    const struct err *e)
{
    struct tool_call *c = container_of(r, struct tool_call, req);
    struct act *a = c->act;
    if (a) {
        ((struct tool *)a->own)->call = NULL;
        if (status == 0)
            answered(a, res);
        else
            failed(a, status, e);
    }
    call_free(c);
}

static void on_progress(struct tool_req *r, double done, double total, struct bytes text)
{
    struct tool_call *c = container_of(r, struct tool_call, req);
    struct val *v = val_put_cstr(val_obj(), "done", val_num(done));
    if (total > 0)
        v = val_put_cstr(v, "total", val_num(total));
    if (text.n)
        v = val_put_cstr(v, "text", val_str(text));
    if (c->act)
        act_beat(c->act, v);
    else
        val_unref(v);
}

// ---- the call ----------------------------------------------------------------------------------

static struct tool_call *call_new(struct act *a)
{
    struct val *arguments = val_get_cstr(a->with, "arguments");
    struct tool_call *c = mem_new(struct tool_call);
    if (!c)
        return NULL;
    c->act = a;
    c->tools = a->room->tools;
    c->words = arena_new((size_t)1 << 20);
    c->input = arguments && !val_is(arguments, JSON_NULL) ? val_ref(arguments) : val_obj();
    c->req = (struct tool_req){.done = on_done, .progress = on_progress};
    if (!c->words || !c->input) {
        call_free(c);
        return NULL;
    }
    return c;
}

static void start(struct act *a)
{
    struct tool *own = a->own;
    struct bytes name = val_bytes(val_get_cstr(a->with, "name"));
    struct err e = {0};
    if (!a->room->tools) {
        act_fail(a, ACT_CONFIGURATION, 501, true, "call: tool: there are no tools where it runs");
        return;
    }
    if (!name.n) {
        act_fail(a, ACT_CONFIGURATION, 0, true, "call: tool needs name: NAME");
        return;
    }
    struct tool_call *c = call_new(a);
    char *who = c ? arena_fmt(c->words, "flow %.*s", BYTES_FMT(a->args->run)) : NULL;
    if (!who) {
        call_free(c);
        act_nomem(a);
        return;
    }
    struct tool_args args = {
        .name = arena_dup(c->words, name),
        .input = c->input,
        .caller = {.who = bytes_of(who), .label = arena_dup(c->words, a->args->label)},
        .timeout_ms = act_left_ms(a),
        .key = arena_dup(c->words, a->args->key)};
    own->call = c;
    int status = tool_start(c->tools, &args, &c->req, &e);
    if (status < 0) {
        own->call = NULL;
        call_free(c);
        failed(a, status, &e);
    }
}

static void stop(struct act *a)
{
    struct tool_call *c = ((struct tool *)a->own)->call;
    if (!c)
        return;
    c->act = NULL;
    tool_cancel(c->tools, &c->req);
}

const struct act_kind act_tool = {.name = "tool",
                                  .what = "A tool of this node, by its name.",
                                  .bytes = sizeof(struct tool),
                                  .start = start,
                                  .stop = stop};
