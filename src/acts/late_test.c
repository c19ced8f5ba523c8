// late_test.c: late expressions that libjq must run, with an engine that answers as each case says;
// and memory that runs out at each point of an activity in turn.
// SPDX-License-Identifier: Apache-2.0
#include "acts/acts_rig.h"

// ---- an engine ---------------------------------------------------------------------------------

struct engine {
    struct expr base; // first
    struct timers *timers;
    struct timer timer;
    struct expr_req *req;
    int status;
    const char *result;
    char seen[4096];
    unsigned cancels;
    bool full;
};

static void engine_tell(struct timer *t)
{
    struct engine *x = t->user;
    struct expr_req *req = x->req;
    struct err e = {0};
    x->req = NULL;
    if (x->status < 0)
        (void)err_set(&e, x->status, "jq: error with s3cr3t-value in it");
    req->done(req, x->status, bytes_of(x->status == 0 ? x->result : NULL), x->status ? &e : NULL);
}

static int engine_run(struct expr *base, struct expr_req *r, struct err *e)
{
    struct engine *x = (struct engine *)(void *)base;
    if (x->full)
        return err_set(e, E_FULL, "too many expressions wait");
    (void)snprintf(x->seen, sizeof x->seen, "%.*s | %.*s | %.*s", BYTES_FMT(r->program),
                   BYTES_FMT(r->input), BYTES_FMT(r->vars));
    x->req = r;
    x->timer = (struct timer){.fn = engine_tell, .user = x};
    return timer_start(x->timers, &x->timer, x->status == E_CANCELLED ? 60000 : 5);
}

static void engine_cancel(struct expr *base, struct expr_req *r)
{
    struct engine *x = (struct engine *)(void *)base;
    assert_ptr_equal(x->req, r);
    x->cancels++;
    (void)timer_start(x->timers, &x->timer, 0); // later, as each engine does
}

static const struct expr_ops engine_ops = {.run = engine_run, .cancel = engine_cancel};
static struct engine engine;

static void with_engine(struct rig *r, struct acts_args *args)
{
    engine = (struct engine){.base.ops = &engine_ops, .timers = loop_timers(r->loop)};
    args->expr = &engine.base;
}

// ---- far expressions ---------------------------------------------------------------------------

// What is not plain: a search by a pattern.
#define FAR                                                                                        \
    "{\"method\":\"get\",\"endpoint\":\"%B/\",\"headers\":{\"X-Far\":{\"$late\":{\"program\":"     \
    "\"$secrets.key | sub(\\\"a\\\"; "                                                             \
    "\\\"b\\\")\",\"input\":{\"i\":1},\"vars\":{\"context\":{\"c\":2}}}}}}"

static void answer(struct rig *r, struct http_exchange *x, struct seen *s)
{
    (void)r;
    (void)s;
    rig_json(x, 200, "1");
}

static void next(struct rig *r, unsigned round)
{
    static const struct {
        int status;
        const char *result;
        bool full;
    } cases[] = {
        {0, "[\"s3cr3t-result\",\"second\"]", false},
        {0, "[]", false},
        {0, "not json", false},
        {E_INVALID, NULL, false},
        {E_TIMEOUT, NULL, false},
        {0, NULL, true},
        {E_CANCELLED, NULL, false}, // does not answer: the activity's own deadline comes
    };
    if (round == sizeof cases / sizeof *cases) {
        rig_done(r);
        return;
    }
    engine.status = cases[round].status;
    engine.result = cases[round].result;
    engine.full = cases[round].full;
    (void)rig_do(r, "http", FAR, engine.status == E_CANCELLED ? 50 : 0);
}

