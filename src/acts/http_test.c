// http_test.c: call: http against a server that answers as each case says.
// SPDX-License-Identifier: Apache-2.0
#include "acts/acts_rig.h"

// ---- what is sent ------------------------------------------------------------------------------

static void answer_echo(struct rig *r, struct http_exchange *x, struct seen *s)
{
    (void)r;
    if (strcmp(s->target, "/404") == 0)
        http_reply(x, 404, "text/plain", BYTES_NONE, BYTES("there is no such pet\n"));
    else if (strcmp(s->target, "/503") == 0)
        rig_json(x, 503, "{\"why\":\"busy\"}");
    else if (strcmp(s->target, "/empty") == 0)
        http_reply(x, 204, NULL, BYTES_NONE, BYTES_NONE);
    else if (strcmp(s->target, "/text") == 0)
        http_reply(x, 200, "text/plain; charset=utf-8", BYTES_NONE, BYTES("{\"no\":json}"));
    else if (strcmp(s->target, "/bytes") == 0)
        http_reply(x, 200, "application/octet-stream", BYTES_NONE, BYTES("\0\1\2"));
    else if (strcmp(s->target, "/broken") == 0)
        rig_json(x, 200, "{\"a\":");
    else if (strcmp(s->target, "/problem") == 0)
        http_reply(x, 200, "application/problem+json", BYTES_NONE, BYTES("[1, 2]"));
    else if (strcmp(s->target, "/large") == 0) {
        static char large[100000];
        memset(large, 'x', sizeof large);
        http_reply(x, 200, "text/plain", BYTES_NONE, (struct bytes){large, sizeof large});
    } else
        http_reply(x, 200, "application/json", BYTES("X-A: 1\r\nX-A: 2\r\n"), BYTES("{\"id\":1}"));
}

static void next_echo(struct rig *r, unsigned round)
{
    static const char *const with[] = {
        "{\"method\":\"get\",\"endpoint\":\"%B/pet?status=a\",\"query\":{\"b\":\"c d\",\"n\":[1,"
        "true],\"z\":null},\"headers\":{\"X-One\":\"1\",\"X-Two\":2}}",
        "{\"method\":\"post\",\"endpoint\":{\"uri\":\"%B/pet/a b/\xc3\xa9#frag\"},\"body\":{\"a\":["
        "1]},\"output\":\"response\"}",
        "{\"method\":\"PUT\",\"endpoint\":\"%B\",\"body\":\"plain\",\"output\":\"raw\"}",
        "{\"method\":\"post\",\"endpoint\":\"%B/form\",\"headers\":{\"Content-Type\":"
        "\"application/x-www-form-urlencoded\",\"idempotency-key\":\"mine\"},\"body\":{\"a\":1,"
        "\"b\":\"c&d\"}}",
        "{\"method\":\"get\",\"endpoint\":\"%B/404\"}",
        "{\"method\":\"get\",\"endpoint\":\"%B/503\"}",
        "{\"method\":\"get\",\"endpoint\":\"%B/empty\"}",
        "{\"method\":\"get\",\"endpoint\":\"%B/text\"}",
        "{\"method\":\"get\",\"endpoint\":\"%B/bytes\"}",
        "{\"method\":\"get\",\"endpoint\":\"%B/broken\"}",
        "{\"method\":\"get\",\"endpoint\":\"%B/problem\"}",
        "{\"method\":\"get\",\"endpoint\":\"%B/broken\",\"output\":\"text\"}",
        "{\"method\":\"get\",\"endpoint\":\"%B/large\"}",
    };
    if (round < sizeof with / sizeof *with)
        (void)rig_do(r, "http", with[round], 0);
    else
        rig_done(r);
}

static void small(struct rig *r, struct acts_args *args)
{
    (void)r;
    args->body_bytes_max = 50000;
}

