/* streams.c: holds many SSE streams open at once, plain or TLS, and proves that every frame arrives
 * once and in order. SPDX-License-Identifier: Apache-2.0
 *
 *   streams --port P --count N --key KEY [--tls] [--frames F] [--hold K] [--gap MS] [--model M]
 * [--wait-s S] Opens N streams of the scripted engine (each held before frame K), prints "open N
 * refused R" when each has its K frames or was refused, waits for a line on stdin (the driver
 * measures, then releases the engine), reads the streams to their end and prints "complete",
 * "lost", "disordered", "broken", "frames", "late_p50_us", "late_p99_us" lines. late is the time
 * from the engine's stamp inside a frame to its arrival here, of frames after the hold. */
#define _GNU_SOURCE
#include <errno.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "client.h"

#define OPENING_MAX 128 /* streams on their way at one time, so that no accept queue overflows */
#define LINE_BYTES_MAX 1024

enum state { OPENING, READING, HELD, ENDED };
enum chunk { CHUNK_SIZE, CHUNK_DATA, CHUNK_END };

struct stream {
    int fd;
    SSL *ssl;
    enum state state;
    enum chunk chunk;
    bool sent, head, chunked, refused, done, disordered, last_chunk;
    int head_match;
    size_t chunk_left, line_n, head_n;
    long next;
    char status[16];
    char line[LINE_BYTES_MAX];
};

static struct {
    const char *model, *key;
    long port, count, frames, hold, gap, wait_s;
    bool tls;
} options = {
    .model = "bench", .key = "", .count = 100, .frames = 10, .hold = 2, .gap = 1000, .wait_s = 600};

static struct {
    long opened, opening, refused, ended, ready, frames, broken;
} counts;

static SSL_CTX *context;
static int epoll_fd;
static bool released;
static char *request;
static size_t request_n;
static int64_t *late;
static size_t late_n, late_max;

/* ---- frames ---- */

static void line_take(struct stream *s)
{
    static const char mark[] = "\"content\":\"";
    s->line[s->line_n] = '\0';
    if (strcmp(s->line, "data: [DONE]") == 0)
        s->done = true;
    char *at = strncmp(s->line, "data: {", 7) == 0 ? strstr(s->line, mark) : NULL;
    if (!at || at[sizeof mark - 1] < '0' || at[sizeof mark - 1] > '9')
        return;
    char *end;
    long seq = strtol(at + sizeof mark - 1, &end, 10);
    int64_t stamp_us = strtoll(end, NULL, 10);
    counts.frames++;
    if (seq != s->next)
        s->disordered = true;
    s->next = seq + 1;
    if (released && late_n < late_max && seq > options.hold)
        late[late_n++] = clock_ns() - stamp_us * 1000;
}

static void body_take(struct stream *s, const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (p[i] == '\n') {
            line_take(s);
            s->line_n = 0;
        } else if (s->line_n + 1 < LINE_BYTES_MAX && p[i] != '\r') {
            s->line[s->line_n++] = p[i];
        }
    }
}

static void chunk_take(struct stream *s, const char *p, size_t n)
{
    for (size_t i = 0; i < n;) {
        if (s->chunk == CHUNK_DATA) {
            size_t take = n - i < s->chunk_left ? n - i : s->chunk_left;
            body_take(s, p + i, take);
            i += take;
            s->chunk_left -= take;
            if (!s->chunk_left)
                s->chunk = CHUNK_END;
            continue;
        }
        char c = p[i++];
        if (s->chunk == CHUNK_END) {
            if (c == '\n')
                s->chunk = CHUNK_SIZE;
        } else if (c == '\n') {
            s->chunk = s->chunk_left ? CHUNK_DATA : CHUNK_END;
            s->last_chunk = s->last_chunk || !s->chunk_left;
        } else if (c != '\r') {
            int digit = c >= '0' && c <= '9' ? c - '0' : (c | 32) - 'a' + 10;
            s->chunk_left = s->chunk_left * 16 + (size_t)digit;
        }
    }
}

