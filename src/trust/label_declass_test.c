// label_declass_test.c: declassifications: made, read, believed or not.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "crypto/base64url.h"
#include "crypto/hash.h"
#include "trust/label.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define NOW_S 1800000000

struct desk {
    struct label_names *names;
    struct label from, to, clearance;
    uint8_t data[SHA256_LEN];
    int verified;
};

// Stands for the owner's table of keys and Ed25519: a signature is the hash of what is signed.
static void sign(struct bytes text, uint8_t ret[LABEL_SIG_LEN])
{
    sha256_sum(text, ret);
    sha256_sum((struct bytes){(const char *)ret, SHA256_LEN}, ret + SHA256_LEN);
}

static int verify(void *user, struct bytes who, struct bytes text, const uint8_t sig[LABEL_SIG_LEN],
                  struct label *ret_clearance, struct err *e)
{
    struct desk *d = user;
    uint8_t want[LABEL_SIG_LEN];
    d->verified++;
    sign(text, want);
    if (!bytes_is(who, "officer") || memcmp(want, sig, sizeof want) != 0)
        return err_set(e, E_SECURITY, "not signed by a key that may");
    *ret_clearance = d->clearance;
    return 0;
}

static void desk_init(struct desk *d)
{
    memset(d, 0, sizeof *d);
    d->names = label_names_new();
    assert_int_equal(label_parse(d->names, BYTES("confidential:eng,hr"), &d->from, NULL), 0);
    assert_int_equal(label_parse(d->names, BYTES("internal:hr"), &d->to, NULL), 0);
    d->clearance = LABEL_ALL;
    sha256_sum(BYTES("the data"), d->data);
}

static struct label_declass statement(const struct desk *d)
{
    struct label_declass s = {.from = d->from,
                              .to = d->to,
                              .who = "officer",
                              .reason = "the press release of May",
                              .at_s = NOW_S - 10,
                              .expires_s = NOW_S + 100};
    memcpy(s.data, d->data, sizeof s.data);
    return s;
}

static void make(const struct desk *d, const struct label_declass *s, struct buf *out)
{
    struct buf mark;
    uint8_t sig[LABEL_SIG_LEN];
    buf_init(out, LABEL_DECLASS_TEXT_MAX);
    buf_init(&mark, 2 * LABEL_DECLASS_TEXT_MAX);
    assert_int_equal(label_declass_put(out, d->names, s, NULL), 0);
    assert_int_equal(label_declass_mark(&mark, buf_bytes(out)), 0);
    sign(buf_bytes(&mark), sig);
    assert_int_equal(label_declass_seal(out, sig), 0);
    buf_fini(&mark);
}

static int check_at(struct desk *d, struct bytes text, int64_t wall_ms, struct label_declass *ret,
                    struct err *e)
{
    struct label_declass_args args = {d->from, BYTES("the data"), wall_ms, verify, d};
    return label_declass_check(d->names, text, &args, ret, e);
}

static void expect(struct desk *d, const struct label_declass *s, int code, const char *why)
{
    struct label_declass got = {0};
    struct err e = {0};
    struct buf text;
    make(d, s, &text);
    int rc = check_at(d, buf_bytes(&text), (int64_t)NOW_S * 1000, &got, &e);
    if (rc != code || (why && !strstr(e.text, why)))
        fail_msg("%d \"%s\" instead of %d \"%s\"", rc, e.text, code, why ? why : "");
    if (rc == 0) { // all of it arrived
        struct buf again;
        make(d, &got, &again);
        assert_string_equal(buf_cstr(&again), buf_cstr(&text));
        buf_fini(&again);
    }
    assert_int_equal(got.at_s, rc == 0 ? s->at_s : 0);
    buf_fini(&text);
}

static void test_good(void **state)
{
    (void)state;
    struct desk d;
    desk_init(&d);
    struct label_declass s = statement(&d), got;
    expect(&d, &s, 0, NULL);
    assert_int_equal(d.verified, 1);
    struct buf text, json;
    struct bytes first;
    uint8_t sig[LABEL_SIG_LEN];
    make(&d, &s, &text);
    assert_int_equal(label_declass_parse(d.names, buf_bytes(&text), &got, &first, sig, NULL), 0);
    assert_int_equal(label_declass_parse(d.names, buf_bytes(&text), NULL, NULL, NULL, NULL), 0);
    buf_init(&json, 4096);
    assert_int_equal(base64url_parse(&json, first), 0);
    assert_string_equal(
        buf_cstr(&json),
        "{\"from\":\"confidential:eng,hr\",\"to\":\"internal:hr\",\"data\":"
        "\"eb2ea6de1a7aac2693c5120194a01aca2fa3462b6a27b11582f4fd314a580ac7\",\"who\":\"officer\","
        "\"reason\":\"the press release of May\",\"at\":1799999990,\"expires\":1800000100}");
    buf_fini(&json);
    buf_fini(&text);
    label_names_free(d.names);
}

