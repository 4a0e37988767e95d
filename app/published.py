"""The published rate that a leaderboard's cell repeats, where its protocol is the same."""

from poisoning import catalog, published
from poisoning.published import Published

EPS_255 = 8  # of every bounded attack in the benchmark
# list of setups -> the table of it
TABLES = {
    "cifar10_transfer_learning": published.CIFAR10_TRANSFER,
    "cifar10_from_scratch": published.CIFAR10_FROM_SCRATCH,
    "tinyimagenet_transfer_learning": published.TINYIMAGENET_TRANSFER,
    "tinyimagenet_from_scratch": published.TINYIMAGENET_FROM_SCRATCH,
}


def of(
    setups: str, profile: str, attack: str, eps_255: float | None, access: str, model: str
) -> Published | None:
    """None where the benchmark has no such cell: other setups, another budget, another victim.

    Its black-box rates of transfer are means of two victims, which no single cell repeats.
    """
    table = TABLES.get(setups)
    if table is None or profile != "paper" or eps_255 not in (None, EPS_255):
        return None
    if setups.endswith("transfer_learning"):
        column = published.WHITE if access == "white_box" else ""
    else:
        column = model
    return table.get((_short(attack), column))


def _short(attack: str) -> str:
    """The benchmark's name of an attack; its own code is called like the attack it is of."""
    known = catalog.ATTACKS.get(attack)
    if known and "reference" in known.tags and known.variant_of:
        known = catalog.ATTACKS[known.variant_of]
    return known.short if known else ""
