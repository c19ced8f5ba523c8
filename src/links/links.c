// links.c: the driver's life, its certificate contexts, and what the mesh decides carried out.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "base/arena.h"
#include "base/log.h"
#include "base/map.h"
#include "crypto/x509.h"
#include "links/links_priv.h"
#include <stdio.h>
#include <string.h>

#define SHEET_ARENA ((size_t)4 << 20)
#define QUEUE_BYTES_MAX (1 << 20)
#define HANDSHAKE_MS 5000
#define LOGS_A_SECOND 20
#define CUT_MS 250 // between a removal and the end of the connections to and from that node
#define ASK_ANSWER_MAX ((size_t)1 << 20)
#define REMOVED_MAX ((size_t)MESH_NODES_MAX * (SPIFFE_ID_MAX + 1))

int64_t links_now(const struct links *l)
{
    return timers_now_ms(l->args.timers);
}

int64_t links_wall(const struct links *l)
{
    return l->args.ops->wall_ms(l->args.user);
}

// ---- certificates ------------------------------------------------------------------------------

int links_judge(int status, const struct bytes *der, int count, int64_t wall_ms)
{
    struct x509_info info;
    if (status == E_SECURITY && count > 0 && x509_info(der[0], &info, NULL) == 0 &&
        (wall_ms < info.not_before_ms || wall_ms >= info.not_after_ms))
        return E_TIMEOUT;
    return status;
}

int links_verify(void *user, const struct bytes *der, int count, char *ret_id, uint64_t *ret_epoch,
                 struct err *e)
{
    struct links *l = user;
    int64_t wall = links_wall(l);
    int status = member_check_peer(l->args.member, der, count, wall, ret_id, ret_epoch, e);
    return links_judge(status, der, count, wall);
}

// Who asks to join or to renew has no good certificate to show.
static int verify_client(void *user, const struct bytes *der, int count, char *ret_id,
                         uint64_t *ret_epoch, struct err *e)
{
    if (count == 0) {
        ret_id[0] = 0;
        *ret_epoch = 0;
        return 0;
    }
    return links_verify(user, der, count, ret_id, ret_epoch, e);
}

bool links_may_log(struct links *l)
{
    int64_t second = links_now(l) / 1000;
    if (second != l->log_second) {
        if (l->unsaid)
            log_event(LOG_WARN, "mesh.refused", LOG_STR("why", "and more like these"),
                      LOG_UINT("count", l->unsaid));
        l->log_second = second;
        l->logged = l->unsaid = 0;
    }
    bool may = l->logged < LOGS_A_SECOND;
    l->logged += may;
    l->unsaid += !may;
    return may;
}

void links_refused(struct links *l, enum links_refusal what, const char *who, const char *why)
{
    if (l->args.ops->refused)
        l->args.ops->refused(l->args.user, what, who, why);
}

static void on_refused(void *user, const struct net_peer *peer, const struct err *e)
{
    struct links *l = user;
    if (links_may_log(l))
        log_event(LOG_WARN, "mesh.refused", LOG_STR("peer", peer->text), LOG_STR("why", e->text));
    links_refused(l, LINKS_REFUSED_PEER, peer->text, e->text);
}

int links_tls(struct links *l, struct err *e)
{
    struct member_view v;
    struct net_tls *server = NULL, *client = NULL;
    member_view(l->args.member, &v);
    struct net_tls_args args = {.server = true,
                                .cert_pem = v.cert_pem,
                                .key_pem = v.key_pem,
                                .verify = verify_client,
                                .user = l,
                                .alpn = LINKS_ALPN,
                                .on_refused = on_refused};
    int status = net_tls_new(&server, &args, e);
    args.server = false;
    args.verify = links_verify;
    args.on_refused = NULL;
    if (status == 0)
        status = net_tls_new(&client, &args, e);
    if (status < 0) {
        net_tls_free(server);
        return err_wrap(e, "the node's certificate");
    }
    // Connections that are there go on with the old one; new ones begin with this.
    if (l->listener)
        http_server_tls(l->args.server, l->listener, server);
    list_each (it, &l->links) {
        struct link *x = container_of(it, struct link, node);
        if (x->pool)
            http_pool_tls(x->pool, client);
    }
    net_tls_free(l->server_tls);
    net_tls_free(l->client_tls);
    l->server_tls = server;
    l->client_tls = client;
    return 0;
}

