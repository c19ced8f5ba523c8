// caps_outbox.c: what is to go to the registry: each a file of its own until the registry has it,
// in order, one at a time; tried again after a while, and after a restart. The registry takes the
// same bytes twice as once, so an answer that got lost does no harm. SPDX-License-Identifier:
// Apache-2.0
#include "toolbox/caps_priv.h"

#include "base/file.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FIRST_WAIT_MS 1000
#define LONGEST_WAIT_MS 300000
#define DIGITS 20

struct out_entry {
    struct list link;
    uint64_t seq;
};
struct out_waiter {
    struct list link;
    uint64_t seq, serial;
    struct caps_req *r;
    struct val *res;
};
struct caps_outbox {
    struct caps *c;
    char folder[CAPS_FOLDER_MAX + 16];
    struct list entries, waiters;
    size_t count;
    uint64_t next, serial; // of the next entry, the next that waits
    struct timer timer;
    struct capreg_req req;
    bool sending;
    struct arena *arena; // of what is being sent
    struct manifest_pack pack;
    int64_t wait_ms;
    char why[256];
};

static void path_of(const struct caps_outbox *o, const char *folder, uint64_t seq,
                    char path[CAPS_PATH_MAX])
{
    (void)snprintf(path, CAPS_PATH_MAX, "%s%s/%020llu", o->folder, folder, (unsigned long long)seq);
}

// ---- who waits ----------------------------------------------------------------------------------

static void tell(struct caps_outbox *o, struct out_waiter *w, bool published)
{
    struct val *res = val_put_cstr(steal(&w->res), "published", val_bool(published));
    struct caps_req *r = w->r;
    struct err e = {0};
    res = val_put_cstr(res, "waiting", val_int((int64_t)o->count));
    if (!published && *o->why)
        res = val_put_cstr(res, "why", val_cstr(o->why));
    list_del(&w->link);
    mem_free(w);
    r->priv = NULL;
    if (res)
        r->done(r, 0, res, NULL);
    else
        r->done(r, err_set(&e, E_NOMEM, "out of memory"), NULL, &e);
    val_unref(res);
}

// Of this number, or (0) any; not one that asked meanwhile.
static struct out_waiter *first(struct caps_outbox *o, uint64_t seq, uint64_t before)
{
    list_each (it, &o->waiters) {
        struct out_waiter *w = container_of(it, struct out_waiter, link);
        if (w->serial < before && (!seq || w->seq == seq))
            return w;
    }
    return NULL;
}

// published: the number of the one that is; 0: all of them were tried, as far as could be.
static void tell_all(struct caps_outbox *o, uint64_t published)
{
    uint64_t before = o->serial;
    for (struct out_waiter *w; (w = first(o, published, before));)
        tell(o, w, published != 0);
}

void caps_outbox_forget(struct caps *c, struct caps_req *r)
{
    list_each_safe (it, &c->outbox->waiters) {
        struct out_waiter *w = container_of(it, struct out_waiter, link);
        struct err e = {0};
        if (w->r != r)
            continue;
        list_del(it);
        val_unref(w->res);
        mem_free(w);
        r->priv = NULL;
        r->done(r, err_set(&e, E_CANCELLED, "cancelled; it is published all the same"), NULL, &e);
        return;
    }
}

// ---- sending ------------------------------------------------------------------------------------

static void again(struct caps_outbox *o)
{
    o->wait_ms = o->wait_ms ? o->wait_ms * 2 : FIRST_WAIT_MS;
    if (o->wait_ms > LONGEST_WAIT_MS)
        o->wait_ms = LONGEST_WAIT_MS;
    (void)timer_start(o->c->args.timers, &o->timer, o->wait_ms);
}

static void entry_free(struct caps_outbox *o, struct out_entry *en)
{
    list_del(&en->link);
    mem_free(en);
    o->count--;
}

// It will never be taken as it is: out of the way of the others, with the reason beside it.
static void refuse(struct caps_outbox *o, struct out_entry *en, const struct err *why)
{
    char from[CAPS_PATH_MAX], to[CAPS_PATH_MAX], note[CAPS_PATH_MAX + 8];
    path_of(o, "", en->seq, from);
    path_of(o, "/refused", en->seq, to);
    (void)snprintf(note, sizeof note, "%s.why", to);
    (void)file_write_atomic(note, bytes_of(why->text), 0600, NULL);
    if (rename(from, to) != 0)
        (void)unlink(from);
}

// May come right without a new package: a registry that is away, full, or has another key by now.
static bool may_come_right(int code)
{
    return err_info(code)->retry || code == E_UNAUTH || code == E_FORBIDDEN || code == E_NOTFOUND ||
           code == E_CANCELLED;
}

static void sent(struct capreg_req *req, int status, const struct manifest_pack *pack,
                 const struct err *e)
{
    struct caps_outbox *o = req->user;
    struct out_entry *en = container_of(o->entries.next, struct out_entry, link);
    char path[CAPS_PATH_MAX];
    uint64_t seq = en->seq;
    (void)pack;
    o->sending = false;
    arena_free(o->arena);
    o->arena = NULL;
    if (o->c->stopping)
        return;
    if (status && may_come_right(status)) {
        (void)snprintf(o->why, sizeof o->why, "%.255s", e ? e->text : err_info(status)->text);
        again(o);
        tell_all(o, 0);
        return;
    }
    o->wait_ms = 0;
    if (status) {
        (void)snprintf(o->why, sizeof o->why, "%.255s", e ? e->text : err_info(status)->text);
        refuse(o, en, e);
    } else {
        o->why[0] = 0;
        path_of(o, "", seq, path);
        (void)unlink(path); // one that stays is sent once more, and known there
    }
    entry_free(o, en);
    if (!list_empty(&o->entries))
        (void)timer_start(o->c->args.timers, &o->timer, 0);
    if (status)
        tell_all(o, 0);
    else
        tell_all(o, seq);
}

