"""What else victims were asked, over the trials of an experiment."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import sqrt
from statistics import fmean, stdev
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.models import Experiment, Outcome, Trial
from app.queries.tallies import rate
from app.schemas import VictimExtras


@dataclass
class _Asked:
    """One victim's extras, as they are read."""

    trials: int = 0
    survived: dict[str, list[bool]] = field(default_factory=dict)
    patched: list[float] = field(default_factory=list)
    twins: list[float] = field(default_factory=list)
    images: int = 0

    def add(self, stored: dict[str, Any], base_class: int, is_fooled: bool) -> None:
        """Count one trial's events.Extras, read as stored: validating thousands takes seconds."""
        self.trials += 1
        if is_fooled:
            for name, prediction in stored.get("variants", {}).items():
                self.survived.setdefault(name, []).append(prediction == base_class)
        images = stored.get("patched_images", 0)
        if images:
            self.patched.append(stored.get("patched_hits", 0) / images)
            self.twins.append(stored.get("twin_patched_hits", 0) / images)
            self.images = max(self.images, images)


def by_victim(session: Session, experiment: Experiment) -> list[VictimExtras]:
    """One entry for each victim of which more is known than the verdict on its target."""
    statement = (
        select(Outcome.victim, Outcome.success, Outcome.extras, Trial.base_class)
        .join(Trial, Trial.id == Outcome.trial_id)
        .where(Outcome.experiment_id == experiment.id)
        .order_by(Outcome.victim, Trial.number)
    )
    asked: dict[int, _Asked] = {}
    for victim, success, stored, base_class in session.execute(statement):
        if stored:
            asked.setdefault(victim, _Asked()).add(stored, base_class, success)
    found = [_view(victim, each, experiment.is_sequential) for victim, each in asked.items()]
    return [view for view in found if view.survives or view.patched_rate is not None]


def _view(victim: int, asked: _Asked, is_sequential: bool) -> VictimExtras:
    return VictimExtras(
        victim=victim,
        trials=asked.trials,
        survives={
            name: rate(sum(told), len(told), is_sequential) for name, told in asked.survived.items()
        },
        patched_rate=fmean(asked.patched) if asked.patched else None,
        patched_error=_error(asked.patched),
        twin_patched_rate=fmean(asked.twins) if asked.twins else None,
        patched_images=asked.images,
    )


def _error(values: Sequence[float]) -> float | None:
    """Standard error of a mean over trials; None where one trial tells nothing of it."""
    return stdev(values) / sqrt(len(values)) if len(values) > 1 else None
