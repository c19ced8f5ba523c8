// manifest_test.c: manifests: their places of errors, hash, signature, words, packages.
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tool/tool_rig.h"

#include "base/file.h"
#include "crypto/hash.h"

#define CODE "\"code\":{\"sha256\":\"" HASH "\",\"bytes\":8}"
#define HASH "93a44bbb96c751218e4c00d479e4c14358122a389acca16205b1e4d0dc5f9476"
#define TOP "\"plexus_capability\":1,\"urn\":\"" RIG_URN "\",\"description\":\"d\"," CODE

static void places(void **state)
{
    static const struct {
        const char *text, *why; // a part of the error
    } rows[] = {
        {"", "the manifest"},
        {"[]", "expected object"},
        {"{\"a\":1,\"a\":2}", "the manifest"},
        {"{" TOP "}", "tools"},
        {"{" TOP ",\"tools\":[]}", "/tools"},
        {"{" TOP ",\"tools\":[" RIG_TOOL "],\"colour\":1}", "colour"},
        {"{" TOP ",\"tools\":[" RIG_TOOL "," RIG_TOOL "]}",
         "/tools/1/name: there is a tool count already"},
        {"{" TOP ",\"tools\":[{\"name\":\"a b\",\"description\":\"d\",\"input\":{\"type\":"
         "\"object\"}}]}",
         "/tools/0/name"},
        {"{" TOP ",\"tools\":[{\"name\":\"a\",\"description\":\"d\",\"input\":{\"type\":"
         "\"string\"}}]}",
         "/tools/0/input/type"},
        {"{" TOP ",\"tools\":[{\"name\":\"a\",\"description\":\"d\",\"input\":{\"type\":"
         "\"object\",\"properties\":7}}]}",
         "/tools/0/input"},
        {"{" TOP ",\"tools\":[" RIG_TOOL "],\"permissions\":{\"hosts\":[\"a b\"]}}",
         "/permissions/hosts/0"},
        {"{" TOP ",\"tools\":[" RIG_TOOL "],\"permissions\":{\"dirs\":[{\"path\":\"/a/../b\"}]}}",
         "/permissions/dirs/0/path"},
        {"{" TOP ",\"tools\":[" RIG_TOOL "],\"permissions\":{\"dirs\":[{\"path\":\"/\"}]}}",
         "/permissions/dirs/0/path"},
        {"{" TOP ",\"tools\":[" RIG_TOOL "],\"permissions\":{\"dirs\":[{\"path\":\"/a\"},{\"path\":"
         "\"/a\"}]}}",
         "/permissions/dirs/1/path: named twice"},
        {"{" TOP ",\"tools\":[" RIG_TOOL "],\"limits\":{\"memory_bytes\":1}}",
         "/limits/memory_bytes"},
        {"{" TOP ",\"tools\":[" RIG_TOOL "],\"label\":\"secret\"}", "/label"},
        {"{" TOP ",\"tools\":[" RIG_TOOL "],\"cases\":[{\"input\":{}}]}", "/cases/0"},
        {"{" TOP ",\"tools\":[" RIG_TOOL
         "],\"cases\":[{\"tool\":\"x\",\"input\":{},\"error\":true}]}",
         "/cases/0/tool: there is no such tool"},
        {"{" TOP ",\"tools\":[" RIG_TOOL
         "],\"cases\":[{\"input\":{},\"schema\":{\"type\":\"thing\"}}]}",
         "/cases/0/schema"},
        {"{\"plexus_capability\":2,\"urn\":\"" RIG_URN "\",\"description\":\"d\"," CODE
         ",\"tools\":[" RIG_TOOL "]}",
         "/plexus_capability"},
        {"{\"plexus_capability\":1,\"urn\":\"urn:plexus:cap:A:b:v1\",\"description\":\"d\"," CODE
         ",\"tools\":[" RIG_TOOL "]}",
         "/urn: "},
        {"{" TOP ",\"tools\":[" RIG_TOOL "],\"signature\":\"x\"}", "/signature"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct manifest *m = NULL;
        struct err e = {0};
        int rc = manifest_open(&m, bytes_of(rows[i].text), 0, &e);
        if (rc != E_MANIFEST || m || !strstr(e.text, rows[i].why))
            fail_msg("row %zu: %d \"%s\", expected %s", i, rc, e.text, rows[i].why);
    }
}

static void structure(void **state)
{
    static const char all[] = RIG_DRAFT(
        ",\"title\":\"Count\",\"label\":\"internal\",\"permissions\":{\"hosts\":[\"*.example.org\"]"
        ","
        "\"dirs\":[{\"path\":\"/data\",\"write\":true,\"why\":\"notes\"}],\"config\":[{\"name\":"
        "\"unit\"}],\"secrets\":[{\"name\":\"KEY\",\"why\":\"of the service\"}]},\"limits\":{"
        "\"memory_bytes\":1048576,\"time_ms\":50,\"output_bytes\":100},\"cases\":[{\"input\":{"
        "\"text\":\"\"},\"output\":{\"n\":0}}]");
    (void)state;
    struct manifest *m = rig_manifest(all);
    assert_true(bytes_is(m->urn, RIG_URN) && bytes_is(m->parts.name, "count"));
    assert_string_equal(m->code_hash, HASH);
    assert_int_equal(m->code_bytes, 8);
    assert_int_equal(m->tool_count, 1);
    assert_string_equal(m->tools[0].function, "count");
    assert_int_equal(m->tools[0].effects, MANIFEST_IDEMPOTENT);
    assert_true(bytes_is(m->hosts[0], "*.example.org") && m->host_count == 1);
    assert_true(m->dirs[0].write && bytes_is(m->dirs[0].guest, "/data"));
    assert_int_equal(m->limits.memory_bytes, 1048576);
    assert_int_equal(m->limits.time_ms, 50);
    assert_int_equal(val_len(m->cases), 1);
    assert_true(m->is_signed && bytes_is(m->publisher, "Ann"));
    assert_true(bytes_is(m->key, "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")); // RFC 8032, 7.1
    assert_false(m->asks_nothing);
    struct val *words = manifest_words(m);
    static const char *const said[] = {
        "talks to every machine below example.org",
        "reads, changes and deletes files in a folder that you choose, as /data (notes)",
        "gets the secret KEY (of the service)", "reads the setting unit",
        "takes at most 1024 KiB of memory and 50 ms a call"};
    assert_int_equal(val_len(words), sizeof said / sizeof *said);
    for (size_t i = 0; i < val_len(words); i++)
        assert_string_equal(val_text(val_at(words, i), ""), said[i]);
    val_unref(words);
    assert_int_equal(manifest_code_check(m, rig_code(), NULL), 0);
    assert_int_equal(manifest_code_check(m, BYTES("12345678"), NULL), E_MANIFEST);
    assert_int_equal(manifest_code_check(m, BYTES("1"), NULL), E_MANIFEST);
    assert_null(manifest_tool_find(m, BYTES("nothing")));
    manifest_free(m);
    m = rig_manifest(RIG_DRAFT(""));
    assert_true(m->asks_nothing);
    words = manifest_words(m);
    assert_string_equal(val_text(val_at(words, 0), ""),
                        "only computes: no network, no files, no secrets");
    val_unref(words);
    manifest_free(m);
    assert_int_equal(mem_live(), 0);
}

// Every byte of a signed manifest counts.
static void signature(void **state)
{
    char *text = rig_signed(RIG_DRAFT(""), rig_code());
    struct manifest *m = NULL;
    size_t refused = 0, n = strlen(text);
    (void)state;
    for (size_t i = 0; i < n; i++) {
        struct err e = {0};
        text[i] ^= 1;
        int rc = manifest_open(&m, bytes_of(text), 0, &e);
        text[i] ^= 1;
        if (rc)
            refused++;
        else
            manifest_free(m);
    }
    assert_int_equal(refused, n);
    char *at = strstr(text, "Counts words.");
    assert_non_null(at);
    *at = 'B';
    struct err e = {0};
    assert_int_equal(manifest_open(&m, bytes_of(text), 0, &e), E_SECURITY);
    assert_non_null(strstr(e.text, "the signature is wrong"));
    mem_free(text);
}

// The same manifest in another order and with spaces has the same hash.
static void canonical(void **state)
{
    struct manifest *a = NULL, *b = NULL;
    struct err e = {0};
    static const char one[] = "{" TOP ",\"tools\":[" RIG_TOOL "]}",
                      two[] = "{\n \"tools\" : [" RIG_TOOL "],\n " TOP "}";
    (void)state;
    assert_int_equal(manifest_open(&a, bytes_of(one), 0, &e), 0);
    assert_int_equal(manifest_open(&b, bytes_of(two), 0, &e), 0);
    assert_string_equal(a->hash, b->hash);
    assert_false(a->is_signed);
    manifest_free(b);
    assert_int_equal(manifest_open(&b, a->text, MANIFEST_KNOWN, &e), 0);
    assert_string_equal(a->hash, b->hash);
    manifest_free(a);
    manifest_free(b);
}

static void keys(void **state)
{
    struct manifest_key k, again;
    struct err e = {0};
    struct buf secret;
    (void)state;
    buf_init(&secret, 64);
    assert_int_equal(manifest_key_make(&k, &secret, &e), 0);
    assert_int_equal(secret.n, MANIFEST_KEY_TEXT);
    (void)buf_chr(&secret, '\n');
    assert_int_equal(manifest_key_open(&again, buf_bytes(&secret), &e), 0);
    assert_string_equal(k.public_text, again.public_text);
    assert_int_equal(manifest_key_open(&again, BYTES("abc"), &e), E_INVALID);
    assert_int_equal(manifest_key_open(&again, BYTES("***"), &e), E_INVALID);
    buf_fini(&secret);
}

static void packages(void **state)
{
    struct arena *a = arena_new((size_t)1 << 20);
    struct manifest_pack p = {.manifest = BYTES("{\"a\":1}"), .code = rig_code()}, q;
    struct err e = {0};
    struct buf out;
    (void)state;
    buf_init(&out, 4096);
    assert_int_equal(manifest_pack_put(&out, &p, &e), 0);
    assert_int_equal(manifest_pack_open(&q, a, buf_bytes(&out), &e), 0);
    assert_true(bytes_eq(q.manifest, p.manifest) && bytes_eq(q.code, p.code) && !q.promotion.n);
    buf_clear(&out);
    p.promotion = BYTES("{\"p\":1}");
    p.evidence = BYTES("{\"e\":[]}");
    assert_int_equal(manifest_pack_put(&out, &p, &e), 0);
    assert_int_equal(manifest_pack_open(&q, a, buf_bytes(&out), &e), 0);
    assert_true(bytes_eq(q.promotion, p.promotion) && bytes_eq(q.evidence, p.evidence));
    static const char *const bad[] = {"",
                                      "[]",
                                      "{}",
                                      "{\"manifest\":{},\"wasm\":1}",
                                      "{\"manifest\":{},\"wasm\":\"?\"}",
                                      "{\"manifest\":{},\"promotion\":{}}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (manifest_pack_open(&q, a, bytes_of(bad[i]), &e) != E_MANIFEST)
            fail_msg("%s: %s", bad[i], e.text);
    buf_fini(&out);
    arena_free(a);
}

// Each template's manifest is a good one.
static void templates(void **state)
{
    size_t n, found = 0;
    const struct embed_file *f = tool_templates(&n);
    struct urn u;
    (void)state;
    assert_int_equal(urn_parse(&u, BYTES("urn:plexus:cap:text:word-count:v1"), NULL), 0);
    for (size_t i = 0; i < n; i++) {
        struct val *v = NULL;
        struct buf text;
        buf_init(&text, MANIFEST_BYTES_MAX);
        assert_int_equal(tool_template_put(&text, &f[i], &u), 0);
        assert_null(strstr(buf_cstr(&text), "@NAME@"));
        if (bytes_ends(bytes_of(f[i].path), BYTES("/index.ts")))
            assert_non_null(strstr(buf_cstr(&text), "@extism/as-pdk")); // another @ stays
        if (!bytes_ends(bytes_of(f[i].path), BYTES("/capability.json"))) {
            buf_fini(&text);
            continue;
        }
        if (f[i].path[0] == 'r')
            assert_non_null(strstr(buf_cstr(&text), "release/word_count.wasm"));
        assert_int_equal(val_parse(&v, buf_bytes(&text), NULL), 0);
        assert_true(val_len(val_ptr(v, BYTES("/build/run"))) >= 3);
        v = val_del(v, BYTES("build"));
        buf_clear(&text);
        assert_int_equal(val_write(&text, v), 0);
        struct manifest *m = rig_manifest(buf_cstr(&text));
        assert_int_equal(val_len(m->cases), 3);
        manifest_free(m);
        val_unref(v);
        buf_fini(&text);
        found++;
    }
    assert_int_equal(found, 3);
}

// Memory that runs out at each point: an error, nothing lost.
static void torture(void **state)
{
    static const char draft[] =
        RIG_DRAFT(",\"permissions\":{\"hosts\":[\"a\"],\"config\":[{\"name\":\"u\"}]}");
    char *text = rig_signed(draft, rig_code());
    uint64_t live = mem_live();
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct manifest *m = NULL;
        struct err e = {0};
        mem_fail_after(n, 1);
        int rc = manifest_open(&m, bytes_of(text), 0, &e);
        struct val *words = rc ? NULL : manifest_words(m);
        mem_fail_after(0, 0);
        bool done = words != NULL;
        val_unref(words);
        if (!rc)
            manifest_free(m);
        else if (rc > 0 || e.code != rc)
            fail_msg("%llu: %d %s", (unsigned long long)n, rc, e.text);
        assert_int_equal(mem_live(), live);
        if (done)
            break;
    }
    mem_free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places),    cmocka_unit_test(structure), cmocka_unit_test(signature),
        cmocka_unit_test(canonical), cmocka_unit_test(keys),      cmocka_unit_test(packages),
        cmocka_unit_test(templates), cmocka_unit_test(torture),
    };
    return cmocka_run_group_tests_name("manifest", tests, NULL, NULL);
}
