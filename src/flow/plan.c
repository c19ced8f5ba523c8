// plan.c: a document's text becomes a plan; what a plan says of itself.
// SPDX-License-Identifier: Apache-2.0
#include "crypto/hash.h"
#include "flow/doc_priv.h"
#include <stdio.h>
#include <string.h>

#define BUNDLE "flow-bundle/1"
#define BUNDLE_MAX (64u << 20)

void flow_plan_unref(struct flow_plan *p)
{
    if (!p || --p->refs)
        return;
    for (size_t i = 0; i < p->expr_count; i++)
        jq_free(p->exprs[i]->plain);
    for (struct flow_kept *k = p->compiled; k; k = k->next) {
        schema_free(k->schema);
        json_free(k->doc);
    }
    mem_free(p->exprs);
    mem_free(p->tasks);
    map_free(p->by_pointer);
    val_unref(p->kept);
    val_unref(p->doc);
    arena_free(p->arena);
    mem_free(p);
}

void flow_plan_auto(struct flow_plan **p)
{
    flow_plan_unref(*p);
}

struct flow_plan *flow_plan_ref(struct flow_plan *p)
{
    p->refs++;
    return p;
}

static struct flow_plan *plan_new(void)
{
    struct flow_plan *p = mem_new(struct flow_plan);
    if (!p)
        return NULL;
    p->refs = 1;
    p->arena = arena_new(FLOW_PLAN_BYTES_MAX);
    p->by_pointer = map_new(FLOW_TASKS_MAX + 1);
    p->kept = val_arr();
    if (p->arena && p->by_pointer && p->kept)
        return p;
    flow_plan_unref(p);
    return NULL;
}

// ---- bundles ------------------------------------------------------------------------------------

int flow_bundle(struct buf *out, struct bytes text, const struct val *resources, struct err *e)
{
    struct val *v = val_put_cstr(val_obj(), "plexus", val_cstr(BUNDLE));
    v = val_put_cstr(v, "document", val_str(text));
    v = val_put_cstr(v, "resources",
                     resources ? val_ref((struct val *)(uintptr_t)resources) : val_obj());
    if (!v)
        return err_set(e, E_NOMEM, "no memory for a bundle");
    int rc = val_write_sorted(out, v);
    val_unref(v);
    return rc ? err_set(e, rc, "the bundle is too large") : 0;
}

// A bundle's parts; false: it is none.
static bool open_bundle(struct bytes text, struct val **ret)
{
    struct val *v = NULL;
    struct bytes t = bytes_trim(text);
    if (!t.n || t.p[0] != '{' || bytes_find(t, BYTES(BUNDLE)) < 0 || val_parse(&v, t, NULL))
        return false;
    if (bytes_is(val_bytes(val_get_cstr(v, "plexus")), BUNDLE)) {
        *ret = v;
        return true;
    }
    val_unref(v);
    return false;
}

// ---- what a plan says of itself -----------------------------------------------------------------

static int about(struct doc_work *w, struct bytes text, struct err *e)
{
    struct flow_about *a = &w->plan->about;
    const struct val *d = val_get_cstr(w->plan->doc, "document");
    const struct val *metadata = val_get_cstr(d, "metadata");
    char hash[2 * SHA256_LEN + 1];
    uint8_t sum[SHA256_LEN];
    struct buf out;
    buf_init(&out, BUNDLE_MAX);
    int rc = flow_bundle(&out, text, w->resources, e);
    if (!rc) {
        a->bundle = arena_dup(w->arena, buf_bytes(&out));
        sha256_sum(a->bundle, sum);
        crypto_hex(sum, sizeof sum, hash);
    }
    buf_fini(&out);
    if (rc)
        return rc;
    a->text = arena_dup(w->arena, text);
    a->hash = arena_str(w->arena, bytes_of(hash));
    if (!a->bundle.p || !a->text.p || !a->hash)
        return err_set(e, E_NOMEM, "no memory for the plan");
    a->namespace = val_text(val_get_cstr(d, "namespace"), "");
    a->name = val_text(val_get_cstr(d, "name"), "");
    a->version = val_text(val_get_cstr(d, "version"), "");
    a->dsl = val_text(val_get_cstr(d, "dsl"), "");
    a->title = val_text(val_get_cstr(d, "title"), "");
    a->summary = val_text(val_get_cstr(d, "summary"), "");
    a->schedule = val_get_cstr(w->plan->doc, "schedule");
    a->input = val_ptr(w->plan->doc, BYTES("/input/schema/document"));
    a->metadata = metadata;
    a->stall = val_bool_of(val_get_cstr(val_get_cstr(metadata, "plexus"), "stall"), false);
    return 0;
}

void flow_plan_about(const struct flow_plan *p, struct flow_about *ret)
{
    *ret = p->about;
    ret->tasks = p->task_count;
}

