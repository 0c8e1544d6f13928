"""`DAOPhotReader`, the original package's class for a DAOPHOT ``.psf`` file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ztfdb.arrays import FloatArray
from ztfdb.dao.model import PsfModel
from ztfdb.dao.profiles import profile_value
from ztfdb.dao.psffile import read_psf, write_psf
from ztfdb.records import Stamp


class DAOPhotReader:
    """A DAOPHOT point-spread function from a ``sciimgdao.psf`` file.

    Parameters
    ----------
    psffile : str or Path

    Attributes
    ----------
    filename : str
    model : PsfModel
        The values, and their evaluation anywhere on the quadrant.

    Raises
    ------
    ImageReadError
        If the file cannot be read.
    PsfFileError
        If it is not a ``.psf`` file.

    Notes
    -----
    The original only supported the Gaussian, ignored BRIGHT and mixed a unit-integral base with tables in DN. Here both
    base and tables are in DN, as DAOPHOT adds them.
    """

    def __init__(self, psffile: str | Path) -> None:
        self.filename = str(psffile)
        self.model: PsfModel = read_psf(psffile)

    modelname = property(lambda self: self.model.label, doc="Name of the analytic profile (LABEL).")
    structurewidth = property(lambda self: self.model.tables.shape[1], doc="Side of the tables (NPSF), half pixels.")
    nparamprofile = property(lambda self: len(self.model.parameters), doc="Parameters of the profile (NPAR).")
    nstructures = property(lambda self: len(self.model.tables), doc="Number of tables (NEXP + NFRAC).")
    instnorm = property(lambda self: self.model.psfmag, doc="DAOPHOT magnitude of the PSF star (PSFMAG).")
    centralheight_adu = property(lambda self: self.model.bright, doc="Factor of the profile, DN (BRIGHT).")
    xcenter = property(lambda self: self.model.xpsf, doc="Centre of the quadrant, pixels (XPSF).")
    ycenter = property(lambda self: self.model.ypsf, doc="Centre of the quadrant, pixels (YPSF).")
    param_profile = property(lambda self: self.model.parameters, doc="Half widths at half maximum (pixels), tilts.")

    def get_basestamp(self, asstamp: bool = True) -> Stamp | FloatArray:
        """Return the analytic part in DN on the half-pixel grid of the tables; zero beyond the PSF radius."""
        size = self.model.tables.shape[1]
        offset = (np.arange(size) - (size - 1) / 2.0) / 2.0
        dx, dy = np.meshgrid(offset, offset)
        base = self.model.bright * profile_value(self.model.label, self.model.parameters, dx, dy)
        base[dx**2 + dy**2 >= self.model.radius**2] = 0.0
        return _centred(base) if asstamp else base

    def get_structstamp(self, index: int, asstamp: bool = True) -> Stamp | FloatArray:
        """Return one look-up table, DN every half pixel.

        Raises
        ------
        ValueError
            If there is no table with this index.
        """
        if not 0 <= index < len(self.model.tables):
            raise ValueError(f"table {index} of {len(self.model.tables)}")
        table = self.model.tables[index].copy()
        return _centred(table) if asstamp else table

    def get_psf(
        self,
        coef_base: float,
        coefstruct: Sequence[float],
        normed: bool = True,
        asstamp: bool = True,
        inpixels: bool = False,
    ) -> Stamp | FloatArray:
        """Compose a PSF from the base profile and the tables with given coefficients.

        ``get_psf(1, [0.1, 0.1, 0.1])`` is the base profile plus 10 % of each table. For the PSF at a position of the
        quadrant use `psf_at`.

        Parameters
        ----------
        coef_base : float
            Factor of the base profile.
        coefstruct : sequence of float
            One factor for each table.
        normed : bool
            Divide by the sum.
        asstamp : bool
            Return a `Stamp` rather than an array.
        inpixels : bool
            Return whole pixels (23×23 for ZTF) rather than half pixels (47×47). Both profile and tables contain pixel
            integrals at every half pixel, so every second value is taken. The original averaged neighbours, which
            smeared the PSF by half a pixel and shifted it.

        Returns
        -------
        Stamp or ndarray

        Raises
        ------
        ValueError
            If the number of coefficients is not the number of tables.
        """
        if len(coefstruct) != len(self.model.tables):
            raise ValueError(f"{len(coefstruct)} coefficients for {len(self.model.tables)} tables")
        psf = coef_base * np.asarray(self.get_basestamp(asstamp=False))
        psf = psf + np.tensordot(np.asarray(coefstruct, dtype=float), self.model.tables, axes=1)
        if inpixels:
            # keep the central half pixel in the result
            first = (psf.shape[0] - 1) // 2 % 2
            psf = psf[first::2, first::2]
        if normed:
            psf = psf / psf.sum()
        return _centred(psf) if asstamp else psf

    def psf_at(
        self, x: float, y: float, size: int = 23, normed: bool = True, asstamp: bool = False
    ) -> Stamp | FloatArray:
        """Return the PSF of a star at a position of the quadrant, in whole pixels.

        Parameters
        ----------
        x, y : float
            Zero-based pixels of the whole quadrant. The fractional part is the star's offset within its pixel.
        size : int
            Side of the array, pixels; it is centred on the pixel that contains the star.
        normed : bool
            Divide by the sum of the whole PSF, so that the array has fractions of the flux. Else DN of the PSF star.
        asstamp : bool
            Return a `Stamp` with its cross at the star's position.

        Returns
        -------
        ndarray, shape (size, size), or Stamp

        Raises
        ------
        ValueError
            If `size` < 1 or a position is not finite.
        """
        if size < 1 or not (np.isfinite(x) and np.isfinite(y)):
            raise ValueError(f"size {size}, position ({x}, {y}): expected a positive size and a finite position")
        i0, j0 = int(np.floor(x + 0.5)) - size // 2, int(np.floor(y + 0.5)) - size // 2
        dx, dy = np.arange(size) + i0 - x, np.arange(size) + j0 - y
        psf = self.model.value(dx[None, :], dy[:, None], x, y)
        if normed:
            psf = psf / self.total_at(x, y)
        return Stamp(psf, x, y, i0, j0) if asstamp else psf

    def total_at(self, x: float, y: float) -> float:
        """Return the sum (DN) of the PSF star's pixels at a position of the quadrant."""
        reach = int(np.ceil(self.model.radius)) + 1
        dx = np.arange(-reach, reach + 1) + np.floor(x + 0.5) - x
        dy = np.arange(-reach, reach + 1) + np.floor(y + 0.5) - y
        return float(self.model.value(dx[None, :], dy[:, None], x, y).sum())

    def write(self, path: str | Path) -> None:
        """Write the PSF in DAOPHOT's format; see `write_psf`."""
        write_psf(self.model, path)

    def show(self, axes: Any = None, **options: Any) -> Any:
        """Draw the base profile and the tables; see `ztfdb.plot.draw_psf`. Returns the Figure."""
        from ztfdb.plot import draw_psf

        return draw_psf(self, axes, **options)


def _centred(data: FloatArray) -> Stamp:
    """Return a stamp with its cross at the centre."""
    ny, nx = data.shape
    return Stamp(data, (nx - 1) / 2.0, (ny - 1) / 2.0, 0, 0)
