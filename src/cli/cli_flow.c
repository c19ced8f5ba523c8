// cli_flow.c: plexus flow: the table of its commands, and the list of runs.
// SPDX-License-Identifier: Apache-2.0
#include "cli/cli_flow_priv.h"
#include "text/url.h"
#include <string.h>

static int ls(struct cli *c, struct err *e);

#define REASON {"reason", 'r', "TEXT", "why; it stands in the history", NULL}

static const struct cli_option ls_options[] = {
    {"status", 's', "STATUS", "only runs in this state",
     "pending|running|waiting|suspended|stalled|completed|faulted|cancelled|terminated"},
    {"name", 0, "NAME", "only runs of this flow", NULL},
    {"namespace", 0, "NAME", "only runs of flows of this namespace", NULL},
    {"limit", 'n', "N", "so many, the newest first; default 50", NULL},
    {"after", 0, "ID", "go on after this one", NULL},
    {"quiet", 'q', NULL, "only the ids", NULL},
    CLI_OPTIONS_END,
};
static const struct cli_option run_options[] = {
    {"input", 'i', "INPUT", "JSON or YAML, @FILE, or - for standard input", NULL},
    {"id", 0, "ID", "the run's id; one that is there is refused, so a run is started only once",
     NULL},
    {"label", 'l', "LABEL",
     "of its data, such as confidential:eng; default: the document's or the key's", NULL},
    {"wait", 'w', NULL, "show nothing but the output, when it is there", NULL},
    {"detach", 'd', NULL, "print the id and leave", NULL},
    CLI_OPTIONS_END,
};
static const struct cli_option show_options[] = {
    {"full", 0, NULL, "do not cut values", NULL},
    CLI_OPTIONS_END,
};
static const struct cli_option history_options[] = {
    {"from", 'f', "N", "begin with this entry", NULL},
    CLI_OPTIONS_END,
};
static const struct cli_option data_options[] = {
    {"event-data", 'd', "DATA", "JSON or YAML, @FILE, or - for standard input", NULL},
    {"source", 0, "URI", "the event's source; default plexus:cli", NULL},
    {"subject", 0, "TEXT", "what it is about", NULL},
    {"event-id", 0, "ID", "its id, default: made at random", NULL},
    CLI_OPTIONS_END,
};
static const struct cli_option reason_options[] = {REASON, CLI_OPTIONS_END};
static const struct cli_option skip_options[] = {
    {"output", 'o', "OUTPUT", "what the task gives, as JSON or YAML, @FILE, -; default null", NULL},
    REASON,
    CLI_OPTIONS_END,
};
static const struct cli_option edit_options[] = {
    {"input", 'i', "INPUT", "what the task gets, as JSON or YAML, @FILE, -", NULL},
    REASON,
    CLI_OPTIONS_END,
};
static const struct cli_option prune_options[] = {
    {"older", 0, "TIME", "ended so long ago; default 30d", NULL},
    {"dry-run", 0, NULL, "only say how many", NULL},
    CLI_OPTIONS_END,
};
static const struct cli_option new_options[] = {
    {"out", 'o', "FILE", "default NAME.yaml", "file"},
    CLI_OPTIONS_END,
};
static const struct cli_option export_options[] = {
    {"out", 'o', "FILE", "default: standard output", "file"},
    CLI_OPTIONS_END,
};
static const char *const run_examples[] = {
    "plexus flow run digest.yaml -i '{\"city\":\"Antwerp\"}'",
    "run it and watch; Ctrl-C leaves it going",
    "plexus flow run digest.yaml -i @input.json --wait | jq .summary",
    "only the output",
    "plexus flow run default/digest --detach",
    "one that was added before, and leave",
    NULL};

#define HAND(word, words, says, needed, most, table)                                               \
    {.name = word,                                                                                 \
     .summary = says,                                                                              \
     .usage = words,                                                                               \
     .options = table,                                                                             \
     .needs = CLI_NODE,                                                                            \
     .args_min = needed,                                                                           \
     .args_max = most,                                                                             \
     .complete = "flow",                                                                           \
     .run = cli_flow_hand}

