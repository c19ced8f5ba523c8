#!/usr/bin/env python3
# manners_test.py: small documents as people write them: every task, JSON and YAML, 1.0.0 to 1.0.3, what is
# named by reference, errors and refusals, against a real node and a small HTTP server. timeout: 180
# SPDX-License-Identifier: Apache-2.0
import base64
import http.server
import json
import os
import threading
import time
import urllib.parse

import flowkit as flows
import plexus

os.environ.update(PLEXUS_SECRET_TOKEN="s3cr3t", PLEXUS_SECRET_CRED='{"username": "bob", "password": "pw"}')
asked = {}


class Other(http.server.BaseHTTPRequestHandler):
    """What the documents call."""
    protocol_version = "HTTP/1.1"

    def log_message(self, *words):
        pass

    def say(self, status, body, **headers):
        text = isinstance(body, str)
        data = body.encode() if text else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "text/plain" if text else "application/json")
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def answer(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
        url = urllib.parse.urlsplit(self.path)
        path, auth, here = url.path, self.headers.get("authorization", ""), "http://127.0.0.1:%d" % PORT
        asked[path] = asked.get(path, 0) + 1
        if path == "/echo":
            return self.say(200, {"method": self.command, "query": dict(urllib.parse.parse_qsl(url.query)), "body": body, "auth": auth,
                                  "ct": self.headers.get("content-type"), "x": self.headers.get("x-one")})
        if path.startswith("/pets/"):
            return self.say(200, {"id": path[6:], "name": "Rex"})
        if path == "/flaky":
            return self.say(200 if asked[path] % 3 == 0 else 503, {"ok": asked[path]})
        if path == "/text":
            return self.say(200, "hello text")
        if path == "/redirect":
            return self.say(302, "", location="/echo")
        if path == "/slow":
            time.sleep(1)
            self.close_connection = True
            return None
        if path.startswith("/status/"):
            return self.say(int(path[8:]), {"code": path[8:]})
        if path == "/token":
            return self.say(200, {"access_token": "tok-" + dict(urllib.parse.parse_qsl(body))["grant_type"], "token_type": "Bearer"})
        if path == "/oauth2/token":
            return self.say(200, {"access_token": "tok2", "token_type": "Bearer"})
        if path == "/.well-known/openid-configuration":
            return self.say(200, {"issuer": here, "token_endpoint": here + "/token"})
        if path == "/digest" and not auth.startswith("Digest"):
            return self.say(401, {}, www_authenticate='Digest realm="r", qop="auth", nonce="n1", opaque="o"')
        if path == "/digest":
            return self.say(200, {"user": auth.split('username="')[1].split('"')[0]})
        if path == "/openapi.json":
            get = {"operationId": "getPet", "responses": {"200": {"description": "one"}},
                   "parameters": [{"name": "petId", "in": "path", "required": True, "schema": {"type": "string"}}]}
            return self.say(200, {"openapi": "3.0.0", "servers": [{"url": here}], "info": {"title": "t", "version": "1"},
                                  "paths": {"/pets/{petId}": {"get": get}}})
        if path == "/swagger.json":
            post = {"operationId": "post", "parameters": [{"name": "body", "in": "body", "schema": {}}], "responses": {}}
            return self.say(200, {"swagger": "2.0", "host": here[7:], "schemes": ["http"], "basePath": "/",
                                  "info": {"title": "t", "version": "1"}, "paths": {"/echo": {"post": post}}})
        if path == "/schema.json":
            return self.say(200, {"type": "object", "required": ["age"]})
        if path == "/functions/greet/1.0.0/function.yaml":
            return self.say(200, "input: { schema: { document: { type: object } } }\nset:\n  hi: ${ .who }\n")
        if path == "/fn.yaml":
            return self.say(200, "call: http\nwith:\n  method: get\n  endpoint: %s/pets/{id}\n" % here)
        return self.say(404, {"no": path})

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = answer


SERVER = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Other)
PORT = SERVER.server_address[1]
CASES = []


def case(name, text, want, **more):
    """want: the output, a condition on it, or fails(...) and refused(...): words of the error or of the findings."""
    CASES.append((name, text.lstrip("\n").replace("@PORT@", str(PORT)), want, more))


class fails(tuple):
    def __new__(cls, *words):
        return tuple.__new__(cls, words)


class refused(fails):
    pass


case("set-obj", """
do:
- a:
    set:
      x: 1
      deep: {y: '${ .z }', s: 'no ${ . }'}""", lambda g: g['x'] == 1 and g['deep']['y'] == 5, input={'z': 5})
