"""Image + position → cutout, its padding and mask told honestly."""

from ztfdb.stamps.cutout import cut_stamp, stamp_origin

__all__ = ["cut_stamp", "stamp_origin"]
