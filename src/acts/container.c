// container.c: run: container, by the docker or podman command of this machine. The container has a
// name of its own, the same for each attempt: what is left of one before it is removed first.
// SPDX-License-Identifier: Apache-2.0
#include "acts/acts_priv.h"
#include "crypto/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_MAX_BYTES 128
#define WORDS 64

struct act_chore { // a container that is to be removed later
    struct list link;
    struct acts_room *room;
    struct timer timer;
    struct proc *proc;
    char program[512], name[NAME_MAX_BYTES];
};

struct container {
    struct act_child child;
    struct arena *words;
    char program[512], name[NAME_MAX_BYTES];
    struct buf input;
    bool running; // it was started: at a cancel it must be stopped, the command alone is not it
    int64_t after_ms; // lifetime: TIME_NEVER: stays; 0: goes with its end
};

// ---- the program -------------------------------------------------------------------------------

static bool on_path(const char *name, char *ret, size_t size)
{
    const char *path = getenv("PATH");
    struct bytes rest = bytes_of(path ? path : "/usr/local/bin:/usr/bin:/bin");
    while (rest.n) {
        struct bytes folder = bytes_cut(&rest, ':');
        struct stat st;
        int n = snprintf(ret, size, "%.*s/%s", BYTES_FMT(folder), name);
        if (n > 0 && (size_t)n < size && stat(ret, &st) == 0 && S_ISREG(st.st_mode) &&
            access(ret, X_OK) == 0)
            return true;
    }
    return false;
}

static bool program_of(struct act *a, char *ret, size_t size)
{
    const char *said = a->room->args.container;
    if (said) {
        (void)snprintf(ret, size, "%s", said);
        return true;
    }
    if (on_path("docker", ret, size) || on_path("podman", ret, size))
        return true;
    act_fail(a, ACT_CONFIGURATION, 501, true,
             "run: container needs docker or podman on this node: neither is on its PATH "
             "(apt-get install podman)");
    return false;
}

// ---- removing ----------------------------------------------------------------------------------

static void chore_free(struct act_chore *c)
{
    timer_stop(c->room->args.timers, &c->timer);
    if (c->proc)
        c->room->args.procs->ops->free(c->proc);
    list_del(&c->link);
    mem_free(c);
}

static void chore_ended(void *user, const struct proc_exit *x)
{
    (void)x; // not there any more, or the program is gone: nothing is left to do
    chore_free(user);
}

static void chore_due(struct timer *t)
{
    struct act_chore *c = t->user;
    struct procs *procs = c->room->args.procs;
    const char *argv[] = {c->program, "rm", "-f", "-v", c->name, NULL};
    struct proc_args args = {.argv = argv, .on_exit = chore_ended, .user = c};
    if (procs->ops->spawn(procs, &args, &c->proc, NULL) < 0)
        chore_free(c);
}

static void remove_later(struct acts_room *r, const char *program, const char *name, int64_t ms)
{
    struct act_chore *c = r->freeing ? NULL : mem_new(struct act_chore);
    if (!c)
        return;
    c->room = r;
    c->timer.fn = chore_due;
    c->timer.user = c;
    (void)snprintf(c->program, sizeof c->program, "%s", program);
    (void)snprintf(c->name, sizeof c->name, "%s", name);
    list_add_tail(&r->chores, &c->link);
    if (timer_start(r->args.timers, &c->timer, ms) < 0)
        chore_free(c);
}

void act_chores_free(struct acts_room *r)
{
    while (!list_empty(&r->chores))
        chore_free(container_of(r->chores.next, struct act_chore, link));
}

// ---- the command line --------------------------------------------------------------------------

struct line {
    const char *word[WORDS * 16];
    size_t n;
    struct arena *arena;
    bool failed;
};

static void add(struct line *l, const char *word)
{
    l->failed = l->failed || !word || l->n + 1 >= sizeof l->word / sizeof *l->word;
    if (!l->failed)
        l->word[l->n++] = word;
}

