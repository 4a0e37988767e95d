"""Against published values and SciPy."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from poisoning import stats


@pytest.mark.parametrize(("successes", "percent"), [(92, 2.71), (88, 3.25), (86, 3.47), (69, 4.62)])
def test_standard_error_of_the_papers_baselines(successes, percent):
    assert round(100 * stats.standard_error(successes, 100), 2) == percent


@pytest.mark.parametrize("successes", [0, 1, 5, 95, 100])
def test_near_nought_and_one_the_error_is_that_of_a_half(successes):
    assert stats.standard_error(successes, 100) == pytest.approx(0.05)
    assert stats.standard_error(6, 100) < 0.05


@pytest.mark.parametrize(
    ("successes", "low", "high"),
    [(0, 0, 3.7), (2, 0.6, 7.0), (5, 2.2, 11.2), (10, 5.5, 17.4), (22, 15, 31.1),
     (33, 24.6, 42.7), (45, 35.6, 54.8), (85, 76.7, 90.7)],
)  # fmt: skip
def test_wilson_of_a_hundred_trials(successes, low, high):
    interval = stats.wilson(successes, 100)
    assert round(100 * interval.low, 1) == low
    assert round(100 * interval.high, 1) == high


@settings(deadline=None)
@given(st.integers(1, 400), st.data(), st.sampled_from([0.8, 0.9, 0.95, 0.99]))
def test_wilson_is_scipys(n, data, level):
    successes = data.draw(st.integers(0, n))
    expected = scipy_stats.binomtest(successes, n).proportion_ci(level, method="wilson")
    interval = stats.wilson(successes, n, level)
    assert interval.low == pytest.approx(expected.low, abs=1e-12)
    assert interval.high == pytest.approx(expected.high, abs=1e-12)
    assert 0 <= interval.low <= successes / n <= interval.high <= 1


@settings(deadline=None)
@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_scipys_exact_sign_test(first, second):
    expected = 1.0 if first + second == 0 else scipy_stats.binomtest(first, first + second).pvalue
    assert stats.mcnemar(first, second) == pytest.approx(expected)
    assert stats.mcnemar(first, second) == stats.mcnemar(second, first)


# Newcombe 1998, Statistics in Medicine 17, 2635-2650, table II, method 10
NEWCOMBE = [
    ((36, 12, 2, 0), 0.2, 0.0569, 0.3404),
    ((36, 14, 0, 0), 0.28, 0.1528, 0.4167),
]


@pytest.mark.parametrize(("counts", "difference", "low", "high"), NEWCOMBE)
def test_paired_excess_of_the_published_examples(counts, difference, low, high):
    found, interval = stats.paired_excess(*counts)
    assert found == pytest.approx(difference)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=5e-5)


@settings(deadline=None)
@given(st.tuples(*[st.integers(0, 30)] * 4).filter(any))
def test_paired_excess_is_an_interval_around_the_difference_and_changes_sign(counts):
    a, b, c, d = counts
    found, interval = stats.paired_excess(a, b, c, d)
    mirrored, other = stats.paired_excess(a, c, b, d)
    assert -1 <= interval.low <= found <= interval.high <= 1
    assert mirrored == pytest.approx(-found)
    assert (other.low, other.high) == pytest.approx((-interval.high, -interval.low))


def test_a_rate_needs_trials_and_counts_that_fit():
    for successes, n in ((0, 0), (-1, 5), (6, 5)):
        for function in (stats.standard_error, stats.wilson):
            with pytest.raises(ValueError):
                function(successes, n)


def test_more_trials_narrow_the_interval():
    widths = [stats.wilson(n // 4, n).high - stats.wilson(n // 4, n).low for n in (20, 100, 400)]
    assert all(wide > narrow for wide, narrow in itertools.pairwise(widths))
