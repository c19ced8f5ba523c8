// gguf.c: reads the header of a GGUF file: metadata and tensor shapes.
// SPDX-License-Identifier: Apache-2.0
#include "text/gguf.h"

#include <string.h>

#define NEST_MAX 4             // arrays of arrays
#define DIMS_MAX 4             // GGML_MAX_DIMS
#define COUNT_MAX (1u << 24)   // keys or tensors: the largest known models have some thousands
#define LENGTH_MAX (1ull << 40) // of one string or array in bytes

enum {
    T_U8,
    T_I8,
    T_U16,
    T_I16,
    T_U32,
    T_I32,
    T_F32,
    T_BOOL,
    T_STR,
    T_ARR,
    T_U64,
    T_I64,
    T_F64,
    T_COUNT,
};
static const uint8_t value_bytes[T_COUNT] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

// ggml_type: values in a block, bytes of a block. Unknown ones count two bytes a value.
static const struct {
    uint16_t values, bytes;
} tensor_types[] = {
    [0] = {1, 4},      [1] = {1, 2},      [2] = {32, 18},    [3] = {32, 20},    [6] = {32, 22},
    [7] = {32, 24},    [8] = {32, 34},    [9] = {32, 36},    [10] = {256, 84},  [11] = {256, 110},
    [12] = {256, 144}, [13] = {256, 176}, [14] = {256, 210}, [15] = {256, 292}, [16] = {256, 66},
    [17] = {256, 74},  [18] = {256, 98},  [19] = {256, 50},  [20] = {32, 18},   [21] = {256, 110},
    [22] = {256, 82},  [23] = {256, 136}, [24] = {1, 1},     [25] = {1, 2},     [26] = {1, 4},
    [27] = {1, 8},     [28] = {1, 8},     [29] = {256, 56},  [30] = {1, 2},     [34] = {256, 54},
    [35] = {256, 66},  [39] = {32, 17},
};

// general.file_type (llama_ftype)
static const char *const file_types[] = {
    [0] = "F32",      [1] = "F16",      [2] = "Q4_0",    [3] = "Q4_1",    [7] = "Q8_0",
    [8] = "Q5_0",     [9] = "Q5_1",     [10] = "Q2_K",   [11] = "Q3_K_S", [12] = "Q3_K_M",
    [13] = "Q3_K_L",  [14] = "Q4_K_S",  [15] = "Q4_K_M", [16] = "Q5_K_S", [17] = "Q5_K_M",
    [18] = "Q6_K",    [19] = "IQ2_XXS", [20] = "IQ2_XS", [21] = "Q2_K_S", [22] = "IQ3_XS",
    [23] = "IQ3_XXS", [24] = "IQ1_S",   [25] = "IQ4_NL", [26] = "IQ3_S",  [27] = "IQ3_M",
    [28] = "IQ2_S",   [29] = "IQ2_M",   [30] = "IQ4_XS", [31] = "IQ1_M",  [32] = "BF16",
    [36] = "TQ1_0",   [37] = "TQ2_0",   [38] = "MXFP4",
};
#define FILE_TYPE_GUESSED 1024u // a flag: the writer was not sure

// Why reading stopped, and how far the text would have to reach.
struct reader {
    struct bytes text;
    size_t at;
    uint64_t need;
    const char *broken;
};

static bool fail(struct reader *r, const char *why)
{
    if (!r->broken && !r->need)
        r->broken = why;
    return false;
}

// The next n bytes, or NULL; `after` bytes at least follow them in a whole file.
static const char *take(struct reader *r, uint64_t n, uint64_t after)
{
    if (r->broken || r->need)
        return NULL;
    if (n > LENGTH_MAX || after > LENGTH_MAX) {
        (void)fail(r, "a length is impossible");
        return NULL;
    }
    if (n > r->text.n - r->at) {
        r->need = r->at + n + after;
        return NULL;
    }
    const char *p = r->text.p + r->at;
    r->at += n;
    return p;
}

static bool take_int(struct reader *r, size_t n, uint64_t *ret)
{
    const unsigned char *p = (const unsigned char *)take(r, n, 0);
    if (!p)
        return false;
    uint64_t v = 0;
    for (size_t i = n; i-- > 0;)
        v = v << 8 | p[i];
    *ret = v;
    return true;
}

static bool take_str(struct reader *r, struct bytes *ret)
{
    uint64_t n;
    if (!take_int(r, 8, &n))
        return false;
    const char *p = take(r, n, 0);
    if (!p)
        return false;
    *ret = (struct bytes){p, n};
    return true;
}

// A value as the header's fields can use it: a whole number (negative: 0), or a text. Of an array
// of numbers the largest and the sum are kept, and of every array its length.
struct value {
    struct bytes text;
    uint64_t number, sum, length;
    bool is_array;
};

