"""What the page shows beside the light curve: periods, objects, the sky, coverage, answers as plots."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from astropy.coordinates import SkyCoord
from astropy_healpix import boundaries_lonlat
from PIL import Image

pytest.importorskip("requests", reason="the extra vo, which brings requests, is not installed")
pytest.importorskip("fastapi", reason="the extra serve is not installed")
pytest.importorskip("playwright.sync_api", reason="playwright, of the group oracles, is not installed")

import ztfdb
from tests.support.browsing import NEEDS_CHROMIUM, fresh_page, ready, show, state
from tests.support.hats_catalogues import write_hats
from tests.support.postgres import ENGINES
from tests.support.serving import Serving, reader_url
from tests.support.variables import PERIOD_D, make_variable
from ztfdb.errors import QueryError

pytestmark = NEEDS_CHROMIUM


@pytest.fixture(scope="module")
def field(tmp_path_factory):
    """Thirty exposures of a field with a variable star, and its stars as a catalogue."""
    folder = tmp_path_factory.mktemp("variable")
    made = make_variable(folder)
    mags = dict.fromkeys(("gMeanPSFMag", "rMeanPSFMag", "iMeanPSFMag"), made.stars["mag"])
    table = {"objID": np.arange(len(made.stars)) + 2**60, "raMean": made.stars["ra"], "decMean": made.stars["dec"]}
    pd.DataFrame(table | mags).to_csv(folder / "ps1.csv", index=False)
    return folder, made


@pytest.fixture(scope="module", params=ENGINES)
def held(request, field, databases):
    """URL of an archive of these exposures, with objects and PS1; where the variable is."""
    folder, made = field
    url = databases.migrated(request.param)
    with ztfdb.open(url, create=True) as archive:
        assert archive.ingest(folder / "images").failed == 0
        archive.import_catalogue("ps1", folder / "ps1.csv")
        archive.build_objects()
    yield reader_url(url), (round(made.ra, 6), round(made.dec, 6))
    databases.drop(url)


def powers(page) -> pd.DataFrame:
    return pd.DataFrame(page.evaluate("() => document.getElementById('powers').powers"))


def test_the_proposed_period_is_the_archives_and_folds_the_curve(page, served, held, local):
    ra, dec = held[1]
    show(page, served, f"{ra} {dec}")
    page.click("#find-period")
    page.wait_for_selector("#peaks td")
    truth = local.periodogram(ra, dec, complete=True)
    seen = powers(page)
    np.testing.assert_array_equal(seen["power"], truth.data["power"])
    np.testing.assert_array_equal(seen["frequency"], truth.data["frequency"])
    typed = float(page.input_value("#period"))
    width = 1.0 / truth.meta["baseline"]
    assert abs(1 / typed - 1 / truth.period) < 0.03 * width and abs(1 / typed - 1 / PERIOD_D) < 0.2 * width
    assert page.input_value("#x") == "phase"
    assert len(page.evaluate("() => document.getElementById('plot').drawn")) == 60  # each epoch twice
    assert f"{truth.meta['n_frequency']:,} frequencies, from 30 epochs in zg, zr" in page.inner_text("#periods-said")
    page.click("#double")
    assert float(page.input_value("#period")) == pytest.approx(2 * typed)
    page.click("#halve")
    assert float(page.input_value("#period")) == typed
    page.click("#peaks tr:nth-child(2) button")
    second = truth.peaks["period"].iloc[1]
    assert float(page.input_value("#period")) == pytest.approx(second, rel=1e-3)


@pytest.mark.filterwarnings("ignore::ztfdb.errors.EmptyAnswerWarning")
def test_a_periodogram_is_the_archives_over_http(served, held, local):
    with ztfdb.open(served.base) as remote:
        for options in ({}, {"complete": True, "filters": "zg", "max_period": 9.0, "oversampling": 3.0}):
            theirs, ours = (one.periodogram(*held[1], **options) for one in (remote, local))
            pd.testing.assert_frame_equal(theirs.data, ours.data, check_exact=True)
            pd.testing.assert_frame_equal(theirs.peaks, ours.peaks, check_exact=True)
            assert theirs.meta == ours.meta and repr(theirs) == repr(ours)
        for archive in (remote, local):
            with pytest.raises(QueryError, match="0 epochs"):
                archive.periodogram(0.0, 0.0)


def test_a_search_is_in_the_address_and_has_bounds(page, served, held, local, browser):
    ra, dec = held[1]
    show(page, served, f"{ra} {dec}")
    page.click("#periods summary")
    page.select_option("#pfilter", "zr")
    page.fill("#pmin", "0.3")
    page.fill("#pmax", "5")
    page.click("#search button")
    page.wait_for_selector("#peaks td")
    truth = local.periodogram(ra, dec, complete=True, filters="zr", min_period=0.3, max_period=5.0)
    np.testing.assert_array_equal(powers(page)["power"], truth.data["power"])
    assert truth.meta["n_epoch"] == 15
    other = browser.new_page()
    other.goto(page.evaluate("location.href"))
    ready(other)
    other.wait_for_selector("#peaks td")
    pd.testing.assert_frame_equal(powers(other), powers(page))
    assert other.input_value("#period") == page.input_value("#period") and state(other, "x") == "phase"
    other.close()
    page.allowed.append("status of 400")
    page.fill("#pmin", "0.00001")
    page.click("#search button")
    page.wait_for_selector("#periods-said >> text=at most 500000 are searched")
    assert page.is_hidden("#powers")
    page.fill("#pmin", "6")
    page.click("#search button")
    page.wait_for_selector("#periods-said >> text=min_period 6 d is not below max_period 5 d")


def rows_of(page, where: str) -> list[list[str]]:
    """The cells of a table."""
    script = "where => [...document.querySelectorAll(where + ' tbody tr')].map(r => [...r.cells].map(c => c.innerText))"
    return page.evaluate(script, where)


def test_objects_are_cut_sorted_and_lead_to_their_curves(page, served, held, local):
    page.goto(served.base + "/?tab=objects&ochi=&on=")
    page.wait_for_selector("#objects td")
    truth = local.sql("select * from object_summary")
    assert len(rows_of(page, "#objects")) == len(truth)
    page.fill("#on", "15")
    page.fill("#ochi", "50")
    page.press("#ochi", "Enter")
    page.wait_for_selector("#objects-said >> text=2 rows")
    best = truth[(truth["n"] >= 15) & (truth["chi2"] >= 50)].sort_values("stetson_j", ascending=False)
    seen = rows_of(page, "#objects")
    assert [row[0] for row in seen] == best["object_id"].astype(str).tolist() and len(seen) == 2
    assert [row[4] for row in seen] == [f"{v:.3f}" for v in best["max_mag"] - best["min_mag"]]
    assert [row[6] for row in seen] == [f"{v:.2f}" for v in best["chi2"]]
    page.click("#object-periods")
    page.wait_for_selector("#object-periods >> text=Find their periods")
    page.wait_for_selector("#objects-said >> text=2 rows")
    for row in rows_of(page, "#objects"):
        curve = local.periodogram(*held[1], filters=row[1])
        assert float(row[9].rstrip("?")) == pytest.approx(curve.period, rel=2e-3)  # as printed; the object's own place
    page.fill("#opmin", "400")
    page.press("#opmin", "Enter")
    page.wait_for_selector("#objects-said >> text=2 have another period")
    page.fill("#opmin", "")
    page.press("#opmin", "Enter")
    page.wait_for_selector("#objects td")
    page.click("#objects th button >> text=median")
    page.wait_for_function("() => location.search.includes('oby=median_mag')")
    page.wait_for_selector("#objects td")
    page.wait_for_selector("#objects[aria-busy=false]")
    medians = [float(row[3]) for row in rows_of(page, "#objects")]
    assert medians == sorted(medians, reverse=True)
    page.click("#objects td button")
    ready(page)
    assert f"object {best['object_id'].iloc[0]}" in page.inner_text("#caption") and page.input_value("#x") == "phase"
    page.go_back()
    page.wait_for_selector("#objects td")
    page.fill("#on", "1000")
    page.press("#on", "Enter")
    page.wait_for_selector("#objects-said >> text=No object passes these cuts")


def test_the_map_is_the_archives_coverage_and_a_click_is_a_position(page, served, held, local):
    page.goto(served.base + "/?tab=coverage")
    page.wait_for_function("() => document.getElementById('map').cells.length")
    truth = local.coverage(6)
    cells = {one["cell"]: one for one in page.evaluate("() => document.getElementById('map').cells")}
    assert set(cells) == set(truth["cell"])
    for cell, rows in truth.groupby("cell"):
        assert cells[cell]["n"] == rows["n_image"].sum() and cells[cell]["depth"] == rows["limitmag"].max()
        corners = np.array(cells[cell]["corners"])
        ra, dec = boundaries_lonlat([cell], 1, 64, order="nested")
        theirs = np.stack([ra.to_value("deg")[0], dec.to_value("deg")[0]], 1)
        away = np.abs(corners[:, None] - theirs[None]).max(axis=2).min(axis=1)
        assert away.max() < 1e-9  # the same corners, whichever comes first
    page.select_option("#cfilter", "zg")
    one = truth[truth["filtercode"] == "zg"].iloc[0]
    seen = page.evaluate("c => document.getElementById('map').cells.find(one => one.cell === c).n", int(one["cell"]))
    assert seen == one["n_image"]
    page.click("#map-fit")
    page.wait_for_function("() => document.getElementById('map').cells.some(one => one.cell > 50000)")  # finer ones
    assert set(page.evaluate("() => document.getElementById('map').cells.map(one => one.cell)")) == set(
        local.coverage(9).query("filtercode == 'zg'")["cell"]
    )
    ra, dec = held[1]
    x, y = page.evaluate("([ra, dec]) => document.getElementById('map').placeOf(ra, dec)", [ra, dec])
    page.click("#map", position={"x": x, "y": y})
    page.wait_for_selector("#sky-parts:not([hidden])")
    typed = [float(word) for word in page.input_value("#q").split()]
    assert typed[1] == pytest.approx(dec, abs=0.02) and typed[0] == pytest.approx(ra, abs=0.02)  # a pixel of the map
    page.go_back()
    page.wait_for_function("() => document.getElementById('map').cells.some(one => one.cell > 50000)")
    page.select_option("#cfilter", "zi")
    assert page.inner_text("#map-said") == "No image of this filter is held."


def test_the_sky_shows_objects_and_catalogues_where_they_are(page, served, held, local):
    ra, dec = held[1]
    page.goto(f"{served.base}/?tab=sky&q={ra}+{dec}")
    page.wait_for_selector("#sky-said >> text=images cover this position")
    marks = pd.DataFrame(page.evaluate("() => document.getElementById('sky').marks"))
    box = page.locator("#sky").bounding_box()
    scale = 120.0 / (min(box["width"], box["height"]) - 2)  # arcsec of a pixel, within the border
    middle = SkyCoord(ra, dec, unit="deg")
    for layer, table in (
        ("objects", local.sql("select distinct object_id as id, ra, dec from object_summary")),
        ("ps1", local.catalogue_cone("ps1", ra, dec, 200.0).rename(columns={"reference_id": "id"})),
    ):
        own = marks[marks["layer"] == layer].set_index("id")
        assert len(own)
        table = table.assign(id=table["id"].astype(str)).set_index("id").loc[own.index]
        away = middle.spherical_offsets_to(SkyCoord(table["ra"], table["dec"], unit="deg"))
        # offsets along the sphere: within 1e-5 of the tangent plane over an arcminute
        x = (box["width"] - 2) / 2 - away[0].to_value("arcsec") / scale
        y = (box["height"] - 2) / 2 - away[1].to_value("arcsec") / scale
        np.testing.assert_allclose(own["x"], x, atol=0.5)
        np.testing.assert_allclose(own["y"], y, atol=0.5)
    dark = page.evaluate(DARKEST)
    assert np.hypot(dark[0] - box["width"] / 2, dark[1] - box["height"] / 2) < 1.5 / scale  # the star, within a pixel
    page.uncheck("[data-layer=ps1]")
    assert "ps1" in state(page, "shide")
    assert not (pd.DataFrame(page.evaluate("() => document.getElementById('sky').marks"))["layer"] == "ps1").any()
    from_middle = np.hypot(marks["x"] - box["width"] / 2, marks["y"] - box["height"] / 2)
    other = marks[(marks["layer"] == "objects") & from_middle.between(30, box["height"] / 2 - 20)].iloc[0]
    page.click("#sky", position={"x": other["x"] + 1, "y": other["y"] + 1})
    page.wait_for_function("before => !location.search.includes(before)", arg=f"q={ra}")
    typed = [float(word) for word in page.input_value("#q").split()]
    np.testing.assert_allclose(typed, [other["ra"], other["dec"]], atol=1e-6)
    page.wait_for_selector("#sky-said >> text=images cover this position")
    page.click("#tab-sky [data-tab=curve]")
    ready(page)
    assert len(page.evaluate("() => document.getElementById('plot').drawn")) == 30


DARKEST = """() => {
    const one = document.getElementById('sky'), dense = one.width / one.clientWidth;
    const {data} = one.getContext('2d').getImageData(0, 0, one.width, one.height);
    const [cx, cy] = [one.width / 2, one.height / 2];
    let [n, sx, sy] = [0, 0, 0];
    for (let y = Math.round(cy - 60); y < cy + 60; y++) for (let x = Math.round(cx - 60); x < cx + 60; x++) {
        const at = 4 * (y * one.width + x);
        if (data[at] < 40 && data[at + 1] < 40 && data[at + 2] < 40) { n++; sx += x; sy += y; }
    }
    return [sx / n / dense, sy / n / dense];
}"""


def test_stamps_blink_and_become_an_animated_picture(page, served, held, local, tmp_path):
    ra, dec = held[1]
    show(page, served, f"{ra} {dec}")
    page.wait_for_selector("#blink-bar:not([hidden])")
    page.select_option("#blink-rate", "8")
    page.click("#blink-run")
    seen = set()
    for _ in range(3):
        seen.add(page.get_attribute("#blink", "data-image"))
        page.wait_for_function("before => document.getElementById('blink').dataset.image !== before",
                               arg=page.get_attribute("#blink", "data-image"))  # fmt: skip
    assert len(seen) == 3
    page.click("#blink-run")
    assert page.inner_text("#blink-run") == "Blink"
    page.uncheck("[data-toggle=zr]")
    with page.expect_download() as saved:
        page.click("#blink-gif")
    saved.value.save_as(tmp_path / "stamps.gif")
    series = local.stamps(ra, dec, filters="zg", north_up=True)
    with Image.open(tmp_path / "stamps.gif") as picture:
        assert picture.n_frames == len(series) == 15 and picture.size == (23 * 6, 23 * 6)
        for number in (0, 7, 14):
            picture.seek(number)
            data = series[number].data
            low, high = np.percentile(data, (1.0, 99.5), method="nearest")
            grey = 255 * (1 - np.clip((data[::-1] - low) / (high - low), 0, 1))
            seen = np.asarray(picture.convert("L"))[3::6, 3::6]
            assert np.abs(seen.astype(float) - grey).max() <= 1.0  # rounding


def test_two_columns_are_plotted_and_a_plan_is_shown(page, served, local):
    page.goto(served.base + "/?tab=adql")
    page.fill("#adql", "select n, median_mag, chi2, filtercode from ztf.object_summary")
    page.click("#query button[type=submit]")
    page.wait_for_selector("#scatter-parts:not([hidden])")
    truth = local.sql("select n, median_mag, chi2 from object_summary")
    assert page.input_value("#ay") == "median_mag" and page.locator("#ax option").count() == 3
    page.select_option("#ax", "chi2")
    drawn = page.evaluate("() => document.getElementById('scatter').drawn.map(one => [one.x, one.y])")
    truth = truth.dropna()
    assert sorted(map(tuple, drawn)) == sorted(zip(truth["chi2"], truth["median_mag"], strict=True))
    assert state(page, "ax") == "chi2"
    page.fill("#adql", "select top 5 ra from ztf.source where source_id = 7")
    page.click("#plan-run")
    page.wait_for_selector("#plan:not([hidden])")
    engine = local.url.partition(":")[0].partition("+")[0]
    assert engine in page.inner_text("#plan h2") and "source" in page.inner_text("#plan pre")
    assert re.search(r"primary key|pk_source|source_pkey|Index", page.inner_text("#plan pre"), re.IGNORECASE)
    page.allowed.append("status of 400")
    page.fill("#adql", "delete from ztf.source")
    page.click("#plan-run")
    page.wait_for_selector("#adql-said:not(:empty)")
    assert page.is_hidden("#plan")


def test_irsas_light_curves_are_offered_where_they_are_held(browser, field, tmp_path):
    pa = pytest.importorskip("pyarrow")
    folder, made = field
    times = np.linspace(58300.2, 59200.2, 40)
    curve = {"hmjd": times, "mag": 16 + 0.3 * np.sin(times), "magerr": np.full(40, 0.02), "clrcoeff": np.zeros(40),
             "catflags": np.zeros(40, "i4")}  # fmt: skip
    lists = {name: pa.array([values]) for name, values in curve.items()}
    columns = {
        "objectid": np.array([686103400034440]), "filterid": np.array([1]), "objra": np.array([made.ra]),
        "objdec": np.array([made.dec]), "nepochs": np.array([40]),
        "lightcurve": pa.StructArray.from_arrays(list(lists.values()), list(lists)),
    }  # fmt: skip
    (tmp_path / "lc").mkdir()
    place = write_hats(tmp_path / "lc", columns, ra="objra", dec="objdec", group=2, order=4)
    url = f"sqlite:///{tmp_path}/night.sqlite"
    with ztfdb.open(url, create=True) as archive:
        archive.ingest(sorted((folder / "images").glob("*sciimg.fits"))[:2])
        archive.add_catalogue("irsa", f"hats:{place}")
        with Serving(url) as service, fresh_page(browser, service.base) as page:
            show(page, service, f"{made.ra:.6f} {made.dec:.6f}")
            page.wait_for_selector("#phot option[value=irsa]:not([hidden])", state="attached")
            for phot, n in (("irsa", 40), ("irsa-both", 42)):
                with page.expect_response(re.compile(rf"lightcurve.*phot={phot}(&|$)")):
                    page.select_option("#phot", phot)
                ready(page)
                drawn = pd.DataFrame(page.evaluate("() => document.getElementById('plot').drawn"))
                truth = archive.light_curve(round(made.ra, 6), round(made.dec, 6), phot=phot).data
                assert len(drawn) == len(truth) == n
                assert sorted(drawn["y"]) == sorted(truth["mag"])
            page.click("#find-period")
            page.wait_for_selector("#periods-said >> text=of one photometry")
            page.allowed.append("status of 400")


def test_views_say_that_the_service_is_gone_and_come_back(page, served, held):
    """Slow answers say so meanwhile; what failed is asked for anew."""
    page.allowed.append("ERR_FAILED")
    views = {
        "objects": ("**/tap/sync", "#objects-said", "#objects td", "#cuts [type=submit]"),
        "coverage": (
            "**/api/v1/coverage**",
            "#map-said",
            "#map-said >> text=square degrees",
            "nav [data-tab=coverage]",
        ),
        "sky": ("**/api/v1/images**", "#sky-said", "#sky-said >> text=images cover", "nav [data-tab=sky]"),
    }
    for name, (asked, words, shown, again) in views.items():
        page.route(asked, lambda route: route.abort())
        page.goto(f"{served.base}/?q={held[1][0]}+{held[1][1]}&tab={name}&ochi=")
        page.wait_for_selector(f"{words} >> text=The service does not answer")
        page.unroute(asked)
        page.click(again)
        page.wait_for_selector(shown)
    waiting = []

    def hold(route) -> None:
        waiting.append(route)

    page.route("**/api/v1/periodogram**", hold)
    page.click("nav [data-tab=curve]")
    ready(page)
    page.click("#find-period")
    page.wait_for_selector("#periods-said >> text=Searching")
    assert len(waiting) == 1
    waiting[0].continue_()
    page.wait_for_selector("#peaks td")


@pytest.mark.parametrize("columns", ["source_id, flux_aper4", "source_id, image_id", "*"])
def test_ids_can_be_plotted_and_the_page_goes_on(page, served, columns):
    """Ids are wider than the numbers of a browser: neighbours fall on one number, and no tick lies between them."""
    page.goto(served.base + "/?tab=adql")
    page.fill("#adql", f"select top 10 {columns} from ztf.source order by flux_aper4 desc")
    page.click("#query button[type=submit]")
    page.wait_for_selector("#scatter-parts:not([hidden])")
    if columns != "source_id, image_id":
        assert page.input_value("#ax") not in ("source_id", "image_id", "hpx29")
    page.select_option("#ax", "source_id")
    assert page.evaluate("() => document.getElementById('scatter').drawn.length") == 10
    page.reload()
    page.wait_for_selector("#scatter-parts:not([hidden])")
    assert page.input_value("#ax") == "source_id"


@pytest.mark.parametrize("x", ["mjd", "date", "ago"])
@pytest.mark.parametrize("view", ["-1e300,1e300,0,1", "1e18,1.0000000000000002e18,15,14", "-8e7,8e7,1e-300,2e-300"])
def test_a_link_to_any_view_opens(page, served, held, x, view):
    ra, dec = held[1]
    page.goto(f"{served.base}/?q={ra}+{dec}&x={x}&view={view}")
    ready(page)
    page.wait_for_function("() => document.getElementById('plot').painted !== undefined")
    assert "30 of 30 epochs" in page.inner_text("#caption")


def test_the_star_by_filter(page, served, held, local):
    ra, dec = held[1]
    show(page, served, f"{ra} {dec}")
    curve = local.light_curve(ra, dec, complete=True).data
    good = curve[curve["good"] & curve["mag"].notna()]
    assert page.inner_text("#caption").count("All images are simulated.") == 1
    cells = "rows => rows.map(one => [...one.cells].map(td => td.innerText))"
    rows = page.eval_on_selector_all("#summary tbody tr", cells)
    assert [row[0] for row in rows] == ["g", "r"]
    for row, code in zip(rows, ("zg", "zr"), strict=True):
        mag, magerr = (good.loc[good["filtercode"] == code, name].to_numpy(float) for name in ("mag", "magerr"))
        mean = np.average(mag, weights=magerr**-2)
        chi = np.sum(((mag - mean) / magerr) ** 2) / (len(mag) - 1)
        numbers = [len(mag), np.median(mag), np.std(mag, ddof=1), chi]
        shown = [float(row[k]) for k in (1, 2, 4, 5)]
        np.testing.assert_allclose(shown, numbers, atol=0.0051)
        assert row[3] == f"{mag.min():.3f} to {mag.max():.3f}" and row[6] == "varies"
