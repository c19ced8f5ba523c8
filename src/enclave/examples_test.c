// examples_test.c: the example tools (examples/tools), compiled from their source, give what their
// first lines say. SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "enclave/enclave_rig.h"

static const struct {
    const char *tool, *function, *input, *output; // output NULL: error says
    const char *error;
} rows[] = {
    {"text_tools", "count", "one two\nthr\xc3\xa9\xc3\xa9\n",
     "{\"bytes\":16,\"characters\":14,\"words\":3,\"lines\":2}", NULL},
    {"text_tools", "count", "", "{\"bytes\":0,\"characters\":0,\"words\":0,\"lines\":0}", NULL},
    {"text_tools", "upper", "Straße 9z", "STRAßE 9Z", NULL},
    {"text_tools", "squeeze", "  a \n\n b\tc  ", "a b c", NULL},
    {"text_tools", "sort_lines", "b\na\nab\n\nc", "\na\nab\nb\nc\n", NULL},
    {"json_query", "query", "/a/1/b~1c\n{\"x\":0,\"a\":[[],{\"b/c\":  \"yes\\n\"}]}", "\"yes\\n\"",
     NULL},
    {"json_query", "query", "\n [1, 2] ", "[1, 2]", NULL},
    {"json_query", "query", "/0/k\n[{\"k\":{\"deep\":[1,{}]}}]", "{\"deep\":[1,{}]}", NULL},
    {"json_query", "query", "/2\n[1,2]", NULL, "nothing is there"},
    {"json_query", "query", "/a\n{\"b\":1}", NULL, "nothing is there"},
    {"json_query", "query", "a\n{}", NULL, "begins with /"},
    {"json_query", "query", "\n{\"a\":", NULL, "not JSON"},
    {"html_text", "html_to_text",
     "<html><head><title>A &amp; B</title><style>p{}</style><script>if (a<b) x();</script></head>"
     "<body><h1>Hello</h1><!-- not --><p>one\n  two <b>th</b>ree<br>4 &lt; 5 &#8364; &#x41;&nope;"
     "</p></body></html>",
     "A & B\nHello\none two three\n4 < 5 \xe2\x82\xac A&nope;", NULL},
    {"html_text", "html_to_text", "a < b <", "a < b <", NULL},
    {"html_text", "html_to_text", "<p title='>'>x<!--", "x", NULL},
    {"units", "convert", "12 km to mi", "7.456454 mi", NULL},
    {"units", "convert", "100 C F", "212 F", NULL},
    {"units", "convert", "-40 F to C", "-40 C", NULL},
    {"units", "convert", "1 GiB to MB", "1073.741824 MB", NULL},
    {"units", "convert", "2.5e3 g to kg", "2.5 kg", NULL},
    {"units", "convert", "1 km to kg", NULL, "different things"},
    {"units", "convert", "1 parsec to km", NULL, "not known"},
    {"units", "convert", "km", NULL, "write it so"},
    {"spreadsheet", "calculate",
     "item,price,count,total\npen,1.5,4,=B2*C2\nbook,12,2,=B3*C3\nsum,,,=SUM(D2:D3)\n",
     "item,price,count,total\npen,1.5,4,6\nbook,12,2,24\nsum,,,30\n", NULL},
    {"spreadsheet", "calculate", "1,2,3\n=AVERAGE(A1:C1),=MIN(A1:C1),=MAX(A1:C1)\n=-(A1+B1)*C1/2\n",
     "1,2,3\n2,1,3\n-4.5\n", NULL},
    {"spreadsheet", "calculate", "=B1,=A1\n", NULL, "need each other"},
    {"spreadsheet", "calculate", "1,0,=A1/B1\n", NULL, "division by zero"},
    {"spreadsheet", "calculate", "x,=A1+1\n", NULL, "a text where a number"},
    {"spreadsheet", "calculate", "=(1\n", NULL, "not closed"},
    {"spreadsheet", "calculate", "=SUM(A1:ZZ9)\n", NULL, "a range is written"},
};

static void examples(void **state)
{
    (void)state;
    if (!rig_has_library() || access("build/tools/units.wasm", R_OK) != 0)
        skip();
    struct pump p;
    rig_open(&p, NULL);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char path[256];
        (void)snprintf(path, sizeof path, "build/tools/%s.wasm", rows[i].tool);
        struct sandbox_mod *m = rig_file(&p, path);
        struct called r = {
            .c = {.mod = m, .function = rows[i].function, .input = bytes_of(rows[i].input)}};
        if (rows[i].error) {
            rig_refuse(&p, &r, SANDBOX_GUEST_ERROR, rows[i].error);
        } else {
            rig_call(&p, &r);
            if (r.status != 0 || strcmp(rig_output(&r), rows[i].output) != 0)
                fail_msg("%s \"%s\": expected \"%s\", it is \"%s\" %s", rows[i].function,
                         rows[i].input, rows[i].output, rig_output(&r), r.text);
            rig_end(&r);
        }
        p.sandbox->ops->drop(m);
    }
    rig_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(examples)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
