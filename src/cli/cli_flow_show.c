// cli_flow_show.c: plexus flow show and history: one run as a tree of tasks, and entry by entry.
// SPDX-License-Identifier: Apache-2.0
#include "cli/cli_flow_priv.h"
#include <string.h>

#define NOTE_COLUMNS 90
#define DEPTH_MAX 40

// ---- the tree -----------------------------------------------------------------------------------

struct tree {
    const struct json *graph, *tasks; // lists of the plan's tasks and of what happened to them
    struct cli_table *table;
};

static const struct json *state_of(const struct tree *t, struct bytes pointer)
{
    struct json_iter it = {0};
    const struct json *v, *found = NULL;
    while (json_each(t->tasks, &it, NULL, &v))
        if (bytes_eq(json_str(json_get(v, "task")), pointer))
            found = v; // the last one: of the newest iteration
    return found;
}

// Without a parent there are the flow's own tasks (parent "/do"), and functions and the like
// ("/use").
static bool is_child(const struct json *v, struct bytes parent)
{
    struct bytes mine = json_str(json_get(v, "parent"));
    if (!mine.n)
        return bytes_eq(bytes_first(json_str(json_get(v, "pointer")), parent.n), parent) &&
               (bytes_is(parent, "/do") || bytes_is(parent, "/use"));
    return bytes_eq(mine, parent);
}

static void add_note(struct buf *note, const char *fmt, const struct json *v)
{
    if (v && !json_is(v, JSON_NULL))
        (void)buf_fmt(note, fmt, note->n ? ", " : "", (long long)json_i64(v, 0));
}

static void cell_note(struct tree *t, const struct json *s, const char *state)
{
    const struct json *error = json_get(s, "error"), *due = json_get(s, "due");
    struct buf note;
    buf_init(&note, 64 << 10);
    if (json_is(error, JSON_OBJ))
        cli_flow_put_problem(&note, error);
    else if (json_i64(json_get(s, "count"), 0) > 1)
        add_note(&note, "%s%lld times", json_get(s, "count"));
    if (json_is(json_get(s, "iteration"), JSON_NUM))
        (void)buf_fmt(&note, "%sround %lld", note.n ? ", " : "",
                      (long long)json_i64(json_get(s, "iteration"), 0) + 1);
    if (cli_flow_ms(due))
        (void)buf_fmt(&note, "%suntil %s", note.n ? ", " : "", cli_flow_clock(due).s);
    if (json_is(json_get(s, "queue"), JSON_STR)) {
        (void)buf_fmt(&note, "%son queue ", note.n ? ", " : "");
        cli_put_safe(&note, json_str(json_get(s, "queue")));
    }
    if (!note.n && !strcmp(state, "completed") && json_get(s, "output"))
        cli_flow_put_value_line(&note, json_get(s, "output"), NOTE_COLUMNS);
    cli_cell(t->table, json_is(error, JSON_OBJ) ? PAINT_RED : PAINT_DIM, "%s", buf_cstr(&note));
    buf_fini(&note);
}

static void put_task(struct tree *t, const struct json *task, const char *stem)
{
    const struct json *s = state_of(t, json_str(json_get(task, "pointer")));
    const char *state = json_cstr(json_get(s, "state"), "");
    const struct cli_flow_look *look = cli_flow_look(state);
    int64_t started = cli_flow_ms(json_get(s, "started")),
            ended = cli_flow_ms(json_get(s, "ended"));
    int64_t attempt = json_i64(json_get(s, "attempt"), 0);
    cli_cell(t->table, look->paint, "%s", look->glyph);
    bool function = bytes_starts(json_str(json_get(task, "pointer")), BYTES("/use/functions/")) &&
                    !json_is(json_get(task, "parent"), JSON_STR);
    cli_cell(t->table, s ? PAINT_NONE : PAINT_DIM, "%s%s%s", stem,
             json_cstr(json_get(task, "name"), "?"), function ? "()" : "");
    const char *what = json_cstr(json_get(task, "call"), json_cstr(json_get(task, "run"), ""));
    cli_cell(t->table, PAINT_DIM, "%s%s%s", json_cstr(json_get(task, "kind"), ""), *what ? " " : "",
             what);
    cli_cell(t->table, look->paint, "%s", state);
    if (attempt > 1)
        cli_cell(t->table, PAINT_YELLOW, "%lld", (long long)attempt);
    else
        cli_cell(t->table, PAINT_NONE, "%s", "");
    cli_cell(t->table, PAINT_NONE, "%s",
             started ? cli_flow_clock(json_get(s, "started")).s + 11 : "");
    cli_cell(t->table, PAINT_NONE, "%s", started && ended ? cli_duration(ended - started).s : "");
    cell_note(t, s, state);
}

