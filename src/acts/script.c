// script.c: run: script, Python or JavaScript in a limited child with a folder of its own.
// SPDX-License-Identifier: Apache-2.0
#include "acts/acts_priv.h"
#include "base/file.h"

#include <stdio.h>
#include <string.h>

struct script {
    const struct language *language;
    struct act_source source;
    struct act_child child;
    struct arena *words;
    char folder[4096];
};

static const struct language {
    const char *name, *file;
    bool python;
} languages[] = {
    // dsl-reference names js and python; the others are what people write
    {"js", "script.js", false},    {"javascript", "script.js", false},
    {"python", "script.py", true}, {"python3", "script.py", true},
    {"node", "script.js", false},
};

static void ended(struct act *a, struct act_child *c)
{
    struct script *s = a->own;
    if (c->exit.not_started)
        act_fail(a, ACT_CONFIGURATION, 0, true, "run: script: %s: install %s on this node",
                 c->exit.text, s->language->python ? "python3" : "node");
    else
        act_child_end(a, c, "the script");
}

static int write_code(struct act *a, struct bytes code, char *path, size_t size)
{
    struct script *s = a->own;
    struct err e = {0};
    int rc = act_folder_make(a, s->folder, sizeof s->folder);
    if (rc < 0)
        return rc;
    (void)snprintf(path, size, "%s/%s", s->folder, s->language->file);
    rc = file_write_atomic(path, code, 0600, &e);
    if (rc < 0)
        act_fail(a, ACT_RUNTIME, 0, false, "run: script: %s", e.text);
    return rc;
}

static void run(struct act *a, struct bytes code, struct bytes url)
{
    struct script *s = a->own;
    struct acts_args *room = &a->room->args;
    struct err e = {0};
    struct buf input;
    char path[4200];
    const char *const *argv = NULL;
    const char *program = s->language->python ? (room->python ? room->python : "python3")
                                              : (room->node_js ? room->node_js : "node");
    const char *first[] = {program, path, NULL};
    (void)url;
    if (write_code(a, code, path, sizeof path) < 0)
        return;
    s->words = arena_new((size_t)8 << 20);
    int rc = s->words ? act_words(s->words, val_get_cstr(a->with, "arguments"), first, &argv, &e)
                      : err_set(&e, E_NOMEM, "out of memory");
    if (rc < 0) {
        act_fail(a, ACT_CONFIGURATION, 0, rc != E_NOMEM, "%s", e.text);
        return;
    }
    if (act_input(a, val_get_cstr(a->with, "stdin"), &input) == 0)
        act_child(a, &s->child,
                  &(struct act_child_args){.argv = argv,
                                           .environment = val_get_cstr(a->with, "environment"),
                                           .cwd = s->folder,
                                           .input = buf_bytes(&input),
                                           .then = ended});
    buf_fini(&input);
}

static void start(struct act *a)
{
    struct script *s = a->own;
    struct val *code = val_get_cstr(a->with, "code"), *source = val_get_cstr(a->with, "source");
    struct bytes name = val_bytes(val_get_cstr(a->with, "language"));
    for (size_t i = 0; i < sizeof languages / sizeof *languages; i++)
        if (bytes_iis(name, languages[i].name))
            s->language = &languages[i];
    if (!s->language)
        act_fail(a, ACT_CONFIGURATION, 0, true,
                 "run: script: language \"%.*s\": it is js or python; for another one use run: "
                 "container or run: shell",
                 BYTES_FMT(bytes_first(name, 80)));
    else if (val_is(code, JSON_STR))
        run(a, val_bytes(code), BYTES_NONE);
    else if (source)
        act_source(a, &s->source, source, run);
    else
        act_fail(a, ACT_CONFIGURATION, 0, true, "run: script needs code or source");
}

static void stop(struct act *a)
{
    struct script *s = a->own;
    act_child_fini(&s->child);
    act_source_fini(&s->source);
    arena_free(s->words);
    act_folder_remove(s->folder);
}

const struct act_kind act_script = {.name = "script",
                                    .what = "A script in Python or JavaScript, in a limited child.",
                                    .bytes = sizeof(struct script),
                                    .start = start,
                                    .stop = stop};
