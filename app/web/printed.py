"""What is on record of an attack: each published rate with its source, beside what the very
experiment that repeats it gave here. Which one that is, the studies say.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from sqlalchemy.orm import Session

from app.queries import tallies
from app.schemas import Rate
from poisoning.published import NOTHING, Published
from poisoning.spec import spec_hash
from poisoning.studies import STUDIES
from poisoning.tables import published_in_words

PROFILE = "paper"  # the only one whose rates repeat a published setting


@dataclass(frozen=True)
class Cell:
    """A published value, and the study's cell that repeats it."""

    attack: str
    study: str
    study_title: str
    where: str
    published: Published
    spec_hash: str
    victims: tuple[int, ...]
    is_plain: bool  # the target as it is, not transformed

    @property
    def said(self) -> str:
        return published_in_words(self.published)


@dataclass(frozen=True)
class Printed:
    """One line of the page; ``measured`` is None where it was not run, or was not asked so."""

    cell: Cell
    measured: Rate | None


def of(session: Session, attacks: Sequence[str]) -> list[Printed]:
    """In the order of ``attacks``, then of the studies."""
    cells = [cell for name in attacks for cell in _cells() if cell.attack == name]
    found = tallies.of_specs(session, {cell.spec_hash for cell in cells})
    made = []
    for cell in cells:
        its = [found[key] for v in cell.victims if (key := (cell.spec_hash, v)) in found]
        is_whole = cell.is_plain and len(its) == len(cell.victims)
        rate = tallies.rate(sum(s for s, _ in its), sum(n for _, n in its)) if is_whole else None
        made.append(Printed(cell, rate))
    return made


@cache
def _cells() -> tuple[Cell, ...]:
    """Every published value once for each attack that repeats it, at its first study."""
    found: dict[tuple[str, Published], Cell] = {}
    for study in STUDIES.values():
        for line in study.lines(PROFILE) if PROFILE in study.profiles else ():
            name, hashed = line.spec.attack.name, spec_hash(line.spec)
            for place in line.places:
                if place.published == NOTHING:
                    continue
                where = f"{place.table}: {place.row}, {place.column}"
                cell = Cell(
                    name, study.name, study.title, where, place.published, hashed, place.victims,
                    place.variant is None,
                )  # fmt: skip
                found.setdefault((name, place.published), cell)
    return tuple(found.values())
