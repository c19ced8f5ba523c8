// values.c: JSON as Temporal's payloads, problems as its failures, and back.
// SPDX-License-Identifier: Apache-2.0
#include "temporal/temporal_priv.h"

#include <stdio.h>
#include <string.h>

#define BASE "https://serverlessworkflow.io/spec/1.0.0/errors/"

struct val *temporal_payload(const struct val *v)
{
    struct buf text, coded;
    struct val *p = NULL;
    buf_init(&text, TEMPORAL_BYTES_MAX);
    buf_init(&coded, TEMPORAL_BYTES_MAX * 2);
    (void)val_write(&text, v);
    proto_base64_put(&coded, buf_bytes(&text));
    if (!text.failed && !coded.failed) {
        // "json/plain" in base64
        p = val_put_cstr(val_obj(), "metadata",
                         val_put_cstr(val_obj(), "encoding", val_cstr("anNvbi9wbGFpbg==")));
        p = val_put_cstr(p, "data", val_str(buf_bytes(&coded)));
    }
    buf_fini(&text);
    buf_fini(&coded);
    return p;
}

struct val *temporal_payloads(struct val *takes_a, struct val *takes_b)
{
    struct val *list = val_push(val_arr(), temporal_payload(takes_a));
    if (takes_b)
        list = val_push(list, temporal_payload(takes_b));
    val_unref(takes_a);
    val_unref(takes_b);
    return val_put_cstr(val_obj(), "payloads", list);
}

struct val *temporal_unpack(const struct val *payload)
{
    struct buf text, encoding;
    struct val *v = NULL;
    buf_init(&text, TEMPORAL_BYTES_MAX);
    buf_init(&encoding, 256);
    (void)proto_base64_get(&encoding, temporal_str(val_get_cstr(payload, "metadata"), "encoding"));
    if (proto_base64_get(&text, temporal_str(payload, "data")) == 0) {
        if (bytes_starts(buf_bytes(&encoding), BYTES("json/")))
            (void)val_parse(&v, buf_bytes(&text), NULL);
        else if (bytes_is(buf_bytes(&encoding), "binary/null"))
            v = val_null();
    }
    buf_fini(&text);
    buf_fini(&encoding);
    return v;
}

struct val *temporal_payload_of(const struct val *payloads, size_t i)
{
    const struct val *p = val_at(val_get_cstr(payloads, "payloads"), i);
    return p ? temporal_unpack(p) : NULL;
}

// ---- failures -----------------------------------------------------------------------------------

struct val *temporal_problem_new(const char *kind, int status, const char *title,
                                 const char *detail)
{
    char type[160];
    (void)snprintf(type, sizeof type, BASE "%s", kind);
    struct val *p = val_put_cstr(val_obj(), "type", val_cstr(type));
    p = val_put_cstr(p, "status", val_int(status));
    p = val_put_cstr(p, "title", val_cstr(title));
    return detail && *detail ? val_put_cstr(p, "detail", val_cstr(detail)) : p;
}

struct val *temporal_failure(const struct val *problem, bool retry)
{
    const char *title = val_text(val_get_cstr(problem, "title"), NULL);
    const char *detail = val_text(val_get_cstr(problem, "detail"), NULL);
    struct val *p = problem ? val_ref((struct val *)(uintptr_t)problem) : val_null();
    struct val *info = val_put_cstr(
        val_obj(), "type", val_cstr(val_text(val_get_cstr(problem, "type"), BASE "runtime")));
    info = val_put_cstr(info, "nonRetryable", val_bool(!retry));
    info = val_put_cstr(info, "details", temporal_payloads(p, NULL));
    struct val *f = val_put_cstr(val_obj(), "message",
                                 val_cstr(detail  ? detail
                                          : title ? title
                                                  : "it failed"));
    f = val_put_cstr(f, "source", val_cstr("plexus"));
    return val_put_cstr(f, "applicationFailureInfo", info);
}

struct val *temporal_problem(const struct val *failure)
{
    const char *message = val_text(val_get_cstr(failure, "message"), "");
    const struct val *info = val_get_cstr(failure, "applicationFailureInfo");
    const struct val *cause = val_get_cstr(failure, "cause");
    if (info) {
        AUTO(val) own = temporal_payload_of(val_get_cstr(info, "details"), 0);
        bool ours = bytes_is(temporal_str(failure, "source"), "plexus");
        if (val_is(own, JSON_OBJ) && (ours || val_get_cstr(own, "type")))
            return steal(&own);
        return temporal_problem_new("runtime", 500, val_text(val_get_cstr(info, "type"), "Failure"),
                                    message);
    }
    if (bytes_is(temporal_str(val_get_cstr(failure, "timeoutFailureInfo"), "timeoutType"),
                 "TIMEOUT_TYPE_SCHEDULE_TO_START"))
        message = FLOW_NOT_BEGUN;
    if (val_get_cstr(failure, "timeoutFailureInfo"))
        return temporal_problem_new("timeout", 408, "Timeout", message);
    if ((val_get_cstr(failure, "activityFailureInfo") ||
         val_get_cstr(failure, "childWorkflowExecutionFailureInfo")) &&
        cause)
        return temporal_problem(cause);
    if (val_get_cstr(failure, "canceledFailureInfo"))
        return temporal_problem_new("runtime", 500, "Cancelled", message);
    return temporal_problem_new("runtime", 500, "Failure", message);
}

// ---- small ones ---------------------------------------------------------------------------------

struct val *temporal_put_ms(struct val *takes_obj, const char *key, int64_t ms)
{
    struct buf b;
    buf_init(&b, 64);
    if (ms < 0)
        ms = 0;
    proto_duration_put(&b, ms / 1000, (int32_t)(ms % 1000) * 1000000);
    struct val *v = val_put_cstr(takes_obj, key, val_str(buf_bytes(&b)));
    buf_fini(&b);
    return v;
}

int64_t temporal_time_ms(const struct val *text)
{
    int64_t s;
    int32_t ns;
    return proto_time_get(val_bytes(text), &s, &ns) ? 0 : s * 1000 + ns / 1000000;
}

uint64_t temporal_u64(const struct val *v)
{
    uint64_t u = 0;
    if (val_is(v, JSON_STR))
        return bytes_u64(val_bytes(v), &u) ? u : 0;
    return (uint64_t)val_i64(v, 0);
}

struct val *temporal_name(const char *key, const char *name)
{
    return val_put_cstr(val_obj(), key, val_cstr(name));
}
