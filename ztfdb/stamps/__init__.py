"""Cut stamps from images, with explicit padding and masks."""

from ztfdb.stamps.cut import ImageStamp, cut_stamps, stamps_file, write_stamps
from ztfdb.stamps.cutout import cut_stamp, stamp_origin
from ztfdb.stamps.part import cut_part
from ztfdb.stamps.region import Cutout, window_of

__all__ = [
    "Cutout",
    "ImageStamp",
    "cut_part",
    "cut_stamp",
    "cut_stamps",
    "stamp_origin",
    "stamps_file",
    "window_of",
    "write_stamps",
]
