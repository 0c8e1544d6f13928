"""Sets of bits used by the pixel code and the database code: mask bits, image quality bits, extraction flags.

They are in neither ``frame/`` nor ``extract/``, because the SQL views and the queries need the same numbers as the
pixel code.
"""

from __future__ import annotations

from enum import IntFlag


class MaskBit(IntFlag):
    """Bits of a ZTF ``mskimg`` pixel (ZTF Science Data System explanatory supplement, section 10.3)."""

    TRACKS = 1 << 0
    SEXSOURCES = 1 << 1
    LOWRESPONSIVITY = 1 << 2
    HIGHRESPONSIVITY = 1 << 3
    NOISY = 1 << 4
    GHOSTS = 1 << 5
    SPILLAGE = 1 << 6
    SPIKES = 1 << 7
    SATURATED = 1 << 8
    DEAD = 1 << 9
    NAN = 1 << 10
    PSFSOURCES = 1 << 11
    BRIGHTSTARHALO = 1 << 12


SOURCE_BITS = MaskBit.SEXSOURCES | MaskBit.PSFSOURCES
"""Bits that mark a source (2050); they never make a pixel bad."""

BAD_BITS = MaskBit(0x1FFF) & ~SOURCE_BITS
"""The default template of bad pixels, 6141: every defined bit except the two source bits."""

EXCLUDED_BITS = MaskBit.DEAD | MaskBit.NAN
"""Pixels without a measurement of light; detection and apertures leave out only these."""


class InfoBit(IntFlag):
    """The bits of header INFOBITS that ztfdb uses (the others are only stored with the image)."""

    NO_PHOTOMETRIC_CALIBRATION = 1 << 8
    NO_ASTROMETRIC_CALIBRATION = 1 << 12
    UNUSABLE_PHOTOMETRY = 1 << 25
    BAD_FRAME = 1 << 26


INFOBITS_USABLE_BELOW = 1 << 25
"""An image is photometrically usable if ``infobits < 33554432`` (ZSDS section 13.4)."""

CATFLAG_UNUSABLE = 1 << 15
"""Bit that IRSA's ``catflags`` adds for an epoch on an unusable image (32768)."""


class SourceFlag(IntFlag):
    """Extraction flags of one source. The numbers are ztfdb's own: neither SExtractor's nor sep's."""

    BLENDED = 1 << 0
    """Deblended from a neighbour, or merged with one."""
    EDGE = 1 << 1
    """The isophotal footprint touches the edge of the image."""
    SATURATED = 1 << 2
    """A pixel of the footprint reaches SATURATE, or the mask's saturated bit is set in it."""
    APERTURE_TRUNCATED = 1 << 3
    """The fourth aperture (6 px) leaves the image."""
    APERTURE_INCOMPLETE = 1 << 4
    """Excluded pixels are in the fourth aperture; they were replaced by the aperture's mean."""
    LARGE_APERTURE_TRUNCATED = 1 << 5
    """One of the 10 and 14 px apertures leaves the image."""
    LARGE_APERTURE_INCOMPLETE = 1 << 6
    """Excluded pixels are in one of the 10 and 14 px apertures."""
    KRON_DEFAULT = 1 << 7
    """No Kron radius could be measured; the minimum radius was used."""
    KRON_TRUNCATED = 1 << 8
    """The Kron aperture leaves the image or contains excluded pixels."""
    WINDOW_FAILED = 1 << 9
    """The windowed position did not converge; the position is the isophotal barycentre."""
    RADIUS_FAILED = 1 << 10
    """No half-light radius could be measured."""
    DEBLEND_LIMITED = 1 << 11
    """The extraction buffers overflowed here: deblending was done with raised limits or switched off."""
    SKY_BIASED = 1 << 12
    """The image is too small for a background free of sources, and their light makes the 6 px flux wrong by more than
    its error."""


class Caveat(IntFlag):
    """Deficiencies of a stored image whose rows are correct: column ``image.caveats``."""

    NO_GAIN = 1 << 0
    """The header has no GAIN."""
    OTHER_UNIT = 1 << 1
    """BUNIT names another unit than DN."""
    NO_MASK = 1 << 2
    """A science image was measured without a mask."""
    MASK_NO_FILE = 1 << 3
    """Something other than a file has the name of the mask."""
    SKY_BIASED = 1 << 4
    """The image is too small for a background free of sources; see `SourceFlag.SKY_BIASED`."""


NO_CAVEAT = Caveat(0)

CAVEAT_WORDS = {
    Caveat.NO_GAIN: "no GAIN in the header: the errors lack the Poisson noise of the sources",
    Caveat.OTHER_UNIT: "BUNIT is not DN: GAIN, SATURATE and MAGZP were taken as if it were",
    Caveat.NO_MASK: "no mask: bad pixels are not known, mask_bits are empty",
    Caveat.MASK_NO_FILE: "a folder, FIFO or other non-file has the name of the mask",
    Caveat.SKY_BIASED: "too small for a background next to its bright stars: its faint sources are not good",
}
"""The meaning of each caveat, for users."""


APERTURE_BROKEN = SourceFlag.APERTURE_TRUNCATED | SourceFlag.SKY_BIASED
"""The extraction flags with which a 6 px measurement is not ``good``."""

UNCLEAN = (
    SourceFlag.BLENDED
    | SourceFlag.EDGE
    | SourceFlag.SATURATED
    | SourceFlag.APERTURE_TRUNCATED
    | SourceFlag.APERTURE_INCOMPLETE
    | SourceFlag.WINDOW_FAILED
    | SourceFlag.DEBLEND_LIMITED
    | SourceFlag.SKY_BIASED
)
"""Flags of sources that are not used for calibrations."""

UNCLEAN_LARGE = SourceFlag.LARGE_APERTURE_TRUNCATED | SourceFlag.LARGE_APERTURE_INCOMPLETE
"""Further such flags for the apertures of 10 and 14 px."""
