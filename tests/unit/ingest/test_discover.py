from __future__ import annotations

import os
from pathlib import Path

import pytest

from ztfdb.errors import ImageReadError, MaskError
from ztfdb.ingest.discover import discover

STEM = "ztf_20200924431759_000655_zr_c13_o_q3_"
SCI, MSK = f"{STEM}sciimg.fits", f"{STEM}mskimg.fits"
REF = "ztf_000655_zr_c13_q3_refimg.fits"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def make(*names):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path

    return make


def names(found):
    return [Path(image.path).name for image in found.images]


def test_a_folder_is_searched_below_for_images(folder):
    top = folder(f"b/{SCI}", f"b/{MSK}", f"a/x/{REF}", f"a/{STEM}psfcat.fits", "a/notes.fits", "a/other_sciimg.fits")
    found = discover([top])
    assert names(found) == [REF, SCI]
    assert [image.folder for image in found.images] == [str(top)] * 2
    assert found.images[0].mask is None
    assert found.images[1].mask == str(top / "b" / MSK)
    assert not found.problems


@pytest.mark.parametrize("suffix", [".fz", ".gz"])
def test_compressed_images_are_images(folder, suffix):
    found = discover([folder(SCI + suffix, MSK + suffix)])
    assert names(found) == [SCI + suffix]
    assert found.images[0].mask.endswith(MSK + suffix)


def test_plain_and_compressed_side_by_side_are_one_image(folder):
    assert names(discover([folder(SCI, SCI + ".gz", SCI + ".fz")])) == [SCI]
    assert names(discover([folder("1/" + SCI + ".gz", "1/" + SCI + ".fz") / "1"])) == [SCI + ".fz"]


def test_a_file_named_by_itself_may_have_any_name(folder):
    folder("star.fits", "my_sciimg.fits", "my_mskimg.fits")
    found = discover(["star.fits", "my_sciimg.fits"])
    assert names(found) == ["star.fits", "my_sciimg.fits"]
    assert [image.mask is None for image in found.images] == [True, False]
    assert found.images[0].folder is None
    assert Path(found.images[0].path).is_absolute()


def test_a_mask_stands_for_its_image(folder):
    folder(SCI + ".fz", MSK)
    found = discover([MSK, SCI + ".fz"])
    assert names(found) == [SCI + ".fz"]
    assert found.images[0].mask.endswith(MSK)


def test_a_mask_without_its_image_is_a_problem(folder):
    folder(MSK)
    (problem,) = discover([MSK]).problems
    assert isinstance(problem, MaskError)
    assert not discover([Path.cwd()]).problems  # in a folder it is just no image


def test_globs_of_files_and_folders(folder):
    folder(f"n1/{SCI}", f"n2/{REF}", "n2/odd.fits")
    assert names(discover(["n?"])) == [SCI, REF]
    assert names(discover(["**/*.fits"])) == [SCI, "odd.fits", REF]


def test_a_name_with_brackets_is_a_name_first(folder):
    folder("a[1].fits")
    assert names(discover(["a[1].fits"])) == ["a[1].fits"]


def test_the_same_file_twice_is_one(folder):
    top = folder(SCI)
    assert len(discover([top, SCI, top / SCI, "*.fits"]).images) == 1
    assert discover(SCI) == discover([SCI])


def test_what_matches_nothing_is_a_problem(folder):
    folder(SCI)
    found = discover(["nothing*.fits"])
    assert [str(problem) for problem in found.problems] == ["nothing*.fits: no file matches"]


def test_a_missing_file_is_left_to_be_reported_by_reading(folder):
    folder()
    assert names(discover(["gone.fits"])) == ["gone.fits"]


def test_links_keep_their_name(folder):
    top = folder(f"real/{SCI}")
    (top / "mount").symlink_to(top / "real")
    assert discover([top / "mount" / SCI]).images[0].path == str(top / "mount" / SCI)
    assert discover([top / "mount"]).images[0].path == str(top / "mount" / SCI)


def test_an_unreadable_folder_is_a_problem(folder, monkeypatch):
    top = folder(f"shut/{SCI}", f"open/{REF}")
    scandir = os.scandir

    def guarded(path):
        if Path(path).name == "shut":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)  # permissions would not stop root
    found = discover([top])
    assert names(found) == [REF]
    assert isinstance(found.problems[0], ImageReadError)
    assert "Permission denied" in str(found.problems[0])


def test_a_mask_by_hand(folder):
    folder("a.fits", "m.fits")
    assert discover(["a.fits"], mask="m.fits").images[0].mask == str(Path.cwd() / "m.fits")
    with pytest.raises(ValueError, match="belongs to one image, these paths are 2"):
        discover(["a.fits", "m.fits"], mask="m.fits")
    with pytest.raises(ValueError, match="these paths are 0"):
        discover([], mask="m.fits")
