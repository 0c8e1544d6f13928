"""Images for the Virtual Observatory: SIA2 to DataLink to SODA with pyvo, pixels and positions as astropy has them."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.io.votable import parse
from astropy.wcs import WCS

requests = pytest.importorskip("requests", reason="the extra vo, which brings requests, is not installed")
pyvo = pytest.importorskip("pyvo", reason="the extra vo is not installed")
pytest.importorskip("starlette", reason="the extra serve is not installed")

from pyvo.dal.adhoc import DatalinkResults, SodaQuery  # noqa: E402

import ztfdb  # noqa: E402
from tests.support.postgres import ENGINES  # noqa: E402
from tests.support.serving import Serving, reader_url  # noqa: E402
from ztfdb.simulate import make_psfcat, make_science_image  # noqa: E402

NIGHT = 59116.4317708
RA, DEC = 57.9974032715, 35.74628707041
SHAPE = (140, 150)

pytestmark = pytest.mark.filterwarnings(
    "ignore:unclosed <socket:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
"""pyvo leaves its connections to the garbage collector."""


@pytest.fixture(autouse=True)
def vocabulary(monkeypatch):
    """The words of DataLink that pyvo would fetch: none has a narrower one here."""
    monkeypatch.setattr("pyvo.utils.vocabularies.get_vocabulary", lambda *args, **options: {"terms": {}})


@pytest.fixture(scope="module", params=ENGINES)
def made(request, databases, tmp_path_factory):
    """Three exposures of one star: with a mask, with one in tiles, and one whose file is gone."""
    url = databases.migrated(request.param)
    folder = tmp_path_factory.mktemp("night")
    stars = ([RA], [DEC], [17.0])
    paths = []
    with ztfdb.open(url, create=True) as archive:
        for number, code in enumerate(("zg", "zr", "zi")):
            one = make_science_image(
                folder, sky_stars=stars, seed=number, shape=SHAPE, obsmjd=NIGHT + number, filtercode=code,
            )  # fmt: skip
            paths.append(one.sci)
        data, header = fits.getdata(paths[1]), fits.getheader(paths[1])
        tiles = fits.CompImageHDU(data, header, compression_type="GZIP_2", quantize_level=0.0)
        paths[1].unlink()
        paths[1] = Path(f"{paths[1]}.fz")
        fits.HDUList([fits.PrimaryHDU(), tiles]).writeto(paths[1])
        assert not archive.ingest(folder).failed
        ids = archive.images(RA, DEC)["image_id"].tolist()
    paths[2].unlink()
    yield reader_url(url), dict(zip(ids, paths, strict=True))
    databases.drop(url)


@pytest.fixture(scope="module")
def served(made):
    with Serving(made[0]) as service:
        yield service


@pytest.fixture(scope="module")
def ids(made):
    return list(made[1])


@pytest.fixture(scope="module")
def rows(served):
    """All images as TAP has them."""
    text = "select * from ivoa.obscore order by t_min"
    return pyvo.dal.TAPService(f"{served.base}/tap").search(text)


def get(served, path, **params):
    return requests.get(f"{served.base}/{path}", params=params, timeout=60)


def did(image_id):
    return f"ivo://ztfdb/image?{image_id}"


def check(content, tmp_path, tool="votlint"):
    """Read a VOTable as strictly as the readers that there are; return it."""
    if shutil.which("stilts"):
        path = tmp_path / "answer.vot"
        path.write_bytes(content)
        done = subprocess.run(["stilts", tool, str(path)], capture_output=True, text=True, timeout=120)
        words = [line for line in done.stdout.splitlines() if line.startswith(("ERROR", "WARNING"))]
        assert (done.returncode, words) == (0, []), done.stdout
    return parse(io.BytesIO(content), verify="exception")


def read_votable(content, _):
    return parse(io.BytesIO(content), verify="exception")


def in_file(path):
    """Pixels and WCS of a file, as astropy reads it."""
    hdu = 1 if path.suffix == ".fz" else 0
    return fits.getdata(path, hdu), quietly(WCS, fits.getheader(path, hdu)), fits.getheader(path, hdu)


def quietly(make, *args):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make(*args)


def test_sia_leads_to_datalink_and_soda(served, made, ids):
    found = pyvo.dal.SIA2Service(f"{served.base}/sia2").search(pos=(RA * u.deg, DEC * u.deg, 0.001 * u.deg))
    with ztfdb.open(made[0], read_only=True) as archive:
        assert [row["image_id"] for row in found] == archive.images(RA, DEC)["image_id"].tolist() == ids
    for row, image_id in zip(found, ids[:2], strict=False):
        links = row.getdatalink()
        semantics = {one.semantics for one in links}
        assert semantics == {"#this", "#cutout", "#preview", "#auxiliary", "#derivation"}
        (this,) = links.bysemantics("#this")
        assert requests.get(this.access_url, timeout=60).content == made[1][image_id].read_bytes()
        assert this.content_length == made[1][image_id].stat().st_size
        assert row.getdataset().read() == made[1][image_id].read_bytes()
        (sources,) = links.bysemantics("#derivation")
        table = pyvo.dal.DALResults.from_result_url(sources.access_url)
        assert set(table["image_id"].tolist()) == {image_id}
        circle = [RA, DEC, 0.006] * u.deg
        for words in ({"time": (row.t_min.mjd - 1.0, row.t_max.mjd + 1.0)}, {"band": (4e-7, 1e-6)}):
            assert row.processed(circle=circle, **words).read(), words
        assert not row.processed(circle=circle, time=(row.t_max.mjd + 1.0, row.t_max.mjd + 2.0)).read()
        for answer in (links.get_first_proc().process(circle=circle), row.processed(circle=circle)):
            check_cutout(answer.read(), made[1][image_id], RA, DEC, 0.006)


def check_cutout(content, path, ra, dec, radius):
    """A cutout holds the circle and little more; its pixels and their positions are the file's."""
    data, wcs, header = in_file(path)
    with fits.open(io.BytesIO(content)) as hdus:
        cut, own = hdus[0].data, hdus[0].header
        assert not any("CHECKSUM" in key for key in own)
        x0, y0 = own["STAMPX0"], own["STAMPY0"]
        ny, nx = cut.shape
        np.testing.assert_array_equal(cut, data[y0 : y0 + ny, x0 : x0 + nx])
        small = quietly(WCS, own)
        for x, y in ((0, 0), (nx - 1, 0), (nx - 1, ny - 1), (0, ny - 1)):
            here, there = small.pixel_to_world(x, y), wcs.pixel_to_world(x + x0, y + y0)
            assert here.separation(there).arcsec < 1e-6
        gx, gy = np.meshgrid(np.arange(data.shape[1]), np.arange(data.shape[0]))
        inside = wcs.pixel_to_world(gx, gy).separation(SkyCoord(ra, dec, unit="deg")).deg <= radius
        rows, cols = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
        # the circle reaches at most one pixel beyond the last centre inside it
        for first, last, start, n in ((rows[0], rows[-1], y0, ny), (cols[0], cols[-1], x0, nx)):
            assert start <= first <= start + 1
            assert start + n - 2 <= last <= start + n - 1
        for keyword in ("OBSMJD", "FILTER", "MAGZP", "FIELDID", "EXPTIME"):
            assert own[keyword] == header[keyword]


