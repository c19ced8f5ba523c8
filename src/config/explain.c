// explain.c: the schema read as data over a document. text/schema.h says whether a document fits;
// this says everything that does not, in our own words, and checks units, which a schema cannot.
// SPDX-License-Identifier: Apache-2.0
#include "config/config_priv.h"
#include "text/schema.h"
#include "text/units.h"
#include "text/url.h"
#include <string.h>

#define NAMES_MAX 64
#define SHOWN_MAX 48 // characters of a wrong value

// ---- the schema as data ----

struct config_node config_node(const struct json *root, const struct json *schema)
{
    struct config_node n = {schema, NULL};
    struct bytes ref = json_str(json_get(schema, "$ref"));
    if (ref.n)
        n.ref = json_ptr(root, bytes_from(ref, 1)); // "#/$defs/..." only: a test holds us to it
    return n;
}

const struct json *config_note(struct config_node n, const char *keyword)
{
    const struct json *own = json_get(n.own, keyword);
    return own ? own : json_get(n.ref, keyword);
}

const struct json *config_prop(struct config_node n, struct bytes key)
{
    return json_get_bytes(config_note(n, "properties"), key);
}

static bool list_has(const struct json *list, struct bytes word)
{
    for (size_t i = 0; i < json_len(list); i++)
        if (bytes_eq(json_str(json_at(list, i)), word))
            return true;
    return false;
}

bool config_takes(struct config_node n, const char *type)
{
    const struct json *types = config_note(n, "type");
    if (json_is(types, JSON_STR))
        return bytes_is(json_str(types), type);
    return !types || list_has(types, bytes_of(type));
}

bool config_for_engine(const struct json *note, struct bytes engine)
{
    return !note || list_has(note, engine);
}

static bool type_fits(struct config_node n, const struct json *v)
{
    switch (json_kind(v)) {
    case JSON_NULL: return config_takes(n, "null");
    case JSON_BOOL: return config_takes(n, "boolean");
    case JSON_NUM:
        return config_takes(n, "number") || (json_is_int(v) && config_takes(n, "integer"));
    case JSON_STR: return config_takes(n, "string");
    case JSON_ARR: return config_takes(n, "array");
    case JSON_OBJ: return config_takes(n, "object");
    }
    return false;
}

// ---- words ----

static void put_list(struct buf *out, const struct json *list, const char *last)
{
    size_t n = json_len(list);
    for (size_t i = 0; i < n; i++) {
        if (i)
            (void)buf_str(out, i + 1 == n ? last : ", ");
        (void)buf_put(out, json_str(json_at(list, i)));
    }
}

static void put_found(struct buf *out, const struct json *v)
{
    struct bytes text = json_str(v);
    switch (json_kind(v)) {
    case JSON_NULL: (void)buf_str(out, "nothing"); break;
    case JSON_BOOL: (void)buf_str(out, json_bool(v, false) ? "true" : "false"); break;
    case JSON_NUM:
        (void)buf_str(out, "the number ");
        (void)json_write(out, v);
        break;
    case JSON_STR: {
        size_t n = text.n;
        if (n > SHOWN_MAX) // cut between characters
            for (n = SHOWN_MAX; n > 0 && ((unsigned char)text.p[n] & 0xC0) == 0x80;)
                n--;
        (void)buf_json_str(out, bytes_first(text, n));
        if (n < text.n)
            (void)buf_str(out, "...");
        break;
    }
    case JSON_ARR: (void)buf_str(out, "a list"); break;
    case JSON_OBJ: (void)buf_str(out, "keys and values"); break;
    }
}

static void put_expected(struct buf *out, struct config_node n)
{
    static const char *const words[][2] = {
        {"string", "a text"},         {"integer", "a whole number"}, {"number", "a number"},
        {"boolean", "true or false"}, {"array", "a list"},           {"object", "keys and values"},
    };
    const struct json *expect = config_note(n, "x-expect"), *choices = config_note(n, "enum");
    if (expect) {
        (void)buf_put(out, json_str(expect));
        return;
    }
    if (choices) {
        put_list(out, choices, " or ");
        return;
    }
    bool first = true;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (!config_takes(n, words[i][0]))
            continue;
        (void)buf_str(out, first ? "" : " or ");
        (void)buf_str(out, words[i][1]);
        first = false;
    }
}

