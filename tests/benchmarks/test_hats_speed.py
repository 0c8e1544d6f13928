"""HATS: bytes of an export, and catalogues read in place against LSDB and against the same rows imported."""

from __future__ import annotations

import time

import numpy as np
import pytest

import ztfdb
from tests.support.archives import Plan, build_archive
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
    print(f"{sum(columns.values()) / n_row:.1f} bytes a detection, {held:.1f} without {', '.join(COMPUTED)}")
    columns, _ = bytes_of(tmp_path / "hats" / "objects" / "objects_g1")
    nested = {name: size for name, size in columns.items() if name.startswith("lightcurve.")}
    table = pq.read_table(tmp_path / "hats" / "objects" / "objects_g1" / "dataset", columns=["nepochs"])
    epoch = sum(nested.values()) / int(np.sum(table["nepochs"].to_numpy()))
    print(f"{epoch:.2f} bytes a nested epoch")
    assert held <= 105 and epoch <= 16


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
