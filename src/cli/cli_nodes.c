// cli_nodes.c: plexus nodes: the nodes of the mesh; rm, drain, undrain.
// SPDX-License-Identifier: Apache-2.0
#include "cli/cli_commands_priv.h"
#include "cli/cli_mesh_priv.h"
#include <string.h>

#define MODELS_SHOWN 3
#define LIST_BYTES_MAX 4096

static int ls(struct cli *c, struct err *e);
static int rm(struct cli *c, struct err *e);
static int change(struct cli *c, struct err *e);

static const struct cli_option ls_options[] = {
    {"watch", 'w', NULL, "go on, and show changes as they come, until q or Ctrl-C", NULL},
    {"quiet", 'q', NULL, "only the names", NULL},
    CLI_OPTIONS_END,
};
static const struct cli_command subs[] = {
    {.name = "ls",
     .summary = "all nodes with state, models and load",
     .usage = "",
     .options = ls_options,
     .needs = CLI_NODE,
     .run = ls},
    {.name = "rm",
     .summary = "remove a node from the mesh for good; its identity is refused in seconds",
     .usage = "NODE",
     .needs = CLI_NODE,
     .args_min = 1,
     .args_max = 1,
     .complete = "node",
     .run = rm},
    {.name = "drain",
     .summary = "give a node no new work; what runs there may finish",
     .usage = "NODE",
     .needs = CLI_NODE,
     .args_min = 1,
     .args_max = 1,
     .complete = "node",
     .run = change},
    {.name = "undrain",
     .summary = "give it work again",
     .usage = "NODE",
     .needs = CLI_NODE,
     .args_min = 1,
     .args_max = 1,
     .complete = "node",
     .run = change},
    {.name = NULL},
};
static const char *const examples[] = {"plexus nodes",
                                       "every node of the mesh",
                                       "plexus nodes --watch",
                                       "live",
                                       "plexus nodes drain gpu1",
                                       "before its machine is restarted",
                                       NULL};

const struct cli_command cli_nodes_command = {
    .name = "nodes",
    .summary = "the nodes of the mesh: list, watch, drain, remove",
    .usage = "[COMMAND]",
    .options = ls_options,
    .examples = examples,
    .subs = subs,
    .needs = CLI_NODE,
    .run = ls,
};

// ---- the table ----------------------------------------------------------------------------------

static const char *get(const struct json *v, const char *key)
{
    return json_cstr(json_get(v, key), "");
}

void cli_cell_list(struct cli_table *t, const struct json *list, const char *key)
{
    struct json_iter it = {0};
    const struct json *v;
    struct buf b;
    buf_init(&b, LIST_BYTES_MAX);
    while (json_each(list, &it, NULL, &v))
        (void)buf_fmt(&b, "%s%s", b.n ? "," : "", key ? get(v, key) : json_cstr(v, ""));
    cli_cell(t, PAINT_NONE, "%s", b.n ? buf_cstr(&b) : "-");
    buf_fini(&b);
}

// Those that are loaded first, since they answer at once; then how many more there are.
static void cell_models(struct cli_table *t, const struct json *models)
{
    size_t shown = 0;
    struct buf b;
    buf_init(&b, LIST_BYTES_MAX);
    for (int warm = 1; warm >= 0; warm--) {
        struct json_iter it = {0};
        const struct json *m;
        while (json_each(models, &it, NULL, &m)) {
            if ((strcmp(get(m, "state"), "WARM") == 0) != warm || shown == MODELS_SHOWN)
                continue;
            (void)buf_fmt(&b, "%s%s%s", shown ? "," : "", get(m, "name"), warm ? "*" : "");
            shown++;
        }
    }
    if (json_len(models) > shown)
        (void)buf_fmt(&b, " +%zu", json_len(models) - shown);
    cli_cell(t, PAINT_NONE, "%s", b.n ? buf_cstr(&b) : "-");
    buf_fini(&b);
}

static void cell_rtt(struct cli_table *t, const struct json *n)
{
    int64_t us = json_i64(json_get(n, "rtt_us"), 0);
    if (us <= 0 || json_bool(json_get(n, "self"), false))
        cli_cell(t, PAINT_DIM, "-");
    else if (us < 1000)
        cli_cell(t, PAINT_NONE, "%lld us", (long long)us);
    else
        cli_cell(t, PAINT_NONE, "%.1f ms", (double)us / 1000);
}

