"""``dosimeter serve`` whose worker has the fake batch process."""

import sys

from app import supervisor
from app.settings import load

supervisor.WORKER_APP = "tests.worker.fake_worker"

try:
    sys.exit(supervisor.serve(load(), announce=lambda text: print(text, flush=True)))
except supervisor.CannotStart as error:
    sys.exit(f"cannot start: {error}")
