"""Simulated surveys as columns: stars seen again and again through clouds, without pixels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tests.support.reference import make_image
from ztfdb.ingest.commit import commit_image
from ztfdb.phot.magnitudes import POGSON
from ztfdb.phot.surface import map_basis
from ztfdb.phot.survey import Survey


@dataclass(frozen=True)
class Truth:
    """What a survey was made with."""

    zeropoint: np.ndarray  # of a star of colour 0 in the middle of the image
    gradient: np.ndarray
    color_term: np.ndarray
    star_mag: np.ndarray
    amplitude: np.ndarray  # of each star's sine, 0 for a constant one
    phase: np.ndarray  # of each image
    period: np.ndarray  # of each star
    turn: np.ndarray  # where each star's sine begins
    place: np.ndarray  # of each star, half widths
    floor: np.ndarray
    wrong: np.ndarray  # epochs that are wrong

    def light(self, star, image):
        """Magnitude of stars when images were taken."""
        angle = 2 * np.pi * (self.phase[image] / self.period[star] + self.turn[star])
        return self.star_mag[star] + self.amplitude[star] * np.sin(angle)


def make_survey(
    n_image: int = 300,
    n_star: int = 2500,
    *,
    seed: int = 0,
    known: float = 0.0,
    colors: bool = True,
    variable: float = 0.05,
    wrong: float = 0.005,
    flat: float = 0.008,
    header_wrong: float = 0.0,
    header: bool = True,
    shift: float = 0.9,
    clouds: float = 0.3,
    header_sigma: float = 0.025,
) -> tuple[Survey, Truth]:
    """Four overlapping quadrants, each imaged in turn, with dithers.

    `known` is the share of the stars with a magnitude known beforehand (to 0.01 mag and a scatter of 0.012);
    `header_sigma` the error of the zero points of headers (ZTF's are 10 to 30 mmag), `header_wrong` the share of those
    that are wrong by up to half a magnitude. Lengths are in half widths of a quadrant.
    """
    rng = np.random.default_rng(seed)
    corner = np.array([[0.0, 0.0], [shift, 0.0], [0.0, shift], [shift, shift]])
    detector = np.arange(n_image) % 4
    centre = corner[detector] + rng.normal(0, 0.03, (n_image, 2))
    place = rng.uniform(-1.1, 1.1 + shift, (n_star, 2))
    low = 10 ** (-0.3 * 5.0)
    mag = 18.5 + np.log10(low + (1 - low) * rng.uniform(size=n_star)) / 0.3  # 13.5 to 18.5
    color = np.clip(rng.normal(0.65, 0.3, n_star), -0.2, 1.4)
    zeropoint = 26.0 - rng.exponential(clouds, n_image)
    gradient = rng.normal(0, 0.015, (n_image, 2))
    color_term = -0.04 + rng.normal(0, 0.02, n_image) if colors else np.zeros(n_image)
    maps = rng.normal(0, flat, (4, 3))
    floor = rng.uniform(0.002, 0.006, n_image)
    amplitude = np.where(rng.uniform(size=n_star) < variable, rng.uniform(0.05, 0.5, n_star), 0.0)
    phase, turn = rng.uniform(0, 500, n_image), rng.uniform(0, 1, n_star)
    star, image, at = [], [], []
    for number in range(n_image):
        here = place - centre[number]
        inside = np.flatnonzero((np.abs(here) < 1).all(axis=1))
        star.append(inside)
        image.append(np.full(len(inside), number))
        at.append(here[inside])
    s, i, uv = np.concatenate(star), np.concatenate(image), np.concatenate(at)
    truth = Truth(
        zeropoint, gradient, color_term, mag, amplitude, phase, 1 + 9 * turn, turn, place, floor, np.empty(0, bool)
    )
    light = truth.light(s, i)
    instrumental = light - zeropoint[i] - (gradient[i] * uv).sum(axis=1) - color_term[i] * color[s]
    instrumental -= (map_basis(uv[:, 0], uv[:, 1]) * maps[detector[i]]).sum(axis=1)
    flux = 10 ** (-0.4 * (instrumental + rng.normal(0, floor[i])))
    gain, sky = 6.2, 60.0
    flux_err = np.sqrt(flux / gain + sky**2)
    measured = flux + rng.normal(0, flux_err)
    bad = rng.uniform(size=len(s)) < wrong
    measured[bad] *= 10 ** (0.4 * rng.uniform(-0.8, 0.8, bad.sum()))
    good = measured > 20 * sky
    good &= np.bincount(s[good], minlength=n_star)[s] > 0.9 * np.bincount(s, minlength=n_star)[s]
    index = np.flatnonzero(good)
    given = rng.uniform(size=n_star) < known
    given_mag = mag + rng.normal(0, np.hypot(0.01, 0.012), n_star)
    headers = zeropoint + rng.normal(0, header_sigma, n_image)
    off = rng.uniform(size=n_image) < header_wrong
    headers[off] += rng.uniform(-0.5, 0.5, off.sum())
    survey = Survey(
        star=s[index],
        image=i[index],
        mag=-2.5 * np.log10(measured[index]),
        flux_err=flux_err[index],
        u=uv[index, 0],
        v=uv[index, 1],
        detector=detector,
        color=color if colors else np.full(n_star, np.nan),
        known_mag=np.where(given, given_mag, np.nan),
        known_err=np.where(given, 0.01, np.nan),
        header_zeropoint=headers if header else np.full(n_image, np.nan),
        header_color_term=-0.04 if colors else 0.0,
    )
    return survey, replace(truth, wrong=bad[index])


def photon_error(survey: Survey, mag: np.ndarray, zeropoint: np.ndarray) -> np.ndarray:
    """Error of each epoch that its flux error leaves, mag."""
    return POGSON * survey.flux_err * 10 ** (0.4 * (mag[survey.star] - zeropoint[survey.image]))


SIZE = 3072, 3080
HALF_WIDTH = 0.43
"""deg."""


def in_g(survey: Survey, truth: Truth, *, color_term: float = 0.09, seed: int = 0) -> tuple[Survey, Truth]:
    """The same exposures in g: a star is brighter or fainter by its colour, and images have other colour terms."""
    terms = color_term + np.random.default_rng(seed).normal(0, 0.02, survey.n_image)
    color = survey.color[survey.star]
    more = color - (terms - truth.color_term)[survey.image] * color
    other = replace(
        survey, mag=survey.mag + more, flux_err=survey.flux_err * 10 ** (-0.4 * more), header_color_term=color_term
    )
    return other, replace(truth, color_term=terms, star_mag=truth.star_mag + survey.color)


def store_survey(maker, survey, truth, *, images=None, fid=2, seed=0, first_expid=136243179):
    """Store the epochs of a survey as sources of images; return the ids of the images, the places of the stars.

    A star lies where the sky has it: an image's places are those of a flat sky around its centre.
    """
    rng = np.random.default_rng(seed)
    across = HALF_WIDTH / np.cos(np.radians(20.0))
    sky = np.stack([150.0 + across * truth.place[:, 0], 20.0 + HALF_WIDTH * truth.place[:, 1]])
    ids = []
    for number in range(survey.n_image) if images is None else images:
        own = np.flatnonzero(survey.image == number)
        n = len(own)
        flux = 10 ** (-0.4 * survey.mag[own])
        ra, dec = sky[:, survey.star[own]] + rng.normal(0, 0.05 / 3600, (2, n))
        rcid = 4 * (number % 4)
        measured = make_image(
            ra,
            dec,
            seed=number,
            expid=first_expid + number,
            rcid=rcid,
            fid=fid,
            filtercode={1: "zg", 2: "zr", 3: "zi"}[fid],
            magzp=float(np.nan_to_num(survey.header_zeropoint[number], nan=26.0)),
            **{f"apcor{k}": 0.0 if np.isfinite(survey.header_zeropoint[number]) else None for k in range(1, 7)},
            clrcoeff=survey.header_color_term,
            obsmjd=59000.0 + number,
            mjd_mid=59000.0 + number,
            saturate=60000.0,
            sources={
                "x": (survey.u[own] + 1) / 2 * SIZE[0] - 0.5,
                "y": (survey.v[own] + 1) / 2 * SIZE[1] - 0.5,
            },
        )
        table = replace(
            measured.sources,
            flux_aper=np.tile(flux, (6, 1)).astype("f4"),
            flux_aper_err=np.tile(survey.flux_err[own], (6, 1)).astype("f4"),
            peak=np.full(n, 1000.0, "f4"),
        )
        measured = replace(measured, sources=table)
        commit_image(maker, measured)
        ids.append(measured.info.image_id)
    return np.array(ids), sky


def repeated_pointings(n_image: int, n_epoch: int, *, n_field: int = 8, seed: int = 1) -> Survey:
    """A mosaic of `n_field` × `n_field` quadrants that overlap a little, each imaged again and again with dithers."""
    rng = np.random.default_rng(seed)
    n_star, side = n_epoch // 50, 1.85 * n_field + 0.2
    place = rng.uniform(0, side, (n_star, 2))
    place = place[np.argsort(place[:, 0])]
    corners = np.array([(1 + 1.85 * a, 1 + 1.85 * b) for a in range(n_field) for b in range(n_field)])
    pointing = np.arange(n_image) % len(corners)
    star, uv, share = [], [], min(1.0, n_epoch / n_image / (n_star * 4 / side**2))
    for number in range(n_image):
        centre = corners[pointing[number]] + rng.normal(0, 0.03, 2)
        low, high = np.searchsorted(place[:, 0], [centre[0] - 1, centre[0] + 1])
        inside = low + np.flatnonzero(np.abs(place[low:high, 1] - centre[1]) < 1)
        inside = inside[rng.uniform(size=len(inside)) < share]
        star.append(inside)
        uv.append(place[inside] - centre)
    image = np.repeat(np.arange(n_image), [len(one) for one in star])
    s, at = np.concatenate(star), np.concatenate(uv)
    zeropoint, gradient = 26 - rng.exponential(0.3, n_image), rng.normal(0, 0.015, (n_image, 2))
    color, term = rng.normal(0.65, 0.3, n_star), rng.normal(0, 0.02, n_image)
    mag = rng.uniform(13.5, 18, n_star)[s] - zeropoint[image] - (gradient[image] * at).sum(axis=1)
    flux = 10 ** (-0.4 * (mag - term[image] * color[s] + rng.normal(0, 0.004, len(s))))
    flux_err = np.sqrt(flux / 6.2 + 3600)
    none = np.full(n_star, np.nan)
    return Survey(
        s, image, -2.5 * np.log10(np.maximum(flux + rng.normal(0, flux_err), 100.0)), flux_err, at[:, 0], at[:, 1],
        pointing % 4, color, none, none, zeropoint + rng.normal(0, 0.02, n_image), pointing=pointing,
    )  # fmt: skip
