"""Make the pictures of docs/seed_readme.md, and a plot of the demo's light curve, from the real quadrant.

Usage: python scripts/make_pictures.py [--psf FILE] [--folder docs/images]

The quadrant is fetched into the user's cache where it is not there yet. The light curve is that of ``ztfdb demo``.
FILE is any DAOPHOT .psf file of ZTF; without it the picture of the PSF is left as it is.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

import ztfdb
from ztfdb import dao, image
from ztfdb.demo import build_demo
from ztfdb.quadrant import fetch_quadrant

DPI = 90
STAR = (1503.2, 1601.4)
"""Near this pixel a bright, unsaturated star is looked for."""
DETAIL = (1400, 1700, 1500, 1800)
"""Columns and rows of the detail that shows the sources."""


def main() -> None:
    """Write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--psf", type=Path, help="a sciimgdao.psf file")
    parser.add_argument("--folder", type=Path, default=Path(__file__).resolve().parents[1] / "docs" / "images")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    quadrant = fetch_quadrant()
    save(light_curve(quadrant[0]), asked.folder / "lightcurve.png")
    z = image.ScienceImage(*quadrant)
    z.load_source_background()
    save(z.show().figure, asked.folder / "sciimg_masked_bkgdsub.png")
    z.extract_sources(data="dataclean", setmag=True)
    ax = z.show(show_sources=True, vmax="99.7")
    ax.set(xlim=DETAIL[:2], ylim=DETAIL[2:])
    save(ax.figure, asked.folder / "sources.png")
    save(z.get_stamp(*star(z), dx=23, dy=23).show().figure, asked.folder / "StarStamp.png")
    if asked.psf is not None:
        save(dao.DAOPhotReader(asked.psf).show(), asked.folder / "daophot_composition.png")


def light_curve(science: Path) -> Figure:
    """Draw the light curve of the demo's star, from an archive that is built for it."""
    with tempfile.TemporaryDirectory() as folder:
        made = build_demo(Path(folder), science)
        with ztfdb.open(f"sqlite:///{made.database}", read_only=True) as archive:
            return archive.light_curve(made.ra, made.dec).plot().figure


def star(z: image.ScienceImage) -> tuple[float, float]:
    """Position of the nearest star to `STAR` that is bright and not saturated."""
    table = z.sources
    assert table is not None
    bright = table[table["peak"].between(3_000, 20_000)]
    distance = (bright["x"] - STAR[0]) ** 2 + (bright["y"] - STAR[1]) ** 2
    nearest = bright.loc[distance.idxmin()]
    return float(nearest["x"]), float(nearest["y"])


def save(figure: Figure, path: Path) -> None:
    """Write one picture."""
    figure.savefig(path, dpi=DPI)
    plt.close(figure)
    print(path)


if __name__ == "__main__":
    main()
