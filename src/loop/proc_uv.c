// proc_uv.c: the proc port: children behind guards, their output as lines, their end.
// SPDX-License-Identifier: Apache-2.0
#include "loop/loop_priv.h"

#include "base/alloc.h"
#include "base/sys.h"
#include "loop/guard_priv.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    PROC_LINE_MAX = 16 << 10,
    PROC_OPTS_MAX = 16, // words of the guard's command line before the child's
    PROC_DRAIN_MS = 1000, // output may be held open by a descendant that got away
};

struct proc_out { // one output pipe
    struct proc *proc;
    uv_poll_t poll;
    int fd;     // -1: closed
    int number; // 1 or 2
    size_t n;
    char *line; // the part of a line that has come, NULL: none
};

struct proc {
    struct procs_uv *procs;
    struct list link; // while something of it lives
    uv_process_t guard;
    uv_poll_t control;
    int control_fd;
    struct proc_out out[2];
    struct proc_in in;
    struct timer drain;
    unsigned handles; // not closed yet
    bool guard_gone, exit_known, told, freed;
    int64_t pid;
    uint64_t memory;
    struct proc_exit exit;
    char words[512]; // from the guard, up to the next newline
    size_t words_n;
    void (*on_line)(void *user, int fd, struct bytes line);
    void (*on_bytes)(void *user, int fd, struct bytes part);
    void (*on_drain)(void *user);
    void (*on_started)(void *user);
    void (*on_exit)(void *user, const struct proc_exit *exit);
    void *user;
};

static struct timers *proc_timers(struct proc *p)
{
    return &p->procs->loop->timers.base;
}

// ---- the end

static void proc_release(struct proc *p)
{
    if (!p->freed || p->handles > 0)
        return;
    list_del(&p->link);
    mem_free(p->out[0].line);
    mem_free(p->out[1].line);
    mem_free(p);
}

static void proc_handle_closed(uv_handle_t *h)
{
    struct proc *p = h->data;
    p->handles--;
    if (p->handles == 0)
        list_del(&p->link); // the loop need not wait for it; its owner still has the memory
    proc_release(p);
}

static void proc_close(uv_poll_t *poll, int *fd)
{
    if (*fd < 0)
        return;
    uv_close((uv_handle_t *)poll, proc_handle_closed);
    (void)close(*fd);
    *fd = -1;
}

static void proc_emit(struct proc_out *o, struct bytes line)
{
    struct proc *p = o->proc;
    if (!p->freed && p->on_line != NULL)
        p->on_line(p->user, o->number, line);
}

static void proc_tell_exit(struct proc *p)
{
    p->told = true;
    timer_stop(proc_timers(p), &p->drain);
    proc_close(&p->control, &p->control_fd);
    proc_in_close(&p->in);
    for (int i = 0; i < 2; i++) {
        struct proc_out *o = &p->out[i];
        proc_close(&o->poll, &o->fd);
        if (o->n > 0)
            proc_emit(o, (struct bytes){o->line, o->n});
        mem_free(o->line);
        o->line = NULL;
        o->n = 0;
    }
    if (!p->exit_known) {
        p->exit = (struct proc_exit){.code = -1, .signal = SIGKILL};
        (void)snprintf(p->exit.text, sizeof p->exit.text, "its guard was killed");
    }
    if (!p->freed && p->on_exit != NULL)
        p->on_exit(p->user, &p->exit);
}

static void proc_drain_over(struct timer *t)
{
    struct proc *p = container_of(t, struct proc, drain);
    if (!p->told)
        proc_tell_exit(p);
}

static void proc_check_end(struct proc *p)
{
    if (p->guard_gone && !p->told && p->out[0].fd < 0 && p->out[1].fd < 0)
        proc_tell_exit(p);
}

// ---- output

static int proc_keep(struct proc_out *o, const char *p, size_t n)
{
    if (o->line == NULL)
        o->line = mem_alloc(PROC_LINE_MAX);
    if (o->line == NULL)
        return E_NOMEM;
    memcpy(o->line + o->n, p, n);
    o->n += n;
    return 0;
}

