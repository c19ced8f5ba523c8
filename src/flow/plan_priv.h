// plan_priv.h: a compiled document, as the decider walks it. Everything lives in the plan's arena.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_FLOW_PLAN_PRIV_H
#define PLEXUS_FLOW_PLAN_PRIV_H

#include "base/arena.h"
#include "base/map.h"
#include "flow/flow.h"
#include "text/jq.h"
#include "text/schema.h"

enum flow_kind {
    FLOW_KIND_CALL,
    FLOW_KIND_DO,
    FLOW_KIND_EMIT,
    FLOW_KIND_FOR,
    FLOW_KIND_FORK,
    FLOW_KIND_LISTEN,
    FLOW_KIND_RAISE,
    FLOW_KIND_RUN,
    FLOW_KIND_SET,
    FLOW_KIND_SWITCH,
    FLOW_KIND_TRY,
    FLOW_KIND_WAIT,
};

struct flow_expr { // one jq program of the document
    struct bytes text;
    struct jq *plain; // NULL: libjq must run it (FLOW_EVAL)
    uint32_t index;   // in the plan's table: names it in evaluation caches
    bool secret; // reads $secrets or $authorization, or is meant for each message of a
                 // subscription: goes as "$late" into the arguments of an activity
};

// A JSON value that may have expressions inside: "${ ... }" strings anywhere in it (and, where the
// DSL says an expression is meant, strings without ${ }).
enum flow_tmpl_kind {
    FLOW_TMPL_VALUE,
    FLOW_TMPL_EXPR,
    FLOW_TMPL_ARR,
    FLOW_TMPL_OBJ,
    FLOW_TMPL_URI
}; // URI: "https://x/{id}": literal parts and names of top level members of the input
struct flow_tmpl {
    enum flow_tmpl_kind kind;
    struct val *value; // VALUE; URI: the text; EXPR: of loose mode: the text, the result when the
                       // evaluation fails; else NULL
    struct flow_expr *expr; // EXPR
    struct bytes *keys; // OBJ
    struct flow_tmpl **items; // ARR, OBJ
    size_t count;
    bool secret; // some expression inside is
};

struct flow_dur { // a duration: fixed, or made of expressions when it is needed
    bool there;
    int64_t fixed_ms; // when tmpl is NULL
    struct flow_tmpl *tmpl; // else: gives an ISO text or an object
};

struct flow_schema_use {
    struct schema *schema;
}; // NULL: none. Compiled at plan time

struct flow_io { // input, output or export
    struct flow_schema_use schema;
    struct flow_tmpl *as; // from, as; NULL: none
};

enum flow_then { FLOW_THEN_CONTINUE, FLOW_THEN_EXIT, FLOW_THEN_END, FLOW_THEN_TASK };
struct flow_task;
struct flow_go {
    enum flow_then then;
    struct flow_task *to; // FLOW_THEN_TASK: in the same list
};

struct flow_list {
    struct flow_task **tasks;
    size_t count;
};

struct flow_retry {
    struct flow_expr *when, *except_when;
    struct flow_dur delay, limit_duration, attempt_duration, jitter_from, jitter_to;
    enum {
        FLOW_BACKOFF_NONE,
        FLOW_BACKOFF_CONSTANT,
        FLOW_BACKOFF_LINEAR,
        FLOW_BACKOFF_EXPONENTIAL
    } backoff;
    struct flow_dur increment; // linear; none: delay
    double factor; // exponential; 2
    struct flow_dur delay_max; // exponential's cap where given
    int64_t attempts_max; // -1: no limit
};

struct flow_filter { // of an event
    struct flow_tmpl *with; // object: attribute → value (a plain text, a regular expression the DSL
                            // allows, or an expression that must be true)
    struct {
        struct bytes name;
        struct flow_expr *from;
        struct flow_tmpl *expect;
    } *correlate;
    size_t correlate_count;
};
struct flow_consume {
    enum { FLOW_CONSUME_ONE, FLOW_CONSUME_ANY, FLOW_CONSUME_ALL } mode;
    struct flow_filter *filters;
    size_t count; // ANY of 0: every event
    struct flow_expr *until_expr;
    struct flow_consume *until; // NULL: none
    bool until_never; // until: false / until missing is told apart: any without until takes one
                      // event
};

