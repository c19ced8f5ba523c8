// cli_mcp.c: plexus mcp: the node's MCP server on standard input and output, for clients that start
// a program (MCP, "stdio"): each line goes as one POST to the node's /mcp, what comes back is a
// line again. Sessions, header fields and streams that are taken up again are this side's matter.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "base/list.h"
#include "base/map.h"
#include "base/thread.h"
#include "cli/cli_commands_priv.h"
#include "mcp/mcp.h"
#include "text/sse.h"
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINE_BYTES_MAX ((size_t)64 << 20)
#define CALLS_MAX 256
#define MARKED_TOOLS_MAX 256
#define AGAIN_MS 500 // before a stream is taken up again
#define LOOK_MS 200 // how often a reader without input looks whether it is wanted
#define LAST_MS 2000 // for answers under way when the input has ended

static int mcp(struct cli *c, struct err *e);

static const char *const examples[] = {
    "plexus mcp", "what a client starts: {\"command\": \"plexus\", \"args\": [\"mcp\"]}",
    "plexus --node https://host:8000 mcp", "another node's, with PLEXUS_API_KEY in the environment",
    NULL};

static const struct cli_option options[] = {CLI_OPTIONS_END};

const struct cli_command cli_mcp_command = {
    .name = "mcp",
    .summary = "the node's tools, resources and prompts for an MCP client, on standard streams",
    .usage = "",
    .text =
        "What a client that starts its servers itself (an editor, a desktop assistant) runs: its\n"
        "messages go to the node's /mcp and back. All revisions of the protocol that the node\n"
        "speaks; docs/TOOLS.md has the lines for some clients.",
    .options = options,
    .examples = examples,
    .needs = CLI_NODE,
    .run = mcp,
};

struct bridge;
struct post { // a message on its way to the node, and what comes back
    struct list link;
    struct bridge *b;
    struct http_call *call;
    struct buf text, lines; // the message; header lines
    struct val *id; // of a request; NULL else
    struct sse_parser sse;
    struct buf body, last_id; // an answer that is no stream; what to come back with
    struct timer again;
    enum { POST_MESSAGE, POST_LISTEN, POST_BYE } kind;
    int status;
    bool stream, json, answered, first, modern, cancelled;
};

struct bridge {
    struct cli_node node;
    struct lock *lock;
    struct thread *reader;
    struct loop_wake *wake;
    // Under the lock: the line that was read and is not taken yet; the end of the input.
    struct buf line;
    bool full, eof;
    struct list posts;
    size_t count;
    struct val *begun; // the id of an initialize that is not answered: nothing is sent before that
    struct val *marked; // input schemas with x-mcp-header, by tool
    char session[128], version[32];
    struct timer last;
    bool listening, leaving;
    int rc;
};

// ---- standard streams --------------------------------------------------------------------------

static void say(struct bytes line)
{
    (void)fwrite(line.p, 1, line.n, stdout);
    (void)fputc('\n', stdout);
    (void)fflush(stdout);
}

static void say_val(struct val *takes_message)
{
    struct buf text;
    buf_init(&text, LINE_BYTES_MAX);
    if (takes_message && val_write(&text, takes_message) == 0)
        say(buf_bytes(&text));
    buf_fini(&text);
    val_unref(takes_message);
}

// The reader: hands over one line at a time, so that what the node cannot take waits in the pipe.
static void hand_over(struct bridge *b, struct bytes line, bool eof)
{
    lock_take(b->lock);
    while (b->full && !b->eof)
        lock_wait(b->lock, -1);
    if (!b->eof) {
        (void)buf_put(&b->line, line);
        b->full = line.n > 0;
        b->eof = eof;
        loop_wake_send(b->wake);
    }
    lock_give(b->lock);
}

// false: the loop has ended, nobody wants more.
static bool wait_input(struct bridge *b)
{
    struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
    for (;;) {
        lock_take(b->lock);
        bool ended = b->eof;
        lock_give(b->lock);
        if (ended)
            return false;
        if (poll(&p, 1, LOOK_MS) > 0)
            return true;
    }
}

