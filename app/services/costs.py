"""What a trial costs by counting forward passes of the catalogue's networks; nothing measured.

Frozen victims read their features from a table that all trials of a batch share; end-to-end and
from-scratch victims train the whole network, three forward passes' worth per image and epoch.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.models import Checkpoint
from app.settings import Settings
from poisoning import catalog
from poisoning.recipes import RECIPES
from poisoning.spec import AdoptSpec, ExperimentSpec, PretrainSpec, checkpoint_of
from poisoning.victim_params import AnyVictim

CPU_GFLOPS = 70.0  # sustained per core in fp32; measured on a server core
GPU_GFLOPS = 40_000.0
FAST_GAIN = 4.0  # bf16 over fp32
STEP_S = 0.002  # what a step costs however small the network
INPUT_GRADIENT = 2.0  # forward and gradient of the input, in forward passes
TRAINING = 3.0  # forward and gradient of the weights
CROPS = 162  # different views of an image under random crop and flip
MIB_PER_MFLOP = 0.015  # activations kept for a gradient, per image
BASE_MIB = 500.0  # a process with torch and a data set


@dataclass(frozen=True)
class VictimCost:
    """Seconds of one victim and its twin: a trial's, what the trials of a batch share, what the
    whole experiment shares (twins with shared seeds). MiB it needs however many trials there are.
    """

    trial_s: float
    batch_s: float
    once_s: float
    mib: float

    def times(self, ratio: float) -> "VictimCost":
        return VictimCost(self.trial_s * ratio, self.batch_s * ratio, self.once_s * ratio, self.mib)


@dataclass(frozen=True)
class Cost:
    """Seconds and MiB of crafting one trial, of the victims, and of the process itself."""

    craft_s: float
    victims: tuple[VictimCost, ...]
    trial_mib: float
    base_mib: float

    @property
    def trial_s(self) -> float:
        return self.craft_s + sum(victim.trial_s for victim in self.victims)

    @property
    def shared_mib(self) -> float:
        return self.base_mib + sum(victim.mib for victim in self.victims)


@dataclass(frozen=True)
class _Run:
    """What the cost of a victim follows from."""

    spec: ExperimentSpec
    data: catalog.Dataset
    model: catalog.Model
    rate: float  # flop/s

    @property
    def forward_s(self) -> float:
        return self.model.forward_mflop * 1e6 / self.rate


def of_experiment(session: Session | None, settings: Settings, spec: ExperimentSpec) -> Cost:
    """The modelled cost of an experiment; of trials that draw a checkpoint, trial 0's. Without a
    session only checkpoints that are recipes are known.
    """
    spec = spec.for_trial(0)
    data = catalog.dataset(spec.data.dataset)
    rate = flops_per_s(settings, spec.precision)
    surrogates = [_model(session, name) for name in spec.surrogates]
    images_mib = (data.train_images + data.test_images) * 3 * data.image_size**2 / 2**20
    largest = max((m.forward_mflop for m in surrogates), default=0.0)
    per_trial = spec.data.poisons * (largest * MIB_PER_MFLOP + 0.1) + spec.data.train_size * 0.004
    return Cost(
        _crafting_s(spec, surrogates, rate),
        tuple(
            VICTIMS[victim.regime](_Run(spec, data, _victim_model(session, victim), rate), victim)
            for victim in spec.victims
        ),
        per_trial,
        BASE_MIB + images_mib,
    )


def of_pretraining(settings: Settings, spec: PretrainSpec) -> float:
    """Modelled seconds of training a checkpoint."""
    images = catalog.dataset(spec.dataset).train_images
    passes = TRAINING * (1 + (spec.adversarial.steps if spec.adversarial else 0))
    flop = passes * images * spec.epochs * catalog.model(spec.model).forward_mflop * 1e6
    steps = spec.epochs * math.ceil(images / spec.batch_size)
    return steps * 2 * STEP_S + flop / flops_per_s(settings, spec.precision)


def of_adoption(settings: Settings, spec: AdoptSpec) -> float:
    """Modelled seconds of judging weights that were trained elsewhere."""
    images = catalog.dataset(spec.dataset).test_images
    flop = images * catalog.model(spec.model).forward_mflop * 1e6
    return flop / flops_per_s(settings, spec.precision)


def flops_per_s(settings: Settings, precision: str) -> float:
    """Of one of this machine's workers."""
    rate = GPU_GFLOPS if is_gpu(settings) else CPU_GFLOPS * settings.threads_each
    return rate * 1e9 * (FAST_GAIN if precision == "fast" else 1.0)


def is_gpu(settings: Settings) -> bool:
    return settings.device.startswith(("cuda", "mps"))


def _crafting_s(spec: ExperimentSpec, surrogates: list[catalog.Model], rate: float) -> float:
    if catalog.attack(spec.attack.name).needs == "nothing":
        return 0.0
    steps = 1
    for knob in ("steps", "draws", "restarts"):
        steps *= getattr(spec.attack, knob, 1)
    flop = INPUT_GRADIENT * spec.data.poisons * sum(m.forward_mflop for m in surrogates) * 1e6
    return steps * (len(surrogates) * STEP_S + flop / rate)


def _frozen(run: _Run, victim: AnyVictim) -> VictimCost:
    recipe, train_size = victim.recipe, run.spec.data.train_size
    views = min(CROPS, recipe.epochs) if recipe.augment else 1
    head_steps = recipe.epochs * math.ceil(train_size / recipe.batch_size)
    return VictimCost(
        2 * (run.spec.data.poisons * views * run.forward_s + head_steps * STEP_S / 10),
        (train_size * views + run.data.test_images) * run.forward_s,
        0.0,
        train_size * views * run.model.feature_dim * 4 / 2**20,
    )


def _whole(run: _Run, victim: AnyVictim) -> VictimCost:
    """A network trained whole, judged on the test images, and its twin."""
    recipe, train_size = victim.recipe, run.spec.data.train_size
    steps = recipe.epochs * math.ceil(train_size / recipe.batch_size)
    training = steps * 2 * STEP_S + TRAINING * train_size * recipe.epochs * run.forward_s
    one = training + run.data.test_images * run.forward_s
    shared = min(getattr(victim, "shared_twins", 0), run.spec.trials)
    activations = min(recipe.batch_size, train_size) * run.model.forward_mflop * MIB_PER_MFLOP
    return VictimCost(one if shared else 2 * one, 0.0, shared * one, activations)


VICTIMS: dict[str, Callable[[_Run, AnyVictim], VictimCost]] = {
    "frozen": _frozen,
    "end_to_end": _whole,
    "from_scratch": _whole,
}


def _victim_model(session: Session | None, victim: AnyVictim) -> catalog.Model:
    name = checkpoint_of(victim)
    if name is None:
        return catalog.model(getattr(victim, "model", ""))
    return _model(session, name)


def _model(session: Session | None, checkpoint: str) -> catalog.Model:
    """The architecture of a checkpoint; of an unknown one, the commonest."""
    if checkpoint in RECIPES:
        return catalog.model(RECIPES[checkpoint].model)
    name = None
    if session is not None:
        name = session.scalar(select(Checkpoint.model).where(Checkpoint.name == checkpoint))
    return catalog.MODELS.get(name or "", catalog.MODELS["resnet18"])
