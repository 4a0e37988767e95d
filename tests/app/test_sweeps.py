"""Sweeps: launched all or nothing, gone on with once and only once, stopped, said in words."""

import math
import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import select

from app.db import Database
from app.errors import Conflict, Invalid, NotFound
from app.models import Experiment, Job, Sweep
from app.queries import sweeps as queries
from app.requests import SweepRequest
from app.services import experiments, sweeps
from app.settings import Settings
from app.sweep_schemas import SweepDetail
from tests.app import workbench as bench
from tests.app.workbench import AT

LADDER = [1, 2, 4, 8, 16, 32, 50]


def request(**changes: Any) -> SweepRequest:
    given = {
        "spec": bench.raw_spec(trials=6),
        "field": "data.poisons",
        "values": LADDER,
        **changes,
    }
    return SweepRequest.model_validate(given)


def adaptive(budget: int = 60, **changes: Any) -> SweepRequest:
    return request(design="adaptive", budget=budget, **changes)


def launch(database: Database, settings: Settings, asked: SweepRequest) -> int:
    with database.write() as session:
        return sweeps.launch(session, settings, asked, AT).id


def detail(database: Database, sweep_id: int) -> SweepDetail:
    with database.read() as session:
        return queries.get(session, sweep_id)


def specs(database: Database, sweep_id: int) -> list[dict[str, Any]]:
    with database.read() as session:
        return [row.spec for row in queries.rungs(session, [sweep_id])]


def advance(database: Database, settings: Settings, sweep_id: int) -> int | None:
    with database.write() as session:
        made = sweeps.advance(session, settings, sweep_id, AT)
        return made.id if made else None


def work_off(database: Database, ed50: float, steepness: float = 3.0) -> None:
    """Run what is queued; a target falls where its own resistance is below the dose."""
    while (claimed := bench.claim(database)) is not None:
        if claimed.kind == "pretrain":
            bench.pretrain(database, claimed)
            continue
        for index in claimed.indices:
            draw = random.Random(f"{claimed.spec.seed} {index}").random()
            rate = 1 / (1 + (ed50 / claimed.spec.data.poisons) ** steepness)
            bench.record(database, claimed.lease, bench.trial_done(claimed, index, draw < rate))
        assert bench.finish(database, claimed.lease) == "done"


def carry_through(database: Database, settings: Settings, sweep_id: int, ed50: float) -> None:
    work_off(database, ed50)
    while advance(database, settings, sweep_id):
        work_off(database, ed50)


# --- a grid -----------------------------------------------------------------------------------


def test_a_grid_is_one_experiment_at_every_value(database: Database, settings: Settings) -> None:
    sweep_id = launch(database, settings, request(tags=["dose"], notes="why", values=[8, 1, 4]))
    found = detail(database, sweep_id)
    assert found.title == "Bullseye Polytope on Digits 5 to 9 over the number of poisons"
    assert [rung.title.rpartition(": ")[2] for rung in found.rungs] == [
        "1 poison", "4 poisons", "8 poisons",
    ]  # fmt: skip
    assert all(rung.tags == ["dose"] and rung.trials_total == 6 for rung in found.rungs)
    made = specs(database, sweep_id)
    assert [spec["data"]["poisons"] for spec in made] == [1, 4, 8]
    assert len({spec["seed"] for spec in made}) == 1
    assert (found.state, found.trials_total, found.answer) == (
        "waiting", 18, "Nothing is judged yet.",
    )  # fmt: skip


def test_its_page_has_points_curve_and_ed50(database: Database, settings: Settings) -> None:
    sweep_id = launch(database, settings, request(spec=bench.raw_spec(trials=40)))
    work_off(database, ed50=6)
    found = detail(database, sweep_id)
    assert found.state == "done" and len(found.victims) == 2
    first = found.victims[0]
    assert [point.dose for point in first.points] == LADDER
    assert all(point.success.n == 40 and point.twin.successes == 0 for point in first.points)
    assert [point.experiment_ids for point in first.points] == [[rung.id] for rung in found.rungs]
    assert first.ed50 and first.ed50.dose and first.ed50.low and first.ed50.high
    assert first.ed50.low < 6 < first.ed50.high and first.ed50.direction == "within"
    assert first.answer.startswith("Half of the targets fall to ") and first.answer == found.answer
    assert all(at.low <= at.rate <= at.high for at in first.curve)
    assert first.curve[0].dose < 1 and first.curve[-1].dose > 50


