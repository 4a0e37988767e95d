"""Real CIFAR-10 through the whole stack: REST, database, worker, a child that trains and crafts.

The extractor has three convolutions and has seen CIFAR-100 once, so that two cores can pretrain it
here; its name says so. The rates of five trials on it mean nothing and are not looked
at; that every piece is real, and fits the others, is.
"""

import re
from pathlib import Path

import httpx
import numpy as np
import pytest

from app.client import Client
from poisoning import data, poison_set

pytestmark = [pytest.mark.timeout(900)]
SMALL = "convnet3-cifar100-1ep-s0"
EPS_255, POISONS, TRIALS = 16, 5, 5
SPEC = {
    "attack": {"name": "bullseye_polytope", "eps_255": EPS_255, "steps": 40},
    "surrogates": [SMALL],
    "victims": [{"regime": "frozen", "checkpoint": SMALL}],
    "data": {"dataset": "cifar10", "train_size": 500, "poisons": POISONS},
    "trials": TRIALS,
    "profile": "smoke",
}


def test_an_experiment_on_cifar10_by_rest(real_data: Path, server: str, tmp_path: Path) -> None:
    with Client(server) as bench:
        launched = bench.launch(SPEC, title="CIFAR-10, small extractor")
        ended = bench.wait(launched["id"], timeout_s=800)
        trials = list(bench.trials(launched["id"]))
        shown = {row["name"]: row for row in bench.checkpoints()}[SMALL]
        stored = bench.download_poison_set(trials[0]["poison_set"], tmp_path / "0.safetensors")

    assert ended["state"] == "done", ended["error"]
    assert [trial["number"] for trial in trials] == list(range(TRIALS))
    assert shown["state"] == "ready"
    assert shown["clean_images"] == 10_000
    assert shown["clean_accuracy"] > 0.2  # chance on CIFAR-100 is 0.01
    (victim,) = ended["victims"]
    assert victim["access"] == "white_box"
    assert victim["success"]["n"] == TRIALS
    assert victim["clean_accuracy"] > 0.25  # chance on CIFAR-10 is 0.1

    real = data.load("cifar10", real_data)
    for trial in trials:
        assert 0 < trial["linf_255"] <= EPS_255
        assert int(real.test.labels[trial["target_index"]]) == trial["target_class"]
        assert trial["target_class"] != trial["base_class"]
    _assert_poisons_are_changed_cifar_images(stored, trials[0], real)
    _assert_gallery(server, launched["id"])


def _assert_poisons_are_changed_cifar_images(
    stored: Path, trial: dict[str, object], real: data.LoadedDataset
) -> None:
    """The file has the very images of the train split, and changes that stay in the budget."""
    made = poison_set.load(stored)
    assert made.base_indices.tolist() == trial["base_indices"]
    bases = real.train.images[made.base_indices].numpy()
    changed = np.abs(made.poisons.astype(int) - bases.astype(int))
    assert changed.max() == trial["linf_255"]
    assert (made.target[0] == real.test.images[made.target_index].numpy()).all()


def _assert_gallery(server: str, experiment_id: int) -> None:
    """The trial's page shows target, bases, poisons and differences, each a real PNG."""
    page = httpx.get(f"{server}/experiments/{experiment_id}/trials/0")
    assert page.status_code == 200
    sources = re.findall(r'<img class="pixels"[^>]* src="([^"]+)"', page.text)
    assert len(set(sources)) == 1 + 3 * POISONS, "one of the poisons is shown again, closely"
    for source in sources:
        image = httpx.get(server + source)
        assert image.headers["content-type"] == "image/png"
        assert image.content.startswith(b"\x89PNG")
