"""Frozen feature extractor (FFE): a fresh linear layer on a pretrained network.

The benchmark's recipe: the extractor stays in eval mode, so that batch norm's statistics are
frozen; ``linear`` is drawn anew as nn.Linear is and trained alone. The heads of all trials and of
their twins are trained as one batched problem on features that are computed once.

Draws: weights and order are each trial's own, by name from the seed. The view of an image in an
epoch is the same in all trials (common random numbers), and a poison is seen as its base would
be, so a twin has exactly the draws of its poisoned sibling.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from poisoning import explain, targets
from poisoning.data.augment import CENTRE, Views, draw_views
from poisoning.events import Explanation
from poisoning.ops import adam
from poisoning.ops.schedules import learning_rate
from poisoning.victim_params import FrozenVictim, Recipe
from poisoning.victims import Bench, Verdict, VictimBatch
from poisoning.victims.features import FeatureTable
from poisoning.victims.judging import Answers, Course, clouds, margin, verdict

OnEpoch = Callable[[int, int, dict[str, float]], None]  # done, total, values


def train_and_judge(
    victim: FrozenVictim, bench: Bench, batch: VictimBatch, on_epoch: OnEpoch | None = None
) -> list[Verdict]:
    """Train the heads of T trials and their T twins; what each says of its target.

    ``on_epoch`` hears of every epoch; what it raises stops the training.
    """
    recipe, table = victim.recipe, bench.table(victim.checkpoint)
    heads = draw_heads(batch, table.net.feature_dim, len(table.data.spec.classes), table.device)
    sets = TrainingSets(batch, table)
    target = Targets(batch, table)
    optimizer = Optimizer(recipe, math.ceil(sets.rows.shape[1] / recipe.batch_size))
    for epoch in range(recipe.epochs):
        features = sets.features(epoch if recipe.augment else None)
        order = sets.order(epoch)
        losses = []
        for start in range(0, order.shape[1], recipe.batch_size):
            x, y = sets.minibatch(features, order[:, start : start + recipe.batch_size])
            gradients, loss = gradient(heads, x, y)
            heads = optimizer.step(heads, gradients)
            losses.append(loss)
        target.ask(heads)
        if on_epoch is not None:
            poisoned, twins = torch.stack(losses).mean(0).view(2, -1).mean(1).tolist()
            on_epoch(epoch + 1, recipe.epochs, {"loss": poisoned, "twin_loss": twins})
    verdicts = target.verdicts(heads)
    table.flush()
    return verdicts


@dataclass(frozen=True)
class Heads:
    """2T linear layers: those of the trials, then their twins'."""

    weight: Tensor  # [2T, C, D]
    bias: Tensor  # [2T, 1, C]

    def logits(self, x: Tensor) -> Tensor:
        """[2T, B, C] of features [2T, B, D]."""
        return torch.baddbmm(self.bias, x, self.weight.mT)


def draw_heads(batch: VictimBatch, dim: int, classes: int, device: torch.device) -> Heads:
    """As nn.Linear draws them: uniform within 1/sqrt(dim); a twin starts as its sibling does."""
    weights, biases = [], []
    for t in range(len(batch)):
        generator, bound = batch.generator(t, "weights"), 1 / math.sqrt(dim)
        weights.append(torch.empty(classes, dim).uniform_(-bound, bound, generator=generator))
        biases.append(torch.empty(1, classes).uniform_(-bound, bound, generator=generator))
    return Heads(
        torch.stack(weights * 2).to(device),
        torch.stack(biases * 2).to(device),
    )


def gradient(heads: Heads, x: Tensor, y: Tensor) -> tuple[Heads, Tensor]:
    """Of the mean cross-entropy of each head on its minibatch: by its parameters, as Heads; and
    the loss itself, [2T]. ``x`` [2T, B, D], ``y`` one-hot [2T, B, C].
    """
    log_p = heads.logits(x).log_softmax(2)
    error = (log_p.exp() - y) / x.shape[1]
    loss = -(y * log_p).sum(2).mean(1)
    return Heads(error.mT @ x, error.sum(1, keepdim=True)), loss


class Optimizer:
    """SGD with momentum, or Adam, on all heads; equal to torch.optim's of the same name."""

    def __init__(self, recipe: Recipe, steps_per_epoch: int) -> None:
        self.recipe, self.steps_per_epoch, self.steps = recipe, steps_per_epoch, 0
        self.state: dict[str, tuple[Tensor, ...]] = {}

    def step(self, heads: Heads, gradients: Heads) -> Heads:
        recipe = self.recipe
        rate = learning_rate(recipe, self.steps, self.steps_per_epoch, recipe.drop_factor)
        self.steps += 1
        return Heads(
            heads.weight - rate * self._direction("weight", heads.weight, gradients.weight),
            heads.bias - rate * self._direction("bias", heads.bias, gradients.bias),
        )

    def _direction(self, name: str, parameter: Tensor, g: Tensor) -> Tensor:
        g = g + self.recipe.weight_decay * parameter
        if self.recipe.optimizer == "adam":
            m, v = self.state.get(name, (torch.zeros_like(g), torch.zeros_like(g)))
            u, m, v = adam.step(g, m, v, self.steps)
            self.state[name] = (m, v)
            return u
        buffer = self.recipe.momentum * self.state[name][0] + g if name in self.state else g
        self.state[name] = (buffer,)
        return g + self.recipe.momentum * buffer if self.recipe.nesterov else buffer


