// mcpc_oauth.c: a login at an MCP server's authorization server: found by the documents of RFC 9728
// and RFC 8414 (2026-07-28, "Authorization Server Discovery").
// SPDX-License-Identifier: Apache-2.0
#include "toolbox/mcpc_login_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRIES_MAX 3 // in one hour: a server that is never content is not asked without an end
#define TRIES_MS 3600000

// ---- its memory --------------------------------------------------------------------------------

void mcpc_login_set(char **to, char *takes)
{
    mem_free(*to);
    *to = takes;
}

static void val_set(struct val **to, struct val *takes)
{
    val_unref(*to);
    *to = takes;
}

static struct mcpc_login *login_of(struct mcpc_srv *s)
{
    struct mcpc_login *l = s->login ? s->login : mem_new(struct mcpc_login);
    if (!l || s->login)
        return l;
    l->srv = s;
    buf_init(&l->target, 8192);
    buf_init(&l->lines, 8192);
    buf_init(&l->body, 65536);
    buf_init(&l->got, 65536);
    s->login = l;
    mcpc_login_load(l);
    return l;
}

static void urls_clear(struct mcpc_login *l)
{
    for (size_t i = 0; i < LOGIN_URLS_MAX; i++)
        mcpc_login_set(&l->urls[i], NULL);
    l->url_count = l->url_at = 0;
}

const char *mcpc_login_page(const struct mcpc_srv *s)
{
    return s->login && s->login->person && s->login->page ? s->login->page : "";
}

void mcpc_login_free(struct mcpc_srv *s)
{
    struct mcpc_login *l = s->login;
    if (!l)
        return;
    mcpc_fetch_stop(l);
    struct buf *const bufs[] = {&l->target, &l->lines, &l->body, &l->got};
    for (size_t i = 0; i < 4; i++) {
        if (bufs[i]->p)
            mem_wipe(bufs[i]->p, bufs[i]->n);
        buf_fini(bufs[i]);
    }
    urls_clear(l);
    char **const texts[] = {&l->issuer,   &l->scope, &l->asked_scope, &l->metadata_url,
                            &l->verifier, &l->state, &l->page};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        mcpc_login_set(texts[i], NULL);
    val_unref(l->resource);
    val_unref(l->server);
    val_unref(l->client);
    val_unref(l->tokens);
    mem_free(l);
    s->login = NULL;
}

void mcpc_login_fail(struct mcpc_login *l, const char *fmt, ...)
{
    char text[400];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    l->running = l->person = false;
    l->srv->state = MCPC_STARTING; // so that those who wait are told
    mcpc_fall(l->srv, E_UNAUTH, "login: %s", text);
}

const char *mcpc_login_issuer(const struct mcpc_login *l)
{
    return val_text(val_get_cstr(l->server, "issuer"), "");
}

// ---- documents ---------------------------------------------------------------------------------

