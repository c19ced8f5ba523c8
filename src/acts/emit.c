// emit.c: a CloudEvent of a flow, to the bus and to this node's own listeners. Its id is the same
// for each attempt: the bus takes it once.
// SPDX-License-Identifier: Apache-2.0
#include "acts/acts_priv.h"
#include "text/cloudevent.h"

#include <stdio.h>

#define EVENT_MAX ((size_t)1 << 20)
#define STORE_MS 30000

struct emit_send { // a store of the bus; lives until its answer came
    struct bus_req req;
    struct act *act; // NULL: nobody waits any more
    struct bus *bus;
};
struct emit {
    struct emit_send *send;
    struct buf json;
};

static void finish(struct act *a)
{
    struct emit *m = a->own;
    struct acts_args *args = &a->room->args;
    if (args->emit)
        args->emit(args->user, buf_bytes(&m->json));
    act_done(a, val_ref(a->with));
}

static void stored(struct bus_req *r, int status, const struct bus_msg *reply, const struct err *e)
{
    struct emit_send *s = container_of(r, struct emit_send, req);
    struct act *a = s->act;
    (void)reply;
    if (a) {
        ((struct emit *)a->own)->send = NULL;
        if (status == 0 && !a->ended)
            finish(a);
        else if (status < 0)
            act_fail_err(a, status == E_CLOSED ? E_UNAVAILABLE : status, e);
    }
    mem_free(s);
}

static void send_it(struct act *a, const struct cloudevent *c)
{
    struct emit *m = a->own;
    struct acts_args *args = &a->room->args;
    struct err e = {0};
    char subject[128];
    struct emit_send *s = mem_new(struct emit_send);
    if (!s) {
        act_nomem(a);
        return;
    }
    (void)snprintf(subject, sizeof subject, "%s.organs.flow.event",
                   args->environment ? args->environment : "dev");
    struct bus_msg msg = {.subject = bytes_of(subject),
                          .data = buf_bytes(&m->json),
                          .content = BYTES(CLOUDEVENT_JSON),
                          .type = c->type,
                          .id = c->id,
                          .label = a->args->label};
    s->act = a;
    s->bus = a->room->bus;
    s->req.done = stored;
    s->req.timeout_ms = STORE_MS;
    int rc = bus_store(s->bus, &msg, &s->req, &e);
    if (rc < 0) {
        mem_free(s);
        act_fail_err(a, rc, &e);
        return;
    }
    m->send = s;
}

static void start(struct act *a)
{
    struct emit *m = a->own;
    struct cloudevent c;
    struct err e = {0};
    struct buf given;
    AUTO(arena) memory = arena_new(4 * EVENT_MAX);
    buf_init(&given, EVENT_MAX);
    buf_init(&m->json, EVENT_MAX);
    (void)val_write(&given, a->with);
    int rc = !memory        ? err_set(&e, E_NOMEM, "out of memory")
             : given.failed ? err_set(&e, E_TOOBIG, "the event has more than 1 MiB")
                            : cloudevent_parse(&c, memory, buf_bytes(&given), &e);
    if (rc == 0)
        rc = cloudevent_check(&c, &e);
    if (rc == 0)
        rc = cloudevent_put(&m->json, &c);
    if (rc < 0)
        act_fail(a, rc == E_NOMEM ? ACT_RUNTIME : ACT_VALIDATION, 0, rc != E_NOMEM, "emit: %s",
                 e.text);
    else if (a->room->bus)
        send_it(a, &c);
    else
        finish(a);
    buf_fini(&given);
}

static void stop(struct act *a)
{
    struct emit *m = a->own;
    if (m->send) {
        m->send->act = NULL;
        bus_cancel(m->send->bus, &m->send->req);
    }
    buf_fini(&m->json);
}

const struct act_kind act_emit = {.name = "emit",
                                  .what = "A CloudEvent, to the bus and to listening flows.",
                                  .bytes = sizeof(struct emit),
                                  .start = start,
                                  .stop = stop};
