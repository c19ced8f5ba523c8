// jail_test.c: options as words, the report, when it is enough, macOS' profile. What a jail holds
// is looked at in tests/tools/prims_test.py. SPDX-License-Identifier: Apache-2.0
#include "jail/jail.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void test_words(void **state)
{
    (void)state;
    static const struct jail_opts in = {
        .folder = {{"/a", true}, {"/b c", false}},
        .folders = 2,
        .cwd = "/a/x",
        .require = true,
        .bare = true,
        .network = true,
        .port = {80, 443},
        .ports = 2,
        .tmp_bytes = 1,
        .file_bytes = UINT64_MAX,
        .memory_bytes = 3,
        .processes = 4,
        .files = 5,
        .cpu_s = 6,
        .report = true,
        .hidden = "/b c/d",
        .hidden_inode = 7,
    };
    struct jail_words w;
    struct jail_opts out;
    struct err e = {0};
    char *argv[JAIL_WORDS_MAX + 3];
    assert_int_equal(jail_words(&w, &in, &e), 0);
    for (size_t i = 0; i < w.n; i++)
        argv[i] = (char *)(uintptr_t)w.word[i];
    argv[w.n] = (char *)(uintptr_t)"--";
    argv[w.n + 1] = (char *)(uintptr_t)"-r";
    argv[w.n + 2] = NULL;
    if (jail_parse(&out, argv, &e) < 0)
        fail_msg("%s", e.text);
    assert_int_equal(out.folders, 2);
    assert_string_equal(out.folder[0].path, "/a");
    assert_string_equal(out.folder[1].path, "/b c");
    assert_true(out.folder[0].write && !out.folder[1].write);
    assert_string_equal(out.cwd, "/a/x");
    assert_true(out.require && out.bare && out.network && out.report);
    assert_int_equal(out.ports, 2);
    assert_int_equal(out.port[1], 443);
    assert_true(out.tmp_bytes == 1 && out.file_bytes == UINT64_MAX && out.memory_bytes == 3);
    assert_true(out.processes == 4 && out.files == 5 && out.cpu_s == 6);
    assert_string_equal(out.hidden, "/b c/d");
    assert_true(out.hidden_inode == 7);
    assert_string_equal(out.argv[0], "-r");
}

static void test_hide(void **state)
{
    (void)state;
    char top[] = "/tmp/plexus-jail-XXXXXX", beside[JAIL_PATH_MAX + 8], real[JAIL_PATH_MAX + 1];
    struct err e = {0};
    assert_non_null(mkdtemp(top));
    assert_non_null(realpath(top, real));
    (void)snprintf(beside, sizeof beside, "%s-not", real);
    struct jail_opts o = {.folder = {{"/usr", false}, {beside, true}}, .folders = 2};
    assert_int_equal(jail_hide(&o, top, real, &e), 0);
    assert_null(o.hidden); // nothing granted has it
    *strrchr(beside, '/') = 0; // the folder above
    assert_int_equal(jail_hide(&o, top, real, &e), 0);
    assert_ptr_equal(o.hidden, real);
    assert_true(o.hidden_inode != 0);
    o.folder[1].path = real;
    assert_int_equal(jail_hide(&o, top, real, &e), E_INVALID);
    assert_int_equal(rmdir(top), 0);
    assert_int_equal(jail_hide(&o, top, real, &e), E_NOTFOUND);
}

