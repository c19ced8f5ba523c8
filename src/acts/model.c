// model.c: call: model: a question to a model of this node (or of the mesh behind it), streamed,
// its answer checked by a JSON schema where one is given; and embeddings. call: agent: the same for
// a model that calls tools of the node until it has an answer. SPDX-License-Identifier: Apache-2.0
#include "acts/acts_priv.h"
#include "text/schema.h"
#include "text/sse.h"

#include <string.h>

#define BEAT_MS 400
#define ANSWER_MAX ((size_t)16 << 20)
#define SILENCE_MS ((int64_t)30 * 60 * 1000) // a model may be loaded first, and think

struct model {
    struct act_web *web;
    struct sse_parser sse;
    bool sse_made, is_json;
    struct buf text, thought, whole; // whole: an answer that is no stream
    struct val *usage, *name, *finish, *tools, *error;
    struct val *calls, *end; // of an agent: {"tool","status","content"}, how it went
    int64_t beat_ms;
};

// ---- the request -------------------------------------------------------------------------------

static struct val *message(const char *role, struct val *content)
{
    return val_put_cstr(val_put_cstr(val_obj(), "role", val_cstr(role)), "content",
                        content ? val_ref(content) : NULL);
}

static struct val *messages_of(const struct val *with)
{
    struct val *given = val_get_cstr(with, "messages"), *list = val_arr(), *v;
    size_t at = 0;
    struct bytes key;
    if ((v = val_get_cstr(with, "system")) != NULL)
        list = val_push(list, message("system", v));
    while (val_is(given, JSON_ARR) && val_each(given, &at, &key, &v))
        list = val_push(list, val_ref(v));
    if ((v = val_get_cstr(with, "prompt")) != NULL && val_is(v, JSON_STR)) {
        list = val_push(list, message("user", v));
    } else if (v) { // an object or a number as its JSON
        struct buf text;
        buf_init(&text, ANSWER_MAX);
        (void)val_write(&text, v);
        AUTO(val) json = text.failed ? NULL : val_str(buf_bytes(&text));
        buf_fini(&text);
        list = val_push(list, message("user", json));
    }
    return list;
}

// A schema, or the DSL's { format, document }.
static struct val *schema_of(const struct val *with)
{
    struct val *s = val_get_cstr(with, "schema"), *document = val_get_cstr(s, "document");
    return val_is(document, JSON_OBJ) ? document : s;
}

static struct val *with_schema(struct val *body, struct val *schema)
{
    struct val *js = val_put_cstr(val_obj(), "name", val_cstr("answer"));
    js = val_put_cstr(js, "schema", val_ref(schema));
    js = val_put_cstr(js, "strict", val_bool(true));
    struct val *format = val_put_cstr(val_obj(), "type", val_cstr("json_schema"));
    return val_put_cstr(body, "response_format", val_put_cstr(format, "json_schema", js));
}

// An agent's tools and limits, as the chat API has them (docs/API.md).
static struct val *with_tools(struct val *body, const struct val *with)
{
    const struct val *tools = val_get_cstr(with, "tools"), *steps = val_get_cstr(with, "max_steps");
    struct val *names = tools ? val_ref((struct val *)(uintptr_t)tools) : val_bool(true);
    if (val_is(tools, JSON_STR)) // one name
        names = val_push(val_arr(), names);
    body = val_put_cstr(val_del(val_del(body, BYTES("tools")), BYTES("max_steps")), "plexus_tools",
                        names);
    if (!steps)
        return body;
    struct val *limits = val_put_cstr(val_obj(), "steps", val_ref((struct val *)(uintptr_t)steps));
    return val_put_cstr(body, "plexus_limits", limits);
}

static struct val *chat_body(const struct val *with, bool agent)
{
    static const char *const own[] = {"prompt", "system", "schema", "input", "messages", "stream"};
    struct val *body = val_obj(), *v, *schema = schema_of(with);
    struct bytes key;
    size_t at = 0;
    while (val_each(with, &at, &key, &v)) { // temperature, tools, ...: as the API has them
        bool mine = false;
        for (size_t i = 0; i < sizeof own / sizeof *own; i++)
            mine = mine || bytes_is(key, own[i]);
        if (!mine)
            body = val_put(body, key, val_ref(v));
    }
    body = val_put_cstr(body, "messages", messages_of(with));
    if (schema)
        body = with_schema(body, schema);
    if (agent)
        body = with_tools(body, with);
    body = val_put_cstr(body, "stream", val_bool(true));
    return val_put_cstr(body, "stream_options",
                        val_put_cstr(val_obj(), "include_usage", val_bool(true)));
}

