"""Tiny ImageNet from its folder, on the seven classes that are at hand."""

import shutil

import pytest
import torch

from poisoning import catalog, data
from poisoning.class_names import TINY_IMAGENET, TINY_IMAGENET_SUBSET
from poisoning.data import DataCorrupt, DataMissing, setups
from poisoning.data.tinyimagenet import WNIDS, train_files, validation_files

SEVEN = [WNIDS[place] for place in TINY_IMAGENET_SUBSET]


@pytest.fixture(scope="module")
def root(real_data):
    return real_data / "tiny-imagenet-200"


def test_the_subset_is_what_the_catalogue_says(real_data):
    loaded, row = (
        data.load("tinyimagenet_subset", real_data),
        catalog.dataset("tinyimagenet_subset"),
    )
    assert loaded.train.images.shape == (row.train_images, 3, 64, 64)
    assert loaded.test.images.shape == (row.test_images, 3, 64, 64)
    assert loaded.train.images.dtype == torch.uint8
    assert loaded.train.labels.bincount().tolist() == [500] * 7
    assert loaded.test.labels.bincount().tolist() == [50] * 7
    assert row.classes[1] == "frying pan"
    means = loaded.train.images.double().mean((0, 2, 3)) / 255
    assert means.tolist() == pytest.approx(row.mean, abs=0.1)


def test_the_200_classes_are_those_of_the_folder(root):
    assert sorted((root / "wnids.txt").read_text().split()) == WNIDS
    words = dict(line.split("\t") for line in (root / "words.txt").read_text().splitlines())
    assert {wnid: words[wnid].split(",")[0] for wnid in WNIDS} == TINY_IMAGENET
    assert len(set(TINY_IMAGENET.values())) == 200


@pytest.mark.parametrize(
    ("name", "first"), [("tinyimagenet_transfer_learning", 100), ("tinyimagenet_from_scratch", 0)]
)
def test_the_benchmarks_indices_mean_these_images(name, first, root, shared):
    """Every listed target has its listed class; transfer lists count within the last half."""
    listed = setups.parse_json((shared / "setups" / f"{name}.json").read_bytes())
    labels = [label for _, label in validation_files(root, WNIDS[first:])]
    assert all(labels[setup.target_index] == setup.target_class for setup in listed)
    assert all(i // 500 == setup.base_class for setup in listed for i in setup.base_indices)


def test_training_images_follow_their_sorted_names(root):
    files = train_files(root, SEVEN)
    assert [path.name for path, _ in files[:3]] == [f"{SEVEN[0]}_{k}.JPEG" for k in (0, 1, 10)]
    assert [label for _, label in files] == [label for label in range(7) for _ in range(500)]


@pytest.mark.parametrize("name", ["tinyimagenet", "tinyimagenet_first_half"])
def test_a_folder_that_is_not_whole_says_so(name, real_data):
    with pytest.raises(DataMissing, match="has 0 images, not 500"):
        data.load(name, real_data)


def test_damaged_images_are_named(root, tmp_path):
    shutil.copytree(root, tmp_path / root.name)
    victim = tmp_path / root.name / "train" / SEVEN[2] / "images" / f"{SEVEN[2]}_7.JPEG"
    victim.write_bytes(b"GIF89a")
    with pytest.raises(DataCorrupt, match=victim.name):
        data.load("tinyimagenet_subset", tmp_path)


def test_no_folder_at_all(tmp_path):
    with pytest.raises(DataMissing, match=r"tiny-imagenet-200"):
        data.load("tinyimagenet_subset", tmp_path)
    with pytest.raises(DataMissing, match="has no download"):
        data.download("tinyimagenet", tmp_path)