// One line or the last piece of one: what was kept, then these n bytes.
static void proc_line(struct proc_out *o, const char *p, size_t n)
{
    if (o->n > 0) {
        (void)proc_keep(o, p, n); // cannot fail: there is a line
        struct bytes whole = {o->line, o->n};
        o->n = 0;
        proc_emit(o, whole);
    } else {
        proc_emit(o, (struct bytes){p, n});
    }
}

static void proc_split(struct proc_out *o, const char *p, size_t n)
{
    while (n > 0 && o->fd >= 0) {
        const char *end = memchr(p, '\n', n);
        size_t len = end ? (size_t)(end - p) : n;
        size_t room = PROC_LINE_MAX - o->n;
        if (len > room) { // too long: a piece
            proc_line(o, p, room);
            p += room;
            n -= room;
        } else if (end != NULL) {
            proc_line(o, p, len);
            p += len + 1;
            n -= len + 1;
        } else {
            if (proc_keep(o, p, len) < 0)
                proc_emit(o, (struct bytes){p, len});
            return;
        }
    }
    if (o->n == 0) {
        mem_free(o->line);
        o->line = NULL;
    }
}

static bool proc_listen(struct proc *p);

static void proc_out_event(uv_poll_t *h, int status, int events)
{
    struct proc_out *o = container_of(h, struct proc_out, poll);
    struct loop *l = o->proc->procs->loop;
    (void)status; // read(2) says it
    (void)events;
    loop_enter(l);
    if (o->proc->pid < 0 && o->proc->control_fd >= 0)
        (void)proc_listen(o->proc); // the pid was said before the output
    ssize_t n = read(o->fd, l->read_buf, l->args.read_bytes);
    if (n > 0) {
        struct proc *p = o->proc;
        if (p->on_bytes == NULL)
            proc_split(o, l->read_buf, (size_t)n);
        else if (!p->freed)
            p->on_bytes(p->user, o->number, (struct bytes){l->read_buf, (size_t)n});
        return;
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    proc_close(&o->poll, &o->fd);
    proc_check_end(o->proc);
}

// ---- what the guard says

static void proc_words(struct proc *p, char *line)
{
    char *rest = line[0] != '\0' ? line + 1 : line;
    switch (line[0]) {
    case 'P':
        p->pid = strtoll(rest, NULL, 10);
        if (!p->freed && p->on_started != NULL)
            p->on_started(p->user);
        break;
    case 'M': p->memory = strtoull(rest, NULL, 10); break;
    case 'F':
        p->exit = (struct proc_exit){.code = -1, .not_started = true};
        (void)strtol(rest, &rest, 10);
        (void)snprintf(p->exit.text, sizeof p->exit.text, "cannot %s", *rest ? rest + 1 : rest);
        p->exit_known = true;
        break;
    case 'X':
        p->exit = (struct proc_exit){0};
        p->exit.code = (int)strtol(rest, &rest, 10);
        p->exit.signal = (int)strtol(rest, &rest, 10);
        p->exit.over_memory = strtol(rest, NULL, 10) != 0;
        if (p->exit.over_memory)
            (void)snprintf(p->exit.text, sizeof p->exit.text, "over its memory limit");
        else if (p->exit.signal != 0)
            (void)snprintf(p->exit.text, sizeof p->exit.text, "ended by signal %d (%s)",
                           p->exit.signal, strsignal(p->exit.signal));
        else
            (void)snprintf(p->exit.text, sizeof p->exit.text, "exit code %d", p->exit.code);
        p->exit_known = true;
        break;
    default: break;
    }
}

// Reads what has come; false: no more will come.
static bool proc_listen(struct proc *p)
{
    for (;;) {
        ssize_t n = recv(p->control_fd, p->words + p->words_n, sizeof p->words - 1 - p->words_n, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return true;
        if (n <= 0)
            return false;
        p->words_n += (size_t)n;
        p->words[p->words_n] = '\0';
        char *line = p->words, *end;
        while ((end = strchr(line, '\n')) != NULL) {
            *end = '\0';
            proc_words(p, line);
            line = end + 1;
        }
        p->words_n = strlen(line);
        memmove(p->words, line, p->words_n + 1);
    }
}

static void proc_control_event(uv_poll_t *h, int status, int events)
{
    struct proc *p = container_of(h, struct proc, control);
    (void)status;
    (void)events;
    loop_enter(p->procs->loop);
    if (!proc_listen(p))
        proc_close(&p->control, &p->control_fd); // the guard's end is told by its exit
}

// The guard was killed: the child had its own order to die with it; what is left of the guard's
// session goes too.
static void proc_sweep(pid_t guard)
{
    struct guard_pids left = {0};
    if (guard_session(guard, &left) == 0)
        guard_kill_pids(&left);
    guard_pids_free(&left);
}

static void proc_guard_exit(uv_process_t *h, int64_t status, int signum)
{
    struct proc *p = container_of(h, struct proc, guard);
    loop_enter(p->procs->loop);
    if (p->control_fd >= 0)
        (void)proc_listen(p);
    p->guard_gone = true;
    if (signum != 0)
        proc_sweep(h->pid);
    if (!p->exit_known && signum == 0) {
        p->exit = (struct proc_exit){.code = -1, .not_started = true};
        (void)snprintf(p->exit.text, sizeof p->exit.text, "its guard did not start (exit code %d)",
                       (int)status);
        p->exit_known = true;
    }
    uv_close((uv_handle_t *)h, proc_handle_closed);
    if (p->told)
        return;
    p->drain.fn = proc_drain_over;
    if (timer_start(proc_timers(p), &p->drain, PROC_DRAIN_MS) < 0)
        proc_tell_exit(p);
    else
        proc_check_end(p);
}

// ---- the start

// The node's environment without what looks like a secret: names with one of these words.
static bool proc_env_secret(const char *var)
{
    static const char *const words[] = {"KEY",    "TOKEN",      "SECRET",    "PASSWORD",
                                        "PASSWD", "CREDENTIAL", "PASSPHRASE"};
    char name[128];
    size_t n = strcspn(var, "=");
    if (n >= sizeof name)
        return true;
    memcpy(name, var, n);
    name[n] = '\0';
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcasestr(name, words[i]) != NULL)
            return true;
    }
    return false;
}

