// loop_fuzz.c: any stream as a model's answer with calls of tools: whole and cut in two it comes
// out the same, and the client never sees a call of the node's. SPDX-License-Identifier: Apache-2.0
#include "text/sse.h"
#include "toolbox/loop_priv.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

struct side {
    struct loop_turn turn;
    struct val *head;
    struct buf out;
};

static void on_event(void *user, const struct sse_event *ev)
{
    struct side *s = user;
    struct val *chunk = NULL, *now = NULL;
    if (val_parse(&chunk, ev->data, NULL) < 0)
        return;
    if (tools_turn_chunk(&s->turn, chunk, &s->head, &now) == 0 && now) {
        const struct val *calls = val_ptr(now, BYTES("/choices/0/delta/tool_calls"));
        for (size_t i = 0; i < val_len(calls); i++)
            if (bytes_is(val_bytes(val_ptr(val_at(calls, i), BYTES("/function/name"))), "ours"))
                abort();
        (void)val_write(&s->out, now);
    }
    val_unref(now);
    val_unref(chunk);
}

static void run(struct side *s, const struct loop_plan *plan, struct bytes a, struct bytes b)
{
    struct sse_parser parser;
    sse_parser_init(&parser, 1 << 20);
    buf_init(&s->out, (size_t)16 << 20);
    tools_turn_init(&s->turn, plan, 2);
    (void)sse_parser_feed(&parser, a, on_event, s);
    (void)sse_parser_feed(&parser, b, on_event, s);
    sse_parser_fini(&parser);
    struct val *message = tools_turn_message(&s->turn);
    (void)val_write(&s->out, message);
    val_unref(message);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    static const struct loop_plan plan = {
        .names = {{{"ours", 4}, {"ours", 4}}, {{"theirs", 6}, {NULL, 0}}}, .name_count = 2};
    static struct side x, y;
    if (!n)
        return 0;
    struct bytes all = {(const char *)p + 1, n - 1}, a = bytes_first(all, *p);
    run(&x, &plan, all, BYTES_NONE);
    run(&y, &plan, a, bytes_from(all, a.n));
    if (!bytes_eq(buf_bytes(&x.out), buf_bytes(&y.out)) || x.turn.ours != y.turn.ours ||
        x.turn.count > LOOP_CALLS_MAX || x.turn.ours + x.turn.theirs > x.turn.count)
        abort();
    struct side *const both[] = {&x, &y};
    for (size_t i = 0; i < 2; i++) {
        tools_turn_fini(&both[i]->turn);
        val_unref(both[i]->head);
        buf_fini(&both[i]->out);
        memset(both[i], 0, sizeof *both[i]);
    }
    return 0;
}
