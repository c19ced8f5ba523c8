// gate_door.c: who may come in: Host against DNS rebinding, Origin against foreign pages, keys.
// SPDX-License-Identifier: Apache-2.0
#include "base/time.h"
#include "gate/gate_priv.h"
#include "text/url.h"
#include <string.h>

// What a node sends to another (links.h): at most the authority's state. Who is no member yet may
// ask for that only: a token or a signature, and a key.
#define NODE_BODY_MAX ((size_t)8 << 20)
#define STRANGER_BODY_MAX ((size_t)64 << 10)
#define LOGS_A_SECOND 50

// Digits and dots, or an IPv6 address: no name that a foreign DNS server could answer for.
static bool is_address(struct bytes host)
{
    bool dots = host.n > 0, six = bytes_chr(host, ':') >= 0;
    for (size_t i = 0; i < host.n; i++)
        if (!(host.p[i] >= '0' && host.p[i] <= '9') && host.p[i] != '.')
            dots = false;
    return dots || six;
}

// "*.example.org" stands for names with one or more labels before that.
static bool below(struct bytes name, const char *pattern)
{
    struct bytes end = bytes_from(bytes_of(pattern), 1);
    return pattern[0] == '*' && pattern[1] == '.' && name.n > end.n &&
           bytes_ieq(bytes_from(name, name.n - end.n), end);
}

static bool listed(const char *const *names, struct bytes name)
{
    for (; names && *names; names++)
        if (strcmp(*names, "*") == 0 || bytes_iis(name, *names) || below(name, *names))
            return true;
    return false;
}

static bool host_allowed(const struct gate *g, const struct gate_door *door, struct bytes host)
{
    struct bytes name = url_without_port(host);
    return name.n == 0 || is_address(name) || url_is_loopback(name) ||
           (door->host && bytes_iis(name, door->host)) || listed(g->hosts, name);
}

static bool origin_allowed(const struct gate *g, const struct http_head *h, struct bytes origin)
{
    ptrdiff_t at = bytes_find(origin, BYTES("://"));
    if (at > 0 && bytes_ieq(bytes_from(origin, (size_t)at + 3), h->host))
        return true;
    return listed(g->origins, origin);
}

static bool changes_state(struct bytes method)
{
    return !bytes_is(method, "GET") && !bytes_is(method, "HEAD") && !bytes_is(method, "OPTIONS");
}

// Anybody can be refused as often as they like: the figure counts all, the log has some a second.
static bool may_log(struct gate *g)
{
    int64_t second = timers_now_ms(g->args.timers) / 1000;
    if (second != g->denied_second)
        g->denied_logged = 0;
    g->denied_second = second;
    return g->denied_logged++ < LOGS_A_SECOND;
}

static int deny(struct gate *g, struct http_exchange *x, int code, const char *why,
                int64_t retry_ms)
{
    struct net_peer peer;
    http_peer(x, &peer);
    if (code == E_UNAUTH || code == E_FORBIDDEN)
        meter_node(g->args.meter)->unauthorized++;
    if (may_log(g))
        log_event(LOG_INFO, "gate.denied", LOG_STR("peer", peer.text),
                  LOG_BYTES("path", http_request(x)->path), LOG_STR("why", why));
    gate_reply_error(g, x, NULL, code, why, NULL, retry_ms > 0 ? (retry_ms + 999) / 1000 : -1);
    return code;
}

// A JSON object in base64url begins so: a JWT-SVID of the mesh. Also where no key is needed: who
// shows one is held to it.
static int admit_jwt(struct gate *g, struct http_exchange *x, struct bytes token, unsigned needs,
                     struct key **ret_key)
{
    struct err e = {0};
    int status = g->args.jwt(g->args.user, token, needs, &e);
    if (status < 0)
        return deny(g, x, status, e.text, 0);
    *ret_key = g->guest;
    return 0;
}

static int admit_node(struct gate *g, struct http_exchange *x)
{
    const struct http_head *h = http_request(x);
    struct err refused = {0};
    struct net_peer peer;
    http_peer(x, &peer);
    bool control = bytes_starts(h->path, BYTES("/mesh/v1/")), stranger = !peer.id || !*peer.id;
    // Who has no certificate yet may only ask for one; `other` looks at that.
    if (!stranger || !control) {
        int code = g->args.peer ? g->args.peer(g->args.user, &peer, &refused) : E_FORBIDDEN;
        if (code < 0)
            return deny(g, x, code, refused.text, 0);
    }
    // Neither the page nor the node's own API.
    if (!control && !gate_is_model_path(h) && !bytes_is(h->path, "/mcp"))
        return deny(g, x, E_NOTFOUND, "nodes ask for /v1/, /mcp and /mesh/v1/ here", 0);
    if (control && http_limit_body(x, stranger ? STRANGER_BODY_MAX : NODE_BODY_MAX) < 0)
        return deny(g, x, E_TOOBIG, "nodes do not send so much to each other", 0);
    return 0;
}

