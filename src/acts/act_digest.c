// act_digest.c: the answer to a challenge of Digest authentication (RFC 7616; RFC 2617 without
// qop): MD5, SHA-256 and their session forms, qop auth and auth-int.
// SPDX-License-Identifier: Apache-2.0
#include "acts/acts_priv.h"
#include "base/rng.h"
#include "crypto/hash.h"
#include "crypto/md5.h"

#include <stdio.h>
#include <string.h>

#define HEX_MAX (2 * SHA256_LEN + 1)

struct challenge {
    struct bytes realm, nonce, opaque, algorithm, qop;
    bool userhash, stale;
    struct buf texts[5]; // quoted values without their escapes
    int text_count;
};

static const struct digest_kind {
    const char *name;
    bool sha, session;
} kinds[] = {
    // the better first
    {"SHA-256-sess", true, true},
    {"SHA-256", true, false},
    {"MD5-sess", false, true},
    {"MD5", false, false},
};

static const struct digest_kind *kind_of(struct bytes algorithm)
{
    if (!algorithm.n)
        return &kinds[3];
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (bytes_iis(algorithm, kinds[i].name))
            return &kinds[i];
    return NULL;
}

// ---- the challenge -----------------------------------------------------------------------------

static bool token_char(char c)
{
    return c > ' ' && c < 0x7f && !strchr("\"(),/:;<=>?@[\\]{}", c);
}

static struct bytes skip(struct bytes t, const char *chars)
{
    while (t.n && strchr(chars, *t.p) && *t.p)
        t = bytes_from(t, 1);
    return t;
}

static struct bytes take_token(struct bytes *t)
{
    size_t n = 0;
    while (n < t->n && token_char(t->p[n]))
        n++;
    struct bytes word = bytes_first(*t, n);
    *t = bytes_from(*t, n);
    return word;
}

static struct bytes take_value(struct bytes *t, struct challenge *c)
{
    if (!t->n || *t->p != '"')
        return take_token(t);
    struct bytes rest = bytes_from(*t, 1);
    size_t n = 0;
    bool escaped = false;
    while (n < rest.n && rest.p[n] != '"') {
        escaped = escaped || rest.p[n] == '\\';
        n += rest.p[n] == '\\' && n + 1 < rest.n ? 2 : 1;
    }
    struct bytes value = bytes_first(rest, n);
    *t = bytes_from(rest, n + 1);
    if (!escaped || c->text_count == 5)
        return value;
    struct buf *b = &c->texts[c->text_count++];
    buf_init(b, 4096);
    for (size_t i = 0; i < value.n; i++) {
        if (value.p[i] == '\\' && i + 1 < value.n)
            i++;
        (void)buf_chr(b, value.p[i]);
    }
    return buf_bytes(b);
}

static void set(struct challenge *c, struct bytes name, struct bytes value)
{
    if (bytes_iis(name, "realm"))
        c->realm = value;
    else if (bytes_iis(name, "nonce"))
        c->nonce = value;
    else if (bytes_iis(name, "opaque"))
        c->opaque = value;
    else if (bytes_iis(name, "algorithm"))
        c->algorithm = value;
    else if (bytes_iis(name, "qop"))
        c->qop = value;
    else if (bytes_iis(name, "userhash"))
        c->userhash = bytes_iis(value, "true");
    else if (bytes_iis(name, "stale"))
        c->stale = bytes_iis(value, "true");
}

static void challenge_fini(struct challenge *c)
{
    for (int i = 0; i < c->text_count; i++)
        buf_fini(&c->texts[i]);
    *c = (struct challenge){0};
}

// One header may hold several challenges: "Basic realm=x, Digest realm=y, nonce=z". Takes the
// next Digest one from *t; false: there is none.
static bool next_challenge(struct bytes *t, struct challenge *c)
{
    bool mine = false;
    *c = (struct challenge){0};
    while ((*t = skip(*t, " \t,")).n) {
        struct bytes before = *t, word = take_token(t);
        if (!word.n) {
            *t = bytes_from(*t, 1);
            continue;
        }
        struct bytes after = skip(*t, " \t");
        if (after.n && *after.p == '=') {
            *t = skip(bytes_from(after, 1), " \t");
            struct bytes value = take_value(t, c);
            if (mine)
                set(c, word, value);
            continue;
        }
        if (mine) { // the next scheme begins
            *t = before;
            return true;
        }
        mine = bytes_iis(word, "Digest");
    }
    return mine;
}

// ---- the answer --------------------------------------------------------------------------------

static void hash(const struct digest_kind *k, struct bytes text, char hex[HEX_MAX])
{
    uint8_t sum[SHA256_LEN];
    if (k->sha)
        sha256_sum(text, sum);
    else
        crypto_md5(text, sum);
    crypto_hex(sum, k->sha ? SHA256_LEN : CRYPTO_MD5_LEN, hex);
}