def test_obscore_rows_of_tap_lead_to_the_same(served, made, rows, ids):
    assert rows["image_id"].tolist() == ids
    text = "select obs_publisher_did as {0} from ivoa.obscore order by t_min"
    service = pyvo.dal.TAPService(f"{served.base}/tap")
    for name in ("i", '"an odd name"'):
        found = service.search(text.format(name))
        assert next(found[0].getdatalink().bysemantics("#this")).access_url.endswith(f"/files/{ids[0]}/sci")
    assert service.search(text.format("i")).to_table().colnames == ["i"]
    job = service.run_async("select access_url from ivoa.obscore order by t_min")
    assert job["access_url"].tolist() == rows["access_url"].tolist()
    assert all(url.startswith(served.base) for url in job["access_url"])
    all_links = {int(one.original_row["image_id"]): one for one in rows.iter_datalinks()}
    assert sorted(all_links) == sorted(ids)
    for image_id in ids[:2]:
        assert next(all_links[image_id].bysemantics("#this")).access_url.endswith(f"/files/{image_id}/sci")
    by_url = DatalinkResults.from_result_url(rows[0]["access_url"])
    assert next(by_url.bysemantics("#this")).access_url.endswith(f"/files/{ids[0]}/sci")


@pytest.mark.parametrize("engine", ENGINES)
def test_links_lead_to_all_that_is_held_of_an_image(databases, engine, tmp_path):
    """ZTF's catalogue of an image, and the quadrant that a cutout was cut from."""
    folder = tmp_path / "night"
    made = make_science_image(folder / "whole", shape=(3080, 3072), n_star=200, seed=1, obsmjd=NIGHT, mask=False)
    catalogue = make_psfcat(made)
    data, header = fits.getdata(made.sci), fits.getheader(made.sci)
    header["CRPIX1"] -= 1000
    header["CRPIX2"] -= 1500
    part = folder / "part" / made.sci.name
    part.parent.mkdir()
    fits.PrimaryHDU(data[1500:1700, 1000:1210], header).writeto(part)
    url = databases.migrated(engine)
    with ztfdb.open(url, create=True) as archive:
        assert not archive.ingest(folder).failed
    with ztfdb.open(reader_url(url), read_only=True) as archive:
        kinds = dict(archive.sql("select kind, image_id from image").itertuples(index=False))
        assert sorted(kinds) == ["cutout", "sci"]
    with Serving(reader_url(url)) as served:
        answer = get(served, "datalink/links", ID=[did(kinds["sci"]), did(kinds["cutout"])])
        table = check(answer.content, tmp_path, "datalinklint").get_first_table().to_table()
        check(answer.content, tmp_path)
        links = {(row["ID"], row["semantics"], row["content_type"]): row["access_url"] for row in table}
        fits_of = {key[:2]: requests.get(url, timeout=60).content for key, url in links.items()
                   if key[2] == "application/fits" and key[1] != "#cutout"}  # fmt: skip
        assert fits_of == {
            (did(kinds["sci"]), "#this"): made.sci.read_bytes(),
            (did(kinds["sci"]), "#derivation"): catalogue.read_bytes(),
            (did(kinds["cutout"]), "#this"): part.read_bytes(),
            (did(kinds["cutout"]), "#progenitor"): made.sci.read_bytes(),
        }
        assert get(served, f"files/{kinds['cutout']}/psfcat").status_code == 404
        catalogue.unlink()
        assert get(served, f"files/{kinds['sci']}/psfcat").status_code == 404
        assert b"files/%d/psfcat" % kinds["sci"] not in get(served, "datalink/links", ID=did(kinds["sci"])).content
    databases.drop(url)


