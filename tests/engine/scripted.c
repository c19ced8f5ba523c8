/* scripted.c: an OpenAI-compatible engine that does what its requests and flags tell it, for tests
 * and benches. SPDX-License-Identifier: Apache-2.0
 *
 * One file, one thread, libc and epoll only, so that it builds without the rest of the tree and
 * never shares a bug with it. Above 400 lines on purpose: it is a stand-in server that must stay
 * one self-contained program. What each flag and script key does is in README.md beside this file.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LENGTH(a) (sizeof(a) / sizeof((a)[0]))
#define HEAD_BYTES_MAX ((size_t)64 * 1024)
#define BODY_BYTES_MAX ((size_t)512 * 1024 * 1024)
#define OUT_HIGH_BYTES                                                                             \
    ((size_t)64 * 1024) /* stop producing frames above this much unsent output                     \
                         */
#define LAST_BYTES_MAX ((size_t)1024 * 1024)
#define ANSWER_BYTES 1024                  /* size of the plain answer's body */
#define FOREVER INT64_MAX

/* ---- text ---- */

struct slice {
    const char *p;
    size_t n;
};

static bool slice_is(struct slice s, const char *text)
{
    return s.n == strlen(text) && memcmp(s.p, text, s.n) == 0;
}

static bool slice_is_nocase(struct slice s, const char *text)
{
    return s.n == strlen(text) && strncasecmp(s.p, text, s.n) == 0;
}

struct text {
    char *p;
    size_t n, cap;
};

static void text_room(struct text *t, size_t more)
{
    if (t->cap - t->n >= more)
        return;
    size_t cap = t->cap ? t->cap : 2048;
    while (cap - t->n < more)
        cap *= 2;
    t->p = realloc(t->p, cap);
    if (!t->p)
        abort();
    t->cap = cap;
}

static void text_add(struct text *t, const void *p, size_t n)
{
    text_room(t, n);
    if (n)
        memcpy(t->p + t->n, p, n);
    t->n += n;
}

__attribute__((format(printf, 2, 3))) static void text_print(struct text *t, const char *format,
                                                             ...)
{
    va_list list;
    char small[1024];
    va_start(list, format);
    int n = vsnprintf(small, sizeof small, format, list);
    va_end(list);
    if (n < 0)
        abort();
    if ((size_t)n < sizeof small) {
        text_add(t, small, (size_t)n);
        return;
    }
    text_room(t, (size_t)n + 1);
    va_start(list, format);
    (void)vsnprintf(t->p + t->n, (size_t)n + 1, format, list);
    va_end(list);
    t->n += (size_t)n;
}

static void text_fill(struct text *t, char c, size_t n)
{
    text_room(t, n);
    memset(t->p + t->n, c, n);
    t->n += n;
}

/* ---- a scan over JSON text, enough to find members; it does not judge the text ---- */

static const char *json_space(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'))
        p++;
    return p;
}

static const char *json_string_end(const char *p, const char *end)
{
    for (p++; p < end; p++) {
        if (*p == '\\')
            p++;
        else if (*p == '"')
            return p + 1;
    }
    return end;
}

static const char *json_value_end(const char *p, const char *end)
{
    int depth = 0;
    while (p < end) {
        if (*p == '"') {
            p = json_string_end(p, end);
        } else if (*p == '{' || *p == '[') {
            depth++;
            p++;
        } else if (*p == '}' || *p == ']') {
            if (depth == 0)
                return p;
            depth--;
            p++;
        } else if (depth == 0 &&
                   (*p == ',' || *p == ' ' || *p == '\n' || *p == '\r' || *p == '\t')) {
            return p;
        } else {
            p++;
            continue;
        }
        if (depth == 0)
            return p;
    }
    return p > end ? end : p;
}

/* Steps through an object or array. *at begins at its first byte; key is empty for an array. */
static bool json_next(const char **at, const char *end, bool object, struct slice *key,
                      struct slice *value)
{
    const char *p = json_space(*at, end);
    if (p >= end || (*p != '{' && *p != '[' && *p != ','))
        return false;
    p = json_space(p + 1, end);
    *key = (struct slice){p, 0};
    if (object) {
        if (p >= end || *p != '"')
            return false;
        const char *q = json_string_end(p, end);
        *key = (struct slice){p + 1, q - p >= 2 ? (size_t)(q - p - 2) : 0};
        p = json_space(q, end);
        if (p >= end || *p != ':')
            return false;
        p = json_space(p + 1, end);
    }
    const char *q = json_value_end(p, end);
    if (q == p)
        return false;
    *value = (struct slice){p, (size_t)(q - p)};
    *at = q;
    return true;
}

static struct slice json_member(struct slice object, const char *name)
{
    struct slice key, value;
    const char *at = object.p, *end = object.p + object.n;
    if (object.n && *at == '{')
        while (json_next(&at, end, true, &key, &value))
            if (slice_is(key, name))
                return value;
    return (struct slice){"", 0};
}

static struct slice json_unquote(struct slice s)
{
    return s.n >= 2 && s.p[0] == '"' ? (struct slice){s.p + 1, s.n - 2} : (struct slice){"", 0};
}

/* ---- options ---- */

static struct {
    const char *host, *model, *tap;
    int port, exit_code, dims;
    int64_t health_delay_ms, die_after_ms, memory_mb, log_lines;
    bool exit_at_once, refuse_port, hang_health, die_loading, grandchild, ignore_term, term_waits,
        log_requests, lenient;
    const char *exit_while;
} options = {.host = "127.0.0.1", .model = "scripted", .dims = 16};

static const struct option_row {
    const char *name;
    enum { OPT_FLAG, OPT_INT, OPT_LONG, OPT_TEXT } kind;
    void *to;
} option_rows[] = {
    {"--port", OPT_INT, &options.port},
    {"--host", OPT_TEXT, &options.host},
    {"--model", OPT_TEXT, &options.model},
    {"--alias", OPT_TEXT, &options.model},
    {"--tap", OPT_TEXT, &options.tap},
    {"--dims", OPT_INT, &options.dims},
    {"--health-delay-ms", OPT_LONG, &options.health_delay_ms},
    {"--die-after-ms", OPT_LONG, &options.die_after_ms},
    {"--memory", OPT_LONG, &options.memory_mb},
    {"--log-lines", OPT_LONG, &options.log_lines},
    {"--log-requests", OPT_FLAG, &options.log_requests},
    {"--exit-at-once", OPT_INT, &options.exit_code},
    {"--exit-while", OPT_TEXT, &options.exit_while},
    {"--refuse-port", OPT_FLAG, &options.refuse_port},
    {"--hang-health", OPT_FLAG, &options.hang_health},
    {"--die-loading", OPT_FLAG, &options.die_loading},
    {"--grandchild", OPT_FLAG, &options.grandchild},
    {"--ignore-term", OPT_FLAG, &options.ignore_term},
    {"--term-waits", OPT_FLAG, &options.term_waits},
    {"--lenient", OPT_FLAG, &options.lenient},
};

