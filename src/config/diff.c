// diff.c: what differs between two configurations, for a reload.
// SPDX-License-Identifier: Apache-2.0
#include "config/config_priv.h"
#include <string.h>

struct diff {
    const struct json *schema;
    struct arena *arena;
    struct config_change *ret;
    size_t count, max;
};

static void change(struct diff *d, const char *what, const char *name, const char *action)
{
    if (d->count < d->max)
        d->ret[d->count] = (struct config_change){what, name, action};
    d->count++;
}

static const struct json *entry(const struct config *c, const char *section, const char *name)
{
    return json_get(json_get(json_root(c->doc), section), name);
}

static const struct config_model *model_of(const struct config *c, const char *name)
{
    for (size_t i = 0; i < c->model_count; i++)
        if (strcmp(c->models[i].name, name) == 0)
            return &c->models[i];
    return NULL;
}

static void models(struct diff *d, const struct config *from, const struct config *to)
{
    for (size_t i = 0; i < from->model_count; i++)
        if (!model_of(to, from->models[i].name))
            change(d, "model", from->models[i].name, "remove");
    for (size_t i = 0; i < to->model_count; i++) {
        const char *name = to->models[i].name;
        const struct config_model *old = model_of(from, name);
        if (!old)
            change(d, "model", name, "add");
        else if (old->fingerprint != to->models[i].fingerprint ||
                 !json_equal(entry(from, "models", name), entry(to, "models", name)))
            change(d, "model", name, "change");
    }
}

static bool same_text(const char *a, const char *b)
{
    return (!a && !b) || (a && b && strcmp(a, b) == 0);
}

static const struct config_door *door_of(const struct config *c, const char *address)
{
    for (size_t i = 0; i < c->door_count; i++)
        if (strcmp(c->doors[i].address, address) == 0)
            return &c->doors[i];
    return NULL;
}

static void doors(struct diff *d, const struct config *from, const struct config *to)
{
    for (size_t i = 0; i < from->door_count; i++)
        if (!door_of(to, from->doors[i].address))
            change(d, "door", from->doors[i].address, "remove");
    for (size_t i = 0; i < to->door_count; i++) {
        const struct config_door *b = &to->doors[i], *a = door_of(from, b->address);
        if (!a)
            change(d, "door", b->address, "add");
        else if (a->keys_required != b->keys_required || a->mode != b->mode ||
                 !same_text(a->tls_cert, b->tls_cert) || !same_text(a->tls_key, b->tls_key) ||
                 !same_text(a->tls_client_ca, b->tls_client_ca))
            change(d, "door", b->address, "change");
    }
}

static void keys(struct diff *d, const char *section, const char *name, const struct json *schema,
                 struct bytes reload, const struct json *a, const struct json *b)
{
    struct config_node n = config_node(d->schema, schema);
    const struct json *props = config_note(n, "properties"), *own = config_note(n, "x-reload"), *p;
    struct json_iter it = {0};
    struct bytes key;
    if (own)
        reload = json_str(own);
    if (!props) {
        if (!json_equal(a, b) && (a || b))
            change(d, section, name, bytes_is(reload, "restart") ? "restart-needed" : "change");
        return;
    }
    while (json_each(props, &it, &key, &p)) {
        if (strcmp(section, "listen") == 0 && !bytes_is(key, "hosts") &&
            !bytes_is(key, "origins") && !bytes_is(key, "mesh"))
            continue; // seen as doors
        const char *full = arena_fmt(d->arena, "%s.%.*s", name, BYTES_FMT(key));
        keys(d, section, full ? full : section, p, reload, json_get_bytes(a, key),
             json_get_bytes(b, key));
    }
}

size_t config_diff(const struct config *from, const struct config *to, struct config_change *ret,
                   size_t max)
{
    struct json_doc *schema = NULL;
    struct diff d = {.arena = to->arena, .ret = ret, .max = max};
    struct json_iter it = {0};
    struct bytes section;
    const struct json *about;
    models(&d, from, to);
    doors(&d, from, to);
    if (json_parse(&schema, embed_config_schema(), 0, NULL) != 0)
        return d.count;
    d.schema = json_root(schema);
    while (json_each(json_get(d.schema, "properties"), &it, &section, &about)) {
        const char *name = arena_str(d.arena, section);
        if (!name || bytes_is(section, "models"))
            continue;
        const struct json *a = json_get_bytes(json_root(from->doc), section);
        const struct json *b = json_get_bytes(json_root(to->doc), section);
        if (bytes_is(section, "data")) { // "./data" and its full path are the same folder
            if (!same_text(from->data, to->data))
                change(&d, name, name, "restart-needed");
        } else {
            keys(&d, name, name, about, BYTES("live"), a, b);
        }
    }
    json_free(schema);
    return d.count;
}
