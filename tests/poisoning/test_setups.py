"""Setups drawn by seed, and the benchmark's lists in both their forms."""

import json
import os
import pickle
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch

from poisoning import data, inert_pickle
from poisoning.data import DataCorrupt, DataMissing, setups
from poisoning.events import Setup
from poisoning.spec import BENCHMARK_SETUPS, DataSpec, FieldError

DIGITS = DataSpec(dataset="digits_5_9", train_size=400, poisons=5)
CIFAR = DataSpec(setups="cifar10_transfer_learning")


def drawn(digits, index, seed=0, **changes) -> Setup:
    return setups.setup(DIGITS.model_copy(update=changes), digits, seed, index, ".")


def test_a_setup_says_what_the_data_set_says(digits):
    for index in range(50):
        setup = drawn(digits, index)
        assert digits.test.labels[setup.target_index] == setup.target_class
        bases = torch.tensor(setup.base_indices)
        assert (digits.train.labels[bases] == setup.base_class).all()
        assert setup.base_class != setup.target_class
        assert len(set(setup.base_indices)) == 5


def test_the_same_trial_is_the_same_for_ever(digits):
    assert drawn(digits, 3) == drawn(digits, 3)
    assert drawn(digits, 3) != drawn(digits, 4)
    assert drawn(digits, 3) != drawn(digits, 3, seed=1)
    pinned = Setup(
        target_class=4, target_index=190, base_class=1, base_indices=(94, 500, 553, 558, 332)
    )
    assert drawn(digits, 0) == pinned


def test_no_target_comes_twice_before_all_have_come_once(digits):
    n = len(digits.test)
    targets = [drawn(digits, index).target_index for index in range(n + 1)]
    assert sorted(targets[:n]) == list(range(n))
    assert targets[n] == targets[0]


def test_all_pairs_of_classes_occur(digits):
    pairs = {(s.target_class, s.base_class) for s in (drawn(digits, i) for i in range(200))}
    assert len(pairs) == 20


def test_named_classes_are_kept_to(digits):
    for index in range(20):
        setup = drawn(digits, index, target_class="7", base_class="9")
        assert (setup.target_class, setup.base_class) == (2, 4)
    assert all(drawn(digits, i, base_class="9").target_class != 4 for i in range(100))


def test_more_poisons_than_the_class_has_images_is_refused(digits):
    with pytest.raises(FieldError, match=r"data\.poisons.*130 training images"):
        drawn(digits, 0, poisons=131)


# --- the benchmark's lists --------------------------------------------------------------------


@pytest.mark.parametrize("name", BENCHMARK_SETUPS)
def test_the_original_pickle_reads_like_the_json(name, shared):
    folder = shared / "setups"
    from_pickle = setups.parse_pickle((folder / f"{name}.pickle").read_bytes())
    assert from_pickle == setups.parse_json((folder / f"{name}.json").read_bytes())
    assert len(from_pickle) == 100
    assert setups.parse_json(setups.to_json(from_pickle).encode()) == from_pickle


@pytest.mark.parametrize("suffix", ["json", "pickle"])
def test_a_list_is_taken_from_the_data_folder(suffix, shared, cifar10, tmp_path):
    folder = tmp_path / "setups"
    folder.mkdir()
    source = shared / "setups" / f"{CIFAR.setups}.{suffix}"
    (folder / source.name).write_bytes(source.read_bytes())
    setup = setups.setup(CIFAR, cifar10, 0, 35, tmp_path)
    assert setup == setups.parse_json((shared / "setups" / f"{CIFAR.setups}.json").read_bytes())[35]
    fewer = setups.setup(CIFAR.model_copy(update={"poisons": 5}), cifar10, 0, 35, tmp_path)
    assert fewer.base_indices == setup.base_indices[:5]
    for changes, field in (({"poisons": 26}, "data.poisons"), ({}, "trials")):
        with pytest.raises(FieldError, match=field):
            setups.setup(
                CIFAR.model_copy(update=changes), cifar10, 0, 100 * (not changes), tmp_path
            )


def test_every_listed_setup_agrees_with_real_cifar10(shared, cifar10, tmp_path):
    (tmp_path / "setups").symlink_to(shared / "setups")
    for name, poisons in (("cifar10_transfer_learning", 25), ("cifar10_from_scratch", 500)):
        spec = DataSpec(setups=name, poisons=poisons, train_size=50_000)
        found = [setups.setup(spec, cifar10, 0, index, tmp_path) for index in range(100)]
        assert {len(setup.base_indices) for setup in found} == {poisons}
        assert all(setup.base_class != setup.target_class for setup in found)


