// web_test.c: which file a request gets, and when it gets none. The exchange is a stand-in of its
// own: web sees no more of http than the two functions below.
// SPDX-License-Identifier: Apache-2.0
#include "web/web.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct http_exchange {
    struct http_head head;
    struct http_header_line lines[1];
    int status;
    char type[64], extra[2048], body[64];
    size_t body_bytes;
};

const struct http_head *http_request(const struct http_exchange *x)
{
    return &x->head;
}

void http_reply(struct http_exchange *x, int status, const char *type, struct bytes extra,
                struct bytes body)
{
    assert_int_equal(x->status, 0); // one answer
    x->status = status;
    x->body_bytes = body.n;
    (void)snprintf(x->type, sizeof(x->type), "%s", type ? type : "");
    (void)snprintf(x->extra, sizeof(x->extra), "%.*s", BYTES_FMT(extra));
    (void)snprintf(x->body, sizeof(x->body), "%.*s", BYTES_FMT(bytes_first(body, 60)));
}

static bool ask(struct http_exchange *x, const char *method, const char *path,
                const char *none_match)
{
    *x = (struct http_exchange){.head.method = bytes_of(method), .head.path = bytes_of(path)};
    x->head.headers = x->lines;
    if (none_match) {
        x->lines[0] = (struct http_header_line){BYTES("if-none-match"), bytes_of(none_match)};
        x->head.count = 1;
    }
    return web_handle(x);
}

static void paths(void **state)
{
    static const struct {
        const char *method, *path;
        int status; // 0: not ours
        const char *type;
    } rows[] = {
        {"GET", "/", 200, "text/html; charset=utf-8"},
        {"HEAD", "/", 200, "text/html; charset=utf-8"},
        {"GET", "/assets/index.html", 200, "text/html; charset=utf-8"},
        {"GET", "/assets/app.js", 200, "text/javascript; charset=utf-8"},
        {"GET", "/assets/style.css", 200, "text/css; charset=utf-8"},
        {"GET", "/assets/icon.svg", 200, "image/svg+xml"},
        {"POST", "/", 405, "application/json"},
        {"DELETE", "/assets/app.js", 405, "application/json"},
        {"get", "/", 405, "application/json"},
        {"GET", "", 0, NULL},
        {"GET", "//", 0, NULL},
        {"GET", "/assets", 0, NULL},
        {"GET", "/assets/", 0, NULL},
        {"GET", "/assets/app", 0, NULL},
        {"GET", "/assets/app.js/", 0, NULL},
        {"GET", "/assets/../index.html", 0, NULL},
        {"GET", "/index.html", 0, NULL},
        {"POST", "/v1/chat/completions", 0, NULL},
    };
    struct http_exchange x;
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        bool ours = ask(&x, rows[i].method, rows[i].path, NULL);
        if (ours != (rows[i].status != 0) || x.status != rows[i].status ||
            (ours && strcmp(x.type, rows[i].type) != 0))
            fail_msg("%s %s: %d %s, expected %d %s", rows[i].method, rows[i].path, x.status, x.type,
                     rows[i].status, rows[i].type ? rows[i].type : "");
        if (x.status == 405)
            assert_non_null(strstr(x.extra, "Allow: GET, HEAD\r\n"));
        if (x.status == 200)
            assert_true(x.body_bytes > 100);
    }
}

static void guards(void **state)
{
    static const char *const lines[] = {"Content-Security-Policy: default-src 'self';",
                                        "connect-src 'self'",
                                        "frame-ancestors 'none'",
                                        "X-Content-Type-Options: nosniff\r\n",
                                        "Referrer-Policy: no-referrer\r\n",
                                        "Cache-Control: no-cache\r\n",
                                        "ETag: \""};
    struct http_exchange x;
    (void)state;
    assert_true(ask(&x, "GET", "/", NULL));
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        if (!strstr(x.extra, lines[i]))
            fail_msg("no %s in\n%s", lines[i], x.extra);
    assert_null(strstr(x.extra, "unsafe"));
    assert_int_equal(memcmp(x.body, "<!doctype html>", 15), 0);
}

static void tags(void **state)
{
    static const struct {
        const char *format; // %s: the file's tag
        int status;
    } rows[] = {
        {"%s", 304}, {"W/%s", 304},  {"\"x\", %s", 304}, {"\"x\",W/%s ,\"y\"", 304},
        {"*", 304},  {"\"x\"", 200}, {"", 200},          {",", 200},
        {"W/", 200}, {"x%s", 200},
    };
    struct http_exchange x;
    char tag[80] = "", sent[200];
    (void)state;
    assert_true(ask(&x, "GET", "/assets/app.js", NULL));
    assert_int_equal(sscanf(x.extra, "ETag: %79s", tag), 1);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *at = strstr(rows[i].format, "%s");
        size_t before = at ? (size_t)(at - rows[i].format) : strlen(rows[i].format);
        (void)snprintf(sent, sizeof(sent), "%.*s%s%s", (int)before, rows[i].format, at ? tag : "",
                       at ? at + 2 : "");
        assert_true(ask(&x, "GET", "/assets/app.js", sent));
        if (x.status != rows[i].status || (x.status == 304) != (x.body_bytes == 0))
            fail_msg("%s: %d with %zu bytes, expected %d", sent, x.status, x.body_bytes,
                     rows[i].status);
        assert_non_null(strstr(x.extra, tag)); // also with 304
    }
    assert_true(ask(&x, "GET", "/assets/style.css", tag)); // another file's tag
    assert_int_equal(x.status, 200);
}

int main(void)
{
    const struct CMUnitTest all[] = {
        cmocka_unit_test(paths),
        cmocka_unit_test(guards),
        cmocka_unit_test(tags),
    };
    return cmocka_run_group_tests_name("web", all, NULL, NULL);
}
