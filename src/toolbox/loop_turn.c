// loop_turn.c: one answer of the model as it comes: its text, its calls put together from their
// pieces, and what of each chunk the client gets: calls of the node's tools are not for it. Pure.
// SPDX-License-Identifier: Apache-2.0
#include "toolbox/loop_priv.h"

#include <stdio.h>
#include <string.h>

void tools_turn_init(struct loop_turn *t, const struct loop_plan *p, unsigned step)
{
    *t = (struct loop_turn){.plan = p, .step = step, .role = step > 1};
    buf_init(&t->text, LOOP_ANSWER_MAX);
    for (size_t i = 0; i < LOOP_CALLS_MAX; i++) {
        buf_init(&t->calls[i].id, LOOP_ID_MAX);
        buf_init(&t->calls[i].name, LOOP_NAME_MAX * 4);
        buf_init(&t->calls[i].arguments, LOOP_ANSWER_MAX / 16);
    }
}

void tools_turn_fini(struct loop_turn *t)
{
    buf_fini(&t->text);
    for (size_t i = 0; i < LOOP_CALLS_MAX; i++) {
        buf_fini(&t->calls[i].id);
        buf_fini(&t->calls[i].name);
        buf_fini(&t->calls[i].arguments);
    }
    val_unref(t->last);
    val_unref(t->usage);
    val_unref(t->error);
    val_unref(t->whole);
    *t = (struct loop_turn){0};
}

// ---- pieces of calls ----------------------------------------------------------------------------

// The first that is there counts: some engines repeat id and name in each piece.
static void once(struct buf *to, const struct val *v)
{
    if (!to->n && val_is(v, JSON_STR))
        (void)buf_put(to, val_bytes(v));
}

// Arguments are text; some engines give an object.
static void add_arguments(struct buf *to, const struct val *v)
{
    if (val_is(v, JSON_STR))
        (void)buf_put(to, val_bytes(v));
    else if (val_is(v, JSON_OBJ))
        (void)val_write(to, v);
}

static void name_id(struct loop_turn *t, size_t i)
{
    struct loop_call *c = &t->calls[i];
    bool bad = !c->id.n || c->id.failed;
    for (size_t k = 0; k < i && !bad && c->ours; k++)
        bad = bytes_eq(buf_bytes(&t->calls[k].id), buf_bytes(&c->id));
    if (!bad)
        return;
    c->renamed = true;
    buf_clear(&c->id);
    (void)buf_fmt(&c->id, "call_%u_%zu", t->step, i + 1);
}

// The client's call, whole as far as it is known, or a further piece of it.
static struct val *piece_for_client(struct loop_call *c, const struct val *piece)
{
    struct val *out = val_put_cstr(val_obj(), "index", val_int((int64_t)c->out));
    struct val *function = val_obj();
    if (!c->told) {
        out = val_put_cstr(out, "id", val_str(buf_bytes(&c->id)));
        out = val_put_cstr(out, "type", val_cstr("function"));
        function = val_put_cstr(function, "name", val_str(buf_bytes(&c->name)));
        function = val_put_cstr(function, "arguments", val_str(buf_bytes(&c->arguments)));
    } else {
        const struct val *more = val_ptr(piece, BYTES("/function/arguments"));
        function = val_put_cstr(function, "arguments", val_str(val_bytes(more)));
    }
    c->told = true;
    return val_put_cstr(out, "function", function);
}

// Some engines give each call the index 0: a name and another id begin a new one.
static bool is_another(const struct loop_call *c, const struct val *piece)
{
    struct bytes id = val_bytes(val_get_cstr(piece, "id"));
    return c->known && !c->renamed && id.n && !bytes_eq(id, buf_bytes(&c->id)) &&
           val_bytes(val_ptr(piece, BYTES("/function/name"))).n;
}

