"""Differences to published rates: against published examples and simulation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poisoning import stats

# Newcombe 1998, Statistics in Medicine 17, 873-890, table II, method 10
NEWCOMBE = [
    (56, 70, 48, 80, 0.0524, 0.3339),
    (9, 10, 3, 10, 0.1705, 0.8090),
    (6, 7, 2, 7, 0.0582, 0.8062),
    (5, 56, 0, 29, -0.0381, 0.1926),
    (0, 10, 0, 20, -0.1611, 0.2775),
    (0, 10, 0, 10, -0.2775, 0.2775),
    (10, 10, 0, 20, 0.6791, 1.0),
    (10, 10, 0, 10, 0.6075, 1.0),
]


@pytest.mark.parametrize(("a", "m", "b", "n", "low", "high"), NEWCOMBE)
def test_difference_of_the_published_examples(a, m, b, n, low, high):
    found, interval = stats.difference(stats.estimate(a, m), stats.estimate(b, n))
    assert found == pytest.approx(a / m - b / n)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=5e-5)


def test_difference_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(1)
    p, q, m, n = 0.85, 0.7, 20, 100
    hits = 0
    for a, b in zip(rng.binomial(m, p, 1000), rng.binomial(n, q, 1000), strict=True):
        _, interval = stats.difference(stats.estimate(a, m), stats.estimate(b, n))
        hits += interval.low <= p - q <= interval.high
    assert 0.93 <= hits / 1000 <= 0.98


@pytest.mark.parametrize(
    ("measured", "published", "verdict"),
    [
        ((5, 100), (5, 100), "agrees"),
        ((0, 100), (2, 100), "agrees"),
        ((12, 20), (85, 100), "differs"),
        ((4, 5), (85, 100), "cannot tell"),
        ((850, 1000), (850, 1000), "agrees"),
        ((920, 1000), (850, 1000), "agrees"),  # resolved, but within the margin
        ((60, 100), (69, 100), "cannot tell"),
    ],
)
def test_the_verdict(measured, published, verdict):
    found = stats.compare(stats.estimate(*measured), stats.estimate(*published))
    assert found.verdict == verdict and found.words.startswith(verdict)


def test_a_difference_that_is_sure_but_small_is_not_called_one():
    found = stats.compare(stats.estimate(1860, 2000), stats.estimate(1700, 2000))
    assert found.interval.low > 0 and found.difference < stats.MARGIN
    assert found.verdict == "agrees"


def test_how_many_trials_could_tell():
    measured, published = stats.estimate(17, 20), stats.estimate(85, 100)
    found = stats.compare(measured, published)
    assert found.verdict == "cannot tell" and found.needed is not None
    assert f"at n = 20; {found.needed} trials could" in found.words

    def verdict(n):
        return stats.compare(stats.estimate(0.85 * n, n), published).verdict

    assert verdict(found.needed) == "agrees" and verdict(found.needed - 1) == "cannot tell"


def test_where_the_published_n_is_too_small_no_number_of_ours_helps():
    found = stats.compare(stats.estimate(10, 20), stats.estimate(10, 20))
    assert found.verdict == "cannot tell" and found.needed is None
    assert "whatever our n: the published one has only 20" in found.words


def test_how_many_trials_on_both_sides_make_it_ten_points():
    found = stats.compare(stats.estimate(60, 100), stats.estimate(69, 100))

    def width(n):
        interval = stats.difference(stats.estimate(0.6 * n, n), stats.estimate(0.69 * n, n))[1]
        return interval.high - interval.low

    assert width(found.per_side) <= 0.2 < width(found.per_side - 1)
    # the textbook's n for a difference, 1.96^2 (pq + pq) / 0.1^2, less what Wilson gains
    plain = 1.96**2 * (0.6 * 0.4 + 0.69 * 0.31) / 0.1**2
    assert 0.95 * plain < found.per_side <= plain
    assert stats.compare(stats.estimate(5, 100), stats.estimate(5, 100)).per_side is None


@settings(deadline=None)
@given(st.integers(1, 200), st.integers(1, 200), st.data())
def test_every_pair_of_rates_has_a_verdict_and_a_mirror(m, n, data):
    first = stats.estimate(data.draw(st.integers(0, m)), m)
    second = stats.estimate(data.draw(st.integers(0, n)), n)
    gap, interval = stats.difference(first, second)
    back, mirrored = stats.difference(second, first)
    assert -1 <= interval.low <= gap <= interval.high <= 1
    assert (back, mirrored.low, mirrored.high) == pytest.approx(
        (-gap, -interval.high, -interval.low)
    )
    assert stats.compare(first, second).verdict == stats.compare(second, first).verdict
