// sign.c: keys of publishers, canonical texts, their hashes and signatures: Ed25519 (RFC 8032) over
// canonical JSON (RFC 8785) without the member "signature". SPDX-License-Identifier: Apache-2.0
#include "tool/tool_priv.h"

#include <string.h>

void tool_hash(struct bytes text, char ret[MANIFEST_HASH_LEN + 1])
{
    uint8_t sum[SHA256_LEN];
    sha256_sum(text, sum);
    crypto_hex(sum, sizeof sum, ret);
}

bool tool_is_hash(struct bytes text)
{
    for (size_t i = 0; i < text.n; i++)
        if (!((text.p[i] >= '0' && text.p[i] <= '9') || (text.p[i] >= 'a' && text.p[i] <= 'f')))
            return false;
    return text.n == MANIFEST_HASH_LEN;
}

// ---- keys ---------------------------------------------------------------------------------------

static int ready(struct manifest_key *k, struct err *e)
{
    uint8_t public_key[ED25519_PUBLIC_LEN];
    struct buf text;
    buf_init(&text, MANIFEST_KEY_TEXT);
    int rc = ed25519_public(k->seed, public_key, e);
    if (!rc && base64url_put(&text, (struct bytes){(const char *)public_key, sizeof public_key}))
        rc = err_set(e, E_NOMEM, "out of memory");
    if (!rc)
        memcpy(k->public_text, buf_cstr(&text), MANIFEST_KEY_TEXT + 1);
    buf_fini(&text);
    return rc;
}

int manifest_key_make(struct manifest_key *ret, struct buf *secret, struct err *e)
{
    uint8_t public_key[ED25519_PUBLIC_LEN];
    struct manifest_key k;
    int rc = ed25519_make(k.seed, public_key, e);
    if (!rc)
        rc = ready(&k, e);
    if (!rc && base64url_put(secret, (struct bytes){(const char *)k.seed, sizeof k.seed}))
        rc = err_set(e, secret->failed, "no room for a key");
    if (!rc)
        *ret = k;
    manifest_key_wipe(&k);
    return rc;
}

int manifest_key_open(struct manifest_key *ret, struct bytes secret, struct err *e)
{
    struct manifest_key k;
    struct buf seed;
    buf_init(&seed, sizeof k.seed);
    int rc = base64url_parse(&seed, bytes_trim(secret));
    if (rc || seed.n != sizeof k.seed)
        rc = err_set(e, E_INVALID, "not a publisher's key: it is one line of %d characters",
                     MANIFEST_KEY_TEXT);
    if (!rc) {
        memcpy(k.seed, seed.p, sizeof k.seed);
        rc = ready(&k, e);
    }
    if (!rc)
        *ret = k;
    if (seed.p)
        mem_wipe(seed.p, seed.cap);
    buf_fini(&seed);
    manifest_key_wipe(&k);
    return rc;
}

void manifest_key_wipe(struct manifest_key *k)
{
    mem_wipe(k, sizeof *k);
}

// ---- texts --------------------------------------------------------------------------------------

int crystal_canonical(struct buf *out, const struct val *v, char ret_hash[MANIFEST_HASH_LEN + 1],
                      struct err *e)
{
    struct json_doc *doc = NULL;
    size_t from = out->n;
    int rc = val_to_json(&doc, v, e);
    if (!rc)
        rc = json_canonical(out, json_root(doc), e);
    if (!rc && out->failed)
        rc = err_set(e, out->failed, "the canonical text is over %zu bytes", out->max);
    if (!rc && ret_hash)
        tool_hash(bytes_from(buf_bytes(out), from), ret_hash);
    json_free(doc);
    return rc;
}

static int signed_text(struct buf *out, const struct val *v, struct err *e)
{
    struct val *bare = val_del(val_ref((struct val *)(uintptr_t)v), BYTES("signature"));
    int rc = bare ? crystal_canonical(out, bare, NULL, e) : err_set(e, E_NOMEM, "out of memory");
    val_unref(bare);
    return rc;
}

int tool_verify(const struct val *v, struct bytes key, struct bytes signature, struct err *e)
{
    struct buf public_key, sign, text;
    buf_init(&public_key, ED25519_PUBLIC_LEN);
    buf_init(&sign, ED25519_SIGN_LEN);
    buf_init(&text, MANIFEST_BYTES_MAX);
    int rc = base64url_parse(&public_key, key) || public_key.n != ED25519_PUBLIC_LEN ||
                     base64url_parse(&sign, signature) || sign.n != ED25519_SIGN_LEN
                 ? err_set(e, E_SECURITY, "key and signature are not Ed25519's, in base64url")
                 : signed_text(&text, v, e);
    if (!rc && !ed25519_verify((const uint8_t *)public_key.p, buf_bytes(&text), buf_bytes(&sign)))
        rc = err_set(e, E_SECURITY,
                     "the signature is wrong: it was changed after %.*s signed it, or somebody "
                     "else signed it",
                     BYTES_FMT(key));
    buf_fini(&public_key);
    buf_fini(&sign);
    buf_fini(&text);
    return rc;
}

int tool_sign(struct buf *out, struct val *takes, const struct manifest_key *key, struct err *e)
{
    uint8_t sign[ED25519_SIGN_LEN];
    struct buf text;
    struct val *v = val_del(takes, BYTES("signature"));
    buf_init(&text, MANIFEST_BYTES_MAX);
    int rc = v ? signed_text(&text, v, e) : err_set(e, E_NOMEM, "out of memory");
    if (!rc)
        rc = ed25519_sign(key->seed, buf_bytes(&text), sign, e);
    buf_clear(&text);
    if (!rc) {
        (void)base64url_put(&text, (struct bytes){(const char *)sign, sizeof sign});
        v = val_put_cstr(v, "signature", val_str(buf_bytes(&text)));
        rc = v ? crystal_canonical(out, v, NULL, e) : err_set(e, E_NOMEM, "out of memory");
    }
    val_unref(v);
    buf_fini(&text);
    return rc;
}
