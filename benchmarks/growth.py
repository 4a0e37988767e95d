"""How the cost of crafting grows: with trials, with poisons, with surrogates. Ours alone."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.measure import Clock
from benchmarks.stage import CPU, Stage
from poisoning import attacks, params
from poisoning.attacks.batch import Surrogates
from poisoning.attacks.report import Report

NET, STEPS = "resnet6_w16", 2


@dataclass(frozen=True)
class Growth:
    """Milliseconds per trial, poison, surrogate and step, for each size of one thing."""

    name: str
    of: str
    sizes: tuple[int, ...]
    ms: tuple[float, ...]


def measure(stage: Stage, clock: Clock = time.process_time) -> Iterator[Growth]:
    """On a small network, so that what is not the network can be seen."""
    size, few = stage.size, min(5, stage.size.poisons)
    bp = params.BullseyePolytope(steps=STEPS)
    cp = params.ConvexPolytope(steps=STEPS)
    htbd = params.HiddenTriggerBackdoor(steps=STEPS, tolerance=0)
    wib = params.WitchesBrew(steps=STEPS, restarts=1)
    plans: list[tuple[str, Any, str, tuple[int, ...], Callable[[int], tuple[int, int, int]]]] = [
        ("BP", bp, "trials", size.growth_trials, lambda n: (n, few, 1)),
        ("CP", cp, "trials", size.growth_trials, lambda n: (n, few, 1)),
        ("BP", bp, "poisons", size.growth_poisons, lambda n: (1, n, 1)),
        ("HTBD", htbd, "poisons", size.growth_poisons, lambda n: (1, n, 1)),
        ("WiB", wib, "poisons", size.growth_poisons, lambda n: (1, n, 1)),
        ("BP", bp, "surrogates", size.growth_surrogates, lambda n: (1, few, n)),
        ("WiB", wib, "surrogates", size.growth_surrogates, lambda n: (1, few, n)),
    ]
    for name, knobs, of, sizes, shape in plans:
        ms = tuple(_per_unit(stage, knobs, *shape(n), clock) for n in sizes)
        yield Growth(name, of, sizes, ms)


def _per_unit(
    stage: Stage, knobs: Any, trials: int, poisons: int, nets: int, clock: Clock
) -> float:
    networks = [stage.fresh(NET, seed) for seed in range(nets)]
    surrogates = Surrogates(networks, stage.mean, stage.std, CPU)
    batch, craft = stage.batch(trials, poisons), attacks.load(knobs.name).craft
    craft(knobs.model_copy(update={"steps": 1}), batch, surrogates, Report())  # warm-up
    started = clock()
    craft(knobs, batch, surrogates, Report())
    return 1000 * (clock() - started) / (trials * poisons * nets * knobs.steps)
