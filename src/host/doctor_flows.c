// doctor_flows.c: durable flows: does their journal take what happens, and is libjq there. Pure;
// the running node brings the facts. SPDX-License-Identifier: Apache-2.0
#include "host/doctor_priv.h"

#include <string.h>

static const struct host_flows *flows_of(const struct host_doctor *d, struct host_finding *f)
{
    const struct host_flows *x = &d->facts->flows;
    if (*x->engine)
        return x;
    SKIP(f, d->facts->node_running ? "this node runs no flows" : "only a running node knows");
    return NULL;
}

void host_doctor_journal(const struct host_doctor *d, struct host_finding *f)
{
    const struct host_flows *x = flows_of(d, f);
    if (!x)
        return;
    bool temporal = !strcmp(x->engine, "temporal");
    if (temporal)
        SEEN(f, "Temporal keeps the flows%s%s", x->stopped ? ", and does not answer: " : "",
             x->stopped ? x->why : "");
    else if (x->stopped)
        SEEN(f, "%s: it stopped: %s", x->journal, x->why);
    else
        SEEN(f, "%s, open flows: %llu", x->journal, (unsigned long long)x->open);
    if (x->held && !x->stopped && !temporal) {
        f->status = HOST_WARN;
        SEEN(f, "%s takes nothing for now: %s", x->journal, x->why);
        MEANS(f, "flows wait; they go on by themselves");
        MEND(f, "end the program that holds it, or bring its server back");
    }
    if (!x->stopped)
        return;
    f->status = HOST_FAIL;
    MEANS(f, temporal ? "flows stand still until it answers; nothing is lost"
                      : "no flow goes on and none begins, so that nothing is lost");
    MEND(f, temporal
                ? "start Temporal, or correct flows.temporal.address"
                : "mend what it says (is the disk full? df -h), then plexus down and plexus up");
}

void host_doctor_libjq(const struct host_doctor *d, struct host_finding *f)
{
    const struct host_flows *x = flows_of(d, f);
    if (!x)
        return;
    SEEN(f, "%s", *x->jq ? x->jq : "no libjq");
    if (*x->jq)
        return;
    f->status = HOST_WARN;
    MEANS(f, "plain expressions work; a flow with another one fails with an error of type "
             "expression");
    MEND(f, "sudo apt install libjq1 (elsewhere: the package that has libjq.so.1)");
}
