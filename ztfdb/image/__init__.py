"""Image objects as in ``ztfimg``: an image with its mask, sources and catalogues, without a database."""

from ztfdb.image.catalogs import CatalogCollection
from ztfdb.image.reference import ReferenceImage
from ztfdb.image.science import ScienceImage
from ztfdb.records import Stamp

__all__ = ["CatalogCollection", "ReferenceImage", "ScienceImage", "Stamp"]
