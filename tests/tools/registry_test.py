#!/usr/bin/env python3
# registry_test.py: one node is a registry for another: published with a key, fetched by URN, promoted
# while the registry is away, and kept until it is back. SPDX-License-Identifier: Apache-2.0
import http.client
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "lib"))
from plexus import PLEXUS, Node, free_port, skip, wait_until


def build(folder, name):
    env = dict(os.environ, XDG_CONFIG_HOME=str(folder / "config"))
    for words in (["new", name], ["build", name]):
        got = subprocess.run([PLEXUS, "tool", *words], capture_output=True, text=True, cwd=folder, env=env,
                             stdin=subprocess.DEVNULL, timeout=60)
        assert got.returncode == 0, got
    return str(folder / name / f"{name}-v1.cap")


def read(port, path, method="GET", body=None, headers=None):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    c.request(method, path, body, headers or {})
    answer = c.getresponse()
    data = answer.read()
    c.close()
    return answer.status, json.loads(data) if data[:1] in (b"{", b"[") else data


def urn(name):
    return f"urn:plexus:cap:local:{name}:v1"


def main():
    if not shutil.which("clang") or not shutil.which("wasm-ld"):
        skip("no clang with wasm-ld")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="plexus-registry-"))
    port = free_port()
    serves = Node({"tools": {"serve": f"127.0.0.1:{port}"}})
    try:
        key = serves.new_key("publisher", scopes=["admin"])["key"]
        weak = serves.new_key("reader", scopes=["read"])["key"]
        config = {"tools": {"registry": f"http://127.0.0.1:{port}", "registry_key": {"env": "REGISTRY_KEY"}}}
        packages = {name: build(folder, name) for name in ("one", "two", "three")}
        assert read(port, "/v1/caps") == (200, {"caps": []})

        # Without a key nobody publishes: it is kept, and the reason told.
        with Node(config, env={"REGISTRY_KEY": weak}) as node:
            node.command("tool", "add", packages["one"])
            got = json.loads(node.command("tool", "publish", "one", "--json").stdout)
            assert got["published"] is False and got["waiting"] == 1 and "40" in got["why"], got
            rows = json.loads(node.command("doctor", "--json", check=False).stdout)
            row = next(r for r in rows.get("findings", rows.get("checks", [])) if r["id"] == "registry")
            assert row["status"] == "warn" and "1 wait to be published" in row["seen"], row
            assert "plexus_capabilities_waiting 1\n" in node.get("/metrics").body.decode()
            # The same node with the right key: it goes out by itself.
            node.stop()
            node.env["REGISTRY_KEY"] = key
            node.start()
            wait_until("it is published", lambda: read(port, f"/v1/caps/{urn('one')}")[0] == 200)
            got = json.loads(node.command("tool", "publish", "one", "--json").stdout)
            assert got["published"] is True and got["waiting"] == 0, got  # the same again is well

            # The registry is away: what is promoted waits, in order, over a restart.
            serves.stop()
            for name in ("two", "three"):
                node.command("tool", "add", packages[name])
                got = json.loads(node.command("tool", "promote", name, "--json").stdout)
                assert got["published"] is False and got["event"]["type"] == "EpistemicPromotionEvent", got
            assert got["waiting"] == 2, got
            assert len(list((node.data / "tools/outbox").glob("0*"))) == 2
            node.stop()
            node.start()
            serves.start()
            wait_until("both are published", lambda: read(port, f"/v1/promotions/{urn('three')}")[0] == 200, 30)
            wait_until("nothing waits", lambda: not list((node.data / "tools/outbox").glob("0*")))
        two, three = (read(port, f"/v1/promotions/{urn(name)}")[1] for name in ("two", "three"))
        assert two["previous"] is None and len(three["previous"]) == 64, (two, three)
        assert two["evidence"]["cases"] == 3 and two["key"] == three["key"]
        assert read(port, f"/v1/evidence/{urn('two')}")[1]["passed"] == 3
        assert read(port, f"/v1/promotions/{urn('one')}")[0] == 404

        # Another node gets them by name, and by hash.
        with Node(config, env={"REGISTRY_KEY": "none"}) as other:
            added = json.loads(other.command("tool", "add", urn("two"), "--json").stdout)
            assert added["name"] == "two", added
            got = json.loads(other.command("tool", "call", "two", "text: a b").stdout)
            assert got["words"] == 2, got
            added = json.loads(other.command("tool", "add", urn("one"), "--as", "mine", "--json").stdout)
            assert added["name"] == "mine", added
            got = other.command("tool", "add", urn("four"), check=False)
            assert got.returncode == 66 and "has no" in got.stderr, got

            # Somebody changes the code on the registry's disk: nobody gets it.
            code = read(port, f"/v1/caps/{urn('three')}")[1]["code"]["sha256"]
            blob = serves.data / "registry/blobs" / code
            blob.write_bytes(blob.read_bytes()[:-1] + b"\0")
            got = other.command("tool", "add", urn("three"), check=False)
            assert got.returncode != 0 and "three" not in other.command("tool", "ls").stdout, got

        # The server by itself: what is not for strangers.
        pack = pathlib.Path(packages["one"]).read_text()
        assert read(port, "/v1/caps", "POST", pack)[0] == 401
        assert read(port, "/v1/caps", "POST", pack, {"Authorization": f"Bearer {weak}"})[0] == 403
        assert read(port, "/v1/caps", "POST", "{", {"Authorization": f"Bearer {key}"})[0] in (400, 502)
        assert read(port, "/v1/caps", "DELETE", None, {"Authorization": f"Bearer {key}"})[0] == 405
        assert read(port, "/v1/caps/..%2f..%2fkeys.json")[0] in (400, 404)
        assert read(port, "/api/tools")[0] == 404
        status, page = read(port, "/v1/caps?limit=2")
        assert status == 200 and page["caps"] == [urn("one"), urn("three")] and page["next"] == urn("three"), page
        assert read(port, f"/v1/caps?after={page['next']}")[1] == {"caps": [urn("two")]}
    finally:
        serves.stop()
        shutil.rmtree(serves.folder)
        shutil.rmtree(folder)


main()
