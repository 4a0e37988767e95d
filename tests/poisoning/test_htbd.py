"""Hidden-Trigger Backdoor: pairings against literal loops, the descent against a plain one."""

import pytest
import torch

from poisoning.attacks import hidden_trigger_backdoor as htbd
from poisoning.attacks import hidden_trigger_backdoor_reference as reference
from poisoning.attacks.report import Report
from poisoning.ops import pairing
from poisoning.params import HiddenTriggerBackdoor, HiddenTriggerBackdoorReference
from tests.poisoning import tiny

KNOBS = {"eps_255": 16, "steps": 9, "learning_rate": 2, "decay": 0.5, "decay_every": 3}
FORMS = {
    "paper": (htbd, HiddenTriggerBackdoor),
    "reference": (reference, HiddenTriggerBackdoorReference),
}


def literal_one_to_one(distances, before):
    """The smallest of all, cross out its row and column, again."""
    d, source = distances.clone(), [0] * len(distances)
    for _ in range(len(d)):
        row, column = divmod(int(d.argmin()), len(d))
        source[column] = row
        d[row, :] = d[:, column] = torch.inf
    return torch.tensor(source)


def literal_one_cell(distances, before):
    """The code's loop: the sources it compares with, and overwrites, are those of ``before``."""
    d, source = distances[before].clone(), before.clone()
    for _ in range(len(d)):
        row, column = divmod(int(d.argmin()), len(d))
        source[column] = before[row]
        d[row, column] = 1e30
    return source


def mutually_nearest(distances, before):
    """The form for a GPU, of one to one."""
    return pairing._mutually_nearest(distances.nan_to_num(posinf=pairing.LARGEST))


LITERAL = {
    pairing.one_to_one: literal_one_to_one,
    mutually_nearest: literal_one_to_one,
    pairing.smallest_cells: literal_one_cell,
    pairing._smallest_of_all: literal_one_cell,
}


def matrix(kind, trials, poisons, generator):
    d = torch.rand(trials, poisons, poisons, generator=generator)
    if kind == "clustered":  # one source is near to all: the greedy order matters
        d = d * 0.1 + torch.rand(trials, poisons, 1, generator=generator)
    if kind == "ties":
        d = (d * 6).round()
    if kind == "equal":
        d = torch.zeros_like(d)
    if kind == "endless":
        d[d > 0.8] = torch.inf
    return d


@pytest.mark.parametrize("kind", ["uniform", "clustered", "ties", "equal", "endless"])
@pytest.mark.parametrize("fast", LITERAL, ids=lambda fast: fast.__name__)
def test_a_pairing_equals_its_literal_loop(fast, kind):
    generator = torch.Generator().manual_seed(7)
    for poisons in (1, 2, 5, 25):
        d = matrix(kind, 6, poisons, generator)
        fresh = torch.arange(poisons).repeat(6, 1)
        lost = torch.randint(poisons, (6, poisons), generator=generator)
        for before in (fresh, lost):
            found = fast(d, before)
            for t in range(6):  # what is endless must stay below what is crossed out
                expected = LITERAL[fast](d[t].clamp(max=1e20), before[t])
                assert torch.equal(found[t], expected), (kind, poisons, t)


def test_one_to_one_uses_every_source_once():
    d = matrix("clustered", 4, 25, torch.Generator().manual_seed(1))
    found = pairing.one_to_one(d, torch.zeros(4, 25, dtype=torch.int64))
    assert torch.equal(found.sort(1).values, torch.arange(25).repeat(4, 1))


def test_a_pairing_ends_even_where_distances_are_no_numbers():
    d = torch.full((2, 4, 4), torch.nan)
    assert pairing.one_to_one(d, torch.arange(4).repeat(2, 1)).shape == (2, 4)
    assert pairing.smallest_cells(d, torch.arange(4).repeat(2, 1)).shape == (2, 4)


def test_the_reference_shares_sources_and_never_gets_a_lost_one_back():
    d = torch.tensor([[[1.0, 2, 3], [10, 11, 12], [20, 21, 22]]])
    first = pairing.smallest_cells(d, torch.arange(3)[None])
    assert first.tolist() == [[0, 0, 0]]
    away = torch.tensor([[[50.0, 50, 50], [0, 0, 0], [0, 0, 0]]])  # now the others are nearer
    assert pairing.smallest_cells(away, first).tolist() == [[0, 0, 0]]
    assert pairing.one_to_one(away, first).sort().values.tolist() == [[0, 1, 2]]


