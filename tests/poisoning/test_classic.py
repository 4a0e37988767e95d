"""The benchmark's classic form of a poison set: read without executing it, and written."""

import os
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from poisoning import check, classic, cli, inert_pickle, inert_tensor, poison_set
from poisoning.check import BudgetBroken
from poisoning.data import setups
from poisoning.poison_set import PoisonSet, PoisonSetError

RANDOM = np.random.default_rng(5)
TRAIN = RANDOM.integers(0, 256, (40, 3, 32, 32), dtype=np.uint8)
TEST = RANDOM.integers(0, 256, (2100, 3, 32, 32), dtype=np.uint8)
IMAGES = classic.Images(TRAIN, TEST, np.arange(2100) % 4)
LIST = "cifar10_transfer_learning"


def some_set(**changes):
    indices = np.array([6, 2, 10])
    values = {
        "poisons": TRAIN[indices] ^ 1,
        "labels": np.full(3, 2),
        "base_indices": indices,
        "target": TEST[2053][None],
        "target_label": 1,
        "target_index": 2053,
        "base_class": 2,
        "bases": TRAIN[indices],
    }
    return PoisonSet(**(values | changes))


def trigger(size=5):
    patch = RANDOM.integers(0, 256, (3, size, size), dtype=np.uint8)
    return {"trigger": patch, "trigger_place": (22, 23)}


def unpickled(path):
    """What the benchmark would see of a file that we wrote."""
    return pickle.loads(path.read_bytes())  # noqa: S301


# --- the published set ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def published(shared, cifar10):
    images = classic.Images(
        cifar10.train.images.numpy(), cifar10.test.images.numpy(), cifar10.test.labels.numpy()
    )
    return classic.read(shared / "poison_sets" / "cp_example", images)


def test_the_published_set_was_made_for_setup_35(published, shared):
    listed = setups.parse_json((shared / "setups" / f"{LIST}.json").read_bytes())
    assert classic.matching(published, listed) == 35
    assert published.target_label == listed[35].target_class
    assert len(published.poisons) == 25
    others = setups.parse_json((shared / "setups" / "cifar10_from_scratch.json").read_bytes())
    assert classic.matching(published, others) is None


def test_the_published_set_breaks_8_and_keeps_to_the_references_tolerance(published, cifar10):
    """Its writer truncated: changes go from -9 to +8."""
    images, labels = cifar10.train.images.numpy(), cifar10.train.labels.numpy()
    with pytest.raises(BudgetBroken, match="9/255, beyond 8/255"):
        check.check(published, images, labels, "linf", 8)
    assert check.check_as_reference(published, images, labels).linf_255 == 9
    change = published.poisons.astype(int) - published.bases
    assert (change.min(), change.max()) == (-9, 8)


def test_the_reference_tolerance_is_9_and_not_10(published, cifar10):
    images, labels = cifar10.train.images.numpy(), cifar10.train.labels.numpy()
    poisons = published.bases.astype(np.int64)
    poisons[3, 0, 0, 0] += 10 if poisons[3, 0, 0, 0] < 128 else -10
    with pytest.raises(BudgetBroken, match=r"poison 3 .* 10/255, beyond 9/255"):
        check.check_as_reference(
            replace(published, poisons=poisons.astype(np.uint8)), images, labels
        )


def test_the_command_checks_and_converts_the_published_set(shared, real_data, tmp_path, capsys):
    folder = shared / "poison_sets" / "cp_example"
    data = tmp_path / "data"
    data.mkdir()
    (data / "cifar-10-batches-py").symlink_to(real_data / "cifar-10-batches-py")
    (data / "setups").symlink_to(shared / "setups")
    places = ["--data-dir", str(data)]
    assert cli.main(["check", str(folder), *places]) == 1
    assert "refused: eps_255: " in capsys.readouterr().err
    assert cli.main(["check", str(folder), *places, "--tolerance", "reference"]) == 0
    assert f"made for setup 35 of {LIST}" in capsys.readouterr().out
    assert cli.main(["convert", str(folder), *places, "--out", str(tmp_path / "ours")]) == 0
    (file,) = (tmp_path / "ours").iterdir()
    assert str(file) in capsys.readouterr().out
    assert cli.main(["check", str(file), *places, "--eps", "9"]) == 0
    assert cli.main(["check", str(file), *places, "--eps", "8.9"]) == 1
    assert cli.main(["convert", str(file), *places, "--out", str(tmp_path / "theirs")]) == 0
    (back,) = (tmp_path / "theirs").iterdir()
    for name in (classic.POISONS, classic.BASE_INDICES):
        ours = unpickled(back / name)
        assert np.array_equal(np.array(ours[0][0] if name == classic.POISONS else ours),
                              theirs(folder / name))  # fmt: skip


def theirs(path):
    """The first poison, or the indices, as the published file has them."""
    node = inert_pickle.read(path.read_bytes())
    if path.name == classic.BASE_INDICES:
        return inert_pickle.as_array(node)
    width, height = node[0][0].state[2]
    return np.frombuffer(node[0][0].state[4], np.uint8).reshape(height, width, 3)


