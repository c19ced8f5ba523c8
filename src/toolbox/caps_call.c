// caps_call.c: one call of a capability: arguments against the schema, code compiled when it is
// needed, the sandbox's limits and grants, and the answer measured, then decoded, then checked.
// SPDX-License-Identifier: Apache-2.0
#include "toolbox/caps_priv.h"

#include "base/file.h"
#include "mcp/mcp.h"
#include "text/cloudevent.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE 65536u
#define POOL_MAX 4096
#define VALUE_MAX ((size_t)64 << 10) // of a secret

struct caps_call {
    struct list link;  // caps.calls
    struct list queue; // item.waiting, until the code is there
    struct caps *c;    // NULL: it was stopped, and waits for the sandbox alone
    struct tool_req *req;
    struct caps_item *item;
    struct caps_tool *tool;
    struct sandbox_call sb;
    struct buf input, pool;
    struct val *config;
    struct sandbox_dir dirs[16];
    bool cancelled, caller_time; // caller_time: the time limit is the caller's own
};

static const char *const kinds[] = {
    [SANDBOX_OK] = "ok",
    [SANDBOX_TRAP] = "trap",
    [SANDBOX_EXIT] = "exit",
    [SANDBOX_GUEST_ERROR] = "error",
    [SANDBOX_TIMEOUT] = "timeout",
    [SANDBOX_MEMORY] = "memory",
    [SANDBOX_FUEL] = "fuel",
    [SANDBOX_OUTPUT] = "output",
    [SANDBOX_STACK] = "stack",
    [SANDBOX_HOST_CALLS] = "host calls",
    [SANDBOX_EXPORT] = "export",
    [SANDBOX_DENIED] = "denied",
    [SANDBOX_HTTP] = "http",
    [SANDBOX_VARS] = "vars",
    [SANDBOX_CANCELLED] = "cancelled",
};

// ---- modules ------------------------------------------------------------------------------------

void caps_module_drop(struct caps *c, struct caps_item *i)
{
    if (!i->mod)
        return;
    c->args.sandbox->ops->drop(i->mod);
    i->mod = NULL;
    list_del(&i->used);
    c->module_count--;
}

static void module_used(struct caps *c, struct caps_item *i)
{
    list_del(&i->used);
    list_add_head(&c->modules, &i->used);
    while (c->module_count > CAPS_MODULES_MAX)
        caps_module_drop(c, container_of(c->modules.prev, struct caps_item, used));
}

// ---- the end of a call --------------------------------------------------------------------------

static void call_free(struct caps_call *x)
{
    list_del(&x->link);
    list_del(&x->queue);
    if (x->c)
        x->c->call_count--;
    buf_fini(&x->input);
    buf_fini(&x->pool);
    val_unref(x->config);
    caps_item_unref(x->item);
    mem_free(x);
}

static void end(struct caps_call *x, int status, const struct tool_result *res, const struct err *e)
{
    struct tool_req *r = x->c ? x->req : NULL;
    if (r)
        r->priv = NULL;
    call_free(x);
    if (r)
        r->done(r, status, res, e);
}

static int nonconforming(struct err *e, const struct caps_call *x, const char *kind,
                         struct bytes cause)
{
    return err_set(e, E_MANIFEST, "ManifestConformanceError (%s): %.*s, %.*s: %.*s", kind,
                   BYTES_FMT(x->item->m->urn), BYTES_FMT(x->tool->tool->name),
                   BYTES_FMT(bytes_first(cause, 600)));
}

static struct val *blob_block(const struct caps_call *x, struct bytes data)
{
    struct buf b64;
    buf_init(&b64, data.n / 3 * 4 + 8);
    (void)cloudevent_put_base64(&b64, data);
    struct val *r = val_put_cstr(val_obj(), "uri", val_str(x->item->m->urn));
    r = val_put_cstr(r, "mimeType", val_cstr("application/octet-stream"));
    r = val_put_cstr(r, "blob", b64.failed ? NULL : val_str(buf_bytes(&b64)));
    buf_fini(&b64);
    struct val *b = val_put_cstr(val_obj(), "type", val_cstr("resource"));
    return val_push(val_arr(), val_put_cstr(b, "resource", r));
}