static void test_refused(void **state)
{
    (void)state;
    struct desk d;
    desk_init(&d);
    struct label_declass s = statement(&d);
    s.data[31] ^= 1;
    expect(&d, &s, E_SECURITY,
           "SecurityViolationError: the label confidential:eng,hr may not be lowered to "
           "internal:hr: the statement is about other data");
    s = statement(&d);
    memcpy(s.who, "nobody", 7);
    expect(&d, &s, E_SECURITY, "not signed by a key that may");
    s = statement(&d);
    s.expires_s = NOW_S;
    expect(&d, &s, E_SECURITY, "has expired");
    s.expires_s = NOW_S + 1;
    expect(&d, &s, 0, NULL);
    s = statement(&d);
    s.at_s = NOW_S + LABEL_DECLASS_SKEW_S + 1;
    expect(&d, &s, E_SECURITY, "of a time to come");
    s.at_s--;
    expect(&d, &s, 0, NULL);
    s = statement(&d);
    s.from.level = LABEL_RESTRICTED;
    expect(&d, &s, E_SECURITY, "with another label");
    s = statement(&d);
    s.from.compartments = 1;
    expect(&d, &s, E_SECURITY, "with another label");
    s = statement(&d);
    s.to = (struct label){LABEL_RESTRICTED, 0};
    expect(&d, &s, E_SECURITY, "confidential:eng,hr, restricted is not below it");
    s = statement(&d);
    s.to = s.from; // nothing is lowered: nothing is wrong
    expect(&d, &s, 0, NULL);
    d.clearance = (struct label){LABEL_CONFIDENTIAL, 1};
    s = statement(&d);
    expect(&d, &s, E_SECURITY, "the key that signed has the clearance confidential:eng");
    label_names_free(d.names);
}

// No bit of the text may be another one.
static void test_tampered(void **state)
{
    (void)state;
    struct desk d;
    desk_init(&d);
    struct label_declass s = statement(&d), got;
    struct buf text;
    make(&d, &s, &text);
    for (size_t i = 0; i < text.n; i++)
        for (int bit = 0; bit < 8; bit++) {
            struct err e = {0};
            text.p[i] = (char)(text.p[i] ^ 1 << bit);
            int rc = check_at(&d, buf_bytes(&text), (int64_t)NOW_S * 1000, &got, &e);
            if (rc != E_SECURITY && rc != E_INVALID)
                fail_msg("byte %zu, bit %d: %d", i, bit, rc);
            text.p[i] = (char)(text.p[i] ^ 1 << bit);
        }
    for (size_t n = 0; n < text.n; n++)
        assert_int_not_equal(check_at(&d, bytes_first(buf_bytes(&text), n), 0, &got, NULL), 0);
    buf_fini(&text);
    label_names_free(d.names);
}

