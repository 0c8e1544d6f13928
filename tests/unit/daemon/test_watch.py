"""When the watcher hands a file over: at rest, whole, with its mask or after waiting for it."""

from __future__ import annotations

import os
import time

import pytest

from tests.support.waiting import wait_until
from ztfdb.daemon.watch import Watcher
from ztfdb.simulate import make_science_image

NIGHT = 59116.4317708


class Clock:
    def __init__(self):
        self.now = time.time()

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(scope="session")
def image(tmp_path_factory):
    """A small exposure: the bytes of image and mask, and their names."""
    made = make_science_image(tmp_path_factory.mktemp("one"), shape=(160, 160), n_star=5, seed=1, obsmjd=NIGHT)
    return {path.name: path.read_bytes() for path in (made.sci, made.msk)}


@pytest.fixture
def night(tmp_path):
    folder = tmp_path / "night"
    folder.mkdir()
    return folder


def write(folder, content):
    for name, some in content.items():
        (folder / name).write_bytes(some)
    return folder / next(iter(content)).replace("mskimg", "sciimg")


def only(content, product):
    return {name: some for name, some in content.items() if product in name}


def looks(watcher, clock, seconds=0.0):
    watcher.look()
    clock.now += seconds
    return [(image.path, image.wait_s) for image in watcher.look()]


def test_a_file_at_rest_is_handed_over_once(night, image, clock):
    path = write(night, image)
    watcher = Watcher([night], settle_s=2, scan_s=5, events=False, clock=clock)
    assert not watcher.idle
    assert looks(watcher, clock, 1.9) == []
    assert looks(watcher, clock, 0.2) == [(str(path), 0.0)]
    assert watcher.idle
    assert looks(watcher, clock, 100) == looks(watcher, clock, 100) == []


def test_a_growing_file_is_left_alone(night, image, clock):
    path = write(night, image)
    whole = path.read_bytes()
    watcher = Watcher([night], settle_s=2, scan_s=1, patience_s=50, events=False, clock=clock)
    for size in range(2880, len(whole), 5 * 2880):
        path.write_bytes(whole[:size])
        assert all(wait > 40 for _, wait in looks(watcher, clock, 3))
    path.write_bytes(whole)
    assert looks(watcher, clock, 3) + looks(watcher, clock, 3) == [(str(path), 0.0)]


@pytest.mark.parametrize(("product", "what"), [("sciimg", "the image"), ("mskimg", "the mask")])
def test_a_file_cut_short_waits_with_its_reason_and_is_shown_again_when_whole(night, image, clock, product, what):
    path = write(night, image)
    short = next(night.glob(f"*{product}*"))
    whole = short.read_bytes()
    short.write_bytes(whole[:2880])
    watcher = Watcher([night], settle_s=2, scan_s=5, patience_s=50, events=False, clock=clock)
    watcher.look()
    clock.now += 3
    (image,) = watcher.look()
    assert image.wait_s == pytest.approx(50 - 3, abs=0.01)
    assert image.reason.startswith(f"{what} is cut short: ")
    assert watcher.idle
    clock.now += 20
    assert looks(watcher, clock, 3) == []
    short.write_bytes(whole)
    clock.now += 6
    assert looks(watcher, clock, 3) == [(str(path), 0.0)]


def test_the_grace_of_the_mask_counts_from_the_image(night, image, clock):
    path = write(night, only(image, "sciimg"))
    os.utime(path, (clock.now - 400, clock.now - 400))
    watcher = Watcher([night], settle_s=2, grace_s=600, events=False, clock=clock)
    ((_, wait),) = looks(watcher, clock, 3)
    assert wait == pytest.approx(600 - 400 - 3, abs=0.01)


def test_a_mask_that_arrives_shows_the_image_again(night, image, clock):
    path = write(night, only(image, "sciimg"))
    watcher = Watcher([night], settle_s=2, scan_s=5, grace_s=600, events=False, clock=clock)
    ((_, wait),) = looks(watcher, clock, 3)
    assert wait > 500
    write(night, only(image, "mskimg"))
    clock.now += 6
    assert looks(watcher, clock, 3) == [(str(path), 0.0)]


def test_a_changed_file_is_handed_over_again(night, image, clock):
    path = write(night, image)
    watcher = Watcher([night], settle_s=2, scan_s=5, events=False, clock=clock)
    assert len(looks(watcher, clock, 3)) == 1
    os.utime(path, (1e9, 1e9))
    clock.now += 6
    assert len(looks(watcher, clock, 3)) == 1


def test_what_is_known_is_not_handed_over_until_it_changes(night, image, clock):
    path = write(night, image)
    asked = []

    def known(images):
        asked.append([image.path for image in images])
        if len(asked) == 1:
            raise OSError("later")  # as a database that does not answer; the next look asks again
        return [image.path for image in images] if len(asked) == 2 else []

    watcher = Watcher([night], settle_s=0, scan_s=5, events=False, clock=clock)
    with pytest.raises(OSError, match="later"):
        watcher.look(known=known)
    assert watcher.look(known=known) == [] and watcher.idle
    clock.now += 6
    assert watcher.look(known=known) == []
    os.utime(path, (1e9, 1e9))
    clock.now += 6
    assert [image.path for image in watcher.look(known=known)] == [str(path)]
    assert asked == [[str(path)]] * 3


def test_other_files_are_passed_by(night, clock):
    for name in ("notes.txt", "ztf_20200924431759_000655_zr_c13_o_q3_sexcat.fits", ".ztf_2020.fits.part"):
        (night / name).write_text("x")
    watcher = Watcher([night], settle_s=0, events=False, clock=clock)
    assert looks(watcher, clock, 3) == []
    assert watcher.idle


def test_a_file_that_goes_again_is_forgotten(night, image, clock):
    path = write(night, image)
    watcher = Watcher([night], settle_s=2, events=False, clock=clock)
    watcher.look()
    path.unlink()
    assert looks(watcher, clock, 3) == []
    assert watcher.idle


def test_a_folder_that_is_not_there_is_looked_for_again(night, image, clock):
    watcher = Watcher([night / "later"], settle_s=2, scan_s=5, events=False, clock=clock)
    assert looks(watcher, clock, 6) == []
    (night / "later").mkdir()
    path = write(night / "later", image)
    assert looks(watcher, clock, 6) == []
    assert looks(watcher, clock, 6) == [(str(path), 0.0)]


# watchdog may still add a watch for a new folder in its thread while the observer is being stopped
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_events_tell_of_files_before_the_next_scan(night, image):
    pytest.importorskip("watchdog")
    watcher = Watcher([night], settle_s=0.1, scan_s=1e6)
    try:
        watcher.look()
        (night / "new" / "folder").mkdir(parents=True)
        path = write(night / "new" / "folder", image)
        found = []
        wait_until(lambda: found.extend(watcher.look()) or bool(found))
        assert [image.path for image in found] == [str(path)]
    finally:
        watcher.stop()
