#!/usr/bin/env python3
# clients_test.py: the official Python client, as a program would use it.
# SPDX-License-Identifier: Apache-2.0
import base64
import json
import math
import os
import pathlib
import struct
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import plexus  # noqa: E402
from plexus import Node, scripted  # noqa: E402

try:
    import openai
except ImportError:  # pinned, beside the interpreter that it was installed for
    python, path = plexus.test_env("TEST_PYTHON"), plexus.test_env("TEST_PYTHONPATH")
    if not python or not path or os.environ.get("PYTHONPATH") == path:
        plexus.skip("the Python client is not installed (tools/setup test)")
    os.execve(python, [python, __file__, *sys.argv[1:]], dict(os.environ, PYTHONPATH=path))

MINILM = plexus.ROOT / "build/models/minilm-f16.gguf"
HELLO = [{"role": "user", "content": "hello"}]
TOOLS = [{"type": "function", "function": {"name": "get_weather", "description": "Weather of a place.", "strict": True,
          "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"],
                         "additionalProperties": False}}}]


def make():
    models = {"talk": {"engine": "command", "command": scripted(name="talk"), "health": "/health", "kind": "chat"},
              "vectors": {"engine": "command", "command": scripted("--dims", 24, name="vectors"), "health": "/health",
                          "kind": "embedding"},
              "broken": {"engine": "command", "command": scripted("--die-loading"), "health": "/health",
                         "restarts": {"max": 0}},
              "one": {"engine": "command", "command": scripted(name="one"), "health": "/health", "slots": 1, "queue": 0,
                      "preload": True},
              "tiny-chat": {"engine": "llama.cpp", "program": plexus.LLAMA, "file": plexus.TINY, "kind": "chat",
                            "context": 1024, "slots": 2, "threads": 1}}
    if MINILM.exists():
        models["minilm"] = {"engine": "llama.cpp", "program": plexus.LLAMA, "file": str(MINILM), "kind": "embedding",
                            "threads": 1}
    return Node({"models": models, "listen": {"api": "127.0.0.1:0", "keys": "required"},
                 "tools": {"folders": [{"path": str(plexus.ROOT / "models")}]}}, log_level="warn")


node = plexus.shared(make)
keys = {}


def client(name="all", **more):
    """A client with a key of its own; more: of the key, and max_retries and timeout."""
    options = {"max_retries": more.pop("max_retries", 0), "timeout": more.pop("timeout", 30)}
    if name not in keys:
        keys[name] = node().new_key(name, **more)["key"]
    return openai.OpenAI(base_url=f"http://127.0.0.1:{node().port}/v1", api_key=keys[name], **options)


def raises(kind, call):
    try:
        call()
    except kind as error:
        assert type(error) is kind, f"{type(error).__name__}, not {kind.__name__}: {error}"
        return error
    raise AssertionError(f"no {kind.__name__}")


def stats(name):
    return plexus.engine_stats(plexus.engine_port(node(), name))


# ---- what works --------------------------------------------------------------------------------


def test_models():
    models = {m.id: m for m in client().models.list()}
    assert set(models) >= {"talk", "vectors", "tiny-chat"} and models["talk"].object == "model", models
    assert models["tiny-chat"].model_extra["kind"] == "chat" and models["tiny-chat"].owned_by == "llama.cpp"
    assert client().models.retrieve("talk").id == "talk"


def test_chat():
    answer = client().chat.completions.create(model="talk", messages=HELLO, temperature=0.2, max_tokens=50, seed=1,
                                              user="me", extra_body={"top_k": 5})
    assert answer.object == "chat.completion" and answer.model == "talk"
    assert len(answer.choices[0].message.content) > 20 and answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0
    sent = json.loads(plexus.engine_last(plexus.engine_port(node(), "talk"))[1])
    assert sent == {"model": "talk", "messages": HELLO, "temperature": 0.2, "max_tokens": 50, "seed": 1, "user": "me", "top_k": 5}


