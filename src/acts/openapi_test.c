// openapi_test.c: call: openapi: documents of both generations, and what goes out for them.
// SPDX-License-Identifier: Apache-2.0
#include "acts/acts_rig.h"

static const char swagger[] =
    "{\"swagger\":\"2.0\",\"basePath\":\"/v2\",\"host\":\"HOST\",\"schemes\":[\"http\"],"
    "\"parameters\":{\"trace\":{\"name\":\"X-Trace\",\"in\":\"header\",\"type\":\"string\"}},"
    "\"paths\":{\"/pet/"
    "findByStatus\":{\"get\":{\"operationId\":\"findPetsByStatus\",\"parameters\":[{"
    "\"name\":\"status\",\"in\":\"query\",\"required\":true,\"type\":\"array\","
    "\"collectionFormat\":"
    "\"multi\"},{\"name\":\"tags\",\"in\":\"query\",\"type\":\"array\"},{\"$ref\":\"#/parameters/"
    "trace\"}]}},"
    "\"/pet/"
    "{petId}\":{\"parameters\":[{\"name\":\"petId\",\"in\":\"path\",\"required\":true,\"type\":"
    "\"integer\"}],\"get\":{\"operationId\":\"getPetById\"},\"post\":{\"operationId\":\"form\","
    "\"parameters\":[{\"name\":\"name\",\"in\":\"formData\"}]}},"
    "\"/"
    "pet\":{\"post\":{\"operationId\":\"addPet\",\"parameters\":[{\"name\":\"pet\",\"in\":\"body\","
    "\"required\":true,\"schema\":{}}]}}}}";

static const char open3[] =
    "openapi: 3.0.3\n"
    "servers:\n"
    "  - url: ../{version}\n"
    "    variables: { version: { default: v3 } }\n"
    "paths:\n"
    "  /items/{id}/{more}:\n"
    "    parameters:\n"
    "      - { name: id, in: path, required: true, schema: { type: string } }\n"
    "      - { name: more, in: path, required: true, schema: { type: array } }\n"
    "    put:\n"
    "      operationId: putItem\n"
    "      parameters:\n"
    "        - { name: q, in: query, schema: { type: array } }\n"
    "        - { name: p, in: query, style: pipeDelimited, explode: false, schema: {} }\n"
    "        - { name: deep, in: query, style: deepObject, schema: { type: object } }\n"
    "        - { name: size, in: query, schema: { type: integer, default: 5 } }\n"
    "        - { name: session, in: cookie, schema: { type: string } }\n"
    "        - { name: X-List, in: header, schema: { type: array } }\n"
    "      requestBody: { $ref: '#/components/requestBodies/item' }\n"
    "  /form:\n"
    "    servers: [{ url: 'HTTP/other' }]\n"
    "    post:\n"
    "      operationId: form3\n"
    "      requestBody:\n"
    "        content: { application/x-www-form-urlencoded: { schema: {} } }\n"
    "components:\n"
    "  requestBodies:\n"
    "    item: { required: true, content: { application/json: { schema: {} } } }\n";

static void put_doc(struct rig *r, struct http_exchange *x, const char *doc, const char *hole,
                    const char *fill)
{
    struct buf text;
    const char *at = strstr(doc, hole);
    (void)r;
    buf_init(&text, 100000);
    (void)buf_put(&text, (struct bytes){doc, (size_t)(at - doc)});
    (void)buf_str(&text, fill);
    (void)buf_str(&text, at + strlen(hole));
    http_reply(x, 200, "text/plain", BYTES_NONE, buf_bytes(&text));
    buf_fini(&text);
}

