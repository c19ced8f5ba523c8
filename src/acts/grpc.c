// grpc.c: call: grpc: a method of a service that a .proto document describes: the document (and
// what it imports) is fetched, the arguments become the request by proto3's JSON mapping.
// SPDX-License-Identifier: Apache-2.0
#include "grpc/grpc.h"
#include "acts/acts_priv.h"
#include "text/proto.h"

#include <stdio.h>
#include <string.h>

#define IMPORTS_MAX 100
#define MESSAGE_MAX ((size_t)32 << 20)
#define CONNECT_MS 10000
#define TLS_PORT 443

struct grpc_act { // what the channel needs after the act has ended
    struct act *act; // NULL: it has
    struct grpc *channel;
    struct net_tls *tls;
    struct grpc_call call;
    char path[512];
    struct proto *types;
    struct proto_method method;
    struct val *output; // of one, or the list of a stream
    bool calls;
    struct err err;
    int status;
};
struct grpc_work {
    struct act_source source;
    struct act_auth auth;
    struct grpc_act *x;
    struct val *fetched; // addresses of documents that are there
    struct buf root; // address of the first document
    size_t at; // of imports
};

// ---- the channel outlives the act by a moment ---------------------------------------------------

static void closed(void *user)
{
    struct grpc_act *x = user;
    if (x->tls)
        net_tls_free(x->tls);
    proto_free(x->types);
    val_unref(x->output);
    mem_free(x);
}

static void let_go(struct grpc_act *x)
{
    x->act = NULL;
    if (x->channel)
        grpc_close(x->channel, closed, x);
    else
        closed(x);
}

// ---- the call -----------------------------------------------------------------------------------

static void on_message(struct grpc_call *c, struct bytes message)
{
    struct grpc_act *x = c->user;
    struct val *v = NULL;
    if (x->status)
        return;
    x->status = proto_decode(x->method.out, message, &v, &x->err);
    if (x->status)
        return;
    if (x->method.server_stream) {
        x->output = val_push(x->output, v);
        if (!x->output)
            x->status = err_set(&x->err, E_NOMEM, "out of memory");
    } else {
        val_unref(x->output);
        x->output = v;
    }
}

static enum act_problem kind_of(int status)
{
    switch (status) {
    case E_UNAUTH: return ACT_AUTHENTICATION;
    case E_FORBIDDEN: return ACT_AUTHORIZATION;
    case E_TIMEOUT: return ACT_TIMEOUT;
    default: return ACT_COMMUNICATION;
    }
}

static void on_done(struct grpc_call *c, int status, const struct err *e)
{
    struct grpc_act *x = c->user;
    struct act *a = x->act;
    x->calls = false;
    if (!a || a->ended)
        return;
    if (status)
        act_fail(a, kind_of(status), err_info(status)->http, status == E_UNSUPPORTED,
                 "call: grpc: %s", e->text);
    else if (x->status)
        act_fail(a, ACT_COMMUNICATION, 502, false, "call: grpc: %s", x->err.text);
    else if (!x->output)
        act_fail(a, ACT_COMMUNICATION, 502, false, "call: grpc: %s gave no message", x->path);
    else
        act_done(a, steal(&x->output));
}

// "Authorization: Bearer x\r\n" as metadata: the value, in place.
static const char *bearer(struct act_auth *auth)
{
    struct bytes line = bytes_trim(buf_bytes(&auth->header));
    ptrdiff_t colon = bytes_chr(line, ':');
    if (colon < 0)
        return NULL;
    struct bytes value = bytes_trim(bytes_from(line, (size_t)colon + 1));
    auth->header.p[value.p + value.n - auth->header.p] = '\0';
    return value.p;
}

static int open_channel(struct act *a, const struct val *service, struct err *e)
{
    struct grpc_work *w = a->own;
    struct acts_args *args = &a->room->args;
    struct bytes host = val_bytes(val_get_cstr(service, "host"));
    int64_t port = val_i64(val_get_cstr(service, "port"), 0);
    bool https = bytes_starts(host, BYTES("https://")) || bytes_starts(host, BYTES("grpcs://"));
    ptrdiff_t scheme = bytes_find(host, BYTES("://"));
    char name[256];
    if (scheme >= 0)
        host = bytes_from(host, (size_t)scheme + 3);
    if (!port)
        port = https ? TLS_PORT : 80;
    bool tls = https || port == TLS_PORT;
    struct grpc_args g = {.net = args->net, .timers = args->timers, .connect_ms = CONNECT_MS};
    if (!host.n || host.n >= sizeof name || port < 1 || port > UINT16_MAX)
        return err_set(e, E_INVALID, "service needs a host and a port");
    (void)snprintf(name, sizeof name, "%.*s", BYTES_FMT(host));
    g.server_name = name;
    int rc = act_address(a->room, host, (uint16_t)port, &g.addr, &tls, e);
    if (!rc && tls)
        rc = net_tls_new(&w->x->tls, &(struct net_tls_args){.alpn = "h2"}, e);
    g.tls = w->x->tls;
    g.message_bytes_max = MESSAGE_MAX;
    return rc ? rc : grpc_new(&w->x->channel, &g, e);
}

