# bad_test.py: bad days of the MCP server: broken messages, clients that are slow, gone or greedy,
# keys of others, streams that are taken up again, and what each revision refuses.
# SPDX-License-Identifier: Apache-2.0
import http.client
import json
import pathlib
import socket
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import mcp_rig  # noqa: E402
import plexus  # noqa: E402
from mcp_rig import Session, listen, modern, post, request  # noqa: E402


def broken_messages(port):
    """Whatever comes: an answer with the right code, and the next request is served."""
    cases = [("{", 400, -32700), ("", 400, -32700), ("nonsense", 400, -32700), ("\xff", 400, -32700),
             ("[]", 400, -32600), ("[1]", 400, -32600), ("1", 400, -32600), ("null", 400, -32600),
             ('"text"', 400, -32600), ("{}", 400, -32600), ('{"jsonrpc":"1.0","id":1,"method":"ping"}', 400, -32600),
             ('{"jsonrpc":"2.0","id":null,"method":"ping"}', 400, -32600),
             ('{"jsonrpc":"2.0","id":1.5,"method":"ping"}', 400, -32600),
             ('{"jsonrpc":"2.0","id":{},"method":"ping"}', 400, -32600),
             ('{"jsonrpc":"2.0","id":1,"method":7}', 400, -32600),
             ('{"jsonrpc":"2.0","id":1,"method":"ping","params":[1]}', 400, -32600),
             ('{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}', 400, -32600),
             ('{"jsonrpc":"2.0","id":"' + "x" * 300 + '","method":"ping"}', 400, -32600),
             ("[" * 600 + "]" * 600, 400, -32700)]
    for text, status, code in cases:
        reply = post(port, text.encode("latin-1"))
        assert (reply.status, reply.code) == (status, code), (text[:60], reply.status, reply.body)
    assert post(port, "{}", Content_Type="text/plain").status == 415
    assert post(port, "{}", Accept="text/html").status == 406
    assert request(port, "PUT", "{}").status == 405
    deep = {"a": 1}
    for _ in range(300):
        deep = {"a": deep}
    reply = modern(port, "tools/call", {"name": "echo", "arguments": deep})
    assert reply.last["result"]["structuredContent"] == deep
    assert modern(port, "server/discover").status == 200


def huge_messages(port):
    big = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {"x": "y" * (17 << 20)}})
    try:
        assert post(port, big).status == 413
    except (BrokenPipeError, ConnectionResetError):
        pass  # it was refused while it was still being sent
    reply = modern(port, "tools/call", {"name": "big", "arguments": {"bytes": 8 << 20}})
    assert len(reply.last["result"]["content"][0]["text"]) == 8 << 20
    reply = modern(port, "tools/call", {"name": "echo", "arguments": {"x": "y" * (8 << 20)}})
    assert len(reply.last["result"]["structuredContent"]["x"]) == 8 << 20


def doors(port):
    """Host and Origin: a page on another site cannot reach in, whatever its name resolves to."""
    for fields in ({"Host": "evil.example"}, {"Origin": "http://evil.example"},
                   {"Origin": "null"}, {"Origin": "http://localhost.evil.example"},
                   {"Host": "127.0.0.1.evil.example", "Origin": "http://127.0.0.1"}):
        reply = request(port, "POST", "{}", {"Content-Type": "application/json", **fields})
        assert reply.status == 403, (fields, reply.status)
    for origin in ("http://localhost:5173", "http://127.0.0.1", "http://[::1]:80"):
        assert post(port, "{}", Origin=origin).status == 400, origin


