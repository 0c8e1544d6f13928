"""Convert rows of a catalogue's file to ztfdb's columns: positions, ids, epochs and missing values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ztfdb.arrays import BoolArray, Columns, FloatArray
from ztfdb.codes import MEAN_PHOTOMETRY, STACK_PHOTOMETRY
from ztfdb.sky.cells import sky_to_cell
from ztfdb.sky.motion import DAYS_PER_YEAR, J2000_MJD
from ztfdb.sky.typed import plain_minus
from ztfdb.surveys.blocks import BadRow, Block
from ztfdb.surveys.layouts import ID_COLUMNS, Plan

SENTINEL = -999.0
"""MAST's value for missing numbers."""

INTEGERS = frozenset({"n_detection", "quality", "info_flag"})
MAX_INTEGER = 2**31 - 1


def wanted_columns(
    plan: Plan, kind: str, names: Sequence[str], extra: Sequence[str], *, sexagesimal: bool = False
) -> dict[str, str]:
    """Return the columns to read from the file, with their kinds."""
    lacking = [name for name in extra if name not in names]
    if lacking:
        raise ValueError(f"has no column {', '.join(lacking)}; there are: {', '.join(names)}")
    wanted = dict.fromkeys(extra, "O")
    wanted |= {theirs: "i" if ours == ID_COLUMNS[kind] else "f" for ours, theirs in plan.sources.items()}
    if sexagesimal:
        wanted |= {plan.sources[ours]: "O" for ours in ("ra", "dec")}
    primary = plan.layout.primary
    if primary is not None:
        wanted |= {name: "f" for name in names if name.lower() == primary.lower()}
    return wanted


@dataclass
class Part:
    """Rows ready to be stored."""

    columns: Columns
    nulls: dict[str, BoolArray]
    extra: list[dict[str, Any] | None] | None
    bad: list[BadRow]


def part_of(block: Block, plan: Plan, kind: str, extra: Sequence[str], epoch: float | None) -> Part:
    """Convert a block of a file to ztfdb's columns; rows without a valid position or id are bad."""
    columns = {ours: _number(block.columns[theirs]) for ours, theirs in plan.sources.items()}
    for ours, unit in (("ra", "hourangle"), ("dec", "deg")):
        if columns[ours].dtype == object:
            columns[ours] = _angles(columns[ours], unit)
    reasons = _faults(columns, block, plan, kind)
    good = reasons == ""
    bad = [*block.bad, *(BadRow(int(block.line[k]), str(reasons[k])) for k in np.flatnonzero(~good))]
    keep = np.flatnonzero(good & _is_primary(block, plan))
    ra, dec = np.mod(columns["ra"][keep], 360.0), columns["dec"][keep]
    cells = sky_to_cell(ra, dec)
    # without ids in the file, the id is derived from the position: the same position is the same object
    ids = columns[ID_COLUMNS[kind]][keep] if ID_COLUMNS[kind] in columns else -1 - cells
    # Ids of surveys follow the sky. In their order, neighbouring rows share the pages of both indexes, which halves the
    # work of PostgreSQL.
    order = np.argsort(ids, kind="stable")
    keep = keep[order]
    kept = {ours: values[keep] for ours, values in columns.items()}
    kept |= {ID_COLUMNS[kind]: ids[order], "ra": ra[order], "hpx29": cells[order]}
    _fill_epoch(kept, plan, kind, epoch)
    nulls = _to_integers(kept)
    if kind == "ps1":
        kept["photometry"] = np.full(len(keep), STACK_PHOTOMETRY if plan.layout.stack else MEAN_PHOTOMETRY, np.int16)
    texts = [_extra_of(block, int(k), extra) for k in keep] if extra else None
    return Part(kept, nulls, texts, sorted(bad, key=lambda row: row.line))


def _number(values: NDArray[Any]) -> NDArray[Any]:
    """Return a column with NaN for missing values."""
    if values.dtype.kind != "f":
        return values
    none = (values == SENTINEL) | np.isinf(values)
    return np.where(none, np.nan, values) if none.any() else values


def _faults(columns: Mapping[str, NDArray[Any]], block: Block, plan: Plan, kind: str) -> NDArray[Any]:
    reasons = np.full(len(block), "", dtype=object)
    ra, dec = columns["ra"], columns["dec"]
    with np.errstate(invalid="ignore"):
        reasons[~(np.abs(dec) <= 90.0)] = "dec lies outside -90..90 deg"
        reasons[~((ra >= -360.0) & (ra <= 360.0))] = "ra lies outside -360..360 deg"
    reasons[np.isnan(ra) | np.isnan(dec)] = "no position"
    theirs = plan.sources.get(ID_COLUMNS[kind])
    if theirs is not None:
        none = block.missing.get(theirs)
        if none is not None:
            reasons[none & (reasons == "")] = f"{theirs} is no 64-bit integer"
    return reasons


def _is_primary(block: Block, plan: Plan) -> BoolArray:
    """Return the rows to keep if a survey lists an object more than once."""
    marked = plan.layout.primary
    name = next((n for n in block.columns if marked is not None and n.lower() == marked.lower()), None)
    return np.ones(len(block), bool) if name is None else np.asarray(block.columns[name] == 1)


def _fill_epoch(kept: Columns, plan: Plan, kind: str, epoch: float | None) -> None:
    """Convert epochs to Julian years."""
    if "epoch" in kept and plan.layout.epoch == "mjd":
        kept["epoch"] = 2000.0 + (kept["epoch"] - J2000_MJD) / DAYS_PER_YEAR
    default = plan.layout.default_epoch if epoch is None else epoch
    if default is not None and ("pmra" in kept or kind == "ps1"):
        have = kept.get("epoch", np.full(len(kept["ra"]), np.nan))
        kept["epoch"] = np.where(np.isnan(have), default, have)


def _to_integers(kept: Columns) -> dict[str, BoolArray]:
    """Convert counts and flags, read as numbers, to integers with nulls."""
    nulls = {}
    for name in INTEGERS & kept.keys():
        with np.errstate(invalid="ignore"):
            nulls[name] = ~(np.abs(kept[name]) <= MAX_INTEGER)
        kept[name] = np.where(nulls[name], 0, kept[name]).astype(np.int64)
    return nulls


def _angles(texts: NDArray[Any], unit: str) -> FloatArray:
    """Return degrees of sexagesimal texts, ``hourangle`` or ``deg``; NaN for other texts."""
    from astropy.coordinates import Angle

    found = np.full(len(texts), np.nan)
    for row, text in enumerate(texts.tolist()):
        try:
            plain = is_number(text)
            found[row] = float(text) if plain else Angle(plain_minus(str(text)), unit=unit).deg
        except (ValueError, TypeError):
            continue
    return found


def is_number(value: Any) -> bool:
    """Return whether a value is a number, or text of a number."""
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def _extra_of(block: Block, row: int, extra: Sequence[str]) -> dict[str, Any] | None:
    values = {name: _plain(block.columns[name][row]) for name in extra}
    return values if any(value is not None for value in values.values()) else None


def _plain(value: Any) -> Any:
    """Return a value for JSON; text of a number becomes a number."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, str):
        for kind in (int, float):
            try:
                value = kind(value)
                break
            except ValueError:
                continue
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
