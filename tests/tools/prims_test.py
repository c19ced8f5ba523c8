# prims_test.py: the primitives and their sandbox on bad days: `plexus _prim` as it is, on folders of
# the test's own, with all layers and with some taken away; then through a node.
# SPDX-License-Identifier: Apache-2.0
import ctypes
import json
import os
import pathlib
import platform
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import plexus
from plexus import Node

LINUX = sys.platform == "linux"
NR = {"x86_64": {"unshare": 272}, "aarch64": {"unshare": 97}}.get(platform.machine(), {})
NR.update({"landlock_create_ruleset": 444, "openat2": 437, "renameat2": 316 if platform.machine() == "x86_64" else 276})
NOBODY = 61234  # a user of the test's own


def refuse_calls(names):
    """For preexec_fn: a seccomp filter under which the kernel seems not to have these calls."""
    numbers = [NR[name] for name in names]

    def apply():
        code = struct.pack("HBBI", 0x20, 0, 0, 0)  # the call's number
        for number in numbers:
            code += struct.pack("HBBI", 0x15, 0, 1, number)
            code += struct.pack("HBBI", 0x06, 0, 0, 0x00050000 | (1 if number == NR.get("unshare") else 38))
        code += struct.pack("HBBI", 0x06, 0, 0, 0x7fff0000)
        text = ctypes.create_string_buffer(code)
        program = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(text))
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.c_char_p(program), 0, 0):
            raise OSError(ctypes.get_errno(), "seccomp")
    return apply


