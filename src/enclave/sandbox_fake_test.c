// sandbox_fake_test.c: the tests' second sandbox passes the port's kit, and fails when it is told
// to. SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "enclave/sandbox_kit_rig.h"
#include "enclave/sandbox_rig.h"

#define RUN(name)                                                                                  \
    static enum sandbox_kind name(struct sandbox_call *c, struct buf *out, char *text, size_t n)

RUN(echo)
{
    (void)text;
    (void)n;
    (void)buf_put(out, c->input);
    return SANDBOX_OK;
}

RUN(returns)
{
    (void)out;
    (void)snprintf(text, n, "the function returned %.*s", BYTES_FMT(c->input));
    return SANDBOX_GUEST_ERROR;
}

RUN(error)
{
    (void)out;
    (void)c;
    (void)snprintf(text, n, "the guest's own words");
    return SANDBOX_GUEST_ERROR;
}

RUN(output)
{
    uint64_t count = 0;
    (void)text;
    (void)n;
    (void)bytes_u64(c->input, &count);
    for (uint64_t i = 0; i < count; i++)
        (void)buf_chr(out, 0);
    return SANDBOX_OK;
}

static const struct fake_function functions[] = {{"echo", echo},         {"returns", returns},
                                                 {"error", error},       {"output", output},
                                                 {"loop_forever", echo}, {NULL, NULL}};

static void kit(void **state)
{
    (void)state;
    struct sandbox_fake f;
    sandbox_fake_init(&f, functions);
    struct pump p = {.sandbox = &f.base, .turn = sandbox_fake_turn, .lock = lock_new()};
    f.wake = pump_wake;
    f.user = &p;
    struct bytes module = BYTES("\0asm\1\0\0\0");
    struct kit k = {.pump = &p, .echo = module, .bad = module, .loop = module, .ends_loops = true};
    sandbox_kit(&k);
    assert_int_equal(f.modules, 0);
    lock_free(p.lock);
    assert_int_equal(mem_live(), 0);
}

static void faults(void **state)
{
    (void)state;
    struct sandbox_fake f;
    sandbox_fake_init(&f, functions);
    struct pump p = {.sandbox = &f.base, .turn = sandbox_fake_turn, .lock = lock_new()};
    f.wake = pump_wake;
    f.user = &p;
    f.fail_in = 1;
    f.fail_status = E_NOMEM;
    assert_int_equal(rig_compile(&p, BYTES("\0asm\1\0\0\0")).status, E_NOMEM);
    struct sandbox_mod *m = rig_bytes(&p, BYTES("\0asm\1\0\0\0"));
    f.fail_in = 2;
    f.fail_status = E_MANIFEST;
    f.fail_kind = SANDBOX_TIMEOUT;
    rig_expect(&p, m, "echo", "a", NULL, "a");
    struct called r = {.c = {.mod = m, .function = "echo"}};
    rig_refuse(&p, &r, SANDBOX_TIMEOUT, "fails");
    f.refuse = E_FULL;
    r = (struct called){.c = {.mod = m, .function = "echo"}};
    assert_int_equal(f.base.ops->call(&f.base, &r.c, NULL), E_FULL);
    f.refuse = 0;
    f.silent = true;
    r = (struct called){.c = {.mod = m, .function = "echo"}};
    rig_start(&p, &r);
    pump_turn(&p, 1);
    assert_false(r.done);
    f.base.ops->cancel(&f.base, &r.c);
    pump_until(&p, &r.done);
    assert_int_equal(r.status, E_CANCELLED);
    rig_end(&r);
    f.base.ops->drop(m);
    lock_free(p.lock);
    assert_int_equal(mem_live(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(kit), cmocka_unit_test(faults)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
