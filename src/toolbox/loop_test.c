// loop_test.c: the parts of the loop that decide: which tools a model is told of, what a client
// gets of its answers, calls from pieces, results as texts, calls that wait for a word.
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "toolbox/loop_priv.h"
#include "toolbox/toolbox_rig.h"

static struct rig_source box;
static const struct tools_loop_limits most = {.steps = 16, .tokens = 1000, .time_ms = 60000};

static void box_make(void)
{
    box = (struct rig_source){.tool_count = 5};
    box.tools[0] =
        (struct rig_tool){.name = "files.read", .description = "Reads.", .granted = true};
    box.tools[1] = (struct rig_tool){.name = "files_read", .granted = true};
    box.tools[2] = (struct rig_tool){.name = "files_write", .effects = TOOL_WRITES};
    box.tools[3] = (struct rig_tool){
        .name = "a_name_that_is_longer_than_the_sixty_four_characters_that_openai_allows_here",
        .granted = true};
    box.tools[4] = (struct rig_tool){.name = "weather", .granted = true};
    rig_source_init(&box, "capability");
}

static int plan(struct loop_plan **ret, const char *request, bool admin, const char **param,
                struct err *e)
{
    static const struct tool_caller caller;
    return tools_plan_new(ret,
                          &(struct loop_plan_args){.request = bytes_of(request),
                                                   .tools = &box.base,
                                                   .caller = &caller,
                                                   .most = &most,
                                                   .admin = admin},
                          param, e);
}

static struct loop_plan *good_plan(const char *request)
{
    struct loop_plan *p = NULL;
    struct err e = {0};
    const char *param;
    if (plan(&p, request, true, &param, &e) < 0)
        fail_msg("%s", e.text);
    return p;
}

#define ASK(rest) "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]" rest "}"

static void names_are(const char *request, const char *want)
{
    char names[2000] = "";
    struct loop_plan *p = good_plan(request);
    struct val *body = tools_plan_body(p, false, false);
    const struct val *tools = val_get_cstr(body, "tools");
    for (size_t i = 0; i < val_len(tools); i++) {
        const struct val *f = val_get_cstr(val_at(tools, i), "function");
        struct bytes name = val_bytes(val_get_cstr(f, "name"));
        size_t n = strlen(names);
        (void)snprintf(names + n, sizeof names - n, "%.*s ", BYTES_FMT(name));
        assert_true(name.n <= LOOP_NAME_MAX);
    }
    assert_string_equal(names, want);
    assert_null(val_get_cstr(body, "plexus_tools"));
    assert_null(val_get_cstr(body, "plexus_confirm"));
    val_unref(body);
    tools_plan_free(p);
}

// ---- a request ----------------------------------------------------------------------------------

static void test_plan(void **state)
{
    (void)state;
    box_make();
    // Patterns take what is granted, or what can be asked about; a name takes it in any case.
    names_are(ASK(",\"plexus_tools\":[\"files*\"]"), "files_read files_read_2 ");
    names_are(ASK(",\"plexus_tools\":[\"files*\"],\"plexus_confirm\":true"),
              "files_read files_read_2 files_write ");
    names_are(ASK(",\"plexus_tools\":[\"files_write\",\"none_*\"]"), "files_write ");
    names_are(ASK(",\"plexus_tools\":true"),
              "files_read files_read_2 "
              "a_name_that_is_longer_than_the_sixty_four_characters_that_openai weather ");
    names_are(ASK(",\"plexus_tools\":false"), "");
    // The client's own come first, and keep their names.
    names_are(ASK(",\"plexus_tools\":[\"weather\"],\"tools\":[{\"type\":\"function\",\"function\":{"
                  "\"name\":\"weather\"}}]"),
              "weather weather_2 ");
    struct loop_plan *p = good_plan(
        ASK(",\"plexus_tools\":[\"files.read\"],\"stream\":true,\"tool_choice\":\"required\","
            "\"plexus_limits\":{\"steps\":3,\"tokens\":99,\"seconds\":0.5}"));
    assert_true(p->stream && !p->usage && !p->confirms);
    assert_true(p->steps_max == 3 && p->tokens_max == 99 && p->time_ms == 500);
    assert_true(bytes_is(tools_loop_name(p, BYTES("files_read"))->tool, "files.read"));
    assert_null(tools_loop_name(p, BYTES("files.read")));
    struct val *first = tools_plan_body(p, false, false), *again = tools_plan_body(p, true, false),
               *last = tools_plan_body(p, true, true);
    assert_true(bytes_is(val_bytes(val_get_cstr(first, "tool_choice")), "required"));
    assert_true(bytes_is(val_bytes(val_get_cstr(again, "tool_choice")), "auto"));
    assert_true(bytes_is(val_bytes(val_get_cstr(last, "tool_choice")), "none"));
    assert_true(val_bool_of(val_ptr(first, BYTES("/stream_options/include_usage")), false));
    assert_true(
        bytes_is(val_bytes(val_ptr(first, BYTES("/tools/0/function/description"))), "Reads."));
    val_unref(first);
    val_unref(again);
    val_unref(last);
    assert_int_equal(tools_plan_add(p, val_obj()), 0);
    struct val *added = tools_plan_added(p);
    assert_string_equal(rig_text(added), "[{}]");
    val_unref(added);
    tools_plan_free(p);
    rig_source_fini(&box);
    assert_int_equal(mem_live(), 0);
}

