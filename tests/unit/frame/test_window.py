"""Windows of ingested files against the same pixels read whole."""

from __future__ import annotations

import gzip
import os
import shutil

import numpy as np
import pytest
from astropy.io import fits

from tests.support.integers import SCALINGS, read_by_astropy, store_as_integers
from ztfdb.errors import FileChangedError, FileMissingError, ImageReadError
from ztfdb.frame import window
from ztfdb.frame.read import read_frame
from ztfdb.frame.window import PixelFile
from ztfdb.simulate import make_science_image

WINDOWS = [
    (slice(0, 1), slice(0, 1)),
    (slice(40, 63), slice(70, 93)),
    (slice(0, 120), slice(0, 140)),
    (slice(100, 120), slice(130, 140)),
    (slice(3, 9), slice(0, 140)),
]


@pytest.fixture
def image(tmp_path):
    made = make_science_image(tmp_path / "a_sciimg.fits", shape=(120, 140), n_star=30, seed=3, nan_pixels=20)
    return made.sci, made.msk


def compressed(how, sci, msk, folder):
    """Write the two files anew in another form; return their paths."""
    if how == "none":
        return sci, msk
    paths = []
    for path in (sci, msk):
        target = folder / f"{path.name}.{'gz' if how == 'gzip' else 'fz'}"
        if how == "gzip":
            target.write_bytes(gzip.compress(path.read_bytes(), 1))
        else:
            with fits.open(path) as hdus:
                data, header = hdus[0].data, hdus[0].header
            kind = "RICE_1" if path is msk else "GZIP_2"
            quantize = 0.0 if kind == "GZIP_2" else 16.0
            made = fits.CompImageHDU(data, header, compression_type=kind, quantize_level=quantize)
            fits.HDUList([fits.PrimaryHDU(), made]).writeto(target)
        paths.append(target)
    return tuple(paths)


@pytest.mark.parametrize("how", ["none", "gzip", "tiles"])
def test_windows_are_the_pixels_of_the_whole_image(image, how, tmp_path):
    frame = read_frame(*compressed(how, *image, tmp_path))
    for facts, whole in zip(frame.files, (frame.data, frame.mask), strict=True):
        with PixelFile(facts, frame.shape) as opened:
            for rows, cols in WINDOWS:
                window = opened.read(rows, cols)
                assert window.dtype == whole.dtype
                np.testing.assert_array_equal(window, whole[rows, cols])


@pytest.mark.parametrize("dtype", ["i2", "f8", "scaled", "blank"])
def test_other_pixel_types_are_scaled_as_when_read_whole(image, dtype, tmp_path):
    sci, msk = image
    with fits.open(sci) as hdus:
        data, header = hdus[0].data, hdus[0].header
    if dtype == "f8":
        made = fits.PrimaryHDU(data.astype("f8"), header)
    else:
        made = fits.PrimaryHDU(np.nan_to_num(data).astype("i2"), header)
    path = tmp_path / "b_sciimg.fits"
    if dtype == "blank":
        made.header["BLANK"] = int(made.data[50, 80])
    if dtype == "scaled":
        made.scale("int16", bscale=0.5, bzero=100.0)
    made.writeto(path)
    frame = read_frame(path, msk)
    with PixelFile(frame.files[0], frame.shape) as opened:
        for rows, cols in WINDOWS:
            np.testing.assert_array_equal(opened.read(rows, cols), frame.data[rows, cols])


@pytest.fixture
def spent(monkeypatch):
    """Bytes of each read from a file that is open for windows; reading a whole file is refused."""
    read, sizes = os.pread, []

    def pread(descriptor, n, offset):
        sizes.append(n)
        return read(descriptor, n, offset)

    def whole(raw):
        raise AssertionError(f"{raw.path} was read whole")

    monkeypatch.setattr(os, "pread", pread)
    monkeypatch.setattr(window, "find_image", whole)
    return sizes


