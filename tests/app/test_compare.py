"""Side by side: what differs, paired tests against a plain loop, files that equal the screen."""

import csv
import io
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app import models
from app.db import Database
from app.errors import Invalid, NotFound
from app.queries import compare
from app.services import exports, sums
from app.services.exports import Cell, Column, Origin, Table
from app.settings import Settings
from poisoning import params, stats
from tests.app import rows
from tests.app import workbench as bench

PAGE = {"Accept": "text/html", "Sec-Fetch-Site": "same-origin"}
HOSTILE = "<b>=1+1|& 50 %</b>"


@pytest.fixture
def three(database: Database, settings: Settings) -> Database:
    """Two attacks on the same setups, 14 trials each, and the same attack with another budget."""
    with database.write() as session:
        rows.ready_checkpoints(session)
        first = rows.launched(session, settings, params.BullseyePolytope(eps_255=32), done=14)
        second = rows.launched(session, settings, params.FeatureCollision(eps_255=32), done=14)
        rows.launched(session, settings, params.BullseyePolytope(eps_255=8), done=6, title=HOSTILE)
        for one, other in zip(first.trials, second.trials, strict=True):
            for name in ("target_class", "target_index", "base_class", "base_indices"):
                setattr(other, name, getattr(one, name))
        session.flush()
        sums.recount(session)
    return database


@pytest.fixture
def browser(application: FastAPI, three: Database, client: TestClient) -> Iterator[TestClient]:
    client.headers.update(PAGE)
    yield client


def got(database: Database, text: str) -> compare.Comparison:
    with database.read() as session:
        return compare.get(session, compare.parse(text))


def test_what_differs_comes_apart_from_what_is_the_same(three: Database) -> None:
    found = got(three, "1,3")
    assert [row.field for row in found.differences] == ["attack.eps_255"]
    assert found.differences[0].values == [32, 8]
    assert found.same["data.dataset"] == "digits_5_9" and "attack.eps_255" not in found.same


def test_a_field_that_only_one_side_has_differs(three: Database) -> None:
    found = got(three, "1,2")
    values = {row.field: row.values for row in found.differences}
    assert values["attack.name"] == ["bullseye_polytope", "feature_collision"]
    only = set(params.FeatureCollision.model_fields) - set(params.BullseyePolytope.model_fields)
    assert only and all(values[f"attack.{name}"][0] is None for name in only)


def test_a_victim_that_a_side_lacks_is_one_line(database: Database, settings: Settings) -> None:
    victims = bench.raw_spec()["victims"]
    for its in (victims[:1], victims, victims[:1]):
        bench.launch(database, settings, victims=its)
    values = {row.field: row.values for row in got(database, "1,2").differences}
    assert list(values) == ["victims.1"]
    nothing, said = values["victims.1"]
    assert nothing is None and said.startswith("only here: ") and said.endswith("frozen")
    # where several have it, none says that it is the only one, and what they differ in stays
    other = [victims[0], victims[1] | {"label": "another name"}]
    bench.launch(database, settings, victims=other)
    three = {row.field: row.values for row in got(database, "1,2,4").differences}
    assert list(three) == ["victims.1.label", "victims.1"]
    assert three["victims.1"][0] is None and "only" not in str(three)


def test_pairs_are_what_a_plain_loop_counts(three: Database) -> None:
    found = got(three, "1,2")
    assert [(pair.first, pair.second) for pair in found.pairs] == [("A", "B")] * 2
    with three.read() as session:
        one, other = (session.get_one(models.Experiment, number) for number in (1, 2))
        for victim, pair in enumerate(found.pairs):
            counts = {(a, b): 0 for a in (True, False) for b in (True, False)}
            for a in one.trials[:14]:
                b = next(t for t in other.trials if t.base_indices == a.base_indices)
                counts[a.outcomes[victim].success, b.outcomes[victim].success] += 1
            assert (pair.shared, pair.both) == (14, counts[True, True])
            only = counts[True, False], counts[False, True]
            assert (pair.only_first, pair.only_second) == only
            assert pair.p == pytest.approx(stats.mcnemar(*only))
            assert len(pair.disagreements) == sum(only)
            assert f"On 14 shared setups, {only[0]} fell only to A" in pair.words