@pytest.mark.parametrize("arguments", [["nowhere"], ["nowhere.safetensors"], ["."]])
@pytest.mark.parametrize("command", ["check", "convert"])
def test_a_set_that_cannot_be_read_is_bad_input(command, arguments, real_data, tmp_path, capsys):
    path = tmp_path / arguments[0]
    assert cli.main([command, str(path), "--data-dir", str(real_data)]) == 2
    assert capsys.readouterr().err.startswith("error: set.")


# --- there and back ---------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [{}, trigger(), trigger(8)], ids=["plain", "5 px", "8 px"])
def test_what_is_written_reads_the_same(changes, tmp_path):
    made = some_set(**changes)
    found = classic.read(classic.write(made, tmp_path / "set"), IMAGES)
    assert found.content_hash == made.content_hash


def test_what_is_written_is_what_the_benchmark_expects(tmp_path):
    made = some_set(**trigger())
    folder = classic.write(made, tmp_path)
    poisons, indices, target = (
        unpickled(folder / name) for name in (classic.POISONS, classic.BASE_INDICES, classic.TARGET)
    )
    assert all(type(image) is Image.Image and type(label) is int for image, label in poisons)
    assert np.array_equal(np.array(poisons[1][0]).transpose(2, 0, 1), made.poisons[1])
    assert np.array_equal(indices, made.base_indices)
    image, label, patch, (x, y) = target
    assert label == 1 and np.array_equal(np.array(image).transpose(2, 0, 1), TEST[2053])
    judged = torch.from_numpy(made.target[0]) / 255  # as the benchmark stamps it
    judged[:, y : y + 5, x : x + 5] = torch.tensor(patch)
    row, column = made.trigger_place
    assert np.array_equal(
        (judged[:, row : row + 5, column : column + 5] * 255).round().numpy(), made.trigger
    )


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("kind", ["image", "pair", "numpy patch", "tensor patch"])
def test_every_form_of_a_target_is_read(protocol, kind, tmp_path):
    folder = classic.write(some_set(), tmp_path)
    image, made = Image.fromarray(TEST[2053].transpose(1, 2, 0).copy()), trigger()
    patch = made["trigger"].astype(np.float32) / 255
    target = {
        "image": image,
        "pair": (image, np.int64(1)),
        "numpy patch": (image, 1, patch, (23, 22)),
        "tensor patch": (image, 1, torch.from_numpy(patch), [23, 22]),
    }[kind]
    (folder / classic.TARGET).write_bytes(pickle.dumps(target, protocol))
    (folder / classic.BASE_INDICES).write_bytes(pickle.dumps([6, 2, 10], protocol))
    found = classic.read(folder, IMAGES)
    expected = some_set(**made) if "patch" in kind else some_set()
    assert found.content_hash == expected.content_hash


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_tensors_are_read_as_torch_would(protocol):
    whole = torch.rand(6, 5, 7)
    for tensor in (
        whole, whole[2:5], whole.permute(2, 0, 1), whole[:, ::2, 1:], whole.double(),
        torch.arange(5), torch.tensor(3), torch.tensor(0.5),
    ):  # fmt: skip
        node = inert_pickle.read(pickle.dumps(tensor, protocol))
        assert np.array_equal(inert_tensor.as_array(node), tensor.numpy())


def test_a_truncated_target_is_still_its_test_image(tmp_path):
    folder = classic.write(some_set(), tmp_path)
    below = np.maximum(TEST[2053], 1) - 1
    (folder / classic.TARGET).write_bytes(pickle.dumps(pil(below)))
    found = classic.read(folder, IMAGES)
    assert found.target_index == 2053 and np.array_equal(found.target[0], TEST[2053])


# --- what is none -----------------------------------------------------------------------------


def pil(image):
    return Image.fromarray(image.transpose(1, 2, 0).copy())


