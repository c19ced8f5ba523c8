#!/usr/bin/env python3
# commands_test.py: the commands of the mesh against three real nodes: init, token, join, nodes, drain, resolve,
# svid, standby, rm, leave, top, and what they say when something is wrong. timeout: 180
# SPDX-License-Identifier: Apache-2.0
import base64
import fcntl
import json
import os
import pathlib
import pty
import re
import select
import signal
import stat
import struct
import subprocess
import sys
import termios
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "lib")]
import plexus


class Three:
    """Three nodes that are not joined yet, each with a model of its own."""

    def __init__(self):
        self.nodes = {}
        for name in ("one", "two", "three", "four"):
            self.nodes[name] = plexus.Node({
                "node": {"name": name, "context": "dev.aipc." + name, "roles": ["chat"]},
                "listen": {"api": "127.0.0.1:0"}, "memory": {"budget": "128MiB"},
                "models": {"of-" + name: {"engine": "command", "kind": "chat", "health": "/health", "memory": "16MiB",
                                          "command": plexus.scripted(name="of-" + name)}}})
        self.token = None

    def __exit__(self, *exc):
        for node in self.nodes.values():
            node.__exit__(None, None, None)


three = plexus.shared(Three)


def at(name):
    return three().nodes[name]


def run(node, *words, code=0, text=None):
    got = at(node).command(*words, check=False, text=text)
    assert got.returncode == code, "plexus %s on %s: %d, not %d\n%s%s" % (
        " ".join(words), node, got.returncode, code, got.stdout, got.stderr)
    return got


def refused(node, *words, code, says):
    got = run(node, *words, code=code)
    assert re.search(says, got.stderr), "%r does not say %r" % (got.stderr, says)
    assert got.stderr.startswith("plexus: ") and got.stdout == "", got
    return got.stderr


def table(text):
    """Rows of a table as dicts; columns are at least two spaces apart."""
    lines = text.splitlines()
    starts = [m.start() for m in re.finditer(r"(?:^|(?<=\s\s))\S", lines[0])]
    names = [lines[0][a:b].strip() for a, b in zip(starts, starts[1:] + [None])]
    return [dict(zip(names, re.split(r"\s{2,}", line))) for line in lines[1:] if line.strip()]


def nodes(node):
    return {row["NODE"]: row for row in table(run(node, "nodes").stdout)}


def new_token(*options):
    got = run("one", "token", "new", *options)
    token = got.stdout.strip()
    assert re.fullmatch(r"plxj_[A-Za-z0-9_-]+", token), got
    line = got.stderr.strip().split("once: ")[1]
    assert line.startswith("plexus join 127.0.0.1:") and line.endswith(token), got
    return token, line.split()[2]


def listen():
    return "127.0.0.1:%d" % plexus.free_port()


def test_before_there_is_a_mesh():
    assert "one is in no mesh" in run("one", "mesh").stdout
    shown = run("one", "nodes").stdout
    assert "this node is in no mesh" in shown and table(shown)[0]["NODE"] == "one", shown
    refused("one", "token", "new", code=75, says="in no mesh: plexus mesh init")
    refused("one", "mesh", "leave", code=75, says="in no mesh")
    refused("one", "nodes", "drain", "one", code=75, says="in no mesh")
    refused("one", "resolve", "of-one", code=75, says="in no mesh")
    got = json.loads(run("one", "mesh", "--json").stdout)
    assert got["joined"] is False and [n["name"] for n in got["nodes"]] == ["one"], got


def test_init():
    refused("one", "mesh", "init", "--listen", "nowhere", code=65, says="listen")
    refused("one", "mesh", "init", "--domain", "Not A Domain", "--listen", listen(), code=65, says="domain")
    address = listen()
    got = run("one", "mesh", "init", "--domain", "test.internal", "--listen", address).stdout
    assert "test.internal is made" in got and "spiffe://test.internal/node/one" in got and address in got, got
    assert re.search(r"fingerprint +[0-9a-f]{64}\n", got), got
    refused("one", "mesh", "init", "--listen", listen(), code=75, says="already")
    got = run("one", "mesh").stdout
    assert "1 node: 1 alive" in got and "one (this node)" in got, got


