"""Further epochs of a field keep its sky and change its night."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from ztfdb.simulate import make_science_image, simulate_epoch


def test_epoch_shows_the_same_sky_on_another_night(tmp_path: Path) -> None:
    first = make_science_image(tmp_path / "a", n_star=40, shape=(300, 300), seed=1)
    t = first.truth
    second = simulate_epoch(
        fits.getheader(first.sci), (t.x, t.y, t.flux), tmp_path / "b", obsmjd=59120.3, shift_arcsec=(12.0, -7.0),
        injected=([t.ra[0]], [t.dec[0] + 0.002], [17.5]), seed=2, fwhm=2.6, magzp=26.0, sky=220.0,
    )  # fmt: skip
    old, new = fits.getheader(first.sci), fits.getheader(second.sci)
    assert new["OBSMJD"] == 59120.3
    assert new["DBPID"] != old["DBPID"]
    assert [new[k] for k in ("FIELDID", "RCID", "CRPIX1", "SEEING")] == [
        old["FIELDID"],
        old["RCID"],
        old["CRPIX1"],
        2.6,
    ]
    assert len(second.truth) == 41
    np.testing.assert_allclose(second.truth.ra[:40], t.ra, atol=1e-9)
    np.testing.assert_allclose(second.truth.mag[:40], t.mag, atol=1e-9)
    # 12″ to the east moves stars to larger x (x grows to the west), 7″ south to smaller y
    assert np.all(np.abs(second.truth.x[:40] - t.x - 12 / 1.0125) < 0.1)
    assert np.all(np.abs(second.truth.y[:40] - t.y + 7 / 1.0125) < 0.1)
    x, y = WCS(new).all_world2pix(t.ra[0], t.dec[0] + 0.002, 0)
    np.testing.assert_allclose([second.truth.x[-1], second.truth.y[-1]], [x, y], atol=1e-6)
    assert second.truth.mag[-1] == 17.5
    assert np.median(fits.getdata(second.sci)) > 205
