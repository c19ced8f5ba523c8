// cli_tool.c: plexus tool: the table of its commands, the list, and one tool.
// SPDX-License-Identifier: Apache-2.0
#include "cli/cli_tool_priv.h"

#include "text/url.h"

#include <string.h>

static int ls(struct cli *c, struct err *e);
static int show(struct cli *c, struct err *e);

#define NAMED(word, what, how)                                                                     \
    {.name = (word),                                                                               \
     .summary = (what),                                                                            \
     .usage = "NAME",                                                                              \
     .needs = CLI_NODE,                                                                            \
     .args_min = 1,                                                                                \
     .args_max = 1,                                                                                \
     .complete = "tool",                                                                           \
     .run = (how)}

static const struct cli_option ls_options[] = {
    {"quiet", 'q', NULL, "only the names", NULL},
    {"source", 's', "SOURCE", "only those of this source, as the list names it", NULL},
    CLI_OPTIONS_END,
};
static const struct cli_option call_options[] = {
    {"input", 'i', "INPUT", "the arguments: JSON or YAML, @FILE, or - for standard input", NULL},
    {"timeout", 't', "TIME", "how long it may take", NULL},
    {"label", 'l', "LABEL", "of the arguments", NULL},
    {"yes", 'y', NULL, "call it this once though nobody granted it", NULL},
    CLI_OPTIONS_END,
};
static const struct cli_option add_options[] = {
    {"as", 0, "NAME", "what it is called here; default: its own name", NULL},
    CLI_OPTIONS_END,
};
static const struct cli_option grant_options[] = {
    {"reason", 'r', "TEXT", "why; it is kept with the grant", NULL},
    {"yes", 'y', NULL, "do not ask", NULL},
    CLI_OPTIONS_END,
};
static const struct cli_option new_options[] = {
    {"lang", 'l', "LANGUAGE", "c, rust or ts (AssemblyScript); default c", "c|rust|ts"},
    {"namespace", 0, "NAME", "the part of its URN before the name; default local", NULL},
    {"out", 'o', "DIR", "where; default: a folder of its name", "dir"},
    CLI_OPTIONS_END,
};
static const struct cli_option build_options[] = {
    {"key", 'k', "FILE",
     "the publisher's key, made when it is not there; default "
     "~/.config/plexus/publisher.key",
     "file"},
    {"publisher", 'p', "NAME", "name beside the key, for people", NULL},
    {"out", 'o', "FILE", "the package; default DIR/NAME-vN.cap", "file"},
    {"no-run", 0, NULL, "do not compile; the code is there", NULL},
    CLI_OPTIONS_END,
};

static const struct cli_command subs[] = {
    {.name = "ls",
     .summary = "what can be called on this node",
     .usage = "",
     .options = ls_options,
     .needs = CLI_NODE,
     .run = ls},
    NAMED("show", "one tool: what it does, what it may do, what it takes and gives", show),
    {.name = "servers",
     .summary = "external MCP servers: how they do, and where to log in",
     .usage = "",
     .needs = CLI_NODE,
     .run = cli_tool_servers},
    {.name = "call",
     .summary = "call a tool",
     .usage = "NAME [INPUT]",
     .text =
         "Prints the answer on standard output. Exit code: 1 when the tool itself says that it\n"
         "failed.",
     .options = call_options,
     .needs = CLI_NODE,
     .args_min = 1,
     .args_max = 2,
     .complete = "tool",
     .run = cli_tool_call},
    {.name = "new",
     .summary = "a project of a capability to begin with; needs no node",
     .usage = "NAME",
     .options = new_options,
     .needs = CLI_NONE,
     .args_min = 1,
     .args_max = 1,
     .run = cli_tool_new},
    {.name = "build",
     .summary = "compile a project, sign it and pack it; needs no node",
     .usage = "[DIR]",
     .options = build_options,
     .needs = CLI_NONE,
     .args_min = 0,
     .args_max = 1,
     .complete = "dir",
     .run = cli_tool_build},
    {.name = "add",
     .summary = "put a capability on the node: a package, its address, or a URN from the registry",
     .usage = "FILE|URL|URN",
     .options = add_options,
     .needs = CLI_NODE,
     .args_min = 1,
     .args_max = 1,
     .complete = "file",
     .run = cli_tool_add},
    {.name = "grant",
     .summary = "allow what a tool asks for, after it was shown in plain words",
     .usage = "NAME [PERMISSION...]",
     .text = "Permissions: host:NAME, dir:GUEST=FOLDER, config:NAME=VALUE,\n"
             "secret:NAME=env:VARIABLE or secret:NAME=file:PATH (of the node's machine). Without\n"
             "any: all hosts that it asks for. New code, or a new permission, must be granted\n"
             "again.",
     .options = grant_options,
     .needs = CLI_NODE,
     .args_min = 1,
     .args_max = -1,
     .complete = "tool",
     .run = cli_tool_grant},
    NAMED("revoke", "take back what was granted", cli_tool_revoke),
    NAMED("rm", "remove a capability from the node", cli_tool_rm),
    NAMED("eval", "run the cases in a capability's manifest", cli_tool_eval),
    NAMED("publish", "give a capability to the registry", cli_tool_publish),
    NAMED("promote", "evaluate; what passed is signed with its evidence and published for good",
          cli_tool_promote),
    {.name = NULL},
};
static const char *const examples[] = {"plexus tool new word-count",
                                       "a project in C",
                                       "plexus tool build word-count",
                                       "compile and sign it: word-count-v1.cap",
                                       "plexus tool add word-count/word-count-v1.cap",
                                       "put it on the node",
                                       "plexus tool call word-count '{\"text\":\"good morning\"}'",
                                       "call it",
                                       NULL};