// ---- life --------------------------------------------------------------------------------------

// A node that said goodbye ends what it has begun, but nobody looks at its life any more. When it
// is not heard either, nothing of that will come.
static void cut_gone(struct links *l)
{
    list_each_safe (it, &l->links) {
        struct link *x = container_of(it, struct link, node);
        struct mesh_node_view v;
        if (!x->pool || links_now(l) - x->heard_ms <= LINKS_GONE_MS)
            continue;
        mesh_node_view(l->args.mesh, x->mesh, links_now(l), &v);
        if (v.state == MESH_LEFT)
            link_drop(x);
    }
}

static void on_tick(struct timer *t)
{
    struct links *l = t->user;
    cut_gone(l);
    if (l->args.ops->load)
        l->args.ops->load(l->args.user);
    mesh_tick(l->args.mesh, links_now(l));
    links_run(l);
}

static void on_cut(struct timer *t)
{
    struct links *l = t->user;
    struct buf ids = l->removed;
    buf_init(&l->removed, REMOVED_MAX);
    for (struct bytes rest = buf_bytes(&ids); rest.n;)
        (void)http_server_close_peer(l->args.server, bytes_cut(&rest, '\n'));
    buf_fini(&ids);
    list_each_safe (it, &l->links) {
        struct link *x = container_of(it, struct link, node);
        struct mesh_node_view v;
        mesh_node_view(l->args.mesh, x->mesh, links_now(l), &v);
        if (v.state == MESH_REMOVED)
            link_drop(x);
    }
}

int links_new(struct links **ret, const struct links_args *args, struct err *e)
{
    struct links *l = mem_new(struct links);
    if (!l)
        return err_set(e, E_NOMEM, "out of memory");
    l->args = *args;
    list_init(&l->links);
    list_init(&l->calls);
    buf_init(&l->sheet, MEMBER_SHEET_MAX);
    buf_init(&l->scratch, 4096);
    l->by_id = map_new(MESH_NODES_MAX * 2);
    l->tick = (struct timer){.fn = on_tick, .user = l};
    l->renew = (struct timer){.fn = links_renew_tick, .user = l};
    l->cut = (struct timer){.fn = on_cut, .user = l};
    buf_init(&l->removed, REMOVED_MAX);
    l->renew_pause_ms = LINKS_RENEW_MS;
    int status = l->by_id ? links_tls(l, e) : err_set(e, E_NOMEM, "out of memory");
    if (status < 0) {
        l->closed = true;
        links_free(l);
        return status;
    }
    *ret = l;
    return 0;
}

static int open_once(struct links *l, const struct net_addr *addr, struct err *e)
{
    struct net_listen_args args = {.addr = *addr,
                                   .tls = l->server_tls,
                                   .queue_bytes_max = QUEUE_BYTES_MAX,
                                   .handshake_ms = HANDSHAKE_MS,
                                   .yields = true};
    int status = http_server_listen(l->args.server, &args, l->args.tag, &l->listener, e);
    if (status < 0)
        return status;
    l->port = net_listener_port(l->listener);
    struct dgram_args udp = {.addr = *addr, .on_data = links_datagram, .user = l};
    udp.addr.port = l->port;
    if (udp.addr.host[0] == 0)
        (void)snprintf(udp.addr.host, sizeof(udp.addr.host), "0.0.0.0");
    status = dgram_open(l->args.net, &udp, &l->udp, e);
    if (status < 0) {
        http_server_unlisten(l->args.server, l->listener);
        l->listener = NULL;
    }
    return status;
}

int links_open(struct links *l, const struct net_addr *addr, struct err *e)
{
    int status = E_INUSE;
    // A free TCP port may be taken as a UDP port: then another is tried.
    for (int tries = addr->port ? 1 : 20; status == E_INUSE && tries > 0; tries--)
        status = open_once(l, addr, e);
    if (status < 0)
        return err_wrap(e, "listen.mesh %s:%u", addr->host, addr->port);
    (void)timer_start(l->args.timers, &l->tick, 0);
    (void)timer_start(l->args.timers, &l->renew, 0);
    return 0;
}

