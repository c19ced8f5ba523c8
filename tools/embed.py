#!/usr/bin/env python3
# embed.py: turns files into one C file of constant bytes, so that the binary carries them.
# SPDX-License-Identifier: Apache-2.0
"""
embed.py OUT.c NAME=FILE ...          one accessor a file: struct bytes embed_NAME(void);
embed.py OUT.c --table NAME ITEM ...  one table: const struct embed_file *embed_NAME(size_t *count);
                                      ITEM is PATH=FILE or FILE (its path is then its last part)

A row has path, media type, bytes and a strong ETag made from the content, sorted by path. The
output depends on the content only, and is left alone when it would not change. The row's type is
in base/embed.h. Standard library only.
"""
import hashlib
import os
import re
import sys

MIME = {
    "css": "text/css; charset=utf-8",
    "gif": "image/gif",
    "html": "text/html; charset=utf-8",
    "ico": "image/x-icon",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "map": "application/json",
    "md": "text/markdown; charset=utf-8",
    "mjs": "text/javascript; charset=utf-8",
    "png": "image/png",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
    "wasm": "application/wasm",
    "webmanifest": "application/manifest+json",
    "woff2": "font/woff2",
    "yaml": "application/yaml",
}
IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
LINE = 96  # source characters of one piece of string


def fail(text):
    sys.exit("embed.py: " + text)


def c_pieces(data):
    """The bytes as pieces of a C string literal."""
    pieces, line = [], ""
    for at, byte in enumerate(data):
        char = chr(byte)
        if char == "\n":
            char = "\\n"
        elif char in '"\\':
            char = "\\" + char
        elif char == "?":
            char = "\\?"  # no trigraphs
        elif not 32 <= byte < 127:
            digit_next = at + 1 < len(data) and 48 <= data[at + 1] < 56
            char = ("\\%03o" if digit_next else "\\%o") % byte
        line += char
        if len(line) >= LINE or char == "\\n":
            pieces.append(line)
            line = ""
    if line or not pieces:
        pieces.append(line)
    return pieces


def c_array(symbol, data):
    body = "\n".join('    "%s"' % piece for piece in c_pieces(data))
    return "static const char %s[] =\n%s;\n" % (symbol, body)


def read(path):
    try:
        with open(path, "rb") as f:
            return f.read()
    except OSError as e:
        fail("%s: %s" % (path, e.strerror))


def parse(items, table):
    found = {}
    for item in items:
        name, equals, path = item.partition("=")
        if not equals:
            if not table:
                fail("expected NAME=FILE, found %s" % item)
            name, path = os.path.basename(item), item
        if not table and not IDENTIFIER.match(name):
            fail("%s is no C identifier" % name)
        if name in found:
            fail("%s stands there twice" % name)
        found[name] = read(path)
    return sorted(found.items())


def accessors(files):
    out = []
    for name, data in files:
        out.append(c_array("data_" + name, data))
        out.append("struct bytes embed_%s(void);\nstruct bytes embed_%s(void)\n{\n"
                   "    return (struct bytes){data_%s, %d};\n}\n" % (name, name, name, len(data)))
    return out


def c_text(text):
    return '"' + "".join(c_pieces(text.encode())) + '"'


def table_of(table, files):
    out, rows = [], []
    for at, (path, data) in enumerate(files):
        mime = MIME.get(path.rpartition(".")[2].lower(), "application/octet-stream")
        etag = '"%s"' % hashlib.sha256(data).hexdigest()[:32]
        out.append(c_array("data_%d" % at, data))
        rows.append("    {%s, %s, {data_%d, %d}, %s},\n"
                    % (c_text(path), c_text(mime), at, len(data), c_text(etag)))
    rows.append("    {0},\n")  # so that an empty table is C too
    out.append("static const struct embed_file table[] = {\n%s};\n" % "".join(rows))
    name = "const struct embed_file *embed_%s(size_t *ret_count)" % table
    out.append("%s;\n%s\n{\n    *ret_count = %d;\n    return table;\n}\n" % (name, name, len(files)))
    return out


def main(argv):
    if len(argv) < 2:
        fail(__doc__.strip())
    target, items, table = argv[1], argv[2:], None
    if items and items[0] == "--table":
        if len(items) < 2 or not IDENTIFIER.match(items[1]):
            fail("--table wants a C identifier")
        table, items = items[1], items[2:]
    files = parse(items, table)
    head = "// Made by tools/embed.py: do not edit.\n// SPDX-License-Identifier: Apache-2.0\n"
    include = '#include "base/embed.h"\n'
    text = "\n".join([head + include] + (table_of(table, files) if table else accessors(files)))
    if os.path.exists(target) and read(target) == text.encode():
        os.utime(target)
        return
    with open(target + ".new", "w", encoding="ascii") as f:
        f.write(text)
    os.replace(target + ".new", target)


if __name__ == "__main__":
    main(sys.argv)
