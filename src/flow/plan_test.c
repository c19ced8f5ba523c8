// plan_test.c: documents become plans: tasks, expressions, references, needs, findings.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "flow/plan_priv.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
// after the above
#include <cmocka.h>

#define HEAD "document: {dsl: 1.0.3, namespace: test, name: t, version: 1.0.0}\n"

static struct flow_findings findings;

static struct flow_plan *plan_of(const char *text)
{
    struct flow_plan *p = NULL;
    struct err e = {0};
    int rc = flow_plan_new(&p, bytes_of(text), &findings, &e);
    if (rc < 0)
        fail_msg("%d: %s\n%s", rc, e.text, text);
    return p;
}

// The document is refused and a finding has these words; its place is given.
static void refused(const char *text, uint32_t line, const char *task, const char *words)
{
    struct flow_plan *p = NULL;
    struct err e = {0};
    int rc = flow_plan_new(&p, bytes_of(text), &findings, &e);
    if (rc >= 0) {
        flow_plan_unref(p);
        fail_msg("accepted:\n%s", text);
    }
    for (size_t i = 0; i < findings.count; i++) {
        const struct flow_finding *f = &findings.at[i];
        if (strstr(f->message, words) && (!line || f->line == line) && !strcmp(f->task, task))
            return;
    }
    for (size_t i = 0; i < findings.count; i++)
        print_error("%u:%u %s [%s] %s\n", findings.at[i].line, findings.at[i].column,
                    findings.at[i].pointer, findings.at[i].task, findings.at[i].message);
    fail_msg("no finding \"%s\" at line %u of task \"%s\" (%s):\n%s", words, line, task, e.text,
             text);
}

static const struct flow_task *task(const struct flow_plan *p, const char *pointer)
{
    const struct flow_task *t = flow_plan_task(p, bytes_of(pointer));
    if (!t)
        fail_msg("no task %s", pointer);
    return t;
}

static void check_json(const struct val *v, const char *text)
{
    struct buf out;
    buf_init(&out, 1 << 20);
    (void)val_write(&out, v);
    assert_string_equal(buf_cstr(&out), text);
    buf_fini(&out);
}

static void check_expr(const struct flow_expr *x, const char *text)
{
    assert_non_null(x);
    if (!bytes_is(x->text, text))
        fail_msg("\"%.*s\" is not \"%s\"", BYTES_FMT(x->text), text);
}

static const struct flow_tmpl *item(const struct flow_tmpl *t, const char *key)
{
    assert_non_null(t);
    assert_int_equal(t->kind, FLOW_TMPL_OBJ);
    for (size_t i = 0; i < t->count; i++)
        if (bytes_is(t->keys[i], key))
            return t->items[i];
    fail_msg("no key %s", key);
    return NULL;
}

static void test_about(void **state)
{
    (void)state;
    static const char text[] =
        "document:\n  dsl: '1.0.3'\n  namespace: shop\n  name: order\n  version: 0.1.0\n"
        "  title: An order\n  metadata: {plexus: {stall: true}}\n"
        "use: {secrets: [a, b]}\nschedule: {cron: '0 0 * * *'}\ndo:\n  - one: {set: {x: 1}}\n";
    AUTO(flow_plan) p = plan_of(text);
    struct flow_about a;
    struct bytes name;
    size_t at = 0;
    flow_plan_about(p, &a);
    assert_string_equal(a.namespace, "shop");
    assert_string_equal(a.name, "order");
    assert_string_equal(a.version, "0.1.0");
    assert_string_equal(a.dsl, "1.0.3");
    assert_string_equal(a.title, "An order");
    assert_string_equal(a.summary, "");
    assert_true(a.stall);
    assert_int_equal(a.tasks, 1);
    assert_int_equal(strlen(a.hash), 64);
    assert_true(bytes_is(a.text, text));
    check_json(a.schedule, "{\"cron\":\"0 0 * * *\"}");
    assert_true(flow_plan_secret(p, &at, &name));
    assert_true(flow_plan_secret(p, &at, &name));
    assert_true(bytes_is(name, "b"));
    assert_false(flow_plan_secret(p, &at, &name));
    // The bundle is the same plan.
    AUTO(flow_plan) again = plan_of(a.bundle.p);
    struct flow_about b;
    flow_plan_about(again, &b);
    assert_string_equal(a.hash, b.hash);
    assert_true(bytes_eq(a.text, b.text));
}

