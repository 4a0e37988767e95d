"""The page on studies says what the specs say."""

from pathlib import Path

import pytest

from poisoning import presets, tables
from poisoning.profiles import SCALES
from poisoning.studies import STUDIES

PAGE = (Path(__file__).parents[2] / "docs" / "studies.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_stands_on_the_page(name):
    assert f"| `{name}` |" in PAGE


def test_the_original_settings_are_those_of_the_specs():
    lines = tuple(presets.settings(name, make()) for name, make in presets.BASELINES.items())
    made = tables.Table("Baselines", presets.SETTINGS_HEADER, lines)
    for line in tables.to_markdown(made).splitlines()[2:]:
        assert line in PAGE


@pytest.mark.parametrize("profile", ["smoke", "quick"])
def test_the_sizes_of_profiles_are_those_of_the_code(profile):
    scale = SCALES[profile]
    assert f"| {profile} | {scale.trials} | {scale.steps} | {scale.epochs} |" in PAGE
