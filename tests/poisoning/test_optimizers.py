"""Our steps of SGD and Adam against torch's classes, bit by bit."""

import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.nn import functional

from poisoning.models import build
from poisoning.ops import optimizers
from poisoning.ops.optimizers import Adam, Sgd
from poisoning.victim_params import Recipe

SGD = {"momentum": 0.9, "nesterov": True, "weight_decay": 5e-4}
KINDS = {
    "sgd": (lambda p: Sgd(p, **SGD), lambda p: torch.optim.SGD(p, lr=1, fused=True, **SGD)),
    "plain sgd": (
        lambda p: Sgd(p, 0.0, False, 0.0), lambda p: torch.optim.SGD(p, lr=1, fused=True),
    ),
    "adam": (
        lambda p: Adam(p, 0.01), lambda p: torch.optim.Adam(p, lr=1, weight_decay=0.01, fused=True),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_steps_are_those_of_torch(name):
    ours, theirs = (build("resnet6_w8", 5, seed=0) for _ in range(2))
    for net in (ours, theirs):
        net.unused = nn.Linear(2, 2)  # no loss depends on it
    mine, its = (
        make(net.parameters()) for make, net in zip(KINDS[name], (ours, theirs), strict=True)
    )
    generator = torch.Generator().manual_seed(0)
    for step in range(5):
        x = torch.rand(8, 3, 32, 32, generator=generator)
        labels = torch.randint(0, 5, (8,), generator=generator)
        rate = 0.1 / (step + 1)
        its.param_groups[0]["lr"] = rate
        for net, optimizer in ((ours, mine), (theirs, its)):
            optimizer.zero_grad()
            functional.cross_entropy(net(x), labels).backward()
        mine.step(rate)
        its.step()
    for (key, value), other in zip(
        ours.stages.state_dict().items(), theirs.stages.state_dict().values(), strict=True
    ):
        assert torch.equal(value, other), key
    for parameter, same in zip(ours.parameters(), theirs.parameters(), strict=True):
        kept = {k: v for k, v in its.state.get(same, {}).items() if v is not None}
        assert mine.state[parameter].keys() == kept.keys()
        assert all(torch.equal(mine.state[parameter][key], kept[key]) for key in kept)


def test_training_imports_no_compiler():
    code = (
        "import sys, torch\n"
        "from poisoning.ops.optimizers import Adam, Sgd\n"
        "for make in (lambda p: Adam(p, 0.1), lambda p: Sgd(p, 0.9, True, 0.1)):\n"
        "    net = torch.nn.Linear(2, 2)\n"
        "    own = make(net.parameters())\n"
        "    net(torch.ones(1, 2)).sum().backward()\n"
        "    own.step(0.1); own.zero_grad()\n"
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_process_that_runs_trials_imports_no_statistics():
    code = (
        "import sys, poisoning.trial\n"
        "import poisoning.victims.end_to_end, poisoning.victims.from_scratch\n"
        "sys.exit(bool({'scipy', 'poisoning.stats', 'torch._dynamo'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_a_saved_state_is_taken_up_in_the_layout_of_the_parameters(name):
    """Saved tensors are contiguous, a network in fast precision is channels last."""
    knobs = Recipe(optimizer=name, learning_rate=0.1, weight_decay=1e-3)
    steps = torch.randn(4, 8, 4, 3, 3, generator=torch.Generator().manual_seed(0))

    def fresh():
        weight = torch.ones(8, 4, 3, 3).contiguous(memory_format=torch.channels_last)
        parameter = torch.nn.Parameter(weight)
        return parameter, optimizers.of([parameter], knobs)

    def step(parameter, optimizer, gradients):
        for gradient in gradients:
            parameter.grad = gradient.contiguous(memory_format=torch.channels_last)
            optimizer.step(0.1)

    whole, optimizer = fresh()
    step(whole, optimizer, steps)
    first, optimizer = fresh()
    step(first, optimizer, steps[:2])
    saved = {key: value.contiguous() for key, value in optimizer.tensors().items()}
    resumed, optimizer = fresh()
    resumed.data.copy_(first.data)
    optimizer.restore(saved | {"net.weight": torch.zeros(1)})
    step(resumed, optimizer, steps[2:])
    assert torch.equal(resumed, whole)
