// tools_all_test.c: the union of sources: lists, finds, refuses, limits, records.
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "toolbox/toolbox_rig.h"
#include "toolbox/tools_all.h"

struct world {
    struct rig_clock clock;
    struct rig_source caps, files;
    struct tools_all *all;
    struct tools *tools;
    unsigned changed, began, ended;
    char last[512]; // of on_call
};
static struct world w;

static void on_call(void *user, enum tools_event ev, const struct tools_record *r)
{
    struct world *x = user;
    if (ev == TOOLS_BEGAN)
        x->began++;
    else
        x->ended++;
    (void)snprintf(x->last, sizeof x->last, "%s %s %s %d", ev == TOOLS_BEGAN ? "began" : "ended",
                   r->who, r->tool, r->status);
}

static void on_changed(void *user)
{
    ((struct world *)user)->changed++;
}

static int64_t wall(void *user)
{
    (void)user;
    return 1790000000000;
}

static int label(void *user, const struct tool_about *a, const struct tool_caller *c, struct err *e)
{
    (void)user;
    if (bytes_is(a->label, "restricted") && !bytes_is(c->clearance, "restricted"))
        return err_set(e, E_SECURITY, "SecurityViolationError: %.*s answers restricted",
                       BYTES_FMT(a->name));
    return 0;
}

#define PATH_IN                                                                                    \
    "{\"type\":\"object\",\"properties\":{\"path\":{\"type\":\"string\"}},\"required\":[\"path\"]" \
    "}"
#define SUM_OUT                                                                                    \
    "{\"type\":\"object\",\"properties\":{\"sum\":{\"type\":\"number\"}},\"required\":[\"sum\"]}"

static void make(struct tools_all_args args)
{
    struct err e = {0};
    w = (struct world){0};
    rig_clock_init(&w.clock);
    w.caps.tools[0] = (struct rig_tool){.name = "add", .output = SUM_OUT, .granted = true};
    w.caps.tools[1] = (struct rig_tool){.name = "files_read", .granted = true}; // hides another
    w.caps.tools[2] = (struct rig_tool){.name = "secret", .label = "restricted", .granted = true};
    w.caps.tool_count = 3;
    w.files.tools[0] = (struct rig_tool){.name = "bad", .input = "{\"type\":7}", .granted = true};
    w.files.tools[1] = (struct rig_tool){.name = "never", .granted = true};
    w.files.tools[2] = (struct rig_tool){.name = "read", .granted = true};
    w.files.tools[3] =
        (struct rig_tool){.name = "write", .input = PATH_IN, .effects = TOOL_WRITES | TOOL_RUNS};
    w.files.tool_count = 4;
    rig_source_init(&w.caps, "capability");
    rig_source_init(&w.files, "mcp:files");
    args.timers = &w.clock.base;
    args.wall_ms = wall;
    args.on_call = on_call;
    args.on_changed = on_changed;
    args.label = label;
    args.user = &w;
    assert_int_equal(tools_all_new(&w.all, &args, &e), 0);
    w.tools = tools_all_tools(w.all);
    assert_int_equal(tools_all_add(w.all, &w.caps.base, BYTES(""), &e), 0);
    assert_int_equal(tools_all_add(w.all, &w.files.base, BYTES("files_"), &e), 0);
}

static void gone(void)
{
    tools_all_free(w.all);
    rig_source_fini(&w.caps);
    rig_source_fini(&w.files);
    assert_true(list_empty(&w.clock.timers));
    assert_int_equal(mem_live(), 0);
}

struct asked { // one call and its end
    struct tool_req req;
    struct val *input;
    int ended, status, progress;
    bool is_error;
    char text[ERR_TEXT_MAX], structured[256];
};

static void asked_done(struct tool_req *r, int status, const struct tool_result *res,
                       const struct err *e)
{
    struct asked *a = r->user;
    a->ended++;
    a->status = status;
    assert_true((status == 0) == (res != NULL));
    (void)snprintf(a->text, sizeof a->text, "%s", res ? rig_text(res->content) : e->text);
    (void)snprintf(a->structured, sizeof a->structured, "%s",
                   rig_text(res ? res->structured : NULL));
    a->is_error = res && res->is_error;
}

