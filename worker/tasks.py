"""What a wake-up makes a worker do: take jobs from the database until there is none."""

import structlog

from app.services import jobs
from worker.execution import execute
from worker.runtime import Runtime, now

log = structlog.get_logger(__name__)


def work(runtime: Runtime) -> int:
    """Run claimable jobs, one after the other; how many. None where this worker is busy already."""
    if not runtime.busy.acquire(blocking=False):
        return 0
    count = 0
    try:
        while not runtime.stopping.is_set() and (claim := take(runtime)) is not None:
            runtime.job_id = claim.lease.job_id
            log.info("job", job=claim.lease.job_id, attempt=claim.lease.attempt, kind=claim.kind)
            state = execute(runtime, claim)
            log.info("job ended", job=claim.lease.job_id, state=state)
            count += 1
            runtime.job_id = None
    finally:
        runtime.job_id = None
        runtime.busy.release()
    return count


def take(runtime: Runtime) -> jobs.Claim | None:
    """Claim a job; asks with a plain read first, so that looking never takes the write lock."""
    with runtime.database.read() as session:
        if not jobs.is_work_waiting(session):
            return None
    with runtime.database.write() as session:
        return jobs.claim(session, runtime.owner, now(), runtime.settings.lease_s)
