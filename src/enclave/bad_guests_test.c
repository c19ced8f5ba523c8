// bad_guests_test.c: guests that loop, eat, flood, dive, trap, lie and sleep: each call ends as
// what it is, within its limits, and the host goes on. SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/rng.h"
#include "enclave/enclave_rig.h"

#define NEEDS                                                                                      \
    (void)state;                                                                                   \
    if (!rig_has_library() || !rig_has_guests())                                                   \
    skip()

static void each_kind(void **state)
{
    NEEDS;
    static const struct {
        const char *function, *input;
        enum sandbox_kind kind;
        const char *words;
        struct sandbox_limits limits;
    } rows[] = {
        {"bomb", "", SANDBOX_MEMORY, "more than 64 pages", {.pages = 64}},
        {"kernel_bomb", "", SANDBOX_MEMORY, "more than 64 pages", {.pages = 64}},
        {"bomb", "", SANDBOX_MEMORY, "more than 1024 pages", {0}},
        {"output", "11534336", SANDBOX_OUTPUT, "11534336 bytes", {0}},
        {"output", "10485761", SANDBOX_OUTPUT, "10485761 bytes", {.output_bytes = 1u << 30}},
        {"claims", "", SANDBOX_OUTPUT, "2147483648 bytes", {0}},
        {"calls", "100000", SANDBOX_HOST_CALLS, "more than 50000", {0}},
        {"calls", "11", SANDBOX_HOST_CALLS, "more than 10", {.host_calls = 10}},
        {"deep", "", SANDBOX_STACK, "call stack exhausted in deeper", {0}},
        {"outside", "", SANDBOX_TRAP, "memory access out of bounds in outside", {0}},
        {"divide", "0", SANDBOX_TRAP, "integer division by zero in divide", {0}},
        {"leave", "7", SANDBOX_EXIT, "exit code 7", {0}},
        {"error", "", SANDBOX_GUEST_ERROR, "the guest's own words", {0}},
        {"error_trap", "", SANDBOX_GUEST_ERROR, "before the trap", {0}},
        {"returns", "5", SANDBOX_GUEST_ERROR, "returned 5", {0}},
        {"sleep", "60000", SANDBOX_TIMEOUT, "longer than 20 ms", {.timeout_ms = 20}},
        {"vars", "", SANDBOX_VARS, "more than 10000 bytes", {.vars_bytes = 10000}},
        {"bad_handle", "", SANDBOX_TRAP, "invalid handle offset for config key: 12345", {0}},
        {"takes", "", SANDBOX_EXPORT, "takes parameters", {0}},
        {"gives_long", "", SANDBOX_EXPORT, "not an i32", {0}},
        {"memory", "", SANDBOX_EXPORT, "is no function", {0}},
        {"nothing", "", SANDBOX_EXPORT, "has no function nothing", {0}},
        {"random", "", SANDBOX_FUEL, "3 units of fuel", {.fuel = 3}},
        {"untouched", "", SANDBOX_MEMORY, "more than 2 pages", {.pages = 2}},
    };
    struct pump p;
    rig_open(&p, NULL);
    struct sandbox_mod *m = rig_guest(&p, "bad");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct called r = {.c = {.mod = m,
                                 .function = rows[i].function,
                                 .input = bytes_of(rows[i].input),
                                 .pool = bytes_of(i % 2 ? "again" : NULL),
                                 .limits = rows[i].limits}};
        rig_refuse(&p, &r, rows[i].kind, rows[i].words);
        rig_expect(&p, m, "everywhere", "", "again", "whole"); // and the next call is as ever
    }
    struct called r = {.c = {.mod = m, .function = "leave", .input = BYTES("0")}};
    rig_call(&p, &r); // exit code 0 is success
    assert_int_equal(r.status, 0);
    rig_end(&r);
    p.sandbox->ops->drop(m);
    rig_close(&p);
}

// Exact to the page: what guest and kernel have together is the limit, and no page more.
static void pages(void **state)
{
    NEEDS;
    struct pump p;
    rig_open(&p, NULL);
    struct sandbox_mod *m = rig_guest(&p, "bad");
    for (uint32_t limit = 10; limit <= 40; limit += 5) {
        for (uint32_t over = 0; over < 2; over++) {
            char want[16];
            (void)snprintf(want, sizeof want, "%u", limit - 1 + over); // one is the kernel's
            struct called r = {.c = {.mod = m,
                                     .function = "grow",
                                     .input = bytes_of(want),
                                     .pool = BYTES("x"),
                                     .limits = {.pages = limit}}};
            rig_call(&p, &r);
            assert_int_equal(r.kind, over ? SANDBOX_GUEST_ERROR : SANDBOX_OK);
            assert_true(r.used.pages <= limit);
            if (!over)
                assert_int_equal(r.used.pages, limit);
            rig_end(&r);
        }
    }
    // An input that does not fit.
    char *big = mem_zalloc(3 * 65536);
    struct called r = {
        .c = {.mod = m, .function = "grow", .input = {big, 3 * 65536}, .limits = {.pages = 2}}};
    rig_refuse(&p, &r, SANDBOX_MEMORY, "do not fit into 2 pages");
    mem_free(big);
    p.sandbox->ops->drop(m);
    rig_close(&p);
}

