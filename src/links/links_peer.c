// links_peer.c: one peer: its connections, the exchange of keys, its sheet and ours.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "base/log.h"
#include "base/map.h"
#include "base/rng.h"
#include "crypto/base64url.h"
#include "links/links_priv.h"
#include "text/url.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Lines that one node can have for another: a sheet of each node, all removals.
#define NEWS_MAX ((size_t)MESH_NODES_MAX + GRANT_REMOVALS_MAX)

// ---- calls -------------------------------------------------------------------------------------

static void on_head(struct http_call *c, const struct http_head *head)
{
    struct links_call *call = http_call_user(c);
    call->status = head->status;
}

static void on_body(struct http_call *c, const char *p, size_t n)
{
    struct links_call *call = http_call_user(c);
    (void)buf_add(&call->answer, p, n);
}

static void on_end(struct http_call *c, int status, const struct err *e)
{
    struct links_call *call = http_call_user(c);
    struct err told = {0};
    call->call = NULL;
    if (status < 0 && e)
        told = *e;
    if (status == 0 && call->answer.failed)
        status = err_set(&told, E_TOOBIG, "the answer is too large");
    if (status == 0 && call->status / 100 != 2)
        status = links_error_of(call->status, buf_bytes(&call->answer), &told);
    list_del(&call->node);
    call->done(call, status, status < 0 ? &told : NULL);
    links_call_free(call);
}

static const struct http_call_handler handler = {on_head, on_body, on_end};

void links_call_free(struct links_call *c)
{
    list_del(&c->node);
    buf_fini(&c->body);
    buf_fini(&c->answer);
    mem_free(c);
}

struct links_call *links_call(struct link *x, const char *method, const char *target,
                              struct buf *body, links_done_fn done, struct err *e)
{
    struct links *l = x->all;
    int status = x->pool ? 0 : link_dial(x, e);
    struct links_call *c = status == 0 ? mem_new(struct links_call) : NULL;
    if (!c) {
        (void)(status == 0 && err_set(e, E_NOMEM, "out of memory"));
        return NULL;
    }
    list_init(&c->node);
    c->all = l;
    c->done = done;
    c->body = *body;
    *body = (struct buf){.max = body->max};
    buf_init(&c->answer, LINKS_ANSWER_MAX);
    (void)snprintf(c->peer, sizeof(c->peer), "%s", x->name);
    struct bytes content = buf_bytes(&c->body);
    struct http_call_args args = {.method = bytes_of(method),
                                  .target = bytes_of(target),
                                  .body = &content,
                                  .body_count = content.n ? 1 : 0,
                                  .first_byte_ms = LINKS_CONTROL_MS,
                                  .silence_ms = LINKS_CONTROL_MS,
                                  .handler = &handler,
                                  .user = c};
    if (http_call_start(x->pool, &args, &c->call, e) < 0) {
        links_call_free(c);
        return NULL;
    }
    list_add_tail(&l->calls, &c->node);
    return c;
}

// ---- connections -------------------------------------------------------------------------------

static int check(void *user, const struct net_peer *peer, struct err *e)
{
    struct link *x = user;
    struct member_view v;
    char want[SPIFFE_ID_MAX + 1];
    member_view(x->all->args.member, &v);
    (void)snprintf(want, sizeof(want), "spiffe://%s/node/%s", v.domain, x->name);
    if (peer->id && strcmp(peer->id, want) == 0)
        return 0;
    return err_set(e, E_SECURITY, "%s:%u is %s, not %s", x->addr.host, x->addr.port,
                   peer->id && *peer->id ? peer->id : "nobody we know", want);
}

int link_dial(struct link *x, struct err *e)
{
    struct links *l = x->all;
    struct mesh_node_view v;
    struct url_addr a;
    size_t count = 0;
    mesh_node_view(l->args.mesh, x->mesh, links_now(l), &v);
    while (v.sheet && v.sheet->addresses && v.sheet->addresses[count])
        count++;
    if (!count)
        return err_set(e, E_UNAVAILABLE, "no address of node %s is known", x->name);
    int status = url_addr_parse(&a, bytes_of(v.sheet->addresses[x->address_at % count]), e);
    if (status < 0)
        return err_wrap(e, "node %s", x->name);
    struct net_addr addr = {.port = a.port};
    memcpy(addr.host, a.host, sizeof(addr.host));
    if (x->pool && strcmp(addr.host, x->addr.host) == 0 && addr.port == x->addr.port)
        return 0;
    if (x->pool) {
        link_drop(x);
        if (x->pool) // made by a request that was moved
            return 0;
    }
    x->addr = addr;
    x->udp = addr;
    x->udp_known = addr.host[strspn(addr.host, "0123456789.:abcdefABCDEF")] == 0;
    struct http_pool_args args = {.net = l->args.net,
                                  .timers = l->args.timers,
                                  .addr = addr,
                                  .tls = l->client_tls,
                                  .connect_ms = LINKS_CONNECT_MS,
                                  .idle_max = LINKS_IDLE_MAX,
                                  .dials_max = LINKS_DIALS_MAX,
                                  .check = check,
                                  .user = x};
    return http_pool_new(&x->pool, &args, e);
}

