// schema_index.c: where subschemas are: resources ($id), anchors, dialects, and the targets of
// references. Everything is found by the address of its value in the immutable document.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "text/schema_priv.h"
#include <string.h>

// ---- keywords ----

static const struct keyword {
    const char *name;
    size_t n;
    unsigned dialects, vocab;
} keywords[] = {
    [KW_NONE] = {"", 0, 0, 0},
    [KW_FALSE] = {"", 0, 0, 0},
#define KEYWORD(symbol, name, dialects, vocab) [symbol] = {name, sizeof(name) - 1, dialects, vocab},
#include "schema_keywords.def"
#undef KEYWORD
};

const char *schema_kw_name(enum schema_kw kw)
{
    return keywords[kw].name;
}

unsigned schema_kw_vocab(enum schema_kw kw)
{
    return keywords[kw].vocab;
}

enum schema_kw schema_kw_of(struct bytes name, enum schema_dialect dialect)
{
    size_t low = KW_FALSE + 1, high = sizeof keywords / sizeof *keywords;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const struct keyword *k = &keywords[middle];
        int order = bytes_cmp(name, (struct bytes){k->name, k->n});
        if (order == 0)
            return k->dialects & (unsigned)dialect ? (enum schema_kw)middle : KW_NONE;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return KW_NONE;
}

enum schema_holds schema_holds(enum schema_kw kw, const struct json *value)
{
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wswitch-enum" // most keywords hold no subschemas
    switch (kw) {
    case KW_ITEMS: return json_kind(value) == JSON_ARR ? HOLDS_LIST : HOLDS_ONE;
    case KW_ADDITIONAL_ITEMS:
    case KW_ADDITIONAL_PROPERTIES:
    case KW_CONTAINS:
    case KW_CONTENT_SCHEMA:
    case KW_IF:
    case KW_THEN:
    case KW_ELSE:
    case KW_NOT:
    case KW_PROPERTY_NAMES:
    case KW_UNEVALUATED_ITEMS:
    case KW_UNEVALUATED_PROPERTIES: return HOLDS_ONE;
    case KW_ALL_OF:
    case KW_ANY_OF:
    case KW_ONE_OF:
    case KW_PREFIX_ITEMS: return HOLDS_LIST;
    case KW_DEFS:
    case KW_DEFINITIONS:
    case KW_DEPENDENCIES:
    case KW_DEPENDENT_SCHEMAS:
    case KW_PATTERN_PROPERTIES:
    case KW_PROPERTIES: return HOLDS_MAP;
    default: return HOLDS_NONE;
    }
#pragma GCC diagnostic pop
}

// ---- dialects ----

struct dialect {
    enum schema_dialect dialect;
    unsigned vocab;
};

