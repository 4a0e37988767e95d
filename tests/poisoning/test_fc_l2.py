"""Feature Collision with its paper's penalty, against algorithm 1 for one poison."""

import pytest
import torch

from poisoning.attacks import feature_collision_l2 as fc
from poisoning.attacks.report import Report
from poisoning.params import FeatureCollisionL2
from tests.poisoning import tiny


def literal(nets, x_b, x_t, params):
    """One poison, in normalised units throughout; [C, H, W] in [0, 1]. And the objectives."""
    z_b, z_t, s, beta = tiny.normalized(x_b), tiny.normalized(x_t), params.step_size, params.beta

    def feature_loss(z):
        features = [net.features(torch.stack([z, z_t])) for net in nets]
        return sum((f[0] - f[1].detach()).square().sum() for f in features)

    def whole(z):
        return (feature_loss(z) + beta / 2 * (z - z_b).square().sum()).item()

    z, values, refused = (
        tiny.normalized((1 - params.watermark) * x_b + params.watermark * x_t),
        [],
        0,
    )
    for _ in range(params.steps):
        values.append(whole(z))
        leaf = z.clone().requires_grad_()
        (g,) = torch.autograd.grad(feature_loss(leaf), leaf)
        forward = z - s * g
        backward = ((forward + s * beta * z_b) / (1 + s * beta)).clamp(-1, 1)
        x_new, x = backward * 0.5 + 0.5, z * 0.5 + 0.5
        if whole(backward) <= values[-1]:
            z = backward
        else:
            s, refused = s * params.step_decay, refused + 1
        if (x_new - x).norm() / x.norm() < 1e-5:
            break
    return z * 0.5 + 0.5, values, refused


@pytest.mark.parametrize("names", [("plain",), ("plain", "residual")], ids="+".join)
@pytest.mark.parametrize("step_size", [2.0, 300.0], ids=["short", "far too long"])
def test_equals_algorithm_1_poison_by_poison(names, step_size, digits):
    params = FeatureCollisionL2(steps=15, step_size=step_size, beta=0.01, watermark=0.3)
    batch = tiny.batch(digits, trials=2)
    poisons = fc.craft(params, batch, tiny.surrogates(*names), Report())
    nets = [tiny.NETS[name](seed) for seed, name in enumerate(names)]
    total = 0
    for t in range(2):
        for j in range(3):
            expected, values, refused = literal(
                nets, batch.bases[t, j], batch.targets[t, 0], params
            )
            assert torch.allclose(poisons[t, j], expected, atol=1e-4)
            assert values == sorted(values, reverse=True)  # no accepted step ever raises it
            total += refused
    assert (total > 0) == (step_size > 100)


def test_the_backward_step_is_the_proximal_step_of_half_beta():
    """argmin_z 1/2 (z - z')^2 + s beta/2 (z - z_b)^2, found on a grid."""
    s, beta, ahead, z_b = 0.7, 3.0, 0.4, -0.2
    grid = torch.linspace(-1, 1, 200_001, dtype=torch.float64)
    value = 0.5 * (grid - ahead).square() + s * beta / 2 * (grid - z_b).square()
    step = (ahead + s * beta * z_b) / (1 + s * beta)
    assert float(grid[value.argmin()]) == pytest.approx(step, abs=2e-5)


def test_a_heavier_penalty_stays_nearer_and_none_is_bounded_by_eps(digits):
    batch, surrogates = tiny.batch(digits), tiny.surrogates("residual")

    def change(beta):
        params = FeatureCollisionL2(steps=12, step_size=2.0, beta=beta)
        poisons = fc.craft(params, batch, surrogates, Report())
        assert poisons.min() >= 0 and poisons.max() <= 1
        return (poisons - batch.bases).abs()

    light, heavy = change(1e-4), change(1.0)
    assert heavy.square().sum() < 0.1 * light.square().sum()
    assert light.max() > 32 / 255


def test_the_objective_by_hand(digits):
    batch, surrogates = tiny.batch(digits, trials=1), tiny.surrogates("plain", "residual")
    poisons, params = (batch.bases + 0.1).clamp(0, 1), FeatureCollisionL2(beta=0.5)
    values = []
    for x, x_b in zip(poisons[0], batch.bases[0], strict=True):
        value = 0.25 * float((tiny.normalized(x) - tiny.normalized(x_b)).square().sum())
        for net in surrogates.networks:
            with torch.no_grad():
                f, f_t = net.features(tiny.normalized(torch.stack([x, batch.targets[0, 0]])))
            value += float((f - f_t).square().sum())
        values.append(value)
    found = fc.objective(params, batch, surrogates, poisons)
    assert found[0].item() == pytest.approx(sum(values) / 3, rel=1e-5)
