"""IRSA's addresses, asked by the programs that are written for them, with another base URL and nothing else."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import shutil
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
from tests.support.catalogues import bright_star, make_epochs, real_refpsfcat  # noqa: E402
from tests.support.postgres import ENGINES  # noqa: E402
from tests.support.serving import Serving, reader_url  # noqa: E402
from ztfdb.query.answer import IRSA_COLUMNS  # noqa: E402
from ztfdb.simulate import make_psfcat  # noqa: E402
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
    make_psfcat(epochs[0])
    packed = epochs[1].sci
    Path(f"{packed}.gz").write_bytes(gzip.compress(packed.read_bytes(), 1))
    packed.unlink()
    for epoch, cards in zip(epochs[2:], CARDS, strict=True):
        with fits.open(epoch.sci, mode="update", memmap=False) as hdus:
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


def test_parameters_are_taken_in_every_spelling(served, star, truth):
    ra, dec = star
    oids = truth["oid"].unique().tolist()
    for params in (
        {"POS": f"circle {ra} {dec} 0.001"},
        {"pos": f"CIRCLE,{ra - 360.0!r},{dec},0.001", "collection": "ztf_dr24"},
        {"circle": f"{ra},{dec},0.001", "bandname": "g,r,i", "Band": "-Inf Inf", "MAG": "-Inf,Inf", "time": "-inf inf"},
        {"ID": ",".join(map(str, oids))},
        {"ID": oids, "TIME": "59000 Inf", "BAD_CATFLAGS_MASK": "0"},
    ):
        found = pd.read_csv(io.BytesIO(curves(served, FORMAT="csv", **params)))
        assert found["expid"].tolist() == truth["expid"].tolist(), params
    alone = truth.iloc[1]
    for time in (f"{alone['mjd']}", f"{alone['mjd']} {alone['mjd']}"):
        found = pd.read_csv(io.BytesIO(curves(served, CIRCLE=f"{ra} {dec} 0.001", FORMAT="csv", TIME=time)))
        assert found["expid"].tolist() == [alone["expid"]], time


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
def test_ztfquery_needs_another_base_url_and_nothing_else(served, held, star, truth, local, monkeypatch, tmp_path):
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
        oids = truth["oid"].unique().tolist()
        check_rows(lightcurve.LCQuery.from_id(list(map(str, oids)), cookies={}).data, truth)
        for cut, keep in (
            ({"mag": [0, 40], "BAD_CATFLAGS_MASK": 32768}, truth["catflags"].fillna(0) < 32768),
            ({"TIME": [59117.43, 60000]}, truth["mjd"].between(59117.43, 60000)),
            ({"BAND": ["5.6e-7", "7e-7"]}, truth["filtercode"] == "zr"),
        ):
            found = lightcurve.LCQuery.from_position(*star, 3.6, cookies={}, **cut)
            check_rows(found.data, truth[keep].reset_index(drop=True))
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

        query.query(kind="sci", radec=star, cookies={})
        ztf = pytest.importorskip("ztfquery.query").ZTFQuery(query.metatable, "sci")
        paths = ztf.get_data_path(suffix="sciimg.fits", source=f"{served.base}/ibe/data/ztf/products/")
        assert len(paths) == 4
        for path, epoch in zip(paths, held[2], strict=True):
            kept = Path(f"{epoch.sci}.gz")
            content = gzip.decompress(kept.read_bytes()) if kept.exists() else epoch.sci.read_bytes()
            assert requests.get(path, timeout=60).content == content


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


def test_real_cutouts_have_the_rows_of_irsa(shared_data, tmp_path):
    theirs = pd.read_csv(shared_data / "cutouts" / "irsa_metadata.csv").drop_duplicates("pid").set_index("pid")
    url = f"sqlite:///{tmp_path}/cutouts.sqlite"
    with ztfdb.open(url, create=True) as archive:
        assert archive.ingest(shared_data / "cutouts").failed == 0
    with Serving(url) as served:
        ours = search(served, WHERE="field > 0").set_index("pid")
        names = "infobits field ccdid qid rcid fid filtercode nid expid itid imgtype imgtypecode obsdate obsjd exptime"
        names += " filefracday airmass moonillf moonesb crval1 crval2 cd11 cd12 cd21 cd22 ipac_gid"
        assert len(ours) == len(theirs) == 8
        # of a cutout, the place of its pixels (crpix, corners) is its own
        columns = names.split()
        pd.testing.assert_frame_equal(ours[columns], theirs.loc[ours.index, columns], check_exact=True)
        place = ours.iloc[0]
        part = search(served, POS=f"{place['ra']},{place['dec']}", WHERE=f"obsdate >= '{place['obsdate'][:10]}'")
        assert part["obsdate"].tolist() == [place["obsdate"]]
        # two of them overlap, and share a star: mcen takes the one whose middle is nearer
        pair = ours.loc[ours["filefracday"].isin([20250411284560, 20250411295868])]
        middle = SkyCoord(pair["ra"], pair["dec"], unit="deg")
        for weight in (0.45, 0.55):
            ra, dec = (np.average(pair[name], weights=[weight, 1 - weight]) for name in ("ra", "dec"))
            at = SkyCoord(ra, dec, unit="deg")
            point = {"POS": f"{at.ra.deg},{at.dec.deg}"}
            both, nearest = search(served, **point), search(served, mcen="", **point)
            assert sorted(both["filefracday"]) == sorted(pair["filefracday"])
            expected = pair["filefracday"].iloc[int(np.argmin(middle.separation(at)))]
            assert nearest["filefracday"].tolist() == [expected]


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


VOTABLES = {
    "tap": "tap/sync?LANG=ADQL&QUERY=select+*+from+ztf.light_curve_point",
    "tap, binary": "tap/sync?LANG=ADQL&FORMAT=votable/b2&QUERY=select+*+from+ivoa.obscore",
    "tap, cut": "tap/sync?LANG=ADQL&MAXREC=2&QUERY=select+*+from+ivoa.obsplan",
    "tap, computed": "tap/sync?LANG=ADQL&QUERY=select+count(*),avg(ra),max(filtercode),1%2B1+from+ztf.image",
    "tap, wrong": "tap/sync?LANG=ADQL&QUERY=select+%26%3C+from+nothing",
    "scs": "scs?RA={ra}&DEC={dec}&SR=0.002&VERB=3",
    "scs, columns": "scs?RA={ra}&DEC={dec}&SR=0",
    "scs, wrong": "scs?RA=x%3Cy&DEC=0&SR=1",
    "sia": "sia2/query?POS=CIRCLE+{ra}+{dec}+0.001",
    "sia, parameters": "sia2/query?MAXREC=0",
    "sia, wrong": "sia2/query?POS=x%3Cy",
    "links": "datalink/links?ID=ivo://ztfdb/image%3F{image}&ID=ivo://ztfdb/image%3F7",
    "links, wrong": "datalink/links",
    "series": "lightcurve?RA={ra}&DEC={dec}&COMPLETE=1&BJD=1",
    "series, both": "lightcurve?RA={ra}&DEC={dec}&PHOT=both",
    "series, none": "lightcurve?RA=10&DEC=10",
    "series, wrong": "lightcurve?RA=x%3Cy",
    "irsa curves": "cgi-bin/ZTF/nph_light_curves?POS=CIRCLE+{ra}+{dec}+0.001",
    "irsa, none": "cgi-bin/ZTF/nph_light_curves?POS=CIRCLE+10+10+0.001",
    "irsa images": "ibe/search/ztf/products/sci?POS={ra},{dec}&ct=votable",
    "irsa references": "ibe/search/ztf/products/ref?POS={ra},{dec}&ct=votable",
    "irsa columns": "ibe/search/ztf/products/sci?ct=votable",
}


@pytest.mark.parametrize("name", VOTABLES)
def test_every_votable_is_one_to_the_strictest_readers(served, local, star, name, tmp_path):
    image = int(local.images(*star)["image_id"][0])
    path = VOTABLES[name].format(ra=star[0], dec=star[1], image=image)
    answer = requests.get(f"{served.base}/{path}", timeout=120)
    assert answer.headers["Content-Type"].startswith(("application/x-votable+xml", "text/xml"))
    assert answer.ok == ("wrong" not in name or name.startswith("scs"))  # Simple Cone Search tells mistakes with 200
    parse(io.BytesIO(answer.content), verify="exception")
    if stilts := shutil.which("stilts"):
        document = tmp_path / "answer.vot"
        document.write_bytes(answer.content)
        for tool in ["votlint", *(["datalinklint"] if name == "links" else [])]:
            strict = ["ucd=true", "unit=true"] if tool == "votlint" and not name.startswith("scs") else []
            done = subprocess.run([stilts, tool, *strict, str(document)], capture_output=True, text=True, timeout=120)
            words = [line for line in done.stdout.splitlines() if line.startswith(("ERROR", "WARNING"))]
            assert (done.returncode, words) == (0, []), done.stdout


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
    catalogue = Path(str(plain.sci).replace("sciimg", "psfcat"))
    assert requests.get(base + catalogue.name, timeout=60).content == catalogue.read_bytes()
    other = packed.sci.name.replace("sciimg", "psfcat")
    assert requests.get(base + other, timeout=60).status_code == 404
    cut = requests.get(f"{base}{catalogue.name}?center=1,2&size=1pix", timeout=60)
    assert (cut.status_code, "has no pixels" in cut.text) == (400, True)
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


def test_a_reference_catalogue_that_is_held_alone_is_sent(shared_data, tmp_path):
    path = real_refpsfcat(shared_data)
    url = f"sqlite:///{tmp_path}/ref.sqlite"
    with ztfdb.open(url, create=True) as archive:
        archive.ingest_psfcat(path)
    with Serving(url) as served:
        folder = "ibe/data/ztf/products/ref/000/field000202/zg/ccd10/q1"
        answer = requests.get(f"{served.base}/{folder}/{path.name}", timeout=60)
        assert answer.content == path.read_bytes()


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
        service.tap_url, service.sia_url = f"{served.base}/tap", f"{served.base}/sia2"
        place = SkyCoord(*star, unit="deg")
        catalogues = service.list_catalogs()
        assert {"ztf.source", "ztf.light_curve_point"} <= set(catalogues)
        assert "ztf.calibration" not in catalogues  # has no position
        assert set(service.list_catalogs(filter="forced")) < set(catalogues)
        assert set(service.list_catalogs(include_metadata_tables=True)) > set(catalogues)
        assert service.list_columns("ztf.source")["flux_aper4"]

        ours = local.cone(*star, 10.0)
        for jobs in (False, True):
            found = service.query_region(
                place, catalog="ztf.source", spatial="Cone", radius="10 arcsec", async_job=jobs
            )
            same_rows(found, local, ours["source_id"].tolist())
        one = service.query_region(place, catalog="ztf.source", radius=10 * u.arcsec, columns="source_id")
        assert (one.colnames, len(one)) == (["source_id"], len(ours))

        # the box's sides are great circles, 7 arcsec from its middle: a cone of 6.9 lies in it, one of 10 holds it
        box = service.query_region(place, catalog="ztf.source", spatial="Box", width="14 arcsec")
        near = local.cone(*star, 6.9)["source_id"]
        assert set(near) <= set(box["source_id"].tolist()) <= set(ours["source_id"])
        same_rows(box, local, box["source_id"].tolist())
        d = 5.0 / 3600.0
        corners = [(star[0] + dx * d / np.cos(np.radians(star[1])), star[1] + dy * d)
                   for dx, dy in ((-1, -1), (1, -1), (1, 1), (-1, 1))]  # fmt: skip
        polygon = service.query_region(catalog="ztf.source", spatial="Polygon", polygon=corners)
        assert set(local.cone(*star, 4.9)["source_id"]) <= set(polygon["source_id"].tolist()) <= set(ours["source_id"])
        same_rows(polygon, local, polygon["source_id"].tolist())
        counted = service.query_tap("select count(*) as n from ztf.image").to_table()
        assert int(counted["n"][0]) == 4

        images = local.images(*star)
        for pos in ((place, 1 * u.arcsec), (*star * u.deg, 1e-4 * u.deg)):
            found = service.query_sia(pos=pos)
            assert found["image_id"].tolist() == images["image_id"].tolist()
            assert found["t_min"].tolist() == images["obsmjd"].tolist()
        later = tuple(Time(images["obsmjd"][at] + by, format="mjd") for at, by in ((2, -0.01), (3, 0.01)))
        assert service.query_sia(pos=pos, time=later)["image_id"].tolist() == images["image_id"][2:].tolist()
        assert len(service.query_sia(pos=(SkyCoord(star[0] + 5, star[1], unit="deg"), 0.01 * u.deg))) == 0


def same_rows(table, local, ids) -> None:
    """A table has all columns of some sources, to the bit and in whatever order."""
    ours = local.sql("select * from source").set_index("source_id").loc[sorted(ids)].reset_index()
    found = table.to_pandas().sort_values("source_id", ignore_index=True)
    assert len(found) == len(ids) > 0
    for name in found:
        theirs, kept = found[name], ours[name]
        assert theirs.isna().tolist() == kept.isna().tolist(), name
        there = ~kept.isna().to_numpy()
        assert theirs[there].tolist() == kept[there].astype(theirs.dtype).tolist(), name


LIGHTKURVE = """
import io, json, sys, urllib.request, warnings
warnings.simplefilter("ignore")
import lightkurve, numpy, pandas
from astropy.table import Table
from astropy.time import Time

