// log.h: structured log as JSON lines, written by a thread of its own so that a slow disk never
// holds the caller. Lines that do not fit the bounded queue are counted, and the count is logged.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_BASE_LOG_H
#define PLEXUS_BASE_LOG_H

#include "base/bytes.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_OFF }; // LOG_OFF: log_start's only

enum log_kind { LOG_END_, LOG_STR_, LOG_BYTES_, LOG_INT_, LOG_UINT_, LOG_REAL_, LOG_BOOL_ };

struct log_field {
    const char *key;
    enum log_kind kind;
    union {
        const char *str;
        struct bytes bytes;
        int64_t i;
        uint64_t u;
        double d;
        bool b;
    } v;
};

// Typed fields. There is no LOG_SECRET: a secret has no printable type.
// A NULL text is left out of the line.
#define LOG_STR(k, x) {.key = (k), .kind = LOG_STR_, .v.str = (x)}
#define LOG_BYTES(k, x) {.key = (k), .kind = LOG_BYTES_, .v.bytes = (x)}
#define LOG_INT(k, x) {.key = (k), .kind = LOG_INT_, .v.i = (x)}
#define LOG_UINT(k, x) {.key = (k), .kind = LOG_UINT_, .v.u = (x)}
#define LOG_REAL(k, x) {.key = (k), .kind = LOG_REAL_, .v.d = (x)}
#define LOG_BOOL(k, x) {.key = (k), .kind = LOG_BOOL_, .v.b = (x)}
#define LOG_FIELDS_MAX 32

struct log_sink; // one output: a file or a descriptor, with its own queue and writer thread

struct log_sink_args {
    const char *path;        // appended, made 0600; NULL: use fd
    int fd;                  // borrowed
    size_t
        queue_bytes_max; // bytes waiting for the writer (default 4 MiB); over it lines are dropped
    size_t batch_bytes; // the writer sleeps until so much waits (0: write at once) ...
    int64_t batch_ms; // ... or this long after the first line
    uint64_t rotate_bytes; // path only: at this size move to path.1 (0: never)
};

// 0 or E_IO/E_PERM/E_NOSPACE/E_NOMEM.
struct err;
int log_sink_open(struct log_sink **ret_sink, const struct log_sink_args *args, struct err *e);
void log_sink_close(struct log_sink *s); // writes what waits, joins the thread
void log_sink_flush(struct log_sink *s); // returns when all that waits was handed to the kernel
int log_sink_reopen(struct log_sink *s, struct err *e); // after an outside rotation
uint64_t log_sink_dropped(const struct log_sink *s); // lines lost: queue full or disk full
// A whole line (the newline is added). Never blocks on the disk.
void log_sink_line(struct log_sink *s, struct bytes line);

// The process-wide log: stderr until log_start gives it a sink. Text for a terminal, JSON else.
void log_start(struct log_sink *sink, enum log_level least); // borrows the sink until log_stop
void log_stop(void);
// Also to stderr (text on a terminal, JSON else) while there is a sink, through a sink of its own
// on that descriptor, borrowed until log_stop; NULL: no longer.
void log_echo(struct log_sink *to, enum log_level least);
bool log_enabled(enum log_level level);
// Each written line also goes to this watcher (the console's log tail); called by the logging
// thread.
typedef void (*log_watch_fn)(void *arg, enum log_level level, struct bytes line);
void log_watch(log_watch_fn fn, void *arg);

// event: a dotted name from the room ("gate.request"). Fields end with a row of kind 0.
void log_write(enum log_level level, const char *event, const struct log_field *fields);
// To the sink and the watcher, never to stderr: what others said (an engine's own lines).
void log_write_quiet(enum log_level level, const char *event, const struct log_field *fields);
#define log_event_quiet(level, event, ...)                                                         \
    do {                                                                                           \
        if (log_enabled(level))                                                                    \
            log_write_quiet((level), (event),                                                      \
                            (const struct log_field[]){__VA_ARGS__, {.key = NULL}});               \
    } while (0)
#define log_event(level, event, ...)                                                               \
    do {                                                                                           \
        if (log_enabled(level))                                                                    \
            log_write((level), (event), (const struct log_field[]){__VA_ARGS__, {.key = NULL}});   \
    } while (0)

#endif