static void answer(struct rig *r, struct http_exchange *x, struct seen *s)
{
    if (strcmp(s->target, "/v2/swagger.json") == 0)
        put_doc(r, x, swagger, "HOST", r->base + 7);
    else if (strcmp(s->target, "/docs/open.yaml") == 0)
        put_doc(r, x, open3, "HTTP", r->base);
    else if (strcmp(s->target, "/moved.yaml") == 0)
        http_reply(x, 301, NULL, BYTES("Location: /docs/open.yaml\r\n"), BYTES_NONE);
    else if (strcmp(s->target, "/none.json") == 0)
        rig_json(x, 200, "{\"info\":{}}");
    else if (strcmp(s->target, "/broken.yaml") == 0)
        http_reply(x, 200, "text/plain", BYTES_NONE, BYTES("a: [1,\n"));
    else if (strcmp(s->target, "/missing.json") == 0)
        rig_json(x, 404, "{}");
    else
        rig_json(x, 200, "{\"id\":1}");
}

#define CALL(doc, op, rest)                                                                        \
    "{\"document\":{\"endpoint\":\"%B" doc "\"},\"operationId\":\"" op "\"" rest "}"

static const char *const with[] = {
    CALL("/v2/swagger.json", "findPetsByStatus",
         ",\"parameters\":{\"status\":[\"a b\",\"c\"],\"tags\":[\"x\",\"y\"],\"X-Trace\":\"t\"}"),
    CALL("/v2/swagger.json", "getPetById", ",\"parameters\":{\"petId\":1},\"output\":\"response\""),
    CALL("/v2/swagger.json", "form", ",\"parameters\":{\"petId\":\"a/b\",\"name\":\"n&m\"}"),
    CALL("/v2/swagger.json", "addPet",
         ",\"parameters\":{\"body\":{\"name\":\"rex\"}},\"authentication\":{\"bearer\":{\"token\":"
         "\"tok\"}}"),
    CALL("/moved.yaml", "putItem",
         ",\"parameters\":{\"id\":7,\"more\":[1,2],\"q\":[1,2],\"p\":[3,4],\"deep\":{\"a\":1},"
         "\"session\":\"s 1\",\"X-List\":[\"k\",\"l\"],\"name\":\"rest\",\"n\":2}"),
    CALL("/docs/open.yaml", "form3", ",\"parameters\":{\"body\":{\"a\":\"b c\"}}"),
    CALL("/v2/swagger.json", "getPetById", ""),
    CALL("/v2/swagger.json", "nothing", ""),
    CALL("/none.json", "x", ""),
    CALL("/broken.yaml", "x", ""),
    CALL("/missing.json", "x", ""),
    CALL("/docs/open.yaml", "putItem", ",\"parameters\":{\"id\":1,\"more\":2}"),
    CALL("/v2/swagger.json", "getPetById", ",\"output\":\"xml\""),
};

static void next(struct rig *r, unsigned round)
{
    if (round < sizeof with / sizeof *with)
        (void)rig_do(r, "openapi", with[round], 0);
    else
        rig_done(r);
}

