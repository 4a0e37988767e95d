"""Two to eight experiments side by side, a pivot of them, and all of it as a file."""

from typing import Annotated, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session
from starlette.responses import RedirectResponse

from app.errors import Invalid
from app.queries import compare, experiment_list, experiments
from app.queries.compare import Comparison
from app.queries.experiments import Filters
from app.services import exports, views
from app.services.exports import Origin
from app.web import amplify, sheets
from app.web.doors import Clock, Reading
from app.web.downloads import OF_A_FILE, Format, Width, download
from app.web.render import page

router = APIRouter()
SHOWN_DISAGREEMENTS = 30
Name = Annotated[str, Field(max_length=80)]


class Asked(BaseModel):
    """The query of the page; ``table`` and ``format`` ask for a file of what it shows."""

    model_config = ConfigDict(extra="forbid")
    ids: Annotated[str, Field(max_length=700)] = ""
    rows: Name = ""
    columns: Name = ""
    value: Literal["success", "excess", "twin", "clean", "drop"] = "success"
    table: Name = ""
    format: Format = ""
    width: Width = "page"

    def query(self, **changes: str) -> str:
        kept = self.model_dump(exclude=OF_A_FILE, exclude_defaults=True) | changes
        return urlencode(kept, safe=",")

    def address(self, **changes: str) -> str:
        return f"/compare?{self.query(**changes)}"


@router.get("/compare")
def show(
    request: Request, session: Reading, now: Clock, asked: Annotated[Asked, Query()]
) -> Response:
    sides = compare.parse(asked.ids)
    if len(sides) < 2:
        return _choose(request, session, sides, asked)
    found = compare.get(session, sides)
    fields = sheets.pivot_fields(found)
    chosen = _pivoted(asked, fields)
    tables = [
        sheets.differences(found),
        sheets.results(found),
        sheets.pairs(found),
        sheets.pivot(found, chosen.rows, chosen.columns, chosen.value),
    ]
    if asked.format or asked.table:
        permalink = f"{str(request.base_url).rstrip('/')}{chosen.address()}"
        origin = Origin(permalink, now, exports.commit())
        return download(tables, asked.table, asked.format, origin, asked.width)
    return page(
        request,
        "compare/index.html",
        found=found,
        asked=chosen,
        answer=_answer(found),
        tables={table.key: table for table in tables},
        fields=fields,
        values={name: title for name, (title, _) in sheets.VALUES.items()},
        shown=SHOWN_DISAGREEMENTS,
        factor=_factor(found),
        views=views.of_page(session, "compare"),
    )


@router.get("/compare/seeds")
def seeds(session: Reading, ids: Annotated[str, Query(max_length=700)]) -> Response:
    """The list of the seeds that one side pools."""
    sides = compare.parse(ids)
    if len(sides) != 1:
        raise Invalid.field("ids", "are not the seeds of one experiment", "numbers with dots")
    series = experiments.find(session, sides[0][0]).series
    return RedirectResponse(f"/experiments?group=no&series={series}", status_code=303)


def _pivoted(asked: Asked, fields: list[str]) -> Asked:
    """With a pivot that says something where none was asked for."""
    for name in (asked.rows, asked.columns):
        if name and name not in fields:
            raise Invalid.field(
                "rows" if name == asked.rows else "columns",
                f"no spec here has a field {name!r}",
                "choose one of the list",
            )
    rows = asked.rows or ("attack.name" if "attack.name" in fields else "victim")
    columns = asked.columns or "victim"
    return asked.model_copy(update={"rows": rows, "columns": columns})


def _choose(request: Request, session: Session, sides: list[list[int]], asked: Asked) -> Response:
    """One experiment alone: which to put beside it; those of the same data first."""
    one = experiments.find(session, sides[0][0]) if sides else None
    filters = Filters(
        dataset=one.dataset if one else None, profile=one.profile if one else None, archived=False
    )
    found = experiment_list.page(session, filters, limit=50).items
    others = [row for row in found if one is None or one.id not in row.ids]
    return page(
        request,
        "compare/choose.html",
        one=one,
        others=others,
        asked=asked,
        views=views.of_page(session, "compare"),
    )


@router.get("/compare/with")
def add(ids: Annotated[list[str], Query(max_length=8)]) -> Response:
    """What a form without JavaScript sends: one tick, one value."""
    joined = ",".join(part for part in ids if part)
    compare.parse(joined)
    return RedirectResponse(f"/compare?ids={joined}", status_code=303)


def _factor(found: Comparison) -> int:
    """What the differences of all poisons on the page are multiplied with."""
    attacks = {side.letter: side.attack for side in found.sides}
    return amplify.common(
        (attacks[letter], linf)
        for pair in found.pairs
        for one in pair.disagreements[:SHOWN_DISAGREEMENTS]
        for letter, linf in zip((pair.first, pair.second), one.linf_255, strict=True)
    )


def _answer(found: Comparison) -> str:
    """The clearest difference there is, in words."""
    fields = [row.field for row in found.differences]
    if not fields:
        return "The same spec, run again: whatever differs is chance or device."
    tested = [pair for pair in found.pairs if pair.shared]
    if not tested:
        return "They share no setup, so only their rates can be compared, not trial by trial."
    clearest = min(tested, key=lambda pair: pair.p)
    verdict = (
        "they differ by more than chance."
        if clearest.p < 0.05 / len(tested)
        else "no pair can be told apart."
    )
    return f"{clearest.words.removesuffix('.')}: {verdict}"