class TrainingSets:
    """The 2T training sets as rows into one matrix of features per epoch.

    That matrix has the features of every training image that any trial uses (clean ones and base
    originals), then those of all poisons that are not their bases.
    """

    def __init__(self, batch: VictimBatch, table: FeatureTable) -> None:
        self.batch, self.table = batch, table
        device, data = table.device, table.data
        self.used = torch.cat([batch.clean.flatten(), batch.base_indices.flatten()]).unique()
        place = torch.full((len(data.train),), -1)
        place[self.used] = torch.arange(len(self.used))
        clean, bases = place[batch.clean], place[batch.base_indices]
        # a poison that is its base is that image, so the control equals its twin exactly
        self.changed = (batch.poisons != data.train.images[batch.base_indices]).flatten(2).any(2)
        own = len(self.used) - 1 + self.changed.flatten().cumsum(0).view(bases.shape)
        poisoned = torch.cat([clean, torch.where(self.changed, own, bases)], 1)
        self.rows = torch.cat([poisoned, torch.cat([clean, bases], 1)]).to(device)  # [2T, N]
        labels = torch.cat(
            [data.train.labels[batch.clean], data.train.labels[batch.base_indices]], 1
        )
        one_hot = torch.nn.functional.one_hot(labels, len(data.spec.classes)).float()
        self.labels = one_hot.repeat(2, 1, 1).to(device)  # [2T, N, C]
        self._plain: Tensor | None = None

    def features(self, epoch: int | None) -> Tensor:
        """[M, D] under the views of this epoch; without augmentation (None) every epoch alike."""
        if epoch is None:
            if self._plain is None:
                self._plain = self._under(CENTRE.of(len(self.table.data.train)))
            return self._plain
        generator = self.batch.shared_generator(f"views/{epoch}")
        return self._under(draw_views(generator, len(self.table.data.train)))

    def _under(self, views: Views) -> Tensor:
        """``views`` are those of every image of the train split."""
        clean = self.table.lookup(self.used, Views(*(drawn[self.used] for drawn in views)))
        bases, poisons = self.batch.base_indices[self.changed], self.batch.poisons[self.changed]
        if not len(poisons):
            return clean
        own = self.table.compute(poisons, Views(*(drawn[bases] for drawn in views)))
        return torch.cat([clean, own])

    def order(self, epoch: int) -> Tensor:
        """The order of one epoch, [2T, N]; a twin's is its sibling's."""
        n, trials = self.rows.shape[1], range(len(self.batch))
        drawn = [
            torch.randperm(n, generator=self.batch.generator(t, f"order/{epoch}")) for t in trials
        ]
        return torch.stack(drawn * 2).to(self.rows.device)

    def minibatch(self, features: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        """Features [2T, B, D] and one-hot labels [2T, B, C] at these places [2T, B]."""
        head = torch.arange(len(places), device=places.device)[:, None]
        return features[self.rows[head, places]], self.labels[head, places]


class Targets:
    """What the heads are asked, under the extractor: targets, transformed ones, patched images."""

    def __init__(self, batch: VictimBatch, table: FeatureTable) -> None:
        self.batch, self.table = batch, table
        asked = targets.asked(batch.targets, batch.trigger)  # [T, V, C, H, W]
        self.features = table.compute(asked.flatten(0, 1)).unflatten(0, asked.shape[:2])
        self.margins: list[Tensor] = []  # [2T] after each epoch

    @torch.inference_mode()
    def ask(self, heads: Heads) -> None:
        """Note every head's margin on its target."""
        logits = heads.logits(self.features[:, :1].repeat(2, 1, 1))[:, 0].cpu().double()
        labels = self.batch.base_labels.repeat(2).tolist()
        self.margins.append(
            torch.stack([margin(row, label) for row, label in zip(logits, labels, strict=True)])
        )

    @torch.inference_mode()
    def verdicts(self, heads: Heads) -> list[Verdict]:
        """Every head on its targets and on the whole test split."""
        trials = len(self.batch)
        logits = heads.logits(self.features.repeat(2, 1, 1)).cpu().double()  # [2T, V, classes]
        accuracy = self._clean_accuracy(heads)
        margins = torch.stack(self.margins, 1).tolist()  # [2T, epochs]
        found = []
        for t in range(trials):
            said = []
            for h in (t, trials + t):
                hits, images = self._patched(heads, h, t)
                said.append(Answers(logits[h], accuracy[h], hits, images, Course(margins[h])))
            base_label = int(self.batch.base_labels[t])
            found.append(verdict(base_label, said[0], said[1], self._explanation(t)))
        return found

    def _clean_accuracy(self, heads: Heads) -> list[float]:
        labels = self.table.data.test.labels.to(self.table.device)
        hits = [
            (self.table.test() @ weight.mT + bias).argmax(1).eq(labels).sum()
            for weight, bias in zip(heads.weight, heads.bias, strict=True)
        ]
        return [hit / len(labels) for hit in torch.stack(hits).tolist()]

    def _patched(self, heads: Heads, h: int, t: int) -> tuple[int, int]:
        """Patched test images of trial ``t``'s target class that head ``h`` takes for the base
        class, and how many there are.
        """
        if self.batch.trigger is None:
            return 0, 0
        features = self.table.patched(int(self.batch.target_labels[t]), self.batch.trigger)
        predictions = (features @ heads.weight[h].mT + heads.bias[h]).argmax(1)
        return int((predictions == int(self.batch.base_labels[t])).sum()), len(features)

    def _explanation(self, t: int) -> Explanation:
        batch, table = self.batch, self.table
        base_class, target_class = clouds(table.data.train.labels, batch, t)
        known = [batch.base_indices[t], base_class, target_class]
        seen = table.lookup(torch.cat(known), CENTRE.of(sum(len(ids) for ids in known)))
        bases, *around = seen.split([len(ids) for ids in known])
        poisons = table.compute(batch.poisons[t])
        return explain.explain(self.features[t, 0], bases, poisons, *around)
