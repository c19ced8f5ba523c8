// node_mcp_ask.c: an MCP server asks for a model's answer (sampling): by the model that its
// configuration names, as call: model of a flow asks one. SPDX-License-Identifier: Apache-2.0
#include "app/node_flows_priv.h"
#include "app/node_mcp_priv.h"
#include "base/alloc.h"
#include <stdio.h>
#include <string.h>

#define AT_ONCE_MAX 16 // of all servers together: they spend this node's time and money
#define TOKENS_MAX 32768

struct sample {
    struct act_req act;
    struct node_mcp *m;
    struct mcpc_asked *asked; // NULL: the server does not want it any more
    struct val *args;
    struct list link;
};

// ---- the question -------------------------------------------------------------------------------

// One content block as chat requests have it. NULL: of a kind that is not taken.
static struct val *part_of(const struct val *block)
{
    struct bytes type = val_bytes(val_get_cstr(block, "type"));
    struct val *part = NULL;
    if (bytes_is(type, "text")) {
        part = mcp_text_block(val_bytes(val_get_cstr(block, "text")));
    } else if (bytes_is(type, "image")) {
        struct bytes mime = val_bytes(val_get_cstr(block, "mimeType")),
                     data = val_bytes(val_get_cstr(block, "data"));
        struct buf url;
        buf_init(&url, MAX_ALLOCATION_BYTES);
        (void)buf_fmt(&url, "data:%.*s;base64,", BYTES_FMT(bytes_first(mime, 100)));
        (void)buf_put(&url, data);
        if (!url.failed) {
            struct val *at = val_put_cstr(val_obj(), "url", val_str(buf_bytes(&url)));
            part = val_put_cstr(val_obj(), "type", val_cstr("image_url"));
            part = val_put_cstr(part, "image_url", at);
        }
        buf_fini(&url);
    }
    return part;
}

// A message's content: one block, or (2025-11-25) several. A text alone stays a text.
static struct val *content_of(const struct val *content, struct err *e)
{
    const struct val *text = val_get_cstr(content, "text");
    struct val *parts = val_arr();
    if (bytes_is(val_bytes(val_get_cstr(content, "type")), "text") && text) {
        val_unref(parts);
        return val_ref((struct val *)(uintptr_t)text);
    }
    size_t n = val_is(content, JSON_ARR) ? val_len(content) : 1;
    for (size_t i = 0; i < n; i++) {
        struct val *part = part_of(val_is(content, JSON_ARR) ? val_at(content, i) : content);
        if (!part) {
            val_unref(parts);
            (void)err_set(e, E_UNSUPPORTED, "only text and images are taken");
            return NULL;
        }
        parts = val_push(parts, part);
    }
    return parts;
}

static struct val *messages_of(const struct val *params, struct err *e)
{
    const struct val *given = val_get_cstr(params, "messages");
    struct val *list = val_arr();
    for (size_t i = 0; i < val_len(given); i++) {
        const struct val *one = val_at(given, i);
        struct bytes role = val_bytes(val_get_cstr(one, "role"));
        bool known = bytes_is(role, "user") || bytes_is(role, "assistant");
        struct val *content = known ? content_of(val_get_cstr(one, "content"), e) : NULL;
        if (!content) {
            if (!known)
                (void)err_set(e, E_INVALID, "a role is user or assistant");
            val_unref(list);
            return NULL;
        }
        struct val *m = val_put_cstr(val_obj(), "role", val_str(role));
        list = val_push(list, val_put_cstr(m, "content", content));
    }
    if (val_len(list) == 0) {
        (void)err_set(e, E_INVALID, "there is no message");
        val_unref(list);
        return NULL;
    }
    return list;
}

// CreateMessageRequest's params as the activity has them. NULL: refused, e says why.
static struct val *args_of(const struct val *params, const char *model, struct err *e)
{
    static const char *const same[][2] = {
        {"systemPrompt", "system"}, {"temperature", "temperature"}, {"stopSequences", "stop"}};
    int64_t tokens = val_i64(val_get_cstr(params, "maxTokens"), 0);
    if (val_get_cstr(params, "tools")) {
        (void)err_set(e, E_UNSUPPORTED, "the model is not given tools");
        return NULL;
    }
    struct val *messages = messages_of(params, e), *v;
    if (!messages)
        return NULL;
    struct val *args = val_put_cstr(val_obj(), "model", val_cstr(model));
    args = val_put_cstr(args, "messages", messages);
    if (tokens > 0)
        args = val_put_cstr(args, "max_tokens", val_int(tokens < TOKENS_MAX ? tokens : TOKENS_MAX));
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        if ((v = val_get_cstr(params, same[i][0])) != NULL)
            args = val_put_cstr(args, same[i][1], val_ref(v));
    if (!args)
        (void)err_set(e, E_NOMEM, "out of memory");
    return args;
}

