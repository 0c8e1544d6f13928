"""Files of reference catalogues into archives, on both engines."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
from astropy.table import Table
from sqlalchemy import inspect, text

from tests.support.tables import mast_columns, write_csv
from ztfdb.errors import CatalogueFileError
from ztfdb.ingest import catalogue_import
from ztfdb.ingest.catalogue_import import import_catalogue
from ztfdb.store import catalogue_import as filling
from ztfdb.store.catalogues import catalogue_files, coverage, get_catalogue, held_catalogues, remove_catalogue
from ztfdb.store.engine import make_engine, sessions, writing


@pytest.fixture
def engine(engine_url):
    made = make_engine(engine_url)
    yield made
    made.dispose()


def rows(engine, query):
    with engine.connect() as connection:
        return connection.execute(text(query)).all()


def test_mast_mean_table_comes_back_number_for_number(engine, tmp_path):
    columns = mast_columns(5_000)
    (done,) = import_catalogue(engine, "ps1", [write_csv(tmp_path / "ps1.csv", columns)])
    assert (done.layout, done.n_row, done.n_known, done.n_bad) == ("mast-mean", 5_000, 0, 0)
    order = np.argsort(columns["objID"])
    found = rows(
        engine,
        "select ps1_id, ra, dec, n_detection, quality, info_flag, photometry, epoch from ps1 order by ps1_id",
    )
    ids, ra, dec, n_detection, quality, info, photometry, epoch = map(np.array, zip(*found, strict=True))
    np.testing.assert_array_equal(ids, columns["objID"][order])
    np.testing.assert_allclose(ra, columns["raMean"][order], rtol=1e-15)
    np.testing.assert_allclose(dec, columns["decMean"][order], rtol=1e-15)
    np.testing.assert_array_equal(n_detection, columns["nDetections"][order])
    np.testing.assert_array_equal(quality, columns["qualityFlag"][order])
    np.testing.assert_array_equal(info, columns["objInfoFlag"][order])
    assert set(photometry) == {1}
    np.testing.assert_allclose(epoch, 2000 + (columns["epochMean"][order] - 51544.5) / 365.25, rtol=1e-14)
    mags = rows(engine, "select r_mag, i_kron_mag, y_mag, y_mag_err from ps1 order by ps1_id")
    r, kron, y, y_err = (np.array(v, float) for v in zip(*mags, strict=True))
    np.testing.assert_array_equal(r.astype("f4"), columns["rMeanPSFMag"][order].astype("f4"))
    np.testing.assert_array_equal(kron.astype("f4"), columns["iMeanKronMag"][order].astype("f4"))
    absent = columns["yMeanPSFMag"][order] == -999
    assert absent.any() and np.isnan(y[absent]).all() and np.isnan(y_err[absent]).all()
    assert not np.isnan(y[~absent]).any()


def test_the_same_file_twice_adds_nothing(engine, tmp_path):
    path = write_csv(tmp_path / "ps1.csv", mast_columns(300))
    copy = tmp_path / "copy.csv"
    copy.write_bytes(path.read_bytes())
    first, again, other = import_catalogue(engine, "ps1", [path, path, copy])
    assert (first.n_row, again.known, other.known) == (300, True, True)
    with sessions(engine)() as session:
        info = get_catalogue(session, "ps1")
        assert info.n_row == 300 and len(catalogue_files(session, info.catalogue_id)) == 1


def test_overlapping_files_add_each_object_once(engine, tmp_path):
    columns = mast_columns(900)
    parts = [{name: values[part] for name, values in columns.items()} for part in (slice(0, 600), slice(300, 900))]
    paths = [write_csv(tmp_path / f"{k}.csv", part) for k, part in enumerate(parts)]
    first, second = import_catalogue(engine, "ps1", paths)
    assert (first.n_row, second.n_row, second.n_known) == (600, 300, 300)
    with sessions(engine)() as session:
        assert get_catalogue(session, "ps1").n_row == 900
    assert rows(engine, "select count(*) from ps1")[0][0] == 900
    assert rows(engine, "select sum(n_row) from catalogue_cell")[0][0] == 900


def test_an_object_twice_in_one_file_counts_once(engine, tmp_path, monkeypatch):
    monkeypatch.setattr("ztfdb.ingest.readers.text.STRETCH", 20_000)
    columns = mast_columns(500)
    doubled = {name: np.concatenate([values, values[::7]]) for name, values in columns.items()}
    (done,) = import_catalogue(engine, "ps1", [write_csv(tmp_path / "ps1.csv", doubled)])
    assert (done.n_row, done.n_known) == (500, len(columns["objID"][::7]))


def test_bad_rows_are_counted_and_named_with_their_line(engine, tmp_path):
    path = tmp_path / "ps1.csv"
    names = "objID,raMean,decMean,rMeanPSFMag"
    path.write_text(f"{names}\n1,10,5,17\n2,-999,5,17\n3,10,95,17\n4,,5,17\n,10,5,17\n6,abc,5,17\n7,11,5,-999\n")
    (done,) = import_catalogue(engine, "ps1", [path])
    assert (done.n_row, done.n_bad) == (2, 5)
    assert [(row.line, row.reason) for row in done.bad] == [
        (3, "no position"),
        (4, "dec lies outside -90..90 deg"),
        (5, "no position"),
        (6, "objID is no 64-bit integer"),
        (7, "raMean is 'abc', not a number"),
    ]
    assert rows(engine, "select ps1_id, r_mag from ps1 order by ps1_id") == [(1, 17.0), (7, None)]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("a,b\n1,2\n", "none of the layouts"),
        ("objID,raMean,decMean,rMeanPSFMag\nx,y,z,w\nx,y,z,w\n", "no row can be read; the first, line 2"),
        ("just words", "no column names"),
    ],
)
def test_a_file_that_cannot_be_understood_is_refused_before_anything_is_written(engine, tmp_path, content, reason):
    path = tmp_path / "f.csv"
    path.write_text(content)
    with pytest.raises(CatalogueFileError, match=reason):
        import_catalogue(engine, "ps1", [path])
    with sessions(engine)() as session:
        assert held_catalogues(session) == []


def test_a_file_that_breaks_off_leaves_nothing(engine, tmp_path, monkeypatch):
    monkeypatch.setattr("ztfdb.ingest.readers.text.STRETCH", 20_000)
    import gzip

    path = write_csv(tmp_path / "ps1.csv", mast_columns(2_000))
    whole = gzip.compress(path.read_bytes())
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CatalogueFileError, match="end-of-stream"):
        import_catalogue(engine, "ps1", [path])
    assert rows(engine, "select count(*) from ps1")[0][0] == 0


def test_vizier_stack_and_calibrator_layouts_are_recognised(engine, tmp_path):
    h5py = pytest.importorskip("h5py")
    vizier = tmp_path / "vizier.csv"
    vizier.write_text(
        "RAJ2000,DEJ2000,objID,f_objID,Qual,Nd,Epoch,gmag,e_gmag,rmag,e_rmag,rKmag\n1,2,11,1,52,9,56000,18,.01,17,.02,17.1\n"
    )
    stack = tmp_path / "stack.csv"
    stack.write_text(
        "objID,raStack,decStack,primaryDetection,gPSFMag,rPSFMag,rKronMag\n12,3,4,1,19,18,18.2\n12,3,4,0,19,18,18\n"
    )
    record = np.dtype([("ra", "f8"), ("dec", "f8"), *((f"{e}{b}mag", "f4") for b in "griz" for e in ("", "e_"))])
    with h5py.File(tmp_path / "cal.hdf5", "w") as file:
        file["FieldID_000655"] = np.array([(5, 6, 17, 0.1, 16, 0.1, 15, 0.1, 14, 0.1)], record)
    done = import_catalogue(engine, "ps1", [vizier, stack, tmp_path / "cal.hdf5"])
    assert [one.layout for one in done] == ["vizier", "mast-stack", "calibrator"]
    assert [one.n_row for one in done] == [1, 1, 1]
    found = rows(engine, "select ps1_id > 0, photometry, r_mag, r_kron_mag is null from ps1 order by ra")
    assert [tuple(map(float, row)) for row in found] == [(1, 1, 17, 0), (1, 2, 18, 0), (0, 1, 16, 1)]
    again = import_catalogue(engine, "ps1", [tmp_path / "cal.hdf5"])
    assert again[0].known


@pytest.mark.parametrize("suffix", ["csv", "fits", "vot", "parquet"])
def test_gaia_in_each_format(engine, tmp_path, suffix):
    table = Table(
        {
            "Source": np.array([5853498713190525696, 4472832130942575872]),
            "RA_ICRS": [217.39, 269.45],
            "DE_ICRS": [-62.67, 4.74],
            "pmRA": [-3781.74, -801.55],
            "pmDE": [769.47, 10362.39],
            "Gmag": [8.98, 8.19],
        }
    )
    path = tmp_path / f"gaia.{suffix}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if suffix == "parquet":
            table.to_pandas().to_parquet(path)
        else:
            table.write(path, format={"csv": "ascii.csv", "vot": "votable", "fits": "fits"}[suffix])
    import_catalogue(engine, "gaia", [path])
    found = rows(engine, "select gaia_id, epoch, pmdec from gaia order by gaia_id")
    assert [row[0] for row in found] == [4472832130942575872, 5853498713190525696]
    assert [row[1] for row in found] == [2016.0, 2016.0]
    with sessions(engine)() as session:
        info = get_catalogue(session, "gaia")
    assert info.max_pm == pytest.approx(np.hypot(801.55, 10362.39)) and info.n_moving == 2


def test_any_other_table_with_named_columns_and_extra(engine, tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("star,lon,lat,V,kind,n\n7,10.5,-3.25,15.5,RRLyr,3\n8,11.5,-3.5,,,4\n")
    columns = {"id": "star", "ra": "lon", "dec": "lat", "mag": "V"}
    import_catalogue(engine, "variables", [path], columns=columns, extra=("kind", "n"))
    found = rows(engine, "select reference_id, ra, dec, mag, extra from reference_source order by reference_id")
    assert [tuple(row)[:4] for row in found] == [(7, 10.5, -3.25, 15.5), (8, 11.5, -3.5, None)]
    extras = [row[4] if isinstance(row[4], dict) else json.loads(row[4]) for row in found]
    assert extras == [{"kind": "RRLyr", "n": 3}, {"kind": None, "n": 4}]


@pytest.mark.parametrize("form", ["fits", "votable", "ascii.ipac"])
def test_positions_and_motions_are_converted_from_the_units_of_the_file(engine, tmp_path, form):
    path = tmp_path / "mine.tbl"
    table = Table({"id": [1, 2], "coord_ra": [0.5, 6.0], "coord_dec": [-1.5, 1.0], "pm": [0.25, -1.0]})
    table["coord_ra"].unit = table["coord_dec"].unit = "rad"
    table["pm"].unit = "arcsec / yr"
    table.write(path, format=form)
    columns = {"id": "id", "ra": "coord_ra", "dec": "coord_dec", "pmra": "pm", "pmdec": "pm"}
    import_catalogue(engine, "mine", [path], columns=columns)
    found = rows(engine, "select ra, dec, pmra from reference_source order by reference_id")
    wanted = [(np.degrees(0.5), np.degrees(-1.5), 250.0), (np.degrees(6.0), np.degrees(1.0), -1000.0)]
    np.testing.assert_allclose(np.array([tuple(row) for row in found], float), wanted, rtol=1e-14)
    table["coord_ra"].unit = "km"
    table.write(path, format=form, overwrite=True)
    with pytest.raises(CatalogueFileError, match="column coord_ra is in km: expected a unit such as deg"):
        import_catalogue(engine, "mine", [path], columns=columns)


def test_named_columns_that_are_not_there_are_told(engine, tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("star,lon,lat\n7,10.5,-3.25\n")
    with pytest.raises(CatalogueFileError, match="has no column Lon; there are: star, lon, lat"):
        import_catalogue(engine, "mine", [path], columns={"ra": "Lon", "dec": "lat"})
    with pytest.raises(CatalogueFileError, match="rara is no column of a reference catalogue"):
        import_catalogue(engine, "mine", [path], columns={"rara": "lon"})
    with pytest.raises(ValueError, match="cannot be the name"):
        import_catalogue(engine, "drop table", [path])


def test_real_objects_from_alert_packets(engine, shared_data, tmp_path):
    path = shared_data / "ps1" / "ps1_objects_from_alerts.csv"
    names = {"id": "objid", "ra": "ra_from_objid", "dec": "dec_from_objid"}
    (done,) = import_catalogue(engine, "ps1", [path], columns={**names, **{f"{b}_mag": b for b in "griz"}})
    truth = np.genfromtxt(path, delimiter=",", names=True, dtype=None, encoding="utf-8")
    assert done.n_row == len(truth) == 2526 and done.n_bad == 0
    found = rows(engine, "select ps1_id, g_mag from ps1 order by ps1_id")
    order = np.argsort(truth["objid"])
    assert [row[0] for row in found] == truth["objid"][order].tolist()
    g = np.array([row[1] for row in found], float)
    np.testing.assert_array_equal(np.isnan(g), ~(truth["g"][order] > 0))


def test_coverage_counts_the_cells_that_hold_rows(engine, tmp_path):
    import_catalogue(engine, "ps1", [write_csv(tmp_path / "ps1.csv", mast_columns(20_000))])
    with sessions(engine)() as session:
        area = coverage(session, get_catalogue(session, "ps1").catalogue_id)
    # one square degree times cos 33 deg, and cells that it only cuts: a perimeter of 3.7 deg of 0.115 deg cells
    assert 0.84 < area < 0.84 + 3.7 * 0.115 * 1.5


def test_a_removed_catalogue_is_gone_with_its_rows(engine, tmp_path):
    path = write_csv(tmp_path / "ps1.csv", mast_columns(50))
    import_catalogue(engine, "ps1", [path])
    with writing(sessions(engine)) as session:
        assert remove_catalogue(session, get_catalogue(session, "ps1")) == 50
    assert rows(engine, "select count(*) from ps1")[0][0] == 0
    assert rows(engine, "select count(*) from catalogue_cell")[0][0] == 0
    (again,) = import_catalogue(engine, "ps1", [path])
    assert again.n_row == 50


def test_memory_holds_some_blocks_only(engine, tmp_path, monkeypatch):
    monkeypatch.setattr("ztfdb.ingest.readers.text.STRETCH", 10_000)
    alive, most = 0, 0
    real = catalogue_import.part_of

    def counted(*args):
        nonlocal alive, most
        alive += 1
        most = max(most, alive)
        return real(*args)

    def added(*args, **kwargs):
        nonlocal alive
        alive -= 1
        return add(*args, **kwargs)

    add = catalogue_import.add_rows
    monkeypatch.setattr(catalogue_import, "part_of", counted)
    monkeypatch.setattr(catalogue_import, "add_rows", added)
    import_catalogue(engine, "ps1", [write_csv(tmp_path / "ps1.csv", mast_columns(2_000))])
    assert most <= 4  # one being read, one handed over, one waiting, one being stored


def sky_index(engine):
    return [one for one in inspect(engine).get_indexes("ps1") if one["name"].startswith("ix_ps1_sky")]


def key(engine):
    return inspect(engine).get_pk_constraint("ps1")


@pytest.fixture
def dropped(monkeypatch):
    """Whether the index was left out, of each import of any size."""
    monkeypatch.setattr(catalogue_import, "LARGE_FILE", 0)
    answers, drop = [], filling._dropped

    def told(*what):
        answers.append(drop(*what))
        return answers[-1]

    monkeypatch.setattr(filling, "_dropped", told)
    return answers


def test_an_empty_table_is_indexed_after_a_large_file_and_as_it_was_before(engine, tmp_path, dropped):
    path = write_csv(tmp_path / "ps1.csv", mast_columns(3_000))
    before = sky_index(engine)
    assert len(before) == 1
    own_key = key(engine)
    assert own_key["constrained_columns"] == ["ps1_id"]
    (done,) = import_catalogue(engine, "ps1", [path])
    assert (done.n_row, dropped) == (3_000, [True])
    assert sky_index(engine) == before
    assert key(engine) == own_key
    (again,) = import_catalogue(engine, "ps1", [write_csv(tmp_path / "more.csv", mast_columns(100, seed=9))])
    assert dropped == [True, False]  # a table that has rows keeps its index
    assert again.n_row + again.n_known == 100
    assert sky_index(engine) == before


def test_ids_that_come_twice_in_a_large_file_are_held_once(engine, tmp_path, dropped, monkeypatch):
    """Without the key nobody sees that the second block repeats the first; it is found when the key is made."""
    monkeypatch.setattr("ztfdb.ingest.readers.text.STRETCH", 100_000)
    columns = {name: np.concatenate([values, values]) for name, values in mast_columns(2_000).items()}
    own_key, before = key(engine), sky_index(engine)
    (done,) = import_catalogue(engine, "ps1", [write_csv(tmp_path / "twice.csv", columns)])
    assert (done.n_row, done.n_known, done.n_bad) == (2_000, 2_000, 0)
    assert (key(engine), sky_index(engine)) == (own_key, before)
    assert rows(engine, "select count(*), count(distinct ps1_id) from ps1") == [(2_000, 2_000)]


def test_an_import_that_fails_leaves_the_index(engine, tmp_path, dropped):
    before = sky_index(engine)
    columns = mast_columns(50) | {"raMean": np.full(50, 999.0)}
    with pytest.raises(CatalogueFileError):
        import_catalogue(engine, "ps1", [write_csv(tmp_path / "bad.csv", columns)])
    assert dropped == [True]
    assert sky_index(engine) == before


def test_rows_that_come_before_the_lock_are_kept(engine, tmp_path, monkeypatch, dropped):
    """Somebody else's rows may be committed between the first look at the table and its lock."""
    before = sky_index(engine)
    import_catalogue(engine, "ps1", [write_csv(tmp_path / "theirs.csv", mast_columns(300, seed=1))])
    looks, look = [], filling._holds_rows

    def too_early(session, table):
        looks.append(look(session, table))
        return looks[-1] and len(looks) > 1

    monkeypatch.setattr(filling, "_holds_rows", too_early)
    (done,) = import_catalogue(engine, "ps1", [write_csv(tmp_path / "ours.csv", mast_columns(200, seed=2))])
    assert (looks, dropped) == ([True, True], [True, False])
    assert rows(engine, "select count(*) from ps1") == [(300 + done.n_row,)]
    assert done.n_row + done.n_known == 200
    assert (sky_index(engine), key(engine)["constrained_columns"]) == (before, ["ps1_id"])


def test_a_table_in_use_keeps_its_index(databases, tmp_path, monkeypatch, dropped):
    monkeypatch.setattr(filling, "LOCK_WAIT_S", 0.05)
    engine = make_engine(databases.migrated("postgresql"))
    before = sky_index(engine)
    with engine.connect() as reader:
        reader.execute(text("select count(*) from ps1"))  # and the transaction goes on
        (done,) = import_catalogue(engine, "ps1", [write_csv(tmp_path / "ps1.csv", mast_columns(200))])
    assert (done.n_row, dropped) == (200, [False])
    assert sky_index(engine) == before
    engine.dispose()
