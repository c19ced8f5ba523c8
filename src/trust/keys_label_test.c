// keys_label_test.c: keys with clearances and labels: made, saved, loaded, used.
// SPDX-License-Identifier: Apache-2.0
#include "trust/trust.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct rig {
    struct label_names *names;
    struct keys *keys;
};

static void rig_init(struct rig *r)
{
    r->names = label_names_new();
    r->keys = keys_new();
    keys_names(r->keys, r->names);
    assert_ptr_equal(keys_names_of(r->keys), r->names);
}

static void rig_fini(struct rig *r)
{
    keys_free(r->keys);
    label_names_free(r->names);
}

static int make(struct rig *r, const char *name, const char *clearance, const char *label,
                char text[KEY_TEXT_MAX], struct err *e)
{
    struct key_args args = {
        .name = name, .clearance = bytes_of(clearance), .label = bytes_of(label)};
    return keys_make(r->keys, &args, 0, text, NULL, e);
}

static struct key *handle(struct rig *r, const char *text)
{
    struct key *key = NULL;
    int64_t retry;
    struct err e = {0};
    if (keys_check(r->keys, bytes_of(text), SCOPE_MODELS, 0, 0, &key, &retry, &e) != 0)
        fail_msg("%s", e.text);
    return key;
}

static void is(const struct rig *r, struct label l, const char *text)
{
    struct buf out;
    buf_init(&out, LABEL_TEXT_MAX);
    label_put(&out, r->names, l);
    assert_string_equal(buf_cstr(&out), text);
    buf_fini(&out);
}

static void test_effective(void **state)
{
    (void)state;
    static const struct {
        const char *clearance, *label, *standard, *effective;
        bool has;
    } rows[] = {
        {NULL, NULL, "internal", "internal", false},
        {NULL, "confidential:eng", "internal", "confidential:eng", true},
        {"confidential:eng", NULL, "internal", "internal", true},
        {"confidential:eng", "public", "internal", "public", true},
        {"public", NULL, "internal", "public", true},
        {"internal:hr", NULL, "confidential:eng,hr", "internal:hr", true},
        {"restricted:*", NULL, "restricted:*", "restricted:*", false},
    };
    struct rig r;
    rig_init(&r);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[KEY_TEXT_MAX];
        struct label standard;
        struct err e = {0};
        if (make(&r, NULL, rows[i].clearance, rows[i].label, text, &e) != 0)
            fail_msg("%s", e.text);
        assert_int_equal(label_parse(r.names, bytes_of(rows[i].standard), &standard, &e), 0);
        struct key *key = handle(&r, text);
        is(&r, key_label(key, standard), rows[i].effective);
        is(&r, key_clearance(key), rows[i].clearance ? rows[i].clearance : "restricted:*");
        assert_true(label_dominates(key_clearance(key), key_label(key, standard)));
        assert_int_equal(key_has_labels(key), rows[i].has);
    }
    rig_fini(&r);
}

static void test_refused(void **state)
{
    (void)state;
    struct rig r;
    char text[KEY_TEXT_MAX];
    struct err e = {0};
    rig_init(&r);
    assert_int_equal(make(&r, "a", "top", NULL, text, &e), E_INVALID);
    assert_non_null(strstr(e.text, "clearance: \"top\" is no label"));
    assert_int_equal(make(&r, "a", NULL, "x", text, &e), E_INVALID);
    assert_non_null(strstr(e.text, "label: \"x\" is no label"));
    assert_int_equal(make(&r, "a", "internal", "internal:eng", text, &e), E_INVALID);
    assert_non_null(strstr(e.text, "the label internal:eng is above the clearance internal"));
    assert_int_equal(keys_count(r.keys), 0);
    keys_names(r.keys, NULL);
    assert_int_equal(make(&r, "a", "internal", NULL, text, &e), E_INVALID);
    assert_int_equal(make(&r, "a", NULL, NULL, text, &e), 0);
    rig_fini(&r);
}

static void test_saved(void **state)
{
    (void)state;
    struct rig r, again;
    struct buf out;
    struct err e = {0};
    char plain[KEY_TEXT_MAX], both[KEY_TEXT_MAX];
    rig_init(&r);
    rig_init(&again);
    buf_init(&out, 65536);
    assert_int_equal(make(&r, "plain", NULL, NULL, plain, &e), 0);
    assert_int_equal(make(&r, "both", "confidential:hr,eng", "internal:eng", both, &e), 0);
    assert_int_equal(keys_save(r.keys, &out), 0);
    const char *text = buf_cstr(&out), *found = strstr(text, "\"clearance\"");
    assert_non_null(found);
    assert_null(strstr(found + 1, "\"clearance\"")); // defaults are not written
    assert_non_null(
        strstr(text, "\"clearance\":\"confidential:eng,hr\",\"label\":\"internal:eng\""));
    if (keys_load(again.keys, buf_bytes(&out), &e) != 0)
        fail_msg("%s", e.text);
    is(&again, key_clearance(handle(&again, both)), "confidential:eng,hr");
    is(&again, key_clearance(handle(&again, plain)), "restricted:*");
    size_t at = 0;
    struct key_view v;
    while (keys_each(again.keys, &at, &v))
        assert_int_equal(v.has_label, strcmp(v.name, "both") == 0);
    assert_int_equal(keys_load(r.keys, buf_bytes(&out), &e), 0); // over the same keys
    is(&r, key_label(handle(&r, both), (struct label){0, 0}), "internal:eng");
    buf_fini(&out);
    rig_fini(&r);
    rig_fini(&again);
}

#define HASH "0011223344550000000000000000000000000000000000000000000000000000"
#define TABLE(more)                                                                                \
    "{\"version\":1,\"keys\":[{\"id\":\"001122334455\",\"name\":\"n\",\"hash\":\"" HASH            \
    "\",\"scopes\":\"models\"" more "}]}"

static void test_tables(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int code;
    } rows[] = {
        {TABLE(""), 0}, // written before there were labels
        {TABLE(",\"clearance\":\"internal\",\"label\":\"public\""), 0},
        {TABLE(",\"clearance\":7"), E_INVALID},
        {TABLE(",\"label\":null"), E_INVALID},
        {TABLE(",\"clearance\":\"\""), E_INVALID},
        {TABLE(",\"clearance\":\"secret\""), E_INVALID},
        {TABLE(",\"clearance\":\"public\",\"label\":\"internal\""), E_INVALID},
    };
    struct rig r;
    rig_init(&r);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct err e = {0};
        int rc = keys_load(r.keys, bytes_of(rows[i].text), &e);
        if (rc != rows[i].code)
            fail_msg("%s: %d %s", rows[i].text, rc, e.text);
        if (rc != 0)
            assert_non_null(strstr(e.text, "keys[0]"));
    }
    rig_fini(&r);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_effective),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_saved),
        cmocka_unit_test(test_tables),
    };
    return cmocka_run_group_tests_name("keys_label", tests, NULL, NULL);
}
