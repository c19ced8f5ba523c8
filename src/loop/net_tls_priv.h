// net_tls_priv.h: TLS contexts as net_tls.c (streams) and net_tls_ctx.c (contexts) see them.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_LOOP_NET_TLS_PRIV_H
#define PLEXUS_LOOP_NET_TLS_PRIV_H

#include "loop/loop_priv.h"

#include <openssl/ssl.h>

struct net_tls {
    unsigned refs;
    bool server, insecure;
    char *cert_file, *key_file, *ca_file;
    SSL_CTX *ctx; // NULL until first needed
};

// Makes the context if need be.
int net_tls_ready(struct net_tls *t, struct err *e);
// Why the last OpenSSL call failed, short; empties its queue of errors.
const char *net_tls_why(char *buf, size_t size);

#endif
