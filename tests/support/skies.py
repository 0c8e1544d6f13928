"""Small skies with trouble in them: stars, pairs, blends, fragments and moving stars, seen on many exposures."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session, sessionmaker

from tests.support.archives import NX, NY, Plan, Quadrant, image_row, quadrant_of, store_images, store_source_rows
from ztfdb.ids import SOURCE_ID_SHIFT
from ztfdb.sky.cells import sky_to_cell
from ztfdb.store.engine import writing

APERTURES = [f"flux_aper{k}{suffix}" for k in range(1, 7) for suffix in ("", "_err")]


@dataclass(frozen=True)
class Exposure:
    """One image: its row, and its sources by position (deg), flux and error (DN), flags and mask bits (-1: no mask)."""

    image: dict[str, Any]
    quadrant: Quadrant
    ra: NDArray[np.float64]
    dec: NDArray[np.float64]
    flux: NDArray[np.float64]
    flux_err: NDArray[np.float64]
    flags: NDArray[np.int64]
    mask_bits: NDArray[np.int64]

    @property
    def image_id(self) -> int:
        return int(self.image["image_id"])


def make_exposure(
    plan: Plan,
    epoch: int,
    ra: Any,
    dec: Any,
    flux: Any,
    flux_err: Any,
    flags: Any = 0,
    mask_bits: Any = 0,
    **image: Any,
) -> Exposure:
    """An exposure of a plan's first quadrant; `image` replaces values of its row."""
    ra = np.asarray(ra, float)
    columns = [np.broadcast_to(np.asarray(v), ra.shape).copy() for v in (dec, flux, flux_err, flags, mask_bits)]
    quadrant = _first_quadrant(plan)
    fixed = {"magzp": 26.0, "apcor4": -0.096, "infobits": 0, "has_mask": True} | image
    row = image_row(plan, epoch, quadrant, len(ra), np.random.default_rng(epoch), **fixed)
    return Exposure(row, quadrant, ra % 360.0, *columns)


@cache
def _first_quadrant(plan: Plan) -> Quadrant:
    return quadrant_of(plan, 0)


def store_exposure(maker: sessionmaker[Session], one: Exposure) -> None:
    """Store an exposure as ingest would."""
    n = len(one.ra)
    columns: dict[str, NDArray[Any]] = {
        "source_id": (one.image_id << SOURCE_ID_SHIFT) + np.arange(n, dtype=np.int64),
        "image_id": np.full(n, one.image_id, np.int64),
        "hpx29": sky_to_cell(one.ra, one.dec),
        "ra": one.ra,
        "dec": one.dec,
        "npix": np.full(n, 9),
        "flags": one.flags,
        "mask_bits": np.maximum(one.mask_bits, 0),
        "has_mask": one.mask_bits >= 0,
    }
    for name in ("x", "y", "a", "b", "theta", "peak", "flux_auto", "flux_auto_err", "kron_radius", "flux_radius"):
        columns[name] = np.ones(n)
    for name in ("background", "background_rms"):
        columns[name] = np.ones(n)
    for name in APERTURES:
        columns[name] = one.flux_err if name.endswith("_err") else one.flux
    with writing(maker) as session:
        store_images(session, [(one.image, one.quadrant)])
        store_source_rows(session, columns)