// A loop is stopped soon after its time, and while others run to their end beside it. The best of
// many is judged: the machine may be busy.
static void timeouts(void **state)
{
    NEEDS;
    struct pump p;
    rig_open(&p, &(struct enclave_args){.workers = 2});
    struct sandbox_mod *loop = rig_guest(&p, "loop"), *echo = rig_guest(&p, "echo");
    uint64_t best = UINT64_MAX;
    for (int i = 0; i < 10; i++) {
        struct called r = {
            .c = {.mod = loop, .function = "loop_forever", .limits = {.timeout_ms = 20}}};
        rig_start(&p, &r);
        for (int k = 0; k < 20; k++)
            rig_expect(&p, echo, "echo", "beside it", "x", "beside it");
        pump_until(&p, &r.done);
        assert_int_equal(r.kind, SANDBOX_TIMEOUT);
        assert_non_null(strstr(r.text, "longer than 20 ms"));
        assert_true(r.used.took_us >= 20000);
        if (r.used.took_us < best)
            best = r.used.took_us;
        rig_end(&r);
    }
    assert_true(best < 22000 + 50000);
    // A sleep that ends in time.
    struct sandbox_mod *bad = rig_guest(&p, "bad");
    struct called r = {.c = {.mod = bad, .function = "sleep", .input = BYTES("10")}};
    rig_call(&p, &r);
    assert_int_equal(r.status, 0);
    assert_true(r.used.took_us >= 10000);
    rig_end(&r);
    // A sleep that is cancelled.
    r = (struct called){.c = {.mod = bad,
                              .function = "sleep",
                              .input = BYTES("600000"),
                              .limits.timeout_ms = 600000}};
    rig_start(&p, &r);
    pump_turn(&p, 20);
    p.sandbox->ops->cancel(p.sandbox, &r.c);
    pump_until(&p, &r.done);
    assert_int_equal(r.status, E_CANCELLED);
    rig_end(&r);
    p.sandbox->ops->drop(loop);
    p.sandbox->ops->drop(echo);
    p.sandbox->ops->drop(bad);
    rig_close(&p);
}

