// node_stop.c: the end in order: refuse new work, let requests finish until a deadline, close
// streams, stop the engines, end.
// SPDX-License-Identifier: Apache-2.0
#include "app/node_priv.h"

#define GOODBYE_MS 400 // other nodes hear that this one leaves
#define ENGINES_MS 15000 // engines get this long after the last request: TERM, then KILL

static void on_goodbye(struct timer *t)
{
    node_check_ended(t->user);
}

void node_check_ended(struct node *n)
{
    if (!n->draining || n->ended || !n->drained || !models_idle(n->models) ||
        engines_running(n->engines))
        return;
    struct timers *timers = loop_timers(n->loop);
    // Others shall know before this node is gone, but it does not wait long for them.
    if (!node_mesh_quiet(n) && timers_now_ms(timers) < n->goodbye_ms) {
        n->goodbye = (struct timer){.fn = on_goodbye, .user = n};
        (void)timer_start(timers, &n->goodbye, 10);
        return;
    }
    // Flows first: what a tool has not answered by then is asked for again at the next start.
    node_flows_close(n);
    if (!node_flows_ended(n))
        return; // it calls again
    node_flows_drop(n);
    node_mcp_close(n);
    node_tools_close(n);
    if (!node_mcp_ended(n) || !node_tools_ended(n))
        return; // they, too
    node_bus_close(n);
    if (!node_mesh_ended(n) || !node_bus_ended(n))
        return; // they call again
    n->ended = true;
    timer_stop(timers, &n->goodbye);
    timer_stop(timers, &n->stop_deadline);
    timer_stop(timers, &n->tick);
    node_mesh_close(n);
    node_alerts_close(n);
    http_server_abort(n->server);
    loop_stop(n->loop);
}

static void on_drained(void *user)
{
    struct node *n = user;
    n->drained = true;
    node_check_ended(n);
}

static void close_all(struct node *n)
{
    gate_close(n->gate, NULL, E_BUSY, "the node is stopping");
    http_server_abort(n->server);
}

static void on_deadline(struct timer *t)
{
    struct node *n = t->user;
    if (!n->hurry) {
        n->hurry = true;
        log_event(LOG_WARN, "node.deadline", LOG_STR("what", "requests are still running: ended"));
        close_all(n);
        (void)timer_start(loop_timers(n->loop), t, ENGINES_MS);
        node_check_ended(n);
        return;
    }
    log_event(LOG_ERROR, "node.deadline", LOG_STR("what", "engines did not end: killed"));
    n->ended = true;
    loop_stop(n->loop);
}

void node_stop(struct node *n, const char *why)
{
    struct timers *timers = loop_timers(n->loop);
    if (n->draining) { // asked twice: no more patience
        n->stop_deadline.fn = on_deadline;
        n->stop_deadline.user = n;
        (void)timer_start(timers, &n->stop_deadline, 0);
        return;
    }
    n->draining = true;
    log_event(LOG_INFO, "node.stopping", LOG_STR("why", why),
              LOG_INT("deadline_ms", n->config->drain_ms));
    n->goodbye_ms = timers_now_ms(timers) + GOODBYE_MS;
    node_mesh_leaving(n);
    ctl_close(n->ctl);
    node_mcp_drain(n);
    models_stopping(n->models, timers_now_ms(timers));
    n->stop_deadline.fn = on_deadline;
    n->stop_deadline.user = n;
    (void)timer_start(timers, &n->stop_deadline, n->config->drain_ms);
    http_server_drain(n->server, on_drained, n);
    engines_run(n->engines);
    node_check_ended(n);
}