/* Heads are read a line at a time in the stream's line buffer; gives the bytes used. */
static size_t head_take(struct stream *s, const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (p[i] != '\n') {
            if (p[i] != '\r' && s->line_n + 1 < LINE_BYTES_MAX)
                s->line[s->line_n++] = p[i];
            continue;
        }
        s->line[s->line_n] = '\0';
        if (!s->status[0])
            (void)snprintf(s->status, sizeof s->status, "%.15s", s->line);
        if (strncasecmp(s->line, "transfer-encoding:", 18) == 0)
            s->chunked = true;
        bool end = s->line_n == 0;
        s->line_n = 0;
        if (end) {
            s->head = true;
            s->refused = strncmp(s->status + 8, " 200", 4) != 0;
            return i + 1;
        }
    }
    return n;
}

/* ---- streams ---- */

static void settle(struct stream *s, enum state to)
{
    if (s->state == OPENING && to != OPENING)
        counts.opening--;
    if (s->state < HELD && to >= HELD)
        counts.ready++;
    s->state = to;
}

static void stream_end(struct stream *s)
{
    if (s->state == ENDED)
        return;
    if (s->refused || (!s->head && !released))
        counts.refused++;
    else if (!s->done || (s->chunked && !s->last_chunk))
        counts.broken++;
    settle(s, ENDED);
    counts.ended++;
    SSL_free(s->ssl);
    s->ssl = NULL;
    close(s->fd);
}

static void bytes_take(struct stream *s, const char *p, size_t n)
{
    size_t used = s->head ? 0 : head_take(s, p, n);
    if (s->head && s->chunked)
        chunk_take(s, p + used, n - used);
    else if (s->head)
        body_take(s, p + used, n - used);
    if (s->head && s->state == OPENING)
        settle(s, READING);
    if (s->next >= options.hold && s->state == READING)
        settle(s, HELD);
    if (s->refused || (s->done && (!s->chunked || s->last_chunk)))
        stream_end(s);
}

/* Gives bytes moved, 0 for an end or an error, -1 for not now. */
static ssize_t stream_io(struct stream *s, char *buf, size_t n, bool write_side)
{
    if (!s->ssl) {
        ssize_t got = write_side ? send(s->fd, buf, n, MSG_NOSIGNAL) : recv(s->fd, buf, n, 0);
        return got >= 0 ? got
               : errno == EAGAIN || errno == EINTR || errno == EINPROGRESS || errno == ENOTCONN ? -1
                                                                                                : 0;
    }
    int got = write_side ? SSL_write(s->ssl, buf, (int)n) : SSL_read(s->ssl, buf, (int)n);
    if (got > 0)
        return got;
    int why = SSL_get_error(s->ssl, got);
    return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? -1 : 0;
}

static void stream_move(struct stream *s)
{
    static char buf[65536];
    if (s->state == ENDED)
        return;
    if (!s->sent) {
        ssize_t n = stream_io(s, request, request_n, true);
        if (n == 0)
            stream_end(s);
        if (n <= 0)
            return;
        s->sent = true;
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = s};
        (void)epoll_ctl(epoll_fd, EPOLL_CTL_MOD, s->fd, &e);
    }
    while (s->state != ENDED) {
        ssize_t n = stream_io(s, buf, sizeof buf, false);
        if (n < 0)
            return;
        if (n == 0)
            stream_end(s);
        else
            bytes_take(s, buf, (size_t)n);
    }
}

static void stream_open(struct stream *s)
{
    s->fd = dial((int)options.port, SOCK_NONBLOCK);
    if (s->fd < 0)
        die("socket");
    counts.opened++;
    counts.opening++;
    if (context) {
        s->ssl = SSL_new(context);
        if (!s->ssl || SSL_set_fd(s->ssl, s->fd) != 1)
            die("SSL_new");
        SSL_set_connect_state(s->ssl);
    }
    /* EPOLLOUT only until the request is out; a TLS handshake in between is driven by EPOLLIN */
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | (context ? EPOLLET : 0), .data.ptr = s};
    (void)epoll_ctl(epoll_fd, EPOLL_CTL_ADD, s->fd, &e);
}

