"""Networks as extractors: frozen, and, where speed is asked for, with batch norm folded away."""

import copy
from itertools import pairwise

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from poisoning import devices
from poisoning.models.network import Network
from poisoning.spec import Precision


def freeze(net: Network, device: torch.device) -> Network:
    """The network on its device, as an extractor: eval mode, nothing of it is ever trained."""
    frozen: nn.Module = net.to(device).to(memory_format=torch.channels_last)
    assert isinstance(frozen, Network)
    return frozen.eval().requires_grad_(False)


def quickened(net: Network, precision: Precision) -> Network:
    """The frozen network to compute with: itself where ``precision`` is exact; else a copy in
    which every batch norm is part of the convolution before it, with weights in the type that
    devices.autocast would cast them to at every call.
    """
    if precision == "exact":
        return net
    folded = copy.deepcopy(net)
    for module in list(folded.modules()):
        _fold(module)
    device = next(folded.parameters()).device
    if devices.has_bf16(device.type):
        folded.to(torch.bfloat16)
    return folded.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[no-any-return,call-overload]


def _fold(module: nn.Module) -> None:
    """Of this module's children: each batch norm that directly follows a convolution."""
    for (name, conv), (after, norm) in pairwise(list(module.named_children())):
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            setattr(module, name, fuse_conv_bn_eval(conv, norm))
            setattr(module, after, nn.Identity())
