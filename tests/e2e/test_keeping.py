"""A browser at the pages around the experiments: the queue, tokens, checkpoints, pictures."""

import io
import re
from pathlib import Path

import pytest
import torch
from PIL import Image
from playwright.sync_api import expect

from poisoning import shipped
from poisoning.models import build
from tests.e2e.conftest import HOSTILE, PATIENCE_MS, Filled, Opened

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
SHIPPED = shipped.FOLDER / "convnet3-cifar100-8ep-s0"


@pytest.mark.parametrize("with_scripts", [True, False])
def test_the_queue_leads_to_what_ended(opened: Opened, filled: Filled, with_scripts: bool) -> None:
    page = opened("/queue", with_scripts=with_scripts)
    expect(page.locator("#ended")).to_be_visible()
    # how many jobs an experiment is cut into, and so which are the latest, depends on the machine
    link = page.locator("section[aria-labelledby=ended] table a[href^='/experiments/']").first
    address = link.get_attribute("href")
    link.click()
    page.wait_for_url(f"**{address}")


def test_a_token_is_made_copied_and_revoked(opened: Opened) -> None:
    page = opened("/tokens")
    page.get_by_label("Name: whose it is").fill(HOSTILE)
    page.get_by_label("Days until it expires").fill("7")
    page.get_by_role("button", name="Make a token").click()
    secret = page.locator("pre[data-copy]").first
    expect(secret).to_have_text(re.compile("^dosimeter_"))
    expect(page.get_by_role("button", name="Copy").first).to_be_visible()
    page.goto("/tokens")
    expect(page.locator("pre[data-copy]")).to_have_count(0)
    page.get_by_role("button", name=f"Revoke {HOSTILE}").click()
    expect(page.locator("td", has_text="revoked")).to_be_visible()
    assert page.title() != "1"


@pytest.mark.parametrize("with_scripts", [True, False])
def test_a_checkpoint_is_brought_in_and_taken_away(opened: Opened, with_scripts: bool) -> None:
    page = opened("/checkpoints", with_scripts=with_scripts)
    page.locator("#import-file").set_input_files(SHIPPED.with_name(f"{SHIPPED.name}.safetensors"))
    page.locator("#import-card").set_input_files(SHIPPED.with_name(f"{SHIPPED.name}.json"))
    page.get_by_role("button", name="Bring it in").click()
    page.wait_for_url(f"**/checkpoints/{SHIPPED.name}")
    expect(page.locator(".answer")).to_contain_text("says the card it came with")
    with page.expect_download() as download:
        page.get_by_role("link", name="its weights").click()
    brought = SHIPPED.with_name(f"{SHIPPED.name}.safetensors").read_bytes()
    assert Path(download.value.path()).read_bytes() == brought


def test_weights_trained_elsewhere_are_read_and_judged(opened: Opened, tmp_path: Path) -> None:
    state = {f"module.{key}": value for key, value in build("convnet3", 5).state_dict().items()}
    torch.save({"net": state, "epoch": 3}, tmp_path / "theirs.pth")
    page = opened("/checkpoints")
    page.locator("#adopt-file").set_input_files(tmp_path / "theirs.pth")
    page.locator("#adopt-name").fill("theirs")
    page.locator("#adopt-model").select_option("convnet3")
    page.locator("#adopt-dataset").select_option("digits_0_4")
    page.get_by_role("button", name="Read and judge it").click()
    page.wait_for_url("**/checkpoints/theirs")
    expect(page.locator(".answer")).to_contain_text("measured here", timeout=PATIENCE_MS)
    expect(page.get_by_text("theirs.pth", exact=True)).to_be_visible()


def test_a_gallery_is_taken_away_as_one_picture(opened: Opened, filled: Filled) -> None:
    page = opened(f"/experiments/{filled.other}/trials/0")
    with page.expect_download() as download:
        page.get_by_role("link", name="all in one PNG").click()
    assert re.fullmatch(r"poison-set-[0-9a-f]{12}\.png", download.value.suggested_filename)
    with Image.open(io.BytesIO(Path(download.value.path()).read_bytes())) as picture:
        assert picture.width > 5 * 64


def test_on_a_phone_every_page_of_the_site_is_in_sight(opened: Opened) -> None:
    page = opened("/about")
    page.set_viewport_size({"width": 390, "height": 844})
    for link in page.locator(".site-nav a").all():
        box = link.bounding_box()
        assert box and box["x"] >= 0 and box["x"] + box["width"] <= 390 and box["height"] >= 24