const struct cli_command cli_tool_command = {
    .name = "tool",
    .summary = "what models and clients can call: list, call, make, grant, share",
    .usage = "[COMMAND]",
    .text = "Capabilities are WebAssembly that nobody needs to trust: each runs in an enclave and\n"
            "may do what a person granted. docs/TOOLS.md teaches them.",
    .options = ls_options,
    .examples = examples,
    .subs = subs,
    .needs = CLI_NODE,
    .run = ls,
};

int cli_tool_target(struct buf *out, const char *name, const char *action, struct err *e)
{
    (void)buf_str(out, "/api/tools");
    if (name) {
        (void)buf_chr(out, '/');
        (void)url_encode(out, bytes_of(name));
    }
    if (action)
        (void)buf_fmt(out, "/%s", action);
    if (name && !*name)
        return err_set(e, E_USAGE, "NAME is empty");
    return out->failed ? err_set(e, E_USAGE, "the name is too long") : 0;
}

void cli_tool_put_words(struct buf *out, const struct json *permissions)
{
    struct json_iter it = {0};
    const struct json *one;
    while (json_each(permissions, &it, NULL, &one)) {
        (void)buf_str(out, "  - ");
        cli_put_safe(out, json_str(one));
        (void)buf_chr(out, '\n');
    }
}

// ---- ls -----------------------------------------------------------------------------------------

static void put_effects(struct buf *out, const struct json *effects)
{
    struct json_iter it = {0};
    const struct json *one;
    while (json_each(effects, &it, NULL, &one)) {
        if (bytes_is(json_str(one), "idempotent"))
            continue;
        (void)buf_fmt(out, "%s", out->n ? ", " : "");
        cli_put_safe(out, json_str(one));
    }
    if (!out->n)
        (void)buf_str(out, "computes");
}

// The first sentence, for a line.
static struct bytes line(const struct json *tool)
{
    struct bytes title = json_str(json_get(tool, "title")),
                 text = title.n ? title : json_str(json_get(tool, "description"));
    return bytes_first(bytes_cut(&text, '\n'), 120);
}

static void put_row(struct cli_table *t, const struct json *tool)
{
    struct buf effects, text;
    bool granted = json_bool(json_get(tool, "granted"), false);
    buf_init(&effects, 256);
    buf_init(&text, 1024);
    put_effects(&effects, json_get(tool, "effects"));
    cli_put_safe(&text, line(tool));
    cli_cell(t, PAINT_BOLD, "%s", json_cstr(json_get(tool, "name"), "?"));
    cli_cell(t, PAINT_NONE, "%s", json_cstr(json_get(tool, "source"), "-"));
    cli_cell(t, granted ? PAINT_GREEN : PAINT_YELLOW, "%s", granted ? "granted" : "asks");
    cli_cell(t, PAINT_NONE, "%s", buf_cstr(&effects));
    cli_cell(t, PAINT_NONE, "%lld", (long long)json_i64(json_get(tool, "calls"), 0));
    cli_cell(t, PAINT_DIM, "%s", buf_cstr(&text));
    buf_fini(&effects);
    buf_fini(&text);
}

