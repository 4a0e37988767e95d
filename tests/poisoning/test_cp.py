"""Convex Polytope against a plain loop: SciPy for the coefficients, torch's own Adam."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from poisoning.attacks import bullseye_polytope as bp
from poisoning.attacks import convex_polytope as cp
from poisoning.attacks.report import Report
from poisoning.params import BullseyePolytope, ConvexPolytope
from tests.poisoning import tiny


def by_scipy(f: np.ndarray, f_t: np.ndarray) -> np.ndarray:
    j = len(f)
    found = minimize(
        lambda c: 0.5 * ((c @ f - f_t) ** 2).sum(),
        np.full(j, 1 / j),
        jac=lambda c: f @ (c @ f - f_t),
        constraints={"type": "eq", "fun": lambda c: c.sum() - 1},
        bounds=[(0, 1)] * j,
        method="SLSQP",
        options={"ftol": 1e-15, "maxiter": 2000},
    )
    return found.x


def loss_of(nets, z, target):
    """One trial: z [J, C, H, W] normalised, target [1, C, H, W] in [0, 1]."""
    loss = torch.zeros(())
    for net in nets:
        f_t = net.features(tiny.normalized(target)).detach()[0]
        f = net.features(z)
        c = by_scipy(f.detach().double().numpy(), f_t.double().numpy())
        rest = f_t - torch.from_numpy(c).float() @ f
        loss = loss + 0.5 * rest.square().sum() / f_t.square().sum()
    return loss


def reference(nets, bases, target, eps, steps, rate):
    z = torch.nn.Parameter(tiny.normalized(bases))
    optimizer = torch.optim.Adam([z], lr=rate)
    for _ in range(steps):
        optimizer.zero_grad()
        loss_of(nets, z, target).backward()
        optimizer.step()
        with torch.no_grad():
            delta = (z * 0.5 + 0.5 - bases).clamp(-eps, eps)
            z.copy_(tiny.normalized((bases + delta).clamp(0, 1)))
    return (z * 0.5 + 0.5).detach()


@pytest.mark.parametrize("names", [("plain",), ("plain", "residual")], ids="+".join)
def test_equals_the_plain_loop(names, digits):
    params = ConvexPolytope(eps_255=16, steps=10)
    batch = tiny.batch(digits, trials=3, poisons=4)
    surrogates = tiny.surrogates(*names)
    poisons = cp.craft(params, batch, surrogates, Report())
    found = cp.objective(params, batch, surrogates, poisons)
    nets = [tiny.NETS[name](seed) for seed, name in enumerate(names)]
    for t in range(3):
        expected = reference(nets, batch.bases[t], batch.targets[t], 16 / 255, 10, 0.04)
        with torch.no_grad():
            value = float(loss_of(nets, tiny.normalized(expected), batch.targets[t]))
        assert found[t].item() == pytest.approx(value, rel=0.02)
        different = (tiny.rounded(poisons[t]) - tiny.rounded(expected)).abs()
        # a poison whose coefficient is about zero has a gradient of noise, which Adam blows up
        assert (different > 1).float().mean() < 0.05


def test_no_mean_of_poisons_is_nearer_than_their_best_mixture(digits):
    batch, surrogates = tiny.batch(digits, trials=2, poisons=4), tiny.surrogates("plain")
    mixed = cp.objective(ConvexPolytope(), batch, surrogates, batch.bases)
    mean = bp.objective(BullseyePolytope(), batch, surrogates, batch.bases)
    assert (mixed <= 0.5 * mean.square() + 1e-6).all()
    assert (mixed > 0).all()
