"""The list pools over seeds, counts a seed once, sorts, pages by keyset; views, tags, archive."""

import random
import re
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from app import db
from app.db import Database
from app.errors import Conflict, Invalid, NotFound
from app.main import create_app
from app.models import OutcomeSum
from app.queries import experiment_list, experiments, leaderboards
from app.queries.experiment_list import Order
from app.queries.experiments import Filters
from app.schemas import ExperimentSeries, Page
from app.services import notes, views
from app.settings import Settings
from tests.app import workbench as bench
from tests.app.conftest import LOCAL

CONTROL = {"attack": {"name": "no_perturbation"}, "surrogates": []}
PAGE = {"Accept": "text/html", "Sec-Fetch-Site": "same-origin"}


def run(database: Database, settings: Settings, successes: int, **changes: object) -> int:
    number = bench.launch(database, settings, **changes)
    bench.work_off(database, successes)
    return number


def listed(
    database: Database, cursor: str | None = None, limit: int = 50, **asked: object
) -> Page[ExperimentSeries]:
    """One page; ``asked`` are filters and parts of the order."""
    of_order = {k: v for k, v in asked.items() if k in Order.model_fields}
    filters = Filters.model_validate({k: v for k, v in asked.items() if k not in of_order})
    with database.read() as session:
        order = Order.model_validate(of_order)
        return experiment_list.page(session, filters, order, cursor, limit)


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Path:
    """Ids 1 to 3: seeds of one spec; 4: seed 0 again; 5: the control."""
    home = tmp_path_factory.mktemp("seeded")
    settings = Settings(_env_file=None, home=home, memory_mib=8192, threads=2, workers=1)
    shutil.copyfile(migrated, settings.root / "dosimeter.db")
    database = db.open_database(settings)
    for seed, successes in ((0, 4), (1, 2), (2, 0)):
        run(database, settings, successes, seed=seed)
    run(database, settings, 4, seed=0)
    run(database, settings, 0, **CONTROL)
    with sqlite3.connect(settings.root / "dosimeter.db") as connection:
        connection.execute(f"VACUUM INTO '{home}/copy.db'")
    connection.close()
    database.close()
    return home / "copy.db"


@pytest.fixture
def three_seeds(settings: Settings, seeded: Path) -> Iterator[Database]:
    shutil.copyfile(seeded, settings.root / "dosimeter.db")
    opened = db.open_database(settings)
    yield opened
    opened.close()


@pytest.fixture
def client(settings: Settings, three_seeds: Database) -> Iterator[TestClient]:
    with TestClient(create_app(settings), base_url=LOCAL, raise_server_exceptions=False) as opened:
        yield opened


def test_seeds_are_one_row_and_a_seed_counts_once(three_seeds: Database) -> None:
    control, pooled = listed(three_seeds).items
    assert (control.ids, control.seeds) == ([5], 1)
    assert (pooled.ids, pooled.seeds, pooled.states) == ([4, 3, 2, 1], 3, {"done": 4})
    white = pooled.newest.victims[0].success
    assert white is not None and (white.successes, white.n) == (6, 12)
    assert (pooled.trials_done, pooled.trials_total) == (16, 16)


def test_what_is_shown_is_what_it_is_sorted_and_filtered_by(three_seeds: Database) -> None:
    """6 of 12 with the repeated seed counted once; 10 of 16 if it counted twice."""
    assert [len(row.ids) for row in listed(three_seeds, low=0.49, high=0.51).items] == [4]
    assert listed(three_seeds, low=0.6).items == []
    upward = listed(three_seeds, by="success", descending=False)
    assert [row.ids[0] for row in upward.items] == [5, 4]


