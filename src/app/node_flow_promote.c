// node_flow_promote.c: a document is run by the cases it brings, each a run of this node; what
// passed all of them is packed with that evidence and published for good (toolbox/caps.h).
// SPDX-License-Identifier: Apache-2.0
#include "app/node_caps_priv.h"
#include "app/node_flows_priv.h"
#include "base/alloc.h"
#include "base/file.h"
#include "base/rng.h"
#include "base/time.h"
#include <stdio.h>
#include <string.h>

#define TEXT_MAX ((size_t)256 << 20) // of a document with all it needs
#define VALUE_MAX ((size_t)64 << 20)
#define SHORT_ID 8

struct trial { // one document, from its text to its answer
    struct runs_req req, end;
    struct caps_req publish;
    struct node_flows *flows;
    struct ctl_answer *answer; // NULL: nobody asked, flows.promote did
    const void *owner;         // until its text is here
    bool promote;
    struct val *names, *by, *otherwise; // otherwise: the label when the document has none
    struct flow_plan *plan;
    const struct val *cases; // the plan's
    struct buf urn;          // empty: there is none for it
    struct err no_urn;
    struct buf text; // of the document, as it is published
    char id[SHORT_ID + 1], run[CTL_FLOW_ID_MAX + 1];
    int64_t began_ms;
    size_t next, passed;
    struct val *rows;
};

static struct bytes name_of(const struct trial *t, const char *key)
{
    return val_bytes(val_get_cstr(t->names, key));
}

static void trial_free(struct trial *t)
{
    val_unref(t->names);
    val_unref(t->by);
    val_unref(t->otherwise);
    val_unref(t->rows);
    flow_plan_unref(t->plan);
    buf_fini(&t->urn);
    buf_fini(&t->text);
    mem_free(t);
}

// ---- what flows.promote looked at already -------------------------------------------------------

static void mark_path(const struct trial *t, char *path, size_t size)
{
    (void)snprintf(path, size, "%.3000s/tools/evaluated/%.*s", t->flows->node->paths.data,
                   BYTES_FMT(buf_bytes(&t->urn)));
}

static bool marked(const struct trial *t)
{
    struct flow_about about;
    struct buf text;
    char path[4096];
    mark_path(t, path, sizeof path);
    flow_plan_about(t->plan, &about);
    buf_init(&text, 256);
    bool same =
        file_read(path, &text, NULL) == 0 && bytes_is(bytes_trim(buf_bytes(&text)), about.hash);
    buf_fini(&text);
    return same;
}

static void mark(const struct trial *t)
{
    struct flow_about about;
    struct err e = {0};
    char path[4096], folder[4096];
    mark_path(t, path, sizeof path);
    flow_plan_about(t->plan, &about);
    (void)snprintf(folder, sizeof folder, "%.3000s/tools/evaluated", t->flows->node->paths.data);
    int status = file_mkdirs(folder, 0700, &e);
    if (status == 0)
        status = file_write_atomic(path, bytes_of(about.hash), 0600, &e);
    if (status < 0) // it is looked at once more
        log_event(LOG_WARN, "flow.not_marked", LOG_BYTES("urn", buf_bytes(&t->urn)),
                  LOG_STR("why", e.text));
}

// ---- the end ------------------------------------------------------------------------------------

static void tell(const struct trial *t, int status, const struct val *res, const struct err *e)
{
    if (!t->promote || status == E_CANCELLED)
        return;
    if (status < 0)
        log_event(LOG_WARN, "flow.not_promoted", LOG_BYTES("flow", name_of(t, "name")),
                  LOG_BYTES("version", name_of(t, "version")), LOG_STR("why", e->text));
    else
        log_event(LOG_INFO, "flow.promoted", LOG_BYTES("urn", buf_bytes(&t->urn)),
                  LOG_BYTES("id", val_bytes(val_get_cstr(res, "id"))),
                  LOG_BOOL("published", val_truthy(val_get_cstr(res, "published"))));
}

