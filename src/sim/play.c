// play.c: one play from its seed to its verdict: the nodes start and join, requests and faults
// come, all is mended, the registry agrees, every request has its end, and what is then asked is
// served.
// SPDX-License-Identifier: Apache-2.0
#include "sim/play.h"

#include "base/alloc.h"
#include "base/log.h"
#include "sim/play_priv.h"

#include <inttypes.h>
#include <string.h>

enum {
    JOIN_MS = 1500,      // before anything goes wrong
    CONVERGE_MS = 20000, // after the mending the registry is the truth within this
    ENDS_MS = 60000,     // and every request has its end within this
    LOOK_MS = 100,
    REQUESTS_PER_S = 12,
};

static void nodes_make(struct play *p)
{
    struct rng *g = &p->rng;
    bool mixed = rng_below(g, 3) == 0; // some nodes are of another environment
    for (unsigned i = 0; i < p->count; i++) {
        struct play_node *n = &p->nodes[i];
        char address[24];
        n->play = p;
        n->index = i;
        (void)snprintf(n->name, sizeof n->name, "n%u", i);
        (void)snprintf(address, sizeof address, "10.0.0.%u", i + 1);
        const char *environment = mixed && i > 1 && rng_below(g, 3) == 0 ? "staging" : "dev";
        (void)snprintf(n->environment, sizeof n->environment, "%s", environment);
        (void)snprintf(n->context, sizeof n->context, "%s.%s.n%u", environment,
                       i % 2 ? "server" : "aipc", i);
        (void)snprintf(n->clearance, sizeof n->clearance, "%s",
                       rng_below(g, 2) ? "confidential" : "internal");
        n->host = sim_host_new(p->w, n->name, address);
        sim_down(n->host, SIM_POWER);
        sim_settle(n->host);
        n->engine_count = p->count > 3 && rng_below(g, 4) == 0
                              ? 0
                              : 1 + (unsigned)rng_below(g, p->count > 16 ? 1 : PLAY_ENGINES_MAX);
    }
    for (unsigned i = 0; i < p->count; i++) {
        struct play_node *n = &p->nodes[i];
        unsigned model = (unsigned)rng_below(g, PLAY_MODELS);
        for (unsigned k = 0; k < n->engine_count; k++)
            play_engine_init(&n->engines[k], n, k, (model + k) % PLAY_MODELS);
    }
}

static void node_first_up(struct sim *w, void *user)
{
    (void)w;
    play_node_up(user);
}

static void mend(struct sim *w, void *user)
{
    (void)w;
    play_mend(user);
}

static void choose(struct play *p)
{
    struct rng *g = &p->rng;
    rng_init(g, p->args.seed * 2 + 1);
    p->count = p->args.nodes;
    if (p->count == 0) {
        static const uint8_t usual[] = {3, 3, 3, 4, 4, 5, 5, 6, 8, 2};
        p->count = rng_below(g, 40) == 0 ? 16 : usual[rng_below(g, sizeof usual)];
    }
    if (p->count > PLAY_NODES_MAX)
        p->count = PLAY_NODES_MAX;
    if (p->args.seconds == 0)
        p->args.seconds = 3 + (unsigned)rng_below(g, 5);
    p->svid_ttl_ms = rng_below(g, 3) ? 0 : 6000 + (int64_t)rng_below(g, 6000);
    p->link = (struct sim_link){.delay_ns = 50000 + rng_below(g, 3 * SIM_MS)};
    p->link.jitter_ns = rng_below(g, p->link.delay_ns);
    p->link.loss_ppm = rng_below(g, 2) ? 0 : (uint32_t)rng_below(g, 20000);
    uint64_t only = p->args.quiet_faults ? 9 : rng_below(g, 20);
    p->args.no_deaths = p->args.no_deaths || only < 2;
    p->args.long_pauses = p->args.long_pauses || only == 2;
    if (p->args.no_deaths) {
        p->link.loss_ppm = 50000;
        p->svid_ttl_ms = 0; // a certificate of some seconds may end while its renewal is lost
    }
    if (p->args.long_pauses && p->args.nodes == 0 && rng_below(g, 2) == 0)
        p->count = 2;
    p->faults_from = JOIN_MS * SIM_MS;
    p->faults_until = p->faults_from + p->args.seconds * SIM_S;
}

