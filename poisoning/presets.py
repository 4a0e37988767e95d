"""The attacks in their papers' own settings, the unified benchmark's and the report's. No torch.

Each is a whole ExperimentSpec, so that it can be launched, and varied one factor at a time by
``vary``. Where a paper leaves something open, the benchmark's code decides; docs/studies.md says
where.
"""

from typing import Any

from poisoning import catalog
from poisoning.params import (
    AttackParams,
    BullseyePolytope,
    CleanLabelBackdoor,
    CleanLabelBackdoorReference,
    ConvexPolytope,
    FeatureCollision,
    FeatureCollisionL2,
    FeatureCollisionReference,
    HiddenTriggerBackdoor,
    HiddenTriggerBackdoorReference,
    NoPerturbation,
    Triggered,
    WitchesBrew,
)
from poisoning.spec import SAMPLED, DataSpec, ExperimentSpec, checkpoint_of, vary
from poisoning.victim_params import (
    RECIPES,
    AnyVictim,
    EndToEndVictim,
    FromScratchVictim,
    FrozenVictim,
    Recipe,
)

TRIALS = 100  # behind every published rate
SEEDS = range(10)  # of the checkpoints of which every trial of a baseline draws one


# --- the four baselines ------------------------------------------------------------------------


def _seeds(name: str) -> tuple[str, ...]:
    return tuple(f"{name}-s{seed}" for seed in SEEDS)


def _spec(attack: AttackParams, **fields: Any) -> ExperimentSpec:
    return ExperimentSpec(attack=attack, trials=TRIALS, profile="paper", **fields)


def feature_collision() -> ExperimentSpec:
    """Poison Frogs: 50 poisons without budget, AlexNet fine-tuned whole by Adam, white box.

    Images are not normalised, so that the step size and beta are those of pixels.
    """
    return _spec(
        FeatureCollisionL2(step_size=0.001, beta=0.1),
        surrogates=(SAMPLED,),
        victims=(
            EndToEndVictim(
                checkpoint=SAMPLED, recipe=RECIPES["poison_frogs"].recipe, keeps_linear=True
            ),
        ),
        sampled_from=_seeds("alexnet_frogs-cifar10-raw-200ep"),
        data=DataSpec(train_size=50_000, poisons=50, normalize=False),
    )


def convex_polytope() -> ExperimentSpec:
    """Convex Polytope: 5 poisons of 500 images, eps 25.5, a new last layer trained by Adam."""
    return _spec(
        ConvexPolytope(eps_255=25.5, steps=4000),
        surrogates=(SAMPLED,),
        victims=(FrozenVictim(checkpoint=SAMPLED, recipe=RECIPES["polytope_transfer"].recipe),),
        sampled_from=_seeds("resnet18-cifar10-200ep"),
        data=DataSpec(train_size=500, poisons=5),
    )


# 100,000 steps of 50 images are 100 epochs; the rate falls at 40,000 and 60,000.
LABEL_CONSISTENT = Recipe(learning_rate=0.1, drop_epochs=(40, 60), epochs=100, batch_size=50)


def clean_label_backdoor() -> ExperimentSpec:
    """Label-consistent backdoor: 500 poisons, a narrow ResNet from scratch, black box."""
    return _spec(
        CleanLabelBackdoor(patch_size=3),
        surrogates=("resnet18-cifar10-adv-raw-200ep-s0",),
        victims=(FromScratchVictim(model="resnet32_clbd", recipe=LABEL_CONSISTENT),),
        data=DataSpec(train_size=50_000, poisons=500, normalize=False),
    )


def hidden_trigger_backdoor() -> ExperimentSpec:
    """Hidden trigger: 800 poisons, eps 16, patch 8, the last layer on the whole of CIFAR-10."""
    return _spec(
        HiddenTriggerBackdoor(eps_255=16, patch_size=8),
        surrogates=(SAMPLED,),
        victims=(FrozenVictim(checkpoint=SAMPLED, recipe=RECIPES["hidden_trigger"].recipe),),
        sampled_from=_seeds("alexnet_htbd-cifar10-200ep"),
        data=DataSpec(train_size=50_000, poisons=800),
    )


BASELINES = {
    "FC": feature_collision,
    "CP": convex_polytope,
    "CLBD": clean_label_backdoor,
    "HTBD": hidden_trigger_backdoor,
}


# --- the unified benchmark ---------------------------------------------------------------------

ROBUST = "resnet18-cifar10-adv-200ep-s0"
CIFAR_TRANSFER = DataSpec(setups="cifar10_transfer_learning")
CIFAR_FROM_SCRATCH = DataSpec(train_size=50_000, poisons=500, setups="cifar10_from_scratch")
TINY_TRANSFER = DataSpec(
    dataset="tinyimagenet_last_half", train_size=50_000, poisons=250,
    setups="tinyimagenet_transfer_learning",
)  # fmt: skip
TINY_FROM_SCRATCH = DataSpec(
    dataset="tinyimagenet", train_size=100_000, poisons=250, setups="tinyimagenet_from_scratch"
)


