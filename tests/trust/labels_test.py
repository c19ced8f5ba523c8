#!/usr/bin/env python3
# labels_test.py: labels at the model API: what is told to which model, who may read the answer, what
# a refusal looks like, in answers, events and figures; declassification; reload.
# SPDX-License-Identifier: Apache-2.0
import base64
import hashlib
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import plexus  # noqa: E402
from plexus import Node, scripted  # noqa: E402

CHAT = "/v1/chat/completions"


def b64(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class Signer:
    """An Ed25519 key of the openssl program, which knows nothing of plexus."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="plexus-signer-")
        self.file = f"{self.folder.name}/key.pem"
        subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", self.file], check=True)
        der = subprocess.run(["openssl", "pkey", "-in", self.file, "-pubout", "-outform", "DER"],
                             check=True, capture_output=True).stdout
        self.public = b64(der[-32:])  # RFC 8410: the key ends the SubjectPublicKeyInfo

    def sign(self, text):
        message = pathlib.Path(self.folder.name) / "message"
        message.write_bytes(text)
        return subprocess.run(["openssl", "pkeyutl", "-sign", "-rawin", "-inkey", self.file, "-in", str(message)],
                              check=True, capture_output=True).stdout

    def declassify(self, body, from_, to, who="officer", **more):
        now = int(time.time())
        statement = {"from": from_, "to": to, "data": hashlib.sha256(body).hexdigest(), "who": who,
                     "reason": "a test", "at": now, "expires": now + 60, **more}
        first = b64(json.dumps(statement).encode())
        return first + "." + b64(self.sign(b"plexus declassification 1\n" + first.encode()))


def engine(name, **more):
    return {"engine": "command", "command": scripted(name=name), "health": "/health", **more}


SIGNER, LESSER = Signer(), Signer()
CLOUD = plexus.EngineProcess(name="cloud")
CONFIG = {
    "listen": {"api": ["127.0.0.1:0"], "keys": "required"},
    "log": {"access_flush": "20ms"},
    "labels": {
        "default": "internal", "cloud": "internal",
        "declassifiers": [{"name": "officer", "key": SIGNER.public},
                          {"name": "clerk", "key": LESSER.public, "clearance": "internal"}],
    },
    "models": {
        "plain": engine("plain"),
        "hr-model": engine("hr-model", label="confidential:hr"),
        "small-ear": engine("small-ear", clearance="internal:eng"),
        "cloud": {"engine": "remote", "url": f"http://127.0.0.1:{CLOUD.port}/v1"},
        "own-remote": {"engine": "remote", "tier": "node", "url": f"http://127.0.0.1:{CLOUD.port}/v1"},
        "open-cloud": {"engine": "remote", "clearance": "confidential:*", "url": f"http://127.0.0.1:{CLOUD.port}/v1"},
    },
}
node = plexus.shared(lambda: Node(CONFIG))
KEYS = {}


def key(name, **more):
    if name not in KEYS:
        KEYS[name] = node().new_key(name, **more)["key"]
    return KEYS[name]


def ask(model, label=None, who="all", stream=False, body=None, **headers):
    """who: the name of a key made before; "all": one that may read everything."""
    headers = {k.replace("_", "-"): v for k, v in headers.items()}
    headers["Authorization"] = "Bearer " + (key("all") if who == "all" else KEYS[who])
    if label is not None:
        headers["X-Plexus-Label"] = label
    text = body or json.dumps({"model": model, "stream": stream, "messages": [{"role": "user", "content": "hi"}]}).encode()
    return node().ask("POST", CHAT, text, headers)


def violations(operation):
    text = node().owner("GET", "/metrics").body.decode()
    found = re.search(rf'^plexus_security_violations_total{{operation="{operation}"}} (\d+)$', text, re.M)
    assert found, text[:2000]
    return int(found[1])


def refused(operation, answer, *words):
    """A refusal, checked in every place where it must be seen."""
    assert answer.status == 403, answer
    error = answer.json["error"]
    assert error["type"] == "permission_error" and error["code"] == "security", error
    assert error["message"].startswith("SecurityViolationError: "), error
    for word in words:
        assert word in error["message"], (word, error)
    request = answer.headers["X-Request-Id"]
    event = plexus.wait_until("the event", lambda: next(
        (line for line in node().log_lines() if line["event"] == "security.violation" and line["request"] == request), None))
    assert event["operation"] == operation and event["why"] == error["message"], event
    assert event["level"] == "warn", event
    assert event["label"] in error["message"] and event["subject"], event
    assert node().access_line(request)["outcome"] == "E_SECURITY"
    return event


def good(answer, label):
    assert answer.status == 200, answer
    assert answer.headers.get("X-Plexus-Label") == label, (answer.headers, label)
    return answer


# ---- what is told to a model -------------------------------------------------------------------

def test_default_label_is_told():
    answer = good(ask("plain"), "internal")
    line = node().access_line(answer.headers["X-Request-Id"])
    assert line["label"] == "internal", line


def test_header_is_the_label():
    good(ask("plain", "restricted:hr,eng"), "restricted:eng,hr")
    good(ask("plain", "public"), "public")
    good(ask("plain", "restricted:*"), "restricted:*")


def test_engine_hears_nothing_of_it():
    good(ask("plain", "confidential:eng"), "confidential:eng")
    head, _ = plexus.engine_last(plexus.engine_port(node(), "plain"))
    assert not plexus.header_of(head, "X-Plexus-Label"), head


def test_stream_says_its_label():
    answer = good(ask("plain", "confidential:hr", stream=True), "confidential:hr")
    assert answer.headers["Content-Type"].startswith("text/event-stream")


def test_clearance_of_a_model():
    good(ask("small-ear", "internal:eng"), "internal:eng")
    good(ask("small-ear"), "internal")
    before = violations("ask_model")
    refused("ask_model", ask("small-ear", "confidential:eng"), "the request has the label confidential:eng",
            "the model small-ear has the clearance internal:eng")
    refused("ask_model", ask("small-ear", "internal:hr"), "internal:hr", "internal:eng")
    assert violations("ask_model") == before + 2


def test_a_refused_request_loads_nothing():
    with Node({"models": {"m": engine("m", clearance="public")}}) as n:
        answer = n.chat("m")
        assert answer.status == 403 and answer.json["error"]["code"] == "security", answer
        assert n.model("m")["state"] == "UNLOADED" and not n.model("m")["loads"], n.model("m")
        assert not any(b"scripted" in plexus.cmdline(p) for p in n.engine_pids())
        assert n.chat("m", headers={"X-Plexus-Label": "public"}).headers["X-Plexus-Label"] == "public"


def test_cloud():
    posts = CLOUD.stats()["requests_total"]
    good(ask("cloud"), "internal")
    before = violations("ask_cloud")
    refused("ask_cloud", ask("cloud", "confidential"), "confidential", "the model cloud has the clearance internal")
    good(ask("open-cloud", "confidential:eng"), "confidential:eng")
    refused("ask_cloud", ask("open-cloud", "restricted"), "restricted")
    good(ask("own-remote", "restricted:eng"), "restricted:eng")  # one's own machine, not the cloud
    assert violations("ask_cloud") == before + 2
    assert CLOUD.stats()["requests_total"] == posts + 3, CLOUD.stats()


# ---- who may read the answer -------------------------------------------------------------------

def test_answer_is_the_join():
    good(ask("hr-model"), "confidential:hr")
    good(ask("hr-model", "internal:eng"), "confidential:eng,hr")
    good(ask("hr-model", "restricted"), "restricted:hr")


def test_clearance_of_a_key():
    key("engineer", clearance="confidential:eng")
    good(ask("plain", "confidential:eng", who="engineer"), "confidential:eng")
    before = violations("read_reply")
    event = refused("read_reply", ask("hr-model", who="engineer"), "the answer of the model hr-model has the label confidential:hr",
                    "the key engineer has the clearance confidential:eng")
    assert event["subject"] == "the key engineer", event
    refused("read_reply", ask("plain", "restricted:eng", who="engineer"), "the request has the label restricted:eng")
    refused("read_reply", ask("plain", "internal:hr", who="engineer"), "internal:hr", "confidential:eng")
    assert violations("read_reply") == before + 3


def test_label_of_a_key():
    key("sender", clearance="confidential:*", label="confidential:eng")
    good(ask("plain", who="sender"), "confidential:eng")
    good(ask("plain", "internal", who="sender"), "internal")
    key("outsider", clearance="public")  # knows nothing internal, so sends nothing internal
    good(ask("plain", who="outsider"), "public")


def test_keys_are_shown_and_kept():
    made = json.loads(node().command("key", "new", "shown", "--clearance", "confidential:hr,eng", "--label", "internal:eng",
                                     "--json").stdout)
    assert made["clearance"] == "confidential:eng,hr" and made["label"] == "internal:eng", made
    rows = {row["name"]: row for row in json.loads(node().command("key", "ls", "--json").stdout)["keys"]}
    assert rows["shown"]["clearance"] == "confidential:eng,hr" and rows["shown"]["label"] == "internal:eng", rows
    key("all")
    rows = {row["name"]: row for row in node().owner("GET", "/api/keys").json["keys"]}
    assert rows["all"]["clearance"] == "restricted:*" and rows["all"]["label"] is None, rows
    wrong = node().command("key", "new", "x", "--clearance", "secret", check=False)
    assert wrong.returncode == 65 and '"secret" is no label' in wrong.stderr, wrong
    above = node().command("key", "new", "x", "--clearance", "public", "--label", "internal", check=False)
    assert above.returncode == 65 and "above the clearance" in above.stderr, above


def test_old_table_of_keys_loads():
    with Node(start=False) as n:
        n.data.mkdir(mode=0o700)
        text = "plx_" + "A" * 43
        digest = hashlib.sha256(text.encode()).hexdigest()
        (n.data / "keys.json").write_text(json.dumps({"version": 1, "keys": [
            {"id": digest[:12], "name": "old", "hash": digest, "scopes": "models", "created_ms": 1}]}))
        (n.data / "keys.json").chmod(0o600)
        n.start()
        row = n.owner("GET", "/api/keys").json["keys"][0]
        assert row["clearance"] == "restricted:*" and row["label"] is None, row


# ---- what is wrong with a header ---------------------------------------------------------------

def test_malformed_labels():
    for label in ("secret", "", "internal:", "Internal", "internal:eng,", "internal: eng", "internal:e.g", "confidential:" + "x" * 2000):
        answer = ask("plain", label)
        assert answer.status == 400, (label, answer)
        error = answer.json["error"]
        assert error["param"] == "X-Plexus-Label" and "no label" in error["message"], error


def test_strangers_add_no_compartments():
    answer = ask("plain", "internal:nobody-knows-it")
    assert answer.status == 400 and "no compartment is named nobody-knows-it here" in answer.json["error"]["message"], answer
    for i in range(100):
        assert ask("plain", f"internal:n{i}").status == 400
    key("with-a-name", clearance="restricted:newname")
    good(ask("plain", "internal:newname"), "internal:newname")


def test_two_labels():
    connection = node().connection()
    connection.putrequest("POST", CHAT)
    text = json.dumps({"model": "plain", "messages": [{"role": "user", "content": "x"}]}).encode()
    for name, value in (("Authorization", "Bearer " + key("all")), ("X-Plexus-Label", "restricted"),
                        ("x-plexus-label", "public"), ("Content-Length", len(text))):
        connection.putheader(name, value)
    connection.endheaders(text)
    answer = connection.getresponse()
    assert answer.status == 400 and b"once" in answer.read()
    connection.close()


# ---- without labels ----------------------------------------------------------------------------

def test_nothing_is_said_where_labels_are_not_used():
    with Node({"models": {"m": engine("m")}}) as n:
        answer = n.chat("m")
        assert answer.status == 200 and "X-Plexus-Label" not in answer.headers, answer.headers
        asked = n.chat("m", headers={"X-Plexus-Label": "confidential"})
        assert asked.headers["X-Plexus-Label"] == "confidential", asked.headers
        assert "label" not in n.access_line(answer.headers["X-Request-Id"])


# ---- declassification --------------------------------------------------------------------------

def body_for(model, text):
    return json.dumps({"model": model, "messages": [{"role": "user", "content": text}]}).encode()


def test_declassified():
    body = body_for("cloud", "a press release")
    refused("ask_cloud", ask("cloud", "confidential:hr", body=body), "confidential:hr")
    signed = SIGNER.declassify(body, "confidential:hr", "internal")
    answer = good(ask("cloud", "confidential:hr", body=body, X_Plexus_Declassify=signed), "internal")
    event = next(line for line in node().log_lines() if line["event"] == "label.declassified"
                 and line["request"] == answer.headers["X-Request-Id"])
    assert event["who"] == "officer" and event["from"] == "confidential:hr" and event["to"] == "internal", event
    assert event["reason"] == "a test", event
    head, _ = CLOUD.last()
    assert not plexus.header_of(head, "X-Plexus-Declassify"), head


def test_not_declassified():
    body = body_for("cloud", "secrets")
    label = "confidential:hr"
    now = int(time.time())
    wrong = [
        (SIGNER.declassify(body + b" ", label, "internal"), "about other data"),
        (SIGNER.declassify(body, "confidential:eng", "internal"), "with another label"),
        (SIGNER.declassify(body, label, "restricted"), "restricted is not below it"),
        (SIGNER.declassify(body, label, "internal", expires=now - 1), "has expired"),
        (SIGNER.declassify(body, label, "internal", at=now + 3600), "of a time to come"),
        (LESSER.declassify(body, label, "internal"), "not the signature of the key officer"),
        (LESSER.declassify(body, label, "internal", who="clerk"), "the key that signed has the clearance internal"),
        (SIGNER.declassify(body, label, "internal", who="nobody"), "there is no key nobody"),
    ]
    before = violations("declassify")
    for signed, why in wrong:
        refused("declassify", ask("cloud", label, body=body, X_Plexus_Declassify=signed), why)
    assert violations("declassify") == before + len(wrong)
    for signed in ("", "x", "e30.AAAA", SIGNER.declassify(body, label, "internal")[:-1]):
        answer = ask("cloud", label, body=body, X_Plexus_Declassify=signed)
        assert answer.status == 400 and "not a declassification" in answer.json["error"]["message"], answer


def test_declassified_by_the_command():
    with Node({"models": {"m": engine("m", clearance="internal")}, "log": {"access_flush": "20ms"}}) as n:
        public = n.command("declassify", "key", "officer.key").stdout.strip()
        assert (n.folder / "officer.key").stat().st_mode & 0o777 == 0o600
        again = n.command("declassify", "key", "officer.key", check=False)
        assert again.returncode == 73 and "never written over" in again.stderr, again
        n.config["labels"] = {"declassifiers": [{"name": "officer", "key": public}]}
        n.write()
        assert n.owner("POST", "/api/config/reload", {}).status == 200
        body = body_for("m", "what may be said")
        (n.folder / "body.json").write_bytes(body)
        words = ["declassify", "sign", "body.json", "--key", "officer.key", "--who", "officer", "--reason", "said in public"]
        signed = n.command(*words, "--from", "confidential", "--to", "internal").stdout.strip()
        headers = {"X-Plexus-Label": "confidential"}
        assert n.ask("POST", CHAT, body, headers).status == 403
        answer = n.ask("POST", CHAT, body, {**headers, "X-Plexus-Declassify": signed})
        assert answer.status == 200 and answer.headers["X-Plexus-Label"] == "internal", answer
        row = json.loads(n.command(*words, "--from", "confidential", "--to", "public", "--ttl", "1h", "--json").stdout)
        assert 3500 < row["expires"] - time.time() < 3700 and row["declassification"].count(".") == 1, row
        for more, code, why in ((["--from", "internal", "--to", "confidential"], 77, "is not below it"),
                                (["--from", "internal"], 64, "--to is missing"),
                                (["--from", "internal", "--to", "secret"], 65, "no label")):
            got = n.command(*words, *more, check=False)
            assert got.returncode == code and why in got.stderr, got


# ---- configuration -----------------------------------------------------------------------------

def engines(node):
    """Its engine's processes, without what looks at the machine meanwhile."""
    return sorted(p for p in node.engine_pids() if b"scripted" in plexus.cmdline(p))


def test_reload():
    config = {"models": {"m": engine("m")}}
    with Node(config) as n:
        assert n.chat("m").status == 200
        pid = engines(n)
        assert pid
        config["models"]["m"]["clearance"] = "public"
        n.write(config)
        assert n.owner("POST", "/api/config/reload", {}).status == 200
        assert n.chat("m").status == 403
        config["labels"] = {"default": "public"}
        n.write(config)
        assert n.owner("POST", "/api/config/reload", {}).status == 200
        assert n.chat("m").headers["X-Plexus-Label"] == "public"
        assert engines(n) == pid  # no restart for a label
        config["labels"] = {"default": "secret"}
        n.write(config)
        wrong = n.owner("POST", "/api/config/reload", {})
        assert wrong.status == 400 and "labels.default" in wrong.json["error"]["message"], wrong
        assert n.chat("m").headers["X-Plexus-Label"] == "public"


def test_config_check_names_the_place():
    with Node({"labels": {"cloud": "restricted"}}, start=False) as n:
        got = n.command("config", "check", "--config", str(n.file), check=False)
        assert got.returncode == 78 and "labels.cloud" in got.stdout + got.stderr, got


if __name__ == "__main__":
    plexus.main(globals())
