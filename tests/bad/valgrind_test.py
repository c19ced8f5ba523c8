# valgrind_test.py: one life of a node under valgrind: no error, no leak; and a long run that must not
# grow.
# timeout: 300
# SPDX-License-Identifier: Apache-2.0
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
import plexus
from bad import SANITIZED, config, fd_count, model, read_all, request, reset, rss_kb, split, stream_end
from plexus import Node, wait_until

if not shutil.which("valgrind"):
    plexus.skip("valgrind is not installed")


def plain():
    """The build without optimisation and sanitizers, made when it is not there."""
    env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MODE", "CFLAGS")}
    made = subprocess.run(["make", "-s", "MODE=plain", "CC=gcc", "build/plain-gcc/plexus"], cwd=plexus.ROOT, env=env,
                          capture_output=True, text=True)
    assert made.returncode == 0, made.stdout + made.stderr
    return plexus.ROOT / "build/plain-gcc/plexus"


def test_one_life_under_valgrind():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="plexus-valgrind-"))
    report, script, real = folder / "report", folder / "plexus", plexus.PLEXUS
    supp = plexus.ROOT / "tests/valgrind.supp"
    script.write_text(f"#!/bin/sh\nexec valgrind -q --error-exitcode=99 --leak-check=full --track-fds=no "
                      f"--show-leak-kinds=definite,indirect --errors-for-leak-kinds=definite,indirect "
                      f"--suppressions={supp} --log-file={report} {plain()} \"$@\"\n")
    script.chmod(0o755)
    plexus.PLEXUS = str(script)
    try:
        with Node(env={"PLEXUS_SELF": str(plain())}, config=config(model("m", timeouts={"silence": "3s"}), model("broken", "--die-loading",
                                                                       restarts={"max": 1}),
                         model("big", "--health-delay-ms", 500), listen={"api": "127.0.0.1:0", "keys": "off"})) as node:
            plexus.PLEXUS = real  # commands run as they are
            first = node.chat("m")
            assert first.status == 200, first
            with node.stream("m", "!script frames=20 gap_ms=5") as answer:
                assert stream_end(answer.read()) == "done"
            assert node.chat("broken").status == 502
            for script_text in ("!script garbage", "!script cut_at_frame=2 frames=5", "!script half_frame_stall=1",
                                "!script early_close_keepalive", "!script bad_chunk frames=2"):
                with node.raw() as sock:
                    sock.settimeout(30)
                    sock.sendall(request("m", script_text, "Connection: close\r\n", stream=True))
                    assert split(read_all(sock))[0] in (200, 502, 504)
            sock = node.raw()
            sock.sendall(request("m", "!script frames=1000 gap_ms=20", stream=True))
            sock.recv(100)
            reset(sock)
            for body in (b"{", b'{"model":"none"}', b'{"model":"m","messages":3}'):
                assert node.post("/v1/chat/completions", body).status in (400, 404)
            assert node.post("/v1/embeddings", {"model": "m", "input": "x"}).status == 200
            assert node.chat("big", "x" * 2000000).status == 200  # looked at by a helper thread
            made = node.post("/api/keys", {"name": "k", "scopes": ["models"]}).json
            for path in ("/metrics", "/v1/models", "/api/state", "/api/models", "/api/keys", "/api/config", "/", "/nothing",
                         "/health", "/api/logs?lines=20", "/api/doctor", "/api/config/schema"):
                assert node.get(path).status in (200, 404), path
            assert node.ask("DELETE", f"/api/keys/{made['id']}").status in (200, 204)
            events = node.raw()
            events.sendall(b"GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            node.post("/api/models/big/unload")
            node.wait_state("big", "UNLOADED")
            node.config["models"].update(model("new"))
            del node.config["models"]["big"]
            node.write()
            assert node.post("/api/config/reload").status == 200
            node.process.send_signal(signal.SIGHUP)
            assert node.chat("new").status == 200
            os.kill([p for p in node.engine_pids() if b"new" in plexus.cmdline(p).split(b"\0")][0], signal.SIGKILL)
            wait_until("deaths", lambda: node.model("new")["deaths"] == 1)
            assert node.chat("new").status == 200
            # the stop in the midst of things
            last = node.raw()
            last.sendall(request("m", "!script frames=50 gap_ms=20", "Connection: close\r\n", stream=True))
            last.recv(10)
            code = node.stop(seconds=90)
            events.close()
            last.close()
            text = report.read_text()
            assert code == 0 and not text.strip(), f"exit {code}\n{text[-6000:]}"
    finally:
        plexus.PLEXUS = real
        shutil.rmtree(folder, ignore_errors=True)


def test_long_run_does_not_grow():
    if SANITIZED:
        return  # its allocator keeps what is freed
    with Node(config(model("m"), log={"access": "off"})) as node:
        pid, connection = node.process.pid, node.connection()
        plain_body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hello"}]})
        stream_body = json.dumps({"model": "m", "stream": True, "messages": [
            {"role": "user", "content": "!script frames=3"}]})
        bad_body = json.dumps({"model": "m", "messages": 3})

        def run(count):
            for i in range(count):
                body = bad_body if i % 10 == 9 else stream_body if i % 10 == 5 else plain_body
                connection.request("POST", "/v1/chat/completions", body)
                answer = connection.getresponse()
                text = answer.read()
                assert answer.status == (400 if i % 10 == 9 else 200), text
                if i % 100 == 0:
                    assert node.get("/health").status == 200  # a connection of its own

        run(2000)
        memory, fds, began = rss_kb(pid), fd_count(pid), time.monotonic()
        run(20000)
        grown = rss_kb(pid) - memory
        print(f"20000 requests in {time.monotonic() - began:.1f} s: {grown:+d} KiB")
        assert grown < 2048, grown
        assert fd_count(pid) <= fds + 2
        connection.close()


plexus.main(globals())