static void end(struct trial *t, int status, const struct val *res, const struct err *e)
{
    struct err own = {0};
    struct buf json;
    buf_init(&json, VALUE_MAX);
    if (status == 0 && (status = val_write(&json, res)) < 0) {
        (void)err_set(&own, status, "the answer is too large");
        e = &own;
    }
    tell(t, status, res, e);
    if (!t->answer)
        ;
    else if (status < 0)
        ctl_answer_error(t->answer, e);
    else
        ctl_answer(t->answer, 200, buf_bytes(&json));
    buf_fini(&json);
    trial_free(t);
}

static void fail(struct trial *t, int status, const struct err *e)
{
    struct err own = {0};
    if (!e || !e->code) {
        (void)err_set(&own, status, "%s", err_info(status)->text);
        e = &own;
    }
    end(t, status, NULL, e);
}

// ---- evidence, and promotion --------------------------------------------------------------------

static struct val *evidence_of(const struct trial *t)
{
    const struct config *c = t->flows->node->config;
    struct flow_about about;
    flow_plan_about(t->plan, &about);
    struct val *v = val_put_cstr(val_obj(), "type", val_cstr("Evaluation"));
    v = val_put_cstr(v, "version", val_int(1));
    v = val_put_cstr(v, "urn", t->urn.n ? val_str(buf_bytes(&t->urn)) : val_null());
    v = val_put_cstr(v, "flow", val_ref(t->names));
    v = val_put_cstr(v, "bundle", val_cstr(about.hash));
    v = val_put_cstr(v, "node", val_cstr(c->node_name));
    v = val_put_cstr(v, "engine", val_cstr(c->flows.engine));
    v = val_put_cstr(v, "at", val_int(time_wall_ms()));
    v = val_put_cstr(v, "passed", val_int((int64_t)t->passed));
    v = val_put_cstr(v, "failed", val_int((int64_t)(t->next - t->passed)));
    return val_put_cstr(v, "cases", val_ref(t->rows));
}

static struct caps *caps_of(const struct node *n)
{
    const struct node_tools *t = n->tools;
    return t && !t->closing && t->caps ? t->caps->caps : NULL;
}

static void published(struct caps_req *r, int status, const struct val *res, const struct err *e)
{
    struct trial *t = r->user;
    if (status < 0)
        fail(t, status, e);
    else
        end(t, 0, res, NULL);
}

static int promote(struct trial *t, const struct val *evidence, struct err *e)
{
    struct caps *c = caps_of(t->flows->node);
    size_t failed = t->next - t->passed;
    if (failed)
        return err_set(e, E_MANIFEST,
                       "%s: %zu of its %zu cases failed: `plexus flow eval` says which",
                       buf_cstr(&t->urn), failed, t->next);
    if (!c)
        return err_set(e, E_UNAVAILABLE, "the node is stopping");
    t->publish = (struct caps_req){.done = published, .user = t};
    return caps_promote_flow(c,
                             &(struct caps_flow){.urn = buf_bytes(&t->urn),
                                                 .document = buf_bytes(&t->text),
                                                 .evidence = evidence,
                                                 .cases = t->passed},
                             &t->publish, e);
}

static void evaluated(struct trial *t)
{
    struct err e = {0};
    AUTO(val) evidence = evidence_of(t);
    int status = evidence ? 0 : err_set(&e, E_NOMEM, "out of memory");
    if (status == 0 && t->promote)
        status = promote(t, evidence, &e);
    if (!t->answer && (status == 0 || status == E_MANIFEST))
        mark(t);
    if (status < 0)
        fail(t, status, &e);
    else if (!t->promote)
        end(t, 0, evidence, NULL);
}

// ---- the cases ----------------------------------------------------------------------------------

static struct val *hash_of(const struct val *v)
{
    char hash[MANIFEST_HASH_LEN + 1];
    struct buf text;
    buf_init(&text, VALUE_MAX);
    int rc = v ? crystal_canonical(&text, v, hash, NULL) : E_NOTFOUND;
    buf_fini(&text);
    return rc ? val_null() : val_cstr(hash);
}

