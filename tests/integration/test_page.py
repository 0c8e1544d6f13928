"""The page that a service shows people, in a real browser: what is typed, clicked and read there."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from astropy.time import Time
from astropy.wcs import WCS
from click.testing import CliRunner
from sqlalchemy import select

requests = pytest.importorskip("requests", reason="the extra vo, which brings requests, is not installed")
pytest.importorskip("fastapi", reason="the extra serve is not installed")
pytest.importorskip("playwright.sync_api", reason="playwright, of the group oracles, is not installed")

import ztfdb  # noqa: E402
from tests.support.browsing import DRAWN, NEEDS_CHROMIUM, drawn, fresh_page, place_of, ready, show, state, view  # noqa: E402
from tests.support.catalogues import bright_star, make_epochs  # noqa: E402
from tests.support.postgres import ENGINES  # noqa: E402
from tests.support.proxies import Proxy  # noqa: E402
from tests.support.reference import open_sessions  # noqa: E402
from tests.support.serving import Serving, reader_url  # noqa: E402
from ztfdb.bits import BAD_BITS  # noqa: E402
from ztfdb.cli.app import application  # noqa: E402
from ztfdb.schema import Image  # noqa: E402
from ztfdb.store.psf_checks import store_psf_check  # noqa: E402

pytestmark = NEEDS_CHROMIUM


@pytest.fixture(scope="module", params=ENGINES)
def held(request, databases, tmp_path_factory):
    """URL of an archive of six images, one of which has lost its file; a bright star, and a place without one."""
    folder = tmp_path_factory.mktemp("night")
    url = databases.migrated(request.param)
    epochs = make_epochs(folder / "images", 6, catalogues=False)
    with ztfdb.open(url, create=True) as archive:
        assert archive.ingest(folder / "images").failed == 0
        archive.build_objects()
        ra, dec, _ = bright_star(epochs[0])
        lost = archive.light_curve(ra, dec).data.iloc[5]
        path = archive.stamp(ra, dec, image_id=lost["image_id"]).facts["path"]
    Path(path).unlink()
    with open_sessions(url) as maker, maker.begin() as session:
        for k, image_id in enumerate(session.scalars(select(Image.image_id).order_by(Image.image_id).limit(3))):
            store_psf_check(session, checked(image_id, warning=min(k, 2), severity=float(k)))
    yield reader_url(url), (ra, dec), empty_place(epochs[0])
    databases.drop(url)


def checked(image_id, *, warning, severity):
    """The row of a check against a PSF catalogue; one without a warning is not to be shown."""
    numbers = ("median_err", "slope", "slope_err", "x_gradient", "x_gradient_err", "y_gradient", "y_gradient_err")
    row = dict.fromkeys((*numbers, "bright_limit", "faint_limit"), 0.01)
    row |= {
        "median": -0.123 * severity,
        "scatter": 0.05,
        "n_match": 1500,
        "n_star": 1200,
        "n_clipped": 3,
        "aperture": 4,
    }
    words = {"failure": None, "settings": {}, "checked": "2020-01-01T00:00:00Z"}
    return row | words | {"image_id": image_id, "warning": warning, "severity": severity}


def empty_place(image) -> tuple[float, float]:
    """A position on the image, far from every star."""
    t, (ny, nx) = image.truth, image.exposure.shape
    y, x = np.mgrid[30 : ny - 30 : 5, 30 : nx - 30 : 5]
    away = np.hypot(x.ravel()[:, None] - np.asarray(t.x), y.ravel()[:, None] - np.asarray(t.y)).min(axis=1)
    best = int(away.argmax())
    sky = WCS(fits.getheader(image.sci)).pixel_to_world(x.ravel()[best], y.ravel()[best])
    return float(sky.ra.deg), float(sky.dec.deg)


def expected(frame: pd.DataFrame) -> pd.DataFrame:
    frame = frame.copy()
    frame.index = frame["image_id"].astype(str)
    return frame


def test_a_typed_position_shows_the_rows_of_the_archive(page, served, held, local):
    ra, dec = held[1]
    show(page, served, f"{ra:.7f} {dec:.7f}")
    seen = drawn(page)
    rows = expected(local.light_curve(round(ra, 7), round(dec, 7), complete=True).data)
    assert set(seen.index) == set(rows.index) and len(seen) == 6
    rows = rows.loc[seen.index]
    assert seen["kind"].tolist() == rows["kind"].astype(str).tolist()
    measured = rows["mag"].notna()
    np.testing.assert_array_equal(seen["x"], rows["mjd"])
    np.testing.assert_array_equal(seen["y"][measured], rows["mag"][measured])
    np.testing.assert_allclose(seen["high"][measured], (rows["mag"] + rows["magerr"])[measured], rtol=1e-15)
    assert measured.sum() == 6
    assert page.inner_text("#caption").startswith("6 of 6 epochs: 6 detections.")


def test_limits_and_what_is_missing_are_drawn_with_their_reasons(page, served, held, local):
    ra, dec = held[2]
    show(page, served, f"{ra:.7f}, {dec:.7f}")
    seen = drawn(page)
    rows = expected(local.light_curve(round(ra, 7), round(dec, 7), complete=True).data).loc[seen.index]
    assert seen["kind"].tolist() == rows["kind"].astype(str).tolist()
    limits = rows["kind"] == "limit"
    assert limits.any() and (rows["kind"] == "unavailable").sum() == 1
    np.testing.assert_array_equal(seen["y"][limits], rows["upper_limit_mag"][limits])
    assert "1 not measured (file missing 1)" in page.inner_text("#caption")
    page.select_option("#y", "ujy")
    seen = drawn(page).loc[rows.index]
    np.testing.assert_array_equal(seen["y"][limits], rows["flux_ujy"][limits])


def test_the_threshold_moves_points_and_limits_at_once(page, served, held, local):
    ra, dec = held[2]
    show(page, served, f"{ra:.7f} {dec:.7f}")
    rows = expected(local.light_curve(round(ra, 7), round(dec, 7), complete=True).data)
    low = rows[rows["flux_ujy"] > 0]
    page.fill("#sn", "0.0001")
    seen = drawn(page)
    np.testing.assert_allclose(seen["y"][low.index], 23.9 - 2.5 * np.log10(low["flux_ujy"]), rtol=1e-12)
    assert set(seen["kind"][low.index]) <= {"forced", "detection"}
    page.fill("#sn", "40")
    seen = drawn(page)
    held_back = rows[rows["snr"] < 40]
    assert len(held_back)
    np.testing.assert_allclose(
        seen["y"][held_back.index], 23.9 - 2.5 * np.log10(40 * held_back["flux_ujy_err"]), rtol=1e-12
    )
    page.fill("#sn", "5")
    seen = drawn(page)
    limits = rows[rows["kind"] == "limit"]
    np.testing.assert_allclose(seen["y"][limits.index], limits["upper_limit_mag"], atol=1e-9)  # the archive's own


def test_a_click_on_a_point_shows_the_star_on_its_image(page, served, held, local):
    ra, dec = held[1]
    show(page, served, f"{ra:.7f} {dec:.7f}")
    row = local.light_curve(round(ra, 7), round(dec, 7)).data.iloc[2]
    key = str(row["image_id"])
    at = place_of(page, key)
    page.mouse.move(at["x"], at["y"])
    assert f"{row['mag']:.3f} ± {row['magerr']:.3f}" in page.inner_text("#tip")
    page.mouse.click(at["x"], at["y"])
    page.wait_for_selector(f"#epoch canvas[data-image='{key}']")
    stamp = local.stamp(round(ra, 7), round(dec, 7), image_id=row["image_id"], size=31, north_up=True)
    dark = page.evaluate("""() => {
        const one = document.querySelector('#epoch canvas'), n = 31, s = one.width / n;
        const pixels = one.getContext('2d').getImageData(0, 0, one.width, one.height).data;
        const grey = [];
        for (let row = 0; row < n; row++) for (let column = 0; column < n; column++)
            grey.push(pixels[4 * (Math.floor((n - 0.5 - row) * s) * one.width + Math.floor((column + 0.5) * s))]);
        return grey;
    }""")
    low, high = np.percentile(stamp.data, (1.0, 99.5), method="nearest")
    grey = 255 * (1 - np.clip((stamp.data - low) / (high - low), 0, 1))
    same = np.abs(np.reshape(dark, stamp.data.shape) - grey) <= 1.0  # rounding
    assert same[:20].mean() > 0.0 and same[12:].mean() > 0.9  # the aperture, north and the bar are drawn over some
    assert key in page.inner_text("#epoch") and page.get_attribute("#strip [aria-pressed=true]", "data-key") == key
    page.click("#explain summary")
    page.wait_for_selector("#explain td")
    assert str(row["source_id"]) in page.inner_text("#epoch")
    page.click("#explain button")
    page.wait_for_selector("text=every column is the same, bit for bit")


def test_keys_walk_the_epochs_and_a_lost_file_is_told(page, served, held):
    page.allowed.append("status of 404")
    ra, dec = held[1]
    show(page, served, f"{ra:.7f} {dec:.7f}")
    page.focus("#plot")
    walked = []
    for _ in range(6):
        page.keyboard.press("ArrowRight")
        walked.append(state(page, "e"))
    assert walked == drawn(page).sort_values("x").index.tolist()
    page.wait_for_selector("#epoch >> text=No pixels: ")
    page.keyboard.press("Home")
    page.wait_for_selector(f"#epoch canvas[data-image='{walked[0]}']")
    page.keyboard.press("ArrowLeft")
    assert state(page, "e") == walked[0]
    page.wait_for_selector("#strip button >> nth=5")
    assert page.inner_text("#strip button >> nth=5").startswith("file missing")


def test_zoom_pan_and_back(page, served, held):
    ra, dec = held[1]
    show(page, served, f"{ra:.7f} {dec:.7f}")
    box = page.locator("#plot").bounding_box()
    page.mouse.move(box["x"] + 200, box["y"] + 80)
    page.mouse.down()
    page.mouse.move(box["x"] + 400, box["y"] + 240, steps=4)
    page.mouse.up()
    first = view(page)
    page.keyboard.down("Shift")
    page.mouse.move(box["x"] + 300, box["y"] + 150)
    page.mouse.down()
    page.mouse.move(box["x"] + 350, box["y"] + 150, steps=4)
    page.mouse.up()
    page.keyboard.up("Shift")
    second = view(page)
    assert second[1] - second[0] == pytest.approx(first[1] - first[0]) and second[0] < first[0]
    assert second[2:] == pytest.approx(first[2:])
    left = state(page, "view").split(",")[0]
    page.mouse.wheel(0, -100)
    page.wait_for_function("before => !location.search.includes(before)", arg=left)
    third = view(page)
    assert third[1] - third[0] < second[1] - second[0]
    for before in (second, first):
        page.click("#back")
        assert view(page) == before
    page.click("#whole")
    assert "view=" not in page.evaluate("location.search") and page.is_disabled("#whole")


def test_folding_is_by_the_heliocentric_time(page, served, held, local):
    ra, dec = held[1]
    show(page, served, f"{ra:.7f} {dec:.7f}")
    page.select_option("#x", "phase")
    page.fill("#period", "1.37")
    page.fill("#t0", "59000.5")
    seen = page.evaluate(DRAWN)
    rows = expected(local.light_curve(round(ra, 7), round(dec, 7)).data)
    assert len(seen) == 12
    phase = ((rows["hjd"] - 2400000.5 - 59000.5) / 1.37) % 1.0
    for one in seen:
        assert one["x"] % 1.0 == pytest.approx(phase[one["key"]], abs=1e-9)  # 86 microseconds of a day of 1e6


def test_the_whole_state_is_in_the_address(page, served, held, browser):
    ra, dec = held[1]
    show(page, served, f"{ra:.7f} {dec:.7f}")
    page.select_option("#y", "ujy")
    page.select_option("#x", "phase")
    page.fill("#period", "2.5")
    page.fill("#sn", "7")
    page.uncheck("[data-toggle=zr]")
    page.focus("#plot")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("+")
    before = drawn(page)
    other = browser.new_page(viewport={"width": 1300, "height": 1000})
    shared = page.evaluate("location.href")
    other.goto(shared)
    ready(other)
    other.wait_for_selector("#epoch canvas[data-image]")
    pd.testing.assert_frame_equal(drawn(other), before)
    assert len(before) == 6  # three images in g, folded
    controls = "() => [...document.querySelectorAll('#curve select, #curve input')].map(one => [one.id, one.value])"
    assert other.evaluate(controls) == page.evaluate(controls)
    assert other.evaluate("location.href") == shared and not other.is_disabled("#whole")
    other.close()


def test_the_browsers_back_returns_to_the_question_before(page, served, held):
    ra, dec = held[1]
    show(page, served, f"{ra:.7f} {dec:.7f}")
    with page.expect_response(re.compile("lightcurve")):
        page.select_option("#complete", "0")
    ready(page)
    page.fill("#q", f"{held[2][0]:.7f} {held[2][1]:.7f}")
    with page.expect_response(re.compile("lightcurve")):
        page.press("#q", "Enter")
    page.wait_for_function("() => document.getElementById('plot').drawn.length === 0")
    words = page.inner_text("#words")
    assert "have a detection" in words  # the archive's own words, with the page's for its choices
    assert "every image as Epochs" in words and "--complete" not in words
    assert page.is_visible("#complete") and page.is_hidden("#plot")
    page.go_back()
    page.wait_for_function("() => document.getElementById('plot').drawn.length === 6")
    assert page.input_value("#complete") == "0" and page.is_disabled("#measure")
    page.go_back()
    page.wait_for_function("() => document.getElementById('complete').value === '1'")


@pytest.mark.parametrize("kind", ["source", "object", "image"])
def test_an_id_is_a_position(page, served, held, local, kind):
    row = local.light_curve(*held[1]).data.iloc[0]
    if kind == "object":
        found = local.sql("select object_id as id from object_source where source_id = :s", s=int(row["source_id"]))
        number = int(found["id"][0])
    else:
        number = int(row[f"{kind}_id"])
    show(page, served, str(number))
    assert f"{kind} {number}" in page.inner_text("#caption")
    if kind != "image":
        assert len(drawn(page)) == 6


def test_a_wrong_position_is_told_in_the_services_words(page, served, held):
    page.allowed.append("status of 4")
    page.goto(served.base + "/")
    for text in ("95 95", "Betelgeuse", "12345", "J256000.0+910000.0"):
        page.fill("#q", text)
        with page.expect_response(re.compile("resolve")) as answer:
            page.press("#q", "Enter")
        page.wait_for_selector("#words.bad")
        assert page.inner_text("#words") == answer.value.json()["detail"]
        assert page.is_hidden("#curve")
    page.fill("#q", f"{held[1][1]:.5f} {held[1][0]:.5f}")
    page.press("#q", "Enter")
    ready(page)
    page.wait_for_selector("#words:not(.bad) >> text=no image covers")
    words = page.inner_text("#words")
    assert "swap" in words and "nearest image" in words and words.startswith("No epoch at ") and "radius 1.5″" in words
    assert page.is_hidden("#plot") and page.is_hidden("#csv")
    page.fill("#q", f"{held[1][0]:.5f} {held[1][1]:.5f}")
    page.press("#q", "Enter")
    page.wait_for_selector("#plot")


def test_a_plot_without_points_has_no_axes(page, served, held, tmp_path):
    show(page, served, f"{held[1][0]:.7f} {held[1][1]:.7f}")
    for box in page.locator("#legend [data-toggle]").all():
        box.uncheck()
    with page.expect_download() as saved:
        page.click("#svg")
    drawing = Path(saved.value.path()).read_text()
    assert "Nothing is drawn" in drawing and "magnitude" not in drawing


def test_an_address_with_choices_that_the_page_lacks_opens(page, served, held):
    page.goto(served.base + "/?tab=lightcurve")
    page.wait_for_selector("#suggest")
    place = f"q={held[1][0]:.7f}+{held[1][1]:.7f}"
    page.goto(f"{served.base}/?{place}&aperture=9&x=JD&phot=best&complete=0&cfilter=zz")
    ready(page)
    assert len(drawn(page)) == 6
    assert [page.input_value(f"#{name}") for name in ("aperture", "x", "phot", "complete")] == [
        "4",
        "mjd",
        "aperture",
        "0",
    ]


def test_a_choice_that_is_refused_can_be_changed(page, served, held):
    page.allowed.append("status of 4")
    page.goto(f"{served.base}/?q={held[1][0]:.7f}+{held[1][1]:.7f}&phot=irsa")
    page.wait_for_selector("#words.bad >> text=no light curves of IRSA")
    assert page.is_hidden("#plot")
    page.select_option("#phot", "aperture")
    ready(page)
    page.wait_for_selector("#plot")
    assert len(drawn(page)) == 6 and page.is_hidden("#words")


def test_back_before_the_answer_stays_at_the_first_page(page, served, held):
    page.goto(served.base + "/")
    title, held_back = page.title(), []
    page.route("**/api/v1/lightcurve?*", lambda route: held_back.append(route))  # a function that playwright can mark
    page.fill("#q", f"{held[1][0]:.7f} {held[1][1]:.7f}")
    with page.expect_request("**/api/v1/lightcurve?*"):
        page.press("#q", "Enter")
    assert page.title() == f"{held[1][0]:.7f} {held[1][1]:.7f} · ztfdb"
    page.go_back()
    page.wait_for_selector("#main[aria-busy=false]", state="attached")
    for route in held_back:
        route.continue_()
    page.wait_for_timeout(1000)
    assert page.is_hidden("#curve") and page.is_visible("#welcome") and page.title() == title
    page.unroute("**/api/v1/lightcurve?*")
    page.go_forward()
    ready(page)
    assert len(drawn(page)) == 6


@pytest.mark.parametrize("status", [502, 200])
def test_the_page_of_a_proxy_is_no_answer(page, served, held, status):
    page.allowed.append("status of 502")
    page.goto(served.base + "/")
    page.wait_for_load_state("networkidle")
    answer = {"status": status, "content_type": "text/html; charset=utf-8", "body": "<h1>nginx</h1>"}
    page.route("**/api/v1/**", lambda route: route.fulfill(**answer))
    page.fill("#q", f"{held[1][0]:.7f} {held[1][1]:.7f}")
    page.press("#q", "Enter")
    page.wait_for_selector(f"#words.bad >> text=Another server answered for the service, with status {status}.")
    page.unroute("**/api/v1/**")
    page.click("#words button")
    ready(page)
    assert page.is_hidden("#words")


def test_two_tabs_of_a_browser_do_not_disturb_each_other(page, served, held):
    show(page, served, f"{held[1][0]:.7f} {held[1][1]:.7f}")
    other = page.context.new_page()
    show(other, served, f"{held[2][0]:.7f} {held[2][1]:.7f}")
    other.select_option("#y", "ujy")
    page.uncheck("[data-toggle=zg]")
    page.reload()
    ready(page)
    assert page.input_value("#y") == "mag" and not page.is_checked("[data-toggle=zg]")
    assert other.input_value("#q") != page.input_value("#q") and other.input_value("#y") == "ujy"


def test_a_service_that_is_gone_and_back(page, held):
    page.allowed.append("ERR_CONNECTION|127.0.0.1")
    with Serving(held[0]) as service:
        show(page, service, f"{held[1][0]:.7f} {held[1][1]:.7f}")
        port = urlsplit(service.base).port
        service.stop()
        page.select_option("#aperture", "5")
        page.wait_for_selector("#words.bad >> text=does not answer")
        with Serving(held[0], "--port", str(port)):
            page.click("#words button")
            ready(page)
            assert len(drawn(page)) == 6


def test_a_service_with_tokens_lets_a_holder_in(page, held, tmp_path):
    page.allowed.append("status of 401|127.0.0.1")
    result = CliRunner().invoke(application, ["token", "add", "anna", "--state", str(tmp_path)])
    assert result.exit_code == 0
    with Serving(held[0], "--tokens", "--state", str(tmp_path)) as service:
        page.goto(service.base + "/")
        page.wait_for_selector("#words >> text=This service needs a token.")
        page.fill("#token", "\u201cztfdb_x\u201d")  # no header can have it
        page.press("#token", "Enter")
        assert page.evaluate("() => document.querySelector('#token').validity.patternMismatch")
        page.fill("#token", "ztfdb_x")
        page.press("#token", "Enter")
        page.wait_for_selector("#words >> text=The service does not accept this token")
        page.fill("#token", result.output.split()[-1])
        page.click("#words button[type=submit]")
        page.wait_for_selector("#suggest button")
        page.fill("#q", f"{held[1][0]:.7f} {held[1][1]:.7f}")
        page.press("#q", "Enter")
        ready(page)
        assert len(drawn(page)) == 6
        with page.expect_download() as saved:
            page.click("#csv")
        saved.value.save_as(tmp_path / "curve.csv")
        assert len(pd.read_csv(tmp_path / "curve.csv")) == 6


def test_what_is_saved_is_what_is_seen(page, served, held, local, tmp_path):
    ra, dec = held[1]
    show(page, served, f"{ra:.7f} {dec:.7f}")
    whole = local.light_curve(round(ra, 7), round(dec, 7), complete=True)
    for button, name in (
        ("#csv", "curve.csv"),
        ("#votable", "curve.vot"),
        ("#svg", "curve.svg"),
        ("#png", "curve.png"),
    ):
        with page.expect_download() as saved:
            page.click(button)
        assert saved.value.suggested_filename == f"light_{name}".replace(".", f"_{ra:.5f}{dec:+.5f}.")
        saved.value.save_as(tmp_path / name)
    table = pd.read_csv(tmp_path / "curve.csv")
    np.testing.assert_array_equal(table["mag"], whole["mag"])
    assert table["image_id"].tolist() == whole["image_id"].tolist()
    assert b"TIMESYS" in (tmp_path / "curve.vot").read_bytes()
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    drawing = (tmp_path / "curve.svg").read_text()
    assert drawing.count("<polygon") + drawing.count("<circle") == 6 + 2 and "magnitude (AB)" in drawing
    assert re.findall(r">([gri])<", drawing) == ["g", "r"] and "All images are simulated." in drawing
    assert f"{ra:.6f} +{dec:.6f} (ICRS), radius 1.5″" in drawing
    names: dict[str, Any] = {}
    exec(page.input_value("#python"), names)
    pd.testing.assert_frame_equal(names["curve"].data, whole.data, check_exact=True)


def test_paper_shows_the_symbols_and_no_controls(page, served, held):
    show(page, served, f"{held[1][0]:.7f} {held[1][1]:.7f}")
    page.emulate_media(media="print")
    assert page.locator("#legend").inner_text().split() == ["g", "(3)", "r", "(3)", "detections", "(6)"]
    assert page.is_visible("#legend svg >> nth=0")
    for control in ("#q", "#legend input >> nth=0", "#y", "#csv", "#zoom-in", "#python"):
        assert page.is_hidden(control), control


def test_examples_are_stars_on_many_images(page, served, local):
    page.goto(served.base + "/")
    page.wait_for_selector("#suggest button")
    for text in page.locator("#suggest button").all_inner_texts():
        assert len(local.light_curve(*map(float, text.split()))) > 1


def test_a_narrow_phone_needs_no_scrolling_sideways(browser, served, held):
    with fresh_page(browser, served.base, viewport={"width": 360, "height": 740}) as page:
        show(page, served, f"{held[1][0]:.7f} {held[1][1]:.7f}")
        assert page.evaluate("() => document.documentElement.scrollWidth") == 360
        page.set_viewport_size({"width": 320, "height": 740})  # 1280 px at 400 %
        for view in ("sky", "coverage", "objects", "adql", "status"):
            page.click(f"nav [data-tab={view}]")
            page.wait_for_selector(f"#tab-{view}:not([hidden])")
            page.wait_for_load_state("networkidle")
            assert page.evaluate("() => document.documentElement.scrollWidth") == 320, view


def test_a_statement_shows_its_rows(page, served, held, local):
    page.goto(served.base + "/?tab=adql")
    page.wait_for_selector("#schema summary >> text=ztf.light_curve_point")
    statement = "select filtercode, count(*) as n from ztf.image group by filtercode order by filtercode"
    page.fill("#adql", statement)
    page.press("#adql", "Control+Enter")
    page.wait_for_selector("#rows td")
    assert page.inner_text("#adql-said") == "2 rows."
    cells = page.locator("#rows td").all_inner_texts()
    assert cells == ["zg", "3", "zr", "3"]
    page.allowed.append("status of 400")
    page.fill("#adql", "select nothing_of_this_name from ztf.image")
    page.click("#query button[type=submit]")
    page.wait_for_selector("#adql-said >> text=nothing_of_this_name")
    page.select_option("#examples", label="Columns of a view")
    assert "tap_schema.columns" in page.input_value("#adql")


def test_the_status_is_the_archives(page, served, local):
    page.goto(served.base + "/?tab=status")
    page.wait_for_selector("#status table")
    held = local.status()
    words = page.inner_text("#tab-status")
    assert f"{held['n_source']:,}" in words and held["configs"][0]["config_hash"][:16] in words


def test_the_status_lists_nights_and_the_shallowest_images(page, served, local):
    page.goto(served.base + "/?tab=status")
    page.wait_for_selector("#status table")
    read = """name => [...document.querySelectorAll(`[aria-label="${name}"] tbody tr`)]
        .map(row => [...row.cells].map(one => one.innerText))"""
    images = local.sql("select image_id, obsmjd, n_source, maglim from image where kind <> 'ref'", force=True)
    nights = (
        images.assign(night=np.floor(images.obsmjd))
        .groupby("night")
        .agg(n=("image_id", "size"), n_source=("n_source", "sum"), maglim=("maglim", "mean"))
    )
    wanted = [
        [Time(night, format="mjd").isot[:10], f"{row.n:.0f}", f"{row.n_source:,.0f}", f"{row.maglim:.2f}"]
        for night, row in nights.sort_index(ascending=False).iterrows()
    ]
    assert [row[:4] for row in page.evaluate(read, "Nights")] == wanted
    shallow = images.sort_values(["maglim", "image_id"])
    assert [row[0] for row in page.evaluate(read, "Shallowest images")] == [str(one) for one in shallow.image_id[:20]]
    warned = page.evaluate(read, "Worst against ZTF's PSF catalogues")
    ids = sorted(images.image_id)[:3]
    assert [(row[0], *row[3:6]) for row in warned] == [
        (str(ids[2]), "−0.246", "0.050", "1,200"),
        (str(ids[1]), "−0.123", "0.050", "1,200"),
    ]


def test_bad_pixels_are_those_of_the_archive(served):
    script = requests.get(served.base + "/page/stamp.js", timeout=10).text
    assert re.search(r"BAD_BITS = (\d+)", script)[1] == str(int(BAD_BITS))


def test_degrees_are_read_as_the_service_reads_them(page, served):
    """Two decimal numbers are not sent to be resolved; whatever else, and what is no position, is."""
    page.goto(served.base + "/")
    read = "async text => (await import('/page/state.js')).typedDegrees(text)"
    for text in ("58.0029 35.7365", " 58.0029,35.7365 ", "0.1 , -0.25", "359.999999999 +90.0", "007.50\t-00.125"):
        answer = requests.get(served.base + "/api/v1/resolve", params={"q": text}, timeout=10)
        assert page.evaluate(read, text) == answer.json(), text
    for text in (
        "58 35",
        "360.5 1.5",
        "10.5 90.5",
        "-1.5 2.5",
        "03:52:00.7 +35:44:11.5",
        "58.0029 35.7365 1.5",
        "1e2 1.5",
    ):
        assert page.evaluate(read, text) is None, text


def test_the_names_of_the_state_are_controls(served):
    """Whatever the address may hold has a control of the page."""
    script = requests.get(served.base + "/page/state.js", timeout=10).text
    page = requests.get(served.base + "/", timeout=10).text
    for name in ("ASKED", "DRAWN", "SEARCHED"):
        for one in json.loads(re.search(rf"{name} = (\[.*?\])", script, re.DOTALL)[1]):
            assert f'id="{one}"' in page


@pytest.mark.parametrize("end", ["", "/"])
def test_behind_a_prefix_the_page_needs_no_slash_at_its_end(browser, held, end):
    ra, dec = held[1]
    words = ("--root-path", "/ztf", "--proxies", "127.0.0.1")
    with (
        Serving(held[0], *words) as service,
        Proxy(service.base, "/ztf") as proxy,
        fresh_page(browser, proxy.base) as page,
    ):
        page.goto(f"{proxy.base}{end}?q={ra:.7f}+{dec:.7f}")
        ready(page)
        page.wait_for_selector("#strip button")
        assert len(drawn(page)) == 6
        assert page.input_value("#python").startswith(f'import ztfdb; curve = ztfdb.open("{proxy.base}").')
        with page.expect_download() as saved:
            page.click("#csv")
        assert len(pd.read_csv(saved.value.path())) == 6
        page.focus("#plot")
        page.keyboard.press("ArrowRight")
        page.wait_for_selector("#epoch canvas[data-image]")
        links = page.locator("#epoch .links a").evaluate_all("all => all.map(one => one.href)")
        assert links and all(one.startswith(proxy.base + "/") for one in links)
        page.click("[data-tab=adql]")
        page.wait_for_selector("#schema summary")
