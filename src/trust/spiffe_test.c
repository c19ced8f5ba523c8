// spiffe_test.c: which texts are SPIFFE IDs: the cases of the standard and of its Go library.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "trust/spiffe.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_parse(void **state)
{
    (void)state;
    static const struct {
        const char *text, *domain, *path, *why; // why: part of the error's text
    } rows[] = {
        {"spiffe://trustdomain", "trustdomain", "", NULL},
        {"spiffe://trustdomain/path", "trustdomain", "/path", NULL},
        {"spiffe://trustdomain/path/element", "trustdomain", "/path/element", NULL},
        {"spiffe://1.2.3.4/service", "1.2.3.4", "/service", NULL},
        {"spiffe://a_b-c.d/A_b-C.9", "a_b-c.d", "/A_b-C.9", NULL},
        {"spiffe://trustdomain/...", "trustdomain", "/...", NULL},
        {"spiffe://trustdomain/.a/b./c..d", "trustdomain", "/.a/b./c..d", NULL},
        {"", "", "", "empty"},
        {"s", "", "", "spiffe://"},
        {"spiffe", "", "", "spiffe://"},
        {"spiffe:", "", "", "spiffe://"},
        {"spiffe:/", "", "", "spiffe://"},
        {"spiffe:/path/element", "", "", "spiffe://"},
        {"spiffe:path/element", "", "", "spiffe://"},
        {"://domain/path", "", "", "spiffe://"},
        {"path/element", "", "", "spiffe://"},
        {"Spiffe://domain/path", "", "", "spiffe://"},
        {"SPIFFE://domain/path", "", "", "spiffe://"},
        {"http://domain/path", "", "", "spiffe://"},
        {" spiffe://domain/path", "", "", "spiffe://"},
        {"spiffe://", "", "", "missing"},
        {"spiffe:///", "", "", "missing"},
        {"spiffe:///path/element", "", "", "missing"},
        {"spiffe://trustDomain/path", "", "", "lower-case"},
        {"spiffe://domain:80/path", "", "", "lower-case"},
        {"spiffe://domain:/path", "", "", "lower-case"},
        {"spiffe://user@domain/path", "", "", "lower-case"},
        {"spiffe://user:password@domain/path", "", "", "lower-case"},
        {"spiffe://[::1]/path", "", "", "lower-case"},
        {"spiffe://domain?query", "", "", "lower-case"},
        {"spiffe://domain#fragment", "", "", "lower-case"},
        {"spiffe://dom ain/path", "", "", "lower-case"},
        {"spiffe://%F0%9F%A4%AF/path", "", "", "lower-case"},
        {"spiffe://\xF0\x9F\xA4\xAF/path", "", "", "lower-case"},
        {"spiffe://domain/", "", "", "empty segment"},
        {"spiffe://domain//", "", "", "empty segment"},
        {"spiffe://domain/path/", "", "", "empty segment"},
        {"spiffe://domain//path", "", "", "empty segment"},
        {"spiffe://domain/path//element", "", "", "empty segment"},
        {"spiffe://domain/.", "", "", "\".\" or \"..\""},
        {"spiffe://domain/..", "", "", "\".\" or \"..\""},
        {"spiffe://domain/./path", "", "", "\".\" or \"..\""},
        {"spiffe://domain/path/../other", "", "", "\".\" or \"..\""},
        {"spiffe://domain/path/.", "", "", "\".\" or \"..\""},
        {"spiffe://domain/path?query", "", "", "letters"},
        {"spiffe://domain/path#fragment", "", "", "letters"},
        {"spiffe://domain/path%20x", "", "", "letters"},
        {"spiffe://domain/%2e%2e", "", "", "letters"},
        {"spiffe://domain/pa th", "", "", "letters"},
        {"spiffe://domain/\xF0\x9F\xA4\xAF", "", "", "letters"},
        {"spiffe://domain/a:b", "", "", "letters"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct spiffe_id id = {0};
        struct err e = {0};
        int rc = spiffe_parse(&id, bytes_of(rows[i].text), &e);
        if (rc != (rows[i].why ? E_INVALID : 0) || (rows[i].why && !strstr(e.text, rows[i].why)) ||
            !bytes_is(id.domain, rows[i].domain) || !bytes_is(id.path, rows[i].path))
            fail_msg("%s: %d %s, \"%.*s\" \"%.*s\"", rows[i].text, rc, e.text, BYTES_FMT(id.domain),
                     BYTES_FMT(id.path));
    }
}

// Every byte in a trust domain and in a path.
static void test_bytes(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        char name[3] = {'a', (char)c, 'b'}, path[4] = {'/', 'a', (char)c, 'b'};
        bool low =
            (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
        bool any = low || (c >= 'A' && c <= 'Z');
        assert_int_equal(spiffe_domain_check((struct bytes){name, 3}, NULL), low ? 0 : E_INVALID);
        assert_int_equal(spiffe_path_check((struct bytes){path, 4}, NULL),
                         any || c == '/' ? 0 : E_INVALID);
        assert_int_equal(spiffe_node_check((struct bytes){name, 3}, NULL), any ? 0 : E_INVALID);
    }
}

static void test_lengths(void **state)
{
    (void)state;
    char text[SPIFFE_ID_MAX + 2];
    struct spiffe_id id;
    memset(text, 'a', sizeof text);
    memcpy(text, "spiffe://", 9);
    assert_int_equal(spiffe_parse(&id, (struct bytes){text, 9 + 255}, NULL), 0);
    assert_int_equal(spiffe_parse(&id, (struct bytes){text, 9 + 256}, NULL), E_INVALID);
    text[20] = '/';
    assert_int_equal(spiffe_parse(&id, (struct bytes){text, SPIFFE_ID_MAX}, NULL), 0);
    assert_int_equal(spiffe_parse(&id, (struct bytes){text, SPIFFE_ID_MAX + 1}, NULL), E_INVALID);
    assert_int_equal(spiffe_node_check((struct bytes){text + 30, 63}, NULL), 0);
    assert_int_equal(spiffe_node_check((struct bytes){text + 30, 64}, NULL), E_INVALID);
    assert_int_equal(spiffe_node_check(BYTES(""), NULL), E_INVALID);
    assert_int_equal(spiffe_node_check(BYTES("."), NULL), E_INVALID);
    assert_int_equal(spiffe_node_check(BYTES(".."), NULL), E_INVALID);
    assert_int_equal(spiffe_path_check(BYTES("a"), NULL), E_INVALID);
}

static void test_put(void **state)
{
    (void)state;
    static const struct {
        const char *path, *whole; // whole NULL: refused
    } rows[] = {
        {"", "spiffe://d.e"},
        {"agent/x", "spiffe://d.e/agent/x"},
        {"/agent/x", "spiffe://d.e/agent/x"},
        {"spiffe://d.e/agent/x", "spiffe://d.e/agent/x"},
        {"spiffe://other/agent/x", NULL},
        {"agent//x", NULL},
        {"agent/../x", NULL},
        {"//agent", NULL},
        {"agent/x?y", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf b;
        struct err e = {0};
        buf_init(&b, SPIFFE_ID_MAX);
        assert_int_equal(buf_str(&b, "+"), 0);
        int rc = spiffe_put(&b, BYTES("d.e"), bytes_of(rows[i].path), &e);
        assert_int_equal(rc, rows[i].whole ? 0 : E_INVALID);
        assert_string_equal(buf_cstr(&b) + 1, rows[i].whole ? rows[i].whole : "");
        buf_fini(&b);
    }
    struct buf small;
    buf_init(&small, 10);
    assert_int_equal(spiffe_put(&small, BYTES("d.e"), BYTES("agent/x"), NULL), E_INVALID);
    buf_fini(&small);
}

static void test_parts(void **state)
{
    (void)state;
    static const struct {
        const char *text, *kind, *node;
    } rows[] = {
        {"spiffe://d", "", ""},
        {"spiffe://d/node/n1", "node", "n1"},
        {"spiffe://d/node/n1/worker/q", "node", "n1"},
        {"spiffe://d/node", "node", ""},
        {"spiffe://d/agent/n1", "agent", ""},
        {"spiffe://d/nodes/n1", "nodes", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct spiffe_id id;
        assert_int_equal(spiffe_parse(&id, bytes_of(rows[i].text), NULL), 0);
        assert_true(bytes_is(spiffe_kind(&id), rows[i].kind));
        assert_true(bytes_is(spiffe_node(&id), rows[i].node));
    }
    struct spiffe_id a, b, c;
    assert_int_equal(spiffe_parse(&a, BYTES("spiffe://d/node/n1"), NULL), 0);
    assert_int_equal(spiffe_parse(&b, BYTES("spiffe://d/node/n1/x"), NULL), 0);
    assert_int_equal(spiffe_parse(&c, BYTES("spiffe://d/node/n12"), NULL), 0);
    assert_true(spiffe_below(&b, &a));
    assert_false(spiffe_below(&a, &a));
    assert_false(spiffe_below(&a, &b));
    assert_false(spiffe_below(&c, &a)); // a longer name is not below
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse), cmocka_unit_test(test_bytes), cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_put),   cmocka_unit_test(test_parts),
    };
    return cmocka_run_group_tests_name("SPIFFE IDs", tests, NULL, NULL);
}
