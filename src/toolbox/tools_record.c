// tools_record.c: what was called: the last calls, counters of each tool and of all.
// SPDX-License-Identifier: Apache-2.0
#include "toolbox/tools_priv.h"

#include <string.h>

static void keep(char *to, size_t room, struct bytes from)
{
    size_t n = from.n < room ? from.n : room - 1;
    while (n < from.n && n && ((unsigned char)from.p[n] & 0xc0) == 0x80) // not within a character
        n--;
    if (n)
        memcpy(to, from.p, n);
    to[n] = '\0';
}

// NULL: out of memory, or too many names: then only the total counts.
static struct tools_counts *counts_of(struct tools_all *t, const char *name)
{
    struct bytes key = bytes_of(name);
    struct tools_counts *c = map_get(t->counts, key);
    if (c || !(c = mem_new(struct tools_counts)))
        return c;
    if (map_put(t->counts, key, c, NULL) < 0) {
        mem_free(c);
        return NULL;
    }
    return c;
}

void tools_record_begin(struct tools_all *t, struct tools_record *rec, const struct tool_args *args,
                        const struct tool_about *a)
{
    rec->serial = ++t->serial;
    rec->at_ms = t->args.wall_ms ? t->args.wall_ms(t->args.user) : time_wall_ms();
    rec->took_us = timers_now_ns(t->args.timers) / 1000; // until the end: since when
    keep(rec->who, sizeof rec->who, args->caller.who);
    keep(rec->tool, sizeof rec->tool, args->name);
    rec->confirmed = args->caller.confirmed;
    rec->bytes_in = tools_bytes(args->input);
    if (a) {
        keep(rec->source, sizeof rec->source, a->source);
        rec->effects = a->effects;
    }
}

static void count_end(struct tools_counts *c, const struct tools_record *rec, bool began)
{
    c->calls++;
    c->failed += rec->status < 0;
    c->denied += rec->denied;
    c->timeouts += rec->status == E_TIMEOUT;
    c->tool_errors += rec->is_error;
    c->took_us += rec->took_us;
    c->bytes_in += rec->bytes_in;
    c->bytes_out += rec->bytes_out;
    c->running -= began && c->running;
}

void tools_record_began(struct tools_all *t, struct tools_record *rec)
{
    struct tools_counts *c = counts_of(t, rec->tool);
    t->total.running++;
    if (c)
        c->running++;
    if (t->args.on_call)
        t->args.on_call(t->args.user, TOOLS_BEGAN, rec);
}

void tools_record_end(struct tools_all *t, struct tools_record *rec, bool began, int status,
                      const struct err *e)
{
    rec->took_us = timers_now_ns(t->args.timers) / 1000 - rec->took_us;
    rec->status = status;
    rec->denied = !began && (status == E_FORBIDDEN || status == E_SECURITY);
    if (status < 0)
        keep(rec->why, sizeof rec->why, bytes_of(e->text));
    // A name that nobody has takes no place among the counters.
    struct tools_counts *c =
        status == E_NOTFOUND ? map_get(t->counts, bytes_of(rec->tool)) : counts_of(t, rec->tool);
    count_end(&t->total, rec, began);
    if (c)
        count_end(c, rec, began);
    if (!t->records)
        t->records = mem_array(t->args.records_max, sizeof *t->records);
    if (t->records)
        t->records[t->total.calls % t->args.records_max] = *rec;
    if (t->args.on_call)
        t->args.on_call(t->args.user, TOOLS_ENDED, rec);
}

const struct tools_record *tools_all_record(const struct tools_all *t, size_t back)
{
    if (!t->records || back >= t->total.calls || back >= t->args.records_max)
        return NULL;
    const struct tools_record *r = &t->records[(t->total.calls - back) % t->args.records_max];
    return r->serial ? r : NULL;
}

void tools_all_total(const struct tools_all *t, struct tools_counts *ret)
{
    *ret = t->total;
}

bool tools_all_counts(const struct tools_all *t, size_t *at, struct bytes *ret_name,
                      struct tools_counts *ret)
{
    void *c;
    if (!map_each(t->counts, at, ret_name, &c))
        return false;
    *ret = *(struct tools_counts *)c;
    return true;
}

bool tools_all_count(const struct tools_all *t, struct bytes name, struct tools_counts *ret)
{
    const struct tools_counts *c = map_get(t->counts, name);
    if (c)
        *ret = *c;
    return c != NULL;
}

void tools_records_free(struct tools_all *t)
{
    size_t at = 0;
    struct bytes key;
    void *c;
    while (map_each(t->counts, &at, &key, &c))
        mem_free(c);
    map_free(t->counts);
    mem_free(t->records);
}
