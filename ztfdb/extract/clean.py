"""Cleaning: spurious detections in the wings of bright sources.

The rule is SExtractor's (manual v2.25, section 8.3; ``sep`` uses it, too): a source is dropped if the Moffat wing of a
brighter one exceeds, at its position, its own surface brightness above the threshold, taken at its `min_area`-th
brightest pixel (by default the 5th). SExtractor and ``sep`` test every pair of sources; here a tree finds the pairs
that are close enough, so the cost grows linearly with the number of sources, not quadratically.
"""

from __future__ import annotations

import numpy as np

from ztfdb.arrays import BoolArray, FloatArray, IntArray
from ztfdb.extract.objects import Objects, Pixels
from ztfdb.extract.settings import ExtractionSettings

ZONE = 10.0
"""Pairs further apart than this many times the sum of their half axes `a` are not tested."""


def survivors(objects: Objects, pixels: Pixels, raw: FloatArray, settings: ExtractionSettings) -> BoolArray:
    """Return which objects survive the cleaning.

    Parameters
    ----------
    objects : Objects
        All detections.
    pixels : Pixels
        Their pixels, object after object; `owner` counts rows of `objects`.
    raw : ndarray, shape (n_pixel,)
        Values of the same pixels before smoothing, in units of the pixel rms.
    settings : ExtractionSettings
        Threshold, area and the exponent `clean`.

    Returns
    -------
    ndarray of bool, shape (n_object,)
        True where the object stays.
    """
    light, surface = _brightness(len(objects), pixels, settings)
    amplitude, falloff = _wings(objects, light, pixels, raw, settings)
    eater, victim = _near_pairs(objects, light)
    dx, dy = objects.x[eater] - objects.x[victim], objects.y[eater] - objects.y[victim]
    distance = objects.cxx[eater] * dx**2 + objects.cyy[eater] * dy**2 + objects.cxy[eater] * dx * dy
    profile = 1.0 + falloff[eater] * distance
    inside = (profile > 1.0) & (profile < 1e10)
    wing = np.where(inside, amplitude[eater] * np.where(inside, profile, 1.0) ** -settings.clean, 0.0)
    # with profile <= 1 the wing does not fall off and the rule does not apply
    eats = inside & (wing > surface[victim])
    return _sequence(eater[eats], victim[eats], len(objects))


def _brightness(n: int, pixels: Pixels, settings: ExtractionSettings) -> tuple[FloatArray, FloatArray]:
    """Sum of the smoothed flux, and the surface brightness above the threshold at the `min_area`-th brightest pixel."""
    light: FloatArray = np.bincount(pixels.owner, weights=pixels.value, minlength=n).astype(float)
    count = np.bincount(pixels.owner, minlength=n)
    # the least of the maxima of `min_area` pieces of an object is a bound: fewer pixels to sort
    start = np.cumsum(count) - count
    pieces = start[:, None] + count[:, None] * np.arange(settings.min_area) // settings.min_area
    bound = np.maximum.reduceat(pixels.value, pieces.ravel()).reshape(n, -1).min(axis=1)
    bright = np.flatnonzero(pixels.value >= np.repeat(bound, count))
    owner = pixels.owner[bright]
    # one sort of 64-bit keys (owner above, positive float below) orders each object's pixels by value
    key = (owner.astype(np.uint64) << np.uint64(32)) | pixels.value[bright].view(np.uint32)
    key.sort()
    place = np.cumsum(np.bincount(owner, minlength=n)) - np.minimum(settings.min_area, count)
    value = (key[place] & np.uint64(0xFFFFFFFF)).astype(np.uint32).view(np.float32)
    return light, value.astype(float) - settings.threshold


def _wings(
    objects: Objects, light: FloatArray, pixels: Pixels, raw: FloatArray, settings: ExtractionSettings
) -> tuple[FloatArray, FloatArray]:
    """Amplitude and falloff of each object's Moffat profile."""
    n, owner = len(objects), pixels.owner
    peak = pixels.largest(raw, n)
    half = (settings.threshold + peak) / 2
    area = np.bincount(owner[raw > half[owner]], minlength=n)
    count = np.bincount(owner[raw > settings.threshold], minlength=n)
    ratio = settings.threshold / np.where(half > 0, half, settings.threshold)
    ellipse = np.pi * np.maximum(objects.a * objects.b, 1e-6)
    missing = np.where(area < count, area - count, -1.0)
    # SExtractor's abcor: fraction of the ellipse's area outside the isophote
    shrink = np.where(half > 0, np.minimum(missing / (2.0 * np.log(np.minimum(ratio, 0.99)) * ellipse), 1.0), 1.0)
    amplitude = light / (2.0 * ellipse * shrink)
    falloff = ((amplitude / settings.threshold) ** (1.0 / settings.clean) - 1.0) * ellipse / objects.npix
    return amplitude, falloff


def _near_pairs(objects: Objects, light: FloatArray) -> tuple[IntArray, IntArray]:
    """Pairs (brighter, fainter) no further apart than ZONE times the sum of their half axes.

    Sources are divided into size classes with separate trees, so that one huge star does not enlarge the search radius
    of every small source.
    """
    from scipy.spatial import cKDTree

    position = np.stack([objects.x, objects.y], axis=1)
    size = np.floor(np.log2(np.maximum(objects.a, 0.5))).astype(int)
    classes = [np.flatnonzero(size == k) for k in np.unique(size)]
    trees = [cKDTree(position[rows]) for rows in classes]
    largest = [float(objects.a[rows].max()) for rows in classes]
    one, other = [], []
    for i in range(len(classes)):
        for j in range(i + 1):
            reach = ZONE * (largest[i] + largest[j])
            if i == j:
                pairs = trees[i].query_pairs(reach, output_type="ndarray")
                first, second = classes[i][pairs[:, 0]], classes[i][pairs[:, 1]]
            else:
                found = trees[i].sparse_distance_matrix(trees[j], reach, output_type="ndarray")
                first, second = classes[i][found["i"]], classes[j][found["j"]]
            away = np.hypot(objects.x[first] - objects.x[second], objects.y[first] - objects.y[second])
            near = away <= ZONE * (objects.a[first] + objects.a[second])
            one.append(first[near])
            other.append(second[near])
    first, second = np.concatenate(one), np.concatenate(other)
    swap = light[second] > light[first]
    return np.where(swap, second, first), np.where(swap, first, second)


def _sequence(eater: IntArray, victim: IntArray, n: int) -> BoolArray:
    """Remove fainter sources in the order of the list, as SExtractor does: removed sources do not remove others."""
    alive = np.ones(n, dtype=bool)
    order = np.lexsort((np.maximum(eater, victim), np.minimum(eater, victim)))
    for i, j in zip(eater[order].tolist(), victim[order].tolist(), strict=True):
        if alive[i] and alive[j]:
            alive[j] = False
    return alive