static int own_headers(struct act *a, struct buf *lines, struct err *e)
{
    struct acts_args *room = &a->room->args;
    int rc = act_header_put(lines, BYTES("Content-Type"), BYTES("application/json"), e);
    if (rc == 0 && a->args->label.n)
        rc = act_header_put(lines, BYTES("X-Plexus-Label"), a->args->label, e);
    if (rc == 0 && room->self_key)
        rc = buf_fmt(lines, "Authorization: Bearer %s\r\n", room->self_key);
    return rc;
}

static void ask(struct act *a, const char *path, struct val *takes_body,
                void (*then)(struct act *a, struct act_fetch *f),
                bool (*on_part)(struct act *a, struct bytes part))
{
    struct model *m = a->own;
    struct err e = {0};
    struct buf lines, body;
    buf_init(&lines, 8192);
    buf_init(&body, (size_t)32 << 20);
    (void)val_write(&body, takes_body);
    int rc = own_headers(a, &lines, &e);
    if (!a->room->args.self_address)
        act_fail(a, ACT_CONFIGURATION, 0, true, "call: model: this node has no API");
    else if (!takes_body || body.failed || lines.failed || rc < 0)
        act_fail(a, ACT_RUNTIME, 0, false, "call: model: the request is too large");
    else
        act_web(a, &m->web,
                &(struct act_web_args){.method = BYTES("post"),
                                       .url = bytes_of(path),
                                       .headers = buf_bytes(&lines),
                                       .body = &body,
                                       .once = true,
                                       .any = true,
                                       .then = then,
                                       .on_part = on_part,
                                       .self = true,
                                       .silence_ms = SILENCE_MS});
    val_unref(takes_body);
    buf_fini(&lines);
    buf_fini(&body);
}

// ---- the answer --------------------------------------------------------------------------------

static void set(struct val **at, struct val *v)
{
    if (!v || val_is(v, JSON_NULL))
        return;
    val_unref(*at);
    *at = val_ref(v);
}

static void add_text(struct buf *out, const struct val *v)
{
    if (val_is(v, JSON_STR))
        (void)buf_put(out, val_bytes(v));
}

// Calls of tools come in pieces: the arguments' text grows.
static void add_tool(struct model *m, const struct val *piece)
{
    size_t i = (size_t)val_i64(val_get_cstr(piece, "index"), 0);
    struct val *args = val_ptr(piece, BYTES("/function/arguments"));
    if (i > 63 || i > val_len(m->tools))
        return;
    if (i == val_len(m->tools)) {
        m->tools =
            val_push(m->tools ? m->tools : val_arr(), val_ref((struct val *)(uintptr_t)piece));
        return;
    }
    struct val *old = val_at(m->tools, i), *function = val_get_cstr(old, "function");
    struct buf text;
    buf_init(&text, ANSWER_MAX);
    add_text(&text, val_get_cstr(function, "arguments"));
    add_text(&text, args);
    struct val *made = val_put_cstr(function ? val_ref(function) : val_obj(), "arguments",
                                    text.failed ? NULL : val_str(buf_bytes(&text)));
    buf_fini(&text);
    m->tools = val_set_at(m->tools, i, val_put_cstr(val_ref(old), "function", made));
}

// What the node tells of an agent's calls, and of its end.
static void take_own(struct model *m, struct val *own)
{
    static const char *const keys[] = {"tool", "status", "content"};
    struct bytes type = val_bytes(val_get_cstr(own, "type"));
    struct val *call = val_obj();
    if (bytes_is(type, "end"))
        set(&m->end, own);
    if (!bytes_is(type, "result")) {
        val_unref(call);
        return;
    }
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (val_get_cstr(own, keys[i]))
            call = val_put_cstr(call, keys[i], val_ref(val_get_cstr(own, keys[i])));
    m->calls = val_push(m->calls ? m->calls : val_arr(), call);
}

static void take_chunk(struct model *m, const struct val *v, const char *delta)
{
    const struct val *choice = val_ptr(v, BYTES("/choices/0"));
    const struct val *part = val_get_cstr(choice, delta), *tools = val_get_cstr(part, "tool_calls");
    set(&m->error, val_get_cstr(v, "error"));
    if (val_get_cstr(v, "plexus"))
        take_own(m, val_get_cstr(v, "plexus"));
    set(&m->usage, val_get_cstr(v, "usage"));
    set(&m->name, val_get_cstr(v, "model"));
    set(&m->finish, val_get_cstr(choice, "finish_reason"));
    add_text(&m->text, val_get_cstr(part, "content"));
    add_text(&m->thought, val_get_cstr(part, "reasoning_content"));
    for (size_t i = 0; i < val_len(tools); i++)
        add_tool(m, val_at(tools, i));
}

