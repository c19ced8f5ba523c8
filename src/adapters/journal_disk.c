// journal_disk.c: what a journal in memory keeps: runs with their histories, values by key,
// documents by hash, owners with their fences. A change is made ready first, where it may fail, and
// then put in place, where it may not.
// SPDX-License-Identifier: Apache-2.0
#include "adapters/journal_memory_priv.h"
#include "base/map.h"
#include <stdlib.h>
#include <string.h>

#define DISK_RUNS_MAX ((size_t)1 << 24)

struct block { // entries of one change, one after the other
    struct block *next;
    char text[];
};

struct disk_run {
    struct list link; // in the order of their creation
    struct journal_run row; // its texts are in row_text
    char *row_text;
    struct bytes *entries; // row.last many, in blocks
    size_t cap;
    struct block *blocks;
    struct disk_owner *owner;
};

struct disk_owner {
    uint64_t fence;
    char name[];
};

struct journal_disk {
    struct map *runs; // struct disk_run
    struct map *keys, *docs; // struct value
    struct map *owners; // struct disk_owner
    struct list order;
    uint64_t bytes;
};

struct value { // of keys and docs
    size_t n;
    char text[];
};

// What a change needs, made ready.
struct ready {
    struct disk_run *run;
    char *row_text;
    struct journal_run row;
    struct block *block;
    bool created;
};

struct journal_disk *journal_disk_new(void)
{
    struct journal_disk *d = mem_new(struct journal_disk);
    if (!d)
        return NULL;
    list_init(&d->order);
    d->runs = map_new(DISK_RUNS_MAX);
    d->keys = map_new(DISK_RUNS_MAX);
    d->docs = map_new(DISK_RUNS_MAX);
    d->owners = map_new(DISK_RUNS_MAX);
    if (d->runs && d->keys && d->docs && d->owners)
        return d;
    journal_disk_free(d);
    return NULL;
}

static void run_free(struct disk_run *run)
{
    list_del(&run->link);
    for (struct block *b = run->blocks, *next; b; b = next) {
        next = b->next;
        mem_free(b);
    }
    mem_free(run->entries);
    mem_free(run->row_text);
    mem_free(run);
}

static void values_free(struct map *m)
{
    void *value;
    for (size_t at = 0; m && map_each(m, &at, NULL, &value);)
        mem_free(value);
    map_free(m);
}

void journal_disk_free(struct journal_disk *d)
{
    if (!d)
        return;
    list_each_safe (it, &d->order)
        run_free(container_of(it, struct disk_run, link));
    map_free(d->runs);
    values_free(d->keys);
    values_free(d->docs);
    values_free(d->owners);
    mem_free(d);
}

uint64_t journal_disk_bytes(const struct journal_disk *d)
{
    return d->bytes;
}

// ---- owners -------------------------------------------------------------------------------------

static struct disk_owner *owner_of(const struct journal_disk *d, const char *name)
{
    return map_get(d->owners, (struct bytes){name, strlen(name)});
}

int journal_disk_join(struct journal_disk *d, const char *owner, uint64_t *ret_fence)
{
    struct disk_owner *o = owner_of(d, owner);
    size_t n = strlen(owner);
    if (!o) {
        o = mem_zalloc(sizeof *o + n + 1);
        if (!o || map_put(d->owners, (struct bytes){owner, n}, o, NULL)) {
            mem_free(o);
            return E_NOMEM;
        }
        memcpy(o->name, owner, n + 1);
    }
    *ret_fence = ++o->fence;
    return 0;
}

bool journal_disk_fenced(const struct journal_disk *d, const char *owner, uint64_t fence)
{
    const struct disk_owner *o = owner_of(d, owner);
    return !o || o->fence != fence;
}

static void take(struct journal_disk *d, struct journal_item *x, const char *owner)
{
    struct disk_owner *to = owner_of(d, owner),
                      *from = owner_of(d, x->take.nobody ? "" : x->take.from);
    if (!from || from == to)
        return;
    if (!x->take.nobody)
        from->fence++;
    list_each (it, &d->order) {
        struct disk_run *run = container_of(it, struct disk_run, link);
        if (run->owner == from && run->row.open)
            run->owner = to;
    }
}

// ---- writes -------------------------------------------------------------------------------------