static uint64_t whole(uint64_t raw, uint64_t type)
{
    unsigned bits = value_bytes[type] * 8u;
    bool is_signed = type == T_I8 || type == T_I16 || type == T_I32 || type == T_I64;
    if (type == T_F32 || type == T_F64 || (is_signed && raw >> (bits - 1)))
        return 0;
    return raw;
}

static bool take_value(struct reader *r, uint64_t type, struct value *v, unsigned nest);

static bool take_array(struct reader *r, struct value *v, unsigned nest)
{
    uint64_t type, count;
    if (!take_int(r, 4, &type) || !take_int(r, 8, &count))
        return false;
    if (type >= T_COUNT || nest == NEST_MAX)
        return fail(r, "an array has an unknown type");
    if (count > LENGTH_MAX)
        return fail(r, "a length is impossible");
    v->is_array = true;
    v->length = count;
    // Before the walk, so that a short text is told at once: each element has so many bytes at
    // least.
    uint64_t least = value_bytes[type] ? value_bytes[type] : type == T_STR ? 8 : 12;
    if (count * least > r->text.n - r->at)
        return take(r, count * least, 0) != NULL;
    for (uint64_t i = 0; i < count; i++) {
        struct value element = {0};
        if (!take_value(r, type, &element, nest + 1))
            return false;
        if (element.number > v->number)
            v->number = element.number;
        if (__builtin_add_overflow(v->sum, element.number, &v->sum))
            v->sum = UINT64_MAX;
    }
    return true;
}

static bool take_value(struct reader *r, uint64_t type, struct value *v, unsigned nest)
{
    if (type == T_STR)
        return take_str(r, &v->text);
    if (type == T_ARR)
        return take_array(r, v, nest);
    if (type >= T_COUNT)
        return fail(r, "a value has an unknown type");
    if (!take_int(r, value_bytes[type], &v->number))
        return false;
    v->number = whole(v->number, type);
    return true;
}

// Numbers that stand under "<architecture>.<name>".
static const struct {
    const char *name;
    size_t offset;
} numbers[] = {
    {"context_length", offsetof(struct gguf, context)},
    {"embedding_length", offsetof(struct gguf, embedding)},
    {"block_count", offsetof(struct gguf, blocks)},
    {"attention.head_count", offsetof(struct gguf, heads)},
    {"attention.head_count_kv", offsetof(struct gguf, heads_kv)},
    {"attention.key_length", offsetof(struct gguf, key_length)},
    {"attention.value_length", offsetof(struct gguf, value_length)},
    {"feed_forward_length", offsetof(struct gguf, feed_forward)},
    {"vocab_size", offsetof(struct gguf, vocabulary)},
};

static void copy_text(char *to, size_t size, struct bytes text)
{
    size_t n = text.n < size ? text.n : size - 1;
    while (n < text.n && n && ((unsigned char)text.p[n] & 0xc0) == 0x80)
        n--; // never half a UTF-8 character
    if (n)
        memcpy(to, text.p, n);
    to[n] = 0;
}

static void keep_own(struct gguf *g, struct bytes name, const struct value *v, bool *causal_said)
{
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (bytes_is(name, numbers[i].name))
            memcpy((char *)g + numbers[i].offset, &v->number, sizeof v->number);
    if (bytes_is(name, "attention.head_count_kv") && v->is_array)
        g->heads_kv_sum = v->sum;
    if (bytes_is(name, "pooling_type"))
        g->pooling = (uint32_t)v->number;
    if (bytes_is(name, "attention.causal")) {
        g->causal = v->number != 0;
        *causal_said = true;
    }
}

static void keep(struct gguf *g, struct bytes key, const struct value *v, bool *causal_said)
{
    if (bytes_is(key, "general.architecture")) {
        copy_text(g->architecture, sizeof g->architecture, v->text);
    } else if (bytes_is(key, "general.name")) {
        copy_text(g->name, sizeof g->name, v->text);
    } else if (bytes_is(key, "general.file_type")) {
        uint64_t type = v->number & ~(uint64_t)FILE_TYPE_GUESSED;
        if (type < sizeof file_types / sizeof *file_types && file_types[type])
            copy_text(g->quantization, sizeof g->quantization, bytes_of(file_types[type]));
    } else if (bytes_is(key, "tokenizer.chat_template")) {
        g->chat_template = v->text.n > 0;
    } else if (bytes_is(key, "tokenizer.ggml.tokens")) {
        if (!g->vocabulary)
            g->vocabulary = v->length;
    } else {
        struct bytes name = key, owner = bytes_cut(&name, '.');
        if (!*g->architecture || bytes_is(owner, g->architecture))
            keep_own(g, name, v, causal_said);
    }
}