class Box:
    """Two folders, one granted for writing, one for reading, and what calls on them answer."""

    def __init__(self, without=(), user=None):
        self.top = pathlib.Path(tempfile.mkdtemp(prefix="plexus-prims-")).resolve()
        self.work, self.books, self.other = self.top / "work", self.top / "books", self.top / "other"
        for folder in (self.work, self.books, self.other):
            folder.mkdir()
            folder.chmod(0o777)
        self.top.chmod(0o755)
        (self.other / "secret").write_text("secret")
        (self.books / "book").write_text("book\n")
        self.without, self.user = tuple(without), user
        self.binary = plexus.PLEXUS
        if user:  # who may not read the build's folder, maybe
            self.binary = str(self.top / "plexus")
            shutil.copy(plexus.PLEXUS, self.binary)
            os.chmod(self.binary, 0o755)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        shutil.rmtree(self.top, ignore_errors=True)

    def start(self, verb, options, stdin=subprocess.PIPE):
        filters = refuse_calls(self.without) if self.without else None

        def prepare():
            if self.user:
                os.setgroups([])
                os.setgid(self.user)
                os.setuid(self.user)
            if filters:
                filters()
        env = {"PATH": "/usr/bin:/bin", "HOME": "/tmp", "TMPDIR": "/tmp", "LANG": "C.UTF-8"}
        if "LD_LIBRARY_PATH" in os.environ:
            env["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
        return subprocess.Popen([self.binary, verb, *options], stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                env=env, cwd="/", preexec_fn=prepare if self.user or filters else None)

    def options(self, bare, *more):
        return ["-w", str(self.work), "-r", str(self.books), *(["-b", "1"] if bare else []), *more]

    def call(self, name, more=(), seconds=60, **words):
        """The answer: an object with text, structured, is_error; of a child that has none, exit code and text."""
        limits = {key: words.pop(key) for key in ("output_bytes", "timeout_ms", "disk_bytes") if key in words}
        child = self.start("_prim", self.options(name != "bash", *more))
        out, err = child.communicate(json.dumps({"name": name, "input": words, **limits}).encode(), timeout=seconds)
        self.code, self.err = child.returncode, err.decode()
        if not out:
            return {"text": self.err, "is_error": True, "structured": {"error": f"exit {child.returncode}"}}
        answer = json.loads(out)
        answer["text"] = answer["content"][0]["text"]
        return answer

    def good(self, name, **words):
        answer = self.call(name, **words)
        assert not answer["is_error"], (name, words, answer)
        return answer

    def bad(self, error, name, **words):
        answer = self.call(name, **words)
        assert answer["is_error"] and answer["structured"].get("error") == error, (name, words, answer)
        return answer["text"]

    def bash(self, command, **words):
        return self.call("bash", command=command, **words)

    def out(self, command, **words):
        answer = self.bash(command, **words)
        assert "stdout" in answer["structured"], (command, answer, self.err)
        return answer["structured"]["stdout"]

    def layers(self, bare=False):
        child = self.start("_jail", self.options(bare, "-l", "1"))
        out, err = child.communicate(timeout=20)
        assert child.returncode == 0, (child.returncode, err)
        return json.loads(out)


def ways():
    """Each way of the sandbox that can be tried here: what is taken away, and as whom."""
    found = [("all layers", (), None)]
    if LINUX and "unshare" in NR:
        found += [("without namespaces", ("unshare",), None), ("without landlock", ("landlock_create_ruleset",), None)]
    if LINUX and os.getuid() == 0:
        found += [(f"{what}, as a user", without, NOBODY) for what, without, _ in found]
    return found


def each_way(test):
    tried = []
    for what, without, user in ways():
        with Box(without, user) as box:
            layers = box.layers()
            if layers["root"] is not True and layers["paths"] is not True:
                print(f"      {what}: neither an own root nor landlock here: nothing runs")
                assert "refused" in box.bash("true")["text"]
                continue
            try:
                test(box, layers)
            except Exception as error:
                raise AssertionError(f"{what}: {error!r}; layers {layers}") from error
            tried.append(what)
    print("      " + "; ".join(tried))
    assert tried


# ---- the layers ----------------------------------------------------------------------------------

def test_layers_are_told():
    with Box() as box:
        layers = box.layers()
        print("      " + json.dumps(layers))
        assert layers["privs"] is True and layers["seccomp"] is True and layers["limits"] is True
    if not LINUX or "unshare" not in NR:
        return
    with Box(("unshare",)) as box:
        layers = box.layers()
        assert all(isinstance(layers[name], str) for name in ("user", "root", "pid", "net", "proc", "tmp")), layers
    with Box(("landlock_create_ruleset",)) as box:
        assert isinstance(box.layers()["paths"], str)


def test_a_policy_demands_all():
    if not LINUX or "unshare" not in NR:
        return
    for without, lost in ((("unshare",), "user namespace"), (("landlock_create_ruleset",), "landlock")):
        with Box(without) as box:
            answer = box.call("read_file", ["-s", "1"], path="x")
            assert box.code == 125 and "lacks" in answer["text"] and lost in answer["text"], answer
            answer = box.call("bash", ["-s", "1"], command="true")
            assert box.code == 125, answer
    with Box(("unshare", "landlock_create_ruleset")) as box:  # the floor, without any demand
        answer = box.bash("true")
        assert box.code == 125 and "granted folders" in answer["text"], answer


# ---- what bash cannot do -------------------------------------------------------------------------

def test_only_granted_folders():
    def check(box, layers):
        (box.work / "out").symlink_to(box.other)
        (box.work / "secret").symlink_to(box.other / "secret")
        assert box.out("echo mine > a; cat a; pwd") == f"mine\n{box.work}\n"
        assert box.out(f"cat {box.books}/book") == "book\n"
        commands = (f"cat {box.other}/secret", "cat secret", "cat out/secret", "cat ../other/secret",
                        f"ls {box.other}", f"echo x > {box.other}/new", f"echo x > {box.books}/new", "echo x > out/new",
                        f"rm -f {box.books}/book && test ! -e {box.books}/book", f"echo x >> {box.books}/book",
                        f"mv {box.books}/book {box.work}/", f"ln {box.other}/secret here && cat here",
                        "cat /proc/self/root/etc/shadow", f"cat /proc/self/root{box.other}/secret",
                        f"cat /proc/1/root{box.other}/secret", "cat /proc/1/environ", f"cat /proc/{os.getpid()}/environ",
                        "cat /etc/shadow", "cat /root/.bashrc", "ls /home/*", "head -c1 /dev/mem", "ls /sys/kernel",
                        "echo x > /usr/x", "echo x > /etc/x", "touch /x", "echo 1 > /proc/sys/kernel/core_pattern")
        script = "".join(f"if ({command}) >/dev/null 2>&1; then echo 'done: {i}'; fi\n" for i, command in enumerate(commands))
        answer = box.bash(script + "echo end")
        assert answer["structured"]["stdout"] == "end\n", (answer, commands)
        assert (box.books / "book").read_text() == "book\n" and not (box.other / "new").exists()
    each_way(check)


def test_the_nodes_own_folder_and_socket():
    def check(box, layers):
        data = box.top / "data"
        data.mkdir()
        (data / "keys.json").write_text("keys")
        data.chmod(0o755)
        path = str(data / "plexus.sock")
        with socket.socket(socket.AF_UNIX) as server, socket.socket() as tcp, socket.socket(socket.AF_UNIX) as hidden:
            server.bind(path)
            os.chmod(path, 0o777)
            server.listen()
            tcp.bind(("127.0.0.1", 0))
            tcp.listen()
            hidden.bind("\0plexus-test-" + box.top.name)
            hidden.listen()
            python = ("import socket,sys\n"
                      "def no(family, to):\n"
                      "    try:\n        s = socket.socket(family); s.settimeout(2); s.connect(to)\n"
                      "    except OSError: return\n"
                      "    sys.exit(f'reached {to}')\n"
                      f"no(socket.AF_UNIX, {path!r})\n"
                      f"no(socket.AF_UNIX, '\\0plexus-test-{box.top.name}')\n"
                      f"no(socket.AF_INET, ('127.0.0.1', {tcp.getsockname()[1]}))\n"
                      "no(socket.AF_INET, ('192.0.2.1', 80))\n"
                      "print('held')\n")
            (box.work / "reach.py").write_text(python)
            if shutil.which("python3", path="/usr/bin:/bin"):
                answer = box.bash("python3 reach.py")
                assert answer["structured"]["stdout"] == "held\n", answer
            for command in (f"cat {data}/keys.json", f"ls {data}", f"exec 3<>/dev/tcp/127.0.0.1/{tcp.getsockname()[1]}"):
                answer = box.bash(command)
                assert answer["structured"]["exit_code"] != 0, (command, answer)
    each_way(check)


def test_a_folder_that_must_not_be_seen():
    def check(box, layers):
        data = box.work / "below" / "data"
        data.mkdir(parents=True)
        (data / "keys.json").write_text("keys")
        data.chmod(0o777)
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(data / "s"))
            os.chmod(data / "s", 0o777)
            server.listen()
            hide = ["-x", str(data), "-i", str(data.stat().st_ino)]
            answer = box.call("bash", hide, command=f"cat {data}/keys.json; echo x > {data}/new; rm -rf {data}; mv {data} {data}2; "
                              "find . -name keys.json -o -name s; echo held")
            read = box.call("read_file", hide, path=str(data / "keys.json"))
            if layers["root"] is not True:  # nobody else could hide it
                assert "own root folder" in answer["text"] and "own root folder" in read["text"], (answer, read)
                return
            assert answer["structured"]["stdout"] == "held\n", answer
            assert read["structured"]["error"] == "notfound", read
            assert (data / "keys.json").read_text() == "keys" and not (data / "new").exists()
            # Another folder put at its name: then nothing runs.
            assert box.call("bash", hide, command=f"mv below there && mkdir -p {data}")["structured"]["exit_code"] == 0
            answer = box.call("bash", hide, command="cat there/data/keys.json")
            assert "must not be seen" in answer["text"], answer
    each_way(check)


