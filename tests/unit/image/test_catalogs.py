"""Catalogues of an image and their matches, against astropy."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord, search_around_sky

from ztfdb.image import CatalogCollection


def field(ra0: float, dec0: float, n: int = 300, seed: int = 1) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two tables of a field: the second shuffled, scattered by 0.3 arcsec, a quarter missing, some doubled."""
    rng = np.random.default_rng(seed)
    place = SkyCoord(ra0 * u.deg, dec0 * u.deg)
    a = place.directional_offset_by(rng.uniform(0, 360, n) * u.deg, 0.05 * np.sqrt(rng.uniform(size=n)) * u.deg)
    b = a.directional_offset_by(rng.uniform(0, 360, n) * u.deg, rng.normal(0, 0.3, n) * u.arcsec)
    keep = np.append(rng.permutation(n)[: 3 * n // 4], rng.integers(0, n, 20))
    return (
        pd.DataFrame({"ra": a.ra.deg, "dec": a.dec.deg, "mag": rng.uniform(14, 20, n)}, index=np.arange(n) * 3),
        pd.DataFrame({"ra": b.ra.deg[keep], "dec": b.dec.deg[keep], "mag": rng.uniform(14, 20, len(keep))}),
    )


def collection(ra0: float = 80.0, dec0: float = 59.0) -> CatalogCollection:
    c = CatalogCollection()
    sources, ps1 = field(ra0, dec0)
    c.set_catalog(sources, "sources")
    c.set_catalog(ps1, "ps1cat")
    return c


def coordinates(table: pd.DataFrame) -> SkyCoord:
    return SkyCoord(table["ra"].to_numpy() * u.deg, table["dec"].to_numpy() * u.deg)


def test_columns_stand_in_the_readmes_order() -> None:
    c = collection()
    for label in c.labels:
        c.set_catalog(c.get_catalog(label).assign(x=1.0, y=2.0), label)
    entries = c.get_matched_entries(["ra", "dec", "x", "y", "mag"], "sources", "ps1cat")
    assert list(entries) == [
        "ps1cat_index", "sources_index", "angsep_arcsec", "ps1cat_ra", "sources_ra", "ps1cat_dec", "sources_dec",
        "ps1cat_x", "sources_x", "ps1cat_y", "sources_y", "ps1cat_mag", "sources_mag",
    ]  # fmt: skip
    assert entries["ps1cat_index"].is_monotonic_increasing
    assert len(entries) > 150
    row = entries.iloc[7]
    assert row.sources_mag == c.get_catalog("sources").loc[row.sources_index, "mag"]
    assert row.ps1cat_mag == c.get_catalog("ps1cat").loc[row.ps1cat_index, "mag"]


@pytest.mark.parametrize(("ra0", "dec0"), [(80.0, 59.0), (0.0, 10.0), (123.0, 89.99), (10.0, -89.98)])
def test_nearest_is_astropys_match(ra0: float, dec0: float) -> None:
    c = collection(ra0, dec0)
    ps1, sources = c.get_catalog("ps1cat"), c.get_catalog("sources")
    index, apart, _ = coordinates(ps1).match_to_catalog_sky(coordinates(sources))
    within = apart.arcsec <= 1.0
    ours = c.match("sources", "ps1cat")
    np.testing.assert_array_equal(ours["ps1cat_index"], np.flatnonzero(within))
    np.testing.assert_array_equal(ours["sources_index"], sources.index[index[within]])
    np.testing.assert_allclose(ours["angsep_arcsec"], apart.arcsec[within], atol=1e-7)


@pytest.mark.parametrize(("ra0", "dec0"), [(80.0, 59.0), (0.0, 10.0), (123.0, 89.99)])
def test_all_is_astropys_search(ra0: float, dec0: float) -> None:
    c = collection(ra0, dec0)
    ps1, sources = c.get_catalog("ps1cat"), c.get_catalog("sources")
    i, j, _, _ = search_around_sky(coordinates(ps1), coordinates(sources), 30 * u.arcsec)
    ours = c.match("sources", "ps1cat", seplimit=30, method="all")
    theirs = set(zip(ps1.index[i], sources.index[j], strict=True))
    assert set(zip(ours["ps1cat_index"], ours["sources_index"], strict=True)) == theirs
    assert len(ours) == len(theirs) > len(ps1)


def test_mutual_pairs_are_one_to_one() -> None:
    mutual = collection().match("sources", "ps1cat", method="mutual")
    assert mutual["sources_index"].is_unique
    assert mutual["ps1cat_index"].is_unique
    assert len(mutual) < len(collection().match("sources", "ps1cat"))


def test_large_ids_stay_integers() -> None:
    c = collection()
    ids = 170_000_000_000_000_001 + 2 * np.arange(len(c.get_catalog("ps1cat")))
    for label in c.labels:
        table = c.get_catalog(label)
        c.set_catalog(table.assign(objid=ids[0] + np.arange(len(table))), label)
    entries = c.get_matched_entries("objid", "sources", "ps1cat")
    assert entries["ps1cat_objid"].dtype == np.int64
    assert set(entries["ps1cat_objid"] % 2) == {0, 1}


def test_matched_index_tells_the_partner_or_nothing() -> None:
    c = collection()
    every = c.get_matched_index(c.get_catalog("sources").index, "sources", "ps1cat")
    ps1 = c.get_catalog("ps1cat")
    index, apart, _ = coordinates(c.get_catalog("sources")).match_to_catalog_sky(coordinates(ps1))
    within = apart.arcsec <= 1.0
    np.testing.assert_array_equal(every.notna(), within)
    ours, theirs = every[within].astype(int).to_numpy(), index[within]
    # some rows of ps1cat are doubled: of such a pair the first counts
    np.testing.assert_array_equal(ps1["ra"].to_numpy()[ours], ps1["ra"].to_numpy()[theirs])
    assert np.all(ours <= theirs)
    one = c.get_matched_index(int(every.index[5]), "sources", "ps1cat")
    assert list(one.index) == [every.index[5]]
    with pytest.raises(ValueError, match="no row"):
        c.get_matched_index([1], "sources", "ps1cat")


def test_isolated_rows_have_no_neighbour() -> None:
    c = collection()
    sources = c.get_catalog("sources")
    position = coordinates(sources)
    _, apart, _ = position.match_to_catalog_sky(position, nthneighbor=2)
    np.testing.assert_array_equal(c.get_isolated("sources", 20).index, sources.index[apart.arcsec > 20])


def test_a_new_table_forgets_old_matches_and_nothing_is_mutated() -> None:
    c = collection()
    before = len(c.match("sources", "ps1cat"))
    table = c.get_catalog("sources")
    handed_in = table.iloc[:10].copy()
    c.set_catalog(handed_in, "sources")
    assert len(c.match("sources", "ps1cat")) < before
    for copy in (c.get_catalog("sources"), c.catalogs["sources"]):
        copy["ra"] = 0.0
    handed_in["ra"] = -1.0
    pd.testing.assert_frame_equal(c.get_catalog("sources"), table.iloc[:10])


def test_empty_tables_match_to_empty_tables_with_columns() -> None:
    c = collection()
    c.set_catalog(c.get_catalog("sources").iloc[:0], "sources")
    entries = c.get_matched_entries(["mag"], "sources", "ps1cat")
    assert list(entries) == ["ps1cat_index", "sources_index", "angsep_arcsec", "ps1cat_mag", "sources_mag"]
    assert len(entries) == 0
    assert len(c.get_isolated("sources")) == 0


def test_wrong_names_are_told() -> None:
    c = collection()
    with pytest.raises(ValueError, match="no catalogue 'gaia'; there is: sources, ps1cat"):
        c.get_matched_entries(["ra"], "gaia", "ps1cat")
    with pytest.raises(ValueError, match="no column colour"):
        c.get_matched_entries(["ra", "colour"], "sources", "ps1cat")
    with pytest.raises(ValueError, match="nearest, mutual, all"):
        c.match("sources", "ps1cat", method="closest")
    with pytest.raises(ValueError, match="matching radius"):
        c.match("sources", "ps1cat", seplimit=-1)
    c.set_catalog(pd.DataFrame({"x": [1.0]}), "plain")
    with pytest.raises(ValueError, match="no column ra, dec"):
        c.match("plain", "ps1cat")
    with pytest.raises(TypeError, match="DataFrame"):
        c.set_catalog([1, 2], "list")
    assert c.labels == ["sources", "ps1cat", "plain"]