static bool known_dialect(struct bytes uri, struct dialect *ret)
{
    static const struct {
        const char *uri;
        enum schema_dialect dialect;
    } known[] = {
        {"https://json-schema.org/draft/2020-12/schema", DIALECT_2020},
        {"https://json-schema.org/draft/2019-09/schema", DIALECT_2019},
        {"http://json-schema.org/draft-07/schema", DIALECT_7},
        {"https://json-schema.org/draft-07/schema", DIALECT_7},
        {"http://json-schema.org/draft-06/schema", DIALECT_7}, // a subset
        {"http://json-schema.org/schema", DIALECT_2020},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (bytes_is(uri, known[i].uri)) {
            *ret = (struct dialect){known[i].dialect, VOCAB_ALL};
            return true;
        }
    return false;
}

static int read_vocabulary(const struct json *vocabulary, unsigned *ret, struct err *e)
{
    static const struct {
        const char *name;
        unsigned bit;
    } known[] = {
        {"core", VOCAB_CORE},
        {"applicator", VOCAB_APPLICATOR},
        {"unevaluated", VOCAB_UNEVALUATED},
        {"validation", VOCAB_VALIDATION},
        {"format-assertion", VOCAB_FORMAT},
        {"format-annotation", 0},
        {"format", 0},
        {"meta-data", 0},
        {"content", 0},
    };
    struct json_iter it = {0};
    struct bytes uri;
    const struct json *must;
    unsigned vocab = VOCAB_CORE;
    while (json_each(vocabulary, &it, &uri, &must)) {
        bool found = bytes_starts(uri, BYTES("https://json-schema.org/draft/2020-12/vocab/")) ||
                     bytes_starts(uri, BYTES("https://json-schema.org/draft/2019-09/vocab/"));
        struct bytes name =
            bytes_from(uri, sizeof "https://json-schema.org/draft/2020-12/vocab/" - 1);
        bool named = false;
        for (size_t i = 0; found && i < sizeof known / sizeof *known; i++)
            if (bytes_is(name, known[i].name)) {
                vocab |= known[i].bit;
                named = true;
            }
        if (!named && json_bool(must, false))
            return err_set(e, E_SCHEMA, "unknown vocabulary %.*s", BYTES_FMT(uri));
    }
    *ret = vocab;
    return 0;
}

#define METASCHEMAS_MAX 8 // a metaschema names its own $schema, and so on

// The dialect that a $schema names: a well-known one, or a metaschema of the set.
static int dialect_of(const struct schema *s, struct bytes uri, struct dialect *ret, struct err *e)
{
    struct bytes fragment, first = uri;
    unsigned vocab = 0;
    bool has_vocab = false;
    for (int i = 0; i < METASCHEMAS_MAX; i++) {
        (void)url_cut_fragment(&uri, &fragment);
        if (known_dialect(uri, ret)) {
            ret->vocab = has_vocab ? vocab : ret->vocab;
            return 0;
        }
        const struct json *meta = s->set ? map_get(s->set->docs, uri) : NULL;
        if (!meta)
            break;
        const struct json *vocabulary = json_get(meta, "$vocabulary");
        if (i == 0 && vocabulary) {
            int rc = read_vocabulary(vocabulary, &vocab, e);
            if (rc < 0)
                return rc;
            has_vocab = true;
        }
        uri = json_str(json_get(meta, "$schema"));
    }
    return err_set(e, E_SCHEMA, "$schema: unknown dialect \"%.*s\"", BYTES_FMT(first));
}

// ---- places and resources ----

static struct bytes address_key(const void *const *p)
{
    return (struct bytes){(const char *)p, sizeof *p};
}

struct schema_place *schema_place_of(const struct schema *s, const struct json *at)
{
    const void *p = at;
    return map_get(s->places, address_key(&p));
}

static int no_memory(struct err *e)
{
    return err_set(e, E_TOOBIG, "the schema is too large (%zu MiB, %d subschemas at most)",
                   SCHEMA_PLAN_MAX >> 20, SCHEMA_NODES_MAX);
}

static struct schema_place *add_place(struct schema *s, const struct json *at,
                                      struct schema_resource *resource)
{
    struct schema_place *place = arena_zalloc(s->arena, sizeof *place);
    const void *p = at;
    if (!place)
        return NULL;
    place->at = at;
    place->resource = resource;
    return map_put(s->places, address_key(&p), place, NULL) < 0 ? NULL : place;
}

static struct schema_resource *add_resource(struct schema *s, const struct schema_resource *like,
                                            struct bytes uri, const struct json *root)
{
    struct schema_resource *r = arena_zalloc(s->arena, sizeof *r);
    struct bytes fragment;
    if (!r)
        return NULL;
    *r = *like;
    r->anchors = NULL;
    (void)url_cut_fragment(&uri, &fragment);
    r->uri = uri;
    r->root = root;
    if (!map_get(s->resources, uri) && map_put(s->resources, uri, r, NULL) < 0)
        return NULL;
    return r;
}

static int add_anchor(struct schema *s, struct schema_place *place, struct bytes name, bool dynamic,
                      struct err *e)
{
    struct schema_anchor *a = arena_zalloc(s->arena, sizeof *a);
    if (!a)
        return no_memory(e);
    *a = (struct schema_anchor){
        .name = name, .at = place->at, .dynamic = dynamic, .next = place->resource->anchors};
    place->resource->anchors = a;
    if (dynamic && !(a->node = schema_need(s, place)))
        return no_memory(e);
    return 0;
}

struct schema_node *schema_need(struct schema *s, struct schema_place *place)
{
    if (place->node)
        return place->node;
    if (s->nodes >= SCHEMA_NODES_MAX)
        return NULL;
    if (s->todo_count == s->todo_cap) {
        size_t cap = s->todo_cap ? s->todo_cap * 2 : 64;
        struct schema_place **more = mem_realloc(s->todo, cap * sizeof(*more));
        if (!more)
            return NULL;
        s->todo = more;
        s->todo_cap = cap;
    }
    place->node = arena_zalloc(s->arena, sizeof *place->node);
    if (!place->node)
        return NULL;
    s->nodes++;
    s->todo[s->todo_count++] = place;
    place->node->schema = place->at;
    place->node->resource = place->resource;
    return place->node;
}

// ---- the walk ----

static int walk(struct schema *s, const struct json *v, struct schema_resource *r, struct err *e);

static int walk_children(struct schema *s, const struct json *v, struct schema_resource *r,
                         struct err *e)
{
    struct json_iter it = {0};
    struct bytes key;
    const struct json *value, *child;
    int rc = 0;
    while (rc == 0 && json_each(v, &it, &key, &value)) {
        enum schema_kw kw = schema_kw_of(key, r->dialect);
        enum schema_holds holds = kw == KW_NONE ? HOLDS_NONE : schema_holds(kw, value);
        if (holds == HOLDS_ONE)
            rc = walk(s, value, r, e);
        if ((holds == HOLDS_LIST && json_kind(value) != JSON_ARR) ||
            (holds == HOLDS_MAP && json_kind(value) != JSON_OBJ))
            continue; // the compiler will complain if it gets here
        struct json_iter inner = {0};
        while (rc == 0 && holds >= HOLDS_LIST && json_each(value, &inner, NULL, &child))
            if (kw != KW_DEPENDENCIES || json_kind(child) != JSON_ARR)
                rc = walk(s, child, r, e);
    }
    return rc;
}

// A subschema with its own $id or $schema: enters (and returns) its resource, or r.
static int enter(struct schema *s, const struct json *v, struct schema_resource **r, struct err *e)
{
    struct bytes id = json_str(json_get(v, "$id"));
    struct bytes draft = json_str(json_get(v, "$schema"));
    bool root = v == (*r)->doc;
    struct dialect d = {(*r)->dialect, (*r)->vocab};
    if (draft.p && (root || id.p)) {
        int rc = dialect_of(s, draft, &d, e);
        if (rc < 0)
            return rc;
    }
    bool ignored = d.dialect == DIALECT_7 && json_get(v, "$ref");
    bool has_id = id.p && id.n > 0 && !ignored && id.p[0] != '#';
    if (has_id) {
        struct bytes uri = url_resolve(s->arena, (*r)->uri, id);
        *r = uri.p ? add_resource(s, *r, uri, v) : NULL;
        if (!*r)
            return no_memory(e);
    }
    if (has_id || root) {
        (*r)->dialect = d.dialect;
        (*r)->vocab = d.vocab;
    }
    return 0;
}

static int walk_anchors(struct schema *s, const struct json *v, struct schema_place *place,
                        struct err *e)
{
    enum schema_dialect dialect = place->resource->dialect;
    if (dialect == DIALECT_7) {
        struct bytes id = json_str(json_get(v, "$id")), name;
        if (json_get(v, "$ref") || !url_cut_fragment(&id, &name) || name.n == 0)
            return 0;
        return add_anchor(s, place, name, false, e);
    }
    struct bytes name = json_str(json_get(v, "$anchor"));
    int rc = name.p ? add_anchor(s, place, name, false, e) : 0;
    name = dialect == DIALECT_2020 ? json_str(json_get(v, "$dynamicAnchor")) : BYTES_NONE;
    if (rc == 0 && name.p)
        rc = add_anchor(s, place, name, true, e);
    if (rc == 0 && dialect == DIALECT_2019 && json_bool(json_get(v, "$recursiveAnchor"), false))
        rc = add_anchor(s, place, BYTES(""), true, e);
    return rc;
}

// Recursion is bounded by JSON_DEPTH_MAX.
static int walk(struct schema *s, const struct json *v, struct schema_resource *r, struct err *e)
{
    if (schema_place_of(s, v))
        return 0;
    if (json_kind(v) != JSON_OBJ)
        return add_place(s, v, r) ? 0 : no_memory(e);
    int rc = enter(s, v, &r, e);
    if (rc < 0)
        return rc;
    struct schema_place *place = add_place(s, v, r);
    if (!place)
        return no_memory(e);
    rc = walk_anchors(s, v, place, e);
    return rc < 0 ? rc : walk_children(s, v, r, e);
}

static int walk_doc(struct schema *s, const struct json *doc, struct bytes uri, struct dialect d,
                    struct schema_place **ret, struct err *e)
{
    const struct schema_resource like = {
        .doc = doc, .doc_uri = uri, .dialect = d.dialect, .vocab = d.vocab};
    struct schema_resource *r = add_resource(s, &like, uri, doc);
    if (!r)
        return no_memory(e);
    int rc = walk(s, doc, r, e);
    if (rc < 0)
        return rc;
    *ret = schema_place_of(s, doc);
    return 0;
}

int schema_index_root(struct schema *s, const struct schema_args *args, struct schema_place **ret,
                      struct err *e)
{
    struct dialect d = {args->draft == SCHEMA_DRAFT_7 ? DIALECT_7 : DIALECT_2020, VOCAB_ALL};
    struct bytes base = args->base_uri ? bytes_of(args->base_uri) : BYTES("");
    base = arena_dup(s->arena, base);
    return walk_doc(s, args->doc, base.p ? base : BYTES(""), d, ret, e);
}

// ---- references ----

static int nowhere(struct bytes ref, const char *why, struct err *e)
{
    return err_set(e, E_SCHEMA, "reference \"%.*s\" leads nowhere: %s",
                   BYTES_FMT(bytes_first(ref, 300)), why);
}

static int by_pointer(struct schema *s, struct schema_place *place, struct bytes pointer,
                      struct bytes ref, struct schema_place **ret, struct err *e)
{
    const struct json *v = place->at;
    struct schema_resource *r = place->resource;
    struct bytes rest = bytes_from(pointer, 1);
    for (bool more = true; more && v;) {
        struct bytes token = bytes_cut(&rest, '/');
        more = rest.p != NULL;
        v = json_ptr(v, (struct bytes){token.p ? token.p - 1 : pointer.p, token.n + 1});
        struct schema_place *known = v ? schema_place_of(s, v) : NULL;
        r = known ? known->resource : r;
    }
    if (!v)
        return nowhere(ref, "nothing there", e);
    if (json_kind(v) != JSON_OBJ && json_kind(v) != JSON_BOOL)
        return nowhere(ref, "no schema there", e);
    int rc = walk(s, v, r, e); // a place that no known keyword leads to
    if (rc < 0)
        return rc;
    *ret = schema_place_of(s, v);
    return 0;
}

static int find_resource(struct schema *s, struct schema_resource *from, struct bytes uri,
                         struct bytes ref, struct schema_place **ret, struct err *e)
{
    struct schema_resource *r = bytes_eq(uri, from->uri) ? from : map_get(s->resources, uri);
    if (r) {
        *ret = schema_place_of(s, r->root);
        return 0;
    }
    const struct json *doc = s->set ? map_get(s->set->docs, uri) : NULL;
    if (!doc)
        return nowhere(ref, "no such document is registered", e);
    struct dialect d = {from->dialect, VOCAB_ALL};
    return walk_doc(s, doc, uri, d, ret, e);
}

int schema_resolve(struct schema *s, struct schema_resource *from, struct bytes ref,
                   struct schema_place **ret, struct schema_anchor **ret_anchor, struct err *e)
{
    struct bytes uri = url_resolve(s->arena, from->uri, ref), fragment;
    struct schema_place *place = NULL;
    if (!uri.p)
        return no_memory(e);
    *ret_anchor = NULL;
    (void)url_cut_fragment(&uri, &fragment);
    int rc = find_resource(s, from, uri, ref, &place, e);
    if (rc < 0)
        return rc;
    fragment = schema_uri_decode(s->arena, fragment);
    if (!fragment.p)
        return nowhere(ref, "broken escapes", e);
    if (fragment.n == 0) {
        *ret = place;
        return 0;
    }
    if (fragment.p[0] == '/')
        return by_pointer(s, place, fragment, ref, ret, e);
    struct schema_anchor *a = place->resource->anchors;
    while (a && !bytes_eq(a->name, fragment))
        a = a->next;
    if (!a)
        return nowhere(ref, "no such anchor", e);
    *ret_anchor = a;
    *ret = schema_place_of(s, a->at);
    return 0;
}