static void add_note(struct buf *note, bool is, const char *text)
{
    if (is)
        (void)buf_fmt(note, "%s%s", note->n ? ", " : "", text);
}

static void cell_note(struct cli_table *t, const struct json *mesh, const struct json *n)
{
    const char *name = get(n, "name");
    struct buf b;
    buf_init(&b, LIST_BYTES_MAX);
    add_note(&b, json_bool(json_get(n, "self"), false), "this node");
    add_note(&b, !strcmp(name, get(mesh, "authority")), "authority");
    add_note(&b, !strcmp(name, get(mesh, "standby")), "standby");
    add_note(&b, !strcmp(get(n, "profile"), "edge"), "edge");
    add_note(&b, json_bool(json_get(n, "draining"), false), "draining");
    add_note(&b, json_bool(json_get(n, "breaker_open"), false), "resting after failures");
    const char *environment = get(n, "environment");
    add_note(&b, *environment && strcmp(environment, get(mesh, "environment")) != 0,
             "other environment");
    cli_cell(t, PAINT_NONE, "%s", buf_cstr(&b));
    buf_fini(&b);
}

static void put_node(struct cli_table *t, const struct json *mesh, const struct json *n)
{
    const char *state = get(n, "state");
    bool self = json_bool(json_get(n, "self"), false);
    cli_cell(t, self ? PAINT_BOLD : PAINT_NONE, "%s", get(n, "name"));
    cli_cell(t, cli_state_paint(state), "%s", state);
    cli_cell(t, PAINT_NONE, "%s", get(n, "context"));
    cli_cell_list(t, json_get(n, "roles"), NULL);
    cell_models(t, json_get(n, "models"));
    cli_cell(t, PAINT_NONE, "%lld", (long long)json_i64(json_get(n, "active"), 0));
    cell_rtt(t, n);
    if (self)
        cli_cell(t, PAINT_DIM, "-");
    else
        cli_cell(t, PAINT_NONE, "%s", cli_duration(json_i64(json_get(n, "heard_ms"), -1)).s);
    cli_cell(t, PAINT_NONE, "%s", get(n, "version"));
    cli_cell(t, PAINT_NONE, "%s", json_cstr(json_at(json_get(n, "addresses"), 0), "-"));
    cell_note(t, mesh, n);
}

void cli_put_nodes(struct cli *c, const struct json *mesh, size_t columns_max, size_t rows_max,
                   struct buf *out)
{
    static const char *const columns[] = {"NODE",    "STATE",   "CONTEXT", "ROLES",
                                          "MODELS",  ">ACTIVE", ">RTT",    ">HEARD",
                                          "VERSION", "ADDRESS", "NOTE",    NULL};
    struct cli_table *t = cli_table_new(c, columns);
    struct json_iter it = {0};
    const struct json *n;
    while (rows_max-- && json_each(json_get(mesh, "nodes"), &it, NULL, &n))
        put_node(t, mesh, n);
    cli_table_put(t, columns_max, out);
}

size_t cli_nodes_in(const struct json *mesh, const char *state)
{
    struct json_iter it = {0};
    const struct json *n;
    size_t count = 0;
    while (json_each(json_get(mesh, "nodes"), &it, NULL, &n))
        count += strcmp(get(n, "state"), state) == 0;
    return count;
}

void cli_nodes_sum(struct buf *out, const struct json *mesh)
{
    static const char *const states[] = {"alive", "suspect", "dead", "left", "removed"};
    size_t all = json_len(json_get(mesh, "nodes"));
    (void)buf_fmt(out, "%zu node%s", all, all == 1 ? "" : "s");
    for (size_t i = 0, shown = 0; i < sizeof states / sizeof *states; i++) {
        size_t count = cli_nodes_in(mesh, states[i]);
        if (count)
            (void)buf_fmt(out, "%s%zu %s", shown++ ? ", " : ": ", count, states[i]);
    }
}

