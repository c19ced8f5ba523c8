// node_mcp_more.c: what is offered at /mcp beside tools: files of granted folders, the records of
// calls, and the resources and prompts of external servers. SPDX-License-Identifier: Apache-2.0
#include "app/node_mcp_priv.h"
#include "base/alloc.h"
#include "prims/prims.h"
#include "text/url.h"
#include <stdio.h>
#include <string.h>

#define CALLS_URI "plexus://calls"
#define LOGS_URI "plexus://logs"
#define FILE_URI "file://"
#define CALLS_MAX 200
#define LOG_LINES 500
#define NEW_TOOL "new_tool"

struct more_call {
    struct node_mcp *m;
    struct tool_req *req;
    struct tool_req inner;  // read_file
    struct mcpc_req theirs; // another server's
    struct timer soon;      // what is known at once is told a moment later
    struct val *content, *structured, *input;
    char *uri;
    enum { MORE_KNOWN, MORE_FILE, MORE_RESOURCE, MORE_PROMPT } kind;
};

static void call_free(struct more_call *c)
{
    val_unref(c->content);
    val_unref(c->structured);
    val_unref(c->input);
    mem_free(c->uri);
    mem_free(c);
}

static void call_end(struct more_call *c, int status, const struct err *e)
{
    struct tool_result res = {.content = c->content, .structured = c->structured};
    struct tool_req *r = c->req;
    r->priv = NULL;
    if (status == 0 && !c->content)
        status = E_NOMEM;
    r->done(r, status, status == 0 ? &res : NULL, e);
    call_free(c);
}

static struct more_call *call_new(struct node_mcp *m, struct tool_req *r, struct bytes uri)
{
    struct more_call *c = mem_new(struct more_call);
    if (!c)
        return NULL;
    c->m = m;
    c->req = r;
    c->uri = mem_dup(uri.p, uri.n);
    r->priv = c;
    if (c->uri)
        return c;
    mem_free(c);
    return NULL;
}

static void on_soon(struct timer *t)
{
    call_end(t->user, 0, NULL);
}

static int tell_soon(struct more_call *c, struct val *takes_content, struct err *e)
{
    c->kind = MORE_KNOWN;
    c->content = takes_content;
    c->soon = (struct timer){.fn = on_soon, .user = c};
    if (takes_content && timer_start(loop_timers(c->m->node->loop), &c->soon, 0) == 0)
        return 0;
    call_free(c);
    return err_set(e, E_NOMEM, "out of memory");
}

static struct val *text_contents(struct bytes uri, const char *mime, struct bytes text)
{
    struct val *one = val_put_cstr(val_obj(), "uri", val_str(uri));
    one = val_put_cstr(one, "mimeType", val_cstr(mime));
    return val_push(val_arr(), val_put_cstr(one, "text", val_str(text)));
}

// ---- resources ----------------------------------------------------------------------------------

static void own_resources(struct mcpd_more *o, const struct tool_caller *c,
                          void (*each)(void *user, const struct mcpd_resource *r), void *user)
{
    (void)o;
    static const struct {
        const char *uri, *name, *title, *description, *mime;
    } own[] = {{CALLS_URI, "calls", "Calls of tools",
                "The last calls on this node, the newest first.", "application/json"},
               {LOGS_URI, "logs", "The node's log", "Its last lines, the oldest first.",
                "application/x-ndjson"}};
    for (size_t i = 0; c->admin && i < sizeof own / sizeof *own; i++)
        each(user, &(struct mcpd_resource){.uri = bytes_of(own[i].uri),
                                           .name = bytes_of(own[i].name),
                                           .title = bytes_of(own[i].title),
                                           .description = bytes_of(own[i].description),
                                           .mime = bytes_of(own[i].mime),
                                           .size = -1});
}

struct items {
    void (*each)(void *user, const struct mcpd_resource *r);
    void (*prompt)(void *user, const struct mcpd_prompt *p);
    void *user;
};

static struct bytes word(const struct val *v, const char *key)
{
    return val_bytes(val_get_cstr(v, key));
}