// ---- the answer ---------------------------------------------------------------------------------

static struct val *result_of(const struct sample *s, const struct val *output)
{
    const struct val *text = val_get_cstr(output, "content");
    struct bytes finish = val_bytes(val_get_cstr(output, "finish"));
    struct val *content = mcp_text_block(val_bytes(text));
    struct val *r = val_put_cstr(val_obj(), "role", val_cstr("assistant"));
    r = val_put_cstr(r, "content", content);
    r = val_put_cstr(r, "model", val_ref(val_get_cstr(s->args, "model")));
    return val_put_cstr(r, "stopReason",
                        val_cstr(bytes_is(finish, "length") ? "maxTokens" : "endTurn"));
}

static void sample_free(struct sample *s)
{
    list_del(&s->link);
    s->m->sample_count--;
    val_unref(s->args);
    mem_free(s);
}

static void done(struct act_req *r, int status, struct val *output, struct val *problem, bool final)
{
    struct sample *s = r->user;
    (void) final;
    if (s->asked)
        mcpc_answer(s->asked, status < 0 ? NULL : result_of(s, output),
                    status < 0 ? val_text(val_get_cstr(problem, "detail"), err_info(status)->text)
                               : NULL);
    sample_free(s);
}

// ---- what mcpc calls ----------------------------------------------------------------------------

static int begin(struct node_mcp *m, struct mcpc_asked *a, struct err *e)
{
    const struct config_mcp_server *c = node_mcp_config(m->node, a->server);
    struct node_flows *f = m->node->flows;
    if (!a->sampling || !c || !c->model)
        return err_set(e, E_UNSUPPORTED, "nobody can be asked");
    if (!f || !f->acts || m->closing)
        return err_set(e, E_UNAVAILABLE, "no model can be asked now");
    if (m->sample_count >= AT_ONCE_MAX)
        return err_set(e, E_FULL, "too many are asked at once");
    struct val *args = args_of(a->params, c->model, e);
    struct sample *s = args ? mem_new(struct sample) : NULL;
    char who[MCPC_NAME_MAX + 8];
    (void)snprintf(who, sizeof who, "mcp:%s", a->server);
    if (!s) {
        val_unref(args);
        return args ? err_set(e, E_NOMEM, "out of memory") : e->code;
    }
    *s = (struct sample){.m = m, .asked = a, .args = args};
    s->act = (struct act_req){.done = done, .user = s};
    a->user = s;
    list_add_tail(&m->samples, &s->link);
    m->sample_count++;
    struct act_args act = {.kind = BYTES("model"),
                           .run = a->caller.who.n ? a->caller.who : bytes_of(who),
                           .task = BYTES("sampling/createMessage"),
                           .attempt = 1,
                           .timeout_ms = c->time_ms,
                           .label = a->caller.label,
                           .args = s->args};
    int rc = act_start(f->acts, &act, &s->act, e);
    if (rc < 0)
        sample_free(s);
    return rc;
}

void node_mcp_ask(void *user, struct mcpc_asked *a)
{
    struct node_mcp *m = user;
    struct err e = {0};
    int rc = begin(m, a, &e);
    log_event(rc < 0 ? LOG_WARN : LOG_INFO, "mcp.sampling", LOG_STR("server", a->server),
              LOG_BYTES("who", a->caller.who), LOG_STR("why", rc < 0 ? e.text : NULL));
    if (rc < 0)
        mcpc_answer(a, NULL, e.text);
}

void node_mcp_ask_gone(void *user, struct mcpc_asked *a)
{
    struct node_mcp *m = user;
    struct sample *s = a->user;
    struct node_flows *f = m->node->flows;
    if (!s)
        return;
    s->asked = NULL;
    if (f && f->acts)
        act_cancel(f->acts, &s->act); // done comes
}

void node_mcp_asks_free(struct node_mcp *m)
{
    while (!list_empty(&m->samples)) // acts has ended them all before, or never will
        sample_free(container_of(m->samples.next, struct sample, link));
}
