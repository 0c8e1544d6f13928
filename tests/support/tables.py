"""Files of reference catalogues as their services write them."""

from __future__ import annotations

import numpy as np

MAST_NAMES = (
    "objID", "raMean", "decMean", "raMeanErr", "decMeanErr", "epochMean", "nDetections", "qualityFlag", "objInfoFlag",
    *(f"{band}{kind}" for band in "grizy" for kind in ("MeanPSFMag", "MeanPSFMagErr", "MeanKronMag")),
)  # fmt: skip


def object_ids(ra, dec):
    """objID as PS1 makes it: the zone of declination (120 to a degree), then right ascension, then the zone's rest."""
    zone = (dec + 90) * 120
    rest = (zone % 1 * 10**3).astype(np.int64)
    return zone.astype(np.int64) * 10**13 + (ra * 10**7).astype(np.int64) * 10**3 + rest


def mast_columns(n, *, seed=0, ra=(255.5, 256.5), dec=(32.5, 33.5)):
    """Columns of MAST's mean-object table: plausible stars in no order, some without a y magnitude (-999)."""
    rng = np.random.default_rng(seed)
    r = rng.uniform(14, 22, n)
    color = rng.normal(0.6, 0.3, n)
    mags = {"g": r + color, "r": r, "i": r - 0.5 * color, "z": r - 0.7 * color, "y": np.where(r > 21, -999.0, r - 0.8)}
    ra, dec = rng.uniform(*ra, n), rng.uniform(*dec, n)
    columns = {
        "objID": object_ids(ra, dec),
        "raMean": ra,
        "decMean": dec,
        "raMeanErr": rng.uniform(0.002, 0.05, n).round(4),
        "decMeanErr": rng.uniform(0.002, 0.05, n).round(4),
        "epochMean": rng.uniform(55500, 56500, n).round(5),
        "nDetections": rng.integers(1, 80, n),
        "qualityFlag": rng.choice([52, 60, 53], n),
        "objInfoFlag": rng.choice([436633600, 34013184], n),
    }
    for band in "grizy":
        columns[f"{band}MeanPSFMag"] = mags[band].round(4)
        columns[f"{band}MeanPSFMagErr"] = np.where(mags[band] < 0, -999.0, 0.005).round(4)
        columns[f"{band}MeanKronMag"] = np.where(mags[band] < 0, -999.0, mags[band] + 0.01).round(4)
    return columns


def write_csv(path, columns):
    """Write columns as CSV with full precision."""
    import pandas as pd

    pd.DataFrame(columns).to_csv(path, index=False)
    return path
