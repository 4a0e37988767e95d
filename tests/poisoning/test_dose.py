"""Dose and response: against a published example, plain references and oracles that are known."""

import math

import numpy as np
import pytest
from pydantic import ValidationError
from sklearn.linear_model import LogisticRegression

from poisoning import dose, params, victim_params
from poisoning.spec import ExperimentSpec, FieldError

LADDER = [2.0**i for i in range(12)]


def experiment(attack=None, **data):
    return ExperimentSpec(
        attack=attack or params.FeatureCollision(),
        surrogates=("convnet3-cifar100-1ep-s0",),
        victims=(victim_params.FrozenVictim(checkpoint="convnet3-cifar100-1ep-s0"),),
        data=data,
    )


def rate(at, ed50, slope=1.5, floor=0.0):
    return floor + (1 - floor) / (1 + math.exp(-slope * math.log(at / ed50)))


def test_a_sweep_changes_one_field_and_nothing_else():
    spec = experiment()
    swept = dose.Sweep(field="data.poisons", values=(25, 1, 5))
    specs = swept.specs(spec)
    assert [one.data.poisons for one in specs] == [1, 5, 25] == swept.doses(spec)
    assert specs[2] == spec  # the default is 25
    budgets = dose.Sweep(field="attack.eps_255", values=(2, 4.5)).specs(spec)
    assert [one.attack.eps_255 for one in budgets] == [2, 4.5]
    patched = experiment(params.HiddenTriggerBackdoor())
    patches = dose.Sweep(field="attack.patch_size", values=(3, 8)).specs(patched)
    assert [one.attack.patch_size for one in patches] == [3, 8]


def test_more_training_images_are_a_smaller_dose():
    spec = experiment(poisons=25)
    swept = dose.Sweep(field="data.train_size", values=(2500, 5000))
    assert [one.data.train_size for one in swept.specs(spec)] == [2500, 5000]
    assert swept.doses(spec) == [0.01, 0.005]


@pytest.mark.parametrize(
    ("field", "values", "named", "says"),
    [
        ("data.poisons", (5, 300), "data.poisons", "at data.poisons = 300: 300 poisons do not fit"),
        ("data.poisons", (2.5,), "data.poisons", "at data.poisons = 2.5: "),
        ("data.train_size", (100,), "data.poisons", "at data.train_size = 100: 25 poisons"),
        ("data.train_size", (60_000,), "data.train_size", "50,000 training images"),
        ("attack.eps_255", (300,), "attack.eps_255", "at attack.eps_255 = 300: "),
        ("attack.patch_size", (3,), "attack.patch_size", "feature_collision has no patch_size"),
    ],
)
def test_a_sweep_that_cannot_be_names_its_field(field, values, named, says):
    with pytest.raises(FieldError) as caught:
        dose.Sweep(field=field, values=values).specs(experiment())
    assert caught.value.field == named and says in caught.value.message


@pytest.mark.parametrize(("field", "values"), [
    ("data.poisons", ()), ("data.poisons", (0, 1)), ("data.poisons", (5, 5)), ("trials", (1,)),
])  # fmt: skip
def test_a_sweep_is_over_distinct_doses_of_a_known_field(field, values):
    with pytest.raises(ValidationError):
        dose.Sweep(field=field, values=values)


# Tobacco budworm moths, 20 of each sex at each dose (Collett, Modelling Binary Data, 1991);
# intercept and slope per doubling as in Venables and Ripley, Modern Applied Statistics with S, 7.2
BUDWORM = [
    ((1, 4, 9, 13, 18, 20), -2.9935 + 0.1750, 0.9060 + 0.3529),
    ((0, 2, 6, 10, 12, 16), -2.9935, 0.9060),
]


@pytest.mark.parametrize(("dead", "intercept", "slope"), BUDWORM)
def test_the_published_example(dead, intercept, slope):
    found = dose.fit([1, 2, 4, 8, 16, 32], dead, [20] * 6)
    assert found.slope * math.log(2) == pytest.approx(slope, abs=2e-4)
    assert isinstance(found.ed50, dose.Reached)
    assert math.log2(found.ed50.dose) == pytest.approx(-intercept / slope, abs=5e-4)


def test_without_a_floor_it_is_logistic_regression():
    doses, successes, trials = [1, 3, 10, 30], [2, 9, 20, 38], [40] * 4
    rows = [
        (math.log(d), hit)
        for d, k, n in zip(doses, successes, trials, strict=True)
        for hit in [1] * k + [0] * (n - k)
    ]
    plain = LogisticRegression(C=np.inf, tol=1e-8).fit([[x] for x, _ in rows], [y for _, y in rows])
    found = dose.fit(doses, successes, trials)
    assert found.slope == pytest.approx(plain.coef_[0, 0], rel=1e-3)
    assert found.midpoint == pytest.approx(-plain.intercept_[0] / plain.coef_[0, 0], abs=1e-3)


