// models_queue.c: tickets: who waits for a model, who may go on, who is refused; and the way of
// all effects out. Nothing here allocates: effects are marks on models and tickets.
// SPDX-License-Identifier: Apache-2.0
#include "models/models_priv.h"
#include <assert.h>

void tickets_push(struct tickets *q, struct model_ticket *t)
{
    t->next = NULL;
    t->prev = q->tail;
    if (q->tail != NULL)
        q->tail->next = t;
    else
        q->head = t;
    q->tail = t;
}

void tickets_del(struct tickets *q, struct model_ticket *t)
{
    if (t->prev != NULL)
        t->prev->next = t->next;
    else
        q->head = t->next;
    if (t->next != NULL)
        t->next->prev = t->prev;
    else
        q->tail = t->prev;
    t->next = t->prev = NULL;
}

static bool has_slot(const struct model *x)
{
    return x->spec.slots == 0 || x->active < x->spec.slots;
}

static void give(struct model *x, struct model_ticket *t, enum ticket_state state, int64_t now_ms)
{
    x->active++;
    x->used_ms = now_ms;
    t->life = x->life;
    t->state = (uint8_t)state;
}

static void unqueue(struct models *m, struct model *x, struct model_ticket *t)
{
    tickets_del(&x->queue, t);
    x->waiting--;
    m->waiting_tickets--;
}

void model_grant_queue(struct models *m, struct model *x, int64_t now_ms)
{
    while (x->step == STEP_WARM && !x->yields && x->queue.head != NULL && has_slot(x)) {
        struct model_ticket *t = x->queue.head;
        unqueue(m, x, t);
        give(x, t, TICKET_GRANTING, now_ms);
        tickets_push(&m->out, t);
    }
}

void model_refuse_all(struct models *m, struct model *x)
{
    while (x->queue.head != NULL) {
        struct model_ticket *t = x->queue.head;
        unqueue(m, x, t);
        t->state = TICKET_REFUSING;
        tickets_push(&m->out, t);
    }
}

static int refused(const struct models *m, const struct model *x, int64_t now_ms, struct err *e)
{
    if (m->stopping)
        return err_set(e, E_BUSY, "the node is shutting down");
    if (x->removed)
        return err_set(e, E_BUSY, "model %s is being removed", x->name);
    if (x->step == STEP_FAILED && now_ms < x->due_ms)
        return err_set(e, E_ENGINE, "model %s failed: %s", x->name, x->failure);
    bool must_load = x->step == STEP_UNLOADED || x->step == STEP_FAILED ||
                     x->step == STEP_WAITING || x->step == STEP_PAUSING;
    if (must_load && model_never_fits(m, x, e))
        return E_TOOBIG;
    if (x->spec.queue_max == 0)
        return err_set(e, E_FULL, "model %s has no free slot now, and none may wait (queue: 0)",
                       x->name);
    if (x->waiting >= x->spec.queue_max)
        return err_set(e, E_FULL, "%u requests wait for model %s already, the limit is %u",
                       x->waiting, x->name, x->spec.queue_max);
    if (m->waiting_tickets >= m->queue_max)
        return err_set(e, E_FULL, "%u requests wait for models already, the limit is %u",
                       m->waiting_tickets, m->queue_max);
    return 0;
}

int models_want(struct models *m, struct model *x, struct model_ticket *t, int64_t now_ms,
                struct err *e)
{
    assert(t->state == TICKET_OUT);
    t->model = x;
    t->since_ms = now_ms;
    if (x->step == STEP_WARM && x->queue.head == NULL && !x->yields && !m->stopping &&
        has_slot(x)) {
        give(x, t, TICKET_GRANTED, now_ms);
        return 0;
    }
    int rc = refused(m, x, now_ms, e);
    bool cold = x->step == STEP_UNLOADED || x->step == STEP_FAILED;
    if (rc == E_FULL && x->spec.queue_max == 0 && cold) {
        (void)err_set(e, E_LOADING, "model %s is loading, and none may wait for it (queue: 0)",
                      x->name);
        return models_load(m, x, now_ms, NULL) < 0 ? rc : E_LOADING;
    }
    if (rc < 0)
        return rc;
    tickets_push(&x->queue, t);
    t->state = TICKET_WAITING;
    x->waiting++;
    m->waiting_tickets++;
    if (x->step == STEP_FAILED)
        x->restarts = 0;
    if (cold) {
        model_want_load(m, x, now_ms);
        models_pump(m, now_ms);
    }
    return 1;
}

