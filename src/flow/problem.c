// problem.c: errors of the DSL (RFC 7807 objects) and their standard types.
// SPDX-License-Identifier: Apache-2.0
#include "flow/run_priv.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define BASE "https://serverlessworkflow.io/spec/1.0.0/errors/"

static const struct {
    const char *name, *title;
    int status;
} kinds[] = {
    [PROBLEM_CONFIGURATION] = {"configuration", "Configuration Error", 400},
    [PROBLEM_VALIDATION] = {"validation", "Validation Error", 400},
    [PROBLEM_EXPRESSION] = {"expression", "Expression Error", 400},
    [PROBLEM_AUTHORIZATION] = {"authorization", "Authorization Error", 403},
    [PROBLEM_TIMEOUT] = {"timeout", "Timeout", 408},
    [PROBLEM_COMMUNICATION] = {"communication", "Communication Error", 500},
    [PROBLEM_RUNTIME] = {"runtime", "Runtime Error", 500},
};

int flow_problem(struct step *s, enum problem_kind k, const char *fmt, ...)
{
    char text[1024], type[128];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    (void)snprintf(type, sizeof type, BASE "%s", kinds[k].name);
    struct val *v = val_put_cstr(val_obj(), "type", val_cstr(type));
    v = val_put_cstr(v, "status", val_int(kinds[k].status));
    v = val_put_cstr(v, "title", val_cstr(kinds[k].title));
    v = val_put_cstr(v, "detail", val_cstr(text));
    if (!v)
        return E_NOMEM;
    flow_set(&s->problem, v);
    return TURN_RAISED;
}

// Type, status and instance are always there; what else is in it stays.
struct val *flow_problem_whole(const struct val *v, const char *instance)
{
    static const char *const order[] = {"type", "status", "title", "detail", "instance"};
    struct val *whole = val_obj(), *item;
    struct bytes key;
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        struct val *own = val_get_cstr(v, order[i]);
        bool null = !own || val_is(own, JSON_NULL);
        if (!null)
            whole = val_put_cstr(whole, order[i], val_ref(own));
        else if (i == 0)
            whole = val_put_cstr(whole, order[i], val_cstr(BASE "runtime"));
        else if (i == 1)
            whole = val_put_cstr(whole, order[i], val_int(500));
        else if (i == 4)
            whole = val_put_cstr(whole, order[i], val_cstr(instance));
    }
    for (size_t at = 0; val_is(v, JSON_OBJ) && val_each(v, &at, &key, &item);)
        if (!val_get(whole, key) && !val_is(item, JSON_NULL))
            whole = val_put(whole, key, val_ref(item));
    return whole;
}

// The standard's name ("communication") of a type that lies below the standard's host, whatever
// its path: documents and the conformance kit name them in several ways.
static struct bytes standard(struct bytes type)
{
    struct bytes rest = type, name = type;
    if (!bytes_starts(rest, BYTES("https://serverlessworkflow.io")))
        return BYTES_NONE;
    while (rest.p)
        name = bytes_cut(&rest, '/');
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (bytes_is(name, kinds[i].name))
            return name;
    return bytes_is(name, "authentication") ? name : BYTES_NONE;
}

bool flow_problem_same_type(struct bytes a, struct bytes b)
{
    struct bytes x = standard(a), y = standard(b);
    return bytes_eq(a, b) || (x.n > 0 && bytes_eq(x, y));
}