static void not_as_expected(struct config_work *w, const struct config_at *at, struct config_node n,
                            const struct json *v)
{
    struct buf text;
    buf_init(&text, 1024);
    (void)buf_str(&text, "expected ");
    put_expected(&text, n);
    if (!json_bool(config_note(n, "x-quiet"), false)) { // what may be a secret is not repeated
        (void)buf_str(&text, ", found ");
        put_found(&text, v);
    }
    bool bare = json_is(v, JSON_NUM) || json_is(v, JSON_BOOL);
    if (bare && config_takes(n, "string") && !config_note(n, "x-unit") && !config_note(n, "enum"))
        (void)buf_str(&text, "; put it in quotes");
    config_find(w, at, false, "%s", buf_cstr(&text));
    buf_fini(&text);
}

// The words of a list nearest to this one, or BYTES_NONE.
static struct bytes nearest(const struct json *list, struct bytes word)
{
    const char *names[NAMES_MAX];
    size_t count = 0;
    struct json_iter it = {0};
    struct bytes key;
    const struct json *v;
    while (count < NAMES_MAX && json_each(list, &it, &key, &v))
        names[count++] = json_is(list, JSON_ARR) ? json_cstr(v, "") : key.p;
    int i = units_nearest(word, names, count);
    return i < 0 ? BYTES_NONE : bytes_of(names[i]);
}

static void unknown_key(struct config_work *w, const struct config_at *at, struct config_node n)
{
    const struct json *props = config_note(n, "properties");
    if (list_has(config_note(n, "x-later-keys"), at->key)) {
        config_find(w, at, true, "belongs to a part of plexus that is not there yet");
        return;
    }
    struct bytes near = nearest(props, at->key);
    if (near.n) {
        config_find(w, at, true, "unknown key; nearest: %.*s", BYTES_FMT(near));
        return;
    }
    struct buf known;
    struct json_iter it = {0};
    struct bytes key;
    const struct json *v;
    buf_init(&known, 1024);
    while (json_each(props, &it, &key, &v)) {
        (void)buf_str(&known, known.n ? ", " : "");
        (void)buf_put(&known, key);
    }
    config_find(w, at, true, "unknown key; known here: %s", buf_cstr(&known));
    buf_fini(&known);
}

static void unknown_choice(struct config_work *w, const struct config_at *at, struct config_node n,
                           const struct json *v)
{
    const struct json *choices = config_note(n, "enum"), *later = config_note(n, "x-later");
    struct bytes word = json_str(v);
    struct buf text;
    buf_init(&text, 1024);
    if (list_has(later, word)) {
        (void)buf_fmt(&text, "%.*s is not there yet; there %s: ", BYTES_FMT(word),
                      json_len(choices) == 1 ? "is" : "are");
        put_list(&text, choices, ", ");
    } else {
        (void)buf_str(&text, "expected ");
        put_list(&text, choices, " or ");
        (void)buf_str(&text, ", found ");
        put_found(&text, v);
        struct bytes near = nearest(choices, word), other = nearest(later, word);
        if (near.n && json_len(choices) > 1)
            (void)buf_fmt(&text, "; nearest: %.*s", BYTES_FMT(near));
        else if (other.n)
            (void)buf_fmt(&text, "; nearest: %.*s", BYTES_FMT(other));
        if (later) {
            (void)buf_str(&text, " (not there yet: ");
            put_list(&text, later, ", ");
            (void)buf_chr(&text, ')');
        }
    }
    config_find(w, at, false, "%s", buf_cstr(&text));
    buf_fini(&text);
}

// ---- values ----

