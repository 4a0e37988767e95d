"""The original settings, the benchmark's and the report's, against the protocol; profiles."""

import subprocess
import sys

import pytest

from poisoning import presets, profiles, shipped
from poisoning.recipes import RECIPES, brief
from poisoning.spec import SAMPLED, ExperimentSpec, FieldError, vary
from poisoning.studies import STUDIES


def test_the_settings_of_the_original_papers_are_exact():
    """Normalised, augmented, optimiser, regime, access, poisons, images, eps, patch."""
    shown = {name: presets.settings(name, make()) for name, make in presets.BASELINES.items()}
    picked = {name: (*line[1:6], *line[7:11]) for name, line in shown.items()}
    assert picked == {
        "FC": ("no", "no", "adam", "E2E", "WB", "50", "50,000", "none", "-"),
        "CP": ("yes", "no", "adam", "FFE", "WB", "5", "500", "25.5/255", "-"),
        "CLBD": ("no", "yes", "sgd", "FST", "BB", "500", "50,000", "8/255", "3 px"),
        "HTBD": ("yes", "no", "sgd", "FFE", "WB", "800", "50,000", "16/255", "8 px"),
    }
    assert all(len(line) == len(presets.SETTINGS_HEADER) for line in shown.values())


def test_the_settings_follow_from_the_spec():
    spec = vary(presets.convex_polytope(), {"victims.0.recipe.optimizer": "sgd", "data.poisons": 3})
    line = dict(zip(presets.SETTINGS_HEADER, presets.settings("CP", spec), strict=True))
    assert (line["optimiser"], line["poisons"]) == ("sgd", "3")


@pytest.mark.parametrize("name", presets.BASELINES)
def test_a_baseline_is_a_hundred_trials_on_drawn_networks_that_can_be_trained(name):
    spec = presets.BASELINES[name]()
    assert (spec.trials, spec.profile) == (100, "paper")
    assert ExperimentSpec.model_validate_json(spec.model_dump_json()) == spec
    for _, checkpoint in spec.checkpoint_names():
        recipe = RECIPES[checkpoint]
        assert recipe.normalize == spec.data.normalize and recipe.dataset == "cifar10"
    if SAMPLED in spec.surrogates:
        assert len(spec.sampled_from) == 10
        assert {spec.drawn_checkpoint(index) for index in range(100)} == set(spec.sampled_from)


def test_the_reports_four_share_one_network():
    made = presets.report()
    assert list(made) == ["FC", "CP", "CLBD", "HTBD"]
    for spec in made.values():
        assert spec.data.dataset == "cifar10" and spec.data.normalize
        (victim,) = spec.victims
        model = getattr(victim, "model", None) or RECIPES[victim.checkpoint].model
        assert model == "resnet18"
        assert {RECIPES[name].model for name in spec.surrogates} == {"resnet18"}


def test_the_benchmarks_rows_are_at_its_budget():
    for rows in (presets.unified_attacks(), presets.unified_attacks_tiny()):
        for name, attack in rows.items():
            assert getattr(attack, "eps_255", 8) == 8, name
    assert presets.unified_attacks_tiny()["HTBD"].patch_size == 8
    assert presets.CIFAR_TRANSFER.train_size == 2500 and presets.CIFAR_TRANSFER.poisons == 25


def test_a_field_that_is_not_there_cannot_be_varied():
    spec = presets.convex_polytope()
    with pytest.raises(KeyError):
        vary(spec, {"data.poison": 3})
    with pytest.raises(IndexError):
        vary(spec, {"victims.1.recipe.epochs": 3})
    with pytest.raises((FieldError, ValueError)):
        vary(spec, {"data.poisons": 400})


