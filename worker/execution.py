"""One claimed job, carried through by one child process: listen, write down, end it."""

import signal
from pathlib import Path
from typing import assert_never

import structlog

from app.services.jobs import Claim, LeaseLost
from app.storage import NotStored
from poisoning.events import (
    CheckpointDone,
    Done,
    Failed,
    Log,
    Progress,
    Started,
    TrialDone,
)
from worker import child as children
from worker import folder as folders
from worker.child import Child, Ended, Garbled
from worker.desk import Desk
from worker.runtime import Runtime

TICK_S = 0.1  # how soon a stop is noticed

log = structlog.get_logger(__name__)


def execute(runtime: Runtime, claim: Claim) -> str:
    """Run a claimed job to its end; the state it is left in ("lost": somebody else has it)."""
    folder = folders.open_folder(runtime.settings, claim)
    desk = Desk(runtime, claim.lease, folder)
    try:
        state = _run(runtime, claim, desk, folder)
    except LeaseLost as lost:
        log.warning("lease lost; its child was ended", job=claim.lease.job_id, why=str(lost))
        return "lost"
    except Exception as error:  # a fault of ours is this job's failure, not this worker's end
        log.exception("job stumbled", job=claim.lease.job_id)
        state = desk.fail(Failed(reason="error", message=f"the worker stumbled: {error!r}"))
    if state != "queued":
        folders.remove(folder)
    if state == "done":
        folders.drop_upload(runtime, claim)
    return state


def _run(runtime: Runtime, claim: Claim, desk: Desk, folder: Path) -> str:
    try:
        job_file = folders.write_job(runtime.settings, runtime.store, claim, folder)
    except NotStored as error:
        return desk.fail(folders.lost(claim, error))
    child = Child(job_file, threads=runtime.settings.threads, command=children.COMMAND)
    try:
        return _listen(runtime, child, desk)
    finally:
        child.stop()


def _listen(runtime: Runtime, child: Child, desk: Desk) -> str:
    """Relay what the child says until the job has an end; the state it is in then."""
    while True:
        said = child.next(min(TICK_S, desk.until_beat_s))
        if (state := _write_down(said, child, desk)) is not None:
            return state
        if desk.until_beat_s <= 0 and desk.beat():
            child.stop()
            return desk.ended()
        if runtime.stopping.is_set():
            child.stop()
            return desk.release()


def _write_down(said: children.Said | None, child: Child, desk: Desk) -> str | None:
    match said:
        case None:
            pass
        case Started():
            desk.started(said)
        case Progress():
            desk.progress(said)
        case Log():
            desk.note(said)
        case TrialDone() | CheckpointDone():
            return _keep(said, child, desk)
        case Done():
            return desk.finish()
        case Failed():
            return desk.fail(said)
        case Garbled():
            child.stop()
            return desk.fail(
                Failed(reason="error", message=f"the batch process said no event: {said.line!r}")
            )
        case Ended():
            return desk.fail(why_ended(said))
        case _:
            assert_never(said)
    return None


def _keep(said: TrialDone | CheckpointDone, child: Child, desk: Desk) -> str | None:
    try:
        if isinstance(said, TrialDone):
            desk.trial(said)
        else:
            desk.checkpoint(said)
    except (ValueError, OSError) as error:
        child.stop()
        return desk.fail(Failed(reason="error", message=f"a result could not be kept: {error}"))
    return None


def why_ended(ended: Ended) -> Failed:
    """A death without a last word, as a reason a person can act on."""
    code = ended.returncode
    if code == -signal.SIGKILL:
        message = "the batch process was killed (signal 9); the machine may be out of memory"
        remedy = "give it more memory, or launch with fewer poisons or a smaller network"
    elif code < 0:
        message = f"the batch process was ended by {_signal_name(-code)}"
        remedy = None
    else:
        message = f"the batch process ended with status {code} before its work was done"
        remedy = None
    if ended.stderr:
        message += f"; its last words:\n{ended.stderr[-2000:]}"
    return Failed(reason="error", message=message, remedy=remedy)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