static void row(struct trial *t, const struct val *ended, struct bytes why)
{
    const struct val *one = val_at(t->cases, t->next), *error = val_get_cstr(ended, "error");
    struct val *v = val_put_cstr(val_obj(), "name", val_ref(val_get_cstr(one, "name")));
    v = val_put_cstr(v, "run", val_cstr(t->run));
    v = val_put_cstr(v, "passed", val_bool(!why.n));
    v = val_put_cstr(v, "input", hash_of(val_get_cstr(one, "input")));
    v = val_put_cstr(v, "answer", hash_of(error ? error : val_get_cstr(ended, "output")));
    v = val_put_cstr(v, "took_ms", val_int(time_mono_ms() - t->began_ms));
    if (why.n)
        v = val_put_cstr(v, "why", val_str(why));
    t->rows = val_push(t->rows, v);
    t->passed += !why.n;
    t->next++;
}

static void next(struct trial *t);

static void ended_late(struct runs_req *r, int status, struct bytes json, const struct err *e)
{
    struct trial *t = r->user;
    (void)json;
    (void)status; // it ended just now, or it goes on and can be seen
    (void)e;
    next(t);
}

static bool has_ended(const struct val *v)
{
    static const char *const ends[] = {"completed", "faulted", "cancelled", "terminated"};
    bool yes = false;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        yes |= bytes_is(val_bytes(val_get_cstr(v, "status")), ends[i]);
    return yes;
}

static void case_done(struct runs_req *r, int status, struct bytes json, const struct err *e)
{
    struct trial *t = r->user;
    AUTO(val) v = NULL;
    struct buf why;
    bool late = false;
    if (t->flows->closing || status == E_CANCELLED || status == E_NOMEM) {
        fail(t, status < 0 ? status : E_CANCELLED, e);
        return;
    }
    buf_init(&why, 4096);
    if (status < 0 || (status = val_parse(&v, json, NULL)) < 0)
        (void)buf_fmt(&why, "%s", e && e->n ? e->text : err_info(status)->text);
    else if ((late = !has_ended(v)))
        (void)buf_fmt(&why, "it is %.*s, and its time is over",
                      BYTES_FMT(val_bytes(val_get_cstr(v, "status"))));
    else
        flow_case_judge(val_at(t->cases, t->next), v, &why);
    row(t, v, why.failed ? BYTES("it gave something else") : buf_bytes(&why));
    buf_fini(&why);
    if (!late) {
        next(t);
        return;
    }
    t->end = (struct runs_req){.done = ended_late, .user = t};
    ENGINE(t->flows, hand,
           &(struct runs_hand){.id = bytes_of(t->run),
                               .action = BYTES("terminate"),
                               .by = val_bytes(t->by),
                               .reason = BYTES("the time of its case is over")},
           &t->end);
}

static void next(struct trial *t)
{
    const struct val *one = val_at(t->cases, t->next);
    struct flow_about about;
    if (t->flows->closing) {
        fail(t, E_CANCELLED, NULL);
        return;
    }
    if (!one) {
        evaluated(t);
        return;
    }
    flow_plan_about(t->plan, &about);
    (void)snprintf(t->run, sizeof t->run, "%s-%.60s-%.40s-%s-%zu", t->promote ? "promote" : "eval",
                   about.name, about.version, t->id, t->next + 1);
    t->began_ms = time_mono_ms();
    t->req = (struct runs_req){.done = case_done, .user = t};
    ENGINE(t->flows, start,
           &(struct runs_start){.document = about.bundle,
                                .id = bytes_of(t->run),
                                .input = val_get_cstr(one, "input"),
                                .by = val_bytes(t->by),
                                .label_otherwise = val_bytes(t->otherwise),
                                .wait = true,
                                .wait_ms = flow_case_timeout_ms(one)},
           &t->req);
}

// ---- the document -------------------------------------------------------------------------------

// As people wrote it, when it stands alone; else with what it needs.
static int put_text(struct trial *t, struct err *e)
{
    AUTO(flow_plan) alone = NULL;
    struct flow_about about;
    flow_plan_about(t->plan, &about);
    bool whole = flow_plan_new(&alone, about.text, NULL, NULL) == 0;
    return buf_put(&t->text, whole ? about.text : about.bundle) < 0
               ? err_set(e, E_NOMEM, "out of memory")
               : 0;
}

