// defaults.c: the document with the schema's defaults filled in, keys in the schema's order.
// SPDX-License-Identifier: Apache-2.0
#include "config/config_priv.h"
#include <string.h>
#include <unistd.h>

#define NAME_MAX_ 63

// The machine's name as a node's name: its first label, other characters as '-'.
static void host_name(char name[NAME_MAX_ + 1])
{
    char host[256];
    size_t n = 0;
    if (gethostname(host, sizeof host - 1) != 0)
        host[0] = 0;
    host[sizeof host - 1] = 0;
    for (const char *p = host; *p && *p != '.' && n < NAME_MAX_; p++) {
        bool plain =
            (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9');
        if (plain || n > 0)
            name[n++] = plain ? *p : '-';
    }
    while (n > 0 && name[n - 1] == '-')
        n--;
    name[n] = 0;
    if (n == 0)
        strcpy(name, "node");
}

static void put_made(struct json_w *w, const char *key, struct bytes rule, const struct json *about)
{
    char name[NAME_MAX_ + 1], context[NAME_MAX_ + sizeof "dev..node1"];
    host_name(name);
    if (bytes_is(rule, "host")) {
        json_w_cstr(w, key, name);
        return;
    }
    struct bytes own = json_str(json_get(about, "name"));
    struct bytes use = own.n && own.n <= NAME_MAX_ ? own : bytes_of(name);
    memcpy(context, "dev.", 4);
    memcpy(context + 4, use.p, use.n);
    strcpy(context + 4 + use.n, ".node1");
    json_w_cstr(w, key, context);
}

static bool has_defaults(const struct json *root, const struct json *schema)
{
    struct config_node n = config_node(root, schema);
    struct json_iter it = {0};
    struct bytes key;
    const struct json *prop;
    if (config_note(n, "default") || config_note(n, "x-default"))
        return true;
    while (json_each(config_note(n, "properties"), &it, &key, &prop))
        if (has_defaults(root, prop))
            return true;
    return false;
}

static void fill(const struct json *root, struct json_w *w, const char *key,
                 const struct json *schema, const struct json *v);

// The engine of a model, so that only its keys get defaults.
static struct bytes engine_of(const struct json *props, const struct json *v)
{
    struct bytes said = json_str(json_get(v, "engine"));
    return said.n ? said : json_str(json_get(json_get(props, "engine"), "default"));
}

static void fill_object(const struct json *root, struct json_w *w, const char *key,
                        struct config_node n, const struct json *v)
{
    const struct json *props = config_note(n, "properties"), *schema, *value;
    const struct json *rest = config_note(n, "additionalProperties");
    struct json_iter it = {0};
    struct bytes name;
    struct bytes engine = engine_of(props, v);
    json_w_obj(w, key);
    while (json_each(props, &it, &name, &schema)) {
        struct config_node p = config_node(root, schema);
        const struct json *made = config_note(p, "x-default");
        value = json_get_bytes(v, name);
        if (!value && !config_for_engine(config_note(p, "x-engines"), engine))
            continue; // no default where the key means nothing
        if (value && !json_is(value, JSON_NULL))
            fill(root, w, name.p, schema, value);
        else if (made)
            put_made(w, name.p, json_str(made), v);
        else if (config_note(p, "default"))
            json_w_val(w, name.p, config_note(p, "default"));
        else if (has_defaults(root, schema))
            fill(root, w, name.p, schema, NULL);
    }
    it = (struct json_iter){0};
    while (json_is(rest, JSON_OBJ) && json_each(v, &it, &name, &value))
        if (!json_get_bytes(props, name))
            fill(root, w, name.p, rest, value);
    json_w_end(w);
}

static void fill(const struct json *root, struct json_w *w, const char *key,
                 const struct json *schema, const struct json *v)
{
    struct config_node n = config_node(root, schema);
    bool object = !v || json_is(v, JSON_OBJ) || json_is(v, JSON_NULL);
    if (object && (config_note(n, "properties") || config_note(n, "additionalProperties"))) {
        fill_object(root, w, key, n, v);
    } else if (json_is(v, JSON_ARR)) {
        json_w_arr(w, key);
        for (size_t i = 0; i < json_len(v); i++)
            fill(root, w, NULL, config_note(n, "items"), json_at(v, i));
        json_w_end(w);
    } else {
        json_w_val(w, key, v);
    }
}

int config_defaults(struct config_work *w, struct buf *out, const struct json *value)
{
    struct json_w writer;
    json_w_init(&writer, out);
    fill(w->schema, &writer, NULL, w->schema, value);
    return out->failed;
}
