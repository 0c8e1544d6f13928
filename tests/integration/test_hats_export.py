"""HATS exports: the archive's rows, each once, in order and in its place, the same bytes from both engines."""

from __future__ import annotations

import io
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from click.testing import CliRunner
from sqlalchemy import text

import ztfdb
import ztfdb.hats.files as hats_files
import ztfdb.store.export as store_export
from tests.support.archives import add_image, build_archive, stars_of
from tests.support.hats_exports import (
    PLANS,
    THRESHOLD,
    Killed,
    assert_rounded,
    assert_same_rows,
    catalogue,
    files,
    fill,
    margin_of,
    near_boundary,
    properties,
    read,
    recalibrate,
    remove,
    rows_in,
    rows_of,
    tree,
)
from tests.support.postgres import ENGINES
from ztfdb.cli.app import application
from ztfdb.derive.objects import update_objects
from ztfdb.errors import ExportError
from ztfdb.sky.cells import HPX_ORDER
from ztfdb.store.engine import make_engine, sessions, writing
from ztfdb.store.meta import read_meta

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

OPTIONS = {"threshold": THRESHOLD}
LAST_FILES = ("unfinished.json", "collection.properties", "export.json")
ROUNDED = ("mag", "magerr", "flux_ujy", "flux_ujy_err", "hjd")
TABLES = {"detections": "source", "psf_sources": "psf_source", "forced": "forced_source"}


@dataclass(frozen=True)
class Exported:
    """An archive, and its export."""

    url: str
    folder: Path


@pytest.fixture(scope="module")
def exported(databases, tmp_path_factory):
    """The same archive on both engines, exported once; nobody writes to it."""
    found = {}
    for engine in ENGINES:
        url, folder = databases.migrated(engine), tmp_path_factory.mktemp(engine) / "hats"
        fill(url)
        with ztfdb.open(url) as archive:
            archive.export_hats(folder, **OPTIONS)
        found[engine] = Exported(url, folder)
    yield found
    for one in found.values():
        databases.drop(one.url)


@pytest.fixture(params=ENGINES)
def one(request, exported):
    return exported[request.param]


@pytest.fixture
def fresh(engine_url):
    fill(engine_url)
    return engine_url


@pytest.mark.parametrize("product", TABLES)
def test_every_row_and_column_of_a_table_is_there_once(one, product):
    table = TABLES[product]
    keys = {"forced_source": "hpx29, image_id, method, config_id"}.get(table, "source_id")
    engine = make_engine(one.url)
    with sessions(engine)() as session:
        wanted = rows_of(session, table, keys)
    engine.dispose()
    names = [name.strip().replace("hpx29", "_healpix_29") for name in keys.split(",")]
    got = read(one.folder / product).sort_by([(name, "ascending") for name in names])
    assert got.num_rows == len(wanted["hpx29"]) > 0
    for name, values in wanted.items():
        column = got["_healpix_29" if name == "hpx29" else name]
        single = np.float32 if str(column.type) == "float" else lambda value: value  # psycopg reads the text of a REAL
        found = [None if value is None else single(value) for value in values.tolist()]
        assert column.to_pylist() == found, name  # None for None, integers exactly


@pytest.mark.parametrize("product", ["detections", "objects", "psf_sources", "forced", "images"])
def test_partitions_hold_their_own_rows_in_order_and_no_more_than_wanted(one, product):
    folder = catalogue(one.folder / product)
    for (norder, npix), paths in files(folder).items():
        rows = rows_in(paths)
        cell = rows["_healpix_29"].to_numpy()
        assert (cell >> 2 * (HPX_ORDER - norder) == npix).all()
        assert (np.diff(cell) >= 0).all()
        assert rows.num_rows <= THRESHOLD
        if "nepochs" in rows.column_names:
            assert rows["nepochs"].to_numpy().sum() <= THRESHOLD + 200  # members across the edge count where they lie
    whole = pq.read_metadata(folder / "dataset" / "_metadata").num_rows
    assert whole == int(properties(folder / "hats.properties")["hats_nrows"]) == read(one.folder / product).num_rows