uint16_t links_port(const struct links *l)
{
    return l->port;
}

struct net_listener *links_listener(const struct links *l)
{
    return l->listener;
}

void links_authority(struct links *l, struct authority *a)
{
    l->args.authority = a;
}

void links_forget_keys(struct links *l)
{
    list_each (it, &l->links) {
        struct link *x = container_of(it, struct link, node);
        if (x->has_in)
            (void)map_del(l->by_id, (struct bytes){(const char *)&x->in_id, sizeof(x->in_id)});
        x->has_in = x->has_out = false;
        if (x->pool)
            http_pool_drop_idle(x->pool);
    }
}

void links_close(struct links *l)
{
    if (!l || l->closed)
        return;
    l->closed = true;
    timer_stop(l->args.timers, &l->tick);
    timer_stop(l->args.timers, &l->renew);
    timer_stop(l->args.timers, &l->cut);
    if (l->udp)
        dgram_close(l->udp);
    l->udp = NULL;
    if (l->listener)
        http_server_unlisten(l->args.server, l->listener);
    l->listener = NULL;
    links_anon_free(l->renewing);
    l->renewing = NULL;
    list_each_safe (it, &l->links)
        link_drop(container_of(it, struct link, node));
}

void links_free(struct links *l)
{
    if (!l)
        return;
    links_close(l);
    list_each_safe (it, &l->links) {
        struct link *x = container_of(it, struct link, node);
        mesh_set_user(x->mesh, NULL);
        link_free(x);
    }
    list_each_safe (it, &l->calls) // whose end never came: the loop is over
        links_call_free(container_of(it, struct links_call, node));
    map_free(l->by_id);
    net_tls_free(l->server_tls);
    net_tls_free(l->client_tls);
    buf_fini(&l->sheet);
    buf_fini(&l->scratch);
    buf_fini(&l->removed);
    mem_free(l);
}

// ---- peers -------------------------------------------------------------------------------------

struct link *links_link_of(struct links *l, struct mesh_node *n)
{
    struct link *x = mesh_user(n);
    struct mesh_node_view v;
    if (x || n == mesh_self_node(l->args.mesh))
        return x;
    x = mem_new(struct link);
    if (!x)
        return NULL;
    mesh_node_view(l->args.mesh, n, links_now(l), &v);
    (void)snprintf(x->name, sizeof(x->name), "%s", v.name);
    x->all = l;
    x->mesh = n;
    x->hello_pause_ms = LINKS_HELLO_MS;
    x->datagram_ms = links_now(l);
    list_init(&x->node);
    list_add_tail(&l->links, &x->node);
    mesh_set_user(n, x);
    return x;
}

struct link *links_link(struct links *l, struct bytes name)
{
    struct mesh_node *n = l->closed ? NULL : mesh_find(l->args.mesh, name);
    return n ? links_link_of(l, n) : NULL;
}

struct http_pool *links_pool(struct links *l, struct mesh_node *n)
{
    struct link *x = l->closed || l->expired ? NULL : links_link_of(l, n);
    if (x && !x->pool)
        (void)link_dial(x, NULL);
    return x ? x->pool : NULL;
}

struct bytes links_node_of(const struct spiffe_id *id)
{
    struct bytes node = spiffe_node(id);
    return id->path.n == sizeof("/node/") - 1 + node.n ? node : BYTES_NONE;
}

static int peer_check(const struct links *l, const struct net_peer *peer, struct err *e)
{
    struct spiffe_id id;
    if (!peer->id || !*peer->id)
        return err_set(e, E_UNAUTH, "only nodes of this mesh come in here, with their certificate");
    if (l->closed)
        return err_set(e, E_UNAVAILABLE, "this node is leaving the mesh");
    if (spiffe_parse(&id, bytes_of(peer->id), e) < 0)
        return E_SECURITY;
    if (member_removed(l->args.member, id.text, peer->epoch))
        return err_set(e, E_SECURITY, "%s was removed from the mesh", peer->id);
    if (links_node_of(&id).n == 0)
        return err_set(e, E_FORBIDDEN, "%s is no node", peer->id);
    return 0;
}

