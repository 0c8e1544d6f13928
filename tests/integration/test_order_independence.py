"""Operations in any order end in the same archive: that of one clean build, on both engines."""

from __future__ import annotations

from itertools import cycle

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from sqlalchemy import text

from tests.support.contents import differences, rows_of
from tests.support.ordered import check_order, check_together, fresh, two_processes, world_on
from tests.support.orders import make_pool, parts, sequences, settle
from tests.support.postgres import ENGINES
from ztfdb.store.engine import make_engine

pytestmark = pytest.mark.filterwarnings("ignore::ztfdb.errors.EmptyAnswerWarning")

QUICK = settings(max_examples=4, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    return make_pool(tmp_path_factory.mktemp("pool"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("orders")


EMPTIED = [
    ("put", 0, 0, 0),
    ("ingest_one", 0, 1),
    ("crossmatch", "ps1"),
    ("bring", 2, 0),
    ("remove_night", 1),
    ("relocate",),
    ("objects", False),
]
"""The last image goes, and the configuration it was measured with stays."""


@QUICK
@given(operations=sequences())
@example(operations=EMPTIED)
def test_any_order_ends_in_what_one_clean_build_gives(pool, databases, folder, operations):
    check_order(pool, databases, folder, operations)


@pytest.mark.parametrize("engine", ENGINES)
def test_two_processes_at_once_end_in_what_one_clean_build_gives(pool, databases, folder, engine):
    with two_processes() as executor:

        @settings(QUICK, max_examples=2)
        @given(first=parts(0), second=parts(1))
        def check(first, second):
            check_together(executor, pool, databases, folder, engine, (first, second))

        check()


# Spoilings --------------------------------------------------------------------------------------------------------

HISTORY = [
    ("catalogue", 0),
    ("put", 0, 0, 0),
    ("put", 1, 0, 0),
    ("put", 2, 0, 1),
    ("ingest",),
    ("crossmatch", "ps1"),
    ("remove", 1),
    ("objects", False),
    ("calibrate",),
    ("curve", 2),
    ("relocate",),
    ("bring", 0, 1),
]
"""Reaches every mechanism that a spoiling breaks."""


class Spoiled:
    """Ways to spoil an archive: in `during`, while things are done, a part of ztfdb is broken; `afterwards`, rows."""

    def __init__(self, table, during=None, afterwards=None):
        self.table, self.during, self.afterwards = table, during, afterwards


def nothing(*_):
    return 0


def statement(words):
    return lambda archive, connection: connection.execute(text(words))


def last_bit(archive, connection):
    key, flux = connection.execute(text("select source_id, flux_aper4 from source order by source_id limit 1")).one()
    values = {"flux": float(np.nextafter(np.float32(flux), np.float32(np.inf))), "key": key}
    connection.execute(text("update source set flux_aper4 = :flux where source_id = :key"), values)


def doubled(archive, connection):
    names = archive.sql("select * from source limit 1", force=True).columns
    others = ", ".join(name for name in names if name != "source_id")
    connection.execute(
        text(
            f"insert into source (source_id, {others}) select source_id + 200000, {others} from source "
            "where source_id = (select min(source_id) from source)"
        )
    )


def older_calibration(archive, connection):
    """As if the calibration had been made of the older version, whose zero point is 0.005 mag lower."""
    connection.execute(text("update calibration set zeropoint = zeropoint - 0.005"))


SPOILINGS = {
    "a lost row": Spoiled(
        "source", afterwards=statement("delete from source where source_id = (select max(source_id) from source)")
    ),
    "a doubled row": Spoiled("source", afterwards=doubled),
    "a flux that differs in its last bit": Spoiled("source", afterwards=last_bit),
    "an orphaned match": Spoiled("source_match", {"ztfdb.store.images.delete_matches": nothing}),
    "a stale membership": Spoiled(
        "object_source",
        {"ztfdb.derive.objects.store.image_fingerprints": lambda session: dict.fromkeys(held_ids(session), 1)},
    ),
    "a calibration of the older version": Spoiled("calibration", afterwards=older_calibration),
    "a forced measurement of the older version": Spoiled(
        "forced_source", {"ztfdb.store.images.delete_forced": nothing}
    ),
    "a path that did not follow": Spoiled("image_file", {"ztfdb.store.roots.move_root": nothing}),
}


def held_ids(session):
    return session.execute(text("select image_id from image")).scalars()


@pytest.fixture(scope="module")
def clean(pool, databases, folder):
    """What one clean build of the history's end holds."""
    with fresh(databases, ENGINES[:1]) as (archive,), world_on(pool, folder, [archive], "history") as world:
        world.do(HISTORY)
        world.tidy()
        with fresh(databases, ENGINES[:1]) as (other,):
            world.build_clean(other)
            return rows_of(other)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_history_of_the_spoilings_is_sound(pool, databases, folder, clean, engine):
    assert differences(spoiled_rows(pool, databases, folder, engine, Spoiled("")), clean) == []


@pytest.mark.parametrize(("how", "engine"), list(zip(SPOILINGS, cycle(ENGINES), strict=False)))
def test_what_is_spoiled_is_noticed(pool, databases, folder, clean, engine, how):
    spoiling = SPOILINGS[how]
    found = differences(spoiled_rows(pool, databases, folder, engine, spoiling), clean)
    assert any(line.startswith(f"{spoiling.table}:") for line in found), found


def spoiled_rows(pool, databases, folder, engine, spoiling):
    with fresh(databases, [engine]) as (archive,), world_on(pool, folder, [archive], "history") as world:
        with pytest.MonkeyPatch.context() as patch:
            for name, broken in (spoiling.during or {}).items():
                patch.setattr(name, broken)
            world.do(HISTORY)
            world.tidy()
            settle(archive, pool)
        if spoiling.afterwards is not None:
            opened = make_engine(archive._target)
            with opened.begin() as connection:
                spoiling.afterwards(archive, connection)
            opened.dispose()
        return rows_of(archive)
