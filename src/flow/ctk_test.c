// ctk_test.c: the conformance kit of the DSL against the decider; the public servers that it names
// are answered from a table. Each scenario runs twice: with expressions here, and by evals.
// SPDX-License-Identifier: Apache-2.0
#include "flow/ctk_rig.h"
#include "flow/flow_rig.h"

#define PET "{\"id\":1,\"name\":\"milou\",\"status\":\"available\"}"

static const struct {
    const char *uri; // a part of it
    const char *content; // NULL: 404
} servers[] = {
    {"petstore.swagger.io/v2/pet/findByStatus?status=available", "[" PET "]"},
    {"petstore.swagger.io/v2/pet/getPetByName/", NULL},
    {"petstore.swagger.io/v2/pet/1", PET},
    {"petstore.swagger.io/v2/pet/2", "{\"id\":2,\"name\":\"idefix\",\"status\":\"sold\"}"},
    {"httpbin.org/basic-auth/serverless-workflow/conformance-test", "{\"authenticated\":true}"},
};

static const struct {
    const char *operation, *content;
} operations[] = {
    {"findPetsByStatus", "[" PET "]"},
    {"getPetById", PET},
};

static struct val *answer(const struct val *args, const char *content)
{
    struct val *v = rig_json(content);
    if (strcmp(val_text(val_get_cstr(args, "output"), "content"), "response") != 0)
        return v;
    struct val *response = rig_json(
        "{\"request\":{\"method\":\"get\",\"uri\":\"https://x/\",\"headers\":{}},\"headers\":{},"
        "\"statusCode\":200}");
    return val_put_cstr(response, "content", v);
}

static void act(struct rig *w, const struct flow_event *ev, struct val **ret_output,
                struct val **ret_problem)
{
    const char *kind = val_text(val_get_cstr(ev->data, "kind"), "");
    const struct val *args = val_get_cstr(ev->data, "args");
    (void)w;
    if (strcmp(kind, "emit") == 0) {
        *ret_output = val_null();
        return;
    }
    if (strcmp(kind, "openapi") == 0) {
        const char *op = val_text(val_get_cstr(args, "operationId"), "");
        for (size_t i = 0; i < sizeof operations / sizeof *operations; i++)
            if (strcmp(op, operations[i].operation) == 0)
                *ret_output = answer(args, operations[i].content);
    } else {
        const char *uri = val_text(val_ptr(args, BYTES("/endpoint/uri")), "");
        for (size_t i = 0; i < sizeof servers / sizeof *servers && !*ret_output; i++)
            if (strstr(uri, servers[i].uri) && servers[i].content)
                *ret_output = answer(args, servers[i].content);
    }
    if (!*ret_output)
        *ret_problem = rig_problem("communication", 404, "Not Found");
}

static void result_of(struct rig *w, struct ctk_result *ret)
{
    struct bytes rest = buf_bytes(&w->trace);
    enum flow_status s = flow_run_status(w->run);
    *ret = (struct ctk_result){.completed = s == FLOW_COMPLETED,
                               .faulted = s == FLOW_FAULTED,
                               .cancelled = s == FLOW_CANCELLED,
                               .output = w->run->output,
                               .error = w->run->error};
    while (rest.n > 0) { // "started:NAME"
        struct bytes word = bytes_cut(&rest, ' '), name = word, verb = bytes_cut(&name, ':');
        if (bytes_is(name, "*") || ret->task_count == CTK_TASKS_MAX)
            continue;
        if (bytes_is(verb, "started")) {
            (void)snprintf(ret->tasks[ret->task_count].name, 64, "%.*s", BYTES_FMT(name));
            ret->tasks[ret->task_count++].end = 0;
            continue;
        }
        ptrdiff_t at = ctk_task(ret, name);
        if (at >= 0)
            ret->tasks[at].end = bytes_is(verb, "completed")   ? 'c'
                                 : bytes_is(verb, "faulted")   ? 'f'
                                 : bytes_is(verb, "cancelled") ? 'x'
                                                               : ret->tasks[at].end;
    }
}

