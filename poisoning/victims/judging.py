"""From what a victim and its twin say to a verdict."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from poisoning import explain
from poisoning.events import Explanation, Extras, Judged
from poisoning.targets import VARIANTS
from poisoning.victims import Verdict, VictimBatch


@dataclass(frozen=True)
class Course:
    """What one network says of the target after each epoch. Distances are explain.away's, of the
    poisons' mean and of the nearest one, or in a twin of the bases; empty where they cannot change.
    """

    margins: list[float] = field(default_factory=list)
    distances: list[float] = field(default_factory=list)
    nearest: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Answers:
    """What one network says after the last epoch, and of the target after each."""

    logits: Tensor  # float64 [1 + variants, classes], on the CPU: the target, then transformed
    clean_accuracy: float
    patched_hits: int = 0  # of the patched images of the target class
    patched_images: int = 0
    course: Course = field(default_factory=Course)

    def judged(self, base_label: int) -> Judged:
        return judge(self.logits[0], base_label, self.clean_accuracy)

    def variants(self) -> dict[str, int]:
        predictions = self.logits[1:].argmax(1).tolist()
        return dict(zip(VARIANTS, predictions, strict=True))


def judge(logits: Tensor, base_label: int, clean_accuracy: float) -> Judged:
    """What a victim says of the target: its ``logits`` [classes] after the last epoch."""
    return Judged(
        prediction=int(logits.argmax()),
        confidence=float(logits.softmax(0)[base_label]),
        margin=float(margin(logits, base_label)),
        clean_accuracy=clean_accuracy,
    )


def margin(logits: Tensor, base_label: int) -> Tensor:
    """The base class's logit minus the best other, of logits [..., classes]."""
    others = logits.clone()
    others[..., base_label] = -torch.inf
    return logits[..., base_label] - others.max(-1).values


def verdict(
    base_label: int,
    poisoned: Answers,
    twin: Answers,
    explanation: Explanation | None,
    before: Explanation | None = None,
) -> Verdict:
    """Both networks' answers as one verdict; ``before`` is what they saw before training."""
    if explanation is not None:
        curves = {
            "margins": explain.thin_out(poisoned.course.margins),
            "twin_margins": explain.thin_out(twin.course.margins),
            **_moved(poisoned.course, twin.course, before),
        }
        explanation = explanation.model_copy(update=curves)
    return Verdict(
        poisoned=poisoned.judged(base_label),
        twin=twin.judged(base_label),
        extras=Extras(
            variants=poisoned.variants(),
            twin_variants=twin.variants(),
            patched_images=poisoned.patched_images,
            patched_hits=poisoned.patched_hits,
            twin_patched_hits=twin.patched_hits,
        ),
        explanation=explanation,
    )


def _moved(poisoned: Course, twin: Course, before: Explanation | None) -> dict[str, object]:
    """What an explanation says of features that move in training: nothing where they do not."""
    start = (
        {}
        if before is None
        else {
            "distances": before.distance_after,
            "nearest": before.nearest_after,
            "twin_distances": before.distance_before,
        }
    )
    curves = {
        "distances": poisoned.distances,
        "nearest": poisoned.nearest,
        "twin_distances": twin.distances,
    }
    moved: dict[str, object] = {} if before is None else {"before": before}
    for name, values in curves.items():
        if values and name in start:
            moved[name] = explain.thin_out([start[name], *values], first=0)
        elif values:
            moved[name] = explain.thin_out(values)
    return moved


def clouds(labels: Tensor, batch: VictimBatch, t: int) -> tuple[Tensor, Tensor]:
    """Some clean training images of trial ``t``'s base class and of its target class: indices
    into the train split, whose ``labels`` [N] are given.
    """
    clean = batch.clean[t]
    found = [
        clean[labels[clean] == label][: explain.CLOUD]
        for label in (batch.base_labels[t], batch.target_labels[t])
    ]
    return found[0], found[1]
