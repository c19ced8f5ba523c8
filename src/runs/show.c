// show.c: what people ask: lists, one run in detail, histories, what was kept too long.
// SPDX-License-Identifier: Apache-2.0
#include "runs/runs_priv.h"
#include <string.h>

#define LIST_MAX 1000
#define HISTORY_BYTES_MAX ((size_t)24 << 20)

static void put_time(struct json_w *w, const char *key, int64_t ms)
{
    char text[TIME_TEXT_LEN + 1];
    if (ms <= 0 || ms == TIME_NEVER) {
        json_w_null(w, key);
        return;
    }
    time_text(ms, text);
    json_w_cstr(w, key, text);
}

static void put_text(struct json_w *w, const char *key, struct bytes text)
{
    if (text.n)
        json_w_str(w, key, text);
    else
        json_w_null(w, key);
}

static void put_row(struct json_w *w, const struct journal_run *r)
{
    json_w_str(w, "id", r->id);
    json_w_str(w, "namespace", r->namespace);
    json_w_str(w, "name", r->name);
    json_w_str(w, "version", r->version);
    json_w_str(w, "status", r->status);
    json_w_bool(w, "open", r->open);
    put_time(w, "started", r->started_ms);
    put_time(w, "closed", r->closed_ms);
    put_time(w, "wake", r->wake_ms);
    put_text(w, "by", r->by);
    put_text(w, "label", r->label);
    put_text(w, "parent", r->parent);
    if (r->note.n)
        json_w_raw(w, "note", r->note);
    else
        json_w_null(w, "note");
    json_w_u64(w, "entries", r->last);
}

// ---- list ---------------------------------------------------------------------------------------

static bool on_row(void *user, const struct journal_run *row)
{
    struct ask *a = user;
    struct json_w w;
    if (a->rows == a->n) {
        a->more = true;
        return false;
    }
    (void)buf_str(&a->json, a->rows++ ? "," : "");
    json_w_init(&w, &a->json);
    json_w_obj(&w, NULL);
    put_row(&w, row);
    json_w_end(&w);
    return !a->json.failed;
}

static void on_listed(struct op *o, int status, const struct err *e)
{
    struct ask *a = o->user;
    (void)buf_str(&a->json, a->more ? "],\"more\":true}" : "],\"more\":false}");
    runs_ask_done(a, status, e);
}

void runs_list(struct runs *s, const struct runs_filter *f, struct runs_req *r)
{
    struct ask *a = runs_ask(s, r);
    struct err e = {0};
    if (!a)
        return;
    struct op *o = runs_op(s, on_listed, a);
    a->n = f->limit && f->limit < LIST_MAX ? f->limit : f->limit ? LIST_MAX : 100;
    struct journal_list x = {.status = f->status,
                             .namespace = f->namespace,
                             .name = f->name,
                             .after = f->after,
                             .limit = (size_t)a->n + 1,
                             .on_run = on_row,
                             .user = a};
    if (bytes_is(f->status, "open") || bytes_is(f->status, "closed")) {
        x.open_only = bytes_is(f->status, "open");
        x.closed_only = !x.open_only;
        x.status = BYTES_NONE;
    }
    (void)buf_str(&a->json, "{\"flows\":[");
    int rc = o ? journal_list(s->args.journal, &x, &o->req, &e)
               : err_set(&e, E_NOMEM, "a request needs memory");
    if (!rc)
        return;
    runs_op_free(o);
    runs_ask_done(a, rc, &e);
}

// ---- one run ------------------------------------------------------------------------------------

static struct bytes meta_text(const struct run *r, const char *key)
{
    return val_bytes(val_get_cstr(r->meta, key));
}

static void put_part(struct json_w *w, const char *key, struct buf *b)
{
    if (b->failed)
        w->out->failed = b->failed;
    else
        json_w_raw(w, key, buf_bytes(b));
    buf_clear(b);
}

static void show(struct ask *a, struct run *r)
{
    struct flow_about about;
    struct json_w w;
    struct buf b, note;
    flow_plan_about(r->plan, &about);
    buf_init(&b, RUNS_TEXT_MAX);
    buf_init(&note, RUNS_TEXT_MAX);
    if (r->note)
        (void)val_write(&note, r->note);
    struct journal_run row = {.id = r->spot->id,
                              .namespace = bytes_of(about.namespace),
                              .name = bytes_of(about.name),
                              .version = bytes_of(about.version),
                              .status = bytes_of(flow_status_name(flow_run_status(r->flow))),
                              .open = !r->ended,
                              .started_ms = r->started_ms,
                              .closed_ms = r->ended ? r->closed_ms : 0,
                              .wake_ms = r->wake_ms,
                              .by = meta_text(r, "by"),
                              .label = meta_text(r, "label"),
                              .parent =
                                  val_bytes(val_get_cstr(val_get_cstr(r->meta, "parent"), "run")),
                              .note = buf_bytes(&note),
                              .last = r->last};
    json_w_init(&w, &a->json);
    json_w_obj(&w, NULL);
    put_row(&w, &row);
    (void)flow_run_view(r->flow, a->full, &b);
    put_part(&w, "view", &b);
    (void)flow_plan_graph(r->plan, &b);
    put_part(&w, "graph", &b);
    json_w_str(&w, "document", about.text);
    json_w_end(&w);
    buf_fini(&b);
    buf_fini(&note);
    runs_ask_done(a, 0, NULL);
}

