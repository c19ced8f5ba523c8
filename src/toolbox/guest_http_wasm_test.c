// guest_http_wasm_test.c: guests that ask for pages: the enclave, the client and a server on one
// loop, as the node has them. SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/file.h"
#include "enclave/enclave.h"
#include "http/http.h"
#include "loop/loop_rig.h"
#include "toolbox/guest_http.h"

#include <unistd.h>

enum { ROWS_MAX = 16 };

struct row {
    const char *guest, *function, *input; // %u in it: the server's port
    int64_t timeout_ms;
    size_t http_bytes;
    bool cancel;
    enum sandbox_kind kind;
    const char *words; // of the output, or of the text
};

struct test {
    struct rig rig;
    struct http_server *server;
    struct net_listener *listener;
    struct loop_wake *wake;
    struct guest_http *client;
    struct sandbox *sandbox;
    uint16_t port;
    const struct row *row;
    struct sandbox_compile compile;
    struct sandbox_mod *mod;
    struct sandbox_call call;
    struct timer cancel, last;
    struct bytes host;
    char own[32], input[300], text[600];
    struct buf code;
    int status;
    enum sandbox_kind kind;
    bool done;
};

static int on_head(void *user, struct http_exchange *x)
{
    (void)user;
    (void)x;
    return 0;
}

static void on_request(void *user, struct http_exchange *x)
{
    const struct http_head *h = http_request(x);
    if (bytes_is(h->path, "/page"))
        http_reply(x, 200, "text/html", BYTES("X-From: server\r\n"), BYTES("<p>a page</p>"));
    else if (bytes_is(h->path, "/post"))
        http_reply(x, 201, "text/plain", BYTES_NONE, http_body(x));
    else if (bytes_is(h->path, "/metadata"))
        http_reply(x, 302, NULL, BYTES("Location: http://169.254.169.254/\r\n"), BYTES_NONE);
    else if (bytes_is(h->path, "/error"))
        http_reply(x, 500, NULL, BYTES_NONE, BYTES("broken"));
    else
        http_own(x, user, NULL, NULL);
}

static void wake(void *user)
{
    struct test *t = user;
    loop_wake_send(t->wake);
}

static void turn(void *user)
{
    struct test *t = user;
    enclave_turn(t->sandbox);
}

static void stop(struct timer *timer)
{
    struct test *t = timer->user;
    t->sandbox->ops->drop(t->mod);
    enclave_free(t->sandbox);
    guest_http_free(t->client);
    loop_wake_free(t->wake);
    http_server_abort(t->server);
    http_server_unlisten(t->server, t->listener);
    loop_stop(t->rig.loop);
}

static void called(struct sandbox_call *c, int status, struct bytes output, enum sandbox_kind kind,
                   struct bytes text, const struct sandbox_used *used)
{
    struct test *t = c->user;
    (void)used;
    t->done = true;
    t->status = status;
    t->kind = kind;
    (void)snprintf(t->text, sizeof t->text, "%.*s", BYTES_FMT(status ? text : output));
    t->last = (struct timer){.fn = stop, .user = t};
    assert_int_equal(timer_start(loop_timers(t->rig.loop), &t->last, 20), 0);
}

static void on_cancel(struct timer *timer)
{
    struct test *t = timer->user;
    t->sandbox->ops->cancel(t->sandbox, &t->call);
}

static void compiled(struct sandbox_compile *x, int status, struct sandbox_mod *m,
                     const struct err *e)
{
    struct test *t = x->user;
    struct err why = {0};
    if (status != 0)
        fail_msg("%s", e->text);
    t->mod = m;
    t->call = (struct sandbox_call){
        .mod = m,
        .function = t->row->function,
        .input = bytes_of(t->input),
        .limits = {.timeout_ms = t->row->timeout_ms, .http_bytes = t->row->http_bytes},
        .grants = {.hosts = &t->host, .nhosts = 1},
        .done = called,
        .user = t};
    assert_int_equal(t->sandbox->ops->call(t->sandbox, &t->call, &why), 0);
    if (t->row->cancel) {
        t->cancel = (struct timer){.fn = on_cancel, .user = t};
        assert_int_equal(timer_start(loop_timers(t->rig.loop), &t->cancel, 50), 0);
    }
}

static void up(struct test *t)
{
    struct err e = {0};
    rig_up(&t->rig, NULL);
    struct http_server_args server = {.net = t->rig.net,
                                      .timers = loop_timers(t->rig.loop),
                                      .routes = {on_head, on_request, NULL, t}};
    struct net_listen_args listen = {.addr = {.host = "127.0.0.1"}, .queue_bytes_max = 1 << 20};
    assert_int_equal(http_server_new(&t->server, &server, &e), 0);
    assert_int_equal(http_server_listen(t->server, &listen, 0, &t->listener, &e), 0);
    t->port = net_listener_port(t->listener);
    struct guest_http_args client = {
        .net = t->rig.net, .timers = loop_timers(t->rig.loop), .work = loop_work(t->rig.loop)};
    assert_int_equal(guest_http_new(&t->client, &client, &e), 0);
    assert_int_equal(loop_wake_new(t->rig.loop, turn, t, &t->wake), 0);
    struct enclave_args enclave = {
        .wake = wake, .user = t, .no_signals = true, .http = guest_http_client(t->client)};
    assert_int_equal(enclave_new(&t->sandbox, &enclave, &e), 0);
    (void)snprintf(t->own, sizeof t->own, "127.0.0.1:%u", t->port);
    t->host = bytes_of(t->own);
}

