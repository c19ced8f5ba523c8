// yaml.c: YAML to JSON, over libyaml's events: a tree with positions, then JSON text from it.
// Aliases stay references in the tree; only the writing expands them, under a bound.
// SPDX-License-Identifier: Apache-2.0
#include "text/yaml.h"
#include "base/alloc.h"
#include "text/json_priv.h"
#include "text/yaml_priv.h"
#include <string.h>
#include <yaml.h>

struct loader {
    yaml_parser_t parser;
    struct arena *arena;
    struct map *anchors;
    struct yaml_node *open[JSON_DEPTH_MAX]; // containers that have no end yet
    struct yaml_node *key[JSON_DEPTH_MAX];  // the key that waits for its value
    size_t depth;
    struct yaml_node *root;
    struct bytes text;
    struct err *e;
};

int yaml_fail(struct yaml_pos at, struct err *e, const char *what)
{
    return err_set(e, E_PARSE, "line %u, column %u: %s", at.line, at.column, what);
}

static struct yaml_pos pos_of(yaml_mark_t mark)
{
    return (struct yaml_pos){(uint32_t)mark.line + 1, (uint32_t)mark.column + 1};
}

static int no_room(struct loader *l)
{
    return err_set(l->e, E_TOOBIG, "the YAML text needs more than %zu MiB", YAML_ARENA_MAX >> 20);
}

// Of a byte that is no UTF-8: libyaml says only its offset. Columns count characters, as elsewhere.
static struct yaml_pos pos_at(struct bytes text, size_t offset)
{
    struct yaml_pos at = {1, 1};
    for (size_t i = 0; i < offset && i < text.n; i++) {
        if (text.p[i] == '\n')
            at = (struct yaml_pos){at.line + 1, 1};
        else if (((unsigned char)text.p[i] & 0xC0) != 0x80)
            at.column++;
    }
    return at;
}

static int parser_error(struct loader *l)
{
    const yaml_parser_t *p = &l->parser;
    if (p->error == YAML_MEMORY_ERROR)
        return err_set(l->e, E_NOMEM, "no memory for the YAML text");
    const char *problem = p->problem ? p->problem : "cannot be read";
    if (p->error == YAML_READER_ERROR)
        return yaml_fail(pos_at(l->text, p->problem_offset), l->e, problem);
    int rc = err_set(l->e, E_PARSE, "line %zu, column %zu: %s", p->problem_mark.line + 1,
                     p->problem_mark.column + 1, problem);
    if (p->context && l->e) { // "while parsing a flow sequence"
        struct err first = *l->e;
        (void)err_set(l->e, E_PARSE, "%s, %s that began on line %zu", first.text, p->context,
                      p->context_mark.line + 1);
    }
    return rc;
}

// ---- the tree ----

static struct bytes copy(struct loader *l, const yaml_char_t *p, size_t n)
{
    return p ? arena_dup(l->arena, (struct bytes){(const char *)p, n}) : BYTES_NONE;
}

static struct yaml_node *node_new(struct loader *l, enum yaml_kind kind, yaml_mark_t mark,
                                  const yaml_char_t *tag)
{
    struct yaml_node *n = arena_zalloc(l->arena, sizeof *n);
    if (!n)
        return NULL;
    n->kind = kind;
    n->pos = pos_of(mark);
    n->tag = copy(l, tag, tag ? strlen((const char *)tag) : 0);
    return tag && !n->tag.p ? NULL : n;
}

static int attach(struct loader *l, struct yaml_node *n)
{
    if (l->depth == 0) {
        l->root = n;
        return 0;
    }
    struct yaml_node *parent = l->open[l->depth - 1], **key = &l->key[l->depth - 1];
    if (parent->kind == YAML_MAP && !*key) {
        const struct yaml_node *k = n->kind == YAML_ALIAS ? n->target : n;
        if (k->kind != YAML_SCALAR)
            return yaml_fail(n->pos, l->e, "a key must be a scalar");
        *key = n;
        return 0;
    }
    struct yaml_item *item = arena_zalloc(l->arena, sizeof *item);
    if (!item)
        return no_room(l);
    item->key = *key;
    item->value = n;
    *key = NULL;
    if (parent->last)
        parent->last->next = item;
    else
        parent->first = item;
    parent->last = item;
    parent->count++;
    return 0;
}

static int anchor(struct loader *l, struct yaml_node *n, const yaml_char_t *name)
{
    if (!name)
        return 0;
    int rc = map_put(l->anchors, bytes_of((const char *)name), n, NULL);
    return rc < 0 ? yaml_fail(n->pos, l->e, "too many anchors") : 0;
}

static int on_scalar(struct loader *l, const yaml_event_t *event)
{
    struct yaml_node *n = node_new(l, YAML_SCALAR, event->start_mark, event->data.scalar.tag);
    if (!n)
        return no_room(l);
    n->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    n->value = copy(l, event->data.scalar.value, event->data.scalar.length);
    if (!n->value.p)
        return no_room(l);
    int rc = anchor(l, n, event->data.scalar.anchor);
    return rc < 0 ? rc : attach(l, n);
}

