// proto_test.c: descriptors from bytes and from text; messages there and back; what is no message.
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "text/proto.h"

#include <stdio.h>
#include <string.h>

static const char shop[] = "// a shop\n"
                           "syntax = \"proto3\";\n"
                           "package shop.v1;\n"
                           "import \"google/protobuf/timestamp.proto\";\n"
                           "import public 'other.proto';\n"
                           "option go_package = \"x/y;z\";\n"
                           "enum Color { option allow_alias = true; COLOR_UNSPECIFIED = 0; "
                           "RED = 1 [deprecated = true]; reserved 5 to 9; LOW = -1; }\n"
                           "message Item {\n"
                           "  reserved 2, 15, 9 to 11; reserved \"foo\";\n"
                           "  message Part { string part_name = 1; repeated Part parts = 2; }\n"
                           "  string name = 1; /* block\n comment */\n"
                           "  int32 count = 3; int64 big = 4; uint64 huge = 5; sint32 s = 6;\n"
                           "  double d = 7; float f = 8; bool yes = 12; bytes raw = 13;\n"
                           "  Color color = 14; repeated int32 numbers = 16;\n"
                           "  repeated sint64 loose = 17 [packed = false];\n"
                           "  repeated string words = 18; map<string, Part> by_name = 19;\n"
                           "  map<int32, Color> colors = 20; map<bool, fixed64> flags = 21;\n"
                           "  optional int32 maybe = 22;\n"
                           "  oneof kind { string left = 23; int32 right = 24; Part part = 25; }\n"
                           "  google.protobuf.Timestamp at = 26;\n"
                           "  google.protobuf.Duration took = 27; google.protobuf.Any any = 28;\n"
                           "  google.protobuf.Struct open = 29; google.protobuf.Value value = 30;\n"
                           "  google.protobuf.StringValue boxed = 31;\n"
                           "  google.protobuf.FieldMask mask = 32; fixed32 x = 33;\n"
                           "  sfixed64 y = 34; string odd_json = 35 [json_name = \"ODD\"];\n"
                           "  google.protobuf.Int64Value boxed_big = 36;\n"
                           "  google.protobuf.ListValue list = 37; .shop.v1.Item.Part deep = 38;\n"
                           "}\n"
                           "service Shop {\n"
                           "  rpc Buy (Item) returns (Item.Part) {}\n"
                           "  rpc Watch(Item) returns (stream Item) { option x = {a: 1}; }\n"
                           "  rpc Talk(stream Item) returns (stream .shop.v1.Item);\n"
                           "}\n";

static struct proto *make(const char *text)
{
    struct proto *p = NULL;
    struct err e = {0};
    if (proto_new(&p, &e) || proto_add_text(p, bytes_of(text), &e) || proto_link(p, &e))
        fail_msg("%s", e.text);
    return p;
}

static struct val *json(const char *text)
{
    struct val *v = NULL;
    struct err e = {0};
    if (val_parse(&v, bytes_of(text), &e))
        fail_msg("%s: %s", text, e.text);
    return v;
}

static void hex(char *to, struct bytes b)
{
    *to = 0;
    for (size_t i = 0; i < b.n; i++)
        to += sprintf(to, "%02x", (unsigned char)b.p[i]);
}

