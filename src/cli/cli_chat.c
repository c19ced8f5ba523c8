// cli_chat.c: one answer of a chat model, streamed; while it is awaited, the model's phase is
// shown. SPDX-License-Identifier: Apache-2.0
#include "cli/cli_priv.h"
#include "cli/cli_rows_priv.h"
#include "text/sse.h"
#include <string.h>
#include <unistd.h>

#define LOOK_MS 400 // how often the model is asked what it does while the first token is awaited
#define EVENT_BYTES_MAX ((size_t)4 << 20)

struct chat {
    struct cli_node node;
    struct cli_call answer, look;
    struct timer look_again;
    struct sse_parser sse;
    struct buf *text;
    struct cli_chat_stats *stats;
    const struct cli_chat_args *args;
    struct buf look_target;
    int64_t began_ms;
    bool first, looking, ended, may_look;
    bool broken; // the last line of text was ended for a call of a tool
    char shown[256]; // last note
    struct err e;
    int rc;
};

void cli_chat_message(struct buf *messages, const char *role, struct bytes text)
{
    (void)buf_fmt(messages, "%s{\"role\":\"%s\",\"content\":", messages->n ? "," : "", role);
    (void)buf_json_str(messages, text);
    (void)buf_chr(messages, '}');
}

static void put_body(struct buf *out, const struct cli_chat_args *args, struct bytes messages)
{
    struct buf list;
    struct json_w w;
    buf_init(&list, CLI_ANSWER_MAX);
    (void)buf_chr(&list, '[');
    (void)buf_put(&list, messages);
    (void)buf_chr(&list, ']');
    json_w_init(&w, out);
    json_w_obj(&w, NULL);
    json_w_cstr(&w, "model", args->model);
    json_w_raw(&w, "messages", buf_bytes(&list));
    json_w_bool(&w, "stream", true);
    json_w_obj(&w, "stream_options");
    json_w_bool(&w, "include_usage", true);
    json_w_end(&w);
    if (args->max_tokens)
        json_w_u64(&w, "max_tokens", args->max_tokens);
    if (args->temperature >= 0)
        json_w_num(&w, "temperature", args->temperature);
    if (args->seed >= 0)
        json_w_i64(&w, "seed", args->seed);
    if (args->tools)
        cli_tools_put(args->tools, &w);
    json_w_end(&w);
    if (list.failed && !out->failed)
        out->failed = list.failed;
    buf_fini(&list);
}

// ---- what the model does meanwhile --------------------------------------------------------------

static void show(struct chat *t, const char *note)
{
    char text[320];
    if (!strcmp(note, t->shown))
        return;
    (void)snprintf(t->shown, sizeof t->shown, "%s", note);
    (void)snprintf(text, sizeof text, "%.80s: %s", t->args->model, note);
    if (isatty(STDERR_FILENO))
        cli_status(text);
    else
        (void)fprintf(stderr, "%s\n", text);
}

static void look_end(void *user, int code, const struct err *e)
{
    struct chat *t = user;
    struct json_doc *doc = NULL;
    struct buf note;
    (void)e;
    t->looking = false;
    buf_init(&note, 4096);
    if (!code && !t->first && !t->ended && !json_parse(&doc, buf_bytes(&t->look.answer), 0, NULL)) {
        const char *state = json_cstr(json_get(json_root(doc), "state"), "");
        cli_model_note(&note, json_root(doc));
        if (strcmp(state, "WARM") != 0 && strcmp(state, "FAILED") != 0)
            show(t, note.n ? buf_cstr(&note) : "waiting");
    }
    json_free(doc);
    buf_fini(&note);
    cli_call_fini(&t->look);
    if (code)
        t->may_look = false; // a key without the scope for it: wait in silence
    if (t->may_look && !t->first && !t->ended)
        (void)timer_start(loop_timers(t->node.loop), &t->look_again, LOOK_MS);
}

static void look(struct timer *timer)
{
    struct chat *t = timer->user;
    struct err e = {0};
    if (t->first || t->ended)
        return;
    t->look = (struct cli_call){
        .method = "GET", .target = buf_cstr(&t->look_target), .on_end = look_end, .user = t};
    t->looking = cli_call_start(&t->node, &t->look, &e) == 0;
    if (!t->looking)
        cli_call_fini(&t->look);
}

// ---- the answer ---------------------------------------------------------------------------------

static void first_token(struct chat *t)
{
    if (t->first)
        return;
    t->first = true;
    t->stats->first_ms = time_mono_ms() - t->began_ms;
    cli_status(NULL);
}

static void put_text(struct chat *t, struct bytes text)
{
    (void)buf_put(t->text, text);
    if (!t->args->print)
        return;
    for (size_t i = 0; i < text.n; i++) { // a model must not steer the terminal
        unsigned char c = (unsigned char)text.p[i];
        if (c >= 0x20 || c == '\n' || c == '\t' || !isatty(STDOUT_FILENO))
            (void)fputc(c, stdout);
    }
    (void)fflush(stdout);
}

