"""The pages. ``router`` has them all; ``mount_static`` adds their files."""

from fastapi import APIRouter

from app.web import (
    about,
    actions,
    attacks,
    bulk,
    bundles,
    checkpoints,
    compare,
    datasets,
    experiments,
    home,
    images,
    leaderboards,
    line,
    new,
    patches,
    reference,
    setups,
    studies,
    sweeps,
    tokens,
    trials,
    workers,
)
from app.web.render import mount_static

router = APIRouter(include_in_schema=False)
for _module in (
    home,
    images,
    leaderboards,
    new,  # before experiments: /experiments/new is not an id
    bulk,
    compare,
    experiments,
    actions,
    trials,
    bundles,
    setups,
    checkpoints,
    studies,
    sweeps,
    attacks,
    datasets,
    workers,
    line,
    tokens,
    about,
    patches,
    reference,
):
    router.include_router(_module.router)

__all__ = ["mount_static", "router"]