static char **proc_env(void)
{
    extern char **environ;
    size_t n = 0, k = 0;
    while (environ[n] != NULL)
        n++;
    char **env = mem_array(n + 1, sizeof *env);
    for (size_t i = 0; env != NULL && i < n; i++) {
        if (!proc_env_secret(environ[i]))
            env[k++] = environ[i];
    }
    return env;
}

struct proc_opts {
    char *word[PROC_OPTS_MAX];
    int n;
    char text[PROC_OPTS_MAX][24];
};

static void proc_opt(struct proc_opts *o, const char *name, uint64_t value)
{
    if (value == 0)
        return;
    (void)snprintf(o->text[o->n], sizeof o->text[0], "%llu", (unsigned long long)value);
    o->word[o->n + 1] = o->text[o->n];
    o->word[o->n] = (char *)(uintptr_t)name;
    o->n += 2;
}

// "plexus _guard OPTIONS -- ARGV": gives an array of borrowed words.
static char **proc_command(struct procs_uv *ps, const struct proc_args *a, struct proc_opts *o)
{
    size_t argc = 0;
    *o = (struct proc_opts){0};
    o->word[o->n++] = (char *)(uintptr_t)"plexus";
    o->word[o->n++] = (char *)(uintptr_t)"_guard";
    proc_opt(o, "-m", a->limits.memory_bytes);
    proc_opt(o, "-c", a->limits.cpus > 0 ? (uint64_t)(a->limits.cpus * 1000 + 0.5) : 0);
    proc_opt(o, "-f", a->limits.files);
    proc_opt(o, "-s", ps->loop->net.files_soft);
    proc_opt(o, "-k", a->limits.core_bytes);
    proc_opt(o, "-n", a->limits.nice > 0 ? (uint64_t)a->limits.nice : 0);
    while (a->argv[argc] != NULL)
        argc++;
    char **all = mem_array((size_t)o->n + argc + 4, sizeof *all);
    if (all == NULL)
        return NULL;
    size_t n = 0;
    for (int i = 0; i < o->n; i++)
        all[n++] = o->word[i];
    if (a->cwd != NULL) {
        all[n++] = (char *)(uintptr_t)"-d";
        all[n++] = (char *)(uintptr_t)a->cwd;
    }
    all[n++] = (char *)(uintptr_t)"--";
    for (size_t i = 0; i < argc; i++)
        all[n++] = (char *)(uintptr_t)a->argv[i];
    return all;
}

