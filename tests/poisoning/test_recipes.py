"""Recipes by name: each can run, says what it is, and the demonstration's are good and quick."""

import time

import pytest

from poisoning import catalog, pretrain, victim_params
from poisoning.events import Machine, PretrainJob
from poisoning.models import build
from poisoning.recipes import FOR_STUDIES, LISTED, RECIPES
from poisoning.spec import PretrainSpec, spec_hash


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_called_what_it_is(name):
    spec = RECIPES[name]
    assert PretrainSpec.model_validate(spec.model_dump()) == spec
    model, dataset, *more, seed = name.split("-")
    assert (model, dataset, seed) == (spec.model, spec.dataset, f"s{spec.seed}")
    marks = ["adv"] * (spec.adversarial is not None) + ["raw"] * (not spec.normalize)
    assert more in (marks, [*marks, f"{spec.epochs}ep"])
    victim_params.FrozenVictim(checkpoint=name)  # a name that a victim can state


def test_no_two_recipes_are_the_same():
    assert len({spec_hash(spec) for spec in RECIPES.values()}) == len(RECIPES)


def test_the_benchmarks_recipe_is_exact():
    spec = RECIPES["resnet18-cifar100-200ep-s0"]
    assert (spec.epochs, spec.learning_rate, spec.drop_epochs) == (200, 0.01, (100, 150))
    assert (spec.momentum, spec.weight_decay, spec.batch_size) == (0.9, 2e-4, 128)
    assert (spec.nesterov, spec.augment, spec.normalize) == (False, False, True)
    assert (spec.schedule, spec.precision) == ("steps", "exact")


QUICK = ("convnet3-digits_0_4-s0", "resnet6_w16-digits_0_4-s0", "convnet3-digits_5_9-adv-s0")


@pytest.mark.parametrize("name", QUICK)
def test_the_demonstrations_networks_are_good_and_quick(name, tmp_path):
    events, started = [], time.process_time()
    machine = Machine(data_dir=".", work_dir=str(tmp_path), device="cpu", threads=1)
    pretrain.run(PretrainJob(name=name, spec=RECIPES[name], machine=machine), events.append)
    assert events[-1].clean_accuracy >= 0.93
    robust = events[-1].card["robust_accuracy"]
    assert robust is None if RECIPES[name].adversarial is None else robust >= 0.6
    assert time.process_time() - started < 30


def test_every_trial_of_an_original_setting_can_draw_one_of_ten():
    for family in ("resnet18-cifar10", "alexnet_frogs-cifar10-raw", "alexnet_htbd-cifar10"):
        specs = [RECIPES[f"{family}-200ep-s{seed}"] for seed in range(10)]
        assert [spec.seed for spec in specs] == list(range(10))
        assert len({spec_hash(spec.model_copy(update={"seed": 0})) for spec in specs}) == 1


def test_a_list_shows_one_of_each_family_and_not_its_further_seeds():
    assert LISTED.keys() <= RECIPES.keys() and len(LISTED) <= 40
    families = {name.rpartition("-")[0] for name in RECIPES.keys() - FOR_STUDIES.keys()}
    assert families <= {name.rpartition("-")[0] for name in LISTED}
    for name in LISTED.keys() & FOR_STUDIES.keys():
        assert LISTED[name] == FOR_STUDIES[name]


def test_adversarial_training_is_as_published():
    spec = RECIPES["resnet18-cifar10-adv-200ep-s0"]
    knobs = spec.adversarial
    assert (knobs.eps_255, knobs.steps, knobs.step_size_255) == (8, 7, 2)
    assert (spec.learning_rate, spec.drop_epochs, spec.weight_decay) == (0.1, (100, 150), 2e-4)
    assert spec.augment


def test_recipes_use_networks_that_fit_their_images():
    for spec in LISTED.values():
        row = catalog.dataset(spec.dataset)
        net = build(spec.model, len(row.classes), row.image_size, seed=0)
        assert net.num_classes == len(row.classes)
