"""Stamps of ingested images against astropy's cutouts of the same files, on both engines."""

from __future__ import annotations

import functools
import gzip
import http.server
import os
import threading
import warnings
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.nddata import Cutout2D
from astropy.time import Time
from astropy.wcs import WCS
from matplotlib.patches import Circle
from PIL import Image

import ztfdb
from tests.support.integers import read_by_astropy, store_as_integers
from tests.support.postgres import ENGINES
from ztfdb.errors import FileChangedError, FileMissingError, QueryError, StampError, UnknownImageError
from ztfdb.plot import draw_light_curve_with_stamps
from ztfdb.query import stamps as query_stamps
from ztfdb.query.stamps import StampSeries
from ztfdb.simulate import make_science_image
from ztfdb.stamps import cut
from ztfdb.store import image_pixels

NIGHT = 59116.4317708
RA, DEC = 57.9974032715, 35.74628707041
EDGE = (RA + 0.0255, DEC)  # 2 px from the image's first column
OUTSIDE = (RA + 0.5, DEC)


@pytest.fixture
def seen(archive, tmp_path):
    """Four exposures of one star: plain, packed, in tiles, and without a mask."""
    stars = ([RA], [DEC], [17.0])
    for number in range(4):
        made = make_science_image(
            tmp_path / "night", sky_stars=stars, seed=number, shape=(140, 150), obsmjd=NIGHT + number, mask=number != 3
        )
        for path in (made.sci, made.msk):
            if number == 1:
                Path(f"{path}.gz").write_bytes(gzip.compress(path.read_bytes(), 1))
                path.unlink()
            if number == 2:
                data, header = fits.getdata(path), fits.getheader(path)
                tiles = fits.CompImageHDU(data, header, compression_type="GZIP_2", quantize_level=0.0)
                fits.HDUList([fits.PrimaryHDU(), tiles]).writeto(f"{path}.fz")
                path.unlink()
    archive.ingest(tmp_path / "night")
    return archive


def by_astropy(path, ra, dec, size):
    hdu = 1 if path.endswith(".fz") else 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data, header = fits.getdata(path, hdu), fits.getheader(path, hdu)
        position = SkyCoord(ra * u.deg, dec * u.deg)
        return Cutout2D(data.astype(float), position, size, wcs=WCS(header), mode="partial", fill_value=np.nan)


@pytest.mark.parametrize("size", [1, 22, 23, 60])
@pytest.mark.parametrize("place", [(RA, DEC), EDGE])
def test_stamps_are_the_pixels_astropy_cuts(seen, place, size):
    series = seen.stamps(*place, size=size)
    assert len(series) == 4
    assert series.to_pandas()["image_id"].tolist() == seen.images(*place)["image_id"].tolist()
    for stamp in series:
        path = stamp.facts["path"]
        truth = by_astropy(path, *place, size if size % 2 else size + 1)
        want = truth.data if size % 2 else truth.data[:-1, :-1]
        np.testing.assert_array_equal(stamp.data, want)
        ra, dec = stamp.wcs.all_pix2world(stamp.xref, stamp.yref, 0)
        assert SkyCoord(ra * u.deg, dec * u.deg).separation(SkyCoord(*place, unit="deg")).arcsec < 1e-6
        assert stamp.radius == 3.0
        if path.endswith("01431770_000655_zr_c13_o_q3_sciimg.fits"):
            assert stamp.mask is None
        elif stamp.mask is not None:
            bits = by_astropy(path.replace("sciimg", "mskimg"), *place, size if size % 2 else size + 1).data
            bits = np.nan_to_num(bits if size % 2 else bits[:-1, :-1])
            np.testing.assert_array_equal(stamp.mask, bits)
    assert [stamp.mask is None for stamp in series] == [False, False, False, True]


