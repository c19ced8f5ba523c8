#!/usr/bin/env python3
# wasm_abi.py: compares our prototypes of wasmtime's C API with those of its package for Python.
# SPDX-License-Identifier: Apache-2.0
"""usage: wasm_abi.py PACKAGE-FOLDER <LINES

Lines: "struct NAME SIZE FIELD=OFFSET ..." or "function NAME RETURN|ARGUMENTS" in C."""
import ctypes
import re
import sys

sys.path.insert(0, sys.argv[1])
from wasmtime import _bindings as b  # noqa: E402

SIZES = {"bool": 1, "uint8_t": 1, "int": 4, "size_t": 8, "ptrdiff_t": 8, "int64_t": 8, "uint64_t": 8}


def size_c(text):
    text = text.strip()
    if "*" in text or "_fn" in text:
        return 8
    return SIZES[re.sub(r"\b(const|struct)\b", "", text).split()[0]]


def split(args):
    parts, depth, at = [], 0, ""
    for c in args:
        depth += (c == "(") - (c == ")")
        if c == "," and depth == 0:
            parts.append(at)
            at = ""
        else:
            at += c
    return [p for p in parts + [at] if p.strip() not in ("", "void")]


def check_struct(words, bad):
    name, size, fields = words[0], int(words[1]), words[2:]
    theirs = getattr(b, name)
    if ctypes.sizeof(theirs) != size:
        bad.append(f"{name}: {ctypes.sizeof(theirs)} bytes there, {size} here")
    for field in fields:
        key, at = field.split("=")
        if getattr(theirs, key).offset != int(at):
            bad.append(f"{name}.{key}: at {getattr(theirs, key).offset} there, {at} here")


def check_function(text, bad):
    name, rest = text.split(" ", 1)
    returns, args = rest.split("|", 1)
    theirs = getattr(b, "_" + name, None)
    if theirs is None:
        bad.append(f"{name}: not in the bindings")
        return
    ours = [size_c(a) for a in split(args.strip()[1:-1])]
    sizes = [ctypes.sizeof(a) for a in theirs.argtypes]
    if ours != sizes:
        bad.append(f"{name}: arguments of {sizes} bytes there, {ours} here")
    got = 0 if theirs.restype is None else ctypes.sizeof(theirs.restype)
    want = 0 if returns.strip() == "void" else size_c(returns)
    if got != want:
        bad.append(f"{name}: gives {got} bytes there, {want} here")


def main():
    bad, count = [], 0
    for line in sys.stdin:
        kind, rest = line.strip().split(" ", 1)
        count += 1
        if kind == "struct":
            check_struct(rest.split(), bad)
        elif kind == "enum":
            name, member, value = rest.split()
            if getattr(b, name)[member].value != int(value) and not (name.endswith("valkind_enum")):
                bad.append(f"{member}: {getattr(b, name)[member].value} there, {value} here")
        else:
            check_function(rest, bad)
    for line in bad:
        print("wasm_abi:", line, file=sys.stderr)
    print(f"wasm_abi: {count} compared, {len(bad)} differ")
    return 1 if bad or count < 20 else 0


sys.exit(main())
