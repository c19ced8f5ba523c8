// queue.c: activities of queues that others serve: tasks go into the bus's store, answers come out
// of it. A task is sent again with the same id when that is not certain; an answer that comes twice
// changes nothing.
// SPDX-License-Identifier: Apache-2.0
#include "runs/runs_priv.h"
#include "text/subject.h"
#include <string.h>

#define AGAIN_MS 1000

static struct bytes queue_of(const struct job *j)
{
    return val_bytes(val_get_cstr(j->data, "queue"));
}

bool runs_queue_is_own(const struct runs *s, const struct job *j)
{
    struct bytes queue = queue_of(j);
    if (!queue.n)
        return true;
    for (size_t i = 0; s->queues[i]; i++)
        if (bytes_is(queue, s->queues[i]))
            return true;
    return false;
}

// ---- tasks --------------------------------------------------------------------------------------

static void on_stored(struct bus_req *r, int status, const struct bus_msg *reply,
                      const struct err *e)
{
    struct job *j = r->user;
    struct runs *s = j->s;
    (void)reply;
    j->sending = false;
    if (!j->run) {
        runs_job_free(j);
        if (s)
            runs_check_closed(s);
        return;
    }
    if (!status)
        return; // its answer will come
    if (status == E_TOOBIG || status == E_SECURITY || status == E_INVALID)
        runs_job_refuse(j, status, e);
    else if (!runs_down(s, NULL))
        (void)timer_start(s->args.timers, &j->timer, AGAIN_MS);
}

static void on_again(struct timer *t)
{
    runs_queue_send(t->user);
}

static int put_task(struct job *j)
{
    struct runs *s = j->s;
    struct val *v = val_put_cstr(val_obj(), "run", val_str(j->run->spot->id));
    v = val_put_cstr(v, "id", val_int((int64_t)j->id));
    v = val_put_cstr(v, "node", val_cstr(s->node));
    v = val_put_cstr(v, "key", val_cstr(j->key));
    v = val_put_cstr(v, "data", val_ref(j->data));
    buf_clear(&j->input);
    int rc = v ? val_write(&j->input, v) : E_NOMEM;
    val_unref(v);
    return rc;
}

static int put_subject(const struct job *j, struct buf *b, const char *form)
{
    (void)buf_fmt(b, form, j->s->environment, "");
    return subject_put_token(b, queue_of(j));
}

void runs_queue_send(struct job *j)
{
    struct runs *s = j->s;
    struct err e = {0};
    struct buf subject;
    if (!s->bus || j->sending || runs_down(s, NULL))
        return; // when there is one
    j->timer = (struct timer){.fn = on_again, .user = j};
    buf_init(&subject, SUBJECT_BYTES_MAX + 1);
    int rc = put_task(j);
    if (!rc)
        rc = put_subject(j, &subject, RUNS_TASKS);
    struct bus_msg m = {.subject = buf_bytes(&subject),
                        .data = buf_bytes(&j->input),
                        .content = BYTES("application/json"),
                        .type = BYTES("plexus.flow.task"),
                        .id = bytes_of(j->key),
                        .label = val_bytes(val_get_cstr(j->data, "label"))};
    j->bus = (struct bus_req){.done = on_stored, .user = j, .timeout_ms = 30000};
    rc = rc ? err_set(&e, rc, "a task for a queue") : bus_store(s->bus, &m, &j->bus, &e);
    buf_fini(&subject);
    if (!rc) {
        j->sending = true;
        s->stats.activities++;
    } else if (rc == E_TOOBIG || rc == E_SECURITY || rc == E_INVALID) {
        runs_job_refuse(j, rc, &e);
    } else {
        (void)timer_start(s->args.timers, &j->timer, AGAIN_MS);
    }
}

// Nobody wants its answer: whoever works on it is told, if he hears it.
void runs_queue_withdraw(struct job *j)
{
    struct runs *s = j->s;
    struct buf subject;
    timer_stop(s->args.timers, &j->timer);
    if (s->bus && !runs_down(s, NULL)) {
        buf_init(&subject, SUBJECT_BYTES_MAX + 1);
        if (!put_subject(j, &subject, RUNS_UNWANTED))
            (void)bus_publish(s->bus,
                              &(struct bus_msg){.subject = buf_bytes(&subject),
                                                .data = bytes_of(j->key),
                                                .type = BYTES("plexus.flow.unwanted")},
                              NULL);
        buf_fini(&subject);
    }
}

void runs_queue_drop(struct job *j)
{
    struct runs *s = j->s;
    runs_queue_withdraw(j);
    if (!j->sending) {
        runs_job_free(j);
        return;
    }
    list_add_tail(&s->orphans, &j->link);
    if (s->bus)
        bus_cancel(s->bus, &j->bus);
}

// ---- answers ------------------------------------------------------------------------------------

