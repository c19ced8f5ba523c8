// mcpc_token.c: the second half of a login: who this client is, a person's word in the browser, and
// the token for it (OAuth 2.1; RFC 7591, 7636, 8707, 9207). SPDX-License-Identifier: Apache-2.0
#include "base/rng.h"
#include "crypto/base64url.h"
#include "toolbox/mcpc_login_priv.h"

#include <stdio.h>
#include <string.h>

static const char *endpoint(const struct mcpc_login *l, const char *name)
{
    return val_text(val_get_cstr(l->server, name), "");
}

static bool lists(const struct val *v, const char *name, const char *word)
{
    const struct val *list = val_get_cstr(v, name);
    for (size_t i = 0; i < val_len(list); i++)
        if (bytes_is(val_bytes(val_at(list, i)), word))
            return true;
    return false;
}

static char *secret_text(void)
{
    uint8_t raw[32];
    struct buf b;
    rng_bytes(raw, sizeof raw);
    buf_init(&b, 100);
    (void)base64url_put(&b, (struct bytes){(const char *)raw, sizeof raw});
    char *text = buf_take(&b);
    buf_fini(&b);
    return text;
}

static void field(struct buf *out, const char *name, const char *value)
{
    if (!value || !*value)
        return;
    (void)buf_fmt(out, "%s%s=", out->n && out->p[out->n - 1] != '?' ? "&" : "", name);
    (void)url_encode(out, bytes_of(value));
}

static const char *resource(const struct mcpc_login *l)
{
    return val_text(val_get_cstr(l->resource, "resource"), l->srv->conf.url);
}

// ---- the token ---------------------------------------------------------------------------------

static const char *method_of(const struct mcpc_login *l)
{
    const char *said = val_text(val_get_cstr(l->client, "token_endpoint_auth_method"), "");
    bool secret = val_bytes(val_get_cstr(l->client, "client_secret")).n > 0;
    if (!secret)
        return "none";
    if (*said)
        return said;
    return !val_get_cstr(l->server, "token_endpoint_auth_methods_supported") ||
                   lists(l->server, "token_endpoint_auth_methods_supported", "client_secret_basic")
               ? "client_secret_basic"
               : "client_secret_post";
}

static void authorize(struct mcpc_login *l);

static void got_token(struct mcpc_login *l)
{
    struct val *v = NULL;
    bool refresh = l->refreshed && !l->verifier;
    if (l->http != 200 || val_parse(&v, buf_bytes(&l->got), NULL) < 0 ||
        !val_bytes(val_get_cstr(v, "access_token")).n) {
        val_unref(v);
        if (refresh) // it is not good any more: a person must come
            authorize(l);
        else
            mcpc_login_fail(l, "the token endpoint answers HTTP %d", l->http);
        return;
    }
    struct bytes token = val_bytes(val_get_cstr(v, "access_token"));
    for (size_t i = 0; i < token.n; i++)
        if (token.p[i] < 0x21 || token.p[i] > 0x7e) {
            val_unref(v);
            mcpc_login_fail(l, "the token is no token");
            return;
        }
    const struct val *old = val_get_cstr(l->tokens, "refresh_token");
    if (old && !val_get_cstr(v, "refresh_token"))
        v = val_put_cstr(v, "refresh_token", val_ref(val_get_cstr(l->tokens, "refresh_token")));
    v = val_put_cstr(v, "issuer", val_cstr(mcpc_login_issuer(l)));
    val_unref(l->tokens);
    l->tokens = v;
    mcpc_login_set(&l->scope, l->asked_scope ? mem_str(l->asked_scope) : NULL);
    mcpc_login_set(&l->verifier, NULL);
    l->running = l->person = false;
    struct err e = {0};
    if (mcpc_login_save(l, &e) < 0) // it works all the same, until the node ends
        mcpc_event(l->srv, MCPC_LOG, bytes_of(e.text));
    mcpc_srv_start(l->srv);
}

