"""How far a gradient-matching attack got: the cosine between the gradient that would teach a
network the wrong label of the target and the gradient of its poisons, drawn over the crafting.

Coordinates are those of the drawing's own box, in pixels.
"""

import math
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from app.queries.curves import Crafting
from app.schemas import TrialView
from app.web import words
from app.web.drawings import BOX, Box
from poisoning import catalog


@dataclass(frozen=True)
class Alignment:
    """The cosine at the end, what it means, and its course where that was kept.

    ``zero`` and ``end`` are heights in the box; ``high`` and ``low`` the values at its edges.
    """

    final: float
    sentence: str
    lines: list[str]
    course: str
    high: float
    low: float
    zero: float
    end: float
    box: Box = BOX


def is_measured(attack: str) -> bool:
    """Whether the attack's objective is 1 minus that cosine."""
    known = catalog.ATTACKS.get(attack)
    return known is not None and catalog.GRADIENT_MATCHING in known.tags


def of(trial: TrialView, knobs: dict[str, Any], crafting: Crafting) -> Alignment | None:
    """None where the objective of the stored poisons is not known."""
    if trial.final_loss is None:
        return None
    final = 1 - trial.final_loss
    values = [1 - loss for _, loss, _ in crafting.points]
    high, low = max(0.0, final, *values), min(0.0, final, *values)
    span = (high - low) or 1.0

    def y(value: float) -> float:
        return round(BOX.top + (high - value) / span * (BOX.bottom - BOX.top), 1)

    def place(point: tuple[float, float, int]) -> str:
        return f"{BOX.left + point[0] * (BOX.right - BOX.left):.1f},{y(1 - point[1])}"

    runs = [list(run) for _, run in groupby(crafting.points, key=lambda point: point[2])]
    return Alignment(
        final=final,
        sentence=_in_words(trial, final),
        lines=[" ".join(map(place, run)) for run in runs if len(run) > 1],
        course=_course(values, crafting.trials, knobs),
        high=high,
        low=low,
        zero=y(0.0),
        end=y(final),
    )


def _in_words(trial: TrialView, final: float) -> str:
    angle = math.degrees(math.acos(max(-1.0, min(1.0, final))))
    return (
        f"The stored poisons' alignment is {words.number(final, 3)}: on the attacker's surrogates, "
        f"the step that training takes on them points {angle:.0f}° away from the step that would "
        f"teach the network to call the target {trial.base_name}."
    )


def _course(values: list[float], trials: int, knobs: dict[str, Any]) -> str:
    """What the curve is a curve of; empty where there is none."""
    if len(values) < 2:
        return ""
    whose = "this trial" if trials == 1 else f"the {trials} trials of its batch, on average"
    starts = knobs.get("restarts", 1)
    anew = f" Each of {starts} random starts begins anew; the best is kept." if starts > 1 else ""
    moved = (
        " While crafting, the poisons are shifted and flipped at random, at the end they are not."
        if knobs.get("augment")
        else ""
    )
    return (
        f"Over the crafting steps, of {whose}: from {words.number(values[0], 3)} to "
        f"{words.number(values[-1], 3)}.{anew}{moved}"
    )