@pytest.mark.slow
@pytest.mark.parametrize("product", ["detections", "objects", "images"])
def test_a_margin_holds_every_row_near_a_partition_and_none_of_its_own(one, product):
    """By brute force: the distance to a partition is that to points along its boundary, some 0.1 arcsec apart."""
    folder, margin = catalogue(one.folder / product), margin_of(one.folder / product)
    assert float(properties(margin / "hats.properties")["hats_margin_threshold"]) == 10.0
    rows = read(one.folder / product)
    key = {"detections": "source_id", "objects": "object_id", "images": "image_id"}[product]
    ra, dec, cell = (rows[name].to_numpy() for name in ("ra", "dec", "_healpix_29"))
    ids, held, n_near = rows[key].to_numpy(), files(margin), 0
    for norder, npix in files(folder):
        own = cell >> 2 * (HPX_ORDER - norder) == npix
        found = rows_in(held[norder, npix]) if (norder, npix) in held else None
        inside = set() if found is None else set(found[key].to_pylist())
        assert not inside & set(ids[own].tolist())
        near = near_boundary(norder, npix, ra, dec, 10.0) & ~own
        n_near += int(near.sum())
        assert set(ids[near].tolist()) <= inside
        if found is not None:
            assert (np.diff(found["_healpix_29"].to_numpy()) >= 0).all()
            far = {int(i) for i in ids[~near_boundary(norder, npix, ra, dec, 130.0)]}
            assert not inside & far
    assert n_near > 0 or product == "images"


def test_both_engines_and_a_second_run_and_two_processes_give_the_same_bytes(exported, tmp_path):
    sqlite, postgresql = (tree(exported[engine].folder) for engine in ENGINES)
    assert sqlite == postgresql
    for jobs, (engine, one) in enumerate(exported.items(), start=1):
        with ztfdb.open(one.url, read_only=True) as archive:
            archive.export_hats(tmp_path / engine, **OPTIONS, jobs=jobs)
        assert tree(tmp_path / engine) == sqlite


def test_calibrated_values_are_those_of_light_curves(one):
    rows = read(one.folder / "detections").to_pandas()
    position = rows.sort_values("source_id").iloc[300]
    with ztfdb.open(one.url) as archive:
        curve = archive.light_curve(position.ra, position.dec, 1.0, all_versions=True).to_pandas()
    assert len(curve) > 2
    mine = rows.set_index("source_id").loc[curve.source_id.astype("int64")]
    assert_rounded(mine, curve)
    assert np.abs(mine.hjd.to_numpy() - curve.hjd.to_numpy()).max() * 86400 <= 0.0104  # steps of 2^-22 d
    for name in ("mjd", "exptime", "limitmag"):
        np.testing.assert_array_equal(mine[name].to_numpy(), curve[name].to_numpy(), err_msg=name)
    assert (mine["good"].to_numpy() == curve["good"].to_numpy(bool)).all()
    assert mine["filtercode"].tolist() == curve["filtercode"].tolist()
    flags = curve["catflags"].astype("float64").to_numpy(na_value=np.nan)
    np.testing.assert_array_equal(mine["catflags"].to_numpy("float64"), flags)


def test_calibrated_values_of_psf_rows_and_forced_rows_are_the_formulas(one):
    """ZTF's PSF magnitudes take MAGZP alone, and so do our own PSF fits; apertures add APCOR4."""
    engine = make_engine(one.url)
    with sessions(engine)() as session:
        psf, forced = (rows_of(session, table, "hpx29, image_id") for table in ("psf_source", "forced_source"))
        images, floor = rows_of(session, "image", "image_id"), float(read_meta(session)["magerr_sys"])
    engine.dispose()

    def of(rows, name):  # NULL becomes NaN; psycopg reads the text of a REAL
        return rows[name].astype("f4" if rows is not images else float).astype(float)

    def ujy(rows, flux, apcor=0.0):
        at = np.searchsorted(images["image_id"].astype(int), rows["image_id"].astype(int))
        return of(rows, flux) * 10 ** (-0.4 * (of(images, "magzp")[at] + (apcor and of(images, apcor)[at]) - 23.9))

    at = np.searchsorted(images["image_id"].astype(int), psf["image_id"].astype(int))
    mag = of(images, "magzp")[at] + of(psf, "mag_inst")
    magerr = np.where(np.isnan(mag), np.nan, np.hypot(of(psf, "sigmag"), floor))
    wanted = {"mag": mag, "magerr": magerr, "flux_ujy": ujy(psf, "flux"), "flux_ujy_err": ujy(psf, "flux_err")}
    keys = [("_healpix_29", "ascending"), ("image_id", "ascending")]
    assert_rounded(read(one.folder / "psf_sources").sort_by(keys).to_pandas(), wanted)
    fitted = of(forced, "method") == 2
    wanted = {
        f"flux_ujy{end}": np.where(fitted, ujy(forced, f"flux_psf{end}"), ujy(forced, f"flux_aper4{end}", "apcor4"))
        for end in ("", "_err")
    }
    found = read(one.folder / "forced").sort_by([*keys, ("method", "ascending")]).to_pandas()
    order = np.lexsort((of(forced, "method"), forced["image_id"].astype(int), forced["hpx29"].astype(int)))
    assert_rounded(found, {name: values[order] for name, values in wanted.items()})