static void ask_token(struct mcpc_login *l)
{
    const char *id = val_text(val_get_cstr(l->client, "client_id"), ""),
               *secret = val_text(val_get_cstr(l->client, "client_secret"), ""),
               *method = method_of(l);
    struct buf basic, pair;
    field(&l->body, "resource", resource(l));
    buf_init(&basic, 4096);
    buf_init(&pair, 4096);
    if (strcmp(method, "client_secret_basic") == 0) {
        (void)url_encode(&pair, bytes_of(id));
        (void)buf_chr(&pair, ':');
        (void)url_encode(&pair, bytes_of(secret));
        (void)mcp_base64(&basic, buf_bytes(&pair));
    } else {
        field(&l->body, "client_id", id);
        if (strcmp(method, "none") != 0)
            field(&l->body, "client_secret", secret);
    }
    mcpc_fetch_url(l, endpoint(l, "token_endpoint"), "application/x-www-form-urlencoded",
                   buf_bytes(&basic), got_token);
    if (pair.p)
        mem_wipe(pair.p, pair.n);
    buf_fini(&basic);
    buf_fini(&pair);
}

// ---- the person's word -------------------------------------------------------------------------

static char *scope_to_ask(const struct mcpc_login *l)
{
    struct buf b;
    buf_init(&b, 4096);
    (void)buf_str(&b, l->asked_scope ? l->asked_scope : "");
    // A token that can be renewed (SEP-2207), where the server has it.
    if (lists(l->server, "scopes_supported", "offline_access") &&
        (!l->asked_scope || !strstr(l->asked_scope, "offline_access")))
        (void)buf_fmt(&b, "%soffline_access", b.n ? " " : "");
    char *text = buf_take(&b);
    buf_fini(&b);
    return text;
}

static void authorize(struct mcpc_login *l)
{
    const char *base = endpoint(l, "authorization_endpoint");
    const char *redirect = l->srv->conf.oauth.redirect_uri;
    uint8_t sum[SHA256_LEN];
    struct buf url, challenge;
    if (strncmp(base, "http", 4) != 0 || !redirect) {
        mcpc_login_fail(l, "there is no way to ask a person");
        return;
    }
    mcpc_login_set(&l->verifier, secret_text());
    mcpc_login_set(&l->state, secret_text());
    char *scope = scope_to_ask(l);
    buf_init(&url, 16384);
    buf_init(&challenge, 100);
    sha256_sum(bytes_of(l->verifier), sum);
    (void)base64url_put(&challenge, (struct bytes){(const char *)sum, sizeof sum});
    (void)buf_fmt(&url, "%s%s", base, strchr(base, '?') ? "&" : "?");
    field(&url, "response_type", "code");
    field(&url, "client_id", val_text(val_get_cstr(l->client, "client_id"), ""));
    field(&url, "redirect_uri", redirect);
    field(&url, "state", l->state);
    field(&url, "code_challenge", buf_cstr(&challenge));
    field(&url, "code_challenge_method", "S256");
    field(&url, "resource", resource(l));
    field(&url, "scope", scope);
    l->person = true;
    mcpc_login_set(&l->page, mem_str(buf_cstr(&url)));
    mcpc_event(l->srv, MCPC_LOGIN, buf_bytes(&url));
    mem_free(scope);
    buf_fini(&url);
    buf_fini(&challenge);
}

// The issuer in the answer: whose code is it? (RFC 9207; by letters, nothing made alike)
static bool issuer_good(const struct mcpc_login *l, struct bytes query)
{
    struct buf iss;
    buf_init(&iss, 4096);
    bool has = url_query(query, "iss", &iss);
    bool must = val_bool_of(
        val_get_cstr(l->server, "authorization_response_iss_parameter_supported"), false);
    bool good = has ? bytes_is(buf_bytes(&iss), mcpc_login_issuer(l)) : !must;
    buf_fini(&iss);
    return good;
}

int mcpc_login_redirected(struct mcpc_login *l, struct bytes query, struct err *e)
{
    struct buf code, text;
    buf_init(&code, 4096);
    buf_init(&text, 500);
    l->person = false;
    mcpc_login_set(&l->state, NULL); // once
    int rc = 0;
    if (!issuer_good(l, query)) {
        rc = err_set(e, E_SECURITY, "the answer comes from another authorization server");
        mcpc_login_fail(l, "the answer comes from another authorization server");
    } else if (url_query(query, "error", &text) || !url_query(query, "code", &code)) {
        rc = err_set(e, E_FORBIDDEN, "the authorization server says no: %.200s", buf_cstr(&text));
        mcpc_login_fail(l, "the authorization server says no: %.200s", buf_cstr(&text));
    } else {
        buf_clear(&l->body);
        field(&l->body, "grant_type", "authorization_code");
        field(&l->body, "code", buf_cstr(&code));
        field(&l->body, "redirect_uri", l->srv->conf.oauth.redirect_uri);
        field(&l->body, "code_verifier", l->verifier);
        ask_token(l);
    }
    buf_fini(&code);
    buf_fini(&text);
    return rc;
}

