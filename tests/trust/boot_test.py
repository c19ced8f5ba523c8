#!/usr/bin/env python3
# boot_test.py: what stops a start, with the mend, and what the doctor says of the same: owners and
# modes of keys and folder, the clock against the node's certificate, engines that other machines
# could reach, credentials that the bus's server refuses.
# SPDX-License-Identifier: Apache-2.0
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import plexus  # noqa: E402
from plexus import PLEXUS, Node, scripted, wait_until  # noqa: E402

EX_UNAVAILABLE, EX_NOPERM, EX_CONFIG = 69, 77, 78


def engine(name, **more):
    return {"engine": "command", "command": scripted(name=name), "health": "/health", **more}


def refused(node, code, *words, user=None):
    """`plexus up` ends at once with this code, and says these words."""
    command = [PLEXUS, "up", "--config", str(node.file), "--data", str(node.data)]
    if user is not None:
        command = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", *command]
    got = subprocess.run(command, capture_output=True, text=True, timeout=30, cwd=node.folder)
    assert got.returncode == code, got
    for word in words:
        assert word in got.stderr, (word, got.stderr)
    return got.stderr


def finding(node, name):
    """The doctor's row, of the running node or else of the folder."""
    got = node.command("doctor", "--json", *([] if node.process else ["--config", str(node.file)]), check=False)
    return next(row for row in json.loads(got.stdout)["findings"] if row["id"] == name)


def mend(row_or_text):
    """Does what the mend says, word for word."""
    text = row_or_text["mend"] if isinstance(row_or_text, dict) else row_or_text.split("To mend it: ")[1].splitlines()[0]
    subprocess.run(text.strip().rstrip('"}').replace("sudo ", "") if os.geteuid() == 0 else text, shell=True, check=True)


# ---- owners and modes --------------------------------------------------------------------------

def started_once(config=None):
    node = Node(config or {"models": {"m": engine("m")}})
    node.new_key("first")
    assert finding(node, "secrets")["status"] == "ok", finding(node, "secrets")
    node.stop()
    return node


def test_keys_that_others_can_read():
    with started_once() as n:
        for mode in (0o640, 0o604, 0o660, 0o644):
            (n.data / "keys.json").chmod(mode)
            said = refused(n, EX_NOPERM, "files with keys: ", "keys.json", f"mode {mode:04o}", "can read the keys of this node")
            row = finding(n, "secrets")
            assert row["status"] == "fail" and row["mend"] in said, (row, said)
        mend(row)
        assert (n.data / "keys.json").stat().st_mode & 0o777 == 0o600
        n.start()
        assert n.chat("m").status == 200


def test_a_data_folder_that_others_can_write():
    with started_once() as n:
        for mode in (0o770, 0o707, 0o722):
            n.data.chmod(mode)
            said = refused(n, EX_NOPERM, "data folder: ", f"mode {mode:04o}", "may change what is in it")
            row = finding(n, "data")
            assert row["status"] == "fail" and row["mend"] in said, (row, said)
        mend(said)
        assert not n.data.stat().st_mode & 0o022
        n.start()
        n.stop()
        n.data.chmod(0o755)  # that others can look into it is a warning
        assert finding(n, "data")["status"] == "warn"
        n.start()


def test_files_of_the_mesh():
    with started_once() as n:
        folder = n.data / "mesh"
        folder.mkdir(mode=0o700)
        (folder / "listen").write_text("127.0.0.1:0\n")
        (folder / "listen").chmod(0o644)
        refused(n, EX_NOPERM, "mesh/listen", "chmod go-rwx")
        (folder / "listen").chmod(0o600)
        folder.chmod(0o777)
        said = refused(n, EX_NOPERM, f"{folder}, owner", "keys of their own")
        mend(said)
        n.start()


