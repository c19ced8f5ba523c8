// step_out.c: what a step gives: commands, numbered over the whole run, and notes for eyes.
// SPDX-License-Identifier: Apache-2.0
#include "flow/run_priv.h"

static void *grown(void *p, size_t *cap, size_t size)
{
    size_t n = *cap > 0 ? *cap * 2 : 8;
    void *more = mem_realloc(p, n * size);
    if (more)
        *cap = n;
    return more;
}

static int push(struct step *s, enum flow_type t, uint64_t id, struct val *takes_data)
{
    struct flow_out *o = s->out;
    if (o->command_count == o->command_cap) {
        void *more = grown(o->commands, &o->command_cap, sizeof *o->commands);
        if (!more) {
            val_unref(takes_data);
            return E_NOMEM;
        }
        o->commands = more;
    }
    o->commands[o->command_count++] =
        (struct flow_event){.type = t, .id = id, .at_ms = s->at_ms, .data = takes_data};
    return 0;
}

int flow_command(struct step *s, enum flow_type t, struct val *takes_data, uint64_t *ret_id)
{
    *ret_id = s->r->next_id++;
    return push(s, t, *ret_id, takes_data);
}

// A command whose answer the frame awaits (f NULL: nobody does, but it is under way).
int flow_ask(struct step *s, struct frame *f, enum role role, enum flow_type t,
             struct val *takes_data)
{
    struct pend p = {.frame = f, .role = role};
    if (!takes_data)
        return E_NOMEM;
    int rc = f && f->wait[role] > 0 ? flow_unask(s, f, role) : 0; // one at a time
    if (rc < 0) {
        val_unref(takes_data);
        return rc;
    }
    rc = flow_command(s, t, takes_data, &p.ev.id);
    if (rc < 0)
        return rc;
    p.ev = s->out->commands[s->out->command_count - 1];
    rc = flow_pend_add(s->r, &p);
    if (rc == 0 && f)
        f->wait[role] = p.ev.id;
    return rc;
}

int flow_unask(struct step *s, struct frame *f, enum role role)
{
    struct pend *p = flow_pend_find(s->r, f->wait[role]);
    f->wait[role] = 0;
    if (!p)
        return 0;
    uint64_t id = p->ev.id;
    flow_pend_del(s->r, p);
    return push(s, FLOW_CANCEL, id, NULL);
}

int flow_ask_timer(struct step *s, struct frame *f, enum role role, int64_t due_ms, const char *why)
{
    struct val *data = val_put_cstr(val_obj(), "due", val_int(due_ms));
    data = val_put_cstr(data, "task", val_cstr(f->task ? f->task->pointer : ""));
    return flow_ask(s, f, role, FLOW_TIMER, val_put_cstr(data, "why", val_cstr(why)));
}

int flow_note(struct step *s, enum flow_note_kind k, const struct frame *f, struct val *data)
{
    struct flow_out *o = s->out;
    if (!o->want_notes)
        return 0;
    if (o->note_count == o->note_cap) {
        void *more = grown(o->notes, &o->note_cap, sizeof *o->notes);
        if (!more)
            return E_NOMEM;
        o->notes = more;
    }
    const struct flow_task *t = f ? f->task : NULL;
    o->notes[o->note_count++] = (struct flow_note){
        .kind = k,
        .workflow = t == NULL,
        .task = t ? t->pointer : "",
        .name = t ? t->name : s->r->plan->about.name,
        .attempt = f ? f->attempt + 1 : 1,
        .at_ms = s->at_ms,
        .data = val_ref(data),
    };
    return 0;
}

void flow_out_clear(struct flow_out *o)
{
    for (size_t i = 0; i < o->command_count; i++)
        flow_event_fini(&o->commands[i]);
    for (size_t i = 0; i < o->note_count; i++)
        val_unref(o->notes[i].data);
    o->command_count = o->note_count = 0;
}

void flow_out_fini(struct flow_out *o)
{
    flow_out_clear(o);
    mem_free(o->commands);
    mem_free(o->notes);
    *o = (struct flow_out){0};
}
