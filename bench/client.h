/* client.h: what the bench clients share: the 211-byte request, sockets, time, samples.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Everything is static inline on purpose: each bench program is one file and one compiler line. */
#ifndef BENCH_CLIENT_H
#define BENCH_CLIENT_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BENCH_BODY_BYTES 211 /* the body size that the marks name */

static inline void die(const char *what)
{
    perror(what);
    exit(1);
}

static inline int64_t clock_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline void files_raise(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* A connected socket, or -1. A non-blocking one may still be on its way. */
static inline int dial(int port, int flags)
{
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0)
        return -1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, (struct sockaddr *)&a, sizeof a) == 0 || flags)
        return fd;
    close(fd);
    return -1;
}

/* Gives (malloc) a whole POST of a chat request. With script NULL the body has BENCH_BODY_BYTES
 * bytes. */
static inline char *chat_request(const char *model, const char *key, const char *script,
                                 size_t *ret_n)
{
    static const char filler[] = "Tell me in a few words why a gateway should be quick, and what "
                                 "it should never do. Please be brief. "
                                 "Thank you very much indeed, and have a good day, dear engine.";
    char body[1024], *request = malloc(4096);
    int n = 0;
    if (!request)
        die("malloc");
    if (script) {
        n = snprintf(body, sizeof body,
                     "{\"model\":\"%s\",\"stream\":true,\"messages\":[{\"role\":\"user\","
                     "\"content\":\"%s\"}]}",
                     model, script);
    } else {
        static const char format[] = "{\"model\":\"%s\",\"temperature\":0,\"messages\":[{\"role\":"
                                     "\"user\",\"content\":\"%.*s\"}]}";
        int bare = snprintf(body, sizeof body, format, model, 0, filler);
        n = snprintf(body, sizeof body, format, model, BENCH_BODY_BYTES - bare, filler);
        if (n != BENCH_BODY_BYTES) {
            fprintf(stderr, "the model's name is too long for a body of %d bytes\n",
                    BENCH_BODY_BYTES);
            exit(2);
        }
    }
    int all = snprintf(
        request, 4096,
        "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %s\r\n"
        "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
        key, n, body);
    *ret_n = (size_t)all;
    return request;
}

static inline int compare_i64(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* The sample at rank ceil(share * n); sorts in place. Gives 0 of no samples. */
static inline double quantile_us(int64_t *samples_ns, size_t n, double share)
{
    if (!n)
        return 0;
    qsort(samples_ns, n, sizeof *samples_ns, compare_i64);
    size_t rank = (size_t)(share * (double)n + 0.999999);
    return (double)samples_ns[rank ? rank - 1 : 0] / 1000.0;
}

#endif
