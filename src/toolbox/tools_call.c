// tools_call.c: one call through the union: what is looked at before, its time, and its answer.
// SPDX-License-Identifier: Apache-2.0
#include "toolbox/tools_priv.h"

#include <assert.h>
#include <string.h>

struct tools_call {
    struct tool_req inner; // of the source
    struct tools_all *all; // NULL: it is gone, the source has still to let go
    struct tool_req *outer;
    struct tools_source *source;
    struct tool_args args; // as the source gets them: of its own, callers may forget theirs
    char *words;
    struct timer timer;
    struct list link;
    struct val *output; // schema of its answer, or NULL
    struct tools_record rec;
    int64_t limit_ms;
    bool late, ending; // its time is over; it was asked to end
};

// ---- its end ------------------------------------------------------------------------------------

static void call_free(struct tools_call *c)
{
    if (!c)
        return;
    val_unref((struct val *)(uintptr_t)c->args.input);
    val_unref(c->output);
    mem_free(c->words);
    mem_free(c);
}

static void unlink_call(struct tools_call *c)
{
    timer_stop(c->all->args.timers, &c->timer);
    list_del(&c->link);
}

static void tell(struct tools_call *c, int status, const struct tool_result *res,
                 const struct err *e)
{
    struct tool_req *outer = c->outer;
    struct tool_result whole = {0};
    tools_record_end(c->all, &c->rec, true, status, e);
    if (status == 0)
        whole = *res;
    if (whole.took_us == 0) // the source does not know it better
        whole.took_us = c->rec.took_us;
    outer->priv = NULL;
    outer->done(outer, status, status == 0 ? &whole : NULL, status == 0 ? NULL : e);
}

static int answer_check(struct tools_call *c, const struct tool_result *res, struct err *e)
{
    struct tools_all *t = c->all;
    struct bytes name = bytes_of(c->rec.tool);
    if (!res || !val_is(res->content, JSON_ARR))
        return err_set(e, E_MANIFEST, "%s gave no content", c->rec.tool);
    c->rec.bytes_out =
        tools_bytes(res->content) + (res->structured ? tools_bytes(res->structured) : 0);
    c->rec.memory_bytes = res->memory_bytes;
    c->rec.is_error = res->is_error;
    if (c->rec.bytes_out > t->args.output_bytes_max)
        return err_set(e, E_TOOBIG, "the answer of %s has %llu bytes; %zu are allowed", c->rec.tool,
                       (unsigned long long)c->rec.bytes_out, t->args.output_bytes_max);
    if (!c->output || res->is_error)
        return 0;
    if (!res->structured)
        return err_set(e, E_MANIFEST, "%s gave no structured answer, which its schema promises",
                       c->rec.tool);
    return tools_shape(t, name, TOOLS_OUTPUT, c->output, res->structured, e);
}

static void on_done(struct tool_req *r, int status, const struct tool_result *res,
                    const struct err *e)
{
    struct tools_call *c = r->user;
    struct err mine = {0};
    if (c->all) {
        unlink_call(c);
        if (status == 0)
            status = answer_check(c, res, &mine);
        else if (c->late)
            status = err_set(&mine, E_TIMEOUT, "%s took longer than %lld ms", c->rec.tool,
                             (long long)c->limit_ms);
        else
            (void)err_set(&mine, status, "%s", e && e->text[0] ? e->text : err_info(status)->text);
        tell(c, status, res, &mine);
    }
    call_free(c);
}

static void on_progress(struct tool_req *r, double done, double total, struct bytes text)
{
    struct tools_call *c = r->user;
    if (c->all && c->outer->progress)
        c->outer->progress(c->outer, done, total, text);
}

static void end(struct tools_call *c)
{
    if (c->ending)
        return;
    c->ending = true;
    tool_cancel(c->source->tools, &c->inner);
}

static void on_late(struct timer *t)
{
    struct tools_call *c = t->user;
    c->late = true;
    end(c);
}

void tools_cancel(struct tools *base, struct tool_req *r)
{
    (void)base;
    if (r->priv)
        end(r->priv);
}

void tools_calls_of(struct tools_all *t, const struct tools_source *s)
{
    static const struct err gone = {.code = E_CANCELLED, .text = "cancelled: the tool goes away"};
    struct list *it = t->calls.next;
    while (it != &t->calls) {
        struct tools_call *c = container_of(it, struct tools_call, link);
        it = it->next;
        if (s && c->source != s)
            continue;
        assert(c->all == t);
        // Told now: neither union nor source has to be there when the source lets go.
        end(c);
        unlink_call(c);
        tell(c, E_CANCELLED, NULL, &gone);
        c->all = NULL;
        it = t->calls.next; // whoever was told may have begun or ended others
    }
}

// ---- its beginning ------------------------------------------------------------------------------

