#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""llama.cpp's own HTTP server, run out of the Python package xllamacpp, with llama-server's flags.

usage: llama_server.py --port PORT --model FILE [flags]      (build/engines/llama-server starts it)

It stands in for the program `llama-server` where none is installed: the same C++ server answers, the
same addresses exist, logs go to stderr, and a bad flag, a missing model or a port in use end it with 1.
Only the flags in the table below are known; any other one is an error, so nothing is silently ignored.
One difference is on purpose: SIGTERM and SIGINT end it at once, also while streams are open.
The folder of the package is taken from PLEXUS_XLLAMACPP, else from Python's own search path. Starting
fast matters, so nothing is imported that is not needed and the package's __init__ is passed over.
"""
import os
import signal
import sys

POOLING = {"none": 0, "mean": 1, "cls": 2, "last": 3, "rank": 4}


def _true(_):
    return True


def _path(target):
    """Sets params.a.b from the target "a.b"."""
    names = target.split(".")

    def put(params, value):
        for name in names[:-1]:
            params = getattr(params, name)
        setattr(params, names[-1], value)
    return put


def _pooling(text):
    if text not in POOLING:
        raise ValueError("one of " + ", ".join(POOLING))
    return POOLING[text]


def _threads(params, value):
    params.cpuparams.n_threads = value


def _port(text):
    if not 0 < int(text) < 65536:
        raise ValueError("a port from 1 to 65535")
    return int(text)


# names, takes a value, reads the value, puts it into the parameters, help
FLAGS = (
    (("--host",), True, str, lambda p, v: setattr(p, "hostnames", [v]), "address to listen on (127.0.0.1)"),
    (("--port",), True, _port, _path("port"), "port to listen on; needed"),
    (("--model", "-m"), True, str, _path("model.path"), "GGUF file; needed"),
    (("--alias", "-a"), True, str, lambda p, v: setattr(p, "model_alias", {v}), "name in /v1/models and answers"),
    (("--ctx-size", "-c"), True, int, _path("n_ctx"), "tokens of context, over all slots (the model's own)"),
    (("--parallel", "-np"), True, int, _path("n_parallel"), "slots: requests worked on at once (1)"),
    (("--kv-unified", "-kvu"), False, _true, _path("kv_unified"), "slots share the context; else each has its part"),
    (("--threads", "-t"), True, int, _threads, "threads for one computation"),
    (("--threads-http",), True, int, _path("n_threads_http"), "threads that answer HTTP"),
    (("--batch-size", "-b"), True, int, _path("n_batch"), "logical batch (2048)"),
    (("--ubatch-size", "-ub"), True, int, _path("n_ubatch"), "physical batch (512)"),
    (("--n-gpu-layers", "--gpu-layers", "-ngl"), True, int, _path("n_gpu_layers"), "layers on the card"),
    (("--embedding", "--embeddings"), False, _true, _path("embedding"), "serve embeddings"),
    (("--pooling",), True, _pooling, _path("pooling_type"), "of embeddings: " + ", ".join(POOLING)),
    (("--seed", "-s"), True, int, lambda p, v: setattr(p.sampling, "seed", v % (1 << 32)), "seed (-1 is random)"),
    (("--temp", "--temperature"), True, float, _path("sampling.temp"), "default temperature"),
    (("--chat-template",), True, str, _path("chat_template"), "template instead of the model's own"),
    (("--cache-ram", "-cram"), True, int, _path("cache_ram_mib"), "MiB for old prompts; 0 is none"),
    (("--no-cache-prompt",), False, lambda _: False, _path("cache_prompt"), "never reuse a prompt's prefix"),
    (("--no-warmup",), False, lambda _: False, _path("warmup"), "skip the empty run after loading"),
    (("--no-webui", "--no-ui"), False, lambda _: False, _path("ui"), "no page at /"),
    (("--metrics",), False, _true, _path("endpoint_metrics"), "serve /metrics"),
    (("--props",), False, _true, _path("endpoint_props"), "let POST /props change things"),
    (("--slots",), False, _true, _path("endpoint_slots"), "serve /slots"),
    (("--no-slots",), False, lambda _: False, _path("endpoint_slots"), "no /slots"),
    (("--jinja",), False, _true, _path("use_jinja"), "templates by jinja (always so)"),
    (("--log-verbosity", "-lv"), True, int, _path("verbosity"), "how much is logged (3)"),
)


class UsageError(Exception):
    pass


def usage():
    lines = [__doc__.split("\n\n")[1], "", "flags:"]
    for names, takes, _, _, text in FLAGS:
        lines.append(f"  {', '.join(names) + (' VALUE' if takes else ''):<44} {text}")
    return "\n".join(lines) + "\n"


def read(args):
    """[(put, value)] in order; --flag=value is understood too."""
    table = {name: flag for flag in FLAGS for name in flag[0]}
    settings, seen, rest = [], set(), list(args)
    while rest:
        name, equals, value = rest.pop(0).partition("=")
        if name not in table:
            raise UsageError(f"unknown argument: {name}")
        names, takes, convert, put, _ = table[name]
        if takes and not equals:
            if not rest:
                raise UsageError(f"{name} needs a value")
            value = rest.pop(0)
        if not takes and equals:
            raise UsageError(f"{name} takes no value")
        try:
            settings.append((put, convert(value)))
        except ValueError as e:
            raise UsageError(f"{name}: {value!r} is not right: {e}") from None
        seen.add(names[0])
    for needed in ("--port", "--model"):
        if needed not in seen:
            raise UsageError(f"{needed} is needed")
    return settings


def load():
    """The package's compiled module, without the rest of the package."""
    from importlib.machinery import ExtensionFileLoader, PathFinder, ModuleSpec
    from importlib._bootstrap import _load
    folders = [os.environ["PLEXUS_XLLAMACPP"]] if "PLEXUS_XLLAMACPP" in os.environ else None
    package = PathFinder.find_spec("xllamacpp", folders)
    inner = package and PathFinder.find_spec("xllamacpp.xllamacpp", list(package.submodule_search_locations))
    if not inner:
        raise UsageError("the package xllamacpp is missing; mend: tools/setup engine")
    name = "xllamacpp.xllamacpp"
    return _load(ModuleSpec(name, ExtensionFileLoader(name, inner.origin), origin=inner.origin))


def stop(_signal, _frame):
    os._exit(0)    # not sys.exit: the server's own end waits for open streams


def main(args):
    if "--help" in args or "-h" in args:
        sys.stdout.write(usage())
        return 0
    try:
        settings = read(args)
        engine = load()
    except UsageError as e:
        sys.stderr.write(f"error: {e}\n")
        return 1
    params = engine.CommonParams()
    params.fit_params = False          # a look at all devices' memory; the caller has decided what fits
    params.cors_origins = ""           # no page of a browser has business here; plexus answers those
    for put, value in settings:
        put(params, value)
    if not os.path.isfile(params.model.path):
        sys.stderr.write(f"error: no such model: {params.model.path}\n")
        return 1
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)    # while loading, Python's own handlers would have to wait
    try:
        server = engine.Server(params)
    except Exception as e:
        sys.stderr.write(f"error: {e}\n")
        sys.stderr.flush()
        os._exit(1)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    sys.stderr.write(f"listening on {server.listening_address}\n")
    sys.stderr.flush()
    while True:
        signal.pause()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