case("set-expr", """
do:
- a: {set: '${ . * 2 }'}""", 6, input=3)
case("json-doc", """
{"document":{"dsl":"1.0.0","namespace":"test","name":"json-doc","version":"1.0.0"},"do":[{"a":{"set":{"x":"${ .n + 1 }"}}}]}""", {'x': 3}, input={'n': 2})
case("dsl101", """
do:
- a: {set: {x: 1}}""", {'x': 1}, dsl='1.0.1')
case("dsl102", """
do:
- a: {set: {x: 1}}""", {'x': 1}, dsl='1.0.2')
case("dsl-future", """
do:
- a: {set: {x: 1}}""", refused(), dsl='2.0.0')
case("http-get", """
do:
- a:
    call: http
    with: {method: get, endpoint: 'http://127.0.0.1:@PORT@/pets/{id}'}""", {'id': '7', 'name': 'Rex'}, input={'id': 7})
case("http-response", """
do:
- a:
    call: http
    with: {method: get, endpoint: 'http://127.0.0.1:@PORT@/pets/1', output: response}""", lambda g: g['statusCode'] == 200 and g['content']['id'] == '1' and ('request' in g) and ('headers' in g))
case("http-raw", """
do:
- a:
    call: http
    with: {method: get, endpoint: 'http://127.0.0.1:@PORT@/text', output: raw}""", lambda g: base64.b64decode(g) == b'hello text')
case("http-text", """
do:
- a:
    call: http
    with: {method: get, endpoint: 'http://127.0.0.1:@PORT@/text'}""", 'hello text')
case("http-404", """
do:
- a:
    call: http
    with: {method: get, endpoint: 'http://127.0.0.1:@PORT@/status/404'}""", fails("communication", "404", "/do/0/a"))
case("http-302", """
do:
- a:
    call: http
    with: {method: get, endpoint: 'http://127.0.0.1:@PORT@/redirect'}""", fails("communication", "302"))
case("http-302-follow", """
do:
- a:
    call: http
    with: {method: get, redirect: true, endpoint: 'http://127.0.0.1:@PORT@/redirect', output: content}""", lambda g: g['method'] == 'GET')
case("auth-basic-ref", """
use:
  authentications:
    b: {basic: {username: u, password: p}}
do:
- a:
    call: http
    with:
      method: get
      endpoint: {uri: 'http://127.0.0.1:@PORT@/echo', authentication: {use: b}}""", lambda g: g['auth'] == 'Basic dTpw')
case("auth-basic-secret", """
use:
  secrets: [CRED]
do:
- a:
    call: http
    with:
      method: get
      endpoint: {uri: 'http://127.0.0.1:@PORT@/echo', authentication: {basic: {use: CRED}}}""", lambda g: g['auth'] == 'Basic Ym9iOnB3')
case("auth-bearer-expr", """
use:
  secrets: [TOKEN]
do:
- a:
    call: http
    with:
      method: get
      endpoint: {uri: 'http://127.0.0.1:@PORT@/echo', authentication: {bearer: {token: '${ $secrets.TOKEN }'}}}""", lambda g: g['auth'] == 'Bearer s3cr3t')
case("auth-secret-header", """
use:
  secrets: [TOKEN]
do:
- a:
    call: http
    with:
      method: get
      endpoint: 'http://127.0.0.1:@PORT@/echo'
      headers: {x-one: '${ "k " + $secrets.TOKEN }'}""", lambda g: g['x'] == 'k s3cr3t')
case("auth-authorization-var", """
do:
- a:
    call: http
    with:
      method: post
      endpoint: {uri: 'http://127.0.0.1:@PORT@/echo', authentication: {bearer: {token: tt}}}
      body: {p: '${ $authorization.parameter }', s: '${ $authorization.scheme }'}""", lambda g: json.loads(g['body']) == {'p': 'tt', 's': 'Bearer'})
case("secret-undeclared", """
do:
- a:
    call: http
    with:
      method: get
      endpoint: 'http://127.0.0.1:@PORT@/echo'
      headers: {x-one: '${ $secrets.TOKEN }'}""", refused())
case("secret-missing", """
use: {secrets: [NOPE]}
do:
- a:
    call: http
    with:
      method: get
      endpoint: 'http://127.0.0.1:@PORT@/echo'
      headers: {x-one: '${ $secrets.NOPE }'}""", fails("NOPE"))
