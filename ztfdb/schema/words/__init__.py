"""Unit, UCD and description of every column, by name, which has the same meaning in every table."""

from ztfdb.schema.words import catalogues, images, keeping, photometry
from ztfdb.schema.words.facts import Facts
from ztfdb.schema.words.particular import COLUMNS as PARTICULAR
from ztfdb.schema.words.particular import TABLES

GENERAL: dict[str, Facts] = keeping.COLUMNS | catalogues.COLUMNS | photometry.COLUMNS | images.COLUMNS

__all__ = ["GENERAL", "PARTICULAR", "TABLES", "Facts"]