static void ended(struct models *m, struct model *x, struct model_ticket *t, int64_t now_ms)
{
    bool current = t->life == x->life;
    t->state = TICKET_OUT;
    if (!current) {
        x->stale--;
        if (x->removed && x->step == STEP_UNLOADED)
            model_settle(m, x, now_ms);
        return;
    }
    x->active--;
    x->used_ms = now_ms;
    x->served++;
    if (x->step == STEP_WARM && x->queue.head != NULL)
        model_grant_queue(m, x, now_ms);
    if (x->active > 0)
        return;
    if (x->step == STEP_DRAINING)
        model_stop(m, x, now_ms);
    if (!list_empty(&m->waiting))
        models_pump(m, now_ms);
    else if (m->budget != 0 && m->used > m->budget)
        models_relieve(m, now_ms);
}

void models_done(struct models *m, struct model_ticket *t, int64_t now_ms)
{
    assert(t->state == TICKET_GRANTED || t->state == TICKET_GRANTING);
    if (t->state == TICKET_GRANTING)
        tickets_del(&m->out, t);
    ended(m, t->model, t, now_ms);
}

void models_cancel(struct models *m, struct model_ticket *t, int64_t now_ms)
{
    struct model *x = t->model;
    switch ((enum ticket_state)t->state) {
    case TICKET_OUT: return;
    case TICKET_GRANTING:
    case TICKET_GRANTED: models_done(m, t, now_ms); return;
    case TICKET_REFUSING:
        tickets_del(&m->out, t);
        t->state = TICKET_OUT;
        return;
    case TICKET_WAITING: break;
    }
    unqueue(m, x, t);
    t->state = TICKET_OUT;
    if (model_wanted(x))
        return;
    if (x->step == STEP_WAITING || x->step == STEP_PAUSING) {
        model_turn(m, x, TURN_UNWANTED, now_ms);
        model_settle(m, x, now_ms);
    }
    models_pump(m, now_ms);
}

// ---- the way out ----

static bool model_effect(struct models *m, struct model *x, struct model_effect *ret)
{
    // A start that was not told yet comes before its stop; gone comes last of all.
    static const enum model_effect_kind order[] = {MODEL_START, MODEL_CLOSE_STREAMS, MODEL_STOP,
                                                   MODEL_CHANGED, MODEL_GONE};
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        if ((x->fx & 1U << order[i]) == 0)
            continue;
        x->fx &= ~(1U << order[i]);
        if (x->fx == 0)
            list_del(&x->fx_link);
        ret->kind = order[i];
        ret->model = x;
        if (order[i] == MODEL_GONE)
            m->gone = x;
        return true;
    }
    assert(!"a model without effects among those that have some");
    return false;
}

bool models_effect(struct models *m, struct model_effect *ret)
{
    if (m->gone != NULL) {
        model_free(m, m->gone);
        m->gone = NULL;
    }
    ret->ticket = NULL;
    ret->err.code = 0;
    ret->err.n = 0;
    ret->err.text[0] = '\0';
    struct model_ticket *t = m->out.head;
    // Models that are gone wait until no ticket speaks of them.
    list_each (it, &m->fx) {
        struct model *x = container_of(it, struct model, fx_link);
        if (x->fx != 1U << MODEL_GONE || t == NULL)
            return model_effect(m, x, ret);
    }
    if (t == NULL)
        return false;
    tickets_del(&m->out, t);
    ret->ticket = t;
    ret->model = t->model;
    if (t->state == TICKET_GRANTING) {
        ret->kind = MODEL_GRANT;
        t->state = TICKET_GRANTED;
    } else {
        ret->kind = MODEL_REFUSE;
        ret->err = t->model->refusal;
        t->state = TICKET_OUT;
    }
    return true;
}
