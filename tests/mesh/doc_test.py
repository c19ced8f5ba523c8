#!/usr/bin/env python3
# doc_test.py: docs/MESH.md word by word: its appendix makes three machines of one, then every line of its
# console blocks is typed where it says, in its order, and prints what stands there (numbers, times and keys may
# differ). DOC_WRITE=1 puts in what was printed. Needs root, iproute2 and a real engine. timeout: 240
# SPDX-License-Identifier: Apache-2.0
import os
import pathlib
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "lib")]
import netns  # noqa: E402
import plexus

DOC = plexus.ROOT / "docs/MESH.md"
WRITE = bool(os.environ.get("DOC_WRITE"))
PROMPT = re.compile(r"(host|one|two|three)\$ (.*)\Z")
TOKEN = re.compile(r"plxj_[A-Za-z0-9_-]*")


class Line:
    def __init__(self, where, words):
        self.where, self.words, self.out = where, words, []


def read():
    """The document in pieces: plain text, and console blocks as lists of Line; and the files of its YAML blocks."""
    pieces, files, text = [], {}, []
    lines = iter(DOC.read_text().splitlines())
    for line in lines:
        text.append(line)
        if not line.startswith("```") or line == "```":
            continue
        body = []
        for inner in lines:
            if inner == "```":
                break
            body.append(inner)
        named = re.fullmatch(r"# ((?:one|two|three)/plexus\.yaml)", body[0])
        if line == "```yaml" and named:
            files[named[1]] = "\n".join(body) + "\n"
        if line == "```console":
            block = []
            for inner in body:
                typed = PROMPT.match(inner)
                if typed:
                    block.append(Line(typed[1], typed[2]))
                else:
                    block[-1].out.append(inner)
            pieces += ["\n".join(text), block]
            text = ["```"]
        else:
            text += body + ["```"]
    pieces.append("\n".join(text) + "\n")
    return pieces, files


def write(pieces):
    out = ""
    for piece in pieces:
        if isinstance(piece, str):
            out += piece if piece.startswith("#") or not out else piece
            continue
        out += "\n" + "".join("%s$ %s\n%s" % (x.where, x.words, "".join(o + "\n" for o in x.out)) for x in piece)
    DOC.write_text(out)


def alike(text):
    """What must be the same in every run. Tables keep their order of columns, not their width."""
    text = TOKEN.sub("plxj_#", text)
    text = re.sub(r"\b[0-9a-f]{12,}\b", "#", text)
    text = re.sub(r"\b\d{4}-\d\d-\d\dT[\d:.]+Z", "#", text)
    text = re.sub(r"\d+(?:\.\d+)?(?: ?(?:us|ms|s|m|h|[KMG]iB|B)\b)*", "#", text)
    text = re.sub(r"\[[#.]*\]", "[#]", text)
    return [re.sub(r"[ \t]+", " ", line).strip() for line in text.splitlines() if line.strip()]


class Machines:
    def __init__(self, files):
        self.files, self.nodes, self.token = files, {}, "plxj_"
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="plexus-doc-"))
        for name in ("models", "build"):
            (self.folder / name).symlink_to(plexus.ROOT / name)
        path = "%s:%s:%s" % (self.folder / "build", self.folder / "build/engines", os.environ["PATH"])
        self.env = {"PATH": path, "HOME": str(self.folder), "LC_ALL": "C.UTF-8"}

    def argv(self, where, words):
        if where == "host":
            return ["bash", "-c", words], self.folder
        return ["ip", "netns", "exec", where, "bash", "-c", words], self.folder / "mesh" / where

    def up(self, line):
        folder = self.folder / "mesh" / line.where
        argv, _ = self.argv(line.where, "exec " + line.words)
        log = open(self.folder / (line.where + ".log"), "wb")
        node = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=log, cwd=folder, env=self.env)
        self.nodes[line.where] = node
        said, end = b"", time.monotonic() + 30
        while b"serves at" not in said or not said.endswith(b"\n"):
            if not select.select([node.stdout], [], [], 0.1)[0] and time.monotonic() > end or node.poll() is not None:
                raise AssertionError("%s does not start: %r\n%s" % (line.where, said, (self.folder / (line.where + ".log")).read_text()))
            said += os.read(node.stdout.fileno(), 4096)
        return self.plain(said.decode())

    def plain(self, text):
        """Where the folder is does not matter."""
        return text.replace(str(self.folder), "/srv/plexus")

    def type(self, line):
        if line.words == "plexus up":
            return self.up(line)
        time.sleep(0.4)  # nobody types faster; a mesh settles in a heartbeat or two
        words = TOKEN.sub(self.token, line.words)
        argv, folder = self.argv(line.where, words)
        got = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder, env=self.env, timeout=60)
        if got.returncode:
            raise AssertionError("%s$ %s: exit code %d\n%s" % (line.where, words, got.returncode, got.stdout))
        found = TOKEN.findall(got.stdout)
        if found:
            self.token = found[-1]
        if "plxj_" in line.words:
            line.words = words
        return self.plain(got.stdout)

    def write_files(self):
        for name, text in self.files.items():
            (self.folder / "mesh" / name).write_text(text)

    def close(self):
        for node in self.nodes.values():
            if node.poll() is None:
                node.send_signal(signal.SIGINT)
        for node in self.nodes.values():
            try:
                node.wait(20)
            except subprocess.TimeoutExpired:
                node.kill()
                node.wait()
            node.stdout.close()


def follow(machines, block):
    """Types the lines of one block; gives what differs."""
    wrong = []
    for line in block:
        got = machines.type(line)
        want, found = alike("\n".join(line.out)), alike(got)
        if WRITE:
            line.out = [x.rstrip() for x in got.splitlines()]
        elif want != found:
            wrong.append("%s$ %s\n  stands there: %s\n  was printed:  %s" % (line.where, line.words, want, found))
    return wrong


def test_every_line_of_the_document():
    pieces, files = read()
    blocks = [p for p in pieces if not isinstance(p, str)]
    first, last = ([b for b in blocks if b[0].where == "host"] + [None, None])[:2]
    assert first and last and len(files) == 3 and len(blocks) > 12, (len(blocks), list(files))
    machines, wrong = Machines(files), []
    try:
        wrong += follow(machines, first)
        machines.write_files()
        for block in blocks:
            if block[0].where != "host":
                wrong += follow(machines, block)
    except BaseException:
        for log in machines.folder.glob("*.log"):
            print("----", log.name, log.read_text()[-2000:], file=sys.stderr)
        raise
    finally:
        machines.close()
        wrong += follow(machines, last)
        shutil.rmtree(machines.folder, ignore_errors=True)
    if WRITE:
        write(pieces)
    assert not wrong, "\n".join(wrong)


def test_what_it_names_is_there():
    text = DOC.read_text()
    for name in re.findall(r"\]\(([A-Z]+\.md)[)#]", text):
        assert (DOC.parent / name).exists(), name
    listed = subprocess.run([plexus.PLEXUS, "help", "--json"], capture_output=True, text=True).stdout
    for command in set(re.findall(r"`plexus ([a-z]+)", text)):
        assert '"name":"%s"' % command in listed, command


if __name__ == "__main__":
    netns.need()
    if not os.path.exists(plexus.LLAMA):
        plexus.skip("no real engine (make build/engines/llama-server)")
    for name in ("one", "two", "three", "mesh-switch"):
        if pathlib.Path("/run/netns", name).exists():  # somebody's: the document's last line would take it away
            plexus.skip("there is a network namespace %s already" % name)
    plexus.main(globals())
