# flows_others.py: other engines of durable flows, for scale: DBOS on PostgreSQL, both as they come.
# SPDX-License-Identifier: Apache-2.0
import os
import pathlib
import shutil
import subprocess
import sys

import rig
from rig import say, wait_for

DBOS = "dbos==2.1.0"
SECONDS = 10


class Missing(Exception):
    """It is not here, and why."""


def postgres_programs():
    for place in sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if all((place / name).exists() for name in ("initdb", "postgres", "pg_isready")):
            return place
    raise Missing("PostgreSQL's programs are not installed")


class Postgres:
    """A server of its own on the disk that is measured; fsync as it comes: on."""

    def __enter__(self):
        programs = postgres_programs()
        self.folder = rig.work_folder()
        self.port = rig.free_port()
        self.user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
        if self.user:
            shutil.chown(self.folder, "postgres", "postgres")
        data = self.folder / "data"
        subprocess.run([*self.user, programs / "initdb", "-D", data, "-U", "plexus", "-E", "UTF8", "--locale=C", "-A", "trust"],
                       stdout=subprocess.DEVNULL, check=True, cwd="/")
        options = {"listen_addresses": "127.0.0.1", "port": self.port, "unix_socket_directories": "", "max_connections": 300}
        self.process = rig.start([*self.user, programs / "postgres", "-D", data, *[f"--{n}={v}" for n, v in options.items()]],
                                 self.folder / "log", cwd="/")
        ready = [programs / "pg_isready", "-h", "127.0.0.1", "-p", str(self.port), "-q"]
        wait_for("PostgreSQL", lambda: subprocess.run(ready).returncode == 0, 30)
        return self

    def __exit__(self, *exc):
        rig.stop(self.process)

    def url(self, database):
        return f"postgresql://plexus@127.0.0.1:{self.port}/{database}"


def dbos():
    postgres_programs()
    place = rig.ROOT / "build/bench/dbos"
    python = place / "bin/python"
    if not python.exists():
        say(f"fetching {DBOS}")
        if subprocess.run([sys.executable, "-m", "venv", place]).returncode or \
           subprocess.run([python, "-m", "pip", "install", "-q", DBOS]).returncode:
            shutil.rmtree(place, ignore_errors=True)
            raise Missing(f"pip could not install {DBOS}")
    with Postgres() as server:
        say("DBOS on PostgreSQL")
        done = subprocess.run([python, rig.BENCH / "flows_dbos.py", server.url("bench"), str(SECONDS)],
                              stdout=subprocess.PIPE, text=True, timeout=300)
    if done.returncode:
        raise Missing("DBOS failed")
    return float(done.stdout.split()[-1])


ALL = {"dbos": dbos}