def test_a_stamp_prints_as_one_line(seen):
    stamp = seen.stamps(RA, DEC)[0]
    where = f"({RA:.6f}, {DEC:+.6f}) deg on image {stamp.image_id}"
    assert repr(stamp) == f"<ImageStamp of {where}: 23 x 23 px, ok>"


def test_what_lies_off_the_image_is_nan_and_bad(seen):
    stamp = seen.stamps(*EDGE)[0]
    outside = np.arange(23) + stamp.x0 < 0
    assert outside.any()
    assert np.isnan(stamp.data[:, outside]).all()
    assert np.isfinite(stamp.data[:, ~outside]).all()
    assert stamp.bad[:, outside].all()
    assert not stamp.mask[:, outside].any()


def test_one_image_gives_many_stamps_and_says_what_lies_off(seen):
    image_id = int(seen.images(RA, DEC)["image_id"][0])
    table = pd.DataFrame({"ra": [RA, EDGE[0], OUTSIDE[0], RA + 180.0], "dec": [DEC, EDGE[1], OUTSIDE[1], -DEC]})
    series = seen.stamps_on_image(table, image_id=image_id)
    assert series.to_pandas()["status"].tolist() == ["ok", "ok", "off the image", "off the image"]
    assert np.isnan(series[2].data).all()
    np.testing.assert_array_equal(series[0].data, seen.stamps(RA, DEC)[0].data)
    np.testing.assert_array_equal(series[0].data, seen.stamp(RA, DEC, image_id=image_id).data)
    with pytest.raises(StampError, match="outside"):
        seen.stamp(*OUTSIDE, image_id=image_id)
    with pytest.raises(UnknownImageError):
        seen.stamp(RA, DEC, image_id=5)


def test_stamps_of_a_table_are_those_of_each_position(seen, monkeypatch):
    opened = []
    real = cut.open_pixels
    monkeypatch.setattr(cut, "open_pixels", lambda image, facts: opened.append(facts.path) or real(image, facts))
    table = pd.DataFrame({"ra": [RA, OUTSIDE[0], EDGE[0], RA], "dec": [DEC, OUTSIDE[1], EDGE[1], DEC + 0.003]})
    for options in ({}, {"north_up": True, "size": 30}, {"filters": "zr", "calibration": "header"}):
        opened.clear()
        series = seen.stamps_at(table, **options)
        assert len(opened) == len(set(opened))
        frame = series.to_pandas()
        assert frame["position"].tolist() == sorted(frame["position"])
        for k, (ra, dec) in enumerate(zip(table["ra"], table["dec"], strict=True)):
            alone = seen.stamps(ra, dec, **options) if k != 1 else []
            some = [stamp for stamp in series if stamp.facts["position"] == k]
            assert len(some) == len(alone)
            for one, other in zip(some, alone, strict=True):
                assert (one.image_id, one.x0, one.y0, one.status) == (other.image_id, other.x0, other.y0, other.status)
                assert one.facts == other.facts | {"position": k}
                np.testing.assert_array_equal(one.data, other.data)
                np.testing.assert_array_equal(one.mask, other.mask)
    assert [hdu.header["POSITION"] for hdu in series[0].to_hdus()] == [0] * (1 + (series[0].mask is not None))


def test_a_table_with_too_many_stamps_is_refused(seen, monkeypatch):
    monkeypatch.setattr(query_stamps, "MOST_PIXELS", 4 * 23**2)
    assert len(seen.stamps_at({"ra": [RA], "dec": [DEC]})) == 4
    with pytest.raises(QueryError, match="8 stamps of 23 pixels"):
        seen.stamps_at({"ra": [RA, RA], "dec": [DEC, DEC]})


