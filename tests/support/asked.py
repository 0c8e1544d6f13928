"""Generated archives on both engines, asked the same in ADQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

import numpy as np
import pytest
from astropy.coordinates import SkyCoord

from tests.support.archives import Plan, build_archive
from tests.support.postgres import ENGINES, Databases
from tests.support.serving import connect, reader_url
from ztfdb.adql.obscore import obscore_table
from ztfdb.adql.obsplan import obsplan_table
from ztfdb.adql.tables import Tables, archive_tables
from ztfdb.adql.translate import translate
from ztfdb.store.readonly_stream import Reader
from ztfdb.store.statement import Rowset

TABLES = Tables.of([*archive_tables(), obscore_table(), obsplan_table()])
PLANS = (
    Plan(60, 5),
    Plan(40, 4, seed=2, centre=(0.01, -5.0), first_epoch=5),
    Plan(40, 4, seed=3, centre=(70.0, 89.7), field=1, first_epoch=9),
)
MAX_ROWS = 50_000


class Asked:
    """One archive on both engines."""

    def __init__(self, databases) -> None:
        self.made = {engine: databases.migrated(engine) for engine in ENGINES}
        for url in self.made.values():
            self.stars = build_archive(url, *PLANS)
        with connect(self.made["postgresql"]) as connection:
            # else the server does it at some moment, for tables with rows, and plans change
            tables = connection.execute("select tablename from pg_tables where schemaname = 'public'").fetchall()
            for (name,) in tables:
                if connection.execute(f'select from "{name}" limit 1').fetchone() is not None:
                    connection.execute(f'analyze "{name}"')
        self.readers = {engine: Reader(reader_url(url)) for engine, url in self.made.items()}

    def rows(self, engine, text, uploads=(), max_rows=MAX_ROWS, before="", reader=None):
        found = translate(text, TABLES, engine, max_rows, uploads)
        sets = [Rowset(x.name, {c.name: c.datatype for c in x.columns}, list(x.values.values())) for x in uploads]
        reader = reader or self.readers[engine]
        pieces = reader.pieces(before + found.sql, found.values, sets, upload_join=found.upload_join)
        return [row for piece in pieces for row in piece]

    def both(self, text, uploads=()):
        """Rows that both engines agree on, in their order."""
        first, second = (self.rows(engine, text, uploads) for engine in ENGINES)
        assert_same(first, second, text)
        return first

    def sources(self):
        """Every source as the database has it: id and position."""
        ids, ra, dec = zip(*self.both("select source_id, ra, dec from source order by source_id"), strict=True)
        return np.array(ids), SkyCoord(np.array(ra), np.array(dec), unit="deg")

    def plan(self, engine, text, uploads=(), *, for_many=False):
        """The plan of a statement; `for_many` makes PostgreSQL plan as if its small tables had many rows."""
        explain = "explain query plan " if engine == "sqlite" else "explain "
        reader = self.readers[engine]
        if for_many and engine == "postgresql":
            options = quote("-c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off")
            reader = Reader(f"{reader_url(self.made[engine])}&options={options}")
        plan = "\n".join(str(row[-1]) for row in self.rows(engine, text, uploads, before=explain, reader=reader))
        if reader is not self.readers[engine]:
            reader.close()
        return plan


def assert_same(first, second, text):
    assert len(first) == len(second), text
    for one, other in zip(first, second, strict=True):
        assert [type(v) if not isinstance(v, (int, float)) else float for v in one] == [
            type(v) if not isinstance(v, (int, float)) else float for v in other
        ], text
        for a, b in zip(one, other, strict=True):
            if isinstance(a, float) or isinstance(b, float):
                # sums are added in the order of the engine; functions of other C libraries may differ in the last bits
                assert a == pytest.approx(b, rel=1e-12, abs=1e-12), (text, one, other)
            else:
                assert a == b, (text, one, other)


@contextmanager
def archive_on_both(databases: Databases) -> Iterator[Asked]:
    """The archive, dropped at the end."""
    made = Asked(databases)
    yield made
    for reader in made.readers.values():
        reader.close()
    for url in made.made.values():
        databases.drop(url)


def in_polygon(sky, ra, dec):
    """Count, in astropy's gnomonic-like offset plane, how often the outline goes around (winding number)."""
    corner = SkyCoord(ra, dec, unit="deg")
    middle = SkyCoord(*np.asarray(corner.cartesian.xyz.mean(axis=1)), representation_type="cartesian")
    middle.representation_type = "unitspherical"
    frame = SkyCoord(middle.ra, middle.dec).skyoffset_frame()

    def plane(coordinates):
        at = coordinates.transform_to(frame).cartesian.xyz.value
        return np.where(at[0] > 0, at[1] / at[0], np.nan), np.where(at[0] > 0, at[2] / at[0], np.nan)

    x, y = plane(sky)
    cx, cy = plane(corner)
    turn = np.zeros(len(x))
    for i in range(len(cx)):
        a = np.arctan2(cy[i] - y, cx[i] - x)
        b = np.arctan2(cy[(i + 1) % len(cx)] - y, cx[(i + 1) % len(cx)] - x)
        turn += (b - a + np.pi) % (2 * np.pi) - np.pi
    return np.abs(turn) > np.pi
