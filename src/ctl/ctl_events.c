// ctl_events.c: readers of GET /api/events. Each has a bounded queue in which a newer frame of the
// same model or request takes the older one's place; a reader that falls behind loses its queue and
// gets a whole snapshot when it catches up. Log lines are not queued: each reader has a place in
// the log ring. SPDX-License-Identifier: Apache-2.0
#include "ctl/ctl_priv.h"
#include <string.h>

#define BURST_BYTES ((size_t)64 << 10) // one send to one reader
#define FRAMES_MAX 1024 // waiting for one reader
#define FLUSH_MS 50 // logs, requests and figures wait so long for company
#define HEART_MS 15000 // a comment line, so that proxies see life
#define ROWS_MAX 64 // running requests told each second

enum frame_kind {
    FRAME_MODEL,
    FRAME_REQUEST,
    FRAME_STAT,
    FRAME_CONFIG,
    FRAME_MESH,
    FRAME_FLOW,
    FRAME_TOOL
};
static const char *const frame_name[] = {"model", "request", "stat", "config",
                                         "mesh",  "flow",    "tool"};

#define MESH_MS 250 // between two events of the mesh ...
#define MESH_QUIET_MS 2000 // ... and when nothing changed but ages and loads

struct frame { // shared by the queues of all readers
    size_t refs;
    enum frame_kind kind;
    uint64_t key; // hash of the name that it is about; 0: never replaced
    size_t n;
    char text[];
};

struct waiting {
    struct list link;
    struct frame *frame;
};

struct subscriber {
    struct list link;
    struct ctl *c; // NULL: ctl is gone
    struct http_exchange *x;
    struct list queue;
    size_t frames, bytes;
    uint64_t log_at;
    bool held; // the socket is full
    bool lost; // needs a snapshot instead of its queue
};

static void frame_unref(struct frame *f)
{
    if (--f->refs == 0)
        mem_free(f);
}

static void drop_first(struct subscriber *s)
{
    struct waiting *first = container_of(s->queue.next, struct waiting, link);
    list_del(&first->link);
    s->frames--;
    s->bytes -= first->frame->n;
    frame_unref(first->frame);
    mem_free(first);
}

static void lose(struct subscriber *s)
{
    s->c->dropped += s->frames + 1;
    while (!list_empty(&s->queue))
        drop_first(s);
    s->lost = true;
}

static bool replace(struct subscriber *s, struct frame *f)
{
    if (!f->key)
        return false;
    list_each (it, &s->queue) {
        struct waiting *w = container_of(it, struct waiting, link);
        if (w->frame->kind != f->kind || w->frame->key != f->key)
            continue;
        s->bytes += f->n - w->frame->n;
        frame_unref(w->frame);
        w->frame = f;
        f->refs++;
        return true;
    }
    return false;
}

static void enqueue(struct subscriber *s, struct frame *f)
{
    if (s->lost || replace(s, f))
        return;
    struct waiting *w = NULL;
    if (s->frames < FRAMES_MAX && s->bytes + f->n <= s->c->args.queue_bytes_max)
        w = mem_new(struct waiting);
    if (!w) {
        lose(s);
        return;
    }
    w->frame = f;
    f->refs++;
    list_add_tail(&s->queue, &w->link);
    s->frames++;
    s->bytes += f->n;
}

static void put_frame(struct buf *out, const char *name, struct bytes json)
{
    (void)buf_fmt(out, "event: %s\ndata: ", name);
    (void)buf_put(out, json);
    (void)buf_str(out, "\n\n");
}

static void push(struct ctl *c, enum frame_kind kind, struct bytes about, const struct buf *json)
{
    struct buf text;
    buf_init(&text, CTL_JSON_MAX);
    put_frame(&text, frame_name[kind], buf_bytes(json));
    struct frame *f = text.failed || json->failed ? NULL : mem_alloc(sizeof *f + text.n);
    if (f) {
        f->refs = 1;
        f->kind = kind;
        f->key = about.n ? bytes_hash(about) | 1 : 0;
        f->n = text.n;
        memcpy(f->text, text.p, text.n);
    }
    list_each (it, &c->subscribers) {
        struct subscriber *s = container_of(it, struct subscriber, link);
        if (f)
            enqueue(s, f);
        else
            lose(s);
    }
    if (f)
        frame_unref(f);
    buf_fini(&text);
}