static const char *text_of(struct line *l, const struct val *v)
{
    char room[32];
    struct bytes text = act_scalar(v, room);
    struct buf json;
    const char *made;
    if (text.p)
        return memchr(text.p, 0, text.n) ? NULL : arena_str(l->arena, text);
    buf_init(&json, (size_t)128 << 10);
    (void)val_write(&json, v);
    made = json.failed ? NULL : arena_str(l->arena, buf_bytes(&json));
    buf_fini(&json);
    return made;
}

// { "8080": 80 }: port of this machine to port inside, as the DSL's maps are read.
static void add_map(struct line *l, const char *option, const struct val *map)
{
    size_t at = 0;
    struct bytes key;
    struct val *v;
    while (val_is(map, JSON_OBJ) && val_each(map, &at, &key, &v)) {
        const char *to = text_of(l, val_is(v, JSON_OBJ) ? val_get_cstr(v, "path") : v);
        add(l, option);
        add(l, to ? arena_fmt(l->arena, "%.*s:%s", BYTES_FMT(key), to) : NULL);
    }
}

// Only the names: the values go by the environment, where other users do not see them.
static void add_env(struct line *l, const struct val *map)
{
    size_t at = 0;
    struct bytes key;
    struct val *v;
    while (val_is(map, JSON_OBJ) && val_each(map, &at, &key, &v)) {
        add(l, "-e");
        add(l, arena_str(l->arena, key));
    }
}

static bool good_name(const char *name)
{
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-");
    return n > 0 && name[n] == '\0' && n < NAME_MAX_BYTES && name[0] != '-' && name[0] != '.';
}

// "plexus-" and a hash of the key: the same for each attempt of this task.
static bool name_of(struct act *a, const struct val *with)
{
    struct container *c = a->own;
    const char *said = val_text(val_get_cstr(with, "name"), NULL);
    uint8_t sum[SHA256_LEN];
    char hex[2 * SHA256_LEN + 1];
    if (said && !good_name(said)) {
        act_fail(a, ACT_CONFIGURATION, 0, true,
                 "run: container: the name \"%.80s\" has other characters than letters, digits, "
                 "_ . -",
                 said);
        return false;
    }
    sha256_sum(a->args->key, sum);
    crypto_hex(sum, 12, hex);
    (void)snprintf(c->name, sizeof c->name, said ? "%s" : "plexus-%s", said ? said : hex);
    return true;
}

static bool lifetime_of(struct act *a, const struct val *with)
{
    struct container *c = a->own;
    const struct val *lifetime = val_get_cstr(with, "lifetime");
    const char *cleanup = val_text(val_get_cstr(lifetime, "cleanup"), "never");
    struct err e = {0};
    c->after_ms = TIME_NEVER;
    if (strcmp(cleanup, "always") == 0) {
        c->after_ms = 0;
    } else if (strcmp(cleanup, "eventually") == 0) {
        if (act_duration(val_get_cstr(lifetime, "after"), &c->after_ms, &e) < 0) {
            act_fail(a, ACT_CONFIGURATION, 0, true, "run: container: lifetime.after: %s", e.text);
            return false;
        }
    } else if (strcmp(cleanup, "never") != 0) {
        act_fail(a, ACT_CONFIGURATION, 0, true,
                 "run: container: lifetime.cleanup is always, never or eventually");
        return false;
    }
    return true;
}

static const char *pull_of(const struct val *with)
{
    const char *said = val_text(val_get_cstr(with, "pullPolicy"), "ifNotPresent");
    return strcmp(said, "always") == 0  ? "--pull=always"
           : strcmp(said, "never") == 0 ? "--pull=never"
                                        : "--pull=missing";
}

