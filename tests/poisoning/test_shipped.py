"""Checkpoints that come with the project: taken, not trained, and judged as they are stored."""

import json
from pathlib import Path

import pytest
import torch

from poisoning import cli, data, pretrain, shipped
from poisoning.events import CheckpointDone, Machine, PretrainJob
from poisoning.models import shipping, store
from poisoning.models.evaluate import clean_accuracy
from poisoning.recipes import RECIPES

NAME = "convnet3-digits_0_4-s0"


def trained(folder, **fields) -> CheckpointDone:
    folder.mkdir(exist_ok=True)
    spec = RECIPES[NAME].model_copy(update=fields)
    machine = Machine(data_dir=".", work_dir=str(folder), device="cpu", threads=1)
    said = []
    pretrain.run(PretrainJob(name=NAME, spec=spec, machine=machine), said.append)
    return next(event for event in said if isinstance(event, CheckpointDone))


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """A folder of shipped checkpoints that holds one, trained for an epoch by another recipe."""
    folder = tmp_path / "shelf"
    monkeypatch.setattr(shipped, "FOLDER", folder)
    monkeypatch.setitem(RECIPES, NAME, RECIPES[NAME].model_copy(update={"epochs": 1}))
    trained(tmp_path / "made")
    shipping.ship(tmp_path / "made" / f"{NAME}.safetensors", ".", folder)
    return folder


def test_what_is_shipped_is_taken_and_not_trained(shelf, tmp_path, monkeypatch):
    monkeypatch.setattr(pretrain.Training, "train_epoch", None)  # nobody may train
    done = trained(tmp_path / "work")
    stored = store.read_card(shelf / f"{NAME}.safetensors")
    assert done.sha256 == stored.sha256 == store.content_hash(tmp_path / "work" / done.path)
    net, card = store.load(tmp_path / "work" / done.path)
    judged = clean_accuracy(net, data.load("digits_0_4", ".").test, card.mean, card.std)
    assert done.clean_accuracy == card.clean_accuracy == judged


def test_it_is_stored_in_half_precision_and_judged_so(shelf, tmp_path):
    whole = tmp_path / "made" / f"{NAME}.safetensors"
    assert (shelf / whole.name).stat().st_size < 0.6 * whole.stat().st_size
    kept, exact = store.load(shelf / whole.name)[0], store.load(whole)[0]
    for mine, theirs in zip(kept.parameters(), exact.parameters(), strict=True):
        assert mine.dtype == torch.float32 and (mine == theirs.half().float()).all()


def test_another_recipe_of_that_name_is_trained(shelf, tmp_path):
    assert shipped.find(NAME, RECIPES[NAME]) is not None
    assert shipped.find(NAME, RECIPES[NAME].model_copy(update={"seed": 9})) is None
    assert shipped.find("nobody", RECIPES[NAME]) is None
    done = trained(tmp_path / "other", seed=9)
    assert done.sha256 != store.read_card(shelf / f"{NAME}.safetensors").sha256


def test_every_one_of_ours_is_whole_known_by_name_and_what_its_card_says():
    total = 0
    for path in shipped.FOLDER.glob("*.safetensors"):
        card = store.read_card(path)
        assert RECIPES[card.name] == card.recipe and path.stem == card.name
        store.load(path)  # the hash of its card, the shape of its model
        assert card.hardware and card.seconds and card.versions
        total += path.stat().st_size
    assert total < 100e6


def test_the_command_stores_one_and_refuses_a_foreign_one(shelf, tmp_path, capsys):
    made = tmp_path / "made" / f"{NAME}.safetensors"
    assert cli.main(["ship", str(made), "--to", str(tmp_path / "new")]) == 0
    assert "as it is stored" in capsys.readouterr().out
    card = made.with_suffix(".json")
    card.write_text(json.dumps(json.loads(card.read_text()) | {"recipe": None}))
    assert cli.main(["ship", str(made), "--to", str(tmp_path / "new")]) == 2
    assert "not trained by a recipe of ours" in capsys.readouterr().err
    assert cli.main(["ship", str(tmp_path / "nothing.safetensors")]) == 2


def test_the_page_says_what_the_cards_say():
    page = Path(__file__).parents[2] / "docs" / "checkpoints.md"
    assert shipped.markdown() in page.read_text(encoding="utf-8")
    names = [line[0].strip("`") for line in shipped.table()]
    assert names == sorted(path.stem for path in shipped.FOLDER.glob("*.safetensors"))
