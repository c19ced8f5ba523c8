#!/usr/bin/env python3
# doors_test.py: who may come in: Host and Origin, CORS, API keys, TLS, unix sockets, the node's
# health; and what leaves it: the key for a remote engine.
# SPDX-License-Identifier: Apache-2.0
import json
import os
import pathlib
import signal
import socket
import ssl
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import plexus  # noqa: E402
from plexus import Node, scripted  # noqa: E402

CHAT = "/v1/chat/completions"
BODY = {"model": "first", "messages": [{"role": "user", "content": "hello"}]}
MODELS = {"first": {"engine": "command", "command": scripted(name="first"), "health": "/health",
                    "aliases": ["nickname"]},
          "second": {"engine": "command", "command": scripted(name="second"), "health": "/health"}}


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


# ---- Host, Origin, CORS ------------------------------------------------------------------------

plain = plexus.shared(lambda: Node({"models": MODELS, "log": {"access_flush": "20ms"}}))
web = plexus.shared(lambda: Node({"models": MODELS, "listen": {
    "api": "127.0.0.1:0", "hosts": ["ai.example.org", "*.lan.example"], "origins": ["https://app.example.org"]}}))


def test_host_guards_against_rebinding():
    port = plain().port
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", "localhost", "LOCALHOST", f"[::1]:{port}",
                 "192.168.7.7", "[fe80::1]:8000"):
        assert plain().get("/v1/models", headers={"Host": host}).status == 200, host
    for host in ("evil.example", "evil.example:8000", "127.0.0.1.evil.example", "localhost.evil.example", "xlocalhost"):
        for method, path in (("GET", "/v1/models"), ("POST", CHAT), ("GET", "/api/state"), ("GET", "/"), ("GET", "/metrics")):
            answer = plain().ask(method, path, json.dumps(BODY), headers={"Host": host})
            assert answer.status == 421, (host, path, answer)
            assert "listen.hosts" in answer.json["error"]["message"], answer
    for host, status in (("ai.example.org", 200), ("AI.Example.org:80", 200), ("a.lan.example", 200),
                         ("a.b.lan.example", 200), ("lan.example", 421), ("xlan.example", 421), ("evil.example", 421)):
        answer = web().get("/v1/models", headers={"Host": host})
        assert answer.status == status, (host, answer)


def test_foreign_origins_change_nothing():
    port = plain().port
    for origin in ("https://evil.example", "null", "http://127.0.0.1:1", f"https://evil.example:{port}"):
        for method, path in (("POST", CHAT), ("POST", "/api/models/first/unload"), ("POST", "/api/down"),
                             ("POST", "/api/keys"), ("DELETE", "/api/keys/x")):
            answer = plain().ask(method, path, json.dumps(BODY), headers={"Origin": origin})
            assert answer.status == 403, (origin, path, answer)
            assert "listen.origins" in answer.json["error"]["message"], answer
    assert plain().post(CHAT, BODY, headers={"Origin": f"http://127.0.0.1:{port}"}).status == 200
    assert plain().get("/api/state", headers={"Origin": "https://evil.example"}).status == 200  # without CORS: unreadable


def cors_of(answer):
    return {k.lower(): v for k, v in answer.headers.items() if k.lower().startswith("access-control-")}


def test_cors_only_when_configured():
    ask = {"Origin": "https://app.example.org", "Access-Control-Request-Method": "POST",
           "Access-Control-Request-Headers": "authorization, x-stainless-os"}
    answer = plain().ask("OPTIONS", CHAT, headers=ask)
    assert answer.status == 405 and not cors_of(answer), (answer, answer.headers)
    assert not cors_of(plain().get("/v1/models", headers={"Origin": "https://app.example.org"}))
    answer = web().ask("OPTIONS", CHAT, headers=ask)
    cors = cors_of(answer)
    assert answer.status == 204 and answer.body == b"", answer
    assert cors["access-control-allow-origin"] == "https://app.example.org", cors
    assert "POST" in cors["access-control-allow-methods"] and int(cors["access-control-max-age"]) > 0, cors
    assert "x-stainless-os" in cors["access-control-allow-headers"], cors
    assert web().ask("OPTIONS", CHAT, headers={**ask, "Origin": "https://evil.example"}).status == 405
    mine = {"Origin": "https://app.example.org"}
    for answer, status in ((web().post(CHAT, BODY, headers=mine), 200), (web().get("/v1/models", headers=mine), 200),
                           (web().post(CHAT, {**BODY, "model": "no"}, headers=mine), 404),
                           (web().post(CHAT, BODY, headers={**mine, **bearer("plx_wrong")}), 401)):
        assert answer.status == status, answer
        assert cors_of(answer)["access-control-allow-origin"] == mine["Origin"], answer.headers
        assert "origin" in answer.headers["Vary"].lower(), answer.headers
        assert "x-request-id" in cors_of(answer)["access-control-expose-headers"], answer.headers
    with web().stream("first", headers=mine) as answer:
        answer.read()
        assert answer.headers["Access-Control-Allow-Origin"] == mine["Origin"]
    assert not cors_of(web().get("/v1/models", headers={"Origin": "https://other.example.org"}))


