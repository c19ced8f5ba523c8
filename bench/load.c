/* load.c: a load generator whose connections each send their next request when the last answer is
 * whole. SPDX-License-Identifier: Apache-2.0
 *
 *   load latency [--block 500] [--rounds 12] [--model M] NAME:PORT:KEY...
 *       one client, blocks of requests that take turns between the targets (each round begins with
 *       another target); prints "block ROUND NAME P50_US P99_US BAD" for each and "total NAME
 * P50_US P99_US BAD" over all rounds load closed [--connections 16] [--requests N | --seconds T]
 * [--stream FRAMES] [--model M] NAME:PORT:KEY prints "requests", "bad", "rps", "p50_us", "p99_us"
 * lines load paced --rate R [--burst 1] --seconds T [--connections 16] NAME:PORT:KEY R requests a
 * second, so many at once; the same lines. A request that finds no free connection waits for one;
 * its time counts from when it was due. Samples are kept exactly; bad is every answer that is not
 * 200 or does not end as it should. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "client.h"

#define WARM_REQUESTS 200
#define TARGETS_MAX 8

struct target {
    const char *name, *key;
    int port, fd;
    char *request;
    size_t request_n;
    int64_t *samples;
    size_t samples_n;
    long bad;
};

static struct {
    const char *model;
    long block, rounds, connections, requests, seconds, stream, rate, burst;
} options = {
    .model = "bench", .block = 500, .rounds = 12, .connections = 16, .requests = 5000, .burst = 1};

/* ---- answers ---- */

struct answer {
    char bytes[16384];
    size_t n;
    size_t head_n; /* 0 until the head is whole */
    int64_t length; /* of the body, -1 when chunked */
    int64_t body_got; /* counted, not kept, once the head is known */
    char tail[5]; /* the last bytes of a chunked body */
    bool ok;
};

static void answer_head(struct answer *a)
{
    char *end = memmem(a->bytes, a->n, "\r\n\r\n", 4);
    if (!end)
        return;
    a->head_n = (size_t)(end - a->bytes) + 4;
    a->ok = a->n > 12 && memcmp(a->bytes + 8, " 200", 4) == 0;
    end[2] = '\0';
    char *length = strcasestr(a->bytes, "\r\ncontent-length:");
    a->length = length ? atoll(length + 17) : -1;
}

static void answer_tail(struct answer *a, const char *p, size_t n)
{
    a->body_got += (int64_t)n;
    if (n >= 5) {
        memcpy(a->tail, p + n - 5, 5);
        return;
    }
    memmove(a->tail, a->tail + n, 5 - n);
    memcpy(a->tail + 5 - n, p, n);
}

/* Takes what came in; true when the answer is whole. */
static bool answer_take(struct answer *a, size_t n)
{
    if (a->head_n) {
        answer_tail(a, a->bytes, n);
    } else {
        a->n += n;
        answer_head(a);
        if (!a->head_n)
            return false;
        answer_tail(a, a->bytes + a->head_n, a->n - a->head_n);
    }
    a->n = 0;
    return a->length >= 0 ? a->body_got >= a->length : memcmp(a->tail, "0\r\n\r\n", 5) == 0;
}

static void answer_reset(struct answer *a)
{
    a->n = a->head_n = 0;
    a->body_got = 0;
    memset(a->tail, 0, sizeof a->tail);
}

/* ---- one client, blocks in turn ---- */

static bool ask_once(struct target *t, struct answer *a)
{
    answer_reset(a);
    if (t->fd < 0)
        t->fd = dial(t->port, 0);
    if (t->fd < 0 || send(t->fd, t->request, t->request_n, MSG_NOSIGNAL) != (ssize_t)t->request_n)
        return false;
    for (;;) {
        ssize_t n = recv(t->fd, a->bytes + a->n, sizeof a->bytes - a->n, 0);
        if (n <= 0)
            return false;
        if (answer_take(a, (size_t)n))
            return a->ok;
    }
}

static void ask(struct target *t, struct answer *a, int64_t *ret_sample)
{
    int64_t begin = clock_ns();
    bool ok = ask_once(t, a);
    *ret_sample = clock_ns() - begin;
    if (ok)
        return;
    t->bad++;
    if (t->fd >= 0 && !(a->head_n && a->length >= 0)) {
        close(t->fd);
        t->fd = -1;
    }
}