def test_stream():
    stream = client().chat.completions.create(model="talk", stream=True, stream_options={"include_usage": True},
                                              messages=[{"role": "user", "content": "!script frames=12"}])
    chunks = list(stream)
    numbers = [int(c.choices[0].delta.content.split()[0]) for c in chunks if c.choices and c.choices[0].delta.content]
    assert numbers == list(range(numbers[0], numbers[0] + 12)), numbers
    assert chunks[-1].usage.completion_tokens > 0 and not chunks[-1].choices
    with client().chat.completions.stream(model="talk", messages=HELLO) as events:  # the helper with typed events
        kinds = [event.type for event in events]
        final = events.get_final_completion()
    assert "content.delta" in kinds and final.choices[0].message.content, kinds


def test_tools_of_the_node():
    """A loop of the node's own: the client hears one answer in words."""
    text = [{"role": "user", "content": '!script frames=3 tool=list_files args={"path":"' + str(plexus.ROOT / "models") + '"}'}]
    more = {"plexus_tools": ["list_files"]}
    answer = client().chat.completions.create(model="talk", messages=text, extra_body=more)
    assert answer.choices[0].message.content and not answer.choices[0].message.tool_calls
    assert answer.plexus["calls"][0]["status"] == "ok", answer.plexus
    chunks = list(client().chat.completions.create(model="talk", messages=text, stream=True, extra_body=more))
    assert all(c.choices for c in chunks)
    assert [c.plexus["type"] for c in chunks if hasattr(c, "plexus")] == ["call", "result", "end"]
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == "0 xxxxxx1 xxxxxx2 xxxxxx"
    with client().chat.completions.stream(model="talk", messages=text, extra_body=more) as events:
        list(events)
        final = events.get_final_completion()
    assert final.choices[0].message.content == "0 xxxxxx1 xxxxxx2 xxxxxx" and final.choices[0].finish_reason == "stop", final
    assert final.choices[0].message.role == "assistant" and not final.choices[0].message.tool_calls


def test_completions():
    answer = client().completions.create(model="talk", prompt="Once", max_tokens=5)
    assert answer.object == "text_completion" and answer.choices[0].text


def test_tools_pass_through():
    answer = client().chat.completions.create(model="talk", messages=HELLO, tools=TOOLS, tool_choice="auto",
                                              parallel_tool_calls=False)
    call = answer.choices[0].message.tool_calls[0]
    assert answer.choices[0].finish_reason == "tool_calls" and call.function.name == "get_weather" and call.id
    json.loads(call.function.arguments)
    sent = json.loads(plexus.engine_last(plexus.engine_port(node(), "talk"))[1])
    assert sent["tools"] == TOOLS and sent["tool_choice"] == "auto" and sent["parallel_tool_calls"] is False
    # The second round: the tool's answer goes back.
    answer = client().chat.completions.create(model="talk", tools=TOOLS, messages=[
        *HELLO, answer.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "22 degrees"}])
    assert answer.choices[0].message.content and not answer.choices[0].message.tool_calls
    name, arguments = None, ""
    for chunk in client().chat.completions.create(model="talk", messages=HELLO, tools=TOOLS, stream=True):
        for part in (chunk.choices[0].delta.tool_calls or []) if chunk.choices else []:
            name, arguments = part.function.name or name, arguments + (part.function.arguments or "")
    assert name == "get_weather" and json.loads(arguments)


def test_embeddings_as_numbers_and_base64():
    numbers = client().embeddings.create(model="vectors", input=["a", "b"], encoding_format="float")
    assert [len(d.embedding) for d in numbers.data] == [24, 24] and [d.index for d in numbers.data] == [0, 1]
    by_default = client().embeddings.create(model="vectors", input=["a", "b"])  # the client asks for base64 itself
    assert json.loads(plexus.engine_last(plexus.engine_port(node(), "vectors"))[1])["encoding_format"] == "base64"
    for a, b in zip(numbers.data, by_default.data):
        assert all(math.isclose(x, y, rel_tol=1e-5, abs_tol=1e-6) for x, y in zip(a.embedding, b.embedding))
    raw = client().embeddings.with_raw_response.create(model="vectors", input="a", encoding_format="base64")
    text = json.loads(raw.content)["data"][0]["embedding"]
    assert len(struct.unpack("<24f", base64.b64decode(text))) == 24
    assert numbers.usage.prompt_tokens > 0