def test_foreign_owners():
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        print("      only root can be somebody else: left to the unit test of the rule")
        return
    user = 65534
    with tempfile.TemporaryDirectory(prefix="plexus-owner-", dir="/tmp") as top:
        folder = pathlib.Path(top)
        folder.chmod(0o755)
        shutil.copy(PLEXUS, folder / "plexus")
        config = folder / "plexus.yaml"
        config.write_text(json.dumps({"listen": {"api": "127.0.0.1:0"}, "models": {}}))
        config.chmod(0o644)
        data = folder / "data"
        data.mkdir(mode=0o700)
        os.chown(data, user, user)
        (data / "keys.json").write_text('{"version":1,"keys":[]}')
        (data / "keys.json").chmod(0o604)  # of root, and readable, else the node would not get this far
        command = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", str(folder / "plexus"), "up",
                   "--config", str(config), "--data", str(data)]
        got = subprocess.run(command, capture_output=True, text=True, timeout=30, cwd=folder)
        assert got.returncode == EX_NOPERM and "keys.json, owner 0" in got.stderr, got
        assert "it belongs to someone else" in got.stderr and "sudo chown nobody" in got.stderr, got
        os.unlink(data / "keys.json")
        os.chown(data, 12345, 12345)
        data.chmod(0o777)
        got = subprocess.run(command, capture_output=True, text=True, timeout=30, cwd=folder)
        assert got.returncode == EX_NOPERM and "data folder: " in got.stderr and "owner 12345" in got.stderr, got
        assert "belongs to someone else" in got.stderr and "sudo chown -R nobody" in got.stderr, got


# ---- the clock ---------------------------------------------------------------------------------

def test_clock_before_the_certificate():
    with Node({"models": {"m": engine("m")}}) as n:
        port = plexus.socket.socket()
        port.bind(("127.0.0.1", 0))
        address = "127.0.0.1:%d" % port.getsockname()[1]
        port.close()
        made = n.owner("POST", "/api/mesh/init", {"trust_domain": "test.example", "listen": address, "svid_ttl": "1h"})
        assert made.status == 201, made
        assert finding(n, "clock")["status"] in ("ok", "warn", "skip")
        n.stop()
        # Two hours back, by the one means that asks no machine: the C library's own clock functions.
        shim = clock_shim(n.folder)
        n.env["LD_PRELOAD"] = str(shim)
        n.env["ASAN_OPTIONS"] = "verify_asan_link_order=0"  # a binary under sanitizers takes the shim, too
        n.env["CLOCK_SHIFT"] = "-7200"
        command = [PLEXUS, "up", "--config", str(n.file), "--data", str(n.data)]
        got = subprocess.run(command, capture_output=True, text=True, timeout=30, cwd=n.folder, env=n.env)
        assert got.returncode == EX_UNAVAILABLE, got
        for word in ("clock: it says ", "certificate begins at ", "the clock went back", "sudo timedatectl set-ntp true"):
            assert word in got.stderr, got.stderr
        row = finding(n, "clock")
        assert row["status"] == "fail" and row["seen"][:10] == "it says 20", row
        n.env["CLOCK_SHIFT"] = "7200"  # the node was off for long: that is no reason not to start
        row = finding(n, "clock")
        assert row["status"] == "warn" and "ended at" in row["seen"], row
        del n.env["LD_PRELOAD"]
        n.start()
        assert n.chat("m").status == 200


SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
int clock_gettime(clockid_t id, struct timespec *t)
{
    static int (*real)(clockid_t, struct timespec *);
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
    int rc = real(id, t);
    const char *shift = getenv("CLOCK_SHIFT");
    if (rc == 0 && id == CLOCK_REALTIME && shift)
        t->tv_sec += atol(shift);
    return rc;
}
"""


def clock_shim(folder):
    source, shim = folder / "shim.c", folder / "shim.so"
    source.write_text(SHIM)
    subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-o", str(shim), str(source), "-ldl"], check=True)
    return shim


# ---- engines that others could reach -----------------------------------------------------------

OPEN = """
import http.server, sys
host, port, below = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", "2"); self.end_headers(); self.wfile.write(b"ok")
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()
    def log_message(self, *a): pass
