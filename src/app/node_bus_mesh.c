// node_bus_mesh.c: where the bus is when bus.engine is nats and no url is given: in no mesh a
// nats-server of this node's own; in a mesh one for all, run by the node that holds the authority.
// It takes nobody but nodes of the mesh, by their certificates.
// SPDX-License-Identifier: Apache-2.0
#include "app/node_bus_priv.h"
#include "app/node_mesh_priv.h"
#include "base/file.h"
#include "base/time.h"
#include "text/url.h"
#include <stdio.h>
#include <string.h>

#define AGAIN_MS 1000    // after what failed
#define PORT_AGAIN_MS 100
#define PORT_WAIT_MS 3000 // a server of the last life may take so long to end

static int64_t now(const struct node_bus *b)
{
    return timers_now_ms(loop_timers(b->node->loop));
}

static void path_of(const struct node_bus *b, const char *name, char path[4200])
{
    (void)snprintf(path, 4200, "%s/nats/%s", b->node->paths.data, name);
}

static bool in_mesh(const struct node_mesh *m)
{
    return m && m->links && !m->closed && m->member && member_joined(m->member);
}

// ---- who the other side is ----------------------------------------------------------------------

// The server must be the node's whose record named it: another member could answer there.
static int verify(void *user, const struct bytes *der, int count, char *ret_id, uint64_t *ret_epoch,
                  struct err *e)
{
    struct node_bus *b = user;
    const struct node_mesh *m = b->node->mesh;
    struct spiffe_id id;
    char path[sizeof(b->server) + 8];
    if (!in_mesh(m))
        return err_set(e, E_SECURITY, "this node is in no mesh any more");
    int status = member_check_peer(m->member, der, count, time_wall_ms(), ret_id, ret_epoch, e);
    if (status == 0)
        status = spiffe_parse(&id, bytes_of(ret_id), e);
    (void)snprintf(path, sizeof(path), "/node/%s", b->server);
    if (status == 0 && !bytes_is(id.path, path))
        status = err_set(e, E_SECURITY, "the NATS server is %s, not node %s", ret_id, b->server);
    return status;
}

static int make_tls(struct node_bus *b, struct net_tls **ret, struct err *e)
{
    struct member_view v;
    member_view(b->node->mesh->member, &v);
    struct net_tls_args args = {
        .cert_pem = v.cert_pem, .key_pem = v.key_pem, .verify = verify, .user = b};
    return net_tls_new(ret, &args, e);
}

static uint64_t identity_of(const struct node_mesh *m)
{
    struct member_view v;
    member_view(m->member, &v);
    return bytes_hash(v.cert_pem) * 31 + bytes_hash(v.bundle_pem);
}

// ---- what the server is told --------------------------------------------------------------------

static int write_files(const struct node_bus *b, struct err *e)
{
    struct member_view v;
    char path[4200];
    member_view(b->node->mesh->member, &v);
    const struct {
        const char *name;
        struct bytes text;
    } files[] = {{"cert.pem", v.cert_pem}, {"key.pem", v.key_pem}, {"ca.pem", v.bundle_pem}};
    path_of(b, "", path);
    int status = file_mkdirs(path, 0700, e);
    for (size_t i = 0; i < sizeof(files) / sizeof(*files) && status == 0; i++) {
        path_of(b, files[i].name, path);
        status = file_write_atomic(path, files[i].text, 0600, e);
    }
    return status;
}

static void put_path(const struct node_bus *b, const char *key, const char *name, struct buf *out)
{
    char path[4200];
    path_of(b, name, path);
    (void)buf_fmt(out, "  %s: ", key);
    (void)buf_json_str(out, bytes_of(path));
    (void)buf_chr(out, '\n');
}

// A user of the server is a node: its SPIFFE ID, as its certificate says.
static void put_users(const struct node_bus *b, struct buf *out)
{
    const struct node_mesh *m = b->node->mesh;
    struct member_view member;
    member_view(m->member, &member);
    for (struct mesh_node *x = NULL; (x = mesh_each(m->mesh, x)) != NULL;) {
        struct mesh_node_view v;
        mesh_node_view(m->mesh, x, now(b), &v);
        if (v.state != MESH_REMOVED)
            (void)buf_fmt(out, "    {user: \"spiffe://%s/node/%s\"}\n", member.domain, v.name);
    }
}

void node_bus_mesh_conf(struct node_bus *b, struct buf *out)
{
    (void)buf_str(out, "authorization {\n  users: [\n");
    if (in_mesh(b->node->mesh))
        put_users(b, out);
    (void)buf_str(out, "  ]\n}\ntls {\n");
    put_path(b, "cert_file", "cert.pem", out);
    put_path(b, "key_file", "key.pem", out);
    put_path(b, "ca_file", "ca.pem", out);
    (void)buf_str(out, "  verify_and_map: true\n  timeout: 5\n}\n");
}

