"""Looking again and again, and rates over several victims: by simulation."""

import itertools

import numpy as np
import pytest
from scipy import optimize, special

from poisoning import stats


def test_the_confidence_sequence_solves_its_equation():
    """Against the martingale written out with the beta function."""
    for successes, n in ((3, 10), (50, 100), (97, 100)):

        def martingale(p, s=successes, n=n):
            whole = special.beta(0.5 + s, 0.5 + n - s) / special.beta(0.5, 0.5)
            return whole / (p**s * (1 - p) ** (n - s)) - 20

        interval = stats.confidence_sequence(successes, n)
        rate = successes / n
        assert interval.low == pytest.approx(optimize.brentq(martingale, 1e-3, rate), abs=1e-9)
        assert interval.high == pytest.approx(optimize.brentq(martingale, rate, 1 - 1e-3), abs=1e-9)


def test_nought_and_all_are_one_sided_and_mirrored():
    none, every = stats.confidence_sequence(0, 20), stats.confidence_sequence(20, 20)
    assert none.low == 0 and every.high == 1
    assert every.low == pytest.approx(1 - none.high)


def misses(interval_of, p, runs=300, longest=200):
    """How often an interval that is looked at after every trial ever excludes p."""
    known = {
        (s, n): interval_of(s, n) for n in range(5, longest + 1) for s in range(n + 1)
        if abs(s / n - p) < 0.6
    }  # fmt: skip
    sums = (np.random.default_rng(7).random((runs, longest)) < p).cumsum(1)
    ever = 0
    for path in sums:
        looks = (known.get((int(path[n - 1]), n)) for n in range(5, longest + 1))
        ever += any(look is None or not look.low <= p <= look.high for look in looks)
    return ever / runs


def test_one_may_stop_whenever_one_likes():
    assert misses(stats.wilson, 0.3) > 0.15  # what a fixed-n interval must not be used for
    assert optional_stopping_misses(0.3) <= 0.05


def optional_stopping_misses(p, runs=2000, longest=400):
    """The same for the confidence sequence, by its martingale, for many more looks."""
    sums = (np.random.default_rng(8).random((runs, longest)) < p).cumsum(1)
    n = np.arange(1, longest + 1)
    logs = special.betaln(0.5 + sums, 0.5 + n - sums) - special.betaln(0.5, 0.5)
    logs = logs - sums * np.log(p) - (n - sums) * np.log(1 - p)
    first = sums[0]
    for i in (10, 50, 399):  # the martingale's verdict is the interval's
        interval = stats.confidence_sequence(int(first[i]), i + 1)
        assert (interval.low <= p <= interval.high) == (logs[0, i] <= np.log(20))
    return float((logs.max(1) > np.log(20)).mean())