// The answer as the tool's output schema says; it is measured by now.
static int structured(const struct caps_call *x, struct bytes output, struct val **ret,
                      struct err *e)
{
    struct json_doc *doc = NULL;
    struct schema_error bad = {"", "", ""};
    struct err why = {0};
    char text[1024];
    int rc = json_parse(&doc, output, 0, &why);
    if (rc == E_NOMEM) {
        rc = err_set(e, rc, "out of memory");
    } else if (rc) {
        (void)snprintf(text, sizeof text, "it did not answer JSON: %.900s", why.text);
        rc = nonconforming(e, x, "output", bytes_of(text));
    } else if ((rc = schema_check(x->tool->output, json_root(doc), &bad))) {
        (void)snprintf(text, sizeof text, "its answer does not fit its own schema: %s: %s",
                       *bad.instance ? bad.instance : "the whole",
                       *bad.message ? bad.message : err_info(rc)->text);
        rc = nonconforming(e, x, "output", bytes_of(text));
    } else if (!(*ret = val_of_json(json_root(doc)))) {
        rc = err_set(e, E_NOMEM, "out of memory");
    }
    json_free(doc);
    return rc;
}

static int result(const struct caps_call *x, struct bytes output, struct tool_result *res,
                  struct err *e)
{
    int rc = 0;
    if (output.n > MAX_ALLOCATION_BYTES)
        return nonconforming(e, x, "output", BYTES("it answered more than 10485760 bytes"));
    if (x->tool->tool->output)
        rc = structured(x, output, &res->structured, e);
    if (rc)
        return rc;
    res->content =
        bytes_is_utf8(output) ? val_push(val_arr(), mcp_text_block(output)) : blob_block(x, output);
    return res->content ? 0 : err_set(e, E_NOMEM, "out of memory");
}

static int ended(const struct caps_call *x, int status, enum sandbox_kind kind, struct bytes text,
                 struct tool_result *res, struct err *e)
{
    if (x->cancelled || status == E_CANCELLED)
        return err_set(e, E_CANCELLED, "cancelled");
    if (status == E_MANIFEST && kind == SANDBOX_GUEST_ERROR) {
        res->is_error = true;
        res->content =
            val_push(val_arr(),
                     mcp_text_block(bytes_is_utf8(text) ? text : BYTES("(an error without text)")));
        return res->content ? 0 : err_set(e, E_NOMEM, "out of memory");
    }
    if (status == E_MANIFEST && kind == SANDBOX_TIMEOUT && x->caller_time)
        return err_set(e, E_TIMEOUT, "%.*s took longer than the caller gives it",
                       BYTES_FMT(x->item->m->urn));
    if (status == E_MANIFEST)
        return nonconforming(
            e, x, (unsigned)kind < sizeof kinds / sizeof *kinds ? kinds[kind] : "?", text);
    return err_set(e, status, "%.*s: %.*s", BYTES_FMT(x->item->m->urn),
                   BYTES_FMT(bytes_first(text, 600)));
}

static void on_done(struct sandbox_call *sb, int status, struct bytes output,
                    enum sandbox_kind kind, struct bytes text, const struct sandbox_used *used)
{
    struct caps_call *x = sb->user;
    struct tool_result res = {.took_us = used ? used->took_us : 0,
                              .memory_bytes = used ? (uint64_t)used->pages * PAGE : 0};
    struct err e = {0};
    int rc = status         ? ended(x, status, kind, text, &res, &e)
             : x->cancelled ? err_set(&e, E_CANCELLED, "cancelled")
                            : result(x, output, &res, &e);
    struct val *content = res.content, *object = res.structured;
    end(x, rc, rc ? NULL : &res, rc ? &e : NULL);
    val_unref(content);
    val_unref(object);
}

static void on_log(struct sandbox_call *sb, int level, struct bytes line)
{
    struct caps_call *x = sb->user;
    if (x->c && x->c->args.log)
        x->c->args.log(x->c->args.user, x->item->m->urn, level, line);
}

