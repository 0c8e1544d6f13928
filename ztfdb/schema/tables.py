"""Every table of an archive, with its descriptions: importing this module completes SQLAlchemy's metadata."""

from ztfdb.schema.archive import ArchiveMeta, Config, DataRoot
from ztfdb.schema.base import Base
from ztfdb.schema.calibration import Calibration, SelfSolution, SelfStar
from ztfdb.schema.catalogue import Catalogue, CatalogueCell, CatalogueFile, Gaia, Ps1, ReferenceSource
from ztfdb.schema.completeness import Completeness
from ztfdb.schema.forced import ForcedSource
from ztfdb.schema.image import Image, ImageCell, ImageFile, ImageHeader
from ztfdb.schema.match import ImageMatch, SourceMatch
from ztfdb.schema.objects import (
    Object,
    ObjectAlias,
    ObjectCurve,
    ObjectFilter,
    ObjectImage,
    ObjectOid,
    ObjectReference,
    ObjectSource,
    ObjectState,
)
from ztfdb.schema.psf import PSF_LIGHT_CURVE_COLUMNS, PsfCatalogue, PsfSource
from ztfdb.schema.psfcheck import PsfCheck
from ztfdb.schema.queue import IngestJob
from ztfdb.schema.source import LIGHT_CURVE_COLUMNS, Source

__all__ = [
    "LIGHT_CURVE_COLUMNS",
    "PSF_LIGHT_CURVE_COLUMNS",
    "ArchiveMeta",
    "Base",
    "Calibration",
    "Catalogue",
    "CatalogueCell",
    "CatalogueFile",
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
]
