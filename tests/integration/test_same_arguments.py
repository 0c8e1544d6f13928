"""Every argument of every reading method, right or wrong, asked of an archive and of its service: one answer."""

from __future__ import annotations

import datetime
import functools
import traceback
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import QTable, Table
from astropy.time import Time
from astropy.utils.masked import Masked
from pandas.testing import assert_frame_equal

pytest.importorskip("fastapi", reason="the extra serve is not installed")

import ztfdb
from tests.support.catalogues import fill_archive
from tests.support.postgres import ENGINES
from tests.support.serving import Serving, reader_url
from ztfdb.client.archive import NEED_THE_DATABASE
from ztfdb.errors import ZtfdbError
from ztfdb.spelling import option_names

pytestmark = pytest.mark.slow

NIGHT = 59116.43
ONLY_HERE = {"jobs", "keep", "places", "progress"}
"""Options of how a complete light curve is measured, which a service decides."""

WRONG = {
    "none": None, "text": "x", "empty": "", "nan": np.nan, "inf": np.inf, "negative": -1, "huge": 1e300,
    "above 64 bits": 2**63, "unsigned": np.uint64(2**63 + 5), "hundreds of digits": 10**400, "true": True,
    "bytes": b"x", "list": [], "tuple": (), "mapping": {}, "nested": [[1, 2], [3]], "list of none": [None],
    "list of text": ["x"], "list of nan": [np.nan], "list above 64 bits": [2**64], "missing": pd.NA, "no time": pd.NaT,
    "masked": np.ma.masked, "masked column": np.ma.array([1, 2], mask=[0, 1]), "matrix": np.array([[1, 2], [3, 4]]),
    "objects": np.array([None, "x"], object), "seconds": 3 * u.s, "quantities": [1, 2] * u.arcsec, "complex": 1j,
    "object": object(), "path": Path("x"), "surrogate": "\udc80", "nul": "a\0b", "slash": "../x", "line": "zg\n",
    "set": {1, 2}, "dates": pd.to_datetime(["2020-09-24", "2020-09-25"]), "half": 1.5, "small": np.int8(3),
    "array": np.array([1]), "scalar array": np.array(1), "series": pd.Series([1, 2], index=[5, 5]), "0": 0,
}  # fmt: skip


@pytest.fixture(scope="module", params=ENGINES)
def held(request, databases, tmp_path_factory):
    url = databases.migrated(request.param)
    yield reader_url(url), fill_archive(url, tmp_path_factory.mktemp("night"))
    databases.drop(url)


@pytest.fixture(scope="module")
def remote(served):
    with ztfdb.open(served.base) as archive:
        yield archive


@pytest.fixture(scope="module")
def served(held):
    with Serving(held[0], environ={"ZTFDB_SERVE_STAMPS_MPX": "30"}) as service:
        yield service


@pytest.fixture(scope="module")
def asked(held, local):
    """Arguments of each method that give an answer."""
    (ra, dec), (ra2, dec2), _ = held[1]
    place = {"ra": ra, "dec": dec}
    table = {"positions": {"ra": [ra, ra2], "dec": [dec, dec2], "c": [0.1, 0.2]}}
    path = {"path": {"time": [NIGHT - 1, NIGHT + 2, NIGHT + 5], "ra": [ra] * 3, "dec": [dec] * 3}}
    image = {"image_id": int(local.images(ra, dec)["image_id"][0])}
    star = {"object_id": int(local.sql("select object_id from object order by best_snr desc limit 1")["object_id"][0])}
    matched = {"columns": ["ra", "mag"], "catin": "sources", "catref": "ps1cat"}
    complete = {"complete": True, "keep": False}
    return {
        **dict.fromkeys(("cone", "iter_cone", "cone_answer", "light_curve", "periodogram", "images"), place),
        **dict.fromkeys(("images_answer", "stamps", "completeness", "hint", "cone_sql"), place),
        **dict.fromkeys(("light_curves", "iter_light_curves", "stamps_at"), table),
        **{name: {} for name in ("tables", "coverage", "coverage_cells", "catalogues", "psf_checks", "status", "ping")},
        **dict.fromkeys(("object", "object_oids"), star),
        "light_curve, complete": place | complete,
        "light_curves, complete": table | complete,
        "light_curve_on_path": path | {"keep": False},
        "stamps_on_path": path,
        "stamp": place | image,
        "stamps_on_image": table | image,
        "catalogue_cone": {"name": "ps1"} | place,
        "catalogue_recipe": {"name": "ps1"},
        "get_matched_entries": matched | image,
        "get_matched_entries, region": matched | {"region": (ra, dec, 60)},
        "explain": {"source_id": int(local.cone(ra, dec)["source_id"][0])},
        "images_of_night": {"night": 20200924},
        "columns": {"table": "source"},
    }


