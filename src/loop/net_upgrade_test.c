// net_upgrade_test.c: TLS put over an open plain stream, and contexts made of texts.
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loop/net_mtls_rig.h"

#include <unistd.h>

// ---- TLS over an open plain stream, with Python's server as the other end

static const char server_py[] =
    "import os, socket, ssl, sys\n"
    "s = socket.create_server(('127.0.0.1', 0))\n"
    "print(s.getsockname()[1], flush=True)\n"
    "c, _ = s.accept()\n"
    "c.settimeout(10)\n"
    "c.sendall(b'INFO tls\\r\\n')\n"
    "if sys.argv[2] == 'close': c.recv(5); sys.exit()\n"
    "if sys.argv[2] == 'garbage': c.recv(5); c.sendall(b'ERR what is that\\r\\n'); c.recv(1)\n"
    "if sys.argv[2] == 'mute': c.recv(99999); c.recv(99999); sys.exit()\n"
    "x = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)\n"
    "x.load_cert_chain(sys.argv[1])\n"
    "x.load_verify_locations(sys.argv[1])\n"
    "x.verify_mode = ssl.CERT_OPTIONAL\n"
    "try: c = x.wrap_socket(c, server_side=True)\n"
    "except (ssl.SSLError, OSError): sys.exit()\n"
    "while True:\n"
    "    b = c.recv(65536)\n"
    "    if not b: break\n"
    "    c.sendall(b)\n";

struct upgrade {
    struct look l; // first
    struct net_tls *tls;
    int64_t timeout_ms;
    int rc;
    bool plain_open;
};
static void upgrade_open(struct net_stream *s, int status, const struct err *e)
{
    struct upgrade *u = s->user;
    if (u->plain_open) {
        look_open(s, status, e);
        return;
    }
    assert_int_equal(status, 0);
    u->plain_open = true;
    net_read(s, true);
}
static void upgrade_data(struct net_stream *s, char *p, size_t n)
{
    struct upgrade *u = s->user;
    struct err e = {0};
    if (u->l.opened > 0) {
        look_data(s, p, n);
        return;
    }
    assert_int_equal(n, 10);
    assert_memory_equal(p, "INFO tls\r\n", n);
    u->rc = net_upgrade(u->l.r->net, s, u->tls, "127.0.0.1", u->timeout_ms, &u->l.s, &e);
    assert_int_equal(u->l.opened, 0); // never from inside
    if (u->rc < 0)
        loop_stop(u->l.r->loop);
}
static const struct net_handler upgrade_handler = {
    .on_open = upgrade_open, .on_data = upgrade_data, .on_end = look_end, .on_closed = look_closed};

static void upgrade_run(struct upgrade *u, const char *mode, struct side *client)
{
    char path[] = "/tmp/net_mtls_test.XXXXXX", line[256], script[64], pem[64];
    struct rig r;
    int port = 0;
    assert_non_null(mkdtemp(path));
    (void)snprintf(script, sizeof script, "%s/s.py", path);
    (void)snprintf(pem, sizeof pem, "%s/n.pem", path);
    FILE *f = fopen(script, "w");
    (void)fputs(server_py, f);
    (void)fclose(f);
    f = fopen(pem, "w");
    (void)fprintf(f, "%s%s", node_b.key_pem, node_b.pem);
    (void)fclose(f);
    (void)snprintf(line, sizeof line, "exec python3 %s %s %s", script, pem, mode);
    f = popen(line, "r");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%d", &port), 1);
    rig_up(&r, NULL);
    side_make(client, false);
    u->l.r = &r;
    u->tls = client->tls;
    struct net_connect_args a = {.addr = {.host = "127.0.0.1", .port = (uint16_t)port},
                                 .timeout_ms = 5000,
                                 .handler = &upgrade_handler,
                                 .user = u};
    assert_int_equal(net_connect(r.net, &a, &u->l.s, NULL), 0);
    rig_run(&r);
    net_tls_free(client->tls);
    rig_down(&r);
    (void)pclose(f);
    (void)unlink(script);
    (void)unlink(pem);
    (void)rmdir(path);
}

static void test_upgrade(void **state)
{
    (void)state;
    struct upgrade u = {.timeout_ms = 5000};
    struct side client = {.cert = NULL};
    upgrade_run(&u, "tls", &client);
    assert_int_equal(u.rc, 0);
    assert_string_equal(u.l.got, "hello");
    assert_string_equal(u.l.id, "spiffe://test/node/b");
    assert_int_equal(u.l.closed, 1); // by the loop's end
}

