// asks.c: requests of the node: each is answered once, later, whatever happens to it.
// SPDX-License-Identifier: Apache-2.0
#include "runs/runs_priv.h"

#define JSON_MAX ((size_t)64 << 20)

struct ask *runs_ask(struct runs *s, struct runs_req *r)
{
    struct ask *a = mem_new(struct ask);
    r->priv = a;
    if (!a) {
        list_add_tail(&s->left, &r->link);
        runs_soon(s);
        return NULL;
    }
    a->s = s;
    a->r = r;
    buf_init(&a->json, JSON_MAX);
    list_init(&a->wait);
    list_init(&a->mails);
    list_init(&a->plan_wait.link);
    list_init(&r->link);
    list_add_tail(&s->asks, &a->link);
    struct err e = {0};
    if (runs_down(s, &e))
        runs_ask_done(a, e.code, &e);
    return a->done ? NULL : a;
}

void runs_ask_free(struct ask *a)
{
    list_del(&a->link);
    list_del(&a->wait);
    list_del(&a->plan_wait.link);
    timer_stop(a->s->args.timers, &a->timer);
    list_each_safe (it, &a->mails)
        runs_mail_free(container_of(it, struct mail, link));
    buf_fini(&a->json);
    val_unref(a->input);
    val_unref(a->by);
    val_unref(a->label);
    val_unref(a->otherwise);
    val_unref(a->names);
    val_unref(a->resources);
    val_unref(a->event);
    flow_plan_unref(a->plan);
    mem_free(a->id);
    mem_free(a->text);
    mem_free(a);
}

void runs_ask_done(struct ask *a, int status, const struct err *e)
{
    struct runs *s = a->s;
    if (a->done)
        return;
    if (!status && a->json.failed) {
        status = err_set(&a->e, a->json.failed, "the answer does not fit into memory");
    } else if (status && e && e->code) {
        a->e = *e;
    } else if (status) {
        (void)err_set(&a->e, status, "%s", err_info(status)->text);
    }
    a->status = status;
    a->done = true;
    list_del(&a->wait);
    list_del(&a->plan_wait.link);
    list_del(&a->link);
    list_add_tail(&s->answers, &a->link);
    runs_soon(s);
}

void runs_ask_nomem(struct ask *a)
{
    struct err e = {0};
    (void)err_set(&e, E_NOMEM, "a request needs memory");
    runs_ask_done(a, E_NOMEM, &e);
}

void runs_ask_go(struct ask *a, void (*go)(struct ask *a))
{
    if (a->s->docs_read) {
        go(a);
        return;
    }
    a->go = go;
    list_add_tail(&a->s->early, &a->wait);
}

// Only those that are there now: what an answer causes is answered in the next round.
void runs_asks_round(struct runs *s)
{
    size_t count = 0;
    while (s->docs_read && !list_empty(&s->early)) {
        struct ask *a = container_of(s->early.next, struct ask, wait);
        list_del(&a->wait);
        a->go(a);
    }
    while (!list_empty(&s->left)) {
        struct runs_req *r = container_of(s->left.next, struct runs_req, link);
        struct err e = {0};
        int status = r->priv ? E_CANCELLED : E_NOMEM;
        list_del(&r->link);
        (void)err_set(&e, status, r->priv ? "the asker left" : "a request needs memory");
        r->done(r, status, BYTES_NONE, &e);
    }
    list_each (it, &s->answers)
        count++;
    while (count-- && !list_empty(&s->answers)) {
        struct ask *a = container_of(s->answers.next, struct ask, link);
        struct runs_req *r = a->r;
        list_del(&a->link);
        if (r)
            r->done(r, a->status, a->status ? BYTES_NONE : buf_bytes(&a->json),
                    a->status ? &a->e : NULL);
        runs_ask_free(a);
    }
}

void runs_cancel(struct runs *s, struct runs_req *r)
{
    struct ask *a = r->priv;
    if (!a || a->r != r)
        return;
    a->r = NULL;
    list_add_tail(&s->left, &r->link);
    if (!list_empty(&a->wait) && !a->go) // it only waits: nothing is lost
        runs_ask_done(a, E_CANCELLED, NULL);
    runs_soon(s);
}

// ---- waiting for the end ------------------------------------------------------------------------

void runs_status_json(struct buf *out, const struct run *r)
{
    struct json_w w;
    struct buf b;
    struct val *output = val_get_cstr(r->output, "output");
    struct val *error = val_get_cstr(r->output, "error");
    buf_init(&b, JSON_MAX);
    json_w_init(&w, out);
    json_w_obj(&w, NULL);
    json_w_str(&w, "id", r->spot->id);
    json_w_cstr(&w, "status", flow_status_name(flow_run_status(r->flow)));
    if (r->ended && (output || error)) {
        (void)val_write(&b, error ? error : output);
        if (b.failed)
            out->failed = b.failed;
        else
            json_w_raw(&w, error ? "error" : "output", buf_bytes(&b));
    }
    json_w_end(&w);
    buf_fini(&b);
}

static void on_wait_over(struct timer *t)
{
    struct ask *a = t->user;
    struct spot *spot = runs_spot(a->s, bytes_of(a->id));
    list_del(&a->wait);
    if (spot && spot->run && spot->run->state == RUN_LIVE) {
        runs_status_json(&a->json, spot->run);
    } else {
        struct json_w w;
        json_w_init(&w, &a->json);
        json_w_obj(&w, NULL);
        json_w_cstr(&w, "id", a->id);
        json_w_cstr(&w, "status", "waiting"); // only such ones are not loaded
        json_w_end(&w);
    }
    runs_ask_done(a, 0, NULL);
    if (spot)
        runs_spot_tidy(a->s, spot);
}

void runs_ask_wait(struct ask *a, struct run *r)
{
    if (r->ended && r->output && !r->writes) {
        runs_status_json(&a->json, r);
        runs_ask_done(a, 0, NULL);
        return;
    }
    list_add_tail(&r->spot->waits, &a->wait);
    a->timer = (struct timer){.fn = on_wait_over, .user = a};
    if (a->wait_ms > 0 && a->wait_ms != TIME_NEVER)
        (void)timer_start(a->s->args.timers, &a->timer, a->wait_ms);
}

void runs_ended(struct run *r)
{
    struct list *waits = &r->spot->waits;
    while (!list_empty(waits)) {
        struct ask *a = container_of(waits->next, struct ask, wait);
        runs_status_json(&a->json, r);
        runs_ask_done(a, 0, NULL); // out of the list
    }
}

void runs_loaded(struct run *r)
{
    while (!list_empty(&r->looks)) {
        struct ask *a = container_of(r->looks.next, struct ask, wait);
        list_del(&a->wait);
        a->look(a, r);
    }
}
