"""PSF catalogues for tests: the real one, and simulated exposures with theirs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from astropy.io import fits

import ztfdb
from ztfdb.simulate import SimulatedImage, make_psfcat, make_science_image

REAL = "ztf_000202_zg_c10_q1_refpsfcat.fits"
NIGHT = 59116.43


def real_refpsfcat(shared_data: Path) -> Path:
    """The real refpsfcat of 18,833 rows."""
    return shared_data / "refpsfcat" / REAL


def table_of(path: Path) -> dict[str, np.ndarray]:
    """The columns of a catalogue, in native byte order."""
    data = fits.getdata(path, 1)
    return {name: np.ascontiguousarray(data[name], data[name].dtype.newbyteorder("=")) for name in data.names}


def make_epochs(folder: Path, n: int = 4, *, catalogues: bool = True, **how) -> list[SimulatedImage]:
    """Exposures of the same 60 stars, in g and r by turns, each with its PSF catalogue."""
    settings = {"n_star": 60, "seed": 1, "shape": (300, 310)} | how
    made = []
    for number in range(n):
        filtercode = ("zg", "zr")[number % 2]
        one = make_science_image(folder, obsmjd=NIGHT + number, filtercode=filtercode, **settings)
        if catalogues:
            make_psfcat(one, seed=number)
        made.append(one)
    return made


def bright_star(image: SimulatedImage, number: int = 0) -> tuple[float, float, float]:
    """Position and magnitude of one of the brightest stars, well away from others and the edge."""
    t, (ny, nx) = image.truth, image.exposure.shape
    apart = np.hypot(t.x[:, None] - t.x, t.y[:, None] - t.y) + 1e3 * np.eye(len(t))
    inside = (t.x > 20) & (t.x < nx - 20) & (t.y > 20) & (t.y < ny - 20) & (apart.min(axis=1) > 15)
    best = np.flatnonzero(inside)[np.argsort(t.mag[inside])][number]
    return float(t.ra[best]), float(t.dec[best]), float(t.mag[best])


def fill_archive(url: str, folder: Path) -> list[tuple[float, float]]:
    """Fill an archive with images, ZTF's catalogues of them, PS1, matches, objects; return its brightest stars."""
    epochs = make_epochs(folder / "images")
    truth = epochs[0].truth
    mags = dict.fromkeys(("gMeanPSFMag", "rMeanPSFMag", "iMeanPSFMag"), truth.mag)
    table = pd.DataFrame({"objID": np.arange(len(truth)) + 2**60, "raMean": truth.ra, "decMean": truth.dec, **mags})
    table.to_csv(folder / "ps1.csv", index=False)
    with ztfdb.open(url, create=True) as archive:
        assert archive.ingest(folder / "images").failed == 0
        archive.import_catalogue("ps1", folder / "ps1.csv")
        archive.crossmatch("ps1")
        archive.build_objects()
        archive.check_psf()
        assert archive.measure_completeness().n_image > 1
    return [bright_star(epochs[0], number)[:2] for number in range(3)]
