"""Victims: a step of training, and the frozen victims of many trials together."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.measure import Case, Check, Skipped
from benchmarks.parts import pil_views
from benchmarks.stage import CPU, Stage
from poisoning import devices, victim_params
from poisoning.cache import Cache
from poisoning.data import LoadedDataset, Split
from poisoning.data.augment import Views, draw_views, normalize
from poisoning.data.training_set import clean_indices
from poisoning.events import Setup
from poisoning.models import Network
from poisoning.spec import DataSpec, Precision
from poisoning.victims import VictimBatch, frozen
from poisoning.victims.features import FeatureTable
from poisoning.victims.judging import judge
from poisoning.victims.training import Training, TrainingSet

FAST_GOALS = {"resnet18": 3.0, "vgg11": 1.5, "mobilenet_v2": 1.3}
RATE, MOMENTUM, DECAY = 0.01, 0.9, 2e-4
TEST_IMAGES = 1000


def cases(stage: Stage) -> Iterator[Case | Skipped]:
    with TemporaryDirectory() as folder:
        for model in stage.size.learners:
            yield _training_step(stage, model, Path(folder))
        yield _frozen(stage, Path(folder))


@dataclass
class Bench:
    """What victims are trained on; a new one has computed nothing yet."""

    stage: Stage
    work_dir: Path
    data_spec: DataSpec
    precision: Precision = "exact"
    nets: dict[str, Network] = field(default_factory=dict)
    device: torch.device = CPU

    @property
    def data(self) -> LoadedDataset:
        """With a short test split: what is measured is the training."""
        test = self.stage.data.test
        judged = Split(test.images[:TEST_IMAGES], test.labels[:TEST_IMAGES])
        return replace(self.stage.data, test=judged)

    @property
    def mean(self) -> tuple[float, ...]:
        return self.stage.mean

    @property
    def std(self) -> tuple[float, ...]:
        return self.stage.std

    @property
    def cache(self) -> Cache:
        return Cache(None)

    @cached_property
    def _tables(self) -> dict[str, FeatureTable]:
        return {}

    def table(self, name: str) -> FeatureTable:
        if name not in self._tables:
            net = copy.deepcopy(self.network(name))
            self._tables[name] = FeatureTable(
                net, self.data, self.mean, self.std, CPU, self.precision
            )
        return self._tables[name]

    def network(self, name: str) -> Network:
        return self.nets.setdefault(name, self.stage.fresh(name))


# --- training a network whole -------------------------------------------------------------------


def _training_step(stage: Stage, model: str, folder: Path) -> Case:
    """Fast precision: bf16 and channels last where the processor has bf16, else only the latter.

    On a network that has learned: over few images, batch norm of one that has not amplifies the
    rounding of bf16, the library's as ours, to a cosine of 0.95 in ResNet-18, 0.5 in MobileNetV2.
    """
    count, train = stage.size.batch_size, stage.data.train
    images, labels = train.images[:count], train.labels[:count]
    net = stage.learned(model)
    recipe = victim_params.Recipe(
        learning_rate=RATE, momentum=MOMENTUM, weight_decay=DECAY, batch_size=count
    )
    data = TrainingSet(images, labels, torch.arange(count))
    bench = Bench(stage, folder, DataSpec(dataset=stage.size.dataset), precision="fast")

    def ours() -> Tensor:
        training = Training(copy.deepcopy(net), recipe, data, bench)
        training.net.train()
        training._step(0, images, labels)
        return _change(net, training.net)

    def one() -> Tensor:
        learner = copy.deepcopy(net).train()
        optimizer = torch.optim.SGD(
            learner.parameters(), lr=RATE, momentum=MOMENTUM, weight_decay=DECAY
        )
        loss = functional.cross_entropy(learner(normalize(images, stage.mean, stage.std)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return _change(net, learner)

    is_bf16 = devices.has_bf16("cpu")

    def check(a: Tensor, b: Tensor) -> Check:
        cosine = torch.cosine_similarity(a.double(), b.double(), 0).item()
        return Check(
            cosine > (0.98 if is_bf16 else 0.995), f"cosine of the weights' steps {cosine:.6f}"
        )

    return Case(
        f"training step, {model}", "image", one, ours, count, count, check,
        FAST_GOALS.get(model) if is_bf16 else None,
        "bf16, channels last" if is_bf16 else "no bf16 here: fp32, channels last; no goal for that",
    )  # fmt: skip


def _change(before: Network, after: Network) -> Tensor:
    pairs = zip(before.parameters(), after.parameters(), strict=True)
    return torch.cat([(b.detach() - a.detach()).flatten() for a, b in pairs])


# --- frozen victims -------------------------------------------------------------------------------


def _frozen(stage: Stage, folder: Path) -> Case:
    """T trials with their twins, whole, beside one epoch of one trial, one image at a time."""
    size = stage.size
    trials, count, epochs = size.frozen_trials, size.frozen_images, size.frozen_epochs
    name, recipe = size.frozen_net, victim_params.Recipe(epochs=epochs)
    data_spec = DataSpec(dataset=size.dataset, train_size=count, poisons=1)
    batch = _victims(stage, data_spec, trials)
    nets = {name: stage.fresh(name)}

    def train(epochs: int, batch: VictimBatch) -> list[frozen.Verdict]:
        bench = Bench(stage, folder, data_spec, nets=nets)  # nothing is computed yet
        victim = victim_params.FrozenVictim(
            checkpoint=name, recipe=recipe.model_copy(update={"epochs": epochs})
        )
        return frozen.train_and_judge(victim, bench, batch)

    def check(margin: float, _: object) -> Check:
        found = train(1, batch.only(0))[0].poisoned.margin
        holds = abs(found - margin) <= 1e-3 * max(1, abs(margin))
        return Check(holds, f"margin after one epoch {margin:.5f} and {found:.5f}")

    return Case(
        f"frozen victims, {name}, {trials} trials of {count} images",
        "image and epoch",
        lambda: plain_epoch(stage, nets[name], batch),
        lambda: train(epochs, batch),
        count,
        trials * count * epochs,
        check,
        None,
        f"plain: one epoch of one trial, scaled up to {epochs} epochs and {trials} trials, "
        f"without its passes over the test split; ours: all of it, with twins and {TEST_IMAGES} "
        "test images",
        rounds=2,
    )


def _victims(stage: Stage, data_spec: DataSpec, trials: int) -> VictimBatch:
    """Trials whose poison is a base with some noise."""
    train, test = stage.data.train, stage.data.test
    classes = len(stage.data.spec.classes)
    generator = torch.Generator().manual_seed(5)
    clean, bases, poisons = [], [], []
    base_labels = (test.labels[:trials] + 1) % classes
    for t, label in enumerate(base_labels.tolist()):
        of_class = torch.where(train.labels == label)[0]
        bases.append(of_class[-1 - t % len(of_class)][None])
        setup = Setup(
            target_class=int(test.labels[t]), target_index=t, base_class=label,
            base_indices=tuple(bases[-1].tolist()),
        )  # fmt: skip
        clean.append(clean_indices(train.labels, data_spec, setup))
        noise = torch.randint(-8, 9, train.images[bases[-1]].shape, generator=generator)
        poisons.append((train.images[bases[-1]] + noise).clamp(0, 255).to(torch.uint8))
    return VictimBatch(
        seed=0,
        indices=tuple(range(trials)),
        clean=torch.stack(clean),
        base_indices=torch.stack(bases),
        poisons=torch.stack(poisons),
        base_labels=base_labels,
        targets=test.images[:trials],
        target_labels=test.labels[:trials],
    )


def plain_epoch(stage: Stage, net: Network, batch: VictimBatch) -> float:
    """The first epoch of the first trial with the trial's own draws: PIL image by image, the
    frozen network, one linear layer; its margin on the target.
    """
    train, recipe = stage.data.train, victim_params.Recipe()
    ids = torch.cat([batch.clean[0], batch.base_indices[0]])
    arrays = torch.cat([train.images[batch.clean[0]], batch.poisons[0]])
    arrays = arrays.permute(0, 2, 3, 1).contiguous().numpy()
    labels = train.labels[ids]
    drawn = draw_views(batch.shared_generator("views/0"), len(train))
    order = torch.randperm(len(ids), generator=batch.generator(0, "order/0"))
    head = frozen.draw_heads(batch, net.feature_dim, net.num_classes, CPU)
    linear = nn.Linear(net.feature_dim, net.num_classes)
    with torch.no_grad():
        linear.weight.copy_(head.weight[0])
        linear.bias.copy_(head.bias[0, 0])
    optimizer = torch.optim.SGD(
        linear.parameters(), recipe.learning_rate, recipe.momentum,
        weight_decay=recipe.weight_decay,
    )  # fmt: skip
    net = net.eval()
    for part in order.split(recipe.batch_size):
        views = Views(*(view[ids[part]] for view in drawn))
        x = pil_views(arrays[part.numpy()], views, stage.mean, stage.std)
        with torch.no_grad():
            features = net.features(x)
        loss = functional.cross_entropy(linear(features), labels[part])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        logits = linear(net.features(normalize(batch.targets[:1], stage.mean, stage.std)))
    return judge(logits[0].double(), int(batch.base_labels[0]), 0.0).margin
