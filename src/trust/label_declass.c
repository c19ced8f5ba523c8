// label_declass.c: a declassification: a signed statement that lowers the label of one piece of
// data. SPDX-License-Identifier: Apache-2.0
#include "crypto/base64url.h"
#include "crypto/hash.h"
#include "text/json.h"
#include "trust/label.h"
#include <string.h>

static const char *const members[] = {"from", "to", "data", "who", "reason", "at", "expires"};
#define MEMBERS (sizeof members / sizeof *members)

// A word for people and logs: 1 to max bytes of UTF-8 without control characters.
static bool good_word(struct bytes word, size_t max)
{
    for (size_t i = 0; i < word.n; i++)
        if ((unsigned char)word.p[i] < ' ' || word.p[i] == 0x7f)
            return false;
    return word.n > 0 && word.n <= max && bytes_is_utf8(word);
}

static void put_label(struct json_w *w, const char *key, const struct label_names *n,
                      struct label l)
{
    struct buf text;
    buf_init(&text, LABEL_TEXT_MAX);
    label_put(&text, n, l);
    json_w_str(w, key, buf_bytes(&text));
    buf_fini(&text);
}

int label_declass_put(struct buf *out, const struct label_names *n, const struct label_declass *d,
                      struct err *e)
{
    char data[SHA256_LEN * 2 + 1];
    struct buf json;
    struct json_w w;
    if (!good_word(bytes_of(d->who), LABEL_DECLASS_WHO_MAX))
        return err_set(e, E_INVALID, "name of the key: expected 1 to %d characters",
                       LABEL_DECLASS_WHO_MAX);
    if (!good_word(bytes_of(d->reason), LABEL_DECLASS_REASON_MAX))
        return err_set(e, E_INVALID, "reason: expected 1 to %d bytes of text",
                       LABEL_DECLASS_REASON_MAX);
    crypto_hex(d->data, sizeof d->data, data);
    buf_init(&json, LABEL_DECLASS_TEXT_MAX);
    json_w_init(&w, &json);
    json_w_obj(&w, NULL);
    put_label(&w, "from", n, d->from);
    put_label(&w, "to", n, d->to);
    json_w_cstr(&w, "data", data);
    json_w_cstr(&w, "who", d->who);
    json_w_cstr(&w, "reason", d->reason);
    json_w_i64(&w, "at", d->at_s);
    json_w_i64(&w, "expires", d->expires_s);
    json_w_end(&w);
    int rc = json.failed ? json.failed : base64url_put(out, buf_bytes(&json));
    buf_fini(&json);
    return rc == 0 ? 0 : err_set(e, rc, "no room for a declassification");
}

int label_declass_mark(struct buf *out, struct bytes first)
{
    (void)buf_str(out, LABEL_DECLASS_MARK);
    return buf_put(out, first);
}

int label_declass_seal(struct buf *out, const uint8_t sig[LABEL_SIG_LEN])
{
    (void)buf_chr(out, '.');
    return base64url_put(out, (struct bytes){(const char *)sig, LABEL_SIG_LEN});
}

static int bad(const char *what, struct err *e)
{
    return err_set(e, E_INVALID, "not a declassification: %s", what);
}

static int take_label(const struct label_names *n, const struct json *v, struct label *ret,
                      struct err *e)
{
    int rc = label_parse_known(n, json_str(v), ret, e);
    return rc == 0 ? 0 : err_wrap(e, "not a declassification");
}

static bool take_word(const struct json *v, char *ret, size_t max)
{
    struct bytes word = json_str(v);
    if (!good_word(word, max))
        return false;
    memcpy(ret, word.p, word.n);
    return true;
}

// Its members, all of them and no other: a word that is signed but not understood helps nobody.
static int take_members(const struct label_names *n, const struct json *v,
                        struct label_declass *ret, struct err *e)
{
    size_t found = 0;
    for (size_t i = 0; i < MEMBERS; i++)
        found += json_get(v, members[i]) != NULL;
    if (!json_is(v, JSON_OBJ) || found != MEMBERS || json_len(v) != MEMBERS)
        return bad("expected an object of from, to, data, who, reason, at, expires", e);
    ret->at_s = json_i64(json_get(v, "at"), -1);
    ret->expires_s = json_i64(json_get(v, "expires"), -1);
    if (!crypto_unhex(json_str(json_get(v, "data")), ret->data, sizeof ret->data))
        return bad("data: expected SHA-256 in hex", e);
    if (!take_word(json_get(v, "who"), ret->who, LABEL_DECLASS_WHO_MAX) ||
        !take_word(json_get(v, "reason"), ret->reason, LABEL_DECLASS_REASON_MAX))
        return bad("who, reason: expected words", e);
    if (ret->at_s < 0 || ret->expires_s < 0 || ret->expires_s > INT64_MAX / 1000)
        return bad("at, expires: expected seconds since 1970", e);
    int rc = take_label(n, json_get(v, "from"), &ret->from, e);
    return rc == 0 ? take_label(n, json_get(v, "to"), &ret->to, e) : rc;
}

