"""Experiments side by side: what differs, what came out, and on which setups they disagree."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from pydantic import BaseModel
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import places
from app.errors import Invalid, NotFound
from app.models import Experiment, Outcome, PoisonSet, Trial
from app.queries import tallies, titles
from app.queries.experiment_list import Member, pooled
from app.queries.tallies import Tally
from app.schemas import Excess, Rate
from poisoning import stats

LETTERS = "ABCDEFGH"
MAX_SIDES, MAX_EXPERIMENTS = len(LETTERS), 64
Setup = tuple[Any, ...]


class Side(BaseModel):
    """One of those compared: an experiment, or several seeds of one, pooled."""

    letter: str
    ids: list[int]
    title: str
    state: str
    attack: str
    attack_title: str
    spec: dict[str, Any]  # of the first
    is_sequential: bool = False  # of any of them n was not fixed before anybody looked


class Difference(BaseModel):
    """One field of the specs and its value on each side; None where it does not exist. A victim
    that some sides lack is one field, its value its title; those who have it may differ in more.
    """

    field: str
    values: list[Any]


class VictimResult(BaseModel):
    """What came out on one victim of one side."""

    side: str
    victim: int
    key: str  # equal for the same victim
    title: str
    access: str
    success: Rate
    twin: Rate
    excess: Excess
    both: int  # trials in which the victim and its twin were fooled
    clean_accuracy: float
    twin_clean_accuracy: float

    @property
    def tally(self) -> Tally:
        n, is_sequential = self.success.n, self.success.interval == "confidence_sequence"
        clean, twin_clean = self.clean_accuracy * n, self.twin_clean_accuracy * n
        counts = (n, self.success.successes, self.twin.successes, self.both)
        return Tally(*counts, clean, twin_clean, is_sequential)


class Disagreement(BaseModel):
    """A setup that fell to one side only; trials as (experiment, number), poison sets by hash."""

    target_class: str
    target_index: int
    base_class: str
    fell_to: str
    trials: tuple[tuple[int, int], tuple[int, int]]
    poison_sets: tuple[str | None, str | None]
    linf_255: tuple[int | None, int | None] = (None, None)  # of each side's poisons


class Pair(BaseModel):
    """Two sides on the setups both carried through, one victim of each: McNemar's exact test, or
    where n was not fixed on either side, the sequential one.
    """

    first: str
    second: str
    victims: tuple[str, str]
    shared: int
    both: int
    only_first: int
    only_second: int
    p: float
    is_sequential: bool = False
    words: str
    disagreements: list[Disagreement]


class Comparison(BaseModel):
    sides: list[Side]
    differences: list[Difference]
    same: dict[str, Any]
    results: list[VictimResult]
    pairs: list[Pair]


@dataclass(frozen=True)
class Judged:
    """One trial on one victim, as a pair needs it."""

    experiment_id: int
    number: int
    success: bool
    poison_set: str | None
    linf_255: int | None


def parse(text: str) -> list[list[int]]:
    """ "1,2.3" -> [[1], [2, 3]]: sides by commas, seeds of one side by dots; Invalid otherwise."""
    if not text.strip(", "):
        return []
    if not re.fullmatch(r"\d{1,9}([.,]\d{1,9})*", text):
        raise Invalid.field(
            "ids", "are not ids of experiments", "numbers with commas between, such as 1,2,3"
        )
    sides = [list(dict.fromkeys(int(n) for n in part.split("."))) for part in text.split(",")]
    unique = [side for at, side in enumerate(sides) if side not in sides[:at]]
    if len(unique) > MAX_SIDES:
        raise Invalid.field("ids", f"{len(unique)} are too many", f"compare 2 to {MAX_SIDES}")
    if sum(map(len, unique)) > MAX_EXPERIMENTS:
        raise Invalid.field("ids", f"more than {MAX_EXPERIMENTS} experiments", "pool fewer seeds")
    return unique


def get(session: Session, ids: Sequence[Sequence[int]]) -> Comparison:
    """NotFound names the experiments that are not there; Invalid where there are not two sides."""
    if len(ids) < 2:
        raise Invalid.field("ids", "one cannot be compared", f"name 2 to {MAX_SIDES} experiments")
    wanted = {number for side in ids for number in side}
    statement = select(Experiment).where(Experiment.id.in_(wanted))
    rows = {row.id: row for row in session.scalars(statement)}
    missing = sorted(wanted - set(rows))
    if missing:
        raise NotFound(f"there is no experiment {', '.join(map(str, missing))}")
    members = [[rows[number] for number in side] for side in ids]
    sides = [_side(letter, its) for letter, its in zip(LETTERS, members, strict=False)]
    differences, same = differ(sides, members, titles.checkpoint_models(session))
    results = _results(session, sides, members)
    return Comparison(
        sides=sides,
        differences=differences,
        same=same,
        results=results,
        pairs=_pairs(session, sides, results),
    )


def _side(letter: str, rows: Sequence[Experiment]) -> Side:
    states = list(dict.fromkeys(row.state for row in rows))
    return Side(
        letter=letter,
        ids=[row.id for row in rows],
        title=rows[0].title,
        state=", ".join(states),
        attack=rows[0].attack,
        attack_title=titles.attack(rows[0].attack),
        spec=rows[0].spec,
        is_sequential=any(row.is_sequential for row in rows),
    )


# --- what differs ----------------------------------------------------------------------------


def flatten(value: Any, name: str = "") -> dict[str, Any]:
    """A spec as dotted names; lists of plain values stay whole."""
    if isinstance(value, dict) and value:
        items = value.items()
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        items = ((str(at), item) for at, item in enumerate(value))  # type: ignore[assignment]
    else:
        return {name: value}
    flat: dict[str, Any] = {}
    for key, inner in items:
        flat |= flatten(inner, f"{name}.{key}" if name else str(key))
    return flat


def differ(
    sides: Sequence[Side], members: Sequence[Sequence[Experiment]], models: dict[str, str]
) -> tuple[list[Difference], dict[str, Any]]:
    """The fields that are not the same everywhere, and those that are."""
    flats = list(_fields(sides, models))
    for flat, rows in zip(flats, members, strict=True):
        seeds = list(dict.fromkeys(row.spec.get("seed") for row in rows))
        if len(seeds) > 1:
            flat["seed"] = seeds
    differences, same = [], {}
    names = dict.fromkeys(name for flat in flats for name in flat)
    for name in sorted(names, key=lambda name: name != "attack.name"):
        values = [flat.get(name) for flat in flats]
        its = [flat for side, flat in zip(sides, flats, strict=True) if _has_victim(side, name)]
        is_same = all(name in flat and flat[name] == its[0][name] for flat in its)
        if is_same and len(its) == len(flats):
            same[name] = values[0]
        elif not is_same:
            differences.append(Difference(field=name, values=values))
    return differences, same


def _fields(sides: Sequence[Side], models: dict[str, str]) -> Iterator[dict[str, Any]]:
    """Every side's fields, and the title of each victim that another side lacks as one more."""
    counts = [len(side.spec["victims"]) for side in sides]
    for side in sides:
        flat = flatten(side.spec)
        for number in range(min(counts), len(side.spec["victims"])):
            title = titles.victim(side.spec["victims"][number], models)
            is_only = sum(count > number for count in counts) == 1
            flat[f"victims.{number}"] = f"only here: {title}" if is_only else title
        yield flat