static const struct {
    const char *json, *wire;
    const char *back; // what is read, NULL: json
} same[] = {
    {"{}", "", NULL},
    {"{\"name\":\"ab\"}", "0a026162", NULL},
    {"{\"name\":\"\",\"count\":0,\"big\":\"0\",\"d\":0,\"yes\":false,\"raw\":\"\"}", "", "{}"},
    {"{\"count\":-1}", "18ffffffffffffffffff01", NULL},
    {"{\"count\":1e2}", "1864", "{\"count\":100}"},
    {"{\"count\":\"7\"}", "1807", "{\"count\":7}"},
    {"{\"big\":\"-9223372036854775808\"}", "2080808080808080808001", NULL},
    {"{\"big\":300}", "20ac02", "{\"big\":\"300\"}"},
    {"{\"huge\":\"18446744073709551615\"}", "28ffffffffffffffffff01", NULL},
    {"{\"s\":-3}", "3005", NULL},
    {"{\"d\":1.5}", "39000000000000f83f", NULL},
    {"{\"d\":\"NaN\"}", "39000000000000f87f", NULL},
    {"{\"d\":\"-Infinity\"}", "39000000000000f0ff", NULL},
    {"{\"f\":-2}", "45000000c0", NULL},
    {"{\"yes\":true}", "6001", NULL},
    {"{\"raw\":\"AP+/\"}", "6a0300ffbf", NULL},
    {"{\"raw\":\"AP-_\"}", "6a0300ffbf", "{\"raw\":\"AP+/\"}"},
    {"{\"raw\":\"AP8=\"}", "6a0200ff", NULL},
    {"{\"color\":\"RED\"}", "7001", NULL},
    {"{\"color\":1}", "7001", "{\"color\":\"RED\"}"},
    {"{\"color\":77}", "704d", NULL},
    {"{\"color\":\"LOW\"}", "70ffffffffffffffffff01", NULL},
    {"{\"numbers\":[1,-1,300]}", "82010d01ffffffffffffffffff01ac02", NULL},
    {"{\"numbers\":[]}", "", "{}"},
    {"{\"loose\":[\"1\",\"-1\"]}", "88010288 0101", NULL},
    {"{\"words\":[\"a\",\"\"]}", "92010161920100", NULL},
    {"{\"byName\":{\"k\":{\"partName\":\"v\"}}}", "9a01080a016b12030a0176", NULL},
    {"{\"by_name\":{\"\":{}}}", "9a01040a001200", "{\"byName\":{\"\":{}}}"},
    {"{\"colors\":{\"5\":\"RED\"}}", "a2010408051001", NULL},
    {"{\"flags\":{\"true\":\"1\"}}", "aa010b0801110100000000000000", NULL},
    {"{\"maybe\":0}", "b00100", NULL},
    {"{\"left\":\"\"}", "ba0100", NULL},
    {"{\"right\":0}", "c00100", NULL},
    {"{\"part\":{\"parts\":[{\"partName\":\"x\"},{}]}}", "ca010712030a01781200", NULL},
    {"{\"at\":\"1970-01-01T00:00:01Z\"}", "d201020801", NULL},
    {"{\"at\":\"2026-02-28T23:59:59.5+01:00\"}", "d2010c08efe68dcd061080cab5ee01",
     "{\"at\":\"2026-02-28T22:59:59.500Z\"}"},
    {"{\"at\":\"1969-12-31T23:59:59.999999999Z\"}", "d2011108ffffffffffffffffff0110ff93ebdc03",
     NULL},
    {"{\"took\":\"3.5s\"}", "da010808031080cab5ee01", "{\"took\":\"3.500s\"}"},
    {"{\"took\":\"-0.001s\"}", "da010b10c0fbc2ffffffffffff01", NULL},
    {"{\"took\":\"0s\"}", "da0100", NULL},
    {"{\"any\":{\"@type\":\"t.x/shop.v1.Item.Part\",\"partName\":\"q\"}}",
     "e2011c0a15742e782f73686f702e76312e4974656d2e5061727412030a0171", NULL},
    {"{\"any\":{\"@type\":\"t/google.protobuf.Duration\",\"value\":\"1s\"}}",
     "e201200a1a742f676f6f676c652e70726f746f6275662e4475726174696f6e12020801", NULL},
    {"{\"any\":{\"@type\":\"t/un.known\",\"value\":\"AQ==\"}}",
     "e2010f0a0a742f756e2e6b6e6f776e120101", NULL},
    {"{\"open\":{\"a\":null,\"b\":[true,\"x\"]}}",
     "ea011b0a070a0161120208000a100a0162120b32090a0220010a031a0178", NULL},
    {"{\"value\":null}", "f201020800", NULL},
    {"{\"value\":2}", "f20109110000000000000040", NULL},
    {"{\"boxed\":\"\"}", "fa0100", NULL},
    {"{\"boxed\":\"b\"}", "fa01030a0162", NULL},
    {"{\"boxedBig\":\"5\"}", "a202020805", NULL},
    {"{\"mask\":\"fooBar,x\"}", "82020c0a07666f6f5f6261720a0178", NULL},
    {"{\"x\":258}", "8d0202010000", NULL},
    {"{\"y\":\"-2\"}", "9102feffffffffffffff", NULL},
    {"{\"ODD\":\"o\"}", "9a02016f", NULL},
    {"{\"odd_json\":\"o\"}", "9a02016f", "{\"ODD\":\"o\"}"},
    {"{\"list\":[1]}", "aa020b0a0911000000000000f03f", NULL},
    {"{\"name\":null,\"count\":1}", "1801", "{\"count\":1}"},
};

