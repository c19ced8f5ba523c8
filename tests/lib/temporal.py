# temporal.py: Temporal's command line with its development server, for tests: found, or built once from
# Go's module proxy and kept outside the clone by version. Standard library only.
# SPDX-License-Identifier: Apache-2.0
"""python3 tests/lib/temporal.py: prints the program's path; builds it when it is not there (Go, 5 minutes)."""
import os
import pathlib
import shutil
import subprocess
import sys

VERSION = "1.5.1"  # as src/temporal/temporal_rig.h has it; server 1.29.1
PACKAGE = "github.com/temporalio/cli/cmd/temporal@v" + VERSION


def cached():
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return pathlib.Path(cache, "plexus", "servers", "temporal-" + VERSION, "temporal")


def find():
    """The program's path, or None."""
    given = os.environ.get("PLEXUS_TEMPORAL")
    path = pathlib.Path(given) if given else cached()
    return str(path) if os.access(path, os.X_OK) else None


def build():
    """Builds it; None, with the reason on standard error, when that cannot be."""
    go = shutil.which("go")
    if not go:
        print("temporal.py: no go on PATH to build " + PACKAGE, file=sys.stderr)
        return None
    target = cached()
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.parent / "part"
    done = subprocess.run([go, "install", "-ldflags=-s -w", PACKAGE], env={**os.environ, "GOBIN": str(part)},
                          stdout=sys.stderr, check=False)
    if done.returncode:
        print("temporal.py: go install %s failed" % PACKAGE, file=sys.stderr)
        return None
    os.replace(part / "temporal", target)
    shutil.rmtree(part)
    return str(target)


def need():
    """For tests: the path, or the end of the test as skipped."""
    path = find()
    if not path:
        print("skipped: no temporal %s: python3 tests/lib/temporal.py builds it" % VERSION)
        sys.exit(77)
    return path


if __name__ == "__main__":
    found = find() or build()
    print(found or "")
    sys.exit(0 if found else 1)
