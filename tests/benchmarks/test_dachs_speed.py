"""The same cone by TAP from ``ztfdb serve`` and from DaCHS, GAVO's publishing suite, side by side.

Both read one PostgreSQL; DaCHS has a copy of ``source`` with q3c's index. It needs Debian's ``gavodachs2-server``, of
which only the program is used: this makes settings, root folder and database of its own.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import signal
import socket
import statistics
import subprocess
import time
from pathlib import Path

import psycopg
import pytest
from astropy.table import Table
from sqlalchemy import make_url

from tests.benchmarks.test_serve_speed import TICKS, cpu_s
from tests.support.archives import Plan, build_archive
from tests.support.serving import Serving, reader_url
from ztfdb.server import DEBIAN_VERSIONS, PostgresServer
from ztfdb.store.migrate import upgrade

requests = pytest.importorskip("requests")
pytestmark = [
    pytest.mark.benchmark,
    pytest.mark.skipif(shutil.which("dachs") is None, reason="gavodachs2-server is not installed"),
]

BINARIES = DEBIAN_VERSIONS / "15" / "bin"
"""Debian's, which has q3c and pg_sphere."""

N_RUN = 5
CONES = ((5.0, 40), (60.0, 40), (360.0, 20), (1800.0, 6))
"""Radius, arcsec; requests of a run."""

COLUMNS = "source_id, ra, dec, flux_aper4, flux_aper4_err, flags, mask_bits"
WAIT_S = 60.0


def described(columns: list[tuple[str, str]]) -> str:
    """The resource descriptor of a copy of a table."""
    fields = []
    for name, kind in columns:
        ucd = {"ra": "pos.eq.ra;meta.main", "dec": "pos.eq.dec;meta.main", "source_id": "meta.id;meta.main"}.get(name)
        null = '<values nullLiteral="-1"/>' if kind in ("bigint", "integer") else ""
        fields.append(f'<column name="{name}" type="{kind}" ucd="{ucd or ""}" description="{name}">{null}</column>')
    return (
        '<resource schema="ztf"><meta name="title">ZTF</meta><meta name="description">Sources.</meta>'
        '<meta name="creationDate">2026-01-01T00:00:00Z</meta><meta name="subject">surveys</meta>'
        '<table id="source" onDisk="True" adql="True" mixin="//scs#q3cindex" primary="source_id">'
        f'{"".join(fields)}</table><data id="import"><sources>source.csv</sources><csvGrammar/>'
        '<make table="source"><rowmaker idmaps="*"/></make></data></resource>'
    )


