// view.c: a run for people: each task with its state, times, attempts and what went in and out.
// SPDX-License-Identifier: Apache-2.0
#include "flow/run_priv.h"

#define VALUE_MAX 4096 // longer values are cut
#define PREVIEW_MAX 256

static void put_time(struct json_w *w, const char *key, int64_t ms)
{
    char text[TIME_TEXT_LEN + 1];
    if (ms <= 0)
        return;
    time_text(ms, text);
    json_w_cstr(w, key, text);
}

static void put_value(struct json_w *w, const char *key, const struct val *v, bool full)
{
    struct buf b;
    if (!v)
        return;
    buf_init(&b, SIZE_MAX / 4);
    (void)val_write(&b, v);
    if (b.failed) {
        w->out->failed = w->out->failed ? w->out->failed : b.failed;
    } else if (full || b.n <= VALUE_MAX) {
        json_w_raw(w, key, buf_bytes(&b));
    } else {
        size_t n = PREVIEW_MAX; // whole characters
        while (n > 0 && ((unsigned char)b.p[n] & 0xc0) == 0x80)
            n--;
        json_w_obj(w, key);
        json_w_u64(w, "$cut", b.n);
        json_w_str(w, "preview", bytes_first(buf_bytes(&b), n));
        json_w_end(w);
    }
    buf_fini(&b);
}

static const char *state_of(const struct seen *x, const struct frame *f)
{
    static const char *const names[] = {
        [SEEN_NONE] = "pending",        [SEEN_RUNNING] = "running", [SEEN_WAITING] = "waiting",
        [SEEN_COMPLETED] = "completed", [SEEN_FAULTED] = "faulted", [SEEN_SKIPPED] = "skipped",
        [SEEN_CANCELLED] = "cancelled", [SEEN_STALLED] = "stalled",
    };
    bool try_ = f && f->task->kind == FLOW_KIND_TRY;
    return try_ && f->step == STEP_DELAY && f->phase == PHASE_BODY ? "retrying" : names[x->state];
}

// What the task waits for: data of its timer or activity, or NULL.
static const struct val *body_of(const struct flow_run *r, const struct frame *f)
{
    for (size_t i = 0; f->wait[ROLE_BODY] && i < r->pend_count; i++)
        if (r->pends[i].ev.id == f->wait[ROLE_BODY])
            return r->pends[i].ev.data;
    return NULL;
}

static void put_task(struct json_w *w, const struct flow_run *r, const struct flow_task *t,
                     const struct frame *f, bool full)
{
    const struct seen *x = &r->seen[t->index];
    json_w_obj(w, NULL);
    json_w_cstr(w, "task", t->pointer);
    json_w_cstr(w, "name", t->name);
    json_w_cstr(w, "kind", flow_kind_name(t->kind));
    json_w_cstr(w, "state", state_of(x, f));
    json_w_u64(w, "count", x->count);
    json_w_u64(w, "attempt", x->count > 0 ? x->attempt + 1 : 0);
    put_time(w, "started", x->started_ms);
    put_time(w, "ended", f ? 0 : x->ended_ms);
    if (f) {
        const struct val *body = body_of(r, f), *queue = val_get_cstr(body, "queue");
        put_time(w, "due", val_i64(val_get_cstr(body, "due"), 0));
        if (queue)
            json_w_str(w, "queue", val_bytes(queue));
        if (f->item)
            json_w_u64(w, "iteration", f->index);
    }
    put_value(w, "input", x->input, full);
    put_value(w, "output", f ? NULL : x->output, full);
    put_value(w, "error", x->error, full);
    json_w_end(w);
}

static void put_tasks(struct json_w *w, const struct flow_run *r, const struct frame **frames,
                      bool full)
{
    json_w_arr(w, "tasks");
    for (size_t i = 0; i < r->plan->task_count; i++)
        put_task(w, r, r->plan->tasks[i], frames[i], full);
    json_w_end(w);
}

int flow_run_view(const struct flow_run *r, bool full, struct buf *out)
{
    const struct frame **frames = mem_array(r->plan->task_count + 1, sizeof *frames);
    struct json_w w;
    if (!frames)
        return E_NOMEM;
    for (struct frame *f = r->root; f; f = flow_frame_next(r->root, f))
        if (f->task && f->phase != PHASE_FAILED)
            frames[f->task->index] = f;
    json_w_init(&w, out);
    json_w_obj(&w, NULL);
    json_w_cstr(&w, "status", flow_status_name(flow_run_status(r)));
    put_value(&w, "input", r->raw_input, full);
    put_value(&w, "output", r->output, full);
    put_value(&w, "error", r->error, full);
    put_value(&w, "context", r->context, full);
    put_time(&w, "started", r->started_ms);
    put_time(&w, "ended", r->ended_ms);
    put_tasks(&w, r, frames, full);
    json_w_end(&w);
    mem_free(frames);
    return out->failed;
}