// ---- code ---------------------------------------------------------------------------------------

static int enter(struct caps_call *x, struct err *e)
{
    module_used(x->c, x->item);
    x->sb.mod = x->item->mod;
    if (x->c->args.sandbox->ops->has && !x->c->args.sandbox->ops->has(x->sb.mod, x->sb.function))
        return nonconforming(e, x, "export", BYTES("it has no such function"));
    return x->c->args.sandbox->ops->call(x->c->args.sandbox, &x->sb, e);
}

struct caps_code { // being compiled
    struct sandbox_compile k;
    struct caps *c; // NULL: it was stopped
    struct caps_item *item;
    void (*drop)(struct sandbox_mod *m);
};

// What each of those that waited gets.
static int after(struct caps_call *x, int status, const struct err *why, struct err *e)
{
    if (x->cancelled)
        return err_set(e, E_CANCELLED, "cancelled");
    if (status == E_MANIFEST)
        return nonconforming(e, x, "code", bytes_of(why ? why->text : ""));
    if (status)
        return err_set(e, status, "%s", why ? why->text : err_info(status)->text);
    return x->item->removed ? caps_not_here(x->item->m->urn, e) : enter(x, e);
}

static void on_compiled(struct sandbox_compile *k, int status, struct sandbox_mod *mod,
                        const struct err *why)
{
    struct caps_code *code = k->user;
    struct caps_item *i = code->item;
    struct caps *c = code->c;
    struct list ready;
    list_init(&ready);
    if (c) {
        i->compiling = NULL;
        while (!list_empty(&i->waiting)) {
            struct list *it = i->waiting.next;
            list_del(it);
            list_add_tail(&ready, it);
        }
    }
    if (!status && c && !i->removed) {
        i->mod = mod;
        list_add_head(&c->modules, &i->used);
        c->module_count++;
    } else if (!status) {
        code->drop(mod);
    }
    mem_free(code);
    while (!list_empty(&ready)) {
        struct caps_call *x = container_of(ready.next, struct caps_call, queue);
        struct err e = {0};
        list_del(&x->queue);
        int rc = after(x, status, why, &e);
        if (rc)
            end(x, rc, NULL, &e);
    }
    caps_item_unref(i);
}

static int compile(struct caps *c, struct caps_item *i, struct err *e)
{
    struct caps_code *code = mem_new(struct caps_code);
    struct buf text;
    buf_init(&text, MANIFEST_CODE_MAX);
    int rc = code ? caps_blob_get(c, i->m, &text, e) : err_set(e, E_NOMEM, "out of memory");
    if (!rc) {
        *code = (struct caps_code){.k = {.code = buf_bytes(&text), .done = on_compiled},
                                   .c = c,
                                   .item = i,
                                   .drop = c->args.sandbox->ops->drop};
        code->k.user = code;
        rc = c->args.sandbox->ops->compile(c->args.sandbox, &code->k, e);
    }
    if (rc) {
        mem_free(code);
    } else {
        i->compiling = code;
        i->refs++;
    }
    buf_fini(&text);
    return rc;
}

// ---- the start of a call ------------------------------------------------------------------------

static int one_schema(struct json_doc **doc, struct schema **ret, const struct val *v,
                      struct err *e)
{
    if (*ret || !v)
        return 0;
    int rc = *doc ? 0 : val_to_json(doc, v, e);
    return rc ? rc : schema_new(ret, &(struct schema_args){.doc = json_root(*doc)}, e);
}

static int take_input(struct caps_call *x, const struct val *input, struct err *e)
{
    struct caps_tool *t = x->tool;
    struct json_doc *doc = NULL;
    struct schema_error bad = {"", "", ""};
    int rc = one_schema(&t->input_doc, &t->input, t->tool->input, e);
    if (!rc)
        rc = one_schema(&t->output_doc, &t->output, t->tool->output, e);
    (void)val_write(&x->input, input);
    if (!rc && x->input.failed)
        rc = err_set(e, x->input.failed, "the arguments are over %d bytes", MAX_ALLOCATION_BYTES);
    if (!rc)
        rc = json_parse(&doc, buf_bytes(&x->input), 0, e);
    if (!rc && (rc = schema_check(t->input, json_root(doc), &bad)))
        rc = err_set(e, rc == E_SCHEMA ? E_INVALID : rc, "%s: %s",
                     *bad.instance ? bad.instance : "the arguments",
                     *bad.message ? bad.message : err_info(rc)->text);
    json_free(doc);
    return rc;
}

