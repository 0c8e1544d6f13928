"""Light curves on small archives written by hand: which source is an epoch, and what its numbers are."""

import numpy as np
import pandas as pd
import pytest
from astropy import units as u
from astropy.coordinates import EarthLocation, SkyCoord
from astropy.table import Table
from astropy.time import Time
from sqlalchemy import text

from tests.support.archives import Plan, image_row, quadrant_of, store_images, store_places, store_source_rows
from tests.support.curves import light_curve, light_curves
from ztfdb.errors import QueryError
from ztfdb.ids import SOURCE_ID_SHIFT
from ztfdb.query.epochs import oid_digits
from ztfdb.query.request import MAX_RADIUS
from ztfdb.schema import Source
from ztfdb.sky.cells import sky_to_cell
from ztfdb.store.engine import make_engine, sessions, writing
from ztfdb.store.meta_rows import create_meta

IRSA = (
    "oid expid hjd mjd mag magerr catflags filtercode ra dec chi sharp filefracday field ccdid qid limitmag magzp "
    "magzprms clrcoeff clrcounc exptime airmass programid"
)
RA, DEC = 180.01, 10.02
PLAN = Plan(1, 1, trouble=0.0)
QUADRANT = quadrant_of(PLAN, 0)
FLOOR = 0.02


class Scene:
    """An archive to which a test adds images and sources one by one."""

    def __init__(self, url):
        self.maker = sessions(make_engine(url))
        with writing(self.maker) as session:
            create_meta(session, {}, magerr_sys=FLOOR)
            store_places(session)

    def image(self, epoch=0, **other):
        """One more image; its id."""
        row = image_row(PLAN, epoch, QUADRANT, 0, np.random.default_rng(epoch), **other)
        with writing(self.maker) as session:
            store_images(session, [(row, QUADRANT)])
        return row["image_id"]

    def source(self, image_id, number=0, *, east=0.0, north=0.0, mask_bits=0, **other):
        """One more source at (east, north) arcsec of the position; its id."""
        dec = DEC + north / 3600.0
        ra = RA + east / 3600.0 / np.cos(np.radians(dec))
        row = {column.name: 1.0 for column in Source.__table__.columns} | {
            "source_id": (image_id << SOURCE_ID_SHIFT) | number, "image_id": image_id, "ra": ra, "dec": dec,
            "hpx29": int(sky_to_cell(ra, dec)), "flags": 0, "npix": 9, "flux_aper4": 1000.0, "flux_aper4_err": 10.0,
            "mask_bits": mask_bits or 0,
        } | other  # fmt: skip
        columns = {name: np.array([value]) for name, value in row.items()} | {
            "has_mask": np.array([mask_bits is not None])
        }
        with writing(self.maker) as session:
            store_source_rows(session, columns)
        return row["source_id"]

    def curve(self, **options):
        """The light curve of the position."""
        with self.maker() as session:
            return light_curve(session, RA, DEC, **{"radius": 1.5, **options}).to_pandas()

    def ids(self, **options):
        """The source of each epoch."""
        return list(self.curve(**options)["source_id"])


@pytest.fixture
def scene(engine_url):
    made = Scene(engine_url)
    yield made
    made.maker.kw["bind"].dispose()


def test_the_nearest_source_of_each_image_is_its_epoch(scene):
    first, second = scene.image(1), scene.image(2)
    scene.source(first, 0, east=0.9)
    near = scene.source(first, 1, east=-0.2)
    scene.source(first, 2, north=0.5)
    other = scene.source(second, 7, north=1.4)
    scene.source(second, 8, north=1.6)
    curve = scene.curve()
    assert list(curve["source_id"]) == [near, other]
    assert list(curve["n_within"]) == [3, 1]
    np.testing.assert_allclose(curve["separation"], [0.2, 1.4], atol=1e-6)


def test_of_two_sources_at_one_distance_the_smaller_id_is_taken(scene):
    image = scene.image()
    same = {"ra": RA + 1e-4, "dec": DEC + 1e-4}
    scene.source(image, 5, **same, hpx29=int(sky_to_cell(*same.values())))
    smaller = scene.source(image, 3, **same, hpx29=int(sky_to_cell(*same.values())))
    assert scene.ids() == [smaller]


