// tool_test.c: call: tool: what the tool gets, what its answer becomes, its errors as problems, and
// ends in between.
// SPDX-License-Identifier: Apache-2.0
#include "acts/acts_rig.h"

struct called { // one call, ended by a timer
    struct timer timer;
    struct tool_req *req;
    struct timers *timers;
    int status;
    char name[64];
    bool cancelled;
};
static struct {
    struct tools base; // first
    struct timers *timers;
    struct called calls[RIG_ONES];
    unsigned count, left;
    char input[256], who[64], label[32], key[32];
    int64_t timeout_ms;
    bool confirmed;
} box;

static struct val *content(const char *json)
{
    return rig_val(json);
}

static void end(struct timer *t)
{
    struct called *c = t->user;
    struct err e = {.code = c->status, .text = "nobody granted it"};
    struct tool_result res = {0};
    const char *name = c->name;
    box.left--;
    if (c->cancelled)
        c->status = E_CANCELLED;
    if (strcmp(name, "add") == 0)
        res.structured = rig_val("{\"sum\":3}");
    if (strcmp(name, "picture") == 0)
        res.content =
            content("[{\"type\":\"image\",\"data\":\"AA==\",\"mimeType\":\"image/png\"}]");
    else
        res.content =
            content("[{\"type\":\"text\",\"text\":\"one\"},{\"type\":\"text\",\"text\":\"two\"}]");
    res.is_error = strcmp(name, "fails") == 0;
    c->req->done(c->req, c->status, c->status ? NULL : &res, c->status ? &e : NULL);
    val_unref(res.structured);
    val_unref(res.content);
}

static int start(struct tools *t, const struct tool_args *args, struct tool_req *r, struct err *e)
{
    struct called *c = &box.calls[box.count++];
    struct buf text;
    (void)t;
    if (bytes_is(args->name, "absent"))
        return err_set(e, E_NOTFOUND, "there is no tool \"absent\"");
    *c = (struct called){.req = r, .timers = box.timers};
    (void)snprintf(c->name, sizeof c->name, "%.*s", BYTES_FMT(args->name));
    c->status = bytes_is(args->name, "denied")     ? E_FORBIDDEN
                : bytes_is(args->name, "misfit")   ? E_INVALID
                : bytes_is(args->name, "broken")   ? E_MANIFEST
                : bytes_is(args->name, "labelled") ? E_SECURITY
                                                   : 0;
    buf_init(&text, sizeof box.input - 1);
    (void)val_write(&text, args->input);
    (void)snprintf(box.input, sizeof box.input, "%s", buf_cstr(&text));
    buf_fini(&text);
    (void)snprintf(box.who, sizeof box.who, "%.*s", BYTES_FMT(args->caller.who));
    (void)snprintf(box.label, sizeof box.label, "%.*s", BYTES_FMT(args->caller.label));
    (void)snprintf(box.key, sizeof box.key, "%.*s", BYTES_FMT(args->key));
    box.timeout_ms = args->timeout_ms;
    box.confirmed = box.confirmed || args->caller.confirmed;
    c->timer = (struct timer){.fn = end, .user = c};
    r->priv = c;
    box.left++;
    bool never = bytes_is(args->name, "never");
    if (strcmp(c->name, "works") == 0)
        r->progress(r, 1, 2, BYTES("half"));
    return timer_start(box.timers, &c->timer, never ? 20000 : 1);
}

static void cancel(struct tools *t, struct tool_req *r)
{
    struct called *c = r->priv;
    (void)t;
    c->cancelled = true;
    assert_int_equal(timer_start(c->timers, &c->timer, 1), 0);
}

static void with_tools(struct rig *r, struct acts_args *args)
{
    static const struct tools_ops ops = {.start = start, .cancel = cancel};
    (void)args;
    memset(&box, 0, sizeof box);
    box.base.ops = &ops;
    box.timers = loop_timers(r->loop);
}

static void nothing(struct rig *r, struct http_exchange *x, struct seen *s)
{
    (void)r;
    (void)s;
    rig_json(x, 404, "{}");
}

