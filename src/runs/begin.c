// begin.c: new runs: from a document's text (and what it needs from elsewhere), or from one that is
// registered.
// SPDX-License-Identifier: Apache-2.0
#include "runs/runs_priv.h"
#include <stdio.h>
#include <string.h>

#define ROUNDS_MAX 8 // of needs that have needs
#define TEXTS_MAX 64

// 11 digits of the time and 13 of chance: rising, so that new rows stand together.
struct bytes runs_id_make(struct runs *s, char text[32])
{
    uint64_t chance = s->args.random(s->args.user);
    int n = snprintf(text, 32, "%011llx%013llx", (unsigned long long)runs_wall(s),
                     (unsigned long long)(chance >> 12));
    return (struct bytes){text, (size_t)n};
}

static struct val *put_text(struct val *v, const char *key, struct bytes text)
{
    return text.n ? val_put_cstr(v, key, val_str(text)) : v;
}

// Of a document: what its metadata say.
static struct bytes own_label(const struct flow_about *about)
{
    return val_bytes(val_ptr(about->metadata, BYTES("/plexus/label")));
}

static struct val *meta_of(struct runs *s, const struct begin *b)
{
    struct flow_about about;
    flow_plan_about(b->plan, &about);
    struct val *v = val_put_cstr(val_obj(), "run", val_str(b->id));
    v = val_put_cstr(v, "namespace", val_cstr(about.namespace));
    v = val_put_cstr(v, "name", val_cstr(about.name));
    v = val_put_cstr(v, "version", val_cstr(about.version));
    v = val_put_cstr(v, "plan", val_cstr(about.hash));
    v = val_put_cstr(v, "decider", val_int(FLOW_DECIDER_VERSION));
    v = val_put_cstr(v, "seed", val_int((int64_t)(s->args.random(s->args.user) >> 12)));
    v = val_put_cstr(v, "chapter_max", val_int((int64_t)s->args.chapter_max));
    if (b->parent)
        v = val_put_cstr(v, "parent", val_ref(b->parent));
    v = put_text(v, "by", b->by);
    v = put_text(v, "label", b->label.n ? b->label : own_label(&about));
    return put_text(v, "schedule", b->schedule);
}

static struct post *first_post(struct run *r, const struct begin *b)
{
    struct val *input = b->input ? val_ref((struct val *)(uintptr_t)b->input) : val_null();
    struct val *data = val_put_cstr(val_ref(r->meta), "input", input);
    struct post *p = data ? runs_post_new(FLOW_STARTED, 0, data) : NULL;
    char *mail = b->mail.n ? mem_dup(b->mail.p, b->mail.n) : NULL;
    if (!p || (b->mail.n && !mail)) {
        runs_post_free(p);
        mem_free(mail);
        return NULL;
    }
    p->create = true;
    p->mail = (struct bytes){mail, b->mail.n};
    p->done = b->done;
    p->user = b->user;
    return p;
}

// 0: done will come, when it is kept or cannot be.
int runs_begin(struct runs *s, const struct begin *b, struct err *e)
{
    struct spot *spot = runs_spot(s, b->id);
    struct run *r = NULL;
    struct post *p = NULL;
    int rc = E_NOMEM;
    if (runs_down(s, e) || spot || !b->id.n || b->id.n > RUNS_ID_MAX) {
        val_unref(b->takes_puts);
        return runs_down(s, e) ? E_UNAVAILABLE
               : spot          ? err_set(e, E_EXISTS, "run %.*s is there already", BYTES_FMT(b->id))
                               : err_set(e, E_INVALID, "a run's id has 1 to %d bytes", RUNS_ID_MAX);
    }
    spot = runs_spot_make(s, b->id);
    r = spot ? runs_new_run(s, spot, b->plan) : NULL;
    if (r)
        r->meta = meta_of(s, b);
    if (r && r->meta)
        rc = flow_run_new(&r->flow, b->plan, e);
    p = rc ? NULL : first_post(r, b);
    if (p) {
        p->puts = b->takes_puts;
        r->state = RUN_LIVE;
        spot->mine = true;
        runs_post(r, p);
        return 0;
    }
    val_unref(b->takes_puts);
    if (r)
        runs_forget(r, E_NOMEM, e);
    else if (spot)
        runs_spot_tidy(s, spot);
    return err_set(e, E_NOMEM, "a run needs memory");
}

// ---- runs_start ---------------------------------------------------------------------------------

