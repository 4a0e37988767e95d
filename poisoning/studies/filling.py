"""From trials to the cells of a study's tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from poisoning import catalog, stats
from poisoning.events import OutcomeResult, TrialDone
from poisoning.profiles import Scale
from poisoning.published import NOTHING, Published
from poisoning.results import Results
from poisoning.spec import ExperimentSpec, spec_hash
from poisoning.stats import Estimate
from poisoning.tables import Cell, Table

if TYPE_CHECKING:
    from poisoning.studies.study import Line, Place

ACCESSES = ("white box", "grey box", "black box")
Fallen = dict[tuple[int, int, int], bool]  # by trial, target and base class


def tables(
    lines: Sequence["Line"],
    found: Sequence[Results],
    scale: Scale,
    left_out: Sequence[str] = (),
) -> list[Table]:
    """One for every title among the lines' places, in their order; each names the experiments that
    are ``left_out`` of the profile.

    An experiment is known by its spec whatever its trials: it may have been extended.
    """
    known = {_identity(results.spec): results for results in found}
    placed = [(place, line) for line in lines for place in line.places]
    titles = dict.fromkeys(place.table for place, _ in placed)
    placed.sort(key=lambda pair: list(titles).index(pair[0].table))
    made = []
    for title, pairs in groupby(placed, key=lambda pair: pair[0].table):
        rows = [(place, line, known.get(_identity(line.spec))) for place, line in pairs]
        notes = _notes(scale, lines)
        if left_out:
            notes += (f"Left to the paper profile for their cost: {'; '.join(left_out)}.",)
        made.append(Table.of_cells(title, _cells(rows, scale), notes))
    return made


def _identity(spec: ExperimentSpec) -> str:
    return spec_hash(spec.model_copy(update={"trials": 1}))


def _notes(scale: Scale, lines: Sequence["Line"]) -> tuple[str, ...]:
    if scale.is_compared:
        return ()
    if scale.is_shown_beside_published:
        return ("Not the published setting: published values are shown, and not compared.",)
    data = dict.fromkeys(catalog.dataset(line.spec.data.dataset).title for line in lines)
    return (
        f"Only that everything works is checked, on {' and '.join(data)} and small networks: "
        "these rates mean nothing and stand beside no published one.",
    )


Row = tuple["Place", "Line", Results | None]


def _cells(rows: Sequence[Row], scale: Scale) -> tuple[Cell, ...]:
    fallen = {(place.row, place.column): _fallen(place, found) for place, _, found in rows}
    looked = {(place.row, place.column) for place, _, its in rows if its and its.is_sequential}
    cells = []
    for place, line, found in rows:
        published = place.published if scale.is_shown_beside_published else NOTHING
        reference = fallen.get(place.reference) if place.reference else None
        is_either = bool({(place.row, place.column), place.reference} & looked)
        judged = Judging(scale.is_compared, reference, is_either)
        cells.append(_cell(place, line, found, published, judged))
    return tuple(cells)


@dataclass(frozen=True)
class Judging:
    """Whether and how a cell is compared; ``is_sequential``: n was not fixed before anybody
    looked, here or at the cell it is relative to.
    """

    is_compared: bool
    reference: list[Fallen] | None
    is_sequential: bool


def _cell(
    place: "Place", line: "Line", found: Results | None, published: Published, judging: Judging
) -> Cell:
    planned, trials = (found or line).spec.trials, _trials(found)
    is_sequential = found is not None and found.is_sequential
    blank = Cell(place.row, place.column, line.title, place.victims, planned, published=published,
                 note=place.note)  # fmt: skip
    if not trials:
        return blank
    hits = [[_hit(t, v, place.variant) for t in trials] for v in place.victims]
    twins = [[_twin_hit(t, v, place.variant) for t in trials] for v in place.victims]
    outcomes = [trial.outcomes[v] for trial in trials for v in place.victims]
    access = _access(outcomes)
    measured = stats.mean_over_victims(hits, is_sequential=is_sequential)
    excess, excess_interval = stats.mean_excess(hits, twins, is_sequential=is_sequential)
    n = len(trials)
    mine = _fallen(place, found)
    verdict = ""
    if judging.is_compared:
        verdict = judge(measured, published, mine, judging.reference, judging.is_sequential)
    return Cell(
        place.row, place.column, line.title, place.victims, planned, n, access,
        sum(map(sum, hits)) / len(hits), measured.interval, sum(map(sum, twins)) / len(twins),
        excess, excess_interval,
        sum(o.poisoned.clean_accuracy for o in outcomes) / len(outcomes),
        sum(o.twin.clean_accuracy for o in outcomes) / len(outcomes),
        max(trial.linf_255 for trial in trials), sum(trial.ssim for trial in trials) / n,
        published, verdict, place.note or _as_printed(place.column, access),
    )  # fmt: skip


def _trials(found: Results | None) -> list[TrialDone]:
    return sorted(found.trials, key=lambda trial: trial.index) if found else []


def _access(outcomes: Sequence[OutcomeResult]) -> str:
    """As computed; of several victims all that there are."""
    return ", ".join(dict.fromkeys(o.access.replace("_box", " box").replace("_", " ")
                                   for o in outcomes))  # fmt: skip


def _as_printed(column: str, access: str) -> str:
    """A note where a column is called after another access than what was computed."""
    named = next((word for word in ACCESSES if column.startswith(word)), None)
    if named is None or named == access:
        return ""
    return f'printed as "{named}"; computed: {access}'


def _hit(trial: TrialDone, victim: int, variant: str | None) -> bool:
    outcome = trial.outcomes[victim]
    if variant is None:
        return outcome.success
    return outcome.extras.variants.get(variant) == trial.setup.base_class


def _twin_hit(trial: TrialDone, victim: int, variant: str | None) -> bool:
    outcome = trial.outcomes[victim]
    if variant is None:
        return outcome.twin_success
    return outcome.extras.twin_variants.get(variant) == trial.setup.base_class


def _fallen(place: "Place", found: Results | None) -> list[Fallen]:
    """Of each victim: which targets fell. The same target for the same class is the same setup
    to a pair, though its bases may be more or others.
    """
    trials = _trials(found)
    return [
        {
            (t.index, t.setup.target_index, t.setup.base_class): _hit(t, victim, place.variant)
            for t in trials
        }
        for victim in place.victims
    ]


# --- what can be said of a published statement ------------------------------------------------


def judge(
    measured: Estimate,
    published: Published,
    mine: Sequence[Fallen] = (),
    reference: Sequence[Fallen] | None = None,
    is_sequential: bool = False,
) -> str:
    """In words: of a rate with its n the difference, of a bound or a direction whether it holds.

    ``is_sequential``: n was not fixed before anybody looked, here or at the reference.

    Empty where nothing is on record that could be compared.
    """
    if published.percent is not None and published.n:
        theirs = stats.estimate(published.percent * published.n / 100, published.n)
        return stats.compare(measured, theirs).words
    if published.below is not None:
        return _bound(measured, published.below / 100)
    if published.direction is not None and reference:
        sign = 1 if published.direction == "higher" else -1
        return _direction(sign, mine, reference, is_sequential)
    return ""


def _bound(measured: Estimate, below: float) -> str:
    interval = measured.interval
    if interval.high < below:
        return f"agrees: below {100 * below:g}"
    if interval.low > below:
        return f"differs: above {100 * below:g}"
    return f"cannot tell at n = {measured.n}"


def _direction(
    sign: int, mine: Sequence[Fallen], reference: Sequence[Fallen], is_sequential: bool
) -> str:
    """By the paired difference to the reference cell, on the setups that both have."""
    shared = [key for key in mine[0] if key in reference[0]] if mine else []
    if not shared or len(mine) != len(reference):
        return "cannot tell: no shared setups"
    gap, interval = stats.mean_excess(
        [[one[key] for key in shared] for one in mine],
        [[one[key] for key in shared] for one in reference],
        is_sequential=is_sequential,
    )
    points = f"{100 * gap:+.1f} points [{100 * interval.low:+.1f}, {100 * interval.high:+.1f}]"
    if interval.low > 0 or interval.high < 0:
        return f"{'agrees' if gap * sign > 0 else 'differs'}: {points}"
    return f"cannot tell at n = {len(shared)}; {points}"
