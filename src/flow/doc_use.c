// doc_use.c: what a document defines once and uses by its name: timeouts, retries, errors,
// extensions, secrets; and the schemas of its data.
// SPDX-License-Identifier: Apache-2.0
#include "flow/doc_priv.h"
#include <stdio.h>

#define SECRETS_MAX 1000

// use.KIND.NAME; NULL with a finding.
const struct val *doc_use(struct doc_work *w, const struct doc_at *at, const char *kind,
                          const char *what, struct bytes name)
{
    const struct val *all = val_get_cstr(w->use, kind), *found = val_get(all, name);
    if (found)
        return found;
    const char *near = doc_nearest(w, all, name);
    if (near)
        doc_find(w, at, false, "no %s \"%.*s\" in use.%s; the nearest is \"%s\"", what,
                 BYTES_FMT(bytes_first(name, 128)), kind, near);
    else
        doc_find(w, at, false, "no %s \"%.*s\": define it in use.%s", what,
                 BYTES_FMT(bytes_first(name, 128)), kind);
    return NULL;
}

void doc_timeout(struct doc_work *w, const struct doc_at *at, const struct val *v,
                 struct flow_dur *ret)
{
    const struct doc_at *of = DOC_USED("timeouts", val_bytes(v));
    if (val_is(v, JSON_STR)) {
        v = doc_use(w, at, "timeouts", "timeout", val_bytes(v));
        at = of;
    }
    doc_dur(w, DOC_KEY(at, "after"), val_get_cstr(v, "after"), ret);
}

static void backoff(struct doc_work *w, const struct doc_at *at, const struct val *v,
                    struct flow_retry *r)
{
    const struct val *how;
    if (val_get_cstr(v, "constant")) {
        r->backoff = FLOW_BACKOFF_CONSTANT;
    } else if ((how = val_get_cstr(v, "linear"))) {
        r->backoff = FLOW_BACKOFF_LINEAR;
        doc_dur(w, DOC_KEY(DOC_KEY(at, "linear"), "increment"), val_get_cstr(how, "increment"),
                &r->increment);
    } else if ((how = val_get_cstr(v, "exponential"))) {
        r->backoff = FLOW_BACKOFF_EXPONENTIAL;
        r->factor = val_dbl(val_get_cstr(how, "factor"), 2);
        doc_dur(w, DOC_KEY(DOC_KEY(at, "exponential"), "maxDelay"), val_get_cstr(how, "maxDelay"),
                &r->delay_max);
    }
}

struct flow_retry *doc_retry(struct doc_work *w, const struct doc_at *at, const struct val *v)
{
    const struct doc_at *of = DOC_USED("retries", val_bytes(v));
    if (val_is(v, JSON_STR)) {
        v = doc_use(w, at, "retries", "retry policy", val_bytes(v));
        at = of;
    }
    struct flow_retry *r = v ? doc_alloc(w, sizeof *r) : NULL;
    if (!r)
        return NULL;
    const struct doc_at *limit = DOC_KEY(at, "limit"), *jitter = DOC_KEY(at, "jitter");
    const struct val *l = val_get_cstr(v, "limit"), *j = val_get_cstr(v, "jitter");
    const struct val *attempt = val_get_cstr(l, "attempt");
    r->factor = 2;
    r->when = doc_expr(w, DOC_KEY(at, "when"), val_get_cstr(v, "when"));
    r->except_when = doc_expr(w, DOC_KEY(at, "exceptWhen"), val_get_cstr(v, "exceptWhen"));
    doc_dur(w, DOC_KEY(at, "delay"), val_get_cstr(v, "delay"), &r->delay);
    backoff(w, DOC_KEY(at, "backoff"), val_get_cstr(v, "backoff"), r);
    r->attempts_max = val_i64(val_get_cstr(attempt, "count"), -1);
    if (val_get_cstr(attempt, "count") && r->attempts_max < 0)
        doc_find(w, DOC_KEY(DOC_KEY(limit, "attempt"), "count"), false,
                 "a count of attempts is not below 0");
    doc_dur(w, DOC_KEY(DOC_KEY(limit, "attempt"), "duration"), val_get_cstr(attempt, "duration"),
            &r->attempt_duration);
    doc_dur(w, DOC_KEY(limit, "duration"), val_get_cstr(l, "duration"), &r->limit_duration);
    doc_dur(w, DOC_KEY(jitter, "from"), val_get_cstr(j, "from"), &r->jitter_from);
    doc_dur(w, DOC_KEY(jitter, "to"), val_get_cstr(j, "to"), &r->jitter_to);
    return r;
}

// ---- schemas ------------------------------------------------------------------------------------

static void compile_schema(struct doc_work *w, const struct doc_at *at, const struct val *v,
                           struct bytes uri, struct flow_schema_use *ret)
{
    struct flow_kept *k = doc_alloc(w, sizeof *k);
    struct err e = {0};
    if (!k)
        return;
    k->next = w->plan->compiled;
    k->uri = uri;
    w->plan->compiled = k;
    int rc = val_to_json(&k->doc, v, &e);
    if (!rc) {
        struct schema_args args = {.doc = json_root(k->doc), .draft = SCHEMA_2020_12};
        rc = schema_new(&k->schema, &args, &e);
    }
    if (rc == E_NOMEM)
        w->failed = rc;
    else if (rc)
        doc_find(w, at, false, "not a JSON schema: %s", e.text);
    ret->schema = k->schema;
}

