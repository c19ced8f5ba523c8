// schedule_on.c: documents that begin on events: one, any, or all of several.
// SPDX-License-Identifier: Apache-2.0
#include "runs/schedule_priv.h"
#include "text/jq.h"
#include <stdio.h>

struct held {
    struct list link;
    struct val *event;
    struct ask *ask;
};

// ---- does it fit? -------------------------------------------------------------------------------

static bool is_expr(struct bytes text, struct bytes *ret)
{
    struct bytes t = bytes_trim(text);
    if (!bytes_starts(t, BYTES("${")) || !bytes_ends(t, BYTES("}")))
        return false;
    *ret = bytes_trim((struct bytes){t.p + 2, t.n - 3});
    return true;
}

static bool fits_value(const struct val *want, struct val *have)
{
    struct bytes key, program;
    struct val *item, *out = NULL;
    struct jq *jq = NULL;
    if (val_is(want, JSON_OBJ)) {
        for (size_t at = 0; val_each(want, &at, &key, &item);)
            if (!fits_value(item, val_get(have, key)))
                return false;
        return val_is(have, JSON_OBJ);
    }
    if (!is_expr(val_bytes(want), &program))
        return val_equal(want, have);
    bool yes = false;
    struct jq_args a = {.input = have};
    if (!jq_compile(&jq, program, NULL) && !jq_run(jq, &a, &out, NULL)) {
        struct val *first = val_at(out, 0);
        yes = val_is(first, JSON_BOOL) ? val_truthy(first) : first && val_equal(first, have);
    }
    val_unref(out);
    jq_free(jq);
    return yes;
}

static bool fits(const struct val *filter, struct val *event)
{
    const struct val *with = val_get_cstr(filter, "with");
    return !with || fits_value(with, event);
}

static int check(const struct val *v, struct err *e)
{
    struct bytes key, program;
    struct val *item;
    struct jq *jq = NULL;
    int rc = 0;
    if (val_is(v, JSON_OBJ) || val_is(v, JSON_ARR)) {
        for (size_t at = 0; !rc && val_each(v, &at, &key, &item);)
            rc = check(item, e);
        return rc;
    }
    if (!is_expr(val_bytes(v), &program))
        return 0;
    rc = jq_compile(&jq, program, e);
    jq_free(jq);
    return rc ? err_wrap(e, "schedule.on") : 0;
}

int runs_schedule_hears(const struct val *schedule, struct val *event, struct err *e)
{
    const struct val *on = val_get_cstr(schedule, "on");
    struct val *filters = NULL;
    bool all, yes = false;
    if (!on)
        return 0;
    int rc = runs_schedule_filters(on, &filters, &all, e);
    if (rc)
        return rc;
    for (size_t i = 0; i < val_len(filters) && !all; i++)
        yes = yes || fits(val_at(filters, i), event);
    val_unref(filters);
    return all ? err_set(e, E_UNSUPPORTED, "schedule.on.all is kept by the embedded engine only")
               : yes;
}

int runs_schedule_filters(const struct val *on, struct val **ret, bool *ret_all, struct err *e)
{
    struct val *one = val_get_cstr(on, "one"), *any = val_get_cstr(on, "any");
    struct val *all = val_get_cstr(on, "all");
    struct val *list = one ? val_push(val_arr(), val_ref(one)) : val_ref(any ? any : all);
    int rc = check(list, e);
    if (!rc && (!val_is(list, JSON_ARR) || (all && !val_len(list))))
        rc = err_set(e, E_INVALID, "schedule.on: expected one, any or all with filters");
    if (rc) {
        val_unref(list);
        return rc;
    }
    *ret = list;
    *ret_all = all != NULL;
    return 0;
}

// ---- events -------------------------------------------------------------------------------------

void runs_schedule_id(char id[RUNS_SCHEDULE_ID], struct bytes namespace, struct bytes name,
                      const struct val *event)
{
    uint64_t source = bytes_hash(val_bytes(val_get_cstr(event, "source")));
    uint64_t of = bytes_hash(val_bytes(val_get_cstr(event, "id")));
    (void)snprintf(id, RUNS_SCHEDULE_ID, "%.*s-on-%016llx%08llx", BYTES_FMT(bytes_first(name, 200)),
                   (unsigned long long)of,
                   (unsigned long long)((source ^ bytes_hash(namespace)) & 0xffffffff));
}

static void put_id(const struct schedule *c, char id[RUNS_SCHEDULE_ID], const struct val *event)
{
    runs_schedule_id(id, val_bytes(val_get_cstr(c->doc, "namespace")),
                     val_bytes(val_get_cstr(c->doc, "name")), event);
}

