"""HATS exports with magnitudes of other calibrations than the header's."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner
from sqlalchemy import text

import ztfdb
from tests.support.hats_exports import assert_rounded, catalogue, properties, read, tree
from tests.support.postgres import ENGINES
from tests.support.reference import open_sessions, store_image
from tests.support.surveys import make_survey, store_survey
from ztfdb.cli.app import application
from ztfdb.derive.objects import build_objects
from ztfdb.errors import ExportError

pytest.importorskip("pyarrow.parquet")

N_IMAGE = 12


@pytest.fixture(scope="module")
def made():
    return make_survey(N_IMAGE, 300, seed=2, variable=0.0, flat=0.01)


def fill(url, made):
    """A survey calibrated by its own stars, an image that has no such zero point, and objects."""
    with ztfdb.open(url, create=True) as archive, open_sessions(url) as maker:
        store_survey(maker, *made)
        lonely = store_image(maker, [20.0, 20.1], [5.0, 5.1], expid=8, rcid=9)
        archive.calibrate(method="self")
        build_objects(maker)
    return lonely


def seen(url):
    """What the view of self-calibrated epochs says, which SQL computes, by ``source_id``."""
    columns = "source_id, mag, magerr, image_id, flux_err, flux"
    with open_sessions(url) as maker, maker() as session:
        rows = session.execute(text(f"select {columns} from self_light_curve_point order by source_id")).mappings()
        return {name: np.array([row[name] for row in found], float if name != "source_id" else int)
                for found in [rows.all()] for name in found[0]}  # fmt: skip


@pytest.fixture(scope="module")
def exported(databases, made, tmp_path_factory):
    found = {}
    for engine in ENGINES:
        url, folder = databases.migrated(engine), tmp_path_factory.mktemp(engine) / "hats"
        lonely = fill(url, made)
        with ztfdb.open(url) as archive:
            archive.export_hats(folder, calibration="self", threshold=1000)
        found[engine] = url, folder, lonely
    yield found
    for url, _, _ in found.values():
        databases.drop(url)


@pytest.fixture(params=ENGINES)
def one(request, exported):
    return exported[request.param]


def in_microjansky(view):
    """The flux densities of the view's magnitudes: the flux is the same in both."""
    scale = 10 ** (-0.4 * (view["mag"] + 2.5 * np.log10(view["flux"]) - 23.9))
    return view | {"flux_ujy": view["flux"] * scale, "flux_ujy_err": view["flux_err"] * scale}


def test_detections_have_the_magnitudes_of_the_view_at_their_place_on_the_image(one):
    url, folder, lonely = one
    rows = read(folder / "detections").sort_by("source_id").to_pandas()
    mine = rows[rows.image_id != lonely]
    view = in_microjansky(seen(url))
    np.testing.assert_array_equal(mine.source_id, view["source_id"])
    assert_rounded(mine, view)
    without = rows[rows.image_id == lonely]
    assert len(without) == 2 and without[["mag", "magerr", "flux_ujy", "flux_ujy_err"]].isna().all(axis=None)
    with ztfdb.open(url) as archive:
        first = mine.iloc[40]
        curve = archive.light_curve(first.ra, first.dec, calibration="self").data
        header = archive.light_curve(first.ra, first.dec).data
    assert_rounded(mine.set_index("source_id").loc[curve.source_id.astype("int64")], curve)
    assert np.nanmedian(np.abs(curve.mag - header.mag)) > 0.01  # of another calibration indeed


def test_nested_light_curves_have_them_too(one):
    url, folder, _ = one
    view = in_microjansky(seen(url))
    curves = read(folder / "objects")["lightcurve"].combine_chunks()
    epochs = {name: curves.field(name).flatten().to_numpy(zero_copy_only=False)
              for name in ("source_id", "mag", "magerr", "flux_ujy", "flux_ujy_err")}  # fmt: skip
    at = np.searchsorted(view["source_id"], epochs["source_id"])
    held = view["source_id"][np.minimum(at, len(view["source_id"]) - 1)] == epochs["source_id"]
    assert held.sum() == len(view["source_id"]) > 500 and len(held) == held.sum() + 2  # the image without a zero point
    assert_rounded({name: v[held] for name, v in epochs.items()}, {name: v[at[held]] for name, v in view.items()})


def test_a_catalogue_says_whose_zero_points_it_has_and_both_engines_say_the_same(exported):
    for _, folder, _ in exported.values():
        for product in ("detections", "objects"):
            assert properties(catalogue(folder / product) / "hats.properties")["ztfdb_calibration"] == "self"
    first, second = (tree(folder) for _, folder, _ in exported.values())
    assert first == second


def test_an_update_writes_what_was_calibrated_anew_and_keeps_the_calibration(databases, made, tmp_path):
    url = databases.migrated("sqlite")
    fill(url, made)
    with ztfdb.open(url) as archive:
        options = {"products": ["detections"]}
        archive.export_hats(tmp_path, calibration="self", threshold=100, **options)
        assert archive.export_hats(tmp_path, update=True, **options).products[0].n_written == 0
        with pytest.raises(ExportError, match="calibrated by 'self'"):
            archive.export_hats(tmp_path, update=True, calibration="ps1")
        with open_sessions(url) as maker, maker.begin() as session:  # a term that is no zero point
            chosen = "(select min(image_id) from calibration where method = 'self' and zeropoint is not null)"
            changed = f"set x_gradient = x_gradient + 0.25 where method = 'self' and image_id = {chosen}"
            session.execute(text(f"update calibration {changed}"))
        (report,) = archive.export_hats(tmp_path, update=True, **options).products
        assert 0 < report.n_written < report.n_partition
    rows = read(tmp_path / "detections").sort_by("source_id").to_pandas()
    assert_rounded(rows[rows.mag.notna()], in_microjansky(seen(url)))
    databases.drop(url)


def test_the_command_takes_it_and_what_is_none_is_refused(one, tmp_path):
    url, folder, _ = one
    words = ["export", "hats", str(tmp_path / "again"), "--db", url, "--calibration", "self", "--threshold", "1000"]
    done = CliRunner().invoke(application, words)
    assert done.exit_code == 0, done.stderr
    assert tree(tmp_path / "again") == tree(folder)
    wrong = CliRunner().invoke(application, [*words[:-3], "gaia", *words[-2:]])
    assert wrong.exit_code == 2 and "self" in wrong.stderr
    with ztfdb.open(url) as archive, pytest.raises(ValueError, match="'gaia' is none of header, ps1, self"):
        archive.export_hats(tmp_path / "other", calibration="gaia")
