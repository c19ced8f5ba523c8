// registry_nats.c: the registry as a key-value bucket of NATS, as ADR-8 of nats-architecture lays
// it out, so that any client of NATS reads it: stream KV_plexus_{environment}, subjects
// $KV.plexus_{environment}.{node}, one message each, max_age: the TTL; a deletion is a message with
// KV-Operation: DEL. Over the bus's connection code. The watch is an ordered consumer: last of each
// subject first, then what comes; a gap in its numbers or its silence begins it anew.
// SPDX-License-Identifier: Apache-2.0
#include "adapters/bus_nats_priv.h"
#include "adapters/bus_priv.h"
#include "adapters/registry_priv.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define BEAT_MS 250
#define AGAIN_MS 500 // after something failed
#define HEARTBEAT_MS 2000 // the server's word that the watch stands
#define SILENT_MS (3 * HEARTBEAT_MS)
#define DEDUP_MS 120000 // the bucket's window, as every client of NATS makes it
#define BODY_MAX 8192

enum step { STEP_IDLE, STEP_STREAM, STEP_WATCH, STEP_READY };

struct kv {
    struct registry_core core; // first
    struct nats_bus *bus;
    struct nats_below below;
    char bucket[32], stream[40], prefix[48];
    enum step step;
    int64_t again_ms, heard_ms;
    uint64_t sid, consumer_seq; // of the watch; sid: another one at each beginning
    bool watching, told;
    struct timer beat;
};

static struct kv *kv_of(struct registry *r)
{
    return (struct kv *)(void *)r;
}

static struct kv *kv_of_call(const struct nats_call *c)
{
    return c->bus->below->user;
}

static int64_t now_of(const struct kv *k)
{
    return timers_now_ms(k->core.args.timers);
}

static void again(struct kv *k, const struct err *e)
{
    k->step = STEP_IDLE;
    k->again_ms = now_of(k) + AGAIN_MS;
    registry_core_note(&k->core, e);
    if (k->core.closed || k->told || !e || !e->n || k->core.ever)
        return;
    k->told = true;
    registry_core_status(&k->core, REGISTRY_CONNECTING, e);
}

// ---- this node's text ---------------------------------------------------------------------------

static void on_put(struct nats_call *c, int status, const struct json *root,
                   const struct nats1_op *op, const struct err *e)
{
    struct kv *k = kv_of_call(c);
    struct err why = {0};
    int js = 0;
    (void)op;
    if (status == E_CANCELLED)
        return;
    if (!status)
        status = nats_js_error(root, &js, &why);
    if (!status) {
        k->core.stats.puts++;
        return;
    }
    k->core.stats.failed++;
    registry_core_note(&k->core, why.n ? &why : e);
    k->core.renew_ms = now_of(k) + AGAIN_MS;
    if (status == E_UNAVAILABLE && k->step == STEP_READY && k->bus->link.up)
        again(k, NULL); // the bucket may be gone: looked at, and made again
}

static void put_own(struct kv *k)
{
    char subject[128];
    struct err e = {0};
    if (k->step != STEP_READY || !registry_core_due(&k->core, now_of(k)))
        return;
    (void)snprintf(subject, sizeof subject, "%s%s", k->prefix, k->core.args.node);
    if (k->bus->payload_max && k->core.own.n > k->bus->payload_max) {
        (void)err_set(&e, E_TOOBIG, "the NATS server takes messages of %zu bytes, not %zu",
                      k->bus->payload_max, k->core.own.n);
        k->core.stats.failed++;
        registry_core_note(&k->core, &e);
        return;
    }
    if (nats_call_start(k->bus, (struct nats_call){.done = on_put}, subject, &k->core.own) < 0)
        k->core.stats.failed++;
}

// ---- the watch ----------------------------------------------------------------------------------

static void unwatch(struct kv *k)
{
    if (k->watching && k->bus->link.up) {
        (void)nats1_put_unsub(bus_link_out(&k->bus->link), k->sid);
        bus_link_flush(&k->bus->link);
    }
    k->watching = false;
}

