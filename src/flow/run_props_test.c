// run_props_test.c: what must hold for every history: a fold of it gives the same run, a run that
// is saved and loaded at any entry goes on alike, a changed command is noticed; and for a world
// that answers in any order, twice, late and badly: what is awaited is what was asked for and not
// yet answered, and a run ends once. SEED=n plays one walk again. SPDX-License-Identifier:
// Apache-2.0
#include "flow/run_rows_rig.h"
#include "text/suite_priv.h"

// ---- histories ----

// A state with its values in place: which of them are shared is no difference.
static struct val *whole(const struct val *all, const struct val *place)
{
    int64_t at = val_i64(place, -1);
    return at < 0 ? val_null() : val_ref(val_at(all, (size_t)at));
}

static struct val *frame_whole(const struct val *all, const struct val *frame)
{
    static const char *const held[] = {"r", "i", "o", "c", "g", "e", "n", "b", "k", "m"};
    struct val *f = val_ref((struct val *)(uintptr_t)frame), *answers = val_arr();
    for (size_t i = 0; i < sizeof held / sizeof *held; i++)
        if (val_get_cstr(f, held[i]))
            f = val_put_cstr(f, held[i], whole(all, val_get_cstr(frame, held[i])));
    for (size_t i = 0; i < val_len(val_get_cstr(frame, "an")); i++)
        answers = val_push(answers, whole(all, val_at(val_at(val_get_cstr(frame, "an"), i), 1)));
    return val_put_cstr(f, "an", answers);
}

static struct val *state_of(const struct flow_run *r)
{
    static const char *const held[] = {"in", "ctx", "out", "err", "signals"};
    struct val *saved = flow_save(r), *s = val_ref(saved), *frames = val_arr(), *seen = val_arr();
    const struct val *all = val_get_cstr(saved, "vals"), *list = val_get_cstr(saved, "frames");
    for (size_t i = 0; i < sizeof held / sizeof *held; i++)
        if (val_get_cstr(saved, held[i]))
            s = val_put_cstr(s, held[i], whole(all, val_get_cstr(saved, held[i])));
    for (size_t i = 0; i < val_len(list); i++)
        frames = val_push(frames, frame_whole(all, val_at(list, i)));
    list = val_get_cstr(saved, "seen");
    for (size_t i = 0; i < val_len(list); i++) {
        struct val *one = val_ref(val_at(list, i));
        for (size_t k = 6; k < val_len(val_at(list, i)); k++)
            one = val_set_at(one, k, whole(all, val_at(val_at(list, i), k)));
        seen = val_push(seen, one);
    }
    s = val_put_cstr(val_put_cstr(s, "frames", frames), "seen", seen);
    val_unref(saved);
    return val_del(s, BYTES("vals"));
}

static bool same_state(const struct flow_run *a, const struct flow_run *b)
{
    struct val *x = state_of(a), *y = state_of(b);
    bool same = val_equal(x, y);
    if (!same) {
        char p[4096], q[4096];
        rig_text(x, p, sizeof p);
        rig_text(y, q, sizeof q);
        print_error("%s\n%s\n", p, q);
    }
    val_unref(x);
    val_unref(y);
    return same;
}

static int replay(const struct rig *w, size_t changed, const struct flow_event *other,
                  struct flow_run **ret, struct err *e)
{
    struct flow_replay *p;
    int rc = flow_replay_new(&p, w->plan, e);
    assert_int_equal(rc, 0);
    for (size_t i = 0; rc == 0 && i < w->count; i++) {
        if (i == changed && !other)
            continue;
        if (w->history[i].type == FLOW_ROLLED) { // a chapter of its own
            flow_replay_free(p);
            assert_int_equal(flow_replay_new(&p, w->plan, e), 0);
        }
        rc = flow_replay_entry(p, i == changed ? other : &w->history[i], e);
    }
    if (rc == 0)
        rc = flow_replay_end(p, ret, NULL, e);
    flow_replay_free(p);
    return rc;
}

static void folds(const char *name, const struct rig *w)
{
    struct flow_run *r = NULL;
    struct err e = {0};
    if (replay(w, SIZE_MAX, NULL, &r, &e) < 0)
        fail_msg("%s: %s", name, e.text);
    if (!same_state(r, w->run))
        fail_msg("%s: the fold of its history is another run", name);
    flow_run_free(r);
}

