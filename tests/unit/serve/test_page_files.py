"""The page's files: what they may do, what they refer to, how they are sent."""

from __future__ import annotations

import asyncio
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

pytest.importorskip("starlette", reason="the extra serve is not installed")

from starlette.applications import Starlette

import ztfdb.serve.page
from ztfdb.bits import MaskBit, SourceFlag
from ztfdb.serve.page.assets import POLICY, TYPES, assets, routes

STATIC = Path(ztfdb.serve.page.__file__).parent / "static"
FILES = sorted(path.name for path in STATIC.iterdir())
SCRIPTS = [name for name in FILES if name.endswith(".js")]
MOST_BYTES = 300_000


def ask(path: str, method: str = "GET", headers: dict[str, str] | None = None):
    """Status, headers and body of the page's answer."""
    told = []

    async def send(message):
        told.append(message)

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "",
        "headers": [(k.encode(), v.encode()) for k, v in (headers or {}).items()], "scheme": "http",
        "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 1), "http_version": "1.1",
    }  # fmt: skip
    asyncio.run(Starlette(routes=routes())(scope, receive, send))
    found = {k.decode(): v.decode() for k, v in told[0]["headers"]}
    return told[0]["status"], found, b"".join(one.get("body", b"") for one in told)


@pytest.mark.parametrize("name", FILES)
def test_every_file_is_sent_as_it_is_with_its_type_and_the_policy(name):
    status, headers, body = ask(f"/page/{name}")
    assert status == 200
    assert body == (STATIC / name).read_bytes()
    assert headers["content-type"] == TYPES[name.rpartition(".")[2]]
    assert headers["etag"] == f'"{hashlib.sha256(body).hexdigest()}"'
    assert headers["content-security-policy"] == POLICY
    assert ask(f"/page/{name}", headers={"if-none-match": headers["etag"]})[::2] == (304, b"")


@pytest.mark.parametrize(("name", "bits"), [("MASK_BITS", MaskBit), ("FLAGS", SourceFlag)])
def test_the_page_knows_every_bit_in_its_order(name, bits):
    text = (STATIC / "bits.js").read_text().partition(f"export const {name} = {{")[2].partition("};")[0]
    assert re.findall(r"([A-Z_]+): \"", text) == [one.name for one in bits]
    assert [one.value for one in bits] == [1 << k for k in range(len(bits))]


def test_the_root_is_the_page():
    status, headers, body = ask("/")
    assert (status, body) == (200, (STATIC / "index.html").read_bytes())
    assert headers["content-type"].startswith("text/html")
    assert ask("/", "HEAD")[0] == 200


@pytest.mark.parametrize("path", ["/page/none.js", "/page/..", "/page/__init__.py", "/page/%2e%2e%2fassets.py"])
def test_nothing_else_is_sent(path):
    assert ask(path)[0] == 404


def test_the_policy_allows_this_service_alone():
    rules = dict(one.strip().split(" ", 1) for one in POLICY.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == rules["style-src"] == rules["connect-src"] == "'self'"
    assert "unsafe" not in POLICY and "http" not in POLICY and "*" not in POLICY


@pytest.mark.parametrize("name", FILES)
def test_no_file_names_another_host(name):
    text = (STATIC / name).read_text().replace("http://www.w3.org/2000/svg", "")  # a name, not an address
    assert not re.search(r"https?://|//[a-z]+\.[a-z]", text.replace("ivo://", ""))


@pytest.mark.parametrize("name", SCRIPTS)
def test_no_script_makes_code_or_markup_of_text(name):
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", (STATIC / name).read_text()
    )


class _Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


def test_the_page_has_no_script_or_style_of_its_own_and_refers_to_files_that_are_there():
    tags = _Page((STATIC / "index.html").read_text()).tags
    for tag, attrs in tags:
        assert "style" not in attrs and not any(name.startswith("on") for name in attrs), (tag, attrs)
        assert tag != "style" and (tag != "script" or "src" in attrs)
    ids = [attrs["id"] for _, attrs in tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    named = [attrs.get("src") or attrs.get("href") for tag, attrs in tags if tag in ("script", "link")]
    assert {one.removeprefix("page/") for one in named} <= set(FILES)
    for name in SCRIPTS:
        text = (STATIC / name).read_text()
        assert set(re.findall(r'from "\./([\w.]+)"', text)) <= set(FILES)
        assert set(re.findall(r'find\("([\w-]+)"\)', text)) <= set(ids), name


def test_every_script_is_used():
    used = {"app.js"}
    for name in SCRIPTS:
        used |= set(re.findall(r'from "\./([\w.]+)"', (STATIC / name).read_text()))
    assert used == set(SCRIPTS)


def test_the_page_is_small():
    assert sum(len(one.content) for one in assets().values()) < MOST_BYTES
