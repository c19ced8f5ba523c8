// mcpd_auth.c: who may come in: Host and Origin against DNS rebinding, the caller, and the
// OAuth 2.1 resource server's side (RFC 9728: metadata; RFC 6750: challenges).
// SPDX-License-Identifier: Apache-2.0
#include "text/url.h"
#include "toolbox/mcpd_priv.h"
#include <string.h>

#define WELL_KNOWN "/.well-known/oauth-protected-resource"

static bool listed(const char *const *names, struct bytes text)
{
    for (; names && *names; names++)
        if (bytes_iis(text, *names))
            return true;
    return false;
}

static bool host_fits(const struct mcpd *m, struct bytes host)
{
    struct bytes name = url_without_port(host);
    return name.n == 0 || url_is_loopback(name) || listed(m->args.hosts, host) ||
           listed(m->args.hosts, name);
}

static bool origin_fits(const struct mcpd *m, struct bytes origin)
{
    struct bytes rest = origin;
    ptrdiff_t at = bytes_find(origin, BYTES("://"));
    if (listed(m->args.origins, origin))
        return true;
    if (at < 0)
        return false;
    rest = bytes_from(rest, (size_t)at + 3);
    struct bytes name = url_without_port(rest);
    return url_is_loopback(name) || listed(m->args.hosts, rest) || listed(m->args.hosts, name);
}

// "https://host/.well-known/oauth-protected-resource/mcp": where this request came to.
static void put_base(const struct mcpd *m, struct http_exchange *x, struct buf *out)
{
    struct bytes base = bytes_of(m->args.resource);
    if (base.n) {
        ptrdiff_t at = bytes_find(base, BYTES("://"));
        struct bytes rest = at < 0 ? BYTES_NONE : bytes_from(base, (size_t)at + 3);
        ptrdiff_t slash = bytes_chr(rest, '/');
        if (slash >= 0)
            base = bytes_first(base, (size_t)at + 3 + (size_t)slash);
        (void)buf_put(out, base);
        return;
    }
    (void)buf_str(out, "http://");
    (void)buf_put(out, http_request(x)->host);
}

static void challenge(const struct mcpd *m, struct http_exchange *x, int code, struct buf *out)
{
    (void)buf_str(out, "WWW-Authenticate: Bearer");
    if (m->args.authorization_servers) {
        (void)buf_str(out, " resource_metadata=\"");
        put_base(m, x, out);
        (void)buf_str(out, WELL_KNOWN);
        (void)buf_str(out, m->args.path);
        (void)buf_str(out, "\"");
    } else {
        (void)buf_str(out, " realm=\"plexus\"");
    }
    if (code == E_FORBIDDEN)
        (void)buf_str(out, ", error=\"insufficient_scope\"");
    else if (http_header(http_request(x), "Authorization").p)
        (void)buf_str(out, ", error=\"invalid_token\"");
    if (m->args.scopes && *m->args.scopes) {
        (void)buf_str(out, ", scope=\"");
        for (const char *const *s = m->args.scopes; *s; s++)
            (void)buf_fmt(out, "%s%s", s == m->args.scopes ? "" : " ", *s);
        (void)buf_str(out, "\"");
    }
    (void)buf_str(out, "\r\n");
}

static void deny(struct mcpd *m, struct http_exchange *x, int code, const char *why)
{
    struct buf extra;
    buf_init(&extra, 4096);
    if (code == E_UNAUTH || code == E_FORBIDDEN)
        challenge(m, x, code, &extra);
    if (extra.failed)
        buf_clear(&extra);
    mcpd_refuse(x, err_info(code)->http, MCP_CONNECTION, NULL, bytes_of(why), NULL,
                buf_cstr(&extra));
    buf_fini(&extra);
}

bool mcpd_door(struct mcpd *m, struct http_exchange *x, struct mcpd_who *ret)
{
    const struct http_head *h = http_request(x);
    struct bytes origin = http_header(h, "Origin");
    struct err e = {0};
    if (!m->args.guarded && !host_fits(m, h->host)) {
        mcpd_refuse(x, 403, MCP_CONNECTION, NULL, BYTES("Host not allowed"), NULL, NULL);
        return false;
    }
    if (!m->args.guarded && origin.p && !origin_fits(m, origin)) {
        mcpd_refuse(x, 403, MCP_CONNECTION, NULL, BYTES("Origin not allowed"), NULL, NULL);
        return false;
    }
    int rc = m->args.who ? m->args.who(m->args.user, x, ret, &e) : 0;
    if (rc < 0)
        deny(m, x, rc, e.text);
    return rc == 0;
}

bool mcpd_well_known(const struct mcpd *m, const struct http_head *h)
{
    if (!m->args.authorization_servers || !bytes_starts(h->path, BYTES(WELL_KNOWN)))
        return false;
    struct bytes rest = bytes_from(h->path, sizeof(WELL_KNOWN) - 1);
    return rest.n == 0 || bytes_is(rest, m->args.path);
}

static struct val *texts(const char *const *list)
{
    struct val *v = val_arr();
    for (; list && *list; list++)
        v = val_push(v, val_cstr(*list));
    return v;
}

void mcpd_metadata(struct mcpd *m, struct http_exchange *x)
{
    struct buf base;
    if (!bytes_is(http_request(x)->method, "GET") && !bytes_is(http_request(x)->method, "HEAD")) {
        http_reply(x, 405, NULL, BYTES("Allow: GET\r\n"), BYTES_NONE);
        return;
    }
    buf_init(&base, 4096);
    if (m->args.resource) {
        (void)buf_str(&base, m->args.resource);
    } else {
        put_base(m, x, &base);
        (void)buf_str(&base, m->args.path);
    }
    struct val *v = val_put_cstr(val_obj(), "resource", val_str(buf_bytes(&base)));
    v = val_put_cstr(v, "authorization_servers", texts(m->args.authorization_servers));
    v = val_put_cstr(v, "bearer_methods_supported", val_push(val_arr(), val_cstr("header")));
    if (m->args.scopes)
        v = val_put_cstr(v, "scopes_supported", texts(m->args.scopes));
    v = val_put_cstr(v, "resource_name", val_cstr(m->args.info.name));
    mcpd_reply(x, 200, "Access-Control-Allow-Origin: *\r\nCache-Control: max-age=300\r\n", v);
    buf_fini(&base);
}
