"""Victims trained by SGD, and with augmentation: one factor of the baselines at a time."""

from typing import Any

from poisoning import presets, published
from poisoning.published import NOTHING, Published
from poisoning.spec import ExperimentSpec, vary
from poisoning.studies.study import Line, Place, Study, in_profiles

TABLE = "Baselines when victims are trained by SGD, and with augmentation"
ORIGINAL, SGD, AUGMENTED = "original", "SGD", "SGD and augmentation"
# SGD needs rates of its own; these are the unified benchmark's, whose victims are trained by it.
BY_SGD: dict[str, Any] = {
    "victims.0.recipe.optimizer": "sgd",
    "victims.0.recipe.learning_rate": 0.01,
    "victims.0.recipe.momentum": 0.9,
    "victims.0.recipe.weight_decay": 2e-4,
}


def settings(name: str, spec: ExperimentSpec) -> dict[str, tuple[ExperimentSpec, Published]]:
    """The columns of one attack. Where the original is SGD already, that is its own column."""
    is_adam = spec.victims[0].recipe.optimizer == "adam"
    by_sgd = vary(spec, BY_SGD) if is_adam else spec
    other = not by_sgd.victims[0].recipe.augment
    flipped = vary(by_sgd, {"victims.0.recipe.augment": other})
    plain, augmented = (by_sgd, flipped) if other else (flipped, by_sgd)
    columns = {SGD: (plain, published.SGD.get(name, NOTHING)), AUGMENTED: (augmented, NOTHING)}
    if is_adam:
        return {ORIGINAL: (spec, published.BASELINES[name])} | columns
    original = AUGMENTED if spec.victims[0].recipe.augment else SGD
    return columns | {original: (spec, published.BASELINES[name])}


def lines() -> list[Line]:
    made = []
    for name, baseline in presets.BASELINES.items():
        for column, (spec, value) in settings(name, baseline()).items():
            reference = (name, ORIGINAL) if value.direction else None
            place = Place(TABLE, name, column, published=value, reference=reference)
            made.append(Line(f"{name}, {column}", spec, (place,)))
    return made


STUDY = Study(
    name="sgd_and_augmentation",
    title="SGD and augmentation",
    description=(
        "The baselines with victims trained by SGD instead of Adam, without and with random crops "
        "and flips. On record: Feature Collision and Convex Polytope lose much of their success."
    ),
    lines=in_profiles(lines),
)
