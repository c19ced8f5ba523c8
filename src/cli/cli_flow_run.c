// cli_flow_run.c: plexus flow run and tail: start a run, watch it by its events, give its output.
// The run does not need us: when the watcher goes it goes on, and when the node ends the watcher
// waits for it to be back. SPDX-License-Identifier: Apache-2.0
#include "cli/cli_flow_priv.h"
#include "text/sse.h"
#include <string.h>
#include <time.h>
#include <unistd.h>

#define EVENT_BYTES_MAX ((size_t)64 << 20)
#define TASKS_MAX 256 // whose start is remembered
#define BACK_TRIES 60 // how often the node is looked for when it went ...
#define BACK_MS 500   // ... and how long between

struct begun { // a task that was seen to begin
    char name[100];
    uint64_t hash; // of its pointer
    int64_t at_ms;
};

struct watch {
    struct cli *c;
    const char *id;
    FILE *to;   // where lines go; NULL: nowhere
    struct cli_node node;
    struct cli_call call;
    struct sse_parser sse;
    struct begun tasks[TASKS_MAX];
    size_t next;
    int64_t last_ms; // when the newest end that was told was
    bool known;   // the run is there
    bool ended;   // the run has
    char status[40];
    int rc;
    struct err e;
};

// ---- lines --------------------------------------------------------------------------------------

static void put_line(struct watch *w, struct bytes time, const char *state, const char *text)
{
    const struct cli_flow_look *look = cli_flow_look(state);
    struct buf clock;
    if (!w->to)
        return;
    cli_status(NULL);
    buf_init(&clock, 64);
    cli_put_safe(&clock, bytes_first(bytes_from(time, 11), 12)); // out of RFC 3339
    cli_paint_put(w->c, PAINT_DIM, buf_cstr(&clock), w->to);
    (void)fprintf(w->to, "%s", clock.n ? " " : "");
    cli_paint_put(w->c, look->paint, look->glyph, w->to);
    (void)fprintf(w->to, " %s\n", text);
    (void)fflush(w->to);
    buf_fini(&clock);
}

static void begins(struct watch *w, const char *name, struct bytes pointer, int64_t at_ms)
{
    struct begun *b = &w->tasks[w->next++ % TASKS_MAX];
    (void)snprintf(b->name, sizeof b->name, "%s", name);
    b->hash = bytes_hash(pointer);
    b->at_ms = at_ms;
}

static int64_t ends(struct watch *w, struct bytes pointer, int64_t at_ms)
{
    uint64_t hash = bytes_hash(pointer);
    for (size_t i = 0; i < TASKS_MAX; i++)
        if (w->tasks[i].hash == hash && w->tasks[i].at_ms) {
            int64_t took = at_ms - w->tasks[i].at_ms;
            w->tasks[i] = (struct begun){0};
            return took;
        }
    return -1;
}

// What runs now, in the one line that is rewritten.
static void show_status(struct watch *w, const char *more)
{
    struct buf text;
    if (!w->to)
        return;
    buf_init(&text, 4096);
    for (size_t i = 0; i < TASKS_MAX && text.n < 300; i++)
        if (w->tasks[i].at_ms)
            (void)buf_fmt(&text, "%s%s", text.n ? ", " : "● ", w->tasks[i].name);
    if (more && *more)
        (void)buf_fmt(&text, ": %s", more);
    cli_status(text.n ? buf_cstr(&text) : NULL);
    buf_fini(&text);
}

static void task_line(struct watch *w, const char *state, struct bytes time, const char *name,
                      const struct json *data, int64_t took)
{
    struct buf text;
    buf_init(&text, 64 << 10);
    (void)buf_str(&text, name);
    if (strcmp(state, "completed") != 0)
        (void)buf_fmt(&text, " %s", state);
    if (took >= 0)
        (void)buf_fmt(&text, "  %s", cli_duration(took).s);
    if (json_i64(json_get(data, "attempt"), 0) > 1)
        (void)buf_fmt(&text, "  attempt %lld", (long long)json_i64(json_get(data, "attempt"), 0));
    if (json_is(json_get(data, "error"), JSON_OBJ)) {
        (void)buf_str(&text, "  ");
        cli_flow_put_problem(&text, json_get(data, "error"));
    }
    put_line(w, time, state, buf_cstr(&text));
    buf_fini(&text);
}