static void each_item(void *user, const char *server, struct bytes name, const struct val *item)
{
    const struct items *x = user;
    (void)server;
    x->each(x->user, &(struct mcpd_resource){.uri = name,
                                             .name = word(item, "name"),
                                             .title = word(item, "title"),
                                             .description = word(item, "description"),
                                             .mime = word(item, "mimeType"),
                                             .size = val_i64(val_get_cstr(item, "size"), -1)});
}

static void resources(struct mcpd_more *o, const struct tool_caller *c,
                      void (*each)(void *user, const struct mcpd_resource *r), void *user)
{
    struct node_mcp *m = container_of(o, struct node_mcp, more);
    own_resources(o, c, each, user);
    if (m->clients)
        mcpc_items(m->clients, MCPC_RESOURCES, c, each_item,
                   &(struct items){.each = each, .user = user});
}

static void templates(struct mcpd_more *o, const struct tool_caller *c,
                      void (*each)(void *user, const struct mcpd_resource *r), void *user)
{
    struct node_mcp *m = container_of(o, struct node_mcp, more);
    if (m->node->tools->prims)
        each(user, &(struct mcpd_resource){
                       .uri = BYTES(FILE_URI "/{+path}"),
                       .name = BYTES("file"),
                       .title = BYTES("A file"),
                       .description = BYTES("A file in one of the granted folders, by its path."),
                       .size = -1});
    if (m->clients)
        mcpc_items(m->clients, MCPC_TEMPLATES, c, each_item,
                   &(struct items){.each = each, .user = user});
}

static struct val *calls_text(struct node_mcp *m)
{
    struct buf json;
    struct json_w w;
    const struct tools_record *r;
    buf_init(&json, (size_t)4 << 20);
    json_w_init(&w, &json);
    json_w_arr(&w, NULL);
    for (size_t i = 0; i < CALLS_MAX && (r = tools_all_record(m->node->tools->all, i)) != NULL; i++)
        node_tools_put_record(&w, r, false);
    json_w_end(&w);
    struct val *v =
        json.failed ? NULL : text_contents(BYTES(CALLS_URI), "application/json", buf_bytes(&json));
    buf_fini(&json);
    return v;
}

static struct val *logs_text(struct node_mcp *m)
{
    struct buf lines;
    buf_init(&lines, (size_t)8 << 20);
    ctl_log_last(m->node->ctl, LOG_LINES, &lines);
    struct val *v = lines.failed
                        ? NULL
                        : text_contents(BYTES(LOGS_URI), "application/x-ndjson", buf_bytes(&lines));
    buf_fini(&lines);
    return v;
}

static void file_read_done(struct tool_req *r, int status, const struct tool_result *res,
                           const struct err *e)
{
    struct more_call *c = r->user;
    struct bytes text = res ? val_bytes(val_ptr(res->content, BYTES("/0/text"))) : BYTES_NONE;
    struct err why = {0};
    if (res && res->is_error) {
        status = err_set(&why, E_NOTFOUND, "%.*s", BYTES_FMT(bytes_first(text, 300)));
        e = &why;
    } else if (res) { // status is 0
        struct val *kind = val_ptr(res->content, BYTES("/0/type"));
        if (bytes_is(val_bytes(kind), "text")) {
            c->content = text_contents(bytes_of(c->uri), "text/plain", text);
        } else { // an image: its base64
            struct val *one = val_put_cstr(val_obj(), "uri", val_cstr(c->uri));
            one =
                val_put_cstr(one, "mimeType", val_ref(val_ptr(res->content, BYTES("/0/mimeType"))));
            c->content =
                val_push(val_arr(), val_put_cstr(one, "blob",
                                                 val_ref(val_ptr(res->content, BYTES("/0/data")))));
        }
    }
    call_end(c, status, e);
}

