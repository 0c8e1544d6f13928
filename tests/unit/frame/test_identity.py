from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from astropy.io import fits
from astropy.time import Time

from tests.support.headers import SCI_NAME, header_a
from ztfdb.errors import HeaderError
from ztfdb.frame.filename import parse_name
from ztfdb.frame.header import image_info
from ztfdb.frame.identity import END_OF_IDS, FIRST_HASHED_ID, expid_from_mjd, obsmjd_of
from ztfdb.records import QUADRANT_SHAPE, ImageInfo

IDS = ("EXPID", "DBEXPID", "DBPID")


def info(header: fits.Header, name: str | None = None, shape: tuple[int, int] = QUADRANT_SHAPE) -> ImageInfo:
    return image_info(header, None if name is None else parse_name(name), shape, "image.fits")


def keyword_of(header: fits.Header, name: str | None = None) -> str:
    with pytest.raises(HeaderError) as caught:
        info(header, name)
    assert caught.value.path == "image.fits"
    return caught.value.keyword


def test_a_whole_quadrant_has_ztfs_own_id() -> None:
    found = info(header_a())
    assert found.image_id == found.pid == 362173800815
    assert (found.kind, found.expid, found.filefracday) == ("sci", 36217380, 20171229173808)
    assert (found.field, found.ccdid, found.qid, found.rcid, found.fid, found.filtercode) == (651, 3, 1, 8, 1, "zg")


@pytest.mark.parametrize("without", [("DBPID",), ("DBPID", "DBEXPID"), IDS, ("EXPID", "DBEXPID")])
def test_the_id_follows_from_what_is_left(without: tuple[str, ...]) -> None:
    found = info(header_a(without=without))
    assert (found.image_id, found.pid, found.expid) == (362173800815, 362173800815, 36217380)


@pytest.mark.parametrize(
    ("obsmjd", "expid"),
    [
        (58116.1738079, 36217380),
        (58967.501713, 121350171),
        (59116.4317708, 136243177),
        (60626.2240741, 287222407),
        (59683.2846181, 192928461),
        (60776.2845602, 302228456),
        (58000.29, 24629000),  # 0.29 * 1e5 is 28999.999 in binary
        (57754.0, 0),
    ],
)
def test_exposure_ids_follow_from_the_time(obsmjd: float, expid: int) -> None:
    assert expid_from_mjd(obsmjd) == expid


def test_the_place_of_a_file_name_fills_the_header() -> None:
    bare = header_a(without=("FILENAME", "FIELDID", "FILTERID", "FILTER", "CCDID", "CCD_ID", "QID", "RCID", "AMP_ID"))
    found = info(bare, SCI_NAME)
    assert (found.field, found.rcid, found.fid, found.image_id) == (651, 8, 1, 362173800815)
    assert keyword_of(bare) == "FIELDID"


@pytest.mark.parametrize(
    ("without", "keyword"),
    [
        (("FIELDID",), "FIELDID"),
        (("CCDID", "CCD_ID", "RCID"), "CCDID"),
        (("QID", "AMP_ID", "RCID"), "QID"),
        (("FILTERID", "FILTER"), "FILTERID"),
        (("OBSMJD", "OBSJD", "SHUTOPEN"), "OBSMJD"),
    ],
)
def test_what_is_nowhere_is_named(without: tuple[str, ...], keyword: str) -> None:
    assert keyword_of(header_a(without=("FILENAME", *without))) == keyword


@pytest.mark.parametrize(
    "without",
    [("RCID",), ("CCDID", "QID"), ("CCDID", "CCD_ID", "QID", "AMP_ID"), ("RCID", "CCDID", "QID"), ("RCID", "AMP_ID")],
)
def test_one_telling_of_the_quadrant_is_enough(without: tuple[str, ...]) -> None:
    assert info(header_a(without=("FILENAME", *without))).rcid == 8


@pytest.mark.parametrize("spelling", ["ZTF_g", "ZTF g", "ztfg", "ZTF_G  "])
def test_the_filter_is_spelled_either_way(spelling: str) -> None:
    found = info(header_a(FILTER=spelling, FILTPOS=3, without=("FILTERID", "FILENAME")))
    assert (found.fid, found.filtercode) == (1, "zg")


@pytest.mark.parametrize(
    ("changes", "keyword"),
    [
        ({"FILTER": "ZTF_r"}, "FILTERID"),
        ({"FILTERID": 4, "FILTER": "clear"}, "FILTERID"),
        ({"RCID": 9}, "RCID"),
        ({"RCID": 64, "CCDID": 17}, "CCDID"),
        ({"QID": 5}, "QID"),
        ({"FIELDID": -3}, "FIELDID"),
        ({"EXPID": 36217381 + 200}, "EXPID"),
        ({"OBSMJD": 58117.1738079}, "EXPID"),
        ({"DBPID": 362173900815}, "DBPID"),
        ({"DBPID": 362173800915}, "DBPID"),
        ({"DBPID": -1}, "DBPID"),
        ({"DBPID": 10**15 + 815}, "DBPID"),
        ({"OBSMJD": 12.0}, "OBSMJD"),
        ({"OBSMJD": 2458116.67}, "OBSMJD"),
    ],
)
def test_contradictions_are_refused(changes: dict[str, Any], keyword: str) -> None:
    assert keyword_of(header_a(**changes)) == keyword


