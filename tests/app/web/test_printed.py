"""Published rates on an attack's card, each with its source, beside the same experiment here."""

import html
import re

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.models import Experiment, OutcomeSum
from app.web import printed
from poisoning import catalog, published
from poisoning.studies import STUDIES


def section(text: str) -> str:
    found = re.search(r"<h2>Published</h2>(.*?)</section>", text, re.S)
    assert found
    return html.unescape(found[1])


def test_every_published_value_is_on_a_card_once_for_each_attack_that_repeats_it() -> None:
    cells = printed._cells()
    keys = [(cell.attack, cell.published) for cell in cells]
    assert len(keys) == len(set(keys))
    held = {value for table in published.TABLES.values() for value in table.values()}
    held |= {*published.BASELINES.values(), *published.REPORTED.values()}
    assert held <= {cell.published for cell in cells}
    assert all(cell.published.source and cell.said != "-" for cell in cells)
    assert all(cell.study in STUDIES and cell.attack in catalog.ATTACKS for cell in cells)


def test_the_card_shows_value_trials_and_source(full: TestClient) -> None:
    text = section(full.get("/attacks/bullseye_polytope").text)
    assert ">85</td>" in text and ">8.5</td>" in text and ">100</td>" in text
    assert published.CIFAR10_TRANSFER["BP", published.WHITE].source in text
    assert "not yet" in text and " of 100</span>" not in text
    reported = section(full.get("/attacks/clean_label_backdoor").text)
    assert "74.69" in reported and "as reported, unverified" in reported
    assert "not compared" in reported, "a rate without its n"


@pytest.mark.parametrize("name", ["no_perturbation", "badnets"])
def test_without_one_it_says_so(full: TestClient, name: str) -> None:
    assert "No published value on record." in section(full.get(f"/attacks/{name}").text)


def test_a_quoted_bound_or_direction_is_said_as_such(full: TestClient) -> None:
    text = section(full.get("/attacks/convex_polytope").text)
    assert "below 20" in text and ">lower" in text and "as quoted by" in text


def test_the_rate_of_the_very_same_spec_stands_beside_it(app: FastAPI, full: TestClient) -> None:
    before = section(full.get("/attacks/bullseye_polytope").text)
    [cell] = [
        cell for cell in printed._cells()
        if cell.attack == "bullseye_polytope"
        and cell.published == published.CIFAR10_TRANSFER["BP", published.WHITE]
    ]  # fmt: skip
    with app.state.database.write() as session:
        session.get_one(Experiment, 2).spec_hash = cell.spec_hash
        for row in session.query(OutcomeSum).filter_by(experiment_id=2, victim=0):
            row.successes, row.n = 6, 8
    after = section(full.get("/attacks/bullseye_polytope").text)
    assert "75.0" in after and after.count("6 of 8") == 1
    assert after.count("not yet") == before.count("not yet") - 1