case("auth-digest", """
do:
- a:
    call: http
    with:
      method: get
      endpoint: {uri: 'http://127.0.0.1:@PORT@/digest', authentication: {digest: {username: bob, password: x}}}""", {'user': 'bob'})
case("auth-oauth2", """
do:
- a:
    call: http
    with:
      method: get
      endpoint:
        uri: http://127.0.0.1:@PORT@/echo
        authentication:
          oauth2: {authority: 'http://127.0.0.1:@PORT@', grant: client_credentials, client: {id: c, secret: s}}""", lambda g: g['auth'] == 'Bearer tok2')
case("auth-oauth2-endpoints", """
do:
- a:
    call: http
    with:
      method: get
      endpoint:
        uri: http://127.0.0.1:@PORT@/echo
        authentication:
          oauth2: {authority: 'http://127.0.0.1:@PORT@', endpoints: {token: /token}, grant: password, username: a, password: b, client: {id: c, secret: s}, scopes: [x]}""", lambda g: g['auth'] == 'Bearer tok-password')
case("auth-oidc", """
do:
- a:
    call: http
    with:
      method: get
      endpoint:
        uri: http://127.0.0.1:@PORT@/echo
        authentication:
          oidc: {authority: 'http://127.0.0.1:@PORT@', grant: client_credentials, client: {id: c, secret: s}}""", lambda g: g['auth'] == 'Bearer tok-client_credentials')
case("auth-unknown-ref", """
do:
- a:
    call: http
    with:
      method: get
      endpoint: {uri: 'http://127.0.0.1:@PORT@/echo', authentication: {use: nothere}}""", refused())
case("retry-ref", """
use:
  retries:
    def: {delay: {milliseconds: 20}, backoff: {linear: {increment: {milliseconds: 10}}}, limit: {attempt: {count: 5}}}
do:
- t:
    try:
    - a: {call: http, with: {method: get, endpoint: 'http://127.0.0.1:@PORT@/flaky'}}
    catch:
      errors: {with: {status: 503}}
      retry: def""", {'ok': 3})
case("retry-when", """
do:
- t:
    try:
    - a: {call: http, with: {method: get, endpoint: 'http://127.0.0.1:@PORT@/status/500'}}
    catch:
      as: e
      when: ${ $e.status == 500 }
      retry: {when: '${ $e.status == 500 }', delay: PT0.01S, backoff: {exponential: {factor: 2}}, jitter: {from: PT0S, to: PT0.01S}, limit: {attempt: {count: 2}}}
      do:
      - h: {set: {st: '${ $e.status }', inst: '${ $e.instance }'}}""", {'st': 500, 'inst': '/do/0/t/try/0/a'})
case("try-exceptwhen", """
do:
- t:
    try:
    - a: {raise: {error: {type: 'https://x/y', status: 418, title: tea, detail: '${ "d" + .q }'}}}
    catch: {exceptWhen: '${ $error.status == 418 }', do: [{h: {set: {x: 1}}}]}""", fails("418", "tea", "dq"), input={'q': 'q'})
case("try-nested", """
do:
- outer:
    try:
    - inner:
        try:
        - a: {raise: {error: {type: 'https://x/a', status: 400}}}
        catch:
          errors: {with: {type: 'https://x/b'}}
          do: [{no: {set: {no: 1}}}]
    catch:
      errors: {with: {type: 'https://x/a'}}
      as: err
      do: [{yes: {set: {t: '${ $err.type }'}}}]
- after: {set: '${ . + {z: 1} }'}""", {'t': 'https://x/a', 'z': 1})
case("try-rethrow", """
do:
- outer:
    try:
    - a: {raise: {error: {type: 'https://x/a', status: 400}}}
    catch:
      do: [{again: {raise: {error: {type: 'https://x/again', status: 500, title: T}}}}]""", fails("again"))
case("raise-ref", """
use:
  errors: {e1: {type: 'https://x/e1', status: 409, title: 'Conflict', detail: 'det'}}
do:
- r: {raise: {error: e1}}""", fails("e1", "409", "Conflict", "/do/0/r"))
case("switch-nomatch", """
do:
- s:
    switch:
    - c1: {when: .x == 1, then: one}
- next: {set: {n: 1}, then: end}
- one: {set: {o: 1}}""", {'n': 1}, input={'x': 2})
case("switch-default", """
do:
- s:
    switch:
    - c1: {when: .x == 1, then: one}
    - d: {then: two}
- one: {set: {o: 1}, then: exit}
- two: {set: {t: 1}}""", {'t': 1}, input={'x': 2})
case("switch-end", """
do:
- s: {switch: [{c: {when: '${ .x }', then: end}}]}
- n: {set: {n: 1}}""", {'x': True}, input={'x': True})
case("then-unknown", """
do:
- s: {set: {a: 1}, then: nowhere}""", refused())
case("fork-forks", """
do:
- f:
    fork:
      branches:
      - l: {fork: {branches: [{a: {set: {a: 1}}}, {b: {set: {b: 2}}}]}}
      - r: {do: [{c: {set: {c: 3}}}, {d: {set: '${ .c + 1 }'}}]}""", [[{'a': 1}, {'b': 2}], 4])
