"""SExtractor as the yardstick: run with fixed settings (``tests/data/sextractor``) on an image and its mask."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
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
    """Write SExtractor's catalogue of an image.

    It runs in a folder of links, because it takes no blank in a name, and folders may have some.
    """
    with tempfile.TemporaryDirectory() as folder:
        given = {"sci.fits": sci, "msk.fits": msk, "ztfdb.sex": SETTINGS / "ztfdb.sex"}
        for name, path in (given | {"ztfdb.param": SETTINGS / "ztfdb.param"}).items():
            (Path(folder) / name).symlink_to(path.resolve())
        options = {
            "PARAMETERS_NAME": "ztfdb.param",
            "FLAG_IMAGE": "msk.fits",
            "GAIN": fits.getheader(sci)["GAIN"],
            "FILTER_NAME": PACKAGED / "default.conv",
            "STARNNW_NAME": PACKAGED / "default.nnw",
            "CATALOG_NAME": "found.fits",
        }
        command = [require_sextractor(), "sci.fits", "-c", "ztfdb.sex"]
        for name, value in options.items():
            command += [f"-{name}", str(value)]
        subprocess.run(command, check=True, capture_output=True, cwd=folder)
        shutil.move(Path(folder) / "found.fits", catalogue)


def sextractor(sci: Path, msk: Path, folder: Path) -> NDArray[np.void]:
    """SExtractor's catalogue of an image; positions are 1-based, as it writes them."""
    catalogue = folder / "sextractor.fits"
    run_sextractor(sci, msk, catalogue)
    return np.asarray(fits.getdata(catalogue))
