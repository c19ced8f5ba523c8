// links_serve.c: what other nodes ask for below /mesh/v1/.
// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"
#include "links/links_priv.h"
#include "text/url.h"
#include "trust/trust.h"
#include <string.h>

struct ask { // one request
    struct links *l;
    struct http_exchange *x;
    struct bytes body, query;
    struct bytes id; // the peer's checked SPIFFE ID, empty: it showed no certificate
    struct bytes node; // its node name, empty for other identities
    uint64_t epoch;
};

static void fail(struct ask *a, const struct err *e)
{
    http_reply_error(a->x, e->code ? e->code : E_INTERNAL, e->text, NULL, -1);
}

static void refuse(struct ask *a, int code, const char *text)
{
    http_reply_error(a->x, code, text, NULL, -1);
}

static void reply(struct ask *a, const char *type, struct buf *b)
{
    if (b->failed)
        refuse(a, b->failed, "the answer is too large");
    else
        http_reply(a->x, 200, type, BYTES_NONE, buf_bytes(b));
}

static void done(struct ask *a)
{
    http_reply(a->x, 204, NULL, BYTES_NONE, BYTES_NONE);
}

static bool need_authority(struct ask *a)
{
    struct err e = {0};
    struct links *l = a->l;
    const char *who = member_authority(l->args.member);
    const char *const *where = member_authority_addresses(l->args.member);
    if (l->args.authority)
        return true;
    (void)err_set(&e, E_UNAVAILABLE, "this node is not the mesh's authority; that is node %s%s%s",
                  *who ? who : "?", where && *where ? " at " : "", where && *where ? *where : "");
    fail(a, &e);
    return false;
}

// Two that sign at once could let two machines in with the same token: a standby takes joins only
// while the authority is not heard.
static bool authority_is_heard(const struct links *l)
{
    const char *who = member_authority(l->args.member);
    struct mesh_node *n = mesh_find(l->args.mesh, bytes_of(who));
    struct mesh_node_view v;
    if (!n || n == mesh_self_node(l->args.mesh))
        return false;
    mesh_node_view(l->args.mesh, n, links_now(l), &v);
    return v.state == MESH_ALIVE;
}

static bool joins_here(struct ask *a)
{
    struct err e = {0};
    const struct links *l = a->l;
    if (!need_authority(a))
        return false;
    if (!authority_is_heard(l))
        return true;
    const char *const *where = member_authority_addresses(l->args.member);
    (void)err_set(&e, E_UNAVAILABLE,
                  "this node is the standby, and the authority is there: join at node %s%s%s",
                  member_authority(l->args.member), where && *where ? ", " : "",
                  where && *where ? *where : "");
    fail(a, &e);
    return false;
}

static void op_join(struct ask *a)
{
    struct links *l = a->l;
    struct buf answer, removed, out, news;
    struct err e = {0};
    struct json_w w;
    struct net_peer peer;
    if (!joins_here(a))
        return;
    buf_init(&answer, MEMBER_TEXT_MAX);
    buf_init(&removed, GRANT_TEXT_MAX);
    buf_init(&out, LINKS_ANSWER_MAX);
    buf_init(&news, LINKS_ANSWER_MAX);
    http_peer(a->x, &peer);
    int status = authority_join(l->args.authority, a->body, links_wall(l), &answer, &removed, &e);
    if (status == 0)
        status = l->args.ops->save_authority(l->args.user, &e);
    if (status == 0 || links_may_log(l))
        log_event(status < 0 ? LOG_WARN : LOG_INFO, "mesh.join", LOG_STR("peer", peer.text),
                  LOG_STR("why", status < 0 ? e.text : "ok"));
    if (status < 0) {
        links_refused(l, LINKS_REFUSED_JOIN, peer.text, e.text);
        fail(a, &e);
    } else {
        struct member_view v;
        struct mesh_node_view self;
        if (removed.n)
            (void)links_removal(l, buf_bytes(&removed), NULL);
        member_view(l->args.member, &v);
        mesh_node_view(l->args.mesh, mesh_self_node(l->args.mesh), links_now(l), &self);
        links_news_put(l, BYTES_NONE, &news);
        json_w_init(&w, &out);
        json_w_obj(&w, NULL);
        json_w_str(&w, "answer", buf_bytes(&answer));
        json_w_cstr(&w, "authority", v.node);
        json_w_arr(&w, "addresses");
        for (size_t i = 0; self.sheet && self.sheet->addresses[i]; i++)
            json_w_cstr(&w, NULL, self.sheet->addresses[i]);
        json_w_end(&w);
        json_w_str(&w, "news", buf_bytes(&news));
        json_w_end(&w);
        reply(a, "application/json", &out);
    }
    buf_fini(&answer);
    buf_fini(&removed);
    buf_fini(&out);
    buf_fini(&news);
}

