#!/usr/bin/env python3
# standin.py: stands in for the public servers that workflow documents name (petstore.swagger.io,
# httpbin.org): the same paths, the same shapes, kept in memory. Standard library only.
# SPDX-License-Identifier: Apache-2.0
"""usage: standin.py [PORT]    prints "listening PORT"; ends with its standard input

Or in a test:  with standin.Standin() as s: ... s.port, s.hosts(), s.requests"""
import base64
import hashlib
import http.server
import json
import re
import sys
import threading
import time
import urllib.parse

HOSTS = ("petstore.swagger.io", "petstore3.swagger.io", "httpbin.org")
STATUSES = ("available", "pending", "sold")


def pet(number, name, status):
    return {"id": number, "category": {"id": 1, "name": "dogs"}, "name": name,
            "photoUrls": [f"https://petstore.swagger.io/photos/{number}.png"],
            "tags": [{"id": 1, "name": "good"}], "status": status}


def pets():
    return {n: pet(n, name, STATUSES[n % 3])
            for n, name in enumerate(("rex", "milou", "idefix", "fuchur", "toto", "lassie"), 1)}


def parameter(name, where, kind="string", required=True, **more):
    return {"name": name, "in": where, "required": required, "type": kind, **more}


PET = {"type": "object", "required": ["name", "photoUrls"], "properties": {
    "id": {"type": "integer", "format": "int64"}, "name": {"type": "string"},
    "photoUrls": {"type": "array", "items": {"type": "string"}},
    "status": {"type": "string", "enum": list(STATUSES)}}}