static void options_take(int count, char **words)
{
    for (int i = 0; i < count; i++) {
        const struct option_row *row = NULL;
        for (size_t k = 0; k < LENGTH(option_rows); k++)
            if (strcmp(words[i], option_rows[k].name) == 0)
                row = &option_rows[k];
        if (!row) {
            if (options.lenient)
                continue;
            fprintf(stderr, "scripted: unknown option %s\n", words[i]);
            exit(2);
        }
        if (row->kind == OPT_FLAG) {
            *(bool *)row->to = true;
            continue;
        }
        if (i + 1 >= count) {
            fprintf(stderr, "scripted: %s needs a value\n", words[i]);
            exit(2);
        }
        const char *value = words[++i];
        if (row->kind == OPT_INT)
            *(int *)row->to = atoi(value);
        else if (row->kind == OPT_LONG)
            *(int64_t *)row->to = atoll(value);
        else
            *(const char **)row->to = value;
        if (row->to == &options.exit_code)
            options.exit_at_once = true;
    }
}

/* SCRIPTED_ARGS comes first so that a test can add behaviour to a command line that a node wrote.
 */
static void options_read(int argc, char **argv)
{
    static char copy[4096];
    char *words[64];
    int count = 0;
    const char *env = getenv("SCRIPTED_ARGS");
    const char *base = strrchr(argv[0], '/');
    options.lenient = strcmp(base ? base + 1 : argv[0], "llama-server") == 0;
    if (env) {
        (void)snprintf(copy, sizeof copy, "%s", env);
        for (char *word = strtok(copy, " "); word && count < (int)LENGTH(words);
             word = strtok(NULL, " "))
            words[count++] = word;
        options_take(count, words);
    }
    options_take(argc - 1, argv + 1);
}

/* ---- the script of one request ---- */

struct script {
    int64_t frames, gap_ms, size, big, first_byte_ms, status, trickle, slow_head;
    int64_t die_at_frame, cut_at_frame, half_frame_stall, hold_at;
    int64_t garbage, garbage_body, bad_chunk, close_delimited, hang, crlf, early_close_keepalive,
        stamp;
    int64_t calls, rounds; /* of tools: in one answer, and such answers */
    char args[256], tool[129]; /* as they stand in a JSON string; empty: the usual ones */
};

static const struct {
    const char *name;
    size_t offset;
} script_keys[] = {
#define KEY(name) {#name, offsetof(struct script, name)}
    KEY(frames),        KEY(gap_ms),       KEY(size),      KEY(big),
    KEY(first_byte_ms), KEY(status),       KEY(trickle),   KEY(slow_head),
    KEY(die_at_frame),  KEY(cut_at_frame), KEY(hold_at),   KEY(half_frame_stall),
    KEY(garbage),       KEY(garbage_body), KEY(bad_chunk), KEY(close_delimited),
    KEY(hang),          KEY(crlf),         KEY(stamp),     KEY(early_close_keepalive),
    KEY(calls),         KEY(rounds),
#undef KEY
};

static const struct script script_default = {.frames = 16,
                                             .size = 8,
                                             .status = 200,
                                             .calls = 1,
                                             .rounds = 1,
                                             .die_at_frame = -1,
                                             .cut_at_frame = -1,
                                             .half_frame_stall = -1,
                                             .hold_at = -1};

/* A text up to the next space or the string's end, as it stands. */
static const char *script_text(char *to, size_t size, const char *p, const char *end)
{
    size_t n = 0;
    while (p < end && *p != ' ' && *p != '"') {
        size_t take = *p == '\\' && p + 1 < end ? 2 : 1;
        if (n + take < size) {
            memcpy(to + n, p, take);
            n += take;
        }
        p += take;
    }
    to[n] = '\0';
    return p;
}

/* Reads "!script key=value ..." up to the string's end. Gives false and the bad word when a key is
 * unknown. */
static bool script_read(struct script *script, const char *p, const char *end, struct slice *bad)
{
    p += strlen("!script");
    while (p < end && *p != '"' && *p != '\\') {
        if (*p == ' ') {
            p++;
            continue;
        }
        const char *word = p;
        while (p < end && *p != '=' && *p != ' ' && *p != '"' && *p != '\\')
            p++;
        struct slice name = {word, (size_t)(p - word)};
        int64_t value = 1;
        bool args = slice_is(name, "args"), tool = slice_is(name, "tool");
        if ((args || tool) && p < end && *p == '=') {
            p = args ? script_text(script->args, sizeof script->args, p + 1, end)
                     : script_text(script->tool, sizeof script->tool, p + 1, end);
            continue;
        }
        if (p < end && *p == '=') {
            value = 0;
            for (p++; p < end && *p >= '0' && *p <= '9'; p++)
                value = value < INT64_MAX / 16 ? value * 10 + (*p - '0') : value;
        }
        size_t k = 0;
        while (k < LENGTH(script_keys) && !slice_is(name, script_keys[k].name))
            k++;
        if (k == LENGTH(script_keys)) {
            *bad = name;
            return false;
        }
        memcpy((char *)script + script_keys[k].offset, &value, sizeof value);
    }
    return true;
}

/* ---- connections ---- */

enum path { PATH_CHAT, PATH_COMPLETION, PATH_EMBEDDING, PATH_OTHER, PATHS };
enum step {
    STEP_HEAD,
    STEP_ROLE,
    STEP_FRAMES,
    STEP_FINISH,
    STEP_USAGE,
    STEP_DONE,
    STEP_END,
    STEP_NOTHING
};
enum after { AFTER_KEEP, AFTER_CLOSE, AFTER_DIE };

struct conn {
    int fd;
    uint32_t events;
    struct text in, out;
    size_t out_off, head_left, request_bytes;
    int64_t produce_at_us, write_at_us, timer_us;
    size_t timer_at; /* place in the heap + 1, 0 when not in it */
    bool busy, streaming, chunked, tap, include_usage, continued, tools, released;
    enum path path;
    enum step step;
    enum after after;
    int64_t frame;
    struct script script;
    int64_t round; /* of calls of tools */
    char id[129], tool[4][129];
};

static const char *const path_names[PATHS] = {"/v1/chat/completions", "/v1/completions",
                                              "/v1/embeddings", "other"};

static struct {
    uint64_t requests[PATHS], connections, aborted, aborted_streams, probes, frames, body_bytes,
        models;
    int64_t open, in_flight, streams_open;
} stats;

static struct conn **conns; /* by descriptor */
static size_t conns_max;
static int epoll_fd, listen_fd = -1;
static bool accept_paused;
static int64_t now_us, start_us;
static struct text plain, last, scratch;
static size_t plain_content; /* bytes of content that make the plain answer ANSWER_BYTES long */
static volatile sig_atomic_t term_seen;

static int64_t clock_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* A binary heap of connections by timer_us. */
static struct conn **heap;
static size_t heap_n, heap_cap;

