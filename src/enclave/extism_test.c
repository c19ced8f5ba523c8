// extism_test.c: the cases of Extism's own runtime tests, with guests from our own source, to the
// same results; the kernel's blocks; and plugins made with official PDKs, where their toolchains
// built them. SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/log.h"
#include "enclave/enclave_priv.h"
#include "enclave/enclave_rig.h"

#define NEEDS                                                                                      \
    (void)state;                                                                                   \
    if (!rig_has_library() || !rig_has_guests())                                                   \
    skip()

// ---- functions of the host, as Extism's tests have them -----------------------------------------

static int hello_world(void *user, struct enclave_guest *g, const uint64_t *args, uint64_t *ret,
                       struct err *e)
{
    (void)user;
    (void)e;
    *ret = enclave_give(g, enclave_block(g, args[0]));
    return 0;
}

static int set_error(void *user, struct enclave_guest *g, const uint64_t *args, uint64_t *ret,
                     struct err *e)
{
    (void)user;
    *ret = args[0];
    enclave_error(g, BYTES("TEST"));
    (void)e;
    return enclave_call_user(g) ? 0 : E_INTERNAL; // the call's user is there
}

static int bail(void *user, struct enclave_guest *g, const uint64_t *args, uint64_t *ret,
                struct err *e)
{
    (void)user;
    (void)args;
    (void)ret;
    enclave_error(g, BYTES("TEST"));
    return err_set(e, E_INTERNAL, "Error");
}

static int fails(void *user, struct enclave_guest *g, const uint64_t *args, uint64_t *ret,
                 struct err *e)
{
    (void)user;
    (void)g;
    (void)args;
    (void)ret;
    return err_set(e, E_INTERNAL, "cannot do that");
}

static int context(void *user, struct enclave_guest *g, const uint64_t *args, uint64_t *ret,
                   struct err *e)
{
    (void)args;
    (void)e;
    *ret = enclave_give(g, bytes_of(user));
    return 0;
}

static int shout(void *user, struct enclave_guest *g, const uint64_t *args, uint64_t *ret,
                 struct err *e)
{
    char text[64];
    (void)user;
    (void)e;
    struct bytes in = bytes_first(enclave_block(g, args[0]), sizeof text);
    for (size_t i = 0; i < in.n; i++)
        text[i] = (char)(in.p[i] >= 'a' && in.p[i] <= 'z' ? in.p[i] - 32 : in.p[i]);
    *ret = enclave_give(g, (struct bytes){text, in.n});
    return 0;
}

static void open_with(struct pump *p, struct enclave_function *f)
{
    rig_open(p, &(struct enclave_args){.functions = f, .nfunctions = 1});
}

static char *repeat(const char *text, size_t n)
{
    size_t length = strlen(text);
    char *p = mem_alloc(n * length + 1);
    for (size_t i = 0; i < n; i++)
        memcpy(p + i * length, text, length);
    p[n * length] = '\0';
    return p;
}

// ---- the cases ----------------------------------------------------------------------------------

static void it_works(void **state)
{
    NEEDS;
    struct pump p;
    struct enclave_function f = {.name = "hello_world", .type = "I>I", .fn = hello_world};
    open_with(&p, &f);
    struct sandbox_mod *m = rig_guest(&p, "code_functions");
    char *in = repeat("aeiouAEIOU____________________________________&smtms_y?", 1182);
    for (int i = 0; i < 20; i++)
        rig_expect(&p, m, "count_vowels", in, "warm", "{\"count\":11820}");
    rig_expect(&p, m, "count_vowels", "this is a test aaa", NULL, "{\"count\":7}");
    mem_free(in);
    p.sandbox->ops->drop(m);
    rig_close(&p);
}

