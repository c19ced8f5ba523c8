// doc_catalog.c: functions: of the document, of catalogs, by their address; and what else must be
// fetched before a plan can run.
// SPDX-License-Identifier: Apache-2.0
#include "base/embed.h"
#include "flow/doc_priv.h"
#include <stdio.h>
#include <string.h>

#define NEEDS_MAX 1000
#define CATALOG "plexus:catalog/" // then NAME/VERSION.yaml: functions that the binary carries

const struct embed_file *embed_flow_catalog(size_t *ret_count);

// ---- what must be fetched -----------------------------------------------------------------------

// An endpoint whose authentication is written out, kept by the plan; also NULL, or as it was.
static const struct val *with_authentication(struct doc_work *w, const struct val *endpoint)
{
    struct bytes name = val_bytes(val_ptr(endpoint, BYTES("/authentication/use")));
    struct val *policy = val_get(val_get_cstr(w->use, "authentications"), name);
    if (!name.n || !policy)
        return endpoint;
    struct val *out = val_put_cstr(val_obj(), "uri", val_ref(val_get_cstr(endpoint, "uri")));
    out = val_put_cstr(out, "authentication", val_ref(policy));
    w->plan->kept = val_push(w->plan->kept, out);
    if (!w->plan->kept) {
        w->failed = E_NOMEM;
        return NULL;
    }
    return val_at(w->plan->kept, val_len(w->plan->kept) - 1);
}

