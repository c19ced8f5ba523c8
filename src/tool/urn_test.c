// urn_test.c: names of capabilities. SPDX-License-Identifier: Apache-2.0
#include "tool/tool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define LONG63 "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggg"

static void names(void **state)
{
    static const struct {
        const char *text, *parts; // "authority|namespace|name|version"; NULL: refused
        const char *why;
    } rows[] = {
        {"urn:plexus:cap:text:count:v1", "plexus:cap|text|count|1", NULL},
        {"urn:coreason:text:count:v12", "coreason|text|count|12", NULL},
        {"urn:a-b:c:d:e:f:g:v999999999", "a-b:c:d:e|f|g|999999999", NULL},
        {"urn:plexus:cap:text.old:word-count_2:v3", "plexus:cap|text.old|word-count_2|3", NULL},
        {"urn:plexus:cap:" LONG63 ":b:v1", "plexus:cap|" LONG63 "|b|1", NULL},
        {"urn:plexus:cap:" LONG63 "h:b:v1", NULL, "a part has 1 to 63"},
        {"", NULL, "a name of a capability is"},
        {"URN:plexus:cap:a:b:v1", NULL, "a name of a capability is"},
        {"urn:", NULL, "expected urn:AUTHORITY"},
        {"urn:a:b:v1", NULL, "expected urn:AUTHORITY"},
        {"urn:ab:c:d:e:f:g:h:v1", NULL, "expected urn:AUTHORITY"},
        {"urn:x:text:count:v1", NULL, "namespace identifier"},
        {"urn:p.x:text:count:v1", NULL, "namespace identifier"},
        {"urn:plexus:cap:text:count:v0", NULL, "a version is v1"},
        {"urn:plexus:cap:text:count:v01", NULL, "a version is v1"},
        {"urn:plexus:cap:text:count:v", NULL, "a version is v1"},
        {"urn:plexus:cap:text:count:1", NULL, "a version is v1"},
        {"urn:plexus:cap:text:count:v1x", NULL, "a version is v1"},
        {"urn:plexus:cap:text:count:v1000000000", NULL, "a version is v1"},
        {"urn:plexus:cap:text:count:", NULL, "a version is v1"},
        {"urn:plexus:cap:Text:count:v1", NULL, "\"Text\""},
        {"urn:plexus:cap::count:v1", NULL, "\"\""},
        {"urn:plexus:cap:-a:count:v1", NULL, "\"-a\""},
        {"urn:plexus:cap:a-:count:v1", NULL, "\"a-\""},
        {"urn:plexus:cap:a--b:count:v1", NULL, "\"a--b\""},
        {"urn:plexus:cap:..:count:v1", NULL, "\"..\""},
        {"urn:plexus:cap:a/b:count:v1", NULL, "\"a/b\""},
        {"urn:plexus:cap:text:count:v1:", NULL, "a version is v1"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct urn u;
        struct err e = {0};
        char got[400];
        struct buf back;
        int rc = urn_parse(&u, bytes_of(rows[i].text), &e);
        if (!rows[i].parts) {
            if (rc != E_INVALID || !strstr(e.text, rows[i].why))
                fail_msg("%s: %d %s", rows[i].text, rc, e.text);
            continue;
        }
        if (rc)
            fail_msg("%s: %s", rows[i].text, e.text);
        (void)snprintf(got, sizeof got, "%.*s|%.*s|%.*s|%u", BYTES_FMT(u.authority),
                       BYTES_FMT(u.space), BYTES_FMT(u.name), (unsigned)u.version);
        assert_string_equal(got, rows[i].parts);
        buf_init(&back, URN_MAX);
        assert_int_equal(urn_put(&back, &u), 0);
        assert_string_equal(buf_cstr(&back), rows[i].text);
        buf_fini(&back);
    }
}

static void too_long(void **state)
{
    struct urn u;
    struct err e = {0};
    char text[400];
    (void)state;
    (void)snprintf(text, sizeof text, "urn:%s:%s:%s:%s:v1", "abcdefghijklmnopqrstuvwxyz", LONG63,
                   LONG63, LONG63);
    assert_int_equal(urn_parse(&u, bytes_of(text), &e), 0);
    (void)snprintf(text, sizeof text, "urn:%s:%s:%s:%s:%s:v1", "abcdefghijklmnopqrstuvwxyz", LONG63,
                   LONG63, LONG63, LONG63);
    assert_int_equal(urn_parse(&u, bytes_of(text), &e), E_INVALID);
}

static void of_flows(void **state)
{
    static const struct {
        const char *space, *name, *version, *urn, *why; // urn NULL: refused
    } rows[] = {
        {"default", "digest", "1.0.0", "urn:plexus:flow:default:digest:v1000000", NULL},
        {"a", "b-c", "12.34.567", "urn:plexus:flow:a:b-c:v12034567", NULL},
        {"a", "b", "0.0.1", "urn:plexus:flow:a:b:v1", NULL},
        {"a", "b", "999.999.999", "urn:plexus:flow:a:b:v999999999", NULL},
        {"a", "b", "0.0.0", NULL, "from 0.0.1 on"},
        {"a", "b", "1.0", NULL, "MAJOR.MINOR.PATCH"},
        {"a", "b", "1.0.0.1", NULL, "MAJOR.MINOR.PATCH"},
        {"a", "b", "1000.0.0", NULL, "each below 1000"},
        {"a", "b", "1.0.0-rc.1", NULL, "1.0.0-rc.1"},
        {"a", "b", "1.0.0+5", NULL, "1.0.0+5"},
        {"a", "Digest", "1.0.0", NULL, "\"Digest\""},
        {"A", "digest", "1.0.0", NULL, "\"A\""},
        {"a", "b--c", "1.0.0", NULL, "\"b--c\""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct err e = {0};
        struct buf out;
        buf_init(&out, URN_MAX + 1);
        int rc = urn_of_flow(&out, bytes_of(rows[i].space), bytes_of(rows[i].name),
                             bytes_of(rows[i].version), &e);
        if (rows[i].urn) {
            assert_int_equal(rc, 0);
            assert_string_equal(buf_cstr(&out), rows[i].urn);
        } else if (rc != E_INVALID || !strstr(e.text, rows[i].why)) {
            fail_msg("%s: %d %s", rows[i].version, rc, e.text);
        }
        buf_fini(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(names), cmocka_unit_test(too_long),
                                       cmocka_unit_test(of_flows)};
    return cmocka_run_group_tests_name("urn", tests, NULL, NULL);
}
