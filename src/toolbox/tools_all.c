// tools_all.c: the union of sources: who is in it, the list of all, who has a name.
// SPDX-License-Identifier: Apache-2.0
#include "base/arena.h"
#include "toolbox/tools_priv.h"

#include <stdlib.h>
#include <string.h>

#define LIST_BYTES_MAX ((size_t)64 << 20)
#define LIST_MAX 200000

static struct tools_all *all_of(struct tools *base)
{
    return (struct tools_all *)(void *)base;
}

// ---- who is in it -------------------------------------------------------------------------------

static bool good_prefix(struct bytes p)
{
    for (size_t i = 0; i < p.n; i++)
        if (!((p.p[i] >= 'a' && p.p[i] <= 'z') || (p.p[i] >= 'A' && p.p[i] <= 'Z') ||
              (p.p[i] >= '0' && p.p[i] <= '9') || p.p[i] == '_' || p.p[i] == '-' || p.p[i] == '.'))
            return false;
    return p.n < TOOL_NAME_MAX / 2;
}

int tools_all_add(struct tools_all *t, struct tools *source, struct bytes prefix, struct err *e)
{
    list_each (it, &t->sources)
        if (container_of(it, struct tools_source, link)->tools == source)
            return err_set(e, E_EXISTS, "this source of tools is there already");
    if (!good_prefix(prefix))
        return err_set(e, E_INVALID, "the prefix \"%.*s\" may have A-Z a-z 0-9 _ - . only",
                       BYTES_FMT(bytes_first(prefix, 80)));
    struct tools_source *s = mem_new(struct tools_source);
    char *copy = s ? mem_dup(prefix.p, prefix.n) : NULL;
    if (!copy) {
        mem_free(s);
        return err_set(e, E_NOMEM, "tools: out of memory");
    }
    s->tools = source;
    s->prefix = (struct bytes){copy, prefix.n};
    list_add_tail(&t->sources, &s->link);
    t->own_epoch++;
    tools_all_look(t);
    return 0;
}

static void source_free(struct tools_source *s)
{
    list_del(&s->link);
    mem_free((char *)(uintptr_t)s->prefix.p);
    mem_free(s);
}

void tools_all_remove(struct tools_all *t, struct tools *source)
{
    list_each_safe (it, &t->sources) {
        struct tools_source *s = container_of(it, struct tools_source, link);
        if (s->tools != source)
            continue;
        tools_calls_of(t, s);
        t->own_epoch += source->epoch + 1; // the sum must not get smaller
        source_free(s);
    }
    tools_all_look(t);
}

void tools_all_look(struct tools_all *t)
{
    uint64_t sum = t->own_epoch;
    list_each (it, &t->sources)
        sum += container_of(it, struct tools_source, link)->tools->epoch;
    if (sum == t->base.epoch)
        return;
    t->base.epoch = sum;
    if (t->args.on_changed)
        t->args.on_changed(t->args.user);
}

// ---- the list -----------------------------------------------------------------------------------

struct row {
    struct tool_about about;
    size_t order; // in which it came: of equal names the first counts
};
struct rows {
    const struct tools_source *source;
    struct arena *names;
    struct row *at;
    size_t count, room;
    bool failed, sorted;
};

static void row_add(void *user, const struct tool_about *a)
{
    struct rows *r = user;
    struct bytes prefix = r->source->prefix;
    size_t n = prefix.n + a->name.n;
    if (n > TOOL_NAME_MAX || r->failed || r->count == LIST_MAX)
        return;
    if (r->count == r->room) {
        size_t room = r->room ? r->room * 2 : 64;
        struct row *more = mem_realloc(r->at, room * sizeof *more);
        if (!more) {
            r->failed = true;
            return;
        }
        r->at = more;
        r->room = room;
    }
    char *name = arena_alloc(r->names, n + 1);
    if (!name) {
        r->failed = true;
        return;
    }
    if (prefix.n)
        memcpy(name, prefix.p, prefix.n);
    memcpy(name + prefix.n, a->name.p, a->name.n);
    name[n] = '\0';
    struct row *row = &r->at[r->count];
    *row = (struct row){*a, r->count};
    row->about.name = (struct bytes){name, n};
    r->sorted = r->sorted && (r->count == 0 || bytes_cmp(row[-1].about.name, row->about.name) < 0);
    r->count++;
}