static void on_gathered(struct op *o, int status, const struct err *e)
{
    runs_firing_done(o->user, status, e);
}

// It is one of several: kept until the others have come.
static void gather(struct schedule *c, struct val *takes_cursor, struct ask *a)
{
    struct firing *f = mem_new(struct firing);
    struct err e = {0};
    int rc = f && takes_cursor ? 0 : err_set(&e, E_NOMEM, "a schedule needs memory");
    if (rc) {
        mem_free(f);
        val_unref(takes_cursor);
        runs_event_taken(a, rc, &e);
        return;
    }
    c->firing = true;
    c->refs++;
    list_add_tail(&c->s->firings, &f->link);
    list_init(&f->plan.link);
    f->c = c;
    f->ask = a;
    f->cursor = takes_cursor;
    rc =
        runs_keys(c->s, val_put_cstr(val_obj(), c->key, val_ref(takes_cursor)), on_gathered, f, &e);
    if (rc)
        runs_firing_done(f, rc, &e);
}

static bool all_have(const struct schedule *c, const struct val *heard, struct val **ret_input)
{
    struct val *input = val_arr();
    char key[24];
    for (size_t i = 0; i < val_len(c->filters); i++) {
        (void)snprintf(key, sizeof key, "%zu", i);
        struct val *event = val_get_cstr(heard, key);
        if (!event) {
            val_unref(input);
            return false;
        }
        input = val_push(input, val_ref(event));
    }
    *ret_input = input;
    return true;
}

static void take_part(struct schedule *c, struct val *event, struct ask *a, size_t filter)
{
    struct val *heard = val_get_cstr(c->cursor, "heard"), *input = NULL;
    char key[24], id[RUNS_SCHEDULE_ID];
    (void)snprintf(key, sizeof key, "%zu", filter);
    heard = val_put_cstr(heard ? val_ref(heard) : val_obj(), key, val_ref(event));
    struct val *cursor = val_put_cstr(val_obj(), "at", val_int(runs_wall(c->s)));
    if (!all_have(c, heard, &input)) {
        gather(c, val_put_cstr(cursor, "heard", heard), a);
        return;
    }
    val_unref(heard);
    put_id(c, id, event);
    runs_schedule_fire(c, id, cursor, input, a);
}

// The first filter that has not had its event yet.
static bool wanted(const struct schedule *c, struct val *event, size_t *ret)
{
    struct val *heard = val_get_cstr(c->cursor, "heard");
    char key[24];
    for (size_t i = 0; i < val_len(c->filters); i++) {
        (void)snprintf(key, sizeof key, "%zu", i);
        *ret = i;
        if (fits(val_at(c->filters, i), event) && !(c->all && val_get_cstr(heard, key)))
            return true;
    }
    return false;
}

static void take(struct schedule *c, struct val *event, struct ask *a)
{
    size_t filter;
    char id[RUNS_SCHEDULE_ID];
    if (!wanted(c, event, &filter)) {
        struct err e = {0};
        (void)err_set(&e, E_NOTFOUND, "not wanted any more");
        runs_event_taken(a, E_NOTFOUND, &e);
    } else if (c->all) {
        take_part(c, event, a, filter);
    } else {
        put_id(c, id, event);
        runs_schedule_fire(c, id, NULL, val_push(val_arr(), val_ref(event)), a);
    }
}

void runs_schedule_next_held(struct schedule *c)
{
    while (!c->firing && !list_empty(&c->held)) {
        struct held *h = container_of(c->held.next, struct held, link);
        list_del(&h->link);
        take(c, h->event, h->ask);
        val_unref(h->event);
        mem_free(h);
    }
}

void runs_schedule_drop_held(struct schedule *c)
{
    list_each_safe (it, &c->held) {
        struct held *h = container_of(it, struct held, link);
        struct err e = {0};
        list_del(it);
        (void)err_set(&e, E_NOTFOUND, "its document was removed");
        if (!c->s->freeing)
            runs_event_taken(h->ask, E_NOTFOUND, &e);
        val_unref(h->event);
        mem_free(h);
    }
}

void runs_schedule_event(struct runs *s, struct val *event, struct ask *a)
{
    list_each_safe (it, &s->schedule_list) {
        struct schedule *c = container_of(it, struct schedule, link);
        size_t filter;
        if (c->kind != SCHEDULE_ON || !wanted(c, event, &filter))
            continue;
        struct held *h = mem_new(struct held);
        if (!h) {
            a->status = E_NOMEM;
            (void)err_set(&a->e, E_NOMEM, "an event needs memory");
            continue;
        }
        a->needs++;
        *h = (struct held){.event = val_ref(event), .ask = a};
        list_add_tail(&c->held, &h->link);
        runs_schedule_next_held(c);
    }
}
