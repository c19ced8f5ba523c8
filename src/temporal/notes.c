// notes.c: what happened to tasks of a flow, told to the node: lifecycle events and changes. Kept
// until the server has taken the decision that they belong to; nothing is told at a replay.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "temporal/temporal_priv.h"
#include <stdio.h>

#define EVENT_BYTES_MAX (1u << 20)

struct kept {
    struct list link;
    struct flow_note note; // without its data
    char *event;           // CloudEvent, or NULL
    size_t event_n;
};

static void keep(struct temporal_flow *f, const struct flow_note *n)
{
    struct temporal_fold *fold = f->fold;
    struct kept *k = mem_new(struct kept);
    char source[300];
    struct buf json;
    if (!k)
        return; // for eyes only
    k->note = *n;
    k->note.data = NULL;
    (void)snprintf(source, sizeof source, "/node/%.256s",
                   f->t->args.node ? f->t->args.node : "");
    buf_init(&json, EVENT_BYTES_MAX);
    if (f->t->args.event &&
        flow_lifecycle(&json, fold->flow, n, fold->workflow, source, ++f->told) == 0 &&
        !json.failed) {
        k->event_n = json.n;
        k->event = buf_take(&json);
    }
    buf_fini(&json);
    list_add_tail(&f->notes, &k->link);
}

// After each step of the decider.
void temporal_notes_keep(void *user)
{
    struct temporal_flow *f = user;
    struct temporal_fold *fold = f->fold;
    for (size_t i = 0; !fold->replays && i < fold->out.note_count; i++)
        keep(f, &fold->out.notes[i]);
}

static void end(struct temporal_flow *f, bool tell)
{
    const struct temporal_args *a = &f->t->args;
    struct bytes id = bytes_of(f->fold->workflow);
    list_each_safe (it, &f->notes) {
        struct kept *k = container_of(it, struct kept, link);
        list_del(it);
        if (tell && k->event)
            a->event(a->user, id, (struct bytes){k->event, k->event_n});
        if (tell && a->changed)
            a->changed(a->user, id, &k->note);
        mem_free(k->event);
        mem_free(k);
    }
}

void temporal_notes_tell(struct temporal_flow *f)
{
    end(f, true);
}

void temporal_notes_drop(struct temporal_flow *f)
{
    end(f, false);
}
