"""Attacks, per poison and step: ``poisoning.attacks`` beside a script for one trial.

Both sides craft the same trial from the same draws, and the stored poisons are compared.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from benchmarks import plain
from benchmarks.measure import Case, Check, Skipped
from benchmarks.stage import Stage
from poisoning import attacks, devices, params
from poisoning.attacks import witches_brew
from poisoning.attacks.batch import CraftBatch
from poisoning.attacks.report import Report
from poisoning.ops import projections
from poisoning.spec import Precision

EPS = projections.radius(8)
UNIT = "poison-step"
NEARLY_ALL, FAST = 0.99, 0.80  # of the pixels; Adam and signs carry on what rounding turned over


def cases(stage: Stage) -> Iterator[Case | Skipped]:
    """FC in both rules, BP, CP, HTBD, CLBD and Witches' Brew; then those that gain by bf16."""
    yield from _collisions(stage)
    exact = [*_polytopes(stage, "exact"), _hidden(stage, "exact"), _clean(stage, "exact"),
             _brew(stage, "exact")]  # fmt: skip
    yield from exact
    fast_goals = {"BP": 5.0, "CP": 5.0, "HTBD": 5.0, "CLBD": 3.5, "Witches' Brew": 2.4}
    if not devices.has_bf16("cpu"):
        for name, goal in {"FC": 8.0, **fast_goals}.items():
            yield Skipped(f"{name}, fast", "this processor has no bf16 instructions", goal)
        return
    yield from (_collision(stage, "fast"), *_polytopes(stage, "fast"), _hidden(stage, "fast"))
    yield from (_clean(stage, "fast"), _brew(stage, "fast"))


def _craft(name: str, knobs: Any, stage: Stage, precision: Precision) -> Callable[[], Tensor]:
    """Ours, of one trial [J, C, H, W]; the surrogates are made once, as in a job."""
    surrogates, attack = stage.surrogates(precision), attacks.load(name)
    return lambda: attack.craft(knobs, stage.batch(), surrogates, Report())[0]


def _named(name: str, precision: Precision) -> str:
    return name if precision == "exact" else f"{name}, fast"


def _collisions(stage: Stage) -> Iterator[Case]:
    yield _collision(stage, "exact")
    size, batch = stage.size, stage.batch()
    knobs = params.FeatureCollisionReference(steps=4 * size.steps)
    yield Case(
        name="FC, benchmark's rule (refused poisons freeze)",
        unit=UNIT,
        plain=_one_by_one(
            stage, batch, lambda net, base: plain.feature_collision_reference(
                net, stage.normalized, base, batch.targets[0], _frogs(knobs)
            ),
        ),
        ours=_craft("feature_collision_reference", knobs, stage, "exact"),
        plain_units=size.alone * knobs.steps,
        ours_units=size.poisons * knobs.steps,
        check=lambda a, b: _equal_pixels(torch.cat(a), b[: size.alone], 1.0),
        goal=8.0,
        note="how many freeze depends on the extractor; this one has learned next to nothing",
    )  # fmt: skip


def _collision(stage: Stage, precision: Precision) -> Case:
    size, batch = stage.size, stage.batch()
    knobs = params.FeatureCollision(steps=4 * size.steps)

    def check(theirs: list[tuple[Tensor, int]], ours: Tensor) -> Check:
        found = _equal_pixels(
            torch.cat([x for x, _ in theirs]), ours[: size.alone], _at_least(1.0, precision)
        )
        is_whole = all(judged == knobs.steps + 1 for _, judged in theirs)
        return Check(found.holds and is_whole, f"{found.text}; none done before the last step")

    return Case(
        name=_named("FC, rejects tried again", precision),
        unit=UNIT,
        plain=_one_by_one(
            stage, batch, lambda net, base: plain.feature_collision(
                net, stage.normalized, base, batch.targets[0], _frogs(knobs)
            ),
        ),
        ours=_craft("feature_collision", knobs, stage, precision),
        plain_units=size.alone * knobs.steps,
        ours_units=size.poisons * knobs.steps,
        check=check,
        goal=2.5 if precision == "exact" else 8.0,
        note=f"the plain way is timed on {size.alone} of {size.poisons} poisons",
    )  # fmt: skip


def _one_by_one(
    stage: Stage, batch: CraftBatch, craft: Callable[[Any, Tensor], Any]
) -> Callable[[], list[Any]]:
    net, bases = stage.plain_net(), batch.bases[0, : stage.size.alone, None]
    return lambda: [craft(net, base) for base in bases]


def _frogs(knobs: params.FeatureCollision | params.FeatureCollisionReference) -> plain.Frogs:
    return plain.Frogs(EPS, knobs.steps, knobs.step_size, knobs.step_decay, knobs.watermark)


def _polytopes(stage: Stage, precision: Precision) -> Iterator[Case]:
    size, batch, net = stage.size, stage.batch(), stage.plain_net()
    forms: list[tuple[str, str, Any, Callable[[], Any]]] = [
        ("BP", "bullseye_polytope", params.BullseyePolytope, lambda: plain.bullseye),
        ("CP", "convex_polytope", params.ConvexPolytope,
         lambda: plain.ConvexPolytope(size.poisons)),
    ]  # fmt: skip
    for short, name, model, distance in forms:
        knobs = model(steps=size.steps)
        case = _of_all(
            stage,
            _named(short, precision),
            lambda knobs=knobs, distance=distance: plain.polytope(
                net, stage.normalized, batch.bases[0], batch.targets[0], EPS, knobs.steps,
                knobs.learning_rate, stage.scale, distance(),
            ),
            _craft(name, knobs, stage, precision),
            goal=1.45 if precision == "exact" else 5.0,
            least=_at_least(NEARLY_ALL, precision),
        )  # fmt: skip
        yield (
            case
            if name != "convex_polytope"
            else replace(
                case,
                check=lambda a, b, knobs=knobs, name=name: _no_worse(stage, name, knobs, a, b),
                note="how long the plain solver takes depends on the extractor",
            )
        )


