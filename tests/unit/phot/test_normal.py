"""Least squares with the stars' means eliminated, against the same equations written out in full."""

from __future__ import annotations

import numpy as np
import pytest

from ztfdb.phot import normal
from ztfdb.phot.normal import Block, Known, Problem, System, connected


def make_system(*, known: bool, seed: int = 0, n_image: int = 14, n_star: int = 60) -> System:
    """Random epochs with terms of images and of two detectors; some epochs and some stars do not count."""
    rng = np.random.default_rng(seed)
    star, image = (index.ravel() for index in np.meshgrid(np.arange(n_star), np.arange(n_image)))
    seen = rng.uniform(size=len(star)) < 0.6
    star, image = star[seen], image[seen]
    u, v = rng.uniform(-1, 1, (2, len(star)))
    weight = np.where(rng.uniform(size=len(star)) < 0.1, 0.0, 10 ** rng.uniform(3, 5, len(star)))
    own = Block(
        image, np.stack([np.ones_like(u), u, v], -1), n_image, np.array([0.0, 0.01, -0.02]),
        np.array([0.0, 400.0, 400.0]), level=True, group=np.arange(n_image) % 2,
    )  # fmt: skip
    detector = np.where(image % 3 == 2, -1, image % 3)
    shared = Block(detector, np.stack([u * v, v**2 - 0.5], -1), 2, np.zeros(2), np.full(2, 900.0))
    mag = rng.normal(-8, 2, n_star)[star] + rng.normal(0, 0.3, n_image)[image] + rng.normal(0, 0.02, len(star))
    given = rng.uniform(size=n_star) < 0.4 if known else np.zeros(n_star, bool)
    known_weight = np.where(given, 10 ** rng.uniform(2, 4, n_star), 0.0)
    known_mag = np.where(given, rng.normal(16, 2, n_star), np.nan)
    return System(Problem(star, mag, (own, shared), Known(known_mag, known_weight)), weight, known_weight)


def written_out(system: System) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Terms, means and covariance of all of them by one dense matrix with a column for each term and each star."""
    p = system.problem
    n_term, n_epoch = p.design.shape[1], len(p.star)
    rows = [np.hstack([p.design.toarray(), -np.eye(p.n_star)[p.star]])]
    values, weights = [-p.mag], [system.weight]
    mean, prior = p.prior
    rows.append(np.hstack([np.eye(n_term), np.zeros((n_term, p.n_star))]))
    values.append(mean)
    weights.append(prior)
    rows.append(np.hstack([np.zeros((p.n_star, n_term)), np.eye(p.n_star)]))
    values.append(np.nan_to_num(p.known.mag))
    weights.append(system.known_weight)
    if not (system.known_weight > 0).any():  # the mean of the zero points is 0
        level = np.zeros(n_term + p.n_star)
        level[: p.blocks[0].size : 3] = 1.0 / p.blocks[0].n
        rows.append(level[None])
        values.append(np.zeros(1))
        weights.append(np.array([system.weight.sum()]))
    root = np.sqrt(np.concatenate(weights))
    matrix = np.concatenate(rows) * root[:, None]
    found, *_ = np.linalg.lstsq(matrix, np.concatenate(values) * root, rcond=1e-14)
    assert n_epoch > n_term
    return found[:n_term], found[n_term:], np.linalg.inv(matrix.T @ matrix)


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize(("dense", "small"), [(0, 0), (2000, 0), (2000, 50_000)])
def test_terms_and_means_are_those_of_the_full_equations(monkeypatch, known, dense, small):
    monkeypatch.setattr(normal, "DENSE", dense)
    monkeypatch.setattr(normal, "SMALL", small)
    for seed in range(5):
        system = make_system(known=known, seed=seed)
        terms, means, _ = written_out(system)
        found = system.solve()
        np.testing.assert_allclose(found, terms, atol=1e-8, rtol=0)
        np.testing.assert_allclose(system.means(found), means, atol=1e-8, rtol=0)


@pytest.mark.parametrize("known", [False, True])
def test_covariances_are_those_of_the_full_equations(known):
    system = make_system(known=known)
    full = written_out(system)[2]
    images, detectors = system.covariances()
    for k in range(14):
        np.testing.assert_allclose(images[k], full[3 * k : 3 * k + 3, 3 * k : 3 * k + 3], rtol=1e-7, atol=1e-12)
    start = 3 * 14
    for k in range(2):
        at = slice(start + 2 * k, start + 2 * k + 2)
        np.testing.assert_allclose(detectors[k], full[at, at], rtol=1e-7, atol=1e-12)


def test_sampled_errors_are_near_the_exact_ones(monkeypatch):
    system = make_system(known=True, n_image=40)
    exact = np.sqrt(np.einsum("nii->ni", system.covariances()[0]))
    monkeypatch.setattr(normal, "DENSE", 0)
    sampled = np.sqrt(np.einsum("nii->ni", make_system(known=True, n_image=40).covariances()[0]))
    # what all images share is known from 16 samples, its variance to 35 %; single images differ by how they are linked
    assert np.median(sampled / exact, axis=0) == pytest.approx(1.0, abs=0.2)
    assert np.abs(np.log(sampled / exact)).max() < 0.35


def test_other_prior_weights_need_no_new_design():
    system = make_system(known=True)
    problem = system.problem
    other = problem.with_prior_weights([np.array([0.0, 1e6, 1e6]), np.zeros(2)])
    assert other.design is problem.design
    tight = System(other, system.weight, system.known_weight).solve()
    assert np.abs(tight[1:42:3] - 0.01).max() < 0.5 * np.abs(system.solve()[1:42:3] - 0.01).max()


def test_a_star_that_nothing_tells_of_has_no_mean():
    system = make_system(known=False)
    system.weight[system.problem.star == 3] = 0.0
    system = System(system.problem, system.weight, system.known_weight)
    means = system.means(system.solve())
    assert np.isnan(means[3]) and np.isfinite(np.delete(means, 3)).all()


def test_images_are_connected_by_the_stars_they_share():
    star, image = np.array([0, 0, 1, 1, 2, 3]), np.array([0, 2, 2, 4, 1, 3])
    label = connected(star, image, 4, 5)
    assert label[0] == label[2] == label[4]
    assert len({label[0], label[1], label[3]}) == 3
