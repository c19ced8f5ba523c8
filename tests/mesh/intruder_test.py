#!/usr/bin/env python3
# intruder_test.py: what may be asked at the mesh's door, and by whom: a stranger, an agent, a worker, a member that
# was removed. On loopback, with certificates that the mesh made itself.
# SPDX-License-Identifier: Apache-2.0
import contextlib
import json
import pathlib
import socket
import ssl
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import plexus  # noqa: E402
from plexus import Node, wait_until  # noqa: E402


def node(name, **more):
    return Node({"node": {"name": name, "context": f"dev.test.{name}"}, **more,
                 "listen": {"api": "127.0.0.1:0", "mesh": "127.0.0.1:0"}})


class Two:
    """a has the authority, b has joined it; more can."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="plexus-intruder-"))
        self.nodes = {"a": node("a")}
        answer = self.nodes["a"].owner("POST", "/api/mesh/init", {"trust_domain": "test.example"})
        assert answer.status == 201, answer
        self.ports = {"a": answer.json["port"]}
        self.join("b")

    def __getitem__(self, name):
        return self.nodes[name]

    def join(self, name):
        self.nodes[name] = node(name)
        token = self["a"].owner("POST", "/api/mesh/tokens", {}).json["token"]
        answer = self[name].owner("POST", "/api/mesh/join", {"address": f"127.0.0.1:{self.ports['a']}", "token": token})
        assert answer.status == 200, answer
        self.ports[name] = answer.json["port"]

    def cert_of(self, name):
        """The certificate and key that this node itself shows."""
        saved = json.loads((self[name].data / "mesh/member.json").read_text())
        text = json.dumps(saved)
        pem = [v for v in values(saved) if isinstance(v, str) and "-----BEGIN" in v]
        assert len(pem) >= 2, text[:300]
        key = next(v for v in pem if "PRIVATE KEY" in v)
        cert = next(v for v in pem if "BEGIN CERTIFICATE" in v and v.count("BEGIN CERTIFICATE") > 1)
        return self.keep(name, cert, key)

    def svid(self, of):
        answer = self["a"].owner("POST", "/api/mesh/svid", {"id": of, "type": "x509"})
        assert answer.status == 200, answer
        return self.keep(of.replace("/", "-"), answer.json["cert_pem"], answer.json["key_pem"])

    def keep(self, name, cert, key):
        file = self.folder / f"{name}.pem"
        file.write_text(key + cert)
        return str(file)

    def states(self, of):
        return {n["name"]: n["state"] for n in self[of].owner("GET", "/api/mesh").json["nodes"]}

    def dial(self, to, cert=None):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["plexus/1"])
        if cert:
            context.load_cert_chain(cert)
        raw = socket.create_connection(("127.0.0.1", self.ports[to]), 10)
        return context.wrap_socket(raw)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        for one in self.nodes.values():
            one.__exit__(*exc)


def values(v):
    if isinstance(v, dict):
        v = list(v.values())
    if isinstance(v, list):
        for x in v:
            yield from values(x)
    else:
        yield v


def hear(link):
    """All until the other side ends; an end that is no goodbye counts, too."""
    said = b""
    try:
        while part := link.recv(65536):
            said += part
    except OSError:
        pass
    return said.decode(errors="replace")


def ask(link, method, path, body=b"", close=True):
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
    link.sendall((head + ("Connection: close\r\n" if close else "") + "\r\n").encode() + body)
    return hear(link) if close else None


def status(said):
    return int(said.split()[1]) if said.startswith("HTTP/1.1 ") else 0


CONTROL = [("POST", "hello"), ("POST", "sheet"), ("GET", "sheet?node=a"), ("POST", "sync"), ("POST", "beat"), ("POST", "removal"),
           ("POST", "drain"), ("POST", "standby"), ("POST", "svid"), ("POST", "leave")]


def test_who_may_ask_for_what():
    with Two() as m:
        for who, code in ((None, 401), ("agent/x", 403), ("flow/1", 403), ("node/b/worker/jobs", 403), ("node/a/worker/jobs", 403)):
            cert = m.svid(who) if who else None
            for method, what in CONTROL:
                said = ask(m.dial("a", cert), method, f"/mesh/v1/{what}", b"{}")
                assert status(said) == code, f"{who} {method} {what}: {said}"
            for path in ("/v1/chat/completions", "/api/keys", "/mesh/../api/keys"):
                assert status(ask(m.dial("a", cert), "POST", path, b"{}")) == code, (who, path)
        # A member: models and control, neither page nor API.
        cert = m.cert_of("b")
        assert status(ask(m.dial("a", cert), "GET", "/mesh/v1/sheet?node=a")) == 200
        for method, path in (("GET", "/"), ("GET", "/api/node"), ("POST", "/api/keys"), ("GET", "/metrics"), ("GET", "/v1/models"),
                             ("GET", "/mesh/v1/../../api/node"), ("GET", "/mesh/v1/none")):
            assert status(ask(m.dial("a", cert), method, path)) == 404, path
        for path in ("drain", "standby"):  # only the authority's node may
            assert status(ask(m.dial("a", cert), "POST", f"/mesh/v1/{path}", b"on")) == 403
        # The other doors have none of it, since they may be without TLS.
        assert m["a"].post("/mesh/v1/join").status == 404
        assert m.states("a") == {"a": "alive", "b": "alive"}


def test_half_a_request_when_the_door_goes():
    """Its head came as a node's, its body when the node is in no mesh any more: it is no client's request then."""
    with Two() as m:
        cert = m.cert_of("a")
        body = json.dumps({"name": "mine", "scopes": ["admin"]}).encode()
        links = {}
        for path in ("/api/keys", "/mesh/v1/sync", "/v1/chat/completions"):
            links[path] = m.dial("b", cert)
            links[path].sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode())
        time.sleep(0.2)
        assert m["b"].owner("POST", "/api/mesh/leave", {}).status == 200
        for path, link in links.items():
            try:
                link.sendall(body)
            except OSError:
                pass
            assert status(hear(link)) in (0, 400, 403, 404, 503), path
        assert m["b"].owner("GET", "/api/keys").json["keys"] == []
        assert m["b"].get("/health").status == 200


def test_a_removal_that_the_removed_one_brings():
    """b did not hear that c was removed; c itself brings the news, over a connection that is closed by it."""
    with Two() as m:
        m.join("c")
        cert = m.cert_of("c")
        wait_until("b knows c", lambda: "c" in m.states("b"))
        m["b"].stop()
        m["c"].stop()
        removed = m["a"].owner("DELETE", "/api/mesh/nodes/c")
        assert removed.status == 200, removed
        saved = json.loads((m["a"].data / "mesh/authority.json").read_text())
        text = saved["removals"][-1]
        m["a"].stop()
        m["b"].start()
        view = m["b"].owner("GET", "/api/mesh").json
        m.ports["b"] = int(next(n for n in view["nodes"] if n["self"])["addresses"][0].rpartition(":")[2])
        assert m.states("b")["c"] in ("suspect", "dead", "left"), m.states("b")
        link = m.dial("b", cert)
        began = time.monotonic()
        ask(link, "POST", "/mesh/v1/removal", text.encode(), close=False)
        said = hear(link)
        assert status(said) == 204, said
        assert time.monotonic() - began < 5, "the connection of the removed one stays open"
        try:
            said = ask(m.dial("b", cert), "GET", "/mesh/v1/sheet?node=b")
        except OSError:
            said = ""
        assert status(said) == 0, said
        assert m["b"].get("/health").status == 200


def test_strangers_cost_little():
    with Two() as m:
        for head in ("Content-Length: 33554432", "Transfer-Encoding: chunked"):
            link = m.dial("a")
            link.sendall(f"POST /mesh/v1/join HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{head}\r\n\r\n".encode())
            try:
                if "chunked" in head:
                    for _ in range(40):
                        link.sendall(b"4000\r\n" + b"a" * 0x4000 + b"\r\n")
            except OSError:
                pass
            assert status(hear(link)) == 413, head
        # Many that try tokens: each is answered, the log does not grow with them.
        link, body = m.dial("a"), json.dumps({"node": "x", "context": "dev.test.x", "token": "plxj_" + "A" * 75, "csr": "AAAA",
                                              "ed25519": "A" * 43, "sign": "A" * 86}).encode()
        before = len(m["a"].log_lines())
        for _ in range(300):
            ask(link, "POST", "/mesh/v1/join", body, close=False)
        said = ""
        while said.count("HTTP/1.1 401") < 300:
            part = link.recv(65536).decode()
            assert part, said[-300:]
            said += part
        for _ in range(150):  # no TLS at all
            with socket.create_connection(("127.0.0.1", m.ports["a"]), 5) as raw:
                raw.sendall(b"GET / HTTP/1.1\r\n\r\n")
                raw.recv(100)
        assert len(m["a"].log_lines()) - before < 200
        assert m["a"].get("/health").status == 200


def test_many_strangers_leave_room_for_clients():
    one = node("a", limits={"connections": 80})
    with one, contextlib.ExitStack() as kept:
        port = one.owner("POST", "/api/mesh/init", {}).json["port"]
        closed = 0
        for _ in range(160):  # each says nothing
            raw = kept.enter_context(socket.create_connection(("127.0.0.1", port), 5))
            raw.setblocking(False)
            closed += 1 if is_closed(raw) else 0
        assert closed > 80, closed
        for _ in range(5):
            assert one.get("/health").status == 200


def is_closed(raw):
    time.sleep(0.003)
    try:
        return raw.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


if __name__ == "__main__":
    plexus.main(globals())
