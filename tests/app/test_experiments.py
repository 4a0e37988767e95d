"""What is launched, in which batches, at which cost; what is refused leaves nothing behind."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select

from app.columns import Base
from app.db import Database
from app.errors import Conflict, Invalid
from app.models import Experiment, Job
from app.requests import LaunchRequest
from app.services import checkpoints, estimate, experiments, idempotency
from app.settings import Settings
from poisoning.recipes import RECIPES
from poisoning.spec import PretrainSpec
from tests.app import workbench as bench


def rows(database: Database) -> int:
    """How many rows there are in all tables together."""
    with database.read() as session:
        counts = [
            session.scalar(select(func.count()).select_from(table))
            for table in Base.metadata.tables.values()
        ]
    return sum(count or 0 for count in counts)


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        (
            {"data": {"dataset": "cifar10", "train_size": 2500, "poisons": 25}},
            "data.dataset",
            "dosimeter data download cifar10",
        ),
        ({"surrogates": ["convnet3-digits_0_4-s7"]}, "surrogates.0", "did you mean"),
        (
            {"victims": [{"regime": "frozen", "checkpoint": "nothing"}]},
            "victims.0.checkpoint",
            "catalogue",
        ),
    ],
)
def test_a_refused_launch_names_field_and_remedy_and_writes_nothing(
    database: Database,
    settings: Settings,
    changes: dict[str, object],
    field: str,
    words: str,
) -> None:
    with pytest.raises(Invalid) as caught:
        bench.launch(database, settings, **changes)
    [problem] = caught.value.errors
    assert problem.field == field
    assert words in f"{problem.message} {problem.remedy}"
    assert rows(database) == 0


def test_a_list_of_setups_must_be_there(database: Database, settings: Settings) -> None:
    (settings.datasets_dir / "cifar-10-batches-py").mkdir()
    listed = {"dataset": "cifar10", "setups": "cifar10_transfer_learning"}
    with pytest.raises(Invalid, match="the list cifar10_transfer_learning is not in") as caught:
        bench.launch(database, settings, data=listed)
    assert caught.value.errors[0].field == "data.setups"


def test_a_batch_too_large_for_memory_is_refused(database: Database, settings: Settings) -> None:
    small = settings.model_copy(update={"memory_mib": 520})
    with pytest.raises(Invalid) as caught:
        bench.launch(database, small)
    [problem] = caught.value.errors
    assert problem.field in ("data.poisons", "data.train_size")
    assert "520 MiB are available" in problem.message
    assert "DOSIMETER_MEMORY_MIB" in (problem.remedy or "")
    assert rows(database) == 0


def test_short_trials_share_a_batch_and_long_ones_do_not(
    database: Database, settings: Settings
) -> None:
    def sizes(steps: int, trials: int) -> list[int]:
        attack = {"name": "bullseye_polytope", "eps_255": 8, "steps": steps}
        with database.read() as session:
            plan = estimate.plan(session, settings, bench.spec(attack=attack, trials=trials))
        assert [n for batch in plan for n in batch] == list(range(trials))
        return [len(batch) for batch in plan]

    assert sizes(100, 20) == [20]
    assert max(sizes(100, 100)) <= estimate.MAX_BATCH
    assert max(sizes(50_000, 20)) <= 4


def test_an_estimate_says_what_it_rests_on(database: Database, settings: Settings) -> None:
    with database.read() as session:
        before = estimate.estimate(session, settings, bench.spec())
    assert before.basis == "cost model, uncalibrated"
    assert before.pretrain_seconds > 0
    bench.launch(database, settings)
    bench.work_off(database)
    with database.read() as session:
        after = estimate.estimate(session, settings, bench.spec(trials=10))
    assert after.basis == "measured here: 4 crafted trials, 8 frozen extractor victims"
    assert after.craft_seconds == pytest.approx(20.0)  # the workbench takes 2 s a trial
    assert after.pretrain_seconds == 0


def test_two_experiments_share_one_pretraining(database: Database, settings: Settings) -> None:
    bench.launch(database, settings)
    bench.launch(database, settings, seed=1)
    with database.read() as session:
        kinds = list(session.scalars(select(Job.kind)))
    assert sorted(kinds) == ["pretrain", "pretrain", "trials", "trials"]


def test_twenty_parallel_launches_with_one_key_make_one_experiment(
    database: Database, settings: Settings
) -> None:
    request = LaunchRequest(spec=bench.spec())

    def launch(_: int) -> int:
        with database.write() as session:
            return experiments.launch_once(session, settings, request, bench.AT, "me", "key").id

    with ThreadPoolExecutor(20) as pool:
        assert set(pool.map(launch, range(20))) == {1}
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Experiment)) == 1


def test_a_key_is_good_for_one_body_and_one_caller(database: Database) -> None:
    with database.write() as session:
        idempotency.reserve(session, "me", "key", {"a": 1}, bench.AT)
        idempotency.reserve(session, "me", "key", {"a": 1}, bench.AT)
        idempotency.reserve(session, "you", "key", {"a": 2}, bench.AT)
        with pytest.raises(Invalid, match="another request"):
            idempotency.reserve(session, "me", "key", {"a": 2}, bench.AT)


def test_what_has_ended_cannot_be_cancelled_and_what_runs_not_retried(
    database: Database, settings: Settings
) -> None:
    number = bench.launch(database, settings)
    with pytest.raises(Conflict), database.write() as session:
        experiments.retry(session, settings, number, bench.AT)
    bench.work_off(database)
    with pytest.raises(Conflict), database.write() as session:
        experiments.cancel(session, number, bench.AT)


def test_a_clone_is_an_experiment_of_its_own(database: Database, settings: Settings) -> None:
    number = bench.launch(database, settings)
    with database.write() as session:
        copy = experiments.clone(session, settings, number, bench.AT)
        assert copy.cloned_from == number
        assert copy.id != number
        assert copy.spec_hash == session.get_one(Experiment, number).spec_hash


def test_a_checkpoint_name_stands_for_one_spec(database: Database, settings: Settings) -> None:
    mine = PretrainSpec(model="convnet3", dataset="digits_0_4", epochs=2)
    with database.write() as session:
        first = checkpoints.train(session, settings, "mine", mine, bench.AT)
        assert checkpoints.train(session, settings, "mine", mine, bench.AT).id == first.id
    other = mine.model_copy(update={"epochs": 3})
    with pytest.raises(Conflict), database.write() as session:
        checkpoints.train(session, settings, "mine", other, bench.AT)
    with pytest.raises(Conflict), database.write() as session:
        checkpoints.train(session, settings, bench.WHITE, other, bench.AT)
    assert bench.WHITE in RECIPES