static void asked_progress(struct tool_req *r, double done, double total, struct bytes text)
{
    struct asked *a = r->user;
    assert_true(done < total && bytes_is(text, "half"));
    a->progress++;
}

static int ask(struct asked *a, const char *name, const char *input, struct tool_args args)
{
    struct err e = {0};
    *a = (struct asked){.req = {.done = asked_done, .progress = asked_progress}};
    a->req.user = a;
    a->input = rig_val(input);
    args.name = bytes_of(name);
    args.input = a->input;
    args.caller.who = BYTES("anna");
    args.timeout_ms = args.timeout_ms ? args.timeout_ms : TIME_NEVER;
    int status = tool_start(w.tools, &args, &a->req, &e);
    if (status < 0)
        (void)snprintf(a->text, sizeof a->text, "%s", e.text);
    val_unref(a->input);
    a->input = NULL;
    return status;
}

// ---- lists --------------------------------------------------------------------------------------

static void each(void *user, const struct tool_about *a)
{
    (void)buf_fmt(user, "%.*s(%.*s)%s ", BYTES_FMT(a->name), BYTES_FMT(a->source),
                  a->granted ? "" : "!");
}

static bool only_add(void *user, const struct tool_about *a, const struct tool_caller *c)
{
    (void)user;
    return bytes_is(a->name, "add") && (!c->who.n || bytes_is(c->who, "anna"));
}

static const char *listed(const struct tool_caller *c)
{
    static char text[2000];
    struct buf b;
    buf_init(&b, sizeof text - 1);
    w.tools->ops->list(w.tools, c, each, &b);
    (void)snprintf(text, sizeof text, "%s", buf_cstr(&b));
    buf_fini(&b);
    return text;
}

static void test_list(void **state)
{
    struct tool_about a;
    struct err e = {0};
    (void)state;
    make((struct tools_all_args){0});
    assert_string_equal(listed(NULL),
                        "add(capability) files_bad(mcp:files) files_never(mcp:files) "
                        "files_read(capability) files_write(mcp:files)! secret(capability) ");
    assert_true(w.tools->ops->find(w.tools, BYTES("files_write"), &a));
    assert_true(bytes_is(a.name, "files_write") && bytes_is(a.source, "mcp:files"));
    assert_true(w.tools->ops->find(w.tools, BYTES("files_read"), &a));
    assert_true(bytes_is(a.source, "capability"));
    assert_false(w.tools->ops->find(w.tools, BYTES("write"), &a));
    assert_false(w.tools->ops->find(w.tools, BYTES(""), &a));
    // Epochs: of any source, and of those that came and went; never less than before.
    uint64_t before = w.tools->epoch;
    unsigned changed = w.changed;
    w.files.base.epoch = 7;
    tools_all_look(w.all);
    tools_all_look(w.all);
    assert_true(w.tools->epoch > before && w.changed == changed + 1);
    before = w.tools->epoch;
    assert_int_equal(tools_all_add(w.all, &w.files.base, BYTES(""), &e), E_EXISTS);
    tools_all_remove(w.all, &w.files.base);
    assert_true(w.tools->epoch > before);
    assert_string_equal(listed(NULL), "add(capability) files_read(capability) secret(capability) ");
    assert_int_equal(tools_all_add(w.all, &w.files.base, BYTES("a b"), &e), E_INVALID);
    gone();
}

static void test_grants(void **state)
{
    static const struct tool_caller anna = {.who = BYTES("anna")}, bob = {.who = BYTES("bob")};
    (void)state;
    make((struct tools_all_args){.granted = only_add});
    assert_non_null(strstr(listed(&anna), "add(capability) "));
    assert_non_null(strstr(listed(&anna), "secret(capability)!"));
    assert_non_null(strstr(listed(&bob), "add(capability)!"));
    struct asked a;
    assert_int_equal(ask(&a, "secret", "{}", (struct tool_args){0}), E_FORBIDDEN);
    gone();
}

// ---- calls --------------------------------------------------------------------------------------