static void test_wrong_words(void **state)
{
    (void)state;
    static const char *const rows[][3] = {
        {"-r", "relative"},
        {"-r", "/a/../b"},
        {"-w", "/a/./b"},
        {"-w", "/a//b"},
        {"-w", "/a/"},
        {"-r", "/a/.."},
        {"-r", "/a/."},
        {"-r", ""},
        {"-d", "x"},
        {"-t", "x"},
        {"-t", ""},
        {"-p", "0"},
        {"-p", "65536"},
        {"-z", "1"},
        {"x", "1"},
        {"-tt", "1"},
        {"-t"},
        {"-", "1"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct jail_opts o;
        struct err e = {0};
        char *argv[3] = {(char *)(uintptr_t)rows[i][0], (char *)(uintptr_t)rows[i][1], NULL};
        if (jail_parse(&o, argv, &e) != E_USAGE || !*e.text)
            fail_msg("%s %s is taken", rows[i][0], rows[i][1] ? rows[i][1] : "");
    }
    struct jail_opts many = {.folders = 0};
    struct err e = {0};
    char *argv[2 * JAIL_FOLDERS_MAX + 3];
    for (size_t i = 0; i <= JAIL_FOLDERS_MAX; i++) {
        argv[2 * i] = (char *)(uintptr_t)"-r";
        argv[2 * i + 1] = (char *)(uintptr_t)"/a";
    }
    argv[2 * JAIL_FOLDERS_MAX + 2] = NULL;
    assert_int_equal(jail_parse(&many, argv, &e), E_USAGE);
}

static struct jail_report all_on(void)
{
    struct jail_report r = {0};
    for (int i = 0; i < JAIL_LAYERS; i++)
        r.layer[i].standing = JAIL_ON;
    return r;
}

static void test_judge(void **state)
{
    (void)state;
    for (int i = 0; i < JAIL_LAYERS; i++) {
        struct jail_report r = all_on();
        struct err e = {0};
        assert_int_equal(jail_judge(&r, true, &e), 0);
        r.layer[i].standing = JAIL_NOT_ASKED;
        assert_int_equal(jail_judge(&r, true, &e), 0);
        r.layer[i].standing = JAIL_MISSING;
        strcpy(r.layer[i].why, "so it is");
        assert_int_equal(jail_judge(&r, true, &e), E_SECURITY);
        assert_non_null(strstr(e.text, "so it is"));
        assert_non_null(strstr(e.text, jail_layer_infos[i].title));
        assert_non_null(strstr(e.text, jail_layer_infos[i].lost));
#ifdef __linux__
        bool floor = i == JAIL_PRIVS || i == JAIL_SECCOMP;
        assert_int_equal(jail_judge(&r, false, &e), floor ? E_SECURITY : 0);
#endif
    }
    struct jail_report r = all_on();
    struct err e = {0};
    r.layer[JAIL_ROOT].standing = r.layer[JAIL_PATHS].standing = JAIL_MISSING;
    assert_int_equal(jail_judge(&r, false, &e), E_SECURITY);
}

static void test_report(void **state)
{
    (void)state;
    struct jail_report r = all_on(), back;
    struct err e = {0};
    struct buf text;
    r.layer[JAIL_NET].standing = JAIL_NOT_ASKED;
    r.layer[JAIL_USER].standing = JAIL_MISSING;
    strcpy(r.layer[JAIL_USER].why, "a \"reason\"");
    buf_init(&text, 4096);
    assert_int_equal(jail_report_write(&text, &r), 0);
    assert_int_equal(jail_report_parse(&back, buf_bytes(&text), &e), 0);
    for (int i = 0; i < JAIL_LAYERS; i++) {
        assert_int_equal(back.layer[i].standing, r.layer[i].standing);
        assert_string_equal(back.layer[i].why, r.layer[i].why);
    }
    buf_fini(&text);
    assert_true(jail_report_parse(&back, BYTES("[]"), &e) < 0);
    assert_true(jail_report_parse(&back, BYTES("{"), &e) < 0);
    assert_int_equal(jail_report_parse(&back, BYTES("{}"), &e), 0); // an older one: nothing is on
    assert_int_equal(back.layer[0].standing, JAIL_MISSING);
}

static void test_profile(void **state)
{
    (void)state;
    struct jail_opts o = {.folder = {{"/Users/a\"b\\c/work", true}, {"/Users/books", false}},
                          .folders = 2};
    struct buf out;
    buf_init(&out, 65536);
    assert_int_equal(jail_profile(&out, &o, "/opt/plexus"), 0);
    const char *text = buf_cstr(&out);
    assert_ptr_equal(strstr(text, "(version 1)\n(deny default)\n"), text);
    assert_non_null(strstr(text, "(allow file-write* (subpath \"/Users/a\\\"b\\\\c/work\"))"));
    assert_non_null(strstr(text, "(allow file-read* process-exec (subpath \"/Users/books\"))"));
    assert_null(strstr(text, "file-write* (subpath \"/Users/books\")"));
    assert_non_null(strstr(text, "(literal \"/opt/plexus\")"));
    assert_null(strstr(text, "network"));
    assert_non_null(strstr(text, "(deny file-write-setugid)"));
    long depth = 0; // parentheses outside of strings
    bool quoted = false;
    for (const char *p = text; *p; p++) {
        if (*p == '\\')
            p++;
        else if (*p == '"')
            quoted = !quoted;
        else if (!quoted)
            depth += (*p == '(') - (*p == ')');
        assert_true(depth >= 0);
    }
    assert_int_equal(depth, 0);
    buf_clear(&out);
    o.network = true;
    o.port[o.ports++] = 443;
    assert_int_equal(jail_profile(&out, &o, "/opt/plexus"), 0);
    assert_non_null(strstr(buf_cstr(&out), "(remote tcp \"*:443\")"));
    assert_null(strstr(buf_cstr(&out), "(remote ip)"));
    buf_clear(&out);
    o.bare = true;
    assert_int_equal(jail_profile(&out, &o, "/opt/plexus"), 0);
    assert_null(strstr(buf_cstr(&out), "network"));
    assert_null(strstr(buf_cstr(&out), "\"/bin\""));
    buf_fini(&out);
    buf_init(&out, 100);
    assert_int_equal(jail_profile(&out, &o, "/opt/plexus"), E_TOOBIG);
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),       cmocka_unit_test(test_hide),
        cmocka_unit_test(test_wrong_words), cmocka_unit_test(test_judge),
        cmocka_unit_test(test_report),      cmocka_unit_test(test_profile),
    };
    return cmocka_run_group_tests_name("jail", tests, NULL, NULL);
}