@pytest.mark.parametrize("floor", [0.0, 0.1])
def test_the_interval_is_where_the_profile_has_fallen_by_half_a_chi_square(floor):
    doses, successes, n = np.array([1, 4, 16, 64]), np.array([3, 7, 14, 19]), 20
    found = dose.fit(doses.tolist(), successes.tolist(), [n] * 4, floor)

    def profile(ed50):
        slopes = np.geomspace(0.01, 5, 20_000)[:, None]
        p = floor + (1 - floor) / (1 + (ed50 / doses) ** slopes)
        return (successes * np.log(p) + (n - successes) * np.log1p(-p)).sum(1).max()

    interval = found.ed50.interval
    assert profile(found.ed50.dose) == pytest.approx(found.log_likelihood, abs=1e-4)
    for limit in (interval.low, interval.high):
        assert 2 * (found.log_likelihood - profile(limit)) == pytest.approx(3.8415, abs=5e-3)
    assert found.rate(found.ed50.dose) == pytest.approx((1 + floor) / 2)


@pytest.mark.parametrize("floor", [0.0, 0.1, 0.5, 0.95])
def test_whatever_was_measured_has_a_curve_no_grid_beats(floor):
    """Also rates that fall with the dose, or lie below the floor: several maxima then."""
    rng = np.random.default_rng(6)
    for _ in range(12):
        doses = np.sort(rng.choice(1000, rng.integers(2, 7), replace=False) + 1.0)
        trials = rng.choice([1, 5, 20, 100], len(doses))
        successes = rng.binomial(trials, rng.choice([0, 0.1, 0.5, 0.9, 1], len(doses)))
        found = dose.fit(doses.tolist(), successes.tolist(), trials.tolist(), floor)
        assert found.ed50.interval.low <= found.ed50.interval.high
        midpoints = np.linspace(-3, 10, 80)[:, None, None]
        logits = np.geomspace(0.01, 20, 60)[:, None] * (np.log(doses) - midpoints)
        assert found.log_likelihood >= found.points.log_likelihood(logits).max() - 1e-3


def test_a_dose_outside_the_range_is_a_value_with_its_direction():
    doses, trials = [1, 3, 10, 30, 100], [20] * 5
    weak = dose.fit(doses, [0, 0, 0, 0, 1], trials).ed50
    assert isinstance(weak, dose.NotReached) and weak.direction == "above the highest dose"
    assert weak.edge == 100 < weak.interval.low and weak.interval.high == math.inf
    strong = dose.fit(doses, [20, 20, 20, 20, 20], trials).ed50
    assert isinstance(strong, dose.NotReached) and strong.direction == "below the lowest dose"
    assert strong.edge == 1 > strong.interval.high and strong.interval.low == 0
    # twins fall as often: what looks like a rate is the floor
    floor = dose.fit(doses, [10, 9, 11, 10, 10], trials, 0.5).ed50
    assert isinstance(floor, dose.NotReached) and floor.direction == "above the highest dose"


def test_a_step_lies_between_its_doses_and_a_flat_rate_says_nothing():
    step = dose.fit([1, 10, 100], [0, 0, 20], [20] * 3).ed50
    assert isinstance(step, dose.Reached) and step.dose == pytest.approx(math.sqrt(1000), rel=0.2)
    assert 10 < step.interval.low < 15 and 70 < step.interval.high < 100
    flat = dose.fit([1, 10, 100], [10, 10, 10], [20] * 3).ed50
    assert (flat.interval.low, flat.interval.high) == (0, math.inf)


@pytest.mark.parametrize(
    "wrong",
    [([1], [0], [5]), ([0, 1], [0, 1], [5, 5]), ([1, 2], [0, 6], [5, 5]), ([1, 2], [0], [5, 5]),
     ([2, 2], [0, 1], [5, 5]), ([1, 2], [0, 1], [5, 5], 1.0)],
)  # fmt: skip
def test_no_curve_without_counts_and_two_doses(wrong):
    with pytest.raises(ValueError):
        dose.fit(*wrong)


