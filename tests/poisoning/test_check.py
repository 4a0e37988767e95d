import math

import numpy as np
import pytest

from poisoning import check
from poisoning.check import BudgetBroken
from poisoning.poison_set import PoisonSet

TRAIN = np.random.default_rng(3).integers(0, 256, (40, 3, 32, 32), dtype=np.uint8)
LABELS = np.arange(40) % 4


def some_set(change=0, at=(0, 0, 0, 0), **changes):
    indices = np.array([2, 6, 10])  # class 2
    poisons = TRAIN[indices].astype(np.int64)
    poisons[at] += change if poisons[at] + change <= 255 else -change
    values = {
        "poisons": poisons.astype(np.uint8),
        "labels": np.full(3, 2, dtype=np.int64),
        "base_indices": indices,
        "target": TRAIN[:1],
        "target_label": 1,
        "target_index": 0,
        "base_class": 2,
    }
    return PoisonSet(**(values | changes))


def test_the_budget_is_exact_to_one_step():
    assert check.check(some_set(8), TRAIN, LABELS, "linf", 8).linf_255 == 8
    with pytest.raises(BudgetBroken, match=r"poison 1 .* 9/255, beyond 8/255") as broken:
        check.check(some_set(9, (1, 2, 5, 5)), TRAIN, LABELS, "linf", 8)
    assert broken.value.field == "eps_255"


def test_a_fractional_budget_is_rounded_down():
    check.check(some_set(25), TRAIN, LABELS, "linf", 25.5)
    with pytest.raises(BudgetBroken):
        check.check(some_set(26), TRAIN, LABELS, "linf", 25.5)


def test_the_control_may_change_nothing():
    assert check.check(some_set(), TRAIN, LABELS, "none").linf_255 == 0
    with pytest.raises(BudgetBroken):
        check.check(some_set(1), TRAIN, LABELS, "none")


def test_the_unbounded_are_measured():
    assert check.check(some_set(100), TRAIN, LABELS, "unbounded").linf_255 == 100


def test_under_the_trigger_anything_goes_and_beside_it_nothing_more():
    trigger = {"trigger": np.full((3, 5, 5), 255, np.uint8), "trigger_place": (27, 27)}
    inside, beside = (0, 0, 27, 27), (0, 0, 26, 27)
    found = check.check(some_set(90, inside, **trigger), TRAIN, LABELS, "linf_outside_trigger", 8)
    assert found.linf_255 == 0
    with pytest.raises(BudgetBroken):
        check.check(some_set(90, beside, **trigger), TRAIN, LABELS, "linf_outside_trigger", 8)
    with pytest.raises(BudgetBroken):
        check.check(some_set(90, inside, **trigger), TRAIN, LABELS, "linf", 8)


def test_a_wrap_around_of_bytes_is_no_small_change():
    poisons = TRAIN[[2, 6, 10]].copy()
    train = TRAIN.copy()
    train[2, 0, 0, 0], poisons[0, 0, 0, 0] = 255, 0
    with pytest.raises(BudgetBroken, match="255/255"):
        check.check(some_set(poisons=poisons), train, LABELS, "linf", 8)


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("base_indices", {"base_indices": np.array([2, 6, 400])}),
        ("base_indices", {"base_indices": np.array([2, 6, 6])}),
        ("base_indices", {"base_indices": np.array([2, 6, 11])}),
        ("labels", {"labels": np.array([2, 2, 1])}),
        (
            "poisons",
            {
                "poisons": np.zeros((3, 3, 8, 8), np.uint8),
                "target": np.zeros((1, 3, 8, 8), np.uint8),
            },
        ),
        ("bases", {"bases": TRAIN[[2, 6, 11]]}),
    ],
)
def test_what_the_rules_forbid_is_refused_by_field(field, changes):
    with pytest.raises(BudgetBroken) as broken:
        check.check(some_set(**changes), TRAIN, LABELS, "unbounded")
    assert broken.value.field == field


def test_mean_l2_by_hand():
    x, y = np.zeros((2, 3, 32, 32), np.uint8), np.zeros((2, 3, 32, 32), np.uint8)
    x[0, 0, 0, :2] = 255  # l2 = sqrt(2); the other poison is unchanged
    assert check.mean_l2(x, y) == pytest.approx(math.sqrt(2) / 2)


def direct_ssim(x, y):
    """One pair of channels, window by window, as the definition reads."""
    at = np.arange(-5, 6)
    g = np.exp(-(at**2) / (2 * 1.5**2))
    w = np.outer(g, g) / g.sum() ** 2
    x, y, values = x.astype(float), y.astype(float), []
    for i in range(x.shape[0] - 10):
        for j in range(x.shape[1] - 10):
            a, b = x[i : i + 11, j : j + 11], y[i : i + 11, j : j + 11]
            ma, mb = (w * a).sum(), (w * b).sum()
            va, vb = (w * (a - ma) ** 2).sum(), (w * (b - mb) ** 2).sum()
            cov = (w * (a - ma) * (b - mb)).sum()
            c1, c2 = 6.5025, 58.5225
            values.append(
                (2 * ma * mb + c1) * (2 * cov + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2))
            )
    return np.mean(values)


def test_ssim_equals_its_definition():
    generator = np.random.default_rng(1)
    x = generator.integers(0, 256, (2, 3, 14, 14), dtype=np.uint8)
    y = np.clip(x + generator.integers(-30, 31, x.shape), 0, 255).astype(np.uint8)
    expected = np.mean([direct_ssim(x[n, c], y[n, c]) for n in range(2) for c in range(3)])
    assert check.ssim(x, y) == pytest.approx(expected, abs=1e-9)
    assert check.ssim(x, x) == pytest.approx(1.0)
