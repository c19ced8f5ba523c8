// nats1_test.c: what a NATS server says, whole and in pieces; what is no NATS.
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "text/nats1.h"

#include <string.h>

static const struct {
    const char *text;
    int64_t used; // 0: more is needed; negative: E_*
    enum nats1_kind kind;
    const char *said; // a summary
} cases[] = {
    {"INFO {\"server_id\":\"x\"} \r\n", 25, NATS1_INFO, "{\"server_id\":\"x\"}"},
    {"PING\r\nPONG\r\n", 6, NATS1_PING, ""},
    {"pong\r\n", 6, NATS1_PONG, ""},
    {"+OK\r\n", 5, NATS1_OK, ""},
    {"-ERR 'Unknown Protocol Operation'\r\n", 35, NATS1_ERR, "Unknown Protocol Operation"},
    {"-ERR plain\r\n", 12, NATS1_ERR, "plain"},
    {"MSG a.b 9 5\r\nhello\r\nPING", 20, NATS1_MSG, "a.b 9 - [] hello"},
    {"MSG a.b 9 re.ply 5\r\nhello\r\n", 27, NATS1_MSG, "a.b 9 re.ply [] hello"},
    {"MSG a\t 9\t0\r\n\r\n", 14, NATS1_MSG, "a 9 - [] "},
    {"HMSG a 1 r 17 19\r\nNATS/1.0\r\nA:b\r\n\r\nhi\r\n", 39, NATS1_MSG,
     "a 1 r [NATS/1.0\r\nA:b\r\n\r\n] hi"},
    {"HMSG a 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n", 34, NATS1_MSG, "a 1 - [NATS/1.0 503\r\n\r\n] "},
    {"", 0, NATS1_OK, NULL},
    {"PIN", 0, NATS1_OK, NULL},
    {"PING\r", 0, NATS1_OK, NULL},
    {"MSG a.b 9 5\r\nhell", 0, NATS1_OK, NULL},
    {"MSG a.b 9 5\r\nhello\r", 0, NATS1_OK, NULL},
    {"PING\n", E_PARSE, NATS1_OK, NULL},
    {"HTTP/1.1 400 Bad Request\r\n", E_PARSE, NATS1_OK, NULL},
    {"MSG a.b 9 5\r\nhelloXX", E_PARSE, NATS1_OK, NULL},
    {"MSG a.b 9\r\n", E_PARSE, NATS1_OK, NULL},
    {"MSG a.b x 5\r\n", E_PARSE, NATS1_OK, NULL},
    {"MSG a.b 9 b c d 5\r\n", E_PARSE, NATS1_OK, NULL},
    {"MSG a.b 9 -5\r\n", E_PARSE, NATS1_OK, NULL},
    {"HMSG a 1 20 12\r\n", E_PARSE, NATS1_OK, NULL},
    {"HMSG a 1 4 4\r\nabcd\r\n", E_PARSE, NATS1_OK, NULL},
    {"MSG a.b 9 1001\r\n", E_TOOBIG, NATS1_OK, NULL},
    {"MSG a.b 9 99999999999999999999999\r\n", E_PARSE, NATS1_OK, NULL},
};

static void summary(struct buf *b, const struct nats1_op *op)
{
    if (op->kind == NATS1_MSG)
        (void)buf_fmt(b, "%.*s %llu %.*s [%.*s] %.*s", BYTES_FMT(op->subject),
                      (unsigned long long)op->sid, op->reply.n ? (int)op->reply.n : 1,
                      op->reply.n ? op->reply.p : "-", BYTES_FMT(op->headers), BYTES_FMT(op->data));
    else
        (void)buf_put(b, op->text);
}

static void test_parse(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct nats1_op op;
        struct err e = {0};
        struct bytes in = bytes_of(cases[i].text);
        int64_t used = nats1_parse(in, 1000, &op, &e);
        if (used != cases[i].used)
            fail_msg("%s: %lld, not %lld: %s", cases[i].text, (long long)used,
                     (long long)cases[i].used, e.text);
        if (used <= 0)
            continue;
        struct buf b;
        buf_init(&b, 1000);
        summary(&b, &op);
        assert_string_equal(buf_cstr(&b), cases[i].said);
        assert_int_equal(op.kind, cases[i].kind);
        buf_fini(&b);
        for (size_t n = 0; n < (size_t)used; n++) // never from less
            assert_int_equal(nats1_parse(bytes_first(in, n), 1000, &op, NULL), 0);
    }
}

static void test_long(void **state)
{
    (void)state;
    char text[NATS1_INFO_MAX + 10];
    struct nats1_op op;
    memset(text, 'x', sizeof text);
    assert_int_equal(nats1_parse((struct bytes){text, NATS1_LINE_MAX}, 10, &op, NULL), 0);
    assert_int_equal(nats1_parse((struct bytes){text, NATS1_LINE_MAX + 1}, 10, &op, NULL),
                     E_TOOBIG);
    memcpy(text, "INFO ", 5);
    assert_int_equal(nats1_parse((struct bytes){text, NATS1_INFO_MAX}, 10, &op, NULL), 0);
    assert_int_equal(nats1_parse((struct bytes){text, NATS1_INFO_MAX + 1}, 10, &op, NULL),
                     E_TOOBIG);
}

static void test_headers(void **state)
{
    (void)state;
    struct bytes h =
        BYTES("NATS/1.0 409 Consumer Deleted\r\nA: b\r\nnone\r\nC:d : e\r\nE:\r\n\r\n");
    struct bytes text, name, value;
    assert_int_equal(nats1_status(h, &text), 409);
    assert_true(bytes_is(text, "Consumer Deleted"));
    assert_int_equal(nats1_status(BYTES("NATS/1.0\r\nA: b\r\n\r\n"), NULL), 0);
    size_t at = 0, count = 0;
    while (nats1_header_each(h, &at, &name, &value))
        count++;
    assert_int_equal(count, 3);
    assert_true(bytes_is(nats1_header(h, "c"), "d : e"));
    assert_non_null(nats1_header(h, "E").p);
    assert_null(nats1_header(h, "x").p);
}

static void test_put(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 1000);
    (void)nats1_put_pub(&b, BYTES("a"), BYTES_NONE, BYTES_NONE, BYTES("hi"));
    (void)nats1_put_pub(&b, BYTES("a"), BYTES("r"), BYTES("A: b\r\n"), BYTES("hi"));
    (void)nats1_put_sub(&b, BYTES("a.>"), BYTES("q"), 7);
    (void)nats1_put_sub(&b, BYTES("a.>"), BYTES_NONE, 8);
    (void)nats1_put_unsub(&b, 7);
    assert_string_equal(buf_cstr(&b),
                        "PUB a 2\r\nhi\r\nHPUB a r 18 20\r\nNATS/1.0\r\nA: b\r\n\r\nhi"
                        "\r\nSUB a.> q 7\r\nSUB a.> 8\r\nUNSUB 7\r\n");
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_long),
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_put),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
