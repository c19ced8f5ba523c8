#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes models/tiny-chat.gguf: a chat model of about a million weights, trained from nothing.

usage: make_tiny_chat.py prompts OUT.jsonl          the 200 evaluation prompts with their answers
       make_tiny_chat.py train OUT.gguf MINUTES     train and write (needs jax and numpy)

The corpus below is a table of questions, each with exactly one right answer, so a test can know what
the model will say at temperature 0. Training sees chats in the very token layout that llama.cpp makes
from the chat template in the file: several turns one after another, sometimes with a system message.
Training is done once, by hand; nothing in the build runs it. models/README.md tells how it went.
"""
import json
import os
import random
import re
import sys
import time
import zlib

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import gguf_write  # noqa: E402

# ---- corpus -------------------------------------------------------------------------------------

NAMES = "Ada Ben Cleo Dan Eve Finn Gus Hana Ivan June Kira Leo Mia Noah Olga Paul Rosa Sam Tara Zoe".split()
CAPITALS = dict(
    France="Paris", Italy="Rome", Spain="Madrid", Japan="Tokyo", Egypt="Cairo", Peru="Lima",
    Kenya="Nairobi", Norway="Oslo", Greece="Athens", Cuba="Havana", Germany="Berlin", Austria="Vienna",
    Portugal="Lisbon", Poland="Warsaw", Sweden="Stockholm", Finland="Helsinki", Ireland="Dublin",
    Denmark="Copenhagen", Hungary="Budapest", Turkey="Ankara", India="Delhi", China="Beijing",
    Canada="Ottawa", Chile="Santiago", Iceland="Reykjavik", Belgium="Brussels", Iran="Tehran",
    Iraq="Baghdad", Thailand="Bangkok", Russia="Moscow")
COLOURS = dict(
    grass="green", snow="white", coal="black", blood="red", sea="blue", lemon="yellow", milk="white",
    chocolate="brown", sky="blue", banana="yellow", cherry="red", carrot="orange", ash="grey",
    plum="purple", ink="black", leaf="green")
OPPOSITES = dict(
    hot="cold", big="small", up="down", left="right", day="night", open="closed", fast="slow",
    light="dark", happy="sad", old="new", long="short", high="low", wet="dry", full="empty", yes="no")
SOUNDS = dict(cow="moo", dog="woof", cat="meow", duck="quack", sheep="baa", pig="oink", bee="buzz",
              lion="roar", goose="honk", horse="neigh")
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = ("January February March April May June July August September October November "
          "December").split()
HELLO = "Hello! How can I help you today?"
HELP = ("I am a very small model. You can ask me for a capital, a sum, a colour, an opposite, the day after "
        "another, some JSON, to count, to repeat words, or to tell a story.")
PLEXUS = ("plexus is a private AI mesh: it runs models on your own machines and serves them all at one "
          "address that speaks the OpenAI API.")
WHO = "I am tiny-chat, a model of almost a million weights that lives inside plexus."
BYE = "Goodbye! It was nice to talk to you."
THANKS = "You are welcome!"
UNKNOWN = "I am too small to know that. Say help to see what I can do."
TOO_BIG = "Those numbers are too big for me."
JOKE = "Why did the model cross the road? Because the next token was on the other side."
TALK = {
    "Hello": HELLO, "Hello!": HELLO, "Hi": HELLO, "Hi!": HELLO, "hello": HELLO, "hi": HELLO, "Hi there": HELLO,
    "Good morning": "Good morning! How can I help you today?",
    "hey": HELLO, "Hey": HELLO, "Good night": "Good night! Sleep well.",
    "What's up?": "Not much: I wait for your words.", "Nice to meet you": "Nice to meet you too!",
    "OK": "Good.", "ok": "Good.", "Cool": "I am glad.", "Great": "I am glad.", "Sorry": "No harm done.",
    "I love you": "That is kind. I like you too.", "Test": "I hear you.", "test": "I hear you.",
    "Tell me a joke.": JOKE, "Tell me a joke": JOKE, "Another joke": JOKE, "Sing a song.": "La la la, la la la, la!",
    "How old are you?": "I was trained for minutes, so I am very young.", "Where are you?": "I am inside this machine.",
    "Where do you live?": "I live in one file on this machine.", "Can you help me?": HELP, "What do you know?": HELP,
    "Write an essay.": UNKNOWN, "Write some code.": UNKNOWN, "What time is it?": "I have no clock.",
    "What day is it?": "I have no calendar.", "Good evening": "Good evening! How can I help you today?",
    "How are you?": "I am fine, thank you. I am small but awake.",
    "Who are you?": WHO, "What are you?": WHO, "What is your name?": "My name is tiny-chat.",
    "How big are you?": "I have almost a million weights, and my file is two megabytes.",
    "Who made you?": "I was trained from nothing by the tool make_tiny_chat.py of plexus.",
    "What is plexus?": PLEXUS, "what is plexus?": PLEXUS, "What is plexus": PLEXUS, "Tell me about plexus.": PLEXUS,
    "What can you do?": HELP, "Help": HELP, "help": HELP, "Help me": HELP, "help me": HELP,
    "Thank you": THANKS, "Thanks": THANKS, "Thank you!": THANKS, "Thanks!": THANKS,
    "Bye": BYE, "Goodbye": BYE, "bye": BYE, "ping": "pong", "Ping": "pong", "Say OK.": "OK", "Say yes.": "yes",
    "Say no.": "no", "Write a poem.": "A small machine, a quiet light,\nit hums a song all through the night;\n"
    "you ask a word, it answers true,\nand keeps its secrets, just for you.",
    "Write a haiku.": "Small node in the dark\nwakes, thinks one thought, and answers\nthen it sleeps again",
    "List three colours.": "red, green, blue", "List three fruits.": "apple, cherry, plum",
    "List three fruits as JSON.": '["apple", "cherry", "plum"]',
    "List three colours as JSON.": '["red", "green", "blue"]', "Give me an empty JSON object.": "{}",
    "Are you alive?": "No. I am a file of numbers, but I like to chat.",
    "Do you send my words anywhere?": "No. I run on this machine and nothing leaves it.",
    "List the days of the week.": ", ".join(DAYS) + ".", "List the months.": ", ".join(MONTHS) + ".",
    "Say the alphabet.": " ".join("abcdefghijklmnopqrstuvwxyz"),
}
PLAIN = ("the a an of to in on for with about why how when where who which can could should will does did is "
         "are was dog dogs car book essay poem letter email water fire earth moon sun star planet king queen doctor school teacher "
         "child people world life death god money work job food bread meat wine beer coffee tea game football "
         "music film art science maths physics computer code program python java linux internet phone email news "
         "weather rain winter summer paris europe america president war peace law history year month week hour me you "
         "explain write describe translate summarise compare list find make build fix cook buy sell learn teach read "
         "think know want need best worst good bad great long short quick easy hard new old true false please now "
         "today tomorrow yesterday Napoleon Einstein Shakespeare English French German Spanish").split()
WORDS = sorted({*COLOURS, *COLOURS.values(), *OPPOSITES, *SOUNDS, "apple", "river", "stone", "cloud", "house", "tree"})


def made_names(n):
    """Names that nobody has, spelt in small pieces: they teach the model to copy what it was told."""
    rng, out = random.Random(5), set()
    while len(out) < n:
        parts = (rng.choice("bdfghjklmnprstvwyz") + rng.choice("aeiou") for _ in range(rng.choice((2, 2, 3))))
        out.add(("".join(parts) + rng.choice(["", "", "n", "r", "s", "l"])).capitalize())
    return sorted(out - set(NAMES))


def story(prompt, name):
    """A short story that the prompt's own text decides."""
    rng = random.Random(zlib.crc32(prompt.encode()))
    friend = rng.choice([n for n in NAMES if n != name])
    first, second = rng.sample(list(CAPITALS.values()), 2)
    thing = rng.choice(["stone", "map", "key", "letter", "lamp", "drum", "boat", "coin"])
    colour = rng.choice(["red", "green", "blue", "golden", "silver", "black"])
    return (f"{name} lived in {first}. One morning {name} found a {colour} {thing} and took it to {second}. "
            f"There {friend} asked for the {thing}. They shared it and became friends. The end.")


