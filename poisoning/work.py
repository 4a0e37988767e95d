"""One job in one process: events out as JSON lines, and every fault as a Failed event."""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from pydantic import ValidationError

from poisoning.catalog import UnknownName
from poisoning.events import JOB, AdoptJob, AnyJob, Done, Failed, Message, PretrainJob, Started
from poisoning.spec import FieldError

Emit = Callable[[Message], None]
ORPHANED = 3  # exit status when the parent is gone
_MEMORY_WORDS = ("out of memory", "can't allocate memory", "not enough memory")


def work(path: Path) -> int:
    """Run the job written in ``path``; events go to stdout, one a line, all else to stderr.

    Ends the process when stdin closes. Returns the exit status: 0 done, 1 failed.
    """
    _end_with_parent()
    with _events_only() as emit:
        try:
            job = JOB.validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            emit(Failed(reason="bad_input", message=f"{path} is no job: {error}"))
            return 1
        return 0 if execute(job, emit) is None else 1


def execute(job: AnyJob, emit: Emit) -> Failed | None:
    """Run a job from Started to Done; or to Failed, which is emitted and returned."""
    started = time.monotonic()
    try:
        _start(job, emit)
        _run(job, emit)
    except Exception as error:  # whatever it was, the parent must hear of it
        failed = explain(error)
        if failed.reason == "error":
            sys.excepthook(type(error), error, error.__traceback__)
        emit(failed)
        return failed
    emit(Done(seconds=time.monotonic() - started))
    return None


def _start(job: AnyJob, emit: Emit) -> None:
    from poisoning import devices  # torch takes seconds to import: only where it is needed

    devices.configure(job.spec.precision, job.machine.threads)
    emit(Started(provenance=devices.provenance(devices.pick(job.machine.device))))


def _run(job: AnyJob, emit: Emit) -> None:
    Path(job.machine.work_dir).mkdir(parents=True, exist_ok=True)
    if isinstance(job, PretrainJob):
        from poisoning import pretrain

        pretrain.run(job, emit)
    elif isinstance(job, AdoptJob):
        from poisoning import adopting

        adopting.run(job, emit)
    else:
        from poisoning import trial

        trial.run(job, emit)


def explain(error: Exception) -> Failed:
    """A fault in words for the person who launched the job: what, where, what to do."""
    from poisoning.check import BudgetBroken
    from poisoning.data import DataError
    from poisoning.models.store import CheckpointError

    if is_out_of_memory(error):
        return Failed(
            reason="out_of_memory",
            message=str(error).splitlines()[0] if str(error) else "the machine's memory is full",
            field="data.poisons",
            remedy="launch with fewer poisons, a smaller network, or fewer trials in a batch",
        )
    if isinstance(error, FieldError):
        return Failed(
            reason="bad_input", message=error.message, field=error.field, remedy=error.remedy
        )
    if isinstance(error, UnknownName):
        return Failed(reason="bad_input", message=error.message)
    if isinstance(error, DataError | CheckpointError):
        return Failed(
            reason="bad_data", message=error.message, field=error.field, remedy=error.remedy
        )
    if isinstance(error, BudgetBroken):
        return Failed(reason="budget_broken", message=error.message, field=error.field)
    return Failed(reason="error", message=f"{type(error).__name__}: {error}")


def is_out_of_memory(error: Exception) -> bool:
    """Whether a device, or the machine, had no memory left. torch has a type for GPUs only."""
    if isinstance(error, MemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(word in text for word in _MEMORY_WORDS)


@contextlib.contextmanager
def _events_only() -> Iterator[Emit]:
    """Keep stdout for events: whatever a library prints goes to stderr."""
    events = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def emit(message: Message) -> None:
        print(message.model_dump_json(), file=events, flush=True)

    with events:
        yield emit


def _end_with_parent() -> None:
    """A thread that ends this process when stdin closes: the parent is gone."""

    def watch() -> None:
        while os.read(sys.stdin.fileno(), 4096):
            pass
        os._exit(ORPHANED)

    threading.Thread(target=watch, daemon=True).start()
