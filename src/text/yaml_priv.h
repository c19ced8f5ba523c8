// yaml_priv.h: the tree between libyaml's events (yaml.c) and the JSON text (yaml_write.c).
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_TEXT_YAML_PRIV_H
#define PLEXUS_TEXT_YAML_PRIV_H

#include "base/arena.h"
#include "base/map.h"
#include "text/yaml.h"

#define YAML_TEXT_MAX ((size_t)16 << 20)
#define YAML_ARENA_MAX ((size_t)1 << 30)
#define YAML_ANCHORS_MAX 100000
#define YAML_VALUES_MAX 1000000
#define YAML_JSON_MAX ((size_t)64 << 20)

enum yaml_kind { YAML_SCALAR, YAML_SEQ, YAML_MAP, YAML_ALIAS };

struct yaml_node;
struct yaml_item {
    struct yaml_item *next;
    struct yaml_node *key; // NULL in sequences
    struct yaml_node *value;
};
struct yaml_node {
    enum yaml_kind kind;
    bool plain; // a scalar without quotes
    struct yaml_pos pos;
    struct bytes tag, value;
    struct yaml_item *first, *last;
    size_t count;
    struct yaml_node *target; // of an alias
};

struct yaml {
    struct json_doc *doc;
    struct yaml_pos *pos; // of each key and value, as json_index counts
    size_t pos_count, pos_cap;
};

int yaml_fail(struct yaml_pos at, struct err *e, const char *what);
// Writes the tree as JSON, fills doc and pos. root NULL: null.
int yaml_write(struct yaml *y, const struct yaml_node *root, struct err *e);
// A scalar as JSON text: 0, or E_PARSE with the reason.
int yaml_put_scalar(struct buf *out, const struct yaml_node *n, struct err *e);

#endif