// It was away when it was removed, or does not hear the others: here is the text that says so.
static void refuse_renewal(struct ask *a, const struct err *e)
{
    struct json_doc *doc = NULL;
    struct grant_removal r;
    struct bytes text, node;
    struct buf out;
    struct json_w w;
    size_t at = 0;
    char slug[ERR_SLUG_MAX];
    if (e->code != E_SECURITY || json_parse(&doc, a->body, 0, NULL) < 0) {
        fail(a, e);
        return;
    }
    node = json_str(json_get(json_root(doc), "node"));
    err_slug(e->code, slug);
    buf_init(&out, MEMBER_TEXT_MAX);
    json_w_init(&w, &out);
    json_w_obj(&w, NULL);
    json_w_obj(&w, "error");
    json_w_cstr(&w, "message", e->text);
    json_w_cstr(&w, "code", slug);
    json_w_end(&w);
    json_w_arr(&w, "removals");
    while (grant_removals_each(authority_removals(a->l->args.authority), &at, &r, &text))
        if (bytes_is(node, r.node))
            json_w_str(&w, NULL, text);
    json_w_end(&w);
    json_w_end(&w);
    http_reply(a->x, err_info(e->code)->http, "application/json", BYTES_NONE, buf_bytes(&out));
    buf_fini(&out);
    json_free(doc);
}

static void op_renew(struct ask *a)
{
    struct buf out;
    struct err e = {0};
    if (!need_authority(a))
        return;
    buf_init(&out, MEMBER_TEXT_MAX);
    int status = authority_renew(a->l->args.authority, a->body, links_wall(a->l), &out, &e);
    if (status < 0) {
        struct net_peer peer;
        http_peer(a->x, &peer);
        if (links_may_log(a->l))
            log_event(LOG_WARN, "mesh.renew.refused", LOG_STR("why", e.text));
        links_refused(a->l, LINKS_REFUSED_RENEWAL, peer.text, e.text);
        refuse_renewal(a, &e);
    } else {
        reply(a, "application/json", &out);
    }
    buf_fini(&out);
}

static void op_hello(struct ask *a)
{
    struct links *l = a->l;
    struct link *x = NULL;
    struct buf out;
    struct err e = {0};
    struct net_peer peer;
    buf_init(&out, MEMBER_SHEET_MAX + 4096);
    int status = link_hello_take(l, a->node, a->body, &x, &e);
    if (status == 0 && (status = link_hello_put(x, &out)) < 0)
        (void)err_set(&e, status, "out of memory");
    if (status < 0) {
        http_peer(a->x, &peer);
        if (links_may_log(l))
            log_event(LOG_WARN, "mesh.refused", LOG_BYTES("id", a->id), LOG_STR("peer", peer.text),
                      LOG_STR("why", e.text));
        links_refused(l, LINKS_REFUSED_PEER, peer.id && *peer.id ? peer.id : peer.text, e.text);
        fail(a, &e);
    } else {
        x->hello_not_before_ms = 0;
        reply(a, "application/json", &out);
        link_beat(x);
    }
    buf_fini(&out);
}

static void op_sheet_put(struct ask *a)
{
    struct err e = {0};
    if (links_take(a->l, a->body, &e) < 0)
        fail(a, &e);
    else
        done(a);
}

static void op_sheet_get(struct ask *a)
{
    struct buf name;
    struct bytes text = BYTES_NONE;
    struct links *l = a->l;
    buf_init(&name, 256);
    (void)url_query(a->query, "node", &name);
    struct mesh_node *n = mesh_find(l->args.mesh, buf_bytes(&name));
    if (n && n == mesh_self_node(l->args.mesh))
        text = buf_bytes(&l->sheet);
    else if (n)
        (void)mesh_raw(l->args.mesh, n, &text);
    if (text.n)
        http_reply(a->x, 200, "text/plain", BYTES_NONE, text);
    else
        refuse(a, E_NOTFOUND, "no sheet of that node is known here");
    buf_fini(&name);
}

static void op_sync(struct ask *a)
{
    struct buf out;
    buf_init(&out, LINKS_ANSWER_MAX);
    links_news_put(a->l, a->body, &out);
    reply(a, "text/plain", &out);
    buf_fini(&out);
}

static void op_beat(struct ask *a)
{
    struct link *x = links_link(a->l, a->node);
    struct err e = {0};
    struct buf out;
    buf_init(&out, MESH_BEAT_BYTES_MAX);
    if (!x)
        refuse(a, E_NOTFOUND, "hello first");
    else if (links_beat_take(a->l, x, a->body, &e) < 0)
        fail(a, &e);
    else if (link_beat_put(x, &out) == 0)
        reply(a, "application/octet-stream", &out);
    else
        refuse(a, E_INTERNAL, "no beat");
    buf_fini(&out);
}

static void op_removal(struct ask *a)
{
    struct err e = {0};
    if (links_removal(a->l, a->body, &e) < 0)
        fail(a, &e);
    else
        done(a);
}

