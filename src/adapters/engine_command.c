// engine_command.c: any program that serves HTTP on the port it is given.
// SPDX-License-Identifier: Apache-2.0
#include "adapters/engine_priv.h"
#include "base/buf.h"
#include <stdio.h>

#define WORD_MAX ((size_t)64 << 10)

// {port}, {host}, {model} and {file} in a word; other braces stay as they are.
static int fill(const struct engine_spec *s, const struct engine_plan *plan, struct arena *a,
                struct bytes word, const char **ret, struct err *e)
{
    char port[8];
    struct buf out;
    const struct {
        struct bytes name;
        const char *value;
    } holes[] = {{BYTES("{port}"), port},
                 {BYTES("{host}"), plan->host},
                 {BYTES("{model}"), s->model},
                 {BYTES("{file}"), s->file}};
    const size_t count = sizeof holes / sizeof holes[0];
    (void)snprintf(port, sizeof port, "%u", plan->port);
    buf_init(&out, WORD_MAX);
    while (word.n > 0) {
        size_t i = 0;
        while (i < count && !bytes_starts(word, holes[i].name))
            i++;
        if (i < count && holes[i].value == NULL) {
            buf_fini(&out);
            return err_set(e, E_INVALID,
                           "model %s: its command has {file}, but the model has no file", s->model);
        }
        (void)buf_put(&out, i < count ? bytes_of(holes[i].value) : bytes_first(word, 1));
        word = bytes_from(word, i < count ? holes[i].name.n : 1);
    }
    *ret = out.failed != 0 ? NULL : arena_str(a, buf_bytes(&out));
    buf_fini(&out);
    return *ret != NULL ? 0 : err_set(e, E_TOOBIG, "model %s: its command is too long", s->model);
}

static int plan(const struct engine_spec *s, uint16_t port, struct arena *a,
                struct engine_plan *ret, struct err *e)
{
    struct engine_plan p = {.child = true,
                            .host = "127.0.0.1",
                            .port = port,
                            .base_path = "/v1",
                            .health = s->health,
                            .auth = "",
                            .upstream_model = s->upstream_model,
                            .context = s->context,
                            .kind = s->kind};
    struct engine_words argv, env;
    if (s->command == NULL || s->command[0] == NULL)
        return err_set(e, E_INVALID, "model %s: engine command needs the key command", s->model);
    if (engine_words_begin(&argv, a) < 0 || engine_words_begin(&env, a) < 0)
        return err_set(e, E_NOMEM, "model %s", s->model);
    for (size_t i = 0; s->command[i] != NULL; i++) {
        const char *word = NULL;
        int rc = fill(s, &p, a, bytes_of(s->command[i]), &word, e);
        if (rc < 0)
            return rc;
        engine_word(&argv, word);
    }
    engine_words_all(&argv, s->args);
    engine_words_all(&env, s->env);
    p.argv = argv.list;
    p.env = env.list;
    if (argv.failed < 0 || env.failed < 0 || !engine_keep(a, &p.health) ||
        !engine_keep(a, &p.kind) || !engine_keep(a, &p.upstream_model))
        return err_set(e, argv.failed < 0 ? argv.failed : E_NOMEM,
                       "model %s: its command is too long", s->model);
    *ret = p;
    return 0;
}

static bool progress(struct bytes line, const char **ret_phase, double *ret_share)
{
    double share = engine_percent(line);
    if (share < 0)
        return false;
    *ret_phase = "loading";
    *ret_share = share;
    return true;
}

static int blame(const struct bytes *lines, int count)
{
    static const char *const patterns[] = {"address already in use",
                                           "no such file",
                                           "not found",
                                           "out of memory",
                                           "permission denied",
                                           "cannot open",
                                           "fatal",
                                           "error:",
                                           "exception",
                                           "error",
                                           "failed",
                                           "cannot",
                                           NULL};
    return engine_blame(lines, count, patterns);
}

const struct engine_ops *engine_command(void)
{
    static const struct engine_ops ops = {
        .name = "command",
        .what = "Any program that serves HTTP on the port it is given.",
        .plan = plan,
        .progress = progress,
        .blame = blame,
    };
    return &ops;
}
