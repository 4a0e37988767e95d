"""Bundles of what was run here: built from the database and the store, in the science's format."""

import contextlib
import hashlib
import tempfile
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO

from sqlalchemy.orm import Session

from app.errors import Invalid
from app.models import Experiment
from app.queries import bundles, checkpoints, experiments, results, studies
from app.storage import NotStored, Store
from poisoning import bundle, sheets
from poisoning.archive import BundleError
from poisoning.bundle import About, Bundle, CheckpointRow


@dataclass(frozen=True)
class Written:
    """A bundle as a file without a name, which is gone when it is closed."""

    name: str
    file: IO[bytes]
    size_bytes: int
    sha256: bytes

    @property
    def headers(self) -> dict[str, str]:
        """How it is saved, how long it is, and its sha256 as RFC 9530 has it."""
        return {
            "Content-Disposition": f'attachment; filename="{self.name}"',
            "Content-Length": str(self.size_bytes),
            "Repr-Digest": f"sha-256=:{b64encode(self.sha256).decode()}:",
        }


def of_study(session: Session, study_id: int, address: str) -> Bundle:
    """Everything of a launched study; NotFound where there is none. ``address``: the server's."""
    found = studies.find(session, study_id)
    rows = bundles.experiments_of(session, study_id)
    about = About(
        kind="study",
        title=found.title,
        name=found.name,
        profile=found.profile,
        rules=bundle.rules(found.name, found.profile),
        permalink=f"{address}/studies/{study_id}",
        date=bundles.newest_result(session, rows),
    )
    return _of(session, about, rows)


def of_experiment(session: Session, experiment_id: int, address: str) -> Bundle:
    """Everything of one experiment; NotFound where there is none."""
    row = experiments.find(session, experiment_id)
    about = About(
        kind="experiment",
        title=row.title,
        profile=row.profile,
        permalink=f"{address}/experiments/{experiment_id}",
        date=bundles.newest_result(session, [row]),
    )
    return _of(session, about, [row])


def _of(session: Session, about: About, rows: Sequence[Experiment]) -> Bundle:
    used = bundles.checkpoints_of(session, rows)
    cards = [
        CheckpointRow(
            name=row.name,
            sha256=row.sha256 or "",
            card={"model": row.model, "recipe": checkpoints.recipe(row)} | (row.card or {}),
        )
        for row in used
    ]
    return bundle.of_results(about, results.whole(session, rows), cards)


def outcomes_csv(made: Bundle) -> str:
    """Its outcomes, one a line, as the bundle has them."""
    return sheets.outcomes(made)


def write(made: Bundle, store: Store, name: str, with_poisons: bool) -> Written:
    """The zip file, to be saved as ``name``; poison sets that are not stored any more are left out.

    Raises Invalid where a stored poison set was changed.
    """
    paths = {}
    for sha256 in {trial.poison_set for trial in made.trials} if with_poisons else ():
        try:
            paths[sha256] = store.path("poison_sets", sha256)
        except NotStored:
            continue
    with contextlib.ExitStack() as closing:
        file = closing.enter_context(tempfile.TemporaryFile())
        try:
            bundle.write(made, file, paths)
        except BundleError as error:
            raise Invalid.field(error.member, error.message, "export without poison sets") from None
        size = file.tell()
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").digest()
        file.seek(0)
        closing.pop_all()  # whoever sends it closes it
    return Written(name, file, size, digest)