def test_what_is_gone_is_a_row_with_its_reason(served, ids, tmp_path):
    answer = get(served, "datalink/links", ID=[did(ids[0]), did(ids[2]), did(77), "ivo://elsewhere/x"])
    assert answer.headers["Content-Type"] == "application/x-votable+xml;content=datalink"
    check(answer.content, tmp_path)
    table = check(answer.content, tmp_path, "datalinklint").get_first_table().to_table()
    errors = {row["ID"]: row["error_message"] for row in table if row["error_message"]}
    assert list(errors) == [did(ids[2]), did(77), "ivo://elsewhere/x"]
    assert all(text.startswith("NotFoundFault: ") for text in errors.values())
    assert "not there any more" in errors[did(ids[2])]
    assert not any(str(Path.home()) in text or "/night" in text for text in errors.values())
    assert get(served, f"files/{ids[2]}/sci").status_code == 404
    assert get(served, "soda/sync", ID=did(ids[2]), CIRCLE=f"{RA} {DEC} 0.01").status_code == 404
    missing = get(served, "datalink/links")
    assert missing.status_code == 400
    assert "ID is missing" in missing.text
    cut = get(served, "datalink/links", ID=[did(ids[0]), did(ids[1])], MAXREC="1").content
    assert b"OVERFLOW" in cut
    assert did(ids[1]).encode() not in cut


