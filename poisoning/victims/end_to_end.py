"""End to end (E2E): a pretrained network, fine-tuned whole on the poisoned set.

The last layer is drawn anew as nn.Linear draws it, or kept where the checkpoint was trained on the
victim's own classes; everything is trained, batch norm in train mode. The twin starts from the
same weights and has the same order, views and dropout, and the base originals for poisons; what it
says is kept for all attacks on the same setup.
"""

import math
from pathlib import Path

import torch
from torch import nn

from poisoning.models import Network
from poisoning.victim_params import EndToEndVictim
from poisoning.victims import Bench, Verdict, VictimBatch, twins
from poisoning.victims.judging import verdict
from poisoning.victims.training import (
    Draws,
    OnStep,
    Training,
    TrainingSet,
    answers,
    explained,
    named_for,
)


def train_and_judge(
    victim: EndToEndVictim, bench: Bench, batch: VictimBatch, on_step: OnStep
) -> list[Verdict]:
    """Train the victims of T trials and their twins, one after the other.

    ``on_step(done, total, values)`` hears of the steps of all of them; what it raises stops it.
    """
    return [_trial(victim, bench, batch, t, on_step) for t in range(len(batch))]


def _trial(
    victim: EndToEndVictim, bench: Bench, batch: VictimBatch, t: int, on_step: OnStep
) -> Verdict:
    bases = bench.data.train.images[batch.base_indices[t]]
    is_control = torch.equal(batch.poisons[t], bases)  # then the twin is the same training
    key = twins.key(start(victim, bench, batch, t), victim.recipe, bench, batch, t)
    twin = None if is_control else twins.find(bench, key)
    runs = [("poisoned", batch.poisons[t])]
    if not is_control and twin is None:
        runs.append(("twin", bases))
    target = batch.targets[t : t + 1]
    if batch.trigger is not None:
        target = batch.trigger.stamp(target)
    base_label, said, seen = int(batch.base_labels[t]), [], []
    for number, (name, poisons) in enumerate(runs):
        net = start(victim, bench, batch, t)
        training = Training(net, victim.recipe, TrainingSet.of(bench, batch, t, poisons), bench)
        if name == "poisoned":
            seen.append(explained(training.net, bench, batch, t))

        def report(done: int, total: int, values: dict[str, float], before: int = number) -> None:
            place, whole = (t * len(runs) + before) * total + done, len(batch) * len(runs) * total
            on_step(place, whole, named_for(runs[before][0], values))

        state = state_path(bench, "end_to_end", batch, t, name)
        net = training.run(Draws(batch, t), target, base_label, state, report)
        said.append(answers(net, bench, batch, t, training.course))
        if name == "poisoned":
            seen.append(explained(net, bench, batch, t))
    if twin is None:
        twin = said[-1]
        twins.keep(bench, key, twin)
    before, after = seen
    return verdict(base_label, said[0], twin, after, before)


def start(victim: EndToEndVictim, bench: Bench, batch: VictimBatch, t: int) -> Network:
    """The network before the first step."""
    net = bench.network(victim.checkpoint)
    if not victim.keeps_linear:
        classes = len(bench.data.spec.classes)
        net.linear = fresh_linear(net.feature_dim, classes, batch.generator(t, "weights"))
    return net


def fresh_linear(dim: int, classes: int, generator: torch.Generator) -> nn.Linear:
    """A layer as nn.Linear draws it, uniform within 1/sqrt(dim), from a generator of its own."""
    linear, bound = nn.Linear(dim, classes), 1 / math.sqrt(dim)
    with torch.no_grad():
        linear.weight.uniform_(-bound, bound, generator=generator)
        linear.bias.uniform_(-bound, bound, generator=generator)
    return linear


def state_path(bench: Bench, regime: str, batch: VictimBatch, t: int, name: str) -> Path:
    """Where a training in progress is saved; a job trains one at a time."""
    return bench.work_dir / f"{regime}-{batch.indices[t]}-{name}.state"
