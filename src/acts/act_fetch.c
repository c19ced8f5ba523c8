// act_fetch.c: one HTTP request to an address: connections kept for each origin, redirects, limits.
// SPDX-License-Identifier: Apache-2.0
#include "acts/acts_priv.h"
#include "text/url.h"

#include <stdio.h>
#include <string.h>

#define ORIGINS_MAX 128 // kept; over it the one that rested longest goes
#define REST_MS 300000 // an origin without calls is let go of after this
#define URL_MAX ((size_t)64 << 10)
#define WAIT_MS 300000 // for the answer's first byte, and silence in it

struct act_origin { // where connections go
    struct list link; // most lately used first
    char *name; // "https://host:port"
    struct http_pool *pool;
    unsigned calls;
    int64_t used_ms;
};

// ---- origins -----------------------------------------------------------------------------------

static void origin_free(struct acts_room *r, struct act_origin *o)
{
    list_del(&o->link);
    r->origin_count--;
    http_pool_free(o->pool);
    mem_free(o->name);
    mem_free(o);
}

void act_origins_free(struct acts_room *r)
{
    while (!list_empty(&r->origins))
        origin_free(r, container_of(r->origins.next, struct act_origin, link));
}

static void origins_tidy(struct acts_room *r)
{
    int64_t now = timers_now_ms(r->args.timers);
    for (struct list *it = r->origins.prev, *prev = it->prev; it != &r->origins;
         it = prev, prev = it->prev) {
        struct act_origin *o = container_of(it, struct act_origin, link);
        if (o->calls == 0 && (r->origin_count > ORIGINS_MAX || now - o->used_ms > REST_MS))
            origin_free(r, o);
    }
}

static const struct acts_host *host_of(const struct acts_room *r, struct bytes host, uint16_t port)
{
    char both[300];
    (void)snprintf(both, sizeof both, "%.*s:%u", BYTES_FMT(host), port);
    for (size_t i = 0; i < r->args.host_count; i++)
        if (bytes_iis(host, r->args.hosts[i].name) ||
            bytes_iis(bytes_of(both), r->args.hosts[i].name))
            return &r->args.hosts[i];
    return NULL;
}

static int put_address(const char *text, struct bytes host, uint16_t port, struct net_addr *ret,
                       struct err *e)
{
    struct url_addr fixed = {0};
    *ret = (struct net_addr){.port = port};
    if (!text) {
        (void)snprintf(ret->host, sizeof ret->host, "%.*s", BYTES_FMT(host));
        return 0;
    }
    if (text[0] == '/') {
        ret->unix_socket = true;
        (void)snprintf(ret->host, sizeof ret->host, "%s", text);
        return 0;
    }
    int rc = url_addr_parse(&fixed, bytes_of(text), e);
    if (rc < 0)
        return err_wrap(e, "the fixed address of %.*s", BYTES_FMT(host)), rc;
    ret->unix_socket = fixed.unix_socket;
    ret->port = fixed.port;
    memcpy(ret->host, fixed.host, sizeof ret->host);
    return 0;
}

int act_address(struct acts_room *r, struct bytes host, uint16_t port, struct net_addr *ret,
                bool *tls, struct err *e)
{
    const struct acts_host *h = host_of(r, host, port);
    *tls = *tls && !h;
    return put_address(h ? h->address : NULL, host, port, ret, e);
}

static void origin_name(const struct url *u, bool self, char *name, size_t size)
{
    bool v6 = bytes_chr(u->host, ':') >= 0;
    int n =
        snprintf(name, size, "%s%s://%s%.*s%s:%u", self ? "self-" : "", u->tls ? "https" : "http",
                 v6 ? "[" : "", BYTES_FMT(u->host), v6 ? "]" : "", u->port);
    for (int i = 0; i < n && (size_t)i < size; i++)
        if (name[i] >= 'A' && name[i] <= 'Z')
            name[i] = (char)(name[i] + 32);
}

