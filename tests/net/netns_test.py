#!/usr/bin/env python3
# netns_test.py: the kit for networks does what it says: links that are cut, lose, delay and reorder,
# and nothing of it is left.
# SPDX-License-Identifier: Apache-2.0
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import netns  # noqa: E402
import plexus  # noqa: E402
from netns import Net  # noqa: E402

netns.need()


def pair(a, b, family=socket.AF_INET):
    """UDP sockets of two hosts: (of a, of b, a function that sends one from a to b)."""
    one, two = a.socket(socket.SOCK_DGRAM, family), b.socket(socket.SOCK_DGRAM, family)
    two.bind((b.address if family == socket.AF_INET else b.address6, 0))
    two.settimeout(2)
    to = two.getsockname()
    return one, two, lambda data: one.sendto(data, to)


def arrives(a, b, family=socket.AF_INET, tries=40):
    """Does one of some datagrams arrive? (The first ones may wait for the neighbour's address.)"""
    one, two, send = pair(a, b, family)
    two.settimeout(0.05)
    try:
        for _ in range(tries):
            try:
                send(b"x")
            except OSError:
                time.sleep(0.05)
                continue
            try:
                two.recv(10)
                return True
            except TimeoutError:
                continue
        return False
    finally:
        one.close()
        two.close()


def received(two, quiet=0.3):
    two.settimeout(quiet)
    got = []
    while True:
        try:
            got.append(two.recv(100))
        except TimeoutError:
            return got


def test_they_reach_each_other_and_nobody_else():
    before = netns.run("ip", "-o", "link")
    with Net() as net:
        a, b = net.hosts("a", "b")
        for family in (socket.AF_INET, socket.AF_INET6):
            assert arrives(a, b, family) and arrives(b, a, family)
        server = b.socket()
        server.bind((b.address, 0))
        server.listen()
        client = a.connect(b.address, server.getsockname()[1])
        peer, who = server.accept()
        assert who[0] == a.address, who
        peer.sendall(b"hello")
        assert client.recv(10) == b"hello"
        for s in (client, peer, server):
            s.close()
        assert "default" not in a.ip("route"), "there must be no way out"
        assert netns.run("ip", "-o", "link") == before, "our own namespace has no part in it"
        assert a.address not in netns.run("ip", "-o", "addr")
        assert a.run("ip", "-o", "addr").count(a.address) == 1


def test_cut_and_mend():
    with Net() as net:
        a, b, c = net.hosts("a", "b", "c")
        assert arrives(a, b) and arrives(a, c)
        b.cut()
        assert not arrives(a, b, tries=6) and not arrives(b, a, tries=6)
        assert arrives(a, c), "the others go on"
        b.mend()
        assert arrives(a, b) and arrives(b, a)


def test_split():
    with Net() as net:
        a, b, c = net.hosts("a", "b", "c")
        net.split([a], [b, c])
        assert not arrives(a, b, tries=6) and not arrives(c, a, tries=6) and arrives(b, c)
        assert not arrives(a, b, socket.AF_INET6, tries=6)
        net.split()
        assert arrives(a, b) and arrives(c, a)


def test_firewall():
    with Net() as net:
        a, b = net.hosts("a", "b")
        assert arrives(a, b)
        b.firewall()
        assert not arrives(a, b, tries=6)
        server = b.socket()
        server.bind((b.address, 0))
        server.listen()
        a.connect(b.address, server.getsockname()[1]).close()
        server.close()
        b.firewall(False)
        assert arrives(a, b)


