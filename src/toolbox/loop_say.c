// loop_say.c: words of the loop: results as text for the model, chunks of the node's own. Pure.
// SPDX-License-Identifier: Apache-2.0
#include "toolbox/loop_priv.h"

#include <string.h>

static bool in_character(struct bytes s, size_t at)
{
    return at < s.n && ((unsigned char)s.p[at] & 0xc0) == 0x80;
}

void tools_say_cut(struct buf *out, struct bytes text, size_t max)
{
    if (text.n <= max) {
        (void)buf_put(out, text);
        return;
    }
    size_t head = max / 3 * 2, tail = max - head;
    while (head && in_character(text, head))
        head--;
    while (tail && in_character(text, text.n - tail))
        tail--;
    (void)buf_put(out, bytes_first(text, head));
    (void)buf_fmt(out, "\n[... %zu bytes left out ...]\n", text.n - head - tail);
    (void)buf_put(out, bytes_from(text, text.n - tail));
}

// A block that is no text is named: its bytes would mean nothing to a model of text.
static void say_block(struct buf *out, const struct val *block, bool first)
{
    struct bytes type = val_bytes(val_get_cstr(block, "type")),
                 text = val_bytes(val_get_cstr(block, "text"));
    if (!text.n)
        text = val_bytes(val_ptr(block, BYTES("/resource/text")));
    if (!first)
        (void)buf_chr(out, '\n');
    if (text.n || bytes_is(type, "text")) {
        (void)buf_put(out, text);
        return;
    }
    struct bytes uri = val_bytes(val_get_cstr(block, "uri")),
                 mime = val_bytes(val_get_cstr(block, "mimeType"));
    (void)buf_fmt(out, "[%.*s %.*s%s%.*s, %zu bytes of base64]", BYTES_FMT(bytes_first(type, 40)),
                  BYTES_FMT(bytes_first(mime, 80)), uri.n ? " " : "",
                  BYTES_FMT(bytes_first(uri, 500)), val_bytes(val_get_cstr(block, "data")).n);
}

void tools_say_result(struct buf *out, const struct tool_result *r, size_t max)
{
    struct buf text;
    buf_init(&text, MAX_ALLOCATION_BYTES * 2);
    if (r->is_error)
        (void)buf_str(&text, "error: ");
    size_t empty = text.n;
    // What is for models stands in content; some tools give nothing there but the structure.
    for (size_t i = 0; i < val_len(r->content); i++)
        say_block(&text, val_at(r->content, i), i == 0);
    if (text.n == empty && r->structured)
        (void)val_write(&text, r->structured);
    if (text.n == empty)
        (void)buf_str(&text, r->is_error ? "it failed and does not say why" : "(nothing)");
    tools_say_cut(out, buf_bytes(&text), max);
    buf_fini(&text);
}

struct val *tools_say_head(const struct loop_plan *p, const char *id, int64_t wall_ms)
{
    struct buf text;
    buf_init(&text, 256);
    (void)buf_fmt(&text, "chatcmpl-%s", id);
    struct val *h = val_put_cstr(val_obj(), "id", val_str(buf_bytes(&text)));
    buf_fini(&text);
    h = val_put_cstr(h, "object", val_cstr("chat.completion.chunk"));
    h = val_put_cstr(h, "created", val_int(wall_ms / 1000));
    return val_put_cstr(h, "model", val_str(p->model));
}

struct val *tools_say_chunk(const struct val *head, const char *finish, struct val *takes_plexus)
{
    struct val *choice = val_put_cstr(val_obj(), "index", val_int(0));
    choice = val_put_cstr(choice, "delta", val_obj());
    choice = val_put_cstr(choice, "finish_reason", finish ? val_cstr(finish) : val_null());
    struct val *c = val_put_cstr(val_ref((struct val *)(uintptr_t)head), "choices",
                                 val_push(val_arr(), choice));
    return takes_plexus ? val_put_cstr(c, "plexus", takes_plexus) : c;
}

struct val *tools_say_tool(const char *id, struct bytes name, struct bytes content)
{
    struct val *m = val_put_cstr(val_obj(), "role", val_cstr("tool"));
    m = val_put_cstr(m, "tool_call_id", val_cstr(id));
    m = val_put_cstr(m, "name", val_str(name));
    return val_put_cstr(m, "content", val_str(content));
}

struct val *tools_say_usage(uint64_t in, uint64_t out)
{
    struct val *u = val_put_cstr(val_obj(), "prompt_tokens", val_int((int64_t)in));
    u = val_put_cstr(u, "completion_tokens", val_int((int64_t)out));
    return val_put_cstr(u, "total_tokens", val_int((int64_t)(in + out)));
}

struct val *tools_say_effects(unsigned effects)
{
    static const char *const names[] = {"reads", "writes",     "destroys", "network",
                                        "runs",  "idempotent", "costs"};
    struct val *list = val_arr();
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        if (effects & 1u << i)
            list = val_push(list, val_cstr(names[i]));
    return list;
}
