"""HATS catalogues as others write them: the rows of brute force, or one error that names what is wrong."""

from __future__ import annotations

import http.server
import threading
from functools import partial
from typing import ClassVar

import numpy as np
import pytest

from tests.support.hats_catalogues import collected, write_hats
from ztfdb.errors import CatalogueFileError
from ztfdb.sky.angles import separation
from ztfdb.sky.cells import cone_ranges
from ztfdb.surveys.files import Folder
from ztfdb.surveys.hats import HatsTable
from ztfdb.surveys.registered import RegisteredCatalogue, open_registered

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

PLACES = ((45.0, 0.5), (180.0, 9.6), (123.0, 89.9))
"""The first lies in the partition that begins at cell 0."""

RADIUS = 300.0
DTYPES = {"ra": np.dtype(float), "dec": np.dtype(float), "mag": np.dtype(float)}


@pytest.fixture(scope="module")
def stars():
    rng = np.random.default_rng(3)
    n = 400
    dec = np.concatenate([dec0 + rng.uniform(-0.09, 0.09, n) for _, dec0 in PLACES])
    east = rng.uniform(-0.1, 0.1, len(dec))
    ra = np.mod(np.repeat([ra0 for ra0, _ in PLACES], n) + east / np.cos(np.radians(dec)), 360.0)
    return {"id": rng.permutation(len(ra)) + (1 << 60), "ra": ra, "dec": dec, "mag": rng.uniform(14, 20, len(ra))}


def edited(folder, **values):
    """Change properties of a catalogue; None removes one."""
    path = folder / "hats.properties"
    held = dict(line.split("=", 1) for line in path.read_text().splitlines()[1:])
    held |= values
    path.write_text("".join(f"{key}={value}\n" for key, value in held.items() if value is not None))
    return folder


def partitions(folder):
    return sorted(path for path in (folder / "dataset").rglob("*.parquet"))


def rewritten(folder, change):
    """Write all partitions again after `change` of their tables."""
    for path in partitions(folder):
        pq.write_table(change(pq.read_table(path, partitioning=None)), path)
    return folder


def as_views(table):
    """Texts as string views."""
    return table.set_column(0, "id", table["id"].cast(pa.string()).cast(pa.string_view()))


def assert_complete(location, stars):
    catalogue = RegisteredCatalogue(str(location), "reference")
    catalogue.check()
    assert_same(catalogue, stars, PLACES)


def assert_same(catalogue, stars, places):
    for place in places:
        _, lo, hi = cone_ranges(*(np.array([one]) for one in place), RADIUS)
        rows = catalogue.rows(lo, hi, DTYPES, 0)
        inside = separation(*place, rows["ra"], rows["dec"]) <= RADIUS
        near = separation(*place, stars["ra"], stars["dec"]) <= RADIUS
        order = np.argsort(stars["id"][near])
        assert near.sum() > 100
        np.testing.assert_array_equal(rows["reference_id"][inside], stars["id"][near][order])
        np.testing.assert_allclose(rows["mag"][inside], stars["mag"][near][order])


def write(folder, stars, **how):
    return write_hats(folder, stars, **how)


def index_20(folder, stars, **words):
    return edited(write(folder, stars, index="_healpix_20", index_order=20), **words)


@pytest.mark.parametrize("words", [{}, {"hats_col_healpix": None}, {"hats_col_healpix": "_healpix_20"}])
def test_the_order_of_an_index_may_be_left_to_its_name(stars, tmp_path, words):
    folder = index_20(tmp_path / "rows", stars, hats_col_healpix_order=None, **words)
    assert HatsTable(str(folder)).index == (None if words.get("hats_col_healpix", 1) is None else ("_healpix_20", 20))
    assert_complete(folder, stars)


@pytest.mark.parametrize("order", ["16", "29"])
def test_an_index_of_another_order_than_the_properties_say_is_named(stars, tmp_path, order):
    folder = index_20(tmp_path / "rows", stars, hats_col_healpix_order=order)
    with pytest.raises(CatalogueFileError, match=f"its column _healpix_20 has no HEALPix cells of order {order}"):
        RegisteredCatalogue(str(folder), "reference").check()


@pytest.mark.parametrize("order", ["16", "29"])
def test_statistics_of_an_index_outside_its_partition_are_not_used(stars, tmp_path, order):
    catalogue = RegisteredCatalogue(str(index_20(tmp_path / "rows", stars, hats_col_healpix_order=order)), "reference")
    assert_same(catalogue, stars, PLACES[1:])


