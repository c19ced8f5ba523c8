# flows_others.py: other engines of durable flows, for scale, as they come: DBOS on PostgreSQL, Temporal's development server.
# SPDX-License-Identifier: Apache-2.0
import os
import subprocess
import sys

import rig
from rig import say

sys.path.insert(0, str(rig.ROOT / "tests/lib"))
import plexus  # noqa: E402
import postgres  # noqa: E402
import temporal  # noqa: E402

SECONDS = 10


class Missing(Exception):
    """It is not here, and why."""


def dbos():
    if not postgres.programs():
        raise Missing("PostgreSQL's programs are not installed")
    python = os.environ.get("DBOS_PYTHON")
    if not python or subprocess.run([python, "-c", "import dbos"], stderr=subprocess.DEVNULL).returncode:
        raise Missing("DBOS_PYTHON names no Python that has the package dbos (2.1.0 was measured)")
    # On the disk that is measured; fsync as it comes: on.
    with postgres.Postgres(rig.work_folder(), max_connections=300) as server:
        say("DBOS on PostgreSQL")
        done = subprocess.run([python, rig.BENCH / "flows_dbos.py", server.url("bench"), str(SECONDS)],
                              stdout=subprocess.PIPE, text=True, timeout=300)
    if done.returncode:
        raise Missing("DBOS failed")
    return float(done.stdout.split()[-1])


def temporal_dev():
    """The same document and the same worker as in production: plexus' own, on a server with its database on the measured disk."""
    program = temporal.find()
    if not program:
        raise Missing("no Temporal server: python3 tests/lib/temporal.py builds it")
    folder = rig.work_folder()
    port, http = plexus.free_port(), plexus.free_port()
    say("Temporal's development server")
    server = subprocess.Popen([program, "server", "start-dev", "--headless", "--ip", "127.0.0.1", "--port", str(port), "--http-port", str(http),
                               "--db-filename", str(folder / "temporal.db"), "--sqlite-pragma", "journal_mode=WAL", "--sqlite-pragma", "synchronous=FULL",
                               "--log-level", "error"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        done = subprocess.run([rig.ROOT / "build/bench/flows_temporal", str(port), str(SECONDS)], stdout=subprocess.PIPE, text=True, timeout=120)
    except subprocess.TimeoutExpired:
        raise Missing("Temporal's server did not answer in time") from None
    finally:
        server.kill()
        server.wait()
    if done.returncode:
        raise Missing("the worker of Temporal failed")
    return float(done.stdout.split()[-1])


ALL = {"dbos": dbos, "temporal": temporal_dev}
