"""Checkpoints as files: what comes back is what went in, and nothing else is accepted."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from poisoning.models import build, store
from poisoning.models.store import Card, CheckpointError

CARD = Card(
    name="tiny",
    model="convnet3",
    num_classes=5,
    image_size=32,
    dataset="digits_0_4",
    dataset_md5="0" * 32,
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
    clean_accuracy=0.2,
    test_images=251,
)


@pytest.fixture
def saved(tmp_path):
    net = build("convnet3", 5, seed=1)
    path = tmp_path / "folder" / "tiny.safetensors"
    return net, path, store.save(path, net, CARD)


def test_what_is_loaded_is_what_was_saved(saved):
    net, path, card = saved
    loaded, read = store.load(path)
    assert read == card and card.sha256 == store.content_hash(path)
    assert not loaded.training
    for key, value in net.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value)


def test_equal_networks_have_equal_hashes(saved, tmp_path):
    net, _, card = saved
    again = store.save(tmp_path / "again.safetensors", net, CARD)
    other = store.save(tmp_path / "other.safetensors", build("convnet3", 5, seed=2), CARD)
    assert again.sha256 == card.sha256 != other.sha256


def test_half_precision_halves_the_file_and_loads_as_float32(saved, tmp_path):
    net, path, _ = saved
    half = tmp_path / "half.safetensors"
    store.save(half, net, CARD, torch.float16)
    assert half.stat().st_size < 0.6 * path.stat().st_size
    loaded, _ = store.load(half)
    assert loaded.linear.weight.dtype == torch.float32
    assert torch.equal(loaded.linear.weight, net.linear.weight.half().float())


def test_no_partial_file_is_left(saved):
    _, path, _ = saved
    assert sorted(p.name for p in path.parent.iterdir()) == ["tiny.json", "tiny.safetensors"]


def test_a_missing_checkpoint_says_so(tmp_path):
    with pytest.raises(CheckpointError, match=r"there is no file .*gone\.safetensors"):
        store.load(tmp_path / "gone.safetensors")


def test_one_changed_byte_is_noticed(saved):
    _, path, _ = saved
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="not the file its card describes"):
        store.load(path)


def rewrite(path, **changes):
    card = json.loads(store.card_path(path).read_text()) | changes
    card["sha256"] = changes.get("sha256", store.content_hash(path))
    store.card_path(path).write_text(json.dumps(card))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "resnet6_w16"}, "does not fit the architecture"),
        ({"num_classes": 6}, r"linear.bias \(5,\) for \(6,\)"),
        ({"model": "convnet4"}, "did you mean convnet3"),
        ({"clean_accuracy": "high"}, "is no card"),
        ({"favourite": 1}, "is no card"),
    ],
)
def test_a_card_that_lies_is_refused(saved, changes, message):
    _, path, _ = saved
    rewrite(path, **changes)
    with pytest.raises(CheckpointError, match=message):
        store.load(path)


def test_tensors_that_are_missing_are_named(saved):
    _, path, _ = saved
    tensors = load_file(path)
    del tensors["linear.bias"]
    save_file(tensors, path)
    rewrite(path)
    with pytest.raises(CheckpointError, match=r"missing: linear\.bias"):
        store.load(path)


def test_what_is_no_safetensors_file_is_refused(saved):
    _, path, _ = saved
    path.write_bytes(b"\x80\x04K\x01.")
    rewrite(path)
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        store.load(path)
