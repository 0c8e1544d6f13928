"""HATS: bytes of an export, and catalogues read in place against LSDB and against the same rows imported."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import text

import ztfdb
from tests.support.archives import Plan, add_image, build_archive
from tests.support.cores import two_at_once
from tests.support.hats_catalogues import write_hats
from tests.support.reference import make_image, open_sessions
from ztfdb.derive.objects import build_objects
from ztfdb.ingest.commit import commit_image
from ztfdb.store.engine import sessions

pq = pytest.importorskip("pyarrow.parquet")

pytestmark = pytest.mark.benchmark

N_ROW = 10_000_000
SIDE = 20.0
"""deg: 25,000 rows a square degree."""

COMPUTED = ("hjd", "mag", "magerr", "flux_ujy", "flux_ujy_err")
"""Columns of an export that the archive does not hold."""


def bytes_of(folder):
    """Compressed bytes by leaf column, and rows."""
    found, n_row = {}, 0
    for path in folder.rglob("Npix=*.parquet"):
        metadata = pq.read_metadata(path)
        n_row += metadata.num_rows
        for group in range(metadata.num_row_groups):
            for column in map(metadata.row_group(group).column, range(metadata.num_columns)):
                found[column.path_in_schema] = found.get(column.path_in_schema, 0) + column.total_compressed_size
    return found, n_row


def test_bytes_of_an_export(tmp_path):
    url = f"sqlite:///{tmp_path / 'a.sqlite'}"
    with ztfdb.open(url, create=True) as archive:
        build_archive(url, Plan(48_000, 66))
        build_objects(sessions(archive._engine))
        archive.export_hats(tmp_path / "hats", products=["detections", "objects"])
    columns, n_row = bytes_of(tmp_path / "hats" / "detections" / "detections_g1")
    held = sum(size for name, size in columns.items() if name not in COMPUTED) / n_row
    size = sum(columns.values()) / n_row
    print(f"{size:.1f} bytes a detection, {held:.1f} without {', '.join(COMPUTED)}")
    columns, _ = bytes_of(tmp_path / "hats" / "objects" / "objects_g1")
    nested = {name: size for name, size in columns.items() if name.startswith("lightcurve.")}
    table = pq.read_table(tmp_path / "hats" / "objects" / "objects_g1" / "dataset", columns=["nepochs"])
    epoch = sum(nested.values()) / int(np.sum(table["nepochs"].to_numpy()))
    print(f"{epoch:.2f} bytes a nested epoch")
    assert size <= 105 and epoch <= 16


BIG = Plan(48_000, 66)
"""3,168,000 detections."""

IMPORT = """
import sys
from pathlib import Path
from dask.distributed import Client
from hats_import import CollectionArguments, pipeline_with_client

if __name__ == "__main__":
    rows, out = map(Path, sys.argv[1:])
    made = CollectionArguments(output_path=out, output_artifact_name="made", progress_bar=False)
    made = made.catalog(
        input_file_list=sorted(rows.glob("*.parquet")), file_reader="parquet", ra_column="ra", dec_column="dec",
        catalog_type="source", pixel_threshold=500_000,
        write_table_kwargs={"compression": "zstd", "compression_level": 3},
    ).add_margin(margin_threshold=10.0, is_default=True)
    with Client(n_workers=1, threads_per_worker=1, dashboard_address=":0") as client:
        pipeline_with_client(made, client)
"""


MEASURE = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
_, status, used = os.wait4(process.pid, 0)
print(os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
"""
"""A small process in between: Linux counts the memory of who starts a process among the peak of that process."""


