"""The list of experiments, those that differ only in their seed as one row, sorted and paged."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from sqlalchemy import ColumnElement, Select, and_, func, or_, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

from app import paging
from app.models import Experiment, OutcomeSum
from app.queries import experiments, tallies, titles
from app.queries.experiments import Filters, narrow
from app.queries.tallies import Key, Tally
from app.schemas import ExperimentSeries, Page

LIST = "experiment series"
PART = 1000  # rows; their experiments are named one by one in a statement, which has a limit
NOT_JUDGED = -1.0  # the rate of what has none yet, where a list is sorted by rates
Sort = Literal["created", "title", "attack", "dataset", "profile", "trials", "seeds", "success"]


class Order(BaseModel):
    """What a list is sorted by. ``success`` is that of the victim most often fooled."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    by: Sort = "created"
    descending: bool = True
    grouped: bool = True  # over seeds
    low: float | None = None  # only where success is within these, as fractions
    high: float | None = None

    @property
    def needs_rates(self) -> bool:
        return self.by == "success" or self.low is not None or self.high is not None

    @property
    def key(self) -> InstrumentedAttribute[Any]:
        """What rows of the list are told apart by."""
        return Experiment.series if self.grouped else Experiment.id


@dataclass(frozen=True)
class Member:
    """An experiment of a row, without its spec."""

    id: int
    spec_hash: str
    state: str
    tags: list[str]
    trials_total: int


# what is sorted by -> the value of a row of the list, and its type
SORTS: dict[str, tuple[ColumnElement[Any], type]] = {
    "created": (func.max(Experiment.id), int),
    "title": (func.min(Experiment.title), str),
    "attack": (func.min(Experiment.attack), str),
    "dataset": (func.min(Experiment.dataset), str),
    "profile": (func.min(Experiment.profile), str),
    "trials": (func.sum(Experiment.trials_total), int),
    "seeds": (func.count(Experiment.spec_hash.distinct()), int),
}


class Listing(Page[ExperimentSeries]):
    """A page; the first one also says how much there is on all together."""

    rows: int | None = None
    experiments: int | None = None


def page(
    session: Session,
    filters: Filters,
    order: Order | None = None,
    cursor: str | None = None,
    limit: int = paging.DEFAULT_LIMIT,
) -> Listing:
    """A cursor of another list, of other filters or of another order is Invalid."""
    chosen = order or Order()
    marks = filters.model_dump(mode="json") | chosen.model_dump()
    kind = SORTS[chosen.by][1] if chosen.by in SORTS else float
    before = paging.decode_sorted(LIST, marks, cursor, kind)
    rows = _rows(filters, chosen).subquery()
    value, newest = rows.c.value, rows.c.newest
    is_first = value.desc() if chosen.descending else value.asc()
    statement = select(rows).order_by(is_first, newest.desc()).limit(limit + 1)
    if before is None:
        totals = (func.count().over(), func.sum(rows.c.members).over())
        statement = statement.add_columns(totals[0].label("all"), totals[1].label("whole"))
    else:
        at, number = before
        is_after = value < at if chosen.descending else value > at
        statement = statement.where(or_(is_after, and_(value == at, newest < number)))
    found = session.execute(statement).all()
    part = paging.cut(
        found,
        limit,
        lambda row: paging.encode(LIST, marks, row.value, row.newest),
        lambda shown: _series(session, filters, chosen, shown),
    )
    total = found[0] if found and before is None else None
    return Listing(
        items=part.items,
        next=part.next,
        rows=total.all if total else None,
        experiments=int(total.whole) if total else None,
    )


def every(
    session: Session, filters: Filters, order: Order, most: int
) -> tuple[list[ExperimentSeries], int]:
    """The first ``most`` rows of the list, and how many there are; read in parts of a thousand."""
    found: list[ExperimentSeries] = []
    part = page(session, filters, order, limit=min(most, PART))
    rows = part.rows or 0
    while True:
        found += part.items
        if part.next is None or len(found) >= most:
            return found, rows
        part = page(session, filters, order, part.next, min(most - len(found), PART))


def _rows(filters: Filters, order: Order) -> Select[Any]:
    """One row for each of the list: its key, its newest experiment, what it is sorted by."""
    key = order.key
    parts = (key.label("key"), func.max(Experiment.id).label("newest"))
    members = func.count().label("members")
    if not order.needs_rates:
        value = SORTS[order.by][0].label("value")
        return narrow(select(*parts, members, value), filters).group_by(key)
    rates = _rates(filters, order).subquery()
    best = func.coalesce(func.max(rates.c.rate), NOT_JUDGED)
    value = (best if order.by == "success" else SORTS[order.by][0]).label("value")
    statement = narrow(select(*parts, members, value), filters)
    statement = statement.outerjoin(rates, rates.c.key == key).group_by(key)
    if order.low is not None:
        statement = statement.having(best >= order.low)
    if order.high is not None:
        statement = statement.having(best.between(0, order.high))
    return statement


