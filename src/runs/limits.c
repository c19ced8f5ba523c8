// limits.c: how fast activities of a queue begin here (flows.rates), and how long one may wait
// until somebody begins it (metadata.plexus.start of its task). SPDX-License-Identifier: Apache-2.0
#include "runs/runs_priv.h"
#include "text/subject.h"

#define STORE_MS 50 // while the bus still takes it

// ---- rates --------------------------------------------------------------------------------------

struct bucket { // of a queue with a rate
    struct runs *s;
    char *queue;
    double per_s, tokens;
    int64_t filled_ms;
    struct list line; // jobs whose turn it was
    struct timer timer;
};

static void fill(struct bucket *b)
{
    double most = b->per_s < 1 ? 1 : b->per_s;
    int64_t now = timers_now_ms(b->s->args.timers);
    b->tokens += b->per_s * (double)(now - b->filled_ms) / 1000;
    b->tokens = b->tokens > most ? most : b->tokens;
    b->filled_ms = now;
}

static void rest(struct bucket *b)
{
    double left = b->tokens < 1 ? 1 - b->tokens : 0.05 * b->per_s; // or there was no room
    (void)timer_start(b->s->args.timers, &b->timer, (int64_t)(left * 1000 / b->per_s) + 1);
}

static void on_tokens(struct timer *t)
{
    struct bucket *b = t->user;
    struct runs *s = b->s;
    fill(b);
    while (!list_empty(&b->line) && b->tokens >= 1 && !runs_down(s, NULL) && runs_jobs_room(s)) {
        struct job *j = container_of(b->line.next, struct job, line);
        b->tokens -= 1;
        runs_job_begin(j);
    }
    if (!list_empty(&b->line) && !runs_down(s, NULL))
        rest(b);
}

static struct bucket *bucket_of(struct runs *s, const struct job *j)
{
    struct bytes queue = val_bytes(val_get_cstr(j->data, "queue"));
    if (!queue.n && s->queues[0])
        queue = bytes_of(s->queues[0]);
    for (size_t i = 0; i < s->bucket_count; i++)
        if (bytes_is(queue, s->buckets[i].queue))
            return &s->buckets[i];
    return NULL;
}

bool runs_rate_holds(struct job *j)
{
    struct bucket *b = j->s->bucket_count ? bucket_of(j->s, j) : NULL;
    if (!b)
        return false;
    fill(b);
    if (b->tokens >= 1 && list_empty(&b->line)) {
        b->tokens -= 1;
        return false;
    }
    bool first = list_empty(&b->line);
    list_del(&j->line);
    list_add_tail(&b->line, &j->line);
    if (first)
        rest(b);
    return true;
}

int runs_rates_new(struct runs *s, const struct runs_rate *rates, size_t count)
{
    s->buckets = mem_array(count + 1, sizeof *s->buckets);
    s->rates = mem_array(count + 1, sizeof *s->rates);
    if (!s->buckets || !s->rates)
        return E_NOMEM;
    for (size_t i = 0; i < count; i++) {
        struct bucket *b = &s->buckets[s->bucket_count++];
        *b = (struct bucket){.s = s, .per_s = rates[i].per_s, .tokens = 1};
        b->filled_ms = timers_now_ms(s->args.timers);
        b->timer = (struct timer){.fn = on_tokens, .user = b};
        list_init(&b->line);
        if (!(b->queue = mem_str(rates[i].queue)))
            return E_NOMEM;
        s->rates[i] = (struct runs_rate){b->queue, b->per_s};
    }
    return 0;
}

void runs_rates_free(struct runs *s)
{
    for (size_t i = 0; i < s->bucket_count; i++) {
        timer_stop(s->args.timers, &s->buckets[i].timer);
        mem_free(s->buckets[i].queue);
    }
    mem_free(s->buckets);
    mem_free(s->rates);
}

// ---- until somebody begins it -------------------------------------------------------------------

static void on_late(struct timer *t)
{
    struct job *j = t->user;
    struct runs *s = j->s;
    if (!j->run || j->begun || (j->where != JOB_LINE && j->where != JOB_QUEUE) ||
        runs_down(s, NULL))
        return;
    if (j->sending) {
        (void)timer_start(s->args.timers, t, STORE_MS);
        return;
    }
    if (j->where == JOB_LINE)
        s->acts_waiting--;
    else
        runs_queue_withdraw(j);
    list_del(&j->line);
    runs_job_answer(j, NULL, runs_problem("timeout", 408, "Timeout", FLOW_NOT_BEGUN), false,
                    bytes_of(s->node));
}

void runs_start_limit(struct job *j)
{
    int64_t ms = val_i64(val_get_cstr(j->data, "start_ms"), 0);
    j->start = (struct timer){.fn = on_late, .user = j};
    if (ms > 0 && j->type == FLOW_ACT)
        (void)timer_start(j->s->args.timers, &j->start, ms);
}

// "RUN/ID": a worker began it.
static void on_begun(struct bus_sub *sub, const struct bus_msg *m)
{
    struct runs *s = sub->user;
    struct bytes run = m->data;
    uint64_t id;
    while (run.n && run.p[run.n - 1] != '/')
        run.n--;
    if (!run.n || !bytes_u64(bytes_from(m->data, run.n), &id))
        return;
    struct spot *spot = runs_spot(s, bytes_first(run, run.n - 1));
    struct job *j = spot && spot->run ? runs_job_find(&spot->run->jobs, id) : NULL;
    if (j)
        j->begun = true;
}

void runs_begun_listen(struct runs *s)
{
    struct buf b;
    buf_init(&b, SUBJECT_BYTES_MAX + 1);
    (void)buf_fmt(&b, RUNS_BEGUN, s->environment, "");
    (void)subject_put_token(&b, bytes_of(s->node));
    struct bus_sub_args a = {.pattern = buf_cstr(&b), .on_msg = on_begun, .user = s};
    if (!b.failed)
        (void)bus_subscribe(s->bus, &a, &s->begun_sub, NULL);
    buf_fini(&b);
}
