"""BadNets: the bases with the trigger pasted in, nothing else; no network is needed."""

import torch

from poisoning import trial
from poisoning.attacks import badnets
from poisoning.attacks.report import Report
from poisoning.params import BadNets
from tests.poisoning import jobs, tiny


def test_pastes_the_trigger_and_changes_nothing_else(digits):
    batch = tiny.batch(digits)
    poisons = badnets.craft(BadNets(), batch, tiny.surrogates(), Report())
    mask = batch.trigger.mask(32)
    assert torch.equal(poisons[..., ~mask], batch.bases[..., ~mask])
    row, column = batch.trigger.place
    assert torch.equal(poisons[1, 2, :, row : row + 3, column : column + 3], batch.trigger.patch)


def test_runs_whole_without_any_surrogate(tmp_path):
    heard = jobs.Heard()
    spec = jobs.spec(BadNets(), surrogates=(), trials=2)
    trial.run(jobs.job(tmp_path, spec), heard)
    assert len(heard.trials()) == 2
    for done in heard.trials():
        assert done.final_loss is None
        assert {outcome.access for outcome in done.outcomes} == {"black_box"}
        assert done.linf_255 > 100  # a patch in plain sight, measured