static void test_refused(void **state)
{
    static const struct {
        const char *request, *param, *text;
        int status;
    } rows[] = {
        {ASK(",\"plexus_tools\":[\"nope\"]"), "plexus_tools", "there is no tool \"nope\"",
         E_INVALID},
        {ASK(",\"plexus_tools\":[\"\"]"), "plexus_tools", "names of tools", E_INVALID},
        {ASK(",\"plexus_tools\":\"all\""), "plexus_tools", "an array", E_INVALID},
        {ASK(",\"plexus_tools\":true,\"n\":2"), "n", "one answer", E_INVALID},
        {ASK(",\"plexus_tools\":true,\"functions\":[{\"name\":\"f\"}]"), "functions", "newer form",
         E_INVALID},
        {ASK(",\"plexus_tools\":true,\"plexus_limits\":{\"steps\":0}"), "plexus_limits", "above 0",
         E_INVALID},
        {ASK(",\"plexus_tools\":true,\"plexus_confirm\":{\"c\":true}"), "plexus_confirm",
         "scope admin", E_FORBIDDEN},
        {"{\"model\":\"m\",\"plexus_tools\":true}", NULL, "messages", E_INVALID},
        {"{", NULL, "", E_PARSE},
    };
    (void)state;
    box_make();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct loop_plan *p = NULL;
        struct err e = {0};
        const char *param;
        int status = plan(&p, rows[i].request, false, &param, &e);
        if (status != rows[i].status || !strstr(e.text, rows[i].text))
            fail_msg("%s: %d %s", rows[i].request, status, e.text);
        if (rows[i].param)
            assert_string_equal(param, rows[i].param);
    }
    // Whoever may not confirm is not asked; a no is anybody's to say.
    struct loop_plan *p = NULL;
    struct err e = {0};
    const char *param;
    assert_int_equal(
        plan(&p, ASK(",\"plexus_tools\":true,\"plexus_confirm\":{\"c\":false}"), false, &param, &e),
        0);
    assert_false(p->confirms);
    tools_plan_free(p);
    rig_source_fini(&box);
    assert_int_equal(mem_live(), 0);
}

// Memory that runs out anywhere is an error, and nothing stays.
static void test_memory(void **state)
{
    int good = 0;
    (void)state;
    box_make();
    for (uint64_t n = 1; n < 400 && !good; n++) {
        struct loop_plan *p = NULL;
        struct err e = {0};
        const char *param;
        uint64_t live = mem_live();
        mem_fail_after(n, 0);
        int status = plan(&p,
                          ASK(",\"plexus_tools\":true,\"tools\":[{\"type\":\"function\","
                              "\"function\":{\"name\":\"x\"}}],\"stream\":true"),
                          true, &param, &e);
        mem_fail_after(0, 0);
        good = status == 0 && n > 60;
        if (status < 0)
            assert_int_equal(status, E_NOMEM);
        tools_plan_free(p);
        assert_int_equal(mem_live(), live);
    }
    assert_true(good);
    rig_source_fini(&box);
}

// ---- answers ------------------------------------------------------------------------------------

struct heard {
    struct loop_turn turn;
    struct val *head;
    char text[8][2000]; // what the client got for each chunk; "=": the chunk itself
    size_t count;
};

static void hear(struct heard *h, const struct loop_plan *p, unsigned step,
                 const char *const *chunks)
{
    tools_turn_init(&h->turn, p, step);
    for (h->count = 0; chunks[h->count]; h->count++) {
        struct val *chunk = rig_val(chunks[h->count]), *now = NULL;
        assert_int_equal(tools_turn_chunk(&h->turn, chunk, &h->head, &now), 0);
        (void)snprintf(h->text[h->count], sizeof h->text[0], "%s",
                       now == chunk ? "="
                       : now        ? rig_text(now)
                                    : "");
        val_unref(now);
        val_unref(chunk);
    }
}

