from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from tests.support.headers import header_a
from ztfdb.errors import WcsError
from ztfdb.frame.header import header_cards
from ztfdb.frame.wcs import astropy_wcs, wcs_parameters
from ztfdb.simulate import Exposure
from ztfdb.simulate.header import science_header
from ztfdb.sky.projection import pixel_to_sky, sky_to_pixel

SIP = {
    "A_ORDER": 3, "B_ORDER": 3, "A_2_0": 1e-6, "A_0_2": -2e-6, "A_3_0": 1e-10, "B_1_1": 3e-6, "B_0_3": 2e-10,
}  # fmt: skip
PC = {"CDELT1": -2.8e-4, "CDELT2": 2.8e-4}


def header(ctype1: str = "RA---TAN", ctype2: str = "DEC--TAN", *, cd: bool = True, **changes: Any) -> fits.Header:
    """A header of a full-sized image with an inclined TAN projection."""
    matrix = {"CD1_1": -2.8e-4, "CD1_2": 1e-5, "CD2_1": 2e-5, "CD2_2": 2.81e-4} if cd else {}
    cards = {
        "NAXIS": 2, "NAXIS1": 3072, "NAXIS2": 3080, "CTYPE1": ctype1, "CTYPE2": ctype2, "CRVAL1": 120.0,
        "CRVAL2": -41.0, "CRPIX1": 1500.0, "CRPIX2": 1600.0, "RADESYS": "ICRS", **matrix,
    }  # fmt: skip
    return fits.Header(list({**cards, **changes}.items()))


