"""Convolutions that a processor computes slowly in bfloat16, done another way.

The library is slow where maps are small (its weight gradient of 512 channels on 4x4 places reaches
a tenth of a matrix product's rate), and so is its gradient by the input of a depthwise convolution
with a stride. Both are the same sums in another order: small maps as one matrix product over
patches, and strided depthwise convolutions at stride 1, every other place kept. Everything else,
float32 and GPUs included, is left to the library.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

SMALL = 4  # places a side of a map whose patches are laid out
WIDE = 128  # channels from which on that pays


class Conv2d(nn.Conv2d):
    """``nn.Conv2d`` with the same weights and results, up to the rounding of bfloat16."""

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
            return super().forward(x)
        if self._has_small_maps(x):
            out: Tensor = _Patches.apply(x.bfloat16(), self.weight.bfloat16(), self.stride[0])
            return out if self.bias is None else out + self.bias.bfloat16().view(-1, 1, 1)
        if self.groups > 1 and self.stride[0] > 1 and torch.is_grad_enabled():
            every = self.stride[0]
            whole = functional.conv2d(x, self.weight, self.bias, 1, self.padding, 1, self.groups)
            kept = whole[:, :, ::every, ::every]
            return kept.contiguous(memory_format=torch.channels_last)
        return super().forward(x)

    def _has_small_maps(self, x: Tensor) -> bool:
        is_3x3 = self.kernel_size == (3, 3) and self.padding == (1, 1) and self.groups == 1
        is_wide = min(self.in_channels, self.out_channels) >= WIDE
        return is_3x3 and is_wide and x.shape[-1] <= SMALL * self.stride[0]


class _Patches(torch.autograd.Function):
    """x [N, C, H, W] and weights [D, C, 3, 3], padded by 1, to [N, D, H / stride, W / stride]."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int) -> Tensor:
        patches = _patches(x, stride)
        kept = patches if ctx.needs_input_grad[1] else None
        ctx.save_for_backward(kept, weight)
        ctx.stride, ctx.shape = stride, x.shape
        n, _, h, w = x.shape
        rows = patches @ _matrix(weight).t()
        places = (-(-h // stride), -(-w // stride))
        return rows.view(n, *places, -1).permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        patches, weight = ctx.saved_tensors
        rows = gradient.permute(0, 2, 3, 1).reshape(-1, gradient.shape[1])
        by_x = by_weight = None
        if ctx.needs_input_grad[0]:
            by_patches = rows @ _matrix(weight)
            by_x = _folded(by_patches, ctx.shape, gradient.shape[2:], ctx.stride)
        if ctx.needs_input_grad[1]:
            width, depth = weight.shape[:2]
            by_weight = (rows.t() @ patches).view(width, 3, 3, depth).permute(0, 3, 1, 2)
        return by_x, by_weight, None


def _matrix(weight: Tensor) -> Tensor:
    """Weights [D, C, 3, 3] as [D, 9 C], channels innermost as in ``_patches``."""
    return weight.permute(0, 2, 3, 1).reshape(len(weight), -1)


def _patches(x: Tensor, stride: int) -> Tensor:
    """The 3x3 neighbourhood of every place [places of all images, 9 C]."""
    padded = functional.pad(x.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
    windows = padded.unfold(1, 3, stride).unfold(2, 3, stride)  # [N, H, W, C, 3, 3]
    return windows.permute(0, 1, 2, 4, 5, 3).reshape(-1, 9 * x.shape[1])


def _folded(rows: Tensor, shape: torch.Size, places: torch.Size, stride: int) -> Tensor:
    """The adjoint of ``_patches``: every place's share in all neighbourhoods, added in float32."""
    n, c, h, w = shape
    high, wide = places
    parts = rows.view(n, high, wide, 3, 3, c)
    padded = torch.zeros(n, h + 2, w + 2, c)
    for i in range(3):
        for j in range(3):
            part = padded[:, i : i + stride * high : stride, j : j + stride * wide : stride]
            part += parts[:, :, :, i, j]
    return padded[:, 1:-1, 1:-1].permute(0, 3, 1, 2).to(rows.dtype)
