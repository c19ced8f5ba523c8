// prims.c: the source of tools: each call checked, queued, and carried out by a child of its own.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "prims/prims_source_priv.h"

#include <math.h>
#include <string.h>

enum { GRACE_MS = 3000 }; // from the child's own time limit to ours

struct call {
    struct list link;
    struct prims *p;
    struct tool_req *r;
    const struct tool_row *row;
    struct buf request, out, said;
    struct proc *proc;
    struct timer timer;
    int64_t timeout_ms;
    uint64_t start_ns;
    int status; // why it was killed, or 0
};

// ---- the end of a call

static void call_free(struct call *c)
{
    timer_stop(c->p->a.timers, &c->timer);
    if (c->proc)
        c->p->a.procs->ops->free(c->proc);
    list_del(&c->link);
    buf_fini(&c->request);
    buf_fini(&c->out);
    buf_fini(&c->said);
    mem_free(c);
}

static struct val *text_content(struct bytes text)
{
    struct val *block =
        val_put_cstr(val_put_cstr(val_obj(), "type", val_cstr("text")), "text", val_str(text));
    return val_push(val_arr(), block);
}

// A child that was ended in the middle has no answer; what it said last is one.
static int ended_early(const struct call *c, const struct proc_exit *x, struct tool_result *res,
                       struct err *e)
{
    struct bytes said = bytes_trim(buf_bytes(&c->said));
    if (x->not_started)
        return err_set(e, E_UNAVAILABLE, "%s", x->text);
    if (x->code == JAIL_EXIT_REFUSED)
        return err_set(e, E_SECURITY, "%.*s", BYTES_FMT(said));
    if (!x->over_memory && x->code != JAIL_EXIT_ENDED)
        return err_set(e, E_MANIFEST, "%s ended without an answer (%s %d): %.*s", c->row->row->name,
                       x->signal ? "signal" : "exit code", x->signal ? x->signal : x->code,
                       BYTES_FMT(said));
    res->content = text_content(x->over_memory ? BYTES("[ended: it took too much memory]")
                                : said.n       ? said
                                               : BYTES("[ended]"));
    res->structured = val_put_cstr(val_obj(), "error", val_cstr("full"));
    res->is_error = true;
    return res->content && res->structured ? 0 : err_set(e, E_NOMEM, "no memory for the answer");
}

static int take_answer(const struct call *c, struct tool_result *res, struct val **ret_all,
                       struct err *e)
{
    int rc = val_parse(ret_all, buf_bytes(&c->out), e);
    if (rc < 0)
        return rc == E_NOMEM ? rc
                             : err_set(e, E_MANIFEST, "%s answered no JSON", c->row->row->name);
    res->content = val_ref(val_get_cstr(*ret_all, "content"));
    res->structured = val_ref(val_get_cstr(*ret_all, "structured"));
    res->is_error = val_bool_of(val_get_cstr(*ret_all, "is_error"), true);
    if (!val_is(res->content, JSON_ARR) || !val_is(res->structured, JSON_OBJ))
        return err_set(e, E_MANIFEST, "%s answered something else", c->row->row->name);
    return 0;
}

static void next_call(struct prims *p);

// Once for each call that was taken; frees it.
static void finish(struct call *c, int status, const struct tool_result *res, const struct err *e)
{
    struct tool_req *r = c->r;
    call_free(c);
    r->priv = NULL;
    r->done(r, status, res, e);
}

static void on_exit_(void *user, const struct proc_exit *x)
{
    struct call *c = user;
    struct prims *p = c->p;
    struct err e = {0};
    struct tool_result res = {0};
    AUTO(val) all = NULL;
    int status = c->status;
    if (status == E_TIMEOUT)
        (void)err_set(&e, status, "%s took longer than %lld ms", c->row->row->name,
                      (long long)c->timeout_ms);
    else if (status == E_CANCELLED)
        (void)err_set(&e, status, "cancelled");
    else if (status == E_MANIFEST)
        (void)err_set(&e, status, "%s answered more than %d bytes", c->row->row->name,
                      MAX_ALLOCATION_BYTES);
    else if (status != 0)
        (void)err_set(&e, status, "%s could not be given its arguments", c->row->row->name);
    else if (x->code != 0 || x->over_memory || c->out.n == 0)
        status = ended_early(c, x, &res, &e);
    else
        status = take_answer(c, &res, &all, &e);
    res.took_us = (timers_now_ns(p->a.timers) - c->start_ns) / 1000;
    res.memory_bytes = p->a.procs->ops->memory(c->proc);
    p->running_n--;
    finish(c, status, status == 0 ? &res : NULL, status == 0 ? NULL : &e);
    val_unref(res.content);
    val_unref(res.structured);
    next_call(p);
}

