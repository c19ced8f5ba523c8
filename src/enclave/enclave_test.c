// enclave_test.c: the port by wasmtime: the kit, what is not there, pools, limits told, the end
// with calls running. SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/log.h"
#include "enclave/sandbox_kit_rig.h"

static struct buf guest_bytes(const char *name)
{
    char path[256];
    struct buf b;
    struct err e = {0};
    buf_init(&b, ENCLAVE_CODE_BYTES);
    (void)snprintf(path, sizeof path, "build/guests/%s.wasm", name);
    if (file_read(path, &b, &e) != 0)
        fail_msg("%s", e.text);
    return b;
}

#define NEEDS                                                                                      \
    (void)state;                                                                                   \
    if (!rig_has_library() || !rig_has_guests())                                                   \
    skip()

static void kit(void **state)
{
    NEEDS;
    struct pump p;
    rig_open(&p, NULL);
    struct buf echo = guest_bytes("echo"), bad = guest_bytes("bad"), loop = guest_bytes("loop");
    struct kit k = {&p, buf_bytes(&echo), buf_bytes(&bad), buf_bytes(&loop), true};
    sandbox_kit(&k);
    buf_fini(&echo);
    buf_fini(&bad);
    buf_fini(&loop);
    rig_close(&p);
}

// Nothing is loaded, no thread is there, until the first module.
static void unused(void **state)
{
    NEEDS;
    struct pump p;
    struct enclave_stats s;
    rig_open(&p, NULL);
    enclave_stats(p.sandbox, &s);
    assert_false(s.loaded);
    assert_string_equal(s.library, "");
    rig_close(&p);
    rig_open(&p, NULL);
    p.sandbox->ops->drop(rig_guest(&p, "echo"));
    enclave_stats(p.sandbox, &s);
    assert_true(s.loaded);
    assert_int_equal(s.compiled, 1);
    rig_close(&p);
}

static void without_library(void **state)
{
    (void)state;
    struct pump p;
    struct compiled c = {0};
    // One that is not there, and one that is something else.
    const char *const libraries[] = {"/nonexistent/libwasmtime.so", "/proc/self/exe"};
    const char *const words[] = {"cannot be loaded", ""};
    for (size_t i = 0; i < 2; i++) {
        rig_open(&p, &(struct enclave_args){.library = libraries[i]});
        c = rig_compile(&p, BYTES("\0asm\1\0\0\0"));
        assert_int_equal(c.status, E_UNSUPPORTED);
        assert_non_null(strstr(c.err.text, words[i]));
        rig_close(&p);
    }
    struct sandbox *s = enclave_disabled();
    struct err e = {0};
    assert_string_equal(s->ops->name, "disabled");
    assert_int_equal(s->ops->compile(s, &c.x, &e), E_UNSUPPORTED);
    assert_true(e.n > 20);
    assert_int_equal(s->ops->call(s, NULL, &e), E_UNSUPPORTED);
    assert_false(s->ops->has(NULL, "x"));
    // Where none is found the text says how to get it.
    assert_int_equal(setenv("PLEXUS_WASMTIME", "/nonexistent", 1), 0);
    char path[512];
    e = (struct err){0};
    assert_int_equal(enclave_find(path, sizeof path, &e), E_UNAVAILABLE);
    assert_non_null(strstr(e.text, "PLEXUS_WASMTIME"));
    assert_int_equal(s->ops->compile(s, &c.x, &e), E_UNSUPPORTED);
    assert_int_equal(unsetenv("PLEXUS_WASMTIME"), 0);
}

