// faults.c: what goes wrong, when and where: all from the seed; and how it is mended.
// SPDX-License-Identifier: Apache-2.0
#include "sim/play_priv.h"

#include "base/alloc.h"

#include <inttypes.h>

static const struct {
    const char *name;
    unsigned weight;
    uint64_t least_ms, most_ms;
} kinds[FAULT_KINDS] = {
    [FAULT_LOSS] = {"loss everywhere", 6, 300, 4000},
    [FAULT_DELAY] = {"a slow link", 6, 300, 4000},
    [FAULT_SPLIT] = {"split in two", 8, 200, 6000},
    [FAULT_CUT] = {"cut one way", 8, 100, 6000},
    [FAULT_PAUSE] = {"process paused", 12, 10, 3000},
    [FAULT_FREEZE] = {"machine frozen", 6, 10, 4000},
    [FAULT_EXIT] = {"process killed", 10, 50, 4000},
    [FAULT_POWER] = {"power lost", 8, 200, 5000},
    [FAULT_CLOCK] = {"clock jumps", 4, 500, 6000},
    [FAULT_DISK] = {"disk full", 3, 500, 5000},
    [FAULT_DRAIN] = {"drain", 4, 300, 4000},
    [FAULT_REMOVE] = {"removed from the mesh", 3, 0, 0},
    [FAULT_ENGINE_DIES] = {"engine killed", 8, 0, 0},
    [FAULT_ENGINE_HANGS] = {"engine hangs", 5, 500, 4000},
    [FAULT_ROTATE] = {"new certificate", 4, 0, 0},
    [FAULT_LEAVE] = {"goodbye", 4, 600, 4000},
    [FAULT_DGRAMS] = {"datagrams late and twice", 4, 300, 4000},
};

void play_fault_put(const struct play_fault *f, FILE *out)
{
    (void)fprintf(out, "%8.3f s  %-26s n%u", (double)f->at / 1e9, kinds[f->kind].name, f->node);
    if (f->kind == FAULT_CUT || f->kind == FAULT_DELAY)
        (void)fprintf(out, " n%u", f->other);
    if (f->amount != 0)
        (void)fprintf(out, " (%" PRId64 ")", f->amount);
    if (f->lasts != 0)
        (void)fprintf(out, " for %.3f s", (double)f->lasts / 1e9);
    (void)fputc('\n', out);
}

// ---- what a fault does

static void hurt(struct play *p, unsigned i, unsigned k, uint64_t until)
{
    if (p->nodes[i].healthy_since[k] < until)
        p->nodes[i].healthy_since[k] = until;
    if (p->nodes[k].healthy_since[i] < until)
        p->nodes[k].healthy_since[i] = until;
}

// n's own pauses are no trouble of its ears.
static void hurt_way(struct play *p, const struct play_fault *f, unsigned i, unsigned k,
                     uint64_t until)
{
    bool pause = f->kind == FAULT_PAUSE || f->kind == FAULT_FREEZE;
    if (p->nodes[k].way_since[i] < until)
        p->nodes[k].way_since[i] = until;
    if (!pause && p->nodes[i].way_since[k] < until)
        p->nodes[i].way_since[k] = until;
}

static void hurt_node(struct play *p, unsigned i, uint64_t until)
{
    for (unsigned k = 0; k < p->count; k++)
        hurt(p, i, k, until);
}

static void hurt_all(struct play *p, uint64_t until)
{
    for (unsigned i = 0; i < p->count; i++)
        hurt_node(p, i, until);
}

static struct sim_link *way(struct play *p, unsigned from, unsigned to)
{
    return sim_link_of(p->nodes[from].host, p->nodes[to].host);
}

static void all_links(struct play *p, void (*set)(struct sim_link *l, int64_t amount),
                      int64_t amount)
{
    for (unsigned i = 0; i < p->count; i++)
        for (unsigned k = 0; k < p->count; k++)
            if (i != k)
                set(way(p, i, k), amount);
}

static void set_loss(struct sim_link *l, int64_t ppm)
{
    l->loss_ppm = (uint32_t)ppm;
}
static void set_datagrams(struct sim_link *l, int64_t ppm)
{
    l->dup_ppm = l->late_ppm = (uint32_t)ppm;
}