def run_process(*words):
    """Run a command to its end, and return processor time (s) and peak memory (MB) of it and all it started."""
    command = [sys.executable, "-c", MEASURE, sys.executable, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    code, spent, peak = done.stdout.split()
    assert code == "0", words
    return float(spent), float(peak)


def server_cpu(archive):
    """Processor time (s) of a PostgreSQL server and the processes of it that have ended."""
    with archive._engine.connect() as connection:
        backend = connection.execute(text("select pg_backend_pid()")).scalar_one()
    ticks = os.sysconf("SC_CLK_TCK")
    parent = Path(f"/proc/{backend}/stat").read_text().rpartition(")")[2].split()[1]
    return sum(map(int, Path(f"/proc/{parent}/stat").read_text().rpartition(")")[2].split()[11:15])) / ticks


def export_command(url, folder, *words):
    return ("-m", "ztfdb", "export", "hats", folder, "--db", url, "--products", "detections", *words)


@pytest.mark.parametrize(("database", "bar"), [("sqlite", 0.35), ("postgresql", 0.18)])
def test_an_export_against_an_import_of_the_same_rows(databases, tmp_path, database, bar):
    """Processor time of whole processes, in turn; hats-import gets ready Parquet files, not the database."""
    pytest.importorskip("hats_import")
    url = databases.migrated(database)
    build_archive(url, BIG)
    (tmp_path / "rows").mkdir()
    (tmp_path / "import.py").write_text(IMPORT)
    with ztfdb.open(url) as archive:
        archive.export_hats(tmp_path / "first", products=["detections"])
        table = pq.read_table(tmp_path / "first" / "detections" / "detections_g1" / "dataset").sort_by("source_id")
        table = table.drop_columns(["_healpix_29", "Norder", "Dir"])
        for k in range(8):
            part = table.slice(k * table.num_rows // 8, table.num_rows // 8)
            pq.write_table(part, tmp_path / "rows" / f"{k}.parquet")
        ours, theirs = [], []
        for k in range(2):
            before = server_cpu(archive) if database == "postgresql" else 0.0
            spent, peak = run_process(*export_command(url, tmp_path / f"ours{k}"))
            served = server_cpu(archive) - before if database == "postgresql" else 0.0
            ours.append(spent + served)
            spent_there, peak_there = run_process(tmp_path / "import.py", tmp_path / "rows", tmp_path / f"theirs{k}")
            theirs.append(spent_there)
            print(f"{spent:.1f} + {served:.1f} s, {peak:.0f} MB; hats-import {spent_there:.1f} s, {peak_there:.0f} MB")
    databases.drop(url)
    ratio, each = min(ours) / min(theirs), min(ours) / table.num_rows * 1e6
    print(f"{database}: {table.num_rows} rows, {each:.2f} us of CPU each, ratio {ratio:.2f}")
    assert ratio <= bar


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="two processes need two processors")
def test_two_processes_are_nearly_twice_as_fast(databases, tmp_path):
    url = databases.migrated("sqlite")
    build_archive(url, BIG)
    wall, most = {1: [], 2: []}, []
    for turn in range(5):
        for jobs, times in wall.items():
            start = time.perf_counter()
            run_process(*export_command(url, tmp_path / f"{turn}-{jobs}", "--jobs", jobs))
            times.append(time.perf_counter() - start)
        most.append(two_at_once())
    databases.drop(url)
    ratio = min(wall[1]) / min(wall[2])
    print(
        f"one process {min(wall[1]):.1f} s, two {min(wall[2]):.1f} s: {ratio:.2f} times; two that only compute, in "
        f"turn with them: {', '.join(f'{one:.2f}' for one in most)}"
    )
    assert ratio >= 1.8


def test_memory_does_not_grow_with_the_archive(databases, tmp_path):
    """Rows of ten times the stars, in partitions of the same size; 8 GB of disk."""
    peaks = []
    for factor in (1, 10):
        url = databases.migrated("sqlite")
        build_archive(url, replace(BIG, n_star=factor * BIG.n_star))
        spent, peak = run_process(*export_command(url, tmp_path / "hats"))
        n_row = factor * BIG.n_star * BIG.n_epoch
        print(f"{n_row} rows: {peak:.0f} MB, {spent / n_row * 1e6:.2f} us of CPU a row")
        peaks.append(peak)
        databases.drop(url)
        shutil.rmtree(tmp_path / "hats")
    assert peaks[1] <= 1.2 * peaks[0] and peaks[1] <= 500


def test_a_night_in_folders_against_partitions_written_anew(databases, tmp_path):
    """Processor time of an update and rows that it writes, for one image more among 66 epochs."""
    url = databases.migrated("sqlite")
    stars = build_archive(url, BIG)[0]
    with ztfdb.open(url) as archive:
        for kind in ("file", "directory"):
            archive.export_hats(tmp_path / kind, products=["detections"], layout=kind)
        add_image(sessions(archive._engine), BIG, stars, BIG.n_epoch)
        for kind in ("file", "directory"):
            how = {"products": ["detections"], "update": True}
            spent, done = cpu(partial(archive.export_hats, tmp_path / kind, **how))
            (report,) = done.products
            print(f"{kind}: {report.rows_written} rows written, {spent:.1f} s of CPU")
            written = report.rows_written
    databases.drop(url)
    assert written <= 3 * 12_000


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory):
    rng = np.random.default_rng(1)
    ra = rng.uniform(150.0, 150.0 + SIDE, N_ROW)
    dec = np.degrees(np.arcsin(rng.uniform(0.0, np.sin(np.radians(SIDE)), N_ROW)))
    columns = {"id": np.arange(N_ROW), "ra": ra, "dec": dec, "mag": rng.uniform(14, 21, N_ROW).astype("f4")}
    folder = tmp_path_factory.mktemp("catalogue")
    return write_hats(folder / "rows", columns, order=4, group=100_000), columns


