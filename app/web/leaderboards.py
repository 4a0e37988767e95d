"""The leaderboard: data sets and protocols as tabs, one attack a row, a heat map, files of both."""

from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from app.board_schemas import LeaderboardTitle
from app.errors import NotFound
from app.queries import leaderboards, ranks, workers
from app.services import exports, views
from app.services.exports import Origin
from app.web import boards, words
from app.web.doors import Clock, Reading
from app.web.downloads import OF_A_FILE, Format, Width, download
from app.web.render import page

router = APIRouter()
TABS = {"frozen": "Transfer", "end_to_end": "End to end", "from_scratch": "From scratch"}
Sort = Literal[
    "", "attack", "victim", "rank", "success", "excess", "clean", "change", "ssim", "cost"
]  # fmt: skip
ColumnKey = Literal[
    "rank", "success", "axis", "published", "interval", "excess", "twin", "clean", "change", "ssim",
    "l2", "cost",
]  # fmt: skip


class Asked(BaseModel):
    """The query of the page. Everything it shows follows from it."""

    model_config = ConfigDict(extra="forbid")
    board: Annotated[str, Field(max_length=40)] = ""
    access: Literal["", "white_box", "grey_box", "black_box"] = ""
    text: Annotated[str, Field(max_length=80)] = ""  # in an attack's title
    budget: Literal["", "bounded", "unbounded"] = ""
    works: Literal["", "yes"] = ""  # only what can be told from its twins
    sort: Sort = ""
    dir: Literal["", "up", "down"] = ""
    cols: list[ColumnKey] = []
    table: Annotated[str, Field(max_length=40)] = ""
    format: Format = ""
    width: Width = "page"

    @property
    def columns(self) -> list[str]:
        return list(self.cols or boards.DEFAULT)

    @property
    def is_descending(self) -> bool:
        return (
            self.dir == "down"
            if self.dir
            else self.sort not in ("attack", "victim", "rank", "cost")
        )

    @property
    def is_narrowed(self) -> bool:
        return bool(self.text or self.budget or self.works)

    def query(self, **changes: Any) -> str:
        kept = self.model_dump(exclude=OF_A_FILE, exclude_defaults=True) | changes
        return urlencode({k: v for k, v in kept.items() if v not in (None, "", [])}, doseq=True)

    def address(self, **changes: Any) -> str:
        return f"/leaderboard?{self.query(**changes)}"

    def sorted_by(self, sort: str) -> str:
        if sort != self.sort:
            return self.address(sort=sort, dir=None)
        return self.address(dir="up" if self.is_descending else "down")


@router.get("/leaderboard")
def show(
    request: Request, session: Reading, now: Clock, asked: Annotated[Asked, Query()]
) -> Response:
    every = leaderboards.index(session)
    title = next((t for t in every if asked.board in ("", t.key)), None)
    if title is None:
        if asked.board and every:
            raise NotFound(f"there is no leaderboard {asked.board!r}")
        return page(request, "leaderboards/index.html", board=None, is_live=_is_live(session, now))
    access = asked.access or title.accesses[0]
    asked = asked.model_copy(update={"board": title.key, "access": access})
    whole = leaderboards.get(session, title.key)
    board = ranks.placed(session, boards.narrowed(whole, access))
    lines = [line for line in boards.lines_of(board) if _is_wanted(line, asked)]
    shown = asked.columns
    if not asked.cols and any(line.cell.published for line in lines):
        shown = [*shown, "published"]
    tables = {
        "leaderboard": boards.table(board, shown, asked.sort, asked.is_descending, lines),
        "heat": boards.heat_map(whole),
    }
    if asked.format or asked.table:
        permalink = f"{str(request.base_url).rstrip('/')}{asked.address()}"
        origin = Origin(permalink, now, exports.commit())
        return download(list(tables.values()), asked.table, asked.format, origin, asked.width)
    return page(
        request,
        "leaderboards/index.html",
        board=board,
        title=title,
        asked=asked,
        tables=tables,
        datasets_tabs=_datasets(every, title),
        protocol_tabs=_protocols(every, title, access),
        parts=[part.column for part in boards.PARTS if part.column.key not in ("attack", "victim")],
        views=views.of_page(session, "leaderboards"),
        is_live=_is_live(session, now),
    )


def _is_live(session: Reading, now: Clock) -> bool:
    queue = workers.queue(session, now)
    return bool(queue.running or queue.queued)


def _is_wanted(line: boards.Line, asked: Asked) -> bool:
    row = line.row
    if asked.text and asked.text.lower() not in f"{row.title} {row.short}".lower():
        return False
    if asked.budget and (row.budget == "unbounded") != (asked.budget == "unbounded"):
        return False
    return not asked.works or line.cell.excess.low > 0


def _datasets(every: list[LeaderboardTitle], chosen: LeaderboardTitle) -> list[dict[str, Any]]:
    """A tab for each data set, leading to its fullest board."""
    firsts: dict[str, LeaderboardTitle] = {}
    for title in every:
        firsts.setdefault(title.dataset, title)
    return [
        {
            "href": f"/leaderboard?board={title.key}",
            "text": title.dataset_title,
            "is_here": title.dataset == chosen.dataset,
        }
        for title in firsts.values()
    ]


def _protocols(
    every: list[LeaderboardTitle], chosen: LeaderboardTitle, access: str
) -> list[dict[str, Any]]:
    """A tab for each protocol and access on this data set."""
    made = []
    for title in every:
        if title.dataset != chosen.dataset:
            continue
        for its in title.accesses:
            aside = [title.counts, title.profile, *(["fast"] if title.precision == "fast" else [])]
            made.append(
                {
                    "href": f"/leaderboard?board={title.key}&access={its}",
                    "text": f"{TABS.get(title.regime, title.regime)}, {words.access(its).lower()}",
                    "aside": " · ".join(aside),
                    "is_here": (title.key, its) == (chosen.key, access),
                    "about": title.protocol,
                }
            )
    return made
