# resources_test.py: the disk is full, descriptors run out, ports and folders are taken or shut, the
# node's terminal is gone, the machine sleeps.
# timeout: 180
# SPDX-License-Identifier: Apache-2.0
import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
import plexus
from bad import (SANITIZED, config, every_line_is_json, metric, model, no_sanitizer_report, read_all, request,
                 reset, split, stream_end)
from plexus import Node, wait_until

# A mount namespace of our own, so that small disks can be mounted that nobody else sees.
if "PLEXUS_TEST_MOUNTS" not in os.environ:
    ways = [["unshare", "-m"], ["unshare", "-Urm"]]
    fits = [w for w in ways if shutil.which("unshare") and subprocess.run(
        [*w, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True).returncode == 0]
    os.environ["PLEXUS_TEST_MOUNTS"] = "1" if fits else ""
    if fits:
        os.environ["PLEXUS_TEST_USERNS"] = "" if fits[0] == ways[0] else "1"
        os.execvp("unshare", [*fits[0], sys.executable, *sys.argv])


@contextlib.contextmanager
def small_disk(options):
    """A folder whose data/ is a disk of its own; None where none can be mounted."""
    if not os.environ["PLEXUS_TEST_MOUNTS"]:
        print("  no mounts are allowed here: not tried")
        yield None
        return
    folder = pathlib.Path(tempfile.mkdtemp(prefix="plexus-disk-"))
    (folder / "data").mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", folder / "data"], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder / "data"], check=False)
        shutil.rmtree(folder, ignore_errors=True)


def fill(folder):
    with open(folder / "data/filler", "wb", buffering=0) as file:
        for size in (4096, 512, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue


def start_and_fail(node_config, folder=None, words=(), closed=False, user=None):
    """Exit code and stderr of a node that cannot start."""
    place = pathlib.Path(folder or tempfile.mkdtemp(prefix="plexus-test-"))
    try:
        (place / "plexus.yaml").write_text(json.dumps(node_config))
        got = subprocess.run([plexus.PLEXUS, "up", "--config", place / "plexus.yaml", "--data", place / "data", *words],
                             capture_output=True, text=True, timeout=20, cwd=place, user=user)
        assert "Sanitizer" not in got.stderr, got.stderr
        return got.returncode, got.stderr
    finally:
        if folder is None:
            shutil.rmtree(place, ignore_errors=True)


def test_disk_full_while_serving():
    with small_disk("size=256k,mode=0700") as folder:
        if folder is None:
            return
        with Node(config(model("m"), log={"access_flush": "50ms"}), folder=folder) as node:
            node.command("key", "new", "before", "--json")
            keys = (node.data / "keys.json").read_bytes()
            node.chat("m")
            time.sleep(0.3)
            fill(folder)
            for i in range(200):  # served as ever
                assert node.chat("m", "hello " + "x" * 50).status == 200
            node.post("/api/models/m/unload")
            node.wait_state("m", "UNLOADED")
            def lost():
                node.post("/api/models/m/unload")  # more lines, should the journal have left some room since
                return metric(node, "plexus_log_dropped_total") > 100 or node.chat("m").status is None
            wait_until("lost lines are counted", lost)
            got = node.command("key", "new", "during", check=False)
            assert got.returncode == 74 and "space" in got.stderr, got
            answer = node.post("/api/keys", {"name": "during", "scopes": ["models"]})
            assert answer.status == 507 and answer.json["error"]["code"] == "nospace", answer
            assert (node.data / "keys.json").read_bytes() == keys, "the old keys stay"
            listed = json.dumps(node.get("/api/keys").json)
            assert "during" not in listed and "before" in listed, listed
            # room again: all goes on, no line in the files is half a line
            (node.data / "filler").unlink()
            node.command("key", "new", "after", "--json")
            before = metric(node, "plexus_log_dropped_total")
            for _ in range(20):
                assert node.chat("m").status == 200
            time.sleep(0.3)
            assert metric(node, "plexus_log_dropped_total") == before
            for file in ("logs/node.jsonl", "logs/access.jsonl"):
                every_line_is_json(node.data / file)
            assert "log.dropped" in (node.data / "logs/access.jsonl").read_text()
            no_sanitizer_report(node)
            assert node.stop() == 0


def test_full_disk_from_the_start():
    with small_disk("size=64k,mode=0700") as folder:
        if folder is None:
            return
        fill(folder)
        with Node(config(model("m")), folder=folder) as node:  # nothing can be written, all can be served
            assert node.chat("m").status == 200
            assert node.command("key", "new", "x", check=False).returncode == 74
            assert node.stop() == 0


def test_no_file_can_be_made():
    with small_disk("size=64k,nr_inodes=3,mode=0700") as folder:
        if folder is None:
            return
        code, text = start_and_fail(config(model("m")), folder)
        assert code == 74 and "space" in text and "data" in text, (code, text)


def test_read_only_disk():
    with small_disk("size=64k,ro,mode=0700") as folder:
        if folder is None:
            return
        code, text = start_and_fail(config(model("m")), folder)
        assert code in (74, 77) and "ead-only" in text and "data" in text, (code, text)


def test_folders_and_files_that_are_shut():
    # the data folder is a file
    place = pathlib.Path(tempfile.mkdtemp(prefix="plexus-test-"))
    try:
        (place / "data").write_text("")
        code, text = start_and_fail(config(), place)
        assert code not in (0, 70) and "not a folder" in text.lower().replace("directory", "folder"), (code, text)
        (place / "data").unlink()
        # no configuration there, a folder in its place, an empty path
        for name, word in (("nothing.yaml", "nothing.yaml"), (".", "regular file")):
            got = subprocess.run([plexus.PLEXUS, "up", "--config", place / name, "--data", place / "data"],
                                 capture_output=True, text=True, timeout=20, cwd=place)
            assert got.returncode not in (0, 70) and word in got.stderr, got
        # keys.json is rubbish: the node does not start, and leaves it alone
        (place / "data").mkdir()
        (place / "data/keys.json").write_text('{"keys": [')
        code, text = start_and_fail(config(), place)
        assert code not in (0, 70) and "keys.json" in text, (code, text)
        assert (place / "data/keys.json").read_text() == '{"keys": ['
        (place / "data/keys.json").unlink()
        if os.getuid() == 0 and not os.environ.get("PLEXUS_TEST_USERNS"):
            binary = place / "plexus"
            shutil.copy(plexus.PLEXUS, binary)
            os.chmod(place, 0o755)
            os.chmod(place / "data", 0o700)  # of root
            (place / "plexus.yaml").write_text(json.dumps(config()))
            for mode, word in ((0o644, "data"), (0o000, "plexus.yaml")):
                os.chmod(place / "plexus.yaml", mode)
                got = subprocess.run([binary, "up", "--config", place / "plexus.yaml", "--data", place / "data"],
                                     capture_output=True, text=True, timeout=20, cwd=place, user=65534, group=65534,
                                     extra_groups=[])
                assert got.returncode == 77 and word in got.stderr and "ermission" in got.stderr, got
    finally:
        shutil.rmtree(place, ignore_errors=True)


def test_port_in_use():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        code, text = start_and_fail({"listen": {"api": address}})
        assert code == 69 and address in text and "used" in text, (code, text)
        # as one of several, and on a reload: refused whole, the old one goes on
        with Node(config(model("m"))) as node:
            pids = sorted(node.engine_pids())
            node.write(config(model("m"), listen={"api": ["127.0.0.1:0", address]}))
            answer = node.post("/api/config/reload")
            assert answer.status >= 400 and address in answer.json["error"]["message"], answer
            assert node.chat("m").status == 200


def test_two_nodes_one_folder():
    with Node(config(model("m"))) as node:
        node.chat("m")
        for _ in range(3):
            code, text = start_and_fail({"listen": {"api": "127.0.0.1:0"}}, node.folder)
            assert code == 75 and "another node" in text and str(node.process.pid) in text, (code, text)
        assert node.chat("m").status == 200
        assert node.command("ps", "--json").returncode == 0, "the first one's socket is still its own"


@contextlib.contextmanager
def limited(files):
    """plexus.PLEXUS with a limit on open files."""
    real = plexus.PLEXUS
    folder = tempfile.mkdtemp(prefix="plexus-limit-")
    script = pathlib.Path(folder, "plexus")
    script.write_text(f'#!/bin/sh\nulimit -n {files}\nexec "{os.path.abspath(real)}" "$@"\n')
    script.chmod(0o755)
    plexus.PLEXUS = str(script)
    try:
        yield
    finally:
        plexus.PLEXUS = real
        shutil.rmtree(folder, ignore_errors=True)


def test_descriptors_run_out():
    with limited(128), Node(config(model("m"), limits={"connections": 10000})) as node:
        node.chat("m")
        socks, told = [], 0
        for _ in range(300):
            try:
                sock = node.raw()
            except OSError:
                continue
            sock.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            socks.append(sock)
        served, refused = [], []
        for sock in socks:
            sock.settimeout(5)
            try:
                got = sock.recv(4096)
            except (TimeoutError, ConnectionResetError):
                got = b""
            (served if got.startswith(b"HTTP/1.1 200") else refused).append((sock, got))
        told = sum(got.startswith(b"HTTP/1.1 503") for _, got in refused)
        print(f"{len(served)} served, {told} told 503, {len(refused) - told} without an answer")
        assert served and told, (len(served), told)
        assert told >= 0.9 * len(refused), "who is beyond the limit is told"
        for sock in socks:
            sock.close()
        wait_until("the accept loop goes on", lambda: node.get("/health").status == 200)
        assert node.chat("m").status == 200
        assert metric(node, "plexus_over_limit_total") >= told
        findings = node.get("/api/doctor").json
        line = [f for f in findings.get("findings", findings) if "file" in json.dumps(f).lower()
                and f.get("status", f.get("level")) != "ok"]
        assert line, findings
        no_sanitizer_report(node)


def test_connections_limit():
    with Node(config(model("m"), limits={"connections": 20})) as node:
        socks = [node.raw() for _ in range(20)]
        for _ in range(5):
            with node.raw() as sock:
                sock.settimeout(5)
                status, head, body, whole = split(read_all(sock))
                assert status == 503 and whole and json.loads(body)["error"]["code"], (head, body)
                assert b"retry-after" in head.lower(), head
        for sock in socks:
            sock.close()
        wait_until("free again", lambda: node.get("/health").status == 200)
        assert metric(node, "plexus_over_limit_total") >= 5


def test_engines_when_descriptors_run_out():
    """A model that cannot be started for want of descriptors fails with words, and starts later."""
    with limited(64), Node(config(model("m", restarts={"max": 1, "failed_pause": "50ms"}),
                                  limits={"connections": 10000})) as node:
        socks = [node.raw() for _ in range(80)]
        time.sleep(0.3)
        assert node.process.poll() is None
        for sock in socks:
            reset(sock)
        wait_until("served again", lambda: node.get("/health").status == 200)
        time.sleep(0.1)
        assert node.chat("m").status == 200
        no_sanitizer_report(node)


def test_without_standard_descriptors():
    """Started with stdin, stdout and stderr closed: what is written there goes nowhere else."""
    with Node(config(model("m", "--log-lines", 50)), start=False) as node:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        node.config["listen"]["api"] = f"127.0.0.1:{port}"
        node.write()
        node.process = subprocess.Popen(
            ["/bin/sh", "-c", 'exec "$0" "$@" 0<&- 1>&- 2>&-', plexus.PLEXUS, "up", "--config", node.file, "--data",
             node.data], cwd=node.folder, stdout=subprocess.PIPE)
        node.out, node.port = open(node.folder / "out.log", "ab"), port
        wait_until("it serves", lambda: serves(node))
        assert node.chat("m").status == 200
        assert (node.data / "lock").read_text().strip() == str(node.process.pid)
        every_line_is_json(node.data / "logs/node.jsonl")
        for fd in (0, 1, 2):
            assert os.readlink(f"/proc/{node.process.pid}/fd/{fd}") == "/dev/null", fd
        assert node.stop() == 0


def serves(node):
    try:
        return node.get("/health").status == 200
    except OSError:
        return False


def test_machine_sleeps():
    """The node stands still for two seconds: what waits is served afterwards, nothing is cut."""
    with Node(config(model("m", timeouts={"silence": "30s"}))) as node:
        node.chat("m")
        with node.stream("m", "!script frames=20 gap_ms=100") as answer:
            answer.readline()
            os.kill(node.process.pid, signal.SIGSTOP)
            sock = node.raw()
            sock.sendall(request("m", extra="Connection: close\r\n"))
            time.sleep(2)
            os.kill(node.process.pid, signal.SIGCONT)
            assert stream_end(answer.read()) == "done"
            sock.settimeout(10)
            assert split(read_all(sock))[0] == 200
            sock.close()


plexus.main(globals())