static int take_json(const struct label_names *n, struct bytes first, struct label_declass *ret,
                     struct err *e)
{
    struct buf json;
    struct json_doc *doc = NULL;
    struct err inner = {0};
    buf_init(&json, LABEL_DECLASS_TEXT_MAX);
    int rc = base64url_parse(&json, first);
    if (rc == 0)
        rc = json_parse(&doc, buf_bytes(&json), JSON_UNIQUE, &inner);
    if (rc == E_NOMEM)
        (void)err_set(e, rc, "no memory for a declassification");
    else if (rc != 0)
        rc = bad(inner.code ? inner.text : "expected base64url", e);
    else
        rc = take_members(n, json_root(doc), ret, e);
    json_free(doc);
    buf_fini(&json);
    return rc;
}

static int take_sig(struct bytes text, uint8_t ret[LABEL_SIG_LEN], struct err *e)
{
    struct buf sig;
    buf_init(&sig, LABEL_SIG_LEN);
    int rc = base64url_parse(&sig, text);
    if (rc == 0 && sig.n == LABEL_SIG_LEN)
        memcpy(ret, sig.p, LABEL_SIG_LEN);
    else if (rc == E_NOMEM)
        (void)err_set(e, rc, "no memory for a declassification");
    else
        rc = bad("expected a signature of 64 bytes behind the dot", e);
    buf_fini(&sig);
    return rc;
}

int label_declass_parse(const struct label_names *n, struct bytes text, struct label_declass *ret,
                        struct bytes *ret_first, uint8_t ret_sig[LABEL_SIG_LEN], struct err *e)
{
    struct label_declass d = {0};
    uint8_t sig[LABEL_SIG_LEN];
    struct bytes rest = text, first = bytes_cut(&rest, '.');
    if (text.n > LABEL_DECLASS_TEXT_MAX || !rest.p)
        return bad("expected base64url(JSON).base64url(signature)", e);
    int rc = take_sig(rest, sig, e);
    if (rc == 0)
        rc = take_json(n, first, &d, e);
    if (rc != 0)
        return rc;
    if (ret)
        *ret = d;
    if (ret_first)
        *ret_first = first;
    if (ret_sig)
        memcpy(ret_sig, sig, sizeof sig);
    return 0;
}

// Said with both labels, as each refusal is.
static int no(const struct label_names *n, struct label now, const struct label_declass *d,
              const char *why, struct err *e)
{
    struct buf from, to;
    buf_init(&from, LABEL_TEXT_MAX);
    buf_init(&to, LABEL_TEXT_MAX);
    label_put(&from, n, now);
    label_put(&to, n, d->to);
    (void)err_set(e, E_SECURITY,
                  "SecurityViolationError: the label %.320s may not be lowered to %.320s: %s",
                  buf_cstr(&from), buf_cstr(&to), why);
    buf_fini(&from);
    buf_fini(&to);
    return E_SECURITY;
}

// The labels are looked at by label_decide: one place says what may be.
static int decide(const struct label_names *n, const struct label_declass *d,
                  const struct label_declass_args *a, struct label clearance, struct err *e)
{
    if (a->label.level != d->from.level || a->label.compartments != d->from.compartments)
        return no(n, a->label, d, "the statement is about data with another label", e);
    struct label_crossing x = {.op = LABEL_DECLASSIFY,
                               .data = a->label,
                               .clearance = clearance,
                               .to = d->to,
                               .names = n,
                               .what = "the data",
                               .who = "the key that signed"};
    return label_decide(&x, e);
}

int label_declass_check(const struct label_names *n, struct bytes text,
                        const struct label_declass_args *a, struct label_declass *ret,
                        struct err *e)
{
    struct label_declass d;
    struct err why = {0};
    struct label clearance = {0};
    struct bytes first;
    struct buf mark;
    uint8_t sig[LABEL_SIG_LEN], hash[SHA256_LEN];
    int64_t now_s = a->wall_ms / 1000;
    int rc = label_declass_parse(n, text, &d, &first, sig, e);
    if (rc != 0)
        return rc;
    buf_init(&mark, sizeof LABEL_DECLASS_MARK + LABEL_DECLASS_TEXT_MAX);
    rc = label_declass_mark(&mark, first);
    if (rc != 0)
        (void)err_set(e, rc, "no memory for a declassification");
    else
        rc = a->verify(a->user, bytes_of(d.who), buf_bytes(&mark), sig, &clearance, &why);
    buf_fini(&mark);
    if (rc != 0)
        return why.code ? no(n, a->label, &d, why.text, e) : rc;
    sha256_sum(a->data, hash);
    if (memcmp(hash, d.data, sizeof hash) != 0)
        return no(n, a->label, &d, "the statement is about other data", e);
    if (d.at_s > now_s + LABEL_DECLASS_SKEW_S)
        return no(n, a->label, &d, "the statement is of a time to come", e);
    if (d.expires_s <= now_s)
        return no(n, a->label, &d, "the statement has expired", e);
    rc = decide(n, &d, a, clearance, e);
    if (rc == 0)
        *ret = d;
    return rc;
}