def test_without_shared_setups_nothing_is_tested(three: Database) -> None:
    [pair, _] = got(three, "1,3").pairs
    assert pair.shared == 0 and "share no setup" in pair.words


def test_seeds_of_one_side_are_pooled_and_a_rerun_counts_once(
    database: Database, settings: Settings
) -> None:
    for seed, successes in ((0, 4), (1, 2), (0, 4)):
        bench.launch(database, settings, seed=seed)
        bench.work_off(database, successes)
    bench.launch(database, settings, attack={"name": "feature_collision"})
    bench.work_off(database, 1)
    found = got(database, "1.2.3,4")
    a, *_ = found.results
    assert (a.side, a.success.successes, a.success.n) == ("A", 6, 8)
    assert {row.field: row.values[0] for row in found.differences}["seed"] == [0, 1]


@pytest.mark.parametrize("text", ["1,x", "1;2", "1,2,3,4,5,6,7,8,9", "1..2", "-1,2", "1" * 12])
def test_wrong_ids_are_refused(text: str) -> None:
    with pytest.raises(Invalid):
        compare.parse(text)


def test_ids_are_told_apart_and_must_exist(three: Database) -> None:
    assert compare.parse("1,1,2.3") == [[1], [2, 3]]
    with pytest.raises(NotFound, match="99"):
        got(three, "1,99")
    with pytest.raises(Invalid):
        got(three, "1")


# --- the page, and the files of it -----------------------------------------------------------


class Tables(HTMLParser):
    """The words of every exportable table: a cell's second line is a cell of its own."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: dict[str, list[list[list[str]]]] = {}
        self.rows: list[list[list[str]]] | None = None
        self.is_open = False
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        if tag == "table" and (key := given.get("data-table")):
            self.rows = self.found[key] = []
        elif self.rows is not None and tag == "tr":
            self.rows.append([])
        elif self.rows is not None and tag in ("td", "th"):
            self.is_open = "data-axis" not in given
            if self.is_open:
                self.rows[-1].append([""])
        elif self.is_open and given.get("class") in ("cell-sub", "visually-hidden"):
            self.rows[-1][-1].append("")  # type: ignore[index]

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self.is_open = False
        if tag == "table":
            self.rows = None

    def handle_data(self, data: str) -> None:
        if self.is_open and self.rows:
            self.rows[-1][-1][-1] += data


def on_screen(text: str, key: str) -> list[list[list[str]]]:
    """Rows of cells of lines; the head's first."""
    return [
        [[" ".join(line.split()) for line in cell] for cell in row]
        for row in Tables(text).found[key]
    ]


def in_csv(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines(keepends=True) if not line.startswith("# ")]
    return [[" ".join(t.split()) for t in row] for row in csv.reader(io.StringIO("".join(lines)))]


def equals_screen(shown: list[list[list[str]]], exported: list[list[str]]) -> None:
    """Cell by cell; the head says which columns have a second line. A file has "-" for "−"."""
    head, *body = shown
    wanted = [line.removeprefix("; below it: ") for cell in head for line in cell]
    assert exported[0] == wanted
    assert len(exported) == len(shown)
    for row, line in zip(body, exported[1:], strict=True):
        expected: list[str] = []
        for title, cell in zip(head, row, strict=True):
            expected += [text.replace("−", "-") for text in cell] + [""] * (len(title) - len(cell))
        assert [text.removeprefix("'") for text in line] == expected


@pytest.mark.parametrize("key", ["differences", "rates", "pairs", "pivot"])
@pytest.mark.parametrize("ids", ["1,2", "1,2,3"])
def test_a_file_equals_the_screen(browser: TestClient, key: str, ids: str) -> None:
    address = f"/compare?ids={ids}&rows=attack.name&columns=attack.eps_255&value=excess"
    shown = on_screen(browser.get(address).text, key)
    assert len(shown) > 2
    answer = browser.get(f"{address}&table={key}&format=csv")
    equals_screen(shown, in_csv(answer.text))
    notes = answer.text.splitlines()[:3]
    assert f"/compare?ids={ids}" in notes[0] and "taken 20" in notes[1] and "commit " in notes[2]
    as_json = browser.get(f"{address}&table={key}&format=json").json()
    as_words = [
        ["" if t is None else " ".join(t.split()) for t in line] for line in as_json["lines"]
    ]
    assert as_words == [[t.removeprefix("'") for t in line] for line in in_csv(answer.text)[1:]]
    assert "# " + as_json["notes"][0] == notes[0]


