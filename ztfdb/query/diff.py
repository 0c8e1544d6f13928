"""Compare two archives of the same images: the effect of other settings, versions or calibrations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy.orm import Session

from ztfdb.arrays import Columns, IntArray, Progress
from ztfdb.phot.magnitudes import POGSON
from ztfdb.phot.surface import quadrant_places, surface_at
from ztfdb.phot.trend import robust_scatter
from ztfdb.sky.match import match_mutual
from ztfdb.store.calibrations import sources_to_calibrate
from ztfdb.store.image_choice import chosen_images, image_row
from ztfdb.store.image_files import find_files
from ztfdb.store.provenance import settings_of
from ztfdb.store.self_terms import self_terms
from ztfdb.store.zero_points import METHODS, zeropoints

RADIUS = 1.0
"""arcsec within which sources of two archives are the same."""

BRIGHT_SNR = 20.0
"""Least signal to noise, in both archives, of the sources used for the differences of an image."""

MAG_STEP = 0.5


IMAGE_COLUMNS = (
    "image_id", "field", "ccdid", "qid", "filtercode", "obsmjd", "n_source_a", "n_source_b", "n_matched", "n_lost",
    "n_gained", "n_bright", "mag_difference", "mag_scatter", "ra_offset", "dec_offset", "position_rms", "same_files",
    "same_settings", "same_software", "severity",
)  # fmt: skip
MAG_COLUMNS = ("mag", "n_matched", "n_lost", "n_gained", "mag_difference", "mag_scatter", "expected", "position_rms")
SOURCE_COLUMNS = (
    "image_id", "kind", "source_id_a", "source_id_b", "ra", "dec", "mag", "mag_err", "mag_difference", "ra_offset",
    "dec_offset", "flags_a", "flags_b",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class ArchiveDiff:
    """Differences (B minus A) between two archives, A and B, on the images that both have.

    Attributes
    ----------
    images : DataFrame
        One row per image, the worst first: numbers of sources, of those matched, lost (in A alone) and gained (in B
        alone); median and robust scatter of the magnitude differences of sources with `BRIGHT_SNR`; offsets (arcsec)
        and rms of positions; whether files, settings and software are the same; ``severity``, the sum of the fraction
        of sources that are not matched, the absolute ``mag_difference`` and ``mag_scatter`` (mag), and the offset of
        positions (arcsec).
    magnitudes : DataFrame
        One row per half magnitude (of A; of B for sources gained).
    sources : DataFrame
        One row per source: ``kind`` is matched, lost or gained. Empty without ``sources=True``.
    only_a, only_b : ndarray of int64
        Images in only one of the archives.
    """

    images: pd.DataFrame
    magnitudes: pd.DataFrame
    sources: pd.DataFrame
    only_a: IntArray
    only_b: IntArray


def diff_archives(
    session_a: Session,
    session_b: Session,
    *,
    image_ids: Sequence[int] | None = None,
    aperture: int = 4,
    calibration: str = "header",
    calibration_b: str | None = None,
    radius: float = RADIUS,
    sources: bool = True,
    progress: Progress | None = None,
) -> ArchiveDiff:
    """Compare the sources of the images that two archives have in common.

    Parameters
    ----------
    session_a, session_b : Session
    image_ids : sequence of int, optional
        Images to compare; by default all that both have.
    aperture : int
        1 to 6.
    calibration, calibration_b : str
        ``header``, ``ps1`` or ``self``; that of B is that of A by default. An image without a zero point in either
        archive is compared by -2.5 log10 of the fluxes of both.
    radius : float
        Two sources match if each is the other's nearest within this, arcsec.
    sources : bool
        Also return the sources.
    progress : callable, optional
        Called with the number of images done, and of all.

    Raises
    ------
    UnknownImageError
        If one of `image_ids` is not in both archives.
    ValueError
        If the aperture, a calibration or the radius is invalid.
    """
    kinds = (calibration, calibration if calibration_b is None else calibration_b)
    for kind in kinds:
        if kind not in METHODS:
            raise ValueError(f"calibration {kind!r}: expected {', '.join(METHODS[:-1])} or {METHODS[-1]}")
    if not 0.0 < radius <= 60.0:
        raise ValueError(f"radius {radius!r}: expected more than 0 and at most 60 arcsec")
    a, b = (np.array(chosen_images(session, image_ids), np.int64) for session in (session_a, session_b))
    common = np.intersect1d(a, b)
    rows, parts = [], []
    for done, image_id in enumerate(common.tolist(), start=1):
        facts = [image_row(session, image_id) for session in (session_a, session_b)]
        found = [
            _measured(session, image_id, fact, aperture, kind)
            for session, fact, kind in zip((session_a, session_b), facts, kinds, strict=True)
        ]
        _calibrate(found)
        part = _matched(image_id, found[0], found[1], radius)
        same = [settings_of(session, image_id) for session in (session_a, session_b)]
        rows.append(_image_row(facts[0], found, part, same, _same_files(session_a, session_b, image_id)))
        parts.append(part)
        if progress is not None:
            progress(done, len(common))
    everything = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=[*SOURCE_COLUMNS, *_INNER])
    images = pd.DataFrame(rows, columns=list(IMAGE_COLUMNS))
    images = images.sort_values(["severity", "image_id"], ascending=[False, True])
    return ArchiveDiff(
        images=images.reset_index(drop=True),
        magnitudes=_by_magnitude(everything),
        sources=everything[list(SOURCE_COLUMNS)] if sources else everything.loc[:0, list(SOURCE_COLUMNS)].iloc[:0],
        only_a=np.setdiff1d(a, b),
        only_b=np.setdiff1d(b, a),
    )


_INNER = ("snr", "separation")


def _measured(session: Session, image_id: int, facts: dict[str, Any], aperture: int, calibration: str) -> Columns:
    """Return the sources of an image with their instrumental magnitudes, and the zero points of these (NaN: none)."""
    found = sources_to_calibrate(session, image_id)
    flux = found[f"flux_aper{aperture}"].astype(np.float64)
    flux_err = found[f"flux_aper{aperture}_err"].astype(np.float64)
    one = np.array([image_id])
    if calibration == "self":
        terms = {name: values[0] for name, values in self_terms(session, one, aperture).items()}
        u, v = quadrant_places(found["x"], found["y"], facts["nx"], facts["ny"])
        zeropoint = terms["plain"] + surface_at(u, v, terms)
    else:
        known = zeropoints(session, one, aperture=aperture, calibration=calibration)["zeropoint"]
        zeropoint = np.broadcast_to(known, len(flux))
    with np.errstate(invalid="ignore", divide="ignore"):
        positive = np.where(flux > 0.0, flux, np.nan)
        mag = -2.5 * np.log10(positive)
        snr = flux / np.where(flux_err > 0.0, flux_err, np.nan)
    return {
        **{name: found[name] for name in ("source_id", "ra", "dec", "flags")},
        "mag": mag,
        "zeropoint": zeropoint,
        "snr": snr,
        "mag_err": POGSON / np.where(snr > 0.0, snr, np.nan),
    }


def _calibrate(found: list[Columns]) -> None:
    """Calibrate the magnitudes of an image in both archives; if one lacks its calibration, in neither."""
    if not any(np.isnan(one["zeropoint"]).any() for one in found):
        for one in found:
            one["mag"] = one["zeropoint"] + one["mag"]


def _matched(image_id: int, a: Columns, b: Columns, radius: float) -> pd.DataFrame:
    """Return matched, lost and gained sources of an image, one row each."""
    pairs = match_mutual(a["ra"], a["dec"], b["ra"], b["dec"], radius)
    i, j = pairs.index1, pairs.index2
    lost = np.setdiff1d(np.arange(len(a["ra"])), i)
    gained = np.setdiff1d(np.arange(len(b["ra"])), j)
    ra_offset = (b["ra"][j] - a["ra"][i] + 180.0) % 360.0 - 180.0
    both = {
        "source_id_a": a["source_id"][i],
        "source_id_b": b["source_id"][j],
        **{name: a[name][i] for name in ("ra", "dec", "mag", "mag_err")},
        "mag_difference": b["mag"][j] - a["mag"][i],
        "ra_offset": ra_offset * np.cos(np.radians(a["dec"][i])) * 3600.0,
        "dec_offset": (b["dec"][j] - a["dec"][i]) * 3600.0,
        "flags_a": a["flags"][i],
        "flags_b": b["flags"][j],
        "snr": np.minimum(a["snr"][i], b["snr"][j]),
        "separation": pairs.separation,
    }
    tables = [pd.DataFrame({"kind": "matched", **both})]
    for kind, own, at, letter in (("lost", a, lost, "a"), ("gained", b, gained, "b")):
        columns = {name: own[name][at] for name in ("ra", "dec", "mag", "mag_err", "snr")}
        columns |= {f"source_id_{letter}": own["source_id"][at], f"flags_{letter}": own["flags"][at]}
        tables.append(pd.DataFrame({"kind": kind, **columns}))
    table = pd.concat(tables, ignore_index=True)
    for name in ("source_id_a", "source_id_b", "flags_a", "flags_b"):
        exact = [t[name].astype("Int64") if name in t else pd.array([None] * len(t), "Int64") for t in tables]
        table[name] = pd.concat([pd.Series(values) for values in exact], ignore_index=True)
    table["image_id"] = image_id
    return table[[*SOURCE_COLUMNS, *_INNER]]


def _image_row(
    facts: dict[str, Any], found: list[Columns], part: pd.DataFrame, configs: list[Any], same_files: bool
) -> dict[str, Any]:
    n = part["kind"].value_counts()
    matched = part[part["kind"] == "matched"]
    bright = matched[(matched["snr"] >= BRIGHT_SNR) & matched["mag_difference"].notna()]
    if not len(bright):
        bright = matched[matched["mag_difference"].notna()]
    row: dict[str, Any] = {name: facts[name] for name in ("image_id", "field", "ccdid", "qid", "filtercode", "obsmjd")}
    row |= {"n_source_a": len(found[0]["ra"]), "n_source_b": len(found[1]["ra"]), "n_bright": len(bright)}
    row |= {f"n_{kind}": int(n.get(kind, 0)) for kind in ("matched", "lost", "gained")}
    row |= _differences(bright)
    (settings_a, versions_a, _), (settings_b, versions_b, _) = configs
    row |= {"same_settings": settings_a == settings_b, "same_software": versions_a == versions_b}
    row["same_files"] = same_files
    unmatched = (row["n_lost"] + row["n_gained"]) / max(len(part), 1)
    away = float(np.hypot(row["ra_offset"], row["dec_offset"]))
    row["severity"] = unmatched + float(np.nansum([abs(row["mag_difference"]), row["mag_scatter"], away]))
    return row


def _differences(rows: pd.DataFrame) -> dict[str, float]:
    if not len(rows):
        return dict.fromkeys(("mag_difference", "mag_scatter", "ra_offset", "dec_offset", "position_rms"), np.nan)
    difference = rows["mag_difference"].to_numpy(float)
    ra, dec = rows["ra_offset"].to_numpy(float), rows["dec_offset"].to_numpy(float)
    return {
        "mag_difference": float(np.median(difference)),
        "mag_scatter": robust_scatter(difference),
        "ra_offset": float(np.median(ra)),
        "dec_offset": float(np.median(dec)),
        "position_rms": float(np.sqrt(np.mean(ra**2 + dec**2))),
    }


def _by_magnitude(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the statistics by magnitude bin (`MAG_STEP`); sources without a magnitude are left out."""
    known = rows[rows["mag"].notna()]
    bins = np.floor(known["mag"].to_numpy(float) / MAG_STEP).astype(np.int64)
    table = []
    for one in np.unique(bins).tolist():
        own = known[bins == one]
        n = own["kind"].value_counts()
        matched = own[(own["kind"] == "matched") & own["mag_difference"].notna()]
        differences = _differences(matched)
        expected = float(np.median(matched["mag_err"])) if len(matched) else np.nan
        table.append(
            {"mag": (one + 0.5) * MAG_STEP, "expected": expected}
            | {f"n_{kind}": int(n.get(kind, 0)) for kind in ("matched", "lost", "gained")}
            | {name: differences[name] for name in ("mag_difference", "mag_scatter", "position_rms")}
        )
    return pd.DataFrame(table, columns=list(MAG_COLUMNS))


def _same_files(session_a: Session, session_b: Session, image_id: int) -> bool:
    one, other = (
        {file.role: file.facts.sha256 for file in find_files(session, image_id)} for session in (session_a, session_b)
    )
    return one == other