static struct flow_run *through_text(struct flow_plan *plan, const struct flow_run *r)
{
    struct val *state = flow_save(r), *back = NULL;
    struct flow_run *ret = NULL;
    struct err e = {0};
    struct buf b;
    buf_init(&b, (size_t)64 << 20);
    assert_int_equal(val_write(&b, state), 0);
    if (val_parse(&back, buf_bytes(&b), &e) < 0 || flow_load(&ret, plan, back, &e) < 0)
        fail_msg("%s: %s", e.text, buf_cstr(&b));
    buf_fini(&b);
    val_unref(back);
    val_unref(state);
    return ret;
}

// Steps the events from `at` on; the commands must be those of the history.
static void goes_on(const char *name, const struct rig *w, struct flow_run **r, size_t at,
                    bool reload)
{
    struct flow_out out = {0};
    struct err e = {0};
    size_t next = 0;
    for (size_t i = at; i < w->count; i++) {
        const struct flow_event *ev = &w->history[i];
        if (flow_type_is_command(ev->type)) {
            if (next >= out.command_count || out.commands[next].type != ev->type ||
                out.commands[next].id != ev->id || !val_equal(out.commands[next].data, ev->data))
                fail_msg("%s: entry %zu (%s) is another one", name, i, flow_type_name(ev->type));
            next++;
            continue;
        }
        if (next != out.command_count)
            fail_msg("%s: before entry %zu a command too many", name, i);
        if (reload) {
            struct flow_run *fresh = through_text(w->plan, *r);
            flow_run_free(*r);
            *r = fresh;
        }
        flow_out_clear(&out);
        next = 0;
        if (ev->type == FLOW_ROLLED && reload) { // as another node begins with this chapter
            flow_run_free(*r);
            assert_int_equal(flow_run_new(r, w->plan, &e), 0);
        }
        if (flow_step(*r, ev, &out, &e) < 0)
            fail_msg("%s: entry %zu: %s", name, i, e.text);
    }
    if (next != out.command_count)
        fail_msg("%s: a command too many at the end", name);
    flow_out_fini(&out);
}

static void saves(const char *name, const struct rig *w)
{
    struct flow_run *r;
    struct err e = {0};
    assert_int_equal(flow_run_new(&r, w->plan, &e), 0);
    goes_on(name, w, &r, 0, true);
    if (!same_state(r, w->run))
        fail_msg("%s: saved and loaded at each entry it is another run", name);
    flow_run_free(r);
}

static void notices(const char *name, const struct rig *w)
{
    for (size_t i = 0; i < w->count; i++) {
        const struct flow_event *ev = &w->history[i];
        struct flow_event other = *ev;
        struct err e = {0};
        struct flow_run *r = NULL;
        if (!flow_type_is_command(ev->type))
            continue;
        if (replay(w, i, NULL, &r, &e) != E_CONFLICT)
            fail_msg("%s: entry %zu is missing, and nobody says so", name, i);
        other.id++;
        if (replay(w, i, &other, &r, &e) != E_CONFLICT)
            fail_msg("%s: entry %zu has another id, and nobody says so", name, i);
        other = *ev;
        other.data = val_put_cstr(ev->data ? val_ref(ev->data) : val_obj(), "more", val_int(1));
        bool free_ = ev->type == FLOW_ROLL;
        if (!free_ && replay(w, i, &other, &r, &e) != E_CONFLICT)
            fail_msg("%s: entry %zu has other data, and nobody says so", name, i);
        val_unref(other.data);
    }
}

static void histories(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS; i++)
        for (int far = 0; far < 2; far++) {
            struct rig *w = rig_play(&rows[i], far, NULL);
            folds(rows[i].name, w);
            saves(rows[i].name, w);
            if (!far)
                notices(rows[i].name, w);
            rig_done(w);
        }
}

// The documents of the repository, each as far as the world of the tests lets it go.
static void documents(void **state)
{
    static const char *const folders[] = {"examples/flows", "tests/flows"};
    size_t played = 0;
    (void)state;
    for (size_t k = 0; k < 2; k++) {
        size_t count;
        char **names = suite_names(folders[k], &count);
        for (size_t i = 0; i < count; i++) {
            char path[SUITE_PATH_MAX];
            struct rig w = {.act = rig_acts};
            struct buf text;
            if (!bytes_ends(bytes_of(names[i]), BYTES(".yaml")))
                continue;
            buf_init(&text, SUITE_FILE_MAX);
            (void)snprintf(path, sizeof path, "%s/%s", folders[k], names[i]);
            assert_true(suite_read(path, &text));
            rig_open(&w, buf_cstr(&text));
            (void)rig_start(&w, rig_json("{\"items\":[1,2,3],\"text\":\"a\",\"n\":3}"));
            for (int step = 0; step < 200 && !rig_over(&w) && rig_next(&w); step++) {
            }
            folds(path, &w);
            saves(path, &w);
            played++;
            rig_close(&w);
            buf_fini(&text);
        }
        suite_names_free(names, count);
    }
    assert_true(played >= 10);
}

