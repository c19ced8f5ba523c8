// cli_top_draw.c: the screen of plexus top as lines of text: pure.
// SPDX-License-Identifier: Apache-2.0
#include "cli/cli_mesh_priv.h"
#include "cli/cli_rows_priv.h"
#include <string.h>

#define BAR_COLUMNS 30
#define HEAD_ROWS 4 // above the tables

static const char *get(const struct json *v, const char *key)
{
    return json_cstr(json_get(v, key), "");
}

static long long whole(const struct json *v, const char *key)
{
    return json_i64(json_get(v, key), 0);
}

// ---- rates --------------------------------------------------------------------------------------

static bool same(const struct json *a, const struct json *b, const char *const *keys)
{
    for (; *keys; keys++)
        if (strcmp(get(a, *keys), get(b, *keys)) != 0)
            return false;
    return true;
}

// How many requests a second a row of this list has had since the older picture; -1: not known.
static double rate(const struct top *t, const char *list, const struct json *row,
                   const char *const *keys)
{
    struct json_iter it = {0};
    const struct json *was;
    double seconds = (double)(t->mesh_ms - t->old_ms) / 1000;
    if (!t->old || seconds <= 0)
        return -1;
    while (json_each(json_get(json_root(t->old), list), &it, NULL, &was))
        if (same(was, row, keys)) {
            double more = (double)(whole(row, "requests") - whole(was, "requests"));
            return more > 0 ? more / seconds : 0;
        }
    return -1;
}

static void cell_rate(struct cli_table *t, double rate)
{
    if (rate < 0)
        cli_cell(t, PAINT_DIM, "-");
    else
        cli_cell(t, PAINT_NONE, "%.1f", rate);
}

// ---- head ---------------------------------------------------------------------------------------

static void put_line(struct buf *out, size_t columns, struct buf *line)
{
    (void)buf_put(out, bytes_first(buf_bytes(line), columns));
    (void)buf_chr(out, '\n');
    buf_clear(line);
}

static void put_bar(struct buf *out, uint64_t used, uint64_t budget)
{
    size_t full = budget ? (size_t)((double)used * BAR_COLUMNS / (double)budget + 0.5) : 0;
    (void)buf_str(out, "  [");
    for (size_t i = 0; i < BAR_COLUMNS; i++)
        (void)buf_chr(out, i < full ? '#' : '.');
    (void)buf_str(out, "]");
}

static void put_head(const struct top *t, size_t columns, struct buf *out)
{
    const struct json *state = json_root(t->state), *stat = json_root(t->stat);
    const struct json *node = json_get(state, "node"), *mesh = json_root(t->mesh);
    const struct json *figures = stat ? stat : state;
    const struct json *totals = json_get(figures, "totals"), *memory = json_get(figures, "memory");
    uint64_t used = (uint64_t)whole(memory, "used_bytes");
    uint64_t budget = (uint64_t)whole(memory, "budget_bytes");
    bool joined = json_bool(json_get(mesh, "joined"), false);
    struct buf line;
    buf_init(&line, 8192);
    (void)buf_fmt(&line, "%s  %s  plexus %s  %s", get(node, "name"), get(node, "context"),
                  get(node, "version"),
                  json_bool(json_get(node, "draining"), false) ? "draining"
                  : json_bool(json_get(node, "ready"), false)  ? "ready"
                                                               : "starting");
    if (joined) {
        (void)buf_fmt(&line, "  mesh %s, ", get(mesh, "trust_domain"));
        cli_nodes_sum(&line, mesh);
    }
    put_line(out, columns, &line);
    long long errors = whole(totals, "errors"), connections = whole(totals, "connections");
    (void)buf_fmt(&line, "requests %.1f/s, %lld in all, %lld error%s  tokens %lld in, %lld out  ",
                  json_num(json_get(totals, "requests_per_s"), 0), whole(totals, "requests"),
                  errors, errors == 1 ? "" : "s", whole(totals, "tokens_in"),
                  whole(totals, "tokens_out"));
    (void)buf_fmt(&line, "%lld connection%s", connections, connections == 1 ? "" : "s");
    put_line(out, columns, &line);
    (void)buf_fmt(&line, "memory for models %s", cli_size(used).s);
    if (budget) {
        (void)buf_fmt(&line, " of %s", cli_size(budget).s);
        put_bar(&line, used, budget);
    }
    put_line(out, columns, &line);
    put_line(out, columns, &line);
    buf_fini(&line);
}

