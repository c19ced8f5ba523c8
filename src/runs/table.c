// table.c: what is known of runs without loading them: when they wake, what they listen to. Most
// sleeping runs are not even here: only those whose timer is near, the others stay on the disk.
// SPDX-License-Identifier: Apache-2.0
#include "runs/runs_priv.h"
#include <string.h>

#define PAGE 4096 // rows of one listing

struct spot *runs_spot(struct runs *s, struct bytes id)
{
    return map_get(s->spots, id);
}

struct spot *runs_spot_make(struct runs *s, struct bytes id)
{
    struct spot *p = map_get(s->spots, id);
    if (p || !id.n || id.n > RUNS_ID_MAX)
        return p;
    p = mem_zalloc(sizeof *p + id.n + 1);
    if (!p)
        return NULL;
    char *text = (char *)(p + 1);
    memcpy(text, id.p, id.n);
    p->id = (struct bytes){text, id.n};
    p->wake_ms = TIME_NEVER;
    p->heap_at = SIZE_MAX;
    list_init(&p->hears_link);
    list_init(&p->waits);
    if (!map_put(s->spots, id, p, NULL))
        return p;
    mem_free(p);
    return NULL;
}

// ---- the heap of wakes --------------------------------------------------------------------------

static void heap_set(struct runs *s, size_t i, struct spot *p)
{
    s->heap[i] = p;
    p->heap_at = i;
}

