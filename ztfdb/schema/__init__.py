"""The tables and views of an archive, and descriptions of their columns: `describe_column`, `describe_table`.

All are imported on first use: a light curve needs neither SQLAlchemy nor the descriptions.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ztfdb.schema.by_name import describe_column
    from ztfdb.schema.describe import describe_table, describe_tables
    from ztfdb.schema.described import ColumnDescription, TableDescription
    from ztfdb.schema.tables import (
        LIGHT_CURVE_COLUMNS,
        PSF_LIGHT_CURVE_COLUMNS,
        ArchiveMeta,
        Base,
        Calibration,
        Catalogue,
        CatalogueCell,
        CatalogueFile,
        Completeness,
        Config,
        DataRoot,
        ForcedSource,
        Gaia,
        Image,
        ImageCell,
        ImageFile,
        ImageHeader,
        ImageMatch,
        IngestJob,
        Object,
        ObjectAlias,
        ObjectCurve,
        ObjectFilter,
        ObjectImage,
        ObjectOid,
        ObjectReference,
        ObjectSource,
        ObjectState,
        Ps1,
        PsfCatalogue,
        PsfCheck,
        PsfSource,
        ReferenceSource,
        SelfSolution,
        SelfStar,
        Source,
        SourceMatch,
    )

__all__ = [
    "LIGHT_CURVE_COLUMNS",
    "PSF_LIGHT_CURVE_COLUMNS",
    "ArchiveMeta",
    "Base",
    "Calibration",
    "Catalogue",
    "CatalogueCell",
    "CatalogueFile",
    "ColumnDescription",
    "Completeness",
    "Config",
    "DataRoot",
    "ForcedSource",
    "Gaia",
    "Image",
    "ImageCell",
    "ImageFile",
    "ImageHeader",
    "ImageMatch",
    "IngestJob",
    "Object",
    "ObjectAlias",
    "ObjectCurve",
    "ObjectFilter",
    "ObjectImage",
    "ObjectOid",
    "ObjectReference",
    "ObjectSource",
    "ObjectState",
    "Ps1",
    "PsfCatalogue",
    "PsfCheck",
    "PsfSource",
    "ReferenceSource",
    "SelfSolution",
    "SelfStar",
    "Source",
    "SourceMatch",
    "TableDescription",
    "describe_column",
    "describe_table",
    "describe_tables",
]


_ELSEWHERE = {
    "ColumnDescription": "described",
    "TableDescription": "described",
    "describe_column": "by_name",
    "describe_table": "describe",
    "describe_tables": "describe",
}
"""Modules of the names that are not tables."""

if not TYPE_CHECKING:  # a type checker would take any name for one of them

    def __getattr__(name: str) -> Any:
        """Import all of the tables, so that SQLAlchemy's metadata is always complete, or the descriptions."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = _ELSEWHERE.get(name, "tables")
        if module in ("tables", "describe"):
            import_module("ztfdb.schema.tables")
        found = getattr(import_module(f"ztfdb.schema.{module}"), name)
        globals()[name] = found
        return found