static void test_upgrade_fails(void **state)
{
    (void)state;
    static const struct {
        const char *mode;
        int refuse, status;
        const char *text;
    } cases[] = {
        {"tls", E_FORBIDDEN, E_FORBIDDEN, "as the test wants it"},
        {"close", 0, E_CLOSED, "closed the connection in the TLS handshake"},
        {"garbage", 0, E_UPSTREAM, "TLS handshake: wrong version number"},
        {"mute", 0, E_TIMEOUT, "took too long"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct upgrade u = {.timeout_ms = 300};
        struct side client = {.cert = &node_a, .refuse = cases[i].refuse};
        if (i < 3)
            u.timeout_ms = 5000;
        upgrade_run(&u, cases[i].mode, &client);
        assert_int_equal(u.rc, 0);
        assert_int_equal(u.l.opened, 1);
        assert_int_equal(u.l.status, cases[i].status);
        if (strstr(u.l.text, cases[i].text) == NULL)
            fail_msg("%s: %s", cases[i].mode, u.l.text);
        assert_string_equal(u.l.text, u.l.why);
        assert_int_equal(u.l.closed, 1);
    }
}

// ---- contexts

static void test_context_errors(void **state)
{
    (void)state;
    struct bytes cert = bytes_of(node_a.pem), key = bytes_of(node_a.key_pem),
                 other = bytes_of(node_b.key_pem), junk = BYTES("junk");
    const struct {
        struct net_tls_args a;
        int code;
        const char *text;
    } cases[] = {
        {{.cert_pem = cert}, E_CONFIG, "belong together"},
        {{.key_pem = key}, E_CONFIG, "belong together"},
        {{.server = true, .verify = verify}, E_CONFIG, "needs a certificate"},
        {{.cert_pem = junk, .key_pem = key}, E_CONFIG, "certificate: no start line"},
        {{.cert_pem = key, .key_pem = key}, E_CONFIG, "certificate: no start line"},
        {{.cert_pem = cert, .key_pem = junk}, E_CONFIG, "TLS: key: "},
        {{.cert_pem = cert, .key_pem = other}, E_CONFIG, "does not belong"},
        {{.cert_pem = cert, .key_pem = key, .cert_file = "/x", .key_file = "/x"},
         E_CONFIG,
         "not both"},
        {{.verify = verify, .ca_file = "/x"}, E_CONFIG, "only one may decide"},
        {{.verify = verify, .insecure = true}, E_CONFIG, "only one may decide"},
        {{.alpn = ""}, E_INVALID, "1 to 63 bytes"},
        {{.alpn = "0123456789012345678901234567890123456789012345678901234567890123"},
         E_INVALID,
         "1 to 63 bytes"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct net_tls *t = NULL;
        struct err e = {0};
        int rc = net_tls_new(&t, &cases[i].a, &e);
        if (rc != cases[i].code || strstr(e.text, cases[i].text) == NULL)
            fail_msg("%zu: %d %s", i, rc, e.text);
        assert_null(t);
    }
    assert_int_equal(mem_live(), 0);
}

// What stands between a node and its authority goes along, and an encrypted key asks nobody.
static void test_chain(void **state)
{
    (void)state;
    static struct cert both;
    (void)snprintf(both.pem, sizeof both.pem, "%.900s%.900s", node_b.pem, authority.pem);
    (void)snprintf(both.key_pem, sizeof both.key_pem, "%s", node_b.key_pem);
    struct pair p = {.server = {.cert = &both}, .client = {.cert = &node_a}};
    pair_run(&p);
    assert_int_equal(p.client.count, 2);
    assert_string_equal(p.client.seen, "spiffe://test/node/b");
    assert_int_equal(p.c.got, p.c.total);
    BIO *b = BIO_new(BIO_s_mem());
    struct net_tls *t = NULL;
    struct err e = {0};
    char text[1024];
    assert_int_equal(PEM_write_bio_PrivateKey(b, node_a.key, EVP_aes_128_cbc(),
                                              (const unsigned char *)"secret", 6, NULL, NULL),
                     1);
    to_text(text, sizeof text, b);
    struct net_tls_args a = {.cert_pem = bytes_of(node_a.pem), .key_pem = bytes_of(text)};
    assert_int_equal(net_tls_new(&t, &a, &e), E_CONFIG);
    assert_non_null(strstr(e.text, "TLS: key: "));
}

// Nobody may send more than a few certificates.
static void test_too_many_certificates(void **state)
{
    (void)state;
    static char text[16 << 10];
    struct pair p = {.server = {.cert = &node_b}, .client = {.cert = NULL}};
    for (int i = 0; i < 9; i++)
        (void)snprintf(text + strlen(text), sizeof text - strlen(text), "%s", node_a.pem);
    rig_up(&p.r, NULL);
    side_make(&p.server, true);
    struct net_tls_args a = {.cert_pem = bytes_of(text),
                             .key_pem = bytes_of(node_a.key_pem),
                             .verify = verify,
                             .user = &p.client};
    assert_int_equal(net_tls_new(&p.client.tls, &a, NULL), 0);
    p.r.tls = p.server.tls;
    echo_listen(&p.r, NULL);
    p.c.tls = p.client.tls;
    p.c.total = 100;
    clients_run(&p.r, &p.c, 1, echo_addr(&p.r));
    assert_int_equal(p.server.asked, 0);
    assert_string_equal(p.server.why, "TLS: the peer sent too many certificates");
    assert_int_equal(p.c.got, 0);
    net_tls_free(p.server.tls);
    net_tls_free(p.client.tls);
    rig_down(&p.r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_upgrade),
        cmocka_unit_test(test_upgrade_fails),
        cmocka_unit_test(test_context_errors),
        cmocka_unit_test(test_chain),
        cmocka_unit_test(test_too_many_certificates),
    };
    return cmocka_run_group_tests_name("net_upgrade", tests, make_certificates, free_certificates);
}
