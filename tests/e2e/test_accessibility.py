"""axe-core on every page, with something on it: nothing serious by WCAG 2.2 AA, light and dark."""

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from tests.e2e.conftest import Filled
from tests.e2e.screenshots import SETTLE, THEMES, discover

RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
GRAVE = ("serious", "critical")
MORE = {
    "launch-scratch": "/experiments/new?attack.name=witches_brew&victims.0.regime=from_scratch",
    "attack-published": "/attacks/convex_polytope",
    "launch-random-trigger": "/experiments/new?attack.name=hidden_trigger_backdoor",
    "dataset": "/datasets/cifar10",
}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("theme", THEMES)
def test_axe_finds_nothing_serious_on_any_page(
    filled: Filled, browser: Browser, theme: Any
) -> None:
    context = browser.new_context(
        viewport={"width": 1440, "height": 900}, color_scheme=theme, reduced_motion="reduce"
    )
    page = context.new_page()
    pages = (
        discover(page, filled.server)
        | MORE
        | {"compare": f"/compare?ids={filled.backdoors[0]},{filled.other}"}
    )
    assert {"trial", "experiment", "checkpoint"} <= pages.keys()
    found = []
    for name, path in pages.items():
        page.goto(filled.server + path)
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
