// node_tools.c: what can be called on this node: its sources put together, and their end.
// SPDX-License-Identifier: Apache-2.0
#include "app/node_tools_priv.h"
#include "base/alloc.h"
#include "base/file.h"
#include "base/time.h"
#include <stdio.h>
#include <string.h>

#define CALL_MS ((int64_t)3600 * 1000) // the longest call; sources have shorter ones of their own

struct tools *node_tools_all(struct node *n)
{
    return n->tools && n->tools->all ? tools_all_tools(n->tools->all) : NULL;
}

// ---- who asks -----------------------------------------------------------------------------------

void node_tool_caller(struct node *n, const struct key *key, struct node_tool_caller *ret)
{
    struct key_view v;
    *ret = (struct node_tool_caller){0};
    buf_init(&ret->label, 2048);
    buf_init(&ret->clearance, 2048);
    (void)snprintf(ret->who, sizeof ret->who, "owner");
    if (key) {
        key_view(key, &v);
        (void)snprintf(ret->who, sizeof ret->who, "key %s", v.name);
        (void)snprintf(ret->as, sizeof ret->as, "%s", v.id);
        if (n->labels.in_use) {
            label_put(&ret->label, n->label_names, key_label(key, n->labels.standard));
            label_put(&ret->clearance, n->label_names, key_clearance(key));
        }
    }
    ret->caller = (struct tool_caller){.who = bytes_of(ret->who),
                                       .as = bytes_of(ret->as),
                                       .label = buf_bytes(&ret->label),
                                       .clearance = buf_bytes(&ret->clearance)};
}

void node_tool_caller_fini(struct node_tool_caller *c)
{
    buf_fini(&c->label);
    buf_fini(&c->clearance);
}

// ---- labels -------------------------------------------------------------------------------------

// What cannot be read is the most that data can be, and the least that somebody may know.
static struct label label_or(const struct node *n, struct bytes text, struct label none,
                             struct label unreadable)
{
    struct label l;
    if (!text.n)
        return none;
    return label_parse_known(n->label_names, text, &l, NULL) == 0 ? l : unreadable;
}

// What goes in must be let out where the tool reaches; what comes back must be the caller's to
// know.
static int crossing(void *user, const struct tool_about *a, const struct tool_caller *c,
                    struct err *e)
{
    struct node_tools *t = user;
    struct node *n = t->node;
    if (!n->labels.in_use)
        return 0;
    struct label in = label_or(n, c->label, n->labels.standard, LABEL_ALL);
    struct label out = label_or(n, a->label, n->labels.standard, LABEL_ALL);
    struct label may = label_or(n, c->clearance, LABEL_ALL, (struct label){0});
    if ((a->effects & TOOL_NETWORK) && !bytes_starts(a->source, BYTES("mcp:")) &&
        !label_dominates(n->labels.cloud, in))
        return err_set(e, E_SECURITY,
                       "the label of the arguments is above what may leave this mesh "
                       "(labels.cloud), and %.*s reaches out of it",
                       BYTES_FMT(a->name));
    if (!label_dominates(may, out))
        return err_set(e, E_SECURITY, "%.*s answers with a label that the caller may not read",
                       BYTES_FMT(a->name));
    return 0;
}

// ---- what happens -------------------------------------------------------------------------------

static const char *status_of(enum tools_event ev, const struct tools_record *r)
{
    return ev == TOOLS_BEGAN ? "running"
           : r->denied       ? "denied"
           : r->status < 0   ? err_info(r->status)->symbol
           : r->is_error     ? "error"
                             : "ok";
}

void node_tools_put_record(struct json_w *w, const struct tools_record *r, bool running)
{
    char at[TIME_TEXT_LEN + 1];
    time_text(r->at_ms, at);
    json_w_obj(w, NULL);
    json_w_u64(w, "id", r->serial);
    json_w_cstr(w, "tool", r->tool);
    json_w_cstr(w, "source", r->source);
    json_w_cstr(w, "who", r->who);
    json_w_cstr(w, "started", at);
    json_w_cstr(w, "status", status_of(running ? TOOLS_BEGAN : TOOLS_ENDED, r));
    json_w_bool(w, "denied", r->denied);
    json_w_bool(w, "confirmed", r->confirmed);
    if (!running) {
        json_w_u64(w, "took_us", r->took_us);
        json_w_u64(w, "memory_bytes", r->memory_bytes);
        json_w_u64(w, "bytes_in", r->bytes_in);
        json_w_u64(w, "bytes", r->bytes_out);
        if (*r->why)
            json_w_cstr(w, "why", r->why);
    }
    json_w_end(w);
}

static void on_call(void *user, enum tools_event ev, const struct tools_record *r)
{
    struct node_tools *t = user;
    struct node *n = t->node;
    if (ev == TOOLS_ENDED)
        node_tools_count(n, r);
    if (ev == TOOLS_ENDED)
        log_event(r->denied ? LOG_WARN : LOG_INFO, "tool.call", LOG_STR("tool", r->tool),
                  LOG_STR("who", r->who), LOG_STR("status", status_of(ev, r)),
                  LOG_UINT("took_us", r->took_us), LOG_STR("why", *r->why ? r->why : NULL));
    if (ev == TOOLS_ENDED && r->status == E_SECURITY)
        node_alert(n, NODE_ALERT_SECURITY, "plexus.security.violation", "critical", r->tool, "%s",
                   r->why);
    if (!ctl_watched(n->ctl))
        return;
    struct buf json;
    struct json_w w;
    char id[32];
    buf_init(&json, 8192);
    json_w_init(&w, &json);
    node_tools_put_record(&w, r, ev == TOOLS_BEGAN);
    (void)snprintf(id, sizeof id, "%llu", (unsigned long long)r->serial);
    ctl_tool_event(n->ctl, bytes_of(id), &json);
    buf_fini(&json);
}

