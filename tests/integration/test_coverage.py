"""Which images cover a position: by their full projection, and by nothing else."""

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from astropy_healpix import healpix_to_lonlat
from sqlalchemy import text

from tests.support.archives import NX, NY, Plan, image_row, quadrant_of, store_images, store_places
from tests.support.headers import header_a
from ztfdb.query.coverage import coverage_map, images_covering
from ztfdb.schema import Image
from ztfdb.sky.projection import pixel_to_sky
from ztfdb.store import image_cells
from ztfdb.store.engine import make_engine, sessions, writing
from ztfdb.store.image_cells import cell_depths
from ztfdb.store.meta_rows import create_meta

PLANS = [Plan(1, 1, centre=(359.9, 1.0)), Plan(1, 1, centre=(10.0, 89.8), first_epoch=5), Plan(1, 1, first_epoch=9)]


@pytest.fixture
def maker(engine_url):
    """An archive of a quadrant across RA 0, one on the pole and an ordinary one."""
    made = sessions(make_engine(engine_url))
    with writing(made) as session:
        create_meta(session, {})
        store_places(session)
        for plan in PLANS:
            quadrant = quadrant_of(plan, 0)
            row = image_row(plan, plan.first_epoch, quadrant, 0, np.random.default_rng(0))
            store_images(session, [(row, quadrant)])
    yield made
    made.kw["bind"].dispose()


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize(
    ("x", "y", "inside"),
    [
        (-0.499, 5.0, True),
        (-0.501, 5.0, False),
        (NX - 0.501, NY - 0.501, True),
        (NX - 0.499, NY / 2, False),
        (100.0, -0.501, False),
        (100.0, NY - 0.499, False),
        (1500.0, 1500.0, True),
    ],
)
def test_a_position_is_covered_to_the_outer_edge_of_the_last_pixel(maker, plan, x, y, inside):
    ra, dec = pixel_to_sky(quadrant_of(plan, 0).wcs, x, y)
    with maker() as session:
        found = images_covering(session, float(ra), float(dec))
    own = found[found["filefracday"] == 20180000000000 + plan.first_epoch]
    assert len(own) == inside
    if inside:
        assert (own["x"].iloc[0], own["y"].iloc[0]) == pytest.approx((x, y), abs=1e-6)


def test_random_positions_are_covered_as_astropy_says(generated_maker, generated):
    rng = np.random.default_rng(4)
    with generated_maker() as session:
        rows = session.execute(
            text("select i.image_id, i.nx, i.ny, h.wcs from image i join image_header h on h.image_id = i.image_id")
        )
        images = {row.image_id: (row.nx, row.ny, np.frombuffer(row.wcs)) for row in rows}
        wcs = {image: astropy_wcs(values) for image, (_, _, values) in images.items()}
        n_found = 0
        for k in range(60):
            stars = generated.stars[k % 4]
            star = rng.integers(len(stars.ra))
            offset = rng.normal(0.0, 0.4, 2)
            ra, dec = (stars.ra[star] + offset[0]) % 360.0, float(np.clip(stars.dec[star] + offset[1], -90.0, 90.0))
            found = images_covering(session, ra, dec)
            expected = []
            for image, (nx, ny, values) in images.items():
                if np.cos(np.radians(dec - values[1])) < 0.9:
                    continue
                x, y = wcs[image].all_world2pix(ra, dec, 0)
                if -0.5 <= x < nx - 0.5 and -0.5 <= y < ny - 0.5:
                    expected.append(image)
            assert sorted(found["image_id"]) == sorted(expected)
            n_found += len(found)
    assert n_found > 150


def astropy_wcs(values):
    header = fits.Header(header_a().cards)
    names = ("CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2", "CD1_1", "CD1_2", "CD2_1", "CD2_2")
    header.update(dict(zip(names, values.tolist(), strict=False)))
    header.update({"NAXIS": 2, "NAXIS1": NX, "NAXIS2": NY})
    return WCS(header)


