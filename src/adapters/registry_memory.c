// registry_memory.c: a registry as a table in this process. What is put reaches the others in the
// next round, as copies, in order.
// SPDX-License-Identifier: Apache-2.0
#include "adapters/registry_memory.h"
#include "adapters/registry_priv.h"
#include "base/list.h"
#include <string.h>

#define BEAT_MS 100

struct entry { // of the table
    struct list link;
    int64_t due_ms;
    char node[REGISTRY_NAME_MAX + 1], environment[16];
    size_t n;
    char text[];
};

struct registry_table {
    struct list sides, entries;
};

struct note { // on its way to a side
    struct list link;
    bool gone;
    char node[REGISTRY_NAME_MAX + 1];
    size_t n;
    char text[];
};

struct side {
    struct registry_core core; // first
    struct registry_table *table;
    struct list link, notes;
    struct timer soon, beat;
    bool up;
};

static struct side *side_of(struct registry *r)
{
    return (struct side *)(void *)r;
}

struct registry_table *registry_table_new(void)
{
    struct registry_table *t = mem_new(struct registry_table);
    if (!t)
        return NULL;
    list_init(&t->sides);
    list_init(&t->entries);
    return t;
}

static void entry_free(struct entry *x)
{
    list_del(&x->link);
    mem_free(x);
}

void registry_table_free(struct registry_table *t)
{
    if (!t)
        return;
    list_each_safe (it, &t->entries)
        entry_free(container_of(it, struct entry, link));
    mem_free(t);
}

static void note_add(struct side *s, const char *node, struct bytes text, bool gone)
{
    struct note *x = mem_zalloc(sizeof *x + text.n);
    if (!x) { // it comes with the next renewal
        s->core.stats.dropped++;
        return;
    }
    x->gone = gone;
    x->n = text.n;
    memcpy(x->node, node, strlen(node));
    if (text.n)
        memcpy(x->text, text.p, text.n);
    list_add_tail(&s->notes, &x->link);
    (void)timer_start(s->core.args.timers, &s->soon, 0);
}

static void tell_others(struct side *s, struct bytes text, bool gone)
{
    list_each (it, &s->table->sides) {
        struct side *o = container_of(it, struct side, link);
        if (o != s && o->up && !strcmp(o->core.args.environment, s->core.args.environment))
            note_add(o, s->core.args.node, text, gone);
    }
}

static struct entry *entry_of(struct side *s)
{
    list_each (it, &s->table->entries) {
        struct entry *x = container_of(it, struct entry, link);
        if (!strcmp(x->node, s->core.args.node) &&
            !strcmp(x->environment, s->core.args.environment))
            return x;
    }
    return NULL;
}

static void put_own(struct side *s, int64_t now)
{
    struct bytes text = buf_bytes(&s->core.own);
    struct entry *old = entry_of(s), *x = mem_zalloc(sizeof *x + text.n);
    if (!x) {
        s->core.stats.failed++;
        return;
    }
    if (old)
        entry_free(old);
    memcpy(x->node, s->core.args.node, strlen(s->core.args.node));
    memcpy(x->environment, s->core.args.environment, strlen(s->core.args.environment));
    x->due_ms = now + s->core.args.ttl_ms;
    x->n = text.n;
    memcpy(x->text, text.p, text.n);
    list_add_tail(&s->table->entries, &x->link);
    s->core.stats.puts++;
    tell_others(s, text, false);
}

static void come_up(struct side *s, int64_t now)
{
    s->up = true;
    s->core.stats.watches++;
    list_each_safe (it, &s->table->entries) {
        struct entry *x = container_of(it, struct entry, link);
        if (x->due_ms <= now)
            entry_free(x);
        else if (!strcmp(x->environment, s->core.args.environment))
            note_add(s, x->node, (struct bytes){x->text, x->n}, false);
    }
    registry_core_status(&s->core, REGISTRY_CONNECTED, NULL);
}

static void end(struct side *s)
{
    list_each_safe (it, &s->notes)
        mem_free(container_of(it, struct note, link));
    timer_stop(s->core.args.timers, &s->soon);
    timer_stop(s->core.args.timers, &s->beat);
    registry_core_fini(&s->core);
    registry_core_status(&s->core, REGISTRY_CLOSED, NULL);
    mem_free(s);
}

static void on_soon(struct timer *t)
{
    struct side *s = t->user;
    int64_t now = timers_now_ms(s->core.args.timers);
    if (s->core.closed) {
        end(s);
        return;
    }
    if (!s->up)
        come_up(s, now);
    while (!s->core.closed && !list_empty(&s->notes)) {
        struct note *x = container_of(s->notes.next, struct note, link);
        list_del(&x->link);
        if (x->gone)
            registry_core_gone(&s->core, bytes_of(x->node));
        else
            registry_core_seen(&s->core, bytes_of(x->node), (struct bytes){x->text, x->n});
        mem_free(x);
    }
    if (!s->core.closed && registry_core_due(&s->core, now))
        put_own(s, now);
}

static void on_beat(struct timer *t)
{
    struct side *s = t->user;
    (void)timer_start(s->core.args.timers, t, BEAT_MS);
    registry_core_expire(&s->core);
    if (!s->core.closed && s->up && registry_core_due(&s->core, timers_now_ms(s->core.args.timers)))
        put_own(s, timers_now_ms(s->core.args.timers));
}

static int op_put(struct registry *r, struct bytes text, struct err *e)
{
    struct side *s = side_of(r);
    int rc = registry_core_put(&s->core, text, e);
    if (!rc)
        (void)timer_start(s->core.args.timers, &s->soon, 0);
    return rc;
}

static void op_remove(struct registry *r)
{
    struct side *s = side_of(r);
    struct entry *x = entry_of(s);
    s->core.has_own = false;
    if (s->core.closed || !x)
        return;
    entry_free(x);
    tell_others(s, BYTES_NONE, true);
}

static void op_stats(const struct registry *r, struct registry_stats *ret)
{
    const struct registry_core *c = (const struct registry_core *)(const void *)r;
    *ret = c->stats;
    ret->nodes = (uint32_t)map_count(c->nodes);
}

static void op_close(struct registry *r)
{
    struct side *s = side_of(r);
    if (s->core.closed)
        return;
    s->core.closed = true;
    list_del(&s->link);
    (void)timer_start(s->core.args.timers, &s->soon, 0);
}

static const struct registry_ops ops = {
    .put = op_put, .remove = op_remove, .stats = op_stats, .close = op_close};

int registry_memory_open(const struct registry_args *args, struct registry **ret, struct err *e)
{
    if (!args->table)
        return err_set(e, E_INVALID, "registry: which table?");
    struct side *s = mem_new(struct side);
    int rc = s ? registry_core_init(&s->core, &ops, args, e) : err_set(e, E_NOMEM, "registry");
    if (rc) {
        mem_free(s);
        return rc;
    }
    s->table = args->table;
    list_init(&s->notes);
    list_add_tail(&s->table->sides, &s->link);
    s->soon = (struct timer){.fn = on_soon, .user = s};
    s->beat = (struct timer){.fn = on_beat, .user = s};
    (void)timer_start(args->timers, &s->soon, 0);
    (void)timer_start(args->timers, &s->beat, BEAT_MS);
    *ret = &s->core.base;
    return 0;
}
