// sheet.c: a node's sheet as JSON text, in and out. What is read comes from a peer: every list and
// string has its limit.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "mesh/mesh_priv.h"
#include <string.h>

#define CONTEXT_MAX 191
#define VERSION_MAX 64
#define WORD_MAX 64
#define ADDRESS_MAX 255
#define TTL_MS_MAX ((int64_t)24 * 3600 * 1000)

struct reader {
    struct arena *a;
    struct label_names *names;
    struct err *e;
    int rc; // first error
};

bool mesh_node_name_ok(struct bytes name)
{
    if (name.n == 0 || name.n > MESH_NAME_MAX || bytes_is(name, ".") || bytes_is(name, ".."))
        return false;
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '-' || c == '.' || c == '_';
        if (!ok)
            return false;
    }
    return true;
}

static void wrong(struct reader *r, const char *key, const char *what)
{
    if (r->rc == 0)
        r->rc = err_set(r->e, E_INVALID, "sheet: %s: %s", key, what);
}

static void *take(struct reader *r, size_t n)
{
    void *p = r->rc == 0 ? arena_zalloc(r->a, n) : NULL;
    if (p == NULL && r->rc == 0)
        r->rc = err_set(r->e, E_TOOBIG, "sheet: no room for its %zu bytes", n);
    return p;
}

// Visible text: no control characters, so that it can stand in logs and tables.
static const char *text(struct reader *r, const struct json *v, const char *key, size_t max)
{
    struct bytes s = json_str(v);
    if (s.n == 0 || s.n > max) {
        wrong(r, key, s.n == 0 ? "expected text" : "is too long");
        return "";
    }
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
            wrong(r, key, "a control character does not belong there");
    char *copy = r->rc == 0 ? arena_str(r->a, s) : NULL;
    if (copy == NULL && r->rc == 0)
        r->rc = err_set(r->e, E_TOOBIG, "sheet: no room for %s", key);
    return copy != NULL ? copy : "";
}

static const char *word(struct reader *r, const struct json *v, const char *key,
                        const char *const *allowed)
{
    for (size_t i = 0; allowed[i] != NULL; i++)
        if (bytes_is(json_str(v), allowed[i]))
            return allowed[i];
    wrong(r, key, "is not one of its words");
    return allowed[0];
}

static uint64_t number(struct reader *r, const struct json *v, const char *key, uint64_t max)
{
    if (v == NULL)
        return 0;
    int64_t n = json_i64(v, -1);
    if (n < 0 || (uint64_t)n > max) {
        wrong(r, key, "expected a whole number in its range");
        return 0;
    }
    return (uint64_t)n;
}

static int64_t time_or_unknown(struct reader *r, const struct json *v, const char *key)
{
    if (v == NULL || json_i64(v, 0) == -1)
        return -1;
    return (int64_t)number(r, v, key, INT64_MAX / 1000000);
}

// NULL-terminated, NULL when absent or empty.
static const char *const *texts(struct reader *r, const struct json *v, const char *key,
                                size_t count_max, size_t max)
{
    size_t n = json_len(v), i = 0;
    if (v == NULL || (json_is(v, JSON_ARR) && n == 0))
        return NULL;
    if (!json_is(v, JSON_ARR) || n > count_max) {
        wrong(r, key, json_is(v, JSON_ARR) ? "has too many entries" : "expected an array");
        return NULL;
    }
    const char **list = take(r, (n + 1) * sizeof *list);
    struct json_iter it = {0};
    struct bytes k;
    for (const struct json *x; list != NULL && json_each(v, &it, &k, &x);)
        list[i++] = text(r, x, key, max);
    return list;
}

static struct label label(struct reader *r, const struct json *v, const char *key)
{
    struct label l = {0};
    struct bytes s = json_str(v);
    if (s.n == 0 || s.n > LABEL_TEXT_MAX)
        wrong(r, key, "expected a label");
    else if (r->rc == 0 && (r->rc = label_parse(r->names, s, &l, r->e)) < 0)
        (void)err_wrap(r->e, "sheet: %s", key);
    return l;
}

