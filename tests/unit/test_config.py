from __future__ import annotations

import pytest

from ztfdb.config import Config, load_config
from ztfdb.errors import ConfigError
from ztfdb.extract.settings import ExtractionSettings

TOML = """
url = "postgresql://op:s3cret@db/ztf"
jobs = 4
timeout_s = 60
[roots]
ztf = "/mnt/ztf"
[extraction]
threshold = 2.0
"""


@pytest.fixture
def toml(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(text, name="ztfdb.toml"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def test_defaults_need_nothing(toml):
    config = load_config(environ={})
    assert config == Config()
    assert (config.url, config.jobs) == ("sqlite:///ztfdb.sqlite", 1)


def test_each_layer_wins_over_the_one_before(toml):
    toml(TOML)
    environ = {"ZTFDB_JOBS": "6", "ZTFDB_LOG_LEVEL": "info", "ZTFDB_PG_BIN": "/elsewhere"}
    config = load_config({"memory_mb": 512, "log_level": None, "jobs": 8}, environ=environ)
    assert config.url == "postgresql://op:s3cret@db/ztf"  # file over default
    assert config.timeout_s == 60.0
    assert config.log_level == "INFO"  # variable over default; a flag not given is nothing
    assert load_config(environ=environ).jobs == 6  # variable over file
    assert (config.jobs, config.memory_mb) == (8, 512)  # flag over all
    assert config.roots == {"ztf": "/mnt/ztf"}
    assert config.extraction == ExtractionSettings(threshold=2.0)


def test_the_file_may_be_named(toml):
    toml("jobs = 2")
    other = toml("jobs = 3", "other.toml")
    assert load_config(environ={}).jobs == 2
    assert load_config(environ={"ZTFDB_CONFIG": str(other)}).jobs == 3
    assert load_config(path=other, environ={"ZTFDB_CONFIG": "nowhere.toml"}).jobs == 3
    assert load_config(environ={"ZTFDB_CONFIG": ""}).jobs == 2  # as any empty variable: not set
    with pytest.raises(ConfigError, match=r"nowhere.toml cannot be read"):
        load_config(environ={"ZTFDB_CONFIG": "nowhere.toml"})


def test_roots_from_the_environment(toml):
    assert load_config(environ={"ZTFDB_ROOTS": "ztf=/mnt/a:ref=/mnt/b"}).roots == {"ztf": "/mnt/a", "ref": "/mnt/b"}
    with pytest.raises(ConfigError, match="ZTFDB_ROOTS must be name=folder"):
        load_config(environ={"ZTFDB_ROOTS": "/mnt/a"})
    for incomplete in ("ztf=", "=/mnt/a"):  # the folder would be the current one
        with pytest.raises(ConfigError, match=f"ZTFDB_ROOTS: roots has '{incomplete}', expected a name and a folder"):
            load_config(environ={"ZTFDB_ROOTS": incomplete})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("jbos = 2", "unknown setting jbos; known are url, jobs"),
        ("jobs = 'two'", "jobs 'two' must be a number"),
        ("jobs = true", "jobs True must be a number"),
        ("jobs = 0", "must be positive"),
        ("log_level = 'LOUD'", "expected one of DEBUG"),
        ("roots = ['/a']", "roots is a table"),
        ("[roots]\nztf = ''", "roots has 'ztf=', expected a name and a folder"),
        ("url = 5", "url must be a text"),
        ("url = 'mysql://h/d'", "'mysql' is not an engine"),
        ("extraction = 1", "extraction is a table"),
        ("[extraction]\nthreshhold = 1.0", "unknown extraction setting threshhold"),
        ("[extraction]\nthreshold = 'x'", "wrong kind"),
        ("[extraction]\nthreshold = -1.0", "must be greater than 0"),
        ("jobs = ", "cannot be read"),
    ],
)
def test_mistakes_are_told(toml, text, message):
    toml(text)
    with pytest.raises(ConfigError, match=message):
        load_config(environ={})


def test_a_variable_that_is_no_number_is_told(toml):
    with pytest.raises(ConfigError, match="ZTFDB_JOBS is 'many', expected a number"):
        load_config(environ={"ZTFDB_JOBS": "many"})


def test_passwords_are_never_shown(toml):
    config = Config(url="postgresql://op:s3cret@db/ztf")
    assert "s3cret" not in repr(config)
    assert "s3cret" not in str(config.describe())
    assert config.describe()["url"] == "postgresql://op:***@db/ztf"
    with pytest.raises(ConfigError) as caught:
        load_config(environ={"ZTFDB_URL": "postgresql://op:s3cret@db:port/ztf"})
    assert "s3cret" not in str(caught.value)
