// checks.c: what must be true whatever happens.
// SPDX-License-Identifier: Apache-2.0
#include "sim/play_priv.h"

#include <string.h>

enum {
    FALSE_DEATH_MS = 1000, // a node declared dead that was silent for less
    WAY_MS = 3000,         // so long the way was good, whatever pauses the observer had itself
    HEALTHY_MS = 5000,     // so long nothing was wrong between two nodes: no death then
    REMOVED_MS = 3000,     // after a removal the mesh is rid of the node within this
};

static struct play_node *named(struct play *p, const char *name)
{
    for (unsigned i = 0; i < p->count; i++)
        if (strcmp(p->nodes[i].name, name) == 0)
            return &p->nodes[i];
    return NULL;
}

static bool is_since(const struct play_node *n, const struct play_node *x, uint64_t since,
                     uint64_t ms)
{
    uint64_t now = sim_now(n->play->w);
    since = since < n->up_at ? n->up_at : since;
    since = since < x->up_at ? x->up_at : since;
    return since <= now && now - since > ms * SIM_MS;
}

// Nothing was wrong on the way from x to n, or with either, for so long.
static bool healthy(const struct play_node *n, const struct play_node *x, uint64_t ms)
{
    return is_since(n, x, n->healthy_since[x->index], ms);
}

// The same of what n hears of x, but n may have been paused.
static bool way_good(const struct play_node *n, const struct play_node *x, uint64_t ms)
{
    return is_since(n, x, n->way_since[x->index], ms);
}

static void check_death(struct play_node *n, struct play_node *x, int64_t silence_ms)
{
    struct play *p = n->play;
    uint64_t silent_ns = sim_silent_ns(x->host, n->host);
    if (p->args.no_deaths && n->heard[x->index]) // not one that was only heard of
        sim_fail(p->w, "a false death: %s says %s is dead, and nobody was", n->name, x->name);
    else if (silence_ms < FALSE_DEATH_MS)
        sim_fail(p->w, "a false death: %s says %s is dead after %lld ms of silence", n->name,
                 x->name, (long long)silence_ms);
    if (!x->running || x->removed || n->removed || n->clock_off || x->clock_off)
        return;
    if (silent_ns < FALSE_DEATH_MS * SIM_MS && way_good(n, x, WAY_MS))
        sim_fail(p->w, "a false death: %s says %s is dead; a beat came %.3f s ago, without pauses",
                 n->name, x->name, (double)silent_ns / 1e9);
    else if (p->svid_ttl_ms == 0 && healthy(n, x, HEALTHY_MS) && healthy(x, n, HEALTHY_MS))
        sim_fail(p->w, "a false death: %s says %s is dead, and nothing was wrong for %d ms",
                 n->name, x->name, HEALTHY_MS);
}

// ---- life and death

void play_check_state(struct play_node *n, struct mesh_node *other, enum mesh_state before,
                      int64_t silence_ms)
{
    struct play *p = n->play;
    struct mesh_node_view v;
    mesh_node_view(n->mesh, other, play_now_ms(n), &v);
    sim_say(p->w, "%s is %s, was %s, silent for %lld ms", v.name, mesh_state_name(v.state),
            mesh_state_name(before), (long long)silence_ms);
    sim_mix(p->w, (uint64_t)v.state << 8 | before);
    struct play_node *x = named(p, v.name);
    if (x != NULL && v.state == MESH_ALIVE)
        n->heard[x->index] = true;
    if (v.state != MESH_DEAD)
        return;
    p->deaths++;
    if (x != NULL)
        check_death(n, x, silence_ms);
}

// ---- routes

void play_check_route(struct play_node *n, const struct gate_want *w, const char *to)
{
    struct play *p = n->play;
    struct play_node *x = named(p, to);
    struct mesh_node *m = mesh_find(n->mesh, bytes_of(to));
    struct mesh_node_view v;
    if (m == NULL || x == NULL) {
        sim_fail(p->w, "%s sends a request to %s, which it does not know", n->name, to);
        return;
    }
    mesh_node_view(n->mesh, m, play_now_ms(n), &v);
    if (v.self || v.state != MESH_ALIVE)
        sim_fail(p->w, "%s sends a request to %s, which is %s", n->name, to,
                 mesh_state_name(v.state));
    if (strcmp(x->environment, n->environment) != 0)
        sim_fail(p->w, "%s of %s sends a request to %s of %s", n->name, n->environment, to,
                 x->environment);
    struct label clearance = {.level = LABEL_INTERNAL};
    if (x->clearance[0])
        (void)label_parse(n->names, bytes_of(x->clearance), &clearance, NULL);
    if (!label_dominates(clearance, w->label))
        sim_fail(p->w, "%s sends a request to %s above its clearance", n->name, to);
    if (v.draining)
        sim_fail(p->w, "%s sends a request to %s, which it knows to drain", n->name, to);
    struct member_view own;
    char id[SPIFFE_ID_MAX + 1];
    member_view(n->member, &own);
    (void)snprintf(id, sizeof id, "spiffe://%s/node/%s", own.domain, to);
    if (x->removed && member_removed(n->member, bytes_of(id), 1))
        sim_fail(p->w, "%s sends a request to %s, which it knows to be removed", n->name, to);
    if (x->removed && !n->removed && sim_now(p->w) - x->removed_at > REMOVED_MS * SIM_MS &&
        healthy(n, &p->nodes[0], REMOVED_MS) && p->nodes[0].running)
        sim_fail(p->w, "%s sends a request to %s, removed %.1f s ago", n->name, to,
                 (double)(sim_now(p->w) - x->removed_at) / 1e9);
}

