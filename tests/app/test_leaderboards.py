"""Boards compare what was measured alike, count a trial once, and say it in words."""

import io
from typing import Any

import pytest
from alembic import command
from fastapi.testclient import TestClient
from rich.console import Console
from sqlalchemy import event, select

from app import db, places, published, terminal
from app.board_schemas import Leaderboard
from app.db import Database
from app.errors import NotFound
from app.models import Experiment, OutcomeSum, Trial, TrialSum
from app.queries import experiments, leaderboards, ranks
from app.services import sums
from app.settings import Settings
from tests.app import workbench as bench

CONTROL = {"attack": {"name": "no_perturbation"}, "surrogates": []}


def run(
    database: Database,
    settings: Settings,
    successes: int,
    twins: int = 0,
    **changes: object,
) -> int:
    number = bench.launch(database, settings, **changes)
    bench.work_off(database, successes, twins)
    return number


def boards(database: Database) -> list[Leaderboard]:
    with database.read() as session:
        return leaderboards.page(session)


def test_an_attack_stands_beside_the_control(database: Database, settings: Settings) -> None:
    bp = run(database, settings, 17, 1, trials=20)
    control = run(database, settings, 1, 1, trials=20, **CONTROL)
    [board] = boards(database)
    assert [column.access for column in board.columns] == ["white_box", "black_box"]
    assert [row.attack for row in board.rows] == ["bullseye_polytope", "no_perturbation"]
    attack, reference = (row.cells[0] for row in board.rows)
    assert attack is not None and reference is not None
    assert (attack.success.successes, attack.success.n) == (17, 20)
    assert (attack.twin.successes, attack.twin.n) == (1, 20)
    assert attack.experiment_ids == [bp]
    assert reference.experiment_ids == [control]
    assert attack.excess.low > 0
    assert board.rows[0].budget == "eps 32/255"
    assert board.rows[0].craft_seconds == pytest.approx(2.0)
    assert "5 poisons among 500 training images" in board.protocol


def test_a_control_that_ran_first_hides_no_access(database: Database, settings: Settings) -> None:
    run(database, settings, 0, **CONTROL)
    run(database, settings, 2)
    with database.read() as session:
        [title] = leaderboards.index(session)
    assert title.accesses == ["white_box", "black_box"]


def test_few_lucky_trials_do_not_lead(database: Database, settings: Settings) -> None:
    run(database, settings, 18, trials=20)
    run(database, settings, 4, trials=4, attack={"name": "feature_collision", "eps_255": 32})
    [board] = boards(database)
    assert board.answer.startswith("Bullseye Polytope fools 18 of 20 white-box")


def test_the_answer_is_a_sentence(database: Database, settings: Settings) -> None:
    number = run(database, settings, 17, 1, trials=20)
    sentence = (
        "Bullseye Polytope fools 17 of 20 white-box victims (85.0 % ± 11.2); their clean twins, "
        "1 of 20"
    )
    [board] = boards(database)
    assert board.answer.startswith(sentence)
    with database.read() as session:
        assert experiments.get(session, number, bench.AT).answer.startswith(sentence)


def test_a_trial_that_was_run_again_counts_once(database: Database, settings: Settings) -> None:
    first = run(database, settings, 3)
    again = run(database, settings, 3)
    longer = run(database, settings, 3, trials=6)
    [board] = boards(database)
    cell = board.rows[0].cells[0]
    assert cell is not None
    assert cell.success.n == 6
    assert cell.success.successes == 3
    assert {first, longer} <= set(cell.experiment_ids)
    assert again not in cell.experiment_ids


def test_other_seeds_are_pooled(database: Database, settings: Settings) -> None:
    for seed in range(3):
        run(database, settings, 2, seed=seed)
    [board] = boards(database)
    cell = board.rows[0].cells[0]
    assert cell is not None
    assert (cell.success.successes, cell.success.n) == (6, 12)


