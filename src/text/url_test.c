// url_test.c: addresses, paths and queries.
// SPDX-License-Identifier: Apache-2.0
#include "text/url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

static void addresses(void **state)
{
    static const struct {
        const char *text, *parts; // "tls|host|port|path|query"; NULL: refused
    } rows[] = {
        {"http://a", "0|a|80||"},
        {"https://Example.org/v1", "1|Example.org|443|/v1|"},
        {"HTTP://a:8080/x/y?b=c?d", "0|a|8080|/x/y|b=c?d"},
        {"http://a?q", "0|a|80||q"},
        {"http://[::1]:9/p", "0|::1|9|/p|"},
        {"http://[::1]", "0|::1|80||"},
        {"http://a_b-c.d:65535", "0|a_b-c.d|65535||"},
        {"http://a:/", "0|a|80|/|"},
        {"http://", NULL},
        {"http:///x", NULL},
        {"http://:80", NULL},
        {"ftp://a", NULL},
        {"a", NULL},
        {"", NULL},
        {"http://a:0", NULL},
        {"http://a:65536", NULL},
        {"http://a:8x", NULL},
        {"http://a:000080", NULL},
        {"http://u:p@a/", NULL},
        {"http://a#x", NULL},
        {"http://a b", NULL},
        {"http://a\\b", NULL},
        {"http://\xc3\xa9", NULL},
        {"http://[::1", NULL},
        {"http://[::1]x", NULL},
        {"http://[1.2.3.4]", NULL},
        {"http://::1", NULL},
        {"http://a/\x7f", NULL},
        {"http://[]", NULL},
        {"http://a%20b", NULL},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct url u = {0};
        struct err e = {0};
        char parts[256] = "";
        int rc = url_parse(&u, bytes_of(rows[i].text), &e);
        assert_int_equal(rc, e.code);
        if (!rc)
            (void)snprintf(parts, sizeof parts, "%d|%.*s|%u|%.*s|%.*s", u.tls, BYTES_FMT(u.host),
                           u.port, BYTES_FMT(u.path), BYTES_FMT(u.query));
        if (rc != (rows[i].parts ? 0 : E_INVALID) ||
            strcmp(parts, rows[i].parts ? rows[i].parts : "") != 0)
            fail_msg("%s: %d \"%s\" (%s)", rows[i].text, rc, parts, e.text);
    }
    struct err e = {0};
    struct url u;
    assert_true(url_parse(&u, BYTES("http://me:hunter2@host/"), &e) < 0);
    assert_null(strstr(e.text, "hunter2")); // a password is not repeated
}

static void pairs(void **state)
{
    static const struct {
        const char *text, *parts;
    } rows[] = {
        {"127.0.0.1:8000", "0|127.0.0.1|8000"},
        {"[::1]:8000", "0|::1|8000"},
        {"localhost:0", "0|localhost|0"},
        {":8000", "0||8000"},
        {"unix:/run/a b", "1|/run/a b|0"},
        {"unix:", NULL},
        {"8000", NULL},
        {"a:", NULL},
        {"::1:8000", NULL},
        {"a:b:1", NULL},
        {"a:99999", NULL},
        {"", NULL},
        {"[::1]", NULL},
        {"[x]:1", NULL},
        {"a b:1", NULL},
        {"a:-1", NULL},
        {"unix:/123456789/123456789/123456789/123456789/123456789/123456789/123456789/123456789/"
         "123456789/123456789/12345678",
         NULL},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct url_addr a;
        struct err e = {0};
        char parts[300] = "";
        int rc = url_addr_parse(&a, bytes_of(rows[i].text), &e);
        if (!rc)
            (void)snprintf(parts, sizeof parts, "%d|%s|%u", a.unix_socket, a.host, a.port);
        if (rc != (rows[i].parts ? 0 : E_INVALID) ||
            strcmp(parts, rows[i].parts ? rows[i].parts : "") != 0)
            fail_msg("%s: %d \"%s\" (%s)", rows[i].text, rc, parts, e.text);
    }
    struct url_addr a;
    assert_true(url_addr_parse(&a, (struct bytes){"a\0b:1", 5}, NULL) < 0);
}

static void loopback(void **state)
{
    static const char *const yes[] = {"127.0.0.1", "127.9.9.9", "::1",        "0:0:0:0:0:0:0:1",
                                      "localhost", "LocalHost", "localhost.", "::ffff:127.0.0.1"};
    static const char *const no[] = {"",
                                     "0.0.0.0",
                                     "128.0.0.1",
                                     "::",
                                     "::2",
                                     "127.1",
                                     "localhost.evil.org",
                                     "127.0.0.1.evil.org",
                                     "::ffff:10.0.0.1",
                                     "[::1]"};
    (void)state;
    for (size_t i = 0; i < COUNT(yes); i++)
        if (!url_is_loopback(bytes_of(yes[i])))
            fail_msg("%s is loopback", yes[i]);
    for (size_t i = 0; i < COUNT(no); i++)
        if (url_is_loopback(bytes_of(no[i])))
            fail_msg("%s is not loopback", no[i]);
}

