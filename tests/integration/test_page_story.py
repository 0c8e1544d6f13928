"""The page on the archive of ``ztfdb demo`` and on one of 300 epochs: what its readers do, from typing to files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from astropy.table import Table
from PIL import Image

requests = pytest.importorskip("requests", reason="the extra vo, which brings requests, is not installed")
pytest.importorskip("fastapi", reason="the extra serve is not installed")
pytest.importorskip("playwright.sync_api", reason="playwright, of the group oracles, is not installed")

import ztfdb  # noqa: E402
from tests.support.browsing import NEEDS_CHROMIUM, drawn, fresh_page, place_of, ready, show, state, view  # noqa: E402
from tests.support.postgres import ENGINES  # noqa: E402
from tests.support.serving import Serving, reader_url  # noqa: E402
from tests.support.variables import make_variable  # noqa: E402
from ztfdb.demo import build_demo  # noqa: E402

pytestmark = NEEDS_CHROMIUM

DEEP = 300


@pytest.fixture(scope="module")
def nights(tmp_path_factory, quadrant):
    """What both archives are made of: images by name, and where their variable is; both are painted once."""
    folder = tmp_path_factory.mktemp("story")
    demo = build_demo(folder / "demo", quadrant[0])
    deep = make_variable(folder / "deep", DEEP, shape=(96, 100), n_star=10)
    return {
        "demo": ([quadrant[0], folder / "demo" / "simulated"], (demo.ra, demo.dec), demo.database),
        "deep": ([folder / "deep" / "images"], (deep.ra, deep.dec), None),
    }


@pytest.fixture(scope="module", params=["demo", "deep"])
def night(request, nights):
    return nights[request.param]


@pytest.fixture(scope="module", params=ENGINES)
def held(request, night, databases):
    """URL of an archive with objects, and where its variable is."""
    images, place, made = night
    own = request.param == "sqlite" and made is not None
    url = f"sqlite:///{made}" if own else databases.migrated(request.param)
    with ztfdb.open(url, create=True) as archive:
        for one in [] if own else images:
            assert archive.ingest(one).failed == 0
        archive.build_objects()
    yield reader_url(url), tuple(round(one, 6) for one in place)
    if not own:
        databases.drop(url)


@pytest.fixture(scope="module")
def curve(held, local) -> pd.DataFrame:
    """The rows that the page is to show, by image."""
    return by_image(local.light_curve(*held[1], complete=True).data)


def by_image(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.set_index(frame["image_id"].astype(str).rename("key"))


def typed(held) -> str:
    return f"{held[1][0]} {held[1][1]}"


def heights(rows: pd.DataFrame) -> pd.Series:
    """Where a point is drawn: at its magnitude, a limit at its limit."""
    return rows["mag"].where(rows["kind"] != "limit", rows["upper_limit_mag"])


def same_points(seen: pd.DataFrame, rows: pd.DataFrame) -> None:
    """What is drawn is these rows, to the last bit."""
    assert len(seen) == len(rows) and set(seen.index) == set(rows.index)
    rows = rows.loc[seen.index]
    assert seen["kind"].tolist() == rows["kind"].astype(str).tolist()
    np.testing.assert_array_equal(seen["x"], rows["mjd"])
    np.testing.assert_array_equal(seen["y"].astype(float), heights(rows))


def test_typing_clicking_and_what_is_drawn(page, served, held, local, curve):
    show(page, served, typed(held))
    same_points(drawn(page), curve)
    assert len(curve) in (9, DEEP) and (curve["kind"] == "detection").sum() > 0.9 * len(curve)
    row = curve.iloc[len(curve) // 2]
    at = place_of(page, row.name)
    page.mouse.click(at["x"], at["y"])
    page.wait_for_selector("#epoch canvas[data-image]")
    chosen = curve.loc[state(page, "e")]  # of 300 points, another may lie upon it
    assert abs(chosen["mjd"] - row["mjd"]) < 0.02 * np.ptp(curve["mjd"])
    assert f"{chosen['mag']:.3f} ± {chosen['magerr']:.3f}" in page.inner_text("#epoch")
    page.click("#explain summary")
    page.wait_for_selector("#explain td")
    cells = page.locator("#explain tbody tr").evaluate_all(
        "all => all.map(one => [...one.cells].map(c => c.innerText))"
    )
    truth = local.explain(int(chosen["source_id"]), measure=False).values
    assert [one[0] for one in cells] == truth["column"].tolist()
    stored = dict(zip(truth["column"], truth["stored"], strict=True))
    for name in ("x", "y", "ra", "dec", "flux_aper4", "flux_aper4_err"):
        assert float(dict(cells)[name]) == stored[name]
    page.click("#explain button")
    page.wait_for_selector("text=every column is the same, bit for bit")


def test_filters_kinds_thresholds_fluxes_and_phases(page, served, held, curve):
    show(page, served, typed(held))
    page.uncheck("[data-toggle=zg]")
    same_points(drawn(page), curve[curve["filtercode"] != "zg"])
    page.check("[data-toggle=zg]")
    page.select_option("#y", "ujy")
    seen = drawn(page)
    np.testing.assert_array_equal(seen["y"].astype(float), curve["flux_ujy"].loc[seen.index])
    page.select_option("#y", "mag")
    bar = float(curve["snr"].median())
    page.fill("#sn", repr(bar))
    seen = drawn(page)
    below = curve["flux_ujy"] / curve["flux_ujy_err"] < bar
    assert 0 < below.sum() < len(curve)
    assert set(seen.index[seen["kind"] == "limit"]) == set(curve.index[below])
    limits = 23.9 - 2.5 * np.log10(max(5.0, bar) * curve["flux_ujy_err"][below])
    np.testing.assert_allclose(seen["y"][limits.index].astype(float), limits, rtol=1e-12)
    page.fill("#sn", "")
    page.select_option("#x", "phase")
    page.fill("#period", "0.61843")
    page.fill("#t0", "59000.5")
    seen = drawn(page)
    assert len(seen) == 2 * len(curve)
    phase = ((curve["hjd"] - 2400000.5 - 59000.5) / 0.61843) % 1.0
    # 1e-8: the quotient is about 1e5, of which a double holds 1e-11, and times of 2.4e6 d hold 5e-10 d
    apart = (seen["x"].to_numpy() - phase.loc[seen.index].to_numpy() + 0.5) % 1.0 - 0.5
    np.testing.assert_allclose(apart, 0.0, atol=1e-8)


def test_zooming_panning_and_back(page, served, held):
    show(page, served, typed(held))
    box = page.locator("#plot").bounding_box()
    page.mouse.move(box["x"] + 150, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 500, box["y"] + 250, steps=3)
    page.mouse.up()
    first = view(page)
    drag(page, box, 80, 30)
    second = view(page)
    assert second[1] - second[0] == pytest.approx(first[1] - first[0])
    assert second[0] < first[0] and second[2] - first[2] == pytest.approx(second[3] - first[3])
    # what was moved as a picture is where it is when drawn anew: at whole pixels, so within one of it
    plot = page.locator("#plot")
    before = page.evaluate("() => document.getElementById('plot').toDataURL()")
    plot.evaluate("one => { one.style.height = '430px'; }")
    page.wait_for_timeout(200)
    plot.evaluate("one => { one.style.height = ''; }")
    page.wait_for_function("() => document.getElementById('plot').clientHeight !== 430")
    page.wait_for_timeout(200)
    page.mouse.move(5, 5)
    page.wait_for_timeout(200)
    assert page.evaluate("() => document.getElementById('plot').toDataURL()") == before
    left = state(page, "view").split(",")[0]
    page.mouse.move(box["x"] + 300, box["y"] + 150)
    page.mouse.wheel(0, -100)
    page.wait_for_function("before => !location.search.includes(before)", arg=left)
    for expected in (second, first):
        page.click("#back")
        assert view(page) == expected
    page.click("#whole")
    assert "view=" not in page.evaluate("location.search")


def drag(page, box, dx: float, dy: float) -> None:
    """Pan."""
    page.keyboard.down("Shift")
    page.mouse.move(box["x"] + 300, box["y"] + 150)
    page.mouse.down()
    page.mouse.move(box["x"] + 300 + dx, box["y"] + 150 + dy, steps=4)
    page.mouse.up()
    page.keyboard.up("Shift")
    page.mouse.move(5, 5)
    page.wait_for_timeout(200)


def test_keys_walk_all_epochs_and_every_stamp_is_there(page, served, held, local, curve):
    show(page, served, typed(held))
    page.wait_for_function(f"() => document.querySelectorAll('#strip button canvas').length === {len(curve)}")
    assert (
        page.locator("#strip button").evaluate_all("all => all.map(one => one.dataset.key)")
        == curve.sort_values("mjd").index.tolist()
    )
    page.focus("#plot")
    walked = []
    for _ in range(5):
        page.keyboard.press("ArrowRight")
        walked.append(state(page, "e"))
    in_time = curve.sort_values("mjd").index.tolist()
    assert walked == in_time[:5]
    page.keyboard.press("End")
    assert state(page, "e") == in_time[-1]
    page.keyboard.press("ArrowLeft")
    assert state(page, "e") == in_time[-2]
    page.wait_for_selector(f"#epoch canvas[data-image='{in_time[-2]}']")
    page.keyboard.press("Home")
    page.wait_for_selector(f"#epoch canvas[data-image='{in_time[0]}']")
    page.select_option("#blink-rate", "8")
    page.click("#blink-run")
    first = page.get_attribute("#blink", "data-image")
    page.wait_for_function("first => document.getElementById('blink').dataset.image !== first", arg=first)
    page.click("#blink-run")
    with page.expect_download() as saved:
        page.click("#blink-gif")
    with Image.open(saved.value.path()) as picture:
        assert picture.n_frames == len(curve)


def test_files_of_the_curve_and_of_an_epoch_are_the_archives(page, served, held, local, curve, tmp_path):
    show(page, served, typed(held))
    whole = local.light_curve(*held[1], complete=True).data
    readers = {
        "csv": pd.read_csv, "parquet": pd.read_parquet, "votable": lambda path: Table.read(path, format="votable"),
        "fits": Table.read,
    }  # fmt: skip
    for name, read in readers.items():
        table = read(saved_by(page, f"#{name}", tmp_path / f"curve.{name}"))
        assert len(table) == len(whole), name
        for column in ("mjd", "mag", "magerr", "flux_ujy", "ra", "dec"):
            values = np.ma.filled(np.ma.asarray(table[column], float), np.nan)
            np.testing.assert_array_equal(values, whole[column], err_msg=f"{name} {column}")
        assert [int(one) for one in table["image_id"]] == whole["image_id"].tolist(), name
    with Image.open(saved_by(page, "#png", tmp_path / "curve.png")) as picture:
        assert picture.size == (2700, 1440)
    drawing = saved_by(page, "#svg", tmp_path / "curve.svg").read_text()
    assert drawing.count("<polygon") + drawing.count("<circle") >= len(whole)
    names: dict[str, Any] = {}
    exec(page.input_value("#python"), names)
    pd.testing.assert_frame_equal(names["curve"].data, whole, check_exact=True)
    page.focus("#plot")
    page.keyboard.press("End")
    key = state(page, "e")
    page.wait_for_selector(f"#epoch canvas[data-image='{key}']")
    truth = local.stamp(*held[1], image_id=int(key), size=31)
    with fits.open(saved_by(page, "#epoch .links a >> nth=0", tmp_path / "stamp.fits")) as stamp:
        data = next(one.data for one in stamp if one.data is not None)
        np.testing.assert_array_equal(data.astype("f4"), np.asarray(truth.data, "f4"))
    image = saved_by(page, "#epoch .links a >> nth=2", tmp_path / "image.fits")
    assert image.read_bytes() == Path(truth.facts["path"]).read_bytes()


def saved_by(page, selector: str, path: Path) -> Path:
    with page.expect_download() as saved:
        page.click(selector)
    saved.value.save_as(path)
    return path


def test_objects_and_statements(page, served, held, local, curve, tmp_path):
    page.goto(f"{served.base}/?tab=objects&ochi=&on=2&oby=n")
    page.wait_for_selector("#objects td")
    truth = local.sql("select * from object_summary where n >= 2")
    assert page.locator("#objects tbody tr").count() == min(200, len(truth))
    page.goto(f"{served.base}/?q={typed(held).replace(' ', '+')}&tab=objects&ochi=&on=2&owithin=0.03")
    page.wait_for_selector("#objects td")
    page.click("#objects td button")
    ready(page)
    assert set(drawn(page).index) == set(curve.index)
    page.go_back()
    page.wait_for_selector("#tab-objects:not([hidden]) td")
    page.click("nav [data-tab=adql]")
    statement = "select image_id, obsmjd, filtercode, magzp from ztf.image order by obsmjd"
    page.fill("#adql", statement)
    page.press("#adql", "Control+Enter")
    page.wait_for_selector("#rows td")
    rows = local.sql("select image_id, obsmjd, filtercode, magzp from image order by obsmjd")
    cells = page.locator("#rows tbody tr").evaluate_all("all => all.map(one => [...one.cells].map(c => c.innerText))")
    assert [one[0] for one in cells] == rows["image_id"].astype(str).tolist()
    assert [float(one[3]) for one in cells] == rows["magzp"].tolist()
    table = pd.read_csv(saved_by(page, "#adql-csv", tmp_path / "rows.csv"))
    pd.testing.assert_frame_equal(table, rows, check_dtype=False, check_exact=True)
    table = pd.read_parquet(saved_by(page, "#adql-parquet", tmp_path / "rows.parquet"))
    pd.testing.assert_frame_equal(table, rows, check_dtype=False, check_exact=True)


SEEN = """() => ({
    address: location.search,
    controls: [...document.querySelectorAll('input[id], select[id], textarea[id]')].map(
        one => [one.id, one.type === 'checkbox' ? one.checked : one.value]),
    toggles: [...document.querySelectorAll('[data-toggle]')].map(one => [one.dataset.toggle, one.checked]),
    open: [...document.querySelectorAll('details[id]')].map(one => [one.id, one.open]),
    pictures: ['#plot', '#epoch canvas'].map(one => document.querySelector(one)?.toDataURL()),
    tables: ['#table table', '#explain table'].map(one => document.querySelector(one)?.innerText),
    stamps: [...document.querySelectorAll('#strip button')].filter(one => !one.hidden).map(one => one.dataset.key),
    blinks: document.getElementById('blink-run').innerText,
    caption: document.getElementById('caption').innerText,
})"""


def test_an_address_holds_all_that_is_seen(page, served, held, curve, browser):
    show(page, served, typed(held))
    page.wait_for_selector("#strip button canvas")
    page.select_option("#y", "ujy")
    page.select_option("#x", "phase")
    page.fill("#period", "9.7")
    page.fill("#sn", "4")
    page.uncheck("[data-toggle=zr]")
    page.focus("#plot")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("#epoch canvas[data-image]")
    page.click("#zoom-in")
    drag(page, page.locator("#plot").bounding_box(), 40, 20)
    with page.expect_response(re.compile(r"stamp/.*size=63")):
        page.select_option("#stamp-size", "63")
    page.select_option("#stamp-stretch", "asinh")
    page.check("#stamp-mask")
    page.click("#explain summary")
    page.wait_for_selector("#explain td")
    page.click("#table summary")
    page.click("#table th button >> text=S/N")
    page.click("#table th button >> text=S/N")
    page.select_option("#blink-rate", "1")
    page.select_option("#blink-stretch", "asinh")
    page.check("#blink-mask")
    page.click("#blink-run")
    page.wait_for_selector("#epoch canvas[data-image]")
    page.wait_for_timeout(300)  # details tell of their toggling a moment later
    with fresh_page(browser, served.base) as other:
        other.goto(page.evaluate("location.href"))
        ready(other)
        other.wait_for_selector("#epoch canvas[data-image]")
        other.wait_for_selector("#explain td")
        other.wait_for_function(
            "n => document.querySelectorAll('#strip button:not([hidden])').length === n",
            arg=page.locator("#strip button:not([hidden])").count(),
        )
        other.wait_for_selector("#blink-run >> text=Stop")
        other.wait_for_timeout(300)
        theirs, ours = other.evaluate(SEEN), page.evaluate(SEEN)
        for name in ours:
            assert theirs[name] == ours[name], name
        assert ours["blinks"] == "Stop" and "explain" in state(page, "open") and "table" in state(page, "open")
        assert dict(ours["controls"])["stamp-stretch"] == "asinh" and dict(ours["controls"])["stamp-mask"]
        assert ours["tables"][0].startswith("MJD") and "S/N ↓" in ours["tables"][0] and len(ours["stamps"]) >= 3


def test_an_address_holds_statements_and_periods(page, served, held, browser):
    page.goto(f"{served.base}/?tab=adql")
    page.fill("#adql", "select obsmjd, magzp, maglimit, filtercode from ztf.image")
    page.click("#query button[type=submit]")
    page.wait_for_selector("#rows td")
    page.select_option("#ax", "magzp")
    page.click("#plan-run")
    page.wait_for_selector("#plan:not([hidden])")
    seen = """() => ['#rows', '#plan', '#ax', '#ay'].map(
        one => document.querySelector(one)).map(one => one.value ?? one.innerText)"""
    with fresh_page(browser, served.base) as other:
        other.goto(page.evaluate("location.href"))
        other.wait_for_selector("#rows td")
        other.wait_for_selector("#plan:not([hidden])")
        assert other.evaluate(seen) == page.evaluate(seen)
        other.fill("#adql", "select 1 as one from ztf.image")
        other.press("#adql", "Tab")
        assert "arun" not in other.evaluate("location.search")  # another statement, of which nothing is shown yet
    page.goto(f"{served.base}/?q={typed(held).replace(' ', '+')}&tab=objects&ochi=&on=2&owithin=0.03")
    page.wait_for_selector("#objects td")
    page.allowed.append("status of 400")  # nine epochs are too few for a period, which the table says
    page.click("#object-periods")
    page.wait_for_selector("#objects-said >> text=one for each object")
    rows = page.inner_text("#objects")
    with fresh_page(browser, served.base) as other:
        other.allowed.append("status of 400")
        other.goto(page.evaluate("location.href"))
        other.wait_for_function("rows => document.getElementById('objects').innerText === rows", arg=rows)
        assert page.locator("#objects tbody td:nth-child(10)").first.inner_text() != ""


def test_wrong_positions_and_a_service_that_goes_and_comes_back(browser, held):
    with Serving(held[0]) as service, fresh_page(browser, service.base) as page:
        page.allowed += ["ERR_CONNECTION|127.0.0.1", "status of 4"]
        page.goto(service.base + "/")
        for text in ("400.5 12.5", "Betelgeuse"):
            page.fill("#q", text)
            with page.expect_response(re.compile("resolve")) as answer:
                page.press("#q", "Enter")
            page.wait_for_selector("#words.bad")
            assert page.inner_text("#words") == answer.value.json()["detail"] and page.is_hidden("#curve")
        page.fill("#q", typed(held))
        page.press("#q", "Enter")
        ready(page)
        before = drawn(page)
        port = urlsplit(service.base).port
        service.stop()
        page.select_option("#aperture", "5")
        page.wait_for_selector("#words.bad >> text=does not answer")
        with Serving(held[0], "--port", str(port)):
            page.click("#words button")
            ready(page)
            page.select_option("#aperture", "4")
            page.wait_for_function("() => document.getElementById('main').ariaBusy === 'false'")
            pd.testing.assert_frame_equal(drawn(page), before)
            page.go_back()
            page.wait_for_function("() => document.getElementById('aperture').value === '5'")
            ready(page)


def test_a_request_to_another_host_and_a_breach_of_the_policy_are_seen(browser, served):
    """The check that every test of the page makes can fail."""
    script = """() => new Promise(done => {
        addEventListener('securitypolicyviolation', () => done());
        document.body.append(Object.assign(new Image(), {src: 'http://192.0.2.1/x.png'}));
    })"""

    def breach() -> None:
        with fresh_page(browser, served.base) as page:
            page.goto(served.base + "/")
            page.wait_for_selector("#suggest button")
            page.evaluate(script)

    with pytest.raises(AssertionError, match="Content Security Policy"):
        breach()
