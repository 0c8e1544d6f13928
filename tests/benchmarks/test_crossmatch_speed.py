"""How fast matches are, side by side with astropy and STILTS, and how fast catalogues come in.

Run with ``pytest -m benchmark tests/benchmarks/test_crossmatch_speed.py -s``; medians are printed and held to the bars.
"""

from __future__ import annotations

import re
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import Table

from tests.support.reference import make_image, open_sessions
from tests.support.tables import mast_columns, object_ids, write_csv
from ztfdb.derive.crossmatch import match_image, remove_matches
from ztfdb.ingest.catalogue_import import import_catalogue
from ztfdb.ingest.commit import commit_image
from ztfdb.schema import Ps1
from ztfdb.sky.cells import sky_to_cell
from ztfdb.sky.match import match_nearest
from ztfdb.store.backends import backend, engine_class
from ztfdb.store.catalogue_import import Growth, record_file
from ztfdb.store.catalogues import get_catalogue, make_catalogue
from ztfdb.store.engine import make_engine, writing

pytestmark = pytest.mark.benchmark

N_ROW = 1_000_000
N_SOURCE = 12_000
ROUNDS = 15
STILTS_ROUNDS = 5
FIELD = {"ra": (250.0, 254.0), "dec": (31.0, 34.0)}
"""A million objects on 10 deg²: PS1's density at middle latitudes."""


def hold_million(maker, rng):
    ra = rng.uniform(*FIELD["ra"], N_ROW)
    dec = np.degrees(np.arcsin(rng.uniform(*np.sin(np.radians(FIELD["dec"])), N_ROW)))
    ids = object_ids(ra, dec)
    order = np.sort(np.unique(ids, return_index=True)[1])
    ids, ra, dec = ids[order], ra[order], dec[order]
    columns = {"ps1_id": ids, "hpx29": sky_to_cell(ra, dec), "ra": ra, "dec": dec}
    columns["photometry"] = np.ones(len(ids), np.int16)
    columns |= {f"{band}_{part}": rng.uniform(14, 22, len(ids)) for band in "grizy" for part in ("mag", "mag_err")}
    with writing(maker) as session:
        catalogue = make_catalogue(session, "ps1")
        backend(session).copy_rows(Ps1.__table__, columns)
        growth = Growth(n_row=len(ids))
        facts = {"path": "ps1.csv", "size": 1, "sha256": "0" * 64, "format": "csv", "layout": "named"}
        record_file(session, catalogue, growth, n_bad=0, **facts)
    return ids, ra, dec


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_one_image_against_a_million_rows(databases, engine):
    rng = np.random.default_rng(1)
    with open_sessions(databases.migrated(engine)) as maker:
        ids, ra, dec = hold_million(maker, rng)
        engine_class(maker.kw["bind"]).settle_table(maker.kw["bind"], Ps1.__table__)
        on_image = np.flatnonzero((abs(ra - 252.0) < 0.51) & (abs(dec - 32.5) < 0.43))
        seen = rng.choice(on_image, 10_000, replace=False)
        sra = np.r_[ra[seen] + rng.normal(0, 3e-5, 10_000), rng.uniform(251.5, 252.5, N_SOURCE - 10_000)]
        sdec = np.r_[dec[seen] + rng.normal(0, 3e-5, 10_000), rng.uniform(32.1, 32.9, N_SOURCE - 10_000)]
        measured = make_image(sra, sdec)
        commit_image(maker, measured)
        seconds, cpu = [], []
        for _ in range(ROUNDS):
            remove_matches(maker, "ps1")
            start, used = time.perf_counter(), time.process_time()
            with writing(maker) as session:
                catalogue = get_catalogue(session, "ps1")
                done = match_image(session, measured.info.image_id, catalogue)
            seconds.append(time.perf_counter() - start)
            cpu.append(time.process_time() - used)
    print(
        f"\n{engine}: {done.n_source} sources, {done.n_reference} of {len(ids)} rows around them, "
        f"{done.n_match} matches stored: median {1e3 * statistics.median(seconds):.0f} ms, "
        f"least {1e3 * min(seconds):.0f} ms, "
        f"own CPU {1e3 * statistics.median(cpu):.0f} ms"
    )
    assert done.n_matched > 10_000 * 0.99
    assert statistics.median(seconds) <= 0.150


def two_catalogues():
    rng = np.random.default_rng(2)
    ra1, dec1 = rng.uniform(0, 360, N_ROW), np.degrees(np.arcsin(rng.uniform(-1, 1, N_ROW)))
    ra2 = (ra1 + rng.normal(0, 0.2, N_ROW) / 3600 / np.cos(np.radians(dec1))) % 360
    dec2 = np.clip(dec1 + rng.normal(0, 0.2, N_ROW) / 3600, -90, 90)
    order = rng.permutation(N_ROW)
    return ra1, dec1, ra2[order], dec2[order]


def test_a_million_against_a_million_beside_astropy(capsys):
    ra1, dec1, ra2, dec2 = two_catalogues()
    ours, theirs = [], []
    for _ in range(3):
        start = time.perf_counter()
        match = match_nearest(ra1, dec1, ra2, dec2, 1.5)
        ours.append(time.perf_counter() - start)
        one, two = SkyCoord(ra1, dec1, unit="deg"), SkyCoord(ra2, dec2, unit="deg")
        start = time.perf_counter()
        index, apart, _ = one.match_to_catalog_sky(two)
        theirs.append(time.perf_counter() - start)
    within = np.flatnonzero(apart <= 1.5 * u.arcsec)
    np.testing.assert_array_equal(match.index1, within)
    np.testing.assert_array_equal(match.index2, index[within])
    ratio = statistics.median(t / o for t, o in zip(theirs, ours, strict=True))
    print(f"\n10^6 x 10^6: ztfdb {min(ours):.2f} s, astropy {min(theirs):.2f} s, {ratio:.1f} times as fast")
    assert ratio >= 2.5


