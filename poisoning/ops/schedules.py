"""Learning rates over the course of a training."""

import math
from typing import Protocol

WARM_UP = 0.3  # of a one-cycle schedule's steps


class Scheduled(Protocol):
    """What a schedule needs to know of a recipe."""

    @property
    def schedule(self) -> str: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def drop_epochs(self) -> tuple[int, ...]: ...
    @property
    def epochs(self) -> int: ...


def learning_rate(
    recipe: Scheduled, step: int, steps_per_epoch: int, drop_factor: float = 0.1
) -> float:
    """The rate of one step, counted from 0: multiplied by ``drop_factor`` at each of the drop
    epochs; or one cycle, linearly up to the recipe's rate over the first 30 % of the steps, then
    half a cosine down to 0.
    """
    if recipe.schedule == "steps":
        drops = sum(step // steps_per_epoch >= epoch for epoch in recipe.drop_epochs)
        return recipe.learning_rate * drop_factor**drops
    done = (step + 1) / (recipe.epochs * steps_per_epoch)
    if done < WARM_UP:
        return recipe.learning_rate * done / WARM_UP
    return recipe.learning_rate * (1 + math.cos(math.pi * (done - WARM_UP) / (1 - WARM_UP))) / 2
