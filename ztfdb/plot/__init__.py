"""Pictures: functions that take an Axes and return it. matplotlib is an optional extra and seen only here."""

from ztfdb.plot.image import draw_image, draw_stamp
from ztfdb.plot.psf import draw_psf

__all__ = ["draw_image", "draw_psf", "draw_stamp"]