static void look(struct ask *a, struct bytes id, void (*fn)(struct ask *a, struct run *r))
{
    struct err e = {0};
    struct run *r = runs_get(a->s, id, &e);
    if (!r) {
        runs_ask_done(a, e.code, &e);
    } else if (r->state == RUN_LIVE) {
        fn(a, r);
    } else {
        a->look = fn;
        list_add_tail(&r->looks, &a->wait);
    }
}

void runs_show(struct runs *s, struct bytes id, bool full, struct runs_req *r)
{
    struct ask *a = runs_ask(s, r);
    if (!a)
        return;
    a->full = full;
    look(a, id, show);
}

// ---- histories ----------------------------------------------------------------------------------

static bool on_entry(void *user, uint64_t number, struct bytes entry)
{
    struct ask *a = user;
    if (a->json.n > HISTORY_BYTES_MAX && !a->full) {
        a->more = true;
        return false;
    }
    (void)buf_str(&a->json, a->rows++ ? "," : "");
    if (a->full) {
        (void)buf_put(&a->json, entry);
    } else { // {"n":17, and what it has
        (void)buf_str(&a->json, "{\"n\":");
        (void)buf_u64(&a->json, number);
        (void)buf_chr(&a->json, ',');
        (void)buf_put(&a->json, bytes_from(entry, 1));
    }
    return !a->json.failed;
}

static void on_history(struct op *o, int status, const struct err *e)
{
    struct ask *a = o->user;
    (void)buf_str(&a->json, a->more ? "],\"more\":true}" : "]}");
    runs_ask_done(a, status, e);
}

static void read_history(struct ask *a, struct bytes id, uint64_t from)
{
    struct runs *s = a->s;
    struct err e = {0};
    struct op *o = runs_op(s, on_history, a);
    struct journal_read x = {.run = id, .from = from ? from : 1, .on_entry = on_entry, .user = a};
    int rc = o ? journal_read(s->args.journal, &x, &o->req, &e)
               : err_set(&e, E_NOMEM, "a request needs memory");
    if (!rc)
        return;
    runs_op_free(o);
    runs_ask_done(a, rc, &e);
}

void runs_history(struct runs *s, struct bytes id, uint64_t from, struct runs_req *r)
{
    struct ask *a = runs_ask(s, r);
    if (!a)
        return;
    (void)buf_str(&a->json, "{\"entries\":[");
    read_history(a, id, from);
}

static void export_from(struct ask *a, struct run *r)
{
    struct flow_about about;
    flow_plan_about(r->plan, &about);
    (void)buf_str(&a->json, "{\"bundle\":");
    (void)buf_json_str(&a->json, about.bundle);
    (void)buf_str(&a->json, ",\"run\":");
    (void)buf_json_str(&a->json, r->spot->id);
    (void)buf_str(&a->json, ",\"entries\":[");
    a->full = true;
    read_history(a, r->spot->id, 1);
}

void runs_export(struct runs *s, struct bytes id, struct runs_req *r)
{
    struct ask *a = runs_ask(s, r);
    if (a)
        look(a, id, export_from);
}

// ---- what was kept long enough ------------------------------------------------------------------

static void on_pruned(struct op *o, int status, const struct err *e)
{
    struct ask *a = o->user;
    struct json_w w;
    json_w_init(&w, &a->json);
    json_w_obj(&w, NULL);
    json_w_u64(&w, "removed", a->n);
    json_w_end(&w);
    runs_ask_done(a, status, e);
}

void runs_prune(struct runs *s, int64_t closed_before_ms, bool dry, struct runs_req *r)
{
    struct ask *a = runs_ask(s, r);
    struct err e = {0};
    if (!a)
        return;
    struct op *o = runs_op(s, on_pruned, a);
    int rc = o ? journal_prune(s->args.journal, closed_before_ms, 0, dry, &a->n, &o->req, &e)
               : err_set(&e, E_NOMEM, "a request needs memory");
    if (!rc)
        return;
    runs_op_free(o);
    runs_ask_done(a, rc, &e);
}