static void end_call(struct call *c, int status)
{
    if (c->status == 0)
        c->status = status;
    c->p->a.procs->ops->kill(c->proc);
}

static void on_bytes(void *user, int fd, struct bytes part)
{
    struct call *c = user;
    if (fd == 2)
        (void)buf_put(&c->said, bytes_first(part, SAID_MAX - c->said.n)); // the start of it
    else if (buf_put(&c->out, part) < 0)
        end_call(c, E_MANIFEST);
}

static void on_late(struct timer *t)
{
    end_call(t->user, E_TIMEOUT);
}

// ---- the start of a call

static int call_run(struct call *c, struct err *e)
{
    struct prims *p = c->p;
    bool shell = c->row->row->effects & TOOL_RUNS;
    struct proc_args args = {.on_bytes = on_bytes, .on_exit = on_exit_, .user = c};
    int rc = prims_spawn(p, shell ? &p->shell_words : &p->bare_words, "_prim", shell, &args,
                         &c->proc, e);
    if (rc < 0)
        return rc;
    list_del(&c->link);
    list_add_tail(&p->running, &c->link);
    p->running_n++;
    c->start_ns = timers_now_ns(p->a.timers);
    rc = p->a.procs->ops->write(c->proc, buf_bytes(&c->request));
    if (rc >= 0)
        p->a.procs->ops->end_input(c->proc);
    buf_fini(&c->request);
    buf_init(&c->request, 0);
    if (rc >= 0)
        rc = timer_start(p->a.timers, &c->timer, c->timeout_ms + GRACE_MS);
    if (rc < 0) // its end comes by on_exit
        end_call(c, rc);
    return 0;
}

static void next_call(struct prims *p)
{
    while (p->running_n < p->a.calls_max && !list_empty(&p->waiting)) {
        struct call *c = container_of(p->waiting.next, struct call, link);
        struct err e = {0};
        p->waiting_n--;
        int rc = call_run(c, &e);
        if (rc < 0)
            finish(c, rc, NULL, &e);
    }
}

static const struct tool_row *row_of(const struct prims *p, struct bytes name)
{
    for (size_t i = 0; i < p->rows_n; i++) {
        if (bytes_is(name, p->rows[i].row->name))
            return &p->rows[i];
    }
    return NULL;
}

static int check_input(const struct tool_row *row, const struct val *input, struct err *e)
{
    struct json_doc *doc = NULL;
    struct schema_error why;
    int rc = val_to_json(&doc, input, e);
    if (rc < 0)
        return rc;
    rc = schema_check(row->schema, json_root(doc), &why);
    json_free(doc);
    if (rc < 0)
        return err_set(e, E_INVALID, "%s: %s%s%s", row->row->name, why.instance,
                       *why.instance ? ": " : "", why.message);
    return 0;
}

static int64_t time_limit(const struct prims *p, const struct tool_args *a)
{
    double s = val_dbl(val_get_cstr(a->input, "timeout_s"), 0);
    int64_t ms = s > 0 && s < 1e9 ? (int64_t)ceil(s * 1000) : p->a.timeout_ms;
    if (ms > p->a.timeout_max_ms)
        ms = p->a.timeout_max_ms;
    return a->timeout_ms > 0 && a->timeout_ms < ms ? a->timeout_ms : ms;
}

static int write_request(struct call *c, const struct val *input, struct err *e)
{
    const struct prims_args *a = &c->p->a;
    struct buf *b = &c->request;
    buf_fmt(b,
            "{\"name\":\"%s\",\"output_bytes\":%u,\"timeout_ms\":%lld,\"disk_bytes\":%llu,"
            "\"input\":",
            c->row->row->name, (unsigned)a->output_bytes, (long long)c->timeout_ms,
            (unsigned long long)a->disk_bytes);
    val_write(b, input);
    buf_chr(b, '}');
    if (b->failed)
        return err_set(e, b->failed, "the arguments are larger than %d bytes", PRIM_REQUEST_MAX);
    return 0;
}

