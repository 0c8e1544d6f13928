"""Write rows as FITS, ECSV and IPAC tables with astropy; 64-bit integers and NULLs are kept exactly."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterable
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
from astropy.io import fits
from astropy.table import MaskedColumn, Table
from numpy.typing import NDArray

from ztfdb.cli.columns import Words, check_names
from ztfdb.errors import OutputError

_PLAIN = re.compile(r"[\w.:/+-]+", re.ASCII)

_CONTROLS = dict.fromkeys((*range(32), 127, 0x85, 0x2028, 0x2029), " ")
"""Control characters and ends of lines within text, which FITS and IPAC tables cannot hold; they become blanks."""

_NAMES = {
    "FITS": (re.compile(r"[ -~]*[!-~][ -~]*"), "printable ASCII characters"),
    "ECSV": (re.compile(r".*\S.*"), "one line"),
    "IPAC": (re.compile(r"\w+"), "letters, digits and _"),
}
"""Names of columns that each format can hold, and how they are described."""


def write_fits(frame: pd.DataFrame, words: Words, stream: BinaryIO) -> None:
    """Write a FITS binary table with TNULL, TUNIT, TUCD and TCOMM.

    A NULL is TNULL in a column of integers, NaN among floats, and an empty text. Columns of booleans that may be NULL
    become integers, 0 and 1, because FITS readers take the NULL of a logical column for False.

    Raises
    ------
    OutputError
        If the rows do not fit into a FITS table.
    """
    _check_names(frame.columns, "FITS")
    columns = [_fits_column(str(name), frame.iloc[:, i]) for i, name in enumerate(frame.columns)]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", fits.verify.VerifyWarning)  # column names that FITS discourages
            hdu = fits.BinTableHDU.from_columns(columns, nrows=len(frame))
            _describe(hdu.header, frame.columns, words)
            buffer = io.BytesIO()  # astropy seeks in its output, which a pipe does not allow
            fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(buffer)
    except (ValueError, fits.VerifyError) as exc:
        raise OutputError(f"these rows cannot be written as FITS: {exc}") from exc
    stream.write(buffer.getbuffer())


def write_ecsv(frame: pd.DataFrame, words: Words, stream: BinaryIO) -> None:
    """Write ECSV: CSV under a header with types, units and descriptions, which `astropy.table.Table.read` restores.

    Only the header is astropy's: its rows with a text that begins with ``#``, or is a line separator without quotes,
    cannot be read again.

    Raises
    ------
    OutputError
        If two columns have one name.
    """
    _check_names(frame.columns, "ECSV")
    table = _table(frame, words)
    text = io.StringIO()
    table[:0].write(text, format="ascii.ecsv")
    header, schema, _ = text.getvalue().partition("# schema: astropy-2.0\n")
    cells = [_ecsv_cells(column) for column in table.columns.values()]
    stream.write(f"{header}{schema}{' '.join(map(_quoted, table.colnames))}\n".encode())
    stream.writelines(f"{' '.join(row)}\n".encode() for row in zip(*cells, strict=True))


def _ecsv_cells(column: Any) -> list[str]:
    values = np.ma.getdata(column)
    texts = list(map(_quoted, values.tolist())) if values.dtype.kind == "U" else list(map(str, values))
    for at in np.flatnonzero(np.ma.getmaskarray(column)):
        texts[at] = '""'
    return texts


def _quoted(text: str) -> str:
    """Return a text in quotes, if it is not of letters, digits and marks alone."""
    return text if _PLAIN.fullmatch(text) else '"' + text.replace('"', '""') + '"'


def write_ipac(frame: pd.DataFrame, words: Words, stream: BinaryIO) -> None:
    """Write an IPAC table; every NULL is ``null``, booleans are 0 and 1.

    Raises
    ------
    OutputError
        If two columns have one name, or a text is not ASCII.
    """
    _check_names(frame.columns, "IPAC")
    table = _table(frame, words, ipac=True)
    _write_text(table, "ascii.ipac", stream)


WRITERS: dict[str, Callable[[pd.DataFrame, Words, BinaryIO], None]] = {
    "fits": write_fits,
    "ecsv": write_ecsv,
    "ipac": write_ipac,
}


def _check_names(names: Iterable[Any], form: str) -> None:
    check_names(names)
    fits_in, wanted = _NAMES[form]
    for name in map(str, names):
        if not fits_in.fullmatch(name) or len(name.splitlines()) > 1:
            raise OutputError(f"{form} has no column {name!r}, only names of {wanted}: name it with AS")


def _fits_column(name: str, values: pd.Series[Any]) -> fits.Column:
    data, missing = _arrays(values)
    if data.dtype.kind == "U":
        data = _without_controls(data)
        # an empty array has width 0, which FITS does not allow
        return fits.Column(name, f"{max(_encoded(data).dtype.itemsize, 1)}A", array=_encoded(data))
    if data.dtype.kind == "b" and not isinstance(values.dtype, np.dtype):
        data = data.astype(np.int16)
    if data.dtype.kind == "i" and not isinstance(values.dtype, np.dtype):
        null = _null(data)
        data = np.where(missing, null, data).astype(data.dtype)
        return fits.Column(name, _FITS_FORMATS[data.dtype.str[1:]], array=data, null=null)
    return fits.Column(name, _FITS_FORMATS[data.dtype.str[1:]], array=data)


_FITS_FORMATS = {"b1": "L", "i2": "I", "i4": "J", "i8": "K", "f4": "E", "f8": "D"}


def _null(data: NDArray[Any]) -> int:
    """Return the smallest integer that does not occur among the values."""
    null = int(np.iinfo(data.dtype).min)
    taken = set(data[data < null + 1000].tolist())
    return next(candidate for candidate in range(null, null + 1001) if candidate not in taken)


def _encoded(texts: NDArray[Any]) -> NDArray[np.bytes_]:
    return np.char.encode(texts, "utf-8") if len(texts) else np.zeros(0, "S1")


def _describe(header: fits.Header, names: Any, words: Words) -> None:
    for number, name in enumerate(map(str, names), start=1):
        if (described := words.get(name)) is None:
            continue
        if described.vounit:
            header[f"TUNIT{number}"] = described.vounit
        if described.ucd:
            header[f"TUCD{number}"] = described.ucd
        header[f"TCOMM{number}"] = described.description.encode("ascii", "replace").decode()


def _table(frame: pd.DataFrame, words: Words, *, ipac: bool = False) -> Table:
    table = Table(masked=ipac)
    for name in frame.columns:
        values, missing = _arrays(frame[name])
        if ipac and values.dtype.kind == "U":
            values = _without_controls(values)
            _check_ascii(str(name), values)
        if ipac and values.dtype.kind == "b":
            values = values.astype(np.int16)  # the format has no boolean
        if ipac and values.dtype.kind == "f":
            missing = missing | ~np.isfinite(values)
        column = MaskedColumn(values, mask=missing) if missing.any() else values
        table[str(name)] = column
        if (described := words.get(str(name))) is not None:
            table[str(name)].unit = (described.vounit if ipac else described.unit) or None
            table[str(name)].description = described.description
    return table


def _write_text(table: Table, form: str, stream: BinaryIO) -> None:
    text = io.StringIO()
    try:
        table.write(text, format=form)
    except ValueError as exc:
        raise OutputError(f"these rows cannot be written: {exc}") from exc
    stream.write(text.getvalue().encode())


def _without_controls(texts: NDArray[Any]) -> NDArray[Any]:
    return np.array([text.translate(_CONTROLS) for text in texts.tolist()], dtype=str) if len(texts) else texts


def _check_ascii(name: str, texts: NDArray[Any]) -> None:
    """Raise an OutputError for other letters: STILTS and TOPCAT count bytes, and find no value behind them."""
    other = next((text for text in texts.tolist() if not text.isascii()), None)
    if other is not None:
        raise OutputError(f"IPAC tables are ASCII, and the column {name} has {other!r}: choose another format")


def _arrays(values: pd.Series[Any]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return a column as a plain array of booleans, integers, floats or text, and which of its rows are NULL.

    In a column of floats NaN is a value, not a NULL. Bytes are written in hexadecimal digits, as in JSON.
    """
    missing = values.isna().to_numpy()
    if pd.api.types.is_bool_dtype(values.dtype):
        return values.to_numpy(bool, na_value=False), missing
    if pd.api.types.is_integer_dtype(values.dtype):
        kind = _numpy_dtype(values)
        return values.to_numpy(kind if kind.kind == "i" else np.int64, na_value=0), missing
    if pd.api.types.is_float_dtype(values.dtype):
        return values.to_numpy(_numpy_dtype(values), na_value=np.nan), np.zeros(len(values), bool)
    texts = ["" if none else _text(value) for value, none in zip(values.tolist(), missing, strict=True)]
    return np.array(texts, dtype=str) if texts else np.zeros(0, "U1"), missing


def _numpy_dtype(values: pd.Series[Any]) -> np.dtype[Any]:
    dtype: Any = values.dtype
    kind: np.dtype[Any] = np.dtype(getattr(dtype, "numpy_dtype", dtype))
    return kind


def _text(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
