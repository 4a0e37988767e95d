"""What the stages of an experiment optimised, how fast they go, and the rates trial by trial."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from app.models import Experiment, ExperimentCheckpoint, Job, JobStage, Outcome, Trial
from app.queries.tallies import rate
from app.schemas import CurveView, RateSoFar

NEWEST_JOBS = 8  # the curves of so many batches are shown
MOST = 200  # points of a rate over its trials
Key = tuple[str, int]  # stage, victim


def of_experiment(session: Session, experiment_id: int) -> list[CurveView]:
    """The curves of its newest batches, and of the pretraining it uses; the oldest job first."""
    used = select(ExperimentCheckpoint.checkpoint_id).where(
        ExperimentCheckpoint.experiment_id == experiment_id
    )
    its = or_(Job.experiment_id == experiment_id, Job.checkpoint_id.in_(used))
    newest = (
        select(JobStage.job_id)
        .join(Job, Job.id == JobStage.job_id)
        .where(its)
        .group_by(JobStage.job_id)
        .order_by(JobStage.job_id.desc())
        .limit(NEWEST_JOBS)
    )
    rows = session.scalars(
        select(JobStage)
        .where(JobStage.job_id.in_(newest))
        .order_by(JobStage.job_id, JobStage.stage, JobStage.victim)
    )
    return [
        CurveView(
            job_id=row.job_id,
            stage=row.stage,
            victim=row.victim if row.stage == "victims" else None,
            name=name,
            unit=row.unit,
            total=row.total,
            points=points,
        )
        for row in rows
        for name, points in row.curves.items()
    ]


@dataclass(frozen=True)
class Crafting:
    """What the job that carried a trial through optimised in crafting; a point is the mean over
    the trials it crafted together.
    """

    trials: int  # of the job
    points: list[tuple[float, float, int]]  # share of the stage, value, run


def of_crafting(session: Session, trial_id: int, name: str = "loss") -> Crafting:
    """Without points where its poisons were not crafted anew, or nothing was kept."""
    job_id = select(Trial.job_id).where(Trial.id == trial_id).scalar_subquery()
    trials = session.scalar(select(func.count()).select_from(Trial).where(Trial.job_id == job_id))
    curves = session.scalar(
        select(JobStage.curves).where(JobStage.job_id == job_id, JobStage.stage == "craft")
    )
    return Crafting(trials or 0, (curves or {}).get(name, []))


@dataclass(frozen=True)
class Running:
    """How far a running job is in each of its stages, as shares, and how many trials it has."""

    trials: int
    finished: int
    shares: dict[Key, float]


def running(session: Session, job_ids: Sequence[int]) -> dict[int, Running]:
    """By job; of a pretraining the shares alone."""
    if not job_ids:
        return {}
    counts = session.execute(
        select(Trial.job_id, func.count(), func.count().filter(Trial.state == "done"))
        .where(Trial.job_id.in_(job_ids))
        .group_by(Trial.job_id)
    )
    trials = {job_id: (int(n), int(done)) for job_id, n, done in counts}
    rows = session.execute(
        select(
            JobStage.job_id, JobStage.stage, JobStage.victim, JobStage.done, JobStage.total
        ).where(JobStage.job_id.in_(job_ids))
    )
    shares: dict[int, dict[Key, float]] = {job_id: {} for job_id in job_ids}
    for job_id, stage, victim, done, total in rows:
        shares[job_id][stage, victim] = min(1.0, done / total) if total else 0.0
    return {job_id: Running(*trials.get(job_id, (0, 0)), its) for job_id, its in shares.items()}


def pace(session: Session, experiment_id: int, pretraining: Sequence[int]) -> dict[Key, float]:
    """Seconds that one job's whole stage takes, by what was measured so far in the batches of an
    experiment and in the jobs ``pretraining``.
    """
    its = select(Job.id).where(Job.experiment_id == experiment_id)
    rows = session.execute(
        select(
            JobStage.stage,
            JobStage.victim,
            func.sum(JobStage.seconds),
            func.sum(JobStage.measured),
        )
        .where(or_(JobStage.job_id.in_(its), JobStage.job_id.in_(pretraining)))
        .group_by(JobStage.stage, JobStage.victim)
    )
    return {
        (stage, victim): seconds / measured for stage, victim, seconds, measured in rows if measured
    }


def success_so_far(session: Session, experiment: Experiment) -> list[RateSoFar]:
    """For every victim, its rate after the first, second, ... finished trial."""
    rows = session.execute(
        select(Outcome.victim, Outcome.success, Outcome.twin_success)
        .join(Trial, Trial.id == Outcome.trial_id)
        .where(Outcome.experiment_id == experiment.id)
        .order_by(Trial.finished_at, Trial.number)
    )
    fell: dict[int, list[tuple[bool, bool]]] = {}
    for victim, success, twin in rows:
        fell.setdefault(victim, []).append((success, twin))
    told = experiment.is_sequential
    return [_so_far(victim, its, told) for victim, its in sorted(fell.items())]


def _so_far(victim: int, fell: Sequence[tuple[bool, bool]], is_sequential: bool) -> RateSoFar:
    stride = -(-len(fell) // MOST)
    successes = twins = 0
    rates, twin_rates = [], []
    for n, (success, twin) in enumerate(fell, 1):
        successes, twins = successes + success, twins + twin
        if n % stride == 0 or n == len(fell):
            rates.append(rate(successes, n, is_sequential))
            twin_rates.append(rate(twins, n, is_sequential))
    return RateSoFar(victim=victim, success=rates, twin=twin_rates)
