// node_caps.c: capabilities of this node: the enclave they run in, the registry they come from, and
// the registry that this node is for others. SPDX-License-Identifier: Apache-2.0
#include "app/node_caps_priv.h"
#include "base/alloc.h"
#include "base/time.h"
#include "text/cloudevent.h"
#include "text/url.h"
#include <stdio.h>
#include <string.h>

// ---- the enclave --------------------------------------------------------------------------------

static void woken(void *user)
{
    struct node_caps *c = user;
    if (c->enclave)
        enclave_turn(c->enclave);
}

static void wake(void *user) // from any thread
{
    loop_wake_send(((struct node_caps *)user)->wake);
}

static struct net_tls *tls_of(void *user, struct err *e)
{
    return node_tls(((struct node_caps *)user)->node, e);
}

static void guest_log(void *user, struct bytes urn, int level, struct bytes line)
{
    (void)user;
    log_event_quiet(level >= LOG_WARN ? LOG_WARN : LOG_INFO, "tool.line", LOG_BYTES("urn", urn),
                    LOG_BYTES("line", line));
}

static bool taken(void *user, const char *name)
{
    struct tools *all = node_tools_all(((struct node_caps *)user)->node);
    struct tool_about a;
    return all && all->ops->find(all, bytes_of(name), &a) && !bytes_is(a.source, "capability");
}

static int open_enclave(struct node_caps *c, const char *folder, struct err *e)
{
    struct node *n = c->node;
    char cache[4200];
    (void)snprintf(cache, sizeof cache, "%.4000s/compiled", folder);
    int status = loop_wake_new(n->loop, woken, c, &c->wake);
    if (status < 0)
        return err_set(e, status, "no wake-up handle");
    struct guest_http_args http = {.net = loop_net(n->loop),
                                   .timers = loop_timers(n->loop),
                                   .work = loop_work(n->loop),
                                   .tls = tls_of,
                                   .user = c};
    status = guest_http_new(&c->http, &http, e);
    if (status < 0)
        return status;
    struct enclave_args args = {
        .cache = cache, .wake = wake, .user = c, .http = guest_http_client(c->http)};
    return enclave_new(&c->enclave, &args, e);
}

// ---- the registry that this node is -------------------------------------------------------------

static int may_publish(void *user, const struct http_exchange *x, struct err *e)
{
    struct node_caps *c = user;
    struct node *n = c->node;
    struct bytes text = http_key(http_request(x));
    struct key *key = NULL;
    int64_t retry_ms = 0;
    if (!text.n)
        return err_set(e, E_UNAUTH,
                       "publishing needs an API key of this node with the scope admin: "
                       "tools.registry_key");
    return keys_check(n->keys, text, SCOPE_ADMIN, timers_now_ms(loop_timers(n->loop)),
                      time_wall_ms(), &key, &retry_ms, e);
}

static void on_publish(void *user, const struct http_exchange *x, struct bytes urn, int status,
                       const struct err *e)
{
    struct net_peer peer;
    (void)user;
    http_peer(x, &peer);
    log_event(status < 0 ? LOG_WARN : LOG_INFO, "registry.publish", LOG_STR("peer", peer.text),
              LOG_BYTES("urn", urn), LOG_STR("why", status < 0 && e ? e->text : NULL));
}

static int on_head(void *user, struct http_exchange *x)
{
    return capreg_server_head(((struct node_caps *)user)->serves, x);
}

static void on_request(void *user, struct http_exchange *x)
{
    capreg_server_request(((struct node_caps *)user)->serves, x);
}

static void on_refused(void *user, const struct net_peer *peer, int code, const char *why)
{
    (void)user;
    log_event(LOG_DEBUG, "registry.refused", LOG_STR("peer", peer ? peer->text : NULL),
              LOG_STR("code", err_info(code)->symbol), LOG_STR("why", why));
}