def test_objects_carry_their_members_and_statistics(one):
    rows = read(one.folder / "objects")
    engine = make_engine(one.url)
    with sessions(engine)() as session:
        members = rows_of(session, "object_source", "object_id, source_id")
        statistics = rows_of(session, "object_filter", "object_id, fid")
        objects = rows_of(session, "object", "object_id")
    engine.dispose()
    assert sorted(rows["object_id"].to_pylist()) == objects["object_id"].tolist()
    wanted: dict[int, set[int]] = {}
    for object_id, source_id in zip(members["object_id"].tolist(), members["source_id"].tolist(), strict=True):
        wanted.setdefault(object_id, set()).add(source_id)
    curves = rows["lightcurve"].to_pylist()
    for object_id, curve, n in zip(rows["object_id"].to_pylist(), curves, rows["nepochs"].to_pylist(), strict=True):
        assert set(curve["source_id"]) == wanted[object_id]
        assert n == len(curve["source_id"]) == len(wanted[object_id])
        assert curve["mjd"] == sorted(curve["mjd"])
    by_id = {object_id: k for k, object_id in enumerate(rows["object_id"].to_pylist())}
    for k in range(len(statistics["object_id"])):
        code, at = {1: "zg", 2: "zr", 3: "zi"}[int(statistics["fid"][k])], by_id[int(statistics["object_id"][k])]
        for name in ("n", "first_mjd", "median_mag", "chi2"):
            assert rows[f"{code}_{name}"][at].as_py() == statistics[name][k]


def test_the_index_names_the_partition_of_every_object(one):
    collection = one.folder / "objects"
    column, folder = properties(collection / "collection.properties")["all_indexes"].split()
    assert column == "object_id"
    index = pq.read_table(collection / folder / "dataset" / "index" / "part.0.parquet", partitioning=None).to_pylist()
    assert [row["object_id"] for row in index] == sorted(row["object_id"] for row in index)
    held = {
        pixel: set(rows_in(paths)["object_id"].to_pylist()) for pixel, paths in files(catalogue(collection)).items()
    }
    assert sum(map(len, held.values())) == len(index)
    assert all(row["object_id"] in held[row["Norder"], row["Npix"]] for row in index)


def test_fields_say_unit_ucd_and_description(one):
    schema = pq.read_schema(catalogue(one.folder / "detections") / "dataset" / "_common_metadata")
    assert b"IVOA.VOTable-Parquet.content" in schema.metadata
    assert schema.field("ra").metadata[b"unit"] == b"deg"
    assert schema.field("ra").metadata[b"ucd"].startswith(b"pos.eq.ra")
    assert all(field.metadata and field.metadata.get(b"description") for field in schema)
    for name in ROUNDED:
        assert b"Rounded: off by at most" in schema.field(name).metadata[b"description"]
    assert not any(b"Rounded" in field.metadata[b"description"] for field in schema if field.name not in ROUNDED)


