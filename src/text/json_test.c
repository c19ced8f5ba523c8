// json_test.c: JSON documents, readers, equality, the writer.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "text/json.h"
#include "text/json_priv.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct json_doc *parse(const char *text)
{
    struct json_doc *doc = NULL;
    struct err e = {0};
    int rc = json_parse(&doc, bytes_of(text), 0, &e);
    if (rc < 0)
        fail_msg("%s: %s", text, e.text);
    return doc;
}

static void test_errors(void **state)
{
    (void)state;
    static const struct {
        const char *text, *error;
        unsigned flags;
    } rows[] = {
        {"", "line 1, column 1 (offset 0): empty", 0},
        {"{\"a\":1,\n \"b\":}", "line 2, column 6 (offset 13): unexpected character", 0},
        {"[1,]", "trailing comma", 0},
        {"[1, // x\n2]", "line 1, column 5", 0},
        {"[NaN]", "unexpected character", 0},
        {"\xEF\xBB\xBF{}", "byte order mark", 0},
        {"[\"\\ud800\"]", "surrogate", 0},
        {"[\"\xff\"]", "UTF-8", 0},
        {"[1] x", "after document", 0},
        {"{\"a\":1,\"b\":{\"c\":1,\n\"c\":2}}", "line 2, column 1 (offset 19): duplicate key \"c\"",
         JSON_UNIQUE},
        {"{\"\\u0061\":1,\"a\":2}", "duplicate key \"a\"", JSON_UNIQUE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct json_doc *doc = NULL;
        struct err e = {0};
        assert_int_equal(json_parse(&doc, bytes_of(rows[i].text), rows[i].flags, &e), E_PARSE);
        assert_null(doc);
        if (!strstr(e.text, rows[i].error))
            fail_msg("%s: want \"%s\", have \"%s\"", rows[i].text, rows[i].error, e.text);
    }
    struct json_doc *doc = NULL;
    assert_int_equal(json_parse(&doc, BYTES_NONE, 0, NULL), E_PARSE);
}

static void nested(struct buf *b, size_t depth, bool close)
{
    buf_clear(b);
    for (size_t i = 0; i < depth; i++)
        buf_str(b, i % 2 ? "{\"a\":" : "[");
    buf_chr(b, '1');
    for (size_t i = depth; close && i > 0; i--)
        buf_chr(b, (i - 1) % 2 ? '}' : ']');
}

static void test_depth(void **state)
{
    (void)state;
    struct buf b;
    struct err e = {0};
    struct json_doc *doc = NULL;
    buf_init(&b, 1 << 20);
    nested(&b, JSON_DEPTH_MAX, true);
    assert_int_equal(json_parse(&doc, buf_bytes(&b), JSON_UNIQUE, &e), 0);
    assert_true(json_equal(json_root(doc), json_root(doc)));
    json_free(doc);
    nested(&b, JSON_DEPTH_MAX + 1, true);
    assert_int_equal(json_parse(&doc, buf_bytes(&b), 0, &e), E_PARSE);
    assert_non_null(strstr(e.text, "deeper than 512"));
    nested(&b, 20000, true);
    assert_int_equal(json_parse(&doc, buf_bytes(&b), 0, &e), E_PARSE);
    nested(&b, 20000, false);
    assert_int_equal(json_parse(&doc, buf_bytes(&b), 0, &e), E_PARSE);
    buf_clear(&b); // siblings are not depth
    buf_str(&b, "[0");
    for (int i = 0; i < 2000; i++)
        buf_str(&b, ",[[]]");
    buf_str(&b, "]");
    assert_int_equal(json_parse(&doc, buf_bytes(&b), 0, &e), 0);
    assert_int_equal(json_len(json_root(doc)), 2001);
    json_free(doc);
    buf_fini(&b);
}

static void test_readers(void **state)
{
    (void)state;
    struct json_doc *doc =
        parse("{\"s\":\"a\\u0000b\",\"n\":[1,-2,1.0,2.5,18446744073709551615,"
              "12345678901234567890123,1e400,-9223372036854775808,1e20],"
              "\"t\":true,\"z\":null,\"o\":{\"k\":1,\"k\":2},\"a/b\":{\"~\":[5]}}");
    const struct json *r = json_root(doc), *n = json_get(r, "n");
    assert_int_equal(json_kind(NULL), JSON_NULL);
    assert_false(json_is(NULL, JSON_NULL));
    assert_true(json_is(json_get(r, "z"), JSON_NULL));
    assert_int_equal(json_str(json_get(r, "s")).n, 3);
    assert_string_equal(json_cstr(json_get(r, "s"), "x"), "a");
    assert_string_equal(json_cstr(n, "x"), "x");
    assert_null(json_str(n).p);
    assert_true(json_bool(json_get(r, "t"), false));
    assert_true(json_bool(json_get(r, "z"), true));
    static const struct {
        bool is_int;
        int64_t i;
    } rows[] = {{true, 1},  {true, -2}, {true, 1},         {false, 99}, {true, 99},
                {true, 99}, {true, 99}, {true, INT64_MIN}, {true, 99}};
    assert_int_equal(json_len(n), 9);
    for (size_t i = 0; i < 9; i++) {
        assert_int_equal(json_is_int(json_at(n, i)), rows[i].is_int);
        assert_int_equal(json_i64(json_at(n, i), 99), rows[i].i);
    }
    assert_true(json_num(json_at(n, 3), 0) == 2.5);
    assert_true(json_num(json_at(n, 5), 0) == 12345678901234567890123.0);
    assert_true(isinf(json_num(json_at(n, 6), 0)));
    assert_true(json_num(r, -1) == -1);
    assert_true(bytes_is(json_raw_num(json_at(n, 5)), "12345678901234567890123"));
    assert_null(json_raw_num(json_at(n, 4)).p);
    assert_null(json_raw_num(NULL).p);
    assert_null(json_at(n, 9));
    assert_int_equal(json_i64(json_get(json_get(r, "o"), "k"), 0), 2); // the last one
    assert_int_equal(json_i64(json_at(json_get(r, "o"), 0), 0), 1);
    assert_null(json_at(json_get(r, "o"), 2));
    assert_null(json_at(NULL, 0));
    assert_null(json_get(n, "k"));
    assert_int_equal(json_len(json_get(r, "s")), 0);
    json_free(doc);
    assert_null(json_root(NULL));
}

static void test_pointers(void **state)
{
    (void)state;
    struct json_doc *doc =
        parse("{\"a\":[10,20,[30]],\"\":1,\"a/b\":2,\"m~n\":3,\"~1\":4,\"0\":5}");
    static const struct {
        const char *pointer;
        int64_t value; // -1: absent
    } rows[] = {{"/a/0", 10},   {"/a/2/0", 30}, {"/a/3", -1},
                {"/a/01", -1},  {"/a/-", -1},   {"/", 1},
                {"/a~1b", 2},   {"/m~0n", 3},   {"/~01", 4},
                {"/0", 5},      {"/a/x", -1},   {"a", -1},
                {"/a/0/1", -1}, {"/a/", -1},    {"/a/99999999999999999999", -1}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int64_t have = json_i64(json_ptr(json_root(doc), bytes_of(rows[i].pointer)), -1);
        if (have != rows[i].value)
            fail_msg("%s: want %lld, have %lld", rows[i].pointer, (long long)rows[i].value,
                     (long long)have);
    }
    assert_ptr_equal(json_ptr(json_root(doc), BYTES("")), json_root(doc));
    json_free(doc);
}

static void test_equal(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        bool equal;
    } rows[] = {
        {"1", "1.0", true},
        {"0", "-0.0", true},
        {"9007199254740993", "9007199254740992.0", false},
        {"18446744073709551615", "18446744073709551616.0", false},
        {"18446744073709551616", "18446744073709551616", true},
        {"18446744073709551616", "18446744073709551617", false},
        {"-18446744073709551616", "18446744073709551616", false},
        {"-9223372036854775808", "-9223372036854775808.0", true},
        {"-1", "1", false},
        {"-1", "-1.5", false},
        {"-1", "-1e30", false},
        {"1", "1e30", false},
        {"1", "1.5", false},
        {"1", "-1.5", false},
        {"1", "\"1\"", false},
        {"[1,2]", "[2,1]", false},
        {"[1,2]", "[1]", false},
        {"{\"a\":1,\"b\":[2]}", "{\"b\":[2.0],\"a\":1}", true},
        {"{\"a\":1,\"b\":2}", "{\"a\":1,\"c\":2}", false},
        {"{\"a\":1}", "{\"a\":2}", false},
        {"{}", "[]", false},
        {"null", "false", false},
        {"true", "true", true},
        {"null", "null", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct json_doc *a = parse(rows[i].a), *b = parse(rows[i].b);
        if (json_equal(json_root(a), json_root(b)) != rows[i].equal ||
            json_equal(json_root(b), json_root(a)) != rows[i].equal)
            fail_msg("%s and %s: want %d", rows[i].a, rows[i].b, rows[i].equal);
        json_free(a);
        json_free(b);
    }
    assert_true(json_equal(NULL, NULL));
    struct json_doc *doc = parse("[1,2,3]");
    assert_false(json_equal(NULL, json_root(doc)));
    uint64_t work = 2;
    assert_int_equal(json_equal_work(json_root(doc), json_root(doc), &work), E_TOOBIG);
    json_free(doc);
}

static void test_order(void **state)
{
    (void)state;
    // Each is less than the next.
    struct json_doc *doc =
        parse("[-1e400,-1e30,-18446744073709551616,-9223372036854775808,-2,-1.5,-1,"
              "-0.5,0,0.5,1,1.5,9007199254740992.0,9007199254740993,"
              "18446744073709551615,18446744073709551616,1e30,1e400]");
    const struct json *r = json_root(doc);
    for (size_t i = 0; i < json_len(r); i++)
        for (size_t k = 0; k < json_len(r); k++) {
            struct json_num a = json_number(json_at(r, i)), b = json_number(json_at(r, k));
            int want = i < k ? -1 : i > k, have = json_num_cmp(&a, &b);
            if ((have < 0) != (want < 0) || (have > 0) != (want > 0))
                fail_msg("%zu against %zu: want %d, have %d", i, k, want, have);
        }
    json_free(doc);
}

static void test_write(void **state)
{
    (void)state;
    static const char *const same[] = {
        "{\"a\":[1,-1,0.1,1e100,\"x\\\"\\\\\\n\\u0001\",null,true,false,{}],\"b\":{\"c\":[]}}",
        "18446744073709551615",
        "123456789012345678901234567890",
        "1e400",
        "\"\"",
    };
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        struct json_doc *doc = parse(same[i]);
        struct buf out;
        buf_init(&out, 1 << 16);
        assert_int_equal(json_write(&out, json_root(doc)), 0);
        assert_string_equal(buf_cstr(&out), same[i]);
        buf_fini(&out);
        buf_init(&out, 3);
        if (strlen(same[i]) > 3)
            assert_int_equal(json_write(&out, json_root(doc)), E_TOOBIG);
        buf_fini(&out);
        json_free(doc);
    }
}

