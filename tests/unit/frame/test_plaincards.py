"""Cards parsed from text against astropy, which parses every card in the comparison."""

from __future__ import annotations

import random

import numpy as np
import pytest
from astropy.io import fits

from tests.support.headers import header_a
from tests.support.quadrant import real_data
from ztfdb.errors import ImageError
from ztfdb.frame.cards import card_value
from ztfdb.frame.fitsfile import find_image, read_bytes
from ztfdb.frame.plaincards import parse_cards
from ztfdb.simulate.exposure import Exposure
from ztfdb.simulate.header import mask_header, science_header

CARDS = [
    "OBSMJD  =     58116.1738079 / start", "EXPTIME = 30.", "GAIN    = +.5E1", "MAGZP   = -1.5e-03/x",
    "HUGE    = 1E999",
    "BIG     = 123456789012345678901234567890", "ZERO    = 007", "MINUS   = -0", "LETTER  = 1.5D3", "SPACED  = 1 . 5",
    "LOGIC   =                    T", "LOGIC2  = F / false", "TRUTH   = TRUE", "TEXT    = 'abc   '   / note",
    "QUOTE   = 'it''s'", "OPEN    = 'never closed", "EMPTY   = ''", "EMPTY2  = '' / 'quoted' text", "BLANKS  = '    '",
    "TIME    = '2017-12-29T04:10:18.621'", "RVKC    = 'AXIS.1: 2'", "DP1     = 'NAXIS: 2.0'", "COLON   = 'a: b'",
    "UNDEF   =", "UNDEF2  = / comment only", "COMPLEX = (1.0, 2.0)", "lower   = 5", "NOEQUAL   7", "EARLY= 5",
    "GLUED   =5",
    "COMMENT a comment = 5", "COMMENT = 'x'", "HISTORY   kept  ", "HIERARCH ESO INS = 'x' / y", "", "        = 5",
    "TWICE   = 1", "TWICE   = 'two'", "A-B_C   = 1.25", "TOOLONGKEY= 1", "SLASH   = 'a/b' / c/d", "STRAY   = 'a' b",
    "1+1     = 2",
    "NUL     = 'a\0b'", "BYTE    = 'caf\xe9'", "UNDER   = 1_000", "EXP     = 1E5", "NAN     = NaN", "INF     = Inf",
]  # fmt: skip


def image_of(folder, text):
    """Write a small image whose header has these cards, and return it as it is found."""
    head = [
        "SIMPLE  =                    T", "BITPIX  =                   16", "NAXIS   =                    2",
        "NAXIS1  =                    4", "NAXIS2  =                    3", *text, "END",
    ]  # fmt: skip
    content = b"".join(f"{card:80.80}".encode("latin-1") for card in head)
    path = folder / "a.fits"
    path.write_bytes(content.ljust(-(-len(content) // 2880) * 2880) + bytes(2880))
    return find_image(read_bytes(path))


def check(image):
    """Compare the cards parsed from the text with those that astropy parses one by one."""
    assert image.text or image.hdu or image.byte_offset is None
    fast, slow = image.cards, parse_cards(image.header)
    assert list(fast.as_json) == list(slow.as_json)
    for keyword, value in slow.as_json.items():
        assert (type(fast.as_json[keyword]), fast.as_json[keyword]) == (type(value), value), keyword
        if isinstance(value, float):
            assert np.signbit(fast.as_json[keyword]) == np.signbit(value)
    for keyword in image.header:
        if keyword and keyword not in ("COMMENT", "HISTORY") and "." not in keyword:
            one, other = card_value(fast.values, keyword.upper()), card_value(image.header, keyword)
            assert (type(one), repr(one)) == (type(other), repr(other)), keyword
            assert keyword.upper() in fast.values


@pytest.mark.parametrize("card", CARDS)
def test_each_card_has_the_value_of_astropy(tmp_path, card):
    check(image_of(tmp_path, [card]))


def test_all_cards_together(tmp_path):
    check(image_of(tmp_path, CARDS))
    check(image_of(tmp_path, [*CARDS, "LONG    = 'abc&'", "CONTINUE  'def' / more"]))


@pytest.mark.parametrize(
    "header", [header_a(), science_header(Exposure()), mask_header(Exposure())], ids=["a", "sci", "msk"]
)
def test_headers_of_ztf(tmp_path, header):
    text = header.tostring()
    image = image_of(tmp_path, [text[at : at + 80] for at in range(0, len(text), 80)][:-1])
    assert isinstance(image.cards.values, dict)
    check(image)


def test_random_cards(tmp_path):
    rng = random.Random(7)
    pieces = [
        "'",
        "''",
        "/",
        " ",
        "  ",
        "=",
        "= ",
        "T",
        "F",
        "1",
        "-2",
        "+",
        ".5",
        "E3",
        "D2",
        "abc",
        "A.B: 3",
        "(",
        ",",
        ")",
        "&",
    ]
    for _ in range(150):
        cards = [
            f"{rng.choice(['KEY', 'a', 'X-1', 'LONGNAME', 'COMMENT', 'HISTORY', ''])}{rng.randint(0, 9)}"[:8].ljust(8)
            + rng.choice(["= ", "= ", "= ", "=", "  "])
            + "".join(rng.choices(pieces, k=rng.randint(0, 9)))
            for _ in range(30)
        ]  # fmt: skip
        check(image_of(tmp_path, cards))


def test_values_of_another_setting_of_astropy(tmp_path):
    with fits.conf.set_temp("strip_header_whitespace", False):
        check(image_of(tmp_path, ["TEXT    = 'abc   '"]))


def test_real_headers():
    n = 0
    for path in sorted(real_data().rglob("*.fits*")):
        try:
            image = find_image(read_bytes(path))
        except ImageError:
            continue
        check(image)
        n += 1
    assert n > 20
