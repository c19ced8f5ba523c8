// plans.c: compiled documents, by their hash, kept while they are much used.
// SPDX-License-Identifier: Apache-2.0
#include "runs/runs_priv.h"

struct plan_load {
    struct list link; // s->plan_loads
    struct runs *s;
    char *hash;
    struct list waits;
    struct buf text;
    struct op *op;
};

struct flow_plan *runs_plan(struct runs *s, struct bytes hash)
{
    return map_get(s->plans, hash);
}

// The oldest leaves; runs that have it keep it.
static void make_room(struct runs *s)
{
    struct bytes key;
    void *value;
    size_t at = 0;
    if (map_count(s->plans) < RUNS_PLANS_MAX || !map_each(s->plans, &at, &key, &value))
        return;
    (void)map_del(s->plans, key);
    flow_plan_unref(value);
}

void runs_plan_keep(struct runs *s, struct flow_plan *p)
{
    struct flow_about about;
    flow_plan_about(p, &about);
    if (map_get(s->plans, bytes_of(about.hash)))
        return;
    make_room(s);
    if (!map_put(s->plans, bytes_of(about.hash), p, NULL))
        (void)flow_plan_ref(p);
}

static void load_free(struct plan_load *l)
{
    list_del(&l->link);
    buf_fini(&l->text);
    mem_free(l->hash);
    mem_free(l);
}

static void tell(struct plan_load *l, struct flow_plan *p, const struct err *e)
{
    list_del(&l->link);
    while (!list_empty(&l->waits)) {
        struct plan_wait *w = container_of(l->waits.next, struct plan_wait, link);
        list_del(&w->link);
        w->done(w, p, e);
    }
    load_free(l);
}

static void on_text(void *user, struct bytes text)
{
    struct plan_load *l = user;
    (void)buf_put(&l->text, text);
}

static void on_doc(struct op *o, int status, const struct err *e)
{
    struct plan_load *l = o->user;
    struct flow_plan *p = NULL;
    struct err why = {0};
    l->op = NULL;
    if (status) {
        why = *e;
        (void)err_wrap(&why, "its document %s", l->hash);
    } else if (l->text.failed) {
        (void)err_set(&why, l->text.failed, "its document %s", l->hash);
    } else {
        int rc = flow_plan_new(&p, buf_bytes(&l->text), NULL, &why);
        if (rc == 1) {
            flow_plan_unref(p);
            p = NULL;
            (void)err_set(&why, E_INVALID, "document %s was kept without what it needs", l->hash);
        }
    }
    if (p)
        runs_plan_keep(l->s, p);
    tell(l, p, p ? NULL : &why);
    flow_plan_unref(p);
}

static struct plan_load *find(struct runs *s, struct bytes hash)
{
    list_each (it, &s->plan_loads) {
        struct plan_load *l = container_of(it, struct plan_load, link);
        if (bytes_is(hash, l->hash))
            return l;
    }
    return NULL;
}

void runs_plan_load(struct runs *s, struct bytes hash, struct plan_wait *w)
{
    struct flow_plan *p = runs_plan(s, hash);
    struct plan_load *l = p ? NULL : find(s, hash);
    struct err e = {0};
    list_init(&w->link);
    if (p) {
        w->done(w, p, NULL);
        return;
    }
    if (l) {
        list_add_tail(&l->waits, &w->link);
        return;
    }
    l = mem_new(struct plan_load);
    char *copy = mem_dup(hash.p, hash.n);
    struct op *o = l && copy ? runs_op(s, on_doc, l) : NULL;
    int rc = E_NOMEM;
    if (o) {
        l->s = s;
        l->hash = copy;
        l->op = o;
        list_init(&l->waits);
        buf_init(&l->text, RUNS_TEXT_MAX);
        rc = journal_doc(s->args.journal, hash, on_text, l, &o->req, &e);
    }
    if (!rc) {
        list_add_tail(&s->plan_loads, &l->link);
        list_add_tail(&l->waits, &w->link);
        return;
    }
    runs_op_free(o);
    mem_free(copy);
    mem_free(l);
    if (!e.code)
        (void)err_set(&e, rc, "a document needs memory");
    w->done(w, NULL, &e);
}

void runs_plans_free(struct runs *s)
{
    struct bytes key;
    void *value;
    list_each_safe (it, &s->plan_loads)
        load_free(container_of(it, struct plan_load, link));
    for (size_t at = 0; map_each(s->plans, &at, &key, &value);)
        flow_plan_unref(value);
    for (size_t at = 0; map_each(s->texts, &at, &key, &value);)
        flow_plan_unref(value);
    map_free(s->plans);
    map_free(s->texts);
}
