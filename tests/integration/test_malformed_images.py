"""Whatever bytes lie under an image's name, reading them gives an image or a reason, soon and in little memory."""

from __future__ import annotations

import csv
import gzip
import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from tests.support.headers import header_a, write_image
from tests.support.quadrant import SHARED_DATA
from ztfdb.errors import HeaderError, ImageError, ImageReadError, WcsError
from ztfdb.frame.read import Frame, read_frame

MAX_SECONDS = 10.0
MAX_GROWTH_KIB = 400 * 1024

REAL_FILES = sorted(p.relative_to(SHARED_DATA).as_posix() for p in SHARED_DATA.rglob("*") if p.is_file())
VARIANTS = "malformed/ztf_variants"

VARIANT_OUTCOMES = {
    "760": None, "761": ImageReadError, "762": ImageReadError, "763": ImageReadError, "764": ImageReadError,
    "765": ImageReadError, "766": None, "767": None, "768": None, "769": HeaderError, "770": HeaderError,
    "771": HeaderError, "772": HeaderError, "773": WcsError, "774": WcsError, "775": None,
}  # fmt: skip
"""What becomes of each damaged image, by the end of its filefracday; None where it is read."""


def read_or_refuse(path: Path) -> Frame | ImageError:
    """Read an image; fail on anything but an image or a typed reason, on a long wait, and on much memory."""
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    try:
        outcome: Frame | ImageError = read_frame(path)
    except ImageError as exc:
        outcome = exc
    assert isinstance(outcome, Frame) or outcome.reason
    assert time.process_time() - start < MAX_SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MAX_GROWTH_KIB
    return outcome


@pytest.mark.parametrize("name", REAL_FILES or ["absent"])
def test_real_files_are_read_or_refused(shared_data: Path, name: str) -> None:
    outcome = read_or_refuse(shared_data / name)
    assert isinstance(outcome, Frame) == is_image(name)
    if isinstance(outcome, Frame):
        assert np.isfinite(outcome.data).any()
        assert outcome.data.shape == (outcome.info.ny, outcome.info.nx)


def is_image(name: str) -> bool:
    """Which of the real files are science images."""
    if name.startswith(VARIANTS):
        return VARIANT_OUTCOMES[name.split("_")[2][-3:]] is None
    readable = ("crop512/", "cutouts/", "reports/difference/", "reports/sip_beside_pv/", "reports/tiny/")
    images = name.startswith(readable) and name.endswith("sciimg.fits")
    return images or (name.startswith("psf/") and name.endswith(".fits"))


def test_damaged_images_fare_as_their_manifest_says(shared_data: Path) -> None:
    rows = csv.DictReader((shared_data / "malformed" / "manifest.csv").read_text().splitlines())
    for row in rows:
        outcome = read_or_refuse(shared_data / VARIANTS / row["file"])
        wanted = VARIANT_OUTCOMES[row["file"].split("_")[1][-3:]]
        assert isinstance(outcome, wanted or Frame), row["defect"]
        if isinstance(outcome, HeaderError):
            assert outcome.keyword == "MAGZP"
        if "ok" not in row["expected"]:
            assert isinstance(outcome, ImageError), row["defect"]


def test_readable_variants_of_one_image_are_one_image(shared_data: Path) -> None:
    names = [k for k, wanted in VARIANT_OUTCOMES.items() if wanted is None]
    frames = [read_or_refuse(next((shared_data / VARIANTS).glob(f"*431{name}_*"))) for name in names]
    assert len({frame.info.image_id for frame in frames if isinstance(frame, Frame)}) == 1
    assert all(isinstance(frame, Frame) and np.array_equal(frame.data, frames[0].data) for frame in frames)


def card(keyword: str, value: object) -> bytes:
    """One header card."""
    return f"{keyword:<8}= {value!s:>20}".ljust(80).encode("ascii")


def header_bytes(*cards: bytes) -> bytes:
    """A header of cards, closed and padded."""
    raw = b"".join(cards) + b"END".ljust(80)
    return raw + b" " * (-len(raw) % 2880)


def image_header(naxis1: object, naxis2: object, bitpix: object = -32, *more: bytes) -> bytes:
    sizes = (card("NAXIS1", naxis1), card("NAXIS2", naxis2))
    return header_bytes(card("SIMPLE", "T"), card("BITPIX", bitpix), card("NAXIS", 2), *sizes, *more)


def table_header(rows: int, width: int) -> bytes:
    return header_bytes(
        b"XTENSION= 'BINTABLE'".ljust(80), card("BITPIX", 8), card("NAXIS", 2), card("NAXIS1", width),
        card("NAXIS2", rows), card("PCOUNT", 0), card("GCOUNT", 1), card("TFIELDS", 0),
    )  # fmt: skip


