"""Least squares of many magnitudes: the mean magnitude of each star is eliminated, the terms of the images are solved.

Epoch k of star s has ``mag_k + basis_k @ terms = mean_s``. For given terms the means follow in closed form, so the
normal equations contain only the terms (the Schur complement). Their matrix would have an entry for each pair of images
with a common star, so with many terms it is never made. Only its product with a vector is computed, by two sums over
the epochs; conjugate gradients need nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from scipy import sparse

from ztfdb.arrays import Float64Array, IntArray

DENSE = 2000
"""Terms up to which the matrix is made and inverted: 32 MB, 1 s."""

SMALL = 50_000
"""Entries of the design up to which it is a full matrix: with a single image, sparse ones would dominate the time."""

TOLERANCE = 1e-12
"""Conjugate gradients end at this ratio of the residual to the first one, in the metric of the preconditioner."""

MOST_STEPS = 2000
N_SAMPLE = 16
"""Random skies for the errors if the matrix is too large to invert; a pooled error is then accurate to 2 %."""


@dataclass(frozen=True)
class Block:
    """Terms of one kind: `basis` of epoch k multiplies the terms of owner ``index[k]``, an image or a detector.

    Attributes
    ----------
    index : ndarray of int64, shape (n_epoch,)
        Owner, from 0; -1 for an epoch without such terms.
    basis : ndarray, shape (n_epoch, n_basis)
    n : int
        Number of owners.
    prior : ndarray, shape (n_basis,)
        Value of a term without any data.
    prior_weight : ndarray, shape (n_basis,)
        Its inverse variance; 0 for a term without a prior.
    level : bool
        The first term is a zero point: a constant can be moved between it and the means of the stars.
    group : ndarray of int64, shape (n,), optional
        Groups of similar owners (images of one pointing), from 0. Errors that are common to a group converge slowly in
        conjugate gradients, so they are solved separately.
    """

    index: IntArray
    basis: Float64Array
    n: int
    prior: Float64Array
    prior_weight: Float64Array
    level: bool = False
    group: IntArray | None = None

    @property
    def size(self) -> int:
        """Number of terms."""
        return self.n * int(self.basis.shape[1])


@dataclass(frozen=True)
class Known:
    """Prior knowledge of the means of stars: magnitudes and inverse variances (0: none)."""

    mag: Float64Array
    weight: Float64Array


@dataclass(frozen=True)
class Problem:
    """Epochs, their terms and the prior knowledge; `System` adds the weights.

    Attributes
    ----------
    star : ndarray of int64, shape (n_epoch,)
        From 0.
    mag : ndarray, shape (n_epoch,)
        Instrumental magnitudes.
    blocks : tuple of Block
    known : Known
        For each star.
    """

    star: IntArray
    mag: Float64Array
    blocks: tuple[Block, ...]
    known: Known

    @property
    def n_star(self) -> int:
        """Number of stars."""
        return len(self.known.mag)

    @cached_property
    def design(self) -> sparse.csr_matrix:
        """Epochs × terms."""
        parts = [_block_matrix(block) for block in self.blocks]
        return sparse.csr_matrix(sparse.hstack(parts))

    @cached_property
    def full_design(self) -> Float64Array | None:
        """`design` as a full matrix, if it is `SMALL`."""
        n_epoch, n_term = self.design.shape
        return np.asarray(self.design.toarray()) if n_epoch * n_term <= SMALL else None

    @cached_property
    def transposed(self) -> sparse.csr_matrix:
        """Terms × epochs."""
        return sparse.csr_matrix(self.design.T)

    @cached_property
    def gathering(self) -> sparse.csr_matrix | None:
        """Terms × terms of groups; None if there are hardly fewer groups than owners, or too many groups."""
        parts = [_gathering(block) for block in self.blocks]
        together = sparse.csr_matrix(sparse.block_diag(parts))
        return together if together.shape[1] <= min(DENSE, together.shape[0] // 2) else None

    def with_prior_weights(self, weights: Sequence[Float64Array]) -> Problem:
        """Return the same problem with other prior weights, one array per block; the design is reused."""
        blocks = tuple(replace(block, prior_weight=weight) for block, weight in zip(self.blocks, weights, strict=True))
        other = replace(self, blocks=blocks)
        kept = ("design", "full_design", "transposed", "gathering")
        other.__dict__.update({name: getattr(self, name) for name in kept})
        return other

    @cached_property
    def prior(self) -> tuple[Float64Array, Float64Array]:
        """Prior terms and their weights."""
        mean = np.concatenate([np.tile(block.prior, block.n) for block in self.blocks])
        weight = np.concatenate([np.tile(block.prior_weight, block.n) for block in self.blocks])
        return mean, weight


@dataclass
class System:
    """The normal equations of the terms for given weights of epochs.

    Without prior knowledge of any star, a constant may be added to all zero points and all means. One more equation
    then sets the mean of the zero points to 0.

    Attributes
    ----------
    problem : Problem
    weight : ndarray, shape (n_epoch,)
        Inverse variances; 0 for an epoch that is left out.
    known_weight : ndarray, shape (n_star,)
        Inverse variances of the prior magnitudes of stars; 0 for a magnitude that is left out.
    """

    problem: Problem
    weight: Float64Array
    known_weight: Float64Array
    _star_weight: Float64Array = field(init=False)
    _level: Float64Array | None = field(init=False)

    def __post_init__(self) -> None:
        p = self.problem
        total = np.bincount(p.star, self.weight, p.n_star) + self.known_weight
        self._star_weight = np.where(total > 0.0, total, 1.0)
        self._level = None if (self.known_weight > 0.0).any() else self._level_row()

    def _level_row(self) -> Float64Array:
        p = self.problem
        row = np.zeros(p.design.shape[1])
        start = 0
        for block in p.blocks:
            if block.level:
                row[start : start + block.size : block.basis.shape[1]] = 1.0
            start += block.size
        n = max(row.sum(), 1.0)
        return np.asarray(row * np.sqrt(max(float(self.weight.sum()), 1.0)) / n)

    def means(self, terms: Float64Array) -> Float64Array:
        """Return the mean magnitudes of the stars for given terms; NaN for stars without data."""
        p = self.problem
        total = np.bincount(p.star, self.weight * (p.mag + p.design @ terms), p.n_star)
        total += np.where(self.known_weight > 0.0, self.known_weight * p.known.mag, 0.0)
        constrained = np.bincount(p.star, self.weight, p.n_star) + self.known_weight > 0.0
        return np.asarray(np.where(constrained, total / self._star_weight, np.nan))

    @property
    def mean_variance(self) -> Float64Array:
        """Variance of the stars' means, without that of the terms."""
        return 1.0 / self._star_weight

    def solve(self, start: Float64Array | None = None) -> Float64Array:
        """Return the terms."""
        p = self.problem
        known = np.where(self.known_weight > 0.0, p.known.mag, 0.0)
        mean, weight = p.prior
        right = -self._back(p.mag, known) + weight * mean
        if p.design.shape[1] <= DENSE:
            return np.asarray(np.linalg.solve(self.matrix, right))
        return self._conjugate_gradients(right, start, TOLERANCE)

    def apply(self, terms: Float64Array) -> Float64Array:
        """Return the matrix times terms."""
        p = self.problem
        image = self._back(p.design @ terms, np.zeros(p.n_star)) + p.prior[1] * terms
        return image if self._level is None else image + self._level * float(self._level @ terms)

    def _back(self, values: Float64Array, known: Float64Array) -> Float64Array:
        """Return the right-hand side of the terms for values of epochs, after subtracting the means of their stars."""
        p = self.problem
        weighted = self.weight * values
        mean = (np.bincount(p.star, weighted, p.n_star) + self.known_weight * known) / self._star_weight
        return np.asarray(p.transposed @ (weighted - self.weight * mean[p.star]))

    @cached_property
    def matrix(self) -> Float64Array:
        """The matrix itself."""
        design = self.problem.full_design
        if design is None:
            return self._matrix_of(sparse.identity(self.problem.design.shape[1], format="csr"))
        return self._small_matrix(design)

    def _small_matrix(self, design: Float64Array) -> Float64Array:
        p = self.problem
        weighted = design * self.weight[:, None]
        of_stars = np.stack([np.bincount(p.star, column, p.n_star) for column in weighted.T], axis=-1)
        full = design.T @ weighted - (of_stars / self._star_weight[:, None]).T @ of_stars
        full[np.diag_indices(len(full))] += p.prior[1]
        return full if self._level is None else full + np.outer(self._level, self._level)

    @cached_property
    def _coarse(self) -> tuple[sparse.csr_matrix, Float64Array] | None:
        """The gathering of terms and the inverse of its matrix."""
        gathering = self.problem.gathering
        return None if gathering is None else (gathering, _inverse(self._matrix_of(gathering)))

    def _matrix_of(self, gathering: sparse.csr_matrix) -> Float64Array:
        p = self.problem
        design = p.design @ gathering
        of_stars = sparse.csr_matrix(
            (self.weight, (p.star, np.arange(len(p.star)))), shape=(p.n_star, len(p.star))
        ) @ design  # fmt: skip
        full = design.T @ sparse.diags(self.weight) @ design
        full = (full - of_stars.T @ sparse.diags(1.0 / self._star_weight) @ of_stars).toarray()
        full += (gathering.T @ sparse.diags(p.prior[1]) @ gathering).toarray()
        if self._level is not None:
            level = gathering.T @ self._level
            full += np.outer(level, level)
        return np.asarray(full)

    @cached_property
    def own_blocks(self) -> list[Float64Array]:
        """The diagonal blocks of the matrix, one array of shape (n, n_basis, n_basis) for each kind of terms."""
        p = self.problem
        less = self.weight * (1.0 - self.weight / self._star_weight[p.star])
        found, start = [], 0
        for block in p.blocks:
            k = block.basis.shape[1]
            has = block.index >= 0
            index, basis, weight = block.index[has], block.basis[has], less[has]
            own = np.empty((block.n, k, k))
            for i in range(k):
                for j in range(i, k):
                    own[:, i, j] = np.bincount(index, weight * basis[:, i] * basis[:, j], block.n)
                    own[:, j, i] = own[:, i, j]
            diagonal = np.arange(k)
            own[:, diagonal, diagonal] += block.prior_weight
            if self._level is not None and block.level:
                own[:, 0, 0] += self._level[start : start + block.size : k] ** 2
            trace = np.einsum("nii->n", own)
            own[:, diagonal, diagonal] += np.where(trace > 0.0, 1e-12 * trace, 1.0)[:, None]
            found.append(own)
            start += block.size
        return found

    @cached_property
    def _inverse_blocks(self) -> list[Float64Array]:
        return [_inverse(own) for own in self.own_blocks]

    def _precondition(self, terms: Float64Array) -> Float64Array:
        parts, start = [], 0
        for block, inverse in zip(self.problem.blocks, self._inverse_blocks, strict=True):
            own = terms[start : start + block.size].reshape(block.n, -1)
            parts.append(np.einsum("nij,nj->ni", inverse, own).ravel())
            start += block.size
        turned = np.concatenate(parts)
        if self._coarse is not None:
            gathering, inverse = self._coarse
            turned += gathering @ (inverse @ (gathering.T @ terms))
        return turned

    def _conjugate_gradients(self, right: Float64Array, start: Float64Array | None, tolerance: float) -> Float64Array:
        found = np.zeros_like(right) if start is None else start.copy()
        left = right - self.apply(found)
        turned = self._precondition(left)
        size = float(left @ turned)
        enough = tolerance**2 * float(right @ self._precondition(right))
        along = turned
        for _ in range(MOST_STEPS):
            if size <= enough:
                break
            image = self.apply(along)
            step = size / float(along @ image)
            found += step * along
            left -= step * image
            turned = self._precondition(left)
            size, before = float(left @ turned), size
            along = turned + size / before * along
        return found

    def covariances(self, seed: int = 0) -> list[Float64Array]:
        """Return the covariance of the terms of each owner, an array (n, n_basis, n_basis) for each kind.

        Exact up to `DENSE` terms. Beyond, it is the covariance of an owner's terms with all others fixed, scaled by the
        variance that the others add. That is one for all owners, from `N_SAMPLE` solutions of random magnitudes.
        """
        p = self.problem
        if p.design.shape[1] <= DENSE:
            whole = _inverse(self.matrix)
            found, start = [], 0
            for block in p.blocks:
                k = block.basis.shape[1]
                at = start + np.arange(block.size).reshape(block.n, k)
                found.append(np.asarray(whole[at[:, :, None], at[:, None, :]]))
                start += block.size
            return found
        samples = self._samples(np.random.default_rng(seed))
        found, start = [], 0
        for block, inverse in zip(p.blocks, self._inverse_blocks, strict=True):
            k = block.basis.shape[1]
            own = samples[:, start : start + block.size].reshape(-1, block.n, k)
            held = np.einsum("nii->ni", inverse)
            more = np.mean((own**2 - held) / held**2, axis=(0, 1)) / np.mean(held**-2, axis=0)
            ratio = np.sqrt(1.0 + np.maximum(more, 0.0) / held)
            found.append(inverse * ratio[:, :, None] * ratio[:, None, :])
            start += block.size
        return found

    def _samples(self, rng: np.random.Generator) -> Float64Array:
        p = self.problem
        drawn = []
        for _ in range(N_SAMPLE):
            noise = rng.standard_normal(len(p.mag)) / np.sqrt(np.where(self.weight > 0.0, self.weight, np.inf))
            known = rng.standard_normal(p.n_star) / np.sqrt(
                np.where(self.known_weight > 0.0, self.known_weight, np.inf)
            )
            right = self._back(noise, known) + np.sqrt(p.prior[1]) * rng.standard_normal(p.design.shape[1])
            if self._level is not None:
                right += self._level * rng.standard_normal()
            drawn.append(self._conjugate_gradients(right, None, 1e-4))
        return np.array(drawn)


