// shell.c: run: shell, a command of sh in a limited child.
// SPDX-License-Identifier: Apache-2.0
#include "acts/acts_priv.h"

#include <string.h>

struct shell {
    struct act_child child;
    struct arena *words;
};

static void ended(struct act *a, struct act_child *c)
{
    act_child_end(a, c, "the command");
}

static void start(struct act *a)
{
    struct shell *s = a->own;
    const struct val *command = val_get_cstr(a->with, "command");
    struct err e = {0};
    // $0 is sh, $1 and on are the arguments: as the DSL's example has them.
    const char *first[] = {"sh", "-c", val_text(command, ""), "sh", NULL};
    const char *const *argv = NULL;
    if (!val_bytes(command).n || memchr(val_bytes(command).p, 0, val_bytes(command).n)) {
        act_fail(a, ACT_CONFIGURATION, 0, true, "run: shell needs a command");
        return;
    }
    s->words = arena_new((size_t)8 << 20);
    int rc = s->words ? act_words(s->words, val_get_cstr(a->with, "arguments"), first, &argv, &e)
                      : err_set(&e, E_NOMEM, "out of memory");
    if (rc < 0) {
        act_fail(a, ACT_CONFIGURATION, 0, rc != E_NOMEM, "%s", e.text);
        return;
    }
    struct buf input;
    if (act_input(a, val_get_cstr(a->with, "stdin"), &input) == 0)
        act_child(a, &s->child,
                  &(struct act_child_args){.argv = argv,
                                           .environment = val_get_cstr(a->with, "environment"),
                                           .input = buf_bytes(&input),
                                           .then = ended});
    buf_fini(&input);
}

static void stop(struct act *a)
{
    struct shell *s = a->own;
    act_child_fini(&s->child);
    arena_free(s->words);
}

const struct act_kind act_shell = {.name = "shell",
                                   .what = "A shell command in a limited child.",
                                   .bytes = sizeof(struct shell),
                                   .start = start,
                                   .stop = stop};
