"""Every knob of every victim, declared once as those of attacks are in ``poisoning.params``: how it
is trained, and what is trained. No torch in here.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from poisoning.params import Knobs


class Recipe(Knobs):
    """How a victim is trained. The defaults are the unified benchmark's frozen recipe (A9)."""

    optimizer: Literal["sgd", "adam"] = Field(
        "sgd", title="Optimiser", description="SGD with momentum, or Adam."
    )
    learning_rate: float = Field(
        0.01, gt=0, title="Learning rate", description="At epoch 0; the peak of one cycle."
    )
    schedule: Literal["steps", "one_cycle"] = Field(
        "steps",
        title="Schedule",
        description="steps: multiplied by the factor at each drop. one_cycle: linearly up over "
        "the first 30 %, then half a cosine down to 0.",
    )
    drop_epochs: tuple[int, ...] = Field(
        (30,),
        title="Drop epochs",
        description="Epochs at which the rate is multiplied by the factor.",
    )
    drop_factor: float = Field(
        0.1, gt=0, le=1, title="Drop factor", description="Factor on the rate at each drop."
    )
    epochs: int = Field(
        40, ge=1, le=1000, title="Epochs", description="Passes over the training set."
    )
    batch_size: int = Field(128, ge=1, le=8192, title="Batch size", description="Images per step.")
    momentum: float = Field(0.9, ge=0, lt=1, title="Momentum", description="SGD's momentum.")
    nesterov: bool = Field(False, title="Nesterov", description="Nesterov's form of momentum.")
    weight_decay: float = Field(2e-4, ge=0, title="Weight decay", description="l2 penalty.")
    augment: bool = Field(
        True, title="Augment", description="Random crop (padding 4) and horizontal flip."
    )


UNIFIED_FROZEN = Recipe()
UNIFIED_END_TO_END = Recipe()
UNIFIED_FROM_SCRATCH = Recipe(learning_rate=0.1, drop_epochs=(100, 150), epochs=200)


@dataclass(frozen=True)
class Preset:
    """A recipe by name, and where it comes from."""

    title: str
    recipe: Recipe


RECIPES: dict[str, Preset] = {
    "unified_transfer": Preset("Unified benchmark, transfer (40 epochs)", UNIFIED_FROZEN),
    "unified_from_scratch": Preset(
        "Unified benchmark, from scratch (200 epochs)", UNIFIED_FROM_SCRATCH
    ),
    "gradient_matching": Preset(
        "Witches' Brew, conservative (40 epochs)",
        Recipe(
            learning_rate=0.1,
            drop_epochs=(15, 25, 35),
            nesterov=True,
            weight_decay=5e-4,
        ),
    ),
    "poison_frogs": Preset(
        "Poison Frogs, fine-tuning (Adam, 20 epochs)",
        Recipe(
            optimizer="adam", learning_rate=1.85e-5, drop_epochs=(), epochs=20,
            weight_decay=0, augment=False,
        ),
    ),
    "polytope_transfer": Preset(
        "Convex Polytope, last layer (Adam, 60 epochs)",
        Recipe(
            optimizer="adam", learning_rate=0.1, drop_epochs=(30, 45), epochs=60,
            batch_size=64, weight_decay=0, augment=False,
        ),
    ),
    "hidden_trigger": Preset(
        "Hidden trigger, last layer (SGD, 30 epochs)",
        Recipe(
            learning_rate=0.001, drop_epochs=(10, 20), epochs=30, batch_size=256,
            weight_decay=0, augment=False,
        ),
    ),
    "quick_transfer": Preset(
        "Short fine-tuning (2 epochs)",
        Recipe(learning_rate=0.05, schedule="one_cycle", epochs=2),
    ),
    "fast_from_scratch": Preset(
        "Fast, from scratch (10 epochs; ResNet-18: 90.8 % clean on CIFAR-10)",
        Recipe(
            learning_rate=0.3, schedule="one_cycle", epochs=10, batch_size=256,
            nesterov=True, weight_decay=5e-4,
        ),
    ),
}  # fmt: skip


# --- victims ----------------------------------------------------------------------------------

CheckpointName = Annotated[
    str,
    Field(
        pattern=r"^[a-z0-9][a-z0-9_.-]{0,119}$",
        title="Checkpoint",
        description="Name in the catalogue of checkpoints.",
    ),
]
Label = Annotated[
    str | None,
    Field(
        max_length=60,
        title="Label",
        description="The published column's own name for itself.",
    ),
]


class FrozenVictim(Knobs):
    """A pretrained extractor whose last layer alone is trained anew, BN statistics frozen (FFE)."""

    regime: Literal["frozen"] = "frozen"
    checkpoint: CheckpointName
    recipe: Recipe = UNIFIED_FROZEN
    label: Label = None


class EndToEndVictim(Knobs):
    """A pretrained network, fine-tuned whole on the poisoned set, BN in train mode (E2E)."""

    regime: Literal["end_to_end"] = "end_to_end"
    checkpoint: CheckpointName
    recipe: Recipe = UNIFIED_END_TO_END
    keeps_linear: bool = Field(
        False,
        title="Keep the last layer",
        description="Go on from the checkpoint's own last layer, where its classes are the same.",
    )
    label: Label = None


class FromScratchVictim(Knobs):
    """A network trained from random weights on the poisoned set (FST)."""

    regime: Literal["from_scratch"] = "from_scratch"
    model: str = Field("resnet18", title="Model", description="Name of an architecture.")
    recipe: Recipe = UNIFIED_FROM_SCRATCH
    shared_twins: int = Field(
        4,
        ge=0,
        le=64,
        title="Shared twins",
        description="Clean victims that all trials share in turn; 0: every trial its own.",
    )
    label: Label = None


VICTIM_PARAMS = (FrozenVictim, EndToEndVictim, FromScratchVictim)
VictimSpec = Annotated[
    FrozenVictim | EndToEndVictim | FromScratchVictim, Field(discriminator="regime")
]
AnyVictim = FrozenVictim | EndToEndVictim | FromScratchVictim
