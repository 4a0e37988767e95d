"""Clean accuracy of a network over a whole split, batched, one look at the device at the end."""

from collections.abc import Iterator

import torch
from torch import Tensor

from poisoning import devices
from poisoning.data import Split
from poisoning.data.augment import normalize
from poisoning.models.extractor import quickened
from poisoning.models.network import Network
from poisoning.spec import Precision

Constants = tuple[float, ...]  # one per channel
BATCH = {"cpu": 64}  # whose maps stay in a core's cache; elsewhere 500


@torch.inference_mode()
def clean_accuracy(
    net: Network,
    split: Split,
    mean: Constants,
    std: Constants,
    precision: Precision = "exact",
) -> float:
    """The fraction of ``split`` that ``net`` names rightly, in eval mode, on the net's device.

    ``mean`` and ``std`` are what the network was trained with; its mode is left as it was.
    """
    was_training = net.training
    net.eval()
    device = net.linear.weight.device
    judged = quickened(net, precision)
    right = torch.zeros((), dtype=torch.int64, device=device)
    for images, labels in _batches(split, BATCH.get(device.type, 500), device):
        x = normalize(images, mean, std).contiguous(memory_format=torch.channels_last)
        with devices.autocast(device, precision):
            logits = judged(x)
        right += (logits.argmax(1) == labels).sum()
    net.train(was_training)
    return right.item() / len(split)


def _batches(
    split: Split, batch_size: int, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    for start in range(0, len(split), batch_size):
        part = slice(start, start + batch_size)
        yield split.images[part].to(device), split.labels[part].to(device)
