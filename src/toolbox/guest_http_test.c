// guest_http_test.c: requests of guests: granted or not, redirected, rebound, too large, too slow,
// cancelled; over a real loop with a real server. SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "http/http.h"
#include "loop/loop_rig.h"
#include "toolbox/guest_http.h"

struct test {
    struct rig rig;
    struct http_server *server;
    struct net_listener *listeners[2];
    uint16_t port[2];
    struct guest_http *client;
    struct work *work;
    int resolved; // how often a name was asked for
    const char *addresses[3];
    unsigned requests;
    char seen_auth[64], seen_encoding[64], seen_method[16], seen_host[64];
};

static void reply(struct http_exchange *x, int status, const char *extra, struct bytes body)
{
    http_reply(x, status, "text/plain", bytes_of(extra), body);
}

static void copy(char *to, size_t n, struct bytes from)
{
    (void)snprintf(to, n, "%.*s", BYTES_FMT(from));
}

static void on_request(void *user, struct http_exchange *x)
{
    struct test *t = user;
    const struct http_head *h = http_request(x);
    char line[200];
    t->requests++;
    copy(t->seen_auth, sizeof t->seen_auth, http_header(h, "authorization"));
    copy(t->seen_encoding, sizeof t->seen_encoding, http_header(h, "accept-encoding"));
    copy(t->seen_method, sizeof t->seen_method, h->method);
    copy(t->seen_host, sizeof t->seen_host, http_header(h, "host"));
    if (bytes_is(h->path, "/hello")) {
        reply(x, 200, "X-Twice: a\r\nX-Twice: b\r\n",
              http_body(x).n ? http_body(x) : BYTES("hello"));
    } else if (bytes_is(h->path, "/metadata")) {
        reply(x, 302, "Location: http://169.254.169.254/latest/meta-data/\r\n", BYTES("gone"));
    } else if (bytes_is(h->path, "/other")) {
        (void)snprintf(line, sizeof line, "Location: http://127.0.0.1:%u/hello\r\n", t->port[1]);
        reply(x, 303, line, BYTES("see other"));
    } else if (bytes_is(h->path, "/again")) {
        reply(x, 307, "Location: /again\r\n", BYTES(""));
    } else if (bytes_is(h->path, "/name")) {
        reply(x, 301, "Location: http://inside.example/\r\n", BYTES(""));
    } else if (bytes_is(h->path, "/large")) {
        static char large[5000];
        reply(x, 200, "", (struct bytes){large, sizeof large});
    } else if (bytes_is(h->path, "/chunks")) {
        static char large[5000];
        struct bytes v = {large, sizeof large};
        http_begin(x, 200, "text/plain", BYTES_NONE, HTTP_CHUNKED);
        (void)http_send(x, &v, 1);
        http_finish(x);
    } else if (bytes_is(h->path, "/bomb")) { // says that it is packed, whatever was asked for
        reply(x, 200, "Content-Encoding: gzip\r\n", BYTES("\x1f\x8b\x08 not unpacked"));
    } else if (bytes_is(h->path, "/missing")) {
        reply(x, 404, "", BYTES("not here"));
    } else {
        http_own(x, t, NULL, NULL); // /never
    }
}

static int on_head(void *user, struct http_exchange *x)
{
    (void)user;
    (void)x;
    return 0;
}

static int resolve(void *user, const char *host, struct guest_http_address *ret, struct err *e)
{
    struct test *t = user;
    int n = 0;
    t->resolved++;
    if (strcmp(host, "nowhere.example") == 0)
        return err_set(e, E_NOTFOUND, "no such host");
    for (; n < 3 && t->addresses[n]; n++)
        (void)snprintf(ret[n].text, sizeof ret->text, "%s", t->addresses[n]);
    return n;
}

static void up(struct test *t)
{
    struct err e = {0};
    memset(t, 0, sizeof *t);
    rig_up(&t->rig, NULL);
    struct http_server_args args = {
        .net = t->rig.net,
        .timers = loop_timers(t->rig.loop),
        .routes = {.on_head = on_head, .on_request = on_request, .user = t}};
    assert_int_equal(http_server_new(&t->server, &args, &e), 0);
    for (int i = 0; i < 2; i++) {
        struct net_listen_args listen = {.addr = {.host = "127.0.0.1"}, .queue_bytes_max = 1 << 20};
        assert_int_equal(http_server_listen(t->server, &listen, i, &t->listeners[i], &e), 0);
        t->port[i] = net_listener_port(t->listeners[i]);
    }
    t->work = loop_work_new(t->rig.loop, "names", 1, 16);
    struct guest_http_args client = {.net = t->rig.net,
                                     .timers = loop_timers(t->rig.loop),
                                     .work = t->work,
                                     .resolve = resolve,
                                     .user = t};
    assert_int_equal(guest_http_new(&t->client, &client, &e), 0);
}

