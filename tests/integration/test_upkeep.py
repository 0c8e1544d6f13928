"""Metadata, explanation, verification, relocation and removal, on both engines."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from ztfdb.errors import CatalogueFileError, ConfigError, UnknownImageError, UnknownSourceError
from ztfdb.ids import SOURCE_ID_SHIFT
from ztfdb.simulate import make_science_image

NIGHT = 59116.4317708
RA, DEC = 57.9974032715, 35.74628707041


@pytest.fixture(scope="session")
def nights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nights")
    for number in range(3):
        make_science_image(folder, n_star=40, seed=number, shape=(150, 160), obsmjd=NIGHT + number // 2 + 0.01 * number)
    return folder


@pytest.fixture
def files(nights, tmp_path):
    return Path(shutil.copytree(nights, tmp_path / "nights"))


@pytest.fixture
def seen(archive, files):
    archive.ingest(files)
    return archive


def source_ids(archive):
    return archive.cone(RA, DEC, 300.0)["source_id"].tolist()


def test_a_source_is_explained_and_measured_again_bit_for_bit(seen):
    for source_id in source_ids(seen)[::9]:
        told = seen.explain(source_id)
        assert told.problem is None
        assert told.identical
        assert told.same_software
        assert told.values["identical"].all()
        assert len(told.values) == 30
        assert told.files["status"].tolist() == ["ok", "ok"]
        assert told.cards["MAGZP"] == told.image["magzp"]
        assert set(told.versions) >= {"ztfdb", "sep", "numpy"}
        assert told.settings == seen.settings.to_dict()


def test_an_explanation_says_when_the_file_is_not_the_one(seen, files):
    source_id = source_ids(seen)[0]
    image_id = source_id >> SOURCE_ID_SHIFT
    path = Path(seen.images(RA, DEC).set_index("image_id")["path"][image_id])
    with fits.open(path, mode="update", memmap=False) as hdus:
        hdus[0].data[3, 3] += 1.0
    told = seen.explain(source_id)
    assert "not what was ingested" in told.problem
    assert told.identical is None
    assert dict(zip(told.files["role"], told.files["status"], strict=True)) == {"msk": "ok", "sci": "file changed"}
    path.unlink()
    assert "No such file" in seen.explain(source_id).problem
    assert seen.explain(source_id, measure=False).problem == "not asked for"
    with pytest.raises(UnknownSourceError):
        seen.explain(5)


def test_irsa_metadata_fill_what_headers_lack(seen, tmp_path):
    images = seen.images(RA, DEC)
    with seen._sessions.begin() as session:  # simulated images have no pid of ZTF's
        for number, image_id in enumerate(images["image_id"].tolist()):
            session.connection().exec_driver_sql(f"update image set pid = {1000 + number} where image_id = {image_id}")
    table = tmp_path / "irsa.csv"
    table.write_text(
        "pid,infobits,seeing,maglimit,field\n1001,33554432,2.25,20.1,655\n1000,0,,19.5,655\n77,0,2.0,20.0,1\n"
    )
    report = seen.import_metadata(table)
    assert (report.n_row, report.n_image, report.unmatched, report.n_without) == (3, 2, [77], 1)
    after = seen.images(RA, DEC)
    assert after["infobits"].tolist()[:2] == [0, 33554432]
    assert after["infobits_source"].tolist() == ["irsa", "irsa", "header"]
    np.testing.assert_array_equal(after["seeing"], [np.nan, 2.25, np.nan])
    np.testing.assert_array_equal(after["maglimit"], [19.5, 20.1, np.nan])
    curve = seen.light_curve(RA, DEC, 100.0)
    assert not curve["good"][curve["image_id"] == images["image_id"][1]].any()
    table.write_text("pid,field\n1001,655\n")
    with pytest.raises(CatalogueFileError, match="pid"):
        seen.import_metadata(table)


def test_real_irsa_metadata_match_real_cutouts(archive, shared_data, tmp_path):
    folder = shared_data / "cutouts"
    path = next(folder.rglob("*20250122126100*sciimg*"))
    archive.ingest(path)
    report = archive.import_metadata(folder / "irsa_metadata.csv")
    assert report.n_image == 1
    assert len(report.unmatched) == report.n_row - 1
    assert report.n_without == 0


def test_verify_finds_nothing_in_a_sound_archive(seen):
    for hashes in (False, True):
        problems = seen.verify(hashes=hashes)
        assert problems.empty
        assert (problems.attrs["n_image"], problems.attrs["n_file"]) == (3, 6)


def test_verify_finds_every_damage(seen):
    images = seen.images(RA, DEC)
    ids, paths = images["image_id"].tolist(), [Path(path) for path in images["path"]]
    paths[0].unlink()
    before = paths[1].stat()
    content = bytearray(paths[1].read_bytes())
    content[-4000] ^= 1
    paths[1].write_bytes(content)
    os.utime(paths[1], ns=(before.st_atime_ns, before.st_mtime_ns))  # only a checksum can tell
    with seen._sessions.begin() as session:
        run = session.connection().exec_driver_sql
        run(f"delete from source where source_id = {ids[2] << SOURCE_ID_SHIFT}")
        run(f"delete from image_cell where image_id = {ids[2]}")
    quick, thorough = seen.verify(), seen.verify(hashes=True)
    assert quick["problem"].tolist().count("file missing") == 1
    assert "file changed" not in quick["problem"].tolist()
    assert thorough["problem"].tolist().count("file changed") == 1
    assert sum("were stored" in problem for problem in quick["problem"]) == 1
    assert "its place on the sky is lost: no position finds it" in quick["problem"].tolist()
    paths[1].write_bytes(paths[1].read_bytes())  # now of another time: it is another file in the same place
    assert seen.ingest(paths[2], force=True).replaced == seen.ingest(paths[1]).replaced == 1
    assert seen.verify(hashes=True)["problem"].tolist() == ["file missing"]


def test_an_archive_moves_with_its_files(seen, files, tmp_path):
    seen.light_curve(RA + 0.003, DEC, complete=True)
    moved = tmp_path / "elsewhere"
    files.rename(moved)
    assert (seen.verify()["problem"] == "file missing").all()
    (root,) = seen.status()["roots"]
    assert seen.relocate(root["name"], moved) == str(files)
    assert seen.verify().empty
    assert set(seen.stamps(RA, DEC).to_pandas()["status"]) == {"ok"}
    with pytest.raises(ConfigError, match=root["name"]):
        seen.relocate("nowhere", moved)


def test_images_and_nights_go_without_a_trace(seen):
    ids = seen.images(RA, DEC)["image_id"].tolist()
    seen.light_curve(RA + 0.003, DEC, complete=True)
    plan = seen.remove(ids[0], dry_run=True)
    assert (plan.images, plan.n_source > 0) == ((ids[0],), True)
    assert len(seen.images(RA, DEC)) == 3
    assert seen.remove(ids[0]) == plan
    assert seen.images(RA, DEC)["image_id"].tolist() == ids[1:]
    night = (
        seen.sql("select filefracday from image where image_id = :i", i=ids[2], force=True)["filefracday"][0] // 10**6
    )
    assert seen.remove(night=int(night)).images == tuple(sorted(ids[2:]))
    assert seen.images(RA, DEC)["image_id"].tolist() == [ids[1]]
    assert seen.verify().empty
    for table in ("source", "forced_source", "image_file", "image_cell", "image_header"):
        found = seen.sql(f"select distinct image_id from {table}", force=True)["image_id"].tolist()
        assert set(found) <= {ids[1]}
    with pytest.raises(UnknownImageError):
        seen.remove([ids[1], 5])
    with pytest.raises(TypeError):
        seen.remove()
    assert seen.remove(night=20190101).images == ()
    with pytest.raises(ValueError, match="outside ZTF"):
        seen.remove(night=19990101)


def test_a_root_is_not_moved_to_where_nothing_is(archive, tmp_path):
    make_science_image(tmp_path / "data", n_star=5, seed=1, shape=(120, 130), obsmjd=59116.4317708)
    archive.ingest(tmp_path / "data")
    (root,) = archive.status()["roots"]
    for nowhere in (tmp_path / "nowhere", ""):
        with pytest.raises(ConfigError, match=f"there is no folder '{nowhere}'"):
            archive.relocate(root["name"], nowhere)
    assert archive.status()["roots"] == [root]


@pytest.mark.parametrize("night", [99999999, 20201301, 7])
def test_a_night_that_is_no_date_is_refused(archive, night):
    with pytest.raises(ValueError, match=f"night {night}"):
        archive.remove(night=night)