def test_join():
    token, address = new_token()
    three().token, three().address = token, address
    assert re.search(r"joined test.internal as spiffe://test.internal/node/two\n2 nodes now", run(
        "two", "join", address, token, "--listen", listen()).stdout)
    refused("two", "join", address, token, "--listen", listen(), code=75, says="already a node of a mesh")
    token, address = new_token("--name", "three", "--role", "chat", "--role", "gpu", "--clearance", "confidential:eng")
    got = at("three").command("join", address, "-", "--listen", listen(), text=token + "\n")  # the token by standard input
    assert "3 nodes now" in got.stdout, got
    for name in ("one", "two", "three"):
        plexus.wait_until(name + " knows all", lambda n=name: {k: v["STATE"] for k, v in nodes(n).items()} == {
            "one": "alive", "two": "alive", "three": "alive"})
    assert "authority" in nodes("two")["one"]["NOTE"] and "this node" in nodes("two")["two"]["NOTE"]


def test_join_refused():
    token, address = three().token, three().address
    refused("four", "join", address, token, "--listen", listen(), code=77, says="used|token")
    fresh, _ = new_token("--name", "five")
    refused("four", "join", address, fresh, "--listen", listen(), code=77, says="five|name")
    refused("four", "join", address, "plxj_nonsense", "--listen", listen(), code=65, says="token")
    fresh, _ = new_token()
    raw = bytearray(base64.urlsafe_b64decode(fresh[5:] + "=" * (-len(fresh[5:]) % 4)))
    other = bytes(raw[:-1]) + bytes([raw[-1] ^ 1])  # another authority's fingerprint
    wrong = "plxj_" + base64.urlsafe_b64encode(other).decode().rstrip("=")
    said = refused("four", "join", address, wrong, "--listen", listen(), code=77, says="not of the mesh that the token names")
    assert fresh[5:20] not in said
    raw[12] ^= 1  # another secret
    wrong = "plxj_" + base64.urlsafe_b64encode(bytes(raw)).decode().rstrip("=")
    refused("four", "join", address, wrong, "--listen", listen(), code=77, says="token")
    nobody = "127.0.0.1:%d" % plexus.free_port()
    refused("four", "join", nobody, fresh, "--listen", listen(), code=69, says=re.escape(nobody))
    refused("four", "join", "nonsense", fresh, "--listen", listen(), code=65, says="address")
    assert "four is in no mesh" in run("four", "mesh").stdout
    assert "four" not in nodes("one")


def test_tokens():
    rows = table(run("one", "token").stdout)
    used = {r["USED BY"]: r for r in rows}
    assert {"one", "two", "three"} <= set(used), rows
    assert used["three"]["NODE"] == "three" and used["three"]["ROLES"] == "chat,gpu", rows
    assert used["three"]["CLEARANCE"] == "confidential:eng", rows
    assert "plxj_" not in run("one", "token", "--json").stdout
    token, address = new_token("--ttl", "2m")
    free = [r for r in table(run("one", "token").stdout) if r["USED BY"] == "-" and r["NODE"] == "any"][-1]
    ids = {r["ID"] for r in table(run("one", "token").stdout) if r["USED BY"] == "-"}
    for identity in ids:
        run("one", "token", "rm", identity)
    assert free["ID"] in ids and not [r for r in table(run("one", "token").stdout) if r["USED BY"] == "-"]
    refused("four", "join", address, token, "--listen", listen(), code=77, says="token")
    refused("one", "token", "rm", "none", code=66, says="token")
    refused("two", "token", "new", code=77, says="authority of this mesh is node one")


def test_models_and_requests_of_all():
    rows = table(run("two", "models").stdout)
    assert {(r["MODEL"], r["NODE"]) for r in rows} == {("of-" + n, n) for n in ("one", "two", "three")}, rows
    assert run("two", "models", "ls", "-q").stdout.split() == ["of-two", "of-one", "of-three"]
    for node in ("one", "two", "three"):
        for model in ("of-one", "of-two", "of-three"):
            answer = plexus.wait_until("%s for %s" % (node, model), lambda n=node, m=model: (
                lambda a: a if a.status == 200 else None)(at(n).chat(m)))
            assert answer.json["model"] == model, answer
    row = [r for r in table(run("one", "ps").stdout.split("\n\n")[1]) if r["MODEL"] == "of-two"]
    assert row and row[0]["NODE"] == "two" and row[0]["STATE"] == "WARM", row


