// act_oauth.c: tokens from a server (RFC 6749, RFC 7523, RFC 8693; OpenID Connect discovery): asked
// for when needed, kept until they end.
// SPDX-License-Identifier: Apache-2.0
#include "acts/acts_priv.h"
#include "base/rng.h"
#include "crypto/base64url.h"
#include "crypto/hmac.h"
#include "text/cloudevent.h"
#include "text/url.h"

#include <stdio.h>
#include <string.h>

#define TOKENS_MAX 256
#define EARLY_MS 20000 // a token that ends soon is not used any more
#define UNSAID_MS 60000 // how long one is kept that does not say
#define ANSWER_MAX ((size_t)1 << 20)
#define ASSERTION_S 60
#define JWT_TYPE "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
#define EXCHANGE "urn:ietf:params:oauth:grant-type:token-exchange"

struct act_token { // kept
    struct list link;
    char name[65];
    struct buf scheme, value;
    int64_t until_ms;
};

struct act_oauth {
    struct act_auth *x;
    struct act_fetch *fetch;
    struct buf endpoint; // of tokens
};

static void wipe(struct buf *b)
{
    if (b->p)
        mem_wipe(b->p, b->n);
    buf_fini(b);
}

// ---- kept tokens -------------------------------------------------------------------------------

static void token_free(struct acts_room *r, struct act_token *t)
{
    list_del(&t->link);
    r->token_count--;
    wipe(&t->scheme);
    wipe(&t->value);
    mem_free(t);
}

void act_tokens_free(struct acts_room *r)
{
    while (!list_empty(&r->tokens))
        token_free(r, container_of(r->tokens.next, struct act_token, link));
}

static struct act_token *token_get(struct acts_room *r, const char *name)
{
    int64_t now = timers_now_ms(r->args.timers);
    list_each_safe (it, &r->tokens) {
        struct act_token *t = container_of(it, struct act_token, link);
        if (t->until_ms <= now)
            token_free(r, t);
        else if (strcmp(t->name, name) == 0)
            return t;
    }
    return NULL;
}

void act_token_drop(struct acts_room *r, const char *name)
{
    struct act_token *t = token_get(r, name);
    if (t)
        token_free(r, t);
}

static void token_keep(struct acts_room *r, const char *name, const char *scheme,
                       struct bytes value, int64_t ms)
{
    struct act_token *t = ms > EARLY_MS ? mem_new(struct act_token) : NULL;
    act_token_drop(r, name);
    if (!t)
        return; // it is asked for again
    if (r->token_count >= TOKENS_MAX)
        token_free(r, container_of(r->tokens.next, struct act_token, link));
    (void)snprintf(t->name, sizeof t->name, "%s", name);
    buf_init(&t->scheme, 64);
    buf_init(&t->value, (size_t)32 << 10);
    (void)buf_str(&t->scheme, scheme);
    (void)buf_put(&t->value, value);
    t->until_ms = timers_now_ms(r->args.timers) + ms - EARLY_MS;
    list_add_tail(&r->tokens, &t->link);
    r->token_count++;
    if (t->scheme.failed || t->value.failed)
        token_free(r, t);
}

// Two policies with the same words share a token; the name does not tell them.
static int name_of(struct act_auth *x)
{
    struct buf text;
    uint8_t sum[SHA256_LEN];
    buf_init(&text, (size_t)1 << 20);
    (void)buf_chr(&text, x->oidc ? 'o' : 'a');
    (void)val_write_sorted(&text, x->policy);
    int rc = text.failed;
    if (rc == 0) {
        sha256_sum(buf_bytes(&text), sum);
        crypto_hex(sum, sizeof sum, x->kept);
    }
    wipe(&text);
    return rc;
}

// ---- the request -------------------------------------------------------------------------------

static struct val *put(struct val *params, const char *name, const struct val *v)
{
    return v && !val_is(v, JSON_NULL)
               ? val_put_cstr(params, name, val_ref((struct val *)(uintptr_t)v))
               : params;
}

