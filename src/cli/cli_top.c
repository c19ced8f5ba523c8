// cli_top.c: plexus top: node, mesh, models and requests, live from GET /api/events.
// SPDX-License-Identifier: Apache-2.0
#include "cli/cli_commands_priv.h"
#include "cli/cli_mesh_priv.h"
#include <string.h>
#include <unistd.h>

#define RATE_MS 1000 // figures this far apart make a rate

static int top(struct cli *c, struct err *e);

static const char *const examples[] = {"plexus top", "live, until q or Ctrl-C", "plexus top --json",
                                       "what it would show, once", NULL};

const struct cli_command cli_top_command = {
    .name = "top",
    .summary = "live: nodes, models, requests, memory and traffic",
    .usage = "",
    .text =
        "It is drawn when the node tells a change, not by a clock. q or Ctrl-C ends it. Without "
        "a\nterminal, or with --json, it prints once.",
    .examples = examples,
    .needs = CLI_NODE,
    .run = top,
};

// ---- what the node told -------------------------------------------------------------------------

static struct json_doc *copy(const struct json *v)
{
    struct json_doc *doc = NULL;
    struct buf text;
    buf_init(&text, CLI_ANSWER_MAX);
    if (v && !json_write(&text, v))
        (void)json_parse(&doc, buf_bytes(&text), 0, NULL);
    buf_fini(&text);
    return doc;
}

static void replace(struct json_doc **at, const struct json *v)
{
    json_free(*at);
    *at = copy(v);
}

static void put_row(struct top_row *rows, size_t *count, const char *key, const struct json *v)
{
    size_t i = 0;
    while (i < *count && strcmp(rows[i].key, key) != 0)
        i++;
    if (i == TOP_ROWS_MAX)
        return;
    if (i == *count) {
        (void)snprintf(rows[i].key, sizeof rows[i].key, "%s", key);
        rows[(*count)++].doc = NULL;
    }
    replace(&rows[i].doc, v);
}

static void drop_row(struct top_row *rows, size_t *count, const char *key)
{
    for (size_t i = 0; i < *count; i++) {
        if (strcmp(rows[i].key, key) != 0)
            continue;
        json_free(rows[i].doc);
        memmove(rows + i, rows + i + 1, (--*count - i) * sizeof *rows);
        return;
    }
}

static void drop_rows(struct top_row *rows, size_t *count)
{
    for (size_t i = 0; i < *count; i++)
        json_free(rows[i].doc);
    *count = 0;
}

static void take_all(struct top_row *rows, size_t *count, const struct json *list, const char *key)
{
    struct json_iter it = {0};
    const struct json *v;
    drop_rows(rows, count);
    while (json_each(list, &it, NULL, &v))
        put_row(rows, count, json_cstr(json_get(v, key), ""), v);
}

static void take_mesh(struct top *t, const struct json *mesh)
{
    int64_t now = time_mono_ms();
    if (!t->mesh) {
        // the first
    } else if (!t->old || t->mesh_ms - t->old_ms >= RATE_MS) {
        json_free(t->old);
        t->old = t->mesh;
        t->old_ms = t->mesh_ms;
        t->mesh = NULL;
    }
    replace(&t->mesh, mesh);
    t->mesh_ms = now;
}

static bool take(void *user, struct bytes event, const struct json *data)
{
    struct top *t = user;
    if (bytes_is(event, "state")) {
        replace(&t->state, data);
        json_free(t->stat);
        t->stat = NULL;
        take_all(t->models, &t->model_count, json_get(data, "models"), "name");
        take_all(t->requests, &t->request_count, json_get(data, "requests"), "id");
    } else if (bytes_is(event, "model")) {
        put_row(t->models, &t->model_count, json_cstr(json_get(data, "name"), ""), data);
    } else if (bytes_is(event, "request") && json_bool(json_get(data, "end"), false)) {
        drop_row(t->requests, &t->request_count, json_cstr(json_get(data, "id"), ""));
    } else if (bytes_is(event, "request")) {
        put_row(t->requests, &t->request_count, json_cstr(json_get(data, "id"), ""), data);
    } else if (bytes_is(event, "stat")) {
        replace(&t->stat, data);
    } else if (bytes_is(event, "mesh")) {
        take_mesh(t, data);
    } else {
        return false;
    }
    return true;
}

static void draw(void *user, size_t columns, size_t rows, struct buf *out)
{
    cli_top_draw(user, columns, rows, out);
}

// ---- once ---------------------------------------------------------------------------------------

static int once(struct top *t, struct err *e)
{
    struct json_doc *state = NULL, *mesh = NULL;
    struct buf state_text, mesh_text, out;
    buf_init(&state_text, CLI_ANSWER_MAX);
    buf_init(&mesh_text, CLI_ANSWER_MAX);
    buf_init(&out, 3 * CLI_ANSWER_MAX);
    int rc = cli_request_json(t->c, "GET", "/api/state", BYTES_NONE, &state, &state_text, e);
    if (!rc)
        rc = cli_request_json(t->c, "GET", "/api/mesh", BYTES_NONE, &mesh, &mesh_text, e);
    if (!rc && t->c->json) {
        (void)buf_str(&out, "{\"state\":");
        (void)buf_put(&out, bytes_trim(buf_bytes(&state_text)));
        (void)buf_str(&out, ",\"mesh\":");
        (void)buf_put(&out, bytes_trim(buf_bytes(&mesh_text)));
        (void)buf_str(&out, "}\n");
    } else if (!rc) {
        (void)take(t, BYTES("state"), json_root(state));
        (void)take(t, BYTES("mesh"), json_root(mesh));
        cli_top_draw(t, SIZE_MAX, SIZE_MAX, &out);
    }
    if (!rc)
        rc = out.failed ? out.failed : cli_print(buf_bytes(&out), stdout);
    json_free(state);
    json_free(mesh);
    buf_fini(&state_text);
    buf_fini(&mesh_text);
    buf_fini(&out);
    return rc;
}

static int top(struct cli *c, struct err *e)
{
    struct top *t = mem_new(struct top);
    if (!t)
        return E_NOMEM;
    struct cli_view view = {take, draw, t};
    t->c = c;
    bool live = !c->json && isatty(STDOUT_FILENO) && isatty(STDIN_FILENO);
    int rc = live ? cli_live(c, &view, e) : once(t, e);
    drop_rows(t->models, &t->model_count);
    drop_rows(t->requests, &t->request_count);
    json_free(t->state);
    json_free(t->stat);
    json_free(t->mesh);
    json_free(t->old);
    mem_free(t);
    return rc;
}
