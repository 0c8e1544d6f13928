"""Files of other products: refused, never in an image's place, and mended where an archive suffered from one."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from astropy.io import fits
from sqlalchemy import text

import ztfdb.frame.read
from tests.support.quadrant import real_data
from ztfdb.errors import ProductError
from ztfdb.simulate import make_science_image
from ztfdb.store.engine import make_engine

PRODUCTS = ("scimrefdiffimg", "refcov", "refunc", "refdepth", "diffimgpsf", "sexcat", "rawimg", "log")


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """A science image and the difference image of the same exposure."""
    folder = tmp_path_factory.mktemp("products")
    made = make_science_image(folder, shape=(120, 120), n_star=30, seed=3, mask=False)
    with fits.open(made.sci) as hdus:
        noise = np.random.default_rng(3).normal(0.0, 10.0, hdus[0].data.shape).astype("f4")
        hdus[0].header["CREATED"] = "2030-01-01T00:00:00"
        fits.PrimaryHDU(noise, hdus[0].header).writeto(str(made.sci).replace("sciimg", "scimrefdiffimg"))
    return folder


def real_reports():
    return real_data() / "reports" / "difference"


@pytest.fixture(params=["simulated", "reports"])
def pair(request, tmp_path):
    source = request.getfixturevalue("simulated") if request.param == "simulated" else real_reports()
    folder = tmp_path / "pair"
    folder.mkdir()
    for path in source.iterdir():
        shutil.copyfile(path, folder / path.name)
    (science,) = folder.glob("*sciimg.fits")
    (difference,) = folder.glob("*scimrefdiffimg.fits")
    return science, difference


@pytest.fixture
def engine(engine_url):
    made = make_engine(engine_url)
    yield made
    made.dispose()


def held(engine):
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text("select image_id, n_source, background from image"))]


@pytest.mark.parametrize("reverse", [False, True])
def test_a_difference_image_never_stands_for_the_science_image(archive, engine, pair, reverse):
    report = archive.ingest(sorted(pair, reverse=reverse))
    assert (report.stored, report.failed) == (1, 1)
    assert report.failures[0].error == "ProductError"
    assert "scimrefdiffimg" in report.failures[0].reason
    before = held(engine)
    assert before[0][2] > 100.0
    renamed = pair[1].with_name("later_sciimg.fits")
    shutil.copyfile(pair[1], renamed)  # its pixels tell
    assert archive.ingest([renamed], force=True).failures[0].error == "ProductError"
    assert held(engine) == before
    assert archive.verify().empty


def test_a_glob_and_a_folder_take_the_science_image_alone(archive, pair):
    assert archive.ingest([str(pair[0].parent / "*img.fits*")]).stored == 1
    report = archive.ingest(pair[0].parent)
    assert (report.found, report.unchanged) == (1, 1)
    assert report.left_out == {"a difference image (scimrefdiffimg)": 1}


@pytest.mark.parametrize("product", PRODUCTS)
def test_every_other_product_is_refused_by_name(archive, pair, product):
    other = pair[0].with_name(pair[0].name.replace("sciimg", product))
    shutil.copyfile(pair[0], other)
    report = archive.ingest([other])
    assert (report.found, report.failed) == (1, 1)
    assert product in report.failures[0].reason
    with pytest.raises(ProductError, match=product):
        ztfdb.frame.read.read_frame(other)


def test_an_archive_that_suffered_is_told_so_and_mended(archive, engine, pair, monkeypatch):
    science, difference = pair
    whole = held_after(archive, engine, science)
    archive.remove([image_id for image_id, *_ in whole])
    for name in ("ztfdb.frame.read.other_product", "ztfdb.frame.read.other_content"):
        monkeypatch.setattr(name, lambda *_: None)
    renamed = difference.with_name("star.fits")
    shutil.copyfile(difference, renamed)
    assert archive.ingest([renamed]).stored == 1  # as earlier versions did
    monkeypatch.undo()
    (problem,) = archive.verify()["problem"]
    assert "difference image" in problem
    assert "ingest the science" in problem
    assert archive.ingest([science]).replaced == 1
    assert held(engine) == whole
    assert archive.verify().empty


def held_after(archive, engine, path):
    assert archive.ingest([path]).stored == 1
    return held(engine)


def test_the_name_of_a_stored_file_tells_too(archive, engine, pair):
    assert archive.ingest([pair[0]]).stored == 1
    with engine.begin() as connection:
        connection.execute(text("update image_file set path = replace(path, 'sciimg', 'scimrefdiffimg')"))
    assert any("scimrefdiffimg" in problem for problem in archive.verify()["problem"])
