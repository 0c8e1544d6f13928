"""Two checkouts side by side: processor time of client and server, peak memory, and digests of answers."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import ztfdb
from tests.support.archives import Plan, Stars, build_archive
from ztfdb.schema import Source
from ztfdb.server import PostgresServer
from ztfdb.store.backends import engine_class
from ztfdb.store.engine import make_engine

BASE = os.environ.get("ZTFDB_BENCHMARK_BASE")
"""Checkout of the commit to compare with, its environment in ``.venv``."""

HERE = Path(__file__).resolve().parents[2]
PLAN = Plan(10_000, 100, trouble=0.02)
ROOM = 3e9

PEAK_KB = "int(open('/proc/self/status').read().partition('VmHWM:')[2].split()[0])"
"""A process's own peak memory (Linux). That of getrusage is not: a process begins with the peak of who started it."""

ASK = f"""
import hashlib, json, os, sys, warnings
warnings.simplefilter("ignore")
import pandas, ztfdb
url, question = sys.argv[1:]
archive = ztfdb.open(url, read_only=True)
archive.cone(180.0, 10.0, 1.0)
before = os.times()
frame = eval(question)
after, peak = os.times(), {PEAK_KB}  # making the digest takes memory of its own
digest = hashlib.sha256(pandas.util.hash_pandas_object(frame).to_numpy().tobytes()).hexdigest()
print(json.dumps({{"cpu": after.user + after.system - before.user - before.system, "n_row": len(frame),
                  "digest": digest, "peak": peak}}))
archive.close()
"""


@dataclass(frozen=True)
class Loaded:
    """An archive on one engine, and what runs its server."""

    engine: str
    url: str
    stars: Stars
    server: PostgresServer | None


@dataclass(frozen=True)
class Ratios:
    """How a checkout compares with the base: medians."""

    n_row: int
    speed: float
    memory: float
    seconds: float
    same: bool

    def __str__(self) -> str:
        return f"{self.speed:.2f} x the speed, {self.memory:.2f} x the memory, {self.seconds:.2f} s of processor"


def loaded_archives(engine: str, folder: Path) -> Iterator[Loaded]:
    """Yield an archive of a million detections; it is removed at the end."""
    assert shutil.disk_usage(folder).free > ROOM
    server = None
    if engine == "postgresql":
        server = PostgresServer(durable=True, settings={"shared_buffers": "512MB", "max_wal_size": "4GB"})
        server.start()
        url = server.create_database("sidebyside")
    else:
        url = f"sqlite:///{folder / 'sidebyside.sqlite'}"
    try:
        ztfdb.open(url, create=True).close()
        (stars,) = build_archive(url, PLAN)
        bound = make_engine(url)
        engine_class(bound).settle_table(bound, Source.__table__)
        bound.dispose()
        yield Loaded(engine, url, stars, server)
    finally:
        if server is not None:
            server.close()


def ratios(loaded: Loaded, question: str, n_pair: int) -> Ratios:
    """Ask both checkouts in turn; the server's processor time is that of all its processes."""
    assert BASE is not None
    found: dict[str, list[dict]] = {str(BASE): [], str(HERE): []}
    for _ in range(n_pair):
        for tree in (BASE, HERE):
            found[str(tree)].append(_asked(loaded, Path(tree), question))
    base, here = found[str(BASE)], found[str(HERE)]
    cpu = [statistics.median(one["cpu"] for one in some) for some in (base, here)]
    peak = [statistics.median(one["peak"] for one in some) for some in (base, here)]
    same = len({one["digest"] for one in (*base, *here)}) == 1
    return Ratios(here[0]["n_row"], cpu[0] / cpu[1], peak[1] / peak[0], cpu[1], same)


def _asked(loaded: Loaded, tree: Path, question: str) -> dict:
    python = tree / ".venv" / "bin" / "python"
    before = server_seconds(loaded)
    done = subprocess.run(
        [str(python if python.exists() else sys.executable), "-c", ASK, loaded.url, question],
        capture_output=True, text=True, check=True, cwd=tree,
    )  # fmt: skip
    found = json.loads(done.stdout)
    found["cpu"] += server_seconds(loaded) - before
    return found


def server_seconds(loaded: Loaded) -> float:
    """Processor seconds of a server's processes and of those that have ended, on Linux."""
    if loaded.server is None:
        return 0.0
    root = int((Path(loaded.server.data) / "postmaster.pid").read_text().split()[0])
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        if int(fields[1]) == root:
            ticks += int(fields[11]) + int(fields[12])
        elif stat.parent.name == str(root):
            ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")