static void hear_end(struct heard *h)
{
    tools_turn_fini(&h->turn);
    val_unref(h->head);
    *h = (struct heard){0};
}

#define CHUNK(id, delta, finish)                                                                   \
    "{\"id\":\"" id "\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":" delta                \
    ",\"finish_reason\":" finish "}]}"

static void test_turn(void **state)
{
    static const char *const words[] = {
        CHUNK("a", "{\"role\":\"assistant\",\"content\":null}", "null"),
        CHUNK("a", "{\"content\":\"Hel\"}", "null"),
        CHUNK("a", "{\"content\":\"lo\"}", "null"),
        CHUNK("a", "{}", "\"stop\""),
        "{\"id\":\"a\",\"model\":\"m\",\"choices\":[],\"usage\":{\"prompt_tokens\":3,"
        "\"completion_tokens\":2}}",
        NULL};
    static const char *const ours[] = {
        CHUNK("b", "{\"role\":\"assistant\",\"content\":\"\"}", "null"),
        CHUNK("b", "{\"reasoning_content\":\"hm\"}", "null"),
        CHUNK("b",
              "{\"tool_calls\":[{\"index\":0,\"id\":\"c1\",\"function\":{\"name\":\"weather\","
              "\"arguments\":\"{\\\"a\\\"\"}}]}",
              "null"),
        CHUNK("b", "{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\":1}\"}}]}", "null"),
        CHUNK("b",
              "{\"tool_calls\":[{\"index\":1,\"id\":\"c1\",\"function\":{\"name\":\"nobody\"}}]}",
              "null"),
        CHUNK("b", "{}", "\"tool_calls\""),
        NULL};
    static struct heard h;
    (void)state;
    box_make();
    struct loop_plan *p = good_plan(ASK(",\"plexus_tools\":[\"weather\"],\"stream\":true"));
    hear(&h, p, 1, words);
    for (size_t i = 0; i < 4; i++)
        assert_string_equal(h.text[i], "=");
    assert_string_equal(h.text[4], "");
    assert_true(h.turn.tokens_in == 3 && h.turn.tokens_out == 2 && h.turn.finished);
    assert_true(!h.turn.ours && bytes_is(buf_bytes(&h.turn.text), "Hello") && h.turn.usage);
    struct val *m = tools_turn_message(&h.turn);
    assert_string_equal(rig_text(m), "{\"role\":\"assistant\",\"content\":\"Hello\"}");
    val_unref(m);
    // The next answer of the same stream has its head, and no second role.
    tools_turn_fini(&h.turn);
    hear(&h, p, 2, ours);
    assert_string_equal(h.text[0], "");
    assert_string_equal(h.text[1],
                        "{\"id\":\"a\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{"
                        "\"reasoning_content\":\"hm\"},\"finish_reason\":null}]}");
    for (size_t i = 2; i < 6; i++)
        assert_string_equal(h.text[i], "");
    assert_true(h.turn.ours == 2 && h.turn.theirs == 0 && !h.turn.finished && h.turn.last);
    m = tools_turn_message(&h.turn);
    assert_string_equal(
        rig_text(m),
        "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"c1\",\"type\":"
        "\"function\","
        "\"function\":{\"name\":\"weather\",\"arguments\":\"{\\\"a\\\":1}\"}},{\"id\":\"call_2_2\","
        "\"type\":\"function\",\"function\":{\"name\":\"nobody\",\"arguments\":\"{}\"}}]}");
    val_unref(m);
    hear_end(&h);
    tools_plan_free(p);
    rig_source_fini(&box);
    assert_int_equal(mem_live(), 0);
}