static void on_watch(struct nats_call *c, int status, const struct json *root,
                     const struct nats1_op *op, const struct err *e)
{
    struct kv *k = kv_of_call(c);
    struct err why = {0};
    int js = 0;
    (void)op;
    if (status == E_CANCELLED || k->step != STEP_WATCH || c->sid != k->sid)
        return;
    if (!status)
        status = nats_js_error(root, &js, &why);
    if (status) {
        unwatch(k);
        again(k, why.n ? &why : e);
        return;
    }
    k->step = STEP_READY;
    k->heard_ms = now_of(k);
    k->core.renew_ms = 0; // it may not be there any more
    enum registry_status was = k->core.stats.status;
    if (was != REGISTRY_CONNECTED) {
        registry_core_status(&k->core, k->core.ever ? REGISTRY_BACK : REGISTRY_CONNECTED, NULL);
        k->core.ever = true;
    }
    if (!k->core.closed)
        put_own(k);
}

static void put_consumer(struct kv *k, struct buf *body, const char *inbox)
{
    struct json_w w;
    char filter[64];
    (void)snprintf(filter, sizeof filter, "%s>", k->prefix);
    json_w_init(&w, body);
    json_w_obj(&w, NULL);
    json_w_cstr(&w, "stream_name", k->stream);
    json_w_obj(&w, "config");
    json_w_cstr(&w, "deliver_subject", inbox);
    json_w_cstr(&w, "deliver_policy", "last_per_subject");
    json_w_cstr(&w, "filter_subject", filter);
    json_w_cstr(&w, "ack_policy", "none");
    json_w_cstr(&w, "replay_policy", "instant");
    json_w_i64(&w, "max_deliver", 1);
    json_w_i64(&w, "idle_heartbeat", (int64_t)HEARTBEAT_MS * 1000000);
    json_w_bool(&w, "mem_storage", true);
    json_w_i64(&w, "num_replicas", 1);
    json_w_end(&w);
    json_w_end(&w);
}

static void watch(struct kv *k)
{
    struct nats_bus *b = k->bus;
    char inbox[96], subject[128];
    struct buf body;
    unwatch(k);
    k->step = STEP_WATCH;
    k->sid = k->sid < NATS_BELOW ? NATS_BELOW : k->sid + 1;
    k->consumer_seq = 0;
    k->watching = true;
    k->core.stats.watches++;
    (void)snprintf(inbox, sizeof inbox, "%.*sk.%" PRIu64, (int)b->core.inbox_n, b->core.inbox,
                   k->sid - NATS_BELOW);
    (void)nats1_put_sub(bus_link_out(&b->link), bytes_of(inbox), BYTES_NONE, k->sid);
    buf_init(&body, BODY_MAX);
    put_consumer(k, &body, inbox);
    (void)snprintf(subject, sizeof subject, "$JS.API.CONSUMER.CREATE.%s", k->stream);
    if (nats_call_start(b, (struct nats_call){.done = on_watch, .sid = k->sid}, subject, &body) < 0)
        again(k, NULL);
    buf_fini(&body);
}

static void watch_anew(struct kv *k)
{
    unwatch(k);
    k->step = STEP_IDLE;
    k->again_ms = 0;
}

// "NATS/1.0 100 Idle Heartbeat": the number of the last message is in it. Else: the consumer is
// gone.
static void on_word(struct kv *k, int status, const struct nats1_op *op)
{
    struct bytes last = nats1_header(op->headers, "Nats-Last-Consumer");
    uint64_t number;
    if (status != 100 || (bytes_u64(last, &number) && number != k->consumer_seq)) {
        watch_anew(k);
        return;
    }
    if (!op->reply.n)
        return;
    (void)nats1_put_pub(bus_link_out(&k->bus->link), op->reply, BYTES_NONE, BYTES_NONE, BYTES_NONE);
    bus_link_flush(&k->bus->link);
}

static void on_msg(void *user, const struct nats1_op *op)
{
    struct kv *k = user;
    struct nats_place place;
    if (op->sid != k->sid || !k->watching || k->core.closed)
        return;
    k->heard_ms = now_of(k);
    int status = nats1_status(op->headers, NULL);
    if (status) {
        on_word(k, status, op);
        return;
    }
    if (!nats_read_ack(op->reply, &place) || !bytes_starts(op->subject, bytes_of(k->prefix)))
        return; // no message of the stream
    if (place.consumer_seq != k->consumer_seq + 1) {
        watch_anew(k);
        return;
    }
    k->consumer_seq++;
    struct bytes node = bytes_from(op->subject, strlen(k->prefix));
    if (nats1_header(op->headers, "KV-Operation").n) // DEL or PURGE
        registry_core_gone(&k->core, node);
    else
        registry_core_seen(&k->core, node, op->data);
}

// ---- the bucket ---------------------------------------------------------------------------------

static int64_t dedup_ms(const struct kv *k)
{
    return k->core.args.ttl_ms < DEDUP_MS ? k->core.args.ttl_ms : DEDUP_MS;
}