def refused_by_revision(port):
    call = {"name": "greet", "arguments": {"name": "x"}}
    mismatch = modern(port, "tools/call", call, headers={"Mcp_Name": "echo"})
    assert (mismatch.status, mismatch.code) == (400, -32020)
    assert modern(port, "tools/call", call, headers={"MCP_Protocol_Version": "2025-11-25"}).code == -32020
    assert modern(port, "tools/call", call, headers={"Mcp_Method": None}).code == -32020
    assert modern(port, "tools/call", call, headers={"Mcp_Name": "=?base64?Z3JlZXQ=?="}).status == 200
    assert modern(port, "tools/call", call, headers={"Mcp_Name": "=?base64?Z3JlZX?="}).code == -32020
    gone = modern(port, "ping")
    assert (gone.status, gone.code) == (404, -32601)
    assert modern(port, "tools/list", {"cursor": "x"}).code == -32602
    assert modern(port, "tools/call", call, **{"io.modelcontextprotocol/logLevel": "loud"}).code == -32602
    assert request(port, "GET", None, {"Accept": "text/event-stream"}).status == 405
    old = Session(port, "1999-01-01")
    assert old.version == mcp_rig.LEGACY
    wrong = old.post({"jsonrpc": "2.0", "id": 1, "method": "ping"},
                     {"Mcp-Session-Id": old.session, "MCP-Protocol-Version": "1999-01-01"})
    assert (wrong.status, wrong.code) == (400, -32000)
    assert old.call("server/discover").code == -32601
    lost = old.post({"jsonrpc": "2.0", "id": 1, "method": "ping"}, {"Mcp-Session-Id": "0" * 32})
    assert lost.status == 404
    assert post(port, {"jsonrpc": "2.0", "id": 1, "method": "ping"}).status == 400
    assert old.end().status == 204 and old.call("ping").status == 404 and old.end().status == 404


def batches(port):
    both = [{"jsonrpc": "2.0", "id": 1, "method": "ping"}, {"jsonrpc": "2.0", "method": "notifications/x"},
            {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "greet", "arguments": {"name": "B"}}},
            {"jsonrpc": "2.0", "id": 3, "method": "no/such"}, 17]
    assert Session(port).post(both).code == -32600
    old = Session(port, "2025-03-26")
    answers = json.loads(old.post(both).body)
    by_id = {a.get("id"): a for a in answers}
    assert by_id[1]["result"] == {} and by_id[3]["error"]["code"] == -32601, answers
    assert by_id[2]["result"]["content"][0]["text"] == "Hello, B!" and by_id[None]["error"]["code"] == -32600
    assert old.post([{"jsonrpc": "2.0", "method": "notifications/x"}]).status == 202
    assert old.post([{"jsonrpc": "2.0", "id": i, "method": "ping"} for i in range(65)]).code == -32600


def pages():
    with mcp_rig.server("--page", 7) as port:
        names, cursor, rounds = [], None, 0
        while True:
            result = modern(port, "tools/list", {"cursor": cursor} if cursor else {}).last["result"]
            names += [tool["name"] for tool in result["tools"]]
            rounds += 1
            cursor = result.get("nextCursor")
            if not cursor:
                break
            assert len(result["tools"]) == 7
        assert len(names) == len(set(names)) > 40 and rounds == (len(names) + 6) // 7, (rounds, names)


