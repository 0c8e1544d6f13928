"""Export an archive as HATS collections, for LSDB and any Parquet reader.

What exports is imported on first use, because other processes start before: `ztfdb.hats.processes`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ztfdb.hats.export import HatsReport, ProductReport, export_hats

__all__ = ["HatsReport", "ProductReport", "export_hats"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("ztfdb.hats.export"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
