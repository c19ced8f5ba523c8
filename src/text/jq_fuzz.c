// jq_fuzz.c: any text as a program, on values that are small and of every kind: it is refused, or
// ends within its limits, twice the same; its input stays as it was; its result is JSON.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "text/jq.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static struct val *once(const struct jq *program, struct val *in, int *rc)
{
    struct val *v = NULL;
    struct jq_var vars[] = {{BYTES("input"), in}, {BYTES("context"), in}};
    struct jq_args args = {.input = in, .vars = vars, .var_count = 2, .outputs_max = 100};
    args.now_ms = 1700000000123;
    args.steps_max = 5000;
    args.bytes_max = 1 << 20;
    *rc = jq_run(program, &args, &v, NULL);
    if ((*rc == 0) != (v != NULL))
        abort();
    return v;
}

static void check_result(const struct val *v)
{
    struct buf out;
    AUTO(val) again = NULL;
    buf_init(&out, 64 << 20);
    if (val_write(&out, v) == 0 &&
        (val_parse(&again, buf_bytes(&out), NULL) != 0 || val_len(again) != val_len(v)))
        abort();
    buf_fini(&out);
}

// First byte: which input.
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    static const char *const inputs[] = {
        "null",
        "{\"a\":{\"b\":2,\"c\":[1,2]},\"b\":[3,{\"a\":null}]}",
        "[1,[2,3],{\"a\":\"x\"}]",
        "\"a,\xc3\xa4\"",
        "-1.5",
    };
    AUTO(jq) program = NULL;
    AUTO(val) in = NULL;
    AUTO(val) before = NULL;
    if (!n)
        return 0;
    struct bytes text = {(const char *)p + 1, n - 1};
    const char *input = inputs[*p % (sizeof inputs / sizeof *inputs)];
    int rc = jq_compile(&program, text, NULL);
    if ((jq_check(text, NULL) == 0) != (rc == 0 || rc == E_UNSUPPORTED))
        abort();
    bool secret = jq_text_uses(text, "secrets");
    if (rc != 0)
        return 0;
    size_t at = 0;
    struct bytes name;
    while (jq_each_var(program, &at, &name))
        if (bytes_is(name, "secrets") && !secret)
            abort();
    if (val_parse(&in, bytes_of(input), NULL) != 0 ||
        val_parse(&before, bytes_of(input), NULL) != 0)
        abort();
    int again_rc;
    AUTO(val) v = once(program, in, &rc);
    AUTO(val) again = once(program, in, &again_rc);
    if (rc != again_rc || (v && !val_equal(v, again)) || !val_equal(in, before))
        abort();
    if (v)
        check_result(v);
    return 0;
}
