// cli_completion.c: plexus completion bash|zsh|fish, from the command table. Model and node
// names come from the running node.
// SPDX-License-Identifier: Apache-2.0
#include "cli/cli_commands_priv.h"
#include <string.h>

static int completion(struct cli *c, struct err *e);

static const char *const examples[] = {
    "source <(plexus completion bash)", "in ~/.bashrc",
    "plexus completion fish > ~/.config/fish/completions/plexus.fish", "for fish", NULL};

const struct cli_command cli_completion_command = {
    .name = "completion",
    .summary = "print the completion script of a shell",
    .usage = "bash|zsh|fish",
    .examples = examples,
    .needs = CLI_NONE,
    .args_min = 1,
    .args_max = 1,
    .complete = "bash|zsh|fish",
    .run = completion,
};

#define MODELS "$(plexus models ls --quiet 2>/dev/null)"
#define FLOWS "$(plexus flow ls --quiet 2>/dev/null)"
#define TOOLS "$(plexus tool ls --quiet 2>/dev/null)"
#define NODES "$(plexus nodes ls --quiet 2>/dev/null)"

// What may stand for a word or a value, as shell words.
static void put_words(struct buf *out, const char *complete, const struct cli *c)
{
    if (!strcmp(complete, "model")) {
        (void)buf_str(out, MODELS);
    } else if (!strcmp(complete, "node")) {
        (void)buf_str(out, NODES);
    } else if (!strcmp(complete, "flow")) {
        (void)buf_str(out, FLOWS);
    } else if (!strcmp(complete, "tool")) {
        (void)buf_str(out, TOOLS);
    } else if (!strcmp(complete, "command")) {
        for (const struct cli_command *const *p = c->commands; *p; p++)
            (void)buf_fmt(out, "%s%s", p == c->commands ? "" : " ", (*p)->name);
    } else {
        for (; *complete; complete++)
            (void)buf_chr(out, *complete == '|' ? ' ' : *complete);
    }
}

static bool is_path(const char *complete)
{
    return complete && (!strcmp(complete, "file") || !strcmp(complete, "dir"));
}

// ---- bash and zsh -------------------------------------------------------------------------------

static void put_option_words(struct buf *out, const struct cli_option *o)
{
    for (; o && o->name; o++)
        (void)buf_fmt(out, " --%s", o->name);
}

static void put_values(struct buf *out, const char *path, const struct cli_option *o,
                       const struct cli *c)
{
    for (; o && o->name; o++) {
        if (!cli_option_needs(o))
            continue;
        (void)buf_fmt(out, "        \"%s --%s\"", path, o->name);
        if (o->letter)
            (void)buf_fmt(out, " | \"%s -%c\"", path, o->letter);
        (void)buf_str(out, ") ");
        if (is_path(o->complete)) {
            (void)buf_fmt(out, "COMPREPLY=($(compgen -%c -- \"$cur\"))",
                          *o->complete == 'd' ? 'd' : 'f');
        } else {
            (void)buf_str(out, "COMPREPLY=($(compgen -W \"");
            if (o->complete)
                put_words(out, o->complete, c);
            (void)buf_str(out, "\" -- \"$cur\"))");
        }
        (void)buf_str(out, "; return ;;\n");
    }
}

typedef void (*each_fn)(struct buf *out, const char *path, const struct cli_command *command,
                        const struct cli *c);

static void each(struct buf *out, const struct cli *c, each_fn fn)
{
    for (const struct cli_command *const *p = c->commands; *p; p++) {
        fn(out, (*p)->name, *p, c);
        for (const struct cli_command *s = (*p)->subs; s && s->name; s++) {
            char path[128];
            (void)snprintf(path, sizeof path, "%s %s", (*p)->name, s->name);
            fn(out, path, s, c);
        }
    }
}

static void bash_values(struct buf *out, const char *path, const struct cli_command *command,
                        const struct cli *c)
{
    put_values(out, path, command->options, c);
}

static void bash_words(struct buf *out, const char *path, const struct cli_command *command,
                       const struct cli *c)
{
    (void)buf_fmt(out, "        \"%s\") words=\"", path);
    for (const struct cli_command *s = command->subs; s && s->name; s++)
        (void)buf_fmt(out, "%s ", s->name);
    if (command->complete && !is_path(command->complete))
        put_words(out, command->complete, c);
    (void)buf_str(out, "\"; options=\"");
    put_option_words(out, command->options);
    (void)buf_fmt(out, "\"; files=%d ;;\n", is_path(command->complete));
}

static void bash_with_subs(struct buf *out, const char *path, const struct cli_command *command,
                           const struct cli *c)
{
    (void)c;
    if (command->subs)
        (void)buf_fmt(out, "%s%s", out->p[out->n - 1] == '(' ? "" : "|", path);
}

