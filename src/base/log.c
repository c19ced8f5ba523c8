// log.c: one line an event, JSON in files and pipes, plain text on a terminal.
// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/time.h"
#include <math.h>
#include <stdio.h>
#include <unistd.h>

#define LINE_BYTES_MAX 65536
#define CUT_BYTES 16 // for the end of a line that was cut

static struct {
    struct log_sink *sink, *echo;
    enum log_level least, echo_least;
    log_watch_fn watch;
    void *watch_arg;
} the_log = {.least = LOG_INFO};

void log_start(struct log_sink *sink, enum log_level least)
{
    the_log.sink = sink;
    the_log.least = least;
}

void log_stop(void)
{
    the_log.sink = the_log.echo = NULL;
}

void log_echo(struct log_sink *to, enum log_level least)
{
    the_log.echo = to;
    the_log.echo_least = least;
}

bool log_enabled(enum log_level level)
{
    return level >= the_log.least;
}

void log_watch(log_watch_fn fn, void *arg)
{
    the_log.watch = fn;
    the_log.watch_arg = arg;
}

static void put_value(struct buf *b, const struct log_field *f)
{
    switch (f->kind) {
    case LOG_STR_: (void)buf_json_str(b, bytes_of(f->v.str)); return;
    case LOG_BYTES_: (void)buf_json_str(b, f->v.bytes); return;
    case LOG_INT_: (void)buf_i64(b, f->v.i); return;
    case LOG_UINT_: (void)buf_u64(b, f->v.u); return;
    case LOG_REAL_: (void)buf_fmt(b, isfinite(f->v.d) ? "%.6g" : "null", f->v.d); return;
    case LOG_BOOL_: (void)buf_str(b, f->v.b ? "true" : "false"); return;
    case LOG_END_: return;
    }
}

static void put_json(struct buf *b, enum log_level level, const char *event,
                     const struct log_field *fields)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    char when[TIME_TEXT_LEN + 1];
    time_text(time_wall_ms(), when);
    (void)buf_fmt(b, "{\"time\":\"%s\",\"level\":\"%s\",\"event\":\"%s\"", when, names[level],
                  event);
    for (const struct log_field *f = fields; f->key; f++) {
        if (f->kind == LOG_STR_ && !f->v.str)
            continue;
        size_t before = b->n;
        (void)buf_str(b, ",\"");
        (void)buf_str(b, f->key);
        (void)buf_str(b, "\":");
        put_value(b, f);
        if (b->failed == E_TOOBIG || b->n > LINE_BYTES_MAX - CUT_BYTES) { // it stays whole JSON
            b->n = before;
            b->failed = 0;
            (void)buf_str(b, ",\"cut\":true");
            break;
        }
    }
    (void)buf_chr(b, '}');
}

// Text from outside must not steer the terminal.
static void put_plain(struct buf *b, struct bytes s)
{
    for (size_t i = 0; i < s.n; i++)
        (void)buf_chr(b, (unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f ? '?' : s.p[i]);
}

// "12:00:00.000 warn  gate.request  model=tiny-chat status=502"
static void put_text(struct buf *b, enum log_level level, const char *event,
                     const struct log_field *fields)
{
    static const char *const names[] = {"debug", "info ", "\x1b[33mwarn\x1b[0m ",
                                        "\x1b[31merror\x1b[0m"};
    char when[TIME_TEXT_LEN + 1];
    time_text(time_wall_ms(), when);
    (void)buf_fmt(b, "\x1b[2m%.12s\x1b[0m %s %-18s", when + 11, names[level], event);
    for (const struct log_field *f = fields; f->key; f++) {
        if (f->kind == LOG_STR_ && (!f->v.str || !*f->v.str))
            continue;
        (void)buf_fmt(b, " \x1b[2m%s=\x1b[0m", f->key);
        if (f->kind == LOG_STR_)
            put_plain(b, bytes_of(f->v.str));
        else if (f->kind == LOG_BYTES_)
            put_plain(b, f->v.bytes);
        else
            put_value(b, f);
    }
}

static void to_stderr(struct bytes line)
{
    if (the_log.echo)
        log_sink_line(the_log.echo, line);
    else
        (void)fprintf(stderr, "%.*s\n", BYTES_FMT(line));
}

static void write_line(enum log_level level, const char *event, const struct log_field *fields,
                       bool echo)
{
    struct buf b;
    buf_init(&b, LINE_BYTES_MAX);
    put_json(&b, level, event, fields);
    struct bytes line = b.failed ? BYTES("{\"event\":\"log.no_memory\"}") : buf_bytes(&b);
    if (the_log.watch)
        the_log.watch(the_log.watch_arg, level, line);
    if (the_log.sink)
        log_sink_line(the_log.sink, line);
    if (echo && isatty(STDERR_FILENO)) {
        buf_clear(&b);
        put_text(&b, level, event, fields);
        to_stderr(buf_bytes(&b));
    } else if (echo) {
        to_stderr(line);
    }
    buf_fini(&b);
}

void log_write(enum log_level level, const char *event, const struct log_field *fields)
{
    write_line(level, event, fields,
               !the_log.sink || (the_log.echo && level >= the_log.echo_least));
}

void log_write_quiet(enum log_level level, const char *event, const struct log_field *fields)
{
    write_line(level, event, fields,
               !the_log.sink || (the_log.echo && the_log.echo_least == LOG_DEBUG));
}
