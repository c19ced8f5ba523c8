# SPDX-License-Identifier: Apache-2.0
"""A writer of GGUF files (version 3, little endian) with the standard library alone.

The layout is that of the GGUF specification (ggml, docs/gguf.md): magic, version, number of tensors,
number of metadata pairs, the pairs, one record a tensor, padding, then the tensors' bytes, each
aligned to 32 bytes. Tensor bytes are asked for one tensor at a time, so a big file needs little memory.

    g = Writer("llama")                      # architecture, the prefix of architecture keys
    g.string("general.name", "tiny-chat")
    g.u32("llama.block_count", 4)
    g.tensor("token_embd.weight", (vocab, width), F16, lambda: bytes_of_the_tensor)
    g.write(path)
"""
import os
import struct

F32, F16 = 0, 1                     # ggml tensor types
FILE_F32, FILE_MOSTLY_F16 = 0, 1    # values of general.file_type
TOKEN_NORMAL, TOKEN_CONTROL = 1, 3  # values of tokenizer.ggml.token_type
_U32, _I32, _FLOAT, _BOOL, _STRING, _ARRAY = 4, 5, 6, 7, 8, 9
_ALIGN = 32
_WIDTH = {F32: 4, F16: 2}


def _text(value):
    raw = value.encode("utf-8")
    return struct.pack("<Q", len(raw)) + raw


class Writer:
    """Collects metadata and tensors in order; write() puts them into a file at once."""

    def __init__(self, architecture):
        self._pairs, self._tensors = [], []
        self.string("general.architecture", architecture)

    def _pair(self, key, kind, raw):
        self._pairs.append(_text(key) + struct.pack("<I", kind) + raw)

    def string(self, key, value):
        self._pair(key, _STRING, _text(value))

    def u32(self, key, value):
        self._pair(key, _U32, struct.pack("<I", value))

    def f32(self, key, value):
        self._pair(key, _FLOAT, struct.pack("<f", value))

    def boolean(self, key, value):
        self._pair(key, _BOOL, struct.pack("<?", value))

    def strings(self, key, values):
        head = struct.pack("<IQ", _STRING, len(values))
        self._pair(key, _ARRAY, head + b"".join(map(_text, values)))

    def i32s(self, key, values):
        head = struct.pack("<IQ", _I32, len(values))
        self._pair(key, _ARRAY, head + struct.pack(f"<{len(values)}i", *values))

    def tensor(self, name, shape, kind, data):
        """shape: row-major, outermost first (GGUF stores it reversed); data: function that gives the bytes."""
        size = _WIDTH[kind]
        for n in shape:
            size *= n
        self._tensors.append((name, shape, kind, size, data))

    def write(self, path, progress=lambda done, total: None):
        """Writes path through a temporary name beside it, so that path is either whole or absent."""
        total = sum(t[3] for t in self._tensors)
        head = [b"GGUF", struct.pack("<IQQ", 3, len(self._tensors), len(self._pairs)), *self._pairs]
        offset = 0
        for name, shape, kind, size, _ in self._tensors:
            dims = struct.pack(f"<I{len(shape)}Q", len(shape), *reversed(shape))
            head.append(_text(name) + dims + struct.pack("<IQ", kind, offset))
            offset += size + -size % _ALIGN
        temporary = f"{path}.part{os.getpid()}"
        done = 0
        try:
            with open(temporary, "wb") as out:
                out.write(b"".join(head))
                out.write(bytes(-out.tell() % _ALIGN))
                for name, _, _, size, data in self._tensors:
                    raw = data()
                    if len(raw) != size:
                        raise ValueError(f"tensor {name}: {len(raw)} bytes given, its shape needs {size}")
                    out.write(raw)
                    out.write(bytes(-size % _ALIGN))
                    done += size
                    progress(done, total)
                out.flush()
                os.fsync(out.fileno())
            os.replace(temporary, path)
        finally:
            if os.path.exists(temporary):
                os.unlink(temporary)
