"""The specs that docs/results.md tells how to run can be run, and are what it says they are."""

from pathlib import Path

import pytest

from poisoning import spec_file
from poisoning.spec import ExperimentSpec
from poisoning.victim_params import RECIPES

DOCS = Path(__file__).parents[2] / "docs"
SPECS = sorted((DOCS / "specs").glob("*.yaml"))
PAGE = (DOCS / "results.md").read_text(encoding="utf-8")


def spec_of(path: Path) -> ExperimentSpec:
    return ExperimentSpec.model_validate(spec_file.read(path))


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_every_spec_is_one_and_stands_on_the_page(path: Path) -> None:
    assert spec_of(path).data.dataset == "cifar10"
    assert f"docs/specs/{path.name}" in PAGE


def test_the_network_from_scratch_is_trained_by_the_fast_recipe() -> None:
    (victim,) = spec_of(DOCS / "specs" / "cifar10-from-scratch.yaml").victims
    assert victim.recipe == RECIPES["fast_from_scratch"].recipe
