// http1_test.c: messages taken apart: the same however they are cut; limits; what is refused.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "base/buf.h"
#include "text/http1.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct side { // reads bytes as a connection does, and tells what it saw
    bool answers, in_body, stopped;
    struct http1 parser;
    struct http1_fields fields;
    struct buf in, told;
};

static void tell_head(struct buf *t, const struct http1_head *h)
{
    (void)buf_fmt(t, "[%.*s|%.*s|%.*s|%.*s|%d", BYTES_FMT(h->method), BYTES_FMT(h->path),
                  BYTES_FMT(h->query), BYTES_FMT(h->host), h->status);
    (void)buf_fmt(t, "%s%s%s%s%s", h->http10 ? " 1.0" : "", h->keep_alive ? " keep" : "",
                  h->chunked ? " chunked" : "", h->upgrade ? " upgrade" : "",
                  h->until_close ? " until-close" : "");
    if (h->has_length)
        (void)buf_fmt(t, " %llu", (unsigned long long)h->length);
    for (size_t i = 0; i < h->count; i++)
        (void)buf_fmt(t, " %.*s=%.*s", BYTES_FMT(h->headers[i].name),
                      BYTES_FMT(h->headers[i].value));
    (void)buf_chr(t, ']');
}

static bool go_on(struct side *s)
{
    struct bytes data = buf_bytes(&s->in), part = BYTES_NONE;
    struct http1_head head;
    struct err e = {0};
    size_t used = 0;
    int event;
    if (s->in_body) {
        event = http1_body(&s->parser, data, &used, &part, &e);
        if (event == HTTP1_BODY)
            (void)buf_put(&s->told, part);
        if (event == HTTP1_END)
            (void)buf_str(&s->told, "[end]");
        s->in_body = event != HTTP1_END;
    } else {
        event = data.n == 0  ? HTTP1_MORE
                : s->answers ? http1_response(&s->parser, &s->fields, data, &head, &used, &e)
                             : http1_request(&s->parser, &s->fields, data, &head, &used, &e);
        if (event == HTTP1_MORE)
            return false;
        if (event == HTTP1_HEAD)
            tell_head(&s->told, &head);
        s->in_body = event == HTTP1_HEAD && (!s->answers || head.status >= 200);
    }
    if (event < 0) {
        (void)buf_fmt(&s->told, "[%s]", err_info(event)->symbol);
        assert_int_equal(e.code, event);
        s->stopped = true;
    }
    buf_drop(&s->in, used);
    return event >= 0 && event != HTTP1_MORE;
}

static void feed(struct side *s, struct bytes piece)
{
    (void)buf_put(&s->in, piece);
    while (!s->stopped && go_on(s))
        ;
}

static void side_open(struct side *s, bool answers)
{
    memset(s, 0, sizeof(*s));
    s->answers = answers;
    buf_init(&s->in, 1 << 20);
    buf_init(&s->told, 1 << 20);
}

static const char *side_end(struct side *s)
{
    if (!s->stopped && s->in_body)
        (void)buf_str(&s->told, http1_eof(&s->parser) == HTTP1_END ? "[eof]" : "[cut]");
    return buf_cstr(&s->told);
}

static void side_fini(struct side *s)
{
    buf_fini(&s->in);
    buf_fini(&s->told);
}

