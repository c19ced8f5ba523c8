// life.c: beats heard and beats due; who is silent, who is dead.
// A silence is charged only with time in which this node itself was awake: a late clock moves the
// start of all silences by its lateness.
// SPDX-License-Identifier: Apache-2.0
#include "base/time.h"
#include "mesh/mesh_priv.h"
#include <string.h>

#define DOUBT_BEATS 3 // one that refuses connections is suspect after so many lost beats
#define RTT_US_MAX 60000000 // a clock that was set, not a way
#define RTT_WEIGHT 8 // RFC 6298: one eighth of each new measure

static bool is_silent(const struct mesh *m, const struct mesh_node *n, int64_t now_ms)
{
    int64_t limit = m->args.suspect_ms;
    if (now_ms < n->doubt_ms && DOUBT_BEATS * m->args.beat_ms < limit)
        limit = DOUBT_BEATS * m->args.beat_ms;
    return now_ms - n->silent_ms >= limit;
}

// The tick is overdue: this node was paused, and no silence may be judged before mesh_tick has
// taken its own pause out of it.
static bool is_late(const struct mesh *m, int64_t now_ms)
{
    return m->due_ms != TIME_NEVER && now_ms - m->due_ms > m->args.beat_ms;
}

void mesh_look(struct mesh *m, struct mesh_node *n, int64_t now_ms)
{
    if (is_late(m, now_ms))
        return;
    int64_t silence = now_ms - n->silent_ms;
    if (n->state == MESH_ALIVE && is_silent(m, n, now_ms))
        mesh_turn(m, n, MESH_SUSPECT, now_ms);
    if (n->state == MESH_SUSPECT && silence >= m->args.dead_ms &&
        (silence >= MESH_UNCONFIRMED * m->args.dead_ms || mesh_votes_confirm(m, n)))
        mesh_turn(m, n, MESH_DEAD, now_ms);
}

void mesh_beat_soon(struct mesh *m, struct mesh_node *n, int64_t now_ms)
{
    mesh_fx(m, n, MESH_BEAT);
    n->beat_ms = now_ms + m->args.beat_ms;
    if (m->due_ms > n->beat_ms)
        m->due_ms = n->beat_ms;
}

void mesh_unreachable(struct mesh *m, struct mesh_node *n, int64_t now_ms)
{
    mesh_clock(m, now_ms);
    if (n->self)
        return;
    n->doubt_ms = now_ms + m->args.suspect_ms;
    mesh_look(m, n, now_ms);
}

// ---- a beat came ----

static void ask(struct mesh *m, struct mesh_node *n, const struct mesh_beat *b, int64_t now_ms)
{
    struct mesh_number number = {b->boot, b->sheet};
    if (mesh_number_cmp(n->asked, number) == 0 && now_ms < n->fetch_ms)
        return;
    n->asked = number;
    n->fetch_ms = now_ms + MESH_FETCH_MS;
    mesh_fx(m, n, MESH_FETCH);
}

static void learn_rtt(struct mesh_node *n, const struct mesh_beat *b, uint64_t now_us)
{
    if (b->echo_us != 0 && b->echo_us + b->echo_age_us <= now_us &&
        now_us - b->echo_us - b->echo_age_us < RTT_US_MAX) {
        uint32_t rtt = (uint32_t)(now_us - b->echo_us - b->echo_age_us);
        if (n->rtt_us == 0)
            n->rtt_us = rtt > 0 ? rtt : 1;
        else
            n->rtt_us = n->rtt_us - n->rtt_us / RTT_WEIGHT + rtt / RTT_WEIGHT;
    }
    n->echo_us = b->sent_us;
    n->echo_at_us = now_us;
}

static void learn_loads(struct mesh_node *n, const struct mesh_beat *b)
{
    n->active = b->active;
    n->waiting = b->waiting;
    n->memory_free = b->memory_free;
    n->draining = b->draining;
    n->fresh = 0;
    for (size_t i = 0; n->current && i < n->sheet.model_count; i++) {
        bool told = false;
        for (uint8_t k = 0; k < b->load_count && !told; k++) {
            told = b->loads[k].hash == n->marks[i].hash;
            if (told) {
                n->models[i].active = b->loads[k].active;
                n->models[i].waiting = b->loads[k].waiting;
            }
        }
        if (!told && b->loads_all)
            n->models[i].active = n->models[i].waiting = 0;
    }
}

