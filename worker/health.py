"""``python -m worker.health``: status 0 where a worker of this host has reported itself lately."""

import socket
import sys

from app.columns import now
from app.db import open_database
from app.queries import workers
from app.settings import load


def main() -> int:
    settings = load()
    database = open_database(settings)
    try:
        with database.read() as session:
            seen = workers.everyone(session, now(), settings.lease_s)
    finally:
        database.close()
    host = socket.gethostname()
    if any(worker.is_alive and worker.host == host for worker in seen):
        return 0
    print(f"no worker of {host} has reported itself in {settings.lease_s:g} s", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
