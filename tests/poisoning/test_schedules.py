"""Rates against torch's own schedulers."""

import pytest
import torch

from poisoning.ops.schedules import learning_rate
from poisoning.victim_params import Recipe


def test_steps_equal_torchs_multi_step():
    recipe = Recipe(learning_rate=0.3, epochs=6, drop_epochs=(2, 4))
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [2, 4], 0.5)
    for epoch in range(6):
        for step in range(3):
            found = learning_rate(recipe, 3 * epoch + step, 3, 0.5)
            assert found == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()


def test_one_cycle_rises_linearly_then_falls_as_a_cosine():
    recipe = Recipe(learning_rate=0.4, epochs=10, schedule="one_cycle")
    rates = [learning_rate(recipe, step, 10) for step in range(100)]
    assert rates[0] == pytest.approx(0.4 / 30)
    assert rates[14] == pytest.approx(0.2)
    assert max(rates) == rates[29] == pytest.approx(0.4)
    assert rates[64] == pytest.approx(0.2)
    assert rates[-1] == pytest.approx(0, abs=1e-9)
    assert rates[29:] == sorted(rates[29:], reverse=True)
