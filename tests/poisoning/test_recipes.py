"""Recipes by name: each can run, says what it is, and the demonstration's are good and quick."""

import re
import time

import pytest

from poisoning import catalog, params, pretrain
from poisoning.events import Machine, PretrainJob
from poisoning.models import build
from poisoning.recipes import RECIPES
from poisoning.spec import PretrainSpec, spec_hash


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_called_what_it_is(name):
    spec = RECIPES[name]
    assert PretrainSpec.model_validate(spec.model_dump()) == spec
    model, dataset, *epochs, seed = name.split("-")
    assert (model, dataset, seed) == (spec.model, spec.dataset, f"s{spec.seed}")
    assert epochs in ([], [f"{spec.epochs}ep"])
    params.FrozenVictim(checkpoint=name)  # a name that a victim can state


def test_no_two_recipes_are_the_same():
    assert len({spec_hash(spec) for spec in RECIPES.values()}) == len(RECIPES)


def test_the_benchmarks_recipe_is_exact():
    spec = RECIPES["resnet18-cifar100-200ep-s0"]
    assert (spec.epochs, spec.learning_rate, spec.drop_epochs) == (200, 0.01, (100, 150))
    assert (spec.momentum, spec.weight_decay, spec.batch_size) == (0.9, 2e-4, 128)
    assert (spec.nesterov, spec.augment, spec.normalize) == (False, False, True)
    assert (spec.schedule, spec.precision) == ("steps", "exact")


@pytest.mark.parametrize("name", [name for name in RECIPES if re.search("digits.*s0$", name)])
def test_the_demonstrations_extractors_are_good_and_quick(name, tmp_path):
    events, started = [], time.process_time()
    machine = Machine(data_dir=".", work_dir=str(tmp_path), device="cpu", threads=1)
    pretrain.run(PretrainJob(name=name, spec=RECIPES[name], machine=machine), events.append)
    assert events[-1].clean_accuracy >= 0.93
    assert time.process_time() - started < 30


def test_recipes_use_networks_that_fit_their_images():
    for spec in RECIPES.values():
        row = catalog.dataset(spec.dataset)
        net = build(spec.model, len(row.classes), row.image_size, seed=0)
        assert net.num_classes == len(row.classes)