def test_north_is_up_and_east_is_left(seen):
    for stamp in seen.stamps(RA, DEC, north_up=True):
        (ra, _), (right, up) = (
            stamp.wcs.all_pix2world([stamp.xref, stamp.xref + 1], [stamp.yref, stamp.yref], 0),
            (
                stamp.wcs.all_pix2world(stamp.xref + 1, stamp.yref, 0),
                stamp.wcs.all_pix2world(stamp.xref, stamp.yref + 1, 0),
            ),
        )
        assert ra[0] == pytest.approx(RA, abs=1e-9)
        assert right[0] < RA
        assert up[1] > DEC
    plain, turned = seen.stamps(RA, DEC)[0], seen.stamps(RA, DEC, north_up=True)[0]
    np.testing.assert_array_equal(turned.data, plain.data[::-1])
    np.testing.assert_array_equal(turned.mask, plain.mask[::-1])
    assert plain.data[round(plain.yref), round(plain.xref)] == turned.data[round(turned.yref), round(turned.xref)]


def test_missing_and_changed_files_are_a_status_never_wrong_pixels(seen):
    table = seen.stamps(RA, DEC).to_pandas()
    paths = [Path(path) for path in table["path"]]
    paths[0].unlink()
    content = bytearray(paths[3].read_bytes())
    content[-5000] ^= 1
    paths[3].write_bytes(content)
    os.utime(paths[1], ns=(7, 7))
    mask = Path(str(paths[2]).replace("sciimg", "mskimg"))
    mask.write_bytes(mask.read_bytes()[:-1])
    series = seen.stamps(RA, DEC)
    assert series.to_pandas()["status"].tolist() == ["file missing", "ok", "file changed", "file changed"]
    assert np.isnan(series.data[[0, 2, 3]]).all()
    assert np.isfinite(series[1].data).all()
    for number, error in ((0, FileMissingError), (3, FileChangedError)):
        with pytest.raises(error):
            seen.stamp(RA, DEC, image_id=int(table["image_id"][number]))


def test_fits_files_hold_every_stamp_with_its_wcs(seen, tmp_path):
    series = seen.stamps(RA, DEC)
    series.write_fits(tmp_path / "stamps.fits")
    with fits.open(tmp_path / "stamps.fits") as hdus:
        assert hdus[0].header["NSTAMP"] == 4
        assert [(h.name, h.ver) for h in hdus[1:]] == [
            (name, k) for k in (1, 2, 3, 4) for name in ("SCI", "MSK") if (name, k) != ("MSK", 4)
        ]
        for number, stamp in enumerate(series, start=1):
            header = hdus["SCI", number].header
            np.testing.assert_array_equal(hdus["SCI", number].data, stamp.data)
            assert header["IMAGEID"] == stamp.image_id
            ra, dec = WCS(header).all_pix2world(header["TARGX"], header["TARGY"], 0)
            assert (float(ra), float(dec)) == pytest.approx((RA, DEC), abs=1e-9)
        np.testing.assert_array_equal(hdus["MSK", 1].data, series[0].mask)


def test_a_contact_sheet_shows_every_stamp_and_every_gap(seen):
    Path(seen.stamps(RA, DEC)[0].facts["path"]).unlink()
    figure = seen.stamps(RA, DEC).plot(columns=3)
    drawn = [ax for ax in figure.axes if ax.axison]
    assert len(drawn) == 4
    assert drawn[0].texts[0].get_text() == "file\nmissing"
    circles = [patch for patch in drawn[1].patches if isinstance(patch, Circle)]
    assert len(circles) == 1
    day = Time(NIGHT + 1, format="mjd").isot[:10]
    assert drawn[1].get_title() == f"r  {day}\nMJD {NIGHT + 1:.3f}\nsimulated"
    assert f"RA {RA:.5f}°, Dec {DEC:+.5f}°" in figure.get_suptitle()


