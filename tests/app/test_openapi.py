"""The API's own description: examples everywhere, true to the models, and no answer it omits."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from pydantic import BaseModel, TypeAdapter
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from app import board_schemas, schemas
from app.api import brought, examples
from app.api.description import describe
from app.columns import now
from app.db import Database
from app.requests import LaunchRequest
from app.services import workers
from tests.app import workbench as bench

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
MODELS: list[tuple[dict[str, Any], type[BaseModel]]] = [
    *((launch, LaunchRequest) for launch in examples.LAUNCHES),
    (examples.LAUNCHED, schemas.Launched),
    (examples.STUDY_LAUNCHED, schemas.Launched),
    (examples.CHECKPOINT_LAUNCHED, schemas.Launched),
    (examples.SUMMARY, schemas.ExperimentSummary),
    (examples.DETAIL, schemas.ExperimentDetail),
    (examples.TRIAL, schemas.TrialView),
    (examples.OUTCOME, schemas.OutcomeView),
    (examples.POISON_SET, schemas.PoisonSetView),
    (examples.PROVENANCE, schemas.ProvenanceView),
    (examples.CHECKPOINT, schemas.CheckpointView),
    (brought.EXAMPLE, schemas.CheckpointView),
    (examples.BOARD, board_schemas.Leaderboard),
    (examples.UNRANKED_BOARD, board_schemas.Leaderboard),
    (examples.BOARD_TITLE, board_schemas.LeaderboardTitle),
    (examples.STUDY, schemas.StudyView),
    (examples.JOB, schemas.JobView),
    (examples.WORKER, schemas.WorkerView),
    (examples.QUEUE, schemas.QueueView),
    (examples.LOG, schemas.LogEntry),
    (examples.ESTIMATE, schemas.Estimate),
    (examples.ENTRY, schemas.CatalogueEntry),
]


@pytest.mark.parametrize(("example", "model"), MODELS, ids=lambda v: getattr(v, "__name__", ""))
def test_examples_are_what_the_models_say(example: dict[str, Any], model: type[BaseModel]) -> None:
    TypeAdapter(model).validate_python(example)
    assert set(example) <= set(model.model_fields), "an example with a field that is not there"


@pytest.mark.parametrize("launch", examples.LAUNCHES, ids=lambda launch: launch["title"])
def test_what_the_examples_launch_can_be_launched(
    client: TestClient, launch: dict[str, Any]
) -> None:
    estimated = client.post("/api/v1/estimates", json=launch)
    assert estimated.status_code == 200 and estimated.json()["batches"] >= 1
    assert client.post("/api/v1/experiments", json=launch).status_code == 202


def operations(described: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def test_every_operation_has_an_example_and_says_what_it_does(application: FastAPI) -> None:
    described = describe(application)
    named = list(operations(described))
    assert len(named) >= 30
    for name, operation in named:
        assert operation.get("description"), name
        good = next(r for status, r in operation["responses"].items() if status.startswith("2"))
        [(kind, content)] = good["content"].items()
        is_file = kind in ("image/png", "application/octet-stream", "application/zip")
        assert is_file or "example" in content, name
        if "requestBody" in operation:
            assert "examples" in json.dumps(operation["requestBody"]), name


def test_problems_are_described_as_what_they_are(application: FastAPI) -> None:
    for name, operation in operations(describe(application)):
        for status, response in operation["responses"].items():
            if not status.startswith("2"):
                assert list(response["content"]) == ["application/problem+json"], name


def test_the_description_is_served(client: TestClient) -> None:
    served = client.get("/api/v1/openapi.json").json()
    assert served["openapi"].startswith("3.")
    assert "/api/v1/experiments" in served["paths"]


def test_no_input_finds_an_answer_that_is_not_described(
    application: FastAPI, client: TestClient, database: Database
) -> None:
    response = client.post("/api/v1/experiments", json={"spec": bench.raw_spec()})
    assert response.status_code == 202
    bench.work_off(database)
    with database.write() as session:
        workers.seen(session, "w", "host", "cpu", None, now())
    described = schemathesis.openapi.from_dict(describe(application))
    described.app = application
    tried = 0
    for found in described.get_all_operations():
        operation = found.ok()

        @settings(
            max_examples=6,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def probe(case: Case) -> None:
            nonlocal tried
            tried += 1
            case.call_and_validate(base_url="http://127.0.0.1:8000", checks=CHECKS)

        probe()
    assert tried > 100