static int refused(const struct tool_about *a, struct err *e)
{
    struct buf effects;
    buf_init(&effects, 256);
    tools_effects_put(&effects, a->effects);
    int code = err_set(e, E_FORBIDDEN, "nobody granted %.*s (it %s): plexus tool grant %.*s",
                       BYTES_FMT(a->name), buf_cstr(&effects), BYTES_FMT(a->name));
    buf_fini(&effects);
    return code;
}

static int check(struct tools_all *t, const struct tool_args *args, const struct tool_about *a,
                 struct err *e)
{
    size_t running = t->total.running;
    int status = 0;
    if (!args->caller.confirmed && !tools_granted(t, a, &args->caller))
        return refused(a, e);
    if (t->args.label)
        status = t->args.label(t->args.user, a, &args->caller, e);
    if (status == 0 && !val_is(args->input, JSON_OBJ))
        status =
            err_set(e, E_INVALID, "the arguments of %.*s must be an object", BYTES_FMT(a->name));
    if (status == 0 && a->input)
        status = tools_shape(t, a->name, TOOLS_INPUT, a->input, args->input, e);
    if (status == 0 && running >= t->args.running_max)
        status = err_set(e, E_FULL, "%zu tools run at once already", running);
    return status;
}

static int64_t limit_of(const struct tools_all *t, const struct tool_args *args)
{
    return args->timeout_ms > 0 && args->timeout_ms < t->args.timeout_ms ? args->timeout_ms
                                                                         : t->args.timeout_ms;
}

static int keep_args(struct tools_call *c, const struct tool_args *args)
{
    struct bytes *const texts[] = {&c->args.name,         &c->args.caller.who,
                                   &c->args.caller.label, &c->args.caller.clearance,
                                   &c->args.caller.as,    &c->args.key};
    size_t sum = 1, at = 0;
    c->args = *args;
    c->args.input = args->input ? val_ref((struct val *)(uintptr_t)args->input) : NULL;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        sum += texts[i]->n;
    if (!(c->words = mem_alloc(sum)))
        return E_NOMEM;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (texts[i]->n)
            memcpy(c->words + at, texts[i]->p, texts[i]->n);
        texts[i]->p = texts[i]->n ? c->words + at : NULL;
        at += texts[i]->n;
    }
    return 0;
}

static int hand_on(struct tools_all *t, struct tools_source *s, const struct tool_about *a,
                   struct tools_call *c, struct err *e)
{
    bool own = c->args.timeout_ms > 0 && c->args.timeout_ms <= c->limit_ms;
    c->args.name = bytes_from(c->args.name, s->prefix.n);
    c->args.timeout_ms = own ? c->args.timeout_ms : TIME_NEVER;
    c->output = a->output ? val_ref((struct val *)(uintptr_t)a->output) : NULL;
    c->inner = (struct tool_req){.done = on_done,
                                 .progress = c->outer->progress ? on_progress : NULL,
                                 .host = c->outer->host,
                                 .user = c};
    c->timer = (struct timer){.fn = on_late, .user = c};
    if (timer_start(t->args.timers, &c->timer, c->limit_ms + (own ? TOOLS_GRACE_MS : 0)) < 0)
        return err_set(e, E_NOMEM, "out of memory");
    int status = tool_start(s->tools, &c->args, &c->inner, e);
    if (status < 0)
        timer_stop(t->args.timers, &c->timer);
    return status;
}

int tools_start(struct tools *base, const struct tool_args *args, struct tool_req *r, struct err *e)
{
    struct tools_all *t = (struct tools_all *)(void *)base;
    struct tools_call *c = mem_new(struct tools_call);
    struct tool_about a = {0};
    struct err mine = {0};
    if (!c || t->freeing || keep_args(c, args) < 0) {
        call_free(c);
        return t->freeing ? err_set(e, E_CANCELLED, "the node ends")
                          : err_set(e, E_NOMEM, "out of memory");
    }
    tools_all_look(t);
    struct tools_source *s = tools_find(t, args->name, &a);
    c->all = t;
    c->outer = r;
    c->source = s;
    c->limit_ms = limit_of(t, args);
    tools_record_begin(t, &c->rec, args, s ? &a : NULL);
    int status = s ? check(t, args, &a, &mine)
                   : err_set(&mine, E_NOTFOUND, "there is no tool \"%.*s\"",
                             BYTES_FMT(bytes_first(args->name, TOOL_NAME_MAX)));
    if (status == 0)
        status = hand_on(t, s, &a, c, &mine);
    if (status < 0) {
        tools_record_end(t, &c->rec, false, status, &mine);
        call_free(c);
        return err_set(e, status, "%s", mine.text);
    }
    r->priv = c;
    list_add_tail(&t->calls, &c->link);
    tools_record_began(t, &c->rec);
    return 0;
}