static void code(void **state) // config, vars
{
    NEEDS;
    struct pump p;
    rig_open(&p, NULL);
    struct sandbox_mod *m = rig_guest(&p, "code");
    rig_expect(&p, m, "count_vowels", "abc123", NULL,
               "{\"count\": 1, \"config\": \"<unset by host>\", \"a\": \"this is var a\"}");
    struct val *config = val_put_cstr(val_obj(), "thing", val_cstr("hello"));
    struct called r = {.c = {.mod = m,
                             .function = "count_vowels",
                             .input = BYTES("hello"),
                             .grants = {.config = config}}};
    rig_call(&p, &r);
    assert_string_equal(rig_output(&r),
                        "{\"count\": 2, \"config\": \"hello\", \"a\": \"this is var a\"}");
    rig_end(&r);
    val_unref(config);
    p.sandbox->ops->drop(m);
    rig_close(&p);
}

static void many_instantiations(void **state) // 10,001: a store of wasmtime ends at 10,000
{
    NEEDS;
    struct pump p;
    rig_open(&p, NULL);
    struct sandbox_mod *m = rig_guest(&p, "globals");
    struct called r;
    for (int i = 0; i < 3000; i++)
        rig_expect(&p, m, "globals", "", NULL, "{\"count\":0}");
    for (int i = 0; i < 10001; i++) {
        char want[32];
        struct sandbox_call c = {.mod = m, .function = "globals", .pool = BYTES("one")};
        struct wasm_job j;
        wasm_job_init(&j, &c);
        wasm_call(&j);
        (void)snprintf(want, sizeof want, "{\"count\":%d}", i);
        assert_true(bytes_is(j.output, want));
        wasm_job_fini(&j);
    }
    r = (struct called){.c = {.mod = m, .function = "globals", .pool = BYTES("one")}};
    rig_call(&p, &r);
    assert_string_equal(rig_output(&r), "{\"count\":10001}");
    rig_end(&r);
    p.sandbox->ops->drop(m);
    rig_close(&p);
}

static void reflects(void **state)
{
    NEEDS;
    struct pump p;
    struct enclave_function f = {.name = "host_reflect", .type = "I>I", .fn = hello_world};
    open_with(&p, &f);
    struct sandbox_mod *m = rig_guest(&p, "reflect");
    char *big = repeat("a", 65540);
    for (size_t i = 1; i < 65540; i += i < 300 ? 1 : 977) {
        struct called r = {
            .c = {.mod = m, .function = "reflect", .input = {big, i}, .pool = BYTES("x")}};
        rig_call(&p, &r);
        assert_int_equal(r.status, 0);
        assert_true(bytes_eq(buf_bytes(&r.output), (struct bytes){big, i}));
        rig_end(&r);
    }
    mem_free(big);
    p.sandbox->ops->drop(m);
    rig_close(&p);
    f = (struct enclave_function){
        .name = "host_reflect", .type = "I>I", .fn = context, .user = (void *)"hello world"};
    open_with(&p, &f);
    m = rig_guest(&p, "reflect");
    rig_expect(&p, m, "reflect", "anything, really", NULL, "hello world");
    p.sandbox->ops->drop(m);
    rig_close(&p);
}

static void errors(void **state)
{
    NEEDS;
    static const struct {
        int (*fn)(void *, struct enclave_guest *, const uint64_t *, uint64_t *, struct err *);
        enum sandbox_kind kind;
        const char *words;
    } rows[] = {{set_error, SANDBOX_GUEST_ERROR, "TEST"},
                {bail, SANDBOX_GUEST_ERROR, "TEST"},
                {fails, SANDBOX_TRAP, "hello_world: cannot do that"}};
    struct pump p;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct enclave_function f = {.name = "hello_world", .type = "I>I", .fn = rows[i].fn};
        open_with(&p, &f);
        struct sandbox_mod *m = rig_guest(&p, "code_functions");
        struct called r = {.c = {.mod = m, .function = "count_vowels", .input = BYTES("aaa")}};
        rig_refuse(&p, &r, rows[i].kind, rows[i].words);
        p.sandbox->ops->drop(m);
        rig_close(&p);
    }
    // A function that the host does not have is said when the module is made.
    struct buf b;
    buf_init(&b, 1 << 20);
    rig_open(&p, NULL);
    assert_int_equal(file_read("build/guests/code_functions.wasm", &b, NULL), 0);
    struct compiled c = rig_compile(&p, buf_bytes(&b));
    assert_int_equal(c.status, E_MANIFEST);
    assert_non_null(strstr(c.err.text, "hello_world"));
    buf_fini(&b);
    rig_close(&p);
}