def _has_victim(side: Side, name: str) -> bool:
    """Whether this field is of a victim that the side has, or of none."""
    found = re.match(r"victims\.(\d+)\.", name)
    return found is None or int(found[1]) < len(side.spec["victims"])


# --- what came out ---------------------------------------------------------------------------


def _results(
    session: Session, sides: Sequence[Side], members: Sequence[Sequence[Experiment]]
) -> list[VictimResult]:
    counts = tallies.by_victim(session, [row.id for rows in members for row in rows])
    models = titles.checkpoint_models(session)
    made = []
    for side, rows in zip(sides, members, strict=True):
        its = [Member(row.id, row.spec_hash, row.state, [], row.trials_total) for row in rows]
        for (victim, access), tally in sorted(pooled(its, counts).items()):
            made.append(
                VictimResult(
                    side=side.letter,
                    victim=victim,
                    key=places.column(side.spec, victim),
                    title=titles.victim(side.spec["victims"][victim], models),
                    access=access,
                    success=tally.success,
                    twin=tally.twin,
                    excess=tally.excess,
                    both=tally.both,
                    clean_accuracy=tally.clean_accuracy,
                    twin_clean_accuracy=tally.twin_clean_accuracy,
                )
            )
    return made


# --- pairs on shared setups ------------------------------------------------------------------