static void test_requests(void **state)
{
    (void)state;
    static struct rig r;
    r.answer = answer_echo;
    r.change = small;
    rig_run(&r, next_echo);
    gave(&r.ones[0], "{\"id\":1}");
    assert_string_equal(r.seen[0].method, "GET");
    assert_string_equal(r.seen[0].target, "/pet?status=a&b=c%20d&n=1&n=true");
    assert_string_equal(seen_header(&r.seen[0], "X-One"), "1");
    assert_string_equal(seen_header(&r.seen[0], "X-Two"), "2");
    assert_string_equal(seen_header(&r.seen[0], "Idempotency-Key"), "");
    assert_memory_equal(seen_header(&r.seen[0], "User-Agent"), "plexus/", 7);
    assert_string_equal(seen_header(&r.seen[0], "Host"), r.base + 7);
    assert_string_equal(r.seen[1].method, "POST");
    assert_string_equal(r.seen[1].target, "/pet/a%20b/%C3%A9");
    assert_string_equal(seen_header(&r.seen[1], "Content-Type"), "application/json");
    assert_string_equal(seen_header(&r.seen[1], "Idempotency-Key"), "run-1/8");
    assert_string_equal(buf_cstr(&r.seen[1].body), "{\"a\":[1]}");
    const struct val *response = r.ones[1].output;
    assert_string_equal(val_text(val_ptr(response, BYTES("/request/method")), ""), "post");
    assert_int_equal(val_i64(val_get_cstr(response, "statusCode"), 0), 200);
    assert_string_equal(val_text(val_ptr(response, BYTES("/headers/X-A")), ""), "1, 2");
    assert_int_equal(val_i64(val_ptr(response, BYTES("/content/id")), 0), 1);
    assert_non_null(val_ptr(response, BYTES("/request/headers")));
    assert_non_null(strstr(val_text(val_ptr(response, BYTES("/request/uri")), ""), "/pet/a b/"));
    gave(&r.ones[2], "\"eyJpZCI6MX0=\"");
    assert_string_equal(r.seen[2].target, "/");
    assert_string_equal(buf_cstr(&r.seen[2].body), "plain");
    assert_string_equal(seen_header(&r.seen[2], "Content-Type"), "text/plain; charset=utf-8");
    assert_string_equal(buf_cstr(&r.seen[3].body), "a=1&b=c%26d");
    assert_string_equal(seen_header(&r.seen[3], "Idempotency-Key"), "mine");
    failed(&r.ones[4], "communication", 404, true, "answered 404: there is no such pet");
    failed(&r.ones[5], "communication", 503, false, "answered 503: {\"why\":\"busy\"}");
    gave(&r.ones[6], "null");
    gave(&r.ones[7], "\"{\\\"no\\\":json}\"");
    gave(&r.ones[8], "\"AAEC\"");
    failed(&r.ones[9], "communication", 500, false, "JSON");
    gave(&r.ones[10], "[1,2]");
    gave(&r.ones[11], "\"{\\\"a\\\":\"");
    failed(&r.ones[12], "runtime", 500, true, "more than 50000 bytes");
    rig_fini(&r);
}

// ---- what cannot be sent -----------------------------------------------------------------------

static void next_wrong(struct rig *r, unsigned round)
{
    static const char *const with[] = {
        "{\"method\":\"get\"}",
        "{\"method\":\"get\",\"endpoint\":\"ftp://x/y\"}",
        "{\"method\":\"get\",\"endpoint\":\"%B\",\"headers\":{\"A\":\"b\\r\\nC: d\"}}",
        "{\"method\":\"get\",\"endpoint\":\"%B\",\"headers\":{\"A b\":\"c\"}}",
        "{\"method\":\"get\",\"endpoint\":\"%B\",\"headers\":{\"host\":\"other\"}}",
        "{\"method\":\"get x\",\"endpoint\":\"%B\"}",
        "{\"method\":\"get\",\"endpoint\":\"%B\",\"output\":\"xml\"}",
        "{\"method\":\"get\",\"endpoint\":\"http://127.0.0.1:1/\"}",
        "{\"method\":\"get\",\"endpoint\":\"https://127.0.0.1:1/\"}",
        "{\"method\":\"get\",\"endpoint\":{\"uri\":\"%B\",\"authentication\":{\"use\":\"x\"}}}",
        ("{\"method\":\"get\",\"endpoint\":{\"uri\":\"%B\","
         "\"authentication\":{\"certificate\":{}}}}"),
        "{\"method\":\"get\",\"endpoint\":{\"uri\":\"%B\",\"authentication\":{\"basic\":{}}}}",
    };
    if (round == 0)
        for (size_t i = 0; i < sizeof with / sizeof *with; i++)
            (void)rig_do(r, "http", with[i], 0);
    else
        rig_done(r);
}

