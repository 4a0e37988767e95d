"""Feature Collision by the benchmark's rule, against that rule written down for one poison."""

import pytest
import torch

from poisoning.attacks import feature_collision as corrected
from poisoning.attacks import feature_collision_reference as fc
from poisoning.attacks.report import Report
from poisoning.params import FeatureCollision, FeatureCollisionReference
from tests.poisoning import tiny


def literal(nets, x_b, x_t, params):
    """One poison, [C, H, W] each, all steps to the end; and whether each step was refused."""
    eps, s = params.eps_255 / 255, params.step_size
    x, objectives, refused = (1 - params.watermark) * x_b + params.watermark * x_t, [1e9], []
    for _ in range(params.steps):
        leaf = x.clone().requires_grad_()
        loss = torch.zeros(())
        for net in nets:
            f, f_t = net.features(torch.stack([tiny.normalized(leaf), tiny.normalized(x_t)]))
            loss = loss + (f - f_t.detach()).norm() ** 2
        (g,) = torch.autograd.grad(loss, leaf)
        x_new = (x_b + (x - s * g - x_b).clamp(-eps, eps)).clamp(0, 1)
        refused.append(bool(loss > objectives[-1]))
        if refused[-1]:
            s *= params.step_decay  # which changes nothing: x stays, and so does its loss
        else:
            stops = (x_new - x).norm() / x.norm() < 1e-5
            x = x_new
            objectives.append(loss.item())
            if stops:
                break
    return x, refused


def crafted(digits, names, params):
    """All poisons of a batch, both ways; [T, J, C, H, W] and a list of T * J traces."""
    batch = tiny.batch(digits, trials=2)
    poisons = fc.craft(params, batch, tiny.surrogates(*names), Report())
    nets = [tiny.NETS[name](seed) for seed, name in enumerate(names)]
    traced = [
        literal(nets, batch.bases[t, j], batch.targets[t, 0], params)
        for t in range(2)
        for j in range(3)
    ]
    return batch, poisons, traced


@pytest.mark.parametrize("names", [("plain",), ("plain", "residual")], ids="+".join)
@pytest.mark.parametrize(
    "params",
    [
        FeatureCollisionReference(steps=15),  # the benchmark's own knobs: freezes
        FeatureCollisionReference(eps_255=16, steps=15, step_size=0.02, watermark=0.05),
        FeatureCollisionReference(eps_255=16, steps=15, step_size=20.0, watermark=0.05),
    ],
    ids=["frozen", "free", "long steps"],
)
def test_equals_the_literal_rule_poison_by_poison(names, params, digits):
    _, poisons, traced = crafted(digits, names, params)
    for found, (expected, _) in zip(poisons.flatten(0, 1), traced, strict=True):
        assert torch.allclose(found, expected, atol=1e-5)


def test_with_the_benchmarks_knobs_a_poison_freezes_at_its_second_evaluation(digits):
    params = FeatureCollisionReference(steps=10)
    batch, poisons, traced = crafted(digits, ("plain",), params)
    assert all(refused == [False] + 9 * [True] for _, refused in traced)
    once = params.model_copy(update={"steps": 1})
    assert torch.equal(poisons, fc.craft(once, batch, tiny.surrogates("plain"), Report()))


def test_where_it_does_not_freeze_it_goes_on(digits):
    params = FeatureCollisionReference(eps_255=16, steps=15, step_size=0.02, watermark=0.05)
    _, _, traced = crafted(digits, ("plain",), params)
    assert not any(any(refused) for _, refused in traced)


def test_frozen_poisons_cost_nothing(digits):
    surrogates, seen = tiny.surrogates("plain"), []
    features = surrogates.features

    def counting(x, draw=()):
        seen.append(len(x))
        return features(x, draw)

    surrogates.features = counting
    said = []
    params = FeatureCollisionReference(steps=120)
    fc.craft(params, tiny.batch(digits), surrogates, Report(lambda *a: said.append(a)))
    assert seen == [2, 6, 6]  # the targets; the start; the step after it, refused
    assert said[-1][:2] == (120, 120)


def test_the_corrected_rule_ends_lower_where_the_benchmarks_freezes(digits):
    batch, surrogates = tiny.batch(digits), tiny.surrogates("residual")
    frozen = FeatureCollisionReference(steps=60, step_size=0.02)
    free = FeatureCollision(steps=60, step_size=0.02)
    at_freeze = fc.objective(
        frozen, batch, surrogates, fc.craft(frozen, batch, surrogates, Report())
    )
    moved = corrected.craft(free, batch, surrogates, Report())
    assert (fc.objective(frozen, batch, surrogates, moved) < at_freeze).all()


def test_some_freeze_on_the_way(digits):
    params = FeatureCollisionReference(eps_255=16, steps=6, step_size=20.0, watermark=0.05)
    _, _, traced = crafted(digits, ("plain", "residual"), params)
    for _, refused in traced:
        assert refused == sorted(refused)  # once refused, always refused
    assert all(not refused[1] and refused[2] for _, refused in traced)