static void put_config(struct kv *k, struct buf *out, int64_t replicas)
{
    struct json_w w;
    char subjects[64];
    (void)snprintf(subjects, sizeof subjects, "%s>", k->prefix);
    json_w_init(&w, out);
    json_w_obj(&w, NULL);
    json_w_cstr(&w, "name", k->stream);
    json_w_arr(&w, "subjects");
    json_w_cstr(&w, NULL, subjects);
    json_w_end(&w);
    json_w_cstr(&w, "retention", "limits");
    json_w_cstr(&w, "storage", "file");
    json_w_cstr(&w, "discard", "new");
    json_w_i64(&w, "max_consumers", -1);
    json_w_i64(&w, "max_msgs", -1);
    json_w_i64(&w, "max_bytes", -1);
    json_w_i64(&w, "max_msgs_per_subject", 1);
    json_w_i64(&w, "max_msg_size", k->core.args.text_bytes_max);
    json_w_i64(&w, "max_age", k->core.args.ttl_ms * 1000000);
    json_w_i64(&w, "duplicate_window", dedup_ms(k) * 1000000);
    json_w_i64(&w, "num_replicas", replicas);
    json_w_bool(&w, "allow_rollup_hdrs", true);
    json_w_bool(&w, "deny_delete", true);
    json_w_bool(&w, "allow_direct", true);
    json_w_end(&w);
}

static void on_stream_put(struct nats_call *c, int status, const struct json *root,
                          const struct nats1_op *op, const struct err *e)
{
    struct kv *k = kv_of_call(c);
    struct err why = {0};
    int js = 0;
    (void)op;
    if (status == E_CANCELLED || k->step != STEP_STREAM)
        return;
    if (!status)
        status = nats_js_error(root, &js, &why);
    if (status)
        again(k, why.n ? &why : e);
    else
        watch(k);
}

static void stream_put(struct kv *k, const char *verb, int64_t replicas)
{
    char subject[128];
    struct buf body;
    buf_init(&body, BODY_MAX);
    put_config(k, &body, replicas);
    (void)snprintf(subject, sizeof subject, "$JS.API.STREAM.%s.%s", verb, k->stream);
    if (nats_call_start(k->bus, (struct nats_call){.done = on_stream_put}, subject, &body) < 0)
        again(k, NULL);
    buf_fini(&body);
}

static void on_stream_info(struct nats_call *c, int status, const struct json *root,
                           const struct nats1_op *op, const struct err *e)
{
    struct kv *k = kv_of_call(c);
    const struct json *x = json_get(root, "config");
    struct err why = {0};
    int js = 0;
    (void)op;
    if (status == E_CANCELLED || k->step != STEP_STREAM)
        return;
    if (!status)
        status = nats_js_error(root, &js, &why);
    if (js == NATS_NO_STREAM)
        stream_put(k, "CREATE", k->bus->servers >= 3 ? 3 : 1);
    else if (status)
        again(k, why.n ? &why : e);
    else if (json_i64(json_get(x, "max_age"), 0) == k->core.args.ttl_ms * 1000000 &&
             json_i64(json_get(x, "max_msgs_per_subject"), 0) == 1 &&
             json_i64(json_get(x, "max_msg_size"), 0) == k->core.args.text_bytes_max &&
             json_bool(json_get(x, "allow_direct"), false))
        watch(k);
    else
        stream_put(k, "UPDATE", json_i64(json_get(x, "num_replicas"), 1));
}

static void stream_ask(struct kv *k)
{
    char subject[128];
    struct buf none;
    unwatch(k);
    buf_init(&none, 1);
    k->step = STEP_STREAM;
    (void)snprintf(subject, sizeof subject, "$JS.API.STREAM.INFO.%s", k->stream);
    if (nats_call_start(k->bus, (struct nats_call){.done = on_stream_info}, subject, &none) < 0)
        again(k, NULL);
}

// ---- life ---------------------------------------------------------------------------------------

static void on_up(void *user)
{
    struct kv *k = user;
    k->watching = false; // the server has forgotten it
    stream_ask(k);
}

static void on_beat(struct timer *t)
{
    struct kv *k = t->user;
    int64_t now = now_of(k);
    (void)timer_start(k->core.args.timers, t, BEAT_MS);
    registry_core_expire(&k->core);
    if (k->core.closed || !k->bus->link.up)
        return;
    if (k->step == STEP_READY && now - k->heard_ms > SILENT_MS)
        watch_anew(k);
    if (k->step == STEP_IDLE && now >= k->again_ms)
        stream_ask(k);
    put_own(k);
}