// An engine was given a request.
void play_check_asked(struct play_engine *x, unsigned id)
{
    struct play *p = x->play;
    if (id >= p->request_count) {
        sim_fail(p->w, "an engine was asked what nobody asked (%u)", id);
        return;
    }
    struct play_request *r = &p->requests[id];
    r->asked++;
    // A node that was cut off or paused meanwhile may find a request that was given up long ago.
    const struct play_node *n = x->node;
    bool old = n->healthy_since[r->entry] > r->began_at ||
               p->nodes[r->entry].healthy_since[n->index] > r->began_at;
    if (!old && r->got.n > 0 && bytes_find(buf_bytes(&r->got), BYTES("data: ")) >= 0)
        sim_fail(p->w, "request %u is given to %s after its first byte was out", id,
                 sim_host_name(x->host));
    if (r->model != x->model)
        sim_fail(p->w, "request %u is for m%u, and was given to %s", id, r->model,
                 sim_host_name(x->host));
}

// ---- answers

// Whole events in order; *ret_tokens, *ret_done, *ret_error say what they were.
static bool events_are_right(struct play_request *r, unsigned *ret_tokens, bool *ret_done,
                             bool *ret_error)
{
    struct bytes rest = buf_bytes(&r->got);
    char want[96];
    *ret_tokens = 0;
    *ret_done = *ret_error = false;
    while (rest.n > 0) {
        ptrdiff_t end = bytes_find(rest, BYTES("\n\n"));
        struct bytes frame = bytes_first(rest, end < 0 ? rest.n : (size_t)end + 2);
        rest = bytes_from(rest, frame.n);
        unsigned n = play_frame(r->id, *ret_tokens, want);
        if (frame.p[0] == ':')
            continue; // a comment of honest waiting
        if (*ret_error)
            return false; // something after the end
        if (end < 0) // cut: the start of the next
            return bytes_starts((struct bytes){want, n}, frame) ||
                   bytes_starts(BYTES("data: [DONE]\n\n"), frame) ||
                   bytes_starts(frame, BYTES("data: {\"error\":"));
        // Its engine's end may be lost after its last word: the error comes behind it then.
        if (bytes_is(frame, want) && !*ret_done)
            ++*ret_tokens;
        else if (bytes_is(frame, "data: [DONE]\n\n") && !*ret_done)
            *ret_done = true;
        else if (bytes_starts(frame, BYTES("data: {\"error\":")))
            *ret_error = true;
        else
            return false;
    }
    return true;
}

static bool whole_is_right(const struct play_request *r)
{
    struct buf want;
    buf_init(&want, 64 << 10);
    for (unsigned k = 0; k < r->tokens; k++)
        (void)buf_fmt(&want, "%u.%u ", r->id, k);
    (void)buf_str(&want, "\"}}]");
    bool good = bytes_find(buf_bytes(&r->got), buf_bytes(&want)) >= 0;
    buf_fini(&want);
    return good;
}

// A node that was in trouble itself may break off; everybody else must give a whole answer or say
// why not.
static bool may_break(const struct play_request *r)
{
    const struct play_node *n = &r->play->nodes[r->entry];
    return r->cancel || !n->running || n->boots != r->entry_life;
}

static void check_stream(struct play_request *r)
{
    struct play *p = r->play;
    unsigned tokens;
    bool done, error;
    if (!events_are_right(r, &tokens, &done, &error)) {
        sim_fail(p->w, "request %u: the stream is not what the engine said: %.300s", r->id,
                 r->got.n > 300 ? r->got.p + r->got.n - 300 : buf_cstr(&r->got));
    } else if (r->status == 0 && !error && (!done || tokens != r->tokens)) {
        sim_fail(p->w, "request %u: a stream of %u of %u tokens without an error event", r->id,
                 tokens, r->tokens);
    } else if (r->status < 0 && !may_break(r)) {
        sim_fail(p->w, "request %u: a stream that broke off (%d) without an error event", r->id,
                 r->status);
    }
    if (r->status == 0 && done)
        p->report->answered++;
    else
        p->report->broken++;
}

