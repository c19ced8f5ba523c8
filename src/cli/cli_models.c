// cli_models.c: plexus models ls, load, unload, pin, unpin.
// SPDX-License-Identifier: Apache-2.0
#include "cli/cli_commands_priv.h"
#include "cli/cli_mesh_priv.h"
#include "cli/cli_rows_priv.h"
#include <string.h>

static int ls(struct cli *c, struct err *e);
static int load(struct cli *c, struct err *e);
static int change(struct cli *c, struct err *e);

static const struct cli_option ls_options[] = {
    {"quiet", 'q', NULL, "only the names", NULL},
    CLI_OPTIONS_END,
};
static const struct cli_option load_options[] = {
    {"no-wait", 0, NULL, "do not wait until it is warm", NULL},
    CLI_OPTIONS_END,
};
static const struct cli_command subs[] = {
    {.name = "ls",
     .summary = "all models with their state",
     .usage = "",
     .options = ls_options,
     .needs = CLI_NODE,
     .run = ls},
    {.name = "load",
     .summary = "load a model and wait until it is warm",
     .usage = "MODEL",
     .options = load_options,
     .needs = CLI_NODE,
     .args_min = 1,
     .args_max = 1,
     .complete = "model",
     .run = load},
    {.name = "unload",
     .summary = "unload a model when its requests have finished",
     .usage = "MODEL",
     .needs = CLI_NODE,
     .args_min = 1,
     .args_max = 1,
     .complete = "model",
     .run = change},
    {.name = "pin",
     .summary = "never evict a model or let it idle out",
     .usage = "MODEL",
     .needs = CLI_NODE,
     .args_min = 1,
     .args_max = 1,
     .complete = "model",
     .run = change},
    {.name = "unpin",
     .summary = "take the pin away",
     .usage = "MODEL",
     .needs = CLI_NODE,
     .args_min = 1,
     .args_max = 1,
     .complete = "model",
     .run = change},
    {.name = NULL},
};
static const char *const examples[] = {"plexus models",
                                       "all models",
                                       "plexus models load tiny-chat",
                                       "loads it now",
                                       "plexus models pin tiny-chat",
                                       "keeps it loaded",
                                       NULL};

const struct cli_command cli_models_command = {
    .name = "models",
    .summary = "the models of the node: list, load, unload, pin",
    .usage = "[COMMAND]",
    .examples = examples,
    .subs = subs,
    .needs = CLI_NODE,
    .run = ls,
};

void cli_model_note(struct buf *out, const struct json *m)
{
    const char *state = json_cstr(json_get(m, "state"), "");
    const char *phase = json_cstr(json_get(m, "phase"), ""),
               *failure = json_cstr(json_get(m, "failure"), "");
    double share = json_num(json_get(m, "share"), -1);
    int64_t eta = json_i64(json_get(m, "eta_ms"), -1),
            idle = json_i64(json_get(m, "idle_left_ms"), -1);
    int64_t active = json_i64(json_get(m, "active"), 0),
            waiting = json_i64(json_get(m, "waiting"), 0);
    if (!strcmp(state, "LOADING")) {
        (void)buf_str(out, *phase ? phase : "loading");
        if (share >= 0)
            (void)buf_fmt(out, " %d %%", (int)(share * 100));
        if (eta >= 0)
            (void)buf_fmt(out, ", about %s left", cli_duration(eta + 999 - (eta + 999) % 1000).s);
    } else if (!strcmp(state, "FAILED")) {
        struct bytes rest = bytes_of(failure);
        (void)buf_put(out, bytes_cut(&rest, '\n'));
    } else if (!strcmp(state, "UNLOADED") && *failure) {
        struct bytes rest = bytes_of(failure);
        (void)buf_fmt(out, "died: %.*s", BYTES_FMT(bytes_cut(&rest, '\n')));
    } else if (active > 0) {
        (void)buf_fmt(out, "%lld running", (long long)active);
    } else if (!strcmp(state, "WARM") && idle >= 0) {
        (void)buf_fmt(out, "idle, leaves in %s", cli_duration(idle).s);
    }
    if (waiting > 0)
        (void)buf_fmt(out, "%s%lld waiting", out->n ? ", " : "", (long long)waiting);
    if (json_bool(json_get(m, "pinned"), false))
        (void)buf_fmt(out, "%spinned", out->n ? ", " : "");
}

