"""Positions as astropy holds them, against astropy's own answers."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from astropy import units as u
from astropy.coordinates import GCRS, ICRS, AltAz, EarthLocation, SkyCoord, get_body
from astropy.table import MaskedColumn, QTable, Table
from astropy.time import Time
from astropy.utils.masked import Masked
from erfa import ErfaWarning

from ztfdb.sky.angles import separation
from ztfdb.sky.coordinates import from_coordinate
from ztfdb.sky.given import numbers
from ztfdb.sky.motion import move

J2016 = Time(2016.0, format="jyear")
STAR = SkyCoord(
    269.45 * u.deg, 4.69 * u.deg, pm_ra_cosdec=-801.6 * u.mas / u.yr, pm_dec=10362.4 * u.mas / u.yr, obstime=J2016
)
MAS = 1e-3  # arcsec


@pytest.mark.parametrize("frame", ["icrs", "fk5", "galactic", "fk4", "barycentrictrueecliptic"])
def test_a_moving_star_in_any_frame_is_where_apply_space_motion_puts_it(frame):
    given = from_coordinate(STAR.transform_to(frame))
    ra, dec = move(given.ra, given.dec, given.motion["pmra"], given.motion["pmdec"], 8.5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ErfaWarning)  # no distance: ERFA assumes one
        there = STAR.apply_space_motion(new_obstime=Time(2024.5, format="jyear"))
    # FK4's elliptic aberration is known to astropy to 0.2 mas / yr in a motion of 10 arcsec / yr; ERFA's assumed
    # distance brings a radial velocity of relativity, below 1 mas here.
    assert separation(ra, dec, there.ra.deg, there.dec.deg) < (5 * MAS if frame == "fk4" else MAS)
    assert given.motion["epoch"] == pytest.approx(2016.0, abs=1e-6)


def test_a_distance_changes_nothing_for_a_star():
    far = SkyCoord(
        STAR.ra, STAR.dec, distance=1.83 * u.pc, pm_ra_cosdec=STAR.pm_ra_cosdec, pm_dec=STAR.pm_dec, obstime=J2016
    )
    near, plain = from_coordinate(far.galactic), from_coordinate(STAR)
    assert separation(near.ra, near.dec, plain.ra, plain.dec) < 1e-6
    assert near.motion["pmdec"] == pytest.approx(plain.motion["pmdec"], rel=1e-9)


def test_the_direction_from_the_earth_is_not_moved_to_the_barycentre():
    mars = get_body("mars", Time("2020-09-24"))
    given = from_coordinate(mars)
    direction = SkyCoord(GCRS(ra=mars.ra, dec=mars.dec, obstime=mars.obstime)).icrs
    assert separation(given.ra, given.dec, direction.ra.deg, direction.dec.deg) < MAS
    assert separation(given.ra, given.dec, mars.icrs.ra.deg, mars.icrs.dec.deg) > 3600  # astropy's other origin


def test_a_horizontal_direction_is_astropys():
    palomar = EarthLocation(lon=-116.8598 * u.deg, lat=33.3573 * u.deg, height=1668 * u.m)
    seen = SkyCoord(
        AltAz(alt=60 * u.deg, az=130 * u.deg, obstime=Time("2020-09-24T06:00", location=palomar), location=palomar)
    )
    given = from_coordinate(seen)
    assert separation(given.ra, given.dec, seen.icrs.ra.deg, seen.icrs.dec.deg) < 1e-6


def test_a_body_of_the_solar_system_is_refused_by_name():
    with pytest.raises(ValueError, match=r"nearer than any star.*path"):
        from_coordinate(SkyCoord(10 * u.deg, 20 * u.deg, distance=2 * u.au))


def test_a_proper_motion_needs_its_epoch():
    bare = SkyCoord(10 * u.deg, 20 * u.deg, pm_ra_cosdec=1 * u.arcsec / u.yr, pm_dec=0 * u.arcsec / u.yr)
    with pytest.raises(ValueError, match="without obstime"):
        from_coordinate(bare)
    assert from_coordinate(bare, epoch=2015.5).motion["epoch"] == 2015.5
    assert from_coordinate(bare, epoch=Time(2015.5, format="jyear")).motion["epoch"] == 2015.5


def test_no_motion_is_none():
    still = SkyCoord(10 * u.deg, 20 * u.deg, pm_ra_cosdec=0 * u.mas / u.yr, pm_dec=0 * u.mas / u.yr)
    radial = SkyCoord(10 * u.deg, 20 * u.deg, radial_velocity=100 * u.km / u.s)
    unknown = SkyCoord([10] * u.deg, [20] * u.deg, pm_ra_cosdec=[np.nan] * u.mas / u.yr, pm_dec=[np.nan] * u.mas / u.yr)
    assert [from_coordinate(one).motion for one in (still, radial, unknown)] == [{}, {}, {}]


def test_a_frame_with_data_is_a_position():
    given = from_coordinate(ICRS(10 * u.deg, 20 * u.deg))
    assert (given.ra, given.dec) == (10.0, 20.0)


def test_a_masked_coordinate_is_an_error():
    masked = Masked([1.0, 2.0] * u.deg, mask=[False, True])
    with pytest.raises(ValueError, match="masked in row 1"):
        from_coordinate(SkyCoord(masked, masked))


@pytest.mark.parametrize(
    "value",
    [
        Masked(1.0 * u.deg, mask=True),
        Masked([1.0, 2.0] * u.deg, mask=[True, False]),
        np.ma.masked,
        np.ma.array([1.0, 2.0], mask=[0, 1]),
        MaskedColumn([1.0, 2.0], mask=[0, 1], unit="deg"),
        MaskedColumn([1.0, 2.0], mask=[0, 1], unit="h"),
        np.ma.array(1.0, mask=True),
    ],
)
def test_a_masked_value_is_missing_or_an_error(value):
    assert np.isnan(numbers(value, "deg", "ra")).any()
    with pytest.raises(ValueError, match="ra is masked"):
        numbers(value, "deg", "ra", missing=False)


@pytest.mark.parametrize(
    "column",
    [
        pd.Series([1.0, 2.0]),
        pd.Series([1, 2], dtype="Int64"),
        pd.Series([1.0, 2.0], dtype="Float64"),
        QTable({"ra": [1.0, 2.0] * u.deg})["ra"],
        Table({"ra": [1.0, 2.0]}, units={"ra": "deg"})["ra"],
        Table({"ra": [1.0, 2.0]}, masked=True)["ra"],
        np.array([1.0, 2.0], ">f8"),
        [1, 2],
        Masked([1.0, 2.0] * u.deg, mask=[False, False]),
    ],
    ids=lambda column: type(column).__name__,
)
def test_columns_of_every_kind_of_table_are_numbers(column):
    assert numbers(column, "deg", "ra", missing=False).tolist() == [1.0, 2.0]


def test_what_a_nullable_column_lacks_is_missing():
    assert np.isnan(numbers(pd.Series([1.0, None], dtype="Float64"), "deg", "ra")).tolist() == [False, True]


def test_names_text_and_wrong_units_are_refused_with_the_way():
    with pytest.raises(ValueError, match=r"SkyCoord.from_name\('M31'\)"):
        numbers("M31", "deg", "ra")
    with pytest.raises(ValueError, match="hourangle"):
        numbers(["00:42:44"], "deg", "ra")
    with pytest.raises(ValueError, match=r"radius.*arcsec"):
        numbers(3 * u.m, "arcsec", "radius")
    with pytest.raises(
        ValueError, match=r"radius '5 arcsec': .* \(found text; for another unit give a Quantity of astropy\)"
    ):
        numbers("5 arcsec", "arcsec", "radius")
    assert numbers(1 * u.hourangle, "deg", "ra") == pytest.approx(15.0)