static void reader_main(void *arg)
{
    struct bridge *b = arg;
    struct buf in;
    buf_init(&in, LINE_BYTES_MAX);
    while (wait_input(b)) {
        char part[65536];
        ssize_t n = read(STDIN_FILENO, part, sizeof part);
        if (n <= 0 || buf_add(&in, part, (size_t)n) < 0)
            break;
        ptrdiff_t end;
        while ((end = bytes_chr(buf_bytes(&in), '\n')) >= 0) {
            struct bytes line = bytes_trim(bytes_first(buf_bytes(&in), (size_t)end));
            if (line.n)
                hand_over(b, line, false);
            buf_drop(&in, (size_t)end + 1);
        }
    }
    hand_over(b, bytes_trim(buf_bytes(&in)), true);
    buf_fini(&in);
}

// ---- what comes back ---------------------------------------------------------------------------

static void post_start(struct post *p);
static void take_lines(struct bridge *b);

static bool has_mark(const struct val *schema)
{
    struct bytes key;
    struct val *v;
    if (val_get_cstr(schema, "x-mcp-header"))
        return true;
    for (size_t at = 0; val_each(schema, &at, &key, &v);)
        if ((val_is(v, JSON_OBJ) || val_is(v, JSON_ARR)) && has_mark(v))
            return true;
    return false;
}

// Tools whose arguments must stand in header fields, too.
static void note_tools(struct bridge *b, const struct val *result)
{
    const struct val *list = val_get_cstr(result, "tools");
    for (size_t i = 0; i < val_len(list) && val_len(b->marked) < MARKED_TOOLS_MAX; i++) {
        const struct val *tool = val_at(list, i);
        struct bytes name = val_bytes(val_get_cstr(tool, "name"));
        struct val *schema = val_get_cstr(tool, "inputSchema");
        if (name.n && has_mark(schema))
            b->marked = val_put(b->marked, name, val_ref(schema));
        else if (b->marked && val_get(b->marked, name))
            b->marked = val_del(b->marked, name);
    }
}

static void came(struct post *p, struct bytes text)
{
    struct bridge *b = p->b;
    AUTO(val) message = NULL;
    if (val_parse(&message, text, NULL) < 0)
        return;
    if (p->id && val_equal(val_get_cstr(message, "id"), p->id) &&
        !val_get_cstr(message, "method")) {
        const struct val *result = val_get_cstr(message, "result");
        p->answered = true;
        if (p->first)
            (void)snprintf(b->version, sizeof b->version, "%.31s",
                           val_text(val_get_cstr(result, "protocolVersion"), ""));
        if (val_get_cstr(result, "tools"))
            note_tools(b, result);
    }
    if (bytes_chr(text, '\n') < 0)
        say(text);
    else
        say_val(val_ref(message));
}

static void on_event(void *arg, const struct sse_event *ev)
{
    struct post *p = arg;
    if (ev->id.n) {
        buf_clear(&p->last_id);
        (void)buf_put(&p->last_id, ev->id);
    }
    if (ev->data.n)
        came(p, ev->data);
}

static void on_head(struct http_call *h, const struct http_head *head)
{
    struct post *p = http_call_user(h);
    struct bytes type = http_header(head, "Content-Type"),
                 session = http_header(head, "Mcp-Session-Id");
    p->status = head->status;
    p->stream = bytes_starts(type, BYTES("text/event-stream"));
    p->json = bytes_starts(type, BYTES("application/json"));
    if (p->first && head->status == 200 && session.n < sizeof p->b->session)
        (void)snprintf(p->b->session, sizeof p->b->session, "%.*s", BYTES_FMT(session));
}

static void on_body(struct http_call *h, const char *part, size_t n)
{
    struct post *p = http_call_user(h);
    struct bytes data = {part, n};
    if (p->stream)
        (void)sse_parser_feed(&p->sse, data, on_event, p);
    else
        (void)buf_put(&p->body, data);
}

static void post_free(struct post *p)
{
    list_del(&p->link);
    p->b->count--;
    timer_stop(loop_timers(p->b->node.loop), &p->again);
    sse_parser_fini(&p->sse);
    buf_fini(&p->text);
    buf_fini(&p->lines);
    buf_fini(&p->body);
    buf_fini(&p->last_id);
    val_unref(p->id);
    mem_free(p);
}

