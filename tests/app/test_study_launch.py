"""Every study in its smoke profile over REST, from the launch to its tables on the page."""

import pytest
from fastapi.testclient import TestClient

from app.db import Database
from poisoning import catalog
from poisoning.studies import STUDIES, Study
from tests.app import workbench as bench
from tests.app.conftest import LOCAL

API = "/api/v1/studies"
PAGE = {"Origin": LOCAL}
WITHOUT_FILES = [
    study
    for study in STUDIES.values()
    if not any(catalog.dataset(s.data.dataset).folder for _, s in study.experiments("smoke"))
]


def title(study: Study) -> str:
    return study.name


@pytest.mark.parametrize("study", WITHOUT_FILES, ids=title)
def test_a_smoke_study_can_be_launched_and_its_tables_have_every_cell(
    study: Study, client: TestClient
) -> None:
    launched = client.post(API, json={"name": study.name, "profile": "smoke"})
    assert launched.status_code == 202
    view = client.get(launched.json()["url"]).json()
    assert len(view["experiments"]) == len(study.experiments("smoke"))
    assert {experiment["trials_total"] for experiment in view["experiments"]} == {5}
    page = client.get(f"/studies/{view['id']}").text
    cells = [cell for table in study.tables([], "smoke") for cell in table.cells]
    assert cells and page.count("0 of 5</td>") >= len(cells)


def test_the_page_launches_a_study_with_and_without_a_key(client: TestClient) -> None:
    for number, key in enumerate(("", "k" * 32), 1):
        sent = {"name": "baselines", "profile": "smoke", "idempotency_key": key}
        answer = client.post("/studies", data=sent, headers=PAGE, follow_redirects=False)
        assert (answer.status_code, answer.headers["location"]) == (303, f"/studies/{number}")


def test_what_a_study_takes_stands_beside_its_profiles(client: TestClient) -> None:
    entry = client.get("/api/v1/catalogue/studies").json()[1]
    times = entry["about"]["on_two_cores"]
    assert entry["name"] == "baselines" and list(times) == ["smoke", "quick", "paper"]
    page = client.get("/studies").text
    assert all(f">{profile} · {time}</option>" in page for profile, time in times.items())


def test_a_smoke_study_that_is_done_has_no_empty_cell(
    client: TestClient, database: Database
) -> None:
    launched = client.post(API, json={"name": "demonstration", "profile": "smoke"})
    bench.work_off(database)
    view = client.get(launched.json()["url"]).json()
    assert view["state"] == "done"
    page = client.get(f"/studies/{view['id']}").text
    assert "0 of 5" not in page and "these rates mean nothing" in page


@pytest.mark.parametrize("name", sorted(STUDIES.keys() - {study.name for study in WITHOUT_FILES}))
def test_a_study_without_its_data_says_what_to_do(name: str, client: TestClient) -> None:
    answer = client.post(API, json={"name": name, "profile": "smoke"})
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["field"] == "data.dataset" and error["remedy"]
    assert client.get(API).json()["items"] == []
