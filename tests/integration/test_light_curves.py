"""Many positions in one call: the very answers of one position at a time, on both engines, from the index alone."""

import numpy as np
import pandas as pd
import pytest
from astropy import units as u
from astropy.table import Table
from sqlalchemy import insert, text

from tests.support.archives import Plan, build_archive
from tests.support.curves import iter_light_curves, light_curve, light_curves
from tests.support.postgres import ENGINES
from ztfdb.errors import QueryError
from ztfdb.query import detections, targets
from ztfdb.query import epochs as query_epochs
from ztfdb.schema import Image
from ztfdb.sky.cells import cone_ranges
from ztfdb.store.backends import backend
from ztfdb.store.detections import OURS, light_curve_statement
from ztfdb.store.engine import make_engine, sessions


def some_positions(stars, n, seed=8):
    """Beside stars of every field, some twice, some where nothing is."""
    rng = np.random.default_rng(seed)
    field = [stars[k % len(stars)] for k in range(n)]
    star = [rng.integers(len(one.ra)) for one in field]
    ra = np.array([one.ra[k] for one, k in zip(field, star, strict=True)])
    dec = np.array([one.dec[k] for one, k in zip(field, star, strict=True)])
    dec = np.clip(dec + rng.normal(0.0, 0.4, n) / 3600.0, -90.0, 90.0)
    ra[::11], dec[::11] = rng.uniform(0.0, 360.0, len(ra[::11])), rng.uniform(-60.0, 60.0, len(ra[::11]))
    ra[-5:], dec[-5:] = ra[:5], dec[:5]
    return pd.DataFrame({"ra": ra, "dec": dec, "gr": rng.uniform(0.0, 1.0, n)})


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"radius": 30.0},
        {"good": True, "aperture": 6, "filters": ["zr", "zi"]},
        {"color": "gr", "all_versions": True},
    ],
)
def test_many_positions_give_what_each_gives_alone(generated, generated_maker, options):
    table = some_positions(generated.stars, 120)
    with generated_maker() as session:
        many = light_curves(session, table, **options)
        alone = []
        for position, row in enumerate(table.itertuples()):
            own = options | ({"color": row.gr} if "color" in options else {})
            curve = light_curve(session, row.ra, row.dec, **own).to_pandas()
            curve["position"] = position
            alone.append(curve)
    expected = pd.concat(alone, ignore_index=True)
    expected.attrs = many.attrs
    pd.testing.assert_frame_equal(many, expected, check_exact=True)
    assert many["position"].nunique() > 60
    assert many["mjd"].groupby(many["position"]).is_monotonic_increasing.all()


def test_both_engines_give_the_same_light_curves(generated):
    table = some_positions(generated.stars, 1_500, seed=9)
    answers = []
    for name in ENGINES:
        with generated.makers[name]() as session:
            answers.append(light_curves(session, table, radius=3.0))
    assert len(answers[0]) > 5_000
    pd.testing.assert_frame_equal(*answers, check_exact=True)


def test_pieces_make_the_whole(generated, generated_maker, monkeypatch):
    table = some_positions(generated.stars, 100)
    with generated_maker() as session:
        whole = light_curves(session, table)
        monkeypatch.setattr(targets, "POSITIONS_PER_CHUNK", 7)
        pieces = list(iter_light_curves(session, table))
    assert len(pieces) == 15
    joined = pd.concat(pieces, ignore_index=True)
    joined.attrs = whole.attrs
    pd.testing.assert_frame_equal(joined, whole)


@pytest.mark.parametrize("options", [{}, {"aperture": 2, "good": True, "all_versions": True}, {"filters": "zr"}])
def test_rows_that_are_read_and_computed_in_small_parts_make_the_whole(
    generated, generated_maker, monkeypatch, options
):
    table = some_positions(generated.stars, 300)
    sizes = []

    def recorded(*args, **how):
        for start, part, rows in cone_rows(*args, **how):
            sizes.append(len(part.ra))
            yield start, part, rows

    cone_rows = detections.cone_rows
    with generated_maker() as session:
        whole = light_curves(session, table, 3.0, **options)
        monkeypatch.setattr(detections, "cone_rows", recorded)
        monkeypatch.setattr(targets, "POSITIONS_PER_CHUNK", 80)
        monkeypatch.setattr(detections, "ROWS_READ", len(whole) // 20)
        monkeypatch.setattr(query_epochs, "ROWS_AT_ONCE", 3)
        parts = light_curves(session, table, 3.0, **options)
        pieces = list(iter_light_curves(session, table, 3.0, **options))
        star = whole["position"].mode()[0]  # that with the most epochs
        alone = light_curve(session, table["ra"][star], table["dec"][star], 3.0, **options).to_pandas()
    pd.testing.assert_frame_equal(parts, whole, check_exact=True)
    assert len(pieces) == 4  # of 80 positions
    pd.testing.assert_frame_equal(pd.concat(pieces, ignore_index=True), whole, check_exact=True)
    assert len(alone) > 3
    of_star = whole.loc[whole["position"] == star, list(alone.columns)].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone, of_star, check_exact=True)
    of_many = sizes[: -len(pieces) - 1]
    assert sum(of_many) == 300
    assert of_many[0] == 20  # a quarter of what is read without knowing how many rows there are
    assert max(of_many) < 80