static const char *const *line_of(struct act *a, const struct val *with, struct err *e)
{
    struct container *c = a->own;
    struct line l = {.arena = c->words};
    const char *const *argv = NULL;
    const char *command = val_text(val_get_cstr(with, "command"), NULL);
    add(&l, c->program);
    add(&l, "run");
    add(&l, "-i"); // its standard input
    if (c->after_ms == 0)
        add(&l, "--rm");
    add(&l, pull_of(with));
    add(&l, "--name");
    add(&l, c->name);
    add(&l, "--label");
    add(&l, arena_fmt(c->words, "plexus.run=%.*s", BYTES_FMT(a->args->run)));
    add_map(&l, "-p", val_get_cstr(with, "ports"));
    add_map(&l, "-v", val_get_cstr(with, "volumes"));
    add_env(&l, val_get_cstr(with, "environment"));
    add(&l, text_of(&l, val_get_cstr(with, "image")));
    if (command) { // as the DSL's example has it: a shell's, with the arguments as $1, $2
        add(&l, "sh");
        add(&l, "-c");
        add(&l, command);
        add(&l, "sh");
    }
    l.word[l.n] = NULL;
    if (l.failed) {
        (void)err_set(e, E_TOOBIG, "the container's command line is too long");
        return NULL;
    }
    return act_words(c->words, val_get_cstr(with, "arguments"), l.word, &argv, e) < 0 ? NULL : argv;
}

// ---- its life ----------------------------------------------------------------------------------

static void ended(struct act *a, struct act_child *child)
{
    struct container *c = a->own;
    c->running = false;
    // docker run: 125 is its own failure (no daemon, no image), 126 and 127 the command's
    if (child->exit.code == 125) {
        struct bytes why = bytes_trim(buf_bytes(&child->err));
        if (why.n > 1500)
            why = bytes_from(why, why.n - 1500);
        act_fail(a, ACT_RUNTIME, 0, false, "run: container: %.*s", BYTES_FMT(why));
        return;
    }
    if (c->after_ms > 0 && c->after_ms != TIME_NEVER)
        remove_later(a->room, c->program, c->name, c->after_ms);
    act_child_end(a, child, "the container");
}

static void run(struct act *a, struct act_child *child)
{
    struct container *c = a->own;
    struct err e = {0};
    (void)child; // what an attempt before it left is gone, or there was nothing
    const char *const *argv = line_of(a, a->with, &e);
    if (!argv) {
        act_fail(a, ACT_CONFIGURATION, 0, true, "run: container: %s", e.text);
        return;
    }
    c->running = true;
    act_child(a, &c->child,
              &(struct act_child_args){.argv = argv,
                                       .environment = val_get_cstr(a->with, "environment"),
                                       .input = buf_bytes(&c->input),
                                       .then = ended});
}

static void start(struct act *a)
{
    struct container *c = a->own;
    if (!val_bytes(val_get_cstr(a->with, "image")).n) {
        act_fail(a, ACT_CONFIGURATION, 0, true, "run: container needs an image");
        return;
    }
    if (val_text(val_get_cstr(a->with, "image"), "")[0] == '-') { // not an option of the command
        act_fail(a, ACT_CONFIGURATION, 0, true, "run: container: an image's name begins otherwise");
        return;
    }
    if (act_input(a, val_get_cstr(a->with, "stdin"), &c->input) < 0 ||
        !program_of(a, c->program, sizeof c->program) || !name_of(a, a->with) ||
        !lifetime_of(a, a->with))
        return;
    c->words = arena_new((size_t)8 << 20);
    if (!c->words) {
        act_nomem(a);
        return;
    }
    const char **argv = arena_zalloc(c->words, 6 * sizeof *argv);
    if (!argv) {
        act_nomem(a);
        return;
    }
    argv[0] = c->program;
    argv[1] = "rm";
    argv[2] = "-f";
    argv[3] = c->name;
    act_child(a, &c->child, &(struct act_child_args){.argv = argv, .then = run});
}

static void stop(struct act *a)
{
    struct container *c = a->own;
    act_child_fini(&c->child);
    if (c->running)
        remove_later(a->room, c->program, c->name, 0);
    arena_free(c->words);
    if (c->input.p)
        mem_wipe(c->input.p, c->input.n);
    buf_fini(&c->input);
}

const struct act_kind act_container = {.name = "container",
                                       .what = "A container, by docker or podman.",
                                       .bytes = sizeof(struct container),
                                       .start = start,
                                       .stop = stop};
