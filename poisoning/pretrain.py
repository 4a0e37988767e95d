"""Pretraining an extractor: a job with epochs, progress, resume, and a checkpoint at its end.

The data set lies on the device as uint8; crops, flips and normalisation are done for a batch at
once. Every epoch's draws come from (seed, epoch, name), so an interrupted run goes on from its
last whole epoch to the same weights, bit for bit, as one that was not (same machine, same
threads). Adversarial training takes its steps on PGD's images instead of clean ones.
"""

import math
import time
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.nn import functional

from poisoning import data, devices, shipped
from poisoning.data.augment import apply_views, draw_views, normalize, scaled
from poisoning.events import CheckpointDone, Log, Message, PretrainJob, Progress
from poisoning.models import build, shipping, store
from poisoning.models.evaluate import Constants, clean_accuracy
from poisoning.models.robust import attacked, robust_accuracy
from poisoning.ops import optimizers
from poisoning.spec import FieldError, PretrainSpec, seed_for, spec_hash

Emit = Callable[[Message], None]
WARM_UP = 0.3  # of a one-cycle schedule's steps
DROP_FACTOR = 0.1  # of the step schedule
REPORT_EVERY_S = 2.0


def run(job: PretrainJob, emit: Emit) -> None:
    """Train ``job.spec``, write ``<work_dir>/<name>.safetensors`` and its card; where the project
    ships that checkpoint, take it.

    Raises DataError, or FieldError where the loss stops being a number.
    """
    devices.configure(job.spec.precision, job.machine.threads)
    device = devices.pick(job.machine.device)
    path = Path(job.machine.work_dir) / f"{job.name}.safetensors"
    card = _finished(path, job.spec)
    if card is None and (found := shipped.find(job.name, job.spec)) is not None:
        card = shipping.place(found, path)
        emit(Log(message=f"{job.name} comes with Dosimeter and is not trained anew"))
    if card is None:
        emit(Progress(stage="load", done=0, total=1, unit="data sets", detail=job.spec.dataset))
        images = data.load(job.spec.dataset, job.machine.data_dir)
        training = Training(job.spec, images, device)
        training.run(path.with_suffix(".state"), emit)
        card = store.save(path, training.net, training.card(job.name))
        path.with_suffix(".state").unlink(missing_ok=True)
    emit(CheckpointDone.of(card, path, card.seconds or 0.0))


def _finished(path: Path, spec: PretrainSpec) -> store.Card | None:
    """The card of a checkpoint that an earlier attempt at the same spec already wrote whole."""
    try:
        card = store.read_card(path)
    except store.CheckpointError:
        return None
    is_whole = card.recipe == spec and store.content_hash(path) == card.sha256
    return card if is_whole else None


