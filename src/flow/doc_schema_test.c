// doc_schema_test.c: schema.json of our own accepts and refuses what the official schema does: for
// the CTK's documents, those of tests/flows, and thousands of changed ones. More documents can be
// given as a folder in PLEXUS_FLOW_DOCS.
// SPDX-License-Identifier: Apache-2.0
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
#define PLANS 1000

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
    assert_int_equal(json_parse(&all.own_text, flow_document_schema(), 0, &e), 0);
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
    static const char *const ours[] = {
        "/$defs/model", "/$defs/agent",       "/$defs/sampling",         "/$defs/evaluate",
        "/$defs/tool",  "/properties/plexus", "/$defs/call/allOf/0/then"};
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

// What the official schema accepts is a plan, too (checks beyond the schema are not stricter than
// what people write), perhaps with needs.
static void is_plan(const char *name, const struct val *v)
{
    struct flow_plan *p = NULL;
    struct err e = {0};
    struct buf text;
    buf_init(&text, 1 << 20);
    assert_int_equal(val_write(&text, v), 0);
    if (flow_plan_new(&p, buf_bytes(&text), NULL, &e) < 0)
        fail_msg("%s: %s", name, e.text);
    flow_plan_unref(p);
    buf_fini(&text);
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
        if (same(all.names[i], 0, all.docs[i])) {
            good++;
            is_plan(all.names[i], all.docs[i]);
        }
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

// v with the value at a pointer replaced (or put in); text NULL: taken out. Takes nothing.
static struct val *with_at(const struct val *v, struct bytes pointer, const struct val *value)
{
    struct bytes rest = bytes_from(pointer, 1), name = bytes_cut(&rest, '/'), key;
    bool last = !rest.p, found = false;
    struct val *out = val_is(v, JSON_ARR) ? val_arr() : val_obj(), *item;
    size_t at = 0, i = 0;
    uint64_t n = UINT64_MAX;
    rest = (struct bytes){name.p + name.n, pointer.n - 1 - name.n};
    (void)bytes_u64(name, &n);
    while (val_each(v, &at, &key, &item)) {
        bool here = key.p ? bytes_eq(key, name) : n == i;
        struct val *one = !here  ? val_ref(item)
                          : last ? val_ref((struct val *)(uintptr_t)value)
                                 : with_at(item, rest, value);
        found = found || here;
        i++;
        if (here && last && !value)
            continue;
        out = key.p ? val_put(out, key, one) : val_push(out, one);
    }
    if (!found && last && value)
        out = val_is(v, JSON_ARR) ? val_push(out, val_ref((struct val *)(uintptr_t)value))
                                  : val_put(out, name, val_ref((struct val *)(uintptr_t)value));
    else if (!found)
        fail_msg("no %.*s", BYTES_FMT(pointer));
    return out;
}

static const struct val *doc_of(const char *file)
{
    for (size_t i = 0; i < all.count; i++)
        if (strncmp(all.names[i], file, strlen(file)) == 0 && all.names[i][strlen(file)] == '#')
            return all.docs[i];
    fail_msg("no %s", file);
    return NULL;
}

// Each limit of the schema from both sides.
static void test_edges(void **state)
{
    (void)state;
    static const struct {
        const char *file, *pointer, *json; // json NULL: taken out
        bool valid;
    } rows[] = {
#include "flow/doc_schema_edges.def"
    };
    if (!all.official) {
        skip();
        return;
    }
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct val *value = NULL;
        struct err e = {0};
        if (rows[i].json && val_parse(&value, bytes_of(rows[i].json), &e))
            fail_msg("%s: %s", rows[i].json, e.text);
        struct val *v = with_at(doc_of(rows[i].file), bytes_of(rows[i].pointer), value);
        assert_non_null(v);
        if (same(rows[i].file, i, v) != rows[i].valid)
            fail_msg("%s%s = %s: valid is not %d", rows[i].file, rows[i].pointer,
                     rows[i].json ? rows[i].json : "nothing", rows[i].valid);
        val_unref(v);
        val_unref(value);
    }
}