def test_north_east_and_the_scale_bar_are_those_of_the_wcs(seen):
    stamp = seen.stamps(RA, DEC)[1]
    for one in (stamp, stamp.turned_north()):
        (ax,) = [ax for ax in StampSeries([one]).plot().axes if ax.axison]
        texts = {text.get_text(): text for text in ax.texts if text.get_text()}
        arrows = [text for text in ax.texts if not text.get_text()]
        for arrow, letter, step in zip(arrows, "NE", ((0.0, 1e-3), (1e-3 / np.cos(np.radians(DEC)), 0.0)), strict=True):
            ahead = one.wcs.all_world2pix(RA + step[0], DEC + step[1], 0)
            wanted = np.array(ahead, float).ravel() - (one.xref, one.yref)
            shown = np.subtract(arrow.xy, arrow.xyann)
            cosine = wanted @ shown / np.hypot(*wanted) / np.hypot(*shown)
            assert cosine > 0.99999
            assert np.hypot(*np.subtract(texts[letter].get_position(), arrow.xy)) < 0.15 * max(one.shape)
        (bar,) = [line for line in ax.lines if len(line.get_xdata()) == 2]
        ends = SkyCoord(*one.wcs.all_pix2world(bar.get_xdata(), bar.get_ydata(), 0), unit="deg")
        length = next(name for name in texts if name.endswith("″"))
        # the bar is as long as the scale at the stamp's centre makes it; the distortion across 10″ is below 0.1 %
        assert ends[0].separation(ends[1]).arcsec == pytest.approx(float(length[:-1]), rel=1e-3)


def test_a_gif_shows_every_stamp(seen, tmp_path):
    series = seen.stamps(RA, DEC)
    series.write_gif(tmp_path / "blink.gif", fps=2)
    with Image.open(tmp_path / "blink.gif") as picture:
        assert (picture.format, picture.n_frames) == ("GIF", len(series))
        assert picture.info["duration"] == 500
    with pytest.raises(ValueError, match="no stamp"):
        StampSeries([]).write_gif(tmp_path / "none.gif")
    with pytest.raises(ValueError, match="positive"):
        series.write_gif(tmp_path / "none.gif", fps=0)


def test_a_strip_says_how_many_stamps_it_shows(seen):
    curve, series = seen.light_curve(RA, DEC), list(seen.stamps(RA, DEC))
    words = draw_light_curve_with_stamps(curve.data, series * 36)._supxlabel.get_text()
    assert words == f"12 of {36 * len(series)} stamps shown, evenly spaced in their order"
    assert draw_light_curve_with_stamps(curve.data, series)._supxlabel is None
    Path(series[0].facts["path"]).unlink()
    short = list(seen.stamps(RA, DEC))
    words = draw_light_curve_with_stamps(curve.data, short)._supxlabel.get_text()
    assert words == f"{len(series) - 1} of {len(series)} stamps shown; 1 without pixels"


def test_stamps_follow_a_moving_target(seen):
    year = 1000.0 * 365.25  # mas / yr of one arcsec a day
    epoch = 2000.0 + (NIGHT + 15.0 / 86400.0 - 51544.5) / 365.25
    series = seen.stamps(RA, DEC, pmra=0.0, pmdec=10.0 * year, epoch=epoch)
    for number, stamp in enumerate(series):
        assert stamp.dec == pytest.approx(DEC + number * 10.0 / 3600.0, abs=1e-7)
    path = {"time": [NIGHT - 1, NIGHT + 5], "ra": [RA, RA], "dec": [DEC - 10 / 3600, DEC + 50 / 3600]}
    for one, other in zip(seen.stamps_on_path(path), series, strict=True):
        assert (one.x0, one.y0) == (other.x0, other.y0)


def test_wrong_sizes_are_refused(seen):
    for size in (0, 2.5, 10**6):
        with pytest.raises(ValueError, match=r"size|stamp of"):
            seen.stamps(RA, DEC, size=size)
    assert len(seen.stamps(*OUTSIDE)) == 0
    assert seen.stamps(*OUTSIDE).to_pandas().empty
    assert seen.stamps(*OUTSIDE).data.size == 0


