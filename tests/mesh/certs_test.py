#!/usr/bin/env python3
# certs_test.py: what is shown at the mesh's listener that is no certificate of a member: each is refused,
# with the reason in the node's log; and a clock that is an hour off is named as such.
# SPDX-License-Identifier: Apache-2.0
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import mesh  # noqa: E402
import netns  # noqa: E402
import plexus  # noqa: E402
from mesh import DOMAIN, PORT, Mesh, refused, tiny, view  # noqa: E402

netns.need()
NODE = f"spiffe://{DOMAIN}/node/c"
USAGE = "keyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\n"


class Forge:
    """Certificates by openssl, signed by the mesh's own authority (its key is in the node's folder) or another."""

    def __init__(self, node):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="plexus-forge-"))
        saved = json.loads((node.data / "mesh/authority.json").read_text())
        (self.folder / "ca.key").write_text(saved["key"])
        (self.folder / "ca.pem").write_text(saved["certificate"])
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "other.key",
                     "-out", "other.pem", "-subj", "/CN=other", "-days", "2", "-addext", f"subjectAltName=URI:spiffe://{DOMAIN}",
                     "-addext", "keyUsage=critical,keyCertSign,cRLSign")

    def openssl(self, *words):
        return plexus_run(["openssl", *words], self.folder)

    def make(self, name, extensions, by="ca", days=("-days", "1"), serial=None):
        self.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key",
                     "-out", f"{name}.csr", "-subj", "/O=forged")
        (self.folder / "ext").write_text("basicConstraints=critical,CA:FALSE\n" + extensions)
        (self.folder / "db").mkdir(exist_ok=True)
        if by == "self":
            self.openssl("x509", "-req", "-in", f"{name}.csr", "-signkey", f"{name}.key", "-out", f"{name}.pem", "-extfile", "ext",
                         *days)
        elif days[0] == "-days":
            self.openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{by}.pem", "-CAkey", f"{by}.key",
                         "-set_serial", serial or "0x0100000000000000ff", "-out", f"{name}.pem", "-extfile", "ext", *days)
        else:  # x509 cannot set a start
            (self.folder / "ca.cnf").write_text(
                "[ca]\ndefault_ca=d\n[d]\ndatabase=index\nnew_certs_dir=db\nserial=serial\ndefault_md=sha256\npolicy=p\n"
                "unique_subject=no\n[p]\norganizationName=optional\n")
            (self.folder / "index").write_text("")
            (self.folder / "serial").write_text("0100000000000000FE\n")
            self.openssl("ca", "-batch", "-config", "ca.cnf", "-cert", f"{by}.pem", "-keyfile", f"{by}.key", "-in", f"{name}.csr",
                         "-out", f"{name}.pem", "-extfile", "ext", "-notext", *days)
        return name

    def show(self, host, address, name, alpn="plexus/1", version="-tls1_3"):
        """What openssl's client says after it showed this certificate and asked for the node's sheet."""
        words = ["openssl", "s_client", "-connect", f"{address}:{PORT}", version, "-alpn", alpn, "-ign_eof"]
        if name:
            words += ["-cert", f"{name}.pem", "-key", f"{name}.key"]
        with host.inside():
            return plexus_run(words, self.folder, check=False, text="GET /mesh/v1/sheet?node=a HTTP/1.1\r\nHost: a\r\n"
                              "Connection: close\r\n\r\n", seconds=8)

    def end(self):
        shutil.rmtree(self.folder, ignore_errors=True)


def plexus_run(words, folder, check=True, text=None, seconds=20):
    try:
        got = subprocess.run(words, cwd=folder, capture_output=True, input=text, text=True, timeout=seconds, errors="replace")
    except subprocess.TimeoutExpired as late:
        return (late.stdout or b"").decode(errors="replace") + "TIMEOUT"
    if check and got.returncode != 0:
        raise AssertionError(f"{' '.join(words)}: {got.stderr}")
    return got.stdout + got.stderr


def let_in(said):
    return "HTTP/1.1 200" in said


def stamp(seconds):
    return time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + seconds))


