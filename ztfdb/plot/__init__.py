"""Plots: functions that take an Axes and return it. Only this package imports matplotlib, an optional extra."""

from ztfdb.plot.calibration import draw_calibration, draw_residual_map, draw_residuals
from ztfdb.plot.diff import draw_diff
from ztfdb.plot.image import draw_image, draw_stamp
from ztfdb.plot.lightcurve import draw_light_curve
from ztfdb.plot.psf import draw_psf
from ztfdb.plot.psfcheck import draw_difference_map, draw_differences, draw_psf_check
from ztfdb.plot.selfcal import draw_self_calibration
from ztfdb.plot.stamps import draw_light_curve_with_stamps, draw_stamps, write_gif

__all__ = [
    "draw_calibration",
    "draw_diff",
    "draw_difference_map",
    "draw_differences",
    "draw_image",
    "draw_light_curve",
    "draw_light_curve_with_stamps",
    "draw_psf",
    "draw_psf_check",
    "draw_residual_map",
    "draw_residuals",
    "draw_self_calibration",
    "draw_stamp",
    "draw_stamps",
    "write_gif",
]
