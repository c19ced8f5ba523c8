// loop_ask.c: the model is asked for its next answer, over the node's own API; what it streams goes
// on to the client. SPDX-License-Identifier: Apache-2.0
#include "toolbox/loop_run_priv.h"

#include "base/time.h"

#include <stdio.h>
#include <string.h>

#define SILENCE_MS ((int64_t)30 * 60 * 1000) // a model may be loaded first, and think

static void on_head(struct http_call *c, const struct http_head *head);
static void on_body(struct http_call *c, const char *p, size_t n);
static void on_end(struct http_call *c, int status, const struct err *e);

// ---- to the client ------------------------------------------------------------------------------

static void out(struct loop_run *r, const struct bytes *parts, int count)
{
    int status = r->x ? http_send(r->x, parts, count) : 0;
    if (status == 1)
        r->slow = true;
    if (status == 1 && r->call)
        http_call_read(r->call, false); // it holds the model's stream, not memory
    if (status == E_FULL || status == E_NOMEM)
        r->broken = E_FULL;
}

static void out_text(struct loop_run *r, struct bytes json)
{
    const struct bytes parts[3] = {BYTES("data: "), json, BYTES("\n\n")};
    out(r, parts, 3);
}

void tools_loop_begin(struct loop_run *r)
{
    if (r->began || !r->x)
        return;
    r->began = true;
    if (r->answer_label.n)
        (void)buf_fmt(&r->headers, "X-Plexus-Label: %s\r\n", buf_cstr(&r->answer_label));
    http_begin(r->x, 200, "text/event-stream", buf_bytes(&r->headers), HTTP_CHUNKED);
}

void tools_loop_send(struct loop_run *r, const struct val *chunk)
{
    buf_clear(&r->frame);
    if (!chunk || val_write(&r->frame, chunk) < 0) {
        r->broken = E_NOMEM;
        return;
    }
    tools_loop_begin(r);
    out_text(r, buf_bytes(&r->frame));
}

void tools_loop_tell(struct loop_run *r, struct val *takes_plexus)
{
    if (!r->plan->stream) {
        val_unref(takes_plexus);
        return;
    }
    if (!r->head)
        r->head = tools_say_head(r->plan, r->id, time_wall_ms());
    AUTO(val) chunk = tools_say_chunk(r->head, NULL, takes_plexus);
    tools_loop_send(r, chunk);
}

// ---- the question -------------------------------------------------------------------------------

static void put_header(struct buf *b, const char *name, const struct buf *value)
{
    if (value->n) {
        (void)buf_fmt(b, "%s: ", name);
        (void)buf_put(b, buf_bytes(value));
        (void)buf_str(b, "\r\n");
    }
}

void tools_loop_ask(struct loop_run *r)
{
    static const struct http_call_handler handler = {on_head, on_body, on_end};
    struct buf lines;
    struct err e = {0};
    bool again = r->step > 0 || val_len(r->done) > 0;
    r->step++;
    tools_turn_fini(&r->turn);
    tools_turn_init(&r->turn, r->plan, r->step);
    sse_parser_fini(&r->sse);
    sse_parser_init(&r->sse, LOOP_ANSWER_MAX);
    buf_clear(&r->answer);
    buf_clear(&r->sent);
    r->status = r->broken = 0;
    r->events = false;
    AUTO(val) body = tools_plan_body(r->plan, again, r->step >= r->plan->steps_max);
    if (!body || val_write(&r->sent, body) < 0) {
        tools_loop_fail(r, E_TOOBIG, "the conversation is too long");
        return;
    }
    buf_init(&lines, 32768);
    (void)buf_fmt(&lines, "Content-Type: application/json\r\nX-Request-Id: %s-%u\r\n", r->id,
                  r->step);
    put_header(&lines, "X-Plexus-As", &r->as);
    put_header(&lines, "X-Plexus-Label", &r->label);
    r->part = buf_bytes(&r->sent);
    struct http_call_args args = {.method = BYTES("POST"),
                                  .target = BYTES("/v1/chat/completions"),
                                  .headers = buf_bytes(&lines),
                                  .body = &r->part,
                                  .body_count = 1,
                                  .first_byte_ms = TIME_NEVER, // r->limit ends it
                                  .silence_ms = SILENCE_MS,
                                  .handler = &handler,
                                  .user = r};
    int status = lines.failed ? err_set(&e, lines.failed, "the request's labels are too long")
                              : http_call_start(r->all->pool, &args, &r->call, &e);
    buf_fini(&lines);
    if (status < 0)
        tools_loop_fail(r, status, e.text);
}

// ---- the answer ---------------------------------------------------------------------------------

