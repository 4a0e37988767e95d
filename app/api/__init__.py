"""The REST API, version 1."""

from typing import Any

from fastapi import APIRouter, Depends

from app.api import (
    catalogue,
    checkpoints,
    examples,
    experiments,
    jobs,
    leaderboards,
    poison_sets,
    studies,
    trials,
)
from app.api.description import PROBLEM_CONTENT
from app.api.doors import refuse_unknown_query
from app.problems import MEDIA_TYPE

_PROBLEM: dict[str, Any] = {
    "description": "A problem: what is wrong, with which field, and what to do about it",
    "content": {MEDIA_TYPE: PROBLEM_CONTENT[MEDIA_TYPE] | {"example": examples.PROBLEM}},
}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: _PROBLEM for status in (400, 401, 403, 404, 409, 413, 422, 503, 507)
}

router = APIRouter(
    prefix="/api/v1", dependencies=[Depends(refuse_unknown_query)], responses=PROBLEMS
)
for _module in (
    experiments,
    trials,
    poison_sets,
    checkpoints,
    leaderboards,
    studies,
    jobs,
    catalogue,
):
    router.include_router(_module.router)
