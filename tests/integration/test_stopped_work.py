"""Work over many files ends soon after it is stopped, and nothing of it is half stored."""

from __future__ import annotations

import pytest

import ztfdb
from tests.support.catalogues import bright_star, make_epochs
from ztfdb.query import stamps
from ztfdb.store.interrupt import Work


class GoneError(Exception):
    """Why the work is stopped."""


@pytest.fixture
def stored(engine_url, tmp_path):
    """An archive of four images, and the position of a star."""
    epochs = make_epochs(tmp_path / "images", 4, catalogues=False)
    with ztfdb.open(engine_url, create=True) as archive:
        assert archive.ingest(tmp_path / "images", jobs=1).stored == 4
        yield archive, bright_star(epochs[0])[:2]


def test_no_more_stamps_are_cut(stored, monkeypatch):
    archive, star = stored
    work, cut = Work(), []
    real = stamps.cut_stamps

    def cut_stamps(image, *places, **how):
        cut.append(image.image_id)
        work.stop(GoneError())
        return real(image, *places, **how)

    monkeypatch.setattr(stamps, "cut_stamps", cut_stamps)
    with pytest.raises(GoneError), work.running():
        archive.stamps(*star)
    assert len(cut) == 1


def test_no_more_images_are_measured(stored):
    archive, star = stored
    work, measured = Work(), []

    def progress(done, _of):
        measured.append(done)
        work.stop(GoneError())

    with pytest.raises(GoneError), work.running():
        archive.light_curve(*star, complete=True, measure="forced", progress=progress)
    assert measured == [1]
    assert archive.sql("select count(*) as n from forced_source", force=True)["n"][0] == 0
    assert len(archive.light_curve(*star, complete=True, measure="forced")) == 4
