// node_tool_prims.c: read_file, write_file, edit_file, bash and the like on the configured folders.
// SPDX-License-Identifier: Apache-2.0
#include "app/node_tools_priv.h"
#include "base/log.h"
#include "prims/prims.h"

// What the sandbox lacks here is told once, at the start.
static void on_report(void *user, const struct jail_report *r, const struct err *e)
{
    (void)user;
    if (!r)
        log_event(LOG_WARN, "tools.sandbox", LOG_STR("why", e->text));
    for (int i = 0; r && i < JAIL_LAYERS; i++) {
        if (r->layer[i].standing == JAIL_MISSING)
            log_event(LOG_WARN, "tools.sandbox", LOG_STR("missing", jail_layer_infos[i].title),
                      LOG_STR("why", r->layer[i].why), LOG_STR("lost", jail_layer_infos[i].lost));
    }
}

int node_tool_prims_new(struct node *n, struct prims **ret, struct err *e)
{
    const struct config_tools *c = &n->config->tools;
    struct jail_folder folder[JAIL_FOLDERS_MAX];
    size_t count = 0;
    if (c->folder_count == 0)
        return 0;
    for (; count < c->folder_count && count < JAIL_FOLDERS_MAX; count++)
        folder[count] = (struct jail_folder){c->folders[count].path, c->folders[count].write};
    struct prims_args args = {.procs = loop_procs(n->loop),
                              .timers = loop_timers(n->loop),
                              .folder = folder,
                              .folders = count,
                              .bash = c->bash,
                              .require = c->require,
                              .network = c->network,
                              .memory_bytes = c->memory_bytes,
                              .timeout_ms = c->time_ms,
                              .timeout_max_ms = c->time_ms};
    int status = prims_new(ret, &args, e);
    return status == 0 ? prims_probe(*ret, on_report, n, e) : err_wrap(e, "tools.folders");
}
