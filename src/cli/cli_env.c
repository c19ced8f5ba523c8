// cli_env.c: plexus env: the machine's variables for .env, without losing what stands there.
// SPDX-License-Identifier: Apache-2.0
#include "base/file.h"
#include "cli/cli_commands_priv.h"
#include "cli/cli_host_priv.h"

static int env(struct cli *c, struct err *e);

static const struct cli_option options[] = {
    {"file", 'f', "FILE", "the file, default .env", "file"},
    {"print", 'n', NULL, "print the new text and write nothing", NULL},
    CLI_OPTIONS_END,
};
static const char *const examples[] = {"plexus env", "adds what is missing to ./.env",
                                       "plexus env --print", "shows the new text", NULL};

const struct cli_command cli_env_command = {
    .name = "env",
    .summary = "write .env from what this machine is",
    .usage = "",
    .text = "Every byte of the old file stays; variables that it does not set are added at its "
            "end. The file\n"
            "has mode 0600. Secrets are never invented.",
    .options = options,
    .examples = examples,
    .needs = CLI_NONE,
    .run = env,
};

static void put_value(struct json_w *w, const struct host_env_line *line)
{
    struct buf name, value;
    buf_init(&name, 4096);
    buf_init(&value, CLI_TEXT_MAX);
    (void)buf_put(&name, line->name);
    (void)host_env_value(&value, line);
    json_w_str(w, buf_cstr(&name), buf_bytes(&value));
    buf_fini(&name);
    buf_fini(&value);
}

static int put_json(const char *file, bool written, struct bytes old, struct bytes text)
{
    struct buf out;
    struct json_w w;
    struct host_env_line line;
    struct bytes rest = bytes_from(text, old.n);
    buf_init(&out, CLI_TEXT_MAX);
    json_w_init(&w, &out);
    json_w_obj(&w, NULL);
    json_w_cstr(&w, "file", file);
    json_w_bool(&w, "written", written);
    json_w_obj(&w, "added"); // what the user set is not shown: it may be secret
    while (host_env_next(&rest, &line))
        if (line.kind == HOST_ENV_SET)
            put_value(&w, &line);
    json_w_end(&w);
    json_w_end(&w);
    int rc = out.failed ? out.failed : cli_print(buf_bytes(&out), stdout);
    buf_fini(&out);
    return rc;
}

static void tell(const char *file, struct bytes old, struct bytes text)
{
    struct host_env_line line;
    struct bytes rest = bytes_from(text, old.n);
    size_t added = 0;
    while (host_env_next(&rest, &line)) {
        if (line.kind != HOST_ENV_SET)
            continue;
        (void)printf("%.*s=%.*s\n", BYTES_FMT(line.name), BYTES_FMT(line.value));
        added++;
    }
    if (added)
        (void)printf("%zu added to %s\n", added, file);
    else
        (void)printf("%s has all of them already\n", file);
}

static int env(struct cli *c, struct err *e)
{
    const char *file = cli_option(c, "file") ? cli_option(c, "file") : ".env";
    bool write = !cli_option(c, "print");
    struct cli_host h = {0};
    struct buf old, text;
    buf_init(&old, CLI_TEXT_MAX);
    buf_init(&text, CLI_TEXT_MAX);
    int rc = file_read(file, &old, e);
    if (rc == E_NOTFOUND)
        rc = 0;
    if (!rc)
        rc = cli_host_open(&h, e);
    if (!rc)
        rc = host_env_merge(&text, buf_bytes(&old), h.profile, e);
    bool changed = !rc && !bytes_eq(buf_bytes(&old), buf_bytes(&text));
    if (!rc && write && changed)
        rc = file_write_atomic(file, buf_bytes(&text), 0600, e);
    if (!rc && c->json)
        rc = put_json(file, write && changed, buf_bytes(&old), buf_bytes(&text));
    else if (!rc && !write)
        rc = cli_print(buf_bytes(&text), stdout);
    else if (!rc)
        tell(file, buf_bytes(&old), buf_bytes(&text));
    cli_host_close(&h);
    buf_fini(&old);
    buf_fini(&text);
    return rc;
}