static void external_schema(struct doc_work *w, const struct doc_at *at, const struct val *resource,
                            struct flow_schema_use *ret)
{
    const struct val *endpoint = val_get_cstr(resource, "endpoint");
    struct bytes uri =
        val_bytes(val_is(endpoint, JSON_STR) ? endpoint : val_get_cstr(endpoint, "uri"));
    if (bytes_find(uri, BYTES("${")) >= 0 || bytes_chr(uri, '{') >= 0) {
        doc_find(w, at, false,
                 "the address of a schema is fixed: it is fetched once, with the "
                 "document");
        return;
    }
    for (const struct flow_kept *k = w->plan->compiled; k; k = k->next)
        if (k->uri.p && bytes_eq(k->uri, uri)) { // once for all who name it
            ret->schema = k->schema;
            return;
        }
    const struct val *v = doc_resource(w, uri);
    char what[160] = "schema";
    if (v) {
        compile_schema(w, at, v, uri, ret);
    } else if (!val_get(w->resources, uri)) {
        if (w->task)
            (void)snprintf(what, sizeof what, "schema of task %.120s", w->task);
        doc_need(w, uri, endpoint, what);
    }
}

static void schema(struct doc_work *w, const struct doc_at *at, const struct val *v,
                   struct flow_schema_use *ret)
{
    struct bytes format = val_bytes(val_get_cstr(v, "format"));
    const struct val *document = val_get_cstr(v, "document");
    if (!v)
        return;
    if (format.n && !bytes_iis(format, "json") && !bytes_starts(format, BYTES("json:"))) {
        doc_find(w, DOC_KEY(at, "format"), false, "schemas are of format \"json\", not \"%.*s\"",
                 BYTES_FMT(bytes_first(format, 64)));
        return;
    }
    if (document)
        compile_schema(w, DOC_KEY(at, "document"), document, BYTES_NONE, ret);
    else
        external_schema(w, DOC_KEY(at, "resource"), val_get_cstr(v, "resource"), ret);
}

void doc_io(struct doc_work *w, const struct doc_at *at, const struct val *v, const char *as,
            struct flow_io *ret)
{
    if (!v)
        return;
    schema(w, DOC_KEY(at, "schema"), val_get_cstr(v, "schema"), &ret->schema);
    ret->as = doc_as(w, DOC_KEY(at, as), val_get_cstr(v, as));
}

// ---- secrets ------------------------------------------------------------------------------------

void doc_secrets(struct doc_work *w)
{
    const struct val *all = val_get_cstr(w->use, "secrets");
    struct flow_plan *p = w->plan;
    if (val_len(all) > SECRETS_MAX) {
        doc_too_many(w, "a workflow has at most 1,000 secrets");
        return;
    }
    p->secrets = doc_alloc(w, (val_len(all) + 1) * sizeof *p->secrets);
    for (size_t i = 0; p->secrets && i < val_len(all); i++)
        p->secrets[p->secret_count++] = val_bytes(val_at(all, i));
}

bool doc_has_secret(const struct doc_work *w, struct bytes name)
{
    for (size_t i = 0; i < w->plan->secret_count; i++)
        if (bytes_eq(w->plan->secrets[i], name))
            return true;
    return false;
}

// ---- extensions ---------------------------------------------------------------------------------

static const struct {
    const char *name;
    enum flow_kind kind;
} kinds[] = {
    {"call", FLOW_KIND_CALL},     {"emit", FLOW_KIND_EMIT},     {"for", FLOW_KIND_FOR},
    {"listen", FLOW_KIND_LISTEN}, {"raise", FLOW_KIND_RAISE},   {"run", FLOW_KIND_RUN},
    {"set", FLOW_KIND_SET},       {"switch", FLOW_KIND_SWITCH}, {"try", FLOW_KIND_TRY},
    {"wait", FLOW_KIND_WAIT},
};

void doc_extensions(struct doc_work *w)
{
    const struct val *all = val_get_cstr(w->use, "extensions");
    struct flow_plan *p = w->plan;
    const struct doc_at *list = DOC_KEY(DOC_KEY(NULL, "use"), "extensions");
    p->extensions = doc_alloc(w, (val_len(all) + 1) * sizeof *p->extensions);
    for (size_t i = 0; p->extensions && i < val_len(all); i++) {
        struct flow_extension *x = &p->extensions[p->extension_count++];
        size_t first = 0;
        struct bytes name = BYTES_NONE;
        struct val *def = NULL;
        (void)val_each(val_at(all, i), &first, &name, &def);
        const struct doc_at *at = DOC_NAME(DOC_ITEM(list, i), name);
        struct bytes what = val_bytes(val_get_cstr(def, "extend"));
        x->name = name.p ? name.p : "";
        x->all = bytes_is(what, "all");
        x->composite = bytes_is(what, "composite");
        for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++)
            if (bytes_is(what, kinds[k].name))
                x->kind = kinds[k].kind;
        x->when = doc_expr(w, DOC_KEY(at, "when"), val_get_cstr(def, "when"));
        doc_list(w, DOC_KEY(at, "before"), val_get_cstr(def, "before"), NULL, &x->before);
        doc_list(w, DOC_KEY(at, "after"), val_get_cstr(def, "after"), NULL, &x->after);
    }
}
