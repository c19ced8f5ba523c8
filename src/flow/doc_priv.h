// doc_priv.h: from a document's text to a plan: what the compiler's files share.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_FLOW_DOC_PRIV_H
#define PLEXUS_FLOW_DOC_PRIV_H

#include "base/alloc.h"
#include "flow/plan_priv.h"
#include "text/yaml.h"

#define FLOW_TEXT_MAX (4u << 20)
#define FLOW_TASKS_MAX 10000
#define FLOW_PLAN_BYTES_MAX (256u << 20)
#define FLOW_VARS_MAX 128 // variables of loops and catches around one expression
#define FLOW_VARS_ANY SIZE_MAX // of a definition that is used who knows where

struct flow_kept { // a schema and the document that it borrows
    struct flow_kept *next;
    struct schema *schema;
    struct json_doc *doc;
    struct bytes uri; // of an external one
};

// Where in the document: a chain on the stack, from the innermost outwards.
struct doc_at {
    const struct doc_at *up;
    struct bytes key; // p NULL: index
    size_t index;
};
#define DOC_KEY(up, text) (&(const struct doc_at){(up), bytes_of(text), 0})
#define DOC_NAME(up, name) (&(const struct doc_at){(up), (name), 0})
#define DOC_ITEM(up, i) (&(const struct doc_at){(up), BYTES_NONE, (i)})
#define DOC_USED(kind, name) DOC_NAME(DOC_KEY(DOC_KEY(NULL, "use"), kind), name)

struct doc_work {
    struct flow_plan *plan;
    struct arena *arena; // the plan's
    struct yaml *yaml; // positions; NULL: not known
    const struct val *use; // of the document
    struct val *resources; // of the bundle, and what the plan took of our own catalog; owned
    struct doc_schemas *schemas; // doc_schema.c
    struct map *functions; // name → struct flow_task
    struct flow_findings *findings;
    size_t more; // findings beyond the table
    const char *task; // name of the nearest task
    struct bytes vars[FLOW_VARS_MAX];
    size_t var_count;
    bool late; // inside arguments of an activity: secrets are allowed
    bool foreign; // inside a document of the bundle: positions are not the document's
    int failed; // E_NOMEM, E_TOOBIG
    const char *why; // of E_TOOBIG; NULL: the plan's memory
    size_t need_cap;
    unsigned depth;
};

// doc_find.c
void doc_pointer(struct buf *out, const struct doc_at *at);
char *doc_pointer_in(struct doc_work *w, const struct doc_at *at); // in the arena
// key: the place of the key, not of its value.
void doc_find(struct doc_work *w, const struct doc_at *at, bool key, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void doc_find_pointer(struct doc_work *w, struct bytes pointer, bool key, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
int doc_findings_end(struct doc_work *w, int code, struct err *e); // sorts; 0: there were none
void doc_too_many(struct doc_work *w, const char *why); // E_TOOBIG
void *doc_alloc(struct doc_work *w, size_t n); // zeroed; sets failed
// The nearest of the names in an object (or strings in an array), NULL: none is near.
const char *doc_nearest(const struct doc_work *w, const struct val *names, struct bytes name);

// doc_schema.c
struct bytes embed_flow_schema(void); // schema.json
// 0: it fits. E_SCHEMA with findings.
int doc_schema(struct doc_work *w, const struct json *root, struct err *e);
bool doc_schema_task(struct doc_work *w, const struct doc_at *at, struct bytes name,
                     const struct val *def);
void doc_schemas_free(struct doc_schemas *s);

// doc_expr.c
// Whole text of an expression, with or without ${ }. NULL: none (a finding says why).
struct flow_expr *doc_expr(struct doc_work *w, const struct doc_at *at, const struct val *v);
struct flow_tmpl *doc_tmpl(struct doc_work *w, const struct doc_at *at, const struct val *v);
// A text that is an expression also without ${ }, or an object with expressions inside.
struct flow_tmpl *doc_as(struct doc_work *w, const struct doc_at *at, const struct val *v);
struct flow_tmpl *doc_tmpl_value(struct doc_work *w, const struct val *v); // as it is
struct flow_tmpl *doc_tmpl_program(struct doc_work *w, const struct doc_at *at,
                                   struct bytes program);
struct flow_tmpl *doc_tmpl_obj(struct doc_work *w, size_t count);
struct flow_tmpl *doc_uri(struct doc_work *w, const struct doc_at *at, const struct val *v);
void doc_var_push(struct doc_work *w, const struct doc_at *at, struct bytes name);
void doc_dur(struct doc_work *w, const struct doc_at *at, const struct val *v,
             struct flow_dur *ret);

// doc_check.c: what a schema cannot say
void doc_check(struct doc_work *w);
void doc_check_unused(struct doc_work *w); // definitions that no task uses

// doc_use.c: what is named once and used by name
const struct val *doc_use(struct doc_work *w, const struct doc_at *at, const char *kind,
                          const char *what, struct bytes name);
void doc_timeout(struct doc_work *w, const struct doc_at *at, const struct val *v,
                 struct flow_dur *ret);
struct flow_retry *doc_retry(struct doc_work *w, const struct doc_at *at, const struct val *v);
void doc_io(struct doc_work *w, const struct doc_at *at, const struct val *v, const char *as,
            struct flow_io *ret);
void doc_extensions(struct doc_work *w);
void doc_secrets(struct doc_work *w);
bool doc_has_secret(const struct doc_work *w, struct bytes name);

// doc_catalog.c
struct flow_task *doc_function(struct doc_work *w, const struct doc_at *at, struct bytes name);
void doc_functions(struct doc_work *w);
void doc_functions_begin(struct doc_work *w);
void doc_need(struct doc_work *w, struct bytes uri, const struct val *endpoint, const char *what);
const struct val *doc_resource(struct doc_work *w, struct bytes uri);

// doc_call.c
struct flow_tmpl *doc_authentication(struct doc_work *w, const struct doc_at *at,
                                     const struct val *v);
struct flow_tmpl *doc_with(struct doc_work *w, const struct doc_at *at, const char *function,
                           const struct val *with);

// doc_event.c
struct flow_consume *doc_consume(struct doc_work *w, const struct doc_at *at, const struct val *v);

// doc_task.c
void doc_list(struct doc_work *w, const struct doc_at *at, const struct val *list,
              struct flow_task *parent, struct flow_list *ret);
struct flow_task *doc_task_new(struct doc_work *w, const struct doc_at *at, struct bytes name);
void doc_task(struct doc_work *w, const struct doc_at *at, struct flow_task *t,
              const struct val *def);

#endif
