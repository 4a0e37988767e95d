"""``python -m poisoning``: the science alone, with no server, database or web package."""

import sys

from poisoning.cli import main

sys.exit(main())