def _rates(filters: Filters, order: Order) -> Select[Any]:
    """The best victim's rate for each row of the list; a seed that was run twice counts once."""
    rate = func.sum(OutcomeSum.successes) * 1.0 / func.sum(OutcomeSum.n)
    of_victims = _judged(select(order.key.label("key"), rate.label("rate")), filters)
    if order.grouped:
        run = tuple_(OutcomeSum.experiment_id, OutcomeSum.victim, OutcomeSum.access)
        of_victims = of_victims.where(run.not_in(_superseded(filters)))
    each = of_victims.group_by(order.key, OutcomeSum.victim, OutcomeSum.access).subquery()
    return select(each.c.key, func.max(each.c.rate).label("rate")).group_by(each.c.key)


def _superseded(filters: Filters) -> Select[Any]:
    """Of seeds that were run twice, the runs that did not get furthest, by victim and access.

    Only what shares its spec with another is looked at: most lists have nothing of the kind, and
    ordering all runs by their specs would cost more than the rest of the page.
    """
    twice = select(Experiment.spec_hash).group_by(Experiment.spec_hash).having(func.count() > 1)
    run = (OutcomeSum.victim, OutcomeSum.access, Experiment.id)
    place = func.row_number().over(
        partition_by=(Experiment.spec_hash, OutcomeSum.victim, OutcomeSum.access),
        order_by=(func.sum(OutcomeSum.n).desc(), Experiment.id),
    )
    runs = (
        _judged(select(*run, place.label("place")), filters)
        .where(Experiment.spec_hash.in_(twice))
        .group_by(Experiment.spec_hash, *run)
        .subquery()
    )
    return select(runs.c.id, runs.c.victim, runs.c.access).where(runs.c.place > 1)


def _judged(statement: Select[Any], filters: Filters) -> Select[Any]:
    """What matches, with its outcomes; where an access is asked for, those under it alone."""
    statement = narrow(
        statement.select_from(Experiment).join(
            OutcomeSum, OutcomeSum.experiment_id == Experiment.id
        ),
        filters,
    )
    return statement.where(OutcomeSum.access == filters.access) if filters.access else statement


def _series(
    session: Session, filters: Filters, order: Order, shown: Sequence[Any]
) -> list[ExperimentSeries]:
    """The rows of one page: five queries for any number of them."""
    members = _members(session, filters, order, [row.key for row in shown])
    ids = [member.id for its in members.values() for member in its]
    newest = select(Experiment).where(Experiment.id.in_([row.newest for row in shown]))
    by_id = {row.id: row for row in session.scalars(newest)}
    counts: dict[int, dict[Key, Tally]] = defaultdict(dict)
    for place, tally in tallies.by_victim(session, ids).items():
        counts[place[0]][place] = tally
    done = experiments.trials_done(session, ids)
    models = titles.checkpoint_models(session)
    made = []
    for row in shown:
        its = members[row.key]
        found = {key: tally for one in its for key, tally in counts[one.id].items()}
        made.append(_one(by_id[row.newest], its, pooled(its, found), done, models))
    return made


def _members(
    session: Session, filters: Filters, order: Order, keys: Sequence[Any]
) -> dict[Any, list[Member]]:
    """Of each row of the list, the experiments that match, newest first."""
    columns = (
        Experiment.id,
        Experiment.spec_hash,
        Experiment.state,
        Experiment.tags,
        Experiment.trials_total,
    )
    statement = narrow(select(order.key, *columns).where(order.key.in_(keys)), filters)
    found: dict[Any, list[Member]] = defaultdict(list)
    for key, *rest in session.execute(statement.order_by(Experiment.id.desc())):
        found[key].append(Member(*rest))
    return found


def pooled(members: Sequence[Member], counts: dict[Key, Tally]) -> dict[tuple[int, str], Tally]:
    """Counts by victim and access over members; of a seed run twice, the run that got furthest."""
    hashes = {member.id: member.spec_hash for member in members}
    best: dict[tuple[str, int, str], Tally] = {}
    for (number, victim, access), tally in sorted(counts.items()):
        if number in hashes:
            place = (hashes[number], victim, access)
            if place not in best or tally.n > best[place].n:
                best[place] = tally
    total: dict[tuple[int, str], Tally] = {}
    for (_, victim, access), tally in best.items():
        there = total.get((victim, access))
        total[(victim, access)] = there + tally if there else tally
    return total


def _one(
    row: Experiment,
    members: Sequence[Member],
    found: dict[tuple[int, str], Tally],
    done: dict[int, int],
    models: dict[str, str],
) -> ExperimentSeries:
    counts = {(row.id, victim, access): tally for (victim, access), tally in found.items()}
    return ExperimentSeries(
        newest=experiments.summary(row, counts, done.get(row.id, 0), models),
        ids=[member.id for member in members],
        seeds=len({member.spec_hash for member in members}),
        states=dict(Counter(member.state for member in members)),
        trials_total=sum(member.trials_total for member in members),
        trials_done=sum(done.get(member.id, 0) for member in members),
        tags=list(dict.fromkeys(tag for member in members for tag in member.tags)),
        notes=row.notes,
        spec=row.spec,
    )