// Only the node of the authority, or its standby, speaks for the mesh's admin.
static bool from_authority(struct ask *a)
{
    const struct links_args *args = &a->l->args;
    if (bytes_is(a->node, member_authority(args->member)) ||
        (args->authority && a->node.n && bytes_is(a->node, authority_standby(args->authority))))
        return true;
    refuse(a, E_FORBIDDEN, "only the node of the mesh's authority may ask for that");
    return false;
}

static void op_leave(struct ask *a)
{
    struct links *l = a->l;
    struct buf text;
    struct err e = {0};
    if (!need_authority(a))
        return;
    buf_init(&text, GRANT_TEXT_MAX);
    int status = authority_remove(l->args.authority, a->node, links_wall(l), &text, &e);
    if (status == 0)
        status = l->args.ops->save_authority(l->args.user, &e);
    if (status < 0)
        fail(a, &e);
    else
        done(a); // before its connections are closed by the removal
    if (status == 0)
        (void)links_removal(l, buf_bytes(&text), NULL);
    buf_fini(&text);
}

static void op_drain(struct ask *a)
{
    if (!from_authority(a))
        return;
    a->l->args.ops->drain(a->l->args.user, !bytes_is(bytes_trim(a->body), "off"));
    done(a);
}

static void op_standby(struct ask *a)
{
    struct err e = {0};
    if (!from_authority(a))
        return;
    if (a->l->args.ops->standby(a->l->args.user, a->body, &e) < 0)
        fail(a, &e);
    else
        done(a);
}

// {"id","type","audience","scopes","ttl_ms"}; scopes: "models,read". An identity below the asking
// node's own, or of what it hosts.
static void op_svid(struct ask *a)
{
    struct json_doc *doc = NULL;
    struct err e = {0};
    struct buf out, id;
    const char *audience[17] = {NULL};
    if (!need_authority(a))
        return;
    buf_init(&out, MEMBER_TEXT_MAX);
    buf_init(&id, SPIFFE_ID_MAX + 1);
    (void)buf_put(&id, a->id);
    int status = json_parse(&doc, a->body, 0, &e);
    const struct json *root = json_root(doc), *list = json_get(root, "audience");
    for (size_t i = 0; i < json_len(list) && i < 16; i++)
        audience[i] = json_cstr(json_at(list, i), "");
    struct authority_svid_args args = {.requester = buf_cstr(&id),
                                       .requester_epoch = a->epoch,
                                       .id = json_cstr(json_get(root, "id"), ""),
                                       .ttl_ms = json_i64(json_get(root, "ttl_ms"), 0),
                                       .audience = audience};
    if (status == 0 && json_get(root, "scopes"))
        status = scope_parse(json_str(json_get(root, "scopes")), &args.scopes, &e);
    if (status == 0)
        status = bytes_is(json_str(json_get(root, "type")), "jwt")
                     ? authority_svid_jwt(a->l->args.authority, &args, links_wall(a->l), &out, &e)
                     : authority_svid_x509(a->l->args.authority, &args, links_wall(a->l), &out, &e);
    if (status < 0)
        fail(a, &e);
    else
        reply(a, "application/json", &out);
    json_free(doc);
    buf_fini(&out);
    buf_fini(&id);
}

static const struct {
    const char *method, *path;
    bool anonymous; // needs no certificate
    void (*run)(struct ask *a);
} ops[] = {
    {"POST", "join", true, op_join},       {"POST", "renew", true, op_renew},
    {"POST", "hello", false, op_hello},    {"POST", "sheet", false, op_sheet_put},
    {"GET", "sheet", false, op_sheet_get}, {"POST", "sync", false, op_sync},
    {"POST", "beat", false, op_beat},      {"POST", "removal", false, op_removal},
    {"POST", "drain", false, op_drain},    {"POST", "standby", false, op_standby},
    {"POST", "svid", false, op_svid},      {"POST", "leave", false, op_leave},
};

bool links_handle(struct links *l, struct http_exchange *x)
{
    static const struct bytes root = BYTES("/mesh/v1/");
    const struct http_head *h = http_request(x);
    struct net_peer peer = {0};
    struct spiffe_id id = {0};
    struct err e = {0};
    if (!bytes_starts(h->path, root))
        return false;
    struct ask a = {.l = l, .x = x, .body = http_body(x), .query = h->query};
    http_peer(x, &peer);
    if (peer.id && *peer.id && spiffe_parse(&id, bytes_of(peer.id), NULL) == 0) {
        a.id = id.text;
        a.node = links_node_of(&id);
        a.epoch = peer.epoch;
    }
    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
        if (!bytes_is(h->method, ops[i].method) ||
            !bytes_is(bytes_from(h->path, root.n), ops[i].path))
            continue;
        if (!ops[i].anonymous && links_peer(l, &peer, &e) < 0)
            fail(&a, &e);
        else
            ops[i].run(&a);
        links_run(l);
        return true;
    }
    refuse(&a, E_NOTFOUND,
           "there is no such operation between nodes; perhaps it is of a newer plexus");
    return true;
}
