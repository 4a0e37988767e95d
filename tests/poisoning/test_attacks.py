"""Every attack of the catalogue on every tiny network: what all of them must do."""

import pytest
import torch

from poisoning import attacks, catalog
from poisoning.attacks.report import Report
from tests.poisoning import tiny

EVERY = sorted(catalog.ATTACKS)
OPTIMISING = [name for name in EVERY if catalog.attack(name).needs != "nothing"]
ADAM = [name for name in EVERY if "polytope" in name]  # those that take Adam's steps
ENSEMBLES = [("plain",), ("residual",), ("plain", "residual"), ("dropout",)]


def craft(name, batch, surrogates, report=None):
    return attacks.load(name).craft(tiny.ATTACKS[name], batch, surrogates, report or Report())


def test_every_attack_of_the_catalogue_stands_in_the_matrix():
    assert set(tiny.ATTACKS) == set(catalog.ATTACKS)


@pytest.mark.parametrize("name", EVERY)
def test_its_docstring_says_who_where_what_and_against_whom(name):
    row = catalog.attack(name)
    text = __import__(row.craft.split(":")[0], fromlist=["craft"]).__doc__
    assert "Threat model:" in text
    assert row.url in text
    if name in OPTIMISING:
        assert "Objective" in text and "min_x" in text


@pytest.mark.parametrize("nets", ENSEMBLES, ids="+".join)
@pytest.mark.parametrize("name", OPTIMISING)
def test_lowers_its_own_objective_in_every_trial(name, nets, digits):
    batch, surrogates = tiny.batch(digits), tiny.surrogates(*nets)
    objective = attacks.load(name).objective
    poisons = craft(name, batch, surrogates)
    before = objective(tiny.ATTACKS[name], batch, surrogates, batch.bases)
    after = objective(tiny.ATTACKS[name], batch, surrogates, poisons)
    assert after.shape == (len(batch),)
    assert (after < before - 0.05 * before.abs()).all()


@pytest.mark.parametrize("nets", ENSEMBLES, ids="+".join)
@pytest.mark.parametrize("name", EVERY)
def test_obeys_the_budget_on_what_is_stored(name, nets, digits):
    batch = tiny.batch(digits)
    poisons = craft(name, batch, tiny.surrogates(*nets))
    assert poisons.shape == batch.bases.shape
    change = (tiny.rounded(poisons) - tiny.rounded(batch.bases)).abs()
    if catalog.attack(name).budget == "linf_outside_trigger":
        change = change.masked_fill(batch.trigger.mask(32), 0)
    if catalog.attack(name).budget != "unbounded":
        assert change.max() <= getattr(tiny.ATTACKS[name], "eps_255", 0)
    assert tiny.rounded(poisons).min() >= 0 and tiny.rounded(poisons).max() <= 255


@pytest.mark.parametrize("nets", ENSEMBLES, ids="+".join)
@pytest.mark.parametrize("name", EVERY)
def test_the_same_seed_gives_the_same_poisons(name, nets, digits):
    first = craft(name, tiny.batch(digits), tiny.surrogates(*nets))
    second = craft(name, tiny.batch(digits), tiny.surrogates(*nets))
    assert torch.equal(first, second)


