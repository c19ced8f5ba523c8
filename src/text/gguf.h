// gguf.h: what a GGUF file's header says (format versions 2 and 3), and what the model will need.
// Source: the GGUF specification of the ggml project. Reads a prefix of the file, never all of it.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_TEXT_GGUF_H
#define PLEXUS_TEXT_GGUF_H

#include "base/bytes.h"
#include "base/err.h"

struct gguf {
    uint32_t version;
    uint64_t tensors, metadata;
    char architecture[64];  // "llama", "bert", ...
    char name[128];         // general.name
    char quantization[32];  // from general.file_type: "F16", "Q4_K_M", ... or ""
    uint64_t context;       // training context, tokens; 0: unknown
    uint64_t embedding, blocks, heads, heads_kv, key_length, value_length, feed_forward, vocabulary;
    uint64_t heads_kv_sum;  // over all blocks, where the file gives them block by block; else 0
    bool causal;            // false for encoders
    uint32_t pooling;       // 0 none, 1 mean, 2 cls, ...; UINT32_MAX: not said
    bool chat_template;     // tokenizer.chat_template is there
    uint64_t parameters;    // sum over tensor shapes
    uint64_t tensor_bytes;  // sum over tensors by their type
};
// E_PARSE: not GGUF or broken; E_TOOBIG: the header continues past the text (ask with more:
// *ret_need is a lower bound of the bytes needed).
int gguf_parse(struct gguf *ret, struct bytes text, uint64_t *ret_need, struct err *e);
// Bytes of key-value cache for this many tokens at 16 bits a value, over all blocks.
uint64_t gguf_kv_bytes(const struct gguf *g, uint64_t context);
// "chat", "completion" or "embedding".
const char *gguf_kind(const struct gguf *g);

#endif
