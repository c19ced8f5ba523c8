// labels.c: labels and clearances of a configuration. Their meaning is trust/label.h's business;
// here their texts are seen to be whole, and few enough to be kept.
// SPDX-License-Identifier: Apache-2.0
#include "base/map.h"
#include "config/config_priv.h"
#include <string.h>

#define COMPARTMENTS_MAX 63          // as trust/label.h has them
#define COMPARTMENT_CHARS_MAX 1008

// ---- rules ----

struct names {
    struct map *seen;
    size_t chars;
    bool said;
};

static void compartments(struct config_work *w, const struct config_at *at, const struct json *v,
                         struct names *n)
{
    struct bytes rest = json_str(v);
    (void)bytes_cut(&rest, ':');
    while (rest.n) {
        struct bytes name = bytes_cut(&rest, ',');
        if (!name.n || bytes_is(name, "*") || map_get(n->seen, name))
            continue;
        n->chars += name.n + 1;
        int rc = map_put(n->seen, name, n, NULL);
        if (rc == E_NOMEM)
            w->failed = rc;
        if ((rc == E_FULL || n->chars > COMPARTMENT_CHARS_MAX) && !n->said) {
            n->said = true;
            config_find(w, at, false,
                        "too many compartments in this file: at most %d names of together %d "
                        "characters",
                        COMPARTMENTS_MAX, COMPARTMENT_CHARS_MAX);
        }
    }
}

static bool is_cloud(const struct json *m)
{
    const struct json *tier = json_get(m, "tier");
    struct bytes word = json_str(tier);
    return tier ? bytes_is(word, "cloud") || bytes_is(word, "2") || json_i64(tier, 0) == 2
                : bytes_is(json_str(json_get(m, "engine")), "remote");
}

static void of_model(struct config_work *w, const struct config_at *up, const struct json *m,
                     struct names *n)
{
    struct config_at label = {.up = up, .key = BYTES("label")},
                     clearance = {.up = up, .key = BYTES("clearance")};
    compartments(w, &label, json_get(m, "label"), n);
    compartments(w, &clearance, json_get(m, "clearance"), n);
    if (is_cloud(m) && bytes_starts(json_str(json_get(m, "clearance")), BYTES("restricted")))
        config_find(w, &clearance, false,
                    "restricted data never leave the mesh, and this model is in the cloud%s",
                    json_get(m, "tier") ? "" : " (an engine remote of your own is tier: node)");
}

static void of_rows(struct config_work *w, const struct config_at *up, const char *key,
                    const struct json *list, struct names *n)
{
    struct config_at at = {.up = up, .key = bytes_of(key)};
    for (size_t i = 0; json_is(list, JSON_ARR) && i < json_len(list); i++) {
        struct config_at row = {.up = &at, .index = i},
                         clearance = {.up = &row, .key = BYTES("clearance")},
                         name = {.up = &row, .key = BYTES("name")};
        compartments(w, &clearance, json_get(json_at(list, i), "clearance"), n);
        struct bytes said = json_str(json_get(json_at(list, i), "name"));
        for (size_t k = 0; said.n && k < i; k++)
            if (bytes_eq(said, json_str(json_get(json_at(list, k), "name"))))
                config_find(w, &name, false, "the name %.*s is taken already", BYTES_FMT(said));
    }
}

void config_label_rules(struct config_work *w, const struct json *given)
{
    const struct json *labels = json_get(given, "labels"), *models = json_get(given, "models"), *m;
    struct config_at at = {.key = BYTES("labels")}, all = {.key = BYTES("models")},
                     standard = {.up = &at, .key = BYTES("default")},
                     cloud = {.up = &at, .key = BYTES("cloud")};
    struct names n = {.seen = map_new(COMPARTMENTS_MAX)};
    struct json_iter it = {0};
    struct bytes name;
    if (!n.seen) {
        w->failed = E_NOMEM;
        return;
    }
    compartments(w, &standard, json_get(labels, "default"), &n);
    compartments(w, &cloud, json_get(labels, "cloud"), &n);
    of_rows(w, &at, "subjects", json_get(labels, "subjects"), &n);
    of_rows(w, &at, "declassifiers", json_get(labels, "declassifiers"), &n);
    while (json_is(models, JSON_OBJ) && json_each(models, &it, &name, &m)) {
        struct config_at one = {.up = &all, .key = name};
        of_model(w, &one, m, &n);
    }
    map_free(n.seen);
}

// ---- the result ----

static const char *text_of(struct config_work *w, const struct json *v, const char *fallback)
{
    return v ? config_str(w, json_str(v)) : fallback;
}

void config_build_labels(struct config_work *w, const struct json *v, struct config *c)
{
    const struct json *subjects = json_get(v, "subjects"), *keys = json_get(v, "declassifiers");
    size_t rows = json_len(subjects), count = json_len(keys);
    struct config_subject *s = arena_zalloc(w->arena, (rows + 1) * sizeof *s);
    struct config_declassifier *d = arena_zalloc(w->arena, (count + 1) * sizeof *d);
    c->label_default = text_of(w, json_get(v, "default"), "internal");
    c->label_cloud = text_of(w, json_get(v, "cloud"), "internal");
    c->subjects = s;
    c->declassifiers = d;
    if (!s || !d) {
        w->failed = E_NOMEM;
        return;
    }
    c->subject_count = rows;
    c->declassifier_count = count;
    for (size_t i = 0; i < rows; i++) {
        const struct json *row = json_at(subjects, i);
        s[i] = (struct config_subject){config_str(w, json_str(json_get(row, "subject"))),
                                       config_str(w, json_str(json_get(row, "clearance")))};
    }
    for (size_t i = 0; i < count; i++) {
        const struct json *row = json_at(keys, i);
        d[i] = (struct config_declassifier){config_str(w, json_str(json_get(row, "name"))),
                                            config_str(w, json_str(json_get(row, "key"))),
                                            text_of(w, json_get(row, "clearance"), "restricted:*")};
    }
}
