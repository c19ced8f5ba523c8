// prim_bash.c: bash: a command with both of its outputs (of each the start and the end are kept),
// its exit code and its time. What it leaves running is killed. SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "base/sys.h"
#include "base/time.h"
#include "prims/prims_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TICK_MS = 100, LEFT_MS = 50 };

// The first and the last bytes of a stream.
struct ends {
    int fd;
    char *head, *tail; // each of half bytes
    size_t half, head_n;
    uint64_t all;
};

static int ends_init(struct ends *s, size_t bytes)
{
    *s = (struct ends){.fd = -1, .half = bytes / 2};
    s->head = mem_alloc(s->half);
    s->tail = mem_alloc(s->half);
    return s->head && s->tail ? 0 : E_NOMEM;
}

static void ends_fini(struct ends *s)
{
    if (s->fd >= 0)
        (void)close(s->fd);
    mem_free(s->head);
    mem_free(s->tail);
}

static void ends_add(struct ends *s, struct bytes b)
{
    size_t first = s->half - s->head_n < b.n ? s->half - s->head_n : b.n;
    memcpy(s->head + s->head_n, b.p, first);
    s->head_n += first;
    uint64_t at = s->all + first;
    s->all += b.n;
    b = bytes_from(b, first);
    if (b.n > s->half) {
        at += b.n - s->half;
        b = bytes_from(b, b.n - s->half);
    }
    while (b.n > 0) { // the tail is a ring; what went to the head is not in it
        size_t to = (size_t)((at - s->half) % s->half);
        size_t n = s->half - to < b.n ? s->half - to : b.n;
        memcpy(s->tail + to, b.p, n);
        at += n;
        b = bytes_from(b, n);
    }
}

static void ends_put(const struct ends *s, struct buf *out)
{
    buf_add(out, s->head, s->head_n);
    uint64_t rest = s->all - s->head_n;
    if (rest == 0)
        return;
    if (rest > s->half)
        buf_fmt(out, "\n[... %llu bytes cut ...]\n", (unsigned long long)(rest - s->half));
    size_t from = rest > s->half ? (size_t)(rest % s->half) : 0;
    size_t n = rest > s->half ? s->half : (size_t)rest;
    buf_add(out, s->tail + from, n - from);
    buf_add(out, s->tail, from);
}

// ---- the command

struct command {
    pid_t pid;
    struct ends out, err;
    int status;
    bool ended, late, full;
    int64_t until_ms;
    unsigned long long free_at_start[JAIL_FOLDERS_MAX];
};

static const char *shell(void)
{
    return access("/bin/bash", X_OK) == 0 ? "/bin/bash" : "/bin/sh";
}

