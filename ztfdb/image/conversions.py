"""Conversions between counts, flux and magnitude of an image."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ztfdb.arrays import FloatArray
from ztfdb.phot.magnitudes import flux_to_mag, flux_to_microjansky, mag_to_flux, microjansky_to_mag

AB_CONSTANT = 48.60
"""mag = -2.5 log10(f_nu / erg s⁻¹ cm⁻² Hz⁻¹) - 48.60."""
SPEED_OF_LIGHT = 2.99792458e18
"""Å/s."""
EFFECTIVE_WAVELENGTH = {1: 4813.97, 2: 6421.81, 3: 7883.06}
"""Transmission-weighted mean wavelength of ZTF's filters by ``fid``, Å."""
UNITS = ("counts", "flux", "mag", "ujy")
"""Units of photometry: DN, erg s⁻¹ cm⁻² Å⁻¹, AB mag, µJy."""

Values = tuple[FloatArray, FloatArray | None]


class Conversions:
    """Mixin of `Image`: the 6 conversions, with both spellings (``count_to_…`` and ``counts_to_…``).

    Each returns ``(value, error)``; the error is None if none was given. Errors are first order and exclude the zero
    point's error. Flux is f_lambda at the filter's effective wavelength; ``inhz=True`` means f_nu in
    erg s⁻¹ cm⁻² Hz⁻¹. `zp` replaces the image's MAGZP. The original's constant 2.406 made fluxes 0.18 % too large; here
    it is the exact 48.60 - 2.5 log10 c = 2.40795. Magnitudes of zero or negative flux are NaN.
    """

    magzp: Any

    @property
    def filter_lbda(self) -> float:
        """Effective wavelength of the filter, Å."""
        raise NotImplementedError

    def counts_to_mag(self, counts: ArrayLike, dcounts: ArrayLike | None = None, zp: float | None = None) -> Values:
        """Convert DN to AB mag: ``MAGZP - 2.5 log10(counts)``."""
        value, error = _with_error(counts, dcounts)
        mag, mag_err = flux_to_mag(value, error, self._zp(zp))
        return mag, None if dcounts is None else mag_err

    def mag_to_counts(self, mag: ArrayLike, dmag: ArrayLike | None = None, zp: float | None = None) -> Values:
        """Convert AB mag to DN."""
        value, error = _with_error(mag, dmag)
        counts, counts_err = mag_to_flux(value, error, self._zp(zp))
        return counts, None if dmag is None else counts_err

    def counts_to_flux(
        self, counts: ArrayLike, dcounts: ArrayLike | None = None, zp: float | None = None, inhz: bool = False
    ) -> Values:
        """Convert DN to flux, erg s⁻¹ cm⁻² Å⁻¹ (or Hz⁻¹)."""
        return _scaled(counts, dcounts, self._flux_of_zero(inhz) * 10.0 ** (-0.4 * self._zp(zp)))

    def flux_to_counts(
        self, flux: ArrayLike, dflux: ArrayLike | None = None, zp: float | None = None, inhz: bool = False
    ) -> Values:
        """Convert flux to DN."""
        return _scaled(flux, dflux, 10.0 ** (0.4 * self._zp(zp)) / self._flux_of_zero(inhz))

    def flux_to_mag(self, flux: ArrayLike, dflux: ArrayLike | None = None, inhz: bool = False) -> Values:
        """Convert flux to AB mag."""
        value, error = _with_error(flux, dflux)
        mag, mag_err = flux_to_mag(value, error, 2.5 * np.log10(self._flux_of_zero(inhz)))
        return mag, None if dflux is None else mag_err

    def mag_to_flux(self, mag: ArrayLike, dmag: ArrayLike | None = None, inhz: bool = False) -> Values:
        """Convert AB mag to flux."""
        value, error = _with_error(mag, dmag)
        flux, flux_err = mag_to_flux(value, error, 2.5 * np.log10(self._flux_of_zero(inhz)))
        return flux, None if dmag is None else flux_err

    def counts_to_microjansky(
        self, counts: ArrayLike, dcounts: ArrayLike | None = None, zp: float | None = None
    ) -> Values:
        """Convert DN to µJy."""
        flux = flux_to_microjansky(np.asarray(counts, dtype=float), self._zp(zp))
        return flux, None if dcounts is None else flux_to_microjansky(np.asarray(dcounts, dtype=float), self._zp(zp))

    def microjansky_to_mag(self, flux: ArrayLike) -> FloatArray:
        """Convert µJy to AB mag; the same for every image."""
        return microjansky_to_mag(flux)

    count_to_mag = counts_to_mag
    count_to_flux = counts_to_flux
    mag_to_count = mag_to_counts
    flux_to_count = flux_to_counts
    count_to_microjansky = counts_to_microjansky

    def convert_counts(self, counts: ArrayLike, dcounts: ArrayLike | None, unit: str) -> Values:
        """Convert DN to one of `UNITS`.

        Raises
        ------
        ValueError
            If the unit is unknown.
        """
        if unit == "counts":
            return _scaled(counts, dcounts, 1.0)
        if unit == "flux":
            return self.counts_to_flux(counts, dcounts)
        if unit == "mag":
            return self.counts_to_mag(counts, dcounts)
        if unit == "ujy":
            return self.counts_to_microjansky(counts, dcounts)
        raise ValueError(f"unit {unit!r} is none of {', '.join(UNITS)}")

    def _zp(self, zp: float | None) -> float:
        return self.magzp if zp is None else zp

    def _flux_of_zero(self, inhz: bool) -> float:
        """Return the flux of AB magnitude 0."""
        f_nu = 10.0 ** (-0.4 * AB_CONSTANT)
        return float(f_nu if inhz else f_nu * SPEED_OF_LIGHT / self.filter_lbda**2)


def _with_error(value: ArrayLike, error: ArrayLike | None) -> tuple[FloatArray, FloatArray]:
    values = np.asarray(value, dtype=float)
    if error is None:
        return values, np.zeros(values.shape)
    return values, np.broadcast_to(np.asarray(error, dtype=float), values.shape)


def _scaled(value: ArrayLike, error: ArrayLike | None, factor: float) -> Values:
    values = np.asarray(value, dtype=float) * factor
    return values, None if error is None else np.asarray(error, dtype=float) * factor
