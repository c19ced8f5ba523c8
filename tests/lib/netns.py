# netns.py: networks for tests: hosts as network namespaces on a switch of their own, with links that
# can be cut, lose, delay and reorder, and plexus nodes in them. Needs root and iproute2; nothing of it
# touches the machine's own network. Standard library only.
# SPDX-License-Identifier: Apache-2.0
#
# A host is a namespace with `eth0` and an address; the switch is a bridge in one more namespace. A link is a
# veth pair, or (relay=True) two TAP devices with a process between them that delays and reorders frames, as
# netem would. Names hold the number of the process that made them; what a killed test left behind, the next
# one removes.
import atexit
import contextlib
import ctypes
import fcntl
import heapq
import http.client
import json
import os
import pathlib
import random
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

import plexus

NETNS = pathlib.Path("/run/netns")
CLONE_NEWNET = 0x40000000
TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
PREFIX = "plx"  # of all names: plx<pid>n<number>-<host>
libc = ctypes.CDLL(None, use_errno=True)
made = 0


def run(*words, text=None, check=True):
    got = subprocess.run([str(w) for w in words], capture_output=True, text=True, input=text, timeout=30)
    if check and got.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, words))}: {got.stderr.strip() or got.stdout.strip()}")
    return got.stdout


def missing():
    """Why there can be no namespaces here, or None."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "network namespaces need root on Linux"
    for tool in ("ip", "nft"):
        if not shutil.which(tool):
            return f"the program {tool} is not installed"
    name = f"{PREFIX}{os.getpid()}probe"
    got = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True)
    if got.returncode != 0:
        return "network namespaces cannot be made here: " + got.stderr.strip()
    got = subprocess.run(["ip", "-n", name, "link", "add", "name", "br", "type", "bridge"], capture_output=True, text=True)
    subprocess.run(["ip", "netns", "del", name], capture_output=True)
    return None if got.returncode == 0 else "no bridge can be made here: " + got.stderr.strip()


def need():
    """Skips the test (77) where there can be no namespaces."""
    why = missing()
    if why:
        plexus.skip(why)
    sweep()


def sweep():
    """Removes what tests left behind that were killed."""
    for entry in NETNS.iterdir() if NETNS.exists() else []:
        match = re.match(PREFIX + r"(\d+)", entry.name)
        if match and not pathlib.Path(f"/proc/{match[1]}").exists():
            end_all_in(entry.name)
            subprocess.run(["ip", "netns", "del", entry.name], capture_output=True)


def end_all_in(name):
    """Kills what still runs in this namespace (one of ours: nobody else is in there)."""
    got = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True)
    for pid in got.stdout.split():
        with contextlib.suppress(OSError):
            os.kill(int(pid), signal.SIGKILL)


@contextlib.contextmanager
def inside(path):
    """This thread is in that namespace: sockets it makes and programs it starts are there."""
    home = os.open(f"/proc/self/task/{threading.get_native_id()}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    there = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(there, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns {path}")
        try:
            yield
        finally:
            if libc.setns(home, CLONE_NEWNET) != 0:
                os._exit(70)  # in a wrong network nothing more may be done
    finally:
        os.close(home)
        os.close(there)


class Host:
    """One namespace with eth0. Made by Net.host."""

    def __init__(self, net, name, number, relay):
        self.net, self.name, self.space = net, name, f"{net.name}-{name}"
        self.address, self.address6, self.port = f"10.77.0.{number}", f"fd77::{number:x}", f"to-{name}"[:15]
        self.relay, self.lost, self.blocked, self.no_udp = None, (0, 0), {}, False
        run("ip", "netns", "add", self.space)
        net.spaces.append(self.space)
        if relay:
            self.relay = Relay(self)
        else:
            run("ip", "link", "add", "name", "eth0", "netns", self.space, "type", "veth", "peer", "name", self.port, "netns", net.switch)
        run("ip", "-n", net.switch, "link", "set", self.port, "master", "switch", "up")
        self.ip("link", "set", "lo", "up")
        self.ip("link", "set", "eth0", "up")
        self.ip("addr", "add", f"{self.address}/24", "dev", "eth0")
        self.ip("addr", "add", f"{self.address6}/64", "dev", "eth0", "nodad")

    def ip(self, *words):
        return run("ip", "-n", self.space, *words)

    def nft(self, text):
        with self.inside():
            run("nft", "-f", "-", text=text)

    def inside(self):
        return inside(NETNS / self.space)

    # ---- what goes wrong with its link ----
    def cut(self):
        """The cable is out, until mend."""
        run("ip", "-n", self.net.switch, "link", "set", self.port, "down")

    def mend(self):
        run("ip", "-n", self.net.switch, "link", "set", self.port, "up")

    def lose(self, percent_in, percent_out=None):
        """Packets that are lost at random, in each direction; 0: none."""
        self.lost = (percent_in, percent_in if percent_out is None else percent_out)
        self.filter()

    def block(self, *hosts):
        """Nothing from and to these hosts any more; the cable is in. Without any: all is open."""
        self.blocked = {h.name: h for h in hosts}
        self.filter()

    def firewall(self, no_udp=True):
        """Datagrams do not get through, as behind many firewalls; TCP does."""
        self.no_udp = no_udp
        self.filter()

    def filter(self):
        rules = {"input": [], "output": []}
        for (chain, field, device), percent in zip((("input", "saddr", "iif"), ("output", "daddr", "oif")), self.lost):
            for h in self.blocked.values():
                rules[chain] += [f"ip {field} {h.address} drop", f"ip6 {field} {h.address6} drop"]
            if self.no_udp:
                rules[chain].append("meta l4proto udp drop")
            if percent:
                rules[chain].append(f"{device}name eth0 numgen random mod 10000 < {round(percent * 100)} drop")
        chains = "".join(f"chain {c} {{ type filter hook {c} priority 0; {'; '.join(r)}; }}\n" if r else "" for c, r in rules.items())
        self.nft(f"table inet plexus {{}}\ndelete table inet plexus\ntable inet plexus {{\n{chains}}}\n")

    def slow(self, delay_ms=0.0, jitter_ms=0.0, early_percent=0.0):
        """Frames take this long in each direction; early: so many overtake the others. Needs relay=True."""
        assert self.relay, "this host's link has no relay"
        self.relay.set(delay_ms, jitter_ms, early_percent)

    # ---- what runs here ----
    def popen(self, *words, **more):
        with self.inside():
            process = subprocess.Popen([str(w) for w in words], **more)
        self.net.processes.append(process)
        return process

    def run(self, *words, **more):
        with self.inside():
            return run(*words, **more)

    def socket(self, kind=socket.SOCK_STREAM, family=socket.AF_INET):
        with self.inside():
            return socket.socket(family, kind)

    def connect(self, address, port, timeout=10):
        with self.inside():
            return socket.create_connection((address, port), timeout)


class Relay:
    """Two TAP devices and a process that carries frames between them."""

    def __init__(self, host):
        with inside(NETNS / host.net.switch):
            outer = tap(host.port)
        with host.inside():
            inner = tap("eth0")
        self.process = subprocess.Popen([sys.executable, __file__, str(outer), str(inner)], pass_fds=(outer, inner),
                                        stdin=subprocess.PIPE)
        host.net.processes.append(self.process)
        os.close(outer)
        os.close(inner)

    def set(self, delay_ms, jitter_ms, early_percent):
        self.process.stdin.write(json.dumps([delay_ms, jitter_ms, early_percent]).encode() + b"\n")
        self.process.stdin.flush()


def tap(name):
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH14x", name.encode(), IFF_TAP | IFF_NO_PI))
    return fd


def relay_main(one, other):
    """The relay's loop: reads frames and commands, writes each frame when it is due."""
    delay, jitter, early = 0.0, 0.0, 0.0
    due, number, commands = [], 0, b""
    rng = random.Random(1)
    os.set_blocking(0, False)
    while True:
        wait = max(0.0, due[0][0] - time.monotonic()) if due else None
        ready, _, _ = select.select([one, other, 0], [], [], wait)
        for fd in ready:
            if fd == 0:
                text = os.read(0, 4096)
                if not text:
                    return  # the test has ended
                *lines, commands = (commands + text).split(b"\n")
                for line in lines:
                    delay, jitter, early = json.loads(line)
                continue
            now = time.monotonic()
            with contextlib.suppress(BlockingIOError):
                for _ in range(64):
                    frame = os.read(fd, 65536)
                    late = 0.0 if early and rng.random() * 100 < early else delay / 1000 + rng.random() * jitter / 1000
                    number += 1
                    heapq.heappush(due, (now + late, number, other if fd == one else one, frame))
        now = time.monotonic()
        while due and due[0][0] <= now:
            _, _, to, frame = heapq.heappop(due)
            with contextlib.suppress(OSError):  # a device that is down takes none
                os.write(to, frame)