// A long loop yields, rolls over, and is the same run after each chapter.
static void chapters(void **state)
{
    static const char doc[] = HEAD
        "do:\n"
        "  - a: {for: {in: '${ [range(700)] }'}, do: [{b: {set: {n: '${ (.n // 0) + 1 }'}}}, {c: "
        "{switch: [{x: {when: '${ .n % 20 == 0 }', then: d}}], then: exit}}, {d: {wait: PT1S}}]}\n";
    struct rig w = {.act = rig_acts};
    size_t yields = 0, rolls = 0;
    (void)state;
    rig_open(&w, doc);
    struct val *started = rig_started(&w, val_obj());
    (void)rig_event(&w, FLOW_STARTED, 0, val_put_cstr(started, "chapter_max", val_int(10)));
    rig_go(&w);
    for (size_t i = 0; i < w.count; i++) {
        yields += w.history[i].type == FLOW_YIELD;
        rolls += w.history[i].type == FLOW_ROLL;
    }
    assert_int_equal(flow_run_status(w.run), FLOW_COMPLETED);
    assert_int_equal(val_i64(val_get_cstr(w.run->output, "n"), 0), 700);
    assert_true(rolls >= 3);
    folds("chapters", &w);
    saves("chapters", &w);
    rig_close(&w);

    static const char busy[] = HEAD
        "do:\n"
        "  - a: {for: {in: '${ [range(2500)] }'}, do: [{b: {set: {n: '${ (.n // 0) + 1 }'}}}]}\n";
    w = (struct rig){.act = rig_acts};
    rig_open(&w, busy);
    (void)rig_start(&w, val_obj());
    rig_go(&w);
    for (size_t i = 0; i < w.count; i++)
        yields += w.history[i].type == FLOW_YIELD;
    assert_true(yields >= 2);
    assert_int_equal(flow_run_status(w.run), FLOW_COMPLETED);
    folds("busy", &w);
    saves("busy", &w);
    rig_close(&w);
}

// ---- a bad world ----

static void bad_act(struct rig *w, const struct flow_event *ev, struct val **ret_output,
                    struct val **ret_problem)
{
    if (rng_below(w->rng, 4) == 0)
        *ret_problem = rig_problem("communication", 500 + (int)rng_below(w->rng, 4), "Bad luck");
    else
        rig_acts(w, ev, ret_output, ret_problem);
}

// What the history says is awaited is what the run says.
static void consistent(const struct rig *w, uint64_t seed)
{
    static uint8_t open[1 << 16];
    const struct flow_event *ev;
    size_t awaited = 0, ends = 0, found = 0;
    uint64_t last = 0;
    memset(open, 0, sizeof open);
    for (size_t i = 0; i < w->count; i++) {
        const struct flow_event *h = &w->history[i];
        assert_true(h->id < sizeof open);
        bool asks = h->type >= FLOW_ACT && h->type <= FLOW_LISTEN;
        bool ends_it = h->type == FLOW_CANCEL || h->type == FLOW_DONE || h->type == FLOW_FAILED ||
                       h->type == FLOW_FIRED || h->type == FLOW_EVALUATED;
        if (asks) {
            if (h->id <= last)
                fail_msg("seed %llu: id %llu is not new", (unsigned long long)seed,
                         (unsigned long long)h->id);
            last = h->id;
            open[h->id] = 1;
            awaited++;
        } else if (ends_it && open[h->id]) {
            open[h->id] = 0;
            awaited--;
        } else if (h->type == FLOW_CANCEL) {
            fail_msg("seed %llu: %llu is cancelled, but nobody waits for it",
                     (unsigned long long)seed, (unsigned long long)h->id);
        }
        ends += h->type == FLOW_END;
        if (h->type == FLOW_HAND && ends > 0)
            ends = 0; // opened again
    }
    for (size_t at = 0; flow_run_pending(w->run, &at, &ev); found++)
        if (!open[ev->id])
            fail_msg("seed %llu: %llu is awaited, but was answered", (unsigned long long)seed,
                     (unsigned long long)ev->id);
    if (found != awaited || ends > 1)
        fail_msg("seed %llu: %zu are awaited, %zu should be; %zu ends", (unsigned long long)seed,
                 found, awaited, ends);
}

