// cli_bus.c: plexus bus: what the bus is; pub, sub, tail, req.
// SPDX-License-Identifier: Apache-2.0
#include "cli/cli_commands_priv.h"
#include "text/cloudevent.h"
#include "text/sse.h"
#include "text/url.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

#define EVENT_MAX ((size_t)8 << 20)
#define DATA_MAX ((size_t)1 << 20)
#define SHOWN_MAX 100 // characters of data in a line of tail

static int show(struct cli *c, struct err *e);
static int pub(struct cli *c, struct err *e);
static int sub(struct cli *c, struct err *e);
static int req(struct cli *c, struct err *e);

static const struct cli_option pub_options[] = {
    {"label", 'l', "LABEL", "such as confidential:eng; default: labels.default of the node", NULL},
    {"id", 0, "ID", "a stored message with an id seen lately is a duplicate", NULL},
    {"type", 't', "TYPE", "of the event, such as org.example.detected", NULL},
    {"durable", 'd', NULL, "into the store, acknowledged", NULL},
    CLI_OPTIONS_END,
};
static const struct cli_option sub_options[] = {
    {"queue", 'q', "GROUP", "each message goes to one of the group's members", NULL},
    {"durable", 'd', "NAME", "out of the store, by a cursor that is kept by this name", NULL},
    {"from", 'f', "TIME", "out of the store: new, start, a time, or a duration ago such as 10m",
     "new|start"},
    {"count", 'n', "N", "end after so many messages", NULL},
    CLI_OPTIONS_END,
};
static const struct cli_option tail_options[] = {
    {"from", 'f', "TIME", "out of the store: new, start, a time, or a duration ago such as 10m",
     "new|start"},
    {"count", 'n', "N", "end after so many messages", NULL},
    CLI_OPTIONS_END,
};
static const struct cli_option req_options[] = {
    {"label", 'l', "LABEL", "such as confidential:eng; default: labels.default of the node", NULL},
    {"timeout", 0, "TIME", "how long to wait; default 5s", NULL},
    CLI_OPTIONS_END,
};
static const struct cli_command subs[] = {
    {.name = "pub",
     .summary = "send a message; DATA - or none: standard input",
     .usage = "SUBJECT [DATA|-]",
     .options = pub_options,
     .needs = CLI_NODE,
     .args_min = 1,
     .args_max = 2,
     .run = pub},
    {.name = "sub",
     .summary = "print the data of messages as they come, one a line, until Ctrl-C",
     .usage = "PATTERN",
     .options = sub_options,
     .needs = CLI_NODE,
     .args_min = 1,
     .args_max = 1,
     .run = sub},
    {.name = "tail",
     .summary = "show messages as they come, with time, subject, label and data; all when PATTERN "
                "is left out",
     .usage = "[PATTERN]",
     .options = tail_options,
     .needs = CLI_NODE,
     .args_max = 1,
     .run = sub},
    {.name = "req",
     .summary = "send a message and print the first answer's data",
     .usage = "SUBJECT [DATA|-]",
     .options = req_options,
     .needs = CLI_NODE,
     .args_min = 1,
     .args_max = 2,
     .run = req},
    {.name = NULL},
};
static const char *const examples[] = {"plexus bus tail",
                                       "everything that is said",
                                       "plexus bus pub dev.organs.vision.detect '{\"cat\":0.9}'",
                                       "a message to who listens now",
                                       "plexus bus sub 'dev.organs.>' --durable worker",
                                       "stored ones, each once, also after a break",
                                       NULL};

const struct cli_command cli_bus_command = {
    .name = "bus",
    .summary = "messages: send, listen, ask; its state",
    .usage = "[COMMAND]",
    .examples = examples,
    .subs = subs,
    .needs = CLI_NODE,
    .run = show,
};

// ---- its state ----------------------------------------------------------------------------------

static long long total(const struct json *root, const char *name)
{
    return (long long)json_i64(json_get(json_get(root, "totals"), name), 0);
}

