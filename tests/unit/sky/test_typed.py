from __future__ import annotations

import pytest
from astropy.coordinates import Angle, SkyCoord

from ztfdb.sky.typed import MINUS, parse_dec, parse_designation, parse_position, parse_ra, parse_radius


@pytest.mark.parametrize(
    "text", ["12:34:56.7", "12h34m56.7s", "12 34 56.7", "0:0:0.5", "23:59:59.999", "12:34", "5h05m"]
)
def test_sexagesimal_right_ascension_is_hours_as_astropy_reads_it(text):
    assert parse_ra(text) == pytest.approx(Angle(text, unit="hourangle").deg, abs=1e-11)


@pytest.mark.parametrize(
    "text", ["+12:34:56", "-12:34:56.78", "-00:00:01", "-3d12m", "-3d12m05s", "89 59 59.9", "-0:30"]
)
def test_sexagesimal_declination_is_degrees_as_astropy_reads_it(text):
    assert parse_dec(text) == pytest.approx(Angle(text, unit="deg").deg, abs=1e-11)


@pytest.mark.parametrize(
    ("text", "degrees"),
    [("188.5", 188.5), ("188.5d", 188.5), ("188.5 deg", 188.5), ("12.5h", 187.5), ("188d30m", 188.5), ("360", 0.0),
     ("-10", 350.0), ("1e1", 10.0), (".5", 0.5), ("10°30′", 10.5)],
)  # fmt: skip
def test_right_ascension_in_decimals_and_marked_degrees(text, degrees):
    assert parse_ra(text) == pytest.approx(degrees, abs=1e-12)


@pytest.mark.parametrize("dash", ["-", MINUS, "\u2013", "\u2010", "\u2011", "\u2012", "\ufe63", "\uff0d"])
def test_what_papers_print_for_a_minus_is_a_minus(dash):
    """A declination of a paper often has an en dash."""
    assert parse_dec(f"{dash}3.25") == -3.25
    assert parse_position([f"12:34:56.7{dash}12:34:48"]) == pytest.approx((188.73625, -12.58), abs=1e-9)
    assert parse_designation(f"J123456.7{dash}123448") == pytest.approx((188.73625, -12.58), abs=1e-9)


@pytest.mark.parametrize(
    "words",
    [["188.73625", "-12.58"], ["188.73625 -12.58"], ["188.73625,-12.58"], ["188.73625,", "-12.58"],
     ["12:34:56.7", "-12:34:48"], ["12:34:56.7 -12:34:48"], ["12", "34", "56.7", "-12", "34", "48"],
     ["12h34m56.7s", "-12d34m48s"], ["(188.73625, -12.58)"], ["[188.73625 -12.58]"], ["RA=188.73625 Dec=-12.58"],
     ["ra: 188.73625, dec: -12.58"], ["α=188.73625", "δ=-12.58"], ["12:34:56.7-12:34:48"], ["188.73625-12.58"],
     ["12h34m56.7s-12d34m48s"], ["12 34 56.7-12 34 48"], ["1.8873625e+2", "-1.258e+1"], ["188.73625\u221212.58"]],
)  # fmt: skip
def test_every_spelling_is_the_same_position(words):
    assert parse_position(words) == pytest.approx((188.73625, -12.58), abs=1e-9)


@pytest.mark.parametrize("words", [[], ["188.7"], ["1", "2", "3"], ["nan", "3"], ["3", "nan"], ["inf", "3"], ["a", "b"],
                                   ["3", "91"], ["3", "-90.001"], ["400", "3"], ["25:00:00", "3"], ["12:60:00", "3"],
                                   ["12:30:60", "3"], ["3", "5h"], ["1_0", "3"], ["3", ""], ["1-2-3"],
                                   ["1", "--2"], ["ra", "dec"], ["ra=1"],
                                   ["BD+35", "742"]])  # fmt: skip
def test_what_is_no_position_is_a_value_error(words):
    with pytest.raises(ValueError, match=r"right ascension|declination|position"):
        parse_position(words)


@pytest.mark.parametrize(
    ("text", "arcsec"),
    [("3", 3.0), ("3arcsec", 3.0), ('3"', 3.0), ("0.1deg", 360.0), ("2arcmin", 120.0), ("2'", 120.0), ("0", 0.0),
     ("1.5 arcsec", 1.5), ("1E-1d", 360.0)],
)  # fmt: skip
def test_radius_is_arcsec_unless_it_says_otherwise(text, arcsec):
    assert parse_radius(text) == pytest.approx(arcsec, rel=1e-12)


@pytest.mark.parametrize("text", ["", "-1", "nan", "inf", "3 parsec", "arcsec", "1e999"])
def test_what_is_no_radius_is_a_value_error(text):
    with pytest.raises(ValueError, match="radius"):
        parse_radius(text)


@pytest.mark.parametrize(
    "text",
    ["J123456.70-123448.0", "ZTF J123456.70-123448.0", "SDSSJ123456.7-123448", f"ZTF_J123456.70{MINUS}123448.0",
     "J123456.7 -123448"],
)  # fmt: skip
def test_a_designation_holds_its_position(text):
    there = SkyCoord("12h34m56.7s", "-12d34m48s")
    assert parse_designation(text) == pytest.approx((there.ra.deg, there.dec.deg), abs=1e-9)


@pytest.mark.parametrize("text", ["ZTF18abcdefg", "J1234-12", "123456.7-123448", "188.7 -12.5", "J123456.7123448", ""])
def test_what_holds_no_position_is_no_designation(text):
    assert parse_designation(text) is None


@pytest.mark.parametrize("text", ["J253456.7-123448", "J126056.7-123448", "J123456.7-913448", "J123456.7-123460"])
def test_a_designation_out_of_range_is_a_value_error(text):
    with pytest.raises(ValueError, match=r"right ascension|declination"):
        parse_designation(text)
