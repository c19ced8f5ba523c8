// lifecycle.c: what happened to a run and its tasks as CloudEvents (the DSL's lifecycle events).
// SPDX-License-Identifier: Apache-2.0
#include "flow/run_priv.h"

static const struct {
    const char *task, *workflow; // the last part of the type; NULL: no such event
    const char *time;
    const char *data; // what the note's data is
} kinds[] = {
    [FLOW_NOTE_STARTED] = {"started", "started", "startedAt", NULL},
    [FLOW_NOTE_RETRIED] = {"retried", NULL, "retriedAt", NULL},
    [FLOW_NOTE_WAITING] = {"status-changed", NULL, "updatedAt", NULL},
    [FLOW_NOTE_COMPLETED] = {"completed", "completed", "completedAt", "output"},
    [FLOW_NOTE_FAULTED] = {"faulted", "faulted", "faultedAt", "error"},
    [FLOW_NOTE_SKIPPED] = {NULL, NULL, NULL, NULL},
    [FLOW_NOTE_CANCELLED] = {"cancelled", "cancelled", "cancelledAt", NULL},
    [FLOW_NOTE_SUSPENDED] = {"suspended", "suspended", "suspendedAt", NULL},
    [FLOW_NOTE_RESUMED] = {"resumed", "resumed", "resumedAt", NULL},
};

static void put_data(struct json_w *w, const struct flow_run *r, const struct flow_note *n,
                     const char *qualified)
{
    const struct flow_about *about = &r->plan->about;
    char text[TIME_TEXT_LEN + 1];
    json_w_obj(w, "data");
    if (n->workflow) {
        json_w_cstr(w, "name", qualified);
    } else {
        json_w_cstr(w, "workflow", qualified);
        json_w_cstr(w, "task", n->task);
    }
    if (n->workflow && n->kind == FLOW_NOTE_STARTED) {
        json_w_obj(w, "definition");
        json_w_cstr(w, "name", about->name);
        json_w_cstr(w, "namespace", about->namespace);
        json_w_cstr(w, "version", about->version);
        json_w_end(w);
    }
    time_text(n->at_ms, text);
    json_w_cstr(w, kinds[n->kind].time, text);
    if (n->kind == FLOW_NOTE_WAITING)
        json_w_cstr(w, "status", "waiting");
    if (kinds[n->kind].data && n->data) {
        struct buf b;
        buf_init(&b, SIZE_MAX / 4);
        (void)val_write(&b, n->data);
        if (b.failed)
            w->out->failed = b.failed;
        else
            json_w_raw(w, kinds[n->kind].data, buf_bytes(&b));
        buf_fini(&b);
    }
    json_w_end(w);
}

int flow_lifecycle(struct buf *out, const struct flow_run *r, const struct flow_note *n,
                   const char *run, const char *source, uint64_t seq)
{
    const char *last = n->workflow ? kinds[n->kind].workflow : kinds[n->kind].task;
    struct buf b;
    struct json_w w;
    char text[TIME_TEXT_LEN + 1];
    if (!last)
        return 1;
    buf_init(&b, 4096);
    json_w_init(&w, out);
    json_w_obj(&w, NULL);
    json_w_cstr(&w, "specversion", "1.0");
    (void)buf_fmt(&b, "%s-%llu", run, (unsigned long long)seq);
    json_w_cstr(&w, "id", buf_cstr(&b));
    json_w_cstr(&w, "source", source);
    buf_clear(&b);
    (void)buf_fmt(&b, "io.serverlessworkflow.%s.%s.v1", n->workflow ? "workflow" : "task", last);
    json_w_cstr(&w, "type", buf_cstr(&b));
    time_text(n->at_ms, text);
    json_w_cstr(&w, "time", text);
    json_w_cstr(&w, "subject", run);
    json_w_cstr(&w, "datacontenttype", "application/json");
    buf_clear(&b);
    (void)buf_fmt(&b, "%s-%s.%s", r->plan->about.name, run, r->plan->about.namespace);
    put_data(&w, r, n, buf_cstr(&b));
    json_w_end(&w);
    int failed = b.failed ? b.failed : out->failed;
    buf_fini(&b);
    return failed;
}