class Dachs:
    """A service of DaCHS with a root folder and a database of its own, which publishes the sources of an archive.

    Attributes
    ----------
    base : str
        Its address.
    pid : int
        Its process.
    """

    def __init__(self, folder: Path, server: PostgresServer, archive: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.base = f"http://127.0.0.1:{port}"
        settings = folder / "gavo.rc"
        settings.write_text(
            f"[general]\nrootDir={folder}/gavo\ngroup=root\n[ivoa]\nauthority=test.example\n"
            f"[web]\nbindAddress=127.0.0.1\nserverPort={port}\nserverURL={self.base}\nuser=root\n"
        )
        self._environ = os.environ | {"GAVOSETTINGS": str(settings), "GAVOCUSTOM": str(folder / "none")}
        name = make_url(server.create_database("dachs")).database
        self._run("init", "-d", f"host={server.home} port=5432 user=ztfdb dbname={name}")
        self._run("imp", "//tap")
        place = folder / "gavo" / "inputs" / "ztf"
        place.mkdir()
        with psycopg.connect(make_url(archive).set(drivername="postgresql").render_as_string(False)) as connection:
            columns = connection.execute(
                "select column_name, data_type from information_schema.columns where table_name = 'source' "
                "order by ordinal_position"
            ).fetchall()
            with (
                (place / "source.csv").open("wb") as stream,
                connection.cursor().copy("copy source to stdout (format csv, header)") as rows,
            ):
                for piece in rows:
                    stream.write(piece)
        (place / "q.rd").write_text(described(columns))
        self._run("imp", "ztf/q", "import")
        with psycopg.connect(
            host=str(server.home), port=5432, user="ztfdb", dbname=name, autocommit=True
        ) as connection:
            connection.execute("analyze ztf.source")

    def __enter__(self) -> Dachs:
        self._run("serve", "start")
        told = Path(self._environ["GAVOSETTINGS"]).parent / "gavo" / "state" / "web.pid"
        until = time.monotonic() + WAIT_S
        while time.monotonic() < until:
            with contextlib.suppress(requests.ConnectionError, FileNotFoundError, ValueError):
                self.pid = int(told.read_text(encoding="ascii"))
                requests.get(f"{self.base}/tap/availability", timeout=WAIT_S)
                return self
            time.sleep(0.2)
        raise AssertionError("DaCHS does not answer")

    def __exit__(self, *error: object) -> None:
        os.kill(self.pid, signal.SIGTERM)

    def _run(self, *words: str) -> None:
        done = subprocess.run(
            ["dachs", *words], env=self._environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def server_cpu_s(pid: int) -> float:
    """Processor time of a PostgreSQL server, of the connections that it has and of those that have ended (Linux)."""
    total = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            words = stat.read_text(encoding="ascii").rpartition(")")[2].split()
            if stat.parent.name == str(pid):
                total += sum(map(int, words[11:15]))
            elif words[1] == str(pid):
                total += int(words[11]) + int(words[12])
    return total / TICKS


def cone(base: str, radius: float, number: int) -> bytes:
    ra, dec = 179.7 + 0.05 * (number % 12), 9.7 + 0.05 * (number % 11)
    circle = f"1 = contains(point('ICRS', ra, dec), circle('ICRS', {ra}, {dec}, {radius / 3600}))"
    words = {
        "REQUEST": "doQuery", "LANG": "ADQL", "MAXREC": "1000000", "FORMAT": "application/x-votable+xml",
        "QUERY": f"select {COLUMNS} from ztf.source where {circle}",
    }  # fmt: skip
    answer = requests.post(f"{base}/tap/sync", data=words, timeout=WAIT_S)
    assert answer.ok, answer.text
    return answer.content


def found_ids(answer: bytes) -> list[int]:
    return sorted(map(int, Table.read(io.BytesIO(answer), format="votable")["source_id"]))


@pytest.mark.filterwarnings("ignore::astropy.io.votable.exceptions.VOWarning")
def test_the_same_cone_costs_less_than_from_dachs(tmp_path):
    with PostgresServer(binaries=BINARIES) as server:
        archive = server.create_database("archive")
        upgrade(archive)
        build_archive(archive, Plan(2_000, 60))
        pid = int((server.data / "postmaster.pid").read_text().split()[0])
        with Dachs(tmp_path, server, archive) as theirs, Serving(reader_url(archive)) as ours:
            services = {"DaCHS": (theirs.base, theirs.pid), "ztfdb serve": (ours.base, ours.pid)}
            print("\none cone by TAP as VOTable, medians, ms a request: wall; CPU of the service; CPU of PostgreSQL")
            for radius, n in CONES:
                ids = {name: found_ids(cone(base, radius, 3)) for name, (base, _) in services.items()}
                assert ids["ztfdb serve"] == ids["DaCHS"]
                spent: dict[str, list[list[float]]] = {name: [] for name in services}
                for _ in range(N_RUN):
                    for name, (base, own) in services.items():
                        before = (time.perf_counter(), cpu_s(own), server_cpu_s(pid))
                        for number in range(n):
                            cone(base, radius, number)
                        after = (time.perf_counter(), cpu_s(own), server_cpu_s(pid))
                        spent[name].append([1e3 * (b - a) / n for a, b in zip(before, after, strict=True)])
                middle = {name: list(map(statistics.median, zip(*runs, strict=True))) for name, runs in spent.items()}
                for name, each in middle.items():
                    told = " ".join(f"{one:7.1f}" for one in each)
                    print(f"  {radius:5.0f} arcsec {len(ids[name]):6d} rows  {name:11s} {told}")
                assert sum(middle["ztfdb serve"][1:]) < sum(middle["DaCHS"][1:])