// ["a","b"] as "a b".
static struct val *put_words(struct val *params, const char *name, const struct val *list)
{
    struct buf text;
    char room[32];
    if (!val_is(list, JSON_ARR))
        return put(params, name, list);
    buf_init(&text, (size_t)16 << 10);
    for (size_t i = 0; i < val_len(list); i++) {
        if (i)
            (void)buf_chr(&text, ' ');
        (void)buf_put(&text, act_scalar(val_at(list, i), room));
    }
    if (text.n)
        params = val_put_cstr(params, name, text.failed ? NULL : val_str(buf_bytes(&text)));
    buf_fini(&text);
    return params;
}

// RFC 7523: a JWT under the client's secret.
static struct val *secret_jwt(struct act_oauth *o, struct bytes id, struct bytes secret)
{
    struct acts_args *room = &o->x->act->room->args;
    int64_t now = (room->wall_ms ? room->wall_ms(room->user) : time_wall_ms()) / 1000;
    char jti[RNG_ID_LEN + 1];
    uint8_t mac[HMAC_LEN];
    struct buf claims, jwt;
    rng_id(jti);
    buf_init(&claims, (size_t)16 << 10);
    buf_init(&jwt, (size_t)32 << 10);
    (void)buf_str(&claims, "{\"iss\":");
    (void)buf_json_str(&claims, id);
    (void)buf_str(&claims, ",\"sub\":");
    (void)buf_json_str(&claims, id);
    (void)buf_str(&claims, ",\"aud\":");
    (void)buf_json_str(&claims, buf_bytes(&o->endpoint));
    (void)buf_fmt(&claims, ",\"jti\":\"%s\",\"iat\":%lld,\"exp\":%lld}", jti, (long long)now,
                  (long long)now + ASSERTION_S);
    (void)base64url_put(&jwt, BYTES("{\"alg\":\"HS256\",\"typ\":\"JWT\"}"));
    (void)buf_chr(&jwt, '.');
    (void)base64url_put(&jwt, buf_bytes(&claims));
    hmac_sum(secret, buf_bytes(&jwt), mac);
    (void)buf_chr(&jwt, '.');
    (void)base64url_put(&jwt, (struct bytes){(const char *)mac, sizeof mac});
    struct val *v = claims.failed || jwt.failed ? NULL : val_str(buf_bytes(&jwt));
    buf_fini(&claims);
    wipe(&jwt);
    return v;
}

static int basic_line(struct buf *lines, struct bytes id, struct bytes secret)
{
    struct buf pair;
    buf_init(&pair, (size_t)32 << 10);
    (void)url_encode(&pair, id); // RFC 6749, section 2.3.1
    (void)buf_chr(&pair, ':');
    (void)url_encode(&pair, secret);
    (void)buf_str(lines, "Authorization: Basic ");
    (void)cloudevent_put_base64(lines, buf_bytes(&pair));
    int rc = pair.failed ? pair.failed : buf_str(lines, "\r\n");
    wipe(&pair);
    return rc;
}

static struct val *put_assertion(struct val *params, struct val *takes_jwt)
{
    params = val_put_cstr(params, "client_assertion_type", val_cstr(JWT_TYPE));
    return val_put_cstr(params, "client_assertion", takes_jwt);
}

