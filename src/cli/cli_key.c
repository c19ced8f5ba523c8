// cli_key.c: plexus key new, ls, rm.
// SPDX-License-Identifier: Apache-2.0
#include "cli/cli_commands_priv.h"
#include "text/url.h"
#include <string.h>
#include <unistd.h>

static int key_new(struct cli *c, struct err *e);
static int ls(struct cli *c, struct err *e);
static int rm(struct cli *c, struct err *e);

static const struct cli_option new_options[] = {
    {"scopes", 's', "LIST", "models, read, admin with commas between; default models",
     "models|read|admin"},
    {"models", 'm', "LIST", "only these models, with commas between", "model"},
    {"expires", 'x', "TIME", "30d, 12h ...; default never", NULL},
    {"clearance", 0, "LABEL", "the most it may read; default restricted:*", NULL},
    {"label", 0, "LABEL", "of requests that bring none; default labels.default", NULL},
    {"requests-per-minute", 0, "N", "a limit; 0: none", NULL},
    {"tokens-per-minute", 0, "N", "a limit; 0: none", NULL},
    CLI_OPTIONS_END,
};
static const struct cli_command subs[] = {
    {.name = "new",
     .summary = "make a key; it is shown this once",
     .usage = "NAME",
     .options = new_options,
     .needs = CLI_NODE,
     .args_min = 1,
     .args_max = 1,
     .run = key_new},
    {.name = "ls",
     .summary = "all keys, without their text",
     .usage = "",
     .needs = CLI_NODE,
     .run = ls},
    {.name = "rm",
     .summary = "remove a key; it is refused from now on",
     .usage = "ID|NAME",
     .needs = CLI_NODE,
     .args_min = 1,
     .args_max = 1,
     .run = rm},
    {.name = NULL},
};
static const char *const examples[] = {"plexus key new laptop", "may use all models",
                                       "plexus key new ci --models tiny-chat --expires 30d",
                                       "one model, for a month", NULL};

const struct cli_command cli_key_command = {
    .name = "key",
    .summary = "API keys: make, list, remove",
    .usage = "[COMMAND]",
    .examples = examples,
    .subs = subs,
    .needs = CLI_NODE,
    .run = ls,
};

static void put_list(struct json_w *w, const char *name, const char *text)
{
    struct bytes rest = bytes_of(text);
    json_w_arr(w, name);
    while (rest.n) {
        struct bytes item = bytes_trim(bytes_cut(&rest, ','));
        if (item.n)
            json_w_str(w, NULL, item);
    }
    json_w_end(w);
}

static int put_request(struct cli *c, struct buf *body, struct err *e)
{
    uint64_t requests = 0, tokens = 0;
    struct json_w w;
    int rc = cli_option_u64(c, "requests-per-minute", 0, UINT32_MAX, &requests, e);
    if (!rc)
        rc = cli_option_u64(c, "tokens-per-minute", 0, INT64_MAX, &tokens, e);
    json_w_init(&w, body);
    json_w_obj(&w, NULL);
    json_w_cstr(&w, "name", cli_arg(c, 0));
    if (cli_option(c, "scopes"))
        put_list(&w, "scopes", cli_option(c, "scopes"));
    if (cli_option(c, "models"))
        put_list(&w, "models", cli_option(c, "models"));
    if (cli_option(c, "expires"))
        json_w_cstr(&w, "expires", cli_option(c, "expires"));
    if (cli_option(c, "clearance"))
        json_w_cstr(&w, "clearance", cli_option(c, "clearance"));
    if (cli_option(c, "label"))
        json_w_cstr(&w, "label", cli_option(c, "label"));
    json_w_u64(&w, "requests_per_minute", requests);
    json_w_u64(&w, "tokens_per_minute", tokens);
    json_w_end(&w);
    return rc ? rc : body->failed;
}

static int key_new(struct cli *c, struct err *e)
{
    struct json_doc *doc = NULL;
    struct buf body, raw;
    buf_init(&body, CLI_TEXT_MAX);
    buf_init(&raw, CLI_TEXT_MAX);
    int rc = put_request(c, &body, e);
    if (!rc)
        rc = cli_request_json(c, "POST", "/api/keys", buf_bytes(&body), &doc, &raw, e);
    if (!rc && c->json) {
        rc = cli_print(buf_bytes(&raw), stdout);
    } else if (!rc) {
        (void)printf("%s\n", json_cstr(json_get(json_root(doc), "key"), ""));
        if (isatty(STDOUT_FILENO)) // alone on stdout, so that KEY=$(plexus key new x) works
            (void)fprintf(stderr, "id %s; the key is shown this once, only its hash is kept\n",
                          json_cstr(json_get(json_root(doc), "id"), ""));
    }
    json_free(doc);
    buf_fini(&body);
    buf_fini(&raw);
    return rc;
}