case("fork-compete", """
do:
- f:
    fork:
      compete: true
      branches:
      - slow: {do: [{w: {wait: PT5S}}, {s: {set: {v: slow}}}]}
      - fast: {set: {v: fast}}""", {'v': 'fast'})
case("for-while", """
do:
- l:
    for: {each: n, in: '.list', at: i}
    while: $i < 2
    do:
    - a: {set: {sum: '${ ($context.x // 0) + $n }', seen: '${ (.seen // []) + [$n] }'}, export: {as: '${ {x: .sum} }'}}""", {'sum': 3, 'seen': [1, 2]}, input={'list': [1, 2, 3]})
case("for-default-vars", """
do:
- l:
    for: {in: '${ .list }'}
    do:
    - a: {set: {list: '${ .list }', last: '${ [$item, $index] }'}}""", {'list': ['a', 'b'], 'last': ['b', 1]}, input={'list': ['a', 'b']})
case("if-skip", """
do:
- a: {if: '${ .x }', set: {a: 1}}
- b: {set: '${ . + {b: 1} }'}""", {'x': False, 'b': 1}, input={'x': False})
case("input-schema", """
input: {schema: {format: json, document: {type: object, required: [age], properties: {age: {type: integer}}}}}
do:
- a: {set: {ok: true}}""", fails("validation", "400"), input={'age': 'x'})
case("input-schema-ext", """
input: {schema: {resource: {endpoint: 'http://127.0.0.1:@PORT@/schema.json'}}}
do:
- a: {set: {ok: true}}""", fails("validation", "age"), input={})
case("output-schema", """
do:
- a: {set: {x: 1}, output: {as: .x, schema: {document: {type: string}}}}""", fails("validation"))
case("io", """
input: {from: .user}
output: {as: '${ {res: .} }'}
do:
- a: {input: {from: '.name'}, set: '${ . }', output: {as: '${ {n: ., i: $input} }'}, export: {as: '${ $context + {k: .n} }'}}
- b: {set: {all: '${ $context }', prev: '${ . }'}}""", {'res': {'all': {'k': 'Al'}, 'prev': {'n': 'Al', 'i': 'Al'}}}, input={'user': {'name': 'Al'}})
case("runtime-vars", """
do:
- a: {set: {n: '${ $task.name }', r: '${ $task.reference }', w: '${ $workflow.definition.document.name }', rt: '${ $runtime.name }', s: '${ $workflow.startedAt.epoch.milliseconds | type }', id: '${ $workflow.id }', i: '${ $workflow.input.q }', d: '${ $task.definition.set | type }', iso: '${ $task.startedAt.iso8601 | type }'}}""", {'n': 'a', 'r': '/do/0/a', 'w': 'runtime-vars', 'rt': 'plexus', 's': 'number', 'id': 'runtime-vars', 'i': 9, 'd': 'object', 'iso': 'string'}, input={'q': 9})
case("timeout-task", """
do:
- a: {wait: {seconds: 5}, timeout: {after: {milliseconds: 100}}}""", fails("timeout", "408"))
case("timeout-wf", """
timeout: {after: PT0.1S}
do:
- a: {wait: PT5S}""", fails("timeout", "408"))
case("timeout-ref", """
use: {timeouts: {short: {after: {milliseconds: 50}}}}
do:
- t:
    try: [{a: {call: http, with: {method: get, endpoint: 'http://127.0.0.1:@PORT@/slow'}, timeout: short}}]
    catch: {errors: {with: {status: 408}}, do: [{h: {set: {timed: out}}}]}""", {'timed': 'out'})
