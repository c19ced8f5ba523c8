# flows_others.py: other engines of durable flows, for scale: DBOS on PostgreSQL, both as they come.
# SPDX-License-Identifier: Apache-2.0
import os
import subprocess
import sys

import rig
from rig import say

sys.path.insert(0, str(rig.ROOT / "tests/lib"))
import postgres  # noqa: E402

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


ALL = {"dbos": dbos}
