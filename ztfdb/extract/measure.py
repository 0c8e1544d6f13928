"""Measure one image, from its path to picklable records; worker processes run this.

This module imports neither SQLAlchemy nor pandas, directly or indirectly.
"""

from __future__ import annotations

import hashlib
import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from ztfdb import __version__
from ztfdb.arrays import BoolArray, FloatArray
from ztfdb.codes import APERTURE_DIAMETERS
from ztfdb.errors import ExtractionError, ImageError, ImageReadError, PsfCatalogueError
from ztfdb.extract.aperture import MASK_APERTURE, PixelFinder, aperture_sums, flux_errors, mask_in_aperture
from ztfdb.extract.detect import detect
from ztfdb.extract.flags import footprint_flags, source_flags
from ztfdb.extract.kernels import kernels
from ztfdb.extract.kron import kron_sums
from ztfdb.extract.noise import free_bins, sky_noise_ratios
from ztfdb.extract.objects import Objects, Pixels
from ztfdb.extract.position import window_sigma, windowed_positions
from ztfdb.extract.prepare import (
    FlaggedPixels,
    background_mask,
    bad_pixels,
    excluded_pixels,
    flagged_pixels,
    subtract_background,
)
from ztfdb.extract.radius import half_light_radius
from ztfdb.extract.settings import ExtractionSettings
from ztfdb.extract.sky import judge_sky
from ztfdb.frame.background import background_at, measure_background
from ztfdb.frame.fitsfile import read_bytes
from ztfdb.frame.psfcat import of_image, read_psfcat
from ztfdb.frame.read import Frame, read_frame
from ztfdb.records import BackgroundMesh, FileFacts, MeasuredImage, MeasurementConfig, PsfCatalogueRecord, SourceTable
from ztfdb.sky.cells import sky_to_cell
from ztfdb.sky.footprint import image_cells
from ztfdb.sky.projection import pixel_to_sky
from ztfdb.texts import one_line

RADIUS_SIGMA = 3.0
"""Minimum Kron flux over error for a meaningful half-light radius."""

SMALLEST_SIDE = 28
"""Pixels. A smaller image has fewer than 49 bins (`ztfdb.frame.background.BIN`) for the background, and a star leaves
hardly one free: magnitudes on a cutout of 10 px are 0.03 to 0.3 mag too faint, without any sign of it."""

WINDOW_STAR_SIGMA = 50.0
"""Minimum peak over pixel rms of stars that define the width of the windows."""


@dataclass
class _Steps:
    """Wall time by step."""

    seconds: dict[str, float] = field(default_factory=dict)
    _since: float = field(default_factory=time.perf_counter)

    def done(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name] = self.seconds.get(name, 0.0) + now - self._since
        self._since = now


def measure_image(
    path: str | Path,
    mask_path: str | Path | None = None,
    settings: ExtractionSettings | None = None,
    *,
    find_mask: bool = True,
    psfcat_path: str | Path | None = None,
) -> MeasuredImage:
    """Read one image, find its sources and measure them.

    Parameters
    ----------
    path : str or Path
        A science image, a cutout of one, or a reference.
    mask_path : str or Path, optional
        Its mask; by default the ``mskimg`` beside the image, if it exists.
    settings : ExtractionSettings, optional
        Settings of detection and measurement.
    find_mask : bool
        Whether to look for the mask if none is given.
    psfcat_path : str or Path, optional
        ZTF's own PSF catalogue of the image, which is read unchanged.

    Returns
    -------
    MeasuredImage
        For an image without sources the table is empty. An unusable PSF catalogue is an error in ``psfcat`` and changes
        nothing else.

    Raises
    ------
    ImageError
        Whatever `ztfdb.frame.read.read_frame` raises; ExtractionError when no pixel can be used.
    """
    settings = settings or ExtractionSettings()
    steps = _Steps()
    frame = read_frame(path, mask_path, find_mask=find_mask, hash_files=False)
    steps.done("read")
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="beside") as beside:
        digests = [beside.submit(_digest, facts) for facts in frame.files]
        psfcat = None if psfcat_path is None else beside.submit(_read_psfcat, psfcat_path, frame)
        measured = measure_frame(frame, settings, steps)
        files = tuple(
            replace(facts, sha256=digest.result()) for facts, digest in zip(frame.files, digests, strict=True)
        )
        measured = replace(measured, files=files, psfcat=None if psfcat is None else psfcat.result())
    steps.done("wait for sha256 and PSF catalogue")
    return measured


