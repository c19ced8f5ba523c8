// cli_bench.c: plexus bench MODEL: latency and throughput of a model through the node.
// SPDX-License-Identifier: Apache-2.0
#include "cli/cli_commands_priv.h"
#include "text/sse.h"
#include <stdlib.h>
#include <string.h>

#define REQUESTS_MAX 100000
#define CONCURRENCY_MAX 256
#define EVENT_BYTES_MAX ((size_t)1 << 20)

static int bench(struct cli *c, struct err *e);

static const struct cli_option options[] = {
    {"requests", 'n', "N", "how many requests, default 20", NULL},
    {"concurrency", 'c', "N", "how many at once, default 1", NULL},
    {"prompt", 'p', "TEXT", "what is asked", NULL},
    {"max-tokens", 0, "N", "longest answer, default 64", NULL},
    CLI_OPTIONS_END,
};
static const char *const examples[] = {"plexus bench tiny-chat", "20 requests, one after the other",
                                       "plexus bench tiny-chat -n 200 -c 8", "8 at a time", NULL};

const struct cli_command cli_bench_command = {
    .name = "bench",
    .summary = "measure a model: time to first token, tokens per second",
    .usage = "MODEL",
    .text =
        "The model is loaded before the first request is timed. A chat model streams answers, an\n"
        "embedding model answers whole.",
    .options = options,
    .examples = examples,
    .needs = CLI_NODE,
    .args_min = 1,
    .args_max = 1,
    .complete = "model",
    .run = bench,
};

struct bench;
struct slot { // one request at a time
    struct bench *b;
    struct cli_call call;
    struct sse_parser sse;
    uint64_t began_ns, first_ns, tokens;
    bool failed;
};

struct bench {
    struct cli_node node;
    const char *target;
    struct buf body;
    bool stream, stop;
    struct slot *slots;
    size_t slot_count, running, begun, asked, good, bad;
    uint64_t *first_ns, *total_ns; // of the good ones
    uint64_t tokens, wall_ns;
    int64_t load_ms;
    struct err e; // of the first failure
    int rc;
};

static void next(struct slot *s);

static void on_event(void *arg, const struct sse_event *event)
{
    struct slot *s = arg;
    struct json_doc *doc = NULL;
    if (bytes_is(event->data, "[DONE]") || json_parse(&doc, event->data, 0, NULL))
        return;
    const struct json *root = json_root(doc), *error = json_get(root, "error");
    int64_t tokens = json_i64(json_ptr(root, BYTES("/usage/completion_tokens")), -1);
    if (!s->first_ns && json_str(json_ptr(root, BYTES("/choices/0/delta/content"))).n)
        s->first_ns = time_mono_ns();
    if (tokens >= 0)
        s->tokens = (uint64_t)tokens;
    if (error && !s->failed) {
        s->failed = true;
        if (!s->b->rc)
            s->b->rc =
                err_set(&s->b->e, E_ENGINE, "%s", json_cstr(json_get(error, "message"), "failed"));
    }
    json_free(doc);
}

static void on_data(void *user, struct bytes part)
{
    struct slot *s = user;
    if (s->b->stream)
        s->failed |= sse_parser_feed(&s->sse, part, on_event, s) != 0;
    else if (!s->first_ns)
        s->first_ns = time_mono_ns();
}

static void on_end(void *user, int code, const struct err *e)
{
    struct slot *s = user;
    struct bench *b = s->b;
    uint64_t now = time_mono_ns();
    if (code && code != E_CANCELLED && !b->rc) {
        b->rc = code;
        b->e = *e;
    }
    if (!code && !s->failed) {
        b->first_ns[b->good] = (s->first_ns ? s->first_ns : now) - s->began_ns;
        b->total_ns[b->good++] = now - s->began_ns;
        b->tokens += s->tokens;
    } else if (code != E_CANCELLED) {
        b->bad++;
    }
    cli_call_fini(&s->call);
    sse_parser_fini(&s->sse);
    b->running--;
    next(s);
}

static void show_progress(const struct bench *b)
{
    char text[80];
    (void)snprintf(text, sizeof text, "%zu of %zu", b->good + b->bad, b->asked);
    cli_status(text);
}