static int secret(struct val **config, struct bytes name, struct bytes where, struct err *e)
{
    struct buf value;
    int rc = 0;
    buf_init(&value, VALUE_MAX);
    struct bytes rest = where, kind = bytes_cut(&rest, ':');
    if (bytes_is(kind, "env")) {
        const char *v = getenv(rest.p); // the slice ends where its text does
        rc = v ? buf_str(&value, v)
               : err_set(e, E_UNAVAILABLE, "the secret %.*s: %.*s is not set here", BYTES_FMT(name),
                         BYTES_FMT(rest));
    } else if ((rc = file_read(rest.p, &value, e))) {
        rc = err_wrap(e, "the secret %.*s", BYTES_FMT(name));
    }
    struct bytes text = bytes_trim(buf_bytes(&value));
    if (!rc && !bytes_is_utf8(text))
        rc = err_set(e, E_INVALID, "the secret %.*s is not text", BYTES_FMT(name));
    if (!rc)
        *config = val_put(*config, name, val_str(text));
    if (value.p)
        mem_wipe(value.p, value.cap);
    buf_fini(&value);
    return rc;
}

static int take_config(struct caps_call *x, const struct permit *p, struct err *e)
{
    struct bytes name;
    struct val *where;
    size_t at = 0;
    int rc = 0;
    x->config = val_ref((struct val *)(uintptr_t)p->config);
    while (!rc && val_each(p->secrets, &at, &name, &where))
        rc = secret(&x->config, name, val_bytes(where), e);
    return rc || x->config ? rc : err_set(e, E_NOMEM, "out of memory");
}

static int take_grants(struct caps_call *x, const struct tool_caller *caller, struct err *e)
{
    const struct manifest *m = x->item->m;
    const struct permit *p = x->item->permit;
    struct sandbox_grants *g = &x->sb.grants;
    if (m->asks_nothing)
        return 0;
    int rc = permit_check(p, m, caller->confirmed ? NULL : e);
    if (rc && !caller->confirmed)
        return rc;
    if (rc) { // a person said yes to this very call
        g->hosts = m->hosts;
        g->nhosts = m->host_count;
        return 0;
    }
    g->hosts = p->hosts;
    g->nhosts = p->host_count;
    for (; g->ndirs < p->dir_count && g->ndirs < sizeof x->dirs / sizeof *x->dirs; g->ndirs++)
        x->dirs[g->ndirs] = (struct sandbox_dir){p->dirs[g->ndirs].host, p->dirs[g->ndirs].guest,
                                                 p->dirs[g->ndirs].write};
    g->dirs = x->dirs;
    rc = take_config(x, p, e);
    g->config = x->config;
    return rc;
}

static uint64_t least(uint64_t a, uint64_t b) // 0: no limit
{
    return !a || (b && b < a) ? b : a;
}

static void take_limits(struct caps_call *x, int64_t timeout_ms)
{
    const struct manifest_limits *l = &x->item->m->limits;
    const struct caps_args *args = &x->c->args;
    uint64_t memory = least(l->memory_bytes, args->memory_bytes_max);
    int64_t ms = (int64_t)least(l->time_ms, (uint64_t)args->time_ms_max);
    x->caller_time = timeout_ms != TIME_NEVER && timeout_ms > 0 && (!ms || timeout_ms < ms);
    x->sb.limits = (struct sandbox_limits){.pages = (uint32_t)((memory + PAGE - 1) / PAGE),
                                           .timeout_ms = x->caller_time ? timeout_ms : ms,
                                           .fuel = l->fuel,
                                           .output_bytes = (size_t)l->output_bytes,
                                           .http_bytes = (size_t)l->http_bytes,
                                           .vars_bytes = (size_t)l->vars_bytes,
                                           .log_lines = l->log_lines,
                                           .host_calls = l->host_calls};
}

