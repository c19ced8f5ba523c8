// jq_priv.h: what the parts of the jq evaluator share: tokens, the program as a tree, the run.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_TEXT_JQ_PRIV_H
#define PLEXUS_TEXT_JQ_PRIV_H

#include "base/arena.h"
#include "text/jq.h"
#include "text/val_priv.h"

// ---- tokens ----

enum jq_tok {
    T_END,
    T_BAD, // no token of jq: jq_lex.bad says why
    T_IDENT,
    T_FIELD,  // .name
    T_VAR,    // $name
    T_FORMAT, // @name
    T_NUM,
    T_QUOTE, // the text of the string follows: jq_lex_piece
    T_DOT,
    T_DOTDOT,
    T_PUNCT, // one of [](){},:;
    T_OP, // operators: text is one of | // + - * / % == != < <= > >= = |= += -= *= /= %= //= ? ?//
};
struct jq_lex {
    struct bytes all;
    size_t at; // behind the token
    enum jq_tok kind;
    struct bytes text; // of the token; names without their first sign
    size_t from; // where it begins
    const char *bad;
};
void jq_lex_next(struct jq_lex *x);
// Text of a string up to its end (false) or up to "\(" (true): unescaped into out.
// Broken: x->kind becomes T_BAD and false is given.
bool jq_lex_piece(struct jq_lex *x, struct buf *out);

// ---- programs ----

enum jq_op {
    J_DOT,
    J_LIT,
    J_VAR, // index: how many scopes up
    J_GLOBAL, // index: of the program's free variables
    J_FIELD, // a: of what, lit: name
    J_INDEX, // a[b]
    J_SLICE, // a[b:c], b or c may be NULL
    J_ITER, // a[]
    J_PIPE,
    J_COMMA,
    J_BINARY, // sub: enum jq_bin
    J_AND,
    J_OR,
    J_ALT, // a // b
    J_NEG,
    J_IF, // a, b, c (NULL: .)
    J_TRY, // a, b (NULL: nothing)
    J_BIND, // a as pattern | b
    J_REDUCE, // reduce a as pattern (b; c)
    J_FOREACH, // foreach a as pattern (b; c; d), d NULL: .
    J_DEF, // func, a: what follows
    J_CALL, // func, kids: arguments; index: scopes up to it
    J_PARAM, // call of an argument; index: scopes up
    J_ARR, // [a], a may be NULL
    J_OBJ, // kids: key, value, key, value ...
    J_STRING, // kids: parts, literal texts among them; sub: enum jq_format
    J_FORMAT, // sub: enum jq_format
    J_RECURSE, // .. or recurse(a)
    J_EMPTY,
    J_ERROR, // a: message, NULL: .
    J_LABEL, // a: what follows
    J_BREAK, // index: scopes up
    J_PATH, // path(a)
    J_ASSIGN, // a = b
    J_MODIFY, // a |= b
    J_UPDATE, // a op= b; sub: enum jq_bin
    J_ALTSET, // a //= b
    J_DEL, // del(a)
    J_LIMIT, // limit(a; b)
    J_FIRST, // first(a)
    J_LAST, // last(a)
    J_RANGE, // range(a; b; c), c may be NULL
    J_UNTIL, // until(a; b)
    J_ANY, // any(a; b)
    J_ALL, // all(a; b)
    J_BY, // sort_by(a) and the like; sub: enum jq_by
    J_GETPATH,
    J_NATIVE, // fn, kids: arguments
};
enum jq_bin {
    BIN_ADD,
    BIN_SUB,
    BIN_MUL,
    BIN_DIV,
    BIN_MOD,
    BIN_EQ,
    BIN_NE,
    BIN_LT,
    BIN_LE,
    BIN_GT,
    BIN_GE
};
enum jq_by { BY_SORT, BY_GROUP, BY_UNIQUE, BY_MIN, BY_MAX };
enum jq_format {
    FORMAT_TEXT,
    FORMAT_JSON,
    FORMAT_CSV,
    FORMAT_TSV,
    FORMAT_HTML,
    FORMAT_URI,
    FORMAT_SH,
    FORMAT_BASE64,
    FORMAT_BASE64D
};