static int read_file(struct more_call *c, const struct tool_args *a, struct err *e)
{
    struct buf path;
    buf_init(&path, 8192);
    int status = url_path_decode(&path, bytes_from(bytes_of(c->uri), strlen(FILE_URI)), e);
    c->kind = MORE_FILE;
    c->inner = (struct tool_req){.done = file_read_done, .user = c};
    c->input = val_put_cstr(val_obj(), "path", val_str(buf_bytes(&path)));
    buf_fini(&path);
    struct tool_args args = *a;
    args.name = BYTES("read_file");
    args.input = c->input;
    struct tools *all = node_tools_all(c->m->node);
    if (status == 0)
        status = all && c->input ? tool_start(all, &args, &c->inner, e)
                                 : err_set(e, E_UNAVAILABLE, "this node is ending");
    if (status < 0)
        call_free(c);
    return status;
}

static void theirs_done(struct mcpc_req *r, int status, struct val *result, const struct err *e)
{
    struct more_call *c = r->user;
    struct val *list = val_get_cstr(result, c->kind == MORE_RESOURCE ? "contents" : "messages");
    struct val *description = val_get_cstr(result, "description");
    if (status == 0)
        c->content = list ? val_ref(list) : val_arr();
    if (status == 0 && description)
        c->structured = val_put_cstr(val_obj(), "description", val_ref(description));
    call_end(c, status, e);
}

static int read_any(struct mcpd_more *o, const struct tool_args *a, struct tool_req *r,
                    struct err *e)
{
    struct node_mcp *m = container_of(o, struct node_mcp, more);
    struct more_call *c = call_new(m, r, a->name);
    if (!c)
        return err_set(e, E_NOMEM, "out of memory");
    if (a->caller.admin && bytes_is(a->name, CALLS_URI))
        return tell_soon(c, calls_text(m), e);
    if (a->caller.admin && bytes_is(a->name, LOGS_URI))
        return tell_soon(c, logs_text(m), e);
    if (m->node->tools->prims && bytes_starts(a->name, BYTES(FILE_URI "/")))
        return read_file(c, a, e);
    c->kind = MORE_RESOURCE;
    c->theirs = (struct mcpc_req){.done = theirs_done, .user = c};
    int status = m->clients ? mcpc_read(m->clients, NULL, a->name, &a->caller, &c->theirs, e)
                            : err_set(e, E_NOTFOUND, "there is no resource %.*s",
                                      BYTES_FMT(bytes_first(a->name, 200)));
    if (status < 0)
        call_free(c);
    return status;
}

// ---- prompts ------------------------------------------------------------------------------------

static const char new_tool_arguments[] =
    "[{\"name\":\"what\",\"description\":\"What the tool does, in a sentence.\",\"required\":true},"
    "{\"name\":\"language\",\"description\":\"c, rust or ts\",\"required\":false}]";

static void each_prompt(void *user, const char *server, struct bytes name, const struct val *item)
{
    const struct items *x = user;
    (void)server;
    x->prompt(x->user, &(struct mcpd_prompt){.name = name,
                                             .title = word(item, "title"),
                                             .description = word(item, "description"),
                                             .arguments = val_get_cstr(item, "arguments")});
}

static void prompts(struct mcpd_more *o, const struct tool_caller *c,
                    void (*each)(void *user, const struct mcpd_prompt *p), void *user)
{
    struct node_mcp *m = container_of(o, struct node_mcp, more);
    AUTO(val) arguments = NULL;
    if (val_parse(&arguments, BYTES(new_tool_arguments), NULL) == 0)
        each(user, &(struct mcpd_prompt){
                       .name = BYTES(NEW_TOOL),
                       .title = BYTES("A new tool"),
                       .description = BYTES("How to write a capability in WebAssembly for plexus."),
                       .arguments = arguments});
    if (m->clients)
        mcpc_items(m->clients, MCPC_PROMPTS, c, each_prompt,
                   &(struct items){.prompt = each, .user = user});
}