static int run_one(const struct ctk_scenario *s, bool far)
{
    struct rig w = {.act = act, .trace_notes = true};
    static struct ctk_result r;
    const char *input = ctk_input(s);
    int wrong = 0;
    rig_open(&w, ctk_definition(s));
    rig_far(&w, far);
    (void)rig_start(&w, input ? rig_yaml(input) : val_obj());
    rig_go(&w);
    result_of(&w, &r);
    for (size_t i = 0; i < s->count; i++) {
        bool holds = false;
        if (ctk_judge(&r, &s->steps[i], &holds) && holds)
            continue;
        char out[512], error[512];
        rig_text(r.output, out, sizeof out);
        rig_text(r.error, error, sizeof error);
        print_error("%s: %s: %s: does not hold: status %s, output %s, error %s, %s\n", s->feature,
                    s->name, s->steps[i].text, flow_status_name(flow_run_status(w.run)), out, error,
                    buf_cstr(&w.trace));
        wrong++;
    }
    rig_close(&w);
    return wrong;
}

static void all_scenarios(void **state)
{
    static struct ctk_scenario all[CTK_SCENARIOS_MAX];
    char folder[SUITE_PATH_MAX];
    int wrong = 0;
    (void)state;
    if (!suite_folder("serverless-workflow/ctk/features", folder))
        skip();
    size_t n = ctk_load(folder, all);
    for (size_t i = 0; i < n; i++) {
        wrong += run_one(&all[i], false);
        wrong += run_one(&all[i], true);
    }
    print_message("%zu scenarios, twice\n", n);
    ctk_free(all, n);
    assert_int_equal(wrong, 0);
    assert_true(n >= 20);
}

// The reader itself: what it does not know is said, what does not hold is seen.
static void judges(void **state)
{
    struct val *out = rig_json("{\"a\":{\"b\":[1,2]}}");
    struct ctk_result r = {.completed = true, .output = out, .task_count = 2};
    static const struct {
        const char *step;
        char doc[32];
        bool known, holds;
    } rows[] = {
        {"the workflow should complete", "", true, true},
        {"the workflow should complete with output:", "a: {b: [1, 2]}", true, true},
        {"the workflow should complete with output:", "a: {b: [1]}", true, false},
        {"the workflow should fault", "", true, false},
        {"the workflow output should have properties 'a', 'a.b'", "", true, true},
        {"the workflow output should have properties 'a', 'a.c'", "", true, false},
        {"the workflow output should have a 'a.b' property containing 2 items", "", true, true},
        {"the workflow output should have a 'a.b' property containing 3 items", "", true, false},
        {"the workflow output should have a 'a.b' property with value:", "[1, 2]", true, true},
        {"the workflow output should have a 'a.b' property with value:", "[2]", true, false},
        {"x should run first", "", true, true},
        {"y should run first", "", true, false},
        {"y should run last", "", true, true},
        {"y should run after x", "", true, true},
        {"y should run before x", "", true, false},
        {"x should complete", "", true, true},
        {"y should fault", "", true, true},
        {"x should cancel", "", true, false},
        {"the moon should shine", "", false, false},
    };
    (void)state;
    strcpy(r.tasks[0].name, "x");
    strcpy(r.tasks[1].name, "y");
    r.tasks[0].end = 'c';
    r.tasks[1].end = 'f';
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct ctk_step s = {.doc = NULL};
        char doc[32];
        bool holds = false;
        strcpy(s.text, rows[i].step);
        strcpy(doc, rows[i].doc);
        s.doc = *doc ? doc : NULL;
        bool known = ctk_judge(&r, &s, &holds);
        if (known != rows[i].known || holds != rows[i].holds)
            fail_msg("%s: known %d, holds %d", rows[i].step, known, holds);
    }
    val_unref(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_scenarios),
        cmocka_unit_test(judges),
    };
    return cmocka_run_group_tests_name("flow/ctk", tests, NULL, NULL);
}