static void model(struct reader *r, const struct json *v, struct mesh_model *x)
{
    static const char *const states[] = {"UNLOADED", "LOADING", "WARM", "DRAINING", "FAILED", NULL};
    static const char *const tiers[] = {"node", "edge", "cloud", NULL};
    const struct json *tier = json_get(v, "tier"), *replicas = json_get(v, "replicas");
    const struct json *kind = json_get(v, "kind");
    x->name = text(r, json_get(v, "name"), "model's name", MESH_MODEL_NAME_MAX);
    x->kind = json_is(kind, JSON_STR) && json_str(kind).n == 0
                  ? "" // its node does not know
                  : text(r, kind, "model's kind", WORD_MAX);
    x->aliases = texts(r, json_get(v, "aliases"), "aliases", MESH_ALIASES_MAX, MESH_MODEL_NAME_MAX);
    x->state = word(r, json_get(v, "state"), "model's state", states);
    x->tier = tier != NULL ? word(r, tier, "tier", tiers) : tiers[0];
    x->context = number(r, json_get(v, "context"), "context of a model", INT64_MAX);
    x->slots = (uint32_t)number(r, json_get(v, "slots"), "slots", UINT16_MAX);
    x->active = (uint32_t)number(r, json_get(v, "active"), "active", UINT32_MAX);
    x->waiting = (uint32_t)number(r, json_get(v, "waiting"), "waiting", UINT32_MAX);
    x->load_ms = time_or_unknown(r, json_get(v, "load_ms"), "load_ms");
    x->eta_ms = time_or_unknown(r, json_get(v, "eta_ms"), "eta_ms");
    x->fits = json_bool(json_get(v, "fits"), true);
    x->replicas_min =
        (uint32_t)number(r, json_get(replicas, "min"), "replicas.min", MESH_NODES_MAX);
    x->replicas_max =
        (uint32_t)number(r, json_get(replicas, "max"), "replicas.max", MESH_NODES_MAX);
    const struct json *price = json_get(v, "price");
    x->price_in = number(r, json_get(price, "in"), "price.in", MESH_PRICE_MAX);
    x->price_out = number(r, json_get(price, "out"), "price.out", MESH_PRICE_MAX);
    x->clearance = label(r, json_get(v, "clearance"), "clearance of a model");
    x->label = label(r, json_get(v, "label"), "label of a model");
}

static void models(struct reader *r, const struct json *list, struct mesh_sheet *s)
{
    size_t n = json_len(list), i = 0;
    if (list == NULL || r->rc != 0)
        return;
    if (!json_is(list, JSON_ARR) || n > MESH_MODELS_MAX) {
        wrong(r, "models", "expected an array of up to 256");
        return;
    }
    struct mesh_model *all = n > 0 ? take(r, n * sizeof *all) : NULL;
    struct json_iter it = {0};
    struct bytes k;
    for (const struct json *v; all != NULL && r->rc == 0 && json_each(list, &it, &k, &v);)
        model(r, v, &all[i++]);
    s->models = all;
    s->model_count = n;
}

static void records(struct reader *r, const struct json *list, struct mesh_sheet *s)
{
    static const char *const kinds[] = {"engine", "service", "queue", NULL};
    size_t n = json_len(list), i = 0;
    if (list == NULL || r->rc != 0)
        return;
    if (!json_is(list, JSON_ARR) || n > MESH_RECORDS_MAX) {
        wrong(r, "records", "expected an array of up to 256");
        return;
    }
    struct mesh_record *all = n > 0 ? take(r, n * sizeof *all) : NULL;
    struct json_iter it = {0};
    struct bytes k;
    for (const struct json *v; all != NULL && r->rc == 0 && json_each(list, &it, &k, &v); i++) {
        const struct json *address = json_get(v, "address");
        all[i].kind = word(r, json_get(v, "kind"), "kind of a record", kinds);
        all[i].name = text(r, json_get(v, "name"), "name of a record", MESH_MODEL_NAME_MAX);
        if (address != NULL && json_kind(address) != JSON_NULL)
            all[i].address = text(r, address, "address of a record", ADDRESS_MAX);
    }
    s->records = all;
    s->record_count = n;
}

static void head(struct reader *r, const struct json *v, struct mesh_sheet *s)
{
    static const char *const profiles[] = {"server", "edge", NULL};
    if (!mesh_node_name_ok(json_str(json_get(v, "node"))))
        wrong(r, "node", "expected 1 to 63 letters, digits, '-', '_' or '.'");
    s->node = text(r, json_get(v, "node"), "node", MESH_NAME_MAX);
    s->context = text(r, json_get(v, "context"), "context", CONTEXT_MAX);
    s->version = text(r, json_get(v, "version"), "version", VERSION_MAX);
    s->profile = word(r, json_get(v, "profile"), "profile", profiles);
    s->boot = number(r, json_get(v, "boot"), "boot", INT64_MAX);
    s->seq = number(r, json_get(v, "seq"), "seq", INT64_MAX);
    s->ttl_ms = (int64_t)number(r, json_get(v, "ttl_ms"), "ttl_ms", TTL_MS_MAX);
    if (s->boot == 0 || s->seq == 0 || s->ttl_ms == 0)
        wrong(r, "boot, seq and ttl_ms", "must be more than 0");
    s->draining = json_bool(json_get(v, "draining"), false);
    s->leaving = json_bool(json_get(v, "leaving"), false);
    s->addresses = texts(r, json_get(v, "addresses"), "addresses", MESH_ADDRESSES_MAX, ADDRESS_MAX);
    s->roles = texts(r, json_get(v, "roles"), "roles", MESH_ROLES_MAX, WORD_MAX);
}