def learning_rate(spec: PretrainSpec, step: int, steps_per_epoch: int) -> float:
    """The rate of one step: dropped tenfold at ``drop_epochs``, or one cycle (linear up to
    ``learning_rate`` over the first 30 % of the steps, then a half cosine down to 0).
    """
    if spec.schedule == "steps":
        drops = sum(step // steps_per_epoch >= epoch for epoch in spec.drop_epochs)
        return spec.learning_rate * DROP_FACTOR**drops
    done = (step + 1) / (spec.epochs * steps_per_epoch)
    if done < WARM_UP:
        return spec.learning_rate * done / WARM_UP
    return spec.learning_rate * (1 + math.cos(math.pi * (done - WARM_UP) / (1 - WARM_UP))) / 2


def image_size(spec: PretrainSpec, epoch: int) -> int | None:
    """Pixels a side that an epoch's images are scaled to; None: as they are. Small images first
    cost less and lose little (progressive resizing; Howard, fast.ai's DAWNBench entry, 2018).
    """
    return spec.sizes[epoch * len(spec.sizes) // spec.epochs] if spec.sizes else None


class Training:
    """One network in training on one device."""

    def __init__(
        self, spec: PretrainSpec, images: data.LoadedDataset, device: torch.device
    ) -> None:
        self.spec, self.data, self.device = spec, images, device
        self.seconds = 0.0  # of training, over all attempts
        row = images.spec
        self.mean: Constants = row.mean if spec.normalize else (0.0, 0.0, 0.0)
        self.std: Constants = row.std if spec.normalize else (1.0, 1.0, 1.0)
        seed = seed_for(spec.seed, 0, "weights")
        net = build(spec.model, len(row.classes), row.image_size, seed=seed)
        is_fast = spec.precision == "fast"
        layout = torch.channels_last if is_fast else torch.contiguous_format
        self.net = net.to(device).to(memory_format=layout)
        self.images, self.labels = images.train.images.to(device), images.train.labels.to(device)
        self.optimizer = optimizers.of(self.net.parameters(), spec)
        self.steps_per_epoch = math.ceil(len(self.labels) / spec.batch_size)

    def run(self, state: Path, emit: Emit) -> None:
        """Every epoch that ``state`` does not already hold."""
        first = self.restore(state, emit)
        for epoch in range(first, self.spec.epochs):
            started = time.monotonic()
            self.train_epoch(epoch, emit)
            self.seconds += time.monotonic() - started
            self.save(state, epoch + 1)

    def train_epoch(self, epoch: int, emit: Emit) -> None:
        """One pass over the training split in a drawn order."""
        n, batch_size = len(self.labels), self.spec.batch_size
        torch.manual_seed(seed_for(self.spec.seed, epoch, "dropout"))
        order = torch.randperm(n, generator=self._generator(epoch, "order")).to(self.device)
        views = draw_views(self._generator(epoch, "views"), n)
        views_here = [drawn.to(self.device) for drawn in views]
        starts = self._generator(epoch, "adversarial")
        tally, reported = Tally(self.device), time.monotonic()
        self.net.train()
        for place in range(self.steps_per_epoch):
            part = slice(place * batch_size, (place + 1) * batch_size)
            images, labels = self.images[order[part]], self.labels[order[part]]
            if self.spec.augment:
                images = apply_views(images, *(drawn[part] for drawn in views_here))
            step = epoch * self.steps_per_epoch + place
            inputs = self._inputs(images, labels, image_size(self.spec, epoch), starts)
            tally.add(*self._step(step, inputs, labels), len(labels))
            is_last = place + 1 == self.steps_per_epoch
            if is_last or time.monotonic() - reported > REPORT_EVERY_S:
                self._report(step + 1, epoch, tally, emit)
                reported = time.monotonic()

    def _inputs(
        self, images: Tensor, labels: Tensor, size: int | None, starts: torch.Generator
    ) -> Tensor:
        """What a step learns from, ``size`` px a side: normalised, or what PGD makes of it."""
        spec = self.spec
        if spec.adversarial is None:
            return scaled(normalize(images, self.mean, self.std), size)
        pixels, knobs = scaled(images / 255, size), spec.adversarial
        constants = (self.mean, self.std)
        return attacked(self.net, pixels, labels, *constants, knobs, starts, spec.precision)

    def _step(self, step: int, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """One step; returns the summed loss and the number named rightly, on the device."""
        with devices.autocast(self.device, self.spec.precision):
            logits = self.net(inputs)
        loss = functional.cross_entropy(logits.float(), labels)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step(learning_rate(self.spec, step, self.steps_per_epoch))
        return loss.detach() * len(labels), (logits.argmax(1) == labels).sum()

    def _report(self, step: int, epoch: int, tally: "Tally", emit: Emit) -> None:
        values = tally.take()
        if not math.isfinite(values["loss"]):
            raise FieldError(
                "learning_rate",
                f"the loss is {values['loss']} in epoch {epoch + 1}; lower the rate",
            )
        emit(
            Progress(
                stage="pretrain",
                done=step,
                total=self.spec.epochs * self.steps_per_epoch,
                unit="steps",
                detail=f"epoch {epoch + 1} of {self.spec.epochs}",
                values=values,
            )
        )

    def _generator(self, epoch: int, name: str) -> torch.Generator:
        """Draws are made on the CPU, so that they are the same for every device."""
        return torch.Generator().manual_seed(seed_for(self.spec.seed, epoch, name))

    def save(self, state: Path, epochs: int) -> None:
        """All that goes on changing, after ``epochs`` whole epochs: one file or none."""
        tensors = {f"net.{k}": v for k, v in self.net.state_dict().items()}
        tensors |= self.optimizer.tensors()
        metadata = {
            "spec_hash": spec_hash(self.spec),
            "epochs": str(epochs),
            "seconds": str(self.seconds),
        }
        stored = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
        store.write_tensors(state, stored, metadata)

    def restore(self, state: Path, emit: Emit) -> int:
        """Take up a saved state of the same spec; returns how many epochs are done."""
        if not state.is_file():
            return 0
        try:
            with safe_open(state, "pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except SafetensorError as error:
            emit(Log(level="warning", message=f"saved state unreadable ({error}); starting anew"))
            return 0
        if metadata.get("spec_hash") != spec_hash(self.spec):
            emit(Log(level="warning", message="saved state is another recipe's; starting anew"))
            return 0
        net = {k.removeprefix("net."): v for k, v in tensors.items() if k.startswith("net.")}
        store.fill(self.net, net, str(state))
        self.optimizer.restore(tensors)
        self.seconds = float(metadata["seconds"])
        emit(Log(message=f"taken up after {metadata['epochs']} of {self.spec.epochs} epochs"))
        return int(metadata["epochs"])

    def card(self, name: str) -> store.Card:
        """Judge the network on the whole test split and write down how it came about."""
        judged = (self.net, self.data.test, self.mean, self.std)
        knobs, precision = self.spec.adversarial, self.spec.precision
        accuracy = clean_accuracy(*judged, precision)
        robust = None if knobs is None else robust_accuracy(*judged, knobs, precision)
        return store.Card(
            name=name,
            model=self.spec.model,
            num_classes=self.net.num_classes,
            image_size=self.data.spec.image_size,
            dataset=self.spec.dataset,
            dataset_md5=self.data.md5,
            mean=self.mean,
            std=self.std,
            clean_accuracy=accuracy,
            robust_accuracy=robust,
            test_images=len(self.data.test),
            recipe=self.spec,
            seconds=self.seconds,
            hardware=devices.hardware(self.device),
            versions=devices.versions(),
        )


class Tally:
    """Loss and accuracy since the last report, summed on the device."""

    def __init__(self, device: torch.device) -> None:
        self.sums = torch.zeros(3, device=device)  # loss, right, images

    def add(self, loss: Tensor, right: Tensor, images: int) -> None:
        self.sums += torch.stack([loss, right.float(), torch.full_like(loss, images)])

    def take(self) -> dict[str, float]:
        loss, right, images = self.sums.tolist()
        self.sums.zero_()
        return {"loss": loss / images, "accuracy": right / images}
