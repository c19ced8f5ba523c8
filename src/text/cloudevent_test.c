// cloudevent_test.c: events as JSON and as headers, there and back; what is refused.
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "text/cloudevent.h"

#include <string.h>

static const struct {
    const char *json;
    int code;
    const char *contains; // of the error
} cases[] = {
    // The example of the specification (spec 5, json-format 3.2).
    {"{\"specversion\":\"1.0\",\"type\":\"com.github.pull_request.opened\",\"source\":\"https://"
     "github.com/cloudevents/spec/pull\",\"subject\":\"123\",\"id\":\"A234-1234-1234\",\"time\":"
     "\"2018-04-05T17:31:00Z\",\"comexampleextension1\":\"value\",\"comexampleothervalue\":5,"
     "\"datacontenttype\":\"text/xml\",\"data\":\"<much wow=\\\"xml\\\"/>\"}",
     0, NULL},
    {"{\"specversion\":\"1.0\",\"type\":\"a\",\"source\":\"/x\",\"id\":\"1\",\"data_base64\":"
     "\"AAECAw==\"}",
     0, NULL},
    {"{\"specversion\":\"1.0\",\"type\":\"a\",\"source\":\"/x\",\"id\":\"1\",\"data\":{\"a\":[1,"
     "null]},\"flag\":true,\"nothing\":null,\"subject\":null}",
     0, NULL},
    {"{\"specversion\":\"1.0\",\"type\":\"a\",\"source\":\"/x\",\"id\":\"1\",\"data\":\"s\"}", 0,
     NULL},
    {"{\"specversion\":\"1.0\",\"type\":\"a\",\"source\":\"/x\",\"id\":\"1\",\"time\":"
     "\"2018-04-05T17:31:00.123456+01:30\",\"dataschema\":\"urn:x\"}",
     0, NULL},
    {"[]", E_INVALID, "object"},
    {"{", E_PARSE, ""},
    {"{\"type\":\"a\",\"source\":\"/x\",\"id\":\"1\"}", E_INVALID, "specversion"},
    {"{\"specversion\":\"0.3\",\"type\":\"a\",\"source\":\"/x\",\"id\":\"1\"}", E_INVALID,
     "specversion"},
    {"{\"specversion\":\"1.0\",\"source\":\"/x\",\"id\":\"1\"}", E_INVALID, "type"},
    {"{\"specversion\":\"1.0\",\"type\":\"a\",\"id\":\"1\"}", E_INVALID, "source"},
    {"{\"specversion\":\"1.0\",\"type\":\"a\",\"source\":\"/x\"}", E_INVALID, "id"},
    {"{\"specversion\":\"1.0\",\"type\":\"a\",\"source\":\"/x\",\"id\":\"\"}", E_INVALID, "id"},
    {"{\"specversion\":\"1.0\",\"type\":\"a\",\"source\":\"/x\",\"id\":1}", E_INVALID, "id"},
    {"{\"specversion\":\"1.0\",\"type\":\"a\",\"source\":\"/x y\",\"id\":\"1\"}", E_INVALID,
     "source"},
    {"{\"specversion\":\"1.0\",\"type\":\"a\\u0007\",\"source\":\"/x\",\"id\":\"1\"}", E_INVALID,
     "type"},
    {"{\"specversion\":\"1.0\",\"type\":\"a\",\"source\":\"/x\",\"id\":\"1\",\"subject\":\"\"}",
     E_INVALID, "subject"},
    {"{\"specversion\":\"1.0\",\"type\":\"a\",\"source\":\"/x\",\"id\":\"1\",\"time\":"
     "\"yesterday\"}",
     E_INVALID, "time"},
    {"{\"specversion\":\"1.0\",\"type\":\"a\",\"source\":\"/x\",\"id\":\"1\",\"time\":"
     "\"2018-13-05T17:31:00Z\"}",
     E_INVALID, "time"},
    {"{\"specversion\":\"1.0\",\"type\":\"a\",\"source\":\"/x\",\"id\":\"1\","
     "\"datacontenttype\":\"json\"}",
     E_INVALID, "datacontenttype"},
    {"{\"specversion\":\"1.0\",\"type\":\"a\",\"source\":\"/x\",\"id\":\"1\",\"myExt\":\"x\"}",
     E_INVALID, "a-z"},
    {"{\"specversion\":\"1.0\",\"type\":\"a\",\"source\":\"/x\",\"id\":\"1\",\"ext\":{}}",
     E_INVALID, "neither"},
    {"{\"specversion\":\"1.0\",\"type\":\"a\",\"source\":\"/x\",\"id\":\"1\",\"ext\":1.5}",
     E_INVALID, "neither"},
    {"{\"specversion\":\"1.0\",\"type\":\"a\",\"source\":\"/x\",\"id\":\"1\",\"ext\":2147483648}",
     E_INVALID, "32 bits"},
    {"{\"specversion\":\"1.0\",\"type\":\"a\",\"source\":\"/x\",\"id\":\"1\",\"data\":1,"
     "\"data_base64\":\"AA==\"}",
     E_INVALID, "exclude"},
    {"{\"specversion\":\"1.0\",\"type\":\"a\",\"source\":\"/x\",\"id\":\"1\",\"data_base64\":"
     "\"AAE\"}",
     E_INVALID, "base64"},
    {"{\"specversion\":\"1.0\",\"type\":\"a\",\"source\":\"/x\",\"id\":\"1\",\"data_base64\":"
     "\"AAF=\"}",
     E_INVALID, "base64"},
    {"{\"specversion\":\"1.0\",\"type\":\"a\",\"source\":\"/x\",\"id\":\"1\",\"id\":\"2\"}",
     E_PARSE, ""},
};

