"""All that an archive holds and answers, in a form that depends on neither its engine nor the order of operations."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy import REAL, Column, Select, Table, select

from ztfdb.archive import Archive
from ztfdb.schema import Base
from ztfdb.store.engine import make_engine

Content = dict[str, list[tuple[Any, ...]]]
"""Rows by table or question, in the order of their values."""

LEFT_OUT = {
    "archive_meta": {"value"},
    "config": {"config_id", "versions"},
    "data_root": None,
    "ingest_job": None,
    "object_alias": None,
    "object_state": None,
    "catalogue": {"catalogue_id", "created"},
    "catalogue_file": {"catalogue_file_id", "n_row", "n_known", "imported"},
    "catalogue_cell": {"last_file_id"},
    "image_match": {"last_file_id", "matched"},
    "calibration": {"calibrated"},
    "psf_check": {"checked"},
    "image": {"config_id"},
    "forced_source": {"config_id"},
    "object_image": {"fingerprint"},
    "object_reference": {"fingerprint"},
}
"""Columns that tell when and in what order things were done; None for whole tables of that kind."""


def content(archive: Archive, positions: Sequence[tuple[float, float]]) -> Content:
    """Return all stored rows of an archive, and its answers at some positions."""
    return rows_of(archive) | answers_of(archive, positions)


def rows_of(archive: Archive) -> Content:
    """Return all rows of all tables: numbers to the last bit, names in place of the ids of catalogues and folders."""
    engine = make_engine(archive._target)
    try:
        with engine.connect() as connection:

            def pairs(key: str, value: str, table: str) -> dict[int, str]:
                columns = Base.metadata.tables[table].c
                return {row[0]: row[1] for row in connection.execute(select(columns[key], columns[value]))}

            names = {
                "data_root_id": pairs("data_root_id", "path", "data_root"),
                "catalogue_id": pairs("catalogue_id", "name", "catalogue"),
            }
            return {
                name: sorted(_row(table, row, names) for row in connection.execute(_rows(table)))
                for name, table in Base.metadata.tables.items()
                if LEFT_OUT.get(name, ()) is not None
            }
    finally:
        engine.dispose()


def _rows(table: Table) -> Select[Any]:
    """Select a table; of the configurations those of images: others were used once, and are kept."""
    if table.name != "config":
        return select(table)
    return select(table).where(table.c.config_id.in_(select(Base.metadata.tables["image"].c.config_id)))


def _row(table: Table, row: Any, names: dict[str, dict[int, str]]) -> tuple[str, ...]:
    left_out = LEFT_OUT.get(table.name) or set()
    values = dict(zip((column.name for column in table.c), row, strict=True))
    if "data_root_id" in values and "path" in values:
        values["path"] = f"{names['data_root_id'][values.pop('data_root_id')]}/{values['path']}"
    if "catalogue_id" in values and table.name != "catalogue":
        values["catalogue_id"] = names["catalogue_id"].get(values["catalogue_id"], f"no {values['catalogue_id']}")
    return tuple(
        f"{name} {_text(table.c[name], value)}" for name, value in sorted(values.items()) if name not in left_out
    )


def _text(column: Column[Any], value: Any) -> str:
    if isinstance(value, bool | np.bool_):
        return str(int(value))
    if isinstance(value, float):
        value += 0.0  # SQLite keeps no sign of zero
        return repr(np.float32(value)) if isinstance(column.type, REAL) else repr(value)
    if isinstance(value, bytes | memoryview):
        return bytes(value).hex()
    return json.dumps(value, sort_keys=True) if isinstance(value, dict | list) else repr(value)


def answers_of(archive: Archive, positions: Sequence[tuple[float, float]]) -> Content:
    """Return what an archive answers to the usual questions."""
    found: dict[str, pd.DataFrame] = {"verify": archive.verify(hashes=True)}
    calibrations = ("header", "ps1") if "ps1" in set(archive.catalogues()["catalogue"]) else ("header",)
    for number, (ra, dec) in enumerate(positions):
        found[f"images {number}"] = archive.images(ra, dec)
        for calibration in calibrations:
            curve = archive.light_curve(ra, dec, complete=True, calibration=calibration)
            found[f"complete light curve {number} {calibration}"] = curve.to_pandas()
    for number, (ra, dec) in enumerate(positions[:2]):
        found[f"light curve {number}"] = archive.light_curve(ra, dec).to_pandas()
        found[f"PSF light curve {number}"] = archive.light_curve(ra, dec, phot="psfcat").to_pandas()
    found["cone"] = archive.cone(*positions[0], 60.0)
    found["PSF cone"] = archive.cone(*positions[0], 60.0, phot="psfcat")
    for name in calibrations[1:]:
        found[f"matched entries {name}"] = archive.get_matched_entries(
            ["ra", "dec", "mag"], "sources", name, region=(*positions[0], 600.0)
        )
    return {name: _frame(frame) for name, frame in found.items()}


def _frame(frame: pd.DataFrame) -> list[tuple[str, ...]]:
    columns = [values.tolist() for _, values in frame.items()]
    return [tuple(repr(v + 0.0 if isinstance(v, float) else v) for v in row) for row in zip(*columns, strict=True)]


def differences(first: Content, second: Content) -> list[str]:
    """Say where two archives differ, a line per table or question; nothing where they hold and answer the same."""
    found = []
    for name in sorted(first.keys() | second.keys()):
        ours, theirs = first.get(name, []), second.get(name, [])
        if ours != theirs:
            only = [row for row in ours if row not in theirs][:1], [row for row in theirs if row not in ours][:1]
            found.append(f"{name}: {len(ours)} rows and {len(theirs)}; {_contrast(*only)}")
    return found


def _contrast(ours: list[tuple[Any, ...]], theirs: list[tuple[Any, ...]]) -> str:
    if ours and theirs:
        return "; ".join(f"{a} against {b}" for a, b in zip(ours[0], theirs[0], strict=False) if a != b)[:600]
    return f"only {(ours or theirs or ['other numbers of equal rows'])[0]}"[:600]
