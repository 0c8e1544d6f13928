"""ZTF's light curves as IRSA publishes them in HATS, in the layout of its tutorial: written by hand, read in place."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from astropy import units as u
from astropy.coordinates import EarthLocation, SkyCoord
from astropy.time import Time
from click.testing import CliRunner

import ztfdb
from tests.support.hats_catalogues import write_hats
from tests.support.reference import open_sessions, store_image
from ztfdb.cli.app import application
from ztfdb.errors import CatalogueFileError, UnknownCatalogueError

pa = pytest.importorskip("pyarrow")

STAR = (210.5, 33.25)
BAD = 6141
"""Mask bits that spoil photometry, of ZTF's Science Data System Explanatory Supplement."""

LAYOUTS = ("struct of lists", "list of structs", "lists")


def objects() -> pd.DataFrame:
    """Two stars 5 arcsec apart, each in g and r of one field and in r of another; a third in the dark sky."""
    rows = []
    for star, (ra, dec) in enumerate((STAR, (STAR[0], STAR[1] + 5 / 3600), (0.0001, -20.0))):
        for n, (field, fid, ccd, q) in enumerate(((686, 1, 3, 4), (686, 2, 3, 4), (1722, 2, 11, 1))):
            oid = ((field * 10 + fid) * 100 + ccd) * 10**9 + q * 10**8 + 34440 + star
            rows.append((oid, fid, ra + n * 3e-5, dec, 3 + star + n))
    return pd.DataFrame(rows, columns=["objectid", "filterid", "objra", "objdec", "nepochs"])


