"""The sets of bits that both halves of ztfdb speak: mask bits, image quality bits and extraction flags.

They live below both halves (not in ``frame/`` and ``extract/``) because the SQL views and the queries need the
same numbers as the pixel code.
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
"""Bits that say "a source is here" (2050); they never make a pixel bad."""

BAD_BITS = MaskBit(0x1FFF) & ~SOURCE_BITS
"""The default template of bad pixels, 6141: every defined bit but the two source bits."""

EXCLUDED_BITS = MaskBit.DEAD | MaskBit.NAN
"""Pixels that carry no light measurement; detection and apertures leave only these out."""


class InfoBit(IntFlag):
    """The bits of header INFOBITS that ztfdb acts on (the other bits only travel with the image)."""

    NO_PHOTOMETRIC_CALIBRATION = 1 << 8
    NO_ASTROMETRIC_CALIBRATION = 1 << 12
    UNUSABLE_PHOTOMETRY = 1 << 25
    BAD_FRAME = 1 << 26


INFOBITS_USABLE_BELOW = 1 << 25
"""An image is photometrically usable where ``infobits < 33554432`` (ZSDS section 13.4)."""

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
    """Excluded pixels lie in the fourth aperture; they were replaced by the aperture's mean."""
    LARGE_APERTURE_TRUNCATED = 1 << 5
    """One of the 10 and 14 px apertures leaves the image."""
    LARGE_APERTURE_INCOMPLETE = 1 << 6
    """Excluded pixels lie in one of the 10 and 14 px apertures."""
    KRON_DEFAULT = 1 << 7
    """No Kron radius could be measured; the minimum radius was used."""
    KRON_TRUNCATED = 1 << 8
    """The Kron aperture leaves the image or holds excluded pixels."""
    WINDOW_FAILED = 1 << 9
    """The windowed position did not converge; the position is the isophotal barycentre."""
    RADIUS_FAILED = 1 << 10
    """No half-light radius could be measured."""
    DEBLEND_LIMITED = 1 << 11
    """The extraction buffers overflowed here: deblending was done with raised limits or switched off."""
    SKY_BIASED = 1 << 12
    """The image is too small for a background free of sources, whose light makes the 6 px flux wrong by more than
    its error."""


class Caveat(IntFlag):
    """What a stored image lacks, though nothing is wrong with its rows: column ``image.caveats``."""

    NO_GAIN = 1 << 0
    """The header has no GAIN."""
    OTHER_UNIT = 1 << 1
    """BUNIT names another unit than DN."""
    NO_MASK = 1 << 2
    """A science image was measured without a mask."""
    MASK_NO_FILE = 1 << 3
    """Something that is no file lies in the mask's place."""
    SKY_BIASED = 1 << 4
    """The image is too small for a background free of sources; see `SourceFlag.SKY_BIASED`."""


NO_CAVEAT = Caveat(0)

CAVEAT_WORDS = {
    Caveat.NO_GAIN: "no GAIN in the header: the errors lack the Poisson noise of the sources",
    Caveat.OTHER_UNIT: "BUNIT is not DN: GAIN, SATURATE and MAGZP were taken as if it were",
    Caveat.NO_MASK: "no mask: bad pixels are not known, mask_bits are empty",
    Caveat.MASK_NO_FILE: "a folder, a FIFO or another thing that is no file lies in the mask's place",
    Caveat.SKY_BIASED: "too small for a background beside its bright stars: what is faint in it is not good",
}
"""What each caveat means, for people."""


APERTURE_BROKEN = SourceFlag.APERTURE_TRUNCATED | SourceFlag.SKY_BIASED
"""The extraction flags that make a 6 px measurement not ``good``."""

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
"""Flags of sources that calibrate nothing."""

UNCLEAN_LARGE = SourceFlag.LARGE_APERTURE_TRUNCATED | SourceFlag.LARGE_APERTURE_INCOMPLETE
"""Further ones for the apertures of 10 and 14 px."""