static void heap_put(size_t i, struct conn *c)
{
    heap[i] = c;
    c->timer_at = i + 1;
}

static void heap_up(size_t i, struct conn *c)
{
    while (i && heap[(i - 1) / 2]->timer_us > c->timer_us) {
        heap_put(i, heap[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    heap_put(i, c);
}

static void heap_down(size_t i, struct conn *c)
{
    for (;;) {
        size_t k = 2 * i + 1;
        if (k + 1 < heap_n && heap[k + 1]->timer_us < heap[k]->timer_us)
            k++;
        if (k >= heap_n || heap[k]->timer_us >= c->timer_us)
            break;
        heap_put(i, heap[k]);
        i = k;
    }
    heap_put(i, c);
}

static void timer_stop(struct conn *c)
{
    if (!c->timer_at)
        return;
    size_t i = c->timer_at - 1;
    struct conn *tail = heap[--heap_n];
    c->timer_at = 0;
    if (tail == c)
        return;
    if (i && heap[(i - 1) / 2]->timer_us > tail->timer_us)
        heap_up(i, tail);
    else
        heap_down(i, tail);
}

static void timer_start(struct conn *c, int64_t at_us)
{
    timer_stop(c);
    if (at_us == FOREVER)
        return;
    if (heap_n == heap_cap) {
        heap_cap = heap_cap ? heap_cap * 2 : 1024;
        heap = realloc(heap, heap_cap * sizeof *heap);
        if (!heap)
            abort();
    }
    c->timer_us = at_us;
    heap_up(heap_n++, c);
}

static void conn_events(struct conn *c, uint32_t events)
{
    if (c->events == events)
        return;
    struct epoll_event e = {.events = events, .data.fd = c->fd};
    c->events = events;
    (void)epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &e);
}

static void listen_watch(bool on)
{
    struct epoll_event e = {.events = EPOLLIN, .data.fd = listen_fd};
    (void)epoll_ctl(epoll_fd, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, listen_fd, &e);
    accept_paused = !on;
}

static void request_end(struct conn *c, bool aborted)
{
    stats.in_flight--;
    stats.streams_open -= c->streaming;
    stats.aborted += aborted;
    stats.aborted_streams += aborted && c->streaming;
    c->busy = c->streaming = false;
}

static void conn_close(struct conn *c, bool by_client)
{
    timer_stop(c);
    if (c->busy)
        request_end(c, by_client);
    conns[c->fd] = NULL;
    close(c->fd);
    stats.open--;
    free(c->in.p);
    free(c->out.p);
    free(c);
    if (accept_paused)
        listen_watch(true);
}

/* ---- output ---- */

static void tap_add(const struct conn *c, const void *p, size_t n)
{
    char name[4096];
    (void)snprintf(name, sizeof name, "%s/%s", options.tap, c->id);
    int fd = open(name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd < 0 || (n && write(fd, p, n) != (ssize_t)n)) {
        fprintf(stderr, "scripted: cannot write the tap %s: %s\n", name, strerror(errno));
        exit(1);
    }
    close(fd);
}

/* Body bytes go out through here: counted, tapped, framed as one chunk. */
static void body_add(struct conn *c, const void *p, size_t n)
{
    stats.body_bytes += n;
    if (c->tap)
        tap_add(c, p, n);
    if (c->chunked)
        text_print(&c->out, "%zx\r\n", n);
    text_add(&c->out, p, n);
    if (c->chunked)
        text_add(&c->out, "\r\n", 2);
}

static const char *status_text(int64_t status)
{
    switch (status) {
    case 200: return "OK";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 404: return "Not Found";
    case 411: return "Length Required";
    case 429: return "Too Many Requests";
    case 500: return "Internal Server Error";
    case 503: return "Service Unavailable";
    default: return "Scripted";
    }
}

static void head_add(struct conn *c, int64_t status, const char *type, int64_t length)
{
    size_t before = c->out.n;
    text_print(&c->out, "HTTP/1.1 %" PRId64 " %s\r\nServer: scripted\r\nContent-Type: %s\r\n",
               status, status_text(status), type);
    if (c->chunked)
        text_print(&c->out, "Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n");
    else if (length >= 0)
        text_print(&c->out, "Content-Length: %" PRId64 "\r\n", length);
    /* early_close_keepalive closes without having said so: the race that a keep-alive pool must
     * survive */
    if (c->after == AFTER_CLOSE && !c->script.early_close_keepalive)
        text_print(&c->out, "Connection: close\r\n");
    text_add(&c->out, "\r\n", 2);
    c->head_left = c->out.n - before;
}

static void answer(struct conn *c, int64_t status, const char *type, const char *p, size_t n)
{
    head_add(c, status, type, c->script.close_delimited ? -1 : (int64_t)n);
    body_add(c, p, n);
    c->step = STEP_NOTHING;
}

__attribute__((format(printf, 3, 4))) static void answer_error(struct conn *c, int64_t status,
                                                               const char *format, ...)
{
    char message[256], body[512];
    va_list list;
    va_start(list, format);
    (void)vsnprintf(message, sizeof message, format, list);
    va_end(list);
    int n = snprintf(
        body, sizeof body,
        "{\"error\":{\"message\":\"%s\",\"type\":\"%s\",\"param\":null,\"code\":%" PRId64 "}}",
        message, status >= 500 ? "server_error" : "invalid_request_error", status);
    answer(c, status, "application/json", body, (size_t)n);
}

/* ---- what a stream says ---- */

static void event_add(struct conn *c, const char *p, size_t n)
{
    static struct text frame;
    frame.n = 0;
    text_add(&frame, "data: ", 6);
    text_add(&frame, p, n);
    text_print(&frame, "%s", c->script.crlf ? "\r\n\r\n" : "\n\n");
    body_add(c, frame.p, frame.n);
    stats.frames++;
}

static void chunk_open(const struct conn *c, struct text *t)
{
    bool chat = c->path != PATH_COMPLETION;
    t->n = 0;
    text_print(t,
               "{\"id\":\"%s-scripted\",\"object\":\"%s\",\"created\":1700000000,\"model\":\"%s\",",
               chat ? "chatcmpl" : "cmpl", chat ? "chat.completion.chunk" : "text_completion",
               options.model);
}

static void event_choice(struct conn *c, const char *delta, size_t delta_n, const char *finish)
{
    struct text *t = &scratch;
    chunk_open(c, t);
    text_print(t,
               "\"choices\":[{\"index\":0,\"%s\":", c->path != PATH_COMPLETION ? "delta" : "text");
    text_add(t, delta, delta_n);
    text_print(t, ",\"logprobs\":null,\"finish_reason\":%s}]}", finish);
    event_add(c, t->p, t->n);
}

static const char *tool_name(const struct conn *c, int64_t call)
{
    return c->script.tool[0] ? c->script.tool : c->tool[call % (int64_t)LENGTH(c->tool)];
}

static void tool_id(char id[64], const struct conn *c, int64_t call)
{
    if (c->script.calls == 1 && c->script.rounds == 1)
        snprintf(id, 64, "call_scripted");
    else
        snprintf(id, 64, "call_%" PRId64 "_%" PRId64, c->round, call);
}

/* The arguments in three pieces; those of a script are cut in two, not within an escape. */
static void tool_piece(char piece[300], const struct conn *c, int64_t i)
{
    static const char *const pieces[] = {"{\\\"scripted\\\"", ": ", "true}"};
    const char *args = c->script.args;
    size_t n = strlen(args), at = n / 2;
    while (at && args[at - 1] == '\\')
        at--;
    if (!n)
        snprintf(piece, 300, "%s", pieces[i]);
    else
        snprintf(piece, 300, "%.*s",
                 i == 0   ? (int)at
                 : i == 1 ? (int)(n - at)
                          : 0,
                 args + (i == 0 ? 0 : at));
}

static void tool_frame(struct conn *c, int64_t frame)
{
    char delta[768], id[64], piece[300];
    int64_t call = frame / 4, i = frame % 4;
    int n;
    tool_id(id, c, call);
    if (i == 0) {
        n = snprintf(delta, sizeof delta,
                     "{\"tool_calls\":[{\"index\":%" PRId64 ",\"id\":\"%s\",\"type\":\"function\","
                     "\"function\":{\"name\":\"%s\",\"arguments\":\"\"}}]}",
                     call, id, tool_name(c, call));
    } else {
        tool_piece(piece, c, i - 1);
        n = snprintf(delta, sizeof delta,
                     "{\"tool_calls\":[{\"index\":%" PRId64
                     ",\"function\":{\"arguments\":\"%s\"}}]}",
                     call, piece);
    }
    event_choice(c, delta, (size_t)n, "null");
}

/* Content begins with the frame's number, so that a reader can prove that none is lost or out of
 * order. */
static void content_frame(struct conn *c, int64_t i)
{
    static struct text t;
    bool chat = c->path != PATH_COMPLETION;
    t.n = 0;
    text_print(&t, chat ? "{\"content\":\"" : "\"");
    size_t begin = t.n;
    text_print(&t, "%" PRId64 " ", i);
    if (c->script.stamp)
        text_print(&t, "%" PRId64 " ", clock_us());
    if ((int64_t)(t.n - begin) < c->script.size)
        text_fill(&t, 'x', (size_t)c->script.size - (t.n - begin));
    text_print(&t, chat ? "\"}" : "\"");
    event_choice(c, t.p, t.n, "null");
}

static void stream_usage(struct conn *c)
{
    struct text *t = &scratch;
    chunk_open(c, t);
    text_print(t,
               "\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":%" PRId64
               ",\"total_tokens\":%" PRId64 "}}",
               c->frame, c->frame + 9);
    event_add(c, t->p, t->n);
}

/* One content frame, or the fault that was asked for in its place. */
static void stream_frame(struct conn *c)
{
    const struct script *s = &c->script;
    int64_t frames = c->tools ? 4 * s->calls : s->frames;
    if (c->frame == s->die_at_frame || c->frame == s->cut_at_frame) {
        c->after = c->frame == s->die_at_frame ? AFTER_DIE : AFTER_CLOSE;
        c->step = STEP_NOTHING;
    } else if (c->frame == s->half_frame_stall) {
        body_add(c, "data: {\"id\":\"chatcmpl-scri", 26);
        c->produce_at_us = FOREVER;
    } else if (c->frame == s->hold_at && !c->released) {
        c->produce_at_us = FOREVER;
    } else if (c->frame >= frames) {
        c->step = STEP_FINISH;
    } else {
        if (c->tools)
            tool_frame(c, c->frame);
        else
            content_frame(c, c->frame);
        c->frame++;
        if (s->gap_ms)
            c->produce_at_us = now_us + s->gap_ms * 1000;
    }
}

static void garbage_fill(struct text *t, size_t n)
{
    uint32_t x = 2463534242u;
    t->n = 0;
    for (size_t i = 0; i < n; i++) {
        x ^= x << 13, x ^= x >> 17,
            x ^= x << 5; /* xorshift32: bytes that are the same in every run */
        char byte = (char)(x & 0xff);
        text_add(t, &byte, 1);
    }
}

static void stream_step(struct conn *c)
{
    const struct script *s = &c->script;
    switch (c->step) {
    case STEP_HEAD:
        c->chunked = !s->close_delimited;
        head_add(c, 200, "text/event-stream", -1);
        c->step = STEP_ROLE;
        if (s->garbage_body) {
            garbage_fill(&scratch, 512);
            body_add(c, scratch.p, scratch.n);
            c->step = STEP_END;
        } else if (s->bad_chunk) {
            text_print(&c->out, "zz not a size\r\n");
            c->step = STEP_NOTHING;
            c->after = AFTER_CLOSE;
        }
        break;
    case STEP_ROLE:
        if (c->path != PATH_COMPLETION) {
            static const char role[] = "{\"role\":\"assistant\",\"content\":\"\"}";
            static const char role_tool[] = "{\"role\":\"assistant\",\"content\":null}";
            event_choice(c, c->tools ? role_tool : role,
                         (c->tools ? sizeof role_tool : sizeof role) - 1, "null");
        }
        c->step = STEP_FRAMES;
        break;
    case STEP_FRAMES: stream_frame(c); break;
    case STEP_FINISH:
        event_choice(c, c->path != PATH_COMPLETION ? "{}" : "\"\"", 2,
                     c->tools ? "\"tool_calls\"" : "\"stop\"");
        c->step = c->include_usage ? STEP_USAGE : STEP_DONE;
        break;
    case STEP_USAGE:
        stream_usage(c);
        c->step = STEP_DONE;
        break;
    case STEP_DONE:
        event_add(c, "[DONE]", 6);
        c->step = STEP_END;
        break;
    case STEP_END:
        if (c->chunked)
            text_add(&c->out, "0\r\n\r\n", 5);
        c->step = STEP_NOTHING;
        break;
    case STEP_NOTHING: break;
    }
}

/* ---- answers that are not streams ---- */

static void chat_body(struct text *t, const struct conn *c, bool chat, size_t content)
{
    static const char words[] =
        "The quick brown engine answers the patient gateway with plain words. ";
    t->n = 0;
    text_print(t,
               "{\"id\":\"%s-scripted\",\"object\":\"%s\",\"created\":1700000000,\"model\":\"%s\","
               "\"choices\":[{\"index\":0,",
               chat ? "chatcmpl" : "cmpl", chat ? "chat.completion" : "text_completion",
               options.model);
    bool tools = c && c->tools;
    if (tools) {
        text_print(t, "\"message\":{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[");
        for (int64_t call = 0; call < c->script.calls; call++) {
            char id[64];
            tool_id(id, c, call);
            text_print(t,
                       "%s{\"id\":\"%s\",\"type\":\"function\",\"function\":{\"name\":\"%s\","
                       "\"arguments\":\"%s\"}}",
                       call ? "," : "", id, tool_name(c, call),
                       c->script.args[0] ? c->script.args : "{\\\"scripted\\\": true}");
        }
        text_print(t, "]}");
    } else
        text_print(t, chat ? "\"message\":{\"role\":\"assistant\",\"content\":\"" : "\"text\":\"");
    for (size_t left = tools ? 0 : content; left;) {
        size_t n = left < sizeof words - 1 ? left : sizeof words - 1;
        text_add(t, words, n);
        left -= n;
    }
    if (!tools)
        text_print(t, chat ? "\"}" : "\"");
    text_print(t,
               ",\"logprobs\":null,\"finish_reason\":\"%s\"}],\"usage\":{\"prompt_tokens\":42,"
               "\"completion_tokens\":128,"
               "\"total_tokens\":170},\"system_fingerprint\":\"scripted\"}",
               tools ? "tool_calls" : "stop");
}

static void plain_make(void)
{
    struct text body = {0};
    chat_body(&body, NULL, true, 0);
    plain_content = body.n < ANSWER_BYTES ? ANSWER_BYTES - body.n : 0;
    chat_body(&body, NULL, true, plain_content);
    plain.n = 0;
    text_print(&plain,
               "HTTP/1.1 200 OK\r\nServer: scripted\r\nContent-Type: "
               "application/json\r\nContent-Length: %zu\r\n\r\n",
               body.n);
    text_add(&plain, body.p, body.n);
    free(body.p);
}

static size_t base64_add(struct text *t, const unsigned char *p, size_t n)
{
    static const char code[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < n; i += 3) {
        uint32_t v = (uint32_t)p[i] << 16 | (i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0) |
                     (i + 2 < n ? p[i + 2] : 0);
        char four[4] = {code[v >> 18 & 63], code[v >> 12 & 63], i + 1 < n ? code[v >> 6 & 63] : '=',
                        i + 2 < n ? code[v & 63] : '='};
        text_add(t, four, 4);
    }
    return t->n;
}

/* A vector that depends on the text alone (FNV-1a, then a linear congruential step for each
 * number). */
static void vector_add(struct text *t, int index, struct slice input, bool base64)
{
    static float values[4096];
    int dims = options.dims > 4096 ? 4096 : options.dims;
    uint64_t h = 14695981039346656037u;
    for (size_t i = 0; i < input.n; i++)
        h = (h ^ (unsigned char)input.p[i]) * 1099511628211u;
    text_print(t, "%s{\"object\":\"embedding\",\"index\":%d,\"embedding\":%s", index ? "," : "",
               index, base64 ? "\"" : "[");
    for (int i = 0; i < dims; i++) {
        h = h * 6364136223846793005u + 1442695040888963407u;
        values[i] = (float)((double)(h >> 40) / (double)(1 << 24) - 0.5);
        if (!base64)
            text_print(t, "%s%.7f", i ? "," : "", (double)values[i]);
    }
    if (base64)
        (void)base64_add(t, (const unsigned char *)values, (size_t)dims * sizeof *values);
    text_print(t, base64 ? "\"}" : "]}");
}

static void embedding_body(struct text *t, struct slice body)
{
    struct slice input = json_member(body, "input"), key, value;
    bool base64 = slice_is(json_member(body, "encoding_format"), "\"base64\"");
    const char *at = input.p;
    int count = 0;
    t->n = 0;
    text_print(t, "{\"object\":\"list\",\"data\":[");
    if (input.n && *at == '[') {
        while (json_next(&at, input.p + input.n, false, &key, &value))
            vector_add(t, count++, value, base64);
    } else {
        vector_add(t, count++, input, base64);
    }
    text_print(t, "],\"model\":\"%s\",\"usage\":{\"prompt_tokens\":%d,\"total_tokens\":%d}}",
               options.model, count * 5, count * 5);
}

/* ---- requests ---- */

struct request {
    struct slice method, path, head, body, id;
    bool keep_alive, chunked, expect;
    uint64_t length;
};

static bool request_line(struct request *r)
{
    const char *p = r->head.p, *end = memchr(p, '\r', r->head.n);
    const char *sp = end ? memchr(p, ' ', (size_t)(end - p)) : NULL;
    const char *sp2 = sp ? memchr(sp + 1, ' ', (size_t)(end - sp - 1)) : NULL;
    if (!sp2 || end - sp2 != 9 || memcmp(sp2, " HTTP/1.", 8) != 0)
        return false;
    r->method = (struct slice){p, (size_t)(sp - p)};
    r->path = (struct slice){sp + 1, (size_t)(sp2 - sp - 1)};
    const char *query = memchr(r->path.p, '?', r->path.n);
    if (query)
        r->path.n = (size_t)(query - r->path.p);
    r->keep_alive = end[-1] == '1';
    return true;
}

static void request_header(struct request *r, struct slice name, struct slice value)
{
    if (slice_is_nocase(name, "content-length")) {
        r->length = 0;
        for (size_t i = 0;
             i < value.n && value.p[i] >= '0' && value.p[i] <= '9' && r->length <= BODY_BYTES_MAX;
             i++)
            r->length = r->length * 10 + (uint64_t)(value.p[i] - '0');
    } else if (slice_is_nocase(name, "connection")) {
        r->keep_alive = slice_is_nocase(value, "close")
                            ? false
                            : r->keep_alive || slice_is_nocase(value, "keep-alive");
    } else if (slice_is_nocase(name, "x-request-id")) {
        r->id = value;
    } else if (slice_is_nocase(name, "transfer-encoding")) {
        r->chunked = true;
    } else if (slice_is_nocase(name, "expect")) {
        r->expect = true;
    }
}

/* Gives 1 for a whole head, 0 for more needed, -1 for something that is not HTTP. */
static int request_parse(struct request *r, const struct text *in)
{
    const char *end = memmem(in->p, in->n, "\r\n\r\n", 4);
    if (!end)
        return in->n > HEAD_BYTES_MAX ? -1 : 0;
    *r = (struct request){.head = {in->p, (size_t)(end - in->p) + 4}};
    if (!request_line(r))
        return -1;
    const char *p = (const char *)memchr(in->p, '\n', in->n) + 1;
    while (p < end + 2) {
        const char *stop = memchr(p, '\r', (size_t)(end + 2 - p) + 1);
        const char *colon = memchr(p, ':', (size_t)(stop - p));
        if (!colon)
            return -1;
        /* only four names matter: look at the first letter before comparing */
        if (strchr("cCxXtTeE", *p)) {
            const char *v = colon + 1;
            while (v < stop && *v == ' ')
                v++;
            request_header(r, (struct slice){p, (size_t)(colon - p)},
                           (struct slice){v, (size_t)(stop - v)});
        }
        p = stop + 2;
    }
    return r->length > BODY_BYTES_MAX ? -1 : 1;
}

struct asks {
    struct slice stream, stream_options, tools, tool_choice, messages;
};

static void asks_read(struct asks *asks, struct slice body)
{
    struct slice key, value;
    const char *at = json_space(body.p, body.p + body.n), *end = body.p + body.n;
    *asks = (struct asks){0};
    if (at >= end || *at != '{')
        return;
    while (json_next(&at, end, true, &key, &value)) {
        if (slice_is(key, "stream"))
            asks->stream = value;
        else if (slice_is(key, "stream_options"))
            asks->stream_options = value;
        else if (slice_is(key, "tools"))
            asks->tools = value;
        else if (slice_is(key, "tool_choice"))
            asks->tool_choice = value;
        else if (slice_is(key, "messages"))
            asks->messages = value;
    }
}

/* The script stands in the first user message, or anywhere in a body that has no messages. answers:
 * of tools, when the last message is one. */
static struct slice script_place(const struct asks *asks, struct slice body, int64_t *answers)
{
    struct slice key, message, found = {"", 0}, role = {"", 0};
    const char *at = asks->messages.p;
    if (!asks->messages.n)
        return body;
    while (json_next(&at, asks->messages.p + asks->messages.n, false, &key, &message)) {
        role = json_member(message, "role");
        *answers += slice_is(role, "\"tool\"");
        if (!found.n && slice_is(role, "\"user\""))
            found = json_member(message, "content");
    }
    if (!slice_is(role, "\"tool\""))
        *answers = 0;
    return found;
}

static void copy_safe(char *to, size_t size, struct slice from)
{
    size_t n = 0;
    for (size_t i = 0; i < from.n && n + 1 < size; i++) {
        char ch = from.p[i];
        bool ok = (ch >= '0' && ch <= '9') || ((ch | 32) >= 'a' && (ch | 32) <= 'z') || ch == '-' ||
                  ch == '_' || ch == '.';
        to[n++] = ok ? ch : '_';
    }
    to[n] = '\0';
}

static void stats_answer(struct conn *c)
{
    struct text *t = &scratch;
    t->n = 0;
    text_print(t, "{\"pid\":%d,\"uptime_ms\":%" PRId64 ",\"requests\":{", (int)getpid(),
               (now_us - start_us) / 1000);
    uint64_t total = 0;
    for (int i = 0; i < PATHS; i++) {
        text_print(t, "\"%s\":%" PRIu64 ",", path_names[i], stats.requests[i]);
        total += stats.requests[i];
    }
    text_print(t, "\"/v1/models\":%" PRIu64 "},\"requests_total\":%" PRIu64, stats.models, total);
    text_print(t,
               ",\"connections_open\":%" PRId64 ",\"connections_total\":%" PRIu64
               ",\"in_flight\":%" PRId64 ",\"streams_open\":%" PRId64,
               stats.open, stats.connections, stats.in_flight - 1, stats.streams_open);
    text_print(
        t, ",\"aborted\":%" PRIu64 ",\"aborted_streams\":%" PRIu64 ",\"health_probes\":%" PRIu64,
        stats.aborted, stats.aborted_streams, stats.probes);
    text_print(t, ",\"frames\":%" PRIu64 ",\"body_bytes\":%" PRIu64 "}", stats.frames,
               stats.body_bytes);
    answer(c, 200, "application/json", t->p, t->n);
}

static void advance(struct conn *c);

static void release_answer(struct conn *c)
{
    char body[64];
    int count = 0;
    for (size_t i = 0; i < conns_max; i++) {
        struct conn *held = conns[i];
        if (!held || held == c || !held->busy || held->script.hold_at < 0 || held->released)
            continue;
        held->released = true;
        if (held->produce_at_us == FOREVER)
            held->produce_at_us = now_us;
        timer_start(held, now_us);
        count++;
    }
    int n = snprintf(body, sizeof body, "{\"released\":%d}", count);
    answer(c, 200, "application/json", body, (size_t)n);
}

static bool loading(void)
{
    return now_us - start_us < options.health_delay_ms * 1000;
}

static void get_answer(struct conn *c, const struct request *r)
{
    struct text *t = &scratch;
    t->n = 0;
    if (slice_is(r->path, "/health")) {
        stats.probes++;
        if (options.hang_health)
            c->produce_at_us = FOREVER;
        else if (loading())
            answer_error(c, 503, "Loading model");
        else
            answer(c, 200, "application/json", "{\"status\":\"ok\"}", 15);
    } else if (slice_is(r->path, "/v1/models")) {
        stats.models++;
        text_print(t,
                   "{\"object\":\"list\",\"data\":[{\"id\":\"%s\",\"object\":\"model\",\"created\":"
                   "1700000000,"
                   "\"owned_by\":\"scripted\",\"meta\":{\"n_ctx\":4096,\"n_ctx_train\":4096}}]}",
                   options.model);
        answer(c, 200, "application/json", t->p, t->n);
    } else if (slice_is(r->path, "/props")) {
        text_print(t,
                   "{\"default_generation_settings\":{\"n_ctx\":4096},\"total_slots\":1,\"model_"
                   "path\":\"%s\"}",
                   options.model);
        answer(c, 200, "application/json", t->p, t->n);
    } else if (slice_is(r->path, "/_stats")) {
        stats_answer(c);
    } else if (slice_is(r->path, "/_last")) {
        answer(c, 200, "application/octet-stream", last.p ? last.p : "", last.n);
    } else if (slice_is(r->path, "/_release")) {
        release_answer(c);
    } else {
        answer_error(c, 404, "no such path");
    }
}

/* Asked for a fault or a plain body: everything that is not a stream and not the quick path. */
static void post_answer(struct conn *c, const struct request *r)
{
    const struct script *s = &c->script;
    struct text *t = &scratch;
    if (s->garbage_body) {
        garbage_fill(t, 512);
    } else if (c->path == PATH_EMBEDDING) {
        embedding_body(t, r->body);
    } else if (c->path == PATH_OTHER) {
        t->n = 0;
        text_print(t, "{\"path\":\"%.*s\",\"echo\":", (int)r->path.n, r->path.p);
        text_add(t, r->body.n ? r->body.p : "null", r->body.n ? r->body.n : 4);
        text_add(t, "}", 1);
    } else {
        chat_body(t, c, c->path == PATH_CHAT, s->big ? (size_t)s->big : plain_content);
    }
    bool die = s->die_at_frame >= 0, cut = s->cut_at_frame >= 0, stall = s->half_frame_stall >= 0;
    if (!die && !cut && !stall) {
        answer(c, 200, "application/json", t->p, t->n);
        return;
    }
    head_add(c, 200, "application/json", (int64_t)t->n);
    body_add(c, t->p, t->n / 2); /* the head promised all of it */
    c->after = die ? AFTER_DIE : AFTER_CLOSE;
    c->step = stall ? STEP_ROLE : STEP_NOTHING;
    c->produce_at_us = stall ? FOREVER : 0;
}

static void post_begin(struct conn *c, const struct request *r)
{
    struct slice bad = {"", 0};
    struct asks asks;
    int64_t answers = 0;
    if (memcmp(r->path.p, "/v1/", r->path.n < 4 ? r->path.n : 4) != 0) {
        answer_error(c, 404, "no such path");
        return;
    }
    asks_read(&asks, r->body);
    struct slice place = script_place(&asks, r->body, &answers);
    const char *found = memmem(place.p, place.n, "\"!script", 8);
    if (found && !script_read(&c->script, found + 1, place.p + place.n, &bad)) {
        answer_error(c, 400, "unknown script key %.*s", (int)(bad.n > 64 ? 64 : bad.n), bad.p);
        return;
    }
    const struct script *s = &c->script;
    if (s->close_delimited || s->early_close_keepalive)
        c->after = AFTER_CLOSE;
    if (asks.tools.n > 2 && answers < s->calls * s->rounds && c->path == PATH_CHAT &&
        !slice_is(asks.tool_choice, "\"none\"")) {
        struct slice key, tool;
        const char *at = asks.tools.p, *end = at + asks.tools.n;
        size_t count = 0;
        while (count < LENGTH(c->tool) && json_next(&at, end, false, &key, &tool))
            copy_safe(c->tool[count++], sizeof c->tool[0],
                      json_unquote(json_member(json_member(tool, "function"), "name")));
        for (size_t i = count; i < LENGTH(c->tool) && count; i++) /* fewer than calls: again */
            memcpy(c->tool[i], c->tool[i % count], sizeof c->tool[0]);
        c->tools = count && c->tool[0][0] != '\0';
        c->round = answers / (s->calls ? s->calls : 1);
    }
    c->streaming =
        slice_is(asks.stream, "true") && (c->path == PATH_CHAT || c->path == PATH_COMPLETION);
    c->include_usage = slice_is(json_member(asks.stream_options, "include_usage"), "true");
    stats.streams_open += c->streaming;
    if (s->big && c->streaming)
        c->script.size = s->big;
    if (s->hang)
        c->produce_at_us = FOREVER;
    else if (s->first_byte_ms)
        c->produce_at_us = now_us + s->first_byte_ms * 1000;
    c->step = STEP_HEAD;
}

/* The first production of a request: its head or its whole answer. The request still lies in the
 * input buffer. */
static void produce_first(struct conn *c)
{
    struct request r;
    (void)request_parse(&r, &c->in);
    r.body = (struct slice){c->in.p + r.head.n, (size_t)r.length};
    if (c->script.garbage) {
        garbage_fill(&scratch, 256);
        text_add(&c->out, scratch.p, scratch.n);
        c->step = STEP_ROLE;
        c->produce_at_us = FOREVER; /* the connection stays open: the other side must end it */
    } else if (c->script.status != 200) {
        answer_error(c, c->script.status, "scripted status");
        if (c->streaming)
            stats.streams_open--;
        c->streaming = false;
    } else if (c->streaming) {
        stream_step(c);
    } else {
        post_answer(c, &r);
    }
}

static void produce(struct conn *c)
{
    while (c->step != STEP_NOTHING && c->produce_at_us <= now_us &&
           c->out.n - c->out_off < OUT_HIGH_BYTES) {
        if (c->step == STEP_HEAD)
            produce_first(c);
        else
            stream_step(c);
    }
}

/* Writes what may be written now. Gives false when the connection is gone. */
static bool flush(struct conn *c)
{
    while (c->out_off < c->out.n && c->write_at_us <= now_us) {
        size_t n = c->out.n - c->out_off;
        int64_t pause_ms =
            c->head_left && c->script.slow_head ? c->script.slow_head : c->script.trickle;
        if (pause_ms)
            n = 1;
        ssize_t sent = send(c->fd, c->out.p + c->out_off, n, MSG_NOSIGNAL);
        if (sent < 0 && (errno == EAGAIN || errno == EINTR)) {
            conn_events(c, EPOLLIN | EPOLLOUT);
            return true;
        }
        if (sent < 0) {
            conn_close(c, true);
            return false;
        }
        c->out_off += (size_t)sent;
        c->head_left -= (size_t)sent < c->head_left ? (size_t)sent : c->head_left;
        if (pause_ms)
            c->write_at_us = now_us + pause_ms * 1000;
    }
    if (c->out_off == c->out.n) {
        c->out.n = c->out_off = 0;
        conn_events(c, EPOLLIN);
    }
    return true;
}

static bool request_begin(struct conn *c);

/* Moves one connection as far as it goes without waiting. */
static void advance(struct conn *c)
{
    for (;;) {
        if (!c->busy && !request_begin(c))
            return;
        produce(c);
        if (!flush(c))
            return;
        bool pending = c->out_off < c->out.n;
        if (!pending && c->step == STEP_NOTHING) {
            timer_stop(c);
            if (c->after == AFTER_DIE)
                _exit(9);
            enum after after = c->after;
            request_end(c, false);
            if (after == AFTER_CLOSE) {
                conn_close(c, false);
                return;
            }
            c->in.n -= c->request_bytes;
            memmove(c->in.p, c->in.p + c->request_bytes, c->in.n);
            continue;
        }
        int64_t at = pending && c->write_at_us > now_us ? c->write_at_us : FOREVER;
        if (c->step != STEP_NOTHING && c->produce_at_us > now_us && c->produce_at_us < at)
            at = c->produce_at_us;
        bool room = c->out.n - c->out_off < OUT_HIGH_BYTES;
        if (c->step != STEP_NOTHING && c->produce_at_us <= now_us && room)
            continue;
        timer_start(c, at);
        return;
    }
}

static enum path path_of(struct slice path)
{
    for (int i = 0; i < PATH_OTHER; i++)
        if (slice_is(path, path_names[i]))
            return (enum path)i;
    return PATH_OTHER;
}

static void request_name(struct conn *c, const struct request *r)
{
    static uint64_t count;
    count++;
    if (r->id.n)
        copy_safe(c->id, sizeof c->id, r->id);
    else
        (void)snprintf(c->id, sizeof c->id, "request-%" PRIu64, count);
    c->tap = options.tap && slice_is(r->method, "POST");
    if (c->tap)
        tap_add(c, "", 0);
}

/* Starts the next whole request in the input. Gives false when there is none or the connection is
 * gone. */
static bool request_begin(struct conn *c)
{
    struct request r;
    int got = c->in.n ? request_parse(&r, &c->in) : 0;
    if (got > 0 && r.expect && !c->continued && c->in.n < r.head.n + r.length) {
        c->continued = true;
        (void)send(c->fd, "HTTP/1.1 100 Continue\r\n\r\n", 25, MSG_NOSIGNAL);
    }
    if (got == 0 || (got > 0 && !r.chunked && c->in.n < r.head.n + r.length))
        return false;
    c->busy = true;
    stats.in_flight++;
    c->streaming = c->chunked = c->tap = c->tools = c->released = c->continued = false;
    c->step = STEP_NOTHING;
    c->frame = 0;
    c->head_left = 0;
    c->produce_at_us = c->write_at_us = 0;
    c->script = script_default;
    if (got < 0 || r.chunked) {
        c->after = AFTER_CLOSE;
        answer_error(c, got < 0 ? 400 : 411, got < 0 ? "not HTTP" : "send a Content-Length");
        return true;
    }
    r.body = (struct slice){c->in.p + r.head.n, (size_t)r.length};
    c->request_bytes = r.head.n + (size_t)r.length;
    c->after = r.keep_alive ? AFTER_KEEP : AFTER_CLOSE;
    if (options.log_requests)
        fprintf(stderr, "request %.*s %.*s %zu\n", (int)r.method.n, r.method.p, (int)r.path.n,
                r.path.p, r.body.n);
    if (!slice_is(r.method, "POST")) {
        get_answer(c, &r);
        if (c->produce_at_us == FOREVER)
            c->step = STEP_ROLE;
        return true;
    }
    c->path = path_of(r.path);
    stats.requests[c->path]++;
    if (c->request_bytes <= LAST_BYTES_MAX) {
        last.n = 0;
        text_add(&last, c->in.p, c->request_bytes);
    }
    if (options.tap)
        request_name(c, &r);
    if (loading())
        answer_error(c, 503, "Loading model");
    else
        post_begin(c, &r);
    /* the quick path: nothing asked for, so the answer made at the start will do */
    if (c->step == STEP_HEAD && c->path == PATH_CHAT && !c->streaming && !c->tools && !c->tap &&
        c->after == AFTER_KEEP && c->produce_at_us == 0 &&
        memcmp(&c->script, &script_default, sizeof script_default) == 0) {
        text_add(&c->out, plain.p, plain.n);
        stats.body_bytes += ANSWER_BYTES;
        c->step = STEP_NOTHING;
    }
    return true;
}

/* ---- the loop ---- */

static void conn_read(struct conn *c)
{
    text_room(&c->in, c->in.n < 2048 ? 2048 : 64 * 1024);
    ssize_t n = recv(c->fd, c->in.p + c->in.n, c->in.cap - c->in.n, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        conn_close(c, true);
        return;
    }
    c->in.n += (size_t)n;
    if (!c->busy)
        advance(c);
}

static void accept_all(void)
{
    for (int i = 0; i < 64; i++) {
        int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), one = 1;
        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE)
                listen_watch(false);
            return;
        }
        struct conn *c = calloc(1, sizeof *c);
        if (!c || (size_t)fd >= conns_max)
            abort();
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        c->fd = fd;
        c->events = EPOLLIN;
        conns[fd] = c;
        stats.open++;
        stats.connections++;
        struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
        (void)epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &e);
    }
}