static void next(struct slot *s)
{
    struct bench *b = s->b;
    struct err e = {0};
    bool hopeless = b->bad >= 10 && !b->good;
    show_progress(b);
    if (b->stop || hopeless || b->begun == b->asked) {
        if (!b->running)
            cli_node_stop(&b->node);
        return;
    }
    b->begun++;
    s->first_ns = 0;
    s->tokens = 0;
    s->failed = false;
    sse_parser_init(&s->sse, EVENT_BYTES_MAX);
    s->call = (struct cli_call){.method = "POST",
                                .target = b->target,
                                .body = buf_bytes(&b->body),
                                .on_data = on_data,
                                .on_end = on_end,
                                .user = s};
    s->began_ns = time_mono_ns();
    if (cli_call_start(&b->node, &s->call, &e) == 0) {
        b->running++;
        return;
    }
    cli_call_fini(&s->call);
    sse_parser_fini(&s->sse);
    b->bad++;
    b->stop = true;
    if (!b->rc) {
        b->rc = e.code;
        b->e = e;
    }
    if (!b->running)
        cli_node_stop(&b->node);
}

static void interrupt(void *user)
{
    struct bench *b = user;
    b->stop = true;
    for (size_t i = 0; i < b->slot_count; i++)
        cli_call_cancel(&b->slots[i].call);
}

// ---- before
// --------------------------------------------------------------------------------------

static int prepare(struct cli *c, struct bench *b, struct err *e)
{
    struct json_doc *doc = NULL;
    struct buf target, raw;
    int64_t began = time_mono_ms();
    buf_init(&target, 4096);
    buf_init(&raw, CLI_ANSWER_MAX);
    int rc = cli_model_target(&target, cli_arg(c, 0), "load?wait=1", e);
    cli_status("the model is loading ...");
    if (!rc)
        rc = cli_request_json(c, "POST", buf_cstr(&target), BYTES_NONE, &doc, &raw, e);
    b->load_ms = time_mono_ms() - began;
    b->stream = strcmp(json_cstr(json_get(json_root(doc), "kind"), ""), "embedding") != 0;
    b->target = b->stream ? "/v1/chat/completions" : "/v1/embeddings";
    json_free(doc);
    buf_fini(&target);
    buf_fini(&raw);
    return rc;
}

static void put_body(struct cli *c, struct bench *b, uint64_t max_tokens)
{
    const char *prompt = cli_option(c, "prompt");
    struct buf messages;
    struct json_w w;
    prompt = prompt ? prompt : "What is the capital of France?";
    buf_init(&messages, CLI_TEXT_MAX);
    (void)buf_str(&messages, "[{\"role\":\"user\",\"content\":");
    (void)buf_json_str(&messages, bytes_of(prompt));
    (void)buf_str(&messages, "}]");
    json_w_init(&w, &b->body);
    json_w_obj(&w, NULL);
    json_w_cstr(&w, "model", cli_arg(c, 0));
    if (b->stream) {
        json_w_raw(&w, "messages", buf_bytes(&messages));
        json_w_bool(&w, "stream", true);
        json_w_obj(&w, "stream_options");
        json_w_bool(&w, "include_usage", true);
        json_w_end(&w);
        json_w_u64(&w, "max_tokens", max_tokens);
        json_w_i64(&w, "temperature", 0);
    } else {
        json_w_cstr(&w, "input", prompt);
    }
    json_w_end(&w);
    buf_fini(&messages);
}

// ---- after
// ---------------------------------------------------------------------------------------

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static double quantile_ms(const uint64_t *sorted, size_t n, double q)
{
    size_t at = (size_t)(q * (double)n); // nearest rank, from 0
    uint64_t us = n ? sorted[at < n ? at : n - 1] / 1000 : 0;
    return (double)us / 1000;
}

static const struct {
    const char *name;
    double q;
} quantiles[] = {{"p50", 0.5}, {"p95", 0.95}, {"p99", 0.99}};

static void put_json_times(struct json_w *w, const char *key, const uint64_t *sorted, size_t n)
{
    json_w_obj(w, key);
    for (size_t i = 0; i < 3; i++)
        json_w_num(w, quantiles[i].name, quantile_ms(sorted, n, quantiles[i].q));
    json_w_end(w);
}

static int put_json(struct cli *c, const struct bench *b, double seconds)
{
    struct buf out;
    struct json_w w;
    buf_init(&out, CLI_TEXT_MAX);
    json_w_init(&w, &out);
    json_w_obj(&w, NULL);
    json_w_cstr(&w, "model", cli_arg(c, 0));
    json_w_u64(&w, "requests", b->good);
    json_w_u64(&w, "failures", b->bad);
    json_w_u64(&w, "concurrency", b->slot_count);
    json_w_i64(&w, "load_ms", b->load_ms);
    json_w_num(&w, "seconds", seconds);
    json_w_num(&w, "requests_per_s", (double)b->good / seconds);
    json_w_num(&w, "tokens_per_s", (double)b->tokens / seconds);
    put_json_times(&w, b->stream ? "first_token_ms" : "first_byte_ms", b->first_ns, b->good);
    put_json_times(&w, "total_ms", b->total_ns, b->good);
    json_w_end(&w);
    int rc = out.failed ? out.failed : cli_print(buf_bytes(&out), stdout);
    buf_fini(&out);
    return rc;
}