// Calls of the client's own tools go to it, under indices of their own.
static void test_theirs(void **state)
{
    static const char *const mixed[] = {
        CHUNK("a",
              "{\"tool_calls\":[{\"index\":0,\"id\":\"n\",\"function\":{\"name\":\"weather\","
              "\"arguments\":\"{}\"}}]}",
              "null"),
        CHUNK("a",
              "{\"tool_calls\":[{\"index\":1,\"id\":\"x\",\"function\":{\"name\":\"mine\","
              "\"arguments\":\"{\\\"a\\\"\"}},{\"index\":0,\"function\":{\"arguments\":\"\"}}]}",
              "null"),
        CHUNK("a", "{\"tool_calls\":[{\"index\":1,\"function\":{\"arguments\":\":2}\"}}]}", "null"),
        CHUNK("a", "{}", "\"tool_calls\""), NULL};
    // No index but 0, the id says which; the name in each piece; arguments as an object.
    static const char *const odd[] = {
        CHUNK("a",
              "{\"tool_calls\":[{\"index\":0,\"id\":\"x\",\"function\":{\"name\":\"mine\","
              "\"arguments\":{\"a\":1}}}]}",
              "null"),
        CHUNK("a",
              "{\"tool_calls\":[{\"index\":0,\"id\":\"y\",\"function\":{\"name\":\"mine\","
              "\"arguments\":\"{}\"}}]}",
              "null"),
        CHUNK("a", "{\"content\":\"x\"}", "\"tool_calls\""), NULL};
    static struct heard h;
    (void)state;
    box_make();
    struct loop_plan *p =
        good_plan(ASK(",\"plexus_tools\":[\"weather\"],\"stream\":true,\"tools\":[{"
                      "\"type\":\"function\",\"function\":{\"name\":\"mine\"}}]"));
    hear(&h, p, 1, mixed);
    assert_string_equal(h.text[0], "");
    assert_non_null(strstr(h.text[1],
                           "\"tool_calls\":[{\"index\":0,\"id\":\"x\",\"type\":\"function\","
                           "\"function\":{\"name\":\"mine\",\"arguments\":\"{\\\"a\\\"\"}}]"));
    assert_null(strstr(h.text[1], "weather"));
    assert_non_null(
        strstr(h.text[2], "\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\":2}\"}}]"));
    assert_string_equal(h.text[3], ""); // the end is held back until the node's call is done
    assert_non_null(strstr(rig_text(h.turn.last), "\"finish_reason\":\"tool_calls\""));
    assert_true(h.turn.ours == 1 && h.turn.theirs == 1);
    hear_end(&h);
    hear(&h, p, 1, odd);
    assert_true(h.turn.theirs == 2 && h.turn.ours == 0 && h.turn.finished);
    assert_string_equal(buf_cstr(&h.turn.calls[0].arguments), "{\"a\":1}");
    assert_string_equal(h.text[2], "=");
    hear_end(&h);
    // The same, when it is no stream.
    tools_turn_init(&h.turn, p, 1);
    struct err e = {0};
    struct val *whole =
        rig_val("{\"choices\":[{\"message\":{\"content\":null,\"tool_calls\":[{\"id\":\"1\","
                "\"function\":{\"name\":\"weather\",\"arguments\":\"{}\"}},{\"id\":\"2\","
                "\"function\":{\"name\":\"mine\",\"arguments\":\"{}\"}}]},"
                "\"finish_reason\":\"tool_calls\"}],\"usage\":{\"prompt_tokens\":7}}");
    assert_int_equal(tools_turn_whole(&h.turn, whole, &e), 0);
    assert_true(h.turn.ours == 1 && h.turn.theirs == 1 && h.turn.tokens_in == 7);
    val_unref(whole);
    whole = rig_val("{\"choices\":[]}");
    assert_int_equal(tools_turn_whole(&h.turn, whole, &e), E_UPSTREAM);
    val_unref(whole);
    hear_end(&h);
    tools_plan_free(p);
    rig_source_fini(&box);
    assert_int_equal(mem_live(), 0);
}

static void test_odd_chunks(void **state)
{
    static const char *const chunks[] = {
        "{\"choices\":[{\"index\":1,\"delta\":{\"content\":\"other\"}}]}",
        "{\"timings\":{}}",
        "{\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":7,\"function\":{\"name\":\"weather\"}"
        "},"
        "{\"index\":-1},{}]}}]}",
        "[1]",
        "{\"error\":{\"message\":\"it died\"}}",
        "{\"choices\":[{\"delta\":{\"content\":\"late\"}}]}",
        NULL};
    static struct heard h;
    (void)state;
    box_make();
    struct loop_plan *p = good_plan(ASK(",\"plexus_tools\":[\"weather\"],\"stream\":true"));
    hear(&h, p, 1, chunks);
    assert_string_equal(h.text[0], "");
    assert_string_equal(h.text[1], "=");
    assert_true(h.turn.error && !h.turn.ours && !h.turn.text.n);
    assert_string_equal(h.text[5], "");
    hear_end(&h);
    tools_plan_free(p);
    rig_source_fini(&box);
    assert_int_equal(mem_live(), 0);
}

// ---- calls that wait, guards, words -------------------------------------------------------------

