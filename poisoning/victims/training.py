"""Training a network whole on one poisoned set: what end-to-end and from-scratch have in common.

The set lies on the device as uint8; crops, flips and normalisation are done for a batch at once.
Draws are the trial's own, by name from the seed, and the same for a trial and its twin. After
every epoch the target is asked, and from time to time everything is saved, so that a killed
process goes on from its last saved epoch.
"""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.nn import functional

from poisoning import devices, explain, targets
from poisoning.data.augment import Views, apply_views, draw_views, normalize
from poisoning.events import Explanation
from poisoning.models import Network
from poisoning.models.evaluate import clean_accuracy
from poisoning.models.store import write_tensors
from poisoning.ops import optimizers
from poisoning.ops.schedules import learning_rate
from poisoning.victim_params import Recipe
from poisoning.victims import Bench, VictimBatch
from poisoning.victims.judging import Answers, Course, clouds, margin

OnStep = Callable[[int, int, dict[str, float]], None]  # done, total, values
REPORT_EVERY_S = 1.0
SAVE_EVERY_S = 60.0
BATCH = 256


@dataclass(frozen=True)
class Draws:
    """Where the randomness of one training comes from: ``trial`` of a batch."""

    batch: VictimBatch
    trial: int

    def order(self, epoch: int, n: int) -> Tensor:
        return torch.randperm(n, generator=self.batch.generator(self.trial, f"order/{epoch}"))

    def views(self, epoch: int, images: int) -> Views:
        """Of every image of the train split; the same in all trials of the experiment."""
        return draw_views(self.batch.shared_generator(f"views/{epoch}"), images)

    def dropout(self, epoch: int) -> int:
        return self.batch.seed_of(self.trial, f"dropout/{epoch}")


@dataclass(frozen=True)
class TrainingSet:
    """N images uint8 [N, C, H, W] and labels [N] on the device; ``ids`` [N] are their places in
    the train split, a poison's being its base's: it is seen as its base would be. The last
    ``poisons`` images are those, or the bases in their place.
    """

    images: Tensor
    labels: Tensor
    ids: Tensor
    poisons: int = 0

    @classmethod
    def of(cls, bench: Bench, batch: VictimBatch, t: int, poisons: Tensor) -> "TrainingSet":
        """Trial ``t``'s clean images, then ``poisons`` [J, C, H, W] with their bases' labels."""
        train, clean = bench.data.train, batch.clean[t]
        ids = torch.cat([clean, batch.base_indices[t]])
        images = torch.cat([train.images[clean], poisons])
        labels = train.labels[ids]
        return cls(images.to(bench.device), labels.to(bench.device), ids, len(poisons))