METHODS = sorted(
    name
    for name in dir(ztfdb.Archive)
    if name[0] != "_" and name not in (*NEED_THE_DATABASE, "sql", "sql_csv", "sql_parts", "close", "settings", "url")
)
KINDS = ("light_curve, complete", "light_curves, complete", "get_matched_entries, region")


def test_every_method_is_asked(asked):
    assert sorted(asked) == sorted([*METHODS, *KINDS])


@pytest.mark.parametrize("name", [*METHODS, *KINDS])
def test_a_wrong_argument_is_one_error_of_both(local, remote, asked, name):
    method = name.partition(",")[0]
    for option in sorted(option_names(getattr(ztfdb.Archive, method)) or ()):
        for kind, value in WRONG.items():
            if option not in ONLY_HERE:
                compare(local, remote, method, asked[name] | {option: value}, f"{name}({option}: {kind})")


def test_every_form_of_a_position_is_one_answer(local, remote, held, asked):
    (ra, dec), *_ = held[1]
    one = SkyCoord(ra, dec, unit="deg")
    forms = [
        (ra * u.deg, dec * u.deg), ((ra * u.deg).to(u.hourangle), (dec * u.deg).to(u.rad)), (one,), (one.galactic,),
        (one.fk4,), (one.frame,), (np.float64(ra), np.array(dec)), (ra - 360, dec),
        (Masked(ra * u.deg, mask=False), dec),
    ]  # fmt: skip
    for method in ("cone", "light_curve", "images", "stamps", "completeness", "hint", "cone_sql"):
        for form in forms:
            found = compare(local, remote, method, dict(zip(("ra", "dec"), form, strict=False)), f"{method}{form}")
            assert not isinstance(found, Exception), (method, form, found)
    for radius in (3 * u.arcsec, 0.05 * u.arcmin, np.float32(3), np.array(3)):
        assert len(compare(local, remote, "light_curve", {"ra": ra, "dec": dec, "radius": radius}, repr(radius)))


