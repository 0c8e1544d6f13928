"""The entry point: ``ztfdb.open(url)`` returns an `Archive`; its methods are in one module per subject."""

from ztfdb.archive.base import words_kept
from ztfdb.archive.facade import Archive, open_archive

__all__ = ["Archive", "open_archive", "words_kept"]
