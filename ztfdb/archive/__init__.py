"""The front door: ``ztfdb.open(url)`` gives an `Archive`; its methods stand in one module for each subject."""

from ztfdb.archive.base import words_kept
from ztfdb.archive.facade import Archive, open_archive

__all__ = ["Archive", "open_archive", "words_kept"]
