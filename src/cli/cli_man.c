// cli_man.c: plexus man: the manual page (roff, man macros) from the command table.
// SPDX-License-Identifier: Apache-2.0
#include "cli/cli_commands_priv.h"
#include <string.h>

static int man(struct cli *c, struct err *e);

const struct cli_command cli_man_command = {
    .name = "man",
    .summary = "print the manual page",
    .usage = "",
    .needs = CLI_NONE,
    .run = man,
};

// Text for roff: backslashes and dashes escaped, no line begins with a control character.
static void put(struct buf *out, const char *text)
{
    for (const char *p = text; *p; p++) {
        bool start = p == text || p[-1] == '\n';
        if (start && (*p == '.' || *p == '\''))
            (void)buf_str(out, "\\&");
        if (*p == '\\')
            (void)buf_str(out, "\\e");
        else if (*p == '-')
            (void)buf_str(out, "\\-");
        else
            (void)buf_chr(out, *p);
    }
}

static void put_options(struct buf *out, const struct cli_option *o)
{
    for (; o && o->name; o++) {
        (void)buf_str(out, ".TP\n\\fB");
        if (o->letter)
            (void)buf_fmt(out, "\\-%c\\fR, \\fB", o->letter);
        (void)buf_str(out, "\\-\\-");
        put(out, o->name);
        (void)buf_str(out, "\\fR");
        if (o->value) {
            (void)buf_str(out, cli_option_needs(o) ? " \\fI" : "\\fI");
            put(out, o->value);
            (void)buf_str(out, "\\fR");
        }
        (void)buf_chr(out, '\n');
        put(out, o->what);
        (void)buf_chr(out, '\n');
    }
}

static void put_command(struct buf *out, const char *parent, const struct cli_command *command)
{
    char name[128];
    (void)snprintf(name, sizeof name, "%s%s%s", parent, *parent ? " " : "", command->name);
    (void)buf_str(out, ".SS \"plexus ");
    put(out, name);
    if (*command->usage) {
        (void)buf_chr(out, ' ');
        put(out, command->usage);
    }
    (void)buf_str(out, "\"\n");
    put(out, command->summary);
    (void)buf_str(out, ".\n");
    if (command->text) {
        (void)buf_str(out, ".PP\n");
        put(out, command->text);
        (void)buf_chr(out, '\n');
    }
    put_options(out, command->options);
    for (const char *const *x = command->examples; x && *x; x += 2) {
        (void)buf_str(out, ".TP\n.B ");
        put(out, x[0]);
        (void)buf_chr(out, '\n');
        put(out, x[1]);
        (void)buf_chr(out, '\n');
    }
    for (const struct cli_command *s = command->subs; s && s->name; s++)
        put_command(out, name, s);
}

static void put_page(struct buf *out, const struct cli *c)
{
    (void)buf_fmt(out,
                  ".TH PLEXUS 1 \"\" \"plexus %s\"\n.SH NAME\nplexus \\- a private AI mesh node\n"
                  ".SH SYNOPSIS\n.B plexus\n.I COMMAND\n[options]\n.SH DESCRIPTION\n",
                  PLEXUS_VERSION);
    put(out,
        "plexus runs AI models on this machine behind an API in OpenAI's shape and a page to look\n"
        "at. `plexus up` is the node; every other command is a client of it, or needs none.\n");
    (void)buf_str(out, ".SH OPTIONS OF EVERY COMMAND\n");
    put_options(out, cli_global_options);
    (void)buf_str(out, ".SH COMMANDS\n");
    for (const struct cli_command *const *p = c->commands; *p; p++)
        put_command(out, "", *p);
    (void)buf_str(
        out,
        ".SH ENVIRONMENT\n"
        ".TP\n.B PLEXUS_DATA\nThe data folder when \\-\\-data is not given.\n"
        ".TP\n.B PLEXUS_CONTEXT\nThe context of this machine when \\-\\-context is not given.\n"
        ".TP\n.B PLEXUS_CONFIG\nThe config when \\-\\-config is not given.\n"
        ".TP\n.B PLEXUS_API_KEY\nThe key for a node that needs one (\\-\\-node).\n"
        ".TP\n.B NO_COLOR\nWhen set, tables have no colours.\n"
        ".SH EXIT STATUS\n"
        "0: all is well. 1: a check of `plexus doctor` failed. 64 and above: an error, numbered "
        "as\n"
        "in sysexits.h: 64 wrong usage, 65 bad input, 66 not found, 69 no node or engine, 70 "
        "internal,\n"
        "71 out of memory, 74 input or output, 75 try again later, 77 not allowed, 78 bad config.\n"
        "130: ended by Ctrl\\-C.\n");
}

static int man(struct cli *c, struct err *e)
{
    struct buf out;
    buf_init(&out, CLI_TEXT_MAX);
    put_page(&out, c);
    int rc = out.failed ? err_set(e, out.failed, "the page is too large") : 0;
    if (!rc && c->json) {
        struct buf quoted;
        buf_init(&quoted, CLI_TEXT_MAX);
        (void)buf_str(&quoted, "{\"man\":");
        (void)buf_json_str(&quoted, buf_bytes(&out));
        (void)buf_str(&quoted, "}");
        rc = quoted.failed ? quoted.failed : cli_print(buf_bytes(&quoted), stdout);
        buf_fini(&quoted);
    } else if (!rc) {
        rc = cli_print(buf_bytes(&out), stdout);
    }
    buf_fini(&out);
    return rc;
}
