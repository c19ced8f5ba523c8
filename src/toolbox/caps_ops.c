// caps_ops.c: what takes time: fetching from a registry, evaluation by the manifest's own cases,
// and promotion of what passed them all. SPDX-License-Identifier: Apache-2.0
#include "toolbox/caps_priv.h"

#include "base/file.h"
#include "toolbox/capreg_priv.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct op { // one operation
    struct list link; // caps.reqs
    struct caps *c;
    struct caps_req *r;
    char as[TOOL_NAME_MAX + 1];
    struct capreg_req get;
    bool fetching, flow, calling, promote, cancelled;
    struct timer timer; // the next step, never from inside
    struct tool_req call;
    struct caps_item *item;
    size_t next, passed; // case
    struct val *rows;
};

// ---- all of them --------------------------------------------------------------------------------

static struct op *op_new(struct caps *c, struct caps_req *r)
{
    struct op *o = mem_new(struct op);
    if (!o)
        return NULL;
    o->c = c;
    o->r = r;
    r->priv = NULL;
    list_add_tail(&c->reqs, &o->link);
    return o;
}

static void op_free(struct op *o)
{
    timer_stop(o->c->args.timers, &o->timer);
    list_del(&o->link);
    caps_item_unref(o->item);
    val_unref(o->rows);
    mem_free(o);
}

static void end(struct op *o, int status, struct val *takes_res, const struct err *e)
{
    struct caps_req *r = o->r;
    struct err none = {0};
    if (!status && !takes_res) {
        status = err_set(&none, E_NOMEM, "out of memory");
        e = &none;
    }
    op_free(o);
    r->done(r, status, status ? NULL : takes_res, status ? e : NULL);
    val_unref(takes_res);
}

static struct op *op_of(struct caps *c, const struct caps_req *r)
{
    list_each (it, &c->reqs)
        if (container_of(it, struct op, link)->r == r)
            return container_of(it, struct op, link);
    return NULL;
}

static void stop(struct op *o)
{
    struct caps *c = o->c;
    struct err e = {0};
    o->cancelled = true;
    if (o->fetching) {
        c->args.registry->ops->cancel(c->args.registry, &o->get);
    } else if (o->calling) {
        caps_call_cancel(&c->tools, &o->call); // its done ends the operation
    } else {
        end(o, err_set(&e, E_CANCELLED, "cancelled"), NULL, &e);
    }
}

void caps_cancel(struct caps *c, struct caps_req *r)
{
    struct op *o = op_of(c, r);
    if (o)
        stop(o);
    else
        caps_outbox_forget(c, r);
}

void caps_ops_stop(struct caps *c)
{
    list_each_safe (it, &c->reqs) {
        struct op *o = container_of(it, struct op, link);
        if (o->calling)
            o->cancelled = true; // caps_calls_stop ends its call, and so it
        else
            stop(o);
    }
}

// ---- fetch --------------------------------------------------------------------------------------

static int take_flow(struct caps *c, const struct manifest_pack *p, struct val **ret, struct err *e)
{
    AUTO(val) v = NULL;
    if (!capreg_is_flow(p->manifest))
        return err_set(e, E_INVALID, "it is a capability: `plexus tool add` takes it");
    int rc = capreg_check(p, BYTES_NONE, c->args.publishers, e);
    if (!rc)
        rc = val_parse(&v, p->manifest, e);
    if (rc)
        return rc;
    struct val *res = val_put_cstr(val_obj(), "urn", val_ref(val_get_cstr(v, "urn")));
    *ret = val_put_cstr(res, "document", val_ref(val_get_cstr(v, "document")));
    return *ret ? 0 : err_set(e, E_NOMEM, "out of memory");
}

static int take(struct op *o, const struct manifest_pack *p, struct val **ret, struct err *e)
{
    if (o->flow)
        return take_flow(o->c, p, ret, e);
    if (capreg_is_flow(p->manifest))
        return err_set(e, E_INVALID, "it is a flow: `plexus flow add` takes it");
    return caps_add(o->c, p, bytes_of(o->as), ret, e);
}

static void fetched(struct capreg_req *g, int status, const struct manifest_pack *pack,
                    const struct err *why)
{
    struct op *o = g->user;
    struct val *res = NULL;
    struct err e = {0};
    o->fetching = false;
    int rc = status ? err_set(&e, status, "%s", why ? why->text : err_info(status)->text)
                    : take(o, pack, &res, &e);
    end(o, rc, res, &e);
}