int links_peer(struct links *l, const struct net_peer *peer, struct err *e)
{
    struct err why = {0};
    int status = peer_check(l, peer, &why);
    if (status == 0)
        return 0;
    if (status != E_UNAVAILABLE)
        links_refused(l, LINKS_REFUSED_PEER, peer->id && *peer->id ? peer->id : peer->text,
                      why.text);
    return err_set(e, status, "%s", why.text);
}

// ---- what the mesh decides ---------------------------------------------------------------------

static void forget(struct links *l, struct mesh_node *n)
{
    struct link *x = mesh_user(n);
    if (!x)
        return;
    mesh_set_user(n, NULL);
    link_free(x);
    (void)l;
}

static void state_changed(struct links *l, const struct mesh_effect *fx)
{
    struct mesh_node_view v;
    mesh_node_view(l->args.mesh, fx->node, links_now(l), &v);
    log_event(v.state == MESH_ALIVE ? LOG_INFO : LOG_WARN, "mesh.node", LOG_STR("node", v.name),
              LOG_STR("state", mesh_state_name(v.state)),
              LOG_STR("before", mesh_state_name(fx->before)),
              LOG_INT("silence_ms", fx->silence_ms));
    // A node that said goodbye still ends what it has begun.
    if (v.state == MESH_DEAD || v.state == MESH_REMOVED) {
        struct link *x = mesh_user(fx->node);
        char why[MESH_NAME_MAX + 80];
        (void)snprintf(why, sizeof(why), "node %s is %s", v.name, mesh_state_name(v.state));
        l->args.ops->cut(l->args.user, v.name, why);
        if (x && v.state == MESH_DEAD) // one that was removed is told so first: on_cut
            link_drop(x);
    }
    l->args.ops->state(l->args.user, fx->node, fx->before, fx->silence_ms);
}

static void carry_out(struct links *l, const struct mesh_effect *fx)
{
    struct link *x = fx->node ? links_link_of(l, fx->node) : NULL;
    struct link *from = fx->from ? links_link_of(l, fx->from) : NULL;
    struct mesh_node_view v;
    switch (fx->kind) {
    case MESH_BEAT:
        if (x)
            link_beat(x);
        break;
    case MESH_FETCH:
        if (from && fx->node) {
            mesh_node_view(l->args.mesh, fx->node, links_now(l), &v);
            link_fetch(from, v.name);
        }
        break;
    case MESH_OFFER:
        if (x)
            link_offer(x);
        break;
    case MESH_SYNC:
        if (x)
            link_sync(x);
        break;
    case MESH_STATE: state_changed(l, fx); break;
    case MESH_CHANGED: l->args.ops->changed(l->args.user, fx->node); break;
    case MESH_WANT: l->args.ops->want(l->args.user, fx->model); break;
    case MESH_FORGOT: forget(l, fx->node); break;
    }
}

void links_run(struct links *l)
{
    struct mesh_effect fx;
    if (l->running || l->closed)
        return;
    l->running = true;
    while (!l->closed && mesh_effect(l->args.mesh, &fx))
        carry_out(l, &fx);
    l->running = false;
    if (l->closed)
        return;
    int64_t at = mesh_next_ms(l->args.mesh), wait = at - links_now(l);
    (void)timer_start(l->args.timers, &l->tick, wait > 0 ? wait : 0);
}

// ---- sheets and removals -----------------------------------------------------------------------

int links_tell(struct links *l, const struct mesh_sheet *s, struct err *e)
{
    int status = mesh_self(l->args.mesh, s, links_now(l), e);
    if (status <= 0)
        return status;
    struct mesh_node_view v;
    struct buf payload;
    mesh_node_view(l->args.mesh, mesh_self_node(l->args.mesh), links_now(l), &v);
    buf_init(&payload, MESH_SHEET_BYTES_MAX);
    mesh_sheet_put(&payload, l->args.names, v.sheet);
    buf_clear(&l->sheet);
    status = payload.failed ? err_set(e, E_TOOBIG, "this node's sheet is too large")
                            : member_sheet_sign(l->args.member, buf_bytes(&payload), &l->sheet, e);
    buf_fini(&payload);
    if (status == 0)
        links_run(l);
    return status;
}

