// world.c: the queue of events, the clocks, the hosts and the faults.
// SPDX-License-Identifier: Apache-2.0
//
// Everything that happens is an event with a time. Events at one time run in the order in which
// they were made, so that a run is its seed's alone: nothing here reads the machine's clock, memory
// addresses or hash orders. An event of a paused process (or frozen machine) is put off to the end
// of the pause and keeps its place among the others.
#include "sim/sim_priv.h"

#include "base/alloc.h"
#include "base/time.h"
#include "crypto/fault.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define WALL_BEGIN_MS 1767225600000 // 2026-01-01T00:00:00Z
#define DELAY_NS (200 * 1000) // between two hosts, when nothing is said
#define LOCAL_NS (10 * 1000)
#define SAME_TIME_MAX 2000000

static struct {
    struct sim *w;
    struct sim_host *here;
} the;

void *sim_must(void *p)
{
    if (p == NULL)
        abort();
    return p;
}

// ---- the queue: a binary heap

static bool before(const struct sim_event *a, const struct sim_event *b)
{
    if (a->at != b->at)
        return a->at < b->at;
    return a->due != b->due ? a->due < b->due : a->seq < b->seq;
}

static void place(struct sim *w, size_t i, struct sim_event *ev)
{
    w->heap[i] = ev;
    ev->index = i + 1;
}

static void rise(struct sim *w, size_t i, struct sim_event *ev)
{
    for (; i > 0 && before(ev, w->heap[(i - 1) / 2]); i = (i - 1) / 2)
        place(w, i, w->heap[(i - 1) / 2]);
    place(w, i, ev);
}

static void sink(struct sim *w, size_t i, struct sim_event *ev)
{
    for (;;) {
        size_t k = 2 * i + 1;
        if (k >= w->n)
            break;
        if (k + 1 < w->n && before(w->heap[k + 1], w->heap[k]))
            k++;
        if (!before(w->heap[k], ev))
            break;
        place(w, i, w->heap[k]);
        i = k;
    }
    place(w, i, ev);
}

void sim_event_init(struct sim_event *ev, struct sim_host *h, enum sim_layer layer,
                    void (*fn)(struct sim_event *ev))
{
    *ev = (struct sim_event){.layer = layer, .host = h, .fn = fn};
}

void sim_event_stop(struct sim *w, struct sim_event *ev)
{
    if (ev->index == 0)
        return;
    size_t i = ev->index - 1;
    ev->index = 0;
    struct sim_event *last = w->heap[--w->n];
    if (i == w->n)
        return;
    if (i > 0 && before(last, w->heap[(i - 1) / 2]))
        rise(w, i, last);
    else
        sink(w, i, last);
}

static void push(struct sim *w, struct sim_event *ev)
{
    if (w->n == w->cap) {
        w->cap = w->cap ? w->cap * 2 : 1024;
        w->heap = sim_must(mem_realloc(w->heap, w->cap * sizeof *w->heap));
    }
    rise(w, w->n++, ev);
}

void sim_event_at(struct sim *w, struct sim_event *ev, uint64_t at)
{
    sim_event_stop(w, ev);
    ev->at = ev->due = at < w->now ? w->now : at;
    ev->put_off = false;
    ev->seq = w->seq++;
    push(w, ev);
}

// ---- running

void sim_mix(struct sim *w, uint64_t value)
{
    w->hash = (w->hash ^ value) * 0x100000001b3u; // FNV-1a's prime, a word at a time
    w->hash ^= w->hash >> 29;
}

// Puts an event off while its host cannot run it.
static bool put_off(struct sim *w, struct sim_event *ev)
{
    const struct sim_host *h = ev->host;
    if (ev->layer == SIM_WORLD)
        return false;
    uint64_t until = h->frozen_until;
    if (ev->layer == SIM_PROCESS && h->paused_until > until)
        until = h->paused_until;
    if (until <= w->now)
        return false;
    if (h->timers_first && !sim_is_timer(ev))
        ev->due = until;
    ev->at = until;
    ev->put_off = true;
    push(w, ev);
    return true;
}

