"""The regimes in which victims are trained. No torch in here."""

from poisoning import victim_params
from poisoning.catalog.rows import Regime

REGIMES = (
    Regime(
        "frozen", "frozen extractor", "FFE", "poisoning.victims.frozen:train_and_judge",
        victim_params.FrozenVictim, True, "epochs",
    ),
    Regime(
        "end_to_end", "end to end", "E2E", "poisoning.victims.end_to_end:train_and_judge",
        victim_params.EndToEndVictim, False, "steps",
    ),
    Regime(
        "from_scratch", "from scratch", "FST", "poisoning.victims.from_scratch:train_and_judge",
        victim_params.FromScratchVictim, False, "steps",
    ),
)  # fmt: skip