def _block_matrix(block: Block) -> sparse.csr_matrix:
    k = block.basis.shape[1]
    has = np.flatnonzero(block.index >= 0)
    rows = np.repeat(has, k)
    columns = (block.index[has][:, None] * k + np.arange(k)).ravel()
    return sparse.csr_matrix((block.basis[has].ravel(), (rows, columns)), shape=(len(block.index), block.size))


def _inverse(matrix: Float64Array) -> Float64Array:
    return np.asarray(np.linalg.inv(matrix), dtype=np.float64)


def _gathering(block: Block) -> sparse.csr_matrix:
    k = block.basis.shape[1]
    group = np.arange(block.n) if block.group is None else block.group
    columns = (group[:, None] * k + np.arange(k)).ravel()
    shape = (block.size, (int(group.max(initial=-1)) + 1) * k)
    return sparse.csr_matrix((np.ones(block.size), (np.arange(block.size), columns)), shape=shape)


def connected(star: IntArray, image: IntArray, n_star: int, n_image: int) -> IntArray:
    """Return the connected set of each image, from 0; images of a set are linked by common stars, directly or not."""
    from scipy.sparse.csgraph import connected_components

    links = sparse.csr_matrix(
        (np.ones(len(star), np.int8), (star, n_star + image)), shape=(n_star + n_image, n_star + n_image)
    )
    label = connected_components(links, directed=False)[1][n_star:]
    return np.unique(label, return_inverse=True)[1]
