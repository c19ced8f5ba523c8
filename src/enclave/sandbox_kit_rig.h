// sandbox_kit_rig.h: what every implementation of the port sandbox must do; each runs it in its
// test. The guests needed: echo (its input), consume (nothing), returns (a number's text: the
// function returns it), error (error_set("the guest's own words")), output (so many bytes),
// loop_forever. SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_ENCLAVE_SANDBOX_KIT_RIG_H
#define PLEXUS_ENCLAVE_SANDBOX_KIT_RIG_H

#include "enclave/enclave_rig.h"

struct kit {
    struct pump *pump;
    struct bytes echo, bad, loop; // modules with those functions
    bool ends_loops;              // it can end a guest that runs
};

static void kit_compile(struct kit *k)
{
    struct compiled c = rig_compile(k->pump, BYTES("no module"));
    assert_int_equal(c.status, E_MANIFEST);
    assert_non_null(strstr(c.err.text, "not a WebAssembly module"));
    c = rig_compile(k->pump, BYTES_NONE);
    assert_int_equal(c.status, E_MANIFEST);
    c = rig_compile(k->pump, BYTES("\0asm\x0d\0\1\0"));
    assert_int_equal(c.status, E_UNSUPPORTED);
    assert_non_null(strstr(c.err.text, "component"));
    struct sandbox_mod *m = rig_bytes(k->pump, k->echo);
    const struct sandbox_ops *ops = k->pump->sandbox->ops;
    assert_true(ops->has(m, "echo"));
    assert_false(ops->has(m, "other"));
    ops->keep(m);
    ops->drop(m);
    rig_expect(k->pump, m, "echo", "still there", NULL, "still there");
    ops->drop(m);
}

static void kit_calls(struct kit *k)
{
    const struct sandbox_ops *ops = k->pump->sandbox->ops;
    struct sandbox_mod *m = rig_bytes(k->pump, k->echo), *bad = rig_bytes(k->pump, k->bad);
    rig_expect(k->pump, m, "echo", "", NULL, "");
    rig_expect(k->pump, m, "echo", "hello", "", "hello");
    for (int i = 0; i < 3; i++)
        rig_expect(k->pump, m, "echo", "warm", "somebody", "warm");
    struct called r = {.c = {.mod = m, .function = "missing"}};
    rig_refuse(k->pump, &r, SANDBOX_EXPORT, "missing");
    r = (struct called){.c = {.mod = bad, .function = "returns", .input = BYTES("3")}};
    rig_refuse(k->pump, &r, SANDBOX_GUEST_ERROR, "3");
    r = (struct called){.c = {.mod = bad, .function = "error"}};
    rig_refuse(k->pump, &r, SANDBOX_GUEST_ERROR, "the guest's own words");
    r = (struct called){
        .c = {.mod = bad, .function = "output", .input = BYTES("101"), .limits.output_bytes = 100}};
    rig_refuse(k->pump, &r, SANDBOX_OUTPUT, "");
    r = (struct called){
        .c = {.mod = bad, .function = "output", .input = BYTES("100"), .limits.output_bytes = 100}};
    rig_call(k->pump, &r);
    assert_int_equal(r.status, 0);
    assert_int_equal(r.output.n, 100);
    rig_end(&r);
    ops->drop(m);
    ops->drop(bad);
}

// Many at once, ended in any order, each once; a module that is dropped while it is called lives
// on.
static void kit_many(struct kit *k)
{
    enum { MANY = 40 };
    const struct sandbox_ops *ops = k->pump->sandbox->ops;
    struct sandbox_mod *m = rig_bytes(k->pump, k->echo);
    struct called *r = mem_array(MANY, sizeof *r);
    char text[MANY][24];
    for (int i = 0; i < MANY; i++) {
        (void)snprintf(text[i], sizeof text[i], "call %d", i);
        r[i].c = (struct sandbox_call){.mod = m,
                                       .function = "echo",
                                       .input = bytes_of(text[i]),
                                       .pool = bytes_of(i % 2 ? "odd" : NULL)};
        rig_start(k->pump, &r[i]);
    }
    ops->drop(m);
    for (int i = 0; i < MANY; i++) {
        pump_until(k->pump, &r[i].done);
        assert_int_equal(r[i].status, 0);
        assert_string_equal(rig_output(&r[i]), text[i]);
        rig_end(&r[i]);
    }
    mem_free(r);
}

static void kit_cancel(struct kit *k)
{
    const struct sandbox_ops *ops = k->pump->sandbox->ops;
    struct sandbox_mod *m = rig_bytes(k->pump, k->loop);
    struct called r[5] = {0};
    for (int i = 0; i < 5; i++) { // some run, some wait
        r[i].c = (struct sandbox_call){.mod = m, .function = "loop_forever"};
        rig_start(k->pump, &r[i]);
    }
    for (int i = 0; i < 5; i++)
        ops->cancel(k->pump->sandbox, &r[i].c);
    for (int i = 0; i < 5; i++) {
        assert_false(r[i].done); // never from inside
    }
    for (int i = 0; i < 5; i++) {
        pump_until(k->pump, &r[i].done);
        assert_int_equal(r[i].status, E_CANCELLED);
        assert_int_equal(r[i].kind, SANDBOX_CANCELLED);
        rig_end(&r[i]);
    }
    ops->drop(m);
}

static void sandbox_kit(struct kit *k)
{
    kit_compile(k);
    kit_calls(k);
    kit_many(k);
    if (k->ends_loops)
        kit_cancel(k);
}

#endif
