"""The REST API, version 1."""

from fastapi import APIRouter, Depends

from app.api import (
    bundles,
    catalogue,
    checkpoints,
    compare,
    experiments,
    jobs,
    leaderboards,
    poison_sets,
    studies,
    sweeps,
    trials,
)
from app.api.description import PROBLEMS
from app.api.doors import refuse_unknown_query

router = APIRouter(
    prefix="/api/v1", dependencies=[Depends(refuse_unknown_query)], responses=PROBLEMS
)
for _module in (
    experiments,
    compare,
    trials,
    poison_sets,
    bundles,
    checkpoints,
    leaderboards,
    studies,
    sweeps,
    jobs,
    catalogue,
):
    router.include_router(_module.router)