static void on_kept(struct post *p, int status, const struct err *e)
{
    struct receipt *r = p->user;
    struct runs *s = r->s;
    bool sure = !status || status == E_CONFLICT || status == E_NOTFOUND;
    (void)e;
    if (s->answers_sub && sure)
        (void)bus_ack(s->answers_sub, r->ack, BUS_ACK, 0);
    list_del(&r->link);
    mem_free(r);
}

static struct post *answer_post(const struct val *v)
{
    struct val *output = val_get_cstr(v, "output"), *error = val_get_cstr(v, "error");
    struct val *data =
        error ? val_put_cstr(val_obj(), "error", val_ref(error))
              : val_put_cstr(val_obj(), "output", output ? val_ref(output) : val_null());
    struct val *node = val_get_cstr(v, "node"), *final = val_get_cstr(v, "final");
    if (node)
        data = val_put_cstr(data, "node", val_ref(node));
    if (final)
        data = val_put_cstr(data, "final", val_ref(final));
    uint64_t id = (uint64_t)val_i64(val_get_cstr(v, "id"), 0);
    return data ? runs_post_new(error ? FLOW_FAILED : FLOW_DONE, id, data) : NULL;
}

static void on_answer(struct bus_sub *sub, const struct bus_msg *m)
{
    struct runs *s = sub->user;
    struct val *v = NULL;
    struct err e = {0};
    if (val_parse(&v, m->data, NULL) || !val_bytes(val_get_cstr(v, "run")).n) {
        val_unref(v);
        (void)bus_ack(sub, m->ack, BUS_TERM, 0);
        return;
    }
    struct receipt *r = mem_new(struct receipt);
    struct post *p = r ? answer_post(v) : NULL;
    struct run *run =
        p && !runs_down(s, NULL) ? runs_get(s, val_bytes(val_get_cstr(v, "run")), &e) : NULL;
    val_unref(v);
    if (!run) {
        runs_post_free(p);
        mem_free(r);
        (void)bus_ack(sub, m->ack, BUS_NAK, AGAIN_MS);
        return;
    }
    *r = (struct receipt){.s = s, .ack = m->ack};
    list_add_tail(&s->receipts, &r->link);
    p->done = on_kept;
    p->user = r;
    runs_post(run, p);
}

// ---- a bus comes, and goes ----------------------------------------------------------------------

static void send_all(struct runs *s)
{
    list_each (it, &s->loaded) {
        struct run *r = container_of(it, struct run, link);
        list_each_safe (at, &r->jobs) {
            struct job *j = container_of(at, struct job, link);
            if (j->where == JOB_QUEUE && !j->sending)
                runs_queue_send(j);
        }
    }
}

void runs_queue_start(struct runs *s)
{
    struct buf b, durable;
    struct err e = {0};
    if (!s->bus || s->closing)
        return;
    buf_init(&b, SUBJECT_BYTES_MAX + 1);
    buf_init(&durable, SUBJECT_BYTES_MAX + 1);
    (void)buf_fmt(&b, RUNS_ANSWERS, s->environment, "");
    (void)subject_put_token(&b, bytes_of(s->node));
    (void)buf_str(&durable, "flow-done-");
    (void)subject_put_token(&durable, bytes_of(s->node));
    struct bus_sub_args a = {.pattern = buf_cstr(&b),
                             .from = BUS_START,
                             .durable = buf_cstr(&durable),
                             .on_msg = on_answer,
                             .user = s};
    if (!b.failed && !durable.failed)
        (void)bus_subscribe(s->bus, &a, &s->answers_sub, &e);
    runs_begun_listen(s);
    struct runs_worker_args w = {.timers = s->args.timers,
                                 .bus = s->bus,
                                 .acts = s->args.acts,
                                 .environment = s->environment,
                                 .node = s->node,
                                 .queues = (const char *const *)s->queues,
                                 .at_once_max = s->args.activities_max,
                                 .rates = s->rates,
                                 .rate_count = s->bucket_count};
    if (s->queues[0] && s->args.acts)
        (void)runs_worker_new(&s->worker, &w, &e);
    buf_fini(&b);
    buf_fini(&durable);
    send_all(s);
}

static void on_worker_closed(void *user)
{
    struct runs *s = user;
    s->workers_closing--;
    runs_check_closed(s);
}

// The end of all: what the bus still has of it frees itself when the bus gives it back.
void runs_queue_free(struct job *j)
{
    struct runs *s = j->s;
    timer_stop(s->args.timers, &j->timer);
    if (!j->sending || !s->bus) {
        runs_job_free(j);
        return;
    }
    list_del(&j->link);
    list_del(&j->line);
    list_del(&j->written);
    j->run = NULL;
    j->s = NULL;
    bus_cancel(s->bus, &j->bus);
}

void runs_queue_stop(struct runs *s)
{
    if (s->answers_sub)
        bus_unsubscribe(s->answers_sub);
    s->answers_sub = NULL;
    if (s->begun_sub)
        bus_unsubscribe(s->begun_sub);
    s->begun_sub = NULL;
    if (s->worker) {
        s->workers_closing++;
        runs_worker_close(steal(&s->worker), on_worker_closed, s);
    }
}
