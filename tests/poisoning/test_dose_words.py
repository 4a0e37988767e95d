"""What a sweep says in words, its band, and the sweep of the science's own command line."""

import json
import math

import numpy as np
import pytest

from poisoning import cli, dose
from poisoning.dose import words
from poisoning.dose.design import Unit

EXAMPLES = [
    ([1, 2, 4, 8, 16, 32], [1, 4, 9, 13, 18, 20], [20] * 6, 0.0),
    ([1, 2, 4, 8, 16, 32], [2, 5, 9, 13, 18, 20], [20] * 6, 0.1),
    ([1, 2, 4, 8], [0, 0, 20, 20], [20] * 4, 0.0),
    ([1, 4, 16], [0, 0, 0], [20] * 3, 0.0),
    ([1, 4, 16], [20, 20, 20], [20] * 3, 0.05),
    ([1, 2, 4, 8], [0, 300, 700, 990], [1000] * 4, 0.0),
]


def measured(doses, successes, n=20, twins=0):
    return [dose.Measured(d, n, k, twins) for d, k in zip(doses, successes, strict=True)]


@pytest.mark.parametrize("points", EXAMPLES)
def test_the_band_leaves_the_half_where_the_interval_of_ed50_ends(points):
    curve = dose.fit(*points)
    half, ends = (1 + points[3]) / 2, curve.ed50.interval
    if ends.low > 0:
        assert dose.band(curve, [ends.low])[0].high == pytest.approx(half, abs=2e-3)
    if ends.high < math.inf:
        assert dose.band(curve, [ends.high])[0].low == pytest.approx(half, abs=2e-3)


@pytest.mark.parametrize("points", EXAMPLES)
def test_the_band_holds_its_curve_and_narrows_with_its_level(points):
    curve, doses = dose.fit(*points), np.geomspace(1, 32, 9).tolist()
    wide, narrow = dose.band(curve, doses), dose.band(curve, doses, 0.5)
    for at, outer, inner in zip(doses, wide, narrow, strict=True):
        assert outer.low <= inner.low <= curve.rate(at) + 1e-3
        assert curve.rate(at) - 1e-3 <= inner.high <= outer.high


def test_the_band_is_the_range_of_all_curves_that_are_likely_enough():
    curve = dose.fit([1, 4, 16, 64], [3, 7, 14, 19], [20] * 4)
    heights, slopes = np.meshgrid(np.linspace(-3, 3, 901), np.geomspace(0.05, 5, 801))
    centre = np.log(curve.points.doses).mean()
    logits = heights[..., None] + slopes[..., None] * (np.log(curve.points.doses) - centre)
    likely = curve.points.log_likelihood(logits) >= curve.log_likelihood - 1.9207
    for at in (1, 8, 64):
        rates = 1 / (1 + np.exp(-heights - slopes * (math.log(at) - centre)))[likely]
        found = dose.band(curve, [at])[0]
        assert (found.low, found.high) == pytest.approx((rates.min(), rates.max()), abs=4e-3)


@pytest.mark.parametrize(
    ("points", "says"),
    [
        (measured([], []), "Nothing is judged yet."),
        (measured([5], [9]), "9 of 20 targets fall to 5 poisons; a curve needs a second dose."),
        (measured([1], [20], twins=20) + measured([2], [20], twins=20), "Every clean twin falls"),
        (measured([1, 2, 4, 8, 16, 32], [1, 4, 9, 13, 18, 20]),
         "Half of the targets fall to 4.72 poisons (95 % interval 3.55 to 6.25)."),
        (measured([1, 2, 4, 8, 16, 32], [2, 5, 9, 13, 18, 20], twins=2),
         "), not counting those that fall anyway."),
        (measured([1, 4, 16], [0, 0, 0]),
         "Fewer than half of the targets fall even to 16 poisons, the highest dose measured: ED50 "
         "is not reached in this range; its 95 % interval begins at 17.9."),
        (measured([2, 8], [10, 9]), "ED50 is not reached in this range."),
        (measured([1, 4, 16], [20, 20, 20]),
         "More than half of the targets fall to 1 poison already, the lowest dose measured: ED50 "
         "is not reached in this range; its 95 % interval ends at 0.8"),
    ],
)  # fmt: skip
def test_what_a_sweep_says(points, says):
    assert says in words.summary("data.poisons", points)


@pytest.mark.parametrize(
    ("field", "at", "says"),
    [
        ("data.poisons", 1, "1 poison"),
        ("data.poisons", 12_345, "12,345 poisons"),
        ("data.train_size", 0.005, "a poisoned share of 0.5 %"),
        ("attack.eps_255", 8.0, "eps 8/255"),
        ("attack.patch_size", 4.56, "a patch of 4.56 px"),
    ],
)
def test_a_dose_has_its_unit(field, at, says):
    assert words.with_unit(field, at) == says


def test_an_interval_that_is_open_on_a_side_says_so():
    found = words.summary("data.poisons", measured([1, 10], [9, 11]))
    assert "no 95 % limit on either side" in found
    assert "95 % interval up to 18.6)" in words.summary("data.poisons", measured([1, 10], [8, 14]))
    found = words.summary("data.poisons", measured([1, 10], [5, 11]))
    assert "95 % interval 1.94 and above)" in found


def test_the_better_unit_in_words():
    assert "number of poisons says more" in words.unit_in_words(Unit("count", -10.0, -15.0))
    assert "148 times as likely" in words.unit_in_words(Unit("count", -10.0, -15.0))
    assert "share of the training set says more" in words.unit_in_words(Unit("fraction", -9, -4))
    assert "cannot be told yet" in words.unit_in_words(Unit("cannot tell", -9, -9.5))


SPEC = {
    "attack": {"name": "no_perturbation"},
    "victims": [{"regime": "frozen", "checkpoint": "convnet3-digits_0_4-s0"}],
    "data": {"dataset": "digits_5_9", "train_size": 100, "poisons": 5},
    "trials": 2,
}


def test_sweep_prints_points_and_what_they_say(tmp_path, capsys):
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(SPEC))
    sweep = ["sweep", str(path), "--field", "data.poisons", "--out", str(tmp_path / "out")]
    assert cli.main([*sweep, "--values", "1, 20"]) == 0
    said = capsys.readouterr().out
    assert "Number of poisons: convnet3-digits_0_4-s0" in said and "95 % interval" in said
    assert [line.split()[:2] for line in said.splitlines()[3:5]] == [["1", "2"], ["20", "2"]]
    assert "ED50" in said or "Every clean twin falls too" in said


@pytest.mark.parametrize(
    ("field", "values", "says"),
    [
        ("data.poisons", "1,x", "values: could not convert"),
        ("data.poisons", "1,50", "data.poisons: at data.poisons = 50: "),
        ("data.poisons", "1,inf", "values.1: Input should be a finite number"),
        ("data.poisons", "0,1", "values: a sweep needs values above 0"),
        ("attack.eps_255", "8", "attack.eps_255: no_perturbation has no eps_255"),
    ],
)
def test_a_sweep_that_cannot_be_names_the_field(field, values, says, tmp_path, capsys):
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(SPEC))
    assert cli.main(["sweep", str(path), "--field", field, "--values", values]) == 2
    assert says in capsys.readouterr().err