void link_drop(struct link *x)
{
    struct links *l = x->all;
    struct http_pool *pool = x->pool;
    x->pool = NULL; // what begins while requests are moved away gets a new one
    if (x->has_in)
        (void)map_del(l->by_id, (struct bytes){(const char *)&x->in_id, sizeof(x->in_id)});
    x->has_in = x->has_out = x->udp_known = false;
    if (!pool)
        return;
    l->args.ops->cut(l->args.user, x->name, "the link was closed");
    http_pool_free(pool); // its calls end by themselves
}

void link_free(struct link *x)
{
    link_drop(x);
    list_del(&x->node);
    mem_free(x);
}

// ---- hello: keys for datagrams, and both sheets ------------------------------------------------

int link_hello_put(struct link *x, struct buf *out)
{
    struct links *l = x->all;
    struct json_w w;
    struct buf key;
    char id[20], boot[24];
    if (!x->has_in) {
        rng_bytes(&x->in_id, sizeof(x->in_id));
        rng_bytes(&x->in_key, sizeof(x->in_key));
        if (map_put(l->by_id, (struct bytes){(const char *)&x->in_id, sizeof(x->in_id)}, x, NULL) <
            0)
            return E_NOMEM;
        x->has_in = true;
    }
    buf_init(&key, 64);
    (void)base64url_put(&key, (struct bytes){(const char *)&x->in_key, sizeof(x->in_key)});
    (void)snprintf(id, sizeof(id), "%016" PRIx64, x->in_id);
    (void)snprintf(boot, sizeof(boot), "%" PRIu64, l->args.boot);
    json_w_init(&w, out);
    json_w_obj(&w, NULL);
    json_w_cstr(&w, "boot", boot);
    json_w_cstr(&w, "id", id);
    json_w_str(&w, "key", buf_bytes(&key));
    json_w_u64(&w, "port", l->port);
    json_w_str(&w, "sheet", buf_bytes(&l->sheet));
    json_w_end(&w);
    mem_wipe(key.p, key.n);
    buf_fini(&key);
    return out->failed;
}

static int take_key(struct link *x, const struct json *root, struct err *e)
{
    struct buf key;
    const char *id = json_cstr(json_get(root, "id"), "");
    char *end = NULL;
    buf_init(&key, 64);
    int status = base64url_parse(&key, json_str(json_get(root, "key")));
    uint64_t number = strtoull(id, &end, 16);
    if (status < 0 || key.n != sizeof(x->out_key) || strlen(id) != 16 || *end) {
        buf_fini(&key);
        return err_set(e, E_PARSE, "hello of node %s: no key in it", x->name);
    }
    memcpy(&x->out_key, key.p, sizeof(x->out_key));
    mem_wipe(key.p, key.n);
    buf_fini(&key);
    x->out_id = number;
    x->has_out = true;
    x->echoed_ms = links_now(x->all);
    return 0;
}

// A node that was started anew knows nothing of what was sent to its last life; after a loss of
// power nothing else says so, and what waits for an answer would wait for ever.
static void take_life(struct link *x, const struct json *root)
{
    uint64_t boot = 0;
    if (!bytes_u64(json_str(json_get(root, "boot")), &boot))
        return;
    if (x->life && x->life != boot)
        link_drop(x);
    x->life = boot;
    x->heard_ms = links_now(x->all);
}

int link_hello_take(struct links *l, struct bytes peer, struct bytes text, struct link **ret,
                    struct err *e)
{
    struct json_doc *doc = NULL;
    int status = json_parse(&doc, text, 0, e);
    const struct json *root = json_root(doc);
    if (status == 0)
        status = links_take(l, json_str(json_get(root, "sheet")), e);
    struct link *x = status >= 0 ? links_link(l, peer) : NULL;
    if (status >= 0 && !x)
        status = err_set(e, E_NOTFOUND, "no sheet of node %.*s is known", BYTES_FMT(peer));
    if (status >= 0) {
        take_life(x, root);
        status = take_key(x, root, e);
    }
    json_free(doc);
    if (status >= 0)
        *ret = x;
    return status < 0 ? status : 0;
}

