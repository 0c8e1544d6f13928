"""Export an archive as HATS collections, for LSDB and any Parquet reader."""

from ztfdb.hats.export import HatsReport, ProductReport, export_hats

__all__ = ["HatsReport", "ProductReport", "export_hats"]
