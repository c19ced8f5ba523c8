// engines_make.c: the prepare command: makes a model's file when it is absent, at the node's start
// and again when a request finds it absent. What it prints is the model's progress.
// SPDX-License-Identifier: Apache-2.0
#include "app/engines_priv.h"
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool engine_must_make(const struct engine *x)
{
    return x->conf.prepare != NULL && x->conf.prepare[0] != NULL && x->conf.file != NULL &&
           access(x->conf.file, F_OK) != 0;
}

// "34%" anywhere in the line; negative: none.
static double share_of(struct bytes line)
{
    ptrdiff_t at = bytes_chr(line, '%');
    int64_t from = at, value = 0;
    while (from > 0 && isdigit((unsigned char)line.p[from - 1]))
        from--;
    if (at <= 0 || from == at || at - from > 3)
        return -1;
    for (int64_t i = from; i < at; i++)
        value = value * 10 + (line.p[i] - '0');
    return value > 100 ? -1 : (double)value / 100;
}

static void on_line(void *user, int fd, struct bytes line)
{
    struct engine *x = user;
    const struct engines_args *args = &x->all->args;
    char phase[120];
    line = bytes_trim(line);
    sup_line(&x->maker_log, line);
    (void)snprintf(phase, sizeof phase, "fetching%s%.*s", line.n > 0 ? ": " : "", BYTES_FMT(line));
    models_phase(args->models, x->model, phase, share_of(line), engines_now(x->all));
    args->on_line(args->user, x->conf.name, "prepare", fd, line);
    engines_run(x->all);
}

static void failed(struct engine *x, struct bytes why)
{
    x->start_when_made = false;
    models_failed(x->all->args.models, x->model, why, engines_now(x->all));
}

// The file is there: its header says what it needs; who waited for it goes on.
static void made(struct engine *x)
{
    struct models *m = x->all->args.models;
    int64_t now = engines_now(x->all);
    struct arena *a = arena_new(ENGINES_PLAN_BYTES);
    struct engine_spec spec = engine_spec_of(x);
    struct engine_plan plan = {.child = true};
    struct model_spec put;
    if (a != NULL)
        (void)x->ops->plan(&spec, 0, a, &plan, NULL); // what is wrong with it, the start will say
    engine_model_spec(&put, &x->conf, &plan);
    struct model_view v;
    model_view(m, x->model, now, &v);
    put.pinned = v.pinned; // may have been changed by hand
    models_phase(m, x->model, "", -1, now);
    (void)models_put(m, &put, now, NULL);
    arena_free(a);
    if (x->start_when_made) {
        x->start_when_made = false;
        models_requeue(m, x->model, now);
    }
}

static void on_exit(void *user, const struct proc_exit *exit)
{
    struct engine *x = user;
    struct buf why;
    x->all->args.procs->ops->free(x->maker);
    x->maker = NULL;
    (void)sup_exit(&x->maker_log, exit, engines_now(x->all));
    if (access(x->conf.file, F_OK) == 0) {
        made(x);
    } else {
        buf_init(&why, 8192);
        sup_why(&x->maker_log, NULL, &why);
        if (exit->code == 0 && exit->signal == 0)
            (void)buf_fmt(&why, "\n  but there is no file %s", x->conf.file);
        failed(x, buf_bytes(&why));
        buf_fini(&why);
    }
    engines_run(x->all);
}

// {file} and {model} in a word.
static const char *filled(const struct engine *x, struct arena *a, struct bytes word)
{
    const char *text = "";
    while (word.n > 0 && text != NULL) {
        bool file = bytes_starts(word, BYTES("{file}")),
             model = bytes_starts(word, BYTES("{model}"));
        ptrdiff_t brace = bytes_chr(bytes_from(word, 1), '{');
        struct bytes part = brace < 0 ? word : bytes_first(word, (size_t)brace + 1);
        if (file || model) {
            text = arena_fmt(a, "%s%s", text, file ? x->conf.file : x->conf.name);
            word = bytes_from(word, strlen(file ? "{file}" : "{model}"));
        } else {
            text = arena_fmt(a, "%s%.*s", text, BYTES_FMT(part));
            word = bytes_from(word, part.n);
        }
    }
    return text;
}

static int spawn(struct engine *x, struct arena *a, struct err *e)
{
    struct procs *procs = x->all->args.procs;
    size_t n = 0;
    while (x->conf.prepare[n] != NULL)
        n++;
    const char **argv = arena_zalloc(a, (n + 1) * sizeof *argv);
    const char *const *env = engine_environment(a, x->conf.env);
    bool ok = argv != NULL && env != NULL;
    for (size_t i = 0; ok && i < n; i++)
        ok = (argv[i] = filled(x, a, bytes_of(x->conf.prepare[i]))) != NULL;
    if (!ok)
        return err_set(e, E_NOMEM, "model %s: prepare", x->conf.name);
    const struct proc_args args = {
        .argv = argv,
        .env = env,
        .cwd = x->all->args.folder,
        .on_line = on_line,
        .on_exit = on_exit,
        .user = x,
    };
    return procs->ops->spawn(procs, &args, &x->maker, e);
}

void engine_make(struct engine *x)
{
    int64_t now = engines_now(x->all);
    models_phase(x->all->args.models, x->model, "fetching", -1, now);
    if (x->maker != NULL)
        return; // began at the node's start
    sup_init(&x->maker_log);
    (void)sup_start(&x->maker_log, TIME_NEVER, 0, now);
    x->maker_log.what = "the prepare command";
    struct err e = {0};
    struct arena *a = arena_new(ENGINES_PLAN_BYTES);
    int rc = a != NULL ? spawn(x, a, &e) : err_set(&e, E_NOMEM, "model %s: prepare", x->conf.name);
    arena_free(a);
    if (rc < 0)
        failed(x, (struct bytes){e.text, e.n});
}

void engine_make_stop(struct engine *x)
{
    x->start_when_made = false;
    if (x->maker != NULL)
        x->all->args.procs->ops->free(x->maker);
    x->maker = NULL;
}