void doc_need(struct doc_work *w, struct bytes uri, const struct val *endpoint, const char *what)
{
    struct flow_plan *p = w->plan;
    endpoint = with_authentication(w, endpoint);
    for (size_t i = 0; i < p->need_count; i++)
        if (bytes_eq(p->needs[i].uri, uri))
            return;
    if (p->need_count == NEEDS_MAX) {
        doc_too_many(w, "a workflow needs at most 1,000 other documents");
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

// A function of our own catalog: its text goes into the bundle, so that a run keeps it also under
// another plexus. false: there is none of that name.
static bool take_default(struct doc_work *w, struct bytes uri)
{
    size_t count = 0;
    const struct embed_file *all = embed_flow_catalog(&count);
    struct bytes name = bytes_from(uri, sizeof CATALOG - 1);
    for (size_t i = 0; i < count; i++) {
        if (!bytes_eq(bytes_of(all[i].path), name))
            continue;
        if (!val_get(w->resources, uri))
            w->resources = val_put(w->resources, uri, val_str(all[i].data));
        if (!w->resources)
            w->failed = E_NOMEM;
        return true;
    }
    return false;
}

static void no_default(struct doc_work *w, const struct doc_at *at, struct bytes full)
{
    size_t count = 0;
    const struct embed_file *all = embed_flow_catalog(&count);
    struct val *names = val_arr();
    for (size_t i = 0; i < count; i++) {
        struct bytes version = bytes_of(all[i].path), name = bytes_cut(&version, '/');
        char text[128];
        version = bytes_first(version, version.n - (sizeof ".yaml" - 1));
        (void)snprintf(text, sizeof text, "%.*s:%.*s@default", BYTES_FMT(name), BYTES_FMT(version));
        names = val_push(names, val_cstr(text));
    }
    const char *near = doc_nearest(w, names, full);
    doc_find(w, at, false, "plexus' own catalog has no \"%.*s\"%s%s%s",
             BYTES_FMT(bytes_first(full, 128)), near ? "; the nearest is \"" : "", near ? near : "",
             near ? "\"" : "");
    val_unref(names);
}

// The text of a fetched document as a value that the plan keeps; NULL: not there, or not readable.
const struct val *doc_resource(struct doc_work *w, struct bytes uri)
{
    struct bytes text = val_bytes(val_get(w->resources, uri));
    struct yaml *y = NULL;
    struct err e = {0};
    if (!text.p || w->findings->count == FLOW_FINDINGS_MAX)
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
        const struct val *then = val_get_cstr(t->def, "then");
        w->foreign = !val_get(own, bytes_of(t->name));
        w->task = t->name;
        if (then && !bytes_is(val_bytes(then), "continue"))
            doc_find(w, DOC_KEY(DOC_NAME(at, bytes_of(t->name)), "then"), false,
                     "a function has no tasks beside it: the task that calls it says what is then");
        w->var_count = 0;
        doc_task(w, DOC_NAME(at, bytes_of(t->name)), t, t->def);
    }
    w->foreign = false;
}

static const struct bytes github = {"https://github.com/", 19};

// Pages of github.com are for people: the raw text is elsewhere. NULL: not such a page.
static char *raw_github(struct doc_work *w, struct bytes uri)
{
    struct bytes rest = bytes_from(uri, github.n), owner, repo, word, branch;
    if (!bytes_starts(uri, github))
        return NULL;
    owner = bytes_cut(&rest, '/');
    repo = bytes_cut(&rest, '/');
    if (bytes_starts(rest, BYTES("tree/")) || bytes_starts(rest, BYTES("blob/"))) {
        word = bytes_cut(&rest, '/');
        branch = bytes_cut(&rest, '/');
        (void)word;
    } else {
        branch = BYTES("main");
    }
    return arena_fmt(w->arena, "https://raw.githubusercontent.com/%.*s/%.*s/refs/heads/%.*s%s%.*s",
                     BYTES_FMT(owner), BYTES_FMT(repo), BYTES_FMT(branch), rest.n ? "/" : "",
                     BYTES_FMT(rest));
}

// "name:version@catalog": the address of its definition under the catalog's.
static char *catalog_uri(struct doc_work *w, struct bytes root, struct bytes name,
                         struct bytes version)
{
    while (root.n && root.p[root.n - 1] == '/')
        root.n--;
    const char *raw = raw_github(w, root);
    ptrdiff_t tree = bytes_find(root, BYTES("/-/tree/")); // GitLab
    if (tree >= 0)
        raw = arena_fmt(w->arena, "%.*s/-/raw/%.*s", BYTES_FMT(bytes_first(root, (size_t)tree)),
                        BYTES_FMT(bytes_from(root, (size_t)tree + sizeof "/-/tree/" - 1)));
    if (raw)
        root = bytes_of(raw);
    return arena_fmt(w->arena, "%.*s/functions/%.*s/%.*s/function.yaml", BYTES_FMT(root),
                     BYTES_FMT(name), BYTES_FMT(version));
}

// A function by its address. https://github.com/OWNER/REPO/PATH@TAG: PATH/function.yaml of that
// tag.
static char *function_uri(struct doc_work *w, struct bytes uri)
{
    ptrdiff_t tag = bytes_chr(uri, '@');
    struct bytes rest = bytes_from(uri, github.n);
    if (!bytes_starts(uri, github))
        return arena_str(w->arena, uri);
    if (tag < 0)
        return raw_github(w, uri);
    struct bytes version = bytes_from(uri, (size_t)tag + 1);
    rest = bytes_first(rest, (size_t)tag - github.n);
    struct bytes owner = bytes_cut(&rest, '/'), repo = bytes_cut(&rest, '/');
    return arena_fmt(
        w->arena, "https://raw.githubusercontent.com/%.*s/%.*s/refs/tags/%.*s/%.*s%sfunction.yaml",
        BYTES_FMT(owner), BYTES_FMT(repo), BYTES_FMT(version), BYTES_FMT(rest), rest.n ? "/" : "");
}

static struct flow_task *of_uri(struct doc_work *w, const struct doc_at *at, struct bytes uri,
                                struct bytes name, const struct val *endpoint)
{
    const struct doc_at *here = DOC_USED("functions", name);
    const struct val *def = doc_resource(w, uri);
    if (def)
        return doc_schema_task(w, here, name, def) ? declare(w, here, name, def) : NULL;
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
        uri = arena_fmt(w->arena, CATALOG "%.*s/%.*s.yaml", BYTES_FMT(name), BYTES_FMT(version));
        if (uri && !val_get(w->resources, bytes_of(uri)) && !take_default(w, bytes_of(uri))) {
            no_default(w, at, full);
            return NULL;
        }
    } else {
        const struct val *c = doc_use(w, at, "catalogs", "catalog", catalog);
        if (!c)
            return NULL;
        endpoint = val_get_cstr(c, "endpoint");
        struct bytes root =
            val_bytes(val_is(endpoint, JSON_STR) ? endpoint : val_get_cstr(endpoint, "uri"));
        if (bytes_chr(root, '{') >= 0) {
            doc_find(w, at, false,
                     "the address of a catalog is fixed: its functions are fetched "
                     "once, with the document");
            return NULL;
        }
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
    if (bytes_find(name, BYTES("://")) > 0) {
        char *uri = function_uri(w, name);
        return uri ? of_uri(w, at, bytes_of(uri), name, NULL) : NULL;
    }
    if (bytes_chr(name, '@') >= 0)
        return of_catalog(w, at, name);
    (void)doc_use(w, at, "functions", "function", name); // says that there is none
    return NULL;
}
