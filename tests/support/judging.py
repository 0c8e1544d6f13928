"""Artificial stars put into an image independently of ztfdb's own: what its model predicts beside what is found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.spatial import cKDTree

from tests.support.injection import Stars, inject, our_catalogue, their_catalogue
from ztfdb.frame.background import background_at
from ztfdb.phot.completeness import DetectionModel, crowding_light
from ztfdb.records import MeasuredImage
from ztfdb.simulate.profile import Profile

REACH = 0.8
"""Half width of the artificial stars' magnitudes about the predicted limit of their place."""


def injected(
    images: tuple[Path, Path],
    before: MeasuredImage,
    model: DetectionModel,
    profile: Profile,
    folder: Path,
    *,
    n_realisation: int,
    seed: int,
    spacing: float = 45.0,
    beside: bool = True,
) -> pd.DataFrame:
    """Inject stars and search the images with ztfdb, and with SExtractor beside it.

    Places are random (not in cells), magnitudes uniform about the predicted limit of the place, painted with
    `profile` at their own fraction of a pixel. A star is found where a source lies within 1.5 px, and nearer to it than
    to a source that the same program found before.

    Returns
    -------
    DataFrame
        A row per star: ``p`` (predicted), ``off`` (magnitude minus predicted limit50), ``rms``, ``light``, ``ours``,
        ``theirs`` (found).
    """
    rng = np.random.default_rng(seed)
    s = before.sources
    own = np.stack([s.x, s.y], axis=-1)
    known = {"ours": cKDTree(own)}
    if beside:
        known["theirs"] = cKDTree(their_catalogue(images, folder).points)
    ny, nx = before.info.ny, before.info.nx
    parts = []
    for number in range(n_realisation):
        places = rng.uniform(8, [nx - 9, ny - 9], (int(1.6 * nx * ny / spacing**2), 2))
        apart = cKDTree(places).query(places, 2)[0][:, 1] > 20
        places = places[apart & (known["ours"].query(places)[0] > 3.0)]
        rms = background_at(before.mesh, *places.T)[1].astype(float)
        light = crowding_light(*places.T, (s.x, s.y, s.flux_aper[3].astype(float)))
        limit = model.limit(0.5, rms, light)
        mag = np.where(np.isfinite(limit), limit, model.mag5) + rng.uniform(-REACH, REACH, len(places))
        stars = Stars(places[:, 0], places[:, 1], mag, np.zeros(len(places), bool))
        changed = inject(images, stars, profile, folder / str(number), rng)
        frame = pd.DataFrame({"p": model.probability(mag, rms, light), "off": mag - limit, "rms": rms, "light": light})
        for name, tree in known.items():
            catalogue = our_catalogue(changed) if name == "ours" else their_catalogue(changed, folder)
            distance, at = cKDTree(catalogue.points).query(places)
            frame[name] = (distance <= 1.5) & (distance < tree.query(catalogue.points[at])[0])
        for file in changed:
            file.unlink()
        parts.append(frame)
    return pd.concat(parts, ignore_index=True)


def half_found(frame: pd.DataFrame, who: str = "ours") -> float:
    """Where half of the stars are found, mag from the predicted limit: a logistic function with a largest value."""
    rows = frame[np.isfinite(frame.off)]
    off, found = rows.off.to_numpy(), rows[who].to_numpy(dtype=bool)

    def loss(values: np.ndarray) -> float:
        top = 1 / (1 + np.exp(-values[2]))
        p = np.clip(top / (1 + np.exp(values[1] * (off - values[0]))), 1e-9, 1 - 1e-9)
        return -float(np.where(found, np.log(p), np.log1p(-p)).sum())

    best = minimize(loss, [0.0, 4.0, 4.0], method="Nelder-Mead").x
    top = 1 / (1 + np.exp(-best[2]))
    return float(best[0] + np.log(2 * top - 1) / best[1])


def compared(frame: pd.DataFrame, low: float, high: float, which: np.ndarray | None = None) -> tuple[float, float, int]:
    """Predicted minus found of the stars between two probabilities, its error, and how many they are."""
    own = (frame.p > low) & (frame.p < high)
    if which is not None:
        own &= which
    rows = frame[own]
    error = np.sqrt(np.sum(rows.p * (1 - rows.p))) / len(rows)
    return float(rows.p.mean() - rows.ours.mean()), float(error), len(rows)