static int fetch(struct caps *c, struct bytes urn, struct bytes as, bool flow, struct caps_req *r,
                 struct err *e)
{
    struct capreg *g = c->args.registry;
    if (!g)
        return err_set(e, E_UNAVAILABLE,
                       "no registry is named: tools.registry in plexus.yaml, or "
                       "ECOSYSTEM_REGISTRY_URL");
    if (as.n > TOOL_NAME_MAX)
        return err_set(e, E_INVALID, "a name has at most %d bytes", TOOL_NAME_MAX);
    struct op *o = op_new(c, r);
    if (!o)
        return err_set(e, E_NOMEM, "out of memory");
    (void)snprintf(o->as, sizeof o->as, "%.*s", BYTES_FMT(as));
    o->get = (struct capreg_req){.done = fetched, .user = o};
    o->fetching = true;
    o->flow = flow;
    int rc = g->ops->get(g, urn, &o->get, e);
    if (rc)
        op_free(o);
    return rc;
}

int caps_fetch(struct caps *c, struct bytes urn, struct bytes as, struct caps_req *r, struct err *e)
{
    return fetch(c, urn, as, false, r, e);
}

int caps_fetch_flow(struct caps *c, struct bytes urn, struct caps_req *r, struct err *e)
{
    return fetch(c, urn, BYTES_NONE, true, r, e);
}

// ---- publish ------------------------------------------------------------------------------------

static struct val *named(const struct caps_item *i)
{
    struct val *v = val_put_cstr(val_obj(), "name", val_cstr(i->as));
    v = val_put_cstr(v, "urn", val_str(i->m->urn));
    return val_put_cstr(v, "sha256", val_cstr(i->m->hash));
}

static int hand_over(struct caps *c, const struct caps_item *i, struct manifest_pack *p,
                     struct caps_req *r, struct val *takes_res, struct err *e)
{
    struct buf code;
    buf_init(&code, MANIFEST_CODE_MAX);
    int rc = caps_blob_get(c, i->m, &code, e);
    p->manifest = i->m->text;
    p->code = buf_bytes(&code);
    if (!rc)
        rc = caps_outbox_add(c, p, i->m->urn, r, takes_res, e);
    else
        val_unref(takes_res);
    buf_fini(&code);
    return rc;
}

static int signed_by_somebody(const struct caps_item *i, struct err *e)
{
    return i->m->is_signed
               ? 0
               : err_set(e, E_INVALID, "%s is not signed; `plexus tool build` signs", i->as);
}

int caps_publish(struct caps *c, struct bytes name, struct caps_req *r, struct err *e)
{
    struct caps_item *i = caps_item_of(c, name);
    struct manifest_pack p = {.code = BYTES_NONE};
    if (!i)
        return caps_not_here(name, e);
    int rc = signed_by_somebody(i, e);
    return rc ? rc : hand_over(c, i, &p, r, named(i), e);
}

// ---- evaluation ---------------------------------------------------------------------------------

static void text_of(const struct tool_result *res, struct buf *out)
{
    for (size_t i = 0; i < val_len(res->content); i++)
        (void)buf_put(out, val_bytes(val_get_cstr(val_at(res->content, i), "text")));
}

static bool fits(const struct val *schema, const struct val *v, struct schema_error *bad)
{
    struct json_doc *s = NULL, *doc = NULL;
    struct schema *compiled = NULL;
    int rc = val_to_json(&s, schema, NULL);
    if (!rc)
        rc = schema_new(&compiled, &(struct schema_args){.doc = json_root(s)}, NULL);
    if (!rc)
        rc = val_to_json(&doc, v, NULL);
    if (!rc)
        rc = schema_check(compiled, json_root(doc), bad);
    schema_free(compiled);
    json_free(s);
    json_free(doc);
    return rc == 0;
}