@pytest.mark.parametrize(
    ("ed50", "direction", "says"),
    [
        (1e9, "above the highest dose", "not reached in this range; its 95 % interval begins at"),
        (1e-9, "below the lowest dose", "fall to 1 poison already, the lowest dose measured"),
    ],
)
def test_a_half_that_is_not_reached_is_said_so(
    database: Database, settings: Settings, ed50: float, direction: str, says: str
) -> None:
    sweep_id = launch(database, settings, request(values=[1, 8, 50]))
    work_off(database, ed50)
    found = detail(database, sweep_id)
    assert says in found.answer
    assert found.victims[0].ed50 and found.victims[0].ed50.direction == direction
    assert found.victims[0].ed50.dose is None


def test_training_set_sizes_are_doses_by_share(database: Database, settings: Settings) -> None:
    sweep_id = launch(database, settings, request(field="data.train_size", values=[100, 250, 500]))
    work_off(database, ed50=6)
    points = detail(database, sweep_id).victims[0].points
    assert [(point.value, point.dose) for point in points] == [
        (500, 0.01),
        (250, 0.02),
        (100, 0.05),
    ]


@pytest.mark.parametrize(
    ("changes", "field", "says"),
    [
        ({"values": [1, 1]}, "values", "none of them twice"),
        ({"values": [0, 1]}, "values", "above 0"),
        ({"values": [1, 200]}, "values", "at data.poisons = 200: 200 poisons do not fit"),
        ({"field": "attack.patch_size", "values": [3]}, "field", "has no patch_size"),
        ({"budget": 60}, "budget", "a grid runs its trials at every value"),
        ({"design": "adaptive"}, "budget", "how many trials it may take in all"),
        ({"design": "adaptive", "budget": 5}, "budget", "how many trials it may take in all"),
        ({"design": "adaptive", "budget": 60, "values": [4]}, "values", "among several"),
        (
            {"spec": bench.raw_spec(surrogates=["nobody-knows-it"])},
            "spec.surrogates.0",
            "nobody-knows-it",
        ),
    ],
)
def test_what_cannot_be_names_its_field_and_leaves_nothing(
    database: Database, settings: Settings, changes: dict[str, Any], field: str, says: str
) -> None:
    with pytest.raises(Invalid) as refused:
        launch(database, settings, request(**changes))
    assert [problem.field for problem in refused.value.errors] == [field]
    assert says in refused.value.errors[0].message
    with database.read() as session:
        assert session.scalars(select(Sweep)).all() == session.scalars(select(Job)).all() == []


def test_a_benchmarks_list_has_no_other_setups_to_come_back_with(
    database: Database, settings: Settings
) -> None:
    spec = bench.raw_spec(
        data={"dataset": "cifar10", "setups": "cifar10_transfer_learning"}, trials=5
    )
    with pytest.raises(Invalid) as refused:
        launch(database, settings, adaptive(spec=spec, values=[5, 25]))
    assert refused.value.errors[0].field == "design"


def test_a_repeated_key_gives_the_same_sweep(database: Database, settings: Settings) -> None:
    for _ in range(2):
        with database.write() as session:
            row = sweeps.launch_once(session, settings, request(), AT, "me", "key")
    assert row.id == 1 and len(specs(database, 1)) == len(LADDER)
    with database.write() as session, pytest.raises(Invalid, match="another request"):
        sweeps.launch_once(session, settings, adaptive(), AT, "me", "key")


def test_the_estimate_covers_all_experiments(database: Database, settings: Settings) -> None:
    with database.read() as session:
        one = sweeps.estimate(session, settings, request(values=[5]))
        three = sweeps.estimate(session, settings, request(values=[4, 5, 6]))
        steps = sweeps.estimate(session, settings, adaptive(values=[4, 5], budget=61))
    assert three.craft_seconds == pytest.approx(3 * one.craft_seconds, rel=0.05)
    assert three.pretrain_seconds == one.pretrain_seconds and three.batches == 3 * one.batches
    assert "3 experiments" in three.basis and "11 experiments, each as dear" in steps.basis