// The children of a task, with the lines that lead to them.
static void put_children(struct tree *t, struct bytes parent, const char *lead, size_t depth)
{
    struct json_iter it = {0}, last_it = {0};
    const struct json *v, *last = NULL;
    char stem[DEPTH_MAX * 8], deeper[DEPTH_MAX * 8];
    if (depth == DEPTH_MAX)
        return;
    while (json_each(t->graph, &last_it, NULL, &v))
        last = is_child(v, parent) ? v : last;
    while (json_each(t->graph, &it, NULL, &v)) {
        if (!is_child(v, parent))
            continue;
        bool top = depth == 0;
        (void)snprintf(stem, sizeof stem, "%s%s", lead, top ? "" : v == last ? "└─ " : "├─ ");
        (void)snprintf(deeper, sizeof deeper, "%s%s", lead, top ? "" : v == last ? "   " : "│  ");
        put_task(t, v, stem);
        put_children(t, json_str(json_get(v, "pointer")), deeper, depth + 1);
    }
}

static void put_value(struct cli *c, const char *what, const struct json *v, bool full)
{
    struct buf text;
    if (!v || json_is(v, JSON_NULL))
        return;
    buf_init(&text, CLI_FLOW_TEXT_MAX);
    cli_paint_put(c, PAINT_DIM, what, stdout);
    if (full)
        (void)cli_pretty(&text, v);
    else
        cli_flow_put_value_line(&text, v, CLI_FLOW_CUT);
    (void)printf("%s\n", buf_cstr(&text));
    buf_fini(&text);
}

static void put_head(struct cli *c, const struct json *r, const struct json *view)
{
    const char *status = json_cstr(json_get(r, "status"), json_cstr(json_get(view, "status"), ""));
    const struct cli_flow_look *look = cli_flow_look(status);
    const char *by = json_cstr(json_get(r, "by"), "");
    struct buf note;
    const struct json *parent = json_get(r, "parent");
    int64_t started = cli_flow_ms(json_get(r, "started")),
            ended = cli_flow_ms(json_get(r, "closed"));
    cli_paint_put(c, PAINT_BOLD, json_cstr(json_get(r, "id"), ""), stdout);
    (void)printf("  %s/%s %s  ", json_cstr(json_get(r, "namespace"), ""),
                 json_cstr(json_get(r, "name"), ""), json_cstr(json_get(r, "version"), ""));
    cli_paint_put(c, look->paint, look->glyph, stdout);
    (void)printf(" ");
    cli_paint_put(c, look->paint, status, stdout);
    (void)printf("\nstarted %s%s%s", cli_flow_clock(json_get(r, "started")).s, *by ? " by " : "",
                 by);
    if (started && ended)
        (void)printf(", took %s", cli_duration(ended - started).s);
    if (cli_flow_ms(json_get(r, "wake")))
        (void)printf(", wakes %s", cli_flow_clock(json_get(r, "wake")).s);
    if (json_is(parent, JSON_STR))
        (void)printf(", child of %s", json_cstr(parent, ""));
    else if (json_is(parent, JSON_OBJ))
        (void)printf(", child of %s", json_cstr(json_get(parent, "run"), ""));
    buf_init(&note, 4096);
    cli_flow_put_note(&note, json_get(r, "note"));
    (void)printf("%s%s\n", note.n ? "\n" : "", buf_cstr(&note));
    buf_fini(&note);
}

static const char *next_step(const char *status)
{
    if (!strcmp(status, "faulted") || !strcmp(status, "stalled"))
        return "retry tries the failed task again, skip goes on without it, edit gives it another "
               "input";
    return strcmp(status, "suspended") == 0 ? "resume lets it go on" : NULL;
}

