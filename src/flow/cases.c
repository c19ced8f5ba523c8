// cases.c: the cases of a document, and whether a run gave what one of them says.
// SPDX-License-Identifier: Apache-2.0
#include "flow/flow.h"

#define TIMEOUT_MS 300000 // as schema.json says
#define SHOWN_MAX 300     // bytes of a value in a reason
#define VALUE_MAX ((size_t)1 << 20)

const struct val *flow_cases(const struct flow_plan *p)
{
    struct flow_about about;
    flow_plan_about(p, &about);
    const struct val *cases = val_ptr(about.metadata, BYTES("/plexus/cases"));
    return val_len(cases) ? cases : NULL;
}

int64_t flow_case_timeout_ms(const struct val *one)
{
    const struct val *said = val_get_cstr(one, "timeout");
    int64_t ms = TIMEOUT_MS;
    return said && flow_duration(said, &ms, NULL) < 0 ? TIMEOUT_MS : ms;
}

static void put_cut(struct buf *out, const struct val *v)
{
    struct buf text;
    buf_init(&text, VALUE_MAX);
    int rc = v ? val_write(&text, v) : buf_str(&text, "nothing");
    struct bytes shown = bytes_first(buf_bytes(&text), SHOWN_MAX);
    (void)buf_fmt(out, "%.*s%s", BYTES_FMT(shown), rc || shown.n < text.n ? "..." : "");
    buf_fini(&text);
}

// Every member that the case names must be that of the error.
static void judge_error(const struct val *want, const struct val *error, struct buf *why)
{
    struct bytes key;
    struct val *v;
    for (size_t at = 0; val_is(want, JSON_OBJ) && val_each(want, &at, &key, &v);) {
        const struct val *got = val_get(error, key);
        if (got && val_equal(v, got))
            continue;
        (void)buf_fmt(why, "its error has another %.*s: expected ", BYTES_FMT(key));
        put_cut(why, v);
        (void)buf_str(why, ", got ");
        put_cut(why, got);
        return;
    }
}

void flow_case_judge(const struct val *one, const struct val *end, struct buf *why)
{
    const struct val *want = val_get_cstr(one, "output"), *must_fail = val_get_cstr(one, "error"),
                     *error = val_get_cstr(end, "error"), *output = val_get_cstr(end, "output");
    struct bytes status = val_bytes(val_get_cstr(end, "status"));
    if (must_fail) {
        if (bytes_is(status, "faulted")) {
            judge_error(must_fail, error, why);
            return;
        }
        (void)buf_fmt(why, "it should have failed, and is %.*s: ", BYTES_FMT(status));
        put_cut(why, output);
    } else if (!bytes_is(status, "completed")) {
        (void)buf_fmt(why, "it is %.*s: ", BYTES_FMT(status));
        put_cut(why, error);
    } else if (!output || !val_equal(want, output)) {
        (void)buf_str(why, "expected ");
        put_cut(why, want);
        (void)buf_str(why, ", got ");
        put_cut(why, output);
    }
}
