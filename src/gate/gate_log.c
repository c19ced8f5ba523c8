// gate_log.c: one line of JSON a request in the access log, and the console's row.
// SPDX-License-Identifier: Apache-2.0
#include "base/time.h"
#include "gate/gate_priv.h"

static void put_str(struct buf *b, struct bytes key, struct bytes value)
{
    (void)buf_put(b, key);
    (void)buf_json_str(b, value);
}
static void put_u64(struct buf *b, struct bytes key, uint64_t value)
{
    (void)buf_put(b, key);
    (void)buf_u64(b, value);
}

// The text of a second is made once for all requests that end in it.
static struct bytes time_now(char text[TIME_TEXT_LEN + 1])
{
    static char cached[TIME_TEXT_LEN + 1];
    static int64_t cached_s = -1;
    int64_t now = time_wall_ms();
    if (now / 1000 != cached_s) {
        time_text(now, cached);
        cached_s = now / 1000;
    }
    for (int i = 0; i <= TIME_TEXT_LEN; i++)
        text[i] = cached[i];
    int ms = (int)(now % 1000);
    text[20] = (char)('0' + ms / 100);
    text[21] = (char)('0' + ms / 10 % 10);
    text[22] = (char)('0' + ms % 10);
    return (struct bytes){text, TIME_TEXT_LEN};
}

void greq_log(struct greq *r, const char *outcome)
{
    struct gate *g = r->gate;
    if (!g->args.access_log)
        return;
    char when[TIME_TEXT_LEN + 1];
    struct net_peer peer;
    struct buf *b = &g->line;
    uint64_t now = timers_now_ns(g->args.timers);
    http_peer(r->x, &peer);
    buf_clear(b);
    put_str(b, BYTES("{\"time\":"), time_now(when));
    put_str(b, BYTES(",\"id\":"), bytes_of(r->id));
    put_str(b, BYTES(",\"peer\":"), bytes_of(peer.text));
    put_str(b, BYTES(",\"path\":"), r->path);
    if (r->meter)
        put_str(b, BYTES(",\"model\":"), bytes_of(r->meter->model));
    if (r->node[0])
        put_str(b, BYTES(",\"node\":"), bytes_of(r->node));
    if (r->hop)
        put_str(b, BYTES(",\"from\":"), http_header(http_request(r->x), "X-Plexus-Hop"));
    if (r->labelled && g->labels.names) {
        struct buf text;
        buf_init(&text, LABEL_TEXT_MAX);
        label_put(&text, g->labels.names, r->answer);
        put_str(b, BYTES(",\"label\":"), buf_bytes(&text));
        buf_fini(&text);
    }
    if (r->key) {
        struct key_view v;
        key_view(r->key, &v);
        put_str(b, BYTES(",\"key\":"), bytes_of(v.name));
    }
    put_u64(b, BYTES(",\"status\":"), (uint64_t)r->status);
    put_str(b, BYTES(",\"outcome\":"), bytes_of(outcome));
    (void)buf_put(b, r->stream ? BYTES(",\"stream\":true") : BYTES(",\"stream\":false"));
    put_u64(b, BYTES(",\"in_bytes\":"), r->in_bytes);
    put_u64(b, BYTES(",\"out_bytes\":"), r->out_bytes);
    if (r->usage.found) {
        put_u64(b, BYTES(",\"tokens_in\":"), r->usage.prompt_tokens);
        put_u64(b, BYTES(",\"tokens_out\":"), r->usage.completion_tokens);
    }
    put_u64(b, BYTES(",\"us\":"), (now - r->complete_ns) / 1000);
    if (r->first_ns)
        put_u64(b, BYTES(",\"first_us\":"), (r->first_ns - r->complete_ns) / 1000);
    if (r->own_ns)
        put_u64(b, BYTES(",\"own_us\":"), r->own_ns / 1000);
    if (r->waited && r->granted_ns)
        put_u64(b, BYTES(",\"waited_ms\":"), (r->granted_ns - r->complete_ns) / 1000000);
    struct bytes trace = http_header(http_request(r->x), "traceparent");
    if (trace.p)
        put_str(b, BYTES(",\"traceparent\":"), bytes_first(trace, 64));
    (void)buf_chr(b, '}');
    log_sink_line(g->args.access_log, buf_bytes(b));
}

void greq_view(const struct greq *r, struct gate_request_view *v)
{
    struct gate *g = r->gate;
    int64_t now = timers_now_ms(g->args.timers);
    uint64_t now_ns = timers_now_ns(g->args.timers);
    *v = (struct gate_request_view){
        .id = r->id,
        .model = r->meter ? r->meter->model : "",
        .node = r->node,
        .state = r->stage == ST_RUNNING ? "running" : "waiting",
        .stream = r->stream,
        .status = r->status,
        .age_ms = now - r->began_ms,
        .first_byte_ms = r->first_ns ? (int64_t)((r->first_ns - r->complete_ns) / 1000000) : -1,
        .tokens = r->usage.completion_tokens ? r->usage.completion_tokens : r->cut.frames,
        .path = r->endpoint == EP_CHAT         ? "/v1/chat/completions"
                : r->endpoint == EP_COMPLETION ? "/v1/completions"
                : r->endpoint == EP_EMBEDDING  ? "/v1/embeddings"
                                               : "/v1/...",
    };
    if (r->key) {
        struct key_view k;
        key_view(r->key, &k);
        v->key = k.name;
    }
    // Of a stream: since its first byte; of a whole answer: since the engine got the request.
    uint64_t since = r->stream ? r->first_ns : r->sent_ns;
    if (r->first_ns && now_ns > since)
        v->tokens_per_s = (double)v->tokens * 1e9 / (double)(now_ns - since);
}