static int origin_new(struct acts_room *r, const struct url *u, bool self, const char *name,
                      struct act_origin **ret, struct err *e)
{
    struct http_pool_args args = {.net = r->args.net, .timers = r->args.timers, .idle_max = 16};
    char host[300];
    bool tls = u->tls && !self;
    int rc = self ? put_address(r->args.self_address, u->host, u->port, &args.addr, e)
                  : act_address(r, u->host, u->port, &args.addr, &tls, e);
    if (rc < 0)
        return rc;
    if (tls && (!r->args.tls || !(args.tls = r->args.tls(r->args.user, e))))
        return r->args.tls ? err_wrap(e, "https"),
               E_CONFIG    : err_set(e, E_CONFIG, "this node has no TLS for https");
    const char *at = strstr(name, "://") + 3;
    (void)snprintf(host, sizeof host, "%s", at);
    if (u->port == (u->tls ? 443 : 80)) // the scheme's own is not said
        *strrchr(host, ':') = '\0';
    args.host_header = self ? "localhost" : host;
    struct act_origin *o = mem_new(struct act_origin);
    if (!o || !(o->name = mem_str(name)))
        rc = err_set(e, E_NOMEM, "out of memory");
    else
        rc = http_pool_new(&o->pool, &args, e);
    if (rc < 0) {
        if (o)
            mem_free(o->name);
        mem_free(o);
        return rc;
    }
    list_add_head(&r->origins, &o->link);
    r->origin_count++;
    *ret = o;
    return 0;
}

static int origin_get(struct acts_room *r, const struct url *u, bool self, struct act_origin **ret,
                      struct err *e)
{
    char name[320];
    int rc = 0;
    struct act_origin *o = NULL;
    origin_name(u, self, name, sizeof name);
    origins_tidy(r);
    list_each (it, &r->origins) {
        o = container_of(it, struct act_origin, link);
        if (strcmp(o->name, name) == 0)
            break;
        o = NULL;
    }
    if (!o)
        rc = origin_new(r, u, self, name, &o, e);
    if (rc < 0)
        return rc;
    list_del(&o->link);
    list_add_head(&r->origins, &o->link);
    o->calls++;
    *ret = o;
    return 0;
}

static void origin_leave(struct act_fetch *f)
{
    struct act_origin *o = f->origin;
    f->origin = NULL;
    if (o) {
        o->calls--;
        o->used_ms = timers_now_ms(f->room->args.timers);
    }
}

// ---- one request -------------------------------------------------------------------------------

static void fetch_release(struct act_fetch *f)
{
    struct buf *const bufs[] = {&f->method, &f->lines, &f->sent, &f->body, &f->url};
    for (size_t i = 0; i < sizeof bufs / sizeof *bufs; i++) {
        if (bufs[i]->p)
            mem_wipe(bufs[i]->p, bufs[i]->n);
        buf_fini(bufs[i]);
    }
    arena_free(f->arena);
    mem_free(f);
}

static int send_request(struct act_fetch *f, struct err *e);

// A new arena for each answer: redirects are many small ones.
static int keep_head(struct act_fetch *f, const struct http_head *head)
{
    arena_free(f->arena);
    f->arena = arena_new((size_t)1 << 20);
    f->header_count = 0;
    f->headers = f->arena ? arena_zalloc(f->arena, (head->count + 1) * sizeof *f->headers) : NULL;
    if (!f->headers)
        return E_NOMEM;
    for (size_t i = 0; i < head->count; i++) {
        struct act_header h = {arena_dup(f->arena, head->headers[i].name),
                               arena_dup(f->arena, head->headers[i].value)};
        if (!h.name.p && head->headers[i].name.n)
            return E_NOMEM;
        f->headers[f->header_count++] = h;
    }
    return 0;
}

static void on_head(struct http_call *c, const struct http_head *head)
{
    struct act_fetch *f = http_call_user(c);
    if (f->left)
        return;
    f->status = head->status;
    buf_clear(&f->body);
    if (keep_head(f, head) < 0) {
        (void)err_set(&f->err, E_NOMEM, "out of memory");
        http_call_cancel(c);
    }
}

