"""Measure an image and its completeness with artificial stars in the same worker.

Worker processes run this module; it imports neither SQLAlchemy nor pandas, directly or indirectly.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from ztfdb.bits import Caveat
from ztfdb.codes import N_APERTURE
from ztfdb.extract.measure import measure_image
from ztfdb.extract.settings import ExtractionSettings
from ztfdb.records import MeasuredImage, StoredImage
from ztfdb.simulate.inject import Injected, Injection, InjectionSettings, inject_image, make_injection


def measure_and_judge(
    path: str | Path,
    mask_path: str | Path | None = None,
    settings: ExtractionSettings | None = None,
    *,
    judging: InjectionSettings,
    find_mask: bool = True,
    psfcat_path: str | Path | None = None,
) -> MeasuredImage:
    """Measure an image, then add artificial stars to it.

    Parameters
    ----------
    path, mask_path, settings, find_mask, psfcat_path
        As in `ztfdb.extract.measure.measure_image`.
    judging : InjectionSettings
        Settings of the artificial stars.

    Returns
    -------
    MeasuredImage
        Its ``detection`` is what `ztfdb.derive.completeness.measure_completeness` would store for the image; None for a
        reference. Errors of that step are in its ``failure`` and do not affect the image.

    Raises
    ------
    ImageError
        As `ztfdb.extract.measure.measure_image`.
    """
    settings = settings or ExtractionSettings()
    measured = measure_image(path, mask_path, settings, find_mask=find_mask, psfcat_path=psfcat_path)
    if measured.info.kind == "ref":
        return measured
    try:
        judged = inject_image(_injection(measured, settings, judging))
    except Exception as exc:  # the image itself was measured and is kept
        reason = f"unexpected {type(exc).__name__}: {' '.join(str(exc).split())}"
        judged = Injected(measured.info.image_id, failure=reason)
    return replace(measured, detection=judged.to_row(len(measured.sources), judging))


def _injection(measured: MeasuredImage, settings: ExtractionSettings, judging: InjectionSettings) -> Injection:
    info, table = measured.info, measured.sources
    image = StoredImage(
        image_id=info.image_id,
        shape=(info.ny, info.nx),
        wcs=measured.wcs,
        files=measured.files,
        cards=measured.headers,
        mesh=measured.mesh,
        sky_noise=measured.sky_noise,
        gain=info.gain,
        window=(info.x0, info.y0),
        sky_biased=bool(measured.caveats & Caveat.SKY_BIASED),
    )
    sources = {name: getattr(table, name) for name in ("x", "y", "flags")}
    sources |= {f"flux_aper{k + 1}": table.flux_aper[k] for k in range(N_APERTURE)}
    sources["flux_aper4_err"] = table.flux_aper_err[3]
    zeropoint = (_number(info.magzp), _number(info.apcor4))
    return make_injection(image, zeropoint, sources, settings, judging)


def _number(value: float | None) -> float:
    return np.nan if value is None else float(value)