static int start(struct tools *t, const struct tool_args *args, struct tool_req *r, struct err *e)
{
    struct prims *p = container_of(t, struct prims, tools);
    const struct tool_row *row = row_of(p, args->name);
    if (!row)
        return err_set(e, E_NOTFOUND, "no primitive %.*s", BYTES_FMT(args->name));
    int rc = check_input(row, args->input, e);
    if (rc < 0)
        return rc;
    if (p->running_n >= p->a.calls_max && p->waiting_n >= p->a.queue_max)
        return err_set(e, E_FULL, "%u calls run and %u wait", p->running_n, p->waiting_n);
    struct call *c = mem_new(struct call);
    if (!c)
        return err_set(e, E_NOMEM, "no memory for the call");
    *c = (struct call){.p = p, .r = r, .row = row, .timeout_ms = time_limit(p, args)};
    c->timer = (struct timer){.fn = on_late, .user = c};
    list_init(&c->link);
    buf_init(&c->request, PRIM_REQUEST_MAX);
    buf_init(&c->out, MAX_ALLOCATION_BYTES);
    buf_init(&c->said, SAID_MAX);
    rc = write_request(c, args->input, e);
    if (rc == 0 && p->running_n < p->a.calls_max) {
        rc = call_run(c, e);
    } else if (rc == 0) {
        list_add_tail(&p->waiting, &c->link);
        p->waiting_n++;
    }
    if (rc < 0)
        call_free(c);
    else
        r->priv = c;
    return rc;
}

static void on_cancelled(struct timer *t)
{
    struct call *c = t->user;
    struct err e = {0};
    (void)err_set(&e, E_CANCELLED, "cancelled");
    finish(c, E_CANCELLED, NULL, &e);
}

static void cancel(struct tools *t, struct tool_req *r)
{
    struct prims *p = container_of(t, struct prims, tools);
    struct call *c = r->priv;
    if (!c)
        return;
    if (c->proc) {
        end_call(c, E_CANCELLED);
        return;
    }
    if (c->status)
        return; // twice
    c->status = E_CANCELLED;
    p->waiting_n--;
    list_del(&c->link);
    list_add_tail(&p->cancelled, &c->link);
    c->timer.fn = on_cancelled;
    (void)timer_start(p->a.timers, &c->timer, 0);
}

// ---- the list

static void about(const struct prims *p, const struct tool_row *row, struct tool_about *ret)
{
    bool net = (row->row->effects & TOOL_RUNS) && p->a.network;
    *ret = (struct tool_about){
        .name = bytes_of(row->row->name),
        .title = bytes_of(row->row->title),
        .description = bytes_of(row->description),
        .input = row->input,
        .output = row->output,
        .source = BYTES("primitive"),
        .label = bytes_of(p->a.label),
        .effects = row->row->effects | (net ? TOOL_NETWORK : 0u),
        .granted = false, // that is for whoever lists it: the folders alone allow reading
    };
}

static void list(struct tools *t, const struct tool_caller *c,
                 void (*each)(void *user, const struct tool_about *a), void *user)
{
    struct prims *p = container_of(t, struct prims, tools);
    (void)c;
    for (size_t i = 0; i < p->rows_n; i++) {
        struct tool_about a;
        about(p, &p->rows[i], &a);
        each(user, &a);
    }
}

static bool find(struct tools *t, struct bytes name, struct tool_about *ret)
{
    struct prims *p = container_of(t, struct prims, tools);
    const struct tool_row *row = row_of(p, name);
    if (row)
        about(p, row, ret);
    return row != NULL;
}

const struct tools_ops prims_ops = {list, find, start, cancel};

struct tools *prims_tools(struct prims *p)
{
    return &p->tools;
}

static void end_calls(struct list *calls)
{
    struct err e = {0};
    (void)err_set(&e, E_CANCELLED, "the node ends");
    while (!list_empty(calls))
        finish(container_of(calls->next, struct call, link), E_CANCELLED, NULL, &e);
}

void prims_end_calls(struct prims *p)
{
    end_calls(&p->waiting);
    end_calls(&p->running);
    end_calls(&p->cancelled);
}