// ---- tables -------------------------------------------------------------------------------------

static struct cli_table *nodes_table(const struct top *t, size_t rows)
{
    static const char *const columns[] = {"NODE",    "STATE",  ">ACTIVE", ">WAITING",
                                          ">SENT",   ">REQ/S", ">RTT",    ">MEM FREE",
                                          "CONTEXT", "NOTE",   NULL};
    static const char *const keys[] = {"name", NULL};
    struct cli_table *table = cli_table_new(t->c, columns);
    struct json_iter it = {0};
    const struct json *n;
    while (rows-- && json_each(json_get(json_root(t->mesh), "nodes"), &it, NULL, &n)) {
        bool self = json_bool(json_get(n, "self"), false);
        bool draining = json_bool(json_get(n, "draining"), false);
        const char *state = get(n, "state");
        cli_cell(table, self ? PAINT_BOLD : PAINT_NONE, "%s", get(n, "name"));
        cli_cell(table, cli_state_paint(state), "%s", state);
        cli_cell(table, PAINT_NONE, "%lld", whole(n, "active"));
        cli_cell(table, PAINT_NONE, "%lld", whole(n, "waiting"));
        cli_cell(table, PAINT_NONE, "%lld", whole(n, "in_flight"));
        cell_rate(table, rate(t, "nodes", n, keys));
        if (self || whole(n, "rtt_us") <= 0)
            cli_cell(table, PAINT_DIM, "-");
        else
            cli_cell(table, PAINT_NONE, "%.2f ms", (double)whole(n, "rtt_us") / 1000);
        cli_cell(table, PAINT_NONE, "%s", cli_size((uint64_t)whole(n, "memory_free")).s);
        cli_cell(table, PAINT_DIM, "%s", get(n, "context"));
        cli_cell(table, PAINT_NONE, "%s%s%s", self ? "this node" : "", self && draining ? ", " : "",
                 draining ? "draining" : "");
    }
    return table;
}

static void put_models_of(struct cli_table *table, const struct json *n, size_t *rows)
{
    struct json_iter it = {0};
    const struct json *m;
    while (*rows && json_each(json_get(n, "models"), &it, NULL, &m)) {
        const char *state = get(m, "state");
        cli_cell(table, PAINT_NONE, "%s", get(m, "name"));
        cli_cell(table, PAINT_NONE, "%s", get(n, "name"));
        cli_cell(table, PAINT_NONE, "%s", get(m, "kind"));
        cli_cell(table, cli_state_paint(state), "%s", state);
        cli_cell(table, PAINT_NONE, "%lld", whole(m, "active"));
        cli_cell(table, PAINT_NONE, "%lld", whole(m, "waiting"));
        cli_cell(table, PAINT_NONE, "%s", "");
        --*rows;
    }
}

// The models of this node by their own events (they know more), those of the others by the mesh.
static struct cli_table *models_table(const struct top *t, size_t rows)
{
    static const char *const columns[] = {"MODEL",   "NODE",     "KIND", "STATE",
                                          ">ACTIVE", ">WAITING", "NOTE", NULL};
    struct cli_table *table = cli_table_new(t->c, columns);
    struct json_iter it = {0};
    const struct json *n;
    for (size_t i = 0; i < t->model_count && rows; i++, rows--) {
        const struct json *m = json_root(t->models[i].doc);
        bool remote = json_bool(json_get(m, "remote"), false);
        const char *state = remote ? "REMOTE" : get(m, "state");
        struct buf note;
        buf_init(&note, 4096);
        cli_model_note(&note, m);
        cli_cell(table, PAINT_NONE, "%s", get(m, "name"));
        cli_cell(table, PAINT_BOLD, "%s", get(json_get(json_root(t->state), "node"), "name"));
        cli_cell(table, PAINT_NONE, "%s", get(m, "kind"));
        cli_cell(table, remote ? PAINT_CYAN : cli_state_paint(state), "%s", state);
        cli_cell(table, PAINT_NONE, "%lld", whole(m, "active"));
        cli_cell(table, PAINT_NONE, "%lld", whole(m, "waiting"));
        cli_cell(table, PAINT_NONE, "%s", buf_cstr(&note));
        buf_fini(&note);
    }
    while (rows && json_each(json_get(json_root(t->mesh), "nodes"), &it, NULL, &n))
        if (!json_bool(json_get(n, "self"), false) && !strcmp(get(n, "state"), "alive"))
            put_models_of(table, n, &rows);
    return table;
}