struct proc_fds { // [0] stays here, [1] goes to the guard
    int control[2], out[2], err[2], in[2];
};

static void proc_fds_close(struct proc_fds *f, int end)
{
    int *const all[] = {f->control, f->out, f->err, f->in};
    for (int i = 0; i < 4; i++) {
        if (all[i][end] >= 0)
            (void)close(all[i][end]);
        all[i][end] = -1;
    }
}

static int proc_fds_open(struct proc_fds *f, bool input, struct err *e)
{
    int in[2] = {-1, -1}; // a pipe is read at [0], and the guard's end is read
    *f = (struct proc_fds){{-1, -1}, {-1, -1}, {-1, -1}, {-1, -1}};
    bool failed = input && sys_pipe(in) < 0;
    f->in[0] = in[1];
    f->in[1] = in[0];
    if (failed || sys_socketpair(f->control) < 0 || sys_pipe(f->out) < 0 || sys_pipe(f->err) < 0) {
        int error = errno;
        proc_fds_close(f, 0);
        proc_fds_close(f, 1);
        return err_errno(e, error, "start a child: pipe");
    }
    return 0;
}

static void proc_watch(struct proc *p, uv_poll_t *poll, int fd, uv_poll_cb fn)
{
    poll->data = p;
    p->handles++;
    // Neither fails on a fresh socket or pipe; also makes it non-blocking.
    int rc = uv_poll_init(&p->procs->loop->uv, poll, fd);
    if (rc == 0)
        rc = uv_poll_start(poll, UV_READABLE, fn);
    assert(rc == 0);
}

static int proc_guard_start(struct proc *p, const struct proc_args *a, struct proc_fds *f,
                            struct err *e)
{
    struct loop *l = p->procs->loop;
    struct proc_opts opts;
    AUTO_MEM char **argv = proc_command(p->procs, a, &opts);
    AUTO_MEM char **env = a->env ? NULL : proc_env();
    if (argv == NULL || (env == NULL && a->env == NULL))
        return err_set(e, E_NOMEM, "start %s: out of memory", a->argv[0]);
    uv_stdio_container_t io[4] = {
        {.flags = f->in[1] < 0 ? UV_IGNORE : UV_INHERIT_FD, .data.fd = f->in[1]},
        {.flags = UV_INHERIT_FD, .data.fd = f->out[1]},
        {.flags = UV_INHERIT_FD, .data.fd = f->err[1]},
        {.flags = UV_INHERIT_FD, .data.fd = f->control[1]},
    };
    uv_process_options_t o = {
        .exit_cb = proc_guard_exit,
        .file = l->self,
        .args = argv,
        .env = a->env ? (char **)(uintptr_t)a->env : env,
        .stdio_count = 4,
        .stdio = io,
    };
    int rc = uv_spawn(&l->uv, &p->guard, &o);
    if (rc < 0)
        return err_errno(e, -rc, "start the guard of %s", a->argv[0]);
    return 0;
}

static void proc_drained(void *user)
{
    struct proc *p = user;
    if (!p->freed && p->on_drain != NULL)
        p->on_drain(p->user);
}

