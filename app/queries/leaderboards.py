"""Leaderboards: what was measured under one protocol, pooled over experiments.

A board is a protocol: data, counts, setups, normalisation, regime, recipe, profile, precision.
A column is an access and a victim; a row is an attack with its knobs and its surrogates. A trial
that several experiments ran counts once.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.errors import NotFound
from app.models import Experiment, Trial
from app.queries import answers, tallies, titles
from app.queries.tallies import Key, Tally
from app.schemas import Leaderboard, LeaderboardCell, LeaderboardColumn, LeaderboardRow
from poisoning import catalog
from poisoning.spec import digest

ACCESS_TITLES = {"white_box": "White box", "grey_box": "Grey box", "black_box": "Black box"}
ACCESS_ORDER = tuple(ACCESS_TITLES)


@dataclass(frozen=True)
class Measured:
    """One victim of one experiment, with what identifies its place on a board."""

    experiment_id: int
    victim: dict[str, Any]
    victim_key: str  # what the victim is, whatever a published column calls it
    access: str
    attack: dict[str, Any]
    row: str
    tally: Tally

    @property
    def is_control(self) -> bool:
        return bool(self.attack["name"] == answers.CONTROL)


@dataclass(frozen=True)
class Cost:
    """Sum over the done trials of one experiment."""

    trials: int
    seconds: float
    linf_255: int | None


def page(
    session: Session, dataset: str | None = None, profile: str | None = None
) -> list[Leaderboard]:
    """All boards, the fullest first."""
    statement = select(
        Experiment.id, Experiment.spec, Experiment.profile, Experiment.precision
    ).order_by(Experiment.id)
    if dataset is not None:
        statement = statement.where(Experiment.dataset == dataset)
    if profile is not None:
        statement = statement.where(Experiment.profile == profile)
    specs = {row.id: row.spec for row in session.execute(statement)}
    groups = _by_protocol(specs, _tallies(session, specs))
    models = titles.checkpoint_models(session)
    costs = _costs(session, specs)
    boards = [_board(key, found, specs, models, costs) for key, found in groups.items()]
    return sorted(boards, key=lambda board: (-_size(board), board.key))


def get(session: Session, key: str) -> Leaderboard:
    """One board by its key; NotFound where nothing was measured under that protocol."""
    for board in page(session):
        if board.key == key:
            return board
    raise NotFound(f"there is no leaderboard {key!r}")


def _size(board: Leaderboard) -> int:
    return sum(cell.success.n for row in board.rows for cell in row.cells if cell)


def _tallies(session: Session, specs: dict[int, dict[str, Any]]) -> dict[Key, Tally]:
    """Counts of every experiment; only those that may share trials pay for telling them apart."""
    alike: dict[str, list[int]] = defaultdict(list)
    for experiment_id, spec in specs.items():
        same = {k: v for k, v in spec.items() if k not in ("trials", "victims")}
        alike[digest(same)].append(experiment_id)
    doubtful = {i for ids in alike.values() if len(ids) > 1 for i in ids}
    counts = tallies.by_victim(session)
    found = {k: t for k, t in counts.items() if k[0] in specs and k[0] not in doubtful}
    return found | (tallies.counted_once(session, sorted(doubtful)) if doubtful else {})


def _costs(session: Session, specs: Iterable[int]) -> dict[int, Cost]:
    rows = session.execute(
        select(
            Trial.experiment_id,
            func.count(Trial.craft_seconds),
            func.coalesce(func.sum(Trial.craft_seconds), 0.0),
            func.max(Trial.linf_255),
        )
        .where(Trial.state == "done")
        .group_by(Trial.experiment_id)
    )
    wanted = set(specs)
    return {row[0]: Cost(row[1], float(row[2] or 0), row[3]) for row in rows if row[0] in wanted}


def protocol_of(spec: dict[str, Any], victim: dict[str, Any]) -> dict[str, Any]:
    """What has to be equal for two outcomes to be compared."""
    return {
        "data": spec["data"],
        "regime": victim["regime"],
        "recipe": victim.get("recipe"),
        "profile": spec["profile"],
        "precision": spec["precision"],
    }


def _by_protocol(
    specs: dict[int, dict[str, Any]], counts: dict[Key, Tally]
) -> dict[str, list[Measured]]:
    groups: dict[str, list[Measured]] = defaultdict(list)
    for (experiment_id, position, access), tally in sorted(counts.items()):
        spec = specs[experiment_id]
        victim, attack = spec["victims"][position], spec["attack"]
        is_control = attack["name"] == answers.CONTROL
        row = digest([attack, [] if is_control else sorted(spec["surrogates"])])
        key = digest(protocol_of(spec, victim))[:16]
        victim_key = digest({k: v for k, v in victim.items() if k != "label"})
        groups[key].append(Measured(experiment_id, victim, victim_key, access, attack, row, tally))
    return groups


def _board(
    key: str,
    found: Sequence[Measured],
    specs: dict[int, dict[str, Any]],
    models: dict[str, str],
    costs: dict[int, Cost],
) -> Leaderboard:
    spec = specs[found[0].experiment_id]
    places = _places(found)
    columns = _columns(places, models)
    rows = [
        _row([m for m in found if m.row == row], places, costs)
        for row in dict.fromkeys(m.row for m in found)
    ]
    rows.sort(key=_rank)
    data = titles.dataset(spec["data"]["dataset"])
    regime = titles.REGIMES.get(found[0].victim["regime"], found[0].victim["regime"])
    return Leaderboard(
        key=key,
        title=f"{data}, {regime}",
        dataset=spec["data"]["dataset"],
        profile=spec["profile"],
        precision=spec["precision"],
        protocol=_in_words(spec, found[0].victim),
        answer=answers.of_board(columns, rows),
        columns=columns,
        rows=rows,
    )


def _places(found: Sequence[Measured]) -> list[tuple[str, Measured]]:
    """The columns: (access, an example) of every access and victim an attack met.

    The control does not craft on anything, so it has no access of its own: it stands in the
    columns of its victims. Where nothing but the control was run, its own are shown.
    """
    shown = [m for m in found if not m.is_control] or list(found)
    unique = {(m.access, m.victim_key): m for m in shown}
    return [
        (access, example)
        for (access, _), example in sorted(
            unique.items(), key=lambda item: (ACCESS_ORDER.index(item[0][0]), item[1].experiment_id)
        )
    ]


def _columns(
    places: Sequence[tuple[str, Measured]], models: dict[str, str]
) -> list[LeaderboardColumn]:
    subtitles = [titles.victim(example.victim, models) for _, example in places]
    accesses = [access for access, _ in places]
    columns = []
    for (access, example), subtitle in zip(places, subtitles, strict=True):
        is_twice = list(zip(accesses, subtitles, strict=True)).count((access, subtitle)) > 1
        name = example.victim.get("checkpoint")
        columns.append(
            LeaderboardColumn(
                key=f"{access}-{example.victim_key[:12]}",
                title=ACCESS_TITLES[access],
                subtitle=f"{subtitle} ({name})" if is_twice else subtitle,
                access=access,
                regime=example.victim["regime"],
            )
        )
    return columns


def _row(
    found: Sequence[Measured], places: Sequence[tuple[str, Measured]], costs: dict[int, Cost]
) -> LeaderboardRow:
    knobs = {k: v for k, v in found[0].attack.items() if k != "name"}
    name = found[0].attack["name"]
    known = catalog.ATTACKS.get(name)
    spent = [costs[i] for i in dict.fromkeys(m.experiment_id for m in found) if i in costs]
    trials = sum(cost.trials for cost in spent)
    changes = [cost.linf_255 for cost in spent if cost.linf_255 is not None]
    return LeaderboardRow(
        attack=name,
        title=known.title if known else name,
        short=known.short if known else name,
        color=known.color if known else "#000000",
        marker=known.marker if known else "cross",
        budget=f"eps {knobs['eps_255']:g}/255" if "eps_255" in knobs else "none",
        knobs=knobs,
        linf_255=max(changes, default=None),
        cells=[_cell(found, access, example) for access, example in places],
        craft_seconds=sum(cost.seconds for cost in spent) / trials if trials else None,
    )


def _cell(found: Sequence[Measured], access: str, example: Measured) -> LeaderboardCell | None:
    here = [
        m
        for m in found
        if m.victim_key == example.victim_key and (m.access == access or m.is_control)
    ]
    if not here:
        return None
    tally = here[0].tally
    for more in here[1:]:
        tally = tally + more.tally
    return LeaderboardCell(
        success=tally.success,
        twin=tally.twin,
        excess=tally.excess,
        clean_accuracy=tally.clean_accuracy,
        twin_clean_accuracy=tally.twin_clean_accuracy,
        experiment_ids=list(dict.fromkeys(m.experiment_id for m in here)),
    )


def _rank(row: LeaderboardRow) -> tuple[float, ...]:
    """Best first in the first column, ties by the next; what was not measured comes last."""
    return tuple(-cell.success.rate if cell else 1.0 for cell in row.cells)


def _in_words(spec: dict[str, Any], victim: dict[str, Any]) -> str:
    data = spec["data"]
    setups = "drawn" if data["setups"] == "drawn" else f"from {data['setups']}"
    sides = [
        f"{side} class {data[field]}"
        for side, field in (("target", "target_class"), ("base", "base_class"))
        if data[field] is not None
    ]
    recipe = victim.get("recipe") or {}
    return "; ".join(
        [
            f"{data['poisons']} poisons among {data['train_size']:,} training images",
            f"setups {setups}" + (f" ({', '.join(sides)})" if sides else ""),
            "normalised" if data["normalize"] else "not normalised",
            f"victims trained for {recipe.get('epochs', '?')} epochs",
            f"profile {spec['profile']}, precision {spec['precision']}",
        ]
    )