static void put_names(struct cli_table *t, const struct json *list, const char *none)
{
    struct json_iter it = {0};
    const struct json *v;
    struct buf b;
    buf_init(&b, 4096);
    while (json_each(list, &it, NULL, &v))
        (void)buf_fmt(&b, "%s%s", b.n ? "," : "", json_cstr(v, ""));
    cli_cell(t, PAINT_NONE, "%s", b.n ? buf_cstr(&b) : none);
    buf_fini(&b);
}

static void put_day(struct cli_table *t, const struct json *time, const char *none)
{
    struct bytes day = bytes_first(json_str(time), 10);
    if (day.n)
        cli_cell(t, PAINT_NONE, "%.*s", BYTES_FMT(day));
    else
        cli_cell(t, PAINT_DIM, "%s", none);
}

// What they cost is a column when something has a price.
static bool any_cost(const struct json *keys)
{
    struct json_iter it = {0};
    const struct json *k;
    while (json_each(keys, &it, NULL, &k))
        if (json_num(json_get(k, "cost"), 0) > 0)
            return true;
    return false;
}

static void put_table(struct cli *c, const struct json *keys, const char *currency)
{
    bool costs = any_cost(keys);
    char cost[32];
    (void)snprintf(cost, sizeof(cost), ">COST %s", currency);
    const char *columns[] = {"ID",        "NAME",    "SCOPES",
                             "MODELS",    "EXPIRES", "USED",
                             ">REQUESTS", ">TOKENS", costs ? cost : NULL,
                             NULL};
    struct cli_table *t = cli_table_new(c, columns);
    struct json_iter it = {0};
    const struct json *k;
    while (json_each(keys, &it, NULL, &k)) {
        cli_cell(t, PAINT_NONE, "%s", json_cstr(json_get(k, "id"), ""));
        cli_cell(t, PAINT_NONE, "%s", json_cstr(json_get(k, "name"), ""));
        put_names(t, json_get(k, "scopes"), "-");
        put_names(t, json_get(k, "models"), "all");
        put_day(t, json_get(k, "expires"), "never");
        put_day(t, json_get(k, "used"), "never");
        cli_cell(t, PAINT_NONE, "%lld", (long long)json_i64(json_get(k, "requests"), 0));
        cli_cell(t, PAINT_NONE, "%lld", (long long)json_i64(json_get(k, "tokens"), 0));
        if (costs)
            cli_cell(t, PAINT_NONE, "%.4f", json_num(json_get(k, "cost"), 0));
    }
    cli_table_end(t, stdout);
}

static int ls(struct cli *c, struct err *e)
{
    struct json_doc *doc = NULL;
    struct buf raw;
    buf_init(&raw, CLI_ANSWER_MAX);
    int rc = cli_request_json(c, "GET", "/api/keys", BYTES_NONE, &doc, &raw, e);
    const struct json *keys = json_get(json_root(doc), "keys");
    if (!rc && c->json)
        rc = cli_print(buf_bytes(&raw), stdout);
    else if (!rc && !json_len(keys))
        (void)printf("no keys; `plexus key new NAME` makes one\n");
    else if (!rc)
        put_table(c, keys, json_cstr(json_get(json_root(doc), "currency"), ""));
    json_free(doc);
    buf_fini(&raw);
    return rc;
}

static int rm(struct cli *c, struct err *e)
{
    struct buf target, raw;
    buf_init(&target, 4096);
    buf_init(&raw, CLI_TEXT_MAX);
    (void)buf_str(&target, "/api/keys/");
    (void)url_encode(&target, bytes_of(cli_arg(c, 0)));
    int rc = cli_request(c, "DELETE", buf_cstr(&target), BYTES_NONE, &raw, e);
    if (!rc && c->json)
        rc = cli_print(buf_bytes(&raw), stdout);
    else if (!rc)
        (void)printf("%s is removed\n", cli_arg(c, 0));
    buf_fini(&target);
    buf_fini(&raw);
    return rc;
}