static void test_calls(void **state)
{
    (void)state;
    static struct rig r;
    r.answer = answer;
    rig_run(&r, next);
    gave(&r.ones[0], "{\"id\":1}");
    assert_string_equal(r.seen[1].target, "/v2/pet/findByStatus?status=a%20b&status=c&tags=x,y");
    assert_string_equal(seen_header(&r.seen[1], "X-Trace"), "t");
    assert_string_equal(r.seen[3].target, "/v2/pet/1");
    assert_int_equal(val_i64(val_ptr(r.ones[1].output, BYTES("/content/id")), 0), 1);
    assert_string_equal(r.seen[5].target, "/v2/pet/a%2Fb");
    assert_string_equal(buf_cstr(&r.seen[5].body), "name=n%26m");
    assert_string_equal(seen_header(&r.seen[5], "Content-Type"),
                        "application/x-www-form-urlencoded");
    assert_string_equal(buf_cstr(&r.seen[7].body), "{\"name\":\"rex\"}");
    assert_string_equal(seen_header(&r.seen[7], "Authorization"), "Bearer tok");
    gave(&r.ones[4], "{\"id\":1}");
    assert_string_equal(r.seen[10].method, "PUT");
    assert_string_equal(r.seen[10].target, "/v3/items/7/1,2?q=1&q=2&p=3%7C4&deep%5Ba%5D=1&size=5");
    assert_string_equal(seen_header(&r.seen[10], "Cookie"), "session=s%201");
    assert_string_equal(seen_header(&r.seen[10], "X-List"), "k,l");
    assert_string_equal(buf_cstr(&r.seen[10].body), "{\"name\":\"rest\",\"n\":2}");
    assert_string_equal(r.seen[12].target, "/other/form");
    assert_string_equal(buf_cstr(&r.seen[12].body), "a=b%20c");
    failed(&r.ones[6], "validation", 400, true, "petId (path) is missing");
    failed(&r.ones[7], "configuration", 400, true, "no operation \"nothing\"");
    failed(&r.ones[8], "configuration", 400, true, "no OpenAPI or Swagger");
    failed(&r.ones[9], "configuration", 400, true, "line");
    failed(&r.ones[10], "communication", 404, true, "missing.json");
    failed(&r.ones[11], "validation", 400, true, "needs a body");
    failed(&r.ones[12], "configuration", 400, true, "content, raw, response");
    rig_fini(&r);
}

// What an author wrote, against the document's own address (text/url_test.c has the rules).
static void test_join(void **state)
{
    static const char *const cases[][2] = {
        {"../g?y#s", "http://a/b/g?y"}, // without its fragment
        {" g\n", "http://a/b/c/g"},
        {"https://x/y z", "https://x/y%20z"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf out;
        buf_init(&out, 1000);
        assert_int_equal(act_url_join(&out, BYTES("http://a/b/c/d;p?q"), bytes_of(cases[i][0])), 0);
        if (strcmp(buf_cstr(&out), cases[i][1]) != 0)
            fail_msg("\"%s\" gave %s, wanted %s", cases[i][0], buf_cstr(&out), cases[i][1]);
        buf_fini(&out);
    }
    struct buf out;
    buf_init(&out, 1000);
    assert_int_equal(act_url_join(&out, BYTES("no/scheme"), BYTES("g")), E_INVALID);
    buf_fini(&out);
}

static void test_durations(void **state)
{
    static const struct {
        const char *json;
        int64_t ms; // -1: none
    } cases[] = {
        {"\"PT5S\"", 5000},
        {"\"P1DT2H3M4.5S\"", 93784500},
        {"\"PT0.001S\"", 1},
        {"\"P2W\"", 1209600000},
        {"{\"seconds\":5}", 5000},
        {"{\"days\":1,\"milliseconds\":2}", 86400002},
        {"\"\"", -1},
        {"\"P\"", -1},
        {"\"PT\"", -1},
        {"\"5s\"", -1},
        {"\"P1Y\"", -1},
        {"\"P1M\"", -1},
        {"\"PT1.2.3S\"", -1},
        {"{}", -1},
        {"7", -1},
        {"{\"seconds\":-1}", -1},
        {"\"PTS\"", -1},
        {"\"P1H\"", -1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        AUTO(val) v = rig_val(cases[i].json);
        int64_t ms = -1;
        struct err e = {0};
        int rc = act_duration(v, &ms, &e);
        if (rc != (cases[i].ms < 0 ? E_INVALID : 0) || ms != cases[i].ms)
            fail_msg("%s gave %d, %lld", cases[i].json, rc, (long long)ms);
    }
}

static int tests(void)
{
    const struct CMUnitTest all[] = {
        cmocka_unit_test(test_calls),
        cmocka_unit_test(test_join),
        cmocka_unit_test(test_durations),
    };
    return cmocka_run_group_tests_name("openapi", all, NULL, NULL);
}

int main(int argc, char **argv)
{
    return rig_main(argc, argv, tests);
}
