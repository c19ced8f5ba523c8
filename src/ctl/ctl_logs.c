// ctl_logs.c: the last lines of the log in a ring that any thread may fill, and its readers.
// SPDX-License-Identifier: Apache-2.0
#include "ctl/ctl_priv.h"
#include "text/url.h"
#include <string.h>

#define BURST_BYTES ((size_t)64 << 10)
#define LINE_BYTES_MAX ((size_t)16 << 10) // longer lines are cut

struct log_entry {
    enum log_level level;
    size_t tag_at, tag_n; // the model's name inside text; tag_n 0: none
    size_t n;
    char text[];
};

// ---- the ring -----------------------------------------------------------------------------------

int ctl_ring_init(struct log_ring *r, size_t lines_max, size_t bytes_max)
{
    r->lock = lock_new();
    r->entries = mem_array(lines_max, sizeof *r->entries);
    r->lines_max = lines_max;
    r->bytes_max = bytes_max;
    return r->lock && r->entries ? 0 : E_NOMEM;
}

static void drop_oldest(struct log_ring *r)
{
    struct log_entry **slot = &r->entries[r->first++ % r->lines_max];
    r->bytes -= (*slot)->n;
    mem_free(*slot);
    *slot = NULL;
}

void ctl_ring_fini(struct log_ring *r)
{
    while (r->entries && r->first < r->next)
        drop_oldest(r);
    mem_free(r->entries);
    lock_free(r->lock);
}

uint64_t ctl_ring_next(struct log_ring *r)
{
    lock_take(r->lock);
    uint64_t next = r->next;
    lock_give(r->lock);
    return next;
}

void ctl_ring_readers(struct log_ring *r, size_t readers)
{
    lock_take(r->lock);
    r->readers = readers;
    lock_give(r->lock);
}

// In a line of JSON the name stands as "model":"NAME"; inside a string its quotes would be escaped.
static void find_tag(struct log_entry *l)
{
    struct bytes key = BYTES("\"model\":\""), text = {l->text, l->n};
    ptrdiff_t at = bytes_find(text, key);
    if (at < 0)
        return;
    struct bytes rest = bytes_from(text, (size_t)at + key.n);
    ptrdiff_t end = bytes_chr(rest, '"');
    if (end < 0)
        return;
    l->tag_at = (size_t)at + key.n;
    l->tag_n = (size_t)end;
}

static struct log_entry *entry_of(enum log_level level, struct bytes line)
{
    line = bytes_first(line, LINE_BYTES_MAX);
    struct log_entry *l = mem_alloc(sizeof *l + line.n);
    if (!l)
        return NULL;
    *l = (struct log_entry){.level = level, .n = line.n};
    for (size_t i = 0; i < line.n; i++) // a frame is one line
        l->text[i] = (unsigned char)line.p[i] < 0x20 ? ' ' : line.p[i];
    find_tag(l);
    return l;
}

void ctl_log_line(void *ctl, enum log_level level, struct bytes line)
{
    struct ctl *c = ctl;
    struct log_ring *r = &c->ring;
    struct log_entry *l = entry_of(level, line);
    if (!l)
        return; // the log itself has it
    lock_take(r->lock);
    while (r->first < r->next &&
           (r->next - r->first == r->lines_max || r->bytes + l->n > r->bytes_max))
        drop_oldest(r);
    r->entries[r->next++ % r->lines_max] = l;
    r->bytes += l->n;
    bool wake = r->readers && !r->woken;
    r->woken |= wake;
    lock_give(r->lock);
    if (!wake)
        return;
    if (c->ops->wake)
        c->ops->wake(c->args.user);
    else
        ctl_wake(c);
}

void ctl_wake(struct ctl *c)
{
    lock_take(c->ring.lock);
    c->ring.woken = false;
    lock_give(c->ring.lock);
    ctl_flush_soon(c);
}

static bool picked(const struct log_entry *l, const struct log_pick *pick)
{
    struct bytes tag = {l->text + l->tag_at, l->tag_n};
    return l->level >= pick->least && (!pick->model || bytes_is(tag, pick->model));
}

uint64_t ctl_ring_take(struct log_ring *r, uint64_t *at, const struct log_pick *pick,
                       struct buf *out, size_t room)
{
    uint64_t lost = 0;
    size_t start = out->n;
    lock_take(r->lock);
    if (*at < r->first) {
        lost = r->first - *at;
        *at = r->first;
    }
    for (; *at < r->next && out->n - start < room; (*at)++) {
        const struct log_entry *l = r->entries[*at % r->lines_max];
        if (!picked(l, pick))
            continue;
        (void)buf_str(out, pick->before);
        (void)buf_add(out, l->text, l->n);
        (void)buf_str(out, pick->after);
    }
    lock_give(r->lock);
    return lost;
}

// Where the last `lines` picked lines begin.
static uint64_t ring_back(struct log_ring *r, uint64_t lines, const struct log_pick *pick)
{
    lock_take(r->lock);
    uint64_t at = r->next;
    while (at > r->first && lines) {
        at--;
        lines -= picked(r->entries[at % r->lines_max], pick);
    }
    lock_give(r->lock);
    return at;
}

// ---- readers of GET /api/logs -------------------------------------------------------------------

struct tail {
    struct list link;
    struct ctl *c;
    struct http_exchange *x;
    uint64_t at;
    struct log_pick pick;
    bool held;
    char model[];
};