static void refuse(struct post *p, const char *why)
{
    if (p->id)
        say_val(jsonrpc_error(val_ref(p->id), JSONRPC_INTERNAL, bytes_of(why), NULL));
    else if (p->kind == POST_MESSAGE)
        (void)fprintf(stderr, "plexus mcp: %s\n", why);
}

// An answer that is no stream: the node's JSON-RPC, or what something before it says.
static void whole(struct post *p)
{
    char why[300];
    AUTO(val) v = NULL;
    if (p->json && val_parse(&v, buf_bytes(&p->body), NULL) == 0 &&
        (val_is(v, JSON_ARR) || val_get_cstr(v, "jsonrpc"))) {
        if (p->id || val_is(v, JSON_ARR))
            came(p, buf_bytes(&p->body));
        if (p->answered || !p->id)
            return;
    }
    if (p->status >= 400 || p->id) {
        (void)snprintf(why, sizeof why, "the node answers %d: %.200s", p->status,
                       val_text(val_ptr(v, BYTES("/error/message")), "nothing more"));
        refuse(p, why);
    }
}

static void on_again(struct timer *t)
{
    struct post *p = t->user;
    post_start(p);
}

// A stream that ended before its answer is taken up again, where it can be.
static bool again(struct post *p, int status)
{
    bool own = p->kind == POST_LISTEN;
    bool lost = p->stream && !p->answered && p->last_id.n && !p->modern;
    (void)status;
    if (p->b->leaving || p->cancelled || !(own ? p->b->listening && p->status != 405 : lost))
        return false;
    if (p->status >= 400)
        return false;
    sse_parser_fini(&p->sse);
    sse_parser_init(&p->sse, LINE_BYTES_MAX);
    return timer_start(loop_timers(p->b->node.loop), &p->again, AGAIN_MS) == 0;
}

static void listen_start(struct bridge *b);

static void leave_if_done(struct bridge *b)
{
    if (b->leaving && list_empty(&b->posts))
        cli_node_stop(&b->node);
}

static void on_end(struct http_call *h, int status, const struct err *e)
{
    struct post *p = http_call_user(h);
    struct bridge *b = p->b;
    p->call = NULL;
    if (again(p, status))
        return;
    if (p->cancelled || p->kind != POST_MESSAGE)
        ;
    else if (status < 0 && !p->answered)
        refuse(p, e && e->n ? e->text : err_info(status)->text);
    else if (!p->stream)
        whole(p);
    else if (p->id && !p->answered)
        refuse(p, "the node ended the stream before its answer");
    if (p->first) {
        val_unref(b->begun);
        b->begun = NULL;
    }
    post_free(p);
    take_lines(b);
    leave_if_done(b);
}

// ---- what goes out -----------------------------------------------------------------------------

static const struct http_call_handler handler = {on_head, on_body, on_end};

static struct post *post_new(struct bridge *b)
{
    struct post *p = mem_new(struct post);
    if (!p)
        return NULL;
    p->b = b;
    p->again = (struct timer){.fn = on_again, .user = p};
    buf_init(&p->text, LINE_BYTES_MAX);
    buf_init(&p->lines, 65536);
    buf_init(&p->body, LINE_BYTES_MAX);
    buf_init(&p->last_id, 256);
    sse_parser_init(&p->sse, LINE_BYTES_MAX);
    list_add_tail(&b->posts, &p->link);
    b->count++;
    return p;
}

static void put_session(struct post *p, struct buf *lines)
{
    struct bridge *b = p->b;
    if (b->session[0])
        (void)buf_fmt(lines, "Mcp-Session-Id: %s\r\n", b->session);
    if (b->version[0])
        (void)buf_fmt(lines, "MCP-Protocol-Version: %s\r\n", b->version);
}