#define JQ_ARGS_MAX 6 // of a function
#define JQ_VARS_MAX 16 // of a pattern

struct jq_run;
// takes in; args are borrowed. NULL: failed (run->status), or no memory.
typedef struct val *jq_native_fn(struct jq_run *x, struct val *in, struct val **args);

struct jq_func {
    const char *name; // not ended by NUL
    size_t name_len;
    unsigned params;
    struct bytes *param_names;
    bool param_is_var[JQ_ARGS_MAX];
    bool param_is_path[JQ_ARGS_MAX]; // followed as a path somewhere
    struct jq_node *body;
    bool one, done; // done: parsed whole (else a call of itself)
    bool looked; // jq_is_path is in its body
};
struct jq_pattern { // $name, [..] or {..}
    enum { PATTERN_VAR, PATTERN_ARR, PATTERN_OBJ } kind;
    size_t n;
    struct jq_pattern **parts;
    struct jq_node **keys; // of objects: expression for each part
    bool *binds_key; // {$name: pattern}: also binds $name
    size_t vars; // scopes it opens
};
struct jq_node {
    uint8_t op, sub;
    bool one; // at most one output
    uint8_t kid_count;
    uint32_t index;
    struct jq_node *a, *b, *c, *d;
    union {
        struct val *lit;
        struct jq_func *func;
        struct jq_pattern *pattern;
        jq_native_fn *fn;
    };
    struct jq_node **kids;
};
struct jq {
    struct arena *arena;
    struct bytes text;
    struct jq_node *root;
    struct val **lits; // all literals: theirs is the reference
    size_t lit_count, lit_cap;
    struct bytes *vars; // free variables
    size_t var_count, var_cap;
};
// What a name means when no def is in sight.
enum jq_known {
    KNOWN_NOT,
    KNOWN_NATIVE, // fn
    KNOWN_DEF, // text: a definition in jq itself
    KNOWN_NODE, // made of nodes by the parser; id
    KNOWN_FORBIDDEN, // depends on something else than the input
    KNOWN_UNSUPPORTED, // libjq has it
};
struct jq_name {
    const char *name;
    unsigned arity;
    enum jq_known known;
    jq_native_fn *fn;
    const char *text;
    int id;
};
const struct jq_name *jq_name_find(struct bytes name, unsigned arity);
enum jq_node_id { // KNOWN_NODE
    ID_EMPTY,
    ID_ERROR0,
    ID_ERROR,
    ID_PATH,
    ID_SELECT,
    ID_RECURSE0,
    ID_RECURSE,
    ID_RECURSE2,
    ID_MAP,
    ID_MAP_VALUES,
    ID_DEL,
    ID_FIRST,
    ID_LAST,
    ID_LIMIT,
    ID_RANGE1,
    ID_RANGE2,
    ID_RANGE3,
    ID_UNTIL,
    ID_ANY2,
    ID_ALL2,
    ID_SORT_BY,
    ID_GROUP_BY,
    ID_UNIQUE_BY,
    ID_MIN_BY,
    ID_MAX_BY,
    ID_GETPATH,
    ID_NULL,
    ID_TRUE,
    ID_FALSE,
};

#define JQ_OPTIONAL                                                                                \
    1 // sub of a field, index, slice, iteration: `?` behind it, its own errors give nothing
#define JQ_LIT_TEXT 1 // sub of a literal that stands as text in a string: not formatted
#define JQ_PARTS_MAX 40 // parts of a node with a generator among them

// 0, E_PARSE, E_FORBIDDEN, E_UNSUPPORTED (only when the text is right otherwise), E_NOMEM.
int jq_parse_program(struct jq *p, struct err *e);
// May be followed as a path by jq_paths. Notes arguments of functions that are used so.
bool jq_is_path(const struct jq_node *n);

