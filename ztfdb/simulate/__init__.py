"""Images with known truth, for tests, benchmarks and the demo."""

from ztfdb.simulate.epoch import simulate_epoch
from ztfdb.simulate.exposure import Exposure
from ztfdb.simulate.image import SimulatedImage, StarTable, make_science_image
from ztfdb.simulate.profile import Profile
from ztfdb.simulate.psfcat import make_psfcat, write_psfcat

__all__ = [
    "Exposure",
    "Profile",
    "SimulatedImage",
    "StarTable",
    "make_psfcat",
    "make_science_image",
    "simulate_epoch",
    "write_psfcat",
]
