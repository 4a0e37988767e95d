import subprocess
import sys

import pytest

from poisoning import catalog
from poisoning.published import NOTHING, PUBLISHED, UNVERIFIED, find


def test_every_row_is_an_attack_and_every_rate_a_fraction():
    for (table, row, column), value in PUBLISHED.items():
        assert table and column and row in catalog.ATTACKS
        assert value.rate is None or 0 <= value.rate <= 1
        assert value.source
        assert value.rate is not None or value.direction


@pytest.mark.parametrize(
    ("attack", "rate", "error"),
    [
        ("feature_collision_l2", 0.92, 0.0271),
        ("convex_polytope", 0.88, 0.0325),
        ("clean_label_backdoor", 0.86, 0.0347),
        ("hidden_trigger_backdoor", 0.69, 0.0462),
    ],
)
def test_the_baselines_have_the_errors_printed_beside_them(attack, rate, error):
    value = find("baselines", attack, "original")
    assert value.rate == rate and value.n == 100 and value.is_comparable
    assert round(value.standard_error, 4) == error


def test_rates_of_one_network_are_whole_percents_and_means_of_two_are_halves():
    """So is every rate of 100 trials; what is not was no such rate."""
    for (_, _, column), value in PUBLISHED.items():
        if value.is_comparable and column != "mean":
            steps = 200 if "black box" in column else 100
            assert (value.rate * steps) == pytest.approx(round(value.rate * steps)), value


def test_the_mean_column_is_the_mean_of_its_row_but_once():
    names = ("ResNet-18", "MobileNetV2", "VGG11")
    table = "benchmark_cifar10_from_scratch"
    off = []
    for (name, attack, column), value in PUBLISHED.items():
        if name == table and column == "mean":
            mean = sum(find(table, attack, each).rate for each in names) / 3
            if abs(mean - value.rate) > 0.0001:
                off.append((attack, value.label))
    ((attack, label),) = off
    assert attack == "hidden_trigger_backdoor_reference" and "1.67" in label


def test_the_doubted_are_no_rates_to_compare_with():
    assert not any(value.rate == pytest.approx(0.1909) for value in PUBLISHED.values())
    reported = [value for key, value in PUBLISHED.items() if key[0] == "report"]
    assert len(reported) == 4
    assert all(value.label == UNVERIFIED and not value.is_comparable for value in reported)


def test_what_is_not_on_record_says_so():
    value = find("report", "bullseye_polytope", "ResNet-18")
    assert value is NOTHING and value.rate is None and "no published value" in value.label
    assert value.standard_error is None and not value.is_comparable


def test_sensitivity_is_directions_only():
    tables = {
        "sgd_and_augmentation", "architecture", "black_box", "flips_and_shifts", "patch_size",
        "dataset_size",
    }  # fmt: skip
    found = {key[0] for key, value in PUBLISHED.items() if value.direction}
    assert found == tables
    assert all(PUBLISHED[key].rate is None for key in PUBLISHED if key[0] in tables)


def test_no_torch_is_needed():
    code = "import sys, poisoning.published; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
