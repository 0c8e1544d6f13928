from __future__ import annotations

from pathlib import Path

import pytest

from ztfdb.frame.filename import mask_path_for, parse_name

STEM = "ztf_20200924431759_000655_zr_c13_o_q3_"


def test_a_science_name() -> None:
    name = parse_name(f"/data/sci/2020/0924/431759/{STEM}sciimg.fits")
    assert name is not None
    assert (name.filefracday, name.field, name.filtercode, name.fid) == (20200924431759, 655, "zr", 2)
    assert (name.ccdid, name.imgtypecode, name.qid, name.rcid) == (13, "o", 3, 50)
    assert (name.suffix, name.product) == ("sciimg.fits", "sciimg")


@pytest.mark.parametrize("suffix", ["sciimg.fits", "sciimg.fits.gz", "mskimg.fits.fz", "scimrefdiffimg.fits.fz"])
def test_endings_are_kept(suffix: str) -> None:
    name = parse_name(STEM + suffix)
    assert name is not None
    assert name.suffix == suffix
    assert name.product == suffix.split(".")[0]


def test_a_reference_name() -> None:
    name = parse_name(Path("ref/001/field001837/zi/ccd16/q4/ztf_001837_zi_c16_q4_refimg.fits"))
    assert name is not None
    assert (name.filefracday, name.field, name.fid, name.rcid, name.imgtypecode) == (None, 1837, 3, 63, None)
    assert name.product == "refimg"


def test_a_raw_name_has_no_quadrant() -> None:
    name = parse_name("ztf_20200924431759_000655_zr_c13_o.fits.fz")
    assert name is not None
    assert (name.ccdid, name.qid, name.rcid) == (13, None, None)


@pytest.mark.parametrize(
    "text",
    [
        "", "night.fits", "ztf_2020_000655_zr_c13_o_q3_sciimg.fits",
        "ztf_20200924431759_000655_zr_c17_o_q3_sciimg.fits",
        "ztf_20200924431759_000655_zr_c00_o_q3_sciimg.fits", "ztf_20200924431759_000655_zr_c13_o_q5_sciimg.fits",
        "ztf_20200924431759_000655_zu_c13_o_q3_sciimg.fits", "xztf_000655_zr_c13_q3_refimg.fits",
        "ztf_20200924_00_c01_q1_bias.fits",
    ],
)  # fmt: skip
def test_other_names_are_none(text: str) -> None:
    assert parse_name(text) is None


@pytest.mark.parametrize("ending", [".fits", ".fits.gz", ".fits.fz"])
def test_the_mask_beside_an_image(tmp_path: Path, ending: str) -> None:
    image, mask = tmp_path / f"{STEM}sciimg.fits", tmp_path / f"{STEM}mskimg{ending}"
    assert mask_path_for(image) is None
    mask.touch()
    assert mask_path_for(image) == mask


def test_the_mask_of_the_same_ending_is_preferred(tmp_path: Path) -> None:
    for ending in (".fits", ".fits.gz", ".fits.fz"):
        (tmp_path / f"{STEM}mskimg{ending}").touch()
    assert mask_path_for(tmp_path / f"{STEM}sciimg.fits.fz") == tmp_path / f"{STEM}mskimg.fits.fz"
    assert mask_path_for(tmp_path / f"{STEM}sciimg.fits") == tmp_path / f"{STEM}mskimg.fits"


def test_any_sciimg_has_a_mask_name(tmp_path: Path) -> None:
    (tmp_path / "copy_mskimg.fits").touch()
    assert mask_path_for(str(tmp_path / "copy_sciimg.fits")) == tmp_path / "copy_mskimg.fits"
    assert mask_path_for(tmp_path / "ztf_000655_zr_c13_q3_refimg.fits") is None
    (tmp_path / "other_mskimg.fits").mkdir()
    assert mask_path_for(tmp_path / "other_sciimg.fits") is None
