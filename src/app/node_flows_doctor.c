// node_flows_doctor.c: what the doctor asks durable flows for; the rules are host's.
// SPDX-License-Identifier: Apache-2.0
#include "adapters/expr_jq.h"
#include "app/node_flows_priv.h"
#include "base/alloc.h"
#include <stdio.h>

void node_flows_doctor(const struct node *n, struct host_flows *ret)
{
    const struct node_flows *f = n->flows;
    struct runs_stats s = {0};
    *ret = (struct host_flows){0};
    if (!f || (!f->runs && !f->temporal && !f->stopped))
        return;
    if (f->runs)
        runs_stats(f->runs, &s);
    (void)snprintf(ret->engine, sizeof ret->engine, "%s", f->temporal ? "temporal" : "embedded");
    (void)snprintf(ret->journal, sizeof ret->journal, "%s", n->config->flows.journal);
    (void)snprintf(ret->why, sizeof ret->why, "%.*s", (int)sizeof ret->why - 1, f->why);
    ret->open = s.open;
    ret->held = f->held;
    ret->stopped = f->temporal ? !f->up : f->stopped || s.stopped;
}

// Off the loop's thread: a library is looked for on the disk.
void node_flows_doctor_jq(struct host_flows *ret)
{
    AUTO(expr_jq) jq = NULL;
    if (*ret->engine && expr_jq_open(&jq, NULL) == 0)
        (void)snprintf(ret->jq, sizeof ret->jq, "%s", expr_jq_version(jq));
}