// n0 and whoever's bit is the same as its bit in `amount` are on one side.
static void split(struct play *p, int64_t sides, bool cut)
{
    for (unsigned i = 0; i < p->count; i++)
        for (unsigned k = 0; k < p->count; k++)
            if (((sides >> i ^ sides >> k) & 1) != 0)
                way(p, i, k)->cut = cut;
}

static void node_back(struct play_node *n)
{
    if (!n->running && !n->stays_down) {
        play_node_up(n);
        n->draining = false;
        hurt_node(n->play, n->index, sim_now(n->play->w));
    }
}

static void leave(struct play_node *n)
{
    struct sim_host *outer = sim_enter(n->host);
    n->leaving = true;
    play_tell(n);
    (void)sim_enter(outer);
}

static void gone(struct sim *w, void *user)
{
    struct play_fault *f = user;
    (void)w;
    play_node_down(&f->play->nodes[f->node], SIM_EXIT);
}

static void drain(struct play_node *n, bool on)
{
    struct sim_host *outer = sim_enter(n->host);
    n->draining = on;
    play_tell(n);
    (void)sim_enter(outer);
}

static void remove_node(struct play *p, struct play_node *n)
{
    struct play_node *authority = &p->nodes[0];
    struct err e = {0};
    if (n == authority || !authority->running || authority->host->disk_full ||
        authority->links == NULL || n->member == NULL)
        return;
    for (unsigned i = 0; i < p->count; i++)
        if (p->nodes[i].removed)
            return; // one is enough
    struct sim_host *outer = sim_enter(authority->host);
    int rc = play_remove(authority, n->name, &e);
    (void)sim_enter(outer);
    if (rc < 0) {
        sim_say(p->w, "%s is not removed: %s", n->name, e.text);
        return;
    }
    n->removed = true;
    n->removed_at = sim_now(p->w);
}

static void engines(struct play_node *n, bool kill, bool hang)
{
    for (unsigned k = 0; k < n->engine_count; k++) {
        struct play_engine *x = &n->engines[k];
        if (kill && sim_is_up(x->host))
            play_engine_kill(x, SIM_EXIT);
        else if (sim_is_up(x->host))
            x->hangs = hang;
        if (kill)
            return;
    }
}

static void begin(struct sim *w, void *user)
{
    struct play_fault *f = user;
    struct play *p = f->play;
    struct play_node *n = &p->nodes[f->node];
    uint64_t until = sim_now(w) + f->lasts;
    if (p->mended)
        return;
    sim_say(w, "FAULT %s n%u (n%u, %" PRId64 ") for %.3f s", kinds[f->kind].name, f->node, f->other,
            f->amount, (double)f->lasts / 1e9);
    switch (f->kind) {
    case FAULT_LOSS: all_links(p, set_loss, f->amount); break;
    case FAULT_DGRAMS: all_links(p, set_datagrams, f->amount); break;
    case FAULT_DELAY:
        way(p, f->node, f->other)->delay_ns = (uint64_t)f->amount * 1000;
        way(p, f->node, f->other)->jitter_ns = (uint64_t)f->amount * 1000;
        break;
    case FAULT_SPLIT: split(p, f->amount, true); break;
    case FAULT_CUT: way(p, f->node, f->other)->cut = true; break;
    case FAULT_PAUSE: sim_pause(n->host, f->lasts); break;
    case FAULT_FREEZE:
        sim_freeze(n->host, f->lasts);
        for (unsigned k = 0; k < n->engine_count; k++)
            sim_freeze(n->engines[k].host, f->lasts);
        break;
    case FAULT_EXIT: play_node_down(n, SIM_EXIT); break;
    case FAULT_POWER: play_node_down(n, SIM_POWER); break;
    case FAULT_CLOCK:
        if (!n->clock_off)
            sim_wall_shift(n->host, f->amount);
        n->true_wall_ms += n->clock_off ? 0 : f->amount;
        n->clock_off = true;
        break;
    case FAULT_DISK: sim_disk_full(n->host, true); break;
    case FAULT_DRAIN:
        if (n->running)
            drain(n, true);
        break;
    case FAULT_REMOVE: remove_node(p, n); break;
    case FAULT_ENGINE_DIES: engines(n, true, false); break;
    case FAULT_ENGINE_HANGS: engines(n, false, true); break;
    case FAULT_ROTATE:
        if (n->running && n->links != NULL) {
            struct sim_host *outer = sim_enter(n->host);
            links_renew(n->links);
            (void)sim_enter(outer);
        }
        break;
    case FAULT_LEAVE:
        if (n->running && n->index != 0) {
            leave(n);
            (void)sim_after(w, 500 * SIM_MS, gone, f);
        }
        break;
    case FAULT_KINDS: break;
    }
    bool all = f->kind == FAULT_LOSS || f->kind == FAULT_SPLIT || f->kind == FAULT_DGRAMS;
    if (all)
        hurt_all(p, until);
    else
        hurt_node(p, f->node, until);
    for (unsigned i = 0; i < p->count; i++)
        for (unsigned k = 0; k < p->count; k++)
            if (all || i == f->node)
                hurt_way(p, f, i, k, until);
}