def test_the_references_last_cell_wins_and_a_base_without_any_stays():
    d = torch.tensor([[[1.0, 9, 9], [2, 9, 9], [3, 9, 9]]])
    assert pairing.smallest_cells(d, torch.arange(3)[None]).tolist() == [[2, 1, 2]]


def plain_descent(nets, bases, sources, pair):
    """One trial, distance by distance."""
    x, before = bases.clone(), torch.arange(len(bases))
    for step in range(9):
        x = x.detach().requires_grad_()
        f = [net.features(tiny.normalized(x)) for net in nets]
        f_s = [net.features(tiny.normalized(sources)).detach() for net in nets]
        d = torch.zeros(len(bases), len(bases))
        for s in range(len(bases)):
            for b in range(len(bases)):
                d[s, b] = sum((a[b] - o[s]).square().sum() for a, o in zip(f, f_s, strict=True))
        before = pair(d, before)
        loss = sum((a - o[before]).square().sum() for a, o in zip(f, f_s, strict=True))
        loss.backward()
        x = (x - 2 * 0.5 ** (step // 3) * x.grad).detach()
        x = (bases + (x - bases).clamp(-16 / 255, 16 / 255)).clamp(0, 1)
    return x


@pytest.mark.parametrize("names", [("plain",), ("plain", "residual")], ids="+".join)
@pytest.mark.parametrize("form", FORMS)
def test_equals_the_plain_descent(form, names, digits):
    module, params = FORMS[form]
    pair = literal_one_to_one if form == "paper" else literal_one_cell
    batch = tiny.batch(digits, trials=3, poisons=4)  # the third has other classes
    found = module.craft(params(**KNOBS, tolerance=0), batch, tiny.surrogates(*names), Report())
    nets = [tiny.NETS[name](seed).requires_grad_(False) for seed, name in enumerate(names)]
    for t in range(3):
        sources = batch.trigger.stamp(batch.sources[t])
        expected = plain_descent(nets, batch.bases[t], sources, pair)
        different = (tiny.rounded(found[t]) - tiny.rounded(expected)).abs()
        assert different.max() <= 1 and (different > 0).float().mean() < 0.01


class Counting(Report):
    """Counts the steps, and the images each of them looks at."""

    def __init__(self, surrogates):
        super().__init__()
        self.seen, self.steps = [], 0
        asked = surrogates.features

        def features(x, draw=()):
            self.seen.append(len(x))
            return asked(x, draw)

        surrogates.features = features

    def __call__(self, step, total, values, **state):
        self.steps += bool(state)


@pytest.mark.parametrize("form", FORMS)
def test_a_trial_below_the_tolerance_is_done_and_costs_nothing_more(form, digits):
    module, params = FORMS[form]
    batch, surrogates = tiny.batch(digits, trials=3, poisons=4), tiny.surrogates("plain")
    near = batch.trigger.stamp(batch.sources[1])  # a trial that is there from the start
    bases = torch.stack([batch.bases[0], near, batch.bases[2]])
    batch = tiny.CraftBatch(
        bases, batch.targets, batch.base_labels, batch.target_labels, batch.generators,
        tiny.MEAN, tiny.STD, batch.sources, batch.trigger,
    )  # fmt: skip
    report = Counting(surrogates)
    poisons = module.craft(params(**KNOBS, tolerance=1e-6), batch, surrogates, report)
    assert report.seen == [12, 12, *[8] * 8]  # sources, all, then without the finished one
    assert torch.allclose(poisons[1], near, atol=1e-4)
    report = Counting(surrogates)
    module.craft(params(**KNOBS, tolerance=1e6), batch, surrogates, report)
    assert report.steps == 1


def test_the_objective_is_the_paired_distance(digits):
    batch, surrogates = tiny.batch(digits), tiny.surrogates("plain", "residual")
    found = htbd.objective(HiddenTriggerBackdoor(), batch, surrogates, batch.bases)
    for t in range(2):
        stamped = batch.trigger.stamp(batch.sources[t])
        with torch.no_grad():
            f = torch.cat(
                [n.features(tiny.normalized(batch.bases[t])) for n in surrogates.networks], 1
            )
            f_s = torch.cat([n.features(tiny.normalized(stamped)) for n in surrogates.networks], 1)
        d = (f_s[:, None] - f[None]).square().sum(2)
        paired = literal_one_to_one(d, None)
        expected = sum(float(d[paired[j], j]) for j in range(3))
        assert found[t].item() == pytest.approx(expected, rel=1e-4)
