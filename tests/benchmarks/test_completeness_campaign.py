"""Detection probabilities of simulated fields of three densities and of the real quadrant, against another injection.

``pytest -m benchmark tests/benchmarks/test_completeness_campaign.py -s``, 15 minutes; SExtractor's catalogue of the
same images stands beside ours where it is installed.
"""

from __future__ import annotations

import shutil
import time

import numpy as np
import pytest

import ztfdb
from tests.support.injection import own_profile
from tests.support.judging import compared, half_found, injected
from ztfdb.extract.measure import measure_image
from ztfdb.phot.completeness import DetectionModel
from ztfdb.simulate import make_science_image
from ztfdb.store.completeness import detection_models
from ztfdb.store.engine import make_engine, sessions

pytestmark = pytest.mark.benchmark

SHAPE = (1536, 1536)
PASSES, N_REALISATION = 24, 60
"""So many stars that a third of the probabilities is known to 0.01: the model is judged, not the dice."""

DENSITIES = {"sparse": 300, "usual": 2500, "crowded": 9000}
"""Stars of an image; 1,200 to 36,000 on a quadrant. Of the last a tenth of the pixels belong to a source."""

THIRDS = ((0.05, 0.35), (0.35, 0.65), (0.65, 0.95))
BESIDE = shutil.which("source-extractor") is not None


def judged(url, science, passes):
    """The row and the model of an image."""
    with ztfdb.open(url, create=True) as archive:
        report = archive.ingest(science, jobs=1)
        (row,) = archive.measure_completeness(passes=passes).rows
        assert report.failed == 0 and row["failure"] is None
    engine = make_engine(url)
    with sessions(engine)() as session:
        facts, _ = detection_models(session, np.array([row["image_id"]]))[row["image_id"]]
    engine.dispose()
    return row, DetectionModel(**facts)


def told(name, frame, row, model, n_more):
    """Print the comparison; return the differences by part of the stars, and that of the limit."""
    bright = (frame.rms > frame.rms.median()).to_numpy()
    near = (frame.light > 0).to_numpy()
    parts = {f"p {low:.2f} to {high:.2f}": (low, high, None) for low, high in THIRDS}
    parts |= {"all": (0.05, 0.95, None), "brighter sky": (0.05, 0.95, bright), "darker sky": (0.05, 0.95, ~bright)}
    parts |= {"beside sources": (0.05, 0.95, near)}
    print(
        f"\n{name}: {row['n_source']} sources, {model.n_star} artificial stars of the model, {len(frame)} of the other"
    )
    offs = {}
    for words, how in parts.items():
        off, error, n = compared(frame, *how)
        if n >= 400:
            offs[words] = abs(off)
            print(f"  {words:>18}: predicted minus found {off:+.3f} ± {error:.3f} ({n} stars)")
    limits = {who: half_found(frame, who) for who in ("ours", "theirs") if who in frame}
    print(f"  limit50 {row['limit50']:.2f}, found minus predicted {limits['ours']:+.3f} mag", end="")
    print(f"; SExtractor's {limits['theirs']:+.3f} mag" if BESIDE else "")
    for low in np.arange(-0.75, 0.75, 0.25):
        own = frame[(frame.off >= low) & (frame.off < low + 0.25)]
        theirs = f", SExtractor {own.theirs.mean():.2f}" if BESIDE else ""
        print(f"  {low:+.2f} mag: predicted {own.p.mean():.2f}, ztfdb {own.ours.mean():.2f}{theirs}")
    print(f"  false sources: {row['n_false']} of the negative image{n_more}; PSF {row['psf']}")
    return offs, limits["ours"]


@pytest.mark.parametrize("name", DENSITIES)
def test_another_injection_finds_what_the_model_predicts(databases, tmp_path, name):
    seed = list(DENSITIES).index(name)
    sky = {"sky": 220.0, "sky_gradient": (150.0, 0.0)}
    image = make_science_image(tmp_path, n_star=DENSITIES[name], seed=seed, shape=SHAPE, fwhm=2.1, moffat=3.2, **sky)
    url = databases.migrated("sqlite")
    row, model = judged(url, image.sci, PASSES)
    databases.drop(url)
    before = measure_image(image.sci, image.msk)
    images = (image.sci, image.msk)
    frame = injected(
        images,
        before,
        model,
        image.exposure.profile,
        tmp_path,
        n_realisation=N_REALISATION,
        seed=77 + seed,
        beside=BESIDE,
    )
    s, truth = before.sources, image.truth
    apart = np.hypot(s.x[:, None] - truth.x, s.y[:, None] - truth.y).min(axis=1)
    offs, limit = told(name, frame, row, model, f", {(apart > 3).sum()} at no star")
    assert max(offs.values()) <= 0.03
    assert abs(limit) <= 0.05


def test_the_real_quadrant(databases, quadrant, tmp_path):
    url = databases.migrated("sqlite")
    row, model = judged(url, quadrant[0], 6)
    databases.drop(url)
    before = measure_image(*quadrant)
    profile, fwhm, beta = own_profile(before)
    frame = injected(quadrant, before, model, profile, tmp_path, n_realisation=15, seed=5, beside=BESIDE)
    print(f"\nheader MAGLIM {before.info.maglim:.2f}, 5 sigma of the 6 px aperture {model.mag5:.2f}, ", end="")
    print(f"limit50 {row['limit50']:.2f}, limit90 {row['limit90']:.2f}; Moffat of {fwhm:.2f} px, {beta:.2f}")
    for share in (0.1, 0.5, 0.9):
        local = np.quantile(frame.rms, share)
        print(f"  where the sky's rms is {local:.2f} DN (quantile {share}): limit50 {model.limit(0.5, local):.2f}")
    offs, limit = told("the real quadrant", frame, row, model, "")
    assert max(offs.values()) <= 0.03
    assert abs(limit) <= 0.05


def test_the_cost_is_at_most_twice_the_ingest(databases, quadrant):
    """CPU of this process, side by side on the same pixels: `ztfdb ingest`, then `ztfdb completeness`."""
    url = databases.migrated("sqlite")
    ingest, judge = [], []
    with ztfdb.open(url, create=True) as archive:
        for _ in range(3):
            start = time.process_time()
            archive.ingest(quadrant[0], jobs=1, force=True)
            middle = time.process_time()
            assert archive.measure_completeness(again=True).n_failed == 0
            ingest.append(middle - start)
            judge.append(time.process_time() - middle)
    databases.drop(url)
    print(f"\ningest of the quadrant {min(ingest):.2f} s of CPU, artificial stars {min(judge):.2f} s", end="")
    print(f": {min(judge) / min(ingest):.2f} times")
    assert min(judge) <= 2 * min(ingest)
