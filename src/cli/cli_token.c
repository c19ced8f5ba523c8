// cli_token.c: plexus token new, ls, rm: join tokens.
// SPDX-License-Identifier: Apache-2.0
#include "cli/cli_commands_priv.h"
#include "cli/cli_mesh_priv.h"
#include <string.h>

static int token_new(struct cli *c, struct err *e);
static int ls(struct cli *c, struct err *e);
static int rm(struct cli *c, struct err *e);

static const struct cli_option new_options[] = {
    {"ttl", 't', "TIME", "how long it may be used, default 10m", NULL},
    {"role", 'r', "ROLE", "what the node may do; may be given several times", NULL},
    {"clearance", 'c', "LABEL", "the most secret data that may go there, confidential:eng",
     "public|internal|confidential|restricted"},
    {"environment", 'e', "NAME", "dev, staging or prod; default: this node's", "dev|staging|prod"},
    {"name", 'n', "NAME", "only for the node of this name", NULL},
    CLI_OPTIONS_END,
};
static const struct cli_command subs[] = {
    {.name = "new",
     .summary = "make a token; one node can join with it, once",
     .usage = "",
     .options = new_options,
     .needs = CLI_NODE,
     .run = token_new},
    {.name = "ls",
     .summary = "tokens that were made lately, without their secret",
     .usage = "",
     .needs = CLI_NODE,
     .run = ls},
    {.name = "rm",
     .summary = "withdraw a token",
     .usage = "ID",
     .needs = CLI_NODE,
     .args_min = 1,
     .args_max = 1,
     .run = rm},
    {.name = NULL},
};
static const char *const examples[] = {
    "plexus token new", "the token, and the line to type on the other machine",
    "plexus token new --name gpu1 --role chat --clearance confidential:eng",
    "for one machine, with what it may do and see", NULL};

const struct cli_command cli_token_command = {
    .name = "token",
    .summary = "join tokens: make, list, withdraw",
    .usage = "[COMMAND]",
    .examples = examples,
    .subs = subs,
    .needs = CLI_NODE,
    .run = ls,
};

static void put_roles(struct cli *c, struct json_w *w)
{
    json_w_arr(w, "roles");
    for (size_t i = 0; i < c->parsed.given_count; i++) {
        struct bytes rest = bytes_of(c->parsed.given[i].value);
        while (!strcmp(c->parsed.given[i].option->name, "role") && rest.n) {
            struct bytes role = bytes_trim(bytes_cut(&rest, ','));
            if (role.n)
                json_w_str(w, NULL, role);
        }
    }
    json_w_end(w);
}

static void put_request(struct cli *c, struct buf *body)
{
    static const char *const texts[] = {"clearance", "environment", "name"};
    const char *ttl = cli_option(c, "ttl");
    struct json_w w;
    json_w_init(&w, body);
    json_w_obj(&w, NULL);
    json_w_cstr(&w, "ttl", ttl ? ttl : "10m");
    put_roles(c, &w);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (cli_option(c, texts[i]))
            json_w_cstr(&w, texts[i], cli_option(c, texts[i]));
    json_w_end(&w);
}

static int token_new(struct cli *c, struct err *e)
{
    struct json_doc *doc = NULL;
    struct buf body, raw;
    buf_init(&body, CLI_TEXT_MAX);
    buf_init(&raw, CLI_TEXT_MAX);
    put_request(c, &body);
    int rc = cli_mesh_call(c, "POST", "/api/mesh/tokens", &body, &doc, &raw, e);
    const struct json *t = json_root(doc);
    if (!rc && c->json) {
        rc = cli_print(buf_bytes(&raw), stdout);
    } else if (!rc) { // alone on stdout, so that TOKEN=$(plexus token new) works
        (void)printf("%s\n", json_cstr(json_get(t, "token"), ""));
        (void)fflush(stdout);
        (void)fprintf(stderr, "until %s, once: %s\n", json_cstr(json_get(t, "expires"), "?"),
                      json_cstr(json_get(t, "command"), ""));
    }
    json_free(doc);
    buf_fini(&body);
    buf_fini(&raw);
    return rc;
}

static void put_table(struct cli *c, const struct json *tokens)
{
    static const char *const columns[] = {"ID",        "NODE",        "EXPIRES", "ROLES",
                                          "CLEARANCE", "ENVIRONMENT", "USED BY", NULL};
    struct cli_table *t = cli_table_new(c, columns);
    struct json_iter it = {0};
    const struct json *k;
    while (json_each(tokens, &it, NULL, &k)) {
        const char *node = json_cstr(json_get(k, "name"), "");
        const char *used = json_cstr(json_get(k, "used_by"), "");
        cli_cell(t, PAINT_NONE, "%s", json_cstr(json_get(k, "id"), ""));
        cli_cell(t, *node ? PAINT_NONE : PAINT_DIM, "%s", *node ? node : "any");
        cli_cell(t, PAINT_NONE, "%s", json_cstr(json_get(k, "expires"), ""));
        cli_cell_list(t, json_get(k, "roles"), NULL);
        cli_cell(t, PAINT_NONE, "%s", json_cstr(json_get(k, "clearance"), "-"));
        cli_cell(t, PAINT_NONE, "%s", json_cstr(json_get(k, "environment"), "-"));
        cli_cell(t, PAINT_NONE, "%s", *used ? used : "-");
    }
    cli_table_end(t, stdout);
}

static int ls(struct cli *c, struct err *e)
{
    struct json_doc *doc = NULL;
    struct buf raw;
    buf_init(&raw, CLI_ANSWER_MAX);
    int rc = cli_request_json(c, "GET", "/api/mesh/tokens", BYTES_NONE, &doc, &raw, e);
    const struct json *tokens = json_get(json_root(doc), "tokens");
    if (!rc && c->json)
        rc = cli_print(buf_bytes(&raw), stdout);
    else if (!rc && !json_len(tokens))
        (void)printf("no tokens; `plexus token new` makes one\n");
    else if (!rc)
        put_table(c, tokens);
    json_free(doc);
    buf_fini(&raw);
    return rc;
}

static int rm(struct cli *c, struct err *e)
{
    struct buf target, raw;
    buf_init(&target, 4096);
    buf_init(&raw, CLI_TEXT_MAX);
    cli_mesh_target(&target, "tokens", cli_arg(c, 0), NULL);
    int rc = cli_mesh_call(c, "DELETE", buf_cstr(&target), NULL, NULL, &raw, e);
    if (!rc && c->json)
        rc = cli_print(raw.n ? buf_bytes(&raw) : BYTES("{}"), stdout);
    else if (!rc)
        (void)printf("%s is withdrawn\n", cli_arg(c, 0));
    buf_fini(&target);
    buf_fini(&raw);
    return rc;
}
