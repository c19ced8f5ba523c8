// step.c: the one function: an event comes in, wakes frames, these go on, commands go out.
// SPDX-License-Identifier: Apache-2.0
#include "flow/run_priv.h"
#include <string.h>

static int on_started(struct step *s, const struct flow_event *ev)
{
    struct flow_run *r = s->r;
    if (r->status != FLOW_PENDING || r->root)
        return err_set(s->e, E_INVALID, "started comes once, first of a history");
    if (!val_is(ev->data, JSON_OBJ) || !val_is(val_get_cstr(ev->data, "run"), JSON_STR))
        return err_set(s->e, E_INVALID, "started needs \"run\", the id of the run");
    // Here older behaviour is kept: a run goes on as the decider that began it.
    int64_t decider = val_i64(val_get_cstr(ev->data, "decider"), FLOW_DECIDER_VERSION);
    if (decider > FLOW_DECIDER_VERSION)
        return err_set(s->e, E_UNSUPPORTED,
                       "the history was begun by decider %lld, this plexus has %d: renew it",
                       (long long)decider, FLOW_DECIDER_VERSION);
    struct val *input = val_get_cstr(ev->data, "input");
    r->raw_input = input ? val_ref(input) : val_null();
    r->started = val_del(val_ref(ev->data), BYTES("input"));
    r->context = val_obj();
    r->root = flow_frame_new(NULL, NULL);
    if (!r->raw_input || !r->started || !r->context || !r->root)
        return E_NOMEM;
    r->started_ms = r->root->started_ms = ev->at_ms;
    r->seed = (uint64_t)val_i64(val_get_cstr(r->started, "seed"), 0);
    int64_t chapter = val_i64(val_get_cstr(r->started, "chapter_max"), 0);
    r->chapter_max = chapter > 0 ? (uint64_t)chapter : 0;
    r->status = FLOW_RUNNING;
    r->root->raw = val_ref(r->raw_input);
    r->root->phase = PHASE_INPUT;
    flow_ready(r, r->root);
    return flow_note(s, FLOW_NOTE_STARTED, r->root, NULL);
}

// ---- answers ----

static bool answers(enum flow_type event, enum flow_type command)
{
    switch (event) {
    case FLOW_EVALUATED: return command == FLOW_EVAL;
    case FLOW_DONE:
    case FLOW_FAILED: return command == FLOW_ACT || command == FLOW_CHILD;
    case FLOW_FIRED: return command == FLOW_TIMER;
    case FLOW_STARTED:
    case FLOW_EVENT:
    case FLOW_HAND:
    case FLOW_TICK:
    case FLOW_ROLLED:
    case FLOW_ACT:
    case FLOW_CHILD:
    case FLOW_TIMER:
    case FLOW_EVAL:
    case FLOW_LISTEN:
    case FLOW_CANCEL:
    case FLOW_YIELD:
    case FLOW_ROLL:
    case FLOW_END:
    case FLOW_STALL:
    default: return false;
    }
}

static int timed_out(struct step *s, struct frame *f, enum role role)
{
    int rc;
    if (role == ROLE_ATTEMPT) {
        f->own = true; // its own catch may take it
        rc = flow_problem(s, PROBLEM_TIMEOUT, "an attempt took longer than %lld ms",
                          (long long)f->due_ms);
    } else {
        rc = flow_problem(s, PROBLEM_TIMEOUT, "it took longer than %lld ms",
                          (long long)f->timeout_ms);
    }
    if (rc < 0)
        return rc;
    rc = flow_raise(s, f, steal(&s->problem));
    flow_ready(s->r, f);
    return rc;
}

static int on_answer(struct step *s, const struct flow_event *ev)
{
    struct pend *p = flow_pend_find(s->r, ev->id);
    if (!p)
        return 0; // late, or a second one
    if (!answers(ev->type, p->ev.type))
        return err_set(s->e, E_INVALID, "%s cannot be the answer to %s %llu",
                       flow_type_name(ev->type), flow_type_name(p->ev.type),
                       (unsigned long long)ev->id);
    struct frame *f = p->frame;
    enum role role = p->role;
    flow_pend_del(s->r, p);
    if (!f)
        return 0;
    if (role == ROLE_TIMEOUT || role == ROLE_ATTEMPT)
        return timed_out(s, f, role);
    if (role == ROLE_EVAL) {
        if (f->answer_count < f->answer_room)
            f->answers[f->answer_count++].data = ev->data ? val_ref(ev->data) : val_null();
    } else {
        struct val *output = val_get_cstr(ev->data, "output");
        struct val *error = val_get_cstr(ev->data, "error");
        f->step = STEP_GOT;
        if (val_depth(error) > FLOW_VALUE_DEPTH_MAX)
            error = NULL;
        if (ev->type == FLOW_FAILED)
            flow_set(&f->error, error ? val_ref(error) : val_obj());
        else
            flow_set(&f->got, output ? val_ref(output) : val_null());
    }
    flow_ready(s->r, f);
    return 0;
}