// Renews the sheet of that very number, or asks for a newer one.
static void learn_sheet(struct mesh *m, struct mesh_node *n, const struct mesh_beat *b,
                        int64_t now_ms)
{
    bool same = n->has_sheet && n->number.boot == b->boot && n->number.seq == b->sheet;
    bool newer = n->has_sheet && n->number.boot == b->boot && n->number.seq > b->sheet;
    if (same) {
        n->ttl_ms = now_ms + n->sheet.ttl_ms;
        if (!n->current) { // its time was over: a partition healed
            n->current = true;
            mesh_digest_count(m);
            mesh_fx(m, n, MESH_CHANGED);
        }
    } else if (b->sheet != 0 && !newer) {
        ask(m, n, b, now_ms);
    }
}

// The tables differ for some beats, so it is no change that is on its way: all is exchanged.
static void compare(struct mesh *m, struct mesh_node *n, const struct mesh_beat *b, int64_t now_ms)
{
    uint64_t pair = m->digest ^ b->digest * 0x9e3779b97f4a7c15u;
    if (pair != n->pair || m->digest == b->digest) {
        n->pair = pair;
        n->sync_ms = now_ms + MESH_SYNC_BEATS * m->args.beat_ms;
        n->sync_pause_ms = MESH_SYNC_MS;
        return;
    }
    if (now_ms < n->sync_ms)
        return;
    n->sync_ms = now_ms + n->sync_pause_ms;
    n->sync_pause_ms *= 2;
    if (n->sync_pause_ms > MESH_SYNC_MS_MAX)
        n->sync_pause_ms = MESH_SYNC_MS_MAX;
    mesh_fx(m, n, MESH_SYNC);
}

// The node whose beat this is, when the beat counts.
static struct mesh_node *sender(struct mesh *m, struct bytes name, const struct mesh_beat *b,
                                int64_t now_ms)
{
    struct mesh_node *n = mesh_find(m, name);
    if (n == NULL) {
        const struct mesh_grave *g = mesh_grave_find(m, name);
        if (g != NULL && g->ended && b->boot <= g->number.boot)
            return NULL;
        if (mesh_node_make(m, name, now_ms, &n, NULL) < 0)
            return NULL;
    }
    if (n->self || (mesh_ended(n) && b->boot <= n->life))
        return NULL;
    if (n->state == MESH_REMOVED) { // only a sheet that was signed anew brings it back
        ask(m, n, b, now_ms);
        return NULL;
    }
    // A lower number is a beat that was long on its way, unless nothing else comes any more: then
    // its clock was set back.
    if (b->boot < n->life && n->state != MESH_DEAD)
        return NULL;
    if (b->boot != n->life)
        mesh_new_life(m, n, b->boot, now_ms);
    return b->seq > n->beat_seq ? n : NULL;
}

void mesh_heard(struct mesh *m, struct bytes node, const struct mesh_beat *b, int64_t now_ms,
                uint64_t now_us)
{
    mesh_clock(m, now_ms);
    struct mesh_node *n = sender(m, node, b, now_ms);
    if (n == NULL)
        return;
    n->beat_seq = b->seq;
    if (n->state == MESH_DEAD)
        mesh_breaker_reset(n); // what failed there failed by its silence, and that is over
    mesh_turn(m, n, MESH_ALIVE, now_ms); // tells the silence that ends
    n->heard_ms = n->silent_ms = now_ms;
    learn_rtt(n, b, now_us);
    learn_sheet(m, n, b, now_ms);
    learn_loads(n, b);
    mesh_votes_take(m, n, b);
    compare(m, n, b, now_ms);
}

// ---- the clock ----

static void prepare_suspects(struct mesh *m, int64_t now_ms)
{
    struct mesh_beat *b = &m->beat;
    uint32_t total = 0, first = m->suspect_at;
    b->suspect_count = 0;
    for (int round = 0; round < 2; round++) // from where the last beat ended, then from the start
        for (uint32_t i = round == 0 ? first : 0; i < (round == 0 ? MESH_NODES_MAX : first); i++) {
            const struct mesh_node *n = m->slots[i];
            bool silent = n != NULL && (n->state == MESH_SUSPECT || n->state == MESH_DEAD) &&
                          is_silent(m, n, now_ms);
            if (!silent)
                continue;
            if (total++ < MESH_SUSPECTS_MAX) {
                b->suspects[b->suspect_count++] = n->hash;
                m->suspect_at = i + 1;
            }
        }
    if (total <= MESH_SUSPECTS_MAX)
        m->suspect_at = 0; // the same list in the same order: peers see that nothing changed
}