static uint64_t members_of(const struct node_bus *b)
{
    struct buf text;
    buf_init(&text, 1 << 20);
    put_users(b, &text);
    uint64_t sign = bytes_hash(buf_bytes(&text));
    buf_fini(&text);
    return sign;
}

// ---- its address --------------------------------------------------------------------------------

static uint16_t port_of_last_life(const struct node_bus *b)
{
    char path[4200];
    struct buf text;
    uint64_t port = 0;
    buf_init(&text, 4096);
    path_of(b, "port", path);
    if (file_read(path, &text, NULL) < 0 || !bytes_u64(bytes_trim(buf_bytes(&text)), &port) ||
        port > UINT16_MAX)
        port = 0;
    buf_fini(&text);
    return (uint16_t)port;
}

static void save_port(const struct node_bus *b, uint16_t port)
{
    char path[4200], text[16];
    struct err e = {0};
    path_of(b, "port", path);
    (void)snprintf(text, sizeof(text), "%u\n", port);
    if (file_write_atomic(path, bytes_of(text), 0600, &e) < 0)
        log_event(LOG_WARN, "bus.server", LOG_STR("what", "its port may change at the next start"),
                  LOG_STR("why", e.text));
}

// That of the last life, the mesh's and one, or any. 1: wait for that of the last life.
static int pick_port(struct node_bus *b, const char *host, uint16_t *ret, struct err *e)
{
    uint16_t last = port_of_last_life(b);
    *ret = last;
    if (last && node_bus_child_port(host, ret, NULL) == 0)
        return 0;
    if (last && now(b) < b->port_until_ms)
        return 1;
    *ret = (uint16_t)(links_port(b->node->mesh->links) + 1);
    if (*ret && node_bus_child_port(host, ret, NULL) == 0)
        return 0;
    *ret = 0;
    return node_bus_child_port(host, ret, e);
}

static int set_place(struct node_bus *b, struct err *e)
{
    struct node_bus_child *c = &b->child;
    struct url_addr at = {0};
    uint16_t port = 0;
    int status = url_addr_parse(&at, bytes_of(b->node->mesh->listen), e);
    if (status < 0)
        return status;
    const char *host = *at.host ? at.host : "0.0.0.0";
    const char *own = strcmp(host, "0.0.0.0") == 0 ? "127.0.0.1"
                      : strcmp(host, "::") == 0    ? "::1"
                                                   : host;
    if ((status = pick_port(b, host, &port, e)) != 0)
        return status;
    c->port = port;
    *c->token = 0;
    (void)snprintf(c->host, sizeof(c->host), "%s", host);
    (void)snprintf(c->url, sizeof(c->url),
                   strchr(own, ':') ? "tls://[%.200s]:%u" : "tls://%.200s:%u", own, port);
    save_port(b, port);
    return 0;
}

const char *node_bus_address(const struct node *n, struct arena *a, const char *advertised)
{
    const struct node_bus *b = n->bus;
    struct url_addr at = {0};
    if (!b || b->closing || b->way != NODE_BUS_SERVE ||
        url_addr_parse(&at, bytes_of(advertised), NULL) < 0)
        return NULL;
    return arena_fmt(a, strchr(at.host, ':') ? "[%s]:%u" : "%s:%u", at.host, b->child.port);
}

// What the authority's node says of itself; "": nothing (yet).
static void address_of_server(const struct node_bus *b, const char *server, char ret[300])
{
    const struct node_mesh *m = b->node->mesh;
    struct mesh_node *x = mesh_find(m->mesh, bytes_of(server));
    struct mesh_node_view v;
    *ret = 0;
    if (!x)
        return;
    mesh_node_view(m->mesh, x, now(b), &v);
    for (size_t i = 0; v.state != MESH_REMOVED && v.sheet && i < v.sheet->record_count; i++) {
        const struct mesh_record *r = &v.sheet->records[i];
        if (r->address && strcmp(r->kind, "service") == 0 && strcmp(r->name, "nats") == 0)
            (void)snprintf(ret, 300, "%s", r->address);
    }
}

// ---- the way ------------------------------------------------------------------------------------

static enum node_bus_way way_now(const struct node_bus *b)
{
    const struct node_mesh *m = b->node->mesh;
    if (!in_mesh(m))
        return NODE_BUS_OWN;
    return m->authority && strcmp(member_authority(m->member), m->self) == 0 ? NODE_BUS_SERVE
                                                                             : NODE_BUS_FOLLOW;
}

static void note(const struct node_bus *b, const char *fmt, const char *what)
{
    char text[200];
    (void)snprintf(text, sizeof(text), fmt, what);
    ctl_set_bus_note(b->node->ctl, text);
}

// What was there ends; look() goes on when it has.
static void leave_way(struct node_bus *b, enum node_bus_way to)
{
    ctl_set_bus(b->node->ctl, NULL);
    node_flows_bus(b->node, NULL);
    if (b->bus && !b->reopen) {
        b->reopen = true;
        bus_close(b->bus);
    }
    if (to == NODE_BUS_FOLLOW)
        node_bus_child_stop(b);
    b->way = NODE_BUS_NOWHERE;
    *b->address = 0;
    b->identity = b->members = 0;
}

