"""A browser reads what there is: galleries, comparisons, lists; by keys, by pointer, by neither."""

import csv
import io
import re
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.conftest import HOSTILE, Filled, Opened

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
NOTE = "Why it fails. " + "x" * 10_000


def trial(filled: Filled, number: int = 0) -> str:
    return f"/experiments/{filled.other}/trials/{number}"


# --- galleries ----------------------------------------------------------------------------------


def shown_of_base(slider: Locator) -> str:
    style: str = slider.locator(".over img").evaluate("image => image.style.clipPath")
    return style


def test_the_slider_goes_by_keys_and_by_pointer(opened: Opened, filled: Filled) -> None:
    page = opened(trial(filled))
    slider, handle = page.locator("[data-slider]"), page.locator("#closely-slider")
    expect(handle).to_be_visible()
    handle.focus()
    page.keyboard.press("Home")
    assert shown_of_base(slider) == "inset(0px 0px 0px 0%)"
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    assert shown_of_base(slider) == "inset(0px 0px 0px 3%)"
    expect(handle).to_have_attribute("aria-valuetext", "3 % base, 97 % poison")
    box = handle.bounding_box()
    assert box
    handle.click(position={"x": box["width"] * 0.75, "y": box["height"] / 2})
    assert 70 <= int(handle.input_value()) <= 80
    where = handle.input_value()
    page.get_by_role("link", name="Next poison").click()
    expect(page.locator("#closely-head")).to_contain_text("Poison 2 of 5")
    expect(handle).to_have_value(where)  # kept, so that poisons can be compared at one place
    assert shown_of_base(slider) == f"inset(0px 0px 0px {where}%)"


def test_arrow_keys_walk_poisons_where_one_looks_at_them_and_trials_elsewhere(
    opened: Opened, filled: Filled
) -> None:
    page = opened(trial(filled))
    links = page.locator("ol.gallery[data-walk] a")
    links.first.focus()
    page.keyboard.press("ArrowRight")
    expect(links.nth(1)).to_be_focused()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")  # there is none before the first
    expect(links.first).to_be_focused()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_url("**?poison=1#closely")
    page.evaluate("window.wasNotReloaded = true")
    page.locator("#closely").focus()
    for number in (3, 4, 5):
        page.keyboard.press("ArrowRight")
        expect(page.locator("#closely-head")).to_contain_text(f"Poison {number} of 5")
    page.keyboard.press("ArrowRight")  # the last: it stays
    expect(page.locator("#closely-head")).to_contain_text("Poison 5 of 5")
    assert page.evaluate("window.wasNotReloaded") is True
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("ArrowRight")
    page.wait_for_url(f"**{trial(filled, 1)}")


def test_keys_that_come_faster_than_poisons_are_not_lost(opened: Opened, filled: Filled) -> None:
    page = opened(trial(filled))
    page.locator("#closely").focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowRight", "ArrowRight", "ArrowLeft"):
        page.keyboard.press(key)
    expect(page.locator("#closely-head")).to_contain_text("Poison 4 of 5")


def test_one_setup_under_every_attack_at_one_scale(opened: Opened, filled: Filled) -> None:
    page = opened(trial(filled))
    page.get_by_role("link", name="The same setup under other attacks").click()
    expect(page.locator("article.on-setup")).to_have_count(2)
    found = page.locator("img[src*='/difference/']").evaluate_all(
        "images => images.map(image => new URL(image.src).search)"
    )
    assert len(found) == 10 and set(found) == {"?factor=3"}  # the larger budget is 32/255
    expect(page.locator("#attacks + span")).to_contain_text("amplified 3 times")


# --- comparing ----------------------------------------------------------------------------------


def cells(table: Locator) -> list[list[str]]:
    """What each cell of the table's body says, apart from what stands small below it."""
    found: list[list[str]] = table.evaluate(
        """table => [...table.tBodies[0].rows].map(row => [...row.cells]
            .filter(cell => !("axis" in cell.dataset)).map(cell => {
              const copy = cell.cloneNode(true);
              for (const sub of copy.querySelectorAll(".cell-sub")) sub.remove();
              return copy.textContent.replace(/\\s+/g, " ").trim();
            }))"""
    )
    return found


def table_of(path: Path) -> list[list[str]]:
    """The body of a CSV file, which begins with lines that say where it is from."""
    lines = [line for line in path.read_text("utf-8-sig").splitlines() if line[:1] != "#"]
    return list(csv.reader(io.StringIO("\n".join(lines))))[1:]


def tick(page: Page, ids: tuple[int, ...]) -> None:
    for number in ids:
        page.locator(f"input[name=ids][value='{number}']").check()


def test_two_are_ticked_compared_pivoted_and_taken_away(opened: Opened, filled: Filled) -> None:
    page = opened("/experiments?group=no&state=done")
    tick(page, (filled.backdoors[0], filled.other))
    page.get_by_role("button", name="Compare").click()
    expect(page.locator("ol.sides li")).to_have_count(2)
    expect(page.locator(".answer")).to_contain_text(re.compile("chance|told apart"))
    page.locator("#pivot-rows").select_option("attack.name")
    page.locator("#pivot-columns").select_option("attack.eps_255")
    page.get_by_role("button", name="Show", exact=True).click()
    page.wait_for_url("**columns=attack.eps_255**")
    for key in ("rates", "pivot"):
        shown = cells(page.locator(f"table[data-table={key}]"))
        with page.expect_download() as download:
            page.locator(f"a[href*='table={key}&format=csv']").click()
        written = table_of(Path(download.value.path()))
        assert len(written) == len(shown) > 0
        for row, line in zip(shown, written, strict=True):
            for said in row:
                assert said in " ".join(line), f"{said!r} is on the screen and not in {line}"