// Takes a piece. *out gets what the client has to hear of it.
static void take_piece(struct loop_turn *t, const struct val *piece, size_t fallback,
                       struct val **out)
{
    int64_t index = val_i64(val_get_cstr(piece, "index"), (int64_t)fallback);
    const struct val *name = val_ptr(piece, BYTES("/function/name"));
    if (index >= 0 && index < (int64_t)t->count && is_another(&t->calls[index], piece))
        index = (int64_t)t->count;
    if (index < 0 || index > (int64_t)t->count || index >= LOOP_CALLS_MAX)
        return;
    size_t i = (size_t)index;
    struct loop_call *c = &t->calls[i];
    t->count += i == t->count;
    once(&c->id, val_get_cstr(piece, "id"));
    once(&c->name, name);
    add_arguments(&c->arguments, val_ptr(piece, BYTES("/function/arguments")));
    if (!c->known && c->name.n) {
        const struct loop_name *n = tools_loop_name(t->plan, buf_bytes(&c->name));
        c->known = true;
        c->ours = !n || n->tool.n; // a name that nobody has is answered here: there is none
        c->out = t->theirs;
        t->ours += c->ours;
        t->theirs += !c->ours;
        name_id(t, i);
    }
    if (c->known && !c->ours)
        *out = val_push(*out ? *out : val_arr(), piece_for_client(c, piece));
}

// ---- chunks -------------------------------------------------------------------------------------

static void take_usage(struct loop_turn *t, const struct val *u)
{
    if (!val_is(u, JSON_OBJ))
        return;
    int64_t in = val_i64(val_get_cstr(u, "prompt_tokens"), 0),
            out = val_i64(val_get_cstr(u, "completion_tokens"), 0);
    t->tokens_in = in > 0 ? (uint64_t)in : 0;
    t->tokens_out = out > 0 ? (uint64_t)out : 0;
}

// What is the same in each chunk of a stream, though several answers are in it.
static struct val *with_head(struct val *takes_chunk, struct val **head)
{
    static const char *const names[] = {"id", "object", "created", "model"};
    struct val *c = takes_chunk;
    bool first = !*head;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct val *v = val_get_cstr(first ? c : *head, names[i]);
        if (v && first)
            *head = val_put_cstr(*head ? *head : val_obj(), names[i], val_ref(v));
        else if (v && !val_equal(v, val_get_cstr(c, names[i])))
            c = val_put_cstr(c, names[i], val_ref(v));
    }
    return c;
}

static bool is_empty(const struct val *v)
{
    return !v || val_is(v, JSON_NULL) || (val_is(v, JSON_STR) && !val_bytes(v).n);
}

// Nothing in it that somebody would want to hear.
static bool says_nothing(const struct val *delta)
{
    size_t at = 0;
    struct bytes key;
    struct val *v;
    while (val_each(delta, &at, &key, &v))
        if (!is_empty(v))
            return false;
    return true;
}

// The delta as the client gets it; *changed when it is another.
static struct val *filter_delta(struct loop_turn *t, struct val *delta, bool *changed)
{
    const struct val *pieces = val_get_cstr(delta, "tool_calls");
    const struct val *role = val_get_cstr(delta, "role");
    struct val *out = val_ref(delta), *calls = NULL;
    for (size_t i = 0; i < val_len(pieces); i++)
        take_piece(t, val_at(pieces, i), i, &calls);
    if (pieces) {
        *changed = true;
        out = val_del(out, BYTES("tool_calls"));
        out = calls ? val_put_cstr(out, "tool_calls", calls) : out;
    }
    if (role && t->role) {
        *changed = true;
        out = val_del(out, BYTES("role"));
    }
    t->role = t->role || role;
    return out;
}

static struct val *with_choice(struct val *takes_chunk, const struct val *choice,
                               struct val *takes_delta, bool finish)
{
    struct val *c = val_put_cstr(val_ref((struct val *)(uintptr_t)choice), "delta", takes_delta);
    if (!finish)
        c = val_put_cstr(c, "finish_reason", val_null());
    return val_put_cstr(takes_chunk, "choices", val_push(val_arr(), c));
}