static const struct cli_command subs[] = {
    {.name = "run",
     .summary = "run a flow and watch it; Ctrl-C leaves it going",
     .usage = "FILE|NAME",
     .text =
         "NAME is a document that `plexus flow add` kept: NAMESPACE/NAME, NAMESPACE/NAME:VERSION,\n"
         "or NAME alone in the namespace default. The output goes to standard output, what\n"
         "happens meanwhile to standard error. Exit code: 0 completed, 1 not, 130 after Ctrl-C.",
     .options = run_options,
     .examples = run_examples,
     .needs = CLI_NODE,
     .args_min = 1,
     .args_max = 1,
     .complete = "file",
     .run = cli_flow_run},
    {.name = "ls",
     .summary = "runs of flows, the newest first",
     .usage = "",
     .options = ls_options,
     .needs = CLI_NODE,
     .run = ls},
    {.name = "show",
     .summary = "one run: a tree of its tasks with state, attempts, times and errors",
     .usage = "ID",
     .options = show_options,
     .needs = CLI_NODE,
     .args_min = 1,
     .args_max = 1,
     .complete = "flow",
     .run = cli_flow_show},
    {.name = "tail",
     .summary = "watch a run until it ends or Ctrl-C",
     .usage = "ID",
     .needs = CLI_NODE,
     .args_min = 1,
     .args_max = 1,
     .complete = "flow",
     .run = cli_flow_tail},
    {.name = "history",
     .summary = "what happened and what was decided, entry by entry",
     .usage = "ID",
     .options = history_options,
     .needs = CLI_NODE,
     .args_min = 1,
     .args_max = 1,
     .complete = "flow",
     .run = cli_flow_history},
    {.name = "signal",
     .summary = "send an event to one run; it is kept until the run listens",
     .usage = "ID TYPE",
     .options = data_options,
     .needs = CLI_NODE,
     .args_min = 2,
     .args_max = 2,
     .complete = "flow",
     .run = cli_flow_signal},
    {.name = "event",
     .summary = "send an event to all runs that listen and all schedules that wait for it",
     .usage = "TYPE",
     .options = data_options,
     .needs = CLI_NODE,
     .args_min = 1,
     .args_max = 1,
     .run = cli_flow_event},
    HAND("retry", "ID [TASK]", "try what failed again", 1, 2, reason_options),
    HAND("skip", "ID TASK", "go on without a task", 2, 2, skip_options),
    HAND("edit", "ID TASK", "give a task that stands another input, and try it again", 2, 2,
         edit_options),
    HAND("pause", "ID", "begin no further task", 1, 1, reason_options),
    HAND("resume", "ID", "go on", 1, 1, reason_options),
    HAND("cancel", "ID", "end a run in order", 1, 1, reason_options),
    HAND("terminate", "ID", "end a run at once", 1, 1, reason_options),
    HAND("reset", "ID ENTRY", "run again from this entry of the history; the old run is ended", 2,
         2, reason_options),
    {.name = "check",
     .summary = "what is wrong with documents; needs no node",
     .usage = "FILE...",
     .needs = CLI_NONE,
     .args_min = 1,
     .args_max = -1,
     .complete = "file",
     .run = cli_flow_check},
    {.name = "new",
     .summary = "write a file to begin with",
     .usage = "NAME",
     .options = new_options,
     .needs = CLI_NONE,
     .args_min = 1,
     .args_max = 1,
     .run = cli_flow_new},
    {.name = "add",
     .summary = "keep a document on the node: it can be run by its name, and its schedule begins",
     .usage = "FILE|URN...",
     .text = "A URN is that of a promoted flow: it is fetched from the registry (tools.registry).",
     .needs = CLI_NODE,
     .args_min = 1,
     .args_max = -1,
     .complete = "file",
     .run = cli_flow_add},
    {.name = "docs",
     .summary = "the documents that are kept",
     .usage = "",
     .needs = CLI_NODE,
     .run = cli_flow_docs},
    {.name = "rm",
     .summary = "forget a document; its runs go on. Without a version: all versions",
     .usage = "NAME[:VERSION]",
     .needs = CLI_NODE,
     .args_min = 1,
     .args_max = 1,
     .run = cli_flow_rm},
    {.name = "eval",
     .summary = "run the cases of a document (metadata.plexus.cases), each as a run of the node",
     .usage = "NAME[:VERSION]",
     .text =
         "NAME as in `plexus flow run`. A case has a name, an input, and the output or the error\n"
         "that must come. Exit code: 0 all passed, 1 not.",
     .needs = CLI_NODE,
     .args_min = 1,
     .args_max = 1,
     .run = cli_flow_eval},
    {.name = "promote",
     .summary = "evaluate; what passed is signed with its evidence and published for good",
     .usage = "NAME[:VERSION]",
     .needs = CLI_NODE,
     .args_min = 1,
     .args_max = 1,
     .run = cli_flow_promote},
    {.name = "export",
     .summary = "document and history of a run in one file, for replay",
     .usage = "ID",
     .options = export_options,
     .needs = CLI_NODE,
     .args_min = 1,
     .args_max = 1,
     .complete = "flow",
     .run = cli_flow_export},
    {.name = "replay",
     .summary = "does this plexus decide as an exported history says? Needs no node",
     .usage = "FILE",
     .needs = CLI_NONE,
     .args_min = 1,
     .args_max = 1,
     .complete = "file",
     .run = cli_flow_replay},
    {.name = "prune",
     .summary = "remove runs that ended long ago",
     .usage = "",
     .options = prune_options,
     .needs = CLI_NODE,
     .run = cli_flow_prune},
    {.name = NULL},
};
static const char *const examples[] = {"plexus flow new hello",
                                       "a file to begin with",
                                       "plexus flow run hello.yaml",
                                       "run it",
                                       "plexus flow",
                                       "what runs",
                                       "plexus flow retry ID",
                                       "after the reason of a failure is mended",
                                       NULL};