struct bytes links_sheet(const struct links *l)
{
    return buf_bytes(&l->sheet);
}

// A grant with roles holds a node to them.
static const char *const *roles_of(struct arena *a, const struct mesh_sheet *s,
                                   const struct grant *g)
{
    const char **out = arena_zalloc(a, (GRANT_ROLES_MAX + 1) * sizeof(*out));
    size_t count = 0;
    if (!g->roles || !g->roles[0] || !out)
        return out && s->roles ? s->roles : NULL;
    for (size_t i = 0; s->roles && s->roles[i] && count < GRANT_ROLES_MAX; i++)
        for (size_t k = 0; g->roles[k]; k++)
            if (strcmp(s->roles[i], g->roles[k]) == 0 && count < GRANT_ROLES_MAX)
                out[count++] = s->roles[i];
    return out;
}

static int take(struct links *l, struct arena *a, struct bytes text, struct err *e)
{
    struct bytes payload;
    struct grant grant;
    struct mesh_sheet s = {0};
    int status = member_sheet_open(l->args.member, text, a, &payload, &grant, e);
    if (status == 0)
        status = mesh_sheet_parse(&s, a, l->args.names, payload, e);
    if (status < 0)
        return status;
    if (!s.node || strcmp(s.node, grant.node) != 0)
        return err_set(e, E_SECURITY, "a sheet of node %s, signed by node %s", s.node, grant.node);
    s.clearance = (struct label){.level = LABEL_INTERNAL};
    if (grant.clearance && *grant.clearance)
        status = label_parse(l->args.names, bytes_of(grant.clearance), &s.clearance, e);
    s.roles = roles_of(a, &s, &grant);
    return status < 0 ? status : mesh_put(l->args.mesh, &s, text, links_now(l), e);
}

int links_take(struct links *l, struct bytes text, struct err *e)
{
    struct arena *a = arena_new(SHEET_ARENA);
    if (!a)
        return err_set(e, E_NOMEM, "out of memory");
    text = bytes_trim(text);
    int status = take(l, a, text, e);
    arena_free(a);
    if (status > 0)
        links_run(l);
    return status;
}

static void on_spread(struct links_call *c, int status, const struct err *e)
{
    (void)c;
    (void)status;
    (void)e; // who does not hear it now gets it with the next sync
}

// To all that are reached, and to the one that was removed, also when it only just came.
static void spread(struct links *l, struct bytes text, const char *removed)
{
    list_each_safe (it, &l->links) {
        struct link *x = container_of(it, struct link, node);
        struct buf body;
        if (!x->has_out && strcmp(x->name, removed) != 0)
            continue;
        buf_init(&body, GRANT_TEXT_MAX);
        (void)buf_put(&body, text);
        (void)links_call(x, "POST", "/mesh/v1/removal", &body, on_spread, NULL);
        buf_fini(&body);
    }
}

static void cut_removed(struct links *l, struct mesh_node *n)
{
    char id[SPIFFE_ID_MAX + 1];
    struct mesh_node_view node;
    struct member_view v;
    member_view(l->args.member, &v);
    mesh_node_view(l->args.mesh, n, links_now(l), &node);
    (void)snprintf(id, sizeof(id), "spiffe://%s/node/%s", v.domain, node.name);
    mesh_removed(l->args.mesh, bytes_of(node.name), links_now(l));
    // Not now: the request that brought the news may have come over one of them, and it shall hear
    // of it itself.
    (void)buf_fmt(&l->removed, "%s\n", id);
    (void)timer_start(l->args.timers, &l->cut, CUT_MS);
    links_run(l);
}

