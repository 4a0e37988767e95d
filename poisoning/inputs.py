"""What the trials of a job are run on: a data set, and checkpoints as surrogates and extractors."""

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from poisoning import catalog, data, devices
from poisoning.attacks.batch import Constants, Surrogates
from poisoning.events import TrialsJob
from poisoning.models import Network, store
from poisoning.ops import triggers
from poisoning.ops.triggers import Trigger
from poisoning.params import Triggered
from poisoning.spec import SAMPLED, Access, FieldError
from poisoning.victims.features import FeatureTable

CPU_ROWS = 50  # poisons crafted at once: more gains nothing on a processor
GPU_ROWS = 2500
MIB_PER_MFLOP = 0.015  # of activations kept for a gradient, per image


@dataclass(frozen=True)
class Checkpoint:
    """A network and the card that says what it is; ``card.sha256`` is its identity."""

    net: Network
    card: store.Card


class Inputs:
    """Everything a TrialsJob names, loaded once for all of its trials.

    Raises DataError, CheckpointError, or FieldError where things do not fit together.
    """

    def __init__(self, job: TrialsJob) -> None:
        self.job, self.spec = job, job.spec
        self.device = devices.pick(job.machine.device)
        self.data = data.load(job.spec.data.dataset, job.machine.data_dir)
        self.checkpoints: dict[str, Checkpoint] = {}
        for field, name in job.spec.checkpoint_names():
            if name not in self.checkpoints:
                self.checkpoints[name] = self._load(field, name)
        self._check_classifiers()
        self._tables: dict[str, FeatureTable] = {}

    def _load(self, field: str, name: str) -> Checkpoint:
        if name not in self.job.checkpoints:
            raise FieldError(
                field, f"there is no checkpoint named {name!r}", "train or import it first"
            )
        net, card = store.load(self.job.checkpoints[name])
        if card.image_size != self.data.spec.image_size:
            raise FieldError(
                field,
                f"{name} was made for images of {card.image_size} pixels, "
                f"{self.data.spec.title} has {self.data.spec.image_size}",
                "choose another checkpoint or data set",
            )
        return Checkpoint(net, card)

    def _check_classifiers(self) -> None:
        """An attack that asks what an image is taken for needs surrogates that know its classes."""
        attack, wanted = catalog.attack(self.spec.attack.name), self.data.spec
        if attack.needs != "classifier":
            return
        is_drawn = SAMPLED in self.spec.surrogates
        crafted_on = ("surrogates.", "sampled_from.") if is_drawn else ("surrogates.",)
        for field, name in self.spec.checkpoint_names():
            trained_on = catalog.DATASETS.get(self.checkpoints[name].card.dataset)
            if field.startswith(crafted_on) and (
                trained_on is None or trained_on.classes != wanted.classes
            ):
                raise FieldError(
                    field,
                    f"{attack.title} needs a classifier of {wanted.title}; {name} was trained on "
                    f"{trained_on.title if trained_on else self.checkpoints[name].card.dataset}",
                    f"name a checkpoint trained on {wanted.title}",
                )

    @property
    def mean(self) -> Constants:
        """Of the victim's data set, also for extractors that were pretrained on another one."""
        return self.data.spec.mean if self.spec.data.normalize else (0.0, 0.0, 0.0)

    @property
    def std(self) -> Constants:
        return self.data.spec.std if self.spec.data.normalize else (1.0, 1.0, 1.0)

    @cached_property
    def trigger(self) -> Trigger | None:
        """A backdoor's, the same in all trials of the experiment."""
        attack = self.spec.attack
        if not isinstance(attack, Triggered):
            return None
        return triggers.make(attack, self.data.spec.image_size, self.spec.seed)

    @cached_property
    def surrogates(self) -> Surrogates:
        nets = [self.checkpoints[name].net for name in self.spec.surrogates]
        return Surrogates(nets, self.mean, self.std, self.device, self.spec.precision)

    def table(self, name: str) -> FeatureTable:
        """The features of one checkpoint, kept for all trials of the job."""
        if name not in self._tables:
            net = self.checkpoints[name].net
            self._tables[name] = FeatureTable(
                net, self.data, self.mean, self.std, self.device, self.spec.precision
            )
        return self._tables[name]

    def access(self, victim: str) -> Access:
        """What the attacker knew of this victim's extractor; computed, never declared."""
        card = self.checkpoints[victim].card
        known = [self.checkpoints[name].card for name in self.spec.surrogates]
        if card.sha256 in {other.sha256 for other in known}:
            return "white_box"
        is_grey = card.model in {other.model for other in known}
        return "grey_box" if is_grey else "black_box"

    def trials_at_once(self) -> int:
        """How many trials are crafted together: enough to keep the device busy."""
        rows = CPU_ROWS
        if self.device.type == "cuda":
            cards = [self.checkpoints[name].card for name in self.spec.surrogates]
            mflop = sum(catalog.model(card.model).forward_mflop for card in cards)
            free = torch.cuda.mem_get_info(self.device)[0]
            rows = min(GPU_ROWS, math.floor(free / 2 / 2**20 / (MIB_PER_MFLOP * max(mflop, 1.0))))
        return max(1, rows // self.spec.data.poisons)

    @property
    def work_dir(self) -> Path:
        return Path(self.job.machine.work_dir)
