"""SExtractor as the yardstick: run with fixed settings (``tests/data/sextractor``) on an image and its mask."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray

SETTINGS = Path(__file__).parent.parent / "data" / "sextractor"
PACKAGED = Path("/usr/share/source-extractor")


def require_sextractor() -> str:
    """Path of the program; skips the test where it is not installed."""
    found = shutil.which("source-extractor")
    if found is None or not (PACKAGED / "default.conv").exists():
        pytest.skip("source-extractor is not installed (Debian package source-extractor)")
    return found


def run_sextractor(sci: Path, msk: Path, catalogue: Path) -> None:
    """Write SExtractor's catalogue of an image."""
    options = {
        "PARAMETERS_NAME": SETTINGS / "ztfdb.param",
        "FLAG_IMAGE": msk,
        "GAIN": fits.getheader(sci)["GAIN"],
        "FILTER_NAME": PACKAGED / "default.conv",
        "STARNNW_NAME": PACKAGED / "default.nnw",
        "CATALOG_NAME": catalogue,
    }
    command = [require_sextractor(), str(sci), "-c", str(SETTINGS / "ztfdb.sex")]
    for name, value in options.items():
        command += [f"-{name}", str(value)]
    subprocess.run(command, check=True, capture_output=True)


def sextractor(sci: Path, msk: Path, folder: Path) -> NDArray[np.void]:
    """SExtractor's catalogue of an image; positions are 1-based, as it writes them."""
    catalogue = folder / "sextractor.fits"
    run_sextractor(sci, msk, catalogue)
    return np.asarray(fits.getdata(catalogue))