static void check_served_by(struct play_request *r)
{
    struct play *p = r->play;
    const struct play_node *by = &p->nodes[r->engine / PLAY_ENGINES_MAX], *n = &p->nodes[r->entry];
    if (strcmp(by->environment, n->environment) != 0)
        sim_fail(p->w, "request %u to %s of %s was served by %s of %s", r->id, n->name,
                 n->environment, by->name, by->environment);
    if (by->removed && by != n && p->mended && r->began_at > by->removed_at + REMOVED_MS * SIM_MS &&
        r->began_at > p->faults_until + REMOVED_MS * SIM_MS)
        sim_fail(p->w, "request %u was served by %s, which was removed", r->id, by->name);
}

void play_check_answer(struct play_request *r)
{
    struct play *p = r->play;
    if (r->engine >= 0)
        check_served_by(r);
    if (r->status < 0 && !may_break(r) && !(r->code == 200 && r->sse)) {
        sim_fail(p->w, "request %u to %s got no answer: %d, with %d", r->id,
                 p->nodes[r->entry].name, r->status, r->code);
    } else if (r->code == 200 && r->sse) {
        check_stream(r);
    } else if (r->code == 200 && r->status == 0) {
        if (!whole_is_right(r))
            sim_fail(p->w, "request %u: not its answer: %.200s", r->id, buf_cstr(&r->got));
        p->report->answered++;
    } else if (r->status == 0 && r->code >= 400) {
        if (r->code == 500 || bytes_find(buf_bytes(&r->got), BYTES("\"error\"")) < 0)
            sim_fail(p->w, "request %u: a refusal %d that says nothing: %.200s", r->id, r->code,
                     buf_cstr(&r->got));
        p->report->refused++;
    } else {
        p->report->broken++;
    }
}

// ---- the registry

static bool sees(struct play_node *n, struct play_node *x, char *why, size_t size)
{
    struct mesh_node *m = mesh_find(n->mesh, bytes_of(x->name));
    struct mesh_node_view v = {0}, own = {0};
    if (m != NULL)
        mesh_node_view(n->mesh, m, play_now_ms(n), &v);
    bool member = x->running && !x->removed && x->mesh != NULL && !x->leaving;
    if (!member) {
        if (m == NULL || (v.state != MESH_ALIVE && v.state != MESH_SUSPECT))
            return true;
        (void)snprintf(why, size, "%s sees a ghost: %s is %s", n->name, x->name,
                       mesh_state_name(v.state));
        return false;
    }
    mesh_node_view(x->mesh, mesh_self_node(x->mesh), play_now_ms(x), &own);
    if (m == NULL || v.state != MESH_ALIVE) {
        (void)snprintf(why, size, "%s sees %s as %s", n->name, x->name,
                       m ? mesh_state_name(v.state) : "unknown");
        return false;
    }
    if (v.boot != own.boot || v.seq != own.seq) {
        (void)snprintf(why, size, "%s has sheet %llu.%llu of %s, which is at %llu.%llu", n->name,
                       (unsigned long long)v.boot, (unsigned long long)v.seq, x->name,
                       (unsigned long long)own.boot, (unsigned long long)own.seq);
        return false;
    }
    return true;
}

bool play_converged(struct play *p, char *why, size_t size)
{
    for (unsigned i = 0; i < p->count; i++) {
        struct play_node *n = &p->nodes[i];
        if (!n->running || n->removed || n->stays_down)
            continue;
        if (n->mesh == NULL || n->links == NULL) {
            (void)snprintf(why, size, "%s is not in the mesh", n->name);
            return false;
        }
        for (unsigned k = 0; k < p->count; k++)
            if (k != i && !sees(n, &p->nodes[k], why, size))
                return false;
    }
    return true;
}

void play_check_end(struct play *p)
{
    for (unsigned i = 0; i < p->request_count; i++) {
        const struct play_request *r = &p->requests[i];
        if (r->began && !r->ended)
            sim_fail(p->w, "request %u to %s has no end: since %.3f s", i, p->nodes[r->entry].name,
                     (double)r->began_at / 1e9);
    }
    for (unsigned i = 0; i < p->count; i++) {
        struct play_node *n = &p->nodes[i];
        if (!n->running)
            continue;
        void *at = NULL;
        struct gate_request_view v;
        if (gate_next(n->gate, &at, &v))
            sim_fail(p->w, "%s still holds a request for %s, %s", n->name, v.model, v.state);
        if (sim_open_streams(n->host) > 40 + 12 * p->count)
            sim_fail(p->w, "%s has %zu streams open", n->name, sim_open_streams(n->host));
    }
}
