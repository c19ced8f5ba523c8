// act_auth.c: authentication of a request: basic and bearer at once, digest when challenged,
// tokens from a server (act_oauth.c). Policies may name a secret that holds them ("use").
// SPDX-License-Identifier: Apache-2.0
#include "acts/acts_priv.h"
#include "text/cloudevent.h"

#include <string.h>

static void wipe(struct buf *b)
{
    if (b->p)
        mem_wipe(b->p, b->n);
    buf_fini(b);
}

int act_auth_set(struct act_auth *x, const char *scheme, struct bytes parameter)
{
    struct act *a = x->act;
    struct err e = {0};
    struct buf value;
    buf_init(&value, (size_t)32 << 10);
    wipe(&x->header);
    buf_init(&x->header, (size_t)32 << 10);
    (void)buf_fmt(&value, "%s ", scheme);
    (void)buf_put(&value, parameter);
    int rc = value.failed
                 ? err_set(&e, E_TOOBIG, "the authentication is longer than 32 KiB")
                 : act_header_put(&x->header, BYTES("Authorization"), buf_bytes(&value), &e);
    wipe(&value);
    val_unref(x->authorization);
    struct val *secret = val_str(parameter);
    x->authorization = val_put_cstr(val_put_cstr(val_obj(), "scheme", val_cstr(scheme)),
                                    "parameter", secret ? val_ref(secret) : NULL);
    a->fresh = val_push(a->fresh ? a->fresh : val_arr(), secret);
    if (rc == 0 && (!x->authorization || !a->fresh || act_hide(a, parameter) < 0))
        rc = err_set(&e, E_NOMEM, "out of memory");
    if (rc < 0)
        act_fail(a, rc == E_NOMEM ? ACT_RUNTIME : ACT_CONFIGURATION, 0, rc != E_NOMEM, "%s",
                 rc == E_INVALID ? "the authentication has a line break or a control character"
                                 : e.text);
    return rc;
}

// What the policy says, as text; a number is one too.
static bool part(struct act_auth *x, const char *name, struct buf *out)
{
    char room[32];
    struct bytes text = act_scalar(val_get_cstr(x->policy, name), room);
    buf_init(out, (size_t)16 << 10);
    if (!text.p)
        return false;
    (void)buf_put(out, text);
    return !out->failed;
}

static bool user_and_password(struct act_auth *x, const char *scheme)
{
    wipe(&x->user);
    wipe(&x->password);
    if (!part(x, "username", &x->user) || !part(x, "password", &x->password)) {
        act_fail(x->act, ACT_CONFIGURATION, 0, true,
                 "authentication %s needs username and password", scheme);
        return false;
    }
    if (act_hide(x->act, buf_bytes(&x->password)) < 0) {
        act_nomem(x->act);
        return false;
    }
    return true;
}

static void basic(struct act_auth *x)
{
    struct buf pair, text;
    if (!user_and_password(x, "basic"))
        return;
    buf_init(&pair, (size_t)32 << 10);
    buf_init(&text, (size_t)64 << 10);
    (void)buf_put(&pair, buf_bytes(&x->user));
    (void)buf_chr(&pair, ':');
    (void)buf_put(&pair, buf_bytes(&x->password));
    (void)cloudevent_put_base64(&text, buf_bytes(&pair));
    int rc = act_auth_set(x, "Basic", buf_bytes(&text));
    wipe(&pair);
    wipe(&text);
    if (rc == 0)
        x->then(x->act, x);
}

static void bearer(struct act_auth *x)
{
    struct buf token;
    if (!part(x, "token", &token)) {
        act_fail(x->act, ACT_CONFIGURATION, 0, true, "authentication bearer needs a token");
        buf_fini(&token);
        return;
    }
    int rc = act_auth_set(x, "Bearer", bytes_trim(buf_bytes(&token)));
    wipe(&token);
    if (rc == 0)
        x->then(x->act, x);
}