static int by_name(const void *x, const void *y)
{
    const struct row *a = x, *b = y;
    int c = bytes_cmp(a->about.name, b->about.name);
    return c ? c : a->order < b->order ? -1 : a->order > b->order;
}

bool tools_granted(const struct tools_all *t, const struct tool_about *a,
                   const struct tool_caller *c)
{
    static const struct tool_caller nobody;
    return t->args.granted ? t->args.granted(t->args.user, a, c ? c : &nobody) : a->granted;
}

static void list_all(struct tools *base, const struct tool_caller *c,
                     void (*each)(void *user, const struct tool_about *a), void *user)
{
    struct tools_all *t = all_of(base);
    struct rows r = {.names = arena_new(LIST_BYTES_MAX), .sorted = true};
    tools_all_look(t);
    list_each (it, &t->sources) {
        r.source = container_of(it, struct tools_source, link);
        if (r.names)
            r.source->tools->ops->list(r.source->tools, c, row_add, &r);
    }
    if (r.count && !r.sorted)
        qsort(r.at, r.count, sizeof *r.at, by_name);
    for (size_t i = 0; i < r.count && !r.failed; i++) {
        if (i && bytes_eq(r.at[i].about.name, r.at[i - 1].about.name))
            continue;
        r.at[i].about.granted = tools_granted(t, &r.at[i].about, c);
        each(user, &r.at[i].about);
    }
    mem_free(r.at);
    arena_free(r.names);
}

// ---- one ----------------------------------------------------------------------------------------

struct tools_source *tools_find(struct tools_all *t, struct bytes name, struct tool_about *ret)
{
    list_each (it, &t->sources) {
        struct tools_source *s = container_of(it, struct tools_source, link);
        if (name.n > TOOL_NAME_MAX || !bytes_starts(name, s->prefix) ||
            !s->tools->ops->find(s->tools, bytes_from(name, s->prefix.n), ret))
            continue;
        memcpy(t->found, name.p, name.n);
        t->found[name.n] = '\0';
        ret->name = (struct bytes){t->found, name.n};
        return s;
    }
    return NULL;
}

static bool find(struct tools *base, struct bytes name, struct tool_about *ret)
{
    struct tools_all *t = all_of(base);
    tools_all_look(t);
    if (!tools_find(t, name, ret))
        return false;
    ret->granted = tools_granted(t, ret, NULL);
    return true;
}

// ---- life ---------------------------------------------------------------------------------------

int tools_all_new(struct tools_all **ret, const struct tools_all_args *args, struct err *e)
{
    static const struct tools_ops ops = {
        .list = list_all, .find = find, .start = tools_start, .cancel = tools_cancel};
    struct tools_all *t = mem_new(struct tools_all);
    if (!t || !(t->shapes = map_new((size_t)2 * TOOLS_NAMES_MAX)) ||
        !(t->counts = map_new(TOOLS_NAMES_MAX))) {
        if (t)
            map_free(t->shapes);
        mem_free(t);
        return err_set(e, E_NOMEM, "tools: out of memory");
    }
    t->base.ops = &ops;
    t->args = *args;
    list_init(&t->sources);
    list_init(&t->calls);
    struct tools_all_args *a = &t->args;
    a->timeout_ms = a->timeout_ms > 0 ? a->timeout_ms : TOOLS_TIMEOUT_MS;
    a->output_bytes_max = a->output_bytes_max ? a->output_bytes_max : MAX_ALLOCATION_BYTES;
    a->running_max = a->running_max ? a->running_max : 256;
    a->records_max = a->records_max ? a->records_max : 256;
    *ret = t;
    return 0;
}

void tools_all_free(struct tools_all *t)
{
    if (!t)
        return;
    t->freeing = true;
    tools_calls_of(t, NULL);
    while (!list_empty(&t->sources))
        source_free(container_of(t->sources.next, struct tools_source, link));
    tools_shapes_free(t);
    tools_records_free(t);
    mem_free(t);
}

struct tools *tools_all_tools(struct tools_all *t)
{
    return &t->base;
}
