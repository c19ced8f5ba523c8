// cli.c: from argv to a row of the command table, and from its error to the exit code.
// SPDX-License-Identifier: Apache-2.0
#include "cli/cli_priv.h"
#include "text/units.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAMES_MAX 64

const struct cli_option cli_global_options[] = {
    {"json", 0, NULL, "answer in JSON, for programs", NULL},
    {"data", 0, "DIR", "the node's data folder (else PLEXUS_DATA, the config's, ./data)", "dir"},
    {"socket", 0, "PATH", "the node's socket (else DATA/run/plexus.sock)", "file"},
    {"node", 0, "URL", "a node elsewhere, http://host:port, with the key in PLEXUS_API_KEY", NULL},
    {"help", 'h', NULL, "what a command does and takes", NULL},
    {NULL, 0, NULL, NULL, NULL},
};

static const struct cli_option version_option[] = {
    {"version", 'V', NULL, "the version", NULL},
    {NULL, 0, NULL, NULL, NULL},
};

static int (*the_up)(struct cli *c, struct err *e);

void cli_set_up(int (*run)(struct cli *c, struct err *e))
{
    the_up = run;
}

int cli_up_run(struct cli *c, struct err *e)
{
    if (!the_up)
        return err_set(e, E_UNSUPPORTED, "this program was built without the node");
    return the_up(c, e);
}

const char *cli_option(const struct cli *c, const char *name)
{
    for (size_t i = c->parsed.given_count; i-- > 0;)
        if (!strcmp(c->parsed.given[i].option->name, name))
            return c->parsed.given[i].value;
    return NULL;
}

size_t cli_args(const struct cli *c)
{
    return c->parsed.word_count;
}

const char *cli_arg(const struct cli *c, size_t i)
{
    return i < c->parsed.word_count ? c->parsed.words[i] : NULL;
}

bool cli_json(const struct cli *c)
{
    return c->json;
}

int cli_option_u64(const struct cli *c, const char *name, uint64_t least, uint64_t most,
                   uint64_t *value, struct err *e)
{
    const char *text = cli_option(c, name);
    uint64_t v;
    if (!text)
        return 0;
    if (!bytes_u64(bytes_of(text), &v) || v < least || v > most)
        return err_set(e, E_USAGE, "--%s is a whole number from %llu to %llu, not \"%s\"", name,
                       (unsigned long long)least, (unsigned long long)most, text);
    *value = v;
    return 0;
}

int cli_option_ms(const struct cli *c, const char *name, int64_t *value, struct err *e)
{
    const char *text = cli_option(c, name);
    if (!text || !units_duration(bytes_of(text), value, e))
        return 0;
    e->code = E_USAGE;
    return err_wrap(e, "--%s", name);
}

const struct cli_command *cli_find(const struct cli_command *const *commands, const char *name)
{
    for (; *commands; commands++)
        if (!strcmp((*commands)->name, name))
            return *commands;
    return NULL;
}

const struct cli_command *cli_sub(const struct cli_command *command, const char *name)
{
    for (const struct cli_command *s = command->subs; s && s->name; s++)
        if (!strcmp(s->name, name))
            return s;
    return NULL;
}

int cli_unknown(const char *what, const char *name, const char *const *names, size_t count,
                struct err *e)
{
    int near = units_nearest(bytes_of(name), names, count);
    if (near < 0)
        return err_set(e, E_USAGE, "unknown %s \"%.80s\"; `plexus help` lists them", what, name);
    return err_set(e, E_USAGE, "unknown %s \"%.80s\"; nearest: %s", what, name, names[near]);
}

static int unknown_command(const struct cli *c, const char *name, struct err *e)
{
    const char *names[NAMES_MAX];
    size_t n = 0;
    if (c->depth) {
        for (const struct cli_command *s = c->path[c->depth - 1]->subs; s->name && n < NAMES_MAX;
             s++)
            names[n++] = s->name;
    } else {
        for (const struct cli_command *const *p = c->commands; *p && n < NAMES_MAX; p++)
            names[n++] = (*p)->name;
    }
    return cli_unknown("command", name, names, n, e);
}

