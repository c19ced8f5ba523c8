#!/usr/bin/env python3
# doc_test.py: the steps of docs/FLOWS.md, and its flow with cases: each YAML block is written to the file that it names, each
# `plexus flow` line of the console blocks is typed as it stands, in its order, and prints what stands there (ids,
# times and "..." may differ). timeout: 180
# SPDX-License-Identifier: Apache-2.0
import pathlib
import re
import shlex
import subprocess
import sys

import flowkit as flows
import plexus

DOC = plexus.ROOT / "docs/FLOWS.md"


def blocks():
    """("yaml", name, text) and ("console", [(line, [output lines])])."""
    for kind, body in re.findall(r"^```(yaml|console)\n(.*?)^```$", DOC.read_text(), re.S | re.M):
        if kind == "yaml":
            named = re.match(r"# (\S+\.yaml)\n", body)
            if named:
                yield "yaml", named[1], body
            continue
        lines = []
        for line in body.splitlines():
            if line.startswith("$ "):
                lines.append((line[2:], []))
            else:
                lines[-1][1].append(line)
        yield "console", None, lines


def alike(line):
    line = re.sub(r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\b|\b\d\d:\d\d:\d\d\.\d+\b", "#", line)
    line = re.sub(r"\d+(?:\.\d+)? (?:ms|s)\b", "#", line)
    line = re.sub(r"^run \S+$", "run #", line)
    line = re.sub(r"(plexus flow \w+) [\w-]+`", r"\1 #`", line)
    line = re.sub(r'"year": \d+', '"year": #', line)
    return re.sub(r"\s+", " ", line).strip()


def fits(want, got):
    """Each wanted line, in this order; "..." stands for any lines or for the rest of a text."""
    got = [alike(g) for g in got]
    at = 0
    gap = False
    for line in want:
        if line.strip() == "...":
            gap = True
            continue
        pattern = re.escape(alike(line)).replace(r"\.\.\.", ".*")
        while at < len(got) and not re.fullmatch(pattern, got[at]):
            if not gap:
                return line
            at += 1
        if at == len(got):
            return line
        at += 1
        gap = False
    return None


def typed(node, folder, line, output):
    words = shlex.split(line)
    assert words[:2] == ["plexus", "flow"], line
    env = dict(flows.os.environ, PLEXUS_DATA=str(node.data), PLEXUS_CONFIG=str(node.file))
    r = subprocess.run([plexus.PLEXUS, *words[1:]], cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, text=True, timeout=120)
    missing = fits(output, r.stdout.splitlines())
    if missing is not None:
        raise AssertionError("$ %s\nno line %r in\n%s" % (line, missing, r.stdout))
    return r


def main():
    seen = []
    with flows.node() as node:
        folder = node.folder / "work"
        folder.mkdir()
        for kind, name, body in blocks():
            if kind == "yaml":
                (folder / name).write_text(body)
                flows.command(node, "check", folder / name)
                seen.append(name)
                continue
            for line, output in body:
                typed(node, folder, line, output)
                print("ok  $ " + line, flush=True)
    assert len(seen) == 6, seen
    print("all passed")


if __name__ == "__main__":
    main()
