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
        "  - e: {run: {script: {language: js, code: 'f(`${ x }`)'}}}\n"
        "  - f: {call: asyncapi, with: {document: {endpoint: 'https://x.org/a'}, operation: o, "
        "subscription: {filter: '${ .x == $context.x }', consume: {until: '${ true }'}, foreach: "
        "{item: m, do: [{g: {set: {m: '${ $m }'}}}], output: {as: .m}}}}}\n");
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
    const struct flow_tmpl *sub = item(task(p, "f")->call.with, "subscription");
    check_expr(item(sub, "filter")->expr, ".x == $context.x");
    assert_true(item(sub, "filter")->secret && item(item(sub, "consume"), "until")->expr->secret);
    assert_int_equal(sub->count, 2); // foreach is the plan's
    const struct flow_each *each = task(p, "f")->call.each;
    assert_true(bytes_is(each->item, "m") && bytes_is(each->at, "index") && each->output.as);
    assert_ptr_equal(task(p, "g")->in, &each->list);
    check_json(item(task(p, "e")->run.args, "code")->value, "\"f(`${ x }`)\"");
}

static void test_loose(void **state)
{
    (void)state;
    AUTO(flow_plan)
    p = plan_of(HEAD "evaluate: {mode: loose}\n"
                     "do: [{a: {set: {x: .y, n: 5}}}]\n");
    assert_false(p->strict);
    const struct flow_tmpl *x = item(task(p, "a")->set.tmpl, "x");
    check_expr(x->expr, ".y");
    check_json(x->value, "\".y\"");
    AUTO(flow_plan) q = plan_of(HEAD "do: [{a: {set: {x: .y, n: 5}}}]\n");
    assert_true(q->strict);
    check_json(task(q, "a")->set.tmpl->value, "{\"x\":\".y\",\"n\":5}");
}

static void test_schemas(void **state)
{
    (void)state;
    static const char text[] =
        HEAD "do:\n"
             "  - a:\n"
             "      input: {schema: {document: {type: object, required: [id]}}}\n"
             "      output: {schema: {resource: {endpoint: 'https://x.org/s.json'}}}\n"
             "      set: {x: 1}\n";
    AUTO(flow_plan) p = plan_of(text);
    struct flow_need need = {0};
    struct json_doc *doc = NULL;
    struct err e = {0};
    size_t at = 0;
    assert_int_equal(json_parse(&doc, BYTES("{}"), 0, &e), 0);
    assert_int_equal(schema_check(task(p, "a")->input.schema.schema, json_root(doc), NULL),
                     E_SCHEMA);
    assert_null(task(p, "a")->output.schema.schema);
    assert_true(flow_plan_need(p, &at, &need));
    assert_true(bytes_is(need.uri, "https://x.org/s.json"));
    assert_string_equal(need.what, "schema of task a");
    assert_false(flow_plan_need(p, &at, &need));
    AUTO(flow_plan)
    closed = plan_of(HEAD "use: {authentications: {me: {bearer: {token: t}}}}\n"
                          "input: {schema: {resource: {endpoint: {uri: 'https://x.org/s', "
                          "authentication: {use: me}}}}}\n"
                          "do: []\n");
    at = 0;
    assert_true(flow_plan_need(closed, &at, &need));
    check_json(need.endpoint,
               "{\"uri\":\"https://x.org/s\",\"authentication\":{\"bearer\":{\"token\":\"t\"}}}");
    // With it in a bundle the plan is whole.
    struct buf out;
    struct val *resources =
        val_put_cstr(val_obj(), "https://x.org/s.json", val_cstr("type: array"));
    struct flow_plan *q = NULL;
    buf_init(&out, 1 << 20);
    assert_int_equal(flow_bundle(&out, BYTES(text), resources, &e), 0);
    assert_int_equal(flow_plan_new(&q, buf_bytes(&out), NULL, &e), 0);
    assert_int_equal(schema_check(task(q, "a")->output.schema.schema, json_root(doc), NULL),
                     E_SCHEMA);
    struct flow_about a, b;
    flow_plan_about(p, &a);
    flow_plan_about(q, &b);
    assert_string_not_equal(a.hash, b.hash);
    assert_true(bytes_eq(b.bundle, buf_bytes(&out)));
    flow_plan_unref(q);
    buf_fini(&out);
    val_unref(resources);
    json_free(doc);
}

