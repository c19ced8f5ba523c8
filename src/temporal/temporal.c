// temporal.c: a worker: opened, closed; calls to the server as JSON values.
// SPDX-License-Identifier: Apache-2.0
#include "temporal/temporal_priv.h"

#include "base/rng.h"

#include <stdio.h>
#include <string.h>

#ifndef PLEXUS_VERSION
#define PLEXUS_VERSION "0"
#endif

#define CHECK_MS 1000
#define CLOSE_MS 3000 // for what is under way to be told
#define SERVICE "temporal.api.workflowservice.v1"
#define OPERATOR "temporal.api.operatorservice.v1"

// ---- calls --------------------------------------------------------------------------------------

// All but what is about search attributes is the workflow service's.
static bool of_operator(const char *method)
{
    return strstr(method, "SearchAttributes") != NULL;
}

static void rpc_end(struct temporal_rpc *r)
{
    struct temporal *t = r->t;
    list_del(&r->link);
    if (r->status == E_UNAVAILABLE || !r->status)
        temporal_told(t, r->status, &r->err);
    r->done(r->user, r->status, r->answer, r->status ? &r->err : NULL);
    val_unref(r->answer);
    mem_free(r);
    temporal_quiet(t);
}

static void on_message(struct grpc_call *c, struct bytes message)
{
    struct temporal_rpc *r = c->user;
    char name[128];
    (void)snprintf(name, sizeof name, "%s.%sResponse", of_operator(r->method) ? OPERATOR : SERVICE,
                   r->method);
    const struct proto_message *m = proto_message(r->t->api, bytes_of(name));
    val_unref(r->answer);
    r->answer = NULL;
    if (m)
        r->status = proto_decode(m, message, &r->answer, &r->err);
}

static void on_done(struct grpc_call *c, int status, const struct err *e)
{
    struct temporal_rpc *r = c->user;
    if (status) {
        r->status = status;
        r->err = *e;
    } else if (!r->status && !r->answer)
        r->status = err_set(&r->err, E_UPSTREAM, "%s: an empty answer", r->method);
    rpc_end(r);
}

static void on_fail(struct timer *t)
{
    rpc_end(t->user);
}

static int rpc_start(struct temporal_rpc *r, const struct val *request, int64_t timeout_ms)
{
    char name[128];
    struct buf b;
    bool other = of_operator(r->method);
    (void)snprintf(name, sizeof name, "%s.%sRequest", other ? OPERATOR : SERVICE, r->method);
    (void)snprintf(r->path, sizeof r->path, "/%s/%s",
                   other ? OPERATOR ".OperatorService" : SERVICE ".WorkflowService", r->method);
    const struct proto_message *m = proto_message(r->t->api, bytes_of(name));
    if (!request || !m)
        return err_set(&r->err, E_NOMEM, "%s: no memory", r->method);
    buf_init(&b, TEMPORAL_BYTES_MAX);
    int rc = proto_encode(m, request, &b, &r->err);
    r->call.path = r->path;
    r->call.message = buf_bytes(&b);
    r->call.timeout_ms = timeout_ms;
    r->call.on_message = on_message;
    r->call.done = on_done;
    r->call.user = r;
    if (!rc)
        rc = grpc_start(r->t->grpc, &r->call, &r->err);
    buf_fini(&b);
    return rc;
}

struct temporal_rpc *
temporal_call(struct temporal *t, const char *method, struct val *takes_request, int64_t timeout_ms,
              void (*done)(void *user, int status, struct val *answer, const struct err *e),
              void *user)
{
    struct temporal_rpc *r = mem_new(struct temporal_rpc);
    if (!r) {
        struct err e = {0};
        val_unref(takes_request);
        (void)err_set(&e, E_NOMEM, "no memory for a call"); // at once: there is no other way
        done(user, E_NOMEM, NULL, &e);
        return NULL;
    }
    r->t = t;
    r->method = method;
    r->done = done;
    r->user = user;
    r->fail = (struct timer){.fn = on_fail, .user = r};
    list_add_tail(&t->rpcs, &r->link);
    r->status = rpc_start(r, takes_request, timeout_ms);
    val_unref(takes_request);
    if (r->status)
        (void)timer_start(t->args.timers, &r->fail, 0);
    return r;
}