def test_rows_are_ordered_by_time_and_hold_every_column_of_an_image(generated_maker, generated):
    stars = generated.stars[0]
    with generated_maker() as session:
        found = images_covering(session, stars.ra[0], stars.dec[0])
        empty = images_covering(session, 90.0, 45.0)
    assert list(found.columns) == [
        c.name for c in Image.__table__.columns if c.name not in ("row_checksum", "caveats", "facts_checksum")
    ] + [
        "path",
        "x",
        "y",
    ]
    assert len(found) == 12
    assert found["obsmjd"].is_monotonic_increasing
    assert found["path"][0] == f"/generated/{found['image_id'][0]}.fits"
    assert empty.empty
    assert list(empty.columns) == list(found.columns)
    assert (empty.dtypes == found.dtypes)[["image_id", "obsmjd", "x", "kind", "infobits"]].all()


@pytest.mark.parametrize(("ra", "dec"), [(np.nan, 0.0), (0.0, 90.5)])
def test_what_is_no_position_is_refused(maker, ra, dec):
    with maker() as session, pytest.raises(ValueError, match="not a position"):
        images_covering(session, ra, dec)


@pytest.mark.parametrize("order", [0, 4, 6, 9])
def test_the_map_counts_images_cell_by_cell(generated_maker, order):
    """Against every pair of image and cell, counted in Python."""
    with generated_maker() as session:
        found = coverage_map(session, order=order)
        pairs = session.execute(
            text("select cell9, fid, maglim, obsmjd from image_cell join image using (image_id) where kind <> 'ref'")
        ).all()
    cells: dict[tuple[int, int], dict[int, list[tuple[float, float]]]] = {}
    for cell9, fid, maglim, mjd in pairs:
        cells.setdefault((cell9 >> 2 * (9 - order), fid), {}).setdefault(cell9, []).append((maglim, mjd))
    assert list(zip(found["cell"], found["filtercode"], strict=True)) == [
        (cell, ("zg", "zr", "zi")[fid - 1]) for cell, fid in sorted(cells)
    ]
    for row, key in zip(found.itertuples(), sorted(cells), strict=True):
        inside = cells[key]
        every = [one for images in inside.values() for one in images]
        assert row.n_image == max(map(len, inside.values()))
        assert row.limitmag == pytest.approx(max(maglim for maglim, _ in every), abs=1e-5)  # stored as REAL
        assert (row.first_mjd, row.last_mjd) == (min(m for _, m in every), max(m for _, m in every))
    ra, dec = healpix_to_lonlat(found["cell"].to_numpy(), 2**order, order="nested")
    np.testing.assert_allclose(found["ra"], ra.to_value("deg"), atol=1e-9)
    np.testing.assert_allclose(found["dec"], dec.to_value("deg"), atol=1e-9)


def test_the_database_sends_no_more_cells_than_the_map_has(generated_maker):
    with generated_maker() as session:
        sent = [len(cell_depths(session, 4 ** (9 - order))["cell"]) for order in (0, 6, 9)]
        assert sent == [len(coverage_map(session, order=order)) for order in (0, 6, 9)]
    assert sent[0] < sent[1] < sent[2]


@pytest.mark.parametrize("at_once", [1, 300, 10**6])
def test_pieces_of_the_map_are_put_together(generated, monkeypatch, at_once):
    """SQLite looks up no image for each of its cells: of 10^5 images that took 8 s, not 2.5 s."""
    monkeypatch.setattr(image_cells, "IDS_AT_ONCE", at_once)
    plans = []
    with generated.makers["sqlite"]() as session:
        own = session.connection().connection.driver_connection
        own.set_trace_callback(plans.append)
        found = coverage_map(session, order=5)
        own.set_trace_callback(None)
    assert not any("image_cell" in plan and "join" in plan for plan in plans), plans
    assert sum("image_id from image_cell" in plan for plan in plans) > (1 if at_once < 10**6 else 0)
    with generated.makers["postgresql"]() as session:
        pd.testing.assert_frame_equal(found, coverage_map(session, order=5))


def test_an_order_that_is_none_is_refused(generated_maker):
    with generated_maker() as session, pytest.raises(ValueError, match="order 10: expected 0 to 9"):
        coverage_map(session, order=10)