def test_epochs_are_ordered_by_time_then_image(scene):
    ids = [scene.image(9 - n, image_id=100 - n) for n in range(5)]
    twin = scene.image(50, image_id=3, obsmjd=58300.1 + 0.731 * 9, expid=5, rcid=9)
    for image in (*ids, twin):
        scene.source(image)
    curve = scene.curve()
    assert curve["mjd"].is_monotonic_increasing
    assert list(curve["image_id"]) == [96, 97, 98, 99, 3, 100]


def test_the_whole_quadrant_goes_before_a_cutout_of_it(scene):
    cutout = scene.image(1, kind="cutout", image_id=11, nx=300, procvsn=9)
    whole = scene.image(1, image_id=12)
    seen = {image: scene.source(image) for image in (cutout, whole)}
    assert scene.ids() == [seen[whole]]
    assert scene.ids(all_versions=True) == [seen[cutout], seen[whole]]


def test_a_cutout_serves_where_the_whole_quadrant_shows_nothing(scene):
    cutout = scene.image(1, kind="cutout", image_id=11, nx=300)
    scene.source(scene.image(1, image_id=12), east=30.0)
    seen = scene.source(cutout)
    assert scene.ids() == [seen]


def test_of_cutouts_the_newest_processing_is_taken(scene):
    old = scene.image(1, kind="cutout", image_id=11, nx=300, procvsn=1, created="2020-01-01T00:00:00")
    late = scene.image(1, kind="cutout", image_id=12, nx=301, procvsn=1, created="2021-01-01T00:00:00")
    seen = {image: scene.source(image) for image in (late, old)}
    assert scene.ids() == [seen[late]]
    newest = scene.image(1, kind="cutout", image_id=13, nx=302, procvsn=2, created="2019-01-01T00:00:00")
    seen[newest] = scene.source(newest)
    assert scene.ids() == [seen[newest]]
    twin = scene.image(1, kind="cutout", image_id=10, nx=303, procvsn=2, created="2019-01-01T00:00:00")
    seen[twin] = scene.source(twin)
    assert scene.ids() == [seen[twin]]


def test_the_quadrants_of_one_exposure_are_epochs_of_their_own(scene):
    for rcid in (0, 1):
        scene.source(scene.image(1, image_id=20 + rcid, rcid=rcid, qid=1 + rcid))
    assert list(scene.curve()["qid"]) == [1, 2]


def test_images_of_unknown_exposures_stand_alone(scene):
    for number in (1, 2):
        scene.source(scene.image(1, image_id=20 + number, expid=None, nx=300 + number, kind="cutout"))
    curve = scene.curve()
    assert len(curve) == 2
    assert curve["expid"].isna().all()


def test_a_simulated_image_never_stands_for_a_real_one(scene):
    scene.source(scene.image(1, image_id=21))
    scene.source(scene.image(1, image_id=22, simulated=True))
    assert list(scene.curve()["simulated"]) == [False, True]


def test_references_are_never_epochs(scene):
    scene.source(scene.image(1, kind="ref", expid=None, obsmjd=None, mjd_mid=None, image_id=10**13))
    assert scene.ids() == []
    assert scene.ids(all_versions=True) == []


