"""Which source each base is drawn to, from the distances between them.

Both pairings take distances [T, J, J] (T trials, sources down, bases across; float32, none below
zero) and the pairing ``before`` them [T, J], and return, int64 [T, J], the number of each base's
source. Equal distances are taken in the order of their cells, source by source.
"""

import torch
from torch import Tensor

LARGEST = torch.finfo(torch.float32).max
CELL_BITS = 32  # of a key, below the distance's own


def one_to_one(distances: Tensor, before: Tensor) -> Tensor:
    """Greedy pairing without replacement: the smallest distance of all makes a pair, both its
    partners leave, and so on. ``before`` does not matter.

    Every pair that is nearest to each other is one that the greedy choice makes sooner or later
    (nothing smaller can take either partner away), so all such pairs are made at once: a handful
    of rounds for all trials instead of J.
    """
    d = distances.nan_to_num(nan=LARGEST, posinf=LARGEST)
    source = torch.full_like(before, -1)
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
