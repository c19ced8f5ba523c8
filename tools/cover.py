#!/usr/bin/env python3
# cover.py: branch coverage by room and file from a build with MODE=cover, by plain gcov.
# SPDX-License-Identifier: Apache-2.0
"""usage: cover.py OBJECT_DIR [--files] [--least PERCENT]

Prints a table of lines and branches by room; --files also by file; --least fails when all rooms together have fewer branches
taken. Lines with assert() are left out: their other branch is our own bug. Files that no test ran count with nothing taken."""
import argparse
import concurrent.futures
import gzip
import json
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent


def is_test(path):
    return path.stem.endswith(("_test", "_fuzz"))


def gcov(note):
    """{line: (count, [branch counts])} of the one source file of a .gcno, or None."""
    with tempfile.TemporaryDirectory() as folder:
        ran = subprocess.run(["gcov", "-b", "-j", str(note.resolve())], cwd=folder, capture_output=True, text=True)
        found = list(pathlib.Path(folder).glob("*.gcov.json.gz"))
        if not found:
            return ran.stderr.strip() or "no output"
        with gzip.open(found[0]) as f:
            return json.load(f)["files"]


def measure(objects, source):
    note = (objects / source).with_suffix(".gcno")
    if not note.exists():
        return source, None
    files = gcov(note)
    if isinstance(files, str):
        return source, files
    text = (ROOT / source).read_text().splitlines()
    lines = hit = branches = taken = 0
    for one in files:
        if not one["file"].endswith(str(source)):
            continue
        for row in one["lines"]:
            code = text[row["line_number"] - 1] if row["line_number"] <= len(text) else ""
            if "assert(" in code:
                continue
            lines += 1
            hit += row["count"] > 0
            branches += len(row["branches"])
            taken += sum(b["count"] > 0 for b in row["branches"])
    return source, (lines, hit, branches, taken)


def row(name, figures):
    lines, hit, branches, taken = figures
    share = lambda part, whole: f"{100 * part / whole:6.1f} %" if whole else "       -"
    return f"{name:34} {lines:7} {share(hit, lines)} {branches:9} {share(taken, branches)}"


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("objects", type=pathlib.Path)
    parser.add_argument("--files", action="store_true")
    parser.add_argument("--least", type=float, default=0)
    args = parser.parse_args()
    os.chdir(ROOT)
    sources = [p for p in sorted(pathlib.Path("src").glob("*/*.c")) if not is_test(p)]
    rooms, bad = {}, []
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for source, figures in pool.map(lambda s: measure(args.objects, s), sources):
            if not isinstance(figures, tuple):
                bad.append(f"{source}: {figures or 'not built'}")
                continue
            rooms.setdefault(source.parent.name, []).append((source, figures))
    if not rooms:
        sys.exit(f"cover: nothing measured below {args.objects}: make cover")
    print(f"{'room':34} {'lines':>7} {'run':>8} {'branches':>9} {'taken':>8}")
    total = [0, 0, 0, 0]
    for room in sorted(rooms):
        figures = [sum(column) for column in zip(*(f for _, f in rooms[room]))]
        total = [a + b for a, b in zip(total, figures)]
        print(row(room, figures))
        if args.files:
            for source, one in rooms[room]:
                print(row("  " + source.name, one))
    print(row("all", total))
    for line in bad:
        print("not measured:", line, file=sys.stderr)
    return 100 * total[3] / max(total[2], 1) < args.least


sys.exit(main())
