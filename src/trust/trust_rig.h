// trust_rig.h: for tests: a mesh of an authority and members in one process.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_TRUST_TRUST_RIG_H
#define PLEXUS_TRUST_TRUST_RIG_H

#include "base/alloc.h"
#include "crypto/hash.h"
#include "text/json.h"
#include "trust/authority.h"
#include "trust/member.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NOW 1800000000000LL // 2027-01-15T08:00:00Z
#define HOUR 3600000LL

static inline struct buf made(void)
{
    struct buf b;
    buf_init(&b, 8 << 20);
    return b;
}

static inline struct authority *mesh(int64_t ttl_ms)
{
    struct authority *a = NULL;
    struct err e = {0};
    if (authority_make(&a, BYTES("example.org"), ttl_ms, NOW, &e) != 0)
        fail_msg("%s", e.text);
    return a;
}

struct token {
    char text[AUTHORITY_TOKEN_TEXT_MAX], id[17];
};

static inline struct token token(struct authority *a, const struct authority_token_args *args)
{
    struct token t;
    struct err e = {0};
    if (authority_token_new(a, args, NOW, t.text, t.id, &e) != 0)
        fail_msg("%s", e.text);
    return t;
}

static inline struct member *node(const char *name, const char *context)
{
    struct member *m = NULL;
    struct err e = {0};
    if (member_make(&m, bytes_of(name), bytes_of(context), &e) != 0)
        fail_msg("%s", e.text);
    return m;
}

static inline int joins(struct authority *a, struct member *m, const struct token *t, int64_t now,
                        struct err *e)
{
    struct buf body = made(), answer = made();
    int rc = member_join_body(m, bytes_of(t->text), &body, e);
    if (rc == 0)
        rc = authority_join(a, buf_bytes(&body), now, &answer, NULL, e);
    if (rc == 0)
        rc = member_join_accept(m, bytes_of(t->text), buf_bytes(&answer), now, e);
    buf_fini(&body);
    buf_fini(&answer);
    return rc;
}

static inline struct member *joined(struct authority *a, const char *name)
{
    char context[80];
    struct err e = {0};
    struct token t = token(a, &(struct authority_token_args){.clearance = "internal"});
    (void)snprintf(context, sizeof context, "dev.x.%s", name);
    struct member *m = node(name, context);
    if (joins(a, m, &t, NOW, &e) != 0)
        fail_msg("%s", e.text);
    return m;
}

static inline int renews(struct authority *a, struct member *m, int64_t now, struct err *e)
{
    struct buf body = made(), answer = made();
    int rc = member_renew_body(m, now, &body, e);
    if (rc == 0)
        rc = authority_renew(a, buf_bytes(&body), now, &answer, e);
    if (rc == 0)
        rc = member_renew_accept(m, buf_bytes(&answer), now, e);
    buf_fini(&body);
    buf_fini(&answer);
    return rc;
}

// The certificates that m shows, as a peer gets them.
static inline int chain_of(const struct member *m, struct buf der[X509_CHAIN_MAX],
                           struct bytes chain[X509_CHAIN_MAX])
{
    struct member_view v;
    int n = 0;
    member_view(m, &v);
    struct bytes rest = v.cert_pem;
    for (buf_init(&der[0], X509_DER_MAX); x509_pem_next(&rest, "CERTIFICATE", &der[n], NULL) == 1;
         buf_init(&der[n], X509_DER_MAX)) {
        chain[n] = buf_bytes(&der[n]);
        n++;
    }
    return n;
}

static inline void chain_fini(struct buf der[X509_CHAIN_MAX], int n)
{
    for (int i = 0; i <= n; i++)
        buf_fini(&der[i]);
}

// m checks the certificates of peer.
static inline int sees(const struct member *m, const struct member *peer, int64_t now,
                       struct err *e)
{
    struct buf der[X509_CHAIN_MAX];
    struct bytes chain[X509_CHAIN_MAX];
    char id[SPIFFE_ID_MAX + 1];
    uint64_t epoch;
    int n = chain_of(peer, der, chain);
    int rc = member_check_peer(m, chain, n, now, id, &epoch, e);
    chain_fini(der, n);
    return rc;
}

static inline int checks_jwt(const struct member *m, struct bytes answer, struct spiffe_jwt *ret,
                             struct err *e)
{
    struct json_doc *doc = NULL;
    assert_int_equal(json_parse(&doc, answer, JSON_UNIQUE, NULL), 0);
    int rc = member_jwt_check(m, json_str(json_get(json_root(doc), "token")), BYTES("plexus"), NOW,
                              ret, e);
    json_free(doc);
    return rc;
}

// Object a with one member's value taken from b (NULL: the member is left out).
static inline void mix(struct bytes a, const struct bytes *b, const char *name, struct buf *out)
{
    struct json_doc *one = NULL, *two = NULL;
    struct json_iter it = {0};
    struct json_w w;
    struct bytes key;
    const struct json *v;
    char text[64];
    assert_int_equal(json_parse(&one, a, 0, NULL), 0);
    if (b)
        assert_int_equal(json_parse(&two, *b, 0, NULL), 0);
    json_w_init(&w, out);
    json_w_obj(&w, NULL);
    while (json_each(json_root(one), &it, &key, &v)) {
        (void)snprintf(text, sizeof text, "%.*s", BYTES_FMT(key));
        if (!bytes_is(key, name))
            json_w_val(&w, text, v);
        else if (b)
            json_w_val(&w, text, json_get(json_root(two), name));
    }
    json_w_end(&w);
    json_free(one);
    json_free(two);
}

static inline void swap_member(struct bytes a, struct bytes b, const char *name, struct buf *out)
{
    mix(a, &b, name, out);
}

static inline void without_member(struct bytes a, const char *name, struct buf *out)
{
    mix(a, NULL, name, out);
}

#endif