// Whoever is silent may have been started anew: its keys are others then.
bool link_is_silent(const struct link *x)
{
    struct mesh_node_view v;
    mesh_node_view(x->all->args.mesh, x->mesh, links_now(x->all), &v);
    return v.state != MESH_ALIVE;
}

// A peer that takes this node's certificate no more may know that it was removed: the authority
// tells it with the refusal of a renewal.
static void doubt(struct links *l, const struct err *e)
{
    int64_t now = links_now(l);
    if (l->args.authority || !strstr(e->text, "the peer refused") ||
        (l->doubt_ms && now - l->doubt_ms < LINKS_DOUBT_MS))
        return;
    l->doubt_ms = now;
    links_renew(l);
}

static void hello_failed(struct link *x, const struct err *e)
{
    struct links *l = x->all;
    doubt(l, e);
    if (x->hello_pause_ms >= LINKS_HELLO_MAX_MS || e->code == E_SECURITY || e->code == E_FORBIDDEN)
        log_event(LOG_INFO, "mesh.hello", LOG_STR("node", x->name), LOG_STR("why", e->text));
    x->hello_not_before_ms = links_now(l) + x->hello_pause_ms;
    x->hello_pause_ms =
        x->hello_pause_ms * 2 > LINKS_HELLO_MAX_MS ? LINKS_HELLO_MAX_MS : x->hello_pause_ms * 2;
    x->address_at++; // it may be reached at another of its addresses
    (void)link_dial(x, NULL);
    mesh_unreachable(l->args.mesh, x->mesh, links_now(l));
}

static void on_hello(struct links_call *c, int status, const struct err *e)
{
    struct links *l = c->all;
    struct link *x = links_link(l, bytes_of(c->peer)), *same = NULL;
    struct err told = {0};
    if (!x)
        return;
    x->hello_busy = false;
    if (status == E_CANCELLED)
        return;
    if (status < 0)
        told = *e;
    else
        status = link_hello_take(l, bytes_of(c->peer), buf_bytes(&c->answer), &same, &told);
    if (status < 0) {
        hello_failed(x, &told);
    } else {
        x->hello_pause_ms = LINKS_HELLO_MS;
        x->hello_not_before_ms = links_now(l) + LINKS_HELLO_MS;
        link_beat(x);
    }
    links_run(l);
}

void link_hello(struct link *x)
{
    struct links *l = x->all;
    struct buf body;
    struct err e = {0};
    if (x->hello_busy || l->closed || l->expired || links_now(l) < x->hello_not_before_ms)
        return;
    buf_init(&body, MEMBER_SHEET_MAX + 4096);
    int status = link_hello_put(x, &body);
    if (status == 0 && links_call(x, "POST", "/mesh/v1/hello", &body, on_hello, &e))
        x->hello_busy = true;
    else
        hello_failed(x, &e);
    buf_fini(&body);
}

// ---- sheets ------------------------------------------------------------------------------------

static void on_offered(struct links_call *c, int status, const struct err *e)
{
    struct link *x = links_link(c->all, bytes_of(c->peer));
    (void)e;
    if (!x)
        return;
    x->offer_busy = false;
    if (status == 0 && x->offer_again)
        link_offer(x); // what is lost on the way shows in the beats
}

void link_offer(struct link *x)
{
    struct links *l = x->all;
    struct buf body;
    if (!x->has_out) {
        link_hello(x); // it carries the sheet
        return;
    }
    x->offer_again = x->offer_busy;
    if (x->offer_busy || l->closed || l->expired)
        return;
    buf_init(&body, MEMBER_SHEET_MAX);
    (void)buf_put(&body, buf_bytes(&l->sheet));
    if (links_call(x, "POST", "/mesh/v1/sheet", &body, on_offered, NULL))
        x->offer_busy = true;
    buf_fini(&body);
}

static void on_fetched(struct links_call *c, int status, const struct err *e)
{
    (void)e;
    if (status == 0)
        (void)links_take(c->all, buf_bytes(&c->answer), NULL);
    links_run(c->all);
}

void link_fetch(struct link *x, const char *node)
{
    struct buf none;
    char target[MESH_NAME_MAX + 40];
    buf_init(&none, 1);
    (void)snprintf(target, sizeof(target), "/mesh/v1/sheet?node=%s", node);
    (void)links_call(x, "GET", target, &none, on_fetched, NULL);
    buf_fini(&none);
}

