"""ReferenceImage: the same methods, its mask from NaN, coverage or uncertainty."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from ztfdb import image
from ztfdb.errors import MaskError
from ztfdb.simulate import make_science_image

NAME = "ztf_000655_zr_c13_q3_{}.fits"


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    """A reference-like file: 300 px, a corner of NaN, GLOBMED and NFRAMES, with coverage and uncertainty beside it."""
    rng = np.random.default_rng(2)
    k = np.arange(36)
    stars = (30 + 45 * (k % 6) + rng.uniform(-1, 1, 36), 30 + 45 * (k // 6) + rng.uniform(-1, 1, 36), np.full(36, 2e4))
    made = make_science_image(tmp_path / "sci", stars=stars, shape=(300, 300), mask=False, sky=90.0, seed=4)
    data, header = fits.getdata(made.sci, header=True)
    data = data.astype(np.float32)
    data[:20, :30] = np.nan
    for key in ("OBSMJD", "OBSJD", "SHUTOPEN", "SHUTCLSD", "EXPID", "DBEXPID", "DBPID", "DBNID", "DBRID", "HJD"):
        header.remove(key)
    header.update({"GLOBMED": 90.0, "NFRAMES": 25, "PXSCAL": 1.0})
    header.remove("PIXSCALE")
    path = tmp_path / NAME.format("refimg")
    fits.PrimaryHDU(data, header).writeto(path)
    coverage = np.full(data.shape, 25.0, dtype=np.float32)
    coverage[100, 100:110] = 0
    fits.PrimaryHDU(coverage).writeto(tmp_path / NAME.format("refcov"))
    uncertainty = np.full(data.shape, 1.0, dtype=np.float32)
    uncertainty[200, 200:205] = np.nan
    fits.PrimaryHDU(uncertainty).writeto(tmp_path / NAME.format("refunc"))
    return path


def test_it_has_the_science_images_methods(reference: Path) -> None:
    r = image.ReferenceImage(reference)
    assert (r.nframe, r.pixel_scale, r.filtername, r.rcid, r.fieldid) == (25, 1.0, "ZTF_r", 50, 655)
    assert r.background == 90.0
    assert r.obsmjd is None
    assert r.obsjd is None
    assert abs(np.nanmedian(r.dataclean)) < 1
    r.load_source_background()
    assert np.median(r.background) == pytest.approx(90, abs=0.5)
    r.extract_sources(thresh=5)
    assert len(r.sources) == pytest.approx(36, abs=2)
    mag, _ = r.get_aperture(r.sources.x, r.sources.y, 5, unit="mag", apcor=True)
    assert np.nanmedian(mag) == pytest.approx(r.magzp - 2.5 * np.log10(2e4), abs=0.01)
    assert r.get_stamp(100.0, 100.0).shape == (23, 23)


def test_mask_is_nan_coverage_and_uncertainty(reference: Path) -> None:
    assert image.ReferenceImage(reference).get_mask().sum() == 600
    full = image.ReferenceImage.from_filename(reference)
    assert full.get_mask().sum() == 600 + 10 + 5
    np.testing.assert_array_equal(full.mask, full.get_mask(tracks=False))
    assert full.mask[100, 105]
    assert full.mask[200, 202]
    with pytest.raises(ValueError, match="extract_sources"):
        full.get_mask(from_sources=True)
    full.extract_sources(thresh=5)
    assert full.get_mask(from_sources=True).sum() > 36


def test_a_companion_of_another_shape_is_refused(reference: Path, tmp_path: Path) -> None:
    fits.PrimaryHDU(np.ones((10, 10), dtype=np.float32)).writeto(tmp_path / "small.fits")
    with pytest.raises(MaskError, match="shape"):
        image.ReferenceImage(reference, covfile=tmp_path / "small.fits")
