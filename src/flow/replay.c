// replay.c: a history against the present decider: its events are stepped, its commands must be the
// ones that these steps give.
// SPDX-License-Identifier: Apache-2.0
#include "flow/run_priv.h"
#include <stdio.h>

struct flow_replay {
    struct flow_run *run;
    struct flow_out out; // of the last event
    size_t next; // the first command that the history has not had yet
    uint64_t entries;
};

int flow_replay_new(struct flow_replay **ret, struct flow_plan *plan, struct err *e)
{
    struct flow_replay *p = mem_new(struct flow_replay);
    if (!p)
        return err_set(e, E_NOMEM, "a replay needs memory");
    int rc = flow_run_new(&p->run, plan, e);
    if (rc < 0) {
        mem_free(p);
        return rc;
    }
    *ret = p;
    return 0;
}

void flow_replay_free(struct flow_replay *p)
{
    if (!p)
        return;
    flow_run_free(p->run);
    flow_out_fini(&p->out);
    mem_free(p);
}

struct said {
    char text[256];
};

static struct said say(const struct flow_event *ev)
{
    struct said s;
    const char *kind = val_text(val_get_cstr(ev->data, "kind"), "");
    const char *task = val_text(val_get_cstr(ev->data, "task"), "");
    (void)snprintf(s.text, sizeof s.text, "%s %llu%s%.60s%s%.120s", flow_type_name(ev->type),
                   (unsigned long long)ev->id, *kind ? " " : "", kind, *task ? " of " : "", task);
    return s;
}

static const char *where(const struct val *a, const struct val *b, char *name, size_t max)
{
    struct bytes key;
    struct val *item;
    for (int turn = 0; turn < 2; turn++) {
        const struct val *x = turn == 0 ? a : b, *y = turn == 0 ? b : a;
        for (size_t at = 0; val_is(x, JSON_OBJ) && val_each(x, &at, &key, &item);)
            if (!val_get(y, key) || !val_equal(item, val_get(y, key))) {
                (void)snprintf(name, max, "%.*s", BYTES_FMT(key));
                return name;
            }
    }
    return "data";
}

static int check(struct flow_replay *p, const struct flow_event *ev, struct err *e)
{
    if (p->next == p->out.command_count)
        return err_set(e, E_CONFLICT,
                       "entry %llu: the history says %s, this plexus decides nothing more here",
                       (unsigned long long)p->entries, say(ev).text);
    const struct flow_event *mine = &p->out.commands[p->next++];
    if (mine->type != ev->type || mine->id != ev->id)
        return err_set(e, E_CONFLICT, "entry %llu: the history says %s, this plexus decides %s",
                       (unsigned long long)p->entries, say(ev).text, say(mine).text);
    if (ev->type == FLOW_ROLL) // its state is in the form of the version that wrote it
        return 0;
    char name[64];
    if (ev->data != mine->data && !val_equal(ev->data, mine->data))
        return err_set(
            e, E_CONFLICT,
            "entry %llu: the history says %s, this plexus decides %s with another \"%s\"",
            (unsigned long long)p->entries, say(ev).text, say(mine).text,
            where(ev->data, mine->data, name, sizeof name));
    return 0;
}

int flow_replay_entry(struct flow_replay *p, const struct flow_event *ev, struct err *e)
{
    p->entries++;
    if (flow_type_is_command(ev->type))
        return check(p, ev, e);
    if (p->next < p->out.command_count)
        return err_set(
            e, E_CONFLICT, "entry %llu: the history says %s, this plexus decides %s first",
            (unsigned long long)p->entries, say(ev).text, say(&p->out.commands[p->next]).text);
    flow_out_clear(&p->out);
    p->next = 0;
    int rc = flow_step(p->run, ev, &p->out, e);
    if (rc < 0 && e)
        (void)err_wrap(e, "entry %llu", (unsigned long long)p->entries);
    return rc;
}

int flow_replay_end(struct flow_replay *p, struct flow_run **ret, struct flow_out *out,
                    struct err *e)
{
    if (p->entries == 0)
        return err_set(e, E_INVALID, "the history is empty");
    if (p->next < p->out.command_count && !out)
        return err_set(e, E_CONFLICT, "the history ends, this plexus decides %s first",
                       say(&p->out.commands[p->next]).text);
    if (out) { // what the history does not have yet
        for (size_t i = 0; i < p->next; i++)
            flow_event_fini(&p->out.commands[i]);
        p->out.command_count -= p->next;
        for (size_t i = 0; i < p->out.command_count; i++)
            p->out.commands[i] = p->out.commands[i + p->next];
        *out = p->out;
        p->out = (struct flow_out){0};
        p->next = 0;
    }
    if (ret)
        *ret = steal(&p->run);
    return 0;
}