@pytest.mark.parametrize("product", ["detections", "objects", "psf_sources", "forced", "images"])
def test_the_votable_of_a_catalogue_has_its_columns(one, product):
    from astropy.io.votable import parse, validate

    folder = catalogue(one.folder / product)
    schema = pq.read_schema(folder / "dataset" / "_common_metadata")
    content = schema.metadata[b"IVOA.VOTable-Parquet.content"]
    table = parse(io.BytesIO(content), verify="exception").get_first_table()
    assert validate(io.BytesIO(content), io.StringIO(), filename=product)
    assert table.name == product
    plain = [field for field in schema if not pa.types.is_struct(field.type)]
    assert [column.name for column in table.fields] == [field.name for field in plain]
    kinds = {"int16": "short", "int32": "int", "int64": "long", "float": "float", "double": "double", "bool": "boolean",
             "string": "char"}  # fmt: skip
    written = ElementTree.fromstring(content).iter("{http://www.ivoa.net/xml/VOTable/v1.3}FIELD")
    for column, field in zip(written, plain, strict=True):
        words = {key.decode(): text.decode() for key, text in field.metadata.items()}
        assert column.get("datatype") == kinds[str(field.type)]
        assert [column.get(name) for name in ("ucd", "unit")] == [words.get(name) for name in ("ucd", "unit")]
        assert column[0].text == words["description"]


@pytest.mark.slow
def test_an_update_writes_what_has_changed_and_gives_the_rows_of_a_whole_export(fresh, tmp_path):
    folder = tmp_path / "hats"
    engine = make_engine(fresh)
    maker = sessions(engine)
    with ztfdb.open(fresh) as archive:
        archive.export_hats(folder, **OPTIONS)
        steps = {
            "an image more": lambda: add_image(maker, PLANS[1], stars_of(PLANS[1]), 150),
            "another less, one with other infobits": lambda: (remove(maker, PLANS[0]), recalibrate(maker)),
            "objects brought up to date": lambda: update_objects(maker),
        }
        for number, step in enumerate(steps.values()):
            before = {path.stat().st_ino for path in folder.rglob("Npix=*.parquet")}
            step()
            report = archive.export_hats(folder, update=True)
            whole = tmp_path / str(number)
            archive.export_hats(whole, **OPTIONS)
            for product in ("detections", "objects", "psf_sources", "forced", "images"):
                assert_same_rows(folder / product, whole / product)
            done = report.products[0]
            assert 0 < done.n_written < done.n_partition
            kept = [path.stat().st_ino in before for (path,) in files(catalogue(folder / "detections")).values()]
            assert sum(kept) == done.n_partition - done.n_written
        assert all(one.n_written == 0 for one in archive.export_hats(folder, update=True).products)
    engine.dispose()


def test_members_are_looked_up_once_and_not_at_all_if_nothing_has_changed(exported, tmp_path, monkeypatch):
    one, counted, real = exported["sqlite"], [], store_export.member_counts

    def counting(session, lo, hi, n_row, **options):
        counted.append(lo)
        return real(session, lo, hi, n_row, **options)

    monkeypatch.setattr(store_export, "member_counts", counting)
    with ztfdb.open(one.url, read_only=True) as archive:
        archive.export_hats(tmp_path, **OPTIONS)
        assert len(counted) == len(set(counted)) > 0
        state = tmp_path / "objects" / "export.json"
        for earlier in (False, True):
            counted.clear()
            if earlier:  # as a version without stamps wrote it
                state.write_text(json.dumps({**json.loads(state.read_text()), "stamp": ""}))
            report = archive.export_hats(tmp_path, update=True)
            assert bool(counted) == earlier and all(part.n_written == 0 for part in report.products)
        (tmp_path / "detections" / "collection.properties").unlink()
        archive.export_hats(tmp_path, update=True)
    assert tree(catalogue(tmp_path / "detections")) == tree(catalogue(one.folder / "detections"))


def test_a_file_that_was_moved_is_exported_at_its_place(fresh, tmp_path):
    engine = make_engine(fresh)
    with ztfdb.open(fresh) as archive:
        archive.export_hats(tmp_path / "hats", **OPTIONS)
        with writing(sessions(engine)) as session:
            where = "where image_id = (select min(image_id) from image)"
            session.execute(text(f"update image_file set path = 'elsewhere/' || path {where}"))
        report = archive.export_hats(tmp_path / "hats", update=True)
        archive.export_hats(tmp_path / "whole", **OPTIONS)
    engine.dispose()
    assert {one.name for one in report.products if one.n_written} == {"images"}
    assert_same_rows(tmp_path / "hats" / "images", tmp_path / "whole" / "images")