// Every changed document is a plan, or is refused with findings that say something.
static void test_plans(void **state)
{
    (void)state;
    struct rng r;
    struct flow_findings f;
    size_t good = 0, schema = 0, other = 0, needs = 0;
    for (uint64_t i = 0; i < PLANS; i++) {
        struct flow_plan *p = NULL;
        struct err e = {0};
        struct buf text;
        rng_init(&r, 900000 + i);
        size_t which = rng_below(&r, all.count), n = rng_below(&r, nodes(all.docs[which]));
        struct val *v = mutated(&r, all.docs[which], &n);
        buf_init(&text, 1 << 20);
        assert_int_equal(val_write(&text, v), 0);
        int rc = flow_plan_new(&p, buf_bytes(&text), &f, &e);
        good += rc == 0;
        needs += rc == 1;
        schema += rc == E_SCHEMA;
        other += rc == E_INVALID;
        if (rc < 0 && rc != E_SCHEMA && rc != E_INVALID)
            fail_msg("%s: %d %s", all.names[which], rc, e.text);
        assert_true(rc >= 0 ? f.count == 0 : f.count > 0 && strlen(e.text) > 10);
        for (size_t k = 0; k < f.count; k++)
            if (strlen(f.at[k].message) < 10 || !f.at[k].line || !f.at[k].column)
                fail_msg("%s: %s", all.names[which], f.at[k].message);
        flow_plan_unref(p);
        val_unref(v);
        buf_fini(&text);
    }
    printf("%d changed documents: %zu plans, %zu with needs, %zu not of the schema, %zu otherwise "
           "wrong\n",
           PLANS, good, needs, schema, other);
    assert_true(good > PLANS / 50 && schema > PLANS / 10 && other > PLANS / 50);
}

static void test_invalid(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        uint32_t line;
        const char *words;
    } rows[] = {
        {"extra-property-in-call.yaml", 12, "unknown key \"foo\""},
        {"listen-any-until-any-until.yaml", 7, "duplicate key \"do\""},
        {"two-tasks-in-one-item.yaml", 7, "two tasks in one item"},
    };
    char folder[SUITE_PATH_MAX], path[SUITE_PATH_MAX * 2];
    if (!suite_folder(SUITE, folder)) {
        skip();
        return;
    }
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct flow_plan *p = NULL;
        struct flow_findings f;
        struct err e = {0};
        struct buf text;
        buf_init(&text, SUITE_FILE_MAX);
        snprintf(path, sizeof path, "%s/invalid/%s", folder, rows[i].file);
        assert_true(suite_read(path, &text));
        assert_true(flow_plan_new(&p, buf_bytes(&text), &f, &e) < 0);
        assert_int_equal(f.count, 1);
        if (f.at[0].line != rows[i].line || !strstr(f.at[0].message, rows[i].words))
            fail_msg("%s: line %u: %s", rows[i].file, f.at[0].line, f.at[0].message);
        buf_fini(&text);
    }
}

// Own documents are whole plans.
static void test_own(void **state)
{
    (void)state;
    size_t count;
    char **names = suite_names("tests/flows", &count);
    for (size_t i = 0; i < count; i++) {
        char path[SUITE_PATH_MAX];
        struct flow_plan *p = NULL;
        struct err e = {0};
        struct buf text;
        if (!bytes_ends(bytes_of(names[i]), BYTES(".yaml")))
            continue;
        buf_init(&text, SUITE_FILE_MAX);
        snprintf(path, sizeof path, "tests/flows/%s", names[i]);
        assert_true(suite_read(path, &text));
        if (flow_plan_new(&p, buf_bytes(&text), NULL, &e))
            fail_msg("%s: %s", path, e.text);
        flow_plan_unref(p);
        buf_fini(&text);
    }
    suite_names_free(names, count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_corpus),    cmocka_unit_test(test_edges),
        cmocka_unit_test(test_mutations), cmocka_unit_test(test_plans),
        cmocka_unit_test(test_invalid),   cmocka_unit_test(test_own),
    };
    return cmocka_run_group_tests_name("doc_schema", tests, set_up, tear_down);
}