static int ls(struct cli *c, struct err *e)
{
    static const char *const columns[] = {"TOOL",   "SOURCE", "GRANT", "EFFECTS",
                                          ">CALLS", "WHAT",   NULL};
    struct json_doc *doc = NULL;
    struct json_iter it = {0};
    const struct json *tool;
    const char *source = cli_option(c, "source");
    bool quiet = cli_option(c, "quiet") != NULL;
    struct buf raw;
    buf_init(&raw, CLI_ANSWER_MAX);
    int rc = cli_request_json(c, "GET", "/api/tools", BYTES_NONE, &doc, &raw, e);
    const struct json *list = json_get(json_root(doc), "tools");
    if (!rc && c->json && !source && !quiet) {
        rc = cli_print(buf_bytes(&raw), stdout);
    } else if (!rc && !json_len(list) && !quiet) {
        (void)printf("nothing can be called here; `plexus tool new NAME` begins a capability\n");
    } else if (!rc) {
        struct cli_table *t = quiet ? NULL : cli_table_new(c, columns);
        while (json_each(list, &it, NULL, &tool)) {
            if (source && !bytes_is(json_str(json_get(tool, "source")), source))
                continue;
            if (quiet)
                (void)printf("%s\n", json_cstr(json_get(tool, "name"), ""));
            else
                put_row(t, tool);
        }
        if (t)
            cli_table_end(t, stdout);
    }
    json_free(doc);
    buf_fini(&raw);
    return rc;
}

// ---- show ---------------------------------------------------------------------------------------

static void put_line(struct cli *c, struct buf *out, const char *key, const struct json *v)
{
    if (!json_str(v).n)
        return;
    char name[32];
    (void)snprintf(name, sizeof name, "%-12s", key);
    cli_paint_add(c, PAINT_DIM, name, out);
    (void)buf_chr(out, ' ');
    cli_put_safe(out, json_str(v));
    (void)buf_chr(out, '\n');
}

static void put_schema(struct cli *c, struct buf *out, const char *what, const struct json *schema)
{
    if (!json_is(schema, JSON_OBJ))
        return;
    (void)buf_chr(out, '\n');
    cli_paint_add(c, PAINT_BOLD, what, out);
    (void)buf_chr(out, '\n');
    (void)cli_pretty(out, schema);
    (void)buf_chr(out, '\n');
}

static void put_tool(struct cli *c, struct buf *out, const struct json *v)
{
    static const struct {
        const char *key, *place;
    } lines[] = {{"title", "/title"},
                 {"source", "/source"},
                 {"URN", "/urn"},
                 {"label", "/label"},
                 {"SHA-256", "/manifest/code/sha256"},
                 {"publisher", "/manifest/publisher/name"},
                 {"signed by", "/manifest/publisher/key"}};
    bool granted = json_bool(json_get(v, "granted"), false);
    cli_paint_add(c, PAINT_BOLD, json_cstr(json_get(v, "name"), "?"), out);
    (void)buf_str(out, ": ");
    cli_put_safe(out, json_str(json_get(v, "description")));
    (void)buf_str(out, "\n\n");
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        put_line(c, out, lines[i].key, json_ptr(v, bytes_of(lines[i].place)));
    if (json_get(v, "manifest") && !json_ptr(v, BYTES("/manifest/signature")))
        (void)buf_str(out, "signed by    nobody\n");
    (void)buf_str(out, "\nWhat it may do:\n");
    cli_tool_put_words(out, json_get(v, "permissions"));
    if (!json_len(json_get(v, "permissions")))
        (void)buf_str(out, "  - (its source does not say)\n");
    cli_paint_add(c, granted ? PAINT_GREEN : PAINT_YELLOW,
                  granted ? "It is granted.\n" : "It is not granted.\n", out);
    if (json_get(v, "refused"))
        put_line(c, out, "why not", json_get(v, "refused"));
    put_schema(c, out, "Input", json_get(v, "input"));
    put_schema(c, out, "Output", json_get(v, "output"));
}

static int show(struct cli *c, struct err *e)
{
    struct json_doc *doc = NULL;
    struct buf raw, target, out;
    buf_init(&raw, CLI_ANSWER_MAX);
    buf_init(&target, 4096);
    buf_init(&out, CLI_ANSWER_MAX);
    int rc = cli_tool_target(&target, cli_arg(c, 0), NULL, e);
    if (!rc)
        rc = cli_request_json(c, "GET", buf_cstr(&target), BYTES_NONE, &doc, &raw, e);
    if (!rc && !c->json)
        put_tool(c, &out, json_root(doc));
    if (!rc)
        rc = cli_print(c->json ? buf_bytes(&raw) : buf_bytes(&out), stdout);
    json_free(doc);
    buf_fini(&raw);
    buf_fini(&target);
    buf_fini(&out);
    return rc;
}