static void end(struct sim *w, void *user)
{
    struct play_fault *f = user;
    struct play *p = f->play;
    struct play_node *n = &p->nodes[f->node];
    if (p->mended)
        return;
    sim_say(w, "FAULT OVER %s n%u", kinds[f->kind].name, f->node);
    switch (f->kind) {
    case FAULT_LOSS: all_links(p, set_loss, (int64_t)p->link.loss_ppm); break;
    case FAULT_DGRAMS: all_links(p, set_datagrams, 0); break;
    case FAULT_DELAY: {
        bool cut = way(p, f->node, f->other)->cut;
        *way(p, f->node, f->other) = p->link;
        way(p, f->node, f->other)->cut = cut;
        break;
    }
    case FAULT_SPLIT: split(p, f->amount, false); break;
    case FAULT_CUT: way(p, f->node, f->other)->cut = false; break;
    case FAULT_EXIT:
    case FAULT_POWER:
    case FAULT_LEAVE: node_back(n); break;
    case FAULT_CLOCK:
        if (n->clock_off)
            sim_wall_shift(n->host, -n->true_wall_ms);
        n->true_wall_ms = 0;
        n->clock_off = false;
        break;
    case FAULT_DISK: sim_disk_full(n->host, false); break;
    case FAULT_DRAIN:
        if (n->running)
            drain(n, false);
        break;
    case FAULT_ENGINE_HANGS: engines(n, true, false); break;
    case FAULT_PAUSE:
    case FAULT_FREEZE:
    case FAULT_REMOVE:
    case FAULT_ENGINE_DIES:
    case FAULT_ROTATE:
    case FAULT_KINDS: break;
    }
    hurt_all(p, sim_now(w));
    for (unsigned i = 0; i < p->count; i++)
        for (unsigned k = 0; k < p->count; k++)
            if (f->kind != FAULT_PAUSE && f->kind != FAULT_FREEZE)
                hurt_way(p, f, i, k, sim_now(w));
}

// ---- the schedule

static enum play_fault_kind pick(struct rng *g)
{
    unsigned all = 0;
    for (int i = 0; i < FAULT_KINDS; i++)
        all += kinds[i].weight;
    uint64_t at = rng_below(g, all);
    for (int i = 0; i < FAULT_KINDS; i++) {
        if (at < kinds[i].weight)
            return (enum play_fault_kind)i;
        at -= kinds[i].weight;
    }
    return FAULT_PAUSE;
}

static int64_t amount_of(struct play *p, const struct play_fault *f)
{
    struct rng *g = &p->rng;
    switch ((int)f->kind) {
    case FAULT_LOSS: return 10000 + (int64_t)rng_below(g, 300000); // 1 to 31 %
    case FAULT_DGRAMS: return 50000 + (int64_t)rng_below(g, 500000);
    case FAULT_DELAY: return 5000 + (int64_t)rng_below(g, 200000); // microseconds
    case FAULT_SPLIT: return (int64_t)(rng_next(g) >> 1);
    case FAULT_CLOCK: {
        int64_t most = p->svid_ttl_ms < 60000 ? 2000 : rng_below(g, 5) ? 20000 : 7200000;
        return (int64_t)rng_below(g, 2 * (uint64_t)most) - most;
    }
    default: return 0;
    }
}

static void plan(struct play *p, struct play_fault *f)
{
    (void)sim_after(p->w, f->at - sim_now(p->w), begin, f);
    if (f->lasts != 0)
        (void)sim_after(p->w, f->at + f->lasts - sim_now(p->w), end, f);
}

