// mcpc_stdio.c: an MCP server as a child: a message a line on its standard streams (2025-11-25 and
// 2026-07-28, "stdio"). SPDX-License-Identifier: Apache-2.0
#include "toolbox/mcpc_priv.h"

#include <stdio.h>
#include <string.h>

#define KEEP_BYTES ((size_t)64 << 10) // of a line's memory between messages
#define HEAD_BYTES 256 // of a line that is too long: its id stands at the start or at the end
#define INPUT_BYTES_MAX (2 * (size_t)MAX_ALLOCATION_BYTES)

struct child {
    struct proc *proc;
    struct buf line;
    char tail[HEAD_BYTES];
    size_t tail_n;
    bool skips; // the rest of a line that is too long
};

static const struct procs_ops *ops(const struct mcpc_srv *s)
{
    return s->m->args.procs->ops;
}

// ---- lines -------------------------------------------------------------------------------------

// The request that a line answers, by its first or last bytes; NULL: they do not say.
static struct mcp_request *whose(struct mcpc_srv *s, struct bytes part)
{
    ptrdiff_t at = bytes_find(part, BYTES("\"id\":"));
    uint64_t id = 0;
    if (at < 0)
        return NULL;
    struct bytes rest = bytes_trim(bytes_from(part, (size_t)at + 5));
    size_t n = 0;
    while (n < rest.n && rest.p[n] >= '0' && rest.p[n] <= '9')
        n++;
    return n && n < 10 && bytes_u64(bytes_first(rest, n), &id)
               ? mcp_client_find(s->client, (int64_t)id)
               : NULL;
}

static void too_long(struct mcpc_srv *s, struct child *c)
{
    struct err e = {0};
    struct mcp_request *head = whose(s, buf_bytes(&c->line)),
                       *tail = whose(s, (struct bytes){c->tail, c->tail_n}),
                       *r = head ? head : tail;
    (void)err_set(&e, E_TOOBIG, "its answer has more than %zu bytes", s->conf.answer_bytes_max);
    if (r && (!head || !tail || head == tail))
        mcp_client_lost(s->client, r, E_TOOBIG, &e, false);
    else
        mcpc_fall_err(s, E_TOOBIG, &e);
}

static void keep_tail(struct child *c, struct bytes part)
{
    if (part.n > HEAD_BYTES)
        part = bytes_from(part, part.n - HEAD_BYTES);
    size_t keep = c->tail_n + part.n > HEAD_BYTES ? HEAD_BYTES - part.n : c->tail_n;
    memmove(c->tail, c->tail + c->tail_n - keep, keep);
    memcpy(c->tail + keep, part.p, part.n);
    c->tail_n = keep + part.n;
}

static void line_part(struct mcpc_srv *s, struct child *c, struct bytes part)
{
    if (!c->skips && c->line.n + part.n > s->conf.answer_bytes_max) {
        (void)buf_put(&c->line, bytes_first(part, HEAD_BYTES));
        struct bytes head = bytes_first(buf_bytes(&c->line), HEAD_BYTES);
        char room[HEAD_BYTES];
        memcpy(room, head.p, head.n);
        buf_fini(&c->line);
        buf_init(&c->line, s->conf.answer_bytes_max + HEAD_BYTES);
        (void)buf_add(&c->line, room, head.n);
        c->skips = true;
        c->tail_n = 0;
    }
    if (c->skips)
        keep_tail(c, part);
    else if (buf_put(&c->line, part) < 0)
        mcpc_fall(s, E_NOMEM, "out of memory");
}

static void line_end(struct mcpc_srv *s, struct child *c)
{
    struct bytes line = bytes_trim(buf_bytes(&c->line));
    if (c->skips)
        too_long(s, c);
    else if (line.n)
        mcpc_message(s, line, NULL);
    c->skips = false;
    buf_clear(&c->line);
    if (c->line.cap > KEEP_BYTES) {
        buf_fini(&c->line);
        buf_init(&c->line, s->conf.answer_bytes_max + HEAD_BYTES);
    }
}

// The last of what it writes on its standard error.
static void words(struct mcpc_srv *s, struct bytes part)
{
    if (part.n > s->words.max / 2)
        part = bytes_from(part, part.n - s->words.max / 2);
    if (s->words.n + part.n > s->words.max)
        buf_drop(&s->words, s->words.n + part.n - s->words.max);
    (void)buf_put(&s->words, part);
}

static void on_bytes(void *user, int fd, struct bytes part)
{
    struct mcpc_srv *s = user;
    struct child *c = s->own;
    if (s->falling || !mcpc_heard(s, part.n))
        return;
    if (fd == 2) {
        words(s, part);
        return;
    }
    while (part.n && !s->falling) {
        ptrdiff_t end = bytes_chr(part, '\n');
        if (end < 0) {
            line_part(s, c, part);
            return;
        }
        line_part(s, c, bytes_first(part, (size_t)end));
        if (!s->falling)
            line_end(s, c);
        part = bytes_from(part, (size_t)end + 1);
    }
}

