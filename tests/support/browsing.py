"""The page in a real browser: what opens it, and what tests of it do again and again."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs

import pandas as pd
import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NEEDS_CHROMIUM = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync"]  # fmt: skip
WAIT_MS = 120_000  # a machine that many share answers late, which is no failure
DRAWN = """() => document.getElementById('plot').drawn.map(one => ({
    key: one.epoch.key, kind: one.kind, x: one.x, y: one.y, low: one.low ?? null, high: one.high ?? null}))"""
PLACE = """key => {
    const plot = document.getElementById('plot'), box = plot.getBoundingClientRect();
    const at = plot.placeOf(key);
    return {x: box.x + at.x, y: box.y + at.y};
}"""


@contextmanager
def chromium(*flags: str) -> Iterator[Any]:
    """Open a browser that knows nothing of the machine's user."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, *flags])
        yield opened
        opened.close()


@contextmanager
def fresh_page(browser: Any, base: str, **how: Any) -> Iterator[Any]:
    """Open a fresh page; what it says on its console, and what it asks of other hosts, fails the test.

    ``page.allowed`` takes patterns of what is expected there.
    """
    context = browser.new_context(**{"viewport": {"width": 1300, "height": 1000}, **how})
    context.set_default_timeout(WAIT_MS)
    opened = context.new_page()
    wrong: list[str] = []
    opened.on("console", lambda m: m.type in ("error", "warning") and wrong.append(m.text))
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("request", lambda r: r.url.startswith((base, "blob:", "data:")) or wrong.append(r.url))
    opened.allowed = []
    yield opened
    context.close()
    left = [one for one in wrong if not any(re.search(word, one) for word in opened.allowed)]
    assert not left, left


def show(page, served, text, **options) -> None:
    """Type a position and wait for its light curve."""
    page.goto(served.base + "/")
    page.fill("#q", text)
    page.press("#q", "Enter")
    ready(page)


def ready(page) -> None:
    page.wait_for_selector("#curve:not([hidden])")
    page.wait_for_selector("#main[aria-busy=false]", state="attached")


def view(page) -> list[float]:
    return [float(one) for one in state(page, "view").split(",")]


def state(page, name: str) -> str:
    """What the address holds; the driver learns of it a moment later than the page."""
    return parse_qs(page.evaluate("location.search").removeprefix("?"))[name][0]


def drawn(page) -> pd.DataFrame:
    """The points of the light curve that are drawn, by the key of their epoch."""
    return pd.DataFrame(page.evaluate(DRAWN)).set_index("key")


def place_of(page, key: str) -> dict[str, float]:
    """Where in the window the point of an epoch is."""
    return page.evaluate(PLACE, key)
