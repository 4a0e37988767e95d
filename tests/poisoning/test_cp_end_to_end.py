"""Convex Polytope on every block against a plain loop: SciPy for the coefficients, torch's Adam."""

import pytest
import torch

from poisoning.attacks import bullseye_polytope_end_to_end as bp
from poisoning.attacks import convex_polytope_end_to_end as cp
from poisoning.attacks.report import Report
from poisoning.ops import simplex
from poisoning.params import BullseyePolytopeEndToEnd, ConvexPolytopeEndToEnd
from tests.poisoning import tiny
from tests.poisoning.test_bp_forms import blocks, plain_loop
from tests.poisoning.test_cp import by_scipy


def block_loss(nets, z, targets):
    """One trial: coefficients of its own for every block of every network."""
    total = torch.zeros(())
    for net in nets:
        losses = []
        for f, f_t in zip(blocks(net, z), blocks(net, tiny.normalized(targets)), strict=True):
            centre = f_t.detach().mean(0)
            scale = float(centre.norm())  # SciPy's tolerances are absolute
            exact = by_scipy(f.detach().double().numpy() / scale, centre.double().numpy() / scale)
            rest = centre - torch.from_numpy(exact).float() @ f
            losses.append(0.5 * rest.square().sum() / centre.square().sum())
        total = total + sum(losses) / len(losses)
    return total


@pytest.mark.parametrize("names", [("plain",), ("plain", "residual")], ids="+".join)
def test_equals_the_plain_loop(names, digits):
    params = ConvexPolytopeEndToEnd(eps_255=16, steps=8)
    batch = tiny.batch(digits, trials=2, poisons=4)
    surrogates = tiny.surrogates(*names)
    poisons = cp.craft(params, batch, surrogates, Report())
    found = cp.objective(params, batch, surrogates, poisons)
    nets = [tiny.NETS[name](seed) for seed, name in enumerate(names)]
    for t in range(2):
        expected = plain_loop(block_loss, nets, batch.bases[t], batch.targets[t], 16 / 255, 8)
        with torch.no_grad():
            value = float(block_loss(nets, tiny.normalized(expected), batch.targets[t]))
        assert found[t].item() == pytest.approx(value, rel=0.01)
        different = (tiny.rounded(poisons[t]) - tiny.rounded(expected)).abs()
        # a poison whose coefficients are about zero has a gradient of noise, which Adam blows up
        assert (different > 1).float().mean() < 0.05


def test_blocks_have_coefficients_of_their_own(digits):
    batch, surrogates = tiny.batch(digits, trials=1, poisons=4), tiny.surrogates("residual")
    found = cp.objective(ConvexPolytopeEndToEnd(), batch, surrogates, batch.bases)
    with torch.no_grad():
        of_blocks = surrogates.block_features(batch.bases[0])[0]
        of_target = surrogates.block_features(batch.targets[0])[0]
    own = [simplex.coefficients(f[None], t) for f, t in zip(of_blocks, of_target, strict=True)]
    assert not torch.allclose(own[0], own[-1], atol=0.01)

    def value(coefficients):
        pairs = zip(coefficients, of_blocks, of_target, strict=True)
        rests = [0.5 * ((t - c @ f).norm() / t.norm()) ** 2 for c, f, t in pairs]
        return float(sum(rests) / len(rests))

    assert found[0].item() == pytest.approx(value(own), rel=1e-4)
    assert found[0].item() < 0.99 * value(len(own) * own[-1:])  # one for all would be worse


def test_no_mean_of_poisons_is_nearer_than_their_best_mixture(digits):
    batch, surrogates = tiny.batch(digits, trials=2, poisons=4), tiny.surrogates("plain")
    surrogates.block_features = lambda x, draw=(): [surrogates.features(x)]  # one block
    mixed = cp.objective(ConvexPolytopeEndToEnd(), batch, surrogates, batch.bases)
    mean = bp.objective(BullseyePolytopeEndToEnd(), batch, surrogates, batch.bases)
    assert (mixed <= 0.5 * mean.square() + 1e-6).all()
    assert (mixed > 0).all()


def test_gradients_agree_with_finite_differences_in_float64(digits):
    """At the optimal coefficients, the gradient at fixed coefficients is the whole one."""
    net = tiny.plain_net().double()
    surrogates = tiny.surrogates("plain")
    surrogates.block_features = lambda x, draw=(): [blocks(net, tiny.normalized(x))]
    batch = tiny.batch(digits, trials=1, poisons=4)
    target = tiny.normalized(batch.targets[0].double())
    f_t = [[f.detach() for f in blocks(net, target)]]
    x = (batch.bases.double() + 0.01).requires_grad_()
    (g,) = torch.autograd.grad(cp.distance(x, f_t, surrogates).sum(), x)
    generator = torch.Generator().manual_seed(1)
    for _ in range(5):
        d = torch.randn(x.shape, generator=generator, dtype=torch.float64)
        h = 1e-6
        with torch.no_grad():
            ahead, behind = (cp.distance(x + s * h * d, f_t, surrogates) for s in (1, -1))
        assert torch.allclose((ahead - behind) / (2 * h), (g * d).sum(), rtol=1e-3)
