// bus_core.c: what every bus does the same way: checks at the door, requests and their deadlines.
// SPDX-License-Identifier: Apache-2.0
#include "adapters/bus_priv.h"
#include "base/rng.h"
#include "text/subject.h"
#include <assert.h>
#include <stdio.h>
#include <string.h>

// ---- arguments ----------------------------------------------------------------------------------

static void defaults(struct bus_args *a)
{
    a->data_bytes_max = a->data_bytes_max ? a->data_bytes_max : 1 << 20;
    a->queue_bytes_max = a->queue_bytes_max ? a->queue_bytes_max : 16 << 20;
    a->reqs_max = a->reqs_max ? a->reqs_max : 1024;
    a->subs_max = a->subs_max ? a->subs_max : 1024;
    a->keep_msgs = a->keep_msgs ? a->keep_msgs : 100000;
    a->keep_bytes = a->keep_bytes ? a->keep_bytes : (uint64_t)256 << 20;
    a->keep_ms = a->keep_ms ? a->keep_ms : (int64_t)24 * 3600 * 1000;
    a->dedup_ms = a->dedup_ms ? a->dedup_ms : 120000;
    a->connect_ms = a->connect_ms ? a->connect_ms : 5000;
    a->retry_ms = a->retry_ms ? a->retry_ms : 250;
}

static bool copy_texts(struct bus_args *a)
{
    const char **texts[] = {&a->environment, &a->source,   &a->url,
                            &a->user_name,   &a->password, &a->token};
    bool good = true;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const char *from = *texts[i];
        *texts[i] = from ? mem_str(from) : NULL;
        good &= !from || *texts[i];
    }
    return good;
}

static void free_secret(const char *text)
{
    if (!text)
        return;
    char *p = (char *)(uintptr_t)text; // ours since copy_texts
    mem_wipe(p, strlen(p));
    mem_free(p);
}

static void on_deadline(struct timer *t);
static void on_soon(struct timer *t);

int bus_core_init(struct bus_core *c, const struct bus_ops *ops, const struct bus_args *args,
                  struct err *e)
{
    unsigned char random[16];
    if (!args->environment || !subject_is_environment(bytes_of(args->environment)))
        return err_set(e, E_INVALID, "a bus is opened for one of dev, staging and prod, not \"%s\"",
                       args->environment ? args->environment : "");
    c->bus.ops = ops;
    c->args = *args;
    list_init(&c->waiting);
    list_init(&c->ended);
    c->deadline = (struct timer){.fn = on_deadline, .user = c};
    c->soon = (struct timer){.fn = on_soon, .user = c};
    defaults(&c->args);
    bool good = copy_texts(&c->args);
    c->slots = mem_array(c->args.reqs_max, sizeof *c->slots);
    c->free = mem_array(c->args.reqs_max, sizeof *c->free);
    if (!good || !c->slots || !c->free)
        return err_set(e, E_NOMEM, "bus");
    for (uint32_t i = 0; i < c->args.reqs_max; i++)
        c->free[i] = c->args.reqs_max - 1 - i;
    c->free_count = c->args.reqs_max;
    c->environment = bytes_of(c->args.environment);
    c->source = bytes_of(c->args.source && *c->args.source ? c->args.source : "/plexus");
    rng_bytes(random, sizeof random);
    for (int i = 0; i < 8; i++)
        (void)snprintf(c->made + 2 * i, 3, "%02x", random[i]);
    c->made[16] = '-';
    int n = snprintf(c->inbox, sizeof c->inbox, "%s.nervous.inbox.", c->args.environment);
    for (int i = 0; i < 8; i++)
        n += snprintf(c->inbox + n, 3, "%02x", random[8 + i]);
    c->inbox[n++] = '.';
    c->inbox_n = (size_t)n;
    return 0;
}

void bus_core_fini(struct bus_core *c)
{
    assert(list_empty(&c->waiting) && list_empty(&c->ended));
    timer_stop(c->args.timers, &c->deadline);
    timer_stop(c->args.timers, &c->soon);
    free_secret(c->args.environment);
    free_secret(c->args.source);
    free_secret(c->args.url);
    free_secret(c->args.user_name);
    free_secret(c->args.password);
    free_secret(c->args.token);
    mem_free(c->slots);
    mem_free(c->free);
}

