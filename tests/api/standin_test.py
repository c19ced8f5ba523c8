#!/usr/bin/env python3
# standin_test.py: the stand-in answers what the conformance scenarios need of the public servers.
# SPDX-License-Identifier: Apache-2.0
import base64
import json
import pathlib
import sys
import urllib.error
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import standin


def ask(s, path, method="GET", body=None, headers=None):
    request = urllib.request.Request(f"http://127.0.0.1:{s.port}{path}", method=method,
                                     data=body, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as e:
        return e.code, json.loads(e.read() or b"null")


with standin.Standin() as s:
    status, found = ask(s, "/v2/pet/findByStatus?status=available")
    assert status == 200 and found and all(p["status"] == "available" for p in found)
    assert {"id", "name", "status"} <= set(found[0])
    assert ask(s, "/v2/pet/1")[1]["id"] == 1 and ask(s, "/v2/pet/2")[1]["id"] == 2
    assert ask(s, "/v2/pet/99")[0] == 404
    assert ask(s, "/v2/pet/getPetByName/Milou")[0] == 404
    operations = {o["operationId"] for path in ask(s, "/v2/swagger.json")[1]["paths"].values()
                  for o in path.values()}
    assert {"findPetsByStatus", "getPetById", "addPet"} <= operations
    assert ask(s, "/v2/pet", "POST", b'{"id":50,"name":"x","status":"sold"}')[1]["id"] == 50
    assert ask(s, "/v2/pet/50", "DELETE")[0] == 200 and ask(s, "/v2/pet/50")[0] == 404
    word = base64.b64encode(b"u:p").decode()
    assert ask(s, "/basic-auth/u/p", headers={"Authorization": "Basic " + word})[0] == 200
    assert ask(s, "/basic-auth/u/q", headers={"Authorization": "Basic " + word})[0] == 401
    assert [ask(s, "/flaky/a/2")[0] for _ in range(3)] == [503, 503, 200]
    assert ask(s, "/post", "POST", b'{"a":1}', {"Content-Type": "application/json"})[1]["json"] == {"a": 1}
    assert ask(s, "/redirect/3")[1]["url"].endswith("/get")
    assert s.hosts()["httpbin.org"] == f"127.0.0.1:{s.port}" and len(s.requests) > 10
print("standin: fine")
