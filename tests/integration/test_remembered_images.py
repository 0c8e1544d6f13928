"""What a connection remembers of images is what the database says now: every commit is seen at once."""

from contextlib import contextmanager

import numpy as np
import pytest
from sqlalchemy import update

import ztfdb
from tests.support.archives import Plan, add_image, build_archive
from tests.support.curves import light_curve
from ztfdb.schema import Image
from ztfdb.store.backends import backend
from ztfdb.store.engine import make_engine, sessions, writing
from ztfdb.store.image_table import epoch_images

PLAN = Plan(40, 6, trouble=0.0)


@pytest.fixture
def stars(engine_url):
    return build_archive(engine_url, PLAN)[0]


@pytest.fixture
def maker(engine_url, stars):
    engine = make_engine(engine_url)
    yield sessions(engine)
    engine.dispose()


def magzp_of(maker, stars):
    with maker() as session:
        return light_curve(session, stars.ra[0], stars.dec[0])["magzp"].tolist()


@contextmanager
def remembering(maker, stars):
    """A session that has read images, all from one snapshot: the server itself may write meanwhile (autovacuum)."""
    with maker() as session:
        if session.get_bind().dialect.name == "postgresql":
            session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        light_curve(session, stars.ra[0], stars.dec[0])
        yield session


def shift(session, by):
    session.execute(update(Image).values(magzp=Image.magzp + by))


def test_a_change_by_others_is_seen_at_once(engine_url, maker, stars):
    before = magzp_of(maker, stars)
    assert magzp_of(maker, stars) == before
    other = make_engine(engine_url)
    with writing(sessions(other)) as session:
        shift(session, 1.0)
    other.dispose()
    assert magzp_of(maker, stars) == pytest.approx([value + 1.0 for value in before])


def test_an_own_change_is_seen_at_once_and_one_taken_back_never(maker, stars):
    before = magzp_of(maker, stars)
    with writing(maker) as session:
        shift(session, 5.0)
        within = light_curve(session, stars.ra[0], stars.dec[0])["magzp"].tolist()
        assert within == pytest.approx([value + 5.0 for value in before])
        session.rollback()
    assert magzp_of(maker, stars) == before
    with writing(maker) as session:
        shift(session, 1.0)
    assert magzp_of(maker, stars) == pytest.approx([value + 1.0 for value in before])


def test_new_images_join_those_remembered(engine_url, maker, stars):
    assert len(magzp_of(maker, stars)) == 6
    add_image(maker, PLAN, stars, 6)
    assert len(magzp_of(maker, stars)) == 7
    with ztfdb.open(engine_url) as archive:
        for number in range(20):  # stars whose images are all remembered, and other apertures' corrections are not
            curve = archive.light_curve(stars.ra[number], stars.dec[number], aperture=1 + number % 6)
            assert len(curve) == 7
            assert curve["magzp"].notna().all()


def test_an_image_that_is_not_held_leaves_those_remembered_as_they_are(maker, stars):
    with remembering(maker, stars) as session:
        held = backend(session).memory()["images4"]
        ids = np.append(held.integers("image_id"), 1)  # as of a reference catalogue without its image
        images, at = epoch_images(session, ids, 4)
        assert images is held is backend(session).memory()["images4"]
        assert at.tolist() == [*range(6), -1]
        assert (np.diff(images["mjd"]) > 0).all()


def test_it_is_remembered_within_a_state_of_the_database_and_while_nothing_is_written(maker, stars):
    with remembering(maker, stars) as session:
        assert backend(session).memory()
        shift(session, 1.0)  # in a transaction that did not say that it writes
        assert not backend(session).memory()
    with writing(maker) as session:
        assert not backend(session).memory()
        shift(session, 1.0)
    with maker() as session:
        assert not backend(session).memory()


def test_what_was_read_while_another_commits_is_not_kept_beyond_it(engine_url, maker, stars):
    before = magzp_of(maker, stars)
    other = make_engine(engine_url)
    for k in range(1, 4):
        with maker() as session:
            backend(session).memory()  # the state is known, then it changes, then images are read
            with writing(sessions(other)) as writer:
                shift(writer, 1.0)
            light_curve(session, stars.ra[0], stars.dec[0])
        assert magzp_of(maker, stars) == pytest.approx([value + k for value in before])
    other.dispose()
