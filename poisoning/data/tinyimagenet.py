"""Tiny ImageNet (Le and Yang 2015) from its folder of JPEGs: whole, by halves, or seven classes.

Classes are the sorted WordNet ids, and images follow the sorted names of their files, so that an
index means what it means in the benchmark's lists: those for transfer count classes and images
within the last half, those for training from scratch within the whole.
"""

from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from poisoning.class_names import TINY_IMAGENET, TINY_IMAGENET_SUBSET
from poisoning.data import DataCorrupt, DataMissing, Split

FOLDER = "tiny-imagenet-200"
TRAIN_PER_CLASS, TEST_PER_CLASS, SIZE = 500, 50, 64
WNIDS = sorted(TINY_IMAGENET)
REMEDY = "unpack the whole tiny-imagenet-200.zip into the data folder"


def load_tinyimagenet(data_dir: Path) -> tuple[Split, Split]:
    """All 200 classes."""
    return _load(data_dir, WNIDS)


def load_tinyimagenet_first_half(data_dir: Path) -> tuple[Split, Split]:
    """Classes 0 to 99, what extractors are pretrained on."""
    return _load(data_dir, WNIDS[:100])


def load_tinyimagenet_last_half(data_dir: Path) -> tuple[Split, Split]:
    """Classes 100 to 199, labelled 0 to 99: what is attacked."""
    return _load(data_dir, WNIDS[100:])


def load_tinyimagenet_subset(data_dir: Path) -> tuple[Split, Split]:
    """Seven classes of the last half: enough to check the plumbing, and nothing else."""
    return _load(data_dir, [WNIDS[place] for place in TINY_IMAGENET_SUBSET])


def _load(data_dir: Path, wnids: list[str]) -> tuple[Split, Split]:
    root = data_dir / FOLDER
    return _split(train_files(root, wnids)), _split(validation_files(root, wnids))


def train_files(root: Path, wnids: list[str]) -> list[tuple[Path, int]]:
    """The training images of some classes and their labels, in the order of their indices."""
    files = []
    for label, wnid in enumerate(wnids):
        paths = sorted((root / "train" / wnid / "images").glob("*.JPEG"))
        if len(paths) != TRAIN_PER_CLASS:
            raise DataMissing(
                f"{root / 'train' / wnid} has {len(paths)} images, not {TRAIN_PER_CLASS}", REMEDY
            )
        files += [(path, label) for path in paths]
    return files


def validation_files(root: Path, wnids: list[str]) -> list[tuple[Path, int]]:
    """The validation images of some classes and their labels, in the order of their indices."""
    annotations = root / "val" / "val_annotations.txt"
    labels = {wnid: label for label, wnid in enumerate(wnids)}
    try:
        rows = [line.split("\t")[:2] for line in annotations.read_text().splitlines()]
    except OSError:
        raise DataMissing(f"{annotations} is not there", REMEDY) from None
    files = [
        (root / "val" / "images" / name, labels[wnid])
        for name, wnid in sorted(rows)
        if wnid in labels
    ]
    if len(files) != TEST_PER_CLASS * len(wnids):
        raise DataCorrupt(f"{annotations} names {len(files)} images of these classes", REMEDY)
    return files


def _split(files: list[tuple[Path, int]]) -> Split:
    images = np.empty((len(files), 3, SIZE, SIZE), dtype=np.uint8)
    for place, (path, _) in enumerate(files):
        images[place] = _image(path)
    labels = torch.tensor([label for _, label in files], dtype=torch.int64)
    return Split(torch.from_numpy(images), labels)


def _image(path: Path) -> np.ndarray:
    try:
        with Image.open(path, formats=("JPEG",)) as image:
            pixels = np.asarray(image.convert("RGB"))
    except FileNotFoundError:
        raise DataMissing(f"{path} is not there", REMEDY) from None
    except (UnidentifiedImageError, OSError) as error:
        raise DataCorrupt(f"{path} is no JPEG ({error})", REMEDY) from None
    if pixels.shape != (SIZE, SIZE, 3):
        raise DataCorrupt(f"{path} has shape {pixels.shape}, not {SIZE}x{SIZE}", REMEDY)
    return pixels.transpose(2, 0, 1)
