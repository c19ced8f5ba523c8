#!/usr/bin/env python3
# clients_js_test.py: the official JavaScript client: a node, its keys, and clients.mjs run against it.
# SPDX-License-Identifier: Apache-2.0
import json
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import plexus  # noqa: E402
from plexus import Node, scripted  # noqa: E402

MINILM = plexus.ROOT / "build/models/minilm-f16.gguf"
CASES = 14


def test_the_javascript_client():
    program, modules = plexus.test_env("NODE"), plexus.test_env("TEST_NODE_PATH")
    if not program or not modules:
        plexus.skip("the JavaScript client is not installed (tools/setup test)")
    models = {"talk": {"engine": "command", "command": scripted(name="talk"), "health": "/health", "kind": "chat",
                       "preload": True},
              "vectors": {"engine": "command", "command": scripted("--dims", 24, name="vectors"), "health": "/health",
                          "kind": "embedding"},
              "broken": {"engine": "command", "command": scripted("--die-loading"), "health": "/health",
                         "restarts": {"max": 0}},
              "tiny-chat": {"engine": "llama.cpp", "program": plexus.LLAMA, "file": plexus.TINY, "kind": "chat",
                            "context": 1024, "slots": 1, "threads": 1}}
    if MINILM.exists():
        models["minilm"] = {"engine": "llama.cpp", "program": plexus.LLAMA, "file": str(MINILM), "kind": "embedding",
                            "threads": 1}
    with Node({"models": models, "listen": {"api": "127.0.0.1:0", "keys": "required"}}, log_level="warn") as node:
        plexus.wait_until("talk is loaded", lambda: node.owner("GET", "/api/models/talk").json["state"] == "WARM")
        keys = {name: node.new_key(name, **more)["key"] for name, more in (
            ("all", {}), ("reader", {"scopes": ["read"]}), ("limited", {"requests_per_minute": 1}))}
        got = subprocess.run(
            [program, pathlib.Path(__file__).with_name("clients.mjs"), modules, f"http://127.0.0.1:{node.port}/v1",
             json.dumps(keys), f"http://127.0.0.1:{plexus.engine_port(node, 'talk')}", "minilm" if MINILM.exists() else ""],
            capture_output=True, text=True, timeout=55)
        print(got.stdout, end="")
        assert got.returncode == 0, got.stderr[-2000:]
        assert got.stdout.count("ok    ") == CASES, "cases are missing"


if __name__ == "__main__":
    plexus.main(globals())
