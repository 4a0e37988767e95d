"""Crafting a batch of trials, resumably: from setups to poison sets on disk."""

import contextlib
import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from poisoning import attacks, identity, poison_set
from poisoning.attacks.batch import CraftBatch
from poisoning.attacks.report import OnStep, Report
from poisoning.data.augment import apply_views, draw_views
from poisoning.devices import Spent, Stopwatch
from poisoning.events import Setup
from poisoning.inputs import Inputs
from poisoning.poison_set import PoisonSet, PoisonSetError
from poisoning.spec import digest, seed_for

STATE = "craft.state"
SHARED = "crafted"  # their kind in the cache
FORGOTTEN = {"note": "crafted by an earlier version, which kept no provenance"}


@dataclass(frozen=True)
class Crafted:
    """The poisons of one trial, stored."""

    index: int
    setup: Setup
    craft_hash: str
    poison_set: PoisonSet
    path: str  # below the work folder
    spent: Spent
    final_loss: float | None  # of the attack's objective, on the stored pixels
    provenance: dict[str, Any]


def craft(
    inputs: Inputs, indices: Sequence[int], setups: Sequence[Setup], on_step: OnStep
) -> list[Crafted]:
    """The poison sets of these trials. Those an earlier attempt at the job finished, or another
    experiment of this machine, are read.
    """
    hashes = [craft_hash(inputs, i, setup) for i, setup in zip(indices, setups, strict=True)]
    trials = list(zip(indices, setups, hashes, strict=True))
    found = {h: crafted for i, s, h in trials if (crafted := _stored(inputs, i, s, h))}
    missing = [trial for trial in trials if trial[2] not in found]
    if missing:
        fresh = _craft(inputs, missing, on_step)
        found |= {crafted.craft_hash: crafted for crafted in fresh}
    return [found[h] for h in hashes]


def craft_hash(inputs: Inputs, index: int, setup: Setup) -> str:
    """What the poisons of a trial follow from."""
    surrogates = [inputs.checkpoints[name].card.sha256 for name in inputs.spec.surrogates]
    return identity.craft_hash(inputs.spec, index, setup, surrogates, inputs.data.md5)


def _craft(inputs: Inputs, trials: list[tuple[int, Setup, str]], on_step: OnStep) -> list[Crafted]:
    watch, spec = Stopwatch(inputs.device), inputs.spec
    attack = attacks.load(spec.attack.name)
    batch = compose(inputs, [index for index, _, _ in trials], [setup for _, setup, _ in trials])
    key = digest([craft_hash for _, _, craft_hash in trials])
    report = Report(on_step, inputs.work_dir / STATE, key, batch.generators)
    poisons = attack.craft(spec.attack, batch, inputs.surrogates, report)
    stored = (poisons * 255).round().to(torch.uint8)  # rounded, never truncated
    losses: list[float | None] = [None] * len(trials)
    if attack.objective is not None:
        losses = attack.objective(spec.attack, batch, inputs.surrogates, stored / 255).tolist()
    spent, found = watch.spent(len(trials)), []
    for (index, setup, made_by), pixels, loss in zip(trials, stored.cpu(), losses, strict=True):
        made = _poison_set(inputs, setup, pixels, made_by)
        path = poison_set.save(made, inputs.work_dir)
        crafted = Crafted(index, setup, made_by, made, path.name, spent, loss, inputs.provenance)
        _note(inputs, crafted)
        _share(inputs, crafted)
        found.append(crafted)
    report.forget()
    return found


def compose(inputs: Inputs, indices: Sequence[int], setups: Sequence[Setup]) -> CraftBatch:
    """What the attack gets to see of these trials, on the device."""
    bases = torch.tensor([setup.base_indices for setup in setups])
    train, device = inputs.data.train, inputs.device
    return CraftBatch(
        bases=train.images[bases].to(device) / 255,
        targets=_target_views(inputs, indices, setups).to(device) / 255,
        base_labels=torch.tensor([setup.base_class for setup in setups], device=device),
        target_labels=torch.tensor([setup.target_class for setup in setups], device=device),
        generators=tuple(
            torch.Generator().manual_seed(seed_for(inputs.spec.seed, index, "craft"))
            for index in indices
        ),
        mean=inputs.mean,
        std=inputs.std,
        sources=_sources(inputs, indices, setups),
        trigger=inputs.trigger,
    )


