"""An archive as HATS collections: what LSDB, and anything that reads Parquet, can take to many machines."""

from ztfdb.hats.export import HatsReport, ProductReport, export_hats

__all__ = ["HatsReport", "ProductReport", "export_hats"]
