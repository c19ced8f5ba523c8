// contexts.c: one file for many machines: the parts of `contexts` that fit a node's context, laid
// over the rest from the least to the most specific. Objects join, lists and values replace, null
// in place of a model takes it away. SPDX-License-Identifier: Apache-2.0
#include "config/config_priv.h"
#include <stdlib.h>
#include <string.h>

#define PARTS_MAX 64

struct part {
    struct bytes name;
    const struct json *value;
    int tokens, plain; // how specific
    int place;         // in the file
};

struct layers { // of one value, the last wins
    const struct json *v[PARTS_MAX + 2]; // the parts, the root, and what was told from outside
    int count;
};

// "dev.*" fits "dev.aipc.node1": as many parts as it has, each the same or *.
static bool fits(struct bytes part, struct bytes context, struct part *ret)
{
    ret->tokens = ret->plain = 0;
    while (part.p) {
        struct bytes want = bytes_cut(&part, '.');
        if (!context.p)
            return false;
        struct bytes have = bytes_cut(&context, '.');
        bool any = bytes_is(want, "*");
        if (!any && !bytes_eq(want, have))
            return false;
        ret->tokens++;
        ret->plain += !any;
    }
    return true;
}

static int by_specific(const void *a, const void *b)
{
    const struct part *x = a, *y = b;
    if (x->tokens != y->tokens)
        return x->tokens - y->tokens;
    return x->plain != y->plain ? x->plain - y->plain : x->place - y->place;
}

static bool seen_before(const struct layers *l, int upto, struct bytes key)
{
    for (int i = 0; i < upto; i++)
        if (json_is(l->v[i], JSON_OBJ) && json_get_bytes(l->v[i], key))
            return true;
    return false;
}

static void put(struct config_work *w, struct json_w *out, const char *key, const struct layers *l);

static void put_member(struct config_work *w, struct json_w *out, const struct layers *l,
                       struct bytes key)
{
    struct layers below = {.count = 0};
    for (int i = 0; i < l->count; i++) {
        const struct json *v = json_get_bytes(l->v[i], key);
        if (v)
            below.v[below.count++] = v;
    }
    if (below.count == 0 || json_is(below.v[below.count - 1], JSON_NULL))
        return; // taken away
    const char *name = arena_str(w->arena, key);
    if (!name)
        w->failed = E_NOMEM;
    else
        put(w, out, name, &below);
}

static void put(struct config_work *w, struct json_w *out, const char *key, const struct layers *l)
{
    int first = l->count - 1;
    if (!json_is(l->v[first], JSON_OBJ)) {
        json_w_val(out, key, l->v[first]);
        return;
    }
    while (first > 0 && json_is(l->v[first - 1], JSON_OBJ))
        first--;
    struct layers objects = {.count = l->count - first};
    memcpy(objects.v, &l->v[first], (size_t)objects.count * sizeof(objects.v[0]));
    json_w_obj(out, key);
    for (int i = 0; i < objects.count; i++) {
        struct json_iter it = {0};
        struct bytes name;
        const struct json *v;
        while (json_each(objects.v[i], &it, &name, &v))
            if (!seen_before(&objects, i, name))
                put_member(w, out, &objects, name);
    }
    json_w_end(out);
}

// The file's own root without `contexts`, the parts, and the context that was told from outside.
static void put_all(struct config_work *w, struct json_w *out, const struct layers *l,
                    const char *told)
{
    struct json_iter it = {0};
    struct bytes name;
    const struct json *v;
    json_w_obj(out, NULL);
    for (int i = 0; i < l->count; i++, it = (struct json_iter){0})
        while (json_each(l->v[i], &it, &name, &v))
            if (!seen_before(l, i, name) && !bytes_is(name, "contexts") &&
                !(told && bytes_is(name, "node")))
                put_member(w, out, l, name);
    if (told) {
        struct layers node = {.count = 0};
        struct json_doc *own = NULL;
        struct buf text;
        buf_init(&text, 4096);
        (void)buf_str(&text, "{\"context\":");
        (void)buf_json_str(&text, bytes_of(told));
        (void)buf_chr(&text, '}');
        for (int i = 0; i < l->count; i++)
            if (json_is(json_get(l->v[i], "node"), JSON_OBJ))
                node.v[node.count++] = json_get(l->v[i], "node");
        if (json_parse(&own, buf_bytes(&text), 0, NULL) < 0)
            w->failed = E_NOMEM;
        else
            node.v[node.count++] = json_root(own);
        if (node.count)
            put(w, out, "node", &node);
        json_free(own);
        buf_fini(&text);
    }
    json_w_end(out);
}

int config_contexts(struct config_work *w, struct config *c, const struct json *root,
                    struct json_doc **ret, struct err *e)
{
    const char *told = getenv("PLEXUS_CONTEXT");
    const struct json *parts = json_get(root, "contexts"), *v;
    struct part all[PARTS_MAX];
    struct json_iter it = {0};
    struct layers l = {.v = {root}, .count = 1};
    struct bytes name;
    size_t count = 0;
    told = told && *told ? told : NULL;
    if (!json_len(parts) && !told)
        return 0;
    struct bytes context =
        told ? bytes_of(told) : json_str(json_get(json_get(root, "node"), "context"));
    if (json_len(parts) && !context.n)
        return err_set(e, E_CONFIG,
                       "%s: contexts says what holds where, but which context this machine has is "
                       "said nowhere: plexus up --context dev.CLASS.NODE, PLEXUS_CONTEXT, or "
                       "node.context",
                       w->name);
    while (json_each(parts, &it, &name, &v)) {
        struct part p = {.name = name, .value = v, .place = (int)count};
        if (!json_is(v, JSON_OBJ) || !fits(name, context, &p))
            continue;
        if (count == PARTS_MAX)
            return err_set(e, E_CONFIG, "%s: more than %d parts of contexts fit", w->name,
                           PARTS_MAX);
        all[count++] = p;
    }
    qsort(all, count, sizeof all[0], by_specific);
    c->parts = arena_zalloc(w->arena, (count + 1) * sizeof *c->parts);
    for (size_t i = 0; i < count && c->parts; i++) {
        l.v[l.count++] = all[i].value;
        c->parts[i] = arena_str(w->arena, all[i].name);
    }
    struct buf text;
    struct json_w out;
    buf_init(&text, CONFIG_FILE_MAX * 16);
    json_w_init(&out, &text);
    put_all(w, &out, &l, told);
    int rc = !c->parts || w->failed || text.failed
                 ? err_set(e, E_NOMEM, "%s: out of memory", w->name)
                 : json_parse(ret, buf_bytes(&text), 0, e);
    buf_fini(&text);
    return rc;
}
