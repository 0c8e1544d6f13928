"""Descriptions of columns by name alone: unit, UCD and text, without importing the tables."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ztfdb.schema.words import GENERAL, PARTICULAR


@dataclass(frozen=True)
class ColumnDescription:
    """One column of a table, a view or an answer.

    Attributes
    ----------
    name : str
    unit : str
        In astropy's spelling (``deg``, ``DN``, ``mas / yr``); empty if there is none.
    ucd : str
        IVOA's UCD1+.
    description : str
        One sentence.
    datatype : str or None
        VOTable's datatype: ``short``, ``int``, ``long``, ``float``, ``double``, ``boolean``, ``unicodeChar`` (text,
        JSON), ``unsignedByte`` (bytes); None if it was looked up by name alone.
    origin : str
        Table and column that a column of a view is without a change, as ``image.obsmjd``; else empty.
    """

    name: str
    unit: str
    ucd: str
    description: str
    datatype: str | None = None
    origin: str = ""

    @property
    def vounit(self) -> str:
        """The unit in IVOA's VOUnits spelling; DN becomes adu, the same count."""
        return re.sub(r"([A-Za-z])(\d)", r"\1**\2", self.unit.replace(" ", "").replace("DN", "adu"))

    @property
    def comment(self) -> str:
        """Description, unit and UCD in one text, for PostgreSQL's ``COMMENT ON``."""
        return f"{self.description} [{self.unit or '-'}] ({self.ucd})"


@dataclass(frozen=True)
class TableDescription:
    """One table or view.

    Attributes
    ----------
    name : str
    kind : str
        ``table`` or ``view``.
    description : str
        One sentence.
    columns : tuple of ColumnDescription
        In their order.
    """

    name: str
    kind: str
    description: str
    columns: tuple[ColumnDescription, ...]


def described(name: str, table: str | None, datatype: str | None = None) -> ColumnDescription | None:
    """Return the specific description of a name in a table or an answer, else the general one."""
    facts = PARTICULAR.get(table or "", {}).get(name) or GENERAL.get(name)
    return None if facts is None else ColumnDescription(name, *facts, datatype=datatype)