static void memory_max(void **state) // an input of two pages, and 16 or 17 of memory
{
    NEEDS;
    struct pump p;
    rig_open(&p, NULL);
    struct sandbox_mod *m = rig_guest(&p, "code");
    char *in = repeat("a", 131072);
    uint32_t enough = 0;
    for (uint32_t pages = 1; pages < 17 && !enough; pages++) {
        struct called r = {.c = {.mod = m,
                                 .function = "count_vowels",
                                 .input = bytes_of(in),
                                 .limits = {.pages = pages}}};
        rig_call(&p, &r);
        if (r.status == 0) {
            enough = pages;
            assert_int_equal(r.used.pages, pages); // with one less it failed
        } else if (r.kind != SANDBOX_MEMORY) {
            assert_int_equal(r.kind, SANDBOX_GUEST_ERROR); // it noticed itself
            assert_non_null(strstr(r.text, "memory"));
        }
        rig_end(&r);
    }
    assert_in_range(enough, 4, 16);
    rig_expect(&p, m, "count_vowels", in, NULL, NULL); // and without a limit of its own
    mem_free(in);
    p.sandbox->ops->drop(m);
    rig_close(&p);
}

static void fuel(void **state)
{
    NEEDS;
    struct pump p;
    rig_open(&p, NULL);
    struct sandbox_mod *m = rig_guest(&p, "loop"), *echo = rig_guest(&p, "echo");
    for (int i = 0; i < 50; i++) {
        struct called r = {.c = {.mod = m, .function = "loop_forever", .limits = {.fuel = 10000}}};
        rig_call(&p, &r);
        assert_int_equal(r.kind, SANDBOX_FUEL);
        assert_true(r.used.fuel > 0 && r.used.fuel <= 10000);
        rig_end(&r);
    }
    struct called r = {
        .c = {.mod = echo, .function = "echo", .input = BYTES("x"), .limits = {.fuel = 1000000}}};
    rig_call(&p, &r);
    assert_int_equal(r.status, 0);
    assert_in_range(r.used.fuel, 1, 5000);
    rig_end(&r);
    p.sandbox->ops->drop(m);
    p.sandbox->ops->drop(echo);
    rig_close(&p);
}

static void small_ones(void **state)
{
    NEEDS;
    struct pump p;
    rig_open(&p, NULL);
    static const struct {
        const char *guest, *function, *input, *output;
    } rows[] = {{"echo", "echo", "an input", "an input"},
                {"consume", "consume", "an input", ""},
                {"allocations", "allocations", "", ""},
                {"empty", "test", "", ""},
                {"echo", "echo", "", ""}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sandbox_mod *m = rig_guest(&p, rows[i].guest);
        rig_expect(&p, m, rows[i].function, rows[i].input, NULL, rows[i].output);
        p.sandbox->ops->drop(m);
    }
    struct sandbox_mod *m = rig_guest(&p, "unreachable");
    struct called r = {.c = {.mod = m, .function = "do_unreachable"}};
    rig_refuse(&p, &r, SANDBOX_TRAP, "unreachable code reached in do_unreachable");
    p.sandbox->ops->drop(m);
    m = rig_guest(&p, "upper"); // for other modules: not a tool
    assert_false(p.sandbox->ops->has(m, "host_reflect"));
    p.sandbox->ops->drop(m);
    rig_close(&p);
}