def test_a_file_with_damaged_tiles_is_an_error_and_no_half_of_a_cutout(served, made, ids):
    """Its size and time are those of the ingested file, so that only its pixels show the damage."""
    path = made[1][ids[1]]
    content, status = path.read_bytes(), path.stat()
    try:
        path.write_bytes(content[: len(content) // 4] + bytes(len(content) - len(content) // 4))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        answer = get(served, "soda/sync", ID=did(ids[1]), CIRCLE=f"{RA} {DEC} 0.01")
    finally:
        path.write_bytes(content)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (answer.status_code, answer.text.startswith("NotFoundFault: ")) == (404, True)
    assert get(served, "soda/sync", ID=did(ids[1]), CIRCLE=f"{RA} {DEC} 0.01").status_code == 200


@pytest.mark.parametrize(
    "path", ["0/sci", "77/sci", "x/sci", "1e3/sci", "-1/sci", "..%2f..%2fetc/passwd", "9" * 30 + "/sci", "{id}/nothing"]
)
def test_only_files_of_images_are_sent(served, ids, path):
    assert get(served, f"files/{path.format(id=ids[0])}").status_code == 404


def test_a_part_of_a_file_is_sent(served, made, ids):
    content = made[1][ids[0]].read_bytes()
    url = f"{served.base}/files/{ids[0]}/sci"
    answer = requests.get(url, headers={"Range": "bytes=2880-2999"}, timeout=60)
    assert (answer.status_code, answer.content) == (206, content[2880:3000])
    assert requests.get(f"{served.base}/files/{ids[0]}/msk", timeout=60).ok


@pytest.mark.parametrize("address", ["files/{id}/sci", "ibe/data/ztf/products/sci/{name}"])
def test_a_file_that_the_client_has_is_not_sent_again(served, made, ids, address):
    path = made[1][ids[0]]
    url = f"{served.base}/{address.format(id=ids[0], name=path.name)}"
    first = requests.get(url, timeout=60)
    assert first.content == path.read_bytes()
    tag, last = first.headers["ETag"], first.headers["Last-Modified"]
    earlier = "Mon, 01 Jan 2001 00:00:00 GMT"
    for headers, status in (
        ({"If-None-Match": tag}, 304),
        ({"If-None-Match": f'"other", W/{tag}'}, 304),
        ({"If-None-Match": "*"}, 304),
        ({"If-None-Match": '"other"', "If-Modified-Since": last}, 200),
        ({"If-Modified-Since": last}, 304),
        ({"If-Modified-Since": earlier}, 200),
        ({"If-Modified-Since": "no date"}, 200),
        ({"If-None-Match": tag, "Range": "bytes=0-79"}, 304),
    ):
        answer = requests.get(url, headers=headers, timeout=60)
        assert (answer.status_code, answer.headers["ETag"]) == (status, tag), headers
        assert answer.content == (b"" if status == 304 else first.content)


def test_a_preview_is_the_image(served, made, ids):
    image = pytest.importorskip("PIL.Image", reason="the extra plot, which brings Pillow, is not installed")
    answer = get(served, f"preview/{ids[0]}.png")
    picture = np.asarray(image.open(io.BytesIO(answer.content)))[::-1, :, 0]
    data, wcs, _ = in_file(made[1][ids[0]])
    assert picture.shape == data.shape
    x, y = (round(float(v)) for v in wcs.world_to_pixel(SkyCoord(RA, DEC, unit="deg")))
    assert picture[y, x] == 0  # dark is bright
    order = np.argsort(data, axis=None)
    assert (np.diff(picture.ravel()[order].astype(int)) <= 0).all()
    assert get(served, f"preview/{ids[2]}.png").status_code == 404


@pytest.mark.parametrize(
    ("params", "corner"),
    [
        ({"CIRCLE": f"{RA} {DEC} 0.004"}, None),
        ({"POS": f"CIRCLE {RA} {DEC} 0.004"}, None),
        ({"POS": f"RANGE {RA - 0.004} {RA + 0.004} {DEC - 0.003} {DEC + 0.003}"}, None),
        ({"POLYGON": f"{RA - 0.005} {DEC} {RA + 0.005} {DEC} {RA} {DEC + 0.004}"}, None),
        ({"CIRCLE": f"{RA} {DEC} 5"}, SHAPE),
        ({"POS": f"RANGE 0 360 {DEC - 1} {DEC + 1}"}, SHAPE),
        ({}, SHAPE),
    ],
)
def test_cutouts_of_every_shape(served, made, ids, params, corner):
    answer = get(served, "soda/sync", ID=did(ids[0]), MASK="1", **params)
    assert answer.status_code == 200
    assert int(answer.headers["Content-Length"]) == len(answer.content)
    data, _, _ = in_file(made[1][ids[0]])
    mask = fits.getdata(str(made[1][ids[0]]).replace("sciimg", "mskimg"))
    with fits.open(io.BytesIO(answer.content)) as hdus:
        hdus.verify("exception")
        cut, bits, own = hdus[0].data, hdus["MSK"].data, hdus[0].header
        window = np.s_[own["STAMPY0"] : own["STAMPY0"] + cut.shape[0], own["STAMPX0"] : own["STAMPX0"] + cut.shape[1]]
        np.testing.assert_array_equal(cut, data[window])
        np.testing.assert_array_equal(bits, mask[window].astype(np.uint16))
        assert quietly(WCS, hdus["MSK"].header).wcs.crpix.tolist() == quietly(WCS, own).wcs.crpix.tolist()
        if corner is not None:
            assert cut.shape == corner
        else:
            assert 5 < min(cut.shape) <= max(cut.shape) < 40
            assert quietly(WCS, own).footprint_contains(SkyCoord(RA, DEC, unit="deg"))


@pytest.mark.parametrize(
    ("params", "status", "words"),
    [
        ({"CIRCLE": f"{RA + 1} {DEC} 0.01"}, 204, ""),
        ({"CIRCLE": f"{RA} {DEC} 0.01", "BAND": "1e-6 2e-6"}, 204, ""),
        ({"CIRCLE": f"{RA} {DEC} 0.01", "TIME": "0 100"}, 204, ""),
        ({"CIRCLE": f"{RA} {DEC} 0.01", "BAND": "4e-7 5e-7", "TIME": f"{NIGHT - 1} +Inf"}, 200, None),
        ({"CIRCLE": f"{RA} {DEC}"}, 400, "UsageFault: CIRCLE is"),
        ({"CIRCLE": f"{RA} 91 1"}, 400, "UsageFault: CIRCLE is '91'"),
        ({"CIRCLE": f"{RA} {DEC} -1"}, 400, "UsageFault: "),
        ({"CIRCLE": f"{RA} {DEC} nan"}, 400, "UsageFault: "),
        ({"POLYGON": "1 2 3 4"}, 400, "UsageFault: POLYGON is"),
        ({"POLYGON": "0 0 1 1 1 0 0 1"}, 400, "crosses itself"),
        ({"POS": "SQUARE 1 2 3"}, 400, "expected CIRCLE ra dec radius, RANGE"),
        ({"POS": "RANGE 5 2 1 2"}, 400, "ask for two ranges"),
        ({"CIRCLE": "1 2 3", "POS": "CIRCLE 1 2 3"}, 400, "2 shapes, expected one"),
        ({"CIRCLE": "1 2 3", "BAND": "2 1"}, 400, "the first number is above"),
        ({"ID": "ivo://ztfdb/image?77", "CIRCLE": "1 2 3"}, 404, "NotFoundFault: no image 77"),
        ({"ID": "ivo://elsewhere/x", "CIRCLE": "1 2 3"}, 404, "NotFoundFault: "),
        ({"ID": "", "CIRCLE": "1 2 3"}, 400, "UsageFault: ID is missing"),
    ],
)
def test_what_is_no_cutout_is_told(served, ids, params, status, words):
    answer = get(served, "soda/sync", **({"ID": did(ids[0])} | params))
    assert answer.status_code == status
    if words is not None:
        assert words in answer.text
        assert bool(answer.content) == bool(words)


@pytest.mark.parametrize(
    ("params", "codes"),
    [
        ({"POS": f"CIRCLE {RA} {DEC} 0.01"}, "gri"),
        ({"POS": f"CIRCLE {RA + 2} {DEC} 0.01"}, ""),
        ({"POS": [f"CIRCLE {RA + 2} {DEC} 0.01", f"CIRCLE {RA} {DEC} 0.01"]}, "gri"),
        ({"POS": f"RANGE {RA - 0.001} {RA + 0.001} {DEC - 0.001} {DEC + 0.001}"}, "gri"),
        ({"POS": f"RANGE -Inf +Inf {DEC} {DEC}"}, "gri"),
        ({"POS": f"RANGE {RA + 1} {RA + 2} -Inf +Inf"}, ""),
        ({"POS": f"POLYGON {RA - 1} {DEC - 1} {RA + 1} {DEC - 1} {RA} {DEC + 1}"}, "gri"),
        ({"BAND": "4.8e-7"}, "g"),
        ({"BAND": ["4.8e-7", "8e-7 9e-7"]}, "gi"),
        ({"BAND": "-Inf +Inf"}, "gri"),
        ({"BAND": "1e-6 +Inf"}, ""),
        ({"TIME": f"{NIGHT + 0.5} {NIGHT + 1.5}"}, "r"),
        ({"TIME": [f"-Inf {NIGHT + 0.5}", f"{NIGHT + 1.9} +Inf"]}, "gi"),
        ({"BAND": "4.8e-7", "TIME": f"{NIGHT + 0.5} {NIGHT + 1.5}"}, ""),
        ({"POL": "I"}, ""),
        ({"FOV": "0.01 0.2"}, "gri"),
        ({"FOV": "1 2"}, ""),
        ({"SPATRES": "0.5 5"}, "gri"),
        ({"SPECRP": "1 10"}, "gri"),
        ({"EXPTIME": "30"}, "gri"),
        ({"EXPTIME": "31 +Inf"}, ""),
        ({"TIMERES": "29 31"}, "gri"),
        ({"COLLECTION": "ZTF simulated"}, "gri"),
        ({"COLLECTION": "other' or '1'='1"}, ""),
        ({"FACILITY": "Palomar 48-inch", "INSTRUMENT": "ZTF"}, "gri"),
        ({"INSTRUMENT": ["other", "ZTF"]}, "gri"),
        ({"DPTYPE": "image"}, "gri"),
        ({"DPTYPE": "cube"}, ""),
        ({"CALIB": "2"}, "gri"),
        ({"CALIB": ["0", "3"]}, ""),
        ({"TARGET": "field 655"}, "gri"),
        ({"FORMAT": "application/fits"}, "gri"),
        ({"FORMAT": "image/jpeg"}, ""),
        ({"pos": f"circle {RA} {DEC} 0.01", "band": "4.8e-7"}, "g"),
    ],
)
def test_every_parameter_of_sia_chooses(served, rows, params, codes):
    answer = get(served, "sia2/query", **params)
    assert answer.status_code == 200, answer.text
    found = parse(io.BytesIO(answer.content), verify="exception").get_first_table().to_table()
    by_code = dict(zip("gri", rows["image_id"].tolist(), strict=True))
    assert found["image_id"].tolist() == [by_code[code] for code in codes]


def test_the_answer_of_sia_is_that_of_tap(served, rows, ids, tmp_path):
    table = check(get(served, "sia2/query", ID=did(ids[1])).content, tmp_path).get_first_table().to_table()
    assert table.colnames == list(rows.fieldnames)
    assert [str(value) for value in table[0]] == [str(value) for value in rows.to_table()[1]]
    posted = requests.post(f"{served.base}/sia2/query", data={"ID": did(ids[1])}, timeout=60)
    assert posted.status_code == 200
    cut = get(served, "sia2/query", MAXREC="1")
    assert b'value="OVERFLOW"' in cut.content
    assert get(served, "sia2/query", RESPONSEFORMAT="csv").text.startswith("dataproduct_type,")


def test_a_sia_of_no_rows_describes_itself(served, tmp_path):
    document = check(get(served, "sia2/query", MAXREC="0").content, tmp_path)
    assert len(document.get_first_table().array) == 0
    (own,) = [one for one in document.resources if one.ID == "sia"]
    names = {one.name for one in own.groups[0].entries}
    assert {"POS", "BAND", "TIME", "POL", "FOV", "SPATRES", "EXPTIME", "ID", "COLLECTION", "FACILITY", "INSTRUMENT",
            "DPTYPE", "CALIB", "TARGET", "TIMERES", "SPECRP", "FORMAT", "MAXREC"} <= names  # fmt: skip


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"POS": "CIRCLE 1 2"}, "POS is 'CIRCLE 1 2', expected CIRCLE"),
        ({"POS": "RANGE 1 2 3"}, "expected CIRCLE"),
        ({"BAND": "a b"}, "BAND is 'a', expected a number"),
        ({"TIME": "1 2 3"}, "expected two numbers"),
        ({"CALIB": "7"}, "expected 0 to 4"),
        ({"MAXREC": "-1"}, "MAXREC is -1"),
        ({"RESPONSEFORMAT": "pdf"}, "expected one of votable"),
    ],
)
def test_a_mistake_is_a_document_of_dali(served, params, words):
    answer = get(served, "sia2/query", **params)
    assert answer.status_code == 400
    (status,) = [one for one in parse(io.BytesIO(answer.content)).resources[0].infos if one.name == "QUERY_STATUS"]
    assert status.value == "ERROR" or words in str(status.value)
    assert words in answer.text.replace("&#39;", "'").replace("&apos;", "'").replace("&lt;", "<")