void links_known_put(struct links *l, struct buf *out)
{
    size_t at = 0;
    struct grant_removal removal;
    for (struct mesh_node *n = NULL; (n = mesh_each(l->args.mesh, n)) != NULL;) {
        struct mesh_node_view v;
        mesh_node_view(l->args.mesh, n, links_now(l), &v);
        (void)buf_fmt(out, "S %s %" PRIu64 " %" PRIu64 "\n", v.name, v.boot, v.seq);
    }
    while (grant_removals_each(member_removals(l->args.member), &at, &removal, NULL))
        (void)buf_fmt(out, "R %s %" PRIu64 "\n", removal.node, removal.epoch);
}

// What the other knows: "KIND name" to the rest of its line. NULL: nothing, or no memory for it.
static struct map *known_map(struct bytes known)
{
    struct map *m = known.n ? map_new(NEWS_MAX) : NULL;
    for (size_t i = 0; m && known.n && i < NEWS_MAX; i++) {
        struct bytes line = bytes_cut(&known, '\n'), rest = line;
        (void)bytes_cut(&rest, ' ');
        (void)bytes_cut(&rest, ' ');
        if (rest.n) // its end is the line's: the next byte is no digit, or the text's end
            (void)map_put(m, bytes_first(line, line.n - rest.n), (void *)(uintptr_t)rest.p, NULL);
    }
    return m;
}

// Does it know that one, at least as new?
static bool knows(const struct map *m, struct bytes known, char kind, const char *name, uint64_t a,
                  uint64_t b)
{
    char key[MESH_NAME_MAX + 8];
    int n = snprintf(key, sizeof(key), "%c %s ", kind, name);
    uint64_t x = 0, y = 0;
    const char *at = m ? map_get(m, (struct bytes){key, (size_t)n}) : NULL;
    if (!at)
        return false;
    struct bytes rest = bytes_from(known, (size_t)(at - known.p)), line = bytes_cut(&rest, '\n');
    (void)bytes_u64(bytes_cut(&line, ' '), &x);
    (void)bytes_u64(line, &y);
    return x > a || (x == a && y >= b);
}

void links_news_put(struct links *l, struct bytes known, struct buf *out)
{
    size_t at = 0;
    struct grant_removal removal;
    struct bytes text;
    struct map *m = known_map(known);
    while (grant_removals_each(member_removals(l->args.member), &at, &removal, &text))
        if (!knows(m, known, 'R', removal.node, removal.epoch, 0))
            (void)buf_fmt(out, "R %.*s\n", BYTES_FMT(text));
    for (struct mesh_node *n = NULL; (n = mesh_each(l->args.mesh, n)) != NULL;) {
        struct mesh_node_view v;
        mesh_node_view(l->args.mesh, n, links_now(l), &v);
        bool have = v.self ? l->sheet.n > 0 : mesh_raw(l->args.mesh, n, &text);
        if (v.self)
            text = buf_bytes(&l->sheet);
        if (have && v.state != MESH_REMOVED && !knows(m, known, 'S', v.name, v.boot, v.seq))
            (void)buf_fmt(out, "S %.*s\n", BYTES_FMT(text));
    }
    map_free(m);
}

void links_news(struct links *l, struct buf *out)
{
    links_news_put(l, BYTES_NONE, out);
}

void links_news_take(struct links *l, struct bytes lines)
{
    for (size_t i = 0; lines.n && i < NEWS_MAX; i++) {
        struct bytes line = bytes_cut(&lines, '\n');
        struct bytes word = bytes_cut(&line, ' ');
        struct err e = {0};
        int status = bytes_is(word, "S")   ? links_take(l, line, &e)
                     : bytes_is(word, "R") ? links_removal(l, line, &e)
                                           : 0;
        if (status < 0) {
            if (links_may_log(l))
                log_event(LOG_WARN, "mesh.refused", LOG_BYTES("what", word),
                          LOG_STR("why", e.text));
            links_refused(l, LINKS_REFUSED_NEWS, bytes_is(word, "S") ? "a sheet" : "a removal",
                          e.text);
        }
    }
}

static void on_synced(struct links_call *c, int status, const struct err *e)
{
    struct links *l = c->all;
    struct link *x = links_link(l, bytes_of(c->peer));
    (void)e;
    if (x)
        x->sync_busy = false;
    if (status == 0)
        links_news_take(l, buf_bytes(&c->answer));
    links_run(l);
}

void link_sync(struct link *x)
{
    struct links *l = x->all;
    struct buf body;
    if (x->sync_busy || l->closed || l->expired)
        return;
    buf_init(&body, LINKS_ANSWER_MAX);
    links_known_put(l, &body);
    if (links_call(x, "POST", "/mesh/v1/sync", &body, on_synced, NULL))
        x->sync_busy = true;
    buf_fini(&body);
}
