// cli_logs.c: plexus logs: the node's log, of one model or all.
// SPDX-License-Identifier: Apache-2.0
#include "cli/cli_commands_priv.h"
#include "cli/cli_rows_priv.h"
#include "text/url.h"
#include <string.h>

#define LINE_MAX_BYTES (256 << 10)

static int logs(struct cli *c, struct err *e);

static const struct cli_option options[] = {
    {"follow", 'f', NULL, "go on as lines come, until Ctrl-C", NULL},
    {"lines", 'n', "N", "how many of the last lines, default 200", NULL},
    {"level", 'l', "LEVEL", "only from this level on", "debug|info|warn|error"},
    CLI_OPTIONS_END,
};
static const char *const examples[] = {"plexus logs tiny-chat -f", "what its engine says, live",
                                       "plexus logs --level warn", "all warnings and errors", NULL};

const struct cli_command cli_logs_command = {
    .name = "logs",
    .summary = "log lines of a model, or of the whole node",
    .usage = "[MODEL]",
    .options = options,
    .examples = examples,
    .needs = CLI_NODE,
    .args_max = 1,
    .complete = "model",
    .run = logs,
};

static bool shown_before(struct bytes key)
{
    static const char *const head[] = {"time", "level", "event", "model", "line", "engine", "fd"};
    for (size_t i = 0; i < sizeof head / sizeof *head; i++)
        if (bytes_is(key, head[i]))
            return true;
    return false;
}

static void put_safe(struct bytes text, FILE *to)
{
    struct buf b;
    buf_init(&b, LINE_MAX_BYTES);
    cli_put_safe(&b, text);
    (void)fputs(buf_cstr(&b), to);
    buf_fini(&b);
}

void cli_put_log_line(struct cli *c, struct bytes line, FILE *to)
{
    struct json_doc *doc = NULL;
    struct json_iter it = {0};
    struct bytes key;
    const struct json *value;
    if (json_parse(&doc, line, 0, NULL)) {
        put_safe(line, to);
        (void)fputc('\n', to);
        return;
    }
    const struct json *l = json_root(doc);
    const char *level = json_cstr(json_get(l, "level"), "");
    struct bytes when = bytes_from(json_str(json_get(l, "time")), 11);
    struct bytes model = json_str(json_get(l, "model")), text = json_str(json_get(l, "line"));
    (void)fprintf(to, "%.*s ", BYTES_FMT(bytes_first(when, 12)));
    cli_paint_put(c, cli_state_paint(level), level, to);
    (void)fprintf(to, "%*s ", (int)(5 - (strlen(level) < 5 ? strlen(level) : 5)), "");
    put_safe(model.n ? model : json_str(json_get(l, "event")), to);
    if (model.n && !text.n) {
        (void)fputc(' ', to);
        put_safe(json_str(json_get(l, "event")), to);
    }
    if (text.n) {
        (void)fputs(": ", to);
        put_safe(text, to);
    }
    while (json_each(l, &it, &key, &value)) {
        struct buf b;
        if (shown_before(key))
            continue;
        buf_init(&b, LINE_MAX_BYTES);
        if (json_is(value, JSON_STR))
            (void)buf_put(&b, json_str(value));
        else
            (void)json_write(&b, value);
        (void)fprintf(to, " %.*s=", BYTES_FMT(key));
        put_safe(buf_bytes(&b), to);
        buf_fini(&b);
    }
    (void)fputc('\n', to);
    json_free(doc);
}

struct lines {
    struct cli *c;
    struct buf rest; // an unfinished line
};

static void on_data(void *user, struct bytes part)
{
    struct lines *l = user;
    if (l->c->json) {
        (void)fwrite(part.p, 1, part.n, stdout);
        (void)fflush(stdout);
        return;
    }
    while (part.n) {
        ptrdiff_t end = bytes_chr(part, '\n');
        if (end < 0) {
            if (buf_put(&l->rest, part))
                buf_clear(&l->rest); // longer than any line the node sends
            break;
        }
        (void)buf_put(&l->rest, bytes_first(part, (size_t)end));
        cli_put_log_line(l->c, buf_bytes(&l->rest), stdout);
        buf_clear(&l->rest);
        part = bytes_from(part, (size_t)end + 1);
    }
    (void)fflush(stdout);
}

static int logs(struct cli *c, struct err *e)
{
    struct lines l = {.c = c};
    struct buf target;
    uint64_t lines = 200;
    const char *model = cli_arg(c, 0), *level = cli_option(c, "level");
    int rc = cli_option_u64(c, "lines", 0, 1000000, &lines, e);
    if (rc)
        return rc;
    buf_init(&l.rest, LINE_MAX_BYTES);
    buf_init(&target, 4096);
    (void)buf_fmt(&target, "/api/logs?lines=%llu", (unsigned long long)lines);
    if (model) {
        (void)buf_str(&target, "&model=");
        (void)url_encode(&target, bytes_of(model));
    }
    if (level) {
        (void)buf_str(&target, "&level=");
        (void)url_encode(&target, bytes_of(level));
    }
    if (cli_option(c, "follow"))
        (void)buf_str(&target, "&follow=1");
    rc = cli_follow(c, buf_cstr(&target), on_data, &l, e);
    buf_fini(&target);
    buf_fini(&l.rest);
    return rc;
}
