"""Every function that takes an array takes it in any layout: FITS is big-endian, a transposed image Fortran-ordered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ztfdb import image
from ztfdb.dao import PsfModel
from ztfdb.extract.annulus import annulus_means
from ztfdb.extract.aperture import aperture_sums, mask_in_aperture
from ztfdb.extract.psffit import fit_psf_fluxes
from ztfdb.extract.sepobjects import ellipse_mask, sep_background, sep_objects
from ztfdb.frame.arrays import plain_array
from ztfdb.frame.background import measure_background
from ztfdb.sky.cells import sky_to_cell
from ztfdb.sky.match import match_nearest
from ztfdb.stamps import cut_stamp


def swapped(values: Any) -> Any:
    values = np.asarray(values)
    return values.astype(values.dtype.newbyteorder(">")) if values.dtype.kind != "b" else values


def strided(values: Any) -> Any:
    """Every second element of a larger array, backwards."""
    values = np.asarray(values)
    wide = np.repeat(np.repeat(values, 2, axis=0), 2, axis=-1) if values.ndim == 2 else np.repeat(values, 2)
    return wide[::-2, ::-2][::-1, ::-1] if values.ndim == 2 else wide[::-2][::-1]


def memory_mapped(values: Any) -> Any:
    """Big-endian, read-only and at an odd address, as raw FITS bytes are."""
    values = swapped(values)
    raw = b"\0" + values.tobytes()
    return np.frombuffer(raw, dtype=values.dtype, offset=1).reshape(values.shape)


def fortran_read_only(values: Any) -> Any:
    copy = np.array(values, order="F")
    copy.flags.writeable = False
    return copy


def masked_doubles(values: Any) -> Any:
    values = np.asarray(values)
    return np.ma.MaskedArray(values.astype(float) if values.dtype.kind == "f" else values)


LAYOUTS: dict[str, Callable[[Any], Any]] = {
    "Fortran, read-only": fortran_read_only,
    "strided": strided,
    "raw": memory_mapped,
    "masked doubles": masked_doubles,
}

X, Y = np.array([60.25, 139.5, 220.0, 3.0]), np.array([61.0, 140.75, 260.0, 200.0])
FLAT = np.ones((400, 400), dtype=np.float32)


def _calls(z: image.ScienceImage) -> dict[str, Callable[[Callable[[Any], Any]], Any]]:
    pixels, bad = z.dataclean, z.get_mask()
    filled = np.where(bad, np.float32(0.0), pixels)
    noise = FLAT * np.float32(float(z.get_noise()))
    model = PsfModel("GAUSSIAN", 13.5, 1e3, 1535.5, 1539.5, np.array([1.1, 1.1]), np.zeros((0, 47, 47)), 0, 0)
    shape = {"x": X, "y": Y, "a": np.full(4, 2.0), "b": np.full(4, 1.5), "theta": np.full(4, 0.3)}
    return {
        "extract_sources data": lambda f: z.extract_sources(data=f(pixels), update=False),
        "extract_sources err": lambda f: z.extract_sources(err=f(noise), update=False),
        "extract_sources mask": lambda f: z.extract_sources(mask=f(bad), update=False),
        "get_aperture data": lambda f: z.get_aperture(X, Y, 3.0, data=f(pixels), bkgann=(6, 9)),
        "get_aperture noise": lambda f: z.get_aperture(X, Y, 3.0, noise=f(noise)),
        "get_aperture mask": lambda f: z.get_aperture(X, Y, [2.0, 3.0], mask=f(bad)),
        "get_aperture positions": lambda f: z.get_aperture(f(X), f(Y), f(np.array([2.0, 3.0]))),
        "get_psf_photometry": lambda f: z.get_psf_photometry(f(X), f(Y), model, noise=f(noise), mask=f(bad)),
        "coords_to_pixels": lambda f: z.coords_to_pixels(f(z.pixels_to_coords(f(X), f(Y))[0]), f(np.zeros(4))),
        "counts_to_mag": lambda f: z.counts_to_mag(f(X * 100), f(Y)),
        "set_background": lambda f: (z.set_background(f(noise)), z.dataclean)[1],
        "load_source_background": lambda f: (z.load_source_background(datamasked=f(pixels)), z.background)[1],
        "mesh background": lambda f: (z.load_source_background(datamasked=f(pixels), method="mesh"), z.background)[1],
        "get_stamp": lambda f: z.get_stamp(f(X), f(Y), data=f(pixels), asarray=True),
        "catalog": lambda f: (z.set_catalog(pd.DataFrame({"x": f(X), "y": f(Y)}), "a"), z.catalogs.catalogs)[1]["a"],
        "sep_background": lambda f: sep_background(f(filled), f(bad)).back(),
        "sep_objects": lambda f: pd.DataFrame(sep_objects(f(filled), 3.0, err=f(noise), bad=f(bad))),
        "ellipse_mask": lambda f: ellipse_mask((400, 400), **{k: f(v) for k, v in shape.items()}, r=3.0),
        "measure_background": lambda f: measure_background(f(filled), f(bad)).level,
        "aperture_sums": lambda f: aperture_sums(f(filled), f(X), f(Y), f(bad)).flux,
        "mask_in_aperture": lambda f: mask_in_aperture(f(np.where(bad, np.uint16(256), np.uint16(0))), f(X), f(Y)),
        "annulus_means": lambda f: annulus_means(f(filled), f(X), f(Y), 5.0, 9.0, f(bad))[0],
        "fit_psf_fluxes": lambda f: fit_psf_fluxes(f(filled), f(noise), model, f(X), f(Y), bad=f(bad), gain=6.0).flux,
        "cut_stamp": lambda f: cut_stamp(f(filled), 60.0, 61.0, mask=f(bad)).data,
        "sky_to_cell": lambda f: sky_to_cell(f(X), f(Y / 10)),
        "match_nearest": lambda f: match_nearest(f(X), f(Y / 10), f(X[::-1]), f(Y[::-1] / 10), 5.0).index2,
    }  # fmt: skip


def test_arrays_of_any_layout_give_the_same_numbers(z: image.ScienceImage) -> None:
    expected = {name: call(np.array) for name, call in _calls(z).items()}
    wrong: dict[str, str] = {}
    for layout, arranged in LAYOUTS.items():
        z.load_source_background()
        for name, call in _calls(z).items():
            try:
                found = call(arranged)
            except (ValueError, TypeError, BufferError) as exc:
                wrong[f"{name}, {layout}"] = repr(exc)
                continue
            if not np.allclose(np.array(found, float), np.array(expected[name], float), rtol=1e-6, equal_nan=True):
                wrong[f"{name}, {layout}"] = "other numbers"
    assert wrong == {}  # 1e-6: the rounding of float32 pixels, in another order


def test_masked_elements_do_not_count() -> None:
    values = np.ma.MaskedArray(np.arange(4.0), [False, True, False, False])
    np.testing.assert_array_equal(plain_array(values), [0, np.nan, 2, 3])
    np.testing.assert_array_equal(plain_array(np.ma.MaskedArray([False, False], [True, False]), bool), [True, False])


def test_a_plain_array_is_not_copied() -> None:
    assert plain_array(FLAT) is FLAT


def test_another_shape_is_named(z: image.ScienceImage) -> None:
    with pytest.raises(ValueError, match=r"err has shape \(3, 3\), the image \(400, 400\)"):
        z.extract_sources(err=np.ones((3, 3)))
    with pytest.raises(ValueError, match=r"noise has shape \(3,\)"):
        z.get_aperture(60.0, 60.0, 3.0, noise=np.ones(3))
