// net_mtls_rig.h: for the tests of TLS by verdict: certificates, a side that judges, an owner that
// looks. The tests include cmocka.h before it.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_LOOP_NET_MTLS_RIG_H
#define PLEXUS_LOOP_NET_MTLS_RIG_H

#include "loop/loop_rig.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>

// ---- certificates

struct cert {
    X509 *x;
    EVP_PKEY *key;
    char pem[2048], key_pem[512];
};
static struct cert authority, foreign, node_a, node_b, node_old, node_early, node_foreign;

static void to_text(char *ret, size_t size, BIO *b)
{
    char *p;
    long n = BIO_get_mem_data(b, &p);
    assert_in_range(n, 1, size - 1);
    memcpy(ret, p, (size_t)n);
    ret[n] = '\0';
    BIO_free(b);
}

static void make_cert(struct cert *c, const struct cert *by, const char *uri, long from, long until)
{
    char san[128];
    static long serial;
    c->key = EVP_EC_gen("P-256");
    c->x = X509_new();
    (void)X509_set_version(c->x, 2);
    (void)ASN1_INTEGER_set(X509_get_serialNumber(c->x), ++serial);
    (void)X509_gmtime_adj(X509_getm_notBefore(c->x), from);
    (void)X509_gmtime_adj(X509_getm_notAfter(c->x), until);
    (void)X509_set_pubkey(c->x, c->key);
    X509_NAME *name = X509_get_subject_name(c->x);
    (void)X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"test", -1,
                                     -1, 0);
    (void)X509_set_issuer_name(c->x, by ? X509_get_subject_name(by->x) : name);
    (void)snprintf(san, sizeof san, "URI:%s", uri);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, san);
    (void)X509_add_ext(c->x, ext, -1);
    X509_EXTENSION_free(ext);
    assert_true(X509_sign(c->x, by ? by->key : c->key, EVP_sha256()) > 0);
    BIO *b = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_X509(b, c->x), 1);
    to_text(c->pem, sizeof c->pem, b);
    b = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_PrivateKey(b, c->key, NULL, NULL, 0, NULL, NULL), 1);
    to_text(c->key_pem, sizeof c->key_pem, b);
}

static int make_certificates(void **state)
{
    (void)state;
    make_cert(&authority, NULL, "spiffe://test", -60, 3600);
    make_cert(&foreign, NULL, "spiffe://test", -60, 3600);
    make_cert(&node_a, &authority, "spiffe://test/node/a", -60, 3600);
    make_cert(&node_b, &authority, "spiffe://test/node/b", -60, 3600);
    make_cert(&node_old, &authority, "spiffe://test/node/old", -7200, -3600);
    make_cert(&node_early, &authority, "spiffe://test/node/early", 3600, 7200);
    make_cert(&node_foreign, &foreign, "spiffe://test/node/a", -60, 3600);
    return 0;
}
static int free_certificates(void **state)
{
    (void)state;
    struct cert *all[] = {&authority, &foreign,    &node_a,      &node_b,
                          &node_old,  &node_early, &node_foreign};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        X509_free(all[i]->x);
        EVP_PKEY_free(all[i]->key);
    }
    return 0;
}

// ---- one side: how it judges, and what it heard

struct side {
    const struct cert *cert; // NULL: shows none
    bool anybody; // a peer without certificate is welcome
    const char *alpn;
    int refuse; // with this code, whatever comes
    uint64_t epoch;
    struct net_tls *tls;
    unsigned asked, refused;
    int count, refused_code;
    char seen[128], why[256], from[64];
    struct rig *stop; // when refused
};

static void id_of(X509 *x, char *ret, size_t size)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
    assert_non_null(names);
    const ASN1_IA5STRING *uri = sk_GENERAL_NAME_value(names, 0)->d.uniformResourceIdentifier;
    (void)snprintf(ret, size, "%.*s", ASN1_STRING_length(uri), ASN1_STRING_get0_data(uri));
    GENERAL_NAMES_free(names);
}

static int judge(struct side *s, X509 *x, struct err *e)
{
    if (s->refuse != 0)
        return err_set(e, s->refuse, "refused as the test wants it");
    if (X509_verify(x, authority.key) != 1)
        return err_set(e, E_NOTFOUND, "%s is of a foreign authority", s->seen);
    if (X509_cmp_current_time(X509_get0_notAfter(x)) < 0)
        return err_set(e, E_TIMEOUT, "%s expired", s->seen);
    if (X509_cmp_current_time(X509_get0_notBefore(x)) > 0)
        return err_set(e, E_TIMEOUT, "%s is not valid yet: is the clock right?", s->seen);
    return 0;
}

