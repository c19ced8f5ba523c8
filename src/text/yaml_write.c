// yaml_write.c: the YAML tree as JSON text, aliases and merge keys expanded, positions noted.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "text/yaml_priv.h"
#include <string.h>

#define PAIRS_MAX 16 // up to so many keys are compared pair by pair

struct writer {
    struct yaml *y;
    struct buf out;
    size_t depth;
    size_t merged; // members looked at for merge keys
    struct err *e;
};

// The members of a mapping after merging.
struct members {
    const struct yaml_item **items;
    size_t count, cap;
    struct map *keys; // from PAIRS_MAX keys on
};

static int note(struct writer *w, struct yaml_pos pos)
{
    struct yaml *y = w->y;
    if (y->pos_count == YAML_VALUES_MAX)
        return err_set(w->e, E_TOOBIG, "more than %d values after expansion", YAML_VALUES_MAX);
    if (y->pos_count == y->pos_cap) {
        size_t cap = y->pos_cap ? y->pos_cap * 2 : 64;
        struct yaml_pos *more = mem_realloc(y->pos, cap * sizeof *more);
        if (!more)
            return err_set(w->e, E_NOMEM, "no memory for the YAML text");
        y->pos = more;
        y->pos_cap = cap;
    }
    y->pos[y->pos_count++] = pos;
    return 0;
}

static const struct yaml_node *follow(const struct yaml_node *n)
{
    return n->kind == YAML_ALIAS ? n->target : n;
}

static bool is_merge(const struct yaml_node *key)
{
    return key->kind == YAML_SCALAR && key->plain && !key->tag.p && bytes_is(key->value, "<<");
}

static struct bytes key_text(const struct yaml_item *item)
{
    return follow(item->key)->value;
}

static const struct yaml_item *find(const struct members *m, struct bytes key)
{
    if (m->keys)
        return map_get(m->keys, key);
    for (size_t i = 0; i < m->count; i++)
        if (bytes_eq(key_text(m->items[i]), key))
            return m->items[i];
    return NULL;
}

static int put_key(struct members *m, const struct yaml_item *item)
{
    return map_put(m->keys, key_text(item), (void *)(uintptr_t)item, NULL);
}

static int add(struct writer *w, struct members *m, const struct yaml_item *item)
{
    if (m->count == m->cap) {
        size_t cap = m->cap ? m->cap * 2 : PAIRS_MAX;
        const struct yaml_item **more = mem_realloc(m->items, cap * sizeof *more);
        if (!more)
            return err_set(w->e, E_NOMEM, "no memory for the YAML text");
        m->items = more;
        m->cap = cap;
    }
    m->items[m->count++] = item;
    int rc = 0;
    if (m->keys) {
        rc = put_key(m, item);
    } else if (m->count == PAIRS_MAX) {
        m->keys = map_new(YAML_VALUES_MAX);
        rc = m->keys ? 0 : E_NOMEM;
        for (size_t i = 0; rc == 0 && i < m->count; i++)
            rc = put_key(m, m->items[i]);
    }
    return rc < 0 ? err_set(w->e, rc, "no memory for the keys of a YAML mapping") : 0;
}