static void again(struct rig *w) // an answer that was given already, or to nothing
{
    size_t i = (size_t)rng_below(w->rng, w->count);
    enum flow_type t = w->history[i].type;
    if (t == FLOW_DONE || t == FLOW_FAILED || t == FLOW_FIRED || t == FLOW_EVALUATED)
        (void)rig_event(w, t, w->history[i].id, val_ref(w->history[i].data));
    else if (t == FLOW_ACT || t == FLOW_TIMER)
        (void)rig_event(w, t == FLOW_ACT ? FLOW_DONE : FLOW_FIRED, w->history[i].id,
                        val_put_cstr(val_obj(), "output", val_int(7)));
}

static void hand(struct rig *w)
{
    static const char *const hands[] = {"retry", "skip",   "pause", "resume",
                                        "retry", "resume", "cancel"};
    const char *action = hands[rng_below(w->rng, rng_below(w->rng, 8) == 0 ? 7 : 6)];
    size_t task = (size_t)rng_below(w->rng, w->plan->task_count + 1);
    struct val *v = val_put_cstr(val_obj(), "action", val_cstr(action));
    if (task < w->plan->task_count)
        v = val_put_cstr(v, "task", val_cstr(w->plan->tasks[task]->pointer));
    (void)rig_event(w, FLOW_HAND, 0, v);
}

static void walk(uint64_t seed)
{
    struct rng rng;
    rng_init(&rng, seed);
    const struct row *row = &rows[rng_below(&rng, ROWS)];
    struct rig w = {.act = bad_act, .rng = &rng, .events = row->events};
    rig_open(&w, row->doc);
    rig_far(&w, rng_below(&rng, 2));
    (void)rig_start(&w, rig_yaml(row->input));
    for (int i = 0; i < 60; i++) {
        uint64_t what = rng_below(&rng, 10);
        if (what == 0)
            again(&w);
        else if (what == 1)
            hand(&w);
        else if (!rig_next(&w))
            break;
        if (w.last_rc != 0 && w.last_rc != E_CONFLICT && w.last_rc != E_INVALID)
            fail_msg("seed %llu: %s", (unsigned long long)seed, w.last.text);
        if (rng_below(&rng, 8) == 0) { // another process goes on
            struct flow_run *fresh = through_text(w.plan, w.run);
            flow_run_free(w.run);
            w.run = fresh;
        }
    }
    consistent(&w, seed);
    folds(row->name, &w);
    rig_close(&w);
}

static void walks(void **state)
{
    const char *one = getenv("SEED");
    (void)state;
    if (one) {
        walk(strtoull(one, NULL, 10));
        return;
    }
    for (uint64_t seed = 1; seed <= 2000; seed++)
        walk(seed);
}

// ---- what cannot be ----

static void refusals(void **state)
{
    struct rig w = {.act = rig_acts};
    (void)state;
    rig_open(&w, HEAD "do:\n  - a: {wait: PT1S}\n");
    assert_int_equal(rig_event(&w, FLOW_TICK, 0, NULL), E_INVALID);
    assert_int_equal(rig_event(&w, FLOW_STARTED, 0, val_obj()), E_INVALID);
    assert_int_equal(rig_start(&w, val_obj()), 0);
    assert_int_equal(rig_event(&w, FLOW_STARTED, 0, rig_started(&w, val_obj())), E_INVALID);
    assert_int_equal(rig_event(&w, FLOW_DONE, 1, NULL), E_INVALID); // 1 is a timer
    assert_int_equal(rig_event(&w, FLOW_DONE, 99, NULL), 0);        // nobody waits for it
    assert_int_equal(rig_event(&w, FLOW_END, 5, NULL), E_INVALID);
    assert_int_equal(rig_event(&w, FLOW_EVENT, 0, val_obj()), E_INVALID);
    assert_int_equal(rig_event(&w, FLOW_ROLLED, 0, val_obj()), E_INVALID);
    assert_int_equal(rig_event(&w, FLOW_HAND, 0, rig_json("{\"action\":\"dance\"}")), E_INVALID);
    assert_int_equal(rig_event(&w, FLOW_HAND, 0, rig_json("{\"action\":\"retry\"}")), E_CONFLICT);
    assert_int_equal(flow_run_wake_ms(w.run), RIG_START_MS + 1000);
    rig_go(&w);
    assert_int_equal(flow_run_status(w.run), FLOW_COMPLETED);
    assert_int_equal(rig_event(&w, FLOW_HAND, 0, rig_json("{\"action\":\"cancel\"}")), E_CONFLICT);
    assert_int_equal(rig_event(&w, FLOW_FIRED, 1, NULL), 0); // late
    rig_close(&w);
}