// Fills scratch with what this reader is to get next.
static void fill(struct subscriber *s, struct buf *out)
{
    static const struct log_pick logs = {NULL, LOG_DEBUG, "event: log\ndata: ", "\n\n"};
    struct ctl *c = s->c;
    if (s->lost) {
        struct buf state;
        buf_init(&state, CTL_JSON_MAX);
        ctl_put_state(c, &state);
        put_frame(out, "state", buf_bytes(&state));
        s->lost = state.failed != 0;
        buf_clear(&state);
        if (c->ops->mesh_put && c->ops->mesh_put(c->args.user, &state) == 0 && state.n)
            put_frame(out, "mesh", buf_bytes(&state));
        if (s->lost)
            buf_clear(out);
        buf_fini(&state);
    }
    while (!list_empty(&s->queue) && out->n < BURST_BYTES) {
        struct waiting *first = container_of(s->queue.next, struct waiting, link);
        (void)buf_add(out, first->frame->text, first->frame->n);
        drop_first(s);
    }
    if (out->n < BURST_BYTES)
        (void)ctl_ring_take(&c->ring, &s->log_at, &logs, out, BURST_BYTES - out->n);
}

static void flush_one(struct subscriber *s)
{
    struct buf *out = &s->c->scratch;
    while (!s->held) {
        buf_clear(out);
        fill(s, out);
        if (out->failed) { // no memory: try again with the next event
            lose(s);
            break;
        }
        if (!out->n)
            break;
        struct bytes v = buf_bytes(out);
        int rc = http_send(s->x, &v, 1);
        s->held = rc != 0;
        s->lost |= rc < 0; // not taken; after E_CLOSED gone comes
    }
}

void ctl_events_flush(struct ctl *c)
{
    c->flushed_ms = timers_now_ms(c->args.timers);
    list_each_safe (it, &c->subscribers)
        flush_one(container_of(it, struct subscriber, link));
}

void ctl_flush_soon(struct ctl *c)
{
    if (c->flushing || c->closed)
        return;
    if (timer_start(c->args.timers, &c->flush, FLUSH_MS) == 0)
        c->flushing = true;
}

void ctl_flush_timer(struct timer *t)
{
    struct ctl *c = t->user;
    c->flushing = false;
    if (c->mesh_news)
        ctl_mesh_changed(c);
    ctl_events_flush(c);
    ctl_tails_flush(c);
    ctl_flows_flush(c);
}

// ---- a reader comes and goes -------------------------------------------------------------------

static void drain(struct http_exchange *x, void *user)
{
    struct subscriber *s = user;
    (void)x;
    s->held = false;
    if (s->c && !s->c->closed)
        flush_one(s);
}

static void subscriber_free(struct subscriber *s)
{
    while (!list_empty(&s->queue))
        drop_first(s);
    list_del(&s->link);
    if (s->c) {
        s->c->subscriber_count--;
        ctl_ring_readers(&s->c->ring, s->c->subscriber_count + s->c->tail_count);
        if (!s->c->subscriber_count)
            timer_stop(s->c->args.timers, &s->c->second);
    }
    mem_free(s);
}

static void gone(struct http_exchange *x, void *user, int status)
{
    (void)x;
    (void)status;
    subscriber_free(user);
}

void ctl_op_events(struct ctl_call *call)
{
    struct ctl *c = call->c;
    if (!ctl_room(call))
        return;
    struct subscriber *s = mem_new(struct subscriber);
    if (!s || (!c->subscriber_count && timer_start(c->args.timers, &c->second, 1000))) {
        mem_free(s);
        http_reply_error(call->x, E_NOMEM, "out of memory", NULL, 1);
        return;
    }
    s->c = c;
    s->x = call->x;
    s->lost = true; // the snapshot is the first frame
    s->log_at = ctl_ring_next(&c->ring);
    list_init(&s->queue);
    list_add_tail(&c->subscribers, &s->link);
    if (!c->subscriber_count++)
        c->heart_ms = timers_now_ms(c->args.timers);
    ctl_ring_readers(&c->ring, c->subscriber_count + c->tail_count);
    http_own(call->x, s, drain, gone);
    http_begin(call->x, 200, "text/event-stream",
               BYTES("Cache-Control: no-store\r\nX-Accel-Buffering: no\r\n"), HTTP_CHUNKED);
    flush_one(s);
}

void ctl_events_close(struct ctl *c)
{
    while (!list_empty(&c->subscribers)) {
        struct subscriber *s = container_of(c->subscribers.next, struct subscriber, link);
        struct http_exchange *x = s->x;
        lose(s);
        flush_one(s);
        subscriber_free(s);
        http_finish(x);
    }
}

void ctl_events_detach(struct ctl *c)
{
    list_each_safe (it, &c->subscribers) {
        struct subscriber *s = container_of(it, struct subscriber, link);
        s->c = NULL;
        list_del(&s->link);
    }
}

// ---- events ------------------------------------------------------------------------------------

bool ctl_watched(const struct ctl *c)
{
    return c->subscriber_count > 0;
}