def _target_views(inputs: Inputs, indices: Sequence[int], setups: Sequence[Setup]) -> Tensor:
    """Each trial's target, then as many drawn views of it as the attack asks for; uint8."""
    count = getattr(inputs.spec.attack, "target_views", 1) - 1
    views = []
    for index, setup in zip(indices, setups, strict=True):
        target = inputs.data.test.images[setup.target_index][None]
        generator = torch.Generator().manual_seed(seed_for(inputs.spec.seed, index, "views"))
        drawn = apply_views(target.expand(count, -1, -1, -1), *draw_views(generator, count))
        views.append(torch.cat([target, drawn]))
    return torch.stack(views)


def _sources(inputs: Inputs, indices: Sequence[int], setups: Sequence[Setup]) -> Tensor | None:
    """For a backdoor: training images of the target class, as many as there are bases, drawn."""
    if inputs.trigger is None:
        return None
    train, drawn = inputs.data.train, []
    for index, setup in zip(indices, setups, strict=True):
        of_class = torch.where(train.labels == setup.target_class)[0]
        generator = torch.Generator().manual_seed(seed_for(inputs.spec.seed, index, "sources"))
        chosen = torch.randperm(len(of_class), generator=generator)[: len(setup.base_indices)]
        drawn.append(train.images[of_class[chosen]])
    return torch.stack(drawn).to(inputs.device) / 255


def _poison_set(inputs: Inputs, setup: Setup, pixels: Tensor, made_by: str) -> PoisonSet:
    indices, trigger = torch.tensor(setup.base_indices), inputs.trigger
    manifest: dict[str, Any] = {
        "dataset": inputs.data.spec.name,
        "dataset_md5": inputs.data.md5,
        "attack": inputs.spec.attack.model_dump(mode="json"),
        "craft_hash": made_by,
    }
    return PoisonSet(
        poisons=pixels.numpy(),
        labels=torch.full_like(indices, setup.base_class).numpy(),
        base_indices=indices.numpy(),
        target=inputs.data.test.images[setup.target_index][None].numpy(),
        target_label=setup.target_class,
        target_index=setup.target_index,
        base_class=setup.base_class,
        bases=inputs.data.train.images[indices].numpy(),
        trigger=None if trigger is None else trigger.to_uint8().patch.numpy(),
        trigger_place=None if trigger is None else trigger.place,
        manifest=manifest,
    )


# --- what an earlier attempt at the same job left ---------------------------------------------


def _note(inputs: Inputs, crafted: Crafted) -> None:
    """Remember which file a craft made, with what is not in it."""
    note = inputs.work_dir / "crafted" / f"{crafted.craft_hash}.json"
    note.parent.mkdir(exist_ok=True)
    partial = note.with_suffix(".part")
    partial.write_text(_about(crafted), encoding="utf-8")
    partial.replace(note)


def _about(crafted: Crafted) -> str:
    return json.dumps(
        {
            "file": crafted.path,
            **asdict(crafted.spent),
            "final_loss": crafted.final_loss,
            "provenance": crafted.provenance,
        }
    )


def _stored(inputs: Inputs, index: int, setup: Setup, made_by: str) -> Crafted | None:
    note = inputs.work_dir / "crafted" / f"{made_by}.json"
    if not note.is_file():
        _fetch(inputs, made_by, note)
    try:
        about = json.loads(note.read_text(encoding="utf-8"))
        made = poison_set.load(inputs.work_dir / about["file"])
        if f"{made.content_hash}.safetensors" != about["file"]:
            return None
        spent, loss = Spent(about["seconds"], about.get("device_seconds")), about["final_loss"]
        provenance = about.get("provenance", FORGOTTEN)
    except (OSError, ValueError, KeyError, PoisonSetError):
        return None  # half written or not there: crafted anew
    return Crafted(index, setup, made_by, made, about["file"], spent, loss, provenance)


# --- what other experiments of this machine left ----------------------------------------------


def _share(inputs: Inputs, crafted: Crafted) -> None:
    stored, key = inputs.work_dir / crafted.path, crafted.craft_hash
    inputs.cache.put(SHARED, f"{key}.safetensors", lambda path: shutil.copyfile(stored, path))
    inputs.cache.put(SHARED, f"{key}.json", lambda path: path.write_text(_about(crafted)))


def _fetch(inputs: Inputs, made_by: str, note: Path) -> None:
    """Bring what the cache has of a craft into the work folder, where it is checked when read."""
    about = inputs.cache.find(SHARED, f"{made_by}.json")
    poisons = inputs.cache.find(SHARED, f"{made_by}.safetensors")
    if about is None or poisons is None:
        return
    with contextlib.suppress(OSError):  # evicted in between
        data = poisons.read_bytes()
        name = f"{hashlib.sha256(data).hexdigest()}.safetensors"
        (inputs.work_dir / name).write_bytes(data)
        note.parent.mkdir(exist_ok=True)
        shutil.copyfile(about, note)
