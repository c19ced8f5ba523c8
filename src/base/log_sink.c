// log_sink.c: a bounded queue of lines and the thread that writes them.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "base/thread.h"
#include "base/time.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define QUEUE_BYTES_DEFAULT (4u << 20)
#define ROOM_MS 100      // between two looks at whether to end
#define LAST_WAIT_MS 500 // for room, at the end

struct log_sink {
    struct lock *lock;
    struct thread *thread;
    struct buf fill; // lines wait here, under the lock
    struct buf spare; // the writer's, swapped with fill
    char *path;
    int fd;
    size_t batch_bytes;
    int64_t batch_ms;
    uint64_t rotate_bytes, size, dropped;
    uint64_t lost; // lines dropped since the last whole write, told in the log itself
    bool owns_fd, stop, busy, flush, reopen;
    size_t lines;
};

static int sink_open_path(struct log_sink *s, struct err *e)
{
    int fd = open(s->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_errno(e, errno, "log file %s", s->path);
    struct stat st;
    s->size = fstat(fd, &st) == 0 ? (uint64_t)st.st_size : 0;
    if (s->owns_fd && s->fd >= 0)
        (void)close(s->fd);
    s->fd = fd;
    s->owns_fd = true;
    return 0;
}

static void rotate(struct log_sink *s)
{
    char old[4096];
    (void)snprintf(old, sizeof(old), "%s.1", s->path);
    if (rename(s->path, old) == 0)
        (void)sink_open_path(s, NULL);
}

// A descriptor that is not ours may be a pipe that nobody reads or a stopped terminal: then the
// queue fills and drops, and the end does not wait long. false: given up.
static bool has_room(struct log_sink *s)
{
    struct pollfd p = {.fd = s->fd, .events = POLLOUT};
    for (int64_t end = TIME_NEVER; time_mono_ms() < end;) {
        if (poll(&p, 1, ROOM_MS) != 0)
            return true; // also after an error: the write tells
        lock_take(s->lock);
        if (s->stop && end == TIME_NEVER)
            end = time_mono_ms() + LAST_WAIT_MS;
        lock_give(s->lock);
    }
    return false;
}

// Writes all of it, or returns how much could not be written (disk full, closed pipe).
static size_t write_all(struct log_sink *s, const char *p, size_t n)
{
    while (n) {
        if (!s->owns_fd && !has_room(s))
            return n;
        ssize_t done = write(s->fd, p, s->owns_fd || n < PIPE_BUF ? n : PIPE_BUF);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0 && errno == EAGAIN) {
            (void)usleep(1000);
            continue;
        }
        if (done <= 0)
            return n;
        p += done;
        n -= (size_t)done;
    }
    return 0;
}

static uint64_t count_lines(const char *p, size_t n)
{
    uint64_t lines = 0;
    for (const char *end = p + n; (p = memchr(p, '\n', (size_t)(end - p))) != NULL; p++)
        lines++;
    return lines;
}

// The disk took only a part: what it has of the last line goes again, so that the file stays one of
// whole lines.
static void drop_part(struct log_sink *s, const char *p, size_t written)
{
    struct stat st;
    size_t part = 0;
    while (part < written && p[written - part - 1] != '\n')
        part++;
    if (part && s->owns_fd && fstat(s->fd, &st) == 0 && S_ISREG(st.st_mode) &&
        st.st_size >= (off_t)part && ftruncate(s->fd, st.st_size - (off_t)part) == 0)
        s->size -= part;
}

// Called without the lock. Returns the lines lost.
static uint64_t write_out(struct log_sink *s, uint64_t lost_before)
{
    if (s->path && s->rotate_bytes && s->size + s->spare.n > s->rotate_bytes && s->size)
        rotate(s);
    uint64_t lost = 0;
    if (lost_before) {
        char note[128];
        int n = snprintf(note, sizeof(note),
                         "{\"level\":\"warn\",\"event\":\"log.dropped\",\"lines\":%llu}\n",
                         (unsigned long long)lost_before);
        size_t rest = write_all(s, note, (size_t)n);
        s->size += (size_t)n - rest;
        drop_part(s, note, (size_t)n - rest);
        if (rest)
            lost += lost_before;
    }
    size_t left = write_all(s, s->spare.p, s->spare.n);
    s->size += s->spare.n - left;
    drop_part(s, s->spare.p, s->spare.n - left);
    if (left)
        lost += count_lines(s->spare.p + s->spare.n - left, left);
    buf_clear(&s->spare);
    return lost;
}

