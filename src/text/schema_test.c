// schema_test.c: what a failure says, what a bad schema says, limits, work, memory.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "text/schema.h"
#include "text/schema_priv.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

struct made {
    struct json_doc *doc;
    struct schema *schema;
};

static struct made make(const char *text, bool format)
{
    struct made m = {0};
    struct err e = {0};
    if (json_parse(&m.doc, bytes_of(text), 0, &e) < 0)
        fail_msg("%s: %s", text, e.text);
    const struct schema_args args = {.doc = json_root(m.doc), .assert_format = format};
    if (schema_new(&m.schema, &args, &e) < 0)
        fail_msg("%s: %s", text, e.text);
    return m;
}

static void drop(struct made *m)
{
    schema_free(m->schema);
    json_free(m->doc);
}

static int check(const struct made *m, const char *text, struct schema_error *why)
{
    struct json_doc *doc = NULL;
    assert_int_equal(json_parse(&doc, bytes_of(text), 0, NULL), 0);
    int rc = schema_check(m->schema, json_root(doc), why);
    json_free(doc);
    return rc;
}

static void test_messages(void **state)
{
    (void)state;
    static const struct {
        const char *schema, *instance, *at, *keyword, *message;
    } rows[] = {
        {"{\"type\":\"string\"}", "5", "", "/type", "expected string, found number 5"},
        {"{\"type\":[\"integer\",\"null\",\"array\"]}", "1.5", "", "/type",
         "expected array, integer or null, found number 1.5"},
        {"{\"type\":\"string\"}", "{\"a\":1}", "", "/type",
         "expected string, found object with 1 keys"},
        {"{\"properties\":{\"temperature\":{}},\"additionalProperties\":false}",
         "{\"tempreature\":1}", "/tempreature", "/additionalProperties",
         "unknown key \"tempreature\", nearest: \"temperature\""},
        {"{\"additionalProperties\":false}", "{\"a/b~\":1}", "/a~1b~0", "/additionalProperties",
         "unknown key \"a/b~\""},
        {"{\"$ref\":\"#/$defs/x\",\"unevaluatedProperties\":false,\"$defs\":{\"x\":{\"properties\":"
         "{\"listen\":true}}}}",
         "{\"listne\":1}", "/listne", "/unevaluatedProperties",
         "unknown key \"listne\", nearest: \"listen\""},
        {"{\"properties\":{\"a\":{\"items\":{\"enum\":[\"user\",\"system\",1]}}}}",
         "{\"a\":[\"user\",\"usr\"]}", "/a/1", "/properties/a/items/enum",
         "expected one of \"user\", \"system\", 1, found string \"usr\", nearest: \"user\""},
        {"{\"const\":\"chat\"}", "null", "", "/const", "expected \"chat\", found null"},
        {"{\"required\":[\"model\"]}", "{}", "", "/required", "missing key \"model\""},
        {"{\"dependentRequired\":{\"a\":[\"b\"]}}", "{\"a\":1}", "", "/dependentRequired",
         "missing key \"b\""},
        {"{\"minimum\":0}", "-1", "", "/minimum", "must be at least 0, found number -1"},
        {"{\"exclusiveMaximum\":2.5}", "3", "", "/exclusiveMaximum",
         "must be less than 2.5, found number 3"},
        {"{\"multipleOf\":0.01}", "0.005", "", "/multipleOf",
         "must be a multiple of 0.01, found number 0.005"},
        {"{\"minLength\":3}", "\"\xc3\xa9\xc3\xa9\"", "", "/minLength",
         "must have at least 3 characters, found string \"\xc3\xa9\xc3\xa9\""},
        {"{\"minItems\":1}", "[]", "", "/minItems", "must have at least 1 items, found 0"},
        {"{\"maxProperties\":1}", "{\"a\":1,\"b\":2}", "", "/maxProperties",
         "must have at most 1 keys, found 2"},
        {"{\"pattern\":\"^a\\\\d\"}", "\"b\"", "", "/pattern",
         "must match the pattern \"^a\\\\d\", found string \"b\""},
        {"{\"format\":\"uuid\"}", "\"b\"", "", "/format",
         "must be a valid uuid, found string \"b\""},
        {"{\"uniqueItems\":true}", "[1,2,1.0]", "/2", "/uniqueItems",
         "appears twice, found number 1.0"},
        {"{\"prefixItems\":[{}],\"items\":false}", "[1,2]", "/1", "/items",
         "this item is one too many, found number 2"},
        {"{\"not\":{\"type\":\"null\"}}", "null", "", "/not",
         "must not have this form, found null"},
        {"{\"properties\":{\"a\":false}}", "{\"a\":1}", "/a", "/properties/a", NULL},
        {"{\"contains\":{\"const\":1}}", "[2]", "", "/contains", "no item fits \"contains\""},
        {"{\"oneOf\":[{\"type\":\"number\"},{\"type\":\"integer\"}]}", "1", "", "/oneOf",
         "fits more than one of the allowed forms, found number 1"},
        // Only the type was wrong in each branch.
        {"{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"array\"},{\"type\":\"null\"}]}", "1", "",
         "/anyOf", "expected string, array or null, found number 1"},
        // The branch that went deepest tells.
        {"{\"anyOf\":[{\"type\":\"string\"},{\"items\":{\"properties\":{\"n\":{\"type\":\"number\"}"
         "}}}"
         "]}",
         "[{\"n\":\"x\"}]", "/0/n", "/anyOf/1/items/properties/n/type",
         "expected number, found string \"x\""},
        // A branch for another tag does not tell.
        {"{\"oneOf\":[{\"properties\":{\"type\":{\"const\":\"text\"}},\"required\":[\"text\"]},"
         "{\"properties\":{\"type\":{\"const\":\"image\"}},\"required\":[\"url\"]}]}",
         "{\"type\":\"image\"}", "", "/oneOf/1/required", "missing key \"url\""},
        // No branch has the tag: all tags are named.
        {"{\"oneOf\":[{\"properties\":{\"type\":{\"const\":\"text\"}}},"
         "{\"properties\":{\"type\":{\"enum\":[\"image\",\"audio\"]}}}]}",
         "{\"type\":\"imgae\"}", "/type", "/oneOf/0/properties/type/const",
         "expected one of \"text\", \"image\", \"audio\", found string \"imgae\", nearest: "
         "\"image\""},
        {"{\"propertyNames\":{\"maxLength\":2}}", "{\"abc\":1}", "/abc", "/propertyNames/maxLength",
         "must have at most 2 characters, found string \"abc\""},
        {"{\"if\":{\"type\":\"object\"},\"then\":{\"required\":[\"a\"]}}", "{}", "",
         "/then/required", "missing key \"a\""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct made m = make(rows[i].schema, true);
        struct schema_error why = {.message = ""};
        assert_int_equal(check(&m, rows[i].instance, &why), E_SCHEMA);
        assert_int_equal(check(&m, rows[i].instance, NULL), E_SCHEMA);
        if (strcmp(why.instance, rows[i].at) || strcmp(why.keyword, rows[i].keyword) ||
            (rows[i].message && strcmp(why.message, rows[i].message)))
            fail_msg("%s\nhave %s | %s | %s\nwant %s | %s | %s", rows[i].schema, why.instance,
                     why.keyword, why.message, rows[i].at, rows[i].keyword, rows[i].message);
        drop(&m);
    }
}

static void test_cut(void **state)
{
    (void)state;
    struct made m = make("{\"additionalProperties\":{\"type\":\"null\"}}", false);
    struct buf b;
    struct schema_error why;
    buf_init(&b, 1 << 16);
    buf_str(&b, "{\"");
    buf_str(&b, "a/");
    for (int i = 0; i < 400; i++)
        buf_str(&b, "\xe2\x82\xac");
    buf_str(&b, "\":\"");
    for (int i = 0; i < 400; i++)
        buf_str(&b, "\xe2\x82\xac");
    buf_str(&b, "\"}");
    assert_int_equal(check(&m, buf_cstr(&b), &why), E_SCHEMA);
    assert_true(bytes_is_utf8(bytes_of(why.instance)));
    assert_true(bytes_is_utf8(bytes_of(why.message)));
    assert_in_range(strlen(why.instance), 250, 255);
    assert_true(strlen(why.message) < 200);
    buf_fini(&b);
    drop(&m);
}

static void test_bad_schemas(void **state)
{
    (void)state;
    static const struct {
        const char *schema, *error;
    } rows[] = {
        {"5", "must be an object or a boolean"},
        {"{\"type\":\"strin\"}", "#/type: unknown type"},
        {"{\"type\":[\"string\",1]}", "#/type/1: unknown type"},
        {"{\"properties\":{\"a\":5}}", "#/properties/a: a schema must be"},
        {"{\"properties\":[]}", "#/properties: must be an object"},
        {"{\"allOf\":{}}", "#/allOf: must be an array of schemas"},
        {"{\"enum\":1}", "#/enum: must be an array"},
        {"{\"required\":[1]}", "#/required/0: must be a string"},
        {"{\"required\":\"a\"}", "#/required: must be an array of strings"},
        {"{\"minLength\":-1}", "#/minLength: must be a whole number"},
        {"{\"minimum\":\"0\"}", "#/minimum: must be a number"},
        {"{\"multipleOf\":0}", "#/multipleOf: must be greater than 0"},
        {"{\"pattern\":\"(\"}", "#/pattern: bad pattern \"(\": "},
        {"{\"pattern\":\"a**\"}", "nothing to repeat"},
        {"{\"patternProperties\":{\"\\\\Z\":{}}}", "an escape that ECMA-262 does not have"},
        {"{\"uniqueItems\":1}", "#/uniqueItems: must be true or false"},
        {"{\"$ref\":\"#/$defs/x\"}",
         "#/$ref: reference \"#/$defs/x\" leads nowhere: nothing there"},
        {"{\"$ref\":\"#x\"}", "leads nowhere: no such anchor"},
        {"{\"$ref\":\"http://x.test/y\"}", "leads nowhere: no such document"},
        {"{\"$ref\":\"#/enum\",\"enum\":[]}", "leads nowhere: no schema there"},
        {"{\"$ref\":\"#%zz\"}", "broken escapes"},
        {"{\"$ref\":5}", "#/$ref: must be a string"},
        {"{\"$schema\":\"http://x.test/meta\"}", "unknown dialect"},
        {"{\"properties\":{\"a\":{\"items\":{\"const\":1,\"maximum\":null}}}}",
         "#/properties/a/items/maximum: must be a number"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct json_doc *doc = NULL;
        struct schema *s = NULL;
        struct err e = {0};
        assert_int_equal(json_parse(&doc, bytes_of(rows[i].schema), 0, NULL), 0);
        const struct schema_args args = {.doc = json_root(doc)};
        assert_int_equal(schema_new(&s, &args, &e), E_SCHEMA);
        if (!strstr(e.text, rows[i].error))
            fail_msg("%s: want \"%s\", have \"%s\"", rows[i].schema, rows[i].error, e.text);
        assert_null(s);
        json_free(doc);
    }
}

static void test_set(void **state)
{
    (void)state;
    struct schema_set *set = schema_set_new();
    struct json_doc *other = NULL, *main_doc = NULL;
    struct err e = {0};
    struct schema *s = NULL;
    struct schema_error why;
    assert_int_equal(json_parse(&other, BYTES("{\"$defs\":{\"n\":{\"type\":\"integer\"}}}"), 0, &e),
                     0);
    assert_int_equal(
        json_parse(&main_doc, BYTES("{\"items\":{\"$ref\":\"other#/$defs/n\"}}"), 0, &e), 0);
    assert_int_equal(schema_set_add(set, BYTES("http://x.test/dir/other"), json_root(other), &e),
                     0);
    assert_int_equal(schema_set_add(set, BYTES("#"), json_root(other), &e), E_INVALID);
    assert_int_equal(schema_set_add(set, BYTES("http://x.test/"), NULL, &e), E_SCHEMA);
    const struct schema_args args = {
        .doc = json_root(main_doc), .set = set, .base_uri = "http://x.test/dir/main"};
    assert_int_equal(schema_new(&s, &args, &e), 0);
    struct made m = {main_doc, s};
    assert_int_equal(check(&m, "[1,\"x\"]", &why), E_SCHEMA);
    assert_string_equal(why.keyword, "http://x.test/dir/other#/$defs/n/type");
    assert_string_equal(why.instance, "/1");
    drop(&m);
    json_free(other);
    schema_set_free(set);
    schema_set_free(NULL);
    schema_free(NULL);
}

static void test_limits(void **state)
{
    (void)state;
    struct schema_error why;
    struct made m = make("{\"$ref\":\"#\"}", false);
    assert_int_equal(check(&m, "1", &why), E_TOOBIG); // never ends
    assert_non_null(strstr(why.message, "too much work"));
    drop(&m);
    // 2^24 branches.
    m = make("{\"$defs\":{\"a\":{\"anyOf\":[{\"items\":{\"$ref\":\"#/$defs/a\"},\"minItems\":1},"
             "{\"items\":{\"$ref\":\"#/$defs/a\"},\"minItems\":1,\"maxItems\":2},"
             "{\"items\":{\"$ref\":\"#/$defs/a\"},\"minItems\":1,\"maxItems\":3},"
             "{\"items\":{\"$ref\":\"#/$defs/a\"},\"minItems\":1,\"maxItems\":4}]}},"
             "\"$ref\":\"#/$defs/a\"}",
             false);
    assert_int_equal(check(&m, "[[[[[[[[[[[[[[1]]]]]]]]]]]]]]", &why), 0);
    assert_int_equal(check(&m, "[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]", &why), E_TOOBIG);
    drop(&m);
    // A pattern that backtracks without end.
    m = make("{\"pattern\":\"^(a|a)*$\"}", false);
    assert_int_equal(check(&m, "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab\"", &why), E_TOOBIG);
    drop(&m);
}

static void test_many(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 1 << 20);
    // More required keys than the fast path takes, and more members than one word of bits.
    buf_str(&b, "{\"unevaluatedProperties\":false,\"required\":[");
    for (int i = 0; i < 300; i++)
        buf_fmt(&b, "%s\"key-number-%d\"", i ? "," : "", i);
    buf_str(&b, "],\"allOf\":[{\"patternProperties\":{\"^key-\":{\"type\":\"integer\"}}}]}");
    struct made m = make(buf_cstr(&b), false);
    struct schema_error why;
    buf_clear(&b);
    buf_str(&b, "{");
    for (int i = 0; i < 300; i++)
        buf_fmt(&b, "%s\"key-number-%d\":%d", i ? "," : "", i, i);
    buf_str(&b, "}");
    assert_int_equal(check(&m, buf_cstr(&b), &why), 0);
    b.n--;
    buf_str(&b, ",\"other\":1}");
    assert_int_equal(check(&m, buf_cstr(&b), &why), E_SCHEMA);
    assert_string_equal(why.instance, "/other");
    assert_int_equal(check(&m, "{\"key-number-1\":1}", &why), E_SCHEMA);
    assert_string_equal(why.message, "missing key \"key-number-0\"");
    drop(&m);
    m = make("{\"uniqueItems\":true}", false);
    buf_clear(&b);
    buf_str(&b, "[{\"a\":1,\"b\":[1]}");
    for (int i = 0; i < 5000; i++)
        buf_fmt(&b, ",%d,\"%d\",[%d],{\"k\":%d},%d.5", i, i, i, i, i);
    buf_str(&b, "]");
    assert_int_equal(check(&m, buf_cstr(&b), &why), 0);
    b.n--;
    buf_str(&b, ",{\"b\":[1.0],\"a\":1}]");
    assert_int_equal(check(&m, buf_cstr(&b), &why), E_SCHEMA);
    assert_string_equal(why.instance, "/25001");
    buf_fini(&b);
    drop(&m);
}

static void test_no_allocation(void **state)
{
    (void)state;
    struct made m =
        make("{\"type\":\"object\",\"required\":[\"model\"],\"properties\":{\"model\":{"
             "\"type\":\"string\"},\"messages\":{\"type\":\"array\",\"items\":{\"$ref\":"
             "\"#/$defs/m\"}}},\"$defs\":{\"m\":{\"properties\":{\"role\":{\"enum\":["
             "\"user\"]}}}}}",
             false);
    struct json_doc *doc = NULL;
    assert_int_equal(
        json_parse(&doc, BYTES("{\"model\":\"m\",\"messages\":[{\"role\":\"user\"}]}"), 0, NULL),
        0);
    uint64_t before = mem_count();
    assert_int_equal(schema_check(m.schema, json_root(doc), NULL), 0);
    assert_int_equal(mem_count(), before);
    assert_int_equal(schema_check(m.schema, NULL, NULL), E_INVALID);
    json_free(doc);
    drop(&m);
}

static void test_no_memory(void **state)
{
    (void)state;
    struct json_doc *doc = NULL;
    assert_int_equal(
        json_parse(&doc,
                   BYTES("{\"$id\":\"http://x.test/\",\"properties\":{\"a\":{\"pattern\":"
                         "\"a+\"},\"b\":{\"$ref\":\"#/properties/a\"}},\"required\":[\"c\"]}"),
                   0, NULL),
        0);
    uint64_t live = mem_live();
    int rc = E_NOMEM;
    for (uint64_t n = 1; rc < 0; n++) {
        const struct schema_args args = {.doc = json_root(doc)};
        struct schema *s = NULL;
        struct err e = {0};
        mem_fail_after(n, 1);
        rc = schema_new(&s, &args, &e);
        mem_fail_after(0, 0);
        assert_true(rc == 0 || (e.code < 0 && !s));
        schema_free(s);
        assert_int_equal(mem_live(), live);
    }
    json_free(doc);
}

static void test_uris(void **state)
{
    (void)state;
    struct arena *a = arena_new(1 << 16);
    assert_true(bytes_is(schema_uri_decode(a, BYTES("%41%7e/")), "A~/"));
    assert_null(schema_uri_decode(a, BYTES("%4")).p);
    arena_free(a);
}

static void test_patterns(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *text;
        int match; // -1: refused
    } rows[] = {
        {"^x-", "x-a", 1},
        {"^x-", "a", 0},
        {"", "", 1},
        {"^a.c$", "a\nc", 0},
        {"^a$", "a\n", 0},
        {"\\d", "\xd9\xa3", 0},
        {"^\\s$", "\xc2\xa0", 1},
        {"^\\S$", "\xef\xbb\xbf", 0},
        {"^[\\s]$", "\xe2\x80\xa8", 1},
        {"^[^\\S]$", " ", 1},
        {"^\\cA$", "\x01", 1},
        {"^\\u{1F600}$", "\xf0\x9f\x98\x80", 1},
        {"^\\ud83d\\ude00$", "\xf0\x9f\x98\x80", 1},
        {"\\ud83d", "x", -1},
        {"\\u{110000}", "x", -1},
        {"\\u12", "x", -1},
        {"^\\x41$", "A", 1},
        {"\\x4", "x", -1},
        {"[]", "a", 0},
        {"^[^]$", "\n", 1},
        {"^a{2}$", "aa", 1},
        {"^a{,2}$", "a{,2}", 1},
        {"^}]$", "}]", 1},
        {"a{2}{3}", "x", -1},
        {"a++", "x", -1},
        {"*a", "x", -1},
        {"(?>a)", "x", -1},
        {"(?#c)", "x", -1},
        {"(*FAIL)", "x", -1},
        {"(?i)a", "x", -1},
        {"(?<n>a)\\k<n>", "aa", 1},
        {"(?<n", "x", -1},
        {"(a)\\1", "aa", 1},
        {"(a)?\\1b", "b", 1},
        {"[\\1]", "x", -1},
        {"^\\p{Letter}+$", "\xc3\xa9", 1},
        {"^\\p{Script=Greek}$", "\xce\xb1", 1},
        {"\\p{Nope}", "x", -1},
        {"\\p", "x", -1},
        {"\\Q", "x", -1},
        {"\\a", "x", -1},
        {"\\", "x", -1},
        {"[[:alpha:]]", ":]", 1},
        {"^[\\b]$", "\b", 1},
        {"[\\B]", "x", -1},
        {"\\bfoo\\b", "a foo", 1},
        {"^(?=a)a(?!b)", "ac", 1},
        {"(?<=a)b", "ab", 1},
        {"(?<!a)b", "ab", 0},
        {"^\\/\\-$", "/-", 1},
        {"^\\v$", "\v", 1},
        {"a+?b", "aab", 1},
        {"a|b", "b", 1},
        {"\\0", "x", 0},
        {"\\c1", "x", -1},
        {"\\k<", "x", -1},
        {"[\\w-]", "-", 1},
        {"[a", "x", -1},
        {"\\p{gc=Lu}", "A", 1},
        {"\\P{scx=Latin}", "1", 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct schema_pattern *all = NULL, *p = NULL;
        struct err e = {0};
        int rc = schema_pattern_new(&p, &all, bytes_of(rows[i].pattern), &e);
        if (rc == 0)
            rc = schema_pattern_match(p, bytes_of(rows[i].text));
        else
            assert_int_equal(rc, E_PARSE);
        if ((rc < 0 ? -1 : rc) != rows[i].match)
            fail_msg("%s on %s: want %d, have %d %s", rows[i].pattern, rows[i].text, rows[i].match,
                     rc, e.text);
        schema_patterns_free(all);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages),      cmocka_unit_test(test_cut),
        cmocka_unit_test(test_bad_schemas),   cmocka_unit_test(test_set),
        cmocka_unit_test(test_limits),        cmocka_unit_test(test_many),
        cmocka_unit_test(test_no_allocation), cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_uris),          cmocka_unit_test(test_patterns),
    };
    return cmocka_run_group_tests_name("schema", tests, NULL, NULL);
}
