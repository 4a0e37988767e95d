"""Checkpoints trained elsewhere: the weights come over, and nothing else does."""

import lzma
import os

import pytest
import torch
from safetensors.torch import save_file

from poisoning import data
from poisoning.data import Split
from poisoning.models import build, foreign
from poisoning.models.evaluate import clean_accuracy
from poisoning.models.store import CheckpointError

SHIPPED = "checkpoints/resnet18_cifar100_8epochs.pth.xz"
SMALL = "resnet18_w16"


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


def own_names(groups: bool, model: str = "resnet18") -> dict[str, torch.Tensor]:
    """A ResNet-18's weights under the names two other code bases give them."""
    renamed = {}
    for key, value in build(model, 5, seed=3).state_dict().items():
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
    with pytest.raises(CheckpointError, match=r"more than tensors \(it asks for \w+.mkdir") as said:
        foreign.read_tensors(path)
    assert said.value.field == "file" and "weights_only" not in str(said.value)
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
        foreign.fit(build("convnet3", 5, seed=0), {}, "a.pt", "theirs")


@pytest.mark.parametrize("naming", ["resnet_groups", "resnet18_row"])
def test_the_naming_is_found(naming):
    tensors = own_names(naming == "resnet_groups", SMALL)
    net = build(SMALL, 5, seed=0)
    assert foreign.fit(net, tensors, "a.pt") == naming
    assert torch.equal(net.linear.weight, tensors["linear.weight"])


def test_torchvisions_words_are_known_too():
    tensors = {
        key.replace(".shortcut.", ".downsample.").replace("linear.", "fc."): value
        for key, value in own_names(True, SMALL).items()
    }
    assert foreign.fit(build(SMALL, 5, seed=0), tensors, "a.pt") == "resnet_groups"


def vgg_row():
    """features.0, features.1, features.4, ...: ReLU and pooling are counted, and have no names."""
    at, names = 0, {}
    for stage, convolutions in enumerate((1, 1, 2, 2, 2)):
        for number in range(convolutions):
            for offset in (0, 1):
                names[f"stages.{stage}.{3 * number + offset}."] = f"features.{at + offset}."
            at += 3
        at += 1
    return names | {"linear.": "classifier."}


def mobilenet_row():
    """layers.0 to layers.16, each with conv1, bn1, ... conv3, bn3."""
    names, layer = {}, 0
    for ours, theirs in (("0.0", "conv1"), ("0.1", "bn1"), ("8.0", "conv2"), ("8.1", "bn2")):
        names[f"stages.{ours}."] = f"{theirs}."
    inner = {0: "conv1", 1: "bn1", 3: "conv2", 4: "bn2", 6: "conv3", 7: "bn3"}
    for group, depth in enumerate((1, 2, 3, 4, 3, 3, 1), 1):
        for block in range(depth):
            for place, name in inner.items():
                names[f"stages.{group}.{block}.body.{place}."] = f"layers.{layer}.{name}."
            names[f"stages.{group}.{block}.shortcut."] = f"layers.{layer}.shortcut."
            layer += 1
    return names


@pytest.mark.parametrize(
    ("model", "naming", "names"),
    [("vgg11", "vgg11_row", vgg_row()), ("mobilenet_v2", "mobilenet_v2_row", mobilenet_row())],
)
def test_networks_whose_layers_stand_in_one_row(model, naming, names):
    def theirs(key):
        prefix = next((p for p in names if key.startswith(p)), "")
        return names.get(prefix, "") + key[len(prefix) :]

    own = build(model, 5, seed=3).state_dict()
    tensors = {theirs(key): value for key, value in own.items()}
    assert not tensors.keys() & {key for key in own if key.startswith("stages")}
    net = build(model, 5, seed=0)
    assert foreign.fit(net, tensors, "a.pt") == naming
    assert all(torch.equal(value, own[key]) for key, value in net.state_dict().items())


def test_names_are_brought_in_line_before_the_naming():
    tensors = {f"encoder/{key}": value for key, value in own_names(True, SMALL).items()}
    net = build(SMALL, 5, seed=0)
    assert foreign.fit(net, tensors, "a.pt", own=((r"^encoder/", ""),)) == "resnet_groups"
    with pytest.raises(CheckpointError, match=r"file|missing"):
        foreign.fit(net, tensors, "a.pt")


def test_what_does_not_fit_says_how_the_nearest_naming_differs():
    tensors = own_names(True, SMALL)
    del tensors["bn1.weight"]
    tensors |= {"linear.weight": torch.zeros(7, 128), "ema.decay": torch.zeros(1)}
    with pytest.raises(CheckpointError) as said:
        foreign.fit(build(SMALL, 5, seed=0), tensors, "a.pt")
    assert said.value.field == "file" and "renames" in said.value.remedy
    for words in (
        "a.pt does not fit the architecture with any naming; the nearest is resnet_groups",
        "missing: stages.0.1.weight",
        "not part of it: ema.decay",
        "of another shape: linear.weight (7, 128) for (5, 128)",
    ):
        assert words in said.value.message
    with pytest.raises(CheckpointError) as said:
        foreign.fit(build(SMALL, 5, seed=0), tensors, "a.pt", "dosimeter")
    assert said.value.field == "naming" and "and 117 more" in said.value.message


def test_two_tensors_under_one_name_do_not_fit():
    tensors = own_names(True, SMALL)
    tensors["module.bn1.weight"] = torch.ones(16)
    with pytest.raises(CheckpointError, match=r"a second stages\.0\.1\.weight"):
        foreign.fit(build(SMALL, 5, seed=0), tensors, "a.pt", "resnet_groups")


@pytest.mark.parametrize(
    "tensor",
    [torch.zeros(2, 2).to_sparse(), torch.zeros(2, dtype=torch.complex64)],
    ids=["sparse", "complex"],
)
def test_tensors_that_are_no_plain_numbers_are_refused(tensor, tmp_path):
    torch.save({"a": tensor}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="more than named tensors"):
        foreign.read_tensors(tmp_path / "a.pt")


def test_the_form_of_a_file_is_known_by_its_content(tmp_path):
    save_file({"a": torch.ones(2)}, tmp_path / "plain")
    (tmp_path / "packed").write_bytes(lzma.compress((tmp_path / "plain").read_bytes()))
    for name in ("plain", "packed"):
        assert torch.equal(foreign.read_tensors(tmp_path / name)["a"], torch.ones(2))


def test_the_wrong_architecture_is_refused(tmp_path):
    torch.save(own_names(groups=True), tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="does not fit the architecture"):
        foreign.import_state_dict(tmp_path / "a.pt", "vgg11", 5, naming="resnet_groups")


def test_an_archive_that_unpacks_without_end_is_cut_off(tmp_path, monkeypatch):
    monkeypatch.setattr(foreign, "LARGEST_FILE", 2**20)
    (tmp_path / "bomb.pth.xz").write_bytes(lzma.compress(bytes(2**24), preset=0))
    with pytest.raises(CheckpointError, match="larger than"):
        foreign.read_tensors(tmp_path / "bomb.pth.xz")
