"""Bullseye Polytope squared and on every block, draws and views: against plain loops, one trial
at a time, with torch's own Adam.
"""

import pytest
import torch

from poisoning.attacks import bullseye_polytope as bp
from poisoning.attacks import bullseye_polytope_end_to_end as bp_e2e
from poisoning.attacks import bullseye_polytope_squared as bp_squared
from poisoning.attacks.report import Report
from poisoning.crafting import compose
from poisoning.data.setups import setup
from poisoning.inputs import Inputs
from poisoning.params import (
    BullseyePolytope,
    BullseyePolytopeEndToEnd,
    BullseyePolytopeSquared,
)
from tests.poisoning import jobs, tiny


def blocks(net, z):
    """Every stage's output, flat."""
    outputs = []
    for stage in net.stages:
        z = stage(z)
        outputs.append(z.flatten(1))
    return outputs


def squared_loss(nets, z, targets):
    losses = []
    for net in nets:
        f_t = net.features(tiny.normalized(targets)).detach().mean(0)
        losses.append((net.features(z).mean(0) - f_t).norm() ** 2 / f_t.norm() ** 2)
    return sum(losses) / len(nets)


def block_loss(nets, z, targets):
    of_nets = []
    for net in nets:
        losses = []
        for f, f_t in zip(blocks(net, z), blocks(net, tiny.normalized(targets)), strict=True):
            centre = f_t.detach().mean(0)
            losses.append((f.mean(0) - centre).norm() / centre.norm())
        of_nets.append(sum(losses) / len(losses))
    return sum(of_nets) / len(nets)


def plain_loop(loss_of, nets, bases, targets, eps, steps, rate=0.04):
    """One trial: bases [J, C, H, W], targets [V, C, H, W] in [0, 1]; Adam on normalised pixels."""
    z = torch.nn.Parameter(tiny.normalized(bases))
    optimizer = torch.optim.Adam([z], lr=rate)
    for _ in range(steps):
        optimizer.zero_grad()
        loss_of(nets, z, targets).backward()
        optimizer.step()
        with torch.no_grad():
            delta = (z * 0.5 + 0.5 - bases).clamp(-eps, eps)
            z.copy_(tiny.normalized((bases + delta).clamp(0, 1)))
    return (z * 0.5 + 0.5).detach()


def with_views(batch):
    """The same trials, each with three views of its target."""
    views = torch.cat([batch.targets, batch.targets.flip(-1), batch.targets.roll(2, -1)], 1)
    return tiny.CraftBatch(
        batch.bases, views, batch.base_labels, batch.target_labels, batch.generators,
        tiny.MEAN, tiny.STD,
    )  # fmt: skip


FORMS = {
    "squared": (bp_squared, BullseyePolytopeSquared(eps_255=16, steps=12), squared_loss),
    "end to end": (bp_e2e, BullseyePolytopeEndToEnd(eps_255=16, steps=12), block_loss),
}


@pytest.mark.parametrize("views", [1, 3])
@pytest.mark.parametrize("names", [("plain",), ("plain", "residual")], ids="+".join)
@pytest.mark.parametrize("form", FORMS)
def test_equals_the_plain_loop(form, names, views, digits):
    attack, params, loss_of = FORMS[form]
    batch = tiny.batch(digits, trials=2, poisons=4)
    batch = with_views(batch) if views == 3 else batch
    poisons = attack.craft(params, batch, tiny.surrogates(*names), Report())
    nets = [tiny.NETS[name](seed) for seed, name in enumerate(names)]
    for t in range(2):
        expected = plain_loop(loss_of, nets, batch.bases[t], batch.targets[t], 16 / 255, 12)
        different = (tiny.rounded(poisons[t]) - tiny.rounded(expected)).abs()
        # Adam turns rounding into a full step where a gradient is nearly zero
        assert (different > 1).float().mean() < 0.005


@pytest.mark.parametrize("form", FORMS)
def test_its_objective_is_the_plain_one(form, digits):
    attack, params, loss_of = FORMS[form]
    batch, surrogates = tiny.batch(digits), tiny.surrogates("plain", "residual")
    found = attack.objective(params, batch, surrogates, batch.bases)
    for t in range(2):
        with torch.no_grad():
            expected = loss_of(
                surrogates.networks, tiny.normalized(batch.bases[t]), batch.targets[t]
            )
        assert found[t].item() == pytest.approx(float(expected), rel=1e-5)


