// docs.c: registered documents: by namespace, name and version; what has no version is the newest.
// SPDX-License-Identifier: Apache-2.0
#include "runs/runs_priv.h"
#include <string.h>

#define SCHEMA_MAX ((size_t)256 << 10) // of an input that is told with the list

// ---- the table ----------------------------------------------------------------------------------

static int put_key(struct buf *b, const char *what, struct bytes namespace, struct bytes name,
                   struct bytes version)
{
    (void)buf_fmt(b, "%s%.*s/%.*s", what, BYTES_FMT(namespace), BYTES_FMT(name));
    return version.n ? buf_fmt(b, "/%.*s", BYTES_FMT(version)) : b->failed;
}

struct doc *runs_doc_find(struct runs *s, struct bytes namespace, struct bytes name,
                          struct bytes version)
{
    struct doc *best = NULL;
    list_each (it, &s->doc_list) {
        struct doc *d = container_of(it, struct doc, link);
        if (!bytes_eq(d->namespace, namespace) || !bytes_eq(d->name, name))
            continue;
        if (version.n && !bytes_eq(d->version, version))
            continue;
        if (!best || flow_version_cmp(d->version, best->version) > 0)
            best = d;
    }
    return best;
}

bool runs_doc_has(struct runs *s, struct bytes hash)
{
    return map_get(s->docs, hash) != NULL;
}

static void doc_free(struct runs *s, struct doc *d)
{
    bool other = false;
    list_del(&d->link);
    list_each (it, &s->doc_list) {
        // NOLINTNEXTLINE(clang-analyzer-security.ArrayBound): a member of the ring
        other |= bytes_eq(container_of(it, struct doc, link)->hash, d->hash);
    }
    if (!other)
        (void)map_del(s->docs, d->hash);
    val_unref(d->value);
    mem_free(d);
}

static struct doc *doc_set(struct runs *s, struct val *value)
{
    struct doc *d = mem_new(struct doc);
    if (!d)
        return NULL;
    *d = (struct doc){.namespace = val_bytes(val_get_cstr(value, "namespace")),
                      .name = val_bytes(val_get_cstr(value, "name")),
                      .version = val_bytes(val_get_cstr(value, "version")),
                      .hash = val_bytes(val_get_cstr(value, "hash")),
                      .value = val_ref(value)};
    list_init(&d->link);
    struct doc *old = runs_doc_find(s, d->namespace, d->name, d->version);
    if (!d->hash.n || !d->version.n || map_put(s->docs, d->hash, s, NULL)) {
        val_unref(d->value);
        mem_free(d);
        return NULL;
    }
    list_add_tail(&s->doc_list, &d->link);
    if (old)
        doc_free(s, old);
    return d;
}

// ---- registering --------------------------------------------------------------------------------

static struct val *value_of(struct ask *a, const struct flow_about *about)
{
    struct val *v = val_put_cstr(val_obj(), "namespace", val_cstr(about->namespace));
    v = val_put_cstr(v, "name", val_cstr(about->name));
    v = val_put_cstr(v, "version", val_cstr(about->version));
    v = val_put_cstr(v, "hash", val_cstr(about->hash));
    v = val_put_cstr(v, "title", val_cstr(about->title));
    v = val_put_cstr(v, "summary", val_cstr(about->summary));
    if (about->input && val_size(about->input) < SCHEMA_MAX)
        v = val_put_cstr(v, "input", val_ref((struct val *)(uintptr_t)about->input));
    v = val_put_cstr(v, "at", val_int(runs_wall(a->s)));
    if (a->by)
        v = val_put_cstr(v, "by", val_ref(a->by));
    if (about->schedule)
        v = val_put_cstr(v, "schedule", val_ref((struct val *)(uintptr_t)about->schedule));
    return v;
}

static void put_doc(struct json_w *w, const struct doc *d)
{
    static const char *const texts[] = {"namespace", "name",    "version", "title",
                                        "hash",      "summary", "by"};
    static const char *const values[] = {"schedule", "input"};
    char at[TIME_TEXT_LEN + 1];
    struct buf b;
    json_w_obj(w, NULL);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        json_w_cstr(w, texts[i], val_text(val_get_cstr(d->value, texts[i]), NULL));
    time_text(val_i64(val_get_cstr(d->value, "at"), 0), at);
    json_w_cstr(w, "at", at);
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        struct val *v = val_get_cstr(d->value, values[i]);
        if (!v)
            continue;
        buf_init(&b, RUNS_TEXT_MAX);
        (void)val_write(&b, v);
        json_w_raw(w, values[i], buf_bytes(&b));
        buf_fini(&b);
    }
    json_w_end(w);
}