@pytest.mark.parametrize("extension", [False, True], ids=["primary", "extension"])
@pytest.mark.parametrize("blank", [False, True], ids=["", "blank"])
@pytest.mark.parametrize("bitpix", SCALINGS)
def test_windows_of_integers_are_what_astropy_reads(image, bitpix, blank, extension, spent):
    sci, msk = image
    store_as_integers(sci, bitpix, blank=blank, extension=extension)
    truth = read_by_astropy(sci)
    assert np.isnan(truth).any() == blank
    if extension:
        assert "BLANK" in fits.getheader(sci)
    frame = read_frame(sci, msk)
    with PixelFile(frame.files[0], frame.shape) as opened:
        for rows, cols in WINDOWS:
            found = opened.read(rows, cols)
            assert found.dtype == frame.data.dtype == np.float32
            assert found.flags.writeable
            np.testing.assert_array_equal(found, truth[rows, cols])
            np.testing.assert_array_equal(found, frame.data[rows, cols])


def test_the_header_of_integers_is_read_once(image, spent):
    store_as_integers(image[0], 16, blank=True)
    frame = read_frame(*image)
    reads = []
    for _ in range(2):
        spent.clear()
        with PixelFile(frame.files[0], frame.shape) as opened:
            opened.read(*WINDOWS[1])
            opened.read(*WINDOWS[1])
        reads.append(list(spent))
    header, rows = frame.files[0].byte_offset, 23 * frame.shape[1] * 2
    assert sorted(reads[0]) == sorted([rows, header, rows])
    assert reads[1] == [rows, rows]


def test_a_new_header_of_a_touched_file_is_read_again(image):
    store_as_integers(image[0], 16)
    before = read_frame(*image)
    with PixelFile(before.files[0], before.shape) as opened:
        assert np.isfinite(opened.read(*WINDOWS[2])).all()
    store_as_integers(image[0], 16, blank=True)
    os.utime(image[0], ns=(5, 5))
    after = read_frame(*image)
    with PixelFile(after.files[0], after.shape) as opened:
        np.testing.assert_array_equal(opened.read(*WINDOWS[2]), read_by_astropy(image[0]))


def test_a_window_can_be_written_to(image):
    frame = read_frame(*image)
    with PixelFile(frame.files[0], frame.shape) as opened:
        first = opened.read(*WINDOWS[1])
        first[:] = 0.0
        assert opened.read(*WINDOWS[1]).any()


def test_a_touched_file_is_believed_by_its_checksum(image):
    frame = read_frame(*image)
    os.utime(image[0], ns=(1, 1))
    with PixelFile(frame.files[0], frame.shape) as opened:
        assert opened.mtime_ns == 1
        np.testing.assert_array_equal(opened.read(*WINDOWS[1]), frame.data[WINDOWS[1]])


def test_other_content_of_the_same_size_is_refused(image):
    frame = read_frame(*image)
    content = bytearray(image[0].read_bytes())
    content[-3000] ^= 1
    image[0].write_bytes(content)
    os.utime(image[0], ns=(2, 2))
    with pytest.raises(FileChangedError, match="sha256"):
        PixelFile(frame.files[0], frame.shape)


def test_another_size_is_refused(image):
    frame = read_frame(*image)
    with image[0].open("ab") as stream:
        stream.write(b" ")
    os.utime(image[0], ns=(frame.files[0].mtime_ns, frame.files[0].mtime_ns))
    with pytest.raises(FileChangedError, match="bytes"):
        PixelFile(frame.files[0], frame.shape)


def test_a_file_that_changes_while_it_is_open_is_refused(image):
    frame = read_frame(*image)
    with PixelFile(frame.files[0], frame.shape) as opened:
        image[0].write_bytes(image[0].read_bytes())
        with pytest.raises(FileChangedError, match="while it was read"):
            opened.read(*WINDOWS[1])


def test_a_missing_file_and_a_folder_are_told_apart(image):
    frame = read_frame(*image)
    image[0].unlink()
    with pytest.raises(FileMissingError):
        PixelFile(frame.files[0], frame.shape)
    image[0].mkdir()
    with pytest.raises(ImageReadError, match="regular"):
        PixelFile(frame.files[0], frame.shape)


def test_a_replaced_file_does_not_disturb_one_that_is_open(image, tmp_path):
    frame = read_frame(*image)
    with PixelFile(frame.files[0], frame.shape) as opened:
        other = tmp_path / "other"
        shutil.copy(image[0], other)
        other.replace(image[0])  # a rename leaves the open file as it was
        np.testing.assert_array_equal(opened.read(*WINDOWS[1]), frame.data[WINDOWS[1]])