static void down(struct test *t)
{
    http_server_free(t->server);
    rig_down(&t->rig);
}

struct ask {
    struct test *t;
    struct sandbox_http h;
    int status, code;
    char head[1024], body[256], text[400];
    size_t body_n;
    bool done, keep; // keep: the loop goes on after it
    char url[200];
    struct bytes hosts[3];
};

static void stop(struct test *t)
{
    guest_http_free(t->client);
    t->client = NULL;
    http_server_abort(t->server);
    for (int i = 0; i < 2; i++)
        http_server_unlisten(t->server, t->listeners[i]);
    loop_stop(t->rig.loop);
}

static void asked(struct sandbox_http *h, int status, int code, struct bytes head,
                  struct bytes body, const struct err *e)
{
    struct ask *a = h->user;
    assert_false(a->done);
    a->done = true;
    a->status = status;
    a->code = code;
    copy(a->head, sizeof a->head, head);
    copy(a->body, sizeof a->body, body);
    copy(a->text, sizeof a->text, bytes_of(e ? e->text : ""));
    a->body_n = body.n;
    if (!a->keep)
        stop(a->t);
}

static void start(struct test *t, struct ask *a, const char *path, const char *host)
{
    struct err e = {0};
    a->t = t;
    if (path[0] == '/')
        (void)snprintf(a->url, sizeof a->url, "http://127.0.0.1:%u%s", t->port[0], path);
    else
        (void)snprintf(a->url, sizeof a->url, "%s", path);
    a->hosts[0] = bytes_of(host);
    a->h.url = bytes_of(a->url);
    if (!a->h.method.n)
        a->h.method = BYTES("GET");
    a->h.hosts = a->hosts;
    a->h.nhosts = a->hosts[1].n ? 2 : 1;
    if (!a->h.body_max)
        a->h.body_max = 1000;
    if (!a->h.timeout_ms)
        a->h.timeout_ms = 10000;
    a->h.done = asked;
    a->h.user = a;
    struct sandbox_client c = guest_http_client(t->client);
    assert_int_equal(c.start(c.user, &a->h, &e), 0);
    assert_false(a->done); // never from inside
}

static void one(struct test *t, struct ask *a, const char *path, const char *host)
{
    up(t);
    char own[32];
    (void)snprintf(own, sizeof own, "127.0.0.1:%u", t->port[0]);
    start(t, a, path, host ? host : own);
    rig_run(&t->rig);
    assert_true(a->done);
}

static void answers(void **state)
{
    (void)state;
    struct test t;
    struct ask a = {.h = {.headers = BYTES("Authorization: secret\r\n")}};
    one(&t, &a, "/hello", NULL);
    assert_int_equal(a.status, 0);
    assert_int_equal(a.code, 200);
    assert_string_equal(a.body, "hello");
    assert_non_null(strstr(a.head, "\"content-type\":\"text/plain\""));
    assert_non_null(strstr(a.head, "\"x-twice\":\"a, b\""));
    assert_string_equal(t.seen_auth, "secret");
    assert_string_equal(t.seen_encoding, "identity");
    assert_int_equal(t.resolved, 0);
    down(&t);
    a = (struct ask){.h = {.method = BYTES("POST"), .body = BYTES("sent")}};
    one(&t, &a, "/hello", NULL);
    assert_string_equal(a.body, "sent");
    down(&t);
    a = (struct ask){0};
    one(&t, &a, "/missing", NULL);
    assert_int_equal(a.status, 0);
    assert_int_equal(a.code, 404);
    assert_string_equal(a.body, "not here");
    down(&t);
    a = (struct ask){0};
    one(&t, &a, "/bomb", NULL); // as it came
    assert_string_equal(a.body, "\x1f\x8b\x08 not unpacked");
    down(&t);
}

