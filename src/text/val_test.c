// val_test.c: JSON values: text in and out, sharing, change in place, order, depth, no memory.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "text/val.h"
#include "text/val_priv.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

static struct val *parsed(const char *text)
{
    struct val *v = NULL;
    struct err e = {0};
    if (val_parse(&v, bytes_of(text), &e) != 0)
        fail_msg("%s: %s", text, e.text);
    return v;
}

static void check_text(const struct val *v, const char *expected)
{
    struct buf out;
    buf_init(&out, 1 << 20);
    assert_int_equal(val_write(&out, v), 0);
    assert_string_equal(buf_cstr(&out), expected);
    buf_fini(&out);
}

static void text_in_and_out(void **state)
{
    static const struct {
        const char *in, *out; // out NULL: as it came
    } rows[] = {
        {"null", NULL},
        {"[true,false,null]", NULL},
        {"{\"b\":1,\"a\":{\"c\":[]}}", NULL},
        {"{}", NULL},
        {"\"\"", NULL},
        {"{\"\":0}", NULL},
        {" { \"a\" : 1 , \"b\" : 2, \"a\" : 3 } ", "{\"a\":3,\"b\":2}"},
        {"\"a\\u0000b\\n\\u007f\\\"\\u00e4\"", "\"a\\u0000b\\n\\u007f\\\"\xc3\xa4\""},
        {"[1.0,1.5,-0.0,1e3,100000]", "[1,1.5,-0,1000,100000]"},
        {"[9223372036854775807,-9223372036854775808]", NULL},
        {"[1e15,1e17,1e19,0.001,0.00012345,0.00001]",
         "[1000000000000000,1e+17,1e+19,0.001,0.00012345,1e-05]"},
        {"[1.5e300,123456789012345678901234,1.234567e22,5e-324,-2.5e-7]",
         "[1.5e+300,123456789012345690000000,1.234567e+22,5e-324,-2.5e-07]"},
        {"[-1.2345678901234567e31]", "[-12345678901234567000000000000000]"},
        {"[1e1000,-1e1000,123456.789,123456700000000000]",
         "[1.7976931348623157e+308,-1.7976931348623157e+308,123456.789,123456700000000000]"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO(val) v = parsed(rows[i].in);
        check_text(v, rows[i].out ? rows[i].out : rows[i].in);
        AUTO(json_doc) doc = NULL;
        assert_int_equal(val_to_json(&doc, v, NULL), 0);
        AUTO(val) again = val_of_json(json_root(doc));
        assert_true(val_equal(v, again));
        assert_int_equal(val_cmp(v, again), 0);
    }
    struct val *v = NULL;
    struct err e = {0};
    assert_int_equal(val_parse(&v, BYTES("[1,]"), &e), E_PARSE);
    assert_null(v);
    check_text(NULL, "null");
    AUTO(val) none = val_of_json(NULL);
    assert_true(val_is(none, JSON_NULL));
}

static void makers(void **state)
{
    (void)state;
    AUTO(val)
    v = val_put_cstr(val_put_cstr(val_obj(), "n", val_num(2.0)), "list",
                     val_push(val_push(val_arr(), val_cstr("x")), val_bool(true)));
    check_text(v, "{\"n\":2,\"list\":[\"x\",true]}");
    assert_true(val_is_int(val_get_cstr(v, "n")));
    assert_int_equal(val_i64(val_get_cstr(v, "n"), 0), 2);
    assert_true(val_dbl(val_get_cstr(v, "n"), 0) == 2.0);
    assert_string_equal(val_text(val_ptr(v, BYTES("/list/0")), ""), "x");
    assert_null(val_ptr(v, BYTES("/list/01")));
    assert_null(val_ptr(v, BYTES("/list/2")));
    assert_null(val_ptr(v, BYTES("n")));
    assert_ptr_equal(val_ptr(v, BYTES("")), v);
    assert_true(val_size(v) > 100 && val_size(v) < 1000);
    AUTO(val) odd = parsed("{\"a/b\":{\"~\":1}}");
    assert_int_equal(val_i64(val_ptr(odd, BYTES("/a~1b/~0")), 0), 1);
    assert_null(val_ptr(odd, BYTES("/a~2b")));
    assert_null(val_ptr(odd, BYTES("/a~")));
    // not finite
    AUTO(val) none = val_num(NAN);
    AUTO(val) large = val_num(INFINITY);
    AUTO(val) small = val_num(-INFINITY);
    assert_true(val_is(none, JSON_NULL));
    assert_true(val_dbl(large, 0) == DBL_MAX && val_dbl(small, 0) == -DBL_MAX);
    // wrong kinds and NULL parts come out as NULL, and nothing is lost
    assert_null(val_push(val_obj(), val_null()));
    assert_null(val_put_cstr(val_arr(), "a", val_null()));
    assert_null(val_push(NULL, val_int(1)));
    assert_null(val_put_cstr(val_obj(), "a", NULL));
    assert_null(val_del(val_int(1), BYTES("a")));
    assert_null(val_set_at(val_arr(), 1, val_int(1)));
    // readers are total
    assert_int_equal(val_i64(NULL, 7), 7);
    assert_int_equal(val_i64(large, 7), 7);
    assert_false(val_truthy(NULL) || val_truthy(val_null()) || val_truthy(val_bool(false)));
    assert_true(val_truthy(large) && val_bool_of(val_bool(true), false));
    assert_int_equal(val_len(large), 0);
    assert_null(val_at(v, 2));
    assert_string_equal(val_text(large, "no"), "no");
    assert_null(val_bytes(large).p);
}

static void shared_is_not_changed(void **state)
{
    (void)state;
    AUTO(val) a = parsed("{\"x\":[1,2],\"y\":1}");
    struct val *b = val_ref(a);
    b = val_put_cstr(b, "y", val_int(2));
    assert_ptr_not_equal(a, b);
    assert_ptr_equal(val_get_cstr(a, "x"), val_get_cstr(b, "x"));
    struct val *same = b;
    b = val_put_cstr(b, "z", val_int(3)); // one owner: in place
    assert_ptr_equal(b, same);
    b = val_del(b, BYTES("x"));
    check_text(a, "{\"x\":[1,2],\"y\":1}");
    check_text(b, "{\"y\":2,\"z\":3}");
    struct val *items = val_ref(val_get_cstr(a, "x"));
    items = val_set_at(val_push(items, val_int(3)), 0, val_null());
    check_text(a, "{\"x\":[1,2],\"y\":1}");
    check_text(items, "[null,2,3]");
    // what is lifted out can be changed in place
    struct val *lifted = val_lift(b, BYTES("z"));
    assert_true(val_is(val_get_cstr(b, "z"), JSON_NULL));
    b = val_put_cstr(b, "z", val_push(val_arr(), lifted));
    check_text(b, "{\"y\":2,\"z\":[3]}");
    assert_null(val_lift(b, BYTES("none")));
    val_unref(items);
    val_unref(b);
}

static void many_members(void **state)
{
    (void)state;
    struct val *v = val_obj();
    char key[16];
    for (int i = 0; i < 5000; i++) {
        (void)snprintf(key, sizeof key, "k%d", (i * 7919) % 5000);
        v = val_put_cstr(v, key, val_int(i));
    }
    assert_int_equal(val_len(v), 5000);
    AUTO(val) copy = val_ref(v);
    for (int i = 0; i < 5000; i++) {
        (void)snprintf(key, sizeof key, "k%d", (i * 7919) % 5000);
        assert_int_equal(val_i64(val_get_cstr(v, key), -1), i);
    }
    for (int i = 0; i < 5000; i += 2) {
        (void)snprintf(key, sizeof key, "k%d", i);
        if (i < 300 || i > 4700)
            v = val_del(v, bytes_of(key));
        else
            v = val_put_cstr(v, key, val_null());
    }
    assert_int_equal(val_len(copy), 5000);
    assert_null(val_get_cstr(v, "k4"));
    assert_null(val_get_cstr(v, "k5000"));
    assert_true(val_is(val_get_cstr(v, "k400"), JSON_NULL));
    assert_int_equal(val_i64(val_get_cstr(v, "k1"), -1), val_i64(val_get_cstr(copy, "k1"), -2));
    size_t at = 0, n = 0;
    struct bytes name;
    struct val *value;
    while (val_each(copy, &at, &name, &value))
        assert_int_equal(val_i64(value, -1), n++); // in the order in which they came
    AUTO_MEM uint32_t *order = val_sorted(copy);
    for (uint32_t i = 1; i < 5000; i++)
        assert_true(strcmp(val_as_obj(copy)->members[order[i - 1]].key->p,
                           val_as_obj(copy)->members[order[i]].key->p) < 0);
    val_unref(v);
}

static void order(void **state)
{
    static const char *const sorted[] = {
        "null",
        "false",
        "true",
        "-1",
        "0",
        "0.5",
        "1",
        "9007199254740993",
        "1e300",
        "\"\"",
        "\"A\"",
        "\"a\"",
        "\"ab\"",
        "\"\xc3\xa4\"",
        "[]",
        "[null]",
        "[1,2]",
        "[1,3]",
        "[2]",
        "{}",
        "{\"a\":1}",
        "{\"a\":2}",
        "{\"a\":0,\"b\":0}",
        "{\"b\":0}",
    };
    (void)state;
    for (size_t i = 0; i < COUNT(sorted); i++)
        for (size_t j = 0; j < COUNT(sorted); j++) {
            AUTO(val) a = parsed(sorted[i]);
            AUTO(val) b = parsed(sorted[j]);
            int way = val_cmp(a, b);
            int sign = way < 0 ? -1 : way > 0;
            if (sign != (i < j ? -1 : i > j) || val_equal(a, b) != (i == j))
                fail_msg("%s and %s: %d", sorted[i], sorted[j], way);
        }
    AUTO(val) a = parsed("{\"x\":1,\"y\":[1.0]}");
    AUTO(val) b = parsed("{\"y\":[1],\"x\":1}");
    assert_true(val_equal(a, b));
    assert_int_equal(val_cmp(a, b), 0);
    struct buf out;
    buf_init(&out, 1 << 10);
    AUTO(val) c = parsed("{\"b\":{\"z\":1,\"y\":2},\"a\":[{\"d\":1,\"c\":2}]}");
    assert_int_equal(val_write_sorted(&out, c), 0);
    assert_string_equal(buf_cstr(&out), "{\"a\":[{\"c\":2,\"d\":1}],\"b\":{\"y\":2,\"z\":1}}");
    buf_fini(&out);
    buf_init(&out, 4);
    assert_int_equal(val_write(&out, c), E_TOOBIG);
    buf_fini(&out);
}

static void depth(void **state)
{
    (void)state;
    struct val *v = val_arr();
    for (int i = 1; i < JSON_DEPTH_MAX; i++)
        v = val_push(val_arr(), v);
    assert_non_null(v);
    AUTO(json_doc) doc = NULL;
    assert_int_equal(val_to_json(&doc, v, NULL), 0);
    assert_null(val_push(val_arr(), val_ref(v)));
    assert_null(val_put_cstr(val_obj(), "a", val_ref(v)));
    // what was deep once and is not any more nests again
    v = val_set_at(v, 0, val_int(1));
    v = val_push(val_arr(), v);
    check_text(v, "[[1]]");
    val_unref(v);
}

static void no_memory(void **state)
{
    (void)state;
    const char *text = "{\"a\":[1,\"x\",{\"b\":null}],\"c\":1.5,\"d\":0,\"e\":0,\"f\":0,\"g\":1,"
                       "\"h\":0,\"i\":0,\"j\":0,\"k\":0,\"l\":0,\"m\":0,\"n\":0,\"o\":0,\"p\":0,"
                       "\"q\":0,\"r\":0}";
    uint64_t live = mem_live();
    for (int n = 1;; n++) {
        struct val *v = NULL;
        AUTO(val) base = parsed(text);
        mem_fail_after((uint64_t)n, 1);
        int rc = val_parse(&v, bytes_of(text), NULL);
        struct val *w = val_put_cstr(val_ref(base), "s", val_push(val_arr(), val_cstr("new")));
        mem_fail_after(0, 0);
        bool all = rc == 0 && w;
        if (rc != 0)
            assert_int_equal(rc, E_NOMEM);
        check_text(base, text);
        val_unref(v);
        val_unref(w);
        if (all)
            break;
        assert_true(n < 200);
    }
    assert_int_equal(mem_live(), live);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_in_and_out),
        cmocka_unit_test(makers),
        cmocka_unit_test(shared_is_not_changed),
        cmocka_unit_test(many_members),
        cmocka_unit_test(order),
        cmocka_unit_test(depth),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
