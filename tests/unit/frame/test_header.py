from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from tests.support.headers import WCS_A, header_a
from ztfdb.errors import HeaderError, WcsError
from ztfdb.frame.header import header_cards, image_info
from ztfdb.records import QUADRANT_SHAPE, ImageInfo
from ztfdb.sky.times import light_time_vectors


def info(header: fits.Header) -> ImageInfo:
    return image_info(header, None, QUADRANT_SHAPE, "image.fits")


def test_what_a_real_header_says() -> None:
    found = info(header_a())
    assert (found.magzp, found.magzpunc, found.magzprms) == (26.403007, 1.15e-5, 0.034173)
    assert (found.clrcoeff, found.clrcounc) == (-0.058441, 2.0e-5)
    assert [getattr(found, f"apcor{k}") for k in range(1, 7)] == [-1.0536, -0.5172, -0.2744, -0.0960, -0.0138, 0.0053]
    assert (found.gain, found.readnoi, found.saturate, found.seeing_pix, found.maglim) == (
        6.2, 10.0, 48059.879, 1.943, 20.12,
    )  # fmt: skip
    assert (found.infobits, found.status, found.airmass, found.programid, found.procvsn) == (0, 1, 1.0, 0, 1)
    assert (found.created, found.nframes, found.exptime) == ("2017-12-28T20:26:00", 8, 30.0)
    assert not found.simulated


def test_where_a_real_image_is() -> None:
    found = info(header_a())
    assert found.ra == pytest.approx(23.34897743, abs=4e-7)
    assert found.dec == pytest.approx(30.91863854, abs=4e-7)
    corners = [getattr(found, f"{c}{k}") for k in (1, 2, 3, 4) for c in ("ra", "dec")]
    expected = [23.85219191, 31.35268032, 22.84063249, 31.34866360, 22.85005981, 30.48236067, 23.85265298, 30.48651532]
    np.testing.assert_allclose(corners, expected, atol=4e-7)


def test_the_middle_of_the_exposure() -> None:
    found = info(header_a())
    assert found.obsmjd == 58116.1738079
    assert found.mjd_mid == pytest.approx(58116.1738079 + 15 / 86400, abs=1e-10)
    sun, ssb = light_time_vectors([found.mjd_mid])
    assert (found.sun_x, found.sun_y, found.sun_z) == tuple(sun[0])
    assert (found.ssb_x, found.ssb_y, found.ssb_z) == tuple(ssb[0])


def test_an_absurd_exposure_time_is_none() -> None:
    assert info(header_a(EXPTIME=1e20, EXPOSURE=-3.0)).exptime is None


def test_exposure_stands_in_for_exptime() -> None:
    assert info(header_a(without=("EXPTIME",), EXPOSURE=60.0)).exptime == 60.0
    without = info(header_a(without=("EXPTIME", "EXPOSURE")))
    assert (without.exptime, without.mjd_mid, without.sun_x) == (None, None, None)
    assert without.obsmjd == 58116.1738079


OPTIONAL = {
    "MAGZPUNC": "magzpunc", "MAGZPRMS": "magzprms", "CLRCOEFF": "clrcoeff", "CLRCOUNC": "clrcounc", "APCOR4": "apcor4",
    "GAIN": "gain", "READNOI": "readnoi", "SATURATE": "saturate", "SEEING": "seeing_pix", "MAGLIM": "maglim",
    "INFOBITS": "infobits", "STATUS": "status", "AIRMASS": "airmass", "PROGRMID": "programid", "PROCVSN": "procvsn",
    "CREATED": "created", "NFRAMES": "nframes",
}  # fmt: skip


@pytest.mark.parametrize(("keyword", "field"), OPTIONAL.items())
def test_every_other_keyword_is_optional(keyword: str, field: str) -> None:
    assert getattr(info(header_a(without=(keyword,))), field) is None


@pytest.mark.parametrize("value", [-9999.0, -999.0, -999, "n/a", True, 1e300, 10**31])
@pytest.mark.parametrize(("keyword", "field"), [item for item in OPTIONAL.items() if item[0] != "CREATED"])
def test_what_is_no_number_is_none(keyword: str, field: str, value: Any) -> None:
    assert getattr(info(header_a(**{keyword: value})), field) is None