// ---- small things -------------------------------------------------------------------------------

struct val *temporal_bare(const struct temporal *t)
{
    return val_put_cstr(val_obj(), "namespace", val_cstr(t->namespace));
}

struct val *temporal_request(const struct temporal *t)
{
    return val_put_cstr(temporal_bare(t), "identity", val_cstr(t->identity));
}

struct val *temporal_execution(struct bytes workflow, struct bytes run)
{
    struct val *v = val_put_cstr(val_obj(), "workflowId", val_str(workflow));
    return run.n ? val_put_cstr(v, "runId", val_str(run)) : v;
}

int64_t temporal_wall(const struct temporal *t)
{
    return t->args.wall_ms ? t->args.wall_ms(t->args.user) : time_wall_ms();
}

void temporal_told(struct temporal *t, int status, const struct err *e)
{
    t->stats.up = !status;
    (void)snprintf(t->stats.why, sizeof t->stats.why, "%.250s", status ? e->text : "");
    if (status && !t->closing && !t->check.node) // until it is there again
        (void)timer_start(t->args.timers, &t->check, CHECK_MS);
    if (t->state == status)
        return;
    t->state = status;
    if (t->args.state && !t->closing)
        t->args.state(t->args.user, status, status ? e : NULL);
}

static void on_info(void *user, int status, struct val *answer, const struct err *e)
{
    struct temporal *t = user;
    (void)e;
    if (!status)
        (void)snprintf(t->stats.server, sizeof t->stats.server, "%s",
                       val_text(val_get_cstr(answer, "serverVersion"), ""));
    if (!status && !t->closing)
        temporal_attributes_find(t);
    if (status && !t->closing)
        (void)timer_start(t->args.timers, &t->check, CHECK_MS);
}

static void on_check(struct timer *timer)
{
    struct temporal *t = timer->user;
    (void)temporal_call(t, "GetSystemInfo", val_obj(), 5000, on_info, t);
}

// ---- open, close --------------------------------------------------------------------------------

static void free_all(struct temporal *t)
{
    timer_stop(t->args.timers, &t->check);
    for (size_t i = 0; t->queues && i < t->queue_count; i++)
        mem_free(t->queues[i]);
    mem_free(t->queues);
    mem_free(t->polls);
    mem_free(t->namespace);
    mem_free(t->queue);
    mem_free(t->identity);
    mem_free(t->build_id);
    mem_free(t->deployment);
    mem_free(t->node);
    mem_free(t->sticky);
    mem_free(t->host);
    temporal_schedules_free(t);
    map_free(t->flows);
    proto_free(t->api);
    mem_free(t);
}

static void on_closed(void *user)
{
    struct temporal *t = user;
    t->grpc = NULL;
    t->grpc_closed = true;
    temporal_quiet(t);
}

static void end_channel(struct temporal *t)
{
    if (t->grpc_closing)
        return;
    t->grpc_closing = true;
    timer_stop(t->args.timers, &t->check);
    grpc_close(t->grpc, on_closed, t);
}

// The server did not take in time what was let go.
static void on_late(struct timer *timer)
{
    end_channel(timer->user);
}

void temporal_quiet(struct temporal *t)
{
    if (t->closing && list_empty(&t->tasks) && list_empty(&t->acts))
        end_channel(t);
    if (!t->closing || !t->grpc_closed || t->freed || !list_empty(&t->rpcs) ||
        !list_empty(&t->tasks) || !list_empty(&t->acts) || !list_empty(&t->asks) ||
        !list_empty(&t->ops))
        return;
    t->freed = true;
    while (!list_empty(&t->lru))
        temporal_flow_drop(t, container_of(t->lru.next, struct temporal_flow, link));
    void (*closed)(void *user) = t->closed;
    void *user = t->closed_user;
    free_all(t);
    if (closed)
        closed(user);
}

void temporal_close(struct temporal *t, void (*closed)(void *user), void *user)
{
    t->closing = true;
    t->closed = closed;
    t->closed_user = user;
    t->check.fn = on_late;
    (void)timer_start(t->args.timers, &t->check, CLOSE_MS);
    temporal_polls_end(t);
    temporal_schedules_end(t);
    temporal_activities_end(t);
    temporal_tasks_end(t);
    temporal_quiet(t);
}