static void digest(struct act_auth *x)
{
    if (!user_and_password(x, "digest"))
        return;
    x->digest = true;
    x->then(x->act, x);
}

static void oauth2(struct act_auth *x)
{
    x->token = true;
    act_oauth(x);
}

static void oidc(struct act_auth *x)
{
    x->token = x->oidc = true;
    act_oauth(x);
}

static const struct scheme {
    const char *name, *text; // text: the member that a secret without members is
    bool server;             // tokens come from one: its secret must be an object
    void (*begin)(struct act_auth *x);
} schemes[] = {
    {"basic", NULL, false, basic},   {"bearer", "token", false, bearer},
    {"digest", NULL, false, digest}, {"oauth2", NULL, true, oauth2},
    {"oidc", NULL, true, oidc},
};

// The secret's value is the policy: an object with its members, or a bare text.
static struct val *of_secret(struct act_auth *x, const struct scheme *s, struct val *v)
{
    struct val *made;
    struct act *a = x->act;
    if (val_is(v, JSON_OBJ))
        return val_ref(v);
    struct bytes text = val_bytes(v);
    ptrdiff_t colon = bytes_chr(text, ':');
    if (s->text && text.n) {
        made = val_put_cstr(val_obj(), s->text, val_ref(v));
    } else if (!s->text && colon >= 0 && !s->server) {
        struct val *user = val_str(bytes_first(text, (size_t)colon));
        struct val *word = val_str(bytes_from(text, (size_t)colon + 1));
        struct val *keep = word ? val_ref(word) : NULL;
        a->fresh = val_push(a->fresh ? a->fresh : val_arr(), keep);
        made = val_put_cstr(val_put_cstr(val_obj(), "username", user), "password", word);
    } else {
        act_fail(a, ACT_CONFIGURATION, 0, true,
                 "the secret of authentication %s must be a JSON object with its members", s->name);
        return NULL;
    }
    if (!made)
        act_nomem(a);
    return made;
}

void act_auth(struct act *a, struct act_auth *x, const struct val *policy,
              void (*then)(struct act *a, struct act_auth *x))
{
    x->act = a;
    x->then = then;
    if (!policy || val_is(policy, JSON_NULL)) {
        then(a, x);
        return;
    }
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        struct val *v = val_get_cstr(policy, schemes[i].name);
        if (!v)
            continue;
        // A policy that is a secret comes as its value: {"bearer": TEXT} or {"bearer":
        // {"token"...}}.
        struct val *use = val_is(v, JSON_OBJ) ? val_get_cstr(v, "use") : v;
        val_unref(x->policy);
        x->policy = use ? of_secret(x, &schemes[i], use) : val_ref(v);
        if (x->policy)
            schemes[i].begin(x);
        return;
    }
    struct bytes use = val_bytes(val_is(policy, JSON_STR) ? policy : val_get_cstr(policy, "use"));
    if (use.n)
        act_fail(a, ACT_CONFIGURATION, 0, true,
                 "authentication \"%.*s\" is not in use.authentications", BYTES_FMT(use));
    else if (val_get_cstr(policy, "certificate"))
        act_fail(a, ACT_CONFIGURATION, 501, true,
                 "authentication certificate: the DSL does not say yet what is in it");
    else
        act_fail(a, ACT_CONFIGURATION, 0, true,
                 "authentication: one of basic, bearer, digest, oauth2, oidc is needed");
}

void act_auth_again(struct act_auth *x, void (*then)(struct act *a, struct act_auth *x))
{
    act_token_drop(x->act->room, x->kept);
    x->then = then;
    act_oauth(x);
}

void act_auth_fini(struct act_auth *x)
{
    struct buf *const bufs[] = {&x->header, &x->user, &x->password, &x->nonce};
    act_oauth_free(x->oauth);
    for (size_t i = 0; i < sizeof bufs / sizeof *bufs; i++)
        wipe(bufs[i]);
    val_unref(x->policy);
    val_unref(x->authorization);
    *x = (struct act_auth){0};
}