// ---- the run ----

// Scopes: one for each variable, definition, argument and label; in the frames of the evaluation.
struct jq_env {
    const struct jq_env *up;
    struct val *value; // variable
    const struct jq_node *closure; // argument ...
    const struct jq_env *closure_env; // ... and where it was written
};

enum { JQ_GO_ON = 0, JQ_FAILED, JQ_BROKEN }; // what evaluations give: FAILED: run->status

struct jq_run {
    int flow; // JQ_GO_ON and so on: why an evaluation ended early
    int status; // 0, E_INVALID: an error of jq in `error`, or another E_*: cannot be caught
    struct val *error; // message
    const void *broken; // JQ_BROKEN: to whom it is
    uint64_t steps; // left
    size_t bytes; // left
    unsigned depth;
    bool not_finite; // a number came up that JSON does not have
    int64_t now_ms;
    struct val **globals;
};
#define JQ_DEPTH_MAX 3000

// Takes the value. path: NULL unless paths are followed, else taken too.
typedef int jq_out_fn(void *arg, struct val *value);
typedef int jq_path_fn(void *arg, struct val *path, struct val *value);

// A node with `one`: its output, or NULL: none (status 0), or failed. Takes in.
struct val *jq_one(struct jq_run *x, const struct jq_node *n, const struct jq_env *env,
                   struct val *in);
int jq_many(struct jq_run *x, const struct jq_node *n, const struct jq_env *env, struct val *in,
            jq_out_fn *out, void *arg);
int jq_paths(struct jq_run *x, const struct jq_node *n, const struct jq_env *env, struct val *path,
             struct val *in, jq_path_fn *out, void *arg);
// For jq_one and jq_many alone: nodes by their kind.
struct val *jq_one_parts(struct jq_run *x, const struct jq_node *n, const struct jq_env *env,
                         struct val *in);
struct val *jq_one_object(struct jq_run *x, const struct jq_node *n, const struct jq_env *env,
                          struct val *in);
int jq_many_parts(struct jq_run *x, const struct jq_node *n, const struct jq_env *env,
                  struct val *in, jq_out_fn *out, void *arg);
struct val *jq_bind_one(struct jq_run *x, const struct jq_node *n, const struct jq_env *env,
                        struct val *in);
int jq_bind_many(struct jq_run *x, const struct jq_node *n, const struct jq_env *env,
                 struct val *in, jq_out_fn *out, void *arg);
struct val *jq_reduce(struct jq_run *x, const struct jq_node *n, const struct jq_env *env,
                      struct val *in);
int jq_foreach(struct jq_run *x, const struct jq_node *n, const struct jq_env *env, struct val *in,
               jq_out_fn *out, void *arg);
struct val *jq_call_one(struct jq_run *x, const struct jq_node *n, const struct jq_env *env,
                        struct val *in);
int jq_call_many(struct jq_run *x, const struct jq_node *n, const struct jq_env *env,
                 struct val *in, jq_out_fn *out, void *arg);
int jq_call_paths(struct jq_run *x, const struct jq_node *n, const struct jq_env *env,
                  struct val *path, struct val *in, jq_path_fn *out, void *arg);
// Runs body with the pattern's variables bound to parts of the value, which is taken.
typedef int jq_body_fn(void *arg, const struct jq_env *env);
int jq_bound(struct jq_run *x, const struct jq_pattern *p, const struct jq_env *env,
             struct val *value, jq_body_fn *body, void *arg);