static void on_event(void *user, const struct sse_event *ev)
{
    struct model *m = user;
    AUTO(val) v = NULL;
    if (!bytes_is(ev->data, "[DONE]") && val_parse(&v, ev->data, NULL) == 0)
        take_chunk(m, v, "delta");
}

static void tell(struct act *a)
{
    struct model *m = a->own;
    int64_t now = timers_now_ms(a->room->args.timers);
    if (!a->req->beat || !m->text.n || now - m->beat_ms < BEAT_MS)
        return;
    m->beat_ms = now;
    size_t n = m->text.n; // a character may be here by half
    while (n > 0 && m->text.n - n < 4 && !bytes_is_utf8((struct bytes){m->text.p, n}))
        n--;
    act_beat(a, val_put_cstr(val_obj(), "text", val_str((struct bytes){m->text.p, n})));
}

static bool on_part(struct act *a, struct bytes part)
{
    struct model *m = a->own;
    if (!m->sse_made) {
        m->sse_made = true;
        sse_parser_init(&m->sse, ANSWER_MAX);
        struct bytes first = bytes_trim(part);
        m->is_json = first.n && *first.p == '{';
    }
    int rc = m->is_json ? buf_put(&m->whole, part) : sse_parser_feed(&m->sse, part, on_event, m);
    if (rc < 0 || m->text.failed || m->thought.failed) {
        act_fail(a, ACT_RUNTIME, 0, true, "call: model: the answer has more than 16 MiB");
        return false;
    }
    tell(a);
    return true;
}

// What the API said went wrong: {"error":{"message","type","code"}}.
static void refused(struct act *a, int status, const struct val *error, struct bytes body)
{
    const char *why = val_text(val_get_cstr(error, "message"), NULL);
    enum act_problem type = status == 403                                    ? ACT_AUTHORIZATION
                            : status == 401                                  ? ACT_AUTHENTICATION
                            : status == 504                                  ? ACT_TIMEOUT
                            : status >= 400 && status < 429 && status != 408 ? ACT_CONFIGURATION
                                                                             : ACT_COMMUNICATION;
    bool final = type == ACT_CONFIGURATION || type == ACT_AUTHORIZATION;
    body = bytes_trim(bytes_first(body, 400));
    act_fail(a, type, status, final, "call: model: %.*s",
             why      ? (int)strlen(why)
             : body.n ? (int)body.n
                      : 20,
             why      ? why
             : body.n ? body.p
                      : "it answered nothing.");
}

// The answer as the value that the schema describes. NULL: the act has ended.
static struct val *checked(struct act *a, struct val *schema, struct bytes text)
{
    struct json_doc *sd = NULL, *td = NULL;
    struct schema *s = NULL;
    struct schema_error why = {0};
    struct err e = {0};
    struct val *v = NULL;
    int rc = val_to_json(&sd, schema, &e);
    if (rc == 0)
        rc = schema_new(&s, &(struct schema_args){.doc = json_root(sd)}, &e);
    if (rc < 0) {
        act_fail(a, ACT_CONFIGURATION, 0, true, "call: model: schema: %s", e.text);
    } else if (json_parse(&td, text, 0, &e) < 0) {
        act_fail(a, ACT_VALIDATION, 0, false, "the model's answer is not JSON: %s", e.text);
    } else if ((rc = schema_check(s, json_root(td), &why)) < 0) {
        act_fail(a, ACT_VALIDATION, 0, false, "the model's answer does not fit the schema: %s%s%s",
                 why.instance, why.instance[0] ? ": " : "",
                 why.message[0] ? why.message : err_info(rc)->text);
    } else if (!(v = val_of_json(json_root(td)))) {
        act_nomem(a);
    }
    schema_free(s);
    json_free(sd);
    json_free(td);
    return v;
}

static struct val *put_known(struct val *out, const char *key, struct val *v)
{
    return v ? val_put_cstr(out, key, val_ref(v)) : out;
}