static int wait_ms(void)
{
    int64_t at = heap_n ? heap[0]->timer_us : FOREVER;
    if (options.die_after_ms && start_us + options.die_after_ms * 1000 < at)
        at = start_us + options.die_after_ms * 1000;
    if (at == FOREVER)
        return -1;
    int64_t left = at - clock_us();
    return left <= 0 ? 0 : left > 60000000 ? 60000 : (int)((left + 999) / 1000);
}

static sigset_t outside; // signals blocked while a wait is on: as it was at the start

static void loop(void)
{
    static struct epoll_event events[512];
    for (;;) {
        // TERM comes inside the wait only, and counts at once: between a look at it and the wait it
        // would be slept over.
        int n = epoll_pwait(epoll_fd, events, LENGTH(events), wait_ms(), &outside);
        now_us = clock_us();
        if (term_seen && (!options.term_waits || stats.streams_open == 0))
            exit(0);
        if (options.die_after_ms && now_us - start_us >= options.die_after_ms * 1000)
            _exit(9);
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            if (fd == listen_fd)
                accept_all();
            else if (conns[fd] && events[i].events & ~(uint32_t)EPOLLOUT)
                conn_read(conns[fd]);
            else if (conns[fd])
                advance(conns[fd]);
        }
        while (heap_n && heap[0]->timer_us <= now_us) {
            struct conn *c = heap[0];
            timer_stop(c);
            advance(c);
        }
        if (term_seen && stats.streams_open == 0) // the last stream ended just now
            exit(0);
    }
}

