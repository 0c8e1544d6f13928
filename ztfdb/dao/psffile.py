"""Read and write the text of DAOPHOT ``.psf`` files."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np

from ztfdb.arrays import FloatArray
from ztfdb.dao.model import PsfModel
from ztfdb.dao.profiles import N_PARAMETER
from ztfdb.errors import ImageReadError, PsfFileError

_WIDTH = 13
_PER_LINE = 6
MAX_SIZE = 145
"""Largest table side that DAOPHOT writes."""
MAX_TABLES = 11


def read_psf(path: str | Path) -> PsfModel:
    """Read a DAOPHOT ``.psf`` file.

    Numbers are split by column, because neighbours may touch: ``0.000000E+00-1.867943E+00``.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    PsfModel

    Raises
    ------
    ImageReadError
        If the file cannot be read.
    PsfFileError
        If its text is not a ``.psf`` file, names an unknown profile or is truncated.
    """
    try:
        lines = Path(path).read_bytes().decode("ascii", errors="replace").splitlines()
    except OSError as exc:
        raise ImageReadError(path, f"cannot be read: {exc.strerror or exc}") from exc
    if not lines:
        raise PsfFileError(path, "the file is empty")
    label, (size, n_par, n_exp, n_frac), (psfmag, bright, xpsf, ypsf) = _first_line(lines[0], path)
    _check_counts(label, size, n_par, n_exp, n_frac, path)
    n_par_lines = -(-n_par // _PER_LINE)
    parameters = _numbers(lines[1 : 1 + n_par_lines], n_par, path)
    if not np.all(parameters[:2] > 0):
        raise PsfFileError(path, f"the widths {parameters[:2].tolist()} are not positive")
    tables = np.zeros((n_exp + n_frac, size, size))
    n_lines = -(-(size * size) // _PER_LINE)
    start = 1 + n_par_lines
    for k in range(len(tables)):
        # each table starts on a new line; its rows do not
        values = _numbers(lines[start + k * n_lines : start + (k + 1) * n_lines], size * size, path)
        tables[k] = values.reshape(size, size)
    return PsfModel(label, psfmag, bright, xpsf, ypsf, parameters, tables, n_exp, n_frac)


def write_psf(model: PsfModel, path: str | Path) -> None:
    """Write a model in DAOPHOT's format; reading it back gives the same numbers to the 7 digits of the format."""
    size = model.tables.shape[1]
    first = (
        f" {model.label:<8s}{size:5d}{len(model.parameters):5d}{model.n_exp:5d}{model.n_frac:5d}"
        f"{model.psfmag:9.3f}{model.bright:15.3f}{model.xpsf:9.1f}{model.ypsf:9.1f}"
    )
    lines = [first, *_lines(model.parameters)]
    for table in model.tables:
        lines += _lines(table.ravel())
    Path(path).write_text("\n".join(lines) + "\n", encoding="ascii")


def _first_line(line: str, path: str | Path) -> tuple[str, tuple[int, ...], tuple[float, ...]]:
    """Label, the four counts and the four numbers of the first line (1X,A8,4I5,F9.3,F15.3,2F9.1)."""
    widths = (5, 5, 5, 5, 9, 15, 9, 9)
    edges = np.cumsum((9, *widths))
    cells = [line[a:b] for a, b in pairwise(edges)]
    try:
        counts, numbers = tuple(int(c) for c in cells[:4]), tuple(float(c) for c in cells[4:])
    except ValueError as exc:
        raise PsfFileError(path, f"the first line {line[:80]!r} is not that of a DAOPHOT .psf file") from exc
    if not np.all(np.isfinite(numbers)) or min(numbers[2:]) <= 0:
        raise PsfFileError(path, f"the first line {line[:80]!r} contains impossible numbers")
    return line[1:9].strip(), counts, numbers


def _check_counts(label: str, size: int, n_par: int, n_exp: int, n_frac: int, path: str | Path) -> None:
    if label not in N_PARAMETER:
        raise PsfFileError(path, f"profile {label!r} is none of {', '.join(N_PARAMETER)}")
    if n_par != N_PARAMETER[label]:
        raise PsfFileError(path, f"{label} has {N_PARAMETER[label]} parameters, the file says {n_par}")
    if not (7 <= size <= MAX_SIZE and size % 2 == 1):
        raise PsfFileError(path, f"tables of {size}×{size} values: expected an odd side of 7..{MAX_SIZE}")
    if n_exp not in (0, 1, 3, 6, 10) or n_frac not in (0, 5) or n_exp + n_frac > MAX_TABLES:
        raise PsfFileError(path, f"{n_exp} + {n_frac} tables: expected 0, 1, 3, 6 or 10 and 0 or 5")


def _numbers(lines: list[str], n: int, path: str | Path) -> FloatArray:
    """Parse the first `n` numbers of lines with six fields of 13 characters after one blank."""
    text = "".join(line[1 : 1 + _PER_LINE * _WIDTH].ljust(_PER_LINE * _WIDTH) for line in lines)
    try:
        values = np.array([float(text[i * _WIDTH : (i + 1) * _WIDTH]) for i in range(n)])
    except ValueError as exc:
        raise PsfFileError(path, f"expected {n} numbers, but the text ends or breaks off before") from exc
    if not np.all(np.isfinite(values)):
        raise PsfFileError(path, "a number is not finite")
    return values


def _lines(values: FloatArray) -> list[str]:
    cells = [f"{v:13.6E}" for v in values]
    return [" " + "".join(cells[i : i + _PER_LINE]) for i in range(0, len(cells), _PER_LINE)]