// "io.serverlessworkflow.task.completed.v1": the words "task" and "completed".
static bool type_words(struct bytes type, struct bytes *of, char state[32])
{
    if (!bytes_starts(type, BYTES("io.serverlessworkflow.")))
        return false;
    struct bytes rest = bytes_from(type, strlen("io.serverlessworkflow."));
    *of = bytes_cut(&rest, '.');
    struct bytes word = bytes_first(bytes_cut(&rest, '.'), 31);
    (void)snprintf(state, 32, "%.*s", BYTES_FMT(word));
    return *state;
}

static bool is_function(struct bytes pointer)
{
    const struct bytes of = BYTES("/use/functions/");
    return bytes_starts(pointer, of) && bytes_chr(bytes_from(pointer, of.n), '/') < 0;
}

static bool is_end(const char *state)
{
    return !strcmp(state, "completed") || !strcmp(state, "faulted") || !strcmp(state, "cancelled");
}

static void on_life(struct watch *w, const struct json *v)
{
    const struct json *data = json_get(v, "data");
    struct bytes time = json_str(json_get(v, "time")), of, task = json_str(json_get(data, "task"));
    char state[32];
    struct buf name;
    if (!type_words(json_str(json_get(v, "type")), &of, state))
        return;
    int64_t at = cli_flow_ms(json_get(v, "time"));
    w->last_ms = at > w->last_ms ? at : w->last_ms;
    if (bytes_is(of, "workflow")) {
        if (!strcmp(state, "suspended") || !strcmp(state, "resumed"))
            put_line(w, time, state, state);
        return;
    }
    if (!strcmp(state, "status-changed"))
        (void)snprintf(state, sizeof state, "%s", json_cstr(json_get(data, "status"), "waiting"));
    if (is_function(task) && strcmp(state, "faulted") != 0)
        return; // the task that calls it says the same
    buf_init(&name, 4096);
    cli_flow_task_name(&name, task);
    if (!name.n)
        cli_put_safe(&name, task);
    if (!strcmp(state, "started") || !strcmp(state, "created"))
        begins(w, buf_cstr(&name), task, at);
    else
        task_line(w, state, time, buf_cstr(&name), data, is_end(state) ? ends(w, task, at) : -1);
    show_status(w, NULL);
    buf_fini(&name);
}

// The run as it is when we begin to look: what is over is told in short.
static void on_run(struct watch *w, const struct json *r)
{
    struct json_iter it = {0};
    const struct json *v;
    struct buf name;
    buf_init(&name, 4096);
    memset(w->tasks, 0, sizeof w->tasks);
    while (json_each(json_get(json_get(r, "view"), "tasks"), &it, NULL, &v)) {
        const char *state = json_cstr(json_get(v, "state"), "");
        struct bytes pointer = json_str(json_get(v, "task"));
        int64_t started = cli_flow_ms(json_get(v, "started"));
        int64_t ended = cli_flow_ms(json_get(v, "ended"));
        buf_clear(&name);
        cli_flow_task_name(&name, pointer);
        if (is_function(pointer))
            continue;
        if (ended > w->last_ms) {
            w->last_ms = ended;
            char clock[TIME_TEXT_LEN + 1];
            time_text(ended, clock);
            task_line(w, state, bytes_of(clock), buf_cstr(&name), v, ended - started);
        } else if (!ended && started) {
            begins(w, buf_cstr(&name), pointer, started);
        }
    }
    const char *status = json_cstr(json_get(r, "status"), "");
    if (!strcmp(status, "stalled") || !strcmp(status, "suspended"))
        put_line(w, BYTES_NONE, status, status);
    w->known = true;
    show_status(w, NULL);
    buf_fini(&name);
}