static size_t unhex(char *to, const char *text)
{
    size_t n = 0;
    for (; *text; text++) {
        unsigned x;
        if (*text == ' ')
            continue;
        (void)sscanf(text, "%1x", &x);
        to[n / 2] = (char)(n % 2 ? (unsigned char)to[n / 2] | x : x << 4);
        n++;
    }
    return n / 2;
}

static void test_same(void **state)
{
    struct proto *p = make(shop);
    const struct proto_message *m = proto_message(p, BYTES("shop.v1.Item"));
    (void)state;
    assert_non_null(m);
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        char want[256], got[512], wire[256];
        struct val *v = json(same[i].json), *back = NULL;
        struct val *expected = json(same[i].back ? same[i].back : same[i].json);
        struct buf b, t;
        struct err e = {0};
        size_t n = unhex(wire, same[i].wire);
        buf_init(&b, 4096);
        buf_init(&t, 4096);
        hex(want, (struct bytes){wire, n});
        if (proto_encode(m, v, &b, &e))
            fail_msg("%s: %s", same[i].json, e.text);
        hex(got, buf_bytes(&b));
        if (strcmp(got, want) != 0)
            fail_msg("%s gives %s, not %s", same[i].json, got, want);
        if (proto_decode(m, (struct bytes){wire, n}, &back, &e))
            fail_msg("%s: %s", same[i].wire, e.text);
        (void)val_write(&t, back);
        if (!val_equal(back, expected))
            fail_msg("%s reads as %s", same[i].wire, buf_cstr(&t));
        buf_fini(&b);
        buf_fini(&t);
        val_unref(v);
        val_unref(back);
        val_unref(expected);
    }
    proto_free(p);
}

static const struct {
    const char *json, *why;
} refused[] = {
    {"[]", "not an object"},
    {"{\"nope\":1}", "has no field nope"},
    {"{\"name\":1}", "name: not a text"},
    {"{\"count\":1.5}", "count: not an integer"},
    {"{\"count\":2147483648}", "count: not an integer of 32 bits"},
    {"{\"count\":\"x\"}", "count: not an integer"},
    {"{\"big\":\"9223372036854775808\"}", "big: not an integer"},
    {"{\"huge\":-1}", "huge: not a natural number"},
    {"{\"x\":4294967296}", "x: not a natural number of 32 bits"},
    {"{\"d\":\"1x\"}", "d: not a number"},
    {"{\"yes\":1}", "yes: neither"},
    {"{\"raw\":\"?\"}", "raw: not base64"},
    {"{\"color\":\"BLUE\"}", "color: none of its values"},
    {"{\"numbers\":[1,true]}", "item 1: field numbers: not an integer"},
    {"{\"words\":\"a\"}", "words: not a list"},
    {"{\"byName\":[]}", "byName: not an object"},
    {"{\"colors\":{\"x\":1}}", "key: not an integer"},
    {"{\"part\":{\"x\":1}}", "part: shop.v1.Item.Part has no field x"},
    {"{\"at\":\"2026-02-29T00:00:00Z\"}", "RFC 3339"},
    {"{\"at\":\"2026-01-01\"}", "RFC 3339"},
    {"{\"took\":\"3\"}", "no duration"},
    {"{\"took\":3}", "no duration"},
    {"{\"any\":{\"x\":1}}", "@type is missing"},
    {"{\"open\":[]}", "not an object"},
};

static void test_refused(void **state)
{
    struct proto *p = make(shop);
    const struct proto_message *m = proto_message(p, BYTES("shop.v1.Item"));
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct val *v = json(refused[i].json);
        struct buf b;
        struct err e = {0};
        buf_init(&b, 4096);
        if (proto_encode(m, v, &b, &e) != E_INVALID || !strstr(e.text, refused[i].why))
            fail_msg("%s: %d %s", refused[i].json, e.code, e.text);
        buf_fini(&b);
        val_unref(v);
    }
    proto_free(p);
}