# --- an adaptive one --------------------------------------------------------------------------


def test_it_starts_in_the_middle_and_goes_where_the_curve_asks_for(
    database: Database, settings: Settings
) -> None:
    sweep_id = launch(database, settings, adaptive(budget=120))
    assert [spec["data"]["poisons"] for spec in specs(database, sweep_id)] == [8]
    carry_through(database, settings, sweep_id, ed50=20)
    found = detail(database, sweep_id)
    assert (found.state, found.trials_done, found.trials_total) == ("done", 120, 120)
    asked = [spec["data"]["poisons"] for spec in specs(database, sweep_id)]
    assert len(asked) == 20 and {1, 2}.isdisjoint(asked)
    ed50 = found.victims[0].ed50
    assert ed50 and ed50.low and ed50.high and ed50.low < 20 < ed50.high


def test_a_value_comes_again_with_other_setups_and_no_trial_counts_twice(
    database: Database, settings: Settings
) -> None:
    sweep_id = launch(database, settings, adaptive(budget=100, values=[10, 20]))
    carry_through(database, settings, sweep_id, ed50=14)
    made = [(spec["data"]["poisons"], spec["seed"]) for spec in specs(database, sweep_id)]
    assert len(set(made)) == len(made) > 2
    found = detail(database, sweep_id)
    assert sum(point.success.n for point in found.victims[0].points) == 100
    assert max(len(point.experiment_ids) for point in found.victims[0].points) > 1
    assert any(rung.title.endswith(", seed 1") for rung in found.rungs)
    assert specs(database, sweep_id)[-1]["trials"] == 100 - 16 * 6  # the last is what is left


def test_it_never_launches_before_its_experiment_is_done_nor_twice(
    database: Database, settings: Settings
) -> None:
    sweep_id = launch(database, settings, adaptive())
    assert advance(database, settings, sweep_id) is None
    work_off(database, ed50=6)
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: advance(database, settings, sweep_id), range(8)))
    assert len([one for one in made if one]) == 1
    assert len(specs(database, sweep_id)) == 2
    assert advance(database, settings, 99) is None


def test_a_transaction_that_is_cut_off_leaves_it_due(
    database: Database, settings: Settings
) -> None:
    sweep_id = launch(database, settings, adaptive())
    work_off(database, ed50=6)
    with pytest.raises(KeyboardInterrupt), database.write() as session:
        sweeps.advance(session, settings, sweep_id, AT)
        raise KeyboardInterrupt
    assert len(specs(database, sweep_id)) == 1 and detail(database, sweep_id).state == "running"
    assert advance(database, settings, sweep_id)


def test_twins_that_all_fall_do_not_stop_it(database: Database, settings: Settings) -> None:
    sweep_id = launch(database, settings, adaptive(budget=30))
    bench.work_off(database, successes=6, twins=6)
    while advance(database, settings, sweep_id):
        bench.work_off(database, successes=6, twins=6)
    assert "Every clean twin falls too" in detail(database, sweep_id).answer


# --- stopped, and taken up again --------------------------------------------------------------


def test_a_cancelled_one_launches_nothing_more(database: Database, settings: Settings) -> None:
    sweep_id = launch(database, settings, adaptive())
    with database.write() as session:
        sweeps.cancel(session, sweep_id, AT)
    assert detail(database, sweep_id).state == "cancelled"
    assert advance(database, settings, sweep_id) is None
    with database.write() as session, pytest.raises(Conflict):
        sweeps.cancel(session, sweep_id, AT)
    with database.write() as session:
        sweeps.retry(session, settings, sweep_id, AT)
    carry_through(database, settings, sweep_id, ed50=6)
    assert detail(database, sweep_id).trials_done == 60


def test_cancelled_while_the_last_trial_ends_it_stays_cancelled(
    database: Database, settings: Settings
) -> None:
    sweep_id = launch(database, settings, adaptive())
    while (claimed := bench.must_claim(database)).kind == "pretrain":
        bench.pretrain(database, claimed)
    with database.write() as session:
        sweeps.cancel(session, sweep_id, AT)
    for index in claimed.indices:
        bench.record(database, claimed.lease, bench.trial_done(claimed, index))
    bench.finish(database, claimed.lease)
    assert detail(database, sweep_id).rungs[0].state == "done"
    assert detail(database, sweep_id).state == "cancelled"
    assert advance(database, settings, sweep_id) is None
    with database.write() as session:
        sweeps.retry(session, settings, sweep_id, AT)
    assert advance(database, settings, sweep_id)


