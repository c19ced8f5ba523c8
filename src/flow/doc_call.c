// doc_call.c: arguments of activities: endpoints in one form, authentications put in place (what
// reads a secret stays an expression, for whoever does the work).
// SPDX-License-Identifier: Apache-2.0
#include "flow/doc_priv.h"
#include <stdio.h>
#include <string.h>

enum how {
    ENDPOINT, // becomes {"uri", "authentication"}
    AUTHENTICATION,
    VERBATIM, // never an expression of the flow
    LATE,     // an expression for whoever does the work: it goes there as those with secrets do
    GONE,     // not an argument
};
static const struct {
    const char *function, *path;
    enum how how;
} places[] = {
    {"http", "/endpoint", ENDPOINT},
    {"openapi", "/document/endpoint", ENDPOINT},
    {"openapi", "/authentication", AUTHENTICATION},
    {"asyncapi", "/document/endpoint", ENDPOINT},
    {"asyncapi", "/authentication", AUTHENTICATION},
    {"asyncapi", "/subscription/filter", LATE}, // for each message, where it arrives
    {"asyncapi", "/subscription/consume/while", LATE},
    {"asyncapi", "/subscription/consume/until", LATE},
    {"asyncapi", "/subscription/foreach", GONE}, // its tasks are the plan's
    {"grpc", "/proto/endpoint", ENDPOINT},
    {"grpc", "/service/authentication", AUTHENTICATION},
    {"a2a", "/agentCard/endpoint", ENDPOINT},
    {"a2a", "/server", ENDPOINT},
    {"mcp", "/transport/http/endpoint", ENDPOINT},
    {"script", "/code", VERBATIM},
    {"script", "/source/endpoint", ENDPOINT},
};
#define PLACES (sizeof places / sizeof places[0])

static bool put(struct flow_tmpl *obj, struct bytes key, struct flow_tmpl *item)
{
    if (!obj || !item)
        return false;
    obj->keys[obj->count] = key;
    obj->items[obj->count++] = item;
    obj->secret = obj->secret || item->secret;
    return true;
}

// OAuth2 and OpenID Connect: the authority's address may have {names} inside.
static struct flow_tmpl *tokens(struct doc_work *w, const struct doc_at *at, const struct val *v)
{
    struct flow_tmpl *t = doc_tmpl_obj(w, val_len(v));
    size_t i = 0;
    struct bytes key;
    struct val *item;
    while (t && val_each(v, &i, &key, &item)) {
        const struct doc_at *here = DOC_NAME(at, key);
        if (!put(t, key,
                 bytes_is(key, "authority") ? doc_uri(w, here, item) : doc_tmpl(w, here, item)))
            return NULL;
    }
    return t;
}

// One scheme's settings, or {use: SECRET}: the whole secret.
static struct flow_tmpl *scheme(struct doc_work *w, const struct doc_at *at, const struct val *v)
{
    const struct val *secret = val_get_cstr(v, "use");
    struct buf program;
    if (!secret && val_get_cstr(v, "authority"))
        return tokens(w, at, v);
    if (!secret)
        return doc_tmpl(w, at, v);
    buf_init(&program, 4096);
    (void)buf_str(&program, "$secrets[");
    (void)buf_json_str(&program, val_bytes(secret));
    (void)buf_chr(&program, ']');
    struct bytes text = arena_dup(w->arena, buf_bytes(&program));
    buf_fini(&program);
    return text.p ? doc_tmpl_program(w, DOC_KEY(at, "use"), text) : NULL;
}

struct flow_tmpl *doc_authentication(struct doc_work *w, const struct doc_at *at,
                                     const struct val *v)
{
    const struct val *use = val_get_cstr(v, "use");
    const struct doc_at *of = DOC_USED("authentications", val_bytes(use));
    size_t i = 0;
    struct bytes key;
    struct val *item;
    if (use) {
        v = doc_use(w, DOC_KEY(at, "use"), "authentications", "authentication", val_bytes(use));
        at = of;
    }
    struct flow_tmpl *t = v ? doc_tmpl_obj(w, val_len(v)) : NULL;
    while (t && val_each(v, &i, &key, &item))
        if (!put(t, key, scheme(w, DOC_NAME(at, key), item)))
            return NULL;
    return t;
}

static struct flow_tmpl *endpoint(struct doc_work *w, const struct doc_at *at, const struct val *v)
{
    const struct val *auth = val_get_cstr(v, "authentication");
    struct flow_tmpl *t = doc_tmpl_obj(w, 2);
    struct flow_tmpl *uri = val_is(v, JSON_OBJ)
                                ? doc_uri(w, DOC_KEY(at, "uri"), val_get_cstr(v, "uri"))
                                : doc_uri(w, at, v);
    if (!put(t, BYTES("uri"), uri))
        return NULL;
    if (auth && !put(t, BYTES("authentication"),
                     doc_authentication(w, DOC_KEY(at, "authentication"), auth)))
        return NULL;
    return t;
}

static struct flow_tmpl *late(struct doc_work *w, const struct doc_at *at, const struct val *v)
{
    struct flow_tmpl *t = doc_as(w, at, v);
    if (t && t->expr)
        t->secret = t->expr->secret = true;
    return t;
}

static struct flow_tmpl *walk(struct doc_work *w, const struct doc_at *at, const char *function,
                              const char *path, const struct val *v);

static struct flow_tmpl *place(struct doc_work *w, const struct doc_at *at, const char *function,
                               const char *path, const struct val *v, bool *ret_gone)
{
    bool deeper = false;
    for (size_t i = 0; i < PLACES; i++) {
        if (strcmp(places[i].function, function) != 0)
            continue;
        deeper = deeper || strncmp(places[i].path, path, strlen(path)) == 0;
        if (strcmp(places[i].path, path) != 0)
            continue;
        *ret_gone = places[i].how == GONE;
        switch (places[i].how) {
        case ENDPOINT: return endpoint(w, at, v);
        case AUTHENTICATION: return doc_authentication(w, at, v);
        case LATE: return late(w, at, v);
        case VERBATIM: return doc_tmpl_value(w, v);
        case GONE: return NULL;
        }
    }
    return deeper && val_is(v, JSON_OBJ) ? walk(w, at, function, path, v) : doc_tmpl(w, at, v);
}

static struct flow_tmpl *walk(struct doc_work *w, const struct doc_at *at, const char *function,
                              const char *path, const struct val *v)
{
    struct flow_tmpl *t = doc_tmpl_obj(w, val_len(v));
    size_t i = 0;
    struct bytes key;
    struct val *item;
    while (t && val_each(v, &i, &key, &item)) {
        char here[128];
        bool gone = false;
        (void)snprintf(here, sizeof here, "%s/%.*s", path, BYTES_FMT(bytes_first(key, 64)));
        struct flow_tmpl *one = place(w, DOC_NAME(at, key), function, here, item, &gone);
        if (!gone && !put(t, key, one))
            return NULL;
    }
    return t;
}

struct flow_tmpl *doc_with(struct doc_work *w, const struct doc_at *at, const char *function,
                           const struct val *with)
{
    if (!with)
        return NULL;
    bool late = w->late;
    w->late = true;
    struct flow_tmpl *t = walk(w, at, function, "", with);
    w->late = late;
    return t;
}