// The node's own requests on behalf of a key: they may do what the key may, no more.
static int admit_as(struct gate *g, struct http_exchange *x, struct bytes as, unsigned needs,
                    unsigned *ret_scopes, struct key **ret_key)
{
    struct err e = {0};
    struct key_view v;
    if (bytes_is(as, GATE_AS_GUEST)) {
        *ret_key = g->guest;
        return 0;
    }
    int status = keys_as(g->args.keys, as, needs, time_wall_ms(), ret_key, &e);
    if (status < 0)
        return deny(g, x, status, e.text, 0);
    key_view(*ret_key, &v);
    *ret_scopes = v.scopes;
    return 0;
}

int gate_admit(struct gate *g, struct http_exchange *x, unsigned needs, unsigned *ret_scopes,
               struct key **ret_key)
{
    static const struct gate_door closed = {.keys_required = true};
    int tag = http_tag(x);
    const struct gate_door *door =
        tag >= 0 && (size_t)tag < g->door_count ? &g->doors[tag] : &closed;
    const struct http_head *h = http_request(x);
    *ret_scopes = SCOPE_ALL;
    *ret_key = NULL;
    meter_node(g->args.meter)->requests++;
    if (door->trusted) {
        struct bytes as = http_header(h, "X-Plexus-As");
        return as.p ? admit_as(g, x, as, needs, ret_scopes, ret_key) : 0;
    }
    if (door->mesh)
        return admit_node(g, x);
    if (!host_allowed(g, door, h->host))
        return deny(g, x, E_HOST,
                    "this Host is not allowed (DNS rebinding); add it to listen.hosts in the "
                    "configuration",
                    0);
    struct bytes origin = http_header(h, "Origin");
    if (origin.p && changes_state(h->method) && !origin_allowed(g, h, origin))
        return deny(g, x, E_FORBIDDEN,
                    "requests from a foreign web page are refused; add its origin to "
                    "listen.origins in the configuration",
                    0);
    struct bytes text = http_key(h);
    if (needs == 0 || (!door->keys_required && !text.n))
        return 0;
    if (bytes_starts(text, BYTES("eyJ")) && g->others && g->args.jwt)
        return admit_jwt(g, x, text, needs, ret_key);
    if (!door->keys_required && !bytes_starts(text, BYTES("plx_")))
        return 0; // clients send any placeholder to a local server
    struct err e = {0};
    int64_t retry_ms = 0;
    int status = text.n ? keys_check(g->args.keys, text, needs, timers_now_ms(g->args.timers),
                                     time_wall_ms(), ret_key, &retry_ms, &e)
                        : err_set(&e, E_UNAUTH,
                                  "this listener needs an API key: Authorization: Bearer plx_... "
                                  "(make one with `plexus key new`)");
    if (status < 0)
        return deny(g, x, status, e.text, retry_ms);
    return 0;
}

void gate_put_cors(struct gate *g, const struct http_exchange *x, struct buf *extra)
{
    struct bytes origin =
        g->origins && *g->origins ? http_header(http_request(x), "Origin") : BYTES_NONE;
    if (!origin.p || !listed(g->origins, origin))
        return;
    (void)buf_str(extra, "Access-Control-Allow-Origin: ");
    (void)buf_put(extra, origin);
    (void)buf_str(extra, "\r\nAccess-Control-Expose-Headers: x-request-id, retry-after\r\n"
                         "Vary: Origin\r\n");
}

void gate_reply_error(struct gate *g, struct http_exchange *x, const char *id, int code,
                      const char *message, const char *param, int64_t retry_s)
{
    buf_clear(&g->extra);
    if (id)
        (void)buf_fmt(&g->extra, "X-Request-Id: %s\r\n", id);
    if (gate_is_hop(g, x)) // tells the other node that no engine was asked
        (void)buf_fmt(&g->extra, "X-Plexus-Error: %s\r\n", err_info(code)->symbol);
    gate_put_cors(g, x, &g->extra);
    http_reply_error_with(x, code, message, param, retry_s, buf_bytes(&g->extra));
}

bool gate_preflight(struct gate *g, struct http_exchange *x)
{
    const struct http_head *h = http_request(x);
    if (!bytes_is(h->method, "OPTIONS"))
        return false;
    buf_clear(&g->extra);
    if (bytes_starts(h->path, BYTES("/v1/"))) // the node's own API is for its own page
        gate_put_cors(g, x, &g->extra);
    if (g->extra.n == 0) {
        http_reply_error(x, E_METHOD, "no CORS is configured here (listen.origins, for /v1/)", NULL,
                         -1);
        return true;
    }
    // An origin that is allowed may send what headers it likes: clients have many of their own.
    struct bytes wanted = http_header(h, "Access-Control-Request-Headers");
    (void)buf_str(&g->extra, "Access-Control-Allow-Methods: GET, POST, DELETE\r\n"
                             "Access-Control-Max-Age: 600\r\nAccess-Control-Allow-Headers: ");
    (void)buf_put(&g->extra, wanted.n ? wanted : BYTES("authorization, content-type"));
    (void)buf_str(&g->extra, "\r\n");
    http_reply(x, 204, NULL, buf_bytes(&g->extra), BYTES_NONE);
    return true;
}