# ---- keys --------------------------------------------------------------------------------------

closed = plexus.shared(lambda: Node({"models": MODELS, "listen": {
    "api": "127.0.0.1:0", "keys": "required"}, "log": {"access_flush": "20ms"}}))


def test_a_door_that_needs_keys():
    n = closed()
    for path, method in (("/v1/models", "GET"), (CHAT, "POST"), ("/api/state", "GET"), ("/metrics", "GET"),
                         ("/api/models/first/load", "POST")):
        answer = n.ask(method, path, json.dumps(BODY))
        assert answer.status == 401 and answer.headers["WWW-Authenticate"].startswith("Bearer"), (path, answer)
        assert answer.json["error"]["type"] == "authentication_error" and "key" in answer.json["error"]["message"]
    for path in ("/health", "/health/live", "/health/ready", "/"):
        assert n.get(path).status == 200, path
    for wrong in ("plx_" + "A" * 43, "sk-something", "plx_", "x" * 5000):
        answer = n.post(CHAT, BODY, headers=bearer(wrong))
        assert answer.status == 401 and wrong not in answer.body.decode(), answer
    key = n.new_key("plain")["key"]
    assert n.post(CHAT, BODY, headers=bearer(key)).status == 200
    assert n.post(CHAT, BODY, headers={"X-Api-Key": key}).status == 200
    assert n.post(CHAT, BODY, headers={"Authorization": f"bearer  {key} "}).status == 200
    assert n.post(CHAT, BODY, headers=bearer(key[:-1] + ("A" if key[-1] != "A" else "B"))).status == 401
    assert n.post(CHAT, BODY, headers={"Authorization": f"Basic {key}"}).status == 401
    assert "plain" == n.access_line(n.post(CHAT, BODY, headers=bearer(key)).headers["X-Request-Id"])["key"]
    # The text of a key is nowhere but in its owner's hands.
    for file in n.data.rglob("*"):
        if file.is_file():
            assert key.encode() not in file.read_bytes(), file
    assert key not in n.owner("GET", "/api/keys").body.decode()
    head, _ = plexus.engine_last(plexus.engine_port(n, "first"))
    assert not plexus.header_of(head, "authorization") and not plexus.header_of(head, "x-api-key"), head
    assert (n.data / "keys.json").stat().st_mode & 0o777 == 0o600


def test_a_wrong_key_on_an_open_door():
    assert plain().post(CHAT, BODY, headers=bearer("sk-placeholder")).status == 200  # clients always send something
    assert plain().post(CHAT, BODY, headers=bearer("plx_" + "A" * 43)).status == 401
    key = plain().new_key("reader", scopes=["read"])["key"]
    assert plain().post(CHAT, BODY, headers=bearer(key)).status == 403  # who shows a key is held to it


def test_scopes():
    n = closed()
    keys = {scope: n.new_key(f"scope-{scope}", scopes=[scope])["key"] for scope in ("models", "read", "admin")}
    for method, path, good in (("GET", "/v1/models", "models"), ("POST", CHAT, "models"), ("GET", "/api/state", "read"),
                               ("GET", "/metrics", "read"), ("GET", "/api/keys", "read"),
                               ("POST", "/api/models/first/load", "admin"), ("POST", "/api/config/reload", "admin")):
        for scope, key in keys.items():
            answer = n.ask(method, path, json.dumps(BODY), headers=bearer(key))
            if scope == good:
                assert answer.status < 300, (path, scope, answer)
            elif not (scope == "admin" and good == "read"):
                assert answer.status == 403 and good in answer.json["error"]["message"], (path, scope, answer)
                assert answer.json["error"]["type"] == "permission_error", answer