def troubled_sky(plan: Plan, n_epoch: int, *, n_star: int = 40, seed: int = 0) -> list[Exposure]:
    """Exposures of a crowd of stars around a plan's centre, a few arcsec apart, with all that makes joining hard.

    Positions scatter by seeing and S/N; close pairs blend on bad nights; some stars move, some break into fragments;
    flags, masks, bad images, a cutout of an exposure, a reference and exposures at the same time are among them.
    """
    rng = np.random.default_rng([seed, 77])
    size = 3.0 * np.sqrt(n_star)  # arcsec: a neighbour every few arcsec
    east, north = rng.uniform(-size, size, (2, n_star))
    pair = np.arange(0, n_star - 1, 4)
    angle = rng.uniform(0, 2 * np.pi, len(pair))
    apart = rng.uniform(0.3, 3.5, len(pair))
    east[pair + 1], north[pair + 1] = east[pair] + apart * np.cos(angle), north[pair] + apart * np.sin(angle)
    flux = 10.0 ** rng.uniform(1.6, 4.0, n_star)
    motion = np.where(rng.random((2, n_star)) < 0.05, rng.uniform(-4, 4, (2, n_star)), 0.0)
    exposures = [_night(plan, epoch, n_epoch, (east, north, motion), flux, rng) for epoch in range(n_epoch)]
    extra = exposures[n_epoch // 2]
    part = slice(0, len(extra.ra) // 2)
    columns = [v[part] for v in (extra.ra, extra.dec, extra.flux * 1.01, extra.flux_err, extra.flags, extra.mask_bits)]
    epoch = plan.first_epoch + n_epoch // 2
    exposures.append(make_exposure(
        plan, epoch, *columns, image_id=11 * 10**12 + epoch, pid=None, kind="cutout", nx=NX // 2, ny=NY // 2,
    ))  # fmt: skip
    columns = [extra.ra, extra.dec, extra.flux * 50, extra.flux_err, 0, 0]
    exposures.append(make_exposure(
        plan, epoch, *columns, image_id=10**13 + plan.field * 256, pid=None, expid=None, obsmjd=None, mjd_mid=None,
        kind="ref",
    ))  # fmt: skip
    return exposures


def _night(
    plan: Plan, number: int, n_epoch: int, sky: tuple[Any, Any, Any], light: Any, rng: np.random.Generator
) -> Exposure:
    east, north, motion = sky
    seeing = rng.uniform(1.4, 3.6)
    east, north = (place + motion[k] * number / n_epoch for k, place in enumerate((east, north)))
    seen = rng.random(len(light)) < 0.9
    x, y, flux = _blended(east[seen], north[seen], light[seen], 0.85 * seeing)
    broken = np.flatnonzero(rng.random(len(x)) < 0.03)
    x, y = (
        np.append(x, x[broken] + rng.normal(0, 0.8, len(broken))),
        np.append(y, y[broken] + rng.normal(0, 0.8, len(broken))),
    )
    flux = np.append(flux, 0.2 * flux[broken])
    error = np.sqrt(100.0 * seeing + flux / 6.2)
    flux = flux + rng.normal(0, error)
    noise = 0.03 + 0.5 * seeing * error / np.maximum(flux, error)
    x, y = x + rng.normal(0, 1, len(x)) * noise, y + rng.normal(0, 1, len(y)) * noise
    flags = np.where(rng.random(len(x)) < 0.1, 1 << rng.integers(0, 12, len(x)), 0)
    mask_bits = np.where(rng.random(len(x)) < 0.05, 1 << rng.integers(0, 13, len(x)), 0)
    dec = np.clip(plan.centre[1] + y / 3600.0, -90.0, 90.0)
    ra = plan.centre[0] + x / 3600.0 / np.maximum(np.cos(np.radians(dec)), 1e-9)
    bad = {"infobits": 1 << 25} if number % 11 == 10 else {}
    return make_exposure(plan, plan.first_epoch + number, ra, dec, flux, error, flags, mask_bits, **bad)


def _blended(x: Any, y: Any, flux: Any, resolution: float) -> tuple[Any, Any, Any]:
    """Join stars closer than the resolution, nearest first, at their centre of light."""
    x, y, flux = x.copy(), y.copy(), flux.copy()
    while len(x) > 1:
        apart = np.hypot(x[:, None] - x, y[:, None] - y)
        np.fill_diagonal(apart, np.inf)
        i, j = np.unravel_index(apart.argmin(), apart.shape)
        if apart[i, j] > resolution:
            break
        total = flux[i] + flux[j]
        x[i], y[i] = (x[i] * flux[i] + x[j] * flux[j]) / total, (y[i] * flux[i] + y[j] * flux[j]) / total
        flux[i] = total
        x, y, flux = (np.delete(v, j) for v in (x, y, flux))
    return x, y, flux