static void flush_one(struct tail *t)
{
    struct ctl *c = t->c;
    struct buf *out = &c->scratch;
    while (!t->held) {
        buf_clear(out);
        uint64_t lost = ctl_ring_take(&c->ring, &t->at, &t->pick, out, BURST_BYTES);
        struct buf note;
        buf_init(&note, 256);
        if (lost)
            (void)buf_fmt(&note,
                          "{\"level\":\"warn\",\"event\":\"ctl.lines_lost\",\"lines\":%llu}\n",
                          (unsigned long long)lost);
        struct bytes v[] = {buf_bytes(&note), buf_bytes(out)};
        bool nothing = !note.n && !out->n;
        if (!nothing)
            t->held = http_send(t->x, v, 2) != 0;
        buf_fini(&note);
        if (nothing)
            break;
    }
}

void ctl_tails_flush(struct ctl *c)
{
    list_each_safe (it, &c->tails)
        flush_one(container_of(it, struct tail, link));
}

static void drain(struct http_exchange *x, void *user)
{
    struct tail *t = user;
    (void)x;
    t->held = false;
    if (t->c && !t->c->closed)
        flush_one(t);
}

static void tail_free(struct tail *t)
{
    list_del(&t->link);
    if (t->c) {
        t->c->tail_count--;
        ctl_ring_readers(&t->c->ring, t->c->subscriber_count + t->c->tail_count);
    }
    mem_free(t);
}

static void gone(struct http_exchange *x, void *user, int status)
{
    (void)x;
    (void)status;
    tail_free(user);
}

static void follow(struct ctl_call *call, const struct log_pick *pick, uint64_t at)
{
    struct ctl *c = call->c;
    if (!ctl_room(call))
        return;
    size_t n = pick->model ? strlen(pick->model) + 1 : 0;
    struct tail *t = mem_zalloc(sizeof *t + n);
    if (!t) {
        http_reply_error(call->x, E_NOMEM, "out of memory", NULL, 1);
        return;
    }
    t->c = c;
    t->x = call->x;
    t->at = at;
    t->pick = *pick;
    if (n) {
        memcpy(t->model, pick->model, n);
        t->pick.model = t->model;
    }
    list_add_tail(&c->tails, &t->link);
    c->tail_count++;
    ctl_ring_readers(&c->ring, c->subscriber_count + c->tail_count);
    http_own(call->x, t, drain, gone);
    http_begin(call->x, 200, "application/x-ndjson",
               BYTES("Cache-Control: no-store\r\nX-Accel-Buffering: no\r\n"), HTTP_CHUNKED);
    flush_one(t);
    (void)http_flush(call->x);
}

void ctl_tails_close(struct ctl *c)
{
    while (!list_empty(&c->tails)) {
        struct tail *t = container_of(c->tails.next, struct tail, link);
        struct http_exchange *x = t->x;
        flush_one(t);
        tail_free(t);
        http_finish(x);
    }
}

void ctl_tails_detach(struct ctl *c)
{
    list_each_safe (it, &c->tails) {
        container_of(it, struct tail, link)->c = NULL;
        list_del(it);
    }
}

// ---- the operation ------------------------------------------------------------------------------

static int read_query(struct ctl_call *call, uint64_t *ret_lines, struct log_pick *pick,
                      struct buf *model, struct err *e)
{
    static const char *const levels[] = {"debug", "info", "warn", "error"};
    struct buf b;
    int rc = 0;
    *ret_lines = 200;
    buf_init(&b, 64);
    if (url_query(call->query, "lines", &b) && !bytes_u64(buf_bytes(&b), ret_lines))
        rc = err_set(e, E_INVALID, "lines is a number, not \"%s\"", buf_cstr(&b));
    buf_clear(&b);
    pick->least = LOG_DEBUG;
    if (!rc && url_query(call->query, "level", &b)) {
        size_t i = 0;
        while (i < 4 && !bytes_is(buf_bytes(&b), levels[i]))
            i++;
        pick->least = (enum log_level)(i < 4 ? i : 0);
        if (i == 4)
            rc = err_set(e, E_INVALID, "level is debug, info, warn or error, not \"%s\"",
                         buf_cstr(&b));
    }
    buf_fini(&b);
    if (!rc && url_query(call->query, "model", model) && model->n) {
        struct model *m = models_find(call->c->args.models, buf_bytes(model));
        struct model_view v;
        if (!m)
            return err_set(e, E_NOTFOUND, "no model \"%s\"", buf_cstr(model));
        model_view(call->c->args.models, m, 0, &v);
        buf_clear(model); // lines carry the name, not the alias
        (void)buf_str(model, v.name);
        pick->model = buf_cstr(model);
    }
    return rc;
}

void ctl_log_last(struct ctl *c, uint64_t lines, struct buf *out)
{
    struct log_pick pick = {.before = "", .after = "\n"};
    uint64_t at = ring_back(&c->ring, lines, &pick);
    (void)ctl_ring_take(&c->ring, &at, &pick, out, CTL_JSON_MAX);
}

void ctl_op_logs(struct ctl_call *call)
{
    struct log_pick pick = {.before = "", .after = "\n"};
    struct err e = {0};
    struct buf model;
    uint64_t lines;
    buf_init(&model, 1024);
    if (read_query(call, &lines, &pick, &model, &e)) {
        ctl_reply_err(call->x, &e);
    } else {
        uint64_t at = ring_back(&call->c->ring, lines, &pick);
        if (ctl_query_is(call, "follow", "1")) {
            follow(call, &pick, at);
        } else {
            struct buf out;
            buf_init(&out, CTL_JSON_MAX);
            (void)ctl_ring_take(&call->c->ring, &at, &pick, &out, CTL_JSON_MAX);
            if (out.failed)
                http_reply_error(call->x, out.failed, "out of memory", NULL, 1);
            else
                http_reply(call->x, 200, "application/x-ndjson", CTL_NO_STORE, buf_bytes(&out));
            buf_fini(&out);
        }
    }
    buf_fini(&model);
}
