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

from poisoning.data.augment import PADDING, Views, draw_views
from poisoning.ops import adam
from poisoning.params import FrozenVictim, Recipe
from poisoning.victims import Verdict, VictimBatch, judge
from poisoning.victims.features import FeatureTable

OnEpoch = Callable[[int, int, dict[str, float]], None]  # done, total, values


def train_and_judge(
    victim: FrozenVictim, table: FeatureTable, batch: VictimBatch, on_epoch: OnEpoch | None = None
) -> list[Verdict]:
    """Train the heads of T trials and their T twins; what each says of its target.

    ``on_epoch`` hears of every epoch; what it raises stops the training.
    """
    recipe, classes = victim.recipe, len(table.data.spec.classes)
    heads = draw_heads(batch, table.net.feature_dim, classes, table.device)
    sets = TrainingSets(batch, table)
    optimizer = Optimizer(recipe)
    for epoch in range(recipe.epochs):
        features = sets.features(epoch if recipe.augment else None)
        order = sets.order(epoch)
        losses = []
        for start in range(0, order.shape[1], recipe.batch_size):
            x, y = sets.minibatch(features, order[:, start : start + recipe.batch_size])
            gradients, loss = gradient(heads, x, y)
            heads = optimizer.step(heads, gradients, epoch)
            losses.append(loss)
        if on_epoch is not None:
            on_epoch(epoch + 1, recipe.epochs, {"loss": float(torch.stack(losses).mean())})
    return _verdicts(heads, table, batch)


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
    the loss itself, averaged over heads. ``x`` [2T, B, D], ``y`` one-hot [2T, B, C].
    """
    log_p = heads.logits(x).log_softmax(2)
    error = (log_p.exp() - y) / x.shape[1]
    loss = -(y * log_p).sum(2).mean()
    return Heads(error.mT @ x, error.sum(1, keepdim=True)), loss


class Optimizer:
    """SGD with momentum, or Adam, on all heads; equal to torch.optim's of the same name."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe, self.steps = recipe, 0
        self.state: dict[str, tuple[Tensor, ...]] = {}

    def step(self, heads: Heads, gradients: Heads, epoch: int) -> Heads:
        self.steps += 1
        drops = sum(epoch >= drop for drop in self.recipe.drop_epochs)
        rate = self.recipe.learning_rate * self.recipe.drop_factor**drops
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
                n = len(self.table.data.train)
                centre = torch.full((n,), PADDING)
                self._plain = self._under(Views(centre, centre, torch.zeros(n, dtype=torch.bool)))
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


@torch.inference_mode()
def _verdicts(heads: Heads, table: FeatureTable, batch: VictimBatch) -> list[Verdict]:
    """Every head on its target and on the whole test split."""
    trials = len(batch)
    targets = table.compute(batch.targets).repeat(2, 1)[:, None]  # [2T, 1, D]
    logits = heads.logits(targets)[:, 0].cpu().double()
    labels = table.data.test.labels.to(table.device)
    hits = [
        (table.test() @ weight.mT + bias).argmax(1).eq(labels).sum()
        for weight, bias in zip(heads.weight, heads.bias, strict=True)
    ]
    accuracy = [hit / len(labels) for hit in torch.stack(hits).tolist()]
    judged = [
        judge(logits[h], int(batch.base_labels[h % trials]), accuracy[h]) for h in range(2 * trials)
    ]
    return [Verdict(judged[t], judged[trials + t]) for t in range(trials)]