static int own_members(struct writer *w, struct members *m, const struct yaml_node *map)
{
    for (const struct yaml_item *item = map->first; item; item = item->next) {
        if (is_merge(item->key))
            continue;
        const struct yaml_item *same = find(m, key_text(item));
        if (same)
            return err_set(w->e, E_PARSE,
                           "line %u, column %u: duplicate key \"%.*s\" (first on line %u)",
                           item->key->pos.line, item->key->pos.column,
                           BYTES_FMT(bytes_first(key_text(item), 100)), same->key->pos.line);
        int rc = add(w, m, item);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int merge_from(struct writer *w, struct members *m, const struct yaml_node *source);

static int merge_map(struct writer *w, struct members *m, const struct yaml_node *map)
{
    for (const struct yaml_item *item = map->first; item; item = item->next) {
        int rc = 0;
        if (++w->merged > YAML_VALUES_MAX)
            return err_set(w->e, E_TOOBIG, "more than %d merged keys", YAML_VALUES_MAX);
        if (!is_merge(item->key) && !find(m, key_text(item)))
            rc = add(w, m, item);
        if (rc < 0)
            return rc;
    }
    for (const struct yaml_item *item = map->first; item; item = item->next) {
        int rc = is_merge(item->key) ? merge_from(w, m, item->value) : 0;
        if (rc < 0)
            return rc;
    }
    return 0;
}

// A mapping, or a sequence of mappings of which earlier ones win. Depth is bounded with that of the
// text: an alias cannot lead to a node around it.
static int merge_from(struct writer *w, struct members *m, const struct yaml_node *source)
{
    const struct yaml_node *n = follow(source);
    int rc = 0;
    if (++w->depth > JSON_DEPTH_MAX)
        return yaml_fail(source->pos, w->e, "nested too deep");
    if (n->kind == YAML_MAP) {
        rc = merge_map(w, m, n);
    } else if (n->kind == YAML_SEQ) {
        for (const struct yaml_item *item = n->first; rc == 0 && item; item = item->next)
            rc = follow(item->value)->kind == YAML_MAP
                     ? merge_from(w, m, item->value)
                     : yaml_fail(item->value->pos, w->e, "\"<<\" takes mappings");
    } else {
        rc = yaml_fail(source->pos, w->e, "\"<<\" takes a mapping or a sequence of mappings");
    }
    w->depth--;
    return rc;
}

static int collect(struct writer *w, struct members *m, const struct yaml_node *map)
{
    int rc = own_members(w, m, map);
    for (const struct yaml_item *item = map->first; rc == 0 && item; item = item->next)
        if (is_merge(item->key))
            rc = merge_from(w, m, item->value);
    return rc;
}

static int write_node(struct writer *w, const struct yaml_node *n, struct yaml_pos pos);

static int check_tag(struct writer *w, const struct yaml_node *n, const char *tag)
{
    if (!n->tag.p || bytes_is(n->tag, "!") || bytes_is(n->tag, tag))
        return 0;
    return yaml_fail(n->pos, w->e, "an unknown tag, or one that does not fit");
}

static int write_map(struct writer *w, const struct yaml_node *n)
{
    struct members m = {0};
    int rc = check_tag(w, n, "tag:yaml.org,2002:map");
    if (rc == 0)
        rc = collect(w, &m, n);
    (void)buf_chr(&w->out, '{');
    for (size_t i = 0; rc == 0 && i < m.count; i++) {
        if (i > 0)
            (void)buf_chr(&w->out, ',');
        (void)buf_json_str(&w->out, key_text(m.items[i]));
        (void)buf_chr(&w->out, ':');
        rc = note(w, m.items[i]->key->pos);
        if (rc == 0)
            rc = write_node(w, m.items[i]->value, m.items[i]->value->pos);
    }
    (void)buf_chr(&w->out, '}');
    map_free(m.keys);
    mem_free(m.items);
    return rc;
}

static int write_seq(struct writer *w, const struct yaml_node *n)
{
    int rc = check_tag(w, n, "tag:yaml.org,2002:seq");
    (void)buf_chr(&w->out, '[');
    for (const struct yaml_item *item = n->first; rc == 0 && item; item = item->next) {
        if (item != n->first)
            (void)buf_chr(&w->out, ',');
        rc = write_node(w, item->value, item->value->pos);
    }
    (void)buf_chr(&w->out, ']');
    return rc;
}

// Recursion is bounded by JSON_DEPTH_MAX; an alias stands where it is used.
static int write_node(struct writer *w, const struct yaml_node *n, struct yaml_pos pos)
{
    int rc = note(w, pos);
    n = follow(n);
    if (rc == 0 && w->out.failed)
        rc = err_set(w->e, w->out.failed, "the YAML text is over %zu MiB after expansion",
                     YAML_JSON_MAX >> 20);
    if (rc < 0)
        return rc;
    if (n->kind == YAML_SCALAR) {
        rc = yaml_put_scalar(&w->out, n, w->e);
        return w->out.failed ? 0 : rc; // a full buffer is told above and at the end
    }
    if (++w->depth > JSON_DEPTH_MAX)
        return yaml_fail(pos, w->e, "nested too deep");
    rc = n->kind == YAML_MAP ? write_map(w, n) : write_seq(w, n);
    w->depth--;
    return rc;
}

int yaml_write(struct yaml *y, const struct yaml_node *root, struct err *e)
{
    struct writer w = {.y = y, .e = e};
    int rc = 0;
    buf_init(&w.out, YAML_JSON_MAX);
    if (root)
        rc = write_node(&w, root, root->pos);
    else
        (void)buf_str(&w.out, "null");
    if (rc == 0 && w.out.failed)
        rc = err_set(e, w.out.failed, "the YAML text is over %zu MiB after expansion",
                     YAML_JSON_MAX >> 20);
    if (rc == 0)
        rc = json_parse(&y->doc, buf_bytes(&w.out), 0, e);
    buf_fini(&w.out);
    return rc;
}