static int open_registry(struct node_caps *c, struct err *e)
{
    struct node *n = c->node;
    struct url_addr addr = {0};
    char folder[4200];
    struct net_listen_args listen = {.queue_bytes_max = 1 << 20, .handshake_ms = 10000};
    if (!n->config->tools.serve)
        return 0;
    (void)snprintf(folder, sizeof folder, "%.4000s/registry", n->paths.data);
    struct capreg_server_args args = {.folder = folder,
                                      .may_publish = may_publish,
                                      .on_publish = on_publish,
                                      .publishers = n->config->tools.publishers,
                                      .user = c};
    int status = capreg_server_new(&c->serves, &args, e);
    if (status == 0)
        status = url_addr_parse(&addr, bytes_of(n->config->tools.serve), e);
    struct http_server_args server = {
        .net = loop_net(n->loop),
        .timers = loop_timers(n->loop),
        .limits = {.body_bytes = MANIFEST_PACK_MAX, .budget_bytes = 2 * MANIFEST_PACK_MAX},
        .routes = {
            .on_head = on_head, .on_request = on_request, .on_refused = on_refused, .user = c}};
    if (status == 0)
        status = http_server_new(&c->server, &server, e);
    if (status < 0)
        return err_wrap(e, "tools.serve");
    listen.addr.unix_socket = addr.unix_socket;
    listen.addr.port = addr.port;
    (void)snprintf(listen.addr.host, sizeof listen.addr.host, "%s", addr.host);
    status = http_server_listen(c->server, &listen, 0, &c->listener, e);
    if (status < 0)
        return err_wrap(e, "tools.serve: %s", n->config->tools.serve);
    log_event(LOG_INFO, "registry.ready", LOG_STR("address", n->config->tools.serve));
    return 0;
}

// ---- life ---------------------------------------------------------------------------------------

static int open_caps(struct node_tools *t, struct node_caps *c, struct err *e)
{
    struct node *n = t->node;
    const struct config_tools *cfg = &n->config->tools;
    char folder[4100];
    (void)snprintf(folder, sizeof folder, "%.4000s/tools", n->paths.data);
    int status = open_enclave(c, folder, e);
    if (status == 0 && cfg->registry) {
        const char *key = secret_reveal(&cfg->registry_key);
        struct capreg_args args = {.url = bytes_of(cfg->registry),
                                   .key = key ? bytes_of(key) : BYTES_NONE,
                                   .net = loop_net(n->loop),
                                   .timers = loop_timers(n->loop)};
        status = capreg_new(&c->registry, &args, e);
        if (status < 0)
            (void)err_wrap(e, "tools.registry");
    }
    struct caps_args args = {.folder = folder,
                             .sandbox = c->enclave,
                             .timers = loop_timers(n->loop),
                             .user = c,
                             .node = n->config->node_name,
                             .publishers = cfg->publishers,
                             .memory_bytes_max = cfg->memory_bytes,
                             .time_ms_max = cfg->time_ms,
                             .registry = c->registry,
                             .taken = taken,
                             .log = guest_log};
    if (status == 0) {
        status = caps_new(&c->caps, &args, e);
        if (status == 0)
            c->registry = NULL; // taken
    }
    if (status == 0)
        status = tools_all_add(t->all, caps_tools(c->caps), BYTES_NONE, e);
    return status;
}

int node_caps_open(struct node_tools *t, struct err *e)
{
    struct node_caps *c = mem_new(struct node_caps);
    struct err why = {0};
    if (!c)
        return err_set(e, E_NOMEM, "out of memory");
    t->caps = c;
    c->node = t->node;
    int status = open_caps(t, c, &why);
    if (status == E_NOSPACE) { // the models are served all the same
        log_event(LOG_ERROR, "tool.no_capabilities", LOG_STR("why", why.text));
        node_caps_close(t);
        return 0;
    }
    if (status < 0)
        return err_set(e, status, "%s", why.text);
    return open_registry(c, e);
}

// While the loop still runs: what needs it ends here.
void node_caps_close(struct node_tools *t)
{
    struct node_caps *c = t->caps;
    if (!c)
        return;
    caps_free(c->caps);
    c->caps = NULL;
    if (c->enclave)
        enclave_free(c->enclave);
    c->enclave = NULL;
    guest_http_free(c->http);
    c->http = NULL;
    if (c->server && c->listener)
        http_server_unlisten(c->server, c->listener);
    if (c->server)
        http_server_abort(c->server);
    c->listener = NULL;
    if (c->wake)
        loop_wake_free(c->wake);
    c->wake = NULL;
}

