"""An archive served by another machine (``ztfdb serve``): the same queries and answers, without a local database."""

from ztfdb.client.archive import RemoteArchive, open_remote

__all__ = ["RemoteArchive", "open_remote"]