const struct cli_command cli_flow_command = {
    .name = "flow",
    .summary = "durable flows: run, watch and mend them",
    .usage = "[COMMAND]",
    .text = "A flow is a file in the CNCF Serverless Workflow DSL; docs/FLOWS.md teaches it. What\n"
            "a run does is on the disk before it has an effect: it survives the node's end.",
    .examples = examples,
    .subs = subs,
    .needs = CLI_NODE,
    .run = ls,
};

static void put_query(struct cli *c, struct buf *target, const char *option)
{
    const char *value = cli_option(c, option);
    if (!value)
        return;
    (void)buf_fmt(target, "&%s=", option);
    (void)url_encode(target, bytes_of(value));
}

static void put_row(struct cli_table *t, const struct json *v)
{
    const char *status = json_cstr(json_get(v, "status"), "");
    const struct cli_flow_look *look = cli_flow_look(status);
    int64_t started = cli_flow_ms(json_get(v, "started")),
            ended = cli_flow_ms(json_get(v, "closed"));
    cli_cell(t, PAINT_NONE, "%s", json_cstr(json_get(v, "id"), ""));
    cli_cell(t, look->paint, "%s %s", look->glyph, status);
    cli_cell(t, PAINT_BOLD, "%s/%s", json_cstr(json_get(v, "namespace"), ""),
             json_cstr(json_get(v, "name"), ""));
    cli_cell(t, PAINT_DIM, "%s", json_cstr(json_get(v, "version"), ""));
    cli_cell(t, PAINT_NONE, "%s", cli_flow_clock(json_get(v, "started")).s);
    cli_cell(t, PAINT_NONE, "%s", cli_duration(started && ended ? ended - started : -1).s);
    cli_cell(t, PAINT_NONE, "%s", cli_flow_clock(json_get(v, "wake")).s);
    cli_cell(t, PAINT_DIM, "%s", json_cstr(json_get(v, "by"), ""));
    struct buf note;
    buf_init(&note, 4096);
    cli_flow_put_note(&note, json_get(v, "note"));
    cli_cell(t, PAINT_NONE, "%.200s", buf_cstr(&note));
    buf_fini(&note);
}

static void put_table(struct cli *c, const struct json *root)
{
    static const char *const columns[] = {"ID",    "STATUS", "FLOW", "VERSION", "STARTED (UTC)",
                                          ">TOOK", "WAKES",  "BY",   "NOTE",    NULL};
    struct json_iter it = {0};
    const struct json *v, *list = json_get(root, "flows");
    if (!json_len(list)) {
        (void)printf("no runs; `plexus flow new NAME` writes a flow, `plexus flow run FILE` runs "
                     "it\n");
        return;
    }
    struct cli_table *t = cli_table_new(c, columns);
    while (json_each(list, &it, NULL, &v))
        put_row(t, v);
    cli_table_end(t, stdout);
    if (json_bool(json_get(root, "more"), false))
        (void)printf("there are more: --after %s\n",
                     json_cstr(json_get(json_at(list, json_len(list) - 1), "id"), ""));
}

static int ls(struct cli *c, struct err *e)
{
    struct json_doc *doc = NULL;
    struct json_iter it = {0};
    const struct json *v;
    struct buf raw, target;
    uint64_t limit = 50;
    int rc = cli_option_u64(c, "limit", 1, 1000, &limit, e);
    if (rc)
        return rc;
    buf_init(&raw, CLI_ANSWER_MAX);
    buf_init(&target, 8192);
    (void)buf_fmt(&target, "/api/flows?limit=%llu", (unsigned long long)limit);
    put_query(c, &target, "status");
    put_query(c, &target, "name");
    put_query(c, &target, "namespace");
    put_query(c, &target, "after");
    rc = cli_request_json(c, "GET", buf_cstr(&target), BYTES_NONE, &doc, &raw, e);
    if (!rc && c->json)
        rc = cli_print(buf_bytes(&raw), stdout);
    else if (!rc && cli_option(c, "quiet"))
        while (json_each(json_get(json_root(doc), "flows"), &it, NULL, &v))
            (void)printf("%s\n", json_cstr(json_get(v, "id"), ""));
    else if (!rc)
        put_table(c, json_root(doc));
    json_free(doc);
    buf_fini(&raw);
    buf_fini(&target);
    return rc;
}