static const struct {
    const char *wire;
    int status;
    const char *json; // what is read
} others[] = {
    {"0a", E_PARSE, NULL},
    {"0a05 6162", E_PARSE, NULL},
    {"00", E_PARSE, NULL},
    {"0f", E_PARSE, NULL},
    {"0c", E_PARSE, NULL},
    {"18ffffffffffffffffffff", E_PARSE, NULL},
    {"39 0000", E_PARSE, NULL},
    {"0a01ff", E_PARSE, NULL},
    {"1801 1802", 0, "{\"count\":2}"},
    {"1801 1800", 0, "{}"},
    {"1a0161", 0, "{}"},                  // another kind than the field's: as unknown
    {"c83e01 ca3e0161", 0, "{}"},         // fields 1001
    {"cb3e 1801 cc3e 1803", 0, "{\"count\":3}"}, // an unknown group
    {"cb3e 1801 d43e", E_PARSE, NULL},
    {"cb3e 1801", E_PARSE, NULL},
    {"800105 82010206 07", 0, "{\"numbers\":[5,6,7]}"}, // packed and not, mixed
    {"8a01020102", 0, "{\"loose\":[\"-1\",\"1\"]}"},
    {"8201 02ffff", E_PARSE, NULL},
    {"ba010161 c00105", 0, "{\"right\":5}"}, // the later of a oneof
    {"9a01020a00", 0, "{\"byName\":{\"\":{}}}"},
    {"9a0100", 0, "{\"byName\":{\"\":{}}}"},
    {"a20100", 0, "{\"colors\":{\"0\":\"COLOR_UNSPECIFIED\"}}"},
    {"a2010208", E_PARSE, NULL},
    {"d2010c08ffffffffffffffffff7f 1001", E_PARSE, NULL},
};

static void test_others(void **state)
{
    struct proto *p = make(shop);
    const struct proto_message *m = proto_message(p, BYTES("shop.v1.Item"));
    (void)state;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        char wire[256];
        struct val *v = NULL;
        struct err e = {0};
        size_t n = unhex(wire, others[i].wire);
        int rc = proto_decode(m, (struct bytes){wire, n}, &v, &e);
        if (rc != others[i].status || rc != e.code)
            fail_msg("%s: %d %s", others[i].wire, rc, e.text);
        if (rc)
            continue;
        struct val *want = json(others[i].json);
        struct buf t;
        buf_init(&t, 4096);
        (void)val_write(&t, v);
        if (!val_equal(v, want))
            fail_msg("%s reads as %s", others[i].wire, buf_cstr(&t));
        buf_fini(&t);
        val_unref(want);
        val_unref(v);
    }
    proto_free(p);
}

static void test_deep(void **state)
{
    struct proto *p = make(shop);
    const struct proto_message *m = proto_message(p, BYTES("shop.v1.Item.Part"));
    struct buf in, out;
    struct val *v = NULL;
    struct err e = {0};
    (void)state;
    buf_init(&in, 1 << 20);
    buf_init(&out, 1 << 20);
    for (int i = 0; i < 200; i++) { // from the inside out
        char n[3] = {0x12, (char)(in.n & 0x7f), 0};
        buf_clear(&out);
        if (in.n < 128)
            (void)buf_add(&out, n, 2);
        else {
            char m2[3] = {0x12, (char)((in.n & 0x7f) | 0x80), (char)(in.n >> 7)};
            (void)buf_add(&out, m2, 3);
        }
        (void)buf_put(&out, buf_bytes(&in));
        buf_clear(&in);
        (void)buf_put(&in, buf_bytes(&out));
    }
    assert_int_equal(proto_decode(m, buf_bytes(&in), &v, &e), E_TOOBIG);
    buf_fini(&in);
    buf_fini(&out);
    proto_free(p);
}

static void test_service(void **state)
{
    struct proto *p = make(shop);
    struct proto_method m;
    struct bytes path;
    size_t at = 0;
    (void)state;
    assert_true(proto_method(p, BYTES("Shop"), BYTES("Buy"), &m));
    assert_true(bytes_is(proto_message_name(m.in), "shop.v1.Item"));
    assert_true(bytes_is(proto_message_name(m.out), "shop.v1.Item.Part"));
    assert_false(m.client_stream || m.server_stream);
    assert_true(proto_method(p, BYTES("shop.v1.Shop"), BYTES("Watch"), &m));
    assert_true(!m.client_stream && m.server_stream && bytes_is(m.service, "shop.v1.Shop"));
    assert_true(proto_method(p, BYTES("shop.v1.Shop"), BYTES("Talk"), &m));
    assert_true(m.client_stream && m.server_stream);
    assert_false(proto_method(p, BYTES("hop"), BYTES("Buy"), &m));
    assert_false(proto_method(p, BYTES("Shop"), BYTES("Sell"), &m));
    assert_true(proto_import(p, &at, &path) && bytes_is(path, "other.proto"));
    assert_false(proto_import(p, &at, &path));
    proto_free(p);
}

