// gguf_test.c: headers as the tools write them, cut and broken in every place.
// SPDX-License-Identifier: Apache-2.0
#include "base/buf.h"
#include "text/gguf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void put(struct buf *b, uint64_t v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        assert_int_equal(buf_chr(b, (char)(v >> (8 * i))), 0);
}

static void put_str(struct buf *b, const char *text)
{
    put(b, strlen(text), 8);
    (void)buf_str(b, text);
}

static void key_u32(struct buf *b, const char *key, uint32_t v)
{
    put_str(b, key);
    put(b, 4, 4);
    put(b, v, 4);
}

static void key_str(struct buf *b, const char *key, const char *v)
{
    put_str(b, key);
    put(b, 8, 4);
    put_str(b, v);
}

static void tensor(struct buf *b, const char *name, uint64_t x, uint64_t y, uint32_t type)
{
    put_str(b, name);
    put(b, 2, 4);
    put(b, x, 8);
    put(b, y, 8);
    put(b, type, 4);
    put(b, 0, 8);
}

static void head(struct buf *b, uint32_t version, uint64_t tensors, uint64_t keys)
{
    buf_init(b, 1 << 16);
    (void)buf_str(b, "GGUF");
    put(b, version, 4);
    put(b, tensors, 8);
    put(b, keys, 8);
}

static void llama(struct buf *b)
{
    head(b, 3, 3, 12);
    key_str(b, "general.architecture", "llama");
    key_str(b, "general.name", "Tiny Chat");
    key_u32(b, "general.file_type", 1024 + 15);
    key_u32(b, "llama.context_length", 4096);
    key_u32(b, "llama.embedding_length", 512);
    key_u32(b, "llama.block_count", 8);
    key_u32(b, "llama.attention.head_count", 16);
    key_u32(b, "llama.attention.head_count_kv", 4);
    key_u32(b, "other.context_length", 7); // another model's key
    put_str(b, "tokenizer.ggml.tokens");
    put(b, 9, 4);
    put(b, 8, 4);
    put(b, 3, 8);
    put_str(b, "<s>");
    put_str(b, "a");
    put_str(b, "");
    put_str(b, "tokenizer.ggml.scores");
    put(b, 9, 4);
    put(b, 6, 4);
    put(b, 3, 8);
    put(b, 0, 8);
    put(b, 0, 4);
    key_str(b, "tokenizer.chat_template", "{{ messages }}");
    tensor(b, "token_embd.weight", 512, 3, 1);     // F16: 3,072 bytes
    tensor(b, "blk.0.ffn_up.weight", 512, 256, 12); // Q4_K: 512 blocks of 144 bytes
    tensor(b, "output_norm.weight", 512, 1, 0);    // F32: 2,048 bytes
}

static void chat_model(void **state)
{
    struct buf b;
    struct gguf g;
    struct err e = {0};
    uint64_t need = 7;
    (void)state;
    llama(&b);
    (void)buf_str(&b, "tensor data follow");
    assert_int_equal(gguf_parse(&g, buf_bytes(&b), &need, &e), 0);
    assert_int_equal(e.code, 0);
    assert_int_equal(need, 7);
    assert_int_equal(g.version, 3);
    assert_string_equal(g.architecture, "llama");
    assert_string_equal(g.name, "Tiny Chat");
    assert_string_equal(g.quantization, "Q4_K_M");
    assert_int_equal(g.context, 4096);
    assert_int_equal(g.vocabulary, 3);
    assert_true(g.causal);
    assert_true(g.chat_template);
    assert_int_equal(g.parameters, 512 * 3 + 512 * 256 + 512);
    assert_int_equal(g.tensor_bytes, 3072 + 512 * 144 + 2048);
    assert_int_equal(gguf_kv_bytes(&g, 1000), 8 * 4 * (32 + 32) * 2 * 1000);
    assert_string_equal(gguf_kind(&g), "chat");
    g.chat_template = false;
    assert_string_equal(gguf_kind(&g), "completion");
    g.pooling = 1;
    assert_string_equal(gguf_kind(&g), "embedding");
    buf_fini(&b);
}

// Every prefix is either asked to go on, and the wish is beyond it, or (the whole) fine.
static void every_prefix(void **state)
{
    struct buf b;
    struct gguf g;
    (void)state;
    llama(&b);
    for (size_t n = 0; n < b.n; n++) {
        uint64_t need = 0;
        int rc = gguf_parse(&g, bytes_first(buf_bytes(&b), n), &need, NULL);
        if (rc != E_TOOBIG || need <= n || need > b.n)
            fail_msg("prefix %zu: %d, need %llu", n, rc, (unsigned long long)need);
    }
    assert_int_equal(gguf_parse(&g, buf_bytes(&b), NULL, NULL), 0);
    buf_fini(&b);
}