static void on_kept(struct op *o, int status, const struct err *e)
{
    struct ask *a = o->user;
    struct runs *s = a->s;
    struct json_w w;
    if (status) {
        runs_ask_done(a, status, e);
        return;
    }
    struct doc *d = doc_set(s, a->names);
    s->changes++;
    if (!d) {
        runs_ask_nomem(a);
        return;
    }
    runs_schedule_set(s, d->namespace, d->name);
    json_w_init(&w, &a->json);
    put_doc(&w, d);
    runs_ask_done(a, 0, NULL);
}

void runs_doc_keep(struct ask *a, struct flow_plan *plan)
{
    struct runs *s = a->s;
    struct flow_about about;
    struct err e = {0};
    struct buf key, text;
    flow_plan_about(plan, &about);
    int rc = about.schedule ? runs_schedule_check(about.schedule, &e) : 0;
    if (rc) {
        runs_ask_done(a, rc, &e);
        return;
    }
    val_unref(a->names);
    a->names = value_of(a, &about);
    buf_init(&key, 2048);
    buf_init(&text, RUNS_TEXT_MAX);
    struct op *o = runs_op(s, on_kept, a);
    rc = put_key(&key, "doc/", bytes_of(about.namespace), bytes_of(about.name),
                 bytes_of(about.version));
    if (!rc)
        rc = val_write(&text, a->names);
    rc = rc || !o || !a->names ? err_set(&e, rc ? rc : E_NOMEM, "the document cannot be kept") : 0;
    struct journal_put put = {buf_bytes(&key), buf_bytes(&text)};
    struct journal_write w = {
        .puts = &put, .put_count = 1, .doc_hash = bytes_of(about.hash), .doc = about.bundle};
    if (!rc)
        rc = journal_write(s->args.journal, &w, &o->req, &e);
    if (rc) {
        runs_op_free(o);
        runs_ask_done(a, rc, &e);
    }
    buf_fini(&key);
    buf_fini(&text);
}

static void on_removed(struct op *o, int status, const struct err *e)
{
    struct ask *a = o->user;
    struct runs *s = a->s;
    struct bytes namespace = val_bytes(val_get_cstr(a->names, "namespace"));
    struct bytes name = val_bytes(val_get_cstr(a->names, "name"));
    struct doc *d =
        status ? NULL
               : runs_doc_find(s, namespace, name, val_bytes(val_get_cstr(a->names, "version")));
    if (d) {
        doc_free(s, d);
        s->changes++;
        runs_schedule_set(s, namespace, name);
    }
    (void)buf_str(&a->json, "{}");
    runs_ask_done(a, status, e);
}

static int missing(struct bytes namespace, struct bytes name, struct bytes version, struct err *e)
{
    return err_set(e, E_NOTFOUND, "no document %.*s/%.*s%s%.*s is registered", BYTES_FMT(namespace),
                   BYTES_FMT(name), version.n ? ":" : "", BYTES_FMT(version));
}

static struct val *names_of(struct bytes namespace, struct bytes name, struct bytes version)
{
    struct val *v = val_put_cstr(val_obj(), "namespace", val_str(namespace));
    v = val_put_cstr(v, "name", val_str(name));
    return val_put_cstr(v, "version", val_str(version));
}

static void remove_go(struct ask *a)
{
    struct runs *s = a->s;
    struct bytes namespace = val_bytes(val_get_cstr(a->names, "namespace"));
    struct bytes name = val_bytes(val_get_cstr(a->names, "name"));
    struct bytes version = val_bytes(val_get_cstr(a->names, "version"));
    struct doc *d = runs_doc_find(s, namespace, name, version);
    struct err e = {0};
    struct buf key;
    if (!d) {
        runs_ask_done(a, missing(namespace, name, version, &e), &e);
        return;
    }
    buf_init(&key, 2048);
    int rc = put_key(&key, "doc/", namespace, name, d->version);
    a->names = val_put_cstr(a->names, "version", val_str(d->version));
    struct val *puts = val_put(val_obj(), buf_bytes(&key), val_null());
    struct bytes newest = runs_doc_find(s, namespace, name, BYTES_NONE)->version;
    if (!rc && bytes_eq(newest, d->version)) { // its schedule begins anew, if ever
        buf_clear(&key);
        (void)put_key(&key, "schedule/", namespace, name, BYTES_NONE);
        puts = val_put(puts, buf_bytes(&key), val_null());
    }
    rc = rc ? rc : runs_keys(s, puts, on_removed, a, &e);
    buf_fini(&key);
    if (rc)
        runs_ask_done(a, rc, &e);
}

void runs_unregister(struct runs *s, struct bytes namespace, struct bytes name,
                     struct bytes version, struct runs_req *r)
{
    struct ask *a = runs_ask(s, r);
    if (!a)
        return;
    a->names = names_of(namespace, name, version);
    runs_ask_go(a, remove_go);
}

