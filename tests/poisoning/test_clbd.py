"""Clean-Label Backdoor against the plain loop, and where the two forms differ: in the patch."""

import pytest
import torch
from torch.nn import functional

from poisoning.attacks import clean_label_backdoor as clbd
from poisoning.attacks import clean_label_backdoor_reference as reference
from poisoning.attacks.report import Report
from poisoning.inputs import Inputs
from poisoning.models import build, store
from poisoning.ops import pgd
from poisoning.params import CleanLabelBackdoor, CleanLabelBackdoorReference
from poisoning.spec import FieldError
from tests.poisoning import jobs, tiny

KNOBS = {"eps_255": 8, "steps": 6, "step_size_255": 3}
EPS, SIZE = 8 / 255, 3 / 255


def plain_loop(nets, bases, label, generator):
    """One trial, one image at a time, no trigger: [J, C, H, W]."""
    start = bases + EPS * (2 * torch.rand(bases.shape, generator=generator) - 1)
    found = []
    for base, x in zip(bases, start, strict=True):
        x = torch.minimum(torch.maximum(x, base - EPS), base + EPS).clamp(0, 1)
        for _ in range(6):
            x = x.detach().requires_grad_()
            loss = sum(
                functional.cross_entropy(net(tiny.normalized(x[None])), torch.tensor([label]))
                for net in nets
            )
            loss.backward()
            x = (x + SIZE * x.grad.sign()).detach()
            x = torch.minimum(torch.maximum(x, base - EPS), base + EPS).clamp(0, 1)
        found.append(x)
    return torch.stack(found)


@pytest.mark.parametrize("names", [("plain",), ("plain", "residual")], ids="+".join)
def test_both_forms_equal_the_plain_loop_and_differ_in_the_patch(names, digits):
    batch = tiny.batch(digits, trials=3, poisons=4)  # the third has other classes
    full = clbd.craft(CleanLabelBackdoor(**KNOBS), batch, tiny.surrogates(*names), Report())
    batch = tiny.batch(digits, trials=3, poisons=4)
    clipped = reference.craft(
        CleanLabelBackdoorReference(**KNOBS), batch, tiny.surrogates(*names), Report()
    )
    nets = [tiny.NETS[name](seed).requires_grad_(False) for seed, name in enumerate(names)]
    generators = tiny.batch(digits, trials=3).generators
    for t in range(3):
        label = int(batch.base_labels[t])
        expected = batch.trigger.stamp(plain_loop(nets, batch.bases[t], label, generators[t]))
        within = expected.clamp(batch.bases[t] - EPS, batch.bases[t] + EPS).clamp(0, 1)
        # a sign may turn over where a gradient is nearly zero
        assert (tiny.rounded(full[t]) != tiny.rounded(expected)).float().mean() < 0.002
        assert (tiny.rounded(clipped[t]) != tiny.rounded(within)).float().mean() < 0.002


def test_the_patch_is_whole_in_one_form_and_a_trace_in_the_other(digits):
    batch, surrogates = tiny.batch(digits), tiny.surrogates("plain")
    mask = batch.trigger.mask(32)
    full = clbd.craft(CleanLabelBackdoor(**KNOBS), batch, surrogates, Report())
    params = CleanLabelBackdoorReference(**KNOBS)
    clipped = reference.craft(params, batch, surrogates, Report())
    stamped = batch.trigger.stamp(batch.bases)
    assert torch.equal(full[..., mask], stamped[..., mask])
    changed = (tiny.rounded(clipped) - tiny.rounded(batch.bases)).abs()
    assert changed.max() == 8
    towards = (stamped - batch.bases)[..., mask].sign()
    assert torch.equal((clipped - batch.bases)[..., mask].sign(), towards)


def test_the_objective_is_the_mean_cross_entropy_below_zero(digits):
    batch, surrogates = tiny.batch(digits, trials=3), tiny.surrogates("plain", "residual")
    found = clbd.objective(CleanLabelBackdoor(), batch, surrogates, batch.bases)
    for t in range(3):
        x, label = tiny.normalized(batch.bases[t]), batch.base_labels[t]
        with torch.no_grad():
            each = [
                functional.cross_entropy(net(x), label.expand(3)) for net in surrogates.networks
            ]
        assert found[t].item() == pytest.approx(-float(sum(each)), rel=1e-5)


def test_a_start_is_uniform_in_the_ball_and_in_the_box():
    base = torch.full((3, 64, 64), 0.5)
    start = pgd.start(base, 0.1, torch.Generator().manual_seed(0))
    assert (start - base).abs().max() <= 0.1 + 1e-7
    assert (start - base).std() == pytest.approx(0.1 / 3**0.5, rel=0.02)
    assert pgd.start(torch.ones(3, 8, 8), 0.1, torch.Generator().manual_seed(0)).max() <= 1


def test_a_surrogate_of_other_classes_is_refused_and_a_victim_of_them_is_not(tmp_path):
    attack = CleanLabelBackdoor(**KNOBS)
    refused = jobs.job(tmp_path, jobs.spec(attack, surrogates=("white",)))
    with pytest.raises(FieldError, match=r"surrogates.0: .* needs a classifier of Digits 5 to 9"):
        Inputs(refused)
    drawn = jobs.spec(attack, surrogates=("sampled",), sampled_from=("black", "grey"))
    with pytest.raises(FieldError, match=r"sampled_from.0: .*black was trained on Digits 0 to 4"):
        Inputs(jobs.job(tmp_path, drawn))
    job = jobs.job(tmp_path, jobs.spec(attack, surrogates=("classifier",)))
    card = store.read_card(job.checkpoints["white"])
    path = tmp_path / "classifier.safetensors"
    store.save(
        path, build("resnet6_w16", 5, seed=0), card.model_copy(update={"dataset": "digits_5_9"})
    )
    Inputs(job.model_copy(update={"checkpoints": job.checkpoints | {"classifier": str(path)}}))