int mesh_sheet_parse(struct mesh_sheet *ret, struct arena *a, struct label_names *names,
                     struct bytes payload, struct err *e)
{
    AUTO(json_doc) doc = NULL;
    struct mesh_sheet s = {0};
    struct reader r = {.a = a, .names = names, .e = e};
    if (payload.n > MESH_SHEET_BYTES_MAX)
        return err_set(e, E_TOOBIG, "sheet: %zu bytes, the limit is %d", payload.n,
                       MESH_SHEET_BYTES_MAX);
    int rc = json_parse(&doc, payload, JSON_UNIQUE, e);
    if (rc < 0) {
        (void)err_wrap(e, "sheet");
        return rc;
    }
    if (!json_is(json_root(doc), JSON_OBJ))
        return err_set(e, E_PARSE, "sheet: expected an object");
    head(&r, json_root(doc), &s);
    models(&r, json_get(json_root(doc), "models"), &s);
    records(&r, json_get(json_root(doc), "records"), &s);
    if (r.rc == 0)
        *ret = s;
    return r.rc;
}

// ---- out ----

static void put_label(struct json_w *w, const char *key, const struct label_names *names,
                      struct label l)
{
    struct buf b;
    buf_init(&b, LABEL_TEXT_MAX);
    label_put(&b, names, l);
    json_w_str(w, key, buf_bytes(&b));
    buf_fini(&b);
}

static void put_texts(struct json_w *w, const char *key, const char *const *list)
{
    if (list == NULL)
        return;
    json_w_arr(w, key);
    for (size_t i = 0; list[i] != NULL; i++)
        json_w_cstr(w, NULL, list[i]);
    json_w_end(w);
}

static void put_model(struct json_w *w, const struct label_names *names, const struct mesh_model *x,
                      bool loads)
{
    json_w_obj(w, NULL);
    json_w_cstr(w, "name", x->name);
    json_w_cstr(w, "kind", x->kind);
    put_texts(w, "aliases", x->aliases);
    json_w_cstr(w, "state", x->state);
    json_w_cstr(w, "tier", x->tier != NULL ? x->tier : "node");
    json_w_u64(w, "context", x->context);
    json_w_u64(w, "slots", x->slots);
    if (loads) {
        json_w_u64(w, "active", x->active);
        json_w_u64(w, "waiting", x->waiting);
        json_w_i64(w, "eta_ms", x->eta_ms);
    }
    json_w_i64(w, "load_ms", x->load_ms);
    json_w_bool(w, "fits", x->fits);
    json_w_obj(w, "replicas");
    json_w_u64(w, "min", x->replicas_min);
    json_w_u64(w, "max", x->replicas_max);
    json_w_end(w);
    if (x->price_in || x->price_out) {
        json_w_obj(w, "price");
        json_w_u64(w, "in", x->price_in);
        json_w_u64(w, "out", x->price_out);
        json_w_end(w);
    }
    put_label(w, "clearance", names, x->clearance);
    put_label(w, "label", names, x->label);
    json_w_end(w);
}

void mesh_sheet_write(struct buf *out, const struct label_names *names, const struct mesh_sheet *s,
                      bool loads)
{
    struct json_w w;
    json_w_init(&w, out);
    json_w_obj(&w, NULL);
    json_w_cstr(&w, "node", s->node);
    json_w_cstr(&w, "context", s->context);
    json_w_cstr(&w, "version", s->version);
    json_w_cstr(&w, "profile", s->profile);
    json_w_u64(&w, "boot", s->boot);
    json_w_u64(&w, "seq", s->seq);
    json_w_i64(&w, "ttl_ms", s->ttl_ms);
    json_w_bool(&w, "draining", s->draining);
    json_w_bool(&w, "leaving", s->leaving);
    put_texts(&w, "addresses", s->addresses);
    put_texts(&w, "roles", s->roles);
    json_w_arr(&w, "models");
    for (size_t i = 0; i < s->model_count; i++)
        put_model(&w, names, &s->models[i], loads);
    json_w_end(&w);
    json_w_arr(&w, "records");
    for (size_t i = 0; i < s->record_count; i++) {
        json_w_obj(&w, NULL);
        json_w_cstr(&w, "kind", s->records[i].kind);
        json_w_cstr(&w, "name", s->records[i].name);
        json_w_cstr(&w, "address", s->records[i].address);
        json_w_end(&w);
    }
    json_w_end(&w);
    json_w_end(&w);
}

void mesh_sheet_put(struct buf *out, const struct label_names *names, const struct mesh_sheet *s)
{
    mesh_sheet_write(out, names, s, true);
}
