#!/usr/bin/env python3
# caps_test.py: a capability from `plexus tool new` to calls in the real enclave: granted, evaluated,
# refused, after restarts; guests that misbehave become errors of one kind.
# SPDX-License-Identifier: Apache-2.0
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "lib"))
from plexus import PLEXUS, Node, skip

GUEST = """
#include "guest.h"
%s
EXPORT("run") int run(void)
{
    %s
}
"""


def command(folder, *words, code=0, **env):
    got = subprocess.run([PLEXUS, *map(str, words)], capture_output=True, text=True, timeout=60, cwd=folder,
                         stdin=subprocess.DEVNULL, env=dict(os.environ, XDG_CONFIG_HOME=str(folder / "config"), **env))
    assert got.returncode == code, (words, got)
    return got


def project(folder, name, body=None, before="", change=None):
    """A project of this name with another body, built; the package's path."""
    command(folder, "tool", "new", name)
    where = folder / name
    if body is not None:
        (where / "main.c").write_text(GUEST % (before, body))
    file = where / "capability.json"
    draft = json.loads(file.read_text())
    if change:
        change(draft)
    file.write_text(json.dumps(draft))
    command(folder, "tool", "build", where)
    return where / f"{name}-v1.cap"


def text_out(draft):
    """Answers with text, takes anything."""
    tool = draft["tools"][0]
    del tool["output"]
    tool["input"] = {"type": "object"}
    del draft["cases"]


def whole_way(folder):
    package = project(folder, "word-count")
    with Node({"tools": {}}) as node:
        added = json.loads(node.command("tool", "add", str(package), "--json").stdout)
        assert added["granted"] and added["name"] == "word-count", added
        shown = node.command("tool", "show", "word-count").stdout
        assert "only computes: no network, no files, no secrets" in shown and "signed by" in shown, shown
        got = json.loads(node.command("tool", "call", "word-count", '{"text":"good morning"}').stdout)
        assert got == {"words": 2, "lines": 1, "bytes": 12}, got
        got = node.command("tool", "call", "word-count", "{}", check=False)
        assert got.returncode == 65 and "text" in got.stderr, got
        assert "3 passed, 0 failed" in node.command("tool", "eval", "word-count").stdout
        assert "word-count" in node.command("tool", "ls").stdout
        node.stop()
        node.start()  # it is still there
        got = json.loads(node.command("tool", "call", "word-count", "text: a b c").stdout)
        assert got["words"] == 3, got
        node.command("tool", "rm", "word-count")
        assert "word-count" not in node.command("tool", "ls").stdout


BAD = {  # body, before, what the error names
    "endless": ("for (volatile int i = 0;; i++)\n        ;", "", "timeout"),
    "trap": ("__builtin_trap();", "", "trap"),
    "bomb": ("for (;;)\n        if (__builtin_wasm_memory_grow(0, 64) == (__SIZE_TYPE__)-1)\n            __builtin_trap();", "", "("),
    "deep": ("return down(0);", "static int down(volatile int n) { return down(n + 1) + n; }", "("),
    "large": ("uint64_t n = 11 << 20, at = host_alloc(n);\n    host_output_set(at, n);\n    return 0;", "", "("),
}


def bad_guests(folder):
    with Node({"tools": {"time": "3s"}}) as node:
        for name, (body, before, kind) in BAD.items():
            def change(draft):
                text_out(draft)
                draft["limits"] = {"time_ms": 300, "memory_bytes": 8 << 20}
            node.command("tool", "add", str(project(folder, name, body, before, change)))
            got = node.command("tool", "call", name, check=False)
            assert got.returncode == 76, got
            assert "ManifestConformanceError" in got.stderr and kind in got.stderr, got.stderr
            assert f"urn:plexus:cap:local:{name}:v1" in got.stderr, got.stderr
        # What it says of itself is an answer, not a fault of the host.
        node.command("tool", "add", str(project(folder, "says-no", 'return failure("not today");', "", text_out)))
        got = node.command("tool", "call", "says-no", check=False)
        assert got.returncode == 1 and got.stderr.strip() == "not today", got
        # One whose answer does not fit its own schema.
        node.command("tool", "add", str(project(folder, "liar", 'return answer("{\\"words\\":true}", 14);')))
        got = node.command("tool", "call", "liar", "text: x", check=False)
        assert got.returncode == 76 and "/words" in got.stderr, got.stderr
        assert node.get("/health").status == 200


