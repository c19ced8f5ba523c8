// act_child.c: a child of an activity: limited, fed, its output kept up to a ceiling.
// SPDX-License-Identifier: Apache-2.0
#include "acts/acts_priv.h"

#include <stdio.h>
#include <string.h>

#define ERR_MAX ((size_t)1 << 20) // of stderr; what is more is cut
#define QUOTE_MAX 1500             // so much of its stderr stands in an error
#define FILES_MAX 1024
#define WORDS_MAX 4096

// What a child of a flow gets from the node's environment: where things are, how people write. All
// else is the author's.
static const char *const passed[] = {"PATH", "HOME",   "USER", "LOGNAME", "SHELL",   "LANG",
                                     "TZ",   "TMPDIR", "TERM", "LC_ALL",  "LC_CTYPE"};

static int put_env(struct arena *r, const char **env, size_t *n, struct bytes name,
                   const struct val *v, struct err *e)
{
    char room[32];
    struct bytes text = act_scalar(v, room);
    struct buf json;
    if (!name.n || bytes_chr(name, '=') >= 0 || bytes_chr(name, '\0') >= 0)
        return err_set(e, E_INVALID, "environment: \"%.*s\" is no name", BYTES_FMT(name));
    if (!v || val_is(v, JSON_NULL))
        return 0;
    buf_init(&json, (size_t)128 << 10);
    (void)buf_put(&json, name);
    (void)buf_chr(&json, '=');
    (void)(text.p ? buf_put(&json, text) : val_write(&json, v));
    if (!json.failed && memchr(json.p, 0, json.n)) {
        buf_fini(&json);
        return err_set(e, E_INVALID, "environment: %.*s has a NUL byte", BYTES_FMT(name));
    }
    env[*n] = json.failed ? NULL : arena_str(r, buf_bytes(&json));
    if (json.p)
        mem_wipe(json.p, json.n);
    buf_fini(&json);
    return env[(*n)++] ? 0 : err_set(e, E_TOOBIG, "environment: %.*s is too long", BYTES_FMT(name));
}

// The author's come first and hide ours of the same name.
static int environment(struct arena *r, const struct val *given, const char *const **ret,
                       struct err *e)
{
    extern char **environ;
    size_t count = val_is(given, JSON_OBJ) ? val_len(given) : 0, n = 0, at = 0;
    struct bytes key;
    struct val *v;
    const char **env = arena_zalloc(r, (count + sizeof passed / sizeof *passed + 1) * sizeof *env);
    if (!env)
        return err_set(e, E_NOMEM, "out of memory");
    while (count && val_each(given, &at, &key, &v)) {
        int rc = put_env(r, env, &n, key, v, e);
        if (rc < 0)
            return rc;
    }
    for (size_t i = 0; i < sizeof passed / sizeof *passed; i++)
        for (char **p = environ; *p && !val_get_cstr(given, passed[i]); p++)
            if (strncmp(*p, passed[i], strlen(passed[i])) == 0 && (*p)[strlen(passed[i])] == '=')
                env[n++] = *p;
    *ret = env;
    return 0;
}

int act_words(struct arena *r, const struct val *arguments, const char *const *first,
              const char *const **ret, struct err *e)
{
    size_t n = 0, at = 0, count = val_len(arguments);
    struct bytes key;
    struct val *v;
    while (first[n])
        n++;
    if (count > WORDS_MAX)
        return err_set(e, E_TOOBIG, "more than %d arguments", WORDS_MAX);
    const char **words = arena_zalloc(r, (n + count + 1) * sizeof *words);
    if (!words)
        return err_set(e, E_NOMEM, "out of memory");
    memcpy(words, first, n * sizeof *words);
    bool list = val_is(arguments, JSON_ARR) || val_is(arguments, JSON_OBJ);
    if (arguments && !list && !val_is(arguments, JSON_NULL))
        return err_set(e, E_INVALID, "arguments must be a list");
    while (list && val_each(arguments, &at, &key, &v)) {
        struct buf text;
        char room[32];
        struct bytes scalar = act_scalar(v, room);
        buf_init(&text, (size_t)128 << 10);
        if (key.p) // an object: older documents write { name: value }
            (void)buf_put(&text, key), (void)buf_chr(&text, '=');
        (void)(scalar.p ? buf_put(&text, scalar) : val_write(&text, v));
        bool bad = text.failed || (text.n && memchr(text.p, 0, text.n));
        words[n] = bad ? NULL : arena_str(r, buf_bytes(&text));
        buf_fini(&text);
        if (!words[n++])
            return err_set(e, E_INVALID, "argument %zu is too long or has a NUL byte", at);
    }
    *ret = words;
    return 0;
}

// ---- its life ----------------------------------------------------------------------------------

static const struct procs_ops *ops(const struct act *a)
{
    return a->room->args.procs->ops;
}

static void over(struct act_child *c, const char *what, size_t max)
{
    struct act *a = c->act;
    if (!a->ended)
        act_fail(a, ACT_RUNTIME, 0, true, "its %s has more than %zu bytes: it was ended", what,
                 max);
    ops(a)->kill(c->proc);
}

static void take_lines(struct act_child *c, struct bytes part)
{
    if (buf_put(&c->line, part) < 0) {
        over(c, "line", c->line.max);
        return;
    }
    ptrdiff_t end;
    size_t from = 0;
    while (!c->act->ended && (end = bytes_chr(bytes_from(buf_bytes(&c->line), from), '\n')) >= 0) {
        c->args.on_line(c->act, bytes_first(bytes_from(buf_bytes(&c->line), from), (size_t)end));
        from += (size_t)end + 1;
    }
    buf_drop(&c->line, from);
}

