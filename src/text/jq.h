// jq.h: our own evaluator of the jq language's plain part: compiled once, then run in the process,
// without clock, environment or input. What it accepts gives what libjq gives (jq_diff_test.c holds
// them equal); the rest is E_UNSUPPORTED and goes to libjq in a child (port/expr.h).
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_TEXT_JQ_H
#define PLEXUS_TEXT_JQ_H

#include "text/val.h"

struct jq; // a compiled program: immutable

#define JQ_VERSION 1 // of the evaluator: in histories. Raised when a result could differ

// E_PARSE: not jq, with line and column. E_UNSUPPORTED: right, but not plain: libjq must do it.
// E_FORBIDDEN: would depend on something else than its input (env, $ENV, input, inputs, debug,
// stderr, input_filename, localtime, get_search_list, import, include, halt...): the text names it.
// `now` is allowed and takes jq_args.now_ms.
int jq_compile(struct jq **ret, struct bytes text, struct err *e);
void jq_free(struct jq *p);
void jq_auto(struct jq **p);
struct bytes jq_text(const struct jq *p);
// The checks of jq_compile for a program that libjq will run: 0 or E_FORBIDDEN, E_PARSE.
int jq_check(struct bytes text, struct err *e);
// Names of the variables it uses freely ("input", "context", ...): for who must supply them, and to
// see whether it reads $secrets. false at the end.
bool jq_each_var(const struct jq *p, size_t *at, struct bytes *ret_name);
// The same for any program text, whether plain or not (a scan of its tokens).
bool jq_text_uses(struct bytes text, const char *variable);

struct jq_var {
    struct bytes name; // without $
    struct val *value; // borrowed
};
struct jq_args {
    struct val *input; // borrowed
    const struct jq_var *vars;
    size_t var_count;
    int64_t now_ms; // for `now`
    uint64_t steps_max; // 0: 1,000,000
    size_t bytes_max; // of results and what lies between, 0: 64 MiB
    size_t outputs_max; // 0: 1: the first output; more: E_TOOBIG beyond
};
// The outputs in order as an array. E_INVALID: jq's own error ("jq: cannot index number with
// \"a\""), E_TOOBIG: a limit, E_NOMEM. With outputs_max 1 the evaluation ends after the first
// output; no output: an empty array.
int jq_run(const struct jq *p, const struct jq_args *args, struct val **ret, struct err *e);

#endif
