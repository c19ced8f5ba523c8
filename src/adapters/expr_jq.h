// expr_jq.h: libjq itself, loaded when it is there: programs compiled once, kept, run on JSON text.
// For the child of expr_libjq.c and for tests: a program may loop, eat memory, or abort the
// process. SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_ADAPTERS_EXPR_JQ_H
#define PLEXUS_ADAPTERS_EXPR_JQ_H

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"

struct expr_jq;

int expr_jq_open(struct expr_jq **ret, struct err *e); // E_UNAVAILABLE: no libjq, with the mend
void expr_jq_free(struct expr_jq *x);
void expr_jq_auto(struct expr_jq **x);
const char *expr_jq_version(const struct expr_jq *x); // "libjq 1.6"
// out gets a JSON array of all outputs (its ceiling is the limit: E_TOOBIG). E_PARSE: the program,
// E_INVALID: jq's own error, or input and vars that libjq does not take.
int expr_jq_eval(struct expr_jq *x, struct bytes program, struct bytes input, struct bytes vars,
                 int64_t now_ms, struct buf *out, struct err *e);

#endif
