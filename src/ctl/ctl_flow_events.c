// ctl_flow_events.c: one run of a flow, live: server-sent events for who looks at it.
// SPDX-License-Identifier: Apache-2.0
#include "ctl/ctl_priv.h"
#include <string.h>

#define HEART_MS 15000
#define BURST_MAX 200 // runs that /api/events names each second; beyond: "look again"

struct flow_reader {
    struct list link;
    struct ctl *c; // NULL: ctl is gone
    struct http_exchange *x; // NULL: the node has not said yet that the run is there
    struct buf id, out;
    bool held; // the socket is full
    bool lost; // out had no room
    bool ended;
};

static void reader_free(struct flow_reader *r)
{
    list_del(&r->link);
    if (r->c && !--r->c->flow_reader_count)
        timer_stop(r->c->args.timers, &r->c->flow_heart);
    buf_fini(&r->id);
    buf_fini(&r->out);
    mem_free(r);
}

static void put(struct flow_reader *r, const char *name, struct bytes json)
{
    size_t before = r->out.n;
    if (r->lost || r->ended)
        return;
    (void)buf_fmt(&r->out, "event: %s\ndata: ", name);
    (void)buf_put(&r->out, json);
    (void)buf_str(&r->out, "\n\n");
    if (!r->out.failed)
        return;
    r->out.n = before;
    r->out.failed = 0;
    r->lost = true;
}

static void flush(struct flow_reader *r)
{
    static const char again[] = "event: lost\ndata: {}\n\n";
    if (!r->x || r->held)
        return;
    struct bytes v[2] = {buf_bytes(&r->out), r->lost ? BYTES(again) : BYTES_NONE};
    if (v[0].n || v[1].n) {
        int rc = http_send(r->x, v, 2);
        r->held = rc != 0;
        if (rc < 0)
            return; // gone comes
        r->lost = false;
        buf_clear(&r->out);
    }
    if (r->ended) {
        struct http_exchange *x = r->x;
        reader_free(r);
        http_finish(x);
    }
}

static void drain(struct http_exchange *x, void *user)
{
    struct flow_reader *r = user;
    (void)x;
    r->held = false;
    flush(r);
}

static void gone(struct http_exchange *x, void *user, int status)
{
    (void)x;
    (void)status;
    reader_free(user);
}

static void put_end(struct flow_reader *r, struct bytes status)
{
    struct buf json;
    struct json_w w;
    buf_init(&json, 4096);
    json_w_init(&w, &json);
    json_w_obj(&w, NULL);
    json_w_str(&w, "id", buf_bytes(&r->id));
    json_w_str(&w, "status", status);
    json_w_end(&w);
    put(r, "end", buf_bytes(&json));
    r->ended = true;
    buf_fini(&json);
}

// The node's answer to CTL_FLOW_EVENTS: the run as it is, or an error. What happened since the
// question waits in out and comes after it.
static void on_found(void *user, struct http_exchange *x, int status, struct bytes json)
{
    struct flow_reader *r = user;
    struct json_doc *doc = NULL;
    if (!x || status != 200 || !r->c || r->c->closed) {
        if (x && status != 200)
            http_reply(x, status, CTL_JSON, CTL_NO_STORE, json);
        else if (x)
            http_reply_error(x, E_UNAVAILABLE, "the node is ending", NULL, -1);
        reader_free(r);
        return;
    }
    struct buf since = r->out;
    buf_init(&r->out, json.n + since.max + 4096);
    put(r, "run", json);
    (void)buf_put(&r->out, buf_bytes(&since));
    buf_fini(&since);
    if (!r->ended && json_parse(&doc, json, 0, NULL) == 0 &&
        !json_bool(json_get(json_root(doc), "open"), true))
        put_end(r, json_str(json_get(json_root(doc), "status")));
    json_free(doc);
    r->x = x;
    http_own(x, r, drain, gone);
    http_begin(x, 200, "text/event-stream",
               BYTES("Cache-Control: no-store\r\nX-Accel-Buffering: no\r\n"), HTTP_CHUNKED);
    flush(r);
}

// Proxies and readers see life.
static void on_heart(struct timer *t)
{
    struct ctl *c = t->user;
    list_each_safe (it, &c->flow_readers) {
        struct flow_reader *r = container_of(it, struct flow_reader, link);
        if (!r->x || r->held)
            continue;
        (void)buf_str(&r->out, ":\n\n");
        flush(r);
    }
    if (c->flow_reader_count)
        (void)timer_start(c->args.timers, t, HEART_MS);
}