// Whether a text fits the pattern of a node; patterns stand in leaves, which refer to nothing.
static bool pattern_fits(struct config_node n, const struct json *v)
{
    const struct json *holder = json_get(n.own, "pattern") ? n.own : n.ref;
    struct schema *s = NULL;
    if (!json_get(holder, "pattern") ||
        schema_new(&s, &(struct schema_args){.doc = holder}, NULL) != 0)
        return true;
    int rc = schema_check(s, v, NULL);
    schema_free(s);
    return rc != E_SCHEMA;
}

static bool name_fits(struct config_node n, struct bytes name)
{
    struct json_doc *doc = NULL;
    struct buf text;
    buf_init(&text, CONFIG_FILE_MAX * 6);
    (void)buf_json_str(&text, name);
    bool fits = json_parse(&doc, buf_bytes(&text), 0, NULL) != 0 || pattern_fits(n, json_root(doc));
    json_free(doc);
    buf_fini(&text);
    return fits;
}

static bool unit_fits(struct config_work *w, const struct config_at *at, struct config_node n,
                      struct bytes text)
{
    struct bytes unit = json_str(config_note(n, "x-unit"));
    struct err e = {0};
    int64_t ms;
    uint64_t bytes;
    struct url url;
    struct url_addr addr;
    int rc = 0;
    if (list_has(config_note(n, "x-words"), text))
        return true;
    if (bytes_is(unit, "duration"))
        rc = units_duration(text, &ms, &e);
    else if (bytes_is(unit, "size"))
        rc = units_size(text, &bytes, &e);
    else if (bytes_is(unit, "address"))
        rc = url_addr_parse(&addr, text, &e);
    else if (bytes_is(unit, "url"))
        rc = url_parse(&url, text, &e);
    if (rc != 0)
        config_find(w, at, false, "%s", e.text);
    return rc == 0;
}

static void range(struct config_work *w, const struct config_at *at, struct config_node n,
                  const struct json *v)
{
    const struct json *least = config_note(n, "x-min"), *most = config_note(n, "x-max");
    bool size = bytes_is(json_str(config_note(n, "x-unit")), "size");
    if (list_has(config_note(n, "x-words"), json_str(v)))
        return;
    if (least &&
        (size ? config_size(v, 0) < config_size(least, 0) : config_ms(v, 0) < config_ms(least, 0)))
        config_find(w, at, false, "expected at least %s", json_cstr(least, ""));
    if (most &&
        (size ? config_size(v, 0) > config_size(most, 0) : config_ms(v, 0) > config_ms(most, 0)))
        config_find(w, at, false, "expected at most %s", json_cstr(most, ""));
}

static void number(struct config_work *w, const struct config_at *at, struct config_node n,
                   const struct json *v)
{
    const struct json *least = config_note(n, "minimum"), *most = config_note(n, "maximum");
    const struct json *above = config_note(n, "exclusiveMinimum");
    double x = json_num(v, 0);
    bool low = (least && x < json_num(least, 0)) || (above && x <= json_num(above, 0));
    bool high = most && x > json_num(most, 0);
    if (!low && !high)
        return;
    if (config_note(n, "x-unit")) {
        not_as_expected(w, at, n, v);
        return;
    }
    struct buf limit;
    buf_init(&limit, 256);
    (void)buf_str(&limit, high ? "at most " : above ? "more than " : "at least ");
    (void)json_write(&limit, high ? most : above ? above : least);
    (void)buf_str(&limit, ", found ");
    (void)json_write(&limit, v);
    config_find(w, at, false, "expected %s", buf_cstr(&limit));
    buf_fini(&limit);
}

