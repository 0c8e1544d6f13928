from __future__ import annotations

import hashlib
import tarfile
from pathlib import Path

import pytest

from ztfdb import quadrant


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Stand-ins of a few bytes for the two files."""
    contents = {quadrant.SCIENCE: b"science", quadrant.MASK: b"mask"}
    monkeypatch.setattr(quadrant, "SIZES", {name: len(content) for name, content in contents.items()})
    monkeypatch.setattr(quadrant, "SHA256", {n: hashlib.sha256(c).hexdigest() for n, c in contents.items()})
    return contents


def make_sdist(folder: Path, contents: dict[str, bytes]) -> Path:
    tree = folder / "tree" / quadrant.MEMBER_FOLDER
    tree.mkdir(parents=True)
    for name, content in contents.items():
        (tree / name).write_bytes(content)
    path = folder / "ztfimg-0.19.0.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        tar.add(folder / "tree" / "ztfimg-0.19.0", arcname="ztfimg-0.19.0")
    return path


def test_cache_folder_follows_xdg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert quadrant.cache_folder() == tmp_path / "ztfdb"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "someone"))
    assert quadrant.cache_folder() == tmp_path / "someone" / ".cache" / "ztfdb"


def test_fetched_once_then_found(tiny: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sdist = make_sdist(tmp_path, tiny)
    calls = []
    monkeypatch.setattr(quadrant, "_download", lambda scratch: calls.append(scratch) or sdist)
    cache = tmp_path / "cache"
    assert quadrant.find_quadrant(cache) is None
    first = quadrant.fetch_quadrant(cache)
    assert [p.read_bytes() for p in first] == [b"science", b"mask"]
    assert quadrant.fetch_quadrant(cache) == first == quadrant.find_quadrant(cache)
    assert len(calls) == 1
    assert not calls[0].exists()


def test_truncated_cache_is_fetched_again(
    tiny: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sdist = make_sdist(tmp_path, tiny)
    monkeypatch.setattr(quadrant, "_download", lambda scratch: sdist)
    science, _ = quadrant.fetch_quadrant(tmp_path / "cache")
    science.write_bytes(b"sci")
    assert quadrant.fetch_quadrant(tmp_path / "cache")[0].read_bytes() == b"science"


def test_other_content_is_refused(tiny: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sdist = make_sdist(tmp_path, {**tiny, quadrant.SCIENCE: b"changed"})
    monkeypatch.setattr(quadrant, "_download", lambda scratch: sdist)
    with pytest.raises(quadrant.QuadrantError, match="sha256"):
        quadrant.fetch_quadrant(tmp_path / "cache")
    assert quadrant.find_quadrant(tmp_path / "cache") is None


def test_sdist_without_the_files_is_refused(
    tiny: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sdist = make_sdist(tmp_path, {quadrant.SCIENCE: b"science"})
    monkeypatch.setattr(quadrant, "_download", lambda scratch: sdist)
    with pytest.raises(quadrant.QuadrantError, match="expected source distribution"):
        quadrant.fetch_quadrant(tmp_path / "cache")


def test_failing_pip_is_told_in_its_own_words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(quadrant.QuadrantError, match=r"No matching distribution|pip") as caught:
        quadrant.fetch_quadrant(tmp_path / "cache")
    assert caught.value.retryable
    assert list((tmp_path / "cache").glob("fetch-*")) == []


def test_unwritable_cache_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(quadrant.QuadrantError, match="cannot be kept"):
        quadrant.fetch_quadrant(tmp_path / "file" / "cache")
