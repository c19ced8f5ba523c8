#!/usr/bin/env python3
# gen_notice.py: makes NOTICE from deps/pins.txt; --check compares instead of writing.
# SPDX-License-Identifier: Apache-2.0
"""usage: gen_notice.py [--check]"""
import os
import re
import sys

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")

# Libraries of the distribution that are linked into the binary: (name, licence, how).
SYSTEM = (
    ("libuv", "MIT", "static where the distribution has the archive"),
    ("libyaml", "MIT", "static where the distribution has the archive"),
    ("PCRE2", "BSD-3-Clause", "static where the distribution has the archive"),
    ("SQLite", "public domain", "static where the distribution has the archive"),
    ("nghttp2", "MIT", "static where the distribution has the archive"),
    ("OpenSSL", "Apache-2.0", "dynamic"),
    ("glibc", "LGPL-2.1-or-later", "dynamic; on macOS the system's C library instead"),
)

# Groups of deps/pins.txt by what becomes of them.
LINKED = ("source", "temporal")
BESIDE = ("engine", "engine-source", "model", "wasm")

HEAD = """plexus
Copyright the authors of plexus

This product is licensed under the Apache License, Version 2.0 (see LICENSE).
It contains no source of others; what it is built from and runs with is fetched when it is built.

Made by tools/gen_notice.py from deps/pins.txt: do not edit.
"""


def read_pins(text):
    """Rows (group, name, version, registry, licence, what)."""
    rows, group, note = [], None, None
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("## "):
            group = line[3:].split(":")[0].strip()
        elif line.startswith("#: "):
            note = [part.strip() for part in line[3:].split("|", 2)]
        elif note is None and (line.startswith("#") or not line.strip()) or line.startswith(" "):
            continue
        else:  # npm's packages stand as comments: their hashes are in deps/package-lock.json
            found = re.match(r"(?:# )?(@?[^=@\s]+)(?:==|@)(\S+)", line)
            if not found or group is None or note is None or len(note) != 3:
                sys.exit(f"deps/pins.txt:{number}: not NAME==VERSION below a group and a line '#: registry | licence | what'")
            rows.append((group, found.group(1), found.group(2), *note))
            note = None
    return rows


def document(rows):
    out = [HEAD, "Linked into the binary", "----------------------", ""]
    for group, name, version, _, licence, what in rows:
        if group in LINKED:
            out += [f"{name} {version} ({licence})", f"    {what}"]
    for name, licence, how in SYSTEM:
        out += [f"{name} ({licence})", f"    from the distribution, {how}"]
    out += ["", "Fetched to run beside the binary, never linked", "----------------------------------------------", ""]
    for group, name, version, _, licence, what in rows:
        if group in BESIDE:
            out += [f"{name} {version} ({licence})", f"    {what}"]
    out += ["", "Used to build, test and measure; nothing of it is shipped",
            "---------------------------------------------------------", ""]
    seen = set()
    for group, name, version, registry, licence, _ in rows:
        if group not in LINKED + BESIDE and (name, version) not in seen:
            seen.add((name, version))
            out.append(f"{name} {version} ({licence}) [{registry}: {group}]")
    return "\n".join(out) + "\n"


def main(argv):
    with open(os.path.join(ROOT, "deps/pins.txt"), encoding="utf-8") as f:
        text = document(read_pins(f.read()))
    path = os.path.join(ROOT, "NOTICE")
    if argv[1:] == ["--check"]:
        try:
            with open(path, encoding="utf-8") as f:
                same = f.read() == text
        except OSError:
            same = False
        if not same:
            sys.exit("NOTICE is not what deps/pins.txt makes: run tools/gen_notice.py")
        return
    if argv[1:]:
        sys.exit(__doc__)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


if __name__ == "__main__":
    main(sys.argv)
