"""Sweeps: launched whole or as far as their design says, gone on with, cancelled.

Each call is one transaction's work. An adaptive sweep goes on by ``advance``, which workers call
whenever they look around: it launches nothing but what follows from the database, under a lock of
the sweep's row, so that it may be called by several at once and cut off at any moment.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import get_args

from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.errors import Conflict, FieldProblem, Invalid
from app.models import Experiment, Sweep
from app.queries import sweeps as queries
from app.requests import LaunchRequest, SweepRequest
from app.schemas import Estimate
from app.services import estimate as costs
from app.services import experiments, idempotency, states
from app.settings import Settings
from poisoning import catalog, dose
from poisoning.dose import words
from poisoning.spec import ExperimentSpec, FieldError, vary

DOSES = frozenset(get_args(dose.DoseField))
HIGHEST_FLOOR = 0.95  # few trials may say that every twin falls; a design needs room above it


def launch(session: Session, settings: Settings, request: SweepRequest, now: datetime) -> Sweep:
    """Write a sweep and its experiments down, or nothing of it; an adaptive one's first.

    Invalid names the request's field: ``values``, ``field``, ``design``, ``budget``, or one of the
    spec's under ``spec``.
    """
    swept, specs = _checked(request)
    row = Sweep(
        title=request.title.strip() or title_of(request.spec, swept.field),
        notes=request.notes,
        tags=list(dict.fromkeys(request.tags)),
        field=swept.field,
        ladder=list(swept.values),
        design=request.design,
        budget=request.budget,
        spec=request.spec.model_dump(mode="json"),
        created_at=now,
    )
    session.add(row)
    session.flush()
    if request.design == "adaptive":
        specs = [_next(session, row)]
    for spec in specs:
        _launch_rung(session, settings, row, spec, now)
    return row


def launch_once(
    session: Session,
    settings: Settings,
    request: SweepRequest,
    now: datetime,
    caller: str,
    key: str | None,
) -> Sweep:
    """``launch``, but a repeated key with the same request gives the same sweep."""
    if key is None:
        return launch(session, settings, request, now)
    body = ["sweeps", request.model_dump(mode="json")]
    kept = idempotency.reserve(session, caller, key, body, now)
    if kept.sweep_id is not None:
        return queries.find(session, kept.sweep_id)
    row = launch(session, settings, request, now)
    kept.sweep_id = row.id
    return row


def advance(
    session: Session, settings: Settings, sweep_id: int, now: datetime
) -> Experiment | None:
    """Launch an adaptive sweep's next experiment if it is due; None where it is not.

    What refuses it (a data set that is gone, memory) is written down, and the sweep waits for
    ``retry``.
    """
    row = session.scalar(select(Sweep).where(Sweep.id == sweep_id).with_for_update())
    if row is None or sweep_id not in queries.due(session):
        return None
    try:
        with session.begin_nested():
            return _launch_rung(session, settings, row, _next(session, row), now)
    except Invalid as refused:
        row.error = refused.detail
        return None


def cancel(session: Session, sweep_id: int, now: datetime) -> Sweep:
    """Stop all of its experiments, and launch no further one. Finished trials stay."""
    row = _locked(session, sweep_id)
    open_ids = [e.id for e in queries.rungs(session, [row.id]) if e.state not in states.FINAL]
    if not open_ids and (row.cancelled_at or sweep_id not in queries.due(session)):
        raise Conflict(f"sweep {sweep_id} has ended; there is nothing to cancel")
    row.cancelled_at = row.cancelled_at or now
    session.flush()
    for experiment_id in open_ids:
        experiments.cancel(session, experiment_id, now)
    return queries.find(session, sweep_id)


def retry(session: Session, settings: Settings, sweep_id: int, now: datetime) -> Sweep:
    """Queue what its experiments have not done, and go on where an adaptive one stopped."""
    row = _locked(session, sweep_id)
    its = queries.rungs(session, [row.id])
    again = [e.id for e in its if e.state in ("failed", "cancelled")]
    was_stopped = row.cancelled_at is not None or row.error is not None
    row.cancelled_at = row.error = None
    session.flush()
    if not again and not (was_stopped and sweep_id in queries.due(session)):
        raise Conflict(f"sweep {sweep_id} has nothing to retry")
    for experiment_id in again:
        experiments.retry(session, settings, experiment_id, now)
    return queries.find(session, sweep_id)


def estimate(session: Session, settings: Settings, request: SweepRequest) -> Estimate:
    """What all of its experiments cost; of an adaptive sweep the most it can.

    Invalid as ``launch``.
    """
    swept, specs = _checked(request)
    found = []
    for value, spec in zip(swept.values, specs, strict=True):
        with _at(swept.field, value):
            experiments.check_data(settings, spec)
            found.append(costs.estimate(session, settings, spec))
    if request.design == "adaptive" and request.budget:
        dearest = max(found, key=lambda one: one.craft_seconds + one.victim_seconds)
        found = [dearest] * -(-request.budget // request.spec.trials)
    pretraining = max(one.pretrain_seconds for one in found)
    craft, victims = (
        sum(getattr(one, part) for one in found) for part in ("craft_seconds", "victim_seconds")
    )
    many = f"{len(found)} experiment{'' if len(found) == 1 else 's'}"
    most = ", each as dear as the dearest" if request.design == "adaptive" else ""
    return Estimate(
        seconds=pretraining + craft + victims,
        craft_seconds=craft,
        victim_seconds=victims,
        pretrain_seconds=pretraining,
        basis=f"{many}{most}; {found[0].basis}",
        batches=sum(one.batches for one in found),
        memory_mib=max(one.memory_mib for one in found),
    )


def title_of(spec: ExperimentSpec, field: dose.DoseField) -> str:
    """ "Bullseye Polytope on CIFAR-10 over the number of poisons" """
    attack, dataset = catalog.attack(spec.attack.name), catalog.dataset(spec.data.dataset)
    return f"{attack.title} on {dataset.title} over the {words.FIELDS[field]}"


# --- inside -----------------------------------------------------------------------------------


def _locked(session: Session, sweep_id: int) -> Sweep:
    queries.find(session, sweep_id)
    return session.scalars(select(Sweep).where(Sweep.id == sweep_id).with_for_update()).one()


def _checked(request: SweepRequest) -> tuple[dose.Sweep, list[ExperimentSpec]]:
    """The sweep and its specs, by rising value; Invalid where one of them cannot be."""
    try:
        swept = dose.Sweep(field=request.field, values=tuple(request.values))
    except ValidationError as error:
        message = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise Invalid.field("values", message, "e.g. 1, 2, 5, 10") from None
    try:
        specs = swept.specs(request.spec)
    except FieldError as error:
        field = "values" if error.message.startswith("at ") else "field"
        raise Invalid.field(field, error.message, error.remedy) from None
    _check_design(request)
    return swept, specs


def _check_design(request: SweepRequest) -> None:
    if request.design == "grid":
        if request.budget is not None:
            raise Invalid.field(
                "budget",
                "a grid runs its trials at every value",
                "leave it empty, or choose the adaptive design",
            )
        return
    if len(request.values) < 2:
        raise Invalid.field("values", "an adaptive sweep chooses among several", "name some more")
    if request.budget is None or request.budget < request.spec.trials:
        raise Invalid.field(
            "budget",
            "an adaptive sweep needs to know how many trials it may take in all",
            f"at least the {request.spec.trials} of one step; ten steps are a good start",
        )
    if request.spec.data.setups != "drawn":
        raise Invalid.field(
            "design",
            "an adaptive sweep takes other setups when it comes back to a value, and a "
            "benchmark's list has no others",
            "choose the grid, or setups drawn from the seed",
        )


def _next(session: Session, row: Sweep) -> ExperimentSpec:
    """Where the design measures next, by the first victim; a value again on other setups."""
    spec = ExperimentSpec.model_validate(row.spec)
    found = queries.measured(session, row)
    values = {queries.dose_of(row, value): value for value in row.ladder}
    results = {at.dose: (at.successes, at.trials) for at in found}
    floor = min(dose.floor_of(found), HIGHEST_FLOOR)
    value = values[dose.next_dose(list(values), results, floor)]
    its = queries.rungs(session, [row.id])
    before = sum(queries.value_of(row, experiment) == value for experiment in its)
    left = (row.budget or 0) - sum(experiment.trials_total for experiment in its)
    return vary(
        spec,
        {
            row.field: int(value) if value == int(value) else value,
            "seed": (spec.seed + before) % 2**31,
            "trials": min(spec.trials, left),
        },
    )


def _launch_rung(
    session: Session, settings: Settings, row: Sweep, spec: ExperimentSpec, now: datetime
) -> Experiment:
    part, name = row.field.split(".")
    value = spec.model_dump()[part][name]
    again = "" if spec.seed == row.spec["seed"] else f", seed {spec.seed}"
    title = f"{row.title}: {words.at_value(queries.field_of(row), value)}{again}"
    request = LaunchRequest(spec=spec, title=title[:200], notes=row.notes, tags=row.tags)
    with _at(row.field, value):
        return experiments.launch(session, settings, request, now, sweep_id=row.id)


@contextmanager
def _at(field: str, value: float) -> Iterator[None]:
    """Errors of one experiment, as a sweep's request has them; with the value where it matters."""
    try:
        yield
    except Invalid as error:
        at = f"at {field} = {value:g}: "
        raise Invalid(
            [
                FieldProblem(
                    field=f"spec.{one.field}",
                    message=(at if one.field in DOSES else "") + one.message,
                    remedy=one.remedy,
                )
                for one in error.errors
            ]
        ) from None