// ---- checks -------------------------------------------------------------------------------------

static int check_environment(struct bus_core *c, struct bytes subject, struct err *e)
{
    if (bytes_eq(subject_environment(subject), c->environment))
        return 0;
    c->stats.refused++;
    return err_set(e, E_SECURITY,
                   "SecurityViolationError: this node is of environment %s and has no part in "
                   "\"%.*s\"",
                   c->args.environment, BYTES_FMT(subject));
}

int bus_core_admit_subject(struct bus_core *c, struct bytes subject, struct err *e)
{
    struct subject s;
    int rc = subject_parse(&s, subject, e);
    return rc ? rc : check_environment(c, subject, e);
}

int bus_core_admit_size(struct bus_core *c, const struct bus_msg *m, struct err *e)
{
    if (m->data.n > c->args.data_bytes_max)
        return err_set(e, E_TOOBIG, "the message has %zu bytes; the bus takes %u", m->data.n,
                       c->args.data_bytes_max);
    const struct bytes texts[] = {m->content, m->type, m->id, m->source, m->label, m->about};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (texts[i].n > BUS_TEXT_MAX)
            return err_set(e, E_TOOBIG, "an attribute of a message has at most %d bytes",
                           BUS_TEXT_MAX);
    return 0;
}

int bus_core_may(struct bus_core *c, bool deliver, struct bytes subject, struct bytes label,
                 struct bytes who, struct err *e)
{
    if (!c->args.may)
        return 0;
    struct bus_crossing x = {deliver, subject, label, who};
    int rc = c->args.may(c->args.user, &x, e);
    c->stats.refused += rc != 0;
    return rc;
}

int bus_core_admit(struct bus_core *c, const struct bus_msg *m, struct err *e)
{
    int rc = bus_core_admit_subject(c, m->subject, e);
    if (!rc)
        rc = bus_core_admit_size(c, m, e);
    if (!rc && m->reply.n)
        rc = bus_core_admit_subject(c, m->reply, e);
    return rc ? rc : bus_core_may(c, false, m->subject, m->label, BYTES_NONE, e);
}

static int check_name(const char *what, const char *name, struct err *e)
{
    bool good = !name || (strlen(name) <= 64 && subject_is_token(bytes_of(name)));
    return good ? 0 : err_set(e, E_INVALID, "the %s is letters, digits, - and _, at most 64", what);
}

int bus_core_admit_sub(struct bus_core *c, const struct bus_sub_args *a, struct err *e)
{
    struct bytes pattern = bytes_of(a->pattern), rest = pattern;
    struct bytes first = bytes_cut(&rest, '.');
    int rc = 0;
    if (bytes_is(first, "*") || bytes_is(first, ">")) { // would reach over environments
        c->stats.refused++;
        rc = err_set(e, E_SECURITY,
                     "SecurityViolationError: a pattern begins with its environment: %s.%.*s",
                     c->args.environment, BYTES_FMT(bytes_is(first, ">") ? first : rest));
    }
    if (!rc)
        rc = subject_pattern_check(pattern, e);
    if (!rc)
        rc = check_environment(c, pattern, e);
    if (!rc)
        rc = check_name("queue group", a->queue, e);
    if (!rc)
        rc = check_name("durable name", a->durable, e);
    if (!rc && a->durable && a->from == BUS_LIVE)
        rc = err_set(e, E_INVALID, "a durable reads from the store: from new, start or a time");
    if (!rc && a->queue && a->from != BUS_LIVE)
        rc = err_set(e, E_INVALID,
                     "a queue group is of live messages; subscriptions with one "
                     "durable name share the work");
    if (!rc && c->stats.subs >= c->args.subs_max)
        rc = err_set(e, E_FULL, "%u subscriptions are the limit", c->args.subs_max);
    return rc;
}

bool bus_core_is_inbox(const struct bus_core *c, struct bytes subject)
{
    // "dev." + "nervous.inbox."
    struct bytes after = bytes_from(subject, c->environment.n + 1);
    return bytes_starts(after, BYTES("nervous.inbox."));
}