static void test_writer(void **state)
{
    (void)state;
    struct json_doc *doc = parse("{\"k\":[1]}");
    struct buf out;
    struct json_w w;
    buf_init(&out, 4096);
    json_w_init(&w, &out);
    json_w_obj(&w, NULL);
    json_w_str(&w, "s", BYTES("a\"b"));
    json_w_cstr(&w, "c", "x");
    json_w_cstr(&w, "none", NULL);
    json_w_arr(&w, "a");
    json_w_i64(&w, NULL, -5);
    json_w_u64(&w, NULL, UINT64_MAX);
    json_w_obj(&w, NULL);
    json_w_end(&w);
    json_w_arr(&w, NULL);
    json_w_bool(&w, NULL, true);
    json_w_end(&w);
    json_w_end(&w);
    json_w_num(&w, "n", 0.1);
    json_w_num(&w, "whole", 3);
    json_w_num(&w, "big", 1e300);
    json_w_num(&w, "inf", INFINITY);
    json_w_num(&w, "nan", NAN);
    json_w_null(&w, "z");
    json_w_raw(&w, "r", BYTES("[ ]"));
    json_w_val(&w, "v", json_root(doc));
    json_w_val(&w, "nothing", NULL);
    json_w_end(&w);
    assert_string_equal(buf_cstr(&out),
                        "{\"s\":\"a\\\"b\",\"c\":\"x\",\"none\":null,"
                        "\"a\":[-5,18446744073709551615,{},[true]],\"n\":0.1,\"whole\":3,"
                        "\"big\":1e300,\"inf\":null,\"nan\":null,\"z\":null,\"r\":[ ],"
                        "\"v\":{\"k\":[1]},\"nothing\":null}");
    buf_fini(&out);
    json_free(doc);
}

