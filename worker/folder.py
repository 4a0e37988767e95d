"""A job's folder: what the child is told, its saved state, its results.

Each attempt has a folder of its own name, and takes over the one before by renaming it. So saved
state survives a killed worker, and a child that outlived its lease writes into nothing.
"""

import shutil
from pathlib import Path

import structlog
from sqlalchemy.exc import SQLAlchemyError

from app.services import adopting, workers
from app.services.jobs import Claim
from app.settings import Settings
from app.storage import NotStored, Store
from poisoning.events import JOB, AdoptJob, AnyJob, Failed, Machine, PretrainJob, TrialsJob
from poisoning.spec import AdoptSpec, PretrainSpec
from worker.runtime import Runtime

JOB_FILE = "job.json"

log = structlog.get_logger(__name__)


def open_folder(settings: Settings, claim: Claim) -> Path:
    """The folder of this attempt, with what earlier attempts left in it."""
    parent = settings.work_dir / f"job-{claim.lease.job_id}"
    parent.mkdir(mode=0o700, exist_ok=True)
    folder = parent / str(claim.lease.attempt)
    earlier = sorted(parent.iterdir(), key=lambda path: path.stat().st_mtime)
    if earlier:
        earlier.pop().rename(folder)
    for path in earlier:
        shutil.rmtree(path, ignore_errors=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def remove(folder: Path) -> None:
    """Drop a job's folder: nothing of it is needed any more."""
    shutil.rmtree(folder.parent, ignore_errors=True)


def write_job(settings: Settings, store: Store, claim: Claim, folder: Path) -> Path:
    """Write down what the child shall do. Raises app.storage.NotStored for a lost file."""
    machine = Machine(
        data_dir=str(settings.datasets_dir),
        work_dir=str(folder),
        device=settings.device,
        threads=settings.threads,
        cache_dir=str(settings.folder("cache")),
    )
    job: AnyJob
    if isinstance(claim.spec, PretrainSpec):
        job = PretrainJob(name=claim.name, spec=claim.spec, machine=machine)
    elif isinstance(claim.spec, AdoptSpec):
        source = str(store.path("uploads", claim.spec.sha256))
        there = {sha256: name for name, sha256 in claim.checkpoints.items()}
        job = AdoptJob(
            name=claim.name, spec=claim.spec, source=source, there=there, machine=machine
        )
    else:
        paths = {n: str(store.path("checkpoints", sha)) for n, sha in claim.checkpoints.items()}
        job = TrialsJob(spec=claim.spec, indices=claim.indices, checkpoints=paths, machine=machine)
    path = folder / JOB_FILE
    path.write_bytes(JOB.dump_json(job))
    return path


def lost(claim: Claim, error: NotStored) -> Failed:
    """A file that the job needs is not in the store."""
    if not isinstance(claim.spec, AdoptSpec):
        return Failed(reason="bad_data", message=f"a checkpoint is lost: {error}")
    return Failed(
        reason="bad_data",
        message=f"{claim.spec.filename} is not kept any more",
        field="file",
        remedy="bring it in again, under the same name",
    )


def drop_upload(runtime: Runtime, claim: Claim) -> None:
    """Drop the file that an adoption has read; one that stays behind does no harm."""
    if not isinstance(claim.spec, AdoptSpec):
        return
    try:
        with runtime.database.write() as session:
            adopting.drop_upload(session, runtime.store, claim.spec.sha256)
    except (SQLAlchemyError, OSError) as error:
        log.warning("an upload stays behind", sha256=claim.spec.sha256, why=str(error))


def result_file(folder: Path, name: str) -> Path:
    """A file the child says it wrote; ValueError when it lies outside the folder or is missing."""
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()) or not path.is_file():
        raise ValueError(f"no result file {name!r} in the job's folder")
    return path


def remove_finished(runtime: Runtime) -> None:
    """Drop folders whose job has ended while nobody worked on it (cancelled in the queue)."""
    folders = {int(p.name.split("-")[1]): p for p in runtime.settings.work_dir.glob("job-*")}
    with runtime.database.read() as session:
        ended = workers.ended_jobs(session, folders)
    for job_id in ended:
        shutil.rmtree(folders[job_id], ignore_errors=True)