static void on_head(struct http_call *c, const struct http_head *head)
{
    struct loop_run *r = http_call_user(c);
    struct bytes type = http_header(head, "Content-Type"), retry = http_header(head, "Retry-After");
    r->status = head->status;
    r->events = bytes_ieq(bytes_first(type, 17), BYTES("text/event-stream"));
    (void)snprintf(r->retry, sizeof r->retry, "%.*s", BYTES_FMT(bytes_first(retry, 20)));
    if (tools_run_join(r, &r->answer_label, http_header(head, "X-Plexus-Label")) < 0)
        r->broken = E_SECURITY;
    if (r->slow)
        http_call_read(c, false);
    if (r->status == 200 && r->events && r->plan->stream)
        tools_loop_begin(r);
}

static void take_chunk(struct loop_run *r, struct val *chunk, struct bytes text)
{
    AUTO(val) now = NULL;
    int status = tools_turn_chunk(&r->turn, chunk, &r->head, &now);
    if (status < 0)
        r->broken = status;
    else if (now == chunk && text.n && bytes_chr(text, '\n') < 0)
        out_text(r, text); // byte for byte
    else if (now)
        tools_loop_send(r, now);
}

static void on_event(void *user, const struct sse_event *ev)
{
    struct loop_run *r = user;
    AUTO(val) chunk = NULL;
    if (!r->broken && !bytes_is(ev->data, "[DONE]") && val_parse(&chunk, ev->data, NULL) == 0)
        take_chunk(r, chunk, ev->data);
}

static void on_body(struct http_call *c, const char *p, size_t n)
{
    struct loop_run *r = http_call_user(c);
    struct bytes data = {p, n};
    if (!r->events || !r->plan->stream || r->status != 200) {
        if (buf_put(&r->answer, data) < 0)
            r->broken = r->answer.failed;
    } else {
        // The gate's own comments while the model is loaded: the client may hear them, too.
        ptrdiff_t end = n && *p == ':' && !r->sse.line.n ? bytes_find(data, BYTES("\n\n")) : -1;
        struct bytes comment = bytes_first(data, end < 0 ? 0 : (size_t)end + 2);
        if (comment.n)
            out(r, &comment, 1);
        int status = sse_parser_feed(&r->sse, data, on_event, r);
        r->broken = r->broken ? r->broken : status;
    }
    if (r->broken)
        tools_loop_fail(r, r->broken, "the model's answer cannot be passed on");
}

// Some engines do not stream where there are tools: as one chunk.
static int as_chunk(struct loop_run *r, struct val *answer)
{
    const struct val *choice = val_at(val_get_cstr(answer, "choices"), 0);
    struct val *message = val_get_cstr(choice, "message");
    if (!val_is(message, JSON_OBJ))
        return E_UPSTREAM;
    struct val *c = val_del(val_ref((struct val *)(uintptr_t)choice), BYTES("message"));
    c = val_put_cstr(c, "delta", val_ref(message));
    AUTO(val) chunk = val_put_cstr(val_ref(answer), "choices", val_push(val_arr(), c));
    chunk = val_put_cstr(chunk, "object", val_cstr("chat.completion.chunk"));
    tools_loop_begin(r);
    if (!chunk)
        return E_NOMEM;
    take_chunk(r, chunk, BYTES_NONE);
    return r->broken;
}

static int take_whole(struct loop_run *r, struct err *e)
{
    AUTO(val) answer = NULL;
    int status = val_parse(&answer, buf_bytes(&r->answer), e);
    if (status < 0)
        return err_set(e, E_UPSTREAM, "the engine's answer is no JSON");
    if (!r->plan->stream)
        return tools_turn_whole(&r->turn, answer, e);
    status = as_chunk(r, answer);
    return status < 0 ? err_set(e, status, "the engine's answer has no message") : 0;
}

static void on_end(struct http_call *c, int status, const struct err *e)
{
    struct err mine = {0};
    if (status == E_CANCELLED)
        return; // whoever cancelled it goes on, or is gone
    struct loop_run *r = http_call_user(c);
    r->call = NULL;
    if (status < 0) {
        tools_loop_fail(r, status == E_TIMEOUT ? E_TIMEOUT : E_UPSTREAM, e ? e->text : "");
        return;
    }
    if (r->status != 200) {
        tools_loop_refused(r);
        return;
    }
    if (r->broken)
        status = err_set(&mine, r->broken, "the model's answer cannot be passed on");
    else if (!r->events || !r->plan->stream)
        status = take_whole(r, &mine);
    if (status < 0)
        tools_loop_fail(r, status, mine.text);
    else
        tools_loop_next(r);
}
