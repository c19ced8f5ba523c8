// span_test.c: the place of a member in JSON text, and the text with another value there.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "base/rng.h"
#include "gate/span.h"
#include "text/json.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void test_find(void **state)
{
    static const struct {
        const char *text;
        int status;
        const char *value;
    } cases[] = {
        {"{\"model\":\"a\"}", 0, "\"a\""},
        {" { \"model\" :\n \"a\"\t, \"x\":1 } ", 0, "\"a\""},
        {"{\"x\":1,\"model\":5}", 0, "5"},
        {"{\"model\":{\"model\":[1,{\"model\":2}]},\"y\":3}", 0, "{\"model\":[1,{\"model\":2}]}"},
        {"{\"a\":{\"model\":\"inner\"},\"model\":\"outer\"}", 0, "\"outer\""},
        {"{\"a\":[{\"model\":\"inner\"},\"model\"],\"model\":null}", 0, "null"},
        {"{\"a\":\"model\",\"model\":true}", 0, "true"},
        {"{\"a\":\"\\\"model\\\":\\\"no\\\"\",\"model\":\"},{[\"}", 0, "\"},{[\""},
        {"{\"a\\\"\":\"\\\\\",\"model\":\"\\\\\"}", 0, "\"\\\\\""},
        {"{\"\\u006dodel\":\"a\"}", 0, "\"a\""},
        {"{\"\\u006D\\u006f\\u0064\\u0065\\u006C\":\"a\"}", 0, "\"a\""},
        {"{\"models\":1,\"mode\":2,\"Model\":3,\"\":4}", E_NOTFOUND, NULL},
        {"{\"\\u006d\":1,\"\\u046dodel\":2,\"\\nodel\":3,\"model\\u0000\":4}", E_NOTFOUND, NULL},
        {"{}", E_NOTFOUND, NULL},
        {"{\"a\":{\"model\":1}}", E_NOTFOUND, NULL},
        {"{\"model\":1,\"model\":1}", E_INVALID, NULL},
        {"{\"model\":1,\"mode\\u006c\":2,\"x\":{}}", E_INVALID, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bytes text = bytes_of(cases[i].text), value = BYTES_NONE;
        struct err e = {0};
        int status = span_find(text, "model", &value, &e);
        if (status != cases[i].status || (status == 0 && !bytes_is(value, cases[i].value)))
            fail_msg("%s: %d, \"%.*s\"", cases[i].text, status, BYTES_FMT(value));
        assert_int_equal(e.code, status);
    }
}

static void test_rewrite(void **state)
{
    (void)state;
    struct buf out;
    struct err e = {0};
    buf_init(&out, 100);
    struct bytes text = BYTES("{ \"a\" : 1.50 ,\"model\":  \"x\"  , \"b\":[ ]}\n");
    assert_int_equal(span_rewrite(&out, text, "model", "q\"\\\n", &e), 0);
    assert_string_equal(buf_cstr(&out),
                        "{ \"a\" : 1.50 ,\"model\":  \"q\\\"\\\\\\n\"  , \"b\":[ ]}\n");
    buf_clear(&out);
    assert_int_equal(span_rewrite(&out, BYTES("{}"), "model", "x", &e), E_NOTFOUND);
    assert_int_equal(out.n, 0);
    buf_fini(&out);
    buf_init(&out, 20);
    assert_int_equal(span_rewrite(&out, text, "model", "x", &e), E_TOOBIG);
    buf_fini(&out);
}

// ---- random objects
// ------------------------------------------------------------------------------

static void put_space(struct buf *b, struct rng *r)
{
    while (rng_below(r, 3) == 0)
        (void)buf_chr(b, " \t\r\n"[rng_below(r, 4)]);
}

static void put_string(struct buf *b, struct rng *r)
{
    static const char *const parts[] = {
        "model",    "\\\"",    "\\\\",           "{", "}",   "[", "]", ",", ":", "\\/", "\\u0022",
        "\xc3\xa9", "\\u006d", "\\ud83d\\ude00", " ", "\\n", "x", "7"};
    (void)buf_chr(b, '"');
    for (size_t n = rng_below(r, 5); n; n--)
        (void)buf_str(b, parts[rng_below(r, sizeof(parts) / sizeof(parts[0]))]);
    (void)buf_chr(b, '"');
}

static void put_value(struct buf *b, struct rng *r, int depth)
{
    uint64_t kind = rng_below(r, depth > 4 ? 4 : 6);
    size_t n = rng_below(r, 4);
    if (kind == 0)
        (void)buf_str(b, rng_below(r, 2) ? "true" : "null");
    else if (kind == 1)
        (void)buf_fmt(b, "%s%llu.5e1", n ? "-" : "", (unsigned long long)rng_below(r, 1000));
    else if (kind < 4)
        put_string(b, r);
    if (kind < 4)
        return;
    (void)buf_chr(b, kind == 4 ? '[' : '{');
    put_space(b, r);
    for (size_t i = 0; i < n; i++) {
        if (i)
            (void)buf_chr(b, ',');
        put_space(b, r);
        if (kind == 5) {
            put_string(b, r);
            put_space(b, r);
            (void)buf_chr(b, ':');
            put_space(b, r);
        }
        put_value(b, r, depth + 1);
        put_space(b, r);
    }
    (void)buf_chr(b, kind == 4 ? ']' : '}');
}

// An object in which "model" is the at-th of n members (never, when at is n).
static void put_object(struct buf *b, struct rng *r, size_t n, size_t at)
{
    put_space(b, r);
    (void)buf_chr(b, '{');
    for (size_t i = 0; i < n; i++) {
        if (i)
            (void)buf_chr(b, ',');
        put_space(b, r);
        if (i == at)
            (void)buf_str(b, rng_below(r, 4) ? "\"model\"" : "\"mo\\u0064e\\u006C\"");
        else
            (void)buf_fmt(b, "\"k%zu\"", i);
        put_space(b, r);
        (void)buf_chr(b, ':');
        put_space(b, r);
        put_value(b, r, 0);
        put_space(b, r);
    }
    (void)buf_chr(b, '}');
    put_space(b, r);
}

// What was written in place is what a parser finds there; all else is as it was.
static void check_rewritten(struct bytes text, struct bytes found, struct bytes rewritten)
{
    struct json_doc *before = NULL, *part = NULL, *after = NULL;
    struct err e = {0};
    if (json_parse(&before, text, 0, &e) || json_parse(&part, found, 0, &e) ||
        json_parse(&after, rewritten, 0, &e))
        fail_msg("%s: %.*s", e.text, BYTES_FMT(rewritten));
    const struct json *old = json_root(before), *new = json_root(after);
    assert_true(json_equal(json_get(old, "model"), json_root(part)));
    assert_string_equal(json_cstr(json_get(new, "model"), ""), "other \"name\"");
    assert_int_equal(json_len(old), json_len(new));
    struct json_iter it = {0};
    struct bytes key;
    const struct json *value;
    while (json_each(old, &it, &key, &value))
        if (!bytes_is(key, "model"))
            assert_true(json_equal(value, json_get_bytes(new, key)));
    json_free(before);
    json_free(part);
    json_free(after);
}

static void test_random_objects(void **state)
{
    (void)state;
    struct rng rng;
    rng_init(&rng, 17);
    for (int round = 0; round < 3000; round++) {
        struct buf text, out;
        struct bytes found = BYTES_NONE;
        struct err e = {0};
        size_t n = rng_below(&rng, 6), at = rng_below(&rng, n + 1);
        buf_init(&text, 1 << 20);
        buf_init(&out, 1 << 20);
        put_object(&text, &rng, n, at);
        int status = span_find(buf_bytes(&text), "model", &found, &e);
        if (status != (at < n ? 0 : E_NOTFOUND))
            fail_msg("%d: %s", status, buf_cstr(&text));
        assert_int_equal(span_rewrite(&out, buf_bytes(&text), "model", "other \"name\"", &e),
                         status);
        if (status == 0)
            check_rewritten(buf_bytes(&text), found, buf_bytes(&out));
        buf_fini(&text);
        buf_fini(&out);
    }
    assert_int_equal(mem_live(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_rewrite),
        cmocka_unit_test(test_random_objects),
    };
    return cmocka_run_group_tests_name("span", tests, NULL, NULL);
}