static void latency(struct target *targets, int count)
{
    static struct answer a;
    int64_t unused, *block = calloc((size_t)options.block, sizeof *block);
    if (!block)
        die("calloc");
    for (int k = 0; k < count; k++) {
        targets[k].samples = calloc((size_t)(options.block * options.rounds), sizeof *block);
        if (!targets[k].samples)
            die("calloc");
        for (int i = 0; i < WARM_REQUESTS && i < options.block; i++)
            ask(&targets[k], &a, &unused);
    }
    for (long round = 0; round < options.rounds; round++) {
        for (int k = 0; k < count; k++) {
            struct target *t = &targets[(k + round) % count];
            long bad = t->bad;
            for (long i = 0; i < options.block; i++) {
                ask(t, &a, &block[i]);
                t->samples[t->samples_n++] = block[i];
            }
            double p50 = quantile_us(block, (size_t)options.block, 0.50);
            printf("block %ld %s %.2f %.2f %ld\n", round, t->name, p50,
                   quantile_us(block, (size_t)options.block, 0.99), t->bad - bad);
        }
    }
    for (int k = 0; k < count; k++) {
        struct target *t = &targets[k];
        double p50 = quantile_us(t->samples, t->samples_n, 0.50);
        printf("total %s %.2f %.2f %ld\n", t->name, p50,
               quantile_us(t->samples, t->samples_n, 0.99), t->bad);
    }
    free(block);
}

/* ---- many connections ---- */

struct conn {
    int fd;
    int64_t begin;
    struct answer a;
};

static void conn_ask(struct conn *c, const struct target *t)
{
    answer_reset(&c->a);
    c->begin = clock_ns();
    if (send(c->fd, t->request, t->request_n, MSG_NOSIGNAL) != (ssize_t)t->request_n)
        die("send");
}

static void conn_dial(struct conn *c, int epoll_fd, const struct target *t)
{
    c->fd = dial(t->port, 0);
    if (c->fd < 0)
        die("connect");
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    (void)epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &e);
}

static void conn_open(struct conn *c, int epoll_fd, const struct target *t)
{
    conn_dial(c, epoll_fd, t);
    conn_ask(c, t);
}

static void report(struct target *t, int64_t begin)
{
    double seconds = (double)(clock_ns() - begin) / 1e9;
    double p50 = quantile_us(t->samples, t->samples_n, 0.50);
    printf("requests %zu\nbad %ld\nrps %.0f\np50_us %.2f\np99_us %.2f\n", t->samples_n, t->bad,
           (double)t->samples_n / seconds, p50, quantile_us(t->samples, t->samples_n, 0.99));
}

static void closed(struct target *t)
{
    struct epoll_event events[256];
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    long want = options.seconds ? 20000000 : options.requests, sent = 0;
    int64_t begin = clock_ns(),
            until = options.seconds ? begin + options.seconds * 1000000000 : INT64_MAX;
    struct conn *conns = calloc((size_t)options.connections, sizeof *conns);
    t->samples = malloc((size_t)want * sizeof *t->samples);
    if (!conns || !t->samples)
        die("malloc");
    for (long i = 0; i < options.connections && sent < want; i++, sent++)
        conn_open(&conns[i], epoll_fd, t);
    while ((long)t->samples_n < sent) {
        int n = epoll_wait(epoll_fd, events, 256, 30000);
        if (n == 0) {
            fprintf(stderr, "load: no answer for 30 s\n");
            exit(1);
        }
        for (int i = 0; i < n; i++) {
            struct conn *c = events[i].data.ptr;
            ssize_t got =
                recv(c->fd, c->a.bytes + c->a.n, sizeof c->a.bytes - c->a.n, MSG_DONTWAIT);
            if (got < 0 && (errno == EAGAIN || errno == EINTR))
                continue;
            bool whole = got > 0 && answer_take(&c->a, (size_t)got);
            if (got > 0 && !whole)
                continue;
            int64_t now = clock_ns();
            t->samples[t->samples_n++] = now - c->begin;
            t->bad += !whole || !c->a.ok;
            bool more = sent < want && now < until;
            if (!whole) {
                close(c->fd);
                if (more)
                    conn_open(c, epoll_fd, t);
            } else if (more) {
                conn_ask(c, t);
            }
            sent += more;
        }
    }
    report(t, begin);
}

/* ---- so many a second ---- */

static struct timespec wait_until_ns(int64_t at)
{
    int64_t left = at - clock_ns();
    left = left < 0 ? 0 : left;
    return (struct timespec){left / 1000000000, left % 1000000000};
}