def test_every_form_of_a_table_is_one_answer(local, remote, held):
    ra, dec = np.array(held[1]).T
    columns = {"ra": ra, "dec": dec}
    many, frame = SkyCoord(ra, dec, unit="deg"), pd.DataFrame(columns)
    right = [
        np.array(held[1]), list(map(list, held[1])), tuple(held[1]), np.array(held[1]).astype(">f8"), frame[::-1],
        frame.set_axis(["c", "a", "b"]), frame.astype("Float64"), frame.astype(str), Table(columns), Table(columns)[0],
        QTable({"ra": ra * u.deg, "dec": (dec * u.deg).to(u.arcmin)}), many, many.galactic, Table({"star": many}),
        {"RAJ2000": ra, "DEJ2000": dec}, np.array(held[1]) * u.deg, {"ra": np.ma.array(ra), "dec": dec.tolist()},
        {"ra": ["03:51:52.95"], "dec": ["+35:43:57.7"]}, frame.iloc[:0], many[:0], [], ((1.0, 2.0), (3.0, 4.0)),
    ]  # fmt: skip
    if pyarrow := pytest.importorskip("pyarrow", reason="the extra parquet is not installed"):
        right.append(pyarrow.table(columns))
    wrong = [
        many.reshape(3, 1), many[0].reshape(1, 1, 1), {"ra": [[1.0]], "dec": [[2.0]]}, {"ra": [1.0], "dec": [1.0, 2.0]},
        pd.DataFrame({"ra": pd.to_datetime(["2020-01-01"]), "dec": [1.0]}), np.array([[1.0 + 1j, 2.0]]), [1.0, 2.0],
        iter(held[1]), {"ra": iter([1.0]), "dec": [1.0]}, {(1.0, 2.0)}, pd.DataFrame(), frame.astype("datetime64[ns]"),
        {"ra": [True], "dec": [False]}, {"ra": [10**400], "dec": [1.0]}, {"ra": [[1], [1, 2]], "dec": [1, 2]},
    ]  # fmt: skip
    for method in ("light_curves", "stamps_at", "iter_light_curves"):
        for table in right:
            found = compare(local, remote, method, {"positions": table}, f"{method}({type(table).__name__})")
            assert not isinstance(found, Exception), (method, table, found)
        for table in wrong:
            found = compare(local, remote, method, {"positions": table}, f"{method}({table!r})")
            assert isinstance(found, ValueError), (method, table, found)


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("mjd", [(NIGHT, NIGHT + 2), [None, NIGHT + 2], np.array([NIGHT, NIGHT + 2]), ("2020-09-24", "20200926")]),
        ("mjd", [Time([NIGHT, NIGHT + 2], format="mjd"), (Time(NIGHT, format="mjd", scale="tdb"), None)]),
        ("mjd", [(datetime.date(2020, 9, 24), pd.Timestamp("2020-09-26", tz="US/Pacific")), (-np.inf, np.inf)]),
        ("mjd", [pd.DatetimeIndex(["2020-09-24", "2020-09-26"]), pd.Series([NIGHT, NIGHT + 2], index=[7, 7])]),
        ("filters", ["g", " ZTF_r ", 1, "1", {"g"}, np.array([1, 2], "u1"), pd.Series(["zg"]), [], np.str_("zr")]),
        ("fields", [655, [655], np.array([655.0]), pd.array([655], dtype="Int64"), range(655, 656), [], 655.0, -1]),
    ],
)
def test_every_form_of_a_cut_is_one_answer(local, remote, asked, option, values):
    for method in ("light_curve", "stamps", "completeness", "hint", "light_curves", "light_curve_on_path"):
        for value in values:
            found = compare(local, remote, method, asked[method] | {option: value}, f"{method}({option}={value!r})")
            assert not isinstance(found, Exception), (method, option, value, found)


def test_every_form_of_ids_and_names_is_one_answer(local, remote, held, asked):
    ids = local.images(*held[1][0])["image_id"].tolist()
    matched = asked["get_matched_entries"]
    lists = [ids, tuple(ids), np.array(ids), np.array(ids, "f8"), pd.Series(ids), Table({"a": ids})["a"], [], ids[::-1]]
    for form in lists:
        for method, name in (("psf_checks", "image_ids"), ("get_matched_entries", "image_id")):
            arguments = (matched if name == "image_id" else {}) | {name: form}
            assert isinstance(compare(local, remote, method, arguments, f"{method}({form!r})"), pd.DataFrame)
    assert len(local.psf_checks([*ids, *ids])) == len(local.psf_checks(ids)) == len(ids)
    for columns in (("ra", "mag"), np.array(["ra"]), pd.Index(["ra", "x"]), ["ra", "ra"]):
        assert len(compare(local, remote, "get_matched_entries", matched | {"columns": columns}, repr(columns)))
    for columns in (("x", "hpx29"), np.array(["x"]), pd.Index(["flags"]), []):
        assert len(compare(local, remote, "cone", asked["cone"] | {"columns": columns}, repr(columns)))