def _read_psfcat(path: str | Path, frame: Frame) -> PsfCatalogueRecord | ImageError:
    """Return the catalogue, or the error why it is unusable: the image is stored in any case."""
    try:
        return of_image(read_psfcat(path), frame.info, frame.wcs)
    except ImageError as exc:
        return exc
    except Exception as exc:
        error = PsfCatalogueError(path, f"unexpected {type(exc).__name__}: {one_line(exc)}")
        error.__cause__ = exc
        return error


def _digest(facts: FileFacts) -> str:
    """Return the sha256 of a file while its pixels are measured.

    One call reads the whole file and one hashes it, and both release the GIL. Hashing in chunks would block on ``sep``
    after each chunk, because ``sep`` holds the GIL. The buffer of the pixels cannot be hashed, because they are
    byte-swapped and changed in place; mapping the file would kill the process if the file were truncated meanwhile.
    """
    content = read_bytes(facts.path).content
    try:
        now = Path(facts.path).stat()
    except OSError as exc:
        raise ImageReadError(facts.path, f"the file disappeared while it was measured: {exc.strerror}") from exc
    if (len(content), now.st_mtime_ns) != (facts.size, facts.mtime_ns):
        raise ImageReadError(facts.path, "the file changed while it was measured")
    return hashlib.sha256(content).hexdigest()


def measure_frame(frame: Frame, settings: ExtractionSettings, steps: _Steps | None = None) -> MeasuredImage:
    """Find and measure the sources of an image in memory; its pixels are changed.

    Parameters
    ----------
    frame : Frame
        The image as read. Its pixels are background-subtracted in place (a second copy would be 38 MB).
    settings : ExtractionSettings
        Settings of detection and measurement.
    steps : optional
        Clock that was started before the image was read.

    Returns
    -------
    MeasuredImage

    Raises
    ------
    ExtractionError
        If the image is smaller than `SMALLEST_SIDE`, no pixel can be used, or the extraction engine fails.
    """
    steps = steps or _Steps()
    data, mask = frame.data, frame.mask
    if min(data.shape) < SMALLEST_SIDE:
        size = " × ".join(map(str, data.shape[::-1]))
        reason = f"{size} px are too small for a background: the star would be part of it"
        raise ExtractionError(frame.path, f"{reason}; {SMALLEST_SIDE} × {SMALLEST_SIDE} px are needed")
    try:
        mesh = measure_background(data, background_mask(mask), box=settings.background_box)
    except ValueError as exc:
        raise ExtractionError(frame.path, str(exc)) from exc
    flagged = None if mask is None else flagged_pixels(mask)
    excluded = excluded_pixels(data, flagged, all_finite=frame.all_finite)
    subtract_background(data, mesh, excluded)
    steps.done("background")
    objects, pixels = detect(data, mesh, settings)
    steps.done("detect")
    free = _source_free(pixels, flagged, excluded, data.shape)
    sky_noise = sky_noise_ratios(data, mesh, free, settings)
    steps.done("sky noise")
    sources = _measure_sources(frame, mesh, flagged, excluded, objects, pixels, sky_noise, settings, steps)
    sources, sky = judge_sky(mesh, sources, float(sky_noise[MASK_APERTURE]))
    cells = image_cells(frame.wcs, data.shape[1], data.shape[0])
    steps.done("sky positions")
    return MeasuredImage(
        info=frame.info,
        headers=frame.headers,
        wcs=frame.wcs,
        mesh=mesh,
        background=float(np.median(mesh.level)),
        background_rms=float(np.median(mesh.rms)),
        sky_noise=sky_noise,
        cells=cells,
        files=frame.files,
        sources=sources,
        config=measurement_config(settings),
        seconds=steps.seconds,
        caveats=frame.caveats | sky,
    )


def measurement_config(settings: ExtractionSettings) -> MeasurementConfig:
    """Return the settings and software of a measurement.

    Parameters
    ----------
    settings : ExtractionSettings
        The settings.

    Returns
    -------
    MeasurementConfig
        Its hash changes with any setting and any version.
    """
    content = {"settings": settings.to_dict(), "versions": software_versions()}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return MeasurementConfig(hashlib.sha256(text.encode()).hexdigest(), settings.to_dict(), dict(software_versions()))


