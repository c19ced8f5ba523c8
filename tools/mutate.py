#!/usr/bin/env python3
# mutate.py: changes one small thing in one source file, builds that file, runs its room's unit tests, and counts who notices.
# SPDX-License-Identifier: Apache-2.0
"""usage: MUTATE_CFLAGS=... MUTATE_LIBS=... mutate.py --objects DIR --cc CC [--count 100] [--seed N] [--minutes 60] [--jobs 2] [WORD...]

A sample of single mutations (comparisons, and/or, plus/minus, small numbers, true/false, conditions turned round, calls left out)
over the rooms below; WORD picks files. Each is compiled by itself, linked before the library, so that its room's test programs
run with it. Caught: a test fails or runs past its deadline. The list of those that nobody noticed is what to look at: a missing
test, or a change that means nothing. Exit code 1 when fewer than 80 of 100 were caught."""
import argparse
import concurrent.futures
import os
import pathlib
import random
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
ROOMS = ("crypto", "text", "models", "mesh", "sup", "trust", "config", "gate")
TEST_S = 60     # deadline of one test program
LEAST = 80      # caught of 100

SWAPS = [  # (pattern, replacement, what)
    (r" < ", " <= "), (r" <= ", " < "), (r" > ", " >= "), (r" >= ", " > "), (r" == ", " != "), (r" != ", " == "),
    (r" && ", " || "), (r" \|\| ", " && "), (r" \+ ", " - "), (r"(?<=[\w)]) - ", " + "), (r" \+= ", " -= "), (r" -= ", " += "),
    (r"\btrue\b", "false"), (r"\bfalse\b", "true"), (r"(?<=[=(,<>] )0(?=[;,) ])", "1"), (r"(?<=[-+<>=] )1(?=[;,) ])", "2"),
    (r"\breturn 0;", "return 1;"), (r"\breturn true;", "return false;"), (r"\bbreak;", ";"), (r"\bcontinue;", ";"),
]
CALL = re.compile(r"^\s+(?:\(void\))?[a-z_]+\([^;{}]*\);\s*$")
CONDITION = re.compile(r"\b(if|while) \((.*)\)( \{)?\s*$")


