// label_signers.c: the keys that may sign a declassification.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "crypto/base64url.h"
#include "crypto/sign.h"
#include "trust/label.h"
#include <string.h>

_Static_assert(LABEL_SIG_LEN == ED25519_SIGN_LEN, "declassifications are signed by Ed25519");

struct signer {
    char name[LABEL_DECLASS_WHO_MAX + 1];
    uint8_t key[ED25519_PUBLIC_LEN];
    struct label clearance;
};

struct label_signers {
    struct signer list[LABEL_SIGNERS_MAX];
    size_t count;
};

struct label_signers *label_signers_new(void)
{
    return mem_new(struct label_signers);
}

void label_signers_free(struct label_signers *s)
{
    mem_free(s);
}

static const struct signer *find(const struct label_signers *s, struct bytes name)
{
    for (size_t i = 0; i < s->count; i++)
        if (bytes_is(name, s->list[i].name))
            return &s->list[i];
    return NULL;
}

int label_signers_add(struct label_signers *s, struct bytes name, struct bytes key,
                      struct label clearance, struct err *e)
{
    struct buf raw;
    if (!name.n || name.n > LABEL_DECLASS_WHO_MAX || memchr(name.p, 0, name.n))
        return err_set(e, E_INVALID, "name of the key: expected 1 to %d characters",
                       LABEL_DECLASS_WHO_MAX);
    if (find(s, name))
        return err_set(e, E_EXISTS, "there is a key named %.*s already", BYTES_FMT(name));
    if (s->count == LABEL_SIGNERS_MAX)
        return err_set(e, E_FULL, "more than %d keys that may declassify", LABEL_SIGNERS_MAX);
    struct signer *x = &s->list[s->count];
    buf_init(&raw, sizeof x->key);
    int rc = base64url_parse(&raw, key);
    if (rc == 0 && raw.n == sizeof x->key) {
        memset(x, 0, sizeof *x);
        memcpy(x->name, name.p, name.n);
        memcpy(x->key, raw.p, sizeof x->key);
        x->clearance = clearance;
        s->count++;
    } else {
        rc = err_set(e, rc == E_NOMEM ? rc : E_INVALID,
                     "key %.*s: expected 32 bytes as base64url: an Ed25519 public key",
                     BYTES_FMT(name));
    }
    buf_fini(&raw);
    return rc;
}

int label_signers_verify(void *signers, struct bytes who, struct bytes signed_text,
                         const uint8_t sig[LABEL_SIG_LEN], struct label *ret_clearance,
                         struct err *e)
{
    const struct signer *x = find(signers, who);
    if (!x)
        return err_set(e, E_SECURITY, "there is no key %.*s in labels.declassifiers",
                       BYTES_FMT(who));
    if (!ed25519_verify(x->key, signed_text, (struct bytes){(const char *)sig, LABEL_SIG_LEN}))
        return err_set(e, E_SECURITY, "this is not the signature of the key %.*s", BYTES_FMT(who));
    *ret_clearance = x->clearance;
    return 0;
}