def epochs(oid: int, n: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(oid)
    return {
        "hmjd": np.sort(rng.uniform(58300, 59900, n)),
        "mag": rng.uniform(15, 20, n).astype("f4"),
        "magerr": rng.uniform(0.01, 0.1, n).astype("f4"),
        "clrcoeff": rng.uniform(-0.1, 0.1, n).astype("f4"),
        "catflags": rng.choice([0, 2, 4, 32768], n).astype("i4"),
    }


def publish(folder, layout="struct of lists"):
    table = objects()
    columns = {name: table[name].to_numpy() for name in table}
    curves = [epochs(oid, n) for oid, n in zip(table.objectid, table.nepochs, strict=True)]
    lists = {name: pa.array([one[name] for one in curves]) for name in curves[0]}
    if layout == "lists":
        columns |= lists
    elif layout == "struct of lists":
        columns["lightcurve"] = pa.StructArray.from_arrays(list(lists.values()), list(lists))
    else:
        epochs_of = [zip(*(values.tolist() for values in one.values()), strict=True) for one in curves]
        rows = [[dict(zip(lists, values, strict=True)) for values in one] for one in epochs_of]
        kinds = [pa.field(name, one.type.value_type) for name, one in lists.items()]
        columns["lightcurve"] = pa.array(rows, pa.list_(pa.struct(kinds)))
    folder.mkdir(parents=True)
    return write_hats(folder, columns, ra="objra", dec="objdec", group=2, order=4)


def expected(star: int) -> pd.DataFrame:
    table = objects().iloc[3 * star : 3 * star + 3]
    parts = [pd.DataFrame(epochs(oid, n)).assign(oid=oid) for oid, n in zip(table.objectid, table.nepochs, strict=True)]
    return pd.concat(parts).sort_values("hmjd").reset_index(drop=True)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_all_objectids_of_a_star_make_one_curve(archive, tmp_path, layout):
    archive.add_catalogue("irsa", f"hats:{publish(tmp_path / 'lc', layout)}")
    curve = archive.light_curve(*STAR, 2.0, phot="irsa").to_pandas()
    truth = expected(0)
    assert len(curve) == len(truth) == 12
    np.testing.assert_array_equal(curve.oid, truth.oid)
    for name in ("mag", "magerr", "clrcoeff", "catflags"):
        np.testing.assert_array_equal(curve[name].to_numpy(float), truth[name])
    np.testing.assert_allclose(curve.hjd, truth.hmjd + 2400000.5, rtol=0, atol=1e-9)
    assert curve.mjd.isna().all() and curve.expid.isna().all() and curve.image_id.isna().all()
    assert set(zip(curve.field, curve.filtercode, curve.ccdid, curve.qid, strict=True)) == {
        (686, "zg", 3, 4), (686, "zr", 3, 4), (1722, "zr", 11, 1),
    }  # fmt: skip
    np.testing.assert_array_equal(curve.good, truth.catflags & (BAD | 32768) == 0)
    np.testing.assert_allclose(curve.flux_ujy, (truth.mag.to_numpy(float) * u.ABmag).to_value(u.uJy), rtol=1e-6)
    np.testing.assert_allclose(curve.flux_ujy_err / curve.flux_ujy, truth.magerr * np.log(10) / 2.5, rtol=1e-6)


def test_the_time_at_the_telescope_comes_from_the_heliocentric_one(archive, tmp_path):
    archive.add_catalogue("irsa", f"hats:{publish(tmp_path / 'lc')}")
    curve = archive.light_curve(*STAR, 2.0, phot="irsa").to_pandas()
    palomar = EarthLocation.from_geodetic(-116.8630, 33.3560, 1707.0)
    time = Time(curve.mjd_mid.to_numpy(), format="mjd", scale="utc", location=palomar)
    delay = time.light_travel_time(SkyCoord(*STAR, unit="deg"), "heliocentric").to_value(u.day)
    # 1 ms: astropy takes UT1 and polar motion from tables, and the objects lie within 0.2 arcsec of the position
    np.testing.assert_allclose(curve.mjd_mid + delay + 2400000.5, curve.hjd, rtol=0, atol=1.2e-8)
    assert np.abs(curve.hjd - 2400000.5 - curve.mjd_mid).max() > 60 / 86400


def test_cuts_colour_and_the_nearest_of_each_unit(archive, tmp_path):
    archive.add_catalogue("irsa", f"hats:{publish(tmp_path / 'lc')}")
    wide = archive.light_curve(*STAR, 20.0, phot="irsa").to_pandas()
    assert (wide.n_within == 2).all() and len(wide) == 12
    red = archive.light_curve(*STAR, 2.0, phot="irsa", filters="zr", fields=686, color=0.5).to_pandas()
    truth = expected(0)
    truth = truth[truth.oid // 10**11 == 6862]
    np.testing.assert_allclose(red.mag, truth.mag.to_numpy(float) + 0.5 * truth.clrcoeff.to_numpy(float), rtol=1e-12)
    middle = float(wide.mjd_mid.iloc[5])
    assert len(archive.light_curve(*STAR, 2.0, phot="irsa", mjd=(middle, None))) == 7
    assert archive.light_curve(*STAR, 2.0, phot="irsa", good=True)["good"].all()
    assert len(archive.light_curve(10.0, 10.0, 2.0, phot="irsa")) == 0
    many = archive.light_curves({"ra": [0.0001, 10.0, STAR[0]], "dec": [-20.0, 10.0, STAR[1]]}, 2.0, phot="irsa")
    assert many.groupby("position").size().to_dict() == {0: 18, 2: 12}
    pieces = pd.concat(archive.iter_light_curves({"ra": [0.0001, STAR[0]], "dec": [-20.0, STAR[1]]}, 2.0, phot="irsa"))
    assert len(pieces) == 30


def test_both_puts_our_epochs_beside(archive, tmp_path):
    archive.add_catalogue("irsa", f"hats:{publish(tmp_path / 'lc')}")
    with open_sessions(archive.url) as maker:
        store_image(maker, [STAR[0]], [STAR[1]])
    ours = archive.light_curve(*STAR, 2.0).to_pandas()
    both = archive.light_curve(*STAR, 2.0, phot="irsa-both").to_pandas()
    assert both.phot.value_counts().to_dict() == {"irsa": 12, "aperture": 1, "psfcat": 0, "psf": 0}
    mine = both[both.phot == "aperture"].drop(columns="phot").reset_index(drop=True)
    pd.testing.assert_frame_equal(mine, ours, check_dtype=False)
    time = both.mjd.fillna(both.mjd_mid)
    assert time.is_monotonic_increasing
    assert archive.light_curve(*STAR, 2.0, phot="irsa-both").to_table()["hjd"].unit is not None


def test_words_where_there_is_nothing_to_read(engine_url, tmp_path):
    with ztfdb.open(engine_url, create=True) as archive:
        with pytest.raises(UnknownCatalogueError, match="ztfdb catalog add irsa"):
            archive.light_curve(*STAR, phot="irsa")
        folder = publish(tmp_path / "lc")
        archive.add_catalogue("irsa", f"hats:{folder}")
        with pytest.raises(ValueError, match="complete=True: not with"):
            archive.light_curve(*STAR, phot="irsa", complete=True)
        with pytest.raises(ValueError, match="which cannot be matched with images"):
            archive.crossmatch("irsa")
        with pytest.raises(ValueError, match="read in place"):
            archive.import_catalogue("irsa", tmp_path / "any.csv")
        assert len(archive.catalogue_cone("irsa", *STAR, 2.0)) == 3
        run = CliRunner()
        words = ["lightcurve", "210.5", "33.25", "--phot", "irsa", "--format", "csv", "--db", engine_url]
        shown = run.invoke(application, words)
        assert shown.exit_code == 0 and len(shown.stdout.splitlines()) == 13
        wrong = run.invoke(application, [*words, "--complete"])
        assert wrong.exit_code == 2
        table = objects()
        bare = write_hats(tmp_path / "bare", {name: table[name].to_numpy() for name in table}, ra="objra", dec="objdec")
        with pytest.raises(CatalogueFileError, match="has no light curves"):
            archive.add_catalogue("irsa", f"hats:{bare}")
        archive.remove_catalogue("irsa")