def test_certificates():
    with Mesh(a={}, b={}) as m:
        a, host = m["a"], m.net.host("intruder")
        forge = Forge(a)
        try:
            san = f"subjectAltName=URI:{NODE}\n"
            # The forge works: what is right in all is let in (who has the authority's key is the authority).
            forge.make("right", san + USAGE)
            said = forge.show(host, a.host.address, "right")
            assert let_in(said), said
            cases = {
                "self": (san + USAGE, "self", ("-days", "1"), ["self-signed"]),
                "foreign": (san + USAGE, "other", ("-days", "1"), ["authority that is not ours"]),
                "expired": (san + USAGE, "ca", ("-startdate", stamp(-7200), "-enddate", stamp(-3600)), ["expired at", "clock says"]),
                "early": (san + USAGE, "ca", ("-startdate", stamp(3600), "-enddate", stamp(7200)), ["not valid before", "clock"]),
                "domain": ("subjectAltName=URI:spiffe://other.example/node/c\n" + USAGE, "ca", ("-days", "1"), ["trust domain"]),
                "dns": ("subjectAltName=DNS:a.test\n" + USAGE, "ca", ("-days", "1"), ["URI"]),
                "two": (f"subjectAltName=URI:{NODE},URI:spiffe://{DOMAIN}/node/b\n" + USAGE, "ca", ("-days", "1"), ["2 URI"]),
                "sign": (san + "keyUsage=critical,digitalSignature,keyCertSign\n", "ca", ("-days", "1"), ["keyCertSign"]),
                "web": (f"subjectAltName=URI:https://{DOMAIN}/node/c\n" + USAGE, "ca", ("-days", "1"), ["SPIFFE ID"]),
            }
            for name, (extensions, by, days, words) in cases.items():
                forge.make(name, extensions, by, days)
                said = forge.show(host, a.host.address, name)
                assert not let_in(said), f"{name}: {said}"
                assert "alert" in said, f"{name} is not told: {said}"
                refused(a, ["mesh.refused", host.address, *words])
            # No certificate: the door opens (a joiner has none), but only for join and renew.
            said = forge.show(host, a.host.address, None)
            assert "HTTP/1.1 401" in said, said
            # Another protocol inside, an old TLS.
            assert "no application protocol" in forge.show(host, a.host.address, "right", alpn="h2")
            assert "protocol version" in forge.show(host, a.host.address, "right", version="-tls1_2")
            # A member of another kind (an agent) is no node: it may not ask for sheets.
            forge.make("agent", f"subjectAltName=URI:spiffe://{DOMAIN}/agent/x\n" + USAGE)
            said = forge.show(host, a.host.address, "agent")
            assert "HTTP/1.1 403" in said, said
            m.settled()
        finally:
            forge.end()


def test_a_server_that_is_another_node():
    """Node b finds somebody else at c's address, with a good certificate of another name."""
    with Mesh(a={}, b={}, c={}) as m:
        forge = Forge(m["a"])
        try:
            m["c"].kill()
            m.sees("b", "c", "dead", 5)
            for name, extensions, by in (("d", f"subjectAltName=URI:spiffe://{DOMAIN}/node/d\n" + USAGE, "ca"),
                                         ("f", f"subjectAltName=URI:{NODE}\n" + USAGE, "other")):
                forge.make(name, extensions, by)
                server = m["c"].host.popen("openssl", "s_server", "-accept", f"{m['c'].host.address}:{PORT}", "-cert",
                                           forge.folder / f"{name}.pem", "-key", forge.folder / f"{name}.key", "-alpn", "plexus/1",
                                           "-quiet", "-verify", "1", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                try:
                    word = "/node/d, not" if name == "d" else "not ours"
                    refused(m["b"], ["mesh.hello", '"c"', word], seconds=10)
                    assert m.states("b")["c"] != "alive"
                finally:
                    server.kill()
                    server.wait(5)
        finally:
            forge.end()


def test_a_clock_that_is_an_hour_off():
    with Mesh(a={"tiny-chat": tiny()}, b={}) as m:
        for shift, name in ((3720, "ahead"), (-3600, "behind")):
            node = m.add(name, env=netns.clock_env(shift))
            answer = node.owner("POST", "/api/mesh/join", {"address": f"{m['a'].host.address}:{PORT}", "token": m.token()})
            assert answer.status >= 400 and "clock" in str(answer.json), answer
            assert view(node)["joined"] is False
        # One that was a member when its clock was right.
        m["b"].stop()
        m["b"].env.update(netns.clock_env(3720))
        m["b"].start()
        refused(m["b"], "this machine's clock says", seconds=10)
        refused(m["a"], "the peer refused: certificate expired", seconds=10)
        assert m["b"].chat("tiny-chat", timeout=10).status in (404, 503)
        m["b"].stop()
        m["b"].env["CLOCK_SHIFT_S"] = "0"
        m["b"].start()
        m.settled("a", "b", seconds=5)
        assert m["b"].chat("tiny-chat").status == 200


if __name__ == "__main__":
    plexus.main(globals())
