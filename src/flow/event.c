// event.c: entries of a history as JSON and back, and the names of their types.
// SPDX-License-Identifier: Apache-2.0
#include "flow/flow.h"
#include <assert.h>

static const struct {
    const char *name;
    bool command, id; // id: the entry must have one
} types[] = {
    [FLOW_STARTED] = {"started", false, false}, [FLOW_EVALUATED] = {"evaluated", false, true},
    [FLOW_DONE] = {"done", false, true},        [FLOW_FAILED] = {"failed", false, true},
    [FLOW_FIRED] = {"fired", false, true},      [FLOW_EVENT] = {"event", false, false},
    [FLOW_HAND] = {"hand", false, false},       [FLOW_TICK] = {"tick", false, false},
    [FLOW_ROLLED] = {"rolled", false, false},   [FLOW_ACT] = {"act", true, true},
    [FLOW_CHILD] = {"child", true, true},       [FLOW_TIMER] = {"timer", true, true},
    [FLOW_EVAL] = {"eval", true, true},         [FLOW_LISTEN] = {"listen", true, true},
    [FLOW_CANCEL] = {"cancel", true, true},     [FLOW_YIELD] = {"yield", true, false},
    [FLOW_ROLL] = {"roll", true, false},        [FLOW_END] = {"end", true, false},
    [FLOW_STALL] = {"stall", true, false},
};
#define TYPES (sizeof types / sizeof types[0])

static const char *const statuses[] = {
    [FLOW_PENDING] = "pending",       [FLOW_RUNNING] = "running",
    [FLOW_WAITING] = "waiting",       [FLOW_SUSPENDED] = "suspended",
    [FLOW_STALLED] = "stalled",       [FLOW_COMPLETED] = "completed",
    [FLOW_FAULTED] = "faulted",       [FLOW_CANCELLED] = "cancelled",
    [FLOW_TERMINATED] = "terminated",
};

const char *flow_type_name(enum flow_type t)
{
    assert((size_t)t < TYPES);
    return types[t].name;
}

bool flow_type_is_command(enum flow_type t)
{
    assert((size_t)t < TYPES);
    return types[t].command;
}

const char *flow_status_name(enum flow_status s)
{
    assert((size_t)s < sizeof statuses / sizeof statuses[0]);
    return statuses[s];
}

static bool whole(const struct val *v, int64_t *ret)
{
    if (!v)
        return true;
    if (!val_is_int(v))
        return false;
    *ret = val_i64(v, -1);
    return *ret >= 0;
}

static int fill(struct flow_event *ev, const struct val *v, struct err *e)
{
    struct bytes name = val_bytes(val_get_cstr(v, "t"));
    int64_t id = 0, at = 0;
    size_t t = 0;
    if (!val_is(v, JSON_OBJ))
        return err_set(e, E_INVALID, "an entry of a history is an object");
    while (t < TYPES && !bytes_is(name, types[t].name))
        t++;
    if (t == TYPES)
        return err_set(e, E_INVALID, "no entry of a history has type \"%.*s\"",
                       BYTES_FMT(bytes_first(name, 64)));
    if (!whole(val_get_cstr(v, "id"), &id))
        return err_set(e, E_INVALID, "%s: \"id\" is not a whole number", types[t].name);
    if (types[t].id && !id)
        return err_set(e, E_INVALID, "%s: without \"id\"", types[t].name);
    if (!whole(val_get_cstr(v, "at"), &at))
        return err_set(e, E_INVALID, "%s: \"at\" is not a time in milliseconds", types[t].name);
    *ev =
        (struct flow_event){(enum flow_type)t, (uint64_t)id, at, val_ref(val_get_cstr(v, "data"))};
    return 0;
}

int flow_event_parse(struct flow_event *ret, struct bytes json, struct err *e)
{
    struct val *v = NULL;
    int rc = val_parse(&v, json, e);
    if (!rc)
        rc = fill(ret, v, e);
    val_unref(v);
    return rc;
}

int flow_event_put(struct buf *out, const struct flow_event *ev)
{
    (void)buf_fmt(out, "{\"t\":\"%s\"", flow_type_name(ev->type));
    if (ev->id) {
        (void)buf_str(out, ",\"id\":");
        (void)buf_u64(out, ev->id);
    }
    (void)buf_str(out, ",\"at\":");
    (void)buf_i64(out, ev->at_ms);
    if (ev->data) {
        (void)buf_str(out, ",\"data\":");
        (void)val_write(out, ev->data);
    }
    return buf_chr(out, '}');
}

void flow_event_fini(struct flow_event *ev)
{
    val_unref(ev->data);
    ev->data = NULL;
}