class Net:
    """A switch and its hosts: `with Net() as net: a, b = net.hosts("a", "b")`. All ends with it."""

    def __init__(self):
        global made
        made += 1
        self.name = f"{PREFIX}{os.getpid()}n{made}"
        self.switch = self.name + "-switch"
        self.spaces, self.processes, self.all = [], [], {}
        atexit.register(self.close)
        try:
            run("ip", "netns", "add", self.switch)
            self.spaces.append(self.switch)
            run("ip", "-n", self.switch, "link", "add", "name", "switch", "type", "bridge", "mcast_snooping", "0")
            run("ip", "-n", self.switch, "link", "set", "switch", "up")
        except BaseException:
            self.close()
            raise

    def host(self, name, relay=False):
        self.all[name] = Host(self, name, len(self.all) + 1, relay)
        return self.all[name]

    def hosts(self, *names, relay=False):
        return [self.host(name, relay) for name in names]

    def split(self, *groups):
        """Hosts of different groups do not hear each other; without any group: all do again."""
        for group in groups:
            for host in group:
                host.block(*[h for other in groups if other is not group for h in other])
        for host in self.all.values() if not groups else []:
            host.block()

    def close(self):
        atexit.unregister(self.close)
        for process in self.processes:
            if process.poll() is None:
                with contextlib.suppress(OSError):
                    process.send_signal(signal.SIGCONT)
                    process.kill()
            with contextlib.suppress(Exception):
                process.wait(10)
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe:
                    with contextlib.suppress(OSError):
                        pipe.close()
        self.processes = []
        for space in self.spaces:
            end_all_in(space)
            subprocess.run(["ip", "netns", "del", space], capture_output=True)
        self.spaces = []

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


