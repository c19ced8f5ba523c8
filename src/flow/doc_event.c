// doc_event.c: which events are meant: filters, correlations, one, any or all of them, until.
// SPDX-License-Identifier: Apache-2.0
#include "flow/doc_priv.h"

static void correlations(struct doc_work *w, const struct doc_at *at, const struct val *v,
                         struct flow_filter *f)
{
    size_t i = 0;
    struct bytes name;
    struct val *def;
    f->correlate = doc_alloc(w, (val_len(v) + 1) * sizeof *f->correlate);
    while (f->correlate && val_each(v, &i, &name, &def)) {
        const struct doc_at *here = DOC_NAME(at, name);
        const struct val *expect = val_get_cstr(def, "expect");
        f->correlate[f->correlate_count].name = name;
        f->correlate[f->correlate_count].from =
            doc_expr(w, DOC_KEY(here, "from"), val_get_cstr(def, "from"));
        if (expect)
            f->correlate[f->correlate_count].expect = doc_tmpl(w, DOC_KEY(here, "expect"), expect);
        f->correlate_count++;
    }
}

static void filter(struct doc_work *w, const struct doc_at *at, const struct val *v,
                   struct flow_filter *f)
{
    const struct val *with = val_get_cstr(v, "with"), *correlate = val_get_cstr(v, "correlate");
    if (with)
        f->with = doc_tmpl(w, DOC_KEY(at, "with"), with);
    if (correlate)
        correlations(w, DOC_KEY(at, "correlate"), correlate, f);
}

static void filters(struct doc_work *w, const struct doc_at *at, const struct val *v,
                    struct flow_consume *c)
{
    c->filters = doc_alloc(w, (val_len(v) + 1) * sizeof *c->filters);
    for (size_t i = 0; c->filters && i < val_len(v); i++)
        filter(w, DOC_ITEM(at, i), val_at(v, i), &c->filters[c->count++]);
}

struct flow_consume *doc_consume(struct doc_work *w, const struct doc_at *at, const struct val *v)
{
    const struct val *until = val_get_cstr(v, "until"), *list;
    struct flow_consume *c = v ? doc_alloc(w, sizeof *c) : NULL;
    if (!c)
        return NULL;
    if ((list = val_get_cstr(v, "one"))) {
        c->mode = FLOW_CONSUME_ONE;
        c->filters = doc_alloc(w, sizeof *c->filters);
        if (c->filters)
            filter(w, DOC_KEY(at, "one"), list, &c->filters[c->count++]);
    } else if ((list = val_get_cstr(v, "all"))) {
        c->mode = FLOW_CONSUME_ALL;
        filters(w, DOC_KEY(at, "all"), list, c);
    } else {
        c->mode = FLOW_CONSUME_ANY;
        filters(w, DOC_KEY(at, "any"), val_get_cstr(v, "any"), c);
    }
    if (val_is(until, JSON_STR))
        c->until_expr = doc_expr(w, DOC_KEY(at, "until"), until);
    else if (val_is(until, JSON_OBJ))
        c->until = doc_consume(w, DOC_KEY(at, "until"), until);
    else if (val_is(until, JSON_BOOL))
        c->until_never = !val_bool_of(until, false);
    return c;
}
