"""Fast beside exact: pairs, their interval, what is granted, and what is shown of it."""

import subprocess
import sys

import pytest
import yaml

from poisoning import certificates, cli, stats
from poisoning.certificates import Certificate, Pair, compare
from poisoning.events import Judged, OutcomeResult, Setup, TrialDone
from poisoning.params import NoPerturbation
from poisoning.results import Results
from poisoning.spec import DataSpec, ExperimentSpec, FieldError
from poisoning.victim_params import FrozenVictim

MADE = {
    "kind": "processor with AMX",
    "hardware": "a machine",
    "precision": {"asked": "fast", "computes": "bfloat16"},
    "versions": {"torch": "2"},
}
SPEC = ExperimentSpec(
    attack=NoPerturbation(),
    victims=(FrozenVictim(checkpoint="convnet3-digits_0_4-s0"),),
    data=DataSpec(dataset="digits_5_9", train_size=100, poisons=2),
    trials=100,
    profile="paper",
)


def trial(index, is_fooled, clean):
    said = Judged(prediction=0, confidence=0.5, margin=0.1, clean_accuracy=clean)
    outcome = OutcomeResult(
        victim=0, access="white_box", success=is_fooled, twin_success=False, poisoned=said,
        twin=said, clean_images=10, seconds=0.1, outcome_hash="x", provenance=MADE,
    )  # fmt: skip
    return TrialDone(
        index=index,
        setup=Setup(target_class=0, target_index=index, base_class=1, base_indices=(1,)),
        poison_set="x", poison_set_hash="x", craft_hash="x", craft_seconds=0.1, linf_255=0,
        mean_l2=0, ssim=1, final_loss=None, outcomes=(outcome,),
    )  # fmt: skip


def results(precision, fooled, clean=0.9):
    spec = SPEC.model_copy(update={"precision": precision})
    return Results("x", spec, [trial(i, is_fooled, clean) for i, is_fooled in enumerate(fooled)])


def test_pairs_are_counted_trial_by_trial():
    exact = results("exact", [True] * 60 + [False] * 40)
    fast = results("fast", [True] * 59 + [False] * 40 + [True])
    made = compare(exact, fast)
    (pair,) = made.pairs
    assert (pair.both, pair.only_exact, pair.only_fast, pair.neither) == (59, 1, 1, 39)
    gap, interval = pair.difference
    assert gap == 0 and interval == stats.paired_excess(59, 1, 1, 39, level=0.90)[1]
    assert made.is_granted and not made.is_reduced
    assert (made.kind, made.computes, made.n) == ("processor with AMX", "bfloat16", 100)
    assert made.words.startswith("certified on processor with AMX: convnet3")


@pytest.mark.parametrize(
    ("n", "flipped", "clean", "is_granted"),
    [
        (100, 0, 0.9, True),
        (99, 0, 0.9, False),  # too few
        (100, 8, 0.9, False),  # eight fall in exact alone
        (100, 0, 0.8965, False),  # 0.35 points less clean
        (100, 0, 0.8975, True),
    ],
)
def test_what_is_granted(n, flipped, clean, is_granted):
    exact = results("exact", [i < 60 for i in range(n)])
    fast = results("fast", [flipped <= i < 60 for i in range(n)], clean)
    made = compare(exact, fast)
    assert made.is_granted is is_granted
    assert made.words.startswith("certified" if is_granted else "not certified")


def test_other_experiments_are_no_pair():
    exact, fast = results("exact", [True]), results("fast", [True])
    with pytest.raises(FieldError, match="both precisions"):
        compare(fast, exact)
    with pytest.raises(FieldError, match="both precisions"):
        compare(exact, Results("x", fast.spec.model_copy(update={"seed": 9}), fast.trials))
    with pytest.raises(FieldError, match="no trial"):
        compare(exact, Results("x", fast.spec, []))


def test_a_smaller_setting_says_so_and_files_are_read_back(tmp_path):
    exact, fast = results("exact", [True] * 100), results("fast", [True] * 100)
    for one in (exact, fast):
        one.spec = one.spec.model_copy(update={"profile": "quick"})
    made = compare(exact, fast)
    assert made.is_reduced and "at reduced size" in made.words
    path = certificates.save(made, tmp_path)
    assert path.name == "no_perturbation-v1-processor_with_AMX.json"
    assert Certificate.model_validate_json(path.read_bytes()) == made


def test_those_that_come_with_us_are_what_they_say():
    for path in certificates.FOLDER.glob("*.json"):
        made = Certificate.model_validate_json(path.read_bytes())
        assert made == certificates.find(made.attack, made.kind)
        assert made.n >= certificates.TRIALS and made.spec.precision == "exact"
        assert made.hardware and made.versions["torch"] and made.date
    assert certificates.find("no_perturbation", "an abacus") is None


def test_the_command_runs_both_and_says_what_came_out(tmp_path, capsys):
    spec = tmp_path / "spec.yaml"
    raw = SPEC.model_copy(update={"trials": 2, "profile": "quick"}).model_dump(mode="json")
    spec.write_text(yaml.safe_dump(raw | {"precision": "exact"}))
    places = ["--out", str(tmp_path / "out"), "--threads", "1", "--device", "cpu"]
    assert cli.main(["certify", str(spec), "--to", str(tmp_path / "kept"), *places]) == 1
    assert "not certified on processor" in capsys.readouterr().out  # of two trials
    (path,) = (tmp_path / "kept").glob("*.json")
    made = Certificate.model_validate_json(path.read_bytes())
    assert [pair.n for pair in made.pairs] == [2] and made.spec.trials == 2


def test_no_torch_is_needed():
    code = "import sys, poisoning.certificates; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_pair_that_hardly_ever_differs_is_equal():
    assert Pair(victim="x", both=50, only_exact=1, only_fast=2, neither=47,
                clean_exact=0.9, clean_fast=0.9).is_equal  # fmt: skip
