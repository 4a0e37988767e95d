"""Checkpoints trained elsewhere: the weights come over, and nothing else does."""

import lzma
import os

import pytest
import torch
from safetensors.torch import save_file

from poisoning import data
from poisoning.data import Split
from poisoning.models import build, foreign, store
from poisoning.models.evaluate import clean_accuracy
from poisoning.models.store import CheckpointError

SHIPPED = "checkpoints/resnet18_cifar100_8epochs.pth.xz"


def test_a_real_foreign_extractor_keeps_its_accuracy(shared, real_data):
    """66.4 % over 10,000 images by its own account; the first 1,000 here."""
    net = foreign.import_state_dict(shared / SHIPPED, "resnet18", 100, naming="resnet18_row")
    cifar100 = data.load("cifar100", real_data)
    row = cifar100.spec
    first = Split(cifar100.test.images[:1000], cifar100.test.labels[:1000])
    accuracy = clean_accuracy(net, first, row.mean, row.std, "fast")
    assert accuracy == pytest.approx(0.664, abs=0.03)
    unnormalised = clean_accuracy(
        net, Split(first.images[:200], first.labels[:200]), (0.0,) * 3, (1.0,) * 3
    )
    assert unnormalised < accuracy - 0.1


def own_names(groups: bool) -> dict[str, torch.Tensor]:
    """A ResNet-18's weights under the names two other code bases give them."""
    renamed = {}
    for key, value in build("resnet18", 5, seed=3).state_dict().items():
        parts = key.split(".")
        if parts[0] == "stages" and parts[1] == "0":
            key = ".".join([("conv1", "bn1")[int(parts[2])], *parts[3:]])
        elif parts[0] == "stages" and groups:
            key = ".".join([f"layer{parts[1]}", *parts[2:]])
        elif parts[0] == "stages":
            block = 2 * (int(parts[1]) - 1) + int(parts[2])
            key = ".".join(["layers", str(block), *parts[3:]]).replace(".shortcut.", ".short.")
        renamed[key] = value
    return renamed


@pytest.mark.parametrize("naming", ["resnet_groups", "resnet18_row"])
@pytest.mark.parametrize("form", ["pth", "pth.xz", "safetensors", "safetensors.xz", "wrapped.pt"])
def test_every_form_and_naming_comes_over_whole(naming, form, tmp_path):
    tensors = own_names(groups=naming == "resnet_groups")
    path = tmp_path / f"net.{form.removesuffix('.xz')}"
    if "safetensors" in form:
        save_file(tensors, path)
    elif "wrapped" in form:
        torch.save({"net": {f"module.{k}": v for k, v in tensors.items()}, "epoch": 200}, path)
    else:
        torch.save(tensors, path)
    if form.endswith(".xz"):
        packed = path.with_name(path.name + ".xz")
        packed.write_bytes(lzma.compress(path.read_bytes(), preset=0))
        path = packed
    net = foreign.import_state_dict(path, "resnet18", 5, naming=naming)
    expected = build("resnet18", 5, seed=3).state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in net.state_dict().items())


def test_an_adopted_checkpoint_is_judged_and_stored(tmp_path):
    source, target = tmp_path / "theirs.pt", tmp_path / "ours.safetensors"
    net = build("convnet3", 5, seed=0).eval()
    torch.save(net.state_dict(), source)
    card = foreign.adopt(
        source,
        target,
        name="ours",
        model="convnet3",
        dataset="digits_0_4",
        naming="dosimeter",
        data_dir=tmp_path,
    )
    digits = data.load("digits_0_4", tmp_path)
    assert card.clean_accuracy == clean_accuracy(net, digits.test, (0.5,) * 3, (0.5,) * 3)
    assert card.source == "imported from theirs.pt" and card.recipe is None
    assert store.load(target)[1] == card


class Hostile:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("is_legacy", [False, True])
def test_a_file_with_code_is_refused_and_not_run(is_legacy, tmp_path):
    path, canary = tmp_path / "hostile.pth", tmp_path / "canary"
    torch.save(
        {"linear.weight": Hostile(canary)}, path, _use_new_zipfile_serialization=not is_legacy
    )
    with pytest.raises(CheckpointError, match="holds more than tensors"):
        foreign.read_tensors(path)
    assert not canary.exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.pth", b"", "holds more than tensors"),
        ("a.pth", b"text", "holds more than tensors"),
        ("a.safetensors", b"text", "no safetensors file"),
        ("a.pth.xz", b"text", "cannot be read"),
    ],
)
def test_what_is_no_checkpoint_is_refused(name, content, message, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        foreign.read_tensors(tmp_path / name)


@pytest.mark.parametrize("value", [[1, 2], {}, {"epoch": 3}, {1: torch.zeros(1)}])
def test_what_is_no_state_dict_is_refused(value, tmp_path):
    torch.save(value, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=r"no state dict|more than named tensors"):
        foreign.read_tensors(tmp_path / "a.pt")


def test_a_missing_file_and_an_unknown_naming(tmp_path):
    with pytest.raises(CheckpointError, match="cannot be read"):
        foreign.read_tensors(tmp_path / "gone.pth")
    with pytest.raises(CheckpointError, match=r"no naming 'theirs'.*resnet_groups"):
        foreign.import_state_dict(tmp_path / "gone.pth", "convnet3", 5, naming="theirs")


def test_the_wrong_architecture_is_refused(tmp_path):
    torch.save(own_names(groups=True), tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="does not fit the architecture"):
        foreign.import_state_dict(tmp_path / "a.pt", "vgg11", 5, naming="resnet_groups")


def test_an_archive_that_unpacks_without_end_is_cut_off(tmp_path, monkeypatch):
    monkeypatch.setattr(foreign, "LARGEST_FILE", 2**20)
    (tmp_path / "bomb.pth.xz").write_bytes(lzma.compress(bytes(2**24), preset=0))
    with pytest.raises(CheckpointError, match="larger than"):
        foreign.read_tensors(tmp_path / "bomb.pth.xz")
