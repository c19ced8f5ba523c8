// sheet_test.c: sheets there and back, and texts that are none.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "mesh/mesh.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

#define HEAD                                                                                       \
    "\"node\":\"n1\",\"context\":\"dev.aipc.n1\",\"version\":\"1.0\",\"profile\":\"server\","      \
    "\"boot\":5,\"seq\":2,\"ttl_ms\":9000"
#define MODEL                                                                                      \
    "\"name\":\"m\",\"kind\":\"chat\",\"state\":\"WARM\",\"clearance\":\"internal\","              \
    "\"label\":\"public\""

static int parse(const char *text, struct mesh_sheet *ret, struct arena *a, struct err *e)
{
    struct label_names *names = label_names_new();
    int rc = mesh_sheet_parse(ret, a, names, bytes_of(text), e);
    label_names_free(names);
    return rc;
}

static void refused(void **state)
{
    static const struct {
        const char *text;
        int code;
        const char *says;
    } rows[] = {
        {"", E_PARSE, "sheet"},
        {"{", E_PARSE, "sheet"},
        {"[]", E_PARSE, "expected an object"},
        {"{" HEAD ",\"node\":\"n2\"}", E_PARSE, "sheet"},
        {"{}", E_INVALID, "node"},
        {"{\"node\":\"a/b\"}", E_INVALID, "node"},
        {"{\"node\":\"..\"}", E_INVALID, "node"},
        {"{\"node\":\"n1\"}", E_INVALID, "context"},
        {"{\"node\":\"n1\",\"context\":7}", E_INVALID, "context"},
        {"{\"node\":\"n1\",\"context\":\"dev\\u0007\"}", E_INVALID, "control character"},
        {"{\"node\":\"n1\",\"context\":\"dev\"}", E_INVALID, "version"},
        {"{\"node\":\"n1\",\"context\":\"dev\",\"version\":\"1\"}", E_INVALID, "profile"},
        {"{\"node\":\"n1\",\"context\":\"dev\",\"version\":\"1\",\"profile\":\"big\"}", E_INVALID,
         "profile"},
        {"{\"node\":\"n1\",\"context\":\"dev\",\"version\":\"1\",\"profile\":\"edge\"}", E_INVALID,
         "more than 0"},
        {"{\"node\":\"n1\",\"context\":\"dev\",\"version\":\"1\",\"profile\":\"edge\",\"boot\":-1}",
         E_INVALID, "boot"},
        {"{" HEAD ",\"addresses\":\"x\"}", E_INVALID, "addresses: expected an array"},
        {"{" HEAD ",\"addresses\":[\"a:1\",\"a:1\",\"a:1\",\"a:1\",\"a:1\"]}", E_INVALID,
         "too many"},
        {"{" HEAD ",\"addresses\":[7]}", E_INVALID, "addresses: expected text"},
        {"{" HEAD ",\"roles\":[\"\"]}", E_INVALID, "roles: expected text"},
        {"{" HEAD ",\"models\":{}}", E_INVALID, "models"},
        {"{" HEAD ",\"models\":[7]}", E_INVALID, "model's name"},
        {"{" HEAD ",\"models\":[{\"name\":\"m\"}]}", E_INVALID, "model's kind"},
        {"{" HEAD ",\"models\":[{\"name\":\"m\",\"kind\":\"\",\"state\":\"HOT\"}]}", E_INVALID,
         "model's state"},
        {"{" HEAD ",\"models\":[{\"name\":\"m\",\"kind\":\"chat\",\"state\":\"HOT\"}]}", E_INVALID,
         "model's state"},
        {"{" HEAD ",\"models\":[{\"name\":\"m\",\"kind\":\"chat\",\"state\":\"WARM\"}]}", E_INVALID,
         "clearance of a model"},
        {"{" HEAD ",\"models\":[{" MODEL ",\"clearance\":\"x\"}]}", E_PARSE, "sheet"},
        {"{" HEAD ",\"models\":[{" MODEL ",\"tier\":\"moon\"}]}", E_INVALID, "tier"},
        {"{" HEAD ",\"models\":[{" MODEL ",\"slots\":-1}]}", E_INVALID, "slots"},
        {"{" HEAD ",\"models\":[{" MODEL ",\"slots\":65536}]}", E_INVALID, "slots"},
        {"{" HEAD ",\"models\":[{" MODEL ",\"load_ms\":-2}]}", E_INVALID, "load_ms"},
        {"{" HEAD ",\"models\":[{" MODEL ",\"price\":{\"out\":1000000000001}}]}", E_INVALID,
         "price.out"},
        {"{" HEAD ",\"models\":[{" MODEL ",\"eta_ms\":\"soon\"}]}", E_INVALID, "eta_ms"},
        {"{" HEAD ",\"models\":[{" MODEL ",\"replicas\":{\"min\":257}}]}", E_INVALID,
         "replicas.min"},
        {"{" HEAD ",\"models\":[{" MODEL ",\"aliases\":{\"a\":1}}]}", E_INVALID, "aliases"},
        {"{" HEAD ",\"models\":[{\"name\":\"m\",\"kind\":\"chat\",\"state\":\"WARM\",\"clearance\":"
         "\"secret\",\"label\":\"public\"}]}",
         E_INVALID, "clearance of a model"},
        {"{" HEAD ",\"records\":7}", E_INVALID, "records"},
        {"{" HEAD ",\"records\":[{\"kind\":\"model\",\"name\":\"x\"}]}", E_INVALID, "kind"},
        {"{" HEAD ",\"records\":[{\"kind\":\"queue\"}]}", E_INVALID, "name of a record"},
        {"{" HEAD ",\"records\":[{\"kind\":\"queue\",\"name\":\"x\",\"address\":7}]}", E_INVALID,
         "address of a record"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO(arena) a = arena_new(1 << 20);
        struct mesh_sheet s = {.boot = 77};
        struct err e = {0};
        int rc = parse(rows[i].text, &s, a, &e);
        if (rc != rows[i].code || strstr(e.text, rows[i].says) == NULL)
            fail_msg("row %zu: %d %s", i, rc, e.text);
        assert_int_equal(s.boot, 77); // untouched
    }
}

static void taken(void **state)
{
    AUTO(arena) a = arena_new(1 << 20);
    struct mesh_sheet s;
    struct err e = {0};
    (void)state;
    assert_int_equal(parse("{" HEAD "}", &s, a, &e), 0);
    assert_string_equal(s.node, "n1");
    assert_int_equal(s.model_count, 0);
    assert_null(s.addresses);
    assert_int_equal(s.clearance.level, LABEL_PUBLIC); // only a grant gives more
    assert_int_equal(parse("{" HEAD ",\"later\":{\"x\":[1]},\"clearance\":\"restricted:*\","
                           "\"models\":[{" MODEL ",\"later\":1}],\"addresses\":[]}",
                           &s, a, &e),
                     0);
    assert_int_equal(s.clearance.level, LABEL_PUBLIC);
    assert_string_equal(s.models[0].tier, "node");
    assert_true(s.models[0].fits);
    assert_int_equal(s.models[0].load_ms, -1);
    assert_int_equal(s.models[0].eta_ms, -1);
    assert_null(s.models[0].aliases);
}

static void too_big(void **state)
{
    AUTO(arena) a = arena_new(1 << 20);
    struct buf b;
    struct mesh_sheet s;
    struct err e = {0};
    (void)state;
    buf_init(&b, 1 << 20);
    (void)buf_str(&b, "{" HEAD ",\"x\":\"");
    for (size_t i = 0; i < MESH_SHEET_BYTES_MAX; i++)
        (void)buf_chr(&b, 'x');
    (void)buf_str(&b, "\"}");
    assert_int_equal(parse(buf_cstr(&b), &s, a, &e), E_TOOBIG);
    static const char *const lists[] = {"models", "records"};
    for (size_t k = 0; k < 2; k++) {
        buf_clear(&b);
        (void)buf_fmt(&b, "{" HEAD ",\"%s\":[", lists[k]);
        for (int i = 0; i < 257; i++)
            (void)buf_fmt(&b, "%s{" MODEL "}", i > 0 ? "," : "");
        (void)buf_str(&b, "]}");
        assert_int_equal(parse(buf_cstr(&b), &s, a, &e), E_INVALID);
    }
    // An arena that is too small is an ordinary error, wherever it ends.
    buf_clear(&b);
    (void)buf_str(&b, "{" HEAD ",\"addresses\":[\"a:1\"],\"models\":[");
    for (int i = 0; i < 100; i++)
        (void)buf_fmt(&b, "%s{" MODEL ",\"aliases\":[\"a%d\"]}", i > 0 ? "," : "", i);
    (void)buf_str(&b, "],\"records\":[{\"kind\":\"queue\",\"name\":\"q\"}]}");
    for (size_t max = 0; max < 20000; max += 512) {
        AUTO(arena) small = arena_new(max);
        assert_int_equal(parse(buf_cstr(&b), &s, small, &e), E_TOOBIG);
    }
    assert_int_equal(parse(buf_cstr(&b), &s, a, &e), 0);
    assert_int_equal(s.model_count, 100);
    buf_fini(&b);
}

static void there_and_back(void **state)
{
    static const char *const addresses[] = {"10.0.0.1:7000", "[::1]:7000", NULL};
    static const char *const roles[] = {"gpu", "authority", NULL};
    static const char *const aliases[] = {"gpt", "best \"one\"", NULL};
    AUTO(arena) a = arena_new(1 << 20);
    struct label_names *names = label_names_new();
    struct label eng;
    (void)state;
    assert_int_equal(label_parse(names, BYTES("confidential:eng"), &eng, NULL), 0);
    struct mesh_model models[] = {{.name = "m",
                                   .kind = "chat",
                                   .aliases = aliases,
                                   .state = "LOADING",
                                   .tier = "edge",
                                   .context = 4096,
                                   .slots = 4,
                                   .active = 1,
                                   .waiting = 2,
                                   .load_ms = 3000,
                                   .eta_ms = 400,
                                   .fits = true,
                                   .replicas_min = 1,
                                   .replicas_max = 3,
                                   .price_in = 150000,
                                   .price_out = 600000,
                                   .clearance = LABEL_ALL,
                                   .label = eng},
                                  {.name = "x", .kind = "embedding", .state = "FAILED"}};
    struct mesh_record records[] = {{"queue", "q", NULL}, {"service", "s", "http://h/"}};
    struct mesh_sheet in = {.node = "n1",
                            .context = "dev.aipc.n1",
                            .version = "1.2",
                            .profile = "edge",
                            .boot = (uint64_t)1 << 41,
                            .seq = 9,
                            .ttl_ms = 10000,
                            .draining = true,
                            .leaving = true,
                            .addresses = addresses,
                            .roles = roles,
                            .models = models,
                            .model_count = 2,
                            .records = records,
                            .record_count = 2};
    struct mesh_sheet back;
    struct buf one, two;
    buf_init(&one, MESH_SHEET_BYTES_MAX);
    buf_init(&two, MESH_SHEET_BYTES_MAX);
    mesh_sheet_put(&one, names, &in);
    assert_int_equal(mesh_sheet_parse(&back, a, names, buf_bytes(&one), NULL), 0);
    mesh_sheet_put(&two, names, &back);
    assert_string_equal(buf_cstr(&one), buf_cstr(&two));
    assert_string_equal(
        buf_cstr(&two),
        "{\"node\":\"n1\",\"context\":\"dev.aipc.n1\",\"version\":\"1.2\",\"profile\":\"edge\","
        "\"boot\":2199023255552,\"seq\":9,\"ttl_ms\":10000,\"draining\":true,\"leaving\":true,"
        "\"addresses\":[\"10.0.0.1:7000\",\"[::1]:7000\"],\"roles\":[\"gpu\",\"authority\"],"
        "\"models\":[{\"name\":\"m\",\"kind\":\"chat\",\"aliases\":[\"gpt\",\"best \\\"one\\\"\"],"
        "\"state\":\"LOADING\",\"tier\":\"edge\",\"context\":4096,\"slots\":4,\"active\":1,"
        "\"waiting\":2,\"eta_ms\":400,\"load_ms\":3000,\"fits\":true,"
        "\"replicas\":{\"min\":1,\"max\":3},\"price\":{\"in\":150000,\"out\":600000},\"clearance\":"
        "\"restricted:*\","
        "\"label\":\"confidential:eng\"},{\"name\":\"x\",\"kind\":\"embedding\","
        "\"state\":\"FAILED\",\"tier\":\"node\",\"context\":0,\"slots\":0,\"active\":0,"
        "\"waiting\":0,\"eta_ms\":0,\"load_ms\":0,\"fits\":false,"
        "\"replicas\":{\"min\":0,\"max\":0},\"clearance\":\"public\",\"label\":\"public\"}],"
        "\"records\":[{\"kind\":\"queue\",\"name\":\"q\",\"address\":null},"
        "{\"kind\":\"service\",\"name\":\"s\",\"address\":\"http://h/\"}]}");
    assert_true(back.draining && back.leaving);
    assert_int_equal(back.models[0].eta_ms, 400);
    assert_null(back.records[0].address);
    buf_fini(&one);
    buf_fini(&two);
    label_names_free(names);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refused),
        cmocka_unit_test(taken),
        cmocka_unit_test(too_big),
        cmocka_unit_test(there_and_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