static void test_call(void **state)
{
    struct asked a, b;
    (void)state;
    make((struct tools_all_args){0});
    assert_int_equal(ask(&a, "add", "{\"x\":[1,2]}", (struct tool_args){.key = BYTES("run/7")}), 0);
    assert_string_equal(w.last, "began anna add 0");
    assert_string_equal(w.caps.calls[0].args, "{\"x\":[1,2]}");
    assert_string_equal(w.caps.calls[0].key, "run/7");
    assert_string_equal(w.caps.calls[0].who, "anna");
    assert_true(w.caps.calls[0].timeout_ms == TIME_NEVER);
    w.caps.calls[0].req->progress(w.caps.calls[0].req, 1, 2, BYTES("half"));
    assert_int_equal(a.progress, 1);
    rig_pass(&w.clock, 25);
    rig_end(&w.caps, 0, 0, "3", "{\"sum\":3}");
    assert_true(a.ended == 1 && a.status == 0);
    assert_string_equal(a.text, "[{\"type\":\"text\",\"text\":\"3\"}]");
    assert_string_equal(a.structured, "{\"sum\":3}");
    const struct tools_record *r = tools_all_record(w.all, 0);
    assert_non_null(r);
    assert_string_equal(r->who, "anna");
    assert_string_equal(r->source, "capability");
    assert_true(r->took_us == 25000 && r->status == 0 && !r->denied && r->at_ms == 1790000000000);
    assert_true(r->bytes_in > 0 && r->bytes_out > 20);
    assert_null(tools_all_record(w.all, 1));
    // An answer that does not fit the schema that it promised, or is not there; the tool's own no.
    assert_int_equal(ask(&a, "add", "{}", (struct tool_args){0}), 0);
    rig_end(&w.caps, 1, 0, "3", "{\"sum\":\"3\"}");
    assert_int_equal(a.status, E_MANIFEST);
    assert_non_null(strstr(a.text, "the answer of add at /sum"));
    assert_int_equal(ask(&a, "add", "{}", (struct tool_args){0}), 0);
    rig_end(&w.caps, 2, 0, "3", NULL);
    assert_int_equal(a.status, E_MANIFEST);
    assert_int_equal(ask(&a, "add", "{}", (struct tool_args){0}), 0);
    rig_end(&w.caps, 3, 1, "no numbers", NULL);
    assert_true(a.status == 0 && a.is_error);
    assert_true(tools_all_record(w.all, 0)->is_error);
    // Names of a source with a prefix come to it without.
    assert_int_equal(
        ask(&b, "files_write", "{\"path\":\"a\"}", (struct tool_args){.caller.confirmed = true}),
        0);
    assert_string_equal(w.files.calls[0].name, "write");
    assert_true(w.files.calls[0].confirmed);
    rig_end(&w.files, 0, E_MANIFEST, "trap: unreachable", NULL);
    assert_int_equal(b.status, E_MANIFEST);
    assert_string_equal(b.text, "trap: unreachable");
    assert_true(tools_all_record(w.all, 0)->confirmed);
    struct tools_counts c;
    tools_all_total(w.all, &c);
    assert_true(c.calls == 5 && c.failed == 3 && c.tool_errors == 1 && c.running == 0);
    gone();
}