def _pairs(session: Session, sides: Sequence[Side], results: Sequence[VictimResult]) -> list[Pair]:
    """Of every two sides, on every victim they have in common; where they have none, on those
    that stand in the same place of their specs.
    """
    judged = {side.letter: _judged(session, side) for side in sides}
    named = {(result.side, result.victim): result.title for result in results}
    made = []
    for first, second in combinations(sides, 2):
        for one, other in _common(first, second, results):
            titles_of = (named[first.letter, one], named[second.letter, other])
            a, b = judged[first.letter].get(one, {}), judged[second.letter].get(other, {})
            made.append(_pair(first, second, titles_of, a, b))
    return made


def _common(first: Side, second: Side, results: Sequence[VictimResult]) -> list[tuple[int, int]]:
    def victims(side: Side) -> dict[int, str]:
        return {result.victim: result.key for result in results if result.side == side.letter}

    one, other = victims(first), victims(second)
    equal = [(i, j) for i, key in one.items() for j, its in other.items() if key == its]
    return equal or [(i, i) for i in one if i in other]


def _judged(session: Session, side: Side) -> dict[int, dict[Setup, Judged]]:
    """By victim and setup; a setup that was carried through twice counts with the first."""
    statement = (
        select(
            Outcome.victim,
            Trial.target_class,
            Trial.target_index,
            Trial.base_class,
            Trial.base_indices,
            Trial.experiment_id,
            Trial.number,
            Outcome.success,
            PoisonSet.sha256,
            Trial.linf_255,
        )
        .join(Trial, Trial.id == Outcome.trial_id)
        .outerjoin(PoisonSet, PoisonSet.id == Trial.poison_set_id)
        .where(Outcome.experiment_id.in_(side.ids))
        .order_by(Trial.experiment_id, Trial.number)
    )
    dataset = side.spec["data"]["dataset"]
    found: dict[int, dict[Setup, Judged]] = defaultdict(dict)
    for row in session.execute(statement):
        victim, target, index, base, bases = row[:5]
        judged = Judged(row[5], row[6], row[7], row[8], row[9])
        found[victim].setdefault((dataset, target, index, base, *(bases or ())), judged)
    return found


def _pair(
    first: Side,
    second: Side,
    victims: tuple[str, str],
    one: dict[Setup, Judged],
    other: dict[Setup, Judged],
) -> Pair:
    shared = [setup for setup in one if setup in other]
    fell = [(one[setup].success, other[setup].success) for setup in shared]
    only_first, only_second = fell.count((True, False)), fell.count((False, True))
    is_sequential = first.is_sequential or second.is_sequential
    p = (stats.mcnemar_sequential if is_sequential else stats.mcnemar)(only_first, only_second)
    a, b = first.letter, second.letter
    sentence = (
        f"On {len(shared)} shared setups, {only_first} fell only to {a}, {only_second} only to "
        f"{b}, {p_value(p)}{stats.MARK * is_sequential}."
        if shared
        else f"{a} and {b} share no setup: another seed, other counts or other data."
    )
    return Pair(
        first=a,
        second=b,
        victims=victims,
        shared=len(shared),
        both=fell.count((True, True)),
        only_first=only_first,
        only_second=only_second,
        p=p,
        is_sequential=is_sequential,
        words=sentence,
        disagreements=[
            _disagreement(a if one[setup].success else b, setup, one[setup], other[setup])
            for setup in shared
            if one[setup].success != other[setup].success
        ],
    )


def p_value(p: float) -> str:
    return f"p = {p:.2g}" if p >= 1e-4 else "p < 0.0001"


def _disagreement(fell_to: str, setup: Setup, one: Judged, other: Judged) -> Disagreement:
    dataset, target, index, base, *_ = setup
    return Disagreement(
        target_class=titles.class_name(dataset, target) or "?",
        target_index=index or 0,
        base_class=titles.class_name(dataset, base) or "?",
        fell_to=fell_to,
        trials=((one.experiment_id, one.number), (other.experiment_id, other.number)),
        poison_sets=(one.poison_set, other.poison_set),
        linf_255=(one.linf_255, other.linf_255),
    )