def test_the_interval_covers_a_known_ed50_as_often_as_it_says():
    """By the profile at the truth, which is above the limit exactly where the interval covers."""
    rng, doses, floor, runs = np.random.default_rng(5), [1, 2, 4, 8, 16, 32], 0.1, 120
    truth, hits = math.log(6.0), 0
    for run in range(runs):
        successes = [rng.binomial(15, rate(d, 6.0, floor=floor)) for d in doses]
        found = dose.fit(doses, successes, [15] * 6, floor) if run < 6 else None
        points = dose.Points.of(doses, successes, [15] * 6, floor)
        covers = points.best(truth) >= dose.likeliest(points)[2] - 3.8415 / 2
        hits += covers
        if found:
            low, high = found.ed50.interval.low, found.ed50.interval.high
            assert (low <= 6.0 <= high) == covers
    assert 0.91 <= hits / runs <= 0.985


def measured(oracle, rng, steps, batch=5):
    """Results after ``steps`` batches at the doses that the design asks for."""
    results = {}
    for _ in range(steps):
        at = dose.next_dose(LADDER, results)
        k, n = results.get(at, (0, 0))
        results[at] = k + int(rng.binomial(batch, oracle(at))), n + batch
    return results


def width(results):
    """Of the interval of log ED50."""
    columns = zip(*((at, k, n) for at, (k, n) in results.items()), strict=True)
    interval = dose.fit(*columns).ed50.interval
    return math.log(interval.high) - math.log(interval.low) if interval.low > 0 else math.inf


def test_the_design_closes_in_on_the_half_and_stays_around_it():
    results, asked = {}, []
    for _ in range(12):
        asked.append(dose.next_dose(LADDER, results))
        n = results.get(asked[-1], (0, 0))[1] + 10
        results[asked[-1]] = (n * (asked[-1] > 20), n)  # all or nothing, between 16 and 32
    assert asked[:2] == [64, 8]
    assert asked[2:] == [16, 32] * 5


def test_the_design_goes_to_the_end_of_the_range_and_stays_where_the_half_is_out_of_it():
    none, every = {}, {}
    for _ in range(6):
        at = dose.next_dose(LADDER, none)
        none[at] = (0, none.get(at, (0, 0))[1] + 5)
        at = dose.next_dose(LADDER, every)
        n = every.get(at, (0, 0))[1] + 5
        every[at] = (n, n)
    assert dose.next_dose(LADDER, none) == LADDER[-1] in none
    assert dose.next_dose(LADDER, every) == LADDER[0] in every
    with pytest.raises(ValueError):
        dose.next_dose([], {})


def test_the_design_needs_fewer_than_half_the_trials_of_the_full_grid():
    """Twelve doses, 20 trials each, against batches of 5 where the design asks for them.

    With a curve that goes from 10 to 90 % within a factor of 6; steeper ones gain more.
    """
    widths = []
    for seed in range(8):
        rng, ed50 = np.random.default_rng(seed), 10 + 5 * seed
        grid = {at: (int(rng.binomial(20, rate(at, ed50, 2.5))), 20) for at in LADDER}
        design = measured(lambda at, ed50=ed50: rate(at, ed50, 2.5), rng, steps=23)
        assert sum(n for _, n in design.values()) == 115 < 240 / 2
        widths.append((width(design), width(grid)))
    design, grid = np.median(widths, axis=0)
    assert design <= grid


def curves(share_decides, n):
    """Exact rates at four doses in sets of 1,000 and of 10,000 images, n trials each."""
    found = {}
    for size in (1000, 10_000):
        doses = [5, 10, 20, 40] if size == 1000 or not share_decides else [50, 100, 200, 400]
        ed50 = 14 * (size / 1000 if share_decides else 1)
        found[size] = dose.fit(doses, [round(n * rate(d, ed50)) for d in doses], [n] * 4)
    return found


def test_what_a_dose_is_counted_in():
    assert dose.better_unit(curves(False, 20)).name == "count"
    assert dose.better_unit(curves(True, 20)).name == "fraction"
    evidence = dose.better_unit(curves(True, 20))
    assert evidence.by_fraction - evidence.by_count > math.log(8)
    alike = dict(zip((1000, 1050), curves(True, 20).values(), strict=True))
    assert dose.better_unit(alike).name == "cannot tell"
    with pytest.raises(ValueError):
        dose.better_unit({1000: curves(True, 20)[1000]})


def test_one_common_curve_is_as_likely_as_the_curve_of_all_points():
    """Where the unit is right, both fits see the same points."""
    by_size = curves(False, 20)
    doses = [5, 10, 20, 40] * 2
    successes = [k for curve in by_size.values() for k in curve.points.successes]
    whole = dose.fit(doses, successes, [20] * 8)
    assert dose.better_unit(by_size).by_count == pytest.approx(whole.log_likelihood, abs=1e-6)
