from __future__ import annotations

import json

import pytest

from ztfdb.errors import ConfigError
from ztfdb.extract.kernels import kernels
from ztfdb.extract.measure import measurement_config
from ztfdb.extract.settings import ExtractionSettings


def test_settings_survive_json() -> None:
    settings = ExtractionSettings(threshold=2.0, deblend_levels=16)
    assert ExtractionSettings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings
    assert ExtractionSettings.from_dict({}) == ExtractionSettings()


@pytest.mark.parametrize(
    "values",
    [
        {"threshhold": 1.5},
        {"threshold": 0.0},
        {"threshold": float("nan")},
        {"min_area": 0},
        {"deblend_contrast": 2.0},
        {"clean": -1.0},
        {"background_box": 4},
        {"aperture_diameters": (5.0,)},
    ],
)
def test_settings_out_of_range_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        ExtractionSettings.from_dict(values)


def test_any_change_of_the_settings_changes_the_hash() -> None:
    one, same = measurement_config(ExtractionSettings()), measurement_config(ExtractionSettings())
    other = measurement_config(ExtractionSettings(clean=0.0))
    assert one.config_hash == same.config_hash != other.config_hash
    needed = {"ztfdb", "numpy", "scipy", "sep", "astropy", "astropy-healpix"}
    assert set(one.versions) == needed | ({"ztfdb-kernels"} if kernels() is not None else set())
