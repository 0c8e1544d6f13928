"""What an archive knows of an image beside its rows: damage of it is noticed, what may change is not damage."""

from __future__ import annotations

from sqlalchemy import text

import ztfdb
from tests.support.measured import make_measured
from ztfdb.store.engine import make_engine, sessions, writing
from ztfdb.store.facts_checksums import _digest
from ztfdb.store.images import store_image

CHANGED = "the image's row, headers or files differ from those written (checksum)"
DAMAGE = {
    "a number of the image": "update image set magzp = magzp + 0.001 where image_id = :image_id",
    "a card": """update image_header set cards = '{"X": 1}' where image_id = :image_id""",
    "a cell": "update image_cell set cell9 = cell9 + 100000 where image_id = :image_id",
    "a size": "update image_file set size = size + 1 where image_id = :image_id and role = 'sci'",
    "a header less": "delete from image_header where image_id = :image_id and role = 'msk'",
}
NO_DAMAGE = (
    "update image set infobits = 7, infobits_source = 'irsa', seeing = 2.0, maglimit = 20.0",
    "update image_file set mtime_ns = mtime_ns + 1, path = 'moved/' || path",
    "update image set facts_checksum = null",
)


def changed(url):
    with ztfdb.open(url) as archive:
        found = archive.verify(deep=True)
    return found.loc[found["problem"] == CHANGED, "image_id"].tolist()


def test_damage_of_what_is_known_of_an_image_is_noticed(engine_url):
    engine = make_engine(engine_url)
    ztfdb.open(engine_url, create=True).close()
    images = [make_measured(f"/data/{rcid}_sciimg.fits", content=str(rcid), n_source=3, rcid=rcid) for rcid in (1, 2)]
    with writing(sessions(engine)) as session:
        for one in images:
            store_image(session, one)
    assert changed(engine_url) == []
    image_id = images[1].info.image_id
    for words, statement in DAMAGE.items():
        with engine.begin() as connection:
            connection.execute(text(statement), {"image_id": image_id})
        assert changed(engine_url) == [image_id], words
        with writing(sessions(engine)) as session:
            store_image(session, images[1], force=True)
        assert changed(engine_url) == [], words
    for statement in NO_DAMAGE:
        with engine.begin() as connection:
            connection.execute(text(statement))
        assert changed(engine_url) == [], statement
    engine.dispose()


def test_numbers_that_the_engines_keep_in_another_way_are_the_same():
    """SQLite has no -0.0 in a column, JSONB none at all; JSONB writes 1e20 as a whole number."""
    same = [[[-0.0, {"A": 1e20, "B": [3]}]], [[0.0, {"A": 10**20, "B": [3.0]}]], [[0, {"B": [3], "A": 1e20}]]]
    assert len({_digest(rows) for rows in same}) == 1
    assert _digest([[2**53 + 1]]) != _digest([[2**53]])
    assert _digest([[True]]) != _digest([[1]])
