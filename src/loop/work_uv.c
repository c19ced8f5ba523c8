// work_uv.c: the work port: pools of a few threads of our own, started when first needed.
// SPDX-License-Identifier: Apache-2.0
#include "loop/loop_priv.h"

#include "base/alloc.h"
#include "base/thread.h"

#include <stdio.h>

enum { WORK_THREADS_MAX = 64 };

struct work_item {
    struct work_item *next;
    struct work_req *req;
};

struct work_line { // first in, first out
    struct work_item *first, **last;
};

struct work_pool {
    struct work base; // first
    struct loop *loop;
    struct list link;
    const char *name;
    unsigned threads_max, queue_max;
    struct lock *lock;
    struct work_line todo, done; // under lock
    bool quit;                   // under lock
    uv_async_t async;
    bool async_open;
    struct thread *threads[WORK_THREADS_MAX];
    unsigned threads_count;
    unsigned pending; // started, done not called yet (loop thread)
};

static void work_line_init(struct work_line *w)
{
    w->first = NULL;
    w->last = &w->first;
}

static void work_line_add(struct work_line *w, struct work_item *item)
{
    item->next = NULL;
    *w->last = item;
    w->last = &item->next;
}

static struct work_item *work_line_take(struct work_line *w)
{
    struct work_item *item = w->first;
    if (item != NULL) {
        w->first = item->next;
        if (w->first == NULL)
            w->last = &w->first;
    }
    return item;
}

static void work_thread(void *arg)
{
    struct work_pool *p = arg;
    lock_take(p->lock);
    for (;;) {
        struct work_item *item = work_line_take(&p->todo);
        if (item == NULL) {
            if (p->quit)
                break;
            lock_wait(p->lock, -1);
            continue;
        }
        lock_give(p->lock);
        item->req->run(item->req);
        lock_take(p->lock);
        work_line_add(&p->done, item);
        (void)uv_async_send(&p->async); // cannot fail: the handle outlives the threads
    }
    lock_give(p->lock);
}

static void work_deliver(struct work_pool *p)
{
    lock_take(p->lock);
    struct work_item *item = p->done.first;
    work_line_init(&p->done);
    lock_give(p->lock);
    while (item != NULL) {
        struct work_item *next = item->next;
        struct work_req *req = item->req;
        mem_free(item);
        p->pending--;
        req->done(req);
        item = next;
    }
}

static void work_async(uv_async_t *h)
{
    struct work_pool *p = container_of(h, struct work_pool, async);
    loop_enter(p->loop);
    work_deliver(p);
}

static int work_add_thread(struct work_pool *p)
{
    if (p->threads_count >= p->threads_max || p->pending < p->threads_count)
        return 0;
    char name[32];
    (void)snprintf(name, sizeof name, "%.12s-%u", p->name, p->threads_count);
    int rc = thread_start(&p->threads[p->threads_count], name, work_thread, p);
    if (rc < 0)
        return p->threads_count > 0 ? 0 : rc; // fewer threads do
    p->threads_count++;
    return 0;
}

static int work_uv_start(struct work *w, struct work_req *r)
{
    struct work_pool *p = (struct work_pool *)(void *)w;
    if (p->quit) // the loop ends: what a done would go on with finds no thread any more
        return E_CLOSED;
    if (p->pending >= p->queue_max)
        return E_FULL;
    struct work_item *item = mem_new(struct work_item);
    if (item == NULL)
        return E_NOMEM;
    int rc = work_add_thread(p);
    if (rc < 0) {
        mem_free(item);
        return rc;
    }
    item->req = r;
    p->pending++;
    lock_take(p->lock);
    work_line_add(&p->todo, item);
    lock_wake(p->lock);
    lock_give(p->lock);
    return 0;
}

struct work *loop_work_new(struct loop *l, const char *name, unsigned threads, unsigned queue_max)
{
    static const struct work_ops ops = {.start = work_uv_start};
    struct work_pool *p = mem_new(struct work_pool);
    if (p == NULL)
        return NULL;
    list_add_tail(&l->pools, &p->link); // freed with the loop, also when half made
    p->base.ops = &ops;
    p->loop = l;
    p->name = name;
    p->threads_max = threads < WORK_THREADS_MAX ? threads : WORK_THREADS_MAX;
    p->queue_max = queue_max;
    work_line_init(&p->todo);
    work_line_init(&p->done);
    p->lock = lock_new();
    if (p->lock == NULL || uv_async_init(&l->uv, &p->async, work_async) < 0)
        return NULL;
    p->async_open = true;
    return &p->base;
}

static void work_stop(struct work_pool *p)
{
    if (p->lock != NULL) {
        lock_take(p->lock);
        p->quit = true;
        lock_wake(p->lock);
        lock_give(p->lock);
    }
    for (unsigned i = 0; i < p->threads_count; i++)
        thread_join(p->threads[i]);
    p->threads_count = 0;
    if (p->lock != NULL)
        work_deliver(p);
    if (p->async_open)
        uv_close((uv_handle_t *)&p->async, NULL);
    p->async_open = false;
}

// What was started is still run, and told: each request's owner waits for its done.
void loop_work_stop(struct loop *l)
{
    list_each (it, &l->pools)
        work_stop(container_of(it, struct work_pool, link));
}

void loop_work_free(struct loop *l)
{
    list_each_safe (it, &l->pools) {
        struct work_pool *p = container_of(it, struct work_pool, link);
        lock_free(p->lock);
        mem_free(p);
    }
}