case("timeout-expr", """
timeout: {after: '${ .t }'}
do:
- a: {wait: PT5S}""", fails("timeout"), input={'t': 'PT0.1S'})
case("wait-ms", """
do:
- a: {wait: {milliseconds: 10}}""", {'k': 1}, input={'k': 1})
case("wait-bad", """
do:
- a: {wait: P1Y}""", refused())
case("shell", """
do:
- a: {run: {shell: {command: 'echo "$X $1 $0"; cat', stdin: 'in', arguments: ['one'], environment: {X: '${ .x }'}}}}""", lambda g: 'val' in g and 'in' in g, input={'x': 'val'})
case("shell-all", """
do:
- a: {run: {shell: {command: 'echo o; echo e >&2; exit 3'}, return: all}}""", {'stdout': 'o\n', 'stderr': 'e\n', 'code': 3})
case("shell-fail", """
do:
- a: {run: {shell: {command: 'exit 3'}}}""", fails("runtime"))
case("shell-code", """
do:
- a: {run: {shell: {command: 'exit 3'}, return: code}}""", 3)
case("shell-none", """
do:
- a: {run: {shell: {command: 'true'}, return: none}}""", lambda g: g is None)
case("shell-noawait", """
do:
- a: {run: {shell: {command: 'sleep 1'}, await: false}}""", {'q': 1}, input={'q': 1})
case("script-py", """
do:
- a: {run: {script: {language: python, code: 'import sys; print(sys.stdin.read().upper())', stdin: '${ .s }'}}}""", lambda g: g.strip() == 'ABC', input={'s': 'abc'})
case("script-lang", """
do:
- a: {run: {script: {language: cobol, code: 'x'}}}""", refused("cobol"))
case("emit", """
do:
- a: {emit: {event: {with: {source: 'https://a/b', type: 'com.x.y', subject: '${ .s }', data: {v: '${ .s }'}}}}}""", lambda g: g['type'] == 'com.x.y' and g['data'] == {'v': 'S'} and (g['subject'] == 'S') and (g['specversion'] == '1.0') and ('id' in g) and ('time' in g), input={'s': 'S'})
case("listen-one", """
do:
- a: {listen: {to: {one: {with: {type: 'l.one', data: '${ .n > 2 }'}}}}}""", [{'n': 3}], signals=[{'type': 'l.one', 'data': {'n': 1}}, {'type': 'l.one', 'data': {'n': 3}}])
case("listen-env", """
do:
- a: {listen: {to: {one: {with: {type: 'l.env'}}}, read: envelope}}""", lambda g: g[0]['type'] == 'l.env' and g[0]['data'] == 5, signals=[{'type': 'l.env', 'data': 5}])
case("listen-any", """
do:
- a: {listen: {to: {any: [{with: {type: 'l.a'}}, {with: {source: 'http://src'}}]}}}""", [2], signals=[{'type': 'zz', 'source': 'http://src', 'data': 2}])
case("listen-all", """
do:
- a: {listen: {to: {all: [{with: {type: 'l.x'}}, {with: {type: 'l.y'}}]}}}""", lambda g: sorted(g) == [1, 2], signals=[{'type': 'l.x', 'data': 1}, {'type': 'l.y', 'data': 2}])
case("listen-until", """
do:
- a: {listen: {to: {any: [{with: {type: 'l.t'}}], until: '${ . | length >= 2 }'}}}""", [1, 2], signals=[{'type': 'l.t', 'data': 1}, {'type': 'l.t', 'data': 2}])
case("listen-until-ev", """
do:
- a: {listen: {to: {any: [{with: {type: 'l.t2'}}], until: {one: {with: {type: 'l.stop'}}}}}}""", [1], signals=[{'type': 'l.t2', 'data': 1}, {'type': 'l.stop', 'data': 2}])
case("listen-correlate", """
do:
- a: {listen: {to: {all: [{with: {type: 'c.a'}, correlate: {k: {from: .data.k}}}, {with: {type: 'c.b'}, correlate: {k: {from: .data.k}}}]}}}""", lambda g: {tuple(sorted(x.items())) for x in g} == {(('k', 1),), (('k', 1), ('z', 1))}, signals=[{'type': 'c.a', 'data': {'k': 1}}, {'type': 'c.b', 'data': {'k': 2}}, {'type': 'c.b', 'data': {'k': 1, 'z': 1}}])
case("listen-correlate-expect", """
do:
- a: {listen: {to: {one: {with: {type: 'ce'}, correlate: {k: {from: .data.k, expect: '${ .want }'}}}}}}""", [{'k': 7}], input={'want': 7}, signals=[{'type': 'ce', 'data': {'k': 6}}, {'type': 'ce', 'data': {'k': 7}}])
case("fn-inline", """
use: {functions: {getPet: {call: http, with: {method: get, endpoint: 'http://127.0.0.1:@PORT@/pets/{id}'}}}}
do:
- a: {call: getPet, with: {id: 4}}""", {'id': '4', 'name': 'Rex'})
case("fn-url", """
do:
- a: {call: 'http://127.0.0.1:@PORT@/fn.yaml', with: {id: 4}}""", {'id': '4', 'name': 'Rex'})
case("fn-unknown", """
do:
- a: {call: nothere}""", refused())
case("openapi", """
do:
- a: {call: openapi, with: {document: {endpoint: 'http://127.0.0.1:@PORT@/openapi.json'}, operationId: getPet, parameters: {petId: '${ .p }'}}}""", {'id': '12', 'name': 'Rex'}, input={'p': 12})
case("openapi-badop", """
do:
- a: {call: openapi, with: {document: {endpoint: 'http://127.0.0.1:@PORT@/openapi.json'}, operationId: nope}}""", fails("nope"))
case("swagger", """
do:
- a: {call: openapi, with: {document: {endpoint: 'http://127.0.0.1:@PORT@/swagger.json'}, operationId: post, parameters: {body: {q: 1}}}}""", lambda g: json.loads(g['body']) == {'q': 1})
case("child", """
do:
- a: {run: {workflow: {namespace: test, name: kid, version: '0.1.0', input: {n: '${ .n }'}}}}""", {'twice': 8}, input={'n': 4}, add=["document: {dsl: '1.0.0', namespace: test, name: kid, version: '0.1.0'}\ndo:\n- a: {set: {twice: '${ .n * 2 }'}}\n"])
case("child-latest", """
do:
- a: {run: {workflow: {namespace: test, name: kid, version: latest, input: {n: 1}}}}""", {'twice': 2})
case("child-none", """
do:
- a: {run: {workflow: {namespace: test, name: nokid, version: '0.1.0'}}}""", fails("nokid"))
case("child-fault", """
do:
- t:
    try: [{a: {run: {workflow: {namespace: test, name: badkid, version: '0.1.0'}}}}]
    catch: {as: e, do: [{h: {set: {s: '${ $e.status }', t: '${ $e.title }'}}}]}""", {'s': 418, 't': 'tea'}, add=["document: {dsl: '1.0.0', namespace: test, name: badkid, version: '0.1.0'}\ndo:\n- a: {raise: {error: {type: 'https://t/t', status: 418, title: tea}}}\n"])
