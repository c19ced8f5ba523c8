// node_worker.c: `plexus worker`: a node that does activities of task queues and nothing else. It
// has the bus and the activities of a node, a folder of its own, and no models, flows or doors.
// SPDX-License-Identifier: Apache-2.0
#include "app/node_bus_priv.h"
#include "app/node_flows_priv.h"
#include <string.h>

int node_worker_check(const struct node *n, struct err *e)
{
    const struct config *c = n->config;
    if (strcmp(c->flows.engine, "temporal") == 0) {
        if (!c->flows.temporal)
            return err_set(e, E_CONFIG, "a worker of Temporal needs flows.temporal.address");
        return 0;
    }
    if (strcmp(c->bus_engine, "embedded") == 0 || !c->bus_url)
        return err_set(e, E_CONFIG,
                       "a worker takes its work from a bus that others reach, too: set bus.engine "
                       "to nats or redis, and bus.url");
    return 0;
}

static void refused(void *user, const char *queue, const struct err *e)
{
    struct node_flows *f = user;
    log_event(LOG_ERROR, "worker.refused", LOG_STR("queue", queue), LOG_STR("why", e->text));
    if (f->node->fatal.code == 0) {
        f->node->fatal = *e;
        node_stop(f->node, "the bus refuses the queue");
    }
}

int node_worker_open(struct node_flows *f, struct err *e)
{
    struct node *n = f->node;
    struct runs_worker_args args = {.timers = loop_timers(n->loop),
                                    .bus = n->bus->bus,
                                    .acts = f->acts,
                                    .environment = n->config->environment,
                                    .node = n->config->node_name,
                                    .queues = n->worker,
                                    .at_once_max = n->config->flows.activities,
                                    .rates = f->rates,
                                    .rate_count = f->rate_count,
                                    .failed = refused,
                                    .user = f};
    acts_set_bus(f->acts, n->bus->bus);
    int status = runs_worker_new(&f->worker, &args, e);
    if (status == 0)
        for (const char *const *q = n->worker; *q; q++)
            log_event(LOG_INFO, "worker.queue", LOG_STR("queue", *q));
    return status;
}

static void is_closed(void *user)
{
    struct node_flows *f = user;
    f->worker = NULL;
    node_check_ended(f->node);
}

void node_worker_close(struct node_flows *f)
{
    runs_worker_close(f->worker, is_closed, f);
}