static void test_far(void **state)
{
    (void)state;
    static struct rig r;
    r.answer = answer;
    r.change = with_engine;
    r.secrets[0][0] = "key";
    r.secrets[0][1] = "s3cr3t-value";
    rig_run(&r, next);
    gave(&r.ones[0], "1");
    assert_string_equal(seen_header(&r.seen[0], "X-Far"), "s3cr3t-result");
    assert_non_null(strstr(engine.seen, "{\"i\":1} | {\"context\":{\"c\":2},\"secrets\":{\"key\":"
                                        "\"s3cr3t-value\"},\"authorization\":null}"));
    gave(&r.ones[1], "1");
    assert_string_equal(seen_header(&r.seen[1], "X-Far"), "");
    failed(&r.ones[2], "expression", 400, false, "not JSON");
    failed(&r.ones[3], "expression", 400, true, "jq: error with *** in it");
    failed(&r.ones[4], "expression", 400, false, "jq: error");
    failed(&r.ones[5], "expression", 400, false, "too many");
    failed(&r.ones[6], "timeout", 408, false, "50 ms");
    assert_int_equal(engine.cancels, 1);
    for (int i = 0; i < 7; i++)
        hidden(&r.ones[i], "s3cr3t");
    rig_fini(&r);
}

// ---- memory ------------------------------------------------------------------------------------

#define TRIED                                                                                      \
    "{\"method\":\"post\",\"endpoint\":{\"uri\":\"%B/"                                             \
    "a\",\"authentication\":{\"basic\":{\"username\":"                                             \
    "\"u\",\"password\":{\"$late\":{\"program\":\"$secrets.key\",\"input\":null,\"vars\":{}}}}}}," \
    "\"headers\":{\"X-A\":\"1\"},\"query\":{\"q\":[1,2]},\"body\":{\"a\":[1,2,{\"b\":null}]},"     \
    "\"output\":\"response\"}"

static uint64_t fail_at, before, allocations;

static void next_torture(struct rig *r, unsigned round)
{
    if (round > 0) {
        mem_fail_after(0, 0);
        allocations = mem_count() - before;
        rig_done(r);
        return;
    }
    // As rig_do, but it may be refused, and the test's own memory is not what is tried.
    struct one *o = &r->ones[r->count++];
    struct err e = {0};
    struct buf text;
    buf_init(&text, 4096);
    for (const char *p = TRIED; *p; p++) {
        if (p[0] == '%' && p[1] == 'B')
            (void)buf_str(&text, r->base), p++;
        else
            (void)buf_chr(&text, *p);
    }
    o->rig = r;
    o->with = rig_val(buf_cstr(&text));
    buf_fini(&text);
    buf_init(&r->seen[0].body, 1 << 20);
    (void)buf_room(&r->seen[0].body, 4096);
    o->req = (struct act_req){.done = one_done, .user = o};
    o->args = (struct act_args){
        .kind = BYTES("http"), .key = BYTES("k"), .timeout_ms = 2000, .args = o->with};
    r->left++;
    before = mem_count();
    mem_fail_after(fail_at, 0);
    if (act_start(r->acts, &o->args, &o->req, &e) < 0) {
        r->left--;
        o->ended = 1;
        o->status = e.code;
        mem_fail_after(0, 0);
        allocations = fail_at;
        r->next = next_torture;
        r->round++;
        rig_done(r);
    }
}

static void test_memory(void **state)
{
    (void)state;
    unsigned lost = 0;
    bool all = false;
    for (fail_at = 1; !all && fail_at < 2000; fail_at++) {
        static struct rig r;
        r.answer = answer;
        r.secrets[0][0] = "key";
        r.secrets[0][1] = "s3cr3t-value";
        rig_run(&r, next_torture);
        struct one *o = &r.ones[0];
        assert_int_equal(o->ended, 1);
        lost += o->status != 0;
        all = allocations < fail_at;
        rig_fini(&r);
    }
    assert_true(all);
    assert_true(lost > 60); // the server's half can be done without
}

static int tests(void)
{
    const struct CMUnitTest all[] = {
        cmocka_unit_test(test_far),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests_name("late", all, NULL, NULL);
}

int main(int argc, char **argv)
{
    return rig_main(argc, argv, tests);
}
