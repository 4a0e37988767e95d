"""What an experiment costs, by regime; corrected by what was measured, cut into batches."""

import pytest

from app.db import Database
from app.schemas import Estimate
from app.services import costs, estimate
from app.settings import Settings
from poisoning.spec import ExperimentSpec
from tests.app import workbench as bench

WHITE = "convnet3-digits_0_4-s0"
FROZEN = {"regime": "frozen", "checkpoint": WHITE}
END_TO_END = {"regime": "end_to_end", "checkpoint": WHITE}
SCRATCH = {"regime": "from_scratch", "model": "convnet3", "shared_twins": 0}


def model(database: Database, settings: Settings, spec: ExperimentSpec) -> costs.Cost:
    with database.read() as session:
        return costs.of_experiment(session, settings, spec)


def whole(database: Database, settings: Settings, spec: ExperimentSpec) -> Estimate:
    with database.read() as session:
        return estimate.estimate(session, settings, spec)


def test_training_whole_costs_three_forward_passes_per_image_and_epoch_and_so_does_the_twin(
    database: Database, settings: Settings
) -> None:
    small, large = (
        model(database, settings, bench.spec(victims=[END_TO_END | {"recipe": {"epochs": epochs}}]))
        for epochs in (10, 20)
    )
    forward_s = 4e6 / costs.flops_per_s(settings, "exact")
    steps = 10 * -(-bench.spec().data.train_size // 128)
    images = 10 * bench.spec().data.train_size
    added = 2 * (3 * images * forward_s + steps * 2 * costs.STEP_S)
    assert large.victims[0].trial_s - small.victims[0].trial_s == pytest.approx(added)


def test_shared_twins_are_paid_once(database: Database, settings: Settings) -> None:
    def victim(shared: int) -> costs.VictimCost:
        victims = [SCRATCH | {"shared_twins": shared}]
        return model(database, settings, bench.spec(victims=victims, trials=10)).victims[0]

    own, four, many = victim(0), victim(4), victim(64)
    assert own.trial_s == pytest.approx(2 * four.trial_s) and own.once_s == 0
    assert four.once_s == pytest.approx(4 * four.trial_s)
    assert many.once_s == pytest.approx(10 * four.trial_s)  # no more twins than trials


def test_slow_trials_come_in_small_batches(database: Database, settings: Settings) -> None:
    def largest(epochs: int) -> int:
        victims = [SCRATCH | {"recipe": {"epochs": epochs}}]
        with database.read() as session:
            plan = estimate.plan(session, settings, bench.spec(victims=victims, trials=40))
        return max(len(batch) for batch in plan)

    seconds = model(database, settings, bench.spec(victims=[SCRATCH])).trial_s / 200
    assert largest(1) > estimate.MAX_BATCH_SLOW
    assert largest(int(40 / seconds) + 1) == estimate.MAX_BATCH_SLOW  # 40 s a trial
    assert largest(min(1000, int(200 / seconds))) <= estimate.MAX_BATCH_SLOW


def test_each_regime_is_corrected_by_victims_of_its_own(
    database: Database, settings: Settings
) -> None:
    both = bench.spec(victims=[FROZEN, END_TO_END], trials=10)
    before = whole(database, settings, both)
    bench.launch(database, settings, victims=[END_TO_END], trials=4)
    bench.work_off(database)
    after = whole(database, settings, both)
    assert "4 end to end victims" in after.basis
    assert after.basis.endswith("uncalibrated: frozen extractor victims")
    with database.read() as session:
        cost, _ = estimate._calibrated(session, settings, both)
    modelled = model(database, settings, both)
    assert cost.victims[0] == modelled.victims[0]
    assert cost.victims[1].trial_s != pytest.approx(modelled.victims[1].trial_s)
    assert before.victim_seconds != after.victim_seconds


def test_a_spec_of_older_rules_does_not_stand_in_the_way(
    database: Database, settings: Settings
) -> None:
    bench.launch(database, settings)
    bench.work_off(database)
    with database.write() as session:
        row = session.get_one(estimate.Experiment, 1)
        row.spec = row.spec | {"knob_of_old": 1}
    assert whole(database, settings, bench.spec()).basis == "cost model, uncalibrated"