def test_both_engines_cut_alike(both_urls, tmp_path):
    make_science_image(tmp_path, n_star=20, seed=1, shape=(140, 150), obsmjd=NIGHT)
    answers = []
    for name in ENGINES:
        with ztfdb.open(both_urls[name], create=True) as archive:
            archive.ingest(tmp_path)
            answers.append(archive.stamps(RA, DEC))
    np.testing.assert_array_equal(answers[0].data, answers[1].data)
    pd.testing.assert_frame_equal(answers[0].to_pandas(), answers[1].to_pandas())


class RangeHandler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, and byte ranges of its files."""

    asked: ClassVar[list[str]] = []

    def do_GET(self):
        content = (Path(self.directory) / self.path.lstrip("/")).read_bytes() if self._there() else None
        if content is None:
            self.send_error(404)
            return
        first, last = (int(v) for v in self.headers["Range"].removeprefix("bytes=").split("-"))
        part = content[first : last + 1]
        self.asked.append(self.headers["Range"])
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{first + len(part) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)

    def log_message(self, *words):
        pass

    def _there(self):
        return (Path(self.directory) / self.path.lstrip("/")).is_file()


@pytest.fixture
def web(tmp_path):
    handler = functools.partial(RangeHandler, directory=str(tmp_path / "night"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_files_on_the_web_are_read_by_byte_ranges(seen, web):
    here = seen.stamps(RA, DEC)
    forced = seen.light_curve(RA + 0.004, DEC, complete=True, keep=False)
    seen.relocate(seen.status()["roots"][0]["name"], web)
    RangeHandler.asked.clear()
    there = seen.stamps(RA, DEC)
    np.testing.assert_array_equal(there.data, here.data)
    assert there.to_pandas()["status"].tolist() == ["ok"] * 4
    assert there[0].facts["path"].startswith("http://")
    assert max(np.ptp([int(v) for v in asked[6:].split("-")]) for asked in RangeHandler.asked[:4]) < 40_000
    again = seen.light_curve(RA + 0.004, DEC, complete=True, keep=False)
    pd.testing.assert_frame_equal(forced.data, again.data)
    assert seen.verify(hashes=True).empty


@pytest.fixture
def integers(archive, tmp_path):
    """Three exposures of one star, with pixels of 16 bits: with BLANK, without, and in an extension."""
    for number in range(3):
        stars = ([RA], [DEC], [17.0])
        made = make_science_image(
            tmp_path / "night", sky_stars=stars, seed=number, shape=(140, 150), obsmjd=NIGHT + number
        )
        store_as_integers(made.sci, 16, blank=number == 0, extension=number == 2)
    archive.ingest(tmp_path / "night")
    return archive


def test_stamps_of_integers_are_the_pixels_astropy_reads(integers, web):
    here = integers.stamps(RA, DEC, size=40)
    assert len(here) == 3
    for stamp in here:
        truth = read_by_astropy(Path(stamp.facts["path"]))
        rows, cols = (slice(first, first + 40) for first in (stamp.y0, stamp.x0))
        assert stamp.data.dtype == np.float32
        np.testing.assert_array_equal(stamp.data, truth[rows, cols])
    assert np.isnan(here[0].data).any()
    assert np.isfinite(here.data[1:]).all()
    integers.relocate(integers.status()["roots"][0]["name"], web)
    RangeHandler.asked.clear()
    np.testing.assert_array_equal(integers.stamps(RA, DEC, size=40).data, here.data)
    sizes = [np.ptp([int(v) for v in asked[6:].split("-")]) + 1 for asked in RangeHandler.asked]
    assert sum(size >= 140 * 150 * 2 for size in sizes) == 1  # only the image in an extension is fetched whole


def test_forced_light_on_integers_is_that_on_the_same_pixels_as_floats(integers, tmp_path, web):
    places = {"ra": [RA + 0.004, RA - 0.006], "dec": [DEC, DEC + 0.005]}
    found = integers.light_curves(places, complete=True, measure="forced", keep=False)
    assert len(found) == 6
    with ztfdb.open(f"sqlite:///{tmp_path / 'floats.db'}", create=True) as floats:
        for path in sorted((tmp_path / "night").glob("*.fits")):
            copy = tmp_path / "floats" / path.name
            copy.parent.mkdir(exist_ok=True)
            header = fits.getheader(path, -1)
            for keyword in ("BSCALE", "BZERO", "BLANK"):
                header.remove(keyword, ignore_missing=True)
            pixels = fits.getdata(path) if "msk" in path.name else read_by_astropy(path)
            fits.PrimaryHDU(pixels, header).writeto(copy, output_verify="silentfix")
        floats.ingest(tmp_path / "floats")
        same = floats.light_curves(places, complete=True, measure="forced")
    pd.testing.assert_frame_equal(found, same)
    integers.relocate(integers.status()["roots"][0]["name"], web)
    again = integers.light_curves(places, complete=True, measure="forced", keep=False)
    pd.testing.assert_frame_equal(found, again)


def test_other_files_on_the_web_are_a_status(seen, web, tmp_path):
    paths = [Path(path) for path in seen.stamps(RA, DEC).to_pandas()["path"]]
    seen.relocate(seen.status()["roots"][0]["name"], web)
    paths[0].unlink()
    content = paths[3].read_bytes()
    paths[3].write_bytes(content.replace(b"AIRMASS =                1.018", b"AIRMASS =                1.019"))
    assert paths[3].read_bytes() != content
    packed = bytearray(paths[1].read_bytes())
    packed[-20] ^= 1
    paths[1].write_bytes(packed)
    status = seen.stamps(RA, DEC).to_pandas()["status"].tolist()
    assert status == ["file missing", "file changed", "ok", "file changed"]


def test_any_file_system_of_fsspec_serves(seen, tmp_path):
    fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed (extra 'remote')")
    here = seen.stamps(RA, DEC)
    memory = fsspec.filesystem("memory")
    for path in (tmp_path / "night").iterdir():
        memory.pipe_file(f"/ztf/{path.name}", path.read_bytes())
    seen.relocate(seen.status()["roots"][0]["name"], "memory://ztf")
    np.testing.assert_array_equal(seen.stamps(RA, DEC).data, here.data)
    memory.rm("/ztf", recursive=True)
    assert set(seen.stamps(RA, DEC).to_pandas()["status"]) == {"file missing"}


def test_where_pixels_are_is_remembered_until_anybody_commits(seen, tmp_path):
    before = seen.stamps(RA, DEC)
    assert [stamp.status for stamp in before] == ["ok"] * 4
    root = seen.status()["roots"][0]
    (tmp_path / "elsewhere").mkdir()
    with ztfdb.open(seen.url) as other:
        other.relocate(root["name"], tmp_path / "elsewhere")
    assert [stamp.status for stamp in seen.stamps(RA, DEC)] == ["file missing"] * 4
    here = seen.stamps(RA, DEC, places={root["name"]: root["path"]})
    assert [stamp.status for stamp in here] == ["ok"] * 4
    assert [stamp.status for stamp in seen.stamps(RA, DEC)] == ["file missing"] * 4
    seen.relocate(root["name"], root["path"])
    np.testing.assert_array_equal(seen.stamps(RA, DEC).data, before.data)


def test_more_images_than_are_remembered(seen, monkeypatch):
    before = seen.stamps(RA, DEC)
    monkeypatch.setattr(image_pixels, "MOST_REMEMBERED", 3)
    with ztfdb.open(seen.url) as archive:
        for _ in range(2):
            np.testing.assert_array_equal(archive.stamps(RA, DEC).data, before.data)
        for stamp in before:
            assert archive.stamp(RA, DEC, image_id=stamp.image_id).status == "ok"
