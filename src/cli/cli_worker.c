// cli_worker.c: plexus worker: activities of flows for one or more queues; app brings what it runs.
// SPDX-License-Identifier: Apache-2.0
#include "cli/cli_commands_priv.h"
#include <string.h>

static const struct cli_option options[] = {
    {"queue", 'q', "QUEUE", "whose activities to do; may be given several times", NULL},
    {"config", 'c', "FILE", "the config (else PLEXUS_CONFIG, ./plexus.yaml)", "file"},
    {"context", 0, "CONTEXT", "environment.class.node of this machine", NULL},
    {"log-level", 0, "LEVEL", "debug, info, warn or error", "debug|info|warn|error"},
    CLI_OPTIONS_END,
};
static const char *const examples[] = {"plexus worker --queue heavy-compute-queue",
                                       "do what flows send there; Ctrl-C ends it in order", NULL};

static int (*the_worker)(struct cli *c, struct err *e);

void cli_set_worker(int (*run)(struct cli *c, struct err *e))
{
    the_worker = run;
}

size_t cli_option_all(const struct cli *c, const char *name, const char **ret, size_t max)
{
    size_t n = 0;
    for (size_t i = 0; i < c->parsed.given_count && n < max; i++)
        if (!strcmp(c->parsed.given[i].option->name, name))
            ret[n++] = c->parsed.given[i].value;
    return n;
}

static int worker(struct cli *c, struct err *e)
{
    if (!cli_option(c, "queue"))
        return err_set(e, E_USAGE, "--queue says whose activities to do");
    if (!the_worker)
        return err_set(e, E_UNSUPPORTED, "this program was built without the node");
    return the_worker(c, e);
}

const struct cli_command cli_worker_command = {
    .name = "worker",
    .summary = "do activities of flows, and nothing else",
    .usage = "--queue QUEUE",
    .text =
        "A worker joins the bus and takes the activities of its queues: it keeps no flows, serves\n"
        "no models and listens at no address.",
    .options = options,
    .examples = examples,
    .needs = CLI_NONE,
    .run = worker,
};
