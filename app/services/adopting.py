"""Weights trained elsewhere: the file is kept as it came, a job's process reads and judges it.

The server looks into none of these files; it never imports what could read them. What a client
calls its file is shown, and never becomes part of a path.
"""

import ntpath
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.errors import Conflict, FieldProblem, Invalid, readable
from app.models import Checkpoint, Job
from app.services import checkpoints, importing, jobs
from app.services.datasets import check_files
from app.settings import Settings
from app.storage import Store, hash_file
from poisoning.recipes import RECIPES
from poisoning.spec import CHECKPOINT_SPEC, AdoptSpec

WAITING = ("queued", "training")
ENDED = ("failed", "cancelled")  # and may be asked for otherwise, under the same name


@dataclass(frozen=True)
class Upload:
    """A file as a client sent it, and what it is called there."""

    file: IO[bytes]
    filename: str


def adopt(
    session: Session,
    store: Store,
    settings: Settings,
    name: str,
    asked: Mapping[str, Any],
    upload: Upload,
    now: datetime,
) -> Checkpoint:
    """Queue the adoption of a file under ``name``. ``asked`` are fields of an AdoptSpec: model,
    dataset, naming, renames; those that are None count as left out.

    Asking again is harmless, and one that failed may be asked for otherwise. Invalid names the
    field; Conflict where the name, or the file, is that of another checkpoint.
    """
    if name in RECIPES:
        raise Conflict(f"{name!r} is the name of a recipe; choose another name")
    with tempfile.TemporaryDirectory(dir=settings.work_dir, prefix="incoming-") as folder:
        path = Path(folder) / "upload"
        with path.open("wb") as target:
            shutil.copyfileobj(upload.file, target)
        spec = _spec(name, asked, upload.filename, path)
        check_files(settings, spec.dataset, "dataset")
        row = checkpoints.find(session, name)
        if row is not None and row.state not in ENDED:
            return _same(row, spec)
        _check_twins(session, name, spec)
        row = (
            _queued(session, name, spec, now) if row is None else _again(session, store, row, spec)
        )
        store.put("uploads", path)
    return row


def drop_upload(session: Session, store: Store, sha256: str) -> None:
    """Drop an uploaded file, unless a job still wants to read it."""
    wanted = select(Checkpoint.id).where(_upload() == sha256, Checkpoint.state.in_(WAITING))
    if session.scalar(wanted.limit(1)) is None:
        store.remove("uploads", sha256)


def _spec(name: str, asked: Mapping[str, Any], filename: str, path: Path) -> AdoptSpec:
    """What is asked for. Invalid says all that is wrong at once, for a file is chosen anew."""
    faults: list[FieldProblem] = []
    try:
        importing.check_name(name)
    except Invalid as problem:
        faults += problem.errors
    if path.stat().st_size == 0:
        remedy = "choose a .pth, .pt or .safetensors file"
        faults.append(FieldProblem(field="file", message="is empty", remedy=remedy))
    given = {key: value for key, value in asked.items() if value not in (None, "")}
    called = "".join(c for c in ntpath.basename(filename) if c.isprintable())[-200:]
    own = {"filename": called or "a file without a name", "sha256": hash_file(path)}
    try:
        spec = AdoptSpec.model_validate(given | own)
    except ValidationError as error:
        raise Invalid([*faults, *readable(error.errors(), AdoptSpec)]) from None
    if faults:
        raise Invalid(faults)
    return spec


def _same(row: Checkpoint, spec: AdoptSpec) -> Checkpoint:
    """The checkpoint that has the name already, if it is this one."""
    there = CHECKPOINT_SPEC.validate_python(row.spec) if row.spec else None
    if isinstance(there, AdoptSpec) and _apart_from_filename(there) == _apart_from_filename(spec):
        return row
    raise Conflict(f"there is a checkpoint {row.name!r} already; choose another name")


def _apart_from_filename(spec: AdoptSpec) -> AdoptSpec:
    return spec.model_copy(update={"filename": ""})


def _check_twins(session: Session, name: str, spec: AdoptSpec) -> None:
    """Conflict where the same file is here, or on its way, for the same data set."""
    twin = session.scalar(
        select(Checkpoint).where(
            _upload() == spec.sha256,
            Checkpoint.dataset == spec.dataset,
            Checkpoint.name != name,
            Checkpoint.state.in_((*WAITING, "ready")),
        )
    )
    if twin is not None:
        how = "is here already" if twin.state == "ready" else "is being brought in"
        raise Conflict(f"the same file {how}, as {twin.name!r}")


def _upload() -> Any:
    """The hash of the uploaded file, of a checkpoint that was one."""
    return Checkpoint.spec["sha256"].as_string()


def _queued(session: Session, name: str, spec: AdoptSpec, now: datetime) -> Checkpoint:
    row = Checkpoint(
        name=name,
        state="queued",
        spec=spec.model_dump(mode="json"),
        model=spec.model,
        dataset=spec.dataset,
        created_at=now,
    )
    session.add(row)
    session.flush()
    priority = jobs.PRETRAIN_PRIORITY
    session.add(Job(kind="adopt", checkpoint_id=row.id, priority=priority, created_at=now))
    session.flush()
    return row


def _again(session: Session, store: Store, row: Checkpoint, spec: AdoptSpec) -> Checkpoint:
    """One that failed or was cancelled, asked for anew. Conflict where it was to be trained."""
    earlier = CHECKPOINT_SPEC.validate_python(row.spec)
    if not isinstance(earlier, AdoptSpec):
        raise Conflict(f"{row.name!r} is the name of a training; choose another name")
    row.spec, row.model, row.dataset = spec.model_dump(mode="json"), spec.model, spec.dataset
    session.flush()
    checkpoints.queue_again(session, row)
    if earlier.sha256 != spec.sha256:
        drop_upload(session, store, earlier.sha256)
    return row
