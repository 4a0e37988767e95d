"""axe-core on every page, with something on it: nothing serious by WCAG 2.2 AA, light and dark."""

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from app.client import Client
from tests.e2e.screenshots import SETTLE, THEMES, discover

RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
GRAVE = ("serious", "critical")
SPEC = {
    "attack": {"name": "clean_label_backdoor", "eps_255": 32, "steps": 4},
    "surrogates": ["convnet3-digits_5_9-s0"],
    "victims": [{"regime": "frozen", "checkpoint": "convnet3-digits_0_4-s0"}],
    "data": {"dataset": "digits_5_9", "train_size": 100, "poisons": 5},
    "trials": 5,
    "profile": "smoke",
}
MORE = {
    "launch-scratch": "/experiments/new?attack.name=witches_brew&victims.0.regime=from_scratch",
    "compare": "/compare?ids=1,2",
    "dataset": "/datasets/cifar10",
}


@pytest.fixture(scope="module")
def filled(server: str) -> str:
    """The server with a finished experiment, or several."""
    with Client(server) as bench:
        for seed in (0, 1):
            launched = bench.launch(SPEC | {"seed": seed}, title="A backdoor")
            ended = bench.wait(launched["id"], timeout_s=240)
            assert ended["state"] == "done", ended["error"]
    return server


@pytest.mark.timeout(600)
@pytest.mark.parametrize("theme", THEMES)
def test_axe_finds_nothing_serious_on_any_page(filled: str, browser: Browser, theme: Any) -> None:
    context = browser.new_context(
        viewport={"width": 1440, "height": 900}, color_scheme=theme, reduced_motion="reduce"
    )
    page = context.new_page()
    pages = discover(page, filled) | MORE
    assert {"trial", "experiment", "checkpoint"} <= pages.keys()
    found = []
    for name, path in pages.items():
        page.goto(filled + path)
        page.evaluate(SETTLE)
        result = Axe().run(page, options=RULES)
        found += [
            f"{name}: {one['id']} ({one['impact']}), {one['help']}: "
            + "; ".join(" ".join(map(str, node["target"])) for node in one["nodes"][:3])
            for one in result.response["violations"]
            if one["impact"] in GRAVE
        ]
    context.close()
    assert not found, "\n".join(found)
