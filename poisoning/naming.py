"""What people call things. Apart from statistics, which a worker's process has no use for."""

from poisoning import catalog
from poisoning.spec import checkpoint_of
from poisoning.victim_params import AnyVictim


def victim_name(victim: AnyVictim) -> str:
    """Its checkpoint, or the model that is trained from random weights, and its regime."""
    name = checkpoint_of(victim) or str(getattr(victim, "model", ""))
    return name if victim.regime == "frozen" else f"{name}, {catalog.regime(victim.regime).title}"
