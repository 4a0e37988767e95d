"""Which source each base is drawn to, from the distances between them.

Both pairings take distances [T, J, J] (T trials, sources down, bases across; float32, none below
zero) and the pairing ``before`` them [T, J], and return, int64 [T, J], the number of each base's
source. Equal distances are taken in the order of their cells, source by source.

On a processor each trial goes alone through NumPy, where a call costs a tenth of what it does in
torch; elsewhere all trials go together, without a look at the device for each of their poisons.
"""

import numpy as np
import torch
from torch import Tensor

LARGEST = torch.finfo(torch.float32).max
CELL_BITS = 32  # of a key, below the distance's own


def one_to_one(distances: Tensor, before: Tensor) -> Tensor:
    """Greedy pairing without replacement: the smallest distance of all makes a pair, both its
    partners leave, and so on. ``before`` does not matter.
    """
    d = distances.nan_to_num(nan=LARGEST, posinf=LARGEST)
    if d.device.type != "cpu":
        return _mutually_nearest(d)
    each, source = d.numpy(), np.empty(before.shape, np.int64)
    for t in range(len(each)):
        _one_after_the_other(each[t], source[t])
    return torch.from_numpy(source)


def _one_after_the_other(d: np.ndarray, source: np.ndarray) -> None:
    """Of one trial: distances [J, J] and sources [J], both written over."""
    for _ in range(len(d)):
        row, column = divmod(int(d.argmin()), len(d))
        source[column] = row
        d[row] = d[:, column] = np.inf


def _mutually_nearest(d: Tensor) -> Tensor:
    """Every pair that is nearest to each other is one that the greedy choice makes sooner or
    later (nothing smaller can take either partner away), so all such pairs of all trials
    [T, J, J], which are written over, are made at once: a handful of rounds instead of J.
    """
    source = torch.full(d.shape[::2], -1, device=d.device)
    bases = torch.arange(d.shape[2], device=d.device)
    while (is_free := source < 0).any():
        nearest_source = d.min(1).indices  # [T, J], of each base
        nearest_base = d.min(2).indices  # [T, J], of each source
        is_mutual = is_free & (nearest_base.gather(1, nearest_source) == bases)
        source = torch.where(is_mutual, nearest_source, source)
        is_taken = torch.zeros_like(is_free).scatter_add(1, nearest_source, is_mutual)
        d.masked_fill_(is_mutual[:, None, :], torch.inf)
        d.masked_fill_(is_taken[:, :, None], torch.inf)
    return source


def smallest_cells(distances: Tensor, before: Tensor) -> Tensor:
    """The pairing of the reference code: it takes the smallest distance J times, but each time
    crosses out that one cell only. A later cell overwrites the source of its base, bases may
    share a source, and a base that none of the J smallest cells belongs to keeps its own.

    The sources themselves are overwritten: row s is the source that base s was drawn to
    ``before``, and one that no base is drawn to is never seen again.
    """
    if distances.device.type != "cpu":
        return _smallest_of_all(distances, before)
    each, own = distances.numpy(), before.numpy()
    source = own.copy()
    for t in range(len(each)):
        _smallest_of_one(each[t], own[t], source[t])
    return torch.from_numpy(source)


def _smallest_of_one(d: np.ndarray, before: np.ndarray, source: np.ndarray) -> None:
    """Of one trial: distances [J, J], sources [J] before, and [J] that are written over."""
    bases, rows = len(d), d.take(before, 0).ravel()
    last = np.partition(rows, bases - 1)[bases - 1]
    near = (~(rows > last)).nonzero()[0]  # in the order of the cells; of equal ones more than J
    cells = near[rows[near].argsort(kind="stable")[:bases]]
    source[cells % bases] = before[cells // bases]  # the last one stays


def _smallest_of_all(distances: Tensor, before: Tensor) -> Tensor:
    rows = distances.gather(1, before.unsqueeze(2).expand_as(distances))
    bases = rows.shape[2]
    cells = _ordered(rows).flatten(1).topk(bases, largest=False, sorted=True).indices  # [T, J]
    rank = torch.arange(bases, device=rows.device).expand_as(cells)
    last = torch.full_like(cells, -1).scatter_reduce(1, cells % bases, rank, "amax")
    row = (cells // bases).gather(1, last.clamp(min=0))
    return torch.where(last >= 0, before.gather(1, row), before)


def _ordered(distances: Tensor) -> Tensor:
    """Whole numbers [T, S, B] that order as the distances do, equal ones by their cell: the bits
    of a float that is not below zero order as it does.
    """
    bits = distances.contiguous().view(torch.int32).to(torch.int64)
    cells = torch.arange(distances[0].numel(), device=distances.device)
    return (bits << CELL_BITS) + cells.view(distances.shape[1:])