def test_raw_response_has_the_request_id():
    raw = client().chat.completions.with_raw_response.create(model="talk", messages=HELLO,
                                                             extra_headers={"X-Request-Id": "from-the-client"})
    assert raw.headers["x-request-id"] == "from-the-client" and raw.parse().choices
    answer = client().chat.completions.create(model="talk", messages=HELLO)
    assert len(answer._request_id) >= 8
    error = raises(openai.NotFoundError, lambda: client().chat.completions.create(model="none", messages=HELLO))
    assert len(error.request_id) >= 8


# ---- errors ------------------------------------------------------------------------------------


def test_errors_are_of_the_right_class():
    chat = client().chat.completions
    error = raises(openai.NotFoundError, lambda: chat.create(model="tolk", messages=HELLO))
    assert error.status_code == 404 and error.param == "model" and '"talk"' in error.message and error.code == "notfound"
    error = raises(openai.BadRequestError, lambda: chat.create(model="talk", messages=[{"role": "king", "content": "x"}]))
    assert error.param == "messages[0].role" and error.type == "invalid_request_error", error.body
    error = raises(openai.BadRequestError, lambda: chat.create(model="talk", messages=HELLO, temperature="hot"))
    assert error.param == "temperature" and "number" in error.message, error.body
    error = raises(openai.BadRequestError, lambda: client().embeddings.create(model="vectors", input=7))
    assert error.param == "input", error.body
    wrong = openai.OpenAI(base_url=f"http://127.0.0.1:{node().port}/v1", api_key="plx_" + "B" * 43, max_retries=0)
    error = raises(openai.AuthenticationError, lambda: wrong.chat.completions.create(model="talk", messages=HELLO))
    assert error.type == "authentication_error", error.body
    raises(openai.AuthenticationError, lambda: openai.OpenAI(
        base_url=f"http://127.0.0.1:{node().port}/v1", api_key="sk-anything", max_retries=0).models.list())
    error = raises(openai.PermissionDeniedError, lambda: client("reader", scopes=["read"]).models.list())
    assert "scope" in error.message and error.type == "permission_error", error.body
    error = raises(openai.PermissionDeniedError, lambda: client("narrow", models=["vectors"]).chat.completions.create(
        model="talk", messages=HELLO))
    assert error.param == "model", error.body
    limited = client("limited", requests_per_minute=1)
    limited.models.list()
    error = raises(openai.RateLimitError, limited.models.list)
    assert error.type == "rate_limit_error" and int(error.response.headers["retry-after"]) >= 1
    error = raises(openai.InternalServerError, lambda: chat.create(model="broken", messages=HELLO))
    assert error.status_code == 502 and isinstance(error, openai.APIStatusError), error
    for status, kind in ((422, openai.UnprocessableEntityError), (429, openai.RateLimitError), (500, openai.InternalServerError)):
        raises(kind, lambda: chat.create(model="talk", messages=[{"role": "user", "content": f"!script status={status}"}]))


def test_a_full_queue_is_503():
    one = client().chat.completions
    plexus.wait_until("it is loaded", lambda: client().models.retrieve("one").model_extra["state"] == "WARM")
    one.create(model="one", messages=HELLO)
    with one.create(model="one", stream=True, messages=[{"role": "user", "content": "!script frames=5 hold_at=2"}]) as held:
        next(iter(held))
        error = raises(openai.InternalServerError, lambda: one.create(model="one", messages=HELLO))
        assert error.status_code == 503 and int(error.response.headers["retry-after"]) >= 1, error.response.headers
        # A client that tries again by itself, as it does unless told otherwise, gets its answer.
        free = threading.Timer(0.3, lambda: plexus.engine_get(plexus.engine_port(node(), "one"), "/_release"))
        free.start()
        reader = threading.Thread(target=lambda: list(held))
        reader.start()
        answer = client(max_retries=4).chat.completions.create(model="one", messages=HELLO)
        assert answer.choices[0].message.content
        reader.join()


