"""Twins of single trials, trained once for all attacks: a twin never sees a poison.

What a twin says is kept under everything its training and the questions follow from. Another attack
on the same setup, and a control, whose victim is its own twin, then find it.
"""

import contextlib
import hashlib
import json
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from poisoning.models import Network
from poisoning.spec import digest
from poisoning.victim_params import Recipe
from poisoning.victims import Bench, VictimBatch
from poisoning.victims.judging import Answers, Course

KIND = "answers"  # in the cache


def key(net: Network, recipe: Recipe, bench: Bench, batch: VictimBatch, t: int) -> str:
    """Of the twin of trial ``t`` that starts as ``net``."""
    trigger = batch.trigger
    return digest(
        {
            "start": _content(net),
            "recipe": recipe.model_dump(mode="json"),
            "data": [bench.data.md5, list(bench.mean), list(bench.std)],
            "images": [batch.clean[t].tolist(), batch.base_indices[t].tolist()],
            "seed": [batch.seed, batch.indices[t]],
            "classes": [int(batch.base_labels[t]), int(batch.target_labels[t])],
            "target": _bytes(batch.targets[t]),
            "trigger": None if trigger is None else [_bytes(trigger.patch), list(trigger.place)],
            "precision": bench.precision,
        }
    )


def find(bench: Bench, key: str) -> Answers | None:
    path = bench.cache.find(KIND, f"{key}.json")
    if path is None:
        return None
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        return _read(json.loads(path.read_bytes()))
    bench.cache.drop(KIND, f"{key}.json")
    return None


def keep(bench: Bench, key: str, answers: Answers) -> None:
    words = {
        "logits": answers.logits.tolist(),  # float64: the text holds every bit
        "clean_accuracy": answers.clean_accuracy,
        "patched": [answers.patched_hits, answers.patched_images],
        **asdict(answers.course),
    }
    bench.cache.put(KIND, f"{key}.json", lambda path: path.write_text(json.dumps(words)))


def _read(words: dict[str, Any]) -> Answers:
    hits, images = words["patched"]
    logits = torch.tensor(words["logits"], dtype=torch.float64)
    # of a twin that an earlier version trained the margins are known, and no distances
    course = Course(words["margins"], words.get("distances", []), words.get("nearest", []))
    return Answers(logits, words["clean_accuracy"], hits, images, course)


def _content(net: Network) -> str:
    """Hash of all weights and buffers, with their names."""
    found = hashlib.sha256()
    for name, tensor in net.state_dict().items():
        found.update(name.encode())
        found.update(_raw(tensor))
    return found.hexdigest()


def _bytes(tensor: Tensor) -> str:
    return hashlib.sha256(_raw(tensor)).hexdigest()


def _raw(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().numpy().tobytes()