struct json_doc *cli_mesh_of_many(struct cli *c)
{
    struct json_doc *doc = NULL;
    struct buf raw;
    buf_init(&raw, CLI_ANSWER_MAX);
    (void)cli_request_json(c, "GET", "/api/mesh", BYTES_NONE, &doc, &raw, NULL);
    if (json_len(json_get(json_root(doc), "nodes")) < 2) {
        json_free(doc);
        doc = NULL;
    }
    buf_fini(&raw);
    return doc;
}

// ---- live ---------------------------------------------------------------------------------------

struct watch {
    struct cli *c;
    struct buf mesh; // its last JSON text
    bool written;    // something stands above
};

static bool watch_take(void *user, struct bytes event, const struct json *data)
{
    struct watch *w = user;
    const struct json *mesh = bytes_is(event, "state") ? json_get(data, "mesh") : data;
    if ((!bytes_is(event, "mesh") && !bytes_is(event, "state")) || !json_is(mesh, JSON_OBJ))
        return false;
    buf_clear(&w->mesh);
    return json_write(&w->mesh, mesh) == 0;
}

static void watch_draw(void *user, size_t columns, size_t rows, struct buf *out)
{
    struct watch *w = user;
    struct json_doc *doc = NULL;
    if (w->c->json) {
        (void)buf_put(out, buf_bytes(&w->mesh));
        (void)buf_chr(out, '\n');
    } else if (!json_parse(&doc, buf_bytes(&w->mesh), 0, NULL)) {
        if (w->written && rows == SIZE_MAX)
            (void)buf_chr(out, '\n');
        cli_put_nodes(w->c, json_root(doc), columns, rows == SIZE_MAX ? rows : rows - 1, out);
    }
    w->written = true;
    json_free(doc);
}

static int watch(struct cli *c, struct err *e)
{
    struct watch w = {.c = c};
    struct cli_view view = {watch_take, watch_draw, &w};
    buf_init(&w.mesh, CLI_ANSWER_MAX);
    int rc = cli_live(c, &view, e);
    buf_fini(&w.mesh);
    return rc;
}

// ---- commands -----------------------------------------------------------------------------------

static int ls(struct cli *c, struct err *e)
{
    struct json_doc *doc = NULL;
    struct json_iter it = {0};
    const struct json *n;
    struct buf raw, out;
    if (cli_option(c, "watch"))
        return watch(c, e);
    buf_init(&raw, CLI_ANSWER_MAX);
    buf_init(&out, CLI_ANSWER_MAX);
    int rc = cli_request_json(c, "GET", "/api/mesh", BYTES_NONE, &doc, &raw, e);
    const struct json *mesh = json_root(doc);
    if (!rc && c->json)
        rc = cli_print(buf_bytes(&raw), stdout);
    else if (!rc && cli_option(c, "quiet"))
        while (json_each(json_get(mesh, "nodes"), &it, NULL, &n))
            (void)printf("%s\n", get(n, "name"));
    else if (!rc) {
        cli_put_nodes(c, mesh, SIZE_MAX, SIZE_MAX, &out);
        (void)fwrite(out.p, 1, out.n, stdout);
        if (!json_bool(json_get(mesh, "joined"), false))
            (void)printf("\nthis node is in no mesh: `plexus mesh init` makes one\n");
    }
    json_free(doc);
    buf_fini(&raw);
    buf_fini(&out);
    return rc;
}

static int act(struct cli *c, const char *method, const char *action, const char *said,
               struct err *e)
{
    struct buf target, raw;
    buf_init(&target, 4096);
    buf_init(&raw, CLI_ANSWER_MAX);
    cli_mesh_target(&target, "nodes", cli_arg(c, 0), action);
    int rc = cli_mesh_call(c, method, buf_cstr(&target), NULL, NULL, &raw, e);
    if (!rc && c->json)
        rc = cli_print(raw.n ? buf_bytes(&raw) : BYTES("{}"), stdout);
    else if (!rc)
        (void)printf("%s %s\n", cli_arg(c, 0), said);
    buf_fini(&target);
    buf_fini(&raw);
    return rc;
}

static int rm(struct cli *c, struct err *e)
{
    return act(c, "DELETE", NULL, "is removed from the mesh", e);
}

static int change(struct cli *c, struct err *e)
{
    const char *action = c->path[c->depth - 1]->name;
    return act(c, "POST", action,
               *action == 'd' ? "gets no new work; `plexus nodes undrain` gives it work again"
                              : "gets work again",
               e);
}
