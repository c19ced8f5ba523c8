// log_test.c: lines as JSON; a writer that is slow, full, moved or stopped never holds the caller,
// and what was lost is told.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "base/thread.h"
#include "base/time.h"
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define HOUR_MS (3600 * 1000)
#define DEADLINE_MS 20000

static char root[] = "/tmp/plexus_log_XXXXXX";
static char path[64], path_1[72];

static int setup(void **state)
{
    (void)state;
    if (!mkdtemp(root))
        return -1;
    (void)snprintf(path, sizeof(path), "%s/log", root);
    (void)snprintf(path_1, sizeof(path_1), "%s.1", path);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    char command[64];
    (void)snprintf(command, sizeof(command), "rm -rf %s", root);
    return system(command);
}

static int fresh(void **state)
{
    (void)state;
    (void)unlink(path);
    (void)unlink(path_1);
    return 0;
}

static struct log_sink *sink_of(const struct log_sink_args *args)
{
    struct log_sink *s = NULL;
    struct err e = {0};
    if (log_sink_open(&s, args, &e) != 0)
        fail_msg("%s", e.text);
    return s;
}

static char *content(const char *file) // the caller frees
{
    struct buf b;
    struct err e = {0};
    buf_init(&b, 1 << 24);
    if (file_read(file, &b, &e) != 0)
        fail_msg("%s", e.text);
    return buf_take(&b);
}

static size_t lines_in(const char *text)
{
    size_t n = 0;
    for (; *text; text++)
        n += *text == '\n';
    return n;
}

static void test_lines(void **state)
{
    (void)state;
    struct log_sink *s = sink_of(&(struct log_sink_args){.path = path});
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    log_sink_flush(s); // nothing waits
    for (int i = 0; i < 1000; i++) {
        char line[40];
        int n = snprintf(line, sizeof(line), "line %d", i);
        log_sink_line(s, (struct bytes){line, (size_t)n});
    }
    log_sink_flush(s);
    AUTO_MEM char *text = content(path);
    assert_int_equal(lines_in(text), 1000);
    assert_memory_equal(text, "line 0\nline 1\n", 14);
    log_sink_line(s, BYTES_NONE);
    log_sink_line(s, BYTES("last"));
    log_sink_close(s); // writes what waits
    AUTO_MEM char *all = content(path);
    assert_string_equal(all + strlen(all) - 7, "\n\nlast\n");
    s = sink_of(&(struct log_sink_args){.path = path}); // appends
    log_sink_line(s, BYTES("again"));
    log_sink_close(s);
    AUTO_MEM char *more = content(path);
    assert_int_equal(lines_in(more), 1003);
    log_sink_close(NULL);
}

static void test_events_are_json(void **state)
{
    (void)state;
    static char big[70000];
    memset(big, 'x', sizeof(big) - 1);
    struct log_sink *s = sink_of(&(struct log_sink_args){.path = path});
    log_start(s, LOG_INFO);
    assert_true(log_enabled(LOG_INFO) && !log_enabled(LOG_DEBUG));
    log_event(LOG_DEBUG, "test.unseen", LOG_INT("a", 1));
    log_event(LOG_WARN, "test.all", LOG_STR("s", "a\"\n"), LOG_STR("none", NULL),
              LOG_BYTES("b", BYTES("\xff")), LOG_INT("i", -5), LOG_UINT("u", UINT64_MAX),
              LOG_REAL("r", 0.5), LOG_REAL("nan", NAN), LOG_BOOL("t", true), LOG_BOOL("f", false));
    log_event(LOG_INFO, "test.big", LOG_INT("first", 1), LOG_STR("big", big), LOG_INT("last", 1));
    log_sink_flush(s);
    mem_fail_after(1, 0);
    log_event(LOG_ERROR, "test.poor", LOG_INT("a", 1));
    mem_fail_after(0, 0);
    log_stop();
    log_sink_close(s);
    AUTO_MEM char *text = content(path);
    char *at = strstr(text, "\"level\"");
    assert_memory_equal(text, "{\"time\":\"20", 11);
    static const char want[] =
        "\"level\":\"warn\",\"event\":\"test.all\",\"s\":\"a\\\"\\n\",\"b\":\"\xef\xbf\xbd\",\"i\":"
        "-5,"
        "\"u\":18446744073709551615,\"r\":0.5,\"nan\":null,\"t\":true,\"f\":false}\n";
    assert_memory_equal(at, want, sizeof(want) - 1);
    at = strchr(text, '\n') + 1;
    assert_non_null(strstr(at, "\"event\":\"test.big\",\"first\":1,\"cut\":true}\n"));
    assert_int_equal(lines_in(text), 3);
    assert_non_null(strstr(text, "log.no_memory"));
}