def test_the_name_never_overrules_the_header() -> None:
    other = "ztf_20200924431759_000700_zr_c13_o_q3_sciimg.fits"
    assert info(header_a(), other) == info(header_a())
    assert info(header_a(without=("FILENAME",)), other).filefracday is None


def test_a_name_that_fits_the_time_gives_the_filefracday() -> None:
    assert info(header_a(without=("FILENAME",)), SCI_NAME).filefracday == 20171229173808
    assert info(header_a(FILENAME="ztf_20171229273808_000651_zg_c03_o.fits"), SCI_NAME).filefracday == 20171229173808


@pytest.mark.parametrize("without", [("OBSMJD",), ("OBSMJD", "SHUTOPEN")])
def test_obsjd_stands_in_for_obsmjd(without: tuple[str, ...]) -> None:
    found = info(header_a(without=without))
    assert found.obsmjd == pytest.approx(58116.1738079, abs=1e-9)
    assert found.image_id == 362173800815


def test_the_shutter_is_too_late_for_an_id_but_not_for_a_time() -> None:
    times = ("OBSMJD", "OBSJD")
    found = info(header_a(without=times))
    assert found.obsmjd == pytest.approx(58116.1738079, abs=2 / 86400)
    assert found.image_id == 362173800815
    guess = info(header_a(without=(*times, *IDS)))
    assert (guess.expid, guess.pid) == (None, None)
    assert FIRST_HASHED_ID <= guess.image_id < END_OF_IDS


def test_cutouts_have_ids_of_their_own() -> None:
    first = info(header_a(window=(100, 200)), shape=(300, 400))
    assert (first.kind, first.x0, first.y0, first.nx, first.ny) == ("cutout", 100, 200, 400, 300)
    assert first.pid == 362173800815
    assert FIRST_HASHED_ID <= first.image_id < END_OF_IDS
    assert first.image_id << 18 < 2**63
    others = [
        info(header_a(window=(100, 201)), shape=(300, 400)),
        info(header_a(window=(100, 200)), shape=(301, 400)),
        info(header_a(window=(100, 200), SIMULATE=True), shape=(300, 400)),
        info(header_a(window=(100, 200)), shape=QUADRANT_SHAPE),
        info(header_a(window=(100, 200), RCID=9, QID=2, AMP_ID=1, without=("DBPID",)), shape=(300, 400)),
    ]
    assert len({first.image_id, *(other.image_id for other in others)}) == 6
    assert info(header_a(window=(100, 200)), "renamed.fits", (300, 400)).image_id == first.image_id


def test_ids_never_change() -> None:
    # stored archives hold this number
    assert info(header_a(window=(100, 200)), shape=(300, 400)).image_id == 32239605974636


def test_a_simulated_image_is_none_of_ztfs() -> None:
    found = info(header_a(SIMULATE=True))
    assert (found.simulated, found.kind, found.pid, found.expid) == (True, "sci", None, 36217380)
    assert FIRST_HASHED_ID <= found.image_id < END_OF_IDS
    assert not info(header_a(SIMULATE=False)).simulated
    assert not info(header_a(SIMULATE="T")).simulated


TIMELESS = (*IDS, "OBSMJD", "OBSJD", "SHUTOPEN", "FILENAME")


def test_references() -> None:
    name = "ztf_000651_zg_c03_q1_refimg.fits"
    header = header_a(without=TIMELESS, CRPIX1=1600.5, CRPIX2=1600.5, NFRAMES=25)
    found = info(header, name, (3200, 3200))
    assert (found.kind, found.image_id) == ("ref", 10**13 + (651 * 4 + 1) * 64 + 8)
    assert (found.obsmjd, found.mjd_mid, found.expid, found.pid, found.sun_x) == (None,) * 5
    assert found.nframes == 25
    header["RFID"] = 651120108
    assert info(header, None, (3200, 3200)) == found


def test_a_cutout_of_a_reference() -> None:
    header = header_a(without=TIMELESS, CRPIX1=1500.0, CRPIX2=1000.0)
    found = info(header, "ztf_000651_zg_c03_q1_refimg.fits", (200, 300))
    assert (found.kind, found.x0, found.y0) == ("ref", round(100.5), round(600.5))
    assert FIRST_HASHED_ID <= found.image_id < END_OF_IDS


def test_an_exposure_under_a_references_name_stays_an_exposure() -> None:
    assert info(header_a(), "ztf_000651_zg_c03_q1_refimg.fits").kind == "sci"


def test_the_real_quadrant(quadrant: tuple[Path, Path]) -> None:
    found = image_info(fits.getheader(quadrant[0]), None, QUADRANT_SHAPE, quadrant[0])
    assert (found.image_id, found.expid, found.rcid) == (1362431775015, 136243177, 50)


def test_the_name_of_an_exposure_tells_its_time():
    first, last = obsmjd_of(20200924431759)
    begin = Time("2020-09-24", scale="utc").mjd + 0.431759
    assert first < begin < last
    assert (last - first) * 86400 == pytest.approx(240, abs=1e-3)
    assert obsmjd_of(20200231000000) is None