bool flow_plan_need(const struct flow_plan *p, size_t *at, struct flow_need *ret)
{
    if (*at >= p->need_count)
        return false;
    *ret = p->needs[(*at)++];
    return true;
}

bool flow_plan_secret(const struct flow_plan *p, size_t *at, struct bytes *ret_name)
{
    if (*at >= p->secret_count)
        return false;
    *ret_name = p->secrets[(*at)++];
    return true;
}

struct flow_task *flow_plan_task(const struct flow_plan *p, struct bytes pointer_or_name)
{
    struct flow_task *found = map_get(p->by_pointer, pointer_or_name);
    if (found)
        return found;
    for (size_t i = 0; i < p->task_count; i++) {
        if (!bytes_is(pointer_or_name, p->tasks[i]->name))
            continue;
        if (found)
            return NULL; // two of that name: the pointer must say which
        found = p->tasks[i];
    }
    return found;
}

// ---- making one ---------------------------------------------------------------------------------

static void compile(struct doc_work *w)
{
    struct flow_plan *p = w->plan;
    const struct val *mode = val_get_cstr(val_get_cstr(p->doc, "evaluate"), "mode");
    w->use = val_get_cstr(p->doc, "use");
    p->strict = !bytes_is(val_bytes(mode), "loose");
    doc_check(w);
    doc_secrets(w);
    doc_functions_begin(w);
    doc_io(w, DOC_KEY(NULL, "input"), val_get_cstr(p->doc, "input"), "from", &p->input);
    doc_io(w, DOC_KEY(NULL, "output"), val_get_cstr(p->doc, "output"), "as", &p->output);
    doc_timeout(w, DOC_KEY(NULL, "timeout"), val_get_cstr(p->doc, "timeout"), &p->timeout);
    doc_list(w, DOC_KEY(NULL, "do"), val_get_cstr(p->doc, "do"), NULL, &p->list);
    doc_extensions(w);
    doc_functions(w);
    doc_check_unused(w);
}

// What cannot be read is a finding too: "line L, column C: ...".
static int parse(struct doc_work *w, struct bytes text, struct err *e)
{
    struct err own = {0};
    int rc = yaml_parse(&w->yaml, text, &own), n = 0;
    unsigned line = 0, column = 0;
    if (!rc)
        return 0;
    if (sscanf(own.text, "line %u, column %u: %n", &line, &column, &n) < 2)
        n = 0;
    doc_find(w, NULL, false, "%s", own.text + n);
    w->findings->at[0].line = line;
    w->findings->at[0].column = column;
    return err_set(e, rc, "%s", own.text);
}

static int make(struct doc_work *w, struct bytes text, struct err *e)
{
    if (text.n > FLOW_TEXT_MAX)
        return err_set(e, E_TOOBIG, "a document of %zu bytes: at most %u are allowed", text.n,
                       FLOW_TEXT_MAX);
    int rc = parse(w, text, e);
    if (rc)
        return rc;
    rc = doc_schema(w, yaml_root(w->yaml), e);
    if (rc)
        return rc;
    w->plan->doc = val_of_json(yaml_root(w->yaml));
    if (!w->plan->doc)
        return err_set(e, E_NOMEM, "no memory for the document");
    compile(w);
    rc = doc_findings_end(w, E_INVALID, e);
    if (!rc)
        rc = about(w, text, e);
    return rc ? rc : w->plan->need_count > 0;
}

int flow_plan_new(struct flow_plan **ret, struct bytes text, struct flow_findings *f, struct err *e)
{
    AUTO(flow_plan) p = plan_new();
    struct flow_findings *own = f ? NULL : mem_new(struct flow_findings);
    struct doc_work w = {.plan = p, .findings = f ? f : own};
    struct val *bundle = NULL;
    int rc = E_NOMEM;
    if (f)
        f->count = 0;
    w.functions = map_new(FLOW_TASKS_MAX + 1);
    if (!p || !w.findings || !w.functions) {
        rc = err_set(e, E_NOMEM, "no memory for a plan");
    } else {
        w.arena = p->arena;
        if (text.n <= BUNDLE_MAX && open_bundle(text, &bundle)) {
            w.resources = val_ref(val_get_cstr(bundle, "resources"));
            text = val_bytes(val_get_cstr(bundle, "document"));
        }
        if (!val_is(w.resources, JSON_OBJ)) {
            val_unref(w.resources);
            doc_schemas_free(w.schemas);
            w.resources = val_obj();
        }
        rc = make(&w, text, e);
    }
    val_unref(w.resources);
    doc_schemas_free(w.schemas);
    yaml_free(w.yaml);
    map_free(w.functions);
    val_unref(bundle);
    mem_free(own);
    if (rc >= 0)
        *ret = steal(&p);
    return rc;
}