static void documents_go(struct ask *a)
{
    struct json_w w;
    json_w_init(&w, &a->json);
    json_w_obj(&w, NULL);
    json_w_arr(&w, "documents");
    list_each (it, &a->s->doc_list)
        put_doc(&w, container_of(it, struct doc, link));
    json_w_end(&w);
    json_w_end(&w);
    runs_ask_done(a, 0, NULL);
}

void runs_documents(struct runs *s, struct runs_req *r)
{
    struct ask *a = runs_ask(s, r);
    if (a)
        runs_ask_go(a, documents_go);
}

static void on_text(struct plan_wait *w, struct flow_plan *p, const struct err *e)
{
    struct ask *a = container_of(w, struct ask, plan_wait);
    struct flow_about about;
    struct json_w out;
    if (!p) {
        runs_ask_done(a, e->code, e);
        return;
    }
    flow_plan_about(p, &about);
    json_w_init(&out, &a->json);
    json_w_obj(&out, NULL);
    json_w_str(&out, "document", about.bundle);
    json_w_end(&out);
    runs_ask_done(a, 0, NULL);
}

static void document_go(struct ask *a)
{
    struct bytes namespace = val_bytes(val_get_cstr(a->names, "namespace"));
    struct bytes name = val_bytes(val_get_cstr(a->names, "name"));
    struct bytes version = val_bytes(val_get_cstr(a->names, "version"));
    struct doc *d = runs_doc_find(a->s, namespace, name, version);
    struct err e = {0};
    if (!d) {
        runs_ask_done(a, missing(namespace, name, version, &e), &e);
        return;
    }
    a->plan_wait.done = on_text;
    runs_plan_load(a->s, d->hash, &a->plan_wait);
}

void runs_document(struct runs *s, struct bytes namespace, struct bytes name, struct bytes version,
                   struct runs_req *r)
{
    struct ask *a = runs_ask(s, r);
    if (!a)
        return;
    a->names = names_of(namespace, name, version);
    runs_ask_go(a, document_go);
}

// ---- at the start -------------------------------------------------------------------------------

static bool on_doc(void *user, struct bytes key, struct bytes value)
{
    struct val *v = NULL;
    (void)key;
    if (!val_parse(&v, value, NULL))
        (void)doc_set(user, v); // what is not one is left alone
    val_unref(v);
    return true;
}

static void on_docs(struct op *o, int status, const struct err *e)
{
    if (status)
        runs_start_failed(o->s, runs_docs_start, status, e);
    else
        runs_schedules_start(o->s);
}

void runs_docs_start(struct runs *s)
{
    struct op *o = runs_op(s, on_docs, s);
    struct journal_keys a = {.prefix = BYTES("doc/"), .on_put = on_doc, .user = s};
    struct err e = {0};
    int rc = o ? journal_keys(s->args.journal, &a, &o->req, &e)
               : err_set(&e, E_NOMEM, "the list of documents");
    if (!rc)
        return;
    runs_op_free(o);
    runs_start_failed(s, runs_docs_start, rc, &e);
}

// ---- what other nodes changed -------------------------------------------------------------------

static struct val *key_of(const struct doc *d)
{
    struct buf key;
    buf_init(&key, 2048);
    (void)put_key(&key, "doc/", d->namespace, d->name, d->version);
    struct val *v = val_str(buf_bytes(&key));
    buf_fini(&key);
    return v;
}

void runs_docs_merge(struct runs *s, const struct val *keys)
{
    struct bytes key;
    struct val *v;
    for (size_t at = 0; val_each(keys, &at, &key, &v);) {
        if (!bytes_starts(key, BYTES("doc/")))
            continue;
        struct bytes namespace = val_bytes(val_get_cstr(v, "namespace"));
        struct bytes name = val_bytes(val_get_cstr(v, "name"));
        struct doc *d = runs_doc_find(s, namespace, name, val_bytes(val_get_cstr(v, "version")));
        if (!(d && val_equal(d->value, v)) && doc_set(s, v))
            runs_schedule_set(s, namespace, name);
    }
    list_each_safe (it, &s->doc_list) {
        struct doc *d = container_of(it, struct doc, link);
        AUTO(val) own = key_of(d);
        if (!own || val_get(keys, val_bytes(own)))
            continue;
        AUTO(val) value = val_ref(d->value); // holds its names
        (void)value;
        struct bytes namespace = d->namespace, name = d->name;
        doc_free(s, d);
        runs_schedule_set(s, namespace, name);
    }
}

void runs_docs_free(struct runs *s)
{
    list_each_safe (it, &s->doc_list)
        doc_free(s, container_of(it, struct doc, link));
    map_free(s->docs);
}