// The message of an error that may be caught, and the run goes on. NULL: none such.
struct val *jq_caught(struct jq_run *x);
static inline bool jq_skipped(struct jq_run *x, const struct jq_node *n) // its error is none
{
    bool access = n->op == J_FIELD || n->op == J_INDEX || n->op == J_SLICE || n->op == J_ITER;
    struct val *message = access && n->sub == JQ_OPTIONAL ? jq_caught(x) : NULL;
    val_unref(message);
    return message != NULL;
}
int jq_break_to(struct jq_run *x, const void *whom); // gives JQ_BROKEN
bool jq_broken_to(struct jq_run *x, const void *whom); // true: it was to him, and is over
const struct jq_env *jq_up(const struct jq_env *env, uint32_t index);
// All outputs as an array.
struct val *jq_collect(struct jq_run *x, const struct jq_node *n, const struct jq_env *env,
                       struct val *in);
struct val *jq_assign(struct jq_run *x, const struct jq_node *n, const struct jq_env *env,
                      struct val *in, struct val *right);
struct val *jq_modify(struct jq_run *x, const struct jq_node *n, const struct jq_env *env,
                      struct val *in);
struct val *jq_delete(struct jq_run *x, const struct jq_node *n, const struct jq_env *env,
                      struct val *in);

// Failures: all give NULL.
struct val *jq_fail(struct jq_run *x, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
struct val *jq_fail_val(struct jq_run *x, struct val *takes_message);
struct val *jq_stop(struct jq_run *x, int code); // E_TOOBIG, E_NOMEM
bool jq_charge(struct jq_run *x, size_t bytes); // false: over the limit
static inline struct val *jq_made(struct jq_run *x, struct val *v) // NULL was: no memory
{
    return v ? v : jq_stop(x, E_NOMEM);
}
static inline bool jq_enter(struct jq_run *x)
{
    if (x->steps > 0 && x->depth < JQ_DEPTH_MAX) {
        x->steps--;
        x->depth++;
        return true;
    }
    (void)jq_stop(x, E_TOOBIG);
    return false;
}

// Operators. Take all.
struct val *jq_binary(struct jq_run *x, enum jq_bin op, struct val *a, struct val *b);
struct val *jq_index(struct jq_run *x, struct val *of, struct val *key);
struct val *jq_field(struct jq_run *x, struct val *of, const struct val *name); // name: borrowed
struct val *jq_slice(struct jq_run *x, struct val *of, struct val *from, struct val *to);
ptrdiff_t jq_place(double index, size_t n); // of an index in n items; -1: none
// Where a slice of n items begins and ends; NULL: open. false: not numbers.
bool jq_slice_ends(const struct val *from, const struct val *to, size_t n, size_t *ret_from,
                   size_t *ret_to);
size_t jq_points(struct bytes s); // code points in it
struct val *jq_split(struct jq_run *x, struct bytes s, struct bytes by);
struct val *jq_num(struct jq_run *x, double n);
struct val *jq_str(struct jq_run *x, struct bytes text);
struct val *jq_buf(struct jq_run *x, struct buf *takes); // string of it; the buffer ends
struct val *jq_push(struct jq_run *x, struct val *takes_arr, struct val *takes_item);
struct val *jq_put(struct jq_run *x, struct val *takes_obj, struct val *takes_key,
                   struct val *takes_value);
struct val *jq_tostring(struct jq_run *x, struct val *v); // takes
struct val *jq_tojson(struct jq_run *x, struct val *v);
struct val *jq_format(struct jq_run *x, enum jq_format f, struct val *v); // takes
const char *jq_kind_name(const struct val *v);
#define JQ_SHORT 64
const char *jq_short(const struct val *v, char out[JQ_SHORT]); // for messages, as jq shortens
// Paths of values. Take all.
struct val *jq_get_path(struct jq_run *x, struct val *of, struct val *path);
struct val *jq_set_path(struct jq_run *x, struct val *of, struct val *path, struct val *value);
struct val *jq_del_paths(struct jq_run *x, struct val *of, struct val *paths);
struct val *jq_sort(struct jq_run *x, struct val *arr);
// sort_by and the like: keys is an array beside arr.
struct val *jq_by_keys(struct jq_run *x, enum jq_by by, struct val *arr, struct val *keys);

extern const struct jq_name jq_names_values[], jq_names_text[]; // end with a NULL name

#endif