def ended_by_signal(signum, _frame):
    sys.exit(128 + signum)  # so that atexit cleans up


# ---- plexus in a namespace ----

class Connection(http.client.HTTPConnection):
    def __init__(self, host, port, timeout, address="127.0.0.1"):
        super().__init__(address, port, timeout=timeout)
        self.where = host

    def connect(self):
        self.sock = self.where.connect(self.host, self.port, self.timeout)


class Node(plexus.Node):
    """plexus.Node on a host of a Net; its API is on the host's own loopback device."""

    def __init__(self, host, config=None, **more):
        self.host = host
        super().__init__(config, **more)

    def start(self, wait=True):
        with self.host.inside():
            return super().start(wait)

    def connection(self, timeout=30):
        return Connection(self.host, self.port, timeout)

    def raw(self):
        return self.host.connect("127.0.0.1", self.port, 30)

    @contextlib.contextmanager
    def paused(self):
        """The node's process stands still, as on a machine that is too busy."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def kill(self):
        """The power is out: the node, its guards and its engines are gone at once."""
        for pid in [self.process.pid, *plexus.descendants(self.process.pid)]:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(10)
        self.process.stdout.close()
        self.out.close()
        self.process = None


# ---- clocks: a library between a program and the kernel shifts the time of day, no other clock

SHIFT_C = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
static long shift(void) { const char *s = getenv("CLOCK_SHIFT_S"); return s ? atol(s) : 0; }
int clock_gettime(clockid_t c, struct timespec *t)
{
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int rc = real(c, t);
    if (rc == 0 && (c == CLOCK_REALTIME || c == CLOCK_REALTIME_COARSE)) t->tv_sec += shift();
    return rc;
}
time_t time(time_t *ret) { struct timespec t; clock_gettime(CLOCK_REALTIME, &t); if (ret) *ret = t.tv_sec; return t.tv_sec; }
int gettimeofday(struct timeval *restrict t, void *restrict zone)
{
    struct timespec now; (void)zone; clock_gettime(CLOCK_REALTIME, &now);
    t->tv_sec = now.tv_sec; t->tv_usec = now.tv_nsec / 1000; return 0;
}
"""


def clock_env(seconds):
    """Environment for a program whose time of day is so many seconds ahead (or behind)."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="plexus-clock-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "shift.c").write_text(SHIFT_C)
    run("gcc", "-shared", "-fPIC", "-O1", "-o", folder / "shift.so", folder / "shift.c", "-ldl")
    return {"LD_PRELOAD": str(folder / "shift.so"), "CLOCK_SHIFT_S": str(seconds),
            "ASAN_OPTIONS": "verify_asan_link_order=0"}  # of a binary under sanitizers


if __name__ == "__main__":
    relay_main(int(sys.argv[1]), int(sys.argv[2]))
else:
    signal.signal(signal.SIGTERM, ended_by_signal)