struct message {
    bool answers;
    const char *text, *told;
};
static const struct message messages[] = {
    {false,
     "GET /v1/models?a=1 HTTP/1.1\r\nHost: h\r\nX-A:  b c\t\r\n\r\n"
     "POST /x HTTP/1.1\r\nhost: h\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.0\r\n\r\n",
     "[GET|/v1/models|a=1|h|0 keep Host=h X-A=b c][end]"
     "[POST|/x||h|0 keep 5 host=h Content-Length=5]hello[end][GET|/|||0 1.0][end]"},
    {false,
     "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
     "5;a=\"b\"\r\nhello\r\n06\r\n world\r\n0\r\nTrailer: x\r\n\r\nGET / HTTP/1.1\r\nHost: "
     "h\r\n\r\n",
     "[POST|/||h|0 keep chunked Host=h Transfer-Encoding=chunked]hello world[end]"
     "[GET|/||h|0 keep Host=h][end]"},
    {false, "GET http://a:8/b?c HTTP/1.1\r\nHost: other\r\nConnection: close\r\n\r\n",
     "[GET|/b|c|a:8|0 Host=other Connection=close][end]"},
    {false, "GET https://a HTTP/1.1\r\nHost: a\r\n\r\n", "[GET|/||a|0 keep Host=a][end]"},
    {false, "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "[OPTIONS|*||a|0 keep Host=a][end]"},
    {false, "GET * HTTP/1.1\r\nHost: a\r\n\r\n", "[E_PARSE]"},
    {false, "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", "[E_PARSE]"},
    {false, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "[E_PARSE]"},
    {false, "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", "[E_PARSE]"},
    {false, "GET / HTTP/1.1\r\nX: a\r\n\r\n", "[E_PARSE]"},
    {false, "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "[E_PARSE]"},
    {false, "GET / HTTP/2.0\r\nHost: a\r\n\r\n", "[E_VERSION]"},
    {false, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
     "[E_UNSUPPORTED]"},
    {false, "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "[E_PARSE]"},
    {false, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nshort",
     "[POST|/||a|0 keep 9 Host=a Content-Length=9]short[cut]"},
    {false, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n",
     "[POST|/||a|0 keep chunked Host=a Transfer-Encoding=chunked]abc[E_PARSE]"},
    {true,
     "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 204 No "
     "Content\r\n\r\n",
     "[||||100 keep][||||200 keep 2 Content-Length=2]ok[end][||||204 keep][end]"},
    {true, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
     "[||||200 keep chunked Transfer-Encoding=chunked]ok[end]"},
    {true, "HTTP/1.0 200 Fine\r\nServer: x\r\n\r\nuntil the end",
     "[||||200 1.0 until-close Server=x]until the end[eof]"},
    {true, "HTTP/1.1 200 OK\r\n\r\nuntil the end", "[||||200 until-close]until the end[eof]"},
    {true, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab",
     "[||||200 keep 3 Content-Length=3]ab[cut]"},
    {true, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n", "[E_PARSE]"},
    {true, "SSH-2.0-x\r\n", "[E_PARSE]"},
    {true, "HTTP/3.0 200 OK\r\n\r\n", "[E_PARSE]"},
};
#define MESSAGES (sizeof(messages) / sizeof(messages[0]))

static void check(const struct message *m, size_t a, size_t b)
{
    struct bytes text = bytes_of(m->text);
    static struct side s;
    side_open(&s, m->answers);
    feed(&s, bytes_first(text, a));
    feed(&s, bytes_first(bytes_from(text, a), b - a));
    feed(&s, bytes_from(text, b));
    if (strcmp(side_end(&s), m->told) != 0)
        fail_msg("cut at %zu and %zu:\n%s\ntold %s\nnot  %s", a, b, m->text, buf_cstr(&s.told),
                 m->told);
    side_fini(&s);
}

static void test_all_cuts(void **state)
{
    (void)state;
    for (size_t i = 0; i < MESSAGES; i++) {
        size_t n = strlen(messages[i].text);
        for (size_t a = 0; a <= n; a++)
            for (size_t b = a; b <= n; b += a % 3 == 0 ? 1 : 7)
                check(&messages[i], a, b);
    }
}

static void test_byte_by_byte(void **state)
{
    (void)state;
    static struct side s;
    for (size_t i = 0; i < MESSAGES; i++) {
        side_open(&s, messages[i].answers);
        for (const char *p = messages[i].text; *p; p++)
            feed(&s, (struct bytes){p, 1});
        assert_string_equal(side_end(&s), messages[i].told);
        side_fini(&s);
    }
}

static void test_too_many_lines(void **state)
{
    (void)state;
    static struct http1_fields fields;
    for (int lines = HTTP1_HEADERS_MAX - 1; lines <= HTTP1_HEADERS_MAX + 1; lines++) {
        struct http1 p;
        struct http1_head head;
        struct err e = {0};
        size_t used;
        struct buf b;
        buf_init(&b, 1 << 16);
        (void)buf_str(&b, "GET / HTTP/1.1\r\nHost: a\r\n");
        for (int i = 1; i < lines; i++)
            (void)buf_fmt(&b, "X-%d: %d\r\n", i, i);
        (void)buf_str(&b, "\r\n");
        int want = lines <= HTTP1_HEADERS_MAX ? (int)HTTP1_HEAD : E_HEAD_TOOBIG;
        assert_int_equal(http1_request(&p, &fields, buf_bytes(&b), &head, &used, &e), want);
        if (want == HTTP1_HEAD) {
            assert_int_equal(head.count, lines);
            assert_int_equal(used, b.n);
            assert_true(bytes_is(http1_find(&head, "x-97"), "97"));
            assert_true(bytes_is(http1_find(&head, "x-9"), "9"));
            assert_null(http1_find(&head, "none").p);
        }
        buf_fini(&b);
    }
    assert_int_equal(mem_live(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_cuts),
        cmocka_unit_test(test_byte_by_byte),
        cmocka_unit_test(test_too_many_lines),
    };
    return cmocka_run_group_tests_name("http1", tests, NULL, NULL);
}
