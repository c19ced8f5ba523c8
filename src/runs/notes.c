// notes.c: what others may see of a step, after it is kept: lifecycle events, changes for pages.
// SPDX-License-Identifier: Apache-2.0
#include "runs/runs_priv.h"

void runs_notes(struct write *w)
{
    struct runs *s = w->s;
    struct run *r = w->run;
    const struct runs_args *a = &s->args;
    struct buf json, source;
    if (!w->out.note_count)
        return;
    buf_init(&json, RUNS_TEXT_MAX);
    buf_init(&source, 512);
    (void)buf_fmt(&source, "/node/%s", s->node);
    for (size_t i = 0; i < w->out.note_count && r->state == RUN_LIVE; i++) {
        const struct flow_note *n = &w->out.notes[i];
        buf_clear(&json);
        if (a->event && flow_lifecycle(&json, r->flow, n, r->spot->id.p, buf_cstr(&source),
                                       w->first * 4096 + i) == 0)
            a->event(a->user, r->spot->id, buf_bytes(&json));
        if (a->changed && r->state == RUN_LIVE)
            a->changed(a->user, r->spot->id, n);
    }
    buf_fini(&json);
    buf_fini(&source);
}