static int load(struct caps_outbox *o, uint64_t seq, struct err *e)
{
    char path[CAPS_PATH_MAX];
    struct buf text;
    buf_init(&text, MANIFEST_PACK_MAX);
    path_of(o, "", seq, path);
    int rc = file_read(path, &text, e);
    if (!rc && !(o->arena = arena_new(MANIFEST_PACK_MAX)))
        rc = err_set(e, E_NOMEM, "out of memory");
    if (!rc)
        rc = manifest_pack_open(&o->pack, o->arena, buf_bytes(&text), e);
    buf_fini(&text);
    return rc;
}

static void send_next(struct timer *t)
{
    struct caps_outbox *o = t->user;
    struct capreg *g = o->c->args.registry;
    struct err e = {0};
    if (o->sending || list_empty(&o->entries))
        return;
    struct out_entry *en = container_of(o->entries.next, struct out_entry, link);
    int rc = g ? load(o, en->seq, &e)
               : err_set(&e, E_UNAVAILABLE,
                         "no registry is named (tools.registry, ECOSYSTEM_REGISTRY_URL)");
    o->sending = true;
    o->req = (struct capreg_req){.done = sent, .user = o};
    if (!rc)
        rc = g->ops->put(g, &o->pack, &o->req, &e);
    if (rc)
        sent(&o->req, rc, NULL, &e);
}

int caps_outbox_add(struct caps *c, const struct manifest_pack *p, struct bytes urn,
                    struct caps_req *r, struct val *takes_res, struct err *e)
{
    struct caps_outbox *o = c->outbox;
    struct out_entry *en = mem_new(struct out_entry);
    struct out_waiter *w = mem_new(struct out_waiter);
    char path[CAPS_PATH_MAX];
    struct buf text;
    buf_init(&text, MANIFEST_PACK_MAX);
    int rc = en && w && takes_res ? manifest_pack_put(&text, p, e)
                                  : err_set(e, E_NOMEM, "out of memory");
    path_of(o, "", o->next, path);
    if (!rc && (rc = file_write_atomic(path, buf_bytes(&text), 0600, e)))
        rc = err_wrap(e, "%.*s cannot be kept for the registry", BYTES_FMT(urn));
    buf_fini(&text);
    if (rc || !r) {
        mem_free(w);
        val_unref(takes_res);
    }
    if (rc) {
        mem_free(en);
        return rc;
    }
    en->seq = o->next++;
    list_add_tail(&o->entries, &en->link);
    o->count++;
    if (r) {
        *w = (struct out_waiter){.seq = en->seq, .serial = o->serial++, .r = r, .res = takes_res};
        list_add_tail(&o->waiters, &w->link);
        r->priv = o;
    }
    if (!o->sending)
        (void)timer_start(c->args.timers, &o->timer, 0); // a wait for the registry ends, too
    return 0;
}

// ---- the folder ---------------------------------------------------------------------------------

static int put_entry(struct caps_outbox *o, uint64_t seq)
{
    struct out_entry *en = mem_new(struct out_entry);
    struct list *at = o->entries.prev;
    if (!en)
        return E_NOMEM;
    en->seq = seq;
    while (at != &o->entries && container_of(at, struct out_entry, link)->seq > seq)
        at = at->prev;
    list_add_head(at, &en->link);
    o->count++;
    if (seq >= o->next)
        o->next = seq + 1;
    return 0;
}

int caps_outbox_open(struct caps *c, struct err *e)
{
    struct caps_outbox *o = c->outbox = mem_new(struct caps_outbox);
    char refused[CAPS_PATH_MAX];
    if (!o)
        return err_set(e, E_NOMEM, "out of memory");
    o->c = c;
    o->next = 1;
    o->timer = (struct timer){.fn = send_next, .user = o};
    list_init(&o->entries);
    list_init(&o->waiters);
    (void)snprintf(o->folder, sizeof o->folder, "%s/outbox", c->folder);
    (void)snprintf(refused, sizeof refused, "%s/refused", o->folder);
    int rc = file_mkdirs(refused, 0700, e);
    DIR *d = rc ? NULL : opendir(o->folder);
    for (struct dirent *en; d && !rc && (en = readdir(d));) {
        uint64_t seq;
        struct bytes name = bytes_of(en->d_name);
        if (name.n == DIGITS && bytes_u64(name, &seq) && put_entry(o, seq))
            rc = err_set(e, E_NOMEM, "out of memory");
    }
    if (d)
        (void)closedir(d);
    if (!rc && o->count)
        (void)timer_start(c->args.timers, &o->timer, 0);
    return rc;
}

void caps_outbox_close(struct caps *c)
{
    struct caps_outbox *o = c->outbox;
    if (!o)
        return;
    timer_stop(c->args.timers, &o->timer);
    while (!list_empty(&o->waiters))
        caps_outbox_forget(c, container_of(o->waiters.next, struct out_waiter, link)->r);
    if (o->sending)
        c->args.registry->ops->cancel(c->args.registry, &o->req);
    while (!list_empty(&o->entries))
        entry_free(o, container_of(o->entries.next, struct out_entry, link));
    arena_free(o->arena);
    mem_free(o);
    c->outbox = NULL;
}

void caps_outbox_stats(const struct caps *c, size_t *ret_waiting, char *ret_why, size_t n)
{
    *ret_waiting = c->outbox->count;
    (void)snprintf(ret_why, n, "%s", c->outbox->why);
}
