"""Whole quadrants on disk without their weight: files of full size whose pixels far from one spot are holes."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from astropy.io import fits

from tests.support.measured import make_sources
from ztfdb.archive import Archive
from ztfdb.extract.measure import measurement_config
from ztfdb.extract.settings import ExtractionSettings
from ztfdb.frame.filename import parse_name
from ztfdb.frame.header import header_cards, image_info
from ztfdb.frame.wcs import wcs_parameters
from ztfdb.records import QUADRANT_SHAPE, BackgroundMesh, FileFacts, MeasuredImage
from ztfdb.simulate.exposure import Exposure
from ztfdb.simulate.header import mask_header, science_header
from ztfdb.sky.footprint import image_cells
from ztfdb.store.engine import writing
from ztfdb.store.images import store_image
from ztfdb.wcs import WcsParameters

SKY, RMS = 150.0, 8.0
SPOT_ROWS = slice(1700, 1800)
"""Rows that hold pixels; the rest of a file reads as zeros and takes no room on the disk."""

SPOT = (1200.25, 1750.75)
"""Zero-based pixel of the spot on every image."""

BLOCK = 2880

N_IMAGE = int(os.environ.get("ZTFDB_BENCHMARK_IMAGES", "300"))
"""Exposures that benchmarks look at."""


def write_quadrants(folder: Path, n: int) -> list[MeasuredImage]:
    """Write `n` exposures of one quadrant; return them as if they had been measured and no source been found."""
    shape = QUADRANT_SHAPE
    cells = wcs = None
    mesh_shape = (25, 24)
    mesh = BackgroundMesh(shape, (124, 128), np.full(mesh_shape, SKY, "f4"), np.full(mesh_shape, RMS, "f4"))
    config = measurement_config(ExtractionSettings())
    measured = []
    for number in range(n):
        exposure = Exposure(obsmjd=58500.2 + 3.0 * number, shape=shape, x0=0, y0=0, filtercode=("zg", "zr")[number % 2])
        rng = np.random.default_rng(number)
        rows = rng.normal(SKY, RMS, (SPOT_ROWS.stop - SPOT_ROWS.start, shape[1]))
        sci = folder / f"{exposure.stem}_sciimg.fits"
        msk = folder / f"{exposure.stem}_mskimg.fits"
        header = fits.PrimaryHDU(np.zeros(shape, ">f4"), science_header(exposure)).header
        bits = fits.PrimaryHDU(np.zeros(shape, ">i2"), mask_header(exposure)).header
        files = (
            _written(sci, "sci", header, rows.astype(">f4"), -32),
            _written(msk, "msk", bits, np.zeros(rows.shape, ">i2"), 16),
        )
        if wcs is None or cells is None:
            wcs = wcs_parameters(header, sci)
            cells = image_cells(wcs, shape[1], shape[0])
        measured.append(
            MeasuredImage(
                info=image_info(header, parse_name(sci), shape, sci, wcs=wcs),
                headers={"sci": header_cards(header), "msk": header_cards(bits)},
                wcs=wcs,
                mesh=mesh,
                background=SKY,
                background_rms=RMS,
                sky_noise=np.ones(6),
                cells=cells,
                files=files,
                sources=make_sources(0),
                config=config,
            )
        )
    return measured


def store_quadrants(archive: Archive, measured: list[MeasuredImage]) -> WcsParameters:
    """Store them; return their common WCS."""
    with writing(archive._sessions) as session:
        for one in measured:
            store_image(session, one)
    return measured[0].wcs


def _written(path: Path, role: str, header: fits.Header, rows: np.ndarray, bitpix: int) -> FileFacts:
    """Write a file whose pixels are holes but for the rows of the spot."""
    text = header.tostring(endcard=True, padding=True).encode("ascii")
    width = QUADRANT_SHAPE[1] * rows.dtype.itemsize
    size = -(-(len(text) + QUADRANT_SHAPE[0] * width) // BLOCK) * BLOCK
    with path.open("wb") as stream:
        stream.write(text)
        stream.seek(len(text) + SPOT_ROWS.start * width)
        stream.write(rows.tobytes())
        stream.truncate(size)
    facts = path.stat()
    return FileFacts(role, str(path), size, facts.st_mtime_ns, "0" * 64, 0, len(text), bitpix, 1.0, 0.0, "none")