def test_a_list_of_another_data_set_is_refused(digits, tmp_path):
    (tmp_path / "setups").mkdir()
    wrong = Setup(target_class=1, target_index=0, base_class=0, base_indices=(0,))
    (tmp_path / "setups" / "cifar10_transfer_learning.json").write_text(setups.to_json([wrong]))
    spec = DataSpec.model_construct(**{**DIGITS.model_dump(), "setups": CIFAR.setups, "poisons": 1})
    with pytest.raises(DataCorrupt, match="does not fit Digits 5 to 9"):
        setups.setup(spec, digits, 0, 0, tmp_path)


def test_a_missing_list_names_the_folder(digits, tmp_path):
    with pytest.raises(DataMissing, match=r"dosimeter data download") as caught:
        setups.setup(CIFAR, digits, 0, 0, tmp_path)
    assert caught.value.field == "data.setups"


@pytest.mark.parametrize("content", [b"", b"{}", b'[{"target_class": 1}]', b"\x80\x04."])
def test_what_is_no_list_is_corrupt(content, digits, tmp_path):
    (tmp_path / "setups").mkdir()
    for suffix in ("json", "pickle"):
        path = tmp_path / "setups" / f"{CIFAR.setups}.{suffix}"
        path.write_bytes(content)
        with pytest.raises(DataCorrupt, match="is not a list of setups"):
            setups.setup(CIFAR, digits, 0, 0, tmp_path)
        path.unlink()


@pytest.fixture
def published(shared, monkeypatch):
    """The benchmark's repository, standing in for itself on this machine."""
    monkeypatch.setattr(SimpleHTTPRequestHandler, "log_message", lambda *args: None)
    handler = partial(SimpleHTTPRequestHandler, directory=str(shared / "setups"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(setups, "SOURCE", f"http://127.0.0.1:{server.server_port}")
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("name", BENCHMARK_SETUPS)
def test_a_list_can_be_fetched(name, published, shared, tmp_path):
    data.download(name, tmp_path)
    expected = setups.parse_json((shared / "setups" / f"{name}.json").read_bytes())
    assert setups.read_list(name, tmp_path) == expected
    assert [p.name for p in (tmp_path / "setups").iterdir()] == [f"{name}.json"]


def test_another_list_than_the_published_one_is_refused(published, tmp_path, monkeypatch):
    monkeypatch.setitem(setups.SHA256, CIFAR.setups, "0" * 64)
    with pytest.raises(DataCorrupt, match="not the published list"):
        data.download(CIFAR.setups, tmp_path)
    assert not list(tmp_path.iterdir())


def test_no_network_says_where_to_put_it(tmp_path, monkeypatch):
    monkeypatch.setattr(setups, "SOURCE", "http://127.0.0.1:1")
    with pytest.raises(DataMissing, match=r"cannot be fetched.*copy it into"):
        data.download(CIFAR.setups, tmp_path)


# --- pickles are read, not executed -----------------------------------------------------------


class Touch:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("protocol", range(6))
def test_a_hostile_pickle_does_nothing(protocol, tmp_path):
    hostile = pickle.dumps([{"target class": Touch(tmp_path / "canary")}], protocol)
    with pytest.raises(inert_pickle.PickleRefused):
        setups.parse_pickle(hostile)
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("dtype", ["int8", "int64", "uint16", "float32", "float64", "bool"])
def test_numpy_values_survive(protocol, dtype):
    array = np.arange(12).reshape(3, 4).astype(dtype)
    for value in (array, np.asfortranarray(array), array[2, 3]):
        read = inert_pickle.as_array(inert_pickle.read(pickle.dumps(value, protocol)))
        assert read.dtype == array.dtype and np.array_equal(read, value)


def test_mutants_of_a_real_list_never_raise_anything_else(shared):
    original = (shared / "setups" / "cifar10_transfer_learning.pickle").read_bytes()[:4000]
    random = np.random.default_rng(0)
    for _ in range(300):
        mutant = bytearray(original)
        for place in random.integers(0, len(mutant), 3):
            mutant[place] = random.integers(0, 256)
        with pytest.raises(inert_pickle.PickleRefused):
            inert_pickle.read(bytes(mutant))  # cut short, so never whole


def test_a_large_file_is_refused_unread():
    with pytest.raises(inert_pickle.PickleRefused, match="more than"):
        inert_pickle.read(bytes(inert_pickle.LARGEST_FILE + 1))


def test_json_is_one_object_per_setup(shared):
    text = (shared / "setups" / "cifar10_from_scratch.json").read_text()
    assert {len(entry["base_indices"]) for entry in json.loads(text)} == {500}
