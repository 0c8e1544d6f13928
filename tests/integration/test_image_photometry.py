"""Photometry of image objects on real images: photutils, ZTF's own PSF catalogue, aperture corrections."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord, search_around_sky

from ztfdb import image
from ztfdb.dao import DAOPhotReader


@pytest.fixture(scope="module")
def z(quadrant: tuple[Path, Path]) -> image.ScienceImage:
    opened = image.ScienceImage(*quadrant)
    opened.load_source_background()
    opened.extract_sources()
    return opened


def test_apertures_on_the_real_quadrant_are_photutils(z: image.ScienceImage) -> None:
    photutils = pytest.importorskip("photutils.aperture")
    t = z.sources
    assert t is not None
    radii = [1.0, 3.0, 5.0, 7.0]
    counts, error, flag = z.get_aperture(t["x"], t["y"], radii, get_flag=True)
    clean = z.data - z.background
    for k, radius in enumerate(radii):
        sums = photutils.CircularAperture(t[["x", "y"]].to_numpy(), radius).do_photometry(clean, method="exact")[0]
        use = (flag[k] == 0) & (counts[k] > 5 * error[k])
        assert use.sum() > 5_000
        np.testing.assert_allclose(counts[k][use], sums[use], rtol=1e-5)


def test_aperture_corrections_bring_all_apertures_together(z: image.ScienceImage) -> None:
    t = z.sources
    assert t is not None
    mag, _, flag = z.get_aperture(t["x"], t["y"], [1.5, 2, 3, 5, 7], unit="mag", apcor=True, get_flag=True)
    stars = (flag == 0).all(axis=0) & (t["flag"] == 0).to_numpy() & (mag[2] < 17.5) & (t["peak"] < 40_000).to_numpy()
    assert stars.sum() > 500
    for k in range(5):
        assert abs(np.median((mag[k] - mag[2])[stars])) < 0.006


def test_matches_on_the_real_quadrant_are_astropys(z: image.ScienceImage) -> None:
    bright = z.extract_sources(thresh=20, update=False)
    assert bright is not None
    z.set_catalog(bright, "bright")
    place = {k: SkyCoord(t["ra"].to_numpy(), t["dec"].to_numpy(), unit="deg") for k, t in z.catalogs.catalogs.items()}
    index, apart, _ = place["bright"].match_to_catalog_sky(place["sources"])
    nearest = z.catalogs.match("sources", "bright", seplimit=1.0)
    np.testing.assert_array_equal(nearest["bright_index"], np.flatnonzero(apart.arcsec <= 1.0))
    np.testing.assert_array_equal(nearest["sources_index"], index[apart.arcsec <= 1.0])
    i, j, _, _ = search_around_sky(place["bright"], place["sources"], 15 * u.arcsec)
    every = z.catalogs.match("sources", "bright", seplimit=15.0, method="all")
    assert set(zip(every["bright_index"], every["sources_index"], strict=True)) == set(zip(i, j, strict=True))
    assert len(every) == len(i) > 5_000


@pytest.fixture(scope="module")
def targets(shared_data: Path) -> pd.DataFrame:
    """PSF and aperture photometry of the stars and blank positions of three real exposures."""
    rows: list[dict[str, Any]] = []
    for exposure in json.loads((shared_data / "psf" / "manifest.json").read_text())["images"]:
        folder = shared_data / "psf" / exposure["stem"]
        psf = DAOPhotReader(folder / exposure["psf"])
        for target in exposure["targets"]:
            cutout = image.ScienceImage(folder / target["file"])
            fit = cutout.get_psf_photometry(target["ra"], target["dec"], psf, system="radec").iloc[0]
            total = cutout.get_aperture(target["ra"], target["dec"], 5, system="radec", apcor=True)[0]
            rows.append({**target, "stem": exposure["stem"], "fit": fit.flux, "fit_err": fit.flux_err, "chi": fit.chi,
                         "sharp": fit.sharp, "aperture": total})  # fmt: skip
    return pd.DataFrame(rows)


def test_psf_fluxes_are_those_of_ztfs_catalogue(targets: pd.DataFrame) -> None:
    stars = targets[targets["kind"] == "star"]
    assert len(stars) == 27
    ratio = stars["fit"] / stars["flux"]
    assert ratio.median() == pytest.approx(1, abs=0.005)
    for _, of_exposure in ratio.groupby(stars["stem"]):
        assert of_exposure.median() == pytest.approx(1, abs=0.01)
    # psfcat's errors hold a systematic floor; ours are sky and Poisson noise
    assert np.abs((stars["fit"] - stars["flux"]) / stars["sigflux"]).max() < 2
    assert np.abs((stars["fit"] - stars["flux"]) / stars["fit_err"]).max() < 3
    assert ratio.std() < 0.01
    assert stars["chi"].median() == pytest.approx(1, abs=0.2)
    assert abs(stars["sharp"].median()) < 0.05


def test_blank_positions_are_consistent_with_zero(targets: pd.DataFrame) -> None:
    blank = targets[targets["kind"] == "blank"]
    pull = blank["fit"] / blank["fit_err"]
    assert len(blank) == 12
    assert np.abs(pull).max() < 3
    assert abs(pull.mean()) < 3 / np.sqrt(12)


def test_corrected_apertures_are_those_of_ztfs_catalogue(targets: pd.DataFrame) -> None:
    stars = targets[targets["kind"] == "star"]
    difference = -2.5 * np.log10(stars["aperture"] / stars["flux"])
    assert abs(difference.median()) < 0.01


@pytest.mark.parametrize("subpix", [-1, None, 1.5, np.nan, np.inf, "5", pd.NA, np.array([1, 2])])
def test_subpixels_are_a_whole_number(z: image.ScienceImage, subpix: Any) -> None:
    """sep raises a bare Exception, a TypeError or an OverflowError."""
    with pytest.raises(ValueError, match=r"subpix .*: expected a whole number, 0 or more"):
        z.get_aperture(100.0, 100.0, 3.0, subpix=subpix)
    assert np.isfinite(z.get_aperture(100.0, 100.0, 3.0, subpix=np.int64(5))[0]).all()