static void on_changed(void *user)
{
    struct node_tools *t = user;
    struct buf json;
    buf_init(&json, 64);
    (void)buf_str(&json, "{\"list\":true}");
    ctl_tool_event(t->node->ctl, BYTES("list"), &json);
    buf_fini(&json);
}

// ---- life ---------------------------------------------------------------------------------------

static int add_source(struct node_tools *t, struct tools *source, struct err *e)
{
    return tools_all_add(t->all, source, BYTES_NONE, e);
}

static int open_own(struct node_tools *t, struct err *e)
{
    int status = node_tool_models_new(t->node, &t->models, e);
    if (status == 0)
        status = add_source(t, t->models, e);
    if (status == 0)
        status = node_tool_flows_new(t->node, &t->flows, e);
    if (status == 0)
        status = add_source(t, t->flows, e);
    if (status == 0)
        node_tool_flows_changed(t->flows);
    return status;
}

static void probed(void *user, const struct jail_report *r, const struct err *e)
{
    struct node_tools *t = user;
    struct err why = {0};
    bool require = t->node->config->tools.require;
    if (!r)
        log_event(LOG_WARN, "tool.sandbox", LOG_STR("why", e->text));
    else if (jail_judge(r, require, &why) < 0)
        log_event(LOG_WARN, "tool.sandbox", LOG_STR("why", why.text));
}

// read_file, bash and the like, on the folders that the configuration grants.
static int open_prims(struct node_tools *t, struct err *e)
{
    struct node *n = t->node;
    const struct config_tools *c = &n->config->tools;
    struct jail_folder folders[JAIL_FOLDERS_MAX];
    struct prims_args args = {.procs = loop_procs(n->loop),
                              .timers = loop_timers(n->loop),
                              .self = file_self(),
                              .folder = folders,
                              .hidden = n->paths.data,
                              .bash = c->bash,
                              .require = c->require,
                              .network = c->network,
                              .memory_bytes = c->memory_bytes,
                              .timeout_ms = c->time_ms,
                              .timeout_max_ms = c->time_ms};
    if (!c->folder_count)
        return 0;
    for (size_t i = 0; i < c->folder_count && i < JAIL_FOLDERS_MAX; i++)
        folders[args.folders++] = (struct jail_folder){c->folders[i].path, c->folders[i].write};
    int status = prims_new(&t->prims, &args, e);
    if (status < 0)
        return err_wrap(e, "tools.folders");
    status = add_source(t, prims_tools(t->prims), e);
    return status == 0 ? prims_probe(t->prims, probed, t, e) : status;
}

int node_tools_open(struct node *n, struct err *e)
{
    struct node_tools *t = *n->worker ? NULL : mem_new(struct node_tools);
    char folder[4100];
    if (!t)
        return *n->worker ? 0 : err_set(e, E_NOMEM, "out of memory");
    n->tools = t;
    t->node = n;
    (void)snprintf(folder, sizeof folder, "%s/tools", n->paths.data);
    (void)snprintf(t->grants_path, sizeof t->grants_path, "%s/grants.json", folder);
    int status = file_mkdirs(folder, 0700, e);
    if (status == E_NOSPACE) { // the models are served all the same
        log_event(LOG_ERROR, "tool.none", LOG_STR("why", e->text));
        mem_free(t);
        n->tools = NULL;
        return 0;
    }
    if (status == 0)
        status = node_grants_read(t, e);
    if (status == 0)
        status = tools_all_new(&t->all,
                               &(struct tools_all_args){.timers = loop_timers(n->loop),
                                                        .granted = node_tools_granted,
                                                        .label = crossing,
                                                        .on_call = on_call,
                                                        .on_changed = on_changed,
                                                        .user = t,
                                                        .timeout_ms = CALL_MS},
                               e);
    if (status == 0)
        status = open_own(t, e);
    if (status == 0) // before those of strangers: the first that has a name is it
        status = open_prims(t, e);
    if (status == 0)
        status = node_caps_open(t, e);
    if (status == 0)
        status = node_tool_loops_open(t, e);
    if (status == 0)
        node_flows_tools(n, tools_all_tools(t->all));
    return status;
}

void node_tools_models(struct node *n)
{
    if (n->tools && n->tools->all)
        tools_all_look(n->tools->all);
}

void node_tools_flows(struct node *n)
{
    if (n->tools)
        node_tool_flows_changed(n->tools->flows);
}

void node_tools_close(struct node *n)
{
    struct node_tools *t = n->tools;
    if (!t || t->closing)
        return;
    t->closing = true;
    node_flows_tools(n, NULL);
    tools_loops_free(t->loops);
    t->loops = NULL;
    tools_all_free(t->all); // what runs ends with E_CANCELLED
    t->all = NULL;
    prims_free(t->prims);
    t->prims = NULL;
    node_caps_close(t);
}

bool node_tools_ended(const struct node *n)
{
    return !n->tools || n->tools->closing;
}

void node_tools_drop(struct node *n)
{
    if (n->tools)
        node_caps_drop(n->tools);
}

void node_tools_free(struct node *n)
{
    struct node_tools *t = n->tools;
    if (!t)
        return;
    tools_loops_free(t->loops);
    tools_all_free(t->all);
    prims_free(t->prims);
    node_caps_free(t);
    node_tool_models_free(t->models);
    node_tool_flows_free(t->flows);
    val_unref(t->grants);
    mem_free(t);
    n->tools = NULL;
}