// Who asks: the client, by its way of authentication. false: the act has ended.
static bool put_client(struct act_oauth *o, struct val **params, struct buf *lines)
{
    struct act *a = o->x->act;
    const struct val *client = val_get_cstr(o->x->policy, "client");
    struct val *id = val_get_cstr(client, "id"), *secret = val_get_cstr(client, "secret");
    const char *how = val_text(val_get_cstr(client, "authentication"), "client_secret_post");
    const char *missing = NULL;
    if (strcmp(how, "none") != 0 && !val_is(id, JSON_STR))
        missing = "id";
    else if (strncmp(how, "client_secret", 13) == 0 && strcmp(how, "client_secret_post") != 0 &&
             !val_is(secret, JSON_STR))
        missing = "secret";
    if (missing) {
        act_fail(a, ACT_CONFIGURATION, 0, true, "oauth2: client.%s is needed for %s", missing, how);
        return false;
    }
    (void)act_hide(a, val_bytes(secret));
    if (strcmp(how, "client_secret_basic") == 0)
        return basic_line(lines, val_bytes(id), val_bytes(secret)) == 0;
    *params = put(*params, "client_id", id);
    if (strcmp(how, "client_secret_post") == 0)
        *params = put(*params, "client_secret", secret);
    else if (strcmp(how, "client_secret_jwt") == 0)
        *params = put_assertion(*params, secret_jwt(o, val_bytes(id), val_bytes(secret)));
    else if (strcmp(how, "private_key_jwt") == 0 &&
             val_is(val_get_cstr(client, "assertion"), JSON_STR))
        *params = put_assertion(*params, val_ref(val_get_cstr(client, "assertion")));
    else if (strcmp(how, "none") != 0) {
        act_fail(a, ACT_CONFIGURATION, 0, true,
                 strcmp(how, "private_key_jwt") == 0
                     ? "oauth2: private_key_jwt needs client.assertion"
                     : "oauth2: client.authentication \"%.60s\" is not known",
                 how);
        return false;
    }
    return true;
}

static bool put_grant(struct act_oauth *o, struct val **params)
{
    struct act *a = o->x->act;
    const struct val *p = o->x->policy, *subject = val_get_cstr(p, "subject"),
                     *actor = val_get_cstr(p, "actor");
    const char *grant = val_text(val_get_cstr(p, "grant"), "client_credentials");
    *params = val_put_cstr(*params, "grant_type", val_cstr(grant));
    if (strcmp(grant, "password") == 0) {
        *params = put(*params, "username", val_get_cstr(p, "username"));
        *params = put(*params, "password", val_get_cstr(p, "password"));
        (void)act_hide(a, val_bytes(val_get_cstr(p, "password")));
    } else if (strcmp(grant, "refresh_token") == 0) {
        *params = put(*params, "refresh_token", val_get_cstr(subject, "token"));
    } else if (strcmp(grant, EXCHANGE) == 0) {
        *params = put(*params, "subject_token", val_get_cstr(subject, "token"));
        *params = put(*params, "subject_token_type", val_get_cstr(subject, "type"));
        *params = put(*params, "actor_token", val_get_cstr(actor, "token"));
        *params = put(*params, "actor_token_type", val_get_cstr(actor, "type"));
    } else if (strcmp(grant, "client_credentials") != 0) {
        act_fail(a, ACT_CONFIGURATION, 0, true,
                 strcmp(grant, "authorization_code") == 0
                     ? "oauth2: grant %s needs a person at a browser: a flow has none"
                     : "oauth2: grant \"%.80s\" is not known",
                 grant);
        return false;
    }
    (void)act_hide(a, val_bytes(val_get_cstr(subject, "token")));
    (void)act_hide(a, val_bytes(val_get_cstr(actor, "token")));
    *params = put_words(*params, "scope", val_get_cstr(p, "scopes"));
    *params = put_words(*params, "audience", val_get_cstr(p, "audiences"));
    return true;
}

static void put_params(struct buf *body, struct buf *lines, const struct val *params, bool json)
{
    struct buf form;
    size_t at = 0;
    struct bytes key;
    struct val *v;
    (void)buf_str(lines, "Accept: application/json\r\nUser-Agent: plexus/" PLEXUS_VERSION "\r\n");
    (void)buf_fmt(lines, "Content-Type: application/%s\r\n",
                  json ? "json" : "x-www-form-urlencoded");
    if (json) {
        (void)val_write(body, params);
        return;
    }
    buf_init(&form, body->max);
    (void)buf_chr(&form, '?');
    while (val_is(params, JSON_OBJ) && val_each(params, &at, &key, &v))
        (void)act_query_put(&form, key, v);
    (void)buf_put(body, bytes_from(buf_bytes(&form), 2)); // without the "?&"
    wipe(&form);
}

static void on_token(struct act_fetch *f, int status, const struct err *e);