SWAGGER = {
    "swagger": "2.0",
    "info": {"title": "Petstore (stand-in)", "version": "1.0.0"},
    "host": "petstore.swagger.io", "basePath": "/v2", "schemes": ["https", "http"],
    "definitions": {"Pet": PET},
    "paths": {
        "/pet": {
            "post": {"operationId": "addPet", "consumes": ["application/json"],
                     "parameters": [{"in": "body", "name": "body", "required": True,
                                     "schema": {"$ref": "#/definitions/Pet"}}],
                     "responses": {"200": {"description": "added"}}},
            "put": {"operationId": "updatePet", "consumes": ["application/json"],
                    "parameters": [{"in": "body", "name": "body", "required": True,
                                    "schema": {"$ref": "#/definitions/Pet"}}],
                    "responses": {"200": {"description": "updated"}}}},
        "/pet/findByStatus": {
            "get": {"operationId": "findPetsByStatus", "produces": ["application/json"],
                    "parameters": [parameter("status", "query", "array", collectionFormat="multi",
                                             items={"type": "string", "enum": list(STATUSES)})],
                    "responses": {"200": {"description": "found"}}}},
        "/pet/{petId}": {
            "get": {"operationId": "getPetById", "produces": ["application/json"],
                    "parameters": [parameter("petId", "path", "integer")],
                    "responses": {"200": {"description": "found"}}},
            "post": {"operationId": "updatePetWithForm",
                     "consumes": ["application/x-www-form-urlencoded"],
                     "parameters": [parameter("petId", "path", "integer"),
                                    parameter("name", "formData", required=False),
                                    parameter("status", "formData", required=False)],
                     "responses": {"200": {"description": "updated"}}},
            "delete": {"operationId": "deletePet",
                       "parameters": [parameter("api_key", "header", required=False),
                                      parameter("petId", "path", "integer")],
                       "responses": {"200": {"description": "gone"}}}},
    },
}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status, value=None, headers=None, kind="application/json"):
        body = b"" if value is None else value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        if value is not None:
            self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, text in (headers or {}).items():
            self.send_header(name, text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def handle_any(self):
        url = urllib.parse.urlsplit(self.path)
        self.query = urllib.parse.parse_qs(url.query, keep_blank_values=True)
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with self.server.lock:
            self.server.seen.append((self.command, self.path, dict(self.headers), self.body))
        path = urllib.parse.unquote(url.path)
        for methods, pattern, fn in ROUTES:
            found = re.fullmatch(pattern, path)
            if found and (not methods or self.command in methods):
                fn(self, *found.groups())
                return
        self.answer(404, {"code": 404, "type": "unknown", "message": f"no {path} here"})

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = do_OPTIONS = handle_any

    # ---- petstore

    def swagger(self):
        document = dict(SWAGGER)
        host = self.headers.get("Host", "")
        if host.split(":")[0] not in HOSTS:  # asked for by its own address
            document.update(host=host, schemes=["http"])
        self.answer(200, document)

    def find(self):
        wanted = [s for part in self.query.get("status", []) for s in part.split(",")]
        self.answer(200, [p for p in self.server.pets.values() if p["status"] in wanted])

    def get_pet(self, number):
        found = self.server.pets.get(int(number))
        if found:
            self.answer(200, found)
        else:
            self.answer(404, {"code": 1, "type": "error", "message": "Pet not found"})

    def put_pet(self):
        try:
            new = json.loads(self.body)
            with self.server.lock:
                new.setdefault("id", max(self.server.pets, default=0) + 1)
                self.server.pets[int(new["id"])] = new
            self.answer(200, new)
        except (ValueError, TypeError, AttributeError):
            self.answer(400, {"code": 400, "type": "unknown", "message": "bad input"})

    def form_pet(self, number):
        form = {k: v[0] for k, v in urllib.parse.parse_qs(self.body.decode()).items()}
        if int(number) not in self.server.pets:
            self.answer(404, {"code": 404, "type": "unknown", "message": "not found"})
            return
        self.server.pets[int(number)].update(form)
        self.answer(200, {"code": 200, "type": "unknown", "message": number})

    def delete_pet(self, number):
        with self.server.lock:
            gone = self.server.pets.pop(int(number), None)
        self.answer(200 if gone else 404,
                    {"code": 200, "type": "unknown", "message": number} if gone else None)

    # ---- httpbin

    def seen(self):
        """What /get, /post and /anything answer."""
        value = {"args": {k: v[0] if len(v) == 1 else v for k, v in self.query.items()},
                 "headers": dict(self.headers), "method": self.command,
                 "origin": self.client_address[0],
                 "url": f"http://{self.headers.get('Host')}{self.path}"}
        if self.command in ("POST", "PUT", "PATCH", "DELETE"):
            text, form, parsed = self.body.decode("utf-8", "replace"), {}, None
            if "form-urlencoded" in self.headers.get("Content-Type", ""):
                form, text = {k: v[0] for k, v in urllib.parse.parse_qs(text).items()}, ""
            else:
                try:
                    parsed = json.loads(text)
                except ValueError:
                    pass
            value.update(data=text, form=form, json=parsed, files={})
        return value

    def echo(self, *_):
        self.answer(200, self.seen())

    def basic(self, user, password):
        want = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        if self.headers.get("Authorization") == want:
            self.answer(200, {"authenticated": True, "user": user})
        else:
            self.answer(401, None, {"WWW-Authenticate": 'Basic realm="Fake Realm"'})

    def bearer(self):
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        if scheme == "Bearer" and token:
            self.answer(200, {"authenticated": True, "token": token})
        else:
            self.answer(401, None, {"WWW-Authenticate": "Bearer"})

    def digest(self, qop, user, password, algorithm="MD5"):
        name = {"MD5": "md5", "SHA-256": "sha256"}.get(algorithm, "md5")

        def h(text):
            return hashlib.new(name, text.encode()).hexdigest()
        given = dict(re.findall(r'(\w+)="?([^",]+)"?', self.headers.get("Authorization", "")))
        a1 = h(f"{user}:standin:{password}")
        a2 = h(f"{self.command}:{given.get('uri', '')}")
        want = h(f"{a1}:{given.get('nonce', '')}:{given.get('nc', '')}:{given.get('cnonce', '')}:"
                 f"{given.get('qop', '')}:{a2}")
        if given.get("response") == want and given.get("nonce") == "standin-nonce":
            self.answer(200, {"authenticated": True, "user": user})
        else:
            self.answer(401, None, {"WWW-Authenticate":
                                    f'Digest realm="standin", nonce="standin-nonce", qop="{qop}", '
                                    f'opaque="o", algorithm={algorithm}'})

    def status(self, code):
        headers = {"Location": "/redirect/1"} if 300 < int(code) < 304 else {}
        self.answer(int(code), None if code in ("204", "304") else {"status": int(code)}, headers)

    def flaky(self, key, times):
        """503 so many times, then 200: for retries."""
        with self.server.lock:
            count = self.server.counts[key] = self.server.counts.get(key, 0) + 1
        self.answer(503 if count <= int(times) else 200, {"count": count})

    def delay(self, seconds):
        time.sleep(min(float(seconds), 10))
        self.answer(200, self.seen())

    def redirect(self, left):
        target = "/get" if int(left) <= 1 else f"/redirect/{int(left) - 1}"
        self.answer(302, None, {"Location": target})

    def raw(self, count):
        self.answer(200, bytes(i % 256 for i in range(min(int(count), 1 << 20))),
                    kind="application/octet-stream")

    def uuid(self):
        self.answer(200, {"uuid": "00000000-0000-4000-8000-000000000000"})

    def token(self, *_):
        """client_credentials for the client "workflow" with the secret "secret"."""
        form = {k: v[0] for k, v in urllib.parse.parse_qs(self.body.decode()).items()}
        if (form.get("client_id"), form.get("client_secret")) == ("workflow", "secret"):
            self.answer(200, {"access_token": "standin-token", "token_type": "Bearer",
                              "expires_in": 3600})
        else:
            self.answer(401, {"error": "invalid_client"})

    def discovery(self):
        self.answer(200, {"issuer": f"http://{self.headers.get('Host')}",
                          "token_endpoint": f"http://{self.headers.get('Host')}/oauth2/token"})


ROUTES = [
    (("GET",), r"/v2/swagger\.json|/api/v3/openapi\.json", Handler.swagger),
    (("GET",), r"/v[23]/pet/findByStatus", Handler.find),
    (("GET",), r"/v[23]/pet/(\d{1,15})", Handler.get_pet),
    (("POST",), r"/v[23]/pet/(\d{1,15})", Handler.form_pet),
    (("DELETE",), r"/v[23]/pet/(\d{1,15})", Handler.delete_pet),
    (("POST", "PUT"), r"/v[23]/pet", Handler.put_pet),
    (("GET",), r"/get|/headers", Handler.echo),
    (("POST",), r"/post", Handler.echo),
    (("PUT",), r"/put", Handler.echo),
    (("PATCH",), r"/patch", Handler.echo),
    (("DELETE",), r"/delete", Handler.echo),
    ((), r"/anything(/.*)?", Handler.echo),
    (("GET",), r"/basic-auth/([^/]+)/([^/]+)", Handler.basic),
    (("GET",), r"/bearer", Handler.bearer),
    (("GET",), r"/digest-auth/([^/]+)/([^/]+)/([^/]+)", Handler.digest),
    (("GET",), r"/digest-auth/([^/]+)/([^/]+)/([^/]+)/([^/]+)", Handler.digest),
    ((), r"/status/(\d{3})", Handler.status),
    ((), r"/flaky/([^/]+)/(\d+)", Handler.flaky),
    ((), r"/delay/([0-9.]+)", Handler.delay),
    (("GET",), r"/redirect/(\d+)", Handler.redirect),
    (("GET",), r"/bytes/(\d+)", Handler.raw),
    (("GET",), r"/uuid", Handler.uuid),
    (("POST",), r"(/realms/[^/]+)?/oauth2/token", Handler.token),
    (("GET",), r"/\.well-known/openid-configuration", Handler.discovery),
]


class Standin:
    """The server in a thread of this process."""

    def __init__(self, port=0):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        self.server.pets, self.server.counts, self.server.seen = pets(), {}, []
        self.server.lock = threading.Lock()
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)

    @property
    def requests(self):
        """(method, path, headers, body) of all that came."""
        with self.server.lock:
            return list(self.server.seen)

    def hosts(self):
        """For a node's configuration: flows.hosts."""
        return {name: f"127.0.0.1:{self.port}" for name in HOSTS}

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


if __name__ == "__main__":
    with Standin(int(sys.argv[1]) if len(sys.argv) > 1 else 0) as running:
        print("listening", running.port, flush=True)
        sys.stdin.read()