static void sink_main(void *arg)
{
    struct log_sink *s = arg;
    lock_take(s->lock);
    for (;;) {
        while (s->fill.n == 0 && !s->stop && !s->reopen)
            lock_wait(s->lock, -1);
        if (s->reopen && s->path) {
            s->reopen = false;
            (void)sink_open_path(s, NULL);
            lock_wake(s->lock);
        }
        if (s->fill.n == 0 && s->stop)
            break;
        if (s->fill.n == 0)
            continue;
        if (s->batch_ms > 0 && s->fill.n < s->batch_bytes && !s->stop && !s->flush) {
            int64_t until = time_mono_ms() + s->batch_ms, now;
            while (s->fill.n < s->batch_bytes && !s->stop && !s->flush &&
                   (now = time_mono_ms()) < until)
                lock_wait(s->lock, until - now);
        }
        struct buf full = s->fill;
        s->fill = s->spare;
        s->spare = full;
        s->busy = true;
        uint64_t lost_before = s->lost;
        s->lost = 0;
        lock_give(s->lock);
        uint64_t lost = write_out(s, lost_before);
        lock_take(s->lock);
        s->lost += lost;
        s->dropped += lost > lost_before ? lost - lost_before : 0;
        s->busy = false;
        if (s->fill.n == 0)
            s->flush = false;
        lock_wake(s->lock);
    }
    lock_give(s->lock);
}

int log_sink_open(struct log_sink **ret_sink, const struct log_sink_args *args, struct err *e)
{
    struct log_sink *s = mem_new(struct log_sink);
    if (!s)
        return err_set(e, E_NOMEM, "log: out of memory");
    size_t max = args->queue_bytes_max ? args->queue_bytes_max : QUEUE_BYTES_DEFAULT;
    buf_init(&s->fill, max);
    buf_init(&s->spare, max);
    s->fd = args->path ? -1 : args->fd;
    s->batch_bytes = args->batch_bytes;
    s->batch_ms = args->batch_ms;
    s->rotate_bytes = args->rotate_bytes;
    s->lock = lock_new();
    s->path = mem_str(args->path);
    int status = !s->lock || (args->path && !s->path) ? err_set(e, E_NOMEM, "log: out of memory")
                 : s->path                            ? sink_open_path(s, e)
                                                      : 0;
    if (status == 0 && (status = thread_start(&s->thread, "log", sink_main, s)) != 0)
        (void)err_set(e, status, "log: no thread");
    if (status != 0) {
        log_sink_close(s);
        return status;
    }
    *ret_sink = s;
    return 0;
}

void log_sink_close(struct log_sink *s)
{
    if (!s)
        return;
    if (s->thread) {
        lock_take(s->lock);
        s->stop = true;
        lock_wake(s->lock);
        lock_give(s->lock);
        thread_join(s->thread);
    }
    if (s->owns_fd)
        (void)close(s->fd);
    buf_fini(&s->fill);
    buf_fini(&s->spare);
    lock_free(s->lock);
    mem_free(s->path);
    mem_free(s);
}

void log_sink_flush(struct log_sink *s)
{
    lock_take(s->lock);
    s->flush = true;
    lock_wake(s->lock);
    while (s->fill.n || s->busy)
        lock_wait(s->lock, -1);
    s->flush = false;
    lock_give(s->lock);
}

int log_sink_reopen(struct log_sink *s, struct err *e)
{
    if (!s->path)
        return err_set(e, E_UNSUPPORTED, "the log is not a file");
    lock_take(s->lock);
    s->reopen = true;
    lock_wake(s->lock);
    while (s->reopen)
        lock_wait(s->lock, -1);
    lock_give(s->lock);
    return 0;
}

uint64_t log_sink_dropped(const struct log_sink *s)
{
    struct lock *lock = s->lock;
    lock_take(lock);
    uint64_t dropped = s->dropped;
    lock_give(lock);
    return dropped;
}

void log_sink_line(struct log_sink *s, struct bytes line)
{
    lock_take(s->lock);
    size_t before = s->fill.n;
    char *at = buf_room(&s->fill, line.n + 1);
    if (at) {
        if (line.n)
            memcpy(at, line.p, line.n);
        at[line.n] = '\n';
        s->fill.n += line.n + 1;
    } else {
        s->fill.failed = 0;
        s->dropped++;
        s->lost++;
    }
    // The writer sleeps in a batch: it is woken for the first line and for a full batch only.
    if (before == 0 || (s->batch_bytes && before < s->batch_bytes && s->fill.n >= s->batch_bytes))
        lock_wake(s->lock);
    lock_give(s->lock);
}