@pytest.mark.parametrize(
    ("right", "option", "values"),
    [
        (True, "color", [0.5, [0.5, 0.1], np.array([1, 2]), "c", [0.5, 0.1] * u.mag, [np.nan, 0.1], [None, 0.1]]),
        (False, "color", ["nope", [0.1], [0.1, 0.2, 0.3], ["a", "b"], [[0.1, 0.2]], [1j, 2], 1e300, np.inf]),
        (True, "pmra", [5.0, np.array([5, 1], "i4"), "c", [1.0], [5, 1] * u.arcsec / u.yr, [np.nan, 1], [None, 1.0]]),
        (False, "pmra", ["nope", [1, 2, 3], [5, 1] * u.deg, 1e300, [[1, 2]], {"a": 1}]),
        (True, "epoch", [2016.0, [2016, 2015], Time(["J2016", "J2015"]), 2016 * u.yr]),
        (False, "epoch", ["c", 57000, [np.nan, 2016], "2016"]),
    ],
)
def test_values_of_each_star_are_one_answer(local, remote, asked, right, option, values):
    for value in values:
        more = {"pmdec": 1.0} if option == "pmra" else {"pmra": 1.0, "pmdec": 2.0} if option == "epoch" else {}
        arguments = asked["light_curves"] | more | {option: value}
        found = compare(local, remote, "light_curves", arguments, f"light_curves({option}={value!r})")
        assert isinstance(found, pd.DataFrame if right else ValueError), (option, value, found)


def test_an_empty_cone_in_parts_warns_as_a_cone_does(local, remote):
    for archive in (local, remote):
        with pytest.warns(ztfdb.EmptyAnswerWarning, match="no image covers"):
            assert [len(part) for part in archive.iter_cone(10.0, 20.0)] == [0]


def compare(local, remote, method, arguments, what):
    """Ask both, compare, and return the archive's answer or error."""
    ours, theirs = (asked_of(archive, method, arguments) for archive in (local, remote))
    for answer in (ours, theirs):
        if isinstance(answer[0], Exception):
            typed(answer[0], what)
    if isinstance(ours[0], Exception):
        assert type(theirs[0]) is type(ours[0]), f"{what}: {ours[0]!r}, {theirs[0]!r}"
    else:
        same(theirs[0], ours[0], what)
        one_by_one = method == "stamps_at"  # a service is asked for each position, and hints at one
        assert theirs[1] == ours[1] or (one_by_one and theirs[1] and ours[1]), what
    return ours[0]


def asked_of(archive, method, arguments):
    """The answer or error, and the warnings."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            found = getattr(archive, method)(**arguments)
            found = list(found) if hasattr(found, "__next__") else found
        except Exception as exc:
            found = exc
    return found, [str(one.message) for one in warned]


def typed(error, what):
    """It is an error that ztfdb raises itself, not one that escapes from the code below."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    wanted = isinstance(error, ZtfdbError) or type(error) in (ValueError, TypeError)
    assert wanted and "/ztfdb/" in last.filename and "raise" in (last.line or ""), f"{what}: {error!r} of {last}"
    assert str(error), what


@functools.singledispatch
def same(theirs, ours, what):
    """Both answers are equal."""
    assert type(theirs) is type(ours), what
    if isinstance(ours, dict):  # the status of a service has no folders
        assert theirs.keys() == ours.keys(), what
    elif hasattr(ours, "to_pandas"):
        same(theirs.to_pandas(), ours.to_pandas(), what)
        if hasattr(ours, "stamps"):
            same([stamp.data for stamp in theirs], [stamp.data for stamp in ours], what)
    elif hasattr(ours, "values"):  # an explanation
        same(theirs.values, ours.values, what)
    elif hasattr(ours, "data"):
        same(theirs.data, ours.data, what)
    else:
        assert theirs == ours, what


@same.register(list)
@same.register(tuple)
def _(theirs, ours, what):
    assert len(theirs) == len(ours), what
    for one, other in zip(theirs, ours, strict=True):
        same(one, other, what)


@same.register(np.ndarray)
def _(theirs, ours, what):
    np.testing.assert_array_equal(theirs, ours, err_msg=what)


@same.register(pd.DataFrame)
def _(theirs, ours, what):
    ours = ours.copy()
    for name in {"path", "file"} & set(ours):
        ours[name] = pd.array([str(one).rsplit("/", 1)[-1] for one in ours[name]], dtype="str")
    try:
        assert_frame_equal(theirs, ours, check_exact=True)
    except AssertionError as exc:
        raise AssertionError(f"{what}: {exc}") from None
    assert theirs.attrs == ours.attrs, what
