"""An archive served by another machine (``ztfdb serve``): the same queries and answers, without a local database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ztfdb.client.archive import RemoteArchive, open_remote

__all__ = ["RemoteArchive", "open_remote"]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Import the client on first use: the service needs only the addresses of ``ztfdb.client.transport``."""
        if name not in __all__:
            raise AttributeError(f"module 'ztfdb.client' has no attribute {name!r}")
        from ztfdb.client import archive

        return getattr(archive, name)
