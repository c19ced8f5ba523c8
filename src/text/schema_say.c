// schema_say.c: a failure in words: where, which keyword, what was expected, what was found.
// Pointers are found by address: the values of a document lie in one row, a container before its
// contents.
// SPDX-License-Identifier: Apache-2.0
#include "text/schema_priv.h"
#include "text/units.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define VALUE_MAX 64      // bytes of a value that are shown
#define CANDIDATES_MAX 256 // known keys that are compared with an unknown one
#define CHOICES_MAX 12    // allowed values that are named

// Text of a fixed size that is cut, never overrun, and never in the middle of a character.
struct text {
    char *p;
    size_t n, size;
};

static void add(struct text *t, struct bytes s)
{
    size_t room = t->size - 1 - t->n, n = s.n < room ? s.n : room;
    if (n < s.n) {
        while (n > 0 && ((unsigned char)s.p[n] & 0xC0) == 0x80)
            n--;
        t->size = t->n + n + 1; // full from here on
    }
    if (n)
        memcpy(t->p + t->n, s.p, n);
    t->n += n;
    t->p[t->n] = '\0';
}

static void say(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(struct text *t, const char *fmt, ...)
{
    char line[256];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    if (n > 0)
        add(t, bytes_of(line));
}

// ---- pointers ----

static void add_token(struct text *t, struct bytes token)
{
    add(t, BYTES("/"));
    size_t from = 0;
    for (size_t i = 0; i < token.n; i++) {
        if (token.p[i] != '~' && token.p[i] != '/')
            continue;
        add(t, (struct bytes){token.p + from, i - from});
        add(t, token.p[i] == '~' ? BYTES("~0") : BYTES("~1"));
        from = i + 1;
    }
    add(t, bytes_from(token, from));
}

static const struct json *down(const struct json *v, const struct json *at, struct text *t)
{
    bool object = json_kind(v) == JSON_OBJ;
    const struct json *member = json_first(v);
    for (size_t i = 0; i < json_len(v); i++) {
        const struct json *value = object ? json_value_of(member) : member;
        const struct json *next = json_next(value);
        if ((const char *)at < (const char *)next) {
            if (object)
                add_token(t, json_str(member));
            else
                say(t, "/%zu", i);
            return at == member ? at : value;
        }
        member = next;
    }
    return at;
}

void schema_pointer(const struct json *root, const struct json *at, char *ret, size_t size)
{
    struct text t = {ret, 0, size};
    ret[0] = '\0';
    while (root != at && (json_kind(root) == JSON_ARR || json_kind(root) == JSON_OBJ))
        root = down(root, at, &t);
}

// ---- values ----

static const char *const kind_names[] = {
    [JSON_NULL] = "null",       [JSON_BOOL] = "boolean", [JSON_NUM] = "number",
    [JSON_STR] = "string",      [JSON_ARR] = "array",    [JSON_OBJ] = "object",
    [JSON_OBJ + 1] = "integer",
};

static void add_value(struct text *t, const struct json *v)
{
    enum json_kind kind = json_kind(v);
    if (kind == JSON_ARR || kind == JSON_OBJ) {
        say(t, kind == JSON_ARR ? "array of %zu" : "object with %zu keys", json_len(v));
        return;
    }
    struct bytes s = json_str(v);
    struct buf b;
    buf_init(&b, VALUE_MAX * 8);
    if (kind == JSON_STR && s.n > VALUE_MAX) {
        size_t n = VALUE_MAX;
        while (n > 0 && ((unsigned char)s.p[n] & 0xC0) == 0x80)
            n--;
        (void)buf_json_str(&b, bytes_first(s, n));
        (void)buf_str(&b, "...");
    } else {
        (void)json_write(&b, v);
    }
    add(t, buf_bytes(&b));
    buf_fini(&b);
}

static void add_found(struct text *t, const struct json *v)
{
    enum json_kind kind = json_kind(v);
    add(t, BYTES(", found "));
    if (kind == JSON_NUM || kind == JSON_STR)
        say(t, "%s ", kind_names[kind]);
    add_value(t, v);
}

static void add_types(struct text *t, unsigned types)
{
    if (types & 1u << JSON_NUM)
        types &= ~TYPE_INTEGER;
    for (unsigned k = 1; k <= JSON_OBJ + 2; k++) {
        unsigned i = k % (JSON_OBJ + 2); // null comes last
        if (!(types & 1u << i))
            continue;
        types &= ~(1u << i);
        add(t, bytes_of(kind_names[i]));
        if (types)
            add(t, types & (types - 1) ? BYTES(", ") : BYTES(" or "));
    }
}

// ---- known keys and values ----

struct candidates {
    const char *names[CANDIDATES_MAX];
    size_t count;
};

static void add_candidate(struct candidates *c, const char *name)
{
    if (name && c->count < CANDIDATES_MAX)
        c->names[c->count++] = name;
}

static void add_nearest(struct text *t, struct bytes word, const struct candidates *c)
{
    if (c->count == 0 || word.n > 256)
        return;
    int i = units_nearest(word, c->names, c->count);
    if (i >= 0)
        say(t, ", nearest: \"%s\"", c->names[i]);
}

// The keys that a node and the subschemas on the same value know.
static void known_keys(const struct schema_node *n, struct candidates *c, int depth)
{
    for (uint32_t i = 0; n->obj && i < n->obj->props.count; i++)
        add_candidate(c, n->obj->props.rows[i].key.p);
    const struct schema_logic *g = n->logic;
    if (!g || depth == 0)
        return;
    if (g->ref)
        known_keys(g->ref, c, depth - 1);
    const struct schema_list *lists[] = {&g->all, &g->any, &g->one};
    for (size_t k = 0; k < 3; k++)
        for (size_t i = 0; i < lists[k]->count; i++)
            known_keys(lists[k]->nodes[i], c, depth - 1);
}

static void say_unknown_key(struct text *t, const struct schema_fail *f)
{
    struct candidates c = {.count = 0};
    struct bytes key = json_str(f->at);
    known_keys(f->node, &c, 3);
    add(t, BYTES("unknown key "));
    add_value(t, f->at);
    add_nearest(t, key, &c);
}

static void add_choice(struct text *t, struct candidates *c, const struct json *v, size_t *shown)
{
    if (json_is(v, JSON_STR))
        add_candidate(c, json_cstr(v, NULL));
    if (++*shown > CHOICES_MAX)
        return;
    if (*shown > 1)
        add(t, BYTES(", "));
    add_value(t, v);
}

static void say_choices(struct text *t, const struct schema_fail *f)
{
    struct candidates c = {.count = 0};
    size_t shown = 0;
    struct schema_fail one = *f;
    if (one.options_count == 0) {
        one.options[0] = f->kw == KW_CONST ? f->node->constant : f->node->choices;
        one.option_is_list[0] = f->kw == KW_ENUM;
        one.options_count = 1;
    }
    bool many = one.options_count > 1 || (one.option_is_list[0] && json_len(one.options[0]) > 1);
    add(t, many ? BYTES("expected one of ") : BYTES("expected "));
    for (size_t i = 0; i < one.options_count; i++) {
        struct json_iter it = {0};
        const struct json *item;
        if (!one.option_is_list[i])
            add_choice(t, &c, one.options[i], &shown);
        while (one.option_is_list[i] && json_each(one.options[i], &it, NULL, &item))
            add_choice(t, &c, item, &shown);
    }
    if (shown > CHOICES_MAX)
        say(t, ", ... (%zu values)", shown);
    add_found(t, f->at);
    if (json_is(f->at, JSON_STR))
        add_nearest(t, json_str(f->at), &c);
}

// ---- messages ----

static void say_limit(struct text *t, const struct schema_fail *f, const char *what)
{
    const struct json *limit = json_get(f->node->schema, schema_kw_name(f->kw));
    add(t, bytes_of(what));
    add(t, BYTES(" "));
    add_value(t, limit);
    if (f->kw == KW_MIN_ITEMS || f->kw == KW_MAX_ITEMS)
        say(t, " items, found %zu", json_len(f->at));
    else if (f->kw == KW_MIN_PROPERTIES || f->kw == KW_MAX_PROPERTIES)
        say(t, " keys, found %zu", json_len(f->at));
    else if (f->kw == KW_MIN_LENGTH || f->kw == KW_MAX_LENGTH)
        add(t, BYTES(" characters"));
    else if (f->kw == KW_CONTAINS || f->kw == KW_MIN_CONTAINS || f->kw == KW_MAX_CONTAINS)
        add(t, BYTES(" items that fit \"contains\""));
    if (!json_len(f->at) && json_kind(f->at) < JSON_ARR)
        add_found(t, f->at);
}

static void say_plain(struct text *t, const struct schema_fail *f)
{
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wswitch-enum"
    switch (f->kw) {
    case KW_FALSE: add(t, BYTES("nothing is allowed here")); break;
    case KW_ADDITIONAL_ITEMS:
    case KW_ITEMS:
    case KW_UNEVALUATED_ITEMS: add(t, BYTES("this item is one too many")); break;
    case KW_NOT: add(t, BYTES("must not have this form")); break;
    case KW_UNIQUE_ITEMS: add(t, BYTES("appears twice")); break;
    case KW_CONTAINS: add(t, BYTES("no item fits \"contains\"")); break;
    case KW_ONE_OF:
        add(t, f->extra ? BYTES("fits more than one of the allowed forms")
                        : BYTES("fits none of the allowed forms"));
        break;
    case KW_ANY_OF: add(t, BYTES("fits none of the allowed forms")); break;
    case KW_FORMAT: say(t, "must be a valid %s", schema_format_name(f->node->str->format)); break;
    case KW_PATTERN:
        add(t, BYTES("must match the pattern "));
        add_value(t, json_get(f->node->schema, "pattern"));
        break;
    default: say(t, "does not fit \"%s\"", schema_kw_name(f->kw)); break;
    }
#pragma GCC diagnostic pop
    if (json_kind(f->at) < JSON_ARR)
        add_found(t, f->at);
}

static void say_message(struct text *t, const struct schema_fail *f)
{
    static const char *const limits[] = {
        [KW_MINIMUM] = "must be at least",
        [KW_MAXIMUM] = "must be at most",
        [KW_EXCLUSIVE_MINIMUM] = "must be more than",
        [KW_EXCLUSIVE_MAXIMUM] = "must be less than",
        [KW_MULTIPLE_OF] = "must be a multiple of",
        [KW_MIN_LENGTH] = "must have at least",
        [KW_MAX_LENGTH] = "must have at most",
        [KW_MIN_ITEMS] = "must have at least",
        [KW_MAX_ITEMS] = "must have at most",
        [KW_MIN_PROPERTIES] = "must have at least",
        [KW_MAX_PROPERTIES] = "must have at most",
        [KW_MIN_CONTAINS] = "must have at least",
        [KW_MAX_CONTAINS] = "must have at most",
        [KW_UNIQUE_ITEMS] = NULL,
    };
    if (limits[f->kw]) {
        say_limit(t, f, limits[f->kw]);
    } else if (f->kw == KW_TYPE || ((f->kw == KW_ANY_OF || f->kw == KW_ONE_OF) && f->types)) {
        add(t, BYTES("expected "));
        add_types(t, f->types);
        add_found(t, f->at);
    } else if (f->kw == KW_CONST || f->kw == KW_ENUM) {
        say_choices(t, f);
    } else if (f->kw == KW_ADDITIONAL_PROPERTIES || f->kw == KW_UNEVALUATED_PROPERTIES) {
        say_unknown_key(t, f);
    } else if (f->extra && (f->kw == KW_REQUIRED || f->kw == KW_DEPENDENT_REQUIRED ||
                            f->kw == KW_DEPENDENCIES)) {
        add(t, BYTES("missing key "));
        add_value(t, f->extra);
    } else {
        say_plain(t, f);
    }
}

void schema_say(const struct schema_run *r, struct schema_error *ret)
{
    const struct schema_fail *f = &r->fail;
    const struct schema_resource *where = f->node->resource;
    schema_pointer(r->root, f->at, ret->instance, sizeof ret->instance);
    struct text t = {ret->keyword, 0, sizeof ret->keyword};
    if (where->doc != r->schema->doc) { // behind a $ref into another document
        add(&t, where->doc_uri);
        add(&t, BYTES("#"));
    }
    schema_pointer(where->doc, f->node->schema, ret->keyword + t.n, sizeof ret->keyword - t.n);
    t.n = strlen(ret->keyword);
    const char *name = schema_kw_name(f->kw);
    if (*name)
        add_token(&t, bytes_of(name));
    struct text message = {ret->message, 0, sizeof ret->message};
    say_message(&message, f);
}