def test_each_service_says_what_it_is(served):
    for path, standard in (("sia2", "SIA#query-2.0"), ("datalink", "DataLink#links-1.1"), ("soda", "SODA#sync-1.0")):
        text = get(served, f"{path}/capabilities").text
        assert f"ivo://ivoa.net/std/{standard}" in text and served.base in text
        assert "<vosi:available>true" in get(served, f"{path}/availability").text
    assert SodaQuery(f"{served.base}/soda/sync").baseurl


def test_the_examples_of_the_page_run(served, made, ids):
    page = (Path(__file__).parents[2] / "docs" / "service.md").read_text(encoding="utf-8")
    page = page.replace("http://127.0.0.1:8000", served.base).replace("58.0029", str(RA)).replace("35.7365", str(DEC))
    page = "".join(part for part in page.split("\n## ") if part.startswith(("TAP", "Images", "Light curves as")))
    names: dict = {}
    for text in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(text, names)
    assert len(names["images"]) == 3
    assert len(names["cutouts"]) == 2
    assert len(names["series"]) == 3
    for content in names["cutouts"]:
        with fits.open(io.BytesIO(content)) as hdus:
            assert hdus[0].data.size > 300


@pytest.mark.parametrize(
    ("params", "options"),
    [
        ({}, {}),
        ({"RADIUS": "3", "FILTER": "zg,zr"}, {"radius": 3.0, "filters": ["zg", "zr"]}),
        ({"COMPLETE": "1", "BJD": "1", "MEASURE": "forced"}, {"complete": True, "bjd": True, "measure": "forced"}),
        ({"COMPLETE": "true", "GOOD": "1", "FILTERS": "r"}, {"complete": True, "good": True, "filters": "r"}),
        ({"TIME": f"{NIGHT + 0.5} +Inf"}, {"mjd": (NIGHT + 0.5, None)}),
        ({"APERTURE": "5", "COLOR": "0.5"}, {"aperture": 5, "color": 0.5}),
        ({"PMRA": "10", "PMDEC": "-5", "EPOCH": "2016"}, {"pmra": 10.0, "pmdec": -5.0, "epoch": 2016.0}),
        ({"FIELDS": "655"}, {"fields": 655}),
    ],
)
def test_a_time_series_is_the_archives_light_curve(served, made, tmp_path, params, options):
    answer = get(served, "lightcurve", RA=RA, DEC=DEC, **params)
    assert answer.status_code == 200, answer.text
    read = check if "BJD" in params else read_votable
    document = read(answer.content, tmp_path)
    with ztfdb.open(made[0], read_only=True) as archive:
        keep = {"keep": False} if "complete" in options else {}
        truth = archive.light_curve(RA, DEC, **options, **keep).to_pandas()
    assert len(truth) > 0
    table = document.get_first_table().to_table()
    assert table.colnames == list(truth.columns)
    for name in truth.columns:
        missing = truth[name].isna().to_numpy()
        column = table[name]
        masked = np.ma.getmaskarray(column) | np.array([value != value or value == "" for value in np.asarray(column)])
        assert (masked == missing).all(), name
        if name != "path":
            assert column[~missing].tolist() == truth[name][~missing].tolist(), name
    circle = get(served, "lightcurve", POS=f"CIRCLE {RA} {DEC} {options.get('radius', 1.5) / 3600}", **params)
    again = parse(io.BytesIO(circle.content), verify="exception").get_first_table().to_table()
    assert again["image_id"].tolist() == table["image_id"].tolist()


