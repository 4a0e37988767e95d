"""``python -m poisoning``: the science alone, with no server, database or web package."""

import os
import sys
from pathlib import Path

# Threads that wait by spinning make everything many times slower as soon as anybody else wants
# the cores (measured: 1 s became 20 s). Read once, when torch is loaded; so before any import.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

if sys.argv[1:2] == ["work"] and len(sys.argv) == 3:  # a worker's child: no time to lose
    from poisoning.work import work

    sys.exit(work(Path(sys.argv[2])))

from poisoning.cli import main

sys.exit(main())
