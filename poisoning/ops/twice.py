"""Convolution and batch norm for a gradient that is differentiated once more, by the input alone.

Torch's own second derivatives also find what belongs to the parameters; nobody reads that here,
and weight gradients are the slowest kernels of a processor. Counted in convolutions, a gradient by
all weights (3) and its derivative by the input (4) come to 7 instead of 9, and none is computed
twice. Batch norm with frozen statistics goes over its maps three times instead of a dozen.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

Pair = tuple[int, int]
Knobs = tuple[Pair, Pair, Pair, int]  # stride, padding, dilation, groups


class Lean(TorchFunctionMode):
    """Within it convolutions, and batch norm in eval mode, are differentiated as above: by their
    parameters only where a graph of the gradient is being made (``create_graph``), and never
    twice by them.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func is torch.conv2d:
            return _conv2d(*args, **(kwargs or {}))
        if func is functional.batch_norm:
            return _batch_norm(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Pair = 1,
    padding: int | Pair | str = 0,
    dilation: int | Pair = 1,
    groups: int = 1,
) -> Tensor:
    if isinstance(padding, str):
        return functional.conv2d(x, weight, bias, stride, padding, dilation, groups)
    knobs = (_pair(stride), _pair(padding), _pair(dilation), groups)
    out: Tensor = _Convolution.apply(x, weight, knobs)
    return out if bias is None else out + bias.view(-1, 1, 1)


def _pair(knob: int | Pair) -> Pair:
    return (knob, knob) if isinstance(knob, int) else knob


def _convolve(x: Tensor, weight: Tensor, knobs: Knobs) -> Tensor:
    stride, padding, dilation, groups = knobs
    return torch.ops.aten.convolution(
        x, weight, None, stride, padding, dilation, False, (0, 0), groups
    )


def _adjoint(
    gradient: Tensor, x: Tensor, weight: Tensor, knobs: Knobs, by_weight: bool
) -> tuple[Tensor, Tensor | None]:
    """What a gradient by the output means for x, and for the weights where asked."""
    stride, padding, dilation, groups = knobs
    by_x, by_w, _ = torch.ops.aten.convolution_backward(
        gradient, x, weight, None, stride, padding, dilation, False, (0, 0), groups,
        (True, by_weight, False),
    )  # fmt: skip
    return by_x, by_w if by_weight else None


def _batch_norm(
    x: Tensor,
    mean: Tensor | None,
    variance: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    if training or mean is None or variance is None or weight is None or bias is None:
        return functional.batch_norm(x, mean, variance, weight, bias, training, momentum, eps)
    out: Tensor = _Norm.apply(x, weight, bias, mean, (variance + eps).rsqrt())
    return out


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, knobs: Knobs) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.knobs = knobs
        return _convolve(x, weight, knobs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        x, weight = ctx.saved_tensors
        if torch.is_grad_enabled():
            return *_ConvolutionAdjoint.apply(gradient, x, weight, ctx.knobs), None
        return *_adjoint(gradient, x, weight, ctx.knobs, False), None


class _ConvolutionAdjoint(torch.autograd.Function):
    """The gradient by x and weights as a function of the output's gradient, x and the weights;
    differentiated by the first two.
    """

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, x: Tensor, weight: Tensor, knobs: Knobs) -> Any:
        ctx.save_for_backward(gradient, x, weight)
        ctx.set_materialize_grads(False)
        ctx.knobs = knobs
        return _adjoint(gradient, x, weight, knobs, True)

    @staticmethod
    def backward(ctx: Any, v_x: Tensor | None, v_weight: Tensor | None) -> Any:
        gradient, x, weight = ctx.saved_tensors
        by_gradient = by_x = None
        if v_x is not None:
            by_gradient = _convolve(v_x, weight, ctx.knobs)
        if v_weight is not None:
            of_weights = _convolve(x, v_weight, ctx.knobs)
            by_gradient = of_weights if by_gradient is None else by_gradient.add_(of_weights)
            by_x, _ = _adjoint(gradient, x, v_weight, ctx.knobs, False)
        return by_gradient, by_x, None, None


def _map(of_channels: Tensor) -> Tensor:
    """Numbers of channels [C], to be broadcast over maps [N, C, H, W]."""
    return of_channels.view(-1, 1, 1)


class _Norm(torch.autograd.Function):
    """x w r + (b - m w r) with weights w, bias b, mean m and r = 1 / deviation."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, r: Tensor) -> Any:
        ctx.save_for_backward(x, weight, mean, r)
        scale = weight * r
        return torch.addcmul(_map(bias - mean * scale), x, _map(scale))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        x, weight, mean, r = ctx.saved_tensors
        if torch.is_grad_enabled():
            return *_NormAdjoint.apply(gradient, x, weight, mean, r), None, None
        return gradient * _map(weight * r), None, None, None, None


class _NormAdjoint(torch.autograd.Function):
    """The gradients by x, weights and bias; differentiated by the output's gradient and x."""

    @staticmethod
    def forward(
        ctx: Any, gradient: Tensor, x: Tensor, weight: Tensor, mean: Tensor, r: Tensor
    ) -> Any:
        ctx.save_for_backward(gradient, x, weight, mean, r)
        ctx.set_materialize_grads(False)
        total = gradient.sum((0, 2, 3))
        by_weight = r * ((gradient * x).sum((0, 2, 3)) - mean * total)
        return gradient * _map(weight * r), by_weight, total

    @staticmethod
    def backward(ctx: Any, v_x: Tensor | None, v_weight: Tensor, v_bias: Tensor) -> Any:
        gradient, x, weight, mean, r = ctx.saved_tensors
        slope = v_weight * r
        by_gradient = torch.addcmul(_map(v_bias - mean * slope), x, _map(slope))
        if v_x is not None:
            by_gradient.addcmul_(v_x, _map(weight * r))
        return by_gradient, gradient * _map(slope), None, None, None
