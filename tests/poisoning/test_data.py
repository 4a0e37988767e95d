"""Data sets: the digits on every machine, CIFAR where its files are."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from poisoning import catalog, data
from poisoning.data import DataCorrupt, DataMissing
from poisoning.data.digits import upscale

DIGITS_MD5 = {
    "digits_0_4": "7829c4ebca8ff95d064ef97c1b03791e",
    "digits_5_9": "5758e19b0dc8a95aa23d901cf87e6bc6",
}


@pytest.mark.parametrize("name", DIGITS_MD5)
def test_digits_are_the_same_bytes_everywhere(name, tmp_path):
    assert data.load(name, tmp_path).md5 == DIGITS_MD5[name]


@pytest.mark.parametrize("name", DIGITS_MD5)
def test_the_catalogue_tells_the_truth_about_the_digits(name, tmp_path):
    loaded, row = data.load(name, tmp_path), catalog.dataset(name)
    assert (len(loaded.train), len(loaded.test)) == (row.train_images, row.test_images)
    assert loaded.train.images.shape[1:] == (3, row.image_size, row.image_size)
    assert loaded.train.images.dtype == torch.uint8
    assert loaded.train.labels.unique().tolist() == list(range(len(row.classes)))


def test_every_digit_class_has_the_same_number_of_training_images(digits):
    assert digits.train.labels.bincount().tolist() == [130] * 5


def test_digits_halves_share_no_image(tmp_path):
    first, last = (data.load(name, tmp_path) for name in DIGITS_MD5)
    seen = {image.numpy().tobytes() for image in first.train.images}
    assert not any(image.numpy().tobytes() in seen for image in last.train.images)


def test_upscaling_is_bilinear():
    scans = np.random.default_rng(0).integers(0, 17, (20, 8, 8))
    plain = functional.interpolate(
        torch.from_numpy(scans)[:, None].double(), scale_factor=4, mode="bilinear"
    )
    assert np.abs(upscale(scans) - plain[:, 0].numpy() * 255 / 16).max() <= 0.5


def test_a_data_set_is_read_once_per_process(tmp_path):
    assert data.load("digits_0_4", tmp_path) is data.load("digits_0_4", str(tmp_path))


def test_an_unknown_data_set_gets_a_suggestion(tmp_path):
    with pytest.raises(catalog.UnknownName, match="did you mean cifar10"):
        data.load("cifar11", tmp_path)


def test_md5_changes_with_one_pixel(digits):
    images = digits.train.images.clone()
    images[0, 0, 0, 0] ^= 1
    changed = replace(digits, train=data.Split(images, digits.train.labels))
    assert changed.md5 != digits.md5


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_missing_files_name_the_path_and_the_command(name, tmp_path):
    with pytest.raises(DataMissing) as caught:
        data.load(name, tmp_path)
    assert str(tmp_path) in caught.value.message
    assert f"dosimeter data download {name}" in caught.value.remedy
    assert caught.value.field == "data.dataset"


def test_a_damaged_file_is_named_and_never_unpickled(real_data, tmp_path):
    folder = tmp_path / "cifar-100-python"
    shutil.copytree(real_data / folder.name, folder)
    canary = tmp_path / "canary"
    (folder / "test").write_bytes(b"cposix\nsystem\n(S'touch %s'\ntR." % str(canary).encode())
    with pytest.raises(DataCorrupt, match="cifar-100-python/test is damaged"):
        data.load("cifar100", tmp_path)
    assert not canary.exists()


def test_download_does_nothing_for_a_data_set_without_files(tmp_path):
    data.download("digits_0_4", tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(("name", "classes"), [("cifar10", 10), ("cifar100", 100)])
def test_cifar_is_whole(name, classes, real_data):
    loaded, row = data.load(name, real_data), catalog.dataset(name)
    assert loaded.train.images.shape == (row.train_images, 3, 32, 32)
    assert loaded.test.images.shape == (row.test_images, 3, 32, 32)
    assert loaded.train.labels.bincount().tolist() == [50_000 // classes] * classes
    assert len(row.classes) == classes


def test_cifar_channels_and_classes_are_in_their_places(cifar10):
    """The data set's published constants are the training split's own mean."""
    means = cifar10.train.images.double().mean((0, 2, 3)) / 255
    assert means.tolist() == pytest.approx(cifar10.spec.mean, abs=1e-4)
    ships = cifar10.train.images[cifar10.train.labels == 8].double().mean((0, 2, 3))
    assert ships[2] > ships[0]  # sea and sky are blue


def test_class_names_are_those_of_the_files(real_data):
    from torchvision.datasets import CIFAR10, CIFAR100

    for name, kind in (("cifar10", CIFAR10), ("cifar100", CIFAR100)):
        data.load(name, real_data)
        assert catalog.dataset(name).classes == tuple(kind(real_data, train=False).classes)
