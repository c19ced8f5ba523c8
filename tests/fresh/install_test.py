#!/usr/bin/env python3
# install_test.py: what tools/install puts somewhere runs from there, engine and all, and goes away again. `make dist` is whole.
# SPDX-License-Identifier: Apache-2.0
import os
import pathlib
import subprocess
import sys
import tarfile
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import plexus  # noqa: E402

FILES = ("bin/plexus", "share/man/man1/plexus.1", "share/bash-completion/completions/plexus", "share/zsh/site-functions/_plexus",
         "share/fish/vendor_completions.d/plexus.fish", "share/doc/plexus/LICENSE", "share/doc/plexus/NOTICE")


def install(what, prefix, destdir=""):
    return subprocess.run(["sh", "tools/install", what], cwd=plexus.ROOT, check=True, capture_output=True, text=True,
                          env=dict(os.environ, PREFIX=str(prefix), DESTDIR=str(destdir))).stdout


def files_below(folder):
    return [p for p in pathlib.Path(folder).rglob("*") if not p.is_dir()]


def test_installed_node_answers():
    with tempfile.TemporaryDirectory(prefix="plexus-install-") as folder:
        prefix = pathlib.Path(folder) / "opt"
        install("put", prefix)
        for name in FILES + ("lib/systemd/system/plexus.service", "lib/sysusers.d/plexus.conf"):
            assert (prefix / name).stat().st_size > 0, name
        unit = (prefix / "lib/systemd/system/plexus.service").read_text()
        assert f"ExecStart={prefix}/bin/plexus up " in unit, unit
        subprocess.run(["bash", "-n", prefix / FILES[2]], check=True)
        engine = prefix / "libexec/plexus/llama-server"
        if engine.exists():
            assert str(plexus.ROOT) not in engine.read_text(), "the installed engine needs the source tree"
            tiny = {"engine": "llama.cpp", "file": plexus.TINY, "kind": "chat", "context": 1024}
            plexus.PLEXUS = str(prefix / "bin/plexus")
            with plexus.Node({"models": {"tiny-chat": tiny}}) as node:
                answer = node.chat("tiny-chat", "What is the capital of France?", temperature=0)
                assert "Paris" in answer.json["choices"][0]["message"]["content"], answer
                runs = [plexus.cmdline(p).decode() for p in node.engine_pids()]
                assert any(str(prefix / "libexec") in words or "llama" in words for words in runs), runs
        install("put", prefix)  # once more: nothing is in the way
        install("take", prefix)
        assert not files_below(prefix), files_below(prefix)


def test_destdir_stands_before_the_prefix():
    with tempfile.TemporaryDirectory(prefix="plexus-install-") as folder:
        install("put", "/usr", folder)
        assert (pathlib.Path(folder) / "usr/bin/plexus").exists()
        unit = (pathlib.Path(folder) / "usr/lib/systemd/system/plexus.service").read_text()
        assert folder not in unit and "ExecStart=/usr/bin/plexus up " in unit, unit
        install("take", "/usr", folder)
        assert not files_below(folder), files_below(folder)


def test_dist_is_what_is_committed():
    if not (plexus.ROOT / ".git").exists():
        return
    subprocess.run(["make", "dist"], cwd=plexus.ROOT, check=True, capture_output=True)
    archive = max((plexus.ROOT / "build/dist").glob("plexus-*.tar.gz"), key=lambda p: p.stat().st_mtime)
    subprocess.run(["sha256sum", "-c", archive.name + ".sha256"], cwd=archive.parent, check=True, capture_output=True)
    tracked = subprocess.run(["git", "ls-tree", "-r", "--name-only", "HEAD"], cwd=plexus.ROOT, check=True, capture_output=True,
                             text=True).stdout.splitlines()
    with tarfile.open(archive) as tar:
        names = {m.name.partition("/")[2] for m in tar if not m.isdir()}
    assert names == set(tracked), names ^ set(tracked)


if __name__ == "__main__":
    plexus.main(globals())
