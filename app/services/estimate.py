"""What an experiment will cost, and how its trials are cut into batches.

The arithmetic of ``app.services.costs``, corrected by what was measured here: crafting by trials
of the same attack, training by victims of the same regime. The basis says what it rests on.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median
from typing import Any

from pydantic import ValidationError
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app import machine
from app.errors import Invalid
from app.models import Checkpoint, Experiment, Outcome, Trial
from app.schemas import Estimate
from app.services import costs, fit
from app.services.costs import Cost
from app.settings import Settings
from poisoning import catalog, shipped
from poisoning.recipes import RECIPES
from poisoning.spec import CHECKPOINT_SPEC, AdoptSpec, ExperimentSpec, PretrainSpec

START_S = 6.0  # a child process: imports, data, checkpoints
MAX_BATCH = 32
MAX_BATCH_SLOW = 4  # on a processor, of trials that take
SLOW_S = 30.0  # this long: what a killed worker loses is minutes
SHARED_S = 60.0  # a worker that takes a part of an experiment has at least so much to do
MAX_BATCH_GPU = 128
CALIBRATED_ON = 10  # latest experiments
LOOKED_AT = 40  # latest experiments, of whatever regime


def estimate(session: Session, settings: Settings, spec: ExperimentSpec) -> Estimate:
    """The cost of an experiment; Invalid where its checkpoints do not fit, or where one trial
    alone does not fit into memory.
    """
    fit.check(session, spec)
    cost, basis = _calibrated(session, settings, spec)
    batches = _count(settings, cost, spec.trials)
    at_once = min(settings.workers, batches)
    trainings = [_pretrain_s(session, settings, name) for name in checkpoints_of(spec)]
    pretrain = max(max(trainings, default=0.0), sum(trainings) / settings.workers)
    craft = spec.trials * cost.craft_s / at_once
    victims = sum(spec.trials * v.trial_s + batches * v.batch_s + v.once_s for v in cost.victims)
    victims = (victims + batches * START_S) / at_once
    return Estimate(
        seconds=pretrain + craft + victims,
        craft_seconds=craft,
        victim_seconds=victims,
        pretrain_seconds=pretrain,
        basis=basis,
        batches=batches,
        memory_mib=cost.shared_mib + math.ceil(spec.trials / batches) * cost.trial_mib,
    )


def plan(session: Session, settings: Settings, spec: ExperimentSpec, first: int = 0) -> list[range]:
    """The batches of trials from the ``first`` on: even ones, each about as long as the settings
    ask for.
    """
    cost, _ = _calibrated(session, settings, spec)
    many = spec.trials - first
    count = _count(settings, cost, many)
    edges = [first + round(many * i / count) for i in range(count + 1)]
    return [range(a, b) for a, b in pairwise(edges)]


def _count(settings: Settings, cost: Cost, trials: int) -> int:
    """How many batches so many trials make; of trials that take long, one for every worker."""
    count = math.ceil(trials / batch_size(settings, cost))
    is_long = trials * cost.trial_s > SHARED_S * settings.workers
    return max(count, min(trials, settings.workers)) if is_long else count


def batch_size(settings: Settings, cost: Cost) -> int:
    """How many trials one batch takes, by time and by memory; Invalid where none fits."""
    room = available_mib(settings)
    if room is not None and cost.shared_mib + cost.trial_mib > room:
        is_trial = cost.trial_mib > cost.shared_mib
        raise Invalid.field(
            "data.poisons" if is_trial else "data.train_size",
            f"one trial needs about {cost.shared_mib + cost.trial_mib:,.0f} MiB of memory, "
            f"{room:,.0f} MiB are available",
            f"lower it (or use a smaller {'surrogate' if is_trial else 'victim'}), or set "
            "DOSIMETER_MEMORY_MIB if the workers have more",
        )
    share = room / settings.workers if room is not None else math.inf
    fits = (share - cost.shared_mib) / cost.trial_mib  # one alone may take what others leave
    in_time = settings.batch_seconds / cost.trial_s if cost.trial_s else math.inf
    return int(max(1, min(fits, in_time, _largest(settings, cost))))


def _largest(settings: Settings, cost: Cost) -> int:
    if costs.is_gpu(settings):
        return MAX_BATCH_GPU
    return MAX_BATCH_SLOW if cost.trial_s > SLOW_S else MAX_BATCH


def checkpoints_of(spec: ExperimentSpec) -> list[str]:
    """Names of all checkpoints an experiment uses, each once."""
    return list(dict.fromkeys(name for _, name in spec.checkpoint_names()))


def available_mib(settings: Settings) -> float | None:
    """Memory of all jobs at once; None where it cannot be known from here (a GPU's)."""
    if settings.memory_mib is not None:
        return float(settings.memory_mib)
    return None if costs.is_gpu(settings) else machine.available_mib()


def _pretrain_s(session: Session, settings: Settings, name: str) -> float:
    """Seconds until a checkpoint is there: 0 where it is."""
    row = session.scalar(select(Checkpoint).where(Checkpoint.name == name))
    if row is not None and row.state == "ready":
        return 0.0
    stored = row.spec if row is not None else None
    spec = CHECKPOINT_SPEC.validate_python(stored) if stored else RECIPES.get(name)
    if spec is None:
        return 0.0
    if isinstance(spec, AdoptSpec):
        return START_S + costs.of_adoption(settings, spec)
    if shipped.find(name, spec) is not None:
        return START_S
    return START_S + costs.of_pretraining(settings, spec) * _pretrain_ratio(session, settings)


# --- what was measured ------------------------------------------------------------------------


@dataclass(frozen=True)
class _Measured:
    """What was measured over what was modelled, and on how many trials."""

    ratio: float
    n: int


def _calibrated(session: Session, settings: Settings, spec: ExperimentSpec) -> tuple[Cost, str]:
    """The modelled cost, each part corrected where it was measured here; and the basis in words."""
    cost = costs.of_experiment(session, settings, spec)
    craft = _crafting(session, settings, spec.attack.name) if cost.craft_s else None
    regimes = _regimes(session, settings)
    victims = tuple(
        modelled.times(regimes[victim.regime].ratio) if victim.regime in regimes else modelled
        for modelled, victim in zip(cost.victims, spec.victims, strict=True)
    )
    parts = {"crafted trials": craft} if cost.craft_s else {}
    for victim in spec.victims:
        title = catalog.regime(victim.regime).title
        parts[f"{title} victims"] = regimes.get(victim.regime)
    corrected = replace(cost, craft_s=cost.craft_s * (craft.ratio if craft else 1), victims=victims)
    return corrected, _basis(parts)


def _basis(parts: dict[str, _Measured | None]) -> str:
    measured = [f"{found.n:,} {what}" for what, found in parts.items() if found]
    modelled = [what for what, found in parts.items() if not found]
    if not measured:
        return "cost model, uncalibrated"
    text = f"measured here: {', '.join(measured)}"
    return f"{text}; cost model, uncalibrated: {', '.join(modelled)}" if modelled else text


def _crafting(session: Session, settings: Settings, attack: str) -> _Measured | None:
    """From the latest experiments with this attack; None where there is none."""
    latest = (
        select(Trial.experiment_id, func.avg(Trial.craft_seconds), func.count())
        .join(Experiment, Experiment.id == Trial.experiment_id)
        .where(Experiment.attack == attack, Trial.state == "done")
        .group_by(Trial.experiment_id)
        .order_by(Trial.experiment_id.desc())
        .limit(CALIBRATED_ON)
    )
    rows = {row[0]: (float(row[1] or 0), int(row[2])) for row in session.execute(latest)}
    pairs = [
        (rows[i][0], costs.of_experiment(session, settings, spec).craft_s, rows[i][1])
        for i, spec in _specs(session, rows).items()
    ]
    return _measured(pairs)


def _regimes(session: Session, settings: Settings) -> dict[str, _Measured]:
    """For each regime, from the victims of the latest experiments, whatever their attack."""
    latest = (
        select(Trial.experiment_id, func.count(Trial.job_id.distinct()))
        .where(Trial.state == "done")
        .group_by(Trial.experiment_id)
        .order_by(Trial.experiment_id.desc())
        .limit(LOOKED_AT)
    )
    batches = {row[0]: int(row[1]) for row in session.execute(latest)}
    spent = session.execute(
        select(Outcome.experiment_id, Outcome.victim, func.sum(Outcome.seconds), func.count())
        .where(Outcome.experiment_id.in_(batches))
        .group_by(Outcome.experiment_id, Outcome.victim)
        .order_by(Outcome.experiment_id.desc(), Outcome.victim)
    ).all()
    specs = _specs(session, batches)
    modelled = {i: costs.of_experiment(session, settings, spec) for i, spec in specs.items()}
    pairs: dict[str, list[tuple[float, float, int]]] = {}
    for i, number, seconds, n in spent:
        if i not in specs:
            continue
        cost, found = (
            modelled[i].victims[number],
            pairs.setdefault(specs[i].victims[number].regime, []),
        )
        if len(found) < CALIBRATED_ON:
            total = n * cost.trial_s + batches[i] * cost.batch_s + cost.once_s
            found.append((float(seconds), total, int(n)))
    measured = {regime: _measured(found) for regime, found in pairs.items()}
    return {regime: found for regime, found in measured.items() if found}


def _specs(session: Session, ids: Iterable[int]) -> dict[int, ExperimentSpec]:
    """The specs of these experiments that can still be read."""
    found = {}
    rows = select(Experiment.id, Experiment.spec).where(Experiment.id.in_(list(ids)))
    for i, stored in session.execute(rows):
        try:
            found[i] = ExperimentSpec.model_validate(stored)
        except ValidationError:
            continue  # launched under older rules: it cannot be costed
    return found


def _measured(pairs: list[tuple[float, float, int]]) -> _Measured | None:
    """Median ratio of (measured, modelled, n); None where nothing can be said."""
    told = [pair for pair in pairs if pair[0] and pair[1]]
    if not told:
        return None
    return _Measured(median(a / b for a, b, _ in told), sum(n for *_, n in told))


def _ratio(pairs: Iterable[tuple[float, float]]) -> float:
    """Median of measured over modelled; 1 where nothing can be said."""
    ratios = [measured / modelled for measured, modelled in pairs if measured and modelled]
    return median(ratios) if ratios else 1.0


def _pretrain_ratio(session: Session, settings: Settings) -> float:
    rows: Any = session.execute(
        select(Checkpoint.spec, Checkpoint.seconds)
        .where(Checkpoint.state == "ready", Checkpoint.seconds.is_not(None))
        .order_by(Checkpoint.id.desc())
        .limit(CALIBRATED_ON)
    )
    return _ratio(
        (seconds, costs.of_pretraining(settings, spec))
        for spec, seconds in ((CHECKPOINT_SPEC.validate_python(s), t) for s, t in rows if s)
        if isinstance(spec, PretrainSpec)
    )