static void refused(void **state)
{
    (void)state;
    static const struct {
        const char *path, *host;
        const char *addresses[3];
        int status;
        const char *words;
        unsigned requests;
    } rows[] = {
        {"/hello", "127.0.0.1", {0}, E_FORBIDDEN, "not allowed", 0}, // the scheme's own port
        {"http://127.0.0.1/", "*", {0}, E_FORBIDDEN, "private address 127.0.0.1", 0},
        {"http://evil.example/", "good.example", {0}, E_FORBIDDEN, "not allowed", 0},
        {"http://inside.example/", "inside.example", {"127.0.0.1"}, E_FORBIDDEN, "private", 0},
        {"http://inside.example/", "*", {"10.1.2.3"}, E_FORBIDDEN, "private", 0},
        {"http://inside.example/", "*.example", {"8.8.8.8", "fd00::1"}, E_FORBIDDEN, "fd00::1", 0},
        {"http://localhost/", "*", {"127.0.0.1"}, E_FORBIDDEN, "private", 0},
        {"http://2130706433/", "*", {"127.0.0.1"}, E_FORBIDDEN, "private", 0},
        {"http://[::1]/", "*", {0}, E_FORBIDDEN, "private address ::1", 0},
        {"http://[::ffff:127.0.0.1]/", "*", {0}, E_FORBIDDEN, "private", 0},
        {"http://nowhere.example/", "*", {0}, E_NOTFOUND, "no such host", 0},
        {"http://nothing.example/", "*", {0}, E_NOTFOUND, "cannot be resolved", 0},
        {"https://good.example/", "good.example", {"8.8.8.8"}, E_CONFIG, "TLS", 0},
        {"ftp://good.example/", "*", {0}, E_INVALID, "http", 0},
        {"http://u:p@good.example/", "*", {0}, E_INVALID, "user", 0},
        {"/metadata", NULL, {0}, E_FORBIDDEN, "(a redirect)", 1},
        {"/name", NULL, {0}, E_FORBIDDEN, "not allowed", 1},
        {"/again", NULL, {0}, E_UPSTREAM, "redirects", 6},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct test t;
        struct ask a = {0};
        char own[32];
        up(&t);
        memcpy(t.addresses, rows[i].addresses, sizeof t.addresses);
        (void)snprintf(own, sizeof own, "127.0.0.1:%u", t.port[0]);
        start(&t, &a, rows[i].path, rows[i].host ? rows[i].host : own);
        rig_run(&t.rig);
        assert_true(a.done);
        if (a.status != rows[i].status || !strstr(a.text, rows[i].words))
            fail_msg("%s for %s: %d %s", rows[i].path, rows[i].host, a.status, a.text);
        assert_int_equal(t.requests, rows[i].requests);
        assert_true(t.resolved <= 1); // asked once: there is no second answer to fall for
        down(&t);
    }
}

// Also with "*" granted, and with the metadata's address behind a name.
static void redirected(void **state)
{
    (void)state;
    struct test t;
    struct ask a = {.hosts = {BYTES_NONE, BYTES("*")}};
    one(&t, &a, "/metadata", NULL);
    assert_int_equal(a.status, E_FORBIDDEN);
    assert_non_null(strstr(a.text, "private address 169.254.169.254"));
    down(&t);
    a = (struct ask){.hosts = {BYTES_NONE, BYTES("*.example")}};
    up(&t);
    char own[32], both[32];
    t.addresses[0] = "169.254.169.254";
    (void)snprintf(own, sizeof own, "127.0.0.1:%u", t.port[0]);
    start(&t, &a, "/name", own);
    rig_run(&t.rig);
    assert_int_equal(a.status, E_FORBIDDEN);
    assert_int_equal(t.resolved, 1);
    down(&t);
    // To another origin that is granted: without the first one's secrets, and as GET.
    a = (struct ask){.h = {.method = BYTES("POST"),
                           .body = BYTES("x"),
                           .headers = BYTES("Authorization: secret\r\nX-Other: y\r\n")}};
    up(&t);
    (void)snprintf(own, sizeof own, "127.0.0.1:%u", t.port[0]);
    (void)snprintf(both, sizeof both, "127.0.0.1:%u", t.port[1]);
    a.hosts[1] = bytes_of(both);
    start(&t, &a, "/other", own);
    rig_run(&t.rig);
    assert_int_equal(a.status, 0);
    assert_string_equal(a.body, "hello");
    assert_string_equal(t.seen_auth, "");
    assert_string_equal(t.seen_method, "GET");
    assert_string_equal(t.seen_host, both);
    down(&t);
}

static void bounds(void **state)
{
    (void)state;
    static const char *const paths[] = {"/large", "/chunks"};
    struct test t;
    for (size_t i = 0; i < 2; i++) {
        struct ask a = {.h = {.body_max = 4999}};
        one(&t, &a, paths[i], NULL);
        assert_int_equal(a.status, E_TOOBIG);
        assert_int_equal(a.body_n, 0);
        down(&t);
        a = (struct ask){.h = {.body_max = 5000}};
        one(&t, &a, paths[i], NULL);
        assert_int_equal(a.status, 0);
        assert_int_equal(a.body_n, 5000);
        down(&t);
    }
    struct ask a = {.h = {.timeout_ms = 50}};
    one(&t, &a, "/never", NULL);
    assert_int_equal(a.status, E_TIMEOUT);
    down(&t);
}

