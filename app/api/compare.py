"""Experiments side by side, over REST."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from app.api import examples
from app.api.doors import DatabaseOf
from app.queries import compare
from app.queries.compare import Comparison

router = APIRouter(tags=["experiments"])
_PAIR: dict[str, Any] = {
    "first": "A",
    "second": "B",
    "victims": ["ConvNet-3, frozen", "ConvNet-3, frozen"],
    "shared": 20,
    "both": 7,
    "only_first": 9,
    "only_second": 1,
    "p": 0.0215,
    "words": "On 20 shared setups, 9 fell only to A, 1 only to B, p = 0.021.",
    "disagreements": [],
}
EXAMPLE: dict[str, Any] = {
    "sides": [],
    "differences": [{"field": "attack.eps_255", "values": [32, 8]}],
    "same": {"data.dataset": "digits_5_9"},
    "results": [],
    "pairs": [_PAIR],
}
Ids = Annotated[
    str,
    Query(
        max_length=700,
        description="Two to eight ids with commas between; seeds to be pooled with dots.",
        examples=["12,13.14"],
    ),
]


@router.get("/compare", responses=examples.ok(EXAMPLE))
def show(database: DatabaseOf, ids: Ids) -> Comparison:
    """What differs in their specs, their rates, and a paired test on the setups they share."""
    with database.read() as session:
        return compare.get(session, compare.parse(ids))
