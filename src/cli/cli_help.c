// cli_help.c: plexus help: texts from the command table.
// SPDX-License-Identifier: Apache-2.0
#include "cli/cli_commands_priv.h"
#include <string.h>

static int help(struct cli *c, struct err *e);

const struct cli_command cli_help_command_row = {
    .name = "help",
    .summary = "what a command does and takes",
    .usage = "[COMMAND]",
    .needs = CLI_NONE,
    .args_max = CLI_DEPTH_MAX,
    .complete = "command",
    .run = help,
};

static size_t left_width(const struct cli_option *o)
{
    return 8 + strlen(o->name) + cli_option_needs(o) + (o->value ? strlen(o->value) : 0);
}

static void put_options(const struct cli_option *o, FILE *to)
{
    size_t width = 18;
    for (const struct cli_option *p = o; p->name; p++)
        width = left_width(p) > width ? left_width(p) : width;
    for (; o->name; o++) {
        (void)fprintf(to, o->letter ? "  -%c, " : "      ", o->letter);
        (void)fprintf(to, "--%s%s%s%*s  %s\n", o->name, cli_option_needs(o) ? " " : "",
                      o->value ? o->value : "", (int)(width - left_width(o)), "", o->what);
    }
}

void cli_help_overview(const struct cli *c, FILE *to)
{
    (void)fprintf(to, "plexus %s: a private AI mesh node\n\nusage: plexus COMMAND [options]\n\n",
                  PLEXUS_VERSION);
    for (const struct cli_command *const *p = c->commands; *p; p++)
        (void)fprintf(to, "  %-12s %s\n", (*p)->name, (*p)->summary);
    (void)fprintf(to, "\nfor every command:\n");
    put_options(cli_global_options, to);
    (void)fprintf(to, "\n`plexus help COMMAND` tells more.\n");
}

static void put_examples(const char *const *examples, FILE *to)
{
    (void)fprintf(to, "\nexamples:\n");
    for (; examples && *examples; examples += 2)
        (void)fprintf(to, "  %s\n      %s\n", examples[0], examples[1]);
}

void cli_help_command(const struct cli *c, const struct cli_command *const *path, size_t depth,
                      FILE *to)
{
    const struct cli_command *command = path[depth - 1];
    (void)c;
    (void)fprintf(to, "usage: plexus");
    for (size_t i = 0; i < depth; i++)
        (void)fprintf(to, " %s", path[i]->name);
    (void)fprintf(to, "%s%s%s\n\n%s\n", *command->usage ? " " : "", command->usage,
                  command->options ? " [options]" : "", command->summary);
    if (command->text)
        (void)fprintf(to, "\n%s\n", command->text);
    if (command->subs)
        (void)fprintf(to, "\ncommands:\n");
    for (const struct cli_command *s = command->subs; s && s->name; s++) {
        char left[64];
        (void)snprintf(left, sizeof left, "%s%s%s", s->name, *s->usage ? " " : "", s->usage);
        (void)fprintf(to, "  %-22s %s\n", left, s->summary);
    }
    if (command->options) {
        (void)fprintf(to, "\noptions:\n");
        put_options(command->options, to);
    }
    if (command->examples)
        put_examples(command->examples, to);
    (void)fprintf(to, "\nfor every command:\n");
    put_options(cli_global_options, to);
}

static void put_json_options(struct json_w *w, const struct cli_option *o)
{
    json_w_arr(w, "options");
    for (; o && o->name; o++) {
        char letter[2] = {o->letter, 0};
        json_w_obj(w, NULL);
        json_w_cstr(w, "name", o->name);
        json_w_cstr(w, "letter", o->letter ? letter : NULL);
        json_w_cstr(w, "value", o->value);
        json_w_cstr(w, "what", o->what);
        json_w_end(w);
    }
    json_w_end(w);
}

static void put_json(struct json_w *w, const struct cli_command *command)
{
    static const char *const needs[] = {"none", "either", "node"};
    json_w_obj(w, NULL);
    json_w_cstr(w, "name", command->name);
    json_w_cstr(w, "summary", command->summary);
    json_w_cstr(w, "usage", command->usage);
    json_w_cstr(w, "needs", needs[command->needs]);
    put_json_options(w, command->options);
    json_w_arr(w, "commands");
    for (const struct cli_command *s = command->subs; s && s->name; s++)
        put_json(w, s);
    json_w_end(w);
    json_w_end(w);
}

static int json_all(struct cli *c)
{
    struct buf out;
    struct json_w w;
    buf_init(&out, CLI_TEXT_MAX);
    json_w_init(&w, &out);
    json_w_obj(&w, NULL);
    put_json_options(&w, cli_global_options);
    json_w_arr(&w, "commands");
    for (const struct cli_command *const *p = c->commands; *p; p++)
        put_json(&w, *p);
    json_w_end(&w);
    json_w_end(&w);
    int rc = out.failed ? out.failed : cli_print(buf_bytes(&out), stdout);
    buf_fini(&out);
    return rc;
}

static int help(struct cli *c, struct err *e)
{
    const struct cli_command *path[CLI_DEPTH_MAX];
    const char *names[64];
    size_t depth = 0;
    if (c->json)
        return json_all(c);
    for (; depth < cli_args(c); depth++) {
        const char *name = cli_arg(c, depth);
        size_t n = 0;
        path[depth] = depth ? cli_sub(path[depth - 1], name) : cli_find(c->commands, name);
        if (path[depth])
            continue;
        for (const struct cli_command *s = depth ? path[depth - 1]->subs : NULL; s && s->name; s++)
            names[n++] = s->name;
        for (const struct cli_command *const *p = c->commands; !depth && *p; p++)
            names[n++] = (*p)->name;
        return cli_unknown("command", name, names, n, e);
    }
    if (depth)
        cli_help_command(c, path, depth, stdout);
    else
        cli_help_overview(c, stdout);
    return 0;
}
