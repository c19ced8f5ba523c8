// jail_args.c: a jail's options as words of a command line and back: letters with a value.
// SPDX-License-Identifier: Apache-2.0
#include "jail/jail.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- out

static void word(struct jail_words *w, const char *letter, const char *value)
{
    if (w->n > JAIL_WORDS_MAX - 2) {
        w->n = JAIL_WORDS_MAX + 1;
        return;
    }
    w->word[w->n++] = letter;
    w->word[w->n++] = value;
}

static void number(struct jail_words *w, const char *letter, uint64_t value)
{
    if (value == 0)
        return;
    if (w->texts == sizeof w->text / sizeof *w->text) {
        w->n = JAIL_WORDS_MAX + 1;
        return;
    }
    char *text = w->text[w->texts++];
    (void)snprintf(text, sizeof *w->text, "%llu", (unsigned long long)value);
    word(w, letter, text);
}

int jail_words(struct jail_words *ret, const struct jail_opts *o, struct err *e)
{
    memset(ret, 0, sizeof *ret);
    for (size_t i = 0; i < o->folders; i++)
        word(ret, o->folder[i].write ? "-w" : "-r", o->folder[i].path);
    for (size_t i = 0; i < o->ports; i++)
        number(ret, "-p", o->port[i]);
    if (o->cwd)
        word(ret, "-d", o->cwd);
    if (o->require)
        word(ret, "-s", "1");
    if (o->bare)
        word(ret, "-b", "1");
    if (o->network)
        word(ret, "-n", "1");
    number(ret, "-t", o->tmp_bytes);
    number(ret, "-f", o->file_bytes);
    number(ret, "-m", o->memory_bytes);
    number(ret, "-c", o->processes);
    number(ret, "-o", o->files);
    number(ret, "-u", o->cpu_s);
    if (o->hidden)
        word(ret, "-x", o->hidden);
    number(ret, "-i", o->hidden ? o->hidden_inode : 0);
    if (o->report)
        word(ret, "-l", "1");
    if (ret->n > JAIL_WORDS_MAX)
        return err_set(e, E_TOOBIG, "too many folders or ports for one sandbox");
    return 0;
}

// ---- in

// A jail's path is compared by its text: so only the one way to write it.
static bool plain_path(const char *p)
{
    size_t n = strlen(p);
    return p[0] == '/' && n < 4096 && !strstr(p, "//") && !strstr(p, "/./") && !strstr(p, "/../") &&
           (n == 1 || p[n - 1] != '/') && (n < 2 || strcmp(p + n - 2, "/.") != 0) &&
           (n < 3 || strcmp(p + n - 3, "/..") != 0);
}

static int folder(struct jail_opts *o, const char *path, bool write, struct err *e)
{
    if (!plain_path(path))
        return err_set(e, E_USAGE, "not an absolute, plain path: %s", path);
    if (o->folders == JAIL_FOLDERS_MAX)
        return err_set(e, E_USAGE, "more than %d folders", JAIL_FOLDERS_MAX);
    o->folder[o->folders++] = (struct jail_folder){path, write};
    return 0;
}

static int option(struct jail_opts *o, char letter, const char *value, struct err *e)
{
    uint64_t n = 0;
    if (letter == 'r' || letter == 'w')
        return folder(o, value, letter == 'w', e);
    if (letter == 'x' && plain_path(value)) {
        o->hidden = value;
        return 0;
    }
    if (letter == 'd' && plain_path(value)) {
        o->cwd = value;
        return 0;
    }
    if (!bytes_u64(bytes_of(value), &n))
        return err_set(e, E_USAGE, "-%c %s: not a number", letter, value);
    switch (letter) {
    case 's': o->require = n != 0; break;
    case 'b': o->bare = n != 0; break;
    case 'n': o->network = n != 0; break;
    case 'l': o->report = n != 0; break;
    case 't': o->tmp_bytes = n; break;
    case 'f': o->file_bytes = n; break;
    case 'm': o->memory_bytes = n; break;
    case 'c': o->processes = n; break;
    case 'o': o->files = n; break;
    case 'u': o->cpu_s = n; break;
    case 'i': o->hidden_inode = n; break;
    case 'p':
        if (n == 0 || n > UINT16_MAX || o->ports == JAIL_PORTS_MAX)
            return err_set(e, E_USAGE, "-p %s: no port, or too many", value);
        o->port[o->ports++] = (uint16_t)n;
        break;
    default: return err_set(e, E_USAGE, "unknown option -%c", letter);
    }
    return 0;
}

int jail_parse(struct jail_opts *ret, char **argv, struct err *e)
{
    struct jail_opts o = {0};
    for (; *argv && strcmp(*argv, "--") != 0; argv += 2) {
        const char *name = *argv;
        if (name[0] != '-' || name[1] == 0 || name[2] != 0 || !argv[1])
            return err_set(e, E_USAGE, "an option without a value: %s", name);
        int rc = option(&o, name[1], argv[1], e);
        if (rc < 0)
            return rc;
    }
    if (*argv && argv[1])
        o.argv = argv + 1;
    *ret = o;
    return 0;
}