case("loose", """
document: {dsl: '1.0.3', namespace: test, name: loose, version: '0.1.0'}
evaluate: {language: jq, mode: loose}
do:
- a: {set: {x: .n, y: 'just text here'}}""", {'x': 3, 'y': 'just text here'}, input={'n': 3})
case("jq-hard", """
do:
- a: {set: '${ def f(x): x*x; [range(5)] | map(f(.)) | group_by(. % 2) | map(add) }'}""", [20, 10])
case("jq-bad", """
do:
- a: {set: '${ .x | nofunc }'}""", refused())
case("jq-runtime", """
do:
- a: {set: '${ .x + {} }'}""", fails("expression", "400"), input={'x': 1})
case("jq-env", """
do:
- a: {set: '${ env.HOME }'}""", refused())
case("two-kinds", """
do:
- a: {set: {x: 1}, wait: PT1S}""", refused())
case("typo", """
do:
- a: {sett: {x: 1}}""", refused("sett"))
case("anchors", """
do:
- a: {set: &v {x: 1}}
- b: {set: {c: *v}}""", {'c': {'x': 1}})
case("do-nested-exit", """
do:
- outer:
    do:
    - i1: {set: {i: 1}, then: exit}
    - i2: {set: {i: 2}}
- after: {set: '${ . + {a: 1} }'}""", {'i': 1, 'a': 1})
case("catch-then", """
do:
- t:
    try: [{a: {raise: {error: {type: 'https://x/a', status: 400}}}}]
    catch: {do: [{h: {set: {h: 1}}}]}
    then: fin
- mid: {set: {m: 1}}
- fin: {set: '${ . + {f: 1} }'}""", {'h': 1, 'f': 1})
case("retry-time", """
do:
- t:
    try: [{a: {raise: {error: {type: 'https://x/a', status: 400}}}}]
    catch:
      retry: {delay: PT0.05S, backoff: {constant: {}}, limit: {duration: PT0.3S}}
      do: [{h: {set: {h: 1}}}]""", {'h': 1})