def test_network_when_granted():
    if not shutil.which("bash"):
        return

    def check(box, layers):
        with socket.socket() as one, socket.socket() as two:
            for server in (one, two):
                server.bind(("127.0.0.1", 0))
                server.listen(8)
            ports = [s.getsockname()[1] for s in (one, two)]
            reach = "; ".join(f"(exec 3<>/dev/tcp/127.0.0.1/{port}) 2>/dev/null && echo {i}" for i, port in enumerate(ports)) + "; true"
            answer = box.call("bash", ["-n", "1"], command=reach)
            assert answer["structured"].get("stdout") == "0\n1\n", answer
            answer = box.call("bash", ["-n", "1", "-p", str(ports[0])], command=reach)
            want = "0\n" if layers["paths"] is True and kernel() >= (6, 7) else "0\n1\n"
            assert answer["structured"].get("stdout") == want, answer
    each_way(check)


def kernel():
    return tuple(int(part) for part in platform.release().split("-")[0].split(".")[:2])


ATTACKS = r"""
import ctypes, errno, os, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
failed = []
def no(what, call, *args):
    ctypes.set_errno(0)
    if libc[call](*args) != -1:
        failed.append(what)
def nr(what, number, *args):
    ctypes.set_errno(0)
    if libc.syscall(ctypes.c_long(number), *[ctypes.c_long(a) for a in args]) != -1:
        failed.append(what)
no("ptrace traceme", "ptrace", 0, 0, 0, 0)
no("ptrace parent", "ptrace", 16, os.getppid(), 0, 0)
no("mount", "mount", b"none", b"/tmp", b"tmpfs", 0, None)
no("umount", "umount2", b"/tmp", 2)
no("unshare user", "unshare", 0x10000000)
no("unshare mount", "unshare", 0x00020000)
no("chroot", "chroot", b"/tmp")
no("sethostname", "sethostname", b"x", 1)
no("reboot", "reboot", 0x0)
no("swapon", "swapon", b"/x", 0)
no("init_module", "init_module", None, 0, b"") if hasattr(libc, "init_module") else None
nr("io_uring_setup", 425, 1, 0)
nr("clone3", 435, 0, 0)
nr("open_tree", 428, -100, 0, 1)
nr("fsopen", 430, 0, 0)
nr("pidfd_getfd", 438, 0, 0, 0)
nr("not yet known", 500, 0)
if os.uname().machine == "x86_64":
    nr("keyctl", 250, 0, -3, 1); nr("bpf", 321, 0, 0, 0); nr("perf_event_open", 298, 0, 0, -1, -1, 0)
    nr("userfaultfd", 323, 0); nr("kexec_load", 246, 0, 0, 0, 0); nr("process_vm_readv", 310, os.getppid(), 0, 0, 0, 0, 0)
    nr("x32", 0x40000000 + 39)
if libc.setuid(0 if os.getuid() else 1) == 0 and os.getuid() != int(sys.argv[1]):
    failed.append("setuid")
for family, kind in ((17, 3), (2, 3), (10, 3), (38, 5), (40, 1), (31, 3), (16, 3)):
    try:
        socket.socket(family, kind)
        failed.append(f"socket {family} {kind}")
    except OSError:
        pass
import fcntl, termios
try:
    fcntl.ioctl(0, 0x5412, b"x")
    failed.append("TIOCSTI")
except OSError as e:
    if e.errno != errno.EPERM: failed.append(f"TIOCSTI {e}")
open("own", "w").close()
for mode in (0o4755, 0o2755):
    try:
        os.chmod("own", mode)
        failed.append(f"chmod {mode:o}")
    except OSError:
        pass
try:
    os.close(os.open("setuid", os.O_CREAT | os.O_WRONLY, 0o4755))
    failed.append("open with setuid")
except OSError:
    pass
try:
    status = list(open("/proc/self/status"))
except OSError:
    status = []
for line in status:
    if line.startswith(("CapEff", "CapPrm", "CapBnd", "CapAmb")) and int(line.split()[1], 16):
        failed.append(line.strip())
print("; ".join(failed) or "held")
"""