static void on_begun(struct post *p, int status, const struct err *e)
{
    struct ask *a = p->user;
    struct run *r = NULL;
    if (!status) {
        struct spot *spot = runs_spot(a->s, bytes_of(a->id));
        r = spot ? spot->run : NULL;
    }
    if (!r) {
        runs_ask_done(a, status ? status : E_CONFLICT, e);
        return;
    }
    if (a->waits) {
        runs_ask_wait(a, r);
        return;
    }
    runs_status_json(&a->json, r);
    runs_ask_done(a, 0, NULL);
}

static struct bytes label_of(const struct ask *a, const struct flow_plan *plan)
{
    struct flow_about about;
    flow_plan_about(plan, &about);
    struct bytes own = own_label(&about);
    return a->label ? val_bytes(a->label) : own.n ? own : val_bytes(a->otherwise);
}

static void begin_asked(struct ask *a, struct flow_plan *plan)
{
    struct runs *s = a->s;
    char made[32];
    struct err e = {0};
    struct bytes id = bytes_of(a->id);
    if (!id.n) {
        id = runs_id_make(s, made);
        a->id = mem_dup(id.p, id.n);
    }
    struct begin b = {.plan = plan,
                      .id = bytes_of(a->id),
                      .input = a->input,
                      .by = val_bytes(a->by),
                      .label = label_of(a, plan),
                      .done = on_begun,
                      .user = a};
    int rc = a->id ? 0 : err_set(&e, E_NOMEM, "a run needs memory");
    if (!rc && a->may && a->r)
        rc = a->may(a->may_user, b.label, &e);
    if (!rc)
        rc = runs_begin(s, &b, &e);
    if (rc)
        runs_ask_done(a, rc, &e);
}

static void planned(struct ask *a, struct flow_plan *plan)
{
    if (!a->registers)
        begin_asked(a, plan);
    else
        runs_doc_keep(a, plan);
}

static void on_plan(struct plan_wait *w, struct flow_plan *plan, const struct err *e)
{
    struct ask *a = container_of(w, struct ask, plan_wait);
    if (plan)
        planned(a, plan);
    else
        runs_ask_done(a, e->code, e);
}

// ---- documents that need others -----------------------------------------------------------------

static bool ask_needs(struct ask *a, struct flow_plan *plan, struct err *e)
{
    struct runs *s = a->s;
    struct flow_need need;
    char key[24];
    if (!s->args.need || ++a->rounds > ROUNDS_MAX) {
        size_t at = 0;
        (void)flow_plan_need(plan, &at, &need);
        (void)err_set(e, E_UNAVAILABLE, "%s is needed from %.*s, and %s", need.what,
                      BYTES_FMT(need.uri),
                      s->args.need ? "needs others without end" : "nothing is fetched here");
        return false;
    }
    a->needs = 1;
    for (size_t at = 0; flow_plan_need(plan, &at, &need);) {
        uint64_t ticket = ++s->next_ticket;
        struct val *uri = val_str(need.uri);
        struct val *names = a->names ? a->names : val_obj();
        (void)snprintf(key, sizeof key, "%llu", (unsigned long long)ticket);
        a->names = val_put_cstr(names, key, uri);
        if (!a->names || map_put(s->tickets, bytes_of(key), a, NULL)) {
            (void)err_set(e, E_NOMEM, "a document needs memory");
            return false;
        }
        a->needs++;
        s->args.need(s->args.user, ticket, &need);
    }
    return true;
}

static void forget_tickets(struct ask *a)
{
    struct bytes key;
    struct val *value;
    for (size_t at = 0; a->names && val_each(a->names, &at, &key, &value);)
        if (map_get(a->s->tickets, key) == a)
            (void)map_del(a->s->tickets, key);
}

static int plan_of(struct ask *a, struct flow_plan **ret, struct err *e)
{
    struct flow_findings f = {.count = 0};
    struct buf bundle;
    struct bytes text = {a->text, a->text_n};
    int rc = 0;
    buf_init(&bundle, RUNS_TEXT_MAX);
    if (a->resources) {
        rc = flow_bundle(&bundle, text, a->resources, e);
        text = buf_bytes(&bundle);
    }
    if (!rc)
        rc = flow_plan_new(ret, text, &f, e);
    buf_fini(&bundle);
    return rc;
}

static void keep_text(struct ask *a, struct flow_plan *plan)
{
    struct runs *s = a->s;
    struct bytes key;
    void *value;
    size_t at = 0;
    if (map_count(s->texts) >= TEXTS_MAX && map_each(s->texts, &at, &key, &value)) {
        (void)map_del(s->texts, key);
        flow_plan_unref(value);
    }
    if (!map_put(s->texts, (struct bytes){a->text, a->text_n}, plan, NULL))
        (void)flow_plan_ref(plan);
}

