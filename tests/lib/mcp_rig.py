# mcp_rig.py: what the tests of MCP share: the test server, and plain HTTP to a /mcp.
# Standard library only.
# SPDX-License-Identifier: Apache-2.0
import contextlib
import http.client
import json
import pathlib
import signal
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
SERVER = str(ROOT / "build/tests/mcp_server")
MODERN, LEGACY = "2026-07-28", "2025-11-25"
BOTH = "application/json, text/event-stream"


@contextlib.contextmanager
def server(*options):
    """The test server; its port. Whatever is left of its memory fails the test."""
    process = subprocess.Popen([SERVER, *map(str, options)], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        word, port = process.stdout.readline().split()
        assert word == "port", word
        yield int(port)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            _, said = process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            _, said = process.communicate()
            raise AssertionError(f"the server does not end: {said}") from None
    assert process.returncode == 0, (process.returncode, said)


class Reply:
    def __init__(self, answer):
        self.status, self.headers, self.body = answer.status, answer.headers, answer.read()

    @property
    def messages(self):
        """What came: one JSON object, or the events of a stream."""
        if not self.headers.get("Content-Type", "").startswith("text/event-stream"):
            return [json.loads(self.body)] if self.body else []
        return [json.loads(data) for _, data in self.events if data]

    @property
    def events(self):
        """(id, data) of each event."""
        found = []
        for frame in self.body.decode().split("\n\n"):
            fields = dict(line.split(": ", 1) for line in frame.split("\n") if ": " in line)
            if "data" in fields or frame.endswith("data: "):
                found.append((fields.get("id"), fields.get("data", "")))
        return found

    @property
    def last(self):
        return self.messages[-1]

    @property
    def code(self):
        return self.last.get("error", {}).get("code")


def request(port, method, body=None, headers=(), timeout=20):
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)) as c:
        c.request(method, "/mcp", body, dict(headers))
        return Reply(c.getresponse())


def post(port, message, **headers):
    """A message as it is (a text, or what becomes JSON); headers with _ for -."""
    text = message if isinstance(message, (str, bytes)) else json.dumps(message)
    fields = {"Content-Type": "application/json", "Accept": BOTH}
    fields.update({k.replace("_", "-"): v for k, v in headers.items() if v is not None})
    return request(port, "POST", text, {k: v for k, v in fields.items() if v})


def meta(capabilities=None, **more):
    return {"io.modelcontextprotocol/protocolVersion": MODERN,
            "io.modelcontextprotocol/clientCapabilities": capabilities or {},
            "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"}, **more}


def modern(port, method, params=None, id=1, capabilities=None, headers=(), **more_meta):
    params = dict(params or {}, _meta=meta(capabilities, **more_meta))
    name = params.get("name") if method in ("tools/call", "prompts/get") else \
        params.get("uri") if method == "resources/read" else params.get("taskId")
    fields = {"MCP_Protocol_Version": MODERN, "Mcp_Method": method, "Mcp_Name": name, **dict(headers)}
    return post(port, {"jsonrpc": "2.0", "id": id, "method": method, "params": params}, **fields)


class Session:
    """Of a revision with a handshake."""

    def __init__(self, port, version=LEGACY, capabilities=None, key=None):
        self.port, self.id = port, 0
        self.auth = {"Authorization": "Bearer " + key} if key else {}
        hello = {"protocolVersion": version, "capabilities": capabilities or {},
                 "clientInfo": {"name": "test", "version": "1"}}
        reply = self.post({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello}, {})
        assert reply.status == 200, (reply.status, reply.body)
        self.version = reply.last["result"]["protocolVersion"]
        self.hello = reply.last["result"]
        self.session = reply.headers["Mcp-Session-Id"]
        assert self.notify("notifications/initialized").status == 202

    @property
    def fields(self):
        return {"Mcp-Session-Id": self.session, "MCP-Protocol-Version": self.version, **self.auth}

    def post(self, message, headers=None):
        return post(self.port, message, **(self.fields if headers is None else {**headers, **self.auth}))

    def notify(self, method, params=None):
        message = {"jsonrpc": "2.0", "method": method}
        return self.post(dict(message, params=params) if params is not None else message)

    def call(self, method, params=None, id=None):
        self.id += 1
        message = {"jsonrpc": "2.0", "id": self.id if id is None else id, "method": method}
        return self.post(dict(message, params=params) if params is not None else message)

    def tool(self, name, **arguments):
        return self.call("tools/call", {"name": name, "arguments": arguments})

    def get(self, last=None, timeout=20):
        fields = dict(self.fields, Accept="text/event-stream")
        if last:
            fields["Last-Event-ID"] = last
        return request(self.port, "GET", None, fields, timeout)

    def stream(self, timeout=20):
        """The session's own stream, open: a generator of messages."""
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        c.request("GET", "/mcp", None, dict(self.fields, Accept="text/event-stream"))
        return events(c)

    def end(self):
        return request(self.port, "DELETE", None, self.fields)


def listen(port, notifications, id=9, capabilities=None, timeout=20):
    """subscriptions/listen: a generator of messages."""
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    c.request("POST", "/mcp", json.dumps({
        "jsonrpc": "2.0", "id": id, "method": "subscriptions/listen",
        "params": {"notifications": notifications, "_meta": meta(capabilities)}}),
        {"Content-Type": "application/json", "Accept": BOTH, "MCP-Protocol-Version": MODERN,
         "Mcp-Method": "subscriptions/listen"})
    return events(c)


def events(connection):
    with contextlib.closing(connection):
        answer = connection.getresponse()
        assert answer.status == 200, (answer.status, answer.read())
        while True:
            line = answer.readline()
            if not line:
                return
            if line.startswith(b"data: ") and len(line) > 7:
                yield json.loads(line[6:])