// A chunk with a choice in it.
static struct val *take_choice(struct loop_turn *t, struct val *chunk, struct val *choice,
                               struct val **head)
{
    struct val *delta = val_get_cstr(choice, "delta"), *usage = val_get_cstr(chunk, "usage");
    struct bytes finish = val_bytes(val_get_cstr(choice, "finish_reason"));
    bool changed = false, other = val_is(usage, JSON_OBJ) && (!t->plan->usage || t->step > 1);
    struct val *now = filter_delta(t, delta, &changed);
    t->usage_told = t->usage_told || (val_is(usage, JSON_OBJ) && !other);
    (void)buf_put(&t->text, val_bytes(val_get_cstr(delta, "content")));
    if (finish.n)
        (void)snprintf(t->finish, sizeof t->finish, "%.*s", BYTES_FMT(bytes_first(finish, 23)));
    struct val *out = val_ref(chunk);
    out = other ? val_del(out, BYTES("usage")) : out;
    out = with_head(out, head);
    if (finish.n && t->ours) { // perhaps not the end: held back
        val_unref(t->last);
        t->last = with_choice(val_del(val_ref(out), BYTES("usage")), choice, val_obj(), true);
        changed = true;
    } else if (finish.n) {
        t->finished = true;
    }
    bool whole = finish.n && !t->ours;
    if (says_nothing(now) && !whole && (changed || t->step > 1)) {
        val_unref(out);
        val_unref(now);
        return NULL;
    }
    if (changed)
        out = with_choice(out, choice, now, whole);
    else
        val_unref(now);
    t->failed = t->failed || !out;
    return out;
}

int tools_turn_chunk(struct loop_turn *t, struct val *chunk, struct val **head, struct val **ret)
{
    struct val *choice = val_at(val_get_cstr(chunk, "choices"), 0);
    *ret = NULL;
    if (val_is(val_get_cstr(chunk, "error"), JSON_OBJ) && !t->error)
        t->error = val_ref(val_get_cstr(chunk, "error"));
    take_usage(t, val_get_cstr(chunk, "usage"));
    if (t->error)
        return 0;
    if (choice) {
        if (val_i64(val_get_cstr(choice, "index"), 0) == 0)
            *ret = take_choice(t, chunk, choice, head);
    } else if (val_is(val_get_cstr(chunk, "usage"), JSON_OBJ)) {
        val_unref(t->usage); // its sum is told at the end
        t->usage = with_head(val_ref(chunk), head);
    } else {
        *ret = with_head(val_ref(chunk), head); // an engine's own
    }
    return t->failed ? E_NOMEM : t->text.failed;
}

// ---- an answer that is no stream ----------------------------------------------------------------

int tools_turn_whole(struct loop_turn *t, struct val *answer, struct err *e)
{
    const struct val *choice = val_at(val_get_cstr(answer, "choices"), 0);
    const struct val *message = val_get_cstr(choice, "message");
    const struct val *calls = val_get_cstr(message, "tool_calls");
    struct val *theirs = NULL;
    if (!val_is(message, JSON_OBJ))
        return err_set(e, E_UPSTREAM, "the engine's answer has no message");
    take_usage(t, val_get_cstr(answer, "usage"));
    (void)buf_put(&t->text, val_bytes(val_get_cstr(message, "content")));
    (void)snprintf(t->finish, sizeof t->finish, "%.*s",
                   BYTES_FMT(bytes_first(val_bytes(val_get_cstr(choice, "finish_reason")), 23)));
    for (size_t i = 0; i < val_len(calls); i++) {
        AUTO(val) piece = val_put_cstr(val_ref(val_at(calls, i)), "index", val_int((int64_t)i));
        take_piece(t, piece, i, &theirs);
    }
    val_unref(theirs);
    val_unref(t->whole);
    t->whole = val_ref(answer);
    return t->text.failed ? err_set(e, t->text.failed, "the engine's answer is too large") : 0;
}

struct val *tools_turn_message(const struct loop_turn *t)
{
    struct val *m = val_put_cstr(val_obj(), "role", val_cstr("assistant")), *calls = val_arr();
    m = val_put_cstr(m, "content",
                     t->text.n || !t->count ? val_str(buf_bytes(&t->text)) : val_null());
    for (size_t i = 0; i < t->count; i++) {
        const struct loop_call *c = &t->calls[i];
        struct val *f = val_put_cstr(val_obj(), "name", val_str(buf_bytes(&c->name)));
        f = val_put_cstr(f, "arguments",
                         val_str(c->arguments.n ? buf_bytes(&c->arguments) : BYTES("{}")));
        struct val *call = val_put_cstr(val_obj(), "id", val_str(buf_bytes(&c->id)));
        call = val_put_cstr(call, "type", val_cstr("function"));
        if (c->known)
            calls = val_push(calls, val_put_cstr(call, "function", f));
        else
            val_unref(val_put_cstr(call, "function", f));
    }
    if (!val_len(calls)) {
        val_unref(calls);
        return m;
    }
    return val_put_cstr(m, "tool_calls", calls);
}