static void test_malformed(void **state)
{
    (void)state;
#define HASH "0123456789012345678901234567890123456789012345678901234567890123"
#define REST "\"data\":\"" HASH "\",\"who\":\"w\",\"reason\":\"r\",\"at\":1,\"expires\":2}"
    static const struct {
        const char *json, *why;
    } rows[] = {
        {"{\"from\":\"internal\",\"to\":\"public\"," REST, NULL},
        {"{\"from\":\"internal\",\"to\":\"public\",\"more\":1," REST, "expected an object of"},
        {"{\"from\":\"internal\"," REST, "expected an object of"},
        {"[]", "expected an object of"},
        {"1", "expected an object of"},
        {"", "not a declassification"},
        {"{\"from\":\"internal\",\"to\":\"public\",\"to\":\"public\"," REST, "to"},
        {"{\"from\":\"internal\",\"to\":\"lower\"," REST, "\"lower\" is no label"},
        {"{\"from\":\"internal\",\"to\":\"public:other\"," REST, "no compartment is named other"},
        {"{\"from\":1,\"to\":\"public\"," REST, "is no label"},
        {"{\"from\":\"internal\",\"to\":\"public\",\"data\":\"" HASH "0\",\"who\":\"w\",\"reason\":"
         "\"r\",\"at\":1,\"expires\":2}",
         "SHA-256"},
        {"{\"from\":\"internal\",\"to\":\"public\",\"data\":\"" HASH "\",\"who\":\"\",\"reason\":"
         "\"r\",\"at\":1,\"expires\":2}",
         "expected words"},
        {"{\"from\":\"internal\",\"to\":\"public\",\"data\":\"" HASH "\",\"who\":\"w\",\"reason\":"
         "\"a\\nb\",\"at\":1,\"expires\":2}",
         "expected words"},
        {"{\"from\":\"internal\",\"to\":\"public\",\"data\":\"" HASH "\",\"who\":\"w\",\"reason\":"
         "\"r\",\"at\":-1,\"expires\":2}",
         "seconds since 1970"},
        {"{\"from\":\"internal\",\"to\":\"public\",\"data\":\"" HASH "\",\"who\":\"w\",\"reason\":"
         "\"r\",\"at\":1,\"expires\":9223372036854775807}",
         "seconds since 1970"},
        {"{\"from\":\"internal\",\"to\":\"public\",\"data\":\"" HASH "\",\"who\":\"w\",\"reason\":"
         "\"r\",\"at\":\"1\",\"expires\":2}",
         "seconds since 1970"},
    };
    struct label_names *n = label_names_new();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct label_declass d;
        struct err e = {0};
        struct buf text;
        uint8_t sig[LABEL_SIG_LEN] = {0};
        buf_init(&text, LABEL_DECLASS_TEXT_MAX);
        assert_int_equal(base64url_put(&text, bytes_of(rows[i].json)), 0);
        assert_int_equal(label_declass_seal(&text, sig), 0);
        int rc = label_declass_parse(n, buf_bytes(&text), &d, NULL, NULL, &e);
        if (rc != (rows[i].why ? E_INVALID : 0) || (rc && !strstr(e.text, rows[i].why)))
            fail_msg("%s: %d \"%s\"", rows[i].json, rc, e.text);
        buf_fini(&text);
    }
    static const char *const texts[] = {"", ".", "a.b", "e30", "e30.", "e30.AAAA", "e30=.AAAA"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_int_equal(label_declass_parse(n, bytes_of(texts[i]), NULL, NULL, NULL, NULL),
                         E_INVALID);
    label_names_free(n);
}

static void test_bad_words(void **state)
{
    (void)state;
    struct desk d;
    desk_init(&d);
    struct buf out;
    struct err e = {0};
    buf_init(&out, LABEL_DECLASS_TEXT_MAX);
    struct label_declass s = statement(&d);
    s.who[0] = 0;
    assert_int_equal(label_declass_put(&out, d.names, &s, &e), E_INVALID);
    assert_non_null(strstr(e.text, "name of the key"));
    s = statement(&d);
    s.reason[3] = '\n';
    assert_int_equal(label_declass_put(&out, d.names, &s, &e), E_INVALID);
    assert_non_null(strstr(e.text, "reason"));
    assert_int_equal(out.n, 0);
    buf_fini(&out);
    buf_init(&out, 16);
    s = statement(&d);
    assert_int_equal(label_declass_put(&out, d.names, &s, &e), E_TOOBIG);
    buf_fini(&out);
    label_names_free(d.names);
}

static void test_torture(void **state)
{
    (void)state;
    struct desk d;
    desk_init(&d);
    struct label_declass s = statement(&d), got;
    struct buf text;
    make(&d, &s, &text);
    int rc = E_NOMEM;
    for (uint64_t n = 1; rc != 0 && n < 100; n++) {
        struct err e = {0};
        mem_fail_after(n, 0);
        rc = check_at(&d, buf_bytes(&text), (int64_t)NOW_S * 1000, &got, &e);
        mem_fail_after(0, 0);
        assert_true(rc == 0 || rc == E_NOMEM);
        assert_int_equal(rc, e.code);
    }
    assert_int_equal(rc, 0);
    buf_fini(&text);
    label_names_free(d.names);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),      cmocka_unit_test(test_refused),
        cmocka_unit_test(test_tampered),  cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_bad_words), cmocka_unit_test(test_torture),
    };
    return cmocka_run_group_tests_name("label_declass", tests, NULL, NULL);
}
