"""DAOPHOT ``.psf`` files: read, evaluate anywhere on the quadrant, write."""

from ztfdb.dao.model import PsfModel
from ztfdb.dao.psffile import read_psf, write_psf
from ztfdb.dao.reader import DAOPhotReader

__all__ = ["DAOPhotReader", "PsfModel", "read_psf", "write_psf"]
