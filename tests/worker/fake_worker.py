"""A real Celery worker whose batch process is the fake one: ``celery -A fake_worker worker``."""

import os
import sys
from pathlib import Path

from worker import child

child.COMMAND = (
    sys.executable,
    "-S",
    str(Path(__file__).with_name("fake_child.py")),
    os.environ["FAKE_MARKS"],
)

from worker.app import app  # noqa: E402

__all__ = ["app"]