// A model's text so far: its end.
static void on_progress(struct watch *w, const struct json *data)
{
    struct bytes text = json_str(json_ptr(data, BYTES("/detail/text")));
    struct buf line;
    if (!text.n)
        return;
    size_t skip = text.n > 200 ? text.n - 200 : 0;
    while (skip < text.n && ((unsigned char)text.p[skip] & 0xc0) == 0x80)
        skip++;
    buf_init(&line, 4096);
    cli_put_safe(&line, bytes_from(text, skip));
    show_status(w, buf_cstr(&line));
    buf_fini(&line);
}

// ---- the stream ---------------------------------------------------------------------------------

static void on_event(void *arg, const struct sse_event *event)
{
    struct watch *w = arg;
    struct json_doc *doc = NULL;
    if (w->ended || json_parse(&doc, event->data, 0, NULL))
        return;
    const struct json *data = json_root(doc);
    if (w->c->json && w->to)
        (void)fprintf(w->to, "{\"event\":\"%.*s\",\"data\":%.*s}\n", BYTES_FMT(event->event),
                      BYTES_FMT(event->data));
    else if (bytes_is(event->event, "run"))
        on_run(w, data);
    else if (bytes_is(event->event, "flow"))
        on_life(w, data);
    else if (bytes_is(event->event, "progress"))
        on_progress(w, data);
    if (bytes_is(event->event, "end")) {
        (void)snprintf(w->status, sizeof w->status, "%s", json_cstr(json_get(data, "status"), ""));
        w->ended = true;
    }
    json_free(doc);
}

static void on_data(void *user, struct bytes part)
{
    struct watch *w = user;
    if (!w->rc && sse_parser_feed(&w->sse, part, on_event, w)) {
        w->rc = err_set(&w->e, E_TOOBIG, "an event of the node is too large");
        cli_call_cancel(&w->call);
    }
}

static void on_end(void *user, int code, const struct err *e)
{
    struct watch *w = user;
    if (!w->rc && code && !w->node.interrupted) {
        w->rc = code;
        if (e)
            w->e = *e;
    }
    cli_node_stop(&w->node);
}

static void on_interrupt(void *user)
{
    struct watch *w = user;
    cli_call_cancel(&w->call);
}

static int look_once(struct watch *w, const char *target, struct err *e)
{
    int rc = cli_node_open(&w->node, w->c, e);
    if (rc)
        return rc;
    w->rc = 0;
    w->call = (struct cli_call){
        .method = "GET", .target = target, .on_data = on_data, .on_end = on_end, .user = w};
    sse_parser_init(&w->sse, EVENT_BYTES_MAX);
    rc = cli_node_interrupt(&w->node, on_interrupt, w);
    if (!rc)
        rc = cli_call_start(&w->node, &w->call, e);
    if (!rc) {
        (void)cli_node_run(&w->node);
        rc = w->rc;
        if (rc && e)
            *e = w->e;
    }
    cli_node_close(&w->node);
    cli_call_fini(&w->call);
    sse_parser_fini(&w->sse);
    return rc;
}

// Until the run has ended (0), Ctrl-C (E_CANCELLED), or nobody tells us more.
static int watch(struct watch *w, struct err *e)
{
    struct buf target;
    struct timespec pause = {.tv_nsec = BACK_MS * 1000000L};
    int rc, tries = BACK_TRIES;
    buf_init(&target, 4096);
    rc = cli_flow_target(&target, w->id, "events", e);
    while (!rc && !w->ended) {
        rc = look_once(w, buf_cstr(&target), e);
        if (w->node.interrupted) {
            rc = E_CANCELLED;
        } else if (!w->ended && w->known && tries-- > 0 && (!rc || err_info(rc)->retry)) {
            cli_status("the node has gone; the run goes on when it is back ...");
            (void)nanosleep(&pause, NULL);
            rc = 0;
        } else if (!w->ended && !rc) {
            rc = err_set(e, E_UNAVAILABLE, "the node has gone; the run goes on when it is back");
        }
    }
    cli_status(NULL);
    buf_fini(&target);
    return rc;
}

