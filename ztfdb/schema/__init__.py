"""The tables and views of an archive, and descriptions of their columns: `describe_column`, `describe_table`.

The tables are imported on first use, because a query needs the descriptions, but not SQLAlchemy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ztfdb.schema.by_name import describe_column
from ztfdb.schema.described import ColumnDescription, TableDescription

if TYPE_CHECKING:
    from ztfdb.schema.describe import describe_table, describe_tables
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


if not TYPE_CHECKING:  # a type checker would take any name for one of them

    def __getattr__(name: str) -> Any:
        """Import all of the tables, so that SQLAlchemy's metadata is always complete."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        tables = import_module("ztfdb.schema.tables")
        found = getattr(import_module("ztfdb.schema.describe") if name.startswith("describe_") else tables, name)
        globals()[name] = found
        return found