def test_loss():
    with Net() as net:
        a, b = net.hosts("a", "b")
        assert arrives(a, b)
        one, two, send = pair(a, b)
        two.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        for percent_in, percent_out, low, high in ((20, 0, 15, 25), (0, 5, 3, 8), (0, 0, 0, 0)):
            b.lose(percent_in, 0)
            a.lose(0, percent_out)
            sent = 3000
            got = 0
            for _ in range(sent // 100):  # small rounds: no queue overflows
                refused = 0
                for _ in range(100):
                    try:
                        send(b"x")
                    except PermissionError:  # what the output chain drops, the sender hears
                        refused += 1
                got += len(received(two, 0.01))
            lost = 100 * (sent - got) / sent
            assert low <= lost <= high, f"{percent_in}/{percent_out}: {lost} %"
        one.close()
        two.close()


def echo_rtt_ms(one, two, send, rounds=20):
    """Median of there and back again."""
    times = []
    for _ in range(rounds):
        began = time.monotonic()
        send(b"x")
        _, back = two.recvfrom(10)
        two.sendto(b"y", back)
        one.recv(10)
        times.append((time.monotonic() - began) * 1000)
    return sorted(times)[rounds // 2]


def test_delay_and_order():
    with Net() as net:
        a, b = net.host("a"), net.host("b", relay=True)
        assert arrives(a, b) and arrives(b, a) and arrives(a, b, socket.AF_INET6)
        one, two, send = pair(a, b)
        one.settimeout(2)
        plain = echo_rtt_ms(one, two, send)
        assert plain < 10, plain
        b.slow(20)
        plexus.wait_until("it is slow", lambda: echo_rtt_ms(one, two, send, 3) >= 40, 5)
        slow = echo_rtt_ms(one, two, send)
        assert 40 <= slow < 70, slow
        numbers = list(range(300))

        def order():
            for i in numbers:
                send(str(i).encode())
            got = [int(x) for x in received(two)]
            assert sorted(got) == numbers, "delay loses nothing"
            return sum(1 for i, x in enumerate(got) if i > 0 and x < max(got[:i]))  # overtaken ones

        assert order() == 0, "the same delay keeps the order"
        b.slow(20, early_percent=10)
        time.sleep(0.1)
        assert order() >= 5, "some overtake"
        b.slow(5, jitter_ms=20)
        time.sleep(0.1)
        assert order() >= 50
        b.slow()
        plexus.wait_until("it is quick again", lambda: echo_rtt_ms(one, two, send, 3) < 10, 5)
        b.cut()
        assert not arrives(a, b, tries=6)
        b.mend()
        assert arrives(a, b)
        one.close()
        two.close()


def test_clock():
    now = int(subprocess.check_output(["date", "+%s"]))
    for shift in (3600, -3600):
        shifted = int(subprocess.check_output(["date", "+%s"], env=dict(os.environ, **netns.clock_env(shift))))
        assert abs(shifted - now - shift) < 5, (now, shifted)
    script = "import time; a = time.monotonic(); b = time.clock_gettime(time.CLOCK_MONOTONIC); assert abs(a - b) < 1, (a, b)"
    subprocess.run([sys.executable, "-c", script], env=dict(os.environ, **netns.clock_env(3600)), check=True)


def test_a_node_and_its_pause():
    with Net() as net:
        a, b = net.hosts("a", "b")
        with netns.Node(a) as node, netns.Node(b) as other:
            assert node.get("/health").status == 200 and other.get("/health").status == 200
            try:
                node.host.connect(b.address, other.port, 1).close()
                raise AssertionError("the API listens on the loopback device only")
            except OSError:
                pass
            with node.paused():
                try:
                    node.get("/health", timeout=0.3)
                    raise AssertionError("it does not stand still")
                except TimeoutError:
                    pass
            assert node.get("/health", timeout=5).status == 200
            pid = node.process.pid
            node.kill()
            assert not plexus.alive(pid)


MAKES = """
import sys, time
sys.path.insert(0, {lib!r})
import netns
net = netns.Net()
a = net.host("a", relay=True)
sleeper = a.popen("sleep", "600")
print(net.name, sleeper.pid, flush=True)
{then}
"""


def left(name):
    return [e.name for e in netns.NETNS.iterdir() if e.name.startswith(name + "-")]


def test_nothing_is_left():
    lib = str(pathlib.Path(netns.__file__).parent)
    for then, sig in (("sys.exit(0)", None), ("raise RuntimeError('a test that fails')", None), ("time.sleep(60)", signal.SIGTERM),
                      ("time.sleep(60)", signal.SIGINT), ("time.sleep(60)", signal.SIGKILL)):
        child = subprocess.Popen([sys.executable, "-c", MAKES.format(lib=lib, then=then)], stdout=subprocess.PIPE,
                                 stderr=subprocess.DEVNULL, text=True)
        name, pid = child.stdout.readline().split()
        if sig:
            assert len(left(name)) == 2
            child.send_signal(sig)
        child.wait(20)
        child.stdout.close()
        if sig == signal.SIGKILL:
            assert left(name) and plexus.alive(int(pid)), "nobody could clean up"
            netns.sweep()
        assert left(name) == [], (then, sig)
        plexus.wait_until(f"what ran there has ended ({then}, {sig})", lambda: not plexus.alive(int(pid)), 5)


if __name__ == "__main__":
    plexus.main(globals())