http.server.ThreadingHTTPServer((host, port), Answer).serve_forever()
"""


def open_engine(folder, host, shell=False, **more):
    program = pathlib.Path(folder) / "open.py"
    program.write_text(OPEN)
    words = [sys.executable, str(program), host, "{port}"]
    if shell:  # the listener is a child of the child
        words = ["sh", "-c", f"{sys.executable} {program} {host} $0; true", "{port}"]
    return {"engine": "command", "command": words, "health": "/", "restarts": {"max": 1}, **more}


def test_an_engine_that_listens_for_all_is_ended():
    with tempfile.TemporaryDirectory() as folder:
        models = {"open": open_engine(folder, "0.0.0.0"), "below": open_engine(folder, "0.0.0.0", shell=True),
                  "shut": open_engine(folder, "127.0.0.1"), "wanted": open_engine(folder, "0.0.0.0", expose=True)}
        with Node({"models": models}) as n:
            for name in ("open", "below"):
                answer = n.chat(name)
                assert answer.status in (502, 503), answer
                message = answer.json["error"]["message"]
                assert "the engine listened on 0.0.0.0:" in message and "expose: true" in message, message
                view = n.model(name)
                assert view["state"] == "FAILED" and "where other machines can use it" in view["failure"], view
                wait_until("its processes are gone", lambda: not any(
                    b"open.py" in plexus.cmdline(p) for p in n.engine_pids()))
                event = next(line for line in n.log_lines() if line["event"] == "engine.exposed" and line["model"] == name)
                assert event["address"].startswith("0.0.0.0:"), event
            assert n.chat("shut").body == b"ok"
            assert finding(n, "listeners")["status"] == "ok", finding(n, "listeners")
            assert n.chat("wanted").body == b"ok"
            row = finding(n, "listeners")
            assert row["status"] == "warn" and "the engine of wanted listens on 0.0.0.0:" in row["seen"], row


def test_words_that_open_an_engine():
    with Node({"models": {"m": engine("m")}}, start=False) as n:
        n.config["models"]["m"]["command"] += ["--host", "0.0.0.0"]
        n.write()
        refused(n, EX_CONFIG, "models.m.command[", "127.0.0.1", "expose: true")
        got = n.command("config", "check", "--config", str(n.file), check=False)
        assert got.returncode == EX_CONFIG and "models.m.command[" in got.stdout + got.stderr, got


# ---- the bus's credentials ---------------------------------------------------------------------

def answers(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def bus_server(engine, folder, port):
    """A real server that asks for a password."""
    program = shutil.which({"nats": "nats-server", "redis": "redis-server"}[engine])
    if not program:
        plexus.skip(f"no {engine} server")
    more = {"nats": ["-a", "127.0.0.1", "-p", str(port), "-js", "-sd", folder, "--user", "plexus", "--pass", "s3cret"],
            "redis": ["--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--requirepass", "s3cret"]}[engine]
    return subprocess.Popen([program, *more], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def test_credentials_that_the_bus_refuses():
    for engine in ("nats", "redis"):
        port = plexus.free_port()
        bus = {"engine": engine, "url": f"{engine}://127.0.0.1:{port}", "password": {"env": "BUS_PW"}}
        if engine == "nats":
            bus["user"] = "plexus"
        node = Node({"bus": bus}, env={"BUS_PW": "s3cret"}, start=False)
        with node, tempfile.TemporaryDirectory() as folder:
            node.start()  # no server: it may come later, so the node serves
            assert node.stop() == 0
            server = bus_server(engine, folder, port)
            try:
                wait_until("the server", lambda: answers(port))
                os.environ["BUS_PW"] = "wr0ng"
                said = refused(node, EX_NOPERM, "bus: the server refuses the credentials", "To mend it: set bus.", str(port))
                assert "wr0ng" not in said and "wr0ng" not in node.log(), said
                os.environ["BUS_PW"] = "s3cret"
                node.start()
                wait_until("connected", lambda: json.loads(node.command("bus", "--json").stdout)["status"] == "connected")
                assert node.stop() == 0
            finally:
                os.environ.pop("BUS_PW", None)
                server.kill()
                server.wait()


if __name__ == "__main__":
    plexus.main(globals())
