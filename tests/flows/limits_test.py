#!/usr/bin/env python3
# limits_test.py: flows on a real node whose clock jumps; queues with a rate.
# SPDX-License-Identifier: Apache-2.0
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / "lib"), str(pathlib.Path(__file__).resolve().parent)]
import plexus  # noqa: E402
from plexus import Node, wait_until  # noqa: E402

# The wall clock of a process, shifted by what stands in the file CLOCK_SHIFT (seconds); the steady clock stays.
SHIFT = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static long shift(void)
{
    const char *file = getenv("CLOCK_SHIFT");
    FILE *f = file ? fopen(file, "r") : NULL;
    long s = 0;
    if (f && fscanf(f, "%ld", &s) != 1)
        s = 0;
    if (f)
        fclose(f);
    return s;
}
int clock_gettime(clockid_t id, struct timespec *t)
{
    int rc = (int)syscall(SYS_clock_gettime, id, t);
    if (rc == 0 && id == CLOCK_REALTIME)
        t->tv_sec += shift();
    return rc;
}
time_t time(time_t *ret)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    if (ret)
        *ret = t.tv_sec;
    return t.tv_sec;
}
int gettimeofday(struct timeval *t, void *zone)
{
    struct timespec s;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &s);
    t->tv_sec = s.tv_sec;
    t->tv_usec = s.tv_nsec / 1000;
    return 0;
}
"""


def doc(name, *tasks, **more):
    return json.dumps({"document": {"dsl": "1.0.3", "namespace": "limits", "name": name, "version": "1.0.0"}, **more, "do": list(tasks)})


def start(n, document, status=201, **more):
    got = n.post("/api/flows", {"document": document, **more})
    assert got.status == status, got
    return got.json


def test_the_clock_jumps():
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not compiler:
        print("  no compiler: not tried")
        return
    with tempfile.TemporaryDirectory() as folder:
        source, library, shift = (pathlib.Path(folder, name) for name in ("shift.c", "shift.so", "shift"))
        source.write_text(SHIFT)
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source], check=True)

        def jump(seconds):
            shift.with_suffix(".new").write_text(str(seconds))
            shift.with_suffix(".new").rename(shift)  # whole, or as it was
        jump(0)
        env = {"LD_PRELOAD": str(library), "CLOCK_SHIFT": str(shift), "ASAN_OPTIONS": "verify_asan_link_order=0"}
        with Node({"flows": {}}, env=env) as n:
            def status(ident):
                return n.get(f"/api/flows/{ident}").json["status"]

            def runs(name):
                return n.get(f"/api/flows?name={name}").json["flows"]
            assert n.post("/api/flows/documents", {"document": doc("hourly", {"a": {"set": {"x": 1}}}, schedule={"every": "PT1H"})}).status == 201
            start(n, doc("sleeper", {"w": {"wait": "PT3H"}}, {"b": {"set": {"woke": True}}}), id="sleeper")
            start(n, doc("short", {"w": {"wait": "PT2S"}}), id="short")
            began = time.monotonic()
            jump(-7200)  # back: what sleeps sleeps longer, what runs by the steady clock goes on
            got = start(n, doc("now", {"a": {"run": {"shell": {"command": "sleep 0.2; echo 1"}}}}, {"b": {"wait": "PT0.3S"}}), 200, wait="20s")
            assert got["status"] == "completed", got
            time.sleep(max(0.0, 3 - (time.monotonic() - began)))
            assert status("sleeper") == status("short") == "waiting" and runs("hourly") == []
            jump(60)
            wait_until("the short one wakes", lambda: status("short") == "completed", 5)
            jump(3 * 3600 + 60)  # on: it wakes within the second; of what was missed there is one
            wait_until("the sleeper wakes", lambda: status("sleeper") == "completed", 5)
            wait_until("the hour struck", lambda: len(runs("hourly")) == 1, 5)
            jump(0)  # and back again: nothing happens twice
            time.sleep(1.5)
            assert len(runs("hourly")) == 1 and status("sleeper") == "completed"
            assert start(n, doc("after", {"w": {"wait": "PT0.1S"}}), 200, wait="20s")["status"] == "completed"


def many(n, queue, count):
    """So many activities at once; when each began, in seconds since the first."""
    log = n.folder / f"{queue}.log"
    work = {"run": {"shell": {"command": f"date +%s.%N >> {log}"}}, "metadata": {"plexus": {"queue": queue}}}
    got = start(n, doc("many", {"f": {"fork": {"branches": [{f"b{i}": work} for i in range(count)]}}}), 200, wait="60s")
    assert got["status"] == "completed", got
    times = sorted(float(line) for line in log.read_text().split())
    assert len(times) == count
    return [t - times[0] for t in times]


def test_a_rate_of_a_queue():
    config = {"flows": {"queues": ["slow", "quick"], "rates": {"slow": 4}}}
    with Node(config) as n:
        slow, quick = many(n, "slow", 9), many(n, "quick", 9)
        assert 1.6 <= slow[-1] <= 4, slow
        assert quick[-1] < slow[-1] / 2, (quick, slow)
        assert n.get("/api/flows/stats").json["activities_waiting"] == 0


if __name__ == "__main__":
    plexus.main({k: v for k, v in globals().items() if k.startswith("test_")})
