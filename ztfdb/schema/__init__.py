"""The tables and views of an archive, and nothing else."""

from ztfdb.schema.archive import ArchiveMeta, Config, DataRoot
from ztfdb.schema.base import Base
from ztfdb.schema.image import Image, ImageCell, ImageFile, ImageHeader
from ztfdb.schema.source import LIGHT_CURVE_COLUMNS, SOURCE_ID_SHIFT, Source

__all__ = [
    "LIGHT_CURVE_COLUMNS",
    "SOURCE_ID_SHIFT",
    "ArchiveMeta",
    "Base",
    "Config",
    "DataRoot",
    "Image",
    "ImageCell",
    "ImageFile",
    "ImageHeader",
    "Source",
]