static int opened(struct trial *t, struct bytes bundle, struct err *e)
{
    struct flow_about about;
    int status = flow_plan_new(&t->plan, bundle, NULL, e);
    if (status)
        return status < 0 ? status : err_set(e, E_INVALID, "it was kept without what it needs");
    flow_plan_about(t->plan, &about);
    t->cases = flow_cases(t->plan);
    t->names = val_put_cstr(t->names, "version", val_cstr(about.version)); // of the newest
    t->rows = val_arr();
    if (!t->cases)
        return err_set(e, E_INVALID,
                       "%s/%s:%s has no cases (document.metadata.plexus.cases), so nothing is "
                       "evaluated",
                       about.namespace, about.name, about.version);
    struct bytes label = val_bytes(val_ptr(about.metadata, BYTES("/plexus/label")));
    status = node_flows_may(t->flows->node, t->owner, label.n ? label : val_bytes(t->otherwise),
                            "the flow", e);
    if (status == 0 && urn_of_flow(&t->urn, bytes_of(about.namespace), bytes_of(about.name),
                                   bytes_of(about.version), &t->no_urn) < 0)
        buf_clear(&t->urn);
    if (status == 0 && t->promote && !t->urn.n) {
        *e = t->no_urn;
        status = e->code;
    }
    return status == 0 && t->promote ? put_text(t, e) : status;
}

static void got(struct trial *t, int status, struct bytes bundle, const struct err *why)
{
    struct err e = {0};
    if (status < 0) {
        fail(t, status, why);
        return;
    }
    status = opened(t, bundle, &e);
    if (!t->answer && (!t->cases || (status == 0 && marked(t)))) {
        trial_free(t); // nothing is to be done by itself
        return;
    }
    if (status < 0)
        fail(t, status, &e);
    else
        next(t);
}

static void on_text(struct runs_req *r, int status, struct bytes json, const struct err *e)
{
    struct trial *t = r->user;
    struct err own = {0};
    AUTO(val) v = NULL;
    if (status >= 0 && (status = val_parse(&v, json, &own)) < 0)
        e = &own;
    got(t, status, val_bytes(val_get_cstr(v, "document")), e);
}

static void ask_text(struct trial *t, struct bytes namespace, struct bytes name,
                     struct bytes version)
{
    struct err e = {0};
    struct buf text;
    t->names = val_put_cstr(val_obj(), "namespace", val_str(namespace));
    t->names = val_put_cstr(t->names, "name", val_str(name));
    t->names = val_put_cstr(t->names, "version", val_str(version));
    if (!node_temporal_of(t->flows)) {
        t->req = (struct runs_req){.done = on_text, .user = t};
        runs_document(t->flows->runs, namespace, name, version, &t->req);
        return;
    }
    buf_init(&text, TEXT_MAX);
    int status = node_temporal_text(t->flows, namespace, name, version, &text, &e);
    got(t, status, buf_bytes(&text), &e);
    buf_fini(&text);
}

// ---- what was promoted elsewhere ----------------------------------------------------------------

struct fetch {
    struct caps_req req;
    struct node *node;
    struct ctl_answer *answer;
    void *owner;
};

// A document is called what its URN says: it takes nobody else's place.
static int named(struct bytes text, struct bytes urn, struct err *e)
{
    AUTO(flow_plan) plan = NULL;
    struct flow_about about;
    struct buf own;
    int status = flow_plan_new(&plan, text, NULL, e);
    if (status < 0)
        return status;
    flow_plan_about(plan, &about);
    buf_init(&own, URN_MAX + 1);
    status = urn_of_flow(&own, bytes_of(about.namespace), bytes_of(about.name),
                         bytes_of(about.version), e);
    if (status == 0 && !bytes_eq(buf_bytes(&own), urn))
        status = err_set(e, E_SECURITY, "%.*s is the document %s/%s:%s, of another URN",
                         BYTES_FMT(urn), about.namespace, about.name, about.version);
    buf_fini(&own);
    return status;
}