def test_dangerous_calls_are_refused():
    if not shutil.which("python3", path="/usr/bin:/bin"):
        print("      no python3 in /usr/bin: not looked at")
        return

    def check(box, layers):
        (box.work / "attacks.py").write_text(ATTACKS)
        answer = box.bash(f"python3 attacks.py {box.user or os.getuid()}")
        assert answer["structured"].get("stdout") == "held\n", answer
    each_way(check)


def test_others_cannot_be_killed():
    def check(box, layers):
        if layers["pid"] is not True and layers["scope"] is not True:
            return
        victim = subprocess.Popen(["sleep", "60"], preexec_fn=(lambda: os.setuid(box.user)) if box.user else None)
        try:
            box.bash(f"kill -9 {victim.pid}; kill -9 $PPID; kill -9 1; kill -9 {os.getpid()}")
            assert victim.poll() is None
        finally:
            victim.kill()
            victim.wait()
    each_way(check)


def test_no_secrets_in_the_environment():
    with Box() as box:
        os.environ["PLEXUS_TEST_SECRET"] = "s3cret"
        try:
            assert "s3cret" not in box.out("env; cat /proc/*/environ 2>/dev/null | tr '\\0' '\\n'")
        finally:
            del os.environ["PLEXUS_TEST_SECRET"]


# ---- what bash cannot use up ---------------------------------------------------------------------

def test_floods_are_cut():
    with Box() as box:
        for command, key in (("yes", "stdout"), ("cat /dev/zero", "stdout"), ("yes >&2", "stderr")):
            began = time.monotonic()
            answer = box.bash(command, timeout_ms=400, output_bytes=4096)
            got = answer["structured"]
            assert got["timed_out"] and answer["is_error"] and "bytes cut" in got[key], answer
            assert len(got[key]) < 4300 and time.monotonic() - began < 10, (command, len(got[key]))
        answer = box.bash("echo first; yes | head -c 1000000; echo last", output_bytes=4096)
        text = answer["structured"]["stdout"]
        assert text.startswith("first\ny\n") and text.endswith("y\nlast\n") and "99591" in text, text[-100:]


# Forks as a bomb does, but only 2000 times at most: where nothing holds it, the machine lives on.
TREE = "f() { if [ $1 -gt 0 ]; then f $(($1-1)) & f $(($1-1)) & fi; sleep 3%s; }; f 10; sleep 3%s"


def test_fork_bomb():
    def check(box, layers):
        mark = f"{os.getpid()}{time.monotonic_ns() % 1000000}"
        began = time.monotonic()
        bomb = ":(){ :|:& };: ; sleep 30" if layers["pid"] is True else TREE % (mark, mark)
        answer = box.call("bash", ["-c", "100"], command=bomb, timeout_ms=1500)
        assert answer["is_error"], answer
        assert time.monotonic() - began < 30
        if LINUX:
            plexus.wait_until("nothing is left", lambda: not [
                p for p in os.listdir("/proc") if p.isdigit() and mark.encode() in plexus.cmdline(int(p))], 10)
        assert box.out("echo alive") == "alive\n"
    each_way(check)


def test_left_behind_is_ended():
    with Box() as box:
        mark = f"{os.getpid()}{time.monotonic_ns() % 1000000}"
        began = time.monotonic()
        answer = box.bash(f"(setsid sleep 9{mark} &) ; sleep 9{mark} & echo started; exit 4")
        assert answer["structured"]["exit_code"] == 4 and "started" in answer["text"], answer
        assert time.monotonic() - began < 20
        gone = lambda: not [p for p in os.listdir("/proc") if p.isdigit() and mark.encode() in plexus.cmdline(int(p))]
        if LINUX:
            plexus.wait_until("nothing is left", gone, 5)
    if LINUX:  # the one outside is killed: all inside goes too
        with Box() as box:
            child = box.start("_jail", box.options(False) + ["--", "sleep", f"8{mark}"])
            inside = lambda: [p for p in os.listdir("/proc")
                              if p.isdigit() and plexus.cmdline(int(p)).startswith(f"sleep\x008{mark}".encode())]  # not _jail
            plexus.wait_until("it runs", inside)
            child.send_signal(signal.SIGKILL)
            child.communicate(timeout=10)
            plexus.wait_until("it is gone", lambda: not inside(), 5)


def test_disks_and_files_are_bounded():
    with Box() as box:
        if box.layers()["tmp"] is True:
            answer = box.call("bash", ["-t", "1048576"], command="head -c 8000000 /dev/zero > /tmp/x; stat -c %s /tmp/x")
            assert "No space left" in answer["text"] and "1048576" in answer["text"], answer
            assert box.out("ls /tmp/x 2>&1; true").endswith("No such file or directory\n")
        answer = box.call("bash", ["-f", "1000000"], command="head -c 8000000 /dev/zero > big; stat -c %s big")
        assert "1000000" in answer["text"] and (box.work / "big").stat().st_size == 1000000, answer
        answer = box.bash("for i in $(seq 40); do head -c 20000000 /dev/zero > f$i; done; echo done", disk_bytes=50 << 20,
                          timeout_ms=30000)
        assert answer["is_error"] and "of the disk" in answer["text"], answer


def test_memory_of_a_process_is_bounded():
    if not LINUX:
        return
    with Box() as box:
        answer = box.call("bash", ["-m", str(64 << 20)], command="x=$(head -c 200000000 /dev/zero | tr '\\0' x); echo ${#x}")
        assert "200000000" not in answer["text"], answer