static void put_bash(struct buf *out, const struct cli *c)
{
    (void)buf_str(out, "# completion of plexus for bash; made from its command table\n"
                       "_plexus() {\n"
                       "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
                       "    local path= words= options= files=0 i w\n"
                       "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
                       "        w=${COMP_WORDS[i]}\n"
                       "        [[ $w == -* ]] && continue\n"
                       "        if [[ -z $path ]]; then path=$w\n"
                       "        elif [[ $path =~ ^(");
    each(out, c, bash_with_subs);
    (void)buf_str(out, ")$ ]]; then path=\"$path $w\"; fi\n"
                       "    done\n"
                       "    case \"$prev\" in\n"
                       "        --data) COMPREPLY=($(compgen -d -- \"$cur\")); return ;;\n"
                       "        --socket) COMPREPLY=($(compgen -f -- \"$cur\")); return ;;\n"
                       "        --node) COMPREPLY=(); return ;;\n"
                       "    esac\n"
                       "    case \"$path $prev\" in\n");
    each(out, c, bash_values);
    (void)buf_str(out, "    esac\n    case \"$path\" in\n        \"\") words=\"");
    put_words(out, "command", c);
    (void)buf_str(out, "\"; options=\" --version\" ;;\n");
    each(out, c, bash_words);
    (void)buf_str(out, "    esac\n    if [[ $cur == -* ]]; then words=\"$options");
    put_option_words(out, cli_global_options);
    (void)buf_str(
        out,
        "\"; fi\n"
        "    COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
        "    if [[ $files == 1 && $cur != -* ]]; then COMPREPLY+=($(compgen -f -- \"$cur\")); fi\n"
        "}\n"
        "complete -F _plexus plexus\n");
}

static void put_zsh(struct buf *out, const struct cli *c)
{
    (void)buf_str(out, "#compdef plexus\n"
                       "autoload -U +X bashcompinit && bashcompinit\n");
    put_bash(out, c);
}

// ---- fish ---------------------------------------------------------------------------------------

static void fish_text(struct buf *out, const char *text)
{
    (void)buf_chr(out, '\'');
    for (; *text; text++) {
        if (*text == '\'' || *text == '\\')
            (void)buf_chr(out, '\\');
        (void)buf_chr(out, *text);
    }
    (void)buf_chr(out, '\'');
}

static void fish_option(struct buf *out, const char *when, const struct cli_option *o,
                        const struct cli *c)
{
    (void)buf_fmt(out, "complete -c plexus %s -l %s", when, o->name);
    if (o->letter)
        (void)buf_fmt(out, " -s %c", o->letter);
    if (o->value && is_path(o->complete))
        (void)buf_str(out, " -rF");
    else if (cli_option_needs(o))
        (void)buf_str(out, " -x");
    if (o->value && o->complete && !is_path(o->complete)) {
        (void)buf_str(out, " -a \"");
        struct buf words;
        buf_init(&words, CLI_TEXT_MAX);
        put_words(&words, o->complete, c);
        const char *text = buf_cstr(&words);
        (void)buf_str(out, *text == '$' ? text + 1 : text); // fish: (command)
        (void)buf_chr(out, '"');
        buf_fini(&words);
    }
    (void)buf_str(out, " -d ");
    fish_text(out, o->what);
    (void)buf_chr(out, '\n');
}

static void fish_command(struct buf *out, const char *path, const struct cli_command *command,
                         const struct cli *c)
{
    char when[256];
    const char *space = strchr(path, ' ');
    if (space)
        (void)snprintf(when, sizeof when,
                       "-n '__fish_seen_subcommand_from %.*s; and __fish_seen_subcommand_from %s'",
                       (int)(space - path), path, space + 1);
    else
        (void)snprintf(when, sizeof when, "-n '__fish_seen_subcommand_from %s'", path);
    if (!space) {
        (void)buf_fmt(out, "complete -c plexus -n __fish_use_subcommand -f -a %s -d ", path);
        fish_text(out, command->summary);
        (void)buf_chr(out, '\n');
    }
    for (const struct cli_command *s = command->subs; s && s->name; s++) {
        (void)buf_fmt(out, "complete -c plexus %s -f -a %s -d ", when, s->name);
        fish_text(out, s->summary);
        (void)buf_chr(out, '\n');
    }
    for (const struct cli_option *o = command->options; o && o->name; o++)
        fish_option(out, when, o, c);
    if (!command->complete || is_path(command->complete))
        return;
    struct buf words;
    buf_init(&words, CLI_TEXT_MAX);
    put_words(&words, command->complete, c);
    const char *text = buf_cstr(&words);
    (void)buf_fmt(out, "complete -c plexus %s -f -a \"%s\"\n", when,
                  *text == '$' ? text + 1 : text);
    buf_fini(&words);
}

static void put_fish(struct buf *out, const struct cli *c)
{
    (void)buf_str(out, "# completion of plexus for fish; made from its command table\n");
    for (const struct cli_option *o = cli_global_options; o->name; o++)
        fish_option(out, "", o, c);
    each(out, c, fish_command);
}

static int completion(struct cli *c, struct err *e)
{
    static const char *const shells[] = {"bash", "zsh", "fish"};
    static void (*const put[])(struct buf *out, const struct cli *c) = {put_bash, put_zsh,
                                                                        put_fish};
    const char *shell = cli_arg(c, 0);
    struct buf out, quoted;
    size_t i = 0;
    while (i < 3 && strcmp(shell, shells[i]) != 0)
        i++;
    if (i == 3)
        return cli_unknown("shell", shell, shells, 3, e);
    buf_init(&out, CLI_TEXT_MAX);
    buf_init(&quoted, CLI_TEXT_MAX);
    put[i](&out, c);
    if (c->json) {
        (void)buf_fmt(&quoted, "{\"shell\":\"%s\",\"script\":", shell);
        (void)buf_json_str(&quoted, buf_bytes(&out));
        (void)buf_str(&quoted, "}");
    }
    int rc = out.failed | quoted.failed ? E_TOOBIG
                                        : cli_print(buf_bytes(c->json ? &quoted : &out), stdout);
    buf_fini(&out);
    buf_fini(&quoted);
    return rc;
}