static void paced(struct target *t)
{
    struct epoll_event events[256];
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    long want = options.rate * options.seconds, sent = 0, free_count = 0;
    struct conn *conns = calloc((size_t)options.connections, sizeof *conns);
    struct conn **free_conns = calloc((size_t)options.connections, sizeof(struct conn *));
    t->samples = malloc((size_t)want * sizeof *t->samples);
    if (!conns || !free_conns || !t->samples)
        die("malloc");
    for (; free_count < options.connections; free_count++) {
        free_conns[free_count] = &conns[free_count];
        conn_dial(&conns[free_count], epoll_fd, t);
    }
    int64_t begin = clock_ns(), heard = begin;
    while ((long)t->samples_n < want) {
        int64_t due = INT64_MAX;
        while (sent < want) {
            due = begin + sent / options.burst * options.burst * 1000000000 / options.rate;
            if (!free_count || due > clock_ns())
                break;
            struct conn *c = free_conns[--free_count];
            conn_ask(c, t);
            c->begin = due;
            sent++;
        }
        bool later = sent < want && free_count;
        struct timespec wait = wait_until_ns(later ? due : heard + 30000000000);
        int n = epoll_pwait2(epoll_fd, events, 256, &wait, NULL);
        if (n == 0 && !later) {
            fprintf(stderr, "load: no answer for 30 s\n");
            exit(1);
        }
        for (int i = 0; i < n; i++) {
            struct conn *c = events[i].data.ptr;
            ssize_t got =
                recv(c->fd, c->a.bytes + c->a.n, sizeof c->a.bytes - c->a.n, MSG_DONTWAIT);
            if (got < 0 && (errno == EAGAIN || errno == EINTR))
                continue;
            bool whole = got > 0 && answer_take(&c->a, (size_t)got);
            if (got > 0 && !whole)
                continue;
            heard = clock_ns();
            if (c->begin) { // not closed by the server between two requests
                t->samples[t->samples_n++] = heard - c->begin;
                t->bad += !whole || !c->a.ok;
                free_conns[free_count++] = c;
            }
            c->begin = 0;
            if (!whole) {
                close(c->fd);
                conn_dial(c, epoll_fd, t);
            }
        }
    }
    report(t, begin);
}

/* ---- the command line ---- */

static void target_read(struct target *t, char *word)
{
    char *port = strchr(word, ':'), *key = port ? strchr(port + 1, ':') : NULL;
    if (!key) {
        fprintf(stderr, "load: %s is not NAME:PORT:KEY\n", word);
        exit(2);
    }
    *port = *key = '\0';
    *t = (struct target){.name = word, .port = atoi(port + 1), .key = key + 1, .fd = -1};
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        long *to;
    } numbers[] = {
        {"--block", &options.block},
        {"--rounds", &options.rounds},
        {"--connections", &options.connections},
        {"--requests", &options.requests},
        {"--seconds", &options.seconds},
        {"--stream", &options.stream},
        {"--rate", &options.rate},
        {"--burst", &options.burst},
    };
    struct target targets[TARGETS_MAX];
    char script[64];
    int count = 0;
    files_raise();
    for (int i = 2; i < argc; i++) {
        size_t k = 0;
        while (k < sizeof numbers / sizeof *numbers && strcmp(argv[i], numbers[k].name) != 0)
            k++;
        if (k < sizeof numbers / sizeof *numbers && i + 1 < argc)
            *numbers[k].to = atol(argv[++i]);
        else if (strcmp(argv[i], "--model") == 0 && i + 1 < argc)
            options.model = argv[++i];
        else if (argv[i][0] != '-' && count < TARGETS_MAX)
            target_read(&targets[count++], argv[i]);
        else
            count = TARGETS_MAX + 1;
    }
    bool one = argc > 1 && strcmp(argv[1], "closed") == 0;
    bool pace = argc > 1 && strcmp(argv[1], "paced") == 0;
    if (argc < 2 || count < 1 || count > TARGETS_MAX ||
        (!one && !pace && strcmp(argv[1], "latency") != 0) ||
        (pace && (options.rate < 1 || options.seconds < 1 || options.burst < 1))) {
        fprintf(stderr, "usage: load latency|closed|paced [options] NAME:PORT:KEY...\n");
        return 2;
    }
    (void)snprintf(script, sizeof script, "!script frames=%ld", options.stream);
    for (int i = 0; i < count; i++)
        targets[i].request = chat_request(options.model, targets[i].key,
                                          options.stream ? script : NULL, &targets[i].request_n);
    if (pace)
        paced(&targets[0]);
    else if (one)
        closed(&targets[0]);
    else
        latency(targets, count);
    return 0;
}