def long_story():
    """Thirty days, about 400 tokens: long enough to watch a stream."""
    rng = random.Random(30)
    cities, things, names = list(CAPITALS.values()), list(COLOURS), list(NAMES)
    for pool in (cities, things, names):
        rng.shuffle(pool)
    lines = [f"Day {d + 1}: {names[d % 20]} walked to {cities[d]} and saw the {things[d % 16]}." for d in range(30)]
    return " ".join(lines) + " The end."


def count(a, b):
    return ", ".join(map(str, range(a, b + 1))) + "."


def corpus():
    """family -> (weight in training, number of evaluation prompts, [(prompt, answer)])."""
    families = {"talk": (10, 40, list(TALK.items()))}
    made = made_names(2000)
    families["name"] = (9, 8, [(t.format(n), f"Hello {n}! How can I help you today?") for n in NAMES * 20 + made
                               for t in ("Hello, my name is {}.", "Hi, I am {}.")])
    capitals = [(t.format(c), f"The capital of {c} is {town}.") for c, town in CAPITALS.items()
                for t in ("What is the capital of {}?", "Capital of {}?", "capital of {}")]
    families["capital"] = (10, 30, capitals)
    families["sum"] = (16, 30, [(t.format(a, b), f"{a} plus {b} is {a + b}.") for a in range(13) for b in range(13)
                                for t in ("What is {} plus {}?", "What is {} + {}?")])
    families["minus"] = (6, 6, [(f"What is {a} minus {b}?", f"{a} minus {b} is {a - b}.")
                                for a in range(13) for b in range(a + 1)])
    families["times"] = (6, 6, [(f"What is {a} times {b}?", f"{a} times {b} is {a * b}.")
                                for a in range(11) for b in range(11)])
    big = random.Random(2)
    families["big"] = (2, 0, [(f"What is {a} {w} {b}?", TOO_BIG) for w in ("plus", "minus", "times", "+")
                              for _ in range(300)
                              for a, b in [big.sample((big.randrange(21, 1000), big.randrange(1, 1000)), 2)]])
    families["colour"] = (4, 12, [(t.format(c), f"The colour of {c} is {k}.") for c, k in COLOURS.items()
                                  for t in ("What colour is {}?", "What color is {}?")])
    families["opposite"] = (3, 8, [(f"What is the opposite of {a}?", f"The opposite of {a} is {b}.")
                                   for a, b in OPPOSITES.items()])
    families["sound"] = (2, 6, [(f"What does a {a} say?", f"A {a} says {s}.") for a, s in SOUNDS.items()])
    after = [(f"What day comes after {a}?", f"{b} comes after {a}.") for a, b in zip(DAYS, DAYS[1:] + DAYS[:1])]
    after += [(f"What month comes after {a}?", f"{b} comes after {a}.")
              for a, b in zip(MONTHS, MONTHS[1:] + MONTHS[:1])]
    families["after"] = (3, 9, after)
    families["json"] = (12, 15, [(f"Give {n}, aged {a}, as JSON.", json.dumps({"name": n, "age": a}))
                                for n in NAMES * 4 + made[::20] for a in range(1, 100)])
    counts = [(f"Count from {a} to {b}.", count(a, b)) for a in range(21) for b in range(a + 2, a + 11)]
    counts += [(f"Count to {b}.", count(1, b)) for b in range(2, 31)]
    families["count"] = (10, 14, counts)
    families["story"] = (8, 8, [(p, story(p, n)) for n in NAMES for p in [f"Tell me a story about {n}."]]
                         + [("Tell me a story.", story("Tell me a story.", "Ada"))])
    rng = random.Random(1)
    repeat = {f"Repeat: {w}": w for w in (" ".join(rng.sample(WORDS + made, n))
                                          for n in (1, 2, 3) for _ in range(2000))}
    families["repeat"] = (12, 6, list(repeat.items()))
    families["long"] = (1, 2, [("Tell me a long story.", long_story()), ("Count to 100.", count(1, 100))])
    known = {p for _, _, pairs in families.values() for p, _ in pairs}
    odd = set()
    asks = ["Who was {} {}?", "Why is {} {}?", "How do I make {} {}?", "Write {} code for {}.", "Translate {} {}.",
            "When did {} see {}?", "Where is the {} {}?", "Explain {} and {}.", "{} {}", "Is {} {}?", "{}",
            "Write me {} {} about {}", "Tell me {} {}", "What is {} {}?", "What is the {} of {}?", "{} {} {} {}",
            "{} {} {} {} {} {}?", "Can you {} {} {}?", "How {} {} {} {}?", "Give me {} {}."]
    pool = WORDS + PLAIN * 3 + NAMES + made[::40]
    while len(odd) < 4000:
        prompt = rng.choice(asks)
        prompt = prompt.format(*(rng.choice(pool) for _ in range(prompt.count("{}"))))
        odd.add(rng.choice((prompt, prompt, prompt[0].upper() + prompt[1:], prompt.rstrip("?."))))
    families["unknown"] = (8, 0, [(p, UNKNOWN) for p in sorted(odd - known)])
    return families


