"""What is exported of the list of experiments is what the page shows: all rows, chosen columns."""

import csv
import html
import io
import json
import re

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app import models
from app.web import experiments as pages
from app.web import listing
from poisoning import params
from tests.app import rows

ALL = "&".join(f"cols={column.key}" for column in listing.COLUMNS)


@pytest.fixture
def seeded(app: FastAPI, full: TestClient) -> TestClient:
    """Two seeds of one spec, tags and notes that every form has to escape."""
    settings = app.state.settings
    with app.state.database.write() as session:
        attack = params.BullseyePolytope(eps_255=16)
        for seed in range(2):
            made = rows.launched(session, settings, attack, done=3, trials=3, title="a | b & c, d")
            made.spec = made.spec | {"seed": seed}
            made.spec_hash, made.series = f"{seed}" * 64, "a" * 16
            made.tags, made.notes = ["table 3", "x|y"], "=1+1\n\nsecond line"
    return full


def shown(page: str) -> list[list[str]]:
    """The cells of the page's rows as words; what only a page has is left out."""
    body = page.partition("<tbody>")[2].partition("</tbody>")[0]
    body = re.sub(r'<td class="tick">.*?</td>', "", body, flags=re.S)
    found = []
    for row in re.findall(r"<tr>(.*?)</tr>", body, flags=re.S):
        cells = re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, flags=re.S)
        found.append([_plain(html.unescape(re.sub(r"<[^>]*>", " ", cell))) for cell in cells])
    return found


def _plain(text: str) -> str:
    return " ".join(re.sub(r"[;,]|: open them", " ", text).split())


def exported(client: TestClient, query: str) -> list[list[str]]:
    """The cells of the file, second lines back in the cells they are of."""
    table = client.get(f"/experiments?{query}&format=json").json()
    made = []
    for line in table["lines"]:
        cells = dict(zip(table["header"], line, strict=True))
        cells["Experiment"] += " " + cells.pop("Pooled")
        if "Profile" in cells:
            cells["Data · profile"] += " " + cells.pop("Profile")
        made.append([_plain(text) for text in cells.values()])
    return made


@pytest.mark.parametrize(
    "query",
    [ALL, f"{ALL}&group=no&sort=title&dir=down", "sort=success", "attack=bullseye_polytope",
     "cols=twin&cols=success&most=50", "text=queued&cols=created"],
)  # fmt: skip
def test_what_is_exported_is_what_is_shown(seeded: TestClient, query: str) -> None:
    # programs read JSON, and a page's minus is no minus to them
    page = seeded.get(f"/experiments?{query}").text.replace("\u2212", "-")
    on_the_page = shown(page)
    assert on_the_page and exported(seeded, query) == on_the_page


def test_every_row_is_in_the_file_and_a_cut_is_said(
    seeded: TestClient, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = app.state.settings
    with app.state.database.write() as session:
        for at in range(60):
            rows.launched(session, settings, params.FeatureCollision(eps_255=at % 60 + 1), trials=1)
    assert 'rel="next"' in seeded.get("/experiments?group=no").text
    with app.state.database.read() as session:
        count = session.query(models.Experiment).count()
    assert len(exported(seeded, "group=no")) == count > 60
    monkeypatch.setattr(pages, "EXPORTED", 7)
    said = f"cut after 7 of {count} rows"
    for form in ("csv", "json", "markdown", "latex"):
        text = seeded.get(f"/experiments?group=no&format={form}").text
        assert said in text, form
    assert said not in seeded.get("/experiments?group=no&text=queued&format=csv").text


def test_a_file_says_where_it_is_from_and_is_well_formed(seeded: TestClient) -> None:
    answer = seeded.get("/experiments?attack=bullseye_polytope&cols=tags&cols=notes&format=csv")
    assert answer.headers["content-type"].startswith("text/csv")
    assert "dosimeter-experiments.csv" in answer.headers["content-disposition"]
    comments = [line for line in answer.text.splitlines() if line.startswith("# ")]
    assert "/experiments?attack=bullseye_polytope&cols=tags&cols=notes" in comments[0]
    assert "format" not in comments[0]
    lines = [line for line in answer.text.splitlines() if not line.startswith("# ")]
    header, first, *_ = csv.reader(io.StringIO("\n".join(lines)))
    assert header == ["Experiment", "Pooled", "Tags", "Notes"]
    assert first[0].endswith("a | b & c, d") and first[1:3] == ["2 seeds pooled", "table 3, x|y"]
    assert first[3] == "'=1+1 second line"  # no spreadsheet takes it for a formula
    table = json.loads(seeded.get("/experiments?format=json").text)
    assert table["header"][0] == "Experiment"
    assert r"a | b \& c, d" in seeded.get("/experiments?format=latex").text
    assert r"a \| b & c, d" in seeded.get("/experiments?format=markdown").text
    assert seeded.get("/experiments?format=xlsx").status_code == 422