// What `last` will be when the changes before this one of the same write are made.
static int check(const struct journal_disk *d, struct journal_item *x, const char *owner)
{
    const struct journal_write *w = &x->write;
    for (size_t i = 0; i < w->change_count; i++) {
        const struct journal_change *c = &w->changes[i], *before = NULL;
        const struct disk_run *run = map_get(d->runs, c->run);
        for (size_t k = 0; k < i; k++)
            if (bytes_eq(w->changes[k].run, c->run))
                before = &w->changes[k];
        if (c->create && (run || before))
            return journal_item_fail(x, E_EXISTS, "run %.*s is there", BYTES_FMT(c->run));
        if (!c->create && !run && !before)
            return journal_item_fail(x, E_CONFLICT, "run %.*s is not there", BYTES_FMT(c->run));
        if (run && strcmp(run->owner->name, owner) != 0)
            return journal_item_fail(x, E_CONFLICT, "run %.*s is node %s's", BYTES_FMT(c->run),
                                     run->owner->name);
        uint64_t last = before ? before->expect + before->entry_count : run ? run->row.last : 0;
        if (c->expect != last)
            return journal_item_fail(x, E_CONFLICT, "run %.*s has %llu entries, not %llu",
                                     BYTES_FMT(c->run), (unsigned long long)last,
                                     (unsigned long long)c->expect);
    }
    return 0;
}

static bool ready_entries(struct ready *y, const struct journal_change *c)
{
    size_t n = 0, want = c->expect + c->entry_count;
    for (size_t i = 0; i < c->entry_count; i++)
        n += c->entries[i].n;
    y->block = mem_alloc(sizeof *y->block + n);
    if (!y->block)
        return false;
    if (want <= y->run->cap)
        return true;
    size_t cap = y->run->cap ? y->run->cap : 8;
    while (cap < want)
        cap *= 2;
    struct bytes *entries = mem_realloc(y->run->entries, cap * sizeof *entries);
    if (!entries)
        return false;
    y->run->entries = entries;
    y->run->cap = cap;
    return true;
}

static bool ready_change(struct journal_disk *d, struct ready *y, const struct journal_change *c,
                         const char *owner)
{
    y->run = map_get(d->runs, c->run);
    if (!y->run) {
        y->run = mem_new(struct disk_run);
        if (!y->run)
            return false;
        list_init(&y->run->link);
        y->run->owner = owner_of(d, owner);
        y->created = true;
        if (map_put(d->runs, c->run, y->run, NULL)) {
            mem_free(steal(&y->run));
            return false;
        }
    }
    if (c->row) {
        y->row_text = mem_alloc(journal_run_bytes(c->row));
        if (!y->row_text)
            return false;
        char *text = y->row_text;
        journal_run_copy(&y->row, c->row, &text);
    }
    return ready_entries(y, c);
}

static void place_change(struct journal_disk *d, struct ready *y, const struct journal_change *c)
{
    struct disk_run *run = y->run;
    char *text = y->block->text;
    y->block->next = run->blocks;
    run->blocks = y->block;
    for (size_t i = 0; i < c->entry_count; i++) {
        if (c->entries[i].n)
            memcpy(text, c->entries[i].p, c->entries[i].n);
        run->entries[c->expect + i] = (struct bytes){text, c->entries[i].n};
        text += c->entries[i].n;
        d->bytes += c->entries[i].n;
    }
    if (y->row_text) {
        mem_free(run->row_text);
        run->row_text = y->row_text;
        run->row = y->row;
    }
    run->row.last = c->expect + c->entry_count;
    if (y->created)
        list_add_tail(&d->order, &run->link);
}

static void unready(struct journal_disk *d, const struct journal_write *w, struct ready *y)
{
    for (size_t i = 0; i < w->change_count; i++) {
        mem_free(y[i].row_text);
        mem_free(y[i].block);
        if (y[i].created && y[i].run) {
            (void)map_del(d->runs, w->changes[i].run);
            run_free(y[i].run);
        }
    }
}

// ---- values -------------------------------------------------------------------------------------

struct undo { // of one value that was put
    struct map *map; // NULL: nothing was done
    struct bytes key;
    struct value *old;
};

static bool put_value(struct map *m, struct bytes key, struct bytes text, struct undo *u)
{
    struct value *v = mem_alloc(sizeof *v + text.n);
    void *old = NULL;
    if (!v)
        return false;
    v->n = text.n;
    if (text.n)
        memcpy(v->text, text.p, text.n);
    if (map_put(m, key, v, &old)) {
        mem_free(v);
        return false;
    }
    *u = (struct undo){m, key, old};
    return true;
}