static void tls_start(void)
{
    context = SSL_CTX_new(TLS_client_method());
    if (!context)
        die("SSL_CTX_new");
    SSL_CTX_set_verify(context, SSL_VERIFY_NONE,
                       NULL); /* a certificate of this run only, on loopback */
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
}

static void report(const struct stream *streams)
{
    long complete = 0, lost = 0, disordered = 0;
    for (long i = 0; i < options.count; i++) {
        const struct stream *s = &streams[i];
        if (s->refused || !s->head)
            continue;
        complete += s->done && s->next == options.frames && !s->disordered;
        lost += s->next < options.frames ? options.frames - s->next : 0;
        disordered += s->disordered;
    }
    printf("complete %ld\nlost %ld\ndisordered %ld\nbroken %ld\nframes %ld\n", complete, lost,
           disordered, counts.broken, counts.frames);
    double p50 = quantile_us(late, late_n, 0.50);
    printf("late_p50_us %.1f\nlate_p99_us %.1f\n", p50, quantile_us(late, late_n, 0.99));
}

static void run(struct stream *streams)
{
    static struct epoll_event events[512];
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL};
    int64_t until = clock_ns() + options.wait_s * 1000000000;
    bool told = false;
    (void)epoll_ctl(epoll_fd, EPOLL_CTL_ADD, STDIN_FILENO, &e);
    while (counts.ended < options.count && clock_ns() < until) {
        while (counts.opened < options.count && counts.opening < OPENING_MAX)
            stream_open(&streams[counts.opened]);
        int n = epoll_wait(epoll_fd, events, 512, 1000);
        for (int i = 0; i < n; i++) {
            char line[64];
            if (events[i].data.ptr) {
                stream_move(events[i].data.ptr);
            } else {
                released = true;
                if (read(STDIN_FILENO, line, sizeof line) <= 0)
                    (void)epoll_ctl(epoll_fd, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
            }
        }
        if (!told && counts.ready == options.count) {
            told = true;
            printf("open %ld refused %ld\n", options.count - counts.refused, counts.refused);
            (void)fflush(stdout);
        }
    }
}

int main(int argc, char **argv)
{
    const struct {
        const char *name;
        long *to;
    } numbers[] = {
        {"--port", &options.port}, {"--count", &options.count}, {"--frames", &options.frames},
        {"--hold", &options.hold}, {"--gap", &options.gap},     {"--wait-s", &options.wait_s},
    };
    char script[128];
    for (int i = 1; i < argc; i++) {
        size_t k = 0;
        while (k < sizeof numbers / sizeof *numbers && strcmp(argv[i], numbers[k].name) != 0)
            k++;
        if (strcmp(argv[i], "--tls") == 0)
            options.tls = true;
        else if (i + 1 < argc && k < sizeof numbers / sizeof *numbers)
            *numbers[k].to = atol(argv[++i]);
        else if (i + 1 < argc && strcmp(argv[i], "--key") == 0)
            options.key = argv[++i];
        else if (i + 1 < argc && strcmp(argv[i], "--model") == 0)
            options.model = argv[++i];
        else
            die("usage: streams --port P --count N --key KEY [--tls] [--frames F] [--hold K] "
                "[--gap MS] [--wait-s S]");
    }
    files_raise();
    (void)signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without MSG_NOSIGNAL */
    (void)snprintf(script, sizeof script, "!script frames=%ld hold_at=%ld gap_ms=%ld stamp=1",
                   options.frames, options.hold, options.gap);
    request = chat_request(options.model, options.key, script, &request_n);
    late_max = (size_t)(options.count * options.frames);
    late = calloc(late_max, sizeof *late);
    struct stream *streams = calloc((size_t)options.count, sizeof *streams);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (!late || !streams || epoll_fd < 0)
        die("start");
    if (options.tls)
        tls_start();
    run(streams);
    report(streams);
    return 0;
}