static void fetch(struct act_oauth *o, const char *method, struct bytes url, struct bytes lines,
                  struct buf *body,
                  void (*on_end)(struct act_fetch *f, int status, const struct err *e))
{
    struct act *a = o->x->act;
    struct err e = {0};
    act_fetch_free(o->fetch);
    o->fetch = NULL;
    int rc = act_fetch(a->room,
                       &(struct act_fetch_args){.method = bytes_of(method),
                                                .url = url,
                                                .headers = lines,
                                                .body = body,
                                                .redirects = body ? 0 : 5,
                                                .body_bytes_max = ANSWER_MAX,
                                                .first_byte_ms = 60000,
                                                .silence_ms = 60000,
                                                .on_end = on_end,
                                                .user = o},
                       &o->fetch, &e);
    if (rc < 0) {
        (void)err_wrap(&e, "the token's server");
        act_fail_err(a, rc, &e);
    }
}

static void ask_token(struct act_oauth *o)
{
    struct act *a = o->x->act;
    struct val *params = val_obj();
    struct buf lines, body;
    buf_init(&lines, (size_t)64 << 10);
    buf_init(&body, (size_t)1 << 20);
    bool json =
        bytes_is(val_bytes(val_ptr(o->x->policy, BYTES("/request/encoding"))), "application/json");
    bool good = put_grant(o, &params) && put_client(o, &params, &lines);
    if (good)
        put_params(&body, &lines, params, json);
    if (good && (!params || lines.failed || body.failed))
        act_nomem(a);
    else if (good)
        fetch(o, "POST", buf_bytes(&o->endpoint), buf_bytes(&lines), &body, on_token);
    val_unref(params);
    wipe(&lines);
    wipe(&body);
}

// ---- the answer --------------------------------------------------------------------------------

static bool arrived(struct act_oauth *o, const struct act_fetch *f, int status, const struct err *e,
                    struct val **ret)
{
    struct act *a = o->x->act;
    struct val *v = NULL;
    if (a->ended)
        return false;
    if (status < 0) {
        struct err own = *e;
        (void)err_wrap(&own, "the token's server %.*s", BYTES_FMT(buf_bytes(&f->url)));
        act_fail_err(a, status, &own);
        return false;
    }
    (void)val_parse(&v, buf_bytes(&f->body), NULL);
    if (f->status >= 200 && f->status < 300 && val_is(v, JSON_OBJ)) {
        *ret = v;
        return true;
    }
    bool server = f->status >= 500;
    act_fail(a, server ? ACT_COMMUNICATION : ACT_AUTHENTICATION, server ? f->status : 0, !server,
             "the token's server %.*s answered %d%s%s %s", BYTES_FMT(buf_bytes(&f->url)), f->status,
             v ? ": " : "", val_text(val_get_cstr(v, "error"), ""),
             val_text(val_get_cstr(v, "error_description"), ""));
    val_unref(v);
    return false;
}

// The issuer that a JWT names must be one of the policy's. The token's server is trusted by TLS:
// its signature is for who gets the token.
static bool issuer_fits(struct act_oauth *o, struct bytes token)
{
    const struct val *issuers = val_get_cstr(o->x->policy, "issuers");
    struct bytes rest = token;
    struct buf json;
    AUTO(val) claims = NULL;
    if (!val_is(issuers, JSON_ARR) || val_len(issuers) == 0)
        return true;
    (void)bytes_cut(&rest, '.');
    buf_init(&json, (size_t)64 << 10);
    if (base64url_parse(&json, bytes_cut(&rest, '.')) == 0)
        (void)val_parse(&claims, buf_bytes(&json), NULL);
    wipe(&json);
    struct bytes iss = val_bytes(val_get_cstr(claims, "iss"));
    for (size_t i = 0; i < val_len(issuers); i++)
        if (iss.n && bytes_eq(iss, val_bytes(val_at(issuers, i))))
            return true;
    act_fail(o->x->act, ACT_AUTHENTICATION, 0, true,
             "the token was issued by \"%.*s\", which is none of the policy's issuers",
             BYTES_FMT(bytes_first(iss, 200)));
    return false;
}