void ctl_model_changed(struct ctl *c, const struct model *m)
{
    struct model_view v;
    model_view(c->args.models, m, timers_now_ms(c->args.timers), &v);
    ctl_waits_settle(c, v.name);
    if (!ctl_watched(c) || c->closed)
        return;
    struct buf json;
    struct json_w w;
    buf_init(&json, CTL_JSON_MAX);
    json_w_init(&w, &json);
    ctl_put_model(c, &w, NULL, m);
    push(c, FRAME_MODEL, bytes_of(v.name), &json);
    buf_fini(&json);
    ctl_events_flush(c); // a state change is seen at once
}

static void push_mesh(struct ctl *c, int64_t now)
{
    struct buf json;
    buf_init(&json, CTL_JSON_MAX);
    if (c->ops->mesh_put && c->ops->mesh_put(c->args.user, &json) == 0 && json.n)
        push(c, FRAME_MESH, BYTES("mesh"), &json);
    buf_fini(&json);
    c->mesh_news = false;
    c->mesh_ms = now;
}

void ctl_mesh_changed(struct ctl *c)
{
    int64_t now = timers_now_ms(c->args.timers);
    c->mesh_news = ctl_watched(c) && !c->closed;
    if (c->mesh_news && now - c->mesh_ms >= MESH_MS)
        push_mesh(c, now);
    if (ctl_watched(c))
        ctl_flush_soon(c);
}

void ctl_request_event(struct ctl *c, const struct ctl_request *r, bool end)
{
    if (!ctl_watched(c) || c->closed)
        return;
    struct buf json;
    struct json_w w;
    buf_init(&json, CTL_JSON_MAX);
    json_w_init(&w, &json);
    ctl_put_request(&w, NULL, r, end);
    push(c, FRAME_REQUEST, r->id, &json);
    buf_fini(&json);
    ctl_flush_soon(c);
}

void ctl_push_flow(struct ctl *c, struct bytes run, const struct buf *json)
{
    push(c, FRAME_FLOW, run, json);
    ctl_flush_soon(c);
}

void ctl_tool_event(struct ctl *c, struct bytes id, const struct buf *json)
{
    if (!ctl_watched(c) || c->closed)
        return;
    push(c, FRAME_TOOL, id, json);
    ctl_flush_soon(c);
}

void ctl_stat(struct ctl *c)
{
    if (!ctl_watched(c) || c->closed)
        return;
    struct buf json;
    buf_init(&json, CTL_JSON_MAX);
    ctl_put_stat(c, &json);
    if (!json.failed && !bytes_eq(buf_bytes(&json), buf_bytes(&c->stat))) {
        push(c, FRAME_STAT, BYTES("stat"), &json);
        buf_clear(&c->stat);
        (void)buf_put(&c->stat, buf_bytes(&json));
        ctl_flush_soon(c);
    }
    buf_fini(&json);
}

void ctl_config_changed(struct ctl *c, struct bytes changes)
{
    ctl_waits_settle(c, NULL); // a model that somebody waits for may be gone
    if (!ctl_watched(c) || c->closed)
        return;
    struct buf json;
    struct json_w w;
    buf_init(&json, CTL_JSON_MAX);
    json_w_init(&w, &json);
    json_w_obj(&w, NULL);
    json_w_raw(&w, "changes", changes.n ? changes : BYTES("[]"));
    json_w_end(&w);
    push(c, FRAME_CONFIG, BYTES_NONE, &json);
    buf_fini(&json);
    ctl_events_flush(c);
    ctl_profile_changed(c); // and the snapshot anew
}

void ctl_profile_changed(struct ctl *c)
{
    if (c->closed)
        return;
    list_each (it, &c->subscribers)
        lose(container_of(it, struct subscriber, link));
    ctl_events_flush(c);
}

void ctl_second_timer(struct timer *t)
{
    struct ctl *c = t->user;
    struct ctl_request r;
    void *at = NULL;
    int64_t now = timers_now_ms(c->args.timers);
    if (c->closed || timer_start(c->args.timers, t, 1000))
        return;
    ctl_stat(c);
    if (now - c->mesh_ms >= MESH_QUIET_MS && ctl_watched(c)) {
        push_mesh(c, now);
        ctl_flush_soon(c);
    }
    for (size_t i = 0; i < ROWS_MAX && c->ops->request(c->args.user, &at, &r); i++)
        ctl_request_event(c, &r, false);
    if (now - c->heart_ms < HEART_MS)
        return;
    c->heart_ms = now;
    list_each_safe (it, &c->subscribers) {
        struct subscriber *s = container_of(it, struct subscriber, link);
        struct bytes heart = BYTES(":\n\n");
        if (!s->held)
            s->held = http_send(s->x, &heart, 1) != 0;
    }
}