@pytest.mark.skipif(shutil.which("stilts") is None, reason="stilts is not installed")
def test_a_million_against_a_million_beside_stilts(tmp_path):
    """Beside STILTS, which tells its own time in whole seconds only, and reads and writes files, as we do not here.

    Its match is what ``tskymatch2`` takes as a process, less what ``tjoin`` takes, which starts the same Java, reads
    the same two tables and writes the same rows and columns without matching them. The two run in turn, then ours.
    """
    ra1, dec1, ra2, dec2 = two_catalogues()
    number = np.arange(N_ROW)
    for name, ra, dec in (("1", ra1, dec1), ("2", ra2, dec2)):
        Table({"n": number, "ra": ra, "dec": dec}).write(tmp_path / f"{name}.fits")
    files = [f"in1={tmp_path}/1.fits", f"in2={tmp_path}/2.fits"]
    matching = ["tskymatch2", *files, "ra1=ra", "dec1=dec", "ra2=ra", "dec2=dec", "error=1.5", "find=best1"]
    joining = ["tjoin", "nin=2", *files, "fixcols=all"]

    def run(command, out):
        start = time.perf_counter()
        whole = ["stilts", "-Xmx2g", "-verbose", *command, f"out={tmp_path}/{out}.fits"]
        told = subprocess.run(whole, capture_output=True, text=True, check=True).stderr
        return time.perf_counter() - start, told

    rounds = []
    for _ in range(STILTS_ROUNDS):
        joined, _ = run(joining, "joined")
        matched, told = run(matching, "matched")
        start = time.perf_counter()
        match = match_nearest(ra1, dec1, ra2, dec2, 1.5)
        ours = time.perf_counter() - start
        says = re.search(r"Elapsed time for match: (\d+) seconds", told)
        rounds.append((matched - joined, matched, ours))
        print(
            f"\n10^6 x 10^6: ztfdb {ours:.2f} s, STILTS {matched - joined:.1f} s for the match "
            f"({matched:.1f} s in all, {joined:.1f} s without matching; it says {says and says[1]} s): "
            f"{(matched - joined) / ours:.1f} and {matched / ours:.1f} times as fast"
        )
    found = Table.read(tmp_path / "matched.fits")
    order = np.argsort(found["n_1"])
    np.testing.assert_array_equal(match.index1, np.asarray(found["n_1"])[order])
    np.testing.assert_array_equal(match.index2, np.asarray(found["n_2"])[order])
    itself, whole = (statistics.median(values[k] / values[2] for values in rounds) for k in (0, 1))
    print(f"medians: {itself:.1f} for the match, {whole:.1f} in all")
    assert itself >= 5


def test_import_into_postgresql(databases, tmp_path):
    path = write_csv(tmp_path / "ps1.csv", mast_columns(N_ROW, seed=3, **FIELD))
    rates = []
    for _ in range(3):
        engine = make_engine(databases.migrated("postgresql"))
        start = time.perf_counter()
        (done,) = import_catalogue(engine, "ps1", [path])
        rates.append((done.n_row + done.n_known) / (time.perf_counter() - start))
        engine.dispose()
    size = path.stat().st_size / 1e6
    print(f"\nimport of {size:.0f} MB of MAST CSV into PostgreSQL: {', '.join(f'{r:,.0f}' for r in rates)} rows/s")
    assert max(rates) >= 150_000


# VmHWM and not ru_maxrss: that one starts with what the parent used when it forked.
MEMORY = """
import re, sys
from pathlib import Path
from ztfdb.ingest.catalogue_import import import_catalogue
from ztfdb.store.engine import make_engine
(done,) = import_catalogue(make_engine(sys.argv[1]), "ps1", [Path(sys.argv[2])])
peak = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())
print(done.n_row, int(peak[1]) // 1024)
"""


def test_a_file_of_two_gigabytes_stays_small_in_memory(databases, tmp_path):
    part = write_csv(tmp_path / "part.csv", mast_columns(N_ROW, seed=4, **FIELD))
    header, _, rows = part.read_bytes().partition(b"\n")
    path = tmp_path / "big.csv"
    copies = int(np.ceil(2e9 / len(rows)))
    with path.open("wb") as file:
        file.write(header + b"\n")
        for copy in range(copies):  # the same sky under other ids: 1… to 9… in front
            file.write(re.sub(rb"(?m)^1", str(copy % 9 + 1).encode() + str(copy // 9).encode(), rows))
    part.unlink()
    start = time.perf_counter()
    command = [sys.executable, "-c", MEMORY, databases.migrated("postgresql"), str(path)]
    out = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]).stdout
    n_row, peak = map(int, out.split())
    seconds = time.perf_counter() - start
    print(f"\nimport of {path.stat().st_size / 1e9:.2f} GB: {n_row:,} rows in {seconds:.0f} s, at most {peak} MB")
    assert n_row > (copies - 1) * N_ROW * 0.9 and peak < 500