static struct cli_table *traffic_table(const struct top *t, size_t rows)
{
    static const char *const columns[] = {"FROM",   "TO",     "MODEL",  ">ACTIVE",
                                          ">REQ/S", ">TOTAL", "DOMAIN", NULL};
    static const char *const keys[] = {"from", "to", "model", NULL};
    struct cli_table *table = cli_table_new(t->c, columns);
    struct json_iter it = {0};
    const struct json *x;
    while (rows-- && json_each(json_get(json_root(t->mesh), "traffic"), &it, NULL, &x)) {
        cli_cell(table, PAINT_NONE, "%s", get(x, "from"));
        cli_cell(table, PAINT_NONE, "%s", get(x, "to"));
        cli_cell(table, PAINT_NONE, "%s", get(x, "model"));
        cli_cell(table, PAINT_NONE, "%lld", whole(x, "active"));
        cell_rate(table, rate(t, "traffic", x, keys));
        cli_cell(table, PAINT_NONE, "%lld", whole(x, "requests"));
        cli_cell(table, PAINT_DIM, "%s", get(x, "domain"));
    }
    return table;
}

static struct cli_table *requests_table(const struct top *t, size_t rows)
{
    static const char *const columns[] = {"REQUEST", "MODEL",  "STATE", ">AGE",
                                          ">TOKENS", ">TOK/S", "KEY",   NULL};
    struct cli_table *table = cli_table_new(t->c, columns);
    for (size_t i = 0; i < t->request_count && i < rows; i++) {
        const struct json *r = json_root(t->requests[i].doc);
        const char *state = get(r, "state");
        cli_cell(table, PAINT_NONE, "%.12s", get(r, "id"));
        cli_cell(table, PAINT_NONE, "%s", get(r, "model"));
        cli_cell(table, cli_state_paint(state), "%s", state);
        cli_cell(table, PAINT_NONE, "%s", cli_duration(whole(r, "age_ms")).s);
        cli_cell(table, PAINT_NONE, "%lld", whole(r, "tokens"));
        cli_cell(table, PAINT_NONE, "%.1f", json_num(json_get(r, "tokens_per_s"), 0));
        cli_cell(table, PAINT_NONE, "%s", get(r, "key"));
    }
    return table;
}

// Rows of the terminal are shared: nodes, models, traffic and requests get what they need as far as
// a fair part of what is left allows.
void cli_top_draw(const struct top *t, size_t columns, size_t rows, struct buf *out)
{
    typedef struct cli_table *(*table_fn)(const struct top *t, size_t rows);
    static const table_fn make[] = {nodes_table, models_table, traffic_table, requests_table};
    const struct json *mesh = json_root(t->mesh);
    bool joined = json_bool(json_get(mesh, "joined"), false);
    size_t models = t->model_count;
    struct json_iter it = {0};
    const struct json *n;
    while (json_each(json_get(mesh, "nodes"), &it, NULL, &n))
        models += json_bool(json_get(n, "self"), false) ? 0 : json_len(json_get(n, "models"));
    const size_t wants[] = {joined ? json_len(json_get(mesh, "nodes")) : 0, models,
                            json_len(json_get(mesh, "traffic")), t->request_count};
    size_t left = rows > HEAD_ROWS ? rows - HEAD_ROWS : 0, tables = 0;
    for (size_t i = 0; i < 4; i++)
        tables += wants[i] > 0;
    put_head(t, columns, out);
    for (size_t i = 0; i < 4; i++) {
        if (!wants[i] || left < 3) // heading, a row, an empty line
            continue;
        size_t part = left / tables > 3 ? left / tables : 3;
        size_t shown = wants[i] < part - 2 ? wants[i] : part - 2;
        if (i)
            (void)buf_chr(out, '\n');
        cli_table_put(make[i](t, shown), columns, out);
        left -= shown + 2;
        tables--;
    }
}