static void add_url(struct mcpc_login *l, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static void add_url(struct mcpc_login *l, const char *fmt, ...)
{
    struct buf b;
    va_list ap;
    buf_init(&b, 8192);
    va_start(ap, fmt);
    (void)buf_vfmt(&b, fmt, ap);
    va_end(ap);
    if (!b.failed && l->url_count < LOGIN_URLS_MAX)
        mcpc_login_set(&l->urls[l->url_count++], buf_take(&b));
    buf_fini(&b);
}

// The next address, or nothing found: then(l) with http 0.
static void next_url(struct mcpc_login *l, void (*then)(struct mcpc_login *l))
{
    buf_clear(&l->body);
    mcpc_fetch_url(l, l->urls[l->url_at++], NULL, BYTES_NONE, then);
}

static struct val *document(const struct mcpc_login *l)
{
    struct val *v = NULL;
    if (l->http == 200 && val_parse(&v, buf_bytes(&l->got), NULL) == 0 && val_is(v, JSON_OBJ))
        return v;
    val_unref(v);
    return NULL;
}

// "https://host:port" of an address, and what follows.
static struct bytes origin_of(struct bytes url, struct bytes *ret_path)
{
    ptrdiff_t at = bytes_find(url, BYTES("://"));
    size_t from = at < 0 ? 0 : (size_t)at + 3;
    ptrdiff_t slash = bytes_chr(bytes_from(url, from), '/');
    size_t n = slash < 0 ? url.n : from + (size_t)slash;
    struct bytes path = bytes_from(url, n);
    ptrdiff_t query = bytes_chr(path, '?');
    path = query < 0 ? path : bytes_first(path, (size_t)query);
    *ret_path = bytes_is(path, "/") ? BYTES_NONE : path;
    return bytes_first(url, n);
}

static void server_found(struct mcpc_login *l)
{
    struct val *v = document(l);
    bool fits = v && (!l->issuer || bytes_is(val_bytes(val_get_cstr(v, "issuer")), l->issuer));
    if (!v && l->url_at < l->url_count) {
        next_url(l, server_found);
        return;
    }
    if (v && !fits) { // RFC 8414, section 3.3
        val_unref(v);
        mcpc_login_fail(l, "the authorization server's document names another issuer");
        return;
    }
    if (!v) {
        mcpc_login_fail(l, "the authorization server has no metadata");
        return;
    }
    val_set(&l->server, v);
    const struct val *pkce = val_get_cstr(v, "code_challenge_methods_supported");
    bool s256 = false;
    for (size_t i = 0; i < val_len(pkce); i++)
        s256 = s256 || bytes_is(val_bytes(val_at(pkce, i)), "S256");
    if (!s256)
        mcpc_login_fail(l, "the authorization server has no PKCE with S256");
    else
        mcpc_login_client(l);
}

static void find_server(struct mcpc_login *l)
{
    struct bytes path, url = bytes_of(l->issuer ? l->issuer : l->srv->conf.url);
    struct bytes origin = origin_of(url, &path);
    urls_clear(l);
    if (!l->issuer) // before RFC 9728 the server itself was it (2025-03-26)
        path = BYTES_NONE;
    add_url(l, "%.*s/.well-known/oauth-authorization-server%.*s", BYTES_FMT(origin),
            BYTES_FMT(path));
    add_url(l, "%.*s/.well-known/openid-configuration%.*s", BYTES_FMT(origin), BYTES_FMT(path));
    if (path.n)
        add_url(l, "%.*s%.*s/.well-known/openid-configuration", BYTES_FMT(origin), BYTES_FMT(path));
    next_url(l, server_found);
}

// What the document says that it speaks for is our server, or a folder above it.
static bool speaks_for(struct bytes resource, struct bytes url)
{
    struct bytes rpath, upath;
    struct bytes ro = origin_of(resource, &rpath), uo = origin_of(url, &upath);
    if (rpath.n && rpath.p[rpath.n - 1] == '/')
        rpath.n--;
    struct bytes below = bytes_from(upath, rpath.n);
    return bytes_ieq(ro, uo) && bytes_starts(upath, rpath) &&
           (!below.n || bytes_starts(below, BYTES("/")));
}

static char *joined(const struct val *list)
{
    struct buf b;
    buf_init(&b, 4096);
    for (size_t i = 0; i < val_len(list); i++)
        (void)buf_fmt(&b, "%s%s", i ? " " : "", val_text(val_at(list, i), ""));
    char *text = buf_take(&b);
    buf_fini(&b);
    return text;
}

static void resource_found(struct mcpc_login *l)
{
    struct val *v = document(l);
    if (!v && l->url_at < l->url_count) {
        next_url(l, resource_found);
        return;
    }
    val_set(&l->resource, v);
    mcpc_login_set(&l->issuer, NULL);
    if (v) {
        struct bytes resource = val_bytes(val_get_cstr(v, "resource"));
        const char *issuer = val_text(val_at(val_get_cstr(v, "authorization_servers"), 0), "");
        if (!speaks_for(resource, bytes_of(l->srv->conf.url))) {
            mcpc_login_fail(l, "its metadata speaks for another resource");
            return;
        }
        if (*issuer)
            mcpc_login_set(&l->issuer, mem_str(issuer));
        const struct val *scopes = val_get_cstr(v, "scopes_supported");
        if (!l->asked_scope && val_len(scopes))
            mcpc_login_set(&l->asked_scope, joined(scopes));
    }
    find_server(l);
}

static void find_resource(struct mcpc_login *l)
{
    struct bytes path, origin = origin_of(bytes_of(l->srv->conf.url), &path);
    urls_clear(l);
    if (l->metadata_url)
        add_url(l, "%s", l->metadata_url);
    add_url(l, "%.*s/.well-known/oauth-protected-resource%.*s", BYTES_FMT(origin), BYTES_FMT(path));
    if (path.n)
        add_url(l, "%.*s/.well-known/oauth-protected-resource", BYTES_FMT(origin));
    next_url(l, resource_found);
}

// ---- the beginning -----------------------------------------------------------------------------

// name="value" or name=value of a challenge (RFC 9110, section 11.2). NULL: it is not there.
static char *challenge_param(struct bytes text, const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; i + n + 1 < text.n; i++) {
        bool start = i == 0 || strchr(" ,\t", text.p[i - 1]) != NULL;
        if (!start || text.p[i + n] != '=' || !bytes_iis(bytes_first(bytes_from(text, i), n), name))
            continue;
        struct bytes rest = bytes_from(text, i + n + 1);
        bool quoted = rest.n && *rest.p == '"';
        if (quoted)
            rest = bytes_from(rest, 1);
        size_t end = 0;
        while (end < rest.n && (quoted ? rest.p[end] != '"' : !strchr(" ,\t", rest.p[end])))
            end++;
        return mem_dup(rest.p, end);
    }
    return NULL;
}

