// acts.c: the table of kinds, the running activities and their ends.
// SPDX-License-Identifier: Apache-2.0
#include "acts/acts_priv.h"

#include <assert.h>
#include <string.h>

#define LONG_MS ((int64_t)24 * 3600 * 1000) // a timer's longest way; then it is wound again

static const struct act_kind *const kinds[] = {
    &act_http,   &act_openapi,   &act_asyncapi, &act_a2a,  &act_mcp,   &act_model, &act_shell,
    &act_script, &act_container, &act_emit,     &act_tool, &act_agent, &act_grpc,
};

bool acts_kind(size_t i, struct acts_kind *ret)
{
    if (i >= sizeof kinds / sizeof *kinds)
        return false;
    *ret = (struct acts_kind){kinds[i]->name, kinds[i]->what};
    return true;
}

// ---- the end of one ----------------------------------------------------------------------------

static void finish(struct act *a)
{
    struct acts_room *r = a->room;
    struct act_req *req = a->req;
    timer_stop(r->args.timers, &a->timer);
    act_late_stop(a);
    a->kind->stop(a);
    list_del(&a->link);
    r->count--;
    req->priv = NULL;
    req->done(req, a->status, a->output, a->problem, a->final);
    val_unref(a->output);
    val_unref(a->problem);
    val_unref(a->with);
    val_unref(a->known);
    act_wipe(a->fresh);
    act_shown_all(a);
    mem_free(a->own);
    mem_free(a);
}

static void wind(struct act *a)
{
    int64_t left = act_left_ms(a);
    int rc = timer_start(a->room->args.timers, &a->timer, left < LONG_MS ? left : LONG_MS);
    assert(rc == 0); // it runs, or runs just now: nothing is allocated
    (void)rc;
}

static void on_timer(struct timer *t)
{
    struct act *a = t->user;
    if (a->ended)
        finish(a);
    else if (act_left_ms(a) > 0)
        wind(a);
    else
        act_fail(a, ACT_TIMEOUT, 0, false, "it took longer than %lld ms", (long long)a->limit_ms);
}

void act_limit(struct act *a, int64_t ms)
{
    int64_t now = timers_now_ms(a->room->args.timers);
    if (a->ended || ms >= act_left_ms(a) || ms > TIME_NEVER - now)
        return;
    a->limit_ms = ms;
    a->due_ms = now + ms;
    wind(a);
}

void act_end(struct act *a, int status, struct val *takes_output, struct val *takes_problem,
             bool final)
{
    if (a->ended) {
        val_unref(takes_output);
        val_unref(takes_problem);
        return;
    }
    a->ended = true;
    a->status = status;
    a->output = takes_output;
    a->problem = takes_problem;
    a->final = final;
    int rc = timer_start(a->room->args.timers, &a->timer, 0);
    assert(rc == 0);
    (void)rc;
}

void act_done(struct act *a, struct val *takes_output)
{
    act_end(a, 0, takes_output, NULL, false);
}

int64_t act_left_ms(const struct act *a)
{
    if (a->due_ms == TIME_NEVER)
        return TIME_NEVER;
    int64_t left = a->due_ms - timers_now_ms(a->room->args.timers);
    return left > 0 ? left : 0;
}

void act_beat(struct act *a, struct val *takes_detail)
{
    if (takes_detail && !a->ended && a->req->beat)
        a->req->beat(a->req, takes_detail);
    val_unref(takes_detail);
}

// ---- the beginning of one ----------------------------------------------------------------------

static void begin(struct act *a, struct val *takes_with)
{
    a->with = takes_with;
    a->kind->start(a);
}

static const struct act_kind *kind_of(struct bytes name)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (bytes_is(name, kinds[i]->name))
            return kinds[i];
    return NULL;
}

static struct act *make(struct acts_room *r, const struct act_kind *k, const struct act_args *args,
                        struct act_req *req)
{
    struct act *a = mem_new(struct act);
    if (!a || (k->bytes && !(a->own = mem_zalloc(k->bytes))))
        return mem_free(a), NULL;
    a->room = r;
    a->kind = k;
    a->req = req;
    a->args_copy = *args;
    a->args = &a->args_copy;
    a->timer.fn = on_timer;
    a->timer.user = a;
    int64_t now = timers_now_ms(r->args.timers);
    a->due_ms = args->timeout_ms <= 0 || args->timeout_ms > TIME_NEVER - now
                    ? TIME_NEVER
                    : now + args->timeout_ms;
    a->limit_ms = args->timeout_ms;
    if (timer_start(r->args.timers, &a->timer, LONG_MS) < 0)
        return mem_free(a->own), mem_free(a), NULL;
    wind(a);
    return a;
}

