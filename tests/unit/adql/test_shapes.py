"""A statement that is translated by its shape becomes the very SQL that the translator makes of it anew."""

from __future__ import annotations

import random
import threading

import pytest

pytest.importorskip("sqlglot")

from tests.support.statements import random_statements
from ztfdb.adql.kept import Kept
from ztfdb.adql.slots import Shape, shape_of
from ztfdb.adql.tables import Tables
from ztfdb.adql.translate import Learned, translate, translate_afresh
from ztfdb.errors import QueryError
from ztfdb.serve.tap.schema import ordered

ENGINES = ("sqlite", "postgresql")
CONE = "select source_id, ra from ztf.source where 1 = contains(point('ICRS', ra, dec), circle('ICRS', {}, {}, {}))"
SHAPES = [
    CONE,
    "select * from light_curve_point where contains(point(ra, dec), circle(point({}, {}), {})) = 1 order by obsmjd",
    "select top 7 source_id, distance(point(ra, dec), point({0}, {1})) as d from source "
    "where distance(ra, dec, {0}, {1}) < {2} order by d, 1",
    "select a.source_id, i.fid from source as a left join image as i on i.image_id = a.image_id and i.obsmjd between "
    "58000 and 59000.5 where intersects(circle({}, {}, {}), point(a.ra, a.dec)) = 1 and (a.flags = 0 or a.x <= -2.5)",
    "select count(*) as n from source as s where exists (select 1 from source as t where t.source_id = s.source_id "
    "and 1 = contains(point(t.ra, t.dec), circle('', {}, {}, {}))) group by flags having count(*) > 1",
]
EDGES = [
    ("0", "0", "1"), ("359.9999", "-5.1", "0.3"), ("0.0", "90", "0.05"), ("12.5", "-90.0", "1e-05"),
    ("-3.25", "1", "2"), ("400.5", "-12.25", "0"), ("180.26", "9.64", "180"), ("10.5", "91.0", "0.1"),
    ("10.5", "-3.0", "180.5"), ("1e3", "4.", "45.5"),
]  # fmt: skip


def tables() -> Tables:
    return Tables.of(list(ordered()))


def made(function, text, known, engine, max_rows=1_000):
    """Return a translation, or the words of its error."""
    try:
        return function(text, known, engine, max_rows)
    except QueryError as exc:
        return str(exc)


def learned(known: Tables) -> int:
    return sum(isinstance(value, Learned) for value in known.templates._values.values())


def other_numbers(shape: Shape, dice: random.Random) -> dict[str, str]:
    """Numbers of the same kinds and signs as those of a shape."""

    def other(name: str, value: str) -> str:
        if name in ("lon", "lat", "radius"):
            text = repr(round(dice.uniform(0, {"lon": 360, "lat": 90, "radius": 2}[name]), dice.randrange(12)))
        else:
            text = str(dice.randrange(1_000)) if value.lstrip("-").isdigit() else repr(dice.uniform(0, 70_000))
        return f"-{text}" if value.startswith("-") else text

    return {name: other(name, value) for name, value in shape.values.items()}


@pytest.mark.parametrize("engine", ENGINES)
def test_positions_at_every_edge_are_as_translated_anew(engine):
    known = tables()
    for template in SHAPES:
        for edge in [("20.5", "3.5", "0.01"), ("21.5", "-3.5", "0.01"), *EDGES]:
            text = template.format(*edge)
            assert made(translate, text, known, engine) == made(translate_afresh, text, known, engine), text
    assert learned(known) >= len(SHAPES)


@pytest.mark.parametrize("engine", ENGINES)
def test_random_statements_are_as_translated_anew(engine):
    known, dice = tables(), random.Random(7)
    n_shape = 0
    for text, uploads in random_statements(60, 31):
        shape = None if uploads else shape_of(text)
        texts = [text] * 3 + [shape.with_values(other_numbers(shape, dice)) for _ in range(2) if shape]
        n_shape += shape is not None
        for one in texts if not uploads else ():
            assert made(translate, one, known, engine) == made(translate_afresh, one, known, engine), one
    assert n_shape > 15
    assert learned(known) > 8


@pytest.mark.parametrize(
    ("text", "one", "other"),
    [
        ("select top {} ra from source where npix > 1.5", "3", "999999"),
        ("select ra, dec from source where npix > 1.5 order by {}", "1", "2"),
        ("select ra from source where npix > 1.5 offset {}", "3", "4"),
        ("select ra from source where x > 1.5 and round(x, {}) > y", "1", "2"),
        ("select ra from source where x = 1 and '1' <> {}", "'2'", "'3'"),
        ("select ra from source where x = 1 and {} = '3'", "'1''2'", "'1' '2'"),
        ("select ra from source where x = {}", "1", "1.0"),
        ("select ra from source where x = 1 and y = {}", "2", "-2"),
        ("select cast(1.5 as char({})) as c from source where x > 3", "3", "4"),
        ("select ra from source where x = 1 and flags in (1, {})", "2", "3"),
        ("select ra from source where {} = contains(point(ra, dec), circle(1, 2, 3))", "1", "0"),
        ('select ra as "{}" from source where x > 1.5', "1.5", "2.5"),
        ("select {} from source where x = 1", "filtercode || kind", "filtercode | | kind"),
        ("select 1 as a from source where x = 1 {}", "", "-- and y = 2"),
    ],
)
@pytest.mark.parametrize("engine", ENGINES)
def test_what_is_no_free_number_is_part_of_the_shape(text, one, other, engine):
    known = tables()
    for part in (one, one, one, other, other, other, one):
        whole = text.format(part)
        assert made(translate, whole, known, engine) == made(translate_afresh, whole, known, engine)


def test_another_limit_engine_or_address_is_another_template():
    known, text = tables(), CONE.format(10, 20, 0.5)
    for engine in ENGINES:
        for max_rows in (5, 50):
            for base in ("http://a", "http://b"):
                for _ in range(3):
                    made = translate(text, known, engine, max_rows, base=base)
                    assert made == translate_afresh(text, known, engine, max_rows, base=base)


def test_several_threads_get_what_one_gets():
    known = tables()
    texts = [CONE.format(number, number / 10, 0.01) for number in range(40)]
    wanted = [translate_afresh(text, known, "sqlite", 10) for text in texts]
    found: list[list] = []

    def work():
        found.append([translate(text, known, "sqlite", 10) for text in texts])

    threads = [threading.Thread(target=work) for _ in range(6)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert found == [wanted] * 6


def test_shapes_that_nobody_uses_are_forgotten():
    kept: Kept[int] = Kept(3)
    for number in range(3):
        kept.put(number, number)
    assert kept.get(0) == 0
    kept.put(3, 3)
    assert [kept.get(number) for number in range(4)] == [0, None, 2, 3]
    assert len(kept) == 3