@pytest.mark.parametrize(
    ("file", "content", "field"),
    [
        (classic.TARGET, (pil(TEST[2053]), 3), "target_label"),
        (classic.TARGET, (pil(TEST[2053] ^ 4), 1), "target"),
        (classic.TARGET, (pil(TEST[0][:, :16, :16]), 1), "target"),
        (classic.TARGET, ("image", 1), classic.TARGET),
        (classic.TARGET, (pil(TEST[2053]), 1, np.ones((3, 5, 5)), [30, 30]), "trigger"),
        (classic.TARGET, (pil(TEST[2053]), 1, 2 * np.ones((3, 5, 5)), [3, 3]), classic.TARGET),
        (classic.TARGET, (pil(TEST[2053]), 1, np.ones((5, 5)), [3, 3]), classic.TARGET),
        (classic.TARGET, (pil(TEST[2053]), 1, torch.ones(1).expand(9), [3, 3]), classic.TARGET),
        (classic.TARGET, (pil(TEST[2053]), 2), "target_label"),
        (classic.BASE_INDICES, [6, 2], "base_indices"),
        (classic.BASE_INDICES, [6, 2, 40], "base_indices"),
        (classic.BASE_INDICES, [6, -2, 4], "base_indices"),
        (classic.BASE_INDICES, [], "base_indices"),
        (classic.BASE_INDICES, [6, 2, 2**70], classic.BASE_INDICES),
        (classic.BASE_INDICES, [6.0, 2.0, 4.0], classic.BASE_INDICES),
        (classic.BASE_INDICES, {"a": 1}, classic.BASE_INDICES),
        (classic.POISONS, [], classic.POISONS),
        (classic.POISONS, [(pil(TRAIN[0]), 2), (pil(TRAIN[1][:, :8]), 2)], classic.POISONS),
        (classic.POISONS, [(pil(TRAIN[0]), "frog")], classic.POISONS),
        (classic.POISONS, [pil(TRAIN[0])], classic.POISONS),
        (classic.POISONS, [(pil(TRAIN[0]).convert("P"), 2)], classic.POISONS),
    ],
)  # fmt: skip
def test_a_faulty_set_is_refused_by_field(file, content, field, tmp_path):
    folder = classic.write(some_set(), tmp_path)
    (folder / file).write_bytes(pickle.dumps(content))
    with pytest.raises(PoisonSetError) as refused:
        classic.read(folder, IMAGES)
    assert refused.value.field == field


@pytest.mark.parametrize("name", [classic.POISONS, classic.BASE_INDICES, classic.TARGET])
def test_a_missing_file_is_named(name, tmp_path):
    folder = classic.write(some_set(), tmp_path)
    (folder / name).unlink()
    with pytest.raises(PoisonSetError, match=name):
        classic.read(folder, IMAGES)


class Touch:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("name", [classic.POISONS, classic.BASE_INDICES, classic.TARGET])
def test_a_hostile_file_is_refused_and_does_nothing(name, protocol, tmp_path):
    folder = classic.write(some_set(), tmp_path / "set")
    canary = tmp_path / "canary"
    content = {
        classic.POISONS: [(Touch(canary), 2)],
        classic.BASE_INDICES: [Touch(canary)],
        classic.TARGET: (pil(TEST[2053]), 1, Touch(canary), [0, 0]),
    }[name]
    (folder / name).write_bytes(pickle.dumps(content, protocol))
    with pytest.raises(PoisonSetError):
        classic.read(folder, IMAGES)
    assert not canary.exists()


@pytest.mark.parametrize("name", [classic.POISONS, classic.BASE_INDICES, classic.TARGET])
def test_mutants_of_a_set_raise_nothing_but_its_error(name, tmp_path):
    folder = classic.write(some_set(), tmp_path)
    image, patch = pil(TEST[2053]), torch.ones(3, 5, 5)
    (folder / classic.TARGET).write_bytes(pickle.dumps((image, 1, patch, [3, 3])))
    original = (folder / name).read_bytes()
    pixels = original.find(TEST[2053][:, 0, 0].tobytes()) if name == classic.TARGET else 0
    refused = 0
    for _ in range(150):
        mutant = bytearray(original)
        for place in RANDOM.integers(0, len(mutant), 3):
            mutant[place] = RANDOM.integers(0, 256)
        for place in RANDOM.integers(0, max(pixels, 60), 1):  # and where the opcodes are
            mutant[place] = RANDOM.integers(0, 256)
        for place in RANDOM.integers(len(mutant) - 300, len(mutant), 1):
            mutant[place] = RANDOM.integers(0, 256)
        (folder / name).write_bytes(bytes(mutant))
        try:
            classic.read(folder, IMAGES)
        except PoisonSetError:
            refused += 1
    assert refused > 20


def test_a_stored_set_is_checked_under_the_rule_of_its_attack(tmp_path, digits, capsys):
    indices = np.flatnonzero(digits.train.labels.numpy() == 2)[:3]
    bases = digits.train.images.numpy()[indices]
    target = int(np.flatnonzero(digits.test.labels.numpy() == 1)[0])
    values = {
        "labels": np.full(3, 2), "base_indices": indices, "target_label": 1, "base_class": 2,
        "bases": bases, "target_index": target, "target": digits.test.images.numpy()[target][None],
    }  # fmt: skip

    def status(attack, *options):
        made = PoisonSet(
            poisons=bases ^ 16,  # by 16/255
            **values,
            manifest={"dataset": "digits_5_9", "attack": attack},
        )
        return cli.main(["check", str(poison_set.save(made, tmp_path)), *options])

    assert status({"name": "feature_collision", "eps_255": 16}) == 0
    assert "admitted (linf 16/255)" in capsys.readouterr().out
    assert status({"name": "feature_collision", "eps_255": 15.9}) == 1
    assert status({"name": "feature_collision_l2"}) == 0
    assert status({"name": "feature_collision_l2"}, "--eps", "8") == 1
    assert status({"name": "no_perturbation"}) == 1
    assert status({"name": "of my own"}) == 2
    assert status({"name": "feature_collision_l2"}, "--dataset", "digits_0_4") == 1
