"""DAOPHOT PSF files: the format, the profiles and the composition."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import dblquad

from ztfdb.dao import DAOPhotReader, PsfModel, read_psf, write_psf
from ztfdb.dao.profiles import GAUSSIAN_INTEGRAL, N_PARAMETER, profile_value
from ztfdb.errors import ImageReadError, PsfFileError

LN2 = np.log(2.0)
ZTF_WIDTHS = np.array([1.594882, 1.656383])
SURFACES = {
    "MOFFAT15": lambda r, p, xy: 0.5 / (p[0] * p[1] * (1 + 0.5874011 * (r + xy * p[2])) ** 1.5),
    "MOFFAT25": lambda r, p, xy: 1.5 / (p[0] * p[1] * (1 + 0.3195079 * (r + xy * p[2])) ** 2.5),
    "MOFFAT35": lambda r, p, xy: 2.5 / (p[0] * p[1] * (1 + 0.2190137 * (r + xy * p[2])) ** 3.5),
    "LORENTZ": lambda r, p, xy: 1 / (1 + r + xy * p[2]),
    "PENNY1": lambda r, p, xy: p[2] * np.exp(-LN2 * (r + xy * p[3])) + (1 - p[2]) / (1 + r),
    "PENNY2": lambda r, p, xy: p[2] * np.exp(-LN2 * (r + xy * p[3])) + (1 - p[2]) / (1 + r + xy * p[4]),
}
PARAMETERS = {"PENNY1": [1.6, 1.5, 0.7, 0.05], "PENNY2": [1.6, 1.5, 0.7, 0.05, -0.03]}


def model(tables: np.ndarray, n_exp: int, n_frac: int = 0, label: str = "GAUSSIAN") -> PsfModel:
    parameters = np.array(PARAMETERS.get(label, [1.6, 1.5, 0.04][: N_PARAMETER[label]]))
    return PsfModel(label, 13.5, 7000.0, 1535.5, 1539.5, parameters, tables, n_exp, n_frac)


@pytest.fixture
def table() -> np.ndarray:
    return np.random.default_rng(1).normal(0, 20, (3, 47, 47))


@pytest.fixture
def written(tmp_path: Path, table: np.ndarray) -> Path:
    path = tmp_path / "x.psf"
    write_psf(model(table, 3), path)
    return path


def test_gaussian_gives_the_known_values_of_a_real_psf() -> None:
    dx, dy = np.array([0, 1, 1, 2.5]), np.array([0, 0, 1, -1.0])
    value = profile_value("GAUSSIAN", ZTF_WIDTHS, dx, dy)
    np.testing.assert_allclose(value, [0.3624691, 0.2793770, 0.2192822, 0.0558380], atol=6e-8)
    np.testing.assert_allclose(value / GAUSSIAN_INTEGRAL, [0.0799736, 0.0616405, 0.0483815, 0.0123199], atol=6e-8)


def test_gaussian_sums_to_its_integral() -> None:
    grid = np.arange(-20, 21) + 0.3
    total = profile_value("GAUSSIAN", ZTF_WIDTHS, grid[None, :], grid[:, None]).sum()
    assert total == pytest.approx(GAUSSIAN_INTEGRAL, rel=1e-9)


@pytest.mark.parametrize("label", SURFACES)
def test_profiles_are_pixel_integrals_of_their_surface(label: str) -> None:
    p = np.array(PARAMETERS.get(label, [1.6, 1.5, 0.04]))

    def surface(y: float, x: float) -> float:
        return float(SURFACES[label](x**2 / p[0] ** 2 + y**2 / p[1] ** 2, p, x * y))

    for x, y in ((0.0, 0.0), (0.4, -0.3), (1.0, 2.0), (4.0, -3.0), (9.0, 2.0)):
        truth, _ = dblquad(surface, x - 0.5, x + 0.5, y - 0.5, y + 0.5)
        value = float(profile_value(label, p, np.array(x), np.array(y)))
        # the points DAOPHOT takes leave 1e-4 of the peak
        assert value == pytest.approx(truth, abs=1e-4 * surface(0, 0), rel=2e-4)


def test_unknown_profile_or_wrong_parameters_are_refused() -> None:
    with pytest.raises(ValueError, match="none of"):
        profile_value("AIRY", ZTF_WIDTHS, np.zeros(1), np.zeros(1))
    with pytest.raises(ValueError, match="takes 3"):
        profile_value("MOFFAT25", ZTF_WIDTHS, np.zeros(1), np.zeros(1))


@pytest.mark.parametrize("label", N_PARAMETER)
def test_round_trip_keeps_every_number(tmp_path: Path, table: np.ndarray, label: str) -> None:
    first = model(table, 3, label=label)
    write_psf(first, tmp_path / "a.psf")
    second = read_psf(tmp_path / "a.psf")
    np.testing.assert_allclose(second.tables, first.tables, rtol=1e-6)
    np.testing.assert_allclose(second.parameters, first.parameters, rtol=1e-6)
    assert (second.label, second.psfmag, second.bright, second.n_exp) == (label, 13.5, 7000.0, 3)
    write_psf(second, tmp_path / "b.psf")
    assert (tmp_path / "a.psf").read_bytes() == (tmp_path / "b.psf").read_bytes()


def test_numbers_that_touch_are_told_apart(written: Path, table: np.ndarray) -> None:
    text = written.read_text()
    assert "E+00-" in text
    assert len(text.splitlines()) == 2 + 3 * 369  # each table of 2209 values starts on a line of its own
    np.testing.assert_allclose(read_psf(written).tables, table, rtol=1e-6)


def test_tables_are_interpolated_every_half_pixel(table: np.ndarray) -> None:
    psf = model(table, 3)
    x, y = 400.0, 2500.0
    terms = [1.0, 400 / 1535.5 - 1, 2500 / 1539.5 - 1]
    np.testing.assert_allclose(psf.position_terms(x, y), terms)
    base = model(np.zeros_like(table), 3)
    for dx, dy in ((0.0, 0.0), (1.5, -2.0), (-4.5, 3.5)):
        expected = np.dot(terms, table[:, 23 + int(2 * dy), 23 + int(2 * dx)])
        assert float(psf.value(dx, dy, x, y) - base.value(dx, dy, x, y)) == pytest.approx(expected, rel=1e-9)


def test_interpolation_is_exact_for_quadratic_tables() -> None:
    half = (np.arange(47) - 23) / 2.0
    quadratic = 3 + half[None, :] - 2 * half[:, None] + half[None, :] ** 2 - 0.5 * half[None, :] * half[:, None]
    psf, base = model(quadratic[None], 1), model(np.zeros((1, 47, 47)), 1)
    dx, dy = np.random.default_rng(2).uniform(-7, 7, (2, 50))
    expected = 3 + dx - 2 * dy + dx**2 - 0.5 * dx * dy
    np.testing.assert_allclose(psf.value(dx, dy, 0, 0) - base.value(dx, dy, 0, 0), expected, atol=1e-9)


def test_position_terms_are_legendre_products() -> None:
    psf = model(np.zeros((10, 47, 47)), 10)
    u, v = 700 / 1535.5 - 1, 2900 / 1539.5 - 1
    p = np.polynomial.legendre.Legendre.basis
    expected = [1, u, v, p(2)(u), u * v, p(2)(v), p(3)(u), p(2)(u) * v, u * p(2)(v), p(3)(v)]
    np.testing.assert_allclose(psf.position_terms(700, 2900), expected, rtol=1e-12)


def test_phase_tables_follow_the_place_in_the_pixel() -> None:
    tables = np.zeros((6, 47, 47))
    tables[1] = 10.0
    psf = model(tables, 1, 5)
    base = model(np.zeros((6, 47, 47)), 1, 5)
    assert float(psf.value(2.25, 0, 0, 0) - base.value(2.25, 0, 0, 0)) == pytest.approx(-5.0)


@pytest.mark.parametrize("label", ["GAUSSIAN", "MOFFAT25", "PENNY2"])
def test_a_block_of_pixels_has_the_same_values(table: np.ndarray, label: str) -> None:
    psf = model(table, 3, label=label)
    columns, rows = np.arange(88.0, 115.0), np.arange(190.0, 213.0)
    block = psf.value_on_pixels(columns, rows, 100.3, 201.8, psf.position_terms(700.0, 2900.0))
    single = psf.value(columns[None, :] - 100.3, rows[:, None] - 201.8, 700.0, 2900.0)
    np.testing.assert_allclose(block, single, rtol=1e-10, atol=1e-10)
    with pytest.raises(ValueError, match="phase"):
        model(np.zeros((6, 47, 47)), 1, 5).value_on_pixels(columns, rows, 100.3, 201.8, np.ones(1))


def test_value_ends_at_the_psf_radius(written: Path) -> None:
    psf = read_psf(written)
    assert psf.radius == 11.0
    value = psf.value(np.array([10.99, 11.0, 9.0]), np.array([0, 0, 9.0]), 100, 100)
    assert value[0] != 0
    assert list(value[1:]) == [0, 0]


def test_get_psf_composes_as_the_readme_says(written: Path) -> None:
    d = DAOPhotReader(written)
    psf = d.get_psf(1, [0.1, 0.1, 0.1], normed=False, asstamp=False)
    base = d.get_basestamp(asstamp=False)
    structures = sum(d.get_structstamp(i, asstamp=False) for i in range(3))
    np.testing.assert_allclose(psf, base + 0.1 * structures)
    stamp = d.get_psf(1, [0.1, 0.1, 0.1])
    assert stamp.shape == (47, 47)
    assert (stamp.xref, stamp.yref) == (23, 23)
    assert stamp.data.sum() == pytest.approx(1)
    whole = d.get_psf(1, [0, 0, 0], inpixels=True, normed=False)
    assert whole.shape == (23, 23)
    assert whole.data[11, 11] == whole.data.max() == base[23, 23]
    with pytest.raises(ValueError, match="2 coefficients for 3"):
        d.get_psf(1, [0.1, 0.1])
    with pytest.raises(ValueError, match="table 3"):
        d.get_structstamp(3)


def test_seed_names_are_there(written: Path) -> None:
    d = DAOPhotReader(written)
    assert (d.modelname, d.structurewidth, d.nparamprofile, d.nstructures) == ("GAUSSIAN", 47, 2, 3)
    assert (d.instnorm, d.centralheight_adu, d.xcenter, d.ycenter) == (13.5, 7000.0, 1535.5, 1539.5)
    np.testing.assert_allclose(d.param_profile, [1.6, 1.5])


def test_psf_at_is_a_star_in_its_pixel(tmp_path: Path) -> None:
    write_psf(model(np.zeros((1, 47, 47)), 1), tmp_path / "x.psf")
    d = DAOPhotReader(tmp_path / "x.psf")
    psf = d.psf_at(100.3, 201.8, size=25)
    assert psf.sum() == pytest.approx(1)
    offset = np.arange(25) - 12
    assert (psf.sum(axis=0) * offset).sum() == pytest.approx(0.3, abs=2e-3)
    assert (psf.sum(axis=1) * offset).sum() == pytest.approx(-0.2, abs=2e-3)
    stamp = d.psf_at(100.3, 201.8, asstamp=True)
    assert (stamp.x0 + 11, stamp.y0 + 11) == (100, 202)
    counts = d.psf_at(100.0, 200.0, normed=False)
    assert counts[11, 11] == pytest.approx(7000 * profile_value("GAUSSIAN", np.array([1.6, 1.5]), 0, 0))
    with pytest.raises(ValueError, match="finite"):
        d.psf_at(np.nan, 3)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "SIMPLE  =                    T",
        "a table of contents\n1 2 3\n",
        " AIRYDISK   47    2    3    0   13.520       7110.351   1535.5   1539.5\n",
        " GAUSSIAN   47    3    3    0   13.520       7110.351   1535.5   1539.5\n",
        " GAUSSIAN   46    2    3    0   13.520       7110.351   1535.5   1539.5\n",
        " GAUSSIAN99999    2    3    0   13.520       7110.351   1535.5   1539.5\n",
        " GAUSSIAN   47    2   -3    0   13.520       7110.351   1535.5   1539.5\n",
        " GAUSSIAN   47    2    3    0      nan       7110.351   1535.5   1539.5\n",
        " GAUSSIAN   47    2    3    0   13.520       7110.351   1535.5   1539.5\n  1.594882E+00\n",
        " GAUSSIAN   47    2    3    0   13.520       7110.351   1535.5   1539.5\n  1.594882E+00-1.656383E+00\n",
        " GAUSSIAN   47    2    3    0   13.520       7110.351   1535.5   1539.5\n  1.594882E+00 1.656383E+00\n  0.0\n",
    ],
)
def test_text_that_is_no_psf_file_is_one_typed_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.psf").write_text(text)
    with pytest.raises(PsfFileError, match=r"x\.psf"):
        DAOPhotReader(tmp_path / "x.psf")


def test_binary_truncated_and_missing_files_are_typed_errors(tmp_path: Path, written: Path) -> None:
    (tmp_path / "b.psf").write_bytes(bytes(range(256)) * 20)
    with pytest.raises(PsfFileError):
        read_psf(tmp_path / "b.psf")
    lines = written.read_text().splitlines()
    (tmp_path / "c.psf").write_text("\n".join(lines[:-30]))
    with pytest.raises(PsfFileError, match="ends or breaks off"):
        read_psf(tmp_path / "c.psf")
    with pytest.raises(ImageReadError):
        read_psf(tmp_path / "none.psf")


def test_real_files_round_trip_unchanged(tmp_path: Path, shared_data: Path) -> None:
    files = sorted(shared_data.glob("psf/*/psf.psf"))
    assert len(files) == 3
    for file in files:
        d = DAOPhotReader(file)
        d.write(tmp_path / "x.psf")
        assert (tmp_path / "x.psf").read_bytes() == file.read_bytes()
        assert (d.modelname, d.structurewidth, d.nstructures) == ("GAUSSIAN", 47, 3)
        # the model's own sum and its magnitude agree: DAOPHOT's zero point is 25
        assert d.total_at(1535.5, 1539.5) == pytest.approx(d.model.flux_scale, rel=0.005)