static void on_token(struct act_fetch *f, int status, const struct err *e)
{
    struct act_oauth *o = f->user;
    struct act_auth *x = o->x;
    struct act *a = x->act;
    AUTO(val) v = NULL;
    if (!arrived(o, f, status, e, &v))
        return;
    struct bytes token = val_bytes(val_get_cstr(v, "access_token"));
    const char *type = val_text(val_get_cstr(v, "token_type"), "Bearer");
    const char *scheme = bytes_iis(bytes_of(type), "bearer") || strlen(type) > 40 ? "Bearer" : type;
    if (!token.n) {
        act_fail(a, ACT_AUTHENTICATION, 0, false, "the token's server gave no access_token");
        return;
    }
    if (!issuer_fits(o, token))
        return;
    const struct val *ends = val_get_cstr(v, "expires_in");
    char room[32];
    uint64_t seconds = 0;
    bool said = bytes_u64(act_scalar(ends, room), &seconds) && seconds < 1000000000;
    token_keep(a->room, x->kept, scheme, token, said ? (int64_t)seconds * 1000 : UNSAID_MS);
    int rc = act_auth_set(x, scheme, token);
    act_wipe(steal(&v));
    if (rc == 0)
        x->then(a, x);
}

static void on_discovery(struct act_fetch *f, int status, const struct err *e)
{
    struct act_oauth *o = f->user;
    AUTO(val) v = NULL;
    if (!arrived(o, f, status, e, &v))
        return;
    struct bytes endpoint = val_bytes(val_get_cstr(v, "token_endpoint"));
    if (!endpoint.n) {
        act_fail(o->x->act, ACT_AUTHENTICATION, 0, true, "%.*s names no token_endpoint",
                 BYTES_FMT(buf_bytes(&f->url)));
        return;
    }
    buf_clear(&o->endpoint);
    (void)buf_put(&o->endpoint, endpoint);
    ask_token(o);
}

static void put_path(struct buf *out, struct bytes authority, struct bytes path)
{
    if (bytes_find(path, BYTES("://")) > 0) {
        (void)buf_put(out, path);
        return;
    }
    while (authority.n && authority.p[authority.n - 1] == '/')
        authority.n--;
    (void)buf_put(out, authority);
    if (!path.n || *path.p != '/')
        (void)buf_chr(out, '/');
    (void)buf_put(out, path);
}

void act_oauth(struct act_auth *x)
{
    struct act *a = x->act;
    const struct val *authority = val_get_cstr(x->policy, "authority"), *unused;
    struct bytes base = act_endpoint(authority, &unused);
    struct act_token *kept;
    act_oauth_free(x->oauth);
    x->oauth = NULL;
    if (name_of(x) < 0) {
        act_nomem(a);
        return;
    }
    if ((kept = token_get(a->room, x->kept)) != NULL) {
        if (act_auth_set(x, buf_cstr(&kept->scheme), buf_bytes(&kept->value)) == 0)
            x->then(a, x);
        return;
    }
    if (!base.n) {
        act_fail(a, ACT_CONFIGURATION, 0, true, "authentication %s needs an authority",
                 x->oidc ? "oidc" : "oauth2");
        return;
    }
    struct act_oauth *o = mem_new(struct act_oauth);
    if (!o) {
        act_nomem(a);
        return;
    }
    x->oauth = o;
    o->x = x;
    buf_init(&o->endpoint, (size_t)16 << 10);
    if (x->oidc) {
        put_path(&o->endpoint, base, BYTES("/.well-known/openid-configuration"));
        fetch(o, "GET", buf_bytes(&o->endpoint), BYTES("Accept: application/json\r\n"), NULL,
              on_discovery);
        return;
    }
    struct bytes path = val_bytes(val_ptr(x->policy, BYTES("/endpoints/token")));
    put_path(&o->endpoint, base, path.n ? path : BYTES("/oauth2/token"));
    ask_token(o);
}

void act_oauth_free(struct act_oauth *o)
{
    if (!o)
        return;
    act_fetch_free(o->fetch);
    buf_fini(&o->endpoint);
    mem_free(o);
}