def test_texts_as_views_are_read(stars, tmp_path):
    assert_complete(rewritten(write(tmp_path / "rows", stars), as_views), stars)


@pytest.mark.parametrize("ending", [".pq", ".parquet", ".snappy.parquet"])
@pytest.mark.parametrize("listed", [True, False])
def test_files_may_have_any_name(stars, tmp_path, ending, listed):
    folder = edited(write(tmp_path / "files", stars, listed=listed), hats_npix_suffix=ending)
    for path in partitions(folder):
        path.rename(path.with_suffix(ending))
    assert_complete(folder, stars)
    folder = write(tmp_path / "folders", stars, directories=True, listed=listed)
    for path in partitions(folder):
        path.rename(path.with_suffix(ending))
    assert_complete(folder, stars)


def test_a_partition_that_is_listed_twice_counts_once(stars, tmp_path):
    folder = edited(write(tmp_path / "rows", stars), hats_nrows=None)
    pixels = (folder / "partition_info.csv").read_text()
    (folder / "partition_info.csv").write_text("\ufeff" + pixels + pixels.partition("\n")[2], encoding="utf-8")
    assert_complete(folder, stars)
    assert HatsTable(str(folder)).n_row() == len(stars["ra"])


def test_counts_beyond_the_archive_are_not_believed(stars, tmp_path):
    folder = edited(write(tmp_path / "rows", stars), hats_nrows="9" * 30)
    assert HatsTable(str(folder)).n_row() == len(stars["ra"])


def test_ids_that_are_no_integers_are_refused(stars, tmp_path):
    folder = write(tmp_path / "rows", stars | {"id": np.array([f"star {one}" for one in stars["id"]])})
    with pytest.raises(CatalogueFileError, match=r"no row can be read; the first: id is no 64-bit integer"):
        RegisteredCatalogue(str(folder), "reference").check()


def test_a_column_that_a_partition_lacks_is_named_with_its_file(stars, tmp_path):
    folder = rewritten(write(tmp_path / "rows", stars), lambda table: table.drop_columns(["mag"]))
    with pytest.raises(CatalogueFileError, match=r"Npix=\d+\.parquet: has no column mag, which is in the schema"):
        RegisteredCatalogue(str(folder), "reference").check()


def test_partitions_that_overlap_are_refused(stars, tmp_path):
    folder = write(tmp_path / "rows", stars)
    npix = int(HatsTable(str(folder))._npix[-1])
    with (folder / "partition_info.csv").open("a") as file:
        file.write(f"6,{4 * npix + 1}\n")
    with pytest.raises(CatalogueFileError, match=rf"\(5, {npix}\) and \(6, {4 * npix + 1}\) overlap"):
        HatsTable(str(folder))


def test_a_folder_without_files_is_refused(stars, tmp_path):
    folder = write(tmp_path / "rows", stars, directories=True)
    for path in partitions(folder):
        path.unlink()
    with pytest.raises(CatalogueFileError, match=r"Npix=\d+: is a partition without files"):
        RegisteredCatalogue(str(folder), "reference").check()


def test_what_is_no_table_of_positions_is_named(stars, tmp_path):
    folder = write(tmp_path / "rows", stars)
    for kind, words in {
        "margin": "only the rows beside",
        "index": "without rows",
        "association": "without rows",
    }.items():
        with pytest.raises(CatalogueFileError, match=f"of dataproduct_type {kind}, {words}"):
            HatsTable(str(edited(folder, dataproduct_type=kind)))
    (folder / "hats.properties").unlink()
    (folder / "catalog_info.json").write_text('{"catalog_name": "old", "catalog_type": "object"}')
    with pytest.raises(CatalogueFileError, match="is a HiPSCat catalogue, the format before HATS"):
        HatsTable(str(folder))


def test_bounds_of_columns_are_those_of_all_files(stars, tmp_path):
    pmra = np.where(np.arange(len(stars["ra"])) % 3 == 0, np.nan, stars["mag"] - 20.0)
    texts = pa.array([f"{one:.3f}" for one in stars["mag"]])
    folder = write(tmp_path / "rows", stars | {"pmra": pmra, "text": texts, "none": np.full(len(pmra), np.nan)})
    found = HatsTable(str(folder)).extremes(["pmra", "text", "none"])
    assert found[0] == (np.nanmin(pmra), np.nanmax(pmra))
    np.testing.assert_allclose(found[1], (stars["mag"].min(), stars["mag"].max()), atol=5e-4)
    assert np.isnan(found[2]).all()


