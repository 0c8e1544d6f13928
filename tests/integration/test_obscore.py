"""ivoa.obscore: the images' own facts and outlines, geometry as brute force has it, found by the cells they touch."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.coordinates import SkyCoord

pytest.importorskip("sqlglot", reason="the extra serve is not installed")

pytest.importorskip("starlette", reason="the extra serve is not installed")

from tests.support.asked import archive_on_both, assert_same
from tests.support.postgres import ENGINES
from ztfdb.adql import obsplan
from ztfdb.adql.obscore import COLUMNS
from ztfdb.adql.tables import Column
from ztfdb.adql.uploads import Upload
from ztfdb.errors import QueryError
from ztfdb.serve.sia import corners_around
from ztfdb.sky.clip import meets_range
from ztfdb.sky.shapes import SkyRange

PLACES = [(180.0, 10.0), (0.01, -5.0), (70.0, 89.7), (359.7, -4.8), (180.4, 10.41), (12.0, 89.95)]


@pytest.fixture(scope="module")
def asked(databases):
    with archive_on_both(databases) as made:
        yield made


@pytest.fixture(scope="module")
def images(asked):
    """Ids, and unit vectors of the corners, shape (n, 4, 3), as the table ``image`` has them."""
    names = ", ".join(f"ra{k}, dec{k}" for k in range(1, 5))
    rows = asked.both(f"select image_id, {names} from image order by image_id")
    corner = np.array([row[1:] for row in rows]).reshape(-1, 4, 2)
    return np.array([row[0] for row in rows]), vectors(corner[..., 0], corner[..., 1])


def vectors(ra, dec):
    ra, dec = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)


def filled(corner, n=60):
    """Points that fill quadrilaterals and their rims, shape (n_image, n * n, 3): bilinear, put back on the sphere."""
    s, t = np.meshgrid(np.linspace(0, 1, n), np.linspace(0, 1, n))
    weight = np.stack([(1 - s) * (1 - t), s * (1 - t), s * t, (1 - s) * t], axis=-1).reshape(-1, 4)
    points = np.einsum("pk,ikc->ipc", weight, corner)
    return points / np.linalg.norm(points, axis=-1, keepdims=True)


def ids_where(asked, condition):
    return [row[0] for row in asked.both(f"select image_id from ivoa.obscore where {condition} order by image_id")]


def test_every_column_has_one_answer_and_the_standards_words(asked):
    rows = asked.both("select * from ivoa.obscore order by obs_publisher_did")
    names = [column.name for column in COLUMNS]
    images = asked.both(
        "select image_id, obsmjd, exptime, ra, dec, ra1, dec1, ra3, dec3, seeing_pix, nx, fid, expid from image "
        "order by image_id"
    )
    assert len(rows) == len(images) == 13
    by_id = {row[0]: row for row in images}
    for row in rows:
        one = dict(zip(names, row, strict=True))
        image_id, obsmjd, exptime, ra, dec, ra1, dec1, ra3, dec3, seeing_pix, nx, fid, expid = by_id[one["image_id"]]
        assert one["obs_publisher_did"] == f"ivo://ztfdb/image?{image_id}"
        assert one["access_url"] == f"/datalink/links?ID=ivo://ztfdb/image?{image_id}"
        assert (one["s_ra"], one["s_dec"], one["t_min"], one["t_exptime"]) == (ra, dec, obsmjd, exptime)
        assert one["t_max"] == pytest.approx(obsmjd + exptime / 86400, abs=1e-9)
        words = one["s_region"].split()
        assert words[:2] == ["POLYGON", "ICRS"]
        region = np.array(words[2:], float)
        assert region[:2] == pytest.approx([ra1, dec1], abs=5.1e-7)
        assert region[4:6] == pytest.approx([ra3, dec3], abs=5.1e-7)
        diagonals = SkyCoord(region[[0, 2]], region[[1, 3]], unit="deg").separation(
            SkyCoord(region[[4, 6]], region[[5, 7]], unit="deg")
        )
        assert one["s_fov"] == pytest.approx(diagonals.deg.max(), abs=3e-6)
        side = SkyCoord(*region[:2], unit="deg").separation(SkyCoord(*region[2:4], unit="deg")).arcsec
        assert one["s_pixel_scale"] == pytest.approx(side / nx, rel=1e-5)
        assert one["s_resolution"] == pytest.approx(seeing_pix * side / nx, rel=1e-5)
        assert one["obs_id"] == str(expid)
        assert one["em_min"] < {1: 480e-9, 2: 642e-9, 3: 788e-9}[fid] < one["em_max"]
        assert one["calib_level"] == 2


def test_exposures_that_were_made_are_in_the_words_of_observation_plans(asked):
    """The columns that both tables have are the same; what was made has times, and so has no reference."""
    shared = [column.name for column in COLUMNS if column.name in {one.name for one in obsplan.COLUMNS}]
    assert len(shared) == len(obsplan.COLUMNS) - 6
    words = ", ".join(shared)
    rows = asked.both(f"select {words} from ivoa.obsplan order by image_id")
    assert rows == asked.both(f"select {words} from ivoa.obscore where t_min is not null order by image_id") != []
    own = "t_planning, t_plan_exptime, category, priority, execution_status, tracking_type"
    made = asked.both(f"select {own} from ivoa.obsplan order by image_id")
    ended = asked.both("select t_max, t_exptime from ivoa.obscore where t_min is not null order by image_id")
    assert made == [(*one, "Fixed", 0, "Performed", "Sidereal") for one in ended]
    assert asked.both("select count(*) from ivoa.obsplan") == [(len(rows),)]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("place", PLACES[:3])
def test_exposures_of_a_position_are_found_by_cells(asked, engine, place):
    condition = f"1 = contains(point({place[0]}, {place[1]}), s_region) and t_min > 0"
    found = asked.both(f"select image_id from ivoa.obsplan where {condition} order by image_id")
    assert [row[0] for row in found] == ids_where(asked, condition) != []
    plan = asked.plan(engine, f"select obs_id from ivoa.obsplan where {condition}")
    assert ("pk_image_cell" in plan) if engine == "postgresql" else ("SEARCH _t USING" in plan), plan


@pytest.mark.parametrize("place", PLACES)
def test_a_point_lies_in_the_outline(asked, images, place):
    ids, corner = images
    ra = (place[0] + np.array([0.0, -0.35, 0.43]) / max(np.cos(np.radians(place[1])), 0.01)) % 360
    for lon in ra.tolist():
        inside = ids[in_quadrilateral(vectors(lon, place[1]), corner)]
        for condition in (
            f"1 = contains(point('ICRS', {lon}, {place[1]}), s_region)",
            f"1 * intersects(s_region, point({lon}, {place[1]})) = 1",
        ):
            assert ids_where(asked, condition) == inside.tolist()


def in_quadrilateral(point, corner):
    """Sum the signed angles at a point to the corners of convex quadrilaterals: 2 pi inside."""
    toward = corner - point * (corner @ point)[..., None]
    after = np.roll(toward, -1, axis=1)
    angle = np.arctan2(np.cross(toward, after) @ point, np.einsum("ikc,ikc->ik", toward, after))
    return (np.abs(angle.sum(axis=1)) > np.pi) & (corner.sum(axis=1) @ point > 0)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("radius", [0.4, 2.0, 91.0])
def test_a_circle_meets_the_outline_where_a_point_of_it_is_near(asked, images, place, radius):
    ids, corner = images
    centre, points = vectors(*place), filled(corner)
    inside = in_quadrilateral(centre, corner)
    distance = np.degrees(2 * np.arcsin(0.5 * np.linalg.norm(points - centre, axis=-1)))
    grain = 0.01  # half a diagonal of the mesh of points
    near = inside | (distance.min(axis=1) <= radius)
    clear = inside | (np.abs(distance.min(axis=1) - radius) > grain)
    found = np.isin(ids, ids_where(asked, f"1 = intersects(circle({place[0]}, {place[1]}, {radius}), s_region)"))
    assert (found == near)[clear].all()
    slow = np.isin(ids, ids_where(asked, f"1 = 1 * intersects(s_region, circle({place[0]}, {place[1]}, {radius}))"))
    assert (found == slow).all()
    within = np.isin(ids, ids_where(asked, f"1 = contains(s_region, circle({place[0]}, {place[1]}, {radius}))"))
    assert (within == (distance.max(axis=1) <= radius))[np.abs(distance.max(axis=1) - radius) > grain].all()
    holds = np.isin(ids, ids_where(asked, f"1 = contains(circle({place[0]}, {place[1]}, {radius}), s_region)"))
    rim = np.concatenate([points[:, :60], points[:, -60:], points[:, ::60], points[:, 59::60]], axis=1)
    depth = np.degrees(2 * np.arcsin(0.5 * np.linalg.norm(rim - centre, axis=-1))).min(axis=1)
    assert (holds == (inside & (depth >= radius)))[np.abs(depth - radius) > grain].all()


POLYGONS = [
    ([179.8, 180.4, 180.3, 179.7], [9.8, 9.9, 10.4, 10.3]),
    ([179.6, 180.5, 180.5, 180.0, 179.6], [9.5, 9.5, 10.6, 9.7, 10.6]),
    ([179.0, 181.0, 181.0, 180.0, 179.0], [9.0, 9.0, 9.4, 11.2, 9.4]),
    ([178.0, 182.0, 182.0, 178.0], [9.99, 9.99, 10.01, 10.01]),  # a strip without corners in the image
    ([359.0, 1.2, 1.0], [-6.4, -6.3, -3.6]),
    ([0.0, 90.0, 180.0, 270.0], [88.0, 88.2, 88.1, 88.4]),
    ([40.0, 41.0, 41.0], [40.0, 40.0, 41.0]),
]


@pytest.mark.parametrize(("ra", "dec"), POLYGONS)
def test_a_polygon_meets_the_outline_where_they_have_a_point_in_common(asked, images, ra, dec):
    ids, corner = images
    points = filled(corner, 80)
    inside = np.array([in_polygon(one, ra, dec) for one in points])
    words = ", ".join(f"{a}, {d}" for a, d in zip(ra, dec, strict=True))
    found = np.isin(ids, ids_where(asked, f"1 = intersects(s_region, polygon({words}))"))
    assert (found == inside.any(axis=1)).all()
    within = np.isin(ids, ids_where(asked, f"1 = contains(s_region, polygon({words}))"))
    assert (within == inside.all(axis=1)).all()
    slow = np.isin(ids, ids_where(asked, f"1 = 1 * intersects(polygon({words}), s_region)"))
    assert (found == slow).all()


def in_polygon(points, ra, dec):
    """Count how often the outline goes around points, in the plane that touches the sphere at its middle."""
    corner = vectors(np.array(ra), np.array(dec))
    middle = corner.sum(axis=0) / np.linalg.norm(corner.sum(axis=0))
    east = np.cross([0.3, 0.5, 0.8], middle)
    east /= np.linalg.norm(east)
    axes = np.stack([east, np.cross(middle, east)], axis=1)

    def plane(at):
        return (at @ axes) / (at @ middle)[:, None]

    front, at, outline = points @ middle > 0, plane(points), plane(corner)
    turn = np.zeros(len(points))
    for a, b in zip(outline, np.roll(outline, -1, axis=0), strict=True):
        first, second = a - at, b - at
        cross = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
        turn += np.arctan2(cross, (first * second).sum(axis=1))
    return front & (np.abs(turn) > np.pi)


CONJUNCTIVE = [
    "select * from ivoa.obscore where 1=contains(point('ICRS', 180.1, 10.1), s_region)",
    "select top 5 obs_id from ivoa.obscore where intersects(s_region, circle(180.1, 10.1, 0.2)) = 1 order by t_min",
    "select obs_id from ivoa.obscore where 1=intersects(s_region, polygon(180, 10, 180.2, 10, 180.2, 10.2))",
    "select obs_id from ivoa.obscore where 1=intersects(s_region, box(180.1, 10.1, 0.3, 0.3)) and t_min > 3",
    "select obs_id from ivoa.obscore where 1=contains(point(s_ra, s_dec), circle(180.1, 10.1, 0.3))",
    "select obs_id from ivoa.obscore where distance(point(s_ra, s_dec), point(180.1, 10.1)) < 0.3",
    "select obs_id from ivoa.obscore where 1=contains(point(180.1, 10.1), s_region) "
    "or 1=intersects(circle(0.0, -5.0, 0.1), s_region)",
    "select p.mag, o.obs_id from ztf.light_curve_point as p join ivoa.obscore as o on o.image_id = p.image_id "
    "and 1=contains(point(p.ra, p.dec), o.s_region) where 1=contains(point(p.ra, p.dec), circle(180.1, 10.1, 0.1))",
]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("text", CONJUNCTIVE)
def test_images_are_found_by_the_cells_they_touch(asked, engine, text):
    plan = asked.plan(engine, text)
    assert ("pk_image_cell" in plan) if engine == "postgresql" else ("SEARCH _t USING" in plan), plan
    assert "Seq Scan on image_cell" not in plan and "SCAN _t\n" not in plan and "SCAN _i\n" not in plan, plan


@pytest.mark.parametrize("text", CONJUNCTIVE)
def test_cells_change_no_answer(asked, text):
    text = text if "order by" in text else f"{text} order by 1"
    slow = text.replace("1=contains", "1=1*contains").replace("1=intersects", "1=1*intersects")
    slow = slow.replace("intersects(s_region, circle(180.1, 10.1, 0.2)) = 1", "1.0 = 1.0 * intersects(s_region, circle(180.1, 10.1, 0.2))")  # fmt: skip  # noqa: E501
    found = asked.both(text)
    assert found
    assert_same(found, asked.both(slow.replace("distance(", "1.0*distance(")), text)


RANGES = [
    SkyRange(180.0, 180.2, 10.0, 10.1), SkyRange(180.4, 180.5, 9.5, 9.6), SkyRange(359.5, 360.5, -5.3, -5.2),
    SkyRange(60.0, 200.0, 89.5, 90.0), SkyRange(0.0, 360.0, 9.9, 10.1), SkyRange(100.0, 120.0, -5.0, 5.0),
]  # fmt: skip


@pytest.mark.parametrize("wanted", RANGES)
def test_images_of_a_range_of_coordinates_are_those_of_a_look_at_all(asked, wanted):
    names = ", ".join(f"ra{k}, dec{k}" for k in range(1, 5))

    def meeting(text):
        rows = asked.both(text)
        corners = np.array([row[1:] for row in rows], float).reshape(-1, 4, 2)
        met = meets_range(corners[..., 0], corners[..., 1], wanted)
        return {row[0] for row, keep in zip(rows, met.tolist(), strict=True) if keep}

    every = meeting(f"select image_id, {names} from ztf.image order by image_id")
    assert meeting(f"{corners_around(wanted)} order by 1") == every
    assert bool(every) == (wanted.ra1 != 100.0)
    if wanted.width < 90.0:
        plan = asked.plan("postgresql", corners_around(wanted))
        assert "pk_image_cell" in plan and "Seq Scan on image_cell" not in plan, plan


def test_uploaded_positions_find_their_images(asked, images):
    ids, corner = images
    rng = np.random.default_rng(5)
    ra = [*rng.uniform(179.3, 180.7, 20).tolist(), 0.0, 359.9, None, 70.0, 250.0]
    dec = [*rng.uniform(9.3, 10.7, 20).tolist(), -5.0, -5.2, 0.0, 89.7, 89.9]
    columns = (Column("ra", "double", "deg"), Column("dec", "double", "deg"))
    upload = Upload("mine", columns, {"ra": ra, "dec": dec})
    text = (
        "select u.ra, o.image_id from tap_upload.mine as u {join} ivoa.obscore as o on "
        "1=contains(point(u.ra, u.dec), o.s_region) order by u.ra, o.image_id"
    )
    truth = sorted(
        (lon, int(one))
        for lon, lat in zip(ra, dec, strict=True)
        if lon is not None
        for one in ids[in_quadrilateral(vectors(lon, lat), corner)]
    )
    assert len(truth) > 20
    assert asked.both(text.format(join="join"), [upload]) == truth
    left = asked.both(text.format(join="left join"), [upload])
    assert [row for row in left if row[1] is not None] == truth
    assert len(left) == len(truth) + len(ra) - len({row[0] for row in truth})
    wide = "select count(*) as n from tap_upload.mine as u join ivoa.obscore as o on 1=intersects(circle(u.ra, u.dec, 2), o.s_region)"  # noqa: E501
    assert asked.both(wide, [upload]) == asked.both(wide.replace("1=", "1=1*"), [upload])


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("1 = contains(s_region, point(1, 2))", "CONTAINS takes a POINT"),
        ("1 = intersects(s_region, s_region)", "s_region and a shape"),
        ("area(s_region) > 1", "AREA takes"),
        ("1 = intersects(s_region, circle(1, 2, s_fov))", "must be a number, not a column"),
        ("1 = contains(point(1, 2), obs_id)", "expected POINT"),
    ],
)
def test_what_a_region_is_not_asked_is_told(asked, condition, message):
    for engine in ENGINES:
        with pytest.raises(QueryError, match=message):
            asked.rows(engine, f"select obs_id from ivoa.obscore where {condition}")


def test_through_a_subquery_a_region_is_a_text(asked):
    rows = asked.both("with c as (select s_region from ivoa.obscore) select top 1 c.s_region from c order by 1")
    assert rows[0][0].startswith("POLYGON ICRS ")
    for engine in ENGINES:
        with pytest.raises(QueryError, match="of a table itself"):
            asked.rows(
                engine,
                "with c as (select s_region from ivoa.obscore) select 1 as a from c "
                "where 1=contains(point(1, 2), c.s_region)",
            )