static void chat_end(struct act *a, struct act_fetch *f)
{
    struct model *m = a->own;
    struct val *schema = schema_of(a->with);
    AUTO(val) v = NULL;
    bool good = f->status >= 200 && f->status < 300;
    struct bytes body = buf_bytes(good ? &m->whole : &f->body);
    if (body.n && val_parse(&v, body, NULL) == 0)
        take_chunk(m, v, "message");
    if (!good || m->error) {
        refused(a, good ? 502 : f->status, m->error, body);
        return;
    }
    if (!m->finish && !m->text.n && !m->tools) {
        act_fail(a, ACT_COMMUNICATION, 0, false, "call: model: the answer was cut");
        return;
    }
    struct bytes text = buf_bytes(&m->text);
    struct val *content =
        schema && !m->tools ? checked(a, schema, bytes_trim(text)) : val_str(text);
    if (a->ended)
        return;
    struct val *out = val_put_cstr(val_obj(), "content", content);
    if (schema)
        out = val_put_cstr(out, "text", val_str(text));
    out = put_known(out, "model", m->name ? m->name : val_get_cstr(a->with, "model"));
    out = put_known(out, "usage", m->usage);
    out = put_known(out, "finish", m->finish);
    out = put_known(out, "tool_calls", m->tools);
    out = put_known(out, "calls", m->calls);
    out = put_known(out, "steps", val_get_cstr(m->end, "steps"));
    out = put_known(out, "stop", val_get_cstr(m->end, "stop"));
    if (m->thought.n)
        out = val_put_cstr(out, "reasoning", val_str(buf_bytes(&m->thought)));
    if (out)
        act_done(a, out);
    else
        act_nomem(a);
}

// ---- embeddings --------------------------------------------------------------------------------

static void embedded(struct act *a, struct act_fetch *f)
{
    AUTO(val) v = NULL;
    struct err e = {0};
    int rc = val_parse(&v, buf_bytes(&f->body), &e);
    const struct val *data = val_get_cstr(v, "data");
    if (f->status < 200 || f->status > 299) {
        refused(a, f->status, val_get_cstr(v, "error"), buf_bytes(&f->body));
        return;
    }
    if (rc < 0 || !val_is(data, JSON_ARR)) {
        act_fail(a, ACT_COMMUNICATION, 0, false, "call: model: no embeddings in the answer");
        return;
    }
    struct val *list = val_arr();
    for (size_t i = 0; i < val_len(data); i++) {
        struct val *one = val_get_cstr(val_at(data, i), "embedding");
        list = val_push(list, one ? val_ref(one) : val_null());
    }
    struct val *first = val_at(list, 0);
    struct val *out = val_obj();
    if (!val_is(val_get_cstr(a->with, "input"), JSON_ARR) && first)
        out = val_put_cstr(out, "embedding", val_ref(first));
    out = val_put_cstr(out, "embeddings", list);
    out = put_known(out, "model", val_get_cstr(v, "model"));
    out = put_known(out, "usage", val_get_cstr(v, "usage"));
    if (out)
        act_done(a, out);
    else
        act_nomem(a);
}

static void start(struct act *a)
{
    struct model *m = a->own;
    struct val *with = a->with;
    buf_init(&m->text, ANSWER_MAX);
    buf_init(&m->thought, ANSWER_MAX);
    buf_init(&m->whole, ANSWER_MAX);
    bool chat = val_get_cstr(with, "messages") || val_get_cstr(with, "prompt");
    bool agent = strcmp(a->kind->name, "agent") == 0;
    if (!val_bytes(val_get_cstr(with, "model")).n)
        act_fail(a, ACT_CONFIGURATION, 0, true, "call: %s needs with: { model: NAME }",
                 a->kind->name);
    else if (chat)
        ask(a, "/v1/chat/completions", chat_body(with, agent), chat_end, on_part);
    else if (agent)
        act_fail(a, ACT_CONFIGURATION, 0, true, "call: agent needs messages or prompt");
    else if (val_get_cstr(with, "input"))
        ask(a, "/v1/embeddings", val_ref(with), embedded, NULL);
    else
        act_fail(a, ACT_CONFIGURATION, 0, true,
                 "call: model needs messages or prompt, or for embeddings input");
}

static void stop(struct act *a)
{
    struct model *m = a->own;
    struct val *const vals[] = {m->usage, m->name, m->finish, m->tools, m->error, m->calls, m->end};
    act_web_free(&m->web);
    if (m->sse_made)
        sse_parser_fini(&m->sse);
    buf_fini(&m->text);
    buf_fini(&m->thought);
    buf_fini(&m->whole);
    for (size_t i = 0; i < sizeof vals / sizeof *vals; i++)
        val_unref(vals[i]);
}

const struct act_kind act_model = {.name = "model",
                                   .what = "A question to a model, or embeddings.",
                                   .bytes = sizeof(struct model),
                                   .start = start,
                                   .stop = stop};

const struct act_kind act_agent = {
    .name = "agent",
    .what = "A model that calls tools of this node until it has an answer.",
    .bytes = sizeof(struct model),
    .start = start,
    .stop = stop};
