# flowkit.py: what the tests of flows share: a node with flows and the models of `make up`.
# SPDX-License-Identifier: Apache-2.0
import json
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
import plexus

CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
# where `make up` and where tools/get-minilm leave it; None: it was not fetched
MINILM = next((f for f in (plexus.ROOT / "build/models/minilm-f16.gguf", CACHE / "plexus/models/minilm-f16.gguf") if f.exists()), None)
EXAMPLES = plexus.ROOT / "examples/flows"


def there():
    """Are models there?"""
    return os.path.exists(plexus.LLAMA) and os.path.exists(plexus.TINY)


def models():
    """Real ones; the embedding model only where it was fetched."""
    if not there():
        plexus.skip("no engine: build/engines/llama-server")
    chat = {"engine": "llama.cpp", "file": plexus.TINY, "kind": "chat", "context": 1024, "program": plexus.LLAMA, "slots": 4, "threads": 1}
    found = {"tiny-chat": chat}
    if MINILM:
        found["minilm"] = {"engine": "llama.cpp", "file": str(MINILM), "kind": "embedding", "program": plexus.LLAMA, "threads": 1}
    return found


def node(with_models=True, more=None, **flows):
    config = {"node": {"name": "aipc", "context": "dev.aipc.node1"}, "models": {**(models() if with_models else {}), **(more or {})},
              "flows": {"queues": ["heavy-compute-queue", "edge-task-queue"], **flows}}
    return plexus.Node(config)


def command(n, *words, code=0, timeout=180, cwd=None, stdin=None):
    """plexus flow ... against this node; its standard output."""
    r = subprocess.run([plexus.PLEXUS, "flow", *map(str, words)], capture_output=True, text=True, timeout=timeout, input=stdin or "",
                       cwd=cwd, env=dict(os.environ, PLEXUS_DATA=str(n.data), PLEXUS_CONFIG=str(n.file)))
    if r.returncode != code:
        raise AssertionError("plexus flow %s: exit code %d, not %d\n%s%s" % (" ".join(map(str, words)), r.returncode, code, r.stdout, r.stderr))
    return r


def run(n, file, value=None, code=0, **more):
    """A flow from its start to its output."""
    words = ["run", file, "--wait"] + (["-i", json.dumps(value)] if value is not None else [])
    out = command(n, *words, code=code, **more).stdout
    return json.loads(out) if out.strip() else None


def shown(n, ident):
    return n.get("/api/flows/%s?full=1" % ident).json


def wait_for(n, ident, what, condition, seconds=30):
    return plexus.wait_until("%s: %s" % (ident, what), lambda: (r := shown(n, ident)).get("status") and condition(r), seconds)