def test_the_order_by_success_is_that_of_the_rates_shown(
    three_seeds: Database, settings: Settings
) -> None:
    """Seeds run again with fewer, as many and more trials judged, two victims, two accesses."""
    chance = random.Random(1)
    for at in range(24):
        run(
            three_seeds, settings, at % 5, seed=at % 4, profile=("smoke", "quick", "paper")[at // 8]
        )
    with three_seeds.write() as session:
        for kept in session.scalars(select(OutcomeSum)):
            kept.n = chance.randint(1, 9)
            kept.successes = chance.randint(0, kept.n)
    for access in (None, "white_box", "black_box"):
        found = listed(three_seeds, by="success", access=access).items
        rates = [_best(row, access) for row in found]
        assert rates == sorted(rates, reverse=True) and rates[0] > rates[1]
        middle = (rates[0] + rates[1]) / 2
        assert [row.ids for row in listed(three_seeds, access=access, low=middle).items] == [
            found[0].ids
        ]


def _best(row: ExperimentSeries, access: str | None) -> float:
    judged = [v for v in row.newest.victims if v.success and access in (None, v.access)]
    return max(v.success.rate for v in judged if v.success)


def test_filters_choose_the_members_too(three_seeds: Database, settings: Settings) -> None:
    run(three_seeds, settings, 1, seed=7, profile="paper")
    [row] = listed(three_seeds, profile="paper").items
    assert row.ids == [6]
    assert [r.ids for r in listed(three_seeds, access="white_box", grouped=False).items] == [
        [6], [4], [3], [2], [1]
    ]  # fmt: skip
    assert listed(three_seeds, regime="from_scratch").items == []
    assert listed(three_seeds, since="2026-03-03").items == []
    assert len(listed(three_seeds, until="2026-03-02").items) == 3


@pytest.mark.parametrize("by", ["created", "title", "attack", "trials", "seeds", "success"])
@pytest.mark.parametrize("descending", [True, False])
def test_pages_hold_every_row_once_in_order(
    three_seeds: Database, by: str, descending: bool
) -> None:
    asked = {"by": by, "descending": descending, "grouped": False}
    whole = [row.ids[0] for row in listed(three_seeds, **asked).items]
    found, cursor = [], None
    while True:
        part = listed(three_seeds, cursor, 2, **asked)
        found += [row.ids[0] for row in part.items]
        cursor = part.next
        if cursor is None:
            break
    assert found == whole and sorted(whole) == [1, 2, 3, 4, 5]


def test_a_cursor_of_another_order_is_refused(three_seeds: Database) -> None:
    cursor = listed(three_seeds, None, 1, by="success").next
    with pytest.raises(Invalid):
        listed(three_seeds, cursor, 1, by="title")
    with three_seeds.read() as session, pytest.raises(Invalid):
        experiments.page(session, None, cursor)


def test_the_list_opens_what_a_leaderboards_cell_counts(three_seeds: Database) -> None:
    with three_seeds.read() as session:
        [board] = leaderboards.page(session)
    [row] = [row for row in board.rows if row.attack == "bullseye_polytope"]
    access, column = board.columns[0].key.split("-")
    cell = f"{board.key}-{row.key}-{column}-{access}"
    assert [r.ids[0] for r in listed(three_seeds, cell=cell, grouped=False).items] == [3, 2, 1]


# --- tags, notes, archive, views -------------------------------------------------------------


def test_tags_and_notes_are_checked_and_found(three_seeds: Database) -> None:
    with three_seeds.write() as session:
        notes.annotate(session, 1, ["table 3", "table 3", 'a"b'], "n" * 10_000)
        with pytest.raises(Invalid, match="tags"):
            notes.annotate(session, 1, ["x" * 41], "")
        with pytest.raises(NotFound):
            notes.annotate(session, 99, [], "")
    for tag in ("table 3", 'a"b'):
        assert [row.ids for row in listed(three_seeds, tag=tag).items] == [[1]]
    assert listed(three_seeds, tag="table").items == []


def test_archived_ones_leave_the_list_and_come_back(three_seeds: Database) -> None:
    with three_seeds.write() as session:
        notes.archive(session, 5, bench.AT)
    assert [row.ids[0] for row in listed(three_seeds, archived=False).items] == [4]
    assert [row.ids[0] for row in listed(three_seeds, archived=True).items] == [5]
    with three_seeds.write() as session:
        notes.archive(session, 5, None)
    assert len(listed(three_seeds, archived=False).items) == 2


def test_views_are_kept_by_name(database: Database) -> None:
    with database.write() as session:
        first = views.save(session, "experiments", "  my   view ", "state=done", bench.AT)
        again = views.save(session, "experiments", "my view", "state=failed", bench.AT)
        assert first.id == again.id
        assert [(v.name, v.query) for v in views.of_page(session, "experiments")] == [
            ("my view", "state=failed")
        ]
        assert views.of_page(session, "compare") == []
        for page, name, query in (
            ("x", "a", ""),
            ("compare", " ", ""),
            ("compare", "a", "x" * 9999),
        ):
            with pytest.raises(Invalid):
                views.save(session, page, name, query, bench.AT)
        assert views.remove(session, first.id) == "/experiments"
        with pytest.raises(NotFound):
            views.remove(session, first.id)
        for number in range(views.MAX_VIEWS):
            views.save(session, "compare", str(number), "", bench.AT)
        with pytest.raises(Conflict):
            views.save(session, "compare", "one more", "", bench.AT)


# --- the page --------------------------------------------------------------------------------


@pytest.fixture
def browser(client: TestClient) -> Iterator[TestClient]:
    client.headers.update(PAGE)
    yield client


def test_a_row_of_seeds_opens_into_its_experiments(browser: TestClient) -> None:
    text = browser.get("/experiments").text
    assert "3 seeds pooled, of 4 runs" in text and "50.0" in text
    [address] = re.findall(r'href="(/experiments\?[^"]*series=[^"]*)"', text)
    opened = browser.get(address.replace("&amp;", "&")).text
    assert all(f'href="/experiments/{number}"' in opened for number in (1, 2, 3, 4))
    assert 'href="/experiments/5"' not in opened


def test_ticked_experiments_are_acted_on_and_the_rest_is_counted(browser: TestClient) -> None:
    def act(do: str, *ids: str, **more: str) -> str:
        sent = {"do": do, "ids": list(ids), "back": "sort=title", **more}
        answer = browser.post("/experiments/bulk", data=sent, follow_redirects=False)
        assert answer.status_code == 303
        return answer.headers["location"]

    assert act("cancel", "1.2", "5") == "/experiments?sort=title&did=cancel&n=0&refused=3"
    assert act("archive", "5") == "/experiments?sort=title&did=archive&n=1&refused=0"
    assert act("tag", "1.2", "77", tags="one, two").endswith("did=tag&n=2&refused=1")
    assert act("compare", "1", "2.3") == "/compare?ids=1,2.3"
    text = browser.get("/experiments?did=archive&n=1").text
    assert "1 experiment archived" in text and 'href="/experiments/5"' not in text
    assert browser.get("/experiments?tag=two").text.count('name="ids"') == 1


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"do": "cancel"},
        {"do": "explode", "ids": "1"},
        {"do": "cancel", "ids": "1;DROP"},
        {"do": "cancel", "ids": "9" * 40},
        {"do": "tag", "ids": "1", "tags": "x" * 60},
    ],
)
def test_a_wrong_form_is_a_page_that_says_so(browser: TestClient, sent: dict[str, str]) -> None:
    answer = browser.post("/experiments/bulk", data=sent)
    assert answer.status_code == 422 and "<html" in answer.text