static void one(const struct row *row)
{
    struct test t = {.row = row};
    struct err e = {0};
    char path[128];
    up(&t);
    const char *mark = strstr(row->input, "%u");
    (void)snprintf(t.input, sizeof t.input, "%.*s%u%s", mark ? (int)(mark - row->input) : 0,
                   row->input, t.port, mark ? mark + 2 : "");
    if (!mark)
        (void)snprintf(t.input, sizeof t.input, "%s", row->input);
    buf_init(&t.code, 1 << 20);
    (void)snprintf(path, sizeof path, "build/guests/%s.wasm", row->guest);
    assert_int_equal(file_read(path, &t.code, &e), 0);
    t.compile = (struct sandbox_compile){.code = buf_bytes(&t.code), .done = compiled, .user = &t};
    assert_int_equal(t.sandbox->ops->compile(t.sandbox, &t.compile, &e), 0);
    rig_run(&t.rig);
    assert_true(t.done);
    if (t.kind != row->kind || !strstr(t.text, row->words))
        fail_msg("%s %s: expected %s \"%s\", it is %s: %s", row->function, t.input,
                 enclave_kind(row->kind), row->words, enclave_kind(t.kind), t.text);
    buf_fini(&t.code);
    http_server_free(t.server);
    rig_down(&t.rig);
}

static void guests(void **state)
{
    (void)state;
    char path[512];
    if (enclave_find(path, sizeof path, NULL) != 0 || access("build/guests/http.wasm", R_OK) != 0)
        skip();
    static const struct row rows[] = {
        {"http", "http_request", "{\"url\":\"http://127.0.0.1:%u/page\"}", 0, 0, false, SANDBOX_OK,
         "<p>a page</p>"},
        {"http_headers", "http_get", "{\"url\":\"http://127.0.0.1:%u/page\"}", 0, 0, false,
         SANDBOX_OK, "\"x-from\":\"server\""},
        {"http", "http_post",
         "{\"url\":\"http://127.0.0.1:%u/"
         "post\",\"method\":\"post\",\"headers\":{\"X-A\":\"b\"}}\nsent",
         0, 0, false, SANDBOX_OK, "201 sent"},
        {"http", "http_request", "{\"url\":\"http://127.0.0.1:%u/error\"}", 0, 0, false,
         SANDBOX_GUEST_ERROR, "the answer is an error"},
        {"http", "http_request", "{\"url\":\"http://127.0.0.1:%u/metadata\"}", 0, 0, false,
         SANDBOX_DENIED, "169.254.169.254"},
        {"http", "http_request", "{\"url\":\"http://example.org/\"}", 0, 0, false, SANDBOX_DENIED,
         "not allowed"},
        {"http", "http_request", "{\"url\":\"http://127.0.0.1:%u/page\"}", 0, 5, false,
         SANDBOX_HTTP, "more than 5 bytes"},
        {"http", "http_request", "{\"url\":\"http://127.0.0.1:%u/never\"}", 100, 0, false,
         SANDBOX_TIMEOUT, "longer than 100 ms"},
        {"http", "http_request", "{\"url\":\"http://127.0.0.1:%u/never\"}", 10000, 0, true,
         SANDBOX_CANCELLED, "cancelled"},
        {"http", "http_request", "no JSON", 0, 0, false, SANDBOX_TRAP, "http_request"},
        {"http", "http_request",
         "{\"url\":\"http://127.0.0.1:%u/page\",\"headers\":{\"A\":\"b\\nC: d\"}}", 0, 0, false,
         SANDBOX_TRAP, "header"},
        {"http", "http_request", "{\"url\":\"http://127.0.0.1:1/\"}", 0, 0, false, SANDBOX_DENIED,
         "not allowed"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        one(&rows[i]);
}

// The end of everything while a guest waits for an answer.
static void ended(void **state)
{
    (void)state;
    char path[512];
    if (enclave_find(path, sizeof path, NULL) != 0 || access("build/guests/http.wasm", R_OK) != 0)
        skip();
    static const struct row row = {"http",
                                   "http_request",
                                   "{\"url\":\"http://127.0.0.1:%u/never\"}",
                                   10000,
                                   0,
                                   false,
                                   SANDBOX_CANCELLED,
                                   "cancelled"};
    struct test t = {.row = &row};
    struct err e = {0};
    up(&t);
    (void)snprintf(t.input, sizeof t.input, "{\"url\":\"http://127.0.0.1:%u/never\"}", t.port);
    buf_init(&t.code, 1 << 20);
    assert_int_equal(file_read("build/guests/http.wasm", &t.code, &e), 0);
    t.compile = (struct sandbox_compile){.code = buf_bytes(&t.code), .done = compiled, .user = &t};
    assert_int_equal(t.sandbox->ops->compile(t.sandbox, &t.compile, &e), 0);
    t.cancel = (struct timer){.fn = stop, .user = &t};
    assert_int_equal(timer_start(loop_timers(t.rig.loop), &t.cancel, 300), 0);
    rig_run(&t.rig);
    assert_true(t.done);
    assert_int_equal(t.status, E_CANCELLED);
    timer_stop(loop_timers(t.rig.loop), &t.last);
    buf_fini(&t.code);
    http_server_free(t.server);
    rig_down(&t.rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(guests), cmocka_unit_test(ended)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