struct bus_req *bus_core_inbox(struct bus_core *c, struct bytes subject)
{
    uint64_t ticket;
    if (!bytes_starts(subject, (struct bytes){c->inbox, c->inbox_n}) ||
        !bytes_u64(bytes_from(subject, c->inbox_n), &ticket))
        return NULL;
    struct bus_req *r = bus_core_req(c, ticket);
    return r && r->kind == BUS_REQ_REQUEST ? r : NULL;
}

// ---- requests -----------------------------------------------------------------------------------

static void arm(struct bus_core *c)
{
    struct bus_req *first = container_of(c->waiting.next, struct bus_req, link);
    if (list_empty(&c->waiting) || first->due_ms == TIME_NEVER) {
        timer_stop(c->args.timers, &c->deadline);
        return;
    }
    int64_t left = first->due_ms - timers_now_ms(c->args.timers);
    (void)timer_start(c->args.timers, &c->deadline, left > 0 ? left : 0);
}

int bus_core_req_add(struct bus_core *c, struct bus_req *r, enum bus_req_kind kind, struct err *e)
{
    if (c->closed)
        return err_set(e, E_CLOSED, "the bus is closed");
    if (!c->free_count) {
        c->stats.full++;
        return err_set(e, E_FULL, "%u requests to the bus are in flight", c->args.reqs_max);
    }
    uint32_t slot = c->free[--c->free_count];
    int64_t now = timers_now_ms(c->args.timers);
    r->ticket = ++c->ticket_next * c->args.reqs_max + slot;
    r->kind = (int)kind;
    r->status = 0;
    r->why = NULL;
    r->priv = NULL;
    r->duplicate = false;
    r->due_ms = r->timeout_ms >= TIME_NEVER - now ? TIME_NEVER : now + r->timeout_ms;
    c->slots[slot] = r;
    c->stats.reqs++;
    struct list *at = c->waiting.prev; // most have the same time to wait: so they come last
    while (at != &c->waiting && container_of(at, struct bus_req, link)->due_ms > r->due_ms)
        at = at->prev;
    list_add_head(at, &r->link);
    if (c->waiting.next == &r->link)
        arm(c);
    return 0;
}

struct bus_req *bus_core_req(struct bus_core *c, uint64_t ticket)
{
    struct bus_req *r = c->slots[ticket % c->args.reqs_max];
    return r && r->ticket == ticket ? r : NULL;
}

static void take_out(struct bus_core *c, struct bus_req *r)
{
    uint32_t slot = (uint32_t)(r->ticket % c->args.reqs_max);
    assert(c->slots[slot] == r);
    c->slots[slot] = NULL;
    c->free[c->free_count++] = slot;
    c->stats.reqs--;
    bool first = c->waiting.next == &r->link;
    list_del(&r->link);
    if (first)
        arm(c);
}

void bus_core_req_end(struct bus_core *c, struct bus_req *r, int status,
                      const struct bus_msg *reply, const struct err *e)
{
    struct err own = {0};
    if (status < 0 && !e) {
        (void)err_set(&own, status, "%s", err_info(status)->text);
        e = &own;
    }
    take_out(c, r);
    r->done(r, status, reply, status < 0 ? e : NULL);
}

void bus_core_req_end_soon(struct bus_core *c, struct bus_req *r, int status, const struct err *e)
{
    take_out(c, r);
    r->status = status;
    if (e && e->code) {
        r->why = mem_new(struct err);
        if (r->why)
            *r->why = *e;
    }
    list_add_tail(&c->ended, &r->link);
    (void)timer_start(c->args.timers, &c->soon, 0);
}

static void on_soon(struct timer *t)
{
    struct bus_core *c = t->user;
    const struct list *last = c->ended.prev; // what comes now has its own round
    for (bool more = !list_empty(&c->ended); more;) {
        struct bus_req *r = container_of(c->ended.next, struct bus_req, link);
        more = &r->link != last;
        struct err e = {0}, *why = r->why;
        list_del(&r->link);
        r->why = NULL;
        if (r->status < 0)
            (void)err_set(&e, r->status, "%s", why ? why->text : err_info(r->status)->text);
        mem_free(why);
        r->done(r, r->status, NULL, r->status < 0 ? &e : NULL);
    }
}