def test_resolve():
    got = table(run("one", "resolve", "of-three").stdout)
    assert [(r["NODE"], r["FOUND BY"]) for r in got] == [("three", "registry.context.cluster")], got
    shown = run("one", "resolve", "of-one", "--explain").stdout
    steps = table(shown.split("\n\n")[0])
    assert [s["STEP"] for s in steps] == ["registry.local.hostname", "registry.context.cluster", "registry.type.default"], steps
    assert json.loads(run("one", "resolve", "of-one", "--json").stdout)["found"][0]["node"] == "one"
    refused("one", "resolve", "nobody-has-it", code=66, says="nobody-has-it")
    refused("one", "resolve", "of-one", "--kind", "embedding", code=66, says="of-one")


def test_drain():
    assert "gets no new work" in run("one", "nodes", "drain", "three").stdout
    plexus.wait_until("two knows", lambda: "draining" in nodes("two")["three"].get("NOTE", ""))
    plexus.wait_until("no node sends there", lambda: at("one").chat("of-three").status == 503)
    assert "gets work again" in run("one", "nodes", "undrain", "three").stdout
    plexus.wait_until("work again", lambda: at("one").chat("of-three").status == 200)
    run("two", "nodes", "drain", "two")  # a node may always drain itself
    plexus.wait_until("one knows", lambda: "draining" in nodes("one")["two"].get("NOTE", ""))
    run("two", "nodes", "undrain", "two")
    refused("two", "nodes", "drain", "three", code=77, says="authority of this mesh is node one")
    refused("one", "nodes", "drain", "nobody", code=66, says="nobody")


def openssl(*words, data=None):
    got = subprocess.run(["openssl", *words], input=data, capture_output=True, timeout=30)
    return got.returncode, (got.stdout + got.stderr).decode()


def test_svid():
    for node in ("one", "two"):  # by the authority itself, and through it
        folder = at(node).folder / "svid"
        got = run(node, "mesh", "svid", "agent/planner", "--out", str(folder), "--ttl", "20m")
        assert got.stdout == "" and "key.pem" in got.stderr, got
        assert stat.S_IMODE((folder / "key.pem").stat().st_mode) == 0o600
        code, said = openssl("verify", "-CAfile", str(folder / "bundle.pem"), "-untrusted", str(folder / "cert.pem"),
                             str(folder / "cert.pem"))
        assert code == 0, said
        text = openssl("x509", "-in", str(folder / "cert.pem"), "-noout", "-text")[1]
        assert "URI:spiffe://test.internal/agent/planner" in text, text
        cert = openssl("x509", "-in", str(folder / "cert.pem"), "-noout", "-pubkey")[1]
        assert cert == openssl("pkey", "-in", str(folder / "key.pem"), "-pubout")[1], "the key is not the certificate's"
    refused("two", "mesh", "svid", "user/ann", "--jwt", "--audience", "plexus", code=77, says="may not have")
    token = run("one", "mesh", "svid", "user/ann", "--jwt").stdout.strip()
    for node, bearer, status in (("two", token, 200), ("three", token, 200), ("two", token[:-8] + "AAAAAAAA", 401)):
        got = at(node).get("/v1/models", headers={"Authorization": "Bearer " + bearer})
        assert got.status == status, (node, got)
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    assert claims["sub"] == "spiffe://test.internal/user/ann" and "plexus" in claims["aud"], claims
    mine = run("two", "mesh", "svid", "agent/planner", "--jwt", "--scopes", "models").stdout.strip()
    claims = json.loads(base64.urlsafe_b64decode(mine.split(".")[1] + "=="))
    assert claims["scope"] == "models" and claims["sub"].endswith("/agent/planner"), claims
    assert at("three").get("/v1/models", headers={"Authorization": "Bearer " + mine}).status == 200
    assert at("three").get("/api/keys", headers={"Authorization": "Bearer " + mine}).status == 403
    refused("two", "mesh", "svid", "agent/planner", "--jwt", "--scopes", "models,admin", code=77, says="models only")
    refused("one", "mesh", "svid", "nonsense/../x", code=65, says="nonsense|path|identity|name")
    refused("one", "mesh", "svid", "node/one", "--ttl", "soon", code=65, says="ttl|soon")