case("retry-attempt-duration", """
do:
- t:
    try: [{a: {wait: PT5S}}]
    catch:
      errors: {with: {type: 'https://serverlessworkflow.io/spec/1.0.0/errors/timeout'}}
      retry: {limit: {attempt: {count: 1, duration: PT0.05S}}}
      do: [{h: {set: {h: 1}}}]""", {'h': 1})
case("unicode", """
do:
- грüße: {set: {'ключ': '${ "ü" + .n }'}}""", {'ключ': 'ü✓'}, input={'n': '✓'})
case("bignum", """
do:
- a: {set: '${ . }'}""", {'n': 9007199254740993, 'f': 0.1}, input={'n': 9007199254740993, 'f': 0.1})
case("catalog-bad", """
use: {catalogs: {mine: {endpoint: 'http://127.0.0.1:@PORT@'}}}
do:
- a: {call: 'nothere:1.0.0@mine'}""", fails("functions/nothere/1.0.0/function.yaml answered 404"))
case("sched-bad", """
schedule: {cron: '99 * * * *'}
do:
- a: {set: {x: 1}}""", refused())
case("catalog-good", """
use: {catalogs: {mine: {endpoint: 'http://127.0.0.1:@PORT@'}}}
do:
- a: {call: 'greet:1.0.0@mine', with: {who: me}}""", {'hi': 'me'})
case("s-after", """
schedule: {after: PT0.3S}
do:
- a: {set: {x: 1}}""", {'x': 1})
case("mcp-none", """
do:
- a: {call: mcp, with: {method: tools/list, transport: {http: {endpoint: 'http://127.0.0.1:@PORT@/nope'}}}}""", fails("answered 404"))
case("a2a-none", """
do:
- a: {call: a2a, with: {method: message/send, server: 'http://127.0.0.1:@PORT@/nope', parameters: {message: {role: user, parts: [{kind: text, text: hi}]}}}}""", fails("answered 404"))
case("model-none", """
do:
- a: {call: model, with: {model: nothere, prompt: hi}}""", fails("nothere"))
case("for-inside-try-continue", """
do:
- l:
    for: {each: i, in: '${ [1,2,3] }'}
    do:
    - t:
        try: [{a: {if: '${ $i == 2 }', raise: {error: {type: 'https://x/a', status: 400}}}}]
        catch: {do: [{h: {set: '${ {c: $i} }'}}]}
    - z: {set: '${ (. // {}) + {last: $i} }'}""", {'c': 2, 'last': 3})
case("for-empty", """
do:
- l: {for: {in: '${ [] }'}, do: [{a: {set: {x: 1}}}]}""", {'q': 1}, input={'q': 1})
case("for-then-exit", """
do:
- l:
    for: {each: i, in: '${ [1,2,3] }'}
    do:
    - a: {set: {i: '${ $i }'}, then: exit}
    - b: {set: {never: 1}}
- z: {set: '${ . + {z: 1} }'}""", lambda g: ('never' not in g and g['z'] == 1))
case("for-then-end", """
do:
- l:
    for: {each: i, in: '${ [1,2,3] }'}
    do:
    - a: {set: {i: '${ $i }'}, then: end}
- z: {set: '${ . + {z: 1} }'}""", {'i': 1})
case("then-back-loop", """
do:
- inc: {set: {n: '${ (.n // 0) + 1 }'}}
- chk: {switch: [{more: {when: '${ .n < 500 }', then: inc}}]}
- fin: {set: '${ {done: .n} }'}""", {'done': 500})
case("input-from-obj", """
input: {from: {a: '${ .x }', b: lit}}
do:
- a: {set: '${ . }'}""", {'a': 1, 'b': 'lit'}, input={'x': 1})
case("output-as-obj", """
output: {as: {r: '${ .x }'}}
do:
- a: {set: {x: 4}}""", {'r': 4})
case("http-404-catch-retry-none", """
do:
- t:
    try: [{a: {call: http, with: {method: get, endpoint: 'http://127.0.0.1:@PORT@/status/404'}}}]
    catch: {errors: {with: {type: 'https://serverlessworkflow.io/spec/1.0.0/errors/communication', status: 404}}, as: error, do: [{h: {set: {d: '${ $error.detail }', i: '${ $error.instance }'}}}]}""", lambda g: g['i'] == '/do/0/t/try/0/a')
