"""Measured images built by hand: what the pixel half would hand over, without pixels."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ztfdb.extract.settings import ExtractionSettings
from ztfdb.records import BackgroundMesh, FileFacts, ImageInfo, MeasuredImage, MeasurementConfig, SourceTable
from ztfdb.wcs import WcsParameters

EXPID = 136243179
RCID = 50


def make_sources(n: int = 20, *, seed: int = 0, mask: bool = True) -> SourceTable:
    """Plausible sources around (256, 33), some columns with NaN."""
    rng = np.random.default_rng(seed)

    def real(low: float, high: float) -> Any:
        return rng.uniform(low, high, n).astype("f4")

    flux = np.exp(rng.uniform(3, 12, (6, n))).astype("f4")
    radius = real(1, 3)
    radius[::7] = np.nan
    return SourceTable(
        number=np.arange(n, dtype=np.int64),
        hpx29=rng.integers(2**60, 2**60 + 2**40, n),
        ra=256 + rng.uniform(0, 0.9, n),
        dec=33 + rng.uniform(0, 0.9, n),
        x=rng.uniform(0, 3071, n),
        y=rng.uniform(0, 3079, n),
        a=real(0.8, 3),
        b=real(0.5, 0.8),
        theta=real(-1.5, 1.5),
        npix=rng.integers(5, 99, n, dtype=np.int32),
        peak=real(10, 1000),
        flux_auto=flux[3] * np.float32(1.1),
        flux_auto_err=real(1, 5),
        kron_radius=real(3, 6),
        flux_radius=radius,
        flux_aper=flux,
        flux_aper_err=np.sqrt(flux) + np.float32(1),
        flags=rng.integers(0, 8, n, dtype=np.int32),
        mask_bits=rng.integers(0, 4, n, dtype=np.int32) if mask else None,
        background=real(190, 210),
        background_rms=real(9, 11),
    )


def make_file(path: str | Path, content: str, role: str = "sci") -> FileFacts:
    """Facts of a file that need not exist; its size and checksum are those of `content`."""
    return FileFacts(
        role=role,
        path=str(path),
        size=len(content),
        mtime_ns=1_600_000_000_000_000_000,
        sha256=hashlib.sha256(content.encode()).hexdigest(),
        hdu=0,
        byte_offset=28800,
        bitpix=-32 if role == "sci" else 16,
        bscale=1.0,
        bzero=0.0,
        compression="none",
    )


def make_measured(
    path: str | Path = "/data/ztf/a_sciimg.fits",
    *,
    content: str = "pixels",
    mask: str | None = "mask",
    mask_path: str | Path | None = None,
    n_source: int = 20,
    seed: int = 0,
    **info: Any,
) -> MeasuredImage:
    """A measured quadrant; `content` and `mask` stand for the bytes of its files, `info` for `ImageInfo` fields.

    ``expid`` and ``rcid`` decide the ids that are not given.
    """
    expid, rcid = info.get("expid", EXPID), info.get("rcid", RCID)
    pid = expid * 10_000 + rcid * 100 + 15
    files = [make_file(path, content)]
    if mask is not None:
        files.append(make_file(mask_path or str(path).replace("sciimg", "mskimg"), mask, "msk"))
    settings = ExtractionSettings().to_dict()
    values = _INFO | {"image_id": pid, "pid": pid, "ccdid": rcid // 4 + 1, "qid": rcid % 4 + 1} | info
    return MeasuredImage(
        info=replace(_BLANK, **values),
        headers={f.role: {"SIMPLE": True, "OBJECT": f.role, "MAGZP": 26.25} for f in files},
        wcs=WcsParameters(
            "TAN", np.array([256.4, 33.4]), np.array([1536.5, 1540.5]), np.eye(2) * -2.8e-4, np.eye(2, 17, 1)
        ),
        mesh=BackgroundMesh((3080, 3072), (128, 128), np.full((25, 24), 200.5, "f4"), np.full((25, 24), 10, "f4")),
        background=200.5,
        background_rms=10.25,
        sky_noise=np.array([1.0, 1.01, 1.02, 1.05, 1.21, np.nan]),
        cells=np.arange(1_000_000, 1_000_080),
        files=tuple(files),
        sources=make_sources(n_source, seed=seed, mask=mask is not None),
        config=MeasurementConfig("0" * 64, settings, {"ztfdb": "0.1.0"}),
    )


_BLANK = ImageInfo(**dict.fromkeys(ImageInfo.__dataclass_fields__))  # type: ignore[arg-type]
_INFO: dict[str, Any] = {
    "kind": "sci",
    "simulated": False,
    "filefracday": 20200924431759,
    "field": 655,
    "rcid": RCID,
    "fid": 2,
    "filtercode": "zr",
    "expid": EXPID,
    "x0": 0,
    "y0": 0,
    "nx": 3072,
    "ny": 3080,
    "obsmjd": 59116.4317593,
    "mjd_mid": 59116.4319329,
    "exptime": 30.0,
    "magzp": 26.25,
    "apcor4": -0.09,
    "gain": 6.2,
    "infobits": 0,
    "procvsn": 1,
    "created": "2020-09-24T03:30:00",
    **dict.fromkeys(("ra", "ra1", "ra2", "ra3", "ra4"), 256.0),
    **dict.fromkeys(("dec", "dec1", "dec2", "dec3", "dec4"), 33.0),
}