static void put_times(struct cli_table *t, const char *what, const uint64_t *sorted, size_t n)
{
    cli_cell(t, PAINT_NONE, "%s", what);
    for (size_t i = 0; i < 3; i++)
        cli_cell(t, PAINT_NONE, "%.1f ms", quantile_ms(sorted, n, quantiles[i].q));
}

static void put_table(struct cli *c, const struct bench *b, double seconds)
{
    static const char *const columns[] = {"", ">P50", ">P95", ">P99", NULL};
    (void)printf("%s: %zu requests, %zu at once, in %.2f s", cli_arg(c, 0), b->good, b->slot_count,
                 seconds);
    (void)printf(b->bad ? ", %zu failed\n" : "\n", b->bad);
    (void)printf("ready after %s; %.1f requests/s", cli_duration(b->load_ms).s,
                 (double)b->good / seconds);
    if (b->stream)
        (void)printf(", %.1f tokens/s", (double)b->tokens / seconds);
    (void)printf("\n\n");
    struct cli_table *t = cli_table_new(c, columns);
    put_times(t, b->stream ? "first token" : "first byte", b->first_ns, b->good);
    put_times(t, "whole answer", b->total_ns, b->good);
    cli_table_end(t, stdout);
}

// ---- the run
// -------------------------------------------------------------------------------------

static int measure(struct cli *c, struct bench *b, struct err *e)
{
    int rc = cli_node_open(&b->node, c, e);
    if (rc)
        return rc;
    rc = cli_node_interrupt(&b->node, interrupt, b);
    uint64_t began = time_mono_ns();
    for (size_t i = 0; !rc && i < b->slot_count; i++) {
        b->slots[i].b = b;
        next(&b->slots[i]);
    }
    if (!rc)
        (void)cli_node_run(&b->node);
    b->wall_ns = time_mono_ns() - began;
    cli_status(NULL);
    cli_node_close(&b->node);
    if (!rc && !b->good) {
        *e = b->e;
        rc = b->rc ? b->rc : err_set(e, E_CANCELLED, "interrupted before the first answer");
    }
    return rc;
}

static int report(struct cli *c, struct bench *b)
{
    double seconds = (double)b->wall_ns / 1e9;
    int rc = 0;
    seconds = seconds > 0 ? seconds : 1e-9;
    qsort(b->first_ns, b->good, sizeof *b->first_ns, by_size);
    qsort(b->total_ns, b->good, sizeof *b->total_ns, by_size);
    if (c->json)
        rc = put_json(c, b, seconds);
    else
        put_table(c, b, seconds);
    if (b->rc && b->bad)
        (void)fprintf(stderr, "plexus: %zu failed, the first: %s\n", b->bad, b->e.text);
    return rc ? rc : b->bad ? err_info(b->rc ? b->rc : E_ENGINE)->exit : 0;
}

static int bench(struct cli *c, struct err *e)
{
    struct bench *b = mem_new(struct bench);
    uint64_t requests = 20, at_once = 1, max_tokens = 64;
    int rc = b ? cli_option_u64(c, "requests", 1, REQUESTS_MAX, &requests, e) : E_NOMEM;
    if (!rc)
        rc = cli_option_u64(c, "concurrency", 1, CONCURRENCY_MAX, &at_once, e);
    if (!rc)
        rc = cli_option_u64(c, "max-tokens", 1, UINT32_MAX, &max_tokens, e);
    if (!rc)
        rc = prepare(c, b, e);
    if (!rc) {
        buf_init(&b->body, CLI_TEXT_MAX);
        put_body(c, b, max_tokens);
        b->asked = (size_t)requests;
        b->slot_count = at_once < requests ? (size_t)at_once : (size_t)requests;
        b->slots = mem_array(b->slot_count, sizeof *b->slots);
        b->first_ns = mem_array(b->asked, sizeof *b->first_ns);
        b->total_ns = mem_array(b->asked, sizeof *b->total_ns);
        rc = b->slots && b->first_ns && b->total_ns && !b->body.failed ? measure(c, b, e) : E_NOMEM;
        if (!rc)
            rc = report(c, b);
        buf_fini(&b->body);
        mem_free(b->slots);
        mem_free(b->first_ns);
        mem_free(b->total_ns);
    }
    mem_free(b);
    return rc;
}