def test_other_knobs_are_another_row_and_another_profile_another_board(
    database: Database, settings: Settings
) -> None:
    run(database, settings, 2)
    run(database, settings, 2, attack={"name": "bullseye_polytope", "eps_255": 8})
    run(database, settings, 2, profile="paper")
    sizes = sorted(len(board.rows) for board in boards(database))
    assert sizes == [1, 2]


def test_a_board_is_found_by_its_key(database: Database, settings: Settings) -> None:
    run(database, settings, 2)
    [board] = boards(database)
    with database.read() as session:
        assert leaderboards.get(session, board.key) == board
        [title] = leaderboards.index(session)
        assert (title.key, title.outcomes) == (board.key, 8)
        assert title.accesses == ["white_box", "black_box"]
        with pytest.raises(NotFound):
            leaderboards.get(session, "0" * 16)


def test_an_attack_is_shown_where_it_was_measured_most(
    database: Database, settings: Settings
) -> None:
    """Two cells of each board: of one seed in paper, of two in quick, and another attack's."""
    run(database, settings, 2, profile="paper")
    for seed in range(2):
        run(database, settings, 1, seed=seed)
    run(database, settings, 2, attack={"name": "feature_collision", "eps_255": 32})
    whole = boards(database)

    def of(attack: str, limit: int) -> tuple[list[tuple[str, int, int]], bool]:
        with database.read() as session:
            found, is_cut = leaderboards.of_attack(session, attack, limit)
        assert {row.attack for board in found for row in board.rows} <= {attack}
        cells = [(board, c) for board in found for row in board.rows for c in row.cells if c]
        assert all(
            cell in [c for its in whole if its.key == board.key for r in its.rows for c in r.cells]
            for board, cell in cells
        )
        return [(b.profile, c.success.successes, c.success.n) for b, c in cells], is_cut

    every = [("quick", 2, 8), ("quick", 2, 8), ("paper", 2, 4), ("paper", 2, 4)]
    assert of("bullseye_polytope", 4) == (every, False)
    assert of("bullseye_polytope", 3) == (every[:3], True)
    assert of("convex_polytope", 4) == ([], False)


def test_where_nothing_works_the_answer_says_so(database: Database, settings: Settings) -> None:
    run(database, settings, 0, trials=20)
    [board] = boards(database)
    assert board.answer.startswith("Against white-box victims no attack here can be told")


def test_ranks_are_shared_by_what_a_paired_test_cannot_tell_apart(
    database: Database, settings: Settings
) -> None:
    """20 setups: 18, 17 and 2 fall. The third is worse than both; the control is not ranked."""
    ids = []
    for successes, knobs in ((18, 5), (17, 6), (2, 7)):
        attack = {"name": "bullseye_polytope", "eps_255": 32, "steps": knobs}
        ids.append(run(database, settings, successes, trials=20, attack=attack))
    run(database, settings, 20, trials=20, attack={"name": "bullseye_polytope", "eps_255": 8})
    run(database, settings, 20, trials=20, **CONTROL)
    with database.write() as session:
        for trial in session.scalars(select(Trial)):
            trial.target_index = trial.number  # setups that differ, the same for all
    [board] = boards(database)
    assert {cell.rank for row in board.rows for cell in row.cells if cell} == {None}
    assert board.pairs is None
    with database.read() as session:
        found = ranks.placed(session, board)
    rows = {row.knobs.get("steps"): row for row in found.rows if row.budget == "eps 32/255"}
    for at in range(len(board.columns)):
        cells = [rows[steps].cells[at] for steps in (5, 6, 7)]
        assert [cell.rank for cell in cells if cell] == [1, 1, 3]
    assert sum(cell.rank is not None for row in found.rows for cell in row.cells if cell) == 6
    _the_ranks_follow_from_the_pairs(found)