static void test_json(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct arena *a = arena_new(1 << 20);
        struct cloudevent c, again;
        struct err e = {0};
        int rc = cloudevent_parse(&c, a, bytes_of(cases[i].json), &e);
        if (rc != cases[i].code || (rc && !strstr(e.text, cases[i].contains)))
            fail_msg("%s: %d: %s", cases[i].json, rc, e.text);
        if (!rc) {
            struct buf b, b2;
            buf_init(&b, 4096);
            buf_init(&b2, 4096);
            assert_int_equal(cloudevent_put(&b, &c), 0);
            if (cloudevent_parse(&again, a, buf_bytes(&b), &e))
                fail_msg("%s: %s", buf_cstr(&b), e.text);
            assert_int_equal(cloudevent_put(&b2, &again), 0);
            assert_string_equal(buf_cstr(&b), buf_cstr(&b2));
            assert_true(bytes_eq(c.data, again.data));
            assert_int_equal(c.kind, again.kind);
            buf_fini(&b);
            buf_fini(&b2);
        }
        arena_free(a);
    }
    assert_int_equal(mem_live(), 0);
}

static void test_kinds(void **state)
{
    (void)state;
    struct arena *a = arena_new(1 << 20);
    struct cloudevent c;
    assert_int_equal(cloudevent_parse(&c, a, bytes_of(cases[0].json), NULL), 0);
    assert_true(bytes_is(c.data, "<much wow=\"xml\"/>"));
    assert_int_equal(c.kind, CLOUDEVENT_TEXT);
    assert_true(bytes_is(cloudevent_find(&c, "comexampleothervalue"), "5"));
    assert_int_equal(c.ext[1].kind, CLOUDEVENT_INT);
    assert_int_equal(cloudevent_parse(&c, a, bytes_of(cases[1].json), NULL), 0);
    assert_int_equal(c.data.n, 4);
    assert_memory_equal(c.data.p, "\0\1\2\3", 4);
    assert_int_equal(cloudevent_parse(&c, a, bytes_of(cases[2].json), NULL), 0);
    assert_true(bytes_is(c.data, "{\"a\":[1,null]}"));
    assert_int_equal(c.ext_count, 1);
    assert_int_equal(c.ext[0].kind, CLOUDEVENT_BOOL);
    assert_null(c.subject.p);
    assert_int_equal(cloudevent_parse(&c, a, bytes_of(cases[3].json), NULL), 0);
    assert_true(bytes_is(c.data, "\"s\"")); // JSON without a content type
    arena_free(a);
}

static void feed(struct cloudevent *c, struct arena *a, struct bytes lines)
{
    while (lines.n) {
        struct bytes value = bytes_cut(&lines, '\n');
        struct bytes name = bytes_cut(&value, ':');
        assert_int_equal(cloudevent_header(c, a, name, value, NULL), 1);
    }
}

static void test_headers(void **state)
{
    (void)state;
    struct arena *a = arena_new(1 << 20);
    struct cloudevent c = {.id = BYTES("1 \"2\" 3%"),
                           .source = BYTES("/node/a"),
                           .type = BYTES("plexus.test"),
                           .subject = BYTES("a\xc3\xa4z"),
                           .content = BYTES("application/json"),
                           .time = BYTES("2026-01-31T12:00:00Z"),
                           .has_version = true};
    assert_int_equal(cloudevent_add(&c, "label", BYTES("confidential:eng")), 0);
    struct buf b;
    buf_init(&b, 4096);
    assert_int_equal(cloudevent_put_headers(&b, &c), 0);
    assert_string_equal(buf_cstr(&b), "ce-specversion: 1.0\r\nce-id: 1%20%222%22%203%25\r\n"
                                      "ce-source: /node/a\r\nce-type: plexus.test\r\n"
                                      "ce-subject: a%C3%A4z\r\nce-time: 2026-01-31T12:00:00Z\r\n"
                                      "ce-label: confidential:eng\r\n"
                                      "Content-Type: application/json\r\n");
    struct cloudevent d = {.has_version = false};
    feed(&d, a, buf_bytes(&b));
    assert_int_equal(cloudevent_check(&d, NULL), 0);
    assert_true(bytes_eq(c.id, d.id) && bytes_eq(c.subject, d.subject));
    assert_true(bytes_is(cloudevent_find(&d, "label"), "confidential:eng"));
    // What is not ours, and what is wrong.
    assert_int_equal(cloudevent_header(&d, a, BYTES("Nats-Msg-Id"), BYTES("x"), NULL), 0);
    assert_int_equal(cloudevent_header(&d, a, BYTES("ce-"), BYTES("x"), NULL), 0);
    assert_int_equal(cloudevent_header(&d, a, BYTES("ce-id"), BYTES("x"), NULL), E_INVALID);
    assert_int_equal(cloudevent_header(&d, a, BYTES("CE-SpecVersion"), BYTES("2.0"), NULL),
                     E_INVALID);
    struct cloudevent empty = {.has_version = false};
    assert_int_equal(cloudevent_check(&empty, NULL), E_INVALID);
    struct cloudevent late = d;
    assert_int_equal(cloudevent_header(&late, a, BYTES("ce-Label"), BYTES("x"), NULL), 1);
    assert_int_equal(cloudevent_check(&late, NULL), E_INVALID); // twice
    buf_fini(&b);
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_headers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