void node_caps_drop(struct node_tools *t)
{
    if (!t->caps)
        return;
    http_server_free(t->caps->server);
    t->caps->server = NULL;
}

void node_caps_free(struct node_tools *t) // after the loop
{
    struct node_caps *c = t->caps;
    if (!c)
        return;
    capreg_server_free(c->serves);
    capreg_free(c->registry);
    mem_free(c);
    t->caps = NULL;
}

void node_caps_doctor(const struct node_tools *t, struct host_tools *ret)
{
    struct caps_stats s = {0};
    if (t->caps && t->caps->caps)
        caps_stats(t->caps->caps, &s);
    ret->capabilities = s.items > 0;
    ret->waiting = (unsigned)s.waiting;
    ret->damaged = (unsigned)s.damaged;
    (void)snprintf(ret->waiting_why, sizeof ret->waiting_why, "%.159s", s.why);
}

void node_caps_meter(const struct node_tools *t, struct meter_node *ret)
{
    struct caps_stats s = {0};
    if (t->caps && t->caps->caps)
        caps_stats(t->caps->caps, &s);
    ret->capabilities = s.items;
    ret->capabilities_waiting = s.waiting;
    ret->capabilities_damaged = s.damaged;
}

// ---- what the API asks --------------------------------------------------------------------------

struct cap_ask {
    struct caps_req req;
    struct ctl_answer *answer;
    struct node *node;
    int http;
};

static void answer_val(struct ctl_answer *a, int http, const struct val *v)
{
    struct buf json;
    struct err e = {0};
    buf_init(&json, (size_t)16 << 20);
    if (val_write(&json, v) == 0) {
        ctl_answer(a, http, buf_bytes(&json));
    } else {
        (void)err_set(&e, json.failed, "the answer is too large");
        ctl_answer_error(a, &e);
    }
    buf_fini(&json);
}

static void asked_done(struct caps_req *r, int status, const struct val *res, const struct err *e)
{
    struct cap_ask *q = r->user;
    if (status < 0)
        ctl_answer_error(q->answer, e);
    else
        answer_val(q->answer, q->http, res);
    if (status >= 0 && q->http == 201)
        node_tools_models(q->node);
    mem_free(q);
}

// {"manifest":{},"wasm":"base64"}: the package.
static int pack_of(const struct json *body, struct arena *a, struct manifest_pack *ret,
                   struct err *e)
{
    struct buf text;
    buf_init(&text, MANIFEST_BYTES_MAX);
    int status = json_write(&text, json_get(body, "manifest"));
    *ret = (struct manifest_pack){.manifest =
                                      status == 0 ? arena_dup(a, buf_bytes(&text)) : BYTES_NONE};
    buf_fini(&text);
    if (!ret->manifest.p)
        return err_set(e, status ? status : E_NOMEM, "manifest: too large");
    status = cloudevent_base64(&ret->code, a, json_str(json_get(body, "wasm")), e);
    return status < 0 ? err_wrap(e, "wasm") : 0;
}

static void op_add(struct node_caps *c, const struct ctl_tool_ask *ask, struct ctl_answer *a)
{
    struct err e = {0};
    struct val *v = NULL;
    struct manifest_pack p;
    struct arena *arena = arena_new(2 * MANIFEST_PACK_MAX);
    int status = arena ? pack_of(ask->body, arena, &p, &e) : err_set(&e, E_NOMEM, "out of memory");
    if (status == 0)
        status = caps_add(c->caps, &p, json_str(json_get(ask->body, "name")), &v, &e);
    if (status < 0)
        ctl_answer_error(a, &e);
    else
        answer_val(a, 201, v);
    val_unref(v);
    arena_free(arena);
    if (status >= 0)
        node_tools_models(c->node);
}

