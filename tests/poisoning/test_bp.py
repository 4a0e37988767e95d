"""Bullseye Polytope against the shortest loop that says the same, with torch's own Adam."""

import pytest
import torch

from poisoning.attacks import bullseye_polytope as bp
from poisoning.attacks.batch import target_features
from poisoning.attacks.report import Report
from poisoning.params import BullseyePolytope
from tests.poisoning import tiny


def reference(nets, bases, target, eps, steps, rate):
    """One trial. Optimises z = (x - mean) / std; [J, C, H, W] and [1, C, H, W] in [0, 1]."""
    z = torch.nn.Parameter(tiny.normalized(bases))
    optimizer = torch.optim.Adam([z], lr=rate)
    for _ in range(steps):
        loss = torch.zeros(())
        for net in nets:
            f_t = net.features(tiny.normalized(target)).detach()[0]
            loss = loss + (net.features(z).mean(0) - f_t).norm() / f_t.norm() / len(nets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            delta = (z * 0.5 + 0.5 - bases).clamp(-eps, eps)
            z.copy_(tiny.normalized((bases + delta).clamp(0, 1)))
    return (z * 0.5 + 0.5).detach()


@pytest.mark.parametrize("names", [("plain",), ("plain", "residual")], ids="+".join)
def test_equals_the_plain_loop(names, digits):
    params = BullseyePolytope(eps_255=16, steps=15, learning_rate=0.04)
    batch = tiny.batch(digits, trials=3, poisons=4)
    poisons = bp.craft(params, batch, tiny.surrogates(*names), Report())
    nets = [tiny.NETS[name](seed) for seed, name in enumerate(names)]
    for t in range(3):
        expected = reference(nets, batch.bases[t], batch.targets[t], 16 / 255, 15, 0.04)
        different = (tiny.rounded(poisons[t]) - tiny.rounded(expected)).abs()
        # Adam turns rounding into a full step where a gradient is nearly zero
        assert (different > 1).float().mean() < 0.005


def test_the_loss_is_unsquared_and_normalised(digits):
    batch, surrogates = tiny.batch(digits, trials=2), tiny.surrogates("plain", "residual")
    found = bp.objective(BullseyePolytope(), batch, surrogates, batch.bases)
    for t in range(2):
        expected = 0.0
        for net in surrogates.networks:
            with torch.no_grad():
                f = net.features(tiny.normalized(batch.bases[t]))
                f_t = net.features(tiny.normalized(batch.targets[t]))[0]
            expected += float((f.mean(0) - f_t).norm() / f_t.norm()) / 2
        assert found[t].item() == pytest.approx(expected, rel=1e-5)


def test_several_views_of_a_target_are_averaged_in_feature_space(digits):
    single, surrogates = tiny.batch(digits, trials=1), tiny.surrogates("plain")
    views = torch.cat([single.targets, single.targets.flip(-1)], 1)
    double = tiny.CraftBatch(
        single.bases, views, single.base_labels, single.target_labels, single.generators,
        tiny.MEAN, tiny.STD,
    )  # fmt: skip
    (both,) = target_features(double, surrogates)
    (upright,) = target_features(single, surrogates)
    with torch.no_grad():
        flipped = surrogates.features(single.targets[:, 0].flip(-1))[0]
    assert torch.allclose(both, (upright + flipped) / 2, atol=1e-6)


def test_more_draws_of_dropout_change_the_poisons_and_draws_without_dropout_do_not(digits):
    def poisons(net, draws):
        params = BullseyePolytope(eps_255=16, steps=4, draws=draws)
        return bp.craft(params, tiny.batch(digits), tiny.surrogates(net), Report())

    assert torch.equal(poisons("plain", 1), poisons("plain", 3))
    assert not torch.equal(poisons("dropout", 1), poisons("dropout", 3))
