// sse_test.c: frame boundaries and events, however the stream is cut.
// SPDX-License-Identifier: Apache-2.0
#include "base/err.h"
#include "base/rng.h"
#include "text/sse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

static void cuts(void **state)
{
    static const struct {
        const char *text;
        size_t cut;
        uint64_t frames;
    } rows[] = {
        {"", 0, 0},
        {"data: a\n\n", 9, 1},
        {"data: a\n", 0, 0},
        {"data: a\n\ndata", 9, 1},
        {"data: a\r\n\r\n", 11, 1},
        {"data: a\r\r", 9, 1},
        {"data: a\r\n\r", 10, 1},
        {"data: a\n\r\n", 10, 1},
        {"data: a\r\r\n", 10, 1},
        {"data:\n\ndata:\n\n", 14, 2},
        {": wait\n\n", 8, 0},
        {": wait\n\ndata: x\n\n", 17, 1},
        {"event: a\ndata: b\ndata: c\n\n", 26, 1},
        {"\n\n\n", 3, 0},
        {"dat: a\n\n", 8, 0},
        {"data\n\n", 6, 0},
        {"xdata: a\n\n", 10, 0},
        {"data: a\n\n\r\n", 11, 1},
        {"dadata:\n\n", 9, 0},
        {"data: a\n: b", 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        size_t n = strlen(rows[i].text);
        struct sse_cut one = {0}, each = {0};
        size_t cut = sse_cut_feed(&one, rows[i].text, n), last = 0;
        for (size_t at = 0; at < n; at++)
            if (sse_cut_feed(&each, rows[i].text + at, 1))
                last = at + 1;
        if (cut != rows[i].cut || one.frames != rows[i].frames || last != cut ||
            each.frames != one.frames)
            fail_msg("row %zu \"%s\": cut %zu frames %llu, byte by byte %zu %llu", i, rows[i].text,
                     cut, (unsigned long long)one.frames, last, (unsigned long long)each.frames);
    }
}

static void collect(void *arg, const struct sse_event *event)
{
    (void)buf_fmt(arg, "[%.*s|%.*s|%.*s]", BYTES_FMT(event->event), BYTES_FMT(event->id),
                  BYTES_FMT(event->data));
}

static void events(void **state)
{
    static const struct {
        const char *text, *events;
    } rows[] = {
        {"data: a\n\n", "[||a]"},
        {"data:a\n\n", "[||a]"},
        {"data:  a\n\n", "[|| a]"},
        {"data: a\ndata: b\n\n", "[||a\nb]"},
        {"data\n\n", "[||]"},
        {"data\ndata\n\n", "[||\n]"},
        {"event: e\nid: 7\ndata: x\n\ndata: y\n\n", "[e|7|x][|7|y]"},
        {"id: 7\nid\ndata: x\n\n", "[||x]"},
        {"event: e\n\ndata: x\n\n", "[||x]"},
        {": c\n\nretry: 5\n\nfoo: x\n\n", ""},
        {"data: x\n", ""},
        {"data: a\r\n\r\ndata: b\r\r", "[||a][||b]"},
        {"\xef\xbb\xbf"
         "data: a\n\n",
         "[||a]"},
        {"\n\xef\xbb\xbf"
         "data: a\n\n",
         ""},
        {"data: a:b\n\n", "[||a:b]"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        for (size_t step = 1; step < 50; step++) {
            struct sse_parser p;
            struct buf out;
            struct bytes rest = bytes_of(rows[i].text);
            buf_init(&out, 1000);
            sse_parser_init(&p, 100);
            while (rest.n) {
                assert_int_equal(sse_parser_feed(&p, bytes_first(rest, step), collect, &out), 0);
                rest = bytes_from(rest, step);
            }
            if (strcmp(buf_cstr(&out), rows[i].events) != 0)
                fail_msg("row %zu, steps of %zu: %s, expected %s", i, step, buf_cstr(&out),
                         rows[i].events);
            sse_parser_fini(&p);
            buf_fini(&out);
        }
}

static void nul_in_id(void **state)
{
    struct sse_parser p;
    struct buf out;
    (void)state;
    buf_init(&out, 100);
    sse_parser_init(&p, 100);
    assert_int_equal(sse_parser_feed(&p, BYTES("id: a\0b\ndata: x\n\n"), collect, &out), 0);
    assert_string_equal(buf_cstr(&out), "[||x]");
    sse_parser_fini(&p);
    buf_fini(&out);
}

static void count_event(void *arg, const struct sse_event *ev)
{
    (void)ev;
    (*(int *)arg)++;
}

// The time before coming again, and the id of an event without data: both stay.
static void retry(void **state)
{
    static const struct {
        const char *text, *id;
        uint64_t ms;
    } cases[] = {{"retry: 500\nid: a\n\n", "a", 500},
                 {"retry:7\nretry: 12\n\n", "", 12},
                 {"retry: 5s\nretry: -1\nretry\nretry:\n\n", "", 0},
                 {"id: b\ndata:\n\nretry: 3\n\n", "b", 3}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sse_parser p;
        int events = 0;
        sse_parser_init(&p, 100);
        assert_int_equal(sse_parser_feed(&p, bytes_of(cases[i].text), count_event, &events), 0);
        assert_int_equal(p.retry_ms, cases[i].ms);
        assert_true(bytes_is(buf_bytes(&p.id), cases[i].id));
        assert_int_equal(events, i == 3);
        sse_parser_fini(&p);
    }
}

static void ceilings(void **state)
{
    static const struct {
        const char *text;
        int code;
    } rows[] = {
        {"data: 4567890\n\n", E_TOOBIG},    // a line of 13
        {"data:67890\n\n", 0},              // ten bytes
        {"data: aa\ndata: bb\ndata: cc\n\n", 0},
        {"data:67890\ndata:67890\n\n", E_TOOBIG}, // ten and two LF
        {": a comment of 26 bytes ...\n\n", E_TOOBIG},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        for (size_t step = 1; step < 40; step += 6) {
            struct sse_parser p;
            struct buf out;
            struct bytes rest = bytes_of(rows[i].text);
            int code = 0;
            buf_init(&out, 1000);
            sse_parser_init(&p, 10);
            while (rest.n && !code) {
                code = sse_parser_feed(&p, bytes_first(rest, step), collect, &out);
                rest = bytes_from(rest, step);
            }
            if (code != rows[i].code)
                fail_msg("row %zu, steps of %zu: %d", i, step, code);
            assert_int_equal(sse_parser_feed(&p, BYTES_NONE, collect, &out), code); // it stays so
            sse_parser_fini(&p);
            buf_fini(&out);
        }
}

static void any_split(void **state)
{
    static const char *const bits[] = {
        "data:",    "data: {\"a\":1}", "\n", "\n",           "\r", "\r\n", ":",
        "event: x", "id: 1",           " ",  "\xef\xbb\xbf", "d",  "ata:", "\n\n"};
    struct rng r;
    (void)state;
    rng_init(&r, 7);
    for (int round = 0; round < 5000; round++) {
        char text[400];
        size_t n = 0, last = 0;
        for (uint64_t k = rng_below(&r, 20); k-- > 0;) {
            const char *bit = bits[rng_below(&r, COUNT(bits))];
            memcpy(text + n, bit, strlen(bit));
            n += strlen(bit);
        }
        struct sse_cut one = {0}, many = {0};
        struct sse_parser a, b;
        struct buf out_a, out_b;
        buf_init(&out_a, 4000);
        buf_init(&out_b, 4000);
        sse_parser_init(&a, 30);
        sse_parser_init(&b, 30);
        size_t cut = sse_cut_feed(&one, text, n);
        int code_a = sse_parser_feed(&a, (struct bytes){text, n}, collect, &out_a), code_b = 0;
        for (size_t at = 0; at < n;) {
            size_t step = 1 + rng_below(&r, 12);
            step = step < n - at ? step : n - at;
            size_t whole = sse_cut_feed(&many, text + at, step);
            assert_true(whole <= step);
            last = whole ? at + whole : last;
            code_b = sse_parser_feed(&b, (struct bytes){text + at, step}, collect, &out_b);
            at += step;
        }
        assert_int_equal(last, cut);
        assert_int_equal(many.frames, one.frames);
        assert_int_equal(code_a, code_b);
        assert_string_equal(buf_cstr(&out_a), buf_cstr(&out_b));
        sse_parser_fini(&a);
        sse_parser_fini(&b);
        buf_fini(&out_a);
        buf_fini(&out_b);
    }
}

static void error_frame(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 1000);
    assert_int_equal(sse_put_error(&b, "the engine \"x\"\nfailed", "server_error", "E_ENGINE"), 0);
    assert_int_equal(sse_put_error(&b, "", "t", NULL), 0);
    assert_string_equal(
        buf_cstr(&b),
        "data: {\"error\":{\"message\":\"the engine \\\"x\\\"\\nfailed\",\"type\":\"server_error\","
        "\"param\":null,\"code\":\"E_ENGINE\"}}\n\n"
        "data: {\"error\":{\"message\":\"\",\"type\":\"t\",\"param\":null,\"code\":null}}\n\n");
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cuts),        cmocka_unit_test(events),   cmocka_unit_test(nul_in_id),
        cmocka_unit_test(retry),       cmocka_unit_test(ceilings), cmocka_unit_test(any_split),
        cmocka_unit_test(error_frame),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