def test_statistics_that_alone_have_changed_are_exported(fresh, tmp_path):
    """An image is calibrated anew and exported, and only then objects are brought up to date."""
    engine = make_engine(fresh)
    maker = sessions(engine)
    with ztfdb.open(fresh) as archive:
        archive.export_hats(tmp_path / "hats", **OPTIONS)
        with writing(maker) as session:
            session.execute(text("update image set magzp = magzp + 0.1 where field = 402"))
        archive.export_hats(tmp_path / "hats", update=True)
        update_objects(maker)
        archive.export_hats(tmp_path / "hats", update=True)
        archive.export_hats(tmp_path / "whole", **OPTIONS)
        assert all(one.n_written == 0 for one in archive.export_hats(tmp_path / "hats", update=True).products)
    engine.dispose()
    for product in ("detections", "objects"):
        assert_same_rows(tmp_path / "hats" / product, tmp_path / "whole" / product)


def test_a_partition_that_outgrows_the_threshold_is_split(fresh, tmp_path):
    engine = make_engine(fresh)
    maker = sessions(engine)
    with ztfdb.open(fresh) as archive:
        archive.export_hats(tmp_path, products=["detections"], **OPTIONS)
        before = set(files(catalogue(tmp_path / "detections")))
        for epoch in range(400, 404):
            add_image(maker, PLANS[0], stars_of(PLANS[0]), epoch)
        archive.export_hats(tmp_path, products=["detections"], update=True)
        after = set(files(catalogue(tmp_path / "detections")))
    engine.dispose()
    gone = before - after
    assert gone
    assert all(any((k > norder and n >> 2 * (k - norder) == npix) for k, n in after) for norder, npix in gone)


