// exprs.c: every engine of expressions, one line each, and the one that has none.
// SPDX-License-Identifier: Apache-2.0
#include "adapters/expr_priv.h"
#include "base/alloc.h"

static int disabled_run(struct expr *x, struct expr_req *r, struct err *e)
{
    (void)x, (void)r;
    return err_set(e, E_UNAVAILABLE,
                   "this expression needs libjq, which is turned off: apt install "
                   "libjq1 and use the engine libjq");
}

static void disabled_cancel(struct expr *x, struct expr_req *r)
{
    (void)x, (void)r; // none was ever taken
}

static void disabled_stats(const struct expr *x, struct expr_stats *ret)
{
    (void)x;
    *ret = (struct expr_stats){0};
}

static void disabled_free(struct expr *x)
{
    mem_free(x);
}

int expr_disabled_open(const struct expr_args *args, struct expr **ret, struct err *e)
{
    static const struct expr_ops ops = {disabled_run, disabled_cancel, disabled_stats,
                                        disabled_free};
    (void)args;
    struct expr *x = mem_new(struct expr);
    if (!x)
        return err_set(e, E_NOMEM, "no memory for an engine of expressions");
    x->ops = &ops;
    *ret = x;
    return 0;
}

const struct expr_engine *expr_engines(void)
{
    static const struct expr_engine table[] = {
        {"libjq", "all of jq, in children that run libjq", expr_libjq_open},
        {"disabled", "only what plexus evaluates itself", expr_disabled_open},
        {NULL, NULL, NULL},
    };
    return table;
}
