"""Make the pictures of the service's page: every view, wide and as on a phone, light and dark.

Usage: python scripts/page_pictures.py [--folder docs/images/page] [--demo FOLDER]

A headless Chromium (of the system) opens ``ztfdb serve`` on the archive of ``ztfdb demo``, whose real quadrant is
fetched into the user's cache where it is not there yet. FOLDER keeps that archive for the next time. Needs
``pip install --group oracles`` (playwright) and Pillow.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import ztfdb
from tests.support.browsing import chromium
from tests.support.serving import Serving
from ztfdb.demo import build_demo
from ztfdb.quadrant import fetch_quadrant

SIZES = {"wide": {"width": 1280, "height": 900}, "phone": {"width": 390, "height": 844}}
SCHEMES = ("light", "dark")
STATEMENT = "select+x,+y,+flux_aper4,+ra,+dec+from+ztf.source+where+flux_aper4+>+20000"
VIEWS = {
    "curve": "?q={q}&e={e}",
    "periods": "?q={q}&e={e}&x=phase&period=9.7&pg=1&pmin=1",
    "sky": "?q={q}&tab=sky&swidth=2",
    "coverage": "?tab=coverage&cview=58,35.7,60",
    "objects": "?tab=objects&on=3&ochi=2",
    "adql": f"?tab=adql&adql={STATEMENT}&ax=x&ay=y",
    "status": "?tab=status",
}


def main() -> None:
    """Write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    root = Path(__file__).resolve().parents[1]
    parser.add_argument("--folder", type=Path, default=root / "docs" / "images" / "page")
    parser.add_argument("--demo", type=Path, help="where the archive is, or is made and kept")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        made = build_demo(asked.demo or Path(scratch), fetch_quadrant()[0])
        url = f"sqlite:///{made.database.absolute()}"
        with ztfdb.open(url) as archive:
            archive.update_objects()
            epochs = archive.light_curve(made.ra, made.dec).data
        words = {"q": f"{made.ra:.6f}+{made.dec:.6f}", "e": str(epochs.loc[epochs["mag"].idxmax(), "image_id"])}
        with Serving(url) as service, chromium("--hide-scrollbars") as browser:
            for size, viewport in SIZES.items():
                for scheme in SCHEMES:
                    pictures(browser, service.base, words, asked.folder, size, viewport, scheme)


def pictures(
    browser: Any, base: str, words: dict[str, str], folder: Path, size: str, viewport: dict[str, int], scheme: str
) -> None:
    """Write the pictures of one size and scheme."""
    context = browser.new_context(viewport=viewport, color_scheme=scheme, reduced_motion="reduce")
    page = context.new_page()
    for name, address in VIEWS.items():
        page.goto(f"{base}/{address.format(**words)}")
        page.wait_for_load_state("networkidle")
        if name == "adql":
            page.click("#query button[type=submit]")
            page.wait_for_selector("#rows td")
        page.wait_for_timeout(500)  # the last frame is drawn
        path = folder / f"{name}-{size}-{scheme}.png"
        write(page.screenshot(full_page=False), path)
        print(path)
    context.close()


def write(content: bytes, path: Path) -> None:
    """Write a picture in 256 colours; an octree keeps those of few pixels, such as a filter's."""
    with Image.open(io.BytesIO(content)) as picture:
        picture.convert("RGB").quantize(method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(
            path, optimize=True
        )


if __name__ == "__main__":
    main()
