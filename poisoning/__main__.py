"""``python -m poisoning``: the science alone, with no server, database or web package."""

import os
import sys

# Threads that wait by spinning make everything many times slower as soon as anybody else wants
# the cores (measured: 1 s became 20 s). Read once, when torch is loaded; so before any import.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from poisoning.cli import main

sys.exit(main())