static void take_back(struct undo *u, size_t n)
{
    while (n--) {
        if (!u[n].map)
            continue;
        mem_free(map_get(u[n].map, u[n].key));
        if (u[n].old)
            (void)map_put(u[n].map, u[n].key, u[n].old, NULL); // its place is there
        else
            (void)map_del(u[n].map, u[n].key);
    }
}

static bool put_values(struct journal_disk *d, const struct journal_write *w, struct undo *u)
{
    size_t i = 0;
    for (; i < w->put_count; i++)
        if (w->puts[i].value.p && !put_value(d->keys, w->puts[i].key, w->puts[i].value, &u[i]))
            break;
    if (i == w->put_count && (!w->doc_hash.n || map_get(d->docs, w->doc_hash) ||
                              put_value(d->docs, w->doc_hash, w->doc, &u[i])))
        return true;
    take_back(u, i);
    return false;
}

// Those that are removed, unless a later one of the same write puts them again.
static void remove_values(struct journal_disk *d, const struct journal_write *w)
{
    for (size_t i = 0; i < w->put_count; i++) {
        bool again = w->puts[i].value.p != NULL;
        for (size_t k = i + 1; k < w->put_count && !again; k++)
            again = bytes_eq(w->puts[i].key, w->puts[k].key);
        if (!again)
            mem_free(map_del(d->keys, w->puts[i].key));
    }
}

static int write_all(struct journal_disk *d, struct journal_item *x, const char *owner)
{
    const struct journal_write *w = &x->write;
    if (check(d, x, owner))
        return 0;
    struct ready *y = mem_array(w->change_count + 1, sizeof *y);
    struct undo *u = mem_array(w->put_count + 1, sizeof *u);
    bool good = y && u;
    for (size_t i = 0; good && i < w->change_count; i++)
        good = ready_change(d, &y[i], &w->changes[i], owner);
    good = good && put_values(d, w, u);
    for (size_t i = 0; good && i < w->change_count; i++)
        place_change(d, &y[i], &w->changes[i]);
    if (good) {
        remove_values(d, w);
        for (size_t i = 0; i <= w->put_count; i++)
            mem_free(u[i].old);
    } else if (y) {
        unready(d, w, y);
    }
    mem_free(y);
    mem_free(u);
    return good ? 0 : E_NOMEM;
}

// ---- pruning ------------------------------------------------------------------------------------

static bool doc_is_used(const struct journal_disk *d, struct bytes hash)
{
    void *value;
    list_each (it, &d->order)
        if (bytes_eq(container_of(it, struct disk_run, link)->row.plan, hash))
            return true;
    for (size_t at = 0; map_each(d->keys, &at, NULL, &value);) {
        struct value *v = value;
        if (bytes_find((struct bytes){v->text, v->n}, hash) >= 0)
            return true;
    }
    return false;
}

static void prune_docs(struct journal_disk *d)
{
    struct bytes hash;
    void *value;
    for (size_t at = 0; map_each(d->docs, &at, &hash, &value);) {
        if (doc_is_used(d, hash))
            continue;
        mem_free(map_del(d->docs, hash));
        at = 0; // the map has changed
    }
}

static struct disk_run *oldest_closed(const struct journal_disk *d, int64_t before_ms)
{
    struct disk_run *oldest = NULL;
    list_each (it, &d->order) {
        struct disk_run *run = container_of(it, struct disk_run, link);
        if (!run->row.open && run->row.closed_ms < before_ms &&
            (!oldest || run->row.closed_ms < oldest->row.closed_ms))
            oldest = run;
    }
    return oldest;
}

static void prune(struct journal_disk *d, struct journal_item *x)
{
    if (x->prune.dry) {
        list_each (it, &d->order) {
            struct disk_run *run = container_of(it, struct disk_run, link);
            x->prune.count += !run->row.open && run->row.closed_ms < x->prune.before_ms;
        }
        if (x->prune.count > x->prune.limit)
            x->prune.count = x->prune.limit;
        return;
    }
    while (x->prune.count < x->prune.limit) {
        struct disk_run *run = oldest_closed(d, x->prune.before_ms);
        if (!run)
            break;
        (void)map_del(d->runs, run->row.id);
        for (uint64_t i = 0; i < run->row.last; i++)
            d->bytes -= run->entries[i].n;
        run_free(run);
        x->prune.count++;
    }
    prune_docs(d);
}