static void on_exit_of(void *user, const struct proc_exit *x)
{
    struct mcpc_srv *s = user;
    struct bytes last = bytes_trim(buf_bytes(&s->words));
    if (last.n > 300)
        last = bytes_from(last, last.n - 300);
    const char *colon = last.n ? ": " : "";
    if (x->not_started)
        mcpc_fall(s, E_NOTFOUND, "it does not start: %s", x->text);
    else if (x->over_memory)
        mcpc_fall(s, E_CLOSED, "it used more memory than it may");
    else if (x->signal)
        mcpc_fall(s, E_CLOSED, "signal %d ended it%s%.*s", x->signal, colon, BYTES_FMT(last));
    else
        mcpc_fall(s, E_CLOSED, "it ended with exit code %d%s%.*s", x->code, colon, BYTES_FMT(last));
}

// ---- the transport -----------------------------------------------------------------------------

// Where things are and how people write, and what the configuration names: no secret of the node.
static const char *const *environment(struct arena *a, const char *const *given)
{
    static const char *const passed[] = {"PATH", "HOME", "USER", "LANG", "TZ", "TMPDIR", "LC_ALL"};
    extern char **environ;
    size_t n = 0, count = 0;
    while (given && given[count])
        count++;
    const char **env = arena_zalloc(a, (count + sizeof passed / sizeof *passed + 1) * sizeof *env);
    for (size_t i = 0; env && i < count; i++)
        env[n++] = given[i];
    for (size_t i = 0; env && i < sizeof passed / sizeof *passed; i++) {
        size_t len = strlen(passed[i]);
        bool has = false;
        for (size_t k = 0; k < count; k++)
            has = has || (strncmp(given[k], passed[i], len) == 0 && given[k][len] == '=');
        for (char **p = environ; *p && !has; p++)
            if (strncmp(*p, passed[i], len) == 0 && (*p)[len] == '=') {
                env[n++] = *p;
                has = true;
            }
    }
    return env;
}

static int open_it(struct mcpc_srv *s, struct err *e)
{
    const struct mcpc_args *a = &s->m->args;
    AUTO(arena) memory = arena_new((size_t)1 << 20);
    const char *const *argv = s->conf.argv;
    if (a->confine && !(argv = a->confine(a->user, &s->conf, e)))
        return e->code ? e->code : err_set(e, E_UNSUPPORTED, "it cannot be confined");
    const char *const *env = memory ? environment(memory, s->conf.env) : NULL;
    struct child *c = env ? mem_new(struct child) : NULL;
    if (!c)
        return err_set(e, E_NOMEM, "out of memory");
    buf_init(&c->line, s->conf.answer_bytes_max + HEAD_BYTES);
    s->own = c;
    struct proc_args args = {.argv = argv,
                             .env = env,
                             .cwd = s->conf.cwd,
                             .limits = s->conf.limits,
                             .on_bytes = on_bytes,
                             .input = true,
                             .input_bytes_max = INPUT_BYTES_MAX,
                             .on_exit = on_exit_of,
                             .user = s};
    int rc = ops(s)->spawn(a->procs, &args, &c->proc, e);
    return rc < 0 ? rc : mcpc_begin(s, true, e);
}

static void send_it(struct mcpc_srv *s, const struct val *message, struct mcp_request *r)
{
    struct child *c = s->own;
    struct buf line;
    (void)r;
    buf_init(&line, INPUT_BYTES_MAX);
    (void)val_write(&line, message);
    (void)buf_chr(&line, '\n');
    int rc = line.failed ? line.failed : ops(s)->write(c->proc, buf_bytes(&line));
    buf_fini(&line);
    // E_CLOSED: its end comes, and says why.
    if (rc < 0 && rc != E_CLOSED)
        mcpc_fall(s, rc, "it does not read what it is sent");
}

static void drop(struct mcpc_srv *s, struct mcp_request *r)
{
    (void)s;
    (void)r;
}

static bool bye(struct mcpc_srv *s)
{
    struct child *c = s->own;
    if (!c || !c->proc)
        return false;
    ops(s)->end_input(c->proc);
    return true;
}

static void close_it(struct mcpc_srv *s)
{
    struct child *c = s->own;
    if (!c)
        return;
    if (c->proc)
        ops(s)->free(c->proc); // its tree is killed
    buf_fini(&c->line);
    mem_free(c);
    s->own = NULL;
}

static void status(struct mcpc_srv *s, struct mcpc_status *ret)
{
    const struct child *c = s->own;
    if (!c || !c->proc)
        return;
    ret->pid = ops(s)->pid(c->proc);
    ret->memory_bytes = ops(s)->memory(c->proc);
    ops(s)->measure(c->proc);
}

static void free_it(struct mcpc_srv *s)
{
    close_it(s);
}

const struct mcpc_way mcpc_stdio = {.name = "stdio",
                                    .open = open_it,
                                    .send = send_it,
                                    .drop = drop,
                                    .bye = bye,
                                    .close = close_it,
                                    .status = status,
                                    .free = free_it};
