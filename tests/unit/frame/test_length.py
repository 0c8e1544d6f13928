"""Complete files are told from those that are still being written, cut at every block."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from astropy.io import fits

from ztfdb.frame.length import missing_bytes


@pytest.fixture
def content(tmp_path):
    path = tmp_path / "whole.fits"
    hdus = [fits.PrimaryHDU(np.zeros((40, 30), "f4")), fits.ImageHDU(np.zeros((50, 20), "i2"))]
    fits.HDUList(hdus).writeto(path)
    return path.read_bytes()


def test_a_whole_file_misses_nothing(content, tmp_path):
    path = tmp_path / "a.fits"
    path.write_bytes(content)
    assert missing_bytes(path) == 0


def test_every_cut_is_noticed_but_in_the_padding_and_between_two_hdus(content, tmp_path):
    path = tmp_path / "a.fits"
    first = len(fits.PrimaryHDU(np.zeros((40, 30), "f4")).header.tostring()) + 40 * 30 * 4
    padded = -(-first // 2880) * 2880
    last = padded + 2880 + 50 * 20 * 2
    for cut in [*range(0, len(content), 2880), *range(100, len(content), 997)]:
        path.write_bytes(content[:cut])
        whole = first <= cut <= padded or cut >= last
        assert (missing_bytes(path) == 0) == whole, cut


def test_what_only_reading_can_judge_passes(content, tmp_path):
    path = tmp_path / "a.fits"
    for odd in (gzip.compress(content)[:500], b"not FITS", content.replace(b"NAXIS1  =", b"NAXIS1  @", 1)):
        path.write_bytes(odd)
        assert missing_bytes(path) == 0


@pytest.mark.parametrize("value", ["-5", "'text'", "1e300", "T"])
def test_hostile_sizes_neither_raise_nor_hang(content, tmp_path, value):
    path = tmp_path / "a.fits"
    at = content.index(b"NAXIS1  =")
    path.write_bytes(content[:at] + f"NAXIS1  = {value:>20}".ljust(80).encode() + content[at + 80 :])
    assert missing_bytes(path) >= 0
