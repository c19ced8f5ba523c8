// histories.c: all events of an execution, page by page; and a history that lies in a file, folded.
// SPDX-License-Identifier: Apache-2.0
#include "temporal/temporal_priv.h"

#include <string.h>

#define EVENTS_MAX 100000 // over the server's own limit of 51,200

struct ask {
    struct list link;
    struct temporal *t;
    struct val *execution, *events;
    struct val *page; // token
    void (*done)(void *user, int status, struct val *events, const struct err *e);
    void *user;
};

static void ask_end(struct ask *a, int status, const struct err *e)
{
    struct temporal *t = a->t;
    list_del(&a->link);
    a->done(a->user, status, status ? NULL : a->events, e);
    val_unref(a->execution);
    val_unref(a->events);
    val_unref(a->page);
    mem_free(a);
    temporal_quiet(t);
}

static void next_page(struct ask *a);

static void on_page(void *user, int status, struct val *answer, const struct err *e)
{
    struct ask *a = user;
    const struct val *events = val_get_cstr(val_get_cstr(answer, "history"), "events");
    struct err own = {0};
    if (status) {
        ask_end(a, status, e);
        return;
    }
    for (size_t i = 0; i < val_len(events) && val_len(a->events) < EVENTS_MAX; i++)
        a->events = val_push(a->events, val_ref(val_at(events, i)));
    val_unref(a->page);
    a->page = NULL;
    if (!a->events)
        ask_end(a, err_set(&own, E_NOMEM, "no memory for a history"), &own);
    else if (temporal_str(answer, "nextPageToken").n) {
        a->page = val_ref(val_get_cstr(answer, "nextPageToken"));
        next_page(a);
    } else
        ask_end(a, 0, NULL);
}

static void next_page(struct ask *a)
{
    struct val *r = temporal_bare(a->t);
    r = val_put_cstr(r, "execution", val_ref(a->execution));
    if (a->page)
        r = val_put_cstr(r, "nextPageToken", val_ref(a->page));
    (void)temporal_call(a->t, "GetWorkflowExecutionHistory", r, TEMPORAL_CALL_MS, on_page, a);
}

void temporal_events(struct temporal *t, struct bytes workflow, struct bytes run,
                     void (*done)(void *user, int status, struct val *events, const struct err *e),
                     void *user)
{
    struct ask *a = mem_new(struct ask);
    struct err e = {0};
    if (!a) {
        (void)err_set(&e, E_NOMEM, "no memory for a history");
        done(user, E_NOMEM, NULL, &e);
        return;
    }
    a->t = t;
    a->done = done;
    a->user = user;
    a->execution = temporal_execution(workflow, run);
    a->events = val_arr();
    list_add_tail(&t->asks, &a->link);
    next_page(a);
}

// ---- a history in a file ------------------------------------------------------------------------

static int read_history(struct proto *api, struct bytes text, struct val **ret, struct err *e)
{
    const struct proto_message *m = proto_message(api, BYTES("temporal.api.history.v1.History"));
    struct val *v = NULL;
    int rc;
    if (!bytes_starts(bytes_trim(text), BYTES("{")))
        return proto_decode(m, text, ret, e);
    // Its JSON form, which may name enums shortly ("WorkflowExecutionStarted"): not looked at.
    rc = val_parse(&v, text, e);
    if (!rc)
        *ret = v;
    return rc;
}

int temporal_replay(struct bytes history, struct buf *out, struct err *e)
{
    AUTO(proto) api = NULL;
    AUTO(val) v = NULL;
    struct temporal_fold *f = NULL;
    int rc = proto_new(&api, e);
    if (!rc)
        rc = proto_add_set(api, embed_temporal_api(), e);
    if (!rc)
        rc = proto_link(api, e);
    if (!rc)
        rc = read_history(api, history, &v, e);
    if (!rc)
        rc = temporal_fold_new(&f, BYTES("replayed"), BYTES("replayed"), e);
    if (!rc)
        rc = temporal_fold_all(f, val_get_cstr(v, "events"), e);
    if (!rc && !f->flow)
        rc = err_set(e, E_INVALID, "the history does not begin with a start");
    if (!rc)
        rc = flow_run_view(f->flow, false, out);
    temporal_fold_free(f);
    return rc;
}