int journal_disk_apply(struct journal_disk *d, struct journal_item *x, const char *owner)
{
    if (x->kind == JOURNAL_WRITE)
        return write_all(d, x, owner);
    if (x->kind == JOURNAL_PRUNE)
        prune(d, x);
    else
        take(d, x, owner);
    return 0;
}

// ---- reading ------------------------------------------------------------------------------------

static void read_entries(struct journal_disk *d, struct journal_item *x)
{
    const struct journal_read *a = &x->read;
    const struct disk_run *run = map_get(d->runs, a->run);
    if (!run) {
        (void)journal_item_fail(x, E_NOTFOUND, "there is no run %.*s", BYTES_FMT(a->run));
        return;
    }
    uint64_t from = a->from ? a->from : run->row.chapter ? run->row.chapter : 1;
    uint64_t to = a->to && a->to < run->row.last ? a->to : run->row.last;
    for (uint64_t n = from; n <= to; n++)
        if (!a->on_entry(a->user, n, run->entries[n - 1]))
            return;
}

static bool fits(const struct journal_list *a, const struct disk_run *run, const char *owner)
{
    const struct journal_run *row = &run->row;
    return (!a->open_only || row->open) && (!a->closed_only || !row->open) &&
           (!a->busy_only || (row->busy && row->open)) &&
           (!a->mine || !strcmp(run->owner->name, owner)) &&
           (!a->namespace.n || bytes_eq(a->namespace, row->namespace)) &&
           (!a->name.n || bytes_eq(a->name, row->name)) &&
           (!a->status.n || bytes_eq(a->status, row->status)) &&
           (!a->parent.n || bytes_eq(a->parent, row->parent)) &&
           (!a->wake_before_ms || row->wake_ms < a->wake_before_ms);
}

static void list_runs(struct journal_disk *d, struct journal_item *x, const char *owner)
{
    const struct journal_list *a = &x->list;
    struct list *at = &d->order;
    size_t count = 0;
    if (a->after.n) {
        struct disk_run *run = map_get(d->runs, a->after);
        if (!run) {
            (void)journal_item_fail(x, E_NOTFOUND, "there is no run %.*s", BYTES_FMT(a->after));
            return;
        }
        at = &run->link;
    }
    while ((at = a->oldest_first ? at->next : at->prev) != &d->order) {
        const struct disk_run *run = container_of(at, struct disk_run, link);
        if (!fits(a, run, owner))
            continue;
        struct journal_run row = run->row;
        row.owner = bytes_of(run->owner->name);
        if (!a->on_run(a->user, &row) || ++count == a->limit)
            return;
    }
}

struct found {
    struct bytes key;
    struct value *value;
};

static int by_key(const void *a, const void *b)
{
    return bytes_cmp(((const struct found *)a)->key, ((const struct found *)b)->key);
}

static void list_keys(struct journal_disk *d, struct journal_item *x)
{
    const struct journal_keys *a = &x->keys;
    struct found *all = mem_array(map_count(d->keys) + 1, sizeof *all);
    size_t n = 0;
    struct bytes key;
    void *value;
    if (!all) {
        (void)journal_item_fail(x, E_NOMEM, "journal");
        return;
    }
    for (size_t at = 0; map_each(d->keys, &at, &key, &value);)
        if (bytes_starts(key, a->prefix))
            all[n++] = (struct found){key, value};
    qsort(all, n, sizeof *all, by_key);
    for (size_t i = 0; i < n; i++)
        if (!a->on_put(a->user, all[i].key, (struct bytes){all[i].value->text, all[i].value->n}))
            break;
    mem_free(all);
}

void journal_disk_read(struct journal_disk *d, struct journal_item *x, const char *owner)
{
    if (x->kind == JOURNAL_READ) {
        read_entries(d, x);
    } else if (x->kind == JOURNAL_LIST) {
        list_runs(d, x, owner);
    } else if (x->kind == JOURNAL_KEYS) {
        list_keys(d, x);
    } else {
        const struct value *v = map_get(d->docs, x->doc.hash);
        if (v)
            x->doc.on_doc(x->doc.user, (struct bytes){v->text, v->n});
        else
            (void)journal_item_fail(x, E_NOTFOUND, "there is no document %.*s",
                                    BYTES_FMT(x->doc.hash));
    }
}