static struct val *new_tool(const struct val *input)
{
    struct bytes what = word(input, "what"), language = word(input, "language");
    struct buf text;
    buf_init(&text, 16384);
    (void)buf_fmt(&text,
                  "Write a capability for plexus in %.*s: %.*s\n\n"
                  "It is a WebAssembly module with the Extism plugin ABI: each tool is an exported "
                  "function that reads its input as JSON, writes its output as JSON and returns 0. "
                  "It has no files, no network and no clock but what its manifest asks for and a "
                  "person grants.\n\n"
                  "1. plexus tool new NAME --lang %.*s makes the project.\n"
                  "2. Write the function and, in capability.json, its input and output schema and "
                  "some cases with their expected outputs.\n"
                  "3. plexus tool build NAME, plexus tool add NAME, plexus tool eval NAME.\n",
                  BYTES_FMT(language.n ? language : BYTES("C")), BYTES_FMT(what),
                  BYTES_FMT(language.n ? language : BYTES("c")));
    struct val *content = text.failed ? NULL : mcp_text_block(buf_bytes(&text));
    buf_fini(&text);
    struct val *message = val_put_cstr(val_obj(), "role", val_cstr("user"));
    return val_push(val_arr(), val_put_cstr(message, "content", content));
}

static int prompt(struct mcpd_more *o, const struct tool_args *a, struct tool_req *r, struct err *e)
{
    struct node_mcp *m = container_of(o, struct node_mcp, more);
    bool own = bytes_is(a->name, NEW_TOOL);
    if (own && !word(a->input, "what").n)
        return err_set(e, E_INVALID, "the argument \"what\" is needed");
    struct more_call *c = call_new(m, r, a->name);
    if (!c)
        return err_set(e, E_NOMEM, "out of memory");
    if (own)
        return tell_soon(c, new_tool(a->input), e);
    c->kind = MORE_PROMPT;
    c->theirs = (struct mcpc_req){.done = theirs_done, .user = c};
    int status = m->clients ? mcpc_prompt(m->clients, a->name, a->input, &a->caller, &c->theirs, e)
                            : err_set(e, E_NOTFOUND, "there is no prompt %.*s",
                                      BYTES_FMT(bytes_first(a->name, 200)));
    if (status < 0)
        call_free(c);
    return status;
}

static int complete(struct mcpd_more *o, const struct tool_args *a, struct tool_req *r,
                    struct err *e)
{
    static const char *const languages[] = {"c", "rust", "ts"};
    struct node_mcp *m = container_of(o, struct node_mcp, more);
    struct bytes name = val_bytes(val_ptr(a->input, BYTES("/argument/name"))),
                 begun = val_bytes(val_ptr(a->input, BYTES("/argument/value")));
    struct val *found = val_arr();
    struct more_call *c = call_new(m, r, a->name);
    if (!c) {
        val_unref(found);
        return err_set(e, E_NOMEM, "out of memory");
    }
    for (size_t i = 0; i < sizeof languages / sizeof *languages; i++)
        if (bytes_is(a->name, NEW_TOOL) && bytes_is(name, "language") &&
            bytes_starts(bytes_of(languages[i]), begun))
            found = val_push(found, val_cstr(languages[i]));
    return tell_soon(c, found, e);
}

static void cancel(struct mcpd_more *o, struct tool_req *r)
{
    struct more_call *c = r->priv;
    struct err e = {0};
    (void)o;
    if (!c)
        return;
    if (c->kind == MORE_FILE) {
        tool_cancel(node_tools_all(c->m->node), &c->inner);
    } else if (c->kind == MORE_KNOWN) {
        timer_stop(loop_timers(c->m->node->loop), &c->soon);
        call_end(c, err_set(&e, E_CANCELLED, "cancelled"), &e);
    } else {
        mcpc_cancel(c->m->clients, &c->theirs);
    }
}

static const struct mcpd_more_ops ops = {.resources = resources,
                                         .templates = templates,
                                         .prompts = prompts,
                                         .read = read_any,
                                         .prompt = prompt,
                                         .complete = complete,
                                         .cancel = cancel};

void node_mcp_more_init(struct node_mcp *m)
{
    m->more = (struct mcpd_more){.ops = &ops};
}
