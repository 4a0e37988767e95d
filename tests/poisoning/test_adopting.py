"""Weights trained elsewhere become a checkpoint, by a job and by the command line."""

import json
import os

import pytest
import torch
from pydantic import ValidationError

from poisoning import adopting, cli, data, running
from poisoning.events import AdoptJob, CheckpointDone, Failed, Machine
from poisoning.models import build, store
from poisoning.models.evaluate import clean_accuracy
from poisoning.recipes import RECIPES
from poisoning.spec import CHECKPOINT_SPEC, AdoptSpec, FieldError, PretrainSpec
from poisoning.work import execute

NET = build("convnet3", 5, seed=1).eval()
SPEC = AdoptSpec(model="convnet3", dataset="digits_0_4", filename="theirs.pt", sha256="3f" * 32)


def theirs(folder, prefix="module.", name="theirs.pt"):
    """A training script's file: weights under a key, names as DataParallel leaves them."""
    state = {f"{prefix}{key}": value for key, value in NET.state_dict().items()}
    torch.save({"state_dict": state, "epoch": 3}, folder / name)
    return folder / name


def job(folder, source, **changes):
    machine = Machine(data_dir=str(folder), work_dir=str(folder / "work"), device="cpu")
    return AdoptJob(
        name="ours", spec=SPEC, source=str(source), machine=machine
    ).model_copy(update=changes)  # fmt: skip


def events_of(asked):
    said = []
    assert execute(asked, said.append) is None
    return said


def test_it_is_judged_here_and_stored_without_a_recipe(tmp_path):
    (done,) = (
        e for e in events_of(job(tmp_path, theirs(tmp_path))) if isinstance(e, CheckpointDone)
    )
    net, card = store.load(tmp_path / "work" / done.path)
    digits = data.load("digits_0_4", tmp_path)
    assert card.clean_accuracy == clean_accuracy(NET, digits.test, (0.5,) * 3, (0.5,) * 3)
    assert card.test_images == len(digits.test) and card.dataset_md5 == digits.md5
    assert card.recipe is None and card.seconds is None
    assert card.source == "trained elsewhere; read from theirs.pt, named as in dosimeter"
    assert all(torch.equal(v, NET.state_dict()[k]) for k, v in net.state_dict().items())


def test_the_same_weights_for_other_images_are_another_checkpoint(tmp_path):
    source, found = theirs(tmp_path), {}
    for dataset in ("digits_0_4", "digits_5_9"):
        spec = SPEC.model_copy(update={"dataset": dataset})
        adopting.run(
            job(tmp_path, source, spec=spec),
            lambda e, to=dataset: found.update({to: e}) if isinstance(e, CheckpointDone) else None,
        )
    assert found["digits_0_4"].sha256 != found["digits_5_9"].sha256
    there = {found["digits_0_4"].sha256: "earlier"}
    with pytest.raises(FieldError, match="here already, as 'earlier'"):
        adopting.run(job(tmp_path, source, there=there), lambda e: None)


def test_images_that_are_not_there_are_the_data_sets_fault(tmp_path):
    torch.save(build("convnet3", 10, seed=0).state_dict(), tmp_path / "theirs.pt")
    spec = SPEC.model_copy(update={"dataset": "cifar10"})
    failed = execute(job(tmp_path, tmp_path / "theirs.pt", spec=spec), lambda e: None)
    assert isinstance(failed, Failed) and failed.field == "dataset" and failed.remedy


class Hostile:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_a_job_with_code_in_its_file_fails_and_runs_none(tmp_path):
    torch.save({"linear.weight": Hostile(tmp_path / "canary")}, tmp_path / "theirs.pt")
    failed = execute(job(tmp_path, tmp_path / "theirs.pt"), lambda e: None)
    assert isinstance(failed, Failed) and failed.reason == "bad_data"
    assert failed.field == "file" and failed.remedy and "theirs.pt holds more" in failed.message
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"model": "convnet33"}, "convnet3"),
        ({"dataset": "digits"}, "digits_0_4"),
        ({"naming": "their"}, "naming"),
        ({"renames": ["no rule"]}, "renames.0"),
        ({"renames": [["(", ""]]}, "renames.0"),
        ({"renames": [["a", r"\9"]]}, "renames.0"),
        ({"renames": ["a" * 201 + "=b"]}, "renames.0"),
        ({"sha256": "x"}, "sha256"),
        ({"epochs": 3}, "epochs"),
    ],
)
def test_a_spec_names_what_is_wrong_with_it(changes, field):
    with pytest.raises(ValidationError, match=field):
        AdoptSpec.model_validate(SPEC.model_dump() | changes)


