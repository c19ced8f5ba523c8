#!/usr/bin/env python3
# cost_test.py: what models and keys cost, here and through another node, in /metrics, the API and `key ls`.
# alone: it holds machines to how fast they notice.
# SPDX-License-Identifier: Apache-2.0
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import netns  # noqa: E402
import plexus  # noqa: E402
from mesh import Mesh  # noqa: E402
from plexus import Node, scripted, wait_until  # noqa: E402


def model(name, price):
    return {"engine": "command", "command": scripted(name=name), "health": "/health", "kind": "chat", **({"price": price} if price else {})}


def cost(node, name, engine, currency="EUR"):
    found = re.search(rf'^plexus_model_cost_total{{model="{name}",engine="{engine}",currency="{currency}"}} (\S+)$',
                      node.get("/metrics").body.decode(), re.M)
    return float(found[1]) if found else None


def row(node, name):
    return next(k for k in node.owner("GET", "/api/keys").json["keys"] if k["name"] == name)


def ask(node, name, key):
    answer = node.chat(name, headers={"Authorization": "Bearer " + key})
    assert answer.status == 200, answer
    usage = answer.json["usage"]
    assert usage["prompt_tokens"] and usage["completion_tokens"], usage
    return usage["prompt_tokens"], usage["completion_tokens"]


def near(a, b):
    return a is not None and abs(a - b) < 1e-9


def test_one_node():
    models = {"dear": model("dear", {"input": 2.5, "output": 10}), "free": model("free", None)}
    with Node({"models": models, "meter": {"currency": "CHF"}}) as node:
        assert "COST" not in node.command("key", "new", "spender").stdout + node.command("key", "ls").stdout
        key = node.new_key("second")["key"]
        tokens_in, tokens_out = ask(node, "dear", key)
        want = (tokens_in * 2.5 + tokens_out * 10) / 1e6
        ask(node, "free", key)
        assert near(cost(node, "dear", "command", "CHF"), want), cost(node, "dear", "command", "CHF")
        assert cost(node, "free", "command", "CHF") == 0
        assert near(row(node, "second")["cost"], want) and row(node, "spender")["cost"] == 0
        assert node.owner("GET", "/api/keys").json["currency"] == "CHF"
        listed = node.command("key", "ls").stdout
        assert "COST CHF" in listed.splitlines()[0] and f"{want:.4f}" in listed, listed
        # A new price counts from now on, without a restart of its engine.
        pids = node.engine_pids()
        models["dear"]["price"] = {"output": 100}
        node.write({**node.config, "models": models})
        assert node.owner("POST", "/api/config/reload").status == 200
        _, out = ask(node, "dear", key)
        want += out * 100 / 1e6
        assert near(row(node, "second")["cost"], want), (row(node, "second"), want)
        assert node.engine_pids() == pids
        node.stop()
        node.start()
        assert near(row(node, "second")["cost"], want), "kept over a restart"


def test_through_another_node():
    netns.need()
    with Mesh(a={}, b={"dear": model("dear", {"input": 2.5, "output": 10})}) as m:
        a, b = m["a"], m["b"]
        key = a.new_key("visitor")["key"]
        tokens_in, tokens_out = ask(a, "dear", key)
        want = (tokens_in * 2.5 + tokens_out * 10) / 1e6
        assert near(row(a, "visitor")["cost"], want), row(a, "visitor")
        assert near(cost(a, "dear", "mesh"), want), a.get("/metrics").body
        wait_until("b has counted it, too", lambda: near(cost(b, "dear", "command"), want))
        b.write({**b.config, "models": {"dear": model("dear", {"input": 5})}})
        assert b.owner("POST", "/api/config/reload").status == 200

        def dearer():
            nonlocal want
            was = row(a, "visitor")["cost"]
            used, _ = ask(a, "dear", key)
            return near(row(a, "visitor")["cost"] - was, used * 5 / 1e6)

        wait_until("a hears of the new price", dearer)


def test_refused():
    for price, words in (({"input": -1}, "models.m.price.input"), ({"inptu": 1}, "nearest: input"), ({"output": "dear"}, "models.m.price.output")):
        node = Node({"models": {"m": model("m", price)}}, start=False)
        try:
            node.start()
            started = True
        except AssertionError:
            started = False
        text = node.log()
        node.__exit__(None, None, None)
        assert not started and words in text, (price, text)


plexus.main(globals())