static void become(const struct prim *p, int dir, int out, int err)
{
    const char *command = prim_arg_text(p, "command", "");
    char *argv[] = {(char *)(uintptr_t)shell(), (char *)(uintptr_t)"-c", (char *)(uintptr_t)command,
                    NULL};
    int none = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (none < 0) // where there is no /dev of its own and none is granted
        (void)close(0);
    if (fchdir(dir) < 0 || (none >= 0 && dup2(none, 0) < 0) || dup2(out, 1) < 0 || dup2(err, 2) < 0)
        _exit(126);
    (void)setpgid(0, 0);
    (void)signal(SIGXFSZ, SIG_DFL);
    jail_hold_group(p->jail);
    (void)execv(argv[0], argv);
    (void)dprintf(2, "%s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

static int begin(const struct prim *p, struct command *c, struct err *e)
{
    static struct prim_place at;
    int out[2] = {-1, -1}, err[2] = {-1, -1};
    struct bytes cwd = json_str(json_get(p->in, "cwd"));
    int rc = prim_locate(p, cwd.n ? cwd : BYTES("."), false, &at, e);
    int dir = rc < 0 ? rc : prim_open(p, &at, O_RDONLY | O_DIRECTORY, e);
    if (dir < 0)
        return dir;
    if (sys_pipe(out) < 0 || sys_pipe(err) < 0) {
        rc = err_errno(e, errno, "a pipe");
    } else if ((c->pid = fork()) == 0) {
        become(p, dir, out[1], err[1]);
    } else if (c->pid < 0) {
        rc = err_errno(e, errno, "fork");
    }
    (void)close(dir);
    if (out[1] >= 0)
        (void)close(out[1]);
    if (err[1] >= 0)
        (void)close(err[1]);
    c->out.fd = out[0];
    c->err.fd = err[0];
    return rc;
}

static void look_at_disks(const struct prim *p, struct command *c, bool start)
{
    for (size_t i = 0; i < p->o->folders; i++) {
        struct statvfs v;
        if (!p->o->folder[i].write || fstatvfs(p->root[i], &v) < 0)
            continue;
        unsigned long long left = (unsigned long long)v.f_bavail * v.f_frsize;
        if (start)
            c->free_at_start[i] = left;
        else if (left < c->free_at_start[i] && c->free_at_start[i] - left > p->disk_bytes)
            c->full = true;
    }
}

// Once: a flood on one stream must not hold the other, nor the clock.
static void take(struct ends *s)
{
    static char block[65536];
    ssize_t n = read(s->fd, block, sizeof block);
    if (n > 0) {
        ends_add(s, (struct bytes){block, (size_t)n});
    } else if (n == 0 || (errno != EINTR && errno != EAGAIN)) {
        (void)close(s->fd);
        s->fd = -1;
    }
}

static void end_all(const struct command *c)
{
    (void)kill(-c->pid, SIGKILL);
#ifdef __linux__
    // Everybody inside but number 1 and ourselves; without a process namespace that would be the
    // user's other programs: then nothing can hide in another group.
    if (getppid() == 1 && getpid() == 2)
        (void)kill(-1, SIGKILL);
#endif
}

static void follow(const struct prim *p, struct command *c)
{
    int64_t quiet_ms = 0; // when it had ended: others may still hold the pipes
    int64_t disks_ms = time_mono_ms() + TICK_MS;
    while (c->out.fd >= 0 || c->err.fd >= 0 || !c->ended) {
        struct pollfd f[2] = {{.fd = c->out.fd, .events = POLLIN},
                              {.fd = c->err.fd, .events = POLLIN}};
        int64_t now = time_mono_ms();
        int wait = c->out.fd < 0 && c->err.fd < 0 ? 2 : c->ended ? LEFT_MS : TICK_MS;
        if (now + wait > c->until_ms && !c->ended)
            wait = now < c->until_ms ? (int)(c->until_ms - now) : 0;
        (void)poll(f, 2, wait);
        if (f[0].revents)
            take(&c->out);
        if (f[1].revents)
            take(&c->err);
        now = time_mono_ms();
        if (now >= disks_ms && !c->ended) {
            look_at_disks(p, c, false);
            disks_ms = now + TICK_MS;
        }
        if (!c->ended && waitpid(c->pid, &c->status, WNOHANG) == c->pid) {
            c->ended = true;
            quiet_ms = now + LEFT_MS;
            end_all(c); // what it left behind
        }
        c->late |= !c->ended && now >= c->until_ms;
        if (!c->ended && (c->late || c->full))
            end_all(c);
        if (c->ended && now > quiet_ms && !(f[0].revents || f[1].revents))
            return;
    }
}

// ---- its answer

static void put_stream(struct prim *p, const struct ends *s, const char *key)
{
    struct buf b;
    buf_init(&b, 2 * s->half + 128);
    ends_put(s, &b);
    json_w_str(&p->w, key, buf_bytes(&b));
    if (s->all > 0) {
        if (strcmp(key, "stderr") == 0)
            buf_str(&p->text, "[stderr]\n");
        buf_put(&p->text, buf_bytes(&b));
        if (p->text.n > 0 && p->text.p[p->text.n - 1] != '\n')
            buf_chr(&p->text, '\n');
    }
    buf_fini(&b);
}

static void put_end(struct prim *p, const struct command *c)
{
    bool by_signal = WIFSIGNALED(c->status);
    int code = by_signal ? 128 + WTERMSIG(c->status) : WEXITSTATUS(c->status);
    json_w_i64(&p->w, "exit_code", code);
    json_w_bool(&p->w, "timed_out", c->late);
    json_w_bool(&p->w, "truncated", c->out.all > 2 * c->out.half || c->err.all > 2 * c->err.half);
    if (c->late)
        buf_fmt(&p->text, "[ended after %lld s, the time limit]\n",
                (long long)(p->timeout_ms + 500) / 1000);
    else if (c->full)
        buf_fmt(&p->text, "[ended: it took more than %llu bytes of the disk]\n",
                (unsigned long long)p->disk_bytes);
    else if (by_signal)
        buf_fmt(&p->text, "[ended by signal %d]\n", WTERMSIG(c->status));
    else if (code)
        buf_fmt(&p->text, "[exit code %d]\n", code);
    if (p->text.n == 0)
        buf_str(&p->text, "(no output)\n");
    p->failed = code != 0 || c->late || c->full;
}

int prim_bash(struct prim *p, struct err *e)
{
    struct command c = {.pid = -1};
    int64_t start = time_mono_ms();
    int rc = 0;
    if (ends_init(&c.out, p->output_bytes) < 0 || ends_init(&c.err, p->output_bytes / 2) < 0)
        rc = err_set(e, E_NOMEM, "no memory for the output");
    c.until_ms = start + p->timeout_ms;
    look_at_disks(p, &c, true);
    if (rc == 0 && (rc = begin(p, &c, e)) == 0) {
        follow(p, &c);
        put_stream(p, &c.out, "stdout");
        put_stream(p, &c.err, "stderr");
        put_end(p, &c);
        json_w_i64(&p->w, "took_ms", time_mono_ms() - start);
    }
    ends_fini(&c.out);
    ends_fini(&c.err);
    return rc;
}
