"""How a leaderboard is put together from what was counted: columns, rows and cells. No SQL here."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from app import places, published
from app.board_schemas import (
    Leaderboard,
    LeaderboardCell,
    LeaderboardColumn,
    LeaderboardRow,
    PublishedRate,
)
from app.queries import answers, titles
from app.queries.tallies import Tally
from poisoning import catalog
from poisoning.published import Published

ACCESS_TITLES = {"white_box": "White box", "grey_box": "Grey box", "black_box": "Black box"}
ACCESS_ORDER = tuple(ACCESS_TITLES)
BOUNDED = ("linf", "linf_outside_trigger")
Spec = dict[str, Any]
Printed = Callable[[str, float | None], Published | None]


@dataclass(frozen=True)
class Measured:
    """One attack on one victim with one access, pooled, and where an example of it is."""

    board: str
    row: str
    column: str
    access: str
    experiment_id: int
    victim: int
    experiment_ids: tuple[int, ...]  # ascending
    tally: Tally


@dataclass(frozen=True)
class Cost:
    """Sums over the done trials of a row's experiments; the largest l-infinity change."""

    trials: int
    seconds: float
    linf_255: int
    mean_l2: float
    ssim: float


Costs = dict[tuple[str, str], Cost]  # by board and row


@dataclass(frozen=True)
class Source:
    """What the boards are drawn from, loaded together."""

    attacks: dict[int, dict[str, Any]]  # of every example, by its experiment
    specs: dict[int, Spec]  # of those that ``places`` names
    models: dict[str, str]
    costs: Costs

    def victim(self, measured: Measured) -> dict[str, Any]:
        its: dict[str, Any] = self.specs[measured.experiment_id]["victims"][measured.victim]
        return its

    def attack(self, measured: Measured) -> dict[str, Any]:
        return self.attacks[measured.experiment_id]

    def is_control(self, measured: Measured) -> bool:
        return places.is_control(self.attack(measured)["name"])


def build(key: str, found: Sequence[Measured], source: Source) -> Leaderboard:
    """One board, of what was measured on it."""
    shown = columns_of(found, source.attacks)
    first = shown[0]
    spec, victim = source.specs[first.experiment_id], source.victim(first)
    columns = _columns(shown, source)
    by_row: dict[str, list[Measured]] = defaultdict(list)
    for one in found:
        by_row[one.row].append(one)
    printed = [_printed_in(place, source) for place in shown]
    rows = sorted((_row(its, shown, printed, source) for its in by_row.values()), key=_order)
    data = titles.dataset(spec["data"]["dataset"])
    regime = titles.REGIMES.get(victim["regime"], victim["regime"])
    return Leaderboard(
        key=key,
        title=f"{data}, {regime}",
        dataset=spec["data"]["dataset"],
        profile=spec["profile"],
        precision=spec["precision"],
        protocol=in_words(spec, victim),
        answer=answers.of_board(columns, rows),
        columns=columns,
        rows=rows,
    )


def columns_of(found: Sequence[Measured], attacks: dict[int, dict[str, Any]]) -> list[Measured]:
    """The columns, an example of each: every access and victim an attack met.

    The control does not craft on anything, so it has no access of its own: it stands in the
    columns of its victims. Where nothing but the control was run, its own are shown.
    """
    crafted = [m for m in found if not places.is_control(attacks[m.experiment_id]["name"])]
    shown = crafted or found
    unique: dict[tuple[str, str], Measured] = {}
    for one in shown:
        unique.setdefault((one.access, one.column), one)
    return sorted(
        unique.values(), key=lambda m: (ACCESS_ORDER.index(m.access), m.experiment_id, m.victim)
    )


def _columns(shown: Sequence[Measured], source: Source) -> list[LeaderboardColumn]:
    named = [(m.access, titles.victim(source.victim(m), source.models)) for m in shown]
    columns = []
    for one, (access, subtitle) in zip(shown, named, strict=True):
        is_twice = named.count((access, subtitle)) > 1
        name = source.victim(one).get("checkpoint")
        columns.append(
            LeaderboardColumn(
                key=f"{access}-{one.column}",
                title=ACCESS_TITLES[access],
                subtitle=f"{subtitle} ({name})" if is_twice else subtitle,
                access=access,
                regime=source.victim(one)["regime"],
            )
        )
    return columns


def _row(
    found: Sequence[Measured],
    shown: Sequence[Measured],
    printed: Sequence[Printed],
    source: Source,
) -> LeaderboardRow:
    attack = source.attack(found[0])
    knobs = {k: v for k, v in attack.items() if k != "name"}
    name = attack["name"]
    known = catalog.ATTACKS.get(name)
    cost = source.costs.get((found[0].board, found[0].row))
    is_control = source.is_control(found[0])
    return LeaderboardRow(
        key=found[0].row,
        attack=name,
        title=known.title if known else name,
        short=known.short if known else name,
        color=known.color if known else "#000000",
        marker=known.marker if known else "cross",
        budget=_budget(known, knobs),
        is_ranked=bool(
            known and known.budget in BOUNDED and not {"reference", "control"} & set(known.tags)
        ),
        knobs=knobs,
        linf_255=cost.linf_255 if cost else None,
        cells=[
            _cell(found, place, is_control, of(name, knobs.get("eps_255")))
            for place, of in zip(shown, printed, strict=True)
        ],
        craft_seconds=cost.seconds / cost.trials if cost else None,
        mean_l2=cost.mean_l2 / cost.trials if cost else None,
        ssim=cost.ssim / cost.trials if cost else None,
    )


def _budget(known: catalog.Attack | None, knobs: dict[str, Any]) -> str:
    if known and known.budget == "unbounded":
        return "unbounded"
    return f"eps {knobs['eps_255']:g}/255" if "eps_255" in knobs else "none"


def _printed_in(place: Measured, source: Source) -> Printed:
    """What others published in a column, by an attack's name and its eps."""
    spec, victim = source.specs[place.experiment_id], source.victim(place)
    model = titles.model(titles.victim_model(victim, source.models))
    setups, profile = spec["data"]["setups"], spec["profile"]
    return lambda attack, eps: published.of(setups, profile, attack, eps, place.access, model)


def _cell(
    found: Sequence[Measured], place: Measured, is_control: bool, printed: Published | None
) -> LeaderboardCell | None:
    here = [
        m for m in found if m.column == place.column and (m.access == place.access or is_control)
    ]
    if not here:
        return None
    tally, ids = here[0].tally, list(here[0].experiment_ids)
    for more in here[1:]:
        tally = tally + more.tally
        ids = sorted({*ids, *more.experiment_ids})
    return LeaderboardCell(
        success=tally.success,
        twin=tally.twin,
        excess=tally.excess,
        clean_accuracy=tally.clean_accuracy,
        twin_clean_accuracy=tally.twin_clean_accuracy,
        experiment_ids=ids,
        published=_printed(printed),
    )


def _printed(its: Published | None) -> PublishedRate | None:
    if its is None or its.percent is None:
        return None
    return PublishedRate(percent=its.percent, n=its.n, label=its.label, source=its.source)


def _order(row: LeaderboardRow) -> tuple[float, ...]:
    """Ranked attacks first, then those that are only measured, then the control; each best first
    in the first column, ties by the next; what was not measured comes last.
    """
    group = 0 if row.is_ranked else 2 if places.is_control(row.attack) else 1
    return (group, *(-cell.success.rate if cell else 1.0 for cell in row.cells))


def in_words(spec: Spec, victim: dict[str, Any]) -> str:
    """A protocol, in words."""
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
