"""What the address of the list of experiments may say: filters, order, columns."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from app import places
from app.queries.experiment_list import Order, Sort
from app.queries.experiments import Filters
from app.schemas import ExperimentSeries
from app.web import forms, words
from poisoning import catalog

OPEN = ("queued", "waiting", "running")
STATES = (*OPEN, "done", "failed", "cancelled")
State = Literal["queued", "waiting", "running", "done", "failed", "cancelled"]
ACCESSES = [(name, title) for name, title in words.ACCESS.items()]


@dataclass(frozen=True)
class Column:
    """A column somebody may choose; ``sort`` is what its head sorts by."""

    key: str
    title: str
    sort: str | None = None
    is_number: bool = False


COLUMNS = [
    Column("state", "State"),
    Column("attack", "Attack", "attack"),
    Column("data", "Data · profile", "dataset"),
    Column("budget", "Budget eps", is_number=True),
    Column("poisons", "Poisons / images", is_number=True),
    Column("seeds", "Seeds", "seeds", is_number=True),
    Column("trials", "Trials", "trials"),
    Column("success", "Success per victim, % ± SE", "success"),
    Column("interval", "95 % interval, %", is_number=True),
    Column("twin", "Twin, %", is_number=True),
    Column("excess", "Excess over twin, points", is_number=True),
    Column("clean", "Clean accuracy, %", is_number=True),
    Column("tags", "Tags"),
    Column("notes", "Notes"),
    Column("study", "Study", is_number=True),
    Column("created", "Created", "created", is_number=True),
]
DEFAULT_COLUMNS = ("state", "attack", "data", "trials", "success", "interval", "tags", "created")
ColumnKey = Literal[
    "state", "attack", "data", "budget", "poisons", "seeds", "trials", "success", "interval",
    "twin", "excess", "clean", "tags", "notes", "study", "created",
]  # fmt: skip
SORTS = [
    ("created", "newest"),
    ("success", "success"),
    ("title", "title"),
    ("attack", "attack"),
    ("dataset", "data set"),
    ("profile", "profile"),
    ("trials", "trials"),
    ("seeds", "seeds"),
]
# parameter, label, options
CHOICES: list[tuple[str, str, list[tuple[str, str]]]] = [
    ("state", "State", [(state, state) for state in STATES]),
    ("attack", "Attack", forms.choice(catalog.ATTACKS)),
    ("dataset", "Data set", forms.choice(catalog.DATASETS)),
    ("profile", "Profile", [(profile, profile) for profile in words.PROFILES]),
    ("precision", "Precision", forms.PRECISIONS),
    ("regime", "Regime", [(name, title) for name, title in words.REGIME.items()]),
    ("access", "Access", ACCESSES),
]


def _empty_is_none(value: Any) -> Any:
    return None if isinstance(value, str) and not value.strip() else value


# a field of a form: left empty it says nothing
Empty = BeforeValidator(_empty_is_none)
Percent = Annotated[float, Field(ge=0, le=100)]


class Asked(BaseModel):
    """The query of the page. Everything it shows follows from it."""

    model_config = ConfigDict(extra="forbid")
    state: Annotated[State | None, Empty] = None
    attack: Annotated[str | None, Field(max_length=80), Empty] = None
    dataset: Annotated[str | None, Field(max_length=80), Empty] = None
    profile: Annotated[Literal["smoke", "quick", "paper"] | None, Empty] = None
    precision: Annotated[Literal["exact", "fast"] | None, Empty] = None
    regime: Annotated[Literal["frozen", "end_to_end", "from_scratch"] | None, Empty] = None
    access: Annotated[Literal["white_box", "grey_box", "black_box"] | None, Empty] = None
    tag: Annotated[str | None, Field(max_length=40), Empty] = None
    study: Annotated[int | None, Field(ge=1, lt=2**31), Empty] = None
    series: Annotated[str | None, Field(pattern="^[0-9a-f]{16}$"), Empty] = None
    cell: Annotated[str | None, Field(pattern="^[0-9a-f-]+[a-z_]*$", max_length=80), Empty] = None
    text: Annotated[str | None, Field(max_length=200), Empty] = None
    since: Annotated[date | None, Empty] = None
    until: Annotated[date | None, Empty] = None
    least: Annotated[Percent | None, Empty] = None  # success, per cent
    most: Annotated[Percent | None, Empty] = None
    archived: Literal["", "no", "yes", "all"] = ""
    sort: Sort = "created"
    dir: Literal["", "up", "down"] = ""
    group: Literal["", "seeds", "no"] = ""
    cols: list[ColumnKey] = []
    cursor: Annotated[str, Field(max_length=400)] = ""
    format: Literal["", "csv", "json", "markdown", "latex"] = ""  # every row, as a file
    # what the last action did, to be said once
    did: Literal["", "cancel", "retry", "archive", "restore", "tag"] = ""
    n: Annotated[int, Field(ge=0, lt=10_000)] = 0
    refused: Annotated[int, Field(ge=0, lt=10_000)] = 0

    @property
    def grouped(self) -> bool:
        return self.group != "no"

    @property
    def columns(self) -> list[str]:
        return list(self.cols or DEFAULT_COLUMNS)

    @property
    def uses_more(self) -> bool:
        """Whether the folded part of the form says anything."""
        plain = {"state", "attack", "dataset", "profile", "text", "cursor", "format"}
        plain |= {"did", "n", "refused"}
        return bool(self.model_dump(exclude=plain, exclude_defaults=True))

    @property
    def is_narrowed(self) -> bool:
        its = self.filters().model_dump(exclude={"archived"}, exclude_none=True)
        return bool(its) or self.least is not None or self.most is not None

    @property
    def is_descending(self) -> bool:
        """Numbers begin with the largest, words with the first, unless said otherwise."""
        if self.dir:
            return self.dir == "down"
        return self.sort in ("created", "success", "trials", "seeds")

    def filters(self) -> Filters:
        named = {name: getattr(self, name) for name in Filters.model_fields if name != "archived"}
        shown = {"": False, "no": False, "yes": True, "all": None}
        return Filters(**named, archived=shown[self.archived])

    def order(self) -> Order:
        return Order(
            by=self.sort,
            descending=self.is_descending,
            grouped=self.grouped,
            low=None if self.least is None else self.least / 100,
            high=None if self.most is None else self.most / 100,
        )

    def query(self, **changes: Any) -> str:
        """The query of this state, or of one that differs; always from the first page on."""
        left_out = {"cursor", "format", "did", "n", "refused"}
        kept = self.model_dump(mode="json", exclude=left_out, exclude_defaults=True) | changes
        return urlencode({k: v for k, v in kept.items() if v not in (None, "", [])}, doseq=True)

    def address(self, **changes: Any) -> str:
        query = self.query(**changes)
        return f"/experiments?{query}" if query else "/experiments"

    def opened(self, row: ExperimentSeries) -> str:
        """The experiments of a row, one by one, narrowed as this page is."""
        return self.address(group="no", series=places.series(row.spec))

    def sorted_by(self, sort: str) -> str:
        """Where the head of a column leads: that order, or the other way round."""
        if sort != self.sort:
            return self.address(sort=sort, dir=None)
        return self.address(dir="up" if self.is_descending else "down")

    def said(self) -> str:
        return SAID[self.did](self.n, self.refused) if self.did else ""


def _said(done: str, why_not: str) -> Callable[[int, int], str]:
    def say(n: int, refused: int) -> str:
        sentence = f"{words.plural(n, 'experiment')} {done}."
        return f"{sentence} {refused} {why_not}." if refused else sentence

    return say


SAID: dict[str, Callable[[int, int], str]] = {
    "cancel": _said("cancelled", "had ended already"),
    "retry": _said("queued again", "could not be: only what failed or was cancelled can"),
    "archive": _said("archived: out of this list, still on the leaderboards", "were not there"),
    "restore": _said("put back into the list", "were not there"),
    "tag": _said("tagged", "were not: they have as many tags as may be"),
}
