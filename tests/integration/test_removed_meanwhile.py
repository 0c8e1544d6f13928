"""Work on many images, of which another process removes one before it is reached: the others are done."""

from __future__ import annotations

import numpy as np
import pytest

import ztfdb
from tests.support.psfchecks import observe
from tests.support.reference import EXPID, hold, open_sessions, store_image
from ztfdb.derive.calibrate import calibrate
from ztfdb.derive.completeness import measure_completeness
from ztfdb.derive.crossmatch import crossmatch
from ztfdb.derive.psf_checks import check_psf
from ztfdb.ingest.commit import commit_image
from ztfdb.simulate import make_science_image
from ztfdb.store.engine import writing
from ztfdb.store.image_choice import chosen_images
from ztfdb.store.images import delete_image

N_IMAGE = 3


@pytest.fixture
def maker(engine_url):
    with open_sessions(engine_url) as made:
        yield made


def removing(maker, image_id):
    """What is called after each image: after the first one, another goes."""

    def progress(done, total):
        if done == 1:
            with writing(maker) as session:
                delete_image(session, image_id)

    return progress


def left(report_ids, images, gone):
    return sorted(report_ids) == sorted(set(images) - {gone})


def test_matches_and_zero_points_of_the_others_are_made(maker):
    rng = np.random.default_rng(1)
    ra, dec = 10.0 + rng.uniform(0, 0.1, 40), 5.0 + rng.uniform(0, 0.1, 40)
    images = sorted(store_image(maker, ra, dec, expid=EXPID + k) for k in range(N_IMAGE))
    columns = {f"{band}_mag": rng.uniform(15, 18, 40) for band in "gri"}
    hold(maker, "ps1", np.arange(40), ra, dec, **columns)
    found = crossmatch(maker, "ps1", progress=removing(maker, images[1]))
    assert left([one.image_id for one in found.images], images, images[1])
    found = calibrate(maker, progress=removing(maker, images[2]))
    assert {row["image_id"] for row in found.rows} == {images[0]}
    assert found.n_image == 1


def test_checks_of_the_others_are_made(maker, tmp_path):
    images = []
    for number in range(N_IMAGE):
        one = observe(tmp_path, number)
        commit_image(maker, one.measured)
        images.append(one.measured.info.image_id)
    images.sort()
    found = check_psf(maker, again=True, progress=removing(maker, images[1]))
    assert left([row["image_id"] for row in found.rows], images, images[1])


def test_artificial_stars_are_put_into_the_others(maker, engine_url, tmp_path):
    for k in range(N_IMAGE):
        make_science_image(tmp_path, shape=(200, 200), n_star=40, seed=k, obsmjd=58500.2 + 0.01 * k)
    with ztfdb.open(engine_url, create=True) as archive:
        assert archive.ingest(tmp_path, jobs=1).stored == N_IMAGE
    with maker() as session:
        images = chosen_images(session, None)
    found = measure_completeness(maker, progress=removing(maker, images[1]))
    assert left([row["image_id"] for row in found.rows], images, images[1])


def test_a_solution_is_stored_for_those_that_are_left(maker):
    rng = np.random.default_rng(2)
    ra, dec = 10.0 + rng.uniform(0, 0.1, 60), 5.0 + rng.uniform(0, 0.1, 60)
    images = sorted(store_image(maker, ra, dec, expid=EXPID + k) for k in range(N_IMAGE))
    found = calibrate(maker, method="self", progress=removing(maker, images[1]))
    assert left({row["image_id"] for row in found.rows}, images, images[1])
