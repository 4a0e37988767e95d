"""What the page of an experiment shows of its course: who is on it, curves, the newest poisons."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from app.queries import curves, experiments, trials, workers
from app.schemas import ExperimentDetail, TrialView, WorkerAt
from app.storage import Store
from app.web import drawings, words
from poisoning import catalog

NEWEST = 6  # trials
POISONS = 3  # of each
THUMB_PX = 64  # about as large as drawn, in whole multiples of the image


@dataclass(frozen=True)
class Thumbs:
    """The target and the first poisons of one finished trial."""

    trial: TrialView
    target: str
    poisons: list[str]
    verdicts: str


def of(session: Session, store: Store, item: ExperimentDetail) -> dict[str, Any]:
    """For the template, by name."""
    experiment = experiments.find(session, item.id)
    dataset = catalog.DATASETS.get(item.dataset)
    size = dataset.image_size if dataset else 32
    return {
        "charts": drawings.charts(item, curves.of_experiment(session, item.id)),
        "bands": drawings.bands(item, curves.success_so_far(session, experiment)),
        "at_work": [in_words(at, item) for at in workers.at_work_on(session, item.id)],
        "newest": newest(session, store, item),
        "thumb": size * max(1, THUMB_PX // size),
        "is_ending": any(job.cancel_requested for job in item.jobs),
    }


def newest(session: Session, store: Store, item: ExperimentDetail) -> list[Thumbs]:
    """Of the trials finished last, those whose poison set is on this server."""
    return [
        _thumbs(trial, trial.poison_set)
        for trial in trials.newest(session, item.id, NEWEST)
        if trial.poison_set and store.has("poison_sets", trial.poison_set)
    ]


def _thumbs(trial: TrialView, sha256: str) -> Thumbs:
    root, count = f"/poison-sets/{sha256}", len(trial.base_indices or [])
    told = [
        f"{words.access(outcome.access)} {'fooled' if outcome.success else 'not fooled'}"
        for outcome in trial.outcomes
    ]
    return Thumbs(
        trial=trial,
        target=f"{root}/target/0.png",
        poisons=[f"{root}/poison/{j}.png" for j in range(min(POISONS, count))],
        verdicts=", ".join(told),
    )


def in_words(at: WorkerAt, item: ExperimentDetail) -> str:
    """ "bench works at batch 2 of 5, on cpu" """
    batches = [job.id for job in item.jobs if job.kind == "trials"]
    what = f"trains {at.checkpoint}" if at.checkpoint else "works at it"
    if at.job_id in batches and len(batches) > 1:
        what = f"works at batch {batches.index(at.job_id) + 1} of {len(batches)}"
    where = f", on {at.device}" if at.device else ""
    again = f", attempt {at.attempt}" if at.attempt > 1 else ""
    doing = ": loading data" if at.stage == "load" else ""
    return f"{at.host} {what}{where}{again}{doing}"