static void prepare_loads(struct mesh *m)
{
    struct mesh_beat *b = &m->beat;
    const struct mesh_node *self = m->self;
    uint32_t total = 0, count = (uint32_t)self->sheet.model_count, at = m->load_at;
    b->load_count = 0;
    for (uint32_t k = 0; k < count; k++) {
        uint32_t i = (at + k) % count;
        const struct mesh_model *x = &self->models[i];
        if (x->active + x->waiting == 0 || total++ >= MESH_BEAT_LOADS_MAX)
            continue;
        b->loads[b->load_count].hash = self->marks[i].hash;
        b->loads[b->load_count].active =
            (uint16_t)(x->active < UINT16_MAX ? x->active : UINT16_MAX);
        b->loads[b->load_count++].waiting =
            (uint16_t)(x->waiting < UINT16_MAX ? x->waiting : UINT16_MAX);
        m->load_at = i + 1;
    }
    b->loads_all = total <= MESH_BEAT_LOADS_MAX;
}

static void beat_due(struct mesh *m, struct mesh_node *n, int64_t now_ms)
{
    // One that said goodbye is greeted now and then, too: it may be back and have heard the same of
    // us.
    int64_t pace =
        n->state == MESH_DEAD || n->state == MESH_LEFT ? MESH_DEAD_BEAT_MS : m->args.beat_ms;
    if (!n->has_sheet || n->state == MESH_REMOVED)
        return;
    if (now_ms >= n->beat_ms) {
        mesh_fx(m, n, MESH_BEAT);
        n->beat_ms = n->beat_ms + pace > now_ms ? n->beat_ms + pace : now_ms + pace;
    }
    if (m->due_ms > n->beat_ms)
        m->due_ms = n->beat_ms;
}

static void tick_node(struct mesh *m, struct mesh_node *n, int64_t late_ms, int64_t now_ms)
{
    n->silent_ms = n->silent_ms + late_ms < now_ms ? n->silent_ms + late_ms : now_ms;
    n->ttl_ms += late_ms;
    mesh_look(m, n, now_ms);
    if (n->current && now_ms >= n->ttl_ms) {
        n->current = false;
        n->grave = n->number;
        mesh_digest_count(m);
        mesh_fx(m, n, MESH_CHANGED);
    }
    if ((n->state == MESH_DEAD || mesh_ended(n)) && now_ms - n->since_ms >= m->args.forget_ms) {
        mesh_node_forget(m, n);
        return;
    }
    beat_due(m, n, now_ms);
    bool watched = n->state == MESH_ALIVE || n->state == MESH_SUSPECT;
    if (watched && m->due_ms > now_ms + m->args.beat_ms)
        m->due_ms = now_ms + m->args.beat_ms;
}

void mesh_tick(struct mesh *m, int64_t now_ms)
{
    int64_t late_ms = m->due_ms == TIME_NEVER ? 0 : now_ms - m->due_ms;
    mesh_clock(m, now_ms);
    if (late_ms <= m->args.beat_ms)
        late_ms = 0;
    m->due_ms = now_ms + MESH_IDLE_MS;
    list_each_safe (it, &m->all) {
        struct mesh_node *n = container_of(it, struct mesh_node, all);
        if (!n->self)
            tick_node(m, n, late_ms, now_ms);
    }
    prepare_suspects(m, now_ms);
    prepare_loads(m);
    mesh_replicas_look(m, now_ms);
}

int64_t mesh_next_ms(const struct mesh *m)
{
    return m->due_ms == TIME_NEVER ? m->now_ms : m->due_ms;
}

void mesh_beat_for(struct mesh *m, struct mesh_node *n, uint64_t now_us, struct mesh_beat *ret)
{
    const struct mesh_node *self = m->self;
    *ret = m->beat;
    ret->boot = self->life;
    ret->seq = ++m->beat_seq;
    ret->sheet = self->number.seq;
    ret->sent_us = now_us;
    ret->echo_us = n->echo_us;
    uint64_t age = now_us > n->echo_at_us ? now_us - n->echo_at_us : 0;
    ret->echo_age_us = age < UINT32_MAX ? (uint32_t)age : UINT32_MAX;
    if (age >= UINT32_MAX)
        ret->echo_us = 0;
    ret->active = self->active;
    ret->waiting = self->waiting;
    ret->memory_free = self->memory_free;
    ret->draining = self->draining;
    ret->digest = m->digest;
}
