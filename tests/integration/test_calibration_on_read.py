"""Light curves on the header's zero points or on those of PS1."""

from __future__ import annotations

import numpy as np
import pytest

import ztfdb
from tests.support.campaign import calibrated, hold_stars, observe
from tests.support.reference import open_sessions
from ztfdb.ingest.commit import commit_image
from ztfdb.store.calibrations import calibrations_of_image


@pytest.fixture(scope="module")
def observed(tmp_path_factory):
    return [observe(tmp_path_factory.mktemp("images"), number, shape=(400, 400), n_star=160) for number in (0, 1)]


def test_one_chooses_the_calibration_on_read_and_every_epoch_names_it(engine_url, observed):
    one = observed[1]
    star = int(np.argmax(one.measured.sources.flux_aper[3]))
    ra, dec = one.measured.sources.ra[star], one.measured.sources.dec[star]
    with ztfdb.open(engine_url, create=True) as archive, open_sessions(engine_url) as maker:
        hold_stars(maker, observed)
        calibrated(maker, [one])
        with maker() as session:
            rows = calibrations_of_image(session, one.measured.info.image_id)
        header, fitted = (archive.light_curve(ra, dec, calibration=name).data for name in ("header", "ps1"))
        colored = archive.light_curve(ra, dec, calibration="ps1", color=0.5, aperture=5).data
        many = archive.light_curves({"ra": [ra], "dec": [dec]}, calibration="ps1")
        with pytest.raises(ValueError, match="expected header, ps1 or self"):
            archive.light_curve(ra, dec, calibration="sdss")
    flux, info = one.measured.sources.flux_aper[3][star].astype(float), one.measured.info
    assert header.mag[0] == pytest.approx(info.magzp + info.apcor4 - 2.5 * np.log10(flux), abs=1e-6)
    assert fitted.mag[0] == pytest.approx(rows[3]["zeropoint"] - 2.5 * np.log10(flux), abs=1e-6)
    fifth = one.measured.sources.flux_aper[4][star].astype(float)
    expected = rows[4]["zeropoint"] + 0.5 * rows[4]["color_term"] - 2.5 * np.log10(fifth)
    assert colored.mag[0] == pytest.approx(expected, abs=1e-6)
    assert (header.calibration[0], fitted.calibration[0], colored.calibration[0]) == ("header", "ps1", "ps1+colour")
    assert fitted.magzp[0] == info.magzp  # IRSA's column stays what it is
    assert many.mag[0] == fitted.mag[0]
    assert (header.attrs["calibration"], fitted.attrs["calibration"]) == ("header", "ps1")


def test_an_image_that_is_not_calibrated_has_no_magnitude_and_says_so(engine_url, observed):
    one = observed[0]
    star = int(np.argmax(one.measured.sources.flux_aper[3]))
    ra, dec = one.measured.sources.ra[star], one.measured.sources.dec[star]
    with ztfdb.open(engine_url, create=True) as archive, open_sessions(engine_url) as maker:
        commit_image(maker, one.measured)
        data = archive.light_curve(ra, dec, calibration="ps1").data
        empty = archive.light_curve(ra, dec + 5, calibration="ps1").data
    assert len(data) == 1 and np.isnan(data.mag[0]) and data.calibration[0] == "none"
    assert empty.empty
