"""Every knob of every attack, declared once: type, default, bounds, help.

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


class _Collision(Knobs):
    """What all forms of Feature Collision have in common."""

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


class FeatureCollision(_Collision):
    """Feature Collision, l-infinity form (Shafahi et al. 2018, as bounded by the benchmark)."""

    name: Literal["feature_collision"] = "feature_collision"
    eps_255: Eps = 8


class FeatureCollisionReference(_Collision):
    """Feature Collision as the benchmark's code runs it: a refused step freezes its poison."""

    name: Literal["feature_collision_reference"] = "feature_collision_reference"
    eps_255: Eps = 8


class FeatureCollisionL2(_Collision):
    """Feature Collision as its paper states it: a penalty on the l2 distance, no budget."""

    name: Literal["feature_collision_l2"] = "feature_collision_l2"
    # the benchmark's code has 0.001 and 4.0 for pixels; these are the same in normalised units
    step_size: float = Field(
        0.025, gt=0, title="Step size", description="First step size; cut whenever a step fails."
    )
    beta: float = Field(
        0.16,
        gt=0,
        title="Beta",
        description="Weight of the squared distance to the base, in normalised pixel units.",
    )


class _Polytope(Knobs):
    """What Convex Polytope and Bullseye Polytope have in common: Adam within a budget."""

    eps_255: Eps = 8
    steps: int = Field(1200, ge=1, le=100_000, title="Steps", description="Adam steps.")
    learning_rate: float = Field(
        0.04, gt=0, title="Learning rate", description="Adam's rate, in normalised pixel units."
    )


class ConvexPolytope(_Polytope):
    """Convex Polytope, penultimate features (Zhu et al. 2019)."""

    name: Literal["convex_polytope"] = "convex_polytope"


class ConvexPolytopeEndToEnd(_Polytope):
    """Convex Polytope on the output of every block: against victims that train end to end."""

    name: Literal["convex_polytope_end_to_end"] = "convex_polytope_end_to_end"


class _Bullseye(_Polytope):
    draws: int = Field(
        1,
        ge=1,
        le=16,
        title="Draws",
        description="Dropout draws averaged per surrogate and step (the paper's multi-draw).",
    )
    target_views: int = Field(
        1,
        ge=1,
        le=32,
        title="Target views",
        description="Views of the target whose features are averaged (multi-target mode): the "
        "target itself, then random crops and flips of it.",
    )


class BullseyePolytope(_Bullseye):
    """Bullseye Polytope, mean mode, un-squared normalised loss (Aghakhani et al. 2021)."""

    name: Literal["bullseye_polytope"] = "bullseye_polytope"


class BullseyePolytopeSquared(_Bullseye):
    """Bullseye Polytope, mean mode, squared normalised loss."""

    name: Literal["bullseye_polytope_squared"] = "bullseye_polytope_squared"


class BullseyePolytopeEndToEnd(_Bullseye):
    """Bullseye Polytope on the output of every block: against victims that train end to end."""

    name: Literal["bullseye_polytope_end_to_end"] = "bullseye_polytope_end_to_end"


class Triggered(Knobs):
    """The trigger of a backdoor: a square patch near the lower right corner."""

    pattern: Literal["checkerboard", "random", "white"] = Field(
        "checkerboard",
        title="Pattern",
        description="checkerboard: black and white pixels. random: 4 x 4 colours drawn from the "
        "seed, enlarged. white: one white square.",
    )
    patch_size: int = Field(
        5, ge=1, le=64, title="Patch size", json_schema_extra={"unit": "px"},
        description="Side of the patch.",
    )  # fmt: skip
    inset: int = Field(
        0, ge=0, le=63, title="Inset", json_schema_extra={"unit": "px"},
        description="Distance of the patch from the image's lower and right edge.",
    )  # fmt: skip


class BadNets(Triggered):
    """BadNets (Gu et al. 2017), clean labels: the trigger on images of the base class."""

    name: Literal["badnets"] = "badnets"
    patch_size: int = Field(
        3, ge=1, le=64, title="Patch size", json_schema_extra={"unit": "px"},
        description="Side of the patch.",
    )  # fmt: skip


class _CleanLabelBackdoor(Triggered):
    eps_255: Eps = 8
    steps: int = Field(20, ge=1, le=10_000, title="Steps", description="PGD steps.")
    step_size_255: float = Field(
        2.0,
        gt=0,
        le=255,
        title="Step size",
        description="Of one signed step.",
        json_schema_extra={"unit": "/255"},
    )


