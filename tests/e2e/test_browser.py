"""A browser drives the real stack: server, worker, database, a child that trains networks."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import PATIENCE_MS, Opened

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]
EXTRACTOR = "convnet3-digits_0_4-s0"


def fill(page: Page, title: str, trials: int, steps: int) -> None:
    """A small experiment on the digits: one surrogate, one white-box victim."""
    page.locator("#attack-eps_255").fill("32")
    page.locator("#attack-steps").fill(str(steps))
    box = page.locator(f'input[name="surrogates"][value="{EXTRACTOR}"]')
    if not box.is_visible():
        page.get_by_text("that would be trained first").click()
    box.check()
    page.locator("#victims-0-checkpoint").select_option(EXTRACTOR)
    page.locator("#data-train_size").fill("100")
    page.locator("#trials").fill(str(trials))
    page.locator("#profile").select_option("smoke")
    page.locator("#title").fill(title)


def launch(page: Page) -> int:
    """Press the button; the number of the experiment whose page opens."""
    page.get_by_role("button", name="Launch", exact=True).click()
    page.wait_for_url(re.compile(r"/experiments/\d+$"))
    return int(page.url.rpartition("/")[2])


def state_of(page: Page) -> str:
    return page.locator("h1 .state").inner_text()


def assert_gallery(page: Page) -> None:
    """Bases, poisons, differences and the target are there, crisp and at a whole multiple."""
    images = page.locator("img.pixels")
    assert images.count() == 1 + 3 * 5 + 3, "target, five poisons, one of them again closely"
    for index in range(images.count()):
        image = images.nth(index)
        image.scroll_into_view_if_needed()
        expect(image).to_have_js_property("complete", True)
        assert image.evaluate("i => i.naturalWidth") == 32
        assert int(image.get_attribute("width") or 0) % 32 == 0
        assert image.evaluate("i => getComputedStyle(i).imageRendering") == "pixelated"


def test_launch_watch_and_look_into_the_gallery(opened: Opened) -> None:
    page = opened("/experiments/new")
    fill(page, "watched live", trials=4, steps=40)
    expect(page.locator("#bill .total")).to_contain_text("about")
    number = launch(page)
    page.evaluate("window.wasNotReloaded = true")
    expect(page.locator("h1 .state")).to_have_text("done", timeout=PATIENCE_MS)
    assert page.evaluate("window.wasNotReloaded") is True
    expect(page.locator(".answer")).to_contain_text("of 4 white-box victims")
    expect(page.locator('tr[id^="trial-"]')).to_have_count(4)
    page.locator("#trial-0 a").click()
    expect(page.locator("h1")).to_contain_text("Trial 0")
    assert_gallery(page)
    page.keyboard.press("ArrowRight")
    page.wait_for_url(f"**/experiments/{number}/trials/1")
    with page.expect_download() as download:
        page.get_by_text("Download poison set").click()
    assert download.value.suggested_filename.endswith(".safetensors")
    page.goto("/leaderboard")
    expect(page.locator("table.data").first).to_contain_text("of 4 trials")


def test_a_press_survives_the_new_estimate_that_it_calls_for(opened: Opened) -> None:
    """Pressing the button takes the focus off a field, whose change makes a new estimate."""
    page = opened("/experiments/new")
    fill(page, "pressed slowly", trials=2, steps=20)
    with page.expect_response(lambda answer: "title=pressed" in answer.url):
        page.get_by_role("button", name="Launch", exact=True).hover()
        page.mouse.down()
    expect(page.locator("#bill .total")).to_contain_text("about")
    page.mouse.up()
    page.wait_for_url(re.compile(r"/experiments/\d+$"))


def test_cancel_and_clone(opened: Opened) -> None:
    page = opened("/experiments/new")
    fill(page, "to be cancelled", trials=200, steps=5000)
    number = launch(page)
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("h1 .state")).to_have_text("cancelled", timeout=PATIENCE_MS)
    expect(page.get_by_role("button", name="Retry")).to_be_visible()
    page.get_by_role("link", name="Clone").click()
    expect(page.locator("#title")).to_have_value("to be cancelled")
    expect(page.locator("#attack-steps")).to_have_value("5000")
    page.locator("#attack-steps").fill("20")
    page.locator("#trials").fill("2")
    clone = launch(page)
    assert clone != number
    expect(page.locator(".crumbs")).to_contain_text(f"clone of #{number}")
    expect(page.locator("h1 .state")).to_have_text("done", timeout=PATIENCE_MS)


def test_switching_the_attack_swaps_its_knobs_in_place(opened: Opened) -> None:
    page = opened("/experiments/new")
    page.evaluate("window.wasNotReloaded = true")
    page.locator("#attack-eps_255").fill("24")
    page.locator("#attack-name").select_option("feature_collision")
    expect(page.locator("#attack-watermark")).to_have_value("0.3")
    expect(page.locator("#attack-eps_255")).to_have_value("24")
    page.get_by_role("button", name="Add a victim").click()
    expect(page.locator(".victim")).to_have_count(2)
    page.get_by_role("button", name="Remove victim 2").click()
    expect(page.locator(".victim")).to_have_count(1)
    assert page.evaluate("window.wasNotReloaded") is True


def test_everything_works_without_javascript(opened: Opened) -> None:
    page = opened("/experiments/new", with_scripts=False)
    page.locator("#attack-name").select_option("feature_collision")
    page.get_by_role("button", name="Show its knobs").click()
    expect(page.locator("#attack-watermark")).to_be_visible()
    fill(page, "without scripts", trials=2, steps=20)
    page.get_by_role("button", name="Estimate", exact=True).click()
    expect(page.locator("#bill .total")).to_contain_text("about")
    page.locator("#attack-eps_255").fill("-3")
    page.get_by_role("button", name="Launch", exact=True).click()
    expect(page.locator("#attack-eps_255-error")).to_contain_text("above 0")
    expect(page.locator("#title")).to_have_value("without scripts")
    page.locator("#attack-eps_255").fill("32")
    launch(page)
    # the page reloads itself while the experiment runs
    expect(page.locator("h1 .state")).to_have_text("done", timeout=PATIENCE_MS)
    page.locator("#trial-1 a").click()
    assert page.locator("ol.gallery img.pixels").count() == 3 * 5
    page.get_by_role("link", name="Previous").click()
    expect(page.locator("h1")).to_contain_text("Trial 0")
    for path in ("/", "/leaderboard", "/experiments", "/checkpoints", "/studies", "/workers"):
        page.goto(path)
        expect(page.locator("h1")).to_be_visible()


@pytest.mark.parametrize("width", [390, 1440, 2560])
def test_no_page_is_wider_than_its_window(opened: Opened, width: int) -> None:
    page = opened("/")
    page.set_viewport_size({"width": width, "height": 900})
    for path in ("/", "/leaderboard", "/experiments", "/experiments/new", "/experiments/1",
                 "/experiments/1/trials/0", "/checkpoints", "/studies", "/attacks", "/workers",
                 "/about", "/docs"):  # fmt: skip
        page.goto(path)
        wide = page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        assert wide <= 0, f"{path} is {wide} px too wide at {width} px"