static int on_alias(struct loader *l, const yaml_event_t *event)
{
    struct yaml_pos at = pos_of(event->start_mark);
    struct bytes name = bytes_of((const char *)event->data.alias.anchor);
    struct yaml_node *target = map_get(l->anchors, name);
    if (!target)
        return yaml_fail(at, l->e, "an alias of no anchor");
    for (size_t i = 0; i < l->depth; i++)
        if (l->open[i] == target)
            return yaml_fail(at, l->e, "an alias inside its own anchor");
    struct yaml_node *n = node_new(l, YAML_ALIAS, event->start_mark, NULL);
    if (!n)
        return no_room(l);
    n->target = target;
    return attach(l, n);
}

static int on_start(struct loader *l, const yaml_event_t *event, enum yaml_kind kind,
                    const yaml_char_t *tag, const yaml_char_t *name)
{
    struct yaml_node *n = node_new(l, kind, event->start_mark, tag);
    if (!n)
        return no_room(l);
    if (l->depth == JSON_DEPTH_MAX)
        return yaml_fail(n->pos, l->e, "nested too deep");
    int rc = anchor(l, n, name);
    if (rc == 0)
        rc = attach(l, n);
    if (rc < 0)
        return rc;
    l->key[l->depth] = NULL;
    l->open[l->depth++] = n;
    return 0;
}

static int on_event(struct loader *l, const yaml_event_t *event, bool *ret_end)
{
    switch (event->type) {
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_DOCUMENT_END_EVENT: return 0;
    case YAML_DOCUMENT_START_EVENT:
        return l->root ? yaml_fail(pos_of(event->start_mark), l->e, "a second document") : 0;
    case YAML_STREAM_END_EVENT: *ret_end = true; return 0;
    case YAML_ALIAS_EVENT: return on_alias(l, event);
    case YAML_SCALAR_EVENT: return on_scalar(l, event);
    case YAML_SEQUENCE_START_EVENT:
        return on_start(l, event, YAML_SEQ, event->data.sequence_start.tag,
                        event->data.sequence_start.anchor);
    case YAML_MAPPING_START_EVENT:
        return on_start(l, event, YAML_MAP, event->data.mapping_start.tag,
                        event->data.mapping_start.anchor);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT: l->depth--; return 0;
    }
    return 0;
}

static int load(struct loader *l)
{
    bool end = false;
    int rc = 0;
    while (rc == 0 && !end) {
        yaml_event_t event;
        if (!yaml_parser_parse(&l->parser, &event))
            return parser_error(l);
        rc = on_event(l, &event, &end);
        yaml_event_delete(&event);
    }
    return rc;
}

// ---- documents ----

int yaml_parse(struct yaml **ret, struct bytes text, struct err *e)
{
    if (text.n > YAML_TEXT_MAX)
        return err_set(e, E_TOOBIG, "a YAML text over %zu MiB", YAML_TEXT_MAX >> 20);
    struct loader *l = mem_new(struct loader);
    struct yaml *y = mem_new(struct yaml);
    bool started = l && yaml_parser_initialize(&l->parser);
    int rc = E_NOMEM;
    if (started && y) {
        l->e = e;
        l->text = text;
        l->arena = arena_new(YAML_ARENA_MAX);
        l->anchors = map_new(YAML_ANCHORS_MAX);
        yaml_parser_set_encoding(&l->parser, YAML_UTF8_ENCODING);
        yaml_parser_set_input_string(&l->parser, (const unsigned char *)(text.p ? text.p : ""),
                                     text.n);
    }
    if (started && y && l->arena && l->anchors) {
        rc = load(l);
        if (rc == 0)
            rc = yaml_write(y, l->root, e);
    } else {
        (void)err_set(e, E_NOMEM, "no memory for the YAML text");
    }
    if (started)
        yaml_parser_delete(&l->parser);
    if (l) {
        map_free(l->anchors);
        arena_free(l->arena);
    }
    mem_free(l);
    if (rc < 0) {
        yaml_free(y);
        return rc;
    }
    *ret = y;
    return 0;
}

void yaml_doc_free(struct yaml *y)
{
    if (!y)
        return;
    json_free(y->doc);
    mem_free(y->pos);
    mem_free(y);
}

const struct json *yaml_root(const struct yaml *y)
{
    return y ? json_root(y->doc) : NULL;
}

struct yaml_pos yaml_where(const struct yaml *y, struct bytes pointer, bool key)
{
    const struct json *root = json_root(y->doc), *v = root;
    bool in_object = false, whole = true;
    if (pointer.n > 0 && pointer.p[0] != '/')
        return (struct yaml_pos){0, 0};
    for (size_t i = 0; i < pointer.n;) {
        size_t n = 1;
        while (i + n < pointer.n && pointer.p[i + n] != '/')
            n++;
        const struct json *next = json_ptr(v, (struct bytes){pointer.p + i, n});
        if (!next) {
            whole = false;
            break;
        }
        in_object = json_kind(v) == JSON_OBJ;
        v = next;
        i += n;
    }
    size_t at = json_index(root, v);
    bool of_key = key && in_object && whole;
    return at < y->pos_count ? y->pos[at - of_key] : (struct yaml_pos){0, 0};
}