static void on_body(struct http_call *c, const char *p, size_t n)
{
    struct act_fetch *f = http_call_user(c);
    if (f->left || f->err.code || f->enough)
        return;
    if (f->args.on_part && f->status >= 200 && f->status < 300) {
        f->enough = !f->args.on_part(f, (struct bytes){p, n});
        if (f->enough && !f->left)
            http_call_cancel(c);
    } else if (buf_add(&f->body, p, n) < 0) {
        (void)err_set(&f->err, f->body.failed, "the answer has more than %zu bytes", f->body.max);
        http_call_cancel(c);
    }
}

static bool is_redirect(const struct act_fetch *f)
{
    static const int codes[] = {301, 302, 303, 307, 308};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (f->status == codes[i])
            return f->args.redirects > f->hops && act_fetch_header(f, "Location").n > 0;
    return false;
}

// Lines that a stranger must not get: what proves who we are.
static void drop_private(struct buf *lines)
{
    static const char *const names[] = {"authorization:", "cookie:", "proxy-authorization:"};
    struct buf kept;
    struct bytes rest = buf_bytes(lines);
    buf_init(&kept, lines->max);
    while (rest.n) {
        ptrdiff_t end = bytes_find(rest, BYTES("\r\n"));
        struct bytes line = bytes_first(rest, end < 0 ? rest.n : (size_t)end + 2);
        bool mine = false;
        for (size_t i = 0; i < sizeof names / sizeof *names; i++)
            mine = mine || bytes_iis(bytes_first(line, strlen(names[i])), names[i]);
        if (!mine)
            (void)buf_put(&kept, line);
        rest = bytes_from(rest, line.n);
    }
    if (lines->p)
        mem_wipe(lines->p, lines->n);
    buf_fini(lines);
    *lines = kept;
}

static void drop_body(struct act_fetch *f)
{
    static const char *const names[] = {"content-type:", "content-encoding:"};
    struct bytes rest = buf_bytes(&f->lines);
    struct buf kept;
    buf_init(&kept, f->lines.max);
    while (rest.n) {
        ptrdiff_t end = bytes_find(rest, BYTES("\r\n"));
        struct bytes line = bytes_first(rest, end < 0 ? rest.n : (size_t)end + 2);
        if (!bytes_iis(bytes_first(line, strlen(names[0])), names[0]) &&
            !bytes_iis(bytes_first(line, strlen(names[1])), names[1]))
            (void)buf_put(&kept, line);
        rest = bytes_from(rest, line.n);
    }
    buf_fini(&f->lines);
    f->lines = kept;
    buf_clear(&f->sent);
}

// RFC 9110, section 15.4: 303 is asked for by GET; so is a POST by 301 and 302 in practice.
static int redirect(struct act_fetch *f, struct err *e)
{
    struct bytes to = act_fetch_header(f, "Location"), method = buf_bytes(&f->method);
    struct url old = {0}, new = {0};
    struct buf url;
    buf_init(&url, URL_MAX);
    int rc = act_url_join(&url, buf_bytes(&f->url), to);
    if (rc == 0)
        rc = url_parse(&new, buf_bytes(&url), e);
    else
        (void)err_set(e, rc, "Location: bad address");
    if (rc < 0) {
        buf_fini(&url);
        return err_wrap(e, "redirect"), E_UPSTREAM;
    }
    (void)url_parse(&old, buf_bytes(&f->url), NULL);
    if (old.tls != new.tls || old.port != new.port || !bytes_ieq(old.host, new.host))
        drop_private(&f->lines);
    bool post = bytes_is(method, "POST");
    if ((f->status == 303 && !bytes_is(method, "HEAD")) ||
        ((f->status == 301 || f->status == 302) && post)) {
        drop_body(f);
        buf_clear(&f->method);
        (void)buf_str(&f->method, "GET");
    }
    buf_fini(&f->url);
    f->url = url;
    f->hops++;
    f->status = 0;
    return send_request(f, e);
}

