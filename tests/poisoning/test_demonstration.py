"""The demonstration: what it runs, and what must hold of it."""

import subprocess
import sys

import pytest

from poisoning import results
from poisoning.events import Judged, OutcomeResult, Setup, TrialDone
from poisoning.recipes import RECIPES
from poisoning.results import Results
from poisoning.studies.demonstration import STUDY


def test_studies_are_torch_free():
    code = "import sys, poisoning.studies; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_demonstration_is_what_it_says():
    made = [spec for _, spec in STUDY.experiments("quick")]
    assert [spec.attack.name for spec in made] == [
        "no_perturbation", "feature_collision", "bullseye_polytope",
    ]  # fmt: skip
    for spec in made:
        assert spec.trials == 20 and spec.data.dataset == "digits_5_9"
        assert getattr(spec.attack, "eps_255", 0) <= 32
        white, black = (RECIPES[victim.checkpoint] for victim in spec.victims)
        assert white == RECIPES[spec.surrogates[0]] and white.model != black.model
        assert white.dataset == black.dataset == "digits_0_4"
    assert len({(spec.data, spec.victims, spec.seed) for spec in made}) == 1


def judged(is_base, accuracy):
    return Judged(
        prediction=1 if is_base else 0, confidence=0.5, margin=0.1, clean_accuracy=accuracy
    )


def outcome(number, success, twin_success, accuracy):
    return OutcomeResult(
        victim=number,
        access="white_box" if number == 0 else "black_box",
        success=success,
        poisoned=judged(success, accuracy),
        twin=judged(twin_success, accuracy),
        twin_success=twin_success,
        clean_images=246,
        seconds=0.1,
        outcome_hash=f"o{number}",
    )


def trial(index, successes, twins=(False, False), accuracy=0.95, linf_255=32):
    return TrialDone(
        index=index,
        setup=Setup(target_class=0, target_index=index, base_class=1, base_indices=(1, 2)),
        poison_set="x",
        poison_set_hash="x",
        craft_hash=f"c{index}",
        craft_seconds=0.1,
        linf_255=linf_255,
        mean_l2=0.1,
        ssim=0.9,
        final_loss=0.1,
        outcomes=tuple(
            outcome(v, *pair, accuracy) for v, pair in enumerate(zip(successes, twins, strict=True))
        ),
    )


def demonstration(bullseye=15, **changes):
    """Results as they should be: the control 1 of 20, Bullseye Polytope ``bullseye`` of 20."""
    found = []
    for title, spec in STUDY.experiments("quick"):
        name = spec.attack.name
        hits = {"no_perturbation": 1, "feature_collision": 5, "bullseye_polytope": bullseye}[name]
        allowed = 0 if name == "no_perturbation" else 32
        trials = [trial(i, (i < hits, False), (i < 1, False), linf_255=allowed) for i in range(20)]
        found.append(Results(title, spec, changes.get(name, trials)))
    return found


def test_what_should_hold_holds():
    assert STUDY.verdict(demonstration()) == []


def test_a_weak_attack_does_not_hold():
    (fault,) = STUDY.verdict(demonstration(bullseye=5))
    assert "Bullseye Polytope's lower bound, 0.112, is not above" in fault


@pytest.mark.parametrize(
    ("name", "trials", "word"),
    [
        ("no_perturbation",
         [trial(i, (i == 3, False), (False, False), linf_255=0) for i in range(20)], "twin"),
        ("no_perturbation", [trial(i, (False, False), linf_255=1) for i in range(20)], "0/255"),
        ("feature_collision", [trial(i, (False, False)) for i in range(19)], "19 trials, not 20"),
        ("feature_collision", [], "0 trials"),
        ("feature_collision",
         [trial(i, (False, False), linf_255=33) for i in range(20)], "32/255"),
        ("feature_collision",
         [trial(i, (False, False), accuracy=0.89) for i in range(20)], "0.890"),
    ],
    ids=["twin", "control changed", "a trial is missing", "no trial", "budget", "accuracy"],
)  # fmt: skip
def test_what_does_not_hold_is_told(name, trials, word):
    faults = STUDY.verdict(demonstration(**{name: trials}))
    assert faults and any(word in fault for fault in faults)


def test_a_study_without_its_experiments_does_not_hold():
    assert STUDY.verdict([])
    assert STUDY.verdict(demonstration()[1:])


def test_the_table_says_rate_error_n_interval_and_twin():
    text = results.table(demonstration())
    lines = text.splitlines()
    assert len(lines) == 1 + 3 * 2
    bullseye = next(x for x in lines if x.startswith("Bullseye") and "white box" in x)
    assert "75.0 +- 11.18" in bullseye and "[53.1, 88.8]" in bullseye
    assert "32/255" in bullseye and " 20 " in bullseye and " 5.0 " in bullseye
