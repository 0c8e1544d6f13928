from __future__ import annotations

import gzip
import os
import shutil

import pytest
from astropy.io import fits

from ztfdb.frame import sniff
from ztfdb.ingest import folders
from ztfdb.ingest.discover import discover, image_of
from ztfdb.ingest.folders import Headers
from ztfdb.simulate import make_science_image


@pytest.fixture
def image(tmp_path):
    return make_science_image(tmp_path, shape=(30, 40), mask=False).sci


@pytest.mark.parametrize("name", ["{stem}_ra33.9_dec-26.5_asec600.fits", "{stem}.fits?center=1,2", "{stem}.fits.1"])
@pytest.mark.parametrize("own", [True, False])
def test_an_image_is_taken_by_its_header_whatever_its_name(image, name, own):
    new = image.with_name(name.format(stem=image.stem) if own else "comet1.fits")
    image.rename(new)
    found = discover([new.parent])
    assert [one.path for one in found.images] == [str(new)]
    assert not found.left_out
    assert image_of(str(new), str(new.parent)) is not None


@pytest.mark.parametrize("how", ["gzip", "fpack", "extension"])
def test_packed_images_and_extensions_are_taken_by_their_header(image, how):
    new = image.with_name("comet1.dat")
    with fits.open(image) as hdus:
        if how == "gzip":
            new.write_bytes(gzip.compress(image.read_bytes()))
        else:
            kind = fits.CompImageHDU if how == "fpack" else fits.ImageHDU
            fits.HDUList([fits.PrimaryHDU(), kind(hdus[0].data, hdus[0].header)]).writeto(new)
    image.unlink()
    assert [one.path for one in discover([new.parent]).images] == [str(new)]


def test_what_is_left_out_is_counted_by_reason(image):
    folder = image.parent
    (folder / "notes.txt").write_text("seeing was bad")
    (folder / "empty.fits").touch()
    (folder / ".hidden.fits").touch()
    shutil.copyfile(image, folder / "image.fits.part")
    shutil.copyfile(image, folder / (image.name + ".gz"))
    shutil.copyfile(image, folder / image.name.replace("sciimg", "scimrefdiffimg"))
    (folder / image.name.replace("sciimg", "mskimg")).touch()  # beside its image: not left out
    fits.PrimaryHDU(fits.getdata(image)).writeto(folder / "other.fits")
    os.mkfifo(folder / "pipe.fits")
    found = discover([folder])
    assert [one.path for one in found.images] == [str(image)]
    assert found.left_out == {
        sniff.NOT_FITS: 1, sniff.EMPTY: 1, sniff.NOT_ZTF: 1, sniff.NOT_REGULAR: 1, folders.HIDDEN: 1,
        folders.NOT_FINISHED: 1, folders.COMPRESSED_COPY: 1, "a difference image (scimrefdiffimg)": 1,
    }  # fmt: skip
    assert folders.left_out_words(found.left_out).startswith("8 files left out: 1 ")


def test_masks_and_catalogues_without_their_image_are_counted(image):
    folder = image.parent
    for product in ("mskimg", "psfcat"):
        (folder / image.name.replace("sciimg", product)).touch()
    (folder / (image.name.replace("sciimg", "mskimg") + ".fz")).touch()
    assert not discover([folder]).left_out
    (folder / "ztf_000202_zg_c10_q1_refpsfcat.fits").touch()
    (folder / image.name.replace("sciimg", "mskimg").replace("_zr_", "_zg_")).touch()
    wanted = {"a PSF catalogue without its image": 1, "a mask without its image": 1}
    assert discover([folder]).left_out == wanted
    image.unlink()
    assert discover([folder]).left_out == {"a PSF catalogue without its image": 2, "a mask without its image": 3}


def test_a_header_is_read_again_only_after_the_file_changed(image, monkeypatch):
    new = image.rename(image.with_name("comet1.fits"))
    reads = []
    monkeypatch.setattr(folders, "why_no_image", lambda path: reads.append(path))
    headers = Headers()
    for _ in range(3):
        assert image_of(str(new), str(new.parent), headers) is not None
    assert len(reads) == 1
    os.utime(new, ns=(1, 1))
    assert image_of(str(new), str(new.parent), headers) is not None
    assert len(reads) == 2
