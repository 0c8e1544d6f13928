"""An archive that was used, then forked, pickled or closed: the right rows or one typed error, never a hang."""

import copy
import pickle

import pytest
from sqlalchemy import text

import ztfdb
from tests.support.archives import Plan, build_archive
from tests.support.catalogues import bright_star, make_epochs
from tests.support.children import in_a_child
from ztfdb.errors import ArchiveClosedError, DatabaseUnavailableError, SchemaVersionError
from ztfdb.store.engine import writing

N_EPOCH = 6


@pytest.fixture
def used(engine_url):
    """An archive with stars, after its first questions, and the position of one."""
    stars = build_archive(engine_url, Plan(40, N_EPOCH, trouble=0.0))[0]
    with ztfdb.open(engine_url, create=True) as archive:
        yield archive, (stars.ra[0], stars.dec[0])


def ask(archive, position):
    return archive.light_curve(*position).to_pandas()["source_id"].tolist()


def test_children_and_parent_get_the_right_rows(used):
    archive, position = used
    right = ask(archive, position)
    assert len(right) == N_EPOCH
    for _ in range(3):
        assert in_a_child(lambda: [ask(archive, position) for _ in range(20)]) == [right] * 20
        assert ask(archive, position) == right


def test_a_child_of_a_process_amid_a_question_asks_for_itself(used):
    archive, position = used
    right = ask(archive, position)
    with archive._sessions() as session:
        session.connection()  # checked out, and in use by the parent
        assert in_a_child(lambda: ask(archive, position)) == right
        assert session.connection().exec_driver_sql("select 41 + 1").scalar_one() == 42
    assert ask(archive, position) == right


def test_a_child_that_leaves_by_the_front_door_closes_nothing_of_the_parents(used):
    archive, position = used
    right = ask(archive, position)

    def work():
        with archive:
            return ask(archive, position)

    assert in_a_child(work) == right
    assert ask(archive, position) == right


@pytest.mark.parametrize("duplicate", [lambda one: pickle.loads(pickle.dumps(one)), copy.deepcopy, copy.copy])
def test_a_copy_asks_on_connections_of_its_own(used, duplicate):
    archive, position = used
    other = duplicate(archive)
    right = ask(archive, position)
    with other:
        assert ask(other, position) == right
        assert (other.url, other.settings) == (archive.url, archive.settings)
    assert ask(archive, position) == right


@pytest.mark.parametrize(
    "question",
    [
        lambda archive, position: ask(archive, position),
        lambda archive, position: archive.cone(*position),
        lambda archive, position: archive.light_curve(*position, complete=True),
        lambda archive, position: archive.images(*position),
        lambda archive, position: archive.sql("select 1 as one"),
        lambda archive, position: archive.status(),
        lambda archive, position: archive.verify(),
        lambda archive, position: archive.remove(1),
        lambda archive, position: archive.catalogues(),
    ],
)
def test_use_after_close_is_one_typed_error(used, question):
    archive, position = used
    archive.close()
    archive.close()
    for one in (archive, pickle.loads(pickle.dumps(archive))):
        with pytest.raises(ArchiveClosedError, match="closed: open it again"):
            question(one, position)


def test_an_archive_that_was_upgraded_meanwhile_is_told(used):
    """As `/healthz` of a service that was not updated with it."""
    archive, _ = used
    archive.ping()
    with writing(archive._sessions) as session:
        session.execute(text("update alembic_version set version_num = '20990101_later'"))
    with pytest.raises(SchemaVersionError, match=r"20990101_later.*update this one"):
        archive.ping()


def make_small(folder):
    """A SQLite archive with an image, opened by a relative name, and where a star is."""
    epoch = make_epochs(folder / "images", 1, catalogues=False)[0]
    with ztfdb.open("sqlite:///night.sqlite", create=True) as archive:
        assert archive.ingest(folder / "images").stored == 1
    return bright_star(epoch)[:2]


def test_a_relative_name_stays_the_file_when_the_current_folder_changes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    position = make_small(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with ztfdb.open("sqlite:///night.sqlite") as archive:
        assert archive.url == "sqlite:///night.sqlite"
        monkeypatch.chdir(elsewhere)
        assert len(archive.light_curve(*position)) == 1
        assert len(archive.stamps(*position)) == 1
        archive.build_objects()
        assert len(archive.sql("select object_id from object")) > 1
        assert len(pickle.loads(pickle.dumps(archive)).stamps(*position)) == 1
    assert list(elsewhere.iterdir()) == []


def test_an_archive_whose_file_is_gone_makes_no_empty_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    position = make_small(tmp_path)
    with ztfdb.open("sqlite:///night.sqlite") as archive:
        for one in tmp_path.glob("night.sqlite*"):
            one.unlink()
        for ask in (archive.light_curve, archive.stamps):
            with pytest.raises(DatabaseUnavailableError, match="unable to open"):
                ask(*position)
    assert not list(tmp_path.glob("night.sqlite*"))