// ---- its end ------------------------------------------------------------------------------------

static void put_result(const struct json *r, struct buf *out)
{
    const struct json *view = json_get(r, "view");
    struct json_w w;
    json_w_init(&w, out);
    json_w_obj(&w, NULL);
    json_w_str(&w, "id", json_str(json_get(r, "id")));
    json_w_str(&w, "status", json_str(json_get(r, "status")));
    if (json_is(json_get(view, "error"), JSON_OBJ))
        json_w_val(&w, "error", json_get(view, "error"));
    else
        json_w_val(&w, "output", json_get(view, "output"));
    json_w_end(&w);
}

static int tell_result(struct watch *w, const struct json *r)
{
    const struct json *view = json_get(r, "view");
    const char *status = json_cstr(json_get(r, "status"), w->status);
    const struct cli_flow_look *look = cli_flow_look(status);
    int64_t started = cli_flow_ms(json_get(r, "started")),
            ended = cli_flow_ms(json_get(r, "closed"));
    bool good = strcmp(status, "completed") == 0;
    struct buf text;
    buf_init(&text, CLI_FLOW_TEXT_MAX);
    if (w->to || !good) {
        cli_paint_put(w->c, look->paint, look->glyph, stderr);
        (void)fprintf(stderr, " %s", status);
        if (started && ended)
            (void)fprintf(stderr, " after %s", cli_duration(ended - started).s);
        cli_flow_put_problem(&text, json_get(view, "error"));
        (void)fprintf(stderr, "%s%s\n", text.n ? ": " : "", buf_cstr(&text));
        if (!strcmp(status, "faulted"))
            (void)fprintf(
                stderr,
                "`plexus flow show %s` has the whole; `plexus flow retry %s` goes on from "
                "there\n",
                w->id, w->id);
        buf_clear(&text);
    }
    if (good) {
        (void)cli_pretty(&text, json_get(view, "output"));
        (void)cli_print(buf_bytes(&text), stdout);
    }
    buf_fini(&text);
    return good ? 0 : 1;
}

static int result(struct watch *w, struct err *e)
{
    struct json_doc *doc = NULL;
    struct buf raw, target, out;
    buf_init(&raw, CLI_ANSWER_MAX);
    buf_init(&target, 4096);
    buf_init(&out, CLI_FLOW_TEXT_MAX);
    int rc = cli_flow_target(&target, w->id, NULL, e);
    (void)buf_str(&target, "?full=1");
    if (!rc)
        rc = cli_request_json(w->c, "GET", buf_cstr(&target), BYTES_NONE, &doc, &raw, e);
    if (!rc && w->c->json) {
        put_result(json_root(doc), &out);
        rc = cli_print(buf_bytes(&out), stdout);
        if (!rc && strcmp(w->status, "completed") != 0)
            rc = 1;
    } else if (!rc) {
        rc = tell_result(w, json_root(doc));
    }
    json_free(doc);
    buf_fini(&raw);
    buf_fini(&target);
    buf_fini(&out);
    return rc;
}

static int follow(struct cli *c, const char *id, bool known, FILE *to, struct err *e)
{
    struct watch *w = mem_new(struct watch);
    if (!w)
        return err_set(e, E_NOMEM, "out of memory");
    w->c = c;
    w->id = id;
    w->to = to;
    w->known = known;
    int rc = watch(w, e);
    if (rc == E_CANCELLED && w->node.interrupted) {
        (void)fprintf(
            stderr,
            "the run goes on: `plexus flow tail %s` looks at it again, `plexus flow cancel "
            "%s` ends it\n",
            id, id);
        rc = 130;
    } else if (!rc) {
        rc = result(w, e);
    }
    mem_free(w);
    return rc;
}

