// expr_priv.h: the engines of expressions, and the child's door.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_ADAPTERS_EXPR_PRIV_H
#define PLEXUS_ADAPTERS_EXPR_PRIV_H

#include "adapters/expr_child.h"
#include "port/expr.h"

#define EXPR_TEXT_MAX ((size_t)64 << 20) // program, input, variables: each

int expr_libjq_open(const struct expr_args *args, struct expr **ret, struct err *e);
int expr_disabled_open(const struct expr_args *args, struct expr **ret, struct err *e);

#endif
