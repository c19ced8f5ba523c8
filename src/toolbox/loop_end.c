// loop_end.c: what comes after an answer and after its calls, and the ends of a loop.
// SPDX-License-Identifier: Apache-2.0
#include "toolbox/loop_run_priv.h"

#include "base/time.h"

#include <stdlib.h>
#include <string.h>

// ---- what comes next ----------------------------------------------------------------------------

static void take_tokens(struct loop_run *r)
{
    r->tokens_in += r->turn.tokens_in;
    r->tokens_out += r->turn.tokens_out;
}

static void error_event(struct loop_run *r)
{
    const struct val *error = r->turn.error;
    struct bytes text = val_bytes(val_get_cstr(error, "message"));
    struct buf why;
    buf_init(&why, ERR_TEXT_MAX);
    (void)buf_put(&why, bytes_first(text, ERR_TEXT_MAX - 1));
    tools_loop_fail(r, E_ENGINE, why.n ? buf_cstr(&why) : "the engine failed");
    buf_fini(&why);
}

void tools_loop_next(struct loop_run *r)
{
    struct loop_turn *t = &r->turn;
    take_tokens(r);
    if (t->error) {
        error_event(r);
        return;
    }
    if (tools_plan_add(r->plan, tools_turn_message(t)) < 0) {
        tools_loop_fail(r, E_NOMEM, "out of memory");
        return;
    }
    if (!t->ours)
        tools_loop_finish(r, t->theirs ? "client_tools" : "answer");
    else if (r->step >= r->plan->steps_max)
        tools_loop_finish(r, "steps");
    else if (r->tokens_in + r->tokens_out >= r->plan->tokens_max)
        tools_loop_finish(r, "tokens");
    else
        tools_loop_calls(r);
}

void tools_loop_called(struct loop_run *r)
{
    int status = 0;
    for (size_t i = 0; i < r->turn.count && status == 0; i++) {
        if (r->turn.calls[i].ours && r->fates[i] == LOOP_TOLD)
            status = tools_plan_add(r->plan, steal(&r->results[i]));
    }
    if (status < 0 || !r->done)
        tools_loop_fail(r, E_NOMEM, "out of memory");
    else if (r->pending)
        tools_loop_finish(r, "confirm");
    else if (r->turn.theirs)
        tools_loop_finish(r, "client_tools");
    else if (r->guard.repeats >= LOOP_REPEATS_MAX)
        tools_loop_finish(r, "repeats");
    else
        tools_loop_ask(r);
}

// ---- the good end -------------------------------------------------------------------------------

// In "plexus": why it ended, what was done, what is asked.
static struct val *summary(const struct loop_run *r, const char *stop)
{
    struct val *v = val_put_cstr(val_obj(), "stop", val_cstr(stop));
    v = val_put_cstr(v, "steps", val_int(r->step));
    v = val_put_cstr(v, "usage", tools_say_usage(r->tokens_in, r->tokens_out));
    if (!r->plan->stream)
        v = val_put_cstr(v, "calls", val_ref(r->done));
    if (r->pending)
        v = val_put_cstr(v, "pending", val_ref(r->pending));
    // For a client that goes on: what was said since its own messages.
    if (r->pending || r->turn.theirs || r->plan->confirms)
        v = val_put_cstr(v, "messages", tools_plan_added(r->plan));
    return v;
}

static const char *finish_of(const char *stop)
{
    bool tools = !strcmp(stop, "confirm") || !strcmp(stop, "client_tools");
    return tools ? "tool_calls" : !strcmp(stop, "answer") ? "stop" : "length";
}

static void finish_stream(struct loop_run *r, const char *stop)
{
    struct bytes end = BYTES("data: [DONE]\n\n");
    tools_loop_tell(r, val_put_cstr(summary(r, stop), "type", val_cstr("end")));
    if (!r->turn.finished && r->turn.last && r->turn.theirs)
        tools_loop_send(r, r->turn.last);
    else if (!r->turn.finished) {
        AUTO(val) chunk = tools_say_chunk(r->head, finish_of(stop), NULL);
        tools_loop_send(r, chunk);
    }
    if (r->plan->usage && !(r->step == 1 && r->turn.usage_told)) {
        struct val *u =
            r->turn.usage ? val_ref(r->turn.usage) : tools_say_chunk(r->head, NULL, NULL);
        u = val_put_cstr(u, "choices", val_arr());
        u = r->step == 1 && r->turn.usage
                ? u
                : val_put_cstr(u, "usage", tools_say_usage(r->tokens_in, r->tokens_out));
        tools_loop_send(r, u);
        val_unref(u);
    }
    if (r->x)
        (void)http_send(r->x, &end, 1);
    http_finish(r->x);
}

