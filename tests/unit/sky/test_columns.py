"""Positions are found in tables as catalogues make them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import Column, MaskedColumn, QTable, Table

from ztfdb.query.given import position_table
from ztfdb.query.positions import positions_of

STARS = SkyCoord([10.5, 359.9], [-3.25, 89.0], unit="deg")
HMS = {"ra": STARS.ra.to_string("hour", sep=":", precision=6), "dec": STARS.dec.to_string(sep=":", precision=6)}


def place_of(table: Any) -> np.ndarray[Any, Any]:
    found = positions_of(position_table(table, {}))
    return np.column_stack([found.ra, found.dec])


@pytest.mark.parametrize(
    ("ra", "dec"),
    [
        ("RA", "Dec"), ("RAJ2000", "DEJ2000"), ("_RAJ2000", "_DEJ2000"), ("RA_ICRS", "DE_ICRS"), ("ra_d", "dec_d"),
        ("raMean", "decMean"), ("ALPHA_J2000", "DELTA_J2000"), ("coord_ra", "coord_dec"), ("s_ra", "s_dec"),
    ],
)  # fmt: skip
def test_names_of_catalogues_are_known(ra: str, dec: str) -> None:
    columns = {"name": ["a", "b"], ra: STARS.ra.deg, dec: STARS.dec.deg}
    with_units = {"name": ["a", "b"], ra: STARS.ra.rad * u.rad, dec: STARS.dec}
    for table in (columns, pd.DataFrame(columns), Table(columns), QTable(with_units)):
        np.testing.assert_allclose(place_of(table), [[10.5, -3.25], [359.9, 89.0]], rtol=1e-14)


@pytest.mark.parametrize("make", [dict, pd.DataFrame, Table, lambda one: {k: np.array(v) for k, v in one.items()}])
def test_texts_are_read_as_on_the_command_line(make: Any) -> None:
    table = make({"ra": list(HMS["ra"]), "dec": list(HMS["dec"])})
    np.testing.assert_allclose(place_of(table), [[10.5, -3.25], [359.9, 89.0]], rtol=0, atol=1e-8)
    comma = make({"ra": ["10,5", "359.9d"], "dec": ["-3,25", "+89"]})
    np.testing.assert_array_equal(place_of(comma), [[10.5, -3.25], [359.9, 89.0]])


def test_texts_of_fits_are_bytes() -> None:
    table = {name: Column(np.array(values, dtype="S16")) for name, values in HMS.items()}
    np.testing.assert_allclose(place_of(table), [[10.5, -3.25], [359.9, 89.0]], rtol=0, atol=1e-8)


def test_our_own_names_come_first() -> None:
    table = {"RAJ2000": [1.0], "DEJ2000": [1.0], "dec": [-3.25], "ra": [10.5]}
    np.testing.assert_array_equal(place_of(table), [[10.5, -3.25]])


def test_a_column_of_skycoords_holds_the_positions() -> None:
    table = QTable({"gr": [0.4, 0.5], "place": STARS.galactic})
    np.testing.assert_allclose(place_of(table), [[10.5, -3.25], [359.9, 89.0]], rtol=1e-12)
    assert positions_of(position_table(table, {}), "gr").color.tolist() == [0.4, 0.5]  # type: ignore[union-attr]
    options: dict[str, Any] = {"epoch": 2016.0}
    moving = SkyCoord(STARS.ra, STARS.dec, pm_ra_cosdec=[1, 2] * u.mas / u.yr, pm_dec=[3, 4] * u.mas / u.yr)
    position_table(QTable({"place": moving}), options)
    np.testing.assert_allclose(options["pmdec"], [3.0, 4.0])


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"ra": ["10.5", "M31"], "dec": ["1", "2"]}, "row 1: right ascension 'M31' is neither"),
        ({"ra": ["10.5", ""], "dec": ["1", "2"]}, r"row 1: \(nan, 2.0\) is not a position"),
        ({"ra": MaskedColumn(["1", "2"], mask=[True, False]), "dec": ["1", "2"]}, r"row 0: \(nan, 1.0\) is not"),
        ({"ra": ["1", None], "dec": [1.0, 2.0]}, r"row 1: \(nan, 2.0\) is not"),
        ({"ra": ["10.5"], "dec": ["95:00:00"]}, "row 0: declination '95:00:00' is outside"),
        ({"lon": [1.0], "lat": [1.0]}, "has the columns 'ra' and 'dec'; this one has lon, lat"),
        ({"ra": [1.0] * u.km, "dec": [1.0]}, "ra"),
    ],
)
def test_what_is_no_position_is_told(table: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        place_of(table)