static void test_catalogs(void **state)
{
    (void)state;
    static const struct {
        const char *catalog, *call, *uri;
    } rows[] = {
        {"https://x.org/catalog/", "log:1.0.0@c",
         "https://x.org/catalog/functions/log/1.0.0/function.yaml"},
        {"https://github.com/o/r", "log:1.0.0@c",
         "https://raw.githubusercontent.com/o/r/refs/heads/main/functions/log/1.0.0/function.yaml"},
        {"https://github.com/o/r/tree/dev/sub", "log:1.0.0@c",
         "https://raw.githubusercontent.com/o/r/refs/heads/dev/sub/functions/log/1.0.0/"
         "function.yaml"},
        {"https://gitlab.com/o/r/-/tree/main", "log:1.0.0@c",
         "https://gitlab.com/o/r/-/raw/main/functions/log/1.0.0/function.yaml"},
        {"https://x.org", "https://github.com/me/functions/check@v1.0.0",
         "https://raw.githubusercontent.com/me/functions/refs/tags/v1.0.0/check/function.yaml"},
        {"https://x.org", "https://x.org/f.yaml", "https://x.org/f.yaml"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[1024];
        struct flow_need need = {0};
        size_t at = 0;
        snprintf(text, sizeof text,
                 HEAD
                 "use: {catalogs: {c: {endpoint: '%s'}}}\ndo: [{a: {call: '%s', with: {x: 1}}}, "
                 "{b: {call: '%s'}}]\n",
                 rows[i].catalog, rows[i].call, rows[i].call);
        AUTO(flow_plan) p = plan_of(text);
        assert_true(flow_plan_need(p, &at, &need));
        if (!bytes_is(need.uri, rows[i].uri))
            fail_msg("%.*s is not %s", BYTES_FMT(need.uri), rows[i].uri);
        assert_false(flow_plan_need(p, &at, &need));
        // Given, it is a task of the plan; a function of a catalog may call others of it.
        struct buf out;
        struct err e = {0};
        struct flow_plan *q = NULL;
        struct val *resources =
            val_put_cstr(val_obj(), rows[i].uri,
                         val_cstr("do: [{inner: {set: {y: '${ .x }'}}}]\noutput: {as: .y}"));
        buf_init(&out, 1 << 20);
        assert_int_equal(flow_bundle(&out, bytes_of(text), resources, &e), 0);
        if (flow_plan_new(&q, buf_bytes(&out), NULL, &e))
            fail_msg("%s", e.text);
        assert_non_null(task(q, "a")->call.task);
        assert_ptr_equal(task(q, "a")->call.task, task(q, "b")->call.task);
        assert_int_equal(task(q, "a")->call.task->kind, FLOW_KIND_DO);
        assert_ptr_equal(task(q, "inner")->parent, task(q, "a")->call.task);
        flow_plan_unref(q);
        buf_fini(&out);
        val_unref(resources);
    }
    // One that is no task is refused, with the function's name.
    static const char bundle[] = "{\"plexus\":\"flow-bundle/1\",\"document\":\"document: {dsl: "
                                 "1.0.3, namespace: a, name: b, "
                                 "version: 1.0.0}\\ndo: [{a: {call: "
                                 "'https://x.org/f'}}]\",\"resources\":{\"https://x.org/f\":"
                                 "\"%s\"}}";
    static const char *const wrong[][2] = {
        {"sett: {x: 1}", "nearest to"},
        {"[]", "expected object"},
        {"do: [{a: {set: {}}}]", "at least 1"},
        {"a: [", "did not find"},
        {"set: {x: '${ .x + }'}", "does not compile"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char text[1024];
        struct flow_plan *q = NULL;
        struct err e = {0};
        snprintf(text, sizeof text, bundle, wrong[i][0]);
        if (flow_plan_new(&q, bytes_of(text), &findings, &e) >= 0 || !strstr(e.text, wrong[i][1]))
            fail_msg("%s: %s", wrong[i][0], e.text);
    }
    // Our own catalog is there without asking, and goes into the bundle.
    AUTO(flow_plan)
    p = plan_of(HEAD "do: [{a: {call: 'tally:1.0.0@default', with: {answers: [1]}}}]\n");
    struct flow_about about;
    flow_plan_about(p, &about);
    assert_int_equal(task(p, "a")->call.task->kind, FLOW_KIND_SET);
    assert_true(bytes_find(about.bundle, BYTES("plexus:catalog/tally/1.0.0.yaml")) > 0);
}

static void test_extensions(void **state)
{
    (void)state;
    AUTO(flow_plan)
    p = plan_of(HEAD "use:\n"
                     "  extensions:\n"
                     "    - log: {extend: all, when: $task.name != \"x\", before: [{b: {set: {x: "
                     "1}}}], after: [{c: {set: {x: 2}}}]}\n"
                     "    - mock: {extend: call, before: [{d: {set: {x: 3}, then: exit}}]}\n"
                     "    - blocks: {extend: composite}\n"
                     "do: [{a: {set: {x: 1}}}]\n");
    assert_int_equal(p->extension_count, 3);
    assert_true(p->extensions[0].all);
    check_expr(p->extensions[0].when, "$task.name != \"x\"");
    assert_string_equal(p->extensions[0].after.tasks[0]->pointer,
                        "/use/extensions/0/log/after/0/c");
    assert_int_equal(p->extensions[1].kind, FLOW_KIND_CALL);
    assert_false(p->extensions[1].all || p->extensions[1].composite);
    assert_int_equal(p->extensions[1].before.tasks[0]->go.then, FLOW_THEN_EXIT);
    assert_true(p->extensions[2].composite);
}

// Where an expression ends: strings with parts, comments, brackets.
static void test_expression_ends(void **state)
{
    (void)state;
    static const struct {
        const char *text, *program; // NULL: no expression, the text as it is
    } rows[] = {
        {"${ .a }", ".a"},
        {"\n ${\n.a\n} \n", ".a"},
        {"${ {a: {b: \"}\"}} }", "{a: {b: \"}\"}}"},
        {"${ \"x \\({b: \"}\"} | .b) y\" }", "\"x \\({b: \"}\"} | .b) y\""},
        {"${ .a # with a } in it\n }", ".a # with a } in it"},
        {"${ [.[] | {a}] }", "[.[] | {a}]"},
        {"a ${ .b } c", "(\"a \" + (( .b \n) | tostring) + \" c\")"},
        {"${ .a }${ .b }", "(\"\" + (( .a \n) | tostring) + \"\" + (( .b \n) | tostring) + \"\")"},
        {"a ${ .b # }\n} c", "(\"a \" + (( .b # }\n\n) | tostring) + \" c\")"},
        {"a ${ .b", NULL},
        {"a ${ (.b } c", NULL},
        {"a ${ \"b } c", NULL},
        {"a ${ \"\\(.b } c", NULL},
        {"${a:-b} $HOME ${A} ${1} ${#x} x", NULL},
        {"$ { .a }", NULL},
        {"{ .a }", NULL},
        {"${", NULL},
        {"x ${", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf out;
        buf_init(&out, 4096);
        (void)buf_str(&out, "{\"document\":{\"dsl\":\"1.0.3\",\"namespace\":\"a\",\"name\":\"b\","
                            "\"version\":\"1.0.0\"},\"do\":[{\"a\":{\"set\":{\"x\":");
        (void)buf_json_str(&out, bytes_of(rows[i].text));
        (void)buf_str(&out, "}}}]}");
        AUTO(flow_plan) p = plan_of(buf_cstr(&out));
        const struct flow_tmpl *set = task(p, "a")->set.tmpl;
        if (rows[i].program)
            check_expr(item(set, "x")->expr, rows[i].program);
        else if (set->kind != FLOW_TMPL_VALUE)
            fail_msg("%s is an expression", rows[i].text);
        buf_fini(&out);
    }
    // Very many that never end: the text stays a text, and soon.
    struct buf out;
    buf_init(&out, 4 << 20);
    (void)buf_str(&out, HEAD "do: [{a: {set: {x: '");
    while (out.n < 1 << 20)
        (void)buf_str(&out, "${ ( ");
    (void)buf_str(&out, "'}}}]");
    AUTO(flow_plan) p = plan_of(buf_cstr(&out));
    assert_int_equal(task(p, "a")->set.tmpl->kind, FLOW_TMPL_VALUE);
    buf_fini(&out);
}

static void test_secrets(void **state)
{
    (void)state;
    static const struct {
        const char *expression;
        bool known;
    } rows[] = {
        {"$secrets.pin", true},
        {"$secrets[\"pin\"].x", true},
        {"$secrets.\"pin\"", true},
        {"$secrets | keys", true},
        {"{a: $secrets.pin}", true},
        {"$secrets.pin + $secrets.pins", false},
        {"$secrets[\"other\"]", false},
        {"$secrets.\"other\"", false},
        {"\"x \\($secrets.other)\"", false},
        {"$secrets[.name]", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[512];
        struct flow_plan *p = NULL;
        struct err e = {0};
        snprintf(
            text, sizeof text,
            HEAD
            "use: {secrets: [pin]}\ndo: [{a: {run: {shell: {command: c, stdin: '${ %s }'}}}}]\n",
            rows[i].expression);
        int rc = flow_plan_new(&p, bytes_of(text), NULL, &e);
        if ((rc == 0) != rows[i].known || (rc && !strstr(e.text, "not listed")))
            fail_msg("%s: %d %s", rows[i].expression, rc, e.text);
        if (p)
            assert_true(task(p, "a")->run.args->secret);
        flow_plan_unref(p);
    }
}

static void test_names(void **state)
{
    (void)state;
    AUTO(flow_plan)
    p = plan_of(HEAD "do: [{a: {do: [{same: {set: {x: 1}}}]}}, {same: {set: {x: 1}}}, "
                     "{'a/b~c': {set: {x: 1}}}, "
                     "{l: {for: {in: .x}, do: [{i: {set: {x: 1}, then: i}}]}}, "
                     "{s: {listen: {to: {any: []}}, foreach: {do: [{j: {wait: PT1S}}]}}}]\n");
    struct buf out;
    buf_init(&out, 1 << 20);
    assert_null(flow_plan_task(p, BYTES("same"))); // two of them
    assert_non_null(task(p, "/do/0/a/do/0/same"));
    assert_string_equal(task(p, "a/b~c")->pointer, "/do/2/a~1b~0c");
    assert_int_equal(flow_plan_graph(p, &out), 0);
    assert_non_null(strstr(
        buf_cstr(&out), "\"parent\":\"/do/3/l\",\"branch\":\"do\",\"then\":[\"/do/3/l/do/0/i\"]"));
    assert_non_null(strstr(buf_cstr(&out), "\"branch\":\"foreach\""));
    buf_fini(&out);
}

static void test_older(void **state)
{
    (void)state;
    static const char body[] = ", namespace: a, name: b, version: 1.0.0}\n"
                               "do: [{a: {run: {shell: {command: echo, arguments: {x: 1}}}}}]\n";
    static const struct {
        const char *dsl;
        bool fits;
    } rows[] = {{"1.0.0", true},  {"1.0.0-alpha5", true}, {"1.0.2", true},  {"1.0.3", false},
                {"1.0.4", false}, {"1.1.0", false},       {"0.9.0", false}, {"1.0.10", false}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[256];
        struct flow_plan *p = NULL;
        struct err e = {0};
        snprintf(text, sizeof text, "document: {dsl: '%s'%s", rows[i].dsl, body);
        if ((flow_plan_new(&p, bytes_of(text), NULL, &e) == 0) != rows[i].fits)
            fail_msg("%s: %s", rows[i].dsl, e.text);
        flow_plan_unref(p);
    }
}

static void test_graph(void **state)
{
    (void)state;
    AUTO(flow_plan)
    p = plan_of(HEAD
                "do:\n"
                "  - a: {switch: [{x: {when: .n, then: c}}]}\n"
                "  - b: {try: [{t: {wait: PT1S}}], catch: {do: [{h: {set: {e: 1}}}]}, then: end}\n"
                "  - c: {call: http, with: {method: get, endpoint: 'https://x.org'}}\n");
    struct buf out;
    buf_init(&out, 1 << 20);
    assert_int_equal(flow_plan_graph(p, &out), 0);
    assert_string_equal(
        buf_cstr(&out),
        "{\"tasks\":["
        "{\"pointer\":\"/do/0/a\",\"name\":\"a\",\"kind\":\"switch\",\"line\":3,\"parent\":null,"
        "\"branch\":null,\"then\":[\"/do/2/c\",\"/do/1/b\"],\"case\":[\"x\",\"else\"]},"
        "{\"pointer\":\"/do/1/b\",\"name\":\"b\",\"kind\":\"try\",\"line\":4,\"parent\":null,"
        "\"branch\":null,\"then\":[\"end\"]},"
        "{\"pointer\":\"/do/1/b/try/0/t\",\"name\":\"t\",\"kind\":\"wait\",\"line\":4,"
        "\"parent\":\"/do/1/b\",\"branch\":\"try\",\"then\":[\"exit\"]},"
        "{\"pointer\":\"/do/1/b/catch/do/0/h\",\"name\":\"h\",\"kind\":\"set\",\"line\":4,"
        "\"parent\":\"/do/1/b\",\"branch\":\"catch\",\"then\":[\"exit\"]},"
        "{\"pointer\":\"/do/2/c\",\"name\":\"c\",\"kind\":\"call\",\"call\":\"http\",\"line\":5,"
        "\"parent\":null,\"branch\":null,\"then\":[\"exit\"]}]}");
    buf_fini(&out);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t line;
        const char *task, *words;
    } rows[] = {
        {"", 0, "", "expected object"},
        {"a: [", 2, "", "did not find expected"},
        {"document: {dsl: 1.0.4, namespace: a, name: b, version: 1.0.0}\ndo: []", 1, "",
         "the known ones are 1.0.0"},
        {"document: {dsl: 1.0.3, namespace: a, name: b_c, version: 1.0.0}\ndo: []", 1, "",
         "at most 63 letters"},
        {"document: {dsl: 1.0.3, namespace: a, name: b, version: 1.0}\ndo: []", 1, "", "string"},
        {"document: {dsl: 1.0.3, namespace: a, name: b, verison: 1.0.0}\ndo: []", 1, "",
         "nearest: \"version\""},
        {HEAD "do: []\ntimout: {after: PT1S}", 3, "", "nearest: \"timeout\""},
        {HEAD "do:\n  - a: {sett: {x: 1}}", 3, "a", "nearest to \"sett\": \"set\""},
        {HEAD "do:\n  - a: {set: {x: 1}, thn: end}", 3, "a", "nearest: \"then\""},
        {HEAD "do:\n  - a:\n    set: {x: 1}", 3, "", "two tasks in one item"},
        {HEAD "do:\n  - a", 3, "", "a name and its task"},
        {HEAD "do:\n  - a: {set: {x: 1}, then: b}", 3, "a", "no task \"b\" in this list"},
        {HEAD "do:\n  - a: {set: {x: 1}}\n  - a: {set: {x: 1}}", 4, "a", "a second task \"a\""},
        {HEAD "do:\n  - a: {do: [{b: {set: {x: 1}, then: a}}]}", 3, "b", "no task \"a\""},
        {HEAD "do:\n  - a: {wait: P1Y}", 3, "a", "years and months"},
        {HEAD "do:\n  - a: {wait: 5s}", 3, "a", "ISO 8601"},
        {HEAD "do:\n  - a: {wait: {second: 5}}", 3, "a", "nearest: \"seconds\""},
        {HEAD "do:\n  - a: {set: {x: '${ .x + }'}}", 3, "a", "does not compile"},
        {HEAD "do:\n  - a: {set: {x: '${ env.HOME }'}}", 3, "a", "not allowed"},
        {HEAD "do:\n  - a: {set: {x: '${ $nobody }'}}", 3, "a", "no variable $nobody"},
        {HEAD "do:\n  - a: {set: {x: '${ $secret.x }'}}", 3, "a", "nearest: $secrets"},
        {HEAD "do:\n  - a: {for: {each: pet, in: .x}, do: [{b: {set: {x: '${ $pets }'}}}]}", 3, "b",
         "nearest: $pet"},
        {HEAD "do:\n  - a: {if: '$secrets.x', set: {x: 1}}", 3, "a", "only in the arguments"},
        {HEAD "do:\n  - a: {call: http, with: {method: get, endpoint: 'https://x.org', body: '${ "
              "$secrets.pin }'}}",
         3, "a", "secret \"pin\" is not listed"},
        {HEAD "do:\n  - a: {call: gett}\nuse: {functions: {get: {set: {x: 1}}}}", 3, "a",
         "nearest is \"get\""},
        {HEAD "do:\n  - a: {call: nothing}", 3, "a", "no function \"nothing\""},
        {HEAD "do:\n  - a: {call: 'log:1.0.0@where'}", 3, "a", "no catalog \"where\""},
        {HEAD "do:\n  - a: {call: 'tally:1.0.1@default'}", 3, "a", "tally:1.0.0@default"},
        {HEAD "do:\n  - a: {call: 'nothinglikeit:9.0.0@default'}", 3, "a", "has no"},
        {HEAD
         "use: {catalogs: {c: {endpoint: 'https://x.org/{y}'}}}\ndo:\n  - a: {call: 'f:1.0.0@c'}",
         4, "a", "is fixed"},
        {HEAD "input: {schema: {resource: {endpoint: '${ .x }'}}}\ndo: []", 2, "", "is fixed"},
        {HEAD "do:\n  - a: {call: 'tally@default'}", 3, "a", "name:version@catalog"},
        {HEAD "do:\n  - a: {raise: {error: bad}}", 3, "a", "no error \"bad\""},
        {HEAD "do:\n  - a: {set: {x: 1}, timeout: slow}", 3, "a", "no timeout \"slow\""},
        {HEAD "do:\n  - a: {try: [], catch: {retry: often}}", 3, "a", "no retry policy \"often\""},
        {HEAD "do:\n  - a: {call: http, with: {method: get, endpoint: {uri: 'https://x.org', "
              "authentication: {use: me}}}}",
         3, "a", "no authentication \"me\""},
        {HEAD "do:\n  - a: {call: http, with: {method: get, endpoint: 'https://x.org/{?q}'}}", 3,
         "a", "only {name}"},
        {HEAD "do:\n  - a: {call: http, with: {method: get, endpoint: x.org}}", 3, "a",
         "begins with its scheme"},
        {HEAD "do:\n  - a: {call: http, with: {metod: get, endpoint: 'https://x.org'}}", 3, "a",
         "method"},
        {HEAD "do:\n  - a: {call: a2a, with: {method: tasks/get}}", 3, "a",
         "agentCard or a server"},
        {HEAD "do:\n  - a: {call: model, with: {model: m}}", 3, "a", "messages, a prompt"},
        {HEAD "do:\n  - a: {call: model, with: {model: m, prompt: x, temprature: 1}}", 3, "a",
         "nearest: \"temperature\""},
        {HEAD "do:\n  - a: {call: tool, with: {nam: x}}", 3, "a", "name"},
        {HEAD "do:\n  - a: {emit: {event: {}}}", 3, "a", "an event needs `with`"},
        {HEAD "do:\n  - a: {run: {script: {language: perl, code: x}}}", 3, "a",
         "js (javascript) or"},
        {HEAD "do:\n  - a: {run: {script: {language: js}}}", 3, "a", "either code or source"},
        {HEAD "do:\n  - a: {run: {await: true}}", 3, "a", "container, script, shell, workflow"},
        {HEAD "do:\n  - a: {for: {each: input, in: .x}, do: []}", 3, "a", "$input has its own"},
        {HEAD "do:\n  - a: {for: {each: my-pet, in: .x}, do: []}", 3, "a",
         "cannot name a variable"},
        {HEAD "do:\n  - a: {switch: [{b: {then: end}}, {c: {then: exit}}]}", 3, "a", "second case"},
        {HEAD "do:\n  - a: {set: {x: 1}, input: {schema: {format: avro, document: {}}}}", 3, "a",
         "format \"json\""},
        {HEAD "do:\n  - a: {set: {x: 1}, input: {schema: {document: {type: objct}}}}", 3, "a",
         "not a JSON schema"},
        {HEAD "do:\n  - a: {listen: {to: {some: []}}}", 3, "a", "one of all, any, one"},
        {HEAD "do:\n  - a: {set: {x: 1}, metadata: {plexus: {queu: x}}}", 3, "a",
         "nearest: \"queue\""},
        {HEAD "schedule: {cron: '61 * * * *'}\ndo: []", 3 - 1, "", "is not a minute"},
        {HEAD "schedule: {every: '${ .x }'}\ndo: []", 2, "", "is fixed"},
        {HEAD "schedule: {every: PT0S}\ndo: []", 2, "", "longer than nothing"},
        {HEAD "schedule: {}\ndo: []", 2, "", "one of every, cron, after, on"},
        {HEAD "evaluate: {language: js}\ndo: []", 2, "", "jq"},
        {HEAD "use: {functions: {http: {set: {x: 1}}}}\ndo: []", 2, "", "function of plexus"},
        {HEAD "use: {retries: {r: {when: '${ . + }'}}}\ndo: []", 2, "", "does not compile"},
        {HEAD "use: {functions: {f: {set: {x: 1}, then: end}}}\ndo: []", 2, "f",
         "no tasks beside it"},
        {HEAD "use: {functions: {f: {st: {}}}}\ndo: []", 2, "f", "nearest to \"st\": \"set\""},
        {HEAD "use: {extensions: [{e: {extend: all, before: [{b: {wat: 1}}]}}]}\ndo: []", 2, "b",
         "a task is one of"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        refused(rows[i].text, rows[i].line, rows[i].task, rows[i].words);
}

static void test_all_findings(void **state)
{
    (void)state;
    struct flow_plan *p = NULL;
    struct err e = {0};
    static const char text[] =
        HEAD "do:\n"
             "  - a: {sett: {x: 1}}\n"
             "  - b: {do: [{c: {wait: x}}, {d: {set: {x: 1}}}, {e: {wait: {}}}]}\n"
             "  - f: {call: http}\n";
    assert_int_equal(flow_plan_new(&p, BYTES(text), &findings, &e), E_SCHEMA);
    assert_int_equal(findings.count, 4);
    assert_string_equal(findings.at[0].task, "a");
    assert_string_equal(findings.at[1].task, "c");
    assert_string_equal(findings.at[2].task, "e");
    assert_string_equal(findings.at[3].task, "f");
    assert_non_null(strstr(e.text, "line 3, column 5"));
    assert_non_null(strstr(e.text, "(and 3 more)"));
}

static void test_limits(void **state)
{
    (void)state;
    struct buf out;
    struct flow_plan *p = NULL;
    struct err e = {0};
    buf_init(&out, 8 << 20);
    (void)buf_str(&out, HEAD "do:\n");
    for (int i = 0; i < 10001; i++)
        (void)buf_fmt(&out, "  - t%d: {wait: PT1S}\n", i);
    assert_int_equal(flow_plan_new(&p, buf_bytes(&out), NULL, &e), E_TOOBIG);
    assert_non_null(strstr(e.text, "10,000 tasks"));
    buf_clear(&out);
    (void)buf_str(&out, HEAD "do: ");
    for (int i = 0; i < 101; i++)
        (void)buf_str(&out, "[{a: {do: ");
    (void)buf_str(&out, "[]");
    for (int i = 0; i < 101; i++)
        (void)buf_str(&out, "}}]");
    assert_int_equal(flow_plan_new(&p, buf_bytes(&out), NULL, &e), E_TOOBIG);
    buf_clear(&out);
    while (out.n <= 4 << 20)
        (void)buf_str(&out, "# a long comment\n");
    assert_int_equal(flow_plan_new(&p, buf_bytes(&out), NULL, &e), E_TOOBIG);
    buf_fini(&out);
}

// Each allocation fails once: never a crash, a leak, or a plan that is not whole.
static void test_no_memory(void **state)
{
    (void)state;
    static const char text[] =
        HEAD "use: {secrets: [s], retries: {r: {delay: PT1S}}, functions: {f: {set: {x: 1}}}}\n"
             "do:\n"
             "  - a: {call: f, input: {schema: {document: {type: object}}}}\n"
             "  - b: {try: [{c: {set: {x: 'a ${ .x }'}}}], catch: {retry: r}}\n"
             "  - d: {call: http, with: {method: get, endpoint: {uri: 'https://x/{y}', "
             "authentication: {basic: {use: s}}}}}\n"
             "  - e: {listen: {to: {any: [{with: {type: x}}], until: '. > 1'}}}\n";
    AUTO(flow_plan) good = plan_of(text);
    int rc = E_NOMEM;
    uint64_t live = mem_live();
    for (uint64_t n = 1; rc; n += 1 + n / 40) { // each of the first, then some of the many
        struct flow_plan *p = NULL;
        struct err e = {0};
        mem_fail_after(n, 1);
        rc = flow_plan_new(&p, BYTES(text), NULL, &e);
        mem_fail_after(0, 0);
        if (rc >= 0) {
            assert_int_equal(rc, 0);
            assert_int_equal(p->task_count, good->task_count);
            assert_int_equal(p->expr_count, good->expr_count);
            assert_string_equal(p->about.hash, good->about.hash);
            assert_non_null(task(p, "a")->input.schema.schema);
        } else if (!strstr(e.text, "memory")) {
            assert_true(rc == E_NOMEM || rc == E_TOOBIG || rc == E_SCHEMA);
        }
        flow_plan_unref(p);
        assert_int_equal(mem_live(), live);
        assert_true(n < 20000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_about),      cmocka_unit_test(test_lists),
        cmocka_unit_test(test_templates),  cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_calls),      cmocka_unit_test(test_loose),
        cmocka_unit_test(test_schemas),    cmocka_unit_test(test_catalogs),
        cmocka_unit_test(test_extensions), cmocka_unit_test(test_expression_ends),
        cmocka_unit_test(test_secrets),    cmocka_unit_test(test_names),
        cmocka_unit_test(test_older),      cmocka_unit_test(test_graph),
        cmocka_unit_test(test_refused),    cmocka_unit_test(test_all_findings),
        cmocka_unit_test(test_limits),     cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
