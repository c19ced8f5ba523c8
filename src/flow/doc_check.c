// doc_check.c: what a schema cannot say: versions, schedules, keys that are misspelt where any key
// is allowed, definitions that no task uses. SPDX-License-Identifier: Apache-2.0
#include "flow/doc_priv.h"

#define DSL_PATCH_MAX 3 // 1.0.3

static const char *const top_keys[] = {"document", "input",  "use",      "do",
                                       "timeout",  "output", "schedule", "evaluate"};
static const char *const builtin[] = {"http", "openapi", "grpc", "asyncapi", "a2a",
                                      "mcp",  "model",   "tool", "agent"};

// 1.0.0 to 1.0.3, and what came before each of them ("1.0.0-alpha5").
static void check_dsl(struct doc_work *w)
{
    struct bytes text = val_bytes(val_ptr(w->plan->doc, BYTES("/document/dsl"))), rest = text;
    struct bytes major = bytes_cut(&rest, '.'), minor = bytes_cut(&rest, '.');
    bool one = bytes_is(major, "1") && bytes_is(minor, "0") && rest.n > 0;
    if (!one || rest.p[0] < '0' || rest.p[0] > '0' + DSL_PATCH_MAX ||
        (rest.n > 1 && rest.p[1] != '-' && rest.p[1] != '+'))
        doc_find(w, DOC_KEY(DOC_KEY(NULL, "document"), "dsl"), false,
                 "DSL %.*s is not known here: the known ones are 1.0.0, 1.0.1, 1.0.2 and 1.0.3",
                 BYTES_FMT(bytes_first(text, 32)));
}

// The official schema allows any key at the top: a near miss is a mistake all the same.
static void check_top(struct doc_work *w)
{
    size_t at = 0;
    struct bytes key;
    struct val *item, *names = val_arr();
    for (size_t i = 0; i < sizeof top_keys / sizeof top_keys[0]; i++)
        names = val_push(names, val_cstr(top_keys[i]));
    if (!names)
        w->failed = E_NOMEM;
    while (names && val_each(w->plan->doc, &at, &key, &item)) {
        const char *near = doc_nearest(w, names, key);
        if (near && !bytes_is(key, near))
            doc_find(w, DOC_NAME(NULL, key), true, "unknown key \"%.*s\", nearest: \"%s\"",
                     BYTES_FMT(bytes_first(key, 64)), near);
    }
    val_unref(names);
}

static void check_interval(struct doc_work *w, const struct doc_at *at, const struct val *v)
{
    struct flow_dur dur = {.there = false};
    size_t before = w->findings->count;
    doc_dur(w, at, v, &dur);
    if (dur.tmpl)
        doc_find(w, at, false, "a schedule's duration is fixed: no expression is evaluated for it");
    else if (dur.there && dur.fixed_ms < 1 && w->findings->count == before)
        doc_find(w, at, false, "a schedule's duration is longer than nothing");
}

static void check_schedule(struct doc_work *w)
{
    const struct doc_at *at = DOC_KEY(NULL, "schedule");
    const struct val *v = val_get_cstr(w->plan->doc, "schedule"), *cron, *on;
    struct flow_cron c;
    struct err e = {0};
    if (!v)
        return;
    if (!val_len(v))
        doc_find(w, at, false, "a schedule has one of every, cron, after, on");
    if ((cron = val_get_cstr(v, "cron")) && flow_cron_parse(&c, val_bytes(cron), &e))
        doc_find(w, DOC_KEY(at, "cron"), false, "%s", e.text);
    check_interval(w, DOC_KEY(at, "every"), val_get_cstr(v, "every"));
    check_interval(w, DOC_KEY(at, "after"), val_get_cstr(v, "after"));
    if ((on = val_get_cstr(v, "on")))
        w->plan->on = doc_consume(w, DOC_KEY(at, "on"), on);
}

static void check_names(struct doc_work *w)
{
    for (size_t i = 0; i < sizeof builtin / sizeof builtin[0]; i++)
        if (val_get_cstr(val_get_cstr(w->use, "functions"), builtin[i]))
            doc_find(w, DOC_USED("functions", bytes_of(builtin[i])), true,
                     "\"%s\" is a function of plexus itself: give yours another name", builtin[i]);
}

void doc_check(struct doc_work *w)
{
    check_dsl(w);
    check_top(w);
    check_names(w);
    check_schedule(w);
}

static void one(struct doc_work *w, const char *kind, const struct doc_at *at, const struct val *v)
{
    struct bytes word = bytes_of(kind);
    struct flow_dur dur = {.there = false};
    if (bytes_is(word, "retries"))
        (void)doc_retry(w, at, v);
    else if (bytes_is(word, "errors"))
        (void)doc_tmpl(w, at, v);
    else if (bytes_is(word, "timeouts"))
        doc_timeout(w, at, v, &dur);
    else
        (void)doc_authentication(w, at, v);
}

// Each definition by itself, so that one which nobody uses yet is looked at too. What is used was
// found already: the same finding at the same place is said once.
void doc_check_unused(struct doc_work *w)
{
    static const char *const kinds[] = {"retries", "errors", "timeouts", "authentications"};
    w->task = NULL;
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        const struct val *all = val_get_cstr(w->use, kinds[k]);
        size_t i = 0;
        struct bytes name;
        struct val *v;
        w->late = bytes_is(bytes_of(kinds[k]), "authentications");
        while (all && val_each(all, &i, &name, &v)) {
            w->var_count = FLOW_VARS_ANY;
            one(w, kinds[k], DOC_USED(kinds[k], name), v);
        }
    }
    w->late = false;
    w->var_count = 0;
}
