"""Pictures: functions that take an Axes and return it. matplotlib is an optional extra and seen only here."""

from ztfdb.plot.image import draw_image, draw_stamp
from ztfdb.plot.lightcurve import draw_light_curve
from ztfdb.plot.psf import draw_psf

__all__ = ["draw_image", "draw_light_curve", "draw_psf", "draw_stamp"]
