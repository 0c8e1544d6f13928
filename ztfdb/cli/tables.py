"""Tables of positions that users bring: CSV, VOTable, FITS, ECSV, Parquet."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import astropy.table
import pandas as pd

from ztfdb.cli.positions import parse_dec, parse_ra
from ztfdb.cli.writers import require_parquet
from ztfdb.errors import ZtfdbError

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


class PositionTableError(ZtfdbError):
    """A table of positions cannot be read, or has no positions."""


def read_positions(path: str, ra_column: str | None = None, dec_column: str | None = None) -> pd.DataFrame:
    """Read a table with a position in each row.

    Parameters
    ----------
    path : str
        A file, its format told by its suffix (anything unknown is CSV); ``-`` reads CSV from stdin.
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
        If the file cannot be read, a column is missing or a position is none (with its row).
    """
    frame = _read(path)
    ra, dec = _find(frame, path, ra_column, _RA_NAMES), _find(frame, path, dec_column, _DEC_NAMES)
    values = {"ra": _degrees(frame[ra], path, parse_ra), "dec": _degrees(frame[dec], path, parse_dec)}
    return frame.drop(columns=[name for name in ("ra", "dec", ra, dec) if name in frame.columns]).assign(**values)


def _read(path: str) -> pd.DataFrame:
    suffix = Path(path).suffix.lower()
    try:
        if path == "-":
            return pd.read_csv(sys.stdin, comment="#")
        if suffix in (".parquet", ".pq"):
            require_parquet()
            return pd.read_parquet(path)
        if suffix in _ASTROPY:
            return _from_astropy(astropy.table.Table.read(path, format=_ASTROPY[suffix]))
        return pd.read_csv(path, comment="#", sep="\t" if suffix == ".tsv" else ",", skipinitialspace=True)
    except (
        OSError,
        ValueError,
        TypeError,
        IndexError,
    ) as exc:  # files that are something else
        raise PositionTableError(f"{path} cannot be read as a table: {exc}") from exc


def _from_astropy(table: astropy.table.Table) -> pd.DataFrame:
    """Leave out columns of arrays, which no position is in, and read FITS's bytes as text."""
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