class Training:
    """One network in training. ``target`` [1, C, H, W] is asked after every epoch."""

    def __init__(self, net: Network, recipe: Recipe, data: TrainingSet, bench: Bench) -> None:
        self.recipe, self.data, self.bench = recipe, data, bench
        layout = torch.channels_last if bench.precision == "fast" else torch.contiguous_format
        self.net = net.requires_grad_(True).to(bench.device).to(memory_format=layout)  # type: ignore[call-overload]
        self.optimizer = optimizers.of(self.net.parameters(), recipe)
        self.steps_per_epoch = math.ceil(len(data.labels) / recipe.batch_size)
        self.steps = recipe.epochs * self.steps_per_epoch
        self.course = Course()

    def run(
        self, draws: Draws, target: Tensor, base_label: int, state: Path, on_step: OnStep
    ) -> Network:
        """Every epoch that ``state`` does not already hold; what ``on_step`` raises stops it."""
        saved = time.monotonic()
        for epoch in range(self._restore(state), self.recipe.epochs):
            self._epoch(epoch, draws, on_step)
            self._ask(target, base_label)
            if time.monotonic() - saved > SAVE_EVERY_S and epoch + 1 < self.recipe.epochs:
                self._save(state, epoch + 1)
                saved = time.monotonic()
        state.unlink(missing_ok=True)
        return self.net.eval()

    def _epoch(self, epoch: int, draws: Draws, on_step: OnStep) -> None:
        recipe, device = self.recipe, self.bench.device
        torch.manual_seed(draws.dropout(epoch))
        order = draws.order(epoch, len(self.data.labels)).to(device)
        if recipe.augment:
            drawn = draws.views(epoch, len(self.bench.data.train))
            views = [part[self.data.ids].to(device) for part in drawn]
        losses, reported = [], time.monotonic()
        self.net.train()
        for place, part in enumerate(order.split(recipe.batch_size)):
            images = self.data.images[part]
            if recipe.augment:
                images = apply_views(images, *(drawn[part] for drawn in views))
            step = epoch * self.steps_per_epoch + place
            losses.append(self._step(step, images, self.data.labels[part]))
            is_last = place + 1 == self.steps_per_epoch
            if is_last or time.monotonic() - reported > REPORT_EVERY_S:
                on_step(step + 1, self.steps, {"loss": float(torch.stack(losses).mean())})
                losses, reported = [], time.monotonic()

    def _step(self, step: int, images: Tensor, labels: Tensor) -> Tensor:
        rate = learning_rate(self.recipe, step, self.steps_per_epoch, self.recipe.drop_factor)
        x = normalize(images, self.bench.mean, self.bench.std)
        with devices.autocast(self.bench.device, self.bench.precision):
            logits = self.net(x)
        loss = functional.cross_entropy(logits.float(), labels)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step(rate)
        return loss.detach()

    def _ask(self, target: Tensor, base_label: int) -> None:
        """Note what the network says of the target, and how far the poisons are from it."""
        logits = logits_of(self.net, self.bench, target)
        self.course.margins.append(float(margin(logits[0], base_label)))
        if self.data.poisons:
            images = self.data.images[-self.data.poisons :]
            images = torch.cat([target.to(images.device), images])
            features = features_of(self.net, self.bench, images).double()
            own, poisons = features[0], features[1:]
            self.course.distances.append(float(explain.away(own, poisons.mean(0))))
            self.course.nearest.append(float(explain.away(own, poisons).min()))

    def _save(self, state: Path, epochs: int) -> None:
        tensors = {f"net.{k}": v for k, v in self.net.state_dict().items()}
        tensors |= self.optimizer.tensors()
        for name, values in asdict(self.course).items():
            tensors[name] = torch.tensor(values, dtype=torch.float64)
        stored = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
        write_tensors(state, stored, {"epochs": str(epochs)})

    def _restore(self, state: Path) -> int:
        """How many epochs a saved state holds; 0 where there is none that fits."""
        try:
            with safe_open(state, "pt") as file:
                epochs = int((file.metadata() or {})["epochs"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            course = Course(*(tensors[part.name].tolist() for part in fields(Course)))
        except (SafetensorError, OSError, KeyError, ValueError):
            return 0
        net = {k.removeprefix("net."): v for k, v in tensors.items() if k.startswith("net.")}
        self.net.load_state_dict(net)
        self.optimizer.restore(tensors)
        self.course = course
        return epochs


def named_for(run: str, values: dict[str, float]) -> dict[str, float]:
    """What the "poisoned" run says as it is, what the "twin" says under names of its own."""
    return {f"twin_{k}" if run == "twin" else k: value for k, value in values.items()}


# --- what a trained network is asked ------------------------------------------------------------


@torch.inference_mode()
def logits_of(net: Network, bench: Bench, images: Tensor) -> Tensor:
    """Logits [N, classes], float64 on the CPU, of uint8 images [N, C, H, W], in eval mode."""
    net.eval()
    return _over(images, bench, lambda x: net(x)).double()


@torch.inference_mode()
def features_of(net: Network, bench: Bench, images: Tensor) -> Tensor:
    """Penultimate features [N, D] of uint8 images [N, C, H, W], in eval mode."""
    net.eval()
    return _over(images, bench, lambda x: net.features(x))


def _over(images: Tensor, bench: Bench, function: Callable[[Tensor], Tensor]) -> Tensor:
    parts = []
    for part in images.split(BATCH):
        x = normalize(part.to(bench.device), bench.mean, bench.std)
        with devices.autocast(bench.device, bench.precision):
            parts.append(function(x).float().cpu())
    return torch.cat(parts)


def answers(net: Network, bench: Bench, batch: VictimBatch, t: int, course: Course) -> Answers:
    """What a trained network says of trial ``t``."""
    asked = targets.asked(batch.targets[t : t + 1], batch.trigger)[0]
    hits, patched_images = 0, 0
    if batch.trigger is not None:
        patched = targets.patched(bench.data.test, int(batch.target_labels[t]), batch.trigger)
        predictions = logits_of(net, bench, patched).argmax(1)
        hits, patched_images = int((predictions == batch.base_labels[t]).sum()), len(patched)
    return Answers(
        logits=logits_of(net, bench, asked),
        clean_accuracy=clean_accuracy(net, bench.data.test, bench.mean, bench.std, bench.precision),
        patched_hits=hits,
        patched_images=patched_images,
        course=course,
    )


def explained(net: Network, bench: Bench, batch: VictimBatch, t: int) -> Explanation:
    """Why the network says so, from its own features."""
    train = bench.data.train
    base_class, target_class = clouds(train.labels, batch, t)
    target = targets.asked(batch.targets[t : t + 1], batch.trigger)[0, :1]
    parts = [
        target,
        train.images[batch.base_indices[t]],
        batch.poisons[t],
        train.images[base_class],
        train.images[target_class],
    ]
    features = features_of(net, bench, torch.cat(parts)).split([len(part) for part in parts])
    return explain.explain(features[0][0], *features[1:])
