"""What the trials of a job are run on: a data set, and checkpoints as surrogates and extractors."""

import copy
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from poisoning import catalog, data, devices, identity
from poisoning.attacks.batch import Constants, Surrogates
from poisoning.cache import Cache
from poisoning.events import TrialsJob
from poisoning.models import Network, store
from poisoning.ops import triggers
from poisoning.ops.triggers import Trigger
from poisoning.params import Triggered
from poisoning.spec import (
    SAMPLED,
    Access,
    DataSpec,
    FieldError,
    Precision,
    canonical_json,
    checkpoint_of,
    spec_hash,
)
from poisoning.victim_params import AnyVictim
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
        self._check_last_layers()
        self.cache = Cache(job.machine.cache_dir)
        self._tables: dict[str, FeatureTable] = {}
        self._drawn: dict[str, Inputs] = {}
        self.sampled: str | None = None  # the checkpoint that the trials of this view draw

    def for_trial(self, index: int) -> "Inputs":
        """The same with the checkpoint that a trial draws in the place of 'sampled'."""
        spec = self.spec.for_trial(index)
        if spec is self.spec:
            return self
        key = canonical_json(spec)
        if key not in self._drawn:
            drawn = copy.copy(self)  # shares data, checkpoints, tables and cache
            drawn.spec = spec
            drawn.sampled = self.spec.drawn_checkpoint(index)
            drawn.__dict__.pop("surrogates", None)
            self._drawn[key] = drawn
        return self._drawn[key]

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

    def _check_last_layers(self) -> None:
        """A last layer can be kept only where it knows the victim's classes."""
        wanted = self.data.spec
        for number, victim in enumerate(self.spec.victims):
            if not getattr(victim, "keeps_linear", False):
                continue
            name = checkpoint_of(victim)
            names = self.spec.sampled_from if name == SAMPLED else (name,)
            for each in names:
                trained_on = catalog.DATASETS.get(self.checkpoints[str(each)].card.dataset)
                if trained_on is None or trained_on.classes != wanted.classes:
                    raise FieldError(
                        f"victims.{number}.keeps_linear",
                        f"the last layer of {each} does not know the classes of {wanted.title}",
                        "draw it anew, or choose a checkpoint trained on that data set",
                    )

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """All that what is made of these inputs follows from, and what it is made on."""
        spec, named = self.job.spec, self.checkpoints.items()
        return devices.provenance(self.device) | {
            "precision": {
                "asked": spec.precision,
                "computes": devices.computes(self.device, spec.precision),
            },
            "spec_hash": spec_hash(spec),
            "seed": spec.seed,
            "dataset": {"name": self.data.spec.name, "md5": self.data.md5},
            "checkpoints": {name: checkpoint.card.sha256 for name, checkpoint in named},
        }

    @property
    def data_spec(self) -> DataSpec:
        return self.spec.data

    @property
    def precision(self) -> Precision:
        return self.spec.precision

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
            of = self.checkpoints[name]
            self._tables[name] = FeatureTable(
                of.net, self.data, self.mean, self.std, self.device, self.spec.precision,
                self.cache, of.card.sha256,
            )  # fmt: skip
        return self._tables[name]

    def network(self, name: str) -> Network:
        """A checkpoint's network as it was stored; surrogates and extractors are others."""
        return store.load(self.job.checkpoints[name])[0]

    def access(self, victim: AnyVictim) -> Access:
        """What the attacker knew of this victim's network; computed, never declared. One that
        starts from random weights is never a white box.
        """
        cards = [self.checkpoints[name].card for name in self.spec.surrogates]
        known = [(card.sha256, card.model) for card in cards]
        name = checkpoint_of(victim)
        if name is None:
            return identity.access(None, getattr(victim, "model", None), known)
        card = self.checkpoints[name].card
        return identity.access(card.sha256, card.model, known)

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
