"""IRSA's addresses, asked by the programs that are written for them, with another base URL and nothing else."""

from __future__ import annotations

import gzip
import io
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.io.votable import parse
from astropy.table import Table
from astropy.time import Time
from astropy.wcs import WCS
from sqlalchemy import text

requests = pytest.importorskip("requests", reason="the extra vo, which brings requests, is not installed")
pytest.importorskip("starlette", reason="the extra serve is not installed")

import ztfdb  # noqa: E402
from tests.support.catalogues import bright_star, make_epochs  # noqa: E402
from tests.support.postgres import ENGINES  # noqa: E402
from tests.support.serving import reader_url  # noqa: E402
from ztfdb.query.epochs import IRSA_COLUMNS  # noqa: E402
from ztfdb.store.engine import make_engine, sessions, writing  # noqa: E402

POOLS = pytest.mark.filterwarnings(
    "ignore:unclosed <socket:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
"""These programs leave their connections to the garbage collector."""


CARDS = (
    {"MOONILLF": -0.475273, "MOONESB": 0, "SHUTOPEN": "2025-04-11T06:49:47.570"},  # as in files of ZTF's
    {"MOONILLF": "waning", "SHUTOPEN": "2025-02-30T23:59:60.000"},  # what no time and no number is
)
"""Further cards of the last two exposures."""


@pytest.fixture(scope="module", params=ENGINES)
def held(request, databases, tmp_path_factory):
    """URL of an archive of four exposures, one of them packed, one with imported metadata; their star; the images."""
    folder = tmp_path_factory.mktemp("night")
    url = databases.migrated(request.param)
    epochs = make_epochs(folder / "images", catalogues=False)
    packed = epochs[1].sci
    Path(f"{packed}.gz").write_bytes(gzip.compress(packed.read_bytes(), 1))
    packed.unlink()
    for epoch, cards in zip(epochs[2:], CARDS, strict=True):
        with fits.open(epoch.sci, mode="update") as hdus:
            hdus[0].header.update(cards)
    star = bright_star(epochs[0])[:2]
    with ztfdb.open(url, create=True) as archive:
        assert archive.ingest(folder / "images").failed == 0
        first = int(archive.images(*star)["image_id"][0])
    engine = make_engine(url)  # a cutout has no pid, by which imported metadata find an image
    with writing(sessions(engine)) as session:
        session.execute(text(f"update image set seeing = 1.25, maglimit = 20.75 where image_id = {first}"))
    engine.dispose()
    yield reader_url(url), star, epochs
    databases.drop(url)


@pytest.fixture(scope="module")
def star(held):
    """Position of a star on all images, deg."""
    return held[1]


@pytest.fixture(scope="module")
def truth(local, star):
    """Its light curve, as IRSA's columns in IRSA's order."""
    frame = local.light_curve(*star, 3.6).data[list(IRSA_COLUMNS)]
    return frame.sort_values(["oid", "mjd"], ascending=[False, True], ignore_index=True)


def curves(served, **params):
    """One answer of the light curves, which must be 200."""
    answer = requests.get(f"{served.base}/cgi-bin/ZTF/nph_light_curves", params=params, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.content


def check_rows(table, truth) -> None:
    """A table of any reader has the rows of a frame: ids exact, doubles to the bit."""
    assert list(table.columns) == list(IRSA_COLUMNS)
    assert len(table) == len(truth) > 0
    for name in IRSA_COLUMNS:
        values, ours = np.ma.asarray(table[name]), truth[name]
        theirs = pd.Series(values.filled(np.nan) if values.dtype.kind == "f" else list(table[name]))
        if ours.dtype == "float64":
            assert np.array_equal(theirs.to_numpy(float), ours.to_numpy(), equal_nan=True), name
        else:
            assert theirs.astype(str).tolist() == ours.astype(str).tolist(), name


def test_every_format_has_the_rows_of_the_archive(served, star, truth):
    place = f"CIRCLE {star[0]} {star[1]} 0.001"
    check_rows(pd.read_csv(io.BytesIO(curves(served, POS=place, FORMAT="CSV"))), truth)
    check_rows(pd.read_csv(io.BytesIO(curves(served, POS=place, format="tsv")), sep="\t"), truth)
    content = curves(served, POS=place)
    assert len(parse(io.BytesIO(content), verify="exception").get_first_table().array) == len(truth)
    check_rows(Table.read(io.BytesIO(content), format="votable"), truth)
    check_rows(Table.read(curves(served, POS=place, FORMAT="IPAC_TABLE").decode(), format="ascii.ipac"), truth)
    assert curves(served, POS=place, FORMAT="html").count(b"<tr>") == 1 + len(truth)


CUTS = [
    ({"BANDNAME": "g"}, lambda f: f[f.filtercode == "zg"]),
    ({"BANDNAME": "1,i"}, lambda f: f[f.filtercode == "zg"]),
    ({"BAND": "5.6e-7 Inf"}, lambda f: f[f.filtercode == "zr"]),
    ({"BAND": "4.5e-7"}, lambda f: f[f.filtercode == "zg"]),
    ({"TIME": "59117.43 Inf"}, lambda f: f[f.mjd >= 59117.43]),
    ({"TIME": "-Inf 59117.5"}, lambda f: f[f.mjd <= 59117.5]),
    ({"NUM_OBS": "3"}, lambda f: f[:0]),
    ({"NOBS_MIN": "2"}, lambda f: f),
    ({"MAG": "0 40", "COLLECTION": "ztf_dr1"}, lambda f: f),
    ({"MAG": "30 40"}, lambda f: f[:0]),
    ({"BAD_CATFLAGS_MASK": "32768"}, lambda f: f[f.catflags.fillna(0) < 32768]),
]


@pytest.mark.parametrize(("params", "keep"), CUTS, ids=[str(one) for one, _ in CUTS])
def test_cuts_are_those_of_the_page(served, star, truth, params, keep):
    content = curves(served, CIRCLE=f"{star[0]} {star[1]} 0.001", FORMAT="csv", **params)
    found = pd.read_csv(io.BytesIO(content))
    assert found["expid"].tolist() == keep(truth)["expid"].tolist()


def test_an_oid_leads_back_to_its_light_curve(served, truth):
    first, last = truth["oid"].unique()[[0, -1]].tolist()
    found = pd.read_csv(io.BytesIO(curves(served, ID=[str(first), str(last)], FORMAT="csv")))
    assert found["oid"].tolist() == truth["oid"].tolist()
    assert found["expid"].tolist() == truth["expid"].tolist()


@pytest.mark.parametrize(
    ("params", "status", "words"),
    [
        ({}, 400, "one of POS, CIRCLE and ID"),
        ({"POS": "BOX 1 2 3 4"}, 400, "expected CIRCLE"),
        ({"CIRCLE": "1 2"}, 400, "expected ra, dec and radius"),
        ({"CIRCLE": "1 2 0.2"}, 400, "at most 0.1667"),
        ({"CIRCLE": "1 2 0"}, 400, "more than 0"),
        ({"CIRCLE": "1 99 0.1"}, 400, "DEC is '99'"),
        ({"CIRCLE": "1 2 0.1", "BANDNAME": "u"}, 400, "BANDNAME"),
        ({"CIRCLE": "1 2 0.1", "TIME": "2 1"}, 400, "two in order"),
        ({"CIRCLE": "1 2 0.1", "FORMAT": "json"}, 400, "FORMAT"),
        ({"CIRCLE": "1 2 0.1", "COLOR": "1"}, 400, "'COLOR' is no parameter"),
        ({"ID": "1", "MAG": "1 2"}, 400, "do not go together"),
        ({"ID": "x"}, 400, "whole number"),
        ({"ID": "686103400067717"}, 404, "no object"),
        ({"ID": "-999999999999999999"}, 404, "no object"),
    ],
)
def test_mistakes_are_told(served, params, status, words):
    answer = requests.get(f"{served.base}/cgi-bin/ZTF/nph_light_curves", params=params, timeout=60)
    assert (answer.status_code, words in answer.text) == (status, True), answer.text


@POOLS
def test_ztfquery_needs_another_base_url_and_nothing_else(served, star, truth, local, monkeypatch, tmp_path):
    monkeypatch.setenv("ZTFDATA", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lightcurve = pytest.importorskip("ztfquery.lightcurve", reason="ztfquery is not installed")
        metasearch = pytest.importorskip("ztfquery.metasearch", reason="ztfquery is not installed")
        monkeypatch.setattr(lightcurve, "BASEURL", f"{served.base}/cgi-bin/ZTF/nph_light_curves?")
        monkeypatch.setattr(metasearch, "SEARCH_BASEURL", f"{served.base}/ibe/search/ztf/products/")
        found = lightcurve.LCQuery.from_position(*star, 3.6, cookies={}, BANDNAME="g,r", NUM_OBS=2)
        check_rows(found.data, truth)
        query = metasearch.MetaQuery()
        ours = local.images(*star)
        seeing = ours["seeing"].fillna(ours["seeing_pix"] * 1.012)
        for most in (1.5, 9.0):
            query.query(kind="sci", radec=star, sql_query=f"seeing<{most} and fid in (1,2)", cookies={})
            table, keep = query.metatable, (seeing < most).to_numpy()
            assert table["image_id"].tolist() == ours["image_id"][keep].tolist() != []
            assert np.allclose(table["seeing"], seeing[keep], rtol=1e-12)
        assert table["seeing_source"].tolist() == table["maglimit_source"].tolist() == ["irsa", *["header"] * 3]
        assert table["maglimit"].iloc[0] == 20.75
        query.query(kind="sci", radec=star, mcen=True, size=None, cookies={}, colnames=["field", "obsjd"])
        assert list(query.metatable) == ["field", "obsjd"]
        assert len(query.metatable) == 1


def search(served, kind="sci", **params):
    """Rows of an image search."""
    answer = requests.get(f"{served.base}/ibe/search/ztf/products/{kind}", params={"ct": "csv", **params}, timeout=60)
    assert answer.status_code == 200, answer.text
    return pd.read_csv(io.BytesIO(answer.content))


def test_images_are_found_by_place_and_condition(served, star, local):
    ours = local.images(*star)
    place = f"{star[0]},{star[1]}"
    found = search(served, POS=place)
    assert found["image_id"].tolist() == ours["image_id"].tolist()
    assert np.array_equal(found["obsjd"], ours["obsmjd"] + 2400000.5)
    assert found["filefracday"].tolist() == ours["filefracday"].tolist()
    assert len(search(served, WHERE="filtercode='zr' and obsjd > 2459117")) == 2
    assert len(search(served, POS="10,10")) == 0
    assert len(search(served, kind="ref", WHERE="field=655")) == 0
    assert "seeing" in search(served)["name"].tolist() == search(served, FORMAT="METADATA")["name"].tolist()


def test_the_columns_of_headers_are_the_headers(served, held, star):
    found = search(served, POS=f"{star[0]},{star[1]}")
    keywords = {
        "crpix1": "CRPIX1", "crpix2": "CRPIX2", "crval1": "CRVAL1", "crval2": "CRVAL2", "cd11": "CD1_1",
        "cd12": "CD1_2", "cd21": "CD2_1", "cd22": "CD2_2", "airmass": "AIRMASS",
    }  # fmt: skip
    headers = [fits.getheader(held[2][at].sci) for at in (0, 2, 3)]  # the second is packed
    for name, keyword in keywords.items():
        truth = [header[keyword] for header in headers]
        assert found[name].iloc[[0, 2, 3]].tolist() == truth, name
        chosen = search(served, WHERE=f"{name} = {truth[0]!r} and image_id = {found['image_id'][0]}", COLUMNS=name)
        assert chosen.to_dict("list") == {name: truth[:1]}, name
    assert np.array_equal(found["moonillf"], [np.nan, np.nan, -0.475273, np.nan], equal_nan=True)
    assert np.array_equal(found["moonesb"], [np.nan, np.nan, 0.0, np.nan], equal_nan=True)
    assert search(served, WHERE="moonillf < 0")["image_id"].tolist() == [found["image_id"][2]]
    shutter = (Time(headers[0]["SHUTOPEN"]) - 0.5 * u.s).to_value("iso").rstrip("0").rstrip(".")
    assert found["obsdate"].iloc[[0, 2]].tolist() == [f"{shutter}+00", "2025-04-11 06:49:47.07+00"]
    assert found["obsdate"].isna().tolist() == [False, False, False, True]
    assert found["itid"].tolist() == [1] * 4


@pytest.mark.parametrize("ct", ["csv", "tsv", "ipac_table", "votable", "html"])
def test_searches_have_the_same_rows_in_every_format(served, star, ct):
    place = {"POS": f"{star[0]},{star[1]}", "COLUMNS": "field,obsjd,seeing_source,moonillf"}
    answer = requests.get(f"{served.base}/ibe/search/ztf/products/sci", params={**place, "ct": ct}, timeout=60)
    truth = search(served, **place)
    if ct in ("csv", "tsv"):
        found = pd.read_csv(io.BytesIO(answer.content), sep={"csv": ",", "tsv": "\t"}[ct])
    elif ct == "html":
        rows = [
            re.findall(r"<t[hd]>(.*?)</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", answer.text, re.DOTALL)
        ]
        found = pd.read_csv(io.StringIO("\n".join(map(",".join, rows))))
    elif ct == "votable":
        parse(io.BytesIO(answer.content), verify="exception")
        found = Table.read(io.BytesIO(answer.content), format="votable").to_pandas()
    else:
        found = Table.read(answer.text, format="ascii.ipac").to_pandas()
    pd.testing.assert_frame_equal(found, truth, check_dtype=False, check_exact=True)


@pytest.mark.parametrize(
    ("where", "size", "n"),
    [
        (("OVERLAPS", 0.0), 0.02, 4), (("OVERLAPS", 0.3), 0.9, 4), (("COVERS", 0.0), 0.01, 4),
        (("COVERS", 0.0), 0.5, 0),
        (("ENCLOSED", 0.0), 0.5, 4), (("ENCLOSED", 0.0), 0.01, 0), (("CENTER", 0.0), 0.5, 4), (("CENTER", 0.2), 0.5, 0),
        (("OVERLAPS", 2.0), 0.5, 0),
    ],
)  # fmt: skip
def test_boxes_meet_images_as_they_are_asked(served, local, star, where, size, n):
    (intersect, off) = where
    image = local.images(*star).iloc[0]
    ra = image["ra"] + off / np.cos(np.radians(image["dec"]))
    assert len(search(served, POS=f"{ra},{image['dec']}", SIZE=size, INTERSECT=intersect)) == n


@pytest.mark.parametrize(
    ("kind", "params", "status", "words"),
    [
        ("raw", {"POS": "1,2"}, 404, "not kept"),
        ("sci", {"POS": "1"}, 400, "POS is '1'"),
        ("sci", {"POS": "1,2", "SIZE": "40"}, 400, "beyond the maximum"),
        ("sci", {"POS": "1,2", "INTERSECT": "TOUCHES"}, 400, "INTERSECT"),
        ("sci", {"WHERE": "field=600", "COLUMNS": "path"}, 400, "no column 'path'"),
        ("sci", {"WHERE": "path like '%'"}, 400, "path"),
        ("sci", {"WHERE": "1=1) union select 1 from source where (1=1"}, 400, ""),
        ("sci", {"WHERE": "field=600; drop table image"}, 400, ""),
        ("sci", {"WHERE": "pg_sleep(9) is null"}, 400, "PG_SLEEP"),
        ("sci", {"WHERE": "(" * 300}, 400, ""),
    ],
)
def test_wrong_searches_are_told(served, kind, params, status, words):
    answer = requests.get(f"{served.base}/ibe/search/ztf/products/{kind}", params=params, timeout=60)
    assert answer.status_code == status, answer.text
    assert words.lower() in answer.text.lower()


def test_files_come_by_irsas_path_whole_and_in_part(served, held, star):
    _, _, epochs = held
    base = f"{served.base}/ibe/data/ztf/products/sci/2020/0924/0/"
    plain, packed = epochs[0], epochs[1]
    whole = requests.get(base + plain.sci.name, timeout=60)
    assert whole.content == plain.sci.read_bytes()
    part = requests.get(base + plain.sci.name, headers={"Range": "bytes=0-2879"}, timeout=60)
    assert (part.status_code, part.content) == (206, whole.content[:2880])
    unpacked = requests.get(base + packed.sci.name, timeout=60).content
    assert unpacked == gzip.decompress(Path(f"{packed.sci}.gz").read_bytes())
    for name, content in ((plain.sci.name, whole.content), (packed.sci.name, unpacked), (plain.msk.name, None)):
        data = fits.getdata(io.BytesIO(content or plain.msk.read_bytes()))
        cut = requests.get(f"{base}{name}?center={star[0]},{star[1]}&size=41pix&gzip=false", timeout=60).content
        with fits.open(io.BytesIO(cut)) as hdus, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            header = hdus[0].header
            shift = np.array([header["NAXIS1"], header["NAXIS2"]])
            assert shift.tolist() == [41, 41]
            x, y = WCS(header).all_world2pix(*star, 0)
            assert (round(float(x)), round(float(y))) == (20, 20)
            whole_x, whole_y = WCS(fits.getheader(io.BytesIO(content or plain.msk.read_bytes()))).all_world2pix(
                *star, 0
            )
            y0, x0 = round(float(whole_y - y)), round(float(whole_x - x))
            np.testing.assert_array_equal(hdus[0].data, data[y0 : y0 + 41, x0 : x0 + 41])
            assert hdus[0].header["FIELDID"] == header["FIELDID"]
    packed_cut = requests.get(f"{base}{plain.sci.name}?center={star[0]},{star[1]}&size=40arcsec", timeout=60).content
    assert fits.getdata(io.BytesIO(gzip.decompress(packed_cut))).shape == (40, 40)


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("sci/2020/0924/0/ztf_20200924431759_000999_zr_c13_o_q3_sciimg.fits", 404, "has no file"),
        ("sci/..%2f..%2f..%2fetc/passwd", 404, "has no file"),
        ("../../../../etc/passwd", 404, ""),
        ("{name}?center=1&size=1pix", 400, "center is '1'"),
        ("{name}?center=10,10&size=1pix", 400, "lies outside"),
        ("{name}?center=10,10&size=2deg", 400, "at most 1500 px"),
        ("{name}?center=10,10&size=wide", 400, "size is 'wide'"),
    ],
)
def test_wrong_files_are_told(served, held, path, status, words):
    name = f"sci/2020/0924/0/{held[2][0].sci.name}"
    answer = requests.get(f"{served.base}/ibe/data/ztf/products/{path.format(name=name)}", timeout=60)
    assert answer.status_code == status, answer.text
    assert words in answer.text


@POOLS
def test_astroquery_needs_another_base_url_and_nothing_else(served, star, local):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        irsa = pytest.importorskip("astroquery.ipac.irsa", reason="astroquery is not installed")
        service = irsa.IrsaClass()
        service.tap_url = f"{served.base}/tap"
        place = SkyCoord(*star, unit="deg")
        catalogues = service.list_catalogs()
        assert {"ztf.source", "ztf.light_curve_point"} <= set(catalogues)
        ours = set(local.cone(*star, 10.0)["source_id"])
        found = service.query_region(place, catalog="ztf.source", spatial="Cone", radius="10 arcsec")
        assert set(found["source_id"].tolist()) == ours
        box = service.query_region(place, catalog="ztf.source", spatial="Box", width="14 arcsec")
        assert set(box["source_id"].tolist()) <= ours | set(local.cone(*star, 10.1)["source_id"])
        d = 5.0 / 3600.0
        corners = [(star[0] + dx * d / np.cos(np.radians(star[1])), star[1] + dy * d)
                   for dx, dy in ((-1, -1), (1, -1), (1, 1), (-1, 1))]  # fmt: skip
        polygon = service.query_region(catalog="ztf.source", spatial="Polygon", polygon=corners)
        assert set(local.cone(*star, 4.9)["source_id"]) <= set(polygon["source_id"].tolist()) <= ours
        counted = service.query_tap("select count(*) as n from ztf.image").to_table()
        assert int(counted["n"][0]) == 4


def test_lightkurve_takes_the_votable_as_it_comes(served, star, truth):
    lightkurve = pytest.importorskip("lightkurve", reason="lightkurve is not installed")
    table = Table.read(io.BytesIO(curves(served, POS=f"CIRCLE {star[0]} {star[1]} 0.001")), format="votable")
    curve = lightkurve.LightCurve(time=Time(table["hjd"], format="jd"), flux=table["mag"], flux_err=table["magerr"])
    assert len(curve.fold(period=0.3)) == len(truth)
    assert np.array_equal(np.sort(curve.flux.value), np.sort(truth["mag"]))


def test_the_examples_of_the_page_run(served, star, tmp_path, monkeypatch):
    pytest.importorskip("ztfquery", reason="ztfquery is not installed")
    page = (Path(__file__).parents[2] / "docs" / "service.md").read_text(encoding="utf-8")
    (page,) = [part for part in page.split("\n## ") if part.startswith("IRSA")]
    page = page.replace("http://127.0.0.1:8000", served.base)
    page = page.replace("58.0029", str(star[0])).replace("35.7365", str(star[1]))
    (python,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    code = f"import warnings; warnings.simplefilter('ignore')\n{python}\nprint(len(curve.data), len(query.metatable))"
    environ = {"HOME": str(tmp_path), "ZTFDATA": str(tmp_path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env=environ)
    assert done.stdout.split() == ["4", "4"], done.stderr
    (shell,) = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    done = subprocess.run(["sh", "-ec", shell], capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("oid,expid,hjd,mjd,mag")