def test_stopping_when_it_is_narrow_enough():
    assert not stats.is_narrow_enough(10, 20, 0.2)
    n = next(n for n in range(10, 5000, 10) if stats.is_narrow_enough(n // 2, n, 0.2))
    assert stats.is_narrow_enough(n // 2 + n, 2 * n, 0.2)
    # the price of looking after every trial, against Wilson's at a fixed n
    assert 1.5 < n / stats.trials_for_width(0.5, 0.2) < 4


def test_the_running_interval_is_what_all_so_far_have_in_common():
    outcomes = (np.random.default_rng(2).random(60) < 0.4).tolist()
    ran = stats.running(outcomes)
    alone = [stats.confidence_sequence(sum(outcomes[:n]), n) for n in range(1, 61)]
    for n in (1, 7, 60):
        assert ran[n - 1].low == max(one.low for one in alone[:n])
        assert ran[n - 1].high == min(one.high for one in alone[:n])
    assert stats.running([]) == []


def test_where_measuring_might_have_stopped():
    outcomes = (np.random.default_rng(2).random(120) < 0.4).tolist()
    at = stats.stops_at(outcomes, 0.35)
    widths = [one.high - one.low for one in stats.running(outcomes)]
    assert at is not None and widths[at - 1] <= 0.35 < widths[at - 2]
    assert stats.stops_at(outcomes[: at - 1], 0.35) is None
    assert stats.stops_at(outcomes[:at], 0.35) == at  # what comes later changes nothing


def test_what_is_believed_where_measuring_stops_is_true_often_enough():
    rng, runs, hits = np.random.default_rng(4), 60, 0
    for _ in range(runs):
        outcomes = (rng.random(110) < 0.2).tolist()
        at = stats.stops_at(outcomes, 0.4)
        believed = stats.running(outcomes[:at])[-1]
        hits += believed.low <= 0.2 <= believed.high
    assert hits >= 0.95 * runs


def test_trials_for_a_width():
    assert stats.trials_for_width(0.5, 0.2) == 93  # 1.96^2 / (4 x 0.1^2) - 1.96^2, rounded up
    widths = [stats.trials_for_width(rate, 0.1) for rate in (0.01, 0.1, 0.5)]
    assert all(few < many for few, many in itertools.pairwise(widths))
    for n in (93, 92):
        interval = stats.wilson(n / 2, n)
        assert (interval.high - interval.low <= 0.2) == (n == 93)
    with pytest.raises(ValueError):
        stats.trials_for_width(0.5, 0)


def test_the_mean_of_two_victims_counts_setups_not_outcomes():
    one = [i < 30 for i in range(100)]
    same = stats.mean_over_victims([one, one])
    wilson = stats.wilson(30, 100)
    assert same.rate == 0.3 and same.n == 100
    assert same.interval.high - same.interval.low == pytest.approx(
        wilson.high - wilson.low, rel=0.08
    )
    apart = stats.mean_over_victims([one, one[::-1]])
    assert apart.interval.high - apart.interval.low < same.interval.high - same.interval.low
    assert stats.mean_over_victims([one, one]) == same  # seeded


def test_victims_that_never_fall_still_have_an_interval():
    none = stats.mean_over_victims([[False] * 20, [False] * 20])
    assert none.interval == stats.wilson(0, 20)
    alone = stats.mean_over_victims([[True, False, False, False]])
    assert alone.interval == stats.wilson(1, 4)
    for wrong in ([], [[]], [[True], [True, False]]):
        with pytest.raises(ValueError):
            stats.mean_over_victims(wrong)


def test_the_bootstrap_covers_the_truth():
    rng, hits = np.random.default_rng(3), 0
    for _ in range(150):
        ease = rng.beta(1, 2, 100)  # setups differ in difficulty; the mean is 1/3
        judged = rng.random((2, 100)) < ease
        interval = stats.mean_over_victims(judged.tolist()).interval
        hits += interval.low <= 1 / 3 <= interval.high
    assert hits >= 135


def test_the_excess_of_one_victim_is_newcombes():
    hits, twins = (
        [[True] * 36 + [True] * 12 + [False] * 2],
        [[True] * 36 + [False] * 12 + [True] * 2],
    )
    gap, interval = stats.mean_excess(hits, twins)
    assert (gap, interval) == stats.paired_excess(36, 12, 2, 0)


def test_the_excess_of_two_victims_counts_setups():
    hits, twins = [i < 60 for i in range(100)], [i < 20 for i in range(100)]
    gap, interval = stats.mean_excess([hits, hits], [twins, twins])
    plain, newcombe = stats.mean_excess([hits], [twins])
    assert (gap, plain) == pytest.approx((0.4, 0.4))
    assert (interval.low, interval.high) == pytest.approx((newcombe.low, newcombe.high), abs=0.015)


def test_victims_that_never_differ_from_their_twins_are_no_proof_of_equality():
    none = [[False] * 20, [False] * 20]
    gap, interval = stats.mean_excess(none, none)
    assert gap == 0 and interval == stats.paired_excess(0, 0, 0, 20)[1]
    with pytest.raises(ValueError):
        stats.mean_excess(none, none[:1])


def test_a_broken_count_is_a_mean_over_victims():
    """Of victims that always agree the interval is that of one; of others it lies between."""
    one = stats.mean_over_victims([[True, False, True]] * 2, is_sequential=True)
    assert one.interval == stats.confidence_sequence(2, 3)
    apart = stats.mean_over_victims([[True, False, True], [True, False, False]], is_sequential=True)
    assert apart.interval == stats.confidence_sequence(1.5, 3) and apart.interval.is_sequential
    below, above = stats.confidence_sequence(1, 3), stats.confidence_sequence(2, 3)
    assert below.low < apart.interval.low < above.low


def test_means_over_victims_may_be_looked_at_whenever_one_likes():
    """Two victims that mostly fall together: their mean is 0, a half or 1."""
    rng, runs, longest, misses = np.random.default_rng(5), 200, 120, 0
    for _ in range(runs):
        luck = rng.random(longest)
        pair = np.array([luck < 0.3, luck < 0.4]).mean(0).cumsum()
        looks = (stats.confidence_sequence(float(pair[n - 1]), n) for n in range(5, longest, 5))
        misses += any(not look.low <= 0.35 <= look.high for look in looks)
    assert misses <= 0.05 * runs


def test_an_excess_may_be_looked_at_whenever_one_likes():
    """Victims fall to 50 %, their twins to 20 %, often to the same setups; Newcombe's does not
    hold what its 95 % say.
    """
    rng, runs, longest = np.random.default_rng(6), 200, 120
    sequence = fixed = 0
    for _ in range(runs):
        luck = rng.random(longest)
        both, first = (luck < 0.15).cumsum(), ((luck >= 0.15) & (luck < 0.5)).cumsum()
        second = (luck > 0.95).cumsum()
        looks, pairs = [], []
        for n in range(5, longest, 5):
            b, f, s = int(both[n - 1]), int(first[n - 1]), int(second[n - 1])
            looks.append(stats.excess_sequence(f, s, n)[1])
            pairs.append(stats.paired_excess(b, f, s, n - b - f - s)[1])
        sequence += any(not one.low <= 0.3 <= one.high for one in looks)
        fixed += any(not one.low <= 0.3 <= one.high for one in pairs)
    assert sequence <= 0.05 * runs < fixed


def test_the_excess_of_victims_that_agree_is_that_of_one():
    victims, twins = [[True, True, False, False]] * 2, [[False, True, True, False]] * 2
    several = stats.mean_excess(victims, twins, is_sequential=True)
    assert several == stats.mean_excess(victims[:1], twins[:1], is_sequential=True)
    assert several == stats.excess_sequence(1, 1, 4)
    assert several[1].low == -several[1].high


def test_a_pair_may_be_looked_at_after_every_setup():
    """Two equal attacks: how often either ever looks better, at 5 %."""
    rng, runs, longest = np.random.default_rng(9), 300, 200
    won = (rng.random((runs, longest)) < 0.5).cumsum(1)
    sequential = [
        min(stats.mcnemar_sequential(int(w[n - 1]), n - int(w[n - 1])) for n in range(1, longest))
        for w in won
    ]
    fixed = [
        min(stats.mcnemar(int(w[n - 1]), n - int(w[n - 1])) for n in range(1, longest)) for w in won
    ]
    assert np.mean(np.array(sequential) <= 0.05) <= 0.05 < np.mean(np.array(fixed) <= 0.05)
    assert stats.mcnemar_sequential(0, 0) == 1
    assert stats.mcnemar_sequential(40, 2) == stats.mcnemar_sequential(2, 40) < 1e-6


def test_a_pair_with_a_sequential_side_is_tested_sequentially():
    fallen = {
        "a": dict.fromkeys(range(12), True),
        "b": dict.fromkeys(range(12), False),
        "c": {setup: setup > 9 for setup in range(12)},
    }
    tests = stats.pair_tests(fallen, sequential={"b"})
    assert [(t.first, t.second, t.is_sequential) for t in tests] == [
        ("a", "b", True), ("a", "c", False), ("b", "c", True),
    ]  # fmt: skip
    assert tests[0].p == stats.mcnemar_sequential(12, 0) > stats.mcnemar(12, 0)
    assert tests[1].p == stats.mcnemar(10, 0)


def test_a_published_rate_beside_a_sequential_one_takes_more_trials():
    theirs = stats.estimate(85, 100)
    at_once, looked = (stats.estimate(16, 20, is_sequential=told) for told in (False, True))
    assert looked.interval.is_sequential
    one, other = stats.compare(at_once, theirs), stats.compare(looked, theirs)
    assert other.interval.is_sequential and other.interval.low < one.interval.low
    assert other.per_side > one.per_side