static int proc_uv_spawn(struct procs *base, const struct proc_args *a, struct proc **ret,
                         struct err *e)
{
    struct procs_uv *ps = (struct procs_uv *)(void *)base;
    struct proc_fds f;
    if (a->argv == NULL || a->argv[0] == NULL)
        return err_set(e, E_INVALID, "start a child: no command");
    int rc = proc_fds_open(&f, a->input, e);
    if (rc < 0)
        return rc;
    struct proc *p = mem_new(struct proc);
    if (p == NULL) {
        proc_fds_close(&f, 0);
        proc_fds_close(&f, 1);
        return err_set(e, E_NOMEM, "start %s: out of memory", a->argv[0]);
    }
    p->procs = ps;
    p->pid = -1;
    p->on_line = a->on_line;
    p->on_bytes = a->on_bytes;
    p->on_drain = a->on_drain;
    p->on_started = a->on_started;
    p->on_exit = a->on_exit;
    p->user = a->user;
    p->control_fd = p->out[0].fd = p->out[1].fd = p->in.fd = -1;
    list_add_tail(&ps->all, &p->link);
    p->handles = 1;
    p->guard.data = p;
    rc = proc_guard_start(p, a, &f, e);
    proc_fds_close(&f, 1);
    if (rc < 0) {
        proc_fds_close(&f, 0);
        p->freed = p->told = true;
        if (uv_handle_get_type((uv_handle_t *)&p->guard) == UV_PROCESS) // also when uv_spawn failed
            uv_close((uv_handle_t *)&p->guard, proc_handle_closed);
        else
            proc_handle_closed((uv_handle_t *)&p->guard);
        return rc;
    }
    p->control_fd = f.control[0];
    proc_watch(p, &p->control, f.control[0], proc_control_event);
    for (int i = 0; i < 2; i++) {
        p->out[i].proc = p;
        p->out[i].number = i + 1;
        p->out[i].fd = i == 0 ? f.out[0] : f.err[0];
        proc_watch(p, &p->out[i].poll, p->out[i].fd, proc_out_event);
    }
    if (a->input) {
        p->handles++;
        proc_in_open(&p->in, ps->loop, f.in[0], a->input_bytes_max, proc_handle_closed);
        p->in.poll.data = p;
        p->in.drain = proc_drained;
        p->in.user = p;
    }
    *ret = p;
    return 0;
}

// ---- the rest of the port

static void proc_say(struct proc *p, char word)
{
    if (p->control_fd >= 0)
        (void)!send(p->control_fd, &word, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void proc_uv_term(struct proc *p)
{
    proc_say(p, GUARD_TERM);
}

static void proc_uv_kill(struct proc *p)
{
    proc_say(p, GUARD_KILL);
}

static int64_t proc_uv_pid(const struct proc *p)
{
    return p->pid;
}

static uint64_t proc_uv_memory(const struct proc *p)
{
    return p->memory;
}

static void proc_uv_measure(struct proc *p)
{
    proc_say(p, GUARD_MEASURE);
}

static int proc_uv_write(struct proc *p, struct bytes data)
{
    return proc_in_write(&p->in, data);
}

static void proc_uv_end_input(struct proc *p)
{
    proc_in_end(&p->in);
}

static void proc_uv_free(struct proc *p)
{
    if (p == NULL)
        return;
    p->freed = true;
    if (!p->told) { // the end of the lifeline makes the guard kill all
        p->told = true;
        timer_stop(proc_timers(p), &p->drain);
        proc_close(&p->control, &p->control_fd);
        proc_close(&p->out[0].poll, &p->out[0].fd);
        proc_close(&p->out[1].poll, &p->out[1].fd);
        proc_in_close(&p->in);
    }
    proc_release(p);
}

void proc_init(struct procs_uv *p, struct loop *l)
{
    static const struct procs_ops ops = {
        .spawn = proc_uv_spawn,
        .term = proc_uv_term,
        .kill = proc_uv_kill,
        .pid = proc_uv_pid,
        .memory = proc_uv_memory,
        .measure = proc_uv_measure,
        .write = proc_uv_write,
        .end_input = proc_uv_end_input,
        .free = proc_uv_free,
    };
    p->base.ops = &ops;
    p->loop = l;
    list_init(&p->all);
}

void proc_stop(struct procs_uv *ps)
{
    list_each (it, &ps->all) {
        proc_uv_kill(container_of(it, struct proc, link));
    }
}

bool proc_idle(const struct procs_uv *p)
{
    return list_empty(&p->all);
}