static void test_wrong(void **state)
{
    (void)state;
    static struct rig r;
    r.answer = answer_echo;
    rig_run(&r, next_wrong);
    failed(&r.ones[0], "configuration", 400, true, "endpoint");
    failed(&r.ones[1], "validation", 400, true, "http://");
    failed(&r.ones[2], "configuration", 400, true, "line break");
    failed(&r.ones[3], "configuration", 400, true, "no name of a header");
    failed(&r.ones[4], "configuration", 400, true, "Host");
    failed(&r.ones[5], "configuration", 400, true, "no HTTP method");
    failed(&r.ones[6], "configuration", 400, true, "content, raw, response");
    failed(&r.ones[7], "communication", 500, false, "http://127.0.0.1:1/");
    failed(&r.ones[8], "configuration", 400, true, "TLS");
    failed(&r.ones[9], "configuration", 400, true, "use.authentications");
    failed(&r.ones[10], "configuration", 501, true, "certificate");
    failed(&r.ones[11], "configuration", 400, true, "username and password");
    assert_int_equal(r.requests, 0);
    rig_fini(&r);
}

// ---- redirects ---------------------------------------------------------------------------------

static void answer_redirect(struct rig *r, struct http_exchange *x, struct seen *s)
{
    char line[1100];
    int status = atoi(s->target + 1);
    (void)snprintf(line, sizeof line, "Location: %s\r\n",
                   status == 399            ? "http://localhost:1/"
                   : strchr(s->target, '-') ? "/a/../end?x=1"
                                            : s->target);
    (void)r;
    if (status >= 300)
        http_reply(x, status, "text/plain", status == 304 ? BYTES_NONE : bytes_of(line),
                   BYTES("moved"));
    else
        rig_json(x, 200, "\"end\"");
}

static void next_redirect(struct rig *r, unsigned round)
{
    static const char *const with[] = {
        "{\"method\":\"get\",\"endpoint\":\"%B/302-\"}",
        "{\"method\":\"get\",\"endpoint\":\"%B/302-\",\"redirect\":true}",
        "{\"method\":\"post\",\"endpoint\":\"%B/302-\",\"redirect\":true,\"body\":{\"a\":1}}",
        "{\"method\":\"post\",\"endpoint\":\"%B/307-\",\"redirect\":true,\"body\":{\"a\":1}}",
        "{\"method\":\"put\",\"endpoint\":\"%B/303-\",\"redirect\":true,\"body\":{\"a\":1}}",
        "{\"method\":\"get\",\"endpoint\":\"%B/304\",\"redirect\":true,\"output\":\"text\"}",
        "{\"method\":\"get\",\"endpoint\":\"%B/301\",\"redirect\":true,\"output\":\"text\"}",
    };
    if (round < sizeof with / sizeof *with)
        (void)rig_do(r, "http", with[round], 0);
    else
        rig_done(r);
}

static void test_redirects(void **state)
{
    (void)state;
    static struct rig r;
    r.answer = answer_redirect;
    rig_run(&r, next_redirect);
    failed(&r.ones[0], "communication", 302, true, "answered 302");
    gave(&r.ones[1], "\"end\"");
    assert_string_equal(r.seen[2].target, "/end?x=1");
    gave(&r.ones[2], "\"end\"");
    assert_string_equal(r.seen[4].method, "GET"); // as everybody does it
    assert_int_equal(r.seen[4].body.n, 0);
    assert_string_equal(seen_header(&r.seen[4], "Content-Type"), "");
    gave(&r.ones[3], "\"end\"");
    assert_string_equal(r.seen[6].method, "POST");
    assert_string_equal(buf_cstr(&r.seen[6].body), "{\"a\":1}");
    gave(&r.ones[4], "\"end\"");
    assert_string_equal(r.seen[8].method, "GET");
    gave(&r.ones[5], "\"\""); // not to be followed, and no error
    gave(&r.ones[6], "\"moved\""); // in a circle: the last one is the answer
    assert_int_equal(r.requests, 10 + 11);
    rig_fini(&r);
}

// ---- deadlines, cancels, ends -------------------------------------------------------------------

static void answer_never(struct rig *r, struct http_exchange *x, struct seen *s)
{
    (void)s;
    if (r->requests < 3)
        return; // it is left open
    rig_json(x, 200, "1");
}