def cancelled(port):
    s = Session(port)
    took = time.monotonic()
    ended = []
    t = threading.Thread(target=lambda: ended.append(s.call("tools/call", {"name": "slow_compute", "arguments": {"seconds": 30}}, id="slow")))
    t.start()
    time.sleep(0.1)
    assert s.notify("notifications/cancelled", {"requestId": "unknown"}).status == 202
    assert s.notify("notifications/cancelled", {"requestId": "slow", "reason": "enough"}).status == 202
    t.join(10)
    assert ended and time.monotonic() - took < 10, "a cancelled call holds its request"
    assert not any("result" in m for m in ended[0].messages), ended[0].body
    assert s.call("ping").last["result"] == {}
    c = http.client.HTTPConnection("127.0.0.1", port)  # modern: the connection's end cancels
    c.connect()
    c.sock.sendall(b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\n\r\n{")
    c.close()


def taken_up_again():
    """The stream of a call is closed before its answer; the client comes back for it."""
    with mcp_rig.server("--hold", 300) as port:
        s = Session(port)
        first = s.tool("test_reconnection")
        ids = [id for id, _ in first.events if id]
        assert ids and b"retry: " in first.body and not any(data for _, data in first.events), first.body
        second = s.get(ids[-1])
        while not second.messages:  # closed again: the call takes longer than two streams are held
            ids += [id for id, _ in second.events if id]
            second = s.get(ids[-1])
        assert second.last["result"]["content"][0]["text"].startswith("Reconnection"), second.body
        assert s.get(ids[-1]).last == second.last  # and once more
        for wrong in ("", "x", "99-1", "0", f"{ids[-1]}0000000000000000000", "-1"):
            if wrong:
                assert s.get(wrong).status == 400, wrong
        other = Session(port)
        assert other.get(ids[-1]).status in (200, 400)  # its own stream of that number, never the other's
        s.end()
        assert s.get(ids[-1]).status == 404


def keys():
    with mcp_rig.server("--key", "ada=k1", "--key", "bob=k2", "--oauth", "https://login.example.org") as port:
        reply = modern(port, "server/discover")
        told = reply.headers["WWW-Authenticate"]
        assert reply.status == 401 and 'resource_metadata="http://127.0.0.1' in told, (reply.status, told)
        where = told.split('resource_metadata="')[1].split('"')[0]
        path = where.split(str(port))[1]
        c = http.client.HTTPConnection("127.0.0.1", port)
        c.request("GET", path)
        data = json.loads(c.getresponse().read())
        assert data["authorization_servers"] == ["https://login.example.org"], data
        assert data["resource"] == f"http://127.0.0.1:{port}/mcp" and data["bearer_methods_supported"] == ["header"]
        assert post(port, "{}", Authorization="Bearer wrong").status == 401
        ada = Session(port, key="k1")
        assert ada.call("ping").last["result"] == {}
        taken = ada.post({"jsonrpc": "2.0", "id": 5, "method": "ping"}, {"Mcp-Session-Id": ada.session})
        assert taken.status == 200
        bob = Session(port, key="k2")
        bob.session = ada.session
        for reply in (bob.call("ping"), bob.get(), bob.end()):
            assert reply.status == 404, reply.status  # as if it were not there
        assert ada.call("ping").status == 200


def state_of_another():
    """A requestState is taken from its caller, for its request, as it was."""
    with mcp_rig.server("--key", "ada=k1", "--key", "bob=k2") as port:
        def call(name, key, **more):
            return modern(port, "tools/call", {"name": name, "arguments": {}, **more},
                          capabilities={"elicitation": {}}, headers={"Authorization": f"Bearer {key}"})
        asked = call("test_input_required_result_multi_round", "k1").last["result"]
        state = asked["requestState"]
        answer = {"step1": {"action": "accept", "content": {"name": "A"}}}
        good = call("test_input_required_result_multi_round", "k1", requestState=state, inputResponses=answer)
        assert list(good.last["result"]["inputRequests"]) == ["step2"], good.body
        for name, key, text in (("test_input_required_result_multi_round", "k2", state),
                                ("test_input_required_result_request_state", "k1", state),
                                ("test_input_required_result_multi_round", "k1", state[:-2]),
                                ("test_input_required_result_multi_round", "k1", "x" + state),
                                ("test_input_required_result_multi_round", "k1", "."),
                                ("test_input_required_result_multi_round", "k1", 7)):
            reply = call(name, key, requestState=text, inputResponses=answer)
            assert reply.code == -32602, (name, key, reply.body)


def many_sessions():
    with mcp_rig.server("--sessions", 50) as port:
        first = Session(port)
        held = Session(port)
        stream = held.stream()
        for _ in range(120):
            last = Session(port)
        assert first.call("ping").status == 404  # the longest unused went
        assert held.call("ping").status == 200 and last.call("ping").status == 200
        stream.close()


def unanswered_question():
    with mcp_rig.server("--ask", 400) as port:
        s = Session(port, capabilities={"elicitation": {}})
        reply = s.tool("test_elicitation", message="x")
        asked = [m for m in reply.messages if m.get("method") == "elicitation/create"]
        assert len(asked) == 1 and reply.last["result"]["isError"], reply.body
        assert s.post({"jsonrpc": "2.0", "id": asked[0]["id"], "result": {"action": "accept"}}).status == 202
        assert s.post({"jsonrpc": "2.0", "id": 12345, "result": {}}).status == 202  # to nothing
        bare = Session(port)
        assert bare.tool("test_elicitation", message="x").last["result"]["isError"]


def changes(port):
    s = Session(port)
    assert s.call("resources/subscribe", {"uri": "test://watched-resource"}).last["result"] == {}
    own = s.stream()
    heard = listen(port, {"toolsListChanged": True, "resourceSubscriptions": ["test://watched-resource"]}, id="me")
    ack = next(heard)
    assert ack["method"] == "notifications/subscriptions/acknowledged", ack
    s.tool("test_trigger_tool_change")
    s.tool("test_trigger_resource_change")
    want = {"notifications/tools/list_changed", "notifications/resources/updated"}
    assert {next(own)["method"] for _ in want} == want
    told = [next(heard) for _ in want]
    assert {m["method"] for m in told} == want, told
    assert all(m["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"] == "me" for m in told)
    own.close()
    heard.close()


def slow_readers(port):
    """A reader that does not read: bounded memory, and the server goes on."""
    s = Session(port)
    c = socket.create_connection(("127.0.0.1", port))
    c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "flood", "arguments": {}}})
    head = "".join(f"{k}: {v}\r\n" for k, v in s.fields.items())
    c.sendall((f"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nAccept: {mcp_rig.BOTH}\r\n"
               f"{head}Content-Length: {len(body)}\r\n\r\n{body}").encode())
    time.sleep(0.3)
    for _ in range(20):
        assert s.call("ping").last["result"] == {}
    c.close()
    reply = s.tool("flood")  # one that reads gets the answer, whatever was dropped before it
    assert reply.last["result"]["content"][0]["text"] == "flooded"
    dribblers = [socket.create_connection(("127.0.0.1", port)) for _ in range(100)]
    for d in dribblers:
        d.sendall(b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Le")
    assert s.call("ping").last["result"] == {}
    for d in dribblers:
        d.close()


def too_many_calls(port):
    connections = []
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": "slow_compute", "arguments": {"seconds": 30}, "_meta": mcp_rig.meta()}})
    fields = {"Content-Type": "application/json", "Accept": mcp_rig.BOTH, "MCP-Protocol-Version": mcp_rig.MODERN,
              "Mcp-Method": "tools/call", "Mcp-Name": "slow_compute"}
    for _ in range(64):
        c = http.client.HTTPConnection("127.0.0.1", port)
        c.request("POST", "/mcp", body, fields)
        connections.append(c)
    plexus.wait_until("the 65th is refused", lambda: modern(
        port, "tools/call", {"name": "greet", "arguments": {"name": "x"}}).status == 429)
    for c in connections:
        c.close()
    plexus.wait_until("those that left are forgotten", lambda: modern(
        port, "tools/call", {"name": "greet", "arguments": {"name": "x"}}).status == 200)


def tasks(port):
    s = Session(port)
    made = s.call("tools/call", {"name": "slow_compute", "arguments": {"seconds": 0.3}, "task": {"ttl": 60000}})
    task = made.last["result"]["task"]
    assert task["status"] == "working" and task["ttl"] == 60000, task
    assert [t["taskId"] for t in s.call("tasks/list").last["result"]["tasks"]] == [task["taskId"]]
    result = s.call("tasks/result", {"taskId": task["taskId"]}).last["result"]
    assert result["content"][0]["text"] == "computed for 0.3 s", result
    assert result["_meta"]["io.modelcontextprotocol/related-task"]["taskId"] == task["taskId"]
    assert s.call("tasks/get", {"taskId": task["taskId"]}).last["result"]["status"] == "completed"
    assert s.call("tasks/cancel", {"taskId": task["taskId"]}).code == -32602
    long = s.call("tools/call", {"name": "slow_compute", "arguments": {"seconds": 30}, "task": {}}).last["result"]["task"]
    assert s.call("tasks/cancel", {"taskId": long["taskId"]}).last["result"]["status"] == "cancelled"
    assert s.call("tasks/get", {"taskId": "none"}).code == -32602


def main():
    with mcp_rig.server() as port:
        for case in (broken_messages, huge_messages, doors, refused_by_revision, batches, cancelled, changes,
                     slow_readers, too_many_calls, tasks):
            case(port)
            print(case.__name__, flush=True)
    for case in (pages, taken_up_again, keys, state_of_another, many_sessions, unanswered_question):
        case()
        print(case.__name__, flush=True)


main()