// The model's last answer without calls that were the node's.
static struct val *whole_answer(struct loop_run *r, const char *stop)
{
    struct val *head = tools_say_head(r->plan, r->id, time_wall_ms());
    struct val *a = r->turn.whole
                        ? val_ref(r->turn.whole)
                        : val_put_cstr(val_ref(head), "object", val_cstr("chat.completion"));
    const struct val *old = val_at(val_get_cstr(a, "choices"), 0);
    struct val *choice =
        old ? val_ref((struct val *)(uintptr_t)old) : val_put_cstr(val_obj(), "index", val_int(0));
    const struct val *was = val_get_cstr(choice, "message");
    struct val *message =
        was ? val_ref((struct val *)(uintptr_t)was) : tools_turn_message(&r->turn);
    struct val *theirs = val_arr();
    const struct val *calls = val_get_cstr(was, "tool_calls");
    for (size_t i = 0; i < val_len(calls); i++)
        if (i < r->turn.count && !r->turn.calls[i].ours)
            theirs = val_push(theirs, val_ref(val_at(calls, i)));
    message = val_del(message, BYTES("tool_calls"));
    if (val_len(theirs))
        message = val_put_cstr(message, "tool_calls", theirs);
    else
        val_unref(theirs);
    choice = val_put_cstr(choice, "message", message);
    if (r->turn.ours || !old)
        choice = val_put_cstr(choice, "finish_reason", val_cstr(finish_of(stop)));
    a = val_put_cstr(a, "choices", val_push(val_arr(), choice));
    if (r->step != 1)
        a = val_put_cstr(a, "usage", tools_say_usage(r->tokens_in, r->tokens_out));
    val_unref(head);
    return val_put_cstr(a, "plexus", summary(r, stop));
}

void tools_loop_finish(struct loop_run *r, const char *stop)
{
    struct http_exchange *x = r->x;
    if (r->plan->stream) {
        finish_stream(r, stop);
        r->x = NULL;
        tools_run_free(r);
        return;
    }
    AUTO(val) answer = whole_answer(r, stop);
    buf_clear(&r->frame);
    if (!answer || val_write(&r->frame, answer) < 0) {
        tools_loop_fail(r, E_TOOBIG, "the answer is too large");
        return;
    }
    if (r->answer_label.n)
        (void)buf_fmt(&r->headers, "X-Plexus-Label: %s\r\n", buf_cstr(&r->answer_label));
    r->x = NULL;
    http_reply(x, 200, "application/json", buf_bytes(&r->headers), buf_bytes(&r->frame));
    tools_run_free(r);
}

// ---- the other ends -----------------------------------------------------------------------------

void tools_loop_fail(struct loop_run *r, int code, const char *why)
{
    struct http_exchange *x = r->x;
    const struct err_info *info = err_info(code);
    r->x = NULL;
    if (r->began) { // the status line went out: an event tells it
        char slug[ERR_SLUG_MAX];
        err_slug(code, slug);
        buf_clear(&r->frame);
        (void)sse_put_error(&r->frame, why, info->type, slug);
        struct bytes frame = buf_bytes(&r->frame);
        (void)http_send(x, &frame, 1);
        http_finish(x);
    } else {
        http_reply_error_with(x, code, why, NULL, info->http == 503 ? 1 : -1,
                              buf_bytes(&r->headers));
    }
    tools_run_free(r);
}

void tools_loop_refused(struct loop_run *r)
{
    struct http_exchange *x = r->x;
    if (!r->began) { // as it came
        if (r->retry[0])
            (void)buf_fmt(&r->headers, "Retry-After: %s\r\n", r->retry);
        r->x = NULL;
        http_reply(x, r->status, "application/json", buf_bytes(&r->headers), buf_bytes(&r->answer));
        tools_run_free(r);
        return;
    }
    AUTO(val) v = NULL;
    struct buf why;
    buf_init(&why, ERR_TEXT_MAX);
    (void)val_parse(&v, buf_bytes(&r->answer), NULL);
    (void)buf_put(&why,
                  bytes_first(val_bytes(val_ptr(v, BYTES("/error/message"))), ERR_TEXT_MAX - 1));
    tools_loop_fail(r, E_UPSTREAM, why.n ? buf_cstr(&why) : "the model was refused");
    buf_fini(&why);
}