def _the_ranks_follow_from_the_pairs(board: Leaderboard) -> None:
    """1 + how many are better, and the counts are those of the setups fallen to one alone."""
    assert board.pairs is not None and len(board.pairs) == 3 * len(board.columns)
    for at, column in enumerate(board.columns):
        pairs = [pair for pair in board.pairs if pair.column == column.key]
        fallen = {row.key: cell.success.successes for row in board.rows if (cell := row.cells[at])}
        for pair in pairs:
            assert pair.shared == 20 and pair.p <= pair.adjusted
            difference = fallen[pair.first] - fallen[pair.second]
            assert pair.only_first - pair.only_second == difference
        for row in board.rows:
            its = [pair for pair in pairs if row.key in (pair.first, pair.second)]
            better = sum(pair.better not in (None, row.key) for pair in its)
            cell = row.cells[at]
            assert not its or (cell and cell.rank == 1 + better)


@pytest.mark.parametrize(
    ("setups", "attack", "access", "model", "percent"),
    [
        ("cifar10_transfer_learning", "bullseye_polytope", "white_box", "ResNet-18", 85),
        ("cifar10_transfer_learning", "feature_collision_reference", "white_box", "ResNet-18", 22),
        ("cifar10_transfer_learning", "feature_collision_l2", "white_box", "ResNet-18", None),
        ("cifar10_transfer_learning", "bullseye_polytope", "black_box", "VGG11", None),
        ("cifar10_from_scratch", "witches_brew", "grey_box", "ResNet-18", 45),
        ("drawn", "bullseye_polytope", "white_box", "ResNet-18", None),
    ],
)
def test_a_published_value_stands_beside_its_own_protocol_only(
    setups: str, attack: str, access: str, model: str, percent: float | None
) -> None:
    found = published.of(setups, "paper", attack, 8, access, model)
    assert (found.percent if found else None) == percent
    assert published.of(setups, "quick", attack, 8, access, model) is None
    assert published.of(setups, "paper", attack, 16, access, model) is None


def test_the_json_has_the_ranks_and_published_values_of_the_page(
    client: TestClient, database: Database, settings: Settings
) -> None:
    """Two attacks of the benchmark's protocol and a control, on the same 20 setups."""
    for name, successes in (("bullseye_polytope", 19), ("feature_collision", 2)):
        attack = {"name": name, "eps_255": 8}
        run(database, settings, successes, trials=20, attack=attack, profile="paper")
    run(database, settings, 0, trials=20, profile="paper", **CONTROL)
    with database.write() as session:
        for its in session.scalars(select(Experiment)):
            data = its.spec["data"] | {"setups": "cifar10_transfer_learning"}
            its.spec = its.spec | {"data": data}
        for trial in session.scalars(select(Trial)):
            trial.target_index = trial.number
        sums.recount(session)
    [title] = client.get("/api/v1/leaderboards/titles").json()
    board = client.get(f"/api/v1/leaderboards/{title['key']}").json()
    cells = {row["title"]: row["cells"][0] for row in board["rows"]}
    address = "/leaderboard?cols=rank&cols=published&table=leaderboard&format=json"
    table = client.get(address).json()
    shown = {line[0]: dict(zip(table["header"], line, strict=True)) for line in table["lines"]}
    assert shown.keys() == cells.keys()
    for name, cell in cells.items():
        assert shown[name]["Rank"] == (str(cell["rank"]) if cell["rank"] else "–")
        printed = cell["published"]
        assert shown[name]["Published, %"] == (f"{printed['percent']:g}" if printed else "–")
    bullseye = cells["Bullseye Polytope"]
    assert [cell["rank"] for cell in cells.values()] == [1, 2, None]
    assert bullseye["published"]["percent"] == 85
    assert "unified benchmark" in bullseye["published"]["source"]
    [listed] = client.get("/api/v1/leaderboards").json()
    assert [row["cells"][0]["published"] for row in listed["rows"]] == [
        row["cells"][0]["published"] for row in board["rows"]
    ]
    in_words = Console(width=200, file=io.StringIO())
    terminal.print_board(board, in_words)
    said = in_words.file.getvalue()  # type: ignore[attr-defined]
    assert "rank 1" in said and "published 85 %" in said


