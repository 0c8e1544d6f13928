"""An archive that another machine serves (``ztfdb serve``): the same questions and answers, no database at hand."""

from ztfdb.client.archive import RemoteArchive, open_remote

__all__ = ["RemoteArchive", "open_remote"]