def blank(text):
    """The text with comments and literals as spaces, same length."""
    out, i = list(text), 0
    pattern = re.compile(r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", re.S)
    for found in pattern.finditer(text):
        for i in range(found.start(), found.end()):
            if out[i] != "\n":
                out[i] = " "
    return "".join(out)


def balanced(text):
    depth = 0
    for c in text:
        depth += (c == "(") - (c == ")")
        if depth < 0:
            return False
    return depth == 0


def mutations(path):
    """(line number, old line, new line) of everything that could be changed in a file."""
    text = path.read_text()
    plain, real = blank(text).splitlines(), text.splitlines()
    depth = 0
    for number, (code, line) in enumerate(zip(plain, real), 1):
        inside = depth > 0
        depth += code.count("{") - code.count("}")
        if not inside or code.lstrip().startswith("#") or "assert(" in code or "static const" in code or not code.strip():
            continue
        for pattern, new in SWAPS:
            for at in re.finditer(pattern, code):
                yield number, line, line[: at.start()] + new + line[at.end():]
        if CALL.match(code) and "fini(" not in code and "free(" not in code:
            yield number, line, re.match(r"\s*", line).group() + ";"
        found = CONDITION.search(code)
        if found and balanced(found.group(2)):
            start, end = found.span(2)
            yield number, line, line[:start] + "!(" + line[start:end] + ")" + line[end:]


def tests_of(objects, source):
    """The room's test programs' objects; those whose name is nearest to the file's come first."""
    room = source.parent
    found = [objects / t.with_suffix(".o") for t in sorted(pathlib.Path(room).glob("*_test.c"))]
    near = lambda o: -len(os.path.commonprefix([o.stem, source.stem]))
    return sorted((o for o in found if o.exists()), key=near)


class Run:
    def __init__(self, args, folder):
        self.args, self.folder = args, pathlib.Path(folder)
        self.flags = [f for f in shlex.split(os.environ["MUTATE_CFLAGS"]) if f not in ("-MMD", "-MP") and not f.startswith(("-W", "-g"))] + ["-w"]
        self.lock, self.caught, self.missed, self.by_room = threading.Lock(), 0, [], {}
        self.until = time.monotonic() + args.minutes * 60

    def command(self, words, seconds):
        """Exit status of a program in a process group of its own; None: past its deadline."""
        with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
                              start_new_session=True) as child:
            try:
                return child.wait(seconds)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, 9)
                child.wait()
                return None

    def try_one(self, number, source, at, new):
        """True: caught; False: not; None: does not compile."""
        place = self.folder / str(number)
        place.mkdir()
        lines = source.read_text().splitlines(keepends=True)
        lines[at - 1] = new + "\n"
        changed = place / source.name
        changed.write_text("".join(lines))
        obj = place / "changed.o"
        try:
            if self.command([self.args.cc, *self.flags, f"-I{source.parent}", "-c", str(changed), "-o", str(obj)], 120) != 0:
                return None
            for test in tests_of(self.args.objects, source):
                program = place / test.stem
                link = [self.args.cc, *[f for f in self.flags if f.startswith("-f")], "-o", str(program), str(test), str(obj),
                        str(self.args.objects / "libplexus.a"), *shlex.split(os.environ["MUTATE_LIBS"])]
                if self.command(link, 120) != 0:
                    return None
                if self.command([str(program)], TEST_S) not in (0, 77):
                    return True
                program.unlink()
            return False
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def one(self, job):
        number, (source, at, old, new) = job
        if time.monotonic() > self.until or self.enough():
            return
        result = self.try_one(number, source, at, new)
        if result is None:
            return
        with self.lock:
            if self.caught + len(self.missed) >= self.args.count:
                return
            counts = self.by_room.setdefault(source.parent.name, [0, 0])
            counts[0] += result
            counts[1] += 1
            if result:
                self.caught += 1
            else:
                self.missed.append(f"{source}:{at}: {old.strip()}  →  {new.strip()}")
            done = self.caught + len(self.missed)
            print(f"\r{done} of {self.args.count}, caught {self.caught}", end="", file=sys.stderr, flush=True)

    def enough(self):
        with self.lock:
            return self.caught + len(self.missed) >= self.args.count


def draw(args):
    """All mutations in random order, evenly over the rooms that have tests."""
    rng = random.Random(args.seed)
    rooms = {}
    for room in ROOMS:
        for source in sorted(pathlib.Path("src", room).glob("*.c")):
            if source.stem.endswith(("_test", "_fuzz")) or (args.words and not any(w in str(source) for w in args.words)):
                continue
            if tests_of(args.objects, source):
                rooms.setdefault(room, []).extend((source, *m) for m in mutations(source))
            else:
                print(f"{source}: its room has no unit tests here", file=sys.stderr)
    for list_ in rooms.values():
        rng.shuffle(list_)
    out = []
    while any(rooms.values()):
        for list_ in rooms.values():
            if list_:
                out.append(list_.pop())
    return out


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--objects", type=pathlib.Path, required=True)
    parser.add_argument("--cc", required=True)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=int(time.time()) // 86400)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("words", nargs="*")
    args = parser.parse_args()
    os.chdir(ROOT)
    jobs = draw(args)
    if not jobs:
        sys.exit("mutate: nothing to change")
    with tempfile.TemporaryDirectory(prefix="plexus-mutate-") as folder:
        run = Run(args, folder)
        with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
            list(pool.map(run.one, enumerate(jobs)))
    print(file=sys.stderr)
    done = run.caught + len(run.missed)
    for line in sorted(run.missed):
        print("not noticed:", line)
    for room, (caught, all_) in sorted(run.by_room.items()):
        print(f"{room:10} {caught} of {all_}")
    print(f"mutate: {run.caught} of {done} caught (seed {args.seed})" + ("" if done >= args.count else ", stopped by time"))
    return 0 if done and run.caught * 100 >= LEAST * done else 1


sys.exit(main())