case("head", """
do:
- a: {call: http, with: {method: HEAD, endpoint: 'http://127.0.0.1:@PORT@/pets/1', output: response}}""", lambda g: g['statusCode'] == 200)
case("form", """
do:
- a: {call: http, with: {method: post, endpoint: 'http://127.0.0.1:@PORT@/echo', headers: {content-type: application/x-www-form-urlencoded}, body: 'a=1&b=2'}}""", lambda g: g['body'] == 'a=1&b=2')
case("headers-expr", """
do:
- a: {call: http, with: {method: get, endpoint: 'http://127.0.0.1:@PORT@/echo', headers: '${ {"x-one": .h} }', query: '${ {q: .h} }'}}""", lambda g: g['x'] == 'v' and g['query'] == {'q': 'v'}, input={'h': 'v'})
case("endpoint-expr-plain", """
do:
- a: {call: http, with: {method: get, endpoint: '${ .u }'}}""", lambda g: g['method'] == 'GET', input={'u': 'http://127.0.0.1:@PORT@/echo'})
case("emit-listen-self", """
do:
- f:
    fork:
      branches:
      - l: {listen: {to: {one: {with: {type: self.ev}}}}}
      - e: {do: [{w: {wait: PT0.2S}}, {x: {emit: {event: {with: {source: 'http://a', type: self.ev, data: {k: 9}}}}}}]}""", lambda g: g[0] == [{'k': 9}])
case("child-noawait", """
do:
- a: {run: {workflow: {namespace: test, name: kid2, version: '0.1.0', input: {n: 1}}, await: false}}""", {'z': 1}, input={'z': 1}, add=["document: {dsl: '1.0.0', namespace: test, name: kid2, version: '0.1.0'}\ndo:\n- a: {wait: PT1S}\n"])
case("listen-any-empty", """
do:
- a: {listen: {to: {any: []}}, timeout: {after: PT5S}}""", [{'k': 1}], signals=[{'type': 'whatever', 'data': {'k': 1}}])
case("listen-until-expr-none", """
do:
- a: {listen: {to: {any: [], until: '${ (. | length) == 3 }'}}}""", [1, 2, 3], signals=[{'type': 'w1', 'data': 1}, {'type': 'w2', 'data': 2}, {'type': 'w3', 'data': 3}])
case("listen-timeout", """
do:
- t:
    try: [{a: {listen: {to: {one: {with: {type: nev}}}}, timeout: {after: PT0.1S}}}]
    catch: {errors: {with: {type: 'https://serverlessworkflow.io/spec/1.0.0/errors/timeout'}}, do: [{h: {set: {late: true}}}]}""", {'late': True})


def start(n, name, text, more):
    if not text.startswith("{") and "dsl:" not in text:
        text = "document: { dsl: %s, namespace: test, name: %s, version: 0.1.0 }\n" % (more.get("dsl", "1.0.3"), name) + text
    for other in more.get("add", []):
        got = n.post("/api/flows/documents", {"document": other})
        assert got.status < 300, got
    body = {"document": text, "id": name, **({} if "signals" in more else {"wait": "20s"})}
    if "input" in more:
        body["input"] = json.loads(json.dumps(more["input"]).replace("@PORT@", str(PORT)))
    return n.post("/api/flows", body)


def ended(n, name, more):
    for event in more["signals"]:
        flows.wait_for(n, name, "it listens", lambda r: r["status"] == "waiting")
        entries = flows.shown(n, name)["entries"]
        taken = n.post("/api/flows/events", event)
        assert taken.status == 200, taken
        if taken.json["taken"]:
            plexus.wait_until("it has the event", lambda: flows.shown(n, name)["entries"] > entries)
    end = flows.wait_for(n, name, "it ends", lambda r: not r["open"] and r)
    return {"status": end["status"], "output": end["view"].get("output"), "error": end["view"].get("error")}


def judge(want, got):
    error = got.get("error") or {}
    if isinstance(want, fails):
        bad = "findings" in error if isinstance(want, refused) else "findings" not in error
        return bool(error) and bad and all(w in json.dumps(error) for w in want)
    if got.get("status") != "completed":
        return False
    return want(got.get("output")) if callable(want) else got.get("output") == want


def test_all():
    threading.Thread(target=SERVER.serve_forever, daemon=True).start()
    wrong = []
    with flows.node(with_models=False) as n:
        for name, text, want, more in CASES:
            answer = start(n, name, text, more)
            got = ended(n, name, more) if "signals" in more and answer.status == 201 else answer.json
            if not judge(want, got):
                wrong.append("%s: %s" % (name, json.dumps(got)[:600]))
    print("   %d documents" % len(CASES))
    assert not wrong, "\n".join(wrong)


if __name__ == "__main__":
    plexus.main(globals())
