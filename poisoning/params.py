"""Every knob of every attack and victim, declared once: type, default, bounds, help.

The launch form, the REST API, the command line and the documentation are all generated from these
models, so a default is the paper's default everywhere or nowhere. No torch in here.

Units: ``eps_255`` is an l-infinity budget in steps of 1/255; step sizes and learning rates are in
the space their attack optimises (pixels in [0, 1] unless said otherwise).
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class Knobs(BaseModel):
    """A frozen set of knobs; an unknown one is an error that names it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


Eps = Annotated[
    float,
    Field(
        gt=0,
        le=255,
        title="Budget eps",
        description="Largest change of any pixel, in steps of 1/255.",
        json_schema_extra={"unit": "/255"},
    ),
]


# --- attacks ----------------------------------------------------------------------------------


class NoPerturbation(Knobs):
    """The control: the poisons are the base images themselves."""

    name: Literal["no_perturbation"] = "no_perturbation"


class FeatureCollision(Knobs):
    """Feature Collision, l-infinity form (Shafahi et al. 2018, as bounded by the benchmark)."""

    name: Literal["feature_collision"] = "feature_collision"
    eps_255: Eps = 8
    steps: int = Field(120, ge=1, le=100_000, title="Steps", description="Gradient steps.")
    step_size: float = Field(
        0.001, gt=0, title="Step size", description="First step size; cut whenever a step fails."
    )
    step_decay: float = Field(
        0.2,
        gt=0,
        lt=1,
        title="Step decay",
        description="Factor on a poison's step size when the objective rises.",
    )
    watermark: float = Field(
        0.3,
        ge=0,
        lt=1,
        title="Watermark",
        description="Opacity of the target blended into the starting image.",
    )


class ConvexPolytope(Knobs):
    """Convex Polytope, penultimate features (Zhu et al. 2019)."""

    name: Literal["convex_polytope"] = "convex_polytope"
    eps_255: Eps = 8
    steps: int = Field(1200, ge=1, le=100_000, title="Steps", description="Adam steps.")
    learning_rate: float = Field(
        0.04, gt=0, title="Learning rate", description="Adam's rate, in normalised pixel units."
    )


class BullseyePolytope(Knobs):
    """Bullseye Polytope, mean mode, un-squared normalised loss (Aghakhani et al. 2021)."""

    name: Literal["bullseye_polytope"] = "bullseye_polytope"
    eps_255: Eps = 8
    steps: int = Field(1200, ge=1, le=100_000, title="Steps", description="Adam steps.")
    learning_rate: float = Field(
        0.04, gt=0, title="Learning rate", description="Adam's rate, in normalised pixel units."
    )
    draws: int = Field(
        1,
        ge=1,
        le=16,
        title="Draws",
        description="Dropout draws averaged per surrogate and step (the paper's multi-draw).",
    )


ATTACK_PARAMS = (NoPerturbation, FeatureCollision, ConvexPolytope, BullseyePolytope)
AttackParams = Annotated[
    NoPerturbation | FeatureCollision | ConvexPolytope | BullseyePolytope,
    Field(discriminator="name"),
]


# --- how a network is trained -----------------------------------------------------------------


class Recipe(Knobs):
    """How a victim is trained. The defaults are the unified benchmark's frozen recipe (A9)."""

    optimizer: Literal["sgd", "adam"] = Field(
        "sgd", title="Optimiser", description="SGD with momentum, or Adam."
    )
    learning_rate: float = Field(0.01, gt=0, title="Learning rate", description="At epoch 0.")
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


# --- victims ----------------------------------------------------------------------------------

CheckpointName = Annotated[
    str,
    Field(
        pattern=r"^[a-z0-9][a-z0-9_.-]{0,119}$",
        title="Checkpoint",
        description="Name in the catalogue of checkpoints.",
    ),
]


class FrozenVictim(Knobs):
    """A pretrained extractor whose last layer alone is trained anew, BN statistics frozen (FFE)."""

    regime: Literal["frozen"] = "frozen"
    checkpoint: CheckpointName
    recipe: Recipe = UNIFIED_FROZEN
    label: str | None = Field(
        None,
        max_length=60,
        title="Label",
        description="The published column's own name for itself.",
    )


VICTIM_PARAMS = (FrozenVictim,)
VictimSpec = FrozenVictim