def test_irsas_columns_come_first_in_irsas_order(scene):
    image = scene.image(3, field=651, fid=2, filtercode="zr", ccdid=13, qid=3, rcid=50, expid=54610000, programid=2)
    scene.source(image)
    curve = scene.curve()
    assert " ".join(curve.columns[:24]) == IRSA
    oid = -int(curve["oid"][0])
    assert (oid // 10**12, oid // 10**11 % 10, oid // 10**9 % 100, oid // 10**8 % 10) == (651, 2, 13, 3)
    assert oid % 10**8 == oid_digits(sky_to_cell(RA, DEC))
    row = curve.iloc[0]
    assert (row["expid"], row["filtercode"], row["programid"], row["kind"]) == (54610000, "zr", 2, "detection")
    assert np.isnan(row["chi"])
    assert np.isnan(row["sharp"])
    for name in ("oid", "image_id", "source_id"):
        assert curve[name].dtype == "int64"
    for name in ("expid", "filefracday", "programid", "mask_bits", "catflags"):
        assert curve[name].dtype == "Int64"


def test_positions_on_one_quadrant_share_an_oid_only_where_they_share_a_cell():
    rng = np.random.default_rng(1)
    ra, dec = (
        180.0 + rng.uniform(-0.45, 0.45, 200_000) / np.cos(np.radians(30.0)),
        30.0 + rng.uniform(-0.45, 0.45, 200_000),
    )
    digits = oid_digits(sky_to_cell(ra, dec))
    assert digits.min() >= 0
    assert digits.max() < 10**8
    assert len(np.unique(digits)) == len(np.unique(sky_to_cell(ra, dec, 18)))


def test_magnitudes_and_fluxes_follow_the_header(scene):
    image = scene.image(1, magzp=26.3, apcor4=-0.1, maglim=20.4)
    scene.source(image, flux_aper4=2000.0, flux_aper4_err=40.0)
    row = scene.curve().iloc[0]
    assert row["mag"] == pytest.approx(26.2 - 2.5 * np.log10(2000.0), abs=1e-12)
    statistical = 2.5 / np.log(10.0) * 40.0 / 2000.0
    assert row["magerr"] == pytest.approx(np.hypot(statistical, FLOOR), rel=1e-12)
    assert row["magerr_sys"] == FLOOR
    assert (row["flux_ujy"] * u.uJy).to_value(u.ABmag) == pytest.approx(row["mag"], abs=1e-9)
    assert row["flux_ujy_err"] / row["flux_ujy"] == pytest.approx(0.02, rel=1e-9)
    assert (row["snr"], row["limitmag"], row["aperture"]) == (50.0, 20.4, 4)
    assert row["calibration"] == "header"


def test_a_flux_that_is_not_positive_has_no_magnitude_but_a_flux(scene):
    scene.source(scene.image(1), flux_aper4=-5.0)
    scene.source(scene.image(2), flux_aper4=0.0)
    scene.source(scene.image(3), flux_aper4=np.nan, flux_aper4_err=np.nan)
    curve = scene.curve()
    assert curve[["mag", "magerr"]].isna().all(axis=None)
    assert curve["flux_ujy"][0] < 0
    assert curve["snr"][0] == -0.5
    assert list(curve["flux_ujy"].isna()) == [False, False, True]


def test_without_apcor_there_is_no_magnitude_and_the_row_says_so(scene):
    scene.source(scene.image(1, apcor4=None))
    row = scene.curve().iloc[0]
    assert row["calibration"] == "none"
    assert np.isnan([row["mag"], row["magerr"], row["flux_ujy"]]).all()
    assert row["snr"] == 100.0


def test_a_colour_adds_the_colour_term_and_is_named(scene):
    scene.source(scene.image(1, clrcoeff=-0.06))
    scene.source(scene.image(2, clrcoeff=None))
    plain, coloured = scene.curve(), scene.curve(color=0.8)
    assert coloured["mag"][0] - plain["mag"][0] == pytest.approx(-0.048, abs=1e-12)
    assert list(coloured["calibration"]) == ["header+colour", "none"]
    assert list(coloured["color"]) == [0.8, 0.8]
    assert plain["color"].isna().all()
    assert np.isnan(coloured["mag"][1])
    with scene.maker() as session:
        table = {"ra": [RA, RA], "dec": [DEC, DEC], "gr": [0.0, 0.8]}
        many = light_curves(session, table, color="gr")
    np.testing.assert_array_equal(many["mag"], [plain["mag"][0], np.nan, coloured["mag"][0], np.nan])


@pytest.mark.parametrize("aperture", [1, 2, 3, 5, 6])
def test_other_apertures_come_from_the_table_with_their_own_correction(scene, aperture):
    image = scene.image(1, magzp=26.0, **{f"apcor{aperture}": -0.25})
    scene.source(image, **{f"flux_aper{aperture}": 500.0, f"flux_aper{aperture}_err": 5.0})
    row = scene.curve(aperture=aperture).iloc[0]
    assert row["mag"] == pytest.approx(25.75 - 2.5 * np.log10(500.0), abs=1e-12)
    assert (row["snr"], row["aperture"]) == (100.0, aperture)


def test_catflags_and_good_follow_mask_and_infobits(scene):
    cases = {  # mask_bits, infobits, flags: catflags, good
        (0, 0, 0): (0, True),
        (0, None, 0): (0, True),
        (256, 0, 0): (256, False),
        (64, 0, 0): (64, False),
        (0, 1 << 25, 0): (32768, False),
        (256, (1 << 25) + 8, 0): (33024, False),
        (None, 0, 0): (pd.NA, True),
        (None, 1 << 26, 0): (32768, False),
        (0, (1 << 25) - 1, 0): (0, True),
        (0, 0, 8): (0, False),
        (0, 0, 32): (0, True),
        (0, 0, 3): (0, True),
    }
    for epoch, (mask_bits, infobits, flags) in enumerate(cases):
        scene.source(scene.image(epoch, infobits=infobits), mask_bits=mask_bits, flags=flags)
    curve = scene.curve()
    for row, ((mask_bits, _, flags), (catflags, good)) in zip(curve.itertuples(), cases.items(), strict=True):
        assert row.catflags is catflags if catflags is pd.NA else row.catflags == catflags
        assert row.mask_bits is pd.NA if mask_bits is None else row.mask_bits == mask_bits
        assert (row.flags, row.good) == (flags, good)
    assert list(scene.curve(good=True)["mjd"]) == list(curve["mjd"][curve["good"]])
    assert not scene.curve(aperture=5)["good"][10]  # a 10 px aperture that leaves the image


def test_hjd_is_the_middle_of_the_exposure_at_the_sun(scene):
    for epoch in range(0, 400, 37):
        scene.source(scene.image(epoch))
    curve = scene.curve()
    place = EarthLocation.from_geodetic(-116.8598, 33.3573, 1668.0)
    middle = Time(curve["mjd"] + 15.0 / 86400.0, format="mjd", scale="utc", location=place)
    target = SkyCoord(curve["ra"], curve["dec"], unit="deg")
    wanted = (middle + middle.light_travel_time(target, "heliocentric")).jd
    np.testing.assert_allclose((curve["hjd"] - wanted) * 86400.0, 0.0, atol=1e-3)


def test_cuts_by_filter_time_and_field(scene):
    for epoch in range(1, 8):
        scene.source(scene.image(epoch, field=651 + epoch % 2))
    everything = scene.curve()
    for filters, codes in (("zr", ["zr"]), (["g", 2], ["zg", "zr"]), (3, ["zi"]), ([], [])):
        expected = everything["source_id"][everything["filtercode"].isin(codes)]
        assert scene.ids(filters=filters) == list(expected)
    start, end = everything["mjd"][2], everything["mjd"][5]
    assert scene.ids(mjd=(start, end)) == list(everything["source_id"][2:5])
    assert scene.ids(mjd=(None, end)) == list(everything["source_id"][:5])
    assert scene.ids(mjd=(start, None)) == list(everything["source_id"][2:])
    assert scene.ids(fields=652) == list(everything["source_id"][everything["field"] == 652])
    assert scene.ids(fields=[651, 652]) == list(everything["source_id"])


def test_an_empty_light_curve_keeps_its_columns_and_their_types(scene):
    empty = scene.curve()
    scene.source(scene.image())
    full = scene.curve()
    assert empty.empty
    assert len(full) == 1
    pd.testing.assert_series_equal(empty.dtypes, full.dtypes)
    with scene.maker() as session:
        for table in ({"ra": [], "dec": []}, [], pd.DataFrame({"ra": [10.0], "dec": [1.0]})):
            many = light_curves(session, table)
            assert many.empty
            assert list(many.columns) == [*full.columns, "position"]


def test_a_question_is_answered_after_one_without_answer(scene):
    scene.source(scene.image())
    with scene.maker() as session:
        assert light_curve(session, RA + 3.0, DEC).data.empty
        assert len(light_curve(session, RA, DEC)) == 1


@pytest.mark.parametrize("options", [
    {"ra": np.nan}, {"dec": 91.0}, {"radius": np.nan}, {"radius": -1.0}, {"aperture": 0}, {"aperture": 7},
    {"filters": "y"}, {"mjd": (3.0, 2.0)}, {"mjd": (np.nan, 2.0)}, {"color": "ps1"},
])  # fmt: skip
def test_what_is_no_question_is_refused(scene, options):
    with scene.maker() as session, pytest.raises(ValueError, match=r"\w"):
        light_curve(session, **{"ra": RA, "dec": DEC, **options})


def test_a_radius_beyond_the_maximum_is_a_typed_error(scene):
    with scene.maker() as session:
        with pytest.raises(QueryError, match="600 arcsec"):
            light_curve(session, RA, DEC, MAX_RADIUS * 1.001)
        with pytest.raises(QueryError, match="600 arcsec"):
            light_curves(session, [(RA, DEC)], MAX_RADIUS * 1.001)


def test_radius_zero_finds_the_source_exactly_there(scene):
    there = scene.source(scene.image(1))
    scene.source(scene.image(2), east=1e-3)
    assert scene.ids(radius=0.0) == [there]


def test_the_record_tells_what_was_asked_and_becomes_a_table_with_units(scene):
    scene.source(scene.image(1), mask_bits=None)
    scene.source(scene.image(2, programid=None))
    with scene.maker() as session:
        curve = light_curve(session, RA, DEC, 2.0, filters="zr", aperture=4)
        everything = light_curve(session, RA, DEC, 2.0)
    assert (curve.meta["ra"], curve.meta["radius"], curve.meta["filters"]) == (RA, 2.0, [2])
    assert curve.to_pandas().attrs == curve.meta
    assert len(everything) == 2
    assert "2 epochs" in repr(everything)
    table = everything.to_table()
    assert (table["mag"].unit, table["separation"].unit, table["flux_ujy"].unit) == (u.mag, u.arcsec, u.uJy)
    assert list(table["filtercode"]) == list(everything["filtercode"])
    assert list(table["catflags"].mask) == [True, False]
    assert list(table["programid"].mask) == [False, True]
    assert table.colnames == list(everything.columns)
    assert table["kind"].description == "detection, forced, limit (an upper limit) or unavailable."
    assert (table["mag"].meta["ucd"], table["flags"].unit) == ("phot.mag;meta.main", None)
    assert all(table[name].description for name in table.colnames)


def test_a_table_written_as_fits_keeps_its_missing_integers_apart(scene, tmp_path):
    """TNULL is taken from the fill value of a column, which is 999999 unless it is set."""
    scene.source(scene.image(1), mask_bits=None)
    scene.source(scene.image(2))
    with scene.maker() as session:
        table = light_curve(session, RA, DEC, 2.0).to_table()
    table["catflags"][1] = 999999
    table.meta.clear()  # its names are longer than those of FITS cards, which astropy warns of
    table.write(tmp_path / "curve.fits")
    back = Table.read(tmp_path / "curve.fits")
    assert back["catflags"].tolist() == [None, 999999]
    for name in table.colnames:
        if table[name].dtype.kind == "i":
            assert back[name].tolist() == table[name].tolist(), name


def test_the_view_holds_the_numbers_of_the_api(scene):
    rng = np.random.default_rng(3)
    for epoch in range(30):
        image = scene.image(epoch, infobits=int(rng.choice([0, 1 << 25])), apcor4=None if epoch == 7 else -0.09)
        scene.source(image, flux_aper4=rng.normal(50.0, 60.0), flux_aper4_err=20.0, flags=int(rng.choice([0, 8])),
                     mask_bits=[0, 256, None][epoch % 3])  # fmt: skip
    curve = scene.curve()
    with scene.maker() as session:
        rows = session.execute(text("select * from light_curve_point order by mjd, image_id")).mappings().all()
    view = pd.DataFrame(rows)
    assert len(view) == len(curve) == 30
    for name in (
        "mjd",
        "mag",
        "magerr",
        "flux_ujy",
        "flux_ujy_err",
        "snr",
        "ra",
        "dec",
        "limitmag",
        "mjd_mid",
        "exptime",
    ):
        wanted = pd.to_numeric(view[name]).to_numpy(float)
        np.testing.assert_allclose(curve[name].to_numpy(float), wanted, rtol=1e-12, err_msg=name)
    for name in (
        "source_id",
        "image_id",
        "field",
        "ccdid",
        "qid",
        "expid",
        "flags",
        "good",
        "simulated",
        "catflags",
        "mask_bits",
    ):
        ours, wanted = curve[name].astype("Int64"), pd.array(list(view[name]), dtype="Int64")
        pd.testing.assert_extension_array_equal(ours.array, wanted, obj=name)
    assert list(curve["filtercode"]) == list(view["filtercode"])