static void op_slow(struct node_caps *c, const struct ctl_tool_ask *ask, struct ctl_answer *a)
{
    struct err e = {0};
    struct cap_ask *q = mem_new(struct cap_ask);
    int status = q ? 0 : err_set(&e, E_NOMEM, "out of memory");
    if (q)
        *q = (struct cap_ask){.req = {.done = asked_done, .user = q},
                              .answer = a,
                              .node = c->node,
                              .http = ask->op == CTL_TOOL_ADD ? 201 : 200};
    if (status < 0)
        ;
    else if (ask->op == CTL_TOOL_ADD)
        status = caps_fetch(c->caps, json_str(json_get(ask->body, "urn")),
                            json_str(json_get(ask->body, "name")), &q->req, &e);
    else if (ask->op == CTL_TOOL_PUBLISH)
        status = caps_publish(c->caps, ask->name, &q->req, &e);
    else if (ask->op == CTL_TOOL_EVAL)
        status = caps_eval(c->caps, ask->name, &q->req, &e);
    else
        status = caps_promote(c->caps, ask->name, &q->req, &e);
    if (status < 0) {
        ctl_answer_error(a, &e);
        mem_free(q);
    }
}

static void op_grant(struct node_caps *c, const struct ctl_tool_ask *ask, struct bytes who,
                     struct ctl_answer *a)
{
    struct err e = {0};
    struct val *v = NULL;
    struct bytes items[64];
    size_t count = 0;
    const struct json *list = json_get(ask->body, "permissions");
    for (size_t i = 0; i < json_len(list) && count < 64; i++)
        items[count++] = json_str(json_at(list, i));
    int status = json_len(list) > 64 ? err_set(&e, E_TOOBIG, "permissions: more than 64")
                 : ask->op == CTL_TOOL_GRANT
                     ? caps_grant(c->caps, ask->name, items, count, who,
                                  json_str(json_get(ask->body, "reason")), &v, &e)
                     : caps_revoke(c->caps, ask->name, &e);
    if (status == 0 && !v)
        status = caps_show(c->caps, ask->name, &v, &e);
    if (status == 0)
        log_event(LOG_INFO, ask->op == CTL_TOOL_GRANT ? "tool.granted" : "tool.revoked",
                  LOG_BYTES("tool", ask->name), LOG_BYTES("who", who));
    if (status < 0)
        ctl_answer_error(a, &e);
    else
        answer_val(a, 200, v);
    val_unref(v);
    node_tools_models(c->node);
}

bool node_caps_op(struct node_tools *t, const struct ctl_tool_ask *ask, struct bytes who,
                  struct ctl_answer *a)
{
    struct node_caps *c = t->caps;
    struct err e = {0};
    const struct manifest *m;
    const struct permit *p;
    bool add = ask->op == CTL_TOOL_ADD;
    if (!c->caps && add) {
        (void)err_set(&e, E_UNAVAILABLE,
                      "the disk was full when this node began, so it keeps no capabilities: make "
                      "room, then plexus down and plexus up");
        ctl_answer_error(a, &e);
        return true;
    }
    if (!c->caps)
        return false;
    if (!add && !caps_find(c->caps, ask->name, &m, &p))
        return false;
    switch (ask->op) {
    case CTL_TOOL_ADD:
        if (json_get(ask->body, "manifest")) {
            op_add(c, ask, a);
            return true;
        }
        op_slow(c, ask, a);
        return true;
    case CTL_TOOL_PUBLISH:
    case CTL_TOOL_EVAL:
    case CTL_TOOL_PROMOTE: op_slow(c, ask, a); return true;
    case CTL_TOOL_GRANT:
    case CTL_TOOL_REVOKE: op_grant(c, ask, who, a); return true;
    case CTL_TOOL_REMOVE:
        if (caps_remove(c->caps, ask->name, &e) < 0)
            ctl_answer_error(a, &e);
        else
            ctl_answer(a, 200, BYTES("{}"));
        node_tools_models(c->node);
        return true;
    case CTL_TOOL_SHOW:
    case CTL_TOOL_LIST:
    case CTL_TOOL_CALLS:
    case CTL_TOOL_SERVERS:
    case CTL_TOOL_CALL:
    case CTL_TOOL_OPS: break;
    }
    return false;
}

struct val *node_caps_words(const struct node_tools *t, struct bytes name)
{
    return t->caps && t->caps->caps ? caps_words(t->caps->caps, name) : NULL;
}

struct val *node_caps_manifest(const struct node_tools *t, struct bytes name)
{
    const struct manifest *m;
    const struct permit *p;
    bool there = t->caps && t->caps->caps && caps_find(t->caps->caps, name, &m, &p);
    return there ? val_ref((struct val *)(uintptr_t)m->root) : NULL;
}
