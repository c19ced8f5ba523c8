// ctl_keys.c: API keys: shown without their text, made once, removed; a change that cannot be saved
// is taken back.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "base/arena.h"
#include "ctl/ctl_priv.h"
#include "text/units.h"
#include <stdio.h>
#include <string.h>

#define NAME_MAX_BYTES 64
#define MODELS_MAX 256

static void put_time(struct json_w *w, const char *key, int64_t wall_ms, bool set)
{
    char when[TIME_TEXT_LEN + 1];
    if (!set) {
        json_w_null(w, key);
        return;
    }
    time_text(wall_ms, when);
    json_w_cstr(w, key, when);
}

static void put_label(struct json_w *w, const char *key, const struct label_names *names,
                      struct label l)
{
    struct buf text;
    buf_init(&text, LABEL_TEXT_MAX);
    label_put(&text, names, l);
    json_w_str(w, key, buf_bytes(&text));
    buf_fini(&text);
}

// Members of a key's row; the object is open.
static void put_key(struct json_w *w, const struct label_names *names, const struct key_view *v)
{
    struct buf scopes;
    buf_init(&scopes, 64);
    scope_put(&scopes, v->scopes);
    struct bytes rest = buf_bytes(&scopes);
    json_w_cstr(w, "id", v->id);
    json_w_cstr(w, "name", v->name);
    json_w_arr(w, "scopes");
    while (rest.n)
        json_w_str(w, NULL, bytes_trim(bytes_cut(&rest, ',')));
    json_w_end(w);
    if (v->models) {
        json_w_arr(w, "models");
        for (size_t i = 0; v->models[i]; i++)
            json_w_cstr(w, NULL, v->models[i]);
        json_w_end(w);
    } else {
        json_w_null(w, "models");
    }
    put_time(w, "created", v->created_ms, true);
    put_time(w, "expires", v->expires_ms, v->expires_ms != TIME_NEVER);
    put_time(w, "used", v->used_ms, v->used_ms != 0);
    json_w_u64(w, "requests", v->requests);
    json_w_u64(w, "tokens", v->tokens);
    json_w_num(w, "cost", (double)v->cost_nano * 1e-9);
    json_w_u64(w, "requests_per_minute", v->requests_per_minute);
    json_w_u64(w, "tokens_per_minute", v->tokens_per_minute);
    put_label(w, "clearance", names, v->clearance);
    if (v->has_label)
        put_label(w, "label", names, v->label);
    else
        json_w_null(w, "label");
    buf_fini(&scopes);
}

void ctl_op_keys(struct ctl_call *call)
{
    struct buf out;
    struct json_w w;
    struct key_view v;
    size_t at = 0;
    buf_init(&out, CTL_JSON_MAX);
    json_w_init(&w, &out);
    json_w_obj(&w, NULL);
    json_w_cstr(&w, "currency", call->c->ops->config(call->c->args.user)->currency);
    json_w_arr(&w, "keys");
    while (keys_each(call->c->args.keys, &at, &v)) {
        json_w_obj(&w, NULL);
        put_key(&w, keys_names_of(call->c->args.keys), &v);
        json_w_end(&w);
    }
    json_w_end(&w);
    json_w_end(&w);
    ctl_reply(call->x, 200, &out);
}

// ---- making one ---------------------------------------------------------------------------------

static int known_members(const struct json *body, struct err *e)
{
    static const char *const known[] = {
        "name",      "scopes", "models", "expires", "requests_per_minute", "tokens_per_minute",
        "clearance", "label"};
    const size_t count = sizeof known / sizeof *known;
    struct json_iter it = {0};
    struct bytes key;
    const struct json *value;
    while (json_each(body, &it, &key, &value)) {
        size_t i = 0;
        while (i < count && !bytes_is(key, known[i]))
            i++;
        if (i < count)
            continue;
        int near = units_nearest(key, known, count);
        return err_set(e, E_INVALID,
                       near < 0 ? "unknown member \"%.*s\""
                                : "unknown member \"%.*s\"; nearest: \"%s\"",
                       BYTES_FMT(bytes_first(key, 100)), near < 0 ? "" : known[near]);
    }
    return 0;
}