static void test_refused(void **state)
{
    static const struct {
        const char *name, *input, *text;
        int status;
        bool denied;
    } rows[] = {
        {"nobody", "{}", "there is no tool \"nobody\"", E_NOTFOUND, false},
        {"files_write", "{\"path\":\"a\"}",
         "nobody granted files_write (it writes, runs programs): plexus tool grant files_write",
         E_FORBIDDEN, true},
        {"secret", "{}", "SecurityViolationError: secret answers restricted", E_SECURITY, true},
        {"add", "[]", "must be an object", E_INVALID, false},
        {"add", "null", "must be an object", E_INVALID, false},
        {"files_bad", "{}", "files_bad: its schema cannot be used", E_MANIFEST, false},
        {"files_never", "{}", "it never starts", E_UNAVAILABLE, false},
    };
    struct asked a;
    (void)state;
    make((struct tools_all_args){.records_max = 4});
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int status = ask(&a, rows[i].name, rows[i].input, (struct tool_args){0});
        if (status != rows[i].status || !strstr(a.text, rows[i].text))
            fail_msg("%s: %d %s", rows[i].name, status, a.text);
        const struct tools_record *r = tools_all_record(w.all, 0);
        assert_string_equal(r->tool, rows[i].name);
        assert_true(r->status == rows[i].status && r->denied == rows[i].denied);
        assert_true(a.ended == 0);
    }
    assert_int_equal(
        ask(&a, "files_write", "{\"path\":1}", (struct tool_args){.caller.confirmed = true}),
        E_INVALID);
    assert_non_null(strstr(a.text, "the arguments of files_write at /path: "));
    assert_int_equal(
        ask(&a, "secret", "{}", (struct tool_args){.caller.clearance = BYTES("restricted")}), 0);
    rig_end(&w.caps, 0, 0, "x", NULL);
    assert_int_equal(w.files.count, 0);
    assert_int_equal(w.began, 1);
    assert_int_equal(w.ended, 9);
    assert_non_null(tools_all_record(w.all, 3)); // a ring of four
    assert_null(tools_all_record(w.all, 4));
    struct tools_counts c;
    struct bytes name;
    size_t at = 0, names = 0;
    tools_all_total(w.all, &c);
    assert_true(c.calls == 9 && c.denied == 2 && c.running == 0);
    while (tools_all_counts(w.all, &at, &name, &c)) {
        assert_false(bytes_is(name, "nobody"));
        names++;
    }
    assert_int_equal(names, 5);
    gone();
}

static void test_limits(void **state)
{
    struct asked a, b, c;
    (void)state;
    make((struct tools_all_args){.timeout_ms = 1000, .output_bytes_max = 100, .running_max = 2});
    assert_int_equal(ask(&a, "files_read", "{}", (struct tool_args){.timeout_ms = 50}), 0);
    assert_int_equal(ask(&b, "files_read", "{}", (struct tool_args){.timeout_ms = 5000}), 0);
    assert_int_equal(ask(&c, "files_read", "{}", (struct tool_args){0}), E_FULL);
    assert_int_equal(w.caps.calls[0].timeout_ms, 50);
    rig_pass(&w.clock, 60);
    assert_false(w.caps.calls[0].cancelled); // its source knows the limit: it may say why
    rig_pass(&w.clock, 100);
    assert_true(w.caps.calls[0].cancelled && a.ended == 0);
    rig_end(&w.caps, 0, E_CANCELLED, "cancelled", NULL);
    assert_int_equal(a.status, E_TIMEOUT);
    assert_string_equal(a.text, "files_read took longer than 50 ms");
    rig_pass(&w.clock, 830);
    assert_false(w.caps.calls[1].cancelled);
    rig_pass(&w.clock, 20);
    assert_true(w.caps.calls[1].cancelled);
    rig_end(&w.caps, 1, E_CANCELLED, "cancelled", NULL);
    assert_string_equal(b.text, "files_read took longer than 1000 ms");
    struct tools_counts k;
    tools_all_total(w.all, &k);
    assert_int_equal(k.timeouts, 2);
    char large[200];
    memset(large, 'x', sizeof large);
    large[sizeof large - 1] = '\0';
    assert_int_equal(ask(&c, "files_read", "{}", (struct tool_args){0}), 0);
    rig_end(&w.caps, 2, 0, large, NULL);
    assert_int_equal(c.status, E_TOOBIG);
    gone();
}

static void test_cancel(void **state)
{
    struct asked a, b, c, d;
    (void)state;
    make((struct tools_all_args){0});
    assert_int_equal(ask(&a, "files_read", "{}", (struct tool_args){0}), 0);
    tool_cancel(w.tools, &a.req);
    tool_cancel(w.tools, &a.req);
    assert_true(w.caps.calls[0].cancelled && a.ended == 0);
    rig_end(&w.caps, 0, E_CANCELLED, "cancelled", NULL);
    assert_true(a.ended == 1 && a.status == E_CANCELLED);
    tool_cancel(w.tools, &a.req); // ended: harmless
    // A source goes, then all of it: told at once, and once.
    assert_int_equal(
        ask(&b, "files_write", "{\"path\":\"\"}", (struct tool_args){.caller.confirmed = true}), 0);
    assert_int_equal(ask(&c, "add", "{}", (struct tool_args){0}), 0);
    assert_int_equal(ask(&d, "add", "{}", (struct tool_args){0}), 0);
    tools_all_remove(w.all, &w.files.base);
    assert_true(b.ended == 1 && b.status == E_CANCELLED && c.ended == 0);
    rig_end(&w.caps, 1, 0, "3", "{\"sum\":3}");
    assert_true(c.ended == 1 && c.status == 0);
    tools_all_free(w.all);
    w.all = NULL;
    assert_true(d.ended == 1 && d.status == E_CANCELLED);
    rig_end(&w.files, 0, 0, "late", NULL); // nobody listens any more
    rig_end(&w.caps, 2, E_CANCELLED, "cancelled", NULL);
    assert_true(b.ended == 1 && d.ended == 1);
    gone();
}