// What is wrong with an answer, or nothing.
static void judge(const struct val *one, const struct tool_result *res, struct buf *why)
{
    const struct val *output = val_get_cstr(one, "output"), *text = val_get_cstr(one, "text"),
                     *contains = val_get_cstr(one, "contains"),
                     *schema = val_get_cstr(one, "schema");
    bool must_fail = val_get_cstr(one, "error") != NULL;
    struct schema_error bad = {"", "", ""};
    struct buf said;
    buf_init(&said, MAX_ALLOCATION_BYTES);
    text_of(res, &said);
    if (res->is_error && !must_fail) {
        (void)buf_fmt(why, "it failed: %.*s", BYTES_FMT(bytes_first(buf_bytes(&said), 200)));
    } else if (must_fail && !res->is_error) {
        (void)buf_str(why, "it should have failed");
    } else if (output && !val_equal(output, res->structured)) {
        (void)buf_str(why, "expected ");
        (void)val_write(why, output);
        (void)buf_fmt(why, ", got %.*s", BYTES_FMT(bytes_first(buf_bytes(&said), 200)));
    } else if (text && !bytes_eq(val_bytes(text), buf_bytes(&said))) {
        (void)buf_fmt(why, "expected \"%.*s\", got \"%.*s\"",
                      BYTES_FMT(bytes_first(val_bytes(text), 200)),
                      BYTES_FMT(bytes_first(buf_bytes(&said), 200)));
    } else if (contains && bytes_find(buf_bytes(&said), val_bytes(contains)) < 0) {
        (void)buf_fmt(why, "expected \"%.*s\" inside", BYTES_FMT(val_bytes(contains)));
    } else if (schema && !fits(schema, res->structured, &bad)) {
        (void)buf_fmt(why, "%s: %s", *bad.instance ? bad.instance : "the answer", bad.message);
    }
    buf_fini(&said);
}

static struct val *hash_of(const struct val *v)
{
    char hash[MANIFEST_HASH_LEN + 1];
    struct buf text;
    buf_init(&text, MAX_ALLOCATION_BYTES * 2);
    int rc = crystal_canonical(&text, v, hash, NULL);
    buf_fini(&text);
    return rc ? val_null() : val_cstr(hash);
}

static void row(struct op *o, const struct tool_result *res, struct bytes why)
{
    const struct val *one = val_at(o->item->m->cases, o->next);
    struct bytes name = val_bytes(val_get_cstr(one, "name")),
                 tool = val_bytes(val_get_cstr(one, "tool"));
    struct val *v = val_put_cstr(val_obj(), "name", val_str(name));
    v = val_put_cstr(v, "tool", val_str(tool.n ? tool : o->item->m->tools[0].name));
    v = val_put_cstr(v, "passed", val_bool(!why.n));
    v = val_put_cstr(v, "input", hash_of(val_get_cstr(one, "input")));
    if (res) {
        v = val_put_cstr(v, "answer", hash_of(res->structured ? res->structured : res->content));
        v = val_put_cstr(v, "took_us", val_int((int64_t)res->took_us));
    }
    if (why.n)
        v = val_put_cstr(v, "why", val_str(why));
    o->rows = val_push(o->rows, v);
    o->passed += !why.n;
    o->next++;
}

static struct val *evidence_of(const struct op *o)
{
    const struct manifest *m = o->item->m;
    struct caps *c = o->c;
    struct val *v = val_put_cstr(val_obj(), "type", val_cstr("Evaluation"));
    v = val_put_cstr(v, "version", val_int(1));
    v = val_put_cstr(v, "urn", val_str(m->urn));
    v = val_put_cstr(v, "manifest", val_cstr(m->hash));
    v = val_put_cstr(v, "code", val_cstr(m->code_hash));
    v = val_put_cstr(v, "node", val_cstr(c->args.node ? c->args.node : ""));
    v = val_put_cstr(v, "sandbox", val_cstr(c->args.sandbox->ops->name));
    v = val_put_cstr(v, "at", val_int(caps_now(c)));
    v = val_put_cstr(v, "passed", val_int((int64_t)o->passed));
    v = val_put_cstr(v, "failed", val_int((int64_t)(o->next - o->passed)));
    return val_put_cstr(v, "cases", val_ref(o->rows));
}

// ---- promotion ----------------------------------------------------------------------------------

static int node_key(struct caps *c, struct manifest_key *ret, struct err *e)
{
    char path[CAPS_PATH_MAX];
    struct buf secret;
    (void)snprintf(path, sizeof path, "%s/publisher.key", c->folder);
    buf_init(&secret, 128);
    int rc;
    if (access(path, F_OK) == 0) {
        rc = file_read(path, &secret, e);
        if (!rc && (rc = manifest_key_open(ret, buf_bytes(&secret), e)))
            rc = err_wrap(e, "%s", path);
    } else if (!(rc = manifest_key_make(ret, &secret, e))) {
        rc = file_write_atomic(path, buf_bytes(&secret), 0600, e);
    }
    if (secret.p)
        mem_wipe(secret.p, secret.cap);
    buf_fini(&secret);
    return rc;
}