static int open_channel(struct temporal *t, const struct temporal_args *a, struct err *e)
{
    char bearer[4096];
    struct grpc_meta meta[3] = {{"temporal-namespace", t->namespace}, {"client-name", "plexus"}};
    size_t n = 2;
    if (a->api_key) {
        if (snprintf(bearer, sizeof bearer, "Bearer %s", a->api_key) >= (int)sizeof bearer)
            return err_set(e, E_INVALID, "the API key is too long");
        meta[n++] = (struct grpc_meta){"authorization", bearer};
    }
    int rc = grpc_new(&t->grpc,
                      &(struct grpc_args){.net = a->net,
                                          .timers = a->timers,
                                          .addr = a->addr,
                                          .tls = a->tls,
                                          .server_name = a->server_name,
                                          .meta = meta,
                                          .meta_count = n,
                                          .message_bytes_max = TEMPORAL_BYTES_MAX},
                      e);
    mem_wipe(bearer, sizeof bearer);
    return rc;
}

static bool copy_texts(struct temporal *t, const struct temporal_args *a)
{
    char text[300], id[RNG_ID_LEN + 1];
    rng_id(id);
    t->node = mem_str(a->node ? a->node : "node");
    t->namespace = mem_str(a->namespace ? a->namespace : "default");
    t->queue = mem_str(a->queue);
    (void)snprintf(text, sizeof text, "plexus@%.200s", a->node ? a->node : "node");
    t->identity = mem_str(a->identity ? a->identity : text);
    t->build_id = mem_str(a->build_id ? a->build_id : "plexus/" PLEXUS_VERSION);
    t->deployment = a->deployment ? mem_str(a->deployment) : NULL;
    if (a->deployment && !t->deployment)
        return false;
    (void)snprintf(text, sizeof text, "%.200s:%s", a->node ? a->node : "node", id);
    t->sticky = mem_str(text);
    if (!t->node || !t->namespace || !t->queue || !t->identity || !t->build_id || !t->sticky)
        return false;
    while (a->queues && a->queues[t->queue_count])
        t->queue_count++;
    t->queues = mem_array(t->queue_count + 1, sizeof *t->queues);
    for (size_t i = 0; t->queues && a->queues && i < t->queue_count; i++)
        if (!(t->queues[i] = mem_str(a->queues[i])))
            return false;
    return t->queues != NULL;
}

int temporal_new(struct temporal **ret, const struct temporal_args *a, struct err *e)
{
    struct temporal *t = mem_new(struct temporal);
    if (!t)
        return err_set(e, E_NOMEM, "no memory for a worker");
    t->args = *a;
    t->args.flows_max = a->flows_max ? a->flows_max : 2048;
    t->args.activities_max = a->activities_max ? a->activities_max : 64;
    t->args.events_max = a->events_max ? a->events_max : 20000;
    t->args.pollers = a->pollers ? a->pollers : 4;
    t->args.heartbeat_ms = a->heartbeat_ms ? a->heartbeat_ms : 30000;
    t->check = (struct timer){.fn = on_check, .user = t};
    t->state = 1;
    list_init(&t->rpcs);
    list_init(&t->tasks);
    list_init(&t->acts);
    list_init(&t->asks);
    list_init(&t->ops);
    list_init(&t->schedules);
    list_init(&t->lru);
    t->flows = map_new(t->args.flows_max * 2 + 64);
    int rc = t->flows && copy_texts(t, a) ? 0 : err_set(e, E_NOMEM, "no memory for a worker");
    if (!rc)
        rc = proto_new(&t->api, e);
    if (!rc)
        rc = proto_add_set(t->api, embed_temporal_api(), e);
    if (!rc)
        rc = proto_link(t->api, e);
    if (!rc)
        rc = open_channel(t, a, e);
    if (!rc)
        rc = temporal_polls_start(t, e);
    if (rc) {
        if (t->grpc)
            grpc_close(t->grpc, NULL, NULL);
        free_all(t);
        return rc;
    }
    (void)timer_start(t->args.timers, &t->check, 0);
    *ret = t;
    return 0;
}

void temporal_stats(const struct temporal *t, struct temporal_stats *ret)
{
    *ret = t->stats;
    ret->flows = map_count(t->flows);
    ret->activities_running = t->acts_running;
}
