#!/usr/bin/env python3
# login_test.py: OAuth of an external MCP server, by a node's configuration: the address is shown, the browser comes
# back to the node, the tool is called with the token. timeout: 60
# SPDX-License-Identifier: Apache-2.0
import pathlib
import sys
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import mcp
import plexus
from plexus import Node, wait_until


def server(node):
    return node.get("/api/tools/servers").json["servers"][0]


def test_a_person_logs_in():
    with mcp.Web("oauth") as web:
        config = {"mcp": {"servers": {"shop": {"url": web.url, "allow": ["*"], "oauth": {"scope": "read write"}}}}}
        with Node(config) as node:
            page = wait_until("a login is asked for", lambda: server(node)["login"])
            assert server(node)["state"] == "login", server(node)
            query = urllib.parse.parse_qs(urllib.parse.urlsplit(page).query)
            here = f"http://127.0.0.1:{node.port}/mcp/callback"
            assert query["redirect_uri"] == [here] and query["scope"] == ["read write"], page
            said = node.command("tool", "servers").stdout
            assert "shop" in said and page in said, said
            assert node.get("/mcp/callback?code=x&state=wrong").status == 404
            assert node.post("/mcp/callback?code=x").status == 405
            back = f"/mcp/callback?code=x&state={query['state'][0]}"
            got = node.get(back)
            assert got.status == 200 and b"close this page" in got.body, got
            assert "no-store" in got.headers["Cache-Control"], got.headers
            assert node.get(back).status == 404  # once
            wait_until("it is ready", lambda: server(node)["state"] == "ready")
            assert server(node)["login"] == ""
            got = node.post("/api/tools/shop__it/call", {"input": {}})
            assert got.status == 200 and got.json["content"][0]["text"].startswith("Bearer t"), got


def test_a_person_says_no():
    with mcp.Web("oauth") as web:
        config = {"listen": {"api": "127.0.0.1:0", "keys": "required"}, "mcp": {"servers": {"shop": {
            "url": web.url, "oauth": {"client_id": "me", "client_secret": {"env": "SHOP_SECRET"}}}}}}
        with Node(config, env={"SHOP_SECRET": "s3cret-of-shop"}) as node:
            def row():
                return node.owner("GET", "/api/tools/servers").json["servers"][0]
            page = wait_until("a login is asked for", lambda: row()["login"])
            query = urllib.parse.parse_qs(urllib.parse.urlsplit(page).query)
            assert query["client_id"] == ["me"] and "s3cret" not in page, page
            # a browser has no key; what it brings is enough
            got = node.get(f"/mcp/callback?error=access_denied&state={query['state'][0]}")
            assert got.status == 403 and b"did not come about" in got.body, got
            wait_until("it says why", lambda: "access_denied" in row()["why"])
            assert "s3cret" not in node.log()


if __name__ == "__main__":
    plexus.main(globals())
