"""The real stack for the browser: `dosimeter serve` on a home and a port of its own."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from app.client import Client
from tests.conftest import CACHE
from tests.e2e.screenshots import ARGUMENTS, CHROMIUM

STOP_S = 20.0
SPEC = {
    "attack": {"name": "clean_label_backdoor", "eps_255": 32, "steps": 4},
    "surrogates": ["convnet3-digits_5_9-s0"],
    "victims": [{"regime": "frozen", "checkpoint": "convnet3-digits_0_4-s0"}],
    "data": {"dataset": "digits_5_9", "train_size": 100, "poisons": 5},
    "trials": 5,
    "profile": "smoke",
}
BULLSEYE = {"name": "bullseye_polytope", "eps_255": 16, "steps": 20}
HOSTILE = '<img src=x onerror="document.title=1"><script>document.title=1</script>'
PATIENCE_MS = 120_000  # a cold start of the worker's child on a busy machine


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server with a worker and an empty database."""
    home = tmp_path_factory.mktemp("home")
    environment = os.environ | {
        "DOSIMETER_HOME": str(home),
        "DOSIMETER_PORT": "0",
        "DOSIMETER_HOST": "127.0.0.1",
        "DOSIMETER_DEMONSTRATION": "false",
        "DOSIMETER_THREADS": "1",
        "DOSIMETER_DATA_DIR": str(CACHE),
    }
    log = home / "server.log"
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "app.cli", "serve"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
    try:
        assert process.stdout
        line = process.stdout.readline()
        address = next((word for word in line.split() if word.startswith("http")), None)
        assert address, f"the server did not start:\n{log.read_text()[-3000:]}"
        yield address
    finally:
        process.terminate()
        try:
            process.wait(timeout=STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close() if process.stdout else None


@dataclass(frozen=True)
class Filled:
    """The server with finished experiments: a backdoor of two seeds, and another attack on the
    setups of the first, whose title is an attempt to run a script.
    """

    server: str
    backdoors: tuple[int, int]
    other: int


@pytest.fixture(scope="session")
def filled(server: str) -> Filled:
    with Client(server) as bench:  # seeds that no other test draws its setups by
        launched = [
            bench.launch(SPEC | {"seed": 40}, title="A backdoor"),
            bench.launch(SPEC | {"seed": 41}, title="A backdoor"),
            bench.launch(SPEC | {"seed": 40, "attack": BULLSEYE}, title=HOSTILE),
        ]
        for item in launched:
            ended = bench.wait(item["id"], timeout_s=240)
            assert ended["state"] == "done", ended["error"]
    first, second, third = (item["id"] for item in launched)
    return Filled(server, (first, second), third)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if not Path(CHROMIUM).exists():
        missing = f"the browser tests need {CHROMIUM} (Debian's package chromium)"
        if os.environ.get("CI"):
            pytest.fail(missing, pytrace=False)
        pytest.skip(missing)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


Opened = Callable[..., Page]


@pytest.fixture
def opened(browser: Browser, server: str) -> Iterator[Opened]:
    """Opens pages that may talk to the server only, and must not complain in their console."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def open_page(path: str, *, with_scripts: bool = True) -> Page:
        context = browser.new_context(base_url=server, java_script_enabled=with_scripts)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda line: _note(complaints, line.type, line.text))
        page.on("request", lambda sent: _note_host(complaints, server, sent.url))
        page.goto(path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def _note(complaints: list[str], kind: str, text: str) -> None:
    # a refused form and a missing page are pages all the same; Chromium mentions their status
    if kind == "error" and not re.search("status of (404|422)", text):
        complaints.append(text)


def _note_host(complaints: list[str], server: str, url: str) -> None:
    if not url.startswith((server, "data:")):
        complaints.append(f"a request to another host: {url}")