// One node at a time, long enough to be dead for the others, who are not dead for it.
static void make_long_pauses(struct play *p)
{
    struct rng *g = &p->rng;
    p->faults_until = p->faults_from + 11 * SIM_S;
    for (unsigned k = 0; k < 2; k++) {
        struct play_fault *f = &p->faults[p->fault_count++];
        *f = (struct play_fault){
            .play = p, .kind = FAULT_PAUSE, .node = (unsigned)rng_below(g, p->count)};
        f->at = p->faults_from + (2 + 5 * k) * SIM_S;
        f->lasts = (500 + rng_below(g, 2500)) * SIM_MS;
        plan(p, f);
    }
}

// Up to 0.9 s each, with as much time between two of one node.
static void make_pauses(struct play *p)
{
    struct rng *g = &p->rng;
    for (uint64_t at = p->faults_from; at < p->faults_until; at += 2000 * SIM_MS)
        for (unsigned i = 0; i < p->count && p->fault_count < PLAY_FAULTS_MAX; i++) {
            if (rng_below(g, 2) == 0)
                continue;
            struct play_fault *f = &p->faults[p->fault_count++];
            *f = (struct play_fault){.play = p, .kind = FAULT_PAUSE, .node = i};
            f->at = at + rng_below(g, 200 * SIM_MS);
            f->lasts = (10 + rng_below(g, 890)) * SIM_MS;
            plan(p, f);
        }
}

void play_faults_make(struct play *p)
{
    struct rng *g = &p->rng;
    if (p->args.no_deaths || p->args.long_pauses) {
        (p->args.no_deaths ? make_pauses : make_long_pauses)(p);
        return;
    }
    unsigned count = p->args.quiet_faults ? 0 : 2 + (unsigned)rng_below(g, 4 + 2 * p->args.seconds);
    for (unsigned i = 0; i < count && i < PLAY_FAULTS_MAX; i++) {
        struct play_fault *f = &p->faults[p->fault_count++];
        enum play_fault_kind kind = pick(g);
        uint64_t span = kinds[kind].most_ms - kinds[kind].least_ms;
        f->play = p;
        f->kind = kind;
        f->at = p->faults_from + rng_below(g, p->faults_until - p->faults_from);
        f->lasts = (kinds[kind].least_ms + (span ? rng_below(g, span) : 0)) * SIM_MS;
        f->node = (unsigned)rng_below(g, p->count);
        f->other = (f->node + 1 + (unsigned)rng_below(g, p->count - 1)) % p->count;
        f->amount = amount_of(p, f);
        plan(p, f);
    }
    // Sometimes one never comes back: it must not be seen as a ghost.
    if (count > 0 && p->count > 3 && rng_below(g, 4) == 0) {
        for (unsigned i = 0; i < p->fault_count; i++) {
            struct play_fault *f = &p->faults[i];
            if ((f->kind == FAULT_EXIT || f->kind == FAULT_POWER) && f->node != 0) {
                p->nodes[f->node].stays_down = true;
                return;
            }
        }
    }
}

void play_mend(struct play *p)
{
    sim_say(p->w, "all is mended");
    p->mended = true;
    p->link.loss_ppm = 0; // peace: what is refused now is refused without a reason
    for (unsigned i = 0; i < p->count; i++) {
        struct play_node *n = &p->nodes[i];
        for (unsigned k = 0; k < p->count; k++)
            if (i != k)
                *way(p, i, k) = p->link;
        if (n->clock_off)
            sim_wall_shift(n->host, -n->true_wall_ms);
        n->true_wall_ms = 0;
        n->clock_off = false;
        if (n->host->disk_full)
            sim_disk_full(n->host, false);
        if (n->stays_down) {
            play_node_down(n, SIM_POWER);
        } else if (n->leaving && n->running) {
            play_node_down(n, SIM_EXIT);
        }
        node_back(n);
        engines(n, false, false);
        for (unsigned k = 0; k < n->engine_count; k++)
            if (n->engines[k].hangs)
                play_engine_kill(&n->engines[k], SIM_EXIT);
        if (n->running && n->draining)
            drain(n, false);
    }
    hurt_all(p, sim_now(p->w));
    for (unsigned i = 0; i < p->count; i++)
        for (unsigned k = 0; k < p->count; k++)
            p->nodes[i].way_since[k] = sim_now(p->w);
}