// The id of this node's promotion before, or empty.
static void previous(struct caps *c, struct buf *ret)
{
    char path[CAPS_PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/promoted", c->folder);
    if (access(path, F_OK) != 0 || file_read(path, ret, NULL) ||
        !capreg_is_hash(bytes_trim(buf_bytes(ret))))
        buf_clear(ret);
}

struct event { // signed, and what it stands on
    struct buf text, evidence;
    struct crystal *c;
};

static void event_fini(struct event *v)
{
    buf_fini(&v->text);
    buf_fini(&v->evidence);
    crystal_free(v->c);
}

// args: kind, urn, hash, cases; the rest is the node's.
static int event_of(struct caps *c, struct crystal_args args, const struct val *evidence,
                    struct event *ret, struct err *e)
{
    struct manifest_key key;
    struct buf before;
    buf_init(&before, 256);
    int rc = crystal_canonical(&ret->evidence, evidence, NULL, e);
    if (!rc)
        rc = node_key(c, &key, e);
    if (rc)
        return rc;
    previous(c, &before);
    args.evidence = buf_bytes(&ret->evidence);
    args.node = bytes_of(c->args.node);
    args.previous = bytes_trim(buf_bytes(&before));
    args.at_ms = caps_now(c);
    rc = crystal_make(&ret->text, &args, &key, e);
    if (!rc)
        rc = crystal_open(&ret->c, buf_bytes(&ret->text), e);
    manifest_key_wipe(&key);
    buf_fini(&before);
    return rc;
}

static void event_init(struct event *v)
{
    v->c = NULL;
    buf_init(&v->text, MANIFEST_BYTES_MAX);
    buf_init(&v->evidence, MANIFEST_BYTES_MAX);
}

static struct val *event_res(struct val *res, const struct event *v)
{
    res = val_put_cstr(res, "event", val_ref(v->c->root));
    res = val_put_cstr(res, "id", val_cstr(v->c->id));
    return val_put_cstr(res, "passed", val_int((int64_t)v->c->cases));
}

// The chain's end: the next one names it.
static void event_done(struct caps *c, const struct event *v)
{
    char path[CAPS_PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/promoted", c->folder);
    (void)file_write_atomic(path, bytes_of(v->c->id), 0600, NULL);
}

static int promote(struct op *o, const struct val *evidence, struct err *e)
{
    const struct manifest *m = o->item->m;
    struct crystal_args args = {
        .kind = "capability", .urn = m->urn, .hash = bytes_of(m->hash), .cases = o->passed};
    struct event v;
    event_init(&v);
    int rc = event_of(o->c, args, evidence, &v, e);
    if (!rc) {
        struct manifest_pack p = {.promotion = buf_bytes(&v.text),
                                  .evidence = buf_bytes(&v.evidence)};
        rc = hand_over(o->c, o->item, &p, o->r, event_res(named(o->item), &v), e);
    }
    if (!rc)
        event_done(o->c, &v);
    event_fini(&v);
    return rc;
}

int caps_promote_flow(struct caps *c, const struct caps_flow *f, struct caps_req *r, struct err *e)
{
    char hash[MANIFEST_HASH_LEN + 1];
    struct event v;
    struct buf text;
    struct urn u;
    struct val *doc = val_put_cstr(val_obj(), "plexus_flow", val_int(1));
    doc = val_put_cstr(doc, "urn", val_str(f->urn));
    doc = val_put_cstr(doc, "document", val_str(f->document));
    event_init(&v);
    buf_init(&text, MANIFEST_BYTES_MAX);
    int rc = urn_parse(&u, f->urn, e);
    if (!rc)
        rc = doc ? crystal_canonical(&text, doc, hash, e) : err_set(e, E_NOMEM, "out of memory");
    struct crystal_args args = {
        .kind = "flow", .urn = f->urn, .hash = bytes_of(hash), .cases = f->cases};
    if (!rc)
        rc = event_of(c, args, f->evidence, &v, e);
    if (!rc) {
        struct manifest_pack p = {.manifest = buf_bytes(&text),
                                  .promotion = buf_bytes(&v.text),
                                  .evidence = buf_bytes(&v.evidence)};
        struct val *res = val_put_cstr(val_obj(), "urn", val_str(f->urn));
        res = val_put_cstr(res, "sha256", val_cstr(hash));
        rc = caps_outbox_add(c, &p, f->urn, r, event_res(res, &v), e);
    }
    if (!rc)
        event_done(c, &v);
    val_unref(doc);
    event_fini(&v);
    buf_fini(&text);
    return rc;
}

static void evaluated(struct op *o)
{
    struct err e = {0};
    struct val *evidence = evidence_of(o);
    size_t failed = o->next - o->passed;
    int rc = evidence ? 0 : err_set(&e, E_NOMEM, "out of memory");
    if (!rc && o->promote && failed)
        rc = err_set(&e, E_MANIFEST,
                     "%s: %zu of its %zu cases failed: `plexus tool eval %s` says which",
                     o->item->as, failed, o->next, o->item->as);
    if (!rc && o->promote && !(rc = promote(o, evidence, &e))) {
        op_free(o); // the outbox answers
        val_unref(evidence);
        return;
    }
    if (!rc)
        evidence = val_put_cstr(evidence, "name", val_cstr(o->item->as));
    end(o, rc, rc ? NULL : val_ref(evidence), rc ? &e : NULL);
    val_unref(evidence);
}

static void answered(struct tool_req *t, int status, const struct tool_result *res,
                     const struct err *e)
{
    struct op *o = t->user;
    struct buf why;
    struct err stopped = {0};
    o->calling = false;
    if (o->cancelled) {
        end(o, err_set(&stopped, E_CANCELLED, "cancelled"), NULL, &stopped);
        return;
    }
    buf_init(&why, 2048);
    if (status)
        (void)buf_fmt(&why, "%s", e ? e->text : err_info(status)->text);
    else
        judge(val_at(o->item->m->cases, o->next), res, &why);
    row(o, res, why.failed ? BYTES("it answered something else") : buf_bytes(&why));
    buf_fini(&why);
    int rc = timer_start(o->c->args.timers, &o->timer, 0);
    if (rc)
        end(o, err_set(&stopped, rc, "out of memory"), NULL, &stopped);
}

static void step(struct timer *timer)
{
    struct op *o = timer->user;
    const struct val *one = val_at(o->item->m->cases, o->next);
    struct bytes tool = val_bytes(val_get_cstr(one, "tool"));
    struct err e = {0};
    if (!one || o->item->removed) {
        evaluated(o);
        return;
    }
    size_t at = 0;
    while (tool.n && at + 1 < o->item->m->tool_count && !bytes_eq(o->item->m->tools[at].name, tool))
        at++;
    struct tool_args args = {.name = bytes_of(o->item->tools[at].name),
                             .input = val_get_cstr(one, "input"),
                             .caller = {.who = BYTES(CAPS_EVALUATION), .confirmed = true},
                             .timeout_ms = TIME_NEVER};
    o->call = (struct tool_req){.done = answered, .user = o};
    o->calling = true;
    int rc = caps_call_start(&o->c->tools, &args, &o->call, &e);
    if (rc)
        answered(&o->call, rc, NULL, &e);
}

static int evaluate(struct caps *c, struct bytes name, bool to_promote, struct caps_req *r,
                    struct err *e)
{
    struct caps_item *i = caps_item_of(c, name);
    if (!i)
        return caps_not_here(name, e);
    if (!val_len(i->m->cases))
        return err_set(e, E_INVALID, "%s has no cases in its manifest, so nothing is evaluated",
                       i->as);
    int rc = to_promote ? signed_by_somebody(i, e) : 0;
    if (rc)
        return rc;
    struct op *o = op_new(c, r);
    if (!o)
        return err_set(e, E_NOMEM, "out of memory");
    o->item = i;
    i->refs++;
    o->promote = to_promote;
    o->rows = val_arr();
    o->timer = (struct timer){.fn = step, .user = o};
    rc = timer_start(c->args.timers, &o->timer, 0);
    if (rc)
        op_free(o);
    return rc ? err_set(e, rc, "out of memory") : 0;
}

int caps_eval(struct caps *c, struct bytes name, struct caps_req *r, struct err *e)
{
    return evaluate(c, name, false, r, e);
}

int caps_promote(struct caps *c, struct bytes name, struct caps_req *r, struct err *e)
{
    return evaluate(c, name, true, r, e);
}