static void paths(void **state)
{
    static const struct {
        const char *text, *decoded;
    } rows[] = {
        {"/v1/models", "/v1/models"},
        {"/a%20b%2Fc", "/a b/c"},
        {"", ""},
        {"/a+b", "/a+b"},
        {"/...", "/..."},
        {"/.a/", "/.a/"},
        {"/%e4", "/\xe4"},
        {"/.", NULL},
        {"/a/../b", NULL},
        {"/..", NULL},
        {"/%2e%2E/x", NULL},
        {"/a%2f..%2fb", NULL},
        {"/%", NULL},
        {"/%1", NULL},
        {"/%zz", NULL},
        {"/%00", NULL},
        {"./a", NULL},
        {"/%g1", NULL},
    };
    struct buf b;
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        buf_init(&b, 100);
        (void)buf_str(&b, "<");
        int rc = url_path_decode(&b, bytes_of(rows[i].text), NULL);
        if (rc != (rows[i].decoded ? 0 : E_INVALID) ||
            strcmp(buf_cstr(&b) + 1, rows[i].decoded ? rows[i].decoded : "") != 0)
            fail_msg("%s: %d \"%s\"", rows[i].text, rc, buf_cstr(&b));
        buf_fini(&b);
    }
    buf_init(&b, 3);
    assert_int_equal(url_path_decode(&b, BYTES("/abc"), NULL), E_TOOBIG);
    buf_fini(&b);
}

static void queries(void **state)
{
    static const struct {
        const char *query, *name, *value;
    } rows[] = {
        {"a=1&b=2", "b", "2"},     {"a=1&a=2", "a", "1"},         {"a", "a", ""},
        {"a=", "a", ""},           {"x&a=b%20c+d", "a", "b c d"}, {"%61=1", "a", "1"},
        {"a=%zz%4", "a", "%zz%4"}, {"a=b=c", "a", "b=c"},         {"&&a=1", "a", "1"},
        {"ab=1", "a", NULL},       {"a=1", "ab", NULL},           {"", "a", NULL},
    };
    struct buf b;
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        buf_init(&b, 100);
        bool there = url_query(bytes_of(rows[i].query), rows[i].name, &b);
        if (there != (rows[i].value != NULL) ||
            strcmp(buf_cstr(&b), there ? rows[i].value : "") != 0)
            fail_msg("%s: %d \"%s\"", rows[i].query, there, buf_cstr(&b));
        buf_fini(&b);
    }
}

static void encodes(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 100);
    assert_int_equal(url_encode(&b, BYTES("aZ9-._~ /+%\xff")), 0);
    assert_string_equal(buf_cstr(&b), "aZ9-._~%20%2F%2B%25%FF");
    buf_fini(&b);
}

// RFC 3986, section 5.4.
static void references(void **state)
{
    (void)state;
    // RFC 3986, 5.4.
    static const char base[] = "http://a/b/c/d;p?q";
    static const char *const rows[][2] = {
        {"g:h", "g:h"},
        {"g", "http://a/b/c/g"},
        {"./g", "http://a/b/c/g"},
        {"g/", "http://a/b/c/g/"},
        {"/g", "http://a/g"},
        {"//g", "http://g"},
        {"?y", "http://a/b/c/d;p?y"},
        {"g?y", "http://a/b/c/g?y"},
        {"#s", "http://a/b/c/d;p?q#s"},
        {"g#s", "http://a/b/c/g#s"},
        {"g?y#s", "http://a/b/c/g?y#s"},
        {";x", "http://a/b/c/;x"},
        {"", "http://a/b/c/d;p?q"},
        {".", "http://a/b/c/"},
        {"./", "http://a/b/c/"},
        {"..", "http://a/b/"},
        {"../", "http://a/b/"},
        {"../g", "http://a/b/g"},
        {"../..", "http://a/"},
        {"../../g", "http://a/g"},
        {"../../../g", "http://a/g"},
        {"/./g", "http://a/g"},
        {"/../g", "http://a/g"},
        {"g.", "http://a/b/c/g."},
        {"..g", "http://a/b/c/..g"},
        {"./../g", "http://a/b/g"},
        {"./g/.", "http://a/b/c/g/"},
        {"g/./h", "http://a/b/c/g/h"},
        {"g/../h", "http://a/b/c/h"},
        {"g?y/../x", "http://a/b/c/g?y/../x"},
    };
    struct arena *a = arena_new(1 << 16);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bytes have = url_resolve(a, BYTES(base), bytes_of(rows[i][0]));
        if (!bytes_is(have, rows[i][1]))
            fail_msg("%s: want %s, have %.*s", rows[i][0], rows[i][1], BYTES_FMT(have));
    }
    assert_true(bytes_is(url_resolve(a, BYTES(""), BYTES("x.json#a")), "x.json#a"));
    assert_true(bytes_is(url_resolve(a, BYTES("http://h"), BYTES("x")), "http://h/x"));
    assert_true(bytes_is(url_resolve(a, BYTES("urn:x:y"), BYTES("#/a")), "urn:x:y#/a"));
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses),  cmocka_unit_test(pairs),   cmocka_unit_test(loopback),
        cmocka_unit_test(paths),      cmocka_unit_test(queries), cmocka_unit_test(encodes),
        cmocka_unit_test(references),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