static void leaf(struct config_work *w, const struct config_at *at, struct config_node n,
                 const struct json *v)
{
    const struct json *choices = config_note(n, "enum");
    size_t before = w->count + w->more;
    if (choices && !list_has(choices, json_str(v))) {
        unknown_choice(w, at, n, v);
        return;
    }
    if (json_is(v, JSON_NUM))
        number(w, at, n, v);
    if (json_is(v, JSON_STR)) {
        if (!unit_fits(w, at, n, json_str(v)))
            return;
        bool empty = json_i64(config_note(n, "minLength"), 0) > 0 && json_str(v).n == 0;
        if (empty || (!w->fits && !pattern_fits(n, v)))
            not_as_expected(w, at, n, v);
        else if (memchr(json_str(v).p, 0, json_str(v).n))
            config_find(w, at, false, "a NUL byte does not belong here");
    }
    if (w->count + w->more == before)
        range(w, at, n, v);
}

static void members(struct config_work *w, const struct config_at *at, struct config_node n,
                    const struct json *v)
{
    const struct json *rest = config_note(n, "additionalProperties"), *member;
    const struct json *names = config_note(n, "propertyNames"), *required;
    struct json_iter it = {0};
    struct bytes key;
    while (json_each(v, &it, &key, &member)) {
        struct config_at below = {.up = at, .key = key};
        const struct json *schema = config_prop(n, key);
        struct config_node name = {names, NULL};
        if (!schema && json_is(rest, JSON_OBJ))
            schema = rest;
        if (!schema && rest)
            unknown_key(w, &below, n);
        else if (names && !w->fits && !name_fits(name, key))
            config_find(w, &below, true, "expected %s", json_cstr(json_get(names, "x-expect"), ""));
        else
            config_explain(w, &below, schema, member);
    }
    required = config_note(n, "required");
    for (size_t i = 0; i < json_len(required); i++)
        if (!json_get_bytes(v, json_str(json_at(required, i))))
            config_find(w, at, true, "the key \"%s\" is missing",
                        json_cstr(json_at(required, i), ""));
    int64_t least = json_i64(config_note(n, "minProperties"), 0);
    int64_t most = json_i64(config_note(n, "maxProperties"), INT64_MAX);
    if ((int64_t)json_len(v) < least || (int64_t)json_len(v) > most)
        not_as_expected(w, at, n, v);
}

static void secret_place(struct config_work *w, const struct config_at *at, struct config_node n,
                         const struct json *v)
{
    static const char *const takes = "takes { env: NAME } or { file: PATH } only";
    if (!json_is(v, JSON_OBJ)) {
        config_find(w, at, false,
                    "%s: a secret never stands in this file, which is copied, shown "
                    "and kept in version control",
                    takes);
        return;
    }
    const struct json *env = json_get(v, "env"), *file = json_get(v, "file"), *one;
    one = env ? env : file;
    struct config_node name = config_node(w->schema, config_prop(n, BYTES("env")));
    if (json_len(v) == 1 && json_str(one).n && (file || w->fits || pattern_fits(name, env)))
        return;
    config_find(w, at, false, "%s", takes); // not a word of what stood there
}

void config_explain(struct config_work *w, const struct config_at *at, const struct json *schema,
                    const struct json *value)
{
    struct config_node n = config_node(w->schema, schema);
    if (json_bool(config_note(n, "x-secret"), false)) {
        secret_place(w, at, n, value);
        return;
    }
    if (!type_fits(n, value)) {
        not_as_expected(w, at, n, value);
        return;
    }
    if (json_is(value, JSON_OBJ)) {
        members(w, at, n, value);
    } else if (json_is(value, JSON_ARR)) {
        int64_t least = json_i64(config_note(n, "minItems"), 0);
        int64_t most = json_i64(config_note(n, "maxItems"), INT64_MAX);
        if ((int64_t)json_len(value) < least)
            config_find(w, at, false, "expected at least %d in the list", (int)least);
        if ((int64_t)json_len(value) > most)
            config_find(w, at, false, "expected at most %d in the list", (int)most);
        for (size_t i = 0; i < json_len(value); i++) {
            struct config_at below = {.up = at, .index = i};
            config_explain(w, &below, config_note(n, "items"), json_at(value, i));
        }
    } else {
        leaf(w, at, n, value);
    }
}