static void on_end(struct http_call *c, int status, const struct err *e)
{
    struct act_fetch *f = http_call_user(c);
    struct err own = {0};
    f->call = NULL;
    if (f->left) {
        fetch_release(f);
        return;
    }
    origin_leave(f);
    if (f->enough)
        f->args.on_end(f, 0, NULL);
    else if (f->err.code)
        f->args.on_end(f, f->err.code, &f->err);
    else if (status < 0)
        f->args.on_end(f, status, e);
    else if (!is_redirect(f))
        f->args.on_end(f, 0, NULL);
    else if ((status = redirect(f, &own)) < 0)
        f->args.on_end(f, status, &own);
}

static int send_request(struct act_fetch *f, struct err *e)
{
    static const struct http_call_handler handler = {
        .on_head = on_head, .on_body = on_body, .on_end = on_end};
    struct act_fetch_args *a = &f->args;
    struct url u = {.host = BYTES("localhost"), .port = 80};
    struct buf target;
    int rc = a->self ? 0 : url_parse(&u, buf_bytes(&f->url), e);
    if (rc == 0)
        rc = origin_get(f->room, &u, a->self, &f->origin, e);
    if (rc < 0)
        return rc;
    buf_init(&target, URL_MAX + 16);
    if (a->self) {
        (void)buf_put(&target, buf_bytes(&f->url));
    } else {
        (void)buf_put(&target, u.path.n ? u.path : BYTES("/"));
        if (u.query.p)
            (void)buf_chr(&target, '?'), (void)buf_put(&target, u.query);
    }
    f->parts[0] = buf_bytes(&f->sent);
    struct http_call_args args = {
        .method = buf_bytes(&f->method),
        .target = buf_bytes(&target),
        .headers = buf_bytes(&f->lines),
        .body = f->parts,
        .body_count = f->sent.n ? 1 : 0,
        .first_byte_ms = a->first_byte_ms ? a->first_byte_ms : WAIT_MS,
        .silence_ms = a->silence_ms ? a->silence_ms : WAIT_MS,
        .handler = &handler,
        .user = f,
    };
    rc = http_call_start(f->origin->pool, &args, &f->call, e);
    buf_fini(&target);
    if (rc < 0)
        origin_leave(f);
    return rc;
}

int act_fetch(struct acts_room *r, const struct act_fetch_args *args, struct act_fetch **ret,
              struct err *e)
{
    struct act_fetch *f = mem_new(struct act_fetch);
    if (!f)
        return err_set(e, E_NOMEM, "out of memory");
    f->room = r;
    f->args = *args;
    f->user = args->user;
    buf_init(&f->url, URL_MAX);
    buf_init(&f->method, 64);
    buf_init(&f->lines, (size_t)64 << 10);
    buf_init(&f->sent, (size_t)64 << 20);
    buf_init(&f->body, args->body_bytes_max ? args->body_bytes_max : r->args.body_bytes_max);
    (void)buf_put(&f->method, args->method);
    (void)buf_put(&f->lines, args->headers);
    if (args->self)
        (void)buf_put(&f->url, args->url);
    else
        (void)act_url_clean(&f->url, args->url);
    int rc = f->url.failed || f->method.failed || f->lines.failed
                 ? err_set(e, E_TOOBIG, "the request's address or headers are too long")
                 : 0;
    if (rc == 0 && args->body) {
        buf_fini(&f->sent);
        f->sent = *args->body;
        *args->body = (struct buf){0};
    }
    if (rc == 0)
        rc = send_request(f, e);
    if (rc < 0) {
        fetch_release(f);
        return rc;
    }
    *ret = f;
    return 0;
}

struct bytes act_fetch_header(const struct act_fetch *f, const char *name)
{
    for (size_t i = 0; i < f->header_count; i++)
        if (bytes_iis(f->headers[i].name, name))
            return f->headers[i].value;
    return BYTES_NONE;
}

void act_fetch_free(struct act_fetch *f)
{
    if (!f)
        return;
    origin_leave(f);
    if (!f->call) {
        fetch_release(f);
        return;
    }
    f->left = true; // its end comes from the connection
    http_call_cancel(f->call);
}