static void post_start(struct post *p)
{
    struct bridge *b = p->b;
    struct err e = {0};
    struct buf lines;
    bool get = p->kind == POST_LISTEN || p->last_id.n;
    struct bytes body = buf_bytes(&p->text);
    buf_init(&lines, 131072);
    (void)buf_str(&lines, b->node.headers);
    if (get) {
        (void)buf_str(&lines, "Accept: text/event-stream\r\n");
        put_session(p, &lines);
        if (p->last_id.n)
            (void)buf_fmt(&lines, "Last-Event-ID: %.*s\r\n", BYTES_FMT(buf_bytes(&p->last_id)));
    } else if (p->kind == POST_BYE) {
        put_session(p, &lines);
    } else {
        (void)buf_str(&lines, "Content-Type: application/json\r\n"
                              "Accept: application/json, text/event-stream\r\n");
        (void)buf_put(&lines, buf_bytes(&p->lines));
    }
    struct http_call_args args = {.method = get                   ? BYTES("GET")
                                            : p->kind == POST_BYE ? BYTES("DELETE")
                                                                  : BYTES("POST"),
                                  .target = BYTES("/mcp"),
                                  .headers = buf_bytes(&lines),
                                  .body = &body,
                                  .body_count = get || p->kind == POST_BYE ? 0 : 1,
                                  .first_byte_ms = TIME_NEVER,
                                  .silence_ms = TIME_NEVER,
                                  .handler = &handler,
                                  .user = p};
    int rc = http_call_start(b->node.pool, &args, &p->call, &e);
    if (lines.p)
        mem_wipe(lines.p, lines.n);
    buf_fini(&lines);
    if (rc < 0) {
        refuse(p, e.text);
        post_free(p);
    }
}

static void listen_start(struct bridge *b)
{
    struct post *p = b->listening ? NULL : post_new(b);
    if (!p)
        return;
    b->listening = true;
    p->kind = POST_LISTEN;
    post_start(p);
}

static void modern_lines(struct post *p, const struct jsonrpc *m, const struct val *version)
{
    enum mcp_rev rev;
    struct bytes text = val_bytes(version);
    struct val *schema = bytes_is(m->method, "tools/call")
                             ? val_get(p->b->marked, val_bytes(val_get_cstr(m->params, "name")))
                             : NULL;
    p->modern = true;
    if (mcp_rev_of(text, &rev)) {
        (void)mcp_headers(&p->lines, rev, m->method, m->params, schema);
        return;
    }
    (void)buf_str(&p->lines, "MCP-Protocol-Version: "); // the node says which it knows
    (void)mcp_header_encode(&p->lines, bytes_first(text, 32));
    (void)buf_str(&p->lines, "\r\nMcp-Method: ");
    (void)mcp_header_encode(&p->lines, m->method);
    (void)buf_str(&p->lines, "\r\n");
}

// Of the modern revision: on standard streams a request is cancelled by a message, over HTTP by the
// end of its connection.
static bool cancelled_here(struct bridge *b, const struct jsonrpc *m)
{
    const struct val *id = val_get_cstr(m->params, "requestId");
    if (!bytes_is(m->method, "notifications/cancelled") || !id)
        return false;
    list_each (it, &b->posts) {
        struct post *p = container_of(it, struct post, link);
        if (!p->modern || !p->id || !val_equal(p->id, id))
            continue;
        p->cancelled = true;
        if (p->call)
            http_call_cancel(p->call);
        return true;
    }
    return false;
}

static void send_line(struct bridge *b, struct bytes line)
{
    struct err e = {0};
    struct jsonrpc m = {0};
    AUTO(val) message = NULL;
    if (val_parse(&message, line, &e) < 0) {
        say_val(jsonrpc_error(NULL, JSONRPC_PARSE, bytes_of(e.text), NULL));
        return;
    }
    bool array = val_is(message, JSON_ARR);
    if (!array && jsonrpc_read(&m, message, &e) < 0) {
        say_val(jsonrpc_error(m.id ? val_ref(m.id) : NULL, JSONRPC_REQUEST_INVALID,
                              bytes_of(e.text), NULL));
        return;
    }
    if (!array && m.kind == JSONRPC_NOTIFICATION && cancelled_here(b, &m))
        return;
    struct post *p = post_new(b);
    if (!p || buf_put(&p->text, line) < 0) {
        (void)fprintf(stderr, "plexus mcp: out of memory\n");
        if (p)
            post_free(p);
        return;
    }
    bool request = !array && m.kind == JSONRPC_REQUEST;
    const struct val *version = array ? NULL : mcp_meta_of(m.params, MCP_META_VERSION);
    p->id = request ? val_ref(m.id) : NULL;
    p->first = request && bytes_is(m.method, "initialize") && !version;
    if (version)
        modern_lines(p, &m, version);
    else if (!p->first)
        put_session(p, &p->lines);
    if (p->first) {
        b->session[0] = b->version[0] = 0;
        b->begun = val_ref(m.id);
    }
    bool ready = m.kind == JSONRPC_NOTIFICATION && bytes_is(m.method, "notifications/initialized");
    post_start(p);
    if (ready && b->session[0])
        listen_start(b);
}

