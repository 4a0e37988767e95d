"""One trial: the target, what each victim and its twin call it, the poisons beside their bases."""

from dataclasses import dataclass

from fastapi import APIRouter, Query, Request, Response

from app.queries import curves, experiments, explanations, provenances, titles, trials
from app.schemas import OutcomeView, TrialView
from app.storage import NotStored, Store
from app.web import alignment, images, making, why, words
from app.web.doors import Clock, Reading, StoreOf
from app.web.render import page
from poisoning import catalog

router = APIRouter()
ZOOMS = (2, 3, 4, 6)
OPEN = ("queued", "running", "waiting")
MAX_COLUMNS = 200
POISON_PX, TARGET_PX, CLOSELY_PX = (
    96,
    192,
    256,
)  # about as large as drawn, in whole multiples of the image


@dataclass(frozen=True)
class Column:
    """One poison: where its three pictures are."""

    index: int
    base: str | None
    poison: str
    difference: str | None


@dataclass(frozen=True)
class Gallery:
    """What the page draws; sizes are whole multiples of the image's own."""

    target: str
    patched: str | None  # a backdoor's target with its trigger on
    columns: list[Column]
    factor: int
    zoom: int
    side: int
    large: int
    closely: int
    hidden: int


@dataclass(frozen=True)
class Closely:
    """One poison of the gallery, large."""

    number: int  # in the set
    total: int
    index: int  # of its base, in the train split
    base: str | None
    poison: str
    difference: str | None
    side: int
    stem: str  # of the names its pictures are saved under

    @property
    def before(self) -> int | None:
        return self.number - 1 if self.number > 0 else None

    @property
    def after(self) -> int | None:
        return self.number + 1 if self.number + 1 < self.total else None


@dataclass(frozen=True)
class Asked:
    """What one network calls the target as it is and transformed; True where that is the base
    class.
    """

    who: str
    is_twin: bool
    answers: list[tuple[str, str, bool]]  # transformation, class, whether it is the base class


@router.get("/experiments/{experiment_id}/trials/{number}")
def show(
    request: Request,
    session: Reading,
    store: StoreOf,
    now: Clock,
    experiment_id: int,
    number: int,
    zoom: int | None = Query(None, ge=1, le=8),
    poison: int = Query(0, ge=0, lt=2**31),
) -> Response:
    item = experiments.get(session, experiment_id, now)
    trial = trials.get(session, experiment_id, number)
    shown, explained = gallery(store, trial, zoom), explanations.of_trial(session, trial.id)
    return page(
        request,
        "trials/detail.html",
        item=item,
        trial=trial,
        answer=answer(trial, is_backdoor(item.attack)),
        is_backdoor=is_backdoor(item.attack),
        budget=catalog.ATTACKS[item.attack].budget if item.attack in catalog.ATTACKS else "",
        asked=asked(trial, item.dataset),
        gallery=shown,
        closely=closely(shown, trial, poison) if shown else None,
        zoomed=f"&zoom={zoom}" if zoom else "",
        why=[
            why.of(trial, outcome, explained[outcome.victim])
            for outcome in trial.outcomes
            if outcome.victim in explained
        ],
        alignment=alignment.of(trial, item.spec["attack"], curves.of_crafting(session, trial.id))
        if alignment.is_measured(item.attack)
        else None,
        making=making.of(
            trial, provenances.of(session, trials.made_under(trial)), str(item.attack)
        ),
        times=making.times(trial),
        zoom=shown.zoom if shown else None,
        zooms=ZOOMS,
        before=number - 1 if number > 0 else None,
        after=number + 1 if number + 1 < item.trials_total else None,
        is_live=item.state in OPEN and trial.state in OPEN,
    )


def closely(shown: Gallery, trial: TrialView, number: int) -> Closely:
    """Poison ``number`` of the gallery; its last where there are fewer."""
    column = shown.columns[min(number, len(shown.columns) - 1)]
    number = shown.columns.index(column)
    return Closely(
        number=number,
        total=len(shown.columns),
        index=column.index,
        base=column.base,
        poison=column.poison,
        difference=column.difference,
        side=shown.closely,
        stem=f"experiment-{trial.experiment_id}-trial-{trial.number}-{column.index}",
    )


def is_backdoor(attack: str) -> bool:
    row = catalog.ATTACKS.get(attack)
    return row is not None and row.is_backdoor


def answer(trial: TrialView, has_trigger: bool) -> str:
    """The page's first line: who is fooled, and whether the poisons did it."""
    if trial.state != "done":
        return f"Trial {trial.number} is {trial.state}."
    what = "the patched target" if has_trigger else "the target"
    kinds = [outcome.access for outcome in trial.outcomes]
    return " ".join(
        _sentence(trial, outcome, what, is_only=kinds.count(outcome.access) == 1)
        for outcome in trial.outcomes
    )


def _sentence(trial: TrialView, outcome: OutcomeView, what: str, *, is_only: bool) -> str:
    who = f"{words.access(outcome.access).lower().replace(' ', '-')} victim"
    who = who if is_only else f"{who} ({outcome.title})"
    if not outcome.success:
        return f"The {who} is not fooled: it calls {what} {outcome.prediction_name}."
    twin = (
        "so does its clean twin, so the poisons need not be the cause"
        if outcome.twin_success
        else f"its clean twin calls it {outcome.twin_prediction_name}"
    )
    return (
        f"The {who} is fooled: it calls {what}, {trial.target_name}, "
        f"{outcome.prediction_name} with {words.percent(outcome.confidence)} % confidence; {twin}."
    )


def asked(trial: TrialView, dataset: str) -> list[Asked]:
    """What each victim and its twin call the transformed target, where they were asked."""
    found = []
    for outcome in trial.outcomes:
        extras = outcome.extras
        if extras is None or not extras.variants:
            continue
        who = f"{words.access(outcome.access)}: {outcome.title}"
        for is_twin, plain, variants in (
            (False, outcome.prediction, extras.variants),
            (True, outcome.twin_prediction, extras.twin_variants),
        ):
            called = {"as it is": plain} | {words.variant(k): v for k, v in variants.items()}
            answers = [
                (how, titles.class_name(dataset, number) or "", number == trial.base_class)
                for how, number in called.items()
            ]
            found.append(Asked(who, is_twin, answers))
    return found


def gallery(store: Store, trial: TrialView, zoom: int | None) -> Gallery | None:
    """Where the pictures of a trial are; None where its poison set is not on this server."""
    if trial.poison_set is None:
        return None
    try:
        pictures = images.find(store, trial.poison_set)
    except NotStored:
        return None
    zoom = zoom or max(1, POISON_PX // pictures.size)
    root = f"/poison-sets/{trial.poison_set}"
    indices = trial.base_indices or []
    columns = [
        Column(
            index=indices[j] if j < len(indices) else j,
            base=f"{root}/base/{j}.png" if pictures.bases is not None else None,
            poison=f"{root}/poison/{j}.png",
            difference=f"{root}/difference/{j}.png" if pictures.bases is not None else None,
        )
        for j in range(min(len(pictures.poisons), MAX_COLUMNS))
    ]
    return Gallery(
        target=f"{root}/target/0.png",
        patched=f"{root}/patched/0.png" if pictures.patched is not None else None,
        columns=columns,
        factor=pictures.factor,
        zoom=zoom,
        side=pictures.size * zoom,
        large=pictures.size * max(1, TARGET_PX // pictures.size),
        closely=pictures.size * max(1, CLOSELY_PX // pictures.size),
        hidden=len(pictures.poisons) - len(columns),
    )