static struct val *deep(unsigned levels)
{
    struct val *v = val_int(1);
    for (unsigned i = 0; i < levels; i++)
        v = val_push(val_arr(), v);
    return v;
}

static void limits(void **state)
{
    struct rig w = {.act = rig_acts};
    (void)state;
    rig_open(&w, HEAD "do:\n  - a: {listen: {to: {one: {with: {type: a}}}}}\n");
    struct val *started = val_put_cstr(rig_started(&w, val_obj()), "decider", val_int(99));
    assert_int_equal(rig_event(&w, FLOW_STARTED, 0, started), E_UNSUPPORTED);
    assert_int_equal(rig_start(&w, deep(401)), E_TOOBIG);
    assert_int_equal(rig_start(&w, deep(400)), 0);
    for (int i = 0; i < FLOW_SIGNALS_MAX; i++)
        assert_int_equal(
            rig_event(&w, FLOW_EVENT, 0, rig_json("{\"event\":{\"type\":\"b\"},\"signal\":true}")),
            0);
    assert_int_equal(
        rig_event(&w, FLOW_EVENT, 0, rig_json("{\"event\":{\"type\":\"b\"},\"signal\":true}")),
        E_FULL);
    assert_int_equal(rig_event(&w, FLOW_EVENT, 0, rig_json("{\"event\":{\"type\":\"b\"}}")), 0);
    assert_int_equal(rig_event(&w, FLOW_HAND, 0, rig_json("{\"action\":\"pause\"}")), 0);
    assert_int_equal(flow_run_status(w.run), FLOW_SUSPENDED);
    folds("limits", &w);
    rig_close(&w);

    w = (struct rig){.act = rig_acts}; // an answer that is too deep, and problems that are
    rig_open(&w, HEAD "do:\n" HTTP("a", "echo") HTTP("b", "echo"));
    assert_int_equal(rig_start(&w, val_obj()), 0);
    struct val *data = val_put_cstr(val_obj(), "output", deep(500));
    assert_int_equal(rig_event(&w, FLOW_DONE, 1, data), 0);
    assert_int_equal(flow_run_status(w.run), FLOW_FAULTED);
    data = rig_json("{\"action\":\"edit\",\"task\":\"a\"}");
    assert_int_equal(rig_event(&w, FLOW_HAND, 0, data), E_INVALID);
    assert_int_equal(rig_event(&w, FLOW_HAND, 0, rig_json("{\"action\":\"retry\"}")), 0);
    struct val *problem = val_put_cstr(rig_problem("runtime", 500, "x"), "more", deep(500));
    data = val_put_cstr(val_obj(), "error", problem);
    assert_int_equal(rig_event(&w, FLOW_FAILED, w.run->next_id - 1, data), 0);
    assert_int_equal(flow_run_status(w.run), FLOW_FAULTED);
    assert_int_equal(val_i64(val_get_cstr(w.run->error, "status"), 0), 500);
    folds("deep", &w);
    rig_close(&w);
}

// What an activity is told beside its arguments; and after a roll only rolled comes.
static void told(void **state)
{
    struct rig w = {.act = rig_acts};
    (void)state;
    rig_open(
        &w, HEAD
        "do:\n"
        "  - a: {call: http, with: {method: get, endpoint: 'https://fake/never'}, timeout: {after: "
        "PT5S}, metadata: {plexus: {queue: heavy}}}\n");
    struct val *started = val_put_cstr(rig_started(&w, val_obj()), "label", val_cstr("secret"));
    started = val_put_cstr(started, "chapter_max", val_int(2));
    assert_int_equal(rig_event(&w, FLOW_STARTED, 0, started), 0);
    const struct flow_event *act = &w.out.commands[1];
    assert_int_equal(act->type, FLOW_ACT);
    char text[512];
    rig_text(act->data, text, sizeof text);
    assert_string_equal(text,
                        "{\"args\":{\"endpoint\":{\"uri\":\"https://fake/never\"},\"method\":"
                        "\"get\"},\"attempt\":1,\"kind\":\"http\",\"label\":\"secret\",\"name\":"
                        "\"a\",\"queue\":\"heavy\",\"task\":\"/do/0/a\",\"timeout_ms\":5000}");
    assert_int_equal(w.out.commands[2].type, FLOW_ROLL);
    assert_int_equal(rig_event(&w, FLOW_DONE, act->id, NULL), E_INVALID);
    assert_true(rig_next(&w));
    assert_int_equal(rig_event(&w, FLOW_DONE, 2, NULL), 0);
    assert_int_equal(flow_run_status(w.run), FLOW_COMPLETED);
    folds("told", &w);
    rig_close(&w);
}