static void kitchensink(void **state)
{
    NEEDS;
    struct pump p;
    struct enclave_function f = {.name = "shout", .type = "I>I", .fn = shout};
    open_with(&p, &f);
    struct sandbox_mod *m = rig_guest(&p, "kitchensink");
    struct val *config = val_put_cstr(val_obj(), "greeting", val_cstr("hi"));
    static const char *const outputs[] = {"hi ABC -", "hi ABC abc"};
    for (int i = 0; i < 2; i++) {
        struct called r = {.c = {.mod = m,
                                 .function = "everything",
                                 .input = BYTES("abc"),
                                 .pool = BYTES("x"),
                                 .grants = {.config = config}}};
        rig_call(&p, &r);
        assert_string_equal(rig_output(&r), outputs[i]);
        assert_int_equal(r.lines, 4);
        assert_int_equal(r.line[0].level, LOG_DEBUG);
        assert_int_equal(r.line[3].level, LOG_ERROR);
        assert_string_equal(r.line[3].text, "error line");
        rig_end(&r);
    }
    rig_expect(&p, m, "forget", "", "x", "");
    rig_expect(&p, m, "everything", "abc", "x", "- ABC -");
    val_unref(config);
    p.sandbox->ops->drop(m);
    rig_close(&p);
}

// A folder that may only be read.
static void folders(void **state)
{
    NEEDS;
    struct pump p;
    struct err e = {0};
    char folder[] = "/tmp/enclave-test-XXXXXX", path[128];
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/data.txt", folder);
    assert_int_equal(file_write_atomic(path, BYTES("hello world!"), 0600, &e), 0);
    rig_open(&p, NULL);
    struct sandbox_mod *m = rig_guest(&p, "read_write");
    struct sandbox_dir dir = {folder, "/data", false};
    static const struct {
        const char *function, *path;
        bool write;
        const char *output; // NULL: an error
    } rows[] = {{"try_read", "data.txt", false, "hello world!"},
                {"try_write", "data.txt", false, NULL},
                {"try_write", "new.txt", false, NULL},
                {"try_read", "../../etc/hostname", false, NULL},
                {"try_read", "out", false, NULL}, // a link out of it
                {"folders", "", false, "1"},
                {"try_write", "data.txt", true, "written"},
                {"try_read", "data.txt", true, "hello world 2"}};
    char out[128];
    (void)snprintf(out, sizeof out, "%s/out", folder);
    assert_int_equal(symlink("/etc/hostname", out), 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct val *config = val_put_cstr(val_obj(), "path", val_cstr(rows[i].path));
        dir.write = rows[i].write;
        struct called r = {.c = {.mod = m,
                                 .function = rows[i].function,
                                 .input = BYTES("hello world 2"),
                                 .pool = BYTES("x"),
                                 .grants = {.dirs = &dir, .ndirs = 1, .config = config}}};
        rig_call(&p, &r);
        if ((r.status == 0) != (rows[i].output != NULL))
            fail_msg("%s %s: %s", rows[i].function, rows[i].path, r.text);
        if (rows[i].output)
            assert_memory_equal(rig_output(&r), rows[i].output, strlen(rows[i].output));
        rig_end(&r);
        val_unref(config);
    }
    dir.host = "/nonexistent";
    struct called r = {
        .c = {.mod = m, .function = "folders", .grants = {.dirs = &dir, .ndirs = 1}}};
    rig_call(&p, &r);
    assert_int_equal(r.status, E_NOTFOUND);
    rig_end(&r);
    p.sandbox->ops->drop(m);
    rig_close(&p);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(unlink(out), 0);
    assert_int_equal(rmdir(folder), 0);
}

// ---- the kernel's blocks, as Extism's kernel tests ask for them ---------------------------------

