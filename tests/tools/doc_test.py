#!/usr/bin/env python3
# doc_test.py: docs/TOOLS.md word by word: its configuration, then every line of its console blocks in order; each prints
# what stands there (numbers, times and keys may differ). DOC_WRITE=1 puts in what was printed. timeout: 240
# SPDX-License-Identifier: Apache-2.0
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "lib")]
import plexus

DOC = plexus.ROOT / "docs/TOOLS.md"
BLOCK = re.compile(r"```(\w*)\n(.*?)```\n", re.S)


def alike(text):
    """What must be the same in every run."""
    text = re.sub(r"\b[A-Za-z0-9_-]{43}\b", "#", text)  # a public key
    text = re.sub(r"\b[0-9a-f]{12,}\b", "#", text)
    text = re.sub(r"\d+(?:\.\d+)?(?: ?(?:us|ms|s|m|h|[KMG]iB|B)\b)*", "#", text)
    return [re.sub(r"[ \t]+", " ", line).strip() for line in text.splitlines() if line.strip()]


def console(body):
    lines = []
    for line in body.splitlines():
        if line.startswith("$ "):
            lines.append([line[2:], []])
        else:
            lines[-1][1].append(line)
    return lines


def test_every_line_of_the_document():
    if not shutil.which("clang") or not shutil.which("wasm-ld"):
        plexus.skip("needs clang and its linker for WebAssembly (lld)")
    text = DOC.read_text()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="plexus-doc-"))
    place = folder / "here"
    place.mkdir()
    binary = folder / "bin"
    binary.mkdir()
    (binary / "plexus").symlink_to(pathlib.Path(plexus.PLEXUS).resolve())
    env = {"PATH": f"{binary}:{os.environ['PATH']}", "HOME": str(folder), "LC_ALL": "C.UTF-8",
           "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", str(pathlib.Path.home() / ".cache"))}
    ports = {"8431": str(plexus.free_port()), "8481": str(plexus.free_port())}

    def here(words):
        for known, free in ports.items():
            words = words.replace(known, free)
        return words

    def there(words):
        for known, free in ports.items():
            words = words.replace(free, known)
        return words.replace(str(place), "/home/you/here").replace(str(folder), "/home/you")

    wrong, out, at = [], "", 0
    try:
        for block in BLOCK.finditer(text):
            out += text[at:block.start()]
            at = block.end()
            kind, body = block[1], block[2]
            if kind == "yaml" and body.startswith("# plexus.yaml"):
                (place / "plexus.yaml").write_text(here(body))
            if kind != "console":
                out += block[0]
                continue
            out += "```console\n"
            for words, want in console(body):
                got = subprocess.run(["bash", "-c", here(words)], cwd=place, env=env, text=True, timeout=60,
                                     stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
                said = there(got.stdout)
                out += f"$ {words}\n" + "".join(line.rstrip() + "\n" for line in said.splitlines())
                if alike(said) != alike("\n".join(want)):
                    wrong.append(f"$ {words}\n  stands there: {want}\n  was printed:  {said.splitlines()} (exit code {got.returncode})")
            out += "```\n"
        out += text[at:]
    finally:
        subprocess.run([plexus.PLEXUS, "down", "--data", str(place / "data")], capture_output=True, timeout=60)
        shutil.rmtree(folder, ignore_errors=True)
    if os.environ.get("DOC_WRITE"):
        DOC.write_text(out)
        return
    assert not wrong, "\n".join(wrong)


def test_what_it_names_is_there():
    text = DOC.read_text()
    for name in re.findall(r"\]\(([^)#]+)\)", text):
        assert (DOC.parent / name).exists(), name
    listed = subprocess.run([plexus.PLEXUS, "help", "--json"], capture_output=True, text=True).stdout
    for command in set(re.findall(r"plexus (tool|mcp|run|key|doctor|up)\b", text)):
        assert f'"name":"{command}"' in listed, command


if __name__ == "__main__":
    plexus.need_whole_sandbox()  # what bash prints there is what it prints in all layers
    plexus.main(globals())
