"""Many tests at once, ranks, and setups that say little."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from poisoning import stats


def test_holm_of_the_textbook_example():
    # Holm's method on four p-values, by hand: 4 x .005, 3 x .01, 2 x .03, then the largest so far
    assert stats.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert stats.holm([0.6, 0.7]) == [1.0, 1.0]
    assert stats.holm([]) == []


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.sampled_from([0.01, 0.05, 0.2]))
def test_holm_rejects_what_its_step_down_rule_rejects(p_values, alpha):
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    rejected = set()
    for place, i in enumerate(order):
        if (len(p_values) - place) * p_values[i] > alpha:
            break
        rejected.add(i)
    adjusted = stats.holm(p_values)
    assert {i for i, p in enumerate(adjusted) if p <= alpha} == rejected
    assert all(a >= p for a, p in zip(adjusted, p_values, strict=True))


def test_holm_keeps_the_chance_of_any_false_alarm():
    drawn = np.random.default_rng(0).uniform(size=(2000, 10))
    alarms = [min(stats.holm(list(row))) <= 0.05 for row in drawn]
    assert scipy_stats.binomtest(sum(alarms), 2000, 0.05).pvalue > 0.001


def fallen(*successes, start=0):
    return {start + i: bool(hit) for i, hit in enumerate(successes)}


def test_ranks_share_a_place_where_trials_cannot_tell_attacks_apart():
    outcomes = {
        "strong": fallen(*[1] * 40),
        "nearly as strong": fallen(*[1] * 37, *[0] * 3),
        "weak": fallen(*[1] * 10, *[0] * 30),
        "control": fallen(*[0] * 40),
    }
    assert stats.ranks(outcomes) == {"strong": 1, "nearly as strong": 1, "weak": 3, "control": 4}


def test_ranks_guard_against_their_own_number_of_comparisons():
    """Six of six only one way is p = 0.031: enough for one pair, too little for three."""
    one, other = fallen(*[1] * 6, *[0] * 6), fallen(*[0] * 12)
    assert stats.ranks({"one": one, "other": other}) == {"one": 1, "other": 2}
    assert stats.ranks({"one": one, "other": other, "third": other}) == dict.fromkeys(
        ("one", "other", "third"), 1
    )


def test_only_shared_setups_are_compared():
    strong, elsewhere = fallen(*[1] * 30), fallen(*[0] * 30, start=100)
    assert stats.ranks({"strong": strong, "elsewhere": elsewhere}) == {"strong": 1, "elsewhere": 1}


def test_difficulty_counts_the_attacks_that_tried():
    found = stats.difficulty(
        {"one": fallen(1, 0, 0), "other": fallen(1, 1, 0), "third": fallen(1, 0)}
    )
    assert [(one.setup, one.fell_to, one.attacks) for one in found] == [
        (0, 3, 3), (1, 1, 3), (2, 0, 2),
    ]  # fmt: skip


def test_every_pair_says_how_surely_it_was_told_apart():
    """By hand: 8 against 0 is 2/2^8, 6 against 0 is 2/2^6, 2 against 0 is 2/2^2; Holm 3, 2, 1."""
    outcomes = {
        "one": fallen(*[1] * 8, *[0] * 4),
        "other": fallen(*[1] * 6, *[0] * 6),
        "control": fallen(*[0] * 12),
    }
    tests = {(test.first, test.second): test for test in stats.pair_tests(outcomes)}
    assert list(tests) == [("one", "other"), ("one", "control"), ("other", "control")]
    assert [test.p for test in tests.values()] == pytest.approx([0.5, 2 / 2**8, 2 / 2**6])
    assert [test.adjusted for test in tests.values()] == pytest.approx([0.5, 6 / 2**8, 4 / 2**6])
    assert [test.better() for test in tests.values()] == [None, "one", None]
    assert tests["other", "control"].better(alpha=0.1) == "other"
    test = tests["one", "control"]
    assert (test.shared, test.only_first, test.only_second) == (12, 8, 0)
    assert stats.ranks(outcomes) == {"one": 1, "other": 1, "control": 2}
    assert stats.ranks(dict(reversed(outcomes.items()))) == {"control": 2, "other": 1, "one": 1}