static void set_up(struct play *p)
{
    struct rng *g = &p->rng;
    choose(p);
    p->w =
        sim_new(&(struct sim_args){.seed = p->args.seed, .trace = p->args.trace, .link = p->link});
    nodes_make(p);
    play_clients_up(p);
    for (unsigned i = 0; i < p->count; i++)
        (void)sim_after(p->w, i == 0 ? 0 : (100 + rng_below(g, 400)) * SIM_MS, node_first_up,
                        &p->nodes[i]);
    play_faults_make(p);
    unsigned requests = p->args.requests ? p->args.requests : REQUESTS_PER_S * p->args.seconds;
    for (unsigned i = 0; i < requests; i++)
        play_request_at(p, JOIN_MS * SIM_MS / 2 + rng_below(g, p->faults_until),
                        (unsigned)rng_below(g, p->count), false);
    (void)sim_after(p->w, p->faults_until, mend, p);
}

static bool wait_converged(struct play *p)
{
    char why[300] = "";
    uint64_t until = sim_now(p->w) + CONVERGE_MS * SIM_MS;
    while (sim_now(p->w) < until && sim_run(p->w, sim_now(p->w) + LOOK_MS * SIM_MS))
        if (play_converged(p, why, sizeof why))
            return true;
    if (sim_failure(p->w) == NULL)
        sim_fail(p->w, "%d ms after the mending: %s", CONVERGE_MS, why);
    return false;
}

// Somebody of its environment can serve it.
static bool servable(const struct play *p, const struct play_node *n, unsigned model)
{
    for (unsigned i = 0; i < p->count; i++) {
        const struct play_node *x = &p->nodes[i];
        if (!x->running || strcmp(x->environment, n->environment) != 0 ||
            (x != n && (x->removed || n->removed)))
            continue;
        for (unsigned k = 0; k < x->engine_count; k++)
            if (x->engines[k].model == model)
                return true;
    }
    return false;
}

static void ask_quietly(struct play *p)
{
    for (unsigned i = 0; i < p->count; i++) {
        if (!p->nodes[i].running)
            continue;
        play_request_at(p, sim_now(p->w) + rng_below(&p->rng, SIM_S), i, true);
        p->requests[p->request_count - 1].label = NULL;
    }
}

static void check_quiet(struct play *p)
{
    for (unsigned i = 0; i < p->request_count; i++) {
        const struct play_request *r = &p->requests[i];
        const struct play_node *n = &p->nodes[r->entry];
        if (!r->quiet || !r->ended)
            continue;
        bool can = servable(p, n, r->model);
        if (can && (r->code != 200 || r->status != 0 || r->engine < 0))
            sim_fail(p->w, "in peace %s refuses request %u for m%u: %d", n->name, i, r->model,
                     r->code);
        if (!can && r->code < 400)
            sim_fail(p->w, "request %u for m%u at %s was served, but nobody may", i, r->model,
                     n->name);
    }
}

static void wait_ended(struct play *p)
{
    uint64_t until = sim_now(p->w) + ENDS_MS * SIM_MS;
    while (p->ended < p->request_count && sim_now(p->w) < until)
        if (!sim_run(p->w, sim_now(p->w) + LOOK_MS * SIM_MS))
            return;
}

static void act(struct play *p)
{
    if (!sim_run(p->w, p->faults_until + SIM_MS) || !wait_converged(p))
        return;
    wait_ended(p);
    // A model that failed is tried again by a request after a second.
    if (sim_failure(p->w) != NULL || !sim_run(p->w, sim_now(p->w) + 2 * SIM_S))
        return;
    ask_quietly(p);
    (void)sim_run(p->w, sim_now(p->w) + SIM_S);
    wait_ended(p);
    if (sim_failure(p->w) == NULL && sim_run(p->w, sim_now(p->w) + 100 * SIM_MS)) {
        play_check_end(p);
        check_quiet(p);
    }
}

static void tear_down(struct play *p)
{
    play_clients_down(p);
    for (unsigned i = 0; i < p->count; i++)
        play_node_down(&p->nodes[i], SIM_EXIT);
}

static void report(struct play *p)
{
    struct play_report *r = p->report;
    const char *failure = sim_failure(p->w);
    r->good = failure == NULL;
    (void)snprintf(r->text, sizeof r->text, "%s", failure ? failure : "");
    r->hash = sim_hash(p->w);
    r->events = sim_events(p->w);
    r->nodes = p->count;
    r->requests = p->request_count;
    r->faults = p->fault_count;
    r->deaths = p->deaths;
    r->virtual_s = (double)sim_now(p->w) / 1e9;
    sim_counts(p->w, &r->counts);
}