// A schema that changed is compiled anew; memory that runs out is an error.
static void test_schemas(void **state)
{
    struct asked a;
    (void)state;
    make((struct tools_all_args){0});
    struct tool_args yes = {.caller.confirmed = true};
    assert_int_equal(ask(&a, "files_write", "{}", yes), E_INVALID);
    val_unref(w.files.tools[3].in);
    w.files.tools[3].in = rig_val("{\"type\":\"object\"}");
    assert_int_equal(ask(&a, "files_write", "{}", yes), 0);
    rig_end(&w.files, 0, 0, "x", NULL);
    for (uint64_t n = 1; n < 60; n++) {
        val_unref(w.files.tools[3].in);
        w.files.tools[3].in = rig_val(n % 2 ? PATH_IN : "{\"type\":\"object\"}");
        struct val *input = rig_val("{\"path\":\"x\"}");
        struct err e = {0};
        a = (struct asked){.req = {.done = asked_done}};
        a.req.user = &a;
        struct tool_args args = {.name = BYTES("files_write"),
                                 .input = input,
                                 .timeout_ms = TIME_NEVER,
                                 .caller.confirmed = true};
        size_t calls = w.files.count;
        mem_fail_after(n, 0);
        int status = tool_start(w.tools, &args, &a.req, &e);
        mem_fail_after(0, 0);
        if (status < 0 && status != E_NOMEM && status != E_MANIFEST)
            fail_msg("%llu: %d %s", (unsigned long long)n, status, e.text);
        if (status == 0)
            rig_end(&w.files, calls, 0, "x", NULL);
        assert_true(a.ended == (status == 0));
        val_unref(input);
    }
    gone();
}

static void test_small(void **state)
{
    static const struct {
        const char *pattern, *name;
        bool fits;
    } rows[] = {
        {"*", "", true},
        {"*", "any", true},
        {"add", "add", true},
        {"add", "adder", false},
        {"files_*", "files_", true},
        {"files_*", "files", false},
        {"*_read", "a_b_read", true},
        {"*_read", "a_reader", false},
        {"a*b*c", "aXbYbZc", true},
        {"a*b*c", "aXcYb", false},
        {"", "", true},
        {"", "a", false},
        {"**", "a", true},
    };
    struct buf b;
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (tools_fits(bytes_of(rows[i].pattern), bytes_of(rows[i].name)) != rows[i].fits)
            fail_msg("%s %s", rows[i].pattern, rows[i].name);
    buf_init(&b, 200);
    tools_effects_put(&b, TOOL_IDEMPOTENT);
    (void)buf_chr(&b, '|');
    tools_effects_put(&b, TOOL_READS | TOOL_NETWORK);
    assert_string_equal(buf_cstr(&b), "only computes|reads, talks to other machines");
    buf_fini(&b);
    struct val *v = rig_val("{\"a\":[1,\"four\",null]}");
    assert_in_range(tools_bytes(v), 15, 40);
    assert_int_equal(tools_bytes(NULL), 4);
    val_unref(v);
}

int main(void)
{
    const struct CMUnitTest all[] = {
        cmocka_unit_test(test_list),    cmocka_unit_test(test_grants),
        cmocka_unit_test(test_call),    cmocka_unit_test(test_refused),
        cmocka_unit_test(test_limits),  cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_schemas), cmocka_unit_test(test_small),
    };
    return cmocka_run_group_tests_name("tools_all", all, NULL, NULL);
}