static int verify(void *user, const struct bytes *der, int count, char *ret_id, uint64_t *ret_epoch,
                  struct err *e)
{
    struct side *s = user;
    s->asked++;
    s->count = count;
    if (count == 0)
        return s->anybody ? 0 : err_set(e, E_UNAUTH, "the peer shows no certificate");
    const unsigned char *p = (const unsigned char *)der[0].p;
    X509 *x = d2i_X509(NULL, &p, (long)der[0].n);
    assert_non_null(x);
    assert_ptr_equal(p, der[0].p + der[0].n);
    id_of(x, s->seen, sizeof s->seen);
    int rc = judge(s, x, e);
    X509_free(x);
    if (rc == 0) {
        (void)snprintf(ret_id, NET_ID_MAX, "%s", s->seen);
        *ret_epoch = 40 + s->epoch;
    }
    return rc;
}

static void refused(void *user, const struct net_peer *peer, const struct err *e)
{
    struct side *s = user;
    s->refused++;
    s->refused_code = e->code;
    (void)snprintf(s->why, sizeof s->why, "%.200s", e->text);
    (void)snprintf(s->from, sizeof s->from, "%s", peer->text);
    if (s->stop != NULL)
        loop_stop(s->stop->loop);
}

static void side_make(struct side *s, bool server)
{
    struct err e = {0};
    struct net_tls_args a = {
        .server = server, .verify = verify, .user = s, .alpn = s->alpn, .on_refused = refused};
    if (s->cert != NULL) {
        a.cert_pem = bytes_of(s->cert->pem);
        a.key_pem = bytes_of(s->cert->key_pem);
    }
    if (net_tls_new(&s->tls, &a, &e) != 0)
        fail_msg("%s", e.text);
}

struct pair {
    struct rig r;
    struct side server, client;
    struct client c;
};

// The client sends, so that what a server says after the client's handshake is seen.
static void pair_run(struct pair *p)
{
    rig_up(&p->r, NULL);
    side_make(&p->server, true);
    side_make(&p->client, false);
    p->r.tls = p->server.tls;
    echo_listen(&p->r, NULL);
    p->c.tls = p->client.tls;
    if (p->c.total == 0)
        p->c.total = 70000;
    clients_run(&p->r, &p->c, 1, echo_addr(&p->r));
    net_tls_free(p->server.tls);
    net_tls_free(p->client.tls);
    rig_down(&p->r);
}

// ---- the streams' owners that look closer than loop_rig.h's

struct look {
    struct rig *r;
    char id[128], why[128], text[256], got[64];
    uint64_t epoch;
    int opened, status, end;
    unsigned closed;
    struct net_stream *s;
};
static void look_at(struct look *l, struct net_stream *s)
{
    struct net_peer peer;
    net_peer(s, &peer);
    (void)snprintf(l->id, sizeof l->id, "%s", peer.id ? peer.id : "-");
    l->epoch = peer.epoch;
}
static void look_open(struct net_stream *s, int status, const struct err *e)
{
    struct look *l = s->user;
    l->opened++;
    l->status = status;
    (void)snprintf(l->why, sizeof l->why, "%s", net_why(s));
    if (status < 0) {
        (void)snprintf(l->text, sizeof l->text, "%.200s", e->text);
        net_close(s, false);
        return;
    }
    look_at(l, s);
    net_read(s, true);
    (void)net_write(s, &BYTES("hello"), 1);
}
static void look_data(struct net_stream *s, char *p, size_t n)
{
    struct look *l = s->user;
    (void)snprintf(l->got + strlen(l->got), sizeof l->got - strlen(l->got), "%.*s", (int)n, p);
    loop_stop(l->r->loop);
}
static void look_end(struct net_stream *s, int status)
{
    struct look *l = s->user;
    l->end = status;
    (void)snprintf(l->why, sizeof l->why, "%s", net_why(s));
    net_close(s, false);
}
static void look_closed(struct net_stream *s)
{
    struct look *l = s->user;
    l->closed++;
    loop_stop(l->r->loop);
}
static const struct net_handler look_handler = {
    .on_open = look_open, .on_data = look_data, .on_end = look_end, .on_closed = look_closed};

static void look_start(struct look *l, struct rig *r, struct net_tls *tls)
{
    struct net_connect_args a = {
        .addr = echo_addr(r), .tls = tls, .timeout_ms = 5000, .handler = &look_handler, .user = l};
    l->r = r;
    assert_int_equal(net_connect(r->net, &a, &l->s, NULL), 0);
}

#endif