static void heap_up(struct runs *s, size_t i)
{
    struct spot *p = s->heap[i];
    while (i > 0 && s->heap[(i - 1) / 2]->wake_ms > p->wake_ms) {
        heap_set(s, i, s->heap[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    heap_set(s, i, p);
}

static void heap_down(struct runs *s, size_t i)
{
    struct spot *p = s->heap[i];
    for (size_t c = 2 * i + 1; c < s->heap_count; c = 2 * i + 1) {
        if (c + 1 < s->heap_count && s->heap[c + 1]->wake_ms < s->heap[c]->wake_ms)
            c++;
        if (s->heap[c]->wake_ms >= p->wake_ms)
            break;
        heap_set(s, i, s->heap[c]);
        i = c;
    }
    heap_set(s, i, p);
}

static void heap_del(struct runs *s, struct spot *p)
{
    size_t i = p->heap_at;
    if (i == SIZE_MAX)
        return;
    p->heap_at = SIZE_MAX;
    struct spot *last = s->heap[--s->heap_count];
    if (last == p)
        return;
    heap_set(s, i, last);
    heap_up(s, i);
    heap_down(s, last->heap_at);
}

static int heap_add(struct runs *s, struct spot *p)
{
    if (s->heap_count == s->heap_cap) {
        size_t cap = s->heap_cap ? s->heap_cap * 2 : 64;
        struct spot **more = mem_realloc(s->heap, cap * sizeof(struct spot *));
        if (!more)
            return E_NOMEM;
        s->heap = more;
        s->heap_cap = cap;
    }
    heap_set(s, s->heap_count, p);
    heap_up(s, s->heap_count++);
    return 0;
}

void runs_wake_arm(struct runs *s)
{
    int64_t left = RUNS_LOOK_MS;
    if (s->stopped || s->closing)
        return;
    if (s->heap_count) {
        left = s->heap[0]->wake_ms - runs_wall(s);
        left = left < 0 ? 0 : left > RUNS_LOOK_MS ? RUNS_LOOK_MS : left;
    }
    int64_t due = timers_now_ms(s->args.timers) + left;
    if (s->wake_armed && s->wake_due_ms <= due)
        return;
    s->wake_armed = !timer_start(s->args.timers, &s->wake, left);
    s->wake_due_ms = due;
}

void runs_wake(struct runs *s, struct spot *p, int64_t wall_ms)
{
    if (p->wake_ms == wall_ms && (p->heap_at != SIZE_MAX || wall_ms >= s->window_ms))
        return;
    heap_del(s, p);
    p->wake_ms = wall_ms;
    if (wall_ms >= s->window_ms)
        return;
    if (heap_add(s, p))
        return; // no memory: the next look at the journal finds it
    if (p->heap_at == 0)
        runs_wake_arm(s);
}

// Those whose time has come, as many as may be loaded at once; the others wait in the heap.
void runs_wake_due(struct runs *s)
{
    struct err e = {0};
    int64_t now = runs_wall(s);
    while (s->heap_count && s->heap[0]->wake_ms <= now && !s->stopped && !s->closing) {
        struct spot *p = s->heap[0];
        if (!p->run && s->load_count >= RUNS_LOADS_MAX)
            return; // goes on when one is loaded
        heap_del(s, p);
        if (!p->run) {
            if (!runs_get(s, p->id, &e))
                runs_wake(s, p, now + 1000);
        } else if (p->run->state == RUN_LIVE) {
            runs_pump(p->run);
        }
    }
    runs_wake_arm(s);
}

// ---- listening ----------------------------------------------------------------------------------

static void unhear(struct runs *s, struct spot *p)
{
    struct hears *h = p->hears;
    if (!h)
        return;
    list_del(&p->hears_link);
    p->hears = NULL;
    s->stats.listening--;
    if (!list_empty(&h->spots))
        return;
    (void)map_del(s->ears, h->text);
    list_del(&h->link);
    mem_free((void *)(uintptr_t)h->text.p);
    val_unref(h->filters);
    mem_free(h);
}

static struct hears *hears_make(struct runs *s, struct bytes text)
{
    struct hears *h = map_get(s->ears, text);
    struct val *filters = NULL;
    if (h || val_parse(&filters, text, NULL))
        return h;
    h = mem_new(struct hears);
    char *copy = mem_dup(text.p, text.n);
    if (!h || !copy || map_put(s->ears, text, h, NULL)) {
        val_unref(filters);
        mem_free(copy);
        mem_free(h);
        return NULL;
    }
    h->text = (struct bytes){copy, text.n};
    h->filters = filters;
    list_init(&h->spots);
    list_add_tail(&s->hears, &h->link);
    return h;
}

int runs_hear(struct runs *s, struct spot *p, struct bytes listens)
{
    if (p->hears ? bytes_eq(p->hears->text, listens) : !listens.n)
        return 0;
    unhear(s, p);
    struct hears *h = listens.n ? hears_make(s, listens) : NULL;
    if (!h)
        return listens.n ? E_NOMEM : 0;
    p->hears = h;
    list_add_tail(&h->spots, &p->hears_link);
    s->stats.listening++;
    return 0;
}

static void spot_free(struct runs *s, struct spot *p)
{
    unhear(s, p);
    heap_del(s, p);
    (void)map_del(s->spots, p->id);
    mem_free(p);
}

void runs_spot_tidy(struct runs *s, struct spot *p)
{
    if (!p->run && p->heap_at == SIZE_MAX && !p->hears && list_empty(&p->waits))
        spot_free(s, p);
}

// ---- what the journal knows ---------------------------------------------------------------------

static bool take_row(struct runs *s, const struct journal_run *row)
{
    struct err e = {0};
    bool near = row->wake_ms < s->window_ms;
    struct spot *p = runs_spot(s, row->id);
    if (p && p->run && p->run->state == RUN_LIVE && !p->run->last) { // one that was to begin
        (void)err_set(&e, E_EXISTS, "run %.*s is there already", BYTES_FMT(row->id));
        runs_exists(p->run, &e);
        p = runs_spot(s, row->id);
    }
    if (p && p->run && !p->mine) { // somebody asked for it before it was known
        p->mine = true;
        runs_jobs_mine(p->run);
    }
    if (p && p->run)
        return true;
    if (!near && !row->listens.n && !row->busy)
        return true;
    p = runs_spot_make(s, row->id);
    if (!p)
        return false;
    p->mine = true;
    if (near)
        runs_wake(s, p, row->wake_ms);
    if (row->listens.n && runs_hear(s, p, row->listens))
        return false;
    return !row->busy || runs_get(s, row->id, &e);
}

static bool on_open(void *user, const struct journal_run *row)
{
    struct runs *s = user;
    struct spot *p = runs_spot(s, row->id);
    s->page_rows++;
    if (row->id.n <= RUNS_ID_MAX) {
        memcpy(s->page, row->id.p, row->id.n);
        s->page[row->id.n] = '\0';
    }
    s->page_open += !(p && p->open);
    if (!take_row(s, row))
        s->page_failed = true;
    return true;
}

static void list_page(struct runs *s);

static void on_page(struct op *o, int status, const struct err *e)
{
    struct runs *s = o->s;
    struct err why = {0};
    if (!status && s->page_failed)
        status = err_set(&why, E_NOMEM, "what is open does not fit into memory");
    if (status) { // the page once more
        memcpy(s->page, s->page_before, sizeof s->page);
        runs_start_failed(s, list_page, status, e ? e : &why);
        return;
    }
    if (s->looks_again)
        s->again_open += s->page_rows;
    else
        s->stats.open += s->page_open;
    if (s->page_rows == PAGE) {
        list_page(s);
        return;
    }
    if (s->looks_again)
        s->stats.open = s->again_open;
    s->looks_again = false;
    s->listed = true;
    runs_wake_arm(s);
    runs_load_go(s);
    runs_soon(s);
}

static void list_page(struct runs *s)
{
    struct err e = {0};
    struct op *o = runs_op(s, on_page, s);
    struct journal_list a = {.open_only = true,
                             .mine = true,
                             .after = bytes_of(s->page),
                             .limit = PAGE,
                             .on_run = on_open,
                             .user = s};
    s->page_rows = s->page_open = 0;
    s->page_failed = false;
    memcpy(s->page_before, s->page, sizeof s->page);
    if (!a.after.n)
        a.after = BYTES_NONE;
    int rc = o ? journal_list(s->args.journal, &a, &o->req, &e)
               : err_set(&e, E_NOMEM, "the list of what is open");
    if (!rc)
        return;
    runs_op_free(o);
    runs_start_failed(s, list_page, rc, &e);
}

// Refilled long before the window ends.
static bool on_near(void *user, const struct journal_run *row)
{
    struct runs *s = user;
    struct spot *p = runs_spot(s, row->id);
    if (p && (p->run || p->heap_at != SIZE_MAX))
        return true;
    p = runs_spot_make(s, row->id);
    if (p) {
        p->mine = true;
        runs_wake(s, p, row->wake_ms);
    }
    return true;
}

static void on_refilled(struct op *o, int status, const struct err *e)
{
    (void)e;
    if (status) // the journal says elsewhere when it has stopped; else: again
        (void)timer_start(o->s->args.timers, &o->s->refill, 1000);
    runs_wake_arm(o->s);
}

void runs_window_move(struct runs *s)
{
    struct op *o = runs_op(s, on_refilled, s);
    struct journal_list a = {.open_only = true, .mine = true, .on_run = on_near, .user = s};
    s->window_ms = runs_wall(s) + RUNS_WINDOW_MS;
    a.wake_before_ms = s->window_ms;
    list_each (it, &s->loaded) {
        struct spot *p = container_of(it, struct run, link)->spot;
        runs_wake(s, p, p->wake_ms);
    }
    (void)timer_start(s->args.timers, &s->refill, RUNS_WINDOW_MS / 2);
    if (o && journal_list(s->args.journal, &a, &o->req, NULL) == 0)
        return;
    runs_op_free(o);
    (void)timer_start(s->args.timers, &s->refill, 1000);
}

static void on_taken(struct op *o, int status, const struct err *e)
{
    struct runs *s = o->s;
    (void)e; // one owner only, or the journal has stopped: it says so elsewhere
    if (status || !s->listed || s->looks_again)
        return;
    s->looks_again = true;
    s->again_open = 0;
    s->page[0] = '\0'; // what is open is looked at once more; what is known stays as it is
    list_page(s);
}

void runs_take(struct runs *s, const char *node)
{
    struct op *o = runs_down(s, NULL) ? NULL : runs_op(s, on_taken, s);
    if (o && journal_take(s->args.journal, node, &o->req, NULL) < 0)
        runs_op_free(o);
}

void runs_table_start(struct runs *s)
{
    s->window_ms = runs_wall(s) + RUNS_WINDOW_MS;
    (void)timer_start(s->args.timers, &s->refill, RUNS_WINDOW_MS / 2);
    list_page(s);
}

void runs_table_free(struct runs *s)
{
    struct bytes key;
    void *value;
    for (size_t at = 0; map_each(s->spots, &at, &key, &value);) {
        unhear(s, value);
        mem_free(value);
    }
    mem_free(s->heap);
    s->heap = NULL;
    s->heap_count = s->heap_cap = 0;
}