// A history that was cut within the commands of its last event.
static void cut(void **state)
{
    struct rig w = {.act = rig_acts};
    struct flow_replay *p;
    struct flow_run *r = NULL;
    struct flow_out out = {0};
    struct err e = {0};
    (void)state;
    rig_open(&w, HEAD "do:\n  - a: {wait: PT5S, timeout: {after: PT9S}}\n");
    (void)rig_start(&w, val_obj());
    assert_int_equal(w.count, 3);
    assert_int_equal(flow_replay_new(&p, w.plan, &e), 0);
    assert_int_equal(flow_replay_end(p, NULL, NULL, &e), E_INVALID);
    assert_int_equal(flow_replay_entry(p, &w.history[0], &e), 0);
    assert_int_equal(flow_replay_entry(p, &w.history[1], &e), 0);
    assert_int_equal(flow_replay_end(p, NULL, NULL, &e), E_CONFLICT);
    assert_non_null(strstr(e.text, "timer 2 of /do/0/a"));
    assert_int_equal(flow_replay_end(p, &r, &out, &e), 0);
    assert_int_equal(out.command_count, 1);
    assert_int_equal(out.commands[0].id, 2);
    flow_run_free(r);
    flow_out_fini(&out);
    flow_replay_free(p);
    flow_replay_free(NULL);

    assert_int_equal(flow_replay_new(&p, w.plan, &e), 0);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(flow_replay_entry(p, &w.history[i], &e), 0);
    struct flow_event more = {.type = FLOW_TIMER, .id = 3};
    assert_int_equal(flow_replay_entry(p, &more, &e), E_CONFLICT);
    assert_non_null(
        strstr(e.text, "entry 4: the history says timer 3, this plexus decides nothing"));
    more = (struct flow_event){.type = FLOW_DONE, .id = 1};
    assert_int_equal(flow_replay_entry(p, &more, &e), E_INVALID);
    assert_non_null(strstr(e.text, "entry 5: "));
    flow_replay_free(p);
    rig_close(&w);
}

// A damaged state is refused or gives a run, but never a crash.
static void damaged(void **state)
{
    struct rng rng;
    (void)state;
    rng_init(&rng, 7);
    for (size_t i = 0; i < ROWS; i++) {
        struct rig *w = rig_play(&rows[i], true, NULL);
        struct flow_run *r = NULL;
        struct err e = {0};
        struct buf b;
        assert_int_equal(flow_run_new(&r, w->plan, &e), 0);
        struct flow_out out = {0};
        size_t stop = 1 + (size_t)rng_below(&rng, w->count);
        for (size_t j = 0; j < stop; j++)
            if (!flow_type_is_command(w->history[j].type))
                assert_int_equal(flow_step(r, &w->history[j], &out, &e), 0);
        struct val *whole = flow_save(r);
        buf_init(&b, 1 << 20);
        (void)val_write(&b, whole);
        val_unref(whole);
        for (int turn = 0; turn < 40; turn++) {
            size_t at = (size_t)rng_below(&rng, b.n);
            char was = b.p[at];
            struct val *v = NULL;
            struct flow_run *loaded = NULL;
            if (was >= '0' && was <= '9')
                b.p[at] = (char)('0' + rng_below(&rng, 10));
            if (val_parse(&v, buf_bytes(&b), &e) == 0)
                (void)flow_load(&loaded, w->plan, v, &e);
            flow_run_free(loaded);
            val_unref(v);
            b.p[at] = was;
        }
        buf_fini(&b);
        flow_out_fini(&out);
        flow_run_free(r);
        rig_done(w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(histories), cmocka_unit_test(documents), cmocka_unit_test(chapters),
        cmocka_unit_test(walks),     cmocka_unit_test(limits),    cmocka_unit_test(told),
        cmocka_unit_test(cut),       cmocka_unit_test(refusals),  cmocka_unit_test(damaged),
    };
    return cmocka_run_group_tests_name("flow/run_props", tests, NULL, NULL);
}