static void run(struct sim *w, struct sim_event *ev)
{
    struct sim_host *h = ev->layer == SIM_WORLD ? NULL : ev->host;
    w->counts.events++;
    sim_mix(w, w->now);
    sim_mix(w, ev->seq << 8 | (h ? h->index + 1 : 0));
    struct sim_host *outer = sim_enter(ev->layer == SIM_PROCESS ? h : NULL);
    ev->fn(ev);
    (void)sim_enter(outer);
}

bool sim_run(struct sim *w, uint64_t until)
{
    while (w->n > 0 && w->heap[0]->at <= until && !w->stopped && w->failure == NULL) {
        struct sim_event *ev = w->heap[0];
        w->same_time = ev->at == w->now ? w->same_time + 1 : 0;
        w->now = ev->at;
        if (w->same_time > SAME_TIME_MAX)
            sim_fail(w, "time stands still: %d events at one moment", SAME_TIME_MAX);
        sim_event_stop(w, ev);
        if (!put_off(w, ev))
            run(w, ev);
    }
    bool whole = !w->stopped && w->failure == NULL;
    w->stopped = false;
    if (whole && until != SIM_NEVER && until > w->now)
        w->now = until;
    return whole;
}

void sim_stop(struct sim *w)
{
    w->stopped = true;
}

struct after {
    struct sim_event ev;
    struct sim *w;
    void (*fn)(struct sim *w, void *user);
    void *user;
};

static void after_due(struct sim_event *ev)
{
    struct after *a = container_of(ev, struct after, ev);
    struct sim *w = a->w;
    void (*fn)(struct sim *, void *) = a->fn;
    void *user = a->user;
    mem_free(a);
    fn(w, user);
}

int sim_after(struct sim *w, uint64_t ns, void (*fn)(struct sim *w, void *user), void *user)
{
    struct after *a = sim_must(mem_new(struct after));
    sim_event_init(&a->ev, NULL, SIM_WORLD, after_due);
    a->w = w;
    a->fn = fn;
    a->user = user;
    sim_event_at(w, &a->ev, w->now + ns);
    return 0;
}

static void settle(struct sim_host *h)
{
    struct sim *w = h->w;
    for (int round = 0; round < 1000000; round++) {
        struct sim_event *found = NULL;
        for (size_t i = 0; i < w->n; i++) { // the host's first event that is due
            struct sim_event *ev = w->heap[i];
            bool due = ev->at <= w->now || ev->put_off || sim_is_work(ev);
            if (ev->layer == SIM_PROCESS && ev->host == h && due && (!found || before(ev, found)))
                found = ev;
        }
        if (found == NULL)
            return;
        sim_event_stop(w, found);
        run(w, found);
    }
    sim_fail(w, "%s: its end has no end", h->name);
}

void sim_settle(struct sim_host *h)
{
    assert(h->muted);
    settle(h);
    struct sim_host *outer = sim_enter(h);
    sim_net_stop(h);
    (void)sim_enter(outer);
    settle(h);
}

// ---- what is told

bool sim_traced(const struct sim *w)
{
    return w->args.trace != NULL;
}

void sim_say(struct sim *w, const char *fmt, ...)
{
    if (w->args.trace == NULL)
        return;
    va_list ap;
    (void)fprintf(w->args.trace, "%12.6f %-8s ", (double)w->now / 1e9,
                  the.here ? the.here->name : "-");
    va_start(ap, fmt);
    (void)vfprintf(w->args.trace, fmt, ap);
    va_end(ap);
    (void)fputc('\n', w->args.trace);
}