def test_between_two_experiments_it_can_be_cancelled(
    database: Database, settings: Settings
) -> None:
    sweep_id = launch(database, settings, adaptive())
    work_off(database, ed50=6)
    with database.write() as session:
        sweeps.cancel(session, sweep_id, AT)
    assert detail(database, sweep_id).state == "cancelled"


def test_a_failed_experiment_holds_it_until_it_is_retried(
    database: Database, settings: Settings
) -> None:
    sweep_id = launch(database, settings, adaptive())
    [rung] = detail(database, sweep_id).rungs
    with database.write() as session:
        experiments.cancel(session, rung.id, AT)
    assert advance(database, settings, sweep_id) is None
    with database.write() as session:
        sweeps.retry(session, settings, sweep_id, AT)
    work_off(database, ed50=6)
    assert advance(database, settings, sweep_id)


def test_what_refuses_the_next_experiment_is_said_and_may_be_retried(
    database: Database, settings: Settings
) -> None:
    sweep_id = launch(database, settings, adaptive())
    work_off(database, ed50=6)
    small = settings.model_copy(update={"memory_mib": 1})
    assert advance(database, small, sweep_id) is None
    found = detail(database, sweep_id)
    assert found.state == "failed" and found.error and "MiB of memory" in found.error
    assert len(found.rungs) == 1 and advance(database, settings, sweep_id) is None
    with database.write() as session:
        sweeps.retry(session, settings, sweep_id, AT)
    assert advance(database, settings, sweep_id)


def test_a_grid_that_is_done_has_nothing_to_cancel_or_retry(
    database: Database, settings: Settings
) -> None:
    sweep_id = launch(database, settings, request(values=[4]))
    work_off(database, ed50=6)
    with database.write() as session:
        for refused in (
            lambda: sweeps.cancel(session, sweep_id, AT),
            lambda: sweeps.retry(session, settings, sweep_id, AT),
        ):
            with pytest.raises(Conflict):
                refused()
        with pytest.raises(NotFound):
            sweeps.cancel(session, 77, AT)


# --- the list; laid over one another ------------------------------------------------------------


def test_the_list_is_paged_newest_first(database: Database, settings: Settings) -> None:
    for values in ([1], [2], [3]):
        launch(database, settings, request(values=values))
    with database.read() as session:
        first = queries.page(session, limit=2)
        rest = queries.page(session, first.next, limit=2)
    assert [[item.id for item in page.items] for page in (first, rest)] == [[3, 2], [1]]


def test_sweeps_on_other_training_sets_tell_counts_from_shares(
    database: Database, settings: Settings
) -> None:
    ids = []
    for size in (250, 500):
        data = {"dataset": "digits_5_9", "train_size": size, "poisons": 5}
        asked = request(spec=bench.raw_spec(trials=100, data=data), values=[2, 4, 8, 16, 32])
        ids.append(launch(database, settings, asked))
        work_off(database, ed50=8)  # whatever the size: the count decides
    other = launch(database, settings, request(spec=bench.raw_spec(attack={"name": "badnets"})))
    with database.read() as session:
        assert [one.id for one in queries.get(session, ids[0]).beside] == [ids[1]]
        both = queries.laid_over(session, ids[0], [ids[1], ids[1]])
        assert [one.id for one in both] == ids
        unit = both[0].unit
        assert unit and unit.name == "count" and "number of poisons says more" in unit.sentence
        assert queries.laid_over(session, ids[0], [])[0].unit is None
        with pytest.raises(Invalid, match=f"sweep {other} does not differ"):
            queries.laid_over(session, ids[0], [other])
    assert math.isfinite(unit.by_count)


def test_experiments_say_which_sweep_they_are_part_of(
    database: Database, settings: Settings
) -> None:
    sweep_id = launch(database, settings, request(values=[4]))
    with database.read() as session:
        assert session.scalars(select(Experiment.sweep_id)).all() == [sweep_id]