def test_a_header_of_nothing_but_the_necessary() -> None:
    needed = {"FIELDID": 651, "FILTERID": 1, "RCID": 8, "OBSMJD": 58116.1738079, "MAGZP": 26.4}
    header = fits.Header()
    for keyword, value in {**needed, **WCS_A}.items():
        header[keyword] = value
    found = info(header)
    assert found.image_id == 362173800815
    assert found.apcor4 is None


@pytest.mark.parametrize("value", [None, "N/A", "26.4", 0.0, 0, -999.0, -999, -9999.0, True, 99.0, 5.0])
def test_no_usable_zero_point(value: Any) -> None:
    header = header_a(without=("MAGZP",))
    if value is not None:
        header["MAGZP"] = value
    with pytest.raises(HeaderError, match="MAGZP") as caught:
        info(header)
    assert caught.value.keyword == "MAGZP"


@pytest.mark.parametrize(
    "image", ["MAGZP   =                  NaN", "MAGZP   = 1.0E+999", "MAGZP   = ", "MAGZP   = 26.4.4"]
)
def test_a_zero_point_that_cannot_be_parsed(image: str) -> None:
    header = header_a(without=("MAGZP",))
    header.append(fits.Card.fromstring(image))
    with pytest.raises(HeaderError) as caught:
        info(header)
    assert caught.value.keyword == "MAGZP"


def test_apertures_follow_fixapers() -> None:
    swapped = info(header_a(FIXAPERS="14,10,6,4,3,2"))
    assert (swapped.apcor1, swapped.apcor4, swapped.apcor6) == (0.0053, -0.2744, -1.0536)
    others = info(header_a(FIXAPERS="2,3,5"))
    assert (others.apcor1, others.apcor2, others.apcor3, others.apcor4) == (-1.0536, -0.5172, None, None)
    assert info(header_a(without=("FIXAPERS",))).apcor4 == -0.0960
    assert info(header_a(APCOR4=77.0)).apcor4 is None


def test_infobits_of_a_bad_frame() -> None:
    assert info(header_a(INFOBITS=33554488)).infobits == 33554488


def test_a_wcs_that_does_not_lead_back_is_refused() -> None:
    for absurd in ({"PV1_1": 0.0, "PV1_4": 4.0}, {"PV2_7": 1e300}):
        with pytest.raises(WcsError, match="back"):
            info(header_a(**absurd))


def test_cards_are_strict_json() -> None:
    header = header_a()
    header["UNDEF"] = None
    header["LOGICAL"] = True
    header["QUOTE"] = "it's"
    header.append(fits.Card.fromstring("BADNUM  = 1.2.3"))
    header.append(fits.Card.fromstring("NOTNUM  =                  NaN"))
    header.append(fits.Card.fromstring("HUGE    =               1E+999"))
    header.append(("DOUBLE", 1))
    header.append(("DOUBLE", 2))
    header.add_history("first")
    header.add_comment("only")
    header[""] = "blank keyword"
    cards = header_cards(header)
    json.dumps(cards, allow_nan=False)
    assert (cards["UNDEF"], cards["LOGICAL"], cards["QUOTE"]) == (None, True, "it's")
    assert (cards["BADNUM"], cards["NOTNUM"], cards["HUGE"]) == (None, None, None)
    assert cards["DOUBLE"] == [1, 2]
    assert cards["HISTORY"] == ["first"]
    assert cards["COMMENT"] == ["only"]
    assert (cards["MAGZP"], cards["DBPID"], cards["FILTER"]) == (26.403007, 362173800815, "ZTF g")
    assert "" not in cards
    assert next(iter(cards)) == "FILENAME"


def test_no_control_character_leaves_the_cards() -> None:
    text = "OBJECT  = 'a\0b\ac'"
    cards = header_cards(fits.Header.fromstring(f"{'SIMPLE  =                    T':80}{text:80}"))
    assert list(cards) == ["SIMPLE", "OBJECT"]
    assert "\x00" not in json.dumps(cards)
    assert "\\u0000" not in json.dumps(cards)


def test_the_real_header_survives_json(quadrant: tuple[Path, Path]) -> None:
    for path in quadrant:
        header = fits.getheader(path)
        cards = header_cards(header)
        again = json.loads(json.dumps(cards, allow_nan=False))
        assert again == cards
        for keyword in ("OBSMJD", "GAIN", "CRVAL1", "CD1_2", "PV1_4", "CRPIX2"):
            assert math.isclose(cards[keyword], header[keyword], rel_tol=0)
        assert len(cards["HISTORY"]) == 3