static int read_scopes(const struct json *v, unsigned *ret, struct err *e)
{
    struct buf text;
    int rc = 0;
    *ret = SCOPE_MODELS;
    if (!v)
        return 0;
    buf_init(&text, 256);
    if (json_is(v, JSON_STR))
        (void)buf_put(&text, json_str(v));
    for (size_t i = 0; json_is(v, JSON_ARR) && i < json_len(v); i++)
        (void)buf_fmt(&text, "%s%s", i ? "," : "", json_cstr(json_at(v, i), "?"));
    if (text.failed || !text.n)
        rc = err_set(e, E_INVALID, "scopes is a list of \"models\", \"read\", \"admin\"");
    else
        rc = scope_parse(buf_bytes(&text), ret, e);
    buf_fini(&text);
    return rc;
}

static int read_models(const struct json *v, struct arena *a, const char *const **ret,
                       struct err *e)
{
    *ret = NULL;
    if (!v || json_is(v, JSON_NULL) || (json_is(v, JSON_ARR) && !json_len(v)))
        return 0;
    size_t n = json_len(v);
    if (!json_is(v, JSON_ARR) || n > MODELS_MAX)
        return err_set(e, E_INVALID, "models is a list of at most %d names", MODELS_MAX);
    const char **list = arena_zalloc(a, (n + 1) * sizeof *list);
    if (!list)
        return err_set(e, E_NOMEM, "out of memory");
    for (size_t i = 0; i < n; i++) {
        list[i] = json_cstr(json_at(v, i), NULL);
        if (!list[i] || !*list[i])
            return err_set(e, E_INVALID, "models is a list of names");
    }
    *ret = list;
    return 0;
}

static int read_expires(const struct json *v, int64_t *ret_ms, struct err *e)
{
    int64_t span;
    *ret_ms = TIME_NEVER;
    if (!v || json_is(v, JSON_NULL) || (json_is(v, JSON_STR) && !json_str(v).n))
        return 0;
    if (!json_is(v, JSON_STR))
        return err_set(e, E_INVALID, "expires is a span like \"30d\", or \"never\"");
    int rc = units_duration(json_str(v), &span, e);
    if (rc)
        return err_wrap(e, "expires");
    if (span != TIME_NEVER && span <= 0)
        return err_set(e, E_INVALID, "expires lies in the past");
    int64_t now = time_wall_ms();
    *ret_ms = span > TIME_NEVER - now - 1 ? TIME_NEVER : now + span;
    return 0;
}

static int read_limit(const struct json *body, const char *key, uint64_t max, uint64_t *ret,
                      struct err *e)
{
    const struct json *v = json_get(body, key);
    int64_t n = json_i64(v, v && !json_is(v, JSON_NULL) ? -1 : 0);
    if (n < 0 || (uint64_t)n > max)
        return err_set(e, E_INVALID, "%s is a whole number from 0 (no limit)", key);
    *ret = (uint64_t)n;
    return 0;
}

static int read_label(const struct json *body, const char *key, struct bytes *ret, struct err *e)
{
    const struct json *v = json_get(body, key);
    if (v && !json_is(v, JSON_NULL) && !json_is(v, JSON_STR))
        return err_set(e, E_INVALID, "%s is a label such as \"confidential:eng\"", key);
    *ret = json_str(v);
    return 0;
}