@pytest.fixture
def statements(database: Database) -> list[str]:
    """The SELECTs that are sent, as they are sent."""
    sent: list[str] = []

    @event.listens_for(database.read_engine, "before_cursor_execute")
    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        if statement.startswith("SELECT"):
            sent.append(statement)

    return sent


def test_pages_take_few_queries_however_many_rows(
    database: Database, settings: Settings, statements: list[str]
) -> None:
    for seed in range(8):
        run(database, settings, 2, seed=seed)
    statements.clear()
    with database.read() as session:
        leaderboards.page(session)
    assert len(statements) == 5
    statements.clear()
    with database.read() as session:
        leaderboards.of_attack(session, "bullseye_polytope", 50)
    assert len(statements) == 5
    statements.clear()
    with database.read() as session:
        experiments.page(session)
    assert len(statements) == 4


def test_a_board_is_read_by_its_index(database: Database, statements: list[str]) -> None:
    with database.read() as session, pytest.raises(NotFound):
        leaderboards.get(session, "0" * 16)
    with database.read() as session:
        explain = f"EXPLAIN QUERY PLAN {statements[0]}"
        plan = session.connection().exec_driver_sql(explain, (16, "0" * 16))
        assert "USING INDEX ix_outcome_sums_board" in str(plan.all())


# --- the sums behind it ----------------------------------------------------------------------


def kept(database: Database) -> tuple[list[Any], list[Any]]:
    with database.read() as session:
        trials = session.execute(select(TrialSum.__table__).order_by(TrialSum.experiment_id))
        keys = OutcomeSum.__table__.primary_key
        outcomes = session.execute(select(OutcomeSum.__table__).order_by(*keys))
        return trials.all(), outcomes.all()


def alike(first: list[Any], second: list[Any]) -> bool:
    return len(first) == len(second) and all(
        a == (pytest.approx(b) if isinstance(b, float) else b)
        for one, other in zip(first, second, strict=True)
        for a, b in zip(one, other, strict=True)
    )


@pytest.fixture
def measured(database: Database, settings: Settings) -> Database:
    """Seeds, a re-run, a longer run of the same, the control, another profile."""
    for seed in range(3):
        run(database, settings, 2, seed=seed)
    run(database, settings, 2)
    run(database, settings, 3, 1, trials=6)
    run(database, settings, 0, **CONTROL)
    run(database, settings, 2, profile="paper")
    return database


def test_sums_kept_as_trials_come_are_what_a_recount_gives(measured: Database) -> None:
    before = kept(measured)
    assert [row.trials for row in before[0]] == [4, 4, 4, 4, 6, 4, 4]
    assert sum(row.n for row in before[1] if row.is_repeat) == 16
    with measured.write() as session:
        sums.recount(session)
    after = kept(measured)
    assert alike(before[0], after[0]) and alike(before[1], after[1])


def test_the_migration_fills_what_was_measured_before(
    measured: Database, settings: Settings
) -> None:
    before = kept(measured)
    with measured.write_engine.begin() as connection:
        command.downgrade(db.alembic_config(connection), "0002")
    db.migrate(settings)
    after = kept(measured)
    assert alike(before[0], after[0]) and alike(before[1], after[1])
    with measured.read() as session:
        for row in session.scalars(select(Experiment)):
            assert (row.series, row.regimes) == (places.series(row.spec), "frozen")


def test_a_trial_that_is_reported_twice_is_added_once(
    database: Database, settings: Settings
) -> None:
    bench.launch(database, settings)
    claimed = bench.must_claim(database)
    while claimed.kind == "pretrain":
        bench.pretrain(database, claimed)
        claimed = bench.must_claim(database)
    done = bench.trial_done(claimed, claimed.indices[0])
    assert bench.record(database, claimed.lease, done)
    assert not bench.record(database, claimed.lease, done)
    assert [row.trials for row in kept(database)[0]] == [1]