static void blocks(void **state)
{
    (void)state;
    struct wasm_memories m = {0};
    struct wasm_kernel k;
    bool refused = false;
    assert_int_equal(wasm_memories_init(&m), 0);
    assert_int_equal(wasm_kernel_init(&k, &m), 0);
#define ALLOC(n) wasm_kernel_alloc(&k, (n), 200, &refused)
    assert_int_equal(ALLOC(0), 0);
    uint64_t a = ALLOC(65535), first = a;
    assert_int_equal(wasm_kernel_length(&k, a), 65535);
    for (uint64_t i = 1; i < 5; i++)
        assert_int_equal(wasm_kernel_length(&k, a + i), 0);
    wasm_kernel_free(&k, a);
    assert_int_equal(ALLOC(65535), first); // used again
    wasm_kernel_free(&k, a);
    assert_int_equal(ALLOC(65535 - 24), first);
    assert_int_equal(wasm_kernel_length(&k, first), 65535 - 24);
    uint64_t behind = ALLOC(30000); // so that the next free is not of the last block
    wasm_kernel_free(&k, first);
    assert_int_equal(wasm_kernel_length(&k, first), 0);
    wasm_kernel_free(&k, first); // twice, and of nothing: harmless
    wasm_kernel_free(&k, 12345678);
    uint64_t pages = k.slot->bytes;
    assert_int_equal(ALLOC(65000), first); // a freed one before another page
    assert_int_equal(k.slot->bytes, pages);
    assert_int_equal(wasm_kernel_length(&k, behind), 30000);
    for (uint64_t i = 0; i < 64; i++) {
        uint64_t p = ALLOC(64 - i);
        assert_int_equal(wasm_kernel_length(&k, p), 64 - i);
        wasm_kernel_free(&k, p);
    }
    a = ALLOC(6553600);
    assert_int_equal(wasm_kernel_length(&k, a), 6553600);
    assert_false(refused);
    assert_int_equal(ALLOC(200ull * 65536), 0);
    assert_true(refused);
    assert_int_equal(ALLOC(UINT64_MAX), 0);
    assert_null(wasm_kernel_part(&k, k.slot->bytes - 7, 8).p);
    assert_non_null(wasm_kernel_part(&k, k.slot->bytes - 8, 8).p);
    assert_null(wasm_kernel_part(&k, UINT64_MAX, 8).p);
    memset(k.slot->base + a, 7, 6553600);
    wasm_kernel_reset(&k);
    assert_int_equal(ALLOC(65535), first);
    for (size_t i = 0; i < 65535; i++)
        assert_int_equal(k.slot->base[first + i], 0); // and nobody's bytes
    wasm_kernel_fini(&k);
    wasm_memories_fini(&m);
    assert_int_equal(mem_live(), 0);
}

// ---- official PDKs ------------------------------------------------------------------------------

static void pdk(const char *path)
{
    struct pump p;
    if (access(path, R_OK) != 0)
        skip();
    rig_open(&p, NULL);
    struct sandbox_mod *m = rig_file(&p, path);
    struct val *config = val_put_cstr(val_obj(), "thing", val_cstr("set"));
    for (int i = 0; i < 3; i++) {
        struct called r = {.c = {.mod = m,
                                 .function = "count_vowels",
                                 .input = BYTES("Hello from a PDK"),
                                 .pool = BYTES("x"),
                                 .grants = {.config = config}}};
        rig_call(&p, &r);
        if (r.status != 0)
            fail_msg("%s: %s", path, r.text);
        char want[128];
        (void)snprintf(want, sizeof want, "{\"count\":4,\"config\":\"set\",\"calls\":%d}", i + 1);
        assert_string_equal(rig_output(&r), want);
        assert_int_equal(r.lines, 1);
        assert_string_equal(r.line[0].text, "counted");
        rig_end(&r);
    }
    struct called r = {.c = {.mod = m, .function = "fail", .input = BYTES("x")}};
    rig_call(&p, &r);
    assert_int_equal(r.status, E_MANIFEST);
    if (!strstr(r.text, "no good"))
        fail_msg("%s: %s", enclave_kind(r.kind), r.text);
    rig_end(&r);
    val_unref(config);
    p.sandbox->ops->drop(m);
    rig_close(&p);
}

static void pdk_assemblyscript(void **state)
{
    NEEDS;
    pdk("build/guests/pdk_as.wasm");
}

static void pdk_rust(void **state)
{
    NEEDS;
    pdk("build/guests/pdk_rust.wasm");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_works),    cmocka_unit_test(code),
        cmocka_unit_test(reflects),    cmocka_unit_test(many_instantiations),
        cmocka_unit_test(errors),      cmocka_unit_test(memory_max),
        cmocka_unit_test(fuel),        cmocka_unit_test(small_ones),
        cmocka_unit_test(kitchensink), cmocka_unit_test(folders),
        cmocka_unit_test(blocks),      cmocka_unit_test(pdk_assemblyscript),
        cmocka_unit_test(pdk_rust)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
