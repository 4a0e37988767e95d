"""How far an experiment is: pretraining, crafting, training victims."""

from collections.abc import Sequence
from datetime import datetime

from app.models import Checkpoint, Job
from app.schemas import ExperimentSummary, Stage


def stages_of(
    summary: ExperimentSummary,
    jobs: Sequence[Job],
    checkpoints: Sequence[Checkpoint],
    pretraining: Sequence[Job],
    now: datetime,
) -> list[Stage]:
    stages = [_craft(summary, jobs, now), _victims(summary, jobs)]
    trained = [c for c in checkpoints if any(job.checkpoint_id == c.id for job in pretraining)]
    if trained:
        stages.insert(0, _pretrain(trained, pretraining, now))
    return stages


def _pretrain(trained: Sequence[Checkpoint], jobs: Sequence[Job], now: datetime) -> Stage:
    """Epochs over all extractors this experiment had to wait for."""
    done = total = 0
    eta_s: float | None = None
    for checkpoint in trained:
        epochs = int((checkpoint.spec or {}).get("epochs", 1))
        running = [j for j in jobs if j.checkpoint_id == checkpoint.id and j.progress]
        progress = running[-1].progress if running else None
        total += epochs
        if checkpoint.state == "ready":
            done += epochs
        elif progress and progress["stage"] == "pretrain" and progress["total"]:
            done += round(epochs * progress["done"] / progress["total"])
            eta_s = _eta(running[-1], now)
    is_ready = all(c.state == "ready" for c in trained)
    is_busy = any(c.state == "training" for c in trained)
    return Stage(
        name="pretrain",
        done=done,
        total=total,
        unit="epochs",
        state="done" if is_ready else "running" if is_busy else "waiting",
        detail=", ".join(_accuracy(c) for c in trained),
        eta_s=eta_s,
    )


def _accuracy(checkpoint: Checkpoint) -> str:
    if checkpoint.clean_accuracy is None:
        return f"{checkpoint.name}: {checkpoint.state}"
    return f"{checkpoint.name}: {100 * checkpoint.clean_accuracy:.1f} % clean"


def _craft(summary: ExperimentSummary, jobs: Sequence[Job], now: datetime) -> Stage:
    busy = [job for job in jobs if job.state == "running"]
    crafting = [job for job in busy if job.progress and job.progress["stage"] == "craft"]
    if crafting and crafting[0].progress:
        job, progress = crafting[0], crafting[0].progress
        batch = f"batch {jobs.index(job) + 1} of {len(jobs)}" if len(jobs) > 1 else ""
        detail = ", ".join(text for text in (batch, progress["detail"]) if text)
        return Stage(
            name="craft",
            done=progress["done"],
            total=progress["total"],
            unit=progress["unit"],
            state="running",
            detail=detail,
            eta_s=_eta(job, now),
        )
    is_past = summary.trials_done == summary.trials_total
    return Stage(
        name="craft",
        done=summary.trials_done,
        total=summary.trials_total,
        unit="trials",
        state="done" if is_past else "running" if summary.trials_done else "waiting",
    )


def _victims(summary: ExperimentSummary, jobs: Sequence[Job]) -> Stage:
    judged = sum(victim.success.n for victim in summary.victims if victim.success)
    total = summary.trials_total * len(summary.victims)
    training = [
        job.progress
        for job in jobs
        if job.state == "running" and job.progress and job.progress["stage"] == "victims"
    ]
    state = "done" if judged >= total else "running" if training or judged else "waiting"
    detail = training[0]["detail"] if training else ""
    return Stage(
        name="victims", done=judged, total=total, unit="victims", state=state, detail=detail
    )


def _eta(job: Job, now: datetime) -> float | None:
    """Seconds left at the pace so far; None before there is one."""
    progress = job.progress
    if not progress or not progress["done"] or job.started_at is None:
        return None
    elapsed = (now - job.started_at).total_seconds()
    return max(0.0, elapsed * (progress["total"] - progress["done"]) / progress["done"])
