"""The clean part of a poisoned training set, composed as the unified benchmark does."""

import torch
from torch import Tensor

from poisoning import catalog
from poisoning.events import Setup
from poisoning.spec import DataSpec, FieldError


def clean_indices(labels: Tensor, data_spec: DataSpec, setup: Setup) -> Tensor:
    """Indices into the training split, ascending, that are trained on beside the poisons.

    ``labels`` int64 [N]. Of every class the first n = train_size / classes images, the base
    originals left out; of the base class n minus the number of poisons, so that the base
    originals never appear clean and the poisoned set has n of each class. The poisons come
    after these.

    Raises FieldError where a class has too few images.
    """
    bases = torch.tensor(setup.base_indices, dtype=torch.int64)
    return _first(labels, data_spec, bases, setup.base_class)


def first_of_each_class(labels: Tensor, data_spec: DataSpec) -> Tensor:
    """The same without any setup: indices of the first n images of every class, ascending."""
    return _first(labels, data_spec, torch.empty(0, dtype=torch.int64), None)


def _first(labels: Tensor, data_spec: DataSpec, bases: Tensor, base_class: int | None) -> Tensor:
    classes = catalog.dataset(data_spec.dataset).classes
    per_class = data_spec.train_size // len(classes)
    is_free = torch.ones(len(labels), dtype=torch.bool)
    is_free[bases] = False
    chosen = []
    for label, title in enumerate(classes):
        wanted = per_class - (len(bases) if label == base_class else 0)
        found = torch.where(is_free & (labels == label))[0]
        if wanted < 0 or len(found) < wanted:
            raise FieldError(
                "data.train_size",
                f"class {title!r} cannot give {wanted} clean images beside "
                f"{len(bases)} poisons; it has {len(found)}",
            )
        chosen.append(found[:wanted])
    return torch.cat(chosen).sort().values