static bool read_metadata(struct reader *r, struct gguf *g)
{
    bool causal_said = false;
    for (uint64_t i = 0; i < g->metadata; i++) {
        struct bytes key;
        uint64_t type;
        struct value v = {0};
        if (!take_str(r, &key) || !take_int(r, 4, &type) || !take_value(r, type, &v, 0))
            return false;
        keep(g, key, &v, &causal_said);
    }
    // Writers leave "causal" out for these encoders.
    if (!causal_said && (strstr(g->architecture, "bert") || !strcmp(g->architecture, "t5encoder") ||
                         !strcmp(g->architecture, "gemma-embedding")))
        g->causal = false;
    return true;
}

static uint64_t saturate_add(uint64_t a, uint64_t b)
{
    return __builtin_add_overflow(a, b, &a) ? UINT64_MAX : a;
}

static uint64_t saturate_mul(uint64_t a, uint64_t b)
{
    return __builtin_mul_overflow(a, b, &a) ? UINT64_MAX : a;
}

static uint64_t tensor_bytes(uint64_t values, uint64_t type)
{
    uint64_t block = 1, bytes = 2;
    if (type < sizeof tensor_types / sizeof *tensor_types && tensor_types[type].values) {
        block = tensor_types[type].values;
        bytes = tensor_types[type].bytes;
    }
    return saturate_mul(values / block + (values % block != 0), bytes);
}

static bool read_tensors(struct reader *r, struct gguf *g)
{
    for (uint64_t i = 0; i < g->tensors; i++) {
        struct bytes name;
        uint64_t dims, size, type, offset, values = 1;
        if (!take_str(r, &name) || !take_int(r, 4, &dims))
            return false;
        if (dims > DIMS_MAX)
            return fail(r, "a tensor has too many dimensions");
        for (uint64_t d = 0; d < dims; d++) {
            if (!take_int(r, 8, &size))
                return false;
            values = saturate_mul(values, size);
        }
        if (!take_int(r, 4, &type) || !take_int(r, 8, &offset))
            return false;
        g->parameters = saturate_add(g->parameters, values);
        g->tensor_bytes = saturate_add(g->tensor_bytes, tensor_bytes(values, type));
    }
    return true;
}

static bool read_all(struct reader *r, struct gguf *g)
{
    const char *magic = take(r, 4, 20);
    uint64_t version;
    if (magic && memcmp(magic, "GGUF", 4) != 0)
        return fail(r, "it does not begin with GGUF");
    if (!take_int(r, 4, &version))
        return false;
    if (version == 0x02000000 || version == 0x03000000)
        return fail(r, "it is big-endian");
    if (version != 2 && version != 3)
        return fail(r, "only versions 2 and 3 are known");
    g->version = (uint32_t)version;
    if (!take_int(r, 8, &g->tensors) || !take_int(r, 8, &g->metadata))
        return false;
    if (g->tensors > COUNT_MAX || g->metadata > COUNT_MAX)
        return fail(r, "it says to have millions of tensors or keys");
    return read_metadata(r, g) && read_tensors(r, g);
}

int gguf_parse(struct gguf *ret, struct bytes text, uint64_t *ret_need, struct err *e)
{
    struct reader r = {.text = text};
    struct gguf g = {.causal = true, .pooling = UINT32_MAX};
    // A short file that already differs in its first bytes is no GGUF, however it goes on.
    if (text.n && memcmp(text.p, "GGUF", text.n < 4 ? text.n : 4) != 0)
        return err_set(e, E_PARSE, "not a usable GGUF file: it does not begin with GGUF");
    if (read_all(&r, &g)) {
        *ret = g;
        return 0;
    }
    if (r.broken)
        return err_set(e, E_PARSE, "not a usable GGUF file: %s (at byte %zu)", r.broken, r.at);
    if (ret_need)
        *ret_need = r.need;
    return err_set(e, E_TOOBIG, "the GGUF header goes on after the %zu bytes read", text.n);
}

uint64_t gguf_kv_bytes(const struct gguf *g, uint64_t context)
{
    if (!g->causal)
        return 0; // an encoder keeps nothing from token to token
    uint64_t heads_kv = g->heads_kv ? g->heads_kv : g->heads;
    uint64_t heads = g->heads_kv_sum ? g->heads_kv_sum : saturate_mul(heads_kv, g->blocks);
    uint64_t head_size = g->heads ? g->embedding / g->heads : 0;
    uint64_t key = g->key_length ? g->key_length : head_size;
    uint64_t value = g->value_length ? g->value_length : head_size;
    uint64_t token = saturate_mul(saturate_mul(heads, saturate_add(key, value)), 2);
    return saturate_mul(token, context);
}

const char *gguf_kind(const struct gguf *g)
{
    if (!g->causal || (g->pooling != UINT32_MAX && g->pooling != 0))
        return "embedding";
    return g->chat_template ? "chat" : "completion";
}
