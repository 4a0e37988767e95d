"""How big studies are, and that the page says the same."""

from pathlib import Path

import pytest

from app.services import study_sizes
from poisoning.profiles import MINUTES
from poisoning.spec import FieldError
from poisoning.studies import STUDIES

PAGE = (Path(__file__).parents[2] / "docs" / "studies.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("profile", study_sizes.PROFILES)
def test_the_page_says_what_the_specs_the_measurements_and_the_cost_model_say(profile):
    section = PAGE.split(f"### {profile.capitalize()}\n")[1].split("\n#")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    assert "\n".join(lines) == study_sizes.markdown(profile)


@pytest.mark.parametrize("profile", study_sizes.PROFILES)
def test_measured_is_what_was_measured_and_nothing_else(profile):
    found = study_sizes.of_profile(profile)
    assert [size.study for size in found] == [
        n for n, s in STUDIES.items() if profile in s.profiles
    ]
    for size in found:
        minutes = MINUTES.get((size.study, profile))
        assert size.time.endswith("estimated" if minutes is None else "measured")
        assert minutes is None or size.seconds == 60 * minutes
    assert {n for n, p in MINUTES if p == profile} <= {size.study for size in found}


def test_a_measurement_takes_the_place_of_the_estimate(monkeypatch):
    monkeypatch.setitem(MINUTES, ("baselines", "smoke"), 1.25)
    study_sizes.of_study.cache_clear()
    try:
        size = study_sizes.of_study("baselines", "smoke")
    finally:
        study_sizes.of_study.cache_clear()
    assert (size.seconds, size.time) == (75, "1.2 min, measured")


def test_all_smoke_studies_take_under_half_an_hour():
    found = study_sizes.of_profile("smoke")
    assert [size.study for size in found] == list(STUDIES)
    assert sum(size.seconds for size in found) < 30 * 60


def test_what_was_not_measured_is_estimated_and_says_so():
    size = study_sizes.of_study("benchmark_cifar10_from_scratch", "paper")
    assert size.time.endswith("days, estimated")
    assert (size.experiments, size.trials, size.epochs) == ("10", "100", "200")
    assert size.victims == "FST resnet18, mobilenet_v2, vgg11"
    with pytest.raises(FieldError, match="paper"):
        study_sizes.of_study("demonstration", "paper")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(6, "0.1 min"), (600, "10 min"), (7140, "120 min"), (7200, "2.0 h"), (1e6, "12 days"),
     (1e9, "12,000 days")],
)  # fmt: skip
def test_times_in_words(seconds, words):
    assert study_sizes.in_words(seconds) == words
