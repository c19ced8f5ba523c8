// net_tls_bio.c: the way of a TLS stream's bytes: a BIO without memory over the loop's buffers.
// SPDX-License-Identifier: Apache-2.0
#include "loop/net_tls_priv.h"

#include "base/alloc.h"

#include <openssl/bio.h>
#include <string.h>

static int tls_bio_read(BIO *b, char *p, int n)
{
    struct tls_stream *s = BIO_get_data(b);
    struct net_tls_bufs *bufs = s->net->tls_bufs;
    BIO_clear_retry_flags(b);
    if (bufs->in_n == 0 || bufs->reader != s) {
        BIO_set_retry_read(b);
        return -1;
    }
    size_t k = (size_t)n < bufs->in_n ? (size_t)n : bufs->in_n;
    memcpy(p, bufs->in, k);
    bufs->in += k;
    bufs->in_n -= k;
    return (int)k;
}

void net_tls_flush(struct tls_stream *s)
{
    struct net_tls_bufs *bufs = s->net->tls_bufs;
    struct bytes v = {bufs->out, bufs->out_n};
    bufs->out_n = 0;
    if (v.n > 0 && net_write(s->inner, &v, 1) < 0)
        s->flags |= TLS_BROKEN;
}

static int tls_bio_write(BIO *b, const char *p, int n)
{
    struct tls_stream *s = BIO_get_data(b);
    struct net_tls_bufs *bufs = s->net->tls_bufs;
    for (size_t at = 0; at < (size_t)n;) {
        size_t k = (size_t)n - at;
        if (k > sizeof bufs->out - bufs->out_n)
            k = sizeof bufs->out - bufs->out_n;
        memcpy(bufs->out + bufs->out_n, p + at, k);
        bufs->out_n += k;
        at += k;
        if (bufs->out_n == sizeof bufs->out)
            net_tls_flush(s);
    }
    return n;
}

static long tls_bio_ctrl(BIO *b, int cmd, long num, void *ptr)
{
    (void)b;
    (void)num;
    (void)ptr;
    return cmd == BIO_CTRL_FLUSH ? 1 : 0;
}

int net_tls_bufs_make(struct net *n)
{
    if (n->tls_bufs != NULL)
        return 0;
    struct net_tls_bufs *bufs = mem_alloc(sizeof *bufs); // not zeroed: pages come when touched
    if (bufs == NULL)
        return E_NOMEM;
    bufs->reader = NULL;
    bufs->in_n = bufs->out_n = 0;
    bufs->method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "plexus");
    if (bufs->method == NULL) {
        mem_free(bufs);
        return E_NOMEM;
    }
    (void)BIO_meth_set_read(bufs->method, tls_bio_read);
    (void)BIO_meth_set_write(bufs->method, tls_bio_write);
    (void)BIO_meth_set_ctrl(bufs->method, tls_bio_ctrl);
    n->tls_bufs = bufs;
    return 0;
}

void net_tls_fini(struct net *n)
{
    if (n->tls_bufs == NULL)
        return;
    BIO_meth_free(n->tls_bufs->method);
    mem_free(n->tls_bufs);
    n->tls_bufs = NULL;
}