def test_models_of_a_key():
    n = closed()
    key = n.new_key("only-first", models=["first"])["key"]
    assert n.post(CHAT, BODY, headers=bearer(key)).status == 200
    assert n.post(CHAT, {**BODY, "model": "nickname"}, headers=bearer(key)).status == 200  # the same model
    answer = n.post(CHAT, {**BODY, "model": "second"}, headers=bearer(key))
    assert answer.status == 403 and answer.json["error"]["param"] == "model", answer
    nick = n.new_key("only-nick", models=["nick*"])["key"]  # names are the models' own
    assert n.post(CHAT, {**BODY, "model": "nickname"}, headers=bearer(nick)).status == 403
    wide = n.new_key("wide", models=["sec*"])["key"]
    assert n.post(CHAT, {**BODY, "model": "second"}, headers=bearer(wide)).status == 200
    assert n.post(CHAT, BODY, headers=bearer(wide)).status == 403


def test_expiry():
    n = closed()
    made = n.new_key("short", expires="1s")
    assert n.post(CHAT, BODY, headers=bearer(made["key"])).status == 200
    plexus.wait_until("the key has expired", lambda: n.post(CHAT, BODY, headers=bearer(made["key"])).status == 403, 5)
    answer = n.post(CHAT, BODY, headers=bearer(made["key"]))
    assert "expired" in answer.json["error"]["message"], answer
    for wrong in ({"name": ""}, {"name": "a", "expires": "soon"}, {"name": "a", "scopes": ["root"]},
                  {"name": "a", "nmae": 1}, {"name": "short"}, {"name": "a", "requests_per_minute": -1}, []):
        answer = n.owner("POST", "/api/keys", wrong)
        assert answer.status in (400, 409) and answer.json["error"]["message"], (wrong, answer)


def test_rates():
    n = closed()
    key = n.new_key("slow", requests_per_minute=3)["key"]
    statuses = [n.post(CHAT, BODY, headers=bearer(key)).status for _ in range(4)]
    assert statuses == [200, 200, 200, 429], statuses
    answer = n.post(CHAT, BODY, headers=bearer(key))
    assert answer.json["error"]["type"] == "rate_limit_error" and 1 <= int(answer.headers["Retry-After"]) <= 21, answer.headers
    usage = n.post(CHAT, BODY, headers=bearer(n.new_key("free")["key"])).json["usage"]["total_tokens"]
    key = n.new_key("few-tokens", tokens_per_minute=usage + 1)["key"]
    assert n.post(CHAT, BODY, headers=bearer(key)).status == 200
    assert n.post(CHAT, BODY, headers=bearer(key)).status == 200  # one token was left
    answer = n.post(CHAT, BODY, headers=bearer(key))
    assert answer.status == 429 and int(answer.headers["Retry-After"]) >= 1, answer
    row = next(k for k in n.owner("GET", "/api/keys").json["keys"] if k["name"] == "few-tokens")
    assert row["tokens"] == 2 * usage and row["requests"] == 2 and row["used"], row


def test_removal_takes_effect_at_once():
    n = closed()
    made = n.new_key("gone-soon")
    connection = n.connection()

    def ask():
        connection.request("POST", CHAT, json.dumps(BODY), bearer(made["key"]))
        answer = connection.getresponse()
        answer.read()
        return answer.status

    assert ask() == 200
    with n.stream("first", "!script frames=6 hold_at=3", headers=bearer(made["key"])) as running:
        running.read(1)
        assert n.owner("DELETE", f"/api/keys/{made['id']}").status == 200
        assert ask() == 401  # on the same kept connection
        plexus.engine_get(plexus.engine_port(n, "first"), "/_release")
        assert b"[DONE]" in running.read()  # what was let in before may end
    connection.close()
    assert n.owner("DELETE", f"/api/keys/{made['id']}").status == 404
    assert "gone-soon" not in [k["name"] for k in n.owner("GET", "/api/keys").json["keys"]]


def test_keys_survive_a_restart():
    with Node({"models": MODELS, "listen": {"api": "127.0.0.1:0", "keys": "required"}}) as n:
        made = n.new_key("lasting", models=["first"], requests_per_minute=1000)
        gone = n.new_key("removed")
        n.owner("DELETE", "/api/keys/removed")
        assert n.post(CHAT, BODY, headers=bearer(made["key"])).status == 200
        n.stop(signal.SIGKILL)
        n.start()
        assert n.post(CHAT, BODY, headers=bearer(made["key"])).status == 200
        assert n.post(CHAT, BODY, headers=bearer(gone["key"])).status == 401
        assert n.post(CHAT, {**BODY, "model": "second"}, headers=bearer(made["key"])).status == 403
        n.stop()
        n.start()
        row, = n.owner("GET", "/api/keys").json["keys"]
        assert row["id"] == made["id"] and row["requests_per_minute"] == 1000 and row["models"] == ["first"], row
        assert row["requests"] >= 1, row  # an orderly end keeps the counters