void ctl_op_flow_events(struct ctl_call *call)
{
    struct ctl *c = call->c;
    if (!ctl_room(call))
        return;
    struct flow_reader *r = mem_new(struct flow_reader);
    if (!r) {
        http_reply_error(call->x, E_NOMEM, "out of memory", NULL, 1);
        return;
    }
    r->c = c;
    buf_init(&r->id, 4096);
    buf_init(&r->out, c->args.queue_bytes_max);
    list_add_tail(&c->flow_readers, &r->link);
    if (!c->flow_reader_count++) {
        c->flow_heart = (struct timer){.fn = on_heart, .user = c};
        (void)timer_start(c->args.timers, &c->flow_heart, HEART_MS);
    }
    void *owner = http_owner(call->x);
    struct ctl_answer *a =
        buf_put(&r->id, call->name) ? NULL : ctl_answer_new_then(call, on_found, r);
    if (a)
        ctl_flow_ask(call, CTL_FLOW_EVENTS, owner, a);
    else
        reader_free(r);
}

void ctl_flows_flush(struct ctl *c)
{
    list_each_safe (it, &c->flow_readers)
        flush(container_of(it, struct flow_reader, link));
}

void ctl_flows_close(struct ctl *c)
{
    list_each_safe (it, &c->flow_readers) {
        struct flow_reader *r = container_of(it, struct flow_reader, link);
        struct http_exchange *x = r->x;
        if (!x)
            continue; // its answer is still to come, and sees that ctl is closed
        r->ended = false;
        flush(r);
        reader_free(r);
        http_finish(x);
    }
}

void ctl_flows_detach(struct ctl *c)
{
    timer_stop(c->args.timers, &c->flow_heart);
    list_each_safe (it, &c->flow_readers) {
        struct flow_reader *r = container_of(it, struct flow_reader, link);
        r->c = NULL;
        list_del(&r->link);
    }
}

// ---- pushed by the node ------------------------------------------------------------------------

bool ctl_flow_watched(const struct ctl *c)
{
    return c->flow_reader_count || c->subscriber_count;
}

static void to_readers(struct ctl *c, struct bytes run, const char *name, struct bytes json)
{
    bool any = false;
    list_each (it, &c->flow_readers) {
        struct flow_reader *r = container_of(it, struct flow_reader, link);
        if (!bytes_eq(buf_bytes(&r->id), run))
            continue;
        put(r, name, json);
        any = true;
    }
    if (any)
        ctl_flush_soon(c);
}

void ctl_flow_event(struct ctl *c, struct bytes run, struct bytes cloudevent)
{
    if (c->flow_reader_count && !c->closed)
        to_readers(c, run, "flow", cloudevent);
}

void ctl_flow_progress(struct ctl *c, struct bytes run, struct bytes task, struct bytes detail)
{
    struct buf json;
    struct json_w w;
    if (!c->flow_reader_count || c->closed)
        return;
    buf_init(&json, CTL_JSON_MAX);
    json_w_init(&w, &json);
    json_w_obj(&w, NULL);
    json_w_str(&w, "task", task);
    json_w_raw(&w, "detail", detail.n ? detail : BYTES("null"));
    json_w_end(&w);
    if (!json.failed)
        to_readers(c, run, "progress", buf_bytes(&json));
    buf_fini(&json);
}

// A line of /api/events. Of many runs at once only some are named.
static void to_everybody(struct ctl *c, const struct ctl_flow_change *f)
{
    struct buf json;
    struct json_w w;
    int64_t now = timers_now_ms(c->args.timers);
    if (now - c->flow_burst_ms >= 1000) {
        c->flow_burst_ms = now;
        c->flow_burst = 0;
    }
    bool named = c->flow_burst++ < BURST_MAX;
    buf_init(&json, 64 << 10);
    json_w_init(&w, &json);
    json_w_obj(&w, NULL);
    if (named) {
        json_w_str(&w, "id", f->run);
        json_w_str(&w, "status", f->status);
        json_w_str(&w, "task", f->task);
        json_w_str(&w, "kind", f->kind);
    } else {
        json_w_null(&w, "id");
    }
    json_w_end(&w);
    ctl_push_flow(c, named ? f->run : BYTES("*"), &json);
    buf_fini(&json);
}

void ctl_flow_changed(struct ctl *c, const struct ctl_flow_change *f)
{
    if (c->closed)
        return;
    if (c->subscriber_count)
        to_everybody(c, f);
    if (f->open || !c->flow_reader_count)
        return;
    list_each (it, &c->flow_readers) {
        struct flow_reader *r = container_of(it, struct flow_reader, link);
        if (!r->ended && bytes_eq(buf_bytes(&r->id), f->run)) {
            put_end(r, f->status);
            ctl_flush_soon(c);
        }
    }
}