static const struct {
    const char *text;
    int status;
    const char *why;
} texts[] = {
    {"syntax = \"proto3\"; message A { B b = 1; }", E_NOTFOUND, "type B of field b"},
    {"message A { string a = 1; string b = 1; }", E_PARSE, "number 1 is used twice"},
    {"message A { string a = 0; }", E_PARSE, "number"},
    {"message A {} message A {}", E_EXISTS, "A is there twice"},
    {"message A {", E_PARSE, "line 1"},
    {"\n\nmessage A { string = 1; }", E_PARSE, "line 3"},
    {"syntax = \"proto9\";", E_UNSUPPORTED, "proto9"},
    {"message A { map<string, string> m = 1 }", E_PARSE, "line 1"},
    {"message A { /* ", E_PARSE, "line 1"},
    {"message A { string a = 1 [json_name = \"x ]; }", E_PARSE, "line 1"},
    {"enum E { A = 0x10; B = -0x1; } message M { E e = 1; }", 0, NULL},
    {"syntax = \"proto2\"; message M { required string a = 1; optional int32 b = 2 "
     "[default = 5]; extensions 100 to max; }",
     0, NULL},
    {"message M { group X = 1 {} }", E_UNSUPPORTED, "group"},
    {"package a.b; message M { message N {} c.N x = 1; } ", E_NOTFOUND, "c.N"},
    {"package a.b; message M { N n = 1; } message N { M.Q q = 1; } ", E_NOTFOUND, "M.Q"},
    {"", 0, NULL},
    {";;;", 0, NULL},
};

static void test_texts(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct proto *p = NULL;
        struct err e = {0};
        int rc = proto_new(&p, &e);
        if (!rc)
            rc = proto_add_text(p, bytes_of(texts[i].text), &e);
        if (!rc)
            rc = proto_link(p, &e);
        if (rc != texts[i].status || (rc && !strstr(e.text, texts[i].why)))
            fail_msg("%s: %d %s", texts[i].text, rc, e.text);
        proto_free(p);
    }
}

static void test_memory(void **state)
{
    struct proto *p = make(shop);
    const struct proto_message *m = proto_message(p, BYTES("shop.v1.Item"));
    struct val *v = json("{\"name\":\"x\",\"byName\":{\"a\":{\"parts\":[{}]}},\"numbers\":[1,2],"
                         "\"open\":{\"a\":[1]},\"any\":{\"@type\":\"t/shop.v1.Item\","
                         "\"boxed\":\"b\"},\"mask\":\"aB\",\"at\":\"1970-01-01T00:00:01Z\"}");
    uint64_t before = mem_live();
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct buf b;
        struct val *back = NULL;
        struct err e = {0};
        buf_init(&b, 4096);
        mem_fail_after(n, 1);
        int rc = proto_encode(m, v, &b, &e);
        if (!rc)
            rc = proto_decode(m, buf_bytes(&b), &back, &e);
        mem_fail_after(0, 0);
        bool good = !rc && val_equal(v, back);
        if (rc != 0 && rc != E_NOMEM)
            fail_msg("%d %s", rc, e.text);
        buf_fini(&b);
        val_unref(back);
        assert_int_equal(mem_live(), before);
        if (good)
            break;
        assert_int_not_equal(rc, 0);
    }
    for (uint64_t n = 1;; n++) {
        struct proto *q = NULL;
        struct err e = {0};
        mem_fail_after(n, 1);
        int rc = proto_new(&q, &e);
        if (!rc)
            rc = proto_add_text(q, bytes_of(shop), &e);
        if (!rc)
            rc = proto_link(q, &e);
        mem_fail_after(0, 0);
        proto_free(q);
        assert_int_equal(mem_live(), before);
        if (!rc)
            break;
        assert_int_equal(rc, E_NOMEM);
    }
    val_unref(v);
    proto_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same),    cmocka_unit_test(test_refused),
        cmocka_unit_test(test_others),  cmocka_unit_test(test_deep),
        cmocka_unit_test(test_service), cmocka_unit_test(test_texts),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
