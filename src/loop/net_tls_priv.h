// net_tls_priv.h: what the files of TLS share: contexts (net_tls_ctx.c), who the peer is
// (net_tls_verify.c), streams (net_tls.c), their making (net_tls_make.c) and the way of their bytes
// (net_tls_bio.c).
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_LOOP_NET_TLS_PRIV_H
#define PLEXUS_LOOP_NET_TLS_PRIV_H

#include "loop/loop_priv.h"

#include <openssl/ssl.h>

enum {
    TLS_RECORD_MAX = 16384, // RFC 8446, 5.1
    TLS_OUT_BYTES = 64 << 10,
    TLS_ALPN_MAX = 64, // with its length byte
};

struct net_tls {
    unsigned refs;
    bool server, insecure;
    char *cert_file, *key_file, *ca_file;
    int (*verify)(void *user, const struct bytes *der, int count, char *ret_id, uint64_t *ret_epoch,
                  struct err *e);
    void (*on_refused)(void *user, const struct net_peer *peer, const struct err *e);
    void *user;
    unsigned char alpn[TLS_ALPN_MAX]; // as on the wire
    unsigned char alpn_n;
    bool alpn_insist;
    SSL_CTX *ctx; // NULL until first needed
};

enum tls_flag {
    TLS_READ = 1 << 0,
    TLS_SHAKING = 1 << 1, // the handshake runs
    TLS_OPEN = 1 << 2, // it is done
    TLS_CLOSING = 1 << 3, // net_close was called
    TLS_ENDED = 1 << 4, // on_end was told
    TLS_BROKEN = 1 << 5, // nothing can be written
    TLS_OVER_LIMIT = 1 << 6,
    TLS_DELIVERING = 1 << 7, // inside tls_deliver
    TLS_VERIFIED = 1 << 8, // net_tls_args.verify said yes
};

struct net_tls_bufs { // shared by all TLS streams of a loop
    BIO_METHOD *method;
    const struct tls_stream *reader; // whose ciphertext `in` is
    const char *in; // not read yet
    size_t in_n;
    size_t out_n;
    char out[TLS_OUT_BYTES];
    char plain[TLS_RECORD_MAX];
    char stage[TLS_RECORD_MAX]; // small slices become one record
};

struct tls_stream {
    struct net_stream base; // first
    struct net_stream *inner;
    struct net *net;
    struct net_tls *tls;
    SSL *ssl;
    struct list link;
    uint16_t flags;
    uint32_t queue_max;
    int why_code;
    char *why; // why it failed; NULL: it did not, or nobody knows
    char *from; // the client's address, while the handshake runs and somebody wants to know
    char *id; // of the peer, as verify said; NULL: none
    uint64_t epoch;
    char *kept; // ciphertext that came while the owner did not read
    size_t kept_n;
    struct timer timer; // handshake deadline, then delivery of what was kept
    void (*on_accept)(void *user, struct net_stream *s, bool over_limit);
    void *accept_user;
};

static inline struct timers *net_tls_timers(struct tls_stream *s)
{
    return &s->net->loop->timers.base;
}

// net_tls_ctx.c. Makes the context if need be.
int net_tls_ready(struct net_tls *t, struct err *e);

// net_tls_verify.c
// Why the last OpenSSL call failed, short; empties its queue of errors.
const char *net_tls_why(char *buf, size_t size);
// Keeps the reason with the stream, unless it has one.
void net_tls_because(struct tls_stream *s, int code, const char *text);
// Why the handshake failed.
void net_tls_say_why(struct tls_stream *s, struct err *e);
void net_tls_judge(const struct net_tls *t, SSL_CTX *ctx); // sets the callbacks of the handshake
// The handshake is done: is all there that we insist on? 0 or E_*.
int net_tls_insist(struct tls_stream *s, struct err *e);

// net_tls_bio.c
int net_tls_bufs_make(struct net *n);
void net_tls_flush(struct tls_stream *s); // to the inner stream

// net_tls.c
extern const struct net_stream_ops net_tls_ops;
extern const struct net_handler net_tls_inner_handler;
void net_tls_late(struct timer *t); // the deadline of the handshake
int net_tls_step(struct tls_stream *s, struct err *e); // 1: done, 0: wants more, E_*
void net_tls_begin(struct tls_stream *s);

#endif