// The certificate in use is the newest: at the next connection.
static int take_identity(struct node_bus *b, struct err *e)
{
    uint64_t identity = b->way == NODE_BUS_OWN ? 0 : identity_of(b->node->mesh);
    struct net_tls *tls = NULL, *old = b->tls;
    if (identity == b->identity && (identity != 0) == (b->tls != NULL))
        return 0;
    int status = identity ? make_tls(b, &tls, e) : 0;
    if (status == 0 && b->way == NODE_BUS_SERVE && (status = write_files(b, e)) < 0)
        net_tls_free(tls);
    if (status < 0)
        return status;
    b->tls = tls;
    b->identity = identity;
    if (b->bus && !b->reopen)
        (void)bus_server(b->bus, NULL, tls, NULL);
    net_tls_free(old);
    return 1;
}

static int enter_way(struct node_bus *b, enum node_bus_way to, struct err *e)
{
    struct node_mesh *m = b->node->mesh;
    int status = 0;
    b->way = to;
    note(b, "%s", "the NATS server is not there yet");
    (void)snprintf(b->server, sizeof(b->server), "%s",
                   to == NODE_BUS_OWN ? "" : member_authority(m->member));
    if (to == NODE_BUS_SERVE)
        status = set_place(b, e);
    else if (to == NODE_BUS_OWN)
        status = node_bus_child_own(b, e);
    if (status == 0 && (status = take_identity(b, e)) > 0)
        status = 0;
    if (status == 0 && to == NODE_BUS_SERVE)
        b->members = members_of(b);
    if (status == 0 && to != NODE_BUS_FOLLOW)
        status = node_bus_child_start(b, e);
    if (status != 0)
        b->way = NODE_BUS_NOWHERE;
    else if (to == NODE_BUS_SERVE)
        node_mesh_tell(m); // where it is
    return status;
}

static int serve(struct node_bus *b, struct err *e)
{
    uint64_t members = members_of(b);
    int fresh = take_identity(b, e);
    if (fresh < 0)
        return fresh;
    if (fresh || members != b->members)
        node_bus_child_reload(b);
    b->members = members;
    return 0;
}

static int follow(struct node_bus *b, struct err *e)
{
    char address[300], url[310];
    int status = take_identity(b, e);
    if (status < 0)
        return status;
    address_of_server(b, b->server, address);
    if (!*address && !b->bus)
        note(b, "node %s, which holds the mesh's authority, runs no NATS server that is known here",
             *b->server ? b->server : "?");
    if (!*address || b->reopen || (b->bus && strcmp(address, b->address) == 0))
        return 0; // one that is away comes back to where it was, or says where it is
    (void)snprintf(url, sizeof(url), "tls://%s", address);
    status = b->bus ? bus_server(b->bus, url, b->tls, e) : node_bus_open_at(b, url, NULL, e);
    if (status == 0)
        memcpy(b->address, address, sizeof(address));
    return status;
}

static int look(struct node_bus *b, struct err *e)
{
    const struct node_mesh *m = b->node->mesh;
    enum node_bus_way to = way_now(b);
    int status = 0;
    if (b->way != NODE_BUS_NOWHERE &&
        (to != b->way ||
         (to == NODE_BUS_FOLLOW && strcmp(b->server, member_authority(m->member)) != 0)))
        leave_way(b, to);
    if (b->way == NODE_BUS_NOWHERE)
        status = enter_way(b, to, e);
    if (status == 0 && to == NODE_BUS_SERVE)
        status = serve(b, e);
    if (status == 0 && to == NODE_BUS_FOLLOW)
        status = follow(b, e);
    return status;
}

static void on_look(struct timer *t)
{
    struct node_bus *b = t->user;
    struct err e = {0};
    if (b->closing)
        return;
    int status = look(b, &e);
    if (status < 0 && !b->failing)
        log_event(LOG_ERROR, "bus.failed", LOG_STR("why", e.text));
    b->failing = status < 0;
    if (b->failing)
        note(b, "%.190s", e.text);
    if (status != 0)
        node_bus_mesh_look_soon(b, status > 0 ? PORT_AGAIN_MS : AGAIN_MS);
}

void node_bus_mesh_look_soon(struct node_bus *b, int64_t ms)
{
    if (b->way != NODE_BUS_GIVEN && !b->closing)
        (void)timer_start(loop_timers(b->node->loop), &b->look, ms);
}

void node_bus_mesh(struct node *n)
{
    if (n->bus && n->bus->look.fn)
        node_bus_mesh_look_soon(n->bus, 0);
}

int node_bus_mesh_start(struct node_bus *b, struct err *e)
{
    b->look = (struct timer){.fn = on_look, .user = b};
    b->port_until_ms = now(b) + PORT_WAIT_MS;
    int status = look(b, e);
    if (status > 0)
        node_bus_mesh_look_soon(b, PORT_AGAIN_MS);
    return status < 0 ? status : 0;
}