def on_terminal(node, words, keys, seconds, until=None, size=(30, 110)):
    """Runs a command on a terminal; sends keys when `until` was seen; gives its exit code, output, and whether the
    terminal is as it was."""
    leader, follower = pty.openpty()
    fcntl.ioctl(leader, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
    was = termios.tcgetattr(follower)
    p = subprocess.Popen([plexus.PLEXUS, *words, "--data", str(at(node).data)], stdin=follower, stdout=follower,
                         stderr=follower, start_new_session=True, env=dict(os.environ, TERM="xterm"),
                         preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
    out, sent, end = b"", False, time.monotonic() + seconds
    while time.monotonic() < end and p.poll() is None:
        if select.select([leader], [], [], 0.05)[0]:
            out += os.read(leader, 65536)
        if not sent and (until is None or until in out):
            if isinstance(keys, bytes):
                os.write(leader, keys)
            else:
                keys(p)
            sent = True
    while select.select([leader], [], [], 0.05)[0]:
        out += os.read(leader, 65536)
    code = p.poll()
    if code is None:
        p.kill()
        p.wait()
    same = termios.tcgetattr(follower) == was
    os.close(leader)
    os.close(follower)
    return code, out, same


def test_top():
    shown = run("one", "top").stdout
    assert "mesh test.internal, 3 nodes: 3 alive" in shown and "of-three" in shown, shown
    got = json.loads(run("one", "top", "--json").stdout)
    assert got["mesh"]["joined"] and got["state"]["node"]["name"] == "one"
    for keys in (b"q", b"\x03", lambda p: p.send_signal(signal.SIGTERM)):
        code, out, same = on_terminal("one", ["top"], keys, 10, until=b"3 alive")
        assert code in (0, 75), (code, out)
        assert out.startswith(b"\x1b[?1049h\x1b[?25l") and out.rstrip().endswith(b"\x1b[?1049l") or b"\x1b[?25h\x1b[?1049l" in out, out[-200:]
        assert same, "the terminal is not as it was"
    code, out, same = on_terminal("one", ["top"], b"q", 10, until=b"NODE", size=(10, 40))
    screen = out[out.rindex(b"\x1b[H"):].split(b"\x1b[J")[0]
    plain = re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", screen).decode().split("\n")
    plain = [line.rstrip("\r") for line in plain]
    assert any(line.startswith("NODE") for line in plain), plain
    assert len(plain) <= 10 and all(len(line) <= 40 for line in plain), plain


def test_a_live_view_draws_only_when_something_happens():
    code, out, same = on_terminal("one", ["nodes", "--watch"], lambda p: time.sleep(3) or p.send_signal(signal.SIGINT), 12, until=b"alive")
    drawn = out.count(b"\x1b[H")
    assert 1 <= drawn <= 10 and same, (drawn, same)


def test_standby():
    refused("two", "nodes", "rm", "three", code=77, says="authority of this mesh is node one")
    refused("one", "mesh", "standby", "nobody", code=66, says="no node")
    assert "two may sign" in run("one", "mesh", "standby", "two").stdout
    assert re.search(r"^standby +two$", run("one", "mesh").stdout, re.M)


def test_death_is_seen():
    at("three").process.send_signal(signal.SIGKILL)
    at("three").process.wait()
    plexus.wait_until("dead", lambda: nodes("one")["three"]["STATE"] == "dead", 5)
    assert at("one").chat("of-three").status == 503
    at("three").stop()
    at("three").start()
    plexus.wait_until("back by itself, with its identity", lambda: nodes("one")["three"]["STATE"] == "alive", 10)
    plexus.wait_until("and answers", lambda: at("one").chat("of-three").status == 200)


def test_removal():
    refused("one", "nodes", "rm", "one", code=75, says="plexus mesh leave")
    assert "three is removed" in run("one", "nodes", "rm", "three").stdout
    plexus.wait_until("two knows", lambda: nodes("two").get("three", {"STATE": "removed"})["STATE"] == "removed", 5)
    plexus.wait_until("it knows itself", lambda: "is in no mesh" in run("three", "mesh").stdout, 10)
    refused("one", "nodes", "rm", "nobody", code=66, says="nobody")


def test_leave():
    refused("one", "mesh", "leave", code=75, says="authority")
    assert "has left the mesh" in run("two", "mesh", "leave").stdout
    assert "two is in no mesh" in run("two", "mesh").stdout
    plexus.wait_until("one knows", lambda: nodes("one").get("two", {"STATE": "left"})["STATE"] in ("left", "removed"), 5)
    assert at("two").chat("of-two").status == 200, "its own models go on"
    token, address = new_token()
    run("two", "join", address, token, "--listen", listen())
    plexus.wait_until("and it can come back", lambda: nodes("one")["two"]["STATE"] == "alive", 5)


if __name__ == "__main__":
    if not os.path.exists(plexus.SCRIPTED):
        plexus.skip("build/tests/scripted is not built (make scripted)")
    plexus.main(globals())