void sim_fail(struct sim *w, const char *fmt, ...)
{
    struct buf b;
    va_list ap;
    if (w->failure != NULL)
        return;
    buf_init(&b, 64 << 10);
    (void)buf_fmt(&b, "at %.6f s%s%s: ", (double)w->now / 1e9, the.here ? " on " : "",
                  the.here ? the.here->name : "");
    va_start(ap, fmt);
    (void)buf_vfmt(&b, fmt, ap);
    va_end(ap);
    w->failure = sim_must(buf_take(&b));
    sim_say(w, "FAILED %s", w->failure);
}

const char *sim_failure(const struct sim *w)
{
    return w->failure;
}

uint64_t sim_now(const struct sim *w)
{
    return w->now;
}

struct rng *sim_rng(struct sim *w)
{
    return &w->rng;
}

uint64_t sim_hash(const struct sim *w)
{
    return w->hash;
}

uint64_t sim_events(const struct sim *w)
{
    return w->counts.events;
}

void sim_counts(const struct sim *w, struct sim_counts *ret)
{
    *ret = w->counts;
}

bool sim_chance(struct sim *w, uint32_t ppm)
{
    return ppm > 0 && rng_below(&w->chance, 1000000) < ppm;
}

// ---- clocks

struct sim_host *sim_enter(struct sim_host *h)
{
    struct sim_host *outer = the.here;
    the.here = h;
    return outer;
}

struct sim_host *sim_here(void)
{
    return the.here;
}

uint64_t sim_mono_ns(const struct sim_host *h)
{
    return h->mono_ns + h->w->now;
}

int64_t sim_wall_ms(struct sim_host *h)
{
    return WALL_BEGIN_MS + (int64_t)(h->w->now / SIM_MS) + h->wall_ms;
}

#ifdef PLEXUS_FAULTS
static uint64_t base_mono_ns(void)
{
    return the.here ? sim_mono_ns(the.here) : the.w->now;
}

static int64_t base_wall_ms(void)
{
    return the.here ? sim_wall_ms(the.here) : WALL_BEGIN_MS + (int64_t)(the.w->now / SIM_MS);
}

static void base_fill(void *p, size_t n)
{
    unsigned char *at = p;
    for (size_t i = 0; i < n; i++)
        at[i] = (unsigned char)(rng_next(&the.w->secret) >> 56);
}

static void take_base(struct sim *w)
{
    the.w = w;
    the.here = NULL;
    time_fault_set(w ? base_mono_ns : NULL, w ? base_wall_ms : NULL);
    rng_fault_set(w ? base_fill : NULL);
    crypto_fault_random(w != NULL);
}
bool sim_ready(void)
{
    return true;
}
#else
static void take_base(struct sim *w)
{
    the.w = w;
    the.here = NULL;
}
bool sim_ready(void)
{
    return false;
}
#endif

// ---- the world

struct name {
    struct list link;
    char name[128], address[48];
};

struct sim *sim_new(const struct sim_args *args)
{
    assert(the.w == NULL);
    struct sim *w = sim_must(mem_new(struct sim));
    w->args = *args;
    if (w->args.link.delay_ns == 0 && w->args.link.jitter_ns == 0)
        w->args.link.delay_ns = DELAY_NS;
    rng_init(&w->rng, args->seed);
    rng_init(&w->chance, args->seed ^ 0xc4a9ce);
    rng_init(&w->secret, args->seed ^ 0x5ec2e7);
    w->hash = 0xcbf29ce484222325u;
    list_init(&w->names);
    list_init(&w->conns);
    w->links = sim_must(mem_array(SIM_HOSTS_MAX * SIM_HOSTS_MAX, sizeof *w->links));
    w->heard = sim_must(mem_array(SIM_HOSTS_MAX * SIM_HOSTS_MAX, sizeof *w->heard));
    sim_name_add(w, "localhost", "127.0.0.1");
    take_base(w);
    return w;
}

void sim_name_add(struct sim *w, const char *name, const char *address)
{
    struct name *n = sim_must(mem_new(struct name));
    (void)snprintf(n->name, sizeof n->name, "%s", name);
    (void)snprintf(n->address, sizeof n->address, "%s", address);
    list_add_tail(&w->names, &n->link);
}

