// cli_ps.c: plexus ps: the node at a glance.
// SPDX-License-Identifier: Apache-2.0
#include "cli/cli_commands_priv.h"
#include "cli/cli_mesh_priv.h"
#include "cli/cli_rows_priv.h"

static int ps(struct cli *c, struct err *e);

static const struct cli_option options[] = {
    {"all", 'a', NULL, "also models that are not loaded", NULL},
    CLI_OPTIONS_END,
};

const struct cli_command cli_ps_command = {
    .name = "ps",
    .summary = "the node, its loaded models and running requests",
    .usage = "",
    .options = options,
    .needs = CLI_NODE,
    .run = ps,
};

static void put_node(struct cli *c, const struct json *state)
{
    const struct json *node = json_get(state, "node"), *memory = json_get(state, "memory");
    uint64_t used = (uint64_t)json_i64(json_get(memory, "used_bytes"), 0);
    uint64_t budget = (uint64_t)json_i64(json_get(memory, "budget_bytes"), 0);
    bool draining = json_bool(json_get(node, "draining"), false);
    bool ready = json_bool(json_get(node, "ready"), false);
    cli_paint_put(c, PAINT_BOLD, json_cstr(json_get(node, "name"), "node"), stdout);
    (void)printf("  %s  %s  ", json_cstr(json_get(node, "context"), ""),
                 json_cstr(json_get(node, "address"), ""));
    cli_paint_put(c, draining ? PAINT_YELLOW : PAINT_GREEN,
                  draining ? "draining"
                  : ready  ? "ready"
                           : "starting",
                  stdout);
    (void)printf(", up %s, pid %lld\n", cli_duration(json_i64(json_get(node, "uptime_ms"), -1)).s,
                 (long long)json_i64(json_get(node, "pid"), -1));
    (void)printf("memory for models: %s", cli_size(used).s);
    if (budget)
        (void)printf(" of %s (%d %%)", cli_size(budget).s,
                     (int)((double)used * 100 / (double)budget));
    (void)printf("\n\n");
}

static void put_requests(struct cli *c, const struct json *requests)
{
    static const char *const columns[] = {"REQUEST", "MODEL", "STATE", ">AGE", ">TOKENS",
                                          ">TOK/S",  "KEY",   "PATH",  NULL};
    struct json_iter it = {0};
    const struct json *r;
    if (!json_len(requests))
        return;
    (void)printf("\n");
    struct cli_table *t = cli_table_new(c, columns);
    while (json_each(requests, &it, NULL, &r)) {
        const char *state = json_cstr(json_get(r, "state"), "");
        cli_cell(t, PAINT_NONE, "%.12s", json_cstr(json_get(r, "id"), ""));
        cli_cell(t, PAINT_NONE, "%s", json_cstr(json_get(r, "model"), ""));
        cli_cell(t, cli_state_paint(state), "%s", state);
        cli_cell(t, PAINT_NONE, "%s", cli_duration(json_i64(json_get(r, "age_ms"), -1)).s);
        cli_cell(t, PAINT_NONE, "%lld", (long long)json_i64(json_get(r, "tokens"), 0));
        cli_cell(t, PAINT_NONE, "%.1f", json_num(json_get(r, "tokens_per_s"), 0));
        cli_cell(t, PAINT_NONE, "%s", json_cstr(json_get(r, "key"), ""));
        cli_cell(t, PAINT_NONE, "%s", json_cstr(json_get(r, "path"), ""));
    }
    cli_table_end(t, stdout);
}

static int ps(struct cli *c, struct err *e)
{
    struct json_doc *doc = NULL;
    struct buf raw;
    buf_init(&raw, CLI_ANSWER_MAX);
    int rc = cli_request_json(c, "GET", "/api/state", BYTES_NONE, &doc, &raw, e);
    if (!rc && c->json) {
        rc = cli_print(buf_bytes(&raw), stdout);
    } else if (!rc) {
        const struct json *state = json_root(doc);
        struct json_doc *mesh = cli_mesh_of_many(c);
        put_node(c, state);
        cli_put_models(c, json_get(state, "models"), cli_option(c, "all") != NULL, json_root(mesh));
        put_requests(c, json_get(state, "requests"));
        json_free(mesh);
    }
    json_free(doc);
    buf_fini(&raw);
    return rc;
}
