// mcpc_login_priv.h: a login at an authorization server. SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_TOOLBOX_MCPC_LOGIN_PRIV_H
#define PLEXUS_TOOLBOX_MCPC_LOGIN_PRIV_H

#include "text/url.h"
#include "toolbox/mcpc_priv.h"

#define LOGIN_URLS_MAX 3

struct mcpc_login {
    struct mcpc_srv *srv;
    // One exchange at a time
    struct http_pool *pool;
    struct fetch *fetch; // that runs
    struct timer later;
    struct buf target, lines, body, got;
    int http;
    void (*then)(struct mcpc_login *l);
    // Where a document may lie, in order
    char *urls[LOGIN_URLS_MAX];
    size_t url_count, url_at;
    // What is known
    struct val *resource, *server; // RFC 9728's and RFC 8414's documents
    struct val *client; // client_id, client_secret, token_endpoint_auth_method, issuer
    struct val *tokens; // access_token, refresh_token, issuer
    char *issuer, *scope, *asked_scope, *metadata_url, *verifier, *state;
    char *page; // where the person is to go
    unsigned tries; // without a request that was let through for long
    int64_t tried_at;
    bool person, refreshed, running;
};

// mcpc_fetch.c: GET (body empty) or POST; then() with http (0: no answer) and got.
void mcpc_fetch_url(struct mcpc_login *l, const char *url, const char *type, struct bytes auth,
                    void (*then)(struct mcpc_login *l));
void mcpc_fetch_stop(struct mcpc_login *l);

// mcpc_oauth.c
void mcpc_login_fail(struct mcpc_login *l, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void mcpc_login_set(char **to, char *takes);
const char *mcpc_login_issuer(const struct mcpc_login *l);
// mcpc_keep.c
void mcpc_login_load(struct mcpc_login *l);
int mcpc_login_save(const struct mcpc_login *l, struct err *e);
// mcpc_token.c: the client's identity, the person's word, the token.
void mcpc_login_client(struct mcpc_login *l);
int mcpc_login_redirected(struct mcpc_login *l, struct bytes query, struct err *e);

#endif