static void fetched(struct caps_req *r, int status, const struct val *res, const struct err *why)
{
    struct fetch *q = r->user;
    struct ctl_answer *a = q->answer;
    struct node *n = q->node;
    struct ctl_flow_ask ask = {.op = CTL_FLOW_DOCUMENT_ADD, .owner = q->owner};
    struct json_doc *body = NULL;
    struct json_w w;
    struct buf json;
    struct err e = {0};
    struct bytes text = val_bytes(val_get_cstr(res, "document"));
    mem_free(q);
    buf_init(&json, TEXT_MAX);
    if (status < 0)
        e = *why;
    else if ((status = named(text, val_bytes(val_get_cstr(res, "urn")), &e)) == 0) {
        json_w_init(&w, &json);
        json_w_obj(&w, NULL);
        json_w_str(&w, "document", text);
        json_w_end(&w);
        status = json_parse(&body, buf_bytes(&json), 0, &e);
    }
    ask.body = json_root(body);
    if (status < 0)
        ctl_answer_error(a, &e);
    else
        node_flows_op(n, &ask, a);
    json_free(body);
    buf_fini(&json);
}

void node_flow_fetch(struct node_flows *f, const struct ctl_flow_ask *ask, struct ctl_answer *a)
{
    struct caps *c = caps_of(f->node);
    struct fetch *q = mem_new(struct fetch);
    struct err e = {0};
    int status = !q ? err_set(&e, E_NOMEM, "out of memory") : 0;
    if (status == 0 && !c)
        status = err_set(&e, E_UNAVAILABLE, "the node is stopping");
    if (status == 0) {
        *q = (struct fetch){
            .req = {.done = fetched, .user = q}, .node = f->node, .answer = a, .owner = ask->owner};
        status = caps_fetch_flow(c, json_str(json_get(ask->body, "urn")), &q->req, &e);
    }
    if (status < 0) {
        ctl_answer_error(a, &e);
        mem_free(q);
    }
}

// ---- beginning ----------------------------------------------------------------------------------

static struct trial *trial_new(struct node_flows *f, struct bytes by, struct ctl_answer *a)
{
    struct trial *t = mem_new(struct trial);
    char id[RNG_ID_LEN + 1];
    if (!t)
        return NULL;
    t->flows = f;
    t->answer = a;
    t->by = val_str(by);
    buf_init(&t->urn, URN_MAX + 1);
    buf_init(&t->text, TEXT_MAX);
    rng_id(id);
    (void)snprintf(t->id, sizeof t->id, "%s", id + RNG_ID_LEN - SHORT_ID);
    return t;
}

void node_flow_promote(struct node_flows *f, const struct ctl_flow_ask *ask, struct bytes by,
                       struct ctl_answer *a)
{
    struct trial *t = trial_new(f, by, a);
    struct err e = {0};
    struct buf label, otherwise;
    buf_init(&label, 2048);
    buf_init(&otherwise, 2048);
    int status =
        t ? node_flows_label(f->node, BYTES_NONE, ask->owner, &label, &otherwise, &e) : E_NOMEM;
    if (status == 0) {
        t->owner = ask->owner;
        t->promote = ask->op == CTL_FLOW_DOCUMENT_PROMOTE;
        t->otherwise = val_str(buf_bytes(&otherwise));
        ask_text(t, ask->id, ask->sub, ask->version);
    } else if (t) {
        fail(t, status, &e);
    } else {
        (void)err_set(&e, status, "out of memory");
        ctl_answer_error(a, &e);
    }
    buf_fini(&label);
    buf_fini(&otherwise);
}

void node_flow_registered(struct node_flows *f, struct bytes json)
{
    AUTO(val) v = NULL;
    if (!f->node->config->flows.promote || f->closing || val_parse(&v, json, NULL) < 0)
        return;
    struct trial *t = trial_new(f, BYTES("promotion"), NULL);
    if (!t)
        return;
    t->promote = true;
    ask_text(t, val_bytes(val_get_cstr(v, "namespace")), val_bytes(val_get_cstr(v, "name")),
             val_bytes(val_get_cstr(v, "version")));
}
