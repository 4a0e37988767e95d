"""Data sets: a card each. What their pixels hash to is what was read here, not what is claimed."""

from dataclasses import dataclass

from fastapi import APIRouter, Request, Response

from app.errors import NotFound
from app.paging import MAX_LIMIT
from app.queries import checkpoints
from app.queries.checkpoints import Filters
from app.schemas import CheckpointView
from app.services.datasets import has_files
from app.web import words
from app.web.doors import Reading, SettingsOf
from app.web.render import page
from poisoning import catalog
from poisoning.spec import BENCHMARK_SETUPS

router = APIRouter()


@dataclass(frozen=True)
class Row:
    """One line of the list: whether it can be used here, and what was read of it."""

    dataset: catalog.Dataset
    has_files: bool
    hashes: tuple[str, ...]  # md5 of all its pixels and labels, as checkpoints read them
    checkpoints: int


@router.get("/datasets")
def index(request: Request, session: Reading, settings: SettingsOf) -> Response:
    trained: dict[str, list[CheckpointView]] = {}
    for item in checkpoints.page(session, limit=MAX_LIMIT).items:
        trained.setdefault(item.dataset, []).append(item)
    rows = [
        Row(
            row,
            has_files(settings, row.name),
            tuple(hashes(trained.get(row.name, []))),
            len(trained.get(row.name, [])),
        )
        for row in catalog.DATASETS.values()
    ]
    return page(request, "datasets/index.html", rows=rows, answer=_of_all(rows))


@router.get("/datasets/{name}")
def show(request: Request, session: Reading, settings: SettingsOf, name: str) -> Response:
    try:
        row = catalog.dataset(name)
    except catalog.UnknownName as unknown:
        raise NotFound(str(unknown)) from None
    trained = checkpoints.page(session, Filters(dataset=name), limit=200).items
    return page(
        request,
        "datasets/detail.html",
        dataset=row,
        answer=_answer(row),
        has_files=has_files(settings, name),
        hashes=hashes(trained),
        trained=trained,
        setups=[
            words.SETUPS[s] for s, belongs_to in BENCHMARK_SETUPS.items() if belongs_to == name
        ],
    )


def hashes(trained: list[CheckpointView]) -> dict[str, int]:
    """md5 of every pixel and label -> how many checkpoints read just these; more than one md5
    means that not all were trained on the same files.
    """
    found: dict[str, int] = {}
    for item in trained:
        md5 = (item.card or {}).get("dataset_md5")
        if md5:
            found[md5] = found.get(md5, 0) + 1
    return found


def _answer(row: catalog.Dataset) -> str:
    return (
        f"{words.plural(len(row.classes), 'class', 'classes')}, {row.train_images:,} training and "
        f"{row.test_images:,} test images of {row.image_size} px."
    )


def _of_all(rows: list[Row]) -> str:
    here = sum(row.has_files for row in rows)
    missing = (
        f"; the files of {len(rows) - here} are not on this machine" if here < len(rows) else ""
    )
    return f"{words.plural(here, 'data set is', 'data sets are')} ready for use{missing}."