static int show(struct cli *c, struct err *e)
{
    struct json_doc *doc = NULL;
    struct buf raw;
    buf_init(&raw, CLI_ANSWER_MAX);
    int rc = cli_request_json(c, "GET", "/api/bus", BYTES_NONE, &doc, &raw, e);
    const struct json *r = json_root(doc), *store = json_get(r, "store");
    if (!rc && c->json) {
        rc = cli_print(buf_bytes(&raw), stdout);
    } else if (!rc) {
        const char *status = json_cstr(json_get(r, "status"), "");
        const char *server = json_cstr(json_get(r, "server"), NULL);
        (void)printf("%s bus of environment %s, ", json_cstr(json_get(r, "engine"), ""),
                     json_cstr(json_get(r, "environment"), ""));
        cli_paint_put(c, strcmp(status, "connected") != 0 ? PAINT_YELLOW : PAINT_GREEN, status,
                      stdout);
        const char *note = json_cstr(json_get(r, "note"), NULL);
        (void)printf("%s%s\n", server ? " " : "", server ? server : "");
        if (note)
            (void)printf("%s\n", note);
        (void)printf("published %lld   stored %lld   delivered %lld   again %lld   dead %lld\n",
                     total(r, "published"), total(r, "stored"), total(r, "delivered"),
                     total(r, "redelivered"), total(r, "dead"));
        (void)printf("duplicates %lld   refused %lld   dropped %lld   full %lld   lost %lld\n",
                     total(r, "duplicates"), total(r, "refused"), total(r, "dropped"),
                     total(r, "full"), total(r, "lost"));
        if (json_i64(json_get(store, "messages"), 0))
            (void)printf("store: %lld messages, %s\n",
                         (long long)json_i64(json_get(store, "messages"), 0),
                         cli_size((uint64_t)json_i64(json_get(store, "bytes"), 0)).s);
    }
    json_free(doc);
    buf_fini(&raw);
    return rc;
}

// ---- send ---------------------------------------------------------------------------------------

static int read_input(struct buf *to, struct err *e)
{
    ssize_t n;
    do {
        char *p = buf_room(to, 65536);
        if (!p)
            return err_set(e, to->failed, "standard input has more than 1 MiB");
        n = read(STDIN_FILENO, p, 65536);
        if (n < 0 && errno != EINTR)
            return err_errno(e, errno, "standard input");
        to->n += n > 0 ? (size_t)n : 0;
    } while (n);
    return 0;
}

// Text is sent as text, an object or a list as JSON, bytes as such.
static void put_data(struct json_w *w, struct bytes data)
{
    struct json_doc *doc = NULL;
    if (!data.n)
        return;
    if (json_parse(&doc, data, 0, NULL) == 0 &&
        (json_is(json_root(doc), JSON_OBJ) || json_is(json_root(doc), JSON_ARR))) {
        json_w_val(w, "data", json_root(doc));
    } else if (bytes_is_utf8(data)) {
        json_w_str(w, "data", data);
    } else {
        json_w_raw(w, "data_base64", BYTES("\""));
        (void)cloudevent_put_base64(w->out, data);
        (void)buf_chr(w->out, '"');
    }
    json_free(doc);
}

static void put_option(struct cli *c, struct json_w *w, const char *option, const char *member)
{
    const char *value = cli_option(c, option);
    if (value)
        json_w_cstr(w, member, value);
}

static int put_body(struct cli *c, struct buf *body, struct err *e)
{
    const char *word = cli_arg(c, 1);
    struct buf input;
    struct json_w w;
    int rc = 0;
    buf_init(&input, DATA_MAX + 65536);
    if (!word || !strcmp(word, "-"))
        rc = read_input(&input, e);
    json_w_init(&w, body);
    json_w_obj(&w, NULL);
    json_w_cstr(&w, "subject", cli_arg(c, 0));
    put_data(&w, word && strcmp(word, "-") != 0 ? bytes_of(word) : buf_bytes(&input));
    put_option(c, &w, "label", "label");
    put_option(c, &w, "id", "id");
    put_option(c, &w, "type", "type");
    put_option(c, &w, "timeout", "timeout");
    if (cli_option(c, "durable"))
        json_w_bool(&w, "stored", true);
    json_w_end(&w);
    buf_fini(&input);
    return rc ? rc : body->failed;
}

static int pub(struct cli *c, struct err *e)
{
    struct json_doc *doc = NULL;
    struct buf body, raw;
    buf_init(&body, EVENT_MAX);
    buf_init(&raw, CLI_TEXT_MAX);
    int rc = put_body(c, &body, e);
    if (!rc)
        rc = cli_request_json(c, "POST", "/api/bus/publish", buf_bytes(&body), &doc, &raw, e);
    const struct json *r = json_root(doc);
    if (!rc && c->json)
        rc = cli_print(buf_bytes(&raw), stdout);
    else if (!rc && json_bool(json_get(r, "stored"), false))
        (void)printf("stored as %s%s\n", json_cstr(json_get(r, "sequence"), "?"),
                     json_bool(json_get(r, "duplicate"), false) ? ", before: a duplicate" : "");
    json_free(doc);
    buf_fini(&body);
    buf_fini(&raw);
    return rc;
}

