"""Rows looked up by id, by ranges, by image: those that numpy picks out of what was stored, on both engines."""

from __future__ import annotations

import numpy as np
import pytest

from ztfdb.schema import Object, Source
from ztfdb.store.backends import backend
from ztfdb.store.columns import MISSING, NO_MASK, table_dtypes
from ztfdb.store.detection_rows import append_rows, count_orphans, delete_rows
from ztfdb.store.detections import OURS, light_curve_rows, rows_of_image
from ztfdb.store.engine import make_engine, sessions, writing
from ztfdb.store.select import rows

SOURCE = Source.__table__
DTYPES = table_dtypes("source")
IMAGES = (5, 6, 7)
N = 40


@pytest.fixture
def stored(engine_url):
    """Sessions of a database with sources of three images, and their columns by ascending id."""
    rng = np.random.default_rng(4)
    n = N * len(IMAGES)
    columns = {
        name: (rng.normal(size=n) if dtype.kind == "f" else rng.integers(0, 100, n)).astype(dtype)
        for name, dtype in DTYPES.items()
    }
    columns["image_id"] = np.repeat(IMAGES, N).astype(np.int64)
    columns["source_id"] = (columns["image_id"] << 18) + np.tile(np.arange(N), len(IMAGES))
    columns["hpx29"] = rng.permutation(n).astype(np.int64)
    columns["flux_aper4"][::5] = np.nan
    null = np.arange(n) % 3 == 0
    engine = make_engine(engine_url)
    maker = sessions(engine)
    with writing(maker) as session:
        append_rows(session, OURS, columns, {"mask_bits": null})
    columns["mask_bits"][null] = NO_MASK
    yield maker, columns
    engine.dispose()


def check(found, columns, chosen, names=tuple(DTYPES)):
    assert list(found) == list(names)
    for name in names:
        assert found[name].dtype == DTYPES[name]
        np.testing.assert_array_equal(found[name], columns[name][chosen], err_msg=name)


def test_all_columns_of_ids_come_ordered_and_unknown_ids_are_left_out(stored):
    maker, columns = stored
    chosen = np.array([3, 50, 119])
    with maker() as session:
        check(rows(session, "source", ids=np.append(columns["source_id"][chosen[::-1]], 12345)), columns, chosen)
        check(rows(session, SOURCE, ids=np.empty(0, np.int64)), columns, np.empty(0, np.int64))


def test_ranges_are_half_open(stored):
    maker, columns = stored
    names = ("source_id", "ra", "mask_bits")
    lo, hi = np.array([0, 50, 119]), np.array([10, 51, 200])
    cell = columns["hpx29"]
    chosen = np.flatnonzero((cell < 10) | (cell == 50) | (cell == 119))
    with maker() as session:
        check(rows(session, "source", names, lo=lo, hi=hi), columns, chosen, names)
        found = light_curve_rows(session, OURS, lo=lo, hi=hi)
        order = np.argsort(found["source_id"])
        check({name: values[order] for name, values in found.items()}, columns, chosen, OURS.light_curve)
        named = light_curve_rows(session, OURS, lo=lo, hi=hi, k=np.array([7, 8, 9]))
        by_cell = dict(zip(columns["source_id"][chosen].tolist(), cell[chosen].tolist(), strict=True))
        for source_id, k in zip(named["source_id"].tolist(), named["k"].tolist(), strict=True):
            assert k == (7 if by_cell[source_id] < 10 else 8 if by_cell[source_id] == 50 else 9)


def test_an_image_has_its_own_rows_from_the_first_number_to_the_last(stored):
    maker, columns = stored
    last = {name: np.asarray(values[:1]).copy() for name, values in columns.items()}
    last["source_id"][:] = (6 << 18) + (1 << 18) - 1
    last["image_id"][:], last["mask_bits"][:] = 6, 0
    with writing(maker) as session:
        append_rows(session, OURS, last)
    with maker() as session:
        found = rows_of_image(session, OURS, 6)
        assert found["source_id"].tolist() == [*columns["source_id"][N : 2 * N], last["source_id"][0]]
        assert len(rows_of_image(session, OURS, 8)["source_id"]) == 0


def test_a_condition_narrows_and_the_rest_of_a_table_is_all_rows(stored):
    maker, columns = stored
    with maker() as session:
        check(rows(session, "source"), columns, np.arange(N * len(IMAGES)))
        chosen = np.flatnonzero((columns["image_id"] == 7) & (columns["flags"] < 50))
        check(rows(session, "source", image_id=7, where="source.flags < 50"), columns, chosen)


def test_what_stands_for_null_follows_the_width_of_the_column(stored):
    maker, _ = stored
    one = {name: np.ones(1, dtype) for name, dtype in table_dtypes("object").items()}
    with writing(maker) as session:
        backend(session).copy_rows(Object.__table__, one, {"ps1_id": np.ones(1, bool)})
        assert rows(session, "object", ["object_id", "ps1_id"])["ps1_id"].tolist() == [MISSING]


def test_an_unknown_column_is_named(stored):
    maker, _ = stored
    with maker() as session, pytest.raises(ValueError, match="source has no column 'flux', 'mag'"):
        rows(session, "source", ("ra", "flux", "mag"), lo=np.array([0]), hi=np.array([1]))


def test_rows_of_an_image_go_together_and_those_of_no_image_are_counted(stored):
    maker, columns = stored
    with writing(maker) as session:
        assert count_orphans(session, OURS) == len(columns["ra"])
        assert delete_rows(session, OURS, 6) == N
        assert rows(session, "source", ["source_id"])["source_id"].tolist() == [
            *columns["source_id"][:N], *columns["source_id"][2 * N :],
        ]  # fmt: skip