static void next(struct rig *r, unsigned round)
{
    acts_set_tools(r->acts, &box.base);
    static const char *const with[] = {
        "{\"name\":\"add\",\"arguments\":{\"a\":1,\"b\":2}}",
        "{\"name\":\"text\"}",
        "{\"name\":\"picture\",\"arguments\":null}",
        "{\"name\":\"fails\"}",
        "{\"name\":\"absent\"}",
        "{\"name\":\"denied\"}",
        "{\"name\":\"misfit\"}",
        "{\"name\":\"broken\"}",
        "{\"name\":\"labelled\"}",
        "{\"arguments\":{}}",
        "{\"name\":\"works\"}",
        "{\"name\":\"add\",\"output\":\"text\"}",
        "{\"name\":\"add\",\"output\":\"result\"}",
    };
    size_t n = sizeof with / sizeof *with;
    if (round < n)
        (void)rig_do(r, "tool", with[round], round == 0 ? 5000 : 0);
    else if (round == n)
        (void)rig_do(r, "tool", "{\"name\":\"never\"}", 30); // its time is over
    else if (round == n + 1)
        act_cancel(r->acts, &rig_do(r, "tool", "{\"name\":\"never\"}", 0)->req);
    else
        rig_done(r);
}

static void test_tool(void **state)
{
    static struct rig r;
    (void)state;
    r.answer = nothing;
    r.change = with_tools;
    r.label = "internal";
    rig_run(&r, next);
    gave(&r.ones[0], "{\"sum\":3}");
    gave(&r.ones[1], "\"one\\ntwo\"");
    gave(&r.ones[2], "[{\"type\":\"image\",\"data\":\"AA==\",\"mimeType\":\"image/png\"}]");
    failed(&r.ones[3], "runtime", 500, false, "fails: one\ntwo");
    failed(&r.ones[4], "configuration", 404, true, "there is no tool");
    failed(&r.ones[5], "authorization", 403, true, "nobody granted it");
    failed(&r.ones[6], "validation", 400, true, NULL);
    failed(&r.ones[7], "runtime", 502, false, "ManifestConformanceError");
    failed(&r.ones[8], "authorization", 403, true, NULL);
    failed(&r.ones[9], "configuration", 400, true, "needs name");
    assert_true(r.ones[10].beats == 1);
    AUTO(val) half = rig_val("{\"done\":1,\"total\":2,\"text\":\"half\"}");
    assert_true(val_equal(r.ones[10].beat, half));
    gave(&r.ones[11], "\"one\\ntwo\"");
    gave(&r.ones[12],
         "{\"content\":[{\"type\":\"text\",\"text\":\"one\"},{\"type\":\"text\",\"text\":"
         "\"two\"}],\"structured\":{\"sum\":3},\"text\":\"one\\ntwo\"}");
    failed(&r.ones[13], "timeout", 408, false, "longer than 30 ms");
    assert_int_equal(r.ones[14].status, E_CANCELLED);
    assert_true(box.calls[box.count - 1].cancelled && box.left == 0);
    assert_string_equal(box.who, "flow run-1");
    assert_string_equal(box.label, "internal");
    assert_string_equal(box.key, "run-1/21");
    assert_false(box.confirmed);
    val_unref(steal(&half));
    rig_fini(&r);
}

// Its arguments come to it as they are, with its time; none are an empty object.
static void next_one(struct rig *r, unsigned round)
{
    acts_set_tools(r->acts, round < 3 ? &box.base : NULL);
    if (round == 0) {
        (void)rig_do(r, "tool", "{\"name\":\"add\",\"arguments\":{\"a\":[1,{}]}}", 5000);
    } else if (round == 1) {
        assert_string_equal(box.input, "{\"a\":[1,{}]}");
        assert_in_range(box.timeout_ms, 1, 5000);
        (void)rig_do(r, "tool", "{\"name\":\"add\"}", 0);
    } else if (round == 2) {
        assert_string_equal(box.input, "{}");
        assert_true(box.timeout_ms == TIME_NEVER);
        (void)rig_do(r, "tool", "{\"name\":\"never\"}", 0);
        rig_done(r); // the node ends meanwhile: told once, the tool lets go later
        assert_int_equal(r->ones[2].status, E_CANCELLED);
        assert_int_equal(box.left, 1);
    }
}

static void test_end(void **state)
{
    static struct rig r;
    (void)state;
    r.answer = nothing;
    r.change = with_tools;
    rig_run(&r, next_one);
    assert_int_equal(box.left, 0);
    assert_int_equal(r.ones[2].ended, 1);
    rig_fini(&r);
}

static int tests(void)
{
    const struct CMUnitTest all[] = {
        cmocka_unit_test(test_tool),
        cmocka_unit_test(test_end),
    };
    return cmocka_run_group_tests_name("tool", all, NULL, NULL);
}

int main(int argc, char **argv)
{
    return rig_main(argc, argv, tests);
}
