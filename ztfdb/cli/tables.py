"""Tables of positions that users bring: CSV, VOTable, FITS, ECSV, Parquet."""

from __future__ import annotations

import codecs
import gzip
import io
import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import astropy.table
import click
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ztfdb.cli.writers import require_parquet
from ztfdb.errors import CatalogueFileError, PositionTableError
from ztfdb.ingest.readers.ipac import is_ipac
from ztfdb.ingest.readers.limits import HEAD, MAX_COLUMNS, MAX_WHOLE
from ztfdb.ingest.readers.text import separator_of
from ztfdb.ingest.readers.whole import check_whole
from ztfdb.sky.columns import (
    DEC_NAMES,
    RA_NAMES,
    coordinate_column,
    dec_degrees,
    find_column,
    ra_degrees,
)
from ztfdb.sky.coordinates import from_coordinate
from ztfdb.sky.given import is_coordinate, numbers
from ztfdb.texts import failure

_ASTROPY = {
    ".vot": "votable",
    ".votable": "votable",
    ".xml": "votable",
    ".fits": "fits",
    ".ecsv": "ascii.ecsv",
    ".tbl": "ascii.ipac",
}


def read_positions(
    path: str,
    ra_column: str | None = None,
    dec_column: str | None = None,
    units: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Read a table with a position in each row.

    Parameters
    ----------
    path : str
        A file, also one compressed by gzip; its suffix (before ``.gz``) selects the format. With any other suffix it is
        an IPAC table or text separated by commas, semicolons, tabs, bars or blanks; the line of names may begin with
        ``#``. ``-`` reads text from stdin.
    ra_column, dec_column : str, optional
        The columns of the positions; by default ``ra`` and ``dec`` in any case, or names that others use. Numbers are
        degrees unless their column has another unit; text may be sexagesimal, its decimal mark may be a comma.
    units : mapping of str, optional
        Units of further columns that will be used: the values of a column with another unit are converted.

    Returns
    -------
    DataFrame
        All columns of the table; ``ra`` and ``dec`` are float64 degrees, those of a column of SkyCoords in ICRS.

    Raises
    ------
    PositionTableError
        If the file cannot be read, is larger than 256 MiB or exceeds the limits of catalogue files, if a column is
        missing or has a unit of another kind, or if a position is missing or invalid (with its row, from 1).
    """
    table = _read(path)
    frame = table if isinstance(table, pd.DataFrame) else table.to_pandas()
    ra, dec = _find(frame, path, ra_column, RA_NAMES), _find(frame, path, dec_column, DEC_NAMES)
    values = {
        "ra": _degrees(table, frame, ra, path, "right ascension", ra_degrees, np.inf),
        "dec": _degrees(table, frame, dec, path, "declination", dec_degrees, 90.0),
    }
    for name, unit in (units or {}).items():
        if name in frame.columns and name not in (ra, dec):
            frame[name] = _in_unit(table, name, unit, path)
    return frame.drop(columns=[name for name in ("ra", "dec", ra, dec) if name in frame.columns]).assign(**values)


def tell_empty(found: NDArray[np.bool_], what: str) -> None:
    """Say on stderr which positions of a table have no rows; an empty answer has a hint of its own.

    Parameters
    ----------
    found : ndarray of bool
        True for each position that has rows.
    what : str
        What the rows are.
    """
    empty = np.flatnonzero(~found)
    if not 0 < len(empty) < len(found):
        return
    which = ", ".join(map(str, empty[:5])) + (", …" if len(empty) > 5 else "")
    click.echo(f"{len(empty):,} of {len(found):,} positions have no {what}: {which} (counted from 0)", err=True)


def _read(path: str) -> pd.DataFrame | astropy.table.Table:
    suffix = Path(path.lower().removesuffix(".gz")).suffix
    try:
        if path == "-":
            return _from_text(_read_stdin())
        check_whole(path)
        if suffix in (".parquet", ".pq"):
            require_parquet()
            return pd.read_parquet(path)
        if suffix in _ASTROPY:
            return _from_astropy(astropy.table.Table.read(path, format=_ASTROPY[suffix]))
        content = _content(path)
        if is_ipac(content[:HEAD]):
            return _from_astropy(astropy.table.Table.read(path, format="ascii.ipac"))
        return _from_text(_decoded(content))
    except CatalogueFileError as exc:
        raise PositionTableError(str(exc)) from exc
    except UnicodeError as exc:
        wanted = "save it as CSV UTF-8, VOTable, FITS, ECSV or Parquet, with the suffix of its format"
        raise PositionTableError(f"{path} is not text in UTF-8 (byte {exc.args[2]}): {wanted}") from exc
    except (OSError, ValueError, TypeError, IndexError, MemoryError) as exc:  # other kinds of files
        raise PositionTableError(f"{path} cannot be read as a table: {failure(exc)}") from exc


def _content(path: str) -> bytes:
    """Return the bytes of a file, which may be compressed by gzip."""
    content = Path(path).read_bytes()
    if not content.startswith(b"\x1f\x8b"):
        return content
    with gzip.open(path) as unpacked:
        content = unpacked.read(MAX_WHOLE + 1)
    if len(content) > MAX_WHOLE:
        raise ValueError(f"it unpacks to more than {MAX_WHOLE:,} bytes")
    return content


def _decoded(content: bytes) -> str:
    """Return text in UTF-8, or in UTF-16 with its mark, as spreadsheets write it."""
    marked = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if marked else "utf-8-sig")


def _read_stdin() -> str:
    text = sys.stdin.read(MAX_WHOLE + 1)
    if len(text) > MAX_WHOLE:
        raise ValueError(f"it has more than {MAX_WHOLE:,} characters")
    return text


def _from_text(text: str) -> pd.DataFrame:
    """Read a table separated by commas, semicolons, tabs, bars or blanks; its line of names may be a comment."""
    lines = text.splitlines(keepends=True)
    first = next((k for k, line in enumerate(lines) if line.strip() and not line.startswith("#")), len(lines))
    comment = next((line.lstrip("#").strip() for line in reversed(lines[:first]) if line.strip("# \r\n")), "")
    separator = _separator(comment)
    named = {
        name.strip().strip('"').lower()
        for name in (comment.split() if separator == _BLANKS else comment.split(separator))
    }
    if named & set(RA_NAMES) and named & set(DEC_NAMES):
        lines = [f"{comment}\n", *lines[first:]]
    elif first < len(lines):
        separator = _separator(lines[first])
    if not any(line.strip() for line in lines):
        raise ValueError("it is empty")
    _check_names(next(line for line in lines if line.strip() and not line.startswith("#")), separator)
    source = io.StringIO("".join(lines))
    how: dict[str, Any] = {"engine": "python"} if separator == _BLANKS else {"skipinitialspace": True}
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        try:
            # without index_col, pandas takes what is left of the named columns as an index: all values move by one
            table: pd.DataFrame = pd.read_csv(source, comment="#", sep=separator, index_col=False, **how)
        except pd.errors.ParserWarning as exc:
            raise ValueError("a row has more values than there are names of columns") from exc
    return table


def _check_names(line: str, separator: str) -> None:
    n = len(line.split()) if separator == _BLANKS else line.count(separator) + 1
    if n > MAX_COLUMNS:
        raise ValueError(f"it has {n:,} columns; at most {MAX_COLUMNS:,} are read")


_BLANKS = r"\s+"


def _separator(line: str) -> str:
    """Return the separator of a line of column names: the most frequent usual mark, else blanks."""
    return separator_of(line) or _BLANKS


def _from_astropy(table: astropy.table.Table) -> astropy.table.Table:
    """Drop array columns, which hold no positions, decode FITS bytes to text, and split a column of SkyCoords."""
    coordinates = [name for name in table.colnames if is_coordinate(table[name])]
    if (column := coordinate_column(table, table.colnames)) is not None:
        given = from_coordinate(table[column])
        table["ra"], table["dec"] = given.ra, given.dec
    table.remove_columns([*coordinates, *(name for name in table.colnames if table[name].ndim != 1)])
    table.convert_bytestring_to_unicode()
    return table


def _find(frame: pd.DataFrame, path: str, wanted: str | None, usual: tuple[str, ...]) -> str:
    found = find_column(frame.columns, (wanted.strip().lower(),) if wanted is not None else usual)
    if found is not None:
        return str(found)
    columns = ", ".join(map(str, frame.columns))
    option = "--ra-column" if usual is RA_NAMES else "--dec-column"
    raise PositionTableError(f"{path} has no column {wanted or usual[0]}; there are {columns}: name one by {option}")


def _degrees(
    table: Any,
    frame: pd.DataFrame,
    name: str,
    path: str,
    what: str,
    convert: Callable[[Any, str, int], NDArray[np.float64]],
    most: float,
) -> pd.Series[float]:
    """Return float64 degrees; text is parsed row by row."""
    values = frame[name]
    if pd.api.types.is_numeric_dtype(values.dtype):
        degrees = _in_unit(table, name, "deg", path)
    else:
        try:
            degrees = convert(values, name, 1)
        except ValueError as exc:
            raise PositionTableError(f"{path}, {exc}") from exc
    valid = np.isfinite(degrees) & (np.abs(degrees) <= most)
    if not valid.all():
        first, n = int(np.argmin(valid)), np.count_nonzero(~valid)
        why = f"{degrees[first]:g} is outside -90 to 90 deg" if np.isfinite(degrees[first]) else "is missing"
        more = f"; {n:,} of {len(valid):,} rows have no valid {what}" if n > 1 else ""
        raise PositionTableError(f"{path}, row {first + 1}: {what} {why}{more}")
    return pd.Series(degrees, index=values.index)


def _in_unit(table: Any, name: str, unit: str, path: str) -> NDArray[np.float64]:
    """Return a column in a unit; one without a unit is in it."""
    try:
        return numbers(table[name], unit, name)
    except ValueError as exc:
        own = getattr(table[name], "unit", None)
        raise PositionTableError(f"{path}: column {name} ({own or 'no unit'}) is not numbers of {unit}") from exc