// ---- what comes ---------------------------------------------------------------------------------

// The data of an event on one line, as it was sent.
static void put_event_data(struct buf *out, const struct cloudevent *v, bool safe, size_t most)
{
    struct bytes data = v->data;
    if (v->kind == CLOUDEVENT_BYTES && safe) {
        (void)buf_fmt(out, "%zu bytes", data.n);
        return;
    }
    if (!safe) {
        (void)buf_put(out, data);
        return;
    }
    bool cut = data.n > most;
    data = bytes_first(data, most);
    while (cut && data.n && !bytes_is_utf8(data)) // not within a character
        data.n--;
    cli_put_safe(out, data);
    if (cut)
        (void)buf_str(out, "...");
}

static int req(struct cli *c, struct err *e)
{
    struct buf body, raw, out;
    struct cloudevent v;
    struct arena *a = arena_new(EVENT_MAX * 2);
    buf_init(&body, EVENT_MAX);
    buf_init(&raw, CLI_ANSWER_MAX);
    buf_init(&out, EVENT_MAX);
    int rc = a ? put_body(c, &body, e) : err_set(e, E_NOMEM, "out of memory");
    if (!rc)
        rc = cli_request(c, "POST", "/api/bus/request", buf_bytes(&body), &raw, e);
    if (!rc && c->json) {
        rc = cli_print(buf_bytes(&raw), stdout);
    } else if (!rc && (rc = cloudevent_parse(&v, a, buf_bytes(&raw), e)) == 0) {
        put_event_data(&out, &v, isatty(STDOUT_FILENO), EVENT_MAX);
        rc = cli_print(buf_bytes(&out), stdout);
    }
    buf_fini(&body);
    buf_fini(&raw);
    buf_fini(&out);
    arena_free(a);
    return rc;
}

struct listening {
    struct cli *c;
    struct cli_node node;
    struct cli_call call;
    struct sse_parser parser;
    struct arena *arena;
    uint64_t left; // messages; UINT64_MAX: no end
    bool tail, done;
    int rc;
    struct err e;
};

// The colours of the domains in the console: cognitive violet, nervous cyan, organs coral.
static enum cli_paint domain_paint(struct bytes subject)
{
    struct bytes rest = subject, domain;
    (void)bytes_cut(&rest, '.');
    domain = bytes_cut(&rest, '.');
    return bytes_is(domain, "cognitive") ? PAINT_BOLD
           : bytes_is(domain, "nervous") ? PAINT_CYAN
           : bytes_is(domain, "organs")  ? PAINT_YELLOW
                                         : PAINT_NONE;
}

static void print_tail(struct listening *l, const struct cloudevent *v)
{
    struct bytes channel = cloudevent_find(v, "channel"), label = cloudevent_find(v, "label");
    struct bytes clock = bytes_first(bytes_from(v->time, 11), 12); // out of RFC 3339
    struct buf text;
    buf_init(&text, 65536);
    cli_put_safe(&text, clock);
    cli_paint_put(l->c, PAINT_DIM, buf_cstr(&text), stdout);
    (void)putchar(' ');
    buf_clear(&text);
    cli_put_safe(&text, channel);
    cli_paint_put(l->c, domain_paint(channel), buf_cstr(&text), stdout);
    buf_clear(&text);
    if (label.n) {
        (void)buf_str(&text, " [");
        cli_put_safe(&text, label);
        (void)buf_chr(&text, ']');
    }
    if (cloudevent_find(v, "tries").n) {
        (void)buf_str(&text, " try ");
        cli_put_safe(&text, cloudevent_find(v, "tries"));
    }
    (void)buf_str(&text, "  ");
    put_event_data(&text, v, true, SHOWN_MAX);
    (void)printf("%s\n", buf_cstr(&text));
    buf_fini(&text);
}

static void print_data(const struct cloudevent *v)
{
    struct buf text;
    buf_init(&text, EVENT_MAX);
    put_event_data(&text, v, isatty(STDOUT_FILENO), EVENT_MAX);
    (void)buf_chr(&text, '\n');
    (void)fwrite(text.p, 1, text.n, stdout);
    buf_fini(&text);
}

static void finish(struct listening *l)
{
    l->done = true;
    cli_call_cancel(&l->call);
}

static void on_error(struct listening *l, struct bytes data)
{
    struct json_doc *doc = NULL;
    if (json_parse(&doc, data, 0, NULL) == 0) {
        const struct json *x = json_get(json_root(doc), "error");
        int code = err_of_symbol(json_cstr(json_get(x, "code"), ""));
        l->rc = err_set(&l->e, code ? code : E_INTERNAL, "%s",
                        json_cstr(json_get(x, "message"), "the subscription failed"));
    }
    json_free(doc);
    finish(l);
}