static void put_run(struct cli *c, const struct json *r)
{
    static const char *const columns[] = {"",         "TASK",  "KIND", "STATE", ">TRY",
                                          "AT (UTC)", ">TOOK", "NOTE", NULL};
    const struct json *view = json_get(r, "view");
    bool full = cli_option(c, "full") != NULL;
    const char *status = json_cstr(json_get(r, "status"), "");
    struct tree t = {.graph = json_get(json_get(r, "graph"), "tasks"),
                     .tasks = json_get(view, "tasks"),
                     .table = cli_table_new(c, columns)};
    struct buf problem;
    put_head(c, r, view);
    put_value(c, "input   ", json_get(view, "input"), full);
    put_value(c, "context ", json_get(view, "context"), full);
    (void)printf("\n");
    put_children(&t, BYTES("/do"), "", 0);
    put_children(&t, BYTES("/use"), "", 0);
    cli_table_end(t.table, stdout);
    buf_init(&problem, 64 << 10);
    cli_flow_put_problem(&problem, json_get(view, "error"));
    if (problem.n || json_get(view, "output"))
        (void)printf("\n");
    if (problem.n) {
        cli_paint_put(c, PAINT_RED, buf_cstr(&problem), stdout);
        (void)printf("\n");
    } else {
        put_value(c, "output  ", json_get(view, "output"), full);
    }
    if (next_step(status))
        (void)printf("plexus flow ... %s: %s\n", json_cstr(json_get(r, "id"), ""),
                     next_step(status));
    buf_fini(&problem);
}

int cli_flow_show(struct cli *c, struct err *e)
{
    struct json_doc *doc = NULL;
    struct buf raw, target;
    buf_init(&raw, CLI_ANSWER_MAX);
    buf_init(&target, 4096);
    int rc = cli_flow_target(&target, cli_arg(c, 0), NULL, e);
    if (!rc && cli_option(c, "full"))
        (void)buf_str(&target, "?full=1");
    if (!rc)
        rc = cli_request_json(c, "GET", buf_cstr(&target), BYTES_NONE, &doc, &raw, e);
    if (!rc && c->json)
        rc = cli_print(buf_bytes(&raw), stdout);
    else if (!rc)
        put_run(c, json_root(doc));
    json_free(doc);
    buf_fini(&raw);
    buf_fini(&target);
    return rc;
}

// ---- history ------------------------------------------------------------------------------------

static bool is_command(const char *type)
{
    static const char *const types[] = {"act",    "child", "timer", "eval", "listen",
                                        "cancel", "yield", "roll",  "end",  "stall"};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (!strcmp(type, types[i]))
            return true;
    return false;
}

static void put_entry(struct cli *c, struct cli_table *t, const struct json *v)
{
    const char *type = json_cstr(json_get(v, "t"), "");
    int64_t id = json_i64(json_get(v, "id"), 0), at = json_i64(json_get(v, "at"), 0);
    bool command = is_command(type);
    struct buf data;
    char clock[TIME_TEXT_LEN + 1] = "";
    (void)c;
    buf_init(&data, 64 << 10);
    if (at > 0)
        time_text(at, clock);
    cli_flow_put_value_line(&data, json_get(v, "data"), 160);
    cli_cell(t, PAINT_DIM, "%lld", (long long)json_i64(json_get(v, "n"), 0));
    cli_cell(t, PAINT_DIM, "%.12s", *clock ? clock + 11 : "");
    cli_cell(t, command ? PAINT_CYAN : PAINT_GREEN, "%s %s", command ? "→" : "←", type);
    if (id)
        cli_cell(t, PAINT_NONE, "%lld", (long long)id);
    else
        cli_cell(t, PAINT_NONE, "%s", "");
    cli_cell(t, PAINT_NONE, "%s", json_get(v, "data") ? buf_cstr(&data) : "");
    buf_fini(&data);
}

int cli_flow_history(struct cli *c, struct err *e)
{
    static const char *const columns[] = {">N", "AT (UTC)", "ENTRY", ">ID", "DATA", NULL};
    struct json_doc *doc = NULL;
    struct json_iter it = {0};
    const struct json *v;
    struct buf raw, target;
    uint64_t from = 0;
    int rc = cli_option_u64(c, "from", 0, INT64_MAX, &from, e);
    if (rc)
        return rc;
    buf_init(&raw, CLI_ANSWER_MAX);
    buf_init(&target, 4096);
    rc = cli_flow_target(&target, cli_arg(c, 0), "history", e);
    if (from)
        (void)buf_fmt(&target, "?from=%llu", (unsigned long long)from);
    if (!rc)
        rc = cli_request_json(c, "GET", buf_cstr(&target), BYTES_NONE, &doc, &raw, e);
    if (!rc && c->json) {
        rc = cli_print(buf_bytes(&raw), stdout);
    } else if (!rc) {
        struct cli_table *t = cli_table_new(c, columns);
        while (json_each(json_get(json_root(doc), "entries"), &it, NULL, &v))
            put_entry(c, t, v);
        cli_table_end(t, stdout);
    }
    json_free(doc);
    buf_fini(&raw);
    buf_fini(&target);
    return rc;
}
