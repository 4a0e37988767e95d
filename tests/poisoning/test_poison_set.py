import hashlib
import json
import os
import pickle
import shutil

import numpy as np
import pytest
from safetensors.numpy import save as to_bytes

from poisoning import poison_set
from poisoning.poison_set import PoisonSet, PoisonSetError


def some_set(**changes):
    generator = np.random.default_rng(0)
    bases = generator.integers(0, 256, (3, 3, 8, 8), dtype=np.uint8)
    values = {
        "poisons": bases ^ 1,
        "labels": np.full(3, 4, dtype=np.int64),
        "base_indices": np.array([7, 5, 9]),
        "target": generator.integers(0, 256, (1, 3, 8, 8), dtype=np.uint8),
        "target_label": 2,
        "target_index": 11,
        "base_class": 4,
        "bases": bases,
        "manifest": {"attack": {"name": "x", "eps_255": 8.0}, "dataset": "digits"},
    }
    return PoisonSet(**(values | changes))


def same(one, two):
    arrays = ("poisons", "labels", "base_indices", "target", "bases", "trigger")
    plain = ("target_label", "target_index", "base_class", "trigger_place", "manifest")
    return all(np.array_equal(getattr(one, a), getattr(two, a)) for a in arrays) and all(
        getattr(one, p) == getattr(two, p) for p in plain
    )


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"bases": None},
        {"trigger": np.full((3, 5, 5), 255, np.uint8), "trigger_place": (3, 3)},
    ],
    ids=["plain", "without bases", "with a trigger"],
)
def test_comes_back_as_it_was_saved(tmp_path, changes):
    made = some_set(**changes)
    path = poison_set.save(made, tmp_path)
    assert same(poison_set.load(path), made)


def test_the_name_is_the_hash_of_the_content_and_of_nothing_else(tmp_path):
    made = some_set()
    path = poison_set.save(made, tmp_path / "a")
    assert path.stem == made.content_hash == hashlib.sha256(path.read_bytes()).hexdigest()
    again = poison_set.save(some_set(), tmp_path / "b")
    assert again.name == path.name and again.read_bytes() == path.read_bytes()
    moved = tmp_path / "elsewhere"  # a store names files as it likes
    shutil.copy(path, moved)
    os.utime(moved, (0, 0))
    assert poison_set.load(moved).content_hash == path.stem
    reordered = some_set(manifest={"dataset": "digits", "attack": {"eps_255": 8.0, "name": "x"}})
    assert reordered.content_hash == path.stem
    strided = some_set(poisons=np.asfortranarray(made.poisons))
    assert strided.content_hash == path.stem


def test_one_changed_pixel_or_label_is_another_set():
    made, pixels = some_set(), some_set().poisons.copy()
    pixels[0, 0, 0, 0] ^= 1
    hashes = {
        made.content_hash,
        some_set(poisons=pixels).content_hash,
        some_set(target_index=12).content_hash,
        some_set(base_indices=np.array([7, 5, 8])).content_hash,
        some_set(manifest={}).content_hash,
    }
    assert len(hashes) == 5


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("poisons", np.zeros((3, 3, 8, 8), np.float32)),
        ("poisons", np.zeros((3, 8, 8), np.uint8)),
        ("poisons", np.zeros((0, 3, 8, 8), np.uint8)),
        ("target", np.zeros((1, 3, 9, 9), np.uint8)),
        ("target", np.zeros((3, 8, 8), np.uint8)),
        ("bases", np.zeros((2, 3, 8, 8), np.uint8)),
        ("labels", np.zeros(2, np.int64)),
        ("labels", np.zeros(3, np.int32)),
        ("base_indices", np.array([1, -2, 3])),
        ("target_label", 4),
        ("target_label", -1),
        ("target_index", 1.5),
        ("base_class", True),
        ("trigger_place", (0, 0)),
    ],
)
def test_what_is_no_poison_set_is_refused_by_field(field, value):
    with pytest.raises(PoisonSetError) as refused:
        some_set(**{field: value})
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("trigger", "place"),
    [((3, 5, 5), (4, 3)), ((3, 5, 5), (-1, 0)), ((1, 5, 5), (0, 0)), ((3, 9, 1), (0, 0))],
)
def test_a_trigger_must_fit_into_the_image(trigger, place):
    with pytest.raises(PoisonSetError) as refused:
        some_set(trigger=np.zeros(trigger, np.uint8), trigger_place=place)
    assert refused.value.field == "trigger"


def written(tmp_path, tensors=None, head=None, text=None):
    made = some_set()
    base = {n: getattr(made, n) for n in ("poisons", "labels", "base_indices", "target")}
    about = {
        "format": poison_set.FORMAT, "target_label": 2, "target_index": 11, "base_class": 4,
        "trigger_place": None, "manifest": {},
    } | (head or {})  # fmt: skip
    arrays = {k: v for k, v in (base | (tensors or {})).items() if v is not None}
    about = {k: v for k, v in about.items() if v != "absent"}
    path = tmp_path / "set"
    metadata = {"manifest": json.dumps(about) if text is None else text}
    path.write_bytes(to_bytes(arrays, metadata))
    return path


def test_a_file_written_by_hand_is_read(tmp_path):
    assert poison_set.load(written(tmp_path)).target_index == 11


@pytest.mark.parametrize(
    ("field", "faulty"),
    [
        ("poisons", {"tensors": {"poisons": None}}),
        ("poisons", {"tensors": {"poisons": np.zeros((3, 3, 8, 8), np.float16)}}),
        ("surprise", {"tensors": {"surprise": np.zeros(3, np.uint8)}}),
        ("manifest", {"text": "not JSON"}),
        ("manifest", {"text": "[1]"}),
        ("manifest", {"head": {"manifest": []}}),
        ("format", {"head": {"format": "other/9"}}),
        ("target_index", {"head": {"target_index": "absent"}}),
        ("target_index", {"head": {"target_index": "3"}}),
        ("extra", {"head": {"extra": 1}}),
        ("trigger_place", {"head": {"trigger_place": 7}}),
    ],
)
def test_a_faulty_file_is_refused_by_field(tmp_path, field, faulty):
    with pytest.raises(PoisonSetError) as refused:
        poison_set.load(written(tmp_path, **faulty))
    assert refused.value.field == field


def test_a_pickle_is_refused_and_never_run(tmp_path):
    canary = tmp_path / "canary"

    class Bomb:
        def __reduce__(self):
            return (open, (str(canary), "w"))

    path = tmp_path / "set.safetensors"
    path.write_bytes(pickle.dumps([Bomb()]))
    with pytest.raises(PoisonSetError):
        poison_set.load(path)
    assert not canary.exists()


@pytest.mark.parametrize("cut", [0, 1, 7, 8, 100, 1000, -1])
def test_a_cut_file_is_refused(tmp_path, cut):
    path = poison_set.save(some_set(), tmp_path)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(PoisonSetError):
        poison_set.load(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(PoisonSetError):
        poison_set.load(tmp_path / "nothing")
