"""What a stored image lacks is said by the ingest report, by status and by explain, once for all images."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from click.testing import CliRunner
from sqlalchemy import select, text

import ztfdb
from ztfdb.bits import CAVEAT_WORDS, Caveat
from ztfdb.cli.app import application
from ztfdb.image import ScienceImage
from ztfdb.schema import Image
from ztfdb.simulate import make_science_image
from ztfdb.store.engine import make_engine, sessions
from ztfdb.store.migrate import downgrade, upgrade

RA, DEC = 57.9974, 35.7463


def mask_of(image):
    return Path(str(image).replace("sciimg", "mskimg"))


@pytest.fixture(scope="module")
def lacking(tmp_path_factory):
    """A whole exposure, one without GAIN, one in electrons, four without a mask: a FIFO has the place of the first."""
    folder = tmp_path_factory.mktemp("lacking")
    for k in range(7):
        star = ([RA], [DEC], [16.5])
        make_science_image(
            folder, sky_stars=star, ra=RA, dec=DEC, shape=(64, 72), seed=k, obsmjd=59116.25 + k, mask=k < 3
        )
    images = sorted(folder.glob("*sciimg.fits"))
    with fits.open(images[1], mode="update", memmap=False) as hdus:
        del hdus[0].header["GAIN"]
    fits.setval(images[2], "BUNIT", value="ELECTRONS")
    os.mkfifo(mask_of(images[3]))
    return images


@pytest.fixture
def url(engine_url):
    assert run(engine_url, "init").exit_code == 0
    return engine_url


def run(url, *words):
    return CliRunner().invoke(application, ["--db", url, *words])


def lines_of(words):
    return [line for line in words.splitlines() if any(one in line for one in CAVEAT_WORDS.values())]


def by_time(url, column):
    engine = make_engine(url)
    with sessions(engine)() as session:
        found = session.scalars(select(column).order_by(Image.obsmjd)).all()
    engine.dispose()
    return found


def caveats(url):
    return by_time(url, Image.caveats)


def test_what_images_lack_is_said_once(url, lacking, tmp_path):
    ingested = run(url, "ingest", str(lacking[0].parent))
    assert ingested.exit_code == 0, ingested.output
    assert caveats(url) == [0, 1, 2, 12, 4, 4, 4]
    told = lines_of(ingested.stderr)
    assert told == [
        f"{CAVEAT_WORDS[Caveat.NO_GAIN]}: {lacking[1]}",
        f"{CAVEAT_WORDS[Caveat.OTHER_UNIT]}: {lacking[2]}",
        f"{CAVEAT_WORDS[Caveat.NO_MASK]}: 4 images, {lacking[3]} the first",
        f"{CAVEAT_WORDS[Caveat.MASK_NO_FILE]}: {lacking[3]}",
    ]
    status = lines_of(run(url, "status").stdout)
    expected = [f"lacking   {line}".replace(f"{lacking[0].parent}/", "") for line in told]
    assert [line for line in status if "the first" not in line] == [line for k, line in enumerate(expected) if k != 2]
    assert status[2].startswith(f"lacking   {CAVEAT_WORDS[Caveat.NO_MASK]}: 4 images, ztf_202009")
    with ztfdb.open(url) as archive:
        assert "caveats" not in archive.images(RA, DEC).columns
    for image_id, bits in zip(by_time(url, Image.image_id)[:4], (0, 1, 2, 12), strict=True):
        words = lines_of(run(url, "explain", "source", str(image_id << 18), "--no-measure").stdout)
        assert words == [f"lacking   {CAVEAT_WORDS[one]}" for one in Caveat(bits)]


def test_a_mask_that_comes_late_and_a_folder_in_its_place(url, lacking, tmp_path):
    image = shutil.copy(lacking[0], tmp_path)
    mask = mask_of(image)
    mask.mkdir()
    assert run(url, "ingest", image).exit_code == 0
    assert caveats(url) == [12]
    mask.rmdir()
    shutil.copy(mask_of(lacking[0]), mask)
    again = run(url, "ingest", image)
    assert caveats(url) == [0] and not lines_of(again.stderr)


def test_an_upgrade_finds_what_images_lack(url, lacking):
    run(url, "ingest", str(lacking[0].parent))
    engine = make_engine(url)
    downgrade(engine, "20261128_registered_catalogues")
    upgrade(engine)
    engine.dispose()
    assert caveats(url) == [0, 1, 2, 4, 4, 4, 4]  # what lay in a mask's place then is not known


def test_what_the_sky_of_a_small_cutout_makes_wrong_is_not_good(url, tmp_path):
    flux = 10 ** (0.4 * (26.285 - np.array([14.0, 19.5, 18.5])))
    stars = (14.3 + np.array([0.0, 7.0, -7.5]), 13.6 + np.array([0.0, 6.0, -6.5]), flux)
    image = make_science_image(tmp_path, stars=stars, shape=(28, 28), moffat=2.5, mask=False, seed=3)
    told = lines_of(run(url, "ingest", str(image.sci)).stderr)
    assert told[-1] == f"{CAVEAT_WORDS[Caveat.SKY_BIASED]}: {image.sci}"
    engine = make_engine(url)
    with engine.connect() as connection:
        rows = connection.execute(text("select ra, dec, mag, good from light_curve_point")).all()
    engine.dispose()
    assert len(rows) == 2 and all(row.good == (row.mag < 15) for row in rows)  # the neighbour is not
    empty = ScienceImage(image.sci).pixels_to_coords(23.0, 6.0)
    with ztfdb.open(url) as archive:
        for row in rows:
            assert archive.light_curve(row.ra, row.dec, radius=0.5)["good"].tolist() == [bool(row.good)]
        curve = archive.light_curve(*empty, complete=True)
        assert list(zip(curve["kind"], curve["good"], strict=True)) == [("limit", False)]
