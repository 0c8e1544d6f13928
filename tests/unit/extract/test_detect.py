from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import sep
from scipy.spatial import cKDTree

from tests.support.pixels import gaussian_stars, noisy
from ztfdb.extract import deblend
from ztfdb.extract.detect import detect
from ztfdb.extract.objects import Objects, Pixels
from ztfdb.extract.settings import ExtractionSettings
from ztfdb.records import BackgroundMesh

SETTINGS = ExtractionSettings()
RAW = replace(SETTINGS, clean=0.0)
RMS = 6.0


def mesh_of(shape: tuple[int, int]) -> BackgroundMesh:
    one = np.ones((1, 1), dtype=np.float32)
    return BackgroundMesh(shape, shape, 0 * one, np.float32(RMS) * one)


def field(n: int, shape: tuple[int, int] = (600, 500), seed: int = 8) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(0, shape[1] - 1, n), rng.uniform(0, shape[0] - 1, n)
    light = gaussian_stars(shape, x, y, 10 ** rng.uniform(2.2, 5.5, n), fwhm=2.2)
    return noisy(light, sky=0.0, rms=RMS, seed=seed)


def by_sep(data: np.ndarray, **kwargs: object) -> np.ndarray:
    sep.set_extract_pixstack(300_000)
    return sep.extract(data, 1.5, err=RMS, minarea=5, filter_type="conv", clean=False, **kwargs)


@pytest.mark.parametrize("n", [200, 2500])
def test_detections_are_those_of_sep_on_the_whole_frame(n: int) -> None:
    data = field(n)
    ours, theirs = detect(data, mesh_of(data.shape), RAW)[0], by_sep(data)
    assert abs(len(ours) - len(theirs)) <= max(1, 0.002 * n)
    distance, row = cKDTree(np.stack([ours.x, ours.y], axis=1)).query(np.stack([theirs["x"], theirs["y"]], axis=1))
    same = distance < 1e-3
    # sep shares the pixels between blended stars at random; all else is arithmetic
    assert same.mean() > 0.995
    alone = same & (theirs["flag"] == 0)
    for name, tolerance in (("a", 1e-4), ("b", 1e-4), ("theta", 1e-3), ("cxx", 1e-3), ("cyy", 1e-3)):
        np.testing.assert_allclose(vars(ours)[name][row[alone]], theirs[name][alone], rtol=tolerance, atol=1e-4)
    np.testing.assert_array_equal(ours.npix[row[alone]], theirs["npix"][alone])
    np.testing.assert_array_equal(ours.blended[row[same]], (theirs["flag"][same] & sep.OBJ_MERGED) != 0)


def test_pixels_belong_to_their_objects() -> None:
    data = field(400)
    objects, pixels = detect(data, mesh_of(data.shape), SETTINGS)
    np.testing.assert_array_equal(np.bincount(pixels.owner, minlength=len(objects)), objects.npix)
    assert len(np.unique(pixels.index)) == len(pixels.index)
    y, x = np.divmod(pixels.index, data.shape[1])
    light = np.bincount(pixels.owner, weights=pixels.value)
    single = ~objects.blended
    np.testing.assert_allclose((np.bincount(pixels.owner, pixels.value * x) / light)[single], objects.x[single])
    np.testing.assert_allclose((np.bincount(pixels.owner, pixels.value * y) / light)[single], objects.y[single])


def test_objects_are_ordered_by_y() -> None:
    data = field(300)
    assert (np.diff(detect(data, mesh_of(data.shape), SETTINGS)[0].y) >= 0).all()


def test_empty_sky_has_no_objects() -> None:
    shape = (200, 300)
    objects, pixels = detect(np.zeros(shape, dtype=np.float32), mesh_of(shape), SETTINGS)
    assert len(objects) == 0 and len(pixels.index) == 0


def test_two_close_stars_are_split_and_marked() -> None:
    light = gaussian_stars((60, 60), [30.0, 34.5], [30.0, 31.0], [2e4, 1e4], fwhm=2.2)
    objects, _ = detect(noisy(light, sky=0.0, rms=RMS), mesh_of((60, 60)), SETTINGS)
    assert len(objects) == 2 and objects.blended.all() and not objects.limited.any()