static void stop_now(struct timer *timer)
{
    stop(timer->user);
}

static struct timer last; // the loop goes on for what was cancelled to come to its end

static void stop_later(struct timer *timer)
{
    struct ask *a = timer->user;
    struct sandbox_client c = guest_http_client(a->t->client);
    c.cancel(c.user, &a->h);
    memset(&a->h, 0x55, sizeof a->h); // it is the caller's again
    last = (struct timer){.fn = stop_now, .user = a->t};
    assert_int_equal(timer_start(loop_timers(a->t->rig.loop), &last, 50), 0);
}

static void cancelled(void **state)
{
    (void)state;
    static const char *const paths[] = {"/never", "http://slow.example/", "/hello"};
    for (size_t i = 0; i < 3; i++) {
        struct test t;
        struct ask a = {0};
        struct timer timer = {.fn = stop_later, .user = &a};
        up(&t);
        char own[32];
        (void)snprintf(own, sizeof own, "127.0.0.1:%u", t.port[0]);
        start(&t, &a, paths[i], i == 1 ? "slow.example" : own);
        assert_int_equal(timer_start(loop_timers(t.rig.loop), &timer, i == 0 ? 30 : 0), 0);
        rig_run(&t.rig);
        assert_false(a.done);
        down(&t);
    }
}

static void rules(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *host;
        uint16_t port;
        bool tls, granted;
    } hosts[] = {{"a.org", "a.org", 443, true, true},
                 {"a.org", "A.ORG.", 80, false, true},
                 {"a.org", "a.org", 8080, false, false},
                 {"a.org:8080", "a.org", 8080, false, true},
                 {"a.org:8080", "a.org", 80, false, false},
                 {"a.org", "b.a.org", 80, false, false},
                 {"*.a.org", "b.a.org", 80, false, true},
                 {"*.a.org", "a.org", 80, false, false},
                 {"*.a.org", "ba.org", 80, false, false},
                 {"*.a.org:81", "c.b.a.org", 81, false, true},
                 {"*", "any.org", 443, true, true},
                 {"*", "any.org", 81, false, false},
                 {"[::1]:81", "::1", 81, false, true},
                 {"::1", "::1", 80, false, true},
                 {"", "", 80, false, true},
                 {"a.org", "", 80, false, false},
                 {"a.org:0", "a.org", 80, false, true},
                 {"a.org:", "a.org", 80, false, true}};
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        struct bytes pattern = bytes_of(hosts[i].pattern);
        bool got =
            guest_http_granted(&pattern, 1, bytes_of(hosts[i].host), hosts[i].port, hosts[i].tls);
        if (got != hosts[i].granted)
            fail_msg("%s for %s:%u", hosts[i].pattern, hosts[i].host, hosts[i].port);
    }
    static const char *const closed[] = {"127.0.0.1",
                                         "127.255.0.1",
                                         "10.0.0.1",
                                         "172.16.0.1",
                                         "172.31.255.255",
                                         "192.168.1.1",
                                         "169.254.169.254",
                                         "100.64.0.1",
                                         "0.0.0.0",
                                         "224.0.0.1",
                                         "255.255.255.255",
                                         "198.18.0.1",
                                         "::1",
                                         "::",
                                         "fe80::1",
                                         "fd12::1",
                                         "fc00::1",
                                         "ff02::1",
                                         "::ffff:10.0.0.1",
                                         "64:ff9b::7f00:1",
                                         "2002:7f00:1::",
                                         "2001::1",
                                         "::7f00:1",
                                         "fec0::1",
                                         "text",
                                         ""};
    static const char *const open[] = {"8.8.8.8",          "172.32.0.1",      "172.15.0.1",
                                       "100.128.0.1",      "2606:4700::1111", "::ffff:8.8.8.8",
                                       "64:ff9b::808:808", "193.0.0.1",       "11.0.0.1"};
    for (size_t i = 0; i < sizeof closed / sizeof *closed; i++)
        if (!guest_http_private(closed[i]))
            fail_msg("%s is not public", closed[i]);
    for (size_t i = 0; i < sizeof open / sizeof *open; i++)
        if (guest_http_private(open[i]))
            fail_msg("%s is public", open[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(answers),    cmocka_unit_test(refused),
                                       cmocka_unit_test(redirected), cmocka_unit_test(bounds),
                                       cmocka_unit_test(cancelled),  cmocka_unit_test(rules)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