static void listen_start(void)
{
    int one = 1;
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)options.port)};
    socklen_t size = sizeof a;
    if (inet_pton(AF_INET, options.host, &a.sin_addr) != 1)
        a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    (void)setsockopt(listen_fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listen_fd, (struct sockaddr *)&a, sizeof a) || listen(listen_fd, 4096)) {
        fprintf(stderr, "couldn't bind to server socket: %s\n", strerror(errno));
        exit(1);
    }
    (void)getsockname(listen_fd, (struct sockaddr *)&a, &size);
    printf("listening %d\n", (int)ntohs(a.sin_port));
    (void)fflush(stdout);
}

static void on_term(int number)
{
    (void)number;
    term_seen = 1;
}

static void grandchild_start(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        (void)setsid();
        (void)signal(SIGTERM, SIG_IGN);
        for (;;)
            (void)pause();
    }
    fprintf(stderr, "grandchild %d\n", (int)pid);
}

static void faults_at_start(void)
{
    if (options.exit_at_once)
        exit(options.exit_code);
    if (options.exit_while && access(options.exit_while, F_OK) == 0)
        exit(1);
    for (int64_t i = 1; i <= options.log_lines; i++)
        fprintf(stderr, "scripted log line %" PRId64 "\n", i);
    if (options.grandchild)
        grandchild_start();
    if (options.memory_mb) {
        size_t n = (size_t)options.memory_mb << 20;
        void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED) {
            fprintf(stderr, "error: failed to allocate %" PRId64 " MiB\n", options.memory_mb);
            exit(1);
        }
        memset(p, 1, n);
    }
    if (options.die_loading) {
        fprintf(stderr,
                "loading model %s\nerror: tensor 'blk.0.attn_q.weight' has a wrong shape\n"
                "error: failed to load model %s\n",
                options.model, options.model);
        exit(1);
    }
    while (options.refuse_port) {
        (void)pause();
        if (term_seen)
            exit(0);
    }
}

int main(int argc, char **argv)
{
    struct rlimit limit;
    struct sigaction act = {.sa_handler = on_term};
    now_us = start_us = clock_us();
    options_read(argc, argv);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    conns_max = limit.rlim_cur > 1048576 ? 1048576 : limit.rlim_cur;
    conns = calloc(conns_max, sizeof *conns);
    if (options.ignore_term)
        act.sa_handler = SIG_IGN;
    (void)sigaction(SIGTERM, &act, NULL);
    (void)sigaction(SIGINT, &act, NULL);
    sigset_t ends;
    (void)sigemptyset(&ends);
    (void)sigaddset(&ends, SIGTERM);
    (void)sigaddset(&ends, SIGINT);
    if (options.tap)
        (void)mkdir(options.tap, 0755);
    faults_at_start();
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (!conns || epoll_fd < 0)
        abort();
    plain_make();
    listen_start();
    listen_watch(true);
    (void)sigprocmask(SIG_BLOCK, &ends, &outside);
    loop();
}
