#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Asks a running server for embeddings of sentence pairs and checks that near ones are near and far ones far.

usage: eval_minilm.py URL [MODEL] [-v]      e.g. http://127.0.0.1:8000     (MODEL: minilm)

The bounds hold for all-MiniLM-L6-v2 with mean pooling and leave room for 16-bit weights. Exit: 0 when all hold.
"""
import json
import math
import sys
import urllib.request

NEAR, FAR, WIDTH = 0.55, 0.15, 384
NEAR_PAIRS = (
    ("A man is eating food.", "A man is eating a meal."),
    ("The weather is lovely today.", "It is so sunny outside!"),
    ("How do I reset my password?", "I forgot my password and need a new one."),
    ("The cat sits on the mat.", "A cat is sitting on a rug."),
    ("She plays the violin.", "A woman is playing a violin."),
)
FAR_PAIRS = (
    ("A man is eating food.", "The stock market fell sharply."),
    ("How do I reset my password?", "The cat sits on the mat."),
    ("She plays the violin.", "Bread is baked in an oven."),
    ("The weather is lovely today.", "He signed the rental contract."),
)


def embed(url, model, texts):
    body = json.dumps({"model": model, "input": texts}).encode()
    request = urllib.request.Request(url.rstrip("/") + "/v1/embeddings", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as response:
        data = json.load(response)["data"]
    return [item["embedding"] for item in sorted(data, key=lambda item: item["index"])]


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def main(args):
    show = "-v" in args
    args = [a for a in args if a != "-v"]
    if not 1 <= len(args) <= 2:
        sys.exit(__doc__.split("\n\n")[1])
    wrong = 0
    for pairs, name, holds in ((NEAR_PAIRS, "near", lambda c: c >= NEAR), (FAR_PAIRS, "far", lambda c: c <= FAR)):
        vectors = embed(args[0], args[1] if len(args) > 1 else "minilm", [text for pair in pairs for text in pair])
        if any(len(v) != WIDTH for v in vectors):
            sys.exit(f"vectors of {len(vectors[0])} numbers, not {WIDTH}")
        for i, pair in enumerate(pairs):
            c = cosine(vectors[2 * i], vectors[2 * i + 1])
            wrong += not holds(c)
            if show or not holds(c):
                print(f"{name} {c:.3f} {'ok' if holds(c) else 'WRONG'} {pair[0]!r} {pair[1]!r}")
    print(f"{len(NEAR_PAIRS) + len(FAR_PAIRS) - wrong} of {len(NEAR_PAIRS) + len(FAR_PAIRS)} pairs as expected")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