static void test_lists(void **state)
{
    (void)state;
    AUTO(flow_plan)
    p = plan_of(
        HEAD
        "do:\n"
        "  - first: {set: {a: 1}, then: third}\n"
        "  - second: {do: [{inner: {set: {b: 1}, then: exit}}, {last: {wait: PT1S}}], then: end}\n"
        "  - third:\n"
        "      switch:\n"
        "        - yes: {when: '.a == 1', then: second}\n"
        "        - no: {then: continue}\n");
    assert_int_equal(p->list.count, 3);
    assert_int_equal(p->task_count, 5);
    const struct flow_task *first = task(p, "/do/0/first"), *second = task(p, "second"),
                           *third = task(p, "/do/2/third"),
                           *inner = task(p, "/do/1/second/do/0/inner");
    assert_int_equal(first->kind, FLOW_KIND_SET);
    assert_int_equal(first->go.then, FLOW_THEN_TASK);
    assert_ptr_equal(first->go.to, third);
    assert_int_equal(first->line, 3);
    assert_int_equal(second->go.then, FLOW_THEN_END);
    assert_ptr_equal(inner->parent, second);
    assert_ptr_equal(inner->in, &second->do_.list);
    assert_int_equal(inner->go.then, FLOW_THEN_EXIT);
    assert_int_equal(task(p, "last")->place, 1);
    assert_int_equal(task(p, "last")->wait.dur.fixed_ms, 1000);
    assert_int_equal(third->switch_.count, 2);
    check_expr(third->switch_.cases[0].when, ".a == 1");
    assert_ptr_equal(third->switch_.cases[0].go.to, second);
    assert_null(third->switch_.cases[1].when);
    assert_null(flow_plan_task(p, BYTES("nobody")));
}

static void test_templates(void **state)
{
    (void)state;
    AUTO(flow_plan)
    p = plan_of(HEAD "do:\n"
                     "  - a:\n"
                     "      input: {from: .order}\n"
                     "      output: {as: {id: '${ .id }'}}\n"
                     "      export: {as: '$context + {x: .id}'}\n"
                     "      if: ${ .n > 1 }\n"
                     "      set:\n"
                     "        fixed: {deep: [1, two]}\n"
                     "        whole: ' ${ {a: \"}\"} } '\n"
                     "        part: 'Hello ${ .name }, \"${.n}\" ${HOME}'\n");
    const struct flow_task *t = task(p, "a");
    check_expr(t->when, ".n > 1");
    check_expr(t->input.as->expr, ".order");
    check_expr(item(t->output.as, "id")->expr, ".id");
    check_expr(t->export.as->expr, "$context + {x: .id}");
    const struct flow_tmpl *set = t->set.tmpl;
    assert_int_equal(item(set, "fixed")->kind, FLOW_TMPL_VALUE);
    check_json(item(set, "fixed")->value, "{\"deep\":[1,\"two\"]}");
    check_expr(item(set, "whole")->expr, "{a: \"}\"}");
    check_expr(item(set, "part")->expr,
               "(\"Hello \" + (( .name \n) | tostring) + \", \\\"\" + ((.n\n) | tostring) + "
               "\"\\\" ${HOME}\")");
    assert_null(item(set, "part")->value);
}