@pytest.mark.parametrize(
    "query",
    [
        "state=exploded", "nonsense=1", "cols=nonsense", "sort=nonsense", "cursor=AAAA",
        "study=x", "least=200", "since=yesterday", "series=%22", "cell=%3Cb%3E", "archived=maybe",
    ],
)  # fmt: skip
def test_a_wrong_address_is_a_page_that_names_the_field(browser: TestClient, query: str) -> None:
    answer = browser.get(f"/experiments?{query}")
    assert answer.status_code == 422
    assert "<html" in answer.text and query.partition("=")[0] in answer.text


def test_an_empty_form_is_no_filter(browser: TestClient) -> None:
    query = "state=&attack=&study=&least=&since=&tag=&archived=&group=&dir=&text="
    assert browser.get(f"/experiments?{query}").text.count('name="ids"') == 2


def test_html_in_tags_notes_and_views_is_shown_and_not_obeyed(browser: TestClient) -> None:
    bold = "<b>bold</b>"
    sent = {"tags": bold, "notes": bold + "n" * 10_000}
    assert browser.post("/experiments/1/notes", data=sent).status_code == 200
    view = {"page": "experiments", "name": bold, "query": "text=%22%3E%3Cb%3E"}
    assert browser.post("/views", data=view).status_code == 200
    for path in ("/experiments/1", "/experiments?cols=tags&cols=notes&group=no"):
        text = browser.get(path).text
        assert bold not in text and "&lt;b&gt;bold&lt;/b&gt;" in text


def test_writing_from_another_site_is_refused(browser: TestClient) -> None:
    elsewhere = {"Sec-Fetch-Site": "cross-site"}
    for path in ("/experiments/bulk", "/experiments/1/notes", "/experiments/1/archive", "/views"):
        assert browser.post(path, data={}, headers=elsewhere).status_code == 403


def test_columns_are_those_chosen(browser: TestClient) -> None:
    text = browser.get("/experiments?cols=excess&cols=seeds&group=no&access=white_box").text
    heads = re.findall(r'<th scope="col"[^>]*>(.*?)</th>', text)
    words = [re.sub("<[^>]*>", "", head).strip() for head in heads]
    assert words == ["Ticked", "Experiment", "Seeds", "Excess over twin, points"]