static int read_args(const struct json *body, struct arena *a, struct key_args *ret, struct err *e)
{
    struct bytes name = json_str(json_get(body, "name"));
    uint64_t requests = 0;
    if (!json_is(body, JSON_OBJ))
        return err_set(e, E_INVALID, "the body is a JSON object with a name");
    int rc = known_members(body, e);
    if (rc)
        return rc;
    if (!name.n || name.n > NAME_MAX_BYTES || memchr(name.p, 0, name.n))
        return err_set(e, E_INVALID, "name is needed, at most %d bytes", NAME_MAX_BYTES);
    ret->name = json_cstr(json_get(body, "name"), "");
    rc = read_scopes(json_get(body, "scopes"), &ret->scopes, e);
    if (!rc)
        rc = read_models(json_get(body, "models"), a, &ret->models, e);
    if (!rc)
        rc = read_expires(json_get(body, "expires"), &ret->expires_ms, e);
    if (!rc)
        rc = read_limit(body, "requests_per_minute", UINT32_MAX, &requests, e);
    if (!rc)
        rc = read_limit(body, "tokens_per_minute", INT64_MAX, &ret->tokens_per_minute, e);
    if (!rc)
        rc = read_label(body, "clearance", &ret->clearance, e);
    if (!rc)
        rc = read_label(body, "label", &ret->label, e);
    ret->requests_per_minute = (uint32_t)requests;
    return rc;
}

static void reply_made(struct ctl *c, struct http_exchange *x, const char *key, const char *id)
{
    struct buf out;
    struct json_w w;
    struct key_view v;
    size_t at = 0;
    buf_init(&out, CTL_JSON_MAX);
    json_w_init(&w, &out);
    json_w_obj(&w, NULL);
    json_w_cstr(&w, "key", key);
    while (keys_each(c->args.keys, &at, &v))
        if (!strcmp(v.id, id))
            put_key(&w, keys_names_of(c->args.keys), &v);
    json_w_end(&w);
    ctl_reply(x, 201, &out);
}

static int make_key(struct ctl *c, const struct key_args *args, char key[KEY_TEXT_MAX],
                    const char **ret_id, struct err *e)
{
    int rc = keys_make(c->args.keys, args, time_wall_ms(), key, ret_id, e);
    if (rc)
        return rc;
    rc = c->ops->keys_changed(c->args.user, e);
    if (rc) {
        char id[64];
        (void)snprintf(id, sizeof id, "%s", *ret_id);
        (void)keys_remove(c->args.keys, bytes_of(id), NULL);
        return err_wrap(e, "the key was not made: it cannot be saved");
    }
    return 0;
}

void ctl_op_key_new(struct ctl_call *call)
{
    struct key_args args = {0};
    struct err e = {0};
    struct json_doc *doc = NULL;
    struct arena *a = arena_new(1 << 20);
    char key[KEY_TEXT_MAX] = "";
    const char *id = NULL;
    int rc = a ? json_parse(&doc, http_body(call->x), JSON_UNIQUE, &e) : E_NOMEM;
    if (!rc)
        rc = read_args(json_root(doc), a, &args, &e);
    if (!rc)
        rc = make_key(call->c, &args, key, &id, &e);
    if (rc && !e.code)
        (void)err_set(&e, rc, "%s", err_info(rc)->text);
    if (rc)
        ctl_reply_err(call->x, &e);
    else
        reply_made(call->c, call->x, key, id);
    mem_wipe(key, sizeof key);
    json_free(doc);
    arena_free(a);
}

// ---- removing one -------------------------------------------------------------------------------

void ctl_op_key_remove(struct ctl_call *call)
{
    struct ctl *c = call->c;
    struct buf before;
    struct err e = {0};
    buf_init(&before, CTL_JSON_MAX);
    int rc = keys_save(c->args.keys, &before);
    if (rc)
        (void)err_set(&e, rc, "the key table cannot be written");
    else
        rc = keys_remove(c->args.keys, call->name, &e);
    if (!rc) {
        rc = c->ops->keys_changed(c->args.user, &e);
        if (rc) {
            struct err again = {0};
            if (keys_load(c->args.keys, buf_bytes(&before), &again))
                (void)err_wrap(&e, "the key is gone until the next start (%s)", again.text);
            else
                (void)err_wrap(&e, "the key was not removed: the change cannot be saved");
        }
    }
    buf_fini(&before);
    if (rc)
        ctl_reply_err(call->x, &e);
    else
        http_reply(call->x, 200, CTL_JSON, CTL_NO_STORE, BYTES("{\"removed\":true}"));
}