def test_memory_of_nobody_is_not_to_be_had():
    if not LINUX or not shutil.which("python3", path="/usr/bin:/bin"):
        return
    with Box() as box:
        out = box.out("python3 -c '\nimport ctypes, errno\nlibc = ctypes.CDLL(None, use_errno=True)\n"
                      "for call in (lambda: libc.memfd_create(b\"x\", 0), lambda: libc.shmget(0, 4096, 0o1600)):\n"
                      "    print(call(), errno.errorcode[ctypes.get_errno()])'")
        assert out == "-1 ENOSYS\n-1 ENOSYS\n", out


# ---- files: names --------------------------------------------------------------------------------

def test_names():
    def check(box, layers):
        for path in ("new\nline", "sp ace", "ü\u2603", "-rf", "a'b\"c", "$HOME", "*", "tab\t", "x" * 255):
            box.good("write_file", path=path, content=path)
            assert (box.work / path).read_text() == path
            assert box.good("read_file", path=path)["text"] == path
            assert box.good("read_file", path=str(box.work / path))["text"] == path
        assert "NUL" in box.bad("invalid", "read_file", path="a\0b")
        box.bad("invalid", "write_file", path="a\0b", content="x")
        box.bad("invalid", "read_file", path="x/" * 3000)
        assert "255 bytes" in box.bad("invalid", "write_file", path="x" * 300, content="")
        box.bad("notfound", "read_file", path="none")
        for path in ("../other/secret", str(box.other / "secret"), "/etc/passwd", f"{box.work}/../other/secret", str(box.work) + "x",
                     "/proc/self/root/etc/passwd", "/proc/self/environ", "/dev/zero"):
            box.bad("forbidden", "read_file", path=path)
            box.bad("forbidden", "write_file", path=path, content="x")
        box.bad("forbidden", "write_file", path=str(box.books / "new"), content="x")
        assert box.good("read_file", path=str(box.books / "book"))["text"] == "book\n"
    with Box() as box:
        check(box, None)


def test_links():
    def check(box, layers):
        (box.work / "out").symlink_to(box.other)
        (box.work / "abs").symlink_to(box.other / "secret")
        (box.work / "up").symlink_to("../other/secret")
        (box.work / "loop").symlink_to("loop")
        (box.work / "proc").symlink_to("/proc/self/root")
        for path in ("out/secret", "abs", "up", "loop", "proc/etc/passwd"):
            box.bad("forbidden", "read_file", path=path)
            box.bad("forbidden", "write_file", path=path, content="x")
            box.bad("forbidden", "edit_file", path=path, old_text="secret", new_text="x")
        box.bad("forbidden", "list_files", path="out")
        (box.work / "dir").mkdir()
        (box.work / "dir").chmod(0o777)
        (box.work / "dir/real").write_text("one")
        (box.work / "dir/real").chmod(0o666)
        (box.work / "near").symlink_to("dir/real")  # one that stays inside is followed, and stays a link
        if "openat2" not in box.without:
            assert box.good("read_file", path="near")["text"] == "one"
        box.good("write_file", path="near", content="two")
        assert (box.work / "near").is_symlink() and (box.work / "dir/real").read_text() == "two"
        assert (box.other / "secret").read_text() == "secret"
    each_way(check)
    if LINUX:
        with Box(("openat2",)) as box:  # a kernel before 5.6: by hand, no links at all
            (box.work / "out").symlink_to(box.other)
            box.good("write_file", path="a/b/c", content="x")
            assert box.good("read_file", path="a/b/c")["text"] == "x"
            for path in ("out/secret", "../other/secret", "a/../../other/secret"):
                box.bad("forbidden", "read_file", path=path)
                box.bad("forbidden", "write_file", path=path, content="x")


def test_pipes_devices_and_folders_do_not_hang():
    with Box() as box:
        os.mkfifo(box.work / "pipe", 0o666)
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(str(box.work / "sock"))
            (box.work / "dir").mkdir()
            for name in ("pipe", "sock", "dir"):
                began = time.monotonic()
                box.bad("invalid", "read_file", path=name)
                box.bad("invalid", "write_file", path=name, content="x")
                box.bad("invalid", "edit_file", path=name, old_text="a", new_text="b")
                assert time.monotonic() - began < 20
            assert box.good("grep_files", pattern="x")["structured"]["found"] == 0
            if os.getuid() == 0:
                os.mknod(box.work / "zero", 0o666 | 0o020000, os.makedev(1, 5))
                assert box.call("read_file", path="zero")["is_error"]


def test_races_of_links():
    """A folder that becomes a link and back, as fast as can be, never leads out."""
    if not LINUX:
        return
    with Box() as box:
        libc = ctypes.CDLL(None)
        inner, link = box.work / "d", box.work / "l"
        inner.mkdir()
        (inner / "secret").write_text("mine")
        link.symlink_to(box.other)
        stop = threading.Event()

        def swap():
            while not stop.is_set():  # RENAME_EXCHANGE
                assert libc.renameat2(-100, bytes(inner), -100, bytes(link), 2) == 0
        thread = threading.Thread(target=swap)
        thread.start()
        try:
            for _ in range(40):
                assert "secret" != box.call("read_file", path="d/secret")["text"]
                box.call("write_file", path="d/new", content="x")
        finally:
            stop.set()
            thread.join()
        assert not (box.other / "new").exists() and (box.other / "secret").read_text() == "secret"