static void encoder(void **state)
{
    struct buf b;
    struct gguf g;
    (void)state;
    head(&b, 2, 0, 3);
    key_u32(&b, "bert.block_count", 6); // before the architecture is said
    key_str(&b, "general.architecture", "bert");
    key_u32(&b, "bert.pooling_type", 1);
    assert_int_equal(gguf_parse(&g, buf_bytes(&b), NULL, NULL), 0);
    assert_int_equal(g.blocks, 6);
    assert_int_equal(g.pooling, 1);
    assert_false(g.causal);
    assert_string_equal(g.quantization, "");
    assert_int_equal(gguf_kv_bytes(&g, 512), 0);
    assert_string_equal(gguf_kind(&g), "embedding");
    buf_fini(&b);
}

static void heads_by_block(void **state)
{
    struct buf b;
    struct gguf g;
    (void)state;
    head(&b, 3, 1, 7);
    key_str(&b, "general.architecture", "hybrid");
    put_str(&b, "hybrid.attention.head_count_kv");
    put(&b, 9, 4);
    put(&b, 5, 4); // I32
    put(&b, 4, 8);
    put(&b, 0, 4);
    put(&b, 8, 4);
    put(&b, (uint32_t)-1, 4); // counts as nothing
    put(&b, 2, 4);
    key_u32(&b, "hybrid.attention.key_length", 128);
    key_u32(&b, "hybrid.attention.value_length", 64);
    put_str(&b, "hybrid.attention.causal");
    put(&b, 7, 4);
    put(&b, 1, 1);
    put_str(&b, "hybrid.rope.freq_base");
    put(&b, 12, 4);
    put(&b, 0x4000000000000000, 8);
    put_str(&b, "hybrid.nested");
    put(&b, 9, 4);
    put(&b, 9, 4);
    put(&b, 1, 8);
    put(&b, 0, 4);
    put(&b, 2, 8);
    put(&b, 0, 2);
    tensor(&b, "new", 100, 1, 999); // unknown type: two bytes a value
    assert_int_equal(gguf_parse(&g, buf_bytes(&b), NULL, NULL), 0);
    assert_int_equal(g.heads_kv, 8);
    assert_int_equal(g.heads_kv_sum, 10);
    assert_int_equal(gguf_kv_bytes(&g, 1), 10 * 192 * 2);
    assert_int_equal(gguf_kv_bytes(&g, UINT64_MAX), UINT64_MAX);
    assert_int_equal(g.tensor_bytes, 200);
    buf_fini(&b);
}

static void broken(void **state)
{
    static const struct {
        const char *text;
        size_t n;
        const char *why;
    } rows[] = {
        {"GGML", 4, "begin with GGUF"},
        {"PK", 2, "begin with GGUF"},
        {"GGUF\0\0\0\3", 8, "big-endian"},
        {"GGUF\1\0\0\0", 8, "versions 2 and 3"},
        {"GGUF\3\0\0\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\0", 24, "millions"},
        {"GGUF\3\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff", 32,
         "impossible"},
        {"GGUF\3\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x0d\0\0\0", 36,
         "unknown type"},
        {"GGUF\3\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x09\0\0\0\x0d\0\0\0\0\0\0\0"
         "\0\0\0\0",
         48, "unknown type"},
        {"GGUF\3\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0\xff\xff"
         "\xff\xff\xff\xff\xff\xff",
         48, "impossible"},
        {"GGUF\3\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\5\0\0\0", 36, "dimensions"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct gguf g;
        struct err e = {0};
        int rc = gguf_parse(&g, (struct bytes){rows[i].text, rows[i].n}, NULL, &e);
        if (rc != E_PARSE || !strstr(e.text, rows[i].why))
            fail_msg("row %zu: %d %s", i, rc, e.text);
    }
}

static void long_name(void **state)
{
    struct buf b;
    struct gguf g;
    char name[200];
    (void)state;
    memset(name, 'x', sizeof name);
    memcpy(name + 126, "\xc3\xa9", 2); // would be cut in its middle
    name[199] = 0;
    head(&b, 3, 0, 1);
    key_str(&b, "general.name", name);
    assert_int_equal(gguf_parse(&g, buf_bytes(&b), NULL, NULL), 0);
    assert_int_equal(strlen(g.name), 126);
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chat_model), cmocka_unit_test(every_prefix),
        cmocka_unit_test(encoder),    cmocka_unit_test(heads_by_block),
        cmocka_unit_test(broken),     cmocka_unit_test(long_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
