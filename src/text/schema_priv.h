// schema_priv.h: the plan that a JSON Schema is compiled to, shared by the schema parts.
//
// schema.c          the public functions, sets of documents
// schema_uri.c      references (RFC 3986)
// schema_index.c    resources ($id), anchors, dialects, vocabularies, $ref targets
// schema_compile.c  keywords to plan nodes
// schema_props.c    the table of properties
// schema_check.c    the plan over an instance
// schema_array.c    its array, string and number rules
// schema_say.c      a failure in words
// schema_regex.c    ECMA-262 patterns over PCRE2
// schema_format.c   formats
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_TEXT_SCHEMA_PRIV_H
#define PLEXUS_TEXT_SCHEMA_PRIV_H

#include "base/arena.h"
#include "base/map.h"
#include "text/json_priv.h"
#include "text/schema.h"
#include "text/url.h"

#define SCHEMA_PLAN_MAX ((size_t)64 << 20) // bytes of one plan
#define SCHEMA_NODES_MAX 200000            // subschemas of one plan, those behind $ref included
#define SCHEMA_NEST_MAX 1500               // nested subschema calls in one check (C stack)
#define SCHEMA_WORK_BASE 1000000           // steps of one check: this ...
#define SCHEMA_WORK_PER_VALUE 64           // ... and this for each value of the instance
#define SCHEMA_PATTERN_STEPS 200000        // PCRE2 match limit of one pattern on one string
#define SCHEMA_REQUIRED_FAST 256           // required keys found in the pass over the members

enum schema_dialect { DIALECT_7 = 1, DIALECT_2019 = 2, DIALECT_2020 = 4 };
enum {
    VOCAB_CORE = 1,
    VOCAB_APPLICATOR = 2,
    VOCAB_UNEVALUATED = 4,
    VOCAB_VALIDATION = 8,
    VOCAB_FORMAT = 16, // assertion
    VOCAB_ALL = 15,    // without format assertion
};

#define TYPE_INTEGER (1u << 6) // beside 1u << enum json_kind
#define TYPES_ANY 0x7Fu

enum schema_kw {
    KW_NONE,
    KW_FALSE, // the schema false
#define KEYWORD(symbol, name, dialects, vocab) symbol,
#include "schema_keywords.def"
#undef KEYWORD
};
const char *schema_kw_name(enum schema_kw kw);

struct schema_pattern;
struct schema_node;

struct schema_anchor {
    struct bytes name;
    const struct json *at;
    bool dynamic;
    struct schema_node *node; // of dynamic ones
    struct schema_anchor *next;
};

struct schema_resource {
    struct bytes uri;        // without fragment
    const struct json *root; // the subschema with the $id
    const struct json *doc;  // the document around it
    struct bytes doc_uri;
    enum schema_dialect dialect;
    unsigned vocab;
    struct schema_anchor *anchors;
};

struct schema_place { // a known subschema
    const struct json *at;
    struct schema_resource *resource;
    struct schema_node *node; // NULL until something needs it
};

struct schema_prop {
    struct bytes key;
    struct schema_node *node; // NULL: the key is only required
    int32_t required;         // index among the required ones, -1: not required
};
struct schema_props {
    struct schema_prop *rows;
    uint32_t count;
    uint32_t *slots; // index into rows + 1
    uint32_t mask;
    uint64_t seed;
};

struct schema_pat { // an entry of patternProperties
    struct schema_pattern *pattern;
    struct schema_node *node;
};
struct schema_dep { // dependentRequired, dependentSchemas, dependencies
    enum schema_kw kw;
    struct bytes key;
    const struct json *required; // array of strings, or NULL
    struct schema_node *node;
};

struct schema_obj {
    struct schema_props props;
    const struct json *required; // the array
    uint32_t required_count;     // in props; those over SCHEMA_REQUIRED_FAST are looked up
    uint64_t min, max;
    struct schema_pat *pats;
    struct schema_dep *deps;
    size_t pats_count, deps_count;
    struct schema_node *additional, *names, *unevaluated;
};

struct schema_arr {
    uint64_t min, max, min_contains, max_contains;
    struct schema_node **prefix;
    size_t prefix_count;
    struct schema_node *items; // behind the prefix
    struct schema_node *additional; // draft 7 and 2019-09: additionalItems, moves to items
    struct schema_node *contains, *unevaluated;
    enum schema_kw items_kw;
    bool unique, items_is_list, contains_marks;
};

struct schema_str {
    uint64_t min, max;
    struct schema_pattern *pattern;
    int format; // index for schema_format_check, -1: none
};

struct schema_num {
    bool has_min, has_max, has_above, has_below, has_multiple;
    struct json_num min, max, above, below, multiple;
};

struct schema_list {
    struct schema_node **nodes;
    size_t count;
};
struct schema_logic {
    struct schema_node *ref, *dynamic, *not_, *if_, *then_, *else_;
    struct bytes dynamic_name; // p NULL: plain reference to `dynamic`
    struct schema_list all, any, one;
};

struct schema_node {
    const struct json *schema;
    struct schema_resource *resource;
    enum { NODE_CHECK, NODE_TRUE, NODE_FALSE } verdict;
    unsigned types;
    bool tracks; // has unevaluatedItems or unevaluatedProperties
    const struct json *constant, *choices;
    struct schema_num *num;
    struct schema_str *str;
    struct schema_arr *arr;
    struct schema_obj *obj;
    struct schema_logic *logic;
};