# ---- files: reading, writing ---------------------------------------------------------------------

def test_reading():
    with Box() as box:
        file = box.work / "f"
        file.write_text("".join(f"line {i}\n" for i in range(1, 5001)))
        got = box.good("read_file", path="f")
        assert got["structured"]["lines"] == 2000 and "go on with offset 2001" in got["text"], got["text"][-200:]
        got = box.good("read_file", path="f", offset=4999, limit=5)
        assert got["text"] == "line 4999\nline 5000\n" and not got["structured"]["truncated"], got
        got = box.good("read_file", path="f", offset=2, limit=2, output_bytes=10)
        assert got["text"].startswith("line 2\n\n[lines 2 to 2"), got
        assert "before line 6000" in box.bad("invalid", "read_file", path="f", offset=6000)
        got = box.good("read_file", path="f", offset_bytes=7, limit_bytes=6)
        assert got["text"].startswith("line 2\n\n[bytes 7 to 13 of") and got["structured"]["next_byte"] == 13, got
        file.write_text("no end")
        assert box.good("read_file", path="f")["text"] == "no end"
        file.write_text("")
        assert box.good("read_file", path="f")["text"] == ""
        file.write_text("ä" * 100000)  # one long line, cut between characters
        got = box.good("read_file", path="f", output_bytes=1001)
        assert got["text"].startswith("ä" * 500 + "\n\n[line 1 is longer") and got["structured"]["next_byte"] == 1000, got["text"][-200:]
        file.write_bytes(b"a\0b")
        got = box.good("read_file", path="f")
        assert got["structured"]["kind"] == "binary" and "binary file of 3 bytes" in got["text"], got
        got = box.good("read_file", path="f", offset_bytes=0, limit_bytes=4)
        assert got["structured"]["kind"] == "base64" and got["text"] == "YQBi"[:4], got
        file.write_bytes(b"caf\xe9\n")
        got = box.good("read_file", path="f")
        assert got["text"] == "caf\ufffd\n" and "U+FFFD" in got["structured"]["note"], got
        image = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 3
        file.write_bytes(image)
        got = box.good("read_file", path="f")
        import base64
        assert got["content"][1]["mimeType"] == "image/png" and base64.b64decode(got["content"][1]["data"]) == image, got
        with open(file, "r+b") as f:
            f.truncate(6 << 20)
        got = box.good("read_file", path="f")
        assert len(got["content"]) == 1 and "too large to be shown" in got["text"], got


def test_writing():
    with Box() as box:
        got = box.good("write_file", path="a/b/c.txt", content="one\n")
        assert got["structured"] == {"path": f"{box.work}/a/b/c.txt", "bytes": 4, "created": True}, got
        file = box.work / "a/b/c.txt"
        file.chmod(0o640)
        before = file.stat().st_ino
        got = box.good("write_file", path="a/b/c.txt", content="two\n")
        assert not got["structured"]["created"] and file.read_text() == "two\n" and file.stat().st_mode & 0o7777 == 0o640
        assert file.stat().st_ino != before and [p.name for p in file.parent.iterdir()] == ["c.txt"]
        box.bad("notfound", "write_file", path="a/b/c.txt/d", content="x")
        big = "x" * 8_000_000
        box.good("write_file", path="big", content=big)
        assert (box.work / "big").stat().st_size == len(big)
        answer = box.call("write_file", ["-f", "1000"], path="big", content="y" * 2000)
        assert answer["is_error"] and (box.work / "big").stat().st_size == len(big), answer
        assert sorted(p.name for p in box.work.iterdir()) == ["a", "big"]