base, ra, dec = sys.argv[1:]
url = f"{base}/cgi-bin/ZTF/nph_light_curves?POS=CIRCLE+{ra}+{dec}+0.001"
tables = {
    "csv": Table.from_pandas(pandas.read_csv(url + "&FORMAT=csv")),
    "votable": Table.read(url, format="votable"),
    "ipac": Table.read(urllib.request.urlopen(url + "&FORMAT=ipac_table").read().decode(), format="ascii.ipac"),
    "series": Table.read(f"{base}/lightcurve?RA={ra}&DEC={dec}", format="votable"),
}
found = {}
for name, table in tables.items():
    curve = lightkurve.LightCurve(time=Time(table["hjd"], format="jd"), flux=table["mag"], flux_err=table["magerr"])
    whole = lightkurve.LightCurve(data=table, time=Time(table["hjd"], format="jd"))
    assert [int(one) for one in whole["expid"]] == [int(one) for one in table["expid"]]
    folded = curve.fold(period=0.3, epoch_time=2459000.0)
    power = curve.to_periodogram(method="lombscargle", period=numpy.array([0.2, 0.3, 0.7]))
    assert len(power.power) == 3 and len(curve.bin(time_bin_size=2.0)) > 0
    found[name] = {
        "jd": curve.time.jd.tolist(), "mag": [float(one) for one in curve.flux.value],
        "magerr": [float(one) for one in curve.flux_err.value], "phase": sorted(folded.phase.value.tolist()),
    }