static void put_own(struct cli_table *t, const struct json *m, const char *node)
{
    const char *state = json_cstr(json_get(m, "state"), "");
    int64_t memory = json_i64(json_get(m, "memory_bytes"), 0);
    int64_t context = json_i64(json_get(m, "context"), 0);
    bool remote = json_bool(json_get(m, "remote"), false);
    struct buf note;
    buf_init(&note, 4096);
    cli_model_note(&note, m);
    cli_cell(t, PAINT_NONE, "%s", json_cstr(json_get(m, "name"), ""));
    if (node)
        cli_cell(t, PAINT_BOLD, "%s", node);
    cli_cell(t, PAINT_NONE, "%s", json_cstr(json_get(m, "kind"), ""));
    cli_cell(t, PAINT_NONE, "%s", json_cstr(json_get(m, "engine"), ""));
    cli_cell(t, remote ? PAINT_CYAN : cli_state_paint(state), "%s", remote ? "REMOTE" : state);
    cli_cell(t, PAINT_NONE, "%s%s",
             json_bool(json_get(m, "memory_measured"), false) || memory <= 0 ? "" : "~",
             memory > 0 ? cli_size((uint64_t)memory).s : "-");
    if (context > 0)
        cli_cell(t, PAINT_NONE, "%lld", (long long)context);
    else
        cli_cell(t, PAINT_NONE, "-");
    cli_cell(t, PAINT_NONE, "%lld", (long long)json_i64(json_get(m, "loads"), 0));
    cli_cell(t, PAINT_NONE, "%s", buf_cstr(&note));
    buf_fini(&note);
}

// A model of another node: what its sheet says.
static void put_other(struct cli_table *t, const struct json *n, const struct json *m)
{
    const char *state = json_cstr(json_get(m, "state"), "");
    int64_t context = json_i64(json_get(m, "context"), 0);
    int64_t active = json_i64(json_get(m, "active"), 0);
    int64_t waiting = json_i64(json_get(m, "waiting"), 0);
    struct buf note;
    buf_init(&note, 4096);
    if (active > 0)
        (void)buf_fmt(&note, "%lld running", (long long)active);
    if (waiting > 0)
        (void)buf_fmt(&note, "%s%lld waiting", note.n ? ", " : "", (long long)waiting);
    if (strcmp(json_cstr(json_get(n, "state"), ""), "alive") != 0)
        (void)buf_fmt(&note, "%snode is %s", note.n ? ", " : "",
                      json_cstr(json_get(n, "state"), ""));
    if (json_bool(json_get(n, "draining"), false))
        (void)buf_fmt(&note, "%snode drains", note.n ? ", " : "");
    cli_cell(t, PAINT_NONE, "%s", json_cstr(json_get(m, "name"), ""));
    cli_cell(t, PAINT_NONE, "%s", json_cstr(json_get(n, "name"), ""));
    cli_cell(t, PAINT_NONE, "%s", json_cstr(json_get(m, "kind"), ""));
    cli_cell(t, PAINT_DIM, "-");
    cli_cell(t, cli_state_paint(state), "%s", state);
    cli_cell(t, PAINT_DIM, "-");
    if (context > 0)
        cli_cell(t, PAINT_NONE, "%lld", (long long)context);
    else
        cli_cell(t, PAINT_NONE, "-");
    cli_cell(t, PAINT_DIM, "-");
    cli_cell(t, PAINT_NONE, "%s", buf_cstr(&note));
    buf_fini(&note);
}

// The other nodes that may be asked: environments never mix.
static bool others_next(const struct json *mesh, struct json_iter *it, const struct json **ret)
{
    while (json_each(json_get(mesh, "nodes"), it, NULL, ret)) {
        const char *state = json_cstr(json_get(*ret, "state"), "");
        if (!json_bool(json_get(*ret, "self"), false) &&
            json_equal(json_get(*ret, "environment"), json_get(mesh, "environment")) &&
            (!strcmp(state, "alive") || !strcmp(state, "suspect")))
            return true;
    }
    return false;
}

static size_t put_others(struct cli_table *t, const struct json *mesh, bool all)
{
    struct json_iter it = {0};
    const struct json *n, *m;
    size_t shown = 0;
    while (others_next(mesh, &it, &n)) {
        struct json_iter models = {0};
        while (json_each(json_get(n, "models"), &models, NULL, &m)) {
            if (!all && !strcmp(json_cstr(json_get(m, "state"), ""), "UNLOADED"))
                continue;
            put_other(t, n, m);
            shown++;
        }
    }
    return shown;
}