@pytest.mark.parametrize("form", ["csv", "json", "markdown", "latex"])
def test_every_format_holds_every_cell(form: str) -> None:
    columns = [
        Column("a", "Attack"),
        Column("b", "Success, % ± SE", "n"),
        Column("c", "", is_axis=True),
    ]
    table = Table(
        "t", "T", columns, [[Cell("=1+1 & {x}_y|<b>"), Cell("−85.0 ± 3", "5 of 6"), Cell("")]]
    )
    file = exports.export(table, form, Origin("http://x/?a=1", bench.AT, "abc123"))
    assert "abc123" in file.text and "http://x/?a=1" in file.text and "2026-03-02" in file.text
    if form == "csv":
        assert in_csv(file.text)[1] == ["'=1+1 & {x}_y|<b>", "-85.0 ± 3", "5 of 6"]
    if form == "json":
        assert json.loads(file.text)["lines"][0][1] == "-85.0 ± 3"
        assert json.loads(file.text)["lines"][0][2] == "5 of 6"
    if form == "markdown":
        assert r"=1+1 & {x}_y\|&lt;b>" in file.text and "| −85.0 ± 3 |" in file.text
    if form == "latex":
        assert r"\toprule" in file.text and file.text.startswith("% http://x/?a=1")
        assert r"=1{+}1 \& \{x\}\_y|$<$b$>$ & $-$85.0 $\pm$ 3 & 5 of 6 \\" in file.text


def test_the_page_says_who_wins_and_links_the_trials(browser: TestClient) -> None:
    text = browser.get("/compare?ids=1,2").text
    assert "shared setups" in text and "fell only to" in text
    assert re.search(r'href="/experiments/1/trials/\d+"', text)
    assert re.search(r'src="/poison-sets/[0-9a-f]{64}/poison/0.png"', text)


def test_one_experiment_asks_what_to_put_beside_it(browser: TestClient) -> None:
    assert "/compare?ids=1" in browser.get("/experiments/1").text
    text = browser.get("/compare?ids=1").text
    assert 'value="2"' in text and 'value="1"' in text
    answer = browser.get("/compare/with?ids=1&ids=2", follow_redirects=False)
    assert answer.headers["location"] == "/compare?ids=1,2"
    assert browser.get("/compare").status_code == 200


def test_a_pivot_pools_what_shares_both_fields(browser: TestClient) -> None:
    text = browser.get("/compare?ids=1,3&rows=attack.name&columns=access&value=success").text
    head, row = on_screen(text, "pivot")
    assert row[0] == ["bullseye_polytope"]
    assert [cell[1].endswith("of 20") for cell in row[1:]] == [True, True]
    assert [cell[0] for cell in head[1:]] == ["Black box", "White box"]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("ids=1,99", 404), ("ids=1,x", 422), ("ids=1,2&rows=nonsense", 422),
        ("ids=1,2&columns=%3Cb%3E", 422), ("ids=1,2&value=nonsense", 422),
        ("ids=1,2&nonsense=1", 422), ("ids=1,2&table=nonsense&format=csv", 404),
        ("ids=1,2&table=rates&format=exe", 422), ("ids=99", 404), ("ids=1,2,3,4,5,6,7,8,9", 422),
    ],
)  # fmt: skip
def test_a_wrong_address_is_a_page_that_says_so(
    browser: TestClient, query: str, status: int
) -> None:
    answer = browser.get(f"/compare?{query}")
    assert answer.status_code == status and "<html" in answer.text


def test_html_in_a_title_is_not_obeyed(browser: TestClient) -> None:
    for path in ("/compare?ids=1,3", "/compare?ids=1"):
        text = browser.get(path).text
        assert HOSTILE not in text and "&lt;b&gt;=1+1" in text


def test_the_api_says_the_same(browser: TestClient, three: Database) -> None:
    answer = browser.get("/api/v1/compare?ids=1,2").json()
    assert answer == got(three, "1,2").model_dump(mode="json")
    assert browser.get("/api/v1/compare?ids=1").status_code == 422
