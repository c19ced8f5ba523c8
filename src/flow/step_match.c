// step_match.c: event filters: constants, regular expressions, expressions, correlations.
// SPDX-License-Identifier: Apache-2.0
#include "flow/run_priv.h"
#include <string.h>

// The dot alone does not make a text a pattern: types of events are full of them.
static bool is_pattern(struct bytes text)
{
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] && strchr("*+?[](){}|^$\\", text.p[i]))
            return true;
    return false;
}

static bool fits_pattern(struct bytes pattern, const struct val *have)
{
    struct val *sc = val_put_cstr(val_obj(), "type", val_cstr("string"));
    struct json_doc *text = NULL, *made = NULL;
    struct schema *compiled = NULL;
    struct buf b;
    struct err e;
    buf_init(&b, pattern.n + 16);
    (void)buf_str(&b, "^(?:");
    (void)buf_put(&b, pattern);
    (void)buf_str(&b, ")$");
    sc = val_put_cstr(sc, "pattern", b.failed ? NULL : val_str(buf_bytes(&b)));
    bool yes = sc && val_to_json(&made, sc, &e) == 0 && val_to_json(&text, have, &e) == 0 &&
               schema_new(&compiled, &(struct schema_args){.doc = json_root(made)}, &e) == 0 &&
               schema_check(compiled, json_root(text), NULL) == 0;
    schema_free(compiled);
    json_free(made);
    json_free(text);
    val_unref(sc);
    buf_fini(&b);
    return yes;
}

// Objects fit when each member that is asked for does.
static bool fits_const(const struct val *want, const struct val *have, unsigned depth)
{
    struct bytes key;
    struct val *item;
    if (val_is(want, JSON_STR) && val_is(have, JSON_STR))
        return bytes_eq(val_bytes(want), val_bytes(have)) ||
               (is_pattern(val_bytes(want)) && fits_pattern(val_bytes(want), have));
    if (!val_is(want, JSON_OBJ) || depth > 64)
        return val_equal(want, have);
    if (!val_is(have, JSON_OBJ))
        return false;
    for (size_t at = 0; val_each(want, &at, &key, &item);)
        if (!fits_const(item, val_get(have, key), depth + 1))
            return false;
    return true;
}

static int fits_tmpl(struct step *s, struct frame *f, const struct flow_tmpl *t, struct val *have,
                     bool *ret)
{
    struct place p = {.f = f, .scope = f, .dot = have};
    AUTO(val) v = NULL;
    int rc = 0;
    *ret = true;
    if (t->kind == FLOW_TMPL_OBJ) {
        for (size_t i = 0; rc == 0 && *ret && i < t->count; i++)
            rc = fits_tmpl(s, f, t->items[i], val_get(have, t->keys[i]), ret);
        return rc;
    }
    rc = flow_fill(s, &p, t, false, &v);
    if (rc == TURN_RAISED) { // an expression that this event has nothing for: it does not fit
        flow_set(&s->problem, NULL);
        *ret = false;
        return 0;
    }
    if (rc == 0 && t->kind == FLOW_TMPL_EXPR && val_is(v, JSON_BOOL))
        *ret = val_truthy(v);
    else if (rc == 0)
        *ret = fits_const(v, have, 0);
    return rc;
}

// The value that an event must have for a key: what `expect` says, else the first one's.
static int correlates(struct step *s, struct frame *f, const struct flow_filter *x,
                      struct val *event, struct val **keys, bool *ret)
{
    *ret = true;
    for (size_t i = 0; *ret && i < x->correlate_count; i++) {
        struct place p = {.f = f, .scope = f, .dot = event};
        AUTO(val) have = NULL;
        AUTO(val) want = NULL;
        int rc = flow_eval(s, &p, x->correlate[i].from, &have);
        p.dot = f->input;
        if (rc == 0 && x->correlate[i].expect)
            rc = flow_fill(s, &p, x->correlate[i].expect, false, &want);
        if (rc != 0)
            return rc;
        if (!want)
            want = val_ref(val_get(*keys, x->correlate[i].name));
        *ret = have && !val_is(have, JSON_NULL) && (!want || val_equal(have, want));
        if (*ret && !want) {
            *keys = val_put(*keys, x->correlate[i].name, steal(&have));
            if (!*keys)
                return E_NOMEM;
        }
    }
    return 0;
}

int flow_match(struct step *s, struct frame *f, const struct flow_filter *x,
               const struct val *event, bool *ret)
{
    struct val *ev = (struct val *)(uintptr_t)event; // only borrowed
    AUTO(val) keys = f->keys ? val_ref(f->keys) : val_obj();
    int rc = x->with ? fits_tmpl(s, f, x->with, ev, ret) : 0;
    if (!x->with)
        *ret = true;
    else if (x->with->kind == FLOW_TMPL_VALUE && rc == 0)
        *ret = fits_const(x->with->value, event, 0);
    if (rc != 0 || !*ret || x->correlate_count == 0)
        return rc;
    rc = correlates(s, f, x, ev, &keys, ret);
    if (rc == 0 && *ret)
        flow_set(&f->keys, steal(&keys));
    return rc;
}

// ---- the part that is known without the run ----

static bool constant(const struct val *v)
{
    return val_is(v, JSON_STR) && !is_pattern(val_bytes(v));
}

static struct val *filter_of(const struct flow_filter *x)
{
    struct val *o = val_obj(), *item;
    struct bytes key;
    const struct flow_tmpl *t = x->with;
    if (t && t->kind == FLOW_TMPL_VALUE && val_is(t->value, JSON_OBJ)) {
        for (size_t at = 0; val_each(t->value, &at, &key, &item);)
            if (constant(item) && !bytes_is(key, "data"))
                o = val_put(o, key, val_ref(item));
    } else if (t && t->kind == FLOW_TMPL_OBJ) {
        for (size_t i = 0; i < t->count; i++)
            if (t->items[i]->kind == FLOW_TMPL_VALUE && constant(t->items[i]->value) &&
                !bytes_is(t->keys[i], "data"))
                o = val_put(o, t->keys[i], val_ref(t->items[i]->value));
    }
    return o;
}

struct val *flow_filters(const struct flow_consume *c)
{
    struct val *all = val_arr();
    if (c->mode == FLOW_CONSUME_ANY && c->count == 0)
        return val_push(all, val_obj());
    for (size_t i = 0; i < c->count; i++)
        all = val_push(all, filter_of(&c->filters[i]));
    for (size_t i = 0; c->until && i < c->until->count; i++)
        all = val_push(all, filter_of(&c->until->filters[i]));
    return all;
}

bool flow_filter_fits(const struct val *filters, const struct val *event)
{
    for (size_t i = 0; i < val_len(filters); i++) {
        const struct val *x = val_at(filters, i);
        struct bytes key;
        struct val *want;
        bool yes = true;
        for (size_t at = 0; yes && val_is(x, JSON_OBJ) && val_each(x, &at, &key, &want);)
            yes = val_equal(want, val_get(event, key));
        if (yes)
            return true;
    }
    return false;
}