struct watched {
    int lines;
    char last[200];
};

static void watch(void *arg, enum log_level level, struct bytes line)
{
    struct watched *w = arg;
    w->lines += level == LOG_INFO;
    (void)snprintf(w->last, sizeof(w->last), "%.*s", BYTES_FMT(line));
}

static void test_watch_and_echo(void **state)
{
    (void)state;
    struct watched w = {0};
    struct log_sink *s = sink_of(&(struct log_sink_args){.path = path}),
                    *echo = sink_of(&(struct log_sink_args){.path = path_1});
    log_start(s, LOG_DEBUG);
    log_echo(echo, LOG_WARN);
    log_watch(watch, &w);
    log_event(LOG_INFO, "test.info", LOG_INT("a", 1));
    log_event(LOG_WARN, "test.warn", LOG_INT("a", 2));
    log_event_quiet(LOG_ERROR, "test.quiet", LOG_INT("a", 3));
    log_watch(NULL, NULL);
    log_stop();
    log_start(NULL, LOG_INFO);
    log_sink_close(s);
    log_sink_close(echo);
    assert_int_equal(w.lines, 1);
    assert_non_null(strstr(w.last, "test.quiet"));
    AUTO_MEM char *all = content(path);
    AUTO_MEM char *echoed = content(path_1);
    assert_int_equal(lines_in(all), 3);
    assert_int_equal(lines_in(echoed), 1);
    assert_non_null(strstr(echoed, "test.warn"));
}

// The writer waits for a full batch or for time; a flush or a close ends the wait.
static void test_batch(void **state)
{
    (void)state;
    struct stat st;
    struct log_sink *s =
        sink_of(&(struct log_sink_args){.path = path, .batch_bytes = 1000, .batch_ms = HOUR_MS});
    char line[100];
    memset(line, 'a', sizeof(line));
    for (int i = 0; i < 5; i++)
        log_sink_line(s, (struct bytes){line, sizeof(line)});
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 0); // half a batch
    for (int i = 0; i < 5; i++)
        log_sink_line(s, (struct bytes){line, sizeof(line)});
    int64_t until = time_mono_ms() + DEADLINE_MS;
    while (stat(path, &st) == 0 && st.st_size == 0 && time_mono_ms() < until)
        (void)poll(NULL, 0, 1);
    assert_int_equal(st.st_size, 1010); // a full one leaves by itself
    log_sink_line(s, BYTES("flushed"));
    log_sink_flush(s);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 1018);
    log_sink_line(s, BYTES("closed"));
    log_sink_close(s);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 1025);
    int64_t began = time_mono_ms();
    s = sink_of(&(struct log_sink_args){.path = path, .batch_bytes = 1 << 20, .batch_ms = 30});
    log_sink_line(s, BYTES("timely"));
    while (stat(path, &st) == 0 && st.st_size == 1025 && time_mono_ms() < began + DEADLINE_MS)
        (void)poll(NULL, 0, 1);
    assert_true(time_mono_ms() - began >= 30 && st.st_size == 1032);
    log_sink_close(s);
}

static void test_rotation(void **state)
{
    (void)state;
    struct stat st;
    struct err e = {0};
    struct log_sink *s = sink_of(&(struct log_sink_args){.path = path, .rotate_bytes = 1000});
    for (int i = 0; i < 95; i++) {
        char line[60];
        int n = snprintf(line, sizeof(line), "%049d", i);
        log_sink_line(s, (struct bytes){line, (size_t)n});
        log_sink_flush(s);
    }
    assert_int_equal(stat(path_1, &st), 0);
    assert_int_equal(st.st_size, 1000); // twenty lines of fifty
    AUTO_MEM char *now = content(path);
    assert_int_equal(lines_in(now), 15);
    assert_int_equal(atoi(now), 80);
    assert_int_equal(rename(path, path_1), 0); // someone else rotates
    log_sink_line(s, BYTES("into the old one"));
    log_sink_flush(s);
    assert_int_equal(log_sink_reopen(s, &e), 0);
    log_sink_line(s, BYTES("into the new one"));
    log_sink_close(s);
    AUTO_MEM char *after = content(path);
    assert_string_equal(after, "into the new one\n");
}

static void test_full_disk(void **state)
{
    (void)state;
    struct err e = {0};
    if (symlink("/dev/full", path) != 0)
        fail();
    struct log_sink *s = sink_of(&(struct log_sink_args){.path = path});
    for (int i = 0; i < 10; i++) {
        log_sink_line(s, BYTES("lost"));
        log_sink_flush(s);
    }
    assert_int_equal(log_sink_dropped(s), 10);
    assert_int_equal(unlink(path), 0); // the disk has room again
    assert_int_equal(log_sink_reopen(s, &e), 0);
    log_sink_line(s, BYTES("kept"));
    log_sink_close(s);
    AUTO_MEM char *text = content(path);
    assert_non_null(strstr(text, "\"event\":\"log.dropped\",\"lines\":10}\nkept\n"));
}

