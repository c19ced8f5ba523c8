// label_signers.c: the keys that may sign a declassification, and their signatures.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "crypto/base64url.h"
#include "crypto/hash.h"
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

// ---- the signer's side ----

int label_signer_make(struct buf *ret_secret, struct buf *ret_public, struct err *e)
{
    uint8_t seed[ED25519_SEED_LEN], key[ED25519_PUBLIC_LEN];
    int rc = ed25519_make(seed, key, e);
    if (rc == 0) {
        (void)base64url_put(ret_secret, (struct bytes){(const char *)seed, sizeof seed});
        (void)base64url_put(ret_public, (struct bytes){(const char *)key, sizeof key});
        rc = ret_secret->failed ? ret_secret->failed : ret_public->failed;
        if (rc != 0)
            (void)err_set(e, rc, "no room for a key");
    }
    mem_wipe(seed, sizeof seed);
    return rc;
}

static int read_seed(struct bytes secret, uint8_t ret[ED25519_SEED_LEN], struct err *e)
{
    struct buf raw;
    buf_init(&raw, ED25519_SEED_LEN);
    int rc = base64url_parse(&raw, secret);
    if (rc == 0 && raw.n == ED25519_SEED_LEN)
        memcpy(ret, raw.p, ED25519_SEED_LEN);
    else
        rc = err_set(e, rc == E_NOMEM ? rc : E_INVALID,
                     "this is no key for declassifications: expected 32 bytes as base64url");
    if (raw.p)
        mem_wipe(raw.p, raw.cap);
    buf_fini(&raw);
    return rc;
}

int label_declass_sign(struct buf *out, const struct label_names *n, const struct label_declass *d,
                       struct bytes data, struct bytes secret, struct err *e)
{
    uint8_t seed[ED25519_SEED_LEN], sig[ED25519_SIGN_LEN];
    struct label_declass full = *d;
    struct buf first, mark;
    int rc = read_seed(secret, seed, e);
    if (rc != 0)
        return rc;
    sha256_sum(data, full.data);
    buf_init(&first, LABEL_DECLASS_TEXT_MAX);
    buf_init(&mark, sizeof LABEL_DECLASS_MARK + LABEL_DECLASS_TEXT_MAX);
    rc = label_declass_put(&first, n, &full, e);
    if (rc == 0 && (rc = label_declass_mark(&mark, buf_bytes(&first))) != 0)
        (void)err_set(e, rc, "no room for a declassification");
    if (rc == 0)
        rc = ed25519_sign(seed, buf_bytes(&mark), sig, e);
    mem_wipe(seed, sizeof seed);
    if (rc == 0) {
        (void)buf_put(out, buf_bytes(&first));
        rc = label_declass_seal(out, sig);
        if (rc != 0)
            (void)err_set(e, rc, "no room for a declassification");
    }
    buf_fini(&first);
    buf_fini(&mark);
    return rc;
}