static void on_event(void *arg, const struct sse_event *event)
{
    struct listening *l = arg;
    struct cloudevent v;
    struct err e = {0};
    if (l->done)
        return;
    if (bytes_is(event->event, "error")) {
        on_error(l, event->data);
        return;
    }
    if (!bytes_is(event->event, "message"))
        return;
    if (l->c->json) {
        (void)cli_print(event->data, stdout);
    } else {
        arena_reset(l->arena);
        if (cloudevent_parse(&v, l->arena, event->data, &e)) {
            (void)fprintf(stderr, "plexus: %s\n", e.text);
            return;
        }
        if (l->tail)
            print_tail(l, &v);
        else
            print_data(&v);
    }
    (void)fflush(stdout);
    if (l->left != UINT64_MAX && --l->left == 0)
        finish(l);
}

static void on_data(void *user, struct bytes part)
{
    struct listening *l = user;
    if (!l->done && sse_parser_feed(&l->parser, part, on_event, l)) {
        l->rc = err_set(&l->e, E_TOOBIG, "an event of the node is too large");
        finish(l);
    }
}

static void on_end(void *user, int code, const struct err *e)
{
    struct listening *l = user;
    if (!l->done && !l->node.interrupted) {
        l->rc = code;
        if (code && e)
            l->e = *e;
    }
    cli_node_stop(&l->node);
}

static void on_interrupt(void *user)
{
    struct listening *l = user;
    cli_call_cancel(&l->call);
}

static void put_query(struct cli *c, struct buf *target, const char *option)
{
    const char *value = cli_option(c, option);
    if (!value)
        return;
    (void)buf_fmt(target, "&%s=", option);
    (void)url_encode(target, bytes_of(value));
}

static int put_target(struct cli *c, struct buf *target, bool tail, struct err *e)
{
    struct json_doc *doc = NULL;
    struct buf raw, all;
    const char *pattern = cli_arg(c, 0);
    int rc = 0;
    buf_init(&raw, CLI_TEXT_MAX);
    buf_init(&all, 64);
    if (!pattern) { // everything: of which environment, the node knows
        rc = cli_request_json(c, "GET", "/api/bus", BYTES_NONE, &doc, &raw, e);
        (void)buf_fmt(&all, "%s.>", json_cstr(json_get(json_root(doc), "environment"), "dev"));
        pattern = buf_cstr(&all);
    }
    (void)buf_str(target, "/api/bus/subscribe?pattern=");
    (void)url_encode(target, bytes_of(pattern));
    put_query(c, target, "from");
    if (!tail) {
        put_query(c, target, "queue");
        put_query(c, target, "durable");
    }
    json_free(doc);
    buf_fini(&raw);
    buf_fini(&all);
    return rc ? rc : target->failed ? err_set(e, E_USAGE, "the pattern is too long") : 0;
}

static int listen_to(struct cli *c, struct listening *l, const char *target, struct err *e)
{
    int rc = cli_node_open(&l->node, c, e);
    if (rc)
        return rc;
    l->call = (struct cli_call){
        .method = "GET", .target = target, .on_data = on_data, .on_end = on_end, .user = l};
    rc = cli_node_interrupt(&l->node, on_interrupt, l);
    if (!rc)
        rc = cli_call_start(&l->node, &l->call, e);
    if (!rc) {
        (void)cli_node_run(&l->node);
        rc = l->rc;
        if (rc && e)
            *e = l->e;
    }
    cli_node_close(&l->node);
    cli_call_fini(&l->call);
    return rc;
}

static int sub(struct cli *c, struct err *e)
{
    struct listening l = {.c = c, .left = UINT64_MAX};
    struct buf target;
    l.tail = !strcmp(c->path[c->depth - 1]->name, "tail");
    int rc = cli_option_u64(c, "count", 1, 1000000000, &l.left, e);
    if (rc)
        return rc;
    buf_init(&target, 8192);
    l.arena = arena_new(EVENT_MAX * 2);
    sse_parser_init(&l.parser, EVENT_MAX);
    rc = l.arena ? put_target(c, &target, l.tail, e) : err_set(e, E_NOMEM, "out of memory");
    if (!rc)
        rc = listen_to(c, &l, buf_cstr(&target), e);
    sse_parser_fini(&l.parser);
    arena_free(l.arena);
    buf_fini(&target);
    return rc;
}