static bool has_word(const char *list, struct bytes word)
{
    struct bytes rest = bytes_of(list);
    while (rest.n)
        if (bytes_eq(bytes_cut(&rest, ' '), word))
            return true;
    return false;
}

// More scope than before: what was asked for stays.
static void widen(struct mcpc_login *l, char *takes_scope)
{
    struct buf b;
    struct bytes rest = bytes_of(l->scope);
    buf_init(&b, 4096);
    (void)buf_str(&b, takes_scope ? takes_scope : "");
    while (rest.n) {
        struct bytes word = bytes_cut(&rest, ' ');
        if (word.n && !has_word(takes_scope ? takes_scope : "", word))
            (void)buf_fmt(&b, "%s%.*s", b.n ? " " : "", BYTES_FMT(word));
    }
    mem_free(takes_scope);
    mcpc_login_set(&l->asked_scope, b.n ? buf_take(&b) : NULL);
    buf_fini(&b);
}

bool mcpc_login(struct mcpc_srv *s, int http_status, struct bytes challenge)
{
    struct mcpc_login *l = s->conf.oauth.on && s->conf.url ? login_of(s) : NULL;
    int64_t now = mcpc_now(s->m);
    if (!l || l->running)
        return l != NULL;
    if (now - l->tried_at > TRIES_MS)
        l->tries = 0;
    char *error = challenge_param(challenge, "error");
    bool more = http_status == 403 && error && strcmp(error, "insufficient_scope") == 0;
    mem_free(error);
    if ((http_status == 403 && !more) || l->tries++ >= TRIES_MAX)
        return false;
    l->tried_at = now;
    l->running = true;
    l->refreshed = more; // another token for the same scope would not do
    char *scope = challenge_param(challenge, "scope");
    if (more)
        widen(l, scope);
    else
        mcpc_login_set(&l->asked_scope, scope                 ? scope
                                        : s->conf.oauth.scope ? mem_str(s->conf.oauth.scope)
                                                              : NULL);
    mcpc_login_set(&l->metadata_url, challenge_param(challenge, "resource_metadata"));
    s->state = MCPC_LOGS_IN;
    mcpc_fall(s, E_UNAUTH, "it wants a login");
    find_resource(l);
    return true;
}

struct bytes mcpc_token(struct mcpc_srv *s)
{
    if (s->conf.oauth.on && s->conf.url && !s->login)
        (void)login_of(s);
    return s->login ? val_bytes(val_get_cstr(s->login->tokens, "access_token")) : BYTES_NONE;
}

int mcpc_redirected(struct mcpc *m, struct bytes query, struct err *e)
{
    struct buf state;
    buf_init(&state, 1024);
    bool has = url_query(query, "state", &state);
    int rc = E_NOTFOUND;
    for (size_t i = 0; has && i < m->count; i++) {
        struct mcpc_login *l = m->servers[i]->login;
        if (!l || !l->person || !l->state || !bytes_is(buf_bytes(&state), l->state))
            continue;
        rc = mcpc_login_redirected(l, query, e);
        break;
    }
    buf_fini(&state);
    return rc == E_NOTFOUND ? err_set(e, E_NOTFOUND, "no login waits for this") : rc;
}
