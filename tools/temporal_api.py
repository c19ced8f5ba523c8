#!/usr/bin/env python3
# temporal_api.py: Temporal's API as one small FileDescriptorSet, made of the Python package temporalio.
# SPDX-License-Identifier: Apache-2.0
"""
temporal_api.py PACKAGE OUT.pb ROOT ...

PACKAGE is the folder of temporalio; its generated *_pb2.py hold each file's FileDescriptorProto as a bytes
literal, which is read as text: nothing of the package is run, no protobuf library is needed. Kept are the
messages named as ROOT and what they use, without options, comments and services. Standard library only.
"""
import ast
import pathlib
import re
import sys

LITERAL = re.compile(r"AddSerializedFile\(\s*(b(?:'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\"))\s*\)")


def fields(data):
    """(number, wire type, value or bytes, the field's own bytes) of a message."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        begin = at
        key = varint()
        wire = key & 7
        if wire == 0:
            value = varint()
        elif wire == 2:
            length = varint()
            value, at = data[at:at + length], at + length
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
            value, at = data[at:at + size], at + size
        else:
            sys.exit("temporal_api.py: a descriptor cannot be read")
        yield key >> 3, wire, value, data[begin:at]


def varint(value):
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def field(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def one(data, number, fallback=b""):
    for n, _, value, _ in fields(data):
        if n == number:
            return value
    return fallback


class Message:
    """A DescriptorProto: its own fields, and those that are nested in it."""

    def __init__(self, scope, data, file, outer, found):
        self.name, self.file, self.outer = scope + "." + one(data, 1).decode(), file, outer
        self.uses, self.nested, self.enums, self.parts = [], [], [], []
        found[self.name] = self
        for number, _, value, raw in fields(data):
            if number == 2:  # field: without default value and options but for packed
                self.uses += [v.decode()[1:] for n, _, v, _ in fields(value) if n == 6]
                self.parts.append(field(2, b"".join(r for n, _, _, r in fields(value) if n != 8 or one(value, 8)[:1] == b"\x10")))
            elif number == 3:
                self.nested.append(Message(self.name, value, file, self, found))
            elif number == 4:
                self.enums.append(Enum(self.name, value, file, self, found))
            elif number == 7 and b"\x38\x01" in value:
                self.parts.append(field(7, b"\x38\x01"))  # map_entry
            elif number in (1, 8):
                self.parts.append(raw)

    def put(self, wanted):
        inside = [field(3, m.put(wanted)) for m in self.nested if m.name in wanted]
        inside += [field(4, m.data) for m in self.enums if m.name in wanted]
        return b"".join(self.parts + inside)


class Enum:
    def __init__(self, scope, data, file, outer, found):
        self.name, self.file, self.outer, self.uses = scope + "." + one(data, 1).decode(), file, outer, []
        found[self.name] = self
        values = [field(2, b"".join(r for n, _, _, r in fields(v) if n != 3)) for n, _, v, _ in fields(data) if n == 2]
        self.data = field(1, one(data, 1)) + b"".join(values)

    def put(self, wanted):
        return self.data


def main(argv):
    if len(argv) < 4:
        sys.exit(__doc__.strip())
    found, files, wanted = {}, {}, set()
    for path in sorted(pathlib.Path(argv[1], "api").rglob("*_pb2.py")):
        hit = LITERAL.search(path.read_text(encoding="utf-8"))
        if not hit:
            continue
        data = ast.literal_eval(hit.group(1))
        name, package = one(data, 1), one(data, 2).decode()
        tops = files[name] = (package, [])
        for number, _, value, _ in fields(data):
            if number == 4:
                tops[1].append((4, Message(package, value, name, None, found)))
            elif number == 5:
                tops[1].append((5, Enum(package, value, name, None, found)))

    def want(name):
        if name in wanted or name.startswith("google.protobuf."):
            return
        if name not in found:
            sys.exit("temporal_api.py: %s is not in the package" % name)
        wanted.add(name)
        if found[name].outer:
            want(found[name].outer.name)
        for use in found[name].uses:
            want(use)

    for root in argv[3:]:
        want(root)
    out = b""
    for name, (package, tops) in sorted(files.items()):
        kept = b"".join(field(n, m.put(wanted)) for n, m in tops if m.name in wanted)
        if kept:
            out += field(1, field(1, name) + field(2, package.encode()) + kept + field(12, b"proto3"))
    target = pathlib.Path(argv[2])
    if not target.exists() or target.read_bytes() != out:
        target.with_suffix(".new").write_bytes(out)
        target.with_suffix(".new").replace(target)
    target.touch()


if __name__ == "__main__":
    main(sys.argv)
