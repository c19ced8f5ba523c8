// doc_schema_test.c: schema.json of our own accepts and refuses what the official schema does: for
// the CTK's documents, those of tests/flows, and thousands of changed ones. More documents can be
// given as a folder in PLEXUS_FLOW_DOCS.
// SPDX-License-Identifier: Apache-2.0
#include "base/embed.h"
#include "base/rng.h"
#include "flow/flow.h"
#include "text/schema.h"
#include "text/suite_priv.h"
#include "text/yaml.h"
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define SUITE "serverless-workflow"
#define DOCS_MAX 512
#define MUTATIONS 8000

struct bytes embed_flow_schema(void);

static struct corpus {
    struct val *docs[DOCS_MAX];
    char *names[DOCS_MAX];
    size_t count;
    struct yaml *official_text;
    struct json_doc *own_text;
    struct schema *official, *own;
} all;

static void add(const char *name, size_t number, struct bytes text)
{
    struct yaml *y = NULL;
    struct err e = {0};
    char full[SUITE_PATH_MAX];
    assert_true(all.count < DOCS_MAX);
    if (yaml_parse(&y, text, &e))
        return; // one of the invalid ones, perhaps
    snprintf(full, sizeof full, "%s#%zu", name, number);
    all.names[all.count] = mem_str(full);
    all.docs[all.count++] = val_of_json(yaml_root(y));
    yaml_free(y);
}

// Blocks between """yaml and """, without their indent; those with a document.
static void add_feature(const char *name, struct bytes text)
{
    struct buf block;
    bool inside = false;
    size_t indent = 0, number = 0;
    buf_init(&block, SUITE_FILE_MAX);
    while (text.n) {
        struct bytes line = bytes_cut(&text, '\n'), bare = bytes_trim(line);
        if (bytes_starts(bare, BYTES("\"\"\""))) {
            if (inside && bytes_find(buf_bytes(&block), BYTES("document:")) >= 0)
                add(name, number++, buf_bytes(&block));
            inside = !inside;
            indent = (size_t)(bare.p - line.p);
            buf_clear(&block);
        } else if (inside) {
            (void)buf_put(&block, bytes_from(line, line.n < indent ? line.n : indent));
            (void)buf_chr(&block, '\n');
        }
    }
    buf_fini(&block);
}

static void add_folder(const char *folder)
{
    size_t count;
    char **names = suite_names(folder, &count);
    for (size_t i = 0; i < count; i++) {
        char path[SUITE_PATH_MAX * 2];
        struct buf text;
        buf_init(&text, SUITE_FILE_MAX);
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        assert_true(suite_read(path, &text));
        if (bytes_ends(bytes_of(path), BYTES(".feature")))
            add_feature(names[i], buf_bytes(&text));
        else
            add(names[i], 0, buf_bytes(&text));
        buf_fini(&text);
    }
    suite_names_free(names, count);
}

static struct schema *schema_of(const struct json *doc)
{
    struct schema *s = NULL;
    struct err e = {0};
    struct schema_args args = {.doc = doc, .assert_format = true};
    if (schema_new(&s, &args, &e))
        fail_msg("%s", e.text);
    return s;
}

static int set_up(void **state)
{
    (void)state;
    char folder[SUITE_PATH_MAX], path[SUITE_PATH_MAX * 2];
    struct err e = {0};
    struct buf text;
    assert_int_equal(json_parse(&all.own_text, embed_flow_schema(), 0, &e), 0);
    all.own = schema_of(json_root(all.own_text));
    add_folder("tests/flows");
    assert_true(all.count >= 4);
    if (getenv("PLEXUS_FLOW_DOCS"))
        add_folder(getenv("PLEXUS_FLOW_DOCS"));
    if (!suite_folder(SUITE, folder))
        return 0;
    buf_init(&text, SUITE_FILE_MAX);
    snprintf(path, sizeof path, "%s/schema/workflow.yaml", folder);
    assert_true(suite_read(path, &text));
    if (yaml_parse(&all.official_text, buf_bytes(&text), &e))
        fail_msg("%s", e.text);
    all.official = schema_of(yaml_root(all.official_text));
    buf_fini(&text);
    snprintf(path, sizeof path, "%s/ctk/features", folder);
    add_folder(path);
    snprintf(path, sizeof path, "%s/invalid", folder);
    add_folder(path);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (size_t i = 0; i < all.count; i++) {
        val_unref(all.docs[i]);
        mem_free(all.names[i]);
    }
    schema_free(all.own);
    schema_free(all.official);
    json_free(all.own_text);
    yaml_free(all.official_text);
    return 0;
}

// What only plexus' schema knows: stricter there.
static bool is_extra(const char *keyword)
{
    static const char *const ours[] = {"/$defs/model", "/$defs/tool", "/$defs/agent",
                                       "/$defs/evaluate", "/properties/plexus"};
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        if (strstr(keyword, ours[i]))
            return true;
    return false;
}

// Both schemas say the same. true: both accept.
static bool same(const char *name, uint64_t number, const struct val *v)
{
    struct schema_error own = {.message = ""}, official = {.message = ""};
    struct json_doc *doc = NULL;
    struct err e = {0};
    if (val_to_json(&doc, v, &e))
        fail_msg("%s", e.text);
    int a = schema_check(all.own, json_root(doc), &own),
        b = schema_check(all.official, json_root(doc), &official);
    json_free(doc);
    if ((a == 0) == (b == 0) || (a && is_extra(own.keyword)))
        return a == 0;
    struct buf text;
    buf_init(&text, 1 << 20);
    (void)val_write(&text, v);
    print_error("%s, change %llu:\nown: %d %s %s %s\nofficial: %d %s %s %s\n%s\n", name,
                (unsigned long long)number, a, own.instance, own.keyword, own.message, b,
                official.instance, official.keyword, official.message, buf_cstr(&text));
    buf_fini(&text);
    fail();
    return false;
}