static void test_large(void **state)
{
    (void)state;
    // Values outgrow the first guess, in the one block and in a block of their own.
    static const size_t counts[] = {10, 200, 5000, 200000};
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
        struct buf b;
        struct json_doc *doc = NULL;
        buf_init(&b, 8 << 20);
        buf_chr(&b, '[');
        for (size_t i = 0; i < counts[c]; i++)
            buf_str(&b, i ? ",1" : "1");
        buf_chr(&b, ']');
        assert_int_equal(json_parse(&doc, buf_bytes(&b), JSON_UNIQUE, NULL), 0);
        assert_int_equal(json_len(json_root(doc)), counts[c]);
        assert_int_equal(json_i64(json_at(json_root(doc), counts[c] - 1), 0), 1);
        json_free(doc);
        buf_fini(&b);
    }
}

static void test_many_keys(void **state)
{
    (void)state;
    struct buf b;
    struct json_doc *doc = NULL;
    struct err e = {0};
    buf_init(&b, 1 << 20);
    buf_str(&b, "{");
    for (int i = 0; i < 3000; i++)
        buf_fmt(&b, "\"k%d\":%d,", i, i);
    buf_str(&b, "\"x\":0}");
    assert_int_equal(json_parse(&doc, buf_bytes(&b), JSON_UNIQUE, &e), 0);
    assert_int_equal(json_i64(json_get(json_root(doc), "k2999"), 0), 2999);
    json_free(doc);
    b.n--;
    buf_str(&b, ",\"k1234\":0}");
    doc = NULL;
    assert_int_equal(json_parse(&doc, buf_bytes(&b), JSON_UNIQUE, &e), E_PARSE);
    assert_non_null(strstr(e.text, "\"k1234\""));
    buf_fini(&b);
}

static void test_memory(void **state)
{
    (void)state;
    static const char text[] =
        "{\"model\":\"tiny\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}";
    uint64_t live = mem_live(), before = mem_count();
    struct json_doc *doc = parse(text);
    assert_in_range(mem_count() - before, 0, 1); // one block
    json_free(doc);
    int rc = E_NOMEM;
    for (uint64_t n = 1; rc < 0; n++) {
        struct json_doc *none = NULL;
        mem_fail_after(n, 1);
        rc = json_parse(&none, BYTES("[[1,2,3,4,5,6,7,8]]"), JSON_UNIQUE, NULL);
        mem_fail_after(0, 0);
        assert_true(rc == 0 || rc == E_NOMEM);
        json_free(none);
    }
    assert_int_equal(mem_live(), live);
    json_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_errors),  cmocka_unit_test(test_depth),
        cmocka_unit_test(test_readers), cmocka_unit_test(test_pointers),
        cmocka_unit_test(test_equal),   cmocka_unit_test(test_order),
        cmocka_unit_test(test_write),   cmocka_unit_test(test_writer),
        cmocka_unit_test(test_large),   cmocka_unit_test(test_many_keys),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