def compressed_header(n: int, tile: int, heap: int, *more: bytes, kind: str = "RICE_1", rows: int = 1) -> bytes:
    return header_bytes(
        b"XTENSION= 'BINTABLE'".ljust(80), card("BITPIX", 8), card("NAXIS", 2), card("NAXIS1", 8),
        card("NAXIS2", rows), card("PCOUNT", heap), card("GCOUNT", 1), card("TFIELDS", 1),
        b"TFORM1  = '1PB(9)'".ljust(80), b"TTYPE1  = 'COMPRESSED_DATA'".ljust(80), card("ZIMAGE", "T"),
        card("ZBITPIX", -32), card("ZNAXIS", 2), card("ZNAXIS1", n), card("ZNAXIS2", n), card("ZTILE1", tile),
        card("ZTILE2", tile), f"ZCMPTYPE= '{kind:<8}'".encode().ljust(80), *more,
    )  # fmt: skip


def setting(name: str, value: object) -> tuple[bytes, bytes]:
    """The two cards of one setting of a tile compression."""
    return f"ZNAME1  = '{name:<8}'".encode().ljust(80), card("ZVAL1", value)


EMPTY_PRIMARY = header_bytes(card("SIMPLE", "T"), card("BITPIX", 8), card("NAXIS", 0))
ZEROS = bytes(2880 * 4)

HOSTILE: dict[str, bytes] = {
    "empty": b"",
    "one byte": b"S",
    "html": b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
    "zeros": bytes(30000),
    "SIMPLE alone": b"SIMPLE  =",
    "no END": card("SIMPLE", "T") * 5000,
    "END alone": header_bytes(card("SIMPLE", "T")),
    "huge axes": image_header(2_000_000_000, 2_000_000_000) + ZEROS,
    "axes beyond 64 bits": image_header(10**19, 10**18) + ZEROS,
    "wide": image_header(10**7, 1) + ZEROS,
    "more pixels than bytes": image_header(3072, 3080) + ZEROS,
    "negative axis": image_header(-5, 10) + ZEROS,
    "true axis": image_header("T", 1) + ZEROS,
    "true dimensions": header_bytes(card("SIMPLE", "T"), card("BITPIX", 8), card("NAXIS", "T"), card("NAXIS1", 4)),
    "text axis": image_header("'many'", 10) + ZEROS,
    "no second axis": header_bytes(card("SIMPLE", "T"), card("BITPIX", -32), card("NAXIS", 2), card("NAXIS1", 5)),
    "axis of zero": image_header(0, 10) + ZEROS,
    "three axes": header_bytes(
        card("SIMPLE", "T"), card("BITPIX", 8), card("NAXIS", 3), *(card(f"NAXIS{i}", 4) for i in (1, 2, 3))
    ) + ZEROS,
    "999 axes": header_bytes(
        card("SIMPLE", "T"), card("BITPIX", 8), card("NAXIS", 999), *(card(f"NAXIS{i}", 2) for i in range(1, 1000))
    ) + ZEROS,
    "million axes": header_bytes(card("SIMPLE", "T"), card("BITPIX", 8), card("NAXIS", 10**6)) + ZEROS,
    "odd BITPIX": image_header(4, 4, 7) + ZEROS,
    "no BITPIX": header_bytes(card("SIMPLE", "T"), card("NAXIS", 2), card("NAXIS1", 4), card("NAXIS2", 4)) + ZEROS,
    "negative PCOUNT": image_header(4, 4, -32, card("PCOUNT", -10**9)) + ZEROS,
    "table only": EMPTY_PRIMARY + table_header(3, 4) + ZEROS,
    "table of 10^18 rows": EMPTY_PRIMARY + table_header(10**18, 4) + ZEROS,
    "a thousand empty tables": EMPTY_PRIMARY + table_header(0, 0) * 1000,
    "primary only": EMPTY_PRIMARY,
    "no header cards": image_header(10, 10) + ZEROS,
    "damaged gzip": gzip.compress(image_header(10, 10) + ZEROS)[:60] + b"\xff" * 50,
    "gzip cut short": gzip.compress(np.random.default_rng(1).bytes(60000))[:30000],
    "gzip of nothing": gzip.compress(b""),
    "gzip of gzip": gzip.compress(gzip.compress(image_header(10, 10) + ZEROS)),
    "gzip bomb": gzip.compress(image_header(2_000_000, 2_000_000) + bytes(50_000_000)),
    "gzip bomb before the image": gzip.compress(EMPTY_PRIMARY + table_header(10**6, 10**6) + bytes(50_000_000)),
    "tiles of nothing": EMPTY_PRIMARY + compressed_header(100, 100, 0) + ZEROS,
    "tiles out of the file": EMPTY_PRIMARY + compressed_header(100, 100, 10**12) + ZEROS,
    "a tile too large": EMPTY_PRIMARY + compressed_header(100, 10**6, 8) + ZEROS,
    "an image too large of tiles": EMPTY_PRIMARY + compressed_header(10**6, 100, 8) + ZEROS,
    "tiles of another compression": EMPTY_PRIMARY + compressed_header(64, 64, 64, kind="HCOMPRESS_1") + ZEROS,
    "tiles of an unknown compression": EMPTY_PRIMARY + compressed_header(64, 64, 64, kind="LZ4") + ZEROS,
    "a pixel of 2 GB": EMPTY_PRIMARY + compressed_header(64, 64, 64, *setting("BYTEPIX", 2_000_000_000)) + ZEROS,
    "a negative block": EMPTY_PRIMARY + compressed_header(64, 64, 64, *setting("BLOCKSIZE", -1)) + ZEROS,
    "a wild dither": EMPTY_PRIMARY
    + compressed_header(64, 64, 64, b"ZQUANTIZ= 'SUBTRACTIVE_DITHER_1'".ljust(80), card("ZDITHER0", -(10**9)))
    + ZEROS,
    "tiles without rows": EMPTY_PRIMARY + compressed_header(64, 1, 64) + ZEROS,
    "a million tiles": EMPTY_PRIMARY + compressed_header(1000, 1, 64, rows=10**6) + bytes(8_000_640),
    "gzip of tiles cut short": gzip.compress(
        EMPTY_PRIMARY + compressed_header(64, 64, 50000) + np.random.default_rng(3).bytes(60000)
    )[:40000],
    "random after a header": EMPTY_PRIMARY + compressed_header(64, 64, 5000) + np.random.default_rng(2).bytes(8640),
}  # fmt: skip


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "ztf_20200924431759_000655_zr_c13_o_q3_sciimg.fits"
    path.write_bytes(content)
    assert isinstance(read_or_refuse(path), ImageError)