def test_specs_of_checkpoints_are_told_apart():
    rules = SPEC.model_copy(update={"renames": (("(?=a)", "b"),)})
    assert AdoptSpec.model_validate(SPEC.model_dump() | {"renames": ["(?=a)=b"]}) == rules
    for spec in (SPEC, rules, PretrainSpec()):
        assert CHECKPOINT_SPEC.validate_python(spec.model_dump(mode="json")) == spec


# --- the command line ---------------------------------------------------------------------------


def adopt(folder, *more, name="theirs", model="convnet3"):
    source = folder / "theirs.pt"
    given = ["--name", name, "--model", model, "--dataset", "digits_0_4", "--device", "cpu"]
    return cli.main(["adopt", str(source), *given, "--out", str(folder / "out"), *more])


def test_a_command_adopts_it_and_an_experiment_uses_it(tmp_path, capsys):
    theirs(tmp_path, prefix="net/")
    assert adopt(tmp_path, "--rename", "^net/=") == 0
    path = tmp_path / "out" / "checkpoints" / "theirs.safetensors"
    card = store.read_card(path)
    said = capsys.readouterr()
    assert f"{100 * card.clean_accuracy:.2f} % of {card.test_images:,} clean" in said.out
    raw = {
        "attack": {"name": "no_perturbation"},
        "victims": [{"regime": "frozen", "checkpoint": "theirs", "recipe": {"epochs": 1}}],
        "data": {"dataset": "digits_5_9", "train_size": 60, "poisons": 3},
        "trials": 1,
    }
    (tmp_path / "spec.json").write_text(json.dumps(raw))
    asked = ["run", str(tmp_path / "spec.json"), "--out", str(tmp_path / "out"), "--device", "cpu"]
    assert cli.main(asked) == 0
    assert running._sha256(path) == card.sha256, "it is taken as it is"
    assert adopt(tmp_path, "--rename", "^net/=") == 2
    assert "--name: there is" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "more", "words"),
    [
        ({"name": "No Name"}, [], "--name: 'No Name' is no name"),
        ({"name": next(iter(RECIPES))}, [], "--name: "),
        ({"model": "convnet33"}, [], "model: there is no model named 'convnet33'"),
        ({}, ["--dataset", "digits"], "dataset: there is no data set named 'digits'"),
        ({}, ["--dataset", "digits_5_9", "--naming", ""], "naming: there is no naming"),
        ({}, ["--naming", "their"], "naming: there is no naming named 'their'"),
        ({}, ["--rename", "x"], "renames.0: 'x' is not PATTERN=REPLACEMENT"),
        ({"model": "resnet6_w16"}, [], "file: theirs.pt does not fit the architecture"),
        ({}, ["--naming", "resnet18_row"], "naming: theirs.pt does not fit"),
    ],
)
def test_bad_input_is_one_message_and_leaves_nothing(tmp_path, capsys, changes, more, words):
    theirs(tmp_path, prefix="" if more != ["--naming", "resnet18_row"] else "net/")
    assert adopt(tmp_path, "--data-dir", str(tmp_path), *more, **changes) == 2
    errors = [x for x in capsys.readouterr().err.splitlines() if x.startswith("error: ")]
    assert len(errors) == 1 and errors[0].startswith(f"error: {words}"), errors
    assert not list(tmp_path.glob("out/checkpoints/*"))


def test_a_file_that_is_not_there_is_one_message(tmp_path, capsys):
    assert adopt(tmp_path) == 2
    assert "error: file: " in capsys.readouterr().err