// hash of parts with colons between them; an empty last one ends the list (p NULL).
static int hash_of(const struct digest_kind *k, const struct bytes *parts, int count,
                   char hex[HEX_MAX])
{
    struct buf text;
    buf_init(&text, (size_t)128 << 10);
    for (int i = 0; i < count; i++) {
        if (i)
            (void)buf_chr(&text, ':');
        (void)buf_put(&text, parts[i]);
    }
    int rc = text.failed;
    if (rc == 0)
        hash(k, buf_bytes(&text), hex);
    if (text.p)
        mem_wipe(text.p, text.n);
    buf_fini(&text);
    return rc;
}

static bool in_list(struct bytes list, const char *word)
{
    while (list.n)
        if (bytes_iis(bytes_trim(bytes_cut(&list, ',')), word))
            return true;
    return false;
}

static void put_quoted(struct buf *out, const char *name, struct bytes text)
{
    (void)buf_fmt(out, ", %s=\"", name);
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == '"' || text.p[i] == '\\')
            (void)buf_chr(out, '\\');
        (void)buf_chr(out, text.p[i]);
    }
    (void)buf_chr(out, '"');
}

static int respond(struct act_auth *x, const struct challenge *c, const struct digest_kind *k,
                   struct bytes method, struct bytes target, struct bytes body)
{
    char a1[HEX_MAX], a2[HEX_MAX], response[HEX_MAX], user[HEX_MAX], entity[HEX_MAX], nc[9];
    char cnonce[RNG_ID_LEN + 1];
    struct bytes name = buf_bytes(&x->user);
    const char *qop = !c->qop.n ? NULL : in_list(c->qop, "auth") ? "auth" : "auth-int";
    rng_id(cnonce);
    (void)snprintf(nc, sizeof nc, "%08x", ++x->nonce_count);
    int rc = hash_of(k, (struct bytes[]){name, c->realm, buf_bytes(&x->password)}, 3, a1);
    if (rc == 0 && k->session)
        rc = hash_of(k, (struct bytes[]){bytes_of(a1), c->nonce, bytes_of(cnonce)}, 3, a1);
    if (rc == 0 && qop && strcmp(qop, "auth-int") == 0) {
        hash(k, body, entity);
        rc = hash_of(k, (struct bytes[]){method, target, bytes_of(entity)}, 3, a2);
    } else if (rc == 0) {
        rc = hash_of(k, (struct bytes[]){method, target}, 2, a2);
    }
    if (rc == 0 && qop)
        rc = hash_of(k,
                     (struct bytes[]){bytes_of(a1), c->nonce, bytes_of(nc), bytes_of(cnonce),
                                      bytes_of(qop), bytes_of(a2)},
                     6, response);
    else if (rc == 0)
        rc = hash_of(k, (struct bytes[]){bytes_of(a1), c->nonce, bytes_of(a2)}, 3, response);
    if (rc == 0 && c->userhash) {
        rc = hash_of(k, (struct bytes[]){name, c->realm}, 2, user);
        name = bytes_of(user);
    }
    if (rc < 0)
        return rc;
    struct buf *h = &x->header;
    buf_fini(h);
    buf_init(h, (size_t)32 << 10);
    (void)buf_str(h, "Authorization: Digest algorithm=");
    (void)buf_str(h, c->algorithm.n ? k->name : "MD5");
    put_quoted(h, "username", name);
    put_quoted(h, "realm", c->realm);
    put_quoted(h, "nonce", c->nonce);
    put_quoted(h, "uri", target);
    put_quoted(h, "response", bytes_of(response));
    if (c->opaque.p)
        put_quoted(h, "opaque", c->opaque);
    if (c->userhash)
        (void)buf_str(h, ", userhash=true");
    if (qop)
        (void)buf_fmt(h, ", qop=%s, nc=%s, cnonce=\"%s\"", qop, nc, cnonce);
    mem_wipe(a1, sizeof a1);
    return buf_str(h, "\r\n");
}

static bool fits(const struct challenge *c)
{
    return c->nonce.n && kind_of(c->algorithm) &&
           (!c->qop.n || in_list(c->qop, "auth") || in_list(c->qop, "auth-int"));
}

int act_digest(struct act_auth *x, const struct act_fetch *f, struct bytes method,
               struct bytes target, struct bytes body, struct err *e)
{
    struct challenge best = {0}, c;
    int rc = 0;
    for (size_t i = 0; i < f->header_count; i++) {
        struct bytes rest = f->headers[i].value;
        if (!bytes_iis(f->headers[i].name, "WWW-Authenticate"))
            continue;
        while (next_challenge(&rest, &c)) {
            bool better =
                fits(&c) && (!best.nonce.n || kind_of(c.algorithm) < kind_of(best.algorithm));
            if (better)
                challenge_fini(&best);
            if (better)
                best = c;
            else
                challenge_fini(&c);
        }
        challenge_fini(&c);
    }
    if (!best.nonce.n)
        rc = err_set(e, E_UNSUPPORTED,
                     "the server's 401 has no Digest challenge with MD5 or "
                     "SHA-256");
    else if ((rc = respond(x, &best, kind_of(best.algorithm), method, target, body)) < 0)
        (void)err_set(e, rc, "%s", err_info(rc)->text);
    challenge_fini(&best);
    return rc;
}