def test_editing():
    with Box() as box:
        file = box.work / "f"

        def edit(before, after, **words):
            file.write_bytes(before.encode())
            got = box.good("edit_file", path="f", **words)
            assert file.read_bytes().decode() == after, (words, file.read_bytes())
            return got

        def refused(error, before, **words):
            file.write_bytes(before.encode())
            text = box.bad(error, "edit_file", path="f", **words)
            assert file.read_bytes().decode() == before and len(list(box.work.iterdir())) == 1
            return text
        edit("a b c", "a X c", old_text="b", new_text="X")
        # What comes with CR LF fits a file without, and leaves it so.
        edit("a\nb\nc\n", "a\nB\nc\n", diff="--- a\r\n+++ b\r\n@@ -1,3 +1,3 @@\r\n a\r\n-b\r\n+B\r\n c\r\n")
        edit("a\nb\nc\n", "X\nY\nc\n", old_text="a\r\nb", new_text="X\r\nY")
        edit("a\r\nb\r\nc", "a\r\nX\r\nY\r\nc", old_text="a\nb", new_text="a\nX\nY")
        edit("aaaa", "bb", old_text="aa", new_text="b", replace_all=True)
        edit("one\ntwo\nthree", "1\ntwo\n3", edits=[{"old_text": "three", "new_text": "3"}, {"old_text": "one", "new_text": "1"}])
        edit("1\n2\n3\n4\n", "1\nx\n4\n", start_line=2, end_line=3, new_text="x")
        edit("1\n2\n", "1\nx\n2\n", start_line=2, end_line=1, new_text="x\n")
        edit("1\n2\n", "1\n2\n3\n", start_line=3, end_line=2, new_text="3\n")
        edit("1\n2", "1\nx", start_line=2, new_text="x\n")
        edit("1\n2\n3\n", "1\n3\n", start_line=2, new_text="")
        edit("1\r\n2\r\n", "1\r\nx\r\ny\r\n", start_line=2, new_text="x\ny")
        assert "there 2 times (lines 1, 3)" in refused("conflict", "a\nb\na\n", old_text="a", new_text="x")
        text = refused("conflict", "def f(x):\n    return x + 1\n\nprint(f(2))\n", old_text="def f(x):\n    return x +  1", new_text="")
        assert "nearest place, from line 1" in text and "return x + 1" in text, text
        refused("invalid", "abc", edits=[{"old_text": "ab", "new_text": "x"}, {"old_text": "bc", "new_text": "y"}])
        refused("invalid", "abc", old_text="", new_text="x")
        refused("invalid", "abc", old_text="a", new_text="x", start_line=1)
        assert "1 lines" in refused("conflict", "abc\n", start_line=3, end_line=9, new_text="x")
        # diffs
        before = "".join(f"{i}\n" for i in range(1, 31))
        edit(before, before.replace("5\n6\n", "5\nsix\n", 1).replace("29\n", ""),
             diff="--- a/f\n+++ b/f\n@@ -5,2 +5,2 @@\n 5\n-6\n+six\n@@ -28,3 +28,2 @@ here\n 28\n-29\n 30\n")
        edit("x\n" + before, "x\n" + before.replace("15\n", "fifteen\n"), diff="@@ -14,3 +14,3 @@\n 14\n-15\n+fifteen\n 16")  # one off
        edit("a\nb", "a\nc", diff="@@ -1,2 +1,2 @@\n a\n-b\n\\ No newline at end of file\n+c\n\\ No newline at end of file\n")
        edit("", "new\n", diff="@@ -0,0 +1 @@\n+new\n")
        edit("a\r\nb\r\n", "a\r\nB\r\n", diff="@@ -1,2 +1,2 @@\n a\n-b\n+B\n")
        assert "hunk 1 is not in the file" in refused("conflict", "a\n", diff="@@ -1 +1 @@\n-b\n+c\n")
        refused("parse", "a\n", diff="@@ -1 +1 @@\n-a\n")
        refused("invalid", "a\n", diff="nothing")
        refused("invalid", "a\n", diff="--- a\n+++ a\n@@ -1 +1 @@\n-a\n+b\n--- b\n+++ b\n@@ -1 +1 @@\n-a\n+b\n")
        # across the blocks in which a file is read
        for at in (262143, 262144, 262100, 524288, 600000):
            edit("." * at + "needle" + "." * 300000, "." * at + "pin" + "." * 300000, old_text="needle", new_text="pin")
        lines = "".join(f"line {i}\n" for i in range(100000))
        edit(lines, lines.replace("line 77777\n", "x\n"), start_line=77778, new_text="x")


def test_changed_between_check_and_use():
    """A program that writes the file all the time: an edit either is on its last content or is refused."""
    with Box() as box:
        file = box.work / "f"
        count = [0]
        stop = threading.Event()

        def writer():
            while not stop.is_set():
                count[0] += 1
                new = box.work / "w"
                new.write_text(f"{count[0]} mark\n" + "x" * 3_000_000)
                os.rename(new, file)
        file.write_text("0 mark\n")
        thread = threading.Thread(target=writer)
        thread.start()
        conflicts = done = 0
        try:
            for i in range(200):
                if i >= 20 and conflicts:
                    break
                answer = box.call("edit_file", path="f", old_text=" mark", new_text=" MARK mark")
                if answer["is_error"]:
                    assert answer["structured"]["error"] == "conflict" and "somebody else" in answer["text"], answer
                    conflicts += 1
                else:
                    done += 1
        finally:
            stop.set()
            thread.join()
        print(f"      {conflicts} conflicts, {done} done, {count[0]} writes")
        assert conflicts > 0
        assert not [p for p in box.work.iterdir() if p.name.startswith(".plexus-")]


def test_huge_files():
    """2 GiB, with holes: read, searched and edited in little memory and time."""
    with Box() as box:
        file = box.work / "huge"
        with open(file, "wb") as f:
            f.write(b"first\n")
            f.seek(2 << 30)
            f.write(b"\nneedle\nlast\n")
        began = time.monotonic()
        got = box.good("read_file", path="huge", offset_bytes=(2 << 30) + 1, limit_bytes=6)
        assert got["text"].startswith("needle"), got
        got = box.call("edit_file", ["-m", str(64 << 20)], path="huge", old_text="needle", new_text="haystack")
        assert not got["is_error"] and got["structured"]["first_line"] == 3, got
        stat = file.stat()
        assert stat.st_size == (2 << 30) + 15 and stat.st_blocks * 512 < 64 << 20, stat
        with open(file, "rb") as f:
            f.seek((2 << 30) - 3)
            assert f.read() == b"\0\0\0\nhaystack\nlast\n"
        print(f"      {time.monotonic() - began:.1f} s")


