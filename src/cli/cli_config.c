// cli_config.c: plexus config check, show, schema, reload.
// SPDX-License-Identifier: Apache-2.0
#include "cli/cli_commands_priv.h"
#include "config/config.h"

static int check(struct cli *c, struct err *e);
static int show(struct cli *c, struct err *e);
static int schema(struct cli *c, struct err *e);
static int reload(struct cli *c, struct err *e);

static const struct cli_option file_options[] = {
    {"config", 'c', "FILE", "the config (else PLEXUS_CONFIG, ./plexus.yaml)", "file"},
    CLI_OPTIONS_END,
};
static const struct cli_command subs[] = {
    {.name = "check",
     .summary = "read a config and name every finding with its line",
     .usage = "[FILE]",
     .options = file_options,
     .needs = CLI_NONE,
     .args_max = 1,
     .complete = "file",
     .run = check},
    {.name = "show",
     .summary = "the config in use, with defaults; secrets only by their source",
     .usage = "[FILE]",
     .options = file_options,
     .needs = CLI_EITHER,
     .args_max = 1,
     .complete = "file",
     .run = show},
    {.name = "schema",
     .summary = "the JSON Schema of the config, for editors",
     .usage = "",
     .needs = CLI_NONE,
     .run = schema},
    {.name = "reload",
     .summary = "have the node read its config again",
     .usage = "",
     .needs = CLI_NODE,
     .run = reload},
    {.name = NULL},
};
static const char *const examples[] = {"plexus config check plexus.yaml",
                                       "before a reload",
                                       "plexus config schema > plexus.schema.json",
                                       "for the editor's completion",
                                       "plexus config reload",
                                       "only what changed restarts",
                                       NULL};

const struct cli_command cli_config_command = {
    .name = "config",
    .summary = "check, show or reload the config; print its schema",
    .usage = "COMMAND",
    .examples = examples,
    .subs = subs,
    .needs = CLI_EITHER,
};

static const char *file_of(struct cli *c, struct err *e)
{
    const char *path = cli_arg(c, 0) ? cli_arg(c, 0) : cli_config_path(c);
    if (!path)
        (void)err_set(e, E_NOTFOUND, "no config: name a FILE, or make ./plexus.yaml");
    return path;
}

static int put_findings(const char *path, struct bytes findings)
{
    struct buf out;
    struct json_w w;
    buf_init(&out, CLI_TEXT_MAX);
    json_w_init(&w, &out);
    json_w_obj(&w, NULL);
    json_w_cstr(&w, "file", path);
    json_w_bool(&w, "valid", !findings.n);
    json_w_arr(&w, "findings");
    while (findings.n) {
        struct bytes line = bytes_cut(&findings, '\n');
        if (line.n)
            json_w_str(&w, NULL, line);
    }
    json_w_end(&w);
    json_w_end(&w);
    int rc = out.failed ? out.failed : cli_print(buf_bytes(&out), stdout);
    buf_fini(&out);
    return rc;
}

static int check(struct cli *c, struct err *e)
{
    struct config *conf = NULL;
    struct err why = {0};
    struct buf findings;
    const char *path = file_of(c, e);
    if (!path)
        return E_NOTFOUND;
    buf_init(&findings, CLI_TEXT_MAX);
    int rc = config_load_all(&conf, path, &findings, &why);
    if (rc && !findings.n)
        (void)buf_str(&findings, why.text);
    if (c->json) {
        int put = put_findings(path, buf_bytes(&findings));
        rc = put ? put : rc ? err_info(rc)->exit : 0;
    } else if (rc) {
        (void)cli_print(buf_bytes(&findings), stderr); // each with file, line and column
        rc = err_info(rc)->exit;
    } else {
        (void)printf("%s is valid: %zu model%s, %zu listener%s\n", path, conf->model_count,
                     conf->model_count == 1 ? "" : "s", conf->door_count,
                     conf->door_count == 1 ? "" : "s");
        if (conf->parts)
            (void)printf("context %s: ", conf->context);
        for (size_t i = 0; conf->parts && conf->parts[i]; i++)
            (void)printf("%s%s", i ? ", " : "", conf->parts[i]);
        if (conf->parts)
            (void)printf("%s\n", conf->parts[0] ? " hold here" : "no part of contexts holds here");
    }
    config_free(conf);
    buf_fini(&findings);
    return rc;
}

static int show_file(struct cli *c, const char *path, struct err *e)
{
    struct config *conf = NULL;
    struct buf out;
    buf_init(&out, CLI_TEXT_MAX);
    int rc = config_load(&conf, path, e);
    if (!rc)
        rc = config_show(&out, conf, c->json);
    if (rc >= 0)
        rc = cli_print(buf_bytes(&out), stdout);
    config_free(conf);
    buf_fini(&out);
    return rc;
}

static int show(struct cli *c, struct err *e)
{
    struct json_doc *doc = NULL;
    struct buf raw, text;
    if (cli_arg(c, 0) || cli_option(c, "config"))
        return show_file(c, file_of(c, e), e);
    buf_init(&raw, CLI_ANSWER_MAX);
    buf_init(&text, CLI_ANSWER_MAX);
    int rc = cli_request_json(c, "GET", "/api/config", BYTES_NONE, &doc, &raw, e);
    if (rc && cli_no_node(rc) && !cli_option(c, "node") && cli_config_path(c)) {
        rc = show_file(c, cli_config_path(c), e);
    } else if (!rc) {
        if (!c->json)
            rc = cli_pretty(&text, json_root(doc));
        if (!rc)
            rc = cli_print(buf_bytes(c->json ? &raw : &text), stdout);
    }
    json_free(doc);
    buf_fini(&raw);
    buf_fini(&text);
    return rc;
}

static int schema(struct cli *c, struct err *e)
{
    (void)c;
    (void)e;
    return cli_print(config_schema(), stdout);
}

static int reload(struct cli *c, struct err *e)
{
    struct json_doc *doc = NULL;
    struct json_iter it = {0};
    const struct json *change;
    struct buf raw;
    buf_init(&raw, CLI_ANSWER_MAX);
    int rc = cli_request_json(c, "POST", "/api/config/reload", BYTES_NONE, &doc, &raw, e);
    const struct json *changes = json_get(json_root(doc), "changes");
    if (!rc && c->json) {
        rc = cli_print(buf_bytes(&raw), stdout);
    } else if (!rc) {
        while (json_each(changes, &it, NULL, &change))
            (void)printf("%s %s: %s\n", json_cstr(json_get(change, "what"), ""),
                         json_cstr(json_get(change, "name"), ""),
                         json_cstr(json_get(change, "action"), ""));
        if (!json_len(changes))
            (void)printf("nothing has changed\n");
    }
    json_free(doc);
    buf_fini(&raw);
    return rc;
}
