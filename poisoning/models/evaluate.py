"""Clean accuracy of a network over a whole split, batched, one look at the device at the end."""

from collections.abc import Iterator

import torch
from torch import Tensor

from poisoning import devices
from poisoning.data import Split
from poisoning.data.augment import normalize
from poisoning.models.network import Network
from poisoning.spec import Precision

Constants = tuple[float, ...]  # one per channel


@torch.inference_mode()
def clean_accuracy(
    net: Network,
    split: Split,
    mean: Constants,
    std: Constants,
    precision: Precision = "exact",
    batch_size: int = 500,
) -> float:
    """The fraction of ``split`` that ``net`` names rightly, in eval mode, on the net's device.

    ``mean`` and ``std`` are what the network was trained with; its mode is left as it was.
    """
    was_training = net.training
    net.eval()
    device = net.linear.weight.device
    right = torch.zeros((), dtype=torch.int64, device=device)
    for images, labels in _batches(split, batch_size, device):
        with devices.autocast(device, precision):
            logits = net(normalize(images, mean, std))
        right += (logits.argmax(1) == labels).sum()
    net.train(was_training)
    return right.item() / len(split)


def _batches(
    split: Split, batch_size: int, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    for start in range(0, len(split), batch_size):
        part = slice(start, start + batch_size)
        yield split.images[part].to(device), split.labels[part].to(device)