def test_an_answer_too_large_for_memory_is_refused_and_comes_in_pieces(generated, monkeypatch):
    monkeypatch.setattr(detections, "MOST_EPOCHS", 500)
    monkeypatch.setattr(targets, "POSITIONS_PER_CHUNK", 40)
    table = some_positions(generated.stars, 150)
    answers = []
    for name in ENGINES:
        with generated.makers[name]() as session:
            with pytest.raises(QueryError, match="500 epochs in one answer: take them in pieces"):
                light_curves(session, table)
            pieces = list(iter_light_curves(session, table))
        assert [piece["position"].max() < 40 * (k + 1) for k, piece in enumerate(pieces)] == [True] * 4
        answers.append(pd.concat(pieces, ignore_index=True))
    assert len(answers[0]) > 500
    pd.testing.assert_frame_equal(*answers, check_exact=True)


def test_positions_come_as_tables_of_all_kinds(generated, generated_maker):
    table = some_positions(generated.stars, 12)[["ra", "dec"]]
    quantities = {"ra": table["ra"].to_numpy() / 15.0 * u.hourangle, "dec": table["dec"].to_numpy() * u.deg}
    with_units = Table.from_pandas(table)
    with_units["dec"] = (with_units["dec"] * 60.0) * u.arcmin
    with generated_maker() as session:
        wanted = light_curves(session, table)
        for given in (Table.from_pandas(table), table.to_numpy(), table.to_dict("list"), quantities, with_units):
            pd.testing.assert_frame_equal(
                light_curves(session, given).drop(columns=["separation", "oid"]),
                wanted.drop(columns=["separation", "oid"]),
            )


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"ra": [1.0, np.nan], "dec": [1.0, 1.0]}, "row 1"),
        ({"ra": [1.0, 2.0, 3.0], "dec": [1.0, 2.0, 91.0]}, "row 2"),
        (Table({"ra": np.ma.array([1.0, 2.0], mask=[True, False]), "dec": [1.0, 2.0]}), "row 0"),
        ({"lon": [1.0], "lat": [1.0]}, "'ra' and 'dec'"),
        ({"ra": [1.0, 2.0], "dec": [1.0]}, "2 right ascensions"),
        ([1.0, 2.0, 3.0], "shape"),
    ],
)
def test_tables_that_are_not_of_positions_are_refused(generated_maker, table, words):
    with generated_maker() as session, pytest.raises(ValueError, match=words):
        light_curves(session, table)


def test_colours_must_fit_the_positions(generated_maker):
    with generated_maker() as session:
        for color in ("nothing", [0.1, 0.2]):
            with pytest.raises(ValueError, match="colo"):
                light_curves(session, {"ra": [1.0], "dec": [1.0]}, color=color)


@pytest.mark.parametrize("many", [False, True])
def test_a_light_curve_is_read_from_the_index_alone_right_after_an_ingest(engine_url, many):
    stars = build_archive(engine_url, Plan(2_000, 10))[0]
    engine = make_engine(engine_url)
    k, lo, hi = cone_ranges(stars.ra[:40], stars.dec[:40], 1.5)
    if not many:
        k, lo, hi = cone_ranges(stars.ra[0], stars.dec[0], 1.5)
    with sessions(engine)() as session:
        statement, params = light_curve_statement(session, OURS, lo=lo, hi=hi, **({"k": k} if many else {}))
        word = "explain query plan " if engine.dialect.name == "sqlite" else "explain "
        plan = "\n".join(map(str, backend(session).by_index().read_rows(word + statement, params)))
    engine.dispose()
    if engine.dialect.name == "sqlite":
        assert "USING COVERING INDEX ix_source_light_curve_key" in plan
    else:
        assert "Index Only Scan using ix_source_light_curve on source" in plan
        assert "JIT" not in plan


def test_an_ingest_between_two_questions_shows_in_the_second(engine_url):
    star = build_archive(engine_url, Plan(500, 4, trouble=0.0))[0]
    engine = make_engine(engine_url)
    with sessions(engine)() as session:
        before = light_curve(session, star.ra[3], star.dec[3])
    build_archive(engine_url, Plan(500, 2, trouble=0.0, first_epoch=4))
    with sessions(engine)() as session:
        after = light_curve(session, star.ra[3], star.dec[3])
    engine.dispose()
    assert (len(before), len(after)) == (4, 6)


def test_range_rows_of_an_empty_list_are_no_rows(generated_maker):
    nothing = np.empty(0, np.int64)
    with generated_maker() as session:
        rows, params = backend(session).range_rows(lo=nothing, hi=nothing)
        assert session.execute(text(f"select * from {rows}"), params).all() == []


def test_a_source_whose_image_is_gone_is_no_epoch(engine_url):
    stars = build_archive(engine_url, Plan(200, 3, trouble=0.0))[0]
    engine = make_engine(engine_url)
    with sessions(engine).begin() as session:
        row = session.execute(Image.__table__.select().order_by(Image.image_id).limit(1)).mappings().one()
        for table in ("image_cell", "image_file", "image_header", "image"):
            session.execute(text(f"delete from {table} where image_id = :i"), {"i": row["image_id"]})
        assert len(light_curve(session, stars.ra[0], stars.dec[0])) == 2
        session.execute(insert(Image), dict(row))
        assert len(light_curve(session, stars.ra[0], stars.dec[0])) == 3
    engine.dispose()