def test_listing_and_searching():
    def check(box, layers):
        for path, text in (("a.c", "int x;\nint main(void)\n"), ("src/b.c", "int main2;\n"), ("src/deep/c.h", "MAIN\n"),
                           (".git/x.c", "main\n"), ("bin", "main\0")):
            (box.work / path).parent.mkdir(parents=True, exist_ok=True)
            (box.work / path).write_text(text)
        (box.work / "out").symlink_to(box.other)
        assert box.good("list_files")["text"].splitlines() == [".git/", "a.c  22", "bin  5", f"out -> {box.other}", "src/"]
        assert box.good("find_files", pattern="*.c")["text"].splitlines() == ["a.c", "src/b.c"]
        assert box.good("find_files", pattern="src/**/*.{c,h}")["text"].splitlines() == ["src/b.c", "src/deep/c.h"]
        assert box.good("find_files", pattern="[!a]*", path="src")["text"].splitlines() == ["b.c", "deep/c.h"]
        assert box.good("find_files", pattern="secret")["structured"]["found"] == 0
        assert box.good("grep_files", pattern="main[0-9(]")["text"].splitlines() == ["a.c:2: int main(void)", "src/b.c:1: int main2;"]
        assert box.good("grep_files", pattern="main(", literal=True, context=1)["text"].splitlines() == \
            ["a.c-1- int x;", "a.c:2: int main(void)"]
        assert box.good("grep_files", pattern="main", ignore_case=True, glob="*.h")["structured"]["found"] == 1
        assert box.good("grep_files", pattern="x", path="a.c")["text"] == "a.c:1: int x;\n"
        got = box.good("grep_files", pattern="main", limit=1)
        assert got["structured"] == {"found": 1, "truncated": True}, got
        box.bad("invalid", "grep_files", pattern="(")
    each_way(check)


# ---- through a node ------------------------------------------------------------------------------

def call(node, name, timeout=60, **words):
    return node.owner("POST", f"/api/tools/{name}/call", {"input": words}, timeout=timeout)


def test_through_a_node():
    with Box() as box:
        config = {"tools": {"folders": [{"path": str(box.work), "write": True}, {"path": str(box.books)}], "allow": ["*"]}}
        with Node(config) as node:
            listed = {t["name"]: t for t in node.owner("GET", "/api/tools").json["tools"]}
            assert {"read_file", "write_file", "edit_file", "bash", "list_files", "find_files", "grep_files"} <= set(listed)
            answer = call(node, "write_file", path="hello", content="hi\n")
            assert answer.status == 200 and not answer.json.get("isError"), answer
            assert "hi\n" in call(node, "read_file", path="hello").body.decode().replace("\\n", "\n")
            assert call(node, "read_file", pth="hello").status == 400
            secret = call(node, "bash", command=f"cat {node.data}/keys.json {node.data}/lock; ls {node.data}; echo done")
            assert "done" in secret.body.decode() and str(node.process.pid) not in secret.body.decode(), secret
            before = set(plexus.descendants(node.process.pid))
            slow = call(node, "bash", command="sleep 30 & sleep 30", timeout_s=0.3)
            assert "time limit" in slow.body.decode(), slow
            plexus.wait_until("nothing is left", lambda: not set(plexus.descendants(node.process.pid)) - before, 10)
            many = plexus.parallel(12, lambda i: call(node, "bash", command=f"echo number {i}")) if hasattr(plexus, "parallel") else []
            for i, answer in enumerate(many):
                assert f"number {i}" in answer.body.decode(), answer


def test_the_nodes_folder_in_a_granted_one():
    with Node({"tools": {"folders": [{"path": ".", "write": True}], "allow": ["*"]}}) as node:
        answer = call(node, "bash", command=f"cat {node.data}/lock; ls -A {node.data}; find . -type s; echo held")
        if "own root folder" in answer.body.decode():
            return  # this machine cannot hide it: nothing runs
        assert answer.json["structured"]["stdout"] == "held\n", answer
        assert call(node, "read_file", path=str(node.data / "lock")).json["is_error"]
        assert node.owner("POST", "/api/tools/read_file/call", {"input": {"path": "plexus.yaml"}, "label": "no label"}).status == 400
    node = Node({"tools": {"folders": [{"path": "data"}]}}, start=False)
    try:
        node.data.mkdir()
        done = subprocess.run([plexus.PLEXUS, "up", "--config", str(node.file), "--data", str(node.data)], env=node.env, cwd=node.folder,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
        assert done.returncode and "cannot be granted" in done.stdout + done.stderr, done
    finally:
        shutil.rmtree(node.folder, ignore_errors=True)


def test_bash_starts_quickly():
    with Box() as box:
        best = min(_timed(lambda: box.bash("true")) for _ in range(15))
        file = min(_timed(lambda: box.good("list_files", path=str(box.books))) for _ in range(10))
        print(f"      bash {best * 1000:.1f} ms, a file primitive {file * 1000:.1f} ms, with the time to start it from Python")
        assert best < 0.05, best


def _timed(work):
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    with Box() as first:
        asked = first.start("_jail", first.options(False, "-l", "1"))
        _, why = asked.communicate(timeout=20)
        if asked.returncode == 125:
            plexus.skip(f"no sandbox can be made here: {why.decode().strip()}")
    plexus.need_whole_sandbox()
    plexus.main(globals())