static void on_bytes(void *user, int fd, struct bytes part)
{
    struct act_child *c = user;
    if (c->act->ended)
        return;
    if (fd == 2) {
        size_t room = c->err.max - c->err.n;
        (void)buf_put(&c->err, bytes_first(part, room));
    } else if (c->args.on_line) {
        take_lines(c, part);
    } else if (buf_put(&c->out, part) < 0) {
        over(c, "output", c->out.max);
    }
}

static void on_exit_of(void *user, const struct proc_exit *x)
{
    struct act_child *c = user;
    c->exit = *x;
    c->over = true;
    if (!c->act->ended)
        c->args.then(c->act, c);
}

int act_child_write(struct act_child *c, struct bytes data)
{
    return c->proc && !c->over ? ops(c->act)->write(c->proc, data) : E_CLOSED;
}

void act_child(struct act *a, struct act_child *c, const struct act_child_args *args)
{
    struct err e = {0};
    struct acts_args *room = &a->room->args;
    const char *const *env = NULL;
    AUTO(arena) memory = arena_new((size_t)4 << 20);
    act_child_fini(c);
    c->act = a;
    c->args = *args;
    buf_init(&c->out, room->output_bytes_max);
    buf_init(&c->line, room->output_bytes_max);
    buf_init(&c->err, ERR_MAX);
    int rc = memory ? environment(memory, args->environment, &env, &e)
                    : err_set(&e, E_NOMEM, "out of memory");
    struct proc_args p = {
        .argv = args->argv,
        .env = env,
        .cwd = args->cwd,
        .limits = {.memory_bytes = room->child_memory_bytes, .files = FILES_MAX},
        .on_bytes = on_bytes,
        .input = args->input.n || args->open,
        .input_bytes_max = args->input.n + ((size_t)8 << 20),
        .on_exit = on_exit_of,
        .user = c,
    };
    if (rc == 0)
        rc = room->procs ? ops(a)->spawn(room->procs, &p, &c->proc, &e)
                         : err_set(&e, E_UNSUPPORTED, "this node starts no children");
    if (rc < 0) {
        act_fail(a, rc == E_INVALID || rc == E_UNSUPPORTED ? ACT_CONFIGURATION : ACT_RUNTIME, 0,
                 rc == E_INVALID || rc == E_UNSUPPORTED || rc == E_TOOBIG, "%s", e.text);
        return;
    }
    if (args->input.n)
        (void)ops(a)->write(c->proc, args->input); // one that does not read ends by itself
    if (p.input && !args->open)
        ops(a)->end_input(c->proc);
}

void act_child_fini(struct act_child *c)
{
    struct buf *const bufs[] = {&c->out, &c->err, &c->line};
    if (c->proc)
        ops(c->act)->free(c->proc);
    for (size_t i = 0; i < 3; i++)
        buf_fini(bufs[i]);
    *c = (struct act_child){0};
}

// ---- its end -----------------------------------------------------------------------------------

// Text of what it printed: bytes that are no UTF-8 become U+FFFD.
static struct val *text_of(const struct buf *b)
{
    struct buf json;
    struct val *v = NULL;
    if (bytes_is_utf8(buf_bytes(b)))
        return val_str(buf_bytes(b));
    buf_init(&json, b->n * 6 + 16);
    (void)buf_json_str(&json, buf_bytes(b));
    if (!json.failed)
        (void)val_parse(&v, buf_bytes(&json), NULL);
    buf_fini(&json);
    return v;
}

bool act_child_failed(struct act *a, const struct act_child *c, const char *what)
{
    const struct proc_exit *x = &c->exit;
    if (x->not_started)
        act_fail(a, ACT_CONFIGURATION, 0, true, "%s: %s", what, x->text);
    else if (x->over_memory)
        act_fail(a, ACT_RUNTIME, 0, true, "%s took more than %llu MiB of memory", what,
                 (unsigned long long)(a->room->args.child_memory_bytes >> 20));
    else if (x->signal)
        act_fail(a, ACT_RUNTIME, 0, false, "%s %s", what, x->text);
    else
        return false;
    return true;
}

void act_child_end(struct act *a, struct act_child *c, const char *what)
{
    const char *ret = val_text(val_get_cstr(a->with, "return"), "stdout");
    bool looked_at = strcmp(ret, "all") == 0 || strcmp(ret, "code") == 0;
    if (act_child_failed(a, c, what))
        return;
    if (c->exit.code != 0 && !looked_at) {
        struct bytes why = bytes_trim(buf_bytes(c->err.n ? &c->err : &c->out));
        if (why.n > QUOTE_MAX)
            why = bytes_from(why, why.n - QUOTE_MAX);
        act_fail(a, ACT_RUNTIME, 0, false, "%s ended with exit code %d%s%.*s", what, c->exit.code,
                 why.n ? ": " : "", BYTES_FMT(why));
        return;
    }
    struct val *v = val_put_cstr(val_obj(), "code", val_int(c->exit.code));
    v = val_put_cstr(v, "stdout", text_of(&c->out));
    v = val_put_cstr(v, "stderr", text_of(&c->err));
    if (v)
        act_done(a, v);
    else
        act_nomem(a);
}
