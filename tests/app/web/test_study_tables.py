"""A study's page: its tables as they stand, and the same as files."""

import csv
import html
import io
import re

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.columns import now
from app.queries import results as stored
from app.services import studies
from poisoning.studies import STUDIES
from tests.app import rows


@pytest.fixture
def study(empty: TestClient, app: FastAPI) -> int:
    """The demonstration in its smoke profile, wholly carried through."""
    settings = app.state.settings
    with app.state.database.write() as session:
        rows.ready_checkpoints(session)
        made = studies.launch(session, settings, "demonstration", "smoke", now())
        session.flush()
        for experiment in made.experiments:
            rows.finish(session, settings, experiment, experiment.trials_total)
        return made.id


def shown(page: str) -> list[list[str]]:
    """What is written in the page's first table of rates; its axis is drawn."""
    table = re.search(r'data-table="t0".*?</table>', page, re.S)
    assert table
    found = []
    for row in re.findall(r"<tr>(.*?)</tr>", table[0].split("<tbody>")[1], re.S):
        cells = re.findall(r"<t[hd](?![^>]*data-axis)[^>]*>(.*?)</t[hd]>", row, re.S)
        words = [html.unescape(re.sub(r"<[^>]+>", "", cell)) for cell in cells]
        found.append([" ".join(word.split()) for word in words])
    return found


def test_the_tables_of_a_study_are_drawn_and_exported_alike(empty: TestClient, study: int) -> None:
    page = empty.get(f"/studies/{study}")
    assert page.status_code == 200
    file = empty.get(f"/studies/{study}?table=t0&format=csv")
    assert file.headers["content-disposition"].endswith('.csv"')
    lines = [line for line in file.text.splitlines() if not line.startswith("#")]
    _, *written = list(csv.reader(io.StringIO("\n".join(lines))))
    assert written == [[word.replace("−", "-") for word in row] for row in shown(page.text)]
    assert "−" in page.text and "−" not in file.text
    for row in shown(page.text):
        assert not any(re.search(r"(^|[ \[])-\d", word) for word in row), "a minus is one on a page"
    assert len(written) == 6, "three attacks on two victims"
    assert page.text.count('class="axis full" data-axis') == 6, "and each is drawn"
    for form in ("json", "markdown", "latex", "pdf"):
        assert empty.get(f"/studies/{study}?table=t0&format={form}").status_code == 200


def test_results_from_the_database_are_what_was_written(study: int, app: FastAPI) -> None:
    with app.state.database.read() as session:
        found = stored.of_study(session, study)
    expected = STUDIES["demonstration"].experiments("smoke")
    assert [(one.title, one.spec) for one in found] == expected
    for results in found:
        assert [trial.index for trial in results.trials] == list(range(results.spec.trials))
        for trial in results.trials:
            assert len(trial.outcomes) == len(results.spec.victims)
            assert trial == type(trial).model_validate(trial.model_dump())


@pytest.mark.parametrize("query", ["table=none&format=csv", "table=t0&format=xls"])
def test_a_file_there_is_not_is_refused_in_words(empty: TestClient, study: int, query: str) -> None:
    answer = empty.get(f"/studies/{study}?{query}")
    assert answer.status_code in (404, 422)
    assert "there is no" in answer.text