// ---- the end -----------------------------------------------------------------------------------

static void end_all(struct bridge *b)
{
    list_each_safe (it, &b->posts) {
        struct post *p = container_of(it, struct post, link);
        p->cancelled = true;
        if (p->call)
            http_call_cancel(p->call);
        else
            post_free(p);
    }
}

static void leave(struct bridge *b)
{
    struct post *bye;
    b->leaving = true;
    end_all(b);
    if (b->session[0] && (bye = post_new(b))) {
        bye->kind = POST_BYE;
        post_start(bye);
    }
    leave_if_done(b);
}

static void on_last(struct timer *t)
{
    struct bridge *b = t->user;
    if (!b->leaving) {
        leave(b);
        if (!list_empty(&b->posts) && timer_start(loop_timers(b->node.loop), t, LAST_MS) == 0)
            return;
    }
    cli_node_stop(&b->node); // the node does not say good-bye
}

static bool waits(const struct bridge *b)
{
    list_each (it, &b->posts) {
        const struct post *p = container_of(it, struct post, link);
        if (p->kind == POST_MESSAGE && p->id)
            return true;
    }
    return false;
}

static void take_lines(struct bridge *b)
{
    for (;;) {
        struct buf line;
        bool eof, full = false;
        if (b->leaving || b->begun || b->count >= CALLS_MAX)
            return;
        buf_init(&line, LINE_BYTES_MAX);
        lock_take(b->lock);
        eof = b->eof && !b->full;
        if (b->full) {
            struct buf empty = line;
            line = b->line;
            b->line = empty;
            b->full = false;
            full = true;
            lock_wake(b->lock);
        }
        lock_give(b->lock);
        if (full)
            send_line(b, buf_bytes(&line));
        buf_fini(&line);
        if (full)
            continue;
        if (eof && !waits(b))
            leave(b);
        else if (eof && !b->last.due_ms)
            (void)timer_start(loop_timers(b->node.loop), &b->last, LAST_MS);
        return;
    }
}

static void on_wake(void *user)
{
    take_lines(user);
}

static void on_interrupt(void *user)
{
    leave(user);
}

static int mcp(struct cli *c, struct err *e)
{
    struct bridge b = {0};
    struct buf said;
    buf_init(&said, 65536);
    int rc = cli_request(c, "GET", "/health", BYTES_NONE, &said, e); // is there a node?
    buf_fini(&said);
    if (!rc)
        rc = cli_node_open(&b.node, c, e);
    if (rc)
        return rc;
    list_init(&b.posts);
    buf_init(&b.line, LINE_BYTES_MAX);
    b.last = (struct timer){.fn = on_last, .user = &b};
    b.marked = val_obj();
    b.lock = lock_new();
    if (!b.lock || loop_wake_new(b.node.loop, on_wake, &b, &b.wake))
        rc = err_set(e, E_NOMEM, "out of memory");
    if (!rc)
        rc = cli_node_interrupt(&b.node, on_interrupt, &b);
    if (!rc)
        rc = thread_start(&b.reader, "stdin", reader_main, &b);
    if (!rc)
        rc = cli_node_run(&b.node);
    if (b.reader) {
        lock_take(b.lock);
        b.eof = true; // the reader sees it soon
        lock_wake(b.lock);
        lock_give(b.lock);
        thread_join(b.reader);
    }
    loop_wake_free(b.wake);
    lock_free(b.lock);
    buf_fini(&b.line);
    val_unref(b.marked);
    val_unref(b.begun);
    cli_node_close(&b.node);
    return rc;
}