struct flow_case {
    struct bytes name;
    struct flow_expr *when;
    struct flow_go go;
}; // when NULL: default

struct flow_each { // of a subscription
    struct bytes item, at;
    struct flow_list list;
    struct flow_io output, export;
};

struct flow_task {
    enum flow_kind kind;
    const char *name;
    const char *pointer; // "/do/0/getPet", "/do/0/tryGetPet/try/0/getPet"
    uint32_t index; // in plan->tasks
    uint32_t place; // in its list
    uint32_t line;
    struct flow_task *parent; // NULL: of the workflow's own list
    const struct flow_list *in;
    const struct val *def; // the definition as JSON, for $task
    struct flow_expr *when; // `if`
    struct flow_io input, output, export;
    struct flow_dur timeout;
    struct flow_go go;
    struct val *metadata; // NULL: none
    union {
        struct {
            struct flow_list list;
        } do_;
        struct {
            struct flow_tmpl *tmpl;
        } set; // object, or one expression
        struct {
            struct flow_case *cases;
            size_t count;
        } switch_;
        struct {
            struct bytes each, at;
            struct flow_expr *in, *while_;
            struct flow_list list;
        } for_;
        struct {
            struct flow_list branches;
            bool compete;
        } fork;
        struct {
            struct flow_list list;
            struct flow_tmpl *errors; // object type, status, title, detail, instance; NULL: all
            struct bytes as; // "error"
            struct flow_expr *when, *except_when;
            struct flow_retry *retry; // NULL: none
            struct flow_list handler; // count 0: none
        } try_;
        struct {
            struct flow_tmpl *error;
        } raise;
        struct {
            struct flow_dur dur;
        } wait;
        struct {
            struct flow_tmpl *event;
        } emit;
        struct {
            struct flow_consume *to;
            enum { FLOW_READ_DATA, FLOW_READ_ENVELOPE, FLOW_READ_RAW } read;
            bool each; // foreach
            struct bytes item, at;
            struct flow_list list;
            struct flow_io output, export;
        } listen;
        struct { // container, script, shell: an activity of kind `what`; workflow: a child
            const char *what; // "container" "script" "shell" "workflow"
            struct flow_tmpl *args;
            bool await;
            const char *ret; // "stdout" "stderr" "code" "all" "none"
        } run;
        struct { // an activity of kind `function` when no task is known by that name
            const char *function; // "http" "openapi" "grpc" "asyncapi" "a2a" "mcp" "model" "tool"
                                  // "agent" or a name
            struct flow_tmpl *with; // NULL: none
            struct flow_task *task; // of use.functions or a catalog: run with `with` as its input;
                                    // NULL: an activity
            struct flow_each *each; // asyncapi: for each message; NULL: none
        } call;
    };
};

struct flow_extension {
    const char *name;
    bool all;
    enum flow_kind kind;
    bool composite; // do, for, fork, try...: as the DSL's "composite"
    struct flow_expr *when;
    struct flow_list before, after;
};

struct flow_plan {
    uint32_t refs;
    struct arena *arena;
    struct flow_about about;
    struct val *doc; // the whole document, $workflow.definition
    struct flow_list list; // do
    struct flow_io input, output;
    struct flow_dur timeout;
    struct flow_extension *extensions;
    size_t extension_count;
    struct flow_task **tasks; // all, by index
    size_t task_count;
    struct flow_expr **exprs;
    size_t expr_count;
    struct bytes *secrets;
    size_t secret_count;
    struct flow_need *needs;
    size_t need_count;
    struct flow_consume *on; // schedule.on; NULL: none
    bool strict; // evaluate.mode: strict (default) or loose
    // of the compiler (plan.c), for nobody else:
    struct map *by_pointer;
    struct val *kept; // values that were made for the plan
    struct flow_kept *compiled; // schemas
    size_t task_cap, expr_cap;
};

const char *flow_kind_name(enum flow_kind k); // "call"
// By pointer or, where only one task has it, by name; NULL: none.
struct flow_task *flow_plan_task(const struct flow_plan *p, struct bytes pointer_or_name);

#endif