static void cancel_it(struct timer *t)
{
    struct one *o = t->user;
    act_cancel(o->rig->acts, &o->req);
    assert_int_equal(o->ended, 0);
}

static struct timer cancel_timer;

static void next_never(struct rig *r, unsigned round)
{
    if (round == 0) {
        (void)rig_do(r, "http", "{\"method\":\"get\",\"endpoint\":\"%B/a\"}", 50);
        struct one *o = rig_do(r, "http", "{\"method\":\"get\",\"endpoint\":\"%B/b\"}", 0);
        cancel_timer = (struct timer){.fn = cancel_it, .user = o};
        assert_int_equal(timer_start(loop_timers(r->loop), &cancel_timer, 20), 0);
    } else if (round == 1) {
        (void)rig_do(r, "http", "{\"method\":\"get\",\"endpoint\":\"%B/c\"}", 10000);
    } else {
        r->requests = 0;
        (void)rig_do(r, "http", "{\"method\":\"get\",\"endpoint\":\"%B/d\"}", 0); // still runs
        struct one *o = rig_do(r, "http", "{\"method\":\"get\",\"endpoint\":\"%B/e\"}", 0);
        act_cancel(r->acts, &o->req); // at once
        rig_done(r);
    }
}

static void test_ends(void **state)
{
    (void)state;
    static struct rig r;
    r.answer = answer_never;
    rig_run(&r, next_never);
    failed(&r.ones[0], "timeout", 408, false, "50 ms");
    assert_int_equal(r.ones[1].status, E_CANCELLED);
    gave(&r.ones[2], "1");
    assert_int_equal(r.ones[3].status, E_CANCELLED);
    assert_int_equal(r.ones[4].status, E_CANCELLED);
    assert_int_equal(r.ones[3].ended + r.ones[4].ended, 2);
    rig_fini(&r);
}

// ---- secrets and authentication -----------------------------------------------------------------

static void answer_auth(struct rig *r, struct http_exchange *x, struct seen *s)
{
    (void)r;
    if (strstr(s->target, "refuse")) {
        struct buf text;
        buf_init(&text, 4096);
        (void)buf_fmt(&text, "not with %s and not with hunter22", seen_header(s, "Authorization"));
        http_reply(x, 401, "text/plain", BYTES_NONE, buf_bytes(&text));
        buf_fini(&text);
        return;
    }
    rig_json(x, 200, "1");
}

#define LATE(program)                                                                              \
    "{\"$late\":{\"program\":\"" program "\",\"input\":{\"u\":\"me\"},\"vars\":{}}}"

static void next_auth(struct rig *r, unsigned round)
{
    static const char *const with[] = {
        "{\"method\":\"get\",\"endpoint\":{\"uri\":\"%B\",\"authentication\":{\"basic\":{"
        "\"username\":\"Aladdin\",\"password\":\"open sesame\"}}}}",
        "{\"method\":\"get\",\"endpoint\":{\"uri\":\"%B\",\"authentication\":{\"bearer\":{"
        "\"token\":" LATE("$secrets.token") "}}},\"output\":\"response\",\"headers\":{\"X-"
                                            "Key\":" LATE("$secrets.token") ",\"X-Plain\":"
                                                                            "\"p\"},\"query\":{"
                                                                            "\"k\":" LATE(
                                                                                "$secrets."
                                                                                "token") "}}",
        "{\"method\":\"get\",\"endpoint\":{\"uri\":\"%B\",\"authentication\":{\"basic\":{"
        "\"use\":" LATE("$secrets[\\\"pair\\\"]") "}}}}",
        "{\"method\":\"get\",\"endpoint\":{\"uri\":\"%B\",\"authentication\":{\"basic\":{"
        "\"use\":" LATE("$secrets.bare") "}}}}",
        "{\"method\":\"get\",\"endpoint\":{\"uri\":\"%B/"
        "refuse\",\"authentication\":{\"basic\":{"
        "\"username\":" LATE(".u") ",\"password\":" LATE("$secrets.pair.password") "}}}}",
        "{\"method\":\"get\",\"endpoint\":{\"uri\":\"%B\",\"authentication\":{\"bearer\":{"
        "\"token\":" LATE("$secrets.nobody") "}}}}",
        "{\"method\":\"get\",\"endpoint\":{\"uri\":\"%B\",\"authentication\":{\"bearer\":{"
        "\"token\":"
        "\"tok-1234\"}}},\"headers\":{\"X-Auth\":" LATE("$authorization.scheme + \\\" \\\" + "
                                                        "$authorization.parameter") "}}",
        "{\"method\":\"get\",\"endpoint\":\"%B/x\",\"headers\":{\"X-Auth\":" LATE(
            "$authorization | tojson") "}}",
        "{\"method\":\"get\",\"endpoint\":\"%B/x\",\"headers\":{\"X-Auth\":" LATE(
            "$secrets | tojson") "}}",
        "{\"method\":\"get\",\"endpoint\":\"%B/x\",\"headers\":{\"X-Auth\":" LATE(
            "$secrets.token | .a") "}}",
    };
    if (round < sizeof with / sizeof *with)
        (void)rig_do(r, "http", with[round], 0);
    else
        rig_done(r);
}

