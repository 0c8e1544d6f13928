"""A misspelt option of any public method is answered by that method's name."""

from __future__ import annotations

import inspect
import pydoc
from typing import TypedDict, Unpack

import numpy as np
import pytest

import ztfdb
from ztfdb import options
from ztfdb.archive import Archive
from ztfdb.client.archive import RemoteArchive
from ztfdb.derive import calibrate, crossmatch, objects, psf_checks
from ztfdb.derive import completeness as derive_completeness
from ztfdb.ingest import catalogue_import, catalogue_register, catalogue_services, remove, run
from ztfdb.ingest import psf_catalogues as ingest_psfcat
from ztfdb.query import completeness as query_completeness
from ztfdb.query import cone, coverage, cutouts, diff, explain, matched, stamps, verify
from ztfdb.spelling import checked, option_names, spelled

METHODS = sorted(name for name, method in vars(Archive).items() if name[0] != "_" and inspect.isfunction(method))


@pytest.fixture
def archive(tmp_path):
    with ztfdb.open(tmp_path / "a.sqlite", create=True) as made:
        yield made


@pytest.mark.parametrize("name", sorted(set(METHODS) - {"sql"}))  # sql takes any name: they are its parameters
def test_every_method_answers_a_slip_by_its_own_name(name):
    with pytest.raises(TypeError, match=rf"^archive\.{name}\(\) got an unexpected keyword argument 'nonsense_'"):
        getattr(Archive, name)(None, nonsense_=1)


@pytest.mark.parametrize("value", ["no", "false", "", 5, None, [True], float("nan")])
@pytest.mark.parametrize("kind", [Archive, RemoteArchive])
@pytest.mark.parametrize(
    ("method", "name"),
    [("light_curve", "good"), ("light_curve", "complete"), ("light_curves", "keep"), ("stamps", "all_versions")],
)
def test_a_switch_is_true_or_false(kind, method, name, value):
    """Python would take ``good="no"`` for True."""
    with pytest.raises(TypeError, match=rf"^archive\.{method}\(\): {name} is .*, expected True or False"):
        getattr(kind, method)(None, 1.0, 2.0, **{name: value})


@pytest.mark.parametrize("value", [True, False, np.True_, np.bool_(0), 1, 0])
def test_other_spellings_of_true_and_false(archive, value):
    with pytest.warns(ztfdb.EmptyAnswerWarning):
        assert len(archive.light_curve(1.0, 2.0, good=value)) == 0


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


@pytest.mark.parametrize("option", ["good", "color"])
def test_stamps_take_no_option_that_would_change_nothing(archive, option):
    with pytest.raises(TypeError, match=rf"archive\.stamps\(\) .*'{option}'"):
        archive.stamps(10.0, 20.0, **{option: True})


class Depth(TypedDict, total=False):
    depth: int


class Options(Depth, total=False):
    width: float


@spelled("it")
class It:
    def ask(self, place: int, **options: Unpack[Options]) -> tuple[int, dict]:
        """Ask."""
        return place, options


def test_options_are_those_of_a_typed_dict():
    assert It().ask(1, depth=3) == (1, {"depth": 3})
    assert option_names(It.ask.__wrapped__) == {"place", "depth", "width"}
    with pytest.raises(TypeError, match=r"^it\.ask\(\) .*'dept'; did you mean 'depth'\?"):
        It().ask(1, dept=3)
    with pytest.raises(TypeError, match=r"f\(\) .*; it takes none"):
        checked(lambda: None, "f")(x=1)


def test_help_and_completion_name_each_option():
    shown = inspect.signature(It().ask)
    assert list(shown.parameters) == ["place", "depth", "width"]
    assert shown.parameters["depth"].annotation == "int"
    assert shown.parameters["depth"].kind is inspect.Parameter.KEYWORD_ONLY
    assert "width" in pydoc.render_doc(It)