// A pipe that nobody reads: lines are dropped, never waited for; once it is read, all lines are
// either there or counted.
static void test_overflow(void **state)
{
    (void)state;
    enum { LINES = 20000 };
    int fd[2];
    assert_int_equal(pipe(fd), 0);
    struct log_sink *s = sink_of(&(struct log_sink_args){.fd = fd[1], .queue_bytes_max = 20000});
    for (int i = 0; i < LINES; i++)
        log_sink_line(s, BYTES("a line that stands for many others, and is long enough"));
    uint64_t dropped = log_sink_dropped(s);
    assert_in_range(dropped, 1, LINES - 1);
    struct err e = {0};
    assert_int_equal(log_sink_reopen(s, &e), E_UNSUPPORTED);
    struct buf got;
    buf_init(&got, 1 << 24);
    uint64_t told = 0, kept = 0;
    int64_t until = time_mono_ms() + DEADLINE_MS;
    while (told + kept < LINES && time_mono_ms() < until) {
        struct pollfd p = {.fd = fd[0], .events = POLLIN};
        char part[4096];
        ssize_t n = poll(&p, 1, 1000) == 1 ? read(fd[0], part, sizeof(part)) : 0;
        (void)buf_add(&got, part, (size_t)n);
        told = kept = 0;
        for (const char *at = buf_cstr(&got); (at = strchr(at, '\n')) != NULL; at++)
            kept++;
        for (const char *at = buf_cstr(&got); (at = strstr(at, "\"lines\":")) != NULL; at++) {
            told += strtoull(at + 8, NULL, 10);
            kept--; // that line was not one of ours
        }
    }
    assert_int_equal(told + kept, LINES);
    assert_int_equal(told, log_sink_dropped(s));
    buf_fini(&got);
    log_sink_close(s);
    (void)close(fd[0]);
    (void)close(fd[1]);
}

// At the end nobody reads: the close gives up soon. And a pipe without a reader is an error.
static void test_end_without_reader(void **state)
{
    (void)state;
    int fd[2];
    assert_int_equal(pipe(fd), 0);
    struct log_sink *s = sink_of(&(struct log_sink_args){.fd = fd[1]});
    for (int i = 0; i < 3000; i++)
        log_sink_line(s, BYTES("more than a pipe holds, which is sixty-four kibibytes here"));
    int64_t began = time_mono_ms();
    log_sink_close(s);
    assert_true(time_mono_ms() - began < DEADLINE_MS);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)close(fd[0]);
    s = sink_of(&(struct log_sink_args){.fd = fd[1]});
    log_sink_line(s, BYTES("nobody"));
    log_sink_flush(s);
    assert_int_equal(log_sink_dropped(s), 1);
    log_sink_close(s);
    (void)close(fd[1]);
}

static void test_cannot_open(void **state)
{
    (void)state;
    struct log_sink *s = NULL;
    struct err e = {0};
    assert_int_equal(log_sink_open(&s, &(struct log_sink_args){.path = "/none/log"}, &e),
                     E_NOTFOUND);
    assert_non_null(strstr(e.text, "/none/log"));
    uint64_t live = mem_live();
    for (uint64_t at = 1;; at++) { // memory runs out at each point
        mem_fail_after(at, 0);
        int status = log_sink_open(&s, &(struct log_sink_args){.path = path}, &e);
        mem_fail_after(0, 0);
        if (status == 0)
            break;
        assert_int_equal(status, E_NOMEM);
        assert_int_equal(mem_live(), live);
        assert_true(at < 50);
    }
    mem_fail_after(1, 1); // the queue cannot grow: the line counts as lost
    log_sink_line(s, BYTES("x"));
    mem_fail_after(0, 0);
    assert_int_equal(log_sink_dropped(s), 1);
    log_sink_close(s);
    assert_int_equal(mem_live(), live);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_lines, fresh),
        cmocka_unit_test_setup(test_events_are_json, fresh),
        cmocka_unit_test_setup(test_watch_and_echo, fresh),
        cmocka_unit_test_setup(test_batch, fresh),
        cmocka_unit_test_setup(test_rotation, fresh),
        cmocka_unit_test_setup(test_full_disk, fresh),
        cmocka_unit_test_setup(test_overflow, fresh),
        cmocka_unit_test_setup(test_end_without_reader, fresh),
        cmocka_unit_test_setup(test_cannot_open, fresh),
    };
    return cmocka_run_group_tests_name("log", tests, setup, teardown);
}