@pytest.mark.parametrize("nets", ENSEMBLES, ids="+".join)
@pytest.mark.parametrize("name", EVERY)
def test_a_trial_does_not_depend_on_those_it_is_batched_with(name, nets, digits):
    # a convolution of oneDNN's rounds by the size of its batch, and Adam makes much of that where a
    # gradient is nothing but rounding
    with torch.backends.mkldnn.flags(enabled=False):
        together = craft(name, tiny.batch(digits, trials=3), tiny.surrogates(*nets))
        batch = tiny.batch(digits, trials=3)
        alone = torch.cat([craft(name, batch.trial(t), tiny.surrogates(*nets)) for t in range(3)])
    different = (tiny.rounded(together) - tiny.rounded(alone)).abs()
    assert different.max() <= 1  # rounding of sums in another order
    assert (different > 0).float().mean() < 0.005
    if name in OPTIMISING:
        objective = attacks.load(name).objective
        found = [
            objective(tiny.ATTACKS[name], batch, tiny.surrogates(*nets), poisons)
            for poisons in (together, alone)
        ]
        torch.testing.assert_close(*found, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("nets", ENSEMBLES, ids="+".join)
@pytest.mark.parametrize("name", ADAM)
def test_adams_first_steps_are_those_of_a_trial_alone(name, nets, digits):
    """Before rounding is amplified, no value differs by half a stored step."""
    params = tiny.ATTACKS[name].model_copy(update={"steps": 2})

    def crafted(batch):
        return attacks.load(name).craft(params, batch, tiny.surrogates(*nets), Report())

    together, batch = crafted(tiny.batch(digits, trials=3)), tiny.batch(digits, trials=3)
    alone = torch.cat([crafted(batch.trial(t)) for t in range(3)])
    assert (together - alone).abs().max() < 0.5 / 255


@pytest.mark.parametrize("name", EVERY)
def test_what_the_report_raises_stops_it(name, digits):
    class Cancelled(Exception):
        pass

    def cancel(step, total, values):
        raise Cancelled

    with pytest.raises(Cancelled):
        craft(name, tiny.batch(digits), tiny.surrogates("plain"), Report(cancel))


@pytest.mark.parametrize("name", EVERY)
def test_reports_the_last_step_and_what_it_optimises(name, digits):
    said = []
    craft(name, tiny.batch(digits), tiny.surrogates("plain"), Report(lambda *a: said.append(a)))
    step, total, values = said[-1]
    assert step == total
    assert set(values) == ({"loss"} if name in OPTIMISING else set())


class Killed(Exception):
    pass


@pytest.mark.parametrize("nets", [("plain",), ("dropout",)], ids="+".join)
@pytest.mark.parametrize("name", OPTIMISING)
def test_a_killed_craft_goes_on_to_the_same_poisons(name, nets, digits, tmp_path):
    uninterrupted = craft(name, tiny.batch(digits), tiny.surrogates(*nets))
    steps = []

    def resumable(batch):
        return Report(None, tmp_path / "state", "these trials", batch.generators, save_every_s=0.0)

    class DiesAt(Report):
        def __call__(self, step, total, values, **state):
            super().__call__(step, total, values, **state)
            steps.append(step)
            if step == 5:
                raise Killed

    batch = tiny.batch(digits)
    dying = DiesAt(None, tmp_path / "state", "these trials", batch.generators, save_every_s=0.0)
    with pytest.raises(Killed):
        craft(name, batch, tiny.surrogates(*nets), dying)
    batch = tiny.batch(digits)
    resumed = craft(name, batch, tiny.surrogates(*nets), resumable(batch))
    assert steps[-1] == 5
    assert torch.equal(resumed, uninterrupted)


@pytest.mark.parametrize("name", OPTIMISING)
def test_a_resumed_craft_does_only_the_steps_that_are_missing(name, digits, tmp_path):
    batch, counted = tiny.batch(digits), []

    class Counting(Report):
        def __call__(self, step, total, values, **state):
            super().__call__(step, total, values, **state)
            counted.append(step)
            if step == 5 and len(counted) == 5:
                raise Killed

    def report():
        return Counting(None, tmp_path / "s", "k", batch.generators, save_every_s=0.0)

    with pytest.raises(Killed):
        craft(name, batch, tiny.surrogates("plain"), report())
    craft(name, batch, tiny.surrogates("plain"), report())
    assert counted[5] == 6


def test_state_of_other_trials_is_not_taken_up(digits, tmp_path):
    batch, state = tiny.batch(digits), {"x": torch.ones(2)}
    ours = Report(None, tmp_path / "state", "ours", batch.generators, save_every_s=0.0)
    ours(3, 10, {}, **state)
    theirs = Report(None, tmp_path / "state", "theirs", batch.generators)
    assert theirs.restore(x=torch.zeros(2))[0] == 0
    assert ours.restore(x=torch.zeros(2))[0] == 3
    (tmp_path / "state").write_bytes(b"half a file")
    assert ours.restore(x=torch.zeros(2))[0] == 0


def test_dropout_draws_are_each_trials_own(digits):
    batch, surrogates = tiny.batch(digits, trials=2), tiny.surrogates("dropout")
    x = batch.bases.flatten(0, 1)
    (still,) = surrogates.features(x)
    (drawn,) = surrogates.features(x, batch.generators)
    (again,) = surrogates.features(x, batch.generators)
    (second,) = surrogates.features(x[3:], tiny.batch(digits).generators[1:])
    assert not torch.allclose(drawn, still) and not torch.allclose(drawn, again)
    assert torch.allclose(drawn[3:], second, atol=1e-6)
    assert torch.allclose(surrogates.features(x)[0], still)


def test_surrogates_learn_nothing_and_normalise(digits):
    net = tiny.plain_net().train()
    surrogates = tiny.Surrogates([net], tiny.MEAN, tiny.STD, tiny.CPU)
    assert not net.training and not any(p.requires_grad for p in net.parameters())
    x = tiny.batch(digits).bases.flatten(0, 1)
    with torch.no_grad():
        assert torch.allclose(surrogates.features(x)[0], net.features(tiny.normalized(x)))
        assert torch.allclose(surrogates.logits(x)[0], net(tiny.normalized(x)))
        blocks = surrogates.block_features(x)[0]
    assert torch.allclose(blocks[-1], surrogates.features(x)[0])
    assert len(blocks) == 2 and all(block.ndim == 2 for block in blocks)


def test_gradients_agree_with_finite_differences_in_float64(digits):
    net = tiny.plain_net().double()
    surrogates = tiny.Surrogates([net], tiny.MEAN, tiny.STD, tiny.CPU)
    surrogates.mean, surrogates.std = surrogates.mean.double(), surrogates.std.double()
    batch = tiny.batch(digits, trials=1)
    from poisoning.attacks import bullseye_polytope as bp

    f_t = [net.features(tiny.normalized(batch.targets[:, 0].double())).detach()]
    features = lambda x, draw=(): [net.features(tiny.normalized(x))]  # noqa: E731
    surrogates.features = features  # float64 all the way
    x = (batch.bases.double() + 0.01).requires_grad_()
    (g,) = torch.autograd.grad(bp.distance(x, f_t, surrogates).sum(), x)
    generator = torch.Generator().manual_seed(1)
    for _ in range(5):
        d = torch.randn(x.shape, generator=generator, dtype=torch.float64)
        h = 1e-6
        with torch.no_grad():
            ahead, behind = (bp.distance(x + s * h * d, f_t, surrogates) for s in (1, -1))
        assert torch.allclose((ahead - behind) / (2 * h), (g * d).sum(), rtol=1e-4)