// Walks down the tables: global options, command, its options, sub, its options, words.
static int read_line(struct cli *c, int argc, char **argv, struct err *e)
{
    const struct cli_option *tables[CLI_DEPTH_MAX + 3] = {cli_global_options, version_option};
    size_t tables_n = 2;
    int at = 1;
    for (;;) {
        const struct cli_command *last = c->depth ? c->path[c->depth - 1] : NULL;
        bool leaf = last && !last->subs;
        int rc = cli_parse(tables, argc, argv, &at, !leaf, &c->parsed, e);
        if (rc || leaf || at >= argc)
            return rc;
        const struct cli_command *next =
            last ? cli_sub(last, argv[at]) : cli_find(c->commands, argv[at]);
        if (!next)
            return unknown_command(c, argv[at], e);
        if (!last)
            tables[--tables_n] = NULL; // --version belongs to no command
        c->path[c->depth++] = next;
        if (next->options)
            tables[tables_n++] = next->options;
        at++;
    }
}

static int check_words(const struct cli *c, const struct cli_command *command, struct err *e)
{
    int n = (int)c->parsed.word_count;
    if (n < command->args_min)
        return err_set(e, E_USAGE, "%.*s is missing; see `plexus help %s`",
                       (int)strcspn(command->usage, " "), command->usage, c->path[0]->name);
    if (command->args_max >= 0 && n > command->args_max)
        return err_set(e, E_USAGE, "\"%.80s\" is one word too many; see `plexus help %s`",
                       c->parsed.words[command->args_max], c->path[0]->name);
    return 0;
}

static int run(struct cli *c, struct err *e)
{
    const struct cli_command *command = c->depth ? c->path[c->depth - 1] : NULL;
    if (cli_option(c, "help")) {
        if (command)
            cli_help_command(c, c->path, c->depth, stdout);
        else
            cli_help_overview(c, stdout);
        return 0;
    }
    if (cli_option(c, "version"))
        command = cli_find(c->commands, "version");
    if (!command || !command->run) {
        if (command)
            cli_help_command(c, c->path, c->depth, stderr);
        else
            cli_help_overview(c, stderr);
        return err_info(E_USAGE)->exit;
    }
    int rc = check_words(c, command, e);
    return rc ? rc : command->run(c, e);
}

static int tell(const struct cli *c, int rc, const struct err *e)
{
    const struct err_info *info = err_info(rc);
    const char *text = e->n ? e->text : info->text;
    cli_status(NULL);
    if (c->json) {
        struct buf b;
        struct json_w w;
        buf_init(&b, CLI_TEXT_MAX);
        json_w_init(&w, &b);
        json_w_obj(&w, NULL);
        json_w_obj(&w, "error");
        json_w_cstr(&w, "message", text);
        json_w_cstr(&w, "code", info->symbol);
        json_w_i64(&w, "exit", info->exit);
        json_w_end(&w);
        json_w_end(&w);
        (void)cli_print(buf_bytes(&b), stderr);
        buf_fini(&b);
    } else {
        (void)fprintf(stderr, "plexus: %s\n", text);
    }
    return info->exit;
}

int cli_main(const struct cli_command *const *commands, int argc, char **argv)
{
    struct cli c = {.commands = commands ? commands : cli_commands()};
    struct err e = {0};
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    c.color = isatty(STDOUT_FILENO) && !(no_color && *no_color) && !(term && !strcmp(term, "dumb"));
    c.parsed.words = mem_array((size_t)argc + 1, sizeof *c.parsed.words);
    int rc = c.parsed.words ? read_line(&c, argc, argv, &e) : E_NOMEM;
    c.json = cli_option(&c, "json") != NULL;
    if (!rc)
        rc = run(&c, &e);
    cli_status(NULL);
    if (fflush(stdout) && rc >= 0)
        rc = err_set(&e, E_IO, "standard output cannot be written");
    int code = rc < 0 ? tell(&c, rc, &e) : rc;
    mem_free(c.parsed.words);
    return code;
}