// What a guest keeps between calls stays with one caller, one label, one grant.
static void take_pool(struct caps_call *x, const struct tool_caller *caller)
{
    if (!caller->who.n || bytes_is(caller->who, CAPS_EVALUATION)) // an evaluation is from scratch
        return;
    (void)buf_fmt(&x->pool, "%.*s\n%.*s\n%.*s\n%lld\n%s", BYTES_FMT(caller->who),
                  BYTES_FMT(caller->label), BYTES_FMT(caller->clearance),
                  x->item->permit ? (long long)x->item->permit->at_ms : 0LL,
                  caller->confirmed ? "once" : "");
    if (!x->pool.failed)
        x->sb.pool = buf_bytes(&x->pool);
}

static struct caps_call *call_new(struct caps *c, struct caps_tool *t, struct tool_req *r)
{
    struct caps_call *x = mem_new(struct caps_call);
    if (!x)
        return NULL;
    x->c = c;
    x->req = r;
    x->tool = t;
    x->item = t->item;
    x->item->refs++;
    list_add_tail(&c->calls, &x->link);
    list_init(&x->queue);
    c->call_count++;
    buf_init(&x->input, MAX_ALLOCATION_BYTES);
    buf_init(&x->pool, POOL_MAX);
    return x;
}

int caps_call_start(struct tools *base, const struct tool_args *args, struct tool_req *r,
                    struct err *e)
{
    struct caps *c = (struct caps *)(void *)base;
    struct caps_tool *t = caps_tool_of(c, args->name);
    if (!t)
        return caps_not_here(args->name, e);
    struct caps_call *x = call_new(c, t, r);
    if (!x)
        return err_set(e, E_NOMEM, "out of memory");
    int rc = take_grants(x, &args->caller, e);
    if (!rc)
        rc = take_input(x, args->input, e);
    if (!rc) {
        take_limits(x, args->timeout_ms);
        take_pool(x, &args->caller);
        x->sb.function = t->tool->function;
        x->sb.input = buf_bytes(&x->input);
        x->sb.done = on_done;
        x->sb.log = on_log;
        x->sb.user = x;
        if (x->item->mod) {
            rc = enter(x, e);
        } else {
            rc = x->item->compiling ? 0 : compile(c, x->item, e);
            if (!rc)
                list_add_tail(&x->item->waiting, &x->queue);
        }
    }
    if (rc)
        call_free(x);
    else
        r->priv = x;
    return rc;
}

void caps_call_cancel(struct tools *base, struct tool_req *r)
{
    struct caps *c = (struct caps *)(void *)base;
    struct caps_call *x = r->priv;
    if (!x || x->cancelled)
        return;
    x->cancelled = true;
    if (x->sb.mod) // else it ends when the code is there
        c->args.sandbox->ops->cancel(c->args.sandbox, &x->sb);
}

void caps_calls_stop(struct caps *c)
{
    struct err e = {0};
    (void)err_set(&e, E_CANCELLED, "the node is stopping");
    list_each_safe (it, &c->items) {
        struct caps_item *i = container_of(it, struct caps_item, link);
        if (i->compiling)
            i->compiling->c = NULL;
        i->compiling = NULL;
    }
    while (!list_empty(&c->calls)) {
        struct caps_call *x = container_of(c->calls.next, struct caps_call, link);
        struct tool_req *r = x->req;
        bool inside = x->sb.mod != NULL;
        list_del(&x->link);
        list_del(&x->queue);
        c->call_count--;
        x->c = NULL; // from here on it is the sandbox's answer that frees it
        r->priv = NULL;
        if (inside)
            c->args.sandbox->ops->cancel(c->args.sandbox, &x->sb);
        else
            call_free(x);
        r->done(r, E_CANCELLED, NULL, &e);
    }
}