static void with_document(struct ask *a)
{
    struct runs *s = a->s;
    struct flow_plan *plan = map_get(s->texts, (struct bytes){a->text, a->text_n});
    struct err e = {0};
    if (a->done)
        return;
    if (plan) {
        planned(a, plan);
        return;
    }
    int rc = plan_of(a, &plan, &e);
    if (rc == 1) {
        if (!ask_needs(a, plan, &e)) {
            forget_tickets(a);
            runs_ask_done(a, e.code, &e);
        } else if (--a->needs == 0) { // all came at once
            with_document(a);
        }
        flow_plan_unref(plan);
        return;
    }
    if (rc < 0) {
        runs_ask_done(a, rc, &e);
        return;
    }
    runs_plan_keep(s, plan);
    keep_text(a, plan);
    planned(a, plan);
    flow_plan_unref(plan);
}

void runs_given(struct runs *s, uint64_t ticket, int status, struct bytes text, const struct err *e)
{
    char key[24];
    (void)snprintf(key, sizeof key, "%llu", (unsigned long long)ticket);
    struct ask *a = map_del(s->tickets, bytes_of(key));
    if (!a)
        return;
    struct val *uri = val_get_cstr(a->names, key);
    if (status) {
        struct err why = e ? *e : (struct err){0};
        if (!e)
            (void)err_set(&why, status, "cannot be fetched");
        (void)err_wrap(&why, "%.*s", BYTES_FMT(val_bytes(uri)));
        forget_tickets(a);
        runs_ask_done(a, status, &why);
        return;
    }
    struct val *all = a->resources ? steal(&a->resources) : val_obj();
    a->resources = val_put(all, val_bytes(uri), val_str(text));
    if (--a->needs)
        return;
    with_document(a);
}

// ---- the calls ----------------------------------------------------------------------------------

static void by_name(struct ask *a)
{
    struct runs *s = a->s;
    struct bytes namespace = val_bytes(val_get_cstr(a->names, "namespace"));
    struct bytes name = val_bytes(val_get_cstr(a->names, "name"));
    struct bytes version = val_bytes(val_get_cstr(a->names, "version"));
    struct doc *d = runs_doc_find(s, namespace, name, version);
    struct err e = {0};
    if (!d) {
        (void)err_set(&e, E_NOTFOUND, "no document %.*s/%.*s%s%.*s is registered: plexus flow docs",
                      BYTES_FMT(namespace), BYTES_FMT(name), version.n ? ":" : "",
                      BYTES_FMT(version));
        runs_ask_done(a, E_NOTFOUND, &e);
        return;
    }
    a->plan_wait.done = on_plan;
    runs_plan_load(s, d->hash, &a->plan_wait);
}

static bool keep_slice(char **ret, struct bytes text)
{
    *ret = text.n ? mem_dup(text.p, text.n) : NULL;
    return !text.n || *ret;
}

void runs_start(struct runs *s, const struct runs_start *x, struct runs_req *r)
{
    struct ask *a = runs_ask(s, r);
    if (!a)
        return;
    a->waits = x->wait;
    a->wait_ms = x->wait_ms;
    a->input = x->input ? val_ref((struct val *)(uintptr_t)x->input) : NULL;
    a->by = x->by.n ? val_str(x->by) : NULL;
    a->label = x->label.n ? val_str(x->label) : NULL;
    a->otherwise = x->label_otherwise.n ? val_str(x->label_otherwise) : NULL;
    a->may = x->may;
    a->may_user = x->may_user;
    a->text_n = x->document.n;
    if (!keep_slice(&a->id, x->id) || !keep_slice(&a->text, x->document)) {
        runs_ask_nomem(a);
        return;
    }
    if (x->document.n) {
        runs_ask_go(a, with_document);
        return;
    }
    a->names = val_put_cstr(val_obj(), "namespace",
                            x->namespace.n ? val_str(x->namespace) : val_cstr("default"));
    a->names = val_put_cstr(a->names, "name", val_str(x->name));
    a->names = val_put_cstr(a->names, "version", val_str(x->version));
    runs_ask_go(a, by_name);
}

void runs_register(struct runs *s, struct bytes document, struct bytes by, struct runs_req *r)
{
    struct ask *a = runs_ask(s, r);
    if (!a)
        return;
    a->registers = true;
    a->by = by.n ? val_str(by) : NULL;
    a->text_n = document.n;
    if (!keep_slice(&a->text, document)) {
        runs_ask_nomem(a);
        return;
    }
    runs_ask_go(a, with_document);
}
