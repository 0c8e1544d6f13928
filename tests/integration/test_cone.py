"""Cones: the same rows from both engines, and those that brute force finds."""

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import select

from ztfdb.errors import QueryError
from ztfdb.query.cone import MAX_CONE_RADIUS, cone
from ztfdb.schema import Image, Source

N_CONE = 1_000


@pytest.fixture(scope="module")
def everything(generated):
    """All positions and ids, the slow way."""
    with generated.makers["sqlite"]() as session:
        rows = session.execute(select(Source.source_id, Source.ra, Source.dec)).all()
    source_id, ra, dec = (np.array(column) for column in zip(*rows, strict=True))
    return source_id, unit(ra, dec)


def unit(ra, dec):
    lon, lat = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def brute_force(everything, ra, dec, radius):
    """Ids inside, and their separations from the chord between unit vectors."""
    source_id, vectors = everything
    chord = np.linalg.norm(vectors - unit(ra, dec), axis=-1)
    separation = np.degrees(2.0 * np.arcsin(np.minimum(1.0, chord / 2.0))) * 3600.0
    inside = separation <= radius
    return source_id[inside], separation[inside]


def random_cones(stars, n, seed=5):
    """Centres beside stars, on RA 0, on the poles and anywhere; radii of all sizes."""
    rng = np.random.default_rng(seed)
    for number in range(n):
        kind = number % 10
        radius = 10.0 ** rng.uniform(-1.0, 3.0)
        if kind < 7:
            field = stars[number % len(stars)]
            star = rng.integers(len(field.ra))
            offset = rng.normal(0.0, radius / 3600.0, 2)
            dec = np.clip(field.dec[star] + offset[1], -90.0, 90.0)
            yield field.ra[star] + offset[0], dec, radius
        elif kind == 7:
            yield rng.choice([0.0, 360.0, -1e-9, 359.9999999, rng.normal(0.0, 0.01)]), rng.uniform(-5.4, -4.6), radius
        elif kind == 8:
            yield rng.uniform(0.0, 360.0), rng.choice([90.0, -90.0, 89.9999, -89.9999]), radius * 3.0
        else:
            yield rng.uniform(0.0, 360.0), np.degrees(np.arcsin(rng.uniform(-1.0, 1.0))), radius


def test_a_thousand_cones_agree_row_by_row_and_with_brute_force(generated, everything):
    cones = list(random_cones(generated.stars, N_CONE))
    answers = {}
    for name, maker in generated.makers.items():
        with maker() as session:
            answers[name] = [cone(session, *one) for one in cones]
    for one, answer in zip(cones, answers["sqlite"], strict=True):
        ids, separation = brute_force(everything, *one)
        np.testing.assert_array_equal(np.sort(answer["source_id"]), np.sort(ids), err_msg=str(one))
        # the chord's rounding is 1e-16 of the sphere's radius: 2e-11 arcsec, more for wide angles
        np.testing.assert_allclose(np.sort(answer["separation"]), np.sort(separation), atol=1e-9)
        order = np.lexsort((answer["source_id"], answer["separation"]))
        np.testing.assert_array_equal(order, np.arange(len(answer)))
    assert sum(map(len, answers["sqlite"])) > 10 * N_CONE
    pd.testing.assert_frame_equal(*(pd.concat(parts, keys=range(N_CONE)) for parts in answers.values()))


@pytest.mark.parametrize(("ra", "dec"), [(0.0, 90.0), (359.9, -5.0), (180.3, 10.2)])
def test_the_widest_cone_has_every_row_in_it(generated_maker, everything, ra, dec):
    with generated_maker() as session:
        found = cone(session, ra, dec, MAX_CONE_RADIUS, columns=["source_id"])
    assert sorted(found["source_id"]) == sorted(brute_force(everything, ra, dec, MAX_CONE_RADIUS)[0])
    assert len(found) > 4_000


def test_radius_zero_finds_what_lies_exactly_there(generated_maker):
    with generated_maker() as session:
        row = session.execute(select(Source.source_id, Source.ra, Source.dec).limit(1)).one()
        assert list(cone(session, row.ra, row.dec, 0.0)["source_id"]) == [row.source_id]
        assert cone(session, row.ra + 1e-6, row.dec, 0.0).empty


def test_a_cone_holds_the_row_as_it_is_stored(generated_maker, generated):
    star = generated.stars[0]
    with generated_maker() as session:
        found = cone(session, star.ra[7], star.dec[7], 2.0)
        source = session.get_one(Source, int(found["source_id"][0]))
        image = session.get_one(Image, source.image_id)
        for column in Source.__table__.columns:
            value, wanted = found[column.name][0], getattr(source, column.name)
            assert (pd.isna(value) and wanted is None) or value == wanted, column.name
    assert list(found.columns) == [c.name for c in Source.__table__.columns] + ["separation", "obsmjd", "filtercode"]
    assert (found["obsmjd"][0], found["filtercode"][0]) == (image.obsmjd, image.filtercode)


def test_an_empty_cone_keeps_its_columns_and_their_types(generated_maker, generated):
    star = generated.stars[0]
    with generated_maker() as session:
        empty, full = cone(session, 90.0, 45.0, 1.0), cone(session, star.ra[0], star.dec[0], 1.0)
    assert empty.empty
    assert len(full) > 0
    pd.testing.assert_series_equal(empty.dtypes, full.dtypes)


def test_mask_bits_are_missing_where_there_was_no_mask(generated_maker):
    with generated_maker() as session:
        row = session.execute(select(Source.ra, Source.dec).where(Source.mask_bits.is_(None)).limit(1)).one()
        found = cone(session, row.ra, row.dec, 0.0)
    assert found["mask_bits"].dtype == "Int64"
    assert found["mask_bits"][0] is pd.NA


def test_columns_can_be_chosen(generated_maker, generated):
    star = generated.stars[0]
    with generated_maker() as session:
        found = cone(session, star.ra[0], star.dec[0], 1.0, columns=["flux_auto", "ra"])
        assert list(found.columns) == ["flux_auto", "ra", "separation", "obsmjd", "filtercode"]
        with pytest.raises(ValueError, match="drop table"):
            cone(session, 1.0, 1.0, 1.0, columns=["ra; drop table source"])


@pytest.mark.parametrize(
    ("ra", "dec", "radius"),
    [
        (np.nan, 0.0, 1.0),
        (0.0, np.nan, 1.0),
        (0.0, 90.001, 1.0),
        (np.inf, 0.0, 1.0),
        (0.0, 0.0, np.nan),
        (0.0, 0.0, -1.0),
    ],
)
def test_what_is_no_cone_is_refused(generated_maker, ra, dec, radius):
    with generated_maker() as session, pytest.raises(ValueError, match=r"position|dec|radius"):
        cone(session, ra, dec, radius)


def test_a_radius_beyond_the_maximum_is_a_typed_error(generated_maker):
    with generated_maker() as session, pytest.raises(QueryError, match="36000 arcsec"):
        cone(session, 0.0, 0.0, 36_000.1)