static void test_kinds(void **state)
{
    (void)state;
    AUTO(flow_plan)
    p = plan_of(
        HEAD
        "use:\n"
        "  errors: {bad: {type: 'https://x.org/bad', status: 400}}\n"
        "  retries: {three: {delay: PT2S, limit: {attempt: {count: 3}}, backoff: {exponential: "
        "{}}}}\n"
        "  timeouts: {short: {after: {seconds: 5}}}\n"
        "do:\n"
        "  - loop: {for: {each: pet, in: .pets}, while: '$pet != null', do: [{in: {set: {x: '${ "
        "$index }'}}}]}\n"
        "  - split: {fork: {compete: true, branches: [{l: {set: {a: 1}}}, {r: {wait: '${ .d "
        "}'}}]}}\n"
        "  - bad: {raise: {error: bad}}\n"
        "  - careful:\n"
        "      try: [{go: {emit: {event: {with: {source: 'https://a.b/c', type: x.y}}}}}]\n"
        "      catch:\n"
        "        errors: {with: {status: 500}}\n"
        "        as: err\n"
        "        when: $err.status > 1\n"
        "        retry: three\n"
        "        do: [{mend: {set: {e: '${ $err }'}}}]\n"
        "      timeout: short\n"
        "  - ears:\n"
        "      listen:\n"
        "        read: envelope\n"
        "        to: {any: [{with: {type: a}, correlate: {o: {from: .id, expect: '${ .want }'}}}], "
        "until: '. | length > 2'}\n"
        "      foreach: {item: ev, do: [{keep: {set: {e: '${ $ev }'}}}]}\n"
        "  - sh: {run: {shell: {command: 'echo ${ .x } ${HOME}'}, return: all, await: false}}\n"
        "  - sub: {run: {workflow: {namespace: a, name: b, version: 1.0.0, input: {q: '${ . "
        "}'}}}}\n");
    const struct flow_task *t = task(p, "loop");
    assert_true(bytes_is(t->for_.each, "pet") && bytes_is(t->for_.at, "index"));
    check_expr(t->for_.in, ".pets");
    check_expr(t->for_.while_, "$pet != null");
    assert_int_equal(t->for_.list.count, 1);
    t = task(p, "split");
    assert_true(t->fork.compete);
    assert_int_equal(t->fork.branches.count, 2);
    t = task(p, "/do/1/split/fork/branches/1/r");
    check_expr(t->wait.dur.tmpl->expr, ".d");
    check_json(task(p, "/do/2/bad")->raise.error->value,
               "{\"type\":\"https://x.org/bad\",\"status\":400}");
    t = task(p, "careful");
    assert_true(bytes_is(t->try_.as, "err"));
    check_json(t->try_.errors->value, "{\"status\":500}");
    assert_int_equal(t->try_.retry->delay.fixed_ms, 2000);
    assert_int_equal(t->try_.retry->attempts_max, 3);
    assert_int_equal(t->try_.retry->backoff, FLOW_BACKOFF_EXPONENTIAL);
    assert_true(t->try_.retry->factor == 2);
    assert_false(t->try_.retry->limit_duration.there);
    assert_int_equal(t->timeout.fixed_ms, 5000);
    assert_string_equal(t->try_.handler.tasks[0]->pointer, "/do/3/careful/catch/do/0/mend");
    assert_string_equal(t->try_.list.tasks[0]->pointer, "/do/3/careful/try/0/go");
    t = task(p, "ears");
    assert_int_equal(t->listen.read, FLOW_READ_ENVELOPE);
    assert_true(t->listen.each && bytes_is(t->listen.item, "ev"));
    assert_int_equal(t->listen.to->mode, FLOW_CONSUME_ANY);
    check_expr(t->listen.to->until_expr, ". | length > 2");
    check_expr(t->listen.to->filters[0].correlate[0].expect->expr, ".want");
    t = task(p, "sh");
    assert_string_equal(t->run.what, "shell");
    assert_string_equal(t->run.ret, "all");
    assert_false(t->run.await);
    t = task(p, "sub");
    assert_string_equal(t->run.what, "workflow");
    assert_true(t->run.await);
}

static void test_calls(void **state)
{
    (void)state;
    AUTO(flow_plan)
    p = plan_of(
        HEAD
        "use:\n"
        "  secrets: [pass]\n"
        "  authentications: {mine: {basic: {use: pass}}}\n"
        "  functions: {get: {call: http, with: {method: get, endpoint: 'https://x.org/{id}'}}}\n"
        "do:\n"
        "  - a: {call: http, with: {method: post, endpoint: 'https://x.org/a', body: '${ . }'}}\n"
        "  - b: {call: http, with: {method: get, endpoint: {uri: 'https://x.org/{id}', "
        "authentication: {use: mine}}}}\n"
        "  - c: {call: get, with: {id: 7}}\n"
        "  - d: {call: http, with: {method: get, endpoint: '${ .url }', headers: {k: '${ "
        "$secrets.pass }'}}}\n"
        "  - e: {run: {script: {language: js, code: 'f(`${ x }`)'}}}\n");
    const struct flow_tmpl *with = task(p, "a")->call.with;
    check_json(item(item(with, "endpoint"), "uri")->value, "\"https://x.org/a\"");
    check_expr(item(with, "body")->expr, ".");
    assert_false(with->secret);
    with = task(p, "b")->call.with;
    assert_true(with->secret);
    assert_int_equal(item(item(with, "endpoint"), "uri")->kind, FLOW_TMPL_URI);
    check_expr(item(item(item(with, "endpoint"), "authentication"), "basic")->expr,
               "$secrets[\"pass\"]");
    const struct flow_task *c = task(p, "c");
    assert_ptr_equal(c->call.task, task(p, "/use/functions/get"));
    assert_int_equal(c->call.task->kind, FLOW_KIND_CALL);
    check_json(c->call.with->value ? c->call.with->value : item(c->call.with, "id")->value, "7");
    with = task(p, "d")->call.with;
    check_expr(item(item(with, "endpoint"), "uri")->expr, ".url");
    assert_true(item(item(with, "headers"), "k")->expr->secret);
    check_json(item(task(p, "e")->run.args, "code")->value, "\"f(`${ x }`)\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_about),     cmocka_unit_test(test_lists),
        cmocka_unit_test(test_templates), cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_calls),
    };
    (void)refused;
    return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