static void test_corpus(void **state)
{
    (void)state;
    size_t good = 0;
    if (!all.official) {
        skip();
        return;
    }
    for (size_t i = 0; i < all.count; i++)
        good += same(all.names[i], 0, all.docs[i]);
    printf("%zu documents, %zu of them valid\n", all.count, good);
    assert_true(good >= 4 + 20 && good < all.count);
}

// ---- changed documents --------------------------------------------------------------------------

static size_t nodes(const struct val *v)
{
    size_t n = 1, at = 0;
    struct bytes key;
    struct val *item;
    if (val_is(v, JSON_ARR) || val_is(v, JSON_OBJ))
        while (val_each(v, &at, &key, &item))
            n += nodes(item);
    return n;
}

static const struct val *node(const struct val *v, size_t *n)
{
    size_t at = 0;
    struct bytes key;
    struct val *item;
    const struct val *found = NULL;
    if ((*n)-- == 0)
        return v;
    if (val_is(v, JSON_ARR) || val_is(v, JSON_OBJ))
        while (!found && val_each(v, &at, &key, &item))
            found = node(item, n);
    return found;
}

static struct val *odd(struct rng *r)
{
    static const char *const texts[] = {"",     "${ .x }", "x",   "PT1S",  "https://a.b/{c}",
                                        "end",  "${ }",    "all", "1.0.0", "/do",
                                        "http", "mcp",     "true"};
    switch (rng_below(r, 8)) {
    case 0: return val_null();
    case 1: return val_bool(true);
    case 2: return val_int((int64_t)rng_below(r, 70000));
    case 3: return val_num(1.5);
    case 4: return val_arr();
    case 5: return val_obj();
    case 6: return val_push(val_arr(), val_cstr("x"));
    default: return val_cstr(texts[rng_below(r, sizeof texts / sizeof texts[0])]);
    }
}

static const struct val *some(struct rng *r)
{
    const struct val *doc = all.docs[rng_below(r, all.count)];
    size_t n = rng_below(r, nodes(doc));
    return node(doc, &n);
}

// A key of some object of the corpus.
static struct bytes some_key(struct rng *r)
{
    for (;;) {
        const struct val *v = some(r);
        struct bytes key;
        struct val *item;
        size_t at = 0, n = val_is(v, JSON_OBJ) && val_len(v) ? 1 + rng_below(r, val_len(v)) : 0;
        while (n-- && val_each(v, &at, &key, &item))
            if (!n)
                return key;
    }
}

// An object with one member left out, renamed, put in or taken twice; an array likewise.
static struct val *changed(struct rng *r, const struct val *v)
{
    struct val *out = val_is(v, JSON_ARR) ? val_arr() : val_obj();
    size_t at = 0, i = 0, victim = val_len(v) ? rng_below(r, val_len(v)) : 0;
    unsigned how = (unsigned)rng_below(r, 5);
    struct bytes key;
    struct val *item;
    while (val_each(v, &at, &key, &item)) {
        bool here = i++ == victim;
        struct bytes name = here && how == 1 ? some_key(r) : key;
        if (here && how == 0)
            continue;
        struct val *value =
            here && how == 2 ? val_ref((struct val *)(uintptr_t)some(r)) : val_ref(item);
        if (val_is(v, JSON_ARR) && here && how == 3)
            out = val_push(out, val_ref(item));
        out = val_is(v, JSON_ARR) ? val_push(out, value) : val_put(out, name, value);
    }
    if (val_is(v, JSON_OBJ) && how >= 3)
        out = val_put(out, some_key(r),
                      how == 3 ? odd(r) : val_ref((struct val *)(uintptr_t)some(r)));
    return out;
}

// A copy of v whose n-th node is another.
static struct val *mutated(struct rng *r, const struct val *v, size_t *n)
{
    bool many = val_is(v, JSON_ARR) || val_is(v, JSON_OBJ);
    size_t at = 0;
    struct bytes key;
    struct val *item;
    if ((*n)-- == 0)
        return many && rng_below(r, 4) ? changed(r, v) : odd(r);
    if (!many)
        return val_ref((struct val *)(uintptr_t)v);
    struct val *out = val_is(v, JSON_ARR) ? val_arr() : val_obj();
    while (val_each(v, &at, &key, &item)) {
        struct val *one = *n == SIZE_MAX ? val_ref(item) : mutated(r, item, n);
        out = key.p ? val_put(out, key, one) : val_push(out, one);
    }
    return out;
}

static void test_mutations(void **state)
{
    (void)state;
    struct rng r;
    const char *more = getenv("PLEXUS_FLOW_MUTATIONS");
    uint64_t count = more ? strtoull(more, NULL, 10) : MUTATIONS;
    size_t good = 0;
    if (!all.official) {
        skip();
        return;
    }
    for (uint64_t i = 0; i < count; i++) {
        rng_init(&r, 5000 + i);
        size_t which = rng_below(&r, all.count), n = rng_below(&r, nodes(all.docs[which]));
        struct val *v = mutated(&r, all.docs[which], &n);
        assert_non_null(v);
        good += same(all.names[which], 5000 + i, v);
        val_unref(v);
    }
    printf("%llu changed documents, %zu of them valid\n", (unsigned long long)count, good);
    assert_true(good > count / 20 && good < count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_corpus),
        cmocka_unit_test(test_mutations),
    };
    return cmocka_run_group_tests_name("doc_schema", tests, set_up, tear_down);
}