// Calls of tools stand on lines of their own, between pieces of text.
static void take_tools(struct chat *t, const struct json *plexus)
{
    if (!t->args->tools || !plexus)
        return;
    first_token(t);
    bool end = !strcmp(json_cstr(json_get(plexus, "type"), ""), "end");
    if (!end && t->args->print && t->text->n && t->text->p[t->text->n - 1] != '\n' && !t->broken) {
        (void)fputc('\n', stdout);
        (void)fflush(stdout);
        t->broken = true;
    }
    cli_tools_take(t->args->tools, plexus);
}

static void on_event(void *arg, const struct sse_event *event)
{
    struct chat *t = arg;
    struct json_doc *doc = NULL;
    if (bytes_is(event->data, "[DONE]") || json_parse(&doc, event->data, 0, NULL))
        return;
    const struct json *root = json_root(doc), *error = json_get(root, "error");
    const struct json *choice = json_at(json_get(root, "choices"), 0);
    const struct json *usage = json_get(root, "usage");
    struct bytes text = json_str(json_ptr(choice, BYTES("/delta/content")));
    struct bytes finish = json_str(json_get(choice, "finish_reason"));
    if (error && !t->rc)
        t->rc = err_set(&t->e, E_ENGINE, "%s",
                        json_cstr(json_get(error, "message"), "the engine failed"));
    take_tools(t, json_get(root, "plexus"));
    if (text.n) {
        t->broken = false;
        first_token(t);
        put_text(t, text);
    }
    if (finish.n)
        (void)snprintf(t->stats->finish, sizeof t->stats->finish, "%.*s", BYTES_FMT(finish));
    if (json_is(usage, JSON_OBJ)) {
        t->stats->tokens_in = (uint64_t)json_i64(json_get(usage, "prompt_tokens"), 0);
        t->stats->tokens_out = (uint64_t)json_i64(json_get(usage, "completion_tokens"), 0);
    }
    json_free(doc);
}

static void on_data(void *user, struct bytes part)
{
    struct chat *t = user;
    if (sse_parser_feed(&t->sse, part, on_event, t) && !t->rc)
        t->rc = err_set(&t->e, E_UPSTREAM, "the stream has an event that is too large");
}

static void on_end(void *user, int code, const struct err *e)
{
    struct chat *t = user;
    t->ended = true;
    if (code && !t->rc) {
        t->rc = code;
        if (e)
            t->e = *e;
    }
    timer_stop(loop_timers(t->node.loop), &t->look_again);
    cli_status(NULL);
    cli_node_stop(&t->node); // ends a look that is under way, too
}

static void interrupt(void *user)
{
    struct chat *t = user;
    cli_call_cancel(&t->answer);
}

static int talk(struct chat *t, struct err *e)
{
    int rc = cli_node_interrupt(&t->node, interrupt, t);
    if (!rc)
        rc = cli_call_start(&t->node, &t->answer, e);
    if (rc)
        return rc;
    t->look_again = (struct timer){.fn = look, .user = t};
    (void)timer_start(loop_timers(t->node.loop), &t->look_again, LOOK_MS);
    (void)cli_node_run(&t->node);
    t->stats->total_ms = time_mono_ms() - t->began_ms;
    if (t->node.interrupted && t->rc == E_CANCELLED)
        return E_CANCELLED;
    if (t->rc && e)
        *e = t->e;
    return t->rc;
}

int cli_chat(struct cli *c, const struct cli_chat_args *args, struct bytes messages,
             struct buf *ret, struct cli_chat_stats *stats, struct err *e)
{
    struct chat t = {.args = args, .text = ret, .stats = stats, .may_look = true};
    struct buf body;
    *stats = (struct cli_chat_stats){.first_ms = -1};
    buf_init(&body, CLI_ANSWER_MAX);
    buf_init(&t.look_target, 4096);
    sse_parser_init(&t.sse, EVENT_BYTES_MAX);
    put_body(&body, args, messages);
    int rc = body.failed ? err_set(e, body.failed, "the conversation is too long")
                         : cli_model_target(&t.look_target, args->model, NULL, e);
    if (!rc)
        rc = cli_node_open(&t.node, c, e);
    if (!rc) {
        t.began_ms = time_mono_ms();
        t.answer = (struct cli_call){.method = "POST",
                                     .target = "/v1/chat/completions",
                                     .body = buf_bytes(&body),
                                     .on_data = on_data,
                                     .on_end = on_end,
                                     .user = &t};
        rc = talk(&t, e);
        cli_node_close(&t.node);
        cli_call_fini(&t.answer);
    }
    sse_parser_fini(&t.sse);
    buf_fini(&t.look_target);
    buf_fini(&body);
    return rc;
}