class CleanLabelBackdoor(_CleanLabelBackdoor):
    """Clean-Label Backdoor (Turner et al. 2019): the patch is pasted at full contrast."""

    name: Literal["clean_label_backdoor"] = "clean_label_backdoor"


class CleanLabelBackdoorReference(_CleanLabelBackdoor):
    """Clean-Label Backdoor as the benchmark's code runs it: the patch too is clipped to eps."""

    name: Literal["clean_label_backdoor_reference"] = "clean_label_backdoor_reference"


class _HiddenTrigger(Triggered):
    eps_255: Eps = 8
    pattern: Literal["checkerboard", "random", "white"] = Field(
        "random",
        title="Pattern",
        description="checkerboard: black and white pixels. random: 4 x 4 colours drawn from the "
        "seed, enlarged. white: one white square.",
    )
    inset: int = Field(
        5, ge=0, le=63, title="Inset", json_schema_extra={"unit": "px"},
        description="Distance of the patch from the image's lower and right edge.",
    )  # fmt: skip
    steps: int = Field(5000, ge=1, le=100_000, title="Steps", description="Gradient steps.")
    learning_rate: float = Field(
        0.001, gt=0, title="Learning rate", description="Of the plain gradient step, in pixels."
    )
    decay: float = Field(
        0.95, gt=0, le=1, title="Decay", description="Factor on the rate at each interval."
    )
    decay_every: int = Field(
        2000, ge=1, title="Decay interval", description="Steps between two decays."
    )
    tolerance: float = Field(
        10.0,
        ge=0,
        title="Tolerance",
        description="A trial is done when its summed squared distance falls below this.",
    )


class HiddenTriggerBackdoor(_HiddenTrigger):
    """Hidden-Trigger Backdoor (Saha et al. 2020): every base is paired with a source of its own."""

    name: Literal["hidden_trigger_backdoor"] = "hidden_trigger_backdoor"


class HiddenTriggerBackdoorReference(_HiddenTrigger):
    """Hidden-Trigger Backdoor as the benchmark's code pairs: bases may share a source."""

    name: Literal["hidden_trigger_backdoor_reference"] = "hidden_trigger_backdoor_reference"


class WitchesBrew(Knobs):
    """Witches' Brew, gradient matching (Geiping et al. 2021)."""

    name: Literal["witches_brew"] = "witches_brew"
    eps_255: Eps = 8
    steps: int = Field(250, ge=1, le=100_000, title="Steps", description="Signed Adam steps.")
    restarts: int = Field(
        8, ge=1, le=64, title="Restarts", description="Random starts; the lowest loss is kept."
    )
    learning_rate: float = Field(
        0.1,
        gt=0,
        title="Learning rate",
        description="In normalised pixel units; divided by the number of surrogates.",
    )
    augment: bool = Field(
        True,
        title="Augment",
        description="Random shifts and flips of the poisons while crafting, differentiable.",
    )
    max_shift: int = Field(
        4, ge=0, le=64, title="Largest shift", json_schema_extra={"unit": "px"},
        description="Of the augmentation; published: 4 on CIFAR-10, 8 on Tiny ImageNet.",
    )  # fmt: skip


ATTACK_PARAMS = (
    NoPerturbation,
    FeatureCollision,
    FeatureCollisionReference,
    FeatureCollisionL2,
    ConvexPolytope,
    ConvexPolytopeEndToEnd,
    BullseyePolytope,
    BullseyePolytopeSquared,
    BullseyePolytopeEndToEnd,
    CleanLabelBackdoor,
    CleanLabelBackdoorReference,
    HiddenTriggerBackdoor,
    HiddenTriggerBackdoorReference,
    WitchesBrew,
    BadNets,
)
AttackParams = Annotated[
    NoPerturbation
    | FeatureCollision
    | FeatureCollisionReference
    | FeatureCollisionL2
    | ConvexPolytope
    | ConvexPolytopeEndToEnd
    | BullseyePolytope
    | BullseyePolytopeSquared
    | BullseyePolytopeEndToEnd
    | CleanLabelBackdoor
    | CleanLabelBackdoorReference
    | HiddenTriggerBackdoor
    | HiddenTriggerBackdoorReference
    | WitchesBrew
    | BadNets,
    Field(discriminator="name"),
]