def _no_worse(stage: Stage, name: str, knobs: Any, a: Tensor, b: Tensor) -> Check:
    """Where a coefficient is exactly 0 its poison does not move; where it is nearly 0, Adam moves
    it as far as any other. So the pixels differ, and what both lower is compared.
    """
    objective, surrogates = attacks.load(name).objective, stage.surrogates()
    assert objective is not None
    start, theirs, ours = (
        objective(knobs, stage.batch(), surrogates, x[None]).item()
        for x in (stage.batch().bases[0], a, b)
    )
    return Check(
        ours <= 1.01 * theirs, f"objective {start:.4g}, plain {theirs:.4g}, ours {ours:.4g}"
    )


def _hidden(stage: Stage, precision: Precision) -> Case:
    batch, net = stage.batch(), stage.plain_net()
    knobs = params.HiddenTriggerBackdoor(steps=stage.size.steps, tolerance=0)
    assert batch.trigger is not None and batch.sources is not None
    stamped = batch.trigger.stamp(batch.sources[0])
    return _of_all(
        stage,
        _named("HTBD", precision),
        lambda: plain.hidden_trigger(
            net, stage.normalized, batch.bases[0], stamped, EPS, knobs.steps, knobs.learning_rate
        ),
        _craft("hidden_trigger_backdoor", knobs, stage, precision),
        goal=1.45 if precision == "exact" else 5.0,
        least=_at_least(1.0, precision),
    )


def _clean(stage: Stage, precision: Precision) -> Case:
    batch, net = stage.batch(), stage.plain_net()
    knobs = params.CleanLabelBackdoor(steps=stage.size.steps)
    trigger = batch.trigger
    assert trigger is not None

    def one() -> Tensor:
        generator = torch.Generator().manual_seed(0)  # CLBD draws for a whole trial at once
        label, size = int(batch.base_labels[0]), knobs.step_size_255 / 255
        x = plain.clean_label(
            net, stage.normalized, batch.bases[0], label, EPS, knobs.steps, size, generator
        )
        return trigger.stamp(x)

    return _of_all(
        stage,
        _named("CLBD", precision),
        one,
        _craft("clean_label_backdoor", knobs, stage, precision),
        goal=None if precision == "exact" else 3.5,
        least=_at_least(NEARLY_ALL, precision),
        note="" if precision == "fast" else "a plain script wastes nothing here",
    )


def _brew(stage: Stage, precision: Precision) -> Case:
    """One gradient of the matching loss, which is what a step costs."""
    batch, shift = stage.batch(), float(params.WitchesBrew().max_shift)
    x = witches_brew.random_start(batch, EPS)
    start = batch.generators[0].get_state()
    brew = witches_brew.Brew(batch, stage.surrogates(precision))
    generator = torch.Generator()
    step = plain.witches_brew(
        stage.plain_net(), stage.normalized(x[0]), stage.normalized(batch.targets[0]),
        int(batch.base_labels[0]), shift, generator,
    )  # fmt: skip

    def one() -> tuple[Tensor, Tensor]:
        generator.set_state(start)
        loss, by_z = step()
        return loss, by_z / stage.scale

    def ours() -> tuple[Tensor, Tensor]:
        batch.generators[0].set_state(start)
        loss, by_x = brew.loss_and_gradient(x, shift)
        return loss[0], by_x[0]

    return Case(
        name=_named("Witches' Brew", precision),
        unit=UNIT,
        plain=one,
        ours=ours,
        plain_units=stage.size.poisons,
        ours_units=stage.size.poisons,
        check=lambda a, b: _same_gradient(a, b, precision),
        goal=1.35 if precision == "exact" else 2.4,
        note="the input gradient of one step",
    )


def _same_gradient(
    a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor], precision: Precision
) -> Check:
    cosine = torch.cosine_similarity(a[1].double().flatten(), b[1].double().flatten(), 0).item()
    signs = (a[1].sign() == b[1].sign()).float().mean().item()
    least = (0.99999, 0.999) if precision == "exact" else (0.99, 0.95)
    return Check(
        cosine >= least[0] and signs >= least[1],
        f"cosine of the gradients {cosine:.7f}, {100 * signs:.2f} % of the signs equal",
    )


def _of_all(
    stage: Stage,
    name: str,
    one: Callable[[], Tensor],
    ours: Callable[[], Tensor],
    goal: float | None,
    least: float,
    note: str = "",
) -> Case:
    units = stage.size.poisons * stage.size.steps
    return Case(
        name, UNIT, one, ours, units, units, lambda a, b: _equal_pixels(a, b, least), goal, note
    )


def _at_least(exact: float, precision: Precision) -> float:
    return exact if precision == "exact" else FAST


def _equal_pixels(a: Tensor, b: Tensor, least: float) -> Check:
    stored = [(x.view(b.shape) * 255).round() for x in (a, b)]
    equal = (stored[0] == stored[1]).float().mean().item()
    return Check(equal >= least, f"{100 * equal:.3f} % of the stored pixels equal")