// Modules that are wrong before any function is called, as bytes.
static void modules(void **state)
{
    NEEDS;
    // (module (func $f (loop br 0)) (start $f) (func (export "t")))
    static const char start[] = "\0asm\1\0\0\0\1\4\1\x60\0\0\3\3\2\0\0\7\5\1\1t\0\1\x8\1\0\x0a\xc\2"
                                "\7\0\3\x40\x0c\0\x0b\x0b\2\0\x0b";
    // (module (import "a" "b" (func)))
    static const char import[] = "\0asm\1\0\0\0\1\4\1\x60\0\0\2\7\1\1a\1b\0\0";
    // (module (import "env" "memory" (memory 1)))
    static const char memory[] = "\0asm\1\0\0\0\2\x0f\1\3env\6memory\2\0\1";
    // (module (memory 70000)): more than 65536 pages
    static const char huge[] = "\0asm\1\0\0\0\5\5\1\0\xf0\xa2\4";
    // (module (memory 40000) (func (export "t")))
    static const char large[] = "\0asm\1\0\0\0\1\4\1\x60\0\0\3\2\1\0\5\5\1\0\xc0\xb8\2\7\5\1\1t\0\0"
                                "\x0a\4\1\2\0\x0b";
    // (module (memory i64 1))
    static const char memory64[] = "\0asm\1\0\0\0\5\3\1\4\1";
    struct pump p;
    rig_open(&p, NULL);
#define LITERAL(x) ((struct bytes){(x), sizeof(x) - 1})
    const struct {
        struct bytes code;
        const char *words;
    } wrong[] = {
        {LITERAL(import), "unknown import"},   {LITERAL(memory), "unknown import"},
        {LITERAL(huge), "cannot be compiled"}, {LITERAL(memory64), "cannot be compiled"},
        {{start, 20}, "cannot be compiled"},   {LITERAL("\0asm\2\0\0\0"), "cannot be compiled"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct compiled c = rig_compile(&p, wrong[i].code);
        assert_int_equal(c.status, E_MANIFEST);
        if (!strstr(c.err.text, wrong[i].words))
            fail_msg("%zu: expected \"%s\": %s", i, wrong[i].words, c.err.text);
    }
    struct sandbox_mod *m = rig_bytes(&p, LITERAL(start));
    struct called r = {.c = {.mod = m, .function = "t", .limits = {.timeout_ms = 10}}};
    rig_refuse(&p, &r, SANDBOX_TIMEOUT, "longer than 10 ms");
    p.sandbox->ops->drop(m);
    m = rig_bytes(&p, LITERAL(large));
    r = (struct called){.c = {.mod = m, .function = "t"}};
    rig_refuse(&p, &r, SANDBOX_MEMORY, "more than 1024 pages");
    p.sandbox->ops->drop(m);
    struct buf big;
    buf_init(&big, ENCLAVE_CODE_BYTES + 1);
    (void)buf_add(&big, "\0asm\1\0\0\0", 8);
    (void)buf_room(&big, ENCLAVE_CODE_BYTES + 1 - 8);
    big.n = ENCLAVE_CODE_BYTES + 1;
    struct compiled c = rig_compile(&p, buf_bytes(&big));
    assert_int_equal(c.status, E_MANIFEST);
    assert_non_null(strstr(c.err.text, "at most"));
    buf_fini(&big);
    rig_close(&p);
}

// Nothing is granted that was not: no folder, no network, no configuration.
static void nothing_granted(void **state)
{
    NEEDS;
    struct pump p;
    rig_open(&p, NULL);
    struct sandbox_mod *fs = rig_guest(&p, "read_write"), *http = rig_guest(&p, "http");
    rig_expect(&p, fs, "folders", "", NULL, "0");
    struct val *config = val_put_cstr(val_obj(), "path", val_cstr("/etc/hostname"));
    struct called r = {.c = {.mod = fs, .function = "try_read", .grants = {.config = config}}};
    rig_refuse(&p, &r, SANDBOX_GUEST_ERROR, "cannot open");
    r = (struct called){.c = {.mod = http,
                              .function = "http_request",
                              .input = BYTES("{\"url\":\"http://example.org\"}")}};
    rig_refuse(&p, &r, SANDBOX_DENIED, "not allowed");
    struct bytes host = BYTES("example.org"); // granted, but there is no client
    r = (struct called){.c = {.mod = http,
                              .function = "http_request",
                              .input = BYTES("{\"url\":\"http://example.org\"}"),
                              .grants = {.hosts = &host, .nhosts = 1}}};
    rig_refuse(&p, &r, SANDBOX_DENIED, "not allowed");
    val_unref(config);
    p.sandbox->ops->drop(fs);
    p.sandbox->ops->drop(http);
    rig_close(&p);
}

// Seeded changes of good modules: each is refused, or runs to some end.
static void mutated(void **state)
{
    NEEDS;
    static const char *const names[] = {"bad", "code", "read_write", "globals"};
    static const char *const functions[] = {"everywhere", "count_vowels", "folders", "globals"};
    struct rng rng;
    rng_init(&rng, 20261125);
    struct pump p;
    rig_open(&p, NULL);
    unsigned compiled_n = 0, ran = 0;
    int64_t end = time_mono_ms() + 3000;
    for (int i = 0; i < 400 && time_mono_ms() < end; i++) {
        char path[256];
        struct buf b;
        size_t which = rng_below(&rng, 4);
        buf_init(&b, 1 << 20);
        (void)snprintf(path, sizeof path, "build/guests/%s.wasm", names[which]);
        assert_int_equal(file_read(path, &b, NULL), 0);
        for (uint64_t k = 1 + rng_below(&rng, 3); k; k--)
            b.p[8 + rng_below(&rng, b.n - 8)] = (char)rng_below(&rng, 256);
        if (rng_below(&rng, 8) == 0)
            b.n = 8 + rng_below(&rng, b.n - 8);
        struct compiled c = rig_compile(&p, buf_bytes(&b));
        buf_fini(&b);
        if (c.status != 0) {
            assert_int_equal(c.status, E_MANIFEST);
            continue;
        }
        compiled_n++;
        struct called r = {.c = {.mod = c.mod,
                                 .function = functions[which],
                                 .input = BYTES("some text"),
                                 .limits = {.timeout_ms = 20, .pages = 100}}};
        rig_call(&p, &r);
        ran += r.status == 0;
        rig_end(&r);
        p.sandbox->ops->drop(c.mod);
    }
    assert_true(compiled_n > 0);
    assert_true(ran > 0);
    rig_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind), cmocka_unit_test(pages),   cmocka_unit_test(timeouts),
        cmocka_unit_test(modules),   cmocka_unit_test(mutated), cmocka_unit_test(nothing_granted)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