@pytest.mark.parametrize("profile", ["smoke", "quick"])
@pytest.mark.parametrize("name", presets.BASELINES)
def test_a_profile_makes_a_setting_smaller_and_keeps_what_it_is(name, profile):
    whole = presets.BASELINES[name]()
    small, scale = profiles.scaled(whole, profile), profiles.SCALES[profile]
    assert small.profile == profile and small.trials == scale.trials >= 5
    assert small.data.train_size <= 5000 and small.data.poisons >= min(whole.data.poisons, 5)
    assert getattr(small.attack, "steps", 0) <= scale.steps
    assert getattr(small.attack, "eps_255", None) == getattr(whole.attack, "eps_255", None)
    for before, after in zip(whole.victims, small.victims, strict=True):
        assert after.recipe.epochs <= scale.epochs
        assert after.regime == before.regime
        assert after.recipe.optimizer == before.recipe.optimizer
    for _, checkpoint in small.checkpoint_names():
        assert checkpoint in RECIPES
        assert profile != "smoke" or "digits" in checkpoint
    assert presets.settings(name, small)[5] == presets.settings(name, whole)[5]  # access


def test_the_paper_profile_changes_nothing():
    spec = presets.convex_polytope()
    assert profiles.scaled(spec, "paper") is spec


def test_only_the_paper_profile_is_compared_with_what_is_published():
    assert {name for name, scale in profiles.SCALES.items() if scale.is_compared} == {"paper"}
    assert not profiles.SCALES["smoke"].is_shown_beside_published


def test_no_torch_is_needed():
    code = "import sys, poisoning.presets, poisoning.profiles; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- quick ------------------------------------------------------------------------------------


FROZEN, END_TO_END = "CIFAR-10, transfer, frozen extractor", "CIFAR-10, transfer, end to end"


def transfer(title, profile):
    lines = STUDIES["benchmark_cifar10_transfer"].lines(profile)
    return next(line for line in lines if line.title == title)


def test_quick_computes_fast_and_trains_end_to_end_briefly_and_only_the_quickest():
    frozen = transfer("BP: CIFAR-10, transfer, frozen extractor", "quick")
    assert (frozen.spec.precision, frozen.spec.attack.steps) == ("fast", 250)
    assert [RECIPES[victim.checkpoint].model for victim in frozen.spec.victims] == [
        "resnet18", "resnet18", "mobilenet_v2", "vgg11",
    ]  # fmt: skip
    whole = transfer("BP: CIFAR-10, transfer, end to end", "quick")
    (victim,) = whole.spec.victims
    assert (victim.checkpoint, victim.recipe.epochs) == ("resnet18-cifar100-10ep-s0", 2)
    assert [(place.column, place.victims) for place in whole.places] == [("white box", (0,))]
    assert len(transfer(whole.title, "paper").spec.victims) == 4


def test_quick_says_in_every_table_which_experiments_it_leaves_to_the_paper_profile():
    study = STUDIES["benchmark_cifar10_transfer"]
    of_three = "ensemble of surrogates"
    assert set(study.left_out("quick")) == {
        *(f"{name}, ours: {END_TO_END}" for name in ("FC", "CLBD", "HTBD")),
        *(f"{name}: {t}, {of_three}" for name in ("FC", "CP", "BP") for t in (FROZEN, END_TO_END)),
    }
    assert study.left_out("smoke") == study.left_out("paper") == ()
    (note,) = {notes[-1] for table in study.tables([], "quick")[:-1] if (notes := table.notes)}
    assert note.startswith("Left to the paper profile for their cost: ")
    assert all(title in note for title in study.left_out("quick"))
    assert len(study.experiments("quick")) + len(study.left_out("quick")) == 24
    needed = {name for _, spec in study.experiments("quick") for _, name in spec.checkpoint_names()}
    come_with_us = {name for name in needed if shipped.find(name, RECIPES[name])}
    assert needed - come_with_us == {"resnet18-cifar10-adv-8ep-s0"}


def test_quick_has_only_checkpoints_that_are_short_and_those_that_come_with_us():
    for study in STUDIES.values():
        if "quick" not in study.profiles or study.name == "demonstration":
            continue
        for _, spec in study.experiments("quick"):
            for _, name in spec.checkpoint_names():
                assert name == SAMPLED or RECIPES[name].epochs <= 12
    assert brief("vgg11-cifar100-200ep-s1") == "vgg11-cifar100-12ep-s1"
    assert brief("resnet18-cifar10-200ep-s7") == "resnet18-cifar10-8ep-s1"
    assert brief("resnet18-cifar10-adv-200ep-s0") == "resnet18-cifar10-adv-8ep-s0"
