"""The provenance of a source: its files, cards and settings, and the source measured again from its file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy.orm import Session

from ztfdb.arrays import Places
from ztfdb.bits import CAVEAT_WORDS, Caveat
from ztfdb.codes import N_APERTURE
from ztfdb.errors import ImageError, UnknownSourceError
from ztfdb.extract.measure import measure_image, measurement_config
from ztfdb.extract.settings import ExtractionSettings
from ztfdb.frame.window import check_file
from ztfdb.ids import SOURCE_ID_SHIFT
from ztfdb.query.dataframes import data_frame
from ztfdb.records import MeasuredImage
from ztfdb.sky.angles import separation
from ztfdb.store.image_choice import image_row
from ztfdb.store.image_files import StoredFile, find_files
from ztfdb.store.provenance import calibrations_of, cards_of, settings_of, source_of

CARDS = (
    "OBSMJD", "EXPTIME", "FILTER", "FIELDID", "CCD_ID", "QID", "BUNIT", "GAIN", "READNOI", "SATURATE", "SEEING",
    "MAGLIM", "MAGZP", "MAGZPUNC", "MAGZPRMS", "CLRCOEFF", "PCOLOR", *(f"APCOR{k}" for k in range(1, 7)), "INFOBITS",
    "STATUS", "PROCVSN", "CREATED",
)  # fmt: skip
"""Header cards that a measurement uses."""

SAME_PLACE = 1.0
"""Arcsec within which a source measured by other software counts as the same."""


@dataclass(frozen=True, eq=False)
class Explanation:
    """The provenance of a source.

    Attributes
    ----------
    source_id : int
    image : dict
        The image's row.
    files : DataFrame
        ``role``, ``path``, ``sha256``, ``size`` of the files of the measurement, and their current ``status``.
    cards : dict
        Header cards that the photometry uses.
    settings, versions : dict
        Of the extraction.
    calibrations : DataFrame
        Calibrations of the image against catalogues; may be empty.
    values : DataFrame
        One row per column of the source: ``column``, ``stored``, ``measured`` (now) and whether they are ``identical``.
        This is <NA> where nothing was measured; `problem` has the reason, such as unusable files.
    identical : bool or None
        True if all columns are the same bit for bit; None where nothing could be measured.
    same_software : bool
        The software is the same as at ingest.
    problem : str or None
    caveats : tuple of str
        What the image lacks, as texts.
    """

    source_id: int
    image: dict[str, Any]
    files: pd.DataFrame
    cards: dict[str, Any]
    settings: dict[str, Any]
    versions: dict[str, str]
    calibrations: pd.DataFrame
    values: pd.DataFrame
    identical: bool | None
    same_software: bool
    problem: str | None
    caveats: tuple[str, ...] = ()


def explain(session: Session, source_id: int, *, measure: bool = True, places: Places = None) -> Explanation:
    """Return the provenance of a source, and measure its image again to compare.

    Parameters
    ----------
    session : Session
    source_id : int
    measure : bool
        Measure again (1 to 2 s on a whole quadrant).
    places : mapping of str to path, optional
        Folders of this host by the name of their data root.

    Raises
    ------
    UnknownSourceError
        If there is no such source.
    """
    stored = source_of(session, int(source_id))
    if stored is None:
        raise UnknownSourceError(f"no source {source_id} in this archive")
    image_id = int(source_id) >> SOURCE_ID_SHIFT
    files = find_files(session, image_id, places=places)
    own = next(file for file in files if file.role in ("sci", "ref"))
    settings, versions, config_hash = settings_of(session, image_id)
    cards = cards_of(session, image_id, own.role)
    problem, now = _measured(files, own, settings) if measure else ("not asked for", None)
    values, identical = _compared(stored, now)
    same = measurement_config(ExtractionSettings.from_dict(settings)).config_hash == config_hash
    image = image_row(session, image_id)
    return Explanation(
        source_id=int(source_id),
        image=image,
        files=_files(files),
        cards={name: cards[name] for name in CARDS if name in cards},
        settings=settings,
        versions=versions,
        calibrations=pd.DataFrame(calibrations_of(session, image_id)),
        values=values,
        identical=identical,
        same_software=same,
        problem=problem,
        caveats=tuple(CAVEAT_WORDS[one] for one in Caveat(image["caveats"] or 0)),
    )


def _measured(
    files: list[StoredFile], own: StoredFile, settings: dict[str, Any]
) -> tuple[str | None, MeasuredImage | None]:
    mask = next((file.absolute for file in files if file.role == "msk"), None)
    try:
        now = measure_image(own.absolute, mask, ExtractionSettings.from_dict(settings), find_mask=False)
    except ImageError as exc:
        return str(exc), None
    changed = [old.role for old, new in _paired(files, now) if old.facts.sha256 != new]
    return (f"the content of {', '.join(changed)} is not what was ingested", None) if changed else (None, now)


def _paired(files: list[StoredFile], now: MeasuredImage) -> list[tuple[StoredFile, str]]:
    digests = {file.role: file.sha256 for file in now.files}
    return [(file, digests[file.role]) for file in files if file.role in digests]


def _compared(stored: dict[str, Any], now: MeasuredImage | None) -> tuple[pd.DataFrame, bool | None]:
    """Return the stored and the new values next to each other, and whether all are the same."""
    names = [name for name in stored if name not in ("source_id", "image_id")]
    new = {} if now is None else _values_of(stored, now)
    rows = pd.DataFrame(
        {
            "column": pd.array(names, dtype="str"),
            "stored": pd.Series([stored[name] for name in names], dtype=object),
            "measured": pd.Series([new.get(name) for name in names], dtype=object),
        }
    )
    same = [name in new and _same(stored[name], new[name]) if new else None for name in names]
    rows["identical"] = pd.array(same, dtype="boolean")
    return rows, (all(same) if new else None)


def _values_of(stored: dict[str, Any], now: MeasuredImage) -> dict[str, Any]:
    """Return the newly measured values of the same source: by its number, else (other software) by its position."""
    sources = now.sources
    row = int(stored["source_id"]) & ((1 << SOURCE_ID_SHIFT) - 1)
    apart = separation(stored["ra"], stored["dec"], sources.ra, sources.dec)
    if row >= len(sources) or apart[row] > SAME_PLACE:
        if not len(sources) or apart.min() > SAME_PLACE:
            return {}
        row = int(np.argmin(apart))
    found: dict[str, Any] = {}
    for name in stored:
        column = getattr(sources, name, None)
        if column is not None and name != "number":
            found[name] = column[row].item()
    for k in range(N_APERTURE):
        found[f"flux_aper{k + 1}"] = sources.flux_aper[k, row].item()
        found[f"flux_aper{k + 1}_err"] = sources.flux_aper_err[k, row].item()
    found.setdefault("mask_bits", None)
    return {name: None if isinstance(value, float) and np.isnan(value) else value for name, value in found.items()}


def _same(one: Any, other: Any) -> bool:
    return bool(one == other) or (one is None and other is None)


def _files(files: list[StoredFile]) -> pd.DataFrame:
    columns: dict[str, Any] = {
        "role": [file.role for file in files],
        "path": [file.absolute for file in files],
        "sha256": [file.facts.sha256 for file in files],
        "size": [file.facts.size for file in files],
        "status": [check_file(file.facts) or "ok" for file in files],
    }
    return data_frame(columns)