// Instances are shared by calls of one name only, and never after a bad end.
static void pools(void **state)
{
    NEEDS;
    struct pump p;
    struct enclave_stats s;
    rig_open(&p, &(struct enclave_args){.workers = 1, .idle_max = 2});
    struct sandbox_mod *m = rig_guest(&p, "globals"), *bad = rig_guest(&p, "bad");
    rig_expect(&p, m, "globals", "", "a", "{\"count\":0}");
    rig_expect(&p, m, "globals", "", "a", "{\"count\":1}");
    rig_expect(&p, m, "globals", "", "b", "{\"count\":0}");
    rig_expect(&p, m, "globals", "", "", "{\"count\":0}");
    rig_expect(&p, m, "globals", "", "a", "{\"count\":2}");
    rig_expect(&p, m, "globals", "", "c",
               "{\"count\":0}"); // two are kept: b's was used longest ago
    rig_expect(&p, m, "globals", "", "b", "{\"count\":0}");
    enclave_stats(p.sandbox, &s);
    assert_int_equal(s.idle, 2);
    assert_true(s.memory_bytes > 0);
    // A fresh one, and a recycled memory, begin with zeros.
    for (int i = 0; i < 4; i++)
        rig_expect(&p, bad, "untouched", "", NULL, "");
    struct called r = {.c = {.mod = bad, .function = "divide", .pool = BYTES("a")}};
    rig_refuse(&p, &r, SANDBOX_TRAP, "division by zero");
    r = (struct called){
        .c = {.mod = bad, .function = "returns", .input = BYTES("1"), .pool = BYTES("a")}};
    rig_refuse(&p, &r, SANDBOX_GUEST_ERROR, "returned 1");
    r = (struct called){.c = {.mod = bad, .function = "untouched", .pool = BYTES("a")}};
    rig_call(&p, &r); // of the instance that said an error: it is whole, and was not touched yet
    assert_int_equal(r.status, 0);
    rig_end(&r);
    r = (struct called){.c = {.mod = bad, .function = "untouched", .pool = BYTES("a")}};
    rig_refuse(&p, &r, SANDBOX_GUEST_ERROR, "somebody was here"); // it was itself
    p.sandbox->ops->drop(m);
    p.sandbox->ops->drop(bad);
    rig_close(&p);
}

// The same bytes are compiled once, also when nobody held them for a while.
static void same_code(void **state)
{
    NEEDS;
    struct pump p;
    struct enclave_stats s;
    rig_open(&p, NULL);
    struct sandbox_mod *a = rig_guest(&p, "echo"), *b = rig_guest(&p, "echo");
    assert_ptr_equal(a, b);
    p.sandbox->ops->drop(a);
    p.sandbox->ops->drop(b);
    p.sandbox->ops->drop(rig_guest(&p, "echo"));
    enclave_stats(p.sandbox, &s);
    assert_int_equal(s.compiled, 1);
    assert_int_equal(s.modules, 1);
    rig_close(&p);
}

static void queue_full(void **state)
{
    NEEDS;
    struct pump p;
    rig_open(&p, &(struct enclave_args){.workers = 1, .queue_max = 2});
    struct sandbox_mod *m = rig_guest(&p, "loop");
    struct called r[8] = {0};
    struct err e = {0};
    int started = 0, rc = 0;
    for (; started < 8; started++) {
        r[started].c = (struct sandbox_call){
            .mod = m, .function = "loop_forever", .done = called, .user = &r[started]};
        buf_init(&r[started].output, 1);
        rc = p.sandbox->ops->call(p.sandbox, &r[started].c, &e);
        if (rc != 0)
            break;
    }
    assert_int_equal(rc, E_FULL);
    assert_in_range(started, 2, 3);
    p.sandbox->ops->drop(m);
    // The end of the enclave ends what runs and what waits.
    enclave_free(p.sandbox);
    for (int i = 0; i < started; i++) {
        assert_true(r[i].done);
        assert_int_equal(r[i].status, E_CANCELLED);
        rig_end(&r[i]);
    }
    lock_free(p.lock);
    assert_int_equal(mem_live(), 0);
}