# --- the list -----------------------------------------------------------------------------------


def test_a_view_is_saved_opened_and_removed(opened: Opened, filled: Filled) -> None:
    page = opened("/experiments?attack=clean_label_backdoor&group=no")
    page.get_by_text("Saved views").click()
    page.get_by_label("Name of the view").fill("backdoors <i>only</i>")
    page.get_by_role("button", name="Save what is shown").click()
    page.goto("/experiments")
    page.get_by_role("link", name="backdoors <i>only</i>").click()
    expect(page.locator("#filter-attack")).to_have_value("clean_label_backdoor")
    expect(page.locator("#rows tbody tr")).to_have_count(2)
    page.get_by_role("button", name="Remove the view backdoors <i>only</i>").click()
    expect(page.get_by_role("link", name="backdoors <i>only</i>")).to_have_count(0)


def test_what_is_ticked_is_tagged_archived_and_put_back(opened: Opened, filled: Filled) -> None:
    page = opened("/experiments?attack=clean_label_backdoor&group=no")
    page.get_by_label("Tick all rows of this page").check()
    page.get_by_label("Tags to add").fill("first look")
    page.get_by_role("button", name="Add tags").click()
    expect(page.get_by_role("status")).to_contain_text("2 experiments")
    page.goto("/experiments?tag=first+look&group=no")
    expect(page.locator("#rows tbody tr")).to_have_count(2)
    tick(page, (filled.backdoors[1],))
    page.get_by_role("button", name="Archive").click()
    expect(page.locator("#rows tbody tr")).to_have_count(1)
    page.goto("/experiments?tag=first+look&group=no&archived=yes")
    tick(page, (filled.backdoors[1],))
    page.get_by_role("button", name="Put back").click()
    expect(page.locator("body")).to_contain_text("No experiment matches these filters")


# --- what should not be there -------------------------------------------------------------------


def test_a_long_note_and_html_in_a_title_are_text(opened: Opened, filled: Filled) -> None:
    page = opened(f"/experiments/{filled.other}")
    page.get_by_text("Edit tags and notes").click()
    page.locator("#note-text").fill(f"{NOTE}\n{HOSTILE}")
    page.get_by_role("button", name="Keep").click()
    expect(page.locator("p.notes")).to_contain_text(NOTE)
    expect(page.locator("p.notes")).to_contain_text(HOSTILE)
    for path in (f"/experiments/{filled.other}", "/experiments?cols=notes&cols=tags", "/",
                 f"/compare?ids={filled.backdoors[0]},{filled.other}", trial(filled),
                 f"/setups?experiment={filled.other}&trial=0",
                 f"/experiments/new?clone={filled.other}"):  # fmt: skip
        page.goto(path)
        assert page.title() != "1", f"a title was executed on {path}"
        assert page.locator("img[src=x]").count() == 0
        wide = page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        assert wide <= 0, f"{path} is {wide} px too wide"


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/experiments?state=nonsense", 422, "state"),
        ("/experiments?least=200", 422, "least"),
        ("/experiments?colour=red", 422, "colour"),
        ("/experiments?cursor=eyJ4IjoxfQ", 422, "cursor"),
        ("/experiments/999999", 404, "there is no experiment 999999"),
        ("/experiments/1/trials/999999", 404, "has no trial 999999"),
        ("/compare?ids=1,999999", 404, "999999"),
        ("/attacks/bullseye_polytop", 404, "bullseye_polytope"),
        ("/nowhere", 404, "404"),
    ],
)
def test_a_wrong_address_is_a_page_that_says_what_is_wrong(
    opened: Opened, filled: Filled, path: str, status: int, said: str
) -> None:
    page = opened("/about")
    answer = page.goto(path)
    assert answer is not None and answer.status == status
    expect(page.locator("main")).to_contain_text(said)
    expect(page.get_by_role("link", name="Experiments").first).to_be_visible()


def test_a_cursor_of_another_list_is_refused_in_words(opened: Opened, filled: Filled) -> None:
    page = opened("/about")
    answer = page.request.get(f"/api/v1/experiments/{filled.other}/trials?limit=1")
    cursor = answer.json()["next"]
    assert cursor
    refused = page.goto(f"/experiments?cursor={cursor}")
    assert refused is not None and refused.status == 422
    expect(page.locator("main")).to_contain_text("cursor")


# --- without JavaScript -------------------------------------------------------------------------


def test_everything_can_be_read_without_javascript(opened: Opened, filled: Filled) -> None:
    page = opened("/experiments?group=no&state=done", with_scripts=False)
    tick(page, (filled.backdoors[0], filled.other))
    page.get_by_role("button", name="Compare").click()
    expect(page.locator("table[data-table=rates] tbody tr")).not_to_have_count(0)
    page.goto(trial(filled))
    expect(page.locator("#closely-slider")).to_be_hidden()
    expect(page.locator("#closely img.pixels")).to_have_count(3)
    page.get_by_role("link", name="Next poison").click()
    expect(page.locator("#closely-head")).to_contain_text("Poison 2 of 5")
    page.goto("/experiments/new?attack.name=hidden_trigger_backdoor&seed=3")
    expect(page.locator("svg.patch")).to_be_visible()
    for path in ("/attacks/bullseye_polytope", f"/setups?experiment={filled.other}&trial=0",
                 "/leaderboard", "/studies", "/sweeps", "/about"):  # fmt: skip
        answer = page.goto(path)
        assert answer is not None and answer.status == 200
        expect(page.locator("h1")).to_be_visible()