struct schema_set {
    struct map *docs; // uri to struct json
};

struct schema {
    struct arena *arena;
    struct schema_set *set;
    const struct json *doc;
    bool assert_format;
    struct map *resources; // uri to schema_resource
    struct map *places;    // address to schema_place
    struct schema_place **todo;
    size_t todo_count, todo_cap, nodes;
    struct schema_pattern *patterns; // for schema_free
    struct schema_node *root;
};

// Percent-decoded copy in the arena; p NULL: broken escapes or no memory.
struct bytes schema_uri_decode(struct arena *a, struct bytes text);

// ---- schema_index.c ----
int schema_index_root(struct schema *s, const struct schema_args *args, struct schema_place **ret,
                      struct err *e);
// The place that a reference leads to; *ret_anchor: the anchor it named, or NULL.
int schema_resolve(struct schema *s, struct schema_resource *from, struct bytes ref,
                   struct schema_place **ret, struct schema_anchor **ret_anchor, struct err *e);
struct schema_place *schema_place_of(const struct schema *s, const struct json *at);
// How a keyword holds subschemas in a dialect.
enum schema_holds { HOLDS_NONE, HOLDS_ONE, HOLDS_LIST, HOLDS_MAP };
enum schema_holds schema_holds(enum schema_kw kw, const struct json *value);
enum schema_kw schema_kw_of(struct bytes name, enum schema_dialect dialect);
unsigned schema_kw_vocab(enum schema_kw kw);
// The node of a place, made and put on the to-do list when new. NULL: limits or memory.
struct schema_node *schema_need(struct schema *s, struct schema_place *place);

// ---- schema_compile.c ----
int schema_compile(struct schema *s, struct schema_place *place, struct err *e);

// ---- schema_props.c ----
int schema_props_build(struct arena *a, struct schema_props *p); // from rows and count
const struct schema_prop *schema_props_find(const struct schema_props *p, struct bytes key);

// ---- schema_regex.c ----
// Translates and compiles; kept in the list *all for schema_patterns_free.
int schema_pattern_new(struct schema_pattern **ret, struct schema_pattern **all,
                       struct bytes source, struct err *e);
void schema_patterns_free(struct schema_pattern *all);
// 1: found somewhere in the text, 0: not, E_TOOBIG: too many steps.
int schema_pattern_match(const struct schema_pattern *p, struct bytes text);
bool schema_pattern_valid(struct bytes source); // the format "regex"

// ---- schema_format.c ----
int schema_format_find(struct bytes name); // -1: unknown
const char *schema_format_name(int format);
bool schema_format_check(int format, struct bytes text);
bool schema_format_domain(struct bytes text, bool international);
bool schema_format_ipv4(struct bytes text);
bool schema_format_ipv6(struct bytes text);

// ---- a check in progress ----
struct schema_scope {
    const struct schema_scope *up;
    const struct schema_resource *resource;
};

#define SCHEMA_OPTIONS_MAX 8
struct schema_fail {
    enum schema_kw kw;
    const struct schema_node *node;
    const struct json *at;    // the value, or the key that is not allowed
    const struct json *extra; // the missing key, the first equal item, ...
    uint32_t level;           // how deep in the instance
    unsigned types;           // of all branches that only the type kept out
    const struct json *options[SCHEMA_OPTIONS_MAX]; // const values or enum arrays of branches
    bool option_is_list[SCHEMA_OPTIONS_MAX];
    size_t options_count;
};

// Which members or items of one instance some subschema has evaluated.
struct schema_seen {
    uint64_t *bits;
    uint64_t few;
    size_t n;
    bool all;
};

struct schema_run {
    const struct schema *schema;
    const struct json *root;
    const struct schema_scope *scope;
    uint64_t work;
    uint32_t depth; // nested calls
    uint32_t level; // nested values
    bool explain; // second pass: look at all branches for the most telling failure
    struct schema_fail fail;
};

static inline void schema_seen_mark(struct schema_seen *s, size_t i)
{
    if (s)
        s->bits[i / 64] |= UINT64_C(1) << (i % 64);
}
static inline bool schema_seen_has(const struct schema_seen *s, size_t i)
{
    return s->all || (s->bits[i / 64] >> (i % 64) & 1);
}

// 1: fits, 0: not (run->fail says why), negative: E_TOOBIG, E_NOMEM.
int schema_check_node(struct schema_run *r, const struct schema_node *n, const struct json *v,
                      struct schema_seen *seen);
// The same for a member or item of the value at hand.
static inline int schema_check_child(struct schema_run *r, const struct schema_node *n,
                                     const struct json *v)
{
    r->level++;
    int rc = schema_check_node(r, n, v, NULL);
    r->level--;
    return rc;
}
int schema_check_arr(struct schema_run *r, const struct schema_node *n, const struct json *v,
                     struct schema_seen *seen);
int schema_check_str(struct schema_run *r, const struct schema_node *n, const struct json *v);
int schema_check_num(struct schema_run *r, const struct schema_node *n, const struct json *v);
int schema_fail(struct schema_run *r, enum schema_kw kw, const struct schema_node *n,
                const struct json *at, const struct json *extra);

// ---- schema_say.c ----
void schema_say(const struct schema_run *r, struct schema_error *ret);
// RFC 6901 pointer of a value (or of the member of a key) by its address, cut at size.
void schema_pointer(const struct json *root, const struct json *at, char *ret, size_t size);

#endif
