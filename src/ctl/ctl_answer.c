// ctl_answer.c: an answer that comes later, from the loop or from the helper pool.
// SPDX-License-Identifier: Apache-2.0
#include "ctl/ctl_priv.h"

struct ctl_answer {
    struct list link;
    struct ctl *c;
    struct http_exchange *x; // NULL: the client has left
    ctl_then_fn then; // NULL: the answer is sent
    void *then_user;
    void (*left)(void *user); // or NULL
    void *left_user;
    struct work_req req;
    int (*run)(void *arg, struct buf *json, struct err *e);
    void *arg;
    void (*free_arg)(void *arg);
    struct buf json;
    struct err e;
    int rc;
};

static void answer_free(struct ctl_answer *a)
{
    list_del(&a->link);
    buf_fini(&a->json);
    mem_free(a);
}

static void gone(struct http_exchange *x, void *user, int status)
{
    struct ctl_answer *a = user;
    (void)x;
    (void)status;
    a->x = NULL; // freed when the answer comes
    void (*left)(void *user) = a->left;
    a->left = NULL;
    if (left) // may end the answer
        left(a->left_user);
}

void ctl_answer_left(struct ctl_answer *a, void (*left)(void *user), void *user)
{
    a->left = left;
    a->left_user = user;
}

struct ctl_answer *ctl_answer_new(struct ctl_call *call)
{
    struct ctl_answer *a = mem_new(struct ctl_answer);
    if (!a) {
        http_reply_error(call->x, E_NOMEM, "out of memory", NULL, 1);
        return NULL;
    }
    a->c = call->c;
    a->x = call->x;
    buf_init(&a->json, CTL_JSON_MAX);
    list_add_tail(&call->c->answers, &a->link);
    http_own(call->x, a, NULL, gone);
    return a;
}

struct ctl_answer *ctl_answer_new_then(struct ctl_call *call, ctl_then_fn then, void *user)
{
    struct ctl_answer *a = ctl_answer_new(call);
    if (a) {
        a->then = then;
        a->then_user = user;
    }
    return a;
}

// Frees a; gives the exchange that is still to be answered, or NULL: the client left.
static struct http_exchange *finish(struct ctl_answer *a)
{
    struct http_exchange *x = a->x;
    answer_free(a);
    return x;
}

void ctl_answer(struct ctl_answer *a, int status, struct bytes json)
{
    ctl_then_fn then = a->then;
    void *user = a->then_user;
    struct http_exchange *x = finish(a);
    if (then)
        then(user, x, status, json);
    else if (x)
        http_reply(x, status, CTL_JSON, CTL_NO_STORE, json);
}

void ctl_answer_error(struct ctl_answer *a, const struct err *e)
{
    ctl_then_fn then = a->then;
    void *user = a->then_user;
    struct http_exchange *x = finish(a);
    if (x)
        ctl_reply_err(x, e);
    if (then)
        then(user, NULL, 0, BYTES_NONE);
}

static void on_pool(struct work_req *r)
{
    struct ctl_answer *a = r->user;
    a->rc = a->run(a->arg, &a->json, &a->e);
}

static void after_pool(struct work_req *r)
{
    struct ctl_answer *a = r->user;
    if (a->free_arg)
        a->free_arg(a->arg);
    if (!a->rc && a->json.failed)
        a->rc = err_set(&a->e, a->json.failed, "the answer is too large");
    if (a->rc) {
        if (!a->e.code)
            (void)err_set(&a->e, a->rc, "%s", err_info(a->rc)->text);
        struct err e = a->e;
        ctl_answer_error(a, &e);
        return;
    }
    struct buf json = a->json; // outlives a
    buf_init(&a->json, CTL_JSON_MAX);
    ctl_answer(a, 200, buf_bytes(&json));
    buf_fini(&json);
}

void ctl_answer_work(struct ctl_answer *a, int (*run)(void *arg, struct buf *json, struct err *e),
                     void *arg, void (*free_arg)(void *arg))
{
    a->run = run;
    a->arg = arg;
    a->free_arg = free_arg;
    a->req = (struct work_req){.run = on_pool, .done = after_pool, .user = a};
    struct work *pool = a->c ? a->c->args.work : NULL;
    int rc = pool ? work_start(pool, &a->req) : E_UNAVAILABLE;
    if (!rc)
        return;
    if (free_arg)
        free_arg(arg);
    struct err e = {0};
    (void)err_set(&e, rc, "the helper threads have no room for this now");
    ctl_answer_error(a, &e);
}

void ctl_answers_detach(struct ctl *c)
{
    list_each_safe (it, &c->answers) {
        container_of(it, struct ctl_answer, link)->c = NULL;
        list_del(it);
    }
}
