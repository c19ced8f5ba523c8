#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Asks a running server the 200 prompts of models/tiny-chat.prompts.jsonl at temperature 0 and counts exact answers.

usage: eval_tiny_chat.py URL [MODEL] [-v]      e.g. http://127.0.0.1:8000     (MODEL: tiny-chat)

Prints "N of 200 exact" and, with -v, each answer that differs. Exit: 0 when at least 180 are exact, else 1.
"""
import http.client
import json
import os
import sys
import urllib.parse

NEEDED = 180
PROMPTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "models", "tiny-chat.prompts.jsonl")


def main(args):
    show = "-v" in args
    args = [a for a in args if a != "-v"]
    if not 1 <= len(args) <= 2:
        sys.exit(__doc__.split("\n\n")[1])
    url = urllib.parse.urlsplit(args[0])
    model = args[1] if len(args) > 1 else "tiny-chat"
    with open(PROMPTS, encoding="utf-8") as lines:
        cases = [json.loads(line) for line in lines]
    connection = http.client.HTTPConnection(url.hostname, url.port or 80, timeout=120)
    good = 0
    for case in cases:
        body = {"model": model, "temperature": 0, "messages": [{"role": "user", "content": case["prompt"]}]}
        connection.request("POST", url.path.rstrip("/") + "/v1/chat/completions", json.dumps(body),
                           {"Content-Type": "application/json"})
        response = connection.getresponse()
        raw = response.read()
        if response.status != 200:
            sys.exit(f"{response.status} for {case['prompt']!r}: {raw[:300]!r}")
        answer = json.loads(raw)["choices"][0]["message"]["content"]
        good += answer == case["answer"]
        if show and answer != case["answer"]:
            print(f"{case['prompt']!r}\n  wanted {case['answer']!r}\n  got    {answer!r}")
    print(f"{good} of {len(cases)} exact")
    return 0 if good >= NEEDED else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
