// mcpd_state.c: requestState (2026-07-28, "Multi Round-Trip Requests"): what a client has answered
// so far, sealed with a key of this process, for this caller, this request and a short time.
// Nothing is kept here between two rounds. SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "crypto/base64url.h"
#include "crypto/hash.h"
#include "toolbox/mcpd_priv.h"

#define DIGEST_LEN (2 * SHA256_LEN + 1)

// Of what makes the request: its method, its name and its arguments.
static int digest(const struct mcpd_call *c, char ret[DIGEST_LEN])
{
    uint8_t sum[SHA256_LEN];
    struct buf text;
    buf_init(&text, c->m->lim.body_bytes + 4096);
    struct bytes method = bytes_of(mcp_method_text(c->method));
    (void)buf_put(&text, method);
    (void)buf_chr(&text, '\n');
    (void)buf_json_str(&text, mcp_name_of(method, c->params));
    (void)buf_chr(&text, '\n');
    (void)val_write_sorted(&text, c->input);
    int rc = text.failed;
    sha256_sum(buf_bytes(&text), sum);
    crypto_hex(sum, sizeof(sum), ret);
    buf_fini(&text);
    return rc;
}

int mcpd_state_write(const struct mcpd_call *c, struct buf *out)
{
    char sum[DIGEST_LEN];
    uint8_t mac[HMAC_LEN];
    struct buf text;
    int rc = digest(c, sum);
    if (rc < 0)
        return rc;
    buf_init(&text, MCPD_STATE_MAX);
    struct val *v = val_put_cstr(val_obj(), "until",
                                 val_int(timers_now_ms(c->m->args.timers) + c->m->lim.state_ms));
    v = val_put_cstr(v, "who", val_cstr(c->who.name));
    v = val_put_cstr(v, "request", val_cstr(sum));
    v = val_put_cstr(v, "answers", c->answers ? val_ref(c->answers) : val_obj());
    rc = v ? val_write(&text, v) : E_NOMEM;
    val_unref(v);
    if (rc == 0 && !text.failed) {
        hmac_with(&c->m->state_key, buf_bytes(&text), mac);
        (void)base64url_put(out, buf_bytes(&text));
        (void)buf_chr(out, '.');
        (void)base64url_put(out, (struct bytes){(const char *)mac, sizeof(mac)});
        rc = out->failed;
    }
    buf_fini(&text);
    return rc;
}

static bool sealed(const struct mcpd_call *c, struct bytes state, struct buf *text)
{
    struct buf mac;
    struct bytes first = bytes_cut(&state, '.');
    buf_init(&mac, 64);
    bool fits = base64url_parse(text, first) == 0 && base64url_parse(&mac, state) == 0 &&
                mac.n == HMAC_LEN && hmac_fits(&c->m->state_key, buf_bytes(text), buf_bytes(&mac));
    buf_fini(&mac);
    return fits;
}

static int state_open(struct mcpd_call *c, struct bytes state, struct err *e)
{
    char sum[DIGEST_LEN];
    AUTO(val) v = NULL;
    struct buf text;
    buf_init(&text, MCPD_STATE_MAX);
    int rc = 0;
    if (!sealed(c, state, &text) || val_parse(&v, buf_bytes(&text), NULL) < 0)
        rc = err_set(e, E_INVALID, "requestState is not one of this server, or was changed");
    else if (timers_now_ms(c->m->args.timers) >= val_i64(val_get_cstr(v, "until"), 0))
        rc = err_set(e, E_INVALID, "requestState is too old: begin again");
    else if (!bytes_is(val_bytes(val_get_cstr(v, "who")), c->who.name) || digest(c, sum) < 0 ||
             !bytes_is(val_bytes(val_get_cstr(v, "request")), sum))
        rc = err_set(e, E_INVALID, "requestState is of another request");
    else
        c->answers = val_ref(val_get_cstr(v, "answers"));
    buf_fini(&text);
    return rc;
}

int mcpd_state_read(struct mcpd_call *c, struct err *e)
{
    const struct val *state = val_get_cstr(c->params, "requestState");
    const struct val *responses = val_get_cstr(c->params, "inputResponses");
    struct bytes key;
    struct val *v;
    if (state && !val_is(state, JSON_STR))
        return err_set(e, E_INVALID, "requestState must be a text");
    if (responses && !val_is(responses, JSON_OBJ))
        return err_set(e, E_INVALID, "inputResponses must be an object");
    int rc = state ? state_open(c, val_bytes(state), e) : 0;
    if (rc < 0 || !responses)
        return rc;
    if (!c->answers)
        c->answers = val_obj();
    for (size_t at = 0; val_each(responses, &at, &key, &v);) {
        if (!val_is(v, JSON_OBJ))
            return err_set(e, E_INVALID, "inputResponses: %.*s must be an object",
                           BYTES_FMT(bytes_first(key, 64)));
        c->answers = val_put(c->answers, key, val_ref(v));
    }
    return c->answers ? 0 : err_set(e, E_NOMEM, "out of memory");
}
