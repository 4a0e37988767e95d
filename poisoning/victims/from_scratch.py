"""From scratch (FST): a network trained from random weights on the poisoned set.

Twins are clean victims. Where K of them are shared, trial i has number i mod K: a network with
weights, order and dropout of its own, trained on the first n images of each class with no setup's
bases left out; it is trained once and kept in the cache for all jobs. Where none is shared, every
trial has its own twin with the trial's own draws and the base originals in the poisons' places;
what it says is kept for all attacks on the same setup.
"""

import contextlib
from dataclasses import dataclass

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from poisoning.data.training_set import first_of_each_class
from poisoning.models import Network, build, store
from poisoning.models.store import write_tensors
from poisoning.spec import digest, seed_for
from poisoning.victim_params import FromScratchVictim
from poisoning.victims import Bench, Verdict, VictimBatch, twins
from poisoning.victims.end_to_end import state_path
from poisoning.victims.judging import Answers, Course, verdict
from poisoning.victims.training import (
    Draws,
    OnStep,
    Training,
    TrainingSet,
    answers,
    explained,
    named_for,
)

TWINS = "twins"  # their kind in the cache


def train_and_judge(
    victim: FromScratchVictim, bench: Bench, batch: VictimBatch, on_step: OnStep
) -> list[Verdict]:
    """Train the victims of T trials, one after the other, and whichever twins are not there yet.

    ``on_step(done, total, values)`` hears of the steps of all of them; what it raises stops it.
    """
    return [_Trial(victim, bench, batch, t, on_step).verdict() for t in range(len(batch))]


@dataclass
class _Trial:
    victim: FromScratchVictim
    bench: Bench
    batch: VictimBatch
    t: int
    on_step: OnStep

    def verdict(self) -> Verdict:
        batch, t, base_label = self.batch, self.t, int(self.batch.base_labels[self.t])
        bases = self.bench.data.train.images[batch.base_indices[t]]
        weights = batch.seed_of(t, "weights")
        own = TrainingSet.of(self.bench, batch, t, batch.poisons[t])
        net, course = self._train("poisoned", weights, own, Draws(batch, t))
        poisoned = answers(net, self.bench, batch, t, course)
        explanation = explained(net, self.bench, batch, t)
        if self.victim.shared_twins:
            twin = self._shared_twin()
        else:
            twin = self._own_twin(weights, bases, poisoned)
        self.on_step(2 * (t + 1), 2 * len(batch), {})
        return verdict(base_label, poisoned, twin, explanation)

    def _own_twin(self, weights: int, bases: Tensor, poisoned: Answers) -> Answers:
        """The twin of this trial alone; of the control it is the same training."""
        bench, batch, t = self.bench, self.batch, self.t
        key = twins.key(self._build(weights), self.victim.recipe, bench, batch, t)
        if (kept := twins.find(bench, key)) is not None:
            return kept
        twin = poisoned
        if not torch.equal(batch.poisons[t], bases):
            clean = TrainingSet.of(bench, batch, t, bases)
            net, course = self._train("twin", weights, clean, Draws(batch, t))
            twin = answers(net, bench, batch, t, course)
        twins.keep(bench, key, twin)
        return twin

    def _train(
        self, name: str, seed: int, data: TrainingSet, draws: Draws
    ) -> tuple[Network, Course]:
        """Train one network; it counts for half of the trial's steps."""
        half = 0 if name == "poisoned" else 1

        def report(done: int, total: int, values: dict[str, float]) -> None:
            runs = 2 * len(self.batch)
            place = (2 * self.t + half) * total + done
            self.on_step(place, runs * total, named_for(name, values))

        training = Training(self._build(seed), self.victim.recipe, data, self.bench)
        state = state_path(self.bench, "from_scratch", self.batch, self.t, name)
        net = training.run(
            draws, self._target(), int(self.batch.base_labels[self.t]), state, report
        )
        return net, training.course

    def _build(self, seed: int) -> Network:
        row = self.bench.data.spec
        return build(self.victim.model, len(row.classes), row.image_size, seed=seed)

    def _target(self) -> Tensor:
        target = self.batch.targets[self.t : self.t + 1]
        return target if self.batch.trigger is None else self.batch.trigger.stamp(target)

    # --- twins that trials share ---------------------------------------------------------------

    def _shared_twin(self) -> Answers:
        number = self.batch.indices[self.t] % self.victim.shared_twins
        key = f"{self._twin_key(number)}.safetensors"
        net = self._found(key)
        if net is None:
            net = self._train_twin(number)
            tensors = {k: v.detach().cpu().contiguous() for k, v in net.state_dict().items()}
            self.bench.cache.put(TWINS, key, lambda path: write_tensors(path, tensors))
        return answers(net, self.bench, self.batch, self.t, Course())

    def _twin_key(self, number: int) -> str:
        recipe, bench = self.victim.recipe.model_dump(mode="json"), self.bench
        return digest(
            {
                "model": self.victim.model,
                "recipe": recipe,
                "data": [bench.data.md5, bench.data_spec.train_size, bench.data_spec.normalize],
                "precision": bench.precision,
                "seed": [self.batch.seed, number],
            }
        )

    def _found(self, key: str) -> Network | None:
        path = self.bench.cache.find(TWINS, key)
        if path is None:
            return None
        net = self._build(0)
        with contextlib.suppress(SafetensorError, OSError, store.CheckpointError):
            store.fill(net, load_file(path), str(path))
            return net.to(self.bench.device).eval()
        self.bench.cache.drop(TWINS, key)  # half a file, or another architecture's
        return None

    def _train_twin(self, number: int) -> Network:
        data, draws = self.bench.data.train, _TwinDraws(self.batch, number)
        ids = first_of_each_class(data.labels, self.bench.data_spec)
        images, labels = data.images[ids], data.labels[ids]
        device = self.bench.device
        clean = TrainingSet(images.to(device), labels.to(device), ids)
        seed = seed_for(self.batch.seed, f"twin {number}", "victim/weights")
        net, _ = self._train("twin", seed, clean, draws)
        return net


class _TwinDraws(Draws):
    """A shared twin's order and dropout are its own number's, not a trial's."""

    def order(self, epoch: int, n: int) -> Tensor:
        seed = self._seed(f"order/{epoch}")
        return torch.randperm(n, generator=torch.Generator().manual_seed(seed))

    def dropout(self, epoch: int) -> int:
        return self._seed(f"dropout/{epoch}")

    def _seed(self, name: str) -> int:
        return seed_for(self.batch.seed, f"twin {self.trial}", f"victim/{name}")