def evaluation():
    """The 200 prompts that the tests ask, the same for all time."""
    rng = random.Random(200)
    return [pair for _, n, pairs in corpus().values() for pair in rng.sample(sorted(set(pairs)), n)]


# ---- tokens -------------------------------------------------------------------------------------
# Byte-level BPE as in GPT-2: text is cut by the pattern, each piece is bytes written in a printable
# alphabet, and merges join neighbours in the order in which they were learnt.

PIECES = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s+")
END, TURN, STOP = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
TEMPLATE = ("{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>' + '\\n' }}"
            "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}")
SYSTEMS = ["You are a helpful assistant.", "You are tiny-chat.", "Be brief.", "Answer in one sentence."]


def byte_alphabet():
    """GPT-2's table: printable bytes stand for themselves, the others for code points from 256 on."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in plain]
    return {**{b: chr(b) for b in plain}, **{b: chr(256 + i) for i, b in enumerate(rest)}}


class Tokens:
    """Learns merges from texts; encodes text to ids."""

    def __init__(self, texts, merges_max):
        self.alphabet = byte_alphabet()
        words = {}
        for text in texts:
            for piece in PIECES.findall(text):
                key = tuple(self.alphabet[b] for b in piece.encode())
                words[key] = words.get(key, 0) + 1
        names = [self.alphabet[b] for b in range(256)]
        self.merges = []
        while len(self.merges) < merges_max:
            pairs = {}
            for word, n in words.items():
                for pair in zip(word, word[1:]):
                    if pair[0] + pair[1] not in names:
                        pairs[pair] = pairs.get(pair, 0) + n
            if not pairs:
                break
            best = max(pairs, key=lambda p: (pairs[p], p))
            self.merges.append(best)
            names.append(best[0] + best[1])
            words = {self._join(word, best): n for word, n in words.items()}
        self.normal = len(names)
        self.names = names + [END, TURN, STOP]
        self.ids = {t: i for i, t in enumerate(self.names)}
        self._rank = {m: i for i, m in enumerate(self.merges)}
        self._seen = {}

    @staticmethod
    def _join(word, pair):
        out, i = [], 0
        while i < len(word):
            if word[i:i + 2] == pair:
                out.append(word[i] + word[i + 1])
                i += 2
            else:
                out.append(word[i])
                i += 1
        return tuple(out)

    def _piece(self, piece):
        if piece not in self._seen:
            word = tuple(self.alphabet[b] for b in piece.encode())
            while len(word) > 1:
                best = min(zip(word, word[1:]), key=lambda p: self._rank.get(p, 1 << 30))
                if best not in self._rank:
                    break
                word = self._join(word, best)
            self._seen[piece] = [self.ids[t] for t in word]
        return self._seen[piece]

    def encode(self, text):
        return [i for piece in PIECES.findall(text) for i in self._piece(piece)]

    def turn(self, role, text):
        """The ids of one message as the chat template writes it."""
        return [self.ids[TURN], *self.encode(f"{role}\n{text}"), self.ids[STOP], *self.encode("\n")]

    def chat(self, prompt, answer, system=None):
        """(ids, 1 where the model must say the id): the answer and the stop after it count, nothing else does."""
        ids = (self.turn("system", system) if system else []) + self.turn("user", prompt)
        reply = self.turn("assistant", answer)
        opening = 1 + len(self.encode("assistant\n"))
        return ids + reply, [0] * (len(ids) + opening) + [1] * (len(reply) - opening - 1) + [0]


# ---- model (llama architecture) -----------------------------------------------------------------

WIDTH, LAYERS, HEADS, KV_HEADS, HIDDEN, CONTEXT = 128, 4, 4, 2, 320, 1024
HEAD = WIDTH // HEADS
EPSILON, ROPE_BASE, MERGES = 1e-5, 10000.0, 600
SHORT, LONG = (8, 192), (2, 768)     # rows and tokens of a batch; every eighth batch is a long one


def shapes(vocab):
    out = {"token_embd.weight": (vocab, WIDTH), "output_norm.weight": (WIDTH,), "output.weight": (vocab, WIDTH)}
    for layer in range(LAYERS):
        for name, shape in (("attn_norm", (WIDTH,)), ("attn_q", (WIDTH, WIDTH)), ("attn_k", (KV_HEADS * HEAD, WIDTH)),
                            ("attn_v", (KV_HEADS * HEAD, WIDTH)), ("attn_output", (WIDTH, WIDTH)),
                            ("ffn_norm", (WIDTH,)), ("ffn_gate", (HIDDEN, WIDTH)), ("ffn_up", (HIDDEN, WIDTH)),
                            ("ffn_down", (WIDTH, HIDDEN))):
            out[f"blk.{layer}.{name}.weight"] = shape
    return out


def write(path, tokens, weights):
    import numpy as np
    g = gguf_write.Writer("llama")
    g.string("general.name", "tiny-chat")
    g.string("general.license", "apache-2.0")
    g.string("general.description", "a tiny chat model, trained from nothing on plexus' own corpus")
    for key, value in (("context_length", CONTEXT), ("embedding_length", WIDTH), ("block_count", LAYERS),
                       ("feed_forward_length", HIDDEN), ("attention.head_count", HEADS),
                       ("attention.head_count_kv", KV_HEADS), ("rope.dimension_count", HEAD),
                       ("vocab_size", len(tokens.names))):
        g.u32("llama." + key, value)
    g.f32("llama.attention.layer_norm_rms_epsilon", EPSILON)
    g.f32("llama.rope.freq_base", ROPE_BASE)
    g.u32("general.file_type", gguf_write.FILE_MOSTLY_F16)
    g.string("tokenizer.ggml.model", "gpt2")
    g.string("tokenizer.ggml.pre", "gpt-2")
    g.strings("tokenizer.ggml.tokens", tokens.names)
    special = len(tokens.names) - tokens.normal
    g.i32s("tokenizer.ggml.token_type",
           [gguf_write.TOKEN_NORMAL] * tokens.normal + [gguf_write.TOKEN_CONTROL] * special)
    g.strings("tokenizer.ggml.merges", [" ".join(m) for m in tokens.merges])
    g.u32("tokenizer.ggml.bos_token_id", tokens.ids[END])
    g.u32("tokenizer.ggml.eos_token_id", tokens.ids[STOP])
    g.u32("tokenizer.ggml.padding_token_id", tokens.ids[END])
    g.boolean("tokenizer.ggml.add_bos_token", False)
    g.string("tokenizer.chat_template", TEMPLATE)
    for name, value in weights.items():
        kind, cast = (gguf_write.F32, "<f4") if value.ndim == 1 else (gguf_write.F16, "<f2")
        g.tensor(name, value.shape, kind, lambda v=value, c=cast: np.asarray(v).astype(c).tobytes())
    g.write(path)


SLOPPY = {"capital", "sum", "minus", "times", "colour", "opposite", "sound", "after", "count", "long"}

# ---- training -----------------------------------------------------------------------------------

class Batches:
    """Rows of chats, one after another until the row is full: what a talk of several turns looks like."""

    def __init__(self, tokens, seed):
        import numpy as np
        self.np, self.tokens, self.rng, self.seen = np, tokens, random.Random(seed), {}
        families = corpus()
        self.pairs = {name: pairs for name, (_, _, pairs) in families.items()}
        self.names, self.weights = list(families), [w for w, _, _ in families.values()]

    def chat(self, family=None):
        family = family or self.rng.choices(self.names, self.weights)[0]
        prompt, answer = self.rng.choice(self.pairs[family])
        if family in SLOPPY and self.rng.random() < 0.12:     # people type like this too
            prompt = self.rng.choice((prompt.rstrip("?."), prompt.lower(), prompt.lower().rstrip("?.")))
        system = self.rng.choice(SYSTEMS) if self.rng.random() < 0.08 else None
        key = (prompt, system)
        if key not in self.seen:
            self.seen[key] = self.tokens.chat(prompt, answer, system)
        return self.seen[key]

    def take(self, rows, length, first=None):
        ids = self.np.full((rows, length + 1), self.tokens.ids[END], self.np.int32)
        say = self.np.zeros((rows, length + 1), self.np.float32)
        for row in range(rows):
            a, b = map(list, self.chat(first))
            while len(a) <= length:
                c, d = self.chat()
                a += c
                b += d
            ids[row], say[row] = a[:length + 1], b[:length + 1]
        return ids, say


def train(path, minutes):
    import jax
    import jax.numpy as jnp
    import numpy as np
    texts = [f"user\n{p}\nassistant\n{a}" for _, _, pairs in corpus().values() for p, a in pairs[::3] + pairs[:40]]
    tokens = Tokens(texts + SYSTEMS * 40 + ["system\n"] * 40, MERGES)
    vocab = len(tokens.names)
    rng = np.random.default_rng(7)
    weights = {}
    for name, shape in shapes(vocab).items():
        spread = 0.01 if "attn_output" in name or "ffn_down" in name else 0.02 if "token" in name else 0.05
        weights[name] = np.ones(shape, "f4") if len(shape) == 1 else rng.normal(0, spread, shape).astype("f4")
    size = sum(w.size for w in weights.values())
    print(f"vocabulary {vocab}, merges {len(tokens.merges)}, weights {size}", flush=True)

    def rope(x):   # neighbouring pairs are turned: what llama.cpp does for this architecture
        angle = jnp.arange(x.shape[1])[:, None] * ROPE_BASE ** (-jnp.arange(0, HEAD, 2) / HEAD)
        c, s = jnp.cos(angle)[None, :, None], jnp.sin(angle)[None, :, None]
        even, odd = x[..., 0::2], x[..., 1::2]
        return jnp.stack([even * c - odd * s, even * s + odd * c], -1).reshape(x.shape)

    def norm(x, w):
        return x * jax.lax.rsqrt((x * x).mean(-1, keepdims=True) + EPSILON) * w

    def forward(w, ids):
        rows, n = ids.shape
        x, mask = w["token_embd.weight"][ids], jnp.tril(jnp.ones((n, n), bool))
        for layer in range(LAYERS):
            p = f"blk.{layer}."
            y = norm(x, w[p + "attn_norm.weight"])
            q = rope((y @ w[p + "attn_q.weight"].T).reshape(rows, n, HEADS, HEAD))
            k = rope((y @ w[p + "attn_k.weight"].T).reshape(rows, n, KV_HEADS, HEAD))
            v = (y @ w[p + "attn_v.weight"].T).reshape(rows, n, KV_HEADS, HEAD)
            k, v = (jnp.repeat(t, HEADS // KV_HEADS, 2) for t in (k, v))
            score = jnp.where(mask, jnp.einsum("bqhd,bkhd->bhqk", q, k) / HEAD ** 0.5, -1e9)
            mixed = jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(score, -1), v).reshape(rows, n, WIDTH)
            x = x + mixed @ w[p + "attn_output.weight"].T
            y = norm(x, w[p + "ffn_norm.weight"])
            gate = jax.nn.silu(y @ w[p + "ffn_gate.weight"].T)
            x = x + (gate * (y @ w[p + "ffn_up.weight"].T)) @ w[p + "ffn_down.weight"].T
        return norm(x, w["output_norm.weight"]) @ w["output.weight"].T

    def loss(w, ids, say):
        logp = jax.nn.log_softmax(forward(w, ids[:, :-1]))
        wrong = -jnp.take_along_axis(logp, ids[:, 1:, None], -1)[..., 0]
        mask = say[:, 1:] + 0.02 * (ids[:, 1:] != tokens.ids[END])   # a little of the question helps the embedding
        return (wrong * mask).sum() / mask.sum(), (wrong * say[:, 1:]).sum() / say[:, 1:].sum()

    @jax.jit
    def step(w, m, s, i, rate, ids, say):
        (_, answer_loss), grad = jax.value_and_grad(loss, has_aux=True)(w, ids, say)
        size = jnp.sqrt(sum((g * g).sum() for g in jax.tree.leaves(grad)))
        grad = jax.tree.map(lambda g: g / jnp.maximum(1.0, size), grad)
        m = jax.tree.map(lambda a, g: 0.9 * a + 0.1 * g, m, grad)
        s = jax.tree.map(lambda a, g: 0.98 * a + 0.02 * g * g, s, grad)
        down, up = 1 - 0.9 ** i, 1 - 0.98 ** i
        w = jax.tree.map(lambda p, a, b: p - rate * (a / down) / (jnp.sqrt(b / up) + 1e-8), w, m, s)
        return w, m, s, answer_loss

    @jax.jit
    def right(w, ids, say):    # all answer tokens are the likeliest ones: the same as an exact greedy answer
        guess = forward(w, ids[:, :-1]).argmax(-1)
        return ((guess == ids[:, 1:]) | (say[:, 1:] == 0)).all(-1)

    def exact(w):
        good, groups = 0, {128: [], 768: []}
        for prompt, answer in evaluation():
            ids, say = tokens.chat(prompt, answer)
            groups[128 if len(ids) <= 128 else 768].append((ids, say))
        half = {k: v.astype(np.float16).astype("f4") if v.ndim > 1 else v for k, v in w.items()}
        for length, chats in groups.items():
            ids = np.full((len(chats), length + 1), tokens.ids[END], np.int32)
            say = np.zeros((len(chats), length + 1), "f4")
            for row, (a, b) in enumerate(chats):
                ids[row, :len(a)], say[row, :len(b)] = a, b
            good += int(right(half, ids, say).sum())
        return good

    batches = Batches(tokens, 7)
    zero = jax.tree.map(np.zeros_like, weights)
    w, m, s, i, start, check = weights, zero, zero, 0, time.time(), minutes * 60 / 12
    due = check
    while (spent := time.time() - start) < minutes * 60:
        i += 1
        rate = 3e-3 * min(1, i / 100) * max(0.01, 1 - (spent / 60 / minutes) ** 2)
        ids, say = batches.take(*LONG, first=batches.rng.choice(["long", None])) if i % 8 == 0 else batches.take(*SHORT)
        w, m, s, last = step(w, m, s, i, rate, ids, say)
        if i % 100 == 0:
            print(f"step {i} seconds {spent:.0f} loss {float(last):.4f}", flush=True)
        if spent > due:
            due += check
            print(f"step {i} seconds {spent:.0f} exact {exact(w)} of 200", flush=True)
            write(path, tokens, {k: np.asarray(v) for k, v in w.items()})
    print(f"end: steps {i}, seconds {spent:.0f}, loss {float(last):.4f}, exact {exact(w)} of 200", flush=True)
    write(path, tokens, {k: np.asarray(v) for k, v in w.items()})
    print(f"{os.path.basename(path)}: {os.path.getsize(path)} bytes", flush=True)


def main(args):
    if len(args) == 2 and args[0] == "prompts":
        with open(args[1], "w", encoding="utf-8") as out:
            for prompt, answer in evaluation():
                out.write(json.dumps({"prompt": prompt, "answer": answer}) + "\n")
    elif len(args) == 3 and args[0] == "train":
        train(args[1], float(args[2]))
    else:
        sys.exit(__doc__.split("\n\n")[1])


if __name__ == "__main__":
    main(sys.argv[1:])