static void end(struct kv *k)
{
    registry_core_fini(&k->core);
    registry_core_status(&k->core, REGISTRY_CLOSED, NULL);
    mem_free(k);
}

static void on_status(void *user, enum bus_status status, const struct err *e)
{
    struct kv *k = user;
    switch (status) {
    case BUS_CONNECTED:
    case BUS_BACK: break; // the watch's word counts
    case BUS_CONNECTING: again(k, e); break;
    case BUS_LOST:
        k->watching = false;
        k->step = STEP_IDLE;
        if (k->core.closed || k->core.stats.status != REGISTRY_CONNECTED)
            break;
        registry_core_status(&k->core, REGISTRY_LOST, e);
        break;
    case BUS_CLOSED: end(k); break;
    }
}

static int op_put(struct registry *r, struct bytes text, struct err *e)
{
    struct kv *k = kv_of(r);
    int rc = registry_core_put(&k->core, text, e);
    if (!rc)
        put_own(k);
    return rc;
}

static void op_remove(struct registry *r)
{
    struct kv *k = kv_of(r);
    char subject[128];
    k->core.has_own = false;
    if (k->core.closed || !k->bus->link.up)
        return; // its time runs out there
    (void)snprintf(subject, sizeof subject, "%s%s", k->prefix, k->core.args.node);
    (void)nats1_put_pub(bus_link_out(&k->bus->link), bytes_of(subject), BYTES_NONE,
                        BYTES("KV-Operation: DEL\r\n"), BYTES_NONE);
    bus_link_flush(&k->bus->link);
}

static void op_stats(const struct registry *r, struct registry_stats *ret)
{
    const struct kv *k = (const struct kv *)(const void *)r;
    *ret = k->core.stats;
    ret->nodes = (uint32_t)map_count(k->core.nodes);
    (void)snprintf(ret->server, sizeof ret->server, "%s", k->bus->core.stats.server);
}

static void op_close(struct registry *r)
{
    struct kv *k = kv_of(r);
    if (k->core.closed)
        return;
    k->core.closed = true;
    timer_stop(k->core.args.timers, &k->beat);
    unwatch(k);
    bus_close(&k->bus->core.bus);
}

static const struct registry_ops ops = {
    .put = op_put, .remove = op_remove, .stats = op_stats, .close = op_close};

static int connect_bus(struct kv *k, const struct registry_args *args, struct err *e)
{
    char source[REGISTRY_NAME_MAX + 16];
    struct bus *bus;
    (void)snprintf(source, sizeof source, "/node/%s", args->node);
    struct bus_args a = {.timers = args->timers,
                         .net = args->net,
                         .environment = args->environment,
                         .source = source,
                         .on_status = on_status,
                         .user = k,
                         .data_bytes_max = k->core.args.text_bytes_max,
                         .reqs_max = 1,
                         .subs_max = 1,
                         .url = args->url,
                         .user_name = args->user_name,
                         .password = args->password,
                         .token = args->token,
                         .tls = args->tls,
                         .connect_ms = args->connect_ms,
                         .retry_ms = args->retry_ms};
    int rc = bus_nats_open(&a, &bus, e);
    if (rc)
        return err_wrap(e, "registry");
    k->bus = (struct nats_bus *)(void *)bus;
    k->below = (struct nats_below){.user = k, .up = on_up, .msg = on_msg};
    k->bus->below = &k->below;
    return 0;
}

int registry_nats_open(const struct registry_args *args, struct registry **ret, struct err *e)
{
    struct kv *k = mem_new(struct kv);
    int rc = k ? registry_core_init(&k->core, &ops, args, e) : err_set(e, E_NOMEM, "registry");
    if (!rc && (rc = connect_bus(k, args, e)) != 0)
        registry_core_fini(&k->core);
    if (rc) {
        mem_free(k);
        return rc;
    }
    (void)snprintf(k->bucket, sizeof k->bucket, "plexus_%s", args->environment);
    (void)snprintf(k->stream, sizeof k->stream, "KV_%s", k->bucket);
    (void)snprintf(k->prefix, sizeof k->prefix, "$KV.%s.", k->bucket);
    k->beat = (struct timer){.fn = on_beat, .user = k};
    (void)timer_start(args->timers, &k->beat, BEAT_MS);
    *ret = &k->core.base;
    return 0;
}
