"""A small demonstration archive: one real quadrant and simulated further epochs of its field."""

from ztfdb.demo.build import Demo, build_demo
from ztfdb.demo.epochs import SIMULATED_EPOCHS

__all__ = ["SIMULATED_EPOCHS", "Demo", "build_demo"]