static int start(struct acts *base, const struct act_args *args, struct act_req *req, struct err *e)
{
    struct acts_room *r = (struct acts_room *)(void *)base;
    const struct act_kind *k = kind_of(args->kind);
    if (r->freeing)
        return err_set(e, E_CANCELLED, "the node ends");
    if (!k)
        return err_set(e, E_NOTFOUND, "there is no function or activity \"%.*s\"",
                       BYTES_FMT(args->kind));
    if (r->count >= r->args.running_max)
        return err_set(e, E_FULL, "%u activities run at once already", r->count);
    struct act *a = make(r, k, args, req);
    if (!a)
        return err_set(e, E_NOMEM, "out of memory");
    req->priv = a;
    list_add_tail(&r->running, &a->link);
    r->count++;
    if (k->raw)
        k->start(a);
    else
        act_late(a, args->args, k->authorizes ? NULL : val_null(), begin);
    return 0;
}

static void cancel(struct acts *base, struct act_req *req)
{
    struct act *a = req->priv;
    (void)base;
    if (a)
        act_end(a, E_CANCELLED, NULL, act_problem(ACT_RUNTIME, 499, "cancelled", "cancelled"),
                true);
}

// ---- the room ----------------------------------------------------------------------------------

static const char *keep(struct acts_room *r, const char *text, bool *ok)
{
    char *copy = text ? arena_str(r->arena, bytes_of(text)) : NULL;
    *ok = *ok && (!text || copy);
    return copy;
}

static bool keep_all(struct acts_room *r)
{
    bool ok = true;
    struct acts_args *a = &r->args;
    const char **const texts[] = {&a->self_address, &a->self_key, &a->environment, &a->node,
                                  &a->folder,       &a->python,   &a->node_js,     &a->container};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        *texts[i] = keep(r, *texts[i], &ok);
    struct acts_host *hosts = arena_zalloc(r->arena, (a->host_count + 1) * sizeof *hosts);
    for (size_t i = 0; hosts && i < a->host_count; i++) {
        hosts[i].name = keep(r, a->hosts[i].name, &ok);
        hosts[i].address = keep(r, a->hosts[i].address, &ok);
    }
    a->hosts = hosts;
    return ok && hosts;
}

int acts_new(struct acts **ret, const struct acts_args *args, struct err *e)
{
    static const struct acts_ops ops = {.start = start, .cancel = cancel};
    struct acts_room *r = mem_new(struct acts_room);
    if (r)
        r->arena = arena_new((size_t)1 << 20);
    if (!r || !r->arena) {
        mem_free(r);
        return err_set(e, E_NOMEM, "activities: out of memory");
    }
    r->base.ops = &ops;
    r->args = *args;
    list_init(&r->running);
    list_init(&r->origins);
    list_init(&r->tokens);
    list_init(&r->chores);
    if (!keep_all(r)) {
        arena_free(r->arena);
        mem_free(r);
        return err_set(e, E_NOMEM, "activities: out of memory");
    }
    struct acts_args *a = &r->args;
    a->body_bytes_max = a->body_bytes_max ? a->body_bytes_max : (size_t)20 << 20;
    a->output_bytes_max = a->output_bytes_max ? a->output_bytes_max : (size_t)20 << 20;
    a->child_memory_bytes = a->child_memory_bytes ? a->child_memory_bytes : (uint64_t)2 << 30;
    a->running_max = a->running_max ? a->running_max : 4096;
    if (a->folder)
        act_folder_clear(a->folder); // of a node that was killed
    *ret = &r->base;
    return 0;
}

void acts_set_bus(struct acts *base, struct bus *b)
{
    ((struct acts_room *)(void *)base)->bus = b;
}

void acts_set_tools(struct acts *base, struct tools *t)
{
    ((struct acts_room *)(void *)base)->tools = t;
}

void acts_free(struct acts *base)
{
    struct acts_room *r = (struct acts_room *)(void *)base;
    if (!r)
        return;
    r->freeing = true;
    while (!list_empty(&r->running)) {
        struct act *a = container_of(r->running.next, struct act, link);
        if (!a->ended) {
            a->ended = true;
            a->status = E_CANCELLED;
            a->problem = act_problem(ACT_RUNTIME, 499, "cancelled", "the node ends");
        }
        finish(a);
    }
    act_chores_free(r);
    act_tokens_free(r);
    act_origins_free(r);
    arena_free(r->arena);
    mem_free(r);
}