@pytest.mark.parametrize("kind", [Archive, RemoteArchive])
def test_no_method_of_an_archive_hides_its_options(kind):
    methods = {name: one for name, one in inspect.getmembers(kind, inspect.isfunction) if name[0] != "_"}
    hidden = [
        name
        for name, method in methods.items()
        if any(one.kind is one.VAR_KEYWORD for one in inspect.signature(method).parameters.values())
    ]
    assert hidden == ["sql"]  # whose names are those of a statement
    words = {"aperture", "filters", "mjd", "color", "measure", "jobs", "pmra", "phot", "complete"}
    for name in ("light_curve", "light_curves", "iter_light_curves"):
        assert words <= inspect.signature(methods[name]).parameters.keys()
        told = pydoc.render_doc(methods[name], renderer=pydoc.plaintext)
        assert "calibration: Calibration = ...," in told.replace("'", "")  # quoted before Python 3.14


PASSED_ON = (
    (options.ConeOptions, cone.cone),
    (options.MotionOptions, coverage.images_covering),
    (options.StampOnImageOptions, stamps.stamp),
    (options.StampsOnImageOptions, stamps.stamps_on_image),
    (options.StampsOptions, stamps.stamps),
    (options.StampsOnPathOptions, stamps.stamps_on_path),
    (options.StampsAtOptions, stamps.stamps_at),
    (options.CutoutOptions, cutouts.cutout),
    (options.PlacesOptions, cutouts.image_pixels),
    (options.CompletenessOptions, query_completeness.completeness),
    (options.MatchedOptions, matched.matched_entries),
    (options.ExplainOptions, explain.explain),
    (options.VerifyOptions, verify.verify),
    (options.DiffOptions, diff.diff_archives),
    (options.IngestLimits, run.ingest_paths),
    (options.IngestPsfcatOptions, ingest_psfcat.ingest_psfcats),
    (options.ImportCatalogueOptions, catalogue_import.import_catalogue),
    (options.AddCatalogueOptions, catalogue_register.add_catalogue),
    (options.FetchCatalogueOptions, catalogue_services.fetch_catalogue),
    (options.RemoveImagesOptions, remove.remove_images),
    (options.CrossmatchOptions, crossmatch.crossmatch),
    (options.RemoveOptions, crossmatch.remove_matches),
    (options.CalibrateOptions, calibrate.calibrate),
    (options.InjectionOptions, derive_completeness.measure_completeness),
    (options.CheckPsfOptions, psf_checks.check_psf),
    (options.RemoveOptions, psf_checks.remove_psf_checks),
    (options.ProgressOptions, objects.build_objects),
    (options.ProgressOptions, objects.update_objects),
)
"""The options of a method, and the function that it passes them on to."""

SPELLED_OUT = {
    "session",
    "sessions",
    "settings",
    "region",
    "url",
    "image_id",
    "jobs",
    "mask",
    "phot",
    "psfcat",
    "force",
    "progress",
}
"""Parameters that a method spells out or fills itself."""


@pytest.mark.parametrize(("named", "function"), PASSED_ON, ids=lambda one: one.__name__)
def test_options_are_those_of_the_function_that_gets_them(named, function):
    parameters = inspect.signature(function).parameters.values()
    taken = {one.name for one in parameters if one.kind is one.KEYWORD_ONLY}
    if any(one.kind is one.VAR_KEYWORD for one in parameters):
        taken |= options.ImageCutOptions.__optional_keys__
    assert named.__optional_keys__ <= taken
    assert taken - named.__optional_keys__ <= SPELLED_OUT


def test_both_kinds_of_archive_take_the_same_options():
    for name, method in inspect.getmembers(RemoteArchive, inspect.isfunction):
        if name[0] != "_" and name != "sql":
            theirs, ours = (list(inspect.signature(one).parameters) for one in (method, getattr(Archive, name)))
            assert theirs == ours, name