def test_a_time_series_says_what_its_times_and_magnitudes_are(served):
    content = get(served, "lightcurve", RA=RA, DEC=DEC, COMPLETE="1").content
    document = parse(io.BytesIO(content), verify="exception")
    table = document.get_first_table()
    systems = {one.ID: one for one in document.iter_timesys()}
    fields = {field.name: field for field in table.fields}
    mjd, hjd = systems[fields["mjd"].ref], systems[fields["hjd"].ref]
    assert (mjd.timescale, mjd.refposition, mjd.timeorigin) == ("UTC", "TOPOCENTER", "MJD-origin")
    assert (hjd.timescale, hjd.refposition, hjd.timeorigin) == ("UTC", "HELIOCENTER", "JD-origin")
    assert (str(fields["mjd"].unit), str(fields["flux_ujy"].unit)) == ("d", "uJy")
    assert fields["ra"].ref == "ICRS"
    assert fields["mag"].ucd == "phot.mag;meta.main"
    groups = {one.name: one for one in table.groups}
    assert sorted(groups) == ["photcal_zg", "photcal_zi", "photcal_zr"]
    facts = {entry.name: entry.value for entry in groups["photcal_zr"].entries if hasattr(entry, "value")}
    assert (facts["magnitudeSystem"], facts["zeroPointFlux"], facts["filtercode"]) == ("AB", 3631.0, "zr")
    refs = [entry.ref for entry in groups["photcal_zr"].entries if not hasattr(entry, "value")]
    assert refs == ["mag", "magerr", "limitmag"]