def test_a_run_killed_at_any_write_goes_on_to_the_same_bytes(exported, tmp_path, monkeypatch):
    """Killed before or after the rename that makes a file appear; the last files of a product are all tried."""
    one, real, renamed, stop = exported["sqlite"], Path.replace, [], {"at": -1, "after": False}
    options = {**OPTIONS, "products": ["objects", "images"]}

    def counted(path, target):
        renamed.append(Path(target).name)
        killed = len(renamed) == stop["at"]
        if killed and not stop["after"]:
            raise Killed
        done = real(path, target)
        if killed:
            raise Killed
        return done

    monkeypatch.setattr(hats_files.Path, "replace", counted)
    with ztfdb.open(one.url, read_only=True) as archive:
        archive.export_hats(tmp_path / "whole", **options)
        n_write = len(renamed)
        last = [k for k, name in enumerate(renamed, start=1) if name in LAST_FILES]
        assert n_write > 20
        assert len(last) == 6  # of two products
        for at, after in [(2, False), *((k, after) for k in last for after in (False, True)), (n_write // 2, True)]:
            folder = tmp_path / f"stopped{at}{after}"
            renamed.clear()
            stop |= {"at": at, "after": after}
            with pytest.raises(Killed):
                archive.export_hats(folder, **options)
            stop["at"] = -1
            archive.export_hats(folder, **options)
            assert tree(folder) == tree(tmp_path / "whole")


def first_file(folder: Path) -> Path:
    return min((folder / "dataset").rglob("Npix=*.parquet"))


DAMAGE = {
    "a partition is gone": lambda d: first_file(catalogue(d)).unlink(),
    "a partition is cut": lambda d: os.truncate(first_file(catalogue(d)), 100),
    "a margin is gone": lambda d: first_file(margin_of(d)).unlink(),
    "the margins are gone": lambda d: shutil.rmtree(margin_of(d)),
    "the catalogue is gone": lambda d: shutil.rmtree(catalogue(d)),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_an_update_writes_the_files_again_that_are_gone(exported, tmp_path, damage):
    one, folder = exported["sqlite"], tmp_path / "hats"
    shutil.copytree(one.folder, folder)
    mine, whole = folder / "detections", one.folder / "detections"
    damage(mine)
    with ztfdb.open(one.url, read_only=True) as archive:
        (done,) = archive.export_hats(folder, update=True, products=["detections"]).products
    assert done.n_written >= 1 and done.generation == 2
    assert tree(catalogue(mine) / "dataset") == tree(catalogue(whole) / "dataset")
    assert tree(margin_of(mine) / "dataset") == tree(margin_of(whole) / "dataset")


SMALL_FILES = {
    "objects": ["collection.properties", "*_g1/hats.properties", "objects_object_id_g1/dataset/index/part.0.parquet"],
    "images": ["images_g1/partition_info.csv", "images_10arcs_g1/dataset/_common_metadata"],
}


@pytest.mark.parametrize("product", SMALL_FILES)
def test_an_update_writes_the_small_files_again_that_are_gone_or_point_elsewhere(exported, tmp_path, product):
    one = exported["sqlite"]
    shutil.copytree(one.folder / product, tmp_path / product)
    mine, whole = tmp_path / product, tree(one.folder / product)
    with ztfdb.open(one.url, read_only=True) as archive:
        for pattern in SMALL_FILES[product]:
            for path in [*mine.glob(pattern)]:
                path.unlink()
            archive.export_hats(tmp_path, update=True, products=[product])
            assert tree(mine) == whole, pattern
        collection = mine / "collection.properties"
        collection.write_text("obs_collection=mine\nhats_primary_table_url=images_g7\n")
        archive.export_hats(tmp_path, update=True, products=[product])
        assert tree(mine) == whole


def test_a_stopped_run_whose_files_are_gone_begins_again(exported, tmp_path, monkeypatch):
    one, real, left = exported["sqlite"], Path.replace, [6]
    options = {**OPTIONS, "products": ["images"]}

    def counted(path, target):
        left[0] -= 1
        if not left[0]:
            raise Killed
        return real(path, target)

    with ztfdb.open(one.url, read_only=True) as archive:
        archive.export_hats(tmp_path / "whole", **options)
        monkeypatch.setattr(hats_files.Path, "replace", counted)
        with pytest.raises(Killed):
            archive.export_hats(tmp_path / "hats", **options)
        work = tmp_path / "hats" / "images" / "work_g1"
        assert list((work / "finished").iterdir())
        shutil.rmtree(tmp_path / "hats" / "images" / "images_g1")
        archive.export_hats(tmp_path / "hats", **options)
    assert tree(tmp_path / "hats") == tree(tmp_path / "whole")


def test_a_stopped_run_whose_rows_for_margins_are_gone_begins_again(exported, tmp_path, monkeypatch):
    from ztfdb.hats.tasks import WriteMargin

    one, real = exported["sqlite"], WriteMargin.run
    options = {**OPTIONS, "products": ["detections"]}

    def killed(self, session, context):
        raise Killed

    with ztfdb.open(one.url, read_only=True) as archive:
        archive.export_hats(tmp_path / "whole", **options)
        monkeypatch.setattr(WriteMargin, "run", killed)
        with pytest.raises(Killed):
            archive.export_hats(tmp_path / "hats", **options)
        monkeypatch.setattr(WriteMargin, "run", real)
        spilled = sorted((tmp_path / "hats" / "detections" / "work_g1" / "spill").iterdir())
        assert len(spilled) > 1
        spilled[0].unlink()
        archive.export_hats(tmp_path / "hats", **options)
    assert tree(tmp_path / "hats") == tree(tmp_path / "whole")


def test_folders_of_others_stay(exported, tmp_path):
    one, names = exported["sqlite"], ("notes_g0", "backup_g1", "detections_mine_g1", "my_images_g2", "images_g1x")
    for name in names:
        (tmp_path / "images" / name).mkdir(parents=True)
    with ztfdb.open(one.url, read_only=True) as archive:
        for _ in range(3):
            archive.export_hats(tmp_path, products=["images"])
    held = {path.name for path in (tmp_path / "images").iterdir() if path.is_dir()}
    assert held == {*names, "images_g2", "images_10arcs_g2", "images_g3", "images_10arcs_g3"}


def test_states_that_are_no_states_are_named(exported, tmp_path):
    one, state = exported["sqlite"], tmp_path / "images" / "export.json"
    with ztfdb.open(one.url, read_only=True) as archive:
        archive.export_hats(tmp_path, products=["images"])
        known = json.loads(state.read_text())
        for wrong in ("", "[]", json.dumps({**known, "generation": "two"}), json.dumps({**known, "partitions": 5})):
            state.write_text(wrong)
            with pytest.raises(ExportError, match=r"export\.json is not the state of an export .*: remove the folder"):
                archive.export_hats(tmp_path, products=["images"])
        state.write_text(json.dumps(known))
        for wrong in ("{", "[1]"):
            (tmp_path / "unfinished.json").write_text(wrong)
            archive.export_hats(tmp_path, products=["images"])
            assert not (tmp_path / "unfinished.json").exists()


def test_two_exports_into_one_folder_are_refused(one, tmp_path):
    from ztfdb.hats.remote import open_place

    with (
        ztfdb.open(one.url, read_only=True) as archive,
        open_place(tmp_path).alone(),
        pytest.raises(ExportError, match="another"),
    ):
        archive.export_hats(tmp_path)


def test_an_update_of_nothing_and_other_settings_are_refused(one, tmp_path):
    with ztfdb.open(one.url, read_only=True) as archive:
        with pytest.raises(ExportError, match="leave --update away"):
            archive.export_hats(tmp_path, update=True)
        archive.export_hats(tmp_path, products=["images"], margin=5.0)
        with pytest.raises(ExportError, match="margin of 5"):
            archive.export_hats(tmp_path, update=True, margin=10.0)
        with pytest.raises(ValueError, match="products are"):
            archive.export_hats(tmp_path, products=["stars"])
        with pytest.raises(ValueError, match="products are"):
            archive.export_hats(tmp_path, products=[])


def test_an_empty_archive_exports_nothing_and_says_so(engine_url, tmp_path):
    build_archive(engine_url)
    with ztfdb.open(engine_url) as archive:
        assert "empty" in str(archive.export_hats(tmp_path))
        archive.export_hats(tmp_path, products=["detections", "objects"])
    assert files(catalogue(tmp_path / "detections")) == {}
    assert pq.read_metadata(catalogue(tmp_path / "objects") / "dataset" / "_metadata").num_rows == 0


def test_the_command_reports_what_it_did(one, tmp_path):
    runner = CliRunner()
    args = ["export", "hats", str(tmp_path), "--db", one.url, "--products", "images,detections", "--threshold", "600"]
    done = runner.invoke(application, args)
    assert done.exit_code == 0, done.stderr
    assert "detections:" in done.stderr
    assert done.stdout == ""
    again = runner.invoke(application, ["export", "hats", str(tmp_path), "--db", one.url, "--update"])
    assert again.exit_code == 0
    wrong = runner.invoke(application, ["export", "hats", str(tmp_path), "--db", one.url, "--products", "stars"])
    assert wrong.exit_code == 2
    assert "detections" in wrong.stderr


def test_a_reader_of_a_generation_keeps_its_files_while_the_next_is_made(fresh, tmp_path):
    engine = make_engine(fresh)
    with ztfdb.open(fresh) as archive:
        archive.export_hats(tmp_path, products=["detections"], **OPTIONS)
        opened = files(catalogue(tmp_path / "detections"))
        recalibrate(sessions(engine))
        archive.export_hats(tmp_path, products=["detections"], update=True)
        assert all(path.exists() for (path,) in opened.values())
        state = json.loads((tmp_path / "detections" / "export.json").read_text())
        assert state["generation"] == 2
        assert not list((tmp_path / "detections").glob("work_*"))
    engine.dispose()


def test_values_that_no_two_rows_share_have_no_dictionary(one):
    path = next((catalogue(one.folder / "detections") / "dataset").rglob("Npix=*.parquet"))
    group = pq.read_metadata(path).row_group(0)
    encodings = {column.path_in_schema: column.encodings for column in map(group.column, range(group.num_columns))}
    assert set(encodings["source_id"]) == {"PLAIN", "RLE"}  # RLE holds the levels of NULLs
    assert "BYTE_STREAM_SPLIT" in encodings["x"] and "DELTA_BINARY_PACKED" in encodings["_healpix_29"]
    for name in ("image_id", "hjd"):
        assert {"RLE_DICTIONARY", "PLAIN_DICTIONARY"} & set(encodings[name]), name