int cli_flow_tail(struct cli *c, struct err *e)
{
    return follow(c, cli_arg(c, 0), false, stdout, e);
}

// ---- the start ----------------------------------------------------------------------------------

// NAMESPACE/NAME:VERSION of a kept document.
static void put_name(struct json_w *w, const char *word)
{
    struct bytes name = bytes_of(word), namespace = BYTES("default");
    if (memchr(name.p, '/', name.n))
        namespace = bytes_cut(&name, '/');
    struct bytes version = name;
    name = bytes_cut(&version, ':');
    json_w_str(w, "namespace", namespace);
    json_w_str(w, "name", name);
    if (version.n)
        json_w_str(w, "version", version);
}

static bool is_file(const char *word)
{
    struct bytes b = bytes_of(word);
    return !strcmp(word, "-") || access(word, F_OK) == 0 || bytes_ends(b, BYTES(".yaml")) ||
           bytes_ends(b, BYTES(".yml")) || bytes_ends(b, BYTES(".json")) || *word == '.' ||
           *word == '/';
}

static int put_body(struct cli *c, bool file, struct buf *text, struct buf *body, struct err *e)
{
    struct json_w w;
    int rc = file ? cli_flow_read(cli_arg(c, 0), text, e) : 0;
    json_w_init(&w, body);
    json_w_obj(&w, NULL);
    if (file)
        json_w_str(&w, "document", buf_bytes(text));
    else
        put_name(&w, cli_arg(c, 0));
    if (!rc)
        rc = cli_flow_put_value(c, &w, "input", "input", e);
    if (rc)
        return rc;
    if (cli_option(c, "id"))
        json_w_cstr(&w, "id", cli_option(c, "id"));
    if (cli_option(c, "label"))
        json_w_cstr(&w, "label", cli_option(c, "label"));
    json_w_end(&w);
    return body->failed ? err_set(e, body->failed, "document and input are too long") : 0;
}

static int start(struct cli *c, char id[256], struct buf *raw, struct err *e)
{
    struct json_doc *doc = NULL;
    struct buf text, body;
    bool file = is_file(cli_arg(c, 0));
    buf_init(&text, CLI_FLOW_TEXT_MAX);
    buf_init(&body, CLI_FLOW_TEXT_MAX);
    int rc = put_body(c, file, &text, &body, e);
    if (!rc)
        rc = cli_request_json(c, "POST", "/api/flows", buf_bytes(&body), &doc, raw, e);
    if (rc < 0 && file &&
        cli_flow_tell_findings(c, cli_arg(c, 0), buf_bytes(&text), buf_bytes(raw)))
        rc = err_info(rc)->exit;
    if (!rc)
        (void)snprintf(id, 256, "%s", json_cstr(json_get(json_root(doc), "id"), ""));
    json_free(doc);
    buf_fini(&text);
    buf_fini(&body);
    return rc;
}

int cli_flow_run(struct cli *c, struct err *e)
{
    char id[256] = "";
    struct buf raw;
    bool detach = cli_option(c, "detach") != NULL, wait = cli_option(c, "wait") != NULL;
    if (detach && wait)
        return err_set(e, E_USAGE, "--wait and --detach exclude each other");
    buf_init(&raw, CLI_ANSWER_MAX);
    int rc = start(c, id, &raw, e);
    if (!rc && detach)
        rc = cli_print(c->json ? buf_bytes(&raw) : bytes_of(id), stdout);
    buf_fini(&raw);
    if (rc || detach)
        return rc;
    bool quiet = wait || c->json;
    if (!quiet)
        (void)fprintf(stderr, "run %s\n", id);
    return follow(c, id, true, quiet ? NULL : stderr, e);
}
