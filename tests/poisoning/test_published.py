import subprocess
import sys

import pytest

from poisoning import published, stats
from poisoning.published import NOTHING, Published


def everything():
    """(where it stands, what stands there) of all values of the module."""
    for name, value in vars(published).items():
        if isinstance(value, Published):
            yield name, value
        elif name.isupper() and isinstance(value, dict) and name != "TABLES":
            for key, each in value.items():
                if isinstance(each, Published):
                    yield f"{name} {key}", each


def test_every_value_says_something_and_where_it_stands():
    found = list(everything())
    assert len(found) > 60
    for place, value in found:
        if value is not NOTHING:
            assert value.source, place
            assert (value.percent, value.below, value.direction) != (None, None, None), place
        assert value.percent is None or 0 <= value.percent <= 100


@pytest.mark.parametrize(
    ("attack", "percent", "error"),
    [("FC", 92, 2.71), ("CP", 88, 3.25), ("CLBD", 86, 3.47), ("HTBD", 69, 4.62)],
)
def test_the_baselines_have_the_errors_printed_beside_them(attack, percent, error):
    value = published.BASELINES[attack]
    assert (value.percent, value.n) == (percent, 100)
    assert round(100 * stats.standard_error(value.percent / 100 * value.n, value.n), 2) == error


def test_rates_of_one_network_are_whole_percents_and_means_of_two_are_halves():
    """So is every rate of 100 trials; what is not was no such rate."""
    for table in published.TABLES.values():
        for (_, column), value in table.items():
            if column != published.MEAN_OF_THREE:
                steps = 2 if column == published.BLACK else 1
                assert float(value.percent * steps).is_integer()
                assert value.n == 100


def test_the_mean_of_three_is_the_mean_of_its_row_but_once():
    off = [
        (attack, value)
        for (attack, _), value in published.CIFAR10_FROM_SCRATCH_MEANS.items()
        if abs(value.percent - _mean(attack)) > 0.01
    ]
    ((attack, value),) = off
    assert attack == "HTBD" and "1.67" in value.note and value.n is None


def _mean(attack):
    columns = published.SCRATCH_COLUMNS
    rates = [published.CIFAR10_FROM_SCRATCH[attack, column].percent for column in columns]
    return sum(rates) / len(rates)


def test_the_doubted_are_no_rates_to_compare_with():
    assert all(value.percent is None or abs(value.percent - 19.09) > 1 for _, value in everything())
    for value in published.REPORTED.values():
        assert value.label == "as reported, unverified" and value.n is None


def test_what_is_quoted_is_never_compared_as_a_rate():
    quoted = [value for _, value in everything() if value.label == "quoted"]
    assert quoted and all(value.n is None for value in quoted)


def test_what_is_not_on_record_is_a_value_and_says_so():
    assert NOTHING.percent is None and NOTHING.n is None
    assert NOTHING.label == "no published value on record"


def test_no_torch_is_needed():
    code = "import sys, poisoning.published; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
