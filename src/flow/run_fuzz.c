// run_fuzz.c: any bytes as the entries of a history, one a line, stepped on a document that has
// each kind of task; and, when the first line is no entry, as a saved state that is loaded first.
// What comes of entries alone can be saved and loaded, and is the same again.
// SPDX-License-Identifier: Apache-2.0
#include "flow/run_priv.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static const char document[] =
    "document: {dsl: '1.0.3', namespace: n, name: fuzz, version: '1.0.0'}\n"
    "use:\n"
    "  functions: {twice: {set: {n: '${ .n }'}}}\n"
    "  extensions: [{log: {extend: set, before: [{x: {wait: PT1S}}]}}]\n"
    "timeout: {after: PT1H}\n"
    "do:\n"
    "  - a: {set: {n: '${ .n }'}, timeout: {after: PT5M}}\n"
    "  - t: {try: [{c: {call: http, with: {method: get, endpoint: 'https://x/{n}'}}}], catch: "
    "{retry: "
    "{delay: PT1S, limit: {attempt: {count: 2, duration: PT1M}}}, do: [{h: {set: {e: '${ $error "
    "}'}}}]}}\n"
    "  - f: {fork: {compete: true, branches: [{b1: {wait: PT1S}}, {b2: {run: {shell: {command: "
    "ls}}}}, "
    "{b3: {run: {workflow: {namespace: n, name: w, version: '1.0.0'}}}}]}}\n"
    "  - l: {listen: {to: {any: [{with: {type: a}, correlate: {k: {from: .data.k}}}], until: '${ "
    "length "
    "> 1 }'}}, foreach: {do: [{e: {emit: {event: {with: {source: 'https://x', type: t}}}}}]}}\n"
    "  - o: {for: {in: '${ [1, 2] }'}, do: [{s: {switch: [{one: {when: '${ $item == 1 }', then: "
    "exit}}]}}, {g: {call: twice}}]}\n"
    "  - r: {raise: {error: {type: 'https://x/y', status: 500}}}\n";

static struct flow_plan *plan_of(void)
{
    static struct flow_plan *plan;
    if (!plan && flow_plan_new(&plan, BYTES(document), NULL, NULL) != 0)
        abort();
    return plan;
}

static void again(const struct flow_run *r, bool sound)
{
    struct val *state = flow_save(r), *second = NULL;
    struct flow_run *copy = NULL;
    if (flow_load(&copy, plan_of(), state, NULL) == 0)
        second = flow_save(copy);
    if (sound && !val_equal(state, second))
        abort();
    flow_run_free(copy);
    val_unref(state);
    val_unref(second);
}

static struct flow_run *begin(struct bytes first, bool *ret_sound)
{
    struct flow_run *r = NULL;
    struct val *state = NULL;
    if (val_parse(&state, first, NULL) == 0 && !val_get_cstr(state, "t"))
        (void)flow_load(&r, plan_of(), state, NULL);
    val_unref(state);
    *ret_sound = !r;
    if (!r && flow_run_new(&r, plan_of(), NULL) < 0)
        abort();
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct bytes rest = {(const char *)p, n}, first = rest;
    bool sound;
    struct flow_run *r = begin(bytes_cut(&first, '\n'), &sound);
    struct flow_out out = {.want_notes = true};
    struct buf view;
    for (int i = 0; i < 64 && rest.n > 0; i++) {
        struct flow_event ev = {.type = FLOW_TICK};
        if (flow_event_parse(&ev, bytes_cut(&rest, '\n'), NULL) == 0)
            (void)flow_step(r, &ev, &out, NULL);
        flow_event_fini(&ev);
        flow_out_clear(&out);
    }
    if (!r->spoilt)
        again(r, sound);
    buf_init(&view, 64 << 20);
    if (flow_run_view(r, true, &view) != 0)
        abort();
    buf_fini(&view);
    flow_out_fini(&out);
    flow_run_free(r);
    return 0;
}
