"""How far an experiment is: pretraining, crafting, training victims; and how long each will take.

Trials are counted in parts: a batch that has done half of its steps counts for half of its
trials. Time left follows from the pace measured so far, shared among the batches that run.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from app.models import Checkpoint, Job
from app.queries.curves import Key, Running
from app.schemas import ExperimentSummary, Stage

FINAL = ("done", "failed", "cancelled")


@dataclass(frozen=True)
class Work:
    """The jobs of an experiment: its batches, its pretraining, those that run, their pace."""

    batches: Sequence[Job]
    pretraining: Sequence[Job]
    running: dict[int, Running]
    pace: dict[Key, float]  # seconds for the whole of one job's stage

    @property
    def busy(self) -> list[Job]:
        return [job for job in self.batches if job.state == "running"]

    def begun(self, stage: str, victim: int = 0) -> float:
        """Trials in running batches that are through a stage, beyond those that are finished."""
        parts = [self.running[job.id] for job in self.busy if job.id in self.running]
        return sum(
            max(0.0, part.trials * part.shares.get((stage, victim), 0.0) - part.finished)
            for part in parts
        )

    def seconds_left(self, share: float, pace: float | None) -> float | None:
        """Of a stage of all batches, ``share`` of which is done; None while nobody works."""
        if pace is None or not self.busy:
            return None
        return (1 - share) * len(self.batches) * pace / len(self.busy)


def stages_of(
    summary: ExperimentSummary, checkpoints: Sequence[Checkpoint], work: Work
) -> list[Stage]:
    stages = [_craft(summary, work), _victims(summary, work)]
    trained = [c for c in checkpoints if any(j.checkpoint_id == c.id for j in work.pretraining)]
    if trained:
        stages.insert(0, _pretrain(trained, work))
    return stages


def _pretrain(trained: Sequence[Checkpoint], work: Work) -> Stage:
    """Epochs over all extractors this experiment had to wait for."""
    done, total, seconds = 0.0, 0, 0.0
    for checkpoint in trained:
        epochs = int((checkpoint.spec or {}).get("epochs", 1))
        total += epochs
        share = 1.0 if checkpoint.state == "ready" else _trained(checkpoint, work)
        done += epochs * share
        if checkpoint.state == "training":
            seconds += (1 - share) * work.pace.get(("pretrain", 0), 0.0)
    is_ready = all(c.state == "ready" for c in trained)
    is_busy = any(c.state == "training" for c in trained)
    return Stage(
        name="pretrain",
        done=int(done),
        total=total,
        unit="epochs",
        share=done / total,
        state="done" if is_ready else "running" if is_busy else "waiting",
        detail=", ".join(_accuracy(c) for c in trained),
        eta_s=seconds or None,
    )


def _trained(checkpoint: Checkpoint, work: Work) -> float:
    its = [job.id for job in work.pretraining if job.checkpoint_id == checkpoint.id]
    shares = [work.running[i].shares.get(("pretrain", 0), 0.0) for i in its if i in work.running]
    return max(shares, default=0.0)


def _accuracy(checkpoint: Checkpoint) -> str:
    if checkpoint.clean_accuracy is None:
        return f"{checkpoint.name}: {checkpoint.state}"
    return f"{checkpoint.name}: {100 * checkpoint.clean_accuracy:.1f} % clean"


def _craft(summary: ExperimentSummary, work: Work) -> Stage:
    crafted = min(summary.trials_done + work.begun("craft"), summary.trials_total)
    share = crafted / summary.trials_total
    return Stage(
        name="craft",
        done=int(crafted),
        total=summary.trials_total,
        unit="trials",
        share=share,
        state=_state(summary, work, share),
        detail=_batches(work, "craft"),
        eta_s=work.seconds_left(share, work.pace.get(("craft", 0))),
    )


def _victims(summary: ExperimentSummary, work: Work) -> Stage:
    judged, trained, left = 0, 0.0, []
    for victim in summary.victims:
        n = victim.success.n if victim.success else 0
        through = min(n + work.begun("victims", victim.victim), summary.trials_total)
        judged, trained = judged + n, trained + through
        pace = work.pace.get(("victims", victim.victim))
        left.append(work.seconds_left(through / summary.trials_total, pace))
    total = summary.trials_total * len(summary.victims)
    share = trained / total
    return Stage(
        name="victims",
        done=judged,
        total=total,
        unit="victims",
        share=share,
        state=_state(summary, work, share),
        detail=_trainings(summary, work),
        # as long as one victim was never trained, nobody knows how long it takes
        eta_s=None if None in left else sum(seconds for seconds in left if seconds is not None),
    )


def _state(summary: ExperimentSummary, work: Work, share: float) -> str:
    if share >= 1:
        return "done"
    if summary.state in FINAL:
        return "stopped"
    return "running" if work.busy and share > 0 else "waiting"


def _batches(work: Work, stage: str) -> str:
    """ "batch 2 of 5", "batches 1 to 3 of 5": those that are in a stage now."""
    numbers = [
        number
        for number, job in enumerate(work.batches, 1)
        if job.state == "running" and job.progress and job.progress["stage"] == stage
    ]
    if not numbers or len(work.batches) == 1:
        return ""
    many, what = len(work.batches), "batch" if len(numbers) == 1 else "batches"
    is_run = len(numbers) > 2 and all(b - a == 1 for a, b in pairwise(numbers))
    named = f"{numbers[0]} to {numbers[-1]}" if is_run else " and ".join(map(str, numbers))
    return f"{what} {named} of {many}"


def _trainings(summary: ExperimentSummary, work: Work) -> str:
    """Who is trained now, in which batch."""
    titles = {victim.victim: victim.title for victim in summary.victims}
    now = dict.fromkeys(
        titles[job.progress["victim"]]
        for job in work.busy
        if job.progress and job.progress.get("victim") in titles
    )
    return ", ".join([*now, *filter(None, [_batches(work, "victims")])])