def grants(folder):
    """A secret reaches the guest only when a person said where it is."""
    body = """static const char key[] = "KEY";
    uint64_t at = host_config_get(to_host(key, 3));
    if (!at)
        return failure("no KEY");
    host_output_set(at, host_length(at));
    return 0;"""
    before = "HOST(config_get) uint64_t host_config_get(uint64_t at);\nHOST(length) uint64_t host_length(uint64_t at);"

    def change(draft):
        text_out(draft)
        draft["permissions"] = {"secrets": [{"name": "KEY", "why": "of the service"}]}
    package = project(folder, "keyed", body, before, change)
    with Node({"tools": {}}, env={"CAPS_TEST": "hush"}) as node:
        got = node.command("tool", "add", str(package))
        assert "gets the secret KEY (of the service)" in got.stdout and "plexus tool grant keyed" in got.stderr, got
        got = node.command("tool", "call", "keyed", check=False)
        assert got.returncode == 77, got
        got = node.command("tool", "call", "keyed", "--yes", check=False)
        assert got.returncode == 1 and "no KEY" in got.stderr, got
        got = node.command("tool", "grant", "keyed", "--yes", check=False)
        assert got.returncode == 65 and "secret:KEY=env:VARIABLE" in got.stderr, got
        node.command("tool", "grant", "keyed", "secret:KEY=env:CAPS_TEST", "--yes", "-r", "tried")
        got = node.command("tool", "call", "keyed")
        assert got.stdout == "hush\n", got
        node.command("tool", "revoke", "keyed")
        assert node.command("tool", "call", "keyed", check=False).returncode == 77
        # Another version asks anew; both are there.
        node.command("tool", "grant", "keyed", "secret:KEY=env:CAPS_TEST", "--yes")
        file = folder / "keyed/capability.json"
        draft = json.loads(file.read_text())
        draft["urn"] = draft["urn"].replace(":v1", ":v2")
        file.write_text(json.dumps(draft))
        command(folder, "tool", "build", folder / "keyed")
        added = json.loads(node.command("tool", "add", str(folder / "keyed/keyed-v2.cap"), "--json").stdout)
        assert added["name"] == "keyed_v2" and not added["granted"], added
        assert node.command("tool", "call", "keyed_v2", check=False).returncode == 77
        assert node.command("tool", "call", "keyed").stdout == "hush\n"
        log = (node.data / "logs/node.jsonl").read_text()
        assert "hush" not in log and "hush" not in (node.data / "tools/index").read_text()


def refused(folder):
    """A package that somebody changed, and signatures that this node does not take."""
    package = project(folder, "mine")
    text = json.loads(package.read_text())
    changed = folder / "changed.cap"
    text["manifest"]["description"] = "Something else."
    changed.write_text(json.dumps(text))
    key = text["manifest"]["publisher"]["key"]
    with Node({"tools": {}}) as node:
        got = node.command("tool", "add", str(changed), check=False)
        assert got.returncode == 77 and "the signature is wrong" in got.stderr, got
        text = json.loads(package.read_text())
        text["wasm"] = "AGFzbQEAAAA="
        changed.write_text(json.dumps(text))
        got = node.command("tool", "add", str(changed), check=False)
        assert got.returncode == 76 and "its manifest says" in got.stderr, got
    with Node({"tools": {"publishers": ["A" * 43]}}) as node:
        got = node.command("tool", "add", str(package), check=False)
        assert got.returncode == 77 and "tools.publishers" in got.stderr, got
    with Node({"tools": {"publishers": ["A" * 43, key]}}) as node:
        node.command("tool", "add", str(package))


def names_and_effects(folder):
    """A stranger's tool takes no name of the node's own; what its permissions do is said, whatever it says itself."""
    package = project(folder, "bash")
    lies = project(folder, "lies", change=lambda d: d.update(permissions={
        "hosts": ["example.org"], "dirs": [{"path": "/in", "write": True}]}))
    node = Node({"tools": {"folders": [{"path": "work", "write": True}]}}, start=False)
    try:
        (node.folder / "work").mkdir()
        node.start()
        added = json.loads(node.command("tool", "add", str(package), "--json").stdout)
        assert added["name"] == "bash_v1", added
        tools = {t["name"]: t for t in node.owner("GET", "/api/tools").json["tools"]}
        assert tools["bash"]["source"] == "primitive" and tools["bash_v1"]["source"] == "capability", tools
        assert json.loads(node.command("tool", "add", str(lies), "--json").stdout)["granted"] is False
        effects = {t["name"]: t for t in node.owner("GET", "/api/tools").json["tools"]}["lies"]["effects"]
        assert {"network", "reads", "writes", "destroys"} <= set(effects), effects
        node.stop()
        # Where the library is not: doctor says so, and so does a call.
        node.env = dict(os.environ, PLEXUS_WASMTIME="", HOME=str(folder), XDG_CACHE_HOME="", LD_LIBRARY_PATH="")
        node.start()
        seen = next(c for c in json.loads(node.command("doctor", "--json", check=False).stdout)["findings"] if c["id"] == "wasm")
        got = node.command("tool", "call", "bash_v1", '{"text":"x"}', check=False)
        assert ("not here" in got.stderr) == (seen["status"] == "warn"), (seen, got)
    finally:
        node.__exit__(None, None, None)


def main():
    if not shutil.which("clang") or not shutil.which("wasm-ld"):
        skip("no clang with wasm-ld")
    for test in (whole_way, bad_guests, grants, refused, names_and_effects):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="plexus-caps-"))
        try:
            test(folder)
        finally:
            shutil.rmtree(folder)
        print("ok", test.__name__)


main()
