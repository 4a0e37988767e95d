"""What an experiment will cost: a model of its arithmetic, corrected by what was measured here.

The model counts forward passes of the catalogue's networks. Where trials of the same attack have
been run, the ratio of their measured to their modelled seconds corrects it, and the basis says so.
"""

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.errors import Invalid
from app.models import Checkpoint, Experiment, Outcome, Trial
from app.schemas import Estimate
from app.settings import Settings
from poisoning import catalog
from poisoning.recipes import RECIPES
from poisoning.spec import ExperimentSpec, PretrainSpec

CPU_GFLOPS = 70.0  # sustained per core in fp32; measured on a server core
GPU_GFLOPS = 40_000.0
FAST_GAIN = 4.0  # bf16 over fp32
STEP_S = 0.002  # what a step costs however small the network
INPUT_GRADIENT = 2.0  # forward and gradient of the input, in forward passes
TRAINING = 3.0  # forward and gradient of the weights
CROPS = 162  # different views of an image under random crop and flip
START_S = 6.0  # a child process: imports, data, checkpoints
MIB_PER_MFLOP = 0.015  # activations kept for a gradient, per image
BASE_MIB = 500.0  # a process with torch and a data set
MAX_BATCH = 32
MAX_BATCH_GPU = 128
CALIBRATED_ON = 10  # latest experiments


@dataclass(frozen=True)
class Cost:
    """Seconds and memory of one trial, and of what the trials of a batch share."""

    craft_s: float
    victim_s: float
    shared_s: float
    trial_mib: float
    shared_mib: float


def estimate(session: Session, settings: Settings, spec: ExperimentSpec) -> Estimate:
    """The cost of an experiment; Invalid where one trial alone does not fit into memory."""
    cost, basis = _calibrated(session, settings, spec)
    batch = batch_size(settings, cost)
    batches = math.ceil(spec.trials / batch)
    pretrain = sum(_pretrain_s(session, settings, name) for name in checkpoints_of(spec))
    craft, victims = spec.trials * cost.craft_s, spec.trials * cost.victim_s
    shared = batches * (START_S + cost.shared_s)
    return Estimate(
        seconds=pretrain + craft + victims + shared,
        craft_seconds=craft,
        victim_seconds=victims + shared,
        pretrain_seconds=pretrain,
        basis=basis,
        batches=batches,
        memory_mib=cost.shared_mib + min(batch, spec.trials) * cost.trial_mib,
    )


def plan(session: Session, settings: Settings, spec: ExperimentSpec) -> list[range]:
    """The batches of trials: even ones, each about as long as the settings ask for."""
    cost, _ = _calibrated(session, settings, spec)
    count = math.ceil(spec.trials / batch_size(settings, cost))
    edges = [round(spec.trials * i / count) for i in range(count + 1)]
    return [range(a, b) for a, b in pairwise(edges)]


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
    fits = (room - cost.shared_mib) / cost.trial_mib if room is not None else math.inf
    per_trial = cost.craft_s + cost.victim_s
    in_time = settings.batch_seconds / per_trial if per_trial else math.inf
    cap = MAX_BATCH_GPU if _is_gpu(settings) else MAX_BATCH
    return int(max(1, min(fits, in_time, cap)))


def checkpoints_of(spec: ExperimentSpec) -> list[str]:
    """Names of all checkpoints an experiment uses, each once."""
    return list(dict.fromkeys(name for _, name in spec.checkpoint_names()))


def available_mib(settings: Settings) -> float | None:
    """Memory a batch may take; None where it cannot be known from here (a GPU's)."""
    if settings.memory_mib is not None:
        return float(settings.memory_mib)
    if _is_gpu(settings):
        return None
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return float(line.split()[1]) / 1024
    except OSError:
        pass  # not Linux: all of the machine's memory is the next best figure
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**20


# --- the model --------------------------------------------------------------------------------


def model_cost(session: Session, settings: Settings, spec: ExperimentSpec) -> Cost:
    """Seconds and MiB from counting forward passes; nothing measured enters."""
    data = catalog.dataset(spec.data.dataset)
    surrogates = [_model(session, name) for name in spec.surrogates]
    rate = _flops_per_s(settings, spec.precision)
    steps = 1
    for knob in ("steps", "draws", "restarts"):
        steps *= getattr(spec.attack, knob, 1)
    flop = INPUT_GRADIENT * spec.data.poisons * sum(m.forward_mflop for m in surrogates) * 1e6
    is_idle = catalog.attack(spec.attack.name).needs == "nothing"
    craft = 0.0 if is_idle else steps * (len(surrogates) * STEP_S + flop / rate)
    victim_s = shared_s = table_mib = 0.0
    for victim in spec.victims:
        model, recipe = _model(session, victim.checkpoint), victim.recipe
        views = min(CROPS, recipe.epochs) if recipe.augment else 1
        forward = model.forward_mflop * 1e6 / rate
        shared_s += (spec.data.train_size * views + data.test_images) * forward
        head_steps = recipe.epochs * math.ceil(spec.data.train_size / recipe.batch_size)
        victim_s += 2 * (spec.data.poisons * views * forward + head_steps * STEP_S / 10)
        table_mib += spec.data.train_size * views * model.feature_dim * 4 / 2**20
    images_mib = (data.train_images + data.test_images) * 3 * data.image_size**2 / 2**20
    largest = max((m.forward_mflop for m in surrogates), default=0.0)
    per_trial = spec.data.poisons * (largest * MIB_PER_MFLOP + 0.1) + spec.data.train_size * 0.004
    return Cost(craft, victim_s, shared_s, per_trial, BASE_MIB + images_mib + table_mib)