static int begin(struct act *a, const struct val *with, struct err *e)
{
    struct grpc_work *w = a->own;
    struct grpc_act *x = w->x;
    struct buf message;
    const struct val *arguments = val_get_cstr(with, "arguments");
    AUTO(val) none = val_obj();
    const char *value = bearer(&w->auth);
    struct grpc_meta meta = {"authorization", value};
    buf_init(&message, MESSAGE_MAX);
    int rc = proto_encode(x->method.in, arguments ? arguments : none, &message, e);
    if (!rc)
        rc = open_channel(a, val_get_cstr(with, "service"), e);
    (void)snprintf(x->path, sizeof x->path, "/%.*s/%.*s", BYTES_FMT(x->method.service),
                   BYTES_FMT(x->method.name));
    if (!rc && x->method.server_stream && !(x->output = val_arr()))
        rc = err_set(e, E_NOMEM, "out of memory");
    x->call = (struct grpc_call){.path = x->path,
                                 .message = buf_bytes(&message),
                                 .meta = value ? &meta : NULL,
                                 .meta_count = value != NULL,
                                 .timeout_ms = act_left_ms(a),
                                 .on_message = on_message,
                                 .done = on_done,
                                 .user = x};
    if (!rc)
        rc = grpc_start(x->channel, &x->call, e);
    x->calls = !rc;
    if (message.p)
        mem_wipe(message.p, message.n);
    buf_fini(&message);
    return rc;
}

static void ready(struct act *a, struct val *takes_with)
{
    struct err e = {0};
    AUTO(val) with = takes_with;
    int rc = begin(a, with, &e);
    if (rc == E_INVALID)
        act_fail(a, ACT_VALIDATION, 400, true, "call: grpc: %s", e.text);
    else if (rc)
        act_fail_err(a, rc, &e);
}

static void authenticated(struct act *a, struct act_auth *x)
{
    if (a->ended)
        return;
    if (act_late_has(a->with))
        act_late(a, a->with, x->authorization ? val_ref(x->authorization) : val_null(), ready);
    else
        ready(a, val_ref(a->with));
}

// ---- the document -------------------------------------------------------------------------------

static void found(struct act *a)
{
    struct grpc_work *w = a->own;
    struct err e = {0};
    const struct val *service = val_get_cstr(a->with, "service");
    struct bytes name = val_bytes(val_get_cstr(service, "name"));
    struct bytes method = val_bytes(val_get_cstr(a->with, "method"));
    if (proto_link(w->x->types, &e))
        act_fail(a, ACT_CONFIGURATION, 0, true, "call: grpc: %s", e.text);
    else if (!proto_method(w->x->types, name, method, &w->x->method))
        act_fail(a, ACT_CONFIGURATION, 0, true,
                 "call: grpc: the document has no service %.*s with a method %.*s", BYTES_FMT(name),
                 BYTES_FMT(method));
    else if (w->x->method.client_stream)
        act_fail(a, ACT_CONFIGURATION, 0, true,
                 "call: grpc: %.*s wants a stream of requests, a task has one", BYTES_FMT(method));
    else
        act_auth(a, &w->auth, val_get_cstr(service, "authentication"), authenticated);
}

static void fetch_next(struct act *a);

static void got(struct act *a, struct bytes text, struct bytes url)
{
    struct grpc_work *w = a->own;
    struct err e = {0};
    if (!w->root.n)
        (void)buf_put(&w->root, url);
    w->fetched = val_put(w->fetched, url, val_bool(true));
    int rc = proto_add_text(w->x->types, text, &e);
    if (rc)
        act_fail(a, ACT_CONFIGURATION, 0, true, "call: grpc: %.*s: %s", BYTES_FMT(url), e.text);
    else if (!w->fetched || w->root.failed)
        act_nomem(a);
    else
        fetch_next(a);
}

static void fetch_next(struct act *a)
{
    struct grpc_work *w = a->own;
    struct bytes path;
    while (proto_import(w->x->types, &w->at, &path)) {
        struct buf url;
        buf_init(&url, 8192);
        int rc = act_url_join(&url, buf_bytes(&w->root), path);
        AUTO(val) at = rc ? NULL : val_str(buf_bytes(&url));
        buf_fini(&url);
        if (!at || val_get(w->fetched, val_bytes(at)))
            continue;
        if (w->at > IMPORTS_MAX) {
            act_fail(a, ACT_CONFIGURATION, 0, true, "call: grpc: over %d imports", IMPORTS_MAX);
            return;
        }
        act_source(a, &w->source, at, got);
        return;
    }
    found(a);
}

static void start(struct act *a)
{
    struct grpc_work *w = a->own;
    struct err e = {0};
    buf_init(&w->root, 8192);
    w->fetched = val_obj();
    w->x = mem_new(struct grpc_act);
    if (!w->x || !w->fetched) {
        act_nomem(a);
        return;
    }
    w->x->act = a;
    if (proto_new(&w->x->types, &e))
        act_fail_err(a, E_NOMEM, &e);
    else
        act_source(a, &w->source, val_get_cstr(a->with, "proto"), got);
}

static void stop(struct act *a)
{
    struct grpc_work *w = a->own;
    act_auth_fini(&w->auth);
    act_source_fini(&w->source);
    val_unref(w->fetched);
    buf_fini(&w->root);
    if (w->x)
        let_go(w->x);
}

const struct act_kind act_grpc = {.name = "grpc",
                                  .what = "A method of a gRPC service, by its .proto document.",
                                  .bytes = sizeof(struct grpc_work),
                                  .start = start,
                                  .stop = stop,
                                  .authorizes = true};
