#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Turns the embedding model all-MiniLM-L6-v2 (safetensors and WordPiece vocabulary) into a GGUF file, F16.

usage: make_minilm.py FOLDER OUT.gguf      FOLDER holds config.json, vocab.txt and model.safetensors

Standard library only. Matrices become 16-bit floats; vectors and the two small position tables stay 32-bit,
as llama.cpp's own converter has them. Lines "NN% ..." on stderr say how far it is; OUT appears only when whole.
"""
import array
import json
import mmap
import os
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import gguf_write  # noqa: E402

# Names of the BERT layout and of GGUF's; {} is the layer.
TENSORS = {
    "embeddings.word_embeddings": "token_embd",
    "embeddings.position_embeddings": "position_embd",
    "embeddings.token_type_embeddings": "token_types",
    "embeddings.LayerNorm": "token_embd_norm",
    "encoder.layer.{}.attention.self.query": "blk.{}.attn_q",
    "encoder.layer.{}.attention.self.key": "blk.{}.attn_k",
    "encoder.layer.{}.attention.self.value": "blk.{}.attn_v",
    "encoder.layer.{}.attention.output.dense": "blk.{}.attn_output",
    "encoder.layer.{}.attention.output.LayerNorm": "blk.{}.attn_output_norm",
    "encoder.layer.{}.intermediate.dense": "blk.{}.ffn_up",
    "encoder.layer.{}.output.dense": "blk.{}.ffn_down",
    "encoder.layer.{}.output.LayerNorm": "blk.{}.layer_output_norm",
}
KEPT_F32 = ("position_embd.weight", "token_types.weight")
UNUSED = ("embeddings.position_ids", "pooler.")
POOLING_MEAN = 1
BLOCK = 1 << 16     # numbers turned at once: the format string stays one, memory stays small


def gguf_name(name):
    stem, dot, kind = name.rpartition(".")
    parts = stem.split(".")
    layer = parts[2] if stem.startswith("encoder.layer.") else ""
    if layer:
        parts[2] = "{}"
    key = ".".join(parts)
    if key not in TENSORS:
        raise ValueError(f"a tensor that BERT does not have: {name}")
    return TENSORS[key].format(layer) + dot + kind


def to_f16(raw):
    """Little-endian 32-bit floats to 16-bit ones, rounded to nearest even."""
    numbers = array.array("f")
    numbers.frombytes(raw)
    if sys.byteorder == "big":
        numbers.byteswap()
    whole = struct.Struct(f"<{BLOCK}e")
    out = []
    for start in range(0, len(numbers), BLOCK):
        block = numbers[start:start + BLOCK]
        out.append(whole.pack(*block) if len(block) == BLOCK else struct.pack(f"<{len(block)}e", *block))
    return b"".join(out)


def vocabulary(g, path):
    """WordPiece to llama.cpp's form: a word's first piece gets U+2581 in front, a later piece loses its ##."""
    with open(path, encoding="utf-8") as lines:
        pieces = [line.rstrip("\n") for line in lines]
    special = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}
    names = [p if p in special else p[2:] if p.startswith("##") else "\u2581" + p for p in pieces]
    g.string("tokenizer.ggml.model", "bert")
    g.string("tokenizer.ggml.pre", "jina-v2-en")     # llama.cpp's name for the splitting of bert-base-uncased
    g.strings("tokenizer.ggml.tokens", names)
    g.i32s("tokenizer.ggml.token_type",
           [gguf_write.TOKEN_CONTROL if p in special else gguf_write.TOKEN_NORMAL for p in pieces])
    at = {p: i for i, p in enumerate(pieces)}
    for key, piece in (("unknown", "[UNK]"), ("seperator", "[SEP]"), ("padding", "[PAD]"), ("mask", "[MASK]"),
                       ("bos", "[CLS]"), ("eos", "[SEP]")):      # "seperator" is how GGUF spells it
        g.u32(f"tokenizer.ggml.{key}_token_id", at[piece])
    return len(pieces)


def convert(folder, out, progress):
    with open(os.path.join(folder, "config.json"), encoding="utf-8") as f:
        config = json.load(f)
    g = gguf_write.Writer("bert")
    g.string("general.name", "all-MiniLM-L6-v2")
    g.string("general.license", "apache-2.0")
    for key, value in (("block_count", "num_hidden_layers"), ("context_length", "max_position_embeddings"),
                       ("embedding_length", "hidden_size"), ("feed_forward_length", "intermediate_size"),
                       ("attention.head_count", "num_attention_heads")):
        g.u32("bert." + key, config[value])
    g.f32("bert.attention.layer_norm_epsilon", config["layer_norm_eps"])
    g.boolean("bert.attention.causal", False)
    g.u32("bert.pooling_type", POOLING_MEAN)
    g.u32("tokenizer.ggml.token_type_count", config["type_vocab_size"])
    g.u32("general.file_type", gguf_write.FILE_MOSTLY_F16)
    if vocabulary(g, os.path.join(folder, "vocab.txt")) != config["vocab_size"]:
        raise ValueError("vocab.txt and config.json disagree")
    with open(os.path.join(folder, "model.safetensors"), "rb") as f, \
            mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as raw:
        size, = struct.unpack("<Q", raw[:8])
        header = json.loads(raw[8:8 + size])
        base = 8 + size
        for name, entry in header.items():
            if name == "__metadata__" or name.startswith(UNUSED):
                continue
            if entry["dtype"] != "F32":
                raise ValueError(f"{name} is {entry['dtype']}, not F32")
            start, end = (base + n for n in entry["data_offsets"])
            new = gguf_name(name)
            if len(entry["shape"]) == 2 and new not in KEPT_F32:
                g.tensor(new, entry["shape"], gguf_write.F16, lambda a=start, b=end: to_f16(raw[a:b]))
            else:
                g.tensor(new, entry["shape"], gguf_write.F32, lambda a=start, b=end: raw[a:b])
        g.write(out, progress)


def report(first=0):
    """A progress function that prints each new percentage from first to 100."""
    last = [-1]

    def progress(done, total):
        percent = first + (100 - first) * done // total
        if percent != last[0]:
            last[0] = percent
            sys.stderr.write(f"{percent}% converting all-MiniLM-L6-v2\n")
            sys.stderr.flush()
    return progress


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__.split("\n\n")[1])
    convert(sys.argv[1], sys.argv[2], report())