const char *sim_lookup(struct sim *w, const char *name)
{
    list_each (it, &w->names) {
        const struct name *n = container_of(it, struct name, link);
        if (strcmp(n->name, name) == 0)
            return n->address;
    }
    return NULL;
}

struct sim_host *sim_host_new(struct sim *w, const char *name, const char *address)
{
    assert(w->host_count < SIM_HOSTS_MAX);
    struct sim_host *h = sim_must(mem_new(struct sim_host));
    h->w = w;
    h->index = w->host_count;
    h->up = true;
    (void)snprintf(h->name, sizeof h->name, "%s", name);
    (void)snprintf(h->address, sizeof h->address, "%s", address);
    h->mono_ns = rng_below(&w->chance, 1000000) * SIM_S + rng_below(&w->chance, SIM_S);
    list_init(&h->files);
    for (unsigned i = 0; i <= w->host_count; i++) {
        w->links[i * SIM_HOSTS_MAX + h->index] = w->args.link;
        w->links[h->index * SIM_HOSTS_MAX + i] = w->args.link;
    }
    w->links[h->index * SIM_HOSTS_MAX + h->index] = (struct sim_link){.delay_ns = LOCAL_NS};
    w->hosts[w->host_count++] = h;
    sim_clock_init(h);
    sim_net_init(h);
    return h;
}

struct sim_host *sim_host_at(struct sim *w, const char *address)
{
    for (unsigned i = 0; i < w->host_count; i++)
        if (strcmp(w->hosts[i]->address, address) == 0)
            return w->hosts[i];
    return NULL;
}

static void host_free(struct sim_host *h)
{
    sim_clock_fini(h);
    list_each_safe (it, &h->files) {
        struct sim_file *f = container_of(it, struct sim_file, link);
        list_del(it);
        buf_fini(&f->content);
        mem_free(f->path);
        mem_free(f);
    }
    mem_free(h);
}

void sim_free(struct sim *w)
{
    if (w == NULL)
        return;
    for (unsigned i = 0; i < w->host_count; i++) {
        if (!w->hosts[i]->muted)
            sim_down(w->hosts[i], SIM_POWER);
        sim_settle(w->hosts[i]);
    }
    assert(list_empty(&w->conns));
    for (unsigned i = 0; i < w->host_count; i++)
        host_free(w->hosts[i]);
    for (size_t i = 0; i < w->n; i++) { // what will not be
        if (w->heap[i]->fn == after_due)
            mem_free(container_of(w->heap[i], struct after, ev));
        else
            sim_dgram_forget(w->heap[i]);
    }
    list_each_safe (it, &w->names)
        mem_free(container_of(it, struct name, link));
    take_base(NULL);
    mem_free(w->failure);
    mem_free(w->links);
    mem_free(w->heard);
    mem_free(w->heap);
    mem_free(w);
}

const char *sim_host_name(const struct sim_host *h)
{
    return h->name;
}
const char *sim_host_address(const struct sim_host *h)
{
    return h->address;
}
struct net *sim_net(struct sim_host *h)
{
    return &h->net;
}
struct timers *sim_timers(struct sim_host *h)
{
    return &h->timers.base;
}
struct work *sim_work(struct sim_host *h)
{
    return &h->work.base;
}

// ---- links and faults

struct sim_link *sim_link_of(struct sim_host *from, struct sim_host *to)
{
    return &from->w->links[from->index * SIM_HOSTS_MAX + to->index];
}

void sim_link_set(struct sim *w, struct sim_host *from, struct sim_host *to,
                  const struct sim_link *l)
{
    (void)w;
    *sim_link_of(from, to) = *l;
}

struct sim_link sim_link_get(struct sim *w, struct sim_host *from, struct sim_host *to)
{
    (void)w;
    return *sim_link_of(from, to);
}

void sim_cut(struct sim *w, struct sim_host *from, struct sim_host *to, bool cut)
{
    sim_say(w, "%s -> %s %s", from->name, to->name, cut ? "is cut" : "is whole");
    sim_link_of(from, to)->cut = cut;
}