def test_an_engine_that_dies_in_mid_stream_raises():
    stream = client().chat.completions.create(model="talk", stream=True,
                                              messages=[{"role": "user", "content": "!script frames=9 cut_at_frame=4"}])
    seen = []

    def read():
        for chunk in stream:
            seen.append(chunk)

    error = raises(openai.APIError, read)
    assert "talk" in error.message or "engine" in error.message, error
    assert len(seen) >= 4 and error.type == "server_error", (len(seen), error.body)


# ---- leaving and time --------------------------------------------------------------------------


def test_closing_a_stream_ends_the_engines_work():
    client().chat.completions.create(model="talk", messages=HELLO)
    before = stats("talk")
    stream = client().chat.completions.create(model="talk", stream=True, messages=[
        {"role": "user", "content": "!script frames=1000000 gap_ms=2"}])
    for i, _ in enumerate(stream):
        if i == 5:
            break
    assert stats("talk")["streams_open"] == before["streams_open"] + 1
    began = time.monotonic()
    stream.close()
    plexus.wait_until("the engine stopped", lambda: stats("talk")["aborted"] == before["aborted"] + 1, 2)
    assert time.monotonic() - began < 0.5 and stats("talk")["in_flight"] == before["in_flight"]
    assert node().owner("GET", "/api/state").json["requests"] == []


def test_timeouts():
    before = stats("talk")["aborted"]
    for script in ("first_byte_ms=20000", "hang"):
        began = time.monotonic()
        raises(openai.APITimeoutError, lambda: client(timeout=0.4).chat.completions.create(
            model="talk", messages=[{"role": "user", "content": f"!script {script}"}]))
        assert time.monotonic() - began < 3
    plexus.wait_until("the engine was told", lambda: stats("talk")["aborted"] == before + 2, 2)
    raises(openai.APIConnectionError, lambda: openai.OpenAI(
        base_url="http://127.0.0.1:1/v1", api_key="x", max_retries=0).models.list())


def test_the_async_client_with_many_at_once():
    import asyncio

    async def all_at_once():
        client()
        many = openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{node().port}/v1", api_key=keys["all"], max_retries=0, timeout=30)

        async def one(i):
            stream = await many.chat.completions.create(model="talk", stream=True, messages=[
                {"role": "user", "content": f"!script frames={i + 1}"}])
            return len([chunk async for chunk in stream if chunk.choices and chunk.choices[0].delta.content])

        counts = await asyncio.gather(*(one(i) for i in range(30)))
        await many.close()
        return counts

    assert asyncio.run(all_at_once()) == list(range(1, 31))


# ---- the real engine ---------------------------------------------------------------------------


def test_real_chat_and_stream():
    row = json.loads(open(plexus.ROOT / "models/tiny-chat.prompts.jsonl", encoding="utf-8").readline())
    ask = {"model": "tiny-chat", "messages": [{"role": "user", "content": row["prompt"]}], "temperature": 0, "seed": 3}
    answer = client().chat.completions.create(**ask)
    assert answer.choices[0].message.content == row["answer"] and answer.usage.completion_tokens > 3
    text = "".join(chunk.choices[0].delta.content or "" for chunk in client().chat.completions.create(**ask, stream=True)
                   if chunk.choices)
    assert text == row["answer"], text


def test_real_embeddings():
    if not MINILM.exists():
        print("not run: build/models/minilm-f16.gguf is not there (make up fetches it)")
        return
    texts = ["A cat sits on the mat.", "A kitten rests on a rug.", "The stock market fell today."]
    vectors = [d.embedding for d in client().embeddings.create(model="minilm", input=texts).data]

    def cosine(a, b):
        return sum(x * y for x, y in zip(a, b)) / math.sqrt(sum(x * x for x in a) * sum(x * x for x in b))

    assert len(vectors[0]) == 384
    near, far = cosine(vectors[0], vectors[1]), cosine(vectors[0], vectors[2])
    assert near > 0.5 and far < 0.2, (near, far)
    numbers = client().embeddings.create(model="minilm", input=texts, encoding_format="float")
    assert cosine(numbers.data[1].embedding, vectors[1]) > 0.9999


if __name__ == "__main__":
    plexus.main(globals())