def clean_by_pairs(objects: Objects, pixels: Pixels, raw: np.ndarray, settings: ExtractionSettings) -> np.ndarray:
    """SExtractor's cleaning, pair by pair, from its definition."""
    n, thresh = len(objects), settings.threshold
    alive = np.ones(n, dtype=bool)
    light, surface, amplitude, falloff = (np.zeros(n) for _ in range(4))
    for i in range(n):
        mine, value = pixels.owner == i, raw[pixels.owner == i]
        light[i] = pixels.value[mine].sum()
        surface[i] = np.sort(pixels.value[mine])[-min(settings.min_area, mine.sum())] - thresh
        half = (thresh + value.max()) / 2
        area, count = (value > half).sum(), (value > thresh).sum()
        ellipse = np.pi * objects.a[i] * objects.b[i]
        missing = area - count if area < count else -1.0
        shrink = min(missing / (2 * np.pi * np.log(min(thresh / half, 0.99)) * objects.a[i] * objects.b[i]), 1.0)
        amplitude[i] = light[i] / (2 * ellipse * shrink)
        falloff[i] = (amplitude[i] / thresh - 1) * ellipse / objects.npix[i]
    for i in range(n):
        for j in range(i + 1, n):
            if not (alive[i] and alive[j]):
                continue
            dx, dy = objects.x[i] - objects.x[j], objects.y[i] - objects.y[j]
            if dx**2 + dy**2 > 100 * (objects.a[i] + objects.a[j]) ** 2:
                continue
            eater, victim = (i, j) if light[j] < light[i] else (j, i)
            q = objects.cxx[eater] * dx**2 + objects.cyy[eater] * dy**2 + objects.cxy[eater] * dx * dy
            profile = 1 + falloff[eater] * q
            if profile > 1 and amplitude[eater] / profile > surface[victim]:
                alive[victim] = False
    return alive


def test_cleaning_follows_the_rule_for_every_pair() -> None:
    data = field(350, shape=(260, 260))
    everything, pixels = detect(data, mesh_of(data.shape), RAW)
    raw = data.ravel()[pixels.index] / RMS
    expected = clean_by_pairs(everything, pixels, raw, SETTINGS)
    cleaned, _ = detect(data, mesh_of(data.shape), SETTINGS)
    assert 0 < (~expected).sum() < len(everything)
    # the order of the list decides between mutual neighbours, and sorting by y comes after the cleaning
    distance, _ = cKDTree(np.stack([cleaned.x, cleaned.y], 1)).query(np.stack([everything.x, everything.y], 1))
    assert ((distance < 1e-9) != expected).sum() <= 1


def test_an_overflow_of_branches_costs_nothing_but_a_flag(monkeypatch: pytest.MonkeyPatch) -> None:
    data = field(700, shape=(250, 250))
    regular, members = detect(data, mesh_of(data.shape), RAW)
    monkeypatch.setattr(deblend, "SUB_OBJECTS", (3,))
    objects, pixels = detect(data, mesh_of(data.shape), RAW)
    assert objects.limited.any()
    assert not objects.limited.all()
    assert len(objects) > 0.5 * len(regular)
    assert len(pixels.index) > 0.99 * len(members.index)
    np.testing.assert_array_equal(np.bincount(pixels.owner, minlength=len(objects)), objects.npix)


def test_a_component_too_large_is_cut_and_flagged(monkeypatch: pytest.MonkeyPatch) -> None:
    data = field(9000, shape=(250, 250), seed=12)
    monkeypatch.setattr(deblend, "LARGEST_BLEND", 1000)
    monkeypatch.setattr(deblend, "CUTS", (64, 32))
    objects, _ = detect(data, mesh_of(data.shape), RAW)
    whole = by_sep(data)
    assert objects.limited.any()
    assert len(objects) > 0.8 * len(whole)


def test_batches_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    data = field(2500)
    regular, _ = detect(data, mesh_of(data.shape), SETTINGS)
    monkeypatch.setattr(deblend, "ATLAS_PIXELS", 4000)
    batched, _ = detect(data, mesh_of(data.shape), SETTINGS)
    assert abs(len(batched) - len(regular)) <= 3