CASES = {
    "TAN": header(),
    "north pole": header(CRVAL2=90.0),
    "south pole": header(CRVAL2=-90.0),
    "north pole, pole said": header(CRVAL2=90.0, LONPOLE=180.0),
    "turned pole": header(LONPOLE=130.0),
    "SIP": header("RA---TAN-SIP", "DEC--TAN-SIP", **SIP),
    "declination first": header("DEC--TAN", "RA---TAN", CRVAL1=-41.0, CRVAL2=120.0),
    "SCAMP's TAN": header(PV1_1=1.01, PV1_2=0.002, PV1_4=1e-3, PV1_7=1e-3, PV2_1=1.0, PV2_2=0.01),
    "radial TPV": header("RA---TPV", "DEC--TPV", PV1_1=1.01, PV1_3=0.002, PV2_1=1.0, PV2_11=1e-3),
    "PC": header(cd=False, **PC, PC1_1=0.9, PC1_2=0.1, PC2_1=-0.1, PC2_2=0.9),
    "CDELT alone": header(cd=False, **PC),
    "CROTA2": header(cd=False, **PC, CROTA2=33.0),
    "no RADESYS": header(RADESYS=""),
    "FK5": header(RADESYS="FK5", EQUINOX=2000.0),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_positions_are_astropys(case: fits.Header) -> None:
    wcs, full = wcs_parameters(case, "p"), astropy_wcs(case)
    x, y = (v.ravel() for v in np.meshgrid(np.linspace(0, 3071, 30), np.linspace(0, 3079, 30)))
    world = full.all_pix2world(x, y, 0)
    np.testing.assert_allclose(sky_to_pixel(wcs, world[full.wcs.lng], world[full.wcs.lat]), (x, y), atol=1e-6)
    np.testing.assert_allclose(sky_to_pixel(wcs, *pixel_to_sky(wcs, x, y)), (x, y), atol=1e-6)


@pytest.mark.parametrize("kind", ["SIN", "ZEA", "STG", "ARC"])
def test_other_projections_are_close_enough(kind: str) -> None:
    # what fourth order leaves over a quadrant: a hundred thousandth of a pixel
    case = header(f"RA---{kind}", f"DEC--{kind}")
    wcs, full = wcs_parameters(case, "p"), astropy_wcs(case)
    assert wcs.projection == "TPV"
    x, y = (v.ravel() for v in np.meshgrid(np.linspace(0, 3071, 30), np.linspace(0, 3079, 30)))
    np.testing.assert_allclose(sky_to_pixel(wcs, *full.all_pix2world(x, y, 0)), (x, y), atol=1e-4)


@pytest.mark.parametrize("case", [header_a(), *CASES.values()], ids=["A", *CASES.keys()])
def test_parameters_make_an_equal_astropy_wcs(case: fits.Header) -> None:
    wcs = wcs_parameters(case, "p")
    x, y = np.array([0.0, 3000.0, 17.0]), np.array([5.0, 40.0, 3000.0])
    ours = astropy_wcs(wcs).all_world2pix(*pixel_to_sky(wcs, x, y), 0)
    np.testing.assert_allclose(ours, (x, y), atol=1e-6)


def test_stored_cards_make_an_astropy_wcs() -> None:
    again = astropy_wcs(header_cards(header_a()))
    x, y = np.array([0.0, 3000.0]), np.array([5.0, 40.0])
    assert np.array_equal(again.all_pix2world(x, y, 0), WCS(header_a()).all_pix2world(x, y, 0))


def test_the_projection_is_named() -> None:
    assert wcs_parameters(header_a(), "p").projection == "TPV"
    assert wcs_parameters(header(), "p").projection == "TAN"
    assert wcs_parameters(header(PV1_1=1.0, PV2_1=1.0), "p").projection == "TAN"


BAD = {
    "no CTYPE": ({"CTYPE1": "", "CTYPE2": ""}, "no world coordinate system"),
    "one CTYPE": ({"CTYPE2": ""}, "not right ascension"),
    "galactic": ({"CTYPE1": "GLON-TAN", "CTYPE2": "GLAT-TAN"}, "not right ascension"),
    "pixels": ({"CTYPE1": "LINEAR", "CTYPE2": "LINEAR"}, "not right ascension"),
    "FK4": ({"RADESYS": "FK4"}, "not ICRS"),
    "B1950": ({"RADESYS": "", "EQUINOX": 1950.0}, "not ICRS"),
    "radians": ({"CUNIT1": "rad"}, "not in degrees"),
    "zero matrix": ({"CD1_1": 0.0, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 0.0}, "singular"),
    "singular matrix": ({"CD1_1": 1e-4, "CD1_2": 1e-4, "CD2_1": 1e-4, "CD2_2": 1e-4}, "singular"),
    "huge pixels": ({"CD1_1": 1.0, "CD2_2": 1.0}, "absurd"),
    "text": ({"CRVAL1": "north"}, "CRVAL1"),
    "no CRVAL": ({"CRVAL2": None}, "CRVAL2"),
    "beyond the pole": ({"CRVAL2": 91.0}, "out of range"),
    "far away": ({"CRPIX1": 1e12}, "out of range"),
    "text distortion": ({"PV1_1": "one"}, "PV1_1"),
    "unknown projection": ({"CTYPE1": "RA---XYZ", "CTYPE2": "DEC--XYZ"}, "cannot be evaluated"),
    "half a pair": ({"CTYPE1": "RA---SIN", "CTYPE2": "DEC--TAN"}, "cannot be evaluated"),
    "fifth order": ({"CTYPE1": "RA---TPV", "CTYPE2": "DEC--TPV", "PV1_17": 0.1}, "cannot be expressed"),
}


@pytest.mark.parametrize(("changes", "reason"), BAD.values(), ids=BAD.keys())
def test_unusable_wcs_are_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(WcsError, match=reason) as caught:
        wcs_parameters(header(**changes), "image.fits")
    assert caught.value.path == "image.fits"


def test_no_matrix_at_all() -> None:
    with pytest.raises(WcsError, match="no CD matrix"):
        wcs_parameters(header(cd=False), "p")


def test_scamps_tan_is_the_same_sky_as_tpv(shared_data: Path) -> None:
    folder = shared_data / "malformed" / "ztf_variants"
    found = [
        pixel_to_sky(wcs_parameters(fits.getheader(path), path), [0.0, 159.0], [0.0, 159.0])
        for path in sorted(folder.glob("*43176[0]_*")) + sorted(folder.glob("*431775_*"))
    ]
    assert len(found) == 2
    np.testing.assert_allclose(found[0], found[1], atol=1e-12)


def report_header(shared_data, folder):
    (path,) = (shared_data / "reports" / folder).glob("*.fits")
    return fits.getheader(path), path


def spelled_by_pc(header, *, keep_cd, factor=1.0, cdelt=1.0):
    """The CD matrix as PC and CDELT."""
    new = header.copy()
    for i in (1, 2):
        new[f"CDELT{i}"] = cdelt
        for j in (1, 2):
            new[f"PC{i}_{j}"] = factor * header[f"CD{i}_{j}"] / cdelt
            if not keep_cd:
                del new[f"CD{i}_{j}"]
    return new


def off_astropy(header, full):
    """Largest distance between our pixels and astropy's, over the image."""
    x, y = (g.ravel() for g in np.meshgrid(np.linspace(0, 3071, 9), np.linspace(0, 3079, 9)))
    ours = sky_to_pixel(wcs_parameters(header, "x"), *full.all_pix2world(x, y, 0))
    return np.hypot(ours[0] - x, ours[1] - y).max()


@pytest.fixture
def tpv_header():
    made = science_header(Exposure(shape=(3080, 3072)))
    made["NAXIS"], made["NAXIS1"], made["NAXIS2"] = 2, 3072, 3080
    return made


def test_cd_and_pc_that_say_the_same_are_one_matrix(tpv_header):
    both = spelled_by_pc(tpv_header, keep_cd=True)
    assert off_astropy(both, WCS(both, naxis=2)) < 1e-6
    # wcslib applies TPV before CDELT, so that another CDELT is compared through the CD spelling of the same matrix
    for cdelt in (1.0, 2.0):
        alone = spelled_by_pc(tpv_header, keep_cd=False, cdelt=cdelt)
        assert off_astropy(alone, WCS(tpv_header, naxis=2)) < 1e-6


@pytest.mark.parametrize("factor", [2.0, 1.0 + 1e-5, -1.0])
def test_cd_and_pc_that_differ_are_a_contradiction(tpv_header, factor):
    with pytest.raises(WcsError, match="contradicts"):
        wcs_parameters(spelled_by_pc(tpv_header, keep_cd=True, factor=factor), "x")


def test_the_cd_and_pc_of_the_report_are_a_contradiction(shared_data):
    with pytest.raises(WcsError, match="contradicts"):
        wcs_parameters(*report_header(shared_data, "pc_and_cd"))


def test_pc_and_crota_are_two_rotations(tpv_header):
    header = spelled_by_pc(tpv_header, keep_cd=False)
    header["CROTA2"] = 3.0
    with pytest.raises(WcsError, match="CROTA2"):
        wcs_parameters(header, "x")


def sip_beside_pv(header, suffix="-SIP"):
    new = header.copy()
    new["CTYPE1"], new["CTYPE2"] = "RA---TAN" + suffix, "DEC--TAN" + suffix
    new["A_ORDER"] = new["B_ORDER"] = 2
    new["A_2_0"], new["A_1_1"], new["B_0_2"] = 1.3e-7, 2.4e-8, 1.5e-7
    return new


def without_pv(header):
    new = header.copy()
    for name in [name for name in header if name.startswith("PV")]:
        del new[name]
    return new


def test_pv_left_over_beside_sip_is_ignored(tpv_header):
    header = sip_beside_pv(tpv_header)
    full = WCS(without_pv(header), naxis=2)
    assert off_astropy(header, full) < 1e-6
    assert off_astropy(without_pv(header), full) < 1e-6


def test_sip_that_ctype_does_not_name_is_applied_as_by_astropy(tpv_header):
    header = without_pv(sip_beside_pv(tpv_header, ""))
    assert off_astropy(header, WCS(header, naxis=2)) < 1e-6


def test_the_sip_of_the_report_is_astropys(shared_data):
    header, _ = report_header(shared_data, "sip_beside_pv")
    x, y = (g.ravel() for g in np.meshgrid(np.arange(0.0, 120, 7), np.arange(0.0, 120, 7)))
    ours = sky_to_pixel(wcs_parameters(header, "x"), *WCS(without_pv(header), naxis=2).all_pix2world(x, y, 0))
    assert np.hypot(ours[0] - x, ours[1] - y).max() < 1e-6


@pytest.mark.parametrize("card", ["A_ORDER", "CPDIS1", "D2IMDIS1"])
def test_a_second_distortion_is_refused(tpv_header, card):
    tpv_header[card] = 2 if card == "A_ORDER" else "LOOKUP"
    with pytest.raises(WcsError, match="distortion"):
        wcs_parameters(tpv_header, "x")
