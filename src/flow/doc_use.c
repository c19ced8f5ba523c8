// doc_use.c: what a document defines once and uses by its name: timeouts, retries, errors,
// functions, extensions, secrets, schemas; and what must be fetched before it can run.
// SPDX-License-Identifier: Apache-2.0
#include "flow/doc_priv.h"
#include <stdio.h>
#include <string.h>

#define NEEDS_MAX 1000
#define SECRETS_MAX 1000

// use.KIND.NAME; NULL with a finding.
const struct val *doc_use(struct doc_work *w, const struct doc_at *at, const char *kind,
                          const char *what, struct bytes name)
{
    const struct val *all = val_get_cstr(w->use, kind), *found = val_get(all, name);
    if (found)
        return found;
    const char *near = doc_nearest(all, name);
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
    if (val_is(v, JSON_STR)) {
        v = doc_use(w, at, "timeouts", "timeout", val_bytes(v));
        if (!v)
            return;
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
    if (!v)
        return NULL;
    if (val_is(v, JSON_STR) && !(v = doc_use(w, at, "retries", "retry policy", val_bytes(v))))
        return NULL;
    struct flow_retry *r = doc_alloc(w, sizeof *r);
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
    doc_dur(w, DOC_KEY(DOC_KEY(limit, "attempt"), "duration"), val_get_cstr(attempt, "duration"),
            &r->attempt_duration);
    doc_dur(w, DOC_KEY(limit, "duration"), val_get_cstr(l, "duration"), &r->limit_duration);
    doc_dur(w, DOC_KEY(jitter, "from"), val_get_cstr(j, "from"), &r->jitter_from);
    doc_dur(w, DOC_KEY(jitter, "to"), val_get_cstr(j, "to"), &r->jitter_to);
    return r;
}

// ---- what must be fetched -----------------------------------------------------------------------

void doc_need(struct doc_work *w, struct bytes uri, const struct val *endpoint, const char *what)
{
    struct flow_plan *p = w->plan;
    for (size_t i = 0; i < p->need_count; i++)
        if (bytes_eq(p->needs[i].uri, uri))
            return;
    if (p->need_count == NEEDS_MAX) {
        w->failed = E_TOOBIG;
        return;
    }
    if (p->need_count == w->need_cap) {
        size_t cap = w->need_cap ? w->need_cap * 2 : 8;
        struct flow_need *more = doc_alloc(w, cap * sizeof *more);
        if (!more)
            return;
        if (p->need_count)
            memcpy(more, p->needs, p->need_count * sizeof *more);
        p->needs = more;
        w->need_cap = cap;
    }
    const char *text = arena_str(w->arena, bytes_of(what));
    uri = arena_dup(w->arena, uri);
    if (!text || !uri.p)
        w->failed = E_NOMEM;
    else
        p->needs[p->need_count++] = (struct flow_need){uri, endpoint, text};
}

// The text of a fetched document as a value that the plan keeps; NULL: not there, or not readable.
const struct val *doc_resource(struct doc_work *w, struct bytes uri)
{
    struct bytes text = val_bytes(val_get(w->resources, uri));
    struct yaml *y = NULL;
    struct err e = {0};
    if (!text.p)
        return NULL;
    if (yaml_parse(&y, text, &e)) {
        doc_find(w, NULL, false, "%.*s: %s", BYTES_FMT(bytes_first(uri, 200)), e.text);
        return NULL;
    }
    struct val *v = val_of_json(yaml_root(y));
    yaml_free(y);
    w->plan->kept = val_push(w->plan->kept, val_ref(v));
    if (!w->plan->kept)
        w->failed = E_NOMEM;
    val_unref(v);
    return w->plan->kept ? val_at(w->plan->kept, val_len(w->plan->kept) - 1) : NULL;
}

// ---- schemas ------------------------------------------------------------------------------------

static void compile_schema(struct doc_work *w, const struct doc_at *at, const struct val *v,
                           struct flow_schema_use *ret)
{
    struct flow_kept *k = doc_alloc(w, sizeof *k);
    struct err e = {0};
    if (!k)
        return;
    k->next = w->plan->compiled;
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
    const struct val *v = doc_resource(w, uri);
    char what[160] = "schema";
    if (v)
        compile_schema(w, at, v, ret);
    else if (!val_get(w->resources, uri)) {
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
        compile_schema(w, DOC_KEY(at, "document"), document, ret);
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
        w->failed = E_TOOBIG;
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

// ---- functions ----------------------------------------------------------------------------------

static struct flow_task *declare(struct doc_work *w, const struct doc_at *at, struct bytes name,
                                 const struct val *def)
{
    struct flow_task *t = doc_task_new(w, at, name);
    if (!t)
        return NULL;
    t->def = def;
    int rc = map_put(w->functions, name, t, NULL);
    if (rc)
        w->failed = w->failed ? w->failed : rc == E_FULL ? E_TOOBIG : rc;
    return rc ? NULL : t;
}

// All names first, so that functions may call each other.
void doc_functions_begin(struct doc_work *w)
{
    const struct val *all = val_get_cstr(w->use, "functions");
    size_t i = 0;
    struct bytes name;
    struct val *def;
    while (val_each(all, &i, &name, &def))
        (void)declare(w, DOC_NAME(DOC_KEY(DOC_KEY(NULL, "use"), "functions"), name), name, def);
}

// Only a function is in no list. The table grows while functions of catalogs are found.
void doc_functions(struct doc_work *w)
{
    const struct doc_at *at = DOC_KEY(DOC_KEY(NULL, "use"), "functions");
    const struct val *own = val_get_cstr(w->use, "functions");
    for (size_t i = 0; i < w->plan->task_count && !w->failed; i++) {
        struct flow_task *t = w->plan->tasks[i];
        if (t->in)
            continue;
        w->foreign = !val_get(own, bytes_of(t->name));
        w->var_count = 0;
        doc_task(w, DOC_NAME(at, bytes_of(t->name)), t, t->def);
    }
    w->foreign = false;
}

// "name:version@catalog": the address of its definition under the catalog's, in the arena.
static char *catalog_uri(struct doc_work *w, struct bytes root, struct bytes name,
                         struct bytes version)
{
    static const struct bytes github = {"https://github.com/", 19};
    while (root.n && root.p[root.n - 1] == '/')
        root.n--;
    if (bytes_starts(root, github)) { // its pages are for people: the raw text is elsewhere
        struct bytes rest = bytes_from(root, github.n), owner = bytes_cut(&rest, '/'),
                     repo = bytes_cut(&rest, '/'), word = bytes_cut(&rest, '/'),
                     branch = bytes_cut(&rest, '/');
        if (!bytes_is(word, "tree") && !bytes_is(word, "blob"))
            branch = BYTES("main");
        return arena_fmt(w->arena,
                         "https://raw.githubusercontent.com/%.*s/%.*s/refs/heads/%.*s%s%.*s/"
                         "functions/%.*s/%.*s/function.yaml",
                         BYTES_FMT(owner), BYTES_FMT(repo), BYTES_FMT(branch), rest.n ? "/" : "",
                         BYTES_FMT(rest), BYTES_FMT(name), BYTES_FMT(version));
    }
    ptrdiff_t tree = bytes_find(root, BYTES("/-/tree/")); // GitLab
    if (tree >= 0) {
        struct bytes rest = bytes_from(root, (size_t)tree + 8);
        return arena_fmt(w->arena, "%.*s/-/raw/%.*s/functions/%.*s/%.*s/function.yaml",
                         BYTES_FMT(bytes_first(root, (size_t)tree)), BYTES_FMT(rest),
                         BYTES_FMT(name), BYTES_FMT(version));
    }
    return arena_fmt(w->arena, "%.*s/functions/%.*s/%.*s/function.yaml", BYTES_FMT(root),
                     BYTES_FMT(name), BYTES_FMT(version));
}

static struct flow_task *of_uri(struct doc_work *w, const struct doc_at *at, struct bytes uri,
                                struct bytes name, const struct val *endpoint)
{
    const struct val *def = doc_resource(w, uri);
    if (def)
        return declare(w, DOC_NAME(DOC_KEY(DOC_KEY(NULL, "use"), "functions"), name), name, def);
    if (val_get(w->resources, uri)) {
        doc_find(w, at, false, "the definition of function \"%.*s\" cannot be read",
                 BYTES_FMT(bytes_first(name, 128)));
        return NULL;
    }
    char what[192];
    (void)snprintf(what, sizeof what, "function %.*s", BYTES_FMT(bytes_first(name, 160)));
    doc_need(w, uri, endpoint, what);
    return NULL;
}

static struct flow_task *of_catalog(struct doc_work *w, const struct doc_at *at, struct bytes full)
{
    struct bytes catalog = full, function = bytes_cut(&catalog, '@');
    struct bytes version = function, name = bytes_cut(&version, ':');
    if (!version.n || !name.n || !catalog.n) {
        doc_find(w, at, false, "\"%.*s\": a function of a catalog is named name:version@catalog",
                 BYTES_FMT(bytes_first(full, 128)));
        return NULL;
    }
    const struct val *all = val_get_cstr(w->use, "catalogs");
    char *uri = NULL;
    const struct val *endpoint = NULL;
    if (!val_get(all, catalog) && bytes_is(catalog, "default")) {
        uri = arena_fmt(w->arena, "plexus:catalog/functions/%.*s/%.*s/function.yaml",
                        BYTES_FMT(name), BYTES_FMT(version));
    } else {
        const struct val *c = doc_use(w, at, "catalogs", "catalog", catalog);
        if (!c)
            return NULL;
        endpoint = val_get_cstr(c, "endpoint");
        struct bytes root =
            val_bytes(val_is(endpoint, JSON_STR) ? endpoint : val_get_cstr(endpoint, "uri"));
        uri = catalog_uri(w, root, name, version);
    }
    if (!uri) {
        w->failed = E_NOMEM;
        return NULL;
    }
    return of_uri(w, at, bytes_of(uri), full, endpoint);
}

struct flow_task *doc_function(struct doc_work *w, const struct doc_at *at, struct bytes name)
{
    struct flow_task *t = map_get(w->functions, name);
    if (t)
        return t;
    if (bytes_find(name, BYTES("://")) > 0)
        return of_uri(w, at, name, name, NULL);
    if (bytes_chr(name, '@') >= 0)
        return of_catalog(w, at, name);
    (void)doc_use(w, at, "functions", "function", name); // says that there is none
    return NULL;
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