// ---- rolling over ----

static int on_rolled(struct step *s, const struct flow_event *ev)
{
    struct flow_run *r = s->r;
    if (r->status == FLOW_PENDING && !r->root) {
        int rc = flow_load_into(r, val_get_cstr(ev->data, "state"), s->e);
        if (rc < 0)
            return rc;
    } else if (!r->rolling) {
        return err_set(s->e, E_INVALID, "rolled comes first of a chapter, after roll");
    }
    r->rolling = false;
    r->entries = 0;
    return 0;
}

static int roll(struct step *s)
{
    struct flow_run *r = s->r;
    uint64_t entries = r->entries + 1 + s->out->command_count, id;
    if (r->chapter_max == 0 || entries < r->chapter_max || r->status != FLOW_RUNNING)
        return 0;
    r->next_id++; // of roll itself: the state has what comes after it
    struct val *state = flow_save(r);
    r->next_id--;
    struct val *data = val_put_cstr(val_obj(), "state", state);
    if (!data)
        return E_NOMEM;
    int rc = flow_command(s, FLOW_ROLL, data, &id);
    r->rolling = true;
    return rc;
}

// ---- the step ----

static int take(struct step *s, const struct flow_event *ev)
{
    switch (ev->type) {
    case FLOW_STARTED: return on_started(s, ev);
    case FLOW_EVALUATED:
    case FLOW_DONE:
    case FLOW_FAILED:
    case FLOW_FIRED: return on_answer(s, ev);
    case FLOW_EVENT:
        return flow_hear(s, val_get_cstr(ev->data, "event"),
                         val_bool_of(val_get_cstr(ev->data, "signal"), false));
    case FLOW_HAND: return flow_hand(s, ev->data);
    case FLOW_TICK: s->r->yielded = false; return 0;
    case FLOW_ROLLED: return on_rolled(s, ev);
    case FLOW_ACT:
    case FLOW_CHILD:
    case FLOW_TIMER:
    case FLOW_EVAL:
    case FLOW_LISTEN:
    case FLOW_CANCEL:
    case FLOW_YIELD:
    case FLOW_ROLL:
    case FLOW_END:
    case FLOW_STALL:
    default:
        return err_set(s->e, E_INVALID, "%s is a command, not an event", flow_type_name(ev->type));
    }
}

// What comes from outside must leave room for what is put around it.
static int shallow(const struct flow_event *ev, struct err *e)
{
    static const char *const parts[] = {"input", "output", "event"};
    if (ev->type == FLOW_ROLLED || ev->type == FLOW_DONE || ev->type == FLOW_EVALUATED)
        return 0; // its answers are judged where they are used
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (val_depth(val_get_cstr(ev->data, parts[i])) > FLOW_VALUE_DEPTH_MAX)
            return err_set(e, E_TOOBIG, "%s: \"%s\" has more than %d levels of objects and arrays",
                           flow_type_name(ev->type), parts[i], FLOW_VALUE_DEPTH_MAX);
    return 0;
}

static int allowed(const struct flow_run *r, const struct flow_event *ev, struct err *e)
{
    if (r->spoilt)
        return err_set(e, r->spoilt, "an earlier step had no memory: the run must be loaded anew");
    if (r->rolling && ev->type != FLOW_ROLLED)
        return err_set(e, E_INVALID, "after roll comes rolled, not %s", flow_type_name(ev->type));
    if (r->status == FLOW_PENDING && ev->type != FLOW_STARTED && ev->type != FLOW_ROLLED)
        return err_set(e, E_INVALID, "a history begins with started or rolled, not with %s",
                       flow_type_name(ev->type));
    return shallow(ev, e);
}

int flow_step(struct flow_run *r, const struct flow_event *ev, struct flow_out *out, struct err *e)
{
    struct step s = {.r = r, .out = out, .at_ms = ev->at_ms, .e = e};
    size_t before = out->command_count;
    int rc = allowed(r, ev, e);
    if (rc < 0)
        return rc;
    bool ended = r->status != FLOW_PENDING && r->status != FLOW_RUNNING;
    // After the end: hands, and answers to what nobody waited for but was under way.
    if (!ended || ev->type == FLOW_HAND || ev->type == FLOW_DONE || ev->type == FLOW_FAILED)
        rc = take(&s, ev);
    if (rc == 0)
        rc = flow_frames(&s);
    if (rc == 0)
        rc = roll(&s);
    val_unref(s.problem);
    if (rc == 0) {
        r->entries += 1 + (out->command_count - before);
        return 0;
    }
    while (out->command_count > before)
        flow_event_fini(&out->commands[--out->command_count]);
    if (rc != E_NOMEM)
        return rc; // refused before anything was changed
    r->spoilt = E_NOMEM;
    return err_set(e, E_NOMEM, "a step needs memory");
}