static void test_auth(void **state)
{
    (void)state;
    static struct rig r;
    r.answer = answer_auth;
    r.secrets[0][0] = "token";
    r.secrets[0][1] = "s3cr3t-token\n";
    r.secrets[1][0] = "pair";
    r.secrets[2][0] = "bare";
    r.secrets[2][1] = "bob:hunter22";
    r.secrets[1][1] = "{\"username\":\"bob\",\"password\":\"hunter22\"}";
    rig_run(&r, next_auth);
    // RFC 7617, section 2
    assert_string_equal(seen_header(&r.seen[0], "Authorization"),
                        "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    assert_string_equal(seen_header(&r.seen[1], "Authorization"), "Bearer s3cr3t-token");
    assert_string_equal(seen_header(&r.seen[1], "X-Key"), "s3cr3t-token");
    assert_string_equal(r.seen[1].target, "/?k=s3cr3t-token");
    assert_int_equal(r.ones[1].status, 0);
    hidden(&r.ones[1], "s3cr3t");
    assert_string_equal(val_text(val_ptr(r.ones[1].output, BYTES("/request/headers/X-Key")), ""),
                        "***");
    assert_string_equal(val_text(val_ptr(r.ones[1].output, BYTES("/request/headers/X-Plain")), ""),
                        "p");
    for (int i = 2; i < 4; i++)
        assert_string_equal(seen_header(&r.seen[i], "Authorization"), "Basic Ym9iOmh1bnRlcjIy");
    // The server told what it got: it does not show.
    failed(&r.ones[4], "communication", 401, true, "not with Basic *** and not with ***");
    hidden(&r.ones[4], "hunter22");
    failed(&r.ones[5], "authorization", 403, true, "PLEXUS_SECRET_nobody");
    assert_string_equal(seen_header(&r.seen[5], "X-Auth"), "Bearer tok-1234");
    assert_string_equal(seen_header(&r.seen[6], "X-Auth"), "null");
    failed(&r.ones[8], "expression", 400, true, "$secrets.NAME");
    failed(&r.ones[9], "expression", 400, true, NULL);
    hidden(&r.ones[9], "s3cr3t");
    rig_fini(&r);
}

// ---- fixed addresses ---------------------------------------------------------------------------

static void fixed(struct rig *r, struct acts_args *args)
{
    static struct acts_host hosts[3];
    static char address[64];
    (void)snprintf(address, sizeof address, "127.0.0.1:%u", r->port);
    hosts[0] = (struct acts_host){"petstore.example", address};
    hosts[1] = (struct acts_host){"other.example:8443", address};
    hosts[2] = (struct acts_host){"bad.example", "nowhere"};
    args->hosts = hosts;
    args->host_count = 3;
}

static void next_hosts(struct rig *r, unsigned round)
{
    static const char *const with[] = {
        "{\"method\":\"get\",\"endpoint\":\"https://PetStore.example/v2/pet/1\"}",
        "{\"method\":\"get\",\"endpoint\":\"https://other.example:8443/\"}",
        "{\"method\":\"get\",\"endpoint\":\"http://bad.example/\"}",
    };
    if (round < sizeof with / sizeof *with)
        (void)rig_do(r, "http", with[round], 0);
    else
        rig_done(r);
}

static void test_hosts(void **state)
{
    (void)state;
    static struct rig r;
    r.answer = answer_echo;
    r.change = fixed;
    rig_run(&r, next_hosts);
    gave(&r.ones[0], "{\"id\":1}");
    assert_string_equal(seen_header(&r.seen[0], "Host"), "petstore.example");
    assert_string_equal(r.seen[0].target, "/v2/pet/1");
    gave(&r.ones[1], "{\"id\":1}");
    assert_string_equal(seen_header(&r.seen[1], "Host"), "other.example:8443");
    failed(&r.ones[2], "validation", 400, true, "bad.example");
    rig_fini(&r);
}

// ---- TLS ---------------------------------------------------------------------------------------

static char tls_folder[64];
static struct net_tls *server_tls, *client_tls;
static uint16_t tls_port;
static bool stranger; // the client trusts somebody else

static const char *tls_file(const char *name)
{
    static char path[3][128];
    static int turn;
    char *p = path[turn++ % 3];
    (void)snprintf(p, sizeof path[0], "%s/%s", tls_folder, name);
    return p;
}

static struct net_tls *get_tls(void *user, struct err *e)
{
    struct net_tls_args args = {.ca_file = tls_file(stranger ? "other.pem" : "node.pem")};
    (void)user;
    if (!client_tls && net_tls_new(&client_tls, &args, e) < 0)
        return NULL;
    return client_tls;
}

static void with_tls(struct rig *r, struct acts_args *args)
{
    struct err e = {0};
    struct net_listener *l;
    struct net_tls_args made = {
        .server = true, .cert_file = tls_file("node.pem"), .key_file = tls_file("node.key")};
    assert_int_equal(net_tls_new(&server_tls, &made, &e), 0);
    struct net_listen_args listen = {.queue_bytes_max = 1 << 20, .tls = server_tls};
    (void)snprintf(listen.addr.host, sizeof listen.addr.host, "127.0.0.1");
    assert_int_equal(http_server_listen(r->server, &listen, 1, &l, &e), 0);
    tls_port = net_listener_port(l);
    args->tls = get_tls;
}

static void next_tls(struct rig *r, unsigned round)
{
    static const char *const hosts[] = {"localhost", "127.0.0.1"};
    char with[200];
    (void)snprintf(with, sizeof with, "{\"method\":\"get\",\"endpoint\":\"https://%s:%u/pet\"}",
                   hosts[round % 2], tls_port);
    if (round < 2)
        (void)rig_do(r, "http", with, 0);
    else
        rig_done(r);
}

static void test_tls(void **state)
{
    (void)state;
    static struct rig r;
    char command[800];
    (void)snprintf(tls_folder, sizeof tls_folder, "/tmp/plexus-tls-XXXXXX");
    assert_non_null(mkdtemp(tls_folder));
    for (int i = 0; i < 2; i++) {
        (void)snprintf(command, sizeof command,
                       "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "
                       "-keyout %s -out %s -subj /CN=localhost -days 2 "
                       "-addext subjectAltName=DNS:localhost 2>/dev/null",
                       tls_file(i ? "other.key" : "node.key"),
                       tls_file(i ? "other.pem" : "node.pem"));
        assert_int_equal(system(command), 0);
    }
    for (int i = 0; i < 2; i++) {
        stranger = i == 1;
        r.answer = answer_echo;
        r.change = with_tls;
        rig_run(&r, next_tls);
        if (stranger)
            failed(&r.ones[0], "communication", 500, false, "certificate");
        else
            gave(&r.ones[0], "{\"id\":1}");
        failed(&r.ones[1], "communication", 500, false, "127.0.0.1"); // it is for localhost only
        assert_int_equal(r.requests, stranger ? 0 : 1);
        net_tls_free(server_tls);
        net_tls_free(client_tls);
        client_tls = NULL;
        rig_fini(&r);
    }
    (void)snprintf(command, sizeof command, "rm -rf %s", tls_folder);
    (void)!system(command);
}

static int tests(void)
{
    const struct CMUnitTest all[] = {
        cmocka_unit_test(test_requests),  cmocka_unit_test(test_wrong),
        cmocka_unit_test(test_redirects), cmocka_unit_test(test_ends),
        cmocka_unit_test(test_auth),      cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_tls),
    };
    return cmocka_run_group_tests_name("http", all, NULL, NULL);
}

int main(int argc, char **argv)
{
    return rig_main(argc, argv, tests);
}