def test_a_catalogue_is_opened_again_when_its_table_or_its_digest_changes(stars, tmp_path):
    folder = collected(tmp_path, "rows")
    write(folder / "rows", stars)
    first = open_registered(str(folder), "reference", None, None, "a")
    assert open_registered(str(folder), "reference", None, None, "a") is first
    edited(folder / "rows", hats_builder="another")
    second = open_registered(str(folder), "reference", None, None, "a")
    assert second is not first
    assert open_registered(str(folder), "reference", None, None, "b") is not second


# Stores -----------------------------------------------------------------------------------------------------------


class OwnError(Exception):
    """What only one package raises."""

    def __init__(self, status):
        super().__init__(f"answered {status}")
        self.status = status


@pytest.fixture
def store(monkeypatch):
    """A store in memory; a test sets what it answers for some files."""
    fsspec = pytest.importorskip("fsspec")
    from fsspec.implementations.memory import MemoryFileSystem

    class Store(MemoryFileSystem):
        protocol = "faulty"
        store: ClassVar[dict] = {}
        faults: ClassVar[dict] = {}

        @classmethod
        def _strip_protocol(cls, path):
            return "/" + path.removeprefix("faulty://").strip("/")

        def _fault(self, path):
            for part, exc in self.faults.items():
                if part in path:
                    raise exc

        def cat_file(self, path, **kwargs):
            self._fault(path)
            return super().cat_file(path, **kwargs)

        def _open(self, path, *args, **kwargs):
            self._fault(path)
            return super()._open(path, *args, **kwargs)

    fsspec.register_implementation("faulty", Store, clobber=True)
    return Store


def put(store, folder):
    for path in folder.rglob("*"):
        if path.is_file():
            store().pipe_file(f"/{path.relative_to(folder)}", path.read_bytes())


@pytest.mark.parametrize("part", ["properties", "Npix"])
@pytest.mark.parametrize("exc", [OwnError(500), OwnError(401), ValueError("no ranges"), TimeoutError()])
def test_errors_of_any_package_name_the_file(store, stars, tmp_path, part, exc):
    write(tmp_path / "rows", stars)
    put(store, tmp_path)
    assert_complete("faulty://rows", stars)
    store.faults = {part: exc}
    said = str(exc) or "TimeoutError"
    with pytest.raises(CatalogueFileError, match=rf"faulty://rows/.*{part}.*: cannot be read: {said}"):
        RegisteredCatalogue("faulty://rows", "reference").check()


def test_a_forbidden_file_may_be_missing(store, stars, tmp_path):
    """So it is at S3 for readers who may not list the bucket."""
    write(tmp_path / "rows", stars)
    put(store, tmp_path)
    store.faults = {"collection.properties": PermissionError("Forbidden")}
    assert_complete("faulty://rows", stars)
    store.faults = {"properties": OwnError(403)}
    with pytest.raises(CatalogueFileError, match=r"is no HATS catalogue, or reading it is denied: .*answered 403"):
        HatsTable("faulty://rows")


def test_what_fsspec_takes_for_missing_is_told_by_its_cause(store):
    missing = FileNotFoundError("rows/hats.properties")
    store.faults = {"properties": missing}
    for status in (404, 410):
        missing.__cause__ = OwnError(status)
        assert Folder("faulty://rows").text("hats.properties") is None
    missing.__cause__ = OwnError(503)
    with pytest.raises(CatalogueFileError, match="answered 503"):
        Folder("faulty://rows").text("hats.properties")


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Files without ranges, as Python's server has them."""

    def log_message(self, *_):
        pass


def test_a_server_without_ranges_is_named(stars, tmp_path):
    pytest.importorskip("aiohttp")
    write(tmp_path / "rows", stars)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        assert HatsTable(f"{url}/rows").n_row() == len(stars["ra"])
        with pytest.raises(CatalogueFileError, match=r"Npix=\d+\.parquet: cannot be read: .* range requests"):
            RegisteredCatalogue(f"{url}/rows", "reference").check()
        with pytest.raises(CatalogueFileError, match="is no HATS catalogue"):
            HatsTable(f"{url}/none")
        server.shutdown()