static void on_deadline(struct timer *t)
{
    struct bus_core *c = t->user;
    int64_t now = timers_now_ms(c->args.timers);
    while (!list_empty(&c->waiting)) {
        struct bus_req *r = container_of(c->waiting.next, struct bus_req, link);
        struct err e = {0};
        if (r->due_ms > now)
            break;
        if (c->forget)
            c->forget(c, r);
        bool noted = r->kind == BUS_REQ_STORE && c->note[0];
        (void)err_set(&e, E_TIMEOUT, "no answer from the bus within %lld ms%s%s",
                      (long long)r->timeout_ms, noted ? ": " : "", noted ? c->note : "");
        bus_core_req_end(c, r, E_TIMEOUT, NULL, &e);
    }
    arm(c);
}

void bus_core_req_drop(struct bus_core *c, struct bus_req *r)
{
    take_out(c, r);
}

void bus_core_req_cancel(struct bus_core *c, struct bus_req *r)
{
    if (bus_core_req(c, r->ticket) != r)
        return; // its done is on the way
    if (c->forget)
        c->forget(c, r);
    bus_core_req_end_soon(c, r, E_CANCELLED, NULL);
}

void bus_core_reqs_end(struct bus_core *c, enum bus_req_kind kind, int status, const struct err *e)
{
    list_each_safe (it, &c->waiting) {
        struct bus_req *r = container_of(it, struct bus_req, link);
        if (kind != BUS_REQ_NONE && r->kind != (int)kind)
            continue;
        if (c->forget)
            c->forget(c, r);
        bus_core_req_end_soon(c, r, status, e);
    }
}

void bus_core_put_made_id(struct bus_core *c, struct buf *out)
{
    (void)buf_fmt(out, "%s%llu", c->made, (unsigned long long)++c->made_next);
}

void bus_core_lost(struct bus_core *c, enum bus_status status, const struct err *e)
{
    c->stats.status = status;
    c->stats.lost += status == BUS_LOST;
    if (c->args.on_status)
        c->args.on_status(c->args.user, status, e);
}

// ---- copies -------------------------------------------------------------------------------------

size_t bus_msg_bytes(const struct bus_msg *m)
{
    return m->subject.n + m->data.n + m->content.n + m->type.n + m->id.n + m->source.n +
           m->label.n + m->about.n + m->reply.n;
}

struct bus_copy *bus_copy_new(const struct bus_msg *m, size_t extra, void **ret_extra)
{
    extra = (extra + 15) & ~(size_t)15;
    size_t bytes = extra + sizeof(struct bus_copy) + bus_msg_bytes(m);
    char *block = mem_alloc(bytes);
    if (!block)
        return NULL;
    struct bus_copy *c = (struct bus_copy *)(void *)(block + extra);
    char *p = (char *)(c + 1);
    c->m = *m;
    c->bytes = bytes;
    c->next = NULL;
    struct bytes *parts[] = {&c->m.subject, &c->m.content, &c->m.type,  &c->m.id,  &c->m.source,
                             &c->m.label,   &c->m.about,   &c->m.reply, &c->m.data};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (parts[i]->n)
            memcpy(p, parts[i]->p, parts[i]->n);
        parts[i]->p = p;
        p += parts[i]->n;
    }
    if (ret_extra)
        *ret_extra = block;
    return c;
}

int bus_sub_args_copy(struct bus_sub_args *to, const struct bus_sub_args *from)
{
    *to = *from;
    to->pattern = mem_str(from->pattern);
    to->queue = mem_str(from->queue);
    to->durable = mem_str(from->durable);
    to->who = mem_str(from->who);
    to->ack_wait_ms = from->ack_wait_ms ? from->ack_wait_ms : 30000;
    to->max_in_flight = from->max_in_flight ? from->max_in_flight : 256;
    if (to->pattern && !from->queue == !to->queue && !from->durable == !to->durable &&
        !from->who == !to->who)
        return 0;
    bus_sub_args_fini(to);
    return E_NOMEM;
}

void bus_sub_args_fini(struct bus_sub_args *a)
{
    const char *const texts[] = {a->pattern, a->queue, a->durable, a->who};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        mem_free((char *)(uintptr_t)texts[i]);
    a->pattern = a->queue = a->durable = a->who = NULL;
}