def unified_attacks(patch_size: int = 5) -> dict[str, AttackParams]:
    """By their short names: the forms that the benchmark's numbers come from, where ours differ,
    and ours beside them; all at eps 8. The control comes first.
    """
    return {
        "Control": NoPerturbation(),
        "FC": FeatureCollisionReference(),
        "FC, ours": FeatureCollision(),
        "CP": ConvexPolytope(),
        "BP": BullseyePolytope(),
        "CLBD": CleanLabelBackdoorReference(patch_size=patch_size),
        "CLBD, ours": CleanLabelBackdoor(patch_size=patch_size),
        "HTBD": HiddenTriggerBackdoorReference(patch_size=patch_size),
        "HTBD, ours": HiddenTriggerBackdoor(patch_size=patch_size),
    }


def unified_attacks_tiny() -> dict[str, AttackParams]:
    """The same with the patch and the schedule of Tiny ImageNet."""
    slower = {"decay": 0.5, "decay_every": 1000}
    return unified_attacks(8) | {
        "HTBD": HiddenTriggerBackdoorReference(patch_size=8, **slower),
        "HTBD, ours": HiddenTriggerBackdoor(patch_size=8, **slower),
    }


GRADIENT_MATCHING = WitchesBrew()


def unified(
    attack: AttackParams,
    surrogates: tuple[str, ...],
    victims: tuple[AnyVictim, ...],
    data: DataSpec,
    classifier: str = ROBUST,
) -> ExperimentSpec:
    """One attack under the benchmark's rules; one that asks what an image is taken for crafts on
    ``classifier`` instead, and one that asks nothing on nothing.
    """
    crafted_on = {"nothing": (), "features": surrogates, "classifier": (classifier,)}
    needs = catalog.attack(attack.name).needs
    return _spec(attack, surrogates=crafted_on[needs], victims=victims, data=data)


# --- the report --------------------------------------------------------------------------------

REPORT_NETWORK = "resnet18-cifar10-200ep"


def report() -> dict[str, ExperimentSpec]:
    """All four attacks as in their papers, but every network is one ResNet-18 on CIFAR-10."""
    network = f"{REPORT_NETWORK}-s0"
    whole = {"sampled_from": [], "surrogates": [network], "victims.0.checkpoint": network}
    return {
        "FC": vary(
            feature_collision(),
            whole | {"data.normalize": True, "attack.step_size": 0.025, "attack.beta": 0.16},
        ),
        "CP": vary(convex_polytope(), whole),
        "CLBD": vary(
            clean_label_backdoor(),
            {"surrogates": [ROBUST], "victims.0.model": "resnet18", "data.normalize": True},
        ),
        "HTBD": vary(hidden_trigger_backdoor(), whole),
    }


# --- the table of settings ---------------------------------------------------------------------

SETTINGS_HEADER = (
    "attack", "normalised", "augmented", "optimiser", "regime", "access", "ensemble", "poisons",
    "training images", "eps", "patch", "surrogate", "victim",
)  # fmt: skip


def settings(name: str, spec: ExperimentSpec) -> tuple[str, ...]:
    """One line of the table of settings, read off the spec itself, its first victim."""
    attack, victim = spec.attack, spec.victims[0]
    eps = getattr(attack, "eps_255", None)
    patch = f"{attack.patch_size} px" if isinstance(attack, Triggered) else "-"
    return (
        name,
        "yes" if spec.data.normalize else "no",
        "yes" if victim.recipe.augment else "no",
        victim.recipe.optimizer,
        catalog.regime(victim.regime).short,
        _access(spec),
        "yes" if len(spec.surrogates) > 1 else "no",
        str(spec.data.poisons),
        f"{spec.data.train_size:,}",
        "none" if eps is None else f"{eps:g}/255",
        patch,
        ", ".join(_network(spec, each) for each in spec.surrogates) or "-",
        _network(spec, checkpoint_of(victim) or str(getattr(victim, "model", ""))),
    )


def _network(spec: ExperimentSpec, name: str) -> str:
    """A checkpoint, or what is common to those a trial draws from."""
    if name != SAMPLED:
        return name
    return f"{spec.sampled_from[0].rsplit('-s', 1)[0]}, one of {len(spec.sampled_from)}"


def _access(spec: ExperimentSpec) -> str:
    """By names alone: contents are compared when an experiment runs."""
    victim = spec.victims[0]
    name = checkpoint_of(victim) or str(getattr(victim, "model", ""))
    if name in spec.surrogates:
        return "WB"
    model = name.split("-")[0]
    return "GB" if model in {each.split("-")[0] for each in spec.surrogates} else "BB"