def test_open_doors_to_the_network_need_keys():
    with Node({"models": MODELS, "listen": {"api": "0.0.0.0:0"}}) as n:
        assert n.post(CHAT, BODY).status == 401
        assert n.post(CHAT, BODY, headers=bearer(n.new_key("k")["key"])).status == 200
    with Node({"models": MODELS, "listen": {"api": "0.0.0.0:0", "keys": "off"}}, start=False) as n:
        got = n.command("config", "check", str(n.file), check=False)
        assert got.returncode != 0 and "keys: off" in got.stdout + got.stderr, got


# ---- secrets -----------------------------------------------------------------------------------

def test_a_secret_in_the_config_is_refused_and_not_repeated():
    secret = "sk-very-secret-text"
    with Node({"models": {"cloud": {"engine": "remote", "url": "http://127.0.0.1:1/v1", "key": secret}}}, start=False) as n:
        n.start(wait=False)
        assert n.process.wait(10) == 78
        assert "env" in n.log() and "models.cloud.key" in n.log() and secret not in n.log(), n.log()
        assert "plexus.yaml:" in n.log(), n.log()


def test_a_remote_engine_gets_its_own_key():
    with plexus.EngineProcess(name="distant") as engine:
        config = {"models": {"cloud": {"engine": "remote", "url": f"http://127.0.0.1:{engine.port}/v1",
                                       "key": {"env": "CLOUD_KEY"}, "upstream_model": "distant"}},
                  "listen": {"api": "127.0.0.1:0", "keys": "required"}}
        with Node(config, env={"CLOUD_KEY": "sk-cloud-4711"}) as n:
            key = n.new_key("mine")["key"]
            answer = n.chat("cloud", headers=bearer(key))
            assert answer.status == 200, answer
            head, body = engine.last()
            assert plexus.header_of(head, "authorization") == ["Bearer sk-cloud-4711"], head
            assert json.loads(body)["model"] == "distant" and key not in "\n".join(head), head
            for path in ("/api/config", "/api/state", "/v1/models", "/api/logs", "/metrics"):
                assert "sk-cloud-4711" not in n.owner("GET", path).body.decode(), path
            assert "sk-cloud-4711" not in (n.data / "logs/node.jsonl").read_text()
            config["models"]["cloud"]["key"] = {"file": "cloud.key"}
            (n.folder / "cloud.key").write_text("sk-from-file\n")
            n.write(config)
            assert n.owner("POST", "/api/config/reload").status == 200
            assert n.chat("cloud", headers=bearer(key)).status == 200
            assert plexus.header_of(engine.last()[0], "authorization") == ["Bearer sk-from-file"]


# ---- TLS and unix sockets ----------------------------------------------------------------------

def certificate(folder, name):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem", "-days", "2", "-subj",
                    f"/CN={name}", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
                   check=True, capture_output=True)


def peer_name(port, ca):
    context = ssl.create_default_context(cafile=ca)
    with socket.create_connection(("127.0.0.1", port), 10) as raw, context.wrap_socket(raw, server_hostname="localhost") as s:
        return dict(pair[0] for pair in s.getpeercert()["subject"])["commonName"], s.version()


def test_tls_door():
    import http.client
    with Node({"models": MODELS}, start=False) as n:
        certificate(n.folder, "one")
        certificate(n.folder, "two")
        port = plexus.free_port()
        door = {"address": f"127.0.0.1:{port}", "tls": {"cert": "one.pem", "key": "one.key"}}
        n.write({**n.config, "listen": {"api": ["127.0.0.1:0", door, f"unix:{n.folder}/open.sock"]}})
        n.start()
        context = ssl.create_default_context(cafile=n.folder / "one.pem")
        connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=20)
        for _ in range(3):  # kept alive
            connection.request("POST", CHAT, json.dumps(BODY))
            answer = connection.getresponse()
            assert answer.status == 200 and json.loads(answer.read())["object"] == "chat.completion"
        big = {**BODY, "messages": [{"role": "user", "content": "!script big=3000000"}], "pad": "x" * 500000}
        connection.request("POST", CHAT, json.dumps(big))
        assert len(connection.getresponse().read()) > 3000000
        connection.request("POST", CHAT, json.dumps({**BODY, "stream": True, "messages": [
            {"role": "user", "content": "!script frames=50"}]}))
        assert connection.getresponse().read().count(b"data: ") >= 51
        connection.close()
        assert peer_name(port, n.folder / "one.pem")[1] in ("TLSv1.2", "TLSv1.3")
        # Plain text to a TLS door: an end, not a hang.
        with socket.create_connection(("127.0.0.1", port), 5) as raw:
            raw.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            began = time.monotonic()
            data = raw.recv(1000)
            while data and raw.recv(1000):
                pass
            assert time.monotonic() - began < 3 and b"200 OK" not in data, data
        # TLS to a plain door is an error too.
        try:
            peer_name(n.port, n.folder / "one.pem")
            raise AssertionError("a plain door spoke TLS")
        except (ssl.SSLError, ConnectionError):
            pass
        # A new certificate comes with a reload; connections go on.
        door["tls"] = {"cert": "two.pem", "key": "two.key"}
        n.write()
        assert n.owner("POST", "/api/config/reload").status == 200
        plexus.wait_until("the new certificate is shown", lambda: peer_name_or_none(port, n.folder / "two.pem") == "two")
        # The same files, renewed: a reload reads them again.
        certificate(n.folder, "three")
        for end in ("pem", "key"):
            os.replace(n.folder / f"three.{end}", n.folder / f"two.{end}")
        assert n.owner("POST", "/api/config/reload").status == 200
        plexus.wait_until("the renewed one is shown", lambda: peer_name_or_none(port, n.folder / "two.pem") == "three")
        # A broken one is refused whole.
        (n.folder / "two.pem").write_text("nonsense")
        assert n.owner("POST", "/api/config/reload").status >= 400
        # A unix socket without TLS beside it.
        answer = plexus.unix_ask(n.folder / "open.sock", "POST", CHAT, BODY)
        assert answer.status == 200, answer
        assert (n.folder / "open.sock").stat().st_mode & 0o777 == 0o600