uint64_t sim_delay(struct sim_host *from, struct sim_host *to)
{
    const struct sim_link *l = sim_link_of(from, to);
    uint64_t ns = l->delay_ns;
    if (l->jitter_ns > 0)
        ns += rng_below(&from->w->chance, l->jitter_ns);
    return ns;
}

bool sim_passes(struct sim_host *from, struct sim_host *to)
{
    const struct sim_link *l = sim_link_of(from, to);
    return from->up && to->up && !l->cut && !sim_chance(from->w, l->loss_ppm);
}

void sim_wall_shift(struct sim_host *h, int64_t ms)
{
    sim_say(h->w, "%s: wall clock %+" PRId64 " ms", h->name, ms);
    h->wall_ms += ms;
}

static void sleep_until(struct sim_host *h, uint64_t until)
{
    uint64_t from = sim_paused_until(h);
    from = from < h->w->now ? h->w->now : from;
    h->slept_ns += until > from ? until - from : 0;
    // A loop that was stopped in its poll looks at sockets first, else at its timers.
    h->timers_first = rng_below(&h->w->chance, 2) == 0;
}

void sim_pause(struct sim_host *h, uint64_t ns)
{
    sim_say(h->w, "%s: paused for %.3f s", h->name, (double)ns / 1e9);
    sleep_until(h, h->w->now + ns);
    if (h->paused_until < h->w->now + ns)
        h->paused_until = h->w->now + ns;
}

void sim_freeze(struct sim_host *h, uint64_t ns)
{
    sim_say(h->w, "%s: frozen for %.3f s", h->name, (double)ns / 1e9);
    sleep_until(h, h->w->now + ns);
    if (h->frozen_until < h->w->now + ns)
        h->frozen_until = h->w->now + ns;
}

// Its time without pauses.
static uint64_t awake_ns(const struct sim_host *h)
{
    uint64_t until = sim_paused_until(h), now = h->w->now;
    return now - h->slept_ns + (until > now ? until - now : 0);
}

void sim_heard(struct sim_host *from, struct sim_host *to)
{
    from->w->heard[from->index * SIM_HOSTS_MAX + to->index] = awake_ns(to);
}

uint64_t sim_silent_ns(const struct sim_host *from, const struct sim_host *to)
{
    return awake_ns(to) - from->w->heard[from->index * SIM_HOSTS_MAX + to->index];
}

uint64_t sim_paused_until(const struct sim_host *h)
{
    return h->paused_until > h->frozen_until ? h->paused_until : h->frozen_until;
}

void sim_down(struct sim_host *h, enum sim_how how)
{
    assert(the.here == NULL && !h->muted);
    sim_say(h->w, "%s: %s", h->name, how == SIM_POWER ? "power off" : "its process ends");
    h->muted = true;
    uint64_t awake = sim_paused_until(h);
    h->slept_ns -= awake > h->w->now ? awake - h->w->now : 0;
    h->paused_until = h->frozen_until = 0;
    if (how == SIM_POWER)
        h->up = false;
    struct sim_host *outer = sim_enter(h);
    sim_net_cut(h, how == SIM_POWER);
    (void)sim_enter(outer);
}

void sim_up(struct sim_host *h)
{
    assert(h->muted && list_empty(&h->net.socks) && list_empty(&h->timers.running) &&
           list_empty(&h->net.dgrams));
    sim_say(h->w, "%s: up", h->name);
    if (!h->up) // another boot, another mono clock
        h->mono_ns = rng_below(&h->w->chance, 1000000) * SIM_S;
    h->up = true;
    h->muted = false;
}

bool sim_is_up(const struct sim_host *h)
{
    return !h->muted;
}

size_t sim_open_streams(const struct sim_host *h)
{
    size_t n = 0;
    list_each (it, &h->net.socks)
        n++;
    return n;
}