def cpu(work, *words):
    start = time.process_time()
    found = work(*words)
    return time.process_time() - start, found


@pytest.mark.filterwarnings("ignore::Warning")  # of lsdb about its own libraries
def test_a_cone_against_lsdb(catalogue, tmp_path):
    lsdb = pytest.importorskip("lsdb")
    folder, _ = catalogue
    rng = np.random.default_rng(2)
    places = np.column_stack([rng.uniform(151, 169, 24), rng.uniform(1, 19, 24)]).tolist()
    with ztfdb.open(f"sqlite:///{tmp_path / 'a.sqlite'}", create=True) as archive:
        archive.add_catalogue("big", f"hats:{folder}")
        theirs = lsdb.open_catalog(folder, columns="all")

        def ours(ra, dec):
            return archive.catalogue_cone("big", ra, dec, 60.0).reference_id

        def lsdbs(ra, dec):
            return theirs.cone_search(ra=ra, dec=dec, radius_arcsec=60.0).compute()["id"]

        ours(160.0, 10.0), lsdbs(160.0, 10.0)  # imports
        times = {ours: [], lsdbs: []}
        for place in places:
            answers = {}
            for work in (ours, lsdbs):
                spent, answers[work] = cpu(work, *place)
                times[work].append(spent)
            assert set(answers[ours]) == set(answers[lsdbs])
    first, second = (np.median(times[work]) for work in (ours, lsdbs))
    print(f"a cone of 60 arcsec in {N_ROW} rows: {first * 1e3:.1f} ms of CPU, LSDB {second * 1e3:.1f}")
    print(f"ratio {first / second:.2f}")
    assert first <= 0.3 * second


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_a_match_against_the_same_rows_imported(catalogue, databases, tmp_path, database):
    import pyarrow as pa

    folder, columns = catalogue
    url = databases.migrated(database)
    rng = np.random.default_rng(3)
    near = (np.abs(columns["ra"] - 160) < 2) & (np.abs(columns["dec"] - 10) < 2)
    pq.write_table(pa.table({name: values[near] for name, values in columns.items()}), tmp_path / "near.parquet")
    with ztfdb.open(url, create=True) as archive, open_sessions(url) as maker:
        for number in range(6):  # epochs of one field
            inside = np.flatnonzero((np.abs(columns["ra"] - 160) < 0.43) & (np.abs(columns["dec"] - 10) < 0.43))
            picked = rng.choice(inside, 12_000)
            ra = columns["ra"][picked] + rng.normal(0, 0.2 / 3600, len(picked))
            commit_image(maker, make_image(ra, columns["dec"][picked], seed=number, expid=1000 + number))
        archive.import_catalogue("held", tmp_path / "near.parquet")
        archive.add_catalogue("big", f"hats:{folder}")
        spent = {"held": [], "big": []}
        for _ in range(4):
            for name in spent:
                start = time.perf_counter()
                report = archive.crossmatch(name, again=True)
                spent[name].append(time.perf_counter() - start)
                matched = [one.n_match for one in report.images]
                assert matched == [one.n_match for one in archive.crossmatch("held", again=True).images]
    databases.drop(url)
    ratio = min(spent["big"]) / min(spent["held"])
    times = f"{min(spent['big']):.2f} s in place, {min(spent['held']):.2f} s imported"
    print(f"{database}, six images: {times}, ratio {ratio:.2f}")
    assert ratio <= 1.5
