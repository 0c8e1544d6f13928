"""Reading ZTF's PSF catalogues without trusting them."""

from __future__ import annotations

import gzip
import pickle
import tracemalloc

import numpy as np
import pytest
from astropy.io import fits

from tests.support.catalogues import real_refpsfcat, table_of
from ztfdb.errors import ImageError, PsfCatalogueError
from ztfdb.frame.psfcat import (
    image_path_for,
    is_psfcat_name,
    of_image,
    psfcat_path_for,
    read_psfcat,
    reference_image_id,
)
from ztfdb.frame.read import read_frame
from ztfdb.simulate import make_psfcat, make_science_image


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("psfcat")
    image = make_science_image(folder, n_star=50, seed=2, shape=(250, 260))
    return image, make_psfcat(image)


def test_the_real_catalogue_is_read_as_it_stands(shared_data):
    path = real_refpsfcat(shared_data)
    record, want = read_psfcat(path), table_of(path)
    table = record.table
    assert (record.role, record.field, record.rcid, record.fid) == ("refpsfcat", 202, 36, 1)
    assert (record.expid, record.obsmjd, record.rfid, record.magzp) == (None, None, 202120136, 26.325)
    assert (record.nmatches, record.pcolor, record.infobits) == (28, "g-R", 16)
    assert record.file.sha256.startswith("794ebc81a7b9")
    assert reference_image_id(record) == 10**13 + (202 * 4 + 1) * 64 + 36
    assert (table.x + 1.0 == want["xpos"]).all()  # 1-based in the file
    assert (table.sourceid == want["sourceid"]).all()
    assert table.flux.dtype == np.float32
    assert table.flux.tobytes() == want["flux"].tobytes()
    assert table.ra.tobytes() == want["ra"].tobytes()


def test_a_simulated_catalogue_belongs_to_its_image(simulated):
    image, path = simulated
    frame = read_frame(image.sci, image.msk)
    record = read_psfcat(path)
    assert (record.role, record.simulated) == ("psfcat", True)
    assert (record.expid, record.obsmjd) == (frame.info.expid, frame.info.obsmjd)
    own = of_image(record, frame.info, frame.wcs)  # a window of the quadrant, in its own pixels
    assert own.table.x.max() < 260
    nearest = np.hypot(own.table.x[:, None] - image.truth.x, own.table.y[:, None] - image.truth.y).min(axis=1)
    assert nearest.max() < 1e-3


def test_a_gzip_stream_is_compared_with_its_checksum(simulated, tmp_path):
    _, path = simulated
    content = path.read_bytes()
    packed = bytearray(gzip.compress(content, 0))
    packed[len(packed) // 2] ^= 1
    damaged = tmp_path / f"{path.name}.gz"
    damaged.write_bytes(packed)
    with pytest.raises(ImageError, match="gzip stream is damaged: CRC check failed"):
        read_psfcat(damaged)


def test_gzip_is_told_by_content(simulated, tmp_path):
    _, path = simulated
    packed = tmp_path / "any name"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert read_psfcat(packed).table.flux.tobytes() == read_psfcat(path).table.flux.tobytes()
    assert read_psfcat(packed).file.compression == "gzip"


def test_columns_may_come_in_another_order_with_others_between(simulated, tmp_path):
    _, path = simulated
    with fits.open(path) as hdus:
        columns = [*reversed(list(hdus[1].columns)), fits.Column("note", "7A", array=["x"] * len(hdus[1].data))]
        table = fits.BinTableHDU.from_columns(columns)
        fits.HDUList([hdus[0].copy(), table]).writeto(tmp_path / "other.fits")
    assert read_psfcat(tmp_path / "other.fits").table.chi.tobytes() == read_psfcat(path).table.chi.tobytes()


@pytest.mark.parametrize("name", ["zerowidth.fits", "memtest.fits", "chandra_time.fits", "tb.fits"])
def test_other_tables_are_refused_in_little_memory(shared_data, name):
    path = shared_data / "malformed" / "astropy" / name  # zerowidth.fits claims 777,777,701 rows
    tracemalloc.start()
    with pytest.raises(PsfCatalogueError):
        read_psfcat(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6


@pytest.mark.parametrize(
    "claim", [("NAXIS2", 777_777_701), ("NAXIS1", 2**31), ("TFIELDS", 10**9), ("TFORM3", "999999E")]
)
def test_claims_are_not_believed(simulated, tmp_path, claim):
    _, path = simulated
    content = path.read_bytes()
    key, value = claim
    at = content.index(f"{key:8}=".encode(), 2880)
    text = f"{value!r:>20}" if isinstance(value, int) else f"'{value:8}'"
    card = f"{key:8}= {text}".ljust(80).encode()
    bad = tmp_path / "bad.fits"
    bad.write_bytes(content[:at] + card + content[at + 80 :])
    with pytest.raises(PsfCatalogueError):
        read_psfcat(bad)


def test_whatever_is_damaged_is_an_image_error(simulated, tmp_path):
    _, path = simulated
    content, rng = path.read_bytes(), np.random.default_rng(5)
    bad, refused = tmp_path / "bad.fits", []
    for _ in range(150):
        damaged = bytearray(content)
        for at in rng.integers(0, 8640, 6):
            damaged[at] = rng.integers(256)
        bad.write_bytes(damaged[: rng.integers(1, len(damaged))] if rng.random() < 0.4 else damaged)
        try:
            read_psfcat(bad)
        except ImageError as exc:
            refused.append(exc)
    assert len(refused) > 50
    assert [str(exc) for exc in pickle.loads(pickle.dumps(refused))] == [str(exc) for exc in refused]


def test_files_are_paired_by_name(tmp_path):
    stem = "ztf_20200924431759_000655_zr_c13_o_q3"
    for name in (f"{stem}_sciimg.fits.gz", f"{stem}_psfcat.fits", "ztf_000655_zr_c13_q3_refimg.fits",
                 "ztf_000655_zr_c13_q3_refpsfcat.fits.gz"):  # fmt: skip
        (tmp_path / name).touch()
    sci, ref = tmp_path / f"{stem}_sciimg.fits.gz", tmp_path / "ztf_000655_zr_c13_q3_refimg.fits"
    cat, refcat = tmp_path / f"{stem}_psfcat.fits", tmp_path / "ztf_000655_zr_c13_q3_refpsfcat.fits.gz"
    assert (psfcat_path_for(sci), psfcat_path_for(ref)) == (cat, refcat)
    assert (image_path_for(cat), image_path_for(refcat)) == (sci, ref)
    assert is_psfcat_name(cat)
    assert not is_psfcat_name(sci)
    assert psfcat_path_for(tmp_path / "my.fits") is None
    assert image_path_for(tmp_path / "my.fits") is None
