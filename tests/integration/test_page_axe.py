"""Every view of the page under the rules of axe-core, which is MPL and no part of the package."""

from __future__ import annotations

import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")
pytest.importorskip("playwright.sync_api", reason="playwright, of the group oracles, is not installed")
pytest.importorskip("axe_playwright_python", reason="axe, of the group oracles, is not installed")

import ztfdb
from tests.support.browsing import NEEDS_CHROMIUM, fresh_page
from tests.support.serving import Serving
from tests.support.variables import make_variable

pytestmark = NEEDS_CHROMIUM

VIEWS = {
    "start": ("", "#suggest button"),
    "light curve": ("?q={q}", "#strip button"),
    "periods": ("?q={q}&pg=1&x=phase&period=0.6", "#peaks td"),
    "sky": ("?q={q}&tab=sky", "#sky-list td"),
    "sky without a position": ("?tab=sky", "#sky-empty"),
    "coverage": ("?tab=coverage&cview=58,35.7,100", "#map-said:not(:empty)"),
    "objects": ("?tab=objects&ochi=&on=", "#objects td"),
    "ADQL": ("?tab=adql", "#schema summary"),
    "status": ("?tab=status", "#status table"),
    "a wrong position": ("?q=95+95", "#words.bad"),
}


@pytest.fixture(scope="module")
def held(tmp_path_factory):
    """URL of an archive of eight exposures, with objects; where its variable is."""
    folder = tmp_path_factory.mktemp("axe")
    made = make_variable(folder, 8)
    url = f"sqlite:///{folder}/night.sqlite"
    with ztfdb.open(url, create=True) as archive:
        assert archive.ingest(folder / "images").failed == 0
        archive.build_objects()
    return url, f"{made.ra:.6f}+{made.dec:.6f}"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1300, 390])
def test_no_view_breaks_a_rule(browser, held, scheme, width):
    from axe_playwright_python.sync_playwright import Axe

    rules, told = Axe(), []
    with Serving(held[0]) as service:
        how = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme, "reduced_motion": "reduce"}
        with fresh_page(browser, service.base, **how) as page:
            page.allowed.append("status of 4")
            for name, (address, ready) in VIEWS.items():
                page.goto(f"{service.base}/{address.format(q=held[1])}")
                page.wait_for_selector(ready)
                if name == "light curve":
                    open_everything(page)
                if name == "ADQL":
                    run_a_statement(page)
                if name == "coverage":
                    page.click("#map-list-title")
                broken = rules.run(page).response["violations"]
                told += [f"{name}: {one['id']}: {node['html']}" for one in broken for node in one["nodes"]]
                wide = page.evaluate("() => document.documentElement.scrollWidth - innerWidth")
                told += [f"{name}: {wide} px wider than the window"] if wide > 0 else []
    assert not told, "\n".join(told)


def open_everything(page) -> None:
    page.focus("#plot")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("#epoch canvas[data-image]")
    page.click("#explain summary")
    page.wait_for_selector("#explain td")
    page.click("#table summary")
    page.click("#blink-run")
    page.click("#blink-run")


def run_a_statement(page) -> None:
    page.fill("#adql", "select top 30 ra, dec, x, y from ztf.source")
    page.click("#query button[type=submit]")
    page.wait_for_selector("#rows td")
    page.click("#plan-run")
    page.wait_for_selector("#plan:not([hidden])")
    page.click("#schema summary")
    page.wait_for_selector("#schema li")