void cli_put_models(struct cli *c, const struct json *models, bool all, const struct json *mesh)
{
    static const char *const one[] = {"MODEL",    "KIND",   "ENGINE", "STATE", ">MEMORY",
                                      ">CONTEXT", ">LOADS", "NOTE",   NULL};
    static const char *const many[] = {"MODEL",   "NODE",     "KIND",   "ENGINE", "STATE",
                                       ">MEMORY", ">CONTEXT", ">LOADS", "NOTE",   NULL};
    struct cli_table *t = cli_table_new(c, mesh ? many : one);
    struct json_iter it = {0};
    const struct json *m;
    size_t shown = 0;
    while (json_each(models, &it, NULL, &m)) {
        bool loaded = strcmp(json_cstr(json_get(m, "state"), ""), "UNLOADED") != 0;
        if (!all && (!loaded || json_bool(json_get(m, "remote"), false)))
            continue;
        put_own(t, m, mesh ? json_cstr(json_get(mesh, "self"), "") : NULL);
        shown++;
    }
    shown += put_others(t, mesh, all);
    cli_table_end(t, stdout);
    if (!shown && json_len(models))
        (void)printf("no model is loaded; `plexus models` lists all %zu\n", json_len(models));
    else if (!shown)
        (void)printf("no models are configured; put a GGUF file into ./models, or see `plexus "
                     "config show`\n");
}

static bool has_name(const struct json *models, const char *name)
{
    struct json_iter it = {0};
    const struct json *m;
    while (json_each(models, &it, NULL, &m))
        if (!strcmp(json_cstr(json_get(m, "name"), ""), name))
            return true;
    return false;
}

// Also the names of models that only other nodes have; each once.
static void put_names(const struct json *models, const struct json *mesh)
{
    struct json_iter it = {0}, seen;
    const struct json *m, *n, *before;
    while (json_each(models, &it, NULL, &m))
        (void)printf("%s\n", json_cstr(json_get(m, "name"), ""));
    it = (struct json_iter){0};
    while (others_next(mesh, &it, &n)) {
        struct json_iter rows = {0};
        while (json_each(json_get(n, "models"), &rows, NULL, &m)) {
            const char *name = json_cstr(json_get(m, "name"), "");
            bool known = has_name(models, name);
            seen = (struct json_iter){0};
            while (!known && others_next(mesh, &seen, &before) && before != n)
                known = has_name(json_get(before, "models"), name);
            if (!known)
                (void)printf("%s\n", name);
        }
    }
}

static int ls(struct cli *c, struct err *e)
{
    struct json_doc *doc = NULL, *mesh = NULL;
    struct buf raw;
    buf_init(&raw, CLI_ANSWER_MAX);
    int rc = cli_request_json(c, "GET", "/api/models", BYTES_NONE, &doc, &raw, e);
    const struct json *models = json_get(json_root(doc), "models");
    bool quiet = cli_option(c, "quiet") != NULL;
    if (!rc && (quiet || !c->json))
        mesh = cli_mesh_of_many(c);
    if (!rc && quiet)
        put_names(models, json_root(mesh));
    else if (!rc && c->json)
        rc = cli_print(buf_bytes(&raw), stdout);
    else if (!rc)
        cli_put_models(c, models, true, json_root(mesh));
    json_free(mesh);
    json_free(doc);
    buf_fini(&raw);
    return rc;
}

static int post(struct cli *c, const char *model, const char *action, const char *query,
                struct err *e)
{
    struct json_doc *doc = NULL;
    struct buf target, raw;
    buf_init(&target, 4096);
    buf_init(&raw, CLI_ANSWER_MAX);
    int rc = cli_model_target(&target, model, action, e);
    (void)buf_str(&target, query);
    if (!rc)
        rc = cli_request_json(c, "POST", buf_cstr(&target), BYTES_NONE, &doc, &raw, e);
    if (!rc && c->json) {
        rc = cli_print(buf_bytes(&raw), stdout);
    } else if (!rc) {
        const struct json *m = json_root(doc);
        struct buf note;
        buf_init(&note, 4096);
        cli_model_note(&note, m);
        (void)printf("%s: %s%s%s\n", json_cstr(json_get(m, "name"), model),
                     json_cstr(json_get(m, "state"), "?"), note.n ? ", " : "", buf_cstr(&note));
        buf_fini(&note);
    }
    json_free(doc);
    buf_fini(&target);
    buf_fini(&raw);
    return rc;
}

static int load(struct cli *c, struct err *e)
{
    bool wait = !cli_option(c, "no-wait");
    char text[160];
    (void)snprintf(text, sizeof text, "%.120s is loading ...", cli_arg(c, 0));
    if (wait)
        cli_status(text);
    int rc = post(c, cli_arg(c, 0), "load", wait ? "?wait=1" : "", e);
    cli_status(NULL);
    return rc;
}

static int change(struct cli *c, struct err *e)
{
    return post(c, cli_arg(c, 0), c->path[c->depth - 1]->name, "", e);
}
