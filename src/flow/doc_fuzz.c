// doc_fuzz.c: any bytes as a workflow: refused with findings, or a plan whose bundle is the same
// plan again. Else as an entry of a history, a cron expression, a duration.
// SPDX-License-Identifier: Apache-2.0
#include "flow/flow.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void as_document(struct bytes text)
{
    struct flow_plan *p = NULL, *again = NULL;
    struct flow_findings f;
    struct err e = {0};
    struct flow_about a, b;
    struct buf out;
    int rc = flow_plan_new(&p, text, &f, &e);
    if (rc < 0) {
        bool told = rc == E_TOOBIG || rc == E_NOMEM || (f.count > 0 && f.at[0].message[0]);
        if (p || e.code != rc || !e.n || !told)
            abort();
        return;
    }
    flow_plan_about(p, &a);
    buf_init(&out, (size_t)64 << 20);
    if (f.count || flow_plan_graph(p, &out) || !out.n)
        abort();
    if (flow_plan_new(&again, a.bundle, &f, &e) != rc)
        abort();
    flow_plan_about(again, &b);
    if (strcmp(a.hash, b.hash) != 0 || a.tasks != b.tasks)
        abort();
    flow_plan_unref(again);
    flow_plan_unref(p);
    buf_fini(&out);
}

static void as_entry(struct bytes text)
{
    struct flow_event ev = {.id = 0}, again = {.id = 0};
    struct err e = {0};
    struct buf out;
    if (flow_event_parse(&ev, text, &e))
        return;
    buf_init(&out, (size_t)64 << 20);
    if (flow_event_put(&out, &ev) || flow_event_parse(&again, buf_bytes(&out), &e) ||
        again.type != ev.type || again.id != ev.id || again.at_ms != ev.at_ms)
        abort();
    flow_event_fini(&again);
    flow_event_fini(&ev);
    buf_fini(&out);
}

static void as_time(struct bytes text)
{
    struct flow_cron c;
    struct err e = {0};
    int64_t ms = 0;
    if (!flow_cron_parse(&c, text, &e) && flow_cron_next(&c, 0) <= 0)
        abort();
    struct val *v = val_str(text);
    if (v && !flow_duration(v, &ms, &e) && ms < 0)
        abort();
    val_unref(v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes text = {(const char *)data, size};
    if (size > 16384)
        return 0;
    as_document(text);
    as_entry(text);
    if (size < 256)
        as_time(text);
    return 0;
}
