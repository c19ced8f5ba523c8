# clients_test.py: the official clients (Python, JavaScript of both generations) over HTTP and over
# plexus mcp, and the inspector's command line, against our server.
# SPDX-License-Identifier: Apache-2.0
import json
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import mcp_rig  # noqa: E402
import plexus  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent


def run(argv, env=None, timeout=120):
    done = subprocess.run(argv, env=dict(os.environ, **(env or {})), stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, (argv[:3], done.returncode, done.stdout[-2000:], done.stderr[-4000:])
    print(done.stdout if len(done.stdout) < 2000 else f"{len(done.stdout)} bytes", end="\n" if len(done.stdout) >= 2000 else "")
    return done.stdout


def python_client(url):
    folder = plexus.test_env("TEST_PYTHONPATH")
    said = run([plexus.test_env("TEST_PYTHON"), str(HERE / "sdk_client.py"), url, plexus.PLEXUS],
               {"PYTHONPATH": folder})
    assert said.count("\n") == 6 and said.count("2026-07-28") >= 4, said


def javascript_clients(url, node, modules):
    said = run([node, str(HERE / "sdk_client.mjs"), modules, url, plexus.PLEXUS])
    assert said.count("\n") == 6, said


def inspector(url, node, modules):
    program = str(pathlib.Path(modules, "@modelcontextprotocol/inspector/clients/launcher/build/index.js"))
    base = [node, program, "--cli", url, "--transport", "http"]
    tools = json.loads(run([*base, "--method", "tools/list"]))["tools"]
    assert any(tool["name"] == "echo" for tool in tools), tools
    called = json.loads(run([*base, "--method", "tools/call", "--tool-name", "greet",
                             "--tool-arg", "name=Ada"]))
    assert called["content"][0]["text"] == "Hello, Ada!", called


def main():
    node, modules = plexus.test_env("NODE"), plexus.test_env("TEST_NODE_PATH")
    if not node or not pathlib.Path(modules or "/", "@modelcontextprotocol/sdk").exists():
        plexus.skip("the clients are not here (tools/setup test)")
    with mcp_rig.server("--confirm") as port:
        url = f"http://127.0.0.1:{port}/mcp"
        python_client(url)
        javascript_clients(url, node, modules)
        inspector(url, node, modules)


main()