def test_the_squared_form_is_the_square_of_the_other_for_one_surrogate(digits):
    batch, surrogates = tiny.batch(digits), tiny.surrogates("plain")
    root = bp.objective(BullseyePolytope(), batch, surrogates, batch.bases)
    squared = bp_squared.objective(BullseyePolytopeSquared(), batch, surrogates, batch.bases)
    assert torch.allclose(squared, root.square(), rtol=1e-5)


def test_gradients_of_the_block_form_agree_with_finite_differences_in_float64(digits):
    net = tiny.residual_net().double()
    surrogates = tiny.surrogates("plain")
    surrogates.block_features = lambda x, draw=(): [blocks(net, tiny.normalized(x))]  # float64
    batch = tiny.batch(digits, trials=1)
    views = tiny.normalized(with_views(batch).targets[0].double())
    f_t = [[f.detach().mean(0, keepdim=True) for f in blocks(net, views)]]
    x = (batch.bases.double() + 0.01).requires_grad_()
    (g,) = torch.autograd.grad(bp_e2e.distance(x, f_t, surrogates).sum(), x)
    generator = torch.Generator().manual_seed(1)
    for _ in range(5):
        d = torch.randn(x.shape, generator=generator, dtype=torch.float64)
        h = 1e-7
        with torch.no_grad():
            ahead, behind = (bp_e2e.distance(x + s * h * d, f_t, surrogates) for s in (1, -1))
        assert torch.allclose((ahead - behind) / (2 * h), (g * d).sum(), rtol=1e-4)


@pytest.mark.parametrize("attack", [bp, bp_squared, bp_e2e])
def test_draws_are_averaged_as_features_before_the_distance(attack, digits):
    """The mean of three draws' features, not of three draws' losses."""
    batch, surrogates = tiny.batch(digits, trials=1), tiny.surrogates("dropout")
    x, is_block = batch.bases.flatten(0, 1), attack is bp_e2e
    say = surrogates.block_features if is_block else surrogates.features
    f_t = say(batch.targets[0])
    found = attack.distance(batch.bases, f_t, surrogates, batch.generators, 3)
    again = tiny.batch(digits, trials=1).generators
    drawn = [say(x, again)[0] for _ in range(3)]
    pairs = (
        [(sum(d[b] for d in drawn) / 3, f_t[0][b]) for b in range(len(f_t[0]))]
        if is_block
        else [(sum(drawn) / 3, f_t[0])]
    )
    distances = [(f.mean(0) - f_t).norm() / f_t.norm() for f, f_t in pairs]
    expected = sum(distances) / len(distances)
    expected = expected**2 if attack is bp_squared else expected
    assert found[0].item() == pytest.approx(float(expected), rel=1e-5)
    one = attack.distance(batch.bases, f_t, surrogates, tiny.batch(digits, 1).generators, 1)
    assert found[0].item() != pytest.approx(one[0].item(), rel=1e-4)


@pytest.mark.parametrize(
    ("attack", "params"),
    [
        (bp, BullseyePolytope(eps_255=16, steps=4, draws=2)),
        (bp_e2e, BullseyePolytopeEndToEnd(eps_255=16, steps=4, draws=2)),
    ],
)
def test_a_craft_draws_as_often_as_it_is_told(attack, params, digits):
    def masks_drawn(net, params):
        batch, surrogates, asked = tiny.batch(digits), tiny.surrogates(net), []
        for name in ("features", "block_features"):
            real = getattr(surrogates, name)

            def counting(x, draw=(), real=real):
                asked.append(bool(draw))
                return real(x, draw)

            setattr(surrogates, name, counting)
        attack.craft(params, batch, surrogates, Report())
        return sum(asked)

    assert masks_drawn("dropout", params) == 8
    assert masks_drawn("plain", params) == 4  # without dropout every draw would be the same


def test_target_views_are_the_target_and_then_drawn_views_of_it(tmp_path):
    spec = jobs.spec(BullseyePolytope(target_views=3), trials=2)
    job = jobs.job(tmp_path, spec)
    inputs = Inputs(job)
    setups = [setup(spec.data, inputs.data, spec.seed, index, tmp_path) for index in range(2)]
    batch = compose(inputs, [0, 1], setups)
    assert batch.targets.shape[:2] == (2, 3)
    for t in range(2):
        target = inputs.data.test.images[setups[t].target_index] / 255
        assert torch.equal(batch.targets[t, 0], target)
        assert not torch.equal(batch.targets[t, 1], batch.targets[t, 2])
        first = compose(inputs, [t], setups[t : t + 1]).targets
        assert torch.equal(first[0], batch.targets[t])