void play_run(const struct play_args *args, struct play_report *ret)
{
    struct play *p = sim_must(mem_new(struct play));
    *ret = (struct play_report){0};
    p->args = *args;
    p->report = ret;
    log_start(NULL, args->trace ? LOG_DEBUG : LOG_OFF);
    set_up(p);
    act(p);
    report(p);
    tear_down(p);
    if (ret->good && sim_failure(p->w) != NULL)
        report(p);
    sim_free(p->w);
    log_stop();
    mem_free(p);
    if (ret->good && mem_live() != 0) {
        ret->good = false;
        (void)snprintf(ret->text, sizeof ret->text, "%" PRIu64 " blocks of memory are lost",
                       mem_live());
    }
}

// Whoever does not know the last node as alive.
static unsigned strangers(const struct play *p)
{
    const struct play_node *last = &p->nodes[p->count - 1];
    unsigned count = 0;
    for (unsigned i = 0; i + 1 < p->count; i++) {
        struct mesh_node_view v = {0};
        struct mesh_node *m = mesh_find(p->nodes[i].mesh, bytes_of(last->name));
        if (m != NULL)
            mesh_node_view(p->nodes[i].mesh, m, play_now_ms(&p->nodes[i]), &v);
        count += m == NULL || v.sheet == NULL;
    }
    return count;
}

uint64_t play_join_ns(uint64_t seed, unsigned nodes, uint64_t delay_ns)
{
    struct play *p = sim_must(mem_new(struct play));
    struct play_report r = {0};
    uint64_t took = SIM_NEVER;
    p->args = (struct play_args){.seed = seed, .nodes = nodes, .seconds = 1, .quiet_faults = true};
    p->report = &r;
    log_start(NULL, LOG_OFF);
    choose(p);
    p->link = (struct sim_link){.delay_ns = delay_ns};
    p->w = sim_new(&(struct sim_args){.seed = seed, .link = p->link});
    nodes_make(p);
    for (unsigned i = 0; i + 1 < p->count; i++)
        (void)sim_after(p->w, i * 20 * SIM_MS, node_first_up, &p->nodes[i]);
    (void)sim_run(p->w, nodes * 20 * SIM_MS + SIM_S);
    struct play_node *last = &p->nodes[p->count - 1];
    (void)sim_after(p->w, 0, node_first_up, last);
    while (last->mesh == NULL && sim_run(p->w, sim_now(p->w) + SIM_MS / 4)) // its join is answered
        continue;
    uint64_t from = sim_now(p->w), until = from + 2 * SIM_S;
    while (sim_now(p->w) < until && sim_run(p->w, sim_now(p->w) + SIM_MS / 4))
        if (strangers(p) == 0) {
            took = sim_now(p->w) - from;
            break;
        }
    tear_down(p);
    sim_free(p->w);
    log_stop();
    mem_free(p);
    return took;
}

void play_schedule(const struct play_args *args, FILE *out)
{
    struct play *p = sim_must(mem_new(struct play));
    p->args = *args;
    p->args.trace = NULL;
    set_up(p);
    (void)fprintf(out,
                  "seed %" PRIu64 ": %u nodes, %u requests, link %.2f ms + %.2f ms, loss %.2f %%",
                  args->seed, p->count, p->request_count, (double)p->link.delay_ns / 1e6,
                  (double)p->link.jitter_ns / 1e6, (double)p->link.loss_ppm / 1e4);
    if (p->args.no_deaths)
        (void)fprintf(out, ", only short pauses: nobody may be declared dead");
    if (p->args.long_pauses)
        (void)fprintf(out, ", only long pauses");
    if (p->svid_ttl_ms != 0)
        (void)fprintf(out, ", certificates of %.1f s", (double)p->svid_ttl_ms / 1e3);
    (void)fputc('\n', out);
    for (unsigned i = 0; i < p->count; i++) {
        const struct play_node *n = &p->nodes[i];
        (void)fprintf(out, "  %s %s %s:", n->name, n->context, n->clearance);
        for (unsigned k = 0; k < n->engine_count; k++)
            (void)fprintf(out, " %s", n->engines[k].name);
        (void)fprintf(out, "%s\n", n->stays_down ? " (never comes back)" : "");
    }
    for (unsigned i = 0; i < p->fault_count; i++)
        play_fault_put(&p->faults[i], out);
    tear_down(p);
    sim_free(p->w);
    mem_free(p);
}
