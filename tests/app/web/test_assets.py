"""The files pages load: vendored ones are what they were, own ones can be kept for ever."""

import hashlib
import re
from pathlib import Path

from app.web import render

VENDOR = render.STATIC / "vendor"


def test_every_vendored_file_has_the_checksum_it_was_committed_with() -> None:
    listed = {}
    for line in (VENDOR / "SHA256SUMS").read_text().splitlines():
        checksum, name = line.split(maxsplit=1)
        listed[name] = checksum
    found = {
        str(path.relative_to(VENDOR)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in VENDOR.rglob("*")
        if path.is_file() and path.name != "SHA256SUMS"
    }
    assert found == listed


def test_every_vendored_package_brings_its_licence_and_version() -> None:
    for package in (path for path in VENDOR.iterdir() if path.is_dir()):
        assert re.search(r"@\d+\.\d+\.\d+$", package.name)
        assert (package / "LICENSE").is_file()


def test_every_asset_a_template_names_exists() -> None:
    text = "\n".join(path.read_text() for path in render.TEMPLATES.rglob("*.html"))
    named = re.findall(r"asset\('([^']+)'\)", text)
    assert named
    for path in named:
        assert re.fullmatch(r"/static/.+\?v=[0-9a-f]{12}", render.asset(path))


def test_the_stylesheet_loads_nothing_from_another_host() -> None:
    text = (render.STATIC / "css" / "app.css").read_text()
    for address in re.findall(r'url\("([^"]+)"\)', text):
        if not address.startswith("data:"):
            assert (render.STATIC / "css" / Path(address)).resolve().is_file()


def test_own_code_evaluates_nothing() -> None:
    text = (render.STATIC / "js" / "app.js").read_text()
    for word in ("eval(", "new Function", "innerHTML", "document.write"):
        assert word not in text
