// wasm_cache_test.c: compiled code on the disk: found again, refused when it is damaged, foreign or
// in a folder that others may write to; and never more than allowed. SPDX-License-Identifier:
// Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "enclave/enclave_priv.h"
#include "enclave/enclave_rig.h"

#include <dirent.h>
#include <sys/stat.h>

static char folder[64];

static int up(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/enclave-cache-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int down(void **state)
{
    (void)state;
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

// The first file of the folder that is not its key.
static bool code_file(char *ret, size_t n)
{
    DIR *d = opendir(folder);
    bool found = false;
    for (struct dirent *it; d && (it = readdir(d));)
        if (it->d_name[0] != '.' && strcmp(it->d_name, "key") != 0) {
            (void)snprintf(ret, n, "%s/%s", folder, it->d_name);
            found = true;
        }
    if (d)
        (void)closedir(d);
    return found;
}

static struct enclave_stats compile_once(void)
{
    struct pump p;
    struct enclave_stats s;
    rig_open(&p, &(struct enclave_args){.cache = folder});
    struct sandbox_mod *m = rig_guest(&p, "echo");
    rig_expect(&p, m, "echo", "works", NULL, "works");
    p.sandbox->ops->drop(m);
    enclave_stats(p.sandbox, &s);
    rig_close(&p);
    return s;
}

static void spoil(const char *path, long at, int change)
{
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, at, at < 0 ? SEEK_END : SEEK_SET), 0);
    int byte = fgetc(f);
    assert_int_equal(fseek(f, -1, SEEK_CUR), 0);
    (void)fputc(byte ^ change, f);
    (void)fclose(f);
}

static void found_again(void **state)
{
    (void)state;
    if (!rig_has_library() || !rig_has_guests())
        skip();
    struct enclave_stats s = compile_once();
    assert_int_equal(s.compiled, 1);
    assert_int_equal(s.from_cache, 0);
    s = compile_once();
    assert_int_equal(s.compiled, 0);
    assert_int_equal(s.from_cache, 1);
    char path[400];
    struct stat st;
    assert_true(code_file(path, sizeof path));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(stat(folder, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    static const long places[] = {0, 17, 40, 60, 70, 100, 5000, -1, -1000};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        assert_true(code_file(path, sizeof path));
        spoil(path, places[i], 1 << (i % 8));
        s = compile_once(); // noticed, made again, and kept again
        assert_int_equal(s.cache_refused, 1);
        assert_int_equal(s.compiled, 1);
        s = compile_once();
        assert_int_equal(s.from_cache, 1);
    }
    assert_true(code_file(path, sizeof path));
    assert_int_equal(truncate(path, 50), 0);
    assert_int_equal(compile_once().cache_refused, 1);
    assert_true(code_file(path, sizeof path));
    assert_int_equal(truncate(path, 0), 0);
    assert_int_equal(compile_once().cache_refused, 1);
    // With another key all is foreign.
    char key[400];
    (void)snprintf(key, sizeof key, "%s/key", folder);
    assert_int_equal(unlink(key), 0);
    s = compile_once();
    assert_int_equal(s.from_cache, 0);
    assert_int_equal(s.compiled, 1);
}

static void folders(void **state)
{
    (void)state;
    struct wasm_cache c;
    struct err e = {0};
    char path[128];
    assert_int_equal(chmod(folder, 0777), 0);
    assert_int_equal(wasm_cache_open(&c, folder, 1000, &e), E_SECURITY);
    wasm_cache_fini(&c);
    assert_int_equal(chmod(folder, 0700), 0);
    (void)snprintf(path, sizeof path, "%s/link", folder);
    assert_int_equal(symlink("/tmp", path), 0);
    assert_int_equal(wasm_cache_open(&c, path, 1000, &e), E_SECURITY);
    wasm_cache_fini(&c);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(wasm_cache_open(&c, "/dev/null/x", 1000, &e) < 0, 1);
    wasm_cache_fini(&c);
    assert_int_equal(wasm_cache_open(&c, NULL, 1000, &e), 0);
    wasm_cache_fini(&c);
}

static void bounded(void **state)
{
    (void)state;
    struct wasm_cache c;
    struct err e = {0};
    assert_int_equal(wasm_cache_open(&c, folder, 3000, &e), 0);
    wasm_cache_engine(&c, "/proc/self/exe", false);
    char code[900];
    memset(code, 'x', sizeof code);
    uint8_t hash[CRYPTO_SIP_LEN] = {0};
    struct buf b;
    buf_init(&b, 10000);
    for (uint8_t i = 0; i < 10; i++) {
        hash[0] = i;
        assert_int_equal(wasm_cache_put(&c, hash, 0, (struct bytes){code, sizeof code}, &e), 0);
        assert_int_equal(wasm_cache_get(&c, hash, 0, &b, &e), 0);
        assert_int_equal(b.n, sizeof code);
        buf_clear(&b);
        assert_int_equal(wasm_cache_get(&c, hash, 1, &b, &e), E_NOTFOUND);
        buf_clear(&b);
    }
    uint64_t total = 0;
    DIR *d = opendir(folder);
    for (struct dirent *it; (it = readdir(d));) {
        struct stat st;
        char path[400];
        (void)snprintf(path, sizeof path, "%s/%s", folder, it->d_name);
        if (stat(path, &st) == 0 && S_ISREG(st.st_mode))
            total += (uint64_t)st.st_size;
    }
    (void)closedir(d);
    assert_in_range(total, 1000, 3100);
    buf_fini(&b);
    wasm_cache_fini(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(found_again, up, down),
                                       cmocka_unit_test_setup_teardown(folders, up, down),
                                       cmocka_unit_test_setup_teardown(bounded, up, down)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