// ---- who this client is ------------------------------------------------------------------------

static void go_on(struct mcpc_login *l)
{
    const struct val *issuer = val_get_cstr(l->tokens, "issuer");
    const char *token = val_text(val_get_cstr(l->tokens, "refresh_token"), "");
    if (*token && !l->refreshed && bytes_is(val_bytes(issuer), mcpc_login_issuer(l))) {
        l->refreshed = true;
        mcpc_login_set(&l->verifier, NULL);
        buf_clear(&l->body);
        field(&l->body, "grant_type", "refresh_token");
        field(&l->body, "refresh_token", token);
        ask_token(l);
        return;
    }
    val_unref(l->tokens);
    l->tokens = NULL;
    authorize(l);
}

static void client_set(struct mcpc_login *l, struct val *takes_client)
{
    val_unref(l->client);
    l->client = val_put_cstr(takes_client, "issuer", val_cstr(mcpc_login_issuer(l)));
    go_on(l);
}

static void registered(struct mcpc_login *l)
{
    struct val *v = NULL;
    if ((l->http != 200 && l->http != 201) || val_parse(&v, buf_bytes(&l->got), NULL) < 0 ||
        !val_bytes(val_get_cstr(v, "client_id")).n) {
        val_unref(v);
        mcpc_login_fail(l, "registering this client has HTTP %d", l->http);
        return;
    }
    client_set(l, v);
}

static void do_register(struct mcpc_login *l)
{
    static const char *const methods[] = {"none", "client_secret_basic", "client_secret_post"};
    const char *method = "client_secret_basic"; // where nothing is said (RFC 8414)
    for (size_t i = 3; i-- > 0;)
        if (lists(l->server, "token_endpoint_auth_methods_supported", methods[i]))
            method = methods[i];
    struct val *v = val_put_cstr(val_obj(), "client_name", val_cstr("plexus"));
    v = val_put_cstr(v, "redirect_uris",
                     val_push(val_arr(), val_cstr(l->srv->conf.oauth.redirect_uri)));
    v = val_put_cstr(
        v, "grant_types",
        val_push(val_push(val_arr(), val_cstr("authorization_code")), val_cstr("refresh_token")));
    v = val_put_cstr(v, "response_types", val_push(val_arr(), val_cstr("code")));
    v = val_put_cstr(v, "token_endpoint_auth_method", val_cstr(method));
    v = val_put_cstr(v, "application_type", val_cstr("native"));
    buf_clear(&l->body);
    (void)val_write(&l->body, v);
    val_unref(v);
    mcpc_fetch_url(l, endpoint(l, "registration_endpoint"), "application/json", BYTES_NONE,
                   registered);
}

void mcpc_login_client(struct mcpc_login *l)
{
    const struct mcpc_oauth *o = &l->srv->conf.oauth;
    bool document =
        val_bool_of(val_get_cstr(l->server, "client_id_metadata_document_supported"), false);
    // What was registered at another authorization server is nothing here (SEP-2352).
    bool same = bytes_is(val_bytes(val_get_cstr(l->client, "issuer")), mcpc_login_issuer(l));
    if (!o->redirect_uri)
        mcpc_login_fail(l, "it wants a person's login, and no redirect address is configured");
    else if (l->client && same)
        go_on(l);
    else if (o->client_id)
        client_set(l, val_put_cstr(val_put_cstr(val_obj(), "client_id", val_cstr(o->client_id)),
                                   "client_secret",
                                   val_cstr(o->client_secret ? o->client_secret : "")));
    else if (document && o->metadata_url)
        client_set(l, val_put_cstr(val_obj(), "client_id", val_cstr(o->metadata_url)));
    else if (*endpoint(l, "registration_endpoint"))
        do_register(l);
    else
        mcpc_login_fail(l, "the authorization server knows no client of this node, and takes none");
}