def peer_name_or_none(port, ca):
    try:
        return peer_name(port, ca)[0]
    except ssl.SSLError:
        return None


def test_unix_socket_door_with_keys_and_mode():
    with Node({"models": MODELS}, start=False) as n:
        n.write({"models": MODELS, "listen": {"api": ["127.0.0.1:0", {
            "address": f"unix:{n.folder}/team.sock", "mode": "0660", "keys": "required"}]}})
        n.start()
        file = n.folder / "team.sock"
        assert file.stat().st_mode & 0o777 == 0o660
        assert plexus.unix_ask(file, "POST", CHAT, BODY).status == 401
        assert plexus.unix_ask(file, "POST", CHAT, BODY, bearer(n.new_key("team")["key"])).status == 200
        assert (n.data / "run/plexus.sock").stat().st_mode & 0o777 == 0o600
        assert n.owner("GET", "/api/state").status == 200  # the owner's own needs none
        n.stop()
        assert not file.exists() and not (n.data / "run/plexus.sock").exists(), "sockets are left behind"
        n.start()  # and comes up again
        assert plexus.unix_ask(file, "POST", CHAT, BODY).status == 401
        n.stop(signal.SIGKILL)  # a socket left behind is no obstacle
        n.start()
        assert plexus.unix_ask(file, "POST", CHAT, BODY).status == 401


# ---- health ------------------------------------------------------------------------------------

def test_health_and_draining():
    with Node({"models": MODELS, "limits": {"drain": "20s"}}) as n:
        for path, body in (("/health", {"status": "ok", "ready": True}), ("/health/live", {"status": "ok"}),
                           ("/health/ready", {"status": "ok", "ready": True})):
            answer = n.get(path)
            assert answer.status == 200 and answer.json == body, answer
        n.chat("first")
        probes = {path: n.connection() for path in ("/health/live", "/health/ready", CHAT)}
        for connection in probes.values():  # kept connections, which the drain would close when idle
            connection.connect()
            connection.sock.sendall(b"GET")  # the beginning of a head
        time.sleep(0.05)
        with n.stream("first", "!script frames=6 hold_at=3") as running:
            running.read(1)
            port = plexus.engine_port(n, "first")
            n.process.send_signal(signal.SIGTERM)
            plexus.wait_until("the door is closed", lambda: refused(n.port))
            answers = {}
            for path, connection in probes.items():
                connection.sock.sendall(f" {path.replace(CHAT, '/v1/models')} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                answers[path] = read_all(connection.sock)
            assert answers["/health/live"].startswith(b"HTTP/1.1 200 "), answers
            assert answers["/health/ready"].startswith(b"HTTP/1.1 503 "), answers
            assert b'"draining"' in answers["/health/ready"], answers
            assert all(b"Connection: close" in a for a in answers.values()), answers
            plexus.engine_get(port, "/_release")
            assert b"[DONE]" in running.read()  # what runs may end
        assert n.process.wait(15) == 0
        n.stop()


def refused(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return False
    except ConnectionRefusedError:
        return True


def read_all(sock):
    sock.settimeout(10)
    data = b""
    while part := sock.recv(65536):
        data += part
    return data


if __name__ == "__main__":
    plexus.main(globals())