def _pretrain_s(session: Session, settings: Settings, name: str) -> float:
    """Seconds until a checkpoint is there: 0 where it is."""
    row = session.scalar(select(Checkpoint).where(Checkpoint.name == name))
    if row is not None and row.state == "ready":
        return 0.0
    stored = row.spec if row is not None else None
    spec = PretrainSpec.model_validate(stored) if stored else RECIPES.get(name)
    if spec is None:
        return 0.0
    return START_S + _modelled_pretraining(settings, spec) * _pretrain_ratio(session, settings)


def _modelled_pretraining(settings: Settings, spec: PretrainSpec) -> float:
    images = catalog.dataset(spec.dataset).train_images
    flop = TRAINING * images * spec.epochs * catalog.model(spec.model).forward_mflop * 1e6
    steps = spec.epochs * math.ceil(images / spec.batch_size)
    return steps * 2 * STEP_S + flop / _flops_per_s(settings, spec.precision)


def _model(session: Session, checkpoint: str) -> catalog.Model:
    """The architecture of a checkpoint; of an unknown one, the commonest."""
    if checkpoint in RECIPES:
        return catalog.model(RECIPES[checkpoint].model)
    name = session.scalar(select(Checkpoint.model).where(Checkpoint.name == checkpoint))
    return catalog.MODELS.get(name or "", catalog.MODELS["resnet18"])


def _flops_per_s(settings: Settings, precision: str) -> float:
    cores = settings.threads or os.cpu_count() or 1
    rate = GPU_GFLOPS if _is_gpu(settings) else CPU_GFLOPS * cores
    return rate * 1e9 * (FAST_GAIN if precision == "fast" else 1.0)


def _is_gpu(settings: Settings) -> bool:
    return settings.device.startswith(("cuda", "mps"))


# --- what was measured ------------------------------------------------------------------------


def _calibrated(session: Session, settings: Settings, spec: ExperimentSpec) -> tuple[Cost, str]:
    cost = model_cost(session, settings, spec)
    measured = _measured(session, spec.attack.name)
    if not measured:
        return cost, "cost model, uncalibrated"
    modelled = {i: model_cost(session, settings, found) for i, (found, *_) in measured.items()}
    craft = _ratio((row[1], modelled[i].craft_s) for i, row in measured.items())
    victims = _ratio((row[2], modelled[i].victim_s) for i, row in measured.items())
    trials = sum(row[3] for row in measured.values())
    corrected = Cost(
        cost.craft_s * craft,
        cost.victim_s * victims,
        cost.shared_s,
        cost.trial_mib,
        cost.shared_mib,
    )
    return corrected, f"measured on {trials} trials here"


def _measured(session: Session, attack: str) -> dict[int, tuple[ExperimentSpec, float, float, int]]:
    """Of the latest experiments with this attack: spec, seconds per trial of both stages, n."""
    latest = (
        select(Trial.experiment_id, func.avg(Trial.craft_seconds), func.count())
        .join(Experiment, Experiment.id == Trial.experiment_id)
        .where(Experiment.attack == attack, Trial.state == "done")
        .group_by(Trial.experiment_id)
        .order_by(Trial.experiment_id.desc())
        .limit(CALIBRATED_ON)
    )
    rows = {row[0]: (float(row[1] or 0), row[2]) for row in session.execute(latest)}
    spent = session.execute(
        select(Outcome.experiment_id, func.sum(Outcome.seconds))
        .where(Outcome.experiment_id.in_(rows))
        .group_by(Outcome.experiment_id)
    )
    victim_s = {experiment_id: float(total) for experiment_id, total in spent}
    specs = session.execute(select(Experiment.id, Experiment.spec).where(Experiment.id.in_(rows)))
    return {
        i: (
            ExperimentSpec.model_validate(s),
            rows[i][0],
            victim_s.get(i, 0.0) / rows[i][1],
            rows[i][1],
        )
        for i, s in specs
    }


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
        (seconds, _modelled_pretraining(settings, PretrainSpec.model_validate(spec)))
        for spec, seconds in rows
        if spec
    )