print(json.dumps(found))
"""


def test_lightkurve_takes_light_curves_as_they_come(served, star, truth):
    # lightkurve holds pandas below 3, and may so be installed for another interpreter than this one
    python = os.environ.get("ZTFDB_LIGHTKURVE_PYTHON")
    if python is None:
        pytest.importorskip(
            "lightkurve", reason="not installed, and ZTFDB_LIGHTKURVE_PYTHON names no Python that has it"
        )
    words = [python or sys.executable, "-c", LIGHTKURVE, served.base, *map(str, star)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    ours = truth.sort_values("hjd")
    phases = np.sort((ours["hjd"].to_numpy() - 2459000.0 + 0.15) % 0.3 - 0.15)
    found = json.loads(done.stdout)
    assert sorted(found) == ["csv", "ipac", "series", "votable"]
    for name, curve in found.items():
        order = np.argsort(curve["jd"])
        # of a number of a CSV, pandas below 3 reads 15 digits and a bit, unless it is told to be exact
        rtol = 1e-14 if name == "csv" else 0.0
        for theirs, column in (("jd", "hjd"), ("mag", "mag"), ("magerr", "magerr")):
            assert np.allclose(np.array(curve[theirs])[order], ours[column], rtol=rtol, atol=0), (name, theirs)
        # a JD holds 5e-10 d in a double
        assert np.allclose(curve["phase"], phases, rtol=0, atol=2e-9), name


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