int links_removal(struct links *l, struct bytes text, struct err *e)
{
    struct grant_removal r;
    struct member_view v;
    text = bytes_trim(text);
    int status = member_removal_add(l->args.member, text, &r, e);
    if (status <= 0)
        return status;
    member_view(l->args.member, &v);
    struct err why = {0};
    // A full disk is no reason to keep it: it counts from now on, and is saved with the next
    // change.
    if (l->args.ops->save_member(l->args.user, &why) < 0)
        log_event(LOG_ERROR, "mesh.save", LOG_STR("why", why.text));
    log_event(LOG_WARN, "mesh.removed", LOG_STR("node", r.node), LOG_UINT("epoch", r.epoch));
    bool self = strcmp(r.node, v.node) == 0 && v.epoch <= r.epoch;
    struct mesh_node *n = mesh_find(l->args.mesh, bytes_of(r.node));
    // First it is told to the one removed, too: it shall know why nobody answers any more.
    if (n)
        (void)links_link_of(l, n);
    spread(l, text, r.node);
    if (self) {
        l->args.ops->removed(l->args.user);
        return 1;
    }
    if (n)
        cut_removed(l, n);
    return 1;
}

// A node whose sheet is void by what this node knows of removals, NULL: none.
static struct mesh_node *void_node(struct links *l)
{
    for (struct mesh_node *n = NULL; (n = mesh_each(l->args.mesh, n)) != NULL;) {
        struct mesh_node_view v;
        struct grant_removal r;
        struct bytes raw;
        size_t at = 0;
        bool named = false;
        mesh_node_view(l->args.mesh, n, links_now(l), &v);
        while (!named && grant_removals_each(member_removals(l->args.member), &at, &r, NULL))
            named = strcmp(r.node, v.name) == 0;
        if (v.self || v.state == MESH_REMOVED || !named || !mesh_raw(l->args.mesh, n, &raw))
            continue;
        struct arena *a = arena_new(SHEET_ARENA);
        struct bytes payload;
        struct grant grant;
        int status = a ? member_sheet_open(l->args.member, raw, a, &payload, &grant, NULL) : 0;
        arena_free(a);
        if (status == E_SECURITY)
            return n;
    }
    return NULL;
}

void links_cut_removed(struct links *l)
{
    struct mesh_node *n;
    while (!l->closed && (n = void_node(l)) != NULL)
        cut_removed(l, n);
}

static void on_standby(struct links_call *c, int status, const struct err *e)
{
    if (status < 0)
        log_event(LOG_WARN, "mesh.standby", LOG_STR("node", c->peer), LOG_STR("why", e->text));
    if (c->body.p)
        mem_wipe(c->body.p, c->body.cap);
}

void links_standby(struct links *l, const char *node, struct bytes authority_text)
{
    struct buf body;
    struct err e = {0};
    struct link *x = links_link(l, bytes_of(node));
    if (!x)
        return;
    buf_init(&body, AUTHORITY_TEXT_MAX);
    (void)buf_put(&body, authority_text);
    if (!links_call(x, "POST", "/mesh/v1/standby", &body, on_standby, &e))
        log_event(LOG_WARN, "mesh.standby", LOG_STR("node", node), LOG_STR("why", e.text));
    if (body.p)
        mem_wipe(body.p, body.cap);
    buf_fini(&body);
}

bool links_quiet(const struct links *l)
{
    return list_empty(&l->calls);
}

// ---- requests of others ------------------------------------------------------------------------

static void on_asked(struct links_call *c, int status, const struct err *e)
{
    struct links_ask *a = c->ask;
    a->call = NULL;
    a->done(a, status, buf_bytes(&c->answer), e);
}

int links_ask(struct links *l, struct mesh_node *n, const char *method, const char *target,
              struct bytes body, struct links_ask *a, struct err *e)
{
    struct link *x = l->closed || l->expired ? NULL : links_link_of(l, n);
    struct buf copy;
    if (!x)
        return err_set(e, E_UNAVAILABLE, "there is no link to that node");
    buf_init(&copy, LINKS_ANSWER_MAX);
    (void)buf_put(&copy, body);
    struct links_call *c = links_call(x, method, target, &copy, on_asked, e);
    buf_fini(&copy);
    if (!c)
        return e && e->code ? e->code : E_UNAVAILABLE;
    buf_init(&c->answer, a->answer_max ? a->answer_max : ASK_ANSWER_MAX);
    c->ask = a;
    a->call = c;
    return 0;
}
