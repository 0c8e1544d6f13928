"""Tables of positions that users bring: CSV, VOTable, FITS, ECSV, Parquet."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import astropy.table
import pandas as pd

from ztfdb.cli.writers import require_parquet
from ztfdb.errors import CatalogueFileError, PositionTableError
from ztfdb.ingest.readers.ipac import is_ipac
from ztfdb.ingest.readers.limits import HEAD, MAX_COLUMNS, MAX_WHOLE
from ztfdb.ingest.readers.text import SEPARATORS
from ztfdb.ingest.readers.whole import check_whole
from ztfdb.sky.typed import parse_dec, parse_ra

_ASTROPY = {
    ".vot": "votable",
    ".votable": "votable",
    ".xml": "votable",
    ".fits": "fits",
    ".ecsv": "ascii.ecsv",
    ".tbl": "ascii.ipac",
}
_RA_NAMES = ("ra", "raj2000", "ra_icrs", "_raj2000", "ra_deg")
_DEC_NAMES = ("dec", "decl", "dej2000", "de_icrs", "_dej2000", "dec_deg")


def read_positions(path: str, ra_column: str | None = None, dec_column: str | None = None) -> pd.DataFrame:
    """Read a table with a position in each row.

    Parameters
    ----------
    path : str
        A file; its suffix selects the format. With any other suffix it is an IPAC table or text separated by commas,
        semicolons, tabs, bars or blanks; the line of names may begin with ``#``. ``-`` reads text from stdin.
    ra_column, dec_column : str, optional
        The columns of the positions; by default ``ra`` and ``dec`` in any case, or VizieR's names. Numbers are
        degrees, text may be sexagesimal.

    Returns
    -------
    DataFrame
        All columns of the table; ``ra`` and ``dec`` are float64 degrees.

    Raises
    ------
    PositionTableError
        If the file cannot be read, is larger than 256 MiB or exceeds the limits of catalogue files, if a column is
        missing or a position is invalid (with its row).
    """
    frame = _read(path)
    ra, dec = _find(frame, path, ra_column, _RA_NAMES), _find(frame, path, dec_column, _DEC_NAMES)
    values = {"ra": _degrees(frame[ra], path, parse_ra), "dec": _degrees(frame[dec], path, parse_dec)}
    return frame.drop(columns=[name for name in ("ra", "dec", ra, dec) if name in frame.columns]).assign(**values)


def _read(path: str) -> pd.DataFrame:
    suffix = Path(path).suffix.lower()
    try:
        if path == "-":
            return _from_text(_read_stdin())
        check_whole(path)
        if suffix in (".parquet", ".pq"):
            require_parquet()
            return pd.read_parquet(path)
        if suffix in _ASTROPY:
            return _from_astropy(astropy.table.Table.read(path, format=_ASTROPY[suffix]))
        content = Path(path).read_bytes()
        if is_ipac(content[:HEAD]):
            return _from_astropy(astropy.table.Table.read(path, format="ascii.ipac"))
        return _from_text(content.decode("utf-8-sig"))
    except CatalogueFileError as exc:
        raise PositionTableError(str(exc)) from exc
    except (OSError, ValueError, TypeError, IndexError, MemoryError) as exc:  # other kinds of files
        raise PositionTableError(f"{path} cannot be read as a table: {exc}") from exc


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
    if named & set(_RA_NAMES) and named & set(_DEC_NAMES):
        lines = [f"{comment}\n", *lines[first:]]
    elif first < len(lines):
        separator = _separator(lines[first])
    if not any(line.strip() for line in lines):
        raise ValueError("it is empty")
    _check_names(next(line for line in lines if line.strip() and not line.startswith("#")), separator)
    source = io.StringIO("".join(lines))
    if separator == _BLANKS:
        return pd.read_csv(source, comment="#", sep=separator, engine="python")
    return pd.read_csv(source, comment="#", sep=separator, skipinitialspace=True)


def _check_names(line: str, separator: str) -> None:
    n = len(line.split()) if separator == _BLANKS else line.count(separator) + 1
    if n > MAX_COLUMNS:
        raise ValueError(f"it has {n:,} columns; at most {MAX_COLUMNS:,} are read")


_BLANKS = r"\s+"


def _separator(line: str) -> str:
    """Return the separator of a line of column names: the most frequent usual mark, else blanks."""
    counts = {mark: line.count(mark) for mark in SEPARATORS}
    mark = max(counts, key=lambda one: counts[one])
    return mark if counts[mark] else _BLANKS


def _from_astropy(table: astropy.table.Table) -> pd.DataFrame:
    """Drop array columns, which hold no positions, and decode FITS bytes to text."""
    table.convert_bytestring_to_unicode()
    frame: pd.DataFrame = table[[name for name in table.colnames if table[name].ndim == 1]].to_pandas()
    return frame


def _find(frame: pd.DataFrame, path: str, wanted: str | None, usual: tuple[str, ...]) -> str:
    names = (wanted.lower(),) if wanted is not None else usual
    by_lower = {str(name).strip().lower(): name for name in reversed(list(frame.columns))}
    for name in names:
        if name in by_lower:
            return str(by_lower[name])
    columns = ", ".join(map(str, frame.columns))
    raise PositionTableError(f"{path} has no column {wanted or usual[0]}; there are {columns}")


def _degrees(values: pd.Series[Any], path: str, parse: Any) -> pd.Series[float]:
    """Return float64 degrees; text is parsed row by row."""
    if pd.api.types.is_numeric_dtype(values.dtype):
        return values.astype("float64")
    degrees = []
    for row, value in enumerate(values):
        try:
            degrees.append(parse(str(value)))
        except ValueError as exc:
            raise PositionTableError(f"{path}, row {row + 1}: {exc}") from exc
    return pd.Series(degrees, index=values.index, dtype="float64")