@cache
def software_versions() -> dict[str, str]:
    """Return the versions of all software that affects the results."""
    import astropy
    import scipy
    import sep

    modules: dict[str, Any] = {"numpy": np, "scipy": scipy, "sep": sep, "astropy": astropy}
    if (compiled := kernels()) is not None:
        modules["ztfdb-kernels"] = compiled
    versions = {name: str(module.__version__) for name, module in modules.items()}
    # of this one only a compiled part is used; the package would load half of astropy
    return {"ztfdb": __version__, **versions, "astropy-healpix": version("astropy-healpix")}


def _source_free(
    pixels: Pixels, flagged: FlaggedPixels | None, excluded: BoolArray | None, shape: tuple[int, ...]
) -> BoolArray:
    occupied = bad_pixels(flagged, excluded, shape)
    occupied.ravel()[pixels.index] = True
    return free_bins(occupied)


def _measure_sources(
    frame: Frame,
    mesh: BackgroundMesh,
    flagged: FlaggedPixels | None,
    excluded: BoolArray | None,
    objects: Objects,
    pixels: Pixels,
    sky_noise: FloatArray,
    settings: ExtractionSettings,
    steps: _Steps,
) -> SourceTable:
    """Measure every detection: position, apertures, Kron flux, radius, flags, mask, sky position."""
    data, gain = frame.data, frame.info.gain
    finder = None if excluded is None else PixelFinder.of(excluded)
    level, rms = background_at(mesh, objects.x, objects.y)
    edge, saturated, peak = footprint_flags(objects, pixels, data, level, frame.mask, frame.info.saturate)
    stars = ~(objects.blended | saturated | edge) & (peak > WINDOW_STAR_SIGMA * rms)
    sigma = window_sigma(data, objects.x, objects.y, objects.a, objects.b, stars)
    x, y, lost = windowed_positions(data, objects.x, objects.y, objects.a, sigma, excluded, finder)
    level, rms = background_at(mesh, x, y)
    steps.done("windowed positions")
    sums = aperture_sums(data, x, y, excluded, finder=finder)
    errors = flux_errors(sums.flux, sums.area, rms, sky_noise[:, None], gain)
    steps.done("apertures")
    kron = kron_sums(data, x, y, objects.a, objects.b, objects.theta, excluded, settings, finder)
    kron_error = flux_errors(kron.flux, kron.area, rms, ratio_for_area(kron.area, sky_noise), gain)
    steps.done("kron")
    radius = half_light_radius(sums.flux, kron.flux)
    with np.errstate(invalid="ignore"):
        radius[~(kron.flux > RADIUS_SIGMA * kron_error)] = np.nan
    flags = source_flags(objects, edge, saturated, sums, kron, lost, radius)
    bits = None
    if frame.mask is not None and flagged is not None:
        bits = mask_in_aperture(frame.mask, x, y, finder=PixelFinder(flagged.index, frame.shape))
    steps.done("radius, flags, mask")
    ra, dec = pixel_to_sky(frame.wcs, x, y)
    hpx29 = sky_to_cell(ra, dec)
    steps.done("sky positions")
    single = np.float32
    return SourceTable(
        number=np.arange(len(x), dtype=np.int64),
        hpx29=hpx29,
        ra=ra,
        dec=dec,
        x=x,
        y=y,
        a=objects.a.astype(single),
        b=objects.b.astype(single),
        theta=objects.theta.astype(single),
        npix=objects.npix.astype(np.int32),
        peak=peak.astype(single),
        flux_auto=kron.flux.astype(single),
        flux_auto_err=kron_error.astype(single),
        kron_radius=kron.radius.astype(single),
        flux_radius=radius.astype(single),
        flux_aper=sums.flux.astype(single),
        flux_aper_err=errors.astype(single),
        flags=flags,
        mask_bits=bits,
        background=level,
        background_rms=rms,
    )


def ratio_for_area(area: FloatArray, sky_noise: FloatArray) -> FloatArray:
    """Interpolate the sky-noise ratios to apertures of other areas.

    Parameters
    ----------
    area : ndarray, shape (n,)
        Areas, px².
    sky_noise : ndarray, shape (6,)
        Ratios of the six apertures.

    Returns
    -------
    ndarray of float64, shape (n,)
        Linear in the square root of the area; constant outside the measured range.
    """
    radius = np.asarray(APERTURE_DIAMETERS) / 2
    ratio: FloatArray = np.interp(np.sqrt(area / np.pi), radius, np.where(np.isfinite(sky_noise), sky_noise, 1.0))
    return ratio
