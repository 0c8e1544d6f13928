"""A misspelt option of any public method is answered by that method's name."""

from __future__ import annotations

import inspect

import pytest

import ztfdb
from ztfdb.archive import Archive
from ztfdb.spelling import checked, option_names, passes_on, spelled

METHODS = sorted(name for name, method in vars(Archive).items() if name[0] != "_" and inspect.isfunction(method))


@pytest.fixture
def archive(tmp_path):
    with ztfdb.open(tmp_path / "a.sqlite", create=True) as made:
        yield made


@pytest.mark.parametrize("name", sorted(set(METHODS) - {"sql"}))  # sql takes any name: they are its parameters
def test_every_method_answers_a_slip_by_its_own_name(name):
    with pytest.raises(TypeError, match=rf"^archive\.{name}\(\) got an unexpected keyword argument 'nonsense_'"):
        getattr(Archive, name)(None, nonsense_=1)


@pytest.mark.parametrize(
    ("method", "slip", "meant"),
    [
        ("stamps", "sizes", "'size'"),
        ("stamp", "northup", "'north_up'"),
        ("light_curve", "apeture", "'aperture'"),
        ("light_curves", "colour", "'color'"),
        ("iter_light_curves", "filtres", "'filters'"),
        ("light_curve", "forced", "measure='forced'"),
        ("light_curve", "psfcat", "phot='psfcat'"),
        ("stamps", "start", r"mjd=\(first, last\)"),
        ("cone", "column", "'columns'"),
        ("crossmatch", "modes", "'mode'"),
        ("remove", "nights", "'night'"),
        ("ingest", "job", "'jobs'"),
        ("ingest", "timeout", "'timeout_s'"),
        ("build_objects", "progres", "'progress'"),
    ],
)
def test_the_nearest_name_is_suggested(method, slip, meant):
    with pytest.raises(TypeError, match=rf"archive\.{method}\(\) .*{slip}'; did you mean {meant}\?"):
        getattr(Archive, method)(None, **{slip: 1})


def test_open_is_named_as_users_call_it(tmp_path):
    with pytest.raises(TypeError, match=r"^ztfdb\.open\(\) .*'readonly'; did you mean 'read_only'\?"):
        ztfdb.open(tmp_path / "a.sqlite", readonly=True)


def test_the_words_of_the_command_line_are_taken(archive):
    for filters in ("r", "zr", "ZTF_r", 2, ["zr", "ZG"]):
        assert len(archive.light_curve(10.0, 20.0, filter=filters)) == 0
    assert len(archive.light_curves({"ra": [1.0], "dec": [2.0]}, field=655)) == 0
    assert len(archive.stamps(10.0, 20.0, filter="g", field=[655])) == 0
    assert len(archive.psf_checks(image=[])) == 0
    with pytest.raises(TypeError, match=r"archive.light_curve\(\) got 'filters' twice"):
        archive.light_curve(10.0, 20.0, filter="r", filters="g")
    with pytest.raises(ValueError, match="filter 'x': expected zg"):
        archive.light_curve(10.0, 20.0, filter="x")


@pytest.mark.parametrize("name", ["light_curve", "light_curves", "iter_light_curves", "light_curve_on_path"])
def test_what_only_a_complete_light_curve_has_says_so(archive, name):
    with pytest.raises(TypeError, match=rf"archive\.{name}\(\) takes 'measure' with complete=True only"):
        list(getattr(archive, name)({"time": [1], "ra": [1], "dec": [1]}, complete=False, measure="forced"))


@pytest.mark.parametrize("option", ["good", "calibration"])
def test_stamps_take_no_option_that_would_change_nothing(archive, option):
    with pytest.raises(TypeError, match=rf"archive\.stamps\(\) .*'{option}'"):
        archive.stamps(10.0, 20.0, **{option: True})


def test_options_are_known_through_several_functions():
    def inner(*, depth: int = 0) -> int:
        return depth

    @passes_on(inner)
    def middle(session: object, **rest: int) -> int:
        return inner(**rest)

    @spelled("it")
    class It:
        @passes_on(middle)
        def ask(self, **options: int) -> int:
            return middle(None, **options)

    assert It().ask(depth=3) == 3
    assert option_names(middle) == {"session", "depth"}
    with pytest.raises(TypeError, match=r"^it\.ask\(\) .*'dept'; did you mean 'depth'\?"):
        It().ask(dept=3)
    with pytest.raises(TypeError, match=r"f\(\) .*; it takes none"):
        checked(lambda: None, "f")(x=1)