def test_a_light_curve_of_nothing_has_its_columns_and_says_why(served, made):
    document = parse(io.BytesIO(get(served, "lightcurve", RA=RA + 1, DEC=DEC).content), verify="exception")
    assert len(document.get_first_table().array) == 0
    (hint,) = [one.value for one in document.resources[0].infos if one.name == "hint"]
    assert hint
    text = get(served, "lightcurve", RA=RA, DEC=DEC, RESPONSEFORMAT="csv").text
    assert text.startswith("oid,expid,hjd,mjd,mag,magerr")
    assert b"OVERFLOW" in get(served, "lightcurve", RA=RA, DEC=DEC, MAXREC="1").content


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({}, "no position"),
        ({"RA": "1"}, "no position"),
        ({"RA": "1", "DEC": "91"}, "DEC is"),
        ({"POS": "POLYGON 1 2 3 4 5 6"}, "expected one position"),
        ({"POS": "CIRCLE 1 2 3"}, "600"),
        ({"RA": "1", "DEC": "2", "FILTER": "zx"}, "zx"),
        ({"RA": "1", "DEC": "2", "COMPLETE": "maybe"}, "expected one of"),
        ({"RA": "1", "DEC": "2", "CALIBRATION": "none"}, "calibration"),
        ({"RA": "1", "DEC": "2", "APERTURE": "7"}, "APERTURE is 7, expected 1..6"),
        ({"RA": "1", "DEC": "2", "TIME": ["1 2", "3 4"]}, "expected one"),
    ],
)
def test_what_is_no_light_curve_is_told(served, params, words):
    answer = get(served, "lightcurve", **params)
    assert answer.status_code == 400
    assert words in answer.text
    parse(io.BytesIO(answer.content))


def test_more_values_than_are_taken_are_told(served):
    answer = requests.post(
        f"{served.base}/sia2/query", data=[("POS", f"CIRCLE {k} 1 1") for k in range(101)], timeout=60
    )
    assert answer.status_code == 413
    assert "POS is given 101 times, at most 100" in answer.text
    most = requests.post(
        f"{served.base}/sia2/query", data=[("POS", f"CIRCLE {RA + k} {DEC} 1") for k in range(100)], timeout=60
    )
    assert most.status_code == 200
    assert len(parse(io.BytesIO(most.content)).get_first_table().array) == 3