@pytest.mark.parametrize("share", [0.01, 0.3, 0.6, 0.9, 0.97])
@pytest.mark.parametrize("packed", [False, True])
def test_images_cut_short_are_refused(tmp_path: Path, share: float, packed: bool) -> None:
    path = write_image(tmp_path / "x_sciimg.fits", shape=(160, 160))
    content = path.read_bytes()
    if packed:
        content = gzip.compress(content)
    path.write_bytes(content[: int(share * len(content))])
    assert isinstance(read_or_refuse(path), ImageReadError)


@pytest.mark.parametrize("kind", ["plain", "tiles"])
def test_flipped_bytes_never_surprise(tmp_path: Path, kind: str) -> None:
    path = write_image(tmp_path / "x_sciimg.fits", shape=(60, 60))
    if kind == "tiles":
        with fits.open(path) as hdus:
            fits.CompImageHDU(hdus[0].data, hdus[0].header).writeto(path, overwrite=True)
    good = path.read_bytes()
    rng = np.random.default_rng(7)
    read = 0
    for _ in range(150):
        damaged = bytearray(good)
        for place in rng.integers(0, len(good), rng.integers(1, 30)):
            damaged[place] = rng.integers(0, 256)
        path.write_bytes(damaged)
        read += isinstance(read_or_refuse(path), Frame)
    assert read > 0


ODD_HEADERS: dict[str, Callable[[fits.Header], None]] = {
    "lower-case text": lambda h: h.set("FILTER", "ztf_g"),
    "HIERARCH": lambda h: h.append(fits.Card("HIERARCH a long keyword", 5)),
    "long string": lambda h: h.set("LONGSTR", "x" * 300),
    "many comments": lambda h: [h.add_comment(f"line {i}") for i in range(2000)] and None,
    "undefined": lambda h: h.set("GAIN", None),
    "complex": lambda h: h.set("CPLX", 1 + 2j),
    "big integer": lambda h: h.set("BIG", 10**30),
}


@pytest.mark.parametrize("change", ODD_HEADERS.values(), ids=ODD_HEADERS.keys())
@pytest.mark.filterwarnings("ignore::astropy.io.fits.verify.VerifyWarning")  # of the writing
def test_odd_but_harmless_headers_are_read(tmp_path: Path, change: Callable[[fits.Header], None]) -> None:
    header = header_a(window=(100, 200))
    change(header)
    path = tmp_path / "x_sciimg.fits"
    fits.PrimaryHDU(np.ones((8, 9), "f4"), header).writeto(path)
    assert isinstance(read_or_refuse(path), Frame)
