// json_suite_test.c: JSONTestSuite (y_ must be accepted, n_ refused, i_ either) and the vectors of
// RFC 8785.
// SPDX-License-Identifier: Apache-2.0
#include "text/json.h"
#include "text/suite_priv.h"
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static bool accepts(const char *path, struct buf *text)
{
    struct json_doc *doc = NULL;
    struct err e = {0};
    buf_clear(text);
    assert_true(suite_read(path, text));
    int rc = json_parse(&doc, buf_bytes(text), 0, &e);
    if (rc == 0) { // what was accepted must be written and read again without change
        struct buf again;
        struct json_doc *copy = NULL;
        buf_init(&again, SUITE_FILE_MAX);
        assert_int_equal(json_write(&again, json_root(doc)), 0);
        assert_int_equal(json_parse(&copy, buf_bytes(&again), 0, &e), 0);
        assert_true(json_equal(json_root(doc), json_root(copy)));
        json_free(copy);
        buf_fini(&again);
    } else {
        assert_int_equal(rc, E_PARSE);
        assert_int_equal(e.code, E_PARSE);
        assert_non_null(strstr(e.text, "e"));
    }
    json_free(doc);
    return rc == 0;
}

static void test_parsing(void **state)
{
    (void)state;
    char folder[SUITE_PATH_MAX], path[SUITE_PATH_MAX * 2];
    if (!suite_folder("json-parsing/test_parsing", folder))
        skip();
    size_t count, yes = 0, no = 0, either = 0, wrong = 0;
    char **names = suite_names(folder, &count);
    struct buf text;
    buf_init(&text, SUITE_FILE_MAX);
    for (size_t i = 0; i < count; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        bool ok = accepts(path, &text);
        yes += names[i][0] == 'y';
        no += names[i][0] == 'n';
        either += names[i][0] == 'i';
        if ((names[i][0] == 'y' && !ok) || (names[i][0] == 'n' && ok)) {
            printf("wrong: %s was %s\n", names[i], ok ? "accepted" : "refused");
            wrong++;
        }
    }
    printf("JSONTestSuite: %zu y_, %zu n_, %zu i_, wrong %zu\n", yes, no, either, wrong);
    buf_fini(&text);
    suite_names_free(names, count);
    assert_int_equal(wrong, 0);
    assert_true(yes > 0 && no > 0);
}

static void test_canonical(void **state)
{
    (void)state;
    char folder[SUITE_PATH_MAX], path[SUITE_PATH_MAX * 2];
    if (!suite_folder("jcs/testdata", folder))
        skip();
    snprintf(path, sizeof path, "%s/input", folder);
    size_t count, wrong = 0;
    char **names = suite_names(path, &count);
    for (size_t i = 0; i < count; i++) {
        struct buf in, want, have;
        struct json_doc *doc = NULL;
        struct err e = {0};
        buf_init(&in, SUITE_FILE_MAX);
        buf_init(&want, SUITE_FILE_MAX);
        buf_init(&have, SUITE_FILE_MAX);
        snprintf(path, sizeof path, "%s/input/%s", folder, names[i]);
        assert_true(suite_read(path, &in));
        snprintf(path, sizeof path, "%s/output/%s", folder, names[i]);
        assert_true(suite_read(path, &want));
        assert_int_equal(json_parse(&doc, buf_bytes(&in), 0, &e), 0);
        assert_int_equal(json_canonical(&have, json_root(doc), &e), 0);
        if (!bytes_eq(bytes_trim(buf_bytes(&want)), buf_bytes(&have))) {
            printf("wrong: %s\nwant %s\nhave %s\n", names[i], buf_cstr(&want), buf_cstr(&have));
            wrong++;
        }
        json_free(doc);
        buf_fini(&in);
        buf_fini(&want);
        buf_fini(&have);
    }
    printf("RFC 8785: %zu vectors, wrong %zu\n", count, wrong);
    suite_names_free(names, count);
    assert_int_equal(wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parsing),
        cmocka_unit_test(test_canonical),
    };
    return cmocka_run_group_tests_name("json_suite", tests, NULL, NULL);
}
