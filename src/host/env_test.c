// env_test.c: nothing that a user wrote is lost, and nothing is added twice.
// SPDX-License-Identifier: Apache-2.0
#include "host/host.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

static const struct host_profile gpu = {.machine_class = "gpu", .compose_profile = "gpu"};

static void lines(void **state)
{
    static const struct {
        const char *text;
        const char *parts; // kind letter, name, "=", value as a program sees it, "|"
    } rows[] = {
        {"", ""},
        {"A=1", "SA=1|"},
        {"A=1\nB=2\n", "SA=1|SB=2|"},
        {"\n  \n# c\n  # d\n", "B|B|C|C|"},
        {"export A = x y # c\n", "SA=x y|"},
        {"A=a#b\n", "SA=a#b|"},
        {"A=#b\n", "SA=|"},
        {"A=\n", "SA=|"},
        {"A='a # \\n b' # c\n", "SA=a # \\n b|"},
        {"A=\"a\\n\\t\\\"b\\\\ \\$x \\q\"\n", "SA=a\n\t\"b\\ $x \\q|"},
        {"A=\"one\ntwo\"\nB=1\n", "SA=one\ntwo|SB=1|"},
        {"A=\"open\nB=1\n", "X|SB=1|"},
        {"A='open\nB=1\n", "X|SB=1|"},
        {"A=\"a\"b\n", "X|"},
        {"1A=1\nA B=1\n=1\nA\nA-B=1\n", "X|X|X|X|X|"},
        {"A=1\r\nB=\"2\"\r\n\r\n", "SA=1|SB=2|B|"},
        {"exportA=1\n", "SexportA=1|"},
        {"export\n", "X|"},
        {"A=\"\"\nB=''\n", "SA=|SB=|"},
        {"A=b=c\n", "SA=b=c|"},
    };
    static const char letters[] = "BCSX";
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct bytes rest = bytes_of(rows[i].text);
        struct host_env_line line;
        struct buf b, raw;
        buf_init(&b, 4096);
        buf_init(&raw, 4096);
        while (host_env_next(&rest, &line)) {
            (void)buf_put(&raw, line.raw);
            (void)buf_chr(&b, letters[line.kind]);
            if (line.kind == HOST_ENV_SET) {
                (void)buf_put(&b, line.name);
                (void)buf_chr(&b, '=');
                (void)host_env_value(&b, &line);
            }
            (void)buf_chr(&b, '|');
        }
        if (strcmp(buf_cstr(&b), rows[i].parts) != 0)
            fail_msg("row %zu: %s, expected %s", i, buf_cstr(&b), rows[i].parts);
        assert_string_equal(buf_cstr(&raw), rows[i].text); // not a byte is lost
        buf_fini(&b);
        buf_fini(&raw);
    }
}

static void fresh(void **state)
{
    static const struct {
        const char *name, *gpu, *edge;
    } rows[] = {
        {"COMPOSE_PROFILES", "gpu", "edge"},
        {"EXTRAS", "inference", ""},
        {"SGLANG_URL", "http://sglang:30000", "http://sglang:30000"},
        {"LANCEDB_URI", "/app/data/lancedb", "/app/data/lancedb"},
        {"ECOSYSTEM_REGISTRY_URL", "http://ecosystem:8080", "http://ecosystem:8080"},
        {"TELEMETRY_BROKER_URL", "http://localhost:8000", "http://localhost:8000"},
        {"TEMPORAL_HOST", "temporal:7233", "temporal:7233"},
        {"HF_TOKEN", "", ""},
    };
    static const struct host_profile edge = {.machine_class = "edge", .compose_profile = "edge"};
    struct buf a, b, v;
    (void)state;
    buf_init(&a, 65536);
    buf_init(&b, 65536);
    buf_init(&v, 65536);
    assert_int_equal(host_env_merge(&a, BYTES_NONE, &gpu, NULL), 0);
    assert_int_equal(host_env_merge(&b, BYTES_NONE, &edge, NULL), 0);
    assert_int_equal(*a.p, '#'); // begins with the comment, not with an empty line
    for (size_t i = 0; i < COUNT(rows); i++) {
        buf_clear(&v);
        assert_true(host_env_get(buf_bytes(&a), rows[i].name, &v));
        assert_string_equal(buf_cstr(&v), rows[i].gpu);
        buf_clear(&v);
        assert_true(host_env_get(buf_bytes(&b), rows[i].name, &v));
        assert_string_equal(buf_cstr(&v), rows[i].edge);
    }
    assert_false(host_env_get(buf_bytes(&a), "NO_SUCH", &v));
    buf_fini(&a);
    buf_fini(&b);
    buf_fini(&v);
}

static void keeps(void **state)
{
    static const char *const texts[] = {
        "",
        "# mine\nHF_TOKEN=hf_secret\n\nSGLANG_URL = 'http://gpu:1' # here\n",
        "no end of line",
        "A=1\r\nCOMPOSE_PROFILES=cpu,extra\r\n",
        "broken line\n=x\nHF_TOKEN=\"open\nEXTRAS=\n",
        "HF_TOKEN=\nHF_TOKEN=second",
        "\n\n\n",
        "A=\"over\ntwo lines\"",
    };
    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct bytes old = bytes_of(texts[i]);
        struct buf once, twice;
        buf_init(&once, 65536);
        buf_init(&twice, 65536);
        assert_int_equal(host_env_merge(&once, old, &gpu, NULL), 0);
        assert_true(bytes_starts(buf_bytes(&once), old));
        assert_int_equal(host_env_merge(&twice, buf_bytes(&once), &gpu, NULL), 0);
        assert_string_equal(buf_cstr(&once), buf_cstr(&twice));
        // a value that the user set is still what a reader gets
        struct host_env_line line;
        for (struct bytes rest = old; host_env_next(&rest, &line);) {
            struct buf name, was, is;
            if (line.kind != HOST_ENV_SET)
                continue;
            buf_init(&name, 100);
            buf_init(&was, 1000);
            buf_init(&is, 1000);
            (void)buf_put(&name, line.name);
            assert_true(host_env_get(old, buf_cstr(&name), &was));
            assert_true(host_env_get(buf_bytes(&once), buf_cstr(&name), &is));
            assert_string_equal(buf_cstr(&is), buf_cstr(&was));
            buf_fini(&name);
            buf_fini(&was);
            buf_fini(&is);
        }
        buf_fini(&once);
        buf_fini(&twice);
    }
}

static void windows_ends(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 65536);
    assert_int_equal(host_env_merge(&b, BYTES("A=1\r\n"), &gpu, NULL), 0);
    for (size_t i = 1; i < b.n; i++)
        assert_true(b.p[i] != '\n' || b.p[i - 1] == '\r');
    buf_fini(&b);
}

static void ceiling(void **state)
{
    struct buf b;
    struct err e = {0};
    (void)state;
    buf_init(&b, 50);
    assert_int_equal(host_env_merge(&b, BYTES("A=1\n"), &gpu, &e), E_TOOBIG);
    assert_int_equal(e.code, E_TOOBIG);
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines),        cmocka_unit_test(fresh),   cmocka_unit_test(keeps),
        cmocka_unit_test(windows_ends), cmocka_unit_test(ceiling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
