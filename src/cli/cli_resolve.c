// cli_resolve.c: plexus resolve NAME: where a model, service or queue is, and how it was found.
// SPDX-License-Identifier: Apache-2.0
#include "cli/cli_commands_priv.h"
#include "text/url.h"
#include <string.h>

static int resolve(struct cli *c, struct err *e);

static const struct cli_option options[] = {
    {"kind", 'k', "KIND", "only this kind of thing",
     "model|engine|service|queue|node|chat|completion|embedding"},
    {"explain", 'x', NULL, "each step, what it looked at and what it found", NULL},
    CLI_OPTIONS_END,
};
static const char *const examples[] = {"plexus resolve tiny-chat", "which nodes have this model",
                                       "plexus resolve jobs --kind queue --explain",
                                       "and why they were chosen", NULL};

const struct cli_command cli_resolve_command = {
    .name = "resolve",
    .summary = "where a model, service or queue of the mesh is",
    .usage = "NAME",
    .text =
        "The order is registry.local.hostname, registry.context.cluster, registry.type.default: "
        "first\nwhat is on this node, then what is in its context, then any of that kind.",
    .options = options,
    .examples = examples,
    .needs = CLI_NODE,
    .args_min = 1,
    .args_max = 1,
    .complete = "model",
    .run = resolve,
};

static void put_steps(struct cli *c, const struct json *steps)
{
    static const char *const columns[] = {"STEP", "LOOKED AT", "RESULT", NULL};
    struct cli_table *t = cli_table_new(c, columns);
    struct json_iter it = {0};
    const struct json *s;
    while (json_each(steps, &it, NULL, &s)) {
        cli_cell(t, PAINT_NONE, "%s", json_cstr(json_get(s, "step"), ""));
        cli_cell(t, PAINT_NONE, "%s", json_cstr(json_get(s, "looked"), ""));
        cli_cell(t, PAINT_NONE, "%s", json_cstr(json_get(s, "result"), ""));
    }
    cli_table_end(t, stdout);
    (void)printf("\n");
}

static void put_found(struct cli *c, const struct json *found)
{
    static const char *const columns[] = {"NODE", "KIND", "ADDRESS", "FOUND BY", NULL};
    struct cli_table *t = cli_table_new(c, columns);
    struct json_iter it = {0};
    const struct json *f;
    while (json_each(found, &it, NULL, &f)) {
        cli_cell(t, PAINT_NONE, "%s", json_cstr(json_get(f, "node"), ""));
        cli_cell(t, PAINT_NONE, "%s", json_cstr(json_get(f, "kind"), ""));
        cli_cell(t, PAINT_NONE, "%s", json_cstr(json_get(f, "address"), "-"));
        cli_cell(t, PAINT_DIM, "%s", json_cstr(json_get(f, "step"), ""));
    }
    cli_table_end(t, stdout);
}

static int resolve(struct cli *c, struct err *e)
{
    struct json_doc *doc = NULL;
    struct buf target, raw;
    buf_init(&target, 8192);
    buf_init(&raw, CLI_ANSWER_MAX);
    (void)buf_str(&target, "/api/resolve?name=");
    (void)url_encode(&target, bytes_of(cli_arg(c, 0)));
    if (cli_option(c, "kind")) {
        (void)buf_str(&target, "&kind=");
        (void)url_encode(&target, bytes_of(cli_option(c, "kind")));
    }
    int rc = target.failed
                 ? err_set(e, E_USAGE, "the name is too long")
                 : cli_request_json(c, "GET", buf_cstr(&target), BYTES_NONE, &doc, &raw, e);
    const struct json *found = json_get(json_root(doc), "found");
    if (!rc && c->json)
        rc = cli_print(buf_bytes(&raw), stdout);
    else if (!rc && cli_option(c, "explain"))
        put_steps(c, json_get(json_root(doc), "steps"));
    if (!rc && !json_len(found))
        rc = err_set(e, E_NOTFOUND, "nobody has %s%s%s", cli_arg(c, 0),
                     cli_option(c, "kind") ? " of kind " : "",
                     cli_option(c, "kind") ? cli_option(c, "kind") : "");
    else if (!rc && !c->json)
        put_found(c, found);
    json_free(doc);
    buf_fini(&target);
    buf_fini(&raw);
    return rc;
}
