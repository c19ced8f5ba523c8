# tools_mcp.py: how long a tool's call takes over MCP: streamable HTTP on loopback, one kept
# connection, a tool that only answers, both generations of the protocol. Prints its marks.
# Standard library only.
# SPDX-License-Identifier: Apache-2.0
import json
import pathlib
import socket
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests/lib"))
import mcp_rig  # noqa: E402

CALLS, WARM = 4000, 400


def request(params, fields):
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()
    head = "".join(f"{k}: {v}\r\n" for k, v in fields.items())
    return (f"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"Accept: {mcp_rig.BOTH}\r\n{head}Content-Length: {len(body)}\r\n\r\n").encode() + body


def exchange(s, text):
    """One request, one answer that is one JSON object; nothing between the clock and the socket."""
    s.sendall(text)
    got = s.recv(65536)
    while b"\r\n\r\n" not in got:
        got += s.recv(65536)
    head, _, body = got.partition(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    while len(body) < length:
        body += s.recv(65536)
    return body


def measure(port, text):
    with socket.create_connection(("127.0.0.1", port)) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        took = []
        for i in range(CALLS + WARM):
            began = time.perf_counter_ns()
            body = exchange(s, text)
            if i >= WARM:
                took.append(time.perf_counter_ns() - began)
        assert json.loads(body)["result"]["content"][0]["text"] == "Hello, Ada!", body
    took.sort()
    return took[len(took) // 2] / 1000, took[len(took) * 99 // 100] / 1000


def main():
    params = {"name": "greet", "arguments": {"name": "Ada"}}
    with mcp_rig.server() as port:
        session = mcp_rig.Session(port)
        modern = {"MCP-Protocol-Version": mcp_rig.MODERN, "Mcp-Method": "tools/call", "Mcp-Name": "greet"}
        p50, p99 = measure(port, request(dict(params, _meta=mcp_rig.meta()), modern))
        print(f"mcp_call_p50_us {p50:.0f} us")
        print(f"mcp_call_p99_us {p99:.0f} us")
        p50, _ = measure(port, request(params, session.fields))
        print(f"mcp_call_session_p50_us {p50:.0f} us")


main()