static void logs(void **state)
{
    NEEDS;
    struct pump p;
    rig_open(&p, NULL);
    struct sandbox_mod *bad = rig_guest(&p, "bad");
    struct called r = {.c = {.mod = bad, .function = "prints"}};
    rig_call(&p, &r);
    assert_int_equal(r.status, 0);
    assert_int_equal(r.lines, 3);
    assert_string_equal(r.line[0].text, "one");
    assert_string_equal(r.line[1].text, "two");
    assert_string_equal(r.line[2].text, "three");
    assert_int_equal(r.line[0].level, LOG_INFO);
    rig_end(&r);
    r = (struct called){
        .c = {.mod = bad, .function = "logs", .input = BYTES("500"), .limits.log_lines = 20}};
    rig_call(&p, &r);
    assert_int_equal(r.status, 0);
    assert_int_equal(r.lines, 20);
    assert_int_equal(r.used.log_lines, 500);
    rig_end(&r);
    p.sandbox->ops->drop(bad);
    rig_close(&p);
}

static void kinds(void **state)
{
    (void)state;
    for (int i = 0; i <= SANDBOX_CANCELLED; i++)
        assert_string_not_equal(enclave_kind((enum sandbox_kind)i), "unknown");
    assert_string_equal(enclave_kind((enum sandbox_kind)99), "unknown");
}

// A host function whose type cannot be said in i32 and i64.
static int never(void *user, struct enclave_guest *g, const uint64_t *args, uint64_t *ret,
                 struct err *e)
{
    (void)user;
    (void)g;
    (void)args;
    (void)ret;
    return err_set(e, E_INTERNAL, "never called");
}

static void bad_function(void **state)
{
    NEEDS;
    struct pump p;
    static const char *const types[] = {"f>I", "I", "I>II"};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        struct enclave_function f = {.name = "f", .type = types[i], .fn = never};
        rig_open(&p, &(struct enclave_args){.functions = &f, .nfunctions = 1});
        struct compiled c = rig_compile(&p, BYTES("\0asm\1\0\0\0"));
        assert_int_equal(c.status, E_INVALID);
        rig_close(&p);
    }
    struct sandbox *s;
    assert_int_equal(enclave_new(&s, &(struct enclave_args){0}, NULL), E_INVALID);
}

// With wasmtime's signal handlers, as the node has it: in a process of its own, without cmocka's.
static int with_signals(void)
{
    static const struct {
        const char *guest, *function;
        enum sandbox_kind kind;
    } rows[] = {{"bad", "divide", SANDBOX_TRAP},
                {"bad", "outside", SANDBOX_TRAP},
                {"bad", "deep", SANDBOX_STACK},
                {"unreachable", "do_unreachable", SANDBOX_TRAP},
                {"bad", "untouched", SANDBOX_OK}};
    int bad = 0;
    struct pump p;
    rig_signals = true;
    rig_open(&p, NULL);
    for (size_t i = 0; i < 2 * (sizeof rows / sizeof *rows); i++) {
        size_t row = i % (sizeof rows / sizeof *rows);
        struct sandbox_mod *m = rig_guest(&p, rows[row].guest);
        struct called r = {.c = {.mod = m, .function = rows[row].function}};
        rig_call(&p, &r);
        if (r.kind != rows[row].kind) {
            fprintf(stderr, "%s: %s: %s\n", rows[row].function, enclave_kind(r.kind), r.text);
            bad = 1;
        }
        rig_end(&r);
        p.sandbox->ops->drop(m);
    }
    enclave_free(p.sandbox);
    lock_free(p.lock);
    return bad;
}

static const char *self;

static void signals(void **state)
{
    NEEDS;
    char command[4200];
    (void)snprintf(command, sizeof command, "'%s' signals", self);
    assert_int_equal(system(command), 0);
}

int main(int argc, char **argv)
{
    self = argv[0];
    if (argc > 1 && strcmp(argv[1], "signals") == 0)
        return with_signals();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_library), // before the library is loaded, once for the process
        cmocka_unit_test(kit),
        cmocka_unit_test(unused),
        cmocka_unit_test(pools),
        cmocka_unit_test(same_code),
        cmocka_unit_test(queue_full),
        cmocka_unit_test(logs),
        cmocka_unit_test(kinds),
        cmocka_unit_test(bad_function),
        cmocka_unit_test(signals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