static void test_pending(void **state)
{
    static struct loop_turn t;
    (void)state;
    box_make();
    struct loop_plan *p = good_plan(
        "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"},{\"role\":"
        "\"assistant\","
        "\"tool_calls\":[{\"id\":\"1\",\"function\":{\"name\":\"weather\",\"arguments\":\"{}\"}},{"
        "\"id\":\"2\","
        "\"function\":{\"name\":\"weather\",\"arguments\":\"{\\\"a\\\":1}\"}},{\"id\":\"3\","
        "\"function\":{"
        "\"name\":\"mine\"}}]},{\"role\":\"tool\",\"tool_call_id\":\"1\",\"content\":\"y\"}],"
        "\"plexus_tools\":[\"weather\"],\"plexus_confirm\":{\"2\":true}}");
    tools_turn_init(&t, p, 1);
    assert_true(tools_plan_pending(p, &t));
    assert_true(t.count == 1 && t.ours == 1);
    assert_string_equal(buf_cstr(&t.calls[0].id), "2");
    assert_string_equal(buf_cstr(&t.calls[0].arguments), "{\"a\":1}");
    tools_turn_fini(&t);
    tools_plan_free(p);
    p = good_plan(ASK(",\"plexus_tools\":[\"weather\"],\"plexus_confirm\":{}"));
    tools_turn_init(&t, p, 1);
    assert_false(tools_plan_pending(p, &t));
    tools_turn_fini(&t);
    tools_plan_free(p);
    rig_source_fini(&box);
    assert_int_equal(mem_live(), 0);
}

static void test_guard(void **state)
{
    static struct loop_guard g;
    (void)state;
    for (int i = 0; i < 5; i++) {
        bool may = tools_guard_may(&g, BYTES("add"), BYTES("{}"));
        assert_int_equal(may, i < LOOP_SAME_MAX);
    }
    assert_int_equal(g.repeats, 5 - LOOP_SAME_MAX);
    assert_true(tools_guard_may(&g, BYTES("add"), BYTES("{\"a\":1}")));
    for (int i = 0; i < 1000; i++) {
        char args[32];
        (void)snprintf(args, sizeof args, "%d", i);
        assert_true(tools_guard_may(&g, BYTES("add"), bytes_of(args)));
    }
}

static void test_words(void **state)
{
    static const struct {
        const char *content, *structured, *text;
        bool is_error;
    } rows[] = {
        {"[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"b\"}]", "{\"s\":1}",
         "a\nb", false},
        {"[]", "{\"s\":1}", "{\"s\":1}", false},
        {"[]", NULL, "(nothing)", false},
        {"[{\"type\":\"text\",\"text\":\"no file\"}]", NULL, "error: no file", true},
        {"[]", NULL, "error: it failed and does not say why", true},
        {"[{\"type\":\"image\",\"mimeType\":\"image/png\",\"data\":\"AAAA\"}]", NULL,
         "[image image/png, 4 bytes of base64]", false},
        {"[{\"type\":\"resource\",\"resource\":{\"text\":\"in it\"}}]", NULL, "in it", false},
        {"[{\"type\":\"text\",\"text\":\"0123456789abcdefghijklmnopqrstuvwxyz0123456789\"}]", NULL,
         "0123456789abcdefghij\n[... 16 bytes left out ...]\n0123456789", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf out;
        struct tool_result r = {.content = rig_val(rows[i].content),
                                .structured = rig_val(rows[i].structured),
                                .is_error = rows[i].is_error};
        buf_init(&out, 1000);
        tools_say_result(&out, &r, i == 4 || i == 5 ? 100 : 30);
        if (i != 4 && i != 5)
            assert_string_equal(buf_cstr(&out), rows[i].text);
        else
            assert_string_equal(buf_cstr(&out), rows[i].text);
        buf_fini(&out);
        val_unref(r.content);
        val_unref(r.structured);
    }
    struct buf out; // never within a character
    buf_init(&out, 1000);
    tools_say_cut(&out, BYTES("\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4"), 5);
    assert_true(bytes_is_utf8(buf_bytes(&out)));
    buf_fini(&out);
    struct val *v = tools_say_effects(TOOL_WRITES | TOOL_COSTS);
    assert_string_equal(rig_text(v), "[\"writes\",\"costs\"]");
    val_unref(v);
    assert_int_equal(mem_live(), 0);
}

int main(void)
{
    const struct CMUnitTest all[] = {
        cmocka_unit_test(test_plan),    cmocka_unit_test(test_refused),
        cmocka_unit_test(test_memory),  cmocka_unit_test(test_turn),
        cmocka_unit_test(test_theirs),  cmocka_unit_test(test_odd_chunks),
        cmocka_unit_test(test_pending), cmocka_unit_test(test_guard),
        cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests_name("loop", all, NULL, NULL);
}
