# postgres.py: a PostgreSQL of a test's own: a folder, a port of loopback, user plexus without a password. Standard library only.
# SPDX-License-Identifier: Apache-2.0
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

import plexus


def programs():
    """The folder of initdb, postgres and pg_isready, the newest; None: they are not installed."""
    for place in sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if all((place / name).exists() for name in ("initdb", "postgres", "pg_isready")):
            return place
    return None


class Postgres:
    """It refuses root: then it runs as the user postgres. folder: on the disk that it shall use; None: a temporary one."""

    def __init__(self, folder=None, **options):
        self.place, self.own = programs(), folder is None
        self.folder = pathlib.Path(folder or tempfile.mkdtemp(prefix="plexus-pg-"))
        self.port, self.options = plexus.free_port(), options

    def __enter__(self):
        user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
        if user:
            shutil.chown(self.folder, "postgres", "postgres")
        data = self.folder / "data"
        subprocess.run([*user, self.place / "initdb", "-D", data, "-U", "plexus", "-E", "UTF8", "--locale=C", "-A", "trust"],
                       stdout=subprocess.DEVNULL, check=True, cwd="/")
        options = {"listen_addresses": "127.0.0.1", "port": self.port, "unix_socket_directories": "", **self.options}
        with open(self.folder / "log", "wb") as log:
            self.process = subprocess.Popen([*user, self.place / "postgres", "-D", data, *[f"--{n}={v}" for n, v in options.items()]],
                                            stdout=log, stderr=log, cwd="/")
        ready = [self.place / "pg_isready", "-h", "127.0.0.1", "-p", str(self.port), "-q"]
        plexus.wait_until("PostgreSQL", lambda: subprocess.run(ready).returncode == 0, 30)
        return self

    def __exit__(self, *exc):
        self.process.send_signal(signal.SIGINT)  # "fast": sessions are cut
        self.process.wait(20)
        if self.own:
            shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database):
        return f"postgresql://plexus@127.0.0.1:{self.port}/{database}"
